//! A whole cluster in virtual time, inside the tests of a host.
//!
//! Everything of [`quorate_sim::testing`], and a [`crate::Resource`] in it as it is:
//!
//! ```
//! use quorate::testing::{Cluster, OnEachNode};
//! use quorate::{Request, Resource};
//!
//! struct Counter;
//!
//! impl Resource for Counter {
//!     fn start(&self, request: &Request) -> Result<(), String> {
//!         if request.luns.is_empty() { Err("it has no LUN".to_owned()) } else { Ok(()) }
//!     }
//!     fn stop(&self, _: &Request) -> Result<(), String> {
//!         Ok(())
//!     }
//!     fn kill(&self, _: &Request) -> Result<(), String> {
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), quorate::testing::Error> {
//! let mut cluster = Cluster::new(3, 7)?;
//! cluster.serve("vm1", OnEachNode::new(|_node| Counter))?;
//! cluster.settle()?;
//! let first = cluster.owner_of("vm1")?.expect("it runs");
//! cluster.crash(&first)?;
//! cluster.settle()?;
//! assert!(cluster.owner_of("vm1")?.is_some_and(|owner| owner != first));
//! # Ok(())
//! # }
//! ```
//!
//! A cluster.toml gives one by `Cluster::of(config.cluster().clone(), seed)`.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use quorate_sim::testing::*;

use quorate_core::config::{ConfigError as CoreError, NewConfig};
use quorate_sim::what_if;

use crate::config::{Config, ConfigError};
use crate::item::{LunAccess, OpId};
use crate::notice::Stamp;
use crate::resource::Resource;

/// A [`Resource`] of a host on every node of a test cluster: an object on each, made anew when the
/// process of its node has ended.
///
/// Its methods are called in virtual time, on the thread that runs the cluster, and take no time
/// unless [`Cluster::takes`] says how much.
pub struct OnEachNode<R, F> {
    make: F,
    dir: PathBuf,
    objects: BTreeMap<String, R>,
}

impl<R: Resource, F: FnMut(&str) -> R + Send> OnEachNode<R, F> {
    /// Objects that `make` makes for the node of a name.
    pub fn new(make: F) -> Self {
        Self { make, dir: PathBuf::from("test-cluster"), objects: BTreeMap::new() }
    }

    /// Where LUNs and saved states are said to be: `DIR/LUN` and `DIR/state-NAME`. Nothing is made
    /// there. Default: `test-cluster`.
    #[must_use]
    pub fn in_dir(self, dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..self }
    }
}

impl<R: Resource, F: FnMut(&str) -> R + Send> Served for OnEachNode<R, F> {
    fn carry_out(&mut self, request: &Request) -> Reply {
        let asked = real_request(request, &self.dir);
        let make = || (self.make)(&request.node);
        let object = self.objects.entry(request.node.clone()).or_insert_with(make);
        let result = match request.verb {
            Verb::Start => object.start(&asked),
            Verb::Load => object.load(&asked),
            Verb::Run => object.run(&asked),
            Verb::Save => object.save(&asked),
            Verb::Stop => object.stop(&asked),
            Verb::Kill => object.kill(&asked),
        };
        result.into()
    }

    fn gone(&mut self, node: &str) {
        self.objects.remove(node);
    }
}

/// Brings a configuration into force in a test cluster, in place of version `only_if`, or of whichever is in force.
/// What has no number in it keeps the one that it has.
///
/// # Errors
/// [`Error::Config`], or as [`Cluster::command`].
pub fn apply(
    cluster: &mut Cluster,
    next: &Config,
    reason: &str,
    only_if: Option<u64>,
) -> Result<(), Error> {
    let wrong = |error: ConfigError| {
        Error::Config(CoreError::new(error.place, error.problem, error.remedy))
    };
    // A cluster that was made without a configuration has drivers that no file can name.
    let next = match Config::from_cluster(cluster.config()) {
        Ok(current) => next.following_after(&current, cluster.groups_passed()).map_err(wrong)?,
        Err(_) => next.clone(),
    };
    let parts = next.cluster().parts().clone();
    cluster.configure(NewConfig { parts, only_if, reason: reason.to_owned(), unix_ms: 0 })
}

/// A request of a test cluster as a node would make it, with LUNs and states in `dir`.
pub fn real_request(request: &Request, dir: &std::path::Path) -> crate::Request {
    let lun = |name: &String| LunAccess {
        name: name.clone(),
        path: dir.join(name),
        is_nbd: false,
        size_bytes: None,
    };
    crate::Request {
        op: OpId(request.id.0),
        resource: request.resource.clone(),
        group: request.group.clone(),
        verb: real_verb(request.verb),
        epoch: request.epoch,
        timeout: request.timeout,
        state: request.state.as_ref().map(|name| dir.join(format!("state-{name}"))),
        luns: request.luns.iter().map(lun).collect(),
        settings: request.settings.clone(),
    }
}

/// A status of a test cluster as a node would give it, `at` after the cluster's beginning.
pub fn real_status(status: Status, at: std::time::Duration) -> crate::Status {
    let boottime_ns = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    crate::Status {
        at: Stamp { boottime_ns, unix_us: boottime_ns / 1_000 },
        cluster: status.cluster,
        node: status.node,
        boot: status.boot,
        session: status.session,
        member: status.member,
        coordinator: status.coordinator,
        epoch: status.epoch,
        quorum: status.quorum,
        votes: status.votes,
        witness: status.witness,
        lease_left_ms: status.lease_left_ms,
        applied: status.applied,
        cluster_ms: status.cluster_ms,
        disarmed: status.disarmed,
        disarm_left_ms: status.disarm_left_ms,
        config_version: status.config_version,
        config_differs: status.config_differs,
        nodes: status.nodes,
        groups: status.groups,
        dropped: BTreeMap::new(),
        queue_full: BTreeMap::new(),
    }
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Config(error) => ConfigError::from(error).into(),
            Error::Unknown { kind, name, known } => crate::Error::Unknown { kind, name, known },
            Error::TimedOut { what, after, last } => {
                let last = last.join("; ");
                let what = format!("{what}, in virtual time (what happened last: {last}),");
                crate::Error::TimedOut { what, after }
            }
            Error::Refused(refusal) => refusal.into(),
            Error::Violation(violation) => crate::Error::Violation(violation.to_string()),
            other => crate::Error::Misuse(other.to_string()),
        }
    }
}

impl From<what_if::Error> for crate::Error {
    fn from(error: what_if::Error) -> Self {
        match error {
            what_if::Error::Cluster(error) => error.into(),
            other => crate::Error::Misuse(other.to_string()),
        }
    }
}

fn real_verb(verb: Verb) -> crate::Verb {
    match verb {
        Verb::Start => crate::Verb::Start,
        Verb::Load => crate::Verb::Load,
        Verb::Run => crate::Verb::Run,
        Verb::Save => crate::Verb::Save,
        Verb::Stop => crate::Verb::Stop,
        Verb::Kill => crate::Verb::Kill,
    }
}
