//! What the engine lets be seen.

use std::collections::{BTreeMap, BTreeSet};

use super::holding::{Held, is_limited};
use super::{Engine, Standing};
use crate::change::{Desire, Disarm, FenceKind};
use crate::config::NodeConfig;
use crate::consensus::Consensus;
use crate::database::{Database, GroupRecord, NodeState, OwnedState, Ownership};
use crate::heartbeat::Liveness;
use crate::id::{GroupId, LunId, NodeId, PathId, ResourceId, VoterId};
use crate::placement;
use crate::status::{
    Explanation, GroupStatus, Happened, NODE_STATES, NodeStatus, Status, WitnessStatus,
};
use crate::time::{Instant, millis};

/// Which groups wait, though they are to run.
#[derive(Default)]
struct Waiting {
    /// Who could run.
    held: BTreeMap<GroupId, Held>,
    /// Who has no place.
    unplaced: BTreeSet<GroupId>,
}

impl Engine {
    /// The configuration in force: the committed one, once there is one.
    pub fn config(&self) -> &crate::config::ClusterConfig {
        &self.config
    }

    /// Whether this engine's storage has failed: it does nothing more, and is to be dropped.
    pub fn has_ended(&self) -> bool {
        self.standing == Standing::Ended
    }

    /// This node's incarnation.
    pub fn incarnation(&self) -> crate::id::Incarnation {
        self.incarnation
    }

    /// The replicated database, once this node has one.
    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// Until when this node may act.
    pub fn lease(&self) -> Option<Instant> {
        self.lease_until()
    }

    /// The coordinator that this node follows, and the epoch of consensus.
    pub fn coordinator(&self) -> (Option<NodeId>, crate::id::Epoch) {
        let node = self.consensus.as_ref().and_then(Consensus::coordinator).map(VoterId::node);
        (node, self.epoch())
    }

    /// What this node knows at `now`.
    pub fn status(&self, now: Instant) -> Status {
        let coordinator = self.coordinator().0;
        let left = self.lease_until().filter(|&until| now < until);
        let groups = self.database.iter().flat_map(|database| database.groups());
        let disarm = self.database.as_ref().and_then(Database::disarmed);
        let disarmed_until = self.database.as_ref().and_then(Database::disarmed_until);
        let waiting = self.waiting_now();
        Status {
            cluster: self.config.name().to_owned(),
            node: self.node_name(self.me),
            boot: self.incarnation.boot,
            session: self.incarnation.session,
            member: self.database.is_some(),
            coordinator: coordinator.map(|node| self.node_name(node)),
            epoch: self.epoch().0,
            quorum: coordinator.is_some(),
            votes: u32::try_from(self.voters().len()).unwrap_or(u32::MAX),
            witness: self.config.witness().map(|witness| self.witness_status(witness, now)),
            lease_left_ms: left.map(|until| millis(until.since(now))),
            applied: self.database.as_ref().map_or(0, Database::applied),
            cluster_ms: self.cluster_ms(),
            disarmed: disarm.map(|mode| disarm_word(mode).to_owned()),
            disarm_left_ms: disarmed_until.map(|until| self.left_ms(until)),
            config_version: self.database.as_ref().map_or(0, Database::version),
            config_differs: self.differs.0.clone(),
            nodes: self.config.nodes().iter().map(|node| self.node_status(node)).collect(),
            groups: groups.map(|(&id, record)| self.group_status(id, record, &waiting)).collect(),
        }
    }

    fn witness_status(
        &self,
        witness: &crate::config::WitnessConfig,
        now: Instant,
    ) -> WitnessStatus {
        let trouble = self.hands.trouble.as_ref();
        let looked = self.hands.answered.is_some() || trouble.is_some();
        let ago = |at: Option<Instant>| at.map(|at| millis(now.since(at)));
        WitnessStatus {
            path: witness.path.clone(),
            votes: self.config.witness_votes(),
            made: self.database.as_ref().is_some_and(|database| database.witness().is_some()),
            reachable: looked.then_some(trouble.is_none()),
            trouble: trouble.map(ToString::to_string).unwrap_or_default(),
            asked_ms_ago: ago(self.hands.asked),
            answered_ms_ago: ago(self.hands.answered),
        }
    }

    /// What this node remembers of a group, oldest first: what led to where it is.
    pub fn history(&self, group: GroupId) -> impl Iterator<Item = &Happened> {
        self.history.get(&group).into_iter().flatten()
    }

    /// Why a group is where it is; none: there is no such group, or no database yet.
    pub fn explain(&self, group: GroupId) -> Option<Explanation> {
        let database = self.database.as_ref()?;
        let record = database.group(group)?;
        let place = database.config().place_of(group)?;
        let config = database.config();
        let now = super::standing::of(database, &[], self.times());
        let candidates = self.candidates(database);
        // Where it would start: where it runs now counts for nothing.
        let mut anew = now.clone();
        anew[place] =
            placement::Now { wanted: true, runs: false, fixed: false, ..now[place].clone() };
        let start = placement::place(config, &candidates, anew, place);
        let others = match now[place].runs {
            true => {
                let mut others = placement::place(config, &candidates, now, place).others;
                // Where nobody can move it to, that is the reason, and not that it is better off where it is.
                for (node, why) in self.obstacles(database, &candidates, group) {
                    others.entry(node).and_modify(|other| *other = why);
                }
                others
            }
            false => start.others,
        };
        let group_status = self.group_status(group, record, &self.waiting_now());
        Some(Explanation {
            retry_in_ms: group_status.retry_in_ms,
            group: group_status,
            history: self.history(group).cloned().collect(),
            placement: start.chosen.map(|node| self.node_name(node)),
            not_there: others
                .into_iter()
                .map(|(node, why)| (self.node_name(node), database.why_closed(node, why)))
                .collect(),
        })
    }

    /// How the cluster stands, as this node sees it; none: it has no database yet.
    pub fn outlook(&self) -> Option<placement::Outlook> {
        let database = self.database.as_ref()?;
        let config = database.config();
        let now = super::standing::of(database, &[], self.times());
        let groups = config.groups().iter().map(|group| group.id).zip(now);
        Some(placement::Outlook {
            config: config.clone(),
            version: database.version(),
            nodes: self.candidates(database),
            groups: groups.collect(),
        })
    }

    /// Who waits: as it was decided, or would be decided here. Every node says the same.
    fn waiting_now(&self) -> Waiting {
        let limited = is_limited(&self.config.policy().limits);
        let waits = |record: &GroupRecord| record.is_wanted() && record.owner().is_none();
        match &self.database {
            _ if self.is_coordinator() => {
                Waiting { held: self.held.clone(), unplaced: self.unplaced.clone() }
            }
            Some(database) if limited || database.groups().values().any(waits) => {
                let mut deciding = self.deciding(database);
                deciding.decide_all(&mut Vec::new());
                Waiting { held: deciding.held, unplaced: deciding.unplaced.into_iter().collect() }
            }
            _ => Waiting::default(),
        }
    }

    fn left_ms(&self, until: u64) -> u64 {
        until.saturating_sub(self.cluster_ms())
    }

    pub(super) fn node_name(&self, id: NodeId) -> String {
        self.config.node(id).map_or_else(|| id.to_string(), |node| node.name.clone())
    }

    fn resource_name(&self, id: ResourceId) -> String {
        self.config.resource(id).map_or_else(|| id.to_string(), |(_, one)| one.name.clone())
    }

    pub(super) fn lun_name(&self, id: LunId) -> String {
        self.config.lun(id).map_or_else(|| id.to_string(), |lun| lun.name.clone())
    }

    fn node_status(&self, node: &NodeConfig) -> NodeStatus {
        let record = self.database.as_ref().and_then(|database| database.node(node.id));
        let state = match record.map(|record| record.state) {
            None | Some(NodeState::Absent) => "absent",
            Some(NodeState::Up) => "up",
            Some(NodeState::Down(_)) => "down",
            Some(NodeState::Fenced(FenceKind::Left)) => "left",
            Some(NodeState::Fenced(_)) => "fenced",
        };
        debug_assert!(NODE_STATES.contains(&state), "{state} is no state that may be said");
        // What it ran has moved away by then: only what was commanded goes on.
        let leaves = record.is_some_and(|record| record.leaving) && state != "left";
        let peer = self.peers.get(&node.id);
        let isolated = self.probes.get(&node.id).is_some_and(|probe| probe.isolated);
        let heard = match peer.map(|peer| peer.liveness) {
            None => "self",
            Some(_) if peer.is_some_and(|peer| peer.heard().is_none()) => "silent",
            Some(Liveness::Alive) => "alive",
            Some(_) if isolated => "isolated",
            Some(Liveness::Suspect) => "suspect",
            Some(Liveness::Silent(_)) => "silent",
        };
        let flapping = self.database.as_ref().and_then(|database| database.flapping(node.id));
        let quarantine = flapping.and_then(|one| one.until);
        let downs = flapping.map(|one| one.downs.len());
        let paths = (0..node.addresses.len()).filter_map(|path| u8::try_from(path).ok());
        NodeStatus {
            name: node.name.clone(),
            state: state.to_owned(),
            heard: heard.to_owned(),
            paused: leaves || record.is_some_and(|record| record.paused),
            draining: leaves || record.is_some_and(|record| record.draining),
            stays: self.stays_on(node.id),
            boot: record.map_or(0, |record| record.incarnation.boot),
            session: record.map_or(0, |record| record.incarnation.session),
            voter: node.voter,
            quarantine_left_ms: quarantine.map(|until| self.left_ms(until)),
            recent_failures: u32::try_from(downs.unwrap_or_default()).unwrap_or(u32::MAX),
            paths: paths
                .map(|path| peer.is_none_or(|peer| peer.is_path_up(PathId(path))))
                .collect(),
            fencing: self.fencing_status(node.id),
            luns_away: self
                .database
                .iter()
                .flat_map(|database| database.away(node.id))
                .map(|&lun| self.lun_name(lun))
                .collect(),
        }
    }

    fn group_status(&self, id: GroupId, record: &GroupRecord, waiting: &Waiting) -> GroupStatus {
        let held = waiting.held.get(&id);
        let failed_until = record.failed_until.filter(|_| record.owner().is_none());
        let held_until = held.and_then(|(_, until)| *until);
        let retry_at = failed_until.into_iter().chain(held_until).max();
        let retry_at = retry_at.or_else(|| {
            let unplaced = waiting.unplaced.contains(&id);
            unplaced.then(|| self.place_may_come(id, record)).flatten()
        });
        let retry_in = retry_at.map(|until| self.left_ms(until));
        let local = self.groups.get(&id);
        let resources = local.into_iter().flat_map(|group| group.resources());
        let luns = local.into_iter().flat_map(|group| group.locks());
        GroupStatus {
            name: self.config.group(id).map_or_else(|| id.to_string(), |one| one.name.clone()),
            state: self.group_state(record).to_owned(),
            owner: record.owner().map(|(node, _)| self.node_name(node)),
            epoch: record.epoch.0,
            online_wanted: record.is_wanted(),
            wanted: match record.desire {
                Desire::Online => "online",
                Desire::Offline => "offline",
                Desire::Disabled => "disabled",
                Desire::Unmanaged => "unmanaged",
            }
            .to_owned(),
            saved: record.saved.is_some(),
            held: held.map(|(why, _)| why.clone()),
            retry_in_ms: retry_in.filter(|&left| left > 0),
            resources: resources.map(|(id, state)| (self.resource_name(id), state)).collect(),
            luns: luns.map(|(id, state)| (self.lun_name(id), state)).collect(),
            luns_away: self.luns_away(id, record),
        }
    }

    /// The LUNs of a group that its owner does not reach, or for which it waits.
    fn luns_away(&self, group: GroupId, record: &GroupRecord) -> Vec<String> {
        let Some((database, config)) = self.database.as_ref().zip(self.config.group(group)) else {
            return Vec::new();
        };
        let away = match record.owner() {
            Some((owner, _)) => database.away_of(owner, config).collect(),
            None => database.awaited_luns(config),
        };
        away.into_iter().map(|lun| self.lun_name(lun)).collect()
    }

    /// When a node may be open for it that is not now, of a group that has no place: a quarantine ends, failures are
    /// forgotten.
    fn place_may_come(&self, id: GroupId, record: &GroupRecord) -> Option<u64> {
        let database = self.database.as_ref()?;
        let expire = self.config.group(id)?.wishes.failures_expire.map(millis);
        let last = record.failures_on.values().map(|&(_, last)| last);
        let forgotten = last.filter_map(|last| Some(last.saturating_add(expire?)));
        let ends = database.quarantines().map(|(_, until)| until);
        forgotten.chain(ends).filter(|&at| at > self.cluster_ms()).min()
    }

    fn is_kept(&self, record: &GroupRecord) -> bool {
        self.database.as_ref().is_some_and(|database| database.is_kept(record))
    }

    fn group_state(&self, record: &GroupRecord) -> &'static str {
        match record.ownership {
            Ownership::Vacant(_) if !record.is_wanted() => "offline",
            Ownership::Vacant(_)
                if record.failed_until.is_some_and(|at| at > self.cluster_ms())
                    && !record.awaits_luns() =>
            {
                "failed"
            }
            Ownership::Vacant(_) if self.is_kept(record) => "kept",
            Ownership::Vacant(_) => "waiting",
            Ownership::Owned { node, incarnation, state, .. } => {
                let up = self.database.as_ref().is_some_and(|one| one.is_up_as(node, incarnation));
                match state {
                    _ if !up => "lost",
                    OwnedState::Starting => "starting",
                    OwnedState::Online if record.degraded => "degraded",
                    OwnedState::Online => "online",
                    OwnedState::Releasing { .. } => "moving",
                    OwnedState::StopFailed => "stop-failed",
                }
            }
        }
    }
}

fn disarm_word(mode: Disarm) -> &'static str {
    match mode {
        Disarm::Freeze => "freeze",
        Disarm::Ignore => "ignore",
    }
}
