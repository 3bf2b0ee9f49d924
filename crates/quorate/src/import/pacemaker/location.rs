//! Location constraints: how well each node suits a group.

use std::collections::BTreeMap;

use quorate_core::config::SCORE_NEVER;
use quorate_core::id::GroupId;
use regex_lite::Regex;

use super::Importer;
use super::rule::Subject;
use super::values;
use crate::config::{ConfigError, Score};
use crate::import::draft::points;
use crate::import::report::FindingKind::{NoCounterpart, NotNeeded};
use crate::import::xml::Element;

/// Groups, with what a pattern has matched of their names.
type Targets = Vec<(Vec<GroupId>, Vec<String>)>;
/// How well a node suits a group.
type Suits = (GroupId, String, i32);
/// Groups, with a score of their own.
type Scored = Vec<(Vec<GroupId>, Option<i32>)>;

impl<'a> Importer<'a> {
    pub(super) fn location(&mut self, element: Element<'a>) -> Result<(), ConfigError> {
        element.id();
        if !is_plain_role(element, "role") {
            return Ok(());
        }
        if element.first("lifetime").is_some() {
            element.leave_out(NoCounterpart, "it holds only for a time", "");
            return Ok(());
        }
        let Some(targets) = self.targets(element)? else { return Ok(()) };
        let exclusive = match element.read("resource-discovery").unwrap_or("always") {
            "exclusive" => true,
            "always" => false,
            other => {
                let text = "nodes are not searched for what quorate has not started there";
                element.note(NotNeeded, &[("resource-discovery", other)], text, "");
                false
            }
        };
        let mut given: Vec<Suits> = Vec::new();
        if let Some(node) = element.read("node") {
            let Some(ours) = self.node_names.get(node).cloned() else {
                let text = format!("there is no node {node:?}");
                element.leave_out(NoCounterpart, text, "take it out, or add the node");
                return Ok(());
            };
            for (groups, set_score) in targets_with_scores(element, &targets, self)? {
                let score = match set_score {
                    Some(score) => score,
                    None => values::score_of(element, "score")?.unwrap_or_default(),
                };
                given.extend(groups.iter().map(|&group| (group, ours.clone(), score)));
            }
        }
        for rule in element.all("rule").map(Element::resolved) {
            match self.by_rule(rule, &targets)? {
                Some(more) => given.extend(more),
                None => {
                    let text = "whether it holds depends on the time, on a role, or on an attribute \
                                that is not in the configuration";
                    rule.leave_out(NoCounterpart, text, "write scores for the nodes it means");
                }
            }
        }
        for (group, node, score) in given {
            if exclusive && score != SCORE_NEVER {
                self.exclusive.entry(group).or_default().insert(node.clone());
            }
            if let Some(group) = self.draft.group_mut(group) {
                let sum = group.scores.get(&node).map_or(0, |sum| sum.points());
                group.scores.insert(node, points(values::sum(sum, score)));
            }
        }
        Ok(())
    }

    /// The groups that a constraint is about; none: it was left out.
    fn targets(&mut self, element: Element<'a>) -> Result<Option<Targets>, ConfigError> {
        if let Some(pattern) = element.read("rsc-pattern") {
            return self.matching(element, pattern).map(Some);
        }
        if let Some(name) = element.read("rsc") {
            let meant = self.meaning(element, name);
            return Ok(meant.map(|meant| vec![(meant.parts, Vec::new())]));
        }
        let mut targets = Targets::new();
        for set in element.all("resource_set").map(Element::resolved) {
            set.id();
            if !is_plain_role(set, "role") {
                continue;
            }
            for name in ["sequential", "require-all"] {
                set.read(name);
            }
            for one in set.all("resource_ref") {
                let meant = self.meaning(one, one.id());
                targets.extend(meant.map(|meant| (meant.parts, Vec::new())));
            }
        }
        Ok(Some(targets))
    }

    fn matching(&self, element: Element<'a>, pattern: &str) -> Result<Targets, ConfigError> {
        let (inverted, bare) = match pattern.strip_prefix('!') {
            Some(bare) => (true, bare),
            None => (false, pattern),
        };
        let regex = Regex::new(bare).map_err(|error| {
            let problem = format!("rsc-pattern {pattern:?}: {error}");
            element.place().wrong(problem, "write a regular expression")
        })?;
        let mut targets = Targets::new();
        for (id, meant) in self.meant.iter().filter(|(_, meant)| !meant.is_member) {
            match regex.captures(id) {
                Some(found) if !inverted => {
                    let parts = (1..found.len().min(10)).map(|at| {
                        found.get(at).map_or(String::new(), |part| part.as_str().to_owned())
                    });
                    targets.push((meant.parts.clone(), parts.collect()));
                }
                None if inverted => targets.push((meant.parts.clone(), Vec::new())),
                _ => {}
            }
        }
        Ok(targets)
    }

    /// The scores that a rule gives; none: that cannot be told.
    fn by_rule(
        &self,
        rule: Element<'a>,
        targets: &Targets,
    ) -> Result<Option<Vec<Suits>>, ConfigError> {
        if rule.read("role").is_some_and(|role| !is_started(role)) {
            return Ok(None);
        }
        let fixed = values::score_of(rule, "score")?;
        let by_attribute = rule.read("score-attribute");
        let mut given = Vec::new();
        for (groups, matched) in targets {
            for facts in &self.facts {
                let subject = Subject {
                    node: Some((facts, &self.facts)),
                    cluster: self.cluster,
                    matched,
                    ..Subject::default()
                };
                let score = match (fixed, by_attribute) {
                    (Some(score), _) => Some(score),
                    (None, Some(name)) => match subject.attribute(&subject.spelt(name)) {
                        None => return Ok(None),
                        Some(value) => value.and_then(values::score),
                    },
                    (None, None) => Some(0),
                };
                let Some(holds) = subject.satisfies(rule) else { return Ok(None) };
                let Some(node) = self.node_names.get(facts.name) else { continue };
                if let Some(score) = score.filter(|_| holds) {
                    given.extend(groups.iter().map(|&group| (group, node.clone(), score)));
                }
            }
        }
        Ok(Some(given))
    }

    /// Nodes that are not named are none at all: in an opt-in cluster, and where one is named exclusively.
    pub(super) fn close_locations(&mut self) {
        let nodes: Vec<String> = self.draft.nodes.iter().map(|node| node.name.clone()).collect();
        for (at, group) in self.draft.groups.iter_mut().enumerate() {
            let id = GroupId(u32::try_from(at + 1).unwrap_or(u32::MAX));
            if self.switches.opt_in {
                for node in &nodes {
                    group.scores.entry(node.clone()).or_insert(Score::NEVER);
                }
            }
            if let Some(only) = self.exclusive.get(&id) {
                for node in nodes.iter().filter(|node| !only.contains(*node)) {
                    group.scores.insert(node.clone(), Score::NEVER);
                }
            }
        }
    }
}

/// Whether a constraint means resources as they run; else it is left out.
pub(super) fn is_plain_role(element: Element<'_>, name: &str) -> bool {
    if element.read(name).is_none_or(is_started) {
        return true;
    }
    element.leave_out(NoCounterpart, "there are no roles of instances", "");
    false
}

fn is_started(role: &str) -> bool {
    ["started", "unpromoted", "slave"].iter().any(|plain| role.eq_ignore_ascii_case(plain))
}

/// The targets of a constraint with a node; those of a set may have a score of their own.
fn targets_with_scores<'a>(
    element: Element<'a>,
    targets: &Targets,
    importer: &Importer<'a>,
) -> Result<Scored, ConfigError> {
    let mut scores: BTreeMap<GroupId, i32> = BTreeMap::new();
    for set in element.all("resource_set").map(Element::resolved) {
        let Some(score) = values::score_of(set, "score")? else { continue };
        for one in set.all("resource_ref") {
            let meant = importer.meant.get(one.id());
            scores.extend(meant.into_iter().flat_map(|one| &one.parts).map(|&id| (id, score)));
        }
    }
    let own = |groups: &Vec<GroupId>| groups.first().and_then(|id| scores.get(id)).copied();
    Ok(targets.iter().map(|(groups, _)| (groups.clone(), own(groups))).collect())
}
