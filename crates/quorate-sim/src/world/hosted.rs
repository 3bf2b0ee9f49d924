//! Resources whose requests somebody outside answers: a test, for a resource of its own.
//!
//! Beneath each of them the model's guest still runs, so that LUNs and checkers see what they always see; but how
//! long a request takes and whether it succeeds is said outside. The world stops at each request until it is taken.

use std::collections::{BTreeSet, VecDeque};

use quorate_core::Event;
use quorate_core::action::ResourceVerb;
use quorate_core::event::Trouble;
use quorate_core::id::{Epoch, NodeId, OpId, ResourceId};

use super::World;
use crate::guest::Work;
use crate::timeline::{Ending, Kind};

/// Something of a hosted resource that the outside must hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosted {
    /// It is asked for something.
    Asked(Asked),
    /// The process of its node has ended, and with it whatever there was of it there.
    Gone(NodeId, ResourceId),
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// On which node.
    pub node: NodeId,
    /// For which resource.
    pub resource: ResourceId,
    /// The engine's request.
    pub op: OpId,
    /// What is asked.
    pub verb: ResourceVerb,
    /// The epoch in which what it is about was started, or is to be.
    pub epoch: Epoch,
    serial: u64,
}

/// Which resources are hosted, and what nobody has taken yet.
#[derive(Debug, Default)]
pub(super) struct Hosting {
    resources: BTreeSet<ResourceId>,
    waiting: VecDeque<Hosted>,
}

impl Hosting {
    /// Whether the world waits for the outside.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl World {
    /// From here on the outside answers for this resource, on every node.
    pub fn host_resource(&mut self, resource: ResourceId) {
        self.hosting.resources.insert(resource);
    }

    /// Takes what the world stopped for.
    pub fn take_hosted(&mut self) -> Option<Hosted> {
        self.hosting.waiting.pop_front()
    }

    /// Whether a request is still to be answered: nothing has overtaken it.
    pub fn is_open(&self, asked: &Asked) -> bool {
        let slot = self.hosts[&asked.node].slots.get(&asked.resource);
        slot.and_then(|slot| slot.work).is_some_and(|work| work.serial == asked.serial)
    }

    /// Answers a request. One that something has overtaken is answered into the void.
    pub fn complete(&mut self, asked: &Asked, result: Result<(), String>) {
        if !self.is_open(asked) {
            return;
        }
        let Asked { node, resource, verb, serial, .. } = *asked;
        match result {
            Ok(()) => self.guest_stage(node, resource, serial),
            Err(error) => self.host_refuses(node, resource, verb, error),
        }
    }

    /// A hosted resource has failed by itself.
    pub fn report(&mut self, node: NodeId, resource: ResourceId, epoch: Epoch, detail: &str) {
        let (trouble, detail) = (Trouble::Reported, detail.to_owned());
        let life = self.hosts[&node].lives;
        self.deliver(node, life, Event::ResourceFailed { resource, epoch, trouble, detail });
    }

    /// Whether the outside is to answer. Where a fault of the script says how it ends, it is not even asked.
    pub(super) fn is_asked_outside(
        &mut self,
        node: NodeId,
        resource: ResourceId,
        verb: ResourceVerb,
    ) -> bool {
        let handed_over = matches!(verb, ResourceVerb::Send { .. });
        let is_hosted = self.hosting.resources.contains(&resource) && !handed_over;
        let slot = self.slot(node, resource);
        let by_fault = match verb {
            ResourceVerb::Start { .. } | ResourceVerb::Load { .. } => slot.failing_starts > 0,
            ResourceVerb::Stop { .. } => slot.guest.as_ref().is_some_and(|guest| guest.hangs),
            ResourceVerb::Run
            | ResourceVerb::Save { .. }
            | ResourceVerb::Send { .. }
            | ResourceVerb::Kill => false,
        };
        is_hosted && !by_fault
    }

    pub(super) fn ask_host(&mut self, node: NodeId, resource: ResourceId, work: Work) {
        let Work { op, verb, serial } = work;
        let running = self.guest(node, resource).map(|guest| guest.epoch);
        let epoch = match verb {
            ResourceVerb::Start { epoch } | ResourceVerb::Load { epoch, .. } => epoch,
            ResourceVerb::Run
            | ResourceVerb::Save { .. }
            | ResourceVerb::Send { .. }
            | ResourceVerb::Stop { .. }
            | ResourceVerb::Kill => running.unwrap_or_default(),
        };
        let asked = Asked { node, resource, op, verb, epoch, serial };
        self.hosting.waiting.push_back(Hosted::Asked(asked));
    }

    /// Tells the outside that the process of a node has ended.
    pub(super) fn host_loses(&mut self, node: NodeId) {
        let Hosting { resources, waiting } = &mut self.hosting;
        waiting.extend(resources.iter().map(|&resource| Hosted::Gone(node, resource)));
    }

    fn host_refuses(
        &mut self,
        node: NodeId,
        resource: ResourceId,
        verb: ResourceVerb,
        error: String,
    ) {
        match verb {
            ResourceVerb::Start { .. } | ResourceVerb::Load { .. } | ResourceVerb::Run => {
                self.start_failed(node, resource, &error);
                self.end_guest(node, resource, Ending::Stopped);
            }
            ResourceVerb::Stop { .. } | ResourceVerb::Kill => {
                let (group, _) = self.group_of(resource);
                self.mark_group(Kind::GroupStopFailed, group, node, &error);
            }
            ResourceVerb::Save { .. } | ResourceVerb::Send { .. } => {}
        }
        self.end_work(node, resource, Err(error));
    }
}
