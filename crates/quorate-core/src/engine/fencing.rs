//! Asks fence agents to end nodes that are down, level by level, until one level has succeeded: the coordinator's part.
//!
//! ```text
//! due --ask all of a level--> asked --all have--> proven --> on again, where they were switched off together
//!                               | one has not: asked again, `tries` times; then the next level
//!                               +-- no level is left: a pause, told with its length; then the first level again
//! ```
//!
//! Agents are asked only where the lease of a lost node proves too little: see [`Engine::wants_agents`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Engine;
use crate::action::{Action, FenceVerb};
use crate::change::{Change, DownCause, FenceKind};
use crate::config::FenceAgentConfig;
use crate::database::{Database, NodeRecord, NodeState};
use crate::fence::{self, AgentWord, FenceProof};
use crate::id::{Incarnation, NodeId, OpId};
use crate::notice::Notice;
use crate::plant::{self, Plant};
use crate::status::FencingStatus;
use crate::time::{Instant, millis};
use crate::timer::Timer;

/// How long nobody is asked when every level has failed; it doubles up to `PAUSE_MAX`.
const PAUSE_MIN: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// The fences that this coordinator has under way.
#[derive(Debug, Default)]
pub(super) struct Fencing {
    nodes: BTreeMap<NodeId, Attempt>,
}

/// One node that agents are to end.
#[derive(Debug)]
struct Attempt {
    incarnation: Incarnation,
    /// As of this place of the log it is known that this incarnation is down.
    since: u64,
    level: usize,
    /// What was asked and is not answered.
    open: BTreeMap<OpId, Request>,
    /// Who of this level has succeeded.
    done: BTreeMap<String, AgentWord>,
    /// How often each of this level has been asked.
    tries: BTreeMap<String, u32>,
    /// Who has switched it off, and not on again.
    off: BTreeSet<String>,
    /// Until when nobody is asked.
    rests_until: Option<Instant>,
    pause: Duration,
    last_error: String,
}

#[derive(Debug)]
struct Request {
    agent: String,
    verb: FenceVerb,
    asked_at: u64,
    deadline: Instant,
}

impl Attempt {
    fn of(record: &NodeRecord) -> Self {
        Self {
            incarnation: record.incarnation,
            since: record.since,
            level: 0,
            open: BTreeMap::new(),
            done: BTreeMap::new(),
            tries: BTreeMap::new(),
            off: BTreeSet::new(),
            rests_until: None,
            pause: PAUSE_MIN,
            last_error: String::new(),
        }
    }

    fn begin_level(&mut self, level: usize) {
        self.level = level;
        self.done.clear();
        self.tries.clear();
    }
}

impl Fencing {
    /// Whether an agent is at work on this node: it is not admitted meanwhile, only to be ended again.
    pub(super) fn is_under_way(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|attempt| !attempt.open.is_empty())
    }

    /// Forgets what was asked: somebody else coordinates.
    pub(super) fn clear(&mut self) {
        self.nodes.clear();
    }
}

impl Engine {
    /// The incarnation of a node that the cluster knows last, and that agents would end; none: it never took part.
    pub fn incarnation_of(&self, node: NodeId) -> Option<Incarnation> {
        let database = self.database.as_ref()?;
        database.nodes().get(&node).map(|record| record.incarnation)
    }

    /// Why agents are to end this node; none: they are not.
    ///
    /// A lease that is over proves nothing about what could not be ended there, and about what is allowed to run on
    /// without a quorum; and some groups take no less than an agent's word.
    fn wants_agents(&self, database: &Database, node: NodeId, record: &NodeRecord) -> bool {
        let policy = database.config().policy();
        match record.state {
            NodeState::Down(DownCause::Ordered) => true,
            _ if database.disarmed().is_some() => false,
            NodeState::Down(_) if policy.keep_without_quorum || policy.fence_lost_nodes => true,
            // The lease will be over in a moment.
            NodeState::Down(_) => database.awaits_agent(node, record.incarnation),
            NodeState::Fenced(FenceKind::LeaseOver) if policy.fence_lost_nodes => true,
            NodeState::Fenced(_) => {
                database.is_withheld_on(node, record.incarnation)
                    || database.awaits_agent(node, record.incarnation)
            }
            NodeState::Absent | NodeState::Up => false,
        }
    }

    /// Has agents end what is to be ended, and proposes what they have proven.
    pub(super) fn ask_agents(&mut self, changes: &mut Vec<Change>) {
        if self.config.fence_agents().is_empty() && self.fencing.nodes.is_empty() {
            return;
        }
        let Some(database) = &self.database else { return };
        let mut attempts = std::mem::take(&mut self.fencing.nodes);
        let (mut pursued, mut dropped) = (Vec::new(), Vec::new());
        for (&node, record) in database.nodes().iter().filter(|(node, _)| **node != self.me) {
            let known = attempts.remove(&node);
            let same = known.as_ref().is_some_and(|one| one.incarnation == record.incarnation);
            let is_wanted = self.pursues(database, (node, record), same);
            // What an agent is about to do is awaited, wanted or not.
            let under_way = known.as_ref().is_some_and(|one| !one.open.is_empty());
            match known {
                Some(known) if same && (is_wanted || under_way) => {
                    pursued.push((node, known, is_wanted));
                }
                Some(known) if under_way => pursued.push((node, known, false)),
                known if is_wanted => {
                    let off = known.map(|known| known.off).unwrap_or_default();
                    pursued.push((node, Attempt { off, ..Attempt::of(record) }, true));
                }
                Some(known) if !known.off.is_empty() => dropped.push((node, known)),
                Some(_) | None => {}
            }
        }
        for (node, attempt) in dropped {
            self.switch_on(node, attempt);
        }
        for (node, mut attempt, is_wanted) in pursued {
            let levels = self.levels_of(node);
            if levels.is_empty() {
                continue;
            }
            if let Some(proof) = self.pursue(node, &mut attempt, &levels, is_wanted) {
                changes.push(proof.into_change());
            }
            self.fencing.nodes.insert(node, attempt);
        }
    }

    /// Whether agents are to go on with a node. `same`: it was begun with this incarnation.
    fn pursues(
        &self,
        database: &Database,
        (node, record): (NodeId, &NodeRecord),
        same: bool,
    ) -> bool {
        // What was begun is ended, though a lease that is over has proven enough meanwhile.
        let ordered = record.state == NodeState::Down(DownCause::Ordered);
        let begun = same
            && (ordered || database.disarmed().is_none())
            && matches!(record.state, NodeState::Down(_) | NodeState::Fenced(FenceKind::LeaseOver));
        // What comes back says itself that nothing of it runs any more.
        (begun || self.wants_agents(database, node, record)) && !self.is_back(node, record)
    }

    /// Whether another incarnation of a node is heard, that may be admitted.
    fn is_back(&self, node: NodeId, record: &NodeRecord) -> bool {
        let limit = self.timing().suspect;
        let newer = |heard| heard > record.incarnation && !record.is_shut_out(heard);
        self.peers.get(&node).is_some_and(|peer| {
            peer.incarnation().is_some_and(newer) && peer.is_fresh(limit, self.now)
        })
    }

    /// What agents are at with a node.
    pub(super) fn fencing_status(&self, node: NodeId) -> Option<FencingStatus> {
        let attempt = self.fencing.nodes.get(&node)?;
        let levels = self.config.fence_levels(node);
        let level = levels.get(attempt.level)?.first()?.level;
        let left = |until: Instant| millis(until.since(self.now));
        let retry = attempt.rests_until.filter(|&until| until > self.now);
        Some(FencingStatus {
            level,
            asked: attempt.open.values().map(|request| request.agent.clone()).collect(),
            done: attempt.done.keys().cloned().collect(),
            retry_in_ms: retry.map(left),
            trouble: attempt.last_error.clone(),
        })
    }

    fn levels_of(&self, node: NodeId) -> Vec<Vec<FenceAgentConfig>> {
        let levels = self.config.fence_levels(node);
        levels.into_iter().map(|level| level.into_iter().cloned().collect()).collect()
    }

    /// Who has not answered by now has failed.
    fn give_up_waiting(&mut self, node: NodeId, attempt: &mut Attempt) {
        let late = attempt.open.iter().filter(|(_, request)| request.deadline <= self.now);
        for op in late.map(|(&op, _)| op).collect::<Vec<_>>() {
            self.heed(node, attempt, op, Err("no answer".to_owned()));
        }
    }

    /// Goes on with one node, as far as it goes now.
    fn pursue(
        &mut self,
        node: NodeId,
        attempt: &mut Attempt,
        levels: &[Vec<FenceAgentConfig>],
        is_wanted: bool,
    ) -> Option<FenceProof> {
        let now = self.now;
        self.give_up_waiting(node, attempt);
        if attempt.rests_until.is_some_and(|until| now < until) {
            self.look_at_agents(attempt);
            return None;
        }
        attempt.rests_until = None;
        // The configuration may be another one by now.
        if attempt.level >= levels.len() {
            attempt.begin_level(0);
        }
        loop {
            let level = &levels[attempt.level];
            // Of several only who keeps it off counts; the level may have grown since one was asked.
            attempt.done.retain(|_, word| level.len() == 1 || word.stays_off);
            let names: BTreeSet<&str> = level.iter().map(|agent| agent.name.as_str()).collect();
            let words = attempt.done.iter().filter(|(name, _)| names.contains(name.as_str()));
            let words: Vec<AgentWord> = words.map(|(_, word)| *word).collect();
            let proof =
                fence::agents(node, attempt.incarnation, attempt.since, level.len(), &words);
            if proof.is_some() && attempt.open.is_empty() {
                return proof;
            }
            if !is_wanted {
                break;
            }
            let waits = |agent: &FenceAgentConfig| {
                attempt.done.contains_key(&agent.name)
                    || attempt.open.values().any(|one| one.agent == agent.name)
            };
            let missing: Vec<&FenceAgentConfig> =
                level.iter().filter(|agent| !waits(agent)).collect();
            let spent = |agent: &FenceAgentConfig| {
                attempt.tries.get(&agent.name).is_some_and(|&tries| tries >= agent.tries)
            };
            if !missing.iter().any(|agent| spent(agent)) {
                for agent in missing {
                    self.ask_agent(node, attempt, agent, level.len());
                }
                break;
            }
            if !attempt.open.is_empty() {
                break;
            }
            if attempt.level + 1 < levels.len() {
                attempt.begin_level(attempt.level + 1);
                continue;
            }
            let (pause, error) = (attempt.pause, attempt.last_error.clone());
            attempt.begin_level(0);
            attempt.rests_until = Some(now + pause);
            attempt.pause = (pause * 2).min(PAUSE_MAX);
            let retry_in_ms = crate::time::millis(pause);
            self.out.tell(Notice::FenceGivenUp { node, error, retry_in_ms });
            break;
        }
        self.look_at_agents(attempt);
        None
    }

    fn ask_agent(
        &mut self,
        node: NodeId,
        attempt: &mut Attempt,
        agent: &FenceAgentConfig,
        together: usize,
    ) {
        // Whoever is no longer acknowledged may be the one that is lost.
        if !self.lease_held {
            return;
        }
        // One power supply at a time would never cut it off.
        let verb = if agent.reboots && together == 1 { FenceVerb::Reboot } else { FenceVerb::Off };
        *attempt.tries.entry(agent.name.clone()).or_default() += 1;
        self.request(node, attempt, agent, verb);
    }

    fn request(
        &mut self,
        node: NodeId,
        attempt: &mut Attempt,
        agent: &FenceAgentConfig,
        verb: FenceVerb,
    ) {
        let op = self.out.op();
        let asked_at = self.database.as_ref().map_or(0, Database::applied);
        // The driver ends it at its timeout, and says so.
        let deadline = self.now + agent.timeout + self.timing().detect * 2;
        attempt.open.insert(op, Request { agent: agent.name.clone(), verb, asked_at, deadline });
        self.out.tell(Notice::FenceAsked { node, agent: agent.name.clone(), verb });
        self.out.act(Action::Fence { op, agent: agent.name.clone(), node, verb });
    }

    /// It is ended, or need not be any more: what was switched off and may boot again is given its power back. Whether
    /// that succeeds proves nothing, and nobody asks again; but nothing else is begun meanwhile.
    fn switch_on(&mut self, node: NodeId, mut attempt: Attempt) {
        attempt.done.clear();
        let off = std::mem::take(&mut attempt.off);
        let agents = off.iter().filter_map(|name| self.config.fence_agent(name)).cloned();
        for agent in agents.filter(|agent| agent.reboots).collect::<Vec<_>>() {
            self.request(node, &mut attempt, &agent, FenceVerb::On);
        }
        if !attempt.open.is_empty() {
            self.look_at_agents(&attempt);
            self.fencing.nodes.insert(node, attempt);
        }
    }

    /// Comes back when an answer is overdue, or a pause over.
    fn look_at_agents(&mut self, attempt: &Attempt) {
        let deadlines = attempt.open.values().map(|request| request.deadline);
        if let Some(at) = deadlines.chain(attempt.rests_until).min() {
            self.timers.set_sooner(Timer::Review, at);
        }
    }

    /// An agent has answered.
    pub(super) fn on_fence(&mut self, op: OpId, result: Result<(), String>) {
        let asked = |attempt: &Attempt| attempt.open.contains_key(&op);
        let Some((&node, _)) = self.fencing.nodes.iter().find(|(_, attempt)| asked(attempt)) else {
            return;
        };
        let Some(mut attempt) = self.fencing.nodes.remove(&node) else { return };
        let result = match result {
            Err(_) if plant::is(Plant::FailedAgentCountsAsDone) => Ok(()),
            result => result,
        };
        self.heed(node, &mut attempt, op, result);
        self.fencing.nodes.insert(node, attempt);
        self.reconsider = true;
    }

    fn heed(&mut self, node: NodeId, attempt: &mut Attempt, op: OpId, result: Result<(), String>) {
        let Some(request) = attempt.open.remove(&op) else { return };
        let agent = request.agent;
        match result {
            Ok(()) => {
                if request.verb == FenceVerb::On {
                    return;
                }
                let stays_off = request.verb == FenceVerb::Off;
                if stays_off {
                    attempt.off.insert(agent.clone());
                }
                attempt.done.insert(agent, AgentWord { asked_at: request.asked_at, stays_off });
            }
            Err(error) => {
                attempt.last_error = format!("{agent}: {error}");
                self.out.tell(Notice::FenceFailed { node, agent, error });
            }
        }
    }
}
