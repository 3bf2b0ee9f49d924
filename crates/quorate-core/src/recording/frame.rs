//! The frames of a recording.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::ClusterConfig;
use crate::durable::Record;
use crate::engine::Handover;
use crate::event::Event;
use crate::id::{Incarnation, NodeId, PathId};
use crate::message::{Ages, Beat};
use crate::time::Instant;

/// What the first chunk holds: all that makes the engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OpeningFrame {
    /// The configuration it was started with, without its secrets.
    pub config: ClusterConfig,
    /// The digest of that configuration with its secrets.
    pub digest: u64,
    pub node: NodeId,
    pub boot: u64,
    pub seed: u64,
    /// What it remembered.
    pub records: Vec<Record>,
    /// What a predecessor has left to it.
    pub inherits: Option<Handover>,
    /// The time of its beginning, on its own clock.
    pub start: Instant,
    /// The same in microseconds since 1970.
    pub unix_us: u64,
    /// The version of quorate.
    pub version: String,
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The node ended.
    Closed,
    /// The recording reached the size that it may have; the node ran on.
    Full,
    /// The disk did not keep up or refused to write: the events after this are missing; the node ran on.
    Lost,
    /// The engine panicked in the last step.
    Panicked,
}

/// One frame. Times are the nanoseconds since the frame before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Frame {
    /// A deadline came.
    Tick { later: u64 },
    /// A heartbeat came.
    Beat { later: u64, from: NodeId, path: PathId, change: BeatChange },
    /// Something else came.
    Event { later: u64, event: Event },
    /// So many steps gave actions of this digest.
    Proof { steps: u64, digest: u64 },
    /// Nothing follows. `open`: the last step has no digest of its own.
    End { how: Ending, open: bool },
}

/// How a heartbeat differs from the one that its sender's last ones let expect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BeatChange {
    incarnation: Option<Incarnation>,
    sequence: i64,
    sent: i64,
    acknowledged: Acknowledged,
    witnessed: Option<(u64, u64)>,
    applied: i64,
    lease: bool,
    probe: bool,
    heard: Ages,
    withheld: Ages,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Acknowledged {
    Nothing,
    /// The same boot, so much later.
    Later(i64),
    Other(u64, u64),
}

/// The last heartbeat of each sender.
#[derive(Clone, Debug, Default)]
pub(super) struct Beats(BTreeMap<NodeId, Last>);

#[derive(Clone, Debug)]
struct Last {
    incarnation: Incarnation,
    sequence: u64,
    sent: u64,
    /// How long after the one before it was sent.
    gap: u64,
    acknowledged: (u64, u64),
    applied: u64,
}

impl Default for Last {
    fn default() -> Self {
        let incarnation = Incarnation::default();
        Self { incarnation, sequence: 0, sent: 0, gap: 0, acknowledged: (0, 0), applied: 0 }
    }
}

impl Beats {
    /// What is written of a heartbeat.
    pub(super) fn change(&mut self, from: NodeId, beat: &Beat) -> BeatChange {
        let last = self.0.entry(from).or_default();
        let acknowledged = match beat.acknowledged {
            None => Acknowledged::Nothing,
            Some((boot, sent)) if boot == last.acknowledged.0 => {
                Acknowledged::Later(difference(sent, last.acknowledged.1))
            }
            Some((boot, sent)) => Acknowledged::Other(boot, sent),
        };
        let change = BeatChange {
            incarnation: (beat.incarnation != last.incarnation).then_some(beat.incarnation),
            sequence: difference(beat.sequence, last.sequence),
            sent: difference(beat.sent, last.expected(beat.sequence)),
            acknowledged,
            witnessed: beat.witnessed,
            applied: difference(beat.applied, last.applied),
            lease: beat.lease,
            probe: beat.probe,
            heard: beat.heard.clone(),
            withheld: beat.withheld.clone(),
        };
        last.take(beat);
        change
    }

    /// The heartbeat of which that was written.
    pub(super) fn beat(&mut self, from: NodeId, change: BeatChange) -> Beat {
        let last = self.0.entry(from).or_default();
        let sequence = sum(last.sequence, change.sequence);
        let beat = Beat {
            incarnation: change.incarnation.unwrap_or(last.incarnation),
            sequence,
            sent: sum(last.expected(sequence), change.sent),
            acknowledged: match change.acknowledged {
                Acknowledged::Nothing => None,
                Acknowledged::Later(later) => {
                    Some((last.acknowledged.0, sum(last.acknowledged.1, later)))
                }
                Acknowledged::Other(boot, sent) => Some((boot, sent)),
            },
            witnessed: change.witnessed,
            applied: sum(last.applied, change.applied),
            lease: change.lease,
            heard: change.heard,
            withheld: change.withheld,
            probe: change.probe,
        };
        last.take(&beat);
        beat
    }
}

impl Last {
    /// When a beat of this number was probably sent: the same beat on another network, or the next one.
    fn expected(&self, sequence: u64) -> u64 {
        if sequence == self.sequence { self.sent } else { self.sent.wrapping_add(self.gap) }
    }

    fn take(&mut self, beat: &Beat) {
        if beat.sequence != self.sequence {
            self.gap = beat.sent.wrapping_sub(self.sent);
        }
        self.incarnation = beat.incarnation;
        self.sequence = beat.sequence;
        self.sent = beat.sent;
        self.acknowledged = beat.acknowledged.unwrap_or(self.acknowledged);
        self.applied = beat.applied;
    }
}

fn difference(value: u64, from: u64) -> i64 {
    value.wrapping_sub(from) as i64
}

fn sum(from: u64, difference: i64) -> u64 {
    from.wrapping_add(difference as u64)
}
