//! The directory driver: SPC rules against an obvious model, crashes, take-overs under load, bad
//! directories.

use std::time::Duration;

use crate::common::{BLOCK, model};
use proptest::prelude::*;
use quorate_storage::{
    Beat, FileBeats, FileLun, FileOptions, Layout, Lun, LunError, LunEvent, ReservationKey,
    Strength, read_beat, write_beat,
};

const SIZE: u64 = 4 << 20;
const KEY_A: ReservationKey = ReservationKey(0xa1);
const KEY_B: ReservationKey = ReservationKey(0xb1);

fn open(directory: &tempfile::TempDir) -> FileLun {
    let directory = directory.path().join("lun");
    let options =
        FileOptions { directory, size_bytes: Some(SIZE), timeout: Duration::from_secs(20) };
    FileLun::open(options).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_driver_and_the_obvious_model_agree(steps in model::steps()) {
        let directory = tempfile::tempdir().unwrap();
        let luns: Vec<Box<dyn Lun>> = (0..3).map(|_| Box::new(open(&directory)) as _).collect();
        model::agree(&luns, steps)?;
    }
}

#[test]
fn a_lun_in_a_directory_says_that_it_is_cooperative_and_keeps_its_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let lun = open(&directory);
    assert_eq!(lun.capabilities().strength, Strength::Cooperative);
    assert_eq!(lun.capabilities().size_bytes, SIZE);
    lun.write_at(4096, &[7; 1024]).unwrap();
    lun.flush().unwrap();
    let mut read = [0; 1024];
    open(&directory).read_at(4096, &mut read).unwrap();
    assert_eq!(read, [7; 1024]);
    assert!(matches!(lun.write_at(SIZE, &[0; BLOCK]), Err(LunError::Misuse { .. })));
}

#[test]
fn a_reservation_survives_its_owner_and_is_preempted_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let a = open(&directory);
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    drop(a);
    // The same node again is another nexus, as after a crash: its old key is an orphan, and it may
    // not write.
    let again = open(&directory);
    assert!(again.read_keys().unwrap().is_held_by(KEY_A));
    assert!(matches!(again.write_at(0, &[1; BLOCK]), Err(LunError::ReservationConflict)));
    assert_eq!(again.events().pop(), Some(LunEvent::ReservationRefused));
    again.register(KEY_B).unwrap();
    again.preempt_and_abort(KEY_B, KEY_A).unwrap();
    again.write_at(0, &[1; BLOCK]).unwrap();
    assert_eq!(again.read_keys().unwrap().keys, [KEY_B]);
}

#[test]
fn who_was_preempted_stays_out_even_when_nothing_is_reserved_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (open(&directory), open(&directory));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    b.register(KEY_B).unwrap();
    b.preempt(KEY_B, KEY_A).unwrap();
    b.clear(KEY_B).unwrap();
    assert!(matches!(a.write_at(0, &[1; BLOCK]), Err(LunError::ReservationConflict)));
    assert!(matches!(b.write_at(0, &[1; BLOCK]), Err(LunError::NotRegistered)));
    assert!(matches!(a.reclaim(KEY_A), Err(LunError::ReservationConflict)));
    assert!(a.read_keys().unwrap().keys.is_empty());
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    a.reclaim(KEY_A).unwrap();
    a.write_at(0, &[1; BLOCK]).unwrap();
}

#[test]
fn no_write_of_the_victim_lands_after_a_preempt_has_returned() {
    for round in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (open(&directory), open(&directory));
        a.register(KEY_A).unwrap();
        a.reserve(KEY_A).unwrap();
        b.register(KEY_B).unwrap();
        let image = directory.path().join("lun/data");
        let read = || std::fs::read(&image).unwrap();
        let at_return = model::bytes_when_preempted(&a, || b.preempt(KEY_B, KEY_A).unwrap(), read);
        assert!(std::fs::read(&image).unwrap() == at_return, "round {round}");
        assert!(matches!(a.flush(), Err(LunError::ReservationConflict)));
    }
}

#[test]
fn torn_or_foreign_reservations_are_refused_and_nothing_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let lun = open(&directory);
    lun.register(KEY_A).unwrap();
    let path = directory.path().join("lun/reservations");
    let good = std::fs::read(&path).unwrap();
    for bad in [&good[..good.len() - 3], b"", b"[other]\nprogram = 1\n", &[0xff; 100]] {
        std::fs::write(&path, bad).unwrap();
        assert!(matches!(lun.read_keys(), Err(LunError::Corrupt { .. })));
        assert!(matches!(lun.register(KEY_B), Err(LunError::Corrupt { .. })));
        assert!(matches!(lun.write_at(0, &[1; BLOCK]), Err(LunError::Corrupt { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), bad);
    }
    std::fs::write(&path, good).unwrap();
    assert_eq!(lun.read_keys().unwrap().keys, [KEY_A]);
}

#[test]
fn a_crash_in_the_middle_of_a_change_leaves_the_state_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let lun = open(&directory);
    lun.register(KEY_A).unwrap();
    // What a crash between writing and renaming leaves behind.
    std::fs::write(directory.path().join("lun/reservations.fresh"), b"half a tab").unwrap();
    let next = open(&directory);
    assert_eq!(next.read_keys().unwrap().keys, [KEY_A]);
    next.register(KEY_B).unwrap();
    assert_eq!(lun.read_keys().unwrap().keys, [KEY_A, KEY_B]);
}

#[test]
fn sizes_and_places_that_cannot_be_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path, size_bytes| {
        FileLun::open(FileOptions {
            directory: path.to_owned(),
            size_bytes,
            timeout: Duration::from_secs(1),
        })
    };
    let path = directory.path().join("lun");
    assert!(matches!(open(&path, Some(100)), Err(LunError::Misuse { .. })));
    assert!(matches!(open(&path, Some(0)), Err(LunError::Misuse { .. })));
    let bare = open(&path, None).unwrap();
    assert_eq!(bare.capabilities().size_bytes, 0);
    assert!(matches!(bare.flush(), Err(LunError::Misuse { .. })));
    bare.register(KEY_A).unwrap();
    open(&path, Some(SIZE)).unwrap();
    assert!(matches!(open(&path, Some(SIZE * 2)), Err(LunError::Misuse { .. })));
    assert_eq!(open(&path, None).unwrap().capabilities().size_bytes, SIZE);
    assert!(matches!(open(&path.join("a/b"), None), Err(LunError::Io { .. })));
    assert!(matches!(open(&path.join("data"), None), Err(LunError::Io { .. })));
}

#[test]
fn a_directory_that_cannot_be_made_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |path: &std::path::Path| {
        let timeout = Duration::from_secs(20);
        let options = FileOptions { directory: path.to_owned(), size_bytes: None, timeout };
        FileLun::open(options).unwrap_err().to_string()
    };
    let text = refused(&directory.path().join("a/b"));
    assert!(text.starts_with("there is no /"), "{text}");
    assert!(text.contains("mounted?") && text.contains("mkdir -p /") && text.ends_with("/a"));
    let image = directory.path().join("image");
    std::fs::write(&image, b"x").unwrap();
    let text = refused(&image);
    assert!(text.contains("is no directory") && text.contains("driver is disk"), "{text}");
}

#[test]
fn the_owner_beats_on_the_lun_and_a_preempted_owner_cannot() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (open(&directory), open(&directory));
    let at = Layout::new(&a.capabilities(), 1 << 20).unwrap().beat_offset(0).unwrap();
    assert_eq!(read_beat(&b, at).unwrap(), None);
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    for counter in 1..=3 {
        let beat = Beat { node: 1, incarnation: 4, counter };
        write_beat(&a, at, &beat).unwrap();
        assert_eq!(read_beat(&b, at).unwrap(), Some(beat));
    }
    assert!(
        write_beat(&b, at, &Beat { node: 2, incarnation: 1, counter: 1 }).unwrap_err().is_refusal()
    );
    b.register(KEY_B).unwrap();
    b.preempt(KEY_B, KEY_A).unwrap();
    assert!(
        write_beat(&a, at, &Beat { node: 1, incarnation: 4, counter: 4 }).unwrap_err().is_refusal()
    );
    assert_eq!(read_beat(&b, at).unwrap().unwrap().counter, 3);
    b.write_at(at, &[9; BLOCK]).unwrap();
    assert!(matches!(read_beat(&a, at), Err(LunError::Corrupt { .. })));
    // In the directory both beat, whoever holds the LUN.
    let beats = FileBeats::open(a.directory()).unwrap();
    beats.write(&Beat { node: 1, incarnation: 4, counter: 4 }).unwrap();
    assert_eq!(beats.read(1).unwrap().unwrap().counter, 4);
}
