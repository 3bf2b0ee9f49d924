//! `[[fence_agents]]`: programs that can end nodes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use quorate_core::config::FenceAgentConfig;
use quorate_core::id::NodeId;
use serde::{Deserialize, Serialize};

use super::convert::find;
use super::words::name;
use super::{ConfigError, Settings};
use crate::fence_agents::agent::AgentSettings;
use crate::fence_agents::pill;

/// `[[fence_agents]]`: a program that can end nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FenceAgent {
    /// Its name.
    pub name: String,
    /// A path, or a name along PATH and in `/usr/sbin`, as `fence_ipmilan`. Each voter must have it. `poison-pill` is
    /// built in.
    pub program: PathBuf,
    /// What it is given on its standard input: options by name.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub parameters: Settings,
    /// Whom it can end.
    pub nodes: FencedNodes,
    /// Levels are tried in order, from 1 to 9.
    #[serde(default = "first_level", skip_serializing_if = "is_first_level")]
    pub level: u8,
    /// What is asked of it.
    #[serde(default, skip_serializing_if = "FenceAction::is_default")]
    pub action: FenceAction,
    /// How long one request may take.
    #[serde(default = "one_minute")]
    pub timeout_s: u64,
    /// How often it is asked before the next level is tried.
    #[serde(default = "twice")]
    pub tries: u32,
}

/// Whom a fence agent can end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FencedNodes {
    /// Nodes that need no name there: the agent's parameters say which it is, or their numbers do, as with pills.
    Named(Vec<String>),
    /// What each node is called there: its plug, port or virtual machine.
    Plugs(BTreeMap<String, String>),
}

/// What is asked of a fence agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FenceAction {
    /// End the node, and let it boot again.
    #[default]
    Reboot,
    /// End the node: people switch it on.
    Off,
}

impl FenceAction {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// As the engine takes it.
pub(super) fn convert(
    agent: &FenceAgent,
    numbers: &BTreeMap<&str, NodeId>,
) -> Result<FenceAgentConfig, ConfigError> {
    let place = format!("fence_agents.{}", agent.name);
    let text = |(name, value): (&String, &toml::Value)| {
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(true) => "1".to_owned(),
            toml::Value::Boolean(false) => "0".to_owned(),
            toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                let place = format!("{place}.parameters.{name}");
                let remedy = "write it as a text, a number or a truth value";
                return Err(ConfigError::new(place, "it is no single value", remedy));
            }
        };
        Ok((name.clone(), text))
    };
    let parameters = agent.parameters.iter().map(text).collect::<Result<_, _>>()?;
    let settings = AgentSettings { program: agent.program.clone(), parameters };
    settings
        .check()
        .map_err(|problem| ConfigError::new(&place, problem, "correct what the agent is given"))?;
    let is_pill = pill::is_program(&agent.program);
    let plugs: Vec<(&String, String)> = match &agent.nodes {
        FencedNodes::Plugs(_) if is_pill => {
            let problem = "a pill lies in the block of the node's number, and needs no plug";
            let remedy = "name the nodes alone: nodes = [\"n1\", \"n2\"]";
            return Err(ConfigError::new(format!("{place}.nodes"), problem, remedy));
        }
        FencedNodes::Named(nodes) => nodes.iter().map(|node| (node, String::new())).collect(),
        FencedNodes::Plugs(plugs) => {
            plugs.iter().map(|(node, plug)| (node, plug.clone())).collect()
        }
    };
    if let Some((node, _)) = plugs.iter().find(|(_, plug)| plug.contains(['\n', '\r', '\0'])) {
        let problem = "the plug has more than one line";
        return Err(ConfigError::new(format!("{place}.nodes.{node}"), problem, "write it on one"));
    }
    let number = |(name, plug): (&String, String)| {
        let node = find(&format!("{place}.nodes"), "node", "[[nodes]]", name, numbers)?;
        // The engine wants to know what each is called there.
        Ok((node, if is_pill { node.0.to_string() } else { plug }))
    };
    Ok(FenceAgentConfig {
        name: agent.name.clone(),
        settings: serde_json::to_string(&settings).expect("texts have a JSON form"),
        plugs: plugs.into_iter().map(number).collect::<Result<_, ConfigError>>()?,
        level: agent.level,
        reboots: agent.action == FenceAction::Reboot,
        timeout: Duration::from_secs(agent.timeout_s),
        tries: agent.tries,
    })
}

/// Back to the words of cluster.toml.
pub(super) fn words(
    agent: &FenceAgentConfig,
    names: &BTreeMap<NodeId, &str>,
) -> Result<FenceAgent, ConfigError> {
    let settings: AgentSettings = AgentSettings::read(agent).map_err(|error| {
        let place = format!("fence_agents.{}", agent.name);
        ConfigError::new(place, error, "give it a program and parameters")
    })?;
    let plugs =
        agent.plugs.iter().filter_map(|(node, plug)| Some((name(*node, names)?, plug.clone())));
    let plugs: BTreeMap<String, String> = plugs.collect();
    let is_pill = pill::is_program(&settings.program);
    let text = |(name, value): (String, String)| (name, toml::Value::String(value));
    Ok(FenceAgent {
        name: agent.name.clone(),
        program: settings.program,
        parameters: settings.parameters.into_iter().map(text).collect(),
        nodes: match is_pill || plugs.values().all(String::is_empty) {
            true => FencedNodes::Named(plugs.into_keys().collect()),
            false => FencedNodes::Plugs(plugs),
        },
        level: agent.level,
        action: if agent.reboots { FenceAction::Reboot } else { FenceAction::Off },
        timeout_s: agent.timeout.as_secs(),
        tries: agent.tries,
    })
}

fn first_level() -> u8 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_first_level(level: &u8) -> bool {
    *level == first_level()
}

fn one_minute() -> u64 {
    60
}

fn twice() -> u32 {
    2
}
