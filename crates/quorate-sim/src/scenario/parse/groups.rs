//! `groups[]` of a timeline.

use std::collections::{BTreeMap, BTreeSet};

use super::super::ScenarioError;
use super::super::model::{Desired, Faults, Group};
use super::super::reader::{Item, Table};
use super::{Names, amounts, new_name};

/// More attempts than anybody waits for.
const ATTEMPTS_MAX: u32 = 1_000;

pub(super) fn groups(item: &Item<'_>, names: &mut Names) -> Result<Vec<Group>, ScenarioError> {
    let mut groups = Vec::new();
    for item in item.list()? {
        let mut table = item.table()?;
        let name = new_name(&table.must("name")?, &mut names.groups)?;
        groups.push(group(name, table, &names.nodes)?);
    }
    Ok(groups)
}

/// Everything of a group but its name.
pub(super) fn group(
    name: String,
    mut table: Table<'_>,
    nodes: &BTreeSet<String>,
) -> Result<Group, ScenarioError> {
    table.read("kind", (), |item| item.text().map(drop))?;
    let group = Group {
        name,
        live_movable: table.read("live_movable", false, Item::bool)?,
        owner: table.may("owner").map(|item| item.known("node", nodes)).transpose()?,
        desired: table.read("desired", Desired::Running, desired)?,
        restarts: table.read("max_restart", 1, |item| item.count(ATTEMPTS_MAX))?,
        moves: table.read("max_relocate", 1, |item| item.count(ATTEMPTS_MAX))?,
        failback: table.read("failback", false, Item::bool)?,
        load_static: table.read("load_static", BTreeMap::new(), amounts)?,
        load_dynamic: table.read("load_dynamic", BTreeMap::new(), amounts)?,
        faults: table.read("faults", Faults::default(), |item| faults(item, nodes))?,
    };
    table.finish()?;
    Ok(group)
}

pub(super) fn desired(item: &Item<'_>) -> Result<Desired, ScenarioError> {
    item.word(&[
        ("running", Desired::Running),
        ("stopped", Desired::Stopped),
        ("disabled", Desired::Disabled),
        ("unmanaged", Desired::Unmanaged),
    ])
}

fn faults(item: &Item<'_>, nodes: &BTreeSet<String>) -> Result<Faults, ScenarioError> {
    let mut table = item.table()?;
    let count = |item: &Item<'_>| item.count(ATTEMPTS_MAX);
    let faults = Faults {
        start_fails_first: table.read("start_fails_first", 0, count)?,
        only_on_node: table
            .may("only_on_node")
            .map(|item| item.known("node", nodes))
            .transpose()?,
        move_fails_first: table.read("move_fails_first", 0, count)?,
        stop_always_fails: table.read("stop_always_fails", false, Item::bool)?,
    };
    table.finish()?;
    Ok(faults)
}
