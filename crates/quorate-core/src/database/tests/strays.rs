//! What was found running beside its owner, once its node is down.

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
fn a_stray_that_is_to_be_left_is_forgotten_when_its_node_is_back() {
    let mut story = found_on_a_node_that_was_fenced(&[]);
    story.configure(|parts| parts.groups[0].wishes.found_twice = FoundTwice::Leave);
    story.apply(Change::Admit { node: B, incarnation: Incarnation { boot: 2, session: 0 } });
    assert_eq!(story.database.stray_awaited(VM), None);
}
