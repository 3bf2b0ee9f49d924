//! The way to each LUN is one more link that is watched: what a host does not reach it says to the cluster, and nothing
//! goes there that needs it. A group whose LUN is away here goes where somebody reaches it; where nobody does it stands
//! still, and goes on when its LUN is back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Engine;
use crate::change::Change;
use crate::config::GroupConfig;
use crate::database::Database;
use crate::group::Goal;
use crate::id::{Epoch, GroupId, LunId, NodeId};
use crate::lock::LockFailure;
use crate::notice::Notice;
use crate::placement;
use crate::time::Instant;
use crate::timer::Timer;

/// How much longer than a third of its bound on I/O another host may take to notice that a LUN is away, and to say so.
const NOTICED_AND_SAID: Duration = Duration::from_secs(2);

/// What this host reaches.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// LUNs of which the driver has said anything.
    known: BTreeSet<LunId>,
    /// Those of what may run here, by the configuration in force. None: not looked up since that came.
    here: Option<Here>,
    /// What is not reached, and since when.
    away: BTreeMap<LunId, Instant>,
    overdue: BTreeMap<LunId, Waiting>,
    /// Since when the cluster knows something else than what is so.
    differs: Option<Instant>,
    /// When that was said last.
    said: Option<Instant>,
}

/// The LUNs of what may run here.
#[derive(Debug)]
struct Here {
    luns: BTreeSet<LunId>,
    /// Those of which the driver has said nothing yet.
    unknown: BTreeSet<LunId>,
}

/// A LUN of a group here that was waited for in vain.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    epoch: Epoch,
    /// Nobody reached it.
    stands: bool,
    /// Since when another node reaches it.
    elsewhere: Option<Instant>,
}

impl Engine {
    pub(super) fn on_lun_path(&mut self, lun: LunId, reached: bool) {
        if self.reach.known.insert(lun)
            && let Some(here) = &mut self.reach.here
        {
            here.unknown.remove(&lun);
        }
        if reached {
            self.reach.away.remove(&lun);
            self.reach.overdue.remove(&lun);
        } else {
            self.reach.away.entry(lun).or_insert(self.now);
        }
    }

    pub(super) fn on_lun_overdue(&mut self, lun: LunId, epoch: Epoch) {
        self.on_lun_path(lun, false);
        let one = self.reach.overdue.get(&lun).filter(|one| one.epoch == epoch).copied();
        let one = one.unwrap_or(Waiting { epoch, stands: false, elsewhere: None });
        self.reach.overdue.insert(lun, one);
    }

    /// Gives up what is overdue here and reached elsewhere, once others would have said that they have lost it too.
    /// What nobody reached is back here as soon as there, or nearly so: it is waited for one bound on I/O more.
    pub(super) fn watch_overdue(&mut self) {
        let bound = self.timing().io_bound;
        for (lun, mut one) in std::mem::take(&mut self.reach.overdue) {
            let id = self.config.group_of_lun(lun);
            let Some(group) = id.and_then(|id| self.groups.get(&id)) else { continue };
            if group.epoch() != one.epoch || group.goal() == Goal::Abandon {
                continue;
            }
            let id = group.id();
            if self.is_reached_elsewhere(id) {
                let since = *one.elsewhere.get_or_insert(self.now);
                let away_since = self.reach.away.get(&lun).copied().unwrap_or(self.now);
                let patience = if one.stands { bound } else { Duration::ZERO };
                let until = (since + patience).max(away_since + bound / 3 + NOTICED_AND_SAID);
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

    /// Whether the group would be placed on another node, which says that it reaches its LUNs.
    fn is_reached_elsewhere(&self, group: GroupId) -> bool {
        let Some(database) = self.database.as_ref().filter(|one| one.disarmed().is_none()) else {
            return false;
        };
        let candidates = self.candidates(database);
        let to = self.elsewhere(database, &candidates, group, self.me);
        let config = database.config().group(group);
        to.zip(config)
            .is_some_and(|(to, config)| database.has_said_paths(to) && database.reaches(to, config))
    }

    /// Says what this host does not reach, and again until it is committed: once it knows of each LUN, or should.
    pub(super) fn say_reach(&mut self) {
        let Some(database) = &self.database else { return };
        let coordinator = self.consensus.as_ref().and_then(|one| one.coordinator());
        let Some(to) = coordinator.map(|voter| voter.node()) else { return };
        if !database.node(self.me).is_some_and(|record| record.is_up_as(self.incarnation)) {
            return;
        }
        let known_by = self.session_since + self.config.timing().io_bound * 2;
        let here =
            self.reach.here.get_or_insert_with(|| Here::new(database, self.me, &self.reach.known));
        if !here.unknown.is_empty() && self.now < known_by {
            return self.timers.set_sooner(Timer::Repeat, known_by);
        }
        let lost = self.reach.away.keys().filter(|lun| here.luns.contains(lun));
        let away: BTreeSet<LunId> = lost.chain(&here.unknown).copied().collect();
        if database.has_said_paths(self.me) && *database.away(self.me) == away {
            self.reach.differs = None;
            return;
        }
        // What goes away together is said together; and a path that comes and goes does not fill the log.
        let (interval, now) = (self.timing().interval, self.now);
        let gathered = *self.reach.differs.get_or_insert(now) + interval;
        let due = self.reach.said.map_or(gathered, |at| gathered.max(at + interval * 4));
        if now < due {
            return self.timers.set_sooner(Timer::Repeat, due);
        }
        self.reach.said = Some(now);
        self.timers.set_sooner(Timer::Repeat, now + interval * 4);
        let (node, incarnation) = (self.me, self.incarnation);
        self.hand_in(to, vec![Change::Paths { node, incarnation, away }]);
    }

    /// Which LUNs of a group, and of those that must be with it, a node does not reach, as the end of a sentence.
    pub(super) fn away_names(&self, database: &Database, node: NodeId, group: GroupId) -> String {
        let config = database.config();
        let place = config.place_of(group);
        let unit = place.and_then(|place| config.bonds().unit(place));
        let alone: Vec<usize> = place.into_iter().collect();
        let members = unit.unwrap_or(&alone).iter().map(|&member| &config.groups()[member]);
        let away = members.flat_map(|member| database.away_of(node, member));
        let names: Vec<String> = away.map(|lun| self.lun_name(lun)).collect();
        if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
    }

    /// Another configuration is in force.
    pub(super) fn forget_luns_here(&mut self) {
        self.reach.here = None;
    }
}

impl Here {
    fn new(database: &Database, me: NodeId, known: &BTreeSet<LunId>) -> Self {
        let possible = |group: &&GroupConfig| placement::is_possible(group, me);
        let groups = database.config().groups().iter().filter(possible);
        let luns: BTreeSet<LunId> = groups.flat_map(|group| group.luns.iter().copied()).collect();
        let unknown = luns.difference(known).copied().collect();
        Self { luns, unknown }
    }
}
