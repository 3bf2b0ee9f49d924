//! The shapes in which networks are cut.

use quorate_core::id::{NodeId, PathId};

use super::{FaultKind, Link};

/// A shape of a cut, for people and counts; what it cuts is the list of links beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// One node from all others.
    Node,
    /// One node's sending or hearing.
    OneWay,
    /// One network of several.
    Network,
    /// Two sides.
    Split,
    /// Some links.
    Mesh,
    /// All but those between neighbours in a ring.
    Ring,
    /// Two sides but for one node that both hear.
    Bridge,
}

impl Shape {
    /// The kind of fault that it is.
    pub fn kind(self) -> FaultKind {
        match self {
            Shape::Node => FaultKind::CutNode,
            Shape::OneWay => FaultKind::CutOneWay,
            Shape::Network => FaultKind::CutNetwork,
            Shape::Split => FaultKind::Split,
            Shape::Mesh => FaultKind::PartialMesh,
            Shape::Ring => FaultKind::Ring,
            Shape::Bridge => FaultKind::Bridge,
        }
    }
}

/// Every link for which `gone` says so, on every path.
pub fn links(
    nodes: &[NodeId],
    paths: impl Iterator<Item = PathId> + Clone,
    mut gone: impl FnMut(NodeId, NodeId) -> bool,
) -> Vec<Link> {
    let mut links = Vec::new();
    for &from in nodes {
        for &to in nodes.iter().filter(|&&to| to != from) {
            if gone(from, to) {
                links.extend(paths.clone().map(|path| (from, to, path)));
            }
        }
    }
    links
}

/// All but the links between neighbours, in the order of `nodes`, the last beside the first.
pub fn ring(nodes: &[NodeId], paths: impl Iterator<Item = PathId> + Clone) -> Vec<Link> {
    let place = |node| nodes.iter().position(|&other| other == node).unwrap_or_default();
    links(nodes, paths, |from, to| {
        let apart = place(from).abs_diff(place(to));
        apart != 1 && apart != nodes.len() - 1
    })
}

/// Two halves of `nodes` that hear each other only by way of the first node.
pub fn bridge(nodes: &[NodeId], paths: impl Iterator<Item = PathId> + Clone) -> Vec<Link> {
    let side = |node| {
        let place = nodes.iter().position(|&other| other == node).unwrap_or_default();
        (place > 0).then_some(place <= nodes.len() / 2)
    };
    links(nodes, paths, |from, to| match (side(from), side(to)) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(links: &[Link], one: u16, other: u16) -> bool {
        links.iter().any(|&(from, to, _)| (from, to) == (NodeId(one), NodeId(other)))
    }

    #[test]
    fn in_a_ring_everybody_hears_its_neighbours_alone() {
        let nodes: Vec<NodeId> = (1..=5).map(NodeId).collect();
        let ring = ring(&nodes, [PathId(0)].into_iter());
        for (one, other, gone) in [(1, 2, false), (1, 5, false), (1, 3, true), (4, 2, true)] {
            assert_eq!((cut(&ring, one, other), cut(&ring, other, one)), (gone, gone));
        }
    }

    #[test]
    fn a_bridge_hears_both_sides_and_they_do_not_hear_each_other() {
        let nodes: Vec<NodeId> = (1..=5).map(NodeId).collect();
        let bridge = bridge(&nodes, [PathId(0)].into_iter());
        for (one, other, gone) in [(1, 2, false), (1, 5, false), (2, 3, false), (3, 4, true)] {
            assert_eq!((cut(&bridge, one, other), cut(&bridge, other, one)), (gone, gone));
        }
    }
}
