//! What the tests of the drivers share.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use quorate::drivers::{
    Disk, Driver, DriverEvent, DriverReport, DriverSettings, Lun, LunReach, Reporter, StartContext,
};
use quorate_core::id::{Epoch, ResourceId};
use tempfile::TempDir;

/// The bound of every wait: far above what is expected, so that a loaded machine fails no test.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

pub(crate) fn soon() -> Instant {
    Instant::now() + BOUND
}

/// Waits until `look` finds something; a test that waits in vain says what for.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = soon();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// A driver with its work directory and its reports.
pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) reports: Receiver<DriverReport>,
    pub(crate) driver: Box<dyn Driver>,
    pub(crate) context: StartContext,
}

impl Bench {
    pub(crate) fn new(kind: &str, settings: serde_json::Value) -> Self {
        let directory = tempfile::Builder::new().prefix("drv").tempdir().unwrap();
        let (sender, reports) = unbounded();
        let settings = DriverSettings::from_json(kind, settings).unwrap();
        let driver = settings.into_driver(Reporter::new(ResourceId(1), sender));
        let context = StartContext {
            group: "group".to_owned(),
            resource: "guest".to_owned(),
            node: "node1".to_owned(),
            epoch: Epoch(3),
            work_directory: directory.path().join("work"),
            luns: Vec::new(),
            environment: BTreeMap::new(),
        };
        Self { directory, reports, driver, context }
    }

    pub(crate) fn with_file_lun(mut self, path: &Path) -> Self {
        let disk = Disk::File(path.to_owned());
        self.context.luns.push(Lun { name: "disk".to_owned(), disk, reach: LunReach::default() });
        self
    }

    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.context.work_directory.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.work(name)).unwrap_or_default()
    }

    pub(crate) fn report(&self) -> DriverEvent {
        let report = self.reports.recv_timeout(BOUND).expect("a report must come");
        assert_eq!((report.resource, report.epoch), (ResourceId(1), Epoch(3)));
        report.event
    }
}

/// Whether the process runs: neither gone nor a zombie.
pub(crate) fn runs(process_id: i32) -> bool {
    fs::read_to_string(format!("/proc/{process_id}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit_once(')').map_or("", |(_, rest)| rest).trim_start();
        !state.starts_with(['Z', 'X'])
    })
}

pub(crate) fn kill(process_id: i32, signal: rustix::process::Signal) {
    let process_id = rustix::process::Pid::from_raw(process_id).unwrap();
    rustix::process::kill_process(process_id, signal).unwrap();
}

/// The test guest's firmware, assembled once per test program.
pub(crate) fn guest_rom() -> &'static Path {
    static ROM: OnceLock<PathBuf> = OnceLock::new();
    ROM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let rom = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guest.rom");
        let status = Command::new(root.join("tests/guest/build.sh")).arg(&rom).status().unwrap();
        assert!(status.success());
        rom
    })
}
