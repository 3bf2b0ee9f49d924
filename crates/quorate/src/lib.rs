//! High availability as a library: membership, quorum, LUN locks, failover.
//!
//! A [`Node`] is one node of a cluster, inside a program of yours: a management tool, a
//! hypervisor's agent, an appliance. Each host runs one, with the same [`Config`] and the same
//! [`ClusterKey`]. They find each other, agree who coordinates, and keep every group online on one
//! of them: when a host dies, its groups are started on another, as soon as it is proven that the
//! old owner can no longer write.
//!
//! ```no_run
//! use std::time::Duration;
//! use quorate::{ClusterKey, Config, Item, Node, NodeOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::from_file("cluster.toml".as_ref())?;
//! let key = ClusterKey::from_file("cluster.key".as_ref())?;
//! let node = Node::start(NodeOptions::new(config, "n1", "/var/lib/quorate/n1", key))?;
//! loop {
//!     node.wait(Duration::from_secs(1))?;
//!     while let Some(item) = node.take()? {
//!         if let Item::Notice(notice) = item {
//!             println!("{notice}");
//!         }
//!     }
//! }
//! # }
//! ```
//!
//! # The poll interface
//! Nothing of quorate ever calls into a host. A host waits for [`Node::fd`] (or in [`Node::wait`])
//! and takes [`Item`]s: notices to read, answers to its commands, and [`Request`]s for resources
//! that it runs itself, which it answers with [`Node::complete`]. [`Node::serve`] puts a
//! [`Resource`] trait object on top. The same interface, under the same names, exists in C and
//! Python.
//!
//! # Testing against failover
//! With the feature `testing`, [`testing`] gives the tests of a host a whole cluster in virtual
//! time, and [`what_if`] says what the loss of nodes, networks or LUNs would come to.
//!
//! # What is safe to rely on
//! A node that may not act, stops what it runs: without quorum, with its lease over, with a broken
//! disk, after a panic of its engine ([`Error::Poisoned`]), and when this process dies.

// A node whose engine makes mistakes on purpose is no node.
const _: () = assert!(!quorate_core::plant::IS_POSSIBLE);

pub mod config;
pub mod drivers;
pub mod fence_agents;
pub mod import;
pub mod key;
#[doc(hidden)]
pub mod log;
pub mod lun;
#[doc(hidden)]
pub mod net;

#[cfg(feature = "testing")]
pub mod testing;
/// What if these were lost? The engine itself says, in the simulator.
#[cfg(feature = "testing")]
pub use quorate_sim::what_if;

mod clock;
mod error;
mod item;
mod node;
mod notice;
mod plan;
mod replay;
mod resource;
mod status;
mod why;

pub use config::{Config, ConfigError};
pub use error::Error;
pub use item::{Answer, Item, LunAccess, OpId, Refusal, Request, Ticket, Verb};
pub use key::{ClusterKey, KeyError};
pub use log::LogError;
pub use net::NetError;
pub use node::{
    Disarm, Explanation, Failback, InForce, LunWrite, Maintenance, Node, NodeOptions,
    RecordOptions, Version, WriteHook,
};
pub use notice::{Notice, NoticeKind, Stamp};
pub use plan::{Effect, Plan};
pub use replay::{Between, Progress, ReplayOptions, ReplayReport, ReplayStep, replay, replay_with};
pub use resource::Resource;
pub use status::{GroupStatus, NodeStatus, Status, WitnessStatus};
pub use why::{Conflict, Link, Loss, Survival, Why, WhyNot};
