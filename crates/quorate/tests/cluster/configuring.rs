//! The configuration as a value, and the commands of operators, in a running cluster.

use std::time::Duration;

use quorate::config::{Amounts, Group, Lun, NewGroup, Rule, Score};
use quorate::{Config, Disarm, Effect, Error, Failback, Node, NoticeKind, Plan, Ticket};

use super::trio::{PATIENCE, Trio, process, wait_for, wait_notice};

/// A process that does nothing for long.
const IDLE: &str = "exec sleep 1000";

fn accept(node: &Node, ticket: Result<Ticket, Error>) {
    node.command_wait(ticket.unwrap(), PATIENCE).unwrap();
}

/// The configuration in force with a change to its words.
fn changed(node: &Node, change: impl FnOnce(&mut quorate::config::Document)) -> Config {
    let mut document = node.configuration().unwrap().config.document().clone();
    change(&mut document);
    Config::new(document).unwrap()
}

fn wait_version(trio: &Trio, version: u64) {
    trio.wait_all("the version", |status| status.config_version == version);
}

#[test]
fn another_configuration_is_planned_applied_and_rolled_back() {
    let trio = Trio::with_counter();
    let first = trio.wait_online("counter", None);
    let (node, name) = (trio.node(1), format!("n{first}"));
    let others: Vec<String> =
        (1..=3).map(|n| format!("n{n}")).filter(|other| *other != name).collect();
    let next = changed(node, |document| document.groups[0].possible_owners = others);
    let plan = node.plan(&next).unwrap();
    let [Effect::Moves { group, from, to, why: Some(why) }] = plan.effects.as_slice() else {
        panic!("{plan}")
    };
    assert_eq!((group.as_str(), from, why.code), ("counter", &name, "not_possible"));
    assert_eq!((plan.version, plan.differences.len(), &plan.refusal), (1, 1, &None));
    assert!(
        plan.to_string().starts_with("this change moves 1 group\ncounter moves from"),
        "{plan}"
    );
    let status = serde_json::to_string(&node.status().unwrap()).unwrap();
    let before = node.configuration().unwrap().config;
    assert_eq!(Plan::of_status(&before, &status, &next).unwrap(), plan);

    accept(node, node.apply(&next, "spare it", Some(1)));
    wait_version(&trio, 2);
    let second = trio.wait_online("counter", Some(first));
    assert_eq!(format!("n{second}"), *to);
    trio.wait_ticks(second);
    wait_notice(node, NoticeKind::Configured, |_| true);
    assert_eq!(node.why_not("counter", &name).unwrap().unwrap().code, "not_possible");

    let late = node.apply(&before, "", Some(1)).and_then(|one| node.command_wait(one, PATIENCE));
    assert!(late.unwrap_err().to_string().contains("2 is in force by now, not 1"));
    accept(node, node.roll_back(None, "it was better"));
    wait_version(&trio, 3);
    assert_eq!(node.configuration().unwrap().config.cluster(), before.cluster());
    let history = node.history().unwrap();
    let reasons: Vec<&str> = history.iter().map(|version| version.reason.as_str()).collect();
    assert_eq!(reasons, ["founded", "spare it", "back to version 1: it was better"]);
    assert!(history[2].in_force && history[0].kept && history[1].unix_ms.is_some());
    assert!(node.roll_back(Some(9), "").unwrap_err().to_string().contains("kept are: 1, 2"));
    trio.check_one_writer();
}

#[test]
fn what_cannot_change_under_a_running_group_is_refused_and_it_runs_on() {
    let trio = Trio::with_counter();
    let owner = trio.wait_online("counter", None);
    let node = trio.node(owner);
    let next = changed(node, |document| document.groups.clear());
    let plan = node.plan(&next).unwrap();
    let refusal = plan.refusal.unwrap();
    assert!(refusal.contains("groups.counter") && refusal.contains("offline first"), "{refusal}");
    let ticket = node.apply(&next, "", None).unwrap();
    let error = node.command_wait(ticket, PATIENCE).unwrap_err().to_string();
    assert_eq!(error, refusal);
    trio.wait_ticks(owner);
    trio.check_one_writer();
}

#[test]
fn the_settings_of_a_lun_change_while_its_group_is_offline_and_its_next_start_has_them() {
    let trio = Trio::with_counter();
    let owner = trio.wait_online("counter", None);
    trio.wait_ticks(owner);
    let other = tempfile::tempdir().unwrap();
    let node = trio.node(owner);
    let next = changed(node, |document| {
        document.luns = vec![Lun::file("disk1", other.path().to_str().unwrap())];
    });
    accept(node, node.offline("counter"));
    trio.wait_all("offline", |status| status.group("counter").unwrap().state == "offline");
    accept(node, node.apply(&next, "another directory", None));
    wait_version(&trio, 2);
    let before = trio.ticks().len();
    accept(node, node.online("counter"));
    trio.wait_online("counter", None);
    wait_for("ticks in the other directory", || other.path().join("ticks").exists());
    assert_eq!(trio.ticks().len(), before, "nothing more in the old one");
}

#[test]
fn groups_come_and_go_while_others_run_undisturbed() {
    let trio = Trio::with_counter();
    let owner = trio.wait_online("counter", None);
    let node = trio.node(2);
    let mut new = NewGroup::new(Group::new("guest", &[], vec![process("idle", IDLE)]));
    new.rules = vec![Rule::near("beside", "guest", "counter", Score::MUST)];
    accept(node, node.add_group(&new));
    assert_eq!(trio.wait_online("guest", None), owner);
    let why = node.explanation("guest").unwrap();
    assert_eq!(why.owner.as_deref(), Some(format!("n{owner}").as_str()));
    assert!(why.not_there.iter().all(|one| one.rule.as_deref() == Some("beside")), "{why:?}");
    assert!(why.sentences.iter().any(|line| line.contains("(rule beside)")), "{why:?}");
    accept(node, node.offline("guest"));
    trio.wait_all("offline", |status| status.group("guest").unwrap().state == "offline");
    accept(node, node.remove_group("guest"));
    trio.wait_all("its end", |status| status.group("guest").is_none());
    trio.wait_ticks(owner);
    assert_eq!(
        trio.ticks().iter().map(|tick| tick.epoch).max(),
        trio.ticks().first().map(|t| t.epoch)
    );
    let error = node.add_group(&NewGroup { groups: Vec::new(), ..new }).unwrap_err().to_string();
    assert!(error.contains("one at a time"), "{error}");
}

#[test]
fn a_node_in_maintenance_is_empty_until_the_end_of_the_block() {
    let trio = Trio::with_counter();
    let owner = trio.wait_online("counter", None);
    let name = format!("n{owner}");
    let node = trio.node(owner % 3 + 1);
    {
        let maintenance = node.maintenance(&name, PATIENCE).unwrap();
        assert_eq!(maintenance.node(), name);
        assert_ne!(trio.wait_online("counter", None), owner);
        assert!(node.status().unwrap().node(&name).unwrap().draining);
    }
    trio.wait_all("its end", |status| !status.node(&name).unwrap().paused);
    node.wait_until(PATIENCE, |status| status.online_on("counter") == Some(&name)).unwrap();
    trio.check_one_writer();
}

#[test]
fn a_node_that_was_paused_or_drained_is_so_again_after_its_maintenance() {
    let trio = Trio::with_counter();
    let owner = trio.wait_online("counter", None);
    let other = owner % 3 + 1;
    let (name, node) = (format!("n{other}"), trio.node(owner));
    for drained in [false, true] {
        accept(node, if drained { node.drain(&name) } else { node.pause(&name) });
        let is_so = |status: &quorate::Status| {
            status.node(&name).is_some_and(|one| one.paused && one.draining == drained)
        };
        node.wait_until(PATIENCE, is_so).unwrap();
        {
            let _maintenance = node.maintenance(&name, PATIENCE).unwrap();
            assert!(node.status().unwrap().node(&name).unwrap().draining);
        }
        node.wait_until(PATIENCE, is_so).unwrap();
    }
}

#[test]
fn every_command_of_an_operator_is_carried_out() {
    let trio = Trio::with_counter();
    let owner = trio.wait_online("counter", None);
    let name = format!("n{owner}");
    let node = trio.node(owner);
    accept(node, node.disarm(Disarm::Freeze, Some(Duration::from_secs(600))));
    let status = node.wait_until(PATIENCE, |status| status.disarmed.is_some()).unwrap();
    assert_eq!(status.disarmed.as_deref(), Some("freeze"));
    assert!(status.disarm_left_ms.is_some_and(|left| left <= 600_000));
    accept(node, node.arm());
    node.wait_until(PATIENCE, |status| status.disarmed.is_none()).unwrap();
    accept(node, node.unmanage("counter"));
    accept(node, node.manage("counter"));
    accept(node, node.hold_moves(true));
    accept(node, node.hold_moves(false));
    accept(node, node.report_load("counter", Amounts::from([("cpus".to_owned(), 1)])));
    accept(node, node.count_failures("counter", &name, 2));
    accept(node, node.clean_up("counter", &name));
    // One that hands over owes answers that it does not give any more.
    let coordinator = node.status().unwrap().coordinator;
    let other = if coordinator.as_deref() == Some("n1") { "n2" } else { "n1" };
    accept(node, node.let_coordinate(other, false));
    accept(node, node.let_coordinate(other, true));
    assert!(matches!(node.fence("n1", " "), Err(Error::Misuse(_))));
    accept(node, node.pause(&name));
    accept(node, node.resume_with(&name, Failback::Never));
    accept(node, node.restart_group("counter", None));
    trio.wait_online("counter", Some(owner));
    accept(node, node.disable("counter"));
    trio.wait_all("offline", |status| status.group("counter").unwrap().state == "offline");
    trio.check_one_writer();
}
