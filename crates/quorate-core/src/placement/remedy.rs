//! What would have to change for a group to be on a node: the counterfactual.

use std::collections::BTreeMap;
use std::fmt;

use super::{Candidate, Keeps, NotHere, Now, place, score};
use crate::config::{ClusterConfig, ClusterParts, SCORE_NEVER, Says};
use crate::id::NodeId;

/// How many obstacles, one behind the other, are looked behind.
const STEPS_MAX: usize = 32;

/// One thing that would have to be otherwise. Its words stand after "it would be there if".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The node took part.
    NodeUp,
    /// The node were neither paused, nor in quarantine, nor being emptied.
    Resumed,
    /// The node were a possible owner, with no score of "never".
    Possible,
    /// The group's failures there were forgotten.
    Forgiven,
    /// It reached the LUNs of the group.
    Reached,
    /// The group were not held where it is.
    Released,
    /// The node had so much more of this.
    Room {
        /// Of what.
        kind: String,
        /// How much more.
        more: u64,
    },
    /// There were no such rule. Its place in the configuration, and its name.
    WithoutRule(u32, String),
    /// Its score for the node were this.
    Score(i32),
    /// The node came first among its preferred owners.
    Preferred,
    /// Somebody moved it there: by itself it does not leave the node that has it.
    Moved,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remedy::NodeUp => f.write_str("the node took part"),
            Remedy::Resumed => f.write_str("the node were resumed"),
            Remedy::Possible => f.write_str("the node were a possible owner"),
            Remedy::Reached => f.write_str("the node reached its LUNs"),
            Remedy::Forgiven => f.write_str("its failures there were forgotten"),
            Remedy::Released => f.write_str("it were not held where it is"),
            Remedy::Room { kind, more } => write!(f, "the node had {more} more of {kind}"),
            Remedy::WithoutRule(_, name) => write!(f, "there were no rule {name}"),
            Remedy::Score(score) => write!(f, "its score for the node were {score}"),
            Remedy::Preferred => f.write_str("the node came first among its preferred owners"),
            Remedy::Moved => f.write_str("somebody moved it there"),
        }
    }
}

/// The cluster as it might be.
#[derive(Clone)]
struct Might {
    parts: ClusterParts,
    nodes: BTreeMap<NodeId, Candidate>,
    now: Vec<Now>,
    group: usize,
    node: NodeId,
}

/// The fewest changes, of those that lie in the way one behind the other, with which the group would be on the node:
/// none of them can be left out. Empty: it is there already. None: no way was found, or there is no such node.
pub fn counterfactual(
    config: &ClusterConfig,
    nodes: &BTreeMap<NodeId, Candidate>,
    now: Vec<Now>,
    group: usize,
    node: NodeId,
) -> Option<Vec<Remedy>> {
    if group >= now.len() || !nodes.contains_key(&node) {
        return None;
    }
    let parts = ClusterParts::from(config.clone());
    let mut as_is = Might { parts, nodes: nodes.clone(), now, group, node };
    as_is.now[group].wanted = true;
    let mut remedies: Vec<Remedy> = Vec::new();
    let mut might = as_is.clone();
    while let Some(why) = might.why_not()? {
        let remedy = might.remedy(why, config)?;
        if remedies.len() == STEPS_MAX || remedies.contains(&remedy) {
            return None;
        }
        might.apply(&remedy, config);
        remedies.push(remedy);
    }
    // What was in the way first may not be in the way of the rest.
    let mut at = 0;
    while at < remedies.len() {
        let mut without = as_is.clone();
        let others = remedies.iter().enumerate().filter(|(other, _)| *other != at);
        others.for_each(|(_, remedy)| without.apply(remedy, config));
        if without.why_not() == Some(None) {
            remedies.remove(at);
        } else {
            at += 1;
        }
    }
    Some(remedies)
}

impl Might {
    /// Why the group is not on the node; none inside: it is. None outside: such a cluster cannot be.
    fn why_not(&self) -> Option<Option<NotHere>> {
        let config = ClusterConfig::new(self.parts.clone()).ok()?;
        let placement = place(&config, &self.nodes, self.now.clone(), self.group);
        if placement.chosen == Some(self.node) {
            return Some(None);
        }
        placement.others.get(&self.node).copied().map(Some)
    }

    fn remedy(&self, why: NotHere, config: &ClusterConfig) -> Option<Remedy> {
        let group = &self.parts.groups[self.group];
        let now = &self.now[self.group];
        Some(match why {
            NotHere::NotUp => Remedy::NodeUp,
            NotHere::Paused | NotHere::Emptied | NotHere::Quarantined => Remedy::Resumed,
            NotHere::NotPossible => Remedy::Possible,
            NotHere::Banned | NotHere::FailedThere => Remedy::Forgiven,
            NotHere::Unreached => Remedy::Reached,
            NotHere::Fixed => Remedy::Released,
            NotHere::NoRoom => self.lacks()?,
            // Rules that are taken out leave their places to others: the name stays.
            NotHere::Apart(rule) | NotHere::NotNear(rule) | NotHere::NothingBefore(rule) => {
                self.without(usize::try_from(rule).ok()?, config)?
            }
            NotHere::CompanionCannot => {
                self.first_rule(config, |says| matches!(says, Says::Together { strict: true, .. }))?
            }
            NotHere::HindersOthers => {
                self.first_rule(config, |says| matches!(says, Says::Near { .. }))?
            }
            NotHere::WorseCompany => self.first_rule(config, |says| {
                matches!(says, Says::Apart { .. } | Says::Together { .. })
            })?,
            NotHere::HasItNot if !group.failback || now.home.is_some() => Remedy::Moved,
            NotHere::LowerScore => {
                let highest = group.scores.iter().filter(|(node, _)| **node != self.node);
                let highest = highest.map(|(_, &score)| score).max().unwrap_or_default().max(0);
                let sticks = if now.runs { group.stickiness } else { 0 };
                Remedy::Score(highest.saturating_add(sticks).saturating_add(1))
            }
            NotHere::HasItNot if group.stickiness > 0 => {
                Remedy::Score(score(group, self.node).max(0).saturating_add(group.stickiness + 1))
            }
            NotHere::HasItNot
            | NotHere::LessPreferred
            | NotHere::MoreLoaded
            | NotHere::HigherNumber => Remedy::Preferred,
        })
    }

    /// What the node lacks for the group, were it alone with those that go there before it.
    fn lacks(&self) -> Option<Remedy> {
        let config = ClusterConfig::new(self.parts.clone()).ok()?;
        let plan = super::plan(&config, &self.nodes, self.now.clone());
        let capacity = &self.parts.nodes.iter().find(|node| node.id == self.node)?.capacity;
        let uses = &self.parts.groups[self.group].wishes.uses;
        uses.iter().find_map(|(kind, &amount)| {
            let there = (0..self.now.len()).filter(|&other| plan.node(other) == Some(self.node));
            let of = |other: usize| self.parts.groups[other].wishes.uses.get(kind).copied();
            let used: u64 = there.filter_map(of).fold(0, u64::saturating_add);
            let has = capacity.get(kind).copied().unwrap_or_default();
            let more = used.saturating_add(amount).saturating_sub(has);
            (more > 0).then(|| Remedy::Room { kind: kind.clone(), more })
        })
    }

    fn without(&self, rule: usize, config: &ClusterConfig) -> Option<Remedy> {
        let name = self.parts.rules.get(rule)?.name.clone();
        let place = config.rules().iter().position(|rule| rule.name == name)?;
        Some(Remedy::WithoutRule(u32::try_from(place).ok()?, name))
    }

    fn first_rule(&self, config: &ClusterConfig, is_it: impl Fn(&Says) -> bool) -> Option<Remedy> {
        let id = self.parts.groups[self.group].id;
        let names = |says: &Says| says.groups().any(|group| *group == id);
        let at = self.parts.rules.iter().position(|rule| is_it(&rule.says) && names(&rule.says))?;
        self.without(at, config)
    }

    fn apply(&mut self, remedy: &Remedy, config: &ClusterConfig) {
        let node = self.node;
        let group = &mut self.parts.groups[self.group];
        let now = &mut self.now[self.group];
        match remedy {
            Remedy::NodeUp | Remedy::Resumed => {
                if let Some(candidate) = self.nodes.get_mut(&node) {
                    match remedy {
                        Remedy::NodeUp => (candidate.up, candidate.heard) = (true, true),
                        _ => (candidate.paused, candidate.keeps) = (false, Keeps::All),
                    }
                }
            }
            Remedy::Possible => {
                if !group.possible_owners.is_empty() && !group.possible_owners.contains(&node) {
                    group.possible_owners.push(node);
                }
                group.scores.retain(|id, score| *id != node || *score > SCORE_NEVER);
            }
            Remedy::Forgiven => {
                now.avoids.retain(|id| *id != node);
                now.banned.retain(|id| *id != node);
            }
            Remedy::Reached => now.unreached.retain(|id| *id != node),
            Remedy::Released => now.fixed = false,
            Remedy::Room { kind, more } => {
                if let Some(node) = self.parts.nodes.iter_mut().find(|one| one.id == node) {
                    let has = node.capacity.entry(kind.clone()).or_default();
                    *has = has.saturating_add(*more);
                }
            }
            Remedy::WithoutRule(place, _) => {
                let name = usize::try_from(*place).ok().and_then(|place| config.rules().get(place));
                self.parts.rules.retain(|rule| Some(&rule.name) != name.map(|rule| &rule.name));
            }
            Remedy::Score(score) => {
                group.scores.insert(node, *score);
            }
            Remedy::Preferred => {
                group.preferred_owners.retain(|id| *id != node);
                group.preferred_owners.insert(0, node);
            }
            Remedy::Moved => {
                (now.at, now.home) = (Some(node), None);
            }
        }
    }
}
