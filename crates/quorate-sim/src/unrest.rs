//! What the faults of a run have touched, and until when: whatever is left has no reason to stop.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::config::ClusterConfig;
use quorate_core::id::{GroupId, LunId, NodeId, PathId, ResourceId};
use quorate_core::message::Command;

use crate::clock::Moment;
use crate::fault::{Edit, Fault, Link, Shape};

/// What a fault may do something to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Node(NodeId),
    Group(GroupId),
    /// The witness, for whomever.
    Witness,
    /// What two nodes say to each other, on one network.
    Link(NodeId, NodeId, PathId),
    /// Networks as a whole, by a cut of many links.
    Mesh,
    /// Networks as a whole, by noise.
    All,
}

/// How long ago something was touched.
#[derive(Clone, Copy, Debug, Default)]
struct Touch {
    active: u32,
    ended: Moment,
    /// When the newest of it began, and when what was before that had ended.
    began: Moment,
    before: Moment,
}

impl Touch {
    fn begins(&mut self, now: Moment) {
        if self.active == 0 {
            (self.began, self.before) = (now, self.ended);
        }
        self.active += 1;
        self.ended = now.max(self.ended);
    }

    fn ends(&mut self, now: Moment) {
        self.active = self.active.saturating_sub(1);
        self.ended = now.max(self.ended);
    }

    /// Whether there was nothing between two moments. What has come and gone since makes it seem so that there was.
    fn is_calm(&self, since: Moment, until: Moment) -> bool {
        self.active == 0 && self.ended < since || self.began >= until && self.before < since
    }
}

/// Which nodes and groups are touched.
#[derive(Debug, Default)]
pub struct Unrest {
    touches: BTreeMap<Place, Touch>,
    /// Whatever it touched.
    any: Touch,
    /// Cuts of one network: while there are two of them, they may leave a node none.
    network_cuts: u32,
}

impl Unrest {
    /// A fault begins, or ends at `now`. `config`: for which it was drawn.
    pub fn on_fault(&mut self, fault: &Fault, config: &ClusterConfig, begins: bool, now: Moment) {
        let stays = matches!(fault, Fault::Configure(_, Edit::Luns(..)));
        let touch = |touch: &mut Touch| match begins {
            true => touch.begins(now),
            false => touch.ends(now),
        };
        touch(&mut self.any);
        if stays && !begins {
            return;
        }
        if matches!(fault, Fault::Cut(Shape::Network, _)) {
            let before = self.network_cuts;
            self.network_cuts = if begins { before + 1 } else { before.saturating_sub(1) };
            if before.max(self.network_cuts) == 2 {
                touch(self.touches.entry(Place::Mesh).or_default());
            }
        }
        places(fault, config)
            .into_iter()
            .for_each(|place| touch(self.touches.entry(place).or_default()));
    }

    /// Something happens that is no planned fault: nothing can be said of anybody any more.
    pub fn on_anything(&mut self, now: Moment) {
        self.any.begins(now);
        self.touches.entry(Place::All).or_default().begins(now);
    }

    /// Something happens to a node that is no planned fault, such as a reset by its watchdog.
    pub fn on_node(&mut self, node: NodeId, now: Moment) {
        let touch = self.touches.entry(Place::Node(node)).or_default();
        touch.begins(now);
        touch.ends(now);
        self.on_doubt(now);
    }

    /// Somebody doubts somebody.
    pub fn on_doubt(&mut self, now: Moment) {
        self.any.ended = now.max(self.any.ended);
    }

    /// Whether no fault is under way, and nothing at all was touched since `since`.
    pub fn is_all_calm(&self, since: Moment) -> bool {
        self.any.active == 0 && self.any.ended < since
    }

    /// A request to a host will never be answered: its node may wait for that until it takes it for failed.
    pub fn on_lost_answer(&mut self, node: NodeId, config: &ClusterConfig, now: Moment) {
        self.on_node(node, now);
        let patience = PATIENCE.max(config.timing().stop_time * 4);
        let touch = self.touches.entry(Place::Node(node)).or_default();
        touch.ended = touch.ended.max(now + patience);
    }

    /// Whether nothing has touched a node since `since`.
    pub fn is_node_calm(&self, node: NodeId, since: Moment) -> bool {
        self.is_calm(Place::Node(node), since)
    }

    /// Whether nothing has touched the witness since `since`, or a node's way to it.
    pub fn is_witness_calm(&self, since: Moment) -> bool {
        self.was_calm(Place::Witness, since, Moment::NEVER)
    }

    /// Whether nothing has touched a group since `since`.
    pub fn is_group_calm(&self, group: GroupId, since: Moment) -> bool {
        self.is_calm(Place::Group(group), since)
    }

    /// Whether nothing touched a node between two moments, whatever happened to the links of others.
    pub fn was_node_calm(&self, node: NodeId, since: Moment, until: Moment) -> bool {
        let calm = |place| self.was_calm(place, since, until);
        calm(Place::Node(node)) && calm(Place::All)
    }

    /// Whether what one node said to another came through on some network, between two moments.
    pub fn was_link_calm(
        &self,
        (from, to): (NodeId, NodeId),
        mut paths: impl Iterator<Item = PathId>,
        since: Moment,
        until: Moment,
    ) -> bool {
        paths.any(|path| self.was_calm(Place::Link(from, to, path), since, until))
    }

    fn was_calm(&self, place: Place, since: Moment, until: Moment) -> bool {
        self.touches.get(&place).is_none_or(|touch| touch.is_calm(since, until))
    }

    fn is_calm(&self, place: Place, since: Moment) -> bool {
        let calm = |place| self.was_calm(place, since, Moment::NEVER);
        calm(place) && calm(Place::Mesh) && calm(Place::All)
    }
}

/// How long an engine waits for a kill that is never answered, at least.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long after its last fault a node may still show what came of it: it is found silent, declared down, found
/// without a lease, and told.
pub fn settle_time(config: &ClusterConfig) -> Duration {
    config.timing().detect * 5 + config.timing().election_max * 2
}

fn places(fault: &Fault, config: &ClusterConfig) -> Vec<Place> {
    let of_resource = |resource: &ResourceId| {
        config.resource(*resource).map(|(group, _)| Place::Group(group.id)).into_iter().collect()
    };
    let of_lun = |lun: &LunId| {
        let beside = config.luns().iter().filter(|one| one.part && config.is_part(*lun));
        let luns = [*lun].into_iter().chain(beside.map(|one| one.id));
        luns.filter_map(|lun| config.group_of_lun(lun)).map(Place::Group).collect()
    };
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
        | Fault::Handover(node)
        | Fault::EvictNode(node)
        | Fault::Leave(node) => vec![Place::Node(*node)],
        Fault::Busy(group) | Fault::MovedByHand(group, _) | Fault::RemoveGroup(_, group) => {
            vec![Place::Group(*group)]
        }
        Fault::Configure(_, edit) => of_edit(edit),
        Fault::Cut(shape, links) => {
            let each = links.iter().map(|&(from, to, path)| Place::Link(from, to, path));
            of_cut(*shape, links, config).into_iter().chain(each).collect()
        }
        // A connection is no more than a connection.
        Fault::Reset(..) | Fault::AddNode(_) => Vec::new(),
        Fault::Noise(_) => vec![Place::All],
        Fault::LunReset(lun) | Fault::TargetPower(lun, _) | Fault::Stranger(lun) => of_lun(lun),
        Fault::WitnessOff(_)
        | Fault::WitnessSlow
        | Fault::WitnessLoses
        | Fault::WitnessUnmounted(_) => vec![Place::Witness],
        Fault::GuestDies(group) => vec![Place::Group(*group)],
        Fault::StartsFail(_, resource, _)
        | Fault::KillsFail(_, resource, _)
        | Fault::Hangs(_, resource) => of_resource(resource),
        Fault::Command(_, command) => of_command(command, config),
    }
}

/// What a command is about.
fn of_command(command: &Command, config: &ClusterConfig) -> Vec<Place> {
    match command {
        Command::Move { group, .. }
        | Command::Online { group }
        | Command::Offline { group }
        | Command::Disable { group }
        | Command::Unmanage { group }
        | Command::CountFailures { group, .. }
        | Command::Load { group, .. } => {
            config.group_named(group).map(|group| Place::Group(group.id)).into_iter().collect()
        }
        Command::Drain { .. }
        | Command::Empty { .. }
        | Command::Fence { .. }
        | Command::Disarm { .. }
        | Command::Arm
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::EndDrain { .. }
        | Command::HoldMoves { .. }
        | Command::LetCoordinate { .. }
        | Command::AddGroup(_)
        | Command::RemoveGroup { .. }
        | Command::Configure(_)
        | Command::AddNode(_)
        | Command::EvictNode { .. }
        | Command::ConfirmFenced { .. } => Vec::new(),
    }
}

/// A LUN that passes on takes along what has touched it. Whatever else ends by another configuration is asked to.
fn of_edit(edit: &Edit) -> Vec<Place> {
    match edit {
        Edit::Luns(one, other) => vec![Place::Group(*one), Place::Group(*other)],
        _ => Vec::new(),
    }
}

fn of_cut(shape: Shape, links: &[Link], config: &ClusterConfig) -> Vec<Place> {
    match shape {
        Shape::Node | Shape::OneWay => {
            let is_in = |node: NodeId| config.node(node).is_some();
            // A node that came later is in no configuration of the beginning: all its links count.
            let is_cut = |&node: &NodeId| {
                let counts = |&&(from, to, _): &&Link| !is_in(node) || is_in(from) && is_in(to);
                let mut counted = links.iter().filter(counts).peekable();
                counted.peek().is_some() && counted.all(|&(from, to, _)| from == node || to == node)
            };
            let ends = links.first().map_or(Vec::new(), |&(from, to, _)| vec![from, to]);
            let later = ends.into_iter().filter(|&node| !is_in(node));
            let nodes = config.nodes().iter().map(|node| node.id).chain(later);
            nodes.filter(is_cut).map(Place::Node).collect()
        }
        // Another network is there for that, unless it is cut too.
        Shape::Network => Vec::new(),
        Shape::Split | Shape::Mesh | Shape::Ring | Shape::Bridge => {
            if links.is_empty() {
                Vec::new()
            } else {
                vec![Place::Mesh]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_is_cut_beside_another_is_missed() {
        let mut random = quorate_core::random::Random::new(1);
        let config = crate::cluster::draw(&mut random, &crate::Options::default());
        let mut unrest = Unrest::default();
        let second = |count: u64| Moment(count * 1_000_000_000);
        let cut = Fault::Cut(Shape::Network, Vec::new());
        unrest.on_fault(&cut, &config, true, second(10));
        assert!(unrest.is_node_calm(NodeId(1), second(9)), "another is there for that");
        unrest.on_fault(&cut, &config, true, second(11));
        assert!(!unrest.is_node_calm(NodeId(1), second(9)));
        unrest.on_fault(&cut, &config, false, second(12));
        unrest.on_fault(&cut, &config, false, second(13));
        assert!(!unrest.is_node_calm(NodeId(1), second(12)));
        assert!(unrest.is_node_calm(NodeId(1), second(13)));
    }
}
