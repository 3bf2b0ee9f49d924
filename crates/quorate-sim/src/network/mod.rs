//! Networks between nodes: datagrams that get lost, doubled, delayed and overtaken, and streams that break.

mod stream;

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::id::{NodeId, PathId};
use quorate_core::random::Random;

use crate::chance;

pub use stream::{End, Stream, Streams};

/// How bad the networks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    /// Lost datagrams in a thousand.
    pub loss: u64,
    /// Doubled ones in a thousand.
    pub doubled: u64,
    /// Late ones in a thousand: they take up to ten times the longest delay, so later ones overtake them.
    pub late: u64,
    /// The longest usual delay, in microseconds.
    pub delay: u64,
}

impl Noise {
    /// A network in good order.
    pub const LITTLE: Self = Self { loss: 1, doubled: 1, late: 2, delay: 400 };
}

/// The links between nodes on every path, each direction by itself.
#[derive(Debug)]
pub struct Links {
    /// How many cuts lie on each; several may overlap.
    cuts: BTreeMap<(NodeId, NodeId, PathId), u32>,
    paths: u8,
    /// How bad they are.
    pub noise: Noise,
}

impl Links {
    /// `paths` networks in good order.
    pub fn new(paths: u8) -> Self {
        Self { cuts: BTreeMap::new(), paths, noise: Noise::LITTLE }
    }

    /// The networks.
    pub fn paths(&self) -> impl Iterator<Item = PathId> + use<> {
        (0..self.paths).map(PathId)
    }

    /// Lays one more cut on the link.
    pub fn cut(&mut self, from: NodeId, to: NodeId, path: PathId) {
        *self.cuts.entry((from, to, path)).or_default() += 1;
    }

    /// Takes one cut off the link.
    pub fn mend(&mut self, from: NodeId, to: NodeId, path: PathId) {
        if let Some(count) = self.cuts.get_mut(&(from, to, path)) {
            *count -= 1;
            if *count == 0 {
                self.cuts.remove(&(from, to, path));
            }
        }
    }

    /// Whether anything passes from one to the other on this path.
    pub fn is_cut(&self, from: NodeId, to: NodeId, path: PathId) -> bool {
        !self.cuts.is_empty() && self.cuts.contains_key(&(from, to, path))
    }

    /// Whether both directions of a path are open.
    pub fn is_open(&self, one: NodeId, other: NodeId, path: PathId) -> bool {
        !self.is_cut(one, other, path) && !self.is_cut(other, one, path)
    }

    /// How long the copies of one datagram take: none if it is lost, two if it is doubled.
    pub fn datagram(&self, random: &mut Random) -> [Option<Duration>; 2] {
        if random.chance(self.noise.loss, 1000) {
            return [None, None];
        }
        let first = self.delay(random);
        let second = random.chance(self.noise.doubled, 1000).then(|| self.delay(random));
        [Some(first), second]
    }

    /// How long a message takes on a stream, before those in front of it.
    pub fn delay(&self, random: &mut Random) -> Duration {
        let most = if random.chance(self.noise.late, 1000) {
            self.noise.delay * 10
        } else {
            self.noise.delay
        };
        chance::micros(random, 40, most)
    }
}
