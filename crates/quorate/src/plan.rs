//! What a change of the configuration would do, before it is made: computed by the engine's own placement.

use std::collections::BTreeMap;
use std::fmt;

use quorate_core::config::ClusterConfig;
use quorate_core::engine::Foresight;
use quorate_core::id::{GroupId, NodeId};
use quorate_core::placement::{self, Candidate, Keeps, Now, Outlook};
use quorate_core::status::NODE_STATES;
use serde::{Deserialize, Serialize};

use crate::config::{Config, ConfigError, Difference, diff};
use crate::why::{WhyNot, node_name};

/// What a change of the configuration, or a command, would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The version that it was made against; apply it to that one alone. 0: it is not known.
    pub version: u64,
    /// What is different.
    pub differences: Vec<Difference>,
    /// What becomes of groups, in the order of the configuration. Those that are not named stay as they are.
    pub effects: Vec<Effect>,
    /// Why it would be refused as things are; none: it would not.
    pub refusal: Option<String>,
}

/// What becomes of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// It moves.
    Moves {
        /// The group.
        group: String,
        /// From where.
        from: String,
        /// Where to.
        to: String,
        /// Why it does not stay; none: of so many moves not every reason is looked for.
        why: Option<WhyNot>,
    },
    /// It starts.
    Starts {
        /// The group.
        group: String,
        /// Where.
        on: String,
    },
    /// It stops, since no node may run it any more.
    Stops {
        /// The group.
        group: String,
        /// Where it runs.
        from: String,
        /// Why not, for each node.
        why: Vec<WhyNot>,
    },
    /// It stays on a node that is to be empty, since no other node can run it.
    Stays {
        /// The group.
        group: String,
        /// The node.
        on: String,
        /// Why not, for each other node.
        why: Vec<WhyNot>,
    },
    /// It does not run, and no node could run it.
    Unplaced {
        /// The group.
        group: String,
        /// Why not, for each node.
        why: Vec<WhyNot>,
    },
}

impl Plan {
    /// What would become of the cluster that a saved status tells of: the JSON of `quorate status --json`, or of a
    /// node's status. `current` is the configuration that it had then.
    ///
    /// # Errors
    /// The status is none, or belongs to another configuration.
    pub fn of_status(current: &Config, status: &str, next: &Config) -> Result<Plan, ConfigError> {
        let saved: Saved = serde_json::from_str(status).map_err(|error| {
            let remedy = "give what `quorate status --json` wrote";
            ConfigError::new("status", error.to_string(), remedy)
        })?;
        let next = next.following(current)?;
        let outlook = saved.outlook(current.cluster())?;
        let in_use = |group: GroupId| {
            let stance = outlook.groups.get(&group).filter(|stance| stance.runs)?;
            Some(format!("runs on {}", node_name(current.cluster(), stance.at?)))
        };
        let refusal = current.cluster().check_successor(next.cluster(), in_use).err();
        Plan::new(&outlook, current, &next, refusal.map(|error| error.to_string()))
    }

    pub(crate) fn new(
        outlook: &Outlook,
        current: &Config,
        next: &Config,
        refusal: Option<String>,
    ) -> Result<Plan, ConfigError> {
        let effects = outlook.effects(next.cluster());
        let effects = effects.into_iter().map(|one| Effect::new(one, outlook, next.cluster()));
        Ok(Plan {
            version: outlook.version,
            differences: diff(current, next)?,
            effects: effects.collect(),
            refusal,
        })
    }

    /// What a command would do.
    pub(crate) fn of_foresight(foresight: &Foresight) -> Plan {
        let Foresight { outlook, effects, refusal } = foresight;
        let effect = |one: &placement::Effect| Effect::new(one.clone(), outlook, &outlook.config);
        Plan {
            version: outlook.version,
            differences: Vec::new(),
            effects: effects.iter().map(effect).collect(),
            refusal: refusal.as_ref().map(ToString::to_string),
        }
    }

    /// In one sentence.
    pub fn summary(&self) -> String {
        if self.differences.is_empty() && self.effects.is_empty() {
            return "nothing is different".to_owned();
        }
        let count =
            |is_it: fn(&Effect) -> bool| self.effects.iter().filter(|&one| is_it(one)).count();
        let parts = [
            ("moves", count(|one| matches!(one, Effect::Moves { .. }))),
            ("starts", count(|one| matches!(one, Effect::Starts { .. }))),
            ("stops", count(|one| matches!(one, Effect::Stops { .. }))),
            ("leaves", count(|one| matches!(one, Effect::Stays { .. }))),
            ("cannot place", count(|one| matches!(one, Effect::Unplaced { .. }))),
        ];
        let parts: Vec<String> = (parts.into_iter().filter(|(_, count)| *count > 0))
            .map(|(verb, count)| {
                format!("{verb} {count} group{}", if count == 1 { "" } else { "s" })
            })
            .collect();
        match parts.is_empty() {
            true => "this change moves nothing".to_owned(),
            false => format!("this change {}", parts.join(", ")),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.summary())?;
        self.effects.iter().try_for_each(|effect| write!(f, "\n{effect}"))?;
        match &self.refusal {
            Some(why) => write!(f, "\nit would be refused: {why}"),
            None => Ok(()),
        }
    }
}

impl Effect {
    fn new(effect: placement::Effect, outlook: &Outlook, next: &ClusterConfig) -> Self {
        let name = |node: NodeId| node_name(next, node);
        let group = next.group(effect.group).map_or_else(String::new, |group| group.name.clone());
        let why = |(&node, &why)| WhyNot::of_node(next, node, why);
        let owner = outlook.groups.get(&effect.group).and_then(|stance| stance.at);
        let from = owner.filter(|_| effect.runs);
        match (from, effect.to) {
            (Some(from), Some(to)) if from == to => {
                Effect::Stays { group, on: name(to), why: effect.others.iter().map(why).collect() }
            }
            (Some(from), Some(to)) => {
                let why = effect.others.get_key_value(&from).map(why);
                Effect::Moves { group, from: name(from), to: name(to), why }
            }
            (Some(from), None) => {
                let why = effect.others.iter().map(why).collect();
                Effect::Stops { group, from: name(from), why }
            }
            (None, Some(on)) => Effect::Starts { group, on: name(on) },
            (None, None) => {
                Effect::Unplaced { group, why: effect.others.iter().map(why).collect() }
            }
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |why: &[WhyNot]| {
            let reasons: Vec<String> = why.iter().map(ToString::to_string).collect();
            if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) }
        };
        match self {
            Effect::Moves { group, from, to, why } => {
                let why = why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
                write!(f, "{group} moves from {from} to {to}{why}")
            }
            Effect::Starts { group, on } => write!(f, "{group} starts on {on}"),
            Effect::Stops { group, from, why } => {
                write!(f, "{group} stops on {from}: no node may run it{}", list(why))
            }
            Effect::Stays { group, on, why } => {
                write!(f, "{group} stays on {on}: no other node can run it{}", list(why))
            }
            Effect::Unplaced { group, why } => {
                write!(f, "{group} cannot be placed{}", list(why))
            }
        }
    }
}

/// What counts of a status.
#[derive(Deserialize)]
struct Saved {
    #[serde(default)]
    config_version: u64,
    nodes: Vec<SavedNode>,
    groups: Vec<SavedGroup>,
}

#[derive(Deserialize)]
struct SavedNode {
    name: String,
    state: String,
    #[serde(default)]
    heard: String,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    draining: bool,
}

#[derive(Deserialize)]
struct SavedGroup {
    name: String,
    state: String,
    owner: Option<String>,
    online_wanted: bool,
}

impl Saved {
    fn outlook(&self, config: &ClusterConfig) -> Result<Outlook, ConfigError> {
        let node = |name: &str| {
            config.node_named(name).map(|node| node.id).ok_or_else(|| {
                let problem = format!("node {name} is not in the configuration");
                ConfigError::new("status.nodes", problem, "give the two that belong together")
            })
        };
        let mut nodes = BTreeMap::new();
        for one in &self.nodes {
            if !NODE_STATES.contains(&one.state.as_str()) {
                let problem = format!("the state {:?} of node {} is none", one.state, one.name);
                let remedy = format!("use one of: {}", NODE_STATES.join(", "));
                return Err(ConfigError::new("status.nodes", problem, remedy));
            }
            let candidate = Candidate {
                up: one.state == "up",
                heard: matches!(&*one.heard, "" | "self" | "alive"),
                paused: one.paused,
                keeps: if one.draining { Keeps::Stranded } else { Keeps::All },
            };
            nodes.insert(node(&one.name)?, candidate);
        }
        let mut groups = BTreeMap::new();
        for one in &self.groups {
            let Some(group) = config.group_named(&one.name) else {
                let problem = format!("group {} is not in the configuration", one.name);
                let remedy = "give the two that belong together";
                return Err(ConfigError::new("status.groups", problem, remedy));
            };
            let at = one.owner.as_deref().map(node).transpose()?;
            let is_up = at.is_some_and(|at| nodes.get(&at).is_some_and(|node| node.up));
            groups.insert(
                group.id,
                Now {
                    wanted: one.online_wanted && one.state != "failed",
                    at: at.filter(|_| is_up),
                    runs: is_up && one.online_wanted,
                    fixed: one.state == "stop-failed",
                    ..Now::default()
                },
            );
        }
        Ok(Outlook { config: config.clone(), version: self.config_version, nodes, groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(name: &str) -> Config {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plan");
        Config::from_file(&dir.join(name)).unwrap()
    }

    const STATUS: &str = include_str!("../../../examples/plan/status.json");

    #[test]
    fn the_plan_names_who_moves_and_the_rule_that_wants_it() {
        let (current, next) = (example("cluster.toml"), example("next.toml"));
        let plan = Plan::of_status(&current, STATUS, &next).unwrap();
        let [Effect::Moves { group, from, to, why: Some(why) }] = plan.effects.as_slice() else {
            panic!("{plan}")
        };
        assert_eq!((group.as_str(), from.as_str(), to.as_str()), ("db2", "n1", "n2"));
        assert_eq!((why.code, why.rule.as_deref()), ("apart", Some("databases-apart")));
        assert_eq!(plan.differences.len(), 1);
        assert_eq!(plan.differences[0].place, "rules.databases-apart");
        assert_eq!(plan.refusal, None);
        assert_eq!(Plan::of_status(&current, STATUS, &next).unwrap(), plan, "again the same");
        let none = Plan::of_status(&next, STATUS, &next).unwrap();
        assert!(none.differences.is_empty() && none.effects.is_empty(), "{none}");
    }

    #[test]
    fn what_nowhere_can_run_and_what_would_be_refused_is_said() {
        let current = example("cluster.toml");
        let mut document = example("next.toml").document().clone();
        document.rules[0].apart = None;
        let groups = ["db1", "db2", "db3"].map(str::to_owned).to_vec();
        document.rules[0] = crate::config::Rule::apart("all", &["db1", "db2", "db3"]);
        let mut third = document.groups[0].clone();
        third.name = groups[2].clone();
        third.resources[0].name = "postgres3".to_owned();
        document.groups.push(third);
        let plan = Plan::of_status(&current, STATUS, &Config::new(document.clone()).unwrap());
        let text = plan.unwrap().to_string();
        assert!(text.starts_with("this change moves 1 group, cannot place 1 group\n"), "{text}");
        assert!(text.contains("not n3: it does not take part"), "{text}");
        assert!(text.contains("(rule all)"), "{text}");
        document.groups.remove(0);
        document.rules.clear();
        let plan = Plan::of_status(&current, STATUS, &Config::new(document).unwrap()).unwrap();
        assert!(plan.refusal.unwrap().contains("db1 runs on n1"));
    }
}
