//! What is done about failures, how often and how many at once, and where a node stands.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ClusterParts, ConfigError, GroupConfig, NodeConfig, ResourceConfig, Rule, Says};
use crate::id::ResourceId;

/// What is done about a resource that has failed.
///
/// Source: Windows clustering, RestartAction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RestartAction {
    /// It is left failed where it is; what does not need it runs on. RestartAction 0.
    DoNotRestart,
    /// It is restarted on its node; when it has failed too often, it is left failed there. RestartAction 1.
    Restart,
    /// It is restarted on its node; when it has failed too often, its group fails over. RestartAction 2.
    #[default]
    RestartThenFailOver,
}

/// What is done about a resource that cannot even be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnDeadlock {
    /// Its group is stop-failed: the end is tried again and again, and people are told.
    #[default]
    TellPeople,
    /// Its node is fenced, if another node takes part: what it runs starts elsewhere once it is proven harmless.
    FenceNode,
}

/// What is done about failures of one resource. The default is that of Windows clustering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourcePolicy {
    /// See [`RestartAction`].
    pub restart_action: RestartAction,
    /// How long a resource that is left failed rests until it is started again; none: until its group is moved or
    /// stopped. Not below its `restart_period`.
    ///
    /// Source: Windows clustering, RetryPeriodOnFailure 3600000 ms.
    pub retry_period: Option<Duration>,
    /// How long after its end was first asked for it counts as deadlocked. At least 1 s.
    ///
    /// Source: Windows clustering, DeadlockTimeout 300000 ms.
    pub deadlock_timeout: Duration,
    /// See [`OnDeadlock`].
    pub on_deadlock: OnDeadlock,
    /// Whether one start that fails is enough for its group to be tried elsewhere, where its restart action lets the
    /// group fail over.
    ///
    /// Source: Pacemaker, start-failure-is-fatal (default there: yes; here: no).
    pub start_failure_is_fatal: bool,
}

impl Default for ResourcePolicy {
    fn default() -> Self {
        Self {
            restart_action: RestartAction::default(),
            retry_period: Some(Duration::from_secs(3_600)),
            deadlock_timeout: Duration::from_secs(300),
            on_deadlock: OnDeadlock::default(),
            start_failure_is_fatal: false,
        }
    }
}

impl ResourceConfig {
    /// Whether what it depends on is online: all of `depends_on`, and one at least of each set of `depends_on_any`.
    pub fn is_grounded(&self, is_online: impl Fn(&ResourceId) -> bool) -> bool {
        self.depends_on.iter().all(&is_online)
            && self.depends_on_any.iter().all(|any| any.iter().any(&is_online))
    }

    /// Everything it depends on, be it as one of several: all of that stops after it.
    pub fn grounds(&self) -> impl Iterator<Item = ResourceId> + '_ {
        self.depends_on.iter().chain(self.depends_on_any.iter().flatten()).copied()
    }
}

/// Hours of a day, from the beginning of one to the beginning of the other; over midnight where `to` is the smaller.
///
/// Source: Windows clustering, FailbackWindowStart and FailbackWindowEnd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// The first hour, 0 to 23.
    pub from: u8,
    /// The hour with which it ends, 0 to 23.
    pub to: u8,
}

/// Seconds of a day.
pub const DAY: u64 = 86_400;

impl Hours {
    /// How long until this window opens, in seconds, at a time of day in seconds; 0: it is open.
    pub fn opens_in(self, time: u64) -> u64 {
        let (from, to) = (u64::from(self.from) * 3_600, u64::from(self.to) * 3_600);
        let since = (time + DAY - from) % DAY;
        let length = (to + DAY - from) % DAY;
        if since < length { 0 } else { DAY - since }
    }
}

/// Where a node stands: what fails together. Empty: nothing is said.
///
/// Source: Windows clustering, fault domains (site, rack).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Domain {
    /// The site.
    pub site: String,
    /// The rack. Racks of one name on different sites are different.
    pub rack: String,
}

/// What is one place in the sense of a rule.
///
/// Source: Windows clustering, affinity rules (SameNode, SameFaultDomain and their opposites).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum By {
    /// A node.
    #[default]
    Node,
    /// All nodes of one rack.
    Rack,
    /// All nodes of one site.
    Site,
}

/// How much may happen at once. The default is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// At most so many groups fail over at once; the others wait their turn, by priority.
    pub failovers_max: Option<u32>,
    /// At most so many groups are being started on one node at once, moves to it counted in.
    pub starts_per_node_max: Option<u32>,
    /// Of at most so many nodes that are lost within `losses_period` the groups start elsewhere by themselves. Those of
    /// further ones wait until the period is over, until their node is back, or for a human's word about it.
    pub losses_max: Option<u32>,
    /// See `losses_max`. Default 1 h.
    pub losses_period: Duration,
    /// When more than so many groups with a resource of one driver have failed within `alike_period`, none of them is
    /// at fault: they wait until that is over.
    pub alike_max: Option<u32>,
    /// See `alike_max`. Default 1 min.
    pub alike_period: Duration,
    /// How long a group waits that has failed on every node where it may run now; none: it is tried again at once, up
    /// to its failover threshold.
    pub everywhere_pause: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failovers_max: None,
            starts_per_node_max: None,
            losses_max: None,
            losses_period: Duration::from_secs(3_600),
            alike_max: None,
            alike_period: Duration::from_secs(60),
            everywhere_pause: None,
        }
    }
}

/// When a node that comes and goes is given nothing for a while. It takes part and votes all the same. Never more than
/// a quarter of the nodes at once, but one where there are fewer than four.
///
/// Source: Windows clustering, QuarantineThreshold and QuarantineDuration, and its limit of 25 % of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// How often it goes down within `period` before that. At least 1.
    pub threshold: u32,
    /// See `threshold`.
    pub period: Duration,
    /// For how long, the first time; twice as long each further time.
    pub hold: Duration,
    /// For how long at most. After as long without a quarantine the next one counts as the first.
    pub hold_max: Duration,
}

impl Default for Quarantine {
    fn default() -> Self {
        Self {
            threshold: 3,
            period: Duration::from_secs(3_600),
            hold: Duration::from_secs(7_200),
            hold_max: Duration::from_secs(DAY),
        }
    }
}

/// Checks what stands in this module.
pub(super) fn check_policies(parts: &ClusterParts) -> Result<(), ConfigError> {
    let limits = &parts.policy.limits;
    let counts = [
        ("limits.failovers_max", limits.failovers_max),
        ("limits.starts_per_node_max", limits.starts_per_node_max),
        ("limits.losses_max", limits.losses_max),
        ("limits.alike_max", limits.alike_max),
        ("quarantine.threshold", parts.policy.quarantine.map(|one| one.threshold)),
    ];
    if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == Some(0)) {
        let problem = "0 would let nothing happen at all";
        return Err(ConfigError::new(format!("policy.{key}"), problem, "use 1 or more"));
    }
    parts.groups.iter().try_for_each(check_group)?;
    parts.rules.iter().try_for_each(|rule| check_domains(rule, &parts.nodes))
}

fn check_group(group: &GroupConfig) -> Result<(), ConfigError> {
    let place = format!("groups.{}", group.name);
    if let Some(Hours { from, to }) = group.wishes.failback_hours
        && (from > 23 || to > 23 || from == to)
    {
        return Err(ConfigError::new(
            format!("{place}.failback_hours"),
            format!("from {from} to {to} o'clock is no part of a day"),
            "use two different hours from 0 to 23",
        ));
    }
    group.resources.iter().try_for_each(|one| check_resource(group, one, &place))
}

fn check_resource(
    group: &GroupConfig,
    resource: &ResourceConfig,
    place: &str,
) -> Result<(), ConfigError> {
    let place = format!("{place}.{}", resource.name);
    let policy = &resource.policy;
    let left_failed = policy.restart_action != RestartAction::RestartThenFailOver;
    if let Some(retry) = policy.retry_period.filter(|&retry| retry < resource.restart_period)
        && left_failed
    {
        let period = resource.restart_period;
        return Err(ConfigError::new(
            format!("{place}.retry_period"),
            format!("{retry:?} is below restart_period {period:?}"),
            "make it as long at least",
        ));
    }
    if policy.deadlock_timeout < Duration::from_secs(1) {
        return Err(ConfigError::new(
            format!("{place}.deadlock_timeout"),
            format!("{:?} is below 1s", policy.deadlock_timeout),
            "use 1 s or more",
        ));
    }
    let known = |id: &ResourceId| group.resources.iter().any(|other| other.id == *id);
    for any in &resource.depends_on_any {
        if any.is_empty() || !any.iter().all(known) {
            return Err(ConfigError::new(
                format!("{place}.depends_on_any"),
                "a set is empty, or names what is not in this group",
                "name resources of the same group, one at least in each set",
            ));
        }
    }
    Ok(())
}

/// Whoever speaks of sites or racks has to say where each node is.
fn check_domains(rule: &Rule, nodes: &[NodeConfig]) -> Result<(), ConfigError> {
    let (Says::Together { by, .. } | Says::Apart { by, .. }) = &rule.says else { return Ok(()) };
    let nowhere = nodes.iter().find(|node| match by {
        By::Node => false,
        By::Rack => node.domain.rack.is_empty(),
        By::Site => node.domain.site.is_empty(),
    });
    let Some(node) = nowhere else { return Ok(()) };
    let word = if *by == By::Site { "site" } else { "rack" };
    Err(ConfigError::new(
        format!("nodes.{}.{word}", node.name),
        format!("it has no {word}, and rule {} is about them", rule.name),
        format!("say of every node in which {word} it stands"),
    ))
}

impl NodeConfig {
    /// Whether both are one place in the sense of `by`.
    pub fn is_with(&self, other: &Self, by: By) -> bool {
        match by {
            By::Node => self.id == other.id,
            By::Rack => self.domain == other.domain,
            By::Site => self.domain.site == other.domain.site,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_window_is_open_in_its_hours_and_opens_with_the_first_of_them(
            from in 0u8..24,
            to in 0u8..24,
            time in 0..DAY,
        ) {
            let hours = Hours { from, to };
            let hour = u8::try_from(time / 3_600).unwrap();
            let inside = if from < to { from <= hour && hour < to } else { hour >= from || hour < to };
            prop_assert_eq!(hours.opens_in(time) == 0, inside && from != to);
            if from != to {
                let then = (time + hours.opens_in(time)) % DAY;
                prop_assert!(inside || then == u64::from(from) * 3_600);
            }
        }
    }
}
