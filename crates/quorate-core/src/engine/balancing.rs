//! Moves what runs, one move after the other, to even out the load, where the configuration asks for it.

use std::collections::BTreeMap;

use super::{Engine, standing};
use crate::change::{Cause, Change, ReleaseKind};
use crate::config::GroupConfig;
use crate::database::{Database, GroupRecord, OwnedState, Ownership};
use crate::id::NodeId;
use crate::placement::{self, Candidate, Now, UNEVEN_FOR};
use crate::timer::Timer;

impl Engine {
    /// Proposes the move that helps most, once the load has been uneven for long and nothing else is under way.
    pub(super) fn even_out(&mut self, changes: &mut Vec<Change>) {
        let Some(database) = self.database.as_ref().filter(|_| self.config.policy().rebalance)
        else {
            return;
        };
        let cluster_ms = self.cluster_ms();
        let now = standing::of(database, &[], self.times());
        let nodes = self.candidates(database);
        let rests = changes.is_empty() && is_at_rest(database);
        if !rests || !placement::is_uneven(database.config(), &nodes, &now) {
            self.uneven_since = None;
            return;
        }
        let since = self.uneven_since.unwrap_or(self.now);
        if self.now >= since + UNEVEN_FOR {
            changes.extend(moves(database, &nodes, &now, cluster_ms));
            self.uneven_since = Some(self.now);
        } else {
            self.uneven_since = Some(since);
        }
        let next = self.uneven_since.unwrap_or(self.now) + UNEVEN_FOR;
        self.timers.set_sooner(Timer::Review, next);
    }
}

/// Whether every group is where it is, and nothing keeps it from being moved.
fn is_at_rest(database: &Database) -> bool {
    let rests = |record: &GroupRecord| {
        matches!(record.owned_state(), None | Some(OwnedState::Online | OwnedState::StopFailed))
    };
    database.disarmed().is_none()
        && !database.are_moves_held()
        && database.groups().values().all(rests)
}

fn moves(
    database: &Database,
    nodes: &BTreeMap<NodeId, Candidate>,
    now: &[Now],
    cluster_ms: u64,
) -> Vec<Change> {
    let config = database.config();
    let record = |place: usize| database.group(config.groups()[place].id);
    let is_movable = |place: usize| {
        let settled = |record: &GroupRecord| {
            matches!(record.ownership, Ownership::Owned { state: OwnedState::Online, .. })
                && record.drained_from.is_none()
                && record.kept_until.is_none_or(|until| until <= cluster_ms)
        };
        record(place).is_some_and(settled) && goes_on(&config.groups()[place])
    };
    let Some((group, to)) = placement::better(config, nodes, now, is_movable) else {
        return Vec::new();
    };
    let alone = [group];
    let members = config.bonds().unit(group).unwrap_or(&alone).iter();
    let (kind, cause) = (ReleaseKind::Move, Cause::Balance);
    let release = |record: &GroupRecord, place: usize| Change::Release {
        group: config.groups()[place].id,
        epoch: record.epoch,
        to: Some(to),
        kind,
        cause,
    };
    members.filter_map(|&place| Some(release(record(place)?, place))).collect()
}

/// Whether what runs of it goes on at the next node where it has stopped here: nothing is ended for balance's sake.
fn goes_on(config: &GroupConfig) -> bool {
    config.moves_live() || config.resources.iter().any(|resource| resource.save_on_move)
}
