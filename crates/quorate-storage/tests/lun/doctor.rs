//! Each kind of storage, examined. What docs/STORAGE.md says of it comes from lines that begin with `storage:`.

use quorate_storage::doctor::{Finding, Open, Verdict, examine};
use quorate_storage::{FileLun, FileOptions, Lun, LunError, ReservationKey};
use std::time::Duration;

pub(crate) const KEYS: [ReservationKey; 2] = [ReservationKey(0xd0c1), ReservationKey(0xd0c2)];

/// Examines a LUN, and says so in the form that the table is made of.
pub(crate) fn examined(kind: &str, open: &Open<'_>) -> Vec<Finding> {
    let findings = examine(open, 2, KEYS).unwrap();
    for Finding { trial, verdict, says } in &findings {
        seen(kind, trial, *verdict, says);
    }
    findings
}

/// One more thing that was seen of a kind of storage.
pub(crate) fn seen(kind: &str, trial: &str, verdict: Verdict, says: &str) {
    println!("storage: {kind} | {trial} | {verdict} | {says}");
}

pub(crate) fn verdict(findings: &[Finding], trial: &str) -> Verdict {
    findings.iter().find(|one| one.trial == trial).unwrap_or_else(|| panic!("no {trial}")).verdict
}

#[test]
fn a_directory_keeps_its_promises_and_says_that_they_are_cooperative() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let before: Vec<u8> = (0..1 << 20).map(|at| (at % 255) as u8).collect();
    std::fs::write(path.join("data"), &before).unwrap();
    let open = |_| -> Result<Box<dyn Lun>, LunError> {
        Ok(Box::new(FileLun::open(FileOptions {
            directory: path.clone(),
            size_bytes: None,
            timeout: Duration::from_secs(5),
        })?))
    };
    let found = examined("file", &open);
    assert!(found.iter().all(|one| one.verdict != Verdict::Bad), "{found:?}");
    assert_eq!(verdict(&found, "strength"), Verdict::Note);
    assert_eq!(verdict(&found, "a preempted owner is refused"), Verdict::Good);
    assert!(std::fs::read(path.join("data")).unwrap() == before);
    assert_eq!(open(0).unwrap().read_keys().unwrap().keys, []);
}

/// A device that has forgotten how to refuse: each of its lies is seen.
#[test]
fn a_device_that_lets_a_stranger_write_is_not_to_be_trusted() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("data"), vec![0; 1 << 20]).unwrap();
    let open = |_| -> Result<Box<dyn Lun>, LunError> {
        let lun = FileLun::open(FileOptions {
            directory: directory.path().to_owned(),
            size_bytes: None,
            timeout: Duration::from_secs(5),
        })?;
        Ok(Box::new(Deaf(lun)))
    };
    let found = examine(&open, 2, KEYS).unwrap();
    for trial in ["a stranger is refused", "a preempted owner is refused"] {
        assert_eq!(verdict(&found, trial), Verdict::Bad, "{found:?}");
    }
    let in_use = open(0).unwrap();
    in_use.register(ReservationKey(7)).unwrap();
    assert!(matches!(examine(&open, 2, KEYS), Err(LunError::Misuse { .. })));
}

/// Carries every write out, whoever sends it.
#[derive(Debug)]
struct Deaf(FileLun);

impl Lun for Deaf {
    fn capabilities(&self) -> quorate_storage::Capabilities {
        self.0.capabilities()
    }
    fn register(&self, key: ReservationKey) -> Result<(), LunError> {
        self.0.register(key)
    }
    fn unregister(&self) -> Result<(), LunError> {
        self.0.unregister()
    }
    fn read_keys(&self) -> Result<quorate_storage::Reservations, LunError> {
        self.0.read_keys()
    }
    fn reserve(&self, key: ReservationKey) -> Result<(), LunError> {
        self.0.reserve(key)
    }
    fn release(&self, key: ReservationKey) -> Result<(), LunError> {
        self.0.release(key)
    }
    fn preempt(&self, own: ReservationKey, victim: ReservationKey) -> Result<(), LunError> {
        self.0.preempt(own, victim)
    }
    fn preempt_and_abort(
        &self,
        own: ReservationKey,
        victim: ReservationKey,
    ) -> Result<(), LunError> {
        self.0.preempt_and_abort(own, victim)
    }
    fn clear(&self, key: ReservationKey) -> Result<(), LunError> {
        self.0.clear(key)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), LunError> {
        self.0.read_at(offset, buffer)
    }
    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), LunError> {
        Ok(())
    }
    fn flush(&self) -> Result<(), LunError> {
        Ok(())
    }
    fn events(&self) -> std::sync::Arc<quorate_storage::EventQueue> {
        self.0.events()
    }
}
