//! The configuration as a value: which one is in force, what another one would do, and how it comes into force.

use std::mem::MaybeUninit;

use quorate::Plan;
use serde::Serialize;
use serde_json::json;

use crate::command::command;
use crate::config::quorate_config;
use crate::guard::{given, guard, output};
use crate::node::{on_node, quorate_node, told};
use crate::status::quorate_status;
use crate::text::{quorate_string, quorate_text};

/// Brings a configuration into force. What has no number in it keeps the one that it has.
///
/// Parameters: `node`: the node that is asked. `config`: the configuration. `reason`: why, for the
/// history. `only_if`: only in place of this version; 0: of whichever is in force. `ticket`: names the
/// command in its answer, on success.
///
/// Returns: `QUORATE_CONFIG` or `QUORATE_BUSY`; the answer may be a refusal that names the place and
/// the remedy.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_apply(
    node: *mut quorate_node,
    config: Option<&quorate_config>,
    reason: quorate_text,
    only_if: u64,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let reason = unsafe { reason.required("reason") }?;
        let config = given(config, "config")?;
        Ok(node.apply(&config.config, reason, (only_if > 0).then_some(only_if))?)
    })
}

/// Brings back a version of the configuration, as a version of its own.
///
/// Parameters: `node`: the node that is asked. `version`: which one; 0: the one before that in force.
/// `reason`: why, for the history. `ticket`: names the command in its answer, on success.
///
/// Returns: `QUORATE_REFUSED` for a version that is not kept, `QUORATE_TIMED_OUT`, or `QUORATE_BUSY`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_roll_back(
    node: *mut quorate_node,
    version: u64,
    reason: quorate_text,
    ticket: Option<&mut MaybeUninit<u64>>,
) -> quorate_status {
    // SAFETY: the caller promised a node that lives, or NULL.
    let node = unsafe { node.as_ref() };
    command(node, ticket, |node| {
        // SAFETY: the caller promised readable text.
        let reason = unsafe { reason.required("reason") }?;
        Ok(node.roll_back((version > 0).then_some(version), reason)?)
    })
}

/// The configuration in force, as far as this node has heard; its own file counts for nothing any more.
///
/// Parameters: `node`: the node. `version`: its number, 1 is what the cluster was founded with; on
/// success. `config`: the configuration, on success.
///
/// Returns: `QUORATE_REFUSED` before this node belongs to a cluster, `QUORATE_TIMED_OUT`, or
/// `QUORATE_BUSY`.
///
/// Memory and lifetimes: free the configuration with `quorate_config_free`.
///
/// Threads: any; this one waits, 2 s at most.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_node_configuration(
    node: Option<&quorate_node>,
    version: Option<&mut MaybeUninit<u64>>,
    config: Option<&mut MaybeUninit<Box<quorate_config>>>,
) -> quorate_status {
    on_node(node, |node| {
        let (version, config) = (output(version, "version")?, output(config, "config")?);
        let found = node.configuration()?;
        version.write(found.version);
        config.write(quorate_config::boxed(found.config));
        Ok(())
    })
}

/// What would become of the cluster, as it stands, if a configuration were in force.
///
/// Parameters: `node`: the node. `config`: the configuration. `json`: a JSON object, on success:
/// `version`, `differences`, `effects`, `refusal`, and the same for people in `text`.
///
/// Returns: as for `quorate_node_configuration`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any; this one waits, 2 s at most.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_node_plan_json(
    node: Option<&quorate_node>,
    config: Option<&quorate_config>,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    on_node(node, |node| {
        let (config, json) = (given(config, "config")?, output(json, "json")?);
        json.write(plan_string(&node.plan(&config.config)?));
        Ok(())
    })
}

/// What the drain of a node would do, without doing it: what moves, what that displaces, and what would
/// stay there, since no other node can run it.
///
/// Parameters: `node`: the node that is asked. `target`: the node that would be drained. `json`: a JSON
/// object, on success, as of `quorate_node_plan_json`.
///
/// Returns: `QUORATE_REFUSED` for a node that is not known, or as for `quorate_node_configuration`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any; this one waits, 2 s at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_plan_drain_json(
    node: Option<&quorate_node>,
    target: quorate_text,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    told(node, json, |node| {
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.required("target") }?;
        Ok(plan_string(&node.plan_drain(target)?))
    })
}

/// What the move of a group would do, without doing it.
///
/// Parameters: `node`: the node that is asked. `group`: the group. `target`: the node to which it would
/// go; no text: the one that placement chooses. `json`: a JSON object, on success, as of
/// `quorate_node_plan_json`; a move that would be refused has its reason in `refusal`.
///
/// Returns: as for `quorate_node_plan_drain_json`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any; this one waits, 2 s at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_plan_move_json(
    node: Option<&quorate_node>,
    group: quorate_text,
    target: quorate_text,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    told(node, json, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.optional("target") }?;
        Ok(plan_string(&node.plan_move(group, target)?))
    })
}

/// The versions of the configuration that are remembered, oldest first; the last one is in force.
///
/// Parameters: `node`: the node. `json`: a JSON list of objects, on success: `number`, `unix_ms`,
/// `cluster_ms`, `reason`, `in_force`, `kept`.
///
/// Returns: as for `quorate_node_configuration`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any; this one waits, 2 s at most.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_node_history_json(
    node: Option<&quorate_node>,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    told(node, json, |node| Ok(plain_string(&node.history()?)))
}

/// Why a group is where it is, and why it is not elsewhere, as data.
///
/// Parameters: `node`: the node. `group`: the group. `json`: a JSON object, on success: `group`,
/// `state`, `owner`, `placement`, `not_there` (for each other node its `code`, `rule` and `text`),
/// `sentences` and more.
///
/// Returns: `QUORATE_UNKNOWN`, or as for `quorate_node_configuration`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any; this one waits, 2 s at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_explanation_json(
    node: Option<&quorate_node>,
    group: quorate_text,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    told(node, json, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        Ok(plain_string(&node.explanation(group)?))
    })
}

/// Why a group is not on a node.
///
/// Parameters: `node`: the node that is asked. `group`: the group. `target`: the node that it is not
/// on. `json`: a JSON object, on success: `node`, `code`, `rule`, `cannot`, `text`, `would_need` (what would
/// have to be otherwise, all of it); or `null`: it is
/// there, or would be placed there.
///
/// Returns: `QUORATE_UNKNOWN`, or as for `quorate_node_configuration`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any; this one waits, 2 s at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_why_not_json(
    node: Option<&quorate_node>,
    group: quorate_text,
    target: quorate_text,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    told(node, json, |node| {
        // SAFETY: the caller promised readable text.
        let group = unsafe { group.required("group") }?;
        // SAFETY: the caller promised readable text.
        let target = unsafe { target.required("target") }?;
        Ok(plain_string(&node.why_not(group, target)?))
    })
}

/// Why a node asked a driver, or its host, for something, back to what came in from outside.
///
/// Parameters: `node`: the node that asked. `op`: the number of a request, or `op` of a notice `requested` or
/// `completed`. `json`: a JSON object, on success: `group`, `at_ms`, `chain` (the nearest cause first; each with
/// `code`, `is_input`, `at_ms`, `text`); or `null`: it is none of the newest 512 requests to resources and LUNs.
///
/// Returns: as for `quorate_node_configuration`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any; this one waits, 2 s at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_explain_action_json(
    node: Option<&quorate_node>,
    op: u64,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    told(node, json, |node| Ok(plain_string(&node.explain_action(quorate::OpId(op))?)))
}

/// What would have no place after each loss of some nodes, as the cluster stands.
///
/// Parameters: `node`: the node that is asked. `losses`: how many nodes are lost together, 4 at most.
/// `json`: a JSON object, on success: `tried`, `failing`, `losses` (each with `nodes` and `unplaced`).
///
/// Returns: as for `quorate_node_configuration`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any; this one waits, 2 s at most, and works it out.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_node_survival_json(
    node: Option<&quorate_node>,
    losses: u32,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    told(node, json, |node| Ok(plain_string(&node.survival(losses)?)))
}

/// What has no place after each loss of some nodes, when everything that is started by itself runs and every node is
/// open before.
///
/// Parameters: `config`: the configuration. `losses`, `json`: as for `quorate_node_survival_json`.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_survival_json(
    config: Option<&quorate_config>,
    losses: u32,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    guard(|| {
        let (config, json) = (given(config, "config")?, output(json, "json")?);
        json.write(plain_string(&config.config.survival(losses)));
        Ok(())
    })
}

/// Rules, owners or room that leave a group without a place though every node is open: the fewest that suffice.
///
/// Parameters: `config`: the configuration. `json`: a JSON object, on success: `group`, `rules`,
/// `room`; or `null`: everything can run.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_conflict_json(
    config: Option<&quorate_config>,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    guard(|| {
        let (config, json) = (given(config, "config")?, output(json, "json")?);
        json.write(plain_string(&config.config.conflict()));
        Ok(())
    })
}

/// What would become of a cluster of which a status was saved, if another configuration were in force.
///
/// Parameters: `current`: the configuration that it had then. `status`: what `quorate_node_status_json`
/// or `quorate status --json` wrote. `next`: the other configuration. `json`: as for
/// `quorate_node_plan_json`.
///
/// Returns: `QUORATE_CONFIG` when they do not belong together.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_plan_of_status_json(
    current: Option<&quorate_config>,
    status: quorate_text,
    next: Option<&quorate_config>,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    guard(|| {
        let (current, next) = (given(current, "current")?, given(next, "next")?);
        let json = output(json, "json")?;
        // SAFETY: the caller promised readable text.
        let status = unsafe { status.required("status") }?;
        let plan = Plan::of_status(&current.config, status, &next.config);
        json.write(plan_string(&plan?));
        Ok(())
    })
}

/// Where one configuration differs from another, in what nodes agree on.
///
/// Parameters: `before`, `after`: the configurations. `json`: a JSON list of objects, on success:
/// `place`, `before`, `after`.
///
/// Returns: `QUORATE_CONFIG` when a number in it belongs to something else.
///
/// Memory and lifetimes: free the string with `quorate_string_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_diff_json(
    before: Option<&quorate_config>,
    after: Option<&quorate_config>,
    json: Option<&mut MaybeUninit<Box<quorate_string>>>,
) -> quorate_status {
    guard(|| {
        let (before, after) = (given(before, "before")?, given(after, "after")?);
        let json = output(json, "json")?;
        let found = (after.config.following(&before.config))
            .and_then(|after| quorate::config::diff(&before.config, &after));
        json.write(plain_string(&found?));
        Ok(())
    })
}

fn plain_string(from: &impl Serialize) -> Box<quorate_string> {
    quorate_string::boxed(json!(from).to_string())
}

fn plan_string(plan: &Plan) -> Box<quorate_string> {
    let mut whole = json!(plan);
    whole["text"] = plan.to_string().into();
    quorate_string::boxed(whole.to_string())
}
