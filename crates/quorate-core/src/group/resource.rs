//! One resource on this node.
//!
//! ```text
//! Offline -> Starting -> Online -> Stopping -> Offline
//! Offline -> Loading -> Loaded -> Running -> Online -> Saving -> Offline
//!                                            Online <- Saving, if it could not be handed over
//! any but Offline -> Killing -> Offline
//! Starting, Loading -> Offline, and Stopping, Saving -> Online, while somebody outside holds it
//! Offline -> Failed -> Offline: it is left failed, and rests until it is tried again
//! ```

use serde::{Deserialize, Serialize};

use crate::action::{Action, ResourceVerb};
use crate::config::{OnDeadlock, ResourceConfig, RestartAction};
use crate::id::{Epoch, NodeId, OpId, SaveToken};
use crate::output::Output;
use crate::plant::{self, Plant};
use crate::time::{Instant, nanos};
use std::time::Duration;

/// How far a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceState {
    /// Nothing of it runs here.
    Offline,
    /// It is being started afresh.
    Starting,
    /// Its saved state is being loaded.
    Loading,
    /// It is loaded, and halted.
    Loaded,
    /// It is about to run on.
    Running,
    /// It runs.
    Online,
    /// It is being halted and saved.
    Saving,
    /// It is being stopped in order.
    Stopping,
    /// It is being ended.
    Killing,
    /// It could not be ended: something of it may still run.
    StopFailed,
    /// Nothing of it runs here, and it is left failed.
    Failed,
}

/// What came of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It answers a request that no longer matters.
    Stale,
    /// It went on as asked.
    Done,
    /// It failed, and is being ended.
    Failed,
    /// It could not be handed over, and runs on.
    Kept,
}

/// One resource.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) config: ResourceConfig,
    pub(super) state: ResourceState,
    epoch: Epoch,
    waiting: Option<OpId>,
    /// It was saved under this token when it went offline.
    pub(super) saved: Option<SaveToken>,
    /// What is being saved goes straight to another node.
    sends: bool,
    failures: Vec<Instant>,
    /// Somebody outside held it: it is asked again from then on.
    held_until: Option<Instant>,
    /// Left failed, until then; none: until its group goes.
    failed_until: Option<Instant>,
    /// Since when it is being ended.
    ending_since: Option<Instant>,
    /// It was told that it is deadlocked.
    deadlocked: bool,
    /// It could not be ended, be it that this is tried again.
    stuck: bool,
    /// A start has failed, and one is enough.
    fatal: bool,
}

/// How long after it was found held it is asked again.
const HELD_PAUSE: Duration = Duration::from_millis(500);

impl Resource {
    pub(super) fn new(config: ResourceConfig, epoch: Epoch) -> Self {
        let state = ResourceState::Offline;
        Self {
            config,
            state,
            epoch,
            waiting: None,
            saved: None,
            sends: false,
            failures: Vec::new(),
            held_until: None,
            failed_until: None,
            ending_since: None,
            deadlocked: false,
            stuck: false,
            fatal: false,
        }
    }

    fn is_starting(&self) -> bool {
        matches!(
            self.state,
            ResourceState::Starting
                | ResourceState::Loading
                | ResourceState::Loaded
                | ResourceState::Running
        )
    }

    /// It runs, started by an earlier engine.
    pub(super) fn inherit(&mut self) {
        self.state = ResourceState::Online;
    }

    /// Nothing of it is here any more, whatever was asked of it.
    pub(super) fn leave(&mut self) {
        self.forget_the_end();
        (self.state, self.waiting, self.saved) = (ResourceState::Offline, None, None);
        self.sends = false;
    }

    fn forget_the_end(&mut self) {
        (self.ending_since, self.deadlocked, self.stuck) = (None, false, false);
    }

    /// Whether it could not be ended, and something of it may still run.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// Nothing of it runs here, and nothing is being done about that.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.state, ResourceState::Offline | ResourceState::Failed)
    }

    pub(super) fn waits_for(&self) -> Option<OpId> {
        self.waiting
    }

    pub(super) fn start(&mut self, out: &mut Output) {
        let epoch = self.epoch;
        self.ask(ResourceState::Starting, ResourceVerb::Start { epoch }, out);
    }

    pub(super) fn load(&mut self, token: SaveToken, out: &mut Output) {
        let epoch = self.epoch;
        self.ask(ResourceState::Loading, ResourceVerb::Load { epoch, token }, out);
    }

    pub(super) fn run(&mut self, out: &mut Output) {
        self.ask(ResourceState::Running, ResourceVerb::Run, out);
    }

    pub(super) fn save(&mut self, token: SaveToken, out: &mut Output) {
        self.saved = Some(token);
        self.ask(ResourceState::Saving, ResourceVerb::Save { token }, out);
    }

    pub(super) fn send(&mut self, token: SaveToken, to: NodeId, out: &mut Output) {
        self.saved = Some(token);
        self.sends = true;
        self.ask(ResourceState::Saving, ResourceVerb::Send { token, to }, out);
    }

    pub(super) fn stop(&mut self, out: &mut Output) {
        let timeout = self.config.pending_timeout;
        self.ask(ResourceState::Stopping, ResourceVerb::Stop { timeout }, out);
    }

    /// Ends it, whatever is under way; nothing if nothing of it runs.
    pub(super) fn kill(&mut self, out: &mut Output) {
        match self.state {
            ResourceState::Offline | ResourceState::Killing | ResourceState::Failed => {}
            ResourceState::Starting
            | ResourceState::Loading
            | ResourceState::Loaded
            | ResourceState::Running
            | ResourceState::Online
            | ResourceState::Saving
            | ResourceState::Stopping
            | ResourceState::StopFailed => {
                self.saved = None;
                self.sends = false;
                self.ask(ResourceState::Killing, ResourceVerb::Kill, out);
                if plant::is(Plant::KillNotAwaited) {
                    (self.state, self.waiting) = (ResourceState::Offline, None);
                }
            }
        }
    }

    /// The answer to `op`.
    pub(super) fn on_answer(
        &mut self,
        op: OpId,
        result: &Result<(), String>,
        now: Instant,
        out: &mut Output,
    ) -> Outcome {
        let stale = self.waiting.is_some() && plant::is(Plant::StaleAnswerTaken);
        if self.waiting != Some(op) && !stale {
            return Outcome::Stale;
        }
        self.waiting = None;
        if self.state == ResourceState::Killing {
            let ended = result.is_ok() || plant::is(Plant::FailedKillCountsAsDone);
            self.state = if ended { ResourceState::Offline } else { ResourceState::StopFailed };
            self.stuck |= !ended;
            if ended {
                self.forget_the_end();
            }
            return Outcome::Done;
        }
        let sends = std::mem::take(&mut self.sends);
        if result.is_err() && sends {
            self.saved = None;
            self.state = ResourceState::Online;
            return Outcome::Kept;
        }
        if result.is_err() {
            self.fatal |= self.config.policy.start_failure_is_fatal && self.is_starting();
            self.fail(now, out);
            return Outcome::Failed;
        }
        self.state = match self.state {
            ResourceState::Starting | ResourceState::Running => ResourceState::Online,
            ResourceState::Loading => ResourceState::Loaded,
            ResourceState::Saving | ResourceState::Stopping => ResourceState::Offline,
            ResourceState::Offline
            | ResourceState::Loaded
            | ResourceState::Online
            | ResourceState::Killing
            | ResourceState::StopFailed
            | ResourceState::Failed => self.state,
        };
        Outcome::Done
    }

    /// Somebody outside holds it: it is as it was before it was asked.
    pub(super) fn on_busy(&mut self, op: OpId, now: Instant, out: &mut Output) -> Outcome {
        if self.waiting != Some(op) {
            return Outcome::Stale;
        }
        let before = match self.state {
            ResourceState::Starting | ResourceState::Loading => ResourceState::Offline,
            ResourceState::Stopping | ResourceState::Saving => ResourceState::Online,
            ResourceState::Offline
            | ResourceState::Loaded
            | ResourceState::Running
            | ResourceState::Online
            | ResourceState::Killing
            | ResourceState::StopFailed
            | ResourceState::Failed => {
                return self.on_answer(op, &Err("it is held outside".to_owned()), now, out);
            }
        };
        self.state = before;
        self.waiting = None;
        self.saved = None;
        self.sends = false;
        self.held_until = Some(now + HELD_PAUSE);
        Outcome::Done
    }

    /// When it is asked again, since somebody outside held it.
    pub(super) fn is_held_until(&self, now: Instant) -> Option<Instant> {
        self.held_until.filter(|&until| until > now)
    }

    /// The host has not answered in time. A kill that is not answered leaves the resource
    /// stop-failed.
    pub(super) fn on_overdue(&mut self, op: OpId, now: Instant, out: &mut Output) -> Outcome {
        // What was to be handed over may be here or there: only its end here makes that certain.
        self.sends &= self.waiting != Some(op);
        let late = Err("no answer in time".to_owned());
        self.on_answer(op, &late, now, out)
    }

    /// It is no longer well; what is left of it is ended.
    pub(super) fn fail(&mut self, now: Instant, out: &mut Output) {
        self.failures.push(now);
        self.kill(out);
    }

    /// Whether it has failed more often within its period than it may, and takes its group with it.
    pub(super) fn is_exhausted(&self, now: Instant) -> bool {
        self.config.policy.restart_action == RestartAction::RestartThenFailOver
            && (self.fatal || self.has_failed_too_often(now))
    }

    fn has_failed_too_often(&self, now: Instant) -> bool {
        self.recent_failures(now) > self.config.restart_threshold
    }

    /// How often it has failed within its period.
    pub(super) fn recent_failures(&self, now: Instant) -> u32 {
        let period = nanos(self.config.restart_period);
        let recent = self.failures.iter().filter(|at| nanos(now.since(**at)) < period).count();
        u32::try_from(recent).unwrap_or(u32::MAX)
    }

    /// Leaves it failed if that is its policy, or ends its rest. What is to be told: it is left failed for so long;
    /// none: until its group goes.
    pub(super) fn rest(&mut self, now: Instant) -> Option<Option<Duration>> {
        let over = self.failed_until.is_some_and(|until| until <= now);
        if self.state == ResourceState::Failed && over {
            self.state = ResourceState::Offline;
            self.failed_until = None;
            self.failures.clear();
        }
        let gives_up = match self.config.policy.restart_action {
            RestartAction::DoNotRestart => !self.failures.is_empty(),
            RestartAction::Restart => self.has_failed_too_often(now),
            RestartAction::RestartThenFailOver => false,
        };
        if self.state != ResourceState::Offline || !gives_up {
            return None;
        }
        self.state = ResourceState::Failed;
        let length = self.config.policy.retry_period;
        self.failed_until = length.map(|length| now + length);
        Some(length)
    }

    /// Whether nobody can end it. True once, when that is found.
    pub(super) fn find_deadlock(&mut self, now: Instant) -> bool {
        if !matches!(self.state, ResourceState::Killing | ResourceState::StopFailed) {
            return false;
        }
        let since = *self.ending_since.get_or_insert(now);
        let found = !self.deadlocked && now >= since + self.config.policy.deadlock_timeout;
        self.deadlocked |= found;
        found
    }

    /// Whether its node is to be fenced because nobody can end it.
    pub(super) fn wants_fence(&self) -> bool {
        self.deadlocked && self.config.policy.on_deadlock == OnDeadlock::FenceNode
    }

    /// When it counts as deadlocked, if it does not end before.
    pub(super) fn deadlock_at(&self) -> Option<Instant> {
        let ends = matches!(self.state, ResourceState::Killing | ResourceState::StopFailed);
        let since = self.ending_since.filter(|_| ends && !self.deadlocked);
        since.map(|since| since + self.config.policy.deadlock_timeout)
    }

    /// When it may be started again after its last failure; none: at once, or not at all.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        if self.state == ResourceState::Failed {
            return self.failed_until.filter(|&until| until > now);
        }
        let until = self.failures.last().map(|&at| at + self.config.restart_delay);
        let until = until.max(self.held_until);
        until.filter(|&until| self.state == ResourceState::Offline && until > now)
    }

    fn ask(&mut self, state: ResourceState, verb: ResourceVerb, out: &mut Output) {
        let op = out.op();
        self.state = state;
        self.waiting = Some(op);
        out.act(Action::Resource { op, resource: self.config.id, verb });
    }
}
