//! From what the engine holds back to the words of cluster.toml: numbers become names.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::config::timing::DetectionMode;
use quorate_core::config::{
    ClusterConfig, GroupConfig, LunConfig, NodeConfig, OrderKind, ResourceConfig, Says,
    TimingInputs,
};
use quorate_core::id::{GroupId, LunId, NodeId, ResourceId};

use super::ConfigError;
use super::document::{
    Cluster, Document, Group, Lun, Mode, Node, Profile, Recording, Resource, Settings, Timing,
    Witness,
};
use super::relations::{Members, Near, Order, Priority, Rule, Score};

/// Names by number.
struct Names<'a> {
    nodes: BTreeMap<NodeId, &'a str>,
    luns: BTreeMap<LunId, &'a str>,
    groups: BTreeMap<GroupId, &'a str>,
}

/// A document of which the same configuration can be made.
pub(super) fn document(cluster: &ClusterConfig) -> Result<Document, ConfigError> {
    let names = Names {
        nodes: cluster.nodes().iter().map(|node| (node.id, node.name.as_str())).collect(),
        luns: cluster.luns().iter().map(|lun| (lun.id, lun.name.as_str())).collect(),
        groups: cluster.groups().iter().map(|group| (group.id, group.name.as_str())).collect(),
    };
    Ok(Document {
        cluster: Cluster {
            name: cluster.name().to_owned(),
            id: format!("{:016x}", cluster.id().0),
        },
        timing: timing(cluster.timing().inputs()),
        recording: Recording::default(),
        watchdog: None,
        nodes: cluster.nodes().iter().map(node).collect(),
        luns: cluster.luns().iter().map(lun).collect::<Result<_, _>>()?,
        groups: (cluster.groups().iter())
            .map(|one| group(one, &names))
            .collect::<Result<_, _>>()?,
        rules: cluster.rules().iter().filter_map(|one| rule(one, &names)).collect(),
        policy: cluster.policy().clone(),
        fence_agents: (cluster.fence_agents().iter())
            .map(|agent| super::fencing::words(agent, &names.nodes))
            .collect::<Result<_, _>>()?,
        witness: cluster.witness().map(|one| Witness { path: one.path.clone() }),
    })
}

fn timing(inputs: &TimingInputs) -> Timing {
    let profiles = [(Profile::Default, TimingInputs::DEFAULT), (Profile::Fast, TimingInputs::FAST)];
    if let Some((profile, _)) = profiles.into_iter().find(|(_, of)| of == inputs) {
        return Timing { profile, ..Timing::default() };
    }
    Timing {
        profile: Profile::Default,
        detect_ms: Some(millis(inputs.detect)),
        interval_ms: Some(millis(inputs.interval)),
        stop_time_ms: Some(millis(inputs.stop_time)),
        io_bound_ms: Some(millis(inputs.io_bound)),
        drift_ppm: Some(inputs.drift_ppm),
        mode: Some(match inputs.mode {
            DetectionMode::Fixed => Mode::Fixed,
            DetectionMode::Adaptive => Mode::Adaptive,
        }),
    }
}

fn node(node: &NodeConfig) -> Node {
    Node {
        name: node.name.clone(),
        id: Some(node.id.0),
        addresses: node.addresses.clone(),
        voter: node.voter,
        capacity: node.capacity.clone(),
        site: node.domain.site.clone(),
        rack: node.domain.rack.clone(),
    }
}

fn lun(lun: &LunConfig) -> Result<Lun, ConfigError> {
    Ok(Lun {
        name: lun.name.clone(),
        id: Some(lun.id.0),
        driver: lun.driver.clone(),
        settings: settings(&format!("luns.{}", lun.name), &lun.settings)?,
    })
}

fn group(group: &GroupConfig, names: &Names<'_>) -> Result<Group, ConfigError> {
    let wishes = &group.wishes;
    let place = format!("groups.{}", group.name);
    let siblings: BTreeMap<ResourceId, &str> =
        group.resources.iter().map(|one| (one.id, one.name.as_str())).collect();
    let convert = |one| resource(&place, one, &siblings);
    Ok(Group {
        name: group.name.clone(),
        id: Some(group.id.0),
        luns: named(&group.luns, &names.luns),
        possible_owners: named(&group.possible_owners, &names.nodes),
        preferred_owners: named(&group.preferred_owners, &names.nodes),
        scores: (group.scores.iter())
            .filter_map(|(node, &score)| Some((name(*node, &names.nodes)?, clamped(score))))
            .collect(),
        initial_owner: group.initial_owner.and_then(|node| name(node, &names.nodes)),
        failback: group.failback,
        failback_hours: wishes.failback_hours.map(Into::into),
        stickiness: group.stickiness,
        priority: Priority::Points(wishes.priority),
        uses: wishes.uses.clone(),
        load: wishes.load.clone(),
        node_failures_max: wishes.node_failures_max,
        failures_expire_s: wishes.failures_expire.map(|length| length.as_secs()),
        awaits_fences: wishes.awaits_fences,
        fence_agent_required: wishes.fence_agent_required,
        found_twice: wishes.found_twice,
        persistent: wishes.persistent,
        started_by_hand: wishes.started_by_hand,
        auto_start: group.auto_start,
        failover_threshold: Some(group.failover_threshold),
        failover_period_s: group.failover_period.as_secs(),
        retry_period_s: group.retry_period.as_secs(),
        resources: group.resources.iter().map(convert).collect::<Result<_, _>>()?,
    })
}

fn resource(
    place: &str,
    resource: &ResourceConfig,
    siblings: &BTreeMap<ResourceId, &str>,
) -> Result<Resource, ConfigError> {
    Ok(Resource {
        name: resource.name.clone(),
        id: Some(resource.id.0),
        driver: resource.driver.clone(),
        depends_on: named(&resource.depends_on, siblings),
        depends_on_any: (resource.depends_on_any.iter()).map(|any| named(any, siblings)).collect(),
        save_on_move: Some(resource.save_on_move),
        live_on_move: resource.live_on_move,
        restart_threshold: resource.restart_threshold,
        restart_period_s: resource.restart_period.as_secs(),
        restart_delay_ms: millis(resource.restart_delay),
        pending_timeout_s: resource.pending_timeout.as_secs(),
        restart_action: resource.policy.restart_action,
        retry_period_s: resource.policy.retry_period.into(),
        deadlock_timeout_s: resource.policy.deadlock_timeout.as_secs(),
        on_deadlock: resource.policy.on_deadlock,
        start_failure_is_fatal: resource.policy.start_failure_is_fatal,
        settings: settings(&format!("{place}.{}", resource.name), &resource.settings)?,
    })
}

/// In words; none: it says nothing of groups that there are.
fn rule(rule: &quorate_core::config::Rule, names: &Names<'_>) -> Option<Rule> {
    let group = |id: GroupId| name(id, &names.groups);
    let said = Rule { name: rule.name.clone(), ..Rule::default() };
    let members = |groups: &[GroupId], strict, by| {
        let groups = named(groups, &names.groups);
        (groups.len() > 1).then_some(Members { groups, strict, by })
    };
    Some(match &rule.says {
        Says::Together { groups, strict, by } => {
            Rule { together: Some(members(groups, *strict, *by)?), ..said }
        }
        Says::Apart { groups, strict, by } => {
            Rule { apart: Some(members(groups, *strict, *by)?), ..said }
        }
        Says::Near { group: who, with, score, influence } => {
            let (who, with) = (group(*who)?, group(*with)?);
            let near = Near { group: who, with, score: clamped(*score), influence: *influence };
            Rule { near: Some(near), ..said }
        }
        Says::Order { first, then, kind, symmetrical, first_act, then_act } => {
            let mut first = named(first, &names.groups);
            let alone = if first.len() == 1 { first.pop() } else { None };
            let order = Order {
                first: alone,
                first_any: first,
                then: group(*then)?,
                kind: *kind,
                symmetrical: Some(*symmetrical).filter(|&is| is != (*kind != OrderKind::Serialize)),
                first_act: *first_act,
                then_act: *then_act,
            };
            Rule { order: Some(order), ..said }
        }
    })
}

fn settings(place: &str, json: &str) -> Result<Settings, ConfigError> {
    serde_json::from_str(json).map_err(|error| {
        ConfigError::new(place, error.to_string(), "give it settings that TOML can hold")
    })
}

fn clamped(score: i32) -> Score {
    Score::new(score).unwrap_or(if score > 0 { Score::MUST } else { Score::NEVER })
}

pub(super) fn name<N: Ord>(id: N, names: &BTreeMap<N, &str>) -> Option<String> {
    names.get(&id).map(|&name| name.to_owned())
}

fn named<N: Ord + Copy>(ids: &[N], names: &BTreeMap<N, &str>) -> Vec<String> {
    ids.iter().filter_map(|&id| name(id, names)).collect()
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
