//! What a drain or a move would come to, said beforehand; and why a node does not get empty.

use std::time::Duration;

use super::policies::parts_of;
use super::{A, B, C, Trio, VM};
use crate::config::{Amounts, ClusterConfig, ClusterParts, GroupConfig, Policy};
use crate::database::NodeState;
use crate::id::{GroupId, NodeId};
use crate::message::{Command, Refusal};
use crate::placement::NotHere;

const SECOND: Duration = Duration::from_secs(1);
const OTHER: GroupId = GroupId(2);

/// Two groups, each of which fills a node: vm on A, and vm2, which counts less, on B alone.
fn full(edit: impl Fn(&mut GroupConfig)) -> Trio {
    let policy = Policy { limited: true, ..Policy::default() };
    let mut parts: ClusterParts = parts_of(2, policy, |group| {
        group.wishes.uses = Amounts::from([("memory".to_owned(), 4)]);
        let (owners, priority) = if group.id == VM { (vec![A, B], 3000) } else { (vec![B], 1000) };
        group.preferred_owners.clear();
        (group.possible_owners, group.wishes.priority) = (owners, priority);
        edit(group);
    });
    for node in &mut parts.nodes {
        node.capacity = Amounts::from([("memory".to_owned(), 4)]);
    }
    let mut trio = Trio::start_as(ClusterConfig::new(parts).expect("it is valid"));
    trio.run_until(SECOND * 20, |trio| {
        let member = trio.engines.values().all(|engine| engine.database().is_some());
        member
            && [(0, "n1"), (1, "n2")].iter().all(|&(group, node)| {
                let status = trio.status_of(C, group);
                status.state == "online" && status.owner.as_deref() == Some(node)
            })
    });
    trio
}

/// Group, from where, to where.
type Goes = (GroupId, Option<NodeId>, Option<NodeId>);

fn drained(trio: &Trio, node: &str) -> Vec<Goes> {
    let found = trio.engines[&C].foresee_drain(node).expect("it is known");
    assert_eq!(found.refusal, None);
    found.effects.iter().map(|one| (one.group, one.from, one.to)).collect()
}

#[test]
fn a_drain_says_beforehand_what_moves_and_whom_that_displaces_and_does_nothing() {
    let trio = full(|_| ());
    assert_eq!(drained(&trio, "n1"), [(VM, Some(A), Some(B)), (OTHER, Some(B), None)]);
    assert_eq!(drained(&trio, "n2"), [(OTHER, Some(B), Some(B))], "nowhere else can it run");
    assert_eq!(drained(&trio, "n3"), []);
    let database = trio.engines[&C].database().expect("it is a member");
    assert!(database.nodes().values().all(|node| node.state == NodeState::Up && !node.draining));
    let unknown = trio.engines[&C].foresee_drain("n9");
    assert!(matches!(unknown, Err(Refusal::Unknown { .. })), "{unknown:?}");
}

#[test]
fn a_move_says_beforehand_what_it_does_or_why_it_would_be_refused() {
    let mut trio = full(|group| {
        if group.id == VM {
            group.possible_owners = vec![A, B, C];
        }
    });
    let found = trio.engines[&C].foresee_move("vm", Some("n3")).expect("it is known");
    let goes: Vec<Goes> = found.effects.iter().map(|one| (one.group, one.from, one.to)).collect();
    assert_eq!((goes, found.refusal), (vec![(VM, Some(A), Some(C))], None));
    let found = trio.engines[&C].foresee_move("vm", Some("n2")).expect("it is known");
    assert!(found.effects.is_empty());
    trio.answers.clear();
    trio.command(A, Command::Move { group: "vm".into(), to: Some("n2".into()), restart: false });
    assert_eq!(trio.answers, [Err(found.refusal.expect("it has no room"))]);
}

#[test]
fn why_a_group_is_not_on_a_node_is_what_a_move_to_it_is_refused_for() {
    let trio = full(|group| {
        if group.id == VM {
            group.possible_owners = vec![A, B];
        }
    });
    let explained = trio.engines[&C].explain(VM).expect("it is known");
    for (node, why) in &explained.not_there {
        let found = trio.engines[&C].foresee_move("vm", Some(node)).expect("it is known");
        let refusal = found.refusal.expect("it cannot go there").to_string();
        assert!(refusal.contains(&why.to_string()), "{node}: {why}, and {refusal}");
    }
    let no_room = |(node, why): &(String, NotHere)| node == "n2" && why.code() == "no_room";
    assert!(explained.not_there.iter().any(no_room), "{:?}", explained.not_there);
}

#[test]
fn a_node_that_does_not_get_empty_says_which_groups_stay_and_why() {
    let mut trio = full(|_| ());
    let stays = |trio: &Trio| trio.engines[&C].status(trio.now).nodes[1].stays.clone();
    assert!(stays(&trio).is_empty());
    trio.command(A, Command::Drain { node: "n2".into() });
    trio.run_until(SECOND * 5, |trio| !stays(trio).is_empty());
    let said = stays(&trio);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("vm2: no other node can run it (not n1: it is not a possible owner")
    );
    trio.command(A, Command::Unmanage { group: "vm2".into() });
    trio.run_until(SECOND * 5, |trio| stays(trio)[0].starts_with("vm2: it is left alone"));
    trio.command(A, Command::Offline { group: "vm2".into() });
    trio.run_until(SECOND * 5, |trio| stays(trio).is_empty());
}
