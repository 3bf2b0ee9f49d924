//! What was imported as a scenario: what would quorate do with that cluster as it stands?

use serde_json::{Map, Value, json};

use super::Imported;
use crate::config::{Balance, Document, Group, OrderAct, OrderKind, Priority, Rule, Score};

/// The scenario, in the form of `quorate simulate`.
pub(super) fn scenario(imported: &Imported) -> Value {
    let document = &imported.document;
    let nodes = document.nodes.iter().map(|node| {
        let is_drained = imported.drained.contains(&node.name);
        let state = if is_drained { "standby" } else { "online" };
        json!({ "name": node.name, "capacity": node.capacity, "state": state })
    });
    let nodes: Vec<Value> = nodes.collect();
    let groups: Vec<Value> = document.groups.iter().map(group).collect();
    let locations = document.groups.iter().flat_map(locations);
    let rules: Vec<Value> = locations.chain(document.rules.iter().filter_map(rule)).collect();
    json!({
        "format": "failover-scenario/1",
        "id": document.cluster.name,
        "description": "a cluster that was imported, as it was found",
        "kind": "snapshot",
        "cluster": cluster(document),
        "nodes": nodes,
        "groups": groups,
        "rules": rules,
    })
}

fn cluster(document: &Document) -> Value {
    let policy = &document.policy;
    let strategy = match (policy.balance, policy.limited) {
        (Balance::Few, _) => "minimal",
        (Balance::Room, _) => "balanced",
        (Balance::Groups | Balance::Load, true) => "utilization",
        (Balance::Groups | Balance::Load, false) => "default",
    };
    let on_loss = if policy.keep_without_quorum { "freeze" } else { "stop" };
    let mut resources = document.groups.iter().flat_map(|group| &group.resources);
    json!({
        "placement_strategy": strategy,
        "quorum": { "on_loss": on_loss },
        "start_failure_is_fatal": resources.any(|one| one.start_failure_is_fatal),
    })
}

fn group(group: &Group) -> Value {
    let single = group.resources.len() == 1;
    let members = group.resources.iter().enumerate().map(|(at, resource)| {
        let name = if single { &group.name } else { &resource.name };
        let mut member = Map::new();
        let mut say = |key: &str, value: Value| member.insert(key.to_owned(), value);
        say("name", json!(name));
        say("desired", json!(if group.auto_start { "running" } else { "stopped" }));
        let priority = match group.priority {
            Priority::Points(points) => points,
            Priority::NoAutoStart => 0,
        };
        say("priority", json!(priority.clamp(-1_000_000, 1_000_000)));
        let stickiness = if group.failback { json!(group.stickiness) } else { json!("inf") };
        say("stickiness", stickiness);
        say("requires", json!(if group.awaits_fences { "fencing" } else { "quorum" }));
        say("live_movable", json!(resource.live_on_move));
        if let Some(most) = group.node_failures_max {
            say("migration_threshold", json!(most));
        }
        if let Some(length) = group.failures_expire_s {
            say("failure_timeout", json!(length));
        }
        // What the group uses, its first member does.
        if at == 0 {
            say("utilization", json!(group.uses));
        }
        if let Some(owner) = group.initial_owner.as_ref().filter(|_| group.auto_start) {
            say("initial", json!({ "running_on": [owner] }));
        }
        Value::Object(member)
    });
    let members: Vec<Value> = members.collect();
    let ordered = group.resources.iter().any(|resource| !resource.depends_on.is_empty());
    match single {
        true => json!({ "name": group.name, "single": true, "members": members }),
        false => json!({
            "name": group.name,
            "ordered": ordered,
            "collocated": true,
            "members": members,
        }),
    }
}

fn locations(group: &Group) -> impl Iterator<Item = Value> + '_ {
    let scores = group.scores.iter().filter(|(_, score)| score.points() != 0);
    scores.map(|(node, &points)| {
        json!({ "type": "location", "group": group.name, "node": node, "score": score(points) })
    })
}

fn rule(rule: &Rule) -> Option<Value> {
    if let Some((word, set)) = [("keep-together", &rule.together), ("keep-apart", &rule.apart)]
        .into_iter()
        .find_map(|(word, set)| Some((word, set.as_ref()?)))
    {
        return Some(json!({ "type": word, "groups": set.groups, "strict": set.strict }));
    }
    if let Some(near) = &rule.near {
        return Some(json!({
            "type": "colocation",
            "group": near.group,
            "with": near.with,
            "score": score(near.score),
            "influence": near.influence,
        }));
    }
    let order = rule.order.as_ref()?;
    let (word, key, first) = match &order.first {
        Some(first) => ("order", "first", json!(first)),
        None => ("order_any", "first_any", json!(order.first_any)),
    };
    let kind = match order.kind {
        OrderKind::Mandatory => "mandatory",
        OrderKind::Optional => "optional",
        OrderKind::Serialize => "serialize",
    };
    let act = |act: OrderAct| match act {
        OrderAct::Start => "start",
        OrderAct::Stop => "stop",
    };
    Some(json!({
        "type": word,
        key: first,
        "then": order.then,
        "kind": kind,
        "symmetrical": order.symmetrical.unwrap_or(order.kind != OrderKind::Serialize),
        "first_action": act(order.first_act),
        "then_action": act(order.then_act),
    }))
}

fn score(score: Score) -> Value {
    match score {
        Score::MUST => json!("inf"),
        Score::NEVER => json!("-inf"),
        other => json!(other.points()),
    }
}
