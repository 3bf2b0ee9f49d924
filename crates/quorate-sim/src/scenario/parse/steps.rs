//! `steps[]` and `initial_state` of a timeline.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::ScenarioError;
use super::super::model::{
    Act, Disarm, GroupAct, InitialState, NodeAct, RecordedGroup, RecordedNode, RecordedState, Step,
};
use super::super::reader::{Item, Table};
use super::super::tree::Tree;
use super::{Names, amounts, groups, new_name};

#[derive(Clone, Copy)]
enum Do {
    Node(NodeAct),
    /// A fault whose further keys are its own.
    NodeFault(NodeAct),
    Disarm,
    Arm,
    Add,
    Group(GroupDo),
}

#[derive(Clone, Copy)]
enum GroupDo {
    SetDesired,
    Move,
    Stop,
    Remove,
    Lock,
    Unlock,
    MovedOutOfBand,
    SetLoad,
}

const ACTIONS: [(&str, Do); 25] = [
    ("node_power_on", Do::Node(NodeAct::PowerOn)),
    ("node_power_off", Do::Node(NodeAct::PowerOff)),
    ("node_network_on", Do::Node(NodeAct::NetworkOn)),
    ("node_network_off", Do::Node(NodeAct::NetworkOff)),
    ("node_shutdown", Do::Node(NodeAct::Shutdown)),
    ("node_reboot", Do::Node(NodeAct::Reboot)),
    ("node_maintenance_on", Do::Node(NodeAct::MaintenanceOn)),
    ("node_maintenance_off", Do::Node(NodeAct::MaintenanceOff)),
    ("agent_restart", Do::Node(NodeAct::AgentRestart)),
    ("manager_stop", Do::Node(NodeAct::ManagerStop)),
    ("manager_start", Do::Node(NodeAct::ManagerStart)),
    ("cluster_disarm", Do::Disarm),
    ("cluster_arm", Do::Arm),
    ("group_set_desired", Do::Group(GroupDo::SetDesired)),
    ("group_move", Do::Group(GroupDo::Move)),
    ("group_stop", Do::Group(GroupDo::Stop)),
    ("group_add", Do::Add),
    ("group_remove", Do::Group(GroupDo::Remove)),
    ("group_lock", Do::Group(GroupDo::Lock)),
    ("group_unlock", Do::Group(GroupDo::Unlock)),
    ("group_moved_out_of_band", Do::Group(GroupDo::MovedOutOfBand)),
    ("group_set_load", Do::Group(GroupDo::SetLoad)),
    ("config_store_fault", Do::NodeFault(NodeAct::ConfigStoreFault)),
    ("pause_rounds", Do::NodeFault(NodeAct::PauseRounds)),
    ("node_set_version", Do::NodeFault(NodeAct::SetVersion)),
];

/// Reads the steps. A group may be named once a step has added it.
pub(super) fn steps(item: &Item<'_>, names: &mut Names) -> Result<Vec<Step>, ScenarioError> {
    let mut steps: Vec<Step> = Vec::new();
    for item in item.list()? {
        let mut table = item.table()?;
        let time = table.must("t")?;
        let at = time.step_time()?;
        if steps.last().is_some_and(|before| at < before.at) {
            return Err(time.wrong("it is earlier than the step before"));
        }
        let mut actions = Vec::new();
        for item in table.must("actions")?.list()? {
            actions.push(act(&item, names)?);
        }
        table.finish()?;
        steps.push(Step { at, actions });
    }
    Ok(steps)
}

fn act(item: &Item<'_>, names: &mut Names) -> Result<Act, ScenarioError> {
    let mut table = item.table()?;
    let what = table.must("do")?.word(&ACTIONS)?;
    let done = match what {
        Do::Node(act) => Act::Node(act, node(&mut table, "node", names)?),
        Do::NodeFault(act) => {
            let node = match table.may("node") {
                Some(item) => item.known("node", &names.nodes)?,
                None => String::new(),
            };
            table.leave();
            return Ok(Act::Node(act, node));
        }
        Do::Disarm => {
            let modes = [("freeze", Disarm::Freeze), ("ignore", Disarm::Ignore)];
            Act::Disarm(table.must("mode")?.word(&modes)?)
        }
        Do::Arm => Act::Arm,
        Do::Add => {
            let item = table.must("group")?;
            let name = item.name()?;
            let name = match names.removed.remove(&name) {
                true => name,
                false => new_name(&item, &mut names.groups)?,
            };
            return Ok(Act::Add(Box::new(groups::group(name, table, &names.nodes)?)));
        }
        Do::Group(what) => {
            let group = table.must("group")?.known("group", &names.groups)?;
            if let GroupDo::Remove = what {
                names.removed.insert(group.clone());
            }
            Act::Group(group_act(what, &mut table, names)?, group)
        }
    };
    table.finish()?;
    Ok(done)
}

fn group_act(
    what: GroupDo,
    table: &mut Table<'_>,
    names: &Names,
) -> Result<GroupAct, ScenarioError> {
    Ok(match what {
        GroupDo::SetDesired => GroupAct::SetDesired(groups::desired(&table.must("desired")?)?),
        GroupDo::Move => GroupAct::Move {
            target: node(table, "target", names)?,
            live: table.read("live", true, Item::bool)?,
        },
        GroupDo::Stop => {
            let seconds = |item: &Item<'_>| item.seconds().map(Some);
            GroupAct::Stop { timeout: table.read("timeout", None::<Duration>, seconds)? }
        }
        GroupDo::Lock => GroupAct::Lock,
        GroupDo::Unlock => GroupAct::Unlock,
        GroupDo::MovedOutOfBand => {
            GroupAct::MovedOutOfBand { target: node(table, "target", names)? }
        }
        GroupDo::SetLoad => GroupAct::SetLoad {
            load_static: table.read("load_static", BTreeMap::new(), amounts)?,
            load_dynamic: table.read("load_dynamic", BTreeMap::new(), amounts)?,
        },
        GroupDo::Remove => GroupAct::Remove,
    })
}

fn node(table: &mut Table<'_>, key: &'static str, names: &Names) -> Result<String, ScenarioError> {
    table.must(key)?.known("node", &names.nodes)
}

/// Reads a persisted record.
pub(super) fn initial_state(item: &Item<'_>, names: &Names) -> Result<InitialState, ScenarioError> {
    let mut table = item.table()?;
    let coordinator = maybe(table.may("coordinator"), |item| item.known("node", &names.nodes))?;
    let nodes = table.read("nodes", BTreeMap::new(), |item| {
        let words = [
            ("online", RecordedNode::Online),
            ("unknown", RecordedNode::Unknown),
            ("fence", RecordedNode::Fence),
        ];
        let known = |(key, value): (&str, Item<'_>)| {
            if !names.nodes.contains(key) {
                return Err(value.wrong("there is no such node"));
            }
            Ok((key.to_owned(), value.word(&words)?))
        };
        item.entries()?.into_iter().map(known).collect()
    })?;
    let groups = table.read("groups", BTreeMap::new(), |item| {
        let known = |(key, value): (&str, Item<'_>)| {
            if !names.groups.contains(key) {
                return Err(value.wrong("there is no such group"));
            }
            Ok((key.to_owned(), recorded_group(&value, names)?))
        };
        item.entries()?.into_iter().map(known).collect()
    })?;
    table.finish()?;
    Ok(InitialState { coordinator, nodes, groups })
}

fn recorded_group(item: &Item<'_>, names: &Names) -> Result<RecordedGroup, ScenarioError> {
    let mut table = item.table()?;
    let node = |item: &Item<'_>| item.known("node", &names.nodes);
    let group = RecordedGroup {
        state: table.must("state")?.word(&[
            ("started", RecordedState::Started),
            ("stopped", RecordedState::Stopped),
            ("error", RecordedState::Error),
            ("recovery", RecordedState::Recovery),
            ("fence", RecordedState::Fence),
            ("migrate", RecordedState::Migrate),
        ])?,
        owner: maybe(table.may("owner"), node)?,
        target: maybe(table.may("target"), node)?,
    };
    table.finish()?;
    Ok(group)
}

/// In a record, null says that there is none.
fn maybe<T>(
    item: Option<Item<'_>>,
    read: impl FnOnce(&Item<'_>) -> Result<T, ScenarioError>,
) -> Result<Option<T>, ScenarioError> {
    item.filter(|item| *item.tree != Tree::Null).map(|item| read(&item)).transpose()
}
