//! Policies: how much at once, who is given nothing for a while, what is held back and for how long, and why.

use std::time::Duration;

use super::{A, B, C, Engine, Trio, VM, config};
use crate::action::{Action, LunVerb};
use crate::change::{Cause, Disarm, DownCause, Failback, GroupReport};
use crate::config::{
    By, ClusterConfig, ClusterParts, Domain, GroupConfig, Hours, OnDeadlock, Policy, Quarantine,
    RestartAction, Rule, Says,
};
use crate::event::{Event, Trouble};
use crate::id::{GroupId, NodeId, OpId, ResourceId};
use crate::message::Command;
use crate::notice::{Hold, Notice};
use crate::placement::NotHere;
use crate::status::{Because, GroupStatus, Input, NodeStatus};
use crate::time::Instant;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// I7: whatever is asked of a driver can be led back to what came in.
pub(super) fn assert_explained(engine: &Engine, action: &Action) {
    let op: OpId = match action {
        Action::Lun { verb: LunVerb::ReadBeat(_), .. } => return,
        Action::Lun { op, .. } | Action::Resource { op, .. } => *op,
        _ => return,
    };
    let why = engine.explain_action(op).unwrap_or_else(|| panic!("{action:?} has no cause"));
    let last = why.chain.last().map(|link| &link.what);
    assert!(matches!(last, Some(Because::Input(_))), "{action:?}: {why:?}");
    let inner = &why.chain[..why.chain.len() - 1];
    assert!(inner.iter().all(|link| matches!(link.what, Because::Told(_))), "{why:?}");
}

/// So many groups, of which only the first has a LUN, under a policy.
pub(super) fn many(count: u32, policy: Policy, edit: impl Fn(&mut GroupConfig)) -> Trio {
    let parts = parts_of(count, policy, edit);
    let mut trio = Trio::start_as(ClusterConfig::new(parts).expect("it is valid"));
    trio.run_until(SECOND * 10, |trio| trio.all_online_on(A));
    trio.notices.clear();
    trio
}

pub(super) fn parts_of(
    count: u32,
    policy: Policy,
    edit: impl Fn(&mut GroupConfig),
) -> ClusterParts {
    let mut parts = ClusterParts::from(config(true, |group| group.failback = false));
    let first = parts.groups[0].clone();
    for id in 2..=count {
        let mut group = first.clone();
        (group.id, group.name) = (GroupId(id), format!("vm{id}"));
        group.resources[0].id = ResourceId(id);
        group.resources[0].name = format!("guest{id}");
        group.luns.clear();
        parts.groups.push(group);
    }
    parts.groups.iter_mut().for_each(edit);
    parts.policy = policy;
    parts
}

impl Trio {
    fn all_online_on(&self, node: NodeId) -> bool {
        let owner = Some(format!("n{}", node.0));
        let there = |group: &GroupStatus| group.state == "online" && group.owner == owner;
        let all = |engine: &Engine| engine.status(self.now).groups.iter().all(there);
        self.engines.values().all(|engine| engine.database().is_some() && all(engine))
    }

    pub(super) fn status_of(&self, asked: NodeId, group: usize) -> GroupStatus {
        self.engines[&asked].status(self.now).groups[group].clone()
    }

    fn node_seen(&self, asked: NodeId, node: NodeId) -> NodeStatus {
        self.engines[&asked].status(self.now).nodes[usize::from(node.0) - 1].clone()
    }

    fn told_to(&self, node: NodeId) -> impl Iterator<Item = &Notice> {
        self.notices.iter().filter(move |one| one.1 == node).map(|one| &one.2)
    }

    pub(super) fn coordinator(&self) -> NodeId {
        let of = |engine: &Engine| engine.coordinator().0;
        self.engines.values().find_map(of).expect("somebody coordinates")
    }

    fn comes_back(&mut self, node: NodeId) {
        self.boot(node);
        self.run_until(SECOND * 10, |trio| trio.node_seen(B, node).state == "up");
    }

    pub(super) fn failed(&mut self, node: NodeId, group: u32) {
        let id = GroupId(group);
        let epoch = self.engines[&node].database().and_then(|one| one.group(id)).unwrap().epoch;
        let (resource, trouble) = (ResourceId(group), Trouble::Exited);
        let detail = "exit code 3".to_owned();
        self.queue.push_back((node, Event::ResourceFailed { resource, epoch, trouble, detail }));
    }

    fn it_is(&mut self, hour: u32, minute: u32) {
        let seconds = hour * 3_600 + minute * 60;
        for node in self.engines.keys().copied().collect::<Vec<_>>() {
            self.queue.push_back((node, Event::TimeOfDay { seconds }));
        }
        self.drain();
    }
}

fn flapping(hold: Duration) -> Policy {
    let quarantine = Quarantine { hold, ..Quarantine::default() };
    Policy { quarantine: Some(quarantine), ..Policy::default() }
}

fn returns_home(group: &mut GroupConfig) {
    group.failback = true;
}

/// The node goes down and comes back, with its group, so often.
fn flap(trio: &mut Trio, times: u32) {
    for time in 1..=times {
        trio.kill(A);
        trio.run_until(SECOND * 10, |trio| trio.all_online_on(B) || trio.all_online_on(C));
        trio.comes_back(A);
        if time < times {
            trio.run_until(SECOND * 10, |trio| trio.all_online_on(A));
        }
    }
}

#[test]
fn a_node_that_goes_down_for_the_third_time_is_given_nothing_until_its_quarantine_is_over() {
    let mut trio = many(1, flapping(MINUTE), returns_home);
    flap(&mut trio, 3);
    let told = Notice::Quarantined { node: A, failures: 3, hold_ms: 60_000 };
    assert!(trio.told_to(B).any(|one| *one == told), "{:#?}", trio.notices);
    trio.pass(SECOND * 40);
    assert!(!trio.all_online_on(A), "it may not have the group");
    let explanation = trio.engines[&B].explain(VM).unwrap();
    assert!(explanation.not_there.contains(&("n1".into(), NotHere::Quarantined)));
    let left = trio.node_seen(C, A).quarantine_left_ms.expect("it is in quarantine");
    assert!((1..=20_000).contains(&left), "{left}");
    assert!(trio.engines[&A].lease().is_some(), "it takes part and votes");
    trio.run_until(SECOND * 30, |trio| trio.all_online_on(A));
    assert_eq!(trio.node_seen(C, A).quarantine_left_ms, None);
    assert!(trio.told_to(B).any(|one| *one == Notice::QuarantineEnded { node: A }));
}

#[test]
fn a_quarantine_ends_by_command_and_the_next_one_is_twice_as_long() {
    let mut trio = many(1, flapping(MINUTE * 60), returns_home);
    for hold_ms in [3_600_000, 7_200_000] {
        flap(&mut trio, 3);
        let told = Notice::Quarantined { node: A, failures: 3, hold_ms };
        assert!(trio.told_to(B).any(|one| *one == told), "{hold_ms}");
        let failback = Failback::ByPolicy;
        trio.command(B, Command::Resume { node: "n1".into(), failback });
        trio.run_until(SECOND * 10, |trio| trio.all_online_on(A));
    }
}

#[test]
fn of_three_nodes_only_one_is_in_quarantine_at_once() {
    let mut trio = many(1, flapping(MINUTE * 60), |group| group.preferred_owners.clear());
    for _ in 0..4 {
        for node in [C, A] {
            trio.kill(node);
            trio.run_until(SECOND * 10, |trio| trio.engines[&B].status(trio.now).quorum);
            trio.pass(SECOND);
            trio.comes_back(node);
        }
    }
    let held = [A, C].map(|node| trio.node_seen(B, node).quarantine_left_ms.is_some());
    assert_eq!(held, [false, true], "whoever came first");
}

#[test]
fn a_disarmed_cluster_arms_itself_when_its_time_is_over_whoever_coordinates_then() {
    let mut trio = Trio::online();
    let coordinator = trio.coordinator();
    trio.command(B, Command::Disarm { mode: Disarm::Freeze, ttl: Some(MINUTE) });
    trio.run_until(SECOND, |trio| trio.engines[&B].database().unwrap().disarmed().is_some());
    let begun = trio.now;
    trio.pass(SECOND * 20);
    trio.kill(A);
    if coordinator != A {
        trio.kill(coordinator);
        trio.boot(coordinator);
    }
    trio.pass(SECOND * 20);
    assert!(trio.running.is_empty(), "nothing is started");
    let left = trio.engines[&C].status(trio.now).disarm_left_ms.expect("it ends");
    assert!((10_000..=20_500).contains(&left), "{left}");
    trio.run_until(SECOND * 30, |trio| trio.all_online_on(B) || trio.all_online_on(C));
    let took = trio.now.since(begun);
    assert!(took >= MINUTE && took <= MINUTE + SECOND * 3, "{took:?}");
    assert!(trio.told_to(B).any(|one| *one == Notice::Armed));
}

#[test]
fn said_again_a_disarm_counts_from_then_on() {
    let mut trio = Trio::online();
    let disarm = |ttl| Command::Disarm { mode: Disarm::Ignore, ttl };
    let begun = trio.now;
    trio.command(B, disarm(Some(MINUTE)));
    trio.pass(SECOND * 50);
    trio.command(B, disarm(Some(MINUTE)));
    trio.pass(SECOND * 50);
    trio.command(B, disarm(None));
    let is_armed = |trio: &Trio| trio.engines[&B].database().unwrap().disarmed().is_none();
    assert!(!is_armed(&trio));
    trio.run_until(SECOND * 20, is_armed);
    assert!(trio.now.since(begun) >= SECOND * 110);
}

#[test]
fn a_group_fails_back_in_its_hours_only() {
    let night = |group: &mut GroupConfig| {
        group.failback = true;
        group.wishes.failback_hours = Some(Hours { from: 22, to: 6 });
    };
    let ahead = Policy { utc_offset_minutes: 60, ..Policy::default() };
    let mut trio = many(1, ahead, night);
    trio.kill(A);
    trio.run_until(SECOND * 10, |trio| trio.all_online_on(B) || trio.all_online_on(C));
    trio.comes_back(A);
    trio.pass(SECOND * 10);
    assert!(!trio.all_online_on(A), "the time of day is not known");
    trio.it_is(20, 59);
    let said = trio.now;
    trio.pass(SECOND * 30);
    assert!(!trio.all_online_on(A), "it is before ten o'clock there");
    trio.run_until(MINUTE, |trio| trio.all_online_on(A));
    let took = trio.now.since(said);
    assert!(took >= MINUTE && took <= MINUTE + SECOND * 2, "{took:?}");
}

#[test]
fn what_returns_to_a_node_is_what_its_resume_says() {
    for (failback, by_policy, returns) in [
        (Failback::Now, false, true),
        (Failback::ByPolicy, false, false),
        (Failback::ByPolicy, true, true),
        (Failback::Never, true, false),
    ] {
        let mut trio = many(1, Policy::default(), |group| group.failback = by_policy);
        trio.command(B, Command::Drain { node: "n1".into() });
        trio.run_until(SECOND * 10, |trio| trio.all_online_on(B) || trio.all_online_on(C));
        trio.command(B, Command::Resume { node: "n1".into(), failback });
        trio.pass(SECOND * 10);
        assert_eq!(trio.all_online_on(A), returns, "{failback:?}, failback {by_policy}");
    }
}

#[test]
fn when_the_whole_cluster_starts_a_persistent_group_starts_where_it_was_last_moved_by_command() {
    for persistent in [true, false] {
        let mut trio = many(1, Policy::default(), |group| {
            group.wishes.persistent = persistent;
            group.preferred_owners.clear();
        });
        let move_to =
            |to: &str| Command::Move { group: "vm".into(), to: Some(to.into()), restart: false };
        trio.command(B, move_to("n3"));
        trio.run_until(SECOND * 10, |trio| trio.all_online_on(C));
        trio.kill(C);
        trio.run_until(SECOND * 10, |trio| trio.all_online_on(A) || trio.all_online_on(B));
        trio.comes_back(C);
        trio.pass(SECOND);
        [A, B, C].into_iter().for_each(|node| trio.kill(node));
        [A, B, C].into_iter().for_each(|node| trio.boot(node));
        let settled = |trio: &Trio| [A, B, C].into_iter().any(|node| trio.all_online_on(node));
        trio.run_until(SECOND * 20, settled);
        let there = trio.status_of(B, 0).owner.as_deref() == Some("n3");
        assert_eq!(there, persistent);
    }
}

#[test]
fn what_is_started_by_hand_stays_offline_when_its_node_is_lost() {
    let mut trio = many(2, Policy::default(), |group| group.wishes.started_by_hand = true);
    trio.kill(A);
    trio.pass(SECOND * 20);
    let states = |trio: &Trio| [0, 1].map(|group| trio.status_of(B, group).state);
    assert_eq!(states(&trio), ["offline", "offline"]);
    trio.command(B, Command::Online { group: "vm2".into() });
    trio.run_until(SECOND * 10, |trio| trio.status_of(B, 1).state == "online");
}

#[test]
fn only_so_many_groups_fail_over_at_once_and_the_more_important_go_first() {
    let mut policy = Policy::default();
    policy.limits.failovers_max = Some(2);
    let mut trio = many(7, policy, |group| group.wishes.priority = group.id.0.cast_signed());
    trio.kill(A);
    let moved = |trio: &Trio| (0..7).all(|group| trio.status_of(B, group).state == "online");
    trio.run_until(SECOND * 20, moved);
    let (mut open, mut most) = (0, 0);
    let mut order = Vec::new();
    for notice in trio.told_to(B) {
        match notice {
            Notice::Assigned { group, .. } => {
                order.push(group.0);
                open += 1;
                most = most.max(open);
            }
            Notice::Group { report: GroupReport::Online, .. } => open -= 1,
            _ => {}
        }
    }
    assert_eq!(most, 2);
    // The first has a LUN that fences by itself: it need not wait for the lease.
    assert_eq!(order, [1, 7, 6, 5, 4, 3, 2]);
}

#[test]
fn a_node_starts_only_so_many_groups_at_once_and_who_waits_is_told_why_by_everybody() {
    let mut policy = Policy::default();
    policy.limits.starts_per_node_max = Some(1);
    let mut trio = many(4, policy, |group| group.possible_owners = vec![A, B]);
    trio.mute.insert(B);
    trio.kill(A);
    let begun = |trio: &Trio| trio.status_of(C, 1).state == "starting";
    trio.run_until(SECOND * 20, |trio| begun(trio) || trio.status_of(C, 0).state == "starting");
    trio.pass(SECOND * 5);
    for asked in [B, C] {
        let held = (0..4).filter_map(|group| trio.status_of(asked, group).held);
        let held: Vec<Hold> = held.collect();
        assert_eq!(held, vec![Hold::Starts { node: B, max: 1 }; 3], "as {asked} has it");
    }
}

#[test]
fn when_too_many_of_one_kind_fail_at_once_they_are_held_and_tried_again_later() {
    let mut policy = Policy::default();
    policy.limits.alike_max = Some(2);
    let mut trio = many(3, policy, |group| group.resources[0].restart_threshold = 0);
    (1..=3).for_each(|group| trio.failed(A, group));
    trio.drain();
    let is_held = |trio: &Trio, group| trio.status_of(C, group).held.is_some();
    trio.run_until(SECOND * 5, |trio| (0..3).any(|group| is_held(trio, group)));
    let held: Vec<&Notice> = trio
        .notices
        .iter()
        .map(|one| &one.2)
        .filter(|one| matches!(one, Notice::Held { .. }))
        .collect();
    let Some(Notice::Held { why, retry_in_ms, .. }) = held.first() else {
        panic!("nobody is told")
    };
    assert_eq!(*why, Hold::Alike { driver: "host".into(), groups: 3 });
    assert!((1..=60_000).contains(retry_in_ms));
    trio.run_until(MINUTE * 2, |trio| {
        (0..3).all(|group| trio.status_of(B, group).state == "online")
    });
}

#[test]
fn a_group_that_has_failed_on_every_node_pauses() {
    let mut policy = Policy::default();
    policy.limits.everywhere_pause = Some(MINUTE);
    let mut trio = many(1, policy, |group| {
        group.resources[0].restart_threshold = 0;
        group.possible_owners = vec![A, B];
        group.failover_threshold = 9;
    });
    trio.failed(A, 1);
    trio.drain();
    trio.run_until(SECOND * 5, |trio| trio.all_online_on(B));
    trio.failed(B, 1);
    trio.drain();
    let begun: Instant = trio.now;
    trio.run_until(SECOND * 5, |trio| trio.status_of(C, 0).held == Some(Hold::Everywhere));
    trio.run_until(MINUTE * 2, |trio| trio.status_of(C, 0).state == "online");
    assert!(trio.now.since(begun) >= MINUTE - SECOND);
}

#[test]
fn a_group_with_a_resource_left_failed_is_degraded_for_everybody() {
    let mut trio = many(1, Policy::default(), |group| {
        group.resources[0].policy.restart_action = RestartAction::DoNotRestart;
        group.resources[0].restart_period = SECOND * 10;
        group.resources[0].policy.retry_period = Some(SECOND * 20);
    });
    trio.failed(A, 1);
    trio.drain();
    trio.run_until(SECOND * 5, |trio| trio.status_of(C, 0).state == "degraded");
    assert_eq!(trio.status_of(C, 0).owner.as_deref(), Some("n1"));
    trio.run_until(SECOND * 30, |trio| trio.status_of(C, 0).state == "online");
    assert_eq!(trio.status_of(C, 0).owner.as_deref(), Some("n1"));
}

#[test]
fn a_node_that_cannot_end_its_guest_is_fenced_where_its_policy_says_so() {
    let mut trio = many(1, Policy::default(), |group| {
        group.resources[0].policy.on_deadlock = OnDeadlock::FenceNode;
        group.resources[0].policy.deadlock_timeout = MINUTE;
    });
    trio.mute.insert(A);
    trio.failed(A, 1);
    trio.drain();
    trio.run_until(MINUTE, |trio| trio.status_of(B, 0).state == "stop-failed");
    let elsewhere = |trio: &Trio| {
        let status = trio.status_of(B, 0);
        status.state == "online" && status.owner.as_deref() != Some("n1")
    };
    trio.run_until(MINUTE * 2, elsewhere);
    let ordered = |one: &Notice| matches!(one, Notice::Down { cause: DownCause::Ordered, .. });
    assert!(trio.told_to(B).any(ordered));
    assert!(trio.told_to(A).any(|one| matches!(one, Notice::Deadlocked { fences: true, .. })));
}

#[test]
fn the_start_after_a_death_is_led_back_to_the_connection_that_was_closed() {
    let mut trio = Trio::online();
    trio.kill(A);
    trio.run_until(SECOND * 10, |trio| trio.all_online_on(B) || trio.all_online_on(C));
    let owner = if trio.all_online_on(B) { B } else { C };
    let mut ops = (1..10_000).rev().map(OpId);
    let why = ops.find_map(|op| trio.engines[&owner].explain_action(op)).unwrap();
    let told: Vec<&Because> = why.chain.iter().map(|link| &link.what).collect();
    let is_so = matches!(
        told[..],
        [
            Because::Told(Notice::Assigned { cause: Cause::NodeDown, .. }),
            Because::Told(Notice::Down { node: A, .. }),
            Because::Input(Input::Connection { node: A }),
        ]
    );
    assert!(is_so, "{told:#?}");
    let input = Input::Connection { node: A };
    assert_eq!((input.node(), input.what()), (Some(A), "has lost its connections at once"));
}

#[test]
fn a_configuration_whose_policies_do_not_hold_together_is_refused_at_its_place() {
    type Edit = fn(&mut ClusterParts);
    let refused: [(Edit, &str); 8] = [
        (|parts| parts.policy.limits.failovers_max = Some(0), "policy.limits.failovers_max"),
        (
            |parts| parts.groups[0].wishes.failback_hours = Some(Hours { from: 7, to: 7 }),
            "groups.vm.failback_hours",
        ),
        (
            |parts| {
                let policy = &mut parts.groups[0].resources[0].policy;
                policy.restart_action = RestartAction::Restart;
                policy.retry_period = Some(MINUTE);
            },
            "groups.vm.guest.retry_period",
        ),
        (
            |parts| parts.groups[0].resources[0].policy.deadlock_timeout = Duration::ZERO,
            "groups.vm.guest.deadlock_timeout",
        ),
        (
            |parts| parts.groups[0].resources[0].depends_on_any = vec![vec![]],
            "groups.vm.guest.depends_on_any",
        ),
        (
            |parts| parts.groups[0].resources[0].depends_on_any = vec![vec![ResourceId(1)]],
            "groups.vm.guest.depends_on",
        ),
        (|parts| apart(parts, By::Site), "nodes.n1.site"),
        (
            |parts| {
                parts.nodes.iter_mut().for_each(|node| node.domain.rack = "r1".into());
                parts.nodes[2].domain.rack.clear();
                apart(parts, By::Rack);
            },
            "nodes.n3.rack",
        ),
    ];
    for (edit, place) in refused {
        let mut parts = ClusterParts::from(config(true, |_| ()));
        edit(&mut parts);
        assert_eq!(
            ClusterConfig::new(parts).map(|_| ()).map_err(|one| one.place),
            Err(place.into())
        );
    }
    let mut parts = ClusterParts::from(config(true, |_| ()));
    for (node, (site, rack)) in parts.nodes.iter_mut().zip([("s", "1"), ("s", "2"), ("t", "1")]) {
        node.domain = Domain { site: site.into(), rack: rack.into() };
    }
    apart(&mut parts, By::Rack);
    let config = ClusterConfig::new(parts).expect("every node says where it stands");
    let [a, b, c] = config.nodes() else { panic!("three nodes") };
    assert!(a.is_with(b, By::Site) && !a.is_with(b, By::Rack) && !a.is_with(c, By::Rack));
}

fn apart(parts: &mut ClusterParts, by: By) {
    let says = Says::Apart { groups: vec![VM], strict: true, by };
    parts.rules.push(Rule { name: "spread".into(), says });
}
