//! Every checker can fail: a bug is put into the world, and the checker it is meant for sees it.

use quorate_sim::{FaultKind, Faults, Options, Plant, run};

/// How many seeds a planted bug has to show itself.
const PATIENCE: u64 = 60;

/// Plants a bug and demands that `checker` sees it in some seed.
fn is_seen(plant: Plant, faults: Faults, checker: &'static str) {
    let options = Options { plant: Some(plant), faults, only: Some(checker), ..Options::default() };
    let seen = (0..PATIENCE).any(|seed| !run(seed, &options).is_clean());
    assert!(seen, "{checker} has not seen {plant:?} in {PATIENCE} seeds");
}

#[test]
fn a_lun_that_ignores_reservations_is_seen_by_one_writer() {
    let faults =
        Faults::only(&[FaultKind::CutNode, FaultKind::PauseEngine, FaultKind::PauseProcess]);
    is_seen(Plant::LunIgnoresReservations, faults, "OneWriter");
}

#[test]
fn a_guest_that_survives_its_kill_is_seen_by_one_owner() {
    let faults = Faults::only(&[FaultKind::CutNode]);
    is_seen(Plant::KillLeavesRunning, faults, "OneOwner");
}

#[test]
fn a_guest_that_survives_its_kill_is_seen_by_evidence() {
    let faults = Faults::only(&[FaultKind::CutNode]);
    is_seen(Plant::KillLeavesRunning, faults, "Evidence");
}

#[test]
fn a_driver_that_starts_unasked_is_seen_by_entitled() {
    is_seen(
        Plant::DriverStartsUnasked,
        Faults::only(&[FaultKind::Crash, FaultKind::CrashMidway]),
        "Entitled",
    );
}

#[test]
fn a_lun_that_forgets_an_acknowledged_write_is_seen_by_counter() {
    is_seen(Plant::LunForgets, Faults::NONE, "Counter");
}

#[test]
fn a_stale_save_is_seen_by_counter() {
    is_seen(Plant::StaleSave, Faults::only(&[FaultKind::Command]), "Counter");
}

#[test]
fn disks_that_lie_are_seen_by_one_coordinator() {
    let faults = Faults::only(&[
        FaultKind::Crash,
        FaultKind::CrashMidway,
        FaultKind::PowerLoss,
        FaultKind::Blackout,
    ]);
    is_seen(Plant::DiskLies, faults, "OneCoordinator");
}

#[test]
fn disks_that_lie_are_seen_by_one_history() {
    let faults = Faults::only(&[
        FaultKind::Crash,
        FaultKind::CrashMidway,
        FaultKind::PowerLoss,
        FaultKind::Blackout,
        FaultKind::Command,
    ]);
    is_seen(Plant::DiskLies, faults, "OneHistory");
}

#[test]
fn a_hanging_engine_without_a_watchdog_is_seen_by_lease() {
    is_seen(
        Plant::NoWatchdog,
        Faults::only(&[FaultKind::PauseEngine, FaultKind::PauseProcess]),
        "Lease",
    );
}

#[test]
fn a_network_that_stays_cut_is_seen_by_liveness() {
    is_seen(Plant::NeverHeals, Faults::only(&[FaultKind::CutNode]), "Liveness");
}
