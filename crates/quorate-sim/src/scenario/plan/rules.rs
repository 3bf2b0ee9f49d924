//! Rules: scores of nodes. What is about two groups is not there yet.

use std::collections::BTreeMap;

use super::super::model::{Rule, Scenario, Score, Story};
use super::{Missing, Scores};

/// The score of every node for every group that a rule names; a group or a member.
pub(super) fn scores(scenario: &Scenario) -> Result<Scores, Missing> {
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
            Rule::Affinity { groups, .. } if is_of_one(scenario, groups) => {}
            Rule::Affinity { together: true, .. } => return Err(Missing::new("keep-together")),
            Rule::Affinity { together: false, .. } => return Err(Missing::new("keep-apart")),
            Rule::Colocation { .. } => return Err(Missing::new("colocation")),
            Rule::Order { first, .. } if first.len() > 1 => return Err(Missing::new("order_any")),
            Rule::Order { .. } => return Err(Missing::new("order between groups")),
        }
    }
    Ok(scores)
}

/// A rule about one group alone says nothing.
fn is_of_one(scenario: &Scenario, groups: &[String]) -> bool {
    matches!(scenario.story, Story::Timeline { .. }) && groups.iter().all(|name| *name == groups[0])
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
