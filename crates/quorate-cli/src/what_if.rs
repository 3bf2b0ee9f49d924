//! `quorate what-if`: what would come of a loss.

use std::fs;
use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quorate::Config;
use quorate::what_if::{Error, Report, Situation, WhatIf};

use crate::arguments;
use crate::ask;
use crate::control::Request;
use crate::failure::{Exit, Failure};
use crate::signals;

/// Answers the question, case by case.
///
/// # Errors
/// What is wrong with the configuration, the status or the question; that no node could be asked; that a case does not
/// end; that it was interrupted, after what is known was shown.
pub(crate) fn what_if(arguments: &arguments::WhatIf) -> Result<(), Failure> {
    let config = Config::from_file(&arguments.ask.config)?;
    let situation = situation(arguments)?;
    let start_time = Duration::try_from_secs_f64(arguments.start_time).map_err(|error| {
        let given = arguments.start_time;
        Failure::new(Exit::Usage, format!("--start-time {given}: {error}; give seconds"))
    })?;
    let question =
        WhatIf::new(config.cluster().clone(), situation).map_err(failure)?.start_time(start_time);
    let losses = question.losses(&arguments.lose).map_err(failure)?;

    let interrupted = signals::interruption()?;
    let shows_progress = stderr().is_terminal();
    let mut cases = Vec::with_capacity(losses.len());
    for (number, loss) in losses.iter().enumerate() {
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        if shows_progress {
            let _ = write!(stderr(), "\r\x1b[Kcase {} of {}: {loss}", number + 1, losses.len());
        }
        cases.push(question.case(loss).map_err(failure)?);
    }
    if shows_progress {
        let _ = write!(stderr(), "\r\x1b[K");
    }
    let report = question.report_of(cases).map_err(failure)?;
    show(&report, arguments.json);
    verdict(&report, losses.len())
}

/// The situation that is asked about; none: everything runs.
fn situation(arguments: &arguments::WhatIf) -> Result<Option<Situation>, Failure> {
    if arguments.all_up {
        return Ok(None);
    }
    if let Some(path) = &arguments.status {
        return read_status(path).map(Some);
    }
    let status = ask::connect(&arguments.ask)?.ask(&Request::Status)?;
    let live = serde_json::from_value(status).map_err(|error| {
        let text = format!("the node's status is not understood: {error}; is it of this version?");
        Failure::new(Exit::Unreachable, text)
    })?;
    Ok(Some(live))
}

fn read_status(path: &Path) -> Result<Situation, Failure> {
    let wrong = |problem: String| {
        let text =
            format!("{}: {problem}; give what `quorate status --json` wrote", path.display());
        Failure::new(Exit::Configuration, text)
    };
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
}

fn show(report: &Report, as_json: bool) {
    let text = match as_json {
        true => {
            let mut line = serde_json::to_string(report).expect("a report has text keys only");
            line.push('\n');
            line
        }
        false => report.to_string(),
    };
    // Who has closed our output has no wish to read it.
    let _ = stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush());
}

fn verdict(report: &Report, wanted: usize) -> Result<(), Failure> {
    let run = report.cases.len();
    if report.cases.iter().any(|case| !case.violations.is_empty()) {
        return Err(Failure::new(
            Exit::Unsafe,
            "a promise of quorate was broken: please report it",
        ));
    }
    if let Some(case) = report.cases.iter().find(|case| !case.at_rest) {
        let lost = case.lost.join(", ");
        let text =
            format!("without {lost} the cluster does not come to rest: what is shown is no end");
        return Err(Failure::new(Exit::Failed, text));
    }
    if run < wanted {
        let text = format!("interrupted: {run} of {wanted} cases are shown");
        return Err(Failure::new(Exit::Interrupted, text));
    }
    Ok(())
}

fn failure(error: Error) -> Failure {
    let exit = match &error {
        Error::Situation { .. } => Exit::Configuration,
        Error::Loss { .. }
        | Error::Unknown { .. }
        | Error::TooFew { .. }
        | Error::TooMany { .. } => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}
