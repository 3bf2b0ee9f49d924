//! A fault in words: its kind, as `--kinds` takes it, and whom it is about.

use std::fmt;

use quorate_core::id::NodeId;

use super::{Fault, Link, Shape};
use crate::network::Noise;
use crate::spoken::words;

/// Of more links than this the rest is counted.
const LINKS_MAX: usize = 6;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        match self {
            Fault::Crash(node, _)
            | Fault::Torn(node)
            | Fault::Wipe(node)
            | Fault::BitRot(node)
            | Fault::DiskFull(node)
            | Fault::DiskSlow(node)
            | Fault::Pause(node, _)
            | Fault::HostLate(node)
            | Fault::HostNever(node)
            | Fault::HostTwice(node)
            | Fault::Handover(node)
            | Fault::EvictNode(node)
            | Fault::WitnessOff(Some(node))
            | Fault::WitnessUnmounted(node)
            | Fault::Leave(node) => write!(f, ": {node}"),
            Fault::WitnessOff(None) | Fault::WitnessSlow | Fault::WitnessLoses => Ok(()),
            Fault::RemoveGroup(node, group) => write!(f, ": {group}, by {node}"),
            Fault::Configure(node, edit) => write!(f, ": by {node}: {}", words(edit)),
            Fault::AddNode(votes) => write!(f, "{}", if *votes { ": with a vote" } else { "" }),
            Fault::Busy(group) => write!(f, ": {group}"),
            Fault::MovedByHand(group, node) => write!(f, ": {group} to {node}"),
            Fault::Power(nodes) => write!(f, ": {}", words(nodes)),
            Fault::Cut(shape, links) => write!(f, ": {}", cut(*shape, links)),
            Fault::Noise(noise) => write!(f, ": {}", noise_words(*noise)),
            Fault::Reset(one, other) => write!(f, ": between {one} and {other}"),
            Fault::Drift(node, ppm) => write!(f, ": {node} by {ppm} millionths"),
            Fault::Step(node, nanos) => write!(f, ": {node} by {} ms", nanos / 1_000_000),
            Fault::WallStep(node, seconds) => write!(f, ": {node} by {seconds} s"),
            Fault::Storage(node, luns)
            | Fault::LunSlow(node, luns)
            | Fault::LunLoses(node, luns) => {
                write!(f, ": {node} and {}", words(luns))
            }
            Fault::LunReset(lun) | Fault::TargetPower(lun, _) | Fault::Stranger(lun) => {
                write!(f, ": {lun}")
            }
            Fault::GuestDies(group) => write!(f, ": {group}"),
            Fault::StartsFail(node, resource, count) | Fault::KillsFail(node, resource, count) => {
                write!(f, ": {resource} on {node}, {count} times")
            }
            Fault::Hangs(node, resource) => write!(f, ": {resource} on {node}"),
            Fault::Command(node, command) => write!(f, ": to {node}: {}", words(command)),
        }
    }
}

fn cut(shape: Shape, links: &[Link]) -> String {
    let everywhere = |is: &dyn Fn(NodeId, NodeId) -> bool| {
        !links.is_empty() && links.iter().all(|&(from, to, _)| is(from, to))
    };
    let first = links.first().copied().unwrap_or_default();
    let ends = [first.0, first.1];
    let both = ends.into_iter().find(|&end| everywhere(&|from, to| from == end || to == end));
    match (shape, both) {
        (Shape::Node, Some(node)) => node.to_string(),
        (Shape::OneWay, _) if everywhere(&|from, _| from == first.0) => {
            format!("nobody hears {}", first.0)
        }
        (Shape::OneWay, _) if everywhere(&|_, to| to == first.1) => {
            format!("{} hears nobody", first.1)
        }
        (Shape::Network, Some(node)) => format!("{} of {node}", first.2),
        (Shape::Network, None) => format!("{} of all", first.2),
        _ => pairs(links),
    }
}

/// Who does not hear whom, on any network.
fn pairs(links: &[Link]) -> String {
    let cut = |from: NodeId, to: NodeId| links.iter().any(|&(a, b, _)| (a, b) == (from, to));
    let mut pairs: Vec<String> = Vec::new();
    for &(from, to, _) in links {
        let pair = match cut(to, from) {
            true => format!("{} and {}", from.min(to), from.max(to)),
            false => format!("{from} to {to}"),
        };
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    match pairs.len().saturating_sub(LINKS_MAX) {
        0 => pairs.join(", "),
        rest => format!("{} and {rest} more", pairs[..LINKS_MAX].join(", ")),
    }
}

fn noise_words(noise: Noise) -> String {
    let parts = [
        (noise.loss, "lost"),
        (noise.doubled, "twice"),
        (noise.late, "late"),
        (noise.corrupt, "damaged"),
    ];
    let parts = parts.into_iter().filter(|(share, _)| *share > 0);
    let mut parts: Vec<String> =
        parts.map(|(share, what)| format!("{share} of 1000 {what}")).collect();
    if noise.delay > 0 {
        parts.push(format!("up to {} us on the way", noise.delay));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use quorate_core::id::PathId;
    use quorate_core::message::Command;

    use super::*;

    #[test]
    fn a_fault_is_told_by_its_kind_and_whom_it_is_about() {
        let (one, two, three) = (NodeId(1), NodeId(2), NodeId(3));
        let link = |from, to| (from, to, PathId(0));
        let whole = vec![link(one, two), link(two, one), link(one, three), link(three, one)];
        let drain = Command::Drain { node: "n2".into() };
        let cases = [
            (Fault::Crash(two, false), "crash: node 2"),
            (Fault::Power(vec![one, two]), "blackout: node 1, node 2"),
            (Fault::Cut(Shape::Node, whole.clone()), "cut_node: node 1"),
            (
                Fault::Cut(Shape::OneWay, vec![link(one, two), link(one, three)]),
                "cut_one_way: nobody hears node 1",
            ),
            (Fault::Cut(Shape::Network, whole.clone()), "cut_network: path 0 of node 1"),
            (Fault::Cut(Shape::Mesh, whole), "partial_mesh: node 1 and node 2, node 1 and node 3"),
            (Fault::Noise(Noise { loss: 100, ..Noise::NONE }), "loss: 100 of 1000 lost"),
            (Fault::Command(one, drain), "command: to node 1: drain (node n2)"),
        ];
        for (fault, said) in cases {
            assert_eq!(fault.to_string(), said);
        }
    }
}
