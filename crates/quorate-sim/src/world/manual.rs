//! What a script does to a world by hand: hosts, networks, the ways to storage, guests, commands.
//!
//! Everything holds until it is undone, and doing it twice is doing it once. After [`World::take_over`] no host and
//! no process comes back by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_core::Event;
use quorate_core::id::{GroupId, LunId, NodeId, PathId, RequestId, ResourceId};
use quorate_core::message::{Command, Refusal};

use super::World;
use super::processes::Death;
use crate::clock::Moment;
use crate::fault::{Fault, Link};
use crate::host::Pause;
use crate::timeline::Kind;

/// How often [`World::run_until_true`] looks, in the world's time.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Which directions of the links of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What it says and what it hears.
    Both,
    /// Only what it says.
    Out,
    /// Only what it hears.
    In,
}

/// What a script holds in its hands.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Nothing comes back by itself.
    is_on: bool,
    /// Hosts that are not to come back until the script says so.
    held: BTreeSet<NodeId>,
    /// Nodes that were asked to leave, and whether they are to come back once they have.
    leaving: BTreeMap<NodeId, bool>,
    /// What is cut, by the number under which the timeline tells it.
    cuts: BTreeMap<u64, BTreeSet<Link>>,
    /// Which ways to LUNs are cut, likewise.
    storage: BTreeMap<u64, BTreeSet<(NodeId, LunId)>>,
    /// Which nodes were cut off the witness, and under which number.
    witness: BTreeMap<NodeId, u64>,
    /// How many of both there have been.
    count: u64,
    answers: BTreeMap<RequestId, Result<(), Refusal>>,
}

impl Script {
    /// A process of a node has ended; whether it is to come back at once.
    pub(super) fn on_end(&mut self, node: NodeId) -> bool {
        let returns = self.leaving.remove(&node).unwrap_or(false);
        if self.is_on && !returns {
            self.held.insert(node);
        }
        returns
    }

    /// A command was answered.
    pub(super) fn on_answer(&mut self, request: RequestId, result: &Result<(), Refusal>) {
        if self.is_on {
            self.answers.insert(request, result.clone());
        }
    }

    /// Whether a host may come back by itself.
    pub(super) fn lets_return(&self, node: NodeId) -> bool {
        !self.held.contains(&node)
    }
}

impl World {
    /// From here on hosts and processes that have ended stay so until [`World::switch_on`].
    pub fn take_over(&mut self) {
        // What a script will do to whom, nobody can know.
        self.unrest.on_anything(self.now);
        self.script.is_on = true;
    }

    /// Gives a host power if it has none, and starts its process if none runs. One that is leaving comes back when
    /// it has left.
    pub fn switch_on(&mut self, node: NodeId) {
        self.script.held.remove(&node);
        if let Some(returns) = self.script.leaving.get_mut(&node) {
            *returns = true;
        }
        self.restart(node);
    }

    /// Takes the power of a host: it, its process and its guests are gone at once.
    pub fn power_off(&mut self, node: NodeId) {
        self.script.leaving.remove(&node);
        self.end_process(node, Death::Power);
        self.script.held.insert(node);
    }

    /// Kills the process of a node; its host goes on, its guests die with the process.
    pub fn crash(&mut self, node: NodeId) {
        self.script.leaving.remove(&node);
        self.end_process(node, Death::Process);
        self.script.held.insert(node);
    }

    /// Asks the process of a node to leave in order; it ends when everything has moved away.
    pub fn ask_to_leave(&mut self, node: NodeId) {
        self.tell_to_leave(node, false);
    }

    /// Asks the process of a node to leave for a short time: what it runs is stopped and kept for it.
    pub fn ask_to_leave_for_a_while(&mut self, node: NodeId) {
        self.tell_to_leave(node, true);
    }

    fn tell_to_leave(&mut self, node: NodeId, keep: bool) {
        if let Some(life) = self.hosts[&node].process.as_ref().map(|process| process.life) {
            self.script.leaving.insert(node, false);
            self.deliver(node, life, Event::Leave { keep });
        }
    }

    /// Stops the process of a node for some time; a second pause while one lasts changes nothing.
    pub fn stand_still(&mut self, node: NodeId, pause: Pause, length: Duration) {
        self.pause(node, pause, self.now + length);
    }

    /// Ends the pause of a process.
    pub fn go_on(&mut self, node: NodeId) {
        let life = self.hosts[&node].lives;
        self.wakes(node, life);
    }

    /// The links of a node with all others, on one network or on all.
    pub fn links_of(&self, node: NodeId, direction: Direction, path: Option<PathId>) -> Vec<Link> {
        let peers = self.hosts.keys().copied().filter(|&peer| peer != node);
        peers.flat_map(|peer| self.links_between(node, peer, direction, path)).collect()
    }

    /// The links of a pair, on one network or on all; `Out` is from `one` to `other`.
    pub fn links_between(
        &self,
        one: NodeId,
        other: NodeId,
        direction: Direction,
        path: Option<PathId>,
    ) -> Vec<Link> {
        let mut links = Vec::new();
        for path in self.links.paths().filter(|&known| path.is_none_or(|only| only == known)) {
            if direction != Direction::In {
                links.push((one, other, path));
            }
            if direction != Direction::Out {
                links.push((other, one, path));
            }
        }
        links
    }

    /// The links between the nodes of one side and all others.
    pub fn links_across(&self, side: &[NodeId]) -> Vec<Link> {
        let others = self.hosts.keys().copied().filter(|node| !side.contains(node));
        others
            .flat_map(|other| side.iter().map(move |&one| (one, other)))
            .flat_map(|(one, other)| self.links_between(one, other, Direction::Both, None))
            .collect()
    }

    /// Cuts links; `what` tells people of it.
    pub fn cut(&mut self, what: &str, links: impl IntoIterator<Item = Link>) {
        let cut: BTreeSet<Link> = self.script.cuts.values().flatten().copied().collect();
        let fresh: BTreeSet<Link> =
            links.into_iter().filter(|link| !cut.contains(link) && link.0 != link.1).collect();
        if fresh.is_empty() {
            return;
        }
        for &(from, to, path) in &fresh {
            self.links.cut(from, to, path);
        }
        self.stats.cuts += 1;
        let number = self.begin_by_hand(what);
        self.script.cuts.insert(number, fresh);
        self.links_changed();
    }

    /// Lets every datagram on these links be lost from here on, and on no others; streams go on. So does a firewall.
    pub fn lose_datagrams(&mut self, links: impl IntoIterator<Item = Link>) {
        self.links.lose_datagrams(links);
    }

    /// Mends links, as far as they were cut by hand.
    pub fn mend(&mut self, links: impl IntoIterator<Item = Link>) {
        let links: BTreeSet<Link> = links.into_iter().collect();
        let mut cuts = std::mem::take(&mut self.script.cuts);
        for (&number, cut) in &mut cuts {
            for &(from, to, path) in cut.intersection(&links) {
                self.links.mend(from, to, path);
            }
            cut.retain(|link| !links.contains(link));
            if cut.is_empty() {
                self.mark(Kind::FaultEnds, number.to_string(), None, String::new());
            }
        }
        cuts.retain(|_, cut| !cut.is_empty());
        self.script.cuts = cuts;
        self.links_changed();
    }

    /// Mends every link that was cut by hand.
    pub fn mend_all(&mut self) {
        let all: Vec<Link> = self.script.cuts.values().flatten().copied().collect();
        self.mend(all);
    }

    /// Whether a link lets anything through.
    pub fn is_cut(&self, (from, to, path): Link) -> bool {
        self.links.is_cut(from, to, path)
    }

    /// Whether a node neither hears nor is heard by any other, on any network.
    pub fn is_isolated(&self, node: NodeId) -> bool {
        let links = self.links_of(node, Direction::Both, None);
        !links.is_empty() && links.into_iter().all(|link| self.is_cut(link))
    }

    /// Cuts the ways of a node to LUNs.
    pub fn storage_off(&mut self, node: NodeId, luns: &[LunId]) {
        let cut: BTreeSet<(NodeId, LunId)> =
            self.script.storage.values().flatten().copied().collect();
        let fresh: BTreeSet<(NodeId, LunId)> =
            luns.iter().map(|&lun| (node, lun)).filter(|way| !cut.contains(way)).collect();
        if fresh.is_empty() {
            return;
        }
        for &(node, lun) in &fresh {
            self.cut_session(node, lun, true);
        }
        let name = self.config.node(node).map_or_else(String::new, |node| node.name.clone());
        let number = self.begin_by_hand(&format!("{name} loses its way to storage"));
        self.script.storage.insert(number, fresh);
    }

    /// Mends the ways of a node to LUNs, as far as they were cut by hand.
    pub fn storage_on(&mut self, node: NodeId, luns: &[LunId]) {
        let mut storage = std::mem::take(&mut self.script.storage);
        for (&number, ways) in &mut storage {
            for &lun in luns.iter().filter(|&&lun| ways.contains(&(node, lun))) {
                self.cut_session(node, lun, false);
            }
            ways.retain(|(of, lun)| *of != node || !luns.contains(lun));
            if ways.is_empty() {
                self.mark(Kind::FaultEnds, number.to_string(), None, String::new());
            }
        }
        storage.retain(|_, ways| !ways.is_empty());
        self.script.storage = storage;
    }

    /// Lets a node reach the witness no more.
    pub fn witness_off(&mut self, node: NodeId) {
        if !self.script.witness.contains_key(&node) {
            self.witness_fault(&Fault::WitnessOff(Some(node)), true);
            let name = self.config.node(node).map_or_else(String::new, |node| node.name.clone());
            let number = self.begin_by_hand(&format!("{name} loses its way to the witness"));
            self.script.witness.insert(node, number);
        }
    }

    /// Lets it reach the witness again, if it was cut off by hand.
    pub fn witness_on(&mut self, node: NodeId) {
        if let Some(number) = self.script.witness.remove(&node) {
            self.witness_fault(&Fault::WitnessOff(Some(node)), false);
            self.mark(Kind::FaultEnds, number.to_string(), None, String::new());
        }
    }

    /// Lets what runs of a group die where it runs.
    pub fn guest_ends(&mut self, group: GroupId) {
        self.guests_die(group);
    }

    /// Lets what runs of a group run on and say nothing more: its host reports it as unwell.
    pub fn falls_silent(&mut self, group: GroupId) {
        let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
        let config = self.config.group(group);
        let resources: Vec<ResourceId> =
            config.iter().flat_map(|group| &group.resources).map(|one| one.id).collect();
        for node in nodes {
            for &resource in &resources {
                self.guest_falls_silent(node, resource);
            }
        }
    }

    /// Lets the next starts of a resource on a node fail.
    pub fn starts_fail(&mut self, node: NodeId, resource: ResourceId, count: u32) {
        self.slot(node, resource).failing_starts = count;
    }

    /// Lets the guest of a resource on a node, or the next one there, hang when it is asked to stop.
    pub fn hang_at_stop(&mut self, node: NodeId, resource: ResourceId) {
        self.hang(node, resource);
    }

    /// Gives a command to the engine of a node; none: it cannot hear it.
    pub fn give_command(&mut self, node: NodeId, command: Command) -> Option<RequestId> {
        let before = self.requests;
        self.command(node, command);
        (self.requests > before).then_some(RequestId(self.requests))
    }

    /// The answer to a command, once there is one. The process that was asked may end before.
    pub fn answer(&self, request: RequestId) -> Option<&Result<(), Refusal>> {
        self.script.answers.get(&request)
    }

    /// Lets the world run for some time.
    pub fn run_for(&mut self, length: Duration) {
        self.run_until(self.now + length);
    }

    /// Lets the world run until something is so, or until the deadline; whether it is so.
    pub fn run_until_true(
        &mut self,
        deadline: Moment,
        mut is_so: impl FnMut(&World) -> bool,
    ) -> bool {
        loop {
            if is_so(self) {
                return true;
            }
            if self.now >= deadline || !self.goes_on() {
                return false;
            }
            let next = self.next_due().map_or(deadline, |(due, _)| due);
            let look = (self.now + LOOK_INTERVAL).max(next);
            self.run_until(look.min(deadline));
        }
    }

    fn begin_by_hand(&mut self, what: &str) -> u64 {
        let number = self.faults.len() as u64 + self.script.count;
        self.script.count += 1;
        self.tell(|| format!("BY HAND {number}: {what}"));
        self.mark(Kind::FaultBegins, number.to_string(), None, what.to_owned());
        number
    }
}
