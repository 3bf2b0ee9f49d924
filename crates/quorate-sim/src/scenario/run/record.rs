//! A record of a cluster to start from: a past that has led to it.
//!
//! All nodes were up then. What is recorded as running ran on its owner, what was on its way to another node has been
//! promised to it, what had failed failed as often as it may. Then the power of all was lost at once, or, where a node
//! does not boot when the facts begin, its own: it is neither known to have left nor proven dead.

use std::collections::BTreeMap;

use quorate_core::database::{Database, OwnedState};
use quorate_core::id::{GroupId, NodeId, ResourceId};
use quorate_core::message::Command;

use super::super::model::{InitialState, RecordedGroup, RecordedNode, RecordedState};
use super::Stage;

/// More attempts than any group has.
const ALWAYS: u32 = u32::MAX;

impl Stage<'_> {
    /// Lets come about what a record says. `up`: which nodes boot when the facts begin.
    pub(super) fn live_through(&mut self, record: &InitialState, up: &BTreeMap<String, bool>) {
        self.wish(Command::HoldMoves { held: true });
        let mut ran: Vec<GroupId> = Vec::new();
        let mut failed: Vec<(GroupId, ResourceId)> = Vec::new();
        for (name, recorded) in &record.groups {
            let Some(planned) = self.plan.groups.iter().find(|one| one.name == *name).cloned()
            else {
                continue;
            };
            let group = planned.configured.clone();
            // Nothing of it runs yet: whoever has it starts it.
            if let Some(seat) = recorded.seat(up) {
                let to = Some(self.name_of(self.plan.names.id_of(seat)));
                self.wish(Command::Move { group: group.clone(), to, restart: false });
            }
            match recorded.state {
                RecordedState::Started | RecordedState::Fence => {
                    ran.push(planned.id);
                    self.wish(Command::Online { group });
                }
                RecordedState::Error => {
                    self.world.starts_fail_anywhere(planned.resource, ALWAYS);
                    failed.push((planned.id, planned.resource));
                    self.wish(Command::Online { group });
                }
                RecordedState::Stopped | RecordedState::Recovery | RecordedState::Migrate => {}
            }
        }
        self.wait("the record does not come about", |stage| {
            let Some(database) = stage.database().filter(|_| !stage.is_asking()) else {
                return false;
            };
            let is_online = |id: &GroupId| {
                let record = database.group(*id);
                record.and_then(|record| record.owned_state()) == Some(OwnedState::Online)
            };
            let has_failed = |(id, _): &(GroupId, ResourceId)| is_left_failed(database, *id);
            ran.iter().all(is_online) && failed.iter().all(has_failed)
        });
        for (_, resource) in failed {
            self.world.starts_fail_anywhere(resource, 0);
        }
        self.end_the_past();
    }

    /// Whether a node that does not boot is recorded as one that took part, or that had something.
    pub(super) fn is_recorded_there(&self, record: &InitialState, node: NodeId) -> bool {
        let names = &self.plan.names;
        let took_part = |(name, state): (&String, &RecordedNode)| {
            names.id_of(name) == node && *state != RecordedNode::Unknown
        };
        let had = |group: &RecordedGroup| {
            let runs = matches!(group.state, RecordedState::Started | RecordedState::Fence);
            runs && group.owner.as_ref().is_some_and(|owner| names.id_of(owner) == node)
        };
        record.nodes.iter().any(took_part) || record.groups.values().any(had)
    }
}

fn is_left_failed(database: &Database, id: GroupId) -> bool {
    let record = database.group(id);
    record.is_some_and(|record| record.failed_until.is_some() && record.owner().is_none())
}
