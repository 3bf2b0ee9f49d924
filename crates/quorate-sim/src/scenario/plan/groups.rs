//! Groups, and what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_core::config::{GroupConfig, ResourceConfig, SCORE_NEVER};
use quorate_core::id::{GroupId, NodeId, ResourceId};

use super::super::model::{Act, Collection, Desired, Group, Member, Scenario, Score, Story};
use super::{Configured, Missing, Names, Planned, Scores};

/// A guest of the simulated world answers long before this.
const PENDING_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one attempt to start may take, to reckon until when failures count.
const ATTEMPT: Duration = Duration::from_secs(3);
/// What failed stays so until somebody acts.
const RETRY_PERIOD: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What a group needs beside its members.
struct Wants<'a> {
    name: &'a str,
    owner: Option<&'a str>,
    failback: bool,
    stickiness: Score,
    restarts: u32,
    moves: u32,
}

pub(super) fn groups(
    scenario: &Scenario,
    scores: &Scores,
    names: &mut Names,
) -> Result<Configured, Missing> {
    let mut maker =
        Maker { scenario, scores, names, resources: 0, groups: Vec::new(), planned: Vec::new() };
    match &scenario.story {
        Story::Timeline { groups, steps, .. } => {
            let added = steps.iter().flat_map(|step| &step.actions).filter_map(|act| match act {
                Act::Add(group) => Some(group.as_ref()),
                _ => None,
            });
            groups.iter().chain(added).try_for_each(|group| maker.timeline_group(group))?;
        }
        Story::Snapshot { groups, .. } => {
            groups.iter().try_for_each(|group| maker.collection(group))?;
        }
    }
    Ok((maker.groups, maker.planned))
}

/// Until when a failure counts: longer than all attempts together.
pub(in super::super) fn failure_period(restarts: u32, moves: u32) -> Duration {
    (ATTEMPT * (restarts + 2) * (moves + 2))
        .clamp(Duration::from_secs(60), Duration::from_secs(86_400))
}

struct Maker<'a> {
    scenario: &'a Scenario,
    scores: &'a Scores,
    names: &'a mut Names,
    resources: u32,
    groups: Vec<GroupConfig>,
    planned: Vec<Planned>,
}

impl Maker<'_> {
    fn timeline_group(&mut self, group: &Group) -> Result<(), Missing> {
        if group.desired == Desired::Unmanaged {
            return Err(Missing::new("unmanaged groups"));
        }
        let wants = Wants {
            name: &group.name,
            owner: group.owner.as_deref(),
            failback: group.failback,
            stickiness: Score::default(),
            restarts: if self.scenario.cluster.start_failure_is_fatal { 0 } else { group.restarts },
            moves: group.moves,
        };
        let desired = self.desired(group.desired);
        let member = (group.name.as_str(), group.live_movable, false);
        self.add(&wants, vec![member], true, desired, false);
        Ok(())
    }

    fn collection(&mut self, group: &Collection) -> Result<(), Missing> {
        check_collection(group)?;
        let first = &group.members[0];
        let stickiness = group.members.iter().map(|member| member.stickiness);
        let stickiness = stickiness.fold(Score::default(), Score::and);
        let fatal = self.scenario.cluster.start_failure_is_fatal;
        let alone = group.members.len() == 1;
        let members = group
            .members
            .iter()
            .map(|member| (member.name.as_str(), member.live_movable && alone, group.ordered))
            .collect();
        let owner = first.initial.running_on.first().filter(|node| !self.is_gone(node));
        let wants = Wants {
            name: &group.name,
            owner: owner.map(String::as_str),
            failback: stickiness != Score::MUST,
            stickiness,
            restarts: if fatal { 0 } else { first.migration_threshold.unwrap_or(3).min(10) },
            moves: 3,
        };
        let desired = self.desired(first.desired);
        self.add(&wants, members, group.single, desired, owner.is_some());
        Ok(())
    }

    /// A node that left in order runs nothing, whatever the file says.
    fn is_gone(&self, node: &str) -> bool {
        use super::super::model::GivenState;
        match &self.scenario.story {
            Story::Snapshot { given, .. } => {
                given.get(node).is_some_and(|one| one.state == GivenState::Offline)
            }
            Story::Timeline { .. } => false,
        }
    }

    fn desired(&self, desired: Desired) -> Desired {
        match desired {
            Desired::Running if self.scenario.cluster.stop_all => Desired::Stopped,
            other => other,
        }
    }

    /// Adds a group; a member is its name, whether it can be handed over, and whether it waits for the one before.
    fn add(
        &mut self,
        wants: &Wants<'_>,
        members: Vec<(&str, bool, bool)>,
        single: bool,
        desired: Desired,
        runs_before: bool,
    ) {
        // What is added again after it was removed is what it was.
        let again = self.planned.iter().rfind(|one| one.name == wants.name).cloned();
        let id = again.as_ref().map_or(GroupId(self.groups.len() as u32 + 1), |one| one.id);
        let mut resources: Vec<ResourceConfig> = Vec::new();
        let mut named = Vec::new();
        for (name, live, waits) in members {
            self.resources += u32::from(again.is_none());
            let known = again.as_ref().and_then(|one| one.members.get(resources.len()));
            let resource = known.map_or(ResourceId(self.resources), |&(_, known)| known);
            let before = resources.last().map(|before| before.id).filter(|_| waits);
            let configured = self.names.member(name);
            resources.push(resource_config(resource, configured, live, before, wants.restarts));
            named.push((name.to_owned(), resource));
        }
        let members: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
        let scores = self.node_scores(wants.name, &members);
        let configured = again.map(|one| one.configured);
        let configured = configured.unwrap_or_else(|| self.names.group(wants.name));
        self.groups.push(GroupConfig {
            id,
            name: configured.clone(),
            auto_start: false,
            possible_owners: self
                .scenario
                .nodes
                .iter()
                .map(|node| self.names.id_of(&node.name))
                .collect(),
            preferred_owners: Vec::new(),
            scores,
            initial_owner: wants.owner.map(|node| self.names.id_of(node)),
            failback: wants.failback,
            stickiness: i32::try_from(wants.stickiness.value()).unwrap_or(i32::MAX),
            failover_threshold: wants.moves,
            failover_period: failure_period(wants.restarts, wants.moves),
            retry_period: RETRY_PERIOD,
            wishes: quorate_core::config::Wishes::default(),
            luns: Vec::new(),
            resources,
        });
        let name = wants.name.to_owned();
        let members = named;
        self.planned.push(Planned { name, configured, id, members, single, desired, runs_before });
    }

    /// The scores of a group and of its members, together.
    fn node_scores(&self, group: &str, members: &[&str]) -> BTreeMap<NodeId, i32> {
        let names: BTreeSet<&str> = members.iter().copied().chain([group]).collect();
        let rules: Vec<_> = names.into_iter().filter_map(|name| self.scores.get(name)).collect();
        let score = |node: &str| {
            let named: Vec<Score> =
                rules.iter().filter_map(|rule| rule.get(node).copied()).collect();
            match named.into_iter().reduce(Score::and) {
                None if self.scenario.cluster.opt_in_placement => Score::NEVER,
                named => named.unwrap_or_default(),
            }
        };
        let number = |score: Score| match score {
            Score::NEVER => SCORE_NEVER,
            other => i32::try_from(other.value()).unwrap_or(i32::MAX),
        };
        let nodes = self.scenario.nodes.iter();
        let all = nodes.map(|node| (self.names.id_of(&node.name), number(score(&node.name))));
        all.filter(|&(_, score)| score != 0).collect()
    }
}

fn resource_config(
    id: ResourceId,
    name: String,
    live: bool,
    before: Option<ResourceId>,
    restarts: u32,
) -> ResourceConfig {
    ResourceConfig {
        id,
        name,
        driver: "host".into(),
        settings: "{}".into(),
        depends_on: before.into_iter().collect(),
        live_on_move: live,
        save_on_move: false,
        restart_threshold: restarts,
        restart_period: Duration::from_secs(86_400),
        restart_delay: Duration::from_millis(500),
        pending_timeout: PENDING_TIMEOUT,
    }
}

fn check_collection(group: &Collection) -> Result<(), Missing> {
    if group.members.len() > 1 && !group.collocated {
        return Err(Missing::new("a group whose members may be on different nodes"));
    }
    if group.members.len() > quorate_core::config::RESOURCES_PER_GROUP_MAX {
        let most = quorate_core::config::RESOURCES_PER_GROUP_MAX;
        return Err(Missing::new(format!("a group of more than {most} members")));
    }
    group.members.iter().try_for_each(check_member)?;
    let first = &group.members[0];
    let alike = |one: &Member| {
        one.desired == first.desired && one.initial.running_on == first.initial.running_on
    };
    if !group.members.iter().all(alike) {
        return Err(Missing::new("members of one group that are wanted or found differently"));
    }
    Ok(())
}

fn check_member(member: &Member) -> Result<(), Missing> {
    let initial = &member.initial;
    let missing = |what: &str| Err(Missing::new(what));
    if !member.managed || member.desired == Desired::Unmanaged {
        return missing("unmanaged members");
    }
    if initial.running_on.len() > 1 {
        return missing("a member that is found running twice");
    }
    if initial.failed {
        return missing("a member that is found failed");
    }
    if initial.fail_count.values().any(|&count| count > 0) {
        return missing("failures of the past (fail_count)");
    }
    if initial.blocked {
        return missing("blocked members");
    }
    if initial.in_progress {
        return missing("operations that are under way (in_progress)");
    }
    Ok(())
}
