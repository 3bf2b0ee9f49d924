//! What goes into the timeline.

use quorate_core::Notice;
use quorate_core::change::FenceKind;
use quorate_core::id::{GroupId, Incarnation, LunId, NodeId, ResourceId};

use super::World;
use crate::digest::digest;
use crate::spoken::words;
use crate::timeline::{Beginning, Ending, Entry, Kind, PROVES_NOTHING_NEW, Timeline};

impl World {
    /// What happened so far, if it is kept.
    pub fn timeline(&self) -> Option<&Timeline> {
        self.timeline.as_ref()
    }

    /// Notes something that happened to a node.
    pub(super) fn mark_node(&mut self, kind: Kind, node: NodeId, detail: &str) {
        let subject = self.node_name(node);
        self.mark(kind, subject, None, detail.to_owned());
    }

    /// Notes something that happened to a group, on a node.
    pub(super) fn mark_group(&mut self, kind: Kind, group: GroupId, node: NodeId, detail: &str) {
        let name = self.known_group(group).map_or_else(String::new, |group| group.name.clone());
        let node = self.node_name(node);
        self.mark(kind, name, Some(node), detail.to_owned());
    }

    /// Notes something that happened to a LUN, on a node.
    pub(super) fn mark_lun(&mut self, kind: Kind, lun: LunId, node: NodeId, detail: &str) {
        let name = self.config.lun(lun).map_or_else(String::new, |lun| lun.name.clone());
        let node = self.node_name(node);
        self.mark(kind, name, Some(node), detail.to_owned());
    }

    /// Notes anything.
    pub(super) fn mark(
        &mut self,
        kind: Kind,
        subject: String,
        node: Option<String>,
        detail: String,
    ) {
        if let Some(timeline) = &mut self.timeline {
            timeline.add(Entry { at: self.now, kind, subject, node, detail });
        }
    }

    fn node_name(&self, node: NodeId) -> String {
        self.config.node(node).map_or_else(|| node.to_string(), |node| node.name.clone())
    }

    /// Whether a later boot of the node runs.
    fn runs_again(&self, node: NodeId, incarnation: Incarnation) -> bool {
        let host = self.hosts.of(&node).filter(|host| host.process.is_some());
        host.is_some_and(|host| host.boot > incarnation.boot)
    }

    /// A resource runs, afresh or from its saved state.
    pub(super) fn mark_begin(&mut self, node: NodeId, resource: ResourceId, beginning: Beginning) {
        let Some((group, _)) = self.known_resource(resource) else { return };
        let (group, all) = (group.id, group.resources.len());
        let Some(timeline) = &mut self.timeline else { return };
        let whole = timeline.begins(group, node, resource, all);
        self.mark_member(Kind::MemberStarted, node, resource);
        if whole {
            let kind = match beginning {
                Beginning::Fresh => Kind::GroupStarted,
                Beginning::Resumed => Kind::GroupResumed,
                Beginning::MovedLive => Kind::GroupMovedLive,
            };
            self.mark_group(kind, group, node, "");
        }
    }

    /// A resource has ended.
    pub(super) fn mark_end(&mut self, node: NodeId, resource: ResourceId, ending: Ending) {
        let Some((group, _)) = self.known_resource(resource) else { return };
        let group = group.id;
        let Some(timeline) = &mut self.timeline else { return };
        let Some(last) = timeline.ends(group, node, resource) else { return };
        let (member, whole) = match ending {
            // Its other half is the beginning elsewhere.
            Ending::Sent => return,
            Ending::Stopped => (Kind::MemberStopped, Kind::GroupStopped),
            Ending::Saved => (Kind::MemberStopped, Kind::GroupSaved),
            Ending::Killed => (Kind::MemberKilled, Kind::GroupKilled),
            Ending::Died => (Kind::MemberDied, Kind::GroupDied),
        };
        self.mark_member(member, node, resource);
        if last {
            self.mark_group(whole, group, node, "");
        }
    }

    /// Notes something that happened to a resource of a group with several.
    pub(super) fn mark_member(&mut self, kind: Kind, node: NodeId, resource: ResourceId) {
        let Some((group, config)) = self.known_resource(resource) else { return };
        if group.resources.len() > 1 {
            let (name, node) = (config.name.clone(), self.node_name(node));
            self.mark(kind, name, Some(node), String::new());
        }
    }

    /// What an engine tells that belongs into the timeline. What is committed, every node tells: the first counts.
    pub(super) fn mark_notice(&mut self, node: NodeId, notice: &Notice) {
        let Some(timeline) = &mut self.timeline else { return };
        match notice {
            Notice::Coordinator { node: Some(coordinator), epoch }
                if timeline.is_new(Kind::Coordinator, u64::from(coordinator.0), epoch.0) =>
            {
                self.mark_node(Kind::Coordinator, *coordinator, &epoch.to_string());
            }
            Notice::LeaseGained => self.mark_node(Kind::LeaseGained, node, ""),
            Notice::LeaseLost => self.mark_node(Kind::LeaseLost, node, ""),
            Notice::Suspect { node } => self.mark_node(Kind::NodeSuspect, *node, ""),
            Notice::Unsuspect { node } => self.mark_node(Kind::NodeHeard, *node, ""),
            Notice::Isolated { node } => self.mark_node(Kind::NodeIsolated, *node, ""),
            Notice::Down { node, incarnation, cause }
                if timeline.is_new(
                    Kind::NodeBelievedDown,
                    u64::from(node.0),
                    digest(incarnation),
                ) =>
            {
                self.mark_node(Kind::NodeBelievedDown, *node, &words(cause));
                let what =
                    if self.runs_again(*node, *incarnation) { PROVES_NOTHING_NEW } else { "" };
                self.mark_node(Kind::FenceRequested, *node, what);
            }
            Notice::Fenced { node, incarnation, kind }
                if timeline.is_new(
                    Kind::FenceConfirmed,
                    u64::from(node.0),
                    digest(incarnation),
                ) =>
            {
                let nobody = *kind == FenceKind::Left || self.runs_again(*node, *incarnation);
                let how = words(kind);
                let what = if nobody { PROVES_NOTHING_NEW } else { how.as_str() };
                self.mark_node(Kind::FenceConfirmed, *node, what);
            }
            Notice::Up { node, incarnation }
                if timeline.is_new(Kind::NodeAdmitted, u64::from(node.0), digest(incarnation)) =>
            {
                self.mark_node(Kind::NodeAdmitted, *node, "");
            }
            Notice::Assigned { group, owner, epoch, cause }
                if timeline.is_new(Kind::GroupAssigned, u64::from(group.0), epoch.0) =>
            {
                self.mark_group(Kind::GroupAssigned, *group, *owner, &words(cause));
            }
            Notice::Lun { lun, epoch, held } => {
                let kind = if *held { Kind::LunHeld } else { Kind::LunLost };
                self.mark_lun(kind, *lun, node, &epoch.to_string());
            }
            _ => {}
        }
    }
}
