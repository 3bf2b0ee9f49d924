//! Three engines on a perfect network, a LUN that grants everything, guests that do as they are
//! told.

mod configuring;
mod fencing;
mod foresight;
mod freezing;
mod handover;
mod membership;
mod policies;
mod reach;
mod strays;
mod trio;
mod waiting;
mod witness;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::{Engine, Setup};
use crate::action::{Action, FenceVerb, LunVerb, ResourceVerb};
use crate::change::Failback;
use crate::config::{
    ClusterConfig, ClusterParts, GroupConfig, LunConfig, NodeConfig, ResourceConfig, SCORE_NEVER,
    TimingInputs,
};
use crate::database::GroupRecord;
use crate::durable::{Durable, Record};
use crate::event::{Event, LunFailure, LunReply, StreamEnd};
use crate::id::{ClusterId, GroupId, LunId, NodeId, PathId, RequestId, ReservationKey, ResourceId};
use crate::message::{Command, Refusal};
use crate::notice::Notice;
use crate::recording::{Ending, Origin, Recorder};
use crate::time::Instant;

pub(crate) use trio::Trio;
use trio::config;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const VM: GroupId = GroupId(1);
/// Holds a password, which no recording may hold.
pub(crate) const SECRET_URL: &str = "iscsi://me%open-sesame@10.0.0.9/iqn.x/1";

/// The recordings of a story: the owner dies, the group is started elsewhere, the owner comes back and gets it again.
pub(crate) fn recorded_story() -> BTreeMap<(NodeId, u64), Vec<u8>> {
    let mut trio = Trio::online();
    trio.kill(A);
    trio.run_until(Duration::from_secs(2), |trio| {
        trio.running.iter().any(|&node| node != A) && trio.engines.len() == 2
    });
    trio.boot(A);
    let up = |trio: &Trio| trio.running.len() == 1 && trio.engines[&A].lease().is_some();
    trio.run_until(Duration::from_secs(5), up);
    trio.command(B, Command::Move { group: "vm".into(), to: Some("n1".into()), restart: false });
    trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(A));
    trio.finish();
    trio.recordings
}

#[test]
fn three_fresh_nodes_found_a_cluster_and_start_the_group_on_its_preferred_owner() {
    let trio = Trio::online();
    assert_eq!(trio.running, BTreeSet::from([A]));
}

#[test]
fn a_group_is_started_elsewhere_at_once_when_its_node_dies_and_its_kernel_says_so() {
    let mut trio = Trio::online();
    let died = trio.now;
    trio.kill(A);
    trio.run_until(Duration::from_secs(1), |trio| trio.running.iter().any(|&node| node != A));
    let took = trio.now.since(died);
    assert!(took <= trio.config.timing().interval, "{took:?}");
}

#[test]
fn a_cooperative_group_waits_until_the_lease_of_its_old_node_is_over() {
    let mut trio = Trio::online_with(false);
    let died = trio.now;
    trio.kill(A);
    trio.run_until(Duration::from_secs(2), |trio| trio.running.iter().any(|&node| node != A));
    let took = trio.now.since(died);
    let timing = trio.config.timing();
    assert!(took + timing.interval >= timing.lease_over, "{took:?}");
    assert!(took <= timing.lease_over + timing.interval * 2, "{took:?}");
}

#[test]
fn a_silent_node_is_replaced_after_detect_and_stops_what_is_cooperative_before() {
    for enforced in [true, false] {
        let mut trio = Trio::online_with(enforced);
        let cut = trio.now;
        trio.silent.insert(A);
        trio.run_until(Duration::from_secs(2), |trio| trio.running.iter().any(|&node| node != A));
        let took = trio.now.since(cut);
        let timing = trio.config.timing();
        assert!(took <= timing.outage_worst(), "{took:?}");
        assert_eq!(
            trio.running.contains(&A),
            enforced,
            "an enforced guest lives until it is refused"
        );
    }
}

#[test]
fn an_isolated_node_comes_back_as_its_next_session() {
    let mut trio = Trio::online_with(false);
    trio.silent.insert(A);
    trio.run_until(Duration::from_secs(2), |trio| trio.running.iter().any(|&node| node != A));
    trio.silent.clear();
    trio.run_until(Duration::from_secs(5), |trio| {
        let status = trio.engines[&B].status(trio.now);
        status.nodes.iter().all(|node| node.state == "up")
    });
    assert_eq!(trio.engines[&A].incarnation().session, 1);
    assert_eq!(trio.running.len(), 1);
}

#[test]
fn a_move_saves_hands_over_and_resumes() {
    let mut trio = Trio::online();
    trio.verbs.clear();
    trio.command(C, Command::Move { group: "vm".into(), to: Some("n2".into()), restart: false });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(B));
    let verbs = trio.verb_words();
    assert_eq!(verbs, [(A, "save"), (B, "load"), (B, "run")]);
    assert_eq!(trio.answers, [Ok(())]);
}

#[test]
fn a_node_that_restarts_from_its_log_takes_part_again() {
    let mut trio = Trio::online();
    trio.kill(A);
    trio.run_until(Duration::from_secs(2), |trio| !trio.running.is_empty());
    trio.boot(A);
    trio.run_until(Duration::from_secs(5), |trio| {
        let status = trio.engines[&A].status(trio.now);
        status.nodes.iter().all(|node| node.state == "up") && status.lease_left_ms.is_some()
    });
    assert_eq!(trio.running.len(), 1);
}

#[test]
fn a_node_whose_disk_was_wiped_comes_back_under_a_new_identity() {
    let mut trio = Trio::online();
    let before = trio.engines[&B].database().and_then(|database| database.voter(A));
    trio.kill(A);
    trio.run_until(Duration::from_secs(2), |trio| !trio.running.is_empty());
    trio.records.remove(&A);
    trio.boot(A);
    trio.run_until(Duration::from_secs(5), |trio| {
        let status = trio.engines[&A].status(trio.now);
        status.nodes.len() == 3 && status.nodes.iter().all(|node| node.state == "up")
    });
    let after = trio.engines[&B].database().and_then(|database| database.voter(A));
    assert_ne!(before, after);
}

#[test]
fn a_drained_node_is_left_by_its_groups_and_gets_none_until_it_is_resumed() {
    let mut trio = Trio::online();
    trio.command(B, Command::Drain { node: "n1".into() });
    trio.run_until(Duration::from_secs(2), |trio| {
        !trio.running.contains(&A) && !trio.running.is_empty()
    });
    trio.command(B, Command::Move { group: "vm".into(), to: Some("n1".into()), restart: false });
    assert!(
        matches!(trio.answers.last(), Some(Err(Refusal::NotPossible(_)))),
        "{:?}",
        trio.answers
    );
    trio.command(B, Command::Resume { node: "n1".into(), failback: Failback::ByPolicy });
    trio.run_until(Duration::from_secs(2), |trio| trio.answers.len() == 3);
}

#[test]
fn a_node_that_leaves_hands_its_groups_over_first() {
    let mut trio = Trio::online();
    trio.queue.push_back((A, Event::Leave { keep: false }));
    trio.drain();
    trio.run_until(Duration::from_secs(2), |trio| {
        let status = trio.engines[&B].status(trio.now);
        status.nodes[0].state == "left"
    });
    let gone = &trio.engines[&B].status(trio.now).nodes[0];
    assert!(!gone.paused && !gone.draining, "{gone:?}");
    assert!(!trio.running.contains(&A));
    trio.run_until(Duration::from_secs(1), |trio| trio.running.len() == 1);
}

#[test]
fn unknown_names_are_refused_with_what_there_is() {
    let mut trio = Trio::online();
    trio.command(A, Command::Drain { node: "n9".into() });
    trio.run_until(Duration::from_secs(1), |trio| !trio.answers.is_empty());
    let text = trio.answers[0].clone().unwrap_err().to_string();
    assert_eq!(text, "node n9 is not known; known are: n1, n2, n3");
}

fn live(group: &mut GroupConfig) {
    group.resources[0].live_on_move = true;
}

#[test]
fn a_live_move_hands_over_what_runs() {
    let mut trio = Trio::online_as(live);
    trio.verbs.clear();
    trio.command(C, Command::Move { group: "vm".into(), to: Some("n2".into()), restart: false });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(B));
    assert_eq!(trio.verb_words(), [(A, "send"), (B, "load"), (B, "run")]);
    trio.verbs.clear();
    trio.command(C, Command::Move { group: "vm".into(), to: Some("n3".into()), restart: true });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(C));
    assert_eq!(trio.verb_words(), [(B, "stop"), (C, "start")], "a restart is asked for");
}

#[test]
fn what_cannot_be_handed_over_runs_on_where_it_is() {
    let mut trio = Trio::online_as(live);
    trio.refused_sends = 1;
    trio.verbs.clear();
    trio.command(C, Command::Move { group: "vm".into(), to: Some("n2".into()), restart: false });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(A) && trio.refused_sends == 0);
    assert_eq!(trio.verb_words(), [(A, "send")]);
    trio.command(B, Command::Drain { node: "n1".into() });
    trio.run_until(Duration::from_secs(3), |trio| !trio.is_online_on(A) && trio.running.len() == 1);
    assert!(!trio.running.contains(&A), "a drain tries it again");
}

#[test]
fn what_was_handed_over_to_a_node_that_died_starts_afresh_elsewhere() {
    let mut trio = Trio::online_as(live);
    trio.command(C, Command::Move { group: "vm".into(), to: Some("n2".into()), restart: false });
    trio.run_until(Duration::from_secs(2), |trio| trio.group(C).saved.is_some());
    trio.verbs.clear();
    trio.kill(B);
    trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(A) || trio.is_online_on(C));
    assert!(trio.verb_words().iter().all(|(_, verb)| *verb == "start"), "{:?}", trio.verb_words());
}

#[test]
fn a_group_that_is_kept_offline_starts_on_the_node_that_has_it() {
    let mut trio = Trio::online();
    trio.command(B, Command::Offline { group: "vm".into() });
    trio.run_until(Duration::from_secs(2), |trio| trio.group(B).owner().is_none());
    assert_eq!(trio.group(B).seat, Some(A));
    trio.command(B, Command::Move { group: "vm".into(), to: Some("n3".into()), restart: false });
    trio.command(B, Command::Online { group: "vm".into() });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(C));
}

#[test]
fn a_group_that_is_kept_offline_changes_its_node_when_that_dies_unless_it_is_disabled() {
    for disabled in [false, true] {
        let mut trio = Trio::online();
        let group = "vm".to_owned();
        let command =
            if disabled { Command::Disable { group } } else { Command::Offline { group } };
        trio.command(B, command);
        trio.run_until(Duration::from_secs(2), |trio| trio.group(B).owner().is_none());
        trio.kill(A);
        let fenced = |trio: &Trio| {
            let status = trio.engines[&B].status(trio.now);
            status.nodes.iter().any(|node| node.name == "n1" && node.state == "fenced")
        };
        trio.run_until(Duration::from_secs(2), fenced);
        trio.run_until(Duration::from_secs(2), |trio| disabled || trio.group(B).seat != Some(A));
        assert_eq!(trio.group(B).seat == Some(A), disabled);
        assert!(trio.running.is_empty());
    }
}

#[test]
fn what_was_drained_returns_when_it_is_to_be_brought_back() {
    let mut trio = Trio::online();
    trio.command(B, Command::Drain { node: "n1".into() });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(B));
    trio.command(B, Command::Move { group: "vm".into(), to: Some("n3".into()), restart: false });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(C));
    trio.command(B, Command::Resume { node: "n1".into(), failback: Failback::Now });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(A));
    assert_eq!(trio.group(B).drained_from, None);
}

#[test]
fn a_group_starts_where_its_score_is_highest_and_never_where_it_must_not() {
    let scores = |group: &mut GroupConfig| {
        group.scores = BTreeMap::from([(A, SCORE_NEVER), (C, 5)]);
    };
    let mut trio = Trio::start_with(true, scores);
    trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(C));
    trio.command(A, Command::Drain { node: "n3".into() });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(B));
    trio.command(A, Command::Drain { node: "n2".into() });
    trio.command(A, Command::Move { group: "vm".into(), to: Some("n1".into()), restart: false });
    assert!(matches!(trio.answers.last(), Some(Err(Refusal::NotPossible(_)))));
}

#[test]
fn an_acknowledgement_that_is_read_after_the_leases_end_does_not_save_what_had_to_stop() {
    let mut trio = Trio::online_with(false);
    let mut beat_of = |node: NodeId, to: NodeId| loop {
        let engine = trio.engines.get_mut(&node).expect("it runs");
        let at = engine.deadline().expect("it beats");
        let beats = engine.step(Event::Tick, at).into_iter().find_map(|action| match action {
            Action::SendBeat { to: other, beat, .. } if other == to => Some(beat),
            _ => None,
        });
        if let Some(beat) = beats {
            break beat;
        }
    };
    let (sent, mut answer) = (beat_of(A, B).sent, beat_of(B, A));
    let engine = trio.engines.get_mut(&A).expect("it runs");
    let until = engine.lease().expect("it has one");
    answer.acknowledged = Some((engine.incarnation().boot, sent));
    // It stood still until its lease was over; the answer had come before.
    let actions = engine.step(Event::Beat { from: B, path: PathId(0), beat: answer }, until);
    assert!(engine.lease() > Some(until), "the answer renews the lease");
    let kills =
        |action: &Action| matches!(action, Action::Resource { verb: ResourceVerb::Kill, .. });
    assert!(actions.iter().any(kills), "{actions:?}");
}

#[test]
fn while_moves_are_held_a_group_starts_and_stays_where_it_is() {
    let better = |group: &mut GroupConfig| {
        group.auto_start = false;
        group.initial_owner = Some(B);
        group.failback = true;
        group.scores = BTreeMap::from([(C, 9)]);
    };
    let mut trio = Trio::start_with(true, better);
    let member = |trio: &Trio| trio.engines[&A].status(trio.now).quorum;
    trio.run_until(Duration::from_secs(2), member);
    trio.command(A, Command::HoldMoves { held: true });
    trio.command(A, Command::Online { group: "vm".into() });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(B));
    trio.command(A, Command::HoldMoves { held: false });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(C));
}

#[test]
fn what_a_node_leaves_that_comes_back_soon_waits_for_it() {
    let mut trio = Trio::online();
    trio.queue.push_back((A, Event::Leave { keep: true }));
    trio.drain();
    let gone = |trio: &Trio| {
        let status = trio.engines[&B].status(trio.now);
        status.nodes.iter().any(|node| node.name == "n1" && node.state == "left")
    };
    trio.run_until(Duration::from_secs(3), gone);
    trio.kill(A);
    trio.run_until(Duration::from_secs(3), |trio| {
        trio.engines[&B].status(trio.now).groups[0].state == "kept"
    });
    assert!(trio.running.is_empty());
    trio.boot(A);
    trio.run_until(Duration::from_secs(3), |trio| trio.is_online_on(A));
}
