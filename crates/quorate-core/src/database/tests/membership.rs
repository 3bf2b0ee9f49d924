//! Nodes that come and go.

use super::{A, B, C, Story, VM, parts};
use crate::change::{Cause, Change, DownCause, FenceKind};
use crate::config::{ClusterConfig, NewNode, WitnessConfig};
use crate::id::NodeId;

const D: NodeId = NodeId(4);

fn with_witness() -> ClusterConfig {
    let mut parts = parts();
    parts.witness = Some(WitnessConfig { path: "/mnt/share/x".into(), votes: None });
    ClusterConfig::new(parts).unwrap()
}

fn fourth() -> NewNode {
    let mut node = parts().nodes.remove(0);
    (node.id, node.name) = (D, "n4".into());
    node.addresses = vec!["10.0.0.4:7000".into()];
    NewNode { node, only_if: None }
}

/// Each step on the way from three nodes to four and back.
fn steps() -> Vec<ClusterConfig> {
    let three = with_witness();
    let added = three.with_node(&fourth()).unwrap();
    let four = added.with_vote(D, true).unwrap();
    let settled = four.with_witness_settled().unwrap().unwrap();
    let less = settled.with_vote(D, false).unwrap();
    let gone = less.without_node(D).unwrap();
    let back = gone.with_witness_settled().unwrap().unwrap();
    vec![three, added, four, settled, less, gone, back]
}

#[test]
fn who_votes_changes_by_one_vote_at_a_time_so_that_majorities_always_meet() {
    let steps = steps();
    let votes: Vec<usize> = steps.iter().map(|one| one.voting().len()).collect();
    assert_eq!(votes, [3, 3, 4, 5, 4, 4, 3]);
    for pair in steps.windows(2) {
        let gone = pair[0].voting().iter().filter(|one| !pair[1].voting().contains(one));
        let new = pair[1].voting().iter().filter(|one| !pair[0].voting().contains(one));
        assert!(gone.count() + new.count() <= 1);
    }
    assert_eq!(steps[0], steps[6]);
}

#[test]
fn a_node_that_comes_has_no_vote_yet_and_one_that_votes_does_not_go() {
    let steps = steps();
    assert!(!steps[1].node(D).unwrap().voter);
    let refused = steps[3].without_node(D).unwrap_err();
    assert_eq!(refused.place, "nodes.n4");
}

#[test]
fn what_only_a_node_may_run_keeps_it_from_leaving() {
    let mut parts = with_witness().with_node(&fourth()).unwrap().parts().clone();
    parts.groups[0].possible_owners = vec![D];
    parts.groups[0].preferred_owners.clear();
    let config = ClusterConfig::new(parts.clone()).unwrap();
    let refused = config.without_node(D).unwrap_err();
    assert!(refused.to_string().contains("may run on n4 alone"), "{refused}");
    parts.groups[0].possible_owners = vec![A, D];
    parts.groups[0].scores.insert(D, 7);
    let left = ClusterConfig::new(parts).unwrap().without_node(D).unwrap();
    assert_eq!(left.groups()[0].possible_owners, [A]);
    assert!(left.groups()[0].scores.is_empty());
}

#[test]
fn one_node_leaves_at_a_time_and_none_that_is_down_or_has_a_group() {
    let mut story = Story::begin(parts());
    story.runs_on(VM, A);
    let why = |story: &Story, node| story.database.without_node(node).unwrap_err().to_string();
    assert!(why(&story, A).contains("drain it first"));
    let incarnation = story.database.node(C).unwrap().incarnation;
    story.apply(Change::Down { node: C, incarnation, cause: DownCause::Silence });
    assert!(why(&story, C).contains("not yet proven harmless"));
    let (kind, reason) = (FenceKind::LeaseOver, String::new());
    story.apply(Change::Fenced { node: C, incarnation, kind, reason });
    story.apply(Change::Evict { node: C });
    assert!(why(&story, B).contains("one leaves at a time"));
    story.apply(Change::Evicted { node: C });
    assert!(story.database.node(C).is_some(), "it votes");
    story.apply(Change::Vote { node: C, votes: false });
    story.apply(Change::Evicted { node: C });
    assert!(story.database.node(C).is_none() && story.database.has_departed(C));
}

#[test]
fn a_node_to_which_a_group_is_moving_stays() {
    let mut story = Story::begin(parts());
    story.runs_on(VM, A);
    assert!(story.database.without_node(B).is_ok());
    story.release(VM, Some(B), Cause::Move);
    let refused = story.database.without_node(B).unwrap_err().to_string();
    assert!(refused.contains("drain it first"), "{refused}");
}

#[test]
fn a_file_that_names_the_votes_to_come_fits_to_those_in_force() {
    let mut story = Story::begin(with_witness().parts().clone());
    story.apply(Change::AddNode(Box::new(fourth())));
    let mut parts = story.database.config().parts().clone();
    parts.nodes[3].voter = true;
    let new = crate::config::NewConfig { parts, only_if: None, reason: String::new(), unix_ms: 0 };
    assert_eq!(&story.database.successor(&new).unwrap(), story.database.config());
}

#[test]
fn a_configuration_that_has_come_is_known_though_a_vote_was_given_right_after() {
    let mut story = Story::begin(parts());
    story.apply(Change::AddNode(Box::new(fourth())));
    let mut parts = story.database.config().parts().clone();
    parts.groups[0].wishes.priority = 7;
    let only_if = Some(story.database.version());
    let new = crate::config::NewConfig { parts, only_if, reason: "first".into(), unix_ms: 7 };
    let mut late = new.clone();
    late.parts.groups[0].wishes.priority = 8;
    story.apply(Change::Configure(Box::new(new.clone())));
    story.apply(Change::Vote { node: D, votes: true });
    story.apply(Change::Configure(Box::new(late.clone())));
    assert!(story.database.config().node(D).unwrap().voter);
    assert_ne!(story.database.config().parts(), &new.parts);
    assert!(story.database.has_come(&new));
    assert!(!story.database.has_come(&late), "another came before it");
}

#[test]
fn a_witness_that_votes_in_the_place_of_a_node_gets_its_vote_before_that_loses_its() {
    let mut story = Story::begin(with_witness().parts().clone());
    story.apply(Change::WitnessVote);
    assert!(!story.database.config().witness_votes(), "three nodes vote, and all stay");
    let mut votes = vec![story.database.config().voting().to_vec()];
    story.apply(Change::Evict { node: C });
    for change in [Change::WitnessVote, Change::Vote { node: C, votes: false }] {
        story.apply(change);
        votes.push(story.database.config().voting().to_vec());
    }
    let (w, both) = (NodeId::WITNESS, [A, B]);
    assert_eq!(votes, [vec![A, B, C], vec![A, B, C, w], [&both[..], &[w]].concat()]);
    story.apply(Change::Evicted { node: C });
    assert!(story.database.node(C).is_none());
    assert!(story.database.with_witness_settled().is_none());
}
