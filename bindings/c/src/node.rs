//! A running node.

use std::any::Any;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Duration;

use quorate::{Item, Node, NodeOptions, OpId};

use crate::config::quorate_config;
use crate::guard::{Fault, given, guard, output, panic_text, value};
use crate::item::quorate_item;
use crate::key::quorate_key;
use crate::status::quorate_status;
use crate::text::{Kept, quorate_string, quorate_text};

/// A node of a cluster, in this process. All calls may be made from any thread. End it with
/// `quorate_node_free`.
#[derive(Debug)]
pub struct quorate_node {
    node: Node,
    name: Kept,
    /// What went wrong in a call; from then on no call reaches the node.
    poison: OnceLock<String>,
}

impl quorate_node {
    fn poisoned(&self) -> Option<Fault> {
        let why = self.poison.get()?;
        let text = format!("the node has fenced itself: {why}");
        Some(Fault::new(quorate_status::QUORATE_POISONED, text))
    }

    /// A call has panicked: what it left behind is not to be trusted, so the node ends as in a
    /// crash.
    fn fence(&self, panic: &(dyn Any + Send)) -> Fault {
        let why = self.poison.get_or_init(|| panic_text(panic)).clone();
        self.node.kill();
        self.poisoned().unwrap_or_else(|| Fault::new(quorate_status::QUORATE_POISONED, why))
    }
}

/// Runs a call on a node. A panic poisons the handle and kills the node.
pub(crate) fn on_node(
    node: Option<&quorate_node>,
    call: impl FnOnce(&Node) -> Result<(), Fault>,
) -> quorate_status {
    guard(|| {
        let handle = given(node, "node")?;
        if let Some(fault) = handle.poisoned() {
            return Err(fault);
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| call(&handle.node)));
        outcome.unwrap_or_else(|panic| Err(handle.fence(&*panic)))
    })
}

/// A call that answers with a string.
pub(crate) fn told(
    node: Option<&quorate_node>,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
    call: impl FnOnce(&Node) -> Result<Box<quorate_string>, Fault>,
) -> quorate_status {
    on_node(node, |node| {
        let json = output(json, "json")?;
        json.write(call(node)?);
        Ok(())
    })
}

/// Runs a call that takes items. A poisoned handle still gives out what waits: among it may be the
/// last requests to kill what runs here.
fn on_items(
    node: Option<&quorate_node>,
    call: impl FnOnce(&Node) -> Result<(), Fault>,
) -> quorate_status {
    guard(|| {
        let handle = given(node, "node")?;
        let outcome = catch_unwind(AssertUnwindSafe(|| call(&handle.node)));
        let outcome = outcome.unwrap_or_else(|panic| Err(handle.fence(&*panic)));
        outcome.map_err(|fault| handle.poisoned().unwrap_or(fault))
    })
}

/// Starts a node: reads its log, opens its network, and looks for its cluster.
///
/// Parameters: `config`: the configuration. `name`: which of its nodes this is. `state_dir`: where
/// this node, and no other, keeps its log; made if its parent is there. `key`: the secret of the
/// cluster. `work_dir`: where sockets and logs of guests go, an absolute and short path; no text:
/// `run` in `state_dir`. `node`: the node, on success.
///
/// Returns: `QUORATE_CONFIG`, `QUORATE_LOG`, `QUORATE_NET`, `QUORATE_ADDRESS`,
/// `QUORATE_WORK_DIRECTORY`, `QUORATE_UNKNOWN` or `QUORATE_SYSTEM`, with nothing left running.
///
/// Memory and lifetimes: the configuration and the key stay the caller's and may be freed at once.
/// Free the node with `quorate_node_free`.
///
/// Threads: any. The node has threads of its own; none of them calls the host, and a signal that is
/// blocked here is blocked in them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_start(
    config: Option<&quorate_config>,
    name: quorate_text,
    state_dir: quorate_text,
    key: Option<&quorate_key>,
    work_dir: quorate_text,
    node: Option<&mut MaybeUninit<Box<quorate_node>>>,
) -> quorate_status {
    guard(|| {
        let (config, key) = (given(config, "config")?, given(key, "key")?);
        // SAFETY: the caller promised readable text.
        let name = unsafe { name.required("name") }?;
        // SAFETY: the caller promised readable text.
        let state_dir = unsafe { state_dir.path("state_dir") }?;
        // SAFETY: the caller promised readable text.
        let work_dir = unsafe { work_dir.optional_path("work_dir") }?;
        let place = output(node, "node")?;
        let mut options = NodeOptions::new(config.config.clone(), name, state_dir, key.0.clone());
        options.work_dir = work_dir.map(Into::into);
        let node = Node::start(options)?;
        place.write(Box::new(quorate_node {
            node,
            name: Kept::new(name),
            poison: OnceLock::new(),
        }));
        Ok(())
    })
}

/// Ends a node as `quorate_node_kill` does, and frees it. NULL is fine.
///
/// Parameters: `node`: a node, or NULL.
///
/// Memory and lifetimes: the node, its name and its descriptor end here. Items that were taken from
/// it stay valid until they are freed.
///
/// Threads: any, while no other thread is in a call on the node.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_node_free(node: Option<Box<quorate_node>>) {
    value((), || drop(node));
}

/// The node's name.
///
/// Parameters: `node`: the node.
///
/// Returns: the name; no text for NULL.
///
/// Memory and lifetimes: valid until the node is freed.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_node_name(node: Option<&quorate_node>) -> quorate_text {
    value(quorate_text::NONE, || node.map_or(quorate_text::NONE, |node| node.name.text()))
}

/// A descriptor for `poll` and `epoll`: readable while an item waits, and for ever once the node
/// has ended. Read nothing from it.
///
/// Parameters: `node`: the node. `fd`: the descriptor, on success.
///
/// Memory and lifetimes: the descriptor belongs to the node; do not close it.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_node_fd(
    node: Option<&quorate_node>,
    fd: Option<&mut MaybeUninit<std::ffi::c_int>>,
) -> quorate_status {
    on_items(node, |node| {
        output(fd, "fd")?.write(node.fd().as_raw_fd());
        Ok(())
    })
}

/// Takes the oldest item.
///
/// Parameters: `node`: the node. `item`: the item, or NULL when nothing waits, on success.
///
/// Returns: `QUORATE_ENDED` or `QUORATE_POISONED` once the node has ended and its last item was
/// taken.
///
/// Memory and lifetimes: free the item with `quorate_item_free`.
///
/// Threads: any; each item goes to one of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_take(
    node: *mut quorate_node,
    item: Option<&mut MaybeUninit<Option<Box<quorate_item>>>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    on_items(node, |node| {
        let place = output(item, "item")?;
        place.write(node.take()?.map(quorate_item::boxed));
        Ok(())
    })
}

/// Waits until an item can be taken.
///
/// Parameters: `node`: the node. `timeout_ms`: how long at most. `is_ready`: whether an item waits,
/// on success.
///
/// Returns: `QUORATE_ENDED` or `QUORATE_POISONED` once the node has ended and its last item was
/// taken.
///
/// Threads: any; this one waits.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_node_wait(
    node: Option<&quorate_node>,
    timeout_ms: u32,
    is_ready: Option<&mut MaybeUninit<bool>>,
) -> quorate_status {
    on_items(node, |node| {
        output(is_ready, "is_ready")?.write(node.wait(milliseconds(timeout_ms))?);
        Ok(())
    })
}

/// Waits for an item and takes it: the head of a host's loop.
///
/// Parameters: `node`: the node. `timeout_ms`: how long at most. `item`: the item, or NULL when
/// none came in time, on success.
///
/// Returns: `QUORATE_ENDED` or `QUORATE_POISONED` once the node has ended and its last item was
/// taken.
///
/// Memory and lifetimes: free the item with `quorate_item_free`.
///
/// Threads: any; this one waits. Each item goes to one of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_next(
    node: *mut quorate_node,
    timeout_ms: u32,
    item: Option<&mut MaybeUninit<Option<Box<quorate_item>>>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    on_items(node, |node| {
        let place = output(item, "item")?;
        let taken: Option<Item> =
            if node.wait(milliseconds(timeout_ms))? { node.take()? } else { None };
        place.write(taken.map(quorate_item::boxed));
        Ok(())
    })
}

/// Completes a request: done, or why not.
///
/// A request that a kill has cut short may be completed or not.
///
/// Parameters: `node`: the node. `op`: the request's. `error`: why it was not carried out; no text:
/// it was.
///
/// Returns: `QUORATE_MISUSE` for a request that was never made.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_complete(
    node: *mut quorate_node,
    op: u64,
    error: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    on_node(node, |node| {
        // SAFETY: the caller promised readable text.
        let error = unsafe { error.optional("error") }?;
        Ok(node.complete(OpId(op), error.map_or(Ok(()), |error| Err(error.to_owned())))?)
    })
}

/// Says that a resource with `driver = "host"` has failed by itself.
///
/// Parameters: `node`: the node. `resource`: the resource. `epoch`: that of the request which
/// started it. `detail`: what happened, for people.
///
/// Returns: `QUORATE_UNKNOWN`, `QUORATE_MISUSE` for another driver's resource, or `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_report(
    node: *mut quorate_node,
    resource: quorate_text,
    epoch: u64,
    detail: quorate_text,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    on_node(node, |node| {
        // SAFETY: the caller promised readable text.
        let resource = unsafe { resource.required("resource") }?;
        // SAFETY: the caller promised readable text.
        let detail = unsafe { detail.required("detail") }?;
        Ok(node.report(resource, epoch, detail)?)
    })
}

/// What this node knows of its cluster, at most 0.1 s old: its coordinator and quorum, the nodes,
/// the groups with their owners.
///
/// Parameters: `node`: the node. `json`: a JSON object, on success.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_node_status_json(
    node: Option<&quorate_node>,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    told(node, json, |node| {
        let text = serde_json::to_string(&node.status()?).expect("a status has text keys only");
        Ok(quorate_string::boxed(text))
    })
}

/// Why a group is where it is, and why it is not elsewhere: one sentence a line.
///
/// Parameters: `node`: the node. `group`: the group. `explanation`: the lines, on success.
///
/// Returns: `QUORATE_UNKNOWN`, `QUORATE_BUSY` or `QUORATE_TIMED_OUT`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any; this one waits, 2 s at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_explain(
    node: Option<&quorate_node>,
    group: quorate_text,
    explanation: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    on_node(node, |node| {
        let explanation = output(explanation, "explanation")?;
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        explanation.write(quorate_string::boxed(node.explain(group)?.join("\n")));
        Ok(())
    })
}

/// Leaves in good order: the groups here move away, then the node ends.
///
/// Requests for the host's own resources come meanwhile, so that another thread must serve them.
///
/// Parameters: `node`: the node. `timeout_ms`: how long to wait at most.
///
/// Returns: `QUORATE_TIMED_OUT`: it is still leaving; `quorate_node_kill` ends it at once.
///
/// Threads: any; this one waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_leave(
    node: *mut quorate_node,
    timeout_ms: u32,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    on_node(node, |node| Ok(node.leave(milliseconds(timeout_ms))?))
}

/// Leaves in good order for a short while: the groups here are stopped and kept for its return, given
/// to nobody else.
///
/// Parameters: `node`: the node. `timeout_ms`: how long to wait at most.
///
/// Returns: as for `quorate_node_leave`.
///
/// Threads: any; this one waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_leave_and_keep(
    node: *mut quorate_node,
    timeout_ms: u32,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    on_node(node, |node| Ok(node.leave_and_keep(milliseconds(timeout_ms))?))
}

/// Whether what a node runs is kept for its return when its host shuts down, as `policy.on_shutdown` says
/// in the configuration in force: then `quorate_node_leave_and_keep`, else `quorate_node_leave`.
///
/// Parameters: `node`: the node. `reboots`: whether the host boots again by itself. `keeps`: the answer,
/// on success.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_node_keeps_on_shutdown(
    node: Option<&quorate_node>,
    reboots: bool,
    keeps: Option<&mut MaybeUninit<bool>>,
) -> quorate_status {
    on_node(node, |node| {
        output(keeps, "keeps")?.write(node.keeps_on_shutdown(reboots));
        Ok(())
    })
}

/// Ends the node at once: its guests are killed, and its peers see it die as in a crash. Calling it
/// again does nothing.
///
/// Parameters: `node`: the node.
///
/// Threads: any; this one waits until nothing of the node runs, 10 s at most when storage does not
/// answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_kill(node: *mut quorate_node) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    on_node(node, |node| {
        node.kill();
        Ok(())
    })
}

pub(crate) fn milliseconds(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::quorate_error_copy;
    use crate::status::quorate_status::*;

    /// One node of a cluster whose other two never come.
    fn lonely_node(dir: &std::path::Path) -> Box<quorate_node> {
        let nodes: Vec<(String, String)> =
            ["a", "b", "c"].iter().map(|name| (name.to_string(), free_address())).collect();
        let shared = dir.join("shared");
        let text = quorate::config::template("t", 1, &nodes, &shared.to_string_lossy());
        let config = quorate::Config::from_toml_str(&text, "t").unwrap();
        let key = quorate::ClusterKey::generate().unwrap();
        let node = Node::start(NodeOptions::new(config, "a", dir.join("a"), key)).unwrap();
        Box::new(quorate_node { node, name: Kept::new("a"), poison: OnceLock::new() })
    }

    fn free_address() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    }

    fn last_error() -> String {
        let mut text = [0_u8; 256];
        // SAFETY: the array has that many bytes.
        let len = unsafe { quorate_error_copy(text.as_mut_ptr().cast(), text.len()) };
        String::from_utf8_lossy(&text[..len]).into_owned()
    }

    #[test]
    fn a_panic_in_a_call_kills_the_node_and_poisons_its_handle() {
        let dir = tempfile::tempdir().unwrap();
        let mut node = lonely_node(dir.path());
        assert_eq!(on_node(Some(&node), |_| panic!("planted")), QUORATE_POISONED);
        assert!(last_error().contains("planted"), "{}", last_error());
        assert!(matches!(node.node.status(), Err(quorate::Error::Ended)));

        // What waits may be a request to kill something, so it is still given out.
        let mut waiting = 0;
        let last = loop {
            let mut item = MaybeUninit::uninit();
            // SAFETY: the node lives.
            match unsafe { quorate_node_take(&mut *node, Some(&mut item)) } {
                QUORATE_OK => {}
                other => break other,
            }
            // SAFETY: the call has succeeded, so it has written.
            waiting += usize::from(unsafe { item.assume_init() }.is_some());
        };
        assert!(waiting > 0);
        assert_eq!(last, QUORATE_POISONED);
        // SAFETY: the node lives.
        assert_eq!(unsafe { quorate_node_kill(&mut *node) }, QUORATE_POISONED);
        quorate_node_free(Some(node));
    }

    #[test]
    fn one_node_serves_many_threads() {
        fn shared_between_threads<T: Send + Sync>() {}
        shared_between_threads::<quorate_node>();
        shared_between_threads::<quorate_config>();
        shared_between_threads::<quorate_key>();
    }
}
