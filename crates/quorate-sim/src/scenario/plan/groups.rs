//! Groups, and what is in them.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::config::{Amounts, FoundTwice, GroupConfig, ResourceConfig, Wishes};
use quorate_core::id::{GroupId, NodeId, ResourceId};

use super::super::model::{
    Act, Collection, Desired, Given, GivenState, Group, Member, MultipleActive, OnFail, Placement,
    Requires, Rule, Scenario, Score, Story,
};
use super::{Configured, Names, Planned, Recovery, Scores};

/// So many failures are without end.
const FAILURES_MAX: u32 = 1_000_000;
/// A guest of the simulated world answers long before this.
const PENDING_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one attempt to start may take, to reckon until when failures count.
const ATTEMPT: Duration = Duration::from_secs(3);
/// What failed stays so until somebody acts.
const RETRY_PERIOD: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Amounts are whole numbers in the engine: thousandths here.
const THOUSAND: f64 = 1_000.0;

/// What a group needs beside its one resource.
struct Wants<'a> {
    name: &'a str,
    /// The group of the scenario in which it is a member, and its place there.
    of: Option<(&'a str, usize)>,
    owner: Option<&'a str>,
    failback: bool,
    stickiness: Score,
    restarts: u32,
    moves: u32,
    live: bool,
    desired: Desired,
    runs_before: bool,
    also_on: Vec<String>,
    stuck: bool,
    recovery: Recovery,
    fail_count: BTreeMap<String, u32>,
    wishes: Wishes,
}

pub(super) fn groups(scenario: &Scenario, scores: &Scores, names: &mut Names) -> Configured {
    let mut maker =
        Maker { scenario, scores, names, resources: 0, groups: Vec::new(), planned: Vec::new() };
    match &scenario.story {
        Story::Timeline { groups, steps, .. } => {
            let added = steps.iter().flat_map(|step| &step.actions).filter_map(|act| match act {
                Act::Add(group) => Some(group.as_ref()),
                _ => None,
            });
            groups.iter().chain(added).for_each(|group| maker.timeline_group(group));
        }
        Story::Snapshot { groups, .. } => {
            groups.iter().for_each(|group| maker.collection(group));
        }
    }
    (maker.groups, maker.planned)
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
    fn timeline_group(&mut self, group: &Group) {
        let fatal = self.scenario.cluster.start_failure_is_fatal;
        let load = match self.scenario.cluster.placement {
            Placement::LeastDynamicLoad => &group.load_dynamic,
            Placement::LeastGroups | Placement::LeastStaticLoad => &group.load_static,
        };
        let wants = Wants {
            name: &group.name,
            of: None,
            owner: group.owner.as_deref(),
            failback: group.failback,
            stickiness: Score::default(),
            restarts: if fatal { 0 } else { group.restarts },
            moves: group.moves,
            live: group.live_movable,
            desired: self.desired(group.desired),
            runs_before: false,
            also_on: Vec::new(),
            stuck: false,
            recovery: Recovery::None,
            fail_count: BTreeMap::new(),
            wishes: Wishes { load: amounts(load), ..Wishes::default() },
        };
        self.add(wants);
    }

    fn collection(&mut self, group: &Collection) {
        for (place, member) in group.members.iter().enumerate() {
            let of = (!group.single).then_some((group.name.as_str(), place));
            self.member(member, of);
        }
    }

    fn member(&mut self, member: &Member, of: Option<(&str, usize)>) {
        let initial = &member.initial;
        let owner = self.owner(member, of.map(|(group, _)| group));
        let most = member.migration_threshold.filter(|&most| most < 1_000);
        let desired = self.desired(member.desired);
        let block = member.multiple_active == MultipleActive::Block && initial.running_on.len() > 1;
        let freed = owner.is_some_and(|node| self.frees(node));
        let blocked = initial.blocked && !freed;
        let alone = !member.managed
            || blocked
            || self.scenario.cluster.maintenance
            || initial.running_on.iter().any(|node| self.is_in_maintenance(node))
            || block;
        // What runs twice wants to stay nowhere.
        let stickiness = match initial.running_on.len() {
            0 | 1 => member.stickiness,
            _ => Score::default(),
        };
        let recovery = match recovery(member) {
            _ if !initial.failed || owner.is_none() => Recovery::None,
            _ if block => Recovery::None,
            Recovery::Leave if freed => Recovery::None,
            recovery => recovery,
        };
        let gives_up = recovery == Recovery::Stop;
        let wants = Wants {
            name: &member.name,
            of,
            owner: owner.map(String::as_str),
            failback: stickiness != Score::MUST,
            stickiness,
            restarts: if gives_up { 0 } else { most.unwrap_or(4).clamp(1, 10) - 1 },
            moves: if gives_up { 0 } else { 3 },
            live: member.live_movable,
            desired: match recovery {
                Recovery::Leave => Desired::Unmanaged,
                _ if alone => Desired::Unmanaged,
                Recovery::Stop if owner.is_some_and(|node| self.is_to_be_fenced(node)) => {
                    Desired::Stopped
                }
                _ => desired,
            },
            runs_before: owner.is_some(),
            also_on: initial
                .running_on
                .iter()
                .filter(|node| Some(*node) != owner && !self.is_gone(node))
                .cloned()
                .collect(),
            stuck: owner.is_some() && (blocked || !alone && recovery == Recovery::Leave),
            recovery: if alone { Recovery::None } else { recovery },
            fail_count: match on_fail(member) {
                OnFail::Ignore => BTreeMap::new(),
                _ => initial.fail_count.clone(),
            },
            wishes: wishes(member),
        };
        self.add(wants);
    }

    /// The node that has it: of several where it runs, one that stays and suits it best.
    fn owner<'m>(&self, member: &'m Member, of: Option<&str>) -> Option<&'m String> {
        let suits = |node: &String| {
            let scores = [Some(member.name.as_str()), of].into_iter().flatten();
            let score = |name| self.scores.get(name)?.get(node).copied();
            scores.filter_map(score).reduce(Score::and).unwrap_or_default()
        };
        let given = |node: &String| match &self.scenario.story {
            Story::Snapshot { given, .. } => given.get(node).map(|one| one.state),
            Story::Timeline { .. } => None,
        };
        let stays = |node: &String| given(node) == Some(GivenState::Online);
        let there = member.initial.running_on.iter().filter(|node| !self.is_gone(node));
        // Of equals the first.
        there.rev().max_by_key(|node| (stays(node), suits(node)))
    }

    /// Whether it is fenced because of the state in which it is found, or of what has failed there.
    fn is_to_be_fenced(&self, node: &str) -> bool {
        let Story::Snapshot { given, groups } = &self.scenario.story else { return false };
        let unclean = |one: &Given| matches!(one.state, GivenState::Lost | GivenState::Unclean);
        let takes_it_down = |member: &Member| {
            let initial = &member.initial;
            member.managed
                && initial.failed
                && !initial.blocked
                && initial.running_on.iter().any(|one| one == node)
                && recovery(member) == Recovery::Fence
        };
        let cluster = &self.scenario.cluster;
        cluster.fencing
            && !cluster.maintenance
            && (given.get(node).is_some_and(unclean)
                || !self.is_in_maintenance(node)
                    && groups.iter().flat_map(|group| &group.members).any(takes_it_down))
    }

    /// Whether what is blocked there is free in the end: its node is fenced, or lost where nobody is.
    fn frees(&self, node: &str) -> bool {
        let Story::Snapshot { given, .. } = &self.scenario.story else { return false };
        let is_lost = given.get(node).is_some_and(|one| one.state == GivenState::Lost);
        self.is_to_be_fenced(node) || is_lost && !self.scenario.cluster.maintenance
    }

    fn is_in_maintenance(&self, node: &str) -> bool {
        match &self.scenario.story {
            Story::Snapshot { given, .. } => {
                given.get(node).is_some_and(|one| one.state == GivenState::Maintenance)
            }
            Story::Timeline { .. } => false,
        }
    }

    /// A node that left in order runs nothing, whatever the file says.
    fn is_gone(&self, node: &str) -> bool {
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

    /// Whether less than nothing speaks for a node, taken all together: as in Pacemaker it is none for the group then.
    fn repels(&self, name: &str, of: Option<(&str, usize)>, node: &str, score: Score) -> bool {
        let Story::Snapshot { groups, .. } = &self.scenario.story else { return false };
        if score.value() >= 0 {
            return false;
        }
        let whole = of.map(|(group, _)| group).filter(|group| self.is_collocated(group));
        let with_it = |group: &&Collection| whole == Some(group.name.as_str());
        let mates: Vec<&Member> = match groups.iter().find(with_it) {
            Some(group) => group.members.iter().collect(),
            None => groups
                .iter()
                .flat_map(|group| &group.members)
                .filter(|one| one.name == name)
                .collect(),
        };
        let attracts = |rule: &Rule| match rule {
            Rule::Colocation { group, with, score, .. } => {
                let named = |one: &String| {
                    mates.iter().any(|mate| mate.name == *one) || of.is_some_and(|of| of.0 == one)
                };
                score.value() > 0 && (named(group) || named(with))
            }
            _ => false,
        };
        let sticks = |mate: &&&Member| mate.initial.running_on.iter().eq([node]);
        let own = |mate: &&&Member| mate.name != name;
        let others =
            mates.iter().filter(own).filter_map(|mate| self.scores.get(&mate.name)?.get(node));
        let stay = mates.iter().filter(sticks).map(|mate| &mate.stickiness);
        let sum = others.chain(stay).copied().fold(score, Score::and);
        let open = self.scenario.cluster.opt_in_placement;
        sum.value() < 0 && (open || !self.scenario.rules.iter().any(attracts))
    }

    fn is_collocated(&self, name: &str) -> bool {
        match &self.scenario.story {
            Story::Snapshot { groups, .. } => {
                groups.iter().any(|group| group.name == name && group.collocated)
            }
            Story::Timeline { .. } => false,
        }
    }

    fn add(&mut self, wants: Wants<'_>) {
        // What is added again after it was removed is what it was.
        let again = self.planned.iter().rfind(|one| one.name == wants.name).cloned();
        let id = again.as_ref().map_or(GroupId(self.groups.len() as u32 + 1), |one| one.id);
        self.resources += u32::from(again.is_none());
        let resource = again.as_ref().map_or(ResourceId(self.resources), |one| one.resource);
        let member = self.names.member(wants.name);
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
            scores: self.node_scores(wants.name, wants.of),
            initial_owner: wants.owner.map(|node| self.names.id_of(node)),
            failback: wants.failback,
            stickiness: number(wants.stickiness),
            failover_threshold: wants.moves,
            failover_period: failure_period(wants.restarts, wants.moves),
            retry_period: RETRY_PERIOD,
            wishes: wants.wishes,
            luns: Vec::new(),
            resources: vec![resource_config(resource, member, wants.live, wants.restarts)],
        });
        self.planned.push(Planned {
            name: wants.name.to_owned(),
            of: wants.of.map(|(group, _)| group.to_owned()),
            configured,
            id,
            resource,
            desired: wants.desired,
            runs_before: wants.runs_before,
            also_on: wants.also_on,
            stuck: wants.stuck,
            recovery: wants.recovery,
            fail_count: wants.fail_count,
        });
    }

    /// The scores of a group; of a member, with those of the group in which it is. Of members that run on one node the
    /// first has them, the others only what must not be.
    fn node_scores(&self, name: &str, of: Option<(&str, usize)>) -> BTreeMap<NodeId, i32> {
        let own = self.scores.get(name);
        let (whole, first) = match of {
            Some((group, place)) => {
                (self.scores.get(group), place == 0 || !self.is_collocated(group))
            }
            None => (None, false),
        };
        let score = |node: &str| {
            let own = own.and_then(|scores| scores.get(node)).copied();
            let whole = whole.and_then(|scores| scores.get(node)).copied();
            let shared = whole.filter(|&score| first || score == Score::NEVER);
            match own.into_iter().chain(shared).reduce(Score::and) {
                Some(score) if self.repels(name, of, node, score) => Score::NEVER,
                None if self.scenario.cluster.opt_in_placement && whole.is_none() => Score::NEVER,
                named => named.unwrap_or_default(),
            }
        };
        let nodes = self.scenario.nodes.iter();
        let all = nodes.map(|node| (self.names.id_of(&node.name), number(score(&node.name))));
        all.filter(|&(_, score)| score != 0).collect()
    }
}

/// A score as the engine knows it.
pub(super) fn number(score: Score) -> i32 {
    i32::try_from(score.value()).unwrap_or(i32::MAX)
}

pub(in super::super) fn amounts(given: &BTreeMap<String, f64>) -> Amounts {
    let whole = |value: f64| (value * THOUSAND).round().clamp(0.0, 1e15) as u64;
    given.iter().map(|(kind, &value)| (kind.clone(), whole(value))).collect()
}

/// What a member wishes, in the words of the configuration.
fn wishes(member: &Member) -> Wishes {
    Wishes {
        priority: number(member.priority),
        uses: amounts(&member.utilization),
        load: BTreeMap::new(),
        // A start that fails for good is told as failing without end.
        node_failures_max: Some(member.migration_threshold.unwrap_or(FAILURES_MAX))
            .filter(|&most| most > 0),
        failures_expire: member.failure_timeout.filter(|length| !length.is_zero()),
        awaits_fences: member.requires == Requires::Fencing,
        found_twice: match member.multiple_active {
            MultipleActive::StopStart => FoundTwice::Restart,
            MultipleActive::StopUnexpected => FoundTwice::KeepOwner,
            MultipleActive::StopOnly => FoundTwice::Stop,
            MultipleActive::Block => FoundTwice::Leave,
        },
        ..Wishes::default()
    }
}

/// What is said of a failure that is found: the word about watching, or the only one there is.
fn on_fail(member: &Member) -> OnFail {
    let only = member.on_fail.values().next().copied();
    member.on_fail.get("monitor").copied().or(only).unwrap_or(OnFail::Restart)
}

/// What such a failure leads to.
fn recovery(member: &Member) -> Recovery {
    match on_fail(member) {
        OnFail::Restart => Recovery::Restart,
        OnFail::Stop => Recovery::Stop,
        OnFail::Block => Recovery::Leave,
        OnFail::Ignore => Recovery::None,
        OnFail::Fence => Recovery::Fence,
    }
}

fn resource_config(id: ResourceId, name: String, live: bool, restarts: u32) -> ResourceConfig {
    ResourceConfig {
        id,
        name,
        driver: "host".into(),
        settings: "{}".into(),
        depends_on: Vec::new(),
        live_on_move: live,
        save_on_move: false,
        restart_threshold: restarts,
        restart_period: Duration::from_secs(86_400),
        restart_delay: Duration::from_millis(500),
        pending_timeout: PENDING_TIMEOUT,
        policy: quorate_core::config::ResourcePolicy::default(),
        depends_on_any: Vec::new(),
    }
}
