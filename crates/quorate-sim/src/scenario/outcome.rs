//! What came of a scenario, as it is written down: one JSON object.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use super::model::Scenario;
use super::plan::{Names, Plan};
use crate::checker::Violation;
use crate::clock::Moment;
use crate::timeline::{Entry, Kind, PROVES_NOTHING_NEW};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $word:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$each])* $word),* }

        impl $name {
            /// Every word.
            pub const ALL: &[$name] = &[$($name::$word),*];

            /// As it is written down.
            pub fn word(self) -> &'static str {
                match self { $($name::$word => $text),* }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }
    };
}

/// What a scenario is answered with.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// It was run.
    Ran(Outcome),
    /// The engine lacks something that it asks for.
    Skipped {
        /// The scenario's name.
        id: String,
        /// What is missing.
        skipped: String,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The scenario's name.
    pub id: String,
    /// The seed of the run.
    pub seed: u64,
    /// How everything stands at the end.
    #[serde(rename = "final")]
    pub last: State,
    /// How it stood just before each further step; the last is the end.
    pub steps: Vec<State>,
    /// What happened, in order of time.
    pub facts: Vec<Fact>,
    /// What was broken.
    pub violations: Vec<Broken>,
}

/// How everything stands at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// Each node.
    pub nodes: BTreeMap<String, NodeWord>,
    /// Each group.
    pub groups: BTreeMap<String, GroupState>,
}

words! {
    /// How a node is.
    NodeWord {
        /// It runs and takes part.
        Online = "online",
        /// It is off.
        Offline = "offline",
        /// It runs, cut off from all others.
        Isolated = "isolated",
        /// It is off, by its own fence or the cluster's.
        Fenced = "fenced",
        /// It is in maintenance.
        Maintenance = "maintenance",
        /// It gets nothing.
        Paused = "paused",
    }
}

/// How a group is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupState {
    /// In a word.
    pub status: GroupWord,
    /// Where all of it runs.
    pub running_on: Vec<String>,
    /// Who has it.
    pub owner: Option<String>,
    /// Each member, unless it is its only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<BTreeMap<String, MemberState>>,
}

/// How a member is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberState {
    /// In a word.
    pub status: GroupWord,
    /// Where it runs.
    pub running_on: Vec<String>,
}

words! {
    /// How a group or a member is, in a word.
    GroupWord {
        /// It runs.
        Online = "online",
        /// It does not.
        Offline = "offline",
        /// It failed too often.
        Failed = "failed",
        /// It could not be stopped.
        StopFailed = "stop-failed",
        /// No node may run it.
        WaitingForNode = "waiting-for-node",
        /// Its owner is not yet proven harmless.
        WaitingForFence = "waiting-for-fence",
        /// It is kept for its node's return, or the cluster is disarmed.
        Frozen = "frozen",
        /// It is left alone.
        Unmanaged = "unmanaged",
        /// The cluster knows it no more.
        Removed = "removed",
    }
}

/// One thing that happened: when, in seconds, what, to whom, where.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Seconds since the facts began.
    pub at: f64,
    /// What.
    pub name: &'static str,
    /// To whom; for a step its index.
    pub subject: String,
    /// Where, unless that is the subject.
    pub node: Option<String>,
}

impl Serialize for Fact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        list.serialize_element(&self.at)?;
        list.serialize_element(self.name)?;
        match self.subject.parse::<u64>() {
            Ok(index) if self.name == Kind::Step.name() => list.serialize_element(&index)?,
            _ => list.serialize_element(&self.subject)?,
        }
        if let Some(node) = &self.node {
            list.serialize_element(node)?;
        }
        list.end()
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Broken {
    /// When, in seconds since the facts began.
    pub t: f64,
    /// Which.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

impl Outcome {
    pub(super) fn new(
        scenario: &Scenario,
        seed: u64,
        steps: Vec<State>,
        (zero, timeline): (Moment, &[Entry]),
        violations: &[Violation],
        (plan, before): (&Plan, &BTreeSet<String>),
    ) -> Self {
        let broken = |one: &Violation| Broken {
            t: seconds(zero, one.at),
            invariant: one.checker,
            what: one.what.clone(),
        };
        Self {
            id: scenario.id.clone(),
            seed,
            last: steps.last().cloned().unwrap_or_default(),
            steps,
            facts: facts(timeline, zero, plan, before),
            violations: violations.iter().map(broken).collect(),
        }
    }
}

/// Microseconds are exact enough for people.
fn seconds(zero: Moment, at: Moment) -> f64 {
    at.since(zero).as_micros() as f64 / 1e6
}

/// What happened, with what it means for groups of several members.
fn facts(timeline: &[Entry], zero: Moment, plan: &Plan, before: &BTreeSet<String>) -> Vec<Fact> {
    let mut running: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for planned in plan.groups.iter().filter(|planned| before.contains(&planned.name)) {
        if let Some(whole) = &planned.of {
            running.entry(whole.clone()).or_default().insert(planned.name.clone());
        }
    }
    let mut facts = Vec::new();
    for entry in timeline {
        let Some(mut fact) = fact(entry, zero, &plan.names) else { continue };
        let whole = match fact.name.starts_with("group_") {
            true => plan.groups.iter().find(|planned| planned.name == fact.subject),
            false => None,
        };
        let Some(whole) = whole.and_then(|planned| planned.of.clone()) else {
            facts.push(fact);
            continue;
        };
        let all = plan.groups.iter().filter(|one| one.of.as_ref() == Some(&whole)).count();
        let members = running.entry(whole.clone()).or_default();
        let before = members.len();
        let ends = match entry.kind {
            Kind::GroupStarted | Kind::GroupResumed | Kind::GroupMovedLive => {
                members.insert(fact.subject.clone());
                (before + 1 == all && members.len() == all).then_some("group_started")
            }
            Kind::GroupStopped | Kind::GroupSaved | Kind::GroupKilled => {
                members.remove(&fact.subject);
                let killed = entry.kind == Kind::GroupKilled;
                let name = if killed { "group_killed" } else { "group_stopped" };
                (before > 0 && members.is_empty()).then_some(name)
            }
            _ => None,
        };
        let (at, node) = (fact.at, fact.node.clone());
        fact.name = of_member(entry.kind);
        facts.push(fact);
        facts.extend(ends.map(|name| Fact { at, name, subject: whole, node }));
    }
    facts
}

/// What is said of a member where its group has several.
fn of_member(kind: Kind) -> &'static str {
    match kind {
        Kind::GroupStarted => "member_started",
        Kind::GroupStopped => "member_stopped",
        Kind::GroupStartFailed => "member_start_failed",
        Kind::GroupStopFailed => "member_stop_failed",
        Kind::GroupKilled => "member_killed",
        Kind::GroupSaved => "member_saved",
        Kind::GroupResumed => "member_resumed",
        Kind::GroupMovedLive => "member_moved_live",
        other => other.name(),
    }
}

/// An entry of the timeline as a fact; none: it is none, or about a node that is not the scenario's.
fn fact(entry: &Entry, zero: Moment, names: &Names) -> Option<Fact> {
    let subject = match entry.kind {
        Kind::GroupStarted
        | Kind::GroupStopped
        | Kind::GroupStartFailed
        | Kind::GroupStopFailed
        | Kind::GroupKilled
        | Kind::GroupSaved
        | Kind::GroupResumed
        | Kind::GroupMovedLive => names.of_group(&entry.subject)?,
        Kind::MemberStarted
        | Kind::MemberStopped
        | Kind::MemberKilled
        | Kind::MemberStartFailed
        | Kind::MemberStopFailed => names.of_member(&entry.subject)?,
        Kind::FenceRequested | Kind::FenceConfirmed if entry.detail == PROVES_NOTHING_NEW => {
            return None;
        }
        Kind::NodeUp
        | Kind::NodeDown
        | Kind::NodeIsolated
        | Kind::NodeDrained
        | Kind::FenceRequested
        | Kind::FenceConfirmed
        | Kind::LeaseLost
        | Kind::LeaseGained
        | Kind::Coordinator => names.of_node(&entry.subject)?,
        Kind::Step => entry.subject.as_str(),
        _ => return None,
    };
    let name = match entry.kind {
        Kind::LeaseLost => "quorum_lost",
        Kind::LeaseGained => "quorum_gained",
        kind => kind.name(),
    };
    let node = entry.node.as_deref().map(|node| names.of_node(node).unwrap_or(node).to_owned());
    Some(Fact { at: seconds(zero, entry.at), name, subject: subject.to_owned(), node })
}
