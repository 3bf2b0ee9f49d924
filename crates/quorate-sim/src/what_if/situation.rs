//! The situation before the loss: who runs, who owns what.

use std::time::Duration;

use quorate_core::config::ClusterConfig;
use quorate_core::status::{NODE_STATES, Status};
use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::testing::{self, Cluster, Reply, Request, Verb};

/// What a status tells of a situation: the JSON of a node's status can be read as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Situation {
    /// The nodes; those that are left out run.
    pub nodes: Vec<NodeSituation>,
    /// The groups; those that are left out are online.
    pub groups: Vec<GroupSituation>,
    /// Whether the node that tells of it has a quorum; else it tells what it knew last.
    #[serde(default = "yes")]
    pub quorum: bool,
    /// When it told.
    #[serde(default)]
    pub at: Option<At>,
}

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// In microseconds since 1970.
    pub unix_us: u64,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSituation {
    /// Its name.
    pub name: String,
    /// As in a status: it runs if this is `up`.
    pub state: String,
    /// It gets no new groups.
    #[serde(default)]
    pub paused: bool,
    /// What it runs moves away.
    #[serde(default)]
    pub draining: bool,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSituation {
    /// Its name.
    pub name: String,
    /// Its owner.
    #[serde(default)]
    pub owner: Option<String>,
    /// Whether it should be online.
    #[serde(default = "yes")]
    pub online_wanted: bool,
}

fn yes() -> bool {
    true
}

impl From<&Status> for Situation {
    fn from(status: &Status) -> Self {
        let nodes = status.nodes.iter().map(|node| NodeSituation {
            name: node.name.clone(),
            state: node.state.clone(),
            paused: node.paused,
            draining: node.draining,
        });
        let groups = status.groups.iter().map(|group| GroupSituation {
            name: group.name.clone(),
            owner: group.owner.clone(),
            online_wanted: group.online_wanted,
        });
        Self { nodes: nodes.collect(), groups: groups.collect(), quorum: status.quorum, at: None }
    }
}

impl Situation {
    /// Every node runs, and every group that is started by itself is where placement puts it.
    pub(super) fn of(_: &ClusterConfig) -> Self {
        Self { nodes: Vec::new(), groups: Vec::new(), quorum: true, at: None }
    }

    /// Refuses what the configuration does not hold.
    pub(super) fn checked(self, config: &ClusterConfig) -> Result<Self, Error> {
        let is_node = |name: &str| config.node_named(name).is_some();
        let wrong = |place: String, what: &str, name: &str| Error::Situation {
            place,
            problem: format!(
                "{what} {name} is not in the configuration: give the two that belong together"
            ),
        };
        for (at, node) in self.nodes.iter().enumerate() {
            if !is_node(&node.name) {
                return Err(wrong(format!("nodes[{at}].name"), "node", &node.name));
            }
            if !NODE_STATES.contains(&node.state.as_str()) {
                let problem = format!("{:?} is none of: {}", node.state, NODE_STATES.join(", "));
                return Err(Error::Situation { place: format!("nodes[{at}].state"), problem });
            }
        }
        for (at, group) in self.groups.iter().enumerate() {
            if config.group_named(&group.name).is_none() {
                return Err(wrong(format!("groups[{at}].name"), "group", &group.name));
            }
            if let Some(owner) = group.owner.as_deref().filter(|owner| !is_node(owner)) {
                return Err(wrong(format!("groups[{at}].owner"), "node", owner));
            }
        }
        if !config.nodes().iter().any(|node| self.runs(&node.name)) {
            let problem = "no node is up: there is nothing left to lose".to_owned();
            return Err(Error::Situation { place: "nodes".to_owned(), problem });
        }
        Ok(self)
    }

    /// Whether a node runs.
    pub(super) fn runs(&self, node: &str) -> bool {
        self.nodes.iter().find(|one| one.name == node).is_none_or(|one| one.state == "up")
    }

    /// Brings a fresh cluster into this situation, as far as it can be brought there.
    pub(super) fn reach(&self, cluster: &mut Cluster) -> Result<(), testing::Error> {
        // A cluster is founded by all of its voters: those that are down went down later.
        cluster.settle()?;
        let down: Vec<&NodeSituation> =
            self.nodes.iter().filter(|node| !self.runs(&node.name)).collect();
        for node in &down {
            cluster.power_off(&node.name)?;
        }
        if !down.is_empty() {
            cluster.settle()?;
        }
        for group in &self.groups {
            self.place(cluster, group)?;
        }
        cluster.settle()?;
        for node in self.nodes.iter().filter(|node| self.runs(&node.name)) {
            if node.draining {
                try_to(cluster.drain(&node.name))?;
            } else if node.paused {
                try_to(cluster.pause_node(&node.name))?;
            }
        }
        cluster.settle()
    }

    /// Without a quorum nobody knows how things are.
    fn stale(&self) -> Option<String> {
        let at = self.at.map(|at| {
            let seconds = at.unix_us / 1_000_000 % 86_400;
            format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
        });
        let at = at.unwrap_or_else(|| "this status".to_owned());
        let text = format!("as of {at}, no quorum: what follows begins with what was known last");
        (!self.quorum).then_some(text)
    }

    fn place(&self, cluster: &mut Cluster, group: &GroupSituation) -> Result<(), testing::Error> {
        let believed = |cluster: &Cluster| {
            let status = cluster.status()?;
            status.groups.into_iter().find(|one| one.name == group.name)?.owner
        };
        if !group.online_wanted {
            return try_to(cluster.offline(&group.name));
        }
        match group.owner.as_deref() {
            Some(owner) if self.runs(owner) && believed(cluster).as_deref() != Some(owner) => {
                try_to(cluster.online(&group.name))?;
                try_to(cluster.move_group(&group.name, Some(owner)))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// In what the cluster differs from this situation, for people.
    pub(super) fn differs(&self, cluster: &Cluster) -> Result<Vec<String>, testing::Error> {
        let mut differs: Vec<String> = self.stale().into_iter().collect();
        for group in &self.groups {
            let found = cluster.owner_of(&group.name)?;
            let wanted =
                group.owner.clone().filter(|owner| self.runs(owner) && group.online_wanted);
            if found != wanted {
                let word = |owner: Option<String>| owner.unwrap_or_else(|| "nowhere".to_owned());
                let (found, wanted) = (word(found), word(wanted));
                let name = &group.name;
                differs
                    .push(format!("{name} is on {wanted}; what follows begins with it on {found}"));
            }
        }
        Ok(differs)
    }
}

/// A refusal leaves the situation as it is; what differs is told in the report.
fn try_to(result: Result<(), testing::Error>) -> Result<(), testing::Error> {
    match result {
        Err(testing::Error::Refused(_) | testing::Error::TimedOut { .. }) => Ok(()),
        other => other,
    }
}

/// Lets every resource of a cluster do what it is asked, and take `start_time` to start or to go on.
pub(super) fn play_resources(
    cluster: &mut Cluster,
    start_time: Duration,
) -> Result<(), testing::Error> {
    let groups = cluster.config().groups().iter();
    let names: Vec<String> =
        groups.flat_map(|group| &group.resources).map(|one| one.name.clone()).collect();
    for name in names {
        cluster.serve(&name, move |request: &Request| match request.verb {
            Verb::Start | Verb::Load => Reply::done().after(start_time),
            Verb::Run | Verb::Save | Verb::Stop | Verb::Kill => Reply::done(),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_without_a_quorum_tells_is_said_to_be_what_was_known_last() {
        let of = |json: &str| serde_json::from_str::<Situation>(json).expect("it is a situation");
        let text = "no quorum: what follows begins with what was known last";
        let lost = of(r#"{"nodes":[],"groups":[],"quorum":false,"at":{"unix_us":43261999999}}"#);
        assert_eq!(lost.stale(), Some(format!("as of 12:01:01Z, {text}")));
        let saved = of(r#"{"nodes":[],"groups":[],"quorum":false}"#);
        assert_eq!(saved.stale(), Some(format!("as of this status, {text}")));
        assert_eq!(of(r#"{"nodes":[],"groups":[]}"#).stale(), None, "it is not said");
        assert_eq!(of(r#"{"nodes":[],"groups":[],"quorum":true}"#).stale(), None);
    }
}
