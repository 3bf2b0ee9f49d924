//! The rule, said slowly, against the solver; and what each rule promises.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

mod answers;
mod mended;
mod quality;
mod rest;

use super::*;
use crate::config::{
    By, ClusterParts, NodeConfig, OrderAct, OrderKind, Policy, ResourceConfig, Rule, SCORE_MUST,
    Says, TimingInputs, Wishes,
};
use crate::id::{ClusterId, GroupId, ResourceId};

fn group(id: u32) -> GroupConfig {
    let resource = ResourceConfig {
        id: ResourceId(id),
        name: format!("r{id}"),
        driver: "host".into(),
        settings: "{}".into(),
        depends_on: vec![],
        save_on_move: false,
        live_on_move: false,
        restart_threshold: 0,
        restart_period: Duration::from_secs(1),
        restart_delay: Duration::from_secs(1),
        pending_timeout: Duration::from_secs(1),
        policy: crate::config::ResourcePolicy::default(),
        depends_on_any: Vec::new(),
    };
    GroupConfig {
        id: GroupId(id),
        name: format!("g{id}"),
        auto_start: true,
        possible_owners: vec![],
        preferred_owners: vec![],
        scores: BTreeMap::new(),
        initial_owner: None,
        failback: false,
        stickiness: 0,
        failover_threshold: 2,
        failover_period: Duration::from_secs(1),
        retry_period: Duration::from_secs(1),
        wishes: Wishes::default(),
        luns: vec![],
        resources: vec![resource],
    }
}

fn cluster(nodes: u16, groups: Vec<GroupConfig>, says: Vec<Says>, policy: Policy) -> ClusterConfig {
    let node = |id: u16| NodeConfig {
        id: NodeId(id),
        name: format!("n{id}"),
        addresses: vec![format!("10.0.0.{id}:1")],
        voter: id <= 7,
        capacity: BTreeMap::from([("cpu".to_owned(), 10)]),
        domain: crate::config::Domain {
            site: format!("site-{}", id / 4),
            rack: format!("rack-{}", id % 2),
        },
    };
    let rule = |(at, says): (usize, Says)| Rule { name: format!("rule-{at}"), says };
    ClusterConfig::new(ClusterParts {
        name: "test".into(),
        id: ClusterId(1),
        timing: TimingInputs::DEFAULT,
        nodes: (1..=nodes).map(node).collect(),
        luns: vec![],
        groups,
        rules: says.into_iter().enumerate().map(rule).collect(),
        policy,
        witness: None,
        fence_agents: Vec::new(),
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

fn all_open(nodes: u16) -> BTreeMap<NodeId, Candidate> {
    let open = Candidate { up: true, heard: true, paused: false, keeps: Keeps::All };
    (1..=nodes).map(|id| (NodeId(id), open)).collect()
}

fn new() -> Now {
    Now { wanted: true, ..Now::default() }
}

fn on(node: u16) -> Now {
    Now { at: Some(NodeId(node)), runs: true, ..new() }
}

fn groups(count: u32) -> Vec<GroupConfig> {
    (1..=count).map(group).collect()
}

/// Where each group belongs, as the numbers of nodes; 0: nowhere.
fn placed(config: &ClusterConfig, nodes: &BTreeMap<NodeId, Candidate>, now: &[Now]) -> Vec<u16> {
    let plan = plan(config, nodes, now.to_vec());
    (0..now.len()).map(|at| plan.node(at).map_or(0, |node| node.0)).collect()
}

fn near(group: u32, with: u32, score: i32) -> Says {
    Says::Near { group: GroupId(group), with: GroupId(with), score, influence: true }
}

fn apart(groups: &[u32], strict: bool) -> Says {
    let groups = groups.iter().map(|&id| GroupId(id)).collect();
    Says::Apart { groups, strict, by: By::Node }
}

fn after(first: u32, then: u32) -> Says {
    Says::Order {
        first: vec![GroupId(first)],
        then: GroupId(then),
        kind: OrderKind::Mandatory,
        symmetrical: true,
        first_act: OrderAct::Start,
        then_act: OrderAct::Start,
    }
}

#[test]
fn groups_spread_over_the_nodes_that_have_the_fewest() {
    let config = cluster(3, groups(6), vec![], Policy::default());
    let places = placed(&config, &all_open(3), &[new(), new(), new(), new(), new(), new()]);
    assert_eq!(places, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn what_need_not_move_stays() {
    let config = cluster(3, groups(4), vec![], Policy::default());
    let places = placed(&config, &all_open(3), &[on(1), on(1), on(1), new()]);
    assert_eq!(places, [1, 1, 1, 2]);
}

#[test]
fn of_two_that_must_be_apart_the_later_one_moves() {
    let config = cluster(2, groups(3), vec![apart(&[1, 2, 3], true)], Policy::default());
    assert_eq!(placed(&config, &all_open(2), &[on(1), on(1), new()]), [1, 2, 0]);
    let soft = cluster(2, groups(3), vec![apart(&[1, 2, 3], false)], Policy::default());
    assert_eq!(placed(&soft, &all_open(2), &[on(1), on(1), new()]), [1, 1, 2]);
}

#[test]
fn who_must_be_near_another_goes_where_that_is_and_nowhere_without_it() {
    let says = vec![near(1, 2, SCORE_MUST)];
    let config = cluster(3, groups(2), says, Policy::default());
    assert_eq!(placed(&config, &all_open(3), &[new(), on(3)]), [3, 3]);
    let absent = Now { wanted: false, ..Now::default() };
    assert_eq!(placed(&config, &all_open(3), &[on(1), absent]), [0, 0]);
}

/// Seed 2045 of changing configurations: one of the two rules was broken, whoever had a node preferred.
#[test]
fn of_two_that_must_be_near_and_never_are_one_has_no_node() {
    for (preferred, priority) in [(vec![], 0), (vec![NodeId(1)], 0), (vec![NodeId(1)], 1)] {
        let mut all = groups(2);
        (all[1].preferred_owners, all[1].failback) = (preferred, true);
        all[1].wishes.priority = priority;
        let says = vec![near(2, 1, SCORE_MUST), near(1, 2, SCORE_NEVER)];
        let config = cluster(3, all, says, Policy::default());
        for (now, node) in
            [([on(3), on(3)], 3), ([new(), new()], 1), ([on(3), on(1)], 3), ([new(), on(2)], 1)]
        {
            assert_eq!(placed(&config, &all_open(3), &now), [node, 0], "{now:?}");
        }
    }
}

/// Where wishes lead in a circle, the one that must follow goes last.
#[test]
fn who_must_be_where_another_is_goes_there_though_that_wants_to_be_near_it_in_turn() {
    let mut all = groups(3);
    all[0].possible_owners = vec![NodeId(1)];
    (all[2].scores, all[2].failback) = (BTreeMap::from([(NodeId(3), 50)]), true);
    let says = vec![near(1, 2, 10), near(2, 3, 10), near(3, 1, SCORE_MUST)];
    let config = cluster(3, all.clone(), says, Policy::default());
    for now in [[new(), new(), new()], [on(1), on(1), on(1)]] {
        let places = placed(&config, &all_open(3), &now);
        assert_eq!((places[0], places[2]), (1, 1), "{now:?}");
    }
    let one = Says::Together { groups: vec![GroupId(1), GroupId(2)], strict: true, by: By::Node };
    let says = vec![one, near(3, 2, SCORE_MUST), near(1, 3, 10)];
    let config = cluster(3, all, says, Policy::default());
    for now in [[new(), new(), new()], [on(1), on(1), on(1)]] {
        assert_eq!(placed(&config, &all_open(3), &now), [1, 1, 1], "{now:?}");
    }
}

#[test]
fn a_dependent_has_a_say_in_where_its_ground_goes() {
    let mut all = groups(2);
    all[0].scores = BTreeMap::from([(NodeId(3), 50)]);
    all[1].scores = BTreeMap::from([(NodeId(1), 20)]);
    let config = cluster(3, all.clone(), vec![near(1, 2, SCORE_MUST)], Policy::default());
    assert_eq!(placed(&config, &all_open(3), &[new(), new()]), [3, 3]);
    let says =
        Says::Near { group: GroupId(1), with: GroupId(2), score: SCORE_MUST, influence: false };
    let config = cluster(3, all, vec![says], Policy::default());
    assert_eq!(placed(&config, &all_open(3), &[new(), new()]), [1, 1]);
}

#[test]
fn without_its_ground_nothing_runs_that_comes_after_it() {
    let mut all = groups(3);
    all[0].possible_owners = vec![NodeId(3)];
    let config = cluster(3, all, vec![after(1, 2), after(2, 3)], Policy::default());
    let mut nodes = all_open(3);
    nodes.entry(NodeId(3)).and_modify(|node| node.up = false);
    assert_eq!(placed(&config, &nodes, &[new(), on(1), on(1)]), [0, 0, 0]);
    assert_eq!(placed(&config, &all_open(3), &[new(), on(1), on(1)]), [3, 1, 1]);
}

#[test]
fn a_node_gets_no_more_than_it_has_room_for_and_priority_decides() {
    let mut all = groups(3);
    for (group, priority) in all.iter_mut().zip([0, 5, 1]) {
        group.wishes.uses = BTreeMap::from([("cpu".to_owned(), 6)]);
        group.wishes.priority = priority;
    }
    let policy = Policy { limited: true, ..Policy::default() };
    let config = cluster(2, all, vec![], policy);
    assert_eq!(placed(&config, &all_open(2), &[new(), new(), new()]), [0, 1, 2]);
    assert_eq!(placed(&config, &all_open(2), &[on(2), new(), new()]), [0, 1, 2]);
}

#[test]
fn strict_companions_move_together_to_where_most_of_them_are() {
    let all = vec![GroupId(1), GroupId(2), GroupId(3)];
    let says = Says::Together { groups: all, strict: true, by: By::Node };
    let config = cluster(3, groups(3), vec![says], Policy::default());
    assert_eq!(placed(&config, &all_open(3), &[on(1), on(2), on(2)]), [2, 2, 2]);
}

#[test]
fn every_other_node_is_told_why_not() {
    let config = cluster(3, groups(2), vec![apart(&[1, 2], true)], Policy::default());
    let placement = place(&config, &all_open(3), vec![on(1), new()], 1);
    assert_eq!(placement.chosen, Some(NodeId(2)));
    let why = BTreeMap::from([(NodeId(1), NotHere::Apart(0)), (NodeId(3), NotHere::HigherNumber)]);
    assert_eq!(placement.others, why);
}

/// The rule for one group without rules: drop what cannot, then keep the best by each criterion in turn.
fn slowly(
    group: &GroupConfig,
    nodes: &BTreeMap<NodeId, Candidate>,
    groups_there: &BTreeMap<NodeId, usize>,
    now: &Now,
) -> Option<NodeId> {
    let mut left: Vec<NodeId> = nodes
        .iter()
        .filter(|(id, one)| {
            let named = group.possible_owners.contains(id);
            let never = group.scores.get(id) == Some(&SCORE_NEVER);
            one.up && !one.paused && !never && (named || group.possible_owners.is_empty())
        })
        .map(|(&id, _)| id)
        .collect();
    if left.iter().any(|id| !now.avoids.contains(id)) {
        left.retain(|id| !now.avoids.contains(id));
    }
    if let Some(seat) = now.at.filter(|seat| left.contains(seat)) {
        return Some(seat);
    }
    let score = |id: &NodeId| group.scores.get(id).copied().unwrap_or(0);
    let highest = left.iter().map(score).max()?;
    left.retain(|id| score(id) == highest);
    if let Some(best) = group.preferred_owners.iter().find(|id| left.contains(id)) {
        return Some(*best);
    }
    let count = |id: &NodeId| groups_there.get(id).copied().unwrap_or_default();
    let fewest = left.iter().map(count).min()?;
    left.into_iter().find(|id| count(id) == fewest)
}

proptest! {
    #[test]
    fn the_quick_choice_is_the_slow_one(
        states in proptest::collection::vec((any::<bool>(), any::<bool>(), 0usize..4), 5),
        possible in proptest::collection::btree_set((1u16..6).prop_map(NodeId), 0..4),
        preferred in proptest::collection::btree_set((1u16..6).prop_map(NodeId), 0..4),
        scores in proptest::collection::btree_map(
            (1u16..6).prop_map(NodeId), prop_oneof![-1i32..2, Just(SCORE_NEVER)], 0..3),
        failed in proptest::collection::vec((1u16..6).prop_map(NodeId), 0..3),
        seat in proptest::option::of((1u16..6).prop_map(NodeId)),
    ) {
        let mut nodes = BTreeMap::new();
        let mut there = BTreeMap::new();
        let mut now = vec![Now { wanted: true, at: seat, avoids: failed.clone(), ..Now::default() }];
        for (at, (up, paused, count)) in states.into_iter().enumerate() {
            let id = NodeId(at as u16 + 1);
            nodes.insert(id, Candidate { up, heard: true, paused, keeps: Keeps::All });
            there.insert(id, count);
            let other = Now { at: Some(id), runs: true, fixed: true, ..Now::default() };
            now.extend(std::iter::repeat_n(other, count));
        }
        let mut all = groups(now.len() as u32);
        let preferred = preferred.into_iter().filter(|id| possible.is_empty() || possible.contains(id));
        all[0].preferred_owners = preferred.collect();
        all[0].possible_owners = possible.into_iter().collect();
        all[0].scores = scores;
        let first = all[0].clone();
        let config = cluster(5, all, vec![], Policy::default());
        let placement = place(&config, &nodes, now.clone(), 0);
        prop_assert_eq!(placement.chosen, slowly(&first, &nodes, &there, &now[0]));
        let named = placement.others.len() + usize::from(placement.chosen.is_some());
        prop_assert_eq!(named, nodes.len(), "every node is chosen or told why not");
    }
}

proptest! {
    /// Move after move each is allowed and makes the load more even, and there is a last one: nothing goes in circles.
    #[test]
    fn what_evens_out_the_load_breaks_no_rule_and_comes_to_an_end(
        mut places in prop::collection::vec(1_u16..=4, 3..9),
    ) {
        let mut some = groups(places.len() as u32);
        some[0].possible_owners = vec![NodeId(1), NodeId(2)];
        places[0] = places[0].min(2);
        let config = cluster(4, some, vec![apart(&[1, 2], true)], Policy::default());
        let nodes = all_open(4);
        let squares = |places: &[u16]| -> usize {
            (1..=4).map(|node| places.iter().filter(|&&at| at == node).count().pow(2)).sum()
        };
        for _ in 0..places.len() {
            let now: Vec<Now> = places.iter().map(|&node| on(node)).collect();
            let Some((group, to)) = better(&config, &nodes, &now, |group| group != 2) else {
                return Ok(());
            };
            let before = squares(&places);
            places[group] = to.0;
            prop_assert!(is_possible(&config.groups()[group], to));
            prop_assert!(group > 1 || places[0] != places[1]);
            prop_assert!(group != 2 && squares(&places) < before);
        }
        prop_assert!(false, "it moves on and on: {places:?}");
    }
}

/// Or each plan would send away what the last one has sent there.
#[test]
fn what_has_ended_to_go_where_it_should_has_its_turn_as_when_it_ran() {
    let mut all = groups(2);
    for group in &mut all {
        (group.preferred_owners, group.failback) = (vec![NodeId(1)], true);
        group.wishes.uses = BTreeMap::from([("cpu".to_owned(), 6)]);
    }
    let policy = Policy { limited: true, ..Policy::default() };
    let config = cluster(3, all, Vec::new(), policy);
    let nodes = all_open(3);
    let (runs, there) = (on(2), on(1));
    let between = Now { runs: false, under_way: true, ..runs.clone() };
    let plan = placed(&config, &nodes, &[runs, there.clone()]);
    assert_eq!(placed(&config, &nodes, &[between, there]), plan);
}
