//! A group alone: its LUN and its resources answer when the test says so.

mod failing;
mod states;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Entitlement, Goal, Leave, LocalGroup, ResourceState, StartPermit, VacancyProof};
use crate::action::{Action, LunVerb, ResourceVerb};
use crate::change::{GroupReport, ReleaseKind};
use crate::config::{GroupConfig, ResourceConfig};
use crate::database::Vacancy;
use crate::event::LunReply;
use crate::id::{
    ClusterId, Epoch, GroupId, Incarnation, LunId, NodeId, OpId, ReservationKey, ResourceId,
    SaveToken,
};
use crate::lock::LockFailure;
use crate::output::Output;
use crate::time::Instant;

const DISK: ResourceId = ResourceId(1);
const APP: ResourceId = ResourceId(2);
const NODE: NodeId = NodeId(1);
const EPOCH: Epoch = Epoch(4);
const CLUSTER: ClusterId = ClusterId(9);

fn resource(id: ResourceId, depends_on: &[ResourceId]) -> ResourceConfig {
    ResourceConfig {
        id,
        name: id.to_string(),
        driver: "host".into(),
        settings: "{}".into(),
        depends_on: depends_on.to_vec(),
        live_on_move: false,
        save_on_move: depends_on.is_empty(),
        restart_threshold: 1,
        restart_period: Duration::from_secs(900),
        restart_delay: Duration::ZERO,
        pending_timeout: Duration::from_secs(60),
        policy: crate::config::ResourcePolicy::default(),
        depends_on_any: Vec::new(),
    }
}

fn config(luns: &[LunId], resources: Vec<ResourceConfig>) -> GroupConfig {
    GroupConfig {
        id: GroupId(1),
        name: "vm".into(),
        auto_start: true,
        possible_owners: Vec::new(),
        preferred_owners: Vec::new(),
        scores: BTreeMap::new(),
        initial_owner: None,
        failback: false,
        stickiness: 0,
        failover_threshold: 2,
        failover_period: Duration::from_secs(21_600),
        retry_period: Duration::from_secs(3_600),
        wishes: crate::config::Wishes::default(),
        luns: luns.to_vec(),
        resources,
    }
}

struct Bench {
    group: LocalGroup,
    out: Output,
    now: Instant,
    leave: Leave,
    asked: Vec<Action>,
}

impl Bench {
    fn new(luns: &[LunId], resources: Vec<ResourceConfig>, vacancy: Vacancy) -> Self {
        Self::start(luns, resources, vacancy, None)
    }

    fn with_saved(token: SaveToken) -> Self {
        Self::start(&[], vec![resource(DISK, &[])], Vacancy::NeverOwned, Some(token))
    }

    fn start(
        luns: &[LunId],
        resources: Vec<ResourceConfig>,
        vacancy: Vacancy,
        saved: Option<SaveToken>,
    ) -> Self {
        let incarnation = Incarnation::of_boot(1);
        let entitlement = Entitlement {
            cluster: CLUSTER,
            node: NODE,
            incarnation,
            epoch: EPOCH,
            vacancy,
            enforced: true,
        };
        let mut bench = Self {
            group: LocalGroup::new(&config(luns, resources), entitlement, |_| false),
            out: Output::default(),
            now: Instant(1_000),
            leave: Leave { may_act: true, saved, may_restart: true },
            asked: Vec::new(),
        };
        bench.advance();
        bench
    }

    fn two() -> Self {
        let resources = vec![resource(DISK, &[]), resource(APP, &[DISK])];
        Self::new(&[], resources, Vacancy::NeverOwned)
    }

    fn advance(&mut self) {
        self.group.advance(self.leave, self.now, &mut self.out);
        self.asked.extend(self.out.take_actions());
    }

    fn verbs(&self) -> Vec<(ResourceId, ResourceVerb)> {
        let verbs = self.asked.iter().filter_map(|action| match action {
            Action::Resource { resource, verb, .. } => Some((*resource, *verb)),
            _ => None,
        });
        verbs.collect()
    }

    fn op_of(&self, id: ResourceId) -> OpId {
        let mut asked = self.asked.iter().rev();
        asked
            .find_map(|action| match action {
                Action::Resource { op, resource, .. } if *resource == id => Some(*op),
                _ => None,
            })
            .expect("it was asked for something")
    }

    fn answer(&mut self, id: ResourceId, result: Result<(), String>) {
        let op = self.op_of(id);
        assert!(self.group.on_resource(id, op, &result, self.now, &mut self.out));
        self.advance();
    }

    fn state(&self, id: ResourceId) -> ResourceState {
        self.group.resources().find(|&(one, _)| one == id).expect("it is in the group").1
    }

    /// Grants whatever the lock on the one LUN asks for, until it asks for nothing.
    fn grant_lun(&mut self) {
        let key = ReservationKey::new(CLUSTER, NODE, EPOCH);
        while let Some(Action::Lun { op, lun, verb }) = self
            .asked
            .iter()
            .rposition(|one| matches!(one, Action::Lun { .. }))
            .map(|at| self.asked.remove(at))
        {
            let result = Ok(match verb {
                LunVerb::ReadKeys => LunReply::Keys { keys: vec![key], holder: Some(key) },
                _ => LunReply::Done,
            });
            self.group.on_lun(lun, op, &result, &mut self.out);
            self.advance();
        }
    }
}

#[test]
fn resources_start_in_order_and_stop_in_reverse() {
    let mut t = Bench::two();
    assert_eq!(t.verbs(), [(DISK, ResourceVerb::Start { epoch: EPOCH })]);
    t.answer(DISK, Ok(()));
    t.answer(APP, Ok(()));
    assert_eq!(t.group.report(None), Some(GroupReport::Online));
    t.asked.clear();
    t.group.give_up(ReleaseKind::Stop, None);
    t.advance();
    assert!(matches!(t.verbs().as_slice(), [(APP, ResourceVerb::Stop { .. })]));
    t.answer(APP, Ok(()));
    assert!(matches!(t.verbs().last(), Some((DISK, ResourceVerb::Stop { .. }))));
    t.answer(DISK, Ok(()));
    let vacated = GroupReport::Vacated { saved: None, failures: 0, luns_away: false };
    assert_eq!(t.group.report(None), Some(vacated));
}

#[test]
fn nothing_starts_without_the_right_to_act() {
    let mut t = Bench::two();
    t.leave.may_act = false;
    t.answer(DISK, Ok(()));
    assert_eq!(t.verbs().len(), 1, "the second waits");
}

#[test]
fn a_storage_fence_is_no_vacancy_without_the_locks() {
    let vacancy = Vacancy::StorageFence { node: NodeId(2) };
    assert_eq!(VacancyProof::new(vacancy, EPOCH, &[LunId(1)], &[]), None);
    assert_eq!(VacancyProof::new(vacancy, EPOCH, &[], &[]), None, "no LUN fences nobody");
    let stopped = VacancyProof::new(Vacancy::NeverOwned, EPOCH, &[LunId(1)], &[]).unwrap();
    assert_eq!(StartPermit::new(&stopped, EPOCH, &[LunId(1)], &[]), None, "its LUN is not held");
    assert_eq!(StartPermit::new(&stopped, Epoch(5), &[], &[]), None, "the epoch has passed");
}

#[test]
fn a_group_with_a_lun_starts_when_it_is_held() {
    let vacancy = Vacancy::StorageFence { node: NodeId(2) };
    let mut t = Bench::new(&[LunId(1)], vec![resource(DISK, &[])], vacancy);
    assert_eq!(t.verbs(), []);
    t.grant_lun();
    assert_eq!(t.verbs(), [(DISK, ResourceVerb::Start { epoch: EPOCH })]);
}

#[test]
fn a_saved_state_runs_only_after_it_is_known_to_be_consumed() {
    let token = SaveToken(7);
    let mut t = Bench::with_saved(token);
    assert_eq!(t.verbs(), [(DISK, ResourceVerb::Load { epoch: EPOCH, token })]);
    t.answer(DISK, Ok(()));
    assert_eq!(t.group.report(Some(token)), Some(GroupReport::Consumed));
    assert_eq!(t.state(DISK), ResourceState::Loaded);
    t.leave.saved = None;
    t.advance();
    assert_eq!(t.verbs().last(), Some(&(DISK, ResourceVerb::Run)));
}

#[test]
fn a_failed_resource_is_restarted_and_then_gives_its_node_up() {
    let mut t = Bench::new(&[], vec![resource(DISK, &[])], Vacancy::NeverOwned);
    t.answer(DISK, Ok(()));
    for _ in 0..2 {
        t.group.on_trouble(DISK, t.now, &mut t.out);
        t.advance();
        assert_eq!(t.verbs().last(), Some(&(DISK, ResourceVerb::Kill)));
        t.answer(DISK, Ok(()));
        if t.state(DISK) == ResourceState::Starting {
            t.answer(DISK, Ok(()));
        }
    }
    assert_eq!(t.group.goal(), Goal::GiveUp);
    let vacated = GroupReport::Vacated { saved: None, failures: 2, luns_away: false };
    assert_eq!(t.group.report(None), Some(vacated));
}

#[test]
fn what_cannot_be_killed_is_said_and_nothing_is_given_back() {
    let mut t = Bench::new(&[LunId(1)], vec![resource(DISK, &[])], Vacancy::NeverOwned);
    t.grant_lun();
    t.answer(DISK, Ok(()));
    t.group.abandon();
    t.advance();
    t.answer(DISK, Err("still there".into()));
    assert_eq!(t.group.report(None), Some(GroupReport::StopFailed));
    assert!(!t.asked.iter().any(|one| matches!(one, Action::Lun { .. })), "its LUN stays held");
}

#[test]
fn a_guest_whose_lun_was_taken_is_killed_not_stopped() {
    let mut t = Bench::new(&[LunId(1)], vec![resource(DISK, &[])], Vacancy::NeverOwned);
    t.grant_lun();
    t.answer(DISK, Ok(()));
    t.group.on_lun_lost(LunId(1), LockFailure::Overtaken);
    t.advance();
    assert_eq!(t.verbs().last(), Some(&(DISK, ResourceVerb::Kill)));
}

#[test]
fn a_group_with_something_that_could_not_be_killed_is_given_up_once_it_is() {
    let mut t = Bench::new(&[], vec![resource(DISK, &[])], Vacancy::NeverOwned);
    t.answer(DISK, Ok(()));
    t.group.on_trouble(DISK, t.now, &mut t.out);
    t.advance();
    t.answer(DISK, Err("still there".into()));
    assert_eq!(t.group.report(None), Some(GroupReport::StopFailed));
    t.group.kill_again(&mut t.out);
    t.advance();
    t.answer(DISK, Ok(()));
    let vacated = GroupReport::Vacated { saved: None, failures: 1, luns_away: false };
    assert_eq!(t.group.report(None), Some(vacated));
}

#[test]
fn what_failed_rests_before_it_is_started_again() {
    let mut rests = resource(DISK, &[]);
    rests.restart_delay = Duration::from_millis(500);
    let mut t = Bench::new(&[], vec![rests], Vacancy::NeverOwned);
    t.answer(DISK, Err("no such program".into()));
    t.answer(DISK, Ok(()));
    t.asked.clear();
    t.advance();
    assert_eq!(t.verbs(), []);
    let until = t.group.rests_until(t.now).expect("it rests");
    assert_eq!(until, t.now + Duration::from_millis(500));
    t.now = until;
    t.advance();
    assert!(matches!(t.verbs().as_slice(), [(DISK, ResourceVerb::Start { .. })]));
}

#[test]
fn what_is_held_outside_is_asked_again_and_not_killed() {
    let mut t = Bench::new(&[], vec![resource(DISK, &[])], Vacancy::NeverOwned);
    for _ in 0..3 {
        let op = t.group.waits_for()[0];
        assert!(t.group.on_busy(DISK, op, t.now, &mut t.out));
        t.asked.clear();
        t.advance();
        assert_eq!(t.verbs(), [], "not at once");
        t.now = t.group.rests_until(t.now).expect("it is tried again");
        t.advance();
        assert!(matches!(t.verbs().as_slice(), [(DISK, ResourceVerb::Start { .. })]));
    }
    t.answer(DISK, Ok(()));
    assert!(t.group.is_online());
    t.group.give_up(ReleaseKind::Stop, None);
    t.advance();
    for _ in 0..3 {
        let op = t.group.waits_for()[0];
        assert!(t.group.on_busy(DISK, op, t.now, &mut t.out));
        assert_eq!(t.group.report(None), None, "it runs, and nobody is told otherwise");
        t.now = t.group.rests_until(t.now).expect("it is tried again");
        t.asked.clear();
        t.advance();
        assert!(matches!(t.verbs().as_slice(), [(DISK, ResourceVerb::Stop { .. })]));
    }
    let op = t.group.waits_for()[0];
    t.group.abandon();
    t.advance();
    assert!(!t.group.on_busy(DISK, op, t.now, &mut t.out), "an end is an end");
}

#[test]
fn what_somebody_has_moved_away_is_neither_stopped_nor_killed() {
    let mut t = Bench::new(&[], vec![resource(DISK, &[])], Vacancy::NeverOwned);
    t.answer(DISK, Ok(()));
    t.group.give_up(ReleaseKind::Stop, None);
    t.advance();
    let op = t.group.waits_for()[0];
    t.asked.clear();
    t.group.on_moved(DISK, NodeId(3), t.now, &mut t.out);
    t.advance();
    assert_eq!(t.verbs(), []);
    assert!(!t.group.on_resource(DISK, op, &Ok(()), t.now, &mut t.out), "too late");
    assert_eq!(t.group.report(None), Some(GroupReport::Gone { to: NodeId(3) }));
    // Of several, what is left is not where the one has gone.
    let mut t = Bench::two();
    t.answer(DISK, Ok(()));
    t.asked.clear();
    t.group.on_moved(DISK, NodeId(3), t.now, &mut t.out);
    t.advance();
    assert!(t.verbs().contains(&(DISK, ResourceVerb::Kill)));
}
