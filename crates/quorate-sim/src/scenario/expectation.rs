//! Whether an expectation means anything: a fact whose name nobody tells never happens, and a state that there is
//! not is never reached.

use super::judge::{entries, text};
use super::outcome::{GroupWord, NodeWord};
use super::tree::Tree;
use super::{Scenario, ScenarioError};
use crate::timeline::Kind;

/// Kinds of the timeline that are told as facts under their own name.
const FACTS: [Kind; 20] = [
    Kind::GroupStarted,
    Kind::GroupStopped,
    Kind::GroupStartFailed,
    Kind::GroupStopFailed,
    Kind::GroupKilled,
    Kind::GroupSaved,
    Kind::GroupResumed,
    Kind::GroupMovedLive,
    Kind::MemberStarted,
    Kind::MemberStopped,
    Kind::MemberKilled,
    Kind::MemberStartFailed,
    Kind::MemberStopFailed,
    Kind::NodeUp,
    Kind::NodeDown,
    Kind::NodeIsolated,
    Kind::NodeDrained,
    Kind::FenceRequested,
    Kind::FenceConfirmed,
    Kind::Coordinator,
];
/// Those under another name, those of members that are groups of their own, and the steps.
const OTHERS: [&str; 6] =
    ["quorum_lost", "quorum_gained", "member_saved", "member_resumed", "member_moved_live", "step"];

impl Scenario {
    /// Refuses an expectation that says what cannot be.
    ///
    /// # Errors
    /// The first such thing, with its place.
    pub fn check_expectation(&self) -> Result<(), ScenarioError> {
        self.expect.as_ref().map_or(Ok(()), expectation)
    }
}

/// Refuses what cannot be. Keys that nobody knows are passed over.
pub(super) fn expectation(expect: &Tree) -> Result<(), ScenarioError> {
    if let Some(last) = expect.under("final") {
        state("expect.final", last)?;
    }
    for (index, step) in list("expect.steps", expect.under("steps"))?.iter().enumerate() {
        state(&format!("expect.steps[{index}]"), step)?;
    }
    for (index, pair) in list("expect.order", expect.under("order"))?.iter().enumerate() {
        let place = format!("expect.order[{index}]");
        let Tree::List(two) = pair else { return Err(no_pair(&place)) };
        let [first, then] = &two[..] else { return Err(no_pair(&place)) };
        fact(&format!("{place}[0]"), first)?;
        fact(&format!("{place}[1]"), then)?;
    }
    for (index, one) in list("expect.never", expect.under("never"))?.iter().enumerate() {
        fact(&format!("expect.never[{index}]"), one)?;
    }
    Ok(())
}

fn no_pair(place: &str) -> ScenarioError {
    ScenarioError::new(place, "this is no pair of facts, as in [[name, subject], [name, subject]]")
}

fn list<'t>(place: &str, tree: Option<&'t Tree>) -> Result<&'t [Tree], ScenarioError> {
    match tree {
        None | Some(Tree::Null) => Ok(&[]),
        Some(Tree::List(items)) => Ok(items),
        Some(_) => Err(ScenarioError::new(place, "this is no list")),
    }
}

/// A fact without its time: its name, its subject, and perhaps a node.
fn fact(place: &str, tree: &Tree) -> Result<(), ScenarioError> {
    let Tree::List(parts) = tree else {
        return Err(ScenarioError::new(place, "this is no fact, as in [name, subject, node]"));
    };
    let is_named = |part: &Tree| matches!(part, Tree::Text(_) | Tree::Integer(_));
    if parts.is_empty() || parts.len() > 3 || !parts[1..].iter().all(is_named) {
        return Err(ScenarioError::new(place, "this is no fact, as in [name, subject, node]"));
    }
    let known = || FACTS.iter().map(|kind| kind.name()).chain(OTHERS);
    one_of(place, &parts[0], &known().collect::<Vec<_>>())
}

fn state(place: &str, tree: &Tree) -> Result<(), ScenarioError> {
    let node_words: Vec<&str> = NodeWord::ALL.iter().map(|word| word.word()).collect();
    let group_words: Vec<&str> = GroupWord::ALL.iter().map(|word| word.word()).collect();
    for (name, word) in entries(tree.under("nodes")) {
        one_of(&format!("{place}.nodes.{name}"), word, &node_words)?;
    }
    for (name, group) in entries(tree.under("groups")) {
        let place = format!("{place}.groups.{name}");
        let members = entries(group.under("members"));
        let members = members.map(|(name, member)| (format!("{place}.members.{name}"), member));
        for (place, one) in members.chain([(place.clone(), group)]) {
            if let Some(word) = one.under("status") {
                one_of(&format!("{place}.status"), word, &group_words)?;
            }
        }
    }
    Ok(())
}

fn one_of(place: &str, tree: &Tree, known: &[&str]) -> Result<(), ScenarioError> {
    match text(tree) {
        Some(word) if known.contains(&word) => Ok(()),
        Some(word) => {
            Err(ScenarioError::new(place, format!("\"{word}\" is none of: {}", known.join(", "))))
        }
        None => Err(ScenarioError::new(place, format!("this is none of: {}", known.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Format;

    #[test]
    fn what_cannot_be_expected_is_refused_with_its_place() {
        let cases = [
            (
                r#"{"never": [["group_startd", "a"]]}"#,
                "expect.never[0]: \"group_startd\" is none of: ",
            ),
            (r#"{"never": [["node_suspect", "a"]]}"#, "expect.never[0]: \"node_suspect\" is none"),
            (r#"{"never": [[]]}"#, "expect.never[0]: this is no fact"),
            (r#"{"never": "node_down"}"#, "expect.never: this is no list"),
            (r#"{"order": [["node_down", "a"]]}"#, "expect.order[0][0]: this is no fact"),
            (r#"{"order": [[["node_down", "a"]]]}"#, "expect.order[0]: this is no pair"),
            (
                r#"{"order": [[["node_down", "a"], ["node_gone", "a"]]]}"#,
                "expect.order[0][1]: \"node_gone\" is none of: ",
            ),
            (r#"{"final": {"nodes": {"a": "dead"}}}"#, "expect.final.nodes.a: \"dead\" is none of"),
            (
                r#"{"steps": [null, {"groups": {"g": {"status": "runs"}}}]}"#,
                "expect.steps[1].groups.g.status: \"runs\" is none of: online, ",
            ),
            (
                r#"{"final": {"groups": {"g": {"members": {"m": {"status": 1}}}}}}"#,
                "expect.final.groups.g.members.m.status: this is none of",
            ),
        ];
        for (wrong, said) in cases {
            let error = expectation(&Tree::parse(wrong, Format::Json).unwrap()).unwrap_err();
            assert!(error.to_string().starts_with(said), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_nobody_knows_is_passed_over_and_the_rest_may_be() {
        let right = r#"{
            "why": ["anything"], "since": "1.2",
            "final": {"nodes": {"a": "fenced"}, "groups": {"g": {"status": "stop-failed", "note": 1}}},
            "steps": [null, {}],
            "order": [[["step", 0], ["quorum_lost", "a"]]],
            "never": [["group_started", "g", "a"], ["coordinator"]]
        }"#;
        assert_eq!(expectation(&Tree::parse(right, Format::Json).unwrap()), Ok(()));
    }
}
