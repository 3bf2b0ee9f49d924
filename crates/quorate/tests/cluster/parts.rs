//! Many guests on one LUN: each has a part of it, and each part passes from node to node by itself.
//!
//! The judge is independent of what quorate says: the guests' own ticks, each write as it ended at our end of its
//! session, and the bytes behind the target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quorate::config::{Document, Group, Lun};
use quorate::{Config, LunWrite, NoticeKind, WriteHook};
use quorate_storage::testing::{Proxy, Target};

use super::guest::{guest, ticks_in};
use super::trio::{PATIENCE, Trio, notices, wait_for};

const SECTOR: usize = 512;
const GUESTS: usize = 8;
const PART_MIB: usize = 4;
const SAVE_MIB: usize = 1;

/// The epoch and the number of each record that a part took, in order.
type Writes = Arc<Mutex<BTreeMap<String, Vec<(u64, u32)>>>>;

/// Three nodes, one LUN, eight guests.
struct Volume {
    trio: Trio,
    target: Target,
    wire: Proxy,
    writes: Writes,
}

impl Volume {
    /// `returns`: a guest goes back to its node when that is back.
    fn start(returns: bool) -> Self {
        let target = Target::start((GUESTS * PART_MIB) as u64 * (1 << 20)).unwrap();
        let wire = Proxy::start(target.address()).unwrap();
        let mut trio = Trio::with_groups(|_| vec![]);
        let mut document = trio.config.document().clone();
        add_guests(&mut document, &target.url_through(wire.address()), returns);
        // The same node dies again and again, and is to be given something all the same.
        document.policy.quarantine = None;
        trio.config = Config::new(document).unwrap();
        let mut volume = Self { trio, target, wire, writes: Arc::default() };
        (1..=3).for_each(|number| volume.start_node(number));
        volume
    }

    fn start_node(&mut self, number: usize) {
        let writes = Arc::clone(&self.writes);
        let mut options = self.trio.options(number);
        options.write_hook = Some(WriteHook::new(move |write: &LunWrite<'_>| {
            if write.written && &write.data[..8] == b"QRECORD1" {
                let number = write.data[8..12].try_into().map(u32::from_le_bytes).unwrap();
                writes.lock().entry(write.lun.to_owned()).or_default().push((write.epoch, number));
            }
        }));
        self.trio.run(number, options);
    }

    /// The ticks of one guest on one node.
    fn ticks(&self, node: usize, guest: usize) -> Vec<(u32, u64)> {
        ticks_in(&self.trio.state_dir(node).join(format!("run/guest{guest}")))
    }

    fn all_ticks(&self, guest: usize) -> usize {
        (1..=3).map(|node| self.ticks(node, guest).len()).sum()
    }

    /// Every guest ticks so often from now on.
    fn wait_ticks(&self, more: usize) {
        for guest in 1..=GUESTS {
            let before = self.all_ticks(guest);
            wait_for(&format!("ticks of guest{guest}"), || self.all_ticks(guest) >= before + more);
        }
    }

    /// On which node each guest is online.
    fn owners(&self) -> BTreeMap<usize, usize> {
        (1..=GUESTS)
            .map(|guest| (guest, self.trio.wait_online(&format!("vm{guest}"), None)))
            .collect()
    }

    /// Every acknowledged record is in its part, was acknowledged by one boot of its guest only, and no owner of a part
    /// wrote there after the next one did. How many were acknowledged.
    fn check(&self) -> Result<usize, String> {
        let mut count = 0;
        for guest in 1..=GUESTS {
            let mut acknowledged: BTreeMap<u32, u64> = BTreeMap::new();
            let ticks: Vec<(u32, u64)> = (1..=3).flat_map(|node| self.ticks(node, guest)).collect();
            // They go on meanwhile: what was acknowledged first, then what stands there.
            let bytes = std::fs::read(self.target.backing_file()).unwrap();
            for (number, nonce) in ticks {
                let other = acknowledged.insert(number, nonce).filter(|other| *other != nonce);
                if other.is_some() {
                    return Err(format!("guest{guest}: record {number} is doubled"));
                }
            }
            let writes =
                self.writes.lock().get(&format!("part{guest}")).cloned().unwrap_or_default();
            if let Some(pair) = writes.windows(2).find(|pair| pair[1].0 < pair[0].0) {
                return Err(format!("guest{guest}: {:?} came after {:?}", pair[1], pair[0]));
            }
            let part = &bytes[((guest - 1) * PART_MIB) << 20..];
            for (number, nonce) in &acknowledged {
                let record = &part[*number as usize * SECTOR..][..SECTOR];
                if record[8..12] != number.to_le_bytes() || record[16..24] != nonce.to_le_bytes() {
                    return Err(format!("guest{guest}: record {number} of {nonce:x} is lost"));
                }
            }
            count += acknowledged.len();
        }
        Ok(count)
    }
}

fn add_guests(document: &mut Document, url: &str, returns: bool) {
    let integer = |value: usize| toml::Value::Integer(value as i64);
    for number in 1..=GUESTS {
        let mut lun = Lun::iscsi(format!("part{number}"), url);
        let part = [("offset_mib", (number - 1) * PART_MIB), ("size_mib", PART_MIB)];
        let part = part.map(|(key, value)| (key.to_owned(), integer(value)));
        lun.settings.insert("part".to_owned(), toml::Value::Table(part.into_iter().collect()));
        lun.settings.insert("save_area_mib".to_owned(), integer(SAVE_MIB));
        document.luns.push(lun);
        let resources = vec![guest(&format!("guest{number}"))];
        let group = Group::new(format!("vm{number}"), &[&format!("part{number}")], resources);
        let preferred_owners = vec![format!("n{}", number % 3 + 1)];
        document.groups.push(Group { preferred_owners, failback: returns, ..group });
    }
}

/// What is seen of the guests before and after a node dies.
fn boots(volume: &Volume, homes: &[(usize, usize)]) -> Vec<Option<u64>> {
    let newest =
        |(guest, node): &(usize, usize)| volume.ticks(*node, *guest).last().map(|tick| tick.1);
    homes.iter().map(newest).collect()
}

/// Kills a node with its guests, and waits until each of them ticks elsewhere. How long that took for each.
fn kill_and_wait(volume: &mut Volume, victim: usize) -> Vec<Duration> {
    let (orphans, others): (Vec<_>, Vec<_>) =
        volume.owners().into_iter().partition(|(_, owner)| *owner == victim);
    let before = boots(volume, &others);
    let elsewhere = |volume: &Volume, guest: usize| -> usize {
        (1..=3).filter(|node| *node != victim).map(|node| volume.ticks(node, guest).len()).sum()
    };
    let had: Vec<usize> = orphans.iter().map(|(guest, _)| elsewhere(volume, *guest)).collect();
    let begun = Instant::now();
    volume.trio.kill(victim);
    let times: Mutex<BTreeMap<usize, Duration>> = Mutex::default();
    wait_for("every guest goes on", || {
        for ((guest, _), had) in orphans.iter().zip(&had) {
            if elsewhere(volume, *guest) > *had {
                times.lock().entry(*guest).or_insert_with(|| begun.elapsed());
            }
        }
        times.lock().len() == orphans.len()
    });
    let now = volume.owners();
    let homes: BTreeSet<usize> = orphans.iter().map(|(guest, _)| now[guest]).collect();
    assert_eq!(homes.len(), 2, "they went to both others: {now:?}");
    volume.wait_ticks(5);
    assert_eq!(before, boots(volume, &others), "no other guest was booted again");
    times.into_inner().into_values().collect()
}

/// `QUORATE_RUNS` says how often; docs/STORAGE.md has the figures of 20.
#[test]
fn eight_guests_on_one_lun_outlive_their_node_and_no_other_guest_is_disturbed() {
    let runs = std::env::var("QUORATE_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1);
    let mut volume = Volume::start(true);
    let home = volume.owners();
    let (mut each, mut all) = (Vec::new(), Vec::new());
    for run in 0..runs {
        volume.wait_ticks(5);
        let victim = run % 3 + 1;
        let times = kill_and_wait(&mut volume, victim);
        all.extend(times.iter().max().copied());
        each.extend(times);
        volume.check().unwrap();
        volume.start_node(victim);
        volume
            .trio
            .wait_all("three nodes up", |status| status.nodes.iter().all(|n| n.state == "up"));
        // They return to the node that they prefer, one by one, saved and resumed.
        wait_for("every guest is at home", || volume.owners() == home);
    }
    let records = volume.check().unwrap();
    for (what, mut times) in [("a guest", each), ("all guests", all)] {
        times.sort_unstable();
        let (count, middle, most) = (times.len(), times[times.len() / 2], times[times.len() - 1]);
        println!(
            "storage: {what} of a killed node, {count} times: {middle:.0?} in the middle, {most:.0?} at most"
        );
    }
    println!("storage: {records} records acknowledged in {runs} runs, 0 lost, 0 doubled");
}

#[test]
fn one_guest_moves_off_a_shared_lun_and_the_others_do_not_notice() {
    let volume = Volume::start(false);
    volume.wait_ticks(3);
    let owners = volume.owners();
    let (from, to) = (owners[&1], owners[&1] % 3 + 1);
    let ticket = volume.trio.node(1).move_group("vm1", Some(&format!("n{to}"))).unwrap();
    volume.trio.node(1).command_wait(ticket, PATIENCE).unwrap();
    assert_eq!(volume.trio.wait_online("vm1", Some(from)), to);
    volume.wait_ticks(5);
    let (before, after) = (volume.ticks(from, 1), volume.ticks(to, 1));
    assert_eq!(before[0].1, after[0].1, "it was saved and resumed, not booted");
    assert_eq!(before.last().unwrap().0 + 1, after[0].0, "no tick is missing or doubled");
    let now = volume.owners();
    assert!((2..=GUESTS).all(|guest| now[&guest] == owners[&guest]), "{owners:?} {now:?}");
    for node in volume.trio.nodes() {
        assert!(notices(node).iter().all(|notice| notice.kind != NoticeKind::LunLost));
    }
    volume.check().unwrap();
}

#[test]
fn paths_that_were_away_for_a_moment_are_taken_back_part_by_part() {
    let volume = Volume::start(false);
    volume.wait_ticks(3);
    let owners = volume.owners();
    // Every session ends, and tgt forgets a registration with its session.
    volume.wire.cut();
    volume.wire.heal();
    volume.wait_ticks(5);
    assert_eq!(volume.owners(), owners);
    for node in volume.trio.nodes() {
        assert!(notices(node).iter().all(|notice| notice.kind != NoticeKind::LunLost));
    }
    volume.check().unwrap();
}
