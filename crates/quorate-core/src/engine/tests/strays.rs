//! What runs where nobody has asked for it.

use std::time::Duration;

use super::{A, B, C, Trio, VM};
use crate::action::ResourceVerb;
use crate::change::Desire;
use crate::config::FoundTwice;
use crate::event::Event;
use crate::id::{NodeId, ResourceId};
use crate::message::Command;

const LONG: Duration = Duration::from_secs(20);

impl Trio {
    fn finds_on(&mut self, node: NodeId) {
        self.queue.push_back((node, Event::ResourceFound { resource: ResourceId(1) }));
        self.drain();
        self.run_until(LONG, |trio| trio.group(C).strays.contains_key(&node));
    }

    fn passes(&mut self, length: Duration) {
        let until = self.now + length;
        self.run_until(length * 2, |trio| trio.now >= until);
    }

    fn asks_for(&mut self, command: Command) -> Result<(), String> {
        self.answers.clear();
        self.command(C, command);
        self.run_until(LONG, |trio| trio.answers.len() == 1);
        self.answers.remove(0).map_err(|refusal| refusal.to_string())
    }
}

#[test]
fn a_stray_that_is_to_be_left_is_ended_once_the_group_is_to_be_managed_again() {
    let mut trio = Trio::online_as(|group| group.wishes.found_twice = FoundTwice::Leave);
    trio.verbs.clear();
    trio.finds_on(B);
    assert_eq!(trio.group(C).desire, Desire::Unmanaged);
    trio.passes(LONG);
    assert_eq!(trio.verbs, []);
    assert_eq!(trio.asks_for(Command::Online { group: "vm".into() }), Ok(()));
    trio.run_until(LONG, |trio| trio.group(C).strays.is_empty());
    assert!(trio.verbs.iter().all(|verb| *verb == (B, ResourceVerb::Kill)), "{:?}", trio.verbs);
    assert_eq!(trio.group(C).owner().map(|owner| owner.0), Some(A));
}

#[test]
fn a_stray_on_a_node_that_left_is_vouched_for_by_a_human() {
    let mut trio = Trio::online_as(|group| group.wishes.found_twice = FoundTwice::Leave);
    trio.finds_on(B);
    trio.run_until(LONG, |trio| trio.engines[&B].lease().is_some());
    trio.queue.push_back((B, Event::Leave { keep: false }));
    trio.drain();
    trio.run_until(LONG, |trio| !trio.engines[&C].database().unwrap().is_up(B));
    trio.engines.remove(&B);
    assert!(trio.group(C).strays.contains_key(&B));
    let reason = "its power is off".to_owned();
    assert_eq!(trio.asks_for(Command::ConfirmFenced { node: "n2".into(), reason }), Ok(()));
    assert!(trio.group(C).strays.is_empty());
}

#[test]
fn a_group_is_not_removed_while_a_copy_of_it_may_run() {
    let mut trio = Trio::start_with(false, |group| group.auto_start = false);
    trio.run_until(LONG, |trio| trio.engines[&C].lease().is_some());
    trio.mute.insert(B);
    trio.finds_on(B);
    let refused = trio.asks_for(Command::RemoveGroup { group: "vm".into() }).unwrap_err();
    assert!(refused.contains("runs on n2"), "{refused}");
    assert!(trio.engines[&C].config().group(VM).is_some());
}
