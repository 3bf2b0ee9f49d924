//! How a cluster stands, apart from the engine: what another configuration would change is asked of it.

use std::collections::BTreeMap;

use super::{Candidate, NotHere, Now, place, plan};
use crate::config::{Amounts, ClusterConfig, GroupConfig};
use crate::id::{GroupId, NodeId};

/// Of so many groups that would go elsewhere the reasons are looked for.
const REASONS_MAX: usize = 100;

/// As [`Now`], but it borrows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stance {
    /// See [`Now::wanted`].
    pub wanted: bool,
    /// See [`Now::at`].
    pub at: Option<NodeId>,
    /// See [`Now::runs`].
    pub runs: bool,
    /// See [`Now::fixed`].
    pub fixed: bool,
    /// See [`Now::home`].
    pub home: Option<NodeId>,
    /// See [`Now::stays`].
    pub stays: bool,
    /// See [`Now::avoids`].
    pub avoids: Vec<NodeId>,
    /// See [`Now::banned`].
    pub banned: Vec<NodeId>,
    /// See [`Now::load`].
    pub load: Option<Amounts>,
}

impl Stance {
    /// Of a group that the database does not hold yet.
    pub fn fresh(group: &GroupConfig) -> Self {
        Self { wanted: group.auto_start, at: group.initial_owner, ..Self::default() }
    }

    fn now(&self) -> Now<'_> {
        Now {
            wanted: self.wanted,
            at: self.at,
            runs: self.runs,
            fixed: self.fixed,
            home: self.home,
            stays: self.stays,
            avoids: &self.avoids,
            banned: self.banned.clone(),
            load: self.load.as_ref(),
        }
    }
}

impl From<Now<'_>> for Stance {
    fn from(now: Now<'_>) -> Self {
        Self {
            wanted: now.wanted,
            at: now.at,
            runs: now.runs,
            fixed: now.fixed,
            home: now.home,
            stays: now.stays,
            avoids: now.avoids.to_vec(),
            banned: now.banned,
            load: now.load.cloned(),
        }
    }
}

/// A cluster at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// The configuration in force.
    pub config: ClusterConfig,
    /// Its number; 0: it is not known.
    pub version: u64,
    /// The nodes.
    pub nodes: BTreeMap<NodeId, Candidate>,
    /// The groups.
    pub groups: BTreeMap<GroupId, Stance>,
}

/// What becomes of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The group.
    pub group: GroupId,
    /// Where it belongs as it is; none: nowhere.
    pub from: Option<NodeId>,
    /// Where it would belong; none: nowhere.
    pub to: Option<NodeId>,
    /// Whether it runs.
    pub runs: bool,
    /// For each node but `to`, why not there. Empty where very many groups go elsewhere.
    pub others: BTreeMap<NodeId, NotHere>,
}

impl Outlook {
    /// Which groups would belong elsewhere if `next` were in force, in its order; and those that it brings and nowhere
    /// can run.
    pub fn effects(&self, next: &ClusterConfig) -> Vec<Effect> {
        let stances = |config: &ClusterConfig| -> Vec<Stance> {
            let of_group = |group: &GroupConfig| {
                let known = self.groups.get(&group.id);
                known.cloned().unwrap_or_else(|| Stance::fresh(group))
            };
            config.groups().iter().map(of_group).collect()
        };
        let (old, new) = (stances(&self.config), stances(next));
        let old_now: Vec<Now<'_>> = old.iter().map(Stance::now).collect();
        let new_now: Vec<Now<'_>> = new.iter().map(Stance::now).collect();
        let before = plan(&self.config, &self.nodes, &old_now);
        let after = plan(next, &self.nodes, &new_now);
        let mut effects = Vec::new();
        for (at, group) in next.groups().iter().enumerate() {
            let was = self.config.place_of(group.id);
            let from = was.and_then(|was| before.node(was));
            let to = after.node(at);
            let stance = &new[at];
            let is_stranded = was.is_none() && stance.wanted && to.is_none();
            if from == to && !is_stranded {
                continue;
            }
            let others = if effects.len() < REASONS_MAX {
                place(next, &self.nodes, &new_now, at).others
            } else {
                BTreeMap::new()
            };
            effects.push(Effect { group: group.id, from, to, runs: stance.runs, others });
        }
        effects
    }
}
