//! Notices about policies in words: what waits, what is held back, and until when.

use quorate_core::Notice as Told;

use super::{Fields, Names, notice, unexpected};
use crate::notice::{Notice, NoticeKind};

pub(super) fn told(names: &Names<'_>, told: &Told) -> Notice {
    match told {
        Told::Quarantined { node, failures, hold_ms } => {
            let node = names.node(*node);
            let text = format!(
                "{node} went down {failures} times: it is given nothing for {}",
                seconds(*hold_ms)
            );
            let fields = Fields::default().with("node", node).with("failures", *failures);
            notice(NoticeKind::Quarantined, text, fields.with("hold_ms", *hold_ms))
        }
        Told::QuarantineEnded { node } => {
            let node = names.node(*node);
            let text = format!("{node} is given groups again");
            notice(NoticeKind::QuarantineEnded, text, Fields::default().with("node", node))
        }
        Told::Held { group, why, retry_in_ms } => {
            let group = names.group(*group);
            let text = format!("{group} waits: {why}; tried again in {}", seconds(*retry_in_ms));
            let fields = Fields::default().with("group", group).with("detail", why.to_string());
            notice(NoticeKind::Held, text, fields.with("retry_in_ms", *retry_in_ms))
        }
        Told::LeftFailed { resource, retry_in_ms } => {
            let name = names.resource(*resource);
            let again = retry_in_ms.map_or_else(
                || "when its group is moved or stopped".to_owned(),
                |left| format!("in {}", seconds(left)),
            );
            let text = format!("{name} is left failed; started again {again}");
            let fields = Fields::default().with("resource", name);
            notice(NoticeKind::LeftFailed, text, fields.with("retry_in_ms", *retry_in_ms))
        }
        Told::Deadlocked { resource, fences } => {
            let name = names.resource(*resource);
            let next = if *fences { "this node is to be fenced" } else { "it is tried again" };
            let text = format!("{name} cannot be ended: {next}");
            let fields = Fields::default().with("resource", name).with("fences", *fences);
            notice(NoticeKind::Deadlocked, text, fields)
        }
        Told::Disarmed { ttl_ms, .. } => {
            let until = ttl_ms.map_or_else(String::new, |left| format!(" for {}", seconds(left)));
            let text = format!("nothing is started, stopped or moved{until}");
            notice(NoticeKind::Disarmed, text, Fields::default().with("ttl_ms", *ttl_ms))
        }
        Told::Armed => notice(NoticeKind::Armed, "everything is managed again", Fields::default()),
        other => unexpected(other),
    }
}

fn seconds(ms: u64) -> String {
    format!("{} s", ms.div_ceil(1_000))
}
