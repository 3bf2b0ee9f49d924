//! What the faults of a run have touched, and until when: whatever is left has no reason to stop.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::config::ClusterConfig;
use quorate_core::id::{GroupId, LunId, NodeId, ResourceId};
use quorate_core::message::Command;

use crate::clock::Moment;
use crate::fault::{Fault, Shape};

/// What a fault may do something to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Node(NodeId),
    Group(GroupId),
    All,
}

/// How long ago something was touched.
#[derive(Clone, Copy, Debug, Default)]
struct Touch {
    active: u32,
    ended: Moment,
}

impl Touch {
    fn count(&mut self, begins: bool, now: Moment) {
        self.active = if begins { self.active + 1 } else { self.active.saturating_sub(1) };
        self.ended = now;
    }
}

/// Which nodes and groups are touched.
#[derive(Debug, Default)]
pub struct Unrest {
    touches: BTreeMap<Place, Touch>,
    /// Whatever it touched.
    any: Touch,
}

impl Unrest {
    /// A fault begins, or ends at `now`.
    pub fn on_fault(&mut self, fault: &Fault, config: &ClusterConfig, begins: bool, now: Moment) {
        self.any.count(begins, now);
        for place in places(fault, config) {
            self.touches.entry(place).or_default().count(begins, now);
        }
    }

    /// Something happens that is no planned fault: nothing can be said of anybody any more.
    pub fn on_anything(&mut self, now: Moment) {
        self.any = Touch { active: 1, ended: now };
        self.touches.insert(Place::All, self.any);
    }

    /// Something happens to a node that is no planned fault, such as a reset by its watchdog.
    pub fn on_node(&mut self, node: NodeId, now: Moment) {
        self.touches.entry(Place::Node(node)).or_default().ended = now;
        self.on_doubt(now);
    }

    /// Somebody doubts somebody.
    pub fn on_doubt(&mut self, now: Moment) {
        self.any.ended = now;
    }

    /// Whether no fault is under way, and nothing at all was touched since `since`.
    pub fn is_all_calm(&self, since: Moment) -> bool {
        self.any.active == 0 && self.any.ended < since
    }

    /// Whether nothing has touched a node since `since`.
    pub fn is_node_calm(&self, node: NodeId, since: Moment) -> bool {
        self.is_calm(Place::Node(node), since)
    }

    /// Whether nothing has touched a group since `since`.
    pub fn is_group_calm(&self, group: GroupId, since: Moment) -> bool {
        self.is_calm(Place::Group(group), since)
    }

    fn is_calm(&self, place: Place, since: Moment) -> bool {
        let calm = |place| {
            self.touches.get(&place).is_none_or(|touch| touch.active == 0 && touch.ended < since)
        };
        calm(place) && calm(Place::All)
    }
}

/// How long after its last fault a node may still show what came of it: it is found silent, declared down, found
/// without a lease, and told.
pub fn settle_time(config: &ClusterConfig) -> Duration {
    config.timing().detect * 5 + config.timing().election_max * 2
}

fn places(fault: &Fault, config: &ClusterConfig) -> Vec<Place> {
    let of_resource = |resource: &ResourceId| {
        config.resource(*resource).map(|(group, _)| Place::Group(group.id)).into_iter().collect()
    };
    let of_lun = |lun: &LunId| config.group_of_lun(*lun).map(Place::Group).into_iter().collect();
    match fault {
        Fault::Power(nodes) => nodes.iter().map(|&node| Place::Node(node)).collect(),
        Fault::Crash(node, _)
        | Fault::Torn(node)
        | Fault::Wipe(node)
        | Fault::BitRot(node)
        | Fault::DiskFull(node)
        | Fault::DiskSlow(node)
        | Fault::Pause(node, _)
        | Fault::Drift(node, _)
        | Fault::Step(node, _)
        | Fault::WallStep(node, _)
        | Fault::Storage(node, _)
        | Fault::LunSlow(node, _)
        | Fault::LunLoses(node, _)
        | Fault::HostLate(node)
        | Fault::HostNever(node)
        | Fault::HostTwice(node)
        | Fault::Leave(node) => vec![Place::Node(*node)],
        Fault::Cut(Shape::Node | Shape::OneWay, links) => {
            let of = |node: NodeId| links.iter().all(|&(from, to, _)| from == node || to == node);
            let cut = config.nodes().iter().map(|node| node.id).filter(|&node| of(node));
            cut.map(Place::Node).collect()
        }
        // Another network is there for that, and a connection is no more than a connection.
        Fault::Cut(Shape::Network, _) | Fault::Reset(..) => Vec::new(),
        Fault::Cut(Shape::Split | Shape::Mesh | Shape::Ring | Shape::Bridge, links) => {
            if links.is_empty() { Vec::new() } else { vec![Place::All] }
        }
        Fault::Noise(_) => vec![Place::All],
        Fault::LunReset(lun) | Fault::TargetPower(lun, _) | Fault::Stranger(lun) => of_lun(lun),
        Fault::GuestDies(group) => vec![Place::Group(*group)],
        Fault::StartsFail(_, resource, _)
        | Fault::KillsFail(_, resource, _)
        | Fault::Hangs(_, resource) => of_resource(resource),
        Fault::Command(_, command) => match command {
            Command::Move { group, .. }
            | Command::Online { group }
            | Command::Offline { group }
            | Command::Disable { group } => {
                config.group_named(group).map(|group| Place::Group(group.id)).into_iter().collect()
            }
            Command::Drain { .. }
            | Command::Pause { .. }
            | Command::Resume { .. }
            | Command::HoldMoves { .. }
            | Command::ConfirmFenced { .. } => Vec::new(),
        },
    }
}
