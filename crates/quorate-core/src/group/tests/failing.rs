//! What becomes of a group whose resources fail: either-or dependencies, restart actions, deadlocks.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::{APP, Bench, DISK, EPOCH, resource};
use crate::action::{Action, ResourceVerb};
use crate::change::{GroupReport, ReleaseKind};
use crate::config::{OnDeadlock, ResourceConfig, RestartAction};
use crate::database::Vacancy;
use crate::group::{Goal, ResourceState};
use crate::id::{OpId, ResourceId};
use crate::notice::Notice;

const NET: ResourceId = ResourceId(3);

impl Bench {
    fn of(resources: Vec<ResourceConfig>) -> Self {
        Self::new(&[], resources, Vacancy::NeverOwned)
    }

    fn pass(&mut self, length: Duration) {
        self.now += length;
        self.advance();
    }

    fn told(&mut self) -> Vec<Notice> {
        self.out.take_notices()
    }

    /// The resource fails, and what is left of it is ended.
    fn fail(&mut self, id: ResourceId) {
        self.group.on_trouble(id, self.now, &mut self.out);
        self.advance();
        self.answer(id, Ok(()));
    }

    /// Answers all that is asked, in an order drawn from `chance`; what is in `bad` never starts.
    fn answer_all(&mut self, bad: &BTreeSet<ResourceId>, mut chance: u64) {
        let mut seen: BTreeSet<OpId> = BTreeSet::new();
        loop {
            let open = self.asked.iter().filter_map(|action| match action {
                Action::Resource { op, resource, verb } => Some((*op, *resource, *verb)),
                _ => None,
            });
            let open: Vec<_> = open.filter(|(op, ..)| !seen.contains(op)).collect();
            let Some(&(op, id, verb)) = open.get(chance as usize % open.len().max(1)) else {
                return;
            };
            chance = chance.rotate_left(7) ^ op.0;
            seen.insert(op);
            if matches!(verb, ResourceVerb::Stop { .. }) {
                self.assert_stops_after_all_that_stand_on_it(id);
            }
            let starts = matches!(verb, ResourceVerb::Start { .. } | ResourceVerb::Load { .. });
            let result = if starts && bad.contains(&id) { Err("no".into()) } else { Ok(()) };
            self.group.on_resource(id, op, &result, self.now, &mut self.out);
            self.advance();
        }
    }

    fn assert_stops_after_all_that_stand_on_it(&self, id: ResourceId) {
        let stand =
            self.group.resources.values().filter(|one| one.config.grounds().any(|on| on == id));
        for one in stand.filter(|_| self.group.goal() == Goal::GiveUp) {
            assert!(one.is_down(), "{} is {:?}, and {id} stops", one.config.id, one.state);
        }
    }

    fn online(&self) -> BTreeSet<ResourceId> {
        let online = |&(_, state): &(ResourceId, ResourceState)| state == ResourceState::Online;
        self.group.resources().filter(online).map(|(id, _)| id).collect()
    }
}

fn plain(id: ResourceId, depends_on: &[ResourceId]) -> ResourceConfig {
    ResourceConfig { save_on_move: false, ..resource(id, depends_on) }
}

fn with_action(action: RestartAction, mut resource: ResourceConfig) -> ResourceConfig {
    resource.policy.restart_action = action;
    resource.restart_delay = Duration::ZERO;
    resource
}

/// One that may stand on the disk or on the network.
fn either() -> Bench {
    let mut app = plain(APP, &[]);
    app.depends_on_any = vec![vec![DISK, NET]];
    let leave = |id| with_action(RestartAction::DoNotRestart, plain(id, &[]));
    Bench::of(vec![leave(DISK), app, leave(NET)])
}

#[test]
fn of_two_grounds_one_is_enough_and_without_both_it_stops() {
    let mut t = either();
    t.answer(NET, Ok(()));
    assert_eq!(t.state(APP), ResourceState::Starting, "one of the two is online");
    t.answer(APP, Ok(()));
    t.answer(DISK, Ok(()));
    t.fail(NET);
    assert_eq!(t.state(APP), ResourceState::Online, "the other one carries it");
    t.fail(DISK);
    assert_eq!(t.state(APP), ResourceState::Stopping);
    t.answer(APP, Ok(()));
    assert_eq!(t.group.report(None), Some(GroupReport::Degraded));
}

#[test]
fn what_is_not_to_be_restarted_is_left_failed_and_tried_again_after_its_retry_period() {
    let app = with_action(RestartAction::DoNotRestart, plain(APP, &[DISK]));
    let retry = app.policy.retry_period.expect("it is retried");
    let mut t = Bench::of(vec![plain(DISK, &[]), app]);
    t.answer(DISK, Ok(()));
    t.answer(APP, Ok(()));
    t.fail(APP);
    assert_eq!(t.state(APP), ResourceState::Failed);
    let told = Notice::LeftFailed { resource: APP, retry_in_ms: Some(3_600_000) };
    assert!(t.told().contains(&told));
    assert_eq!(t.group.report(None), Some(GroupReport::Degraded), "the disk runs on");
    assert_eq!(t.group.rests_until(t.now), Some(t.now + retry));
    t.pass(retry - Duration::from_secs(1));
    assert_eq!(t.state(APP), ResourceState::Failed);
    t.pass(Duration::from_secs(1));
    t.answer(APP, Ok(()));
    assert_eq!(t.group.report(None), Some(GroupReport::Online));
}

#[test]
fn what_has_lost_its_ground_ends_before_that_is_started_again_and_starts_after_it() {
    let again = |id, on: &[ResourceId]| with_action(RestartAction::Restart, plain(id, on));
    let mut t = Bench::of(vec![again(DISK, &[]), again(APP, &[DISK])]);
    t.answer(DISK, Ok(()));
    t.answer(APP, Ok(()));
    t.fail(DISK);
    assert_eq!((t.state(DISK), t.state(APP)), (ResourceState::Offline, ResourceState::Stopping));
    t.answer(APP, Ok(()));
    assert_eq!((t.state(DISK), t.state(APP)), (ResourceState::Starting, ResourceState::Offline));
    t.answer(DISK, Ok(()));
    t.answer(APP, Ok(()));
    assert_eq!(t.group.report(None), Some(GroupReport::Online));
}

#[test]
fn what_has_failed_is_started_again_once_those_who_need_it_know() {
    let mut t = Bench::of(vec![with_action(RestartAction::Restart, plain(APP, &[]))]);
    t.answer(APP, Ok(()));
    assert!(!t.group.is_restarting());
    t.leave.may_restart = false;
    t.fail(APP);
    assert_eq!(t.state(APP), ResourceState::Offline);
    assert_eq!(t.group.report(None), Some(GroupReport::Restarting));
    t.leave.may_restart = true;
    t.advance();
    t.answer(APP, Ok(()));
    assert_eq!(t.group.report(None), Some(GroupReport::Online));
}

#[test]
fn each_restart_action_does_what_its_name_says() {
    let outcomes = [
        (RestartAction::DoNotRestart, 1, ResourceState::Failed, Goal::Run),
        (RestartAction::Restart, 2, ResourceState::Failed, Goal::Run),
        (RestartAction::RestartThenFailOver, 2, ResourceState::Offline, Goal::GiveUp),
    ];
    for (action, failures, state, goal) in outcomes {
        let mut t = Bench::of(vec![with_action(action, plain(APP, &[]))]);
        for failure in 0..failures {
            assert_eq!(t.group.goal(), Goal::Run, "{action:?} after {failure} failures");
            t.answer(APP, Ok(()));
            t.fail(APP);
        }
        assert_eq!((t.state(APP), t.group.goal()), (state, goal), "{action:?}");
    }
}

#[test]
fn where_a_failed_start_is_fatal_one_is_enough_and_what_fails_later_is_restarted() {
    let mut app = with_action(RestartAction::RestartThenFailOver, plain(APP, &[]));
    app.policy.start_failure_is_fatal = true;
    let mut t = Bench::of(vec![app.clone()]);
    t.answer(APP, Ok(()));
    t.fail(APP);
    assert_eq!((t.state(APP), t.group.goal()), (ResourceState::Starting, Goal::Run));
    let mut t = Bench::of(vec![app]);
    t.answer(APP, Err("it does not start".into()));
    t.answer(APP, Ok(()));
    let vacated = GroupReport::Vacated { saved: None, failures: 1, luns_away: false };
    assert_eq!((t.group.goal(), t.group.report(None)), (Goal::GiveUp, Some(vacated)));
}

#[test]
fn a_group_with_what_is_left_failed_can_be_given_up() {
    let mut t = Bench::of(vec![with_action(RestartAction::DoNotRestart, plain(APP, &[]))]);
    t.answer(APP, Ok(()));
    t.fail(APP);
    t.group.give_up(ReleaseKind::Move, None);
    t.advance();
    let vacated = GroupReport::Vacated { saved: None, failures: 0, luns_away: false };
    assert_eq!(t.group.report(None), Some(vacated));
}

#[test]
fn what_nobody_can_end_is_deadlocked_after_its_timeout_and_told_once() {
    for on_deadlock in [OnDeadlock::TellPeople, OnDeadlock::FenceNode] {
        let mut stuck = plain(APP, &[]);
        stuck.policy.on_deadlock = on_deadlock;
        let timeout = stuck.policy.deadlock_timeout;
        let mut t = Bench::of(vec![stuck]);
        t.answer(APP, Ok(()));
        t.group.on_trouble(APP, t.now, &mut t.out);
        t.advance();
        let begun = t.now;
        while t.now < begun + timeout {
            assert_eq!(t.told(), []);
            let op = t.op_of(APP);
            t.group.on_overdue(op, t.now, &mut t.out);
            assert_eq!(t.group.report(None), Some(GroupReport::StopFailed));
            t.group.kill_again(&mut t.out);
            t.pass(Duration::from_secs(10));
        }
        let fences = on_deadlock == OnDeadlock::FenceNode;
        assert_eq!(t.told(), [Notice::Deadlocked { resource: APP, fences }]);
        let op = t.op_of(APP);
        t.group.on_overdue(op, t.now, &mut t.out);
        t.pass(timeout);
        assert_eq!(t.told(), []);
        let report = if fences { GroupReport::Deadlocked } else { GroupReport::StopFailed };
        assert_eq!(t.group.report(None), Some(report));
    }
}

/// Resources of which each may stand on those before it: on all of some, and on one of some others.
fn expressions() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
    proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 1..7)
}

fn grounds(mask: u8, before: usize) -> Vec<ResourceId> {
    (0..before).filter(|&at| mask >> at & 1 == 1).map(|at| ResourceId(at as u32 + 1)).collect()
}

proptest! {
    #[test]
    fn what_has_its_ground_runs_nothing_else_does_and_all_stops_in_reverse(
        masks in expressions(),
        bad in any::<u8>(),
        chance in any::<u64>(),
    ) {
        let make = |(at, &(all, any, other)): (usize, &(u8, u8, u8))| {
            let id = ResourceId(at as u32 + 1);
            let mut one = plain(id, &grounds(all & other, at));
            let any = [grounds(any, at), grounds(other, at)];
            one.depends_on_any = any.into_iter().filter(|set| !set.is_empty()).collect();
            with_action(RestartAction::DoNotRestart, one)
        };
        let resources: Vec<ResourceConfig> = masks.iter().enumerate().map(make).collect();
        let bad: BTreeSet<ResourceId> = grounds(bad, masks.len()).into_iter().collect();
        let mut expected: BTreeSet<ResourceId> = BTreeSet::new();
        for one in &resources {
            let all = one.depends_on.iter().all(|id| expected.contains(id));
            let any = one.depends_on_any.iter().all(|set| set.iter().any(|id| expected.contains(id)));
            if all && any && !bad.contains(&one.id) {
                expected.insert(one.id);
            }
        }
        let mut t = Bench::of(resources);
        t.answer_all(&bad, chance);
        prop_assert_eq!(t.online(), expected.clone());
        let whole = expected.len() == masks.len();
        let report = if whole { GroupReport::Online } else { GroupReport::Degraded };
        prop_assert_eq!(t.group.report(None), Some(report));
        t.asked.clear();
        t.group.give_up(ReleaseKind::Stop, None);
        t.advance();
        t.answer_all(&bad, chance);
        prop_assert!(t.group.is_gone());
        prop_assert_eq!(t.group.epoch(), EPOCH);
    }
}
