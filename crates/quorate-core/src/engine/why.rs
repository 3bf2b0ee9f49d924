//! Why something was asked of the driver: from the request back to what came in from outside.
//!
//! *Architecture Invariant*: every chain ends in an [`Input`]. It rests on the history that is kept of each group, and
//! where that does not reach back far enough, it says so.

use std::collections::VecDeque;

use super::Engine;
use crate::action::{Action, LunVerb};
use crate::change::{Cause, DownCause, FenceKind, GroupReport};
use crate::id::{GroupId, LunId, NodeId, OpId};
use crate::notice::Notice;
use crate::status::{Because, Happened, Input, Link, Why};

/// Of so many requests to the driver, the newest, it is remembered what they rested on.
const ACTS_MAX: usize = 512;

/// A request to the driver, and how much had happened to its group by then.
#[derive(Debug)]
struct Act {
    op: OpId,
    group: GroupId,
    at_ms: u64,
    noted: u64,
}

/// The newest requests to the driver.
#[derive(Debug, Default)]
pub(super) struct Acts(VecDeque<Act>);

/// What came before something that happened.
enum Ground {
    Input(Input),
    /// The last of these before it; where none is remembered, that input.
    Before(fn(&Notice) -> bool, Input),
}

impl Engine {
    /// Why the driver was asked for something; none: it was no request to a resource or a LUN of a group, or too long
    /// ago.
    pub fn explain_action(&self, op: OpId) -> Option<Why> {
        let act = self.acts.0.iter().rev().find(|act| act.op == op)?;
        let history = self.history.get(&act.group);
        let all = history.map_or(0, VecDeque::len);
        let noted = self.noted.get(&act.group).copied().unwrap_or_default();
        let later = usize::try_from(noted - act.noted).unwrap_or(usize::MAX);
        let known = all.saturating_sub(later);
        let history: Vec<&Happened> = history.into_iter().flatten().take(known).collect();
        let link = |input: Input| Link { at_ms: None, what: Because::Input(input) };
        let mut chain = Vec::new();
        let mut ground = Ground::Before(moves, Input::Earlier);
        let mut end = history.len();
        loop {
            let (wanted, otherwise) = match ground {
                Ground::Input(input) => {
                    chain.push(link(input));
                    break;
                }
                Ground::Before(wanted, otherwise) => (wanted, otherwise),
            };
            let Some(at) = history[..end].iter().rposition(|one| wanted(&one.told)) else {
                chain.push(link(otherwise));
                break;
            };
            let happened = history[at];
            let what = Because::Told(happened.told.clone());
            chain.push(Link { at_ms: Some(happened.at_ms), what });
            ground = self.ground(&happened.told);
            end = at;
        }
        Some(Why { group: act.group, at_ms: act.at_ms, chain })
    }

    /// Remembers what is asked of the driver.
    pub(super) fn remember_act(&mut self, action: &Action) {
        let (op, group) = match action {
            Action::Lun { verb: LunVerb::ReadBeat(_), .. } => return,
            Action::Lun { op, lun, .. } => (*op, self.config.group_of_lun(*lun)),
            Action::Resource { op, resource, .. } => (*op, self.group_of_resource(*resource)),
            Action::SendBeat { .. }
            | Action::Send { .. }
            | Action::Persist { .. }
            | Action::Answer { .. }
            | Action::Reincarnated { .. }
            | Action::Witness { .. }
            | Action::Fence { .. }
            | Action::Left
            | Action::Evicted => return,
        };
        let Some(group) = group else { return };
        if self.acts.0.len() == ACTS_MAX {
            self.acts.0.pop_front();
        }
        let noted = self.noted.get(&group).copied().unwrap_or_default();
        self.acts.0.push_back(Act { op, group, at_ms: self.cluster_ms(), noted });
    }

    /// A LUN is no longer ours: told, and kept as a reason.
    pub(super) fn tell_lun_lost(&mut self, lun: LunId, epoch: crate::id::Epoch) {
        let told = Notice::Lun { lun, epoch, held: false };
        if let Some(group) = self.config.group_of_lun(lun) {
            self.note_now(group, told.clone());
        }
        self.out.tell(told);
    }

    /// This node may not act any more: why its groups end.
    pub(super) fn note_lease_lost(&mut self) {
        let groups: Vec<GroupId> = self.groups.keys().copied().collect();
        groups.into_iter().for_each(|group| self.note_now(group, Notice::LeaseLost));
    }

    fn note_now(&mut self, group: GroupId, told: Notice) {
        let (at_ms, seen) = (self.cluster_ms(), Some(self.now));
        self.note(group, Happened { at_ms, seen, told });
    }

    /// What something that happened rests on.
    fn ground(&self, told: &Notice) -> Ground {
        match told {
            Notice::Assigned { cause, .. } | Notice::Releasing { cause, .. } => of_cause(*cause),
            Notice::Down { node, cause, .. } => Ground::Input(match cause {
                DownCause::Silence => Input::Silence { node: *node },
                DownCause::ConnectionReset => Input::Connection { node: *node },
                DownCause::Ordered => Input::Command,
            }),
            Notice::Fenced { node, kind, .. } => match kind {
                FenceKind::LeaseOver => Ground::Before(
                    |notice| matches!(notice, Notice::Down { .. }),
                    Input::Silence { node: *node },
                ),
                FenceKind::Returned => Ground::Input(Input::Returned { node: *node }),
                FenceKind::Human | FenceKind::Left => Ground::Input(Input::Command),
                FenceKind::Agent => Ground::Input(Input::Agent { node: *node }),
            },
            Notice::Up { node, .. } => Ground::Input(Input::Returned { node: *node }),
            Notice::Group { node, report, .. } => match report {
                GroupReport::Vacated { failures: 1.., .. } => {
                    Ground::Before(is_trouble, Input::Resource { node: *node })
                }
                GroupReport::Vacated { failures: 0, .. } => {
                    Ground::Input(Input::Unacknowledged { node: *node })
                }
                _ => Ground::Input(Input::Resource { node: *node }),
            },
            Notice::GroupFailed { .. } => Ground::Before(has_failed, Input::Earlier),
            Notice::Lun { .. } => Ground::Input(Input::Lun { node: self.me }),
            Notice::LeaseLost => Ground::Input(Input::Unacknowledged { node: self.me }),
            _ => Ground::Input(Input::Resource { node: self.me }),
        }
    }
}

/// Whether it leads to requests to the driver.
fn moves(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::Assigned { .. }
            | Notice::Releasing { .. }
            | Notice::ResourceTrouble { .. }
            | Notice::Lun { .. }
            | Notice::LeaseLost
            | Notice::Down { .. }
            | Notice::Fenced { .. }
            | Notice::Up { .. }
    )
}

fn is_trouble(notice: &Notice) -> bool {
    matches!(notice, Notice::ResourceTrouble { .. } | Notice::Lun { .. })
}

fn has_failed(notice: &Notice) -> bool {
    let Notice::Group { report, .. } = notice else { return false };
    matches!(
        report,
        GroupReport::Vacated { failures: 1.., .. }
            | GroupReport::StopFailed
            | GroupReport::Deadlocked
    )
}

fn of_cause(cause: Cause) -> Ground {
    match cause {
        Cause::Online | Cause::Offline | Cause::Move | Cause::Drain => {
            Ground::Input(Input::Command)
        }
        Cause::Start
        | Cause::Failback
        | Cause::NotPossible
        | Cause::Order
        | Cause::Rule
        | Cause::Balance => Ground::Input(Input::Configuration),
        Cause::Found => Ground::Before(
            |notice| matches!(notice, Notice::Group { report: GroupReport::Gone { .. }, .. }),
            Input::Earlier,
        ),
        Cause::NodeDown => Ground::Before(
            |notice| {
                matches!(notice, Notice::Down { .. } | Notice::Fenced { .. } | Notice::Up { .. })
            },
            Input::Earlier,
        ),
        Cause::Failure => Ground::Before(has_failed, Input::Earlier),
        Cause::Stopped => Ground::Before(
            |notice| matches!(notice, Notice::Group { report: GroupReport::Vacated { .. }, .. }),
            Input::Earlier,
        ),
    }
}

impl Input {
    /// One word, the same in all languages.
    pub fn code(&self) -> &'static str {
        match self {
            Input::Command => "command",
            Input::Configuration => "configuration",
            Input::Silence { .. } => "silence",
            Input::Connection { .. } => "connection",
            Input::Returned { .. } => "returned",
            Input::Resource { .. } => "resource",
            Input::Lun { .. } => "lun",
            Input::Unacknowledged { .. } => "unacknowledged",
            Input::Agent { .. } => "agent",
            Input::Earlier => "earlier",
        }
    }

    /// The node about which it is.
    pub fn node(&self) -> Option<NodeId> {
        match *self {
            Input::Silence { node }
            | Input::Connection { node }
            | Input::Returned { node }
            | Input::Resource { node }
            | Input::Lun { node }
            | Input::Agent { node }
            | Input::Unacknowledged { node } => Some(node),
            Input::Command | Input::Configuration | Input::Earlier => None,
        }
    }

    /// What came in, for people; about a node, it stands after its name.
    pub fn what(&self) -> &'static str {
        match self {
            Input::Command => "somebody has commanded it",
            Input::Configuration => "the configuration wants it",
            Input::Silence { .. } => "is heard by nobody",
            Input::Connection { .. } => "has lost its connections at once",
            Input::Returned { .. } => "has come back",
            Input::Resource { .. } => "has trouble with a resource",
            Input::Lun { .. } => "has lost a LUN",
            Input::Unacknowledged { .. } => "was acknowledged by no majority of the voters",
            Input::Agent { .. } => "was ended by its fence agents",
            Input::Earlier => "it began before what this node remembers",
        }
    }
}
