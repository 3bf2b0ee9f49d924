//! The device against SPC, as tables.

use super::*;
use ReservationType::*;

const A: Initiator = Initiator::Node(NodeId(1));
const B: Initiator = Initiator::Node(NodeId(2));
const C: Initiator = Initiator::Stranger;
const NONE: ReservationKey = ReservationKey(0);
const KEY_A: ReservationKey = ReservationKey(0xa);
const KEY_B: ReservationKey = ReservationKey(0xb);
const KEY_C: ReservationKey = ReservationKey(0xc);
const TYPES: [ReservationType; 6] = [
    WriteExclusive,
    ExclusiveAccess,
    WriteExclusiveRegistrantsOnly,
    ExclusiveAccessRegistrantsOnly,
    WriteExclusiveAllRegistrants,
    ExclusiveAccessAllRegistrants,
];
const OURS: ReservationType = WriteExclusiveRegistrantsOnly;

fn free() -> Device {
    Device::new(Kind { refuses: true, preempt_takes_free: false })
}

fn ask(lun: &mut Device, nexus: Initiator, command: ReserveOut) -> Result<(), Failure> {
    lun.reserve_out(nexus, command)
}

/// A and B registered, A reserves.
fn held(kind: ReservationType) -> Device {
    let mut lun = free();
    ask(&mut lun, A, ReserveOut::RegisterAndIgnore(KEY_A)).unwrap();
    ask(&mut lun, B, ReserveOut::RegisterAndIgnore(KEY_B)).unwrap();
    ask(&mut lun, A, ReserveOut::Reserve(KEY_A, kind)).unwrap();
    lun
}

/// SPC-4 table 50: what the holder, another registrant and everybody else may do.
#[test]
fn access_follows_the_table_of_types() {
    // For each type: (read, write) of the holder, of a registrant, of another.
    let table = [
        (WriteExclusive, [(true, true), (true, false), (true, false)]),
        (ExclusiveAccess, [(true, true), (false, false), (false, false)]),
        (WriteExclusiveRegistrantsOnly, [(true, true), (true, true), (true, false)]),
        (ExclusiveAccessRegistrantsOnly, [(true, true), (true, true), (false, false)]),
        (WriteExclusiveAllRegistrants, [(true, true), (true, true), (true, false)]),
        (ExclusiveAccessAllRegistrants, [(true, true), (true, true), (false, false)]),
    ];
    for (kind, rights) in table {
        let lun = held(kind);
        for (nexus, right) in [A, B, C].into_iter().zip(rights) {
            assert_eq!((lun.may_read(nexus), lun.may_write(nexus)), right, "{kind:?} {nexus:?}");
        }
    }
    let lun = free();
    assert!(lun.may_read(C) && lun.may_write(C), "nothing is reserved");
}

/// SPC-4 5.13.7: by what is registered and what is named.
#[test]
fn register_checks_the_existing_key_and_ignore_does_not() {
    let table = [
        // What is registered for A, the command, its outcome, what is registered then.
        (NONE, ReserveOut::Register(NONE, KEY_A), Ok(()), KEY_A),
        (NONE, ReserveOut::Register(KEY_A, KEY_B), Err(Failure::Conflict), NONE),
        (NONE, ReserveOut::Register(NONE, NONE), Ok(()), NONE),
        (KEY_A, ReserveOut::Register(KEY_A, KEY_B), Ok(()), KEY_B),
        (KEY_A, ReserveOut::Register(KEY_B, KEY_B), Err(Failure::Conflict), KEY_A),
        (KEY_A, ReserveOut::Register(NONE, KEY_B), Err(Failure::Conflict), KEY_A),
        (KEY_A, ReserveOut::Register(KEY_A, NONE), Ok(()), NONE),
        (NONE, ReserveOut::RegisterAndIgnore(KEY_A), Ok(()), KEY_A),
        (KEY_A, ReserveOut::RegisterAndIgnore(KEY_B), Ok(()), KEY_B),
        (KEY_A, ReserveOut::RegisterAndIgnore(NONE), Ok(()), NONE),
    ];
    for (before, command, outcome, after) in table {
        let mut lun = free();
        ask(&mut lun, A, ReserveOut::RegisterAndIgnore(before)).unwrap();
        let generation = lun.generation();
        assert_eq!(ask(&mut lun, A, command), outcome, "{before} {command:?}");
        assert_eq!(lun.keys().first().copied().unwrap_or_default(), after, "{command:?}");
        let grown = u32::from(outcome.is_ok());
        assert_eq!(lun.generation(), generation + grown, "{command:?}");
    }
}

#[test]
fn only_the_holder_with_the_same_type_reserves_again() {
    for kind in TYPES {
        let mut lun = held(kind);
        let generation = lun.generation();
        assert_eq!(ask(&mut lun, A, ReserveOut::Reserve(KEY_A, kind)), Ok(()), "{kind:?}");
        let all = kind.is_held_by_all();
        let expected = if all { Ok(()) } else { Err(Failure::Conflict) };
        assert_eq!(ask(&mut lun, B, ReserveOut::Reserve(KEY_B, kind)), expected, "{kind:?}");
        let other = if kind == OURS { WriteExclusive } else { OURS };
        assert_eq!(
            ask(&mut lun, A, ReserveOut::Reserve(KEY_A, other)),
            Err(Failure::Conflict),
            "{kind:?}"
        );
        assert_eq!(ask(&mut lun, C, ReserveOut::Reserve(KEY_C, kind)), Err(Failure::Conflict));
        assert_eq!(lun.generation(), generation, "reserving does not count");
    }
}

#[test]
fn a_release_is_the_holders_and_names_the_type() {
    for kind in TYPES {
        let mut lun = held(kind);
        let other = if kind == OURS { WriteExclusive } else { OURS };
        assert_eq!(ask(&mut lun, A, ReserveOut::Release(KEY_A, other)), Err(Failure::Invalid));
        assert_eq!(ask(&mut lun, A, ReserveOut::Release(KEY_B, kind)), Err(Failure::Conflict));
        if !kind.is_held_by_all() {
            assert_eq!(ask(&mut lun, B, ReserveOut::Release(KEY_B, kind)), Ok(()));
            assert!(lun.reservation().is_some(), "one who does not hold it changes nothing");
        }
        assert_eq!(ask(&mut lun, A, ReserveOut::Release(KEY_A, kind)), Ok(()));
        assert_eq!(lun.reservation(), None);
        let told = kind.is_for_registrants().then_some(Attention::ReservationsReleased);
        assert_eq!(lun.attention(B), told, "{kind:?}");
        assert_eq!(lun.keys(), [KEY_A, KEY_B], "registrations stay");
    }
}

#[test]
fn the_reservation_ends_with_its_holders_registration() {
    for kind in TYPES {
        let mut lun = held(kind);
        ask(&mut lun, A, ReserveOut::Register(KEY_A, NONE)).unwrap();
        assert_eq!(lun.reservation().is_some(), kind.is_held_by_all(), "{kind:?}");
        ask(&mut lun, B, ReserveOut::Register(KEY_B, NONE)).unwrap();
        assert_eq!(lun.reservation(), None, "{kind:?}");
    }
}

#[test]
fn clear_takes_everything_and_tells_the_others() {
    let mut lun = held(OURS);
    assert_eq!(ask(&mut lun, C, ReserveOut::Clear(KEY_C)), Err(Failure::Conflict));
    assert_eq!(ask(&mut lun, B, ReserveOut::Clear(KEY_B)), Ok(()));
    assert_eq!((lun.keys(), lun.reservation()), (vec![], None));
    assert_eq!(lun.attention(A), Some(Attention::ReservationsPreempted));
    assert_eq!(lun.attention(B), None, "who asked is not told");
}

/// SPC-4 5.13.11.2: what is preempted, by what is reserved and who is named.
#[test]
fn a_preempt_of_the_holder_takes_the_reservation_and_of_another_his_registration() {
    for kind in [WriteExclusive, ExclusiveAccess, OURS, ExclusiveAccessRegistrantsOnly] {
        let mut lun = held(kind);
        assert_eq!(ask(&mut lun, B, ReserveOut::Preempt(KEY_B, KEY_A, kind)), Ok(()));
        assert_eq!(lun.reservation(), Some((KEY_B, kind)), "{kind:?}");
        assert_eq!(lun.keys(), [KEY_B]);
        assert_eq!(lun.attention(A), Some(Attention::RegistrationsPreempted));
        let again = ask(&mut lun, B, ReserveOut::Preempt(KEY_B, KEY_A, kind));
        assert_eq!(again, Err(Failure::Conflict), "the victim is gone");

        let mut lun = held(kind);
        assert_eq!(ask(&mut lun, A, ReserveOut::Preempt(KEY_A, KEY_B, kind)), Ok(()));
        assert_eq!(lun.reservation(), Some((KEY_A, kind)), "{kind:?}");
        assert_eq!(lun.keys(), [KEY_A]);

        let mut lun = held(kind);
        let nobody = ReserveOut::Preempt(KEY_C, KEY_A, kind);
        assert_eq!(ask(&mut lun, C, nobody), Err(Failure::Conflict), "not registered");
        let zero = ReserveOut::Preempt(KEY_B, NONE, kind);
        assert_eq!(ask(&mut lun, B, zero), Err(Failure::Invalid));
    }
}

#[test]
fn where_all_registrants_hold_it_a_preempt_of_none_takes_it_from_all() {
    for kind in [WriteExclusiveAllRegistrants, ExclusiveAccessAllRegistrants] {
        let mut lun = held(kind);
        assert_eq!(ask(&mut lun, B, ReserveOut::Preempt(KEY_B, KEY_A, OURS)), Ok(()));
        assert_eq!((lun.keys(), lun.reservation()), (vec![KEY_B], Some((NONE, kind))));
        let mut lun = held(kind);
        assert_eq!(ask(&mut lun, B, ReserveOut::Preempt(KEY_B, NONE, OURS)), Ok(()));
        assert_eq!((lun.keys(), lun.reservation()), (vec![KEY_B], Some((KEY_B, OURS))));
    }
}

#[test]
fn a_preempt_while_nothing_is_reserved_takes_the_registration_and_maybe_the_reservation() {
    for takes in [false, true] {
        let mut lun = Device::new(Kind { refuses: true, preempt_takes_free: takes });
        ask(&mut lun, A, ReserveOut::RegisterAndIgnore(KEY_A)).unwrap();
        ask(&mut lun, B, ReserveOut::RegisterAndIgnore(KEY_B)).unwrap();
        assert_eq!(ask(&mut lun, B, ReserveOut::Preempt(KEY_B, KEY_A, OURS)), Ok(()));
        assert_eq!(lun.keys(), [KEY_B]);
        assert_eq!(lun.reservation().is_some(), takes);
    }
}

/// SPC-4 5.13.11.2.5: "The registration is removed."
#[test]
fn who_names_its_own_key_and_does_not_hold_the_reservation_is_registered_no_more() {
    let mut lun = held(OURS);
    assert_eq!(ask(&mut lun, B, ReserveOut::Preempt(KEY_B, KEY_B, OURS)), Ok(()));
    assert_eq!((lun.keys(), lun.reservation()), (vec![KEY_A], Some((KEY_A, OURS))));
    assert_eq!(lun.attention(B), None, "who asked is not told");
    let mut lun = free();
    ask(&mut lun, A, ReserveOut::RegisterAndIgnore(KEY_A)).unwrap();
    assert_eq!(ask(&mut lun, A, ReserveOut::Preempt(KEY_A, KEY_A, OURS)), Ok(()));
    assert_eq!(lun.keys(), []);
    for kind in [WriteExclusiveAllRegistrants, ExclusiveAccessAllRegistrants] {
        let mut lun = held(kind);
        ask(&mut lun, B, ReserveOut::Preempt(KEY_B, KEY_A, OURS)).unwrap();
        ask(&mut lun, B, ReserveOut::Preempt(KEY_B, KEY_B, OURS)).unwrap();
        assert_eq!((lun.keys(), lun.reservation()), (vec![], None), "{kind:?}");
    }
}

#[test]
fn the_holder_who_names_its_own_key_keeps_its_registration() {
    let mut lun = held(OURS);
    assert_eq!(ask(&mut lun, A, ReserveOut::Preempt(KEY_A, KEY_A, OURS)), Ok(()));
    assert_eq!(lun.keys(), [KEY_A, KEY_B]);
    assert_eq!(lun.reservation(), Some((KEY_A, OURS)));
}

#[test]
fn preempt_and_abort_names_whose_commands_are_gone() {
    let mut lun = held(OURS);
    ask(&mut lun, B, ReserveOut::PreemptAndAbort(KEY_B, KEY_A, OURS)).unwrap();
    assert_eq!(lun.aborted().iter().copied().collect::<Vec<_>>(), [A]);
    ask(&mut lun, B, ReserveOut::Reserve(KEY_B, OURS)).unwrap();
    assert!(lun.aborted().is_empty());
}

#[test]
fn a_reset_keeps_reservations_and_a_power_cycle_keeps_them_if_it_was_asked_to() {
    let mut lun = held(OURS);
    lun.reset();
    assert_eq!((lun.attention(A), lun.attention(A)), (Some(Attention::Reset), None));
    assert_eq!(lun.reservation(), Some((KEY_A, OURS)));
    for keeps in [true, false] {
        let mut lun = held(OURS);
        lun.power_cycle(keeps);
        assert_eq!(lun.attention(B), Some(Attention::PowerOn));
        assert_eq!(lun.reservation().is_some(), keeps);
        assert_eq!(lun.keys().len(), if keeps { 2 } else { 0 });
    }
}

#[test]
fn a_cooperative_lun_keeps_the_books_and_refuses_nothing() {
    let mut lun = Device::new(Kind { refuses: false, preempt_takes_free: true });
    ask(&mut lun, A, ReserveOut::RegisterAndIgnore(KEY_A)).unwrap();
    ask(&mut lun, A, ReserveOut::Reserve(KEY_A, ExclusiveAccess)).unwrap();
    assert!(lun.may_write(B) && lun.may_read(B));
    assert_eq!(lun.reservation(), Some((KEY_A, ExclusiveAccess)));
}
