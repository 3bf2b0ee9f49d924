//! I6: a group that has failed too often rests, and of nodes that are lost beyond what may be, nothing starts
//! elsewhere. Counted here anew, by the world's time; a little is left to clocks that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_core::Notice;
use quorate_core::change::{Cause, DownCause, FenceKind, GroupReport};
use quorate_core::config::ClusterConfig;
use quorate_core::id::{Epoch, GroupId, Incarnation, NodeId};
use quorate_core::message::Command;

use super::{Checker, Fact, View};
use crate::clock::Moment;

/// What is told within this long may have come about at one moment.
const AT_ONCE: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(super) struct Limits {
    failures: BTreeMap<GroupId, Vec<Moment>>,
    /// Since when it is to rest.
    resting: BTreeMap<GroupId, Moment>,
    owners: BTreeMap<GroupId, NodeId>,
    /// Nodes that are lost, and since when.
    lost: BTreeMap<NodeId, Moment>,
    /// Of whom a human has said that they are, or that left in order.
    excused: BTreeSet<NodeId>,
    failed: BTreeSet<(GroupId, Epoch)>,
    assigned: BTreeSet<(GroupId, Epoch)>,
    ups: BTreeSet<(NodeId, Incarnation)>,
    downs: BTreeSet<(NodeId, Incarnation)>,
}

impl Checker for Limits {
    fn name(&self) -> &'static str {
        "Limits"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Asked { command } => {
                self.on_command(view, command);
                Ok(())
            }
            Fact::Told { notice, .. } => self.told(view, notice),
            _ => Ok(()),
        }
    }
}

impl Limits {
    /// From a command that forgives a group on nothing is said of it.
    fn on_command(&mut self, view: &View<'_>, command: &Command) {
        if matches!(command, Command::Configure(_) | Command::AddGroup(_)) {
            self.failures.clear();
            self.resting.clear();
        }
        for id in view.forgiven(command) {
            self.failures.remove(&id);
            self.resting.remove(&id);
        }
    }

    fn told(&mut self, view: &View<'_>, notice: &Notice) -> Result<(), String> {
        match *notice {
            Notice::Group {
                group,
                epoch,
                report: GroupReport::Vacated { failures: 1.., luns_away: false, .. },
                ..
            } if self.failed.insert((group, epoch)) => self.fails(view, group),
            Notice::Down { node, incarnation, cause }
                if cause != DownCause::Ordered && self.downs.insert((node, incarnation)) =>
            {
                self.lost.insert(node, view.now);
                self.excused.remove(&node);
            }
            Notice::Fenced { node, kind: FenceKind::Human | FenceKind::Left, .. } => {
                self.excused.insert(node);
            }
            Notice::Up { node, incarnation } if self.ups.insert((node, incarnation)) => {
                self.lost.remove(&node);
            }
            Notice::Assigned { group, owner, epoch, cause }
                if self.assigned.insert((group, epoch)) =>
            {
                let before = self.owners.insert(group, owner);
                let rested = self.resting.remove(&group).filter(|_| cause != Cause::Found);
                if let Some(since) = rested {
                    view.try_any(|config| rests(config, view, group, since))?;
                }
                let lost = before.filter(|_| cause == Cause::NodeDown);
                return match lost {
                    Some(node) => view.try_any(|config| self.is_small(config, view, node)),
                    None => Ok(()),
                };
            }
            _ => {}
        }
        Ok(())
    }

    /// It has failed once more; whether that is too often, every configuration that may be in force must say.
    fn fails(&mut self, view: &View<'_>, group: GroupId) {
        let failures = self.failures.entry(group).or_default();
        failures.push(view.now);
        let too_often = |config: &ClusterConfig| {
            config.group(group).is_some_and(|group| {
                let period = group.failover_period * 9 / 10;
                let recent = failures.iter().filter(|&&at| at + period > view.now).count();
                recent > group.failover_threshold as usize
            })
        };
        if view.configs().all(too_often) {
            failures.clear();
            self.resting.insert(group, view.now);
        }
    }

    /// What a lost node ran may start elsewhere while not more nodes were lost before it than may be.
    fn is_small(
        &self,
        config: &ClusterConfig,
        view: &View<'_>,
        node: NodeId,
    ) -> Result<(), String> {
        let limits = &config.policy().limits;
        let Some(most) = limits.losses_max.filter(|_| view.waivers.is_time_sound()) else {
            return Ok(());
        };
        let Some(&at) = self.lost.get(&node).filter(|_| !self.excused.contains(&node)) else {
            return Ok(());
        };
        let period = limits.losses_period * 9 / 10;
        let before = |one: &&Moment| **one + AT_ONCE < at && **one + period > view.now;
        let before = self.lost.values().filter(before).count();
        match before >= most as usize {
            true => Err(format!("what {node} ran starts elsewhere, and {before} were lost before")),
            false => Ok(()),
        }
    }
}

fn rests(
    config: &ClusterConfig,
    view: &View<'_>,
    group: GroupId,
    since: Moment,
) -> Result<(), String> {
    let Some(of_group) = config.group(group).filter(|_| view.waivers.is_time_sound()) else {
        return Ok(());
    };
    let length = view.now.since(since);
    match length + AT_ONCE < of_group.retry_period * 9 / 10 {
        true => Err(format!("{group} gets a new owner {length:?} after it has failed too often")),
        false => Ok(()),
    }
}
