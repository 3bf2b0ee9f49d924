//! What was found running beside its owner, once its node is down.

use super::super::NodeState;
use super::*;

/// VM runs on A, and was found on B, which then was fenced by time. Its LUN enforces, or it has none.
fn found_on_a_node_that_was_fenced(luns: &[u32]) -> Story {
    let mut parts = parts();
    parts.groups[0] = group(1, luns);
    parts.groups[0].wishes.found_twice = FoundTwice::Restart;
    let mut story = Story::begin(parts);
    story.runs_on(VM, A);
    let (epoch, report) = (story.record(VM).epoch, GroupReport::Stray);
    story.apply(Change::Report { group: VM, epoch, node: B, incarnation: NOW, report });
    assert_eq!(story.database.stray_awaited(VM), Some(B));
    story.release(VM, None, Cause::Found);
    story.report(VM, GONE);
    story.apply(Change::Down { node: B, incarnation: NOW, cause: DownCause::Ordered });
    story.fenced(FenceKind::LeaseOver);
    story
}

impl Story {
    fn fenced(&mut self, kind: FenceKind) {
        let reason = "its power is off".to_owned();
        self.apply(Change::Fenced { node: B, incarnation: NOW, kind, reason });
    }

    fn is_given_to(&mut self, owner: NodeId) -> bool {
        let (epoch, cause) = (Epoch(self.record(VM).epoch.0 + 1), Cause::Found);
        self.apply(Change::Assign { group: VM, epoch, owner, incarnation: NOW, cause });
        self.record(VM).owner() == Some((owner, NOW))
    }
}

#[test]
fn a_stray_on_a_node_that_was_fenced_by_time_is_waited_for_until_a_human_vouches_for_the_node() {
    let mut story = found_on_a_node_that_was_fenced(&[]);
    assert_eq!(story.database.stray_awaited(VM), Some(B), "nobody answers for it");
    assert!(!story.is_given_to(C));
    story.fenced(FenceKind::Human);
    assert_eq!(story.database.stray_awaited(VM), None);
    assert!(story.is_given_to(C));
}

#[test]
fn a_stray_on_a_node_that_was_fenced_is_not_waited_for_where_the_luns_refuse_it() {
    let mut story = found_on_a_node_that_was_fenced(&[1]);
    assert_eq!(story.database.stray_awaited(VM), None);
    assert!(story.is_given_to(C));
}

#[test]
fn a_node_that_is_back_is_asked_anew_of_a_stray() {
    for luns in [&[][..], &[1]] {
        let mut story = found_on_a_node_that_was_fenced(luns);
        let incarnation = Incarnation { boot: 2, session: 0 };
        story.apply(Change::Admit { node: B, incarnation });
        assert_eq!(story.database.stray_awaited(VM), Some(B), "it may have outlived the engine");
        assert!(!story.is_given_to(C));
        let (epoch, report) = (story.record(VM).epoch, GroupReport::StrayEnded);
        story.apply(Change::Report { group: VM, epoch, node: B, incarnation, report });
        assert_eq!(story.database.stray_awaited(VM), None);
        assert!(story.is_given_to(C));
    }
}

#[test]
fn a_stray_that_is_to_be_left_is_not_forgotten_when_its_node_is_back() {
    for boot in [1, 2] {
        let mut story = found_on_a_node_that_was_fenced(&[]);
        story.configure(|parts| parts.groups[0].wishes.found_twice = FoundTwice::Leave);
        let incarnation = Incarnation { boot, session: 1 };
        story.apply(Change::Admit { node: B, incarnation });
        assert_eq!(story.database.stray_awaited(VM), Some(B));
        assert_eq!(story.record(VM).strays.get(&B), Some(&incarnation));
    }
}

#[test]
fn a_stray_on_a_node_that_left_ends_when_a_human_vouches_for_the_node() {
    let mut story = runs_on_a(&[]);
    let (epoch, report) = (story.record(VM).epoch, GroupReport::Stray);
    story.apply(Change::Report { group: VM, epoch, node: B, incarnation: NOW, report });
    story.release(VM, None, Cause::Found);
    story.report(VM, GONE);
    story.apply(Change::Leave { node: B, incarnation: NOW, keep: false });
    story.apply(Change::Left { node: B, incarnation: NOW });
    assert_eq!(story.database.node(B).unwrap().state, NodeState::Fenced(FenceKind::Left));
    assert!(!story.is_given_to(C));
    let refused = story.database.without_node(B).unwrap_err().to_string();
    assert!(refused.contains("may still run on n2") && refused.contains("confirm-fenced"));
    story.is_vouched_for(B);
    assert!(story.record(VM).strays.is_empty());
    assert!(story.is_given_to(C));
}

const D: NodeId = NodeId(4);

impl Story {
    /// Somebody moves VM from A to another node by hand, and A says so.
    fn is_moved_by_hand(&mut self, to: NodeId) {
        self.report(VM, GroupReport::Gone { to });
    }

    fn is_vouched_for(&mut self, node: NodeId) {
        let incarnation = self.database.to_vouch_for(node).expect("it takes no part");
        let reason = "its power is off".to_owned();
        self.apply(Change::Fenced { node, incarnation, kind: FenceKind::Human, reason });
    }
}

/// VM runs on A; its LUN enforces, or it has none.
fn runs_on_a(luns: &[u32]) -> Story {
    let mut parts = parts();
    parts.groups[0] = group(1, luns);
    let mut story = Story::begin(parts);
    story.runs_on(VM, A);
    story
}

/// The same, beside a fourth node that was taken out a moment ago.
fn runs_on_a_and_d_is_gone(luns: &[u32]) -> Story {
    let mut story = runs_on_a(luns);
    let mut node = parts().nodes.remove(0);
    (node.id, node.name, node.voter) = (D, "n4".into(), false);
    node.addresses = vec!["10.0.0.4:7000".into()];
    story.apply(Change::AddNode(Box::new(crate::config::NewNode { node, only_if: None })));
    story.apply(Change::Admit { node: D, incarnation: NOW });
    story.apply(Change::Evict { node: D });
    story.apply(Change::Evicted { node: D });
    assert!(story.database.has_departed(D));
    story
}

#[test]
fn what_was_moved_by_hand_to_a_node_that_was_taken_out_starts_nowhere_until_a_human_vouches_for_that()
 {
    let mut story = runs_on_a_and_d_is_gone(&[]);
    story.is_moved_by_hand(D);
    assert_eq!(story.record(VM).owner(), None);
    assert_eq!(story.database.stray_awaited(VM), Some(D), "it may run and write there");
    assert!(!story.is_given_to(C));
    for name in ["n4", "4"] {
        assert_eq!(story.database.departed_named(name), Some(D));
    }
    story.is_vouched_for(D);
    assert_eq!(story.database.stray_awaited(VM), None);
    assert!(story.is_given_to(C));
}

#[test]
fn what_was_moved_by_hand_to_a_node_that_was_taken_out_starts_where_its_luns_refuse_that_node() {
    let mut story = runs_on_a_and_d_is_gone(&[1]);
    story.is_moved_by_hand(D);
    assert_eq!(story.database.stray_awaited(VM), None);
    assert!(story.is_given_to(C));
}

#[test]
fn what_was_moved_by_hand_to_a_node_that_is_down_or_fenced_starts_nowhere_by_time_alone() {
    for fenced_before in [false, true] {
        let mut story = runs_on_a(&[]);
        story.apply(Change::Down { node: B, incarnation: NOW, cause: DownCause::Silence });
        if fenced_before {
            story.fenced(FenceKind::LeaseOver);
        }
        story.is_moved_by_hand(B);
        if !fenced_before {
            story.fenced(FenceKind::LeaseOver);
        }
        assert_eq!(story.database.stray_awaited(VM), Some(B));
        assert!(!story.is_given_to(C));
        story.is_vouched_for(B);
        assert!(story.is_given_to(C));
    }
}

#[test]
fn what_was_moved_by_hand_and_its_owner_may_not_know_of_is_not_freed_by_time_nor_by_a_return() {
    let returns = |story: &mut Story, boot| {
        story.apply(Change::Admit { node: B, incarnation: Incarnation { boot, session: 1 } });
    };
    let mut story = runs_on_a(&[]);
    story.is_moved_by_hand(B);
    assert_eq!(story.record(VM).owner(), Some((B, NOW)));
    story.apply(Change::Down { node: B, incarnation: NOW, cause: DownCause::Silence });
    story.fenced(FenceKind::LeaseOver);
    assert_eq!(story.database.stray_awaited(VM), Some(B));
    returns(&mut story, 1);
    assert_eq!(story.database.stray_awaited(VM), Some(B));

    let mut story = runs_on_a(&[]);
    story.is_moved_by_hand(B);
    returns(&mut story, 2);
    assert_eq!(story.record(VM).owner(), None);
    assert_eq!(story.database.stray_awaited(VM), Some(B));
}

#[test]
fn what_was_moved_by_hand_and_then_kept_by_its_owner_is_freed_by_time() {
    let mut story = runs_on_a(&[]);
    story.is_moved_by_hand(B);
    story.release(VM, Some(C), Cause::Found);
    story.report(VM, GroupReport::Kept);
    story.apply(Change::Down { node: B, incarnation: NOW, cause: DownCause::Silence });
    story.fenced(FenceKind::LeaseOver);
    assert!(story.record(VM).strays.is_empty());
    assert!(story.is_given_to(C));
}

#[test]
fn what_was_moved_by_hand_and_its_owner_has_taken_is_freed_by_time() {
    let mut story = runs_on_a(&[]);
    story.is_moved_by_hand(B);
    story.report(VM, GroupReport::Online);
    story.apply(Change::Down { node: B, incarnation: NOW, cause: DownCause::Silence });
    story.fenced(FenceKind::LeaseOver);
    assert_eq!(story.database.stray_awaited(VM), None);
    assert!(story.is_given_to(C));
}
