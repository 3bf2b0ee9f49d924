//! I7: every change of an ownership has a cause, the cause is true, and it ends in something that came from outside:
//! a command, a node that went, a resource in trouble. What the node says in `explain` says so too.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::Notice;
use quorate_core::change::{Cause, GroupReport};
use quorate_core::config::{ClusterConfig, GroupConfig};
use quorate_core::id::{Epoch, GroupId, NodeId};
use quorate_core::message::Command;

use super::{Checker, Fact, View};
use crate::spoken::words;

#[derive(Default)]
pub(super) struct Caused {
    groups: BTreeMap<GroupId, Story>,
    /// Nodes that were drained, or have left.
    drained: BTreeSet<NodeId>,
    judged: BTreeSet<(GroupId, Epoch, bool)>,
    /// Groups that may have been out of the configuration, and come back with nothing behind them.
    renewed: BTreeSet<GroupId>,
}

/// What has happened to a group, and to its owner since it owns it.
#[derive(Default)]
struct Story {
    owner: Option<(NodeId, Epoch)>,
    owner_went: bool,
    trouble: bool,
    failed: bool,
    moved: bool,
    wanted: bool,
    /// Why its owner was asked to let go, which was true then.
    released: Option<Cause>,
    /// By its owner's word.
    moved_by_hand: bool,
}

impl Checker for Caused {
    fn name(&self) -> &'static str {
        "Caused"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Asked { command } => {
                self.on_command(view, command);
                Ok(())
            }
            Fact::Leaves { node } => {
                self.drained.insert(node);
                Ok(())
            }
            Fact::Told { node, notice } => self.told(view, node, notice),
            // What its predecessor could not hand over is stopped.
            Fact::Started { node, goes_on: true, .. } => {
                self.of_owner(node, |story| story.owner_went = true);
                Ok(())
            }
            Fact::Started { .. }
            | Fact::Persists { .. }
            | Fact::Promises { .. }
            | Fact::Starts { .. }
            | Fact::Began { .. }
            | Fact::Ended { .. }
            | Fact::Resumed { .. }
            | Fact::Wrote { .. }
            | Fact::Access { .. }
            | Fact::Passed
            | Fact::Applied { .. }
            | Fact::Unconverged { .. } => Ok(()),
        }
    }
}

impl Caused {
    fn on_command(&mut self, view: &View<'_>, command: &Command) {
        let named = |name: &str, config: &ClusterConfig| Some(config.group_named(name)?.id);
        let group = |name: &str| view.configs_of_old().find_map(|config| named(name, config));
        match command {
            Command::Move { group: name, .. } => {
                for id in group(name).into_iter().flat_map(|id| companions(view, id)) {
                    self.groups.entry(id).or_default().moved = true;
                }
            }
            Command::Online { group: name }
            | Command::Offline { group: name }
            | Command::Disable { group: name }
            | Command::Unmanage { group: name } => {
                if let Some(id) = group(name) {
                    self.groups.entry(id).or_default().wanted = true;
                }
            }
            Command::Drain { node } | Command::Empty { node } => {
                self.drained.extend(view.config.node_named(node).map(|node| node.id));
            }
            Command::AddGroup(new) => drop(self.renewed.insert(new.group.id)),
            Command::RemoveGroup { group: name } => self.renewed.extend(group(name)),
            Command::Configure(new) => {
                let known = view.configs_of_old().flat_map(|config| config.groups());
                let known: BTreeSet<GroupId> = known.map(|group| group.id).collect();
                let wanted = new.parts.groups.iter().map(|group| group.id).collect();
                self.renewed.extend(known.symmetric_difference(&wanted));
            }
            Command::Pause { .. }
            | Command::Resume { .. }
            | Command::EndDrain { .. }
            | Command::HoldMoves { .. }
            | Command::LetCoordinate { .. }
            | Command::AddNode(_)
            | Command::EvictNode { .. }
            | Command::Disarm { .. }
            | Command::Arm
            | Command::CountFailures { .. }
            | Command::Load { .. }
            | Command::Fence { .. }
            | Command::ConfirmFenced { .. } => {}
        }
    }

    fn told(&mut self, view: &View<'_>, teller: NodeId, notice: &Notice) -> Result<(), String> {
        match *notice {
            Notice::Down { node, .. } | Notice::Fenced { node, .. } | Notice::Up { node, .. } => {
                self.of_owner(node, |story| story.owner_went = true);
            }
            Notice::LeaseLost => self.of_owner(teller, |story| story.owner_went = true),
            Notice::ResourceTrouble { resource, .. } => {
                let of = |config: &ClusterConfig| Some(config.resource(resource)?.0.id);
                self.in_trouble(view.configs_of_old().find_map(of));
            }
            Notice::Lun { lun, held: false, .. } => {
                self.in_trouble(view.configs_of_old().find_map(|config| config.group_of_lun(lun)));
            }
            Notice::Group { group, report: GroupReport::Vacated { failures, .. }, .. } => {
                self.groups.entry(group).or_default().failed |= failures > 0;
            }
            Notice::Group {
                group, report: GroupReport::Gone { .. } | GroupReport::Stray, ..
            } => {
                self.groups.entry(group).or_default().moved_by_hand = true;
            }
            Notice::Group { group, report: GroupReport::StopFailed, .. } => {
                self.groups.entry(group).or_default().failed = true;
            }
            Notice::Releasing { group, epoch, cause } => {
                let is_new = self.judged.insert((group, epoch, false));
                if is_new {
                    self.is_true(view, group, cause, "is asked to let go")?;
                    self.groups.entry(group).or_default().released = Some(cause);
                }
            }
            Notice::Assigned { group, owner, epoch, cause } => {
                if self.judged.insert((group, epoch, true)) {
                    self.is_true(view, group, cause, "gets a new owner")?;
                    let story = self.groups.entry(group).or_default();
                    let owner = Some((owner, epoch));
                    let (moved, wanted) = (story.moved, story.wanted);
                    *story = Story { owner, moved, wanted, ..Story::default() };
                }
                // What a node has forgotten together with a group it does not remember when that comes back.
                let is_known = !self.renewed.contains(&group);
                return if is_known { explained(view, teller, group, notice) } else { Ok(()) };
            }
            _ => {}
        }
        Ok(())
    }

    fn of_owner(&mut self, node: NodeId, change: impl Fn(&mut Story)) {
        let theirs = |story: &&mut Story| story.owner.is_some_and(|(owner, _)| owner == node);
        self.groups.values_mut().filter(theirs).for_each(change);
    }

    fn in_trouble(&mut self, group: Option<GroupId>) {
        if let Some(group) = group {
            self.groups.entry(group).or_default().trouble = true;
        }
    }

    /// Whether the cause can be, by this configuration.
    fn holds(&self, config: &ClusterConfig, story: &Story, group: GroupId, cause: Cause) -> bool {
        let owner = story.owner.map(|(owner, _)| owner);
        let of_group = config.group(group);
        let failback = of_group.is_some_and(|of_group| of_group.failback);
        let possible = |node: NodeId| {
            of_group.is_none_or(|of_group| quorate_core::placement::is_possible(of_group, node))
        };
        match cause {
            Cause::Start => owner.is_none() || story.wanted || self.renewed.contains(&group),
            Cause::Online | Cause::Offline => story.wanted,
            Cause::NodeDown | Cause::Stopped => story.owner_went,
            Cause::Failure => story.failed && story.trouble,
            Cause::Move => story.moved,
            Cause::Drain => owner.is_some_and(|owner| self.drained.contains(&owner)),
            Cause::Failback => failback || !self.drained.is_empty(),
            Cause::Order | Cause::Rule => is_bound(config, group),
            Cause::Balance => config.policy().rebalance,
            Cause::Found => story.moved_by_hand,
            Cause::NotPossible => owner.is_some_and(|owner| !possible(owner)),
        }
    }

    fn is_true(
        &self,
        view: &View<'_>,
        group: GroupId,
        cause: Cause,
        what: &str,
    ) -> Result<(), String> {
        let none = Story::default();
        let story = self.groups.get(&group).unwrap_or(&none);
        // What was right when it was let go is so when it gets its next owner, whatever is in force by then.
        let by_config =
            [Cause::Rule, Cause::Order, Cause::Balance, Cause::Failback, Cause::NotPossible];
        if story.released == Some(cause) && by_config.contains(&cause) {
            return Ok(());
        }
        let holds = view.configs_of_old().any(|config| self.holds(config, story, group, cause));
        if holds {
            return Ok(());
        }
        Err(format!(
            "{group} {what} because of {}, and nothing of that kind has happened",
            words(&cause)
        ))
    }
}

/// A group, and those that move with it.
fn companions(view: &View<'_>, group: GroupId) -> Vec<GroupId> {
    let place = view.config.place_of(group);
    let unit = place.and_then(|place| view.config.bonds().unit(place));
    let all = unit.map(|unit| unit.iter().map(|&one| view.config.groups()[one].id).collect());
    all.unwrap_or_else(|| vec![group])
}

/// Whether anything but its own scores may say where the group goes.
fn is_bound(config: &ClusterConfig, group: GroupId) -> bool {
    let place = config.place_of(group);
    let ruled = place.is_some_and(|place| !config.bonds().rules(place).is_empty());
    let banned = |group: &GroupConfig| group.wishes.node_failures_max.is_some();
    ruled || config.policy().limited || config.group(group).is_some_and(banned)
}

/// Whoever tells of a new owner can also tell why: its history holds the change, and what came before it.
fn explained(
    view: &View<'_>,
    teller: NodeId,
    group: GroupId,
    notice: &Notice,
) -> Result<(), String> {
    let Some(process) = view.hosts.of(&teller).and_then(|host| host.process.as_ref()) else {
        return Ok(());
    };
    let engine = &process.engine;
    if engine.database().and_then(|database| database.group(group)).is_none() {
        return Ok(());
    }
    // All of `explain` but where the group would be placed, which costs a plan of the whole cluster.
    let notices: Vec<&Notice> = engine.history(group).map(|happened| &happened.told).collect();
    let Some(at) = notices.iter().position(|one| *one == notice) else {
        // A history is bounded: much may have come since in the same step.
        if notices.iter().any(|one| epoch_of(one) > epoch_of(notice)) {
            return Ok(());
        }
        return Err(format!("{teller} does not remember: {}", words(notice)));
    };
    let Notice::Assigned { cause: Cause::NodeDown, .. } = notice else { return Ok(()) };
    let last = notices[..at].iter().rposition(|one| matches!(one, Notice::Assigned { .. }));
    // What came before its own beginning it cannot know.
    let Some(last) = last else { return Ok(()) };
    let went = |one: &&Notice| {
        matches!(
            one,
            Notice::Down { .. }
                | Notice::Fenced { .. }
                | Notice::Up { .. }
                | Notice::Group { report: GroupReport::Vacated { .. }, .. }
        )
    };
    if notices[last..at].iter().any(went) {
        return Ok(());
    }
    Err(format!("{teller} cannot say why {group} has got a new owner: {}", words(&notices)))
}

fn epoch_of(notice: &Notice) -> Option<Epoch> {
    match notice {
        Notice::Assigned { epoch, .. } => Some(*epoch),
        _ => None,
    }
}
