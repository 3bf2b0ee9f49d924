//! From what a file says to what it means, strictly.

mod cluster;
mod groups;
mod members;
mod rules;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use super::ScenarioError;
use super::model::{Given, GivenState, InitialState, Node, Scenario, Story};
use super::reader::{Item, Table};
use super::tree::Tree;

/// The only version of the format.
const FORMAT: &str = "failover-scenario/1";

/// Every name that is known when rules and steps are read.
#[derive(Debug, Default)]
struct Names {
    nodes: BTreeSet<String>,
    groups: BTreeSet<String>,
    members: BTreeSet<String>,
    /// Groups that a step has removed: they may be added again.
    removed: BTreeSet<String>,
}

/// Reads a whole scenario.
pub(super) fn scenario(tree: &Tree) -> Result<Scenario, ScenarioError> {
    let mut file = Item::root(tree).table()?;
    file.must("format")?.word(&[(FORMAT, ())])?;
    let id = file.must("id")?.name()?;
    let description =
        file.read("description", String::new(), |item| Ok(item.text()?.to_owned()))?;
    for key in ["features", "source"] {
        file.may(key);
    }
    let expect = file.may("expect").map(|item| item.tree.clone());
    let is_timeline = file.must("kind")?.word(&[("timeline", true), ("snapshot", false)])?;
    let cluster = match file.may("cluster") {
        Some(item) => cluster::cluster(&item)?,
        None => {
            cluster::cluster(&Item { tree: &Tree::Table(Vec::new()), place: "cluster".into() })?
        }
    };
    let (nodes, story, rules) =
        if is_timeline { timeline(&mut file)? } else { snapshot(&mut file)? };
    file.finish()?;
    Ok(Scenario { id, description, cluster, nodes, rules, story, expect })
}

type Parts = (Vec<Node>, Story, Vec<super::model::Rule>);

fn timeline(file: &mut Table<'_>) -> Result<Parts, ScenarioError> {
    let mut up = BTreeMap::new();
    let nodes = nodes(file, |name, table| {
        let words = [("up", true), ("down", false)];
        up.insert(name, table.read("initial", true, |item| item.word(&words))?);
        Ok(())
    })?;
    let mut names =
        Names { nodes: nodes.iter().map(|node| node.name.clone()).collect(), ..Names::default() };
    let groups = match file.may("groups") {
        Some(item) => groups::groups(&item, &mut names)?,
        None => Vec::new(),
    };
    let initial_state: Option<InitialState> =
        file.may("initial_state").map(|item| steps::initial_state(&item, &names)).transpose()?;
    let rules = file.may("rules");
    let steps = match file.may("steps") {
        Some(item) => steps::steps(&item, &mut names)?,
        None => Vec::new(),
    };
    let rules = rules.map_or(Ok(Vec::new()), |item| rules::rules(&item, &names))?;
    Ok((nodes, Story::Timeline { up, groups, initial_state, steps }, rules))
}

fn snapshot(file: &mut Table<'_>) -> Result<Parts, ScenarioError> {
    let mut given = BTreeMap::new();
    let nodes = nodes(file, |name, table| {
        let words = [
            ("online", GivenState::Online),
            ("offline", GivenState::Offline),
            ("lost", GivenState::Lost),
            ("unclean", GivenState::Unclean),
            ("standby", GivenState::Standby),
            ("maintenance", GivenState::Maintenance),
        ];
        let state = table.read("state", GivenState::Online, |item| item.word(&words))?;
        let shutting_down = table.read("shutting_down", false, Item::bool)?;
        given.insert(name, Given { state, shutting_down });
        Ok(())
    })?;
    let mut names =
        Names { nodes: nodes.iter().map(|node| node.name.clone()).collect(), ..Names::default() };
    let groups = match file.may("groups") {
        Some(item) => members::collections(&item, &mut names)?,
        None => Vec::new(),
    };
    let rules = file.may("rules").map_or(Ok(Vec::new()), |item| rules::rules(&item, &names))?;
    if let Some(item) = file.may("steps")
        && !item.list()?.is_empty()
    {
        return Err(item.wrong("a snapshot has no steps: it is left to itself"));
    }
    Ok((nodes, Story::Snapshot { given, groups }, rules))
}

fn nodes(
    file: &mut Table<'_>,
    mut more: impl FnMut(String, &mut Table<'_>) -> Result<(), ScenarioError>,
) -> Result<Vec<Node>, ScenarioError> {
    let list = file.must("nodes")?;
    let items = list.list()?;
    if items.is_empty() {
        return Err(list.wrong("there is no node"));
    }
    let mut nodes = Vec::new();
    let mut seen = BTreeSet::new();
    for item in items {
        let mut table = item.table()?;
        let name = new_name(&table.must("name")?, &mut seen)?;
        let capacity = table.read("capacity", BTreeMap::new(), amounts)?;
        more(name.clone(), &mut table)?;
        table.finish()?;
        nodes.push(Node { name, capacity });
    }
    Ok(nodes)
}

/// A name that stands nowhere else.
fn new_name(item: &Item<'_>, seen: &mut BTreeSet<String>) -> Result<String, ScenarioError> {
    let name = item.name()?;
    if seen.insert(name.clone()) {
        Ok(name)
    } else {
        Err(item.wrong(format!("the name {name:?} stands twice")))
    }
}

/// Names and amounts.
fn amounts(item: &Item<'_>) -> Result<BTreeMap<String, f64>, ScenarioError> {
    let entries = item.entries()?;
    entries.into_iter().map(|(key, value)| Ok((key.to_owned(), value.amount()?))).collect()
}
