//! A configuration that changes while the cluster runs.

use std::time::Duration;

use super::{A, B, C, Trio, VM};
use crate::action::ResourceVerb;
use crate::config::{ClusterConfig, ClusterParts, GroupConfig, NewConfig, NewGroup};
use crate::id::{GroupId, ResourceId};
use crate::message::{Command, Refusal};
use crate::notice::Notice;

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
    Command::AddGroup(Box::new(NewGroup {
        group,
        luns: Vec::new(),
        rules: Vec::new(),
        only_if: None,
    }))
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
fn a_group_that_runs_is_removed_only_when_it_is_left_alone_and_then_runs_on() {
    let mut trio = Trio::online();
    let epoch = trio.group(A).epoch;
    trio.verbs.clear();
    trio.command(B, Command::RemoveGroup { group: "vm".into() });
    trio.run_until(Duration::from_secs(2), |trio| trio.answers.len() == 1);
    let refused = trio.answers.remove(0).unwrap_err().to_string();
    assert!(refused.contains("runs on n1") && refused.contains("offline first"), "{refused}");
    trio.command(B, Command::Unmanage { group: "vm".into() });
    trio.run_until(Duration::from_secs(2), |trio| trio.answers.len() == 1);
    trio.command(B, Command::RemoveGroup { group: "vm".into() });
    trio.run_until(Duration::from_secs(2), |trio| trio.knows(VM) == [false; 3]);
    assert_eq!(trio.answers, [Ok(()), Ok(())]);
    trio.silent.insert(A);
    let until = trio.now + Duration::from_secs(20);
    trio.run_until(Duration::from_secs(21), |trio| trio.now >= until);
    assert_eq!(trio.verbs, []);
    assert_eq!(trio.engines[&B].explain(VM), None);
    // Whatever comes in its place, its keys are newer than all that stand on its LUNs.
    trio.silent.clear();
    let (group, luns) = (trio.config.groups()[0].clone(), trio.config.luns().to_vec());
    let new = NewGroup { group, luns, rules: Vec::new(), only_if: None };
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

/// The configuration in force with a change to it.
fn changed(trio: &Trio, change: impl FnOnce(&mut ClusterParts)) -> NewConfig {
    let mut parts = trio.engines[&A].config().parts().clone();
    change(&mut parts);
    NewConfig { parts, only_if: None, reason: "a test wants it".into(), unix_ms: 7 }
}

fn configure(new: NewConfig) -> Command {
    Command::Configure(Box::new(new))
}

impl Trio {
    fn versions(&self) -> [u64; 3] {
        [A, B, C].map(|node| self.engines[&node].database().map_or(0, |one| one.version()))
    }
}

#[test]
fn a_whole_configuration_takes_the_place_of_another_and_what_runs_follows_it() {
    let mut trio = Trio::online();
    let before = trio.engines[&A].config().parts().clone();
    let other = second(&trio);
    let new = changed(&trio, |parts| {
        parts.groups[0].possible_owners = vec![B, C];
        parts.groups[0].preferred_owners.clear();
        parts.groups.push(other);
        parts.policy.limited = true;
    });
    let wanted = new.parts.clone();
    let outlook = trio.engines[&A].outlook().unwrap();
    let effects = outlook.effects(&crate::config::ClusterConfig::new(wanted.clone()).unwrap());
    trio.verbs.clear();
    trio.command(C, configure(new));
    trio.run_until(Duration::from_secs(5), |trio| {
        let ran = trio.verbs.iter().any(|(node, verb)| {
            *node == B && matches!(verb, ResourceVerb::Start { .. } | ResourceVerb::Load { .. })
        });
        ran && trio.versions() == [2; 3]
    });
    assert_eq!(trio.answers, [Ok(())]);
    assert_eq!(trio.engines[&B].config().parts(), &wanted);
    assert!(trio.knows(GroupId(2)) == [true; 3]);
    // What was to become of it was said before.
    assert_eq!(effects.len(), 1, "{effects:?}");
    assert_eq!((effects[0].group, effects[0].from, effects[0].to), (VM, Some(A), Some(B)));
    assert_eq!(effects[0].others[&A], crate::placement::NotHere::NotPossible);
    // What was before is kept, and comes back as a version of its own.
    let versions = trio.engines[&C].database().unwrap().versions();
    assert_eq!(versions[0].parts.as_ref(), Some(&before));
    assert_eq!((versions[1].reason.as_str(), versions[1].unix_ms), ("a test wants it", 7));
    let back = NewConfig { parts: before.clone(), only_if: Some(2), ..changed(&trio, |_| ()) };
    trio.command(A, configure(back));
    trio.run_until(Duration::from_secs(5), |trio| trio.versions() == [3; 3]);
    assert_eq!(trio.engines[&C].config().parts(), &before);
    assert!(trio.knows(GroupId(2)) == [false; 3]);
}

#[test]
fn what_cannot_change_while_the_cluster_runs_is_refused_with_the_remedy() {
    let trio = Trio::online();
    let database = trio.engines[&A].database().unwrap();
    type Case = (&'static str, fn(&mut ClusterParts));
    let cases: [Case; 7] = [
        ("cluster.id: ", |parts| parts.id.0 += 1),
        ("timing: ", |parts| parts.timing.detect *= 2),
        ("nodes.n2: a node is not taken out", |parts| {
            parts.nodes.remove(1);
        }),
        ("nodes.n2: name, addresses and vote", |parts| parts.nodes[1].voter = false),
        ("groups.vm: vm runs on n1", |parts| parts.groups.clear()),
        ("groups.vm.luns: vm runs on n1", |parts| parts.groups[0].luns.clear()),
        ("groups.vm.resources: vm runs on n1", |parts| {
            parts.groups[0].resources[0].settings = "{\"a\":1}".into();
        }),
    ];
    for (start, change) in cases {
        let error = database.successor(&changed(&trio, change)).unwrap_err();
        assert!(error.to_string().starts_with(start), "{error}");
        assert!(!error.remedy.is_empty());
    }
    let late = NewConfig { only_if: Some(9), ..changed(&trio, |_| ()) };
    let error = database.successor(&late).unwrap_err().to_string();
    assert!(error.contains("1 is in force by now, not 9"), "{error}");
    // What says nothing about how it runs may change under it.
    let mild = changed(&trio, |parts| {
        parts.groups[0].failback = true;
        parts.groups[0].resources[0].restart_threshold = 9;
        parts.nodes[0].capacity.insert("memory".into(), 1);
    });
    assert!(database.successor(&mild).is_ok());
}

#[test]
fn of_two_configurations_at_once_one_is_told_that_it_came_too_late() {
    let mut trio = Trio::online();
    let one = changed(&trio, |parts| parts.policy.limited = true);
    let other = changed(&trio, |parts| parts.policy.rebalance = true);
    trio.queue.push_back((A, request(1, configure(one))));
    trio.queue.push_back((B, request(2, configure(other))));
    trio.drain();
    trio.run_until(Duration::from_secs(2), |trio| trio.answers.len() == 2);
    let refused =
        trio.answers.iter().filter(|answer| matches!(answer, Err(Refusal::NotPossible(_))));
    assert_eq!(refused.count(), 1, "{:?}", trio.answers);
    assert_eq!(trio.versions(), [2; 3]);
}

#[test]
fn a_file_that_was_in_force_is_no_difference_and_one_that_never_was_is() {
    let mut trio = Trio::online();
    let founded = trio.config.clone();
    let new = changed(&trio, |parts| parts.groups[0].stickiness = 7);
    let applied = ClusterConfig::new(new.parts.clone()).expect("it is valid");
    trio.command(A, configure(new));
    trio.run_until(Duration::from_secs(2), |trio| trio.answers == [Ok(())]);
    let edited = {
        let mut parts = ClusterParts::from(founded.clone());
        parts.policy.rebalance = true;
        ClusterConfig::new(parts).expect("it is valid")
    };
    let differ = vec!["groups.vm".to_owned(), "policy".to_owned()];
    for (file, differs) in [(&founded, vec![]), (&applied, vec![]), (&edited, differ)] {
        trio.kill(C);
        trio.config = file.clone();
        trio.notices.clear();
        trio.boot(C);
        trio.run_until(Duration::from_secs(5), |trio| trio.engines[&C].lease().is_some());
        assert_eq!(trio.engines[&C].status(trio.now).config_differs, differs);
        let told = trio.notices.iter().filter_map(|(_, node, notice)| match notice {
            Notice::ConfigurationDiffers { places, .. } if *node == C => Some(places.clone()),
            _ => None,
        });
        let told: Vec<Vec<String>> = told.collect();
        assert_eq!(told, if differs.is_empty() { vec![] } else { vec![differs] });
    }
    // Applied, the file of that node is in force.
    let parts = ClusterParts::from(edited);
    let reason = String::new();
    trio.command(A, configure(NewConfig { parts, only_if: None, reason, unix_ms: 0 }));
    trio.run_until(Duration::from_secs(2), |trio| {
        trio.engines[&C].status(trio.now).config_differs.is_empty()
    });
}
