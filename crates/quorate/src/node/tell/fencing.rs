//! What is told of fence agents.

use quorate_core::Notice as Told;
use quorate_core::action::FenceVerb;

use super::{Fields, Names, notice, unexpected};
use crate::fence_agents::agent::action_word;
use crate::notice::{Notice, NoticeKind};

pub(super) fn told(names: &Names<'_>, told: &Told) -> Notice {
    match told {
        Told::FenceAsked { node, agent, verb } => {
            let node = names.node(*node);
            let text = format!("fence agent {agent} is to {} {node}", verb_word(*verb));
            let fields = Fields::default().with("node", node).with("agent", agent.as_str());
            notice(NoticeKind::FenceAsked, text, fields.with("action", action_word(*verb)))
        }
        Told::FenceFailed { node, agent, error } => {
            let node = names.node(*node);
            let text = format!("fence agent {agent} has failed to end {node}: {error}");
            let fields = Fields::default().with("node", node).with("agent", agent.as_str());
            notice(NoticeKind::FenceFailed, text, fields.with("detail", error.as_str()))
        }
        Told::FenceGivenUp { node, error, retry_in_ms } => {
            let node = names.node(*node);
            let text = format!(
                "no fence agent has ended {node}, and what it ran waits for that; the last error: {error}; they are \
                 asked again in {} s; if {node} is off, confirm that it is",
                retry_in_ms.div_ceil(1_000)
            );
            let fields = Fields::default().with("node", node).with("detail", error.as_str());
            notice(NoticeKind::FenceGivenUp, text, fields.with("retry_in_ms", *retry_in_ms))
        }
        other => unexpected(other),
    }
}

/// What an agent is asked for, in words.
pub(crate) fn verb_word(verb: FenceVerb) -> &'static str {
    match verb {
        FenceVerb::Off => "switch off",
        FenceVerb::On => "switch on",
        FenceVerb::Reboot => "reboot",
    }
}
