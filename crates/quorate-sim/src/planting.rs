//! Bugs on purpose, one at a time: what catches each, and how soon.

use quorate_core::id::NodeId;
use quorate_core::plant::Plant as Mistake;

use crate::fault::{Edit, Fault, FaultKind, Faults};
use crate::options::{Options, Plant, Scripted, TimingInputs};
use crate::run::run;

/// A bug, in the engines or in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// In every engine.
    Engine(Mistake),
    /// In the world.
    World(Plant),
}

/// Who has caught a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// The checker; `Engine`: an engine's own assertion.
    pub checker: &'static str,
    /// How many seeds it took.
    pub seeds: u64,
    /// What it saw.
    pub what: String,
}

impl Bug {
    /// Every bug.
    pub fn all() -> impl Iterator<Item = Self> {
        let engine = Mistake::ALL.iter().map(|&mistake| Self::Engine(mistake));
        engine.chain(Plant::ALL.iter().map(|&plant| Self::World(plant)))
    }

    /// Its name.
    pub fn name(self) -> String {
        match self {
            Self::Engine(mistake) => format!("{mistake:?}"),
            Self::World(plant) => format!("{plant:?}"),
        }
    }

    /// What is wrong with it.
    pub fn what(self) -> &'static str {
        match self {
            Self::Engine(mistake) => mistake.what(),
            Self::World(plant) => plant.what(),
        }
    }

    /// The runs in which it is looked for. Nothing here is made for one bug; nodes come and go only where that is it.
    pub fn options(self, seed: u64) -> Options {
        let options = match self {
            Self::Engine(
                Mistake::VoteBeforeCaughtUp
                | Mistake::EvictedStillVotes
                | Mistake::ElectorateForgotten,
            ) => Options::of_members(seed),
            Self::Engine(_) | Self::World(_) => setting(seed),
        };
        match self {
            Self::Engine(mistake) => Options { mistake: Some(mistake), ..options },
            Self::World(plant) => Options { plant: Some(plant), ..options },
        }
    }

    /// Looks for it in the seeds from 0 on, as long as `more` says so.
    pub fn hunt(self, mut more: impl FnMut(u64) -> bool) -> Option<Caught> {
        (0..).take_while(|&seed| more(seed)).find_map(|seed| {
            let first = run(seed, &self.options(seed)).violations.into_iter().next()?;
            let sound = Options { mistake: None, plant: None, ..self.options(seed) };
            assert!(run(seed, &sound).is_clean(), "seed {seed} is broken without any bug");
            Some(Caught { checker: first.checker, seeds: seed + 1, what: first.what })
        })
    }
}

/// The seeds turn by turn through all faults and the sets of them that bring out one class of bugs each, in runs as
/// they are drawn, and in longer ones; and through storms.
pub fn setting(seed: u64) -> Options {
    let drawn = Options { faults: Faults::turn(seed), ..Options::default() };
    match seed / 5 % 3 {
        0 if seed.is_multiple_of(2) => {
            let faults = drawn.faults.with(FaultKind::Policy, 40).with(FaultKind::Busy, 8);
            let faults = faults.with(FaultKind::Handover, 8);
            Options { ruled: true, faults, ..drawn }
        }
        0 if seed % 10 < 5 => configured(seed),
        0 => drawn,
        1 => storm(seed),
        _ if seed % 5 == 1 => quiet(),
        _ if seed % 5 == 3 => lone(),
        _ if seed % 5 == 4 => halves(),
        _ => Options { duration: drawn.duration * 3, ..drawn },
    }
}

/// A run in which configurations come and go, and limits are in force soon after the beginning.
fn configured(seed: u64) -> Options {
    use FaultKind::*;
    let timing = TimingInputs::FAST;
    let fails: &[FaultKind] = &[StartFails, StartFails, Crash, Configure];
    let comes_and_goes: &[FaultKind] =
        &[Crash, PowerLoss, CutNode, AddGroup, RemoveGroup, Configure];
    let dies: &[FaultKind] = &[StartFails, GuestDies, GuestDies, GuestDies];
    let (edit, kinds) = match (seed % 5 == 1, seed / 30 % 3) {
        (true, 0) => (Edit::Threshold(0, timing.detect * 8), fails),
        (true, 1) => (Edit::Banned(Some(1), timing.detect * 60), dies),
        (true, _) => (Edit::Alike(Some(1), timing.detect * 60), dies),
        (false, 0 | 2) => (Edit::Losses(Some(1), timing.detect * 20), comes_and_goes),
        (false, _) => (Edit::Everywhere(Some(timing.detect * 20)), dies),
    };
    let weigh = |faults: Faults, &kind: &FaultKind| faults.with(kind, faults.weight(kind) + 1);
    let fault = Fault::Configure(NodeId(1), edit);
    let limits = Scripted { after: timing.detect * 5, length: timing.detect * 60, fault };
    Options {
        faults: kinds.iter().fold(Faults::NONE, weigh),
        script: vec![limits],
        nodes: Some(5),
        groups: Some(5),
        timing: Some(timing),
        pace: Some(timing.detect),
        duration: 60,
        ..Options::default()
    }
}

/// A long run in which little happens, in a cluster with much to do.
fn quiet() -> Options {
    let timing = TimingInputs::FAST;
    let pace = Some(timing.detect * 150);
    Options { timing: Some(timing), pace, groups: Some(8), duration: 400, ..Options::default() }
}

/// Three nodes: while one is gone, whichever of the others decides stands still, and nobody can take its place.
fn lone() -> Options {
    use FaultKind::*;
    let kinds = [PauseEngine, PauseProcess, Crash, PowerLoss];
    let timing = TimingInputs::FAST;
    Options {
        faults: kinds.iter().fold(Faults::NONE, |faults, &kind| faults.with(kind, 1)),
        nodes: Some(3),
        timing: Some(timing),
        pace: Some(timing.detect),
        groups: Some(2),
        duration: 60,
        ..Options::default()
    }
}

/// Two nodes with a witness, each of which is soon the other half.
fn halves() -> Options {
    use FaultKind::*;
    let kinds = [CutNode, Split, CutOneWay, WitnessPath, PauseEngine, WitnessSlow];
    let timing = TimingInputs::FAST;
    Options {
        faults: kinds.iter().fold(Faults::NONE, |faults, &kind| faults.with(kind, 1)),
        nodes: Some(2),
        timing: Some(timing),
        pace: Some(timing.detect / 2),
        groups: Some(5),
        duration: 60,
        ..Options::default()
    }
}

/// A run in which one fault meets the next, of few kinds, in a cluster with much to do.
pub fn storm(seed: u64) -> Options {
    use FaultKind::*;
    let kinds: &[FaultKind] = match seed % 5 {
        // A LUN is taken by one who is cut off meanwhile.
        0 => &[
            CutNode,
            CutOneWay,
            PauseEngine,
            LunSlow,
            LunPath,
            Command,
            WitnessUnmounted,
            WitnessPath,
        ],
        // Nodes hear each other by way of others, and connections break.
        1 => &[StreamReset, PartialMesh, Ring, Bridge, PauseProcess, Loss, WitnessLoses],
        // Whoever decides stands still while others are gone.
        2 => &[PauseEngine, PauseProcess, Crash, PowerLoss, CutNode, WitnessPath, WitnessOff],
        // Disks forget, and are slow to remember.
        3 => &[Crash, CrashMidway, TornWrite, DiskSlow, Wipe],
        // Guests do not end where their node has to let them go.
        _ => &[KillFails, GuestHangs, HostNever, CutNode, Command],
    };
    let timing = TimingInputs::FAST;
    // Every other one leaves time for a fault to be followed by all that comes of it.
    let pace = if seed.is_multiple_of(2) { timing.detect / 2 } else { timing.detect * 2 };
    Options {
        faults: kinds.iter().fold(Faults::NONE, |faults, &kind| faults.with(kind, 1)),
        timing: Some(timing),
        pace: Some(pace),
        groups: Some(5),
        duration: 30,
        ..Options::default()
    }
}
