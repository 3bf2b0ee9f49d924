//! What is told of the witness.

use quorate_core::Notice as Told;

use super::{Fields, Names, notice};
use crate::notice::{Notice, NoticeKind};

pub(super) fn told(names: &Names<'_>, told: &Told) -> Notice {
    if let Told::WitnessAhead { node } = told {
        let node = node.map(|node| names.node(node));
        let others = node.as_deref().unwrap_or("another node");
        let text = format!(
            "the witness has newer data than this node, and does not let it coordinate; {others} has them too: \
             start it"
        );
        return notice(NoticeKind::WitnessAhead, text, Fields::default().with("node", node));
    }
    let trouble = match told {
        Told::Witness { trouble } => trouble.as_ref().map(ToString::to_string),
        _ => None,
    };
    let text = match &trouble {
        None => "the witness can be used".to_owned(),
        Some(trouble) => format!("the witness cannot be used: {trouble}"),
    };
    let fields = Fields::default().with("up", trouble.is_none()).with("detail", trouble);
    notice(NoticeKind::Witness, text, fields)
}
