//! Commands to the cluster: each gives a ticket, and an answer follows as an item.

use std::mem::MaybeUninit;

use quorate::{Node, Ticket};

use crate::guard::{Fault, output};
use crate::node::{milliseconds, on_node, quorate_node};
use crate::status::quorate_status;
use crate::text::quorate_text;

/// Moves a group: saved, handed over and resumed where it can be, else stopped and started.
///
/// Parameters: `node`: the node. `group`: the group. `to`: the node to move it to; no text:
/// placement chooses. `ticket`: names the command in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_move_group(
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
        Ok(node.move_group(group, to)?)
    })
}

/// Brings a group online.
///
/// Parameters: `node`: the node. `group`: the group. `ticket`: names the command in its answer, on
/// success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_online(
    node: *mut quorate_node,
    group: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        Ok(node.online(group)?)
    })
}

/// Takes a group offline, and keeps it there.
///
/// Parameters: `node`: the node. `group`: the group. `ticket`: names the command in its answer, on
/// success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_offline(
    node: *mut quorate_node,
    group: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        Ok(node.offline(group)?)
    })
}

/// Moves everything off a node, and lets nothing start there.
///
/// Parameters: `node`: the node that is asked. `target`: the node to drain. `ticket`: names the
/// command in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_drain(
    node: *mut quorate_node,
    target: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.required("target") }?;
        Ok(node.drain(target)?)
    })
}

/// Lets nothing new start on a node; what runs there stays.
///
/// Parameters: `node`: the node that is asked. `target`: the node to pause. `ticket`: names the
/// command in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_pause(
    node: *mut quorate_node,
    target: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.required("target") }?;
        Ok(node.pause(target)?)
    })
}

/// Ends a pause or a drain.
///
/// Parameters: `node`: the node that is asked. `target`: the node that is paused. `ticket`: names
/// the command in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_resume(
    node: *mut quorate_node,
    target: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.required("target") }?;
        Ok(node.resume(target)?)
    })
}

/// A human's word, with a reason, that a node which is down runs nothing and writes nothing.
///
/// Parameters: `node`: the node that is asked. `target`: the node that is down. `reason`: how it is
/// known. `ticket`: names the command in its answer, on success.
///
/// Returns: `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_confirm_fenced(
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
        Ok(node.confirm_fenced(target, reason)?)
    })
}

/// Waits for the answer to a command; it is then no longer among the items.
///
/// Parameters: `node`: the node. `ticket`: the command's. `timeout_ms`: how long at most.
///
/// Returns: `QUORATE_OK`: it was accepted and committed, not that it is carried out.
/// `QUORATE_REFUSED`: the error text says why. `QUORATE_TIMED_OUT`: its answer may still come as an
/// item.
///
/// Threads: any; this one waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_command_wait(
    node: *mut quorate_node,
    ticket: u64,
    timeout_ms: u32,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    on_node(node, |node| Ok(node.command_wait(Ticket(ticket), milliseconds(timeout_ms))?))
}

pub(crate) fn command(
    node: Option<&quorate_node>,
    place: Option<&mut MaybeUninit<u64>>,
    call: impl FnOnce(&Node) -> Result<Ticket, Fault>,
) -> quorate_status {
    on_node(node, |node| {
        let place = output(place, "ticket")?;
        place.write(call(node)?.0);
        Ok(())
    })
}
