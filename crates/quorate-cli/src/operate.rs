//! Commands to the cluster beside those for single groups and nodes: what is left alone, fenced, counted.

use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use quorate::config::{NewGroup, NewNode};
use quorate::{Disarm, Error, Failback, Node, Ticket};
use serde::{Deserialize, Serialize};

use crate::arguments::Ask;
use crate::control::Request;
use crate::failure::{Exit, Failure};
use crate::{ask, outcome};

/// What returns to a node that may run groups again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Return {
    /// At once, whatever was drained from it
    Now,
    /// What fails back by its own policy
    #[default]
    Policy,
    /// Nothing
    Never,
}

impl From<Return> for Failback {
    fn from(what: Return) -> Self {
        match what {
            Return::Now => Failback::Now,
            Return::Policy => Failback::ByPolicy,
            Return::Never => Failback::Never,
        }
    }
}

/// What is said of the groups of a cluster that is disarmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// That they are frozen
    Freeze,
    /// How they are found
    Ignore,
}

impl From<Mode> for Disarm {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Freeze => Disarm::Freeze,
            Mode::Ignore => Disarm::Ignore,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Operation {
    /// Drain a node, run a command, and let the node run groups again, however the command ends
    Maintenance {
        /// The node
        node: String,
        /// How long the drain may take, in seconds
        #[arg(long, default_value_t = 600, value_name = "SECONDS")]
        timeout: u64,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Move everything off a node, stop there what nowhere else can run, and let nothing start there
    Empty {
        /// The node
        node: String,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Fence a node, though it is heard: what it runs starts elsewhere once it is proven harmless
    Fence {
        /// The node
        node: String,
        /// Who wants it, and why: it stands in the recording
        #[arg(long)]
        reason: String,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Take a group offline, and leave it with its node whatever becomes of that
    Disable {
        /// The group
        group: String,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Leave a group alone, running or not
    Unmanage {
        /// The group
        group: String,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Look after a group again, as it is found
    Manage {
        /// The group
        group: String,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Start, stop and move nothing; nodes are still fenced
    Disarm {
        /// What is said of the groups meanwhile
        #[arg(long, default_value = "freeze")]
        mode: Mode,
        /// Arm by itself after so many seconds [default: never]
        #[arg(long = "for", value_name = "SECONDS")]
        ttl_s: Option<u64>,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Manage everything again, as it is found
    Arm {
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Let no group move by itself for the sake of a rule or a preference
    HoldMoves {
        /// Let them move again
        #[arg(long)]
        off: bool,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Say how often a group has failed on a node
    CountFailures {
        /// The group
        group: String,
        /// The node
        node: String,
        /// How often
        count: u32,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Forget that a group has failed on a node: it may run there again
    Cleanup {
        /// The group
        group: String,
        /// The node
        node: String,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Report how much a group loads its node, as measured
    Load {
        /// The group
        group: String,
        /// How much of each thing, as in: cpus=3 memory_mib=2048
        #[arg(required = true, value_parser = amount)]
        amounts: Vec<(String, u64)>,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Take a group into the running cluster
    AddGroup {
        /// A file with its [[groups]], [[luns]] and [[rules]], as in a cluster.toml
        file: PathBuf,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Take a group out of the running cluster; take it offline before, or unmanage it if it is to run on
    RemoveGroup {
        /// The group
        group: String,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Take a node into the running cluster; then start it there with the cluster's key and the configuration in force
    AddNode {
        /// A file with its [[nodes]], as in a cluster.toml
        file: PathBuf,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Take a node out of the running cluster for ever; drain it before
    EvictNode {
        /// The node
        node: String,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
}

/// Carries out an operation. Gives what to print.
///
/// # Errors
/// That no node runs here, or why it was refused.
pub(crate) fn operate(operation: Operation) -> Result<String, Failure> {
    if let Operation::Maintenance { node, timeout, ask, command } = operation {
        return maintain(&node, Duration::from_secs(timeout), &ask, &command);
    }
    let (ask, request) = request(operation)?;
    ask::command(&ask, &request, None)
}

fn request(operation: Operation) -> Result<(Ask, Request), Failure> {
    Ok(match operation {
        Operation::Maintenance { node, ask, .. } => (ask, Request::Drain { node }),
        Operation::Empty { node, ask } => (ask, Request::Empty { node }),
        Operation::Fence { node, reason, ask } => (ask, Request::Fence { node, reason }),
        Operation::Disable { group, ask } => (ask, Request::Disable { group }),
        Operation::Unmanage { group, ask } => (ask, Request::Unmanage { group }),
        Operation::Manage { group, ask } => (ask, Request::Manage { group }),
        Operation::Disarm { mode, ttl_s, ask } => (ask, Request::Disarm { mode, ttl_s }),
        Operation::Arm { ask } => (ask, Request::Arm),
        Operation::HoldMoves { off, ask } => (ask, Request::HoldMoves { held: !off }),
        Operation::CountFailures { group, node, count, ask } => {
            (ask, Request::CountFailures { group, node, count })
        }
        Operation::Cleanup { group, node, ask } => {
            (ask, Request::CountFailures { group, node, count: 0 })
        }
        Operation::Load { group, amounts, ask } => {
            (ask, Request::Load { group, load: amounts.into_iter().collect() })
        }
        Operation::AddGroup { file, ask } => {
            let (name, text) = read(&file)?;
            // What is wrong with it is better said before a node is asked.
            NewGroup::from_toml_str(&text, &name)?;
            (ask, Request::AddGroup { text, file: name })
        }
        Operation::RemoveGroup { group, ask } => (ask, Request::RemoveGroup { group }),
        Operation::AddNode { file, ask } => {
            let (name, text) = read(&file)?;
            NewNode::from_toml_str(&text, &name)?;
            (ask, Request::AddNode { text, file: name })
        }
        Operation::EvictNode { node, ask } => (ask, Request::EvictNode { node }),
    })
}

/// The name of a file, and what is in it.
fn read(file: &Path) -> Result<(String, String), Failure> {
    let name = file.display().to_string();
    match std::fs::read_to_string(file) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            Err(Failure::new(Exit::Configuration, format!("{name}: {error}; name a file")))
        }
    }
}

/// The node's part; none: it is no such request.
pub(crate) fn carry_out(node: &Node, request: &Request) -> Option<Result<Ticket, Error>> {
    Some(match request {
        Request::Empty { node: name } => node.empty(name),
        Request::EndDrain { node: name } => node.end_drain(name),
        Request::Fence { node: name, reason } => node.fence(name, reason),
        Request::Disable { group } => node.disable(group),
        Request::Unmanage { group } => node.unmanage(group),
        Request::Manage { group } => node.manage(group),
        Request::Disarm { mode, ttl_s } => {
            node.disarm((*mode).into(), ttl_s.map(Duration::from_secs))
        }
        Request::Arm => node.arm(),
        Request::HoldMoves { held } => node.hold_moves(*held),
        Request::CountFailures { group, node: name, count } => {
            node.count_failures(group, name, *count)
        }
        Request::Load { group, load } => node.report_load(group, load.clone()),
        Request::AddGroup { text, file } => NewGroup::from_toml_str(text, file)
            .map_err(Error::from)
            .and_then(|new| node.add_group(&new)),
        Request::RemoveGroup { group } => node.remove_group(group),
        Request::AddNode { text, file } => NewNode::from_toml_str(text, file)
            .map_err(Error::from)
            .and_then(|new| node.add_node(&new)),
        Request::EvictNode { node: name } => node.evict_node(name),
        _ => return None,
    })
}

/// What to print once it is accepted.
pub(crate) fn said(request: &Request) -> String {
    match request {
        Request::EndDrain { node } => format!("{node} is as it was before"),
        Request::Empty { node } => {
            format!("{node} is emptied: what nowhere else can run is stopped")
        }
        Request::Fence { node, .. } => format!("{node} is to be fenced"),
        Request::Disable { group } => format!("{group} is to be offline, and stays with its node"),
        Request::Unmanage { group } => format!("{group} is left alone"),
        Request::Manage { group } => format!("{group} is looked after again"),
        Request::Disarm { ttl_s: None, .. } => "disarmed until `quorate arm`".to_owned(),
        Request::Disarm { ttl_s: Some(ttl), .. } => format!("disarmed for {ttl} s"),
        Request::Arm => "armed: everything is looked after again".to_owned(),
        Request::HoldMoves { held: true } => "no group moves by itself".to_owned(),
        Request::HoldMoves { held: false } => "groups move by themselves again".to_owned(),
        Request::CountFailures { group, node, count: 0 } => {
            format!("failures of {group} on {node} are forgotten")
        }
        Request::CountFailures { group, node, count } => {
            format!("{group} counts as failed {count} times on {node}")
        }
        Request::Load { group, .. } => format!("the load of {group} is taken"),
        Request::AddGroup { .. } => "the group is taken in".to_owned(),
        Request::RemoveGroup { group } => format!("{group} is taken out"),
        Request::AddNode { .. } => {
            "the node is taken in: start it with the key and the configuration that `quorate config show` prints"
                .to_owned()
        }
        Request::EvictNode { node } => format!("{node} is being evicted"),
        _ => String::new(),
    }
}

/// Whatever comes of the command, the node is as it was before.
fn maintain(
    node: &str,
    timeout: Duration,
    ask: &Ask,
    command: &[String],
) -> Result<String, Failure> {
    let drain = Request::Drain { node: node.to_owned() };
    let before = ask::connect(ask)?.ask(&Request::Status)?;
    let nodes = before["nodes"].as_array().into_iter().flatten();
    let found = nodes.into_iter().find(|one| one["name"] == node);
    let was = |key: &str| found.is_some_and(|one| one[key] == true);
    let drained = match was("draining") {
        true => outcome::wait(ask, &drain, &before, timeout),
        false => ask::command(ask, &drain, Some(timeout)),
    };
    let status = match &drained {
        Ok(_) => process::Command::new(&command[0]).args(&command[1..]).status(),
        Err(_) => Ok(process::ExitStatus::default()),
    };
    let resumed = match (was("draining"), was("paused")) {
        (true, _) => Ok(format!("{node} is drained, as it was before")),
        (false, true) => ask::command(ask, &Request::Pause { node: node.to_owned() }, None),
        (false, false) => ask::command(ask, &Request::EndDrain { node: node.to_owned() }, None),
    };
    drained?;
    let status = status.map_err(|error| {
        Failure::new(Exit::Failed, format!("{}: {error}; name a program", command[0]))
    })?;
    let resumed = resumed?;
    match status.success() {
        true => Ok(resumed),
        false => Err(Failure::new(Exit::Failed, format!("{}: {status}; {resumed}", command[0]))),
    }
}

fn amount(text: &str) -> Result<(String, u64), String> {
    let wrong = || "write NAME=AMOUNT, as in memory_mib=2048".to_owned();
    let (name, number) = text.split_once('=').ok_or_else(wrong)?;
    let number = number.parse().map_err(|_| wrong())?;
    if name.is_empty() { Err(wrong()) } else { Ok((name.to_owned(), number)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_name_and_a_number() {
        assert_eq!(amount("cpus=3"), Ok(("cpus".into(), 3)));
        for wrong in ["cpus", "=3", "cpus=x", "cpus=-1"] {
            assert!(amount(wrong).is_err(), "{wrong}");
        }
    }
}
