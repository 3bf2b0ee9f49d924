//! What can be wrong with a node's surroundings: each a clear word, never a hang.

use std::time::Duration;

use quorate::config::{Lun, Settings};
use quorate::{ClusterKey, Config, Error, Node, NoticeKind, Status};

use super::trio::{PATIENCE, Trio, counter, document, free_addresses, process, wait, wait_notice};

fn refused(trio: &Trio, number: usize) -> Error {
    Node::start(trio.options(number)).unwrap_err()
}

#[test]
fn a_second_node_on_the_same_state_directory_is_refused() {
    let trio = Trio::with_counter();
    let error = refused(&trio, 1);
    assert_eq!(error.code(), "log");
    let text = error.to_string();
    assert!(text.contains("already running") && text.contains("stop it first"), "{text}");
}

#[test]
fn a_second_node_of_the_same_name_finds_its_port_in_use() {
    let trio = Trio::with_counter();
    let mut options = trio.options(1);
    options.state_dir = trio.dir.path().join("elsewhere");
    let error = Node::start(options).unwrap_err();
    assert_eq!(error.code(), "net");
    let text = error.to_string();
    assert!(text.contains("in use") && text.contains(" 127."), "{text}");
}

#[test]
fn a_node_that_is_not_in_the_configuration_is_refused_with_those_that_are() {
    let trio = Trio::with_groups(|_| vec![]);
    let mut options = trio.options(1);
    options.node = "n7".to_owned();
    let text = Node::start(options).unwrap_err().to_string();
    assert!(text.contains("n7") && text.contains("n1, n2, n3"), "{text}");
}

#[test]
fn an_address_that_is_none_is_refused_where_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = document(&free_addresses(), dir.path(), vec![]);
    text.nodes[1].addresses = vec!["127.0.0.1".to_owned()];
    let error = Config::new(text.clone()).unwrap_err().to_string();
    assert!(error.contains("nodes.n2.addresses") && error.contains("has no port"), "{error}");
    text.nodes[1].addresses = vec!["no host:7400".to_owned()];
    let config = Config::new(text).unwrap();
    let key = ClusterKey::generate().unwrap();
    let options = quorate::NodeOptions::new(config, "n1", dir.path().join("n1"), key);
    let error = Node::start(options).unwrap_err();
    assert_eq!(error.code(), "address");
    let text = error.to_string();
    assert!(text.contains("nodes.n2.addresses") && text.contains("and a port"), "{text}");
}

#[test]
fn a_work_directory_with_a_long_path_is_refused_with_the_limit() {
    let trio = Trio::with_counter();
    let mut options = trio.options(1);
    options.state_dir = trio.dir.path().join("other");
    options.work_dir = Some(trio.dir.path().join("w".repeat(90)));
    let error = Node::start(options).unwrap_err();
    assert_eq!(error.code(), "work_directory");
    assert!(error.to_string().contains("shorter"), "{error}");
}

#[test]
fn a_state_directory_is_made_with_what_is_missing_above_it() {
    let trio = Trio::with_groups(|_| vec![]);
    let mut options = trio.options(1);
    options.state_dir = trio.dir.path().join("not/there/yet");
    let node = Node::start(options).unwrap();
    assert!(trio.dir.path().join("not/there/yet/quorate.log").exists());
    let error = node.explain("none").unwrap_err();
    assert_eq!(error.code(), "unknown");
}

#[test]
fn nothing_is_explained_before_the_cluster_is_founded() {
    let trio = Trio::with_groups(|_| vec![counter("counter", "exec sleep 600")]);
    let node = Node::start(trio.options(1)).unwrap();
    let error = node.explain("counter").unwrap_err();
    assert_eq!(error.code(), "refused");
    assert!(error.to_string().contains("does not belong to a cluster yet"), "{error}");
}

#[test]
fn the_log_of_another_node_is_refused() {
    let mut trio = Trio::with_counter();
    trio.wait_online("counter", None);
    trio.kill(1);
    trio.kill(2);
    let mut options = trio.options(1);
    options.state_dir = trio.state_dir(2);
    let text = Node::start(options).unwrap_err().to_string();
    assert!(text.contains("belongs to node 2") && text.contains("state directory"), "{text}");
}

#[test]
fn a_torn_log_goes_on_and_a_damaged_one_is_refused() {
    let mut trio = Trio::with_counter();
    trio.wait_online("counter", None);
    trio.kill(1);
    let path = trio.state_dir(1).join("quorate.log");
    let whole = std::fs::read(&path).unwrap();
    // As a crash in the middle of an append leaves it.
    std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    trio.start(1);
    let started = wait_notice(trio.node(1), NoticeKind::Started, |_| true);
    assert!(started.text.contains("cut off"), "{}", started.text);
    wait(trio.node(1), "membership", &mut |status| status.member);
    trio.kill(1);
    let mut damaged = std::fs::read(&path).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let text = refused(&trio, 1).to_string();
    assert!(text.contains("damaged at offset") && text.contains("move the file away"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), damaged, "it was left as it was");
}

#[test]
fn a_node_with_another_key_is_told_and_stays_out() {
    let mut trio = Trio::with_groups(|_| vec![]);
    trio.start(1);
    trio.start(2);
    let mut options = trio.options(3);
    options.key = ClusterKey::generate().unwrap();
    let stranger = Node::start(options).unwrap();
    let told = wait_notice(&stranger, NoticeKind::ConnectionRefused, |_| true);
    assert_eq!(told.field("reason"), Some("wrong_key"));
    assert!(told.text.contains("same key file"), "{}", told.text);
    wait_notice(trio.node(1), NoticeKind::ConnectionRefused, |notice| {
        notice.field("reason") == Some("wrong_key")
    });
    let waits = wait_notice(trio.node(2), NoticeKind::FoundingWaits, |notice| {
        notice.fields["missing"] == serde_json::json!(["n3"])
    });
    assert!(waits.text.contains("not connected yet: n3"), "{}", waits.text);
    assert!(!stranger.status().unwrap().member);
}

#[test]
fn a_node_of_another_cluster_is_told_and_stays_out() {
    let mut trio = Trio::with_groups(|_| vec![]);
    trio.start(1);
    let mut text = trio.config.document().clone();
    text.cluster.id = "00000000000000bb".to_owned();
    let mut options = trio.options(2);
    options.config = Config::new(text).unwrap();
    let stranger = Node::start(options).unwrap();
    let told = wait_notice(&stranger, NoticeKind::ConnectionRefused, |_| true);
    assert_eq!(told.field("reason"), Some("wrong_cluster"));
    assert!(told.text.contains("cluster.id"), "{}", told.text);
}

#[test]
fn nodes_with_different_files_say_so_and_found_nothing() {
    let mut trio = Trio::with_groups(|_| vec![]);
    trio.start(1);
    trio.start(2);
    let mut text = trio.config.document().clone();
    text.timing.detect_ms = Some(1_600);
    let mut options = trio.options(3);
    options.config = Config::new(text).unwrap();
    let other = Node::start(options).unwrap();
    let told = wait_notice(trio.node(1), NoticeKind::FoundingWaits, |notice| {
        notice.fields["differing"] == serde_json::json!(["n3"])
    });
    assert!(told.text.contains("another cluster.toml: n3"), "{}", told.text);
    assert!(!other.status().unwrap().member);
}

#[test]
fn a_program_that_is_missing_is_told_at_the_start_and_fails_the_group() {
    let missing = toml::Value::Array(vec![toml::Value::String("/nowhere/guest".to_owned())]);
    let trio = Trio::with_groups(|_| {
        let mut group = counter("counter", "");
        group.resources[0].settings = Settings::from([("command".to_owned(), missing)]);
        group.failover_threshold = Some(1);
        vec![group]
    })
    .started();
    let told = wait_notice(trio.node(2), NoticeKind::ResourceTrouble, |notice| {
        notice.field("trouble") == Some("not_possible_here")
    });
    assert!(told.text.contains("/nowhere/guest"), "{}", told.text);
    wait(trio.node(1), "a failed group", &mut |status: &Status| {
        status.group("counter").is_some_and(|group| group.state == "failed")
    });
}

#[test]
fn a_lun_that_cannot_be_reached_is_told_at_the_start_and_keeps_the_group_from_running() {
    let dead = free_addresses().swap_remove(0);
    let mut trio = Trio::with_groups(|_| vec![]);
    let mut text = trio.config.document().clone();
    text.timing.io_bound_ms = Some(300);
    text.luns = vec![Lun::iscsi("disk1", format!("iscsi://{dead}/iqn.2026-01.org.example:d/1"))];
    text.groups = vec![quorate::config::Group::new("g", &["disk1"], vec![process("r", "sleep 9")])];
    trio.config = Config::new(text).unwrap();
    let trio = trio.started();
    let told = wait_notice(trio.node(1), NoticeKind::LunTrouble, |_| true);
    assert_eq!(told.field("lun"), Some("disk1"));
    trio.wait_all("membership", |status| status.member);
    let node = trio.node(1);
    let never = node.wait_until(Duration::from_secs(2), |status| status.online_on("g").is_some());
    assert_eq!(never.unwrap_err().code(), "timed_out");
    for node in trio.nodes() {
        node.kill();
    }
    assert!(PATIENCE > Duration::ZERO);
}

#[test]
fn a_shared_directory_with_a_foreign_file_in_it_is_told() {
    let trio = Trio::with_groups(|_| vec![counter("counter", "exec sleep 600")]);
    std::fs::create_dir(trio.shared()).unwrap();
    std::fs::write(trio.shared().join("reservations"), "not ours\n").unwrap();
    let trio = trio.started();
    let told = wait_notice(trio.node(1), NoticeKind::LunTrouble, |_| true);
    assert!(told.text.contains("reservations"), "{}", told.text);
}
