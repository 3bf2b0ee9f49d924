//! From the words of cluster.toml to what the engine checks: names become numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::config::{
    ClusterParts, Domain, GroupConfig, LunConfig, NodeConfig, OrderKind, ResourceConfig,
    ResourcePolicy, Rule, Says, Wishes, WitnessConfig,
};
use quorate_core::id::{ClusterId, GroupId, LunId, NodeId, ResourceId};

use super::document::{Amounts, Document, Group, Resource};
use super::drivers::{LunSettings, Part, ResourceSettings};
use super::relations::{Members, Near, Order, Priority};
use super::{ConfigError, Settings, misspelt};

/// Everything by name, with its number.
struct Numbers<'a> {
    nodes: BTreeMap<&'a str, NodeId>,
    luns: BTreeMap<&'a str, LunId>,
}

pub(super) fn parts(document: &Document) -> Result<ClusterParts, ConfigError> {
    super::address::check(&document.nodes)?;
    let numbers = Numbers {
        nodes: named(document.nodes.iter().map(|node| (node.name.as_str(), node.id)), NodeId)?,
        luns: named(document.luns.iter().map(|lun| (lun.name.as_str(), lun.id)), LunId)?,
    };
    let groups: BTreeMap<&str, GroupId> =
        named(document.groups.iter().map(|group| (group.name.as_str(), group.id)), GroupId)?;
    let all = document.groups.iter().flat_map(|group| &group.resources);
    let resources: BTreeMap<&str, ResourceId> =
        named(all.map(|resource| (resource.name.as_str(), resource.id)), ResourceId)?;
    Ok(ClusterParts {
        name: document.cluster.name.clone(),
        id: cluster_id(&document.cluster.id)?,
        timing: document.timing.inputs(),
        nodes: nodes(document, &numbers)?,
        luns: luns(document, &numbers)?,
        groups: document
            .groups
            .iter()
            .map(|group| {
                convert_group(document, group, groups[group.name.as_str()], &numbers, &resources)
            })
            .collect::<Result<_, _>>()?,
        rules: (document.rules.iter()).map(|one| rule(one, &groups)).collect::<Result<_, _>>()?,
        policy: document.policy.clone(),
        fence_agents: (document.fence_agents.iter())
            .map(|agent| super::fencing::convert(agent, &numbers.nodes))
            .collect::<Result<_, _>>()?,
        witness: document
            .witness
            .as_ref()
            .map(|one| WitnessConfig { path: one.path.clone(), votes: None }),
    })
}

/// Numbers by name: the given one, or the place in the list from 1.
///
/// Names given twice are left to the engine's own check, which sees them too.
fn named<'a, N: TryFrom<usize>, I>(
    items: impl Iterator<Item = (&'a str, Option<N>)>,
    make: impl Fn(N) -> I,
) -> Result<BTreeMap<&'a str, I>, ConfigError> {
    let mut found = BTreeMap::new();
    for (at, (name, id)) in items.enumerate() {
        let id = match id {
            Some(id) => id,
            None => N::try_from(at + 1)
                .map_err(|_| ConfigError::new(name, "there are too many", "take some out"))?,
        };
        found.entry(name).or_insert_with(|| make(id));
    }
    Ok(found)
}

fn cluster_id(text: &str) -> Result<ClusterId, ConfigError> {
    let wrong = || {
        ConfigError::new(
            "cluster.id",
            format!("{text:?} is not an identity"),
            "write 16 hex digits, drawn at random, as `quorate init` does",
        )
    };
    if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    match u64::from_str_radix(text, 16) {
        Ok(id) if id != 0 => Ok(ClusterId(id)),
        _ => Err(wrong()),
    }
}

fn nodes(document: &Document, numbers: &Numbers<'_>) -> Result<Vec<NodeConfig>, ConfigError> {
    let nodes = document.nodes.iter();
    let convert = |node: &super::Node| {
        Ok(NodeConfig {
            id: numbers.nodes[node.name.as_str()],
            name: node.name.clone(),
            addresses: node.addresses.clone(),
            voter: node.voter,
            capacity: amounts(&format!("nodes.{}.capacity", node.name), &node.capacity)?,
            domain: Domain { site: node.site.clone(), rack: node.rack.clone() },
        })
    };
    nodes.map(convert).collect()
}

/// As they are, if they can be written down again.
fn amounts(place: &str, amounts: &Amounts) -> Result<Amounts, ConfigError> {
    const MOST: u64 = i64::MAX as u64;
    match amounts.iter().find(|&(_, &amount)| amount > MOST) {
        None => Ok(amounts.clone()),
        Some((kind, amount)) => Err(ConfigError::new(
            format!("{place}.{kind}"),
            format!("{amount} is more than {MOST}"),
            "choose a larger unit",
        )),
    }
}

fn luns(document: &Document, numbers: &Numbers<'_>) -> Result<Vec<LunConfig>, ConfigError> {
    let mut before: BTreeMap<String, Vec<(&str, Option<Part>)>> = BTreeMap::new();
    let mut luns = Vec::new();
    let io_bound = document.timing.inputs().io_bound;
    let nodes_last = numbers.nodes.values().map(|node| node.0).max().unwrap_or(0);
    for lun in &document.luns {
        let place = format!("luns.{}", lun.name);
        let settings = json(&place, &lun.settings)?;
        let checked = LunSettings::read(&lun.driver, &settings)
            .and_then(|checked| checked.check(io_bound, nodes_last).map(|()| checked))
            .map_err(|reason| refused(&place, &lun.settings, &lun.driver, reason))?;
        let part = checked.part();
        let beside = checked.address().map(|address| before.entry(address).or_default());
        let others = beside.as_deref().into_iter().flatten();
        let clashes =
            |(name, other): &(&str, Option<Part>)| Some((name.to_string(), clash(part, *other)?));
        if let Some((other, why)) = others.filter_map(clashes).next() {
            let remedy = match lun.driver.as_str() {
                "iscsi" => "give each a `part = { offset_mib = ..., size_mib = ... }` of its own",
                _ => "take one of them out",
            };
            return Err(ConfigError::new(place, format!("beside luns.{other}: {why}"), remedy));
        }
        if let Some(beside) = beside {
            beside.push((&lun.name, part));
        }
        luns.push(LunConfig {
            id: numbers.luns[lun.name.as_str()],
            name: lun.name.clone(),
            driver: lun.driver.clone(),
            settings: settings.to_string(),
            enforced: checked.is_enforced(),
            part: part.is_some(),
        });
    }
    Ok(luns)
}

/// Why two of one LUN cannot be used beside each other; `None`: they can.
fn clash(one: Option<Part>, other: Option<Part>) -> Option<&'static str> {
    match (one, other) {
        (Some(one), Some(other)) if one.overlaps(other) => Some("their parts overlap"),
        (Some(_), Some(_)) => None,
        (_, _) => Some("it is the same LUN, and not both are parts of it"),
    }
}

fn convert_group(
    document: &Document,
    group: &Group,
    id: GroupId,
    numbers: &Numbers<'_>,
    resources: &BTreeMap<&str, ResourceId>,
) -> Result<GroupConfig, ConfigError> {
    let place = format!("groups.{}", group.name);
    let owners = |key: &str, names: &[String]| {
        lookup(&format!("{place}.{key}"), "node", "[[nodes]]", names, &numbers.nodes)
    };
    let place_of = |key: &str| format!("{place}.{key}");
    let scores = group.scores.iter().map(|(name, score)| {
        let place = format!("{place}.scores.{name}");
        Ok((find(&place, "node", "[[nodes]]", name, &numbers.nodes)?, score.points()))
    });
    let initial_owner = group
        .initial_owner
        .as_ref()
        .map(|name| find(&place_of("initial_owner"), "node", "[[nodes]]", name, &numbers.nodes));
    if group.stickiness < 0 {
        let problem = format!("{} is below 0", group.stickiness);
        let remedy = "use 0 where it leaves its node for any better one";
        return Err(ConfigError::new(place_of("stickiness"), problem, remedy));
    }
    let others = u32::try_from(document.nodes.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let convert = |resource| convert_resource(&place, group, resource, resources);
    Ok(GroupConfig {
        id,
        name: group.name.clone(),
        auto_start: group.auto_start && group.priority != Priority::NoAutoStart,
        possible_owners: owners("possible_owners", &group.possible_owners)?,
        preferred_owners: owners("preferred_owners", &group.preferred_owners)?,
        scores: scores.collect::<Result<_, ConfigError>>()?,
        initial_owner: initial_owner.transpose()?,
        failback: group.failback,
        stickiness: group.stickiness,
        failover_threshold: group.failover_threshold.unwrap_or(others.max(1)),
        failover_period: Duration::from_secs(group.failover_period_s),
        retry_period: Duration::from_secs(group.retry_period_s),
        wishes: Wishes {
            priority: group.priority.points(),
            uses: amounts(&place_of("uses"), &group.uses)?,
            load: amounts(&place_of("load"), &group.load)?,
            node_failures_max: group.node_failures_max,
            failures_expire: group.failures_expire_s.map(Duration::from_secs),
            awaits_fences: group.awaits_fences,
            fence_agent_required: group.fence_agent_required,
            found_twice: group.found_twice,
            failback_hours: group.failback_hours.map(Into::into),
            persistent: group.persistent,
            started_by_hand: group.started_by_hand || group.priority == Priority::NoAutoStart,
        },
        luns: lookup(&format!("{place}.luns"), "lun", "[[luns]]", &group.luns, &numbers.luns)?,
        resources: group.resources.iter().map(convert).collect::<Result<_, _>>()?,
    })
}

fn convert_resource(
    place: &str,
    group: &Group,
    resource: &Resource,
    numbers: &BTreeMap<&str, ResourceId>,
) -> Result<ResourceConfig, ConfigError> {
    let place = format!("{place}.{}", resource.name);
    let settings = json(&place, &resource.settings)?;
    ResourceSettings::read(&resource.driver, &settings)
        .map_err(|reason| refused(&place, &resource.settings, &resource.driver, reason))?;
    let siblings: BTreeMap<&str, ResourceId> = (group.resources.iter())
        .map(|sibling| (sibling.name.as_str(), numbers[sibling.name.as_str()]))
        .collect();
    let depends_on = |key: &str, names: &[String]| {
        let home = "[[groups.resources]] of this group";
        lookup(&format!("{place}.{key}"), "resource", home, names, &siblings)
    };
    let is_guest_alone = resource.driver == "qemu" && group.resources.len() == 1;
    Ok(ResourceConfig {
        id: numbers[resource.name.as_str()],
        name: resource.name.clone(),
        driver: resource.driver.clone(),
        settings: settings.to_string(),
        depends_on: depends_on("depends_on", &resource.depends_on)?,
        live_on_move: resource.live_on_move,
        save_on_move: resource.save_on_move.unwrap_or(is_guest_alone),
        restart_threshold: resource.restart_threshold,
        restart_period: Duration::from_secs(resource.restart_period_s),
        restart_delay: Duration::from_millis(resource.restart_delay_ms),
        pending_timeout: Duration::from_secs(resource.pending_timeout_s),
        policy: ResourcePolicy {
            restart_action: resource.restart_action,
            retry_period: resource.retry_period_s.length(),
            deadlock_timeout: Duration::from_secs(resource.deadlock_timeout_s),
            on_deadlock: resource.on_deadlock,
            start_failure_is_fatal: resource.start_failure_is_fatal,
        },
        depends_on_any: (resource.depends_on_any.iter())
            .map(|any| depends_on("depends_on_any", any))
            .collect::<Result<_, _>>()?,
    })
}

fn lookup<N: Copy>(
    place: &str,
    kind: &str,
    home: &str,
    names: &[String],
    known: &BTreeMap<&str, N>,
) -> Result<Vec<N>, ConfigError> {
    names.iter().map(|name| find(place, kind, home, name, known)).collect()
}

pub(super) fn find<N: Copy>(
    place: &str,
    kind: &str,
    home: &str,
    name: &str,
    known: &BTreeMap<&str, N>,
) -> Result<N, ConfigError> {
    known.get(name).copied().ok_or_else(|| {
        let otherwise = format!("add it under {home}, or take it out here");
        let listed = misspelt::list(known.keys().copied());
        ConfigError::new(
            place,
            format!("{kind} {name:?} is not known; known: {listed}"),
            misspelt::remedy(name, known.keys().copied(), &otherwise),
        )
    })
}

fn rule(rule: &super::Rule, groups: &BTreeMap<&str, GroupId>) -> Result<Rule, ConfigError> {
    let place = format!("rules.{}", rule.name);
    let mut said = Vec::new();
    if let Some(members) = &rule.together {
        let groups = members_of(&format!("{place}.together"), members, groups)?;
        said.push(Says::Together { groups, strict: members.strict, by: members.by });
    }
    if let Some(members) = &rule.apart {
        let groups = members_of(&format!("{place}.apart"), members, groups)?;
        said.push(Says::Apart { groups, strict: members.strict, by: members.by });
    }
    if let Some(near) = &rule.near {
        said.push(near_says(&format!("{place}.near"), near, groups)?);
    }
    if let Some(order) = &rule.order {
        said.push(order_says(&format!("{place}.order"), order, groups)?);
    }
    let count = said.len();
    match said.pop() {
        Some(says) if count == 1 => Ok(Rule { name: rule.name.clone(), says }),
        _ => Err(ConfigError::new(
            place,
            format!("it says {count} things"),
            "give it one of together, apart, near and order; make a rule of its own of each",
        )),
    }
}

fn members_of(
    place: &str,
    members: &Members,
    known: &BTreeMap<&str, GroupId>,
) -> Result<Vec<GroupId>, ConfigError> {
    let place = format!("{place}.groups");
    if members.groups.len() < 2 {
        let problem = format!("it names {} groups", members.groups.len());
        return Err(ConfigError::new(place, problem, "name at least two"));
    }
    lookup(&place, "group", "[[groups]]", &members.groups, known)
}

fn near_says(
    place: &str,
    near: &Near,
    known: &BTreeMap<&str, GroupId>,
) -> Result<Says, ConfigError> {
    let group =
        |key: &str, name: &str| find(&format!("{place}.{key}"), "group", "[[groups]]", name, known);
    Ok(Says::Near {
        group: group("group", &near.group)?,
        with: group("with", &near.with)?,
        score: near.score.points(),
        influence: near.influence,
    })
}

fn order_says(
    place: &str,
    order: &Order,
    known: &BTreeMap<&str, GroupId>,
) -> Result<Says, ConfigError> {
    let (key, first) = match &order.first {
        Some(first) if order.first_any.is_empty() => ("first", std::slice::from_ref(first)),
        None if !order.first_any.is_empty() => ("first_any", order.first_any.as_slice()),
        _ => {
            let remedy = "give it either first or first_any";
            return Err(ConfigError::new(place, "it is not clear what comes first", remedy));
        }
    };
    Ok(Says::Order {
        first: lookup(&format!("{place}.{key}"), "group", "[[groups]]", first, known)?,
        then: find(&format!("{place}.then"), "group", "[[groups]]", &order.then, known)?,
        kind: order.kind,
        symmetrical: order.symmetrical.unwrap_or(order.kind != OrderKind::Serialize),
        first_act: order.first_act,
        then_act: order.then_act,
    })
}

/// The settings as the engine keeps them: one text for equal settings, whatever their order was.
fn json(place: &str, settings: &Settings) -> Result<serde_json::Value, ConfigError> {
    if let Some(key) = settings.iter().find(|(_, value)| value.is_datetime()).map(|(key, _)| key) {
        return Err(ConfigError::new(
            format!("{place}.{key}"),
            "a date is no setting of any driver",
            "write it in quotes",
        ));
    }
    Ok(serde_json::to_value(settings).expect("TOML values are JSON values"))
}

/// A driver's refusal, at the key that it names.
fn refused(place: &str, settings: &Settings, driver: &str, reason: String) -> ConfigError {
    let named = reason.split(['`', '"', ' ', ':', ',']).find(|word| settings.contains_key(*word));
    let place = named.map_or_else(|| place.to_owned(), |key| format!("{place}.{key}"));
    let otherwise = format!("correct the settings of the {driver} driver");
    let remedy = misspelt::remedy_of(&reason, &otherwise);
    ConfigError::new(place, reason, remedy)
}
