//! A replay as a page: the same picture as of a simulated run, of what one node knew.

use std::collections::{BTreeMap, BTreeSet};

use quorate_sim::clock::Moment;
use quorate_sim::picture::{Cast, Picture};
use quorate_sim::timeline::{Entry, Kind};

use super::{ReplayReport, ReplayStep, words};
use crate::notice::{Notice, NoticeKind};

impl ReplayReport {
    /// The picture of these steps, as one HTML page that needs nothing but itself.
    ///
    /// It shows what this node believed and what was committed as far as it knew; of what ran elsewhere it shows what
    /// its owner said.
    pub fn html(&self, steps: &[ReplayStep]) -> String {
        let entries = entries(&self.node, steps);
        let verdict = match (self.differs_at_step, self.ending) {
            (Some(step), _) => format!("differs from step {step} on"),
            (None, ending) => format!("reproduced, {}", ending_words(ending)),
        };
        let shown = steps.len();
        let remarks = vec![
            format!(
                "Cluster {}, boot {}: {} steps, {verdict}.",
                self.cluster, self.boot, self.steps
            ),
            format!("What {} believed and knew; {shown} steps are shown.", self.node),
        ];
        let title = format!("Replay of {}", self.node);
        let (cast, until) = (self.cast(steps), Moment(self.end_ns));
        Picture { title, remarks, cast, entries: &entries, until }.html()
    }

    fn cast(&self, steps: &[ReplayStep]) -> Cast {
        let mut groups: BTreeSet<&str> = self.groups.iter().map(|group| &*group.name).collect();
        let notices = steps.iter().flat_map(|step| &step.notices);
        groups.extend(notices.filter_map(|notice| notice.field("group")));
        Cast {
            nodes: self.nodes.iter().map(|node| node.name.clone()).collect(),
            groups: groups.into_iter().map(str::to_owned).collect(),
            luns: self.luns.clone(),
        }
    }
}

/// What happened, as far as the node knows.
fn entries(me: &str, steps: &[ReplayStep]) -> Vec<Entry> {
    let mut desk = Desk {
        me,
        running: BTreeMap::new(),
        held: BTreeSet::new(),
        asked_back: BTreeSet::new(),
        entries: Vec::new(),
    };
    desk.add(Moment(0), Kind::NodeUp, me, None, "its engine starts");
    for step in steps {
        let at = Moment(step.at_ns);
        desk.released(at, step);
        step.notices.iter().for_each(|notice| desk.take(at, notice));
    }
    desk.entries
}

fn ending_words(ending: Option<&str>) -> &str {
    match ending {
        None => "stopped before its end",
        Some("closed") => "up to its end",
        Some("full") => "until the recording had its full size",
        Some("lost") => "until the disk did not keep up",
        Some("panicked") => "until the engine panicked",
        Some("torn") => "up to a record that is not complete",
        Some(other) => other,
    }
}

/// Turns notices into entries.
struct Desk<'a> {
    me: &'a str,
    /// Where each group is online.
    running: BTreeMap<String, String>,
    /// The LUNs that this node holds.
    held: BTreeSet<String>,
    /// Those of them that it has asked to be detached.
    asked_back: BTreeSet<String>,
    entries: Vec<Entry>,
}

impl Desk<'_> {
    fn add(&mut self, at: Moment, kind: Kind, subject: &str, node: Option<&str>, detail: &str) {
        let (subject, node) = (subject.to_owned(), node.map(str::to_owned));
        self.entries.push(Entry { at, kind, subject, node, detail: detail.to_owned() });
    }

    fn take(&mut self, at: Moment, notice: &Notice) {
        let field = |name: &str| notice.field(name).unwrap_or_default().to_owned();
        let (node, group) = (field("node"), field("group"));
        let mut of_node = |kind: Kind, detail: &str| self.add(at, kind, &node, None, detail);
        match notice.kind {
            NoticeKind::Coordinator if !node.is_empty() => of_node(Kind::Coordinator, ""),
            NoticeKind::Suspect => of_node(Kind::NodeSuspect, ""),
            NoticeKind::Unsuspect => of_node(Kind::NodeHeard, ""),
            NoticeKind::Isolated => of_node(Kind::NodeIsolated, ""),
            NoticeKind::Down => {
                of_node(Kind::NodeBelievedDown, &field("cause").replace('_', " "));
                of_node(Kind::NodeDown, "as far as this node knows");
                of_node(Kind::FenceRequested, "");
                self.end_all(at, &node, "its node is down, as far as this node knows");
            }
            NoticeKind::Fenced if field("proof") == "left" => {
                of_node(Kind::NodeDown, "it left in order");
            }
            NoticeKind::Fenced => {
                of_node(Kind::FenceConfirmed, &field("proof").replace('_', " "));
                self.end_all(at, &node, "its node is fenced");
            }
            NoticeKind::Up => {
                of_node(Kind::NodeUp, "");
                of_node(Kind::NodeAdmitted, "");
            }
            NoticeKind::LeaseGained => self.add(at, Kind::LeaseGained, self.me, None, ""),
            NoticeKind::LeaseLost => self.add(at, Kind::LeaseLost, self.me, None, ""),
            NoticeKind::Assigned => {
                self.add(
                    at,
                    Kind::GroupAssigned,
                    &group,
                    Some(&node),
                    &field("cause").replace('_', " "),
                );
            }
            NoticeKind::Online => {
                self.add(at, Kind::GroupStarted, &group, Some(&node), "");
                self.running.insert(group, node);
            }
            NoticeKind::Vacated => self.vacated(at, notice, &group, &node),
            NoticeKind::StopFailed => {
                self.add(at, Kind::GroupStopFailed, &group, Some(&node), "");
            }
            NoticeKind::LunHeld | NoticeKind::LunLost => {
                let is_held = notice.kind == NoticeKind::LunHeld;
                let kind = if is_held { Kind::LunHeld } else { Kind::LunLost };
                let lun = field("lun");
                self.add(at, kind, &lun, Some(self.me), "");
                self.asked_back.remove(&lun);
                if is_held {
                    self.held.insert(lun);
                } else {
                    self.held.remove(&lun);
                }
            }
            _ => {}
        }
    }

    fn vacated(&mut self, at: Moment, notice: &Notice, group: &str, node: &str) {
        let is = |name: &str| notice.fields.get(name).is_some_and(|value| value == true);
        let kind = match (is("saved"), is("failed")) {
            (true, _) => Kind::GroupSaved,
            (false, true) => Kind::GroupDied,
            (false, false) => Kind::GroupStopped,
        };
        self.running.remove(group);
        self.add(at, kind, group, Some(node), "");
    }

    /// A LUN that is detached is given back once that is answered, which no notice tells.
    fn released(&mut self, at: Moment, step: &ReplayStep) {
        let back = |lun: &&String| step.because == words::detached(lun);
        let back: Option<String> = self.asked_back.iter().find(back).cloned();
        if let Some(lun) = back {
            self.asked_back.remove(&lun);
            self.held.remove(&lun);
            self.add(at, Kind::LunReleased, &lun, Some(self.me), "");
        }
        let asked = |lun: &&String| step.actions.contains(&words::detach(lun));
        self.asked_back.extend(self.held.iter().filter(asked).cloned());
    }

    /// What ran on a node that is down runs no more, as far as this one knows.
    fn end_all(&mut self, at: Moment, node: &str, why: &str) {
        let gone = self.running.iter().filter(|(_, owner)| *owner == node);
        let gone: Vec<String> = gone.map(|(group, _)| group.clone()).collect();
        self.running.retain(|_, owner| owner != node);
        for group in gone {
            self.add(at, Kind::GroupKilled, &group, Some(node), why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tell::{Fields, notice};
    use crate::replay::Between;

    fn step(step: u64, because: &str, notices: Vec<Notice>, actions: &[&str]) -> ReplayStep {
        ReplayStep {
            step,
            at_ns: step,
            event: "lun",
            because: because.to_owned(),
            notices,
            actions: actions.iter().map(|&action| action.to_owned()).collect(),
            between: Between::default(),
        }
    }

    fn told(kind: NoticeKind, fields: &[(&str, &str)]) -> Vec<Notice> {
        let fields =
            fields.iter().fold(Fields::default(), |all, &(key, value)| all.with(key, value));
        vec![notice(kind, "", fields)]
    }

    fn kinds(steps: &[ReplayStep]) -> Vec<(u64, Kind)> {
        let entries = entries("n1", steps);
        entries.iter().skip(1).map(|entry| (entry.at.0, entry.kind)).collect()
    }

    #[test]
    fn a_lun_is_given_back_when_it_is_detached() {
        let steps = [
            step(1, "", told(NoticeKind::LunHeld, &[("lun", "disk1")]), &[]),
            step(2, "disk1 answers: done", vec![], &[]),
            step(3, "", vec![], &["detach disk1"]),
            step(4, "disk1 answers: unreachable", vec![], &[]),
            step(5, "disk1 answers: done", vec![], &[]),
        ];
        assert_eq!(kinds(&steps), [(1, Kind::LunHeld), (5, Kind::LunReleased)]);
    }

    #[test]
    fn what_ran_on_a_node_that_is_down_has_its_outage_from_then_on() {
        let online = |node| told(NoticeKind::Online, &[("group", "vm1"), ("node", node)]);
        let down = told(NoticeKind::Down, &[("node", "n2"), ("cause", "connection_reset")]);
        let fenced = told(NoticeKind::Fenced, &[("node", "n2"), ("proof", "lease_over")]);
        let steps = [
            step(1, "", online("n2"), &[]),
            step(2, "", down, &[]),
            step(3, "", online("n1"), &[]),
            step(4, "", fenced, &[]),
        ];
        let wanted = [
            (1, Kind::GroupStarted),
            (2, Kind::NodeBelievedDown),
            (2, Kind::NodeDown),
            (2, Kind::FenceRequested),
            (2, Kind::GroupKilled),
            (3, Kind::GroupStarted),
            (4, Kind::FenceConfirmed),
        ];
        assert_eq!(kinds(&steps), wanted);
    }

    #[test]
    fn who_leaves_in_order_is_off_and_not_fenced() {
        let left = told(NoticeKind::Fenced, &[("node", "n2"), ("proof", "left")]);
        assert_eq!(kinds(&[step(1, "", left, &[])]), [(1, Kind::NodeDown)]);
    }
}
