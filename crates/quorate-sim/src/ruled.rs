//! Rules between the groups of a drawn cluster, and limits of its nodes: what a seed draws leaves a place for each
//! group when every node runs.

use quorate_core::config::{
    Amounts, By, ClusterParts, OrderAct, OrderKind, Rule, SCORE_MUST, Says,
};
use quorate_core::id::GroupId;
use quorate_core::random::Random;

/// What a node has room for; the first has a quarter of it. Groups use at most half: as long as two nodes can hold two
/// each, all fit.
const ROOM: u64 = 4;

/// Draws them.
pub(crate) fn rule(random: &mut Random, parts: &mut ClusterParts) {
    let ids: Vec<GroupId> = parts.groups.iter().map(|group| group.id).collect();
    let [one, two, ..] = ids[..] else { return };
    let most = parts.nodes.len().min(ids.len());
    let kind = random.below(6);
    let (score, influence) = (SCORE_MUST, random.chance(1, 2));
    let says = match kind {
        0 => Says::Apart { groups: ids[..most].to_vec(), strict: true, by: By::Node },
        1 => Says::Together { groups: vec![one, two], strict: true, by: By::Node },
        2 => Says::Near { group: two, with: one, score, influence },
        3 => Says::Apart { groups: ids[..most].to_vec(), strict: false, by: By::Node },
        4 => Says::Order {
            first: vec![one],
            then: two,
            kind: OrderKind::Mandatory,
            symmetrical: random.chance(1, 2),
            first_act: OrderAct::Start,
            then_act: OrderAct::Start,
        },
        _ => return limit(random, parts),
    };
    // Whoever is bound to another may run everywhere.
    match kind {
        0..=2 => parts.groups.iter_mut().for_each(|group| group.possible_owners.clear()),
        _ => limit(random, parts),
    }
    parts.rules.push(Rule { name: "drawn".into(), says });
}

fn limit(random: &mut Random, parts: &mut ClusterParts) {
    parts.policy.limited = true;
    let amount = |much: u64| Amounts::from([("mem".to_owned(), much)]);
    for (place, node) in parts.nodes.iter_mut().enumerate() {
        node.capacity = amount(if place == 0 { ROOM / 4 } else { ROOM });
    }
    for group in &mut parts.groups {
        group.possible_owners.clear();
        group.wishes.uses = amount(1 + random.below(ROOM / 2));
    }
}
