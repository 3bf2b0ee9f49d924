//! A configuration that changes while the cluster runs.

use std::time::Duration;

use super::{A, B, C, Trio, VM};
use crate::action::ResourceVerb;
use crate::config::{GroupConfig, NewGroup};
use crate::id::{GroupId, ResourceId};
use crate::message::{Command, Refusal};

/// A group like the first, without a LUN.
fn second(trio: &Trio) -> GroupConfig {
    let mut group = trio.config.groups()[0].clone();
    (group.id, group.name) = (GroupId(2), "second".into());
    (group.resources[0].id, group.resources[0].name) = (ResourceId(2), "other".into());
    group.luns.clear();
    group.auto_start = false;
    group
}

fn add(group: GroupConfig) -> Command {
    Command::AddGroup(Box::new(NewGroup { group, luns: Vec::new(), rules: Vec::new() }))
}

impl Trio {
    fn knows(&self, group: GroupId) -> [bool; 3] {
        [A, B, C].map(|node| {
            let engine = &self.engines[&node];
            let record = engine.database().is_some_and(|one| one.group(group).is_some());
            assert_eq!(record, engine.config().group(group).is_some());
            record
        })
    }
}

#[test]
fn a_group_that_is_removed_runs_on_and_nobody_looks_after_it() {
    let mut trio = Trio::online();
    let epoch = trio.group(A).epoch;
    trio.verbs.clear();
    trio.command(B, Command::RemoveGroup { group: "vm".into() });
    trio.run_until(Duration::from_secs(2), |trio| trio.knows(VM) == [false; 3]);
    assert_eq!(trio.answers, [Ok(())]);
    trio.silent.insert(A);
    let until = trio.now + Duration::from_secs(20);
    trio.run_until(Duration::from_secs(21), |trio| trio.now >= until);
    assert_eq!(trio.verbs, []);
    assert_eq!(trio.engines[&B].explain(VM), None);
    // Whatever comes in its place, its keys are newer than all that stand on its LUNs.
    trio.silent.clear();
    let (group, luns) = (trio.config.groups()[0].clone(), trio.config.luns().to_vec());
    let new = NewGroup { group, luns, rules: Vec::new() };
    trio.command(B, Command::AddGroup(Box::new(new)));
    trio.run_until(Duration::from_secs(9), |trio| trio.knows(VM) == [true; 3]);
    assert!(trio.group(B).epoch >= epoch);
}

#[test]
fn a_group_that_is_added_outlives_every_restart() {
    let mut trio = Trio::online();
    let group = second(&trio);
    trio.command(C, add(group));
    trio.run_until(Duration::from_secs(2), |trio| trio.knows(GroupId(2)) == [true; 3]);
    assert_eq!(trio.answers, [Ok(())]);
    trio.kill(B);
    trio.boot(B);
    trio.run_until(Duration::from_secs(5), |trio| trio.engines[&B].lease().is_some());
    assert_eq!(trio.knows(GroupId(2)), [true; 3], "though its file does not name it");
    trio.verbs.clear();
    trio.command(B, Command::Online { group: "second".into() });
    trio.run_until(Duration::from_secs(2), |trio| !trio.verbs.is_empty());
    assert!(matches!(trio.verbs[0], (A, ResourceVerb::Start { .. })), "{:?}", trio.verbs);
}

#[test]
fn a_group_that_does_not_fit_is_refused_with_the_reason() {
    let mut trio = Trio::online();
    let group = trio.config.groups()[0].clone();
    trio.command(A, add(group));
    trio.run_until(Duration::from_secs(1), |trio| !trio.answers.is_empty());
    let text = trio.answers[0].clone().unwrap_err().to_string();
    assert_eq!(text, "groups: the name vm stands twice; give each its own");
    // Two that would fit, but not together: the second one is told so.
    trio.answers.clear();
    let one = second(&trio);
    let other = GroupConfig { name: "third".into(), ..one.clone() };
    trio.queue.push_back((A, request(1, add(one))));
    trio.queue.push_back((B, request(2, add(other))));
    trio.drain();
    trio.run_until(Duration::from_secs(2), |trio| trio.answers.len() == 2);
    let refused =
        trio.answers.iter().filter(|answer| matches!(answer, Err(Refusal::NotPossible(_))));
    assert_eq!(refused.count(), 1, "{:?}", trio.answers);
}

fn request(number: u64, command: Command) -> crate::event::Event {
    crate::event::Event::Command { request: crate::id::RequestId(number), command }
}
