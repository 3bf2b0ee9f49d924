//! `groups[]` of a snapshot, and what is in them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::ScenarioError;
use super::super::model::{
    Collection, Desired, Initial, Member, MultipleActive, OnFail, Requires, Score,
};
use super::super::reader::Item;
use super::super::tree::Tree;
use super::{Names, amounts, groups, new_name};

/// What stands for "again and again".
const FAILURES_MAX: u32 = 1_000_000;

pub(super) fn collections(
    item: &Item<'_>,
    names: &mut Names,
) -> Result<Vec<Collection>, ScenarioError> {
    let mut collections = Vec::new();
    for item in item.list()? {
        collections.push(collection(&item, names)?);
    }
    for one in &collections {
        let twice = names.members.get(&one.name).filter(|_| !one.single);
        if let Some(name) = twice {
            return Err(item.wrong(format!("{name:?} is a group and a member of another")));
        }
    }
    Ok(collections)
}

fn collection(item: &Item<'_>, names: &mut Names) -> Result<Collection, ScenarioError> {
    let mut table = item.table()?;
    let name = new_name(&table.must("name")?, &mut names.groups)?;
    let single = table.read("single", false, Item::bool)?;
    let ordered = table.read("ordered", false, Item::bool)?;
    let collocated = table.read("collocated", false, Item::bool)?;
    let list = table.must("members")?;
    let mut members = Vec::new();
    for item in list.list()? {
        members.push(member(&item, names)?);
    }
    table.finish()?;
    let is_its_own = members.len() == 1 && members[0].name == name;
    if single && !is_its_own {
        return Err(list.wrong(format!("a single group has one member of its own name, {name:?}")));
    }
    if members.is_empty() {
        return Err(list.wrong("there is no member"));
    }
    Ok(Collection { name, single, ordered, collocated, members })
}

fn member(item: &Item<'_>, names: &mut Names) -> Result<Member, ScenarioError> {
    let mut table = item.table()?;
    let name = new_name(&table.must("name")?, &mut names.members)?;
    let nodes = &names.nodes;
    let member = Member {
        name,
        desired: table.read("desired", Desired::Running, groups::desired)?,
        managed: table.read("managed", true, Item::bool)?,
        priority: table.read("priority", Score::default(), Item::score)?,
        stickiness: table.read("stickiness", Score::default(), Item::score)?,
        migration_threshold: table
            .may("migration_threshold")
            .map(|item| failures(&item))
            .transpose()?,
        failure_timeout: table.may("failure_timeout").map(|item| item.seconds()).transpose()?,
        utilization: table.read("utilization", BTreeMap::new(), amounts)?,
        live_movable: table.read("live_movable", false, Item::bool)?,
        on_fail: table.read("on_fail", BTreeMap::new(), on_fail)?,
        requires: table.read("requires", Requires::Fencing, |item| {
            item.word(&[("quorum", Requires::Quorum), ("fencing", Requires::Fencing)])
        })?,
        multiple_active: table.read("multiple_active", MultipleActive::StopStart, |item| {
            item.word(&[
                ("stop_start", MultipleActive::StopStart),
                ("stop_unexpected", MultipleActive::StopUnexpected),
                ("stop_only", MultipleActive::StopOnly),
                ("block", MultipleActive::Block),
            ])
        })?,
        initial: table.read("initial", Initial::default(), |item| initial(item, nodes))?,
    };
    table.finish()?;
    Ok(member)
}

fn on_fail(item: &Item<'_>) -> Result<BTreeMap<String, OnFail>, ScenarioError> {
    let words = [
        ("restart", OnFail::Restart),
        ("stop", OnFail::Stop),
        ("block", OnFail::Block),
        ("fence", OnFail::Fence),
        ("ignore", OnFail::Ignore),
    ];
    let entries = item.entries()?;
    entries.into_iter().map(|(key, value)| Ok((key.to_owned(), value.word(&words)?))).collect()
}

fn initial(item: &Item<'_>, nodes: &BTreeSet<String>) -> Result<Initial, ScenarioError> {
    let mut table = item.table()?;
    let mut seen = BTreeSet::new();
    let running_on = table.read("running_on", Vec::new(), |item| {
        let items = item.list()?;
        let name = |item: Item<'_>| {
            item.known("node", nodes)?;
            new_name(&item, &mut seen)
        };
        items.into_iter().map(name).collect()
    })?;
    let initial = Initial {
        running_on,
        failed: table.read("failed", false, Item::bool)?,
        fail_count: table.read("fail_count", BTreeMap::new(), |item| {
            let known = |(key, value): (&str, Item<'_>)| {
                if !nodes.contains(key) {
                    return Err(value.wrong("there is no such node"));
                }
                Ok((key.to_owned(), failures(&value)?))
            };
            item.entries()?.into_iter().map(known).collect()
        })?,
        blocked: table.read("blocked", false, Item::bool)?,
        in_progress: table.read("in_progress", false, in_progress)?,
    };
    table.finish()?;
    Ok(initial)
}

/// Whether something is under way: yes or no, its name, or more about it.
fn in_progress(item: &Item<'_>) -> Result<bool, ScenarioError> {
    match item.tree {
        Tree::Bool(value) => Ok(*value),
        Tree::Table(entries) => Ok(!entries.is_empty()),
        _ => item.name().map(|_| true),
    }
}

fn failures(item: &Item<'_>) -> Result<u32, ScenarioError> {
    match item.tree {
        Tree::Text(text) if text == "inf" => Ok(FAILURES_MAX),
        _ => item.count(FAILURES_MAX),
    }
}
