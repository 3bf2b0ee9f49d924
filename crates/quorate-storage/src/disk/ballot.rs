//! Agreement through a disk that knows reads and writes alone. Pure: it asks to read, to write and to ring, and takes
//! the answers.
//!
//! Source: Gafni and Lamport, Disk Paxos, Distributed Computing 16 (2003), for one disk. Each slot has one writer. The
//! table of reservations passes through numbered changes, and each change is decided by ballots:
//!
//! ```text
//! look -> begin: write a ballot above all -> read: nobody above? take what was accepted last, else our change
//!      -> accept: write it               -> read: nobody above? it is decided
//!      -> ring those who lost their registration -> write the decided table down, with the next number
//! ```
//!
//! *Invariants*. A table that stands in a block as decided was accepted by a ballot that found nobody above it, and so
//! will be whatever else is accepted for that number. Who lost its registration was rung before the change can be known
//! to be decided: so whoever is told that a preempt is done knows that its victim will look before its next write.

use std::collections::BTreeMap;

use super::DISK_SLOTS;
use super::block::{Block, REGISTRATIONS_MAX, Slot};
use crate::table::{NexusId, Table};
use crate::{LunError, ReservationKey};

/// All slots that somebody wrote.
pub(super) type Blocks = BTreeMap<Slot, Block>;

/// What the table is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing: what is it now?
    Look,
    Register(ReservationKey),
    Unregister,
    Reserve(ReservationKey),
    Release(ReservationKey),
    Preempt {
        own: ReservationKey,
        victim: ReservationKey,
    },
    Clear(ReservationKey),
}

impl Change {
    /// `again`: it was put to the vote before, and may have been carried out without our seeing it.
    fn apply(self, table: &Table, slot: Slot, again: bool) -> Result<Table, LunError> {
        let (nexus, mut after) = (NexusId(slot.into()), table.clone());
        let registered = table.registrations.get(&nexus).copied();
        match self {
            Change::Look => {}
            Change::Register(key) if again && registered == Some(key) => {}
            Change::Register(_) if registered.is_none() && !has_room(table, slot) => {
                let count = table.registrations.len();
                return Err(LunError::misuse(format!(
                    "{count} nodes are registered, and there is room for no more: clear the LUN"
                )));
            }
            Change::Register(key) => after.register(nexus, key)?,
            Change::Unregister => after.unregister(nexus),
            Change::Reserve(key) => after.reserve(nexus, key)?,
            Change::Release(key) => after.release(nexus, key)?,
            Change::Preempt { own, victim }
                if again
                    && registered == Some(own)
                    && !table.registrations.values().any(|key| *key == victim) => {}
            Change::Preempt { own, victim } => after.preempt(nexus, own, victim)?,
            Change::Clear(_) if again && registered.is_none() => {}
            Change::Clear(key) => after.clear(nexus, key)?,
        }
        Ok(after)
    }
}

/// The last place is for the tool that clears the others.
fn has_room(table: &Table, slot: Slot) -> bool {
    table.registrations.len() < REGISTRATIONS_MAX - usize::from(slot <= DISK_SLOTS)
}

/// What a proposal wants done next.
#[derive(Debug)]
pub(super) enum Ask {
    /// All slots, each as it stands at some moment after this was asked.
    Read,
    /// Our own slot: durable before it is answered.
    Write(Block),
    /// Tell these that they lost their registration: durable before it is answered.
    Ring(Vec<Slot>),
    /// Wait for a moment, and not as long as others do: two stand in each other's way.
    Pause,
    /// It has come to its end.
    Done(Result<Decided, LunError>),
}

/// The table, how many changes have made it, and what it was when our change was first put to the vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) number: u64,
    pub(super) table: Table,
    pub(super) before: Table,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// A read tells where we are.
    Looking,
    /// A ballot is being written.
    Beginning,
    /// A read tells whether somebody is above it, and what was accepted last.
    Begun,
    /// A table is being accepted: ours, or what was accepted last.
    Accepting {
        ours: bool,
    },
    /// A read tells whether it is decided.
    Accepted {
        ours: bool,
    },
    /// Those who lost their registration are told.
    Ringing {
        ours: bool,
    },
    /// It is being written down.
    Concluding {
        ours: bool,
    },
    Waiting,
}

/// One change on its way.
#[derive(Debug)]
pub(super) struct Proposal {
    who: Who,
    change: Change,
    stage: Stage,
    /// What stands in our slot; none: whatever stands there.
    own: Option<Block>,
    /// Our change was put to the vote, and what the table was then.
    tried: Option<Table>,
    /// How often a tool that only looks has met a change under way.
    doubts: u32,
}

/// Who proposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) slot: Slot,
    /// Tells the handle from others of the slot.
    pub(super) nexus: u64,
    /// Whose leases it means: one LUN of one cluster; 0: whoever's, for a tool.
    pub(super) owner: u64,
}

impl Who {
    pub(super) fn is_tool(&self) -> bool {
        self.slot > DISK_SLOTS
    }
}

/// So often a tool that only looks waits for others to finish a change; then it says what was before.
const DOUBTS_MAX: u32 = 30;

impl Proposal {
    /// Of a handle which has last written `own` to its slot. Begins as if `Ask::Read` had been asked.
    pub(super) fn new(who: Who, own: Option<Block>, change: Change) -> Self {
        Self { who, change, stage: Stage::Looking, own, tried: None, doubts: 0 }
    }

    /// What it has last written to its slot.
    pub(super) fn into_own(self) -> Option<Block> {
        self.own
    }

    /// Takes the answer to what was asked: the slots for `Ask::Read`, nothing for the others.
    pub(super) fn step(&mut self, blocks: &Blocks) -> Ask {
        match self.stage.clone() {
            Stage::Looking => self.look(blocks),
            Stage::Begun => self.accept(blocks),
            Stage::Accepted { ours } => self.conclude(blocks, ours),
            Stage::Beginning => self.read(Stage::Begun),
            Stage::Accepting { ours } => self.read(Stage::Accepted { ours }),
            Stage::Ringing { ours } => self.write_down(ours),
            Stage::Concluding { ours: true } => {
                let own = self.own.clone().unwrap_or_default();
                self.done(own.number, own.table)
            }
            Stage::Concluding { ours: false } | Stage::Waiting => self.read(Stage::Looking),
        }
    }

    fn read(&mut self, stage: Stage) -> Ask {
        self.stage = stage;
        Ask::Read
    }

    fn done(&self, number: u64, table: Table) -> Ask {
        let before = self.tried.clone().unwrap_or_else(|| table.clone());
        Ask::Done(Ok(Decided { number, table, before }))
    }

    fn write(&mut self, block: Block, stage: Stage) -> Ask {
        self.own = Some(block.clone());
        self.stage = stage;
        Ask::Write(block)
    }

    fn look(&mut self, blocks: &Blocks) -> Ask {
        let found = blocks.get(&self.who.slot).cloned().unwrap_or_default();
        if let Some(own) = &self.own
            && *own != found
        {
            return Ask::Done(Err(self.taken()));
        }
        let mut own = found;
        let front = blocks.values().map(|block| block.number).max().unwrap_or(0);
        let mut there = blocks.values().filter(|block| block.number == front);
        let table = there.next().map(|block| block.table.clone()).unwrap_or_default();
        if there.any(|block| block.table != table) {
            let what = format!("lease slots disagree about the table before change {front}");
            return Ask::Done(Err(LunError::Corrupt { what }));
        }
        let at_front = || blocks.values().filter(|block| block.number == front);
        let of_whom = at_front().map(|block| block.owner).find(|owner| *owner != 0).unwrap_or(0);
        let is_foreign = self.who.owner != 0 && of_whom != 0 && of_whom != self.who.owner;
        let is_settled = at_front().all(|block| block.accepted.is_none());
        if is_foreign && !(is_settled && table.registrations.is_empty()) {
            return Ask::Done(Err(LunError::Denied {
                why: "its leases are another cluster's, or of another LUN of this one, and nodes are registered there; \
                      is it the right disk? quorate lun clear takes them away"
                    .to_owned(),
            }));
        }
        if !is_settled && self.who.is_tool() && self.change == Change::Look {
            // It is the nodes' to finish.
            self.doubts += 1;
            return match self.doubts > DOUBTS_MAX {
                true => self.done(front, table),
                false => {
                    self.stage = Stage::Waiting;
                    Ask::Pause
                }
            };
        }
        if is_settled {
            match self.change.apply(&table, self.who.slot, self.tried.is_some()) {
                Ok(after) if after == table => {
                    return self.done(front, table);
                }
                Ok(_) => {}
                Err(error) => return Ask::Done(Err(error)),
            }
        }
        if own.number != front {
            own = Block { number: front, table, ..Block::default() };
        }
        own.nexus = self.who.nexus;
        own.owner = if self.who.owner == 0 { of_whom } else { self.who.owner };
        let highest = at_front().map(|block| block.ballot).max().unwrap_or(0);
        // The slot makes a ballot unlike all others.
        own.ballot = (((highest >> 8) + 1) << 8) | u64::from(self.who.slot);
        self.write(own, Stage::Beginning)
    }

    fn accept(&mut self, blocks: &Blocks) -> Ask {
        if let Some(ask) = self.obstacle(blocks) {
            return ask;
        }
        let mut own = self.own.clone().unwrap_or_default();
        let here = blocks.values().filter(|block| block.number == own.number);
        let last =
            here.filter_map(|block| block.accepted.clone()).max_by_key(|(ballot, _)| *ballot);
        let (table, ours) = match last {
            Some((_, table)) => (table, false),
            None => match self.change.apply(&own.table, self.who.slot, self.tried.is_some()) {
                Ok(after) => (after, true),
                Err(error) => return Ask::Done(Err(error)),
            },
        };
        if ours {
            self.tried.get_or_insert_with(|| own.table.clone());
        }
        own.accepted = Some((own.ballot, table));
        self.write(own, Stage::Accepting { ours })
    }

    fn conclude(&mut self, blocks: &Blocks, ours: bool) -> Ask {
        if let Some(ask) = self.obstacle(blocks) {
            return ask;
        }
        let own = self.own.clone().unwrap_or_default();
        let Some((_, after)) = &own.accepted else { return self.read(Stage::Looking) };
        // Whoever gives its own registration up knows; whoever finishes what another began does not.
        let knows = |nexus: &NexusId| ours && *nexus == NexusId(self.who.slot.into());
        let is_gone = |nexus: &&NexusId| !after.registrations.contains_key(nexus) && !knows(nexus);
        let gone = own.table.registrations.keys().filter(is_gone);
        let gone: Vec<Slot> = gone.filter_map(|nexus| Slot::try_from(nexus.0).ok()).collect();
        if gone.is_empty() {
            return self.write_down(ours);
        }
        self.stage = Stage::Ringing { ours };
        Ask::Ring(gone)
    }

    fn write_down(&mut self, ours: bool) -> Ask {
        let own = self.own.clone().unwrap_or_default();
        let Some((_, table)) = own.accepted else { return self.read(Stage::Looking) };
        let block = Block {
            nexus: own.nexus,
            owner: own.owner,
            number: own.number + 1,
            table,
            ..Block::default()
        };
        self.write(block, Stage::Concluding { ours })
    }

    /// What to do where somebody has gone on, or is above our ballot.
    fn obstacle(&mut self, blocks: &Blocks) -> Option<Ask> {
        let own = self.own.clone().unwrap_or_default();
        if blocks.get(&self.who.slot) != Some(&own) {
            return Some(Ask::Done(Err(self.taken())));
        }
        if blocks.values().any(|block| block.number > own.number) {
            self.stage = Stage::Looking;
            return Some(self.look(blocks));
        }
        let is_above = |block: &Block| block.number == own.number && block.ballot > own.ballot;
        if blocks.values().any(is_above) {
            self.stage = Stage::Waiting;
            return Some(Ask::Pause);
        }
        None
    }

    fn taken(&self) -> LunError {
        LunError::Corrupt {
            what: format!(
                "lease slot {} has another writer: two nodes with one number, or a write that came late",
                self.who.slot
            ),
        }
    }
}

#[cfg(test)]
mod tests;
