//! The register in which the witness lives: a version and bytes, taken together or not at all.

use std::collections::BTreeMap;

use quorate_core::action::WitnessVerb;
use quorate_core::codec;
use quorate_core::consensus::witness::WitnessState;
use quorate_core::event::WitnessReply;
use quorate_core::id::{NodeId, OpId};

/// A version and what it holds.
#[derive(Clone, Debug, Default)]
struct Page {
    version: u64,
    bytes: Vec<u8>,
}

/// The register, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Register {
    page: Page,
    /// What a node sees that has not mounted the share: a directory of its own, empty at first.
    bare: BTreeMap<NodeId, Page>,
    /// How many faults keep everybody from it, and each node.
    pub off: u32,
    /// See `off`.
    pub off_for: BTreeMap<NodeId, u32>,
    /// How many faults make it slow.
    pub slow: u32,
    /// How many make it lose requests, or their answers.
    pub losing: u32,
    /// How many have taken the share from each node.
    pub unmounted: BTreeMap<NodeId, u32>,
    /// A bug: it takes every swap.
    pub is_blind: bool,
    /// Requests under way: when each was made by its node's clock, and whether the witness took a coordinator's
    /// message by it.
    pub asked: BTreeMap<(NodeId, u64, OpId), (u64, bool)>,
}

impl Register {
    /// Whether a node reaches it.
    pub fn is_reached_by(&self, node: NodeId) -> bool {
        self.off == 0 && self.off_for.get(&node).is_none_or(|&count| count == 0)
    }

    /// The state in it; none: it was never written.
    pub fn state(&self) -> Option<WitnessState> {
        state_of(&self.page)
    }

    /// Carries out a request of a node, all at once. Beside the answer: the states before and after, if it was a swap
    /// and is done.
    pub fn take(&mut self, node: NodeId, verb: WitnessVerb) -> (WitnessReply, Option<Swapped>) {
        let is_bare = self.unmounted.get(&node).is_some_and(|&count| count > 0);
        let page = if is_bare { self.bare.entry(node).or_default() } else { &mut self.page };
        match verb {
            WitnessVerb::Read => {
                let Page { version, bytes } = page.clone();
                (WitnessReply::State { version, bytes }, None)
            }
            WitnessVerb::Swap { expected, .. } if expected != page.version && !self.is_blind => {
                (WitnessReply::Changed, None)
            }
            WitnessVerb::Swap { expected, bytes } => {
                let before = state_of(page);
                *page = Page { version: expected + 1, bytes };
                let swapped = state_of(page).map(|after| Swapped { before, after });
                (WitnessReply::Swapped, swapped)
            }
        }
    }
}

/// A swap that was done.
#[derive(Debug)]
pub struct Swapped {
    /// What stood there.
    pub before: Option<WitnessState>,
    /// What stands there.
    pub after: WitnessState,
}

impl Swapped {
    /// Whether the witness has taken a message of a coordinator by it, and follows `node`.
    pub fn keeps(&self, node: NodeId) -> bool {
        let beats = self.before.as_ref().map_or(0, |before| before.beats);
        self.after.beats > beats && self.after.follows.is_some_and(|voter| voter.node() == node)
    }
}

fn state_of(page: &Page) -> Option<WitnessState> {
    codec::decode(&page.bytes).ok()
}
