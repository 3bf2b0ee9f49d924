//! `cluster`: quorum, fencing, policies.

use super::super::ScenarioError;
use super::super::model::{Cluster, OnLoss, Placement, ShutdownPolicy, Strategy};
use super::super::reader::Item;

pub(super) fn cluster(item: &Item<'_>) -> Result<Cluster, ScenarioError> {
    let mut table = item.table()?;
    let (have_quorum, on_loss) =
        table.may("quorum").map_or(Ok(NO_QUORUM_KEYS), |item| quorum(&item))?;
    let fencing = table.read("fencing", true, fencing)?;
    let flag = |item: &Item<'_>| item.bool();
    let cluster = Cluster {
        have_quorum,
        on_loss,
        fencing,
        startup_fencing: table.read("startup_fencing", true, flag)?,
        node_shutdown_policy: table.read(
            "node_shutdown_policy",
            ShutdownPolicy::Conditional,
            |item| {
                item.word(&[
                    ("conditional", ShutdownPolicy::Conditional),
                    ("failover", ShutdownPolicy::Failover),
                    ("freeze", ShutdownPolicy::Freeze),
                    ("migrate", ShutdownPolicy::Migrate),
                ])
            },
        )?,
        placement: table.read("placement", Placement::LeastGroups, |item| {
            item.word(&[
                ("least-groups", Placement::LeastGroups),
                ("least-static-load", Placement::LeastStaticLoad),
                ("least-dynamic-load", Placement::LeastDynamicLoad),
            ])
        })?,
        placement_strategy: table.read("placement_strategy", Strategy::Default, |item| {
            item.word(&[
                ("default", Strategy::Default),
                ("utilization", Strategy::Utilization),
                ("minimal", Strategy::Minimal),
                ("balanced", Strategy::Balanced),
            ])
        })?,
        rebalance_on_start: table.read("rebalance_on_start", false, flag)?,
        auto_rebalance: table.read("auto_rebalance", false, flag)?,
        opt_in_placement: table.read("opt_in_placement", false, flag)?,
        maintenance: table.read("maintenance", false, flag)?,
        stop_all: table.read("stop_all", false, flag)?,
        start_failure_is_fatal: table.read("start_failure_is_fatal", false, flag)?,
    };
    table.finish()?;
    Ok(cluster)
}

const NO_QUORUM_KEYS: (bool, OnLoss) = (true, OnLoss::SelfFence);

fn quorum(item: &Item<'_>) -> Result<(bool, OnLoss), ScenarioError> {
    let mut table = item.table()?;
    table.read("kind", (), |item| item.word(&[("majority", ())]))?;
    // All nodes have the same number of votes, so the number itself says nothing.
    table.read("votes_per_node", 1, |item| item.integer(1, 1_000))?;
    let have = table.read("have", true, Item::bool)?;
    let on_loss = table.read("on_loss", OnLoss::SelfFence, |item| {
        item.word(&[
            ("self-fence", OnLoss::SelfFence),
            ("stop", OnLoss::Stop),
            ("freeze", OnLoss::Freeze),
            ("ignore", OnLoss::Ignore),
        ])
    })?;
    table.finish()?;
    Ok((have, on_loss))
}

/// Whether nodes are fenced. The rest is the story's own timing and wording: the engine runs with its own, and never
/// starts anything before the proof.
fn fencing(item: &Item<'_>) -> Result<bool, ScenarioError> {
    let mut table = item.table()?;
    let enabled = table.read("enabled", true, Item::bool)?;
    table.read("kind", (), |item| item.text().map(drop))?;
    table.read("start_needs_confirmed_fence", true, Item::bool)?;
    for key in ["self_fence_s", "confirm_s"] {
        table.read(key, (), |item| item.seconds().map(drop))?;
    }
    table.finish()?;
    Ok(enabled)
}
