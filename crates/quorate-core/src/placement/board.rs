//! The nodes while groups are being placed on them: what each has, and what it has been given.

use std::collections::{BTreeMap, BTreeSet};

use super::{Candidate, Keeps, Now};
use crate::config::{Amounts, Balance, By, ClusterConfig, Domain};
use crate::id::NodeId;
use crate::plant::{self, Plant};

/// One part of a million, the unit of every proportion.
const MILLION: u128 = 1_000_000;

/// How much of each kind, in the order of the configuration's kinds.
pub(super) type Vector = Vec<u64>;

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) id: NodeId,
    pub(super) open: bool,
    pub(super) up: bool,
    pub(super) heard: bool,
    paused: bool,
    pub(super) keeps: Keeps,
    domain: Domain,
    capacity: Vector,
    /// What those that are placed use of it.
    used: Vector,
    /// What those that run there and are not placed yet use of it.
    expected: Vector,
    /// What all of them load it with.
    load: Vector,
    groups: u64,
}

/// All nodes, by number.
#[derive(Clone, Debug)]
pub(super) struct Board {
    balance: Balance,
    limited: bool,
    pub(super) slots: Vec<Slot>,
    /// By the number of the node.
    at: Vec<Option<usize>>,
    /// The open ones by how many groups they have.
    by_groups: BTreeSet<(u64, usize)>,
}

/// What a group takes of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    pub(super) uses: Vector,
    pub(super) load: Vector,
}

/// More than this of one kind counts as this much: sums of a whole cluster's stay exact.
const AMOUNT_MAX: u64 = 1 << 46;

/// The amounts in the order of `kinds`; nothing at all is an empty vector.
fn vector(kinds: &[String], amounts: &Amounts) -> Vector {
    if amounts.is_empty() {
        return Vector::new();
    }
    let amount = |kind| amounts.get(kind).copied().unwrap_or_default().min(AMOUNT_MAX);
    kinds.iter().map(amount).collect()
}

fn add(sum: &mut Vector, other: &Vector) {
    if sum.len() < other.len() {
        sum.resize(other.len(), 0);
    }
    sum.iter_mut().zip(other).for_each(|(sum, more)| *sum = sum.saturating_add(*more));
}

fn take(sum: &mut Vector, other: &Vector) {
    sum.iter_mut().zip(other).for_each(|(sum, less)| *sum = sum.saturating_sub(*less));
}

fn of(vector: &Vector, kind: usize) -> u64 {
    vector.get(kind).copied().unwrap_or_default()
}

impl Load {
    pub(super) fn of(config: &ClusterConfig, group: usize, now: &Now) -> Self {
        let wishes = &config.groups()[group].wishes;
        let kinds = config.bonds().kinds();
        let load = now.load.as_ref().unwrap_or(&wishes.load);
        Self { uses: vector(kinds, &wishes.uses), load: vector(kinds, load) }
    }

    pub(super) fn and(&mut self, other: &Load) {
        add(&mut self.uses, &other.uses);
        add(&mut self.load, &other.load);
    }
}

impl Board {
    pub(super) fn new(config: &ClusterConfig, nodes: &BTreeMap<NodeId, Candidate>) -> Self {
        let kinds = config.bonds().kinds();
        let slot = |(&id, candidate): (&NodeId, &Candidate)| Slot {
            id,
            open: candidate.is_open(),
            up: candidate.up,
            heard: candidate.heard,
            paused: candidate.paused,
            keeps: candidate.keeps,
            domain: config.node(id).map_or_else(Domain::default, |node| node.domain.clone()),
            capacity: config
                .node(id)
                .map_or_else(Vector::new, |node| vector(kinds, &node.capacity)),
            used: Vector::new(),
            expected: Vector::new(),
            load: Vector::new(),
            groups: 0,
        };
        let slots: Vec<Slot> = nodes.iter().map(slot).collect();
        let most = slots.iter().map(|slot| usize::from(slot.id.0)).max();
        let mut at = vec![None; most.map_or(0, |most| most + 1)];
        slots.iter().enumerate().for_each(|(place, slot)| at[usize::from(slot.id.0)] = Some(place));
        Self {
            balance: config.policy().balance,
            limited: config.policy().limited,
            by_groups: BTreeSet::new(),
            at,
            slots,
        }
    }

    /// How a node is, as it was told.
    pub(super) fn candidate(&self, at: usize) -> Candidate {
        let slot = &self.slots[at];
        Candidate { up: slot.up, heard: slot.heard, paused: slot.paused, keeps: slot.keeps }
    }

    /// A node is another way than before.
    pub(super) fn set(&mut self, at: usize, candidate: &Candidate) {
        let slot = &mut self.slots[at];
        let groups = (slot.groups, at);
        slot.open = candidate.is_open();
        (slot.up, slot.heard) = (candidate.up, candidate.heard);
        (slot.paused, slot.keeps) = (candidate.paused, candidate.keeps);
        if slot.open {
            self.by_groups.insert(groups);
        } else {
            self.by_groups.remove(&groups);
        }
    }

    /// Whether two nodes are one place in the sense of a rule.
    pub(super) fn are_one_place(&self, one: usize, other: usize, by: By) -> bool {
        let (one_is, other_is) = (&self.slots[one].domain, &self.slots[other].domain);
        match by {
            By::Node => one == other,
            By::Rack => one_is == other_is,
            By::Site => one_is.site == other_is.site,
        }
    }

    pub(super) fn place_of(&self, node: NodeId) -> Option<usize> {
        self.at.get(usize::from(node.0)).copied().flatten()
    }

    /// Whether nodes have limits at all.
    pub(super) fn has_limits(&self) -> bool {
        self.limited
    }

    /// The open nodes, those with the fewest groups first.
    pub(super) fn emptiest(&self) -> impl Iterator<Item = usize> + '_ {
        self.by_groups.iter().map(|&(_, at)| at)
    }

    /// Whether the number of groups is all that loads say.
    pub(super) fn counts_only(&self) -> bool {
        self.balance == Balance::Groups
    }

    /// Whether what is balanced is how heavy groups are.
    pub(super) fn weighs_loads(&self) -> bool {
        self.balance == Balance::Load
    }

    /// Whether a group that uses something finds limits.
    pub(super) fn is_limited(&self, load: &Load) -> bool {
        self.limited && !load.uses.is_empty()
    }

    /// A group is there from the beginning, before the nodes are sorted.
    pub(super) fn enter_first(&mut self, at: usize, load: &Load) {
        let slot = &mut self.slots[at];
        slot.groups += 1;
        add(&mut slot.expected, &load.uses);
        add(&mut slot.load, &load.load);
    }

    /// From now on the nodes are kept sorted by how many groups they have.
    pub(super) fn sort(&mut self) {
        let open = self.slots.iter().enumerate().filter(|(_, slot)| slot.open);
        self.by_groups = open.map(|(at, slot)| (slot.groups, at)).collect();
    }

    /// A group is there, placed or not yet.
    pub(super) fn enter(&mut self, at: usize, load: &Load) {
        self.count(at, |slot| slot.groups += 1);
        let slot = &mut self.slots[at];
        add(&mut slot.expected, &load.uses);
        add(&mut slot.load, &load.load);
    }

    /// It is not there after all.
    pub(super) fn quit(&mut self, at: usize, load: &Load) {
        self.count(at, |slot| slot.groups = slot.groups.saturating_sub(1));
        let slot = &mut self.slots[at];
        take(&mut slot.expected, &load.uses);
        take(&mut slot.load, &load.load);
    }

    /// What has entered is placed.
    pub(super) fn settle(&mut self, at: usize, load: &Load) {
        add(&mut self.slots[at].used, &load.uses);
    }

    /// What was placed is not.
    pub(super) fn unsettle(&mut self, at: usize, load: &Load) {
        take(&mut self.slots[at].used, &load.uses);
    }

    fn count(&mut self, at: usize, change: impl Fn(&mut Slot)) {
        let slot = &mut self.slots[at];
        let before = (slot.groups, at);
        change(slot);
        let after = (slot.groups, at);
        if slot.open {
            self.by_groups.remove(&before);
            self.by_groups.insert(after);
        }
    }

    /// Whether a node has room beside what is placed there.
    pub(super) fn has_room(&self, at: usize, load: &Load) -> bool {
        !self.limited || self.fits(at, &self.slots[at].used, load)
    }

    /// Whether it has room beside all that is there now.
    pub(super) fn has_room_for_all(&self, at: usize, load: &Load) -> bool {
        !self.limited || self.fits(at, &self.slots[at].expected, load)
    }

    /// Whether there is more than the node has room for, of anything that this load of those there uses.
    pub(super) fn is_overfull(&self, at: usize, load: &Load) -> bool {
        let slot = &self.slots[at];
        let mut kinds = load.uses.iter().enumerate().filter(|(_, one)| **one > 0);
        self.limited && kinds.any(|(kind, _)| of(&slot.expected, kind) > of(&slot.capacity, kind))
    }

    fn fits(&self, at: usize, used: &Vector, load: &Load) -> bool {
        if plant::is(Plant::RoomIgnored) {
            return true;
        }
        let capacity = &self.slots[at].capacity;
        let kinds = load.uses.iter().enumerate().filter(|(_, more)| **more > 0);
        kinds
            .into_iter()
            .all(|(kind, more)| of(used, kind).saturating_add(*more) <= of(capacity, kind))
    }

    /// How much a group loads the cluster, where loads count.
    pub(super) fn size(&self, load: &Load) -> u64 {
        if self.balance != Balance::Load || load.load.is_empty() {
            return 0;
        }
        let all = |kind: usize| {
            self.slots.iter().map(|slot| of(&slot.capacity, kind)).fold(0, u64::saturating_add)
        };
        let kinds = load.load.iter().enumerate();
        kinds.map(|(kind, &amount)| proportion(amount, all(kind))).fold(0, u64::saturating_add)
    }

    /// Whether all nodes that get groups have the room together.
    pub(super) fn has_room_in_all(&self, load: &Load) -> bool {
        let open = || self.slots.iter().filter(|slot| slot.open);
        let left = |kind: usize| {
            let left = |slot: &Slot| of(&slot.capacity, kind).saturating_sub(of(&slot.used, kind));
            open().map(left).fold(0, u64::saturating_add)
        };
        load.uses.iter().enumerate().all(|(kind, &more)| left(kind) >= more)
    }

    /// How loaded a node is, to be held against the others.
    pub(super) fn share(&self, at: usize) -> u64 {
        let slot = &self.slots[at];
        let sum = |amounts: &Vector| -> u64 {
            let kinds = 0..amounts.len();
            kinds.map(|kind| proportion(of(amounts, kind), of(&slot.capacity, kind))).sum()
        };
        match self.balance {
            Balance::Groups | Balance::Few => slot.groups,
            Balance::Load => sum(&slot.load),
            Balance::Room => sum(&slot.expected),
        }
    }

    /// How loaded a node would be with this as well: less is better.
    pub(super) fn load(&self, at: usize, load: &Load) -> u64 {
        let slot = &self.slots[at];
        match self.balance {
            Balance::Groups => slot.groups,
            Balance::Few => u64::from(slot.groups == 0),
            Balance::Load => {
                let used = |kind: usize| of(&slot.load, kind).saturating_add(of(&load.load, kind));
                let kinds = slot.load.len().max(load.load.len());
                (0..kinds).map(|kind| proportion(used(kind), of(&slot.capacity, kind))).sum()
            }
            Balance::Room => {
                let left =
                    |kind: usize| of(&slot.capacity, kind).saturating_sub(of(&slot.expected, kind));
                let most = |kind: usize| {
                    self.slots.iter().map(|slot| of(&slot.capacity, kind)).max().unwrap_or(0)
                };
                let kinds = slot.capacity.len();
                let room: u64 = (0..kinds).map(|kind| proportion(left(kind), most(kind))).sum();
                (u64::MAX >> 16)
                    .saturating_sub(room.saturating_mul(1_000))
                    .saturating_add(slot.groups)
            }
        }
    }
}

/// In parts of a million; of nothing, everything is too much.
fn proportion(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return part.saturating_mul(1_000_000).min(u64::MAX >> 20);
    }
    u64::try_from(u128::from(part) * MILLION / u128::from(whole)).unwrap_or(u64::MAX >> 20)
}
