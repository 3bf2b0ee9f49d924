//! A whole cluster in a test tube: for the tests of whoever embeds quorate.
//!
//! A [`Cluster`] is a configuration and a seed. Time in it is virtual: a minute of it takes milliseconds, and the same
//! seed gives the same run. What decides is the very engine of the product; hosts, networks, LUNs and guests are the
//! simulator's, and all of its checkers judge all of the time.
//!
//! ```
//! use std::time::Duration;
//! use quorate_sim::testing::Cluster;
//!
//! # fn main() -> Result<(), quorate_sim::testing::Error> {
//! let mut cluster = Cluster::new(3, 7)?;
//! cluster.settle()?;
//! let first = cluster.owner_of("vm1")?.expect("it runs");
//! cluster.cut(&first)?;
//! cluster.run_until(Duration::from_secs(60), |cluster| {
//!     cluster.owner_of("vm1").is_ok_and(|owner| owner.is_some_and(|owner| owner != first))
//! })?;
//! cluster.heal();
//! cluster.settle()?;
//! assert!(cluster.outage_of("vm1")? < Duration::from_secs(10));
//! # Ok(())
//! # }
//! ```
//!
//! A resource is played by the simulator's own guest, which writes to the LUNs of its group as fast as it can, until
//! the test serves it with one of its own ([`Cluster::serve`]) or answers for it by hand ([`Cluster::answer_for`]).

mod builder;
mod commands;
mod error;
mod faults;
mod outage;
mod serving;
mod settle;

use std::time::Duration;

use quorate_core::config::{ClusterConfig, GroupConfig};
use quorate_core::database::Database;
use quorate_core::id::{GroupId, LunId, NodeId, ResourceId};

pub use quorate_core::config::TimingInputs;
pub use quorate_core::message::Command;
pub use quorate_core::status::{Explanation, GroupStatus, NodeStatus, Status};

pub use crate::checker::Violation;
pub use crate::timeline::{Entry, Kind};
pub use builder::{Builder, Disk};
pub use error::Error;
pub use serving::{Reply, Request, RequestId, Served, Verb};

use crate::clock::Moment;
use crate::options::{Faults, Options};
use crate::picture::{Cast, Picture};
use crate::world::World;
use serving::Serving;

/// How often [`Cluster::run_until`] looks, in virtual time.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A cluster in virtual time. Nothing happens in it but while it is run.
pub struct Cluster {
    world: World,
    serving: Serving,
}

/// What a node's host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostState {
    /// Its process runs.
    Runs,
    /// Its process stands still.
    Paused,
    /// It has power, and its process does not run.
    Ended,
    /// It has no power.
    Off,
}

impl HostState {
    /// The word for it, the same in all languages.
    pub fn as_str(self) -> &'static str {
        match self {
            HostState::Runs => "runs",
            HostState::Paused => "paused",
            HostState::Ended => "ended",
            HostState::Off => "off",
        }
    }
}

impl Cluster {
    /// So many nodes, `n1` and on, and one group `vm1` with a LUN that refuses stale writers.
    ///
    /// # Errors
    /// [`Error::Config`]: so many nodes cannot be.
    pub fn new(nodes: u16, seed: u64) -> Result<Self, Error> {
        Self::builder().nodes(nodes).seed(seed).build()
    }

    /// A cluster to be described further.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The cluster of a configuration. Drivers and their settings are left aside.
    pub fn of(config: ClusterConfig, seed: u64) -> Self {
        let options = Options {
            faults: Faults::NONE,
            timeline: true,
            config: Some(config),
            ..Options::default()
        };
        let mut world = World::new(seed, &options);
        world.take_over();
        Self { world, serving: Serving::default() }
    }

    /// The configuration.
    pub fn config(&self) -> &ClusterConfig {
        self.world.config()
    }

    /// The greatest number that a group has had so far: what is new gets a greater one.
    pub fn groups_passed(&self) -> GroupId {
        let processes = self.world.hosts().filter_map(|host| host.process.as_ref());
        let databases = processes.filter_map(|process| process.engine.database());
        databases.map(Database::groups_passed).max().unwrap_or(GroupId(0))
    }

    /// How much time has passed since the hosts were switched on.
    pub fn now(&self) -> Duration {
        self.world.now().since(Moment::default())
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// [`Error::Violation`]: a promise of quorate was broken, and the world stands still for good.
    pub fn run(&mut self, length: Duration) -> Result<(), Error> {
        self.advance(self.world.now() + length)
    }

    /// Lets time pass until something is so; looks every 10 ms of virtual time.
    ///
    /// # Errors
    /// [`Error::TimedOut`] with what happened last, or [`Error::Violation`].
    pub fn run_until(
        &mut self,
        timeout: Duration,
        mut is_so: impl FnMut(&Cluster) -> bool,
    ) -> Result<(), Error> {
        let deadline = self.world.now() + timeout;
        while !is_so(self) {
            if self.world.now() >= deadline {
                return Err(self.timed_out("what was waited for", timeout));
            }
            self.advance(deadline.min(self.world.now() + LOOK_INTERVAL))?;
        }
        Ok(())
    }

    /// The node on which all of a group runs, in truth; of several, where a cut-off one goes on for a moment, the one
    /// that owns it. None: it runs nowhere as a whole.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn owner_of(&self, group: &str) -> Result<Option<String>, Error> {
        let running = self.running_on(group)?;
        let believed = || {
            let status = self.status()?;
            status.groups.into_iter().find(|one| one.name == group)?.owner
        };
        Ok(match running.len() {
            0 | 1 => running.into_iter().next(),
            _ => believed().filter(|owner| running.contains(owner)),
        })
    }

    /// Every node on which all of a group runs, in truth. Several: all but one are cut off, and their LUNs refuse them.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn running_on(&self, group: &str) -> Result<Vec<String>, Error> {
        let id = self.group(group)?.id;
        Ok(self.world.runs_on(id).into_iter().map(|node| self.node_name(node)).collect())
    }

    /// The newest view that any node has of the cluster; none: no node belongs to one.
    pub fn status(&self) -> Option<Status> {
        self.world.newest_status()
    }

    /// What a node believes; none: its process does not run, or stands still.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn status_of(&self, node: &str) -> Result<Option<Status>, Error> {
        Ok(self.world.status_of(self.node(node)?))
    }

    /// Why a node has a group where it is; none: it cannot say.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn explanation_of(&self, node: &str, group: &str) -> Result<Option<Explanation>, Error> {
        Ok(self.world.explain(self.node(node)?, self.group_id(group)?))
    }

    /// What a node's host does.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn host_state(&self, node: &str) -> Result<HostState, Error> {
        let host = self.world.host_of(self.node(node)?);
        Ok(match &host.process {
            _ if !host.up => HostState::Off,
            None => HostState::Ended,
            Some(process) if process.pause.is_some() => HostState::Paused,
            Some(_) => HostState::Runs,
        })
    }

    /// What really happened so far, in order.
    pub fn timeline(&self) -> &[Entry] {
        self.world.timeline().map_or(&[], |timeline| timeline.entries())
    }

    /// The promises of quorate that were broken: none, or the world stands still.
    pub fn violations(&self) -> &[Violation] {
        self.world.violations()
    }

    /// For how long a group has run nowhere in all, since it first ran.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn outage_of(&self, group: &str) -> Result<Duration, Error> {
        let name = &self.group(group)?.name;
        Ok(outage::total(self.timeline(), name, self.world.now()))
    }

    /// What really happened so far, as one self-contained HTML page.
    pub fn html(&self) -> String {
        let violations = self.violations().iter().map(ToString::to_string);
        let picture = Picture {
            title: format!("A test of the cluster {}", self.config().name()),
            remarks: violations.collect(),
            cast: Cast::of(self.config()),
            entries: self.timeline(),
            until: self.world.now(),
        };
        picture.html()
    }

    fn check(&self) -> Result<(), Error> {
        match self.violations().first() {
            Some(violation) => Err(Error::Violation(violation.clone())),
            None => Ok(()),
        }
    }

    fn timed_out(&self, what: &str, after: Duration) -> Error {
        const LAST: usize = 8;
        let entries = self.timeline();
        let last = &entries[entries.len().saturating_sub(LAST)..];
        let last = last.iter().map(ToString::to_string).collect();
        Error::TimedOut { what: what.to_owned(), after, last }
    }

    fn node(&self, name: &str) -> Result<NodeId, Error> {
        let nodes = self.config().nodes();
        let known = || nodes.iter().map(|node| node.name.as_str()).collect();
        let found = nodes.iter().find(|node| node.name == name);
        Ok(found.ok_or_else(|| Error::unknown("node", name, known()))?.id)
    }

    fn node_name(&self, id: NodeId) -> String {
        self.config().node(id).map_or_else(|| id.to_string(), |node| node.name.clone())
    }

    fn group(&self, name: &str) -> Result<&GroupConfig, Error> {
        let groups = self.config().groups();
        let known = || groups.iter().map(|group| group.name.as_str()).collect();
        let found = groups.iter().find(|group| group.name == name);
        found.ok_or_else(|| Error::unknown("group", name, known()))
    }

    fn group_id(&self, name: &str) -> Result<GroupId, Error> {
        self.group(name).map(|group| group.id)
    }

    fn lun(&self, name: &str) -> Result<LunId, Error> {
        let luns = self.config().luns();
        let known = || luns.iter().map(|lun| lun.name.as_str()).collect();
        let found = luns.iter().find(|lun| lun.name == name);
        Ok(found.ok_or_else(|| Error::unknown("lun", name, known()))?.id)
    }

    fn resource(&self, name: &str) -> Result<ResourceId, Error> {
        let mut all = self.config().groups().iter().flat_map(|group| &group.resources);
        let known = || all.clone().map(|resource| resource.name.as_str()).collect();
        let unknown = Error::unknown("resource", name, known());
        Ok(all.find(|resource| resource.name == name).ok_or(unknown)?.id)
    }
}
