//! A node's recording, lived again.

use std::mem::MaybeUninit;
use std::time::Duration;

use quorate::{NoticeKind, ReplayOptions};

use crate::guard::{Fault, guard, output};
use crate::status::quorate_status::{self, QUORATE_UNKNOWN};
use crate::text::{quorate_string, quorate_text};

/// Lives a node's recording again with the real engine, and says what it decided and why.
///
/// Parameters: `path`: the recording, a `.qrec` file in `recordings` of a node's state directory.
/// `until_ms`: stop before the first step that is later than this, in milliseconds since the node's
/// start; 0: at the end. `stop_at`: stop after the first notice of this kind, as `down`; no text:
/// at the end. `json`: on success an object with `report` (`reproduced` says whether every step was
/// as recorded) and `steps`, as docs/REPLAY.md lists them.
///
/// Returns: `QUORATE_RECORDING` when the file cannot be read, is no recording or is damaged; the
/// error text names the byte. `QUORATE_UNKNOWN` for a kind that does not exist.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any; this one works until the end of the recording.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_replay(
    path: quorate_text,
    until_ms: u64,
    stop_at: quorate_text,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    guard(|| {
        // SAFETY: the caller promised readable text.
        let path = unsafe { path.path("path") }?;
        // SAFETY: the caller promised readable text.
        let stop_at = unsafe { stop_at.optional("stop_at") }?;
        let place = output(json, "json")?;
        let options = ReplayOptions {
            until: (until_ms > 0).then(|| Duration::from_millis(until_ms)),
            stop_at: stop_at.map(kind_named).transpose()?,
            ..ReplayOptions::default()
        };
        let (report, steps) = quorate::replay(path, &options)?;
        let whole = serde_json::json!({ "report": report, "steps": steps });
        place.write(quorate_string::boxed(whole.to_string()));
        Ok(())
    })
}

fn kind_named(word: &str) -> Result<NoticeKind, Fault> {
    let found = NoticeKind::ALL.iter().copied().find(|kind| kind.as_str() == word);
    found.ok_or_else(|| {
        let known: Vec<&str> = NoticeKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let text = format!("stop_at {word} is no kind of notice; there are: {}", known.join(", "));
        Fault::new(QUORATE_UNKNOWN, text)
    })
}
