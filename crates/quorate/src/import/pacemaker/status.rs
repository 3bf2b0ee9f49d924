//! The status section: where resources run.

use std::collections::BTreeMap;

use quorate_core::id::GroupId;

use super::Importer;
use crate::import::report::FindingKind;
use crate::import::xml::Element;

impl<'a> Importer<'a> {
    /// Groups begin where they are found to run.
    pub(super) fn status(&mut self, section: Element<'a>) {
        section.pass_over();
        let mut owners: BTreeMap<GroupId, String> = BTreeMap::new();
        for state in section.all("node_state") {
            let node = state.read("uname").and_then(|name| self.node_names.get(name));
            let Some(node) = node else { continue };
            let resources =
                state.all("lrm").flat_map(|lrm| lrm.all("lrm_resources").collect::<Vec<_>>());
            for resource in resources.flat_map(|all| all.all("lrm_resource").collect::<Vec<_>>()) {
                let Some(meant) = self.meant.get(resource.id()).filter(|meant| !meant.is_clone)
                else {
                    continue;
                };
                if runs(resource) {
                    owners.extend(meant.parts.iter().map(|&group| (group, node.clone())));
                }
            }
        }
        for (group, owner) in owners {
            if let Some(group) = self.draft.group_mut(group) {
                group.initial_owner = Some(owner);
            }
        }
        let text = "what runs where is taken as initial_owner; the rest is found out anew";
        section.note(FindingKind::NotNeeded, &[], text, "stop everything there first");
    }
}

/// Whether the last thing done with a resource on a node leaves it running there.
fn runs(resource: Element<'_>) -> bool {
    let number =
        |op: Element<'_>, name: &str| op.read(name).and_then(|text| text.parse::<i64>().ok());
    let operations = resource.all("lrm_rsc_op");
    let last = operations.max_by_key(|op| number(*op, "call-id").unwrap_or(-1));
    let Some(last) = last else { return false };
    let is_start = matches!(last.read("operation"), Some("start" | "monitor" | "migrate_from"));
    is_start && number(last, "rc-code") == Some(0)
}
