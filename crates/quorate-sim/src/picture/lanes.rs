//! From facts to lanes: spans, and marks on them.

use std::collections::BTreeMap;

use super::{Picture, words};
use crate::clock::Moment;
use crate::timeline::{Entry, Kind};

/// More faults than this at once share the last row.
const FAULT_ROWS_MAX: usize = 6;

/// All that is drawn.
#[derive(Clone, Debug, Default)]
pub(super) struct Drawing {
    /// The end of the time axis.
    pub until: Moment,
    /// From top to bottom.
    pub sections: Vec<Section>,
    /// Lines through all lanes.
    pub lines: Vec<Mark>,
    /// What was drawn more coarsely than it happened, for people.
    pub notes: Vec<String>,
}

/// Lanes of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    /// Its heading.
    pub title: &'static str,
    /// From top to bottom.
    pub lanes: Vec<Lane>,
}

/// One lane.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    /// Whose it is.
    pub name: String,
    /// What lasts.
    pub spans: Vec<Span>,
    /// What happens at once.
    pub marks: Vec<Mark>,
}

/// Something that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub from: Moment,
    pub until: Moment,
    pub look: Look,
    /// Shown in it where there is room.
    pub label: String,
    /// Shown when it is pointed at.
    pub text: String,
}

/// Something that happens at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub at: Moment,
    pub sign: Sign,
    pub text: String,
}

/// How a span looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    /// A node whose process runs.
    Up,
    /// One whose process does not.
    Off,
    /// One whose process stands still.
    Paused,
    /// A node that may act.
    MayAct,
    /// What the cluster believes of a node.
    Suspect,
    /// See [`Look::Suspect`].
    Isolated,
    /// See [`Look::Suspect`].
    Down,
    /// See [`Look::Suspect`].
    Fenced,
    /// Something that runs or is held on a node, by the node's place in the cast.
    On(usize),
    /// Something that is on two nodes at once, over what is drawn for each.
    Twice,
    /// A pause that was asked for.
    Pause,
    /// One that was not.
    Outage,
    /// A fault.
    Fault,
    /// Too many things to be drawn one by one.
    Many,
}

/// How a mark looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    Suspect,
    Down,
    FenceAsked,
    Fenced,
    Moved,
    Coordinator,
    Refused,
    Failed,
    Healed,
    Violation,
    Note,
}

/// Draws every entry.
pub(super) fn draw(picture: &Picture<'_>) -> Drawing {
    let last = picture.entries.iter().map(|entry| entry.at).max().unwrap_or_default();
    let until = last.max(picture.until).max(Moment(1));
    let mut desk = Desk::new(picture, until);
    for entry in picture.entries {
        desk.take(entry);
    }
    desk.finish()
}

/// Who has a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Node,
    Group,
    Lun,
}

/// What is being drawn.
struct Desk<'a> {
    until: Moment,
    places: BTreeMap<&'a str, usize>,
    coordinator: Track,
    faults: Vec<Vec<Span>>,
    open_faults: BTreeMap<String, (usize, usize)>,
    nodes: BTreeMap<&'a str, NodeDesk>,
    groups: BTreeMap<&'a str, GroupDesk>,
    luns: BTreeMap<&'a str, Track>,
    cast: &'a super::Cast,
    lines: Vec<Mark>,
}

/// A row of spans of which only the last is open.
#[derive(Default)]
struct Track {
    open: Option<(Moment, Look, String, String)>,
    holder: Option<String>,
    spans: Vec<Span>,
    marks: Vec<Mark>,
}

#[derive(Default)]
struct NodeDesk {
    process: Track,
    belief: Track,
    lease: Track,
}

#[derive(Default)]
struct GroupDesk {
    running: BTreeMap<String, Moment>,
    ended: Option<(Moment, Look)>,
    spans: Vec<Span>,
    marks: Vec<Mark>,
}

impl Track {
    /// Ends what is open, and opens something else.
    fn switch(&mut self, at: Moment, next: Option<(Look, &str, &str)>) {
        if let Some((from, look, label, text)) = self.open.take()
            && at > from
        {
            let text = format!("{text}, for {}", words::length(from, at));
            self.spans.push(Span { from, until: at, look, label, text });
        }
        self.open = next.map(|(look, label, text)| (at, look, label.to_owned(), text.to_owned()));
    }

    fn ended(mut self, at: Moment) -> Self {
        self.switch(at, None);
        self
    }
}

impl GroupDesk {
    fn begins(&mut self, node: &str, at: Moment) {
        if self.running.is_empty() {
            self.close_gap(at, "not running");
        }
        self.running.entry(node.to_owned()).or_insert(at);
    }

    fn ends(&mut self, node: &str, at: Moment, place: Option<usize>, gap: Look) {
        let Some(from) = self.running.remove(node) else { return };
        self.spans.push(run(node, place, from, at));
        if self.running.is_empty() {
            self.ended = Some((at, gap));
        }
    }

    /// It goes on elsewhere without an interruption.
    fn leaves_all(&mut self, at: Moment, places: &BTreeMap<&str, usize>) {
        for (node, from) in std::mem::take(&mut self.running) {
            self.spans.push(run(&node, places.get(&*node).copied(), from, at));
        }
    }

    fn close_gap(&mut self, at: Moment, what: &str) {
        if let Some((from, look)) = self.ended.take().filter(|(from, _)| at > *from) {
            let label = words::length(from, at);
            let how = if look == Look::Outage { "unplanned" } else { "asked for" };
            let text = format!("{what} for {label} ({how})");
            self.spans.push(Span { from, until: at, look, label, text });
        }
    }

    fn finish(mut self, until: Moment, places: &BTreeMap<&str, usize>) -> Self {
        self.close_gap(until, "not running at the end,");
        for (node, from) in std::mem::take(&mut self.running) {
            self.spans.push(run(&node, places.get(&*node).copied(), from, until));
        }
        self.spans.sort_by_key(|span| (span.from, span.until));
        self.mark_overlaps();
        self
    }

    /// What runs twice at once is drawn, whether or not it is a violation: a guest whose LUNs refuse it may still be
    /// about to stop.
    fn mark_overlaps(&mut self) {
        let mut overlaps = Vec::new();
        let mut last: Option<&Span> = None;
        for span in self.spans.iter().filter(|span| matches!(span.look, Look::On(_) | Look::Up)) {
            if let Some(other) = last.filter(|other| other.until > span.from) {
                let (from, until) = (span.from, span.until.min(other.until));
                let (one, two) = (&other.label, &span.label);
                let length = words::length(from, until);
                let text = format!("on {one} and on {two} at once, for {length}");
                overlaps.push(Span { from, until, look: Look::Twice, label: String::new(), text });
            }
            last = match last {
                Some(other) if other.until > span.until => Some(other),
                _ => Some(span),
            };
        }
        self.spans.extend(overlaps);
    }
}

fn run(node: &str, place: Option<usize>, from: Moment, until: Moment) -> Span {
    let look = place.map_or(Look::Up, Look::On);
    let text = format!("runs on {node}, for {}", words::length(from, until));
    Span { from, until, look, label: node.to_owned(), text }
}

impl<'a> Desk<'a> {
    fn new(picture: &'a Picture<'_>, until: Moment) -> Self {
        let cast = &picture.cast;
        let mut desk = Self {
            until,
            places: cast.nodes.iter().enumerate().map(|(at, name)| (&**name, at)).collect(),
            coordinator: Track::default(),
            faults: Vec::new(),
            open_faults: BTreeMap::new(),
            nodes: cast.nodes.iter().map(|name| (&**name, NodeDesk::default())).collect(),
            groups: cast.groups.iter().map(|name| (&**name, GroupDesk::default())).collect(),
            luns: cast.luns.iter().map(|name| (&**name, Track::default())).collect(),
            cast,
            lines: Vec::new(),
        };
        for node in desk.nodes.values_mut() {
            node.process.switch(Moment::default(), Some((Look::Off, "", "not started yet")));
        }
        desk
    }

    fn take(&mut self, entry: &Entry) {
        let at = entry.at;
        match entry.kind {
            Kind::FaultBegins => self.fault_begins(entry),
            Kind::FaultEnds => self.fault_ends(entry),
            Kind::Violation => self.line(entry, Sign::Violation),
            Kind::Healed => self.line(entry, Sign::Healed),
            Kind::Coordinator => {
                let look = self.places.get(&*entry.subject).map_or(Look::Up, |&at| Look::On(at));
                let text = words::sentence(entry);
                self.coordinator.switch(at, Some((look, &entry.subject, &text)));
                self.mark(entry, Sign::Coordinator);
            }
            kind => match whose(kind) {
                Some(Whose::Node) => self.on_node(entry),
                Some(Whose::Group) => self.on_group(entry),
                Some(Whose::Lun) => self.on_lun(entry),
                None => {}
            },
        }
    }

    fn line(&mut self, entry: &Entry, sign: Sign) {
        self.lines.push(mark_of(entry, sign));
    }

    /// A mark in the lane of the entry's subject.
    fn mark(&mut self, entry: &Entry, sign: Sign) {
        let subject = &*entry.subject;
        let marks = match whose(entry.kind) {
            Some(Whose::Node) => self.nodes.get_mut(subject).map(|node| &mut node.process.marks),
            Some(Whose::Group) => self.groups.get_mut(subject).map(|group| &mut group.marks),
            Some(Whose::Lun) => self.luns.get_mut(subject).map(|lun| &mut lun.marks),
            None => None,
        };
        if let Some(marks) = marks {
            marks.push(mark_of(entry, sign));
        }
    }

    fn on_node(&mut self, entry: &Entry) {
        let Some(node) = self.nodes.get_mut(&*entry.subject) else { return };
        let text = words::sentence(entry);
        let at = entry.at;
        let mut process = |look, label| node.process.switch(at, Some((look, label, &text)));
        let mut believe = |look| node.belief.switch(at, Some((look, "", &text)));
        let sign = match entry.kind {
            Kind::NodeUp | Kind::NodeGoesOn => return process(Look::Up, ""),
            Kind::NodePaused => return process(Look::Paused, "paused"),
            Kind::NodeDown => {
                process(Look::Off, "off");
                return node.lease.switch(at, None);
            }
            Kind::LeaseGained => return node.lease.switch(at, Some((Look::MayAct, "", &text))),
            Kind::LeaseLost => return node.lease.switch(at, None),
            Kind::NodeAdmitted | Kind::NodeHeard => return node.belief.switch(at, None),
            Kind::FenceRequested => Sign::FenceAsked,
            Kind::NodeSuspect => {
                believe(Look::Suspect);
                Sign::Suspect
            }
            Kind::NodeIsolated => return believe(Look::Isolated),
            Kind::NodeBelievedDown => {
                believe(Look::Down);
                Sign::Down
            }
            Kind::FenceConfirmed => {
                believe(Look::Fenced);
                Sign::Fenced
            }
            _ => Sign::Note,
        };
        self.mark(entry, sign);
    }

    fn on_group(&mut self, entry: &Entry) {
        let Some(group) = self.groups.get_mut(&*entry.subject) else { return };
        let node = entry.node.as_deref().unwrap_or_default();
        let place = self.places.get(node).copied();
        let sign = match entry.kind {
            Kind::GroupMovedLive => {
                group.leaves_all(entry.at, &self.places);
                return group.begins(node, entry.at);
            }
            Kind::GroupStarted | Kind::GroupResumed => return group.begins(node, entry.at),
            Kind::GroupStopped | Kind::GroupSaved => {
                return group.ends(node, entry.at, place, Look::Pause);
            }
            Kind::GroupKilled | Kind::GroupDied => {
                return group.ends(node, entry.at, place, Look::Outage);
            }
            Kind::GroupAssigned => Sign::Moved,
            Kind::GroupStartFailed | Kind::GroupStopFailed => Sign::Failed,
            _ => Sign::Note,
        };
        self.mark(entry, sign);
    }

    fn on_lun(&mut self, entry: &Entry) {
        let Some(lun) = self.luns.get_mut(&*entry.subject) else { return };
        let node = entry.node.as_deref().unwrap_or_default();
        let is_holder = lun.holder.as_deref() == Some(node);
        match entry.kind {
            Kind::LunHeld => {
                let look = self.places.get(node).map_or(Look::Up, |&at| Look::On(at));
                lun.switch(entry.at, Some((look, node, &words::sentence(entry))));
                lun.holder = Some(node.to_owned());
            }
            Kind::LunLost | Kind::LunReleased if is_holder => {
                lun.switch(entry.at, None);
                lun.holder = None;
            }
            Kind::LunLost | Kind::LunReleased => {}
            Kind::WriteRefused => self.mark(entry, Sign::Refused),
            _ => self.mark(entry, Sign::Note),
        }
    }

    fn fault_begins(&mut self, entry: &Entry) {
        let is_free = |row: &Vec<Span>| row.last().is_none_or(|last| last.until <= entry.at);
        let row = match self.faults.iter().position(is_free) {
            Some(row) => row,
            None if self.faults.len() < FAULT_ROWS_MAX => {
                self.faults.push(Vec::new());
                self.faults.len() - 1
            }
            None => FAULT_ROWS_MAX - 1,
        };
        let text = words::sentence(entry);
        let label = words::head(entry).to_owned();
        let (from, until) = (entry.at, self.until);
        self.faults[row].push(Span { from, until, look: Look::Fault, label, text });
        self.open_faults.insert(entry.subject.clone(), (row, self.faults[row].len() - 1));
    }

    fn fault_ends(&mut self, entry: &Entry) {
        if let Some((row, at)) = self.open_faults.remove(&entry.subject) {
            let span = &mut self.faults[row][at];
            span.until = entry.at;
            span.text += &format!(", for {}", words::length(span.from, span.until));
        }
    }

    fn finish(mut self) -> Drawing {
        let until = self.until;
        let coordinator = lane("coordinator", [self.coordinator.ended(until)]);
        let mut cluster = vec![coordinator];
        for (number, spans) in self.faults.into_iter().enumerate() {
            let name =
                if number == 0 { "faults".to_owned() } else { format!("faults {}", number + 1) };
            cluster.push(Lane { name, spans, marks: Vec::new() });
        }
        let mut sections = vec![Section { title: "Cluster", lanes: cluster }];
        let mut nodes = Vec::new();
        for name in &self.cast.nodes {
            let Some(node) = self.nodes.remove(&**name) else { continue };
            let tracks = [node.process, node.belief, node.lease].map(|track| track.ended(until));
            nodes.push(lane(name, tracks));
        }
        sections.push(Section { title: "Nodes", lanes: nodes });
        let mut groups = Vec::new();
        for name in &self.cast.groups {
            let Some(group) = self.groups.remove(&**name) else { continue };
            let GroupDesk { spans, marks, .. } = group.finish(until, &self.places);
            groups.push(Lane { name: name.clone(), spans, marks });
        }
        sections.push(Section { title: "Groups", lanes: groups });
        let mut luns = Vec::new();
        for name in &self.cast.luns {
            let Some(track) = self.luns.remove(&**name) else { continue };
            luns.push(lane(name, [track.ended(until)]));
        }
        sections.push(Section { title: "LUNs", lanes: luns });
        sections.retain(|section| !section.lanes.is_empty());
        Drawing { until, sections, lines: self.lines, notes: Vec::new() }
    }
}

/// Whose lane a kind belongs in, by its name.
fn whose(kind: Kind) -> Option<Whose> {
    match kind.name().split('_').next() {
        Some("node" | "fence" | "lease" | "coordinator") => Some(Whose::Node),
        Some("group") => Some(Whose::Group),
        Some("lun" | "write") => Some(Whose::Lun),
        _ => None,
    }
}

fn lane<const N: usize>(name: &str, tracks: [Track; N]) -> Lane {
    let mut lane = Lane { name: name.to_owned(), ..Lane::default() };
    for track in tracks {
        lane.spans.extend(track.spans);
        lane.marks.extend(track.marks);
    }
    lane
}

fn mark_of(entry: &Entry, sign: Sign) -> Mark {
    Mark { at: entry.at, sign, text: words::sentence(entry) }
}
