//! A whole quorate cluster in one thread with one seed.
//!
//! [`run()`] takes a seed and makes of it a cluster, its networks, LUNs, clocks, disks and guests, and a schedule of
//! faults; runs the very [`quorate_core::Engine`] on every node of it, in virtual time; and lets [`checker`]s look at
//! every fact. Then it mends everything and demands that all that can run comes online. The same seed and options
//! give the same run, byte for byte.
//!
//! *Architecture Invariant*: nothing here reads a clock, draws randomness from the system, or starts a thread; and
//! no checker asks an engine what is true: it looks at the world.

#![forbid(unsafe_code)]

pub mod chance;
pub mod checker;
pub mod clock;
pub mod cluster;
pub mod coverage;
pub mod digest;
pub mod disk;
pub mod fault;
pub mod guest;
pub mod host;
pub mod hosts;
pub mod network;
pub mod options;
pub mod picture;
#[cfg(feature = "plants")]
pub mod planting;
mod ruled;
pub mod run;
pub mod scenario;
pub mod schedule;
pub mod spoken;
pub mod stats;
pub mod storage;
pub mod testing;
pub mod timeline;
pub mod trace;
pub mod unrest;
pub mod variant;
pub mod what_if;
pub mod world;

pub use coverage::Coverage;
pub use fault::{Fault, FaultKind};
pub use options::{Faults, Options, Plant, Scripted};
pub use run::{Outcome, run, run_while};
pub use stats::Stats;
