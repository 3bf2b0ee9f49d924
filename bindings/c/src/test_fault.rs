//! What a test does to its cluster: everything holds until it is undone, nothing comes back by itself.

use std::time::Duration;

use quorate::testing::Cluster;

use crate::status::quorate_status;
use crate::test_cluster::{on_cluster, on_named, quorate_test_cluster};
use crate::text::quorate_text;

/// Kills the process of a node: what runs there dies with it.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_crash(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::crash) }
}

/// Takes the power of a node's host.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_power_off(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::power_off) }
}

/// Gives a node's host power if it has none, and starts its process if none runs.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_start(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::start) }
}

/// Asks a node to leave in order: what runs there moves away, then its process ends.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_leave(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::leave) }
}

/// Stops a node's process for some time, as SIGSTOP does. If nothing but time protects what runs
/// there, the host's watchdog resets it.
///
/// Parameters: `cluster`: the cluster. `node`: the node. `length_ms`: how long, in virtual time.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_pause(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
    length_ms: u64,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        Ok(cluster.pause(node, Duration::from_millis(length_ms))?)
    })
}

/// Lets only the engine of a node hang for some time; the I/O of its guests goes on.
///
/// Parameters: `cluster`: the cluster. `node`: the node. `length_ms`: how long, in virtual time.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_hang_engine(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
    length_ms: u64,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        Ok(cluster.hang_engine(node, Duration::from_millis(length_ms))?)
    })
}

/// Cuts a node off all others, on every network. Its way to storage stays.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_cut(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::cut) }
}

/// Lets nothing that a node says be heard; it still hears the others.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_mute(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::mute) }
}

/// Lets a node hear nothing; it is still heard.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_deafen(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::deafen) }
}

/// Cuts a node off one network.
///
/// Parameters: `cluster`: the cluster. `node`: the node. `network`: the network, from 0.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_cut_network(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
    network: u8,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        Ok(cluster.cut_network(node, network)?)
    })
}

/// Lets one network fail for all nodes.
///
/// Parameters: `cluster`: the cluster. `network`: the network, from 0.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_lose_network(
    cluster: *mut quorate_test_cluster,
    network: u8,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| Ok(cluster.lose_network(network)?))
}

/// Cuts two nodes off each other, on every network.
///
/// Parameters: `cluster`: the cluster. `one`: a node. `other`: another.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_cut_between(
    cluster: *mut quorate_test_cluster,
    one: quorate_text,
    other: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let one = unsafe { one.required("one") }?;
        // SAFETY: the caller promised readable text.
        let other = unsafe { other.required("other") }?;
        Ok(cluster.cut_between(one, other)?)
    })
}

/// Mends every link of a node.
///
/// Parameters: `cluster`: the cluster. `node`: the node.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_mend(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, node, "node", Cluster::mend) }
}

/// Cuts the way of a node to a LUN, or to all.
///
/// Parameters: `cluster`: the cluster. `node`: the node. `lun`: the LUN; no text: all.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_cut_storage(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
    lun: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        // SAFETY: the caller promised readable text.
        let lun = unsafe { lun.optional("lun") }?;
        Ok(cluster.cut_storage(node, lun)?)
    })
}

/// Mends the way of a node to a LUN, or to all.
///
/// Parameters: `cluster`: the cluster. `node`: the node. `lun`: the LUN; no text: all.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_mend_storage(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
    lun: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        // SAFETY: the caller promised readable text.
        let lun = unsafe { lun.optional("lun") }?;
        Ok(cluster.mend_storage(node, lun)?)
    })
}

/// Lets a node reach the witness no more, or all nodes.
///
/// Parameters: `cluster`: the cluster. `node`: the node; no text: all.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_cut_witness(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.optional("node") }?;
        Ok(cluster.cut_witness(node)?)
    })
}

/// Lets a node reach the witness again, or all nodes.
///
/// Parameters: `cluster`: the cluster. `node`: the node; no text: all.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_mend_witness(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.optional("node") }?;
        Ok(cluster.mend_witness(node)?)
    })
}

/// Lets what runs of a group die where it runs.
///
/// Parameters: `cluster`: the cluster. `group`: the group.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_kill_guest(
    cluster: *mut quorate_test_cluster,
    group: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, group, "group", Cluster::kill_guest) }
}

/// Lets the next starts of a resource fail, on one node or on each.
///
/// Parameters: `cluster`: the cluster. `resource`: the resource. `node`: the node; no text: each.
/// `count`: how many starts.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_fail_starts(
    cluster: *mut quorate_test_cluster,
    resource: quorate_text,
    node: quorate_text,
    count: u32,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let resource = unsafe { resource.required("resource") }?;
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.optional("node") }?;
        Ok(cluster.fail_starts(resource, node, count)?)
    })
}

/// Lets a resource hang when it is next asked to stop, on every node: it must be killed.
///
/// Parameters: `cluster`: the cluster. `resource`: the resource.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_hang_at_stop(
    cluster: *mut quorate_test_cluster,
    resource: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL, and readable text.
    unsafe { on_named(cluster, resource, "resource", Cluster::hang_at_stop) }
}

/// Mends all links and ways to storage, ends all pauses, switches every host on and starts every
/// process. Starts that were to fail succeed again.
///
/// Parameters: `cluster`: the cluster.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_heal(
    cluster: *mut quorate_test_cluster,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        cluster.heal();
        Ok(())
    })
}
