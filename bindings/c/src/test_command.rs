//! Commands to a test cluster: each is given to a node that runs, and virtual time passes until it is answered.

use crate::status::quorate_status;
use crate::test_cluster::{on_cluster, quorate_test_cluster};
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
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        Ok(cluster.online(group)?)
    })
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
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        Ok(cluster.offline(group)?)
    })
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
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        Ok(cluster.drain(node)?)
    })
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
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        Ok(cluster.pause_node(node)?)
    })
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
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        Ok(cluster.resume_node(node)?)
    })
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
