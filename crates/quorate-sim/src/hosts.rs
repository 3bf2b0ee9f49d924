//! All hosts, by node. Every step looks for some of them, so each is found by its number at once.

use std::ops::Index;

use quorate_core::id::NodeId;

use crate::host::Host;

/// The hosts, in the order of their numbers.
#[derive(Default)]
pub struct Hosts {
    /// Each at the place that its number says.
    places: Vec<Option<Box<Host>>>,
}

impl Hosts {
    /// The host of a node.
    pub fn of(&self, node: &NodeId) -> Option<&Host> {
        self.places.get(usize::from(node.0))?.as_deref()
    }

    /// The host of a node, to be changed.
    pub fn of_mut(&mut self, node: &NodeId) -> Option<&mut Host> {
        self.places.get_mut(usize::from(node.0))?.as_deref_mut()
    }

    /// Adds a host, or puts it in the place of another.
    pub fn insert(&mut self, node: NodeId, host: Host) {
        let place = usize::from(node.0);
        if place >= self.places.len() {
            self.places.resize_with(place + 1, || None);
        }
        self.places[place] = Some(Box::new(host));
    }

    /// The nodes.
    pub fn keys(&self) -> impl Iterator<Item = &NodeId> {
        self.values().map(|host| &host.id)
    }

    /// The hosts.
    pub fn values(&self) -> impl Iterator<Item = &Host> {
        self.places.iter().filter_map(Option::as_deref)
    }

    /// The hosts, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Host> {
        self.places.iter_mut().filter_map(Option::as_deref_mut)
    }

    /// Each node with its host.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, &Host)> {
        self.values().map(|host| (&host.id, host))
    }
}

impl FromIterator<Host> for Hosts {
    fn from_iter<I: IntoIterator<Item = Host>>(hosts: I) -> Self {
        let mut all = Self::default();
        hosts.into_iter().for_each(|host| all.insert(host.id, host));
        all
    }
}

impl Index<&NodeId> for Hosts {
    type Output = Host;

    fn index(&self, node: &NodeId) -> &Host {
        self.of(node).expect("every node of the configuration has a host")
    }
}
