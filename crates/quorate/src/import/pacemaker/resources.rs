//! Resources: primitives, groups and clones, each as groups of ours.

use quorate_core::config::{NODES_MAX, RESOURCES_PER_GROUP_MAX, SCORE_MUST};
use quorate_core::id::GroupId;

use super::Importer;
use super::options::Options;
use super::primitive::{self, Member};
use super::rule::Subject;
use crate::config::{ConfigError, Group, Priority};
use crate::import::draft::{NearTie, OrderTie};
use crate::import::report::FindingKind::{Approximated, Needed, NoCounterpart};
use crate::import::xml::Element;

/// How one thing of a member reads.
type Shown = fn(&Member) -> String;

/// What the name of a resource stands for in a constraint.
#[derive(Clone, Debug)]
pub(super) struct Meant {
    /// The groups, in their order.
    pub(super) parts: Vec<GroupId>,
    /// They start one after the other.
    pub(super) ordered: bool,
    /// They run on one node.
    pub(super) collocated: bool,
    /// They are the instances of a clone.
    pub(super) is_clone: bool,
    pub(super) critical: bool,
    /// It is one of several resources of its group.
    pub(super) is_member: bool,
}

impl Meant {
    pub(super) fn first(&self) -> Vec<GroupId> {
        self.parts.first().copied().into_iter().collect()
    }

    pub(super) fn last(&self) -> Vec<GroupId> {
        self.parts.last().copied().into_iter().collect()
    }
}

impl<'a> Importer<'a> {
    pub(super) fn resources(&mut self, section: Element<'a>) -> Result<(), ConfigError> {
        for child in section.children() {
            match child.tag() {
                "primitive" => self.single(child)?,
                "group" => {
                    let meant = self.group(child, &[], None)?;
                    self.meant.insert(child.id(), meant);
                }
                "clone" => self.clone_of(child)?,
                "master" => self.leave_out_roles(child),
                "bundle" => {
                    let text = "a bundle of containers is not run by quorate";
                    let remedy = "make a group for each replica, with driver = \"process\"";
                    child.leave_out(NoCounterpart, text, remedy);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn single(&mut self, element: Element<'a>) -> Result<(), ConfigError> {
        let template = element.look("template").and_then(|id| self.xml.element(id));
        match primitive::agent(element, template) {
            ["stonith", _, kind] => return self.fence_device(element, kind),
            ["ocf", "pacemaker", "remote"] => {
                self.remote_node(element);
                return Ok(());
            }
            _ => {}
        }
        let (id, name) = (element.id(), self.name_of(element, None));
        let member = self.member(element, &[], name.clone())?;
        let critical = member.critical;
        let group = self.add_group(element, name, vec![member], false);
        self.meant.insert(id, plain(group, critical));
        Ok(())
    }

    /// A node that runs resources and does not vote.
    fn remote_node(&mut self, element: Element<'a>) {
        let name = element.id();
        let parameters = Options::of(element, "instance_attributes", &Subject::default());
        let host = parameters.find("server").map_or(name, |pair| pair.value());
        let address = format!("{host}:{}", super::nodes::PORT);
        let text = "it is a node like the others, without a vote: it runs quorate itself";
        element.leave_out(Approximated, text, "install quorate there");
        self.add_node(element, name, &address, false, Default::default());
    }

    fn leave_out_roles(&self, element: Element<'a>) {
        let text = "there are no roles of instances: none is promoted";
        let remedy = "let your program decide who writes, or use a LUN that passes with the group";
        element.leave_out(NoCounterpart, text, remedy);
    }

    /// A group, or one instance of a clone of it.
    fn group(
        &mut self,
        element: Element<'a>,
        outer: &[Element<'a>],
        instance: Option<usize>,
    ) -> Result<Meant, ConfigError> {
        let subject = Subject { cluster: self.cluster, ..Subject::default() };
        let meta = Options::of(element, "meta_attributes", &subject);
        let flag = |name: &str| meta.find(name).map_or(Ok(true), |pair| pair.flag());
        let (ordered, collocated) = (flag("ordered")?, flag("collocated")?);
        let homes: Vec<Element<'a>> = [element].into_iter().chain(outer.iter().copied()).collect();
        let mut members = Vec::new();
        for child in element.all("primitive") {
            let name = self.name_of(child, instance);
            members.push((child, self.member(child, &homes, name)?));
        }
        let critical = members.iter().all(|(_, member)| member.critical);
        let is_member = members.len() > 1;
        if collocated && members.len() <= RESOURCES_PER_GROUP_MAX {
            let name = self.name_of(element, instance);
            let ids: Vec<&str> = members.iter().map(|(child, _)| child.id()).collect();
            let inner = members.into_iter().map(|(_, member)| member).collect();
            let group = self.add_group(element, name, inner, ordered);
            let meant = plain(group, critical);
            if instance.is_none() {
                let inner = Meant { is_member, ..meant.clone() };
                self.meant.extend(ids.into_iter().map(|id| (id, inner.clone())));
            }
            return Ok(meant);
        }
        let mut parts = Vec::new();
        for (child, member) in members {
            let name = member.resource.name.clone();
            let part = self.add_group(child, name, vec![member], false);
            if instance.is_none() {
                self.meant.insert(child.id(), plain(part, critical));
            }
            parts.push(part);
        }
        self.bind(element.id(), &parts, ordered, collocated);
        let is_clone = false;
        Ok(Meant { parts, ordered, collocated, is_clone, critical, is_member: false })
    }

    /// Ties groups together that are one in the source.
    fn bind(&mut self, name: &str, parts: &[GroupId], ordered: bool, collocated: bool) {
        for pair in parts.windows(2) {
            if collocated {
                let (group, with, score, influence) = (pair[1], pair[0], SCORE_MUST, true);
                self.draft.add_near(name, NearTie { group, with, score, influence });
            }
            if ordered {
                self.draft.add_order(name, &pair[..1], pair[1], OrderTie::PLAIN);
            }
        }
    }

    /// A clone without roles: a group for each instance, no two on one node.
    fn clone_of(&mut self, element: Element<'a>) -> Result<(), ConfigError> {
        let subject = Subject { cluster: self.cluster, ..Subject::default() };
        let meta = Options::of(element, "meta_attributes", &subject);
        if let Some(pair) = meta.find("promotable")
            && pair.flag()?
        {
            self.leave_out_roles(element);
            return Ok(());
        }
        let nodes = self.draft.nodes.len();
        let most = meta.find("clone-max").map(|pair| pair.count()).transpose()?;
        let count = most.map_or(nodes, |most| most as usize).min(nodes).min(NODES_MAX);
        let (mut parts, id) = (Vec::new(), element.id());
        for instance in 1..=count {
            for child in element.children() {
                match child.tag() {
                    "primitive" => {
                        let name = self.name_of(child, Some(instance));
                        let member = self.member(child, &[element], name.clone())?;
                        parts.push(self.add_group(child, name, vec![member], false));
                    }
                    "group" => parts.extend(self.group(child, &[element], Some(instance))?.parts),
                    _ => {}
                }
            }
        }
        if count > 1 && parts.len() == count {
            self.draft.add_affinity(id, false, &parts);
        }
        let text = format!("{count} groups, one an instance, each on a node of its own");
        let count = count.to_string();
        element.note(Approximated, &[("instances", &count)], text, "");
        let inner = element.children().filter(|one| matches!(one.tag(), "primitive" | "group"));
        let meant = Meant {
            parts,
            ordered: false,
            collocated: false,
            is_clone: true,
            critical: true,
            is_member: false,
        };
        for child in inner {
            self.meant.insert(child.id(), meant.clone());
        }
        self.meant.insert(id, meant);
        Ok(())
    }

    /// Our name for a resource or a group.
    fn name_of(&mut self, element: Element<'a>, instance: Option<usize>) -> String {
        let id = element.id();
        let theirs = instance.map_or(id.to_owned(), |instance| format!("{id}-{instance}"));
        let ours = self.names_of_groups.take(&theirs);
        if instance.is_none() {
            self.tell_renamed(element, id, &ours);
        }
        ours
    }

    /// Makes one group of members that fail over together; in a chain each needs the one before.
    fn add_group(
        &mut self,
        element: Element<'a>,
        name: String,
        members: Vec<Member>,
        chained: bool,
    ) -> GroupId {
        let id = self.draft.next_group();
        self.tell_state(element, &members);
        let count = members.len();
        let mut group = Group::new(name, &[], Vec::new());
        let priority = members.iter().map(|member| member.priority).max().unwrap_or_default();
        group.priority = Priority::Points(priority);
        group.node_failures_max = members.iter().filter_map(|member| member.failures_max).min();
        let expire = members.iter().filter_map(|member| member.failures_expire).max();
        group.failures_expire_s = expire.map(primitive::whole_seconds);
        group.awaits_fences = members.iter().any(|member| member.awaits_fences);
        let found_twice = members.iter().find_map(|member| member.found_twice);
        group.found_twice = found_twice.unwrap_or_default();
        for (what, amount) in members.iter().flat_map(|member| &member.uses) {
            let sum = group.uses.entry(what.clone()).or_default();
            *sum = sum.saturating_add(*amount).min(i64::MAX as u64);
        }
        let stays = members.iter().map(|member| member.stickiness);
        let stickiness = stays.fold(0, super::values::sum);
        let is_off = |member: &Member| member.stopped || member.unmanaged;
        group.auto_start = !members.iter().any(is_off) && !self.switches.stop_all;
        group.failback = stickiness != SCORE_MUST;
        group.stickiness = stickiness.max(0);
        for member in members {
            let mut resource = member.resource;
            if chained {
                resource.depends_on.extend(group.resources.last().map(|one| one.name.clone()));
            }
            resource.live_on_move &= count == 1;
            group.resources.push(resource);
        }
        self.draft.groups.push(group);
        id
    }

    fn tell_state(&self, element: Element<'a>, members: &[Member]) {
        let count = members.len();
        let number = |is: fn(&Member) -> bool| members.iter().filter(|one| is(one)).count();
        let stopped = number(|member| member.stopped);
        if stopped > 0 && stopped < count {
            let text =
                "one resource of it is to be stopped: the whole group is not started by itself";
            element.note(Approximated, &[("target-role", "Stopped")], text, "");
        }
        if number(|member| member.unmanaged) > 0 {
            let text = "leaving a group alone is a command here, not configuration: it is not started by \
                        itself";
            let remedy = "run `quorate unmanage` for it once the cluster runs";
            element.note(Needed, &[("is-managed", "false")], text, remedy);
        }
        let differs =
            |of: fn(&Member) -> String| members.windows(2).any(|two| of(&two[0]) != of(&two[1]));
        let mut differing = Vec::new();
        let checks: [(&str, Shown); 4] = [
            ("priority", |member| member.priority.to_string()),
            ("migration-threshold", |member| format!("{:?}", member.failures_max)),
            ("failure-timeout", |member| format!("{:?}", member.failures_expire)),
            ("requires", |member| member.awaits_fences.to_string()),
        ];
        for (name, of) in checks {
            if differs(of) {
                differing.push((name, "differs among its members"));
            }
        }
        if !differing.is_empty() {
            let text = "these are of the whole group here: the highest priority, the lowest threshold, \
                        the longest time and the strictest requirement stand";
            element.note(Approximated, &differing, text, "");
        }
        if count > 1 && members.iter().any(|member| member.resource.live_on_move) {
            let text = "a group of several resources is not moved live";
            element.note(NoCounterpart, &[("allow-migrate", "true")], text, "");
        }
    }
}

fn plain(group: GroupId, critical: bool) -> Meant {
    Meant {
        parts: vec![group],
        ordered: true,
        collocated: true,
        is_clone: false,
        critical,
        is_member: false,
    }
}
