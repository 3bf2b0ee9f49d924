//! From one engine of a node to the next: an engine that is replaced while what it has started runs on.
//!
//! The successor is the same incarnation on the same clock, with the same lease, which goes on to end by time: nobody
//! else can tell the two apart. So it must know all that its predecessor has promised. What was promised to voters is
//! in the log, which is whole when nothing is being persisted. What was asked of drivers is known only where it was
//! answered: a group in the midst of anything, or whose LUNs went through the predecessor, is ended.
//!
//! *Architecture Invariant*: the driver ends what the predecessor has started once its lease is over, unless a
//! successor is there. Two engines of one incarnation never run at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Engine, Standing};
use crate::database::{Database, Ownership, Vacancy};
use crate::durable::Durable;
use crate::group::{Entitlement, Goal, LocalGroup};
use crate::id::{Epoch, GroupId, Incarnation, NodeId, VoterId};
use crate::lease::Lease;
use crate::time::Instant;

/// What an engine leaves to its successor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handover {
    incarnation: Incarnation,
    session_since: Instant,
    beat_sequence: u64,
    acknowledged: BTreeMap<NodeId, Instant>,
    database: Database,
    /// What it has started.
    pub groups: Vec<Inherited>,
}

/// A group that an engine leaves to its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inherited {
    /// The group.
    pub group: GroupId,
    /// The epoch in which it was started.
    pub epoch: Epoch,
    /// All of it runs, and nothing is under way. The driver says no where that is not so any more when the successor
    /// begins: then what is left is ended.
    pub runs: bool,
}

impl Engine {
    /// What a successor needs to go on where this engine stands, which must not be stepped again; none: not now, since
    /// it takes no part, is leaving, or waits for its disk.
    pub fn hand_on(&self) -> Option<Handover> {
        let ready = self.standing == Standing::Member && self.persisting.is_empty();
        let database = self.database.clone().filter(|_| ready && !self.leaving)?;
        let begun =
            self.groups.values().filter(|one| one.goal() != Goal::Run || !one.is_untouched());
        let inherited = |group: &LocalGroup| Inherited {
            group: group.id(),
            epoch: group.epoch(),
            runs: group.is_at_rest() && group.incarnation() == self.incarnation,
        };
        Some(Handover {
            incarnation: self.incarnation,
            session_since: self.session_since,
            beat_sequence: self.beat_sequence,
            acknowledged: self.lease.acknowledged().clone(),
            database,
            groups: begun.map(inherited).collect(),
        })
    }

    /// Goes on where a predecessor stood. A log that does not hold all of what that had applied is of another time:
    /// then this is another session of the node, and everything inherited is ended.
    pub(super) fn inherit(&mut self, identity: VoterId, durable: &Durable, handover: Handover) {
        let Handover { incarnation, session_since, beat_sequence, acknowledged, database, groups } =
            handover;
        let last = durable.entries.last().map(|entry| entry.index);
        let last = last.max(durable.snapshot.as_ref().map(|snapshot| snapshot.index));
        let is_whole = last >= Some(database.applied());
        self.incarnation = incarnation;
        self.beat_sequence = beat_sequence;
        for inherited in groups {
            let runs = inherited.runs && is_whole;
            if let Some(group) = self.inherited(&database, Inherited { runs, ..inherited }) {
                self.groups.insert(inherited.group, group);
            }
        }
        if is_whole {
            self.session_since = session_since;
            self.lease = Lease::of(acknowledged);
            self.adopt_config(database.config());
            let mut durable = durable.clone();
            let applied = database.applied();
            if let Some((_, _, commit)) = &mut durable.hard_state {
                *commit = applied.max(*commit);
            }
            self.start_consensus(identity, &durable, applied);
            self.database = Some(database);
            self.on_applied();
        } else {
            self.incarnation = incarnation.next_session();
            self.take_part(identity, durable);
        }
        self.touch_all();
    }

    /// A group as its predecessor left it; none: nobody looks after it any more.
    fn inherited(&self, database: &Database, inherited: Inherited) -> Option<LocalGroup> {
        let Inherited { group, epoch, runs } = inherited;
        let config = database.config().group(group)?;
        let vacancy = match database.group(group)?.ownership {
            Ownership::Owned { vacancy, .. } | Ownership::Vacant(vacancy) => vacancy,
        };
        let vacancy = if runs { vacancy } else { Vacancy::NeverOwned };
        let (node, incarnation) = (self.me, self.incarnation);
        let (cluster, enforced) = (database.config().id(), database.config().is_enforced(config));
        let entitlement = Entitlement { cluster, node, incarnation, epoch, vacancy, enforced };
        let is_part = |lun| database.config().is_part(lun);
        let mut group = LocalGroup::inherited(config, entitlement, is_part);
        if !runs {
            group.abandon();
        }
        Some(group)
    }
}
