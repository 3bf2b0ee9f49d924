//! Commands for whole nodes, for the whole cluster, and for groups that are looked at by hand.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::time::Duration;

use quorate::config::{NewGroup, NewNode};
use quorate::{Disarm, Failback};

use crate::command::command;
use crate::guard::Fault;
use crate::node::quorate_node;
use crate::status::quorate_status;
use crate::text::quorate_text;

/// Moves a group as `quorate_node_move_group` does, but stops it here and starts it afresh there,
/// though it could be handed over as it runs.
///
/// Parameters: `node`: the node that is asked. `group`: the group. `to`: the node to move it to; no
/// text: placement chooses. `ticket`: names the command in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_restart_group(
    node: *mut quorate_node,
    group: quorate_text,
    to: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        // SAFETY: the caller promised readable text.
        let to = unsafe { to.optional("to") }?;
        Ok(node.restart_group(group, to)?)
    })
}

/// Takes a group offline, and leaves it with its node whatever becomes of that.
///
/// Parameters: `node`: the node that is asked. `group`: the group. `ticket`: names the command in its
/// answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_disable(
    node: *mut quorate_node,
    group: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        Ok(node.disable(group)?)
    })
}

/// Leaves a group alone, running or not, until `quorate_node_manage`, or until it is commanded to be
/// online or offline.
///
/// Parameters: `node`: the node that is asked. `group`: the group. `ticket`: names the command in its
/// answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_unmanage(
    node: *mut quorate_node,
    group: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        Ok(node.unmanage(group)?)
    })
}

/// Looks after a group again, as it is found; it is to be online.
///
/// Parameters: `node`: the node that is asked. `group`: the group. `ticket`: names the command in its
/// answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_manage(
    node: *mut quorate_node,
    group: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        Ok(node.manage(group)?)
    })
}

/// Moves everything off a node, stops there what nowhere else can run, and lets nothing start there.
///
/// Parameters: `node`: the node that is asked. `target`: the node to empty. `ticket`: names the command
/// in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_empty(
    node: *mut quorate_node,
    target: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.required("target") }?;
        Ok(node.empty(target)?)
    })
}

/// Ends a pause, a drain or a quarantine, and says what returns to the node.
///
/// Parameters: `node`: the node that is asked. `target`: the node that is paused. `failback`: `now`:
/// what was drained from it; `policy`: what fails back by its own policy; `never`: nothing. `ticket`:
/// names the command in its answer, on success.
///
/// Returns: `QUORATE_MISUSE` for another word, or `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_resume_with(
    node: *mut quorate_node,
    target: quorate_text,
    failback: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.required("target") }?;
        // SAFETY: the caller promised readable text.
        let failback = unsafe { failback.required("failback") }?;
        Ok(node.resume_with(target, failback_of(failback)?)?)
    })
}

/// Ends a pause or a drain, and brings back what was drained; a quarantine goes on.
///
/// Parameters: `node`: the node that is asked. `target`: the node that is drained. `ticket`: names the
/// command in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_end_drain(
    node: *mut quorate_node,
    target: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.required("target") }?;
        Ok(node.end_drain(target)?)
    })
}

/// Starts, stops and moves nothing until `quorate_node_arm`. Nodes are still fenced.
///
/// Parameters: `node`: the node that is asked. `mode`: what is said of the groups meanwhile: `freeze`
/// or `ignore`. `ttl_ms`: after how long the cluster arms itself; 0: not by itself. `ticket`: names the
/// command in its answer, on success.
///
/// Returns: `QUORATE_MISUSE` for another word, or `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_disarm(
    node: *mut quorate_node,
    mode: quorate_text,
    ttl_ms: u64,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let mode = unsafe { mode.required("mode") }?;
        let ttl = (ttl_ms > 0).then(|| Duration::from_millis(ttl_ms));
        Ok(node.disarm(disarm_of(mode)?, ttl)?)
    })
}

/// Manages everything again, as it is found.
///
/// Parameters: `node`: the node that is asked.  `ticket`: names the command in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_arm(
    node: *mut quorate_node,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| Ok(node.arm()?))
}

/// Lets no group move by itself for the sake of a rule or a preference, or lets them again.
///
/// Parameters: `node`: the node that is asked. `held`: whether they are held. `ticket`: names the
/// command in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_hold_moves(
    node: *mut quorate_node,
    held: bool,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| Ok(node.hold_moves(held)?))
}

/// Lets a node coordinate no more, until its next boot, or lets it again.
///
/// Parameters: `node`: the node that is asked. `target`: the node. `may`: whether it may. `ticket`:
/// names the command in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_let_coordinate(
    node: *mut quorate_node,
    target: quorate_text,
    may: bool,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.required("target") }?;
        Ok(node.let_coordinate(target, may)?)
    })
}

/// Fences a node, though it is heard: it gets nothing more, and what it runs starts elsewhere once it
/// is proven harmless.
///
/// Parameters: `node`: the node that is asked. `target`: the node to fence. `reason`: who wants it, and
/// why; the recording keeps it. `ticket`: names the command in its answer, on success.
///
/// Returns: `QUORATE_MISUSE` without a reason, or `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_fence(
    node: *mut quorate_node,
    target: quorate_text,
    reason: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.required("target") }?;
        // SAFETY: the caller promised readable text.
        let reason = unsafe { reason.required("reason") }?;
        Ok(node.fence(target, reason)?)
    })
}

/// Says how often a group has failed on a node, in place of what was counted.
///
/// Parameters: `node`: the node that is asked. `group`: the group. `target`: the node. `count`: how
/// often. `ticket`: names the command in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_count_failures(
    node: *mut quorate_node,
    group: quorate_text,
    target: quorate_text,
    count: u32,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.required("target") }?;
        Ok(node.count_failures(group, target, count)?)
    })
}

/// Forgets that a group has failed on a node: it may run there again.
///
/// Parameters: `node`: the node that is asked. `group`: the group. `target`: the node. `ticket`: names
/// the command in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_clean_up(
    node: *mut quorate_node,
    group: quorate_text,
    target: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.required("target") }?;
        Ok(node.clean_up(group, target)?)
    })
}

/// Reports how much a group loads its node, as measured: placement uses it in place of what is
/// configured.
///
/// Parameters: `node`: the node that is asked. `group`: the group. `load`: how much of each thing, a
/// JSON object of whole numbers. `ticket`: names the command in its answer, on success.
///
/// Returns: `QUORATE_MISUSE` for what is no such object, or `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_report_load(
    node: *mut quorate_node,
    group: quorate_text,
    load: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        // SAFETY: the caller promised readable text.
        let load = unsafe { load.required("load") }?;
        Ok(node.report_load(group, load_of(load)?)?)
    })
}

/// Takes a group into the configuration. It is offline, or on its way if it is to start by itself.
///
/// Parameters: `node`: the node that is asked. `toml`: its `[[groups]]`, `[[luns]]` and `[[rules]]`, as
/// in a cluster.toml. `ticket`: names the command in its answer, on success.
///
/// Returns: `QUORATE_CONFIG` or `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_add_group(
    node: *mut quorate_node,
    toml: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let toml = unsafe { toml.required("toml") }?;
        let new = NewGroup::from_toml_str(toml, "the group")?;
        Ok(node.add_group(&new)?)
    })
}

/// Takes a group out of the configuration. Refused while it runs: take it offline before, or unmanage it,
/// if it is to run on with nobody to look after it.
///
/// Parameters: `node`: the node that is asked. `group`: the group. `ticket`: names the command in its
/// answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_remove_group(
    node: *mut quorate_node,
    group: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        Ok(node.remove_group(group)?)
    })
}

/// Takes a node into the cluster. It joins when it is started with the key and a file that names it, and votes,
/// if it is to, once it has caught up.
///
/// Parameters: `node`: the node that is asked. `toml`: its `[[nodes]]`, as in a cluster.toml. `ticket`:
/// names the command in its answer, on success.
///
/// Returns: `QUORATE_CONFIG` or `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_add_node(
    node: *mut quorate_node,
    toml: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let toml = unsafe { toml.required("toml") }?;
        let new = NewNode::from_toml_str(toml, "the node")?;
        Ok(node.add_node(&new)?)
    })
}

/// Takes a node out of the cluster for ever. Refused while it has a group, while it is down and not proven
/// harmless, and where the rest would be no majority. It is gone when the status names it no more.
///
/// Parameters: `node`: the node that is asked. `name`: the node that goes. `ticket`: names the command in its
/// answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_evict_node(
    node: *mut quorate_node,
    name: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let name = unsafe { name.required("name") }?;
        Ok(node.evict_node(name)?)
    })
}

pub(crate) fn failback_of(word: &str) -> Result<Failback, Fault> {
    match word {
        "now" => Ok(Failback::Now),
        "policy" => Ok(Failback::ByPolicy),
        "never" => Ok(Failback::Never),
        other => Err(unknown("failback", other, "now, policy, never")),
    }
}

pub(crate) fn disarm_of(word: &str) -> Result<Disarm, Fault> {
    match word {
        "freeze" => Ok(Disarm::Freeze),
        "ignore" => Ok(Disarm::Ignore),
        other => Err(unknown("mode", other, "freeze, ignore")),
    }
}

pub(crate) fn load_of(json: &str) -> Result<BTreeMap<String, u64>, Fault> {
    serde_json::from_str(json).map_err(|error| {
        let text = format!("load: {error}; give a JSON object of whole numbers");
        Fault::new(quorate_status::QUORATE_MISUSE, text)
    })
}

fn unknown(what: &str, word: &str, known: &str) -> Fault {
    let text = format!("{what} {word:?} is not known; known are: {known}");
    Fault::new(quorate_status::QUORATE_MISUSE, text)
}
