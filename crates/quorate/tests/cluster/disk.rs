//! A guest on a disk that knows no reservations, with leases agreed upon through the disk itself; what keeps a stale
//! owner's guest out is time.
//!
//! The judge is the guest's own ticks, and the bytes on the disk: a write that came late would have replaced a record
//! that the next owner's guest has acknowledged.

use quorate::config::{Document, Lun};
use quorate::{NoticeKind, lun};

use super::guest::{
    Lab, cut_the_owner, moved_with_its_state, the_dead_one_returns_and_the_next_one_dies,
};
use super::trio::wait_notice;

const SIZE: u64 = 16 << 20;
const LATE_WRITE_MS: u32 = 500;

/// Three nodes and a guest on a file that serves as a disk. Beside the tests: `/tmp` may know no direct I/O.
pub(crate) fn lab(change: impl FnOnce(&mut Document)) -> (Lab, tempfile::TempDir) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("disk");
    std::fs::File::create(&path).unwrap().set_len(SIZE).unwrap();
    let place = format!("disk:{}", path.display());
    lun::Lun::at(&place).unwrap().init(false).unwrap();
    let mut lab = Lab::start_with(|document| {
        let mut disk = Lun::disk("disk1", path.to_str().unwrap());
        disk.settings.insert("save_area_mib".to_owned(), 8.into());
        disk.settings.insert("late_write_ms".to_owned(), LATE_WRITE_MS.into());
        document.luns = vec![disk];
        change(document);
    });
    lab.backing = path;
    (lab, directory)
}

#[test]
fn a_guest_on_a_disk_without_reservations_is_moved_with_its_state() {
    let (lab, _directory) = lab(|_| ());
    moved_with_its_state(&lab);
    lab.check().unwrap();
}

#[test]
fn a_guest_on_a_disk_without_reservations_outlives_its_node() {
    let (mut lab, _directory) = lab(|_| ());
    let first = lab.trio.wait_online("vm", None);
    lab.wait_ticks(first, 5);
    lab.trio.kill(first);
    let second = lab.trio.wait_online("vm", Some(first));
    lab.wait_ticks(second, 5);
    lab.check().unwrap();
    let shown = lun::Lun::of(&lab.trio.config, "disk1").unwrap().show().unwrap();
    let nodes: Vec<Option<u16>> = shown.keys.iter().map(|key| key.node).collect();
    assert_eq!(nodes, [Some(second as u16)], "the dead one's key is gone");
    the_dead_one_returns_and_the_next_one_dies(&mut lab, first, second);
}

#[test]
fn a_node_that_is_cut_off_has_ended_its_guest_before_the_next_owner_writes() {
    let (lab, _directory) = lab(|_| ());
    let (first, second) = cut_the_owner(&lab);
    // Nothing refuses it: its lease ended.
    let told = wait_notice(lab.trio.node(first), NoticeKind::LeaseLost, |_| true);
    assert!(told.past_ms.is_none(), "{told}");
    let (before, after) = (lab.ticks(first), lab.ticks(second));
    assert!(before.last().unwrap().0 < after[0].0, "{before:?} {after:?}");
    lab.check().unwrap();
}

#[test]
fn a_disk_that_holds_no_leases_is_told_with_what_makes_them() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("disk");
    std::fs::write(&path, vec![7; SIZE as usize]).unwrap();
    let lab = Lab::start_with(|document| {
        document.luns = vec![Lun::disk("disk1", path.to_str().unwrap())];
    });
    for node in lab.trio.nodes() {
        let told = wait_notice(node, NoticeKind::LunTrouble, |_| true);
        assert!(told.text.contains("quorate lun init"), "{told}");
    }
}
