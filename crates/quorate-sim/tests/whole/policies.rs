//! Stories of policies in a whole cluster: what is held back, and that it does not stay so.

use std::time::Duration;

use quorate_core::config::{Amounts, ClusterConfig, Limits, OrderAct, OrderKind, Rule, Says};
use quorate_core::id::{GroupId, NodeId};
use quorate_core::notice::Hold;
use quorate_sim::testing::{Cluster, Disk, GroupStatus};

const MINUTE: Duration = Duration::from_secs(60);

/// Five nodes, of which the first three have a group each.
fn five(limits: Limits) -> Cluster {
    let groups = ["a", "b", "c"].into_iter();
    let builder = Cluster::builder().nodes(5).seed(11);
    let builder = groups.fold(builder, |builder, name| builder.group(name, Disk::Enforced));
    let mut parts = builder.parts();
    parts.policy.limits = limits;
    for (node, group) in (1..).zip(&mut parts.groups) {
        group.preferred_owners = vec![NodeId(node)];
    }
    let mut cluster = Cluster::of(ClusterConfig::new(parts).unwrap(), 11);
    cluster.settle().unwrap();
    assert_eq!(["a", "b", "c"].map(|group| owner(&cluster, group)), ["n1", "n2", "n3"]);
    cluster
}

fn owner(cluster: &Cluster, group: &str) -> String {
    cluster.owner_of(group).unwrap().unwrap_or_default()
}

fn status(cluster: &Cluster, group: &str) -> GroupStatus {
    let groups = cluster.status().unwrap().groups;
    groups.into_iter().find(|one| one.name == group).unwrap()
}

/// Two nodes are lost, one after the other, where only one loss an hour is recovered from.
fn lost_twice() -> Cluster {
    let mut cluster = five(Limits { losses_max: Some(1), ..Limits::default() });
    cluster.power_off("n1").unwrap();
    cluster.run_until(MINUTE, |cluster| !owner(cluster, "a").is_empty()).unwrap();
    cluster.run(MINUTE).unwrap();
    cluster.power_off("n2").unwrap();
    cluster.run(MINUTE * 5).unwrap();
    assert_eq!(owner(&cluster, "b"), "", "this looks like something greater");
    let waiting = status(&cluster, "b");
    assert_eq!(waiting.held, Some(Hold::Losses { nodes: 2 }));
    assert!(waiting.retry_in_ms.is_some_and(|left| left < 3_600_000), "{waiting:?}");
    assert_eq!(owner(&cluster, "c"), "n3", "nobody else is disturbed");
    cluster
}

fn recovers(mut cluster: Cluster, within: Duration) {
    cluster.run_until(within, |cluster| !owner(cluster, "b").is_empty()).unwrap();
    assert_eq!(cluster.violations(), []);
}

#[test]
fn of_further_lost_nodes_nothing_is_started_until_the_period_is_over() {
    recovers(lost_twice(), MINUTE * 60);
}

#[test]
fn a_human_s_word_about_a_lost_node_ends_the_wait() {
    let mut cluster = lost_twice();
    cluster.confirm_fenced("n2", "ada: its power supply burnt").unwrap();
    recovers(cluster, MINUTE);
}

#[test]
fn the_return_of_an_earlier_lost_node_ends_the_wait() {
    let mut cluster = lost_twice();
    cluster.start("n1").unwrap();
    recovers(cluster, MINUTE);
}

/// Both fail back to the first node, which has room for one of them; one waits at its start for a third. Each plan sent
/// away what the last one had sent there.
#[test]
fn of_two_groups_that_prefer_one_node_one_gets_it_and_both_stay() {
    let builder = Cluster::builder().nodes(4).seed(11);
    let builder =
        ["a", "b", "c"].into_iter().fold(builder, |one, name| one.group(name, Disk::Enforced));
    let mut parts = builder.parts();
    let amount = |much: u64| Amounts::from([("mem".to_owned(), much)]);
    parts.policy.limited = true;
    for (at, node) in parts.nodes.iter_mut().enumerate() {
        node.capacity = amount(if at == 0 { 1 } else { 4 });
    }
    for (group, uses) in parts.groups.iter_mut().zip([2, 1, 1]) {
        group.wishes.uses = amount(uses);
        if uses == 1 {
            (group.preferred_owners, group.failback) = (vec![NodeId(1)], true);
        }
    }
    let says = Says::Order {
        first: vec![GroupId(1)],
        then: GroupId(2),
        kind: OrderKind::Mandatory,
        symmetrical: false,
        first_act: OrderAct::Start,
        then_act: OrderAct::Start,
    };
    parts.rules.push(Rule { name: "first-a".into(), says });
    let mut cluster = Cluster::of(ClusterConfig::new(parts).unwrap(), 11);
    cluster.settle().unwrap();
    let owners = |cluster: &Cluster| ["b", "c"].map(|group| owner(cluster, group));
    let outages = |cluster: &Cluster| ["b", "c"].map(|group| cluster.outage_of(group).unwrap());
    let before = (owners(&cluster), outages(&cluster));
    assert!(before.0.contains(&"n1".to_owned()), "{before:?}");
    cluster.run(MINUTE).unwrap();
    assert_eq!((owners(&cluster), outages(&cluster)), before);
}
