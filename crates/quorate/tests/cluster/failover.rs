//! Founding, failover, moves, restarts: the daily life of a cluster.

use std::time::Duration;

use quorate::{Config, Notice, NoticeKind, OpId, Status};

use super::trio::{PATIENCE, Trio, wait_for, wait_notice};

fn member(status: &Status) -> bool {
    status.member && status.quorum && status.lease_left_ms.is_some()
}

#[test]
fn three_fresh_nodes_found_a_cluster_and_start_its_group_once() {
    let trio = Trio::with_counter();
    trio.wait_all("membership", member);
    let owner = trio.wait_online("counter", None);
    trio.wait_ticks(owner);
    trio.check_one_writer();
    let status = trio.node(owner).status().unwrap();
    let epoch = status.group("counter").unwrap().epoch;
    assert!(trio.ticks().iter().all(|tick| tick.epoch == epoch));
    assert!(trio.node(1).explain("counter").unwrap().len() >= 3);
}

#[test]
fn a_group_fails_over_when_its_node_dies_and_the_dead_one_may_come_back() {
    let mut trio = Trio::with_counter();
    let first = trio.wait_online("counter", None);
    trio.wait_ticks(first);
    trio.kill(first);
    let second = trio.wait_online("counter", Some(first));
    trio.wait_ticks(second);
    trio.start(first);
    let name = format!("n{first}");
    trio.wait_all("return", |status| member(status) && status.node(&name).unwrap().state == "up");
    assert_eq!(trio.wait_online("counter", None), second, "no failback");
    let moved = wait_notice(trio.node(first), NoticeKind::Assigned, |notice| {
        notice.field("cause") == Some("node_down")
    });
    assert!(moved.past_ms.is_some() && moved.to_string().contains("(earlier)"), "{moved}");
    let back = wait_notice(trio.node(first), NoticeKind::Up, |notice| {
        notice.field("node") == Some(name.as_str()) && notice.past_ms.is_none()
    });
    assert_eq!(back.text, format!("{name} takes part"));
    trio.check_one_writer();
}

#[test]
fn the_steps_of_a_failover_are_told_in_order_with_their_times() {
    let mut trio = Trio::with_counter();
    let first = trio.wait_online("counter", None);
    trio.kill(first);
    let second = trio.wait_online("counter", Some(first));
    let node = trio.node(second);
    let of = |name: &'static str, value: String| {
        move |notice: &Notice| notice.field(name) == Some(value.as_str())
    };
    let down = wait_notice(node, NoticeKind::Down, of("node", format!("n{first}")));
    let assigned = wait_notice(node, NoticeKind::Assigned, of("node", format!("n{second}")));
    let held = wait_notice(node, NoticeKind::LunHeld, of("lun", "disk1".to_owned()));
    let requested = wait_notice(node, NoticeKind::Requested, of("verb", "start".to_owned()));
    let completed = wait_notice(node, NoticeKind::Completed, of("verb", "start".to_owned()));
    let online = wait_notice(node, NoticeKind::Online, of("node", format!("n{second}")));
    let times = [down, assigned, held, requested, completed, online].map(|notice| notice.at);
    assert!(times.is_sorted(), "{times:?}");
    assert!(times[5].boottime_ns - times[0].boottime_ns < 10_000_000_000);
}

#[test]
fn a_request_is_explained_back_to_what_came_in_from_outside() {
    let mut trio = Trio::with_counter();
    let first = trio.wait_online("counter", None);
    trio.kill(first);
    let second = trio.wait_online("counter", Some(first));
    let node = trio.node(second);
    let started =
        wait_notice(node, NoticeKind::Completed, |notice| notice.field("verb") == Some("start"));
    let op = OpId(started.fields["op"].as_u64().unwrap());
    let why = node.explain_action(op).unwrap().unwrap();
    assert_eq!(why.group, "counter");
    let (last, inner) = why.chain.split_last().unwrap();
    assert_eq!(inner.first().map(|link| link.code.as_str()), Some("assigned"), "{why}");
    assert!(inner.iter().any(|link| link.code == "down" && !link.is_input), "{why}");
    assert!(last.is_input && last.text.starts_with(&format!("n{first} ")), "{why}");
    assert_eq!(node.explain_action(OpId(u64::MAX)).unwrap(), None);
}

#[test]
fn a_move_by_command_stops_the_group_and_starts_it_there() {
    let trio = Trio::with_counter();
    let from = trio.wait_online("counter", None);
    let to = from % 3 + 1;
    let ticket = trio.node(to).move_group("counter", Some(&format!("n{to}"))).unwrap();
    trio.node(to).command_wait(ticket, PATIENCE).unwrap();
    assert_eq!(trio.wait_online("counter", Some(from)), to);
    trio.wait_ticks(to);
    trio.check_one_writer();
}

#[test]
fn a_drained_node_is_left_by_its_groups_and_gets_none_until_it_is_resumed() {
    let trio = Trio::with_counter();
    let from = trio.wait_online("counter", None);
    let name = format!("n{from}");
    let node = trio.node(1);
    node.command_wait(node.drain(&name).unwrap(), PATIENCE).unwrap();
    let to = trio.wait_online("counter", Some(from));
    trio.wait_all("the pause", |status| status.node(&name).unwrap().paused);
    let refused = node.command_wait(node.move_group("counter", Some(&name)).unwrap(), PATIENCE);
    assert_eq!(refused.unwrap_err().code(), "refused");
    node.command_wait(node.resume(&name).unwrap(), PATIENCE).unwrap();
    node.command_wait(node.move_group("counter", Some(&name)).unwrap(), PATIENCE).unwrap();
    assert_eq!(trio.wait_online("counter", Some(to)), from);
    trio.check_one_writer();
}

#[test]
fn a_group_can_be_taken_offline_and_brought_back() {
    let trio = Trio::with_counter();
    trio.wait_online("counter", None);
    let node = trio.node(2);
    node.command_wait(node.offline("counter").unwrap(), PATIENCE).unwrap();
    trio.wait_all("the end", |status| status.group("counter").unwrap().state == "offline");
    node.command_wait(node.online("counter").unwrap(), PATIENCE).unwrap();
    let owner = trio.wait_online("counter", None);
    trio.wait_ticks(owner);
    trio.check_one_writer();
}

#[test]
fn a_cluster_that_was_killed_whole_goes_on_from_its_logs() {
    let mut trio = Trio::with_counter();
    let owner = trio.wait_online("counter", None);
    trio.wait_ticks(owner);
    let boot = trio.node(1).status().unwrap().boot;
    (1..=3).for_each(|number| trio.kill(number));
    let epoch = trio.ticks().last().unwrap().epoch;
    let mut trio = trio.started();
    let owner = trio.wait_online("counter", None);
    trio.wait_ticks(owner);
    let status = trio.node(1).status().unwrap();
    assert!(status.group("counter").unwrap().epoch > epoch, "{status:?}");
    assert!(status.boot > boot);
    trio.check_one_writer();
    trio.kill(owner);
    trio.wait_online("counter", Some(owner));
}

#[test]
fn a_node_whose_disk_was_wiped_rejoins_and_counts_again() {
    let mut trio = Trio::with_counter();
    let owner = trio.wait_online("counter", None);
    let wiped = owner % 3 + 1;
    trio.kill(wiped);
    std::fs::remove_dir_all(trio.state_dir(wiped)).unwrap();
    trio.start(wiped);
    trio.wait_all("membership", member);
    let name = format!("n{wiped}");
    trio.wait_all("three nodes up", |status| {
        status.nodes.iter().all(|node| node.state == "up") && status.node(&name).is_some()
    });
    // With its vote the cluster outlives another node.
    trio.kill(owner);
    let next = trio.wait_online("counter", Some(owner));
    trio.wait_ticks(next);
    trio.check_one_writer();
}

#[test]
fn a_node_with_another_file_follows_the_committed_configuration() {
    let mut trio = Trio::with_counter();
    let owner = trio.wait_online("counter", None);
    let other = owner % 3 + 1;
    trio.kill(other);
    let mut document = trio.config.document().clone();
    let mut group = document.groups[0].clone();
    (group.name, group.luns) = ("another".to_owned(), vec![]);
    group.resources[0].name = "first".to_owned();
    // The numbers of groups and resources in this file are not those of the cluster.
    document.groups.insert(0, group);
    let mut options = trio.options(other);
    options.config = Config::new(document).unwrap();
    trio.run(other, options);
    let name = format!("n{other}");
    let is_it = |notice: &Notice| notice.field("node") == Some(name.as_str());
    let told = wait_notice(trio.node(other), NoticeKind::ConfigurationDiffers, is_it);
    assert!(told.text.contains("groups.another (only in this node's file)"), "{}", told.text);
    trio.wait_all("its return", |status| {
        member(status) && status.node(&name).unwrap().state == "up"
    });
    let said = trio.node(other).explain("counter").unwrap().join("\n");
    assert!(said.contains("counter"), "{said}");
    let unknown = trio.node(other).explain("another").unwrap_err().to_string();
    assert_eq!(unknown, "group another is not known; known are: counter");
    let ticket = trio.node(owner).move_group("counter", Some(&name)).unwrap();
    trio.node(owner).command_wait(ticket, PATIENCE).unwrap();
    assert_eq!(trio.wait_online("counter", Some(owner)), other);
    trio.wait_ticks(other);
    trio.check_one_writer();
}

#[test]
fn a_node_that_leaves_gives_its_groups_away_first() {
    let mut trio = Trio::with_counter();
    let first = trio.wait_online("counter", None);
    trio.wait_ticks(first);
    let leaving = trio.node(first);
    leaving.leave(PATIENCE).unwrap();
    assert_eq!(leaving.status().unwrap_err().code(), "ended");
    wait_notice(leaving, NoticeKind::Ended, |_| true);
    assert_eq!(leaving.take().unwrap_err().code(), "ended");
    trio.kill(first);
    let second = trio.wait_online("counter", Some(first));
    trio.wait_ticks(second);
    trio.check_one_writer();
}

#[test]
fn a_guest_that_ends_by_itself_is_restarted_in_place() {
    let script = "echo \"$QUORATE_NODE $QUORATE_EPOCH 0\" >> \"$QUORATE_LUN_DISK1/ticks\"; \
                  test -e \"$QUORATE_LUN_DISK1/stay\" || exit 3; exec sleep 600";
    // It ends as fast as it starts: with few restarts it would soon go elsewhere.
    let group = |_: &_| {
        let mut group = super::trio::counter("counter", script);
        group.resources[0].restart_threshold = 10_000;
        group.resources[0].restart_delay_ms = 10;
        vec![group]
    };
    let trio = Trio::with_groups(group).started();
    wait_for("three starts", || trio.ticks().len() >= 3);
    std::fs::write(trio.shared().join("stay"), "").unwrap();
    let owner = trio.wait_online("counter", None);
    let trouble = wait_notice(trio.node(owner), NoticeKind::ResourceTrouble, |_| true);
    assert!(trouble.text.contains("exit code 3"), "{}", trouble.text);
    trio.check_one_writer();
}

#[test]
fn commands_for_what_is_not_there_are_refused_with_what_there_is() {
    let trio = Trio::with_counter();
    trio.wait_online("counter", None);
    let node = trio.node(1);
    let answer = |ticket| node.command_wait(ticket, PATIENCE).unwrap_err().to_string();
    let text = answer(node.move_group("counters", None).unwrap());
    assert!(text.contains("counters") && text.contains("known are: counter"), "{text}");
    let text = answer(node.drain("n9").unwrap());
    assert!(text.contains("n9") && text.contains("n1, n2, n3"), "{text}");
    assert_eq!(node.explain("x").unwrap_err().code(), "unknown");
}

#[test]
fn without_a_quorum_a_command_is_refused_in_time() {
    let mut trio = Trio::with_counter();
    trio.wait_online("counter", None);
    trio.kill(2);
    trio.kill(3);
    let node = trio.node(1);
    let alone = |status: &Status| status.lease_left_ms.is_none() && !status.quorum;
    assert!(node.wait_until(PATIENCE, alone).is_ok());
    let lines = node.explain("counter").unwrap();
    assert!(lines[0].starts_with("no quorum (1 of 3 votes heard)"), "{lines:#?}");
    assert!(lines[1].contains("was last known to be"), "{lines:#?}");
    let refused = node.command_wait(node.online("counter").unwrap(), Duration::from_secs(30));
    assert_eq!(refused.unwrap_err().code(), "refused");
}
