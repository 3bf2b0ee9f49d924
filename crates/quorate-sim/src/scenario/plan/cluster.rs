//! Policies of the cluster.

use quorate_core::config::{Balance, Policy};

use super::super::model::{OnLoss, Placement, Scenario, Story, Strategy};

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
            // Whoever has no quorum starts nothing, whatever is wished for: two sides would.
            keep_without_quorum: matches!(cluster.on_loss, OnLoss::Freeze | OnLoss::Ignore),
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
