//! The files of Proxmox VE.

use std::fs;

use super::*;
use crate::config::{Balance, Config, Group, OnShutdown, Score};
use crate::import::FindingKind::*;
use crate::import::{ProxmoxFiles, import_proxmox};

fn files() -> ProxmoxFiles {
    let file = |name: &str, text: &str| Some((name.to_owned(), text.to_owned()));
    ProxmoxFiles {
        resources: file("resources.cfg", include_str!("pve/ha/resources.cfg")),
        groups: file("groups.cfg", include_str!("pve/ha/groups.cfg")),
        rules: file("rules.cfg", include_str!("pve/ha/rules.cfg")),
        manager_status: file("manager_status", include_str!("pve/ha/manager_status")),
        datacenter: file("datacenter.cfg", include_str!("pve/datacenter.cfg")),
        corosync: file("corosync.conf", include_str!("pve/corosync.conf")),
    }
}

fn imported() -> Imported {
    files().import().unwrap()
}

fn group(imported: &Imported, name: &str) -> Group {
    let groups = &imported.document.groups;
    groups.iter().find(|group| group.name == name).unwrap_or_else(|| panic!("no {name}")).clone()
}

fn scores(imported: &Imported, name: &str) -> Vec<(String, i32)> {
    let scores = group(imported, name).scores.into_iter();
    scores.map(|(node, score)| (node, score.points())).collect()
}

fn named(list: &[(&str, i32)]) -> Vec<(String, i32)> {
    list.iter().map(|&(node, score)| (node.to_owned(), score)).collect()
}

#[test]
fn every_setting_is_used_or_told_of() {
    let before = imported();
    let outcome = |files: &ProxmoxFiles| {
        let mut found = files.import().ok()?;
        found.document.cluster.id.clear();
        Some((found.document, found.report))
    };
    let before = { (outcome(&files()), before).0 };
    type Pick = fn(&mut ProxmoxFiles) -> &mut (String, String);
    let picks: [Pick; 5] = [
        |files| files.resources.as_mut().unwrap(),
        |files| files.groups.as_mut().unwrap(),
        |files| files.rules.as_mut().unwrap(),
        |files| files.datacenter.as_mut().unwrap(),
        |files| files.corosync.as_mut().unwrap(),
    ];
    let mut silent = Vec::new();
    for pick in picks {
        let text = pick(&mut files()).1.clone();
        for (at, line) in text.lines().enumerate() {
            let Some((front, value)) = line.trim_end().rsplit_once([' ', '=']) else { continue };
            let is_name_only = line.starts_with("node-affinity:");
            if value.is_empty() || value == "{" || line.starts_with('#') || is_name_only {
                continue;
            }
            let end = &line[front.len()..=front.len()];
            let changed: Vec<String> = text
                .lines()
                .enumerate()
                .map(
                    |(other, line)| {
                        if other == at { format!("{front}{end}other") } else { line.to_owned() }
                    },
                )
                .collect();
            let mut files = files();
            pick(&mut files).1 = changed.join("\n");
            if outcome(&files) == before {
                silent.push(format!("{}: {line}", pick(&mut files).0));
            }
        }
    }
    assert!(silent.is_empty(), "changed without a trace:\n{}", silent.join("\n"));
}

#[test]
fn the_files_become_a_configuration_that_holds_together() {
    let imported = imported();
    let config = imported.config().unwrap_or_else(|error| panic!("{error}\n{}", imported.report));
    assert_eq!(config.name(), "office");
    let again = Config::from_toml_str(&imported.to_toml(), "cluster.toml").unwrap();
    assert_eq!(again.document(), &imported.document);
}

#[test]
fn nodes_come_from_corosync_with_their_addresses() {
    let imported = imported();
    let first = &imported.document.nodes[0];
    assert_eq!((first.name.as_str(), first.id, first.voter), ("pve1", Some(1), true));
    assert_eq!(first.addresses, ["10.1.0.1:7400", "[fd00::1]:7400"]);
    is_told(&imported, NoCounterpart, &["quorum.device", "model = net"]);
    is_told(&imported, Approximated, &["totem", "token = 4000", "[timing]"]);
    is_told(&imported, Needed, &["pve3", "quorate drain pve3"]);
}

#[test]
fn guests_become_groups_with_their_policies() {
    let imported = imported();
    let mail = group(&imported, "vm-100");
    assert_eq!((mail.failover_threshold, mail.resources[0].restart_threshold), (Some(2), 3));
    assert!(mail.auto_start && !mail.failback, "its group of nodes has nofailback");
    assert_eq!(mail.initial_owner.as_deref(), Some("pve1"));
    assert_eq!(scores(&imported, "vm-100"), named(&[("pve1", 2), ("pve2", 1), ("pve3", 1)]));

    let never = -1_000_000;
    assert_eq!(
        scores(&imported, "ct-102"),
        named(&[("pve1", never), ("pve2", never), ("pve3", 1)])
    );
    assert!(!group(&imported, "vm-101").auto_start && !group(&imported, "vm-101").failback);
    let plain = group(&imported, "vm-105");
    assert_eq!((plain.failover_threshold, plain.resources[0].restart_threshold), (Some(1), 1));
    assert!(plain.failback, "as Proxmox VE has it");
    is_told(&imported, NoCounterpart, &["vm:103", "ignored"]);
    is_told(&imported, Approximated, &["ct:102", "state = disabled"]);
    is_told(&imported, NoCounterpart, &["vm:104", "auto-rebalance = 0"]);
    is_told(&imported, NoCounterpart, &["groups.cfg:5:", "under_review = soon"]);
}

#[test]
fn rules_of_affinity_are_rules_and_scores() {
    let imported = imported();
    let never = -1_000_000;
    assert_eq!(scores(&imported, "vm-101"), named(&[("pve1", 2), ("pve2", 1), ("pve3", never)]));
    assert_eq!(
        scores(&imported, "vm-105"),
        named(&[("pve1", 1), ("pve3", 1)]),
        "anywhere but there"
    );
    let [pair, apart] = &imported.document.rules[..] else {
        panic!("{:?}", imported.document.rules)
    };
    assert_eq!(pair.together.as_ref().unwrap().groups, ["vm-100", "vm-104"]);
    assert_eq!(apart.apart.as_ref().unwrap().groups, ["vm-101", "ct-102", "vm-105"]);
    is_told(&imported, NoCounterpart, &["node-affinity:door", "vm:103 was not imported"]);
    is_told(&imported, NotNeeded, &["resource-affinity:off", "disabled"]);
}

#[test]
fn how_nodes_are_chosen_is_policy() {
    let imported = imported();
    let policy = &imported.document.policy;
    assert_eq!(policy.balance, Balance::Load);
    assert!(policy.balance_on_start && policy.rebalance);
    is_told(&imported, Needed, &["crs", "nodes.NAME.capacity"]);
    is_told(&imported, NoCounterpart, &["ha-auto-rebalance-threshold = 0.4"]);
    assert_eq!(policy.on_shutdown, OnShutdown::Conditional);
}

#[test]
fn a_directory_is_read_with_what_stands_above_it() {
    let home = tempfile::tempdir().unwrap();
    let ha = home.path().join("ha");
    fs::create_dir(&ha).unwrap();
    let missing = import_proxmox(&ha).unwrap_err();
    assert!(missing.to_string().contains("resources.cfg"), "{missing}");
    fs::write(ha.join("resources.cfg"), "vm: 7\n").unwrap();
    fs::write(home.path().join("corosync.conf"), include_str!("pve/corosync.conf")).unwrap();
    let imported = import_proxmox(&ha).unwrap();
    assert_eq!(imported.document.nodes.len(), 3);
    assert_eq!(imported.document.groups[0].name, "vm-7");
}

#[test]
fn a_strict_rule_is_strict_about_nodes_that_only_a_later_rule_names() {
    let file = |name: &str, text: &str| Some((name.to_owned(), text.to_owned()));
    let files = ProxmoxFiles {
        resources: file("resources.cfg", "vm: 100\n\tgroup old\n\nvm: 101\n\nvm: 102\n"),
        groups: file("groups.cfg", "group: old\n\tnodes pve1\n\trestricted 1\n"),
        rules: file(
            "rules.cfg",
            "node-affinity: first\n\tresources vm:101\n\tnodes pve2\n\tstrict 1\n\n\
             node-affinity: second\n\tresources vm:102\n\tnodes pve3\n\tstrict 1\n",
        ),
        ..ProxmoxFiles::default()
    };
    let imported = files.import().unwrap();
    let never = Score::NEVER.points();
    for (guest, home) in [("vm-100", "pve1"), ("vm-101", "pve2"), ("vm-102", "pve3")] {
        let others: Vec<(String, i32)> =
            scores(&imported, guest).into_iter().filter(|(node, _)| node != home).collect();
        assert_eq!(others.len(), 2, "{guest}: {others:?}");
        assert!(others.iter().all(|&(_, score)| score == never), "{guest}: {others:?}");
    }
}
