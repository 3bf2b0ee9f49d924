//! What an engine says: causes, explanations, what is of the past.

use std::time::Duration;

use super::{A, B, C, SCORE_NEVER, Trio, VM};
use crate::change::Cause;
use crate::config::{ClusterConfig, ClusterParts, GroupConfig};
use crate::event::{Event, Trouble};
use crate::id::{NodeId, ResourceId};
use crate::message::{Command, Refusal};
use crate::notice::Notice;
use crate::status::Explanation;

impl Trio {
    /// The causes that `node` was told, of assignments and releases.
    fn causes(&self, node: NodeId) -> Vec<Cause> {
        let own = self.notices.iter().filter(|(_, to, _)| *to == node);
        let causes = own.filter_map(|(_, _, notice)| match notice {
            Notice::Assigned { cause, .. } | Notice::Releasing { cause, .. } => Some(*cause),
            _ => None,
        });
        causes.collect()
    }

    fn explain(&self, node: NodeId) -> Explanation {
        self.engines[&node].explain(VM).expect("the group is known")
    }

    /// The group fails where it is online.
    fn fail(&mut self, node: NodeId) {
        let epoch = self.group(node).epoch;
        let (resource, trouble) = (ResourceId(1), Trouble::Exited);
        let detail = "exit code 3".to_owned();
        let event = Event::ResourceFailed { resource, epoch, trouble, detail };
        self.queue.push_back((node, event));
        self.drain();
    }
}

fn to(node: &str) -> Command {
    Command::Move { group: "vm".into(), to: Some(node.into()), restart: false }
}

#[test]
fn what_is_done_by_command_is_told_so_whatever_was_before() {
    let mut trio = Trio::online();
    trio.command(B, Command::Drain { node: "n1".into() });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(B));
    trio.command(B, to("n3"));
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(C));
    trio.notices.clear();
    trio.command(B, Command::Offline { group: "vm".into() });
    trio.run_until(Duration::from_secs(2), |trio| trio.group(B).owner().is_none());
    trio.command(B, Command::Online { group: "vm".into() });
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(C));
    assert_eq!(trio.causes(C), [Cause::Offline, Cause::Online]);
    trio.notices.clear();
    trio.command(B, to("n2"));
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(B));
    assert_eq!(trio.causes(C), [Cause::Move, Cause::Move]);
}

#[test]
fn a_failed_group_goes_to_every_node_before_it_is_left_failed_and_says_for_how_long() {
    let mut trio = Trio::start_with(true, |group| group.resources[0].restart_threshold = 0);
    trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(A));
    trio.notices.clear();
    trio.fail(A);
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(B));
    trio.fail(B);
    trio.run_until(Duration::from_secs(2), |trio| trio.is_online_on(C));
    assert_eq!(trio.causes(C), [Cause::Failure, Cause::Failure]);
    trio.fail(C);
    trio.run_until(Duration::from_secs(2), |trio| trio.explain(A).group.state == "failed");
    let left = trio.explain(A).retry_in_ms.expect("it is tried again");
    assert!((3_590_000..=3_600_000).contains(&left), "{left}");
    let trouble = |node| {
        let history = trio.explain(node).history;
        history.iter().any(|one| matches!(one.told, Notice::ResourceTrouble { .. }))
    };
    assert!(trouble(C), "where it failed, the trouble is in the explanation");
}

#[test]
fn what_was_committed_before_a_node_took_part_is_told_as_of_the_past() {
    let mut trio = Trio::online();
    trio.kill(A);
    trio.run_until(Duration::from_secs(2), |trio| trio.running.len() == 1);
    trio.notices.clear();
    trio.boot(A);
    trio.run_until(Duration::from_secs(5), |trio| trio.engines[&A].lease().is_some());
    let own: Vec<&Notice> =
        trio.notices.iter().filter(|(_, to, _)| *to == A).map(|(_, _, notice)| notice).collect();
    let past = own.iter().filter(|notice| matches!(notice, Notice::Past { .. })).count();
    assert!(past >= 5, "{own:#?}");
    let committed = |notice: &&&Notice| {
        matches!(notice, Notice::Assigned { .. } | Notice::Down { .. } | Notice::Group { .. })
    };
    assert_eq!(own.iter().find(committed), None, "nothing of that happens now");
    let explanation = trio.explain(A);
    assert!(explanation.history.iter().all(|one| one.seen.is_none()), "{explanation:#?}");
    let now =
        |(_, to, notice): &(_, NodeId, Notice)| *to == B && matches!(notice, Notice::Past { .. });
    assert!(!trio.notices.iter().any(now), "who takes part sees it all");
}

#[test]
fn a_group_does_not_stand_in_its_own_way() {
    let none = |group: &mut GroupConfig| group.preferred_owners.clear();
    let mut trio = Trio::start_with(true, none);
    trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(A));
    assert_eq!(trio.explain(B).placement.as_deref(), Some("n1"));
}

#[test]
fn a_refusal_to_move_names_the_reason_in_words() {
    let scores = |group: &mut GroupConfig| {
        group.scores.insert(B, SCORE_NEVER);
    };
    let mut trio = Trio::start_with(true, scores);
    trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(A));
    trio.command(A, to("n2"));
    let Some(Err(Refusal::NotPossible(text))) = trio.answers.last() else {
        panic!("{:?}", trio.answers)
    };
    assert_eq!(text, "group vm cannot run on node n2: it is not a possible owner");
}

#[test]
fn where_a_configuration_differs_is_said_by_name() {
    let committed = super::config(true, |_| ());
    let mut parts = ClusterParts::from(committed.clone());
    assert!(committed.differences(&committed).is_empty());
    let mut second = parts.groups[0].clone();
    (second.id, second.name) = (crate::id::GroupId(2), "second".into());
    (second.resources[0].id, second.resources[0].name) = (ResourceId(2), "other".into());
    second.luns.clear();
    parts.groups.push(second);
    parts.nodes[0].addresses[0] = "10.0.0.9:7000".into();
    let own = ClusterConfig::new(parts).expect("it is valid");
    let places = own.differences(&committed);
    assert_eq!(places, ["nodes.n1", "groups.second (only in this node's file)"]);
    let places = committed.differences(&own);
    assert_eq!(places, ["nodes.n1", "groups.second (not in this node's file)"]);
}

#[test]
fn numbers_in_commands_that_nobody_can_mean_are_refused_with_what_would_do() {
    let parts = {
        let mut parts = ClusterParts::from(super::config(true, |_| ()));
        parts.nodes[0].capacity = crate::config::Amounts::from([("memory".into(), 4)]);
        parts
    };
    let mut trio = Trio::start_as(ClusterConfig::new(parts).expect("it is valid"));
    trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(A));
    let disarm = |ttl| Command::Disarm { mode: crate::change::Disarm::Freeze, ttl: Some(ttl) };
    let load = |kind: &str| {
        let load = crate::config::Amounts::from([(kind.to_owned(), 5)]);
        Command::Load { group: "vm".into(), load }
    };
    let count = |count| {
        let (group, node) = ("vm".to_owned(), "n1".to_owned());
        Command::CountFailures { group, node, count }
    };
    let cases = [
        (disarm(Duration::ZERO), "for 0 s"),
        (disarm(Duration::from_secs(u64::MAX)), "use at most 3153600000 s"),
        (load("nonsense"), "no node has any nonsense; what there is: memory"),
        (count(u32::MAX), "more than 1000000"),
    ];
    for (command, words) in cases {
        trio.answers.clear();
        trio.command(B, command);
        trio.run_until(Duration::from_secs(1), |trio| !trio.answers.is_empty());
        let text = trio.answers[0].clone().unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    }
    for command in [load("memory"), count(1_000_000), disarm(Duration::from_secs(1))] {
        trio.answers.clear();
        trio.command(B, command);
        trio.run_until(Duration::from_secs(1), |trio| !trio.answers.is_empty());
        assert_eq!(trio.answers, [Ok(())]);
    }
}

#[test]
fn the_end_of_a_drain_is_no_end_of_a_quarantine() {
    let mut trio = Trio::online();
    for _ in 0..3 {
        trio.kill(C);
        trio.run_until(Duration::from_secs(5), |trio| {
            trio.engines[&B].database().is_some_and(|one| !one.is_up(C))
        });
        trio.boot(C);
        trio.run_until(Duration::from_secs(5), |trio| {
            trio.engines[&B].database().is_some_and(|one| one.is_up(C))
        });
    }
    let until = |trio: &Trio| trio.engines[&B].database().unwrap().quarantined_until(C);
    assert!(until(&trio).is_some());
    for command in [Command::Drain { node: "n3".into() }, Command::EndDrain { node: "n3".into() }] {
        trio.answers.clear();
        trio.command(B, command);
        trio.run_until(Duration::from_secs(2), |trio| !trio.answers.is_empty());
    }
    let record = *trio.engines[&B].database().unwrap().node(C).unwrap();
    assert!(!record.paused && !record.draining && until(&trio).is_some());
}
