//! Rules between groups, and the policies of the whole cluster.
//!
//! Few concepts that compose. Where a group may run, and how well a node suits it, stands with the group; what one
//! group means for another stands here:
//!
//! ```text
//! Together, Apart   sets of groups, on one node or on different ones
//! Near              where one is, another wants to be, or must, or must not
//! Order             one after the other, at the start and the other way round at the stop
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::circles::Turn;
use super::policy::{By, Hours, Limits, Quarantine};
use super::{ClusterParts, ConfigError, SCORE_MUST, SCORE_NEVER, check_name, check_unique};
use crate::id::GroupId;
use crate::plant::{self, Plant};

/// At most this many rules.
pub const RULES_MAX: usize = 400_000;

/// How much of each thing: of a node what it has, of a group what it uses. In any unit, the same for both.
pub type Amounts = BTreeMap<String, u64>;

/// One rule. Its name stands in every explanation that it leads to. What it says of a group that there is not, or not
/// yet, says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What it says.
    pub says: Says,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Says {
    /// These groups run on one node, and move together.
    ///
    /// Source: Proxmox VE, positive resource affinity.
    Together {
        /// Which.
        groups: Vec<GroupId>,
        /// Where they cannot, they do not run; else they run apart.
        strict: bool,
        /// What is one place.
        by: By,
    },
    /// No two of these groups run on one node.
    ///
    /// Source: Windows clustering, AntiAffinityClassNames; Proxmox VE, negative resource affinity.
    Apart {
        /// Which.
        groups: Vec<GroupId>,
        /// Where they cannot, they do not run; else they share a node.
        strict: bool,
        /// What is one place.
        by: By,
    },
    /// Where `with` is, `group` wants to be (a score above 0), or not to be. [`SCORE_MUST`]: it runs nowhere else;
    /// [`SCORE_NEVER`]: never there. Not the other way round.
    ///
    /// Source: Pacemaker, colocation constraints.
    Near {
        /// Who wants.
        group: GroupId,
        /// Where.
        with: GroupId,
        /// How much.
        score: i32,
        /// Whether `group` has a say in where `with` goes.
        influence: bool,
    },
    /// `then` after `first`.
    ///
    /// Source: Pacemaker, order constraints; Windows clustering, group dependencies.
    Order {
        /// Any of these; one alone is the plain rule.
        first: Vec<GroupId>,
        /// Who comes after.
        then: GroupId,
        /// How strict.
        kind: OrderKind,
        /// Whether `then` stops before `first`.
        symmetrical: bool,
        /// What `first` does before.
        first_act: OrderAct,
        /// What `then` does after.
        then_act: OrderAct,
    },
}

/// How strict an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderKind {
    /// `then` starts only while `first` runs.
    Mandatory,
    /// Only if both have something to do. Where that leads back to its start, see [`Turn`].
    Optional,
    /// Never both at once. Where that leads back to its start, see [`Turn`].
    Serialize,
}

/// What an order is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OrderAct {
    /// Starting.
    Start,
    /// Stopping.
    Stop,
}

/// Policies of the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How to choose among nodes that suit a group equally well.
    pub balance: Balance,
    /// Whether a node gets no more than it has room for.
    ///
    /// Source: Pacemaker, placement-strategy (default: no).
    pub limited: bool,
    /// Whether a group that starts is placed anew, in place of starting on the node that has it.
    ///
    /// Source: Proxmox VE, ha-rebalance-on-start (default: no).
    pub balance_on_start: bool,
    /// Whether running groups move to even out the load.
    pub rebalance: bool,
    /// Whether what runs on a node goes on when that may not act any more; nothing starts there. That a lease is over
    /// proves nothing then: what a lost node ran is recovered when that is back, or by a human's word.
    ///
    /// Source: Pacemaker, no-quorum-policy=freeze (default: no).
    pub keep_without_quorum: bool,
    /// Whether every node that is lost is ended by its fence agents, and not only one that keeps something which no
    /// other evidence frees.
    ///
    /// Source: Pacemaker, stonith-enabled (default there: yes; here: no, since a lease that is over is proof enough).
    pub fence_lost_nodes: bool,
    /// Every loss of so many nodes must leave a place for every group that is started by itself, if all nodes are open
    /// before; a configuration of which that is not true is refused.
    ///
    /// Source: vSphere HA, admission control by host failures the cluster tolerates (default here: not asked for).
    pub survives: Option<u32>,
    /// How much may happen at once.
    pub limits: Limits,
    /// When a node that comes and goes is given nothing for a while; none: never.
    pub quarantine: Option<Quarantine>,
    /// What becomes of what a node runs when its host shuts down.
    pub on_shutdown: OnShutdown,
    /// How far ahead of UTC the hours of the configuration are, in minutes.
    pub utc_offset_minutes: i16,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            limited: false,
            balance_on_start: false,
            rebalance: false,
            keep_without_quorum: false,
            fence_lost_nodes: false,
            survives: None,
            limits: Limits::default(),
            quarantine: Some(Quarantine::default()),
            on_shutdown: OnShutdown::default(),
            utc_offset_minutes: 0,
        }
    }
}

/// What becomes of what a node runs when its host shuts down.
///
/// Source: Proxmox VE, shutdown_policy (default there: conditional).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnShutdown {
    /// It moves away first.
    #[default]
    Move,
    /// It is stopped, and kept for the node's return: nobody else gets it.
    Keep,
    /// It is kept where the host boots again, and else moves away.
    Conditional,
}

impl OnShutdown {
    /// Whether what the node runs is kept for it. `reboots`: its host boots again by itself.
    pub fn keeps(self, reboots: bool) -> bool {
        match self {
            OnShutdown::Move => false,
            OnShutdown::Keep => true,
            OnShutdown::Conditional => reboots,
        }
    }
}

/// How to choose among nodes that suit a group equally well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Balance {
    /// The node that has the fewest groups.
    #[default]
    Groups,
    /// The node that is used least in proportion to what it has, the newcomer counted in.
    Load,
    /// The node with the most room left.
    Room,
    /// The node that is used already, if there is one: on as few as can be.
    Few,
}

/// What placement needs to know of a group beside where it may run. The default asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wishes {
    /// Who goes first, and wins when not all can run: higher before lower.
    ///
    /// Source: Pacemaker, priority; Windows clustering, Priority (3000 high, 2000 medium, 1000 low).
    pub priority: i32,
    /// What it takes of a node's room.
    pub uses: Amounts,
    /// What it loads a node with, as configured; what is measured stands in the database.
    pub load: Amounts,
    /// After so many failures on a node it does not run there again, until they are `failures_expire` old.
    ///
    /// Source: Pacemaker, migration-threshold (default: never).
    pub node_failures_max: Option<u32>,
    /// See `node_failures_max`; none: until somebody acts.
    ///
    /// Source: Pacemaker, failure-timeout.
    pub failures_expire: Option<Duration>,
    /// Its start waits for every fence that is due, not only for that of its own node.
    ///
    /// Source: Pacemaker, requires=fencing.
    pub awaits_fences: bool,
    /// A lease that is over does not free it: it takes the word of its node's fence agents, of a human, or of the node
    /// that is back. For what must not run twice even where clocks, watchdogs and LUNs fail.
    pub fence_agent_required: bool,
    /// In which hours it may fail back by itself; none: at any.
    ///
    /// Source: Windows clustering, FailbackWindowStart and FailbackWindowEnd.
    pub failback_hours: Option<Hours>,
    /// When the whole cluster starts, it starts on the node to which it was last moved by command.
    ///
    /// Source: Windows clustering, persistent mode.
    pub persistent: bool,
    /// When its node is lost, it is kept offline until it is commanded to be online.
    ///
    /// Source: Windows clustering, priority "no auto start".
    pub started_by_hand: bool,
    /// What is done when it is found running on a second node, where somebody has started it by hand.
    pub found_twice: FoundTwice,
}

/// What is done with a group that is found running on a second node.
///
/// Source: Pacemaker, multiple-active (default there: stop_start).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FoundTwice {
    /// What its owner runs goes on, everything else ends.
    #[default]
    KeepOwner,
    /// Everything ends, then it is started.
    Restart,
    /// Everything ends, and it is disabled.
    Stop,
    /// It is left as it is, unmanaged. Once it is to be managed again, everything ends but what its owner runs.
    Leave,
}

/// What rules say, for each group at hand. By the place of the group in the configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bonds {
    /// Strict sets of groups on one node, two of one set in one unit. Only groups that are in such a set.
    units: Sets,
    /// Groups of which one must be where the other is, directly or through others. Only groups of which a rule says so.
    tied: Sets,
    /// Those of which one must not be where the other is, each named by the first of those that are tied to it.
    parted: BTreeSet<(usize, usize)>,
    /// Groups that rules join, directly or through others. Only groups that a rule names.
    ruled: Sets,
    /// For each group that a rule names, which rules.
    of: BTreeMap<usize, Vec<usize>>,
    /// What groups use, in this order of kinds.
    kinds: Vec<String>,
    /// Orders that close a circle, by their places.
    turns: BTreeMap<usize, Turn>,
}

impl Bonds {
    pub(super) fn of(parts: &ClusterParts, places: &BTreeMap<GroupId, usize>) -> Self {
        let at = |group: &GroupId| places.get(group).copied();
        let mut bonds = Self::default();
        let mut together: Vec<Vec<usize>> = Vec::new();
        let mut joined: Vec<Vec<usize>> = Vec::new();
        let mut tied: Vec<Vec<usize>> = Vec::new();
        let mut parted: Vec<(usize, usize)> = Vec::new();
        for (index, rule) in parts.rules.iter().enumerate() {
            let named: BTreeSet<usize> = rule.says.groups().filter_map(at).collect();
            for &group in &named {
                bonds.of.entry(group).or_default().push(index);
            }
            let named: Vec<usize> = named.into_iter().collect();
            let strict = matches!(rule.says, Says::Together { strict: true, by: By::Node, .. });
            if strict && !plant::is(Plant::TogetherIgnored) {
                together.push(named.clone());
                tied.push(named.clone());
            }
            if let Says::Near { group, with, score, .. } = &rule.says
                && let Some(pair) = at(group).zip(at(with))
            {
                match *score {
                    SCORE_MUST.. => tied.push(named.clone()),
                    ..=SCORE_NEVER => parted.push(pair),
                    _ => {}
                }
            }
            joined.push(named);
        }
        bonds.units = Sets::united(&together);
        bonds.ruled = Sets::united(&joined);
        bonds.tied = Sets::united(&tied);
        let parted = parted.into_iter();
        bonds.parted = parted.map(|(one, other)| bonds.chiefs(one, other)).collect();
        let kinds: BTreeSet<&String> = parts
            .groups
            .iter()
            .flat_map(|group| group.wishes.uses.keys().chain(group.wishes.load.keys()))
            .chain(parts.nodes.iter().flat_map(|node| node.capacity.keys()))
            .collect();
        bonds.kinds = kinds.into_iter().cloned().collect();
        bonds.turns = super::circles::turns(parts);
        bonds
    }

    /// The groups that must be on one node with this one, itself included; none: no rule says so.
    pub fn unit(&self, group: usize) -> Option<&[usize]> {
        self.units.with(group)
    }

    /// The groups that rules join with this one, directly or through others, itself included; none: no rule names it.
    pub fn joined(&self, group: usize) -> Option<&[usize]> {
        self.ruled.with(group)
    }

    /// Whether a wish of a group to be near another, or not to be, can come true: nothing that must be, or must not,
    /// overrules it. `rules` are those of the configuration.
    pub fn can_wish(&self, rules: &[Rule], group: usize, with: usize, score: i32) -> bool {
        let (one, other) = self.chiefs(group, with);
        let is_apart = |rule: &usize| {
            let is_strict =
                matches!(rules[*rule].says, Says::Apart { strict: true, by: By::Node, .. });
            is_strict && self.rules(with).binary_search(rule).is_ok()
        };
        if self.parted.contains(&(one, other)) || self.rules(group).iter().any(is_apart) {
            return score <= SCORE_NEVER;
        }
        one != other || score >= SCORE_MUST
    }

    /// Two groups, each by the first of those that are tied to it; the lower one first.
    fn chiefs(&self, one: usize, other: usize) -> (usize, usize) {
        let chief = |group| self.tied.with(group).map_or(group, |tied| tied[0]);
        let (one, other) = (chief(one), chief(other));
        (one.min(other), one.max(other))
    }

    /// The rules that name a group, by their places.
    pub fn rules(&self, group: usize) -> &[usize] {
        self.of.get(&group).map_or(&[], Vec::as_slice)
    }

    /// What becomes of a rule, by its place, since it closes a circle of orders; none: it closes none.
    pub fn turn(&self, rule: usize) -> Option<Turn> {
        self.turns.get(&rule).copied()
    }

    /// The rules that close a circle of orders, by their places.
    pub fn turns(&self) -> impl Iterator<Item = (usize, Turn)> + '_ {
        self.turns.iter().map(|(&rule, &turn)| (rule, turn))
    }

    /// Everything that is used or had of anything.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }
}

/// Sets of which no two share a member.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sets {
    set_of: BTreeMap<usize, usize>,
    sets: Vec<Vec<usize>>,
}

impl Sets {
    /// Those that share a member become one.
    fn united(sets: &[Vec<usize>]) -> Self {
        let mut parent: BTreeMap<usize, usize> = BTreeMap::new();
        for set in sets {
            for &member in set {
                parent.entry(member).or_insert(member);
                let (a, b) = (root(&mut parent, set[0]), root(&mut parent, member));
                parent.insert(a.max(b), a.min(b));
            }
        }
        let members: Vec<usize> = parent.keys().copied().collect();
        let mut all = Self::default();
        for member in members {
            let first = root(&mut parent, member);
            let set = match all.set_of.get(&first) {
                Some(&set) => set,
                None => {
                    all.sets.push(Vec::new());
                    all.sets.len() - 1
                }
            };
            all.sets[set].push(member);
            all.set_of.insert(member, set);
        }
        all
    }

    fn with(&self, member: usize) -> Option<&[usize]> {
        self.set_of.get(&member).map(|&set| self.sets[set].as_slice())
    }
}

/// The least member of the set in which `of` is; halves the way there.
fn root(parent: &mut BTreeMap<usize, usize>, mut of: usize) -> usize {
    while let Some(&up) = parent.get(&of).filter(|&&up| up != of) {
        let above = parent.get(&up).copied().unwrap_or(up);
        parent.insert(of, above);
        of = above;
    }
    of
}

impl Says {
    /// Every group that it names.
    pub fn groups(&self) -> impl Iterator<Item = &GroupId> {
        let (many, one, other): (&[GroupId], _, _) = match self {
            Says::Together { groups, .. } | Says::Apart { groups, .. } => (groups, None, None),
            Says::Near { group, with, .. } => (&[], Some(group), Some(with)),
            Says::Order { first, then, .. } => (first, Some(then), None),
        };
        many.iter().chain(one).chain(other)
    }
}

pub(super) fn check_rules(parts: &ClusterParts) -> Result<(), ConfigError> {
    super::check_count("rules", parts.rules.len(), RULES_MAX)?;
    check_unique("rules", "the name", parts.rules.iter().map(|rule| rule.name.as_str()))?;
    for rule in &parts.rules {
        let place = format!("rules.{}", rule.name);
        check_name(&place, &rule.name)?;
        match &rule.says {
            Says::Near { group, with, score, .. } => {
                if group == with {
                    let problem = "a group is always where it is itself";
                    return Err(ConfigError::new(place, problem, "name two groups"));
                }
                if !(SCORE_NEVER..=SCORE_MUST).contains(score) {
                    let problem = format!("the score {score} is not valid");
                    let remedy = format!("use {SCORE_NEVER} (must not) to {SCORE_MUST} (must)");
                    return Err(ConfigError::new(place, problem, remedy));
                }
            }
            Says::Order { first, then, .. } if first.is_empty() || first.contains(then) => {
                let problem = "a group cannot come after itself, nor after nothing";
                return Err(ConfigError::new(place, problem, "name two groups"));
            }
            Says::Together { .. } | Says::Apart { .. } | Says::Order { .. } => {}
        }
    }
    Ok(())
}

/// Refuses orders that lead back to their start: nothing in such a circle could ever start.
pub(super) fn check_circles(parts: &ClusterParts) -> Result<(), ConfigError> {
    let mut waits: BTreeMap<GroupId, Vec<(&str, &[GroupId])>> = BTreeMap::new();
    for rule in &parts.rules {
        if let Says::Order {
            first,
            then,
            kind: OrderKind::Mandatory,
            first_act: OrderAct::Start,
            then_act: OrderAct::Start,
            ..
        } = &rule.says
        {
            waits.entry(*then).or_default().push((&rule.name, first));
        }
    }
    let mut left = waits.clone();
    loop {
        let ready = |groups: &[GroupId]| groups.iter().any(|group| !left.contains_key(group));
        let free: Vec<GroupId> = left
            .iter()
            .filter(|(_, rules)| rules.iter().all(|(_, first)| ready(first)))
            .map(|(&then, _)| then)
            .collect();
        if free.is_empty() {
            break;
        }
        free.iter().for_each(|then| {
            left.remove(then);
        });
    }
    let Some((_, rules)) = left.first_key_value() else { return Ok(()) };
    Err(ConfigError::new(
        format!("rules.{}", rules[0].0),
        "the orders lead back to their start",
        "take one of them out",
    ))
}
