//! What would come of a loss.

use std::mem::MaybeUninit;
use std::time::Duration;

use quorate::what_if::{Lose, Report, Situation, WhatIf};

use crate::config::quorate_config;
use crate::guard::{Fault, given, guard, output};
use crate::status::quorate_status;
use crate::text::{quorate_string, quorate_text};

/// What would come of a loss: the engine itself tries every case out in the simulator.
///
/// Parameters: `config`: the configuration. `status_json`: the situation, as
/// `quorate_node_status_json` gives it; no text: every node runs, and every group is where
/// placement puts it. `lose`: what is lost at one instant, words with spaces between: `nodes:2`,
/// `networks:1`, `luns:1` for every case of so many, or names, as in `n1 disk1 network0`.
/// `start_time_ms`: how long a resource takes to start, part of every outage. `json`: a JSON
/// object, on success: `cases`, each with what is `lost`, who keeps the `quorum`, and every group
/// with its `fate`, `outage_ms` and `why`. `table`: the same for people, on success.
///
/// Returns: `QUORATE_MISUSE` for words, names or a situation that do not fit the configuration.
///
/// Memory and lifetimes: the configuration stays the caller's. Free the strings with
/// `quorate_string_free`.
///
/// Threads: any; this one works for some time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_what_if(
    config: Option<&quorate_config>,
    status_json: quorate_text,
    lose: quorate_text,
    start_time_ms: u64,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
    table: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    guard(|| {
        let config = given(config, "config")?;
        let (json, table) = (output(json, "json")?, output(table, "table")?);
        // SAFETY: the caller promised readable text.
        let status = unsafe { status_json.optional("status_json") }?;
        // SAFETY: the caller promised readable text.
        let lose = unsafe { lose.required("lose") }?;
        let report = report(config, status, lose, Duration::from_millis(start_time_ms))?;
        let text = serde_json::to_string(&report).expect("a report has text keys only");
        json.write(quorate_string::boxed(text));
        table.write(quorate_string::boxed(report.to_string()));
        Ok(())
    })
}

fn report(
    config: &quorate_config,
    status: Option<&str>,
    lose: &str,
    start_time: Duration,
) -> Result<Report, Fault> {
    let situation: Option<Situation> =
        status.map(serde_json::from_str).transpose().map_err(|error| {
            let text = format!("status_json: {error}; give what quorate_node_status_json gave");
            Fault::new(quorate_status::QUORATE_MISUSE, text)
        })?;
    let lose = lose.split_whitespace().map(str::parse).collect::<Result<Vec<Lose>, _>>()?;
    let question = WhatIf::new(config.config.cluster().clone(), situation)?;
    Ok(question.start_time(start_time).report(&lose)?)
}
