//! Waiting for a condition, with a bound, and with an ear for Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Moment;
use super::error::LabError;

/// How long to rest between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Set when the user or the system wants us to stop.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes every wait of the lab end with [`LabError::Interrupted`].
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// Whether [`interrupt`] was called.
#[must_use]
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Looks until `condition` gives something, at most for `bound`.
///
/// # Errors
/// [`LabError::TooLate`], or [`LabError::Interrupted`].
pub fn until<T>(
    what: &str,
    bound: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T, LabError> {
    let end = Moment::now() + bound;
    loop {
        if let Some(found) = condition() {
            return Ok(found);
        }
        if is_interrupted() {
            return Err(LabError::Interrupted);
        }
        if Moment::now() > end {
            return Err(LabError::TooLate {
                what: what.to_owned(),
                waited: bound,
                said: String::new(),
            });
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}
