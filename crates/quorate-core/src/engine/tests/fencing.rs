//! Fence agents end what no lease frees.

use std::collections::BTreeMap;
use std::time::Duration;

use super::handover::without_lun;
use super::{A, B, C, Trio, config};
use crate::action::FenceVerb::{Off, On, Reboot};
use crate::config::{ClusterConfig, ClusterParts, FenceAgentConfig, NewConfig};
use crate::id::NodeId;
use crate::message::Command;
use crate::notice::Notice;
use crate::status::FencingStatus;

fn agent(name: &str, level: u8, tries: u32) -> FenceAgentConfig {
    let plugs: BTreeMap<NodeId, String> = [A, B, C].map(|node| (node, node.to_string())).into();
    FenceAgentConfig {
        name: name.to_owned(),
        settings: "{}".to_owned(),
        plugs,
        level,
        reboots: true,
        timeout: Duration::from_secs(60),
        tries,
    }
}

/// Three nodes with these agents, of which those succeed that are said to, and a group that runs on A.
fn trio(
    agents: Vec<FenceAgentConfig>,
    able: &[&'static str],
    edit: impl FnOnce(&mut ClusterParts),
) -> Trio {
    let mut parts = ClusterParts::from(config(true, without_lun));
    parts.fence_agents = agents;
    edit(&mut parts);
    let mut trio = Trio::start_as(ClusterConfig::new(parts).expect("it is valid"));
    trio.able_agents = able.iter().copied().collect();
    trio.run_until(Duration::from_secs(5), |trio| trio.is_online_on(A));
    trio
}

fn asked(trio: &Trio) -> Vec<(&str, crate::action::FenceVerb)> {
    let of_a =
        trio.fences.iter().inspect(|(_, node, _)| assert_eq!(*node, A, "nobody else is ended"));
    of_a.map(|(agent, _, verb)| (agent.as_str(), *verb)).collect()
}

#[test]
fn a_lost_node_whose_lease_frees_everything_is_left_alone() {
    let mut trio = trio(vec![agent("pdu", 1, 2)], &["pdu"], |_| {});
    trio.silent.insert(A);
    trio.run_until(Duration::from_secs(20), |trio| trio.running.contains(&B));
    assert_eq!(asked(&trio), []);
}

#[test]
fn what_runs_on_without_a_quorum_starts_elsewhere_once_its_node_is_ended() {
    let keep = |parts: &mut ClusterParts| parts.policy.keep_without_quorum = true;
    let mut trio = trio(vec![agent("pdu", 1, 2)], &["pdu"], keep);
    trio.silent.insert(A);
    trio.run_until(Duration::from_secs(20), |trio| trio.running.contains(&B));
    assert_eq!(asked(&trio), [("pdu", Reboot)]);
}

#[test]
fn what_takes_an_agents_word_waits_for_it_though_the_lease_is_over() {
    let required = |parts: &mut ClusterParts| parts.groups[0].wishes.fence_agent_required = true;
    let mut trio = trio(vec![agent("pdu", 1, 1)], &[], required);
    trio.silent.insert(A);
    trio.pass(Duration::from_secs(30));
    assert_eq!(trio.running.len(), 0);
    trio.able_agents.insert("pdu");
    trio.run_until(Duration::from_secs(60), |trio| trio.running.contains(&B));
}

#[test]
fn every_lost_node_is_ended_where_that_is_wanted_and_a_level_follows_on_one_that_fails() {
    let agents = vec![agent("board", 1, 2), agent("pdu-a", 2, 1), agent("pdu-b", 2, 1)];
    let mut trio = trio(agents, &["pdu-a", "pdu-b"], |parts| parts.policy.fence_lost_nodes = true);
    trio.silent.insert(A);
    trio.run_until(Duration::from_secs(20), |trio| trio.running.contains(&B));
    // Two power supplies: both are off before one is on again.
    let wanted = [
        ("board", Reboot),
        ("board", Reboot),
        ("pdu-a", Off),
        ("pdu-b", Off),
        ("pdu-a", On),
        ("pdu-b", On),
    ];
    assert_eq!(asked(&trio), wanted);
}

#[test]
fn when_every_level_has_failed_people_are_told_when_it_is_tried_again() {
    let keep = |parts: &mut ClusterParts| parts.policy.keep_without_quorum = true;
    let mut trio = trio(vec![agent("board", 1, 1), agent("pdu", 2, 1)], &[], keep);
    trio.silent.insert(A);
    trio.pass(Duration::from_secs(60));
    let statuses = trio.engines.iter().filter(|(node, _)| **node != A);
    let known = statuses.filter_map(|(_, one)| one.status(trio.now).nodes[0].fencing.clone());
    let [known] = <[FencingStatus; 1]>::try_from(known.collect::<Vec<_>>())
        .expect("the coordinator knows, and nobody else");
    assert!(known.retry_in_ms.is_some_and(|left| left > 0) && known.asked.is_empty(), "{known:?}");
    assert!(!known.trouble.is_empty(), "{known:?}");
    let pauses = trio.notices.iter().filter_map(|(_, _, notice)| match notice {
        Notice::FenceGivenUp { node: A, error, retry_in_ms } => {
            assert_eq!(error, "pdu: it does not answer");
            Some(*retry_in_ms)
        }
        _ => None,
    });
    assert_eq!(pauses.collect::<Vec<_>>(), [10_000, 20_000, 40_000]);
    assert_eq!(asked(&trio).len(), 6);
    trio.able_agents.insert("pdu");
    trio.run_until(Duration::from_secs(60), |trio| trio.running.contains(&B));
}

/// One of its two power supplies was switched off when it came back by itself.
#[test]
fn what_was_switched_off_of_a_node_that_is_back_is_switched_on_again() {
    let agents = vec![agent("pdu-a", 1, 1), agent("pdu-b", 1, 1)];
    let mut trio = trio(agents, &["pdu-a"], |parts| parts.policy.fence_lost_nodes = true);
    trio.silent.insert(A);
    trio.run_until(Duration::from_secs(20), |trio| !asked(trio).is_empty());
    assert_eq!(asked(&trio), [("pdu-a", Off), ("pdu-b", Off)]);
    trio.silent.clear();
    trio.boot(A);
    trio.run_until(Duration::from_secs(20), |trio| asked(trio).len() > 2);
    trio.pass(Duration::from_secs(60));
    assert_eq!(asked(&trio)[2..], [("pdu-a", On)], "once, and nobody is ended");
    let up =
        |trio: &Trio| trio.engines.values().all(|one| one.status(trio.now).nodes[0].state == "up");
    assert!(up(&trio));
}

#[test]
fn a_group_that_takes_an_agents_word_no_more_is_free_by_the_lease() {
    let required = |parts: &mut ClusterParts| parts.groups[0].wishes.fence_agent_required = true;
    let mut trio = trio(vec![agent("pdu", 1, 1)], &[], required);
    trio.silent.insert(A);
    trio.pass(Duration::from_secs(30));
    assert_eq!(trio.running.len(), 0);
    let mut parts = trio.engines[&B].config().parts().clone();
    parts.groups[0].wishes.fence_agent_required = false;
    let new = NewConfig { parts, only_if: None, reason: "no agent answers".into(), unix_ms: 7 };
    trio.command(B, Command::Configure(Box::new(new)));
    trio.run_until(Duration::from_secs(10), |trio| trio.running.contains(&B));
}
