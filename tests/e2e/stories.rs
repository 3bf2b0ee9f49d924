//! The stories. The name of each says what it must show.
//!
//! Each story ends before the judge, who reads three independent records: what the guest said is
//! written, the log of each write, and the bytes on the LUN.

use std::time::Duration;

use crate::stage::{on_lawless_stage, on_stage};
use quorate_cli::control::Request;
use quorate_cli::lab::{GuestLine, Moment, PATIENCE, Parts, Seen, Wire};
use quorate_cli::writes::{Outcome, Write};

/// Between two records of the guest: what is written so soon after a fault was under way before it.
const A_BEAT_NS: u64 = 100_000_000;

#[test]
fn a_planned_move_saves_the_guest_and_resumes_it_where_it_was() {
    on_stage(Parts::Real, |stage| {
        stage.story.planned_move()?;
        let boots = stage.boots();
        assert_eq!(boots.len(), 1, "it was resumed, not booted: {boots:?}");
        stage.is_clean()
    });
}

#[test]
fn a_node_that_leaves_hands_its_guest_on_and_may_return() {
    on_stage(Parts::Real, |stage| {
        let leaving = stage.story.owner();
        let (mark, at) = (stage.story.lab().watch().mark(), Moment::now());
        stage.story.lab().leave(leaving)?;
        stage.story.wait_for_successor(mark, at)?;
        stage.story.take_note_of_successor();
        stage.story.wait_for_ticks()?;
        stage.story.rejoin(leaving)?;
        assert_ne!(stage.story.owner(), leaving);
        assert_eq!(stage.boots().len(), 1, "it was resumed, not booted");
        stage.is_clean()
    });
}

#[test]
fn a_drained_node_gives_its_guest_away() {
    on_stage(Parts::Real, |stage| {
        let drained = stage.story.owner();
        let node = stage.story.lab().name(drained).to_owned();
        let (mark, at) = (stage.story.lab().watch().mark(), Moment::now());
        stage.story.lab().ask(drained, &Request::Drain { node: node.clone() })?;
        stage.story.wait_for_successor(mark, at)?;
        stage.story.take_note_of_successor();
        let status = stage.story.lab().ask(drained, &Request::Status)?;
        let is_it = |it: &&serde_json::Value| it["name"] == node.as_str();
        let found = status["nodes"].as_array().and_then(|nodes| nodes.iter().find(is_it)).cloned();
        assert_eq!(found.expect("it is in its own view")["draining"], true);
        stage.story.lab().ask(drained, &Request::Resume { node, failback: Default::default() })?;
        stage.story.settle()?;
        assert_eq!(stage.boots().len(), 1, "it was resumed, not booted");
        stage.is_clean()
    });
}

#[test]
fn a_killed_host_loses_no_write() {
    on_stage(Parts::Real, |stage| {
        let killed = stage.story.owner();
        stage.story.kill_owner()?;
        stage.story.rejoin(killed)?;
        stage.is_clean()
    });
}

#[test]
fn two_killed_hosts_with_a_rejoin_between_lose_no_write() {
    on_stage(Parts::Real, |stage| {
        let first = stage.story.owner();
        stage.story.kill_owner()?;
        stage.story.rejoin(first)?;
        let second = stage.story.owner();
        stage.story.kill_owner()?;
        stage.story.rejoin(second)?;
        assert_eq!(stage.boots().len(), 3);
        stage.is_clean()
    });
}

#[test]
fn an_isolated_owner_is_refused_by_the_lun_and_its_guest_is_killed() {
    on_stage(Parts::Real, |stage| {
        let isolated = stage.story.owner();
        stage.story.isolate_owner()?;
        // Its next write is refused, be it the guest's or the node's own beat; then the guest dies.
        let name = stage.story.lab().name(isolated).to_owned();
        assert!(stage.has_told(isolated, "lun_lost"), "{name} was not refused");
        let refused = stage.writes()?.into_iter().filter(|write| write.outcome == Outcome::Refused);
        assert!(refused.map(|write| write.node).all(|node| node == name));
        stage.story.heal(isolated)?;
        stage.is_clean()
    });
}

#[test]
fn what_was_queued_at_a_cut_off_host_is_refused_when_its_port_comes_back() {
    on_stage(Parts::Real, |stage| {
        let cut = stage.story.owner();
        let mark = stage.story.lab().watch().mark();
        let at = stage.story.lab().cut(cut, Wire::Storage)?;
        stage.story.lab().cut(cut, Wire::Heartbeat)?;
        stage.story.wait_for_successor(mark, at)?;
        stage.story.take_note_of_successor();
        let rest = Duration::from_secs(1).saturating_sub(Moment::now().since(at));
        stage.story.lab().watch().linger(rest)?;
        stage.story.lab().heal(cut, Wire::Storage)?;
        stage.story.heal(cut)?;
        let name = stage.story.lab().name(cut).to_owned();
        let stale: Vec<_> = stage
            .writes()?
            .into_iter()
            .filter(|write| write.node == name && write.at_ns > at.0)
            .collect();
        // The guest beats ten times a second: one write at least was under way while it was cut
        // off.
        assert!(!stale.is_empty(), "nothing was queued: the story has not been told");
        assert!(stale.iter().all(|write| write.outcome != Outcome::Written), "{stale:?}");
        stage.is_clean()
    });
}

#[test]
fn what_was_queued_at_a_paused_host_is_refused_when_it_wakes() {
    on_stage(Parts::Real, |stage| {
        let paused = stage.story.owner();
        let mark = stage.story.lab().watch().mark();
        let at = stage.story.lab().pause(paused)?;
        stage.story.wait_for_successor(mark, at)?;
        stage.story.take_note_of_successor();
        stage.story.lab().wake(paused)?;
        stage.story.wait_for_kill(mark, paused)?;
        stage.story.settle()?;
        let name = stage.story.lab().name(paused).to_owned();
        let late = |write: &Write| write.node == name && write.at_ns > at.0 + A_BEAT_NS;
        let late: Vec<_> = stage.writes()?.into_iter().filter(late).collect();
        assert!(late.iter().all(|write| write.outcome != Outcome::Written), "{late:?}");
        stage.is_clean()
    });
}

#[test]
fn a_guest_that_dies_alone_is_started_again_on_its_host() {
    on_stage(Parts::Real, |stage| {
        let owner = stage.story.owner();
        let mark = stage.story.lab().watch().mark();
        stage.story.lab().kill_guest(owner)?;
        let again =
            stage.story.lab().watch().until("the guest's next boot", mark, PATIENCE, |seen| {
                let is_boot = |what: &Seen| matches!(what, Seen::Guest(GuestLine::Boot { .. }));
                seen.iter().find(|it| is_boot(&it.what)).map(|it| it.node)
            })?;
        assert_eq!(again, owner);
        stage.story.settle()?;
        stage.is_clean()
    });
}

#[test]
fn a_process_on_a_shared_directory_survives_its_host_and_a_cut() {
    on_stage(Parts::Plain, |stage| {
        stage.story.planned_move()?;
        let killed = stage.story.owner();
        stage.story.kill_owner()?;
        stage.story.rejoin(killed)?;
        let isolated = stage.story.owner();
        stage.story.isolate_owner()?;
        stage.story.heal(isolated)?;
        stage.is_clean()
    });
}

/// The negative control: if this one finds nothing doubled, the others prove nothing.
#[test]
fn without_reservations_the_same_cut_is_seen_to_double_writes() {
    on_lawless_stage(|stage| {
        stage.story.isolate_owner()?;
        let judgement = stage.judge()?;
        assert!(judgement.doubled > 0, "the judge is blind: {judgement:?}");
        assert_eq!(judgement.refused, 0, "the switch is without effect: {judgement:?}");
        Ok(())
    });
}
