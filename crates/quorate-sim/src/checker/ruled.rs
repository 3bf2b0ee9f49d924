//! What the configuration says of where groups run and when they start: held against every new owner that is committed.
//!
//! What a node tells of was committed in some step before it tells it. So what speaks for it may stand in what was
//! committed just before, too; what speaks against it must stand in all of that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_core::Notice;
use quorate_core::change::{Cause, Desire};
use quorate_core::config::{By, ClusterConfig, OrderAct, OrderKind, SCORE_MUST, SCORE_NEVER, Says};
use quorate_core::database::{Database, GroupRecord, OwnedState};
use quorate_core::id::{Epoch, GroupId, NodeId};
use quorate_core::placement;
use quorate_core::time::nanos;

use super::{Checker, Fact, View};
use crate::clock::Moment;

/// How many states back what is told may have been true.
const STATES: usize = 4;
/// A group that moves by rule more often than this, in quiet, goes back and forth.
const MOVES_MAX: usize = 4;

/// What is committed at one place.
#[derive(Clone, Debug, Default)]
struct State {
    applied: u64,
    disarmed: bool,
    online: BTreeSet<GroupId>,
    owners: BTreeMap<GroupId, NodeId>,
    releasing: BTreeSet<GroupId>,
    /// Online where nothing takes them away.
    settled: BTreeSet<GroupId>,
    starting: BTreeSet<GroupId>,
    /// Starting because of a failure.
    failing_over: BTreeSet<GroupId>,
    by_hand: BTreeSet<GroupId>,
    /// Handed over as they ran: they have not ended, and do not start.
    arriving: BTreeSet<GroupId>,
    quarantined: BTreeSet<NodeId>,
}

/// A new owner.
#[derive(Clone, Copy, Debug)]
struct New {
    group: GroupId,
    owner: NodeId,
    cause: Cause,
}

type Rule = fn(&ClusterConfig, &VecDeque<State>, New) -> Result<(), String>;

/// A judge of new owners.
pub(super) struct Ruled {
    name: &'static str,
    rule: Rule,
    states: VecDeque<State>,
    judged: BTreeSet<(GroupId, Epoch)>,
}

/// The judges, each of one promise.
pub(super) fn all() -> impl Iterator<Item = Box<dyn Checker>> {
    let rules: [(&'static str, Rule); 9] = [
        ("Possible", possible),
        ("Apart", apart),
        ("Together", together),
        ("Near", near),
        ("Failovers", failovers),
        ("Room", room),
        ("Ordered", ordered),
        ("Frozen", frozen),
        ("Quarantined", quarantined),
    ];
    rules.into_iter().map(|(name, rule)| {
        let (states, judged) = (VecDeque::new(), BTreeSet::new());
        Box::new(Ruled { name, rule, states, judged }) as Box<dyn Checker>
    })
}

impl Checker for Ruled {
    fn name(&self) -> &'static str {
        self.name
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Applied { node, .. } => {
                self.see(view, node);
                Ok(())
            }
            Fact::Told { node, notice: &Notice::Assigned { group, owner, epoch, cause } } => {
                self.see(view, node);
                if cause == Cause::Found || !self.judged.insert((group, epoch)) {
                    return Ok(());
                }
                let new = New { group, owner, cause };
                // By one of those that may have been in force when it was decided, it must be right.
                view.try_any(|config| (self.rule)(config, &self.states, new))
            }
            _ => Ok(()),
        }
    }
}

impl Ruled {
    fn see(&mut self, view: &View<'_>, node: NodeId) {
        let process = view.hosts.of(&node).and_then(|host| host.process.as_ref());
        let Some(database) = process.and_then(|process| process.engine.database()) else { return };
        let last = self.states.back().map_or(0, |state| state.applied);
        if database.applied() > last {
            self.states.push_back(State::of(database));
            if self.states.len() > STATES {
                self.states.pop_front();
            }
        }
    }
}

impl State {
    fn has(&self, group: GroupId, owner: NodeId) -> bool {
        self.owners.get(&group) == Some(&owner)
    }

    fn starting_on(&self, node: NodeId) -> usize {
        let here = |group: &&GroupId| {
            self.owners.get(group) == Some(&node) && !self.by_hand.contains(group)
        };
        self.starting.iter().filter(here).count()
    }

    fn of(database: &Database) -> Self {
        let mut state = Self {
            applied: database.applied(),
            disarmed: database.disarmed().is_some(),
            quarantined: database.quarantines().map(|(node, _)| node).collect(),
            ..Self::default()
        };
        for (&group, record) in database.groups() {
            if let Some((node, as_this)) = record.owner() {
                // What a node that is down has, it has no more.
                if database.is_up_as(node, as_this) {
                    state.owners.insert(group, node);
                }
            }
            match record.owned_state() {
                Some(OwnedState::Online) => {
                    state.online.insert(group);
                    if is_settled(database, record) {
                        state.settled.insert(group);
                    }
                }
                Some(OwnedState::Releasing { .. }) => drop(state.releasing.insert(group)),
                Some(OwnedState::Starting) if state.owners.contains_key(&group) => {
                    state.starting.insert(group);
                    if matches!(record.cause, Cause::NodeDown | Cause::Failure | Cause::Stopped) {
                        state.failing_over.insert(group);
                    }
                }
                Some(OwnedState::Starting | OwnedState::StopFailed) | None => {}
            }
            if record.held_by.is_some() {
                state.arriving.insert(group);
            }
            if record.cause == Cause::Found {
                state.by_hand.insert(group);
            }
        }
        state
    }
}

fn is_settled(database: &Database, record: &GroupRecord) -> bool {
    let up = |(node, as_this)| database.is_up_as(node, as_this) && database.is_open(node);
    record.owner().is_some_and(up)
        && record.desire == Desire::Online
        && record.kept_until.is_none()
        && record.cause != Cause::Found
}

/// Whether it starts where nothing of it ran: what moves follows the others one by one.
fn is_start(cause: Cause) -> bool {
    let afresh = [Cause::Start, Cause::Online, Cause::NodeDown, Cause::Failure, Cause::Stopped];
    afresh.contains(&cause)
}

fn possible(config: &ClusterConfig, _: &VecDeque<State>, new: New) -> Result<(), String> {
    let New { group, owner, .. } = new;
    match config.group(group).is_none_or(|one| placement::is_possible(one, owner)) {
        true => Ok(()),
        false => Err(format!("{group} gets {owner}, on which it may never run")),
    }
}

fn apart(config: &ClusterConfig, states: &VecDeque<State>, new: New) -> Result<(), String> {
    let New { group, owner, .. } = new;
    let Some(state) = states.back().filter(|state| state.has(group, owner)) else { return Ok(()) };
    for rule in config.rules() {
        let Says::Apart { groups, strict: true, by } = &rule.says else { continue };
        if !groups.contains(&group) {
            continue;
        }
        for other in groups.iter().filter(|&&other| other != group) {
            let at = state.owners.get(other).filter(|_| !state.by_hand.contains(other));
            if at.is_some_and(|&at| is_one_place(config, at, owner, *by)) {
                return Err(format!(
                    "{group} gets {owner}, and {other} is there: they must be apart"
                ));
            }
        }
    }
    Ok(())
}

fn is_one_place(config: &ClusterConfig, one: NodeId, other: NodeId, by: By) -> bool {
    let nodes = config.node(one).zip(config.node(other));
    nodes.is_some_and(|(one, other)| one.is_with(other, by))
}

/// Whoever must be together is not given different places, unless the other one is on its way, or lost.
fn together(config: &ClusterConfig, states: &VecDeque<State>, new: New) -> Result<(), String> {
    let New { group, owner, cause } = new;
    // Where only so many start at once, those who go together go one after the other.
    let free = config.policy().limits.starts_per_node_max.is_none() && is_start(cause);
    let state = states.back().filter(|state| state.has(group, owner) && free);
    let Some(state) = state else { return Ok(()) };
    for rule in config.rules() {
        let Says::Together { groups, strict: true, by } = &rule.says else { continue };
        if !groups.contains(&group) {
            continue;
        }
        for other in groups.iter().filter(|&&other| other != group) {
            let stays = |state: &State| state.settled.contains(other);
            let at = state.owners.get(other).filter(|_| states.iter().all(stays));
            if at.is_some_and(|&at| !is_one_place(config, at, owner, *by)) {
                return Err(format!(
                    "{group} gets {owner}, and {other} is elsewhere: they must be together"
                ));
            }
        }
    }
    Ok(())
}

/// Whoever must be where another is starts nowhere else; whoever must never be there does not.
fn near(config: &ClusterConfig, states: &VecDeque<State>, new: New) -> Result<(), String> {
    let New { group, owner, cause } = new;
    // Where only so many start at once, those who go together go one after the other.
    let free = config.policy().limits.starts_per_node_max.is_none() && is_start(cause);
    let state = states.back().filter(|state| state.has(group, owner) && free);
    let Some(state) = state else { return Ok(()) };
    for rule in config.rules() {
        let Says::Near { group: wants, with, score, .. } = &rule.says else { continue };
        let other = if *wants == group { with } else { wants };
        let stays = |state: &State| state.settled.contains(other);
        let at = state.owners.get(other).filter(|_| states.iter().all(stays)).copied();
        let wrong = match *score {
            SCORE_NEVER if *wants == group || *with == group => at == Some(owner),
            SCORE_MUST if *wants == group => at.is_some_and(|at| at != owner),
            _ => false,
        };
        if wrong {
            return Err(format!(
                "{group} gets {owner}, and {other} is on {at:?}: by rule {}",
                rule.name
            ));
        }
    }
    Ok(())
}

/// Never more groups fail over at once than may.
fn failovers(config: &ClusterConfig, states: &VecDeque<State>, new: New) -> Result<(), String> {
    let limits = &config.policy().limits;
    let Some(state) = states.back().filter(|state| state.has(new.group, new.owner)) else {
        return Ok(());
    };
    let (all, here) = (state.failing_over.len(), state.starting_on(new.owner));
    let is_failover = state.failing_over.contains(&new.group);
    match (limits.failovers_max, limits.starts_per_node_max) {
        (Some(most), _) if is_failover && all > most as usize => {
            Err(format!("{} gets {}: {all} groups fail over, {most} may", new.group, new.owner))
        }
        (_, Some(most)) if here > most as usize && new.cause != Cause::Move => {
            Err(format!("{} gets {}: {here} groups start there, {most} may", new.group, new.owner))
        }
        _ => Ok(()),
    }
}

fn room(config: &ClusterConfig, states: &VecDeque<State>, new: New) -> Result<(), String> {
    let (New { group, owner, .. }, Some(state)) = (new, states.back()) else { return Ok(()) };
    let limited = config.policy().limited && state.by_hand.is_empty();
    let Some(node) = config.node(owner).filter(|_| limited) else { return Ok(()) };
    let there = state.owners.iter().filter(|(_, at)| **at == owner).map(|(&one, _)| one);
    for (kind, &most) in &node.capacity {
        let uses = |one: GroupId| config.group(one)?.wishes.uses.get(kind).copied();
        let used: u64 = there.clone().filter_map(uses).sum();
        if used > most {
            return Err(format!("{group} gets {owner}: {used} of {most} {kind} are used there"));
        }
    }
    Ok(())
}

fn ordered(config: &ClusterConfig, states: &VecDeque<State>, new: New) -> Result<(), String> {
    let New { group, owner, cause } = new;
    let arrives = |state: &State| state.has(group, owner) && state.arriving.contains(&group);
    // Whoever moves it by command is asked nothing but where it may run.
    if cause == Cause::Move || states.iter().any(arrives) {
        return Ok(());
    }
    for rule in config.rules() {
        let Says::Order {
            first,
            then,
            kind: OrderKind::Mandatory,
            first_act: OrderAct::Start,
            then_act: OrderAct::Start,
            ..
        } = &rule.says
        else {
            continue;
        };
        let ran = |state: &State| first.iter().any(|one| state.online.contains(one));
        // A rule about what there is not says nothing.
        let is_said = first.iter().any(|&one| config.group(one).is_some());
        if *then == group && is_said && !states.iter().any(ran) {
            return Err(format!("{group} gets an owner, and nothing runs that has to before it"));
        }
    }
    Ok(())
}

fn frozen(_: &ClusterConfig, states: &VecDeque<State>, new: New) -> Result<(), String> {
    let New { group, owner, .. } = new;
    let disarmed = states.len() > 1 && states.iter().rev().take(2).all(|state| state.disarmed);
    // What had begun before ends.
    let begun = states.iter().any(|state| state.releasing.contains(&group));
    match disarmed && !begun {
        true => Err(format!("{group} gets {owner}, and the cluster is disarmed")),
        false => Ok(()),
    }
}

fn quarantined(_: &ClusterConfig, states: &VecDeque<State>, new: New) -> Result<(), String> {
    let New { group, owner, cause } = new;
    let held = states.len() > 1 && states.iter().all(|state| state.quarantined.contains(&owner));
    // What was on its way arrives.
    let begun = states.iter().any(|state| state.releasing.contains(&group));
    match held && !begun && cause != Cause::Found {
        true => Err(format!("{group} gets {owner}, which is in quarantine")),
        false => Ok(()),
    }
}

/// Nothing goes back and forth: where nothing happens, rules and preferences are soon satisfied.
#[derive(Default)]
pub(super) struct Steady {
    moves: BTreeMap<GroupId, VecDeque<Moment>>,
    judged: BTreeSet<(GroupId, Epoch)>,
}

impl Checker for Steady {
    fn name(&self) -> &'static str {
        "Steady"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Told { notice: &Notice::Releasing { group, epoch, cause }, .. } = *fact else {
            return Ok(());
        };
        let by_rule =
            matches!(cause, Cause::Rule | Cause::Failback | Cause::Order | Cause::Balance);
        if !by_rule || !self.judged.insert((group, epoch)) {
            return Ok(());
        }
        let since = Moment(view.now.0.saturating_sub(nanos(view.config.timing().detect * 60)));
        let moves = self.moves.entry(group).or_default();
        moves.push_back(view.now);
        moves.retain(|at| *at >= since);
        if moves.len() > MOVES_MAX && view.unrest.is_all_calm(since) {
            return Err(format!("{group} is moved for the {}th time in quiet", moves.len()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::config::{ClusterParts, Domain};
    use quorate_core::random::Random;

    use super::*;

    /// Four groups on four nodes, two in each rack, under this.
    fn config(says: &[Says]) -> ClusterConfig {
        let options = crate::options::Options {
            nodes: Some(4),
            groups: Some(4),
            ..crate::options::Options::default()
        };
        let drawn = crate::cluster::draw(&mut Random::new(1), &options);
        let mut parts = ClusterParts::from(drawn);
        for (at, node) in parts.nodes.iter_mut().enumerate() {
            node.domain = Domain { site: "s".into(), rack: format!("r{}", at / 2) };
        }
        let rule = |(at, says): (usize, &Says)| quorate_core::config::Rule {
            name: format!("r{at}"),
            says: says.clone(),
        };
        parts.rules = says.iter().enumerate().map(rule).collect();
        parts.policy = quorate_core::config::Policy::default();
        if says.is_empty() {
            parts.policy.limits.failovers_max = Some(1);
            parts.policy.limits.starts_per_node_max = Some(2);
        }
        ClusterConfig::new(parts).expect("it is valid")
    }

    /// The first group has just got the first node, for a cause; the second has another one.
    fn judged(rule: Rule, says: &[Says], cause: Cause, other: u16) -> bool {
        let owners = BTreeMap::from([(GroupId(1), NodeId(1)), (GroupId(2), NodeId(other))]);
        let settled = BTreeSet::from([GroupId(2)]);
        let starting = BTreeSet::from([GroupId(1)]);
        let state =
            State { owners, online: settled.clone(), settled, starting, ..State::default() };
        let new = New { group: GroupId(1), owner: NodeId(1), cause };
        rule(&config(says), &VecDeque::from(vec![state]), new).is_ok()
    }

    #[test]
    fn groups_that_share_a_rack_though_they_must_be_apart_are_seen() {
        let says = |by| [Says::Apart { groups: vec![GroupId(1), GroupId(2)], strict: true, by }];
        assert!(!judged(apart, &says(By::Node), Cause::Start, 1));
        assert!(judged(apart, &says(By::Node), Cause::Start, 2));
        assert!(!judged(apart, &says(By::Rack), Cause::Start, 2));
        assert!(judged(apart, &says(By::Rack), Cause::Start, 3));
        assert!(!judged(apart, &says(By::Site), Cause::Start, 3));
    }

    #[test]
    fn a_start_away_from_one_with_which_it_must_be_is_seen() {
        let says = |by| [Says::Together { groups: vec![GroupId(1), GroupId(2)], strict: true, by }];
        assert!(!judged(together, &says(By::Node), Cause::NodeDown, 2));
        assert!(judged(together, &says(By::Rack), Cause::NodeDown, 2));
        assert!(!judged(together, &says(By::Rack), Cause::NodeDown, 3));
        assert!(judged(together, &says(By::Node), Cause::Drain, 2), "the others follow");
        let says =
            |score| [Says::Near { group: GroupId(1), with: GroupId(2), score, influence: false }];
        assert!(!judged(near, &says(SCORE_MUST), Cause::Failure, 2));
        assert!(judged(near, &says(SCORE_MUST), Cause::Failure, 1));
        assert!(!judged(near, &says(SCORE_NEVER), Cause::Failure, 1));
        assert!(judged(near, &says(5), Cause::Failure, 2));
    }

    #[test]
    fn more_at_once_than_may_be_is_seen() {
        let groups: Vec<GroupId> = (1..=3).map(GroupId).collect();
        let on_one: BTreeMap<GroupId, NodeId> =
            groups.iter().map(|&group| (group, NodeId(1))).collect();
        let new = New { group: GroupId(1), owner: NodeId(1), cause: Cause::NodeDown };
        let with = |starting: usize, failing: usize| State {
            owners: on_one.clone(),
            starting: groups[..starting].iter().copied().collect(),
            failing_over: groups[..failing].iter().copied().collect(),
            ..State::default()
        };
        let is_fine =
            |state, new| failovers(&config(&[]), &VecDeque::from(vec![state]), new).is_ok();
        assert!(is_fine(with(2, 1), new));
        assert!(!is_fine(with(2, 2), new), "two fail over");
        assert!(!is_fine(with(3, 1), new), "three start on one node");
        assert!(is_fine(with(3, 0), New { cause: Cause::Move, ..new }), "by command");
    }

    #[test]
    fn a_new_owner_in_a_disarmed_cluster_is_seen_unless_its_move_had_begun() {
        let options = crate::options::Options::default();
        let config = crate::cluster::draw(&mut Random::new(1), &options);
        let new = New { group: GroupId(1), owner: NodeId(2), cause: Cause::NodeDown };
        let disarmed = State { disarmed: true, ..State::default() };
        let still = VecDeque::from(vec![disarmed.clone(), disarmed.clone()]);
        assert!(frozen(&config, &still, new).is_err());
        let begun = State { releasing: BTreeSet::from([GroupId(1)]), ..disarmed.clone() };
        assert!(frozen(&config, &VecDeque::from(vec![begun, disarmed.clone()]), new).is_ok());
        let before = VecDeque::from(vec![State::default(), disarmed]);
        assert!(frozen(&config, &before, new).is_ok());
    }
}
