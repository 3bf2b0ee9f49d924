//! What the configuration says of where groups run and when they start: held against every new owner that is committed.
//!
//! What a node tells of was committed in some step before it tells it. So what speaks for it may stand in what was
//! committed just before, too; what speaks against it must stand in all of that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_core::Notice;
use quorate_core::change::Cause;
use quorate_core::config::{By, ClusterConfig, OrderAct, OrderKind, Says};
use quorate_core::database::{Database, OwnedState};
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
    held: bool,
    online: BTreeSet<GroupId>,
    owners: BTreeMap<GroupId, NodeId>,
    releasing: BTreeSet<GroupId>,
    by_hand: BTreeSet<GroupId>,
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
    let rules: [(&'static str, Rule); 5] = [
        ("Possible", possible),
        ("Apart", apart),
        ("Room", room),
        ("Ordered", ordered),
        ("Frozen", frozen),
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
                // While moves are held everything starts where it is, whatever is said.
                let held = self.states.iter().any(|state| state.held);
                if cause == Cause::Found || held || !self.judged.insert((group, epoch)) {
                    return Ok(());
                }
                (self.rule)(view.config, &self.states, New { group, owner, cause })
            }
            _ => Ok(()),
        }
    }
}

impl Ruled {
    fn see(&mut self, view: &View<'_>, node: NodeId) {
        let process = view.hosts.get(&node).and_then(|host| host.process.as_ref());
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
    fn of(database: &Database) -> Self {
        let mut state = Self {
            applied: database.applied(),
            disarmed: database.disarmed().is_some(),
            held: database.are_moves_held(),
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
                Some(OwnedState::Online) => drop(state.online.insert(group)),
                Some(OwnedState::Releasing { .. }) => drop(state.releasing.insert(group)),
                Some(OwnedState::Starting | OwnedState::StopFailed) | None => {}
            }
            if record.cause == Cause::Found {
                state.by_hand.insert(group);
            }
        }
        state
    }
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
    let strict = config.rules().iter().filter_map(|rule| match &rule.says {
        Says::Apart { groups, strict: true, by: By::Node } if groups.contains(&group) => {
            Some(groups)
        }
        _ => None,
    });
    for other in strict.flatten().filter(|other| **other != group) {
        let there = |state: &State| {
            let held = state.owners.get(other) == Some(&owner);
            held && !state.by_hand.contains(other) && state.owners.get(&group) == Some(&owner)
        };
        if states.back().is_some_and(there) {
            return Err(format!("{group} gets {owner}, which has {other}: they must be apart"));
        }
    }
    Ok(())
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
    let New { group, cause, .. } = new;
    // Whoever moves it by command is asked nothing but where it may run.
    if cause == Cause::Move {
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
        if *then == group && !states.iter().any(ran) {
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
    use quorate_core::random::Random;

    use super::*;

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
