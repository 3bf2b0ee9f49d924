//! Nodes that are shut down or rebooted in order.

use std::time::Duration;

use quorate_core::change::Failback;
use quorate_core::id::NodeId;
use quorate_core::message::Command;

use super::super::model::ShutdownPolicy;
use super::Stage;
use crate::clock::Moment;

/// After this a node that cannot leave in order is switched off.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a host takes to boot again.
const REBOOT: Duration = Duration::from_secs(20);

/// What comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It stays off.
    Off,
    /// It comes back by itself.
    Back,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It is being emptied.
    Drains,
    /// It leaves the cluster.
    Leaves,
    /// It is off.
    IsOff,
}

/// A node on its way out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    node: NodeId,
    then: Then,
    phase: Phase,
    since: Moment,
}

impl Stage<'_> {
    /// A node is asked to go. One that does not run has gone already.
    pub(super) fn send_away(&mut self, node: NodeId, then: Then) {
        let under_way = self.departures.iter().any(|one| one.node == node);
        if under_way || self.world.host_of(node).process.is_none() {
            return;
        }
        let policy = self.scenario.cluster.node_shutdown_policy;
        let phase = match (policy, then) {
            (ShutdownPolicy::Migrate, _) => {
                self.wish(Command::Drain { node: self.name_of(node) });
                self.draining.insert(node);
                self.returning.insert(node);
                Phase::Drains
            }
            (ShutdownPolicy::Conditional, Then::Off) | (ShutdownPolicy::Failover, _) => {
                self.world.ask_to_leave(node);
                Phase::Leaves
            }
            (ShutdownPolicy::Conditional, Then::Back) | (ShutdownPolicy::Freeze, _) => {
                self.world.ask_to_leave_for_a_while(node);
                Phase::Leaves
            }
        };
        self.departures.push(Departure { node, then, phase, since: self.world.now() });
    }

    /// A node has lost its power before it could leave.
    pub(super) fn is_gone_already(&mut self, node: NodeId) {
        self.departures.retain(|one| one.node != node);
    }

    /// Whether somebody is on its way out, or back, and nobody outside holds it up.
    pub(super) fn is_departing(&self) -> bool {
        let is_held = |one: &Departure| {
            let slots = self.world.host_of(one.node).slots.values();
            let mut guests = slots.filter_map(|slot| slot.guest.as_ref());
            one.phase != Phase::IsOff && guests.any(|guest| self.world.is_locked(guest.group))
        };
        self.departures.iter().any(|one| !is_held(one))
    }

    /// Goes on with every departure.
    pub(super) fn depart(&mut self) {
        let mut left = Vec::new();
        for departure in std::mem::take(&mut self.departures) {
            left.extend(self.depart_one(departure));
        }
        self.departures = left;
    }

    fn depart_one(&mut self, departure: Departure) -> Option<Departure> {
        let Departure { node, then, phase, since } = departure;
        let now = self.world.now();
        let late = now.since(since) > PATIENCE;
        let ended = self.world.host_of(node).process.is_none();
        match phase {
            Phase::Drains if late || ended || !self.draining.contains(&node) => {
                self.world.ask_to_leave(node);
                Some(Departure { phase: Phase::Leaves, since: now, ..departure })
            }
            Phase::Leaves if late || ended => {
                self.world.power_off(node);
                (then == Then::Back).then_some(Departure {
                    phase: Phase::IsOff,
                    since: now,
                    ..departure
                })
            }
            Phase::IsOff if now.since(since) >= REBOOT => {
                self.switch_on(node);
                None
            }
            Phase::Drains | Phase::Leaves | Phase::IsOff => Some(departure),
        }
    }

    /// A node is on again, and gets back what its shutdown has drained.
    pub(super) fn switch_on(&mut self, node: NodeId) {
        self.world.switch_on(node);
        if self.returning.remove(&node) && !self.maintained.contains(&node) {
            self.wish(Command::Resume { node: self.name_of(node), failback: Failback::Now });
        }
    }
}
