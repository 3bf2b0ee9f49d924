//! Colocation constraints: where one is, another wants to be, or must not be.

use quorate_core::config::SCORE_MUST;
use quorate_core::id::GroupId;

use super::Importer;
use super::location::is_plain_role;
use super::resources::Meant;
use super::values;
use crate::config::ConfigError;
use crate::import::draft::NearTie;
use crate::import::report::FindingKind::{Approximated, NoCounterpart, NotNeeded};
use crate::import::xml::Element;

/// How a colocation ties.
#[derive(Clone, Copy, Debug)]
struct Tie {
    score: i32,
    influence: Option<bool>,
}

impl<'a> Importer<'a> {
    pub(super) fn colocation(&mut self, element: Element<'a>) -> Result<(), ConfigError> {
        let id = element.id();
        if element.look("node-attribute").is_some_and(|name| name != "#uname") {
            let text = "groups are kept near by node, not by an attribute of nodes";
            element.leave_out(NoCounterpart, text, "");
            return Ok(());
        }
        element.read("node-attribute");
        if !is_plain_role(element, "rsc-role") || !is_plain_role(element, "with-rsc-role") {
            return Ok(());
        }
        let score = values::score_of(element, "score")?.unwrap_or_default();
        let tie = Tie { score, influence: values::flag_of(element, "influence")? };
        if let (Some(group), Some(with)) = (element.read("rsc"), element.read("with-rsc")) {
            let Some(group) = self.meaning(element, group) else { return Ok(()) };
            let Some(with) = self.meaning(element, with) else { return Ok(()) };
            self.near(element, id, &group, &with, tie);
            return Ok(());
        }
        self.colocated_sets(element, id, tie)
    }

    /// In a set the later ones are placed by the earlier ones; of two sets the earlier one by the later one.
    fn colocated_sets(
        &mut self,
        element: Element<'a>,
        id: &str,
        tie: Tie,
    ) -> Result<(), ConfigError> {
        let mut before: Option<(Vec<Meant>, bool)> = None;
        let mut speaks = false;
        for set in element.all("resource_set").map(Element::resolved) {
            set.id();
            if !is_plain_role(set, "role") {
                before = None;
                continue;
            }
            let score = values::score_of(set, "score")?.unwrap_or(tie.score);
            let tie = Tie { score, ..tie };
            let sequential = values::flag_of(set, "sequential")?.unwrap_or(true);
            set.read("require-all");
            let members: Vec<Meant> =
                set.all("resource_ref").filter_map(|one| self.meaning(one, one.id())).collect();
            speaks |= sequential || before.is_some();
            if sequential {
                self.within(element, id, &members, tie);
            }
            if let Some((earlier, was_sequential)) = &before {
                let wants =
                    if *was_sequential { &earlier[..earlier.len().min(1)] } else { earlier };
                let grounds = match sequential {
                    true => &members[members.len().saturating_sub(1)..],
                    false => &members[..],
                };
                for (group, with) in
                    wants.iter().flat_map(|one| grounds.iter().map(move |g| (one, g)))
                {
                    if !self.near(element, id, group, with, tie) {
                        return Ok(());
                    }
                }
            }
            before = Some((members, sequential));
        }
        if before.is_some() && !speaks {
            let settings = [("sequential", "false")];
            let text = "members of its only set mean nothing for each other";
            element.note(NotNeeded, &settings, text, "");
        }
        Ok(())
    }

    fn within(&mut self, element: Element<'a>, id: &str, members: &[Meant], tie: Tie) {
        for (at, group) in members.iter().enumerate().skip(1) {
            // Apart from one is not apart from all.
            let from = if tie.score < 0 { 0 } else { at - 1 };
            for with in &members[from..at] {
                if !self.near(element, id, group, with, tie) {
                    return;
                }
            }
        }
    }

    /// Adds what one means for another. False: there is room for no more.
    fn near(
        &mut self,
        element: Element<'a>,
        id: &str,
        group: &Meant,
        with: &Meant,
        tie: Tie,
    ) -> bool {
        let (score, influence) = (tie.score, tie.influence.unwrap_or(group.critical));
        if score == 0 {
            element.note(NotNeeded, &[("score", "0")], "it says nothing", "");
            return true;
        }
        if score > 0 && (group.is_clone || with.is_clone) {
            let text = "being near a clone, or a clone being near something, cannot be said: its \
                        instances are groups of their own, on different nodes";
            element.note(NoCounterpart, &[], text, "write what you need for single instances");
            return true;
        }
        if group.is_member || with.is_member {
            let text = "it names one resource of a group; the whole group is meant here";
            element.note(Approximated, &[], text, "");
        }
        let wants = if group.collocated { group.first() } else { group.parts.clone() };
        let grounds = match (with.is_clone, with.collocated) {
            (true, _) | (false, false) if score < 0 => with.parts.clone(),
            (_, true) if score == SCORE_MUST => with.last(),
            _ => with.first(),
        };
        for (group, with) in pairs(&wants, &grounds) {
            if group == with {
                let text = "both are in one group, which is on one node";
                element.note(NotNeeded, &[], text, "");
            } else if !self.draft.add_near(id, NearTie { group, with, score, influence }) {
                return false;
            }
        }
        true
    }
}

fn pairs(wants: &[GroupId], grounds: &[GroupId]) -> Vec<(GroupId, GroupId)> {
    wants.iter().flat_map(|&one| grounds.iter().map(move |&other| (one, other))).collect()
}
