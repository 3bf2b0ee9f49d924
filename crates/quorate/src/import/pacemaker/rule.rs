//! Rules of Pacemaker, as far as they can be told from the configuration alone.
//!
//! What depends on the time, or on an attribute that agents set as they run, is unknown.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::values::Pair;
use crate::import::xml::Element;

/// A node as rules see it.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeFacts<'a> {
    pub(super) name: &'a str,
    pub(super) id: &'a str,
    pub(super) kind: &'a str,
    pub(super) attributes: BTreeMap<&'a str, Pair<'a>>,
}

/// What a rule is asked about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Subject<'a, 'f> {
    /// One of the nodes, and all of them.
    pub(super) node: Option<(&'f NodeFacts<'a>, &'f [NodeFacts<'a>])>,
    pub(super) cluster: Option<&'a str>,
    /// Class, provider and type of a resource.
    pub(super) agent: Option<[&'a str; 3]>,
    /// Name and interval of an operation.
    pub(super) operation: Option<[&'a str; 2]>,
    /// What a pattern has matched: `%1` to `%9` stand for its parts.
    pub(super) matched: &'f [String],
}

impl<'a> Subject<'a, '_> {
    /// Whether the rule holds; none: that cannot be told.
    pub(super) fn satisfies(&self, rule: Element<'a>) -> Option<bool> {
        let rule = rule.resolved();
        rule.id();
        let is_or = match rule.read("boolean-op").map(str::to_ascii_lowercase).as_deref() {
            None | Some("and") => false,
            Some("or") => true,
            Some(_) => return None,
        };
        let mut unknown = false;
        let mut any = false;
        let mut decided = None;
        for condition in rule.children() {
            any = true;
            match self.condition(condition) {
                None => unknown = true,
                Some(holds) if holds == is_or => decided = Some(is_or),
                Some(_) => {}
            }
        }
        match decided {
            Some(holds) => Some(holds),
            None if unknown || !any => None,
            None => Some(!is_or),
        }
    }

    fn condition(&self, condition: Element<'a>) -> Option<bool> {
        let condition = condition.resolved();
        condition.id();
        match condition.tag() {
            "rule" => self.satisfies(condition),
            "expression" => self.expression(condition),
            "rsc_expression" => {
                let given = self.agent?;
                let asked = ["class", "provider", "type"].map(|name| condition.read(name));
                Some(
                    asked
                        .iter()
                        .zip(given)
                        .all(|(asked, given)| asked.is_none_or(|one| one == given)),
                )
            }
            "op_expression" => {
                let given = self.operation?;
                let asked = ["name", "interval"].map(|name| condition.read(name));
                Some(
                    asked
                        .iter()
                        .zip(given)
                        .all(|(asked, given)| asked.is_none_or(|one| one == given)),
                )
            }
            _ => None,
        }
    }

    fn expression(&self, expression: Element<'a>) -> Option<bool> {
        let attribute = self.spelt(expression.read("attribute")?);
        let operation = expression.read("operation")?;
        let asked = expression.read("value");
        if expression.read("value-source").is_some_and(|source| source != "literal") {
            return None;
        }
        let kind = expression.read("type");
        if !matches!(kind, None | Some("string" | "integer" | "number" | "version")) {
            return None;
        }
        let given = self.attribute(&attribute)?;
        let compared = || match (given, asked) {
            (Some(given), Some(asked)) => compare(kind, operation, given, asked),
            (Some(_), None) => Ordering::Greater,
            (None, Some(_)) => Ordering::Less,
            (None, None) => Ordering::Equal,
        };
        match operation {
            "defined" => Some(given.is_some()),
            "not_defined" => Some(given.is_none()),
            "eq" => Some(compared().is_eq()),
            "ne" => Some(compared().is_ne()),
            "lt" => Some(compared().is_lt()),
            "lte" => Some(compared().is_le()),
            "gt" => Some(compared().is_gt()),
            "gte" => Some(compared().is_ge()),
            _ => None,
        }
    }

    /// The name of an attribute, with `%1` to `%9` filled in.
    pub(super) fn spelt(&self, name: &str) -> String {
        let parts = self.matched.iter().enumerate();
        parts.fold(name.to_owned(), |name, (at, part)| name.replace(&format!("%{}", at + 1), part))
    }

    /// The node's attribute, which it may not have; none: whether it has it cannot be told.
    pub(super) fn attribute(&self, name: &str) -> Option<Option<&'a str>> {
        let (node, all) = self.node?;
        match name {
            "#uname" => return Some(Some(node.name)),
            "#id" => return Some(Some(node.id)),
            "#kind" => return Some(Some(node.kind)),
            "#cluster-name" => return Some(self.cluster),
            "#site-name" => {
                let own = node.attributes.get("site-name").map(|pair| pair.value());
                return Some(own.or(self.cluster));
            }
            _ => {}
        }
        let is_configured = all.iter().any(|node| node.attributes.contains_key(name));
        is_configured.then(|| node.attributes.get(name).map(|pair| pair.value()))
    }
}

fn compare(kind: Option<&str>, operation: &str, given: &str, asked: &str) -> Ordering {
    let is_order = matches!(operation, "lt" | "gt" | "lte" | "gte");
    let has_point = given.contains('.') || asked.contains('.');
    let kind = kind.unwrap_or(match (is_order, has_point) {
        (false, _) => "string",
        (true, true) => "number",
        (true, false) => "integer",
    });
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| !number.is_nan());
    let compared = match kind {
        "number" => number(given).zip(number(asked)).and_then(|(a, b)| a.partial_cmp(&b)),
        "integer" => {
            number(given).zip(number(asked)).and_then(|(a, b)| a.trunc().partial_cmp(&b.trunc()))
        }
        "version" => {
            let part = |text: &str| text.trim().parse::<u64>().unwrap_or_default();
            Some(given.split('.').map(part).cmp(asked.split('.').map(part)))
        }
        _ => None,
    };
    compared.unwrap_or_else(|| given.to_lowercase().cmp(&asked.to_lowercase()))
}
