//! `rules[]`.

use std::collections::BTreeMap;

use super::super::ScenarioError;
use super::super::model::{OrderAction, OrderKind, Rule};
use super::super::reader::{Item, Table};
use super::Names;

/// The highest priority of a node.
const PRIORITY_MAX: i64 = 1_000_000;

#[derive(Clone, Copy)]
enum Type {
    Owners { only: bool },
    Affinity { together: bool },
    Location,
    Colocation,
    Order,
    OrderAny,
}

pub(super) fn rules(item: &Item<'_>, names: &Names) -> Result<Vec<Rule>, ScenarioError> {
    item.list()?.iter().map(|item| rule(item, names)).collect()
}

fn rule(item: &Item<'_>, names: &Names) -> Result<Rule, ScenarioError> {
    let mut table = item.table()?;
    let of = table.must("type")?.word(&[
        ("possible-owners", Type::Owners { only: true }),
        ("preferred-owners", Type::Owners { only: false }),
        ("keep-together", Type::Affinity { together: true }),
        ("keep-apart", Type::Affinity { together: false }),
        ("location", Type::Location),
        ("colocation", Type::Colocation),
        ("order", Type::Order),
        ("order_any", Type::OrderAny),
    ])?;
    let rule = match of {
        Type::Owners { only } => {
            let groups = groups(&mut table, names)?;
            Rule::Owners { only, groups, nodes: priorities(&mut table, names)? }
        }
        Type::Affinity { together } => {
            let groups = groups(&mut table, names)?;
            Rule::Affinity { together, groups, strict: table.read("strict", true, Item::bool)? }
        }
        Type::Location => Rule::Location {
            group: group(&table.must("group")?, names)?,
            node: table.must("node")?.known("node", &names.nodes)?,
            score: table.must("score")?.score()?,
        },
        Type::Colocation => Rule::Colocation {
            group: group(&table.must("group")?, names)?,
            with: group(&table.must("with")?, names)?,
            score: table.must("score")?.score()?,
            influence: table.read("influence", true, Item::bool)?,
        },
        Type::Order => {
            let first = vec![group(&table.must("first")?, names)?];
            order(&mut table, names, first)?
        }
        Type::OrderAny => {
            let list = table.must("first_any")?;
            let first: Result<Vec<String>, _> =
                list.list()?.iter().map(|item| group(item, names)).collect();
            let first = first?;
            if first.is_empty() {
                return Err(list.wrong("there is nothing that could be first"));
            }
            order(&mut table, names, first)?
        }
    };
    table.finish()?;
    Ok(rule)
}

fn order(table: &mut Table<'_>, names: &Names, first: Vec<String>) -> Result<Rule, ScenarioError> {
    let then = group(&table.must("then")?, names)?;
    let kind = table.read("kind", OrderKind::Mandatory, |item| {
        item.word(&[
            ("mandatory", OrderKind::Mandatory),
            ("optional", OrderKind::Optional),
            ("serialize", OrderKind::Serialize),
        ])
    })?;
    let symmetrical = table.read("symmetrical", kind != OrderKind::Serialize, Item::bool)?;
    let action =
        |item: &Item<'_>| item.word(&[("start", OrderAction::Start), ("stop", OrderAction::Stop)]);
    let first_action = table.read("first_action", OrderAction::Start, action)?;
    let then_action = table.read("then_action", OrderAction::Start, action)?;
    Ok(Rule::Order { first, then, kind, symmetrical, first_action, then_action })
}

/// A group, or one member of one.
fn group(item: &Item<'_>, names: &Names) -> Result<String, ScenarioError> {
    let name = item.name()?;
    if names.members.contains(&name) { Ok(name) } else { item.known("group", &names.groups) }
}

fn groups(table: &mut Table<'_>, names: &Names) -> Result<Vec<String>, ScenarioError> {
    let list = table.must("groups")?;
    let groups: Vec<String> =
        list.list()?.iter().map(|item| group(item, names)).collect::<Result<_, _>>()?;
    if groups.is_empty() {
        return Err(list.wrong("there is no group"));
    }
    Ok(groups)
}

fn priorities(
    table: &mut Table<'_>,
    names: &Names,
) -> Result<BTreeMap<String, i64>, ScenarioError> {
    let item = table.must("nodes")?;
    let entries = item.entries()?;
    if entries.is_empty() {
        return Err(item.wrong("there is no node"));
    }
    let priority = |(key, value): (&str, Item<'_>)| {
        if !names.nodes.contains(key) {
            return Err(value.wrong("there is no such node"));
        }
        Ok((key.to_owned(), value.integer(-PRIORITY_MAX, PRIORITY_MAX)?))
    };
    entries.into_iter().map(priority).collect()
}
