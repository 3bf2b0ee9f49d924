//! Orders that lead back to their start.
//!
//! Whoever waits for one that waits for it waits for ever. Orders that are mandatory from start to start cannot do so:
//! a configuration in which they do is refused. All others give way, those that are less strict first, and of equal
//! ones those that stand later in the configuration: an order that closes a circle is not waited for, and of two groups
//! that must never act at once the other one goes first, where that closes none.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{OrderAct, OrderKind, Says};
use super::{ClusterParts, ConfigError, GroupConfig, ResourceConfig, SCORE_MUST};
use crate::id::{GroupId, ResourceId};

/// What becomes of an order that closes a circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is not waited for.
    Void,
    /// `first` waits for `then`.
    Reversed,
}

/// A group, and what it does.
type Act = (GroupId, OrderAct);
/// Who waits, and for whom.
type Wait = (Act, Act);

/// Where more acts than this wait for each other in circles, every order among them that gives way does: to look for
/// the fewest would take too long.
const KNOT_MAX: usize = 1_000;

const ACTS: [OrderAct; 2] = [OrderAct::Start, OrderAct::Stop];

/// The orders that close a circle, by their places among the rules.
pub(super) fn turns(parts: &ClusterParts) -> BTreeMap<usize, Turn> {
    let mut turns = BTreeMap::new();
    let rules = || parts.rules.iter().enumerate();
    if !rules().any(|(_, rule)| level(&rule.says).is_some_and(|level| level > 0)) {
        return turns;
    }
    let every: Vec<Wait> = rules().flat_map(|(_, rule)| waits(&rule.says, false)).collect();
    let knotted = knotted(&every);
    if knotted.is_empty() {
        return turns;
    }
    let small = knotted.len() <= KNOT_MAX;
    let mut graph = Graph::default();
    let within = |wait: &Wait| knotted.contains(&wait.0) && knotted.contains(&wait.1);
    for wanted in 0..=3 {
        for (place, rule) in rules().filter(|(_, rule)| level(&rule.says) == Some(wanted)) {
            let given: Vec<Wait> = waits(&rule.says, false).into_iter().filter(within).collect();
            if wanted == 0 || given.is_empty() || small && graph.takes(&given) {
                graph.add(&given);
                continue;
            }
            let other: Vec<Wait> = waits(&rule.says, true).into_iter().filter(within).collect();
            let serial = matches!(rule.says, Says::Order { kind: OrderKind::Serialize, .. });
            if serial && small && graph.takes(&other) {
                graph.add(&other);
                turns.insert(place, Turn::Reversed);
            } else {
                turns.insert(place, Turn::Void);
            }
        }
    }
    turns
}

/// How easily a rule gives way; none: nobody waits because of it. 0: never.
fn level(says: &Says) -> Option<u8> {
    match says {
        Says::Near { score, .. } => (*score >= SCORE_MUST).then_some(0),
        Says::Order { kind: OrderKind::Serialize, .. } => Some(3),
        Says::Order { kind: OrderKind::Optional, .. } => Some(2),
        Says::Order { first_act: OrderAct::Start, then_act: OrderAct::Start, .. } => Some(0),
        Says::Order { .. } => Some(1),
        Says::Together { .. } | Says::Apart { .. } => None,
    }
}

/// Who may have to wait for whom because of a rule; `reversed`: were it said the other way round.
fn waits(says: &Says, reversed: bool) -> Vec<Wait> {
    let start = |group: GroupId| (group, OrderAct::Start);
    let stop = |group: GroupId| (group, OrderAct::Stop);
    match says {
        Says::Near { group, with, score, .. } if *score >= SCORE_MUST => {
            vec![(start(*group), start(*with))]
        }
        Says::Order { first, then, kind: OrderKind::Serialize, .. } => {
            let both = |&one: &GroupId| {
                let (late, early) = if reversed { (one, *then) } else { (*then, one) };
                ACTS.map(|act| ACTS.map(|other| ((late, act), (early, other)))).concat()
            };
            first.iter().flat_map(both).collect()
        }
        Says::Order { first, then, kind, symmetrical, first_act, then_act } => {
            let mut waits: Vec<Wait> =
                first.iter().map(|&one| ((*then, *then_act), (one, *first_act))).collect();
            if *symmetrical && (*first_act, *then_act) == (OrderAct::Start, OrderAct::Start) {
                waits.extend(first.iter().map(|&one| (stop(one), stop(*then))));
                if *kind == OrderKind::Mandatory {
                    waits.extend(first.iter().map(|&one| (start(one), stop(*then))));
                }
            }
            waits
        }
        Says::Near { .. } | Says::Together { .. } | Says::Apart { .. } => Vec::new(),
    }
}

/// What lies on a circle, or between two of them: what is left when whoever waits for nobody, and whoever nobody waits
/// for, is taken out again and again.
fn knotted(waits: &[Wait]) -> BTreeSet<Act> {
    let mut left: BTreeSet<Act> = waits.iter().flat_map(|wait| [wait.0, wait.1]).collect();
    for forth in [true, false] {
        let (mut count, mut of): (BTreeMap<Act, usize>, BTreeMap<Act, Vec<Act>>) =
            Default::default();
        for &(late, early) in
            waits.iter().filter(|one| left.contains(&one.0) && left.contains(&one.1))
        {
            let (from, to) = if forth { (late, early) } else { (early, late) };
            *count.entry(from).or_default() += 1;
            of.entry(to).or_default().push(from);
        }
        let mut free: Vec<Act> =
            left.iter().copied().filter(|act| !count.contains_key(act)).collect();
        while let Some(act) = free.pop() {
            left.remove(&act);
            for from in of.get(&act).into_iter().flatten() {
                let more = count.get_mut(from).expect("it was counted");
                *more -= 1;
                if *more == 0 {
                    free.push(*from);
                }
            }
        }
    }
    left
}

/// Who waits for whom by the rules that hold.
#[derive(Default)]
struct Graph {
    for_whom: BTreeMap<Act, Vec<Act>>,
}

impl Graph {
    fn add(&mut self, waits: &[Wait]) {
        for &(late, early) in waits {
            self.for_whom.entry(late).or_default().push(early);
        }
    }

    /// Whether none of these, all of them together, closes a circle.
    fn takes(&self, waits: &[Wait]) -> bool {
        waits.iter().all(|&(late, early)| {
            let mut seen: BTreeSet<Act> = BTreeSet::from([early]);
            let mut open: Vec<Act> = vec![early];
            while let Some(act) = open.pop() {
                if act == late {
                    return false;
                }
                let more = waits.iter().filter(|wait| wait.0 == act).map(|wait| &wait.1);
                let next = self.for_whom.get(&act).into_iter().flatten().chain(more);
                open.extend(next.filter(|next| seen.insert(**next)));
            }
            true
        })
    }
}

/// Refuses dependencies that lead back to their start, be it by one of several ways: nothing in such a circle could
/// ever stop in order.
pub(super) fn check_order(group: &GroupConfig, place: &str) -> Result<(), ConfigError> {
    let mut started: BTreeSet<ResourceId> = BTreeSet::new();
    loop {
        let ready = |resource: &&ResourceConfig| {
            !started.contains(&resource.id) && resource.grounds().all(|id| started.contains(&id))
        };
        match group.resources.iter().find(ready) {
            Some(next) => started.insert(next.id),
            None => break,
        };
    }
    match group.resources.iter().find(|resource| !started.contains(&resource.id)) {
        None => Ok(()),
        Some(stuck) => Err(ConfigError::new(
            format!("{place}.{}.depends_on", stuck.name),
            "its dependencies lead back to itself",
            "take one of them out",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Policy, Rule, TimingInputs};
    use crate::id::ClusterId;

    fn order(first: u32, then: u32, kind: OrderKind) -> Says {
        Says::Order {
            first: vec![GroupId(first)],
            then: GroupId(then),
            kind,
            symmetrical: kind != OrderKind::Serialize,
            first_act: OrderAct::Start,
            then_act: OrderAct::Start,
        }
    }

    fn turned(says: &[Says]) -> Vec<(usize, Turn)> {
        let rule = |says: &Says| Rule { name: "r".into(), says: says.clone() };
        let parts = ClusterParts {
            witness: None,
            fence_agents: Vec::new(),
            name: "c".into(),
            id: ClusterId(1),
            timing: TimingInputs::DEFAULT,
            nodes: Vec::new(),
            luns: Vec::new(),
            groups: Vec::new(),
            rules: says.iter().map(rule).collect(),
            policy: Policy::default(),
        };
        turns(&parts).into_iter().collect()
    }

    #[test]
    fn a_ring_that_is_too_long_to_be_looked_at_closely_gives_way_as_a_whole() {
        let ring = |count: u32| -> Vec<Says> {
            (0..count).map(|one| order(one, (one + 1) % count, OrderKind::Optional)).collect()
        };
        assert_eq!(turned(&ring(100)), [(99, Turn::Void)]);
        assert_eq!(turned(&ring(100_000)).len(), 100_000);
    }

    #[test]
    fn of_orders_in_a_circle_the_least_strict_and_then_the_last_gives_way() {
        use OrderKind::{Mandatory, Optional, Serialize};
        type Case<'a> = (&'a [Says], &'a [(usize, Turn)]);
        let cases: [Case<'_>; 7] = [
            (&[order(1, 2, Optional), order(2, 3, Optional)], &[]),
            (&[order(1, 2, Optional), order(2, 1, Optional)], &[(1, Turn::Void)]),
            (&[order(1, 2, Optional), order(2, 1, Mandatory)], &[(0, Turn::Void)]),
            (&[order(1, 2, Serialize), order(2, 1, Serialize)], &[(1, Turn::Reversed)]),
            (&[order(1, 2, Serialize), order(2, 1, Mandatory)], &[(0, Turn::Reversed)]),
            (
                &[order(1, 2, Optional), order(2, 3, Optional), order(3, 1, Optional)],
                &[(2, Turn::Void)],
            ),
            // What hangs on a circle, or leads to one, is as it was.
            (
                &[
                    order(1, 2, Optional),
                    order(2, 1, Optional),
                    order(2, 5, Optional),
                    order(6, 1, Serialize),
                ],
                &[(1, Turn::Void)],
            ),
        ];
        for (says, expected) in cases {
            assert_eq!(turned(says), expected, "{says:?}");
        }
    }
}
