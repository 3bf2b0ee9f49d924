//! The simulator's LUN beside real ones: what holds in a simulated year must hold on a device.
//!
//! Two kinds of target: tgt, in user space, and the Linux kernel's own (LIO) in a small guest; what
//! needs the latter is ignored unless it is asked for (`make test-kernel`). How many commands and
//! writes: `QUORATE_COMMANDS` and `QUORATE_WRITES`. 100000 of each are a whole run.

mod deviations;
mod differential;
mod real;
mod stale;

/// What counts as a whole run, in which everything that is rare comes up too.
pub(crate) const WHOLE: u64 = 100_000;

/// A count from the environment.
pub(crate) fn count(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
        Err(_) => otherwise,
    }
}
