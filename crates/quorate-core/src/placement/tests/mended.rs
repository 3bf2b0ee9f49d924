//! A plan that is kept is the one from scratch, whatever changes.

use super::*;
use crate::config::{Balance, By};

/// What changes in a cluster, with numbers that are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Node {
        node: usize,
        candidate: Candidate,
    },
    Group {
        group: usize,
        now: Now,
    },
    /// What the plan says comes true.
    Follow,
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let keeps =
        prop_oneof![4 => Just(Keeps::All), 1 => Just(Keeps::Stranded), 1 => Just(Keeps::Nothing)];
    (prop::bool::weighted(0.8), prop::bool::weighted(0.9), prop::bool::weighted(0.15), keeps)
        .prop_map(|(up, heard, paused, keeps)| Candidate { up, heard, paused, keeps })
}

fn node_id() -> impl Strategy<Value = NodeId> {
    (1u16..=5).prop_map(NodeId)
}

fn now() -> impl Strategy<Value = Now> {
    let few = || prop_oneof![4 => Just(vec![]), 1 => proptest::collection::vec(node_id(), 1..3)];
    let home = prop_oneof![5 => Just(None), 1 => node_id().prop_map(Some)];
    let at = prop_oneof![1 => Just(None), 4 => node_id().prop_map(Some)];
    let flag = prop::bool::weighted;
    let more = (flag(0.1), flag(0.1), flag(0.1), few(), few());
    (flag(0.9), at, flag(0.8), flag(0.1), home, few(), more).prop_map(
        |(
            wanted,
            at,
            runs,
            fixed,
            home,
            avoids,
            (stays, under_way, recovers, banned, unreached),
        )| {
            let runs = runs && at.is_some();
            let load = None;
            let more = Now { unreached, avoids, banned, load, ..Now::default() };
            Now { wanted, at, runs, under_way, recovers, fixed, home, stays, ..more }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let node =
        (0usize..5, candidate()).prop_map(|(node, candidate)| Step::Node { node, candidate });
    let group = (0usize..12, now()).prop_map(|(group, now)| Step::Group { group, now });
    prop_oneof![2 => node, 4 => group, 1 => Just(Step::Follow)]
}

pub(super) fn any_group(id: u32) -> impl Strategy<Value = GroupConfig> {
    let owners = || {
        prop_oneof![3 => Just(vec![]), 1 => proptest::collection::btree_set(node_id(), 1..4)
        .prop_map(|nodes| nodes.into_iter().collect::<Vec<NodeId>>())]
    };
    let score = prop_oneof![Just(SCORE_NEVER), -5i32..20, Just(SCORE_MUST)];
    let scores = proptest::collection::btree_map(node_id(), score, 0..3);
    (owners(), owners(), scores, any::<bool>(), 0i32..3, 0i32..2, 0u64..5).prop_map(
        move |(possible, preferred, scores, failback, stickiness, priority, cpu)| {
            let may = |node: &NodeId| possible.is_empty() || possible.contains(node);
            let wishes = Wishes {
                priority,
                uses: BTreeMap::from([("cpu".to_owned(), cpu)]),
                ..Wishes::default()
            };
            GroupConfig {
                preferred_owners: preferred.into_iter().filter(may).collect(),
                possible_owners: possible,
                scores,
                failback,
                stickiness,
                wishes,
                ..group(id)
            }
        },
    )
}

/// About groups up to this one.
pub(super) fn any_rule(last: u32) -> impl Strategy<Value = Says> {
    let id = move || 1u32..=last;
    let many = move || {
        proptest::collection::btree_set((1u32..=last).prop_map(GroupId), 2..4)
            .prop_map(|groups| groups.into_iter().collect::<Vec<GroupId>>())
    };
    let score = prop_oneof![Just(SCORE_NEVER), -5i32..20, Just(SCORE_MUST)];
    prop_oneof![
        (many(), any::<bool>(), by()).prop_map(|(groups, strict, by)| Says::Apart {
            groups,
            strict,
            by
        }),
        (many(), any::<bool>(), by()).prop_map(|(groups, strict, by)| Says::Together {
            groups,
            strict,
            by
        }),
        (id(), id(), score, any::<bool>())
            .prop_filter("two groups", |(a, b, _, _)| a != b)
            .prop_map(|(group, with, score, influence)| Says::Near {
                group: GroupId(group),
                with: GroupId(with),
                score,
                influence,
            }),
        (id(), id()).prop_filter("in a row", |(a, b)| a < b).prop_map(|(a, b)| after(a, b)),
    ]
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![2 => Just(By::Node), 1 => Just(By::Rack), 1 => Just(By::Site)]
}

pub(super) fn any_policy() -> impl Strategy<Value = Policy> {
    let balance = prop_oneof![
        3 => Just(Balance::Groups),
        1 => Just(Balance::Load),
        1 => Just(Balance::Room),
        1 => Just(Balance::Few),
    ];
    (balance, prop::bool::weighted(0.2), prop::bool::weighted(0.2)).prop_map(
        |(balance, limited, balance_on_start)| Policy {
            balance,
            limited,
            balance_on_start,
            ..Policy::default()
        },
    )
}

#[test]
fn a_group_leaves_a_node_that_others_who_cannot_leave_have_filled() {
    let wishes =
        |cpu| Wishes { uses: BTreeMap::from([("cpu".to_owned(), cpu)]), ..Wishes::default() };
    let all =
        [(1, 3), (2, 4), (3, 4)].map(|(id, cpu)| GroupConfig { wishes: wishes(cpu), ..group(id) });
    let config =
        cluster(2, all.to_vec(), Vec::new(), Policy { limited: true, ..Policy::default() });
    let left_alone = Now { wanted: false, fixed: true, ..on(1) };
    let now = vec![on(1), left_alone.clone(), left_alone];
    let plan = plan(&config, &all_open(2), now);
    assert_eq!(plan.node(0), Some(NodeId(2)));
}

proptest! {
    #[test]
    fn a_mended_plan_is_the_one_from_scratch(
        all in (1u32..=12).map(any_group).collect::<Vec<_>>(),
        says in proptest::collection::vec(any_rule(12), 0..5),
        policy in any_policy(),
        steps in proptest::collection::vec(step(), 1..30),
    ) {
        let config = cluster(5, all, says, policy);
        let mut nodes = all_open(5);
        let mut now = vec![new(); 12];
        let mut planner = Planner::new(&config, &nodes, now.clone());
        for step in steps {
            match step {
                Step::Node { node, candidate } => {
                    let id = NodeId(node as u16 + 1);
                    nodes.insert(id, candidate);
                    planner.set_node(id, candidate);
                }
                Step::Group { group, now: one } => {
                    now[group] = one.clone();
                    planner.set_group(&config, group, one);
                }
                Step::Follow => {
                    for (group, now) in now.iter_mut().enumerate() {
                        let at = planner.node(group);
                        *now = Now { at, runs: at.is_some(), ..now.clone() };
                        planner.set_group(&config, group, now.clone());
                    }
                }
            }
            planner.mend(&config);
            prop_assert_eq!(planner.plan(), plan(&config, &nodes, now.clone()));
        }
    }

    /// Whoever is asked about is looked at whole, also where it would be seen at a glance that it stays.
    #[test]
    fn what_stays_at_a_glance_stays_when_it_is_looked_at_whole(
        all in (1u32..=12).map(any_group).collect::<Vec<_>>(),
        says in proptest::collection::vec(any_rule(12), 0..2),
        policy in any_policy(),
        limited in any::<bool>(),
        candidates in proptest::collection::vec(candidate(), 5),
        now in proptest::collection::vec(now(), 12),
    ) {
        let config = cluster(5, all, says, Policy { limited, ..policy });
        let nodes: BTreeMap<NodeId, Candidate> = (1..=5).map(NodeId).zip(candidates).collect();
        let plan = plan(&config, &nodes, now.clone());
        for group in 0..now.len() {
            prop_assert_eq!(place(&config, &nodes, now.clone(), group).chosen, plan.node(group));
        }
    }
}
