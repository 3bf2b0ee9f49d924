//! The driver for what the kernel has, on a real kernel: its own SCSI target carries one LUN over four ways, so that
//! sda to sdd are four nexus. `make test-kernel` boots that kernel and runs these in it.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use quorate_storage::doctor::Verdict;
use quorate_storage::{
    DeviceLun, DeviceOptions, DiskLun, DiskOptions, Lun, LunError, LunEvent, ReservationKey,
    ReservationType, Strength, devices,
};

use crate::common::BLOCK;
use crate::doctor::{examined, seen, verdict};

const KEY_A: ReservationKey = ReservationKey(0xa1);
const KEY_B: ReservationKey = ReservationKey(0xb1);
const LONG: Duration = Duration::from_secs(20);
const SIZE: u64 = 16 << 20;
const KIND: &str = "LIO, tcm_loop";

fn open(device: &str) -> DeviceLun {
    let lun = DeviceLun::open(DeviceOptions {
        device: Path::new("/dev").join(device),
        timeout: Duration::from_secs(5),
        watch_interval: Duration::from_millis(20),
    });
    lun.unwrap_or_else(|error| panic!("{device}: {error}"))
}

/// Every path works and nobody is registered: each test begins with that.
fn fresh() {
    for path in ["sda", "sdb", "sdc", "sdd"] {
        set_state(path, "running");
    }
    let lun = open("sdd");
    lun.register(ReservationKey(0xdd)).unwrap();
    lun.clear(ReservationKey(0xdd)).unwrap();
    let found = lun.read_keys().unwrap();
    assert_eq!((found.keys, found.holder), (vec![], None));
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

fn wait_lost(lun: &dyn Lun) {
    wait_until("the path is lost", || {
        let event = lun.events().wait(Duration::from_millis(100));
        matches!(event, Some(LunEvent::PathLost { .. }))
    });
}

fn wait_for(lun: &dyn Lun, wanted: &LunEvent) {
    wait_until(&format!("{wanted:?}"), || {
        lun.events().wait(Duration::from_millis(100)).as_ref() == Some(wanted)
    });
}

fn count(lun: &DeviceLun, key: ReservationKey) -> usize {
    lun.read_keys().unwrap().keys.iter().filter(|one| **one == key).count()
}

fn set_state(path: &str, state: &str) {
    std::fs::write(format!("/sys/block/{path}/device/state"), format!("{state}\n")).unwrap();
}

/// A device of dm-multipath, as multipathd makes it; it goes when dropped.
struct Multipath(&'static str);

impl Multipath {
    fn new(name: &'static str, paths: [&str; 2]) -> Self {
        let number = |path: &str| {
            std::fs::read_to_string(format!("/sys/block/{path}/dev")).unwrap().trim().to_owned()
        };
        let [first, second] = paths.map(number);
        let table =
            format!("0 {} multipath 0 0 1 1 round-robin 0 2 1 {first} 1 {second} 1", SIZE / 512);
        dmsetup(&["create", name, "--uuid", &format!("mpath-{name}"), "--table", &table]);
        Self(name)
    }

    fn device(&self) -> String {
        format!("mapper/{}", self.0)
    }
}

impl Drop for Multipath {
    fn drop(&mut self) {
        dmsetup(&["remove", "--retry", self.0]);
    }
}

fn dmsetup(arguments: &[&str]) {
    let done = Command::new("dmsetup")
        .args(arguments)
        .args(["--noudevsync", "--verifyudev"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A device of the device mapper that can be made to hang; it goes when dropped.
struct Linear(&'static str);

impl Linear {
    fn new(name: &'static str, below: &str) -> Self {
        let number = std::fs::read_to_string(format!("/sys/block/{below}/dev")).unwrap();
        let table = format!("0 {} linear {} 0", SIZE / 512, number.trim());
        dmsetup(&["create", name, "--table", &table]);
        Self(name)
    }

    fn hang(&self, hangs: bool) {
        dmsetup(&[if hangs { "suspend" } else { "resume" }, self.0]);
    }
}

impl Drop for Linear {
    fn drop(&mut self) {
        self.hang(false);
        dmsetup(&["remove", "--retry", self.0]);
    }
}

/// A guest's own write: no program of ours has a say in it.
fn guest_write(device: &str, offset: u64, byte: u8) -> std::io::Result<()> {
    let mut room = vec![byte; 3 * 4096];
    let start = room.as_ptr().align_offset(4096);
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(0o40000)
        .open(Path::new("/dev").join(device))?;
    file.write_all_at(&room.as_mut_slice()[start..start + 4096], offset)
}

fn is_conflict(result: &std::io::Result<()>) -> bool {
    // EBADE
    result.as_ref().is_err_and(|error| error.raw_os_error() == Some(52))
}

#[test]
#[ignore = "needs a kernel with SCSI: make test-kernel"]
fn a_device_says_what_it_is_and_is_listed() {
    fresh();
    let capabilities = open("sda").capabilities();
    assert_eq!(capabilities.strength, Strength::Enforced);
    assert_eq!((capabilities.size_bytes, capabilities.block_bytes), (SIZE, 512));
    assert!(capabilities.aptpl && capabilities.discard_safe);
    // The device has it, and this kernel's loopback hangs on it.
    assert!(!capabilities.preempt_and_abort);
    let listed = devices();
    let names: Vec<String> = listed.iter().map(|one| one.device.display().to_string()).collect();
    assert_eq!(names, ["/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sdd"]);
    assert!(listed[0].make.starts_with("LIO-ORG"), "{}", listed[0].make);
    let refused = DeviceLun::open(DeviceOptions {
        device: "/dev/null".into(),
        timeout: LONG,
        watch_interval: LONG,
    });
    assert!(matches!(refused, Err(LunError::Misuse { .. })), "{refused:?}");
}

#[test]
#[ignore = "needs a kernel with SCSI: make test-kernel"]
fn an_examination_finds_the_kernels_target_fit() {
    fresh();
    let open_as = |initiator: usize| -> Result<Box<dyn Lun>, LunError> {
        Ok(Box::new(open(["sda", "sdb"][initiator])))
    };
    let found = examined(KIND, &open_as);
    let worse = found.iter().filter(|one| one.verdict != Verdict::Good);
    assert_eq!(worse.map(|one| one.trial).collect::<Vec<_>>(), ["preempt and abort"]);
    assert_eq!(verdict(&found, "a registration survives a reconnect"), Verdict::Good);
    assert_eq!(open("sdc").read_keys().unwrap().keys, []);
}

#[test]
#[ignore = "needs a kernel with SCSI: make test-kernel"]
fn a_preempted_host_is_refused_every_time_and_told_at_once_and_so_is_its_guest() {
    fresh();
    let (a, b) = (open("sda"), open("sdb"));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    a.write_at(0, &[1; BLOCK]).unwrap();
    // LIO has an answer of its own for who is not registered.
    assert!(matches!(b.reserve(KEY_B), Err(LunError::ReservationConflict)));
    assert!(matches!(b.clear(KEY_B), Err(LunError::ReservationConflict)));
    guest_write("sda", 8192, 1).unwrap();
    assert!(matches!(b.write_at(0, &[2; BLOCK]), Err(LunError::ReservationConflict)));
    b.register(KEY_B).unwrap();
    assert!(matches!(b.reserve(KEY_B), Err(LunError::ReservationConflict)));
    assert!(matches!(b.reserve(KEY_A), Err(LunError::ReservationConflict)));
    b.preempt(KEY_B, KEY_A).unwrap();
    assert!(matches!(b.preempt(KEY_B, KEY_A), Err(LunError::ReservationConflict)));
    let found = b.read_keys().unwrap();
    let kind = ReservationType::WriteExclusiveRegistrantsOnly;
    assert_eq!((found.keys, found.holder), (vec![KEY_B], Some((KEY_B, kind))));
    wait_for(&a, &LunEvent::ReservationRefused);
    for _ in 0..50 {
        assert!(matches!(a.write_at(0, &[3; BLOCK]), Err(LunError::ReservationConflict)));
        assert!(matches!(a.flush(), Err(LunError::ReservationConflict)));
        assert!(is_conflict(&guest_write("sda", 8192, 3)));
    }
    let mut read = [0; BLOCK];
    b.read_at(0, &mut read).unwrap();
    assert_eq!(read, [1; BLOCK]);
    // Even when nobody holds the LUN any more, until it registers again.
    b.clear(KEY_B).unwrap();
    assert!(matches!(a.write_at(0, &[3; BLOCK]), Err(LunError::ReservationConflict)));
    a.register(KEY_A).unwrap();
    a.write_at(0, &[4; BLOCK]).unwrap();
    a.unregister().unwrap();
    assert!(matches!(a.write_at(0, &[5; BLOCK]), Err(LunError::NotRegistered)));
}

#[test]
#[ignore = "needs a kernel with SCSI: make test-kernel"]
fn a_host_is_registered_on_every_path_and_loses_all_of_them_at_once() {
    fresh();
    let multipath = Multipath::new("host_a", ["sda", "sdb"]);
    let (a, b) = (open(&multipath.device()), open("sdc"));
    assert_eq!(a.paths(), ["sda", "sdb"]);
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    assert_eq!(count(&b, KEY_A), 2);
    let nexus = b.read_full_status().unwrap().unwrap();
    assert!(nexus.len() == 2 && nexus[0].initiator != nexus[1].initiator, "{nexus:?}");
    assert_eq!(nexus.iter().filter(|one| one.is_holder).count(), 1, "{nexus:?}");
    for block in 0..16 {
        guest_write(&multipath.device(), block * 4096, 7).unwrap();
    }
    b.register(KEY_B).unwrap();
    b.preempt(KEY_B, KEY_A).unwrap();
    assert_eq!((count(&b, KEY_A), count(&b, KEY_B)), (0, 1));
    wait_for(&a, &LunEvent::ReservationRefused);
    for path in ["sda", "sdb", "mapper/host_a"] {
        assert!(is_conflict(&guest_write(path, 0, 9)), "{path}");
    }
    a.register(KEY_A).unwrap();
    a.unregister().unwrap();
    assert_eq!((count(&b, KEY_A), count(&b, KEY_B)), (0, 1));
}

#[test]
#[ignore = "needs a kernel with SCSI: make test-kernel"]
fn a_path_that_comes_back_is_registered_only_while_nobody_has_preempted_us() {
    fresh();
    let multipath = Multipath::new("host_a", ["sda", "sdb"]);
    let (a, b) = (open(&multipath.device()), open("sdc"));
    set_state("sdb", "offline");
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    assert_eq!(count(&b, KEY_A), 1);
    set_state("sdb", "running");
    wait_until("the path that came is registered", || count(&b, KEY_A) == 2);
    // One nexus loses its registration, as a path does that comes back by another name.
    open("sdb").unregister().unwrap();
    wait_until("the path that lost it has it back", || count(&b, KEY_A) == 2);
    set_state("sdb", "offline");
    b.register(KEY_B).unwrap();
    b.preempt(KEY_B, KEY_A).unwrap();
    set_state("sdb", "running");
    wait_for(&a, &LunEvent::ReservationRefused);
    assert_eq!(count(&b, KEY_A), 0);
    assert!(is_conflict(&guest_write("sdb", 0, 9)));
    seen(
        KIND,
        "path loss",
        Verdict::Good,
        "registered again when it is back, while nobody has preempted us",
    );
}

#[test]
#[ignore = "needs a kernel with SCSI: make test-kernel"]
fn where_an_abort_hangs_the_kernel_a_reset_takes_its_place() {
    fresh();
    let (a, b) = (open("sda"), open("sdb"));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    b.register(KEY_B).unwrap();
    b.preempt_and_abort(KEY_B, KEY_A).unwrap();
    assert!(is_conflict(&guest_write("sda", 0, 9)));
    b.write_at(0, &[5; BLOCK]).unwrap();
    assert!(b.read_keys().unwrap().is_held_by(KEY_B));
    seen(KIND, "preempt and abort, done", Verdict::Good, "preempt and a reset of the LUN");
}

#[test]
#[ignore = "needs a kernel with SCSI: make test-kernel"]
fn the_holder_of_one_path_holds_for_all_and_gives_up_for_all() {
    fresh();
    let multipath = Multipath::new("host_a", ["sda", "sdb"]);
    let (a, b) = (open(&multipath.device()), open("sdc"));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    // The path that holds is gone: the host holds all the same.
    let holder = b.read_full_status().unwrap().unwrap();
    assert!(holder.iter().any(|one| one.is_holder));
    set_state("sda", "offline");
    a.reserve(KEY_A).unwrap();
    assert!(b.read_keys().unwrap().is_held_by(KEY_A));
    // Off the list with both, though one does not answer.
    a.unregister().unwrap();
    assert_eq!(count(&b, KEY_A), 0);
    set_state("sda", "running");
    assert_eq!(count(&b, KEY_A), 0);
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    a.release(KEY_A).unwrap();
    assert_eq!(b.read_keys().unwrap().holder, None);
}

#[test]
#[ignore = "needs a kernel with SCSI: make test-kernel"]
fn a_registration_that_the_device_forgot_is_seen_and_taken_back_only_while_held() {
    fresh();
    let (a, b) = (open("sda"), open("sdb"));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    b.register(KEY_B).unwrap();
    b.clear(KEY_B).unwrap();
    wait_for(&a, &LunEvent::PathBack { registered: false });
    assert!(matches!(a.write_at(0, &[3; BLOCK]), Err(LunError::NotRegistered)));
    assert!(matches!(a.reclaim(KEY_A), Err(LunError::ReservationConflict)));
    assert_eq!(b.read_keys().unwrap().keys, []);
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    a.reclaim(KEY_A).unwrap();
    a.write_at(0, &[4; BLOCK]).unwrap();
}

#[test]
#[ignore = "needs a kernel with SCSI: make test-kernel"]
fn no_write_of_a_preempted_guest_is_accepted_once_the_preempt_is_answered() {
    let wanted = std::env::var("QUORATE_WRITES").ok().and_then(|count| count.parse().ok());
    let wanted: u32 = wanted.unwrap_or(5_000);
    fresh();
    let (a, b) = (open("sda"), open("sdb"));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    b.register(KEY_B).unwrap();
    let answered = std::sync::atomic::AtomicBool::new(false);
    let written = std::sync::atomic::AtomicU32::new(0);
    let order = std::sync::atomic::Ordering::SeqCst;
    let (accepted, refused, stale) = std::thread::scope(|scope| {
        let guest = scope.spawn(|| {
            let (mut accepted, mut refused, mut stale) = (0_u32, 0_u32, 0_u32);
            while refused < wanted {
                let is_stale = answered.load(order);
                match guest_write("sda", 0, 0x5a) {
                    Ok(()) if is_stale => stale += 1,
                    Ok(()) => accepted += 1,
                    Err(error) if error.raw_os_error() == Some(52) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
                written.store(accepted, order);
            }
            (accepted, refused, stale)
        });
        wait_until("the guest writes", || written.load(order) >= 500);
        b.preempt(KEY_B, KEY_A).unwrap();
        answered.store(true, order);
        b.write_at(0, &[0x77; 4096]).unwrap();
        guest.join().unwrap()
    });
    let mut read = [0; 4096];
    b.read_at(0, &mut read).unwrap();
    assert_eq!(read, [0x77; 4096]);
    assert_eq!(stale, 0);
    println!("stale writes: {accepted} accepted before, {refused} refused, {stale} accepted after");
    seen(KIND, "refused stale writes", Verdict::Good, "none accepted");
}

#[test]
#[ignore = "needs a kernel with SCSI: make test-kernel"]
fn a_host_that_does_not_use_a_lun_sees_too_that_it_is_away_and_that_it_is_back() {
    fresh();
    let lun = open("sda");
    set_state("sda", "offline");
    wait_lost(&lun);
    set_state("sda", "running");
    wait_for(&lun, &LunEvent::PathBack { registered: true });
}

fn disk_options(path: &Path, slot: u8, timeout: Duration) -> DiskOptions {
    DiskOptions {
        path: path.to_owned(),
        slot,
        owner: 7,
        late_write: Duration::from_millis(50),
        timeout,
        watch_interval: Duration::from_millis(50),
    }
}

/// The driver for disks without reservations, on a block device. Its threads hang in the kernel meanwhile, and it says
/// so all the same.
#[test]
#[ignore = "needs a kernel with SCSI: make test-kernel"]
fn a_disk_that_hangs_is_away_until_it_answers_and_its_owner_owns_it_still() {
    fresh();
    let device = Linear::new("plain", "sda");
    let path = Path::new("/dev/mapper/plain");
    let timeout = Duration::from_secs(1);
    let open = |slot: u8| DiskLun::open(disk_options(path, slot, timeout)).unwrap();
    assert!(DiskLun::make_leases(path, true).unwrap());
    let (a, b) = (open(1), open(2));
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    device.hang(true);
    let since = Instant::now();
    for lun in [&a, &b] {
        wait_lost(lun);
        assert!(since.elapsed() >= timeout, "it is waited for as long as a call may take");
    }
    device.hang(false);
    for lun in [&a, &b] {
        wait_for(lun, &LunEvent::PathBack { registered: true });
    }
    a.write_at(0, &[1; 4096]).unwrap();
    b.register(KEY_B).unwrap();
    b.preempt_and_abort(KEY_B, KEY_A).unwrap();
    wait_for(&a, &LunEvent::ReservationRefused);
    assert!(matches!(a.write_at(0, &[2; 4096]), Err(LunError::ReservationConflict)));
    b.write_at(0, &[3; 4096]).unwrap();
    seen(
        "disk",
        "path loss",
        Verdict::Good,
        "a device that hangs is away, and its owner owns it when it answers again",
    );
    device.hang(true);
    let since = Instant::now();
    drop(b);
    assert!(since.elapsed() < timeout * 5, "who lets go of it does not hang with it");
    device.hang(false);
    drop(a);
}

fn lvm(arguments: &[&str]) {
    let done = Command::new("lvm").args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// As on a host that did not make it, or has just booted.
#[test]
#[ignore = "needs a kernel with SCSI: make test-kernel"]
fn a_logical_volume_that_is_not_active_is_made_so_when_it_is_opened() {
    fresh();
    let (path, other) = (Path::new("/dev/shared/one"), Path::new("/dev/shared/two"));
    lvm(&["pvcreate", "-ff", "--yes", "--metadatasize", "512k", "/dev/sda"]);
    lvm(&["vgcreate", "--physicalextentsize", "1m", "shared", "/dev/sda"]);
    for name in ["one", "two"] {
        lvm(&["lvcreate", "--wipesignatures", "n", "--size", "4m", "--name", name, "shared"]);
    }
    lvm(&["vgchange", "--activate", "n", "shared"]);
    assert!(!path.exists());
    // Two volumes of one disk are two LUNs.
    for (path, key) in [(path, KEY_A), (other, KEY_B)] {
        assert!(DiskLun::make_leases(path, true).unwrap());
        lvm(&["vgchange", "--activate", "n", "shared"]);
        let lun = DiskLun::open(disk_options(path, 1, LONG)).unwrap();
        lun.register(key).unwrap();
        lun.reserve(key).unwrap();
        lun.write_at(0, &[1; 4096]).unwrap();
        assert_eq!(lun.read_keys().unwrap().keys, [key]);
    }
    // One whose books its host keeps by itself.
    lvm(&["lvremove", "--yes", "shared/two"]);
    lvm(&["lvcreate", "--snapshot", "--size", "4m", "--name", "two", "shared/one"]);
    lvm(&["vgchange", "--activate", "n", "shared"]);
    let refused = DiskLun::open(disk_options(other, 1, LONG)).unwrap_err();
    assert!(matches!(refused, LunError::Unsupported { .. }), "{refused}");
    println!("story: {refused}");
    let missing = DiskLun::open(disk_options(Path::new("/dev/shared/none"), 1, LONG)).unwrap_err();
    assert!(missing.to_string().contains("shared/none"), "{missing}");
    println!("story: {missing}");
    lvm(&["vgremove", "--force", "--yes", "shared"]);
    lvm(&["pvremove", "--yes", "/dev/sda"]);
}
