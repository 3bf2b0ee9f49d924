//! The words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use quorate::what_if::Lose;

use crate::configure::Configure;
use crate::failure::EXIT_CODES;
use crate::fencing::FenceAgents;
use crate::lun::Lun;
use crate::operate::{Operation, Return};
use crate::replay::StopAt;
use crate::torture::Torture;

/// Keeps guests running when their hosts fail.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented cluster.toml and a key for a new cluster
    Init(Init),
    /// Check a cluster.toml and show how its timeouts follow from its inputs
    Check(Check),
    /// Make a cluster.toml of another cluster's configuration, and tell what it cannot say
    #[command(subcommand)]
    Import(Import),
    /// Look at LUNs from outside a cluster: which there are, who holds one, whether it keeps its promises
    #[command(subcommand)]
    Lun(Lun),
    /// Look whether the fence agents of a configuration can do their work; ends nobody
    FenceAgents(FenceAgents),
    /// Run one node of a cluster, in the foreground
    Run(Run),
    /// Show the cluster as a running node sees it
    Status(Status),
    /// Move a group: it is saved, its LUN handed over, and it goes on
    Move {
        /// The group
        group: String,
        /// The node; placement chooses if it is left out
        node: Option<String>,
        /// The same, by name
        #[arg(long, value_name = "NODE", conflicts_with = "node")]
        to: Option<String>,
        /// Only say what it would do: what moves, what is displaced, what stays and why
        #[arg(long, conflicts_with = "wait")]
        plan: bool,
        /// The plan in JSON
        #[arg(long, requires = "plan")]
        json: bool,
        /// Wait until it is carried out, at most so many seconds [default: 60]
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "60")]
        wait: Option<u64>,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Bring a group online
    Online {
        /// The group
        group: String,
        /// Wait until it is carried out, at most so many seconds [default: 60]
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "60")]
        wait: Option<u64>,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Take a group offline and keep it there
    Offline {
        /// The group
        group: String,
        /// Wait until it is carried out, at most so many seconds [default: 60]
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "60")]
        wait: Option<u64>,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Move everything off a node and let nothing start there
    Drain {
        /// The node
        node: String,
        /// Only say what it would do: what moves, what is displaced, what stays and why
        #[arg(long, conflicts_with = "wait")]
        plan: bool,
        /// The plan in JSON
        #[arg(long, requires = "plan")]
        json: bool,
        /// Wait until it is carried out, at most so many seconds [default: 60]
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "60")]
        wait: Option<u64>,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Let nothing new start on a node; what runs stays
    Pause {
        /// The node
        node: String,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// End a drain, a pause or a quarantine
    Resume {
        /// The node
        node: String,
        /// What returns to it
        #[arg(long, default_value = "policy", value_name = "WHAT")]
        failback: Return,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Give your word that a node which is down runs nothing and writes nothing
    ConfirmFenced {
        /// The node
        node: String,
        /// Who says so, and why: it is kept with the decision
        #[arg(long)]
        reason: String,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Say why a group is where it is, and why it is not elsewhere
    Explain {
        /// The group
        #[arg(required_unless_present = "action")]
        group: Option<String>,
        /// Only why it is not on this node
        #[arg(long, value_name = "NODE")]
        not_on: Option<String>,
        /// Why the node asked for this, back to what came in from outside; `op` in `quorate events --json`
        #[arg(long, value_name = "OP", conflicts_with_all = ["group", "not_on"])]
        action: Option<u64>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Show what a node has told
    Events {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        /// Go on until Ctrl-C
        #[arg(long)]
        follow: bool,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Commands beside
    #[command(flatten)]
    Operate(Operation),
    /// The configuration of the running cluster: show, diff, plan, apply, rollback, history
    #[command(subcommand)]
    Config(Configure),
    /// Say what the loss of nodes, networks or LUNs would come to: the engine itself tries it out
    WhatIf(WhatIf),
    /// Live a node's recording again: what it decided, and why
    Replay(Replay),
    /// Let the engine live through stories, in virtual time: one JSON outcome a line
    Simulate(Simulate),
    /// Three hosts, one LUN, one guest: watch it survive
    Demo(Demo),
    /// Run the engine in a simulated cluster with every fault there is, over many seeds
    Torture(Torture),
    /// The guest of the plain demo
    #[command(hide = true)]
    GuestCounter {
        /// The LUN's name
        #[arg(long)]
        lun: String,
        /// Where each write is noted
        #[arg(long)]
        write_logs: PathBuf,
    },
}

/// `quorate init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The directory to write to; made if it is missing
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// The cluster's name
    #[arg(long, default_value = "cluster")]
    pub name: String,
    /// A node and where it listens, as n1=10.0.0.1:7400; once for each node [default: three nodes
    /// on this machine, to try it out]
    #[arg(long = "node", value_name = "NAME=HOST:PORT", value_parser = node_address)]
    pub nodes: Vec<(String, String)>,
    /// A directory on storage that all nodes share, for the example in it [default: DIR/shared]
    #[arg(long)]
    pub shared: Option<PathBuf>,
}

/// `quorate check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The file
    #[arg(default_value = "cluster.toml")]
    pub file: PathBuf,
    /// Tell also what has no place after each loss of so many nodes, 4 at most
    #[arg(long, value_name = "NODES", value_parser = clap::value_parser!(u32).range(1..=4))]
    pub losses: Option<u32>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// `quorate import`.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Of Pacemaker
    Pacemaker {
        /// The CIB, as `cibadmin --query` writes it
        #[arg(value_name = "CIB.XML")]
        file: PathBuf,
        /// Where it goes
        #[command(flatten)]
        options: ImportOptions,
    },
    /// Of Proxmox VE
    Proxmox {
        /// A directory like /etc/pve/ha: with resources.cfg, groups.cfg, rules.cfg and manager_status;
        /// datacenter.cfg and corosync.conf in it or above it
        dir: PathBuf,
        /// Where it goes
        #[command(flatten)]
        options: ImportOptions,
    },
}

/// Where what is imported goes.
#[derive(Debug, Args)]
pub struct ImportOptions {
    /// A new file for it [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write it as JSON
    #[arg(long)]
    pub json: bool,
    /// Write a scenario in its place, for `quorate simulate`: what would become of that cluster here, as it was found?
    #[arg(long, conflicts_with = "json")]
    pub scenario: bool,
    /// How to tell, on standard error, what is not in it
    #[arg(long, value_enum, default_value_t = ReportForm::Text)]
    pub report: ReportForm,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    /// A line a finding
    Text,
    /// One JSON object
    Json,
}

/// `quorate run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Which node of the configuration this is
    #[arg(long)]
    pub node: String,
    /// The configuration
    #[arg(long, default_value = "cluster.toml", env = "QUORATE_CONFIG")]
    pub config: PathBuf,
    /// The directory of the node's log and sockets [default: state/NODE beside the configuration]
    #[arg(long)]
    pub state: Option<PathBuf>,
    /// The file with the cluster key [default: the key itself in the variable QUORATE_KEY, else the file cluster.key
    /// beside the configuration]
    #[arg(long)]
    pub key: Option<PathBuf>,
    /// Print notices as JSON, one a line
    #[arg(long)]
    pub json: bool,
    /// How long moving everything away may take after the first Ctrl-C, in seconds
    #[arg(long, default_value_t = 60)]
    pub leave_timeout: u64,
}

/// Which running node to ask.
#[derive(Debug, Args)]
pub struct Ask {
    /// The configuration that the node was started with
    #[arg(long, default_value = "cluster.toml", env = "QUORATE_CONFIG")]
    pub config: PathBuf,
    /// The node to ask [default: any that runs here]
    #[arg(long = "at", value_name = "NODE")]
    pub at: Option<String>,
    /// The state directory of the node to ask
    #[arg(long, conflicts_with = "at")]
    pub state: Option<PathBuf>,
}

/// `quorate status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    /// Show it again twice a second, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// Which node to ask
    #[command(flatten)]
    pub ask: Ask,
}

/// `quorate what-if`.
#[derive(Debug, Args)]
pub struct WhatIf {
    /// What is lost at one instant: nodes:K, networks:K or luns:K for every case of K of them, or
    /// names, as in: --lose n1 disk1 network0, or --lose "n1, disk1"
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',', value_name = "WHAT")]
    pub lose: Vec<Lose>,
    /// Ask about a saved situation, as `quorate status --json` wrote it [default: that which a
    /// running node sees]
    #[arg(long, value_name = "FILE")]
    pub status: Option<PathBuf>,
    /// Ask about a cluster in which every node runs and every group is where placement puts it
    #[arg(long, conflicts_with = "status")]
    pub all_up: bool,
    /// How long a guest takes to start, in seconds: part of every outage
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub start_time: f64,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    /// Which node to ask
    #[command(flatten)]
    pub ask: Ask,
}

/// `quorate replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The recording: a .qrec file in `recordings` of a node's state directory
    pub file: PathBuf,
    /// Stop before the first step that is later than this, in seconds since the node's start
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub until: Option<Duration>,
    /// Stop after this step, or after the first notice of this kind, as down, assigned, lease_lost
    #[arg(long, value_name = "STEP|KIND")]
    pub stop_at: Option<StopAt>,
    /// Tell every step, also heartbeats and ticks that decide nothing
    #[arg(long)]
    pub all: bool,
    /// Tell no steps, only the verdict
    #[arg(long)]
    pub quiet: bool,
    /// Answer in JSON: a line a step, and the report as the last
    #[arg(long)]
    pub json: bool,
    /// Write the picture of it to this file, a page that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `quorate simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// The scenarios: JSON, or TOML where the name ends in .toml
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The seed of every delay; the same seed gives the same run
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Hold the outcome against what the file expects, too: exit code 1 where it is otherwise, and where the scenario
    /// is skipped; 2 where it expects what cannot be
    #[arg(long)]
    pub check: bool,
    /// Where every event and every decision goes, a line each
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Where the run goes as one HTML page; of several scenarios, that of the last one named
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `quorate demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// A process on a shared directory instead of a QEMU guest on an iSCSI LUN: needs no package
    #[arg(long)]
    pub plain: bool,
    /// Use loopback addresses even where namespaces are permitted: nothing can be cut then
    #[arg(long)]
    pub loopback: bool,
    /// The timing: with fast a silent node is down after 0.5 s, with default after 2 s
    #[arg(long, default_value = "fast", value_parser = ["fast", "default"])]
    pub profile: String,
    /// How often each move is made
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// Print the figures as JSON instead of the picture
    #[arg(long)]
    pub json: bool,
    /// A file for the figures, as JSON [default: they are shown and not kept]
    #[arg(long)]
    pub summary: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches('s').parse::<f64>().map_err(|error| error.to_string())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

fn node_address(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, address)) if !name.is_empty() && address.contains(':') => {
            Ok((name.to_owned(), address.to_owned()))
        }
        _ => Err("write NAME=HOST:PORT, as in n1=10.0.0.1:7400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent_and_its_help_names_the_exit_codes() {
        Arguments::command().debug_assert();
        let help = Arguments::command().render_help().to_string();
        assert!(help.contains("Exit codes:") && !help.contains("guest-counter"), "{help}");
    }

    #[test]
    fn a_node_is_a_name_and_an_address() {
        assert_eq!(node_address("n1=h:1"), Ok(("n1".into(), "h:1".into())));
        for wrong in ["n1", "=h:1", "n1=h"] {
            assert!(node_address(wrong).is_err(), "{wrong}");
        }
    }
}
