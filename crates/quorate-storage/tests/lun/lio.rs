//! The iSCSI driver against a target that does all that SPC-4 says.

use std::time::Duration;

use crate::common::BLOCK;
use crate::doctor::{examined, seen, verdict};
use crate::iscsi::{
    KEY_A, KEY_B, LONG, agrees_with_the_file_driver, options, wait_for, wait_for_loss,
};
use quorate_storage::doctor::Verdict;
use quorate_storage::testing::{LioTarget, Proxy};
use quorate_storage::{IscsiLun, Lun, LunError, LunEvent, ReservationType, Strength};

const KIND: &str = "LIO, iSCSI";

fn open(target: &LioTarget, node: &str) -> IscsiLun {
    IscsiLun::open(options(target.url(), node, LONG)).unwrap()
}

fn through(target: &LioTarget, proxy: &Proxy, node: &str) -> IscsiLun {
    IscsiLun::open(options(target.url_through(proxy.address()), node, LONG)).unwrap()
}

#[test]
#[ignore = "needs the kernel image: make test-kernel"]
fn a_faithful_target_has_everything_that_is_asked_of_a_lun() {
    let target = LioTarget::start().unwrap();
    let capabilities = open(&target, "a").capabilities();
    assert_eq!(capabilities.strength, Strength::Enforced);
    assert_eq!((capabilities.size_bytes, capabilities.block_bytes), (LioTarget::SIZE, 512));
    assert!(capabilities.preempt_and_abort && capabilities.aptpl && capabilities.discard_safe);
}

#[test]
#[ignore = "needs the kernel image: make test-kernel"]
fn an_examination_finds_a_faithful_target_fit() {
    let target = LioTarget::start().unwrap();
    let open = |initiator: usize| -> Result<Box<dyn Lun>, LunError> {
        let node = ["a", "b"][initiator];
        Ok(Box::new(IscsiLun::open(options(target.url(), node, LONG))?))
    };
    let found = examined(KIND, &open);
    let worse = found.iter().filter(|one| one.verdict != Verdict::Good).collect::<Vec<_>>();
    assert!(worse.is_empty(), "{worse:?}");
    assert_eq!(verdict(&found, "a stranger's write same is refused"), Verdict::Good);
}

#[test]
#[ignore = "needs the kernel image: make test-kernel"]
fn a_preempted_and_aborted_owner_is_refused_every_time_and_told_at_once() {
    let target = LioTarget::start().unwrap();
    let (a, b) = (open(&target, "a"), open(&target, "b"));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    a.write_at(0, &[1; BLOCK]).unwrap();
    assert!(matches!(b.write_at(0, &[2; BLOCK]), Err(LunError::ReservationConflict)));
    b.register(KEY_B).unwrap();
    assert!(matches!(b.reserve(KEY_B), Err(LunError::ReservationConflict)));
    b.preempt_and_abort(KEY_B, KEY_A).unwrap();
    let reservations = b.read_keys().unwrap();
    assert_eq!(reservations.keys, [KEY_B]);
    assert_eq!(reservations.holder, Some((KEY_B, ReservationType::WriteExclusiveRegistrantsOnly)));
    for _ in 0..50 {
        assert!(matches!(a.write_at(0, &[3; BLOCK]), Err(LunError::ReservationConflict)));
        assert!(matches!(a.flush(), Err(LunError::ReservationConflict)));
    }
    assert_eq!(a.events().pop(), Some(LunEvent::ReservationRefused));
    let mut read = [0; BLOCK];
    a.read_at(0, &mut read).unwrap();
    assert_eq!(read, [1; BLOCK]);
    seen(
        KIND,
        "preempt and abort, done",
        Verdict::Good,
        "carried out, and its victim refused 50 times",
    );
}

#[test]
#[ignore = "needs the kernel image: make test-kernel"]
fn a_path_that_comes_back_is_still_registered_and_loses_no_write() {
    let target = LioTarget::start().unwrap();
    let proxy = Proxy::start(target.address()).unwrap();
    let a = through(&target, &proxy, "a");
    let b = open(&target, "b");
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    for round in 1..=3 {
        proxy.cut();
        wait_for_loss(&a);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| a.write_at(0, &[round; BLOCK]));
            proxy.heal();
            wait_for(&a, &LunEvent::PathBack { registered: true });
            waiting.join().unwrap().unwrap();
        });
        let mut read = [0; BLOCK];
        b.read_at(0, &mut read).unwrap();
        assert_eq!(read, [round; BLOCK]);
    }
    let reservations = b.read_keys().unwrap();
    assert!(reservations.keys == [KEY_A] && reservations.is_held_by(KEY_A));
    seen(KIND, "path loss", Verdict::Good, "still registered when it is back");
}

/// As after a power loss of the host: whoever comes under the same names is the same nexus.
#[test]
#[ignore = "needs the kernel image: make test-kernel"]
fn a_handle_opened_again_is_the_nexus_that_it_was() {
    let target = LioTarget::start().unwrap();
    let b = open(&target, "b");
    let a = open(&target, "a");
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    drop(a);
    assert!(matches!(b.write_at(0, &[2; BLOCK]), Err(LunError::ReservationConflict)));
    let a = open(&target, "a");
    a.write_at(0, &[1; BLOCK]).unwrap();
    a.reserve(KEY_A).unwrap();
    assert_eq!(b.read_keys().unwrap().keys, [KEY_A]);
}

#[test]
#[ignore = "needs the kernel image: make test-kernel"]
fn who_was_preempted_while_away_is_told_so_and_writes_nothing() {
    let target = LioTarget::start().unwrap();
    let proxy = Proxy::start(target.address()).unwrap();
    let a = through(&target, &proxy, "a");
    let b = open(&target, "b");
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    proxy.cut();
    wait_for_loss(&a);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| a.write_at(0, &[7; BLOCK]));
        b.register(KEY_B).unwrap();
        b.preempt_and_abort(KEY_B, KEY_A).unwrap();
        b.write_at(0, &[2; BLOCK]).unwrap();
        proxy.heal();
        wait_for(&a, &LunEvent::PathBack { registered: false });
        assert!(matches!(a.reclaim(KEY_A), Err(LunError::ReservationConflict)));
        assert!(matches!(waiting.join().unwrap(), Err(LunError::NotRegistered)));
    });
    assert!(a.write_at(0, &[7; BLOCK]).unwrap_err().is_refusal());
    assert_eq!(b.read_keys().unwrap().keys, [KEY_B]);
    let mut read = [0; BLOCK];
    b.read_at(0, &mut read).unwrap();
    assert_eq!(read, [2; BLOCK]);
}

#[test]
#[ignore = "needs the kernel image: make test-kernel"]
fn a_target_that_loses_its_power_and_its_reservations_gives_nothing_back_by_itself() {
    let mut target = LioTarget::start().unwrap();
    // It takes a while to boot, and this handle waits for it.
    let patience = Duration::from_secs(120);
    let a = IscsiLun::open(options(target.url(), "a", LONG)).unwrap();
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    target.kill().unwrap();
    wait_for_loss(&a);
    target.restart().unwrap();
    let event = a.events().wait(patience);
    assert_eq!(event, Some(LunEvent::PathBack { registered: false }));
    assert!(a.read_keys().unwrap().keys.is_empty());
    assert!(matches!(a.reclaim(KEY_A), Err(LunError::ReservationConflict)));
    assert!(a.write_at(0, &[1; BLOCK]).unwrap_err().is_refusal());
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    a.write_at(0, &[1; BLOCK]).unwrap();
    seen(KIND, "target restart", Verdict::Note, "without APTPL: noticed, nothing written");
}

#[test]
#[ignore = "needs the kernel image: make test-kernel"]
fn the_file_driver_and_a_faithful_target_agree_on_reservations() {
    let target = LioTarget::start().unwrap();
    let real: Vec<IscsiLun> = ["a", "b", "c"].iter().map(|node| open(&target, node)).collect();
    agrees_with_the_file_driver(&real);
}
