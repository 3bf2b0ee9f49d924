//! The engine's notices in words: names instead of numbers, one sentence each.

mod fencing;
mod policies;
mod witness;

use quorate_core::Notice as Told;
use quorate_core::change::{Cause, DownCause, FenceKind, GroupReport};
use quorate_core::config::ClusterConfig;
use quorate_core::event::Trouble;
use quorate_core::id::{GroupId, LunId, NodeId, ResourceId};
use serde_json::{Map, Value};

pub(crate) use self::fencing::verb_word as fence_verb_word;
use crate::clock;
use crate::notice::{Notice, NoticeKind};

/// A notice of `kind`, made now.
pub(crate) fn notice(kind: NoticeKind, text: impl Into<String>, fields: Fields) -> Notice {
    Notice { at: clock::stamp(), past_ms: None, kind, text: text.into(), fields: fields.0 }
}

/// The fields of a notice, put together one by one.
#[derive(Default)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }
}

/// Names by number, for texts. A number that the configuration does not know stands for itself.
pub(crate) struct Names<'a>(pub(crate) &'a ClusterConfig);

impl Names<'_> {
    pub(crate) fn node(&self, id: NodeId) -> String {
        self.0.node(id).map_or_else(|| id.to_string(), |node| node.name.clone())
    }

    pub(crate) fn nodes(&self, ids: &[NodeId]) -> Vec<String> {
        ids.iter().map(|&id| self.node(id)).collect()
    }

    pub(crate) fn group(&self, id: GroupId) -> String {
        self.0.group(id).map_or_else(|| id.to_string(), |group| group.name.clone())
    }

    pub(crate) fn resource(&self, id: ResourceId) -> String {
        self.0.resource(id).map_or_else(|| id.to_string(), |(_, resource)| resource.name.clone())
    }

    pub(crate) fn lun(&self, id: LunId) -> String {
        self.0.lun(id).map_or_else(|| id.to_string(), |lun| lun.name.clone())
    }

    /// What the host is told; `None` for what is only counted.
    pub(crate) fn told(&self, told: &Told) -> Option<Notice> {
        let told = match told {
            Told::Dropped { .. } | Told::Parted { .. } => return None,
            Told::Past { at_ms, told } => {
                return self.told(told).map(|notice| Notice { past_ms: Some(*at_ms), ..notice });
            }
            Told::FoundingWaits { .. }
            | Told::Joined
            | Told::ConfigurationDiffers { .. }
            | Told::Configured { .. }
            | Told::Coordinator { .. }
            | Told::LeaseGained
            | Told::LeaseLost
            | Told::StorageFailed { .. } => self.of_cluster(told),
            Told::Witness { .. } | Told::WitnessAhead { .. } => witness::told(self, told),
            Told::FenceAsked { .. } | Told::FenceFailed { .. } | Told::FenceGivenUp { .. } => {
                fencing::told(self, told)
            }
            Told::Quarantined { .. }
            | Told::QuarantineEnded { .. }
            | Told::Held { .. }
            | Told::LeftFailed { .. }
            | Told::Deadlocked { .. }
            | Told::Disarmed { .. }
            | Told::Armed => policies::told(self, told),
            Told::Path { .. }
            | Told::Suspect { .. }
            | Told::Unsuspect { .. }
            | Told::Isolated { .. }
            | Told::Down { .. }
            | Told::Fenced { .. }
            | Told::Up { .. }
            | Told::Evicted { .. }
            | Told::LunPath { .. }
            | Told::Paused { .. } => self.of_node(told),
            Told::Assigned { .. }
            | Told::Releasing { .. }
            | Told::Group { .. }
            | Told::Unplaced { .. }
            | Told::GroupFailed { .. }
            | Told::LunsAway { .. }
            | Told::StandsStill { .. }
            | Told::ResourceTrouble { .. }
            | Told::Lun { .. } => self.of_group(told),
        };
        Some(told)
    }

    fn of_cluster(&self, told: &Told) -> Notice {
        match told {
            Told::FoundingWaits { missing, differing } => {
                let (missing, differing) = (self.nodes(missing), self.nodes(differing));
                let mut parts = Vec::new();
                if !missing.is_empty() {
                    parts.push(format!("not connected yet: {}", missing.join(", ")));
                }
                if !differing.is_empty() {
                    parts.push(format!("with another cluster.toml: {}", differing.join(", ")));
                }
                let fields =
                    Fields::default().with("missing", missing).with("differing", differing);
                let text = format!("the cluster waits to be founded; {}", parts.join("; "));
                notice(NoticeKind::FoundingWaits, text, fields)
            }
            Told::ConfigurationDiffers { node, places } => {
                let node = self.node(*node);
                let text = format!(
                    "the cluster.toml of {node} differs from the configuration in force, \
                     which stands; different: {}; give {node} the cluster's file back, or bring its own into force \
                     with `quorate config apply`",
                    places.join(", ")
                );
                let fields = Fields::default().with("node", node).with("places", places.clone());
                notice(NoticeKind::ConfigurationDiffers, text, fields)
            }
            Told::Configured { version } => {
                let text = format!("version {version} of the configuration is in force");
                notice(NoticeKind::Configured, text, Fields::default().with("version", *version))
            }
            Told::Coordinator { node, epoch } => {
                let node = node.map(|node| self.node(node));
                let text = node.as_ref().map_or_else(
                    || "no coordinator".to_owned(),
                    |node| format!("{node} coordinates"),
                );
                let fields = Fields::default().with("node", node).with("epoch", epoch.0);
                notice(NoticeKind::Coordinator, text, fields)
            }
            Told::LeaseGained => {
                notice(NoticeKind::LeaseGained, "this node may act", Fields::default())
            }
            Told::LeaseLost => {
                let text = "this node may not act any more: whatever still runs here is stopped";
                notice(NoticeKind::LeaseLost, text, Fields::default())
            }
            Told::StorageFailed { error } => {
                let text = format!("the local log failed: {error}");
                let fields = Fields::default().with("detail", error.as_str());
                notice(NoticeKind::StorageFailed, text, fields)
            }
            _ => notice(NoticeKind::Joined, "this node is part of the cluster", Fields::default()),
        }
    }

    fn of_node(&self, told: &Told) -> Notice {
        let named =
            |node: &NodeId| (self.node(*node), Fields::default().with("node", self.node(*node)));
        match told {
            Told::Path { node, path, up } => {
                let (node, fields) = named(node);
                let heard = if *up { "heard" } else { "not heard any more" };
                let text = format!("{node} is {heard} on network {}", path.0);
                notice(NoticeKind::Path, text, fields.with("path", path.0).with("up", *up))
            }
            Told::Suspect { node } => {
                let (node, fields) = named(node);
                notice(NoticeKind::Suspect, format!("{node} is silent"), fields)
            }
            Told::Unsuspect { node } => {
                let (node, fields) = named(node);
                notice(NoticeKind::Unsuspect, format!("{node} is heard again"), fields)
            }
            Told::Isolated { node } => {
                let (node, fields) = named(node);
                let text = format!("{node} is cut off the network, but beats on storage");
                notice(NoticeKind::Isolated, text, fields)
            }
            Told::Down { node, incarnation, cause } => {
                let (node, fields) = named(node);
                let (word, why) = down_cause(*cause);
                let fields = fields.with("cause", word).with("boot", incarnation.boot);
                notice(NoticeKind::Down, format!("{node} is down: {why}"), fields)
            }
            Told::Fenced { node, incarnation, kind } => {
                let (node, fields) = named(node);
                let (word, why) = fence_kind(*kind);
                let fields = fields.with("proof", word).with("boot", incarnation.boot);
                notice(NoticeKind::Fenced, format!("{node} is proven harmless: {why}"), fields)
            }
            Told::Paused { node, paused } => {
                let (node, fields) = named(node);
                let what = if *paused { "paused" } else { "resumed" };
                let fields = fields.with("paused", *paused);
                notice(NoticeKind::Paused, format!("{node} is {what}"), fields)
            }
            Told::LunPath { node, lun, reached } => {
                let ((node, fields), lun) = (named(node), self.lun(*lun));
                let how = if *reached { "reaches lun" } else { "does not reach lun" };
                let again = if *reached { " again" } else { "" };
                let text = format!("{node} {how} {lun}{again}");
                notice(NoticeKind::LunPath, text, fields.with("lun", lun).with("up", *reached))
            }
            Told::Evicted { node } => {
                let (node, fields) = named(node);
                let text = format!("{node} is evicted: it belongs to the cluster no more");
                notice(NoticeKind::Evicted, text, fields)
            }
            Told::Up { node, incarnation } => {
                let (node, fields) = named(node);
                let fields = fields.with("boot", incarnation.boot);
                notice(NoticeKind::Up, format!("{node} takes part"), fields)
            }
            other => unexpected(other),
        }
    }

    fn of_group(&self, told: &Told) -> Notice {
        let of = |group: &GroupId| {
            (self.group(*group), Fields::default().with("group", self.group(*group)))
        };
        match told {
            Told::Assigned { group, owner, epoch, cause } => {
                let ((group, fields), owner) = (of(group), self.node(*owner));
                let text = format!("{group} belongs to {owner}: {}", cause_text(*cause));
                let fields = fields.with("node", owner).with("epoch", epoch.0);
                notice(NoticeKind::Assigned, text, fields.with("cause", cause_word(*cause)))
            }
            Told::Releasing { group, epoch, cause } => {
                let (group, fields) = of(group);
                let text = format!("{group} is to leave its node: {}", cause_text(*cause));
                let fields = fields.with("epoch", epoch.0).with("cause", cause_word(*cause));
                notice(NoticeKind::Releasing, text, fields)
            }
            Told::Group { group, epoch, node, report } => {
                let (group, fields) = of(group);
                let node = self.node(*node);
                let fields = fields.with("node", node.as_str()).with("epoch", epoch.0);
                report_notice(&group, &node, report, fields)
            }
            Told::Unplaced { group } => {
                let (group, fields) = of(group);
                let text = format!("{group} cannot run: no node may run it at present");
                notice(NoticeKind::Unplaced, text, fields)
            }
            Told::GroupFailed { group } => {
                let (group, fields) = of(group);
                let text = format!("{group} failed too often and is left failed");
                notice(NoticeKind::GroupFailed, text, fields)
            }
            Told::LunsAway { .. } | Told::StandsStill { .. } | Told::Lun { .. } => {
                self.of_lun(told)
            }
            Told::ResourceTrouble { resource, trouble, detail } => {
                let name = self.resource(*resource);
                let fields = Fields::default()
                    .with("resource", name.as_str())
                    .with("trouble", trouble_word(*trouble))
                    .with("detail", detail.as_str());
                notice(
                    NoticeKind::ResourceTrouble,
                    format!("{name} is in trouble: {detail}"),
                    fields,
                )
            }
            other => unexpected(other),
        }
    }

    fn of_lun(&self, told: &Told) -> Notice {
        let of = |group: &GroupId| {
            (self.group(*group), Fields::default().with("group", self.group(*group)))
        };
        match told {
            Told::LunsAway { group, retry_in_ms } => {
                let (group, fields) = of(group);
                let seconds = retry_in_ms.div_ceil(1_000);
                let text = format!(
                    "no node reaches the LUNs of {group}: it is tried again in {seconds} s"
                );
                notice(NoticeKind::LunsAway, text, fields.with("retry_in_ms", *retry_in_ms))
            }
            Told::StandsStill { group, lun } => {
                let ((group, fields), lun) = (of(group), self.lun(*lun));
                let text = format!(
                    "{group} stands still: lun {lun} is away, and no other node reaches its LUNs; it goes on when they \
                     are back"
                );
                notice(NoticeKind::StandsStill, text, fields.with("lun", lun))
            }
            Told::Lun { lun, epoch, held } => {
                let name = self.lun(*lun);
                let fields = Fields::default().with("lun", name.as_str()).with("epoch", epoch.0);
                if *held {
                    notice(NoticeKind::LunHeld, format!("{name} is ours"), fields)
                } else {
                    notice(NoticeKind::LunLost, format!("{name} is no longer ours"), fields)
                }
            }
            other => unexpected(other),
        }
    }
}

fn report_notice(group: &str, node: &str, report: &GroupReport, fields: Fields) -> Notice {
    match report {
        GroupReport::Online => {
            notice(NoticeKind::Online, format!("{group} is online on {node}"), fields)
        }
        GroupReport::Gone { .. } => {
            let text = format!("somebody has moved {group} away from {node}");
            let fields = fields.with("saved", false).with("failed", false);
            notice(NoticeKind::Vacated, text, fields)
        }
        GroupReport::Stray => {
            let text = format!("{group} runs on {node} too, where nobody has asked for it");
            notice(NoticeKind::StopFailed, text, fields)
        }
        GroupReport::StrayEnded => {
            let text = format!("{group} has ended on {node}, where nobody had asked for it");
            notice(NoticeKind::Vacated, text, fields)
        }
        GroupReport::Kept => {
            let text = format!("{group} could not be handed over, and runs on on {node}");
            notice(NoticeKind::Online, text, fields)
        }
        GroupReport::Vacated { saved, failures, luns_away } => {
            let how = match (saved, failures) {
                (Some(_), _) => "saved and gone",
                (None, 1..) if *luns_away => "gone, since it does not reach its LUNs,",
                (None, 1..) => "failed and gone",
                (None, 0) => "gone",
            };
            let fields = fields.with("luns_away", *luns_away);
            let fields = fields.with("saved", saved.is_some()).with("failed", *failures > 0);
            let fields = fields.with("failures", u64::from(*failures));
            notice(NoticeKind::Vacated, format!("{group} is {how} from {node}"), fields)
        }
        GroupReport::Degraded => {
            let text = format!("{group} is online on {node} but for what is left failed");
            notice(NoticeKind::Degraded, text, fields)
        }
        GroupReport::Restarting => {
            let text = format!("{group} has failed on {node}, and is started again there");
            notice(NoticeKind::Restarting, text, fields)
        }
        GroupReport::Consumed => {
            let text = format!("{group} resumes its saved state on {node}");
            notice(NoticeKind::Consumed, text, fields)
        }
        GroupReport::StopFailed | GroupReport::Deadlocked => {
            let text = format!("{group} could not be stopped on {node}: it may still run there");
            notice(NoticeKind::StopFailed, text, fields)
        }
    }
}

/// A notice that the caller has sorted wrongly still tells what it is.
fn unexpected(told: &Told) -> Notice {
    notice(NoticeKind::ResourceTrouble, format!("{told:?}"), Fields::default())
}

fn down_cause(cause: DownCause) -> (&'static str, &'static str) {
    match cause {
        DownCause::Silence => ("silence", "nobody hears it"),
        DownCause::ConnectionReset => ("connection_reset", "its host closed its connections"),
        DownCause::Ordered => ("ordered", "by command: fence"),
    }
}

fn fence_kind(kind: FenceKind) -> (&'static str, &'static str) {
    match kind {
        FenceKind::LeaseOver => ("lease_over", "its lease is over"),
        FenceKind::Returned => ("returned", "it came back with nothing running"),
        FenceKind::Human => ("human", "somebody says so"),
        FenceKind::Left => ("left", "it left in order"),
        FenceKind::Agent => ("agent", "its fence agents have ended it"),
    }
}

fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Start => "start",
        Cause::NodeDown => "node_down",
        Cause::Failure => "failure",
        Cause::Move => "move",
        Cause::Drain => "drain",
        Cause::Failback => "failback",
        Cause::Online => "online",
        Cause::Offline => "offline",
        Cause::Found => "found",
        Cause::Stopped => "stopped",
        Cause::NotPossible => "not_possible",
        Cause::Order => "order",
        Cause::Rule => "rule",
        Cause::Balance => "balance",
    }
}

fn cause_text(cause: Cause) -> &'static str {
    match cause {
        Cause::Start => "it is started for the first time",
        Cause::NodeDown => "its node is down",
        Cause::Failure => "it failed",
        Cause::Move => "by command: move",
        Cause::Drain => "its node is drained",
        Cause::Online => "by command: online",
        Cause::Offline => "by command: offline",
        Cause::Found => "it was found there: somebody has moved it",
        Cause::Stopped => "its node might not act any more, and has stopped it",
        Cause::Failback => "it returns to a preferred owner",
        Cause::NotPossible => "it may not run where it is",
        Cause::Order => "what must run before it stops or does not run",
        Cause::Rule => "a rule about it and another group",
        Cause::Balance => "the load lies unevenly on the nodes",
    }
}

fn trouble_word(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Exited => "exited",
        Trouble::IoError => "io_error",
        Trouble::Refused => "refused",
        Trouble::Panicked => "panicked",
        Trouble::HeartbeatLost => "heartbeat_lost",
        Trouble::Reported => "reported",
    }
}
