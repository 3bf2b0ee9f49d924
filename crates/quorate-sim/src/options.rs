//! What a run is made of, beside its seed.

use std::time::Duration;

pub use quorate_core::config::TimingInputs;
use quorate_core::config::{ClusterConfig, Timing};

pub use crate::fault::Faults;

use crate::fault::Fault;

/// A bug put into the world on purpose, so that a checker can be seen to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plant {
    /// LUNs that are said to be enforced take every write.
    LunIgnoresReservations,
    /// A killed guest is said to be dead, and runs on.
    KillLeavesRunning,
    /// Disks say that a write is stable long before it is.
    DiskLies,
    /// A paused process does not trip its host's watchdog.
    NoWatchdog,
    /// A LUN forgets every hundredth write that it acknowledged.
    LunForgets,
    /// A saved state is one write older than the guest was.
    StaleSave,
    /// A driver starts a guest under the epoch after the one it was asked for.
    DriverStartsUnasked,
    /// A reset of a LUN takes its reservation away.
    ResetReleases,
    /// The network stays cut when the faults are over.
    NeverHeals,
}

/// A fault at a time of its own.
#[derive(Clone, Debug)]
pub struct Scripted {
    /// When it begins, since the world's beginning.
    pub after: Duration,
    /// How long it lasts.
    pub length: Duration,
    /// What it is.
    pub fault: Fault,
}

/// What a run is made of, beside its seed. `None` means: drawn from the seed.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes; drawn from 3 to 5.
    pub nodes: Option<u16>,
    /// How many groups; drawn from 2 to 4.
    pub groups: Option<u32>,
    /// The timing profile; drawn from the two that ship.
    pub timing: Option<TimingInputs>,
    /// How long faults happen, in detection times of the profile.
    pub duration: u32,
    /// How long faults happen, whatever the profile.
    pub time: Option<Duration>,
    /// How long it is, on the average, from one fault to the next; drawn around the detection time.
    pub pace: Option<Duration>,
    /// The numbers of those faults that happen: the others of the seed are left out. None: all do.
    pub chosen: Option<Vec<usize>>,
    /// What may happen.
    pub faults: Faults,
    /// What does happen, beside what is drawn: what if?
    pub script: Vec<Scripted>,
    /// A bug in the world.
    pub plant: Option<Plant>,
    /// The name of the one checker that judges. None: all do.
    pub only: Option<&'static str>,
    /// Whether the story is kept.
    pub story: bool,
    /// Whether the timeline is kept.
    pub timeline: bool,
    /// The cluster. None: it is drawn from the seed, by the counts above.
    pub config: Option<ClusterConfig>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: None,
            groups: None,
            timing: None,
            duration: 15,
            time: None,
            pace: None,
            chosen: None,
            faults: Faults::ALL,
            script: Vec::new(),
            plant: None,
            only: None,
            story: false,
            timeline: false,
            config: None,
        }
    }
}

/// How long a healed cluster may take until everything that can run is online.
///
/// Every node must be found silent and admitted again, a coordinator elected, commands to LUNs that will never be
/// answered must time out at each of a group's steps, hung guests must run into their timeout, and a start that
/// failed is tried again.
pub fn convergence_budget(timing: &Timing, pending_timeout: Duration) -> Duration {
    timing.detect * 6 + timing.election_max * 6 + timing.io_bound * 4 + pending_timeout * 3
}
