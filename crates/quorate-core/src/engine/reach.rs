//! The way to each LUN is one more link that is watched: what a host does not reach it says to the cluster, and nothing
//! goes there that needs it. A group whose LUN is away here goes where somebody reaches it; where nobody does it stands
//! still, and goes on when its LUN is back.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::change::Change;
use crate::database::Database;
use crate::group::Goal;
use crate::id::{Epoch, GroupId, LunId, NodeId};
use crate::lock::LockFailure;
use crate::notice::Notice;
use crate::placement;
use crate::time::Instant;
use crate::timer::Timer;

/// What this host does not reach.
#[derive(Debug, Default)]
pub(super) struct Reach {
    away: BTreeSet<LunId>,
    overdue: BTreeMap<LunId, Overdue>,
    /// What was said last, to whom and when.
    said: Option<(BTreeSet<LunId>, NodeId, Instant)>,
}

/// A LUN of a group here that was waited for in vain.
#[derive(Clone, Copy, Debug)]
struct Overdue {
    epoch: Epoch,
    /// Nobody reached it.
    stands: bool,
    /// Since when another node reaches it.
    elsewhere: Option<Instant>,
}

impl Engine {
    pub(super) fn on_lun_path(&mut self, lun: LunId, reached: bool) {
        if reached {
            self.reach.away.remove(&lun);
            self.reach.overdue.remove(&lun);
        } else {
            self.reach.away.insert(lun);
        }
    }

    pub(super) fn on_lun_overdue(&mut self, lun: LunId, epoch: Epoch) {
        self.reach.away.insert(lun);
        let one = self.reach.overdue.get(&lun).filter(|one| one.epoch == epoch).copied();
        let one = one.unwrap_or(Overdue { epoch, stands: false, elsewhere: None });
        self.reach.overdue.insert(lun, one);
    }

    /// Gives up what is overdue here and reached elsewhere. What nobody reached is back here as soon as there, or
    /// nearly so: it is waited for that long.
    pub(super) fn watch_overdue(&mut self) {
        for (lun, mut one) in std::mem::take(&mut self.reach.overdue) {
            let id = self.config.group_of_lun(lun);
            let Some(group) = id.and_then(|id| self.groups.get(&id)) else { continue };
            if group.epoch() != one.epoch || group.goal() == Goal::Abandon {
                continue;
            }
            let id = group.id();
            if self.is_reached_elsewhere(id) {
                let since = *one.elsewhere.get_or_insert(self.now);
                let until = if one.stands { since + self.timing().io_bound } else { since };
                if self.now >= until {
                    self.on_lun_lost(lun, one.epoch, LockFailure::Unreachable);
                    continue;
                }
                self.timers.set_sooner(Timer::Review, until);
            } else {
                one.elsewhere = None;
                if !std::mem::replace(&mut one.stands, true) {
                    self.out.tell(Notice::StandsStill { group: id, lun });
                }
            }
            self.reach.overdue.insert(lun, one);
        }
    }

    /// Whether another node that may run the group reaches its LUNs, as far as is known.
    fn is_reached_elsewhere(&self, group: GroupId) -> bool {
        let Some(database) = &self.database else { return false };
        let Some(config) = database.config().group(group) else { return false };
        let could = |node: &NodeId| {
            let open = database.node(*node).is_some_and(|record| record.is_open());
            *node != self.me
                && open
                && database.is_up(*node)
                && placement::is_possible(config, *node)
                && database.reaches(*node, config)
        };
        database.nodes().keys().any(could)
    }

    /// Says what this host does not reach, and again until it is committed.
    pub(super) fn say_reach(&mut self) {
        let Some(database) = &self.database else { return };
        let coordinator = self.consensus.as_ref().and_then(|one| one.coordinator());
        let Some(to) = coordinator.map(|voter| voter.node()) else { return };
        let away = self.away_here(database);
        let up = database.node(self.me).is_some_and(|record| record.is_up_as(self.incarnation));
        if !up || *database.away(self.me) == away {
            self.reach.said = None;
            return;
        }
        let (again, now) = (self.timing().interval * 4, self.now);
        let lately =
            self.reach.said.as_ref().is_some_and(|(said, whom, at)| {
                *said == away && *whom == to && now.since(*at) < again
            });
        self.timers.set_sooner(Timer::Repeat, now + again);
        if !lately {
            self.reach.said = Some((away.clone(), to, now));
            let (node, incarnation) = (self.me, self.incarnation);
            self.hand_in(to, vec![Change::Paths { node, incarnation, away }]);
        }
    }

    /// What this host does not reach of what is configured.
    fn away_here(&self, database: &Database) -> BTreeSet<LunId> {
        let known = |lun: &&LunId| database.config().lun(**lun).is_some();
        self.reach.away.iter().filter(known).copied().collect()
    }
}
