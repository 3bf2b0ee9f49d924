//! One case: the loss, and what comes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::Error;
use super::loss::Loss;
use super::report::{Case, Fate, GroupOutcome, ms};
use crate::testing::{self, Cluster, Status};

/// What a group was before.
struct Before {
    owner: Option<String>,
    outage: Duration,
}

/// Loses what is to be lost and watches until the cluster is at rest.
pub(super) fn run(cluster: &mut Cluster, loss: &Loss) -> Result<Case, Error> {
    let names: Vec<String> =
        cluster.config().groups().iter().map(|group| group.name.clone()).collect();
    let mut before: BTreeMap<String, Before> = BTreeMap::new();
    for name in &names {
        let (owner, outage) = (cluster.owner_of(name)?, cluster.outage_of(name)?);
        before.insert(name.clone(), Before { owner, outage });
    }
    lose(cluster, loss)?;
    let settled = cluster.settle();
    let violations = cluster.violations().iter().map(ToString::to_string).collect();
    let at_rest = match settled {
        Ok(()) => true,
        Err(testing::Error::TimedOut { .. } | testing::Error::Violation(_)) => false,
        Err(error) => return Err(error.into()),
    };
    let (acting, without_quorum) = sides(cluster)?;
    let mut groups = Vec::new();
    for (name, before) in before {
        groups.push(outcome(cluster, loss, &acting, &name, &before)?);
    }
    let quorum = !acting.is_empty();
    Ok(Case { lost: loss.names(), quorum, acting, without_quorum, groups, at_rest, violations })
}

fn lose(cluster: &mut Cluster, loss: &Loss) -> Result<(), testing::Error> {
    for node in &loss.nodes {
        cluster.power_off(node)?;
    }
    for &network in &loss.networks {
        cluster.lose_network(network)?;
    }
    let nodes: Vec<String> =
        cluster.config().nodes().iter().map(|node| node.name.clone()).collect();
    for lun in &loss.luns {
        for node in &nodes {
            cluster.cut_storage(node, Some(lun))?;
        }
    }
    if loss.witness {
        cluster.cut_witness(None)?;
    }
    Ok(())
}

/// The nodes that run, by whether they may act.
fn sides(cluster: &Cluster) -> Result<(Vec<String>, Vec<String>), testing::Error> {
    let (mut acting, mut others) = (Vec::new(), Vec::new());
    for node in cluster.config().nodes() {
        let Some(status) = cluster.status_of(&node.name)? else { continue };
        let acts = status.quorum && status.lease_left_ms.is_some();
        if acts { &mut acting } else { &mut others }.push(node.name.clone());
    }
    Ok((acting, others))
}

fn outcome(
    cluster: &Cluster,
    loss: &Loss,
    acting: &[String],
    name: &str,
    before: &Before,
) -> Result<GroupOutcome, testing::Error> {
    let after = cluster.owner_of(name)?.filter(|owner| acting.contains(owner));
    let outage = cluster.outage_of(name)?.saturating_sub(before.outage);
    let fate = match (&before.owner, &after) {
        (None, None) => Fate::WasDown,
        (Some(_), None) => Fate::Down,
        (None, Some(_)) => Fate::Starts,
        (Some(old), Some(new)) if old != new => Fate::Moves,
        (Some(_), Some(_)) if outage.is_zero() => Fate::Stays,
        (Some(_), Some(_)) => Fate::Restarts,
    };
    let outage_ms = match fate {
        Fate::Moves | Fate::Restarts | Fate::Stays => Some(ms(outage)),
        Fate::Down | Fate::WasDown | Fate::Starts => None,
    };
    let why = match fate {
        Fate::Down | Fate::WasDown => Some(why_down(cluster, loss, acting, name)?),
        Fate::Moves | Fate::Restarts | Fate::Stays | Fate::Starts => None,
    };
    let before = before.owner.clone();
    Ok(GroupOutcome { name: name.to_owned(), fate, before, after, outage_ms, why })
}

/// Why a group runs nowhere.
fn why_down(
    cluster: &Cluster,
    loss: &Loss,
    acting: &[String],
    name: &str,
) -> Result<String, testing::Error> {
    let config = cluster.config();
    if acting.is_empty() {
        return Ok("no quorum is left".to_owned());
    }
    let status = cluster.status().unwrap_or_default();
    if status.groups.iter().any(|group| group.name == name && !group.online_wanted) {
        return Ok("it is to be offline".to_owned());
    }
    let group = config.group_named(name);
    let luns = group.into_iter().flat_map(|group| &group.luns);
    let lost = luns.filter_map(|&lun| config.lun(lun)).find(|lun| loss.luns.contains(&lun.name));
    if let Some(lun) = lost {
        return Ok(format!("its LUN {} is lost", lun.name));
    }
    why_nowhere(cluster, &status, acting, name)
}

/// What placement says of every node.
fn why_nowhere(
    cluster: &Cluster,
    status: &Status,
    acting: &[String],
    name: &str,
) -> Result<String, testing::Error> {
    let asked = status.coordinator.as_ref().or(acting.first());
    let explanation = match asked {
        Some(node) => cluster.explanation_of(node, name)?,
        None => None,
    };
    let state = status.groups.iter().find(|group| group.name == name);
    let state = state.map_or("waiting", |group| group.state.as_str());
    match explanation {
        Some(explanation) if explanation.placement.is_none() => {
            let not = explanation.not_there.iter().map(|(node, why)| format!("{node}: {why}"));
            Ok(not.collect::<Vec<_>>().join("; "))
        }
        Some(_) | None => Ok(format!("it is {state}")),
    }
}
