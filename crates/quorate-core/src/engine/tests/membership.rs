//! Nodes that come and go while the cluster runs.

use std::time::Duration;

use super::{A, B, C, Trio};
use crate::config::{ClusterConfig, NewNode, WitnessConfig};
use crate::engine::Standing;
use crate::event::Event;
use crate::id::{NodeId, ResourceId};
use crate::message::{Command, Hello, Message};
use crate::notice::Notice;

const D: NodeId = NodeId(4);
const LONG: Duration = Duration::from_secs(20);

fn fourth(trio: &Trio) -> NewNode {
    let mut node = trio.config.nodes()[0].clone();
    (node.id, node.name, node.addresses) = (D, "n4".into(), vec!["10.0.0.4:7000".into()]);
    NewNode { node, only_if: None }
}

impl Trio {
    /// Starts the fourth node with a file that names it, as a voter at once.
    fn boot_fourth(&mut self) {
        let new = fourth(self);
        let mut parts = self.config.parts().clone();
        parts.nodes.push(new.node);
        self.config = crate::config::ClusterConfig::new(parts).unwrap();
        self.boot(D);
    }

    /// Adds the fourth node, starts it, and waits until it votes.
    fn with_fourth() -> Self {
        let mut trio = Self::online();
        let new = fourth(&trio);
        trio.command(B, Command::AddNode(Box::new(new)));
        trio.run_until(LONG, |trio| trio.answers.len() == 1);
        assert_eq!(trio.answers, [Ok(())]);
        trio.boot_fourth();
        trio.run_until(LONG, |trio| trio.voting() == [4; 4]);
        trio.answers.clear();
        trio
    }

    /// How many votes each node knows of.
    fn voting(&self) -> Vec<usize> {
        self.engines.values().map(|engine| engine.config().voting().len()).collect()
    }

    /// Lets everybody get a lease, and hear that the others have theirs.
    fn settles(&mut self) {
        let later = self.now + Duration::from_secs(1);
        self.run_until(LONG, |trio| trio.now >= later);
        assert!(self.engines.values().all(|engine| engine.lease().is_some()));
    }

    fn refusal(&mut self, node: &str) -> String {
        self.answers.clear();
        self.command(B, Command::EvictNode { node: node.into() });
        self.run_until(LONG, |trio| trio.answers.len() == 1);
        self.answers.remove(0).unwrap_err().to_string()
    }

    fn evict(&mut self, from: NodeId, node: &str) {
        self.answers.clear();
        self.command(from, Command::EvictNode { node: node.into() });
        self.run_until(LONG, |trio| trio.answers.len() == 1);
        assert_eq!(self.answers.remove(0), Ok(()));
    }

    fn is_told(&self, node: NodeId, notice: &Notice) -> bool {
        self.notices.iter().any(|(_, one, told)| *one == node && told == notice)
    }
}

#[test]
fn a_node_that_is_added_joins_and_votes_once_it_has_caught_up() {
    let mut trio = Trio::online();
    let new = fourth(&trio);
    trio.command(B, Command::AddNode(Box::new(new)));
    let later = trio.now + Duration::from_secs(5);
    trio.run_until(LONG, |trio| trio.now >= later);
    assert_eq!(trio.voting(), [3; 3], "nobody has seen it yet");
    trio.boot_fourth();
    trio.run_until(LONG, |trio| trio.voting() == [4; 4]);
    trio.run_until(LONG, |trio| trio.engines[&D].lease().is_some());
    assert!(trio.is_told(D, &Notice::Joined));
    // Two of four are no majority any more, three are.
    trio.silent.insert(A);
    trio.run_until(LONG, |trio| {
        let up = |node: &NodeId| trio.engines[node].lease().is_some();
        [B, C, D].iter().all(up) && trio.engines[&A].lease().is_none_or(|at| at < trio.now)
    });
    trio.silent.insert(C);
    let ended =
        |trio: &Trio, node: NodeId| trio.engines[&node].lease().is_none_or(|at| at < trio.now);
    trio.run_until(LONG, |trio| ended(trio, B) && ended(trio, D));
}

#[test]
fn a_node_that_nobody_added_founds_nothing_and_joins_nothing() {
    let mut trio = Trio::online();
    trio.boot_fourth();
    let later = trio.now + LONG;
    trio.run_until(LONG * 2, |trio| trio.now >= later);
    assert!(trio.engines[&D].database().is_none());
}

#[test]
fn a_node_that_is_evicted_hears_of_it_and_ends_and_the_rest_goes_on() {
    let mut trio = Trio::with_fourth();
    trio.evict(A, "n4");
    trio.run_until(LONG, |trio| trio.is_told(D, &Notice::Evicted { node: D }));
    trio.run_until(LONG, |trio| trio.is_told(A, &Notice::Parted { node: D }));
    trio.engines.remove(&D);
    trio.run_until(LONG, |trio| trio.voting() == [3; 3]);
    assert!(trio.engines[&A].database().unwrap().node(D).is_none());
    trio.kill(C);
    let later = trio.now + LONG;
    trio.run_until(LONG * 2, |trio| trio.now >= later && trio.engines[&A].lease().is_some());
    // Its number is nobody's for ever.
    trio.answers.clear();
    let new = fourth(&trio);
    trio.command(B, Command::AddNode(Box::new(new)));
    trio.run_until(LONG, |trio| trio.answers.len() == 1);
    let refused = trio.answers.remove(0).unwrap_err().to_string();
    assert!(refused.contains("number 4") && refused.contains("no node ever had"), "{refused}");
}

#[test]
fn a_node_that_was_evicted_while_it_was_away_comes_back_to_nothing() {
    let mut trio = Trio::with_fourth();
    trio.kill(D);
    let refused = trio.refusal("n4");
    assert!(refused.contains("is down") && refused.contains("confirm-fenced"), "{refused}");
    let fenced = |trio: &Trio| {
        trio.notices.iter().any(|(_, _, told)| matches!(told, Notice::Fenced { node: D, .. }))
    };
    trio.run_until(LONG, fenced);
    trio.evict(B, "n4");
    trio.run_until(LONG, |trio| trio.voting() == [3; 3]);
    trio.boot(D);
    let later = trio.now + LONG;
    trio.run_until(LONG * 2, |trio| trio.now >= later);
    assert_eq!(trio.engines[&D].lease(), None);
    assert_eq!(trio.engines[&A].config().nodes().len(), 3);
}

#[test]
fn a_node_with_a_group_is_not_evicted_before_it_is_drained() {
    let mut trio = Trio::with_fourth();
    let refused = trio.refusal("n1");
    assert!(refused.contains("n1 has vm") && refused.contains("drain it first"), "{refused}");
    trio.command(B, Command::Drain { node: "n1".into() });
    trio.run_until(LONG, |trio| trio.group(B).owner().is_some_and(|owner| owner.0 != A));
    // Be it the coordinator: it hands over first.
    trio.evict(C, "n1");
    trio.run_until(LONG, |trio| trio.is_told(A, &Notice::Evicted { node: A }));
    trio.engines.remove(&A);
    trio.run_until(LONG, |trio| trio.voting() == [3; 3]);
}

#[test]
fn a_node_without_which_the_rest_is_no_majority_is_not_evicted() {
    let mut trio = Trio::online();
    trio.kill(C);
    let fenced = |trio: &Trio| {
        trio.notices.iter().any(|(_, _, told)| matches!(told, Notice::Fenced { node: C, .. }))
    };
    trio.run_until(LONG, fenced);
    let refused = trio.refusal("n2");
    assert!(refused.contains("bring other nodes back first"), "{refused}");
    trio.evict(B, "n3");
    trio.run_until(LONG, |trio| trio.voting() == [2; 2]);
}

#[test]
fn of_three_votes_that_become_two_and_a_witness_one_may_be_lost_all_the_way() {
    let mut parts = super::config(true, |_| {}).parts().clone();
    parts.witness = Some(WitnessConfig { path: "/mnt/share/trio".into(), votes: None });
    let mut trio = Trio::start_as(ClusterConfig::new(parts).unwrap());
    trio.run_until(LONG, |trio| trio.is_online_on(A));
    trio.settles();
    assert_eq!(trio.voting(), [3; 3]);
    trio.evict(A, "n3");
    let seen = std::cell::RefCell::new(vec![3]);
    trio.run_until(LONG, |trio| {
        let database = trio.engines[&A].database().unwrap();
        let votes = database.config().voting().len();
        let mut seen = seen.borrow_mut();
        if seen.last() != Some(&votes) {
            seen.push(votes);
        }
        database.node(C).is_none() && votes == 3
    });
    // The first of both steps is done by the time that the command is answered.
    assert_eq!(*seen.borrow(), [3, 4, 3], "never two");
    assert!(trio.engines[&A].config().witness_votes());
}

#[test]
fn a_node_that_waits_to_be_added_goes_by_the_newest_configuration_that_it_is_told() {
    let mut trio = Trio::online();
    trio.boot_fourth();
    let (voter, incarnation, founders) = {
        let engine = &trio.engines[&A];
        let database = engine.database().unwrap();
        (database.voter(A).unwrap(), engine.incarnation(), database.founders().to_vec())
    };
    let hello = Hello { voter, incarnation, digest: 0, founders: Some(founders), ready: true };
    let message = Message::Hello(hello);
    trio.queue.push_back((D, Event::Message { from: A, message }));
    trio.drain();
    trio.run_until(LONG, |trio| trio.engines[&D].standing == Standing::Member);
    let own = trio.engines[&D].config().groups()[0].wishes.priority;
    let mut says = |from, version, priority| {
        let mut parts = trio.config.parts().clone();
        parts.groups[0].wishes.priority = priority;
        let message = Message::InForce(version, Box::new(parts));
        trio.queue.push_back((D, Event::Message { from, message }));
        trio.drain();
        trio.engines[&D].config().groups()[0].wishes.priority
    };

    assert_eq!(says(A, 2, own), own);
    assert_eq!(says(B, 1, 10), own, "what is in force is in its file already");
    assert_eq!(says(A, 5, 50), 50);
    assert_eq!(says(B, 3, 30), 50, "it is behind");
    assert_eq!(says(B, 6, 60), 60);
}

#[test]
fn what_was_moved_by_hand_to_a_node_that_was_just_evicted_starts_nowhere_until_that_is_vouched_for()
{
    let mut trio = Trio::online_with(false);
    trio.settles();
    let new = fourth(&trio);
    trio.command(B, Command::AddNode(Box::new(new)));
    trio.run_until(LONG, |trio| trio.answers.len() == 1);
    trio.evict(B, "n4");
    let gone = |trio: &Trio| {
        trio.engines.values().all(|one| one.database().is_some_and(|one| one.node(D).is_none()))
    };
    trio.run_until(LONG, gone);
    (trio.running, trio.verbs) = Default::default();
    let epoch = trio.group(A).epoch;
    let moved = Event::ResourceMoved { resource: ResourceId(1), epoch, to: D };
    trio.queue.push_back((A, moved));
    trio.drain();
    trio.run_until(LONG, |trio| trio.group(C).strays.contains_key(&D));
    let later = trio.now + LONG;
    trio.run_until(LONG * 2, |trio| trio.now >= later);
    assert_eq!(trio.verbs, []);
    trio.answers.clear();
    let reason = "it is switched off".to_owned();
    trio.command(C, Command::ConfirmFenced { node: "n4".into(), reason });
    trio.run_until(LONG, |trio| !trio.running.is_empty());
    assert_eq!(trio.answers, [Ok(())]);
}
