//! Handing over what runs: the driver on one node gives a guest's state to the driver on another.

use quorate_core::id::{NodeId, ResourceId, SaveToken};

use super::World;
use crate::guest::Stage;
use crate::timeline::Ending;

impl World {
    /// A guest is to go on elsewhere: copied, halted, and gone from here once the other side has all of it.
    pub(super) fn sends(
        &mut self,
        node: NodeId,
        resource: ResourceId,
        (token, to): (SaveToken, NodeId),
        serial: u64,
    ) {
        let Some(stage) = self.guest(node, resource).map(|guest| guest.stage) else {
            return self.end_work(node, resource, Err("it died".into()));
        };
        let fails = stage == Stage::Running && self.send_fails(resource);
        if fails || !self.reaches(node, to) {
            if stage == Stage::Halted {
                self.guest_runs(node, resource);
            }
            let error = "the other side does not take it".to_owned();
            return self.end_work(node, resource, Err(error));
        }
        let Some(guest) = self.guest(node, resource) else { return };
        if guest.stage == Stage::Running {
            guest.stage = Stage::Halted;
        }
        if !guest.writing.is_empty() {
            return self.stage_again(node, resource, serial);
        }
        let records = guest.records.clone();
        let life = self.hosts[&to].lives;
        self.storage.saves.insert(token, records);
        self.storage.sent.insert(token, (to, life));
        self.end_guest(node, resource, Ending::Sent);
        self.end_work(node, resource, Ok(()));
    }

    fn reaches(&self, node: NodeId, to: NodeId) -> bool {
        let open = self.links.paths().any(|path| self.links.is_open(node, to, path));
        node != to && open && self.hosts.of(&to).is_some_and(|host| host.is_awake())
    }

    /// Whether a state that was handed over is not in the memory of this node's driver.
    pub(super) fn is_elsewhere(&self, node: NodeId, token: SaveToken) -> bool {
        let here = (node, self.hosts[&node].lives);
        self.storage.sent.get(&token).is_some_and(|&holder| holder != here)
    }

    /// Whether a state was handed over, and not saved.
    pub(super) fn was_sent(&self, token: SaveToken) -> bool {
        self.storage.sent.contains_key(&token)
    }
}
