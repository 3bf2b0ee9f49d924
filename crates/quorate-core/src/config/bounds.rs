//! Between which numbers values lie that have one: no length that is accepted overflows anything, no wish is one that
//! nobody can fulfil.

use std::time::Duration;

use super::rules::Amounts;
use super::{ClusterParts, ConfigError, GroupConfig, ResourceConfig, SCORE_MUST, SCORE_NEVER};

/// The longest length of time in a configuration: a hundred years.
pub const LENGTH_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);
/// A group that has failed more often than this on a node has not been counted.
///
/// Source: Pacemaker, fail-count (INFINITY is a million).
pub const FAILURES_MAX: u32 = 1_000_000;
/// At most so many lost nodes can be asked to be survived.
pub const SURVIVES_MAX: u32 = 4;

/// The highest number of a part of a LUN: its reservation keys have 15 bits for it.
const PART_MAX: u32 = 0x7fff;
/// The highest number of a node: in a key, what is above names a part.
const NODE_MAX: u16 = 0x7fff;

/// Checks what stands in this module.
pub(super) fn check_bounds(parts: &ClusterParts) -> Result<(), ConfigError> {
    check_policy(parts)?;
    check_numbers(parts)?;
    let kinds = Kinds::of(parts);
    for group in &parts.groups {
        check_group(group)?;
        kinds.check(&group.name, "uses", &group.wishes.uses)?;
        kinds.check(&group.name, "load", &group.wishes.load)?;
    }
    Ok(())
}

/// Reservation keys have to name them.
fn check_numbers(parts: &ClusterParts) -> Result<(), ConfigError> {
    let refused = |place: String, number: u32, most: u32| {
        let problem = format!("its id is {number}, more than {most}");
        Err(ConfigError::new(place, problem, "give it a smaller number"))
    };
    if let Some(node) = parts.nodes.iter().find(|node| node.id.0 > NODE_MAX) {
        return refused(format!("nodes.{}", node.name), node.id.0.into(), NODE_MAX.into());
    }
    match parts.luns.iter().find(|lun| lun.part && lun.id.0 > PART_MAX) {
        Some(lun) => refused(format!("luns.{}", lun.name), lun.id.0, PART_MAX),
        None => Ok(()),
    }
}

fn check_policy(parts: &ClusterParts) -> Result<(), ConfigError> {
    let policy = &parts.policy;
    let limits = &policy.limits;
    let lengths = [
        ("limits.losses_period_s", Some(limits.losses_period)),
        ("limits.alike_period_s", Some(limits.alike_period)),
        ("limits.everywhere_pause_s", limits.everywhere_pause),
        ("quarantine.period_s", policy.quarantine.map(|one| one.period)),
        ("quarantine.hold_s", policy.quarantine.map(|one| one.hold)),
        ("quarantine.hold_max_s", policy.quarantine.map(|one| one.hold_max)),
    ];
    lengths.into_iter().try_for_each(|(key, length)| check_length("policy", key, length))?;
    if let Some(quarantine) = &policy.quarantine {
        if quarantine.period.is_zero() {
            let problem = "within no time at all nothing goes down often";
            return Err(ConfigError::new("policy.quarantine.period_s", problem, "use 1 or more"));
        }
        if quarantine.hold_max < quarantine.hold {
            let (hold, most) = (quarantine.hold, quarantine.hold_max);
            let problem = format!("{most:?} is below hold_s {hold:?}");
            let remedy = "make it as long at least";
            return Err(ConfigError::new("policy.quarantine.hold_max_s", problem, remedy));
        }
    }
    let others = u32::try_from(parts.nodes.len()).unwrap_or(u32::MAX).saturating_sub(1);
    let most = others.min(SURVIVES_MAX).min(losses_of_votes(parts));
    match policy.survives {
        Some(count) if !(1..=most).contains(&count) => {
            let problem = format!("{count} is not from 1 to {most}");
            let remedy = if most == 0 {
                "leave it out, or let more nodes vote: without a majority nothing runs".to_owned()
            } else {
                format!(
                    "use 1 to {most}, leave it out, or let more nodes vote: without a majority nothing runs"
                )
            };
            Err(ConfigError::new("policy.survives", problem, remedy))
        }
        _ => Ok(()),
    }
}

/// So many nodes that vote may be lost, and a majority of the votes is left.
fn losses_of_votes(parts: &ClusterParts) -> u32 {
    let nodes = parts.nodes.iter().filter(|node| node.voter).count();
    let votes = nodes + usize::from(super::witness::votes(parts, nodes));
    u32::try_from(votes.saturating_sub(1) / 2).unwrap_or(u32::MAX)
}

fn check_group(group: &GroupConfig) -> Result<(), ConfigError> {
    let place = format!("groups.{}", group.name);
    let lengths = [
        ("failover_period_s", Some(group.failover_period)),
        ("retry_period_s", Some(group.retry_period)),
        ("failures_expire_s", group.wishes.failures_expire),
    ];
    lengths.into_iter().try_for_each(|(key, length)| check_length(&place, key, length))?;
    let scores = SCORE_NEVER..=SCORE_MUST;
    if !scores.contains(&group.stickiness) {
        return Err(ConfigError::new(
            format!("{place}.stickiness"),
            format!("{} is not valid", group.stickiness),
            format!("use 0 where it leaves its node for any better one, at most {SCORE_MUST}"),
        ));
    }
    if let Some((node, score)) = group.scores.iter().find(|(_, score)| !scores.contains(score)) {
        return Err(ConfigError::new(
            format!("{place}.scores"),
            format!("the score {score} of {node} is not valid"),
            format!("use {SCORE_NEVER} (must not) to {SCORE_MUST} (must)"),
        ));
    }
    if group.wishes.node_failures_max == Some(0) {
        return Err(ConfigError::new(
            format!("{place}.node_failures_max"),
            "after 0 failures it could run nowhere",
            "use 1 or more, or leave it out: then its failures keep it from no node",
        ));
    }
    group.resources.iter().try_for_each(|one| check_resource(&place, one))
}

fn check_resource(place: &str, resource: &ResourceConfig) -> Result<(), ConfigError> {
    let place = format!("{place}.{}", resource.name);
    let lengths = [
        ("restart_period_s", Some(resource.restart_period)),
        ("restart_delay_ms", Some(resource.restart_delay)),
        ("pending_timeout_s", Some(resource.pending_timeout)),
        ("retry_period_s", resource.policy.retry_period),
        ("deadlock_timeout_s", Some(resource.policy.deadlock_timeout)),
    ];
    lengths.into_iter().try_for_each(|(key, length)| check_length(&place, key, length))
}

fn check_length(place: &str, key: &str, length: Option<Duration>) -> Result<(), ConfigError> {
    match length.filter(|&length| length > LENGTH_MAX) {
        None => Ok(()),
        Some(length) => Err(ConfigError::new(
            format!("{place}.{key}"),
            format!("{} s is longer than a hundred years", length.as_secs()),
            format!("use at most {} s", LENGTH_MAX.as_secs()),
        )),
    }
}

/// Of what there is anything on any node.
struct Kinds<'a>(Vec<&'a str>);

impl<'a> Kinds<'a> {
    fn of(parts: &'a ClusterParts) -> Self {
        let mut kinds: Vec<&str> =
            parts.nodes.iter().flat_map(|node| node.capacity.keys().map(String::as_str)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        Self(kinds)
    }

    /// Where nodes say what they have room for, nobody takes what none of them names.
    fn check(&self, group: &str, key: &str, amounts: &Amounts) -> Result<(), ConfigError> {
        let unknown = |kind: &&String| self.0.binary_search(&kind.as_str()).is_err();
        match amounts.keys().find(unknown).filter(|_| !self.0.is_empty()) {
            None => Ok(()),
            Some(kind) => Err(ConfigError::new(
                format!("groups.{group}.{key}.{kind}"),
                format!("no node has any {kind}; what there is: {}", self.0.join(", ")),
                "correct it, or name it in the capacity of a node, with 0 where there is none",
            )),
        }
    }
}
