//! Commands to a test cluster: each is given to a node that runs, and virtual time passes until it is answered.

use std::time::Duration;

use quorate::testing::{Cluster, apply};

use crate::config::quorate_config;
use crate::guard::given;
use crate::operate::{disarm_of, failback_of, load_of};
use crate::status::quorate_status;
use crate::test_cluster::{on_cluster, on_named, quorate_test_cluster};
use crate::text::quorate_text;

/// Moves a group of a test cluster.
///
/// Parameters: `cluster`: the cluster. `group`: the group. `to`: the node; no text: placement
/// chooses.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_move_group(
    cluster: *mut quorate_test_cluster,
    group: quorate_text,
    to: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        // SAFETY: the caller promised readable text.
        let to = unsafe { to.optional("to") }?;
        Ok(cluster.move_group(group, to)?)
    })
}

/// Brings a group of a test cluster online.
///
/// Parameters: `cluster`: the cluster. `group`: the group.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_online(
    cluster: *mut quorate_test_cluster,
    group: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, group, "group", Cluster::online) }
}

/// Takes a group of a test cluster offline, and keeps it there.
///
/// Parameters: `cluster`: the cluster. `group`: the group.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_offline(
    cluster: *mut quorate_test_cluster,
    group: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, group, "group", Cluster::offline) }
}

/// Moves everything off a node of a test cluster, and lets nothing start there.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_drain(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::drain) }
}

/// Adds a node to a test cluster, on one more host that is started at once. That it takes part, and
/// then votes, takes its time: see `quorate_test_cluster_settle`.
///
/// Parameters: `cluster`: the cluster. `node`: its name. `votes`: whether it is to vote.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_add_node(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
    votes: bool,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        Ok(cluster.add_node(node, votes)?)
    })
}

/// Takes a node out of a test cluster for ever. Its vote goes first, then its place, then its host
/// ends.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_REFUSED`, where it still has a group among others, `QUORATE_MISUSE` when no node
/// runs, or `QUORATE_TIMED_OUT`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_evict_node(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::evict_node) }
}

/// Lets nothing new start on a node of a test cluster; what runs there stays.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_pause_node(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::pause_node) }
}

/// Ends a drain or a pause of a node of a test cluster.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_resume_node(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::resume_node) }
}

/// A human's word that a node of a test cluster which is down runs nothing; it must be true.
///
/// Parameters: `cluster`: the cluster. `node`: the node. `reason`: who says so, and why.
///
/// Returns: `QUORATE_MISUSE` when it is not true, else as `quorate_test_cluster_move_group`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_confirm_fenced(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
    reason: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        // SAFETY: the caller promised readable text.
        let reason = unsafe { reason.required("reason") }?;
        Ok(cluster.confirm_fenced(node, reason)?)
    })
}

/// Ends a pause, a drain or a quarantine of a node of a test cluster, and says what returns to it.
///
/// Parameters: `cluster`: the cluster. `node`: the node. `failback`: `now`, `policy` or
/// `never`, as for `quorate_node_resume_with`.
///
/// Returns: `QUORATE_MISUSE` for another word, else as
/// `quorate_test_cluster_move_group`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_resume_with(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
    failback: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        // SAFETY: the caller promised readable text.
        let failback = unsafe { failback.required("failback") }?;
        Ok(cluster.resume_node_with(node, failback_of(failback)?)?)
    })
}

/// Ends a pause or a drain of a node of a test cluster, and brings back what was drained; a quarantine
/// goes on.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_end_drain(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::end_drain) }
}

/// Moves everything off a node of a test cluster, stops there what nowhere else can run, and lets nothing
/// start there.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_empty(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::empty) }
}

/// Fences a node of a test cluster, though it is heard.
///
/// Parameters: `cluster`: the cluster. `node`: the node. `reason`: who wants it, and why.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_fence(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
    reason: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        // SAFETY: the caller promised readable text.
        let reason = unsafe { reason.required("reason") }?;
        Ok(cluster.fence(node, reason)?)
    })
}

/// Takes a group of a test cluster offline, and leaves it with its node whatever becomes of that.
///
/// Parameters: `cluster`: the cluster. `group`: the group.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_disable(
    cluster: *mut quorate_test_cluster,
    group: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, group, "group", Cluster::disable) }
}

/// Leaves a group of a test cluster alone, running or not, until it is commanded to be online or offline.
///
/// Parameters: `cluster`: the cluster. `group`: the group.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_unmanage(
    cluster: *mut quorate_test_cluster,
    group: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, group, "group", Cluster::unmanage) }
}

/// Starts, stops and moves nothing in a test cluster until `quorate_test_cluster_arm`.
///
/// Parameters: `cluster`: the cluster. `mode`: `freeze` or `ignore`. `ttl_ms`: after how long the
/// cluster arms itself; 0: not by itself.
///
/// Returns: `QUORATE_MISUSE` for another word, else as
/// `quorate_test_cluster_move_group`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_disarm(
    cluster: *mut quorate_test_cluster,
    mode: quorate_text,
    ttl_ms: u64,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let mode = unsafe { mode.required("mode") }?;
        let ttl = (ttl_ms > 0).then(|| Duration::from_millis(ttl_ms));
        Ok(cluster.disarm(disarm_of(mode)?, ttl)?)
    })
}

/// Manages everything in a test cluster again, as it is found.
///
/// Parameters: `cluster`: the cluster.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_arm(
    cluster: *mut quorate_test_cluster,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| Ok(cluster.arm()?))
}

/// Lets no group of a test cluster move by itself for the sake of a rule or a preference, or lets them
/// again.
///
/// Parameters: `cluster`: the cluster. `held`: whether they are held.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_hold_moves(
    cluster: *mut quorate_test_cluster,
    held: bool,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| Ok(cluster.hold_moves(held)?))
}

/// Says how often a group of a test cluster has failed on a node, in place of what was counted.
///
/// Parameters: `cluster`: the cluster. `group`: the group. `node`: the node. `count`: how often.
///
/// Returns: `QUORATE_REFUSED`, `QUORATE_MISUSE` when no node runs, or `QUORATE_TIMED_OUT`. That it
/// is accepted does not say that it is carried out.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_count_failures(
    cluster: *mut quorate_test_cluster,
    group: quorate_text,
    node: quorate_text,
    count: u32,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        Ok(cluster.count_failures(group, node, count)?)
    })
}

/// Reports how much a group of a test cluster loads its node, as measured.
///
/// Parameters: `cluster`: the cluster. `group`: the group. `load`: how much of each thing, a JSON
/// object of whole numbers.
///
/// Returns: `QUORATE_MISUSE` for what is no such object, else as
/// `quorate_test_cluster_move_group`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_report_load(
    cluster: *mut quorate_test_cluster,
    group: quorate_text,
    load: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        // SAFETY: the caller promised readable text.
        let load = unsafe { load.required("load") }?;
        Ok(cluster.report_load(group, load_of(load)?)?)
    })
}

/// Brings a configuration into force in a test cluster. What has no number in it keeps the one that it
/// has.
///
/// Parameters: `cluster`: the cluster. `config`: the configuration. `reason`: why, for the history.
/// `only_if`: only in place of this version; 0: of whichever is in force.
///
/// Returns: `QUORATE_CONFIG`, else as
/// `quorate_test_cluster_move_group`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_apply(
    cluster: *mut quorate_test_cluster,
    config: Option<&quorate_config>,
    reason: quorate_text,
    only_if: u64,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let reason = unsafe { reason.required("reason") }?;
        let config = &given(config, "config")?.config;
        Ok(apply(cluster, config, reason, (only_if > 0).then_some(only_if))?)
    })
}
