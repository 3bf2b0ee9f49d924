//! The lease guard: kills guests when the engine's thread can no longer do it.
//!
//! The engine kills what runs here when its lease is over. If its thread hangs past that moment,
//! this thread does it instead: at once what time alone protects, and after the grace what the LUNs
//! protect too. The engine is told, so that it takes for dead what was killed when it comes back.
//! *Architecture invariant*: it only kills, and it asks nobody.
//!
//! Behind it stands the host's watchdog, if there is one: it is fed only while it would fire in time, should this be
//! the last feeding, for what runs here and time alone protects. So a process that is frozen as a whole is reset with
//! its host before anybody starts its groups elsewhere. A node that is to obey poison pills feeds it besides only while
//! it sees that none lies there for it, or has its lease; and never again once it has taken one.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use quorate_core::config::Timing;
use quorate_core::event::{Event, Trouble};
use quorate_core::id::{Epoch, ResourceId};
use quorate_storage::watchdog::Watchdog;

use super::host::Host;
use super::input::Facts;
use super::pill::Sight;
use crate::Error;
use crate::drivers::KillSwitch;
use crate::net::boottime_ns;

/// How long past the end of its lease an engine has to show that it gets on.
const SLACK: Duration = Duration::from_millis(20);
/// The longest sleep: a lease that was gained meanwhile is seen so much later.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What runs here, and until when it may.
pub(crate) struct Guard {
    running: Mutex<BTreeMap<ResourceId, Running>>,
    host: Arc<Host>,
    facts: Facts,
    /// The end of the lease, in nanoseconds; 0: there is none.
    lease_until: AtomicU64,
    /// The time of the newest step that the engine's thread got through.
    turn: AtomicU64,
    isolation_grace: Duration,
    /// How long after the end of the lease what time alone protects may still run, by the configuration in force.
    stop_ns: AtomicU64,
    /// When the watchdog was fed last.
    fed_at: AtomicU64,
    /// What runs here goes on without a quorum: no lease ends it.
    keeps: AtomicBool,
    watchdog: Mutex<Option<Box<dyn Feeder>>>,
    /// What it sees of its pills: on more than one disk, while it is not yet done with one. Empty: it obeys none.
    sights: Mutex<Vec<Arc<Sight>>>,
    /// It has taken a pill; written while `watchdog` is held.
    has_taken: AtomicBool,
    /// It was said that the watchdog is not fed for want of a lease and of a look.
    is_starving: AtomicBool,
}

/// What becomes of what runs here when the lease ends, by the configuration in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtTheEnd {
    /// It goes on.
    pub(crate) keeps: bool,
    /// How long it may take to stop.
    pub(crate) stop_time: Duration,
}

/// A watchdog, or in tests what stands for it.
pub(crate) trait Feeder: Send {
    /// For how long it waits when it was just fed.
    fn timeout(&self) -> Duration;
    fn feed(&mut self) -> io::Result<()>;
    fn disarm(self: Box<Self>) -> io::Result<()>;
}

impl Feeder for Watchdog {
    fn timeout(&self) -> Duration {
        Watchdog::timeout(self)
    }

    fn feed(&mut self) -> io::Result<()> {
        Watchdog::feed(self)
    }

    fn disarm(self: Box<Self>) -> io::Result<()> {
        Watchdog::disarm(*self)
    }
}

/// A guard, with this host's watchdog armed behind it, if it is to have one.
///
/// # Errors
/// The watchdog's.
pub(crate) fn watched(
    host: &Arc<Host>,
    facts: &Facts,
    timing: &Timing,
    device: Option<&Path>,
) -> Result<Arc<Guard>, Error> {
    let arm = |device: &Path| -> Result<Box<dyn Feeder>, Error> {
        let armed = Watchdog::arm(device, timing.lease + timing.stop_time);
        let doing = format!("arm the watchdog {}", device.display());
        let watchdog = armed.map_err(Error::system(doing))?;
        tracing::info!(device = %device.display(), timeout = ?watchdog.timeout(), "watchdog armed");
        Ok(Box::new(watchdog))
    };
    let watchdog = device.map(arm).transpose()?;
    Ok(Guard::new(Arc::clone(host), facts.clone(), timing, watchdog))
}

/// What may run of one resource.
pub(crate) struct Running {
    pub(crate) switch: Arc<KillSwitch>,
    /// The LUNs of its group refuse a stale writer by themselves.
    pub(crate) enforced: bool,
    /// The ownership in which it was started.
    pub(crate) epoch: Epoch,
}

/// The thread; it ends when this is dropped.
pub(crate) struct GuardThread {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Guard {
    pub(crate) fn new(
        host: Arc<Host>,
        facts: Facts,
        timing: &Timing,
        watchdog: Option<Box<dyn Feeder>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            running: Mutex::default(),
            host,
            facts,
            lease_until: AtomicU64::new(0),
            turn: AtomicU64::new(boottime_ns()),
            isolation_grace: timing.isolation_grace,
            stop_ns: AtomicU64::new(nanos(timing.stop_time)),
            fed_at: AtomicU64::new(boottime_ns()),
            keeps: AtomicBool::new(false),
            watchdog: Mutex::new(watchdog),
            sights: Mutex::default(),
            has_taken: AtomicBool::new(false),
            is_starving: AtomicBool::new(false),
        })
    }

    /// A resource may run from here on.
    pub(crate) fn add(&self, resource: ResourceId, running: Running) {
        self.running.lock().insert(resource, running);
    }

    /// Nothing of a resource runs any more.
    pub(crate) fn remove(&self, resource: ResourceId) {
        self.running.lock().remove(&resource);
    }

    /// Whether anything of a resource may run.
    pub(crate) fn is_running(&self, resource: ResourceId) -> bool {
        self.running.lock().contains_key(&resource)
    }

    /// The engine's thread got through a step of the time `at`, and what followed from it; its
    /// lease ends at `until`, and `policy` says what then.
    pub(crate) fn on_turn(&self, until: Option<u64>, at: u64, policy: AtTheEnd) {
        self.keeps.store(policy.keeps, Ordering::Release);
        self.stop_ns.store(nanos(policy.stop_time), Ordering::Release);
        self.lease_until.store(until.unwrap_or(0), Ordering::Release);
        self.turn.store(at, Ordering::Release);
    }

    /// Kills everything that runs here. Never waits.
    pub(crate) fn kill_all(&self) {
        self.kill(|_| true);
    }

    /// Kills what runs here, by whether its LUNs refuse a stale writer.
    fn kill(&self, which: impl Fn(bool) -> bool) {
        let mut killed = self.host.kill_all(&which);
        for (&resource, running) in &*self.running.lock() {
            if which(running.enforced) {
                running.switch.engage();
                killed.push((resource, running.epoch));
            }
        }
        for (resource, epoch) in killed {
            self.facts.tell(Event::ResourceFailed {
                resource,
                epoch,
                trouble: Trouble::Exited,
                detail: "killed by the lease guard: the engine did not get on".to_owned(),
            });
        }
    }

    /// Whether anything may run here that nothing but time protects.
    fn runs_by_time(&self) -> bool {
        self.running.lock().values().any(|running| !running.enforced) || self.host.runs_by_time()
    }

    /// Whether anything may run here at all.
    pub(crate) fn runs_any(&self) -> bool {
        !self.running.lock().is_empty() || self.host.runs_any()
    }

    /// For how long the watchdog waits; none: there is none.
    pub(crate) fn watchdog_timeout(&self) -> Option<Duration> {
        self.watchdog.lock().as_ref().map(|watchdog| watchdog.timeout())
    }

    /// From here on, until the sight is over, this node goes by what it sees there of its pills.
    pub(crate) fn listen(&self, sight: &Arc<Sight>) {
        let mut sights = self.sights.lock();
        sights.retain(|one| !one.is_over() && !Arc::ptr_eq(one, sight));
        if !sight.is_over() {
            sights.push(Arc::clone(sight));
        }
    }

    /// Feeds the watchdog no more, and kills everything. Never waits for what runs here.
    pub(crate) fn take_pill(&self) {
        {
            let _nobody_feeds = self.watchdog.lock();
            self.has_taken.store(true, Ordering::Release);
        }
        self.kill_all();
    }

    /// Whether a node that obeys pills may go on: it sees that none lies there, or has its lease.
    fn goes_on(&self, now: u64) -> bool {
        let holds = self.lease_until.load(Ordering::Acquire) > now;
        let sees = self.sights.lock().iter().all(|sight| sight.is_fresh(now));
        let is_starving = !holds && !sees;
        if is_starving != self.is_starving.swap(is_starving, Ordering::AcqRel) && is_starving {
            tracing::error!(
                "without a lease and a look for pills the watchdog is not fed: it resets this host"
            );
        }
        !is_starving && !self.has_taken.load(Ordering::Acquire)
    }

    /// When what time alone protects has ended, whatever becomes of this process.
    fn end_by_time(&self) -> u64 {
        self.lease_until.load(Ordering::Acquire) + self.stop_ns.load(Ordering::Acquire)
    }

    /// Whether something that time alone protects may start now: the watchdog, as it was fed last, fires in time.
    pub(crate) fn covers(&self, enforced: bool) -> bool {
        let timeout = self.watchdog_timeout();
        let keeps = self.keeps.load(Ordering::Acquire);
        !self.has_taken.load(Ordering::Acquire)
            && timeout.filter(|_| !enforced && !keeps).is_none_or(|timeout| {
                self.fed_at.load(Ordering::Acquire) + nanos(timeout) <= self.end_by_time()
            })
    }

    /// Feeds the watchdog, if it fires in time should this be the last feeding.
    pub(super) fn feed(&self, now: u64) {
        let mut watchdog = self.watchdog.lock();
        let Some(watchdog) = watchdog.as_mut() else { return };
        if !self.goes_on(now) {
            return;
        }
        let fires = now + nanos(watchdog.timeout());
        let turn = self.turn.load(Ordering::Acquire);
        let end = match self.keeps.load(Ordering::Acquire) {
            // No lease ends it; an engine that does not get on does.
            true => turn + nanos(2 * watchdog.timeout()),
            false => self.end_by_time(),
        };
        if fires > end && self.runs_by_time() {
            return;
        }
        self.fed_at.store(now, Ordering::Release);
        if let Err(error) = watchdog.feed() {
            tracing::error!(%error, "the watchdog takes no food: it may reset this host");
        }
    }

    /// Takes the watchdog out of use, unless something may still run here.
    pub(super) fn disarm(&self) {
        let Some(watchdog) = self.watchdog.lock().take() else { return };
        let may_run = match self.sights.lock().is_empty() {
            // Who gives it a pill is to be told the truth about all that runs here.
            false => self.runs_any(),
            true => self.runs_by_time(),
        };
        if self.has_taken.load(Ordering::Acquire) {
            tracing::error!(
                "a poison pill was taken: the watchdog stays armed and resets this host"
            );
        } else if may_run {
            tracing::error!(
                "something may still run here: the watchdog stays armed and resets this host"
            );
        } else if let Err(error) = watchdog.disarm() {
            tracing::error!(%error, "the watchdog cannot be disarmed: it may reset this host");
        }
    }

    /// One look. Returns how long the next can wait.
    fn look(&self, killed: &mut Killed) -> Duration {
        let lease = Lease {
            until: self.lease_until.load(Ordering::Acquire),
            turn: self.turn.load(Ordering::Acquire),
            grace: nanos(self.isolation_grace),
        };
        let (due, rest) = lease.due(boottime_ns());
        if due == Killed::Nothing {
            *killed = Killed::Nothing;
        }
        if due > *killed {
            tracing::error!("the engine hangs past its lease: killing what runs here");
            match due {
                Killed::Nothing => {}
                Killed::Cooperative => self.kill(|enforced| !enforced),
                Killed::Everything => self.kill(|_| true),
            }
            *killed = due;
        }
        rest
    }
}

/// How far the guard has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Killed {
    Nothing,
    Cooperative,
    Everything,
}

/// A lease, and how far the engine that holds it has got.
#[derive(Clone, Copy, Debug)]
struct Lease {
    until: u64,
    turn: u64,
    grace: u64,
}

impl Lease {
    /// What has to be dead at `now`, unless the engine has seen to it, and how long that holds.
    ///
    /// The lease has two ends: its own, and for what the LUNs protect the one after the grace. An
    /// engine that got through a step past an end has killed what ends there, and nothing more: it
    /// may hang before the next.
    fn due(self, now: u64) -> (Killed, Duration) {
        if self.until == 0 {
            return (Killed::Nothing, LOOK_INTERVAL);
        }
        let slack = nanos(SLACK);
        let last = self.until + self.grace;
        let ends = [(self.until, Killed::Cooperative), (last, Killed::Everything)];
        let mut due = Killed::Nothing;
        for (end, what) in ends {
            if self.turn >= end {
                continue;
            }
            if now < end + slack {
                return (due, LOOK_INTERVAL.min(Duration::from_nanos(end + slack - now)));
            }
            due = what;
        }
        (due, SLACK)
    }
}

pub(super) fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX / 4)
}

impl GuardThread {
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn start(guard: Arc<Guard>) -> Result<Self, Error> {
        let (stop, stopped) = bounded(1);
        let body = move || watch(&guard, &stopped);
        let thread = std::thread::Builder::new()
            .name("quorate-guard".to_owned())
            .spawn(body)
            .map_err(Error::system("start the guard's thread"))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for GuardThread {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(guard: &Guard, stopped: &Receiver<()>) {
    let mut killed = Killed::Nothing;
    loop {
        let rest = guard.look(&mut killed);
        guard.feed(boottime_ns());
        match stopped.recv_timeout(rest) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return guard.disarm(),
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A watchdog that counts how often it is fed; disarmed, it says so.
    #[derive(Clone)]
    pub(crate) struct Double {
        count: Arc<AtomicU64>,
        timeout: Duration,
    }

    pub(crate) const DISARMED: u64 = 1_000_000;

    impl Double {
        pub(crate) fn new(timeout: Duration) -> Self {
            Self { count: Arc::default(), timeout }
        }

        pub(crate) fn boxed(&self) -> Box<dyn Feeder> {
            Box::new(self.clone())
        }

        pub(crate) fn count(&self) -> u64 {
            self.count.load(Ordering::SeqCst)
        }
    }

    impl Feeder for Double {
        fn timeout(&self) -> Duration {
            self.timeout
        }

        fn feed(&mut self) -> io::Result<()> {
            self.count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }

        fn disarm(self: Box<Self>) -> io::Result<()> {
            self.count.fetch_add(DISARMED, Ordering::SeqCst);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::config::TimingInputs;

    use super::testing::{DISARMED, Double};
    use super::*;

    const GRACE: u64 = 1_000_000_000;
    const UNTIL: u64 = 5_000_000_000;
    const LATE: u64 = 30_000_000;

    fn due(turn: u64, now: u64) -> Killed {
        Lease { until: UNTIL, turn, grace: GRACE }.due(now).0
    }

    #[test]
    fn an_engine_that_hangs_before_its_lease_ends_has_its_guests_killed_in_two_stages() {
        let turn = UNTIL - 1;
        assert_eq!(due(turn, UNTIL - 1), Killed::Nothing);
        assert_eq!(due(turn, UNTIL + LATE), Killed::Cooperative);
        assert_eq!(due(turn, UNTIL + GRACE), Killed::Cooperative);
        assert_eq!(due(turn, UNTIL + GRACE + LATE), Killed::Everything);
    }

    #[test]
    fn an_engine_that_hangs_after_one_late_step_has_the_rest_killed_after_the_grace() {
        let turn = UNTIL + 1;
        assert_eq!(due(turn, UNTIL + LATE), Killed::Nothing, "it has done that itself");
        assert_eq!(due(turn, UNTIL + GRACE + LATE), Killed::Everything);
        assert_eq!(due(UNTIL + GRACE, UNTIL + 9 * GRACE), Killed::Nothing);
    }

    #[test]
    fn a_look_never_sleeps_past_what_is_due_next() {
        for turn in [UNTIL - LATE, UNTIL, UNTIL + 1, UNTIL + GRACE] {
            for now in (UNTIL - 2 * GRACE..UNTIL + 3 * GRACE).step_by(7_000_000) {
                let lease = Lease { until: UNTIL, turn, grace: GRACE };
                let (what, rest) = lease.due(now);
                assert!(!rest.is_zero() && rest <= LOOK_INTERVAL);
                let before = lease.due(now + nanos(rest) - 1).0;
                assert!(before == what, "{turn} {now}: {before:?} is due while it sleeps");
            }
        }
    }

    #[test]
    fn the_watchdog_is_fed_only_while_it_would_still_fire_in_time() {
        const SECOND: u64 = 1_000_000_000;
        let double = Double::new(Duration::from_secs(1));
        let (facts, _told) = Facts::new();
        let host = Host::new(Arc::new(super::super::items::Items::new().unwrap()), facts.clone());
        let timing = Timing::derive(&TimingInputs::DEFAULT).unwrap();
        let stop = timing.stop_time;
        let guard = Guard::new(host, facts, &timing, Some(double.boxed()));
        let feeds = |now: u64| {
            let before = double.count();
            guard.feed(now);
            double.count() > before
        };
        let policy = |keeps| AtTheEnd { keeps, stop_time: stop };
        guard.on_turn(Some(UNTIL), UNTIL - SECOND, policy(false));
        assert!(feeds(UNTIL + 9 * SECOND), "nothing runs here");
        let running = |enforced| Running { switch: KillSwitch::new(), enforced, epoch: Epoch(1) };
        guard.add(ResourceId(1), running(true));
        assert!(feeds(UNTIL + 9 * SECOND), "what runs here is refused by its LUNs");
        guard.add(ResourceId(2), running(false));
        let last = UNTIL + nanos(stop) - SECOND;
        assert!(feeds(last) && !feeds(last + 1));
        assert!(guard.covers(false), "it was fed just in time");
        guard.fed_at.store(last + 1, Ordering::Release);
        assert!(
            !guard.covers(false) && guard.covers(true),
            "it would fire too late for what starts now"
        );
        guard.on_turn(None, UNTIL, policy(false));
        assert!(!feeds(UNTIL), "without a lease nothing may run by time alone");
        guard.on_turn(Some(UNTIL), UNTIL + SECOND, policy(true));
        assert!(feeds(UNTIL + 2 * SECOND), "it is to go on without a quorum");
        assert!(!feeds(UNTIL + 2 * SECOND + 1), "and its engine does not get on");
        guard.disarm();
        assert!(double.count() < DISARMED, "it stays armed: something runs");
    }

    #[test]
    fn a_node_that_obeys_pills_is_fed_only_while_it_sees_that_none_lies_there_or_has_its_lease() {
        const SECOND: u64 = 1_000_000_000;
        let double = Double::new(Duration::from_secs(1));
        let (facts, _told) = Facts::new();
        let host = Host::new(Arc::new(super::super::items::Items::new().unwrap()), facts.clone());
        let timing = Timing::derive(&TimingInputs::DEFAULT).unwrap();
        let guard = Guard::new(host, facts, &timing, Some(double.boxed()));
        let feeds = |now: u64| {
            let before = double.count();
            guard.feed(now);
            double.count() > before
        };
        let policy = |keeps| AtTheEnd { keeps, stop_time: timing.stop_time };
        guard.on_turn(None, UNTIL, policy(false));
        assert!(feeds(UNTIL + 99 * SECOND), "it is to obey none");
        let sight = Sight::new(Duration::from_secs(5), UNTIL);
        guard.listen(&sight);
        let last = UNTIL + 5 * SECOND;
        assert!(feeds(last) && !feeds(last + 1), "nothing runs here, and it has no lease");
        for keeps in [false, true] {
            guard.on_turn(Some(last + 9 * SECOND), last + 8 * SECOND, policy(keeps));
            assert!(feeds(last + 9 * SECOND - 1), "its disk is away, and it has its lease");
            assert!(!feeds(last + 9 * SECOND), "that is over, and its disk is still away");
        }
        sight.saw_none(last + 9 * SECOND);
        assert!(feeds(last + 10 * SECOND), "the disk is back");
        guard.take_pill();
        assert!(!feeds(last + 10 * SECOND) && !guard.covers(true));
        guard.disarm();
        assert!(double.count() < DISARMED, "it stays armed though nothing runs");
    }
}
