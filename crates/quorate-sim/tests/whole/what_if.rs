//! A question about a loss is answered by the engine itself.

use quorate_core::config::{ClusterConfig, ClusterParts};
use quorate_core::id::NodeId;
use quorate_sim::testing::{Cluster, Disk};
use quorate_sim::what_if::{Case, Error, Fate, GroupOutcome, Lose, Report, Situation, WhatIf};

fn parts() -> ClusterParts {
    Cluster::builder().group("a", Disk::Enforced).group("b", Disk::Cooperative).parts()
}

fn config(change: impl FnOnce(&mut ClusterParts)) -> ClusterConfig {
    let mut parts = parts();
    change(&mut parts);
    ClusterConfig::new(parts).unwrap()
}

fn ask(config: ClusterConfig, situation: Option<Situation>, lose: &[&str]) -> Report {
    let lose: Result<Vec<Lose>, Error> = lose.iter().map(|word| word.parse()).collect();
    let report = WhatIf::new(config, situation).unwrap().report(&lose.unwrap()).unwrap();
    for case in &report.cases {
        assert!(case.at_rest && case.violations.is_empty(), "{case:?}");
    }
    report
}

fn group<'a>(case: &'a Case, name: &str) -> &'a GroupOutcome {
    case.groups.iter().find(|group| group.name == name).unwrap()
}

#[test]
fn any_one_node_of_three_costs_a_move_within_the_timing_budget() {
    let config = config(|_| {});
    let report = ask(config.clone(), None, &["nodes:1"]);
    let moved: usize = report.cases.iter().map(|case| case.count(Fate::Moves)).sum();
    assert_eq!((report.cases.len(), moved), (3, 2), "{report}");
    for case in &report.cases {
        assert!(case.quorum && case.acting.len() == 2 && case.without_quorum.is_empty());
        for group in &case.groups {
            let budget = config.timing().outage_worst().as_millis() as u64 + 1_000;
            assert!(group.outage_ms.is_some_and(|outage| outage <= budget), "{group:?}");
            assert_eq!(group.fate == Fate::Moves, group.before.as_ref() == Some(&case.lost[0]));
        }
    }
    assert!(report.differs.is_empty());
}

#[test]
fn two_nodes_of_three_cost_the_quorum() {
    for case in ask(config(|_| {}), None, &["nodes:2"]).cases {
        assert!(!case.quorum && case.acting.is_empty() && case.without_quorum.len() == 1);
        assert!(case.groups.iter().all(|group| group.fate == Fate::Down), "{case:?}");
        assert_eq!(group(&case, "a").why.as_deref(), Some("no quorum is left"));
    }
}

#[test]
fn one_network_of_two_costs_nothing_and_both_cost_all() {
    let report = ask(config(|_| {}), None, &["networks:1"]);
    assert!(report.cases.iter().all(|case| case.count(Fate::Stays) == 2), "{report}");
    let report = ask(config(|_| {}), None, &["network0", "network1"]);
    assert_eq!((report.cases[0].quorum, report.cases[0].count(Fate::Down)), (false, 2));
}

#[test]
fn a_lost_lun_costs_its_group_and_no_other() {
    let report = ask(config(|_| {}), None, &["disk-a"]);
    let case = &report.cases[0];
    assert_eq!(group(case, "a").why.as_deref(), Some("its LUN disk-a is lost"));
    assert_eq!(group(case, "b").fate, Fate::Stays, "{report}");
}

#[test]
fn what_no_node_may_run_says_of_each_why() {
    let config = config(|parts| parts.groups[0].possible_owners = vec![NodeId(2)]);
    let report = ask(config, None, &["n2"]);
    let a = group(&report.cases[0], "a");
    assert_eq!((a.fate, a.before.as_deref(), a.after.as_deref()), (Fate::Down, Some("n2"), None));
    let why =
        "n1: it is not a possible owner; n2: it does not take part; n3: it is not a possible owner";
    assert_eq!(a.why.as_deref(), Some(why));
    let text = report.to_string();
    assert!(text.contains("quorum: kept by n1, n3") && text.contains(why), "{text}");
}

#[test]
fn a_saved_status_is_where_it_begins() {
    let status = r#"{
        "cluster": "test", "more": {"than": "is needed"},
        "nodes": [{"name": "n1", "state": "up", "heard": "self"},
                  {"name": "n2", "state": "fenced"},
                  {"name": "n3", "state": "up", "paused": true}],
        "groups": [{"name": "a", "state": "online", "owner": "n3", "online_wanted": true},
                   {"name": "b", "state": "offline", "owner": null, "online_wanted": false}]
    }"#;
    let situation: Situation = serde_json::from_str(status).unwrap();
    let report = ask(config(|_| {}), Some(situation.clone()), &["networks:1"]);
    assert!(report.differs.is_empty(), "{report}");
    for case in &report.cases {
        assert_eq!(group(case, "a").before.as_deref(), Some("n3"));
        assert_eq!((group(case, "a").fate, group(case, "b").fate), (Fate::Stays, Fate::WasDown));
        assert_eq!(group(case, "b").why.as_deref(), Some("it is to be offline"));
    }
    let what_if = WhatIf::new(config(|_| {}), Some(situation.clone())).unwrap();
    assert!(what_if.losses(&[Lose::Nodes(3)]).unwrap_err().to_string().contains("there are 2"));
    let mut misspelt = situation.clone();
    misspelt.nodes[1].state = "upp".into();
    let error = WhatIf::new(config(|_| {}), Some(misspelt)).unwrap_err().to_string();
    assert!(error.starts_with("nodes[1].state: \"upp\" is none of: absent, up, down"), "{error}");
    let mut foreign = situation;
    foreign.groups[1].owner = Some("n7".into());
    let error = WhatIf::new(config(|_| {}), Some(foreign)).unwrap_err().to_string();
    assert!(error.starts_with("groups[1].owner: node n7 is not in the configuration"), "{error}");
}

#[test]
fn a_start_that_takes_long_is_part_of_the_outage() {
    let start = std::time::Duration::from_secs(40);
    let what_if = WhatIf::new(config(|_| {}), None).unwrap().start_time(start);
    let report = what_if.report(&[Lose::Nodes(1)]).unwrap();
    let worst = report.cases.iter().filter_map(Case::worst_outage_ms).max().unwrap();
    assert!((40_000..50_000).contains(&worst), "{report}");
}

#[test]
fn the_report_is_data_and_a_table() {
    let report = ask(config(|_| {}), None, &["nodes:1"]);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let text = report.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "LOST  QUORUM  STAY  MOVE  RESTART  DOWN  LONGEST OUTAGE");
    assert!(lines[1].starts_with("n1    kept    "), "{text}");
    assert_eq!(text, ask(config(|_| {}), None, &["nodes:1"]).to_string());
}
