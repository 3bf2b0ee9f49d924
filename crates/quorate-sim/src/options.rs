//! What a run is made of, beside its seed.

use std::time::Duration;

use quorate_core::config::ClusterConfig;
pub use quorate_core::config::TimingInputs;
use quorate_core::config::timing::DetectionMode;

/// Detection in 300 s, six heartbeats, for long runs: the rules are the same, only slower, so that a year of faults and
/// recoveries has as few heartbeats as two days by default. Windows clustering may be set to 480 s at most (4 s x 120).
pub const SLOW: TimingInputs = TimingInputs {
    detect: Duration::from_secs(300),
    interval: Duration::from_secs(50),
    stop_time: Duration::from_secs(50),
    io_bound: Duration::from_secs(150),
    drift_ppm: 1_000,
    mode: DetectionMode::Adaptive,
};

pub use crate::fault::Faults;

use crate::fault::{Fault, FaultKind};

macro_rules! plants {
    ($($name:ident: $what:literal,)*) => {
        /// A bug put into the world on purpose, so that a checker can be seen to fail. Those of engines are in
        /// `quorate_core::plant`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Plant { $(#[doc = $what] $name),* }

        impl Plant {
            /// Every bug.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What is wrong with it, for people.
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what),* }
            }
        }
    };
}

plants! {
    LunIgnoresReservations: "LUNs that are said to be enforced take every write.",
    PreemptLeavesRegistration: "A LUN gives the reservation to who preempts, and leaves the victim registered.",
    ResetReleases: "A reset of a LUN takes its reservation away.",
    LunForgets: "A LUN forgets every hundredth write that it acknowledged.",
    StaleSave: "A saved state is one write older than the guest was.",
    KillLeavesRunning: "A killed guest is said to be dead, and runs on.",
    GuestOutlivesProcess: "What a process has started outlives it, and nobody looks for it.",
    DriverStartsUnasked: "A driver starts a guest under the epoch after the one it was asked for.",
    DiskLies: "Disks say that a write is stable long before it is.",
    RewriteTears: "A crash leaves a rewritten log without its end, until the next write is stable.",
    RotUnnoticed: "A damaged log is cut off at the damage, and its node goes on with the rest.",
    ClockBeyondBound: "A clock runs at half of its rate, though two clocks may not differ so much.",
    WitnessSwapsBlindly: "The witness's register takes a swap whatever it expects to find.",
    NoWatchdog: "A paused process does not trip its host's watchdog.",
    NeverHeals: "The network stays cut when the faults are over.",
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
    /// Whether there are rules between groups and limits of nodes, one kind drawn for each seed.
    pub ruled: bool,
    /// What may happen.
    pub faults: Faults,
    /// What does happen, beside what is drawn: what if?
    pub script: Vec<Scripted>,
    /// A bug in the world.
    pub plant: Option<Plant>,
    /// A bug in every engine.
    #[cfg(feature = "plants")]
    pub mistake: Option<quorate_core::plant::Plant>,
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
            ruled: false,
            faults: Faults::ALL,
            script: Vec::new(),
            plant: None,
            #[cfg(feature = "plants")]
            mistake: None,
            only: None,
            story: false,
            timeline: false,
            config: None,
        }
    }
}

impl Options {
    /// A run in which nodes come and go, amid the faults whose turn it is with this seed; every other one is longer and
    /// faster.
    pub fn of_members(seed: u64) -> Self {
        let faults = Faults::turn(seed).with(FaultKind::AddNode, 50).with(FaultKind::EvictNode, 60);
        let drawn = Self { faults, duration: 25, ..Self::default() };
        match seed / 5 % 2 {
            0 => drawn,
            _ => {
                let timing = TimingInputs::FAST;
                let pace = Some(timing.detect * 3 / 4);
                Self { timing: Some(timing), pace, duration: 40, ..drawn }
            }
        }
    }

    /// A run in which configurations change; every fourth seed has all kinds of faults, the others few of them.
    pub fn of_configurations(seed: u64) -> Self {
        use FaultKind::*;
        let change = [Configure, AddGroup, RemoveGroup];
        let only = |kinds: &[FaultKind]| Faults::only(&[&change, kinds].concat());
        let faults = match seed % 4 {
            0 => Faults::CONFIGURED,
            1 => only(&[Command, Crash, StartFails, GuestDies]),
            2 => Faults::CONFIGURED.with(Configure, 100).with(AddGroup, 40).with(RemoveGroup, 40),
            _ => only(&[CutNode, Split, PauseProcess, LunPath, LunSlow]),
        };
        let ruled = seed / 4 % 3 == 1;
        let timing = (seed / 4 % 2 == 1).then_some(TimingInputs::FAST);
        Self { faults, ruled, timing, duration: 40, ..Self::default() }
    }
}
