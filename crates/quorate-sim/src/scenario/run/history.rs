//! How the world comes into the state that a scenario gives.
//!
//! A timeline begins with a cluster that has been founded and was switched off, its moves held; its nodes boot when the
//! facts begin, what is wanted of its groups is said, and the moves are let go. Before that it lives through what a
//! record says of it. For a snapshot everything is made as it was before things went wrong: all nodes up, no rules yet,
//! moves held, every group started where it is said to run. Then the rules come into force, what is lost is lost, the
//! facts begin, and the rest of the state is said.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::change::Disarm;
use quorate_core::config::FAILURES_MAX;
use quorate_core::database::{Database, NodeState, OwnedState};
use quorate_core::id::{NodeId, ResourceId};
use quorate_core::message::Command;

use super::super::model::{Desired, Given, GivenState, Group, InitialState, RecordedState};
use super::super::plan::{Planned, Recovery, loses_quorum};
use super::departures::Then;
use super::{LOOK_INTERVAL, Stage};

/// How long anything of the history may take.
const PATIENCE: Duration = Duration::from_secs(600);

impl Stage<'_> {
    pub(super) fn begin_timeline(
        &mut self,
        up: &BTreeMap<String, bool>,
        groups: &[Group],
        record: Option<&InitialState>,
    ) {
        self.found();
        if let Some(record) = record {
            self.live_through(record, up);
        }
        let is_up = |name: &str| up.get(name).copied().unwrap_or(true);
        let all: Vec<(NodeId, bool)> = self
            .scenario
            .nodes
            .iter()
            .map(|node| (self.plan.names.id_of(&node.name), is_up(&node.name)))
            .collect();
        self.wish(Command::Disarm { mode: Disarm::Ignore, ttl: None });
        self.wait("the cluster is not disarmed", |stage| !stage.is_asking());
        for &(node, _) in all.iter().filter(|(_, up)| !up) {
            if !record.is_some_and(|record| self.is_recorded_there(record, node)) {
                self.leave(node);
            }
        }
        for &(node, _) in &all {
            self.world.power_off(node);
        }
        for group in groups {
            self.prepare_faults(group);
        }
        self.begin_facts();
        for &(node, _) in all.iter().filter(|(_, up)| *up) {
            self.world.switch_on(node);
        }
        // What is to run and has failed is known to be wanted: to say so again would be another try.
        let has_failed = |planned: &Planned| {
            let recorded = record.and_then(|record| record.groups.get(&planned.name));
            recorded.is_some_and(|one| one.state == RecordedState::Error)
        };
        self.say_desires(|one| !(has_failed(one) && one.desired == Desired::Running));
        self.wish(Command::Arm);
    }

    pub(super) fn begin_snapshot(&mut self, given: &BTreeMap<String, Given>) {
        self.found();
        let nodes: Vec<(NodeId, Given)> =
            given.iter().map(|(name, given)| (self.plan.names.id_of(name), *given)).collect();
        let in_state = |state: GivenState| -> Vec<NodeId> {
            nodes.iter().filter(|(_, one)| one.state == state).map(|&(node, _)| node).collect()
        };
        for node in in_state(GivenState::Offline) {
            self.leave(node);
            self.world.power_off(node);
        }
        self.start_what_ran();
        self.fail_to_stop();
        self.wish(Command::Disarm { mode: Disarm::Ignore, ttl: None });
        self.end_the_past();
        self.wait("the cluster is not disarmed", |stage| !stage.is_asking());
        self.start_what_ran_twice();
        for node in in_state(GivenState::Lost) {
            self.world.power_off(node);
        }
        let quorate = !loses_quorum(self.scenario);
        if !quorate {
            self.plan.hidden.clone().into_iter().for_each(|node| self.world.power_off(node));
        }
        self.begin_facts();
        let lost = in_state(GivenState::Lost);
        if quorate {
            self.wait("lost nodes are not found lost", |stage| {
                lost.iter().all(|&node| !stage.is_believed_up(node))
            });
        }
        self.say_the_rest(&nodes);
    }

    /// What an operator says about a state that is given: nodes first, so that nothing starts where it may not.
    fn say_the_rest(&mut self, nodes: &[(NodeId, Given)]) {
        for &(node, given) in nodes {
            let name = self.name_of(node);
            match given.state {
                GivenState::Standby => {
                    self.draining.insert(node);
                    self.wish(Command::Empty { node: name });
                }
                GivenState::Maintenance => {
                    self.wish(Command::Pause { node: name });
                }
                GivenState::Unclean if self.scenario.cluster.maintenance => {}
                GivenState::Unclean if self.scenario.cluster.fencing => self.fence(node),
                // Nobody can fence it: what it has stopped by itself is free, and so is nothing else.
                GivenState::Unclean => {
                    self.draining.insert(node);
                    self.wish(Command::Empty { node: name });
                }
                GivenState::Online | GivenState::Offline | GivenState::Lost => {}
            }
            if given.shutting_down {
                self.wish(Command::Pause { node: self.name_of(node) });
            }
        }
        self.say_desires(|planned| {
            planned.runs_before != (planned.desired == Desired::Running)
                || matches!(planned.desired, Desired::Disabled | Desired::Unmanaged)
        });
        self.say_failures();
        self.wait_for_failures();
        self.wish(Command::Arm);
        self.wait("the cluster is not armed", |stage| !stage.is_asking());
        let leaving = nodes.iter().filter(|(_, given)| given.shutting_down);
        leaving.for_each(|&(node, _)| self.send_away(node, Then::Off));
    }

    /// What is found failed and is to stay so is left before anybody is placed near it.
    fn wait_for_failures(&mut self) {
        let stops = self.plan.groups.iter().filter(|one| one.recovery == Recovery::Stop);
        let stops: Vec<_> = stops.map(|one| one.id).collect();
        if stops.is_empty() || self.somebody().is_none() {
            return;
        }
        self.wait("what is found failed is not left", |stage| {
            let left = |database: &Database| {
                stops.iter().all(|&id| {
                    database.group(id).is_none_or(|record| match record.owner() {
                        Some((node, as_this)) => !database.is_up_as(node, as_this),
                        None => true,
                    })
                })
            };
            stage.database().is_some_and(left)
        });
    }

    /// Every group that runs before the facts begin, on the node that has it.
    fn start_what_ran(&mut self) {
        self.wish(Command::HoldMoves { held: true });
        let running: Vec<_> =
            self.plan.groups.iter().filter(|one| one.runs_before).map(|one| one.id).collect();
        for &id in &running {
            if let Some(group) = self.world.config().group(id).map(|group| group.name.clone()) {
                self.wish(Command::Online { group });
            }
        }
        self.wait("what ran before does not run", |stage| {
            let online = |database: &Database| {
                running.iter().all(|&id| {
                    let record = database.group(id);
                    let state = record.and_then(|record| record.owned_state());
                    state == Some(OwnedState::Online)
                })
            };
            !stage.is_asking() && stage.database().is_some_and(online)
        });
    }

    /// What is blocked could not be stopped. Without a quorum it is ended all the same, with its node's lease.
    fn fail_to_stop(&mut self) {
        let ends = loses_quorum(self.scenario);
        let stuck = self.plan.groups.iter().filter(|one| one.stuck && !ends);
        let stuck: Vec<Planned> = stuck.cloned().collect();
        for planned in &stuck {
            self.world.never_stops(planned.resource);
            self.wish(Command::Offline { group: planned.configured.clone() });
        }
        self.wait("what is blocked could be stopped", |stage| {
            let is_stuck = |database: &Database, planned: &Planned| {
                let state = database.group(planned.id).and_then(|record| record.owned_state());
                state == Some(OwnedState::StopFailed)
            };
            let database = stage.database();
            stuck.iter().all(|one| database.is_some_and(|database| is_stuck(database, one)))
        });
    }

    /// What ran on more nodes than the one that has it was started there by hand.
    fn start_what_ran_twice(&mut self) {
        for planned in self.plan.groups.clone() {
            for node in &planned.also_on {
                self.world.start_by_hand(planned.id, self.plan.names.id_of(node));
            }
        }
    }

    /// A node is to be fenced, though it is seen.
    fn fence(&mut self, node: NodeId) {
        self.unclean.insert(node);
        let reason = "the story says so".to_owned();
        self.wish(Command::Fence { node: self.name_of(node), reason });
    }

    /// What has failed before, and what is found failed.
    fn say_failures(&mut self) {
        for planned in self.plan.groups.clone() {
            for (node, &count) in planned.fail_count.iter().filter(|(_, count)| **count > 0) {
                let count = count.min(FAILURES_MAX);
                let node = self.name_of(self.plan.names.id_of(node));
                let group = planned.configured.clone();
                self.wish(Command::CountFailures { group, node, count });
            }
            if matches!(planned.recovery, Recovery::Restart | Recovery::Stop) {
                self.world.falls_silent(planned.id);
            }
            if planned.recovery == Recovery::Fence {
                self.world.runs_on(planned.id).into_iter().for_each(|node| self.fence(node));
            }
        }
    }

    fn say_desires(&mut self, which: impl Fn(&Planned) -> bool) {
        let wanted: Vec<(String, Desired)> = self
            .plan
            .groups
            .iter()
            .filter(|planned| which(planned))
            .map(|planned| (planned.configured.clone(), planned.desired))
            .collect();
        for (group, desired) in wanted {
            self.desire(group, desired);
        }
    }

    /// Lets the cluster be founded, with every node in it.
    fn found(&mut self) {
        let nodes: Vec<NodeId> = self.plan.config.nodes().iter().map(|node| node.id).collect();
        self.wait("the cluster is not founded", |stage| {
            nodes
                .iter()
                .all(|&node| stage.is_believed_up(node) && stage.may_act(stage.world.host_of(node)))
        });
    }

    fn is_believed_up(&self, node: NodeId) -> bool {
        let record = self.database().and_then(|database| database.node(node));
        record.is_some_and(|record| record.state == NodeState::Up)
    }

    /// Lets a node leave in order, if the others can say so without it.
    fn leave(&mut self, node: NodeId) {
        let voters: Vec<NodeId> = self.plan.config.voters().collect();
        let others =
            voters.iter().filter(|&&voter| voter != node && self.world.host_of(voter).is_awake());
        if others.count() * 2 > voters.len() {
            self.world.ask_to_leave(node);
            self.wait("a node does not leave", |stage| stage.world.host_of(node).process.is_none());
        }
    }

    /// What goes wrong with a group in the story.
    pub(super) fn prepare_faults(&mut self, group: &Group) {
        let planned = self.plan.groups.iter().find(|one| one.name == group.name);
        let Some(resource): Option<ResourceId> = planned.map(|one| one.resource) else {
            return;
        };
        let faults = &group.faults;
        match &faults.only_on_node {
            Some(node) => {
                let node = self.plan.names.id_of(node);
                self.world.starts_fail(node, resource, faults.start_fails_first);
            }
            None => self.world.starts_fail_anywhere(resource, faults.start_fails_first),
        }
        self.world.sends_fail(resource, faults.move_fails_first);
        if faults.stop_always_fails {
            self.world.never_stops(resource);
        }
    }

    pub(super) fn wait(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = self.world.now() + PATIENCE;
        while !is_so(self) && self.world.violations().is_empty() {
            if self.world.now() >= deadline {
                return self.world.give_up(&format!("before the facts begin: {what}"));
            }
            self.pass(LOOK_INTERVAL);
        }
    }
}
