//! A real guest: QEMU on a LUN of an iSCSI target, saved, moved, killed, fenced.
//!
//! The judge is independent of what quorate says: the guest's own ticks on its serial port, each
//! write as it ended at our end of the session, and the bytes behind the target.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quorate::config::{Document, Group, Lun, Resource, Settings};
use quorate::{Config, LunWrite, Notice, NoticeKind, WriteHook};
use quorate_storage::testing::{Proxy, Target};

use super::trio::{PATIENCE, Trio, wait, wait_for, wait_notice};

const SECTOR: usize = 512;

/// A write of a record, as it ended.
#[derive(Clone, Debug)]
struct Written {
    epoch: u64,
    number: u32,
}

/// Three nodes, one LUN, one guest.
pub(crate) struct Lab {
    pub(crate) trio: Trio,
    _target: Target,
    /// Where the bytes of its LUN are.
    pub(crate) backing: PathBuf,
    wire: Proxy,
    writes: Arc<Mutex<Vec<Written>>>,
}

impl Lab {
    fn start() -> Self {
        Self::start_with(|_| ())
    }

    /// With a configuration that differs.
    pub(crate) fn start_with(change: impl FnOnce(&mut Document)) -> Self {
        let target = Target::start(16 << 20).unwrap();
        let mut trio = Trio::with_groups(|_| vec![]);
        let mut document = trio.config.document().clone();
        let wire = Proxy::start(target.address()).unwrap();
        let mut lun = Lun::iscsi("disk1", target.url_through(wire.address()));
        lun.settings.insert("save_area_mib".to_owned(), 8.into());
        document.luns = vec![lun];
        document.groups = vec![Group::new("vm", &["disk1"], vec![guest("guest")])];
        change(&mut document);
        trio.config = Config::new(document).unwrap();
        let writes = Arc::default();
        let backing = target.backing_file().to_owned();
        let mut lab = Self { trio, _target: target, backing, wire, writes };
        (1..=3).for_each(|number| lab.start_node(number));
        lab
    }

    pub(crate) fn start_node(&mut self, number: usize) {
        let writes = Arc::clone(&self.writes);
        let mut options = self.trio.options(number);
        options.write_hook = Some(WriteHook::new(move |write: &LunWrite<'_>| {
            if write.written && &write.data[..8] == b"QRECORD1" {
                let number = write.data[8..12].try_into().map(u32::from_le_bytes);
                writes.lock().push(Written { epoch: write.epoch, number: number.unwrap() });
            }
        }));
        self.trio.run(number, options);
    }

    /// The ticks of a node's guest: number and nonce.
    pub(crate) fn ticks(&self, number: usize) -> Vec<(u32, u64)> {
        ticks_in(&self.trio.state_dir(number).join("run/guest"))
    }

    /// Waits for so many further ticks on a node.
    pub(crate) fn wait_ticks(&self, number: usize, more: usize) {
        let before = self.ticks(number).len();
        wait_for(&format!("ticks on n{number}"), || self.ticks(number).len() >= before + more);
    }

    /// Every acknowledged record is on the LUN, was acknowledged by one guest only, and no owner wrote
    /// after the next one did. (A record that a fenced guest could write but not acknowledge is
    /// rightly written again.)
    pub(crate) fn check(&self) -> Result<usize, String> {
        let mut acknowledged: BTreeMap<u32, u64> = BTreeMap::new();
        for (number, nonce) in (1..=3).flat_map(|node| self.ticks(node)) {
            let other = acknowledged.insert(number, nonce).filter(|other| *other != nonce);
            if let Some(other) = other {
                return Err(format!("record {number} is doubled: {nonce:x} and {other:x}"));
            }
        }
        let writes = self.writes.lock().clone();
        let mut newest = 0;
        for write in &writes {
            if write.epoch < newest {
                let Written { epoch, number } = write;
                return Err(format!("record {number} of epoch {epoch} came after epoch {newest}"));
            }
            newest = newest.max(write.epoch);
        }
        let bytes = std::fs::read(&self.backing).unwrap();
        for (number, nonce) in &acknowledged {
            let record = &bytes[*number as usize * SECTOR..][..SECTOR];
            let is_it =
                record[8..12] == number.to_le_bytes() && record[16..24] == nonce.to_le_bytes();
            if !is_it {
                return Err(format!("record {number} of {nonce:x} is lost"));
            }
        }
        Ok(acknowledged.len())
    }
}

/// The ticks of the guest with this work directory: number and nonce.
pub(crate) fn ticks_in(work: &Path) -> Vec<(u32, u64)> {
    let serial = std::fs::read_to_string(work.join("serial.log")).unwrap_or_default();
    let parse = |line: &str| {
        let mut words = line.trim().split(' ');
        (words.next() == Some("tick")).then_some(())?;
        let number = words.next()?.parse().ok()?;
        let nonce = words.next().filter(|word| word.len() == 16)?;
        Some((number, u64::from_str_radix(nonce, 16).ok()?))
    };
    serial.lines().filter_map(parse).collect()
}

/// A guest that counts on its LUN.
pub(crate) fn guest(name: &str) -> Resource {
    let text = |value: &str| toml::Value::String(value.to_owned());
    let settings = Settings::from([
        ("memory_mib".to_owned(), 2.into()),
        ("cpu".to_owned(), text("qemu64,-apic")),
        ("accel".to_owned(), text("tcg")),
        ("disk".to_owned(), text("ide")),
        ("firmware".to_owned(), text(rom().to_str().unwrap())),
        ("heartbeat".to_owned(), text("serial")),
        ("heartbeat_prefix".to_owned(), text("tick")),
        ("stop".to_owned(), text("quit")),
    ]);
    Resource { pending_timeout_s: 20, ..Resource::new(name, "qemu", settings) }
}

/// The guest's firmware, assembled once per test program.
fn rom() -> &'static Path {
    static ROM: OnceLock<PathBuf> = OnceLock::new();
    ROM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let rom = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cluster-guest.rom");
        let status = Command::new(root.join("tests/guest/build.sh")).arg(&rom).status().unwrap();
        assert!(status.success());
        rom
    })
}

#[test]
fn a_moved_guest_goes_on_where_it_stood() {
    let lab = Lab::start();
    let from = lab.trio.wait_online("vm", None);
    lab.wait_ticks(from, 5);
    let to = from % 3 + 1;
    let node = lab.trio.node(1);
    let ticket = node.move_group("vm", Some(&format!("n{to}"))).unwrap();
    node.command_wait(ticket, PATIENCE).unwrap();
    assert_eq!(lab.trio.wait_online("vm", Some(from)), to);
    lab.wait_ticks(to, 5);
    let (before, after) = (lab.ticks(from), lab.ticks(to));
    assert_eq!(before[0].1, after[0].1, "it was saved and resumed, not booted");
    assert_eq!(before.last().unwrap().0 + 1, after[0].0, "no tick is missing or doubled");
    assert!(lab.check().unwrap() >= 10);
    // Back again: a save area is used more than once, each save only once.
    let ticket = node.move_group("vm", Some(&format!("n{from}"))).unwrap();
    node.command_wait(ticket, PATIENCE).unwrap();
    assert_eq!(lab.trio.wait_online("vm", Some(to)), from);
    lab.wait_ticks(from, 5);
    lab.check().unwrap();
}

/// Moves the guest: it goes on where it stood. Its ticks on its new node.
pub(crate) fn moved_with_its_state(lab: &Lab) -> Vec<(u32, u64)> {
    let from = lab.trio.wait_online("vm", None);
    lab.wait_ticks(from, 3);
    let to = from % 3 + 1;
    let ticket = lab.trio.node(1).move_group("vm", Some(&format!("n{to}"))).unwrap();
    lab.trio.node(1).command_wait(ticket, PATIENCE).unwrap();
    assert_eq!(lab.trio.wait_online("vm", Some(from)), to);
    lab.wait_ticks(to, 3);
    let (before, after) = (lab.ticks(from), lab.ticks(to));
    assert_eq!(before[0].1, after[0].1, "it was saved and resumed, not booted");
    assert_eq!(before.last().unwrap().0 + 1, after[0].0, "no tick is missing or doubled");
    after
}

#[test]
fn a_guest_on_an_image_in_a_directory_is_moved_with_its_state() {
    let shared = tempfile::tempdir().unwrap();
    let directory = shared.path().join("disk1");
    let lab = Lab::start_with(|document| {
        let mut lun = Lun::file("disk1", directory.to_str().unwrap());
        lun.settings.insert("size_mib".to_owned(), 1.into());
        document.luns = vec![lun];
    });
    let after = moved_with_its_state(&lab);
    let bytes = std::fs::read(directory.join("data")).unwrap();
    let record = &bytes[after[0].0 as usize * SECTOR..][..SECTOR];
    assert_eq!(record[8..12], after[0].0.to_le_bytes());
}

#[test]
fn a_guest_outlives_its_node_with_every_acknowledged_write() {
    let mut lab = Lab::start();
    let first = lab.trio.wait_online("vm", None);
    lab.wait_ticks(first, 5);
    lab.trio.kill(first);
    let second = lab.trio.wait_online("vm", Some(first));
    lab.wait_ticks(second, 5);
    assert_ne!(lab.ticks(first)[0].1, lab.ticks(second)[0].1, "it was booted afresh");
    lab.check().unwrap();
    the_dead_one_returns_and_the_next_one_dies(&mut lab, first, second);
}

/// Its registration of before is no obstacle.
pub(crate) fn the_dead_one_returns_and_the_next_one_dies(
    lab: &mut Lab,
    first: usize,
    second: usize,
) {
    lab.start_node(first);
    lab.trio.wait_all("three nodes up", |status| status.nodes.iter().all(|n| n.state == "up"));
    lab.trio.kill(second);
    let third = lab.trio.wait_online("vm", Some(second));
    lab.wait_ticks(third, 5);
    lab.check().unwrap();
}

#[test]
fn a_guest_that_is_killed_alone_is_restarted_in_place() {
    let lab = Lab::start();
    let owner = lab.trio.wait_online("vm", None);
    lab.wait_ticks(owner, 3);
    let before = lab.ticks(owner).len();
    kill(qemu_of(&lab.trio.state_dir(owner).join("run/guest")));
    wait_notice(lab.trio.node(owner), NoticeKind::ResourceTrouble, |_| true);
    wait_for("ticks after the restart", || lab.ticks(owner).len() >= before + 3);
    assert_eq!(lab.trio.wait_online("vm", None), owner);
    lab.check().unwrap();
}

/// The one process that was started with this work directory.
fn qemu_of(work: &Path) -> i32 {
    let work = work.to_str().unwrap();
    let is_it = |process: &i32| {
        std::fs::read_to_string(format!("/proc/{process}/cmdline"))
            .is_ok_and(|line| line.contains("qemu-system") && line.contains(work))
    };
    let names = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    let processes = names.filter_map(|name| name.to_str()?.parse::<i32>().ok());
    let found: Vec<i32> = processes.filter(is_it).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

fn kill(process: i32) {
    let process = rustix::process::Pid::from_raw(process).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
}

/// Cuts the owner off the network, and waits until the guest runs elsewhere. The two nodes.
pub(crate) fn cut_the_owner(lab: &Lab) -> (usize, usize) {
    let first = lab.trio.wait_online("vm", None);
    lab.wait_ticks(first, 5);
    lab.trio.node(first).cut_network(true);
    let name = format!("n{first}");
    let status = wait(lab.trio.node(first % 3 + 1), "the failover", &mut |status| {
        status.online_on("vm").is_some_and(|node| node != name)
    });
    let second: usize = status.online_on("vm").unwrap()[1..].parse().unwrap();
    lab.wait_ticks(second, 10);
    (first, second)
}

#[test]
fn the_lun_refuses_a_node_that_is_cut_off_and_its_guest_is_killed() {
    let lab = Lab::start();
    let (first, second) = cut_the_owner(&lab);
    let name = format!("n{first}");
    let is_it = |notice: &Notice| notice.field("node") == Some(name.as_str());
    wait_notice(lab.trio.node(second), NoticeKind::Isolated, is_it);
    wait_notice(lab.trio.node(first), NoticeKind::LunLost, |_| true);
    lab.check().unwrap();
    let ticks = lab.ticks(first).len();
    lab.trio.node(first).cut_network(false);
    lab.trio.wait_all("the return", |status| status.nodes.iter().all(|n| n.state == "up"));
    assert_eq!(lab.trio.wait_online("vm", None), second);
    lab.wait_ticks(second, 3);
    assert_eq!(lab.ticks(first).len(), ticks, "the fenced guest acknowledges nothing more");
    lab.check().unwrap();
}

/// Run by the next test, with the reservations switched off.
#[test]
#[ignore = "needs the switch that the test of the negative control sets"]
fn two_guests_write_at_once() {
    let lab = Lab::start();
    cut_the_owner(&lab);
    println!("judged: {:?}", lab.check());
}

#[test]
fn without_reservations_the_same_story_fails_the_check() {
    let program = std::env::current_exe().unwrap();
    let ran = Command::new(program)
        .args(["--exact", "guest::two_guests_write_at_once", "--ignored", "--nocapture"])
        .env("QUORATE_TEST_IGNORE_RESERVATIONS", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{text}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(text.contains("judged: Err"), "{text}");
}

#[test]
fn a_lun_that_cannot_be_reserved_is_told_at_the_start() {
    let target = Target::start(1 << 20).unwrap();
    let lab = Lab::start_with(|document| {
        // The target's own controller: it answers, but knows no reservations.
        document.luns = vec![Lun::iscsi("disk1", target.url_of(0))];
    });
    for node in lab.trio.nodes() {
        let told = wait_notice(node, NoticeKind::LunTrouble, |_| true);
        assert!(told.text.contains("lun disk1: unsupported"), "{told}");
        assert!(told.text.contains("that knows persistent reservations"), "{told}");
    }
    lab.trio.wait_all("membership", |status| status.member);
}

#[test]
fn a_path_that_was_away_for_a_moment_is_taken_back() {
    let lab = Lab::start();
    let owner = lab.trio.wait_online("vm", None);
    lab.wait_ticks(owner, 3);
    // Every session ends, and tgt forgets a registration with its session.
    lab.wire.cut();
    lab.wire.heal();
    lab.wait_ticks(owner, 5);
    assert_eq!(lab.trio.wait_online("vm", None), owner);
    let told = super::trio::notices(lab.trio.node(owner));
    assert!(told.iter().any(|notice| notice.kind == NoticeKind::LunTrouble), "{told:?}");
    assert!(told.iter().all(|notice| notice.kind != NoticeKind::LunLost), "{told:?}");
    lab.check().unwrap();
}

/// As when its target is rebooted, for more than twice as long as it is waited for: and a guest that cannot write shows
/// no sign of life either.
#[test]
fn a_guest_whose_lun_nobody_reaches_stands_still_until_it_is_back_and_then_goes_on() {
    let lab = Lab::start();
    let owner = lab.trio.wait_online("vm", None);
    lab.wait_ticks(owner, 3);
    lab.wire.cut();
    wait_notice(lab.trio.node(owner), NoticeKind::StandsStill, |notice| {
        notice.field("group") == Some("vm") && notice.field("lun") == Some("disk1")
    });
    let begun = Instant::now();
    let still = lab.ticks(owner).len();
    lab.trio.wait_all("that nobody reaches it", |status| {
        status.nodes.iter().all(|node| node.luns_away == ["disk1"])
    });
    wait_for("several io_bounds", || begun.elapsed() > Duration::from_secs(7));
    assert!(lab.ticks(owner).len() <= still + 1, "it cannot write");
    let explained = lab.trio.node(owner).explain("vm").unwrap();
    let why = "which does not reach disk1";
    assert!(explained.iter().any(|line| line.contains(why)), "{explained:?}");
    lab.wire.heal();
    lab.wait_ticks(owner, 5);
    lab.trio.wait_all("that all reach it", |status| {
        status.nodes.iter().all(|node| node.luns_away.is_empty())
    });
    assert_eq!(lab.trio.wait_online("vm", None), owner);
    let boots: BTreeSet<u64> = lab.ticks(owner).iter().map(|tick| tick.1).collect();
    assert_eq!(boots.len(), 1, "it was not booted again");
    let told = super::trio::notices(lab.trio.node(owner));
    assert!(told.iter().all(|notice| notice.kind != NoticeKind::LunLost), "{told:?}");
    lab.check().unwrap();
}

#[test]
fn a_guest_whose_node_alone_has_lost_the_lun_goes_on_elsewhere() {
    let lab = Lab::start();
    let owner = lab.trio.wait_online("vm", None);
    lab.wait_ticks(owner, 3);
    lab.wire.cut_off(&format!("quorate:n{owner}"));
    wait_notice(lab.trio.node(owner), NoticeKind::LunLost, |_| true);
    let next = lab.trio.wait_online("vm", Some(owner));
    lab.wait_ticks(next, 3);
    let told = super::trio::notices(lab.trio.node(owner));
    assert!(told.iter().all(|notice| notice.kind != NoticeKind::StandsStill), "{told:?}");
    assert!(told.iter().all(|notice| notice.kind != NoticeKind::GroupFailed), "{told:?}");
    let back = format!("n{owner}");
    let node = lab.trio.node(next);
    let answer = node.command_wait(node.move_group("vm", Some(&back)).unwrap(), PATIENCE);
    let error = answer.unwrap_err();
    assert!(error.to_string().contains("it does not reach a LUN of the group (disk1)"), "{error}");
    lab.wire.heal();
    lab.trio.wait_all("that all reach it", |status| {
        status.nodes.iter().all(|node| node.luns_away.is_empty())
    });
    lab.check().unwrap();
}

#[test]
fn a_group_that_is_to_start_while_nobody_reaches_its_lun_waits_for_that() {
    let lab = Lab::start();
    let owner = lab.trio.wait_online("vm", None);
    lab.wait_ticks(owner, 3);
    let node = lab.trio.node(owner);
    node.command_wait(node.offline("vm").unwrap(), PATIENCE).unwrap();
    lab.trio.wait_all("that it is offline", |status| status.groups[0].state == "offline");
    lab.wire.cut();
    node.command_wait(node.online("vm").unwrap(), PATIENCE).unwrap();
    // It is tried on all three, and then waits: that is no failure of its own.
    wait_notice(lab.trio.node(owner), NoticeKind::LunsAway, |notice| {
        notice.field("group") == Some("vm")
    });
    let told = super::trio::notices(lab.trio.node(owner));
    assert!(told.iter().all(|notice| notice.kind != NoticeKind::GroupFailed), "{told:?}");
    // A node may have said that it reaches it before it noticed: then it is tried there once more.
    lab.trio.wait_all("that it waits", |status| {
        let group = &status.groups[0];
        group.state == "waiting" && group.luns_away == ["disk1"]
    });
    let why = "no node that may run it has reached lun disk1";
    wait_for("the reason", || {
        let explained = lab.trio.node(owner).explain("vm").unwrap();
        explained.iter().any(|line| line.contains(why))
    });
    let all = || (1..=3).map(|number| lab.ticks(number).len()).sum::<usize>();
    let before = all();
    lab.wire.heal();
    wait_for("the guest's return", || all() >= before + 3);
    lab.trio.wait_online("vm", None);
    lab.check().unwrap();
}
