//! A preempted owner goes on writing: whatever is taken was sent before the preempt was answered,
//! and nothing of it lands after that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quorate_sim::storage::{ReservationType, ReserveOut};
use quorate_storage::testing::{RawCommand, RawFailure};
use quorate_storage::{IscsiLun, Lun, ReservationKey};

use crate::count;
use crate::real::{BLOCK, Make, Real, raw, tell};

/// Writes of one owner, before and after it is preempted.
const ROUND: u64 = 1_000;
/// As many at a time.
const WRITERS: u64 = 16;
const PLACES: u64 = 64;
const PLACE_BLOCKS: u64 = 8;
const PLACE_BYTES: usize = PLACE_BLOCKS as usize * BLOCK;
const OLD: quorate_core::id::ReservationKey = quorate_core::id::ReservationKey(0xa1);
const NEXT: ReservationKey = ReservationKey(0xb1);
const OURS: ReservationType = ReservationType::WriteExclusiveRegistrantsOnly;
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    taken: u64,
    refused: u64,
    /// Taken or refused only when sent again, after a unit attention or an abort.
    sent_again: u64,
    /// Sent before the preempt was answered, and refused.
    caught: u64,
    rounds: u64,
}

/// One write: when it was sent for the last time, whether it was taken, how often it was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    is_taken: bool,
    times: u64,
}

fn write(lun: &IscsiLun, place: u64, mark: u64) -> Sent {
    let data = mark.to_le_bytes().repeat(PLACE_BYTES / 8);
    let command = RawCommand::Write { block: place * PLACE_BLOCKS, data };
    for times in 1..=16 {
        let at = Instant::now();
        match lun.tell(command.clone()) {
            Ok(_) => return Sent { at, is_taken: true, times },
            Err(RawFailure::Conflict) => return Sent { at, is_taken: false, times },
            Err(RawFailure::Check { key: 6, .. } | RawFailure::Aborted) => {}
            Err(other) => panic!("a write fails: {other:?}"),
        }
    }
    panic!("a write is put off without end");
}

fn read_all(lun: &IscsiLun) -> Vec<u8> {
    let mut bytes = vec![0; PLACES as usize * PLACE_BYTES];
    lun.read_at(0, &mut bytes).expect("everybody may read");
    bytes
}

fn wait_until_above(answered: &AtomicU64, wanted: u64) {
    let end = Instant::now() + PATIENCE;
    while answered.load(Ordering::Relaxed) < wanted {
        assert!(Instant::now() < end, "the stream of writes does not flow");
        std::thread::yield_now();
    }
}

/// One owner, preempted in the middle of its writes by the next. In every other round the next one
/// writes over everything at once; in the rest it only looks.
fn round(real: &Real, number: u64, tally: &mut Tally) {
    real.clear();
    let (old, next) = (&real.nexus[0], &real.nexus[1]);
    for command in [ReserveOut::RegisterAndIgnore(OLD), ReserveOut::Reserve(OLD, OURS)] {
        tell(old, &raw(command)).1.expect("nobody else holds it");
    }
    next.register(NEXT).expect("anybody may register");
    let answered = AtomicU64::new(0);
    let mut preempted = None;
    let mut stands = vec![];
    let all: Vec<Sent> = std::thread::scope(|scope| {
        let writer = |writer: u64| {
            let answered = &answered;
            scope.spawn(move || {
                let mut sent = vec![];
                for index in writer * ROUND / WRITERS..(writer + 1) * ROUND / WRITERS {
                    sent.push(write(old, index * 7 % PLACES, number << 32 | index << 1 | 1));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                sent
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        // Somewhere in the first half.
        wait_until_above(&answered, 1 + number * 37 % (ROUND / 2));
        next.preempt_and_abort(NEXT, ReservationKey(OLD.0)).expect("it is registered");
        preempted = Some(Instant::now());
        if number.is_multiple_of(2) {
            let mark = (number << 32).to_le_bytes();
            let over = mark.repeat(PLACES as usize * PLACE_BYTES / 8);
            next.write_at(0, &over).expect("the owner writes");
            stands = over;
        } else {
            stands = read_all(next);
        }
        let writers = writers.into_iter();
        writers.flat_map(|writer| writer.join().expect("a writer ends")).collect()
    });
    let preempted = preempted.expect("the next owner has come");
    assert!(read_all(next) == stands, "a stale write has landed in round {number}");
    for sent in all {
        assert!(!sent.is_taken || sent.at < preempted, "a stale write was taken: {sent:?}");
        tally.taken += u64::from(sent.is_taken);
        tally.refused += u64::from(!sent.is_taken);
        tally.caught += u64::from(!sent.is_taken && sent.at < preempted);
        tally.sent_again += u64::from(sent.times > 1);
    }
    tally.rounds += 1;
}

fn stale_writes(make: Make, otherwise: u64) {
    let writes = count("QUORATE_WRITES", otherwise);
    let real = Real::start(make, 2);
    let mut tally = Tally::default();
    for number in 1..=writes.div_ceil(ROUND) {
        round(&real, number, &mut tally);
    }
    println!("{make:?}: {tally:?}");
    let kind = match make {
        Make::Tgt => "tgt",
        Make::Lio => "LIO, iSCSI",
    };
    println!("storage: {kind} | refused stale writes | good | none accepted");
    assert!(tally.taken > 0 && tally.refused > tally.taken / 4, "{tally:?}");
}

#[test]
fn no_stale_write_lands_on_tgt() {
    stale_writes(Make::Tgt, 5_000);
}

#[test]
#[ignore = "needs the kernel image: make test-kernel"]
fn no_stale_write_lands_on_lio() {
    stale_writes(Make::Lio, 5_000);
}
