//! Nodes that come and go: how often each went down, and who is given nothing for a while because of it.

use serde::{Deserialize, Serialize};

use super::{Database, NodeState};
use crate::config::Quarantine;
use crate::id::NodeId;
use crate::notice::Notice;
use crate::placement::NotHere;
use crate::plant::{self, Plant};
use crate::time::millis;

/// Of one node, at most so many times at which it went down are remembered.
const DOWNS_MAX: usize = 64;

/// How often a node went down, in the cluster's time in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flapping {
    /// When, newest last, as far as that counts for a quarantine: older ones than anybody asks for are dropped, and all
    /// when one ends.
    pub downs: Vec<u64>,
    /// When it went down last, whatever was forgiven since: as long as it is lost it counts among the losses.
    pub last: u64,
    /// How often it has been in quarantine, as far as that counts for the length of the next one.
    pub times: u32,
    /// In quarantine until then; none: it is not.
    pub until: Option<u64>,
    /// When its last quarantine ended.
    pub ended: u64,
}

impl Database {
    /// How often a node went down lately; none: never.
    pub fn flapping(&self, node: NodeId) -> Option<&Flapping> {
        self.flapping.get(&node)
    }

    /// Until when a node is in quarantine, in the cluster's time in milliseconds; none: it is not. It ends by a change.
    pub fn quarantined_until(&self, node: NodeId) -> Option<u64> {
        self.flapping.get(&node)?.until
    }

    /// Every node in quarantine, and until when.
    pub fn quarantines(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        self.flapping.iter().filter_map(|(&node, one)| Some((node, one.until?)))
    }

    /// Whether a node that takes part may get groups.
    pub fn is_open(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(super::NodeRecord::is_open)
            && (self.quarantined_until(node).is_none() || plant::is(Plant::QuarantineIgnored))
    }

    /// Why a group is not on a node, where placement knows only that it gets nothing.
    pub fn why_closed(&self, node: NodeId, why: NotHere) -> NotHere {
        match why {
            NotHere::Paused if self.quarantined_until(node).is_some() => NotHere::Quarantined,
            other => other,
        }
    }

    /// The nodes that are lost at present and were lost within `period_ms`, and when; the first lost comes first.
    pub fn losses(&self, at_ms: u64, period_ms: u64) -> Vec<(u64, NodeId)> {
        let lost = |node: &NodeId| {
            let state = self.nodes.get(node).map(|record| record.state);
            matches!(state, Some(NodeState::Down(_) | NodeState::Fenced(_)))
        };
        let all = self.flapping.iter().map(|(&node, one)| (one.last, node));
        let mut losses: Vec<(u64, NodeId)> =
            all.filter(|&(at, node)| at.saturating_add(period_ms) > at_ms && lost(&node)).collect();
        losses.sort_unstable();
        losses
    }

    /// A node has gone down.
    pub(super) fn note_down(&mut self, node: NodeId, notices: &mut Vec<Notice>) {
        let (now, policy) = (self.at_ms, self.config.policy());
        let quarantine = policy.quarantine;
        let period = quarantine.map_or(0, |one| millis(one.period));
        let kept = period.max(millis(policy.limits.losses_period));
        let may = self.quarantines().count() < (self.nodes.len() / 4).max(1);
        let flapping = self.flapping.entry(node).or_default();
        flapping.downs.retain(|&at| at.saturating_add(kept) > now);
        flapping.downs.push(now);
        flapping.last = now;
        if flapping.downs.len() > DOWNS_MAX {
            flapping.downs.remove(0);
        }
        let recent = flapping.downs.iter().filter(|&&at| at.saturating_add(period) > now).count();
        let failures = u32::try_from(recent).unwrap_or(u32::MAX);
        let Some(quarantine) = quarantine.filter(|one| may && failures >= one.threshold) else {
            return;
        };
        if flapping.until.is_none() {
            let hold_ms = flapping.begin(now, &quarantine);
            notices.push(Notice::Quarantined { node, failures, hold_ms });
        }
    }

    /// The time of a quarantine is over.
    pub(super) fn outlive_quarantine(&mut self, node: NodeId, notices: &mut Vec<Notice>) {
        if self.quarantined_until(node).is_some_and(|until| until <= self.at_ms) {
            self.end_quarantine(node, notices);
        }
    }

    /// The quarantine of a node is over, or has been ended.
    pub(super) fn end_quarantine(&mut self, node: NodeId, notices: &mut Vec<Notice>) {
        let now = self.at_ms;
        let Some(flapping) = self.flapping.get_mut(&node) else { return };
        if flapping.until.take().is_some() {
            flapping.ended = now;
            flapping.downs.clear();
            notices.push(Notice::QuarantineEnded { node });
        }
    }
}

impl Flapping {
    /// Begins a quarantine, and says how long it is.
    fn begin(&mut self, now: u64, policy: &Quarantine) -> u64 {
        let most = millis(policy.hold_max);
        if self.times > 0 && self.ended.saturating_add(most) <= now {
            self.times = 0;
        }
        let doubled = millis(policy.hold).saturating_mul(1 << self.times.min(32));
        let hold = doubled.min(most);
        self.times = self.times.saturating_add(1);
        self.until = Some(now.saturating_add(hold));
        hold
    }
}
