//! The iSCSI driver against a real target.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common::nbd::{Client, WRITE};
use crate::common::{BLOCK, Random};
use crate::doctor::{examined, seen, verdict};
use quorate_storage::doctor::Verdict;
use quorate_storage::testing::{Proxy, Target};
use quorate_storage::{
    FileLun, FileOptions, IscsiLun, IscsiOptions, Lun, LunError, LunEvent, NbdOptions, NbdServer,
    ReservationKey, ReservationType, Strength,
};

pub(crate) const KEY_A: ReservationKey = ReservationKey(0xa1);
pub(crate) const KEY_B: ReservationKey = ReservationKey(0xb1);
const KEY_C: ReservationKey = ReservationKey(0xc1);
pub(crate) const LONG: Duration = Duration::from_secs(10);
const SIZE: u64 = 16 << 20;

pub(crate) fn options(url: String, node: &str, timeout: Duration) -> IscsiOptions {
    IscsiOptions {
        url,
        initiator: format!("iqn.2026-01.org.quorate:{node}"),
        nexus: format!("test/{node}/lun"),
        timeout,
    }
}

fn open(target: &Target, node: &str) -> IscsiLun {
    IscsiLun::open(options(target.url(), node, LONG)).unwrap()
}

fn through(target: &Target, portal: SocketAddr, node: &str, timeout: Duration) -> IscsiLun {
    IscsiLun::open(options(target.url_through(portal), node, timeout)).unwrap()
}

/// Reads what really stands on the LUN, past the target.
fn bytes(target: &Target) -> Vec<u8> {
    std::fs::read(target.backing_file()).unwrap()
}

pub(crate) fn wait_for(lun: &dyn Lun, wanted: &LunEvent) {
    let end = Instant::now() + LONG;
    while let Some(event) = lun.events().wait(end.saturating_duration_since(Instant::now())) {
        if event == *wanted {
            return;
        }
    }
    panic!("no {wanted:?}");
}

pub(crate) fn wait_for_loss(lun: &dyn Lun) {
    let event = lun.events().wait(LONG);
    assert!(matches!(event, Some(LunEvent::PathLost { .. })), "{event:?}");
}

#[test]
fn a_lun_says_what_it_is() {
    let target = Target::start(SIZE).unwrap();
    let capabilities = open(&target, "a").capabilities();
    assert_eq!(capabilities.strength, Strength::Enforced);
    assert_eq!((capabilities.size_bytes, capabilities.block_bytes), (SIZE, 512));
    // tgt claims PREEMPT AND ABORT in its list of commands and refuses it; its discards pass a
    // reservation.
    assert!(!capabilities.preempt_and_abort && !capabilities.discard_safe && !capabilities.aptpl);
}

#[test]
fn an_examination_finds_what_tgt_lacks_and_that_it_refuses_who_must_be_refused() {
    let target = Target::start(SIZE).unwrap();
    let open = |initiator: usize| -> Result<Box<dyn Lun>, LunError> {
        let node = ["a", "b"][initiator];
        Ok(Box::new(IscsiLun::open(options(target.url(), node, LONG))?))
    };
    let found = examined("tgt", &open);
    assert!(found.iter().all(|one| one.verdict != Verdict::Bad), "{found:?}");
    for trial in [
        "preempt and abort",
        "reservations outlive a loss of power",
        "a stranger's write same is refused",
        "a registration survives a reconnect",
    ] {
        assert_eq!(verdict(&found, trial), Verdict::Note, "{trial}");
    }
    for trial in ["a stranger is refused", "a preempted owner is refused"] {
        assert_eq!(verdict(&found, trial), Verdict::Good, "{trial}");
    }
    assert_eq!(open(0).unwrap().read_keys().unwrap().keys, []);
    assert!(bytes(&target).iter().all(|byte| *byte == 0));
}

#[test]
fn bytes_come_back_as_written_also_above_the_longest_transfer() {
    let target = Target::start(SIZE).unwrap();
    let lun = open(&target, "a");
    let mut random = Random::new(1);
    let written: Vec<u8> = (0..(3 << 20) + 512).map(|_| random.below(256) as u8).collect();
    lun.write_at(512, &written).unwrap();
    lun.flush().unwrap();
    let mut read = vec![0; written.len()];
    lun.read_at(512, &mut read).unwrap();
    assert!(read == written && bytes(&target)[512..512 + written.len()] == written);
}

#[test]
fn a_range_off_the_lun_or_off_its_blocks_is_misuse() {
    let target = Target::start(SIZE).unwrap();
    let lun = open(&target, "a");
    for (offset, length) in [(SIZE, 512), (100, 512), (0, 100), (u64::MAX - 511, 512)] {
        assert!(matches!(lun.write_at(offset, &vec![0; length]), Err(LunError::Misuse { .. })));
        assert!(matches!(lun.read_at(offset, &mut vec![0; length]), Err(LunError::Misuse { .. })));
    }
    assert!(matches!(lun.register(ReservationKey(0)), Err(LunError::Misuse { .. })));
}

#[test]
fn a_preempted_owner_is_refused_every_time_and_told_at_once() {
    let target = Target::start(SIZE).unwrap();
    let (a, b) = (open(&target, "a"), open(&target, "b"));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    a.write_at(0, &[1; BLOCK]).unwrap();
    assert!(matches!(b.write_at(0, &[2; BLOCK]), Err(LunError::ReservationConflict)));
    b.register(KEY_B).unwrap();
    assert!(matches!(b.reserve(KEY_B), Err(LunError::ReservationConflict)));
    b.preempt(KEY_B, KEY_A).unwrap();
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
    // Even when nobody holds the LUN any more: the former owner's writes stay out until it
    // registers again.
    b.clear(KEY_B).unwrap();
    assert!(matches!(a.write_at(0, &[3; BLOCK]), Err(LunError::ReservationConflict)));
    a.register(KEY_A).unwrap();
    a.write_at(0, &[4; BLOCK]).unwrap();
}

#[test]
fn a_flush_alone_sees_the_refusal_behind_the_unit_attention() {
    let target = Target::start(SIZE).unwrap();
    let (a, b) = (open(&target, "a"), open(&target, "b"));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    b.register(KEY_B).unwrap();
    b.preempt(KEY_B, KEY_A).unwrap();
    assert!(matches!(a.flush(), Err(LunError::ReservationConflict)));
    assert_eq!(a.events().pop(), Some(LunEvent::ReservationRefused));
}

#[test]
fn a_bystander_never_hears_of_a_unit_attention() {
    let target = Target::start(SIZE).unwrap();
    let (a, b, c) = (open(&target, "a"), open(&target, "b"), open(&target, "c"));
    for round in 0..20 {
        a.register(KEY_A).unwrap();
        c.register(KEY_C).unwrap();
        b.register(KEY_B).unwrap();
        a.reserve(KEY_A).unwrap();
        b.preempt_and_abort(KEY_B, KEY_A).unwrap();
        match round % 3 {
            0 => c.flush().unwrap(),
            1 => c.write_at(0, &[5; BLOCK]).unwrap(),
            _ => c.read_at(0, &mut [0; BLOCK]).unwrap(),
        }
        b.clear(KEY_B).unwrap();
    }
}

/// Writes from many threads until the first refusal, every write with other bytes.
fn stream_of_writes(lun: &IscsiLun, acknowledged: &AtomicU64) {
    std::thread::scope(|scope| {
        for thread in 0..48_u64 {
            scope.spawn(move || {
                let mut random = Random::new(thread);
                loop {
                    let offset = random.below(64) * (64 << 10);
                    let mark = (1 + random.below(u64::MAX >> 11)).to_le_bytes();
                    match lun.write_at(offset, &mark.repeat(8 << 10)) {
                        Ok(()) => acknowledged.fetch_add(1, Ordering::Relaxed),
                        Err(LunError::ReservationConflict) => return,
                        Err(other) => panic!("{other:?}"),
                    };
                }
            });
        }
    });
}

/// One take-over under load. Returns whether a byte of the LUN changed after the preempt had
/// returned.
fn changes_after(preempt: impl Fn(&IscsiLun)) -> bool {
    let target = Target::start(SIZE).unwrap();
    // A backing store that writes through: writes are under way for long.
    let file = target.backing_file().display().to_string();
    let slow = [
        "--op",
        "new",
        "--mode",
        "logicalunit",
        "-t",
        "1",
        "-l",
        "2",
        "-b",
        &file,
        "--bsoflags",
        "sync",
    ];
    target.admin(&slow).unwrap();
    let open = |node| IscsiLun::open(options(target.url_of(2), node, LONG)).unwrap();
    let (a, b) = (open("a"), open("b"));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    b.register(KEY_B).unwrap();
    let acknowledged = AtomicU64::new(0);
    let at_return = std::thread::scope(|scope| {
        scope.spawn(|| stream_of_writes(&a, &acknowledged));
        let end = Instant::now() + LONG;
        while acknowledged.load(Ordering::Relaxed) < 50 {
            assert!(Instant::now() < end, "the stream does not flow");
            std::thread::yield_now();
        }
        preempt(&b);
        bytes(&target)
    });
    // The scope has ended, so every write of the victim has got its answer.
    bytes(&target) != at_return
}

#[test]
fn no_write_of_the_victim_lands_after_preempt_and_abort_has_returned() {
    for round in 0..15 {
        assert!(!changes_after(|b| b.preempt_and_abort(KEY_B, KEY_A).unwrap()), "round {round}");
    }
    seen(
        "tgt",
        "preempt and abort, done",
        Verdict::Good,
        "preempt and a reset: no write of the victim lands after",
    );
}

/// The control of the test above: with plain PREEMPT this target does let writes land late, so the
/// test can fail.
/// Of two that come to tgt at once, from two sessions, one is never answered: it is sent again.
#[test]
fn two_resets_at_once_both_come_to_an_end() {
    let target = Target::start(SIZE).unwrap();
    let handles: Vec<IscsiLun> =
        ["a", "b", "c", "d"].iter().map(|node| open(&target, node)).collect();
    let key = |at: usize, round: u64| ReservationKey(1 + at as u64 + (round << 8));
    for (at, lun) in handles.iter().enumerate() {
        lun.register(key(at, 0)).unwrap();
    }
    for round in 1..=20 {
        std::thread::scope(|scope| {
            for pair in [0, 2] {
                let (old, new) = (pair + (round as usize + 1) % 2, pair + round as usize % 2);
                let lun = &handles[new];
                scope.spawn(move || {
                    lun.register(key(new, round)).unwrap();
                    lun.preempt_and_abort(key(new, round), key(old, round - 1)).unwrap();
                });
            }
            // What bystanders have under way is what a reset waits for.
            let writer = &handles[round as usize % 2];
            scope.spawn(move || (0..50).for_each(|_| drop(writer.write_at(4096, &[1; BLOCK]))));
        });
    }
}

#[test]
fn a_plain_preempt_does_not_wait_for_writes_under_way() {
    assert!((0..100).any(|_| changes_after(|b| b.preempt(KEY_B, KEY_A).unwrap())));
}

#[test]
fn a_path_that_comes_back_is_not_registered_until_it_is_reclaimed_and_then_loses_no_write() {
    let target = Target::start(SIZE).unwrap();
    let proxy = Proxy::start(target.address()).unwrap();
    let a = through(&target, proxy.address(), "a", LONG);
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    proxy.cut();
    wait_for_loss(&a);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| a.write_at(0, &[7; BLOCK]));
        proxy.heal();
        wait_for(&a, &LunEvent::PathBack { registered: false });
        // The write waits: reads pass, and the LUN is as it was.
        let mut read = [1; BLOCK];
        a.read_at(0, &mut read).unwrap();
        assert_eq!(read, [0; BLOCK]);
        assert!(!waiting.is_finished());
        a.reclaim(KEY_A).unwrap();
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(a.read_keys().unwrap().keys, [KEY_A]);
    assert_eq!(bytes(&target)[..BLOCK], [7; BLOCK]);
    seen(
        "tgt",
        "path loss",
        Verdict::Note,
        "taken back with its writes, if nobody has preempted us",
    );
}

#[test]
fn writes_that_wait_for_a_registration_end_with_the_time_out() {
    let target = Target::start(SIZE).unwrap();
    let proxy = Proxy::start(target.address()).unwrap();
    let a = through(&target, proxy.address(), "a", Duration::from_millis(300));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    proxy.cut();
    wait_for_loss(&a);
    assert!(matches!(a.write_at(0, &[7; BLOCK]), Err(LunError::PathLost { .. })));
    assert!(matches!(a.read_keys(), Err(LunError::PathLost { .. })));
    proxy.heal();
    wait_for(&a, &LunEvent::PathBack { registered: false });
    assert!(matches!(a.write_at(0, &[7; BLOCK]), Err(LunError::NotRegistered)));
    assert!(matches!(a.flush(), Err(LunError::NotRegistered)));
    assert_eq!(bytes(&target)[..BLOCK], [0; BLOCK]);
}

#[test]
fn a_new_registration_does_not_send_what_was_written_under_the_old_one() {
    let target = Target::start(SIZE).unwrap();
    let proxy = Proxy::start(target.address()).unwrap();
    let a = through(&target, proxy.address(), "a", LONG);
    a.register(KEY_A).unwrap();
    proxy.cut();
    wait_for_loss(&a);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| a.write_at(0, &[7; BLOCK]));
        proxy.heal();
        wait_for(&a, &LunEvent::PathBack { registered: false });
        // So that the write is on its list for sure: it goes out in order.
        a.read_at(0, &mut [0; BLOCK]).unwrap();
        if !waiting.is_finished() {
            a.register(KEY_C).unwrap();
        }
        let outcome = waiting.join().unwrap();
        assert!(outcome.is_ok() == (bytes(&target)[..BLOCK] == [7; BLOCK]));
    });
    a.write_at(0, &[8; BLOCK]).unwrap();
}

/// Lets A lose its path, with a write waiting, and B take over, do `then`, and A come back.
fn taken_over_while_away(then: impl Fn(&IscsiLun)) {
    let target = Target::start(SIZE).unwrap();
    let proxy = Proxy::start(target.address()).unwrap();
    let a = through(&target, proxy.address(), "a", LONG);
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
        then(&b);
        let before = b.read_keys().unwrap();
        proxy.heal();
        wait_for(&a, &LunEvent::PathBack { registered: false });
        assert!(matches!(a.reclaim(KEY_A), Err(LunError::ReservationConflict)));
        assert!(matches!(waiting.join().unwrap(), Err(LunError::NotRegistered)));
        let after = b.read_keys().unwrap();
        assert_eq!((after.keys, after.holder), (before.keys, before.holder));
    });
    assert!(a.write_at(0, &[7; BLOCK]).unwrap_err().is_refusal());
    assert_eq!(bytes(&target)[..BLOCK], [2; BLOCK]);
}

#[test]
fn who_was_preempted_while_away_reclaims_nothing_and_writes_nothing() {
    taken_over_while_away(|_| {});
}

/// The device alone would let the stale write pass here: nothing is reserved any more.
#[test]
fn a_write_from_before_stays_out_even_if_the_next_owner_has_left_again() {
    taken_over_while_away(|b| b.clear(KEY_B).unwrap());
}

#[test]
fn a_command_that_the_wire_held_back_is_refused_after_the_preempt() {
    let target = Target::start(SIZE).unwrap();
    let proxy = Proxy::start(target.address()).unwrap();
    let a = through(&target, proxy.address(), "a", LONG);
    let b = open(&target, "b");
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    b.register(KEY_B).unwrap();
    proxy.hold();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| a.write_at(0, &[7; BLOCK]));
        b.preempt_and_abort(KEY_B, KEY_A).unwrap();
        proxy.heal();
        assert!(matches!(held.join().unwrap(), Err(LunError::ReservationConflict)));
    });
    assert_eq!(a.events().pop(), Some(LunEvent::ReservationRefused));
    assert_eq!(bytes(&target)[..BLOCK], [0; BLOCK]);
}

#[test]
fn an_idle_handle_notices_a_dead_wire_and_keeps_a_live_one() {
    let target = Target::start(SIZE).unwrap();
    let proxy = Proxy::start(target.address()).unwrap();
    let a = through(&target, proxy.address(), "a", Duration::from_millis(300));
    // Several times its time-out without a call: it keeps itself alive.
    assert_eq!(a.events().wait(Duration::from_millis(1500)), None);
    proxy.hold();
    wait_for_loss(&a);
    proxy.heal();
    wait_for(&a, &LunEvent::PathBack { registered: false });
    a.write_at(0, &[1; BLOCK]).unwrap();
}

#[test]
fn a_target_that_dies_and_returns_without_its_reservations_gives_nothing_back_by_itself() {
    let mut target = Target::start(SIZE).unwrap();
    let a = open(&target, "a");
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    target.kill().unwrap();
    wait_for_loss(&a);
    target.restart().unwrap();
    wait_for(&a, &LunEvent::PathBack { registered: false });
    assert!(a.read_keys().unwrap().keys.is_empty());
    assert!(matches!(a.reclaim(KEY_A), Err(LunError::ReservationConflict)));
    assert!(a.write_at(0, &[1; BLOCK]).unwrap_err().is_refusal());
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    a.write_at(0, &[1; BLOCK]).unwrap();
    seen(
        "tgt",
        "target restart",
        Verdict::Note,
        "its reservations are gone; noticed, nothing written",
    );
}

#[test]
fn a_handle_dropped_or_crashed_leaves_its_reservation_behind() {
    let target = Target::start(SIZE).unwrap();
    let a = open(&target, "a");
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    drop(a);
    let b = open(&target, "b");
    assert!(b.read_keys().unwrap().is_held_by(KEY_A));
    assert!(matches!(b.write_at(0, &[1; BLOCK]), Err(LunError::ReservationConflict)));
    b.register(KEY_B).unwrap();
    b.preempt_and_abort(KEY_B, KEY_A).unwrap();
    b.write_at(0, &[1; BLOCK]).unwrap();
}

#[test]
fn a_device_without_reservations_is_unsupported() {
    let target = Target::start(SIZE).unwrap();
    // LUN 0 of tgt is a controller that knows no reservations.
    let refused = IscsiLun::open(options(target.url_of(0), "a", LONG));
    assert!(matches!(refused, Err(LunError::Unsupported { .. })), "{refused:?}");
}

#[test]
fn what_is_not_there_is_told_at_once() {
    let mut target = Target::start(SIZE).unwrap();
    let begin = Instant::now();
    let no_lun = IscsiLun::open(options(target.url_of(7), "a", LONG)).unwrap_err();
    assert!(no_lun.to_string().contains("no such LUN"), "{no_lun}");
    let no_target =
        IscsiLun::open(options(target.url().replace(":target", ":other"), "a", LONG)).unwrap_err();
    assert!(no_target.to_string().contains("not found"), "{no_target}");
    target.kill().unwrap();
    let nobody = IscsiLun::open(options(target.url(), "a", LONG)).unwrap_err();
    assert!(matches!(&nobody, LunError::PathLost { why } if why.contains("refused")), "{nobody}");
    let no_host =
        IscsiLun::open(options("iscsi://host.invalid/iqn.x/1".to_owned(), "a", LONG)).unwrap_err();
    assert!(matches!(no_host, LunError::PathLost { .. }), "{no_host}");
    assert!(begin.elapsed() < LONG);
}

#[test]
fn a_target_that_never_answers_ends_with_the_time_out() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("iscsi://{}/iqn.x/1", silent.local_addr().unwrap());
    let refused = IscsiLun::open(options(url, "a", Duration::from_millis(200)));
    assert!(matches!(refused, Err(LunError::PathLost { .. })), "{refused:?}");
}

#[test]
fn a_wrong_password_is_denied_and_the_right_one_is_not() {
    let target = Target::start(SIZE).unwrap();
    target
        .admin(&["--op", "new", "--mode", "account", "--user", "me", "--password", "longsecret12"])
        .unwrap();
    target.admin(&["--op", "bind", "--mode", "account", "-t", "1", "--user", "me"]).unwrap();
    let with = |login: &str| {
        let url = target.url().replace("iscsi://", &format!("iscsi://{login}"));
        IscsiLun::open(options(url, "a", LONG))
    };
    for login in ["", "me%wrongsecret12@"] {
        let error = with(login).unwrap_err();
        assert!(matches!(error, LunError::Denied { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
    with("me%longsecret12@").unwrap();
}

#[test]
fn calls_that_make_no_sense_are_refused_before_they_are_sent() {
    let bad = |timeout, initiator: &str| {
        let mut options = options("iscsi://127.0.0.1:1/iqn.x/1".to_owned(), "a", timeout);
        options.initiator = initiator.to_owned();
        assert!(matches!(IscsiLun::open(options), Err(LunError::Misuse { .. })));
    };
    bad(Duration::from_millis(1), "iqn.a");
    bad(LONG, "");
    bad(LONG, &"x".repeat(224));
    bad(LONG, "iqn\0");
}

/// The directory driver does what a real device does: the same verbs in the same order, the same
/// answers.
#[test]
fn the_file_driver_and_a_real_target_agree_on_reservations() {
    let target = Target::start(SIZE).unwrap();
    let real: Vec<IscsiLun> = ["a", "b", "c"].iter().map(|node| open(&target, node)).collect();
    agrees_with_the_file_driver(&real);
}

/// The same verbs in the same order by three handles; `real` are those of one LUN.
pub(crate) fn agrees_with_the_file_driver(real: &[IscsiLun]) {
    let directory = tempfile::tempdir().unwrap();
    let open_file = || {
        let directory = directory.path().to_owned();
        FileLun::open(FileOptions { directory, size_bytes: None, timeout: LONG }).unwrap()
    };
    let file: Vec<FileLun> = (0..3).map(|_| open_file()).collect();
    let mut random = Random::new(11);
    let mut registered = [None; 3];
    let mut seen = BTreeMap::<(u64, bool), u32>::new();
    for step in 0..700 {
        let (node, verb) = (random.below(3) as usize, random.below(8));
        let (own, other) =
            (ReservationKey(1 + random.below(3)), ReservationKey(1 + random.below(3)));
        // tgt does not look at the key of a RESERVE, nor at that of a RELEASE that releases
        // nothing: give the right one.
        let knows = (3..=5).contains(&verb) || (verb == 6 && random.below(2) == 0);
        let own = if knows { registered[node].unwrap_or(own) } else { own };
        // Of one who names its own key and does not hold the LUN, SPC-4 takes the registration, and
        // so does LIO; tgt and the directory driver leave it.
        let holds = file[0].read_keys().unwrap().is_held_by(own);
        if verb == 6 && own == other && !holds {
            continue;
        }
        let call = |lun: &dyn Lun| match verb {
            0 | 1 => lun.register(own),
            2 => lun.unregister(),
            3 | 4 => lun.reserve(own),
            5 => lun.release(own),
            6 => lun.preempt(own, other),
            _ => lun.clear(own),
        };
        let (left, right) = (call(&real[node]), call(&file[node]));
        assert_eq!(
            format!("{left:?}"),
            format!("{right:?}"),
            "step {step}: verb {verb} by {node}, {own} {other}"
        );
        let (left_state, right_state) =
            (real[0].read_keys().unwrap(), file[0].read_keys().unwrap());
        assert_eq!(left_state.keys, right_state.keys, "step {step}: verb {verb}");
        assert_eq!(left_state.holder, right_state.holder, "step {step}: verb {verb}");
        if left.is_ok() && verb <= 2 {
            registered[node] = (verb < 2).then_some(own);
        }
        *seen.entry((verb, left.is_ok())).or_default() += 1;
    }
    // Each verb was seen to succeed, and each that can be refused, to be refused.
    assert!(seen.values().all(|count| *count > 5), "{seen:?}");
    assert_eq!(seen.len(), 8 + 5, "{seen:?}");
}

/// One nexus: what a guest writes through the bridge counts as the registrant's; anyone else's
/// session is a stranger's.
#[test]
fn the_bridge_writes_through_the_registered_nexus_and_loses_it_with_the_registration() {
    let target = Target::start(SIZE).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("nbd.sock");
    let (a, b) = (Arc::new(open(&target, "a")), open(&target, "b"));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    let patience = Duration::ZERO;
    let options =
        NbdOptions { socket: socket.clone(), offset: 0, length: 1 << 20, hook: None, patience };
    let _server = NbdServer::start(Arc::clone(&a) as Arc<dyn Lun>, options).unwrap();
    let mut guest = Client::connect(&socket);
    for block in 0..200_u64 {
        guest.send(WRITE, 0, block, block * 4096, 4096, &[1; 4096]);
    }
    for _ in 0..200 {
        assert_eq!(guest.reply().0, 0);
    }
    assert_eq!(guest.flush(), 0);
    assert!(bytes(&target)[..200 * 4096].iter().all(|byte| *byte == 1));
    assert!(matches!(b.write_at(0, &[2; BLOCK]), Err(LunError::ReservationConflict)));
    b.register(KEY_B).unwrap();
    b.preempt_and_abort(KEY_B, KEY_A).unwrap();
    for _ in 0..20 {
        assert_eq!(guest.write(0, &[3; BLOCK], 0), 1);
    }
    assert_eq!(a.events().pop(), Some(LunEvent::ReservationRefused));
    assert!(bytes(&target)[..200 * 4096].iter().all(|byte| *byte == 1));
}

/// Tells a target to send who logs in to it elsewhere.
fn send_elsewhere(target: &Target, to: SocketAddr) {
    let words = [
        ("RedirectAddress", to.ip().to_string()),
        ("RedirectPort", to.port().to_string()),
        ("RedirectReason", "Temporary".to_owned()),
    ];
    for (name, value) in words {
        let update =
            ["--op", "update", "--mode", "target", "--tid", "1", "--name", name, "--value", &value];
        target.admin(&update).unwrap();
    }
}

/// At another loopback address: tgt sends nobody to the address from which he comes.
fn elsewhere(host: u8) -> Target {
    Target::start_at(std::net::Ipv4Addr::new(127, 0, 0, host).into(), None, SIZE).unwrap()
}

#[test]
fn a_target_that_sends_us_elsewhere_is_followed_and_asked_again_after_a_loss() {
    let (front, mut back) = (Target::start(SIZE).unwrap(), elsewhere(2));
    send_elsewhere(&front, back.address());
    let lun = open(&front, "a");
    lun.register(KEY_A).unwrap();
    lun.reserve(KEY_A).unwrap();
    lun.write_at(0, &[7; BLOCK]).unwrap();
    assert_eq!((bytes(&front)[0], bytes(&back)[0]), (0, 7));
    back.kill().unwrap();
    wait_for_loss(&lun);
    back.restart().unwrap();
    wait_for(&lun, &LunEvent::PathBack { registered: false });
    lun.register(KEY_A).unwrap();
    lun.write_at(0, &[8; BLOCK]).unwrap();
    assert_eq!((bytes(&front)[0], bytes(&back)[0]), (0, 8));
}

#[test]
fn targets_that_send_us_to_each_other_are_given_up_with_the_reason() {
    let (one, two) = (elsewhere(2), elsewhere(3));
    send_elsewhere(&one, two.address());
    send_elsewhere(&two, one.address());
    let error = IscsiLun::open(options(one.url(), "a", Duration::from_secs(2))).unwrap_err();
    assert!(error.to_string().contains("moves on and on"), "{error}");
}
