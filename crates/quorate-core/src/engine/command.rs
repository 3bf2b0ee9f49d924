//! A host's commands: asked here, carried to the coordinator, answered when committed.

use std::collections::BTreeMap;

use super::{Asked, Engine};
use super::{asking, standing};
use crate::action::Action;
use crate::change::{Cause, Change, Desire, DownCause, ReleaseKind};
use crate::codec;
use crate::config::{CONFIG_BYTES_MAX, ClusterParts, ConfigError, GroupConfig, NewConfig};
use crate::consensus::Consensus;
use crate::database::{Database, NodeRecord, NodeState, OwnedState, Ownership};
use crate::group::LocalGroup;
use crate::id::{GroupId, NodeId, RequestId, VoterId};
use crate::message::{Command, Message, Refusal};
use crate::notice::DropReason;
use crate::placement::{self, Candidate, NotHere, Now};
use crate::timer::Timer;

/// An answer that the coordinator owes once the change is applied.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    to: NodeId,
    request: RequestId,
    /// Where in the log the change will stand; none: it has not been proposed.
    index: Option<u64>,
    /// A change of the configuration, which another one may forestall.
    configures: Option<Change>,
}

impl Engine {
    pub(super) fn on_command(&mut self, request: RequestId, command: Command) {
        let timing = self.timing();
        let until = self.now + timing.detect * 2 + timing.election_max;
        self.asked.insert(request, Asked { command, until, told: None });
        self.timers.set_sooner(Timer::Repeat, until);
        self.repeat_asked();
    }

    /// Says the commands that wait to the coordinator, if it has not heard them. A move that leaves
    /// the target open is said once: said twice, it would move twice.
    pub(super) fn repeat_asked(&mut self) {
        let Some(to) = self.consensus.as_ref().and_then(Consensus::coordinator).map(VoterId::node)
        else {
            return;
        };
        let again = |asked: &Asked| !matches!(asked.command, Command::Move { to: None, .. });
        let waiting: Vec<(RequestId, Command)> = self
            .asked
            .iter_mut()
            .filter(|(_, asked)| asked.told.is_none() || asked.told != Some(to) && again(asked))
            .map(|(&request, asked)| {
                asked.told = Some(to);
                (request, asked.command.clone())
            })
            .collect();
        for (request, command) in waiting {
            if to == self.me {
                self.on_request(to, request, command);
            } else {
                self.send(to, Message::Request { request, command });
            }
        }
    }

    /// Answers the commands for which no coordinator was found in time.
    pub(super) fn expire_asked(&mut self) {
        let now = self.now;
        let late: Vec<RequestId> = self
            .asked
            .iter()
            .filter(|(_, asked)| asked.until <= now)
            .map(|(&request, _)| request)
            .collect();
        for request in late {
            self.on_reply(request, Err(Refusal::NoQuorum));
        }
        if let Some(next) = self.asked.values().map(|asked| asked.until).min() {
            self.timers.set_sooner(Timer::Repeat, next);
        }
    }

    pub(super) fn on_reply(&mut self, request: RequestId, result: Result<(), Refusal>) {
        if self.asked.remove(&request).is_some() {
            self.out.act(Action::Answer { request, result });
        }
    }

    /// The coordinator's part.
    pub(super) fn on_request(&mut self, from: NodeId, request: RequestId, command: Command) {
        if !self.is_coordinator() {
            return self.drop_from(from, DropReason::Misrouted);
        }
        // Who can run something is judged by this moment, and not by the last look.
        self.watch_peers();
        match self.changes_for(&command) {
            Err(refusal) => self.reply(from, request, Err(refusal)),
            Ok(changes) if changes.is_empty() => self.reply(from, request, Ok(())),
            Ok(changes) => {
                let configures = changes.iter().find(|one| one.is_of_configuration()).cloned();
                self.proposed.extend(changes);
                self.replies.push(Owed { to: from, request, index: None, configures });
            }
        }
    }

    fn reply(&mut self, to: NodeId, request: RequestId, result: Result<(), Refusal>) {
        if to == self.me {
            self.on_reply(request, result);
        } else {
            self.send(to, Message::Reply { request, result });
        }
    }

    /// What was proposed will stand at `index`.
    pub(super) fn date_replies(&mut self, index: u64) {
        self.replies.iter_mut().for_each(|owed| owed.index = owed.index.or(Some(index)));
    }

    /// Answers what has been applied; and what will not be, since this node coordinates no more.
    pub(super) fn settle_replies(&mut self) {
        let applied = self.database.as_ref().map_or(0, Database::applied);
        let coordinates = self.is_coordinator();
        let (due, rest): (Vec<Owed>, Vec<Owed>) = std::mem::take(&mut self.replies)
            .into_iter()
            .partition(|owed| !coordinates || owed.index.is_some_and(|index| index <= applied));
        self.replies = rest;
        for owed in due {
            let done = owed.index.is_some_and(|index| index <= applied);
            let result = match owed.configures {
                _ if !done => Err(Refusal::NoQuorum),
                Some(change) if !self.has_come_true(&change) => Err(Refusal::NotPossible(
                    "another change of the configuration came before it: try again".to_owned(),
                )),
                _ => Ok(()),
            };
            self.reply(owed.to, owed.request, result);
        }
    }

    /// Whether the configuration is as a change of it wants it.
    fn has_come_true(&self, change: &Change) -> bool {
        match change {
            Change::AddGroup(new) => self.config.group(new.group.id) == Some(&new.group),
            Change::RemoveGroup { group } => self.config.group(*group).is_none(),
            Change::Configure(new) => {
                self.database.as_ref().is_some_and(|database| database.has_come(new))
            }
            Change::AddNode(new) => self.config.node(new.node.id).is_some_and(|node| {
                (&node.name, &node.addresses) == (&new.node.name, &new.node.addresses)
            }),
            Change::Evict { node } => {
                let record = self.database.as_ref().and_then(|database| database.node(*node));
                record.is_none_or(|record| record.evicted)
            }
            _ => true,
        }
    }

    fn changes_for(&self, command: &Command) -> Result<Vec<Change>, Refusal> {
        match command {
            Command::Move { group, to, restart } => {
                let kind = if *restart { ReleaseKind::Stop } else { ReleaseKind::Move };
                self.move_changes(group, to.as_deref(), kind)
            }
            Command::Online { group } => self.desire(group, Desire::Online),
            Command::Offline { group } => self.desire(group, Desire::Offline),
            Command::Disable { group } => self.desire(group, Desire::Disabled),
            Command::Drain { node } => self.pause(node, true, false),
            Command::Empty { node } => self.pause(node, true, true),
            Command::Pause { node } => self.pause(node, false, false),
            Command::Unmanage { group } => self.desire(group, Desire::Unmanaged),
            Command::Disarm { mode, ttl } => {
                let ttl_ms = asking::time_to_live(*ttl)?;
                Ok(vec![Change::Disarm { mode: *mode, ttl_ms }])
            }
            Command::Arm => Ok(vec![Change::Arm]),
            Command::CountFailures { group, node, count } => {
                let (group, node) = (self.group_named(group)?, self.node_named(node)?);
                let count = asking::count_of_failures(*count)?;
                Ok(vec![Change::CountFailures { group, node, count }])
            }
            Command::Load { group, load } => {
                let group = self.group_named(group)?;
                asking::check_load(&self.config, load)?;
                Ok(vec![Change::Load { group, load: load.clone() }])
            }
            Command::Resume { node, failback } => {
                Ok(vec![Change::Resume { node: self.node_named(node)?, failback: *failback }])
            }
            Command::EndDrain { node } => {
                Ok(vec![Change::EndDrain { node: self.node_named(node)? }])
            }
            Command::LetCoordinate { node, may } => {
                Ok(vec![Change::LetCoordinate { node: self.node_named(node)?, may: *may }])
            }
            Command::HoldMoves { held } => Ok(vec![Change::HoldMoves { held: *held }]),
            Command::AddGroup(new) => {
                let database = self.database.as_ref().ok_or(Refusal::NoQuorum)?;
                database.with_group(new).map_err(not_valid)?;
                Ok(vec![Change::AddGroup(new.clone())])
            }
            Command::RemoveGroup { group } => {
                let group = self.group_named(group)?;
                let database = self.database.as_ref().ok_or(Refusal::NoQuorum)?;
                let config = database.without_group(group);
                config.map(|_| vec![Change::RemoveGroup { group }]).map_err(not_valid)
            }
            Command::Configure(new) => self.configure_changes(new),
            Command::AddNode(new) => self.add_node_changes(new).map_err(not_valid),
            Command::EvictNode { node } => self.evict_changes(self.node_named(node)?),
            Command::Fence { node, .. } => Ok(self.fence_changes(self.node_named(node)?)),
            Command::ConfirmFenced { node, reason } => {
                let departed = self.database.as_ref().and_then(|one| one.departed_named(node));
                let known = self.node_named(node).or_else(|unknown| departed.ok_or(unknown))?;
                let change = self.confirm(known, reason);
                change.map(|change| vec![change]).ok_or_else(|| {
                    Refusal::NotPossible(format!(
                        "node {node} is not down, or no reason is given: confirm only a \
                         node that is down, and say who says so and why"
                    ))
                })
            }
        }
    }

    /// Whatever comes in between makes it void: it was judged by what is in force. Whether it survives the losses that
    /// it wants to survive is not judged here, where everybody waits: see [`crate::placement::admit`].
    fn configure_changes(&self, new: &NewConfig) -> Result<Vec<Change>, Refusal> {
        let database = self.database.as_ref().ok_or(Refusal::NoQuorum)?;
        let next = database.successor(new).map_err(not_valid)?;
        if next == self.config {
            return Ok(Vec::new());
        }
        let only_if = Some(database.version());
        let (parts, reason) = (ClusterParts::from(next), new.reason.clone());
        let change =
            Change::Configure(Box::new(NewConfig { parts, only_if, reason, ..new.clone() }));
        let size = codec::encode(&change).len();
        if size > CONFIG_BYTES_MAX {
            return Err(Refusal::NotPossible(format!(
                "the configuration has {size} bytes, more than the {CONFIG_BYTES_MAX} that pass in one piece: \
                 add its groups one by one"
            )));
        }
        Ok(vec![change])
    }

    fn desire(&self, group: &str, desire: Desire) -> Result<Vec<Change>, Refusal> {
        Ok(vec![Change::Desire { group: self.group_named(group)?, desire }])
    }

    fn pause(&self, node: &str, drain: bool, empty: bool) -> Result<Vec<Change>, Refusal> {
        Ok(vec![Change::Pause { node: self.node_named(node)?, drain, empty }])
    }

    /// A node that is up is to be fenced; of another there is nothing to be said.
    fn fence_changes(&self, node: NodeId) -> Vec<Change> {
        let record = self.database.as_ref().and_then(|database| database.node(node));
        let up = record.filter(|record| record.state == NodeState::Up);
        let down = |record: &NodeRecord| Change::Down {
            node,
            incarnation: record.incarnation,
            cause: DownCause::Ordered,
        };
        up.map(down).into_iter().collect()
    }

    pub(super) fn move_changes(
        &self,
        name: &str,
        to: Option<&str>,
        kind: ReleaseKind,
    ) -> Result<Vec<Change>, Refusal> {
        let group = self.group_named(name)?;
        let database = self.database.as_ref().ok_or(Refusal::NoQuorum)?;
        let Some(record) = database.group(group) else { return Err(Refusal::NoQuorum) };
        let node = match record.ownership {
            Ownership::Owned { node, state: OwnedState::Online | OwnedState::Starting, .. } => node,
            Ownership::Vacant(_) if !record.is_wanted() && to.is_some() => {
                record.seat.unwrap_or_default()
            }
            Ownership::Vacant(_) => {
                return Err(Refusal::NotPossible(format!(
                    "group {name} runs nowhere: bring it online instead"
                )));
            }
            Ownership::Owned { .. } => {
                return Err(Refusal::NotPossible(format!(
                    "group {name} is being moved or stopped already"
                )));
            }
        };
        if database.disarmed().is_some() {
            return Err(Refusal::NotPossible("the cluster is disarmed: arm it first".into()));
        }
        let candidates = self.candidates(database);
        let target = match to {
            Some(to) => self.node_named(to)?,
            None => self.elsewhere(database, &candidates, group, node).ok_or_else(|| {
                Refusal::NotPossible(format!("no other node can run group {name} now"))
            })?,
        };
        if target == node {
            return Ok(Vec::new());
        }
        if let Some(reason) = self.obstacles(database, &candidates, group).get(&target) {
            let config = database.config();
            let rule = reason.rule().and_then(|rule| config.rules().get(rule));
            let rule = rule.map_or_else(String::new, |rule| format!(" (rule {})", rule.name));
            let which = match reason {
                NotHere::Unreached => self.away_names(database, target, group),
                _ => String::new(),
            };
            let target = config.node(target).map_or("?", |node| node.name.as_str());
            return Err(Refusal::NotPossible(format!(
                "group {name} cannot run on node {target}: {reason}{rule}{which}"
            )));
        }
        if record.owner().is_none() {
            return Ok(vec![Change::Seat { group, node: target }]);
        }
        check_room(database, group, target, kind)?;
        let place = database.config().place_of(group);
        let unit = place.and_then(|place| database.config().bonds().unit(place));
        let alone = place.into_iter().collect::<Vec<usize>>();
        let members = unit.unwrap_or(&alone).iter();
        let releases = members.filter_map(|&member| {
            let group = database.config().groups()[member].id;
            let record = database.group(group).filter(|record| record.is_wanted())?;
            let (owner, _) = record.owner()?;
            let (epoch, cause) = (record.epoch, Cause::Move);
            let change = Change::Release { group, epoch, to: Some(target), kind, cause };
            (owner != target).then_some(change)
        });
        Ok(releases.collect())
    }

    /// Another node that can run a group.
    pub(super) fn elsewhere(
        &self,
        database: &Database,
        candidates: &BTreeMap<NodeId, Candidate>,
        group: GroupId,
        node: NodeId,
    ) -> Option<NodeId> {
        let place = database.config().place_of(group)?;
        let mut now = standing::of(database, &[], self.times());
        let unreached = std::mem::take(&mut now[place].unreached);
        now[place] = Now { wanted: true, unreached, banned: vec![node], ..Now::default() };
        let to = placement::plan(database.config(), candidates, now).node(place)?;
        let config = &database.config().groups()[place];
        database.reaches(to, config).then_some(to)
    }

    /// Where a group cannot be moved to, and why not.
    pub(super) fn obstacles(
        &self,
        database: &Database,
        candidates: &BTreeMap<NodeId, Candidate>,
        group: GroupId,
    ) -> BTreeMap<NodeId, NotHere> {
        let Some(place) = database.config().place_of(group) else { return BTreeMap::new() };
        let mut now = standing::of(database, &[], self.times());
        // All others stay: whether there is room for it beside them is the question.
        now.iter_mut().for_each(|now| now.fixed = true);
        let unit = database.config().bonds().unit(place);
        let alone = [place];
        for &member in unit.unwrap_or(&alone) {
            let wanted = now[member].wanted || member == place;
            now[member] = Now { wanted, ..Now::default() };
        }
        let mut others = placement::place(database.config(), candidates, now, place).others;
        others.retain(|_, why| why.is_hard());
        for &member in unit.unwrap_or(&alone) {
            let config = &database.config().groups()[member];
            for node in candidates.keys().filter(|&&node| !database.reaches(node, config)) {
                others.entry(*node).or_insert(NotHere::Unreached);
            }
        }
        for (&node, why) in &mut others {
            *why = database.why_closed(node, *why);
        }
        others
    }

    fn group_named(&self, name: &str) -> Result<GroupId, Refusal> {
        self.config.group_named(name).map(|group| group.id).ok_or_else(|| {
            let known: Vec<&str> =
                self.config.groups().iter().map(|one| one.name.as_str()).collect();
            Refusal::Unknown { kind: "group".into(), name: name.into(), known: known.join(", ") }
        })
    }

    pub(super) fn node_named(&self, name: &str) -> Result<NodeId, Refusal> {
        self.config.node_named(name).map(|node| node.id).ok_or_else(|| {
            let known: Vec<&str> =
                self.config.nodes().iter().map(|one| one.name.as_str()).collect();
            Refusal::Unknown { kind: "node".into(), name: name.into(), known: known.join(", ") }
        })
    }

    /// The host is about to stop: what runs here moves away, or is stopped.
    pub(super) fn on_leave(&mut self, keep: bool) {
        self.leaving = true;
        self.leave_keeps = keep;
        self.timers.set_sooner(Timer::Repeat, self.now);
        let up = |database: &Database, node: NodeId| database.is_up(node);
        let successor = self.database.as_ref().and_then(|database| {
            let other = |node: &NodeId| *node != self.me && up(database, *node);
            self.config.voters().find(other).and_then(|node| database.voter(node))
        });
        if let (true, Some(to), Some(consensus)) =
            (self.is_coordinator(), successor, &mut self.consensus)
        {
            consensus.hand_over(to);
        }
    }

    /// Says again that this node leaves, until it is committed; then that it has left.
    pub(super) fn repeat_leave(&mut self) {
        if !self.leaving || self.left {
            return;
        }
        self.timers.set_sooner(Timer::Repeat, self.now + self.timing().interval * 2);
        let ended = |group: &LocalGroup| group.is_gone() || group.is_untouched();
        // Without a quorum nobody can be told, and nothing is left to wait for.
        let is_alone = self.coordinator().0.is_none() && self.groups.values().all(ended);
        if (self.groups.is_empty() || is_alone) && !self.may_act() {
            self.left = true;
            return self.out.act(Action::Left);
        }
        let Some(database) = &self.database else { return };
        let (node, incarnation) = (self.me, self.incarnation);
        let owns = database.groups().values().any(|one| one.owner() == Some((node, incarnation)));
        let known = database.node(node).is_some_and(|record| record.leaving);
        let change = if owns || !self.groups.is_empty() || !known {
            Change::Leave { node, incarnation, keep: self.leave_keeps }
        } else {
            Change::Left { node, incarnation }
        };
        if let Some(to) = self.consensus.as_ref().and_then(Consensus::coordinator) {
            self.hand_in(to.node(), vec![change]);
        }
    }
}

fn not_valid(error: ConfigError) -> Refusal {
    Refusal::NotPossible(error.to_string())
}

/// What is stopped for its move waits for its room; what goes as it runs cannot.
fn check_room(
    database: &Database,
    group: GroupId,
    to: NodeId,
    kind: ReleaseKind,
) -> Result<(), Refusal> {
    let live = |config: &&GroupConfig| config.moves_live() && kind != ReleaseKind::Stop;
    let config = database.config();
    match config.group(group).filter(live) {
        Some(group) if !database.has_room(group.id, to) => Err(Refusal::NotPossible(format!(
            "group {} cannot go to node {} as it runs before what leaves that node is gone",
            group.name,
            config.node(to).map_or("?", |node| node.name.as_str())
        ))),
        _ => Ok(()),
    }
}
