//! The saved state: whole or not at all, whatever a crash leaves of the writes.

use std::io::Read;
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;
use quorate_storage::{
    Capabilities, EventQueue, Lun, LunError, ReservationKey, Reservations, SaveArea, SaveHeader,
    SaveId, Strength,
};

const BLOCK: usize = 512;
const SIZE: usize = 4 << 20;
const AREA: SaveArea = SaveArea { offset: 64 << 10, length: 3 << 20 };
const ID: SaveId = SaveId { epoch: 7, token: 0xfeed };

/// What a disk was told, one block at a time.
#[derive(Debug, Clone)]
enum Step {
    Block(usize, Vec<u8>),
    Flush,
}

/// A disk in memory that remembers what it was told.
#[derive(Debug)]
struct Disk {
    bytes: Mutex<Vec<u8>>,
    steps: Mutex<Vec<Step>>,
}

impl Disk {
    fn new() -> Self {
        Self::with(vec![0; SIZE])
    }

    fn with(bytes: Vec<u8>) -> Self {
        Self { bytes: Mutex::new(bytes), steps: Mutex::new(Vec::new()) }
    }
}

impl Lun for Disk {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            strength: Strength::Cooperative,
            size_bytes: SIZE as u64,
            block_bytes: BLOCK as u32,
            preempt_and_abort: false,
            aptpl: false,
            discard_safe: false,
        }
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), LunError> {
        buffer.copy_from_slice(&self.bytes.lock()[offset as usize..][..buffer.len()]);
        Ok(())
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), LunError> {
        assert!((offset as usize).is_multiple_of(BLOCK) && data.len().is_multiple_of(BLOCK));
        self.bytes.lock()[offset as usize..][..data.len()].copy_from_slice(data);
        for (index, block) in data.chunks(BLOCK).enumerate() {
            self.steps.lock().push(Step::Block(offset as usize / BLOCK + index, block.to_vec()));
        }
        Ok(())
    }
    fn flush(&self) -> Result<(), LunError> {
        self.steps.lock().push(Step::Flush);
        Ok(())
    }
    fn register(&self, _: ReservationKey) -> Result<(), LunError> {
        unreachable!()
    }
    fn unregister(&self) -> Result<(), LunError> {
        unreachable!()
    }
    fn read_keys(&self) -> Result<Reservations, LunError> {
        unreachable!()
    }
    fn reserve(&self, _: ReservationKey) -> Result<(), LunError> {
        unreachable!()
    }
    fn release(&self, _: ReservationKey) -> Result<(), LunError> {
        unreachable!()
    }
    fn preempt(&self, _: ReservationKey, _: ReservationKey) -> Result<(), LunError> {
        unreachable!()
    }
    fn preempt_and_abort(&self, _: ReservationKey, _: ReservationKey) -> Result<(), LunError> {
        unreachable!()
    }
    fn clear(&self, _: ReservationKey) -> Result<(), LunError> {
        unreachable!()
    }
    fn events(&self) -> Arc<EventQueue> {
        unreachable!()
    }
}

fn state(length: usize, seed: u64) -> Vec<u8> {
    let mut random = crate::common::Random::new(seed);
    (0..length).map(|_| random.below(256) as u8).collect()
}

fn save(disk: &Disk, id: SaveId, state: &[u8]) -> Result<SaveHeader, LunError> {
    AREA.write(disk, id, &mut &state[..])
}

fn restore(disk: &Disk, id: SaveId) -> Result<Vec<u8>, LunError> {
    let mut bytes = Vec::new();
    AREA.read(disk, id)?.read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

#[test]
fn a_state_of_any_length_comes_back_as_it_was() {
    for length in [0, 1, 511, 512, 513, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) - 4096] {
        let disk = Disk::new();
        let state = state(length, length as u64);
        let header = save(&disk, ID, &state).unwrap();
        assert_eq!((header.id, header.length), (ID, length as u64));
        assert_eq!(AREA.header(&disk).unwrap(), Some(header));
        assert!(restore(&disk, ID).unwrap() == state, "{length}");
        let bytes = disk.bytes.lock();
        let outside = bytes[..AREA.offset as usize]
            .iter()
            .chain(&bytes[(AREA.offset + AREA.length) as usize..]);
        assert!(outside.copied().all(|byte| byte == 0));
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_leaves_none() {
    let disk = Disk::new();
    save(&disk, ID, &state(1000, 1)).unwrap();
    let refused = save(&disk, ID, &state((3 << 20) - 4095, 2));
    assert!(matches!(refused, Err(LunError::Misuse { .. })), "{refused:?}");
    assert_eq!(AREA.header(&disk).unwrap(), None);
}

#[test]
fn a_reader_that_fails_leaves_no_state() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the pipe broke"))
        }
    }
    let disk = Disk::new();
    let mut reader = (&[1_u8; 5000][..]).chain(Failing);
    let error = AREA.write(&disk, ID, &mut reader).unwrap_err();
    assert!(error.to_string().contains("the pipe broke"));
    assert_eq!(AREA.header(&disk).unwrap(), None);
}

#[test]
fn a_state_made_for_another_move_is_refused_and_an_invalidated_one_is_none() {
    let disk = Disk::new();
    assert!(matches!(restore(&disk, ID), Err(LunError::Corrupt { .. })));
    save(&disk, ID, &state(9999, 3)).unwrap();
    for id in [SaveId { epoch: 8, ..ID }, SaveId { token: 1, ..ID }] {
        let error = restore(&disk, id).unwrap_err().to_string();
        assert!(error.contains("made for"), "{error}");
    }
    AREA.invalidate(&disk).unwrap();
    assert_eq!(AREA.header(&disk).unwrap(), None);
    assert!(restore(&disk, ID).is_err());
}

#[test]
fn any_flipped_bit_and_any_foreign_block_is_seen() {
    let good = Disk::new();
    save(&good, ID, &state(5000, 4)).unwrap();
    let bytes = good.bytes.lock().clone();
    for at in (0..4096 + 5000).step_by(3).chain(0..48) {
        let mut torn = bytes.clone();
        torn[AREA.offset as usize + at] ^= 0x10;
        let error = restore(&Disk::with(torn), ID).unwrap_err();
        assert!(matches!(error, LunError::Corrupt { .. }), "{at}: {error}");
    }
    let mut foreign = bytes.clone();
    foreign[AREA.offset as usize..][..8].copy_from_slice(b"\xebX\x90MSWIN");
    let error = AREA.header(&Disk::with(foreign)).unwrap_err().to_string();
    assert!(error.contains("foreign"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Crash after any number of steps; of the blocks since the last flush any subset is on the
    /// disk. What is found is the new state, or the old one if nothing of the save was durable yet,
    /// or none. Never a mixture.
    #[test]
    fn a_crash_at_any_point_leaves_a_whole_state_or_none(
        old_length in 0..6000_usize,
        new_length in 0..6000_usize,
        crash in 0.0..1.0_f64,
        lost in any::<u64>(),
    ) {
        let old_id = SaveId { epoch: 6, token: 1 };
        let (old, new) = (state(old_length, 5), state(new_length, 6));
        let disk = Disk::new();
        save(&disk, old_id, &old).unwrap();
        let mut found = disk.bytes.lock().clone();
        disk.steps.lock().clear();
        save(&disk, ID, &new).unwrap();
        let steps = disk.steps.lock().clone();
        let taken = &steps[..(steps.len() as f64 * crash) as usize];
        let durable = taken.iter().rposition(|step| matches!(step, Step::Flush)).unwrap_or(0);
        let mut random = crate::common::Random::new(lost);
        for (index, step) in taken.iter().enumerate() {
            if let Step::Block(block, bytes) = step
                && (index < durable || random.below(2) == 0)
            {
                found[block * BLOCK..][..BLOCK].copy_from_slice(bytes);
            }
        }
        let disk = Disk::with(found);
        match AREA.header(&disk) {
            Ok(Some(header)) if header.id == ID => prop_assert!(restore(&disk, ID).unwrap() == new),
            Ok(Some(header)) => {
                prop_assert_eq!(header.id, old_id);
                prop_assert!(restore(&disk, old_id).unwrap() == old);
            }
            Ok(None) | Err(LunError::Corrupt { .. }) => {}
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
