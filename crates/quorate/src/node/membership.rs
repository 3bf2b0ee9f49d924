//! Nodes that come into a running cluster, and go.

use quorate_core::config::NewNode as CoreNode;
use quorate_core::message::Command;

use super::Node;
use crate::Error;
use crate::config::{Config, NewNode};
use crate::item::Ticket;

impl Node {
    /// Takes a node into the cluster. It joins when it is started with the key and a file that names it, as
    /// [`Node::configuration`] gives it from then on; it runs groups once it is there, and votes, if it is to, once it
    /// has caught up.
    ///
    /// # Errors
    /// [`Error::Config`], or as [`Node::configuration`].
    pub fn add_node(&self, new: &NewNode) -> Result<Ticket, Error> {
        let (cluster, departed) = self.inner.look("the configuration", |engine| {
            let database = engine.database()?;
            Some((database.config().clone(), database.newest_departed()))
        })?;
        let node = new.numbered(&Config::from_cluster(&cluster)?, departed)?;
        self.inner.command(Command::AddNode(Box::new(CoreNode { node, only_if: None })))
    }

    /// Takes a node out of the cluster for ever: its vote first, then itself. It hears of it, if it can be reached,
    /// and ends. Refused while it has a group: drain it before; while it is down and not proven harmless; and where
    /// the rest would be no majority. The answer says that it has begun: it is gone when the status names it no more.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn evict_node(&self, node: &str) -> Result<Ticket, Error> {
        self.inner.command(Command::EvictNode { node: node.to_owned() })
    }
}
