//! A node that the network has lost may still beat on storage: then it is isolated, not dead. That
//! changes what people are told, and nothing else: an isolated node is fenced as any other.

use super::Engine;
use crate::action::{Action, LunVerb};
use crate::event::{LunFailure, LunReply};
use crate::heartbeat::Liveness;
use crate::id::{LunId, NodeId, OpId};
use crate::notice::Notice;
use crate::time::Instant;

/// What is known of a suspect's storage heartbeat.
#[derive(Debug, Default)]
pub(super) struct Probe {
    waiting: Option<OpId>,
    asked: Option<Instant>,
    counter: Option<u64>,
    /// It beats on storage while the network is silent.
    pub(super) isolated: bool,
}

impl Engine {
    /// Reads the storage heartbeat of every node that is silent on the network.
    pub(super) fn probe_storage(&mut self) {
        let silent: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.liveness != Liveness::Alive)
            .map(|(&node, _)| node)
            .collect();
        self.probes.retain(|node, _| silent.contains(node));
        for node in silent {
            let Some(lun) = self.lun_of(node) else { continue };
            let interval = self.timing().interval;
            let probe = self.probes.entry(node).or_default();
            let lately = probe.asked.is_some_and(|asked| self.now.since(asked) < interval);
            if probe.waiting.is_none() && !lately {
                let op = self.out.op();
                probe.waiting = Some(op);
                probe.asked = Some(self.now);
                self.out.act(Action::Lun { op, lun, verb: LunVerb::ReadBeat(node) });
            }
        }
    }

    /// A LUN on which the node beats: one of a group that it owns.
    fn lun_of(&self, node: NodeId) -> Option<LunId> {
        let database = self.database.as_ref()?;
        let owned = database
            .groups()
            .iter()
            .filter(|(_, record)| record.owner().is_some_and(|(owner, _)| owner == node));
        owned
            .filter_map(|(&id, _)| database.config().group(id))
            .find_map(|group| group.luns.first().copied())
    }

    /// The answer to a probe. False: it is none.
    pub(super) fn on_probe_answer(
        &mut self,
        op: OpId,
        result: &Result<LunReply, LunFailure>,
    ) -> bool {
        let Some((&node, probe)) =
            self.probes.iter_mut().find(|(_, probe)| probe.waiting == Some(op))
        else {
            return false;
        };
        probe.waiting = None;
        if let Ok(LunReply::Beat { counter }) = result {
            let advanced = counter.is_some() && probe.counter.is_some() && *counter > probe.counter;
            probe.counter = *counter;
            if advanced && !probe.isolated {
                probe.isolated = true;
                self.out.tell(Notice::Isolated { node });
            }
        }
        true
    }
}
