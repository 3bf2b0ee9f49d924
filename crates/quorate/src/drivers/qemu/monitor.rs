//! What QEMU tells by itself: one thread turns its events and the guest's heartbeats into reports,
//! and keeps what the driver's calls want to know.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use crate::drivers::qmp::QmpEvent;
use crate::drivers::{DriverError, DriverEvent, Health, LunReach, Reporter, Run};

/// What was seen of one run of QEMU.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    /// The monitor's connection has ended, or never began.
    closed: bool,
    /// The guest's processors run.
    running: bool,
    /// How often they were let go.
    resumes: u64,
    /// The next stop is the driver's own wish.
    stop_expected: bool,
    guest_shutdown: bool,
    /// Why it stands still, if not by the driver's wish.
    trouble: Option<String>,
    io_errors: u64,
    migration: Option<String>,
    heartbeat_lost: bool,
}

/// How the guest's heartbeat is judged.
#[derive(Debug, Clone)]
pub(super) struct Pulse {
    /// A moment for each beat; `None`: the guest has no heartbeat.
    pub(super) beats: Option<Receiver<Instant>>,
    /// The longest silence.
    pub(super) timeout: Duration,
    /// The longest silence before the first beat.
    pub(super) boot_timeout: Duration,
    /// The guest was loaded, not booted: it has no boot to wait for.
    pub(super) booted: bool,
    /// Silence does not count while a LUN of the guest is away.
    pub(super) luns: Vec<LunReach>,
}

impl Watch {
    /// A watch over a QEMU whose monitor is not connected yet.
    pub(super) fn new() -> Arc<Self> {
        let seen = Seen { closed: true, ..Seen::default() };
        Arc::new(Self { seen: Mutex::new(seen), changed: Condvar::new() })
    }

    /// Starts the thread that watches. It ends with the connection.
    pub(super) fn begin(
        self: &Arc<Self>,
        events: Receiver<QmpEvent>,
        pulse: Pulse,
        reporter: Reporter,
        run: Run,
    ) -> std::io::Result<()> {
        self.seen.lock().closed = false;
        let watcher = Watcher { watch: Arc::clone(self), pulse, reporter, run, since: None };
        let body = move || watcher.watch(&events);
        let spawned = thread::Builder::new().name("qemu-watch".to_owned()).spawn(body);
        if spawned.is_err() {
            self.seen.lock().closed = true;
        }
        spawned.map(|_| ())
    }

    /// The driver is about to stop the guest's processors, or has given that up.
    pub(super) fn expect_stop(&self, expected: bool) {
        self.seen.lock().stop_expected = expected;
    }

    /// Whether the guest shut itself down. Waits for what was under way when QEMU ended.
    pub(super) fn was_shut_down_by_guest(&self, deadline: Instant) -> bool {
        let mut seen = self.seen.lock();
        while !seen.closed {
            if self.changed.wait_until(&mut seen, deadline).timed_out() {
                break;
            }
        }
        seen.guest_shutdown
    }

    /// How many disk errors the guest has had.
    pub(super) fn io_errors(&self) -> u64 {
        self.seen.lock().io_errors
    }

    /// Forgets what is known of a migration: another begins.
    pub(super) fn forget_migration(&self) {
        self.seen.lock().migration = None;
    }

    /// Waits until a migration has ended, and says how: `completed`, `failed` or `cancelled`.
    pub(super) fn wait_migration(&self, deadline: Instant) -> Result<String, DriverError> {
        let started = Instant::now();
        let mut seen = self.seen.lock();
        loop {
            match seen.migration.as_deref() {
                Some(state @ ("completed" | "failed" | "cancelled")) => return Ok(state.to_owned()),
                _ if seen.closed => {
                    return Err(DriverError::Hypervisor {
                        reason: "it ended meanwhile".to_owned(),
                    });
                }
                _ => {}
            }
            if self.changed.wait_until(&mut seen, deadline).timed_out() {
                let what = "the transfer of the guest's state".to_owned();
                return Err(DriverError::Timeout { what, allowed: started.elapsed() });
            }
        }
    }

    /// How often the guest's processors were let go.
    pub(super) fn resumes(&self) -> u64 {
        self.seen.lock().resumes
    }

    /// Waits until the guest's processors were let go once more than `before`.
    pub(super) fn wait_resumed(&self, before: u64, deadline: Instant) -> Result<(), DriverError> {
        let started = Instant::now();
        let mut seen = self.seen.lock();
        while seen.resumes == before {
            if seen.closed {
                return Err(DriverError::Hypervisor { reason: "it ended meanwhile".to_owned() });
            }
            if self.changed.wait_until(&mut seen, deadline).timed_out() {
                let what = "letting the guest run".to_owned();
                return Err(DriverError::Timeout { what, allowed: started.elapsed() });
            }
        }
        Ok(())
    }

    /// What the events say of the guest.
    pub(super) fn health(&self) -> Health {
        let seen = self.seen.lock();
        if seen.closed {
            return Health::Failed("its monitor is gone".to_owned());
        }
        match (&seen.trouble, seen.heartbeat_lost) {
            (Some(trouble), _) => Health::Failed(trouble.clone()),
            (None, true) => Health::Failed("its heartbeat is lost".to_owned()),
            (None, false) => Health::Alive,
        }
    }

    /// Whether the guest's processors run.
    pub(super) fn is_running(&self) -> bool {
        self.seen.lock().running
    }
}

struct Watcher {
    watch: Arc<Watch>,
    pulse: Pulse,
    reporter: Reporter,
    run: Run,
    /// Since when the guest has been silent, while it runs and silence counts.
    since: Option<Instant>,
}

impl Watcher {
    fn watch(mut self, events: &Receiver<QmpEvent>) {
        let mut beats = self.pulse.beats.clone().unwrap_or_else(never);
        loop {
            let timer = match self.silence_deadline() {
                Some(deadline) => crossbeam_channel::at(deadline),
                None => never(),
            };
            select! {
                recv(events) -> event => match event {
                    Ok(event) => self.on_event(&event),
                    Err(_) => break,
                },
                recv(beats) -> beat => match beat {
                    Ok(moment) => self.on_beat(moment),
                    // The port is closed: silence from here on, judged by the timer.
                    Err(_) => beats = never(),
                },
                recv(timer) -> _ => self.on_silence(),
            }
        }
        self.watch.seen.lock().closed = true;
        self.watch.changed.notify_all();
    }

    fn silence_deadline(&self) -> Option<Instant> {
        let since = self.since?;
        let timeout = if self.pulse.booted { self.pulse.timeout } else { self.pulse.boot_timeout };
        Some(since + timeout)
    }

    fn on_beat(&mut self, moment: Instant) {
        self.pulse.booted = true;
        let mut seen = self.watch.seen.lock();
        seen.heartbeat_lost = false;
        self.since = seen.running.then_some(moment);
    }

    fn on_silence(&mut self) {
        let Some(since) = self.since.take() else { return };
        // Counted from when the last of its LUNs was back.
        let now = Instant::now();
        let back = self.pulse.luns.iter().map(|lun| lun.since().unwrap_or(now)).max();
        if let Some(back) = back.filter(|&back| back > since) {
            self.since = Some(back);
            return;
        }
        self.watch.seen.lock().heartbeat_lost = true;
        self.report(DriverEvent::HeartbeatLost { silent_for: since.elapsed() });
    }

    fn on_event(&mut self, event: &QmpEvent) {
        let report = {
            let mut seen = self.watch.seen.lock();
            note(&mut seen, event)
        };
        self.watch.changed.notify_all();
        match event.name.as_str() {
            "RESUME" if self.pulse.beats.is_some() => self.since = Some(Instant::now()),
            "STOP" => self.since = None,
            "RESET" if report.is_some() => self.pulse.booted = false,
            _ => {}
        }
        if let Some(report) = report {
            self.report(report);
        }
    }

    fn report(&self, event: DriverEvent) {
        self.reporter.report(self.run, event);
    }
}

/// Notes one event; what is to be reported of it.
///
/// Source: QEMU qapi/run-state.json, qapi/block-core.json, qapi/migration.json.
fn note(seen: &mut Seen, event: &QmpEvent) -> Option<DriverEvent> {
    let text = |key: &str| event.data.get(key).and_then(Value::as_str).unwrap_or("");
    let by_guest = event.data.get("guest").and_then(Value::as_bool) == Some(true);
    match event.name.as_str() {
        "RESUME" => {
            seen.running = true;
            seen.resumes += 1;
            seen.stop_expected = false;
            seen.trouble = None;
            seen.heartbeat_lost = false;
            None
        }
        "STOP" => {
            seen.running = false;
            let explained = seen.stop_expected || seen.trouble.is_some() || seen.guest_shutdown;
            if explained {
                return None;
            }
            seen.trouble = Some("paused by someone else".to_owned());
            Some(DriverEvent::Paused)
        }
        "BLOCK_IO_ERROR" => {
            seen.io_errors += 1;
            let reason = text("reason").to_owned();
            let refused = is_refusal(&reason);
            let device = [text("device"), text("qom-path"), text("node-name")]
                .into_iter()
                .find(|name| !name.is_empty())
                .unwrap_or("disk")
                .to_owned();
            seen.trouble = Some(format!("i/o error on {device}: {reason}"));
            Some(DriverEvent::IoError { refused, device, reason })
        }
        "GUEST_PANICKED" => {
            seen.trouble = Some("the guest panicked".to_owned());
            Some(DriverEvent::Panicked)
        }
        "WATCHDOG" => Some(DriverEvent::Watchdog),
        "SHUTDOWN" => {
            seen.guest_shutdown |= by_guest;
            None
        }
        "RESET" => by_guest.then_some(DriverEvent::GuestReset),
        "MIGRATION" => {
            seen.migration = Some(text("status").to_owned());
            None
        }
        _ => None,
    }
}

/// Whether a disk error's text says that this node may not write: an NBD server of ours answers
/// EPERM, the kernel EBADE. QEMU is run with LC_ALL=C, so the texts are these.
fn is_refusal(reason: &str) -> bool {
    reason.contains("Operation not permitted") || reason.contains("Invalid exchange")
}

/// A channel for beats: newer ones replace none, but a full one means that enough are known.
pub(super) fn beats() -> (Sender<Instant>, Receiver<Instant>) {
    bounded(16)
}

#[cfg(test)]
mod tests {
    use quorate_core::id::ResourceId;
    use serde_json::json;

    use super::*;
    use crate::drivers::DriverReport;

    struct World {
        events: Sender<QmpEvent>,
        beats: Sender<Instant>,
        reports: Receiver<DriverReport>,
        watch: Arc<Watch>,
        reach: LunReach,
    }

    fn world(timeout: Duration, boot_timeout: Duration) -> World {
        let (events, receiver) = bounded(16);
        let (beats, pulse) = beats();
        let (sender, reports) = bounded(16);
        let (watch, reach) = (Watch::new(), LunReach::default());
        let luns = vec![reach.clone()];
        let pulse = Pulse { beats: Some(pulse), timeout, boot_timeout, booted: false, luns };
        let reporter = Reporter::new(ResourceId(1), sender);
        watch.begin(receiver, pulse, reporter, Run::default()).unwrap();
        World { events, beats, reports, watch, reach }
    }

    impl World {
        fn tell(&self, name: &str, data: Value) {
            self.events.send(QmpEvent { name: name.to_owned(), data }).unwrap();
        }

        fn reported(&self) -> DriverEvent {
            self.reports.recv_timeout(Duration::from_secs(10)).unwrap().event
        }
    }

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(30);

    #[test]
    fn a_refused_write_is_told_from_a_broken_disk_and_explains_the_stop() {
        let world = world(LONG, LONG);
        world.tell("RESUME", json!({}));
        for (reason, expected) in [
            ("Operation not permitted", true),
            ("Invalid exchange", true),
            ("Input/output error", false),
        ] {
            world.tell(
                "BLOCK_IO_ERROR",
                json!({ "device": "", "node-name": "n", "reason": reason }),
            );
            world.tell("STOP", json!({}));
            let DriverEvent::IoError { refused, device, .. } = world.reported() else { panic!() };
            assert_eq!((refused, device.as_str()), (expected, "n"));
        }
        assert!(matches!(world.watch.health(), Health::Failed(_)));
        world.tell("GUEST_PANICKED", json!({ "action": "pause" }));
        assert_eq!(world.reported(), DriverEvent::Panicked);
    }

    #[test]
    fn a_stop_that_nobody_explains_is_reported_and_an_expected_one_is_not() {
        let world = world(LONG, LONG);
        world.tell("RESUME", json!({}));
        let soon = Instant::now() + Duration::from_secs(10);
        world.watch.wait_resumed(0, soon).unwrap();
        world.watch.expect_stop(true);
        world.tell("STOP", json!({}));
        world.tell("RESUME", json!({}));
        world.tell("STOP", json!({}));
        assert_eq!(world.reported(), DriverEvent::Paused);
        assert!(world.reports.is_empty());
    }

    #[test]
    fn a_heartbeat_counts_only_while_the_guest_runs_and_is_lost_once() {
        let world = world(SHORT, SHORT);
        world.tell("STOP", json!({}));
        assert_eq!(world.reported(), DriverEvent::Paused);
        assert!(
            world.reports.recv_timeout(3 * SHORT).is_err(),
            "a guest that stands still is silent"
        );
        world.tell("RESUME", json!({}));
        assert!(matches!(world.reported(), DriverEvent::HeartbeatLost { .. }));
        assert!(world.reports.recv_timeout(3 * SHORT).is_err(), "it was told already");
        world.beats.send(Instant::now()).unwrap();
        assert!(matches!(world.reported(), DriverEvent::HeartbeatLost { .. }));
    }

    #[test]
    fn the_silence_of_a_guest_whose_lun_is_away_does_not_count() {
        let world = world(SHORT, SHORT);
        world.reach.set(false);
        world.tell("RESUME", json!({}));
        assert!(world.reports.recv_timeout(5 * SHORT).is_err(), "it cannot write");
        world.reach.set(true);
        let DriverEvent::HeartbeatLost { silent_for } = world.reported() else {
            panic!("wrong report")
        };
        assert!(silent_for >= SHORT, "{silent_for:?}");
    }

    #[test]
    fn a_booting_guest_has_its_own_time_for_the_first_beat() {
        let world = world(SHORT, LONG);
        world.tell("RESUME", json!({}));
        assert!(world.reports.recv_timeout(3 * SHORT).is_err(), "it still boots");
        world.beats.send(Instant::now()).unwrap();
        assert!(matches!(world.reported(), DriverEvent::HeartbeatLost { .. }));
    }

    #[test]
    fn the_end_of_the_connection_wakes_who_waits() {
        let world = world(LONG, LONG);
        world.tell("MIGRATION", json!({ "status": "active" }));
        world.tell("SHUTDOWN", json!({ "guest": true, "reason": "guest-shutdown" }));
        drop(world.events);
        let soon = Instant::now() + Duration::from_secs(10);
        assert!(world.watch.was_shut_down_by_guest(soon));
        assert!(matches!(world.watch.wait_migration(soon), Err(DriverError::Hypervisor { .. })));
    }
}
