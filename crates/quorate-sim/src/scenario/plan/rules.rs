//! Rules: scores of nodes, and what one group means for another.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::config::{By, OrderAct, OrderKind, Rule as CoreRule, SCORE_MUST, Says};
use quorate_core::id::GroupId;

use super::super::model::{self, Collection, OrderAction, Rule, Scenario, Score, Story};
use super::groups::number;
use super::{Planned, Scores};

/// The score of every node for every group that a rule names; a group or a member.
pub(super) fn scores(scenario: &Scenario) -> Scores {
    let mut scores = Scores::new();
    for rule in &scenario.rules {
        match rule {
            Rule::Owners { only, groups, nodes } => {
                for group in groups {
                    owners(scenario, *only, nodes, scores.entry(group.clone()).or_default());
                }
            }
            Rule::Location { group, node, score } => {
                add(scores.entry(group.clone()).or_default(), node, *score);
            }
            Rule::Affinity { .. } | Rule::Colocation { .. } | Rule::Order { .. } => {}
        }
    }
    scores
}

/// The rules between groups, and those that are in how the members of a group belong together.
pub(super) fn between(scenario: &Scenario, planned: &[Planned]) -> Vec<CoreRule> {
    let mut maker = Maker { scenario, planned, rules: Vec::new() };
    if let Story::Snapshot { groups, .. } = &scenario.story {
        groups.iter().for_each(|group| maker.members(group));
    }
    scenario.rules.iter().for_each(|rule| maker.rule(rule));
    maker.rules
}

/// What a name in a rule stands for.
struct Meant {
    parts: Vec<GroupId>,
    ordered: bool,
    collocated: bool,
}

impl Meant {
    fn first(&self) -> Vec<GroupId> {
        self.parts.first().copied().into_iter().collect()
    }

    fn last(&self) -> Vec<GroupId> {
        self.parts.last().copied().into_iter().collect()
    }
}

struct Maker<'a> {
    scenario: &'a Scenario,
    planned: &'a [Planned],
    rules: Vec<CoreRule>,
}

impl Maker<'_> {
    fn add(&mut self, says: Says) {
        let name = format!("rule-{}", self.rules.len() + 1);
        self.rules.push(CoreRule { name, says });
    }

    fn meant(&self, name: &str) -> Meant {
        let own = self.planned.iter().find(|one| one.name == name).map(|one| one.id);
        let in_it = self.planned.iter().filter(|one| one.of.as_deref() == Some(name));
        let parts: Vec<GroupId> = in_it.map(|one| one.id).collect();
        if parts.is_empty() {
            return Meant { parts: own.into_iter().collect(), ordered: true, collocated: true };
        }
        let (mut ordered, mut collocated) = (false, false);
        if let Story::Snapshot { groups, .. } = &self.scenario.story {
            let group = groups.iter().find(|group| group.name == name);
            ordered = group.is_some_and(|group| group.ordered);
            collocated = group.is_some_and(|group| group.collocated);
        }
        Meant { parts, ordered, collocated }
    }

    fn members(&mut self, group: &Collection) {
        let parts = self.meant(&group.name).parts;
        if group.single {
            return;
        }
        if group.collocated {
            for pair in parts.windows(2) {
                let (with, group) = (pair[0], pair[1]);
                let (score, influence) = (SCORE_MUST, true);
                self.add(Says::Near { group, with, score, influence });
            }
        }
        if group.ordered {
            // Each after all before it: the last stops first, though one between them may not run.
            for (place, &then) in parts.iter().enumerate() {
                for &before in &parts[..place] {
                    self.add(Says::Order {
                        first: vec![before],
                        then,
                        kind: OrderKind::Mandatory,
                        symmetrical: true,
                        first_act: OrderAct::Start,
                        then_act: OrderAct::Start,
                    });
                }
            }
        }
    }

    fn rule(&mut self, rule: &Rule) {
        match rule {
            Rule::Owners { .. } | Rule::Location { .. } => {}
            Rule::Affinity { together, groups, strict } => {
                let meant = groups.iter().map(|name| self.meant(name));
                let of = |meant: Meant| match (*together, meant.collocated) {
                    (false, true) => meant.first(),
                    _ => meant.parts,
                };
                let set: BTreeSet<GroupId> = meant.flat_map(of).collect();
                let (groups, strict) = (set.into_iter().collect(), *strict);
                self.add(match together {
                    true => Says::Together { groups, strict, by: By::Node },
                    false => Says::Apart { groups, strict, by: By::Node },
                });
            }
            Rule::Colocation { group, with, score, influence } => {
                let (group, with) = (self.meant(group), self.meant(with));
                let wants = if group.collocated { group.first() } else { group.parts };
                let must = *score == Score::MUST && with.collocated;
                let grounds = match (must, with.collocated) {
                    (true, _) => with.last(),
                    (false, true) => with.first(),
                    (false, false) if *score == Score::MUST => with.first(),
                    (false, false) => with.parts,
                };
                for &group in &wants {
                    for &with in grounds.iter().filter(|&&with| with != group) {
                        let (score, influence) = (number(*score), *influence);
                        self.add(Says::Near { group, with, score, influence });
                    }
                }
            }
            Rule::Order { first, then, kind, symmetrical, first_action, then_action } => {
                self.order(first, then, (*kind, *symmetrical), (*first_action, *then_action));
            }
        }
    }

    fn order(
        &mut self,
        first: &[String],
        then: &str,
        (kind, symmetrical): (model::OrderKind, bool),
        (first_action, then_action): (OrderAction, OrderAction),
    ) {
        let then = self.meant(then);
        let starts = |action: OrderAction| action == OrderAction::Start;
        let thens = match (then.ordered, starts(then_action)) {
            (true, true) => then.first(),
            (true, false) => then.last(),
            (false, _) => then.parts,
        };
        let whole = |meant: Meant| match (meant.ordered, starts(first_action)) {
            (true, true) => meant.last(),
            (true, false) => meant.first(),
            (false, _) => meant.parts,
        };
        // Any of several: one rule. All of one that is not ordered: a rule for each.
        let firsts: Vec<Vec<GroupId>> = match first {
            [one] => whole(self.meant(one)).into_iter().map(|one| vec![one]).collect(),
            many => vec![many.iter().flat_map(|one| whole(self.meant(one))).collect()],
        };
        for then in thens {
            for first in &firsts {
                let first: Vec<GroupId> =
                    first.iter().copied().filter(|&one| one != then).collect();
                if first.is_empty() {
                    continue;
                }
                self.add(Says::Order {
                    first,
                    then,
                    kind: match kind {
                        model::OrderKind::Mandatory => OrderKind::Mandatory,
                        model::OrderKind::Optional => OrderKind::Optional,
                        model::OrderKind::Serialize => OrderKind::Serialize,
                    },
                    symmetrical,
                    first_act: act(first_action),
                    then_act: act(then_action),
                });
            }
        }
    }
}

fn act(action: OrderAction) -> OrderAct {
    match action {
        OrderAction::Start => OrderAct::Start,
        OrderAction::Stop => OrderAct::Stop,
    }
}

/// Named nodes come before all others, in the order of their priorities.
fn owners(
    scenario: &Scenario,
    only: bool,
    nodes: &BTreeMap<String, i64>,
    scores: &mut BTreeMap<String, Score>,
) {
    let least = nodes.values().min().copied().unwrap_or_default();
    for node in &scenario.nodes {
        match nodes.get(&node.name) {
            Some(priority) => add(scores, &node.name, Score::of(1 + priority - least)),
            None if only => add(scores, &node.name, Score::NEVER),
            None => {}
        }
    }
}

fn add(scores: &mut BTreeMap<String, Score>, node: &str, score: Score) {
    let sum = scores.entry(node.to_owned()).or_default();
    *sum = sum.and(score);
}
