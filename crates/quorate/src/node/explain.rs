//! Why a group is where it is, in sentences: how it is, what has led to it, why it is not elsewhere.

use quorate_core::Notice as Told;
use quorate_core::engine::Engine;
use quorate_core::status::{Explanation, Happened, Status};
use quorate_core::time::Instant;

use super::tell::Names;
use crate::Error;
use crate::clock;
use crate::item::Refusal;
use crate::notice::{Stamp, time_of_day};

pub(super) fn explain(engine: &Engine, group: &str) -> Result<Vec<String>, Error> {
    let config = engine.config();
    let id = config.group_named(group).map(|group| group.id).ok_or_else(|| {
        let known: Vec<&str> = config.groups().iter().map(|group| group.name.as_str()).collect();
        Error::Unknown { kind: "group", name: group.to_owned(), known: known.join(", ") }
    })?;
    let explanation = engine.explain(id).ok_or_else(|| {
        Refusal::NotPossible(format!(
            "nothing is known of group {group} yet: this node does not belong to a cluster yet"
        ))
    })?;
    let (now, at) = (clock::now(), clock::stamp());
    Ok(sentences(&explanation, &engine.status(now), &Names(config), (now, at)))
}

/// `now` is the present, on both clocks.
fn sentences(
    explanation: &Explanation,
    status: &Status,
    names: &Names<'_>,
    now: (Instant, Stamp),
) -> Vec<String> {
    let mut lines = Vec::new();
    if !status.quorum {
        lines.push(format!(
            "no quorum ({} of {} votes heard): nothing can be decided, and this is what was known last",
            status.votes_heard(),
            status.votes
        ));
    }
    let group = &explanation.group.name;
    let known = if status.quorum { "is" } else { "was last known to be" };
    lines.push(format!("{group} {known} {}", state(explanation)));
    lines.extend(explanation.history.iter().map(|one| happened(one, names, now)));
    lines.push(match &explanation.placement {
        Some(node) => format!("if {group} ran nowhere, it would be placed on {node}"),
        None => format!("if {group} ran nowhere, no node could run it"),
    });
    let others = explanation.not_there.iter();
    lines.extend(others.map(|(node, why)| format!("not {node}: {why}")));
    lines
}

/// How the group is, as the end of a sentence.
fn state(explanation: &Explanation) -> String {
    let group = &explanation.group;
    let owner = group.owner.as_deref().unwrap_or("no node");
    match group.state.as_str() {
        "offline" => format!(
            "offline, and kept so: by command, or since it has auto_start = false; `quorate online {}` starts it",
            group.name
        ),
        "waiting" => waiting(explanation),
        "failed" => failed(explanation),
        "stop-failed" => {
            format!("stuck on {owner}: it could not be stopped there, and may still run")
        }
        "lost" => format!("lost with {owner}, which is down and not yet proven harmless"),
        "moving" => format!("leaving {owner}"),
        other => format!("{other} on {owner}"),
    }
}

fn waiting(explanation: &Explanation) -> String {
    let again = explanation.retry_in_ms.map_or_else(String::new, |left| {
        format!("; it is tried again in {} s at the latest", left.div_ceil(1000))
    });
    match &explanation.group.held {
        Some(why) => format!("waiting: {why}{again}"),
        None => format!("waiting for a node that may run it{again}"),
    }
}

fn failed(explanation: &Explanation) -> String {
    let trouble = explanation.history.iter().rev().find_map(|one| match &one.told {
        Told::ResourceTrouble { detail, .. } => {
            Some(format!("here the last trouble was: {detail}"))
        }
        _ => None,
    });
    let trouble =
        trouble.unwrap_or_else(|| "it never ran here: ask a node where it failed".to_owned());
    let left = explanation.retry_in_ms.unwrap_or_default().div_ceil(1000);
    format!(
        "left failed, since it failed too often ({trouble}); it is tried again in {left} s, or at once by \
         `quorate online {}`",
        explanation.group.name
    )
}

fn happened(one: &Happened, names: &Names<'_>, (now, at): (Instant, Stamp)) -> String {
    let text =
        names.told(&one.told).map_or_else(|| format!("{:?}", one.told), |notice| notice.text);
    match one.seen {
        Some(seen) => {
            let ago = u64::try_from(now.since(seen).as_micros()).unwrap_or(u64::MAX);
            format!("{} {text}", time_of_day(at.unix_us.saturating_sub(ago)))
        }
        None => format!("before this node took part: {text}"),
    }
}
