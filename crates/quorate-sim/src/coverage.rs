//! What a run has come through: how often each action, event, message, notice, cause, change of state and point of
//! failure was met. What was never met was never tried.
//!
//! Counting costs an index into an array: names are looked up when they are asked for.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use quorate_core::action::{LunVerb, ResourceVerb};
use quorate_core::change::{Cause, DownCause, FenceKind, GroupReport};
use quorate_core::database::{Database, NodeState, OwnedState, Ownership, Vacancy};
use quorate_core::event::{LunFailure, StreamEnd, Trouble};
use quorate_core::id::{GroupId, NodeId};
use quorate_core::message::{Command, Message};
use quorate_core::notice::DropReason;
use quorate_core::{Action, Event, Notice};

use crate::fault::{Fault, FaultKind};
use crate::variant;

/// The most names that a table has.
const NAMES_MAX: usize = 64;

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $names:expr;)*) => {
        /// A list of things that can be met.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Table { $($(#[$doc])* $name),* }

        impl Table {
            /// Every table.
            pub const ALL: [Self; TABLES] = [$(Self::$name),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// What can be met, by number.
            pub fn names(self) -> Vec<String> {
                let names: Vec<String> = match self { $(Self::$name => $names),* };
                assert!(names.len() <= NAMES_MAX, "{} has {} names", self.name(), names.len());
                names
            }
        }

        const TABLES: usize = [$($word),*].len();
    };
}

tables! {
    /// Actions carried out.
    Action = "action", of::<Action>();
    /// Events given to engines.
    Event = "event", of::<Event>();
    /// Requests to LUNs.
    LunVerb = "lun_verb", of::<LunVerb>();
    /// Requests to resources.
    ResourceVerb = "resource_verb", of::<ResourceVerb>();
    /// Messages sent on streams.
    Message = "message", of::<Message>();
    /// Commands of hosts.
    Command = "command", of::<Command>();
    /// Notices told.
    Notice = "notice", of::<Notice>();
    /// Why nodes were declared down.
    DownCause = "down_cause", of::<DownCause>();
    /// What proved nodes harmless.
    FenceKind = "fence_kind", of::<FenceKind>();
    /// Why groups changed their owner.
    Cause = "cause", of::<Cause>();
    /// What owners said of their groups.
    GroupReport = "group_report", of::<GroupReport>();
    /// What was wrong with resources.
    Trouble = "trouble", of::<Trouble>();
    /// Why LUNs did not do it.
    LunFailure = "lun_failure", of::<LunFailure>();
    /// How streams ended.
    StreamEnd = "stream_end", of::<StreamEnd>();
    /// Why messages were dropped.
    DropReason = "drop_reason", of::<DropReason>();
    /// Faults begun.
    Fault = "fault", FaultKind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
    /// Processes that died in the midst of a step: before which action, or after the last.
    DiedBefore = "died_before", died_before();
    /// Nodes, from one committed state to another.
    NodeChange = "node_transition", changes(&NODE_STATES, &NODE_CHANGES);
    /// Groups, from one committed state to another.
    GroupChange = "group_transition", changes(&GROUP_STATES, &GROUP_CHANGES);
}

const NODE_STATES: [&str; 4] = ["absent", "up", "down", "fenced"];
const NODE_CHANGES: [(usize, usize); 6] = [(0, 1), (1, 2), (2, 3), (3, 1), (2, 1), (1, 3)];

const GROUP_STATES: [&str; 8] = [
    "never_owned",
    "stopped",
    "fenced",
    "storage_fenced",
    "starting",
    "online",
    "releasing",
    "stop_failed",
];

/// Those that committed changes can make, in the order in which a group meets them.
const GROUP_CHANGES: [(usize, usize); 20] = [
    (0, 4),
    (4, 5),
    (5, 6),
    (4, 6),
    (6, 4),
    (6, 1),
    (4, 1),
    (5, 1),
    (7, 1),
    (4, 7),
    (5, 7),
    (6, 7),
    (4, 2),
    (5, 2),
    (6, 2),
    (7, 2),
    (5, 4),
    (7, 4),
    (1, 4),
    (2, 4),
];

fn of<T: for<'de> serde::Deserialize<'de>>() -> Vec<String> {
    variant::names::<T>().iter().map(|name| snake(name)).collect()
}

fn died_before() -> Vec<String> {
    let mut names = of::<Action>();
    names.push("nothing".to_owned());
    names
}

fn changes(states: &[&str], changes: &[(usize, usize)]) -> Vec<String> {
    changes.iter().map(|&(from, to)| format!("{} to {}", states[from], states[to])).collect()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// How often each was met.
#[derive(Clone, Debug)]
pub struct Coverage {
    counts: [[u64; NAMES_MAX]; TABLES],
    /// Changes of state that no single change makes: several were committed before anybody looked.
    at_once: BTreeMap<String, u64>,
    nodes: BTreeMap<NodeId, usize>,
    groups: BTreeMap<GroupId, usize>,
    applied: u64,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            counts: [[0; NAMES_MAX]; TABLES],
            at_once: BTreeMap::new(),
            nodes: BTreeMap::new(),
            groups: BTreeMap::new(),
            applied: 0,
        }
    }
}

impl AddAssign<&Coverage> for Coverage {
    fn add_assign(&mut self, other: &Coverage) {
        let all = self.counts.iter_mut().flatten().zip(other.counts.iter().flatten());
        all.for_each(|(count, more)| *count += more);
        for (what, more) in &other.at_once {
            *self.at_once.entry(what.clone()).or_default() += more;
        }
    }
}

/// Something that can be met, and how often it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// The table.
    pub table: &'static str,
    /// What.
    pub name: String,
    /// How often.
    pub count: u64,
}

impl Coverage {
    /// Everything with its count.
    pub fn all(&self) -> Vec<Met> {
        let mut all = Vec::new();
        for table in Table::ALL {
            let names = table.names().into_iter().zip(self.counts[table as usize]);
            all.extend(names.map(|(name, count)| Met { table: table.name(), name, count }));
        }
        let others = self.at_once.iter();
        all.extend(others.map(|(name, &count)| Met {
            table: "transitions_at_once",
            name: name.clone(),
            count,
        }));
        all
    }

    /// Whatever was never met.
    pub fn never(&self) -> Vec<Met> {
        self.all().into_iter().filter(|met| met.count == 0).collect()
    }

    /// The sum of a table.
    pub fn sum(&self, table: Table) -> u64 {
        self.counts[table as usize].iter().sum()
    }

    #[inline]
    fn count(&mut self, table: Table, number: usize) {
        if let Some(count) = self.counts[table as usize].get_mut(number) {
            *count += 1;
        }
    }

    /// An action was carried out.
    #[inline]
    pub(crate) fn action(&mut self, action: &Action) {
        self.count(Table::Action, variant::number(action));
        match action {
            Action::Lun { verb, .. } => self.count(Table::LunVerb, variant::number(verb)),
            Action::Resource { verb, .. } => self.count(Table::ResourceVerb, variant::number(verb)),
            Action::Send { message, .. } => self.count(Table::Message, variant::number(message)),
            Action::SendBeat { .. }
            | Action::Persist { .. }
            | Action::Answer { .. }
            | Action::Witness { .. }
            | Action::Fence { .. }
            | Action::Reincarnated { .. }
            | Action::Left
            | Action::Evicted => {}
        }
    }

    /// An engine was given an event.
    #[inline]
    pub(crate) fn event(&mut self, event: &Event) {
        self.count(Table::Event, variant::number(event));
        match event {
            Event::Command { command, .. } => self.count(Table::Command, variant::number(command)),
            Event::StreamClosed { how, .. } => self.count(Table::StreamEnd, variant::number(how)),
            Event::Lun { result: Err(failure), .. } => {
                self.count(Table::LunFailure, variant::number(failure));
            }
            Event::ResourceFailed { trouble, .. } => {
                self.count(Table::Trouble, variant::number(trouble));
            }
            _ => {}
        }
    }

    /// An engine has told something.
    pub(crate) fn notice(&mut self, notice: &Notice) {
        self.count(Table::Notice, variant::number(notice));
        match notice {
            Notice::Down { cause, .. } => self.count(Table::DownCause, variant::number(cause)),
            Notice::Fenced { kind, .. } => self.count(Table::FenceKind, variant::number(kind)),
            Notice::Assigned { cause, .. } => self.count(Table::Cause, variant::number(cause)),
            Notice::Group { report, .. } => {
                self.count(Table::GroupReport, variant::number(report));
            }
            Notice::Dropped { reason, .. } => {
                self.count(Table::DropReason, variant::number(reason));
            }
            _ => {}
        }
    }

    /// A fault begins.
    pub(crate) fn fault(&mut self, fault: &Fault) {
        self.count(Table::Fault, fault.kind() as usize);
    }

    /// A process dies before it has carried out this action; none: after all of them.
    pub(crate) fn death(&mut self, before: Option<&Action>) {
        let last = variant::names::<Action>().len();
        self.count(Table::DiedBefore, before.map_or(last, variant::number));
    }

    /// What a node holds committed: the first that holds more than any before it is looked at.
    pub(crate) fn committed(&mut self, database: &Database) {
        if database.applied() <= self.applied {
            return;
        }
        self.applied = database.applied();
        for (&id, record) in database.nodes() {
            let state = node_state(record.state);
            let before = self.nodes.insert(id, state).unwrap_or(0);
            self.change(Table::NodeChange, &NODE_STATES, &NODE_CHANGES, (before, state));
        }
        for (&id, record) in database.groups() {
            let state = group_state(&record.ownership);
            let before = self.groups.insert(id, state).unwrap_or(0);
            self.change(Table::GroupChange, &GROUP_STATES, &GROUP_CHANGES, (before, state));
        }
    }

    fn change(
        &mut self,
        table: Table,
        states: &[&str],
        changes: &[(usize, usize)],
        change: (usize, usize),
    ) {
        if change.0 == change.1 {
            return;
        }
        match changes.iter().position(|&one| one == change) {
            Some(number) => self.count(table, number),
            None => {
                let what =
                    format!("{}: {} to {}", table.name(), states[change.0], states[change.1]);
                *self.at_once.entry(what).or_default() += 1;
            }
        }
    }
}

fn node_state(state: NodeState) -> usize {
    match state {
        NodeState::Absent => 0,
        NodeState::Up => 1,
        NodeState::Down(_) => 2,
        NodeState::Fenced(_) => 3,
    }
}

fn group_state(ownership: &Ownership) -> usize {
    match ownership {
        Ownership::Vacant(Vacancy::NeverOwned) => 0,
        Ownership::Vacant(Vacancy::Stopped { .. } | Vacancy::Found { .. }) => 1,
        Ownership::Vacant(Vacancy::Fenced { .. }) => 2,
        Ownership::Vacant(Vacancy::StorageFence { .. }) => 3,
        Ownership::Owned { state, .. } => match state {
            OwnedState::Starting => 4,
            OwnedState::Online => 5,
            OwnedState::Releasing { .. } => 6,
            OwnedState::StopFailed => 7,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_names_and_no_name_twice() {
        for table in Table::ALL {
            let mut names = table.names();
            let count = names.len();
            assert!(count > 1, "{}", table.name());
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "{}", table.name());
        }
    }

    #[test]
    fn what_was_met_is_counted_under_its_name() {
        let mut coverage = Coverage::default();
        coverage.event(&Event::Leave { keep: false });
        coverage.death(None);
        coverage.change(Table::NodeChange, &NODE_STATES, &NODE_CHANGES, (1, 2));
        let met = |table: &str, name: &str| {
            let all = coverage.all();
            all.iter().find(|met| met.table == table && met.name == name).map(|met| met.count)
        };
        assert_eq!(met("event", "leave"), Some(1));
        assert_eq!(met("died_before", "nothing"), Some(1));
        assert_eq!(met("node_transition", "up to down"), Some(1));
        assert_eq!(met("node_transition", "down to fenced"), Some(0));
    }
}
