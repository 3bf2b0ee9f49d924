//! A laboratory on one machine: three hosts, one LUN, one guest, and faults at will.
//!
//! The demo and the end-to-end tests run their stories in it. Its hosts are network namespaces, its
//! LUN a real iSCSI target, its guest a QEMU machine whose firmware counts on its disk; each node
//! is the `quorate` command as a user runs it. Everything ends with the [`Lab`], whatever way it
//! ends: processes die with the thread that started them, namespaces with their processes.

mod claim;
pub mod error;
mod follow;
pub mod ground;
mod moment;
mod network;
mod parts;
mod serial;
mod target;
#[cfg(test)]
mod testing;
pub mod wait;
pub mod watch;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub use error::LabError;
pub use ground::Ground;
pub use moment::{Moment, tenths_ms};
pub use network::Wire;
pub use parts::{LUN_BYTES, Parts, RECORDS_FILE};
pub use serial::GuestLine;
pub use watch::{NoticeLine, Observe, Seen, Sighting, Watch};

use crate::control::{Client, Request};
use network::Network;
use parts::Built;

/// The group that the lab makes highly available.
pub const GROUP: &str = "vm1";
/// Its LUN.
pub const LUN: &str = "disk1";
/// Its one resource.
pub const RESOURCE: &str = "guest";
/// How long a cluster may take to come to what is expected of it, in the worst case.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long the last lines of what has ended are waited for: many looks of the one who follows
/// them.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// If it is set, the lab's directory is left behind, to look into after a failure.
const KEEP: &str = "QUORATE_LAB_KEEP";

/// What a lab is to be like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The `quorate` command.
    pub program: PathBuf,
    /// What guest and LUN are made of.
    pub parts: Parts,
    /// The profile of the timing: `fast` or `default`.
    pub profile: String,
    /// Further environment variables for the nodes.
    pub environment: Vec<(String, String)>,
}

/// What the lab did to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It was started.
    Started,
    /// Everything on its host was killed at once.
    Killed,
    /// It was asked to leave.
    AskedToLeave,
    /// The guest's process alone was killed.
    GuestKilled,
    /// Everything on its host stands still.
    Paused,
    /// It goes on.
    Woken,
    /// A cable was pulled.
    Cut(Wire),
    /// A cable was plugged in again.
    Healed(Wire),
    /// Somebody asked for a move to this node.
    MoveAsked,
}

/// The lab. Dropped, nothing of it is left.
#[derive(Debug)]
pub struct Lab {
    plan: Plan,
    nodes: Vec<NodeProcess>,
    network: Network,
    watch: Watch,
    built: Built,
    directory: tempfile::TempDir,
    _claim: File,
}

#[derive(Debug)]
struct NodeProcess {
    name: String,
    child: Option<Child>,
}

impl Lab {
    /// Builds networks, LUN and guest; no node runs yet. The observer is told of everything seen.
    ///
    /// Call it from the thread that outlives the lab: its processes die with that thread.
    ///
    /// # Errors
    /// What is missing here, or what went wrong.
    pub fn build(plan: Plan, ground: Ground, observer: Box<dyn Observe>) -> Result<Self, LabError> {
        let failed = |error| LabError::system("no temporary directory", error);
        claim::sweep(&std::env::temp_dir());
        let directory = tempfile::Builder::new().prefix(claim::PREFIX).tempdir().map_err(failed)?;
        let claim = claim::claim(directory.path()).map_err(failed)?;
        let names: Vec<String> = (1..=3).map(|number| format!("n{number}")).collect();
        let network = Network::build(ground, &names)?;
        let built = Built::new(plan.parts, &plan.program, &network, directory.path())?;
        parts::write_config(directory.path(), &built, &network, &names, &plan.profile)?;
        let files: Vec<_> = names.iter().map(|name| built.files(directory.path(), name)).collect();
        let watch = Watch::start(&files, observer);
        let nodes = names.into_iter().map(|name| NodeProcess { name, child: None }).collect();
        Ok(Self { plan, nodes, network, watch, built, directory, _claim: claim })
    }

    /// What was seen.
    pub fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    /// Everything seen so far.
    #[must_use]
    pub fn sightings(&self) -> &[Sighting] {
        self.watch.all()
    }

    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// A node's name.
    #[must_use]
    pub fn name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    /// Whether cables can be pulled here.
    #[must_use]
    pub fn can_cut(&self) -> bool {
        self.network.can_cut()
    }

    /// The file with the bytes of the LUN.
    #[must_use]
    pub fn lun_bytes(&self) -> PathBuf {
        self.built.bytes()
    }

    /// The logs of each write, one for each node.
    #[must_use]
    pub fn write_logs(&self) -> Vec<PathBuf> {
        self.nodes.iter().map(|node| parts::write_log(self.directory.path(), &node.name)).collect()
    }

    /// The cluster's configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("cluster.toml")
    }

    /// Starts every node and waits until the guest ticks. Gives its node.
    ///
    /// # Errors
    /// [`LabError::TooLate`] when it does not, with what was seen.
    pub fn start_all(&mut self) -> Result<usize, LabError> {
        for node in 0..self.nodes.len() {
            self.start_node(node)?;
        }
        self.watch.until("the guest's first tick", 0, PATIENCE, |seen| {
            seen.iter().find(|sighting| sighting.tick().is_some()).map(|first| first.node)
        })
    }

    /// Starts a node, as a user would.
    ///
    /// # Errors
    /// What the system said.
    pub fn start_node(&mut self, node: usize) -> Result<(), LabError> {
        let name = self.nodes[node].name.clone();
        let home = self.directory.path().join(&name);
        let failed = |error| LabError::system(format!("cannot start node {name}"), error);
        std::fs::create_dir_all(&home).map_err(failed)?;
        let output = File::options()
            .create(true)
            .append(true)
            .open(parts::output(self.directory.path(), &name))
            .map_err(failed)?;
        let program = self.plan.program.to_string_lossy();
        let mut command = self.network.command(&name, &program);
        command
            .args(["run", "--json", "--node", &name, "--config"])
            .arg(self.config())
            .arg("--state")
            .arg(&home)
            .env("QUORATE_WRITE_LOG", parts::write_log(self.directory.path(), &name))
            .env_remove("QUORATE_KEY")
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output);
        for (variable, value) in &self.plan.environment {
            command.env(variable, value);
        }
        // Ctrl-C in the terminal is for the lab alone.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        self.nodes[node].child = Some(command.spawn().map_err(failed)?);
        self.watch.note(Moment::now(), node, Fault::Started);
        Ok(())
    }

    /// Kills everything on the node's host at once.
    ///
    /// # Errors
    /// When something does not die.
    pub fn kill_node(&mut self, node: usize) -> Result<Moment, LabError> {
        let NodeProcess { name, child } = &mut self.nodes[node];
        let Some(mut child) = child.take() else { return Ok(Moment::now()) };
        let at = self.network.kill_host(name, child.id())?;
        let _ = child.wait();
        self.watch.note(at, node, Fault::Killed);
        Ok(at)
    }

    /// Ends every node at once, and takes in what was said last: nothing is under way then.
    ///
    /// # Errors
    /// When something does not die.
    pub fn end(&mut self) -> Result<(), LabError> {
        for NodeProcess { name, child } in &mut self.nodes {
            if let Some(mut child) = child.take() {
                self.network.kill_host(name, child.id())?;
                let _ = child.wait();
            }
        }
        self.watch.linger(LAST_WORDS)
    }

    /// Asks a node to leave, as a user with Ctrl-C or a service manager would, and waits until it has.
    ///
    /// # Errors
    /// [`LabError::TooLate`] when it does not end, [`LabError::Failed`] when it did not end well.
    pub fn leave(&mut self, node: usize) -> Result<(), LabError> {
        let NodeProcess { name, child } = &mut self.nodes[node];
        let Some(mut child) = child.take() else { return Ok(()) };
        let failed = |error| LabError::system(format!("cannot signal {name}"), error);
        let at = Moment::now();
        kill_process(Pid::from_child(&child), Signal::TERM).map_err(|e| failed(e.into()))?;
        self.watch.note(at, node, Fault::AskedToLeave);
        let name = self.nodes[node].name.clone();
        let ended = self
            .watch
            .until(&format!("{name}'s end"), 0, PATIENCE, |_| child.try_wait().ok().flatten());
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(LabError::Failed { what: name, said: status.to_string() }),
            Err(error) => {
                self.nodes[node].child = Some(child);
                Err(error)
            }
        }
    }

    /// Lets everything on the node's host stand still, as a machine that is paused.
    ///
    /// # Errors
    /// When something cannot be stopped.
    pub fn pause(&mut self, node: usize) -> Result<Moment, LabError> {
        self.signal(node, Signal::STOP, Fault::Paused)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When something cannot be woken.
    pub fn wake(&mut self, node: usize) -> Result<Moment, LabError> {
        self.signal(node, Signal::CONT, Fault::Woken)
    }

    fn signal(&mut self, node: usize, signal: Signal, fault: Fault) -> Result<Moment, LabError> {
        let NodeProcess { name, child } = &self.nodes[node];
        let at = self.network.signal_host(name, child.as_ref().map_or(0, Child::id), signal)?;
        self.watch.note(at, node, fault);
        Ok(at)
    }

    /// Kills the guest's process alone.
    ///
    /// # Errors
    /// When there is none, or it does not die.
    pub fn kill_guest(&mut self, node: usize) -> Result<Moment, LabError> {
        let NodeProcess { name, child } = &self.nodes[node];
        let root = child.as_ref().map_or(0, Child::id);
        let at = self.network.kill_program(name, root, self.built.guest_program())?;
        self.watch.note(at, node, Fault::GuestKilled);
        Ok(at)
    }

    /// Pulls a cable of the node's host.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn cut(&mut self, node: usize, wire: Wire) -> Result<Moment, LabError> {
        let at = self.network.cut(&self.nodes[node].name, wire)?;
        self.watch.note(at, node, Fault::Cut(wire));
        Ok(at)
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn heal(&mut self, node: usize, wire: Wire) -> Result<Moment, LabError> {
        let at = self.network.heal(&self.nodes[node].name, wire)?;
        self.watch.note(at, node, Fault::Healed(wire));
        Ok(at)
    }

    /// Asks for a planned move of the guest to `node`, at that node.
    ///
    /// # Errors
    /// Why the cluster refused it.
    pub fn move_to(&mut self, node: usize) -> Result<Moment, LabError> {
        let to = Some(self.nodes[node].name.clone());
        let at = Moment::now();
        self.watch.note(at, node, Fault::MoveAsked);
        self.ask(node, &Request::Move { group: GROUP.to_owned(), to })?;
        Ok(at)
    }

    /// Asks a node something through its control socket.
    ///
    /// # Errors
    /// What it answered, or that it does not.
    pub fn ask(&self, node: usize, request: &Request) -> Result<Value, LabError> {
        let name = &self.nodes[node].name;
        let state = self.directory.path().join(name);
        Client::connect(&state).and_then(|client| client.ask(request)).map_err(|error| {
            LabError::Failed { what: format!("node {name}"), said: error.to_string() }
        })
    }

    /// The directory of everything, for what a story wants to look at.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::env::var_os(KEEP).is_some() {
            self.directory.disable_cleanup(true);
            claim::keep(self.directory.path());
            eprintln!("kept {}", self.directory.path().display());
        }
        for NodeProcess { name, child } in &mut self.nodes {
            if let Some(mut child) = child.take() {
                // What could not be killed here dies with this thread.
                let _ = self.network.kill_host(name, child.id());
                let _ = child.wait();
            }
        }
    }
}
