//! What a node does not reach it says; nothing that needs it goes there, and where nobody reaches it nothing is ended.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{A, B, C, Trio, VM};
use crate::change::Disarm;
use crate::event::Event;
use crate::id::{LunId, NodeId};
use crate::message::{Command, Refusal};
use crate::notice::{Hold, Notice};

const LUN: LunId = LunId(1);
const SECOND: Duration = Duration::from_secs(1);

impl Trio {
    fn say_path(&mut self, node: NodeId, reached: bool) {
        self.queue.push_back((node, Event::LunPath { lun: LUN, reached }));
        self.drain();
    }

    /// The owner has waited for its LUN in vain.
    fn wait_in_vain(&mut self, node: NodeId) {
        let epoch = self.group(node).epoch;
        self.queue.push_back((node, Event::LunOverdue { lun: LUN, epoch }));
        self.drain();
    }

    fn all_know(&self, away: &[NodeId]) -> bool {
        self.engines.values().all(|engine| {
            let database = engine.database().expect("it is a member");
            let known = [A, B, C].into_iter().filter(|&node| !database.away(node).is_empty());
            let said = away.iter().all(|&node| database.has_said_paths(node));
            said && known.eq(away.iter().copied())
        })
    }

    fn move_to(&mut self, to: NodeId) -> Option<Result<(), Refusal>> {
        self.answers.clear();
        let to = Some(format!("n{}", to.0));
        self.command(A, Command::Move { group: "vm".into(), to, restart: false });
        self.pass(SECOND);
        self.answers.pop()
    }
}

#[test]
fn what_needs_a_lun_does_not_go_where_it_is_not_reached() {
    let mut trio = Trio::online_as(|group| group.preferred_owners = vec![A, B, C]);
    trio.say_path(B, false);
    trio.run_until(SECOND, |trio| trio.all_know(&[B]));
    let told = Notice::LunPath { node: B, lun: LUN, reached: false };
    let tellers = trio.notices.iter().filter(|(_, _, one)| *one == told).map(|(_, at, _)| *at);
    assert_eq!(BTreeSet::from_iter(tellers.clone()).len(), 3, "each node tells it");
    assert_eq!(tellers.count(), 3, "once");
    let Some(Err(Refusal::NotPossible(why))) = trio.move_to(B) else { panic!("it is not refused") };
    assert_eq!(why, "group vm cannot run on node n2: it does not reach a LUN of the group (lun)");
    let status = trio.engines[&C].status(trio.now);
    assert_eq!(status.nodes[1].luns_away, ["lun"]);
    trio.kill(A);
    trio.run_until(SECOND * 5, |trio| trio.is_online_on(C));
    trio.boot(A);
    trio.say_path(B, true);
    trio.run_until(SECOND * 5, |trio| trio.all_know(&[]));
    assert_eq!(trio.move_to(B), Some(Ok(())));
    trio.run_until(SECOND * 5, |trio| trio.is_online_on(B));
}

#[test]
fn a_node_that_reaches_nothing_is_better_than_none() {
    let mut trio = Trio::online();
    for node in [B, C] {
        trio.say_path(node, false);
    }
    trio.run_until(SECOND, |trio| trio.all_know(&[B, C]));
    trio.kill(A);
    trio.run_until(SECOND * 5, |trio| trio.is_online_on(B) || trio.is_online_on(C));
}

#[test]
fn a_drain_waits_until_another_node_reaches_the_lun() {
    let mut trio = Trio::online();
    for node in [B, C] {
        trio.say_path(node, false);
    }
    trio.run_until(SECOND, |trio| trio.all_know(&[B, C]));
    trio.verbs.clear();
    trio.command(A, Command::Drain { node: "n1".into() });
    trio.pass(SECOND * 30);
    assert_eq!(trio.verbs, [], "to be drained is no reason to be tried in vain");
    trio.say_path(C, true);
    trio.run_until(SECOND * 5, |trio| trio.is_online_on(C));
}

/// Said at most once in four intervals, whatever happens.
#[test]
fn a_path_that_comes_and_goes_all_the_time_does_not_fill_the_log() {
    let mut trio = Trio::online();
    let applied = |trio: &Trio| trio.engines[&B].database().map_or(0, |one| one.applied());
    let before = applied(&trio);
    for turn in 0..200 {
        trio.say_path(C, turn % 2 == 1);
        trio.pass(SECOND / 20);
    }
    let most =
        SECOND.as_millis() * 10 / trio.engines[&B].config().timing().interval.as_millis() / 4;
    let most = most as u64 + 1;
    assert!(applied(&trio) - before <= most, "{} of {most}", applied(&trio) - before);
    trio.run_until(SECOND * 5, |trio| trio.all_know(&[]));
}

#[test]
fn what_a_node_did_not_reach_in_its_former_life_is_forgotten() {
    let mut trio = Trio::online();
    trio.say_path(B, false);
    trio.run_until(SECOND, |trio| trio.all_know(&[B]));
    trio.kill(B);
    trio.pass(SECOND * 5);
    trio.boot(B);
    trio.run_until(SECOND * 5, |trio| trio.all_know(&[]));
}

#[test]
fn a_lun_that_only_its_owner_does_not_reach_takes_the_group_elsewhere() {
    let mut trio = Trio::online();
    trio.say_path(A, false);
    trio.pass(SECOND * 10);
    assert!(trio.is_online_on(A), "as long as it is waited for");
    trio.wait_in_vain(A);
    trio.run_until(SECOND * 5, |trio| trio.is_online_on(B) || trio.is_online_on(C));
}

/// No node reaches the LUN from the start, and all say so.
fn waiting_for_its_lun() -> Trio {
    let mut trio = Trio::start(true);
    trio.unreaching.extend([A, B, C]);
    for node in [A, B, C] {
        trio.say_path(node, false);
    }
    let waits = |trio: &Trio| trio.engines[&B].status(trio.now).groups[0].held.is_some();
    trio.run_until(SECOND * 20, |trio| trio.all_know(&[A, B, C]) && waits(trio));
    trio
}

#[test]
fn a_group_that_waits_for_its_lun_says_so_and_is_not_called_failed() {
    let trio = waiting_for_its_lun();
    for asked in [A, B, C] {
        let group = trio.engines[&asked].status(trio.now).groups.remove(0);
        assert_eq!((group.state.as_str(), group.held), ("waiting", Some(Hold::Luns { lun: LUN })));
        assert_eq!(group.luns_away, ["lun"]);
        assert!(group.retry_in_ms.is_some_and(|left| left > 0), "it is tried in any case");
    }
}

#[test]
fn a_group_that_waits_for_its_lun_starts_the_moment_a_node_says_that_it_reaches_it() {
    let mut trio = waiting_for_its_lun();
    trio.unreaching.remove(&C);
    let since = trio.now;
    trio.say_path(C, true);
    trio.run_until(SECOND, |trio| trio.is_online_on(C));
    let timing = trio.engines[&C].config().timing();
    assert!(trio.now.since(since) <= timing.interval * 6, "{:?}", trio.now.since(since));
}

#[test]
fn a_group_whose_owner_does_not_reach_its_lun_shows_which() {
    let mut trio = Trio::online();
    trio.say_path(A, false);
    trio.run_until(SECOND, |trio| trio.all_know(&[A]));
    let group = trio.engines[&C].status(trio.now).groups.remove(0);
    assert_eq!(
        (group.state.as_str(), group.luns_away.as_slice()),
        ("online", ["lun".into()].as_slice())
    );
}

/// All nodes have lost it, and the owner has waited in vain.
fn standing_still() -> Trio {
    let mut trio = Trio::online();
    for node in [A, B, C] {
        trio.say_path(node, false);
    }
    trio.run_until(SECOND, |trio| trio.all_know(&[A, B, C]));
    trio.verbs.clear();
    trio.wait_in_vain(A);
    trio.pass(SECOND * 60);
    let still = |(_, node, told): &&(_, NodeId, Notice)| {
        *node == A && *told == Notice::StandsStill { group: VM, lun: LUN }
    };
    assert_eq!(trio.notices.iter().filter(still).count(), 1);
    assert_eq!(trio.verbs, [], "what nobody could run elsewhere is not ended");
    trio
}

#[test]
fn a_group_whose_lun_nobody_reaches_stands_still_and_goes_on_when_it_is_back() {
    let mut trio = standing_still();
    let epoch = trio.group(B).epoch;
    for node in [C, A] {
        trio.say_path(node, true);
    }
    trio.pass(SECOND * 60);
    assert_eq!((trio.group(B).epoch, trio.verbs.as_slice()), (epoch, [].as_slice()));
    assert!(trio.is_online_on(A) && trio.all_know(&[B]));
}

/// Until it has said that it reaches the LUN it is no reason to end what stands still.
#[test]
fn a_node_that_boots_is_none_that_reaches_what_everybody_has_lost() {
    let mut trio = standing_still();
    trio.kill(C);
    trio.pass(SECOND * 5);
    trio.boot_as(C, false);
    trio.pass(SECOND * 60);
    assert_eq!(trio.verbs, [], "it does not reach it either");
    assert!(trio.all_know(&[A, B, C]));
    trio.say_path(C, true);
    trio.run_until(SECOND * 20, |trio| trio.is_online_on(C));
}

#[test]
fn what_nowhere_else_may_run_stands_still_though_another_node_reaches_its_lun() {
    let cases: [(&str, Command); 2] = [
        ("paused", Command::Pause { node: "n2".into() }),
        ("disarmed", Command::Disarm { mode: Disarm::Ignore, ttl: None }),
    ];
    for (case, command) in cases {
        let mut trio = Trio::online_as(|group| group.possible_owners = vec![A, B]);
        trio.command(A, command);
        trio.pass(SECOND);
        trio.verbs.clear();
        trio.say_path(A, false);
        trio.wait_in_vain(A);
        trio.pass(SECOND * 60);
        assert_eq!(trio.verbs, [], "{case}");
    }
}

#[test]
fn a_group_that_stood_still_goes_where_its_lun_is_reached_if_it_stays_away_here() {
    let mut trio = standing_still();
    let bound = trio.engines[&A].config().timing().io_bound;
    trio.say_path(C, true);
    let since = trio.now;
    trio.pass(bound / 2);
    assert_eq!(trio.verbs, [], "its own path may come back a little later");
    trio.run_until(SECOND * 10, |trio| trio.is_online_on(C));
    let lost = |(at, node, told): &(crate::time::Instant, NodeId, Notice)| {
        let lost = matches!(told, Notice::Lun { held: false, .. });
        (*node == A && lost).then_some(*at)
    };
    let at = trio.notices.iter().find_map(lost).expect("it was given up");
    assert!(at.since(since) >= bound, "after one io_bound");
}
