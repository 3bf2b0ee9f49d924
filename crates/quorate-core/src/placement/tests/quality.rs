//! How good plans are, against the best of all that there are.

use super::*;
use crate::config::Balance;

/// Everything that can be said about one group in a small instance.
#[derive(Clone, Debug)]
struct Small {
    possible: Vec<NodeId>,
    cpu: u64,
}

fn small(nodes: u16) -> impl Strategy<Value = Small> {
    let some =
        proptest::collection::btree_set((1..=nodes).prop_map(NodeId), 1..=usize::from(nodes));
    let possible =
        prop_oneof![1 => Just(Vec::new()), 1 => some.prop_map(|some| some.into_iter().collect())];
    (possible, 1u64..=6).prop_map(|(possible, cpu)| Small { possible, cpu })
}

fn instance(nodes: u16, all: &[Small], apart: Vec<Vec<u32>>, policy: Policy) -> ClusterConfig {
    let groups = all.iter().zip(1..).map(|(small, id)| {
        let amounts = BTreeMap::from([("cpu".to_owned(), small.cpu)]);
        let wishes = Wishes { uses: amounts.clone(), load: amounts, ..Wishes::default() };
        GroupConfig { possible_owners: small.possible.clone(), wishes, ..group(id) }
    });
    let says = apart.iter().map(|ids| super::apart(ids, true));
    cluster(nodes, groups.collect(), says.collect(), policy)
}

/// Every way to place all groups by the rules, as what each node has of cpu; the least of `worst` of these. None: there
/// is no way.
fn best(
    config: &ClusterConfig,
    nodes: u16,
    placed: &mut Vec<NodeId>,
    worst: &dyn Fn(&[u64]) -> u64,
) -> Option<u64> {
    let of = |group: usize| config.groups()[group].wishes.uses["cpu"];
    if placed.len() == config.groups().len() {
        let on = |node: u16| -> u64 {
            let there = placed.iter().enumerate().filter(|(_, at)| at.0 == node);
            there.map(|(group, _)| of(group)).sum()
        };
        let all: Vec<u64> = (1..=nodes).map(on).collect();
        return Some(worst(&all));
    }
    let group = placed.len();
    let fits = |node: NodeId, placed: &[NodeId]| {
        let there = || placed.iter().enumerate().filter(|(_, at)| **at == node).map(|(one, _)| one);
        let used: u64 = there().map(of).sum();
        let apart = |says: &Says, other: usize| match says {
            Says::Apart { groups, .. } => {
                let named = |one: usize| groups.contains(&config.groups()[one].id);
                named(group) && named(other)
            }
            _ => false,
        };
        let together = |other: usize| config.rules().iter().any(|rule| apart(&rule.says, other));
        is_possible(&config.groups()[group], node)
            && (!config.policy().limited || used + of(group) <= 10)
            && !there().any(together)
    };
    let open: Vec<NodeId> = (1..=nodes).map(NodeId).filter(|&node| fits(node, placed)).collect();
    open.into_iter()
        .filter_map(|node| {
            placed.push(node);
            let found = best(config, nodes, placed, worst);
            placed.pop();
            found
        })
        .min()
}

fn sets(of: u32) -> impl Strategy<Value = Vec<Vec<u32>>> {
    let set =
        proptest::collection::btree_set(1..=of, 2..4).prop_map(|set| set.into_iter().collect());
    proptest::collection::vec(set, 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_can_be_placed_is_placed(
        all in proptest::collection::vec(small(3), 1..8),
        apart in sets(7),
    ) {
        let policy = Policy { limited: true, ..Policy::default() };
        let config = instance(3, &all, apart, policy);
        let places = placed(&config, &all_open(3), &vec![new(); all.len()]);
        let possible = best(&config, 3, &mut Vec::new(), &|_| 0).is_some();
        prop_assert_eq!(!places.contains(&0), possible, "{:?}", places);
    }
}

#[test]
fn the_most_loaded_node_has_no_more_than_it_must() {
    const INSTANCES: u64 = 500;
    // By the bits of a number; none and all of them: every node.
    let owners = |bits: u64| {
        let chosen = (1..=3).filter(|node| bits >> (node - 1) & 1 == 1);
        chosen.map(NodeId).collect::<Vec<NodeId>>()
    };
    let mut state: u64 = 11;
    let mut draw = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..INSTANCES {
        let count = 6 + draw(3);
        let one = |_| Small { possible: owners(draw(8)), cpu: 1 + draw(6) };
        let all: Vec<Small> = (0..count).map(one).collect();
        for balance in [Balance::Load, Balance::Groups] {
            let policy = Policy { balance, ..Policy::default() };
            let all: Vec<Small> = match balance {
                Balance::Groups => all.iter().map(|one| Small { cpu: 1, ..one.clone() }).collect(),
                _ => all.clone(),
            };
            let config = instance(3, &all, vec![], policy);
            let places = placed(&config, &all_open(3), &vec![new(); all.len()]);
            let on = |node: u16| -> u64 {
                let there = all.iter().zip(&places).filter(|(_, at)| **at == node);
                there.map(|(small, _)| small.cpu).sum()
            };
            let most = |all: &[u64]| all.iter().copied().max().unwrap_or_default();
            let optimum = best(&config, 3, &mut Vec::new(), &most);
            assert_eq!((1..=3).map(on).max(), optimum, "{balance:?}: {all:?} go to {places:?}");
        }
    }
}
