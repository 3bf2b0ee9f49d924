//! What really happened in a run, in the order of the world's time: for people, pictures and judges.
//!
//! The facts are the world's, not any engine's belief, except where the kind says so: `node_suspect`,
//! `node_believed_down`, `fence_requested`, `group_assigned`, `coordinator`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use quorate_core::id::{GroupId, NodeId, ResourceId};
use serde::{Serialize, Serializer};

use crate::clock::Moment;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal),* $(,)?) => {
        /// What an entry is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $kind),* }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// The name under which it is written down.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name),* }
            }
        }
    };
}

kinds! {
    /// All of a group's resources run on a node.
    GroupStarted = "group_started",
    /// Nothing of a group runs on a node any more, in order.
    GroupStopped = "group_stopped",
    /// A start of a group's resource failed.
    GroupStartFailed = "group_start_failed",
    /// A resource of a group did not stop.
    GroupStopFailed = "group_stop_failed",
    /// What ran of a group died with its node or its node's process.
    GroupKilled = "group_killed",
    /// A resource of a group died by itself.
    GroupDied = "group_died",
    /// A group goes on elsewhere without an interruption.
    GroupMovedLive = "group_moved_live",
    /// A group's state was saved, and it runs no more here.
    GroupSaved = "group_saved",
    /// A group goes on from its saved state.
    GroupResumed = "group_resumed",
    /// A committed change gives a group to a node.
    GroupAssigned = "group_assigned",
    /// A resource of a group with several runs.
    MemberStarted = "member_started",
    /// It runs no more.
    MemberStopped = "member_stopped",
    /// It died with its node or its node's process.
    MemberKilled = "member_killed",
    /// It died by itself.
    MemberDied = "member_died",
    /// Its start failed.
    MemberStartFailed = "member_start_failed",
    /// It did not stop.
    MemberStopFailed = "member_stop_failed",
    /// A host has power, or its process runs.
    NodeUp = "node_up",
    /// A host has lost power or its process has ended.
    NodeDown = "node_down",
    /// A process stands still.
    NodePaused = "node_paused",
    /// It goes on.
    NodeGoesOn = "node_goes_on",
    /// A coordinator misses a node's heartbeats.
    NodeSuspect = "node_suspect",
    /// It hears the node again.
    NodeHeard = "node_heard",
    /// A node is cut off: a coordinator finds it beating on storage alone, or it has lost the right to act.
    NodeIsolated = "node_isolated",
    /// A node that was to be emptied runs nothing any more.
    NodeDrained = "node_drained",
    /// A committed change says that a node is down.
    NodeBelievedDown = "node_believed_down",
    /// A committed change admits a node.
    NodeAdmitted = "node_admitted",
    /// The proof that a node is harmless is asked for.
    FenceRequested = "fence_requested",
    /// A node is proven harmless.
    FenceConfirmed = "fence_confirmed",
    /// A node may not act any more.
    LeaseLost = "lease_lost",
    /// A node may act.
    LeaseGained = "lease_gained",
    /// A node coordinates.
    Coordinator = "coordinator",
    /// A node holds a LUN.
    LunHeld = "lun_held",
    /// A node has given a LUN back.
    LunReleased = "lun_released",
    /// A node has lost a LUN.
    LunLost = "lun_lost",
    /// A LUN refused a write.
    WriteRefused = "write_refused",
    /// The actions of a story's step come.
    Step = "step",
    /// A fault begins.
    FaultBegins = "fault_begins",
    /// A fault ends.
    FaultEnds = "fault_ends",
    /// Faults are over for good.
    Healed = "healed",
    /// A promise was broken.
    Violation = "violation",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When, in nanoseconds since the world's beginning.
    pub at: Moment,
    /// What.
    pub kind: Kind,
    /// To whom: the name of a group, a node or a LUN; for a fault, its number.
    pub subject: String,
    /// The name of the node where it happened, unless that is the subject.
    pub node: Option<String>,
    /// More, for people; may be empty.
    pub detail: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {} {}", self.at, self.kind, self.subject)?;
        if let Some(node) = &self.node {
            write!(f, " on {node}")?;
        }
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        Ok(())
    }
}

/// What is said of a fence where the proof is about an earlier boot of a node that runs again, or about a node that
/// leaves in order: nobody is fenced.
pub const PROVES_NOTHING_NEW: &str = "nobody is fenced";

/// How something began to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It was started.
    Fresh,
    /// It goes on from its saved state.
    Resumed,
    /// It was handed over as it ran.
    MovedLive,
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to stop, or killed by its engine.
    Stopped,
    /// Its state was saved.
    Saved,
    /// It was handed over, and goes on elsewhere.
    Sent,
    /// Its host or its engine's process died.
    Killed,
    /// It died by itself, or its start failed.
    Died,
}

/// The record. It is kept only where somebody wants it.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    entries: Vec<Entry>,
    running: BTreeMap<(GroupId, NodeId), BTreeSet<ResourceId>>,
    whole: BTreeSet<(GroupId, NodeId)>,
    said: BTreeSet<(Kind, u64, u64)>,
}

impl Timeline {
    /// What happened so far.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The same, to be kept.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// Adds an entry.
    pub fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Whether something that every node tells is told for the first time.
    pub(crate) fn is_new(&mut self, kind: Kind, what: u64, when: u64) -> bool {
        self.said.insert((kind, what, when))
    }

    /// A resource runs; whether its group does so wholly from here on, which has `all` resources.
    pub(crate) fn begins(
        &mut self,
        group: GroupId,
        node: NodeId,
        resource: ResourceId,
        all: usize,
    ) -> bool {
        let running = self.running.entry((group, node)).or_default();
        running.insert(resource);
        running.len() == all && self.whole.insert((group, node))
    }

    /// A resource has ended; whether it was the last of its group there. None: it did not run yet.
    pub(crate) fn ends(
        &mut self,
        group: GroupId,
        node: NodeId,
        resource: ResourceId,
    ) -> Option<bool> {
        let running = self.running.entry((group, node)).or_default();
        let ran = running.remove(&resource);
        let last = ran && running.is_empty();
        if last {
            self.whole.remove(&(group, node));
        }
        ran.then_some(last)
    }
}
