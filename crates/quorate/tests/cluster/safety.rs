//! A node that may not act, stops: cut off, hung, panicked, with a broken disk.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use quorate::{ClusterKey, Config, Item, Node, NodeOptions, NoticeKind};

use super::trio::{PATIENCE, Trio, counter, wait, wait_for, wait_notice};

#[test]
fn a_node_that_is_cut_off_stops_its_guest_before_another_starts_it() {
    let trio = Trio::with_counter();
    let first = trio.wait_online("counter", None);
    trio.wait_ticks(first);
    trio.node(first).cut_network(true);
    let others: Vec<usize> = (1..=3).filter(|number| *number != first).collect();
    let name = format!("n{first}");
    let status = wait(trio.node(others[0]), "the failover", &mut |status| {
        status.online_on("counter").is_some_and(|node| node != name)
    });
    let second: usize = status.online_on("counter").unwrap()[1..].parse().unwrap();
    trio.wait_ticks(second);
    wait_notice(trio.node(first), NoticeKind::LeaseLost, |_| true);
    trio.node(first).cut_network(false);
    trio.wait_all("the return", |status| status.nodes.iter().all(|node| node.state == "up"));
    assert_eq!(trio.wait_online("counter", None), second);
    trio.check_one_writer();
}

#[test]
fn a_panic_of_the_engine_kills_the_guest_and_poisons_every_call() {
    let trio = Trio::with_counter();
    let first = trio.wait_online("counter", None);
    trio.wait_ticks(first);
    let broken = trio.node(first);
    broken.panic_engine().unwrap();
    let end = wait_notice(broken, NoticeKind::Poisoned, |_| true);
    assert!(end.text.contains("a test wants the engine to panic"), "{}", end.text);
    let texts = [
        broken.take().unwrap_err().to_string(),
        broken.status().unwrap_err().to_string(),
        broken.online("counter").unwrap_err().to_string(),
        broken.explain("counter").unwrap_err().to_string(),
        broken.leave(PATIENCE).unwrap_err().to_string(),
        broken.wait(PATIENCE).unwrap_err().to_string(),
    ];
    for text in texts {
        assert!(text.contains("a test wants the engine to panic"), "{text}");
    }
    let name = format!("n{first}");
    let other = trio.node(first % 3 + 1);
    let status = wait(other, "the failover", &mut |status| {
        status.online_on("counter").is_some_and(|node| node != name)
    });
    let second: usize = status.online_on("counter").unwrap()[1..].parse().unwrap();
    trio.wait_ticks(second);
    trio.check_one_writer();
}

#[test]
fn an_engine_that_hangs_past_its_lease_loses_its_guest_to_the_guard() {
    let trio = Trio::with_counter();
    let first = trio.wait_online("counter", None);
    trio.wait_ticks(first);
    trio.node(first).hang_engine(Duration::from_secs(5)).unwrap();
    let name = format!("n{first}");
    let other = trio.node(first % 3 + 1);
    let status = wait(other, "the failover", &mut |status| {
        status.online_on("counter").is_some_and(|node| node != name)
    });
    let second: usize = status.online_on("counter").unwrap()[1..].parse().unwrap();
    trio.wait_ticks(second);
    trio.wait_all("the return", |status| status.nodes.iter().all(|node| node.state == "up"));
    assert_eq!(trio.wait_online("counter", None), second);
    // Where it hung it can run again: the guard's kill does not stick.
    let ticket = trio.node(second).move_group("counter", Some(&name)).unwrap();
    trio.node(second).command_wait(ticket, PATIENCE).unwrap();
    trio.wait_online("counter", Some(second));
    trio.wait_ticks(first);
    trio.check_one_writer();
}

#[test]
fn a_node_that_is_killed_while_it_hangs_ends_in_bounded_time_without_its_guest() {
    let trio = Trio::with_counter();
    let first = trio.wait_online("counter", None);
    trio.wait_ticks(first);
    let hung = trio.node(first);
    hung.hang_engine(Duration::from_secs(3)).unwrap();
    hung.kill();
    assert_eq!(hung.status().unwrap_err().code(), "ended");
    let name = format!("n{first}");
    let mine = || trio.ticks().iter().filter(|tick| tick.node == name).count();
    let before = mine();
    trio.wait_ticks(first % 3 + 1);
    assert_eq!(mine(), before);
    trio.check_one_writer();
}

/// Where the next test and the process that it kills meet.
const MEETING_PLACE: &str = "QUORATE_TEST_MEETING_PLACE";

/// Not a test: the process that the next test kills, with three nodes in it.
#[test]
#[ignore = "the helper of another test"]
fn helper_that_runs_nodes_until_it_is_killed() {
    let Some(place) = std::env::var_os(MEETING_PLACE).map(PathBuf::from) else { return };
    let config = Config::from_file(&place.join("cluster.toml")).unwrap();
    let key = ClusterKey::from_file(&place.join("cluster.key")).unwrap();
    let start = |name: &str| {
        Node::start(NodeOptions::new(config.clone(), name, place.join(name), key.clone())).unwrap()
    };
    let nodes = ["n1", "n2", "n3"].map(start);
    // It ends by a signal, or with the test that started it.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(nodes);
}

#[test]
fn what_a_killed_program_has_left_is_ended_before_its_node_says_that_it_is_back() {
    let script = "sleep 1000 & echo $! > \"$QUORATE_LUN_DISK1/child\"; wait";
    let mut trio = Trio::with_groups(|_| vec![counter("counter", script)]);
    let place = trio.dir.path().to_owned();
    std::fs::write(place.join("cluster.toml"), trio.config.to_toml()).unwrap();
    trio.key.write_new_file(&place.join("cluster.key")).unwrap();
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "safety::helper_that_runs_nodes_until_it_is_killed"])
        .env(MEETING_PLACE, &place)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let child = || -> Option<i32> {
        std::fs::read_to_string(trio.shared().join("child")).ok()?.trim().parse().ok()
    };
    wait_for("the resource's child", || child().is_some());
    let child = child().unwrap();
    program.kill().unwrap();
    program.wait().unwrap();
    assert!(runs(child), "the test needs what the kernel does not kill");
    (1..=3).for_each(|number| trio.start(number));
    assert!(!runs(child), "it writes beside whatever is started elsewhere");
}

/// Whether the process runs: neither gone nor a zombie.
fn runs(process: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit_once(')').map_or("", |(_, rest)| rest).trim_start();
        !state.starts_with(['Z', 'X'])
    })
}

/// Run by the next test, in a process that may not write long files.
#[test]
#[ignore = "needs the limit that the test of a full disk sets"]
fn the_log_cannot_grow() {
    let trio = Trio::with_counter();
    // All three write to the same disk; the first to fail is enough.
    let failed = |node: &quorate::Node| node.status().is_err();
    wait_for("a node that fails", || trio.nodes().any(failed));
    let node = trio.nodes().find(|node| failed(node)).unwrap();
    let mut last = None;
    while let Ok(Some(item)) = node.take() {
        if let Item::Notice(notice) = item {
            last = Some(notice);
        }
    }
    let last = last.unwrap();
    assert_eq!(last.kind, NoticeKind::Poisoned);
    println!("said: {}", last.text);
}

#[test]
fn a_log_that_cannot_grow_ends_the_nodes_part() {
    let program: PathBuf = std::env::current_exe().unwrap();
    // 512 bytes a block: the log outgrows that while the cluster is founded. The signal is ignored,
    // so that the write fails instead.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" --exact safety::the_log_cannot_grow \
                  --ignored --nocapture";
    let ran = Command::new("/bin/sh").arg("-c").arg(script).arg(program).output().unwrap();
    let text = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{text}\n{errors}");
    assert!(text.contains("quorate.log") && text.contains("fenced itself"), "{text}");
}
