//! What must be true of the replicated state, whatever is committed.

mod flapping;
mod membership;
mod numbers;
mod strays;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::{Database, GroupRecord, OwnedState, Ownership, Vacancy};
use crate::change::{
    Cause, Change, ChangeSet, DownCause, Failback, FenceKind, GroupReport, ReleaseKind,
};
use crate::config::{
    Amounts, By, ClusterConfig, ClusterParts, Domain, FoundTwice, GroupConfig, LunConfig,
    NewConfig, NewGroup, NodeConfig, Policy, Quarantine, ResourceConfig, ResourcePolicy, Rule,
    SCORE_NEVER, Says, TimingInputs, Wishes,
};
use crate::id::{ClusterId, Epoch, GroupId, Incarnation, LunId, NodeId, ResourceId, VoterId};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const VM: GroupId = GroupId(1);
const OTHER: GroupId = GroupId(2);
const THIRD: GroupId = GroupId(3);

fn parts() -> ClusterParts {
    let node = |id: u16| NodeConfig {
        id: NodeId(id),
        name: format!("n{id}"),
        addresses: vec![format!("10.0.0.{id}:7000")],
        voter: true,
        capacity: Amounts::new(),
        domain: Domain::default(),
    };
    let lun = |id: u32| LunConfig {
        id: LunId(id),
        name: format!("lun{id}"),
        driver: "iscsi".into(),
        settings: "{}".into(),
        enforced: true,
        part: false,
    };
    ClusterParts {
        witness: None,
        fence_agents: Vec::new(),
        name: "trio".into(),
        id: ClusterId(7),
        timing: TimingInputs::FAST,
        nodes: (1..=3).map(node).collect(),
        luns: vec![lun(1), lun(2)],
        groups: vec![group(1, &[1]), group(2, &[2])],
        rules: Vec::new(),
        policy: Policy::default(),
    }
}

fn group(id: u32, luns: &[u32]) -> GroupConfig {
    let resource = ResourceConfig {
        id: ResourceId(id),
        name: format!("guest{id}"),
        driver: "host".into(),
        settings: "{}".into(),
        depends_on: Vec::new(),
        depends_on_any: Vec::new(),
        save_on_move: false,
        live_on_move: false,
        restart_threshold: 3,
        restart_period: Duration::from_secs(900),
        restart_delay: Duration::from_millis(500),
        pending_timeout: Duration::from_secs(60),
        policy: ResourcePolicy::default(),
    };
    GroupConfig {
        id: GroupId(id),
        name: format!("vm{id}"),
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
        wishes: Wishes::default(),
        luns: luns.iter().map(|&lun| LunId(lun)).collect(),
        resources: vec![resource],
    }
}

const NOW: Incarnation = Incarnation { boot: 1, session: 0 };

struct Story {
    database: Database,
    at_ms: u64,
}

impl Story {
    /// Every node takes part.
    fn begin(parts: ClusterParts) -> Self {
        let config = ClusterConfig::new(parts).expect("it is valid");
        let founders = [A, B, C].map(|node| VoterId::new(node, 1)).to_vec();
        let mut story = Self { database: Database::genesis(config, founders), at_ms: 1_000 };
        for node in [A, B, C] {
            story.apply(Change::Admit { node, incarnation: NOW });
        }
        story
    }

    fn apply(&mut self, change: Change) {
        self.at_ms += 1_000;
        let set = ChangeSet { at_ms: self.at_ms, changes: vec![change] };
        let index = self.database.applied() + 1;
        self.database.apply(index, &set, &mut Vec::new());
    }

    fn record(&self, group: GroupId) -> &GroupRecord {
        self.database.group(group).expect("there is such a group")
    }

    fn runs_on(&mut self, group: GroupId, owner: NodeId) {
        let epoch = Epoch(self.record(group).epoch.0 + 1);
        let cause = Cause::Start;
        self.apply(Change::Assign { group, epoch, owner, incarnation: NOW, cause });
        self.report(group, GroupReport::Online);
        assert_eq!(self.record(group).owned_state(), Some(OwnedState::Online));
    }

    fn report(&mut self, group: GroupId, report: GroupReport) {
        let record = self.record(group);
        let (node, incarnation) = record.owner().expect("somebody owns it");
        let epoch = record.epoch;
        self.apply(Change::Report { group, epoch, node, incarnation, report });
    }

    fn release(&mut self, group: GroupId, to: Option<NodeId>, cause: Cause) {
        let (epoch, kind) = (self.record(group).epoch, ReleaseKind::Stop);
        self.apply(Change::Release { group, epoch, to, kind, cause });
    }

    fn configure(&mut self, edit: impl FnOnce(&mut ClusterParts)) {
        let mut parts = self.database.config().parts().clone();
        edit(&mut parts);
        let reason = "a test wants it".to_owned();
        let before = self.database.version();
        let new = NewConfig { parts, only_if: None, reason, unix_ms: 0 };
        self.apply(Change::Configure(Box::new(new)));
        assert_eq!(self.database.version(), before + 1, "it is in force");
    }
}

const GONE: GroupReport = GroupReport::Vacated { saved: None, failures: 0, luns_away: false };

#[test]
fn keys_of_a_lun_that_passes_from_one_group_to_another_are_newer_than_any_before() {
    let mut story = Story::begin(parts());
    for _ in 0..3 {
        story.runs_on(VM, A);
        story.release(VM, None, Cause::Offline);
        story.report(VM, GONE);
    }
    let stands = story.record(VM).epoch;
    story.configure(|parts| parts.groups[0].luns.clear());
    let added =
        NewGroup { group: group(3, &[1]), luns: Vec::new(), rules: Vec::new(), only_if: None };
    story.apply(Change::AddGroup(Box::new(added)));
    assert_eq!(story.database.config().group_of_lun(LunId(1)), Some(THIRD));
    assert!(story.record(THIRD).epoch >= stands, "{:?}", story.record(THIRD).epoch);
    // The same where the group that had it is gone, and where the LUN comes later.
    story.runs_on(THIRD, B);
    story.release(THIRD, None, Cause::Offline);
    story.report(THIRD, GONE);
    let stands = story.record(THIRD).epoch;
    story.configure(|parts| parts.groups[2].luns.clear());
    story.apply(Change::RemoveGroup { group: THIRD });
    story.configure(|parts| parts.groups[0].luns.push(LunId(1)));
    assert!(story.record(VM).epoch >= stands);
}

#[test]
fn a_group_is_not_passed_on_to_a_node_that_is_no_possible_owner_any_more() {
    let mut story = Story::begin(parts());
    story.runs_on(VM, A);
    story.release(VM, Some(B), Cause::Move);
    story.configure(|parts| parts.groups[0].possible_owners = vec![A, C]);
    story.report(VM, GONE);
    let vacancy = Vacancy::Stopped { node: A };
    assert_eq!(story.record(VM).ownership, Ownership::Vacant(vacancy));
}

#[test]
fn a_failure_counts_as_often_as_it_was_tried() {
    let mut story = Story::begin(parts());
    for (failures, sum) in [(1, 1), (4, 5), (u32::MAX, u32::MAX)] {
        story.runs_on(VM, A);
        story.report(VM, GroupReport::Vacated { saved: None, failures, luns_away: false });
        assert_eq!(story.record(VM).failures_on[&A].0, sum);
    }
}

#[test]
fn a_group_whose_luns_no_node_reaches_is_tried_again_and_never_left_failed() {
    let mut story = Story::begin(parts());
    let away = GroupReport::Vacated { saved: None, failures: 1, luns_away: true };
    let pause = 5 * crate::time::millis(story.database.config().timing().detect);
    for _ in 0..10 {
        for node in [A, B, C] {
            assert!(story.record(VM).failed_until.is_none_or(|at| at <= story.at_ms));
            let (epoch, cause) = (Epoch(story.record(VM).epoch.0 + 1), Cause::Failure);
            story.apply(Change::Assign { group: VM, epoch, owner: node, incarnation: NOW, cause });
            story.report(VM, away);
        }
        let record = story.record(VM);
        assert_eq!(record.failed_until, Some(story.at_ms + pause), "nobody reaches them");
        assert!(record.failures.is_empty() && record.awaits_luns());
        story.at_ms += pause;
    }
}

#[test]
fn who_is_sent_to_a_node_gets_it_only_once_others_have_left_it_room() {
    let one = || Amounts::from([("mem".to_owned(), 1)]);
    let mut parts = parts();
    parts.policy.limited = true;
    parts.nodes.iter_mut().for_each(|node| node.capacity = one());
    parts.groups.iter_mut().for_each(|group| group.wishes.uses = one());
    for other_goes_first in [false, true] {
        let mut story = Story::begin(parts.clone());
        story.runs_on(VM, A);
        story.runs_on(OTHER, B);
        for (group, to) in [(OTHER, None), (VM, Some(B))] {
            let (epoch, cause) = (story.record(group).epoch, Cause::Move);
            story.apply(Change::Release { group, epoch, to, kind: ReleaseKind::Stop, cause });
        }
        if other_goes_first {
            story.report(OTHER, GONE);
        }
        story.report(VM, GONE);
        let owner = story.record(VM).owner().map(|(node, _)| node);
        assert_eq!(owner, other_goes_first.then_some(B));
    }
}

/// A rule may have come since it was sent there.
#[test]
fn who_is_sent_to_where_it_must_not_be_by_now_gets_it_only_if_the_other_is_gone() {
    let apart = |by| Says::Apart { groups: vec![VM, OTHER], strict: true, by };
    let never = Says::Near { group: OTHER, with: VM, score: SCORE_NEVER, influence: false };
    for (says, other_goes_first) in [
        (apart(By::Node), false),
        (apart(By::Node), true),
        (apart(By::Site), false),
        (never.clone(), false),
        (never, true),
    ] {
        let mut parts = parts();
        parts.nodes.iter_mut().for_each(|node| node.domain.site = "one".into());
        parts.rules = vec![Rule { name: "no-company".into(), says }];
        let mut story = Story::begin(parts);
        story.runs_on(VM, A);
        story.runs_on(OTHER, B);
        let (epoch, cause) = (story.record(VM).epoch, Cause::Move);
        story.apply(Change::Release {
            group: VM,
            epoch,
            to: Some(B),
            kind: ReleaseKind::Stop,
            cause,
        });
        if other_goes_first {
            let (epoch, kind) = (story.record(OTHER).epoch, ReleaseKind::Stop);
            story.apply(Change::Release { group: OTHER, epoch, to: None, kind, cause });
            story.report(OTHER, GONE);
        }
        story.report(VM, GONE);
        let record = story.record(VM);
        assert_eq!(record.owner().map(|(node, _)| node), other_goes_first.then_some(B));
        // Nobody has chosen a node that it must not have.
        assert_eq!(record.chosen, other_goes_first.then_some(B));
    }
}

/// The group was tried on A, while the others said that they do not reach it.
fn waiting_for_its_lun() -> Story {
    let mut story = Story::begin(parts());
    let lun = story.database.config().group(VM).unwrap().luns[0];
    for node in [B, C] {
        story.apply(Change::Paths { node, incarnation: NOW, away: BTreeSet::from([lun]) });
    }
    let (epoch, cause) = (Epoch(story.record(VM).epoch.0 + 1), Cause::Start);
    story.apply(Change::Assign { group: VM, epoch, owner: A, incarnation: NOW, cause });
    story.report(VM, GroupReport::Vacated { saved: None, failures: 1, luns_away: true });
    story
}

#[test]
fn a_group_is_tried_only_once_where_all_others_say_that_they_do_not_reach_its_lun() {
    let story = waiting_for_its_lun();
    assert!(story.record(VM).awaits_luns());
}

#[test]
fn a_group_that_waits_for_its_lun_is_free_to_start_when_a_node_says_that_it_reaches_it() {
    let reaches = |node| Change::Paths { node, incarnation: NOW, away: BTreeSet::new() };
    let mut story = waiting_for_its_lun();
    story.apply(Change::Pause { node: B, drain: false, empty: false });
    story.apply(reaches(B));
    assert!(story.record(VM).awaits_luns(), "nothing starts there");
    story.apply(reaches(C));
    assert!(!story.record(VM).awaits_luns() && story.record(VM).failed_until.is_none());
    // What it has said before is no news.
    let mut story = waiting_for_its_lun();
    story.apply(reaches(C));
    let (epoch, cause) = (Epoch(story.record(VM).epoch.0 + 1), Cause::Start);
    story.apply(Change::Assign { group: VM, epoch, owner: C, incarnation: NOW, cause });
    story.report(VM, GroupReport::Vacated { saved: None, failures: 1, luns_away: true });
    story.apply(Change::Assign {
        group: VM,
        epoch: Epoch(epoch.0 + 1),
        owner: C,
        incarnation: NOW,
        cause,
    });
    story.report(VM, GroupReport::Vacated { saved: None, failures: 1, luns_away: true });
    story.apply(reaches(C));
    assert!(story.record(VM).awaits_luns());
}

#[test]
fn a_resume_without_failback_holds_only_what_would_have_gone_back_to_that_node() {
    let mut parts = parts();
    parts.groups.push(group(3, &[]));
    for (group, preferred) in parts.groups.iter_mut().zip([B, B, C]) {
        group.failback = true;
        group.preferred_owners = vec![preferred];
    }
    let mut story = Story::begin(parts);
    story.runs_on(VM, A);
    story.runs_on(OTHER, B);
    story.runs_on(THIRD, A);
    let (node, failback) = (B, Failback::Never);
    story.apply(Change::Pause { node, drain: true, empty: false });
    story.release(OTHER, Some(C), Cause::Drain);
    story.report(OTHER, GONE);
    story.apply(Change::Resume { node, failback });
    let stays = [VM, OTHER, THIRD].map(|group| story.record(group).stays);
    assert_eq!(stays, [true, true, false], "the last one goes back to another node");
    assert_eq!(story.record(OTHER).drained_from, None);
}

/// From nothing to the longest that is accepted.
fn length() -> impl Strategy<Value = Duration> {
    let most = crate::config::LENGTH_MAX.as_secs();
    let edges = prop::sample::select(vec![0, 1, most - 1, most]);
    prop_oneof![edges, 0..=most].prop_map(Duration::from_secs)
}

/// A configuration with any lengths that are accepted.
fn any_lengths() -> impl Strategy<Value = ClusterParts> {
    (prop::array::uniform16(length()), any::<(u32, u32)>()).prop_map(|(lengths, counts)| {
        let second = Duration::from_secs(1);
        let mut parts = parts();
        let [period, retry, expire, restart, delay, pending, failed, deadlock, rest @ ..] = lengths;
        let [losses, alike, pause, flapping, hold, hold_max, ..] = rest;
        let group = &mut parts.groups[0];
        (group.failover_period, group.retry_period) = (period, retry);
        group.failover_threshold = counts.0 % 3;
        group.wishes.failures_expire = Some(expire);
        group.wishes.node_failures_max = Some(counts.1.max(1));
        let resource = &mut group.resources[0];
        (resource.restart_period, resource.restart_delay) = (restart, delay);
        resource.pending_timeout = pending;
        resource.policy.retry_period = Some(failed);
        resource.policy.deadlock_timeout = deadlock.max(second);
        let limits = &mut parts.policy.limits;
        (limits.losses_period, limits.alike_period) = (losses, alike);
        (limits.losses_max, limits.alike_max) = (Some(1), Some(1));
        limits.everywhere_pause = Some(pause);
        let (period, hold_max) = (flapping.max(second), hold.max(hold_max));
        parts.policy.quarantine = Some(Quarantine { threshold: 1, period, hold, hold_max });
        parts
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_configuration_that_is_accepted_breaks_the_database_when_things_fail(
        parts in any_lengths(),
        at_ms in prop_oneof![0..10_000_u64, Just(u64::MAX - 1_000_000)],
    ) {
        let mut story = Story::begin(parts);
        story.at_ms = story.at_ms.max(at_ms);
        for node in [A, B, A] {
            story.runs_on(VM, node);
            story.report(VM, GroupReport::Vacated { saved: None, failures: u32::MAX, luns_away: false });
            let wishes = &story.database.config().groups()[0].wishes;
            let (record, now) = (story.record(VM), story.at_ms);
            record.banned_on(wishes, now);
            record.failed_lately(now, u64::MAX);
        }
        for session in 0..3 {
            let incarnation = Incarnation { session, ..NOW };
            story.apply(Change::Down { node: C, incarnation, cause: DownCause::Silence });
            story.database.losses(story.at_ms, u64::MAX);
            let (kind, reason) = (FenceKind::LeaseOver, String::new());
            story.apply(Change::Fenced { node: C, incarnation, kind, reason });
            let incarnation = incarnation.next_session();
            story.apply(Change::Admit { node: C, incarnation });
            story.apply(Change::EndQuarantine { node: C });
        }
    }
}

#[test]
fn lengths_and_numbers_that_nobody_can_mean_are_refused_at_their_place() {
    type Edit = fn(&mut ClusterParts);
    let refused: [(&str, Edit); 14] = [
        ("groups.vm1.failover_period_s", |one| one.groups[0].failover_period = Duration::MAX),
        ("groups.vm1.retry_period_s", |one| one.groups[0].retry_period = Duration::MAX),
        ("groups.vm1.failures_expire_s", |one| {
            one.groups[0].wishes.failures_expire = Some(Duration::MAX);
        }),
        ("groups.vm1.guest1.pending_timeout_s", |one| {
            one.groups[0].resources[0].pending_timeout = Duration::MAX;
        }),
        ("groups.vm1.stickiness", |one| one.groups[0].stickiness = i32::MAX),
        ("groups.vm1.node_failures_max", |one| one.groups[0].wishes.node_failures_max = Some(0)),
        ("groups.vm1.scores", |one| one.groups[0].scores = BTreeMap::from([(A, i32::MIN)])),
        ("policy.survives", |one| one.policy.survives = Some(0)),
        ("policy.survives", |one| one.policy.survives = Some(3)),
        // Two of three votes lost is the quorum lost.
        ("policy.survives", |one| one.policy.survives = Some(2)),
        ("policy.limits.losses_period_s", |one| one.policy.limits.losses_period = Duration::MAX),
        ("policy.quarantine.period_s", |one| {
            one.policy.quarantine =
                Some(Quarantine { period: Duration::ZERO, ..Quarantine::default() });
        }),
        ("policy.quarantine.hold_max_s", |one| {
            let hold_max = Duration::from_secs(1);
            one.policy.quarantine = Some(Quarantine { hold_max, ..Quarantine::default() });
        }),
        ("groups.vm2.uses.memmory", |one| {
            one.nodes[0].capacity = Amounts::from([("memory".into(), 4)]);
            one.groups[0].wishes.uses = Amounts::from([("memory".into(), 1)]);
            one.groups[1].wishes.uses = Amounts::from([("memmory".into(), 1)]);
        }),
    ];
    for (place, edit) in refused {
        let mut parts = parts();
        edit(&mut parts);
        let error = ClusterConfig::new(parts).expect_err(place);
        assert_eq!(error.place, place);
        assert!(!error.remedy.is_empty() && !error.problem.is_empty());
    }
    let mut longest = parts();
    longest.groups[0].retry_period = crate::config::LENGTH_MAX;
    longest.policy.survives = Some(1);
    assert!(ClusterConfig::new(longest).is_ok());
    assert_eq!(crate::config::SURVIVES_MAX, crate::placement::LOSSES_MAX);
}
