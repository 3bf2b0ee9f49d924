//! Answers to questions about plans: what is survived, what would have to change, which rules conflict.

use super::*;
use crate::config::{Balance, By};

fn limited(count: u32, cpu: u64, nodes: u16, survives: Option<u32>) -> ClusterConfig {
    let mut all = groups(count);
    for group in &mut all {
        group.wishes.uses = BTreeMap::from([("cpu".to_owned(), cpu)]);
    }
    cluster(nodes, all, vec![], Policy { limited: true, survives, ..Policy::default() })
}

#[test]
fn a_loss_that_leaves_too_little_room_is_named_with_what_has_no_place() {
    // Three nodes with room for two each.
    let config = limited(5, 5, 3, None);
    let now = vec![on(1), on(1), on(2), on(2), on(3)];
    let one = survival(&config, &all_open(3), now.clone(), 1);
    assert_eq!((one.tried, one.failing), (3, 3), "two nodes have room for four");
    let first = Loss { nodes: vec![NodeId(1)], unplaced: vec![GroupId(2)] };
    assert_eq!(one.losses[0], first);
    assert_eq!(survival(&config, &all_open(3), now, 2).failing, 3);
    let small = limited(4, 5, 3, None);
    let now = vec![on(1), on(1), on(2), on(3)];
    assert_eq!(survival(&small, &all_open(3), now, 1).failing, 0);
}

#[test]
fn a_configuration_that_demands_more_than_it_can_survive_is_refused() {
    assert_eq!(admit(&limited(4, 5, 3, Some(1))), Ok(()));
    assert_eq!(admit(&limited(5, 5, 3, None)), Ok(()));
    let error = admit(&limited(5, 5, 3, Some(1))).unwrap_err();
    assert_eq!(error.place, "policy.survives");
    assert!(error.problem.contains("the loss of n1 leaves no place for"), "{error}");
}

/// What would have to change, as words.
fn remedies(
    config: &ClusterConfig,
    nodes: &BTreeMap<NodeId, Candidate>,
    now: &[Now],
    group: usize,
    node: u16,
) -> Vec<String> {
    let found = counterfactual(config, nodes, now.to_vec(), group, NodeId(node));
    found.expect("there is a way").iter().map(Remedy::to_string).collect()
}

#[test]
fn the_counterfactual_names_each_thing_in_the_way_and_nothing_else() {
    let mut all = groups(2);
    all[1].possible_owners = vec![NodeId(2), NodeId(3)];
    let config = cluster(3, all, vec![apart(&[1, 2], true)], Policy::default());
    let mut nodes = all_open(3);
    assert_eq!(
        remedies(&config, &nodes, &[on(1), on(2)], 1, 1),
        ["the node were a possible owner", "there were no rule rule-0", "somebody moved it there"]
    );
    assert_eq!(remedies(&config, &nodes, &[on(1), on(2)], 1, 3), ["somebody moved it there"]);
    assert_eq!(remedies(&config, &nodes, &[on(1), on(2)], 1, 2), [""; 0]);
    nodes.insert(NodeId(3), Candidate { up: false, ..nodes[&NodeId(3)] });
    assert_eq!(
        remedies(&config, &nodes, &[on(1), new()], 1, 3),
        ["the node took part", "the node came first among its preferred owners"]
    );
    let room = limited(3, 4, 2, None);
    assert_eq!(
        remedies(&room, &all_open(2), &[on(1), on(1), new()], 2, 1),
        ["the node had 2 more of cpu", "the node came first among its preferred owners"]
    );
}

#[test]
fn the_fewest_rules_in_conflict_are_named() {
    let together =
        Says::Together { groups: vec![GroupId(1), GroupId(2)], strict: true, by: By::Node };
    let says =
        vec![after(3, 1), together, apart(&[3, 2], false), apart(&[1, 2], true), near(4, 1, 10)];
    let config = cluster(3, groups(4), says, Policy::default());
    let conflict = conflict(&config).expect("they cannot be on one node and apart");
    assert_eq!((conflict.rules, conflict.room), (vec![1, 3], false));
    let fine = cluster(3, groups(4), vec![apart(&[1, 2, 3], true)], Policy::default());
    assert_eq!(super::super::conflict(&fine), None);
    let four = cluster(3, groups(4), vec![apart(&[1, 2, 3, 4], true)], Policy::default());
    assert_eq!(super::super::conflict(&four).map(|one| one.rules), Some(vec![0]));
}

#[test]
fn too_little_room_is_a_conflict_without_rules() {
    let conflict = conflict(&limited(5, 5, 2, None)).expect("there is room for four");
    assert_eq!((conflict.rules, conflict.room), (vec![], true));
}

#[test]
fn the_largest_loads_are_placed_first() {
    let mut all = groups(4);
    for (group, load) in all.iter_mut().zip([1, 1, 2, 4]) {
        group.wishes.load = BTreeMap::from([("cpu".to_owned(), load)]);
    }
    let policy = Policy { balance: Balance::Load, ..Policy::default() };
    let config = cluster(2, all, vec![], policy);
    assert_eq!(placed(&config, &all_open(2), &vec![new(); 4]), [2, 2, 2, 1]);
}

#[test]
fn apart_by_rack_takes_another_rack_and_together_by_site_the_same_site() {
    // Nodes 1 and 3 stand in one rack, 2 and 4 in another; 1 to 3 on one site.
    let says = Says::Apart { groups: vec![GroupId(1), GroupId(2)], strict: true, by: By::Rack };
    let config = cluster(4, groups(2), vec![says], Policy::default());
    assert_eq!(placed(&config, &all_open(4), &[on(1), on(3)]), [1, 2]);
    let says = Says::Together { groups: vec![GroupId(1), GroupId(2)], strict: true, by: By::Site };
    let config = cluster(4, groups(2), vec![says], Policy::default());
    assert_eq!(placed(&config, &all_open(4), &[on(1), on(4)]), [1, 2]);
}

#[test]
fn who_has_to_leave_pushes_nobody_of_its_own_priority_aside() {
    let leaving = |keeps| {
        let mut nodes = all_open(3);
        nodes.insert(NodeId(1), Candidate { paused: true, keeps, ..nodes[&NodeId(1)] });
        nodes
    };
    let now = [on(1), on(2), on(3)];
    let config = cluster(3, groups(3), vec![apart(&[1, 2, 3], true)], Policy::default());
    assert_eq!(placed(&config, &leaving(Keeps::Stranded), &now), [1, 2, 3]);
    assert_eq!(placed(&config, &leaving(Keeps::Nothing), &now), [0, 2, 3]);
    let full = limited(3, 6, 3, None);
    assert_eq!(placed(&full, &leaving(Keeps::Stranded), &now), [1, 2, 3]);
    assert_eq!(placed(&full, &leaving(Keeps::Nothing), &now), [0, 2, 3]);
    let mut all = groups(3);
    all[0].wishes.priority = 1;
    let higher = cluster(3, all, vec![apart(&[1, 2, 3], true)], Policy::default());
    assert_eq!(placed(&higher, &leaving(Keeps::Nothing), &now)[0], 2);
}

#[test]
fn an_earlier_group_makes_way_to_the_rack_of_the_only_node_of_a_later_one() {
    let mut all = groups(2);
    all[0].wishes.priority = 1;
    all[1].possible_owners = vec![NodeId(2)];
    let says = Says::Together { groups: vec![GroupId(1), GroupId(2)], strict: true, by: By::Rack };
    let config = cluster(4, all, vec![says], Policy::default());
    assert_eq!(placed(&config, &all_open(4), &[new(), new()]), [2, 2]);
    assert_eq!(conflict(&config), None);
}

#[test]
fn the_group_of_a_conflict_is_one_that_its_rules_leave_out() {
    let both = vec![GroupId(2), GroupId(3)];
    let together = Says::Together { groups: both, strict: true, by: By::Node };
    let config = cluster(
        3,
        groups(3),
        vec![near(1, 2, SCORE_MUST), together, apart(&[2, 3], true)],
        Policy::default(),
    );
    let found = conflict(&config).expect("two are to be together and apart");
    assert_eq!(found, Conflict { group: GroupId(2), rules: vec![1, 2], room: false });
}

#[test]
fn a_conflict_among_hundreds_of_rules_is_found() {
    let mut says: Vec<Says> = (2..=200).map(|id| near(id, id - 1, SCORE_MUST)).collect();
    says.push(apart(&[1, 200], true));
    let config = cluster(3, groups(200), says, Policy::default());
    let found = conflict(&config).expect("the last is with the first, and apart from it");
    assert_eq!(found.rules, (0..200).collect::<Vec<u32>>(), "none can be left out");
    let says = vec![near(200, 199, SCORE_MUST), apart(&[1, 200], true)];
    let config = cluster(3, groups(200), says, Policy::default());
    assert_eq!(
        conflict(&config),
        None,
        "whoever comes first leaves a node to those that come with another"
    );
}
