//! A whole cluster in virtual time, for the tests of a host.

use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quorate::testing::{Cluster, Error, HostState, RequestId, real_request, real_status};

use crate::config::quorate_config;
use crate::guard::{Fault, given, guard, output, value};
use crate::item::quorate_item;
use crate::status::quorate_status;
use crate::text::{quorate_string, quorate_text};

/// What paths of LUNs and saved states begin with, in requests of a test cluster.
const DIRECTORY: &str = "test-cluster";

/// A whole cluster in virtual time: nothing happens in it but while it is run. Free it with
/// `quorate_test_cluster_free`.
pub struct quorate_test_cluster(Mutex<Cluster>);

/// What the host of a node does.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum quorate_host_state {
    /// Its process runs.
    QUORATE_HOST_RUNS = 0,
    /// Its process stands still.
    QUORATE_HOST_PAUSED = 1,
    /// It has power, and its process does not run.
    QUORATE_HOST_ENDED = 2,
    /// It has no power.
    QUORATE_HOST_OFF = 3,
}

/// Runs a call on a test cluster.
pub(crate) fn on_cluster(
    cluster: Option<&quorate_test_cluster>,
    call: impl FnOnce(&mut Cluster) -> Result<(), Fault>,
) -> quorate_status {
    guard(|| {
        // What a panic has left behind is data of a test; nothing real hangs on it.
        let mutex = &given(cluster, "cluster")?.0;
        call(&mut mutex.lock().unwrap_or_else(PoisonError::into_inner))
    })
}

/// Runs a call on what a test cluster calls by a name.
///
/// # Safety
/// `cluster` lives or is NULL, and `name` can be read.
pub(crate) unsafe fn on_named(
    cluster: *mut quorate_test_cluster,
    name: quorate_text,
    what: &'static str,
    call: impl FnOnce(&mut Cluster, &str) -> Result<(), Error>,
) -> quorate_status {
    // SAFETY: see above.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: see above.
        let name = unsafe { name.required(what) }?;
        Ok(call(cluster, name)?)
    })
}

/// Makes a test cluster of so many nodes, `n1` and on, with one group `vm1` on a LUN that refuses
/// stale writers. The simulator's own guest plays its resource, which is called `vm1` too, unless
/// `quorate_test_cluster_answer_for` says otherwise.
///
/// Parameters: `nodes`: how many. `seed`: the same seed gives the same run. `cluster`: the cluster,
/// on success.
///
/// Returns: `QUORATE_CONFIG` when so many nodes cannot be.
///
/// Memory and lifetimes: free the cluster with `quorate_test_cluster_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_test_cluster_new(
    nodes: u16,
    seed: u64,
    cluster: Option<&mut MaybeUninit<Box<quorate_test_cluster>>>,
) -> quorate_status {
    guard(|| {
        let place = output(cluster, "cluster")?;
        place.write(Box::new(quorate_test_cluster(Mutex::new(Cluster::new(nodes, seed)?))));
        Ok(())
    })
}

/// Makes a test cluster as `quorate_test_cluster_new` does, with a witness: it votes where the nodes
/// are even in number.
///
/// Parameters: `nodes`: how many. `seed`: the same seed gives the same run. `cluster`: the cluster, on
/// success.
///
/// Memory and lifetimes: free it with `quorate_test_cluster_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_test_cluster_new_with_witness(
    nodes: u16,
    seed: u64,
    cluster: Option<&mut MaybeUninit<Box<quorate_test_cluster>>>,
) -> quorate_status {
    guard(|| {
        let place = output(cluster, "cluster")?;
        let made = Cluster::builder().nodes(nodes).seed(seed).witness(true).build()?;
        place.write(Box::new(quorate_test_cluster(Mutex::new(made))));
        Ok(())
    })
}

/// Makes the test cluster of a configuration; drivers and their settings are left aside.
///
/// Parameters: `config`: the configuration. `seed`: the same seed gives the same run. `cluster`:
/// the cluster, on success.
///
/// Memory and lifetimes: the configuration stays the caller's and may be freed at once. Free the
/// cluster with `quorate_test_cluster_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_test_cluster_of_config(
    config: Option<&quorate_config>,
    seed: u64,
    cluster: Option<&mut MaybeUninit<Box<quorate_test_cluster>>>,
) -> quorate_status {
    guard(|| {
        let config = given(config, "config")?.config.cluster().clone();
        let place = output(cluster, "cluster")?;
        place.write(Box::new(quorate_test_cluster(Mutex::new(Cluster::of(config, seed)))));
        Ok(())
    })
}

/// Frees a test cluster. NULL is fine.
///
/// Parameters: `cluster`: a cluster, or NULL.
///
/// Memory and lifetimes: the cluster ends here; items taken from it stay valid until they are freed.
///
/// Threads: any, while no other thread is in a call on the cluster.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_test_cluster_free(cluster: Option<Box<quorate_test_cluster>>) {
    value((), || drop(cluster));
}

/// How much virtual time has passed.
///
/// Parameters: `cluster`: the cluster. `now_ms`: the time, on success.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_now_ms(
    cluster: *mut quorate_test_cluster,
    now_ms: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        output(now_ms, "now_ms")?.write(ms(cluster.now()));
        Ok(())
    })
}

/// Lets virtual time pass.
///
/// Parameters: `cluster`: the cluster. `length_ms`: how much.
///
/// Returns: `QUORATE_VIOLATION`: a promise of quorate was broken, and the cluster stands still for
/// good.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_run(
    cluster: *mut quorate_test_cluster,
    length_ms: u64,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| Ok(cluster.run(Duration::from_millis(length_ms))?))
}

/// Lets virtual time pass until the cluster is at rest: nothing is under way, and for a while no
/// node and no group has changed its state.
///
/// Parameters: `cluster`: the cluster.
///
/// Returns: `QUORATE_TIMED_OUT` when it has not come to rest in the time that a healed cluster may
/// take, or `QUORATE_VIOLATION`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_settle(
    cluster: *mut quorate_test_cluster,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| Ok(cluster.settle()?))
}

/// The node on which all of a group runs, in truth.
///
/// Parameters: `cluster`: the cluster. `group`: the group. `owner`: its node, on success; NULL: it
/// runs nowhere as a whole.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_owner_of(
    cluster: *mut quorate_test_cluster,
    group: quorate_text,
    owner: Option<&mut MaybeUninit<Option<Box<quorate_string>>>>,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        let place = output(owner, "owner")?;
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        place.write(cluster.owner_of(group)?.map(quorate_string::boxed));
        Ok(())
    })
}

/// For how long a group has run nowhere in all, since it first ran.
///
/// Parameters: `cluster`: the cluster. `group`: the group. `outage_ms`: how long, on success.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_outage_of(
    cluster: *mut quorate_test_cluster,
    group: quorate_text,
    outage_ms: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        let place = output(outage_ms, "outage_ms")?;
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        place.write(ms(cluster.outage_of(group)?));
        Ok(())
    })
}

/// What the host of a node does.
///
/// Parameters: `cluster`: the cluster. `node`: the node. `state`: what it does, on success.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_host_state(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
    state: Option<&mut MaybeUninit<quorate_host_state>>,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        let place = output(state, "state")?;
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        place.write(match cluster.host_state(node)? {
            HostState::Runs => quorate_host_state::QUORATE_HOST_RUNS,
            HostState::Paused => quorate_host_state::QUORATE_HOST_PAUSED,
            HostState::Ended => quorate_host_state::QUORATE_HOST_ENDED,
            HostState::Off => quorate_host_state::QUORATE_HOST_OFF,
        });
        Ok(())
    })
}

/// What a node of a test cluster believes, or the newest view that any has; as
/// `quorate_node_status_json` gives it.
///
/// Parameters: `cluster`: the cluster. `node`: the node; no text: whoever knows most. `json`: a
/// JSON object, on success; `null`: nobody can say.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_status_json(
    cluster: *mut quorate_test_cluster,
    node: quorate_text,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        let place = output(json, "json")?;
        // SAFETY: the caller promised readable text.
        let status = match unsafe { node.optional("node") }? {
            Some(node) => cluster.status_of(node)?,
            None => cluster.status(),
        };
        let status = status.map(|status| real_status(status, cluster.now()));
        place.write(json_string(&status));
        Ok(())
    })
}

/// What really happened in a test cluster, in order.
///
/// Parameters: `cluster`: the cluster. `json`: a JSON array, on success; each entry has `at` in
/// nanoseconds, `kind`, `subject`, `node` and `detail`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_timeline_json(
    cluster: *mut quorate_test_cluster,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        output(json, "json")?.write(json_string(&cluster.timeline()));
        Ok(())
    })
}

/// What really happened in a test cluster, as one self-contained HTML page.
///
/// Parameters: `cluster`: the cluster. `html`: the page, on success.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_html(
    cluster: *mut quorate_test_cluster,
    html: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        output(html, "html")?.write(quorate_string::boxed(cluster.html()));
        Ok(())
    })
}

/// Lets the requests for a resource, on every node, wait for the test, which takes and completes
/// them. Call it before time passes.
///
/// Parameters: `cluster`: the cluster. `resource`: the resource.
///
/// Returns: `QUORATE_UNKNOWN`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_answer_for(
    cluster: *mut quorate_test_cluster,
    resource: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let resource = unsafe { resource.required("resource") }?;
        Ok(cluster.answer_for(resource)?)
    })
}

/// Lets virtual time pass until a request waits for the test, and takes it. A request that is not
/// completed takes as long as the cluster is run.
///
/// Parameters: `cluster`: the cluster. `timeout_ms`: how long at most, in virtual time. `item`: the
/// request, on success; its `node` says whose resource is meant. Paths of LUNs and states in it
/// begin with `test-cluster/`; nothing is there.
///
/// Returns: `QUORATE_TIMED_OUT` or `QUORATE_VIOLATION`.
///
/// Memory and lifetimes: free the item with `quorate_item_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_next_request(
    cluster: *mut quorate_test_cluster,
    timeout_ms: u64,
    item: Option<&mut MaybeUninit<Box<quorate_item>>>,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        let place = output(item, "item")?;
        let request = cluster.next_request(Duration::from_millis(timeout_ms))?;
        let real = real_request(&request, Path::new(DIRECTORY));
        place.write(quorate_item::test_request(real, &request.node));
        Ok(())
    })
}

/// Completes a request that was taken from a test cluster: done, or why not. One that something
/// has overtaken may be completed or not.
///
/// Parameters: `cluster`: the cluster. `op`: the request's. `error`: why it was not carried out; no
/// text: it was.
///
/// Returns: `QUORATE_MISUSE` for a request that was never made, or is completed.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_complete(
    cluster: *mut quorate_test_cluster,
    op: u64,
    error: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let error = unsafe { error.optional("error") }?;
        let result = error.map_or(Ok(()), |error| Err(error.to_owned()));
        Ok(cluster.complete(RequestId(op), result)?)
    })
}

/// Says that what runs of a resource on a node of a test cluster has failed by itself.
///
/// Parameters: `cluster`: the cluster. `resource`: the resource. `node`: where. `detail`: what
/// happened, for people.
///
/// Returns: `QUORATE_UNKNOWN`, or `QUORATE_MISUSE` when nothing of it runs there.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_test_cluster_report(
    cluster: *mut quorate_test_cluster,
    resource: quorate_text,
    node: quorate_text,
    detail: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a cluster that lives, or NULL.
    let cluster = unsafe { cluster.as_ref() };
    on_cluster(cluster, |cluster| {
        // SAFETY: the caller promised readable text.
        let resource = unsafe { resource.required("resource") }?;
        // SAFETY: the caller promised readable text.
        let node = unsafe { node.required("node") }?;
        // SAFETY: the caller promised readable text.
        let detail = unsafe { detail.required("detail") }?;
        Ok(cluster.report(resource, node, detail)?)
    })
}

fn json_string(data: &impl serde::Serialize) -> Box<quorate_string> {
    let text = serde_json::to_string(data).expect("what quorate gives out has text keys only");
    quorate_string::boxed(text)
}

fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
