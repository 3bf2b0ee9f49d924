//! How every group stands, in the words of placement.

use crate::change::Cause;
use crate::config::GroupConfig;
use crate::database::{Database, GroupRecord, NodeState, OwnedState, Ownership, Vacancy};
use crate::id::NodeId;
use crate::placement::Now;
use crate::plant::{self, Plant};
use crate::time::millis;

/// Which time it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The cluster's time in milliseconds.
    pub(super) cluster_ms: u64,
    /// The time of day in seconds, as the configuration counts it; none: it is not known.
    pub(super) of_day: Option<u64>,
}

/// One entry for each group, by its place in the configuration. Nodes that fall go down by changes that are not
/// committed yet.
pub(super) fn of(database: &Database, falling: &[NodeId], times: Times) -> Vec<Now> {
    let config = database.config();
    let of_group = |group: &GroupConfig| {
        let record = database.group(group.id);
        let now = record.map(|record| of_one(database, group, record, falling, times));
        now.unwrap_or_default()
    };
    config.groups().iter().map(of_group).collect()
}

/// How long until a group may fail back, in seconds, as far as hours are set; none: the time of day is not known.
pub(super) fn opens_in(config: &GroupConfig, times: Times) -> Option<u64> {
    match config.wishes.failback_hours {
        None => Some(0),
        Some(hours) => Some(hours.opens_in(times.of_day?)),
    }
}

/// Whether it ran, and has ended only to run where it should.
fn is_under_way(record: &GroupRecord) -> bool {
    match record.ownership {
        Ownership::Owned { .. } => true,
        Ownership::Vacant(Vacancy::NeverOwned) => false,
        Ownership::Vacant(_) => match record.cause {
            Cause::Move
            | Cause::Drain
            | Cause::Failback
            | Cause::NotPossible
            | Cause::Order
            | Cause::Rule
            | Cause::Balance => true,
            Cause::NodeDown
            | Cause::Found
            | Cause::Start
            | Cause::Failure
            | Cause::Online
            | Cause::Offline
            | Cause::Stopped => false,
        },
    }
}

fn of_one(
    database: &Database,
    config: &GroupConfig,
    record: &GroupRecord,
    falling: &[NodeId],
    times: Times,
) -> Now {
    let cluster_ms = times.cluster_ms;
    let held = database.are_moves_held();
    let due = record.failed_until.is_none_or(|until| until <= cluster_ms);
    let avoids = record.failed_lately(cluster_ms, millis(config.failover_period)).to_vec();
    let base = Now {
        wanted: record.is_wanted() && due,
        at: record.seat,
        runs: false,
        under_way: is_under_way(record),
        recovers: record.cause == Cause::NodeDown
            && !matches!(record.ownership, Ownership::Vacant(Vacancy::NeverOwned)),
        fixed: database.is_kept(record) && record.is_wanted(),
        home: record.drained_from.filter(|_| !held),
        stays: held || record.stays || opens_in(config, times).is_none_or(|left| left > 0),
        unreached: database.unreached(config),
        avoids,
        banned: record.banned_on(&config.wishes, cluster_ms),
        load: record.load.clone(),
    };
    let Ownership::Owned { node, incarnation, state, .. } = record.ownership else { return base };
    let owner = database.node(node).filter(|owner| owner.incarnation == incarnation);
    let down = falling.contains(&node)
        || owner
            .is_none_or(|owner| matches!(owner.state, NodeState::Down(_) | NodeState::Fenced(_)));
    if down {
        let at = record.seat.filter(|&seat| seat != node);
        return Now { at, under_way: false, recovers: true, ..base };
    }
    let disarmed = database.disarmed().is_some() && !plant::is(Plant::DisarmIgnored);
    let held = held || !record.is_managed() || disarmed;
    match state {
        OwnedState::Releasing { to: Some(to), .. } if record.is_wanted() => {
            Now { at: Some(to), runs: true, fixed: true, ..base }
        }
        // It is to run nowhere, or to start anew where placement says.
        OwnedState::Releasing { .. } => Now { at: Some(node), ..base },
        OwnedState::StopFailed => Now { at: Some(node), runs: true, fixed: true, ..base },
        OwnedState::Starting | OwnedState::Online => {
            let stays = held && (record.is_wanted() || !record.is_managed());
            Now { at: Some(node), runs: true, fixed: stays, ..base }
        }
    }
}
