//! I1: at any time at most one guest's writes would be taken by a LUN, and epochs on it only grow. A LUN that is
//! reserved stays so, for the same owner or a later one; and where a guest starts, no older owner that was there to be
//! seen is registered any more. Otherwise it would take the write that a stopped process has held back for an hour.

use std::collections::BTreeMap;

use quorate_core::id::{Epoch, GroupId, LunId, NodeId, ReservationKey};

use super::{Checker, Fact, View};
use crate::spoken::words;
use crate::storage::Initiator;

#[derive(Default)]
pub(super) struct OneWriter {
    newest: BTreeMap<LunId, (Epoch, NodeId)>,
    books: BTreeMap<LunId, Books>,
}

/// What a LUN's books held when they were looked at last.
#[derive(Default)]
struct Books {
    holder: Option<ReservationKey>,
    /// The newest holder of this cluster.
    owner: Option<ReservationKey>,
    /// How many reservations it had lost by a fault.
    losses: u32,
    /// Who is registered under which key, with the place in the order in which they came. Of a part, what is its own.
    keys: BTreeMap<(Initiator, ReservationKey), u64>,
    count: u64,
}

impl Checker for OneWriter {
    fn name(&self) -> &'static str {
        "OneWriter"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Wrote { lun, node, epoch, .. } => {
                let (last, writer) = *self.newest.entry(lun).or_insert((epoch, node));
                let late = epoch < last || epoch == last && node != writer;
                if late && view.is_sound(lun) {
                    return Err(format!(
                        "{lun} took a write of {node} in {epoch} after one of {writer} in {last}"
                    ));
                }
                self.newest.insert(lun, (epoch, node));
                Ok(())
            }
            Fact::Access { lun } => {
                at_most_one(view, lun)?;
                self.books.entry(lun).or_default().follow(view, lun)
            }
            Fact::Began { node, group, .. } => self.begins(view, node, group),
            Fact::Started { .. }
            | Fact::Told { .. }
            | Fact::Persists { .. }
            | Fact::Promises { .. }
            | Fact::Starts { .. }
            | Fact::Ended { .. }
            | Fact::Resumed { .. }
            | Fact::Passed
            | Fact::Applied { .. }
            | Fact::Asked { .. }
            | Fact::Leaves { .. }
            | Fact::Unconverged { .. } => Ok(()),
        }
    }
}

impl OneWriter {
    fn begins(&self, view: &View<'_>, node: NodeId, group: GroupId) -> Result<(), String> {
        let luns = view.config.group(group).map_or(&[][..], |group| &group.luns);
        luns.iter().try_for_each(|&lun| {
            at_most_one(view, lun)?;
            let older = self.books.get(&lun).and_then(|books| books.older_than(node));
            match older.filter(|_| view.is_sound(lun)) {
                Some(key) => Err(format!(
                    "a guest starts on {node}, and {lun} would take writes of {key} as before"
                )),
                None => Ok(()),
            }
        })
    }
}

impl Books {
    fn follow(&mut self, view: &View<'_>, lun: LunId) -> Result<(), String> {
        let device = view.storage.device(lun);
        let own = |&(nexus, _): &(Initiator, ReservationKey)| match nexus {
            Initiator::Part(_, part) => part == lun,
            Initiator::Node(_) | Initiator::Stranger => true,
        };
        let keys: Vec<(Initiator, ReservationKey)> = device.registrations().filter(own).collect();
        self.keys.retain(|key, _| keys.contains(key));
        for key in keys {
            let count = &mut self.count;
            self.keys.entry(key).or_insert_with(|| {
                *count += 1;
                *count
            });
        }
        let losses = view.waivers.reservation_losses(lun);
        let spared = std::mem::replace(&mut self.losses, losses) != losses;
        let now = device.reservation().map(|(key, _)| key);
        let before = std::mem::replace(&mut self.holder, now);
        let ours = |key: &ReservationKey| key.is_of(view.config.id());
        // The last owner stays the last one, whoever has held the LUN since.
        let last = match now.filter(ours) {
            Some(now) => self.owner.replace(now),
            None => self.owner,
        };
        if spared || !view.is_sound(lun) {
            self.owner = now.filter(ours);
            return Ok(());
        }
        match (now, before.filter(ours), last) {
            (None, Some(before), _) => {
                Err(format!("{lun} was reserved by {before}, and is so no more"))
            }
            // Whose parts the others are is their affair.
            (Some(now), _, Some(last))
                if ours(&now) && now.part() == last.part() && now.epoch() < last.epoch() =>
            {
                Err(format!("{lun} was reserved by {last}, and is so by {now}"))
            }
            _ => Ok(()),
        }
    }

    /// A key of an earlier epoch on another node that stands here for longer than this node's.
    fn older_than(&self, node: NodeId) -> Option<ReservationKey> {
        let is_own = |nexus: Initiator| match nexus {
            Initiator::Node(other) | Initiator::Part(other, _) => other == node,
            Initiator::Stranger => false,
        };
        let own = self.keys.iter().filter(|((nexus, _), _)| is_own(*nexus));
        let ((_, own), place) = own.max_by_key(|&(_, place)| place)?;
        let older = |nexus: Initiator, key: ReservationKey, there: u64| {
            !is_own(nexus) && key.epoch() < own.epoch() && there < *place
        };
        let found = self.keys.iter().find(|&(&(nexus, key), &there)| older(nexus, key, there));
        found.map(|(&(_, key), _)| key)
    }
}

fn at_most_one(view: &View<'_>, lun: LunId) -> Result<(), String> {
    let able: Vec<NodeId> =
        view.hosts.keys().copied().filter(|&node| view.could_write(node, lun)).collect();
    if able.len() > 1 && view.is_sound(lun) {
        return Err(format!("{lun} would take the writes of guests on {}", words(&able)));
    }
    Ok(())
}

impl View<'_> {
    /// Whether a guest runs on this node whose next write the LUN would take.
    fn could_write(&self, node: NodeId, lun: LunId) -> bool {
        let writes = self.hosts[&node].slots.values().any(|slot| {
            slot.guest
                .as_ref()
                .is_some_and(|guest| guest.writes() && guest.records.contains_key(&lun))
        });
        writes && self.is_reachable(node, lun) && self.storage.takes_writes_of(node, lun)
    }

    /// Whether a guest on this node has a way to the LUN: the session of its process if the device is enforced,
    /// the host's own way to a shared file if not.
    pub(super) fn is_reachable(&self, node: NodeId, lun: LunId) -> bool {
        let enforced = self.storage.is_enforced(lun);
        let attached = self.storage.nexuses[&(node, lun)].attached;
        !enforced || attached.is_some()
    }
}
