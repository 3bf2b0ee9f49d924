//! The cluster before it is as a scenario finds it: nothing was said yet of where groups run and when they start. A
//! state that is given may be one that no rule allows.

use std::collections::BTreeMap;

use quorate_core::config::{Balance, ClusterConfig, ClusterParts, GroupConfig, Limits, NewConfig};
use quorate_core::id::{GroupId, NodeId};
use quorate_core::message::Command;

use super::super::model::{InitialState, RecordedGroup, RecordedState, Scenario, Story};
use super::super::plan::Plan;
use super::Stage;

/// The configuration that the cluster is founded with.
pub(super) fn founded(scenario: &Scenario, plan: &Plan) -> ClusterConfig {
    match &scenario.story {
        Story::Timeline { initial_state: None, .. } => plan.config.clone(),
        Story::Timeline { up, initial_state: Some(record), .. } => {
            unruled(&plan.config, &recorded_seats(plan, record, up))
        }
        Story::Snapshot { .. } => {
            let groups = plan.config.groups().iter();
            let seats = groups.filter_map(|group| Some((group.id, group.initial_owner?)));
            unruled(&plan.config, &seats.collect())
        }
    }
}

fn recorded_seats(
    plan: &Plan,
    record: &InitialState,
    up: &BTreeMap<String, bool>,
) -> BTreeMap<GroupId, NodeId> {
    let seat = |(name, recorded): (&String, &RecordedGroup)| {
        let planned = plan.groups.iter().find(|one| one.name == *name)?;
        Some((planned.id, plan.names.id_of(recorded.seat(up)?)))
    };
    record.groups.iter().filter_map(seat).collect()
}

impl RecordedGroup {
    /// Who has it: to whom it was on its way, if that one is there, else its owner.
    pub(super) fn seat(&self, up: &BTreeMap<String, bool>) -> Option<&String> {
        let is_up = |node: &&String| up.get(*node).copied().unwrap_or(true);
        let target = self.target.as_ref().filter(is_up);
        target.filter(|_| self.state == RecordedState::Migrate).or(self.owner.as_ref())
    }
}

/// Nothing but its seat speaks for or against a place.
fn unruled(config: &ClusterConfig, seats: &BTreeMap<GroupId, NodeId>) -> ClusterConfig {
    let mut parts = ClusterParts::from(config.clone());
    parts.rules.clear();
    let policy = &mut parts.policy;
    (policy.limited, policy.balance_on_start, policy.rebalance) = (false, false, false);
    (policy.balance, policy.survives, policy.limits) = (Balance::Groups, None, Limits::default());
    for group in &mut parts.groups {
        let seat = seats.get(&group.id);
        let GroupConfig { possible_owners, preferred_owners, scores, failback, wishes, .. } = group;
        *possible_owners = seat.copied().into_iter().collect();
        preferred_owners.clear();
        scores.clear();
        *failback = false;
        (wishes.node_failures_max, wishes.failback_hours) = (None, None);
        wishes.awaits_fences = false;
    }
    ClusterConfig::new(parts).expect("what says less holds together too")
}

impl Stage<'_> {
    /// What the scenario says of groups is in force from here on, and moves are let go.
    pub(super) fn end_the_past(&mut self) {
        let new = NewConfig {
            parts: self.plan.config.parts().clone(),
            only_if: None,
            reason: "the rules of the story".to_owned(),
            unix_ms: 0,
        };
        self.world.write_files(self.plan.config.clone());
        self.wish(Command::Configure(Box::new(new)));
        self.wish(Command::HoldMoves { held: false });
    }
}
