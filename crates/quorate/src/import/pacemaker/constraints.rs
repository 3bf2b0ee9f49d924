//! Constraints: which there are, and what the names in them stand for.

use super::Importer;
use super::resources::Meant;
use crate::config::ConfigError;
use crate::import::report::FindingKind::NoCounterpart;
use crate::import::xml::Element;

impl<'a> Importer<'a> {
    pub(super) fn constraints(&mut self, section: Element<'a>) -> Result<(), ConfigError> {
        for constraint in section.children() {
            match constraint.tag() {
                "rsc_location" => self.location(constraint)?,
                "rsc_colocation" => self.colocation(constraint)?,
                "rsc_order" => self.order(constraint)?,
                "rsc_ticket" => {
                    let text = "there are no tickets: one cluster is one site's worth of votes";
                    constraint.leave_out(NoCounterpart, text, "");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What a name stands for; none: it stands for nothing that was imported, which is told.
    pub(super) fn meaning(&self, at: Element<'a>, name: &str) -> Option<Meant> {
        if let Some(meant) = self.meant.get(name) {
            return Some(meant.clone());
        }
        if let Some(tag) = self.xml.element(name).filter(|element| element.tag() == "tag") {
            let named = tag.all("obj_ref").filter_map(|one| self.meant.get(one.id()));
            let parts = named.flat_map(|meant| meant.parts.iter().copied()).collect();
            tag.id();
            return Some(Meant {
                parts,
                ordered: false,
                collocated: false,
                is_clone: false,
                critical: true,
                is_member: false,
            });
        }
        let text = format!("{name:?} was not imported");
        at.leave_out(NoCounterpart, text, "");
        None
    }
}
