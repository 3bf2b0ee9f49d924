//! The cluster before it is as a scenario finds it: nothing was said yet of where groups run and when they start. A state
//! that is given may be one that no rule allows.

use quorate_core::config::{Balance, ClusterConfig, ClusterParts, GroupConfig, Limits, NewConfig};
use quorate_core::message::Command;

use super::Stage;

/// The configuration without anything that speaks against a place.
pub(super) fn unruled(config: &ClusterConfig) -> ClusterConfig {
    let mut parts = ClusterParts::from(config.clone());
    parts.rules.clear();
    let policy = &mut parts.policy;
    (policy.limited, policy.balance_on_start, policy.rebalance) = (false, false, false);
    (policy.balance, policy.survives, policy.limits) = (Balance::Groups, None, Limits::default());
    for group in &mut parts.groups {
        let GroupConfig { possible_owners, preferred_owners, scores, failback, wishes, .. } = group;
        possible_owners.clear();
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
