use std::cell::{Cell, RefCell};
use std::path::PathBuf;

use quorate_core::action::FenceVerb;
use quorate_core::config::TimingInputs;
use quorate_core::config::timing::Timing;
use quorate_storage::HostBoot;

use super::*;

const MS: Duration = Duration::from_millis(1);
const BOOT: HostBoot = HostBoot([1; 16]);
const LATER_BOOT: HostBoot = HostBoot([2; 16]);
const START: u64 = 10;

fn armed() -> Listener {
    Listener {
        standing: Listening::Armed,
        boot: BOOT,
        start: START,
        watchdog: 40 * MS,
        patience: 100 * MS,
        taken: None,
    }
}

/// A disk on which something happens once a pill was written, and after so many looks at it.
#[derive(Default)]
struct Disk {
    listener: RefCell<Option<Listener>>,
    pill: RefCell<Option<Pill>>,
    looks: Cell<u32>,
    then: Option<Listener>,
    then_pill: Option<(u32, Result<Option<Pill>, LunError>)>,
}

impl Disk {
    fn of(listener: Listener) -> Self {
        Self { listener: RefCell::new(Some(listener)), ..Self::default() }
    }
}

impl Blocks for Disk {
    fn listener(&self) -> Result<Option<Listener>, LunError> {
        Ok(*self.listener.borrow())
    }

    fn pill(&self) -> Result<Option<Pill>, LunError> {
        self.looks.set(self.looks.get() + 1);
        match &self.then_pill {
            Some((at, pill)) if self.looks.get() >= *at => pill.clone(),
            _ => Ok(self.pill.borrow().clone()),
        }
    }

    fn write_pill(&self, pill: &Pill) -> Result<(), LunError> {
        *self.pill.borrow_mut() = Some(pill.clone());
        if self.then.is_some() {
            *self.listener.borrow_mut() = self.then;
        }
        Ok(())
    }
}

fn order() -> Order {
    Order {
        place: Place {
            agent: "pill".to_owned(),
            path: PathBuf::from("/nowhere/disk"),
            cluster: 1,
            block: 1,
        },
        name: "n1".to_owned(),
        least: START,
        by: 2,
        reason: "silent".to_owned(),
        times: Times { lease: 20 * MS, margin: 30 * MS, look: 5 * MS, drift_ppm: 1_000 },
    }
}

fn given(disk: &Disk) -> Result<Proof, String> {
    give(&order(), disk, Instant::now() + Duration::from_secs(60))
}

#[test]
fn who_reads_nothing_is_proven_ended_only_after_the_derived_time() {
    let by_time = 180 * MS + 180 * MS / 1_000 + 30 * MS;
    assert_eq!(order().times.by_time(100 * MS, 40 * MS), by_time, "patience, twice the watchdog");
    let begun = Instant::now();
    assert_eq!(given(&Disk::of(armed())), Ok(Proof::Time));
    assert!(begun.elapsed() >= by_time);
    let begun = Instant::now();
    let mut long = order();
    long.times.lease = 200 * MS;
    let found = give(&long, &Disk::of(armed()), begun + Duration::from_secs(60));
    assert_eq!(found, Ok(Proof::Time));
    assert!(begun.elapsed() >= 310 * MS, "its lease may feed it for longer than its last look");
}

#[test]
fn a_host_that_has_booted_since_is_proven_at_once_and_a_late_write_of_an_earlier_boot_proves_nothing()
 {
    let then = Some(Listener { boot: LATER_BOOT, start: START + 1, ..armed() });
    assert_eq!(given(&Disk { then, ..Disk::of(armed()) }), Ok(Proof::Booted));
    let then = Some(Listener { boot: LATER_BOOT, start: START - 1, ..armed() });
    assert_eq!(given(&Disk { then, ..Disk::of(armed()) }), Ok(Proof::Time), "it landed late");
}

#[test]
fn who_has_taken_a_pill_is_ended_when_its_watchdog_has_run_out() {
    let begun = Instant::now();
    let listener = Listener { patience: Duration::from_secs(3_600), ..armed() };
    let then = Some(Listener { taken: Some(7), ..listener });
    assert_eq!(given(&Disk { then, ..Disk::of(listener) }), Ok(Proof::Taken));
    assert!(begun.elapsed() >= 70 * MS, "its watchdog and the margin");
}

#[test]
fn who_has_left_needs_no_pill() {
    let disk = Disk::of(Listener { standing: Listening::Left, ..armed() });
    assert_eq!(given(&disk), Ok(Proof::Left));
    assert!(disk.pill.borrow().is_none());
    let then = Some(Listener { standing: Listening::Left, ..armed() });
    assert_eq!(given(&Disk { then, ..Disk::of(armed()) }), Ok(Proof::Left), "while it was given");
}

#[track_caller]
fn proves_nothing(disk: &Disk, why: &str) {
    let error = given(disk).unwrap_err();
    assert!(error.contains(why), "{error}");
}

#[test]
fn who_would_take_no_pill_is_given_none() {
    proves_nothing(&Disk::default(), "has never listened");
    let earlier = Disk::of(Listener { start: START - 1, ..armed() });
    proves_nothing(&earlier, "before the start that is to end");
    let earlier = Disk::of(Listener { start: START - 1, standing: Listening::Left, ..armed() });
    proves_nothing(&earlier, "before the start that is to end");
    let off = Listener { standing: Listening::Off, ..armed() };
    proves_nothing(&Disk::of(off), "obeys no pills any more");
    assert!(earlier.pill.borrow().is_none());
    proves_nothing(&Disk { then: Some(off), ..Disk::of(armed()) }, "obeys no pills any more");
}

#[test]
fn a_pill_that_is_not_read_back_or_does_not_stay_proves_nothing() {
    let away = || Err(LunError::PathLost { why: "the cable".to_owned() });
    let from = |at, pill| Disk { then_pill: Some((at, pill)), ..Disk::of(armed()) };
    proves_nothing(&from(2, away()), "the cable");
    proves_nothing(&from(2, Ok(None)), "something else is read back");
    let other =
        Pill { number: 1, boot: LATER_BOOT, by: 3, reason: "of an earlier boot".to_owned() };
    proves_nothing(&from(5, Ok(Some(other))), "written over");
    let error = give(&order(), &from(5, away()), Instant::now() + 250 * MS).unwrap_err();
    assert!(error.contains("cannot be read any more") && error.contains("the cable"), "{error}");
    let disk = Disk::of(Listener { patience: Duration::from_secs(3_600), ..armed() });
    let error = give(&order(), &disk, Instant::now() + 50 * MS).unwrap_err();
    assert!(error.contains("by its own figures"), "{error}");
}

#[test]
fn a_pill_only_reboots_and_only_through_a_disk_that_is_there() {
    let second = Duration::from_secs(1);
    let error = super::super::act(order(), FenceVerb::Off, second).unwrap_err();
    assert!(error.contains("cannot do off"), "{error}");
    let error = super::super::act(order(), FenceVerb::Reboot, second).unwrap_err();
    assert!(error.contains("there is no /nowhere/disk"), "{error}");
}

#[test]
fn what_a_pill_needs_follows_from_the_timing() {
    let timing = Timing::derive(&TimingInputs::DEFAULT).unwrap();
    assert_eq!(super::super::patience(&timing), Duration::from_secs(5));
    // 5 s of patience, a watchdog of 1 s twice, 0.1 % of drift, 1 s; and then 15.1 s for the disk.
    assert_eq!(super::super::by_time(&timing).as_millis(), 8_007);
    assert_eq!(super::super::needed(&timing).as_millis(), 23_107);
}
