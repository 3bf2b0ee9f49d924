//! What a driver runs: one guest a resource, and the requests it is working on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_core::action::ResourceVerb;
use quorate_core::id::{Epoch, GroupId, LunId, OpId, SaveToken};
use serde::Serialize;

use crate::clock::Moment;

/// How far a guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Stage {
    /// Its process exists, it has not read its LUNs yet.
    Starting,
    /// It reads its LUNs.
    Reading,
    /// Its saved state is loaded, it does not run.
    Loaded,
    /// It runs.
    Running,
    /// It is halted: it is being stopped, saved or handed over.
    Halted,
    /// Its I/O has failed: it stands still for good.
    Failed,
}

/// A guest.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Which guest of the world.
    pub serial: u64,
    /// Its group.
    pub group: GroupId,
    /// The epoch in which it was started.
    pub epoch: Epoch,
    /// How far it is.
    pub stage: Stage,
    /// The newest record it knows to be on each of its LUNs.
    pub records: BTreeMap<LunId, u64>,
    /// LUNs on which a write of it is under way.
    pub writing: BTreeSet<LunId>,
    /// When it will write to each next: what was planned for another moment is void.
    pub next_writes: BTreeMap<LunId, Moment>,
    /// LUNs it has still to read.
    pub reading: BTreeSet<LunId>,
    /// The saved state it was loaded from.
    pub token: Option<SaveToken>,
    /// It will not stop when asked.
    pub hangs: bool,
    /// Nobody looks after it: whoever is asked to start it takes it as it is.
    pub is_found: bool,
}

impl Guest {
    /// Whether it counts as running: it was started and nobody has seen its end. A guest that is loaded and was
    /// never run does not.
    pub fn runs(&self) -> bool {
        self.stage != Stage::Loaded
    }

    /// Whether it would write.
    pub fn writes(&self) -> bool {
        self.stage == Stage::Running
    }
}

/// What a driver is working on.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// The request.
    pub op: OpId,
    /// What it asks.
    pub verb: ResourceVerb,
    /// Which work of the world: what was planned for an earlier one is void.
    pub serial: u64,
}

/// A driver's place for one resource.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// What runs.
    pub guest: Option<Guest>,
    /// What the driver is working on.
    pub work: Option<Work>,
    /// What it will work on.
    pub queue: VecDeque<(OpId, ResourceVerb)>,
    /// How many of the next starts fail.
    pub failing_starts: u32,
    /// How many of the next kills fail.
    pub failing_kills: u32,
    /// A kill of what runs here has failed.
    pub unkilled: bool,
    /// The next guest here will hang when asked to stop.
    pub hanging: bool,
}
