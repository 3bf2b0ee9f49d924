//! What is expected of an outcome, and what of it did not come about.
//!
//! Only what an expectation names is compared; keys that nobody knows are passed over. One that could never be met, or
//! never be broken, is refused: see [`expectation`].

use super::expectation::expectation;
use super::outcome::{Fact, GroupState, GroupWord, Outcome, State};
use super::tree::Tree;

/// What is otherwise than expected, a line each; none: all is well. A broken promise is never expected.
pub fn judge(outcome: &Outcome, expect: Option<&Tree>) -> Vec<String> {
    let mut complaints: Vec<String> = outcome
        .violations
        .iter()
        .map(|one| format!("violated at {} s: {}: {}", one.t, one.invariant, one.what))
        .collect();
    let Some(expect) = expect else { return complaints };
    if let Err(error) = expectation(expect) {
        complaints.push(error.to_string());
        return complaints;
    }
    let mut judging = Judging { outcome, complaints: Vec::new() };
    if let Some(last) = expect.under("final") {
        judging.state("final", last, &outcome.last);
    }
    judging.steps(expect.under("steps"));
    judging.order(expect.under("order"));
    judging.never(expect.under("never"));
    complaints.append(&mut judging.complaints);
    complaints
}

struct Judging<'a> {
    outcome: &'a Outcome,
    complaints: Vec<String>,
}

impl Judging<'_> {
    fn complain(&mut self, text: String) {
        self.complaints.push(text);
    }

    fn steps(&mut self, expect: Option<&Tree>) {
        let Some(Tree::List(steps)) = expect else { return };
        for (index, step) in steps.iter().enumerate() {
            let place = format!("steps[{index}]");
            match self.outcome.steps.get(index) {
                Some(state) => self.state(&place, step, state),
                None => self.complain(format!("{place}: there is no such step")),
            }
        }
    }

    fn state(&mut self, place: &str, expect: &Tree, state: &State) {
        for (name, word) in entries(expect.under("nodes")) {
            let place = format!("{place}: node {name}");
            let is = state.nodes.get(name).map(|word| word.word());
            self.compare(&place, text(word), is);
        }
        for (name, group) in entries(expect.under("groups")) {
            let place = format!("{place}: group {name}");
            match state.groups.get(name) {
                Some(is) => self.group(&place, group, is),
                None => self.complain(format!("{place} is not there")),
            }
        }
    }

    fn group(&mut self, place: &str, expect: &Tree, is: &GroupState) {
        if let Some(status) = expect.under("status") {
            self.compare(place, text(status), Some(is.status.word()));
        }
        if let Some(nodes) = expect.under("running_on") {
            self.places(place, nodes, &is.running_on);
        }
        if let Some(owner) = expect.under("owner") {
            self.compare(&format!("{place}: owner"), text(owner), is.owner.as_deref());
        }
        if let Some(any_of) = expect.under("any_of") {
            self.any_of(place, any_of, is);
        }
        for (name, member) in entries(expect.under("members")) {
            let place = format!("{place}: member {name}");
            let Some(is) = is.members.iter().flatten().find(|(known, _)| *known == name) else {
                self.complain(format!("{place} is not there"));
                continue;
            };
            if let Some(status) = member.under("status") {
                self.compare(&place, text(status), Some(is.1.status.word()));
            }
            if let Some(nodes) = member.under("running_on") {
                self.places(&place, nodes, &is.1.running_on);
            }
        }
    }

    fn compare(&mut self, place: &str, expected: Option<&str>, is: Option<&str>) {
        if expected != is {
            let word = |word: Option<&str>| word.unwrap_or("nothing").to_owned();
            self.complain(format!("{place}: expected {}, is {}", word(expected), word(is)));
        }
    }

    fn places(&mut self, place: &str, expect: &Tree, is: &[String]) {
        let mut expected = texts(expect);
        let mut is: Vec<&str> = is.iter().map(String::as_str).collect();
        expected.sort_unstable();
        is.sort_unstable();
        if expected != is {
            let (expected, is) = (listed(&expected), listed(&is));
            self.complain(format!("{place}: expected to run on {expected}, runs on {is}"));
        }
    }

    /// It runs on one of these, and that one has it; or it does not run, and one of them has it.
    fn any_of(&mut self, place: &str, expect: &Tree, is: &GroupState) {
        let expected = texts(expect);
        let owned = is.owner.as_deref().is_some_and(|owner| expected.contains(&owner));
        let placed = match &is.running_on[..] {
            [] => is.status != GroupWord::Online,
            [one] => Some(one) == is.owner.as_ref(),
            _ => false,
        };
        if !owned || !placed {
            let running_on: Vec<&str> = is.running_on.iter().map(String::as_str).collect();
            self.complain(format!(
                "{place}: expected one of {}, is with {} and runs on {}",
                listed(&expected),
                is.owner.as_deref().unwrap_or("nobody"),
                listed(&running_on)
            ));
        }
    }

    /// Both must happen, the last of the first kind before the last of the second.
    fn order(&mut self, expect: Option<&Tree>) {
        let Some(Tree::List(pairs)) = expect else { return };
        for pair in pairs {
            let Tree::List(two) = pair else { continue };
            let [first, then] = &two[..] else { continue };
            let at = |wanted: &Tree| self.outcome.facts.iter().rposition(|fact| fits(fact, wanted));
            match (at(first), at(then)) {
                (Some(one), Some(other)) if one < other => {}
                (Some(_), Some(_)) => {
                    self.complain(format!("order: {} comes after {}", told(first), told(then)));
                }
                (None, _) => self.complain(format!("order: {} does not happen", told(first))),
                (_, None) => self.complain(format!("order: {} does not happen", told(then))),
            }
        }
    }

    fn never(&mut self, expect: Option<&Tree>) {
        let Some(Tree::List(facts)) = expect else { return };
        for wanted in facts {
            if let Some(fact) = self.outcome.facts.iter().find(|fact| fits(fact, wanted)) {
                self.complain(format!("never: {} happens at {} s", told(wanted), fact.at));
            }
        }
    }
}

/// Whether a fact is the one that is meant; without a node any node fits.
fn fits(fact: &Fact, wanted: &Tree) -> bool {
    let Tree::List(parts) = wanted else { return false };
    let subject = parts.get(1).map(|part| match part {
        Tree::Integer(index) => index.to_string(),
        other => text(other).unwrap_or_default().to_owned(),
    });
    parts.first().and_then(text) == Some(fact.name)
        && subject.is_none_or(|subject| subject == fact.subject)
        && parts.get(2).and_then(text).is_none_or(|node| Some(node) == fact.node.as_deref())
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn told(fact: &Tree) -> String {
    texts(fact).join(" ")
}

pub(super) fn text(tree: &Tree) -> Option<&str> {
    match tree {
        Tree::Text(text) => Some(text),
        _ => None,
    }
}

fn texts(tree: &Tree) -> Vec<&str> {
    match tree {
        Tree::List(items) => items.iter().filter_map(text).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn entries(tree: Option<&Tree>) -> impl Iterator<Item = (&str, &Tree)> {
    let entries = match tree {
        Some(Tree::Table(entries)) => &entries[..],
        _ => &[],
    };
    entries.iter().map(|(key, value)| (key.as_str(), value))
}
