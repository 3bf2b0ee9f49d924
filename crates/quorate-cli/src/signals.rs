//! Signals that end a command, as the people mean them who send them.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use crate::failure::{Exit, Failure};

/// What comes so soon after a signal is that signal again: `timeout` sends its own to the process and then to its
/// group. Nobody presses Ctrl-C twice that fast.
const ONE: Duration = Duration::from_millis(200);

/// The signals to come.
///
/// # Errors
/// The system refuses to tell of them.
pub(crate) fn hear(kinds: &[i32]) -> Result<Signals, Failure> {
    Signals::new(kinds)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot hear signals: {error}")))
}

/// Each signal once.
pub(crate) fn each(signals: &mut Signals) -> impl Iterator<Item = i32> {
    let mut last: Option<Instant> = None;
    signals.forever().filter(move |_| {
        let is_same = last.is_some_and(|last| last.elapsed() < ONE);
        last = last.filter(|_| is_same).or_else(|| Some(Instant::now()));
        !is_same
    })
}

/// Set by the first Ctrl-C, so that the command can say what it has; the second ends it at once.
///
/// # Errors
/// The system refuses to tell of signals.
pub(crate) fn interruption() -> Result<Arc<AtomicBool>, Failure> {
    let mut signals = hear(&[SIGINT])?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&interrupted);
    thread::spawn(move || {
        for _ in each(&mut signals) {
            if heard.swap(true, Ordering::Relaxed) {
                process::exit(Exit::Interrupted as i32);
            }
        }
    });
    Ok(interrupted)
}
