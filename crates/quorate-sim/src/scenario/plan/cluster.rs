//! Policies of the cluster.

use super::super::model::{GivenState, OnLoss, Placement, Scenario, Story, Strategy};
use super::Missing;

/// Every policy that the engine does not have, or that needs no configuration.
pub(super) fn check(scenario: &Scenario) -> Result<(), Missing> {
    let cluster = &scenario.cluster;
    let missing = |what: &str| Err(Missing::new(what));
    if cluster.maintenance {
        return missing("maintenance of the whole cluster");
    }
    match &scenario.story {
        Story::Timeline { initial_state, .. } => {
            match cluster.on_loss {
                OnLoss::SelfFence | OnLoss::Stop => {}
                OnLoss::Freeze => return missing("quorum.on_loss freeze"),
                OnLoss::Ignore => return missing("quorum.on_loss ignore"),
            }
            match cluster.placement {
                Placement::LeastGroups => {}
                Placement::LeastStaticLoad => return missing("placement least-static-load"),
                Placement::LeastDynamicLoad => return missing("placement least-dynamic-load"),
            }
            if cluster.rebalance_on_start {
                return missing("rebalance_on_start");
            }
            if cluster.auto_rebalance {
                return missing("auto_rebalance");
            }
            if initial_state.is_some() {
                return missing("initial_state: a record of a cluster to start from");
            }
        }
        Story::Snapshot { given, .. } => {
            match cluster.on_loss {
                // Given as there, it is not lost.
                _ if cluster.have_quorum => {}
                OnLoss::SelfFence | OnLoss::Stop => {}
                OnLoss::Freeze => return missing("quorum.on_loss freeze"),
                OnLoss::Ignore => return missing("quorum.on_loss ignore"),
            }
            match cluster.placement_strategy {
                Strategy::Default => {}
                Strategy::Utilization => return missing("placement_strategy utilization"),
                Strategy::Minimal => return missing("placement_strategy minimal"),
                Strategy::Balanced => return missing("placement_strategy balanced"),
            }
            if let Some((name, _)) = given.iter().find(|(_, one)| one.state == GivenState::Unclean)
            {
                return Err(Missing::new(format!("fencing a node that is still seen ({name})")));
            }
        }
    }
    Ok(())
}
