//! What came of a scenario, as it is written down: one JSON object.

use std::collections::BTreeMap;

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use super::model::Scenario;
use super::plan::Names;
use crate::checker::Violation;
use crate::clock::Moment;
use crate::timeline::{Entry, Kind, PROVES_NOTHING_NEW};

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

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeWord {
    /// It runs and takes part.
    Online,
    /// It is off.
    Offline,
    /// It runs, cut off from all others.
    Isolated,
    /// It is off, by its own fence or the cluster's.
    Fenced,
    /// It is in maintenance.
    Maintenance,
    /// It gets nothing.
    Paused,
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

/// How a group or a member is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupWord {
    /// It runs.
    Online,
    /// It does not.
    Offline,
    /// It failed too often.
    Failed,
    /// It could not be stopped.
    StopFailed,
    /// No node may run it.
    WaitingForNode,
    /// Its owner is not yet proven harmless.
    WaitingForFence,
    /// It is kept for its node's return.
    Frozen,
    /// The cluster knows it no more.
    Removed,
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
        names: &Names,
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
            facts: timeline.iter().filter_map(|entry| fact(entry, zero, names)).collect(),
            violations: violations.iter().map(broken).collect(),
        }
    }
}

/// Microseconds are exact enough for people.
fn seconds(zero: Moment, at: Moment) -> f64 {
    at.since(zero).as_micros() as f64 / 1e6
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
