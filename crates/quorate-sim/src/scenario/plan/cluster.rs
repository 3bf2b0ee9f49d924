//! Policies of the cluster.

use quorate_core::config::{Balance, Policy};

use super::super::model::{Given, GivenState, OnLoss, Placement, Scenario, Story, Strategy};
use super::Missing;

/// Whether whoever holds the votes goes. Where a loss is to count for nothing, it costs nothing: the votes of a
/// snapshot are on no node of its own.
pub(in super::super) fn loses_quorum(scenario: &Scenario) -> bool {
    !scenario.cluster.have_quorum && scenario.cluster.on_loss != OnLoss::Ignore
}

/// How nodes are chosen, and what becomes of what runs without a quorum.
pub(super) fn policy(scenario: &Scenario) -> Policy {
    let cluster = &scenario.cluster;
    match scenario.story {
        Story::Timeline { .. } => Policy {
            balance: match cluster.placement {
                Placement::LeastGroups => Balance::Groups,
                Placement::LeastStaticLoad | Placement::LeastDynamicLoad => Balance::Load,
            },
            limited: false,
            balance_on_start: cluster.rebalance_on_start,
            rebalance: cluster.auto_rebalance,
            keep_without_quorum: false,
            quarantine: None,
            ..Policy::default()
        },
        Story::Snapshot { .. } => Policy {
            balance: match cluster.placement_strategy {
                Strategy::Default | Strategy::Utilization => Balance::Groups,
                Strategy::Minimal => Balance::Few,
                Strategy::Balanced => Balance::Room,
            },
            limited: cluster.placement_strategy != Strategy::Default,
            balance_on_start: false,
            rebalance: false,
            keep_without_quorum: loses_quorum(scenario) && cluster.on_loss == OnLoss::Freeze,
            quarantine: None,
            ..Policy::default()
        },
    }
}

/// Every policy that the engine does not have, or that needs no configuration.
pub(super) fn check(scenario: &Scenario) -> Result<(), Missing> {
    let cluster = &scenario.cluster;
    let missing = |what: &str| Err(Missing::new(what));
    match &scenario.story {
        Story::Timeline { .. } => {
            match cluster.on_loss {
                OnLoss::SelfFence | OnLoss::Stop => {}
                OnLoss::Freeze => return missing("quorum.on_loss freeze"),
                OnLoss::Ignore => return missing("quorum.on_loss ignore"),
            }
            if cluster.auto_rebalance {
                return missing("auto_rebalance");
            }
        }
        Story::Snapshot { given, .. } => {
            let unclean = |one: &&Given| one.state == GivenState::Unclean;
            if !cluster.fencing && given.values().any(|one| unclean(&one)) {
                return missing("a node that must be fenced where nodes are not fenced");
            }
        }
    }
    Ok(())
}
