//! Engines that are replaced while what they have started runs on.

use std::time::Duration;

use super::{A, B, Durable, Engine, Origin, Recorder, Setup, StreamEnd, Trio, VM};
use crate::config::GroupConfig;
use crate::engine::Handover;
use crate::event::Event;
use crate::id::NodeId;
use crate::notice::Notice;

impl Trio {
    /// The engine ends, its sockets stay open.
    fn suspend(&mut self, node: NodeId) -> Handover {
        let engine = self.engines.remove(&node).expect("it runs");
        let boot = engine.incarnation().boot;
        for other in self.engines.keys().copied().collect::<Vec<_>>() {
            let how = StreamEnd::Goodbye;
            self.queue.push_back((other, Event::StreamClosed { node, boot, how }));
        }
        self.drain();
        engine.hand_on().expect("nothing is being persisted")
    }

    fn go_on(&mut self, node: NodeId, boot: u64, handover: Handover) {
        let durable = Durable::replay(self.records[&node].clone());
        let (config, inherits) = (self.config.clone(), Some(handover));
        let setup = Setup { config, node, boot, durable, seed: 5, inherits };
        let (recorder, bytes) = Recorder::begin(&setup, self.now, Origin::default());
        self.recorders.insert(node, recorder);
        self.recordings.insert((node, boot), bytes);
        self.engines.insert(node, Engine::new(setup, self.now));
        for other in self.engines.keys().copied().filter(|&id| id != node).collect::<Vec<_>>() {
            let its = self.engines[&other].incarnation().boot;
            self.queue.push_back((other, Event::StreamOpened { node, boot }));
            self.queue.push_back((node, Event::StreamOpened { node: other, boot: its }));
        }
        self.queue.push_back((node, Event::Tick));
        self.drain();
    }

    pub(super) fn pass(&mut self, length: Duration) {
        let until = self.now + length;
        self.run_until(length + Duration::from_secs(1), |trio| trio.now >= until);
    }

    fn downs(&self) -> usize {
        self.notices.iter().filter(|(_, _, one)| matches!(one, Notice::Down { .. })).count()
    }
}

pub(super) fn without_lun(group: &mut GroupConfig) {
    group.luns.clear();
    group.resources[0].save_on_move = false;
}

fn trio(edit: impl FnOnce(&mut GroupConfig)) -> Trio {
    let mut trio = Trio::start_with(true, edit);
    trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(A));
    trio.pass(Duration::from_secs(1));
    trio.verbs.clear();
    trio.notices.clear();
    trio
}

#[test]
fn a_successor_in_time_is_the_same_incarnation_and_disturbs_nothing() {
    let mut trio = trio(without_lun);
    for node in [A, B] {
        let before = trio.engines[&node].incarnation();
        let lease = trio.engines[&node].lease();
        let handover = trio.suspend(node);
        let absence = trio.config.timing().lease / 3;
        trio.pass(absence);
        trio.go_on(node, before.boot, handover);
        assert!(trio.engines[&node].lease() >= lease, "its lease goes on");
        trio.pass(Duration::from_secs(10));
        assert_eq!(trio.engines[&node].incarnation(), before);
    }
    assert_eq!(trio.verbs, []);
    assert_eq!(trio.downs(), 0);
    assert!(trio.is_online_on(A));
    let lost = |(_, _, one): &(_, _, Notice)| *one == Notice::LeaseLost;
    assert!(!trio.notices.iter().any(lost));
}

#[test]
fn what_the_driver_no_longer_finds_or_whose_disk_is_gone_is_ended() {
    for lost in [true, false] {
        let mut trio = trio(|group| {
            if lost {
                without_lun(group)
            }
        });
        let boot = trio.engines[&A].incarnation().boot;
        let mut handover = trio.suspend(A);
        assert_eq!(handover.groups[0].runs, lost, "what its LUN carried ends with it");
        handover.groups[0].runs = false;
        trio.go_on(A, boot, handover);
        assert_eq!(trio.verb_words()[0], (A, "kill"));
        trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(A));
        assert_eq!(trio.downs(), 0);
    }
}

#[test]
fn a_successor_that_comes_late_ends_all_and_is_another_session() {
    let mut trio = trio(without_lun);
    let before = trio.engines[&A].incarnation();
    let epoch = trio.group(B).epoch;
    let handover = trio.suspend(A);
    // What guards the guests has ended them when the lease was over.
    let lease = trio.config.timing().lease;
    trio.pass(lease);
    trio.running.remove(&A);
    trio.run_until(Duration::from_secs(20), |trio| trio.group(B).epoch > epoch);
    trio.go_on(A, before.boot, handover);
    trio.pass(Duration::from_secs(10));
    assert!(trio.engines[&A].incarnation().session > before.session);
    assert_eq!(trio.running.len(), 1);
    assert!(trio.engines[&A].database().is_some_and(|one| one.group(VM).is_some()));
}
