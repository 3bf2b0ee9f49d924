//! Networks between nodes: datagrams that get lost, doubled, delayed and overtaken, and streams that break.

mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_core::id::{NodeId, PathId};
use quorate_core::random::Random;

use crate::chance;
use crate::fault::FaultKind;

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
    /// Damaged ones in a thousand.
    pub corrupt: u64,
}

impl Noise {
    /// A network in good order.
    pub const LITTLE: Self = Self { loss: 1, doubled: 1, late: 2, delay: 400, corrupt: 0 };

    /// Nothing at all: what [`Noise::with`] leaves as it is.
    pub const NONE: Self = Self { loss: 0, doubled: 0, late: 0, delay: 0, corrupt: 0 };

    /// The worse of both in each.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            loss: self.loss.max(other.loss),
            doubled: self.doubled.max(other.doubled),
            late: self.late.max(other.late),
            delay: self.delay.max(other.delay),
            corrupt: self.corrupt.max(other.corrupt),
        }
    }

    /// The kind of fault that it is: the first that it makes worse.
    pub fn kind(&self) -> FaultKind {
        let little = Self::LITTLE;
        let worse = [
            (self.loss > little.loss, FaultKind::Loss),
            (self.delay > little.delay, FaultKind::Delay),
            (self.doubled > little.doubled, FaultKind::Duplication),
            (self.late > little.late, FaultKind::Reordering),
            (self.corrupt > little.corrupt, FaultKind::Corruption),
        ];
        worse.into_iter().find(|(worse, _)| *worse).map_or(FaultKind::Loss, |(_, kind)| kind)
    }
}

/// The links between nodes on every path, each direction by itself.
#[derive(Debug)]
pub struct Links {
    /// How many cuts lie on each; several may overlap.
    cuts: BTreeMap<(NodeId, NodeId, PathId), u32>,
    /// Those on which every datagram is lost, while streams go on.
    lossy: BTreeSet<(NodeId, NodeId, PathId)>,
    paths: u8,
    noise: Noise,
    noises: Vec<Noise>,
}

impl Links {
    /// `paths` networks in good order.
    pub fn new(paths: u8) -> Self {
        Self {
            cuts: BTreeMap::new(),
            lossy: BTreeSet::new(),
            paths,
            noise: Noise::LITTLE,
            noises: Vec::new(),
        }
    }

    /// How bad they are.
    pub fn noise(&self) -> Noise {
        self.noise
    }

    /// Lets them get worse.
    pub fn add_noise(&mut self, noise: Noise) {
        self.noises.push(noise);
        self.noise = self.noise.with(noise);
    }

    /// Takes one such noise away.
    pub fn end_noise(&mut self, noise: Noise) {
        if let Some(at) = self.noises.iter().position(|&other| other == noise) {
            self.noises.swap_remove(at);
        }
        self.noise = self.noises.iter().fold(Noise::LITTLE, |all, &one| all.with(one));
    }

    /// Good order again.
    pub fn end_all_noise(&mut self) {
        self.noises.clear();
        self.noise = Noise::LITTLE;
    }

    /// Whether what is on its way is damaged before it arrives.
    pub fn corrupts(&self, random: &mut Random) -> bool {
        self.noise.corrupt > 0 && random.chance(self.noise.corrupt, 1000)
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

    /// Lets every datagram on these be lost from here on, and on no others.
    pub fn lose_datagrams(&mut self, links: impl IntoIterator<Item = (NodeId, NodeId, PathId)>) {
        self.lossy = links.into_iter().collect();
    }

    /// Whether no datagram passes from one to the other on this path.
    pub fn is_mute(&self, from: NodeId, to: NodeId, path: PathId) -> bool {
        self.is_cut(from, to, path)
            || !self.lossy.is_empty() && self.lossy.contains(&(from, to, path))
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
