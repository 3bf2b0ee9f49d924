//! Fence agents looked at from outside a cluster: whether each is there, understands what it is given, reaches its
//! device, and sees every node that it is to end.
//!
//! Ends nobody: only `metadata`, `monitor` and `status` are asked. A running node asks them by itself; see
//! `[[fence_agents]]` in docs/CONFIGURATION.md.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = quorate::Config::from_file("cluster.toml".as_ref())?;
//! println!("{}", quorate::fence_agents::check(&config));
//! # Ok(())
//! # }
//! ```

pub(crate) mod agent;
mod metadata;
pub(crate) mod pill;

use std::fmt;

use quorate_core::action::FenceVerb;
use quorate_core::config::{ClusterConfig, FenceAgentConfig};
use quorate_core::id::NodeId;
use serde::Serialize;

use crate::Config;
use agent::{AgentSettings, Power};
use metadata::Metadata;

pub use pill::init;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The agent.
    pub agent: String,
    /// The node, where it is about one.
    pub node: Option<String>,
    /// What was tried: `program`, `options`, `actions`, `device`, `status`.
    pub trial: &'static str,
    /// Whether it is as it should be.
    pub good: bool,
    /// What was seen, for people.
    pub says: String,
}

/// What [`check`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Everything that was looked at, agent by agent.
    pub findings: Vec<Finding>,
    /// Nodes that no agent can end.
    pub unguarded: Vec<String>,
}

impl Report {
    /// Whether every agent is as it should be. Nodes without one do not count: they need none.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|one| one.good)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { agent, node, trial, good, says } in &self.findings {
            let of = node.as_ref().map_or(String::new(), |node| format!(" of {node}"));
            let verdict = if *good { "good" } else { "BAD" };
            writeln!(f, "{verdict:<5} {agent}: {trial}{of}: {says}")?;
        }
        if !self.unguarded.is_empty() {
            writeln!(f, "no agent can end {}", self.unguarded.join(", "))?;
        }
        f.write_str(match (self.findings.is_empty(), self.is_sound()) {
            (true, _) => "there is no fence agent\n",
            (false, true) => "fit for use\n",
            (false, false) => "not to be relied on: see BAD\n",
        })
    }
}

/// Looks at every fence agent of a configuration, one after the other; each may take its timeout for each question.
#[must_use]
pub fn check(config: &Config) -> Report {
    let cluster = config.cluster();
    let mut findings = Vec::new();
    for one in cluster.fence_agents() {
        match pill::is_pill(one) {
            true => look_for_pills(one, config, &mut findings),
            false => look(one, cluster, &mut findings),
        }
    }
    let ended =
        |node: &NodeId| cluster.fence_agents().iter().any(|one| one.plugs.contains_key(node));
    let unguarded = cluster.nodes().iter().filter(|node| !ended(&node.id));
    Report { findings, unguarded: unguarded.map(|node| node.name.clone()).collect() }
}

fn look_for_pills(one: &FenceAgentConfig, config: &Config, findings: &mut Vec<Finding>) {
    let seen = pill::look(one, config).into_iter().map(|(trial, node, result)| Finding {
        agent: one.name.clone(),
        node: node.and_then(|node| config.cluster().node(node)).map(|node| node.name.clone()),
        trial,
        good: result.is_ok(),
        says: result.unwrap_or_else(|error| error),
    });
    findings.extend(seen);
}

fn look(one: &FenceAgentConfig, cluster: &ClusterConfig, findings: &mut Vec<Finding>) {
    let mut say = |trial, node: Option<String>, result: Result<String, String>| {
        let good = result.is_ok();
        let says = result.unwrap_or_else(|error| error);
        findings.push(Finding { agent: one.name.clone(), node, trial, good, says });
        good
    };
    if !say("program", None, program(one)) {
        return;
    }
    match agent::metadata(one).and_then(|text| Metadata::parse(&text)) {
        Ok(known) => {
            say("options", None, options(one, &known));
            say("actions", None, actions(one, &known));
        }
        Err(error) => {
            say("options", None, Err(format!("it does not tell what it knows: {error}")));
        }
    }
    if !say("device", None, agent::monitor(one).map(|()| "it is reached".to_owned())) {
        return;
    }
    for (&node, plug) in &one.plugs {
        let name = cluster.node(node).map(|node| node.name.clone());
        let seen = agent::power(one, plug).map(|power| match power {
            Power::On => "it is on".to_owned(),
            Power::Off => "it is off".to_owned(),
        });
        say("status", name, seen);
    }
}

fn program(one: &FenceAgentConfig) -> Result<String, String> {
    let settings = AgentSettings::read(one)?;
    let missing = || {
        let name = settings.program.display();
        format!(
            "there is no {name} here; every voter must have it (Debian: apt install fence-agents)"
        )
    };
    agent::locate(&settings.program).map(|path| path.display().to_string()).ok_or_else(missing)
}

/// What is given is known, and what is required is given.
fn options(one: &FenceAgentConfig, known: &Metadata) -> Result<String, String> {
    let settings = AgentSettings::read(one)?;
    let given = &settings.parameters;
    if let Some(name) = given.keys().find(|name| !known.options.contains_key(*name)) {
        return Err(format!("it knows no option {name}"));
    }
    // Older names stand beside newer ones, each marked as required.
    let older = [("ipaddr", "ip"), ("login", "username"), ("passwd", "password")];
    let older = older.into_iter().flat_map(|(one, other)| [(one, other), (other, one)]);
    let is_given = |name: &str| {
        let by_other_name = |(old, new): (&str, &str)| old == name && given.contains_key(new);
        given.contains_key(name)
            || agent::RESERVED.contains(&name)
            || older.clone().any(by_other_name)
    };
    match known.options.iter().find(|(name, required)| **required && !is_given(name)) {
        Some((name, _)) => Err(format!("it requires the option {name}")),
        None => Ok(format!("{} given, all known", given.len())),
    }
}

/// It can do what it will be asked to.
fn actions(one: &FenceAgentConfig, known: &Metadata) -> Result<String, String> {
    let needed: &[FenceVerb] = match one.reboots {
        true => &[FenceVerb::Reboot, FenceVerb::Off],
        false => &[FenceVerb::Off],
    };
    let words = || needed.iter().map(|verb| agent::action_word(*verb));
    match words().find(|word| !known.actions.iter().any(|action| action == word)) {
        Some(word) => Err(format!("it cannot do {word}")),
        None => Ok(words().collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests;
