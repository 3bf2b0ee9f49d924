//! Sets of names and values, and which of several counts.

use std::collections::BTreeMap;

use super::rule::Subject;
use super::values::{self, Pair};
use crate::import::report::FindingKind;
use crate::import::xml::Element;

/// Names with their values; what stands in an earlier layer counts before what stands in a later one.
#[derive(Clone, Debug, Default)]
pub(super) struct Options<'a> {
    layers: Vec<BTreeMap<&'a str, Pair<'a>>>,
}

impl<'a> Options<'a> {
    /// The sets `tag` of an element.
    pub(super) fn of(element: Element<'a>, tag: &str, subject: &Subject<'a, '_>) -> Self {
        let mut options = Self::default();
        options.add(element, tag, subject);
        options
    }

    /// Adds those of another element, which count only where nothing is said yet.
    pub(super) fn add(&mut self, element: Element<'a>, tag: &str, subject: &Subject<'a, '_>) {
        let mut sets: Vec<(i32, Element<'a>)> = Vec::new();
        for set in element.all(tag).map(Element::resolved) {
            set.id();
            if applies(set, subject) {
                sets.push((rank(set), set));
            }
        }
        sets.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        let mut layer = BTreeMap::new();
        for at in sets.into_iter().flat_map(|(_, set)| set.all("nvpair")).map(Element::resolved) {
            at.id();
            if let Some(name) = at.read("name") {
                layer.entry(name).or_insert(Pair { name, at });
            }
        }
        if !layer.is_empty() {
            self.layers.push(layer);
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<Pair<'a>> {
        self.layers.iter().find_map(|layer| layer.get(name)).copied()
    }

    /// Every name once.
    pub(super) fn all(&self) -> BTreeMap<&'a str, Pair<'a>> {
        let mut all = BTreeMap::new();
        for layer in self.layers.iter().rev() {
            all.extend(layer.iter().map(|(&name, &pair)| (name, pair)));
        }
        all
    }
}

/// Which of several sets stands.
fn rank(set: Element<'_>) -> i32 {
    let Some(score) = set.read("score") else { return 0 };
    values::score(score).unwrap_or_else(|| {
        let text = "it is no score, and counts as 0";
        set.note(FindingKind::Approximated, &[("score", score)], text, "");
        0
    })
}

/// Whether a set counts: it has no rule, or one that is known to hold.
fn applies<'a>(set: Element<'a>, subject: &Subject<'a, '_>) -> bool {
    let Some(rule) = set.first("rule") else { return true };
    let holds = subject.satisfies(rule);
    if holds.is_none() {
        set.leave_out(
            FindingKind::NoCounterpart,
            "whether it holds depends on the time or on a node",
            "decide which values are to stand, and write them yourself",
        );
    }
    holds == Some(true)
}
