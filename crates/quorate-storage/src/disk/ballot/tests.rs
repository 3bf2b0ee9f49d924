//! Agreement under every order of steps that chance finds: slots are read one by one, handles die between any two
//! steps, and a write under way then lands or does not.

use proptest::prelude::*;

use super::*;

/// What a handle is about to do to the disk.
enum Doing {
    /// It reads slot by slot, in this order; what it has seen.
    Reading(Vec<Slot>, Blocks),
    Writing(Block),
    Ringing(Vec<Slot>),
    Pausing,
}

struct Handle {
    slot: Slot,
    proposal: Proposal,
    doing: Doing,
    /// How many changes were known to be decided when it began.
    since: u64,
    change: Change,
    /// What stood in its bell when it began.
    bell: Bell,
}

/// Which ring was the last.
type Bell = Option<u64>;

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

struct World {
    random: Random,
    slots: u8,
    blocks: Blocks,
    rung: BTreeMap<Slot, u64>,
    rings: u64,
    /// Who would write without a look while nobody rings: what stood in its bell when it saw itself registered, and
    /// after which change that was.
    believes: BTreeMap<Slot, (Bell, u64)>,
    /// The table before each change, as soon as anybody says that it is decided.
    decided: BTreeMap<u64, Table>,
    handles: Vec<Option<Handle>>,
    next_nexus: u64,
    /// Handles that live on between two changes, and what they have last written.
    lives: BTreeMap<Slot, (u64, Option<Block>)>,
    /// Writes of handles that died, which may still land: who comes after them waits before its first write.
    late: BTreeMap<Slot, Block>,
    done: u64,
}

impl World {
    fn new(seed: u64, slots: u8) -> Self {
        Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            slots,
            blocks: Blocks::new(),
            rung: BTreeMap::new(),
            rings: 0,
            decided: BTreeMap::from([(0, Table::default())]),
            believes: BTreeMap::new(),
            handles: (0..slots).map(|_| None).collect(),
            next_nexus: 0,
            lives: BTreeMap::new(),
            late: BTreeMap::new(),
            done: 0,
        }
    }

    fn key(slot: Slot) -> ReservationKey {
        ReservationKey(0x100 + u64::from(slot))
    }

    fn begin(&mut self, slot: Slot) {
        let (own, victim) = (Self::key(slot), 1 + self.random.below(self.slots.into()) as u8);
        let change = match self.random.below(8) {
            0 => Change::Look,
            1 | 2 => Change::Register(own),
            3 => Change::Unregister,
            4 => Change::Reserve(own),
            5 => Change::Release(own),
            6 => Change::Preempt { own, victim: Self::key(victim) },
            _ => Change::Clear(own),
        };
        let (nexus, own) = self.lives.remove(&slot).unwrap_or_else(|| {
            self.next_nexus += 1;
            (self.next_nexus, None)
        });
        let since = self.front();
        let proposal = Proposal::new(who(slot, nexus), own, change);
        let (doing, bell) = (self.reading(), self.rung.get(&slot).copied());
        self.handles[usize::from(slot) - 1] =
            Some(Handle { slot, proposal, doing, since, change, bell });
    }

    fn front(&self) -> u64 {
        *self.decided.keys().next_back().unwrap()
    }

    /// All slots, in some order.
    fn reading(&mut self) -> Doing {
        let mut order: Vec<Slot> = (1..=self.slots).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, self.random.below(at as u64 + 1) as usize);
        }
        Doing::Reading(order, Blocks::new())
    }

    fn write(&mut self, slot: Slot, block: Block) {
        let before = self.decided.entry(block.number).or_insert_with(|| block.table.clone());
        assert_eq!(*before, block.table, "two tables were decided for change {}", block.number);
        self.blocks.insert(slot, block);
    }

    /// One handle takes one step.
    fn turn(&mut self) {
        let at = self.random.below(self.slots.into()) as usize;
        let Some(mut handle) = self.handles[at].take() else {
            return self.begin(at as u8 + 1);
        };
        if self.random.below(40) == 0 {
            // It dies; what it was writing has landed, never will, or may yet.
            if let Doing::Writing(block) = handle.doing {
                match self.random.below(3) {
                    0 => self.write(handle.slot, block),
                    1 => drop(self.late.insert(handle.slot, block)),
                    _ => {}
                }
            }
            self.believes.remove(&handle.slot);
            return;
        }
        let seen = match std::mem::replace(&mut handle.doing, Doing::Pausing) {
            Doing::Reading(mut order, mut seen) => {
                let slot = order.pop().unwrap();
                if let Some(block) = self.blocks.get(&slot) {
                    seen.insert(slot, block.clone());
                }
                if !order.is_empty() {
                    handle.doing = Doing::Reading(order, seen);
                    self.handles[at] = Some(handle);
                    return;
                }
                seen
            }
            Doing::Writing(block) => {
                if let Some(late) = self.late.remove(&handle.slot) {
                    if self.random.below(2) == 0 {
                        self.write(handle.slot, late);
                    }
                    handle.proposal = Proposal::new(handle.proposal.who, None, handle.change);
                    handle.doing = self.reading();
                    self.handles[at] = Some(handle);
                    return;
                }
                self.write(handle.slot, block);
                Blocks::new()
            }
            Doing::Ringing(mut slots) => {
                let slot = slots.pop().unwrap();
                self.rings += 1;
                self.rung.insert(slot, self.rings);
                if !slots.is_empty() {
                    handle.doing = Doing::Ringing(slots);
                    self.handles[at] = Some(handle);
                    return;
                }
                Blocks::new()
            }
            Doing::Pausing => Blocks::new(),
        };
        handle.doing = match handle.proposal.step(&seen) {
            Ask::Read => self.reading(),
            Ask::Write(block) => Doing::Writing(block),
            Ask::Ring(slots) => Doing::Ringing(slots),
            Ask::Pause => Doing::Pausing,
            Ask::Done(result) => {
                self.end(&handle, result);
                let nexus = handle.proposal.who.nexus;
                self.lives.insert(handle.slot, (nexus, handle.proposal.into_own()));
                return;
            }
        };
        self.handles[at] = Some(handle);
    }

    fn end(&mut self, handle: &Handle, result: Result<Decided, LunError>) {
        let decided = match result {
            Ok(decided) => decided,
            Err(LunError::ReservationConflict) => return,
            Err(error) => panic!("{error}"),
        };
        self.done += 1;
        assert!(decided.number >= handle.since, "it does not see what was decided before it began");
        assert_eq!(self.decided.get(&decided.number), Some(&decided.table));
        let (table, nexus) = (&decided.table, NexusId(handle.slot.into()));
        let (registered, holds) = (table.registrations.get(&nexus), table.holder == Some(nexus));
        if let Change::Look | Change::Register(_) | Change::Unregister | Change::Clear(_) =
            handle.change
        {
            self.believes.remove(&handle.slot);
            if registered.is_some() {
                self.believes.insert(handle.slot, (handle.bell, decided.number));
            }
        }
        self.nobody_writes_on(&decided);
        match handle.change {
            Change::Look => {}
            Change::Register(key) => assert_eq!(registered, Some(&key)),
            Change::Unregister => assert_eq!(registered, None),
            Change::Reserve(_) => assert!(holds),
            Change::Release(_) => assert!(!holds),
            Change::Clear(_) => assert_eq!(registered, None),
            Change::Preempt { own, victim } => {
                assert_eq!(registered, Some(&own));
                assert!(own == victim || !table.registrations.values().any(|key| *key == victim));
            }
        }
    }

    /// Whoever knows that it was registered, and is not after this change, looks before it writes.
    fn nobody_writes_on(&self, decided: &Decided) {
        for (slot, (bell, seen)) in &self.believes {
            let is_registered = decided.table.is_registered(NexusId((*slot).into()));
            let looks = self.rung.get(slot) != bell.as_ref();
            let is_older = decided.number < *seen;
            assert!(
                is_registered || looks || is_older,
                "slot {slot} would write on after {}",
                decided.number
            );
        }
    }
}

fn who(slot: Slot, nexus: u64) -> Who {
    Who { slot, nexus, owner: 7 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn handles_that_stop_anywhere_agree_on_every_change(seed: u64, slots in 2..=4_u8) {
        let mut world = World::new(seed, slots);
        for _ in 0..1_500 {
            world.turn();
        }
    }
}

#[test]
fn changes_come_to_an_end_though_handles_stand_in_each_others_way() {
    let mut world = World::new(7, 4);
    for _ in 0..100_000 {
        world.turn();
    }
    assert!(world.done > 500 && world.front() > 300, "{} {}", world.done, world.front());
}

#[test]
fn a_slot_that_another_wrote_ends_in_an_error() {
    let mut proposal = Proposal::new(who(1, 7), None, Change::Register(ReservationKey(9)));
    let Ask::Write(block) = proposal.step(&Blocks::new()) else { panic!() };
    assert!(matches!(proposal.step(&Blocks::new()), Ask::Read));
    let other = Blocks::from([(1, Block { nexus: 8, ..block })]);
    let Ask::Done(Err(error)) = proposal.step(&other) else { panic!() };
    assert!(error.to_string().contains("another writer"), "{error}");
}
