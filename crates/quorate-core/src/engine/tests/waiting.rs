//! What waits, for whom, until when; and what does not wait, though somebody might think so.

use std::collections::BTreeMap;
use std::time::Duration;

use super::policies::{MINUTE, SECOND, many, parts_of};
use super::{A, B, C, Trio, VM};
use crate::change::{Change, Disarm, GroupReport};
use crate::config::{
    Amounts, By, ClusterConfig, GroupConfig, OrderAct, OrderKind, Policy, Rule, SCORE_NEVER, Says,
};
use crate::database::{GroupRecord, OwnedState};
use crate::event::{Event, Trouble};
use crate::id::{GroupId, NodeId, ResourceId};
use crate::message::{Command, Refusal};
use crate::notice::{Hold, Notice};

const OTHER: GroupId = GroupId(2);
const THIRD: GroupId = GroupId(3);

fn order(first: GroupId, then: GroupId, kind: OrderKind) -> Says {
    Says::Order {
        first: vec![first],
        then,
        kind,
        symmetrical: kind != OrderKind::Serialize,
        first_act: OrderAct::Start,
        then_act: OrderAct::Start,
    }
}

/// Three groups under these rules, not started yet.
fn ruled(says: &[Says]) -> Trio {
    let mut parts = parts_of(3, Policy::default(), |_| ());
    let rules = says.iter().enumerate();
    let rule = |(at, says): (usize, &Says)| Rule { name: format!("r{at}"), says: says.clone() };
    parts.rules = rules.map(rule).collect();
    Trio::start_as(ClusterConfig::new(parts).expect("it is valid"))
}

impl Trio {
    fn are_all_online(&self) -> bool {
        (0..3).all(|group| self.status_of(B, group).state == "online")
    }

    fn record_of(&self, group: GroupId) -> &GroupRecord {
        let database = self.engines[&B].database();
        database.and_then(|one| one.group(group)).expect("it is a member")
    }

    fn is_member(&self) -> bool {
        self.engines.values().all(|engine| engine.database().is_some())
    }
}

#[test]
fn orders_in_a_circle_let_everything_start() {
    use OrderKind::{Mandatory, Optional, Serialize};
    let circles: [&[Says]; 6] = [
        &[order(VM, OTHER, Optional), order(OTHER, VM, Optional)],
        &[order(VM, OTHER, Serialize), order(OTHER, VM, Serialize)],
        &[order(VM, OTHER, Optional), order(OTHER, VM, Mandatory)],
        &[order(VM, OTHER, Serialize), order(OTHER, VM, Mandatory)],
        &[order(VM, OTHER, Optional), order(OTHER, THIRD, Optional), order(THIRD, VM, Optional)],
        &[order(VM, OTHER, Serialize), order(OTHER, THIRD, Mandatory), order(THIRD, VM, Serialize)],
    ];
    for says in circles {
        let mut trio = ruled(says);
        trio.run_until(SECOND * 20, |trio| trio.is_member() && trio.are_all_online());
    }
}

#[test]
fn a_group_that_waits_for_another_says_for_which_on_every_node() {
    let mut trio = ruled(&[order(VM, OTHER, OrderKind::Mandatory)]);
    trio.mute.extend([A, B, C]);
    trio.run_until(SECOND * 20, |trio| {
        trio.is_member() && trio.status_of(B, 0).state == "starting"
    });
    trio.pass(SECOND);
    for asked in [A, B, C] {
        let waiting = trio.status_of(asked, 1);
        assert_eq!(waiting.held, Some(Hold::Group { group: VM }), "as {asked} has it");
    }
}

#[test]
fn who_cannot_run_without_a_group_is_started_again_after_it_though_that_stays_on_its_node() {
    for (kind, again) in [(OrderKind::Mandatory, 1), (OrderKind::Optional, 0)] {
        let mut trio = ruled(&[order(VM, OTHER, kind), order(OTHER, THIRD, kind)]);
        trio.run_until(SECOND * 20, |trio| trio.is_member() && trio.are_all_online());
        let before = [VM, OTHER, THIRD].map(|group| trio.record_of(group).epoch.0);
        let (owner, _) = trio.record_of(VM).owner().expect("it is online");
        trio.notices.clear();
        trio.queue.push_back((
            owner,
            Event::ResourceFailed {
                resource: ResourceId(1),
                epoch: trio.record_of(VM).epoch,
                trouble: Trouble::Reported,
                detail: "it is gone".into(),
            },
        ));
        trio.drain();
        trio.pass(SECOND * 2);
        trio.run_until(SECOND * 20, Trio::are_all_online);
        let after = [VM, OTHER, THIRD].map(|group| trio.record_of(group).epoch.0);
        assert_eq!(after, [before[0], before[1] + again, before[2] + again], "{kind:?}");
        let at = |wanted: &dyn Fn(&Notice) -> bool| {
            trio.notices.iter().position(|(_, node, notice)| *node == B && wanted(notice))
        };
        let back = at(&|notice| {
            matches!(notice, Notice::Group { group: VM, report: GroupReport::Online, .. })
        });
        let given = at(&|notice| matches!(notice, Notice::Assigned { group: OTHER, .. }));
        assert_eq!(again == 1, given.is_some());
        assert!(given.is_none() || back < given, "it waits until its ground is back");
    }
}

#[test]
fn while_moves_are_held_nothing_starts_where_it_must_not() {
    let mut parts = parts_of(3, Policy::default(), |group| {
        group.preferred_owners.clear();
        group.auto_start = false;
        group.initial_owner = Some(A);
    });
    parts.groups[0].scores = BTreeMap::from([(A, SCORE_NEVER)]);
    let says = Says::Apart { groups: vec![VM, OTHER, THIRD], strict: true, by: By::Node };
    parts.rules.push(Rule { name: "apart".into(), says });
    let mut trio = Trio::start_as(ClusterConfig::new(parts).expect("it is valid"));
    trio.run_until(SECOND * 20, |trio| {
        trio.is_member() && trio.engines[&A].status(trio.now).quorum
    });
    trio.command(A, Command::HoldMoves { held: true });
    for group in ["vm", "vm2", "vm3"] {
        trio.command(A, Command::Online { group: group.into() });
    }
    trio.run_until(SECOND * 20, Trio::are_all_online);
    let owner = |group: usize| trio.status_of(B, group).owner;
    assert_ne!(owner(0).as_deref(), Some("n1"), "it may never run there");
    assert_ne!(owner(0), owner(1));
    assert_ne!(owner(1), owner(2));
    assert!([owner(1), owner(2)].contains(&Some("n1".into())), "who may stays where it is");
}

#[test]
fn every_node_says_the_same_of_when_a_place_may_come() {
    let mut trio = many(1, Policy::default(), |group| {
        group.possible_owners = vec![A];
        group.resources[0].restart_threshold = 0;
        group.wishes.node_failures_max = Some(1);
        group.wishes.failures_expire = Some(MINUTE);
        group.failover_threshold = 9;
    });
    trio.failed(A, 1);
    trio.drain();
    trio.run_until(SECOND * 10, |trio| trio.status_of(B, 0).state == "waiting");
    trio.pass(SECOND * 5);
    let said = [A, B, C].map(|node| trio.status_of(node, 0).retry_in_ms.expect("it is known"));
    assert!(said.iter().all(|left| (45_000..=60_000).contains(left)), "{said:?}");
    let (least, most) = (said.iter().min().unwrap(), said.iter().max().unwrap());
    assert!(most - least < 500, "{said:?}");
    trio.run_until(MINUTE * 2, |trio| trio.status_of(B, 0).state == "online");
}

#[test]
fn what_was_decided_and_could_not_be_proposed_is_decided_again_and_not_kept() {
    let mut trio = Trio::online();
    let coordinator = trio.coordinator();
    let disarm = Command::Disarm { mode: Disarm::Freeze, ttl: Some(MINUTE) };
    trio.command(coordinator, disarm);
    trio.run_until(SECOND, |trio| trio.engines[&A].database().unwrap().disarmed().is_some());
    trio.pass(SECOND);
    let other: NodeId = [A, B, C].into_iter().find(|&node| node != coordinator).unwrap();
    let engine = trio.engines.get_mut(&coordinator).unwrap();
    let voter = engine.database().and_then(|database| database.voter(other)).unwrap();
    engine.now += MINUTE * 2;
    engine.consensus.as_mut().unwrap().hand_over(voter);
    let handed_in = Change::HoldMoves { held: true };
    engine.proposed.push(handed_in.clone());
    assert!(!engine.coordinate(), "a coordinator that hands over proposes nothing");
    assert_eq!(engine.proposed, [handed_in], "and that the cluster arms itself is not kept");
}

#[test]
fn a_resource_may_have_the_longest_times_and_fail_all_the_same() {
    let longest = crate::config::LENGTH_MAX;
    let mut policy = Policy::default();
    policy.limits.alike_max = Some(1);
    policy.limits.alike_period = longest;
    policy.limits.everywhere_pause = Some(longest);
    let mut trio = many(2, policy, |group| {
        group.resources[0].restart_threshold = 0;
        group.resources[0].restart_period = longest;
        group.resources[0].pending_timeout = longest;
        group.retry_period = longest;
        group.failover_period = longest;
        group.wishes.failures_expire = Some(longest);
        group.wishes.node_failures_max = Some(1);
    });
    (1..=2).for_each(|group| trio.failed(A, group));
    trio.drain();
    trio.pass(Duration::from_secs(10));
    let held = |group: usize| trio.status_of(B, group).retry_in_ms.is_some();
    assert!(held(0) || held(1), "who failed last waits, and says for how long");
}

#[test]
fn a_group_that_could_move_live_and_does_not_come_up_delays_no_drain() {
    let mut trio = Trio::online_as(|group| {
        group.resources[0].live_on_move = true;
        group.preferred_owners = vec![A, B, C];
    });
    trio.mute.insert(B);
    trio.kill(A);
    let owner = |trio: &Trio| trio.group(C).owner().map(|(owner, _)| owner);
    trio.run_until(Duration::from_secs(5), |trio| owner(trio) == Some(B));
    trio.command(C, Command::Drain { node: "n2".into() });
    let leaves = |trio: &Trio| {
        let state = trio.group(C).owned_state();
        matches!(state, Some(OwnedState::Releasing { to: Some(C), .. }))
    };
    trio.run_until(Duration::from_secs(5), leaves);
}

/// Of two groups, each on its node, which has room for one.
fn crowded(edit: impl Fn(&mut GroupConfig)) -> Trio {
    let room = || Amounts::from([("memory".to_owned(), 1)]);
    let policy = Policy { limited: true, ..Policy::default() };
    let mut parts = parts_of(2, policy, |group| {
        group.wishes.uses = room();
        edit(group);
    });
    parts.nodes.iter_mut().for_each(|node| node.capacity = room());
    for (group, node) in parts.groups.iter_mut().zip([A, B]) {
        group.preferred_owners = vec![node];
    }
    let mut trio = Trio::start_as(ClusterConfig::new(parts).expect("it is valid"));
    let online = |trio: &Trio| (0..2).all(|group| trio.status_of(B, group).state == "online");
    trio.run_until(SECOND * 20, |trio| trio.is_member() && online(trio));
    trio
}

#[test]
fn who_is_moved_to_a_node_that_another_leaves_waits_for_that_and_starts_nowhere_else() {
    let mut trio = crowded(|_| ());
    trio.mute.insert(B);
    trio.command(A, Command::Offline { group: "vm2".into() });
    trio.pass(SECOND / 10);
    trio.notices.clear();
    trio.command(A, Command::Move { group: "vm".into(), to: Some("n2".into()), restart: true });
    trio.run_until(SECOND * 5, |trio| trio.record_of(VM).owner().is_none());
    assert_eq!(trio.record_of(VM).seat, Some(B));
    trio.mute.clear();
    trio.run_until(MINUTE * 10, |trio| trio.is_online_on(B));
    let elsewhere = trio.notices.iter().any(
        |(_, _, told)| matches!(told, Notice::Assigned { group: VM, owner, .. } if *owner != B),
    );
    assert!(!elsewhere, "{:?}", trio.notices);
}

#[test]
fn what_moves_as_it_runs_is_refused_where_another_has_not_left_yet() {
    let mut trio = crowded(|group| group.resources[0].live_on_move = true);
    trio.mute.insert(B);
    trio.command(A, Command::Offline { group: "vm2".into() });
    trio.pass(SECOND / 10);
    trio.answers.clear();
    trio.command(A, Command::Move { group: "vm".into(), to: Some("n2".into()), restart: false });
    trio.pass(SECOND / 10);
    let is_told = |why: &str| why.contains("as it runs before what leaves that node is gone");
    assert!(
        matches!(&trio.answers[..], [Err(Refusal::NotPossible(why))] if is_told(why)),
        "{:?}",
        trio.answers
    );
    assert!(trio.is_online_on(A));
}

#[test]
fn what_a_node_that_is_down_was_sending_takes_no_room_where_it_was_to_go() {
    let mut trio = crowded(|group| match group.id {
        OTHER => (group.possible_owners, group.wishes.priority) = (vec![B], 1),
        _ => group.possible_owners = vec![A, B],
    });
    let owner = |trio: &Trio| trio.record_of(OTHER).owner().map(|(owner, _)| owner);
    trio.command(B, Command::Offline { group: "vm2".into() });
    trio.run_until(SECOND * 5, |trio| owner(trio).is_none());
    trio.mute.insert(A);
    trio.command(B, Command::Move { group: "vm".into(), to: Some("n2".into()), restart: true });
    let is_sent = |trio: &Trio| {
        let state = trio.record_of(VM).owned_state();
        matches!(state, Some(OwnedState::Releasing { to: Some(B), .. }))
    };
    trio.run_until(SECOND * 5, is_sent);
    trio.command(B, Command::Online { group: "vm2".into() });
    trio.pass(SECOND / 2);
    assert!(owner(&trio).is_none(), "its place is given away");
    trio.kill(A);
    trio.run_until(SECOND * 5, |trio| owner(trio) == Some(B));
    let fenced = |(_, _, told): &(_, _, Notice)| matches!(told, Notice::Fenced { node: A, .. });
    assert!(
        !trio.notices.iter().any(fenced),
        "it has waited for the proof that nothing runs there"
    );
}
