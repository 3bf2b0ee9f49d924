//! The driver of disks without reservations: the rules against an obvious model, processes that change the leases at
//! once and die at it, take-overs under load, bad disks.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use quorate_storage::doctor::Verdict;
use quorate_storage::{
    Beat, DiskLun, DiskOptions, Layout, Lun, LunError, LunEvent, PillArea, ReservationKey,
    Strength, read_beat, write_beat,
};

use crate::common::model;
use crate::doctor::{examined, verdict};

const SIZE: u64 = 8 << 20;
const LEASES: u64 = 2 << 20;
const BLOCK: usize = 4096;
const KEY_A: ReservationKey = ReservationKey(0xa1);
const KEY_B: ReservationKey = ReservationKey(0xb1);
const LATE_WRITE: Duration = Duration::from_millis(50);

fn options(path: &Path, slot: u8) -> DiskOptions {
    DiskOptions {
        path: path.to_owned(),
        slot,
        owner: 7,
        late_write: LATE_WRITE,
        timeout: Duration::from_secs(20),
        watch_interval: Duration::from_millis(50),
    }
}

fn open(path: &Path, slot: u8) -> DiskLun {
    DiskLun::open(options(path, slot)).unwrap()
}

/// A file that serves as a disk. Beside the tests: `/tmp` may know no direct I/O.
fn disk() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("disk");
    File::create(&path).unwrap().set_len(SIZE).unwrap();
    DiskLun::make_leases(&path, false).unwrap();
    (directory, path)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]

    #[test]
    fn a_disk_and_the_obvious_model_agree(steps in model::steps()) {
        let (_directory, path) = disk();
        let luns: Vec<Box<dyn Lun>> = (1..=3).map(|slot| Box::new(open(&path, slot)) as _).collect();
        model::agree(&luns, steps)?;
    }
}

#[test]
fn a_disk_says_that_it_is_cooperative_and_keeps_its_bytes_and_its_leases_apart() {
    let (_directory, path) = disk();
    let lun = open(&path, 1);
    assert_eq!(lun.capabilities().strength, Strength::Cooperative);
    assert_eq!(lun.capabilities().size_bytes, SIZE - LEASES);
    lun.write_at(SIZE - LEASES - 4096, &[7; BLOCK]).unwrap();
    lun.flush().unwrap();
    assert!(matches!(lun.write_at(SIZE - LEASES, &[7; BLOCK]), Err(LunError::Misuse { .. })));
    lun.register(KEY_A).unwrap();
    let mut read = [0; BLOCK];
    open(&path, 2).read_at(SIZE - LEASES - 4096, &mut read).unwrap();
    assert_eq!(read, [7; BLOCK]);
    let layout = Layout::new(&lun.capabilities(), 1 << 20).unwrap();
    let beat = Beat { node: 1, incarnation: 4, counter: 1 };
    write_beat(&lun, layout.beat_offset(0).unwrap(), &beat).unwrap();
    let at = layout.beat_offset(0).unwrap();
    assert_eq!(read_beat(&open(&path, 2), at).unwrap(), Some(beat));
}

#[test]
fn a_node_that_starts_anew_is_who_it_was_and_the_next_owner_keeps_it_out() {
    let (_directory, path) = disk();
    let (a, b) = (open(&path, 1), open(&path, 2));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    drop(a);
    let a = open(&path, 1);
    assert!(a.read_keys().unwrap().is_held_by(KEY_A));
    a.write_at(0, &[1; BLOCK]).unwrap();
    b.register(KEY_B).unwrap();
    let begun = Instant::now();
    b.preempt_and_abort(KEY_B, KEY_A).unwrap();
    assert!(begun.elapsed() >= LATE_WRITE);
    assert!(matches!(a.write_at(0, &[1; BLOCK]), Err(LunError::ReservationConflict)));
    assert_eq!(b.read_keys().unwrap().keys, [KEY_B]);
    b.write_at(0, &[2; BLOCK]).unwrap();
}

/// By itself, with no write of its own.
#[test]
fn a_preempted_owner_learns_of_it() {
    let (_directory, path) = disk();
    let (a, b) = (open(&path, 1), open(&path, 2));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    b.register(KEY_B).unwrap();
    b.preempt(KEY_B, KEY_A).unwrap();
    let told = a.events().wait(Duration::from_secs(20));
    assert_eq!(told, Some(LunEvent::ReservationRefused));
    b.clear(KEY_B).unwrap();
    assert!(matches!(a.write_at(0, &[1; BLOCK]), Err(LunError::ReservationConflict)));
    assert!(matches!(b.write_at(0, &[1; BLOCK]), Err(LunError::NotRegistered)));
    a.register(KEY_A).unwrap();
    a.write_at(0, &[1; BLOCK]).unwrap();
}

#[test]
fn no_write_of_the_victim_lands_after_a_preempt_has_returned() {
    for round in 0..5 {
        let (_directory, path) = disk();
        let (a, b) = (open(&path, 1), open(&path, 2));
        a.register(KEY_A).unwrap();
        a.reserve(KEY_A).unwrap();
        b.register(KEY_B).unwrap();
        let image = || {
            let mut bytes = vec![0; 1 << 20];
            b.read_at(0, &mut bytes).unwrap();
            bytes
        };
        let preempt = || b.preempt_and_abort(KEY_B, KEY_A).unwrap();
        let at_return = model::bytes_when_preempted(&a, preempt, image);
        assert!(image() == at_return, "round {round}");
        assert!(matches!(a.flush(), Err(LunError::ReservationConflict)));
    }
}

/// Eight at once, each of which takes the LUN, looks that it alone has it, and gives it up.
#[test]
fn however_many_want_it_at_once_one_has_it() {
    const TURNS: usize = 2;
    let (_directory, path) = disk();
    let inside = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for slot in 1..=8_u8 {
            let (lun, inside) = (open(&path, slot), &inside);
            scope.spawn(move || {
                let key = ReservationKey(slot.into());
                lun.register(key).unwrap();
                let mut turns = 0;
                while turns < TURNS {
                    match lun.reserve(key) {
                        Ok(()) => {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            assert!(lun.read_keys().unwrap().is_held_by(key));
                            assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                            lun.release(key).unwrap();
                            turns += 1;
                        }
                        Err(LunError::ReservationConflict) => std::thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let found = open(&path, 9).read_keys().unwrap();
    assert_eq!((found.keys.len(), found.holder), (8, None));
}

#[test]
fn a_disk_without_room_for_more_than_leases_is_refused_with_the_size_that_it_must_have() {
    let (directory, _) = disk();
    let small = directory.path().join("small");
    let file = File::create(&small).unwrap();
    for size in [0, LEASES, 2_166_783] {
        file.set_len(size).unwrap();
        let opened = DiskLun::open(options(&small, 1)).map(drop);
        for refused in [opened, DiskLun::make_leases(&small, true).map(drop)] {
            let text = refused.unwrap_err().to_string();
            let says = format!("too small with its {size} bytes");
            assert!(text.contains(&says) && text.contains("take 2166784 at least"), "{text}");
        }
    }
    file.set_len(2_166_784).unwrap();
    assert!(DiskLun::make_leases(&small, false).unwrap());
    Layout::new(&open(&small, 1).capabilities(), 0).unwrap();
}

#[test]
fn what_is_not_there_is_said_to_be_missing_and_what_to_do() {
    let (directory, _) = disk();
    let missing = |path: &Path| {
        let opened = DiskLun::open(options(path, 1)).unwrap_err();
        assert!(matches!(opened, LunError::Io { kind: std::io::ErrorKind::NotFound, .. }));
        let text = DiskLun::make_leases(path, false).unwrap_err().to_string();
        assert_eq!(text, opened.to_string());
        assert!(!text.contains("input/output error"), "{text}");
        text
    };
    let text = missing(&directory.path().join("none"));
    for says in ["there is no /", "mounted?", "truncate -s 20G /", "quorate lun init"] {
        assert!(text.contains(says), "{says}: {text}");
    }
    let text = missing(Path::new("/dev/disk/by-id/of-nobody"));
    assert!(text.contains("is it attached to this host") && text.contains("by-id"), "{text}");
    assert!(!text.contains("truncate"), "{text}");
}

#[test]
fn what_is_no_disk_for_leases_is_refused_with_the_remedy() {
    let (directory, path) = disk();
    let fails = |options| DiskLun::open(options).unwrap_err();
    assert!(matches!(fails(options(&path, 0)), LunError::Misuse { .. }));
    assert!(matches!(fails(options(directory.path(), 1)), LunError::Misuse { .. }));
    assert!(matches!(fails(options(&path.join("none"), 1)), LunError::Io { .. }));
    // Somebody's data where the leases would be.
    let other = directory.path().join("other");
    std::fs::write(&other, vec![0x55; SIZE as usize]).unwrap();
    assert!(fails(options(&other, 1)).to_string().contains("no leases stand at its end"));
    let text = DiskLun::make_leases(&other, false).unwrap_err().to_string();
    assert!(text.contains("nothing was changed"), "{text}");
    assert_eq!(std::fs::read(&other).unwrap(), vec![0x55; SIZE as usize]);
    assert!(DiskLun::make_leases(&other, true).unwrap());
    open(&other, 1).register(KEY_A).unwrap();
    // Made once more they stay as they are, and so they do by force while somebody is registered.
    assert!(!DiskLun::make_leases(&other, false).unwrap());
    let text = DiskLun::make_leases(&other, true).unwrap_err().to_string();
    assert!(text.contains("1 registered") && text.contains("quorate lun clear"), "{text}");
    assert_eq!(open(&other, 2).read_keys().unwrap().keys, [KEY_A]);
    assert_eq!(
        std::fs::read(&other).unwrap()[..(SIZE - LEASES) as usize],
        [0x55; (SIZE - LEASES) as usize]
    );
}

#[test]
fn a_disk_that_has_grown_is_nobodys_until_its_leases_are_made_anew() {
    let (_directory, path) = disk();
    let a = open(&path, 1);
    a.register(KEY_A).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(SIZE * 2).unwrap();
    // Who has it open knows the old place, and who opens it the new one.
    assert!(matches!(a.register(KEY_A), Err(LunError::Misuse { .. })));
    let text = DiskLun::open(options(&path, 2)).unwrap_err().to_string();
    assert!(text.contains("if it has grown"), "{text}");
}

#[test]
fn another_cluster_and_another_lun_are_kept_off_until_the_disk_is_cleared() {
    let (_directory, path) = disk();
    let a = open(&path, 1);
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    let other = |slot| DiskLun::open(DiskOptions { owner: 8, ..options(&path, slot) }).unwrap();
    let b = other(2);
    for refused in [b.register(KEY_B), b.read_keys().map(drop)] {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("another cluster's") && text.contains("quorate lun clear"), "{text}");
    }
    // The same number in another cluster.
    drop((a, b));
    assert!(matches!(other(1).register(KEY_B), Err(LunError::Denied { .. })));
    let tool = DiskLun::open(DiskOptions { owner: 0, ..options(&path, 251) }).unwrap();
    assert!(tool.read_keys().unwrap().is_held_by(KEY_A));
    tool.register(KEY_B).unwrap();
    tool.clear(KEY_B).unwrap();
    other(1).register(KEY_B).unwrap();
    assert!(matches!(open(&path, 2).register(KEY_A), Err(LunError::Denied { .. })));
}

/// Who starts anew does not trust what stands in its slot before a write of its former life cannot land any more; and
/// who has preempted another waits for that one's, even if it was told nothing.
#[test]
fn what_may_land_late_is_waited_for() {
    let (_directory, path) = disk();
    let (a, b) = (open(&path, 1), open(&path, 2));
    a.register(KEY_A).unwrap();
    drop(a);
    let begun = Instant::now();
    open(&path, 1).register(KEY_A).unwrap();
    assert!(begun.elapsed() >= LATE_WRITE);
    // One that only looks does not wait, and neither does who takes what was given back.
    let long = Duration::from_secs(3600);
    let c = DiskLun::open(DiskOptions { late_write: long, ..options(&path, 3) }).unwrap();
    b.register(KEY_B).unwrap();
    b.reserve(KEY_B).unwrap();
    b.release(KEY_B).unwrap();
    c.register(ReservationKey(3)).unwrap();
    c.reserve(ReservationKey(3)).unwrap();
    c.preempt_and_abort(ReservationKey(3), KEY_B).unwrap();
    assert!(c.read_keys().unwrap().is_held_by(ReservationKey(3)));
}

/// As two people at two machines: what each writes goes to one slot.
#[test]
fn of_two_tools_at_once_one_is_refused_and_the_table_stays_one() {
    let (_directory, path) = disk();
    let a = open(&path, 1);
    a.register(KEY_A).unwrap();
    // The second machine's kernel does not see the first one's locks, so here it writes by hand.
    let tool = DiskLun::open(DiskOptions {
        owner: 0,
        late_write: Duration::from_secs(1),
        ..options(&path, 251)
    })
    .unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let at = SIZE - LEASES + 251 * 4096;
    let result = std::thread::scope(|scope| {
        let tool = scope.spawn(|| tool.register(KEY_B));
        let mut claim = vec![0; 4096];
        while claim[..8] != *b"qrlease1" {
            file.read_exact_at(&mut claim, at).unwrap();
        }
        // The other one's claim, over the first.
        file.write_all_at(&vec![0; 4096], at).unwrap();
        file.sync_all().unwrap();
        tool.join().unwrap()
    });
    assert!(result.unwrap_err().to_string().contains("another tool"));
    assert_eq!(a.read_keys().unwrap().keys, [KEY_A]);
}

#[test]
fn two_handles_of_one_slot_are_refused() {
    let (_directory, path) = disk();
    let first = open(&path, 1);
    let text = DiskLun::open(options(&path, 1)).unwrap_err().to_string();
    assert!(text.contains("in use by another process"), "{text}");
    drop(first);
    open(&path, 1);
}

/// As if a machine elsewhere had been given the same number: locks of the kernel do not see that one.
#[test]
fn a_slot_that_somebody_else_writes_is_given_up() {
    let (_directory, path) = disk();
    let a = open(&path, 1);
    a.register(KEY_A).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let at = SIZE - LEASES + 4096;
    let mut before = vec![0; 4096];
    file.read_exact_at(&mut before, at).unwrap();
    a.reserve(KEY_A).unwrap();
    // What was written late, or by another.
    file.write_all_at(&before, at).unwrap();
    file.sync_all().unwrap();
    let result = a.release(KEY_A);
    assert!(matches!(result, Err(LunError::Corrupt { .. })), "{result:?}");
    // It has no registration that it could trust; registered anew it goes on from what stands there.
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    a.write_at(0, &[1; BLOCK]).unwrap();
}

/// Leases that make no sense any more keep nobody out: whoever held them stops.
#[test]
fn an_owner_whose_leases_are_destroyed_is_told_and_writes_no_more() {
    let (_directory, path) = disk();
    let a = open(&path, 1);
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    file.write_all_at(&[0x55; 4096], SIZE - LEASES + 9 * 4096).unwrap();
    file.sync_all().unwrap();
    assert_eq!(a.events().wait(Duration::from_secs(20)), Some(LunEvent::ReservationRefused));
    assert!(matches!(a.write_at(0, &[1; BLOCK]), Err(LunError::ReservationConflict)));
}

#[test]
fn a_disk_without_reservations_keeps_its_promises_and_says_that_they_are_cooperative() {
    let (_directory, path) = disk();
    let open = |initiator: usize| -> Result<Box<dyn Lun>, LunError> {
        Ok(Box::new(DiskLun::open(options(&path, 251 + initiator as u8))?))
    };
    let found = examined("disk", &open);
    assert!(found.iter().all(|one| one.verdict != Verdict::Bad), "{found:?}");
    assert_eq!(verdict(&found, "strength"), Verdict::Note);
    assert_eq!(verdict(&found, "a preempted owner is refused"), Verdict::Good);
    assert_eq!(open(0).unwrap().read_keys().unwrap().keys, []);
}

#[test]
fn poison_pills_and_the_leases_of_a_lun_keep_off_each_other() {
    let (_directory, path) = disk();
    let refused = PillArea::make(&path, 7, false).unwrap_err().to_string();
    assert!(refused.contains("the leases of a LUN stand at its end"), "{refused}");
    let (_other, path) = disk();
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&vec![0; LEASES as usize], SIZE - LEASES).unwrap();
    assert!(PillArea::make(&path, 7, false).unwrap());
    let refused = DiskLun::make_leases(&path, false).unwrap_err().to_string();
    assert!(refused.contains("poison pills lie at its beginning"), "{refused}");
}
