//! What a story asks of the world beyond what a script does by hand: nodes that fence themselves, guests that fail in
//! the way it says, and marks of its own in the timeline.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_core::Event;
use quorate_core::action::ResourceVerb;
use quorate_core::id::{Epoch, GroupId, NodeId, ResourceId};

use super::World;
use super::processes::Death;
use crate::chance;
use crate::checker::Fact;
use crate::guest::{Guest, Stage};
use crate::schedule::Happening;
use crate::timeline::{Beginning, Ending, Kind};

/// What a story has asked for.
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// Whoever loses the right to act while it runs something switches itself off.
    fences_itself: bool,
    fenced: BTreeSet<NodeId>,
    failing_starts: BTreeMap<ResourceId, u32>,
    failing_sends: BTreeMap<ResourceId, u32>,
    unstoppable: BTreeSet<ResourceId>,
    /// Groups that somebody outside holds.
    locked: BTreeSet<GroupId>,
    /// Guests, by their serial, of which it has been told that they do not stop.
    stuck: BTreeSet<u64>,
}

impl Staging {
    /// A host has power again.
    pub(super) fn on_power(&mut self, node: NodeId) {
        self.fenced.remove(&node);
    }
}

impl World {
    /// From here on a node that loses the right to act while it runs something switches itself off.
    pub fn fence_themselves(&mut self) {
        self.staging.fences_itself = true;
    }

    /// Whether a node is off because it has fenced itself.
    pub fn has_fenced_itself(&self, node: NodeId) -> bool {
        self.staging.fenced.contains(&node)
    }

    /// Lets the next starts of a resource fail, wherever they are.
    pub fn starts_fail_anywhere(&mut self, resource: ResourceId, count: u32) {
        self.staging.failing_starts.insert(resource, count);
    }

    /// Lets the next attempts to hand a resource over fail.
    pub fn sends_fail(&mut self, resource: ResourceId, count: u32) {
        self.staging.failing_sends.insert(resource, count);
    }

    /// Nothing but a loss of power ends what runs of this resource.
    pub fn never_stops(&mut self, resource: ResourceId) {
        self.staging.unstoppable.insert(resource);
    }

    /// Somebody holds a group, for work of his own on the node where it is: nobody else may do anything with it. That
    /// ends with its node.
    pub fn lock(&mut self, group: GroupId) {
        self.staging.locked.insert(group);
    }

    /// Nobody holds a group any more.
    pub fn unlock(&mut self, group: GroupId) {
        self.staging.locked.remove(&group);
    }

    /// Nobody holds anything any more.
    pub(super) fn unlock_all(&mut self) {
        self.staging.locked.clear();
    }

    /// Whether somebody holds a group.
    pub fn is_locked(&self, group: GroupId) -> bool {
        self.staging.locked.contains(&group)
    }

    /// Somebody moves what runs of a group to another node, and asks nobody. False: it runs nowhere, or he cannot.
    pub fn move_by_hand(&mut self, group: GroupId, to: NodeId) -> bool {
        let resources: Vec<ResourceId> = self
            .known_group(group)
            .map(|group| group.resources.iter().map(|one| one.id).collect())
            .unwrap_or_default();
        let from = self.runs_on(group).first().copied();
        let ([resource], Some(from)) = (resources.as_slice(), from) else { return false };
        if from == to || !self.hosts[&to].up {
            return false;
        }
        let resource = *resource;
        let Some(guest) = self.guest(from, resource).cloned() else { return false };
        self.end_guest(from, resource, Ending::Sent);
        let epoch = guest.epoch;
        self.slot(to, resource).guest = Some(Guest { is_found: true, ..guest });
        self.mark_begin(to, resource, Beginning::MovedLive);
        self.fact(&Fact::Began { node: to, group, resource });
        let life = self.hosts[&from].lives;
        let delay = chance::millis(&mut self.random, 1, 100);
        let moved = Box::new(Event::ResourceMoved { resource, epoch, to });
        self.after(delay, Happening::Event(from, life, moved));
        true
    }

    /// Somebody starts a group on a node where nobody has asked for it. Drivers there find it.
    pub fn start_by_hand(&mut self, group: GroupId, node: NodeId) {
        let config = self.known_group(group);
        let resources: Vec<ResourceId> =
            config.iter().flat_map(|group| &group.resources).map(|one| one.id).collect();
        for resource in resources {
            if !self.hosts[&node].up || self.guest(node, resource).is_some() {
                continue;
            }
            let guest = Guest {
                serial: self.next_serial(),
                group,
                epoch: Epoch(0),
                stage: Stage::Running,
                records: BTreeMap::new(),
                writing: BTreeSet::new(),
                next_writes: BTreeMap::new(),
                reading: BTreeSet::new(),
                token: None,
                hangs: false,
                is_found: true,
            };
            self.slot(node, resource).guest = Some(guest);
            self.mark_begin(node, resource, Beginning::Fresh);
        }
    }

    /// Every driver says what it finds running that nobody has asked it for.
    pub fn report_found(&mut self) {
        let mut found: Vec<(NodeId, ResourceId)> = Vec::new();
        for host in self.hosts.values().filter(|host| host.is_awake()) {
            let strays = host.slots.iter().filter(|(_, slot)| {
                slot.work.is_none() && slot.guest.as_ref().is_some_and(|guest| guest.is_found)
            });
            found.extend(strays.map(|(&resource, _)| (host.id, resource)));
        }
        for (node, resource) in found {
            let life = self.hosts[&node].lives;
            self.deliver(node, life, Event::ResourceFound { resource });
        }
    }

    /// Whether a driver that is to start something finds that it runs, brought by somebody else.
    pub(super) fn takes_as_found(
        &mut self,
        node: NodeId,
        resource: ResourceId,
        epoch: Epoch,
    ) -> bool {
        let found = |guest: &&mut Guest| guest.is_found && guest.stage == Stage::Running;
        let Some(guest) = self.guest(node, resource).filter(found) else { return false };
        (guest.is_found, guest.epoch) = (false, epoch);
        let group = guest.group;
        self.tell(|| format!("{node}: {resource} is found, and taken as it is"));
        self.fact(&Fact::Starts { node, group, epoch });
        true
    }

    /// Whether a driver does not do what it is asked, since somebody holds the group. A kill is never refused.
    pub(super) fn is_busy(&self, resource: ResourceId, verb: ResourceVerb) -> bool {
        let held = !self.staging.locked.is_empty() && self.is_locked(self.group_of(resource).0);
        held && match verb {
            ResourceVerb::Start { .. }
            | ResourceVerb::Load { .. }
            | ResourceVerb::Save { .. }
            | ResourceVerb::Send { .. }
            | ResourceVerb::Stop { .. } => true,
            ResourceVerb::Run | ResourceVerb::Kill => false,
        }
    }

    /// A host has lost its power, and with it whoever held what it ran.
    pub(super) fn locks_end(&mut self, node: NodeId) {
        let guests = self.hosts[&node].slots.values().filter_map(|slot| slot.guest.as_ref());
        let groups: Vec<GroupId> = guests.map(|guest| guest.group).collect();
        groups.iter().for_each(|group| {
            self.staging.locked.remove(group);
        });
    }

    /// Lets the writes of a node's disk take their time, for some time.
    pub fn slow_disk(&mut self, node: NodeId, length: Duration) {
        self.host(node).disk.slow_until = self.now + length;
    }

    /// Marks a step of a story in the timeline.
    pub fn note_step(&mut self, index: usize) {
        self.mark(Kind::Step, index.to_string(), None, String::new());
    }

    /// Marks in the timeline that a node which was to be emptied runs nothing any more.
    pub fn note_drained(&mut self, node: NodeId) {
        self.mark_node(Kind::NodeDrained, node, "");
    }

    /// A node may not act any more.
    pub(super) fn on_lease_lost(&mut self, node: NodeId) {
        if self.staging.fences_itself && self.runs_any_group(node) {
            self.staging.fenced.insert(node);
            self.tell(|| format!("{node}: fences itself"));
            self.end_process(node, Death::Power);
        } else if self.is_isolated(node) {
            self.mark_node(Kind::NodeIsolated, node, "it may not act");
        }
    }

    /// Whether this start is one of those that fail.
    pub(super) fn start_fails(&mut self, node: NodeId, resource: ResourceId) -> bool {
        let here = &mut self.slot(node, resource).failing_starts;
        if *here > 0 {
            *here -= 1;
            return true;
        }
        count_down(&mut self.staging.failing_starts, resource)
    }

    /// Whether this attempt to hand over is one of those that fail.
    pub(super) fn send_fails(&mut self, resource: ResourceId) -> bool {
        count_down(&mut self.staging.failing_sends, resource)
    }

    /// Whether what runs here cannot be stopped.
    pub(super) fn is_stuck(&mut self, node: NodeId, resource: ResourceId) -> bool {
        if !self.staging.unstoppable.contains(&resource) {
            return false;
        }
        let Some((serial, group)) =
            self.guest(node, resource).map(|guest| (guest.serial, guest.group))
        else {
            return false;
        };
        if self.staging.stuck.insert(serial) {
            self.mark_group(Kind::GroupStopFailed, group, node, "it does not stop");
            self.mark_member(Kind::MemberStopFailed, node, resource);
        }
        true
    }
}

fn count_down(counts: &mut BTreeMap<ResourceId, u32>, resource: ResourceId) -> bool {
    let Some(left) = counts.get_mut(&resource).filter(|left| **left > 0) else { return false };
    *left -= 1;
    true
}
