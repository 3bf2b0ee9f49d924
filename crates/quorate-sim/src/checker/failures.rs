//! I6: what has failed is not tried again where, or while, a limit on failures speaks against it: on a node where it
//! has failed as often as it may, while too many groups of its kind have failed, before a pause when it has failed on
//! every node. Counted here anew, by the world's time; a little is left to clocks that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_core::Notice;
use quorate_core::change::{Cause, GroupReport};
use quorate_core::config::{ClusterConfig, GroupConfig};
use quorate_core::id::{Epoch, GroupId, NodeId};
use quorate_core::message::Command;
use quorate_core::placement;

use super::{Checker, Fact, View};
use crate::clock::Moment;

/// How often a group has failed on each node since it was forgiven, and when last.
type OnNodes = BTreeMap<NodeId, (u32, Moment)>;

/// A judge of who gets what has failed.
#[derive(Default)]
pub(super) struct Failures {
    failures: BTreeMap<GroupId, OnNodes>,
    /// Where it has failed since it was last left failed, which begins that count anew.
    places: BTreeMap<GroupId, BTreeSet<NodeId>>,
    seen: BTreeSet<(GroupId, Epoch)>,
    assigned: BTreeSet<(GroupId, Epoch)>,
}

impl Checker for Failures {
    fn name(&self) -> &'static str {
        "Failures"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Asked { command } => {
                self.on_command(view, command);
                Ok(())
            }
            Fact::Told { notice: &Notice::Group { group, epoch, node, report }, .. } => {
                if let GroupReport::Vacated { failures: times @ 1.., luns_away: false, .. } = report
                    && self.seen.insert((group, epoch))
                {
                    let on = self.failures.entry(group).or_default().entry(node);
                    let on = on.or_insert((0, view.now));
                    *on = (on.0.saturating_add(times), view.now);
                    self.places.entry(group).or_default().insert(node);
                }
                Ok(())
            }
            Fact::Told { notice: &Notice::Assigned { group, owner, epoch, cause }, .. } => {
                if !self.assigned.insert((group, epoch)) || !view.waivers.is_time_sound() {
                    return Ok(());
                }
                view.try_any(|config| self.assigned(config, view.now, (group, owner), cause))
            }
            Fact::Told { notice: &Notice::GroupFailed { group }, .. } => {
                self.places.remove(&group);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Failures {
    fn forgive(&mut self, group: GroupId) {
        self.failures.remove(&group);
        self.places.remove(&group);
    }

    /// From a command that forgives a group on nothing is said of it.
    fn on_command(&mut self, view: &View<'_>, command: &Command) {
        match command {
            Command::CountFailures { group: name, .. } => {
                let named = view.configs().filter_map(|config| Some(config.group_named(name)?.id));
                named.for_each(|id| self.forgive(id));
            }
            // A group that goes and comes is another one.
            Command::Configure(new) => {
                let stays = |id: &GroupId| {
                    let kept = new.parts.groups.iter().any(|group| group.id == *id);
                    kept && view.configs().all(|config| config.group(*id).is_some())
                };
                self.failures.retain(|id, _| stays(id));
                self.places.retain(|id, _| stays(id));
            }
            Command::AddGroup(new) => self.forgive(new.group.id),
            Command::EvictNode { .. } => {
                self.failures.clear();
                self.places.clear();
            }
            other => view.forgiven(other).into_iter().for_each(|id| self.forgive(id)),
        }
    }

    fn assigned(
        &self,
        config: &ClusterConfig,
        now: Moment,
        (group, owner): (GroupId, NodeId),
        cause: Cause,
    ) -> Result<(), String> {
        let Some(one) = config.group(group) else { return Ok(()) };
        // What was on its way when the limit was reached arrives.
        if matches!(cause, Cause::Failure | Cause::NodeDown | Cause::Stopped | Cause::Start) {
            self.is_open(one, owner, now)?;
        }
        if cause != Cause::Failure {
            return Ok(());
        }
        self.is_alone(config, one, now)?;
        self.has_rested(config, one, now)
    }

    /// It has not failed there as often as it may.
    fn is_open(&self, group: &GroupConfig, owner: NodeId, now: Moment) -> Result<(), String> {
        let Some(most) = group.wishes.node_failures_max else { return Ok(()) };
        let on = self.failures.get(&group.id).and_then(|on| on.get(&owner));
        let Some(&(times, last)) = on else { return Ok(()) };
        let counts = group.wishes.failures_expire.is_none_or(|length| is_within(last, length, now));
        match times >= most && counts {
            true => Err(format!(
                "{} gets {owner}, where it has failed {times} times, and {most} may be",
                group.id
            )),
            false => Ok(()),
        }
    }

    /// Not more groups of its kind have failed lately than may.
    fn is_alone(
        &self,
        config: &ClusterConfig,
        group: &GroupConfig,
        now: Moment,
    ) -> Result<(), String> {
        let limits = &config.policy().limits;
        let Some(most) = limits.alike_max else { return Ok(()) };
        let has =
            |one: &GroupConfig, driver: &str| one.resources.iter().any(|it| it.driver == driver);
        let failed = |one: &&GroupConfig| {
            self.last_failure(one.id).is_some_and(|last| is_within(last, limits.alike_period, now))
        };
        for driver in group.resources.iter().map(|resource| &*resource.driver) {
            let alike =
                config.groups().iter().filter(|one| has(one, driver)).filter(failed).count();
            if alike > most as usize {
                return Err(format!(
                    "{} is tried again, and {alike} groups with driver {driver} have just failed, {most} may",
                    group.id
                ));
            }
        }
        Ok(())
    }

    /// It has waited since it has failed wherever it may run.
    fn has_rested(
        &self,
        config: &ClusterConfig,
        group: &GroupConfig,
        now: Moment,
    ) -> Result<(), String> {
        let Some(pause) = config.policy().limits.everywhere_pause else { return Ok(()) };
        let Some(on) = self.places.get(&group.id) else { return Ok(()) };
        let mut places =
            config.nodes().iter().filter(|node| placement::is_possible(group, node.id));
        let everywhere = places.all(|node| on.contains(&node.id));
        let rests = self.last_failure(group.id).is_some_and(|last| is_within(last, pause, now));
        match everywhere && rests {
            true => Err(format!("{} has just failed on every node, and is tried again", group.id)),
            false => Ok(()),
        }
    }

    fn last_failure(&self, group: GroupId) -> Option<Moment> {
        self.failures.get(&group)?.values().map(|&(_, last)| last).max()
    }
}

/// Whether that moment is certainly less than so long ago, by any clock.
fn is_within(at: Moment, length: Duration, now: Moment) -> bool {
    now.since(at) < length * 9 / 10
}
