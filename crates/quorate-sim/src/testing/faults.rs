//! What a test does to its cluster. Everything holds until it is undone; nothing comes back by itself.

use std::time::Duration;

use quorate_core::id::{LunId, NodeId, PathId};

use super::{Cluster, Error};
use crate::fault::Link;
use crate::host::Pause;
use crate::world::Direction;

impl Cluster {
    /// Kills the process of a node: what runs there dies with it. [`Cluster::start`] starts it again.
    ///
    /// # Errors
    /// [`Error::Unknown`], as for all of these.
    pub fn crash(&mut self, node: &str) -> Result<(), Error> {
        let node = self.node(node)?;
        self.world.crash(node);
        Ok(())
    }

    /// Takes the power of a node's host.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn power_off(&mut self, node: &str) -> Result<(), Error> {
        let node = self.node(node)?;
        self.world.power_off(node);
        Ok(())
    }

    /// Gives a node's host power if it has none, and starts its process if none runs.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn start(&mut self, node: &str) -> Result<(), Error> {
        let node = self.node(node)?;
        self.world.switch_on(node);
        Ok(())
    }

    /// Asks a node to leave in order: what runs there moves away, then its process ends.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn leave(&mut self, node: &str) -> Result<(), Error> {
        let node = self.node(node)?;
        self.world.ask_to_leave(node);
        Ok(())
    }

    /// Stops a node's process for some time, as SIGSTOP does: its guests run on, but what their I/O needs of the
    /// process stands still. If nothing but time protects what runs there, the host's watchdog resets it.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn pause(&mut self, node: &str, length: Duration) -> Result<(), Error> {
        let node = self.node(node)?;
        self.world.stand_still(node, Pause::Whole, length);
        Ok(())
    }

    /// Lets only the engine of a node hang for some time; the I/O of its guests goes on.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn hang_engine(&mut self, node: &str, length: Duration) -> Result<(), Error> {
        let node = self.node(node)?;
        self.world.stand_still(node, Pause::Engine, length);
        Ok(())
    }

    /// Cuts a node off all others, on every network. Its way to storage stays.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn cut(&mut self, node: &str) -> Result<(), Error> {
        self.cut_links(&format!("{node} is cut off"), Direction::Both, node, None)
    }

    /// Lets nothing that a node says be heard; it still hears the others.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn mute(&mut self, node: &str) -> Result<(), Error> {
        self.cut_links(&format!("{node} is not heard"), Direction::Out, node, None)
    }

    /// Lets a node hear nothing; it is still heard.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn deafen(&mut self, node: &str) -> Result<(), Error> {
        self.cut_links(&format!("{node} hears nothing"), Direction::In, node, None)
    }

    /// Cuts a node off one network, counted from 0.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn cut_network(&mut self, node: &str, network: u8) -> Result<(), Error> {
        let path = self.network(network)?;
        let what = format!("{node} is cut off network {network}");
        self.cut_links(&what, Direction::Both, node, Some(path))
    }

    /// Lets one network, counted from 0, fail for all nodes.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn lose_network(&mut self, network: u8) -> Result<(), Error> {
        let path = self.network(network)?;
        let nodes: Vec<NodeId> = self.config().nodes().iter().map(|node| node.id).collect();
        let links: Vec<Link> = nodes
            .into_iter()
            .flat_map(|node| self.world.links_of(node, Direction::Out, Some(path)))
            .collect();
        self.world.cut(&format!("network {network} fails"), links);
        Ok(())
    }

    /// Cuts two nodes off each other, on every network.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn cut_between(&mut self, one: &str, other: &str) -> Result<(), Error> {
        let (first, second) = (self.node(one)?, self.node(other)?);
        let links = self.world.links_between(first, second, Direction::Both, None);
        self.world.cut(&format!("{one} and {other} are cut off each other"), links);
        Ok(())
    }

    /// Splits the cluster: these nodes on one side, all others on the other.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn split(&mut self, side: &[&str]) -> Result<(), Error> {
        let nodes = side.iter().map(|node| self.node(node)).collect::<Result<Vec<_>, _>>()?;
        let links = self.world.links_across(&nodes);
        self.world.cut(&format!("{} are split from the others", side.join(", ")), links);
        Ok(())
    }

    /// Mends every link of a node.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn mend(&mut self, node: &str) -> Result<(), Error> {
        let node = self.node(node)?;
        let links = self.world.links_of(node, Direction::Both, None);
        self.world.mend(links);
        Ok(())
    }

    /// Cuts the way of a node to a LUN; without one, to all.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn cut_storage(&mut self, node: &str, lun: Option<&str>) -> Result<(), Error> {
        let (node, luns) = (self.node(node)?, self.luns(lun)?);
        self.world.storage_off(node, &luns);
        Ok(())
    }

    /// Mends the way of a node to a LUN; without one, to all.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn mend_storage(&mut self, node: &str, lun: Option<&str>) -> Result<(), Error> {
        let (node, luns) = (self.node(node)?, self.luns(lun)?);
        self.world.storage_on(node, &luns);
        Ok(())
    }

    /// Lets a node reach the witness no more; without one, all nodes.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn cut_witness(&mut self, node: Option<&str>) -> Result<(), Error> {
        self.nodes(node)?.into_iter().for_each(|node| self.world.witness_off(node));
        Ok(())
    }

    /// Lets a node reach the witness again; without one, all nodes.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn mend_witness(&mut self, node: Option<&str>) -> Result<(), Error> {
        self.nodes(node)?.into_iter().for_each(|node| self.world.witness_on(node));
        Ok(())
    }

    /// Lets what runs of a group die where it runs.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn kill_guest(&mut self, group: &str) -> Result<(), Error> {
        let group = self.group_id(group)?;
        self.world.guest_ends(group);
        Ok(())
    }

    /// Lets the next `count` starts of a resource fail on a node; without one, on each.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn fail_starts(
        &mut self,
        resource: &str,
        node: Option<&str>,
        count: u32,
    ) -> Result<(), Error> {
        let resource = self.resource(resource)?;
        for node in self.nodes(node)? {
            self.world.starts_fail(node, resource, count);
        }
        Ok(())
    }

    /// Lets a resource hang when it is next asked to stop, on every node: it must be killed.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn hang_at_stop(&mut self, resource: &str) -> Result<(), Error> {
        let resource = self.resource(resource)?;
        for node in self.nodes(None)? {
            self.world.hang_at_stop(node, resource);
        }
        Ok(())
    }

    /// Mends all links and ways to storage and to the witness, ends all pauses, switches every host on and starts every
    /// process. Starts that were to fail succeed again.
    pub fn heal(&mut self) {
        self.world.mend_all();
        let luns: Vec<LunId> = self.config().luns().iter().map(|lun| lun.id).collect();
        let resources: Vec<_> = self
            .config()
            .groups()
            .iter()
            .flat_map(|group| &group.resources)
            .map(|r| r.id)
            .collect();
        for node in self.nodes(None).unwrap_or_default() {
            self.world.storage_on(node, &luns);
            self.world.witness_on(node);
            self.world.go_on(node);
            self.world.switch_on(node);
            for &resource in &resources {
                self.world.starts_fail(node, resource, 0);
            }
        }
    }

    fn cut_links(
        &mut self,
        what: &str,
        direction: Direction,
        node: &str,
        path: Option<PathId>,
    ) -> Result<(), Error> {
        let id = self.node(node)?;
        let links = self.world.links_of(id, direction, path);
        self.world.cut(what, links);
        Ok(())
    }

    fn network(&self, network: u8) -> Result<PathId, Error> {
        let count = self.config().nodes().first().map_or(0, |node| node.addresses.len());
        if usize::from(network) < count {
            return Ok(PathId(network));
        }
        let known: Vec<String> = (0..count).map(|known| known.to_string()).collect();
        let known = known.iter().map(String::as_str).collect();
        Err(Error::unknown("network", &network.to_string(), known))
    }

    fn nodes(&self, only: Option<&str>) -> Result<Vec<NodeId>, Error> {
        match only {
            Some(node) => Ok(vec![self.node(node)?]),
            None => Ok(self.config().nodes().iter().map(|node| node.id).collect()),
        }
    }

    fn luns(&self, only: Option<&str>) -> Result<Vec<LunId>, Error> {
        match only {
            Some(lun) => Ok(vec![self.lun(lun)?]),
            None => Ok(self.config().luns().iter().map(|lun| lun.id).collect()),
        }
    }
}
