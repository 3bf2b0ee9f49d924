//! Engines that are replaced while what they have started runs on. Their sockets stay open meanwhile, and whoever
//! holds them ends what runs when the lease is over.

use std::time::Duration;

use quorate_core::engine::Handover;
use quorate_core::id::NodeId;

use super::World;
use super::processes::Death;
use crate::chance;
use crate::guest::Stage;
use crate::schedule::Happening;

/// How long until an engine that could not end just now is asked again.
const AGAIN: Duration = Duration::from_millis(2);

impl World {
    /// Replaces the engine of a node; its guests go on, as far as they can do without it.
    pub fn replace_engine(&mut self, node: NodeId) {
        let life = self.hosts[&node].lives;
        self.engine_ends(node, life);
    }

    pub(super) fn engine_ends(&mut self, node: NodeId, life: u64) {
        let process = self.hosts[&node].process.as_ref().filter(|process| process.life == life);
        let Some(process) = process else { return };
        let Some(handover) = process.engine.hand_on().filter(|_| process.pause.is_none()) else {
            return self.after(AGAIN, Happening::EngineEnds(node, life));
        };
        let Some(process) = self.host(node).process.take() else { return };
        self.unrest.on_node(node, self.now);
        self.tell(|| format!("{node}: the engine ends, and leaves {:?}", handover.groups));
        let host = self.host(node);
        host.keep_lease(process.acknowledged);
        host.handover = Some(handover);
        self.close_streams(node, life, Death::Goodbye);
        self.abandon_sessions(node, life);
        for slot in self.host(node).slots.values_mut() {
            slot.work = None;
            slot.queue.clear();
        }
        let host = &self.hosts[&node];
        let end = host.clock.when(host.lease_end(&self.config).unwrap_or_default());
        self.schedule.at(end.max(self.now), Happening::Orphans(node, life));
        let delay = chance::millis(&mut self.random, 20, 300);
        self.after(delay, Happening::Restart(node));
    }

    /// What was left to the engine that starts now, as it stands by now.
    pub(super) fn take_handover(&mut self, node: NodeId) -> Option<Handover> {
        let mut handover = self.host(node).handover.take()?;
        for group in &mut handover.groups {
            let resources = self.known_group(group.group).map(|one| one.resources.as_slice());
            let mut resources = resources.unwrap_or_default().iter();
            group.runs &= resources.all(|one| self.stage(node, one.id) == Some(Stage::Running));
        }
        Some(handover)
    }
}
