//! How long the parts of a failover take, by the nodes' own notices. Prints; asserts nothing of it.
//!
//! `cargo nextest run -p quorate --test cluster --run-ignored only -E 'test(/^measure/)'
//! --no-capture`

use std::collections::BTreeMap;

use quorate::config::{Document, Profile};
use quorate::{Notice, NoticeKind};

use super::guest::Lab;
use super::trio::{PATIENCE, notices};

const RUNS: usize = 20;

/// Milliseconds from one kind of notice to the next, in the order of a failover.
fn parts(told: &[Notice]) -> BTreeMap<&'static str, f64> {
    let at = |kind: NoticeKind| {
        let found = told.iter().find(|notice| notice.kind == kind);
        found.unwrap_or_else(|| panic!("no {kind}: {told:#?}")).at.boottime_ns as f64 / 1e6
    };
    let down = at(NoticeKind::Down);
    BTreeMap::from([
        ("1 down to assigned", at(NoticeKind::Assigned) - down),
        ("2 assigned to lun held", at(NoticeKind::LunHeld) - at(NoticeKind::Assigned)),
        ("3 lun held to start requested", at(NoticeKind::Requested) - at(NoticeKind::LunHeld)),
        ("4 start requested to online", at(NoticeKind::Online) - at(NoticeKind::Requested)),
        ("5 down to online", at(NoticeKind::Online) - down),
    ])
}

#[test]
#[ignore = "takes a minute and asserts nothing"]
fn the_parts_of_a_failover() {
    measure(Lab::start_with(quick));
}

#[test]
#[ignore = "takes a minute and asserts nothing"]
fn the_parts_of_a_failover_on_a_disk_without_reservations() {
    measure(super::disk::lab(quick).0);
}

fn quick(document: &mut Document) {
    document.timing = quorate::config::Timing { profile: Profile::Fast, ..Default::default() };
    document.groups[0].failover_threshold = Some(1000);
}

fn measure(mut lab: Lab) {
    let mut found: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..RUNS {
        let first = lab.trio.wait_online("vm", None);
        lab.trio.wait_all("all up", |status| status.nodes.iter().all(|node| node.state == "up"));
        lab.wait_ticks(first, 3);
        lab.trio.nodes().for_each(|node| drop(notices(node)));
        let killed = unix_ms();
        lab.trio.kill(first);
        let second = lab.trio.wait_online("vm", Some(first));
        let mut told = Vec::new();
        // The owner's last word of the story, and all before it.
        loop {
            let notice = next_notice(&lab, second);
            let is_last = notice.kind == NoticeKind::Online;
            told.push(notice);
            if is_last {
                break;
            }
        }
        let down = told.iter().find(|notice| notice.kind == NoticeKind::Down).unwrap();
        let detect = down.at.unix_us as f64 / 1e3 - killed;
        found.entry("0 kill to down").or_default().push(detect);
        for (part, ms) in parts(&told) {
            found.entry(part).or_default().push(ms);
        }
        lab.wait_ticks(second, 1);
        lab.check().unwrap();
        lab.start_node(first);
    }
    for (part, mut values) in found {
        values.sort_by(f64::total_cmp);
        let (median, worst) = (values[values.len() / 2], values[values.len() - 1]);
        println!("{part:<32} median {median:>8.2} ms   worst {worst:>8.2} ms");
    }
}

fn next_notice(lab: &Lab, number: usize) -> Notice {
    let node = lab.trio.node(number);
    loop {
        if let Some(quorate::Item::Notice(notice)) = node.take().unwrap() {
            return notice;
        }
        assert!(node.wait(PATIENCE).unwrap());
    }
}

fn unix_ms() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_micros() as f64 / 1e3
}
