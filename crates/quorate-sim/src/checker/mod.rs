//! The judges of a run. Each sees every fact as it comes about, and the whole world beside it.
//!
//! | checker          | holds | must never be seen                                                              |
//! |------------------|-------|---------------------------------------------------------------------------------|
//! | `OneWriter`      | I1    | two guests whose writes a LUN would take; a write taken after one of a later epoch; |
//! |                  |       | a reservation that is gone, or has gone back to an older owner                   |
//! | `Counter`        | I1    | a guest's record lost, doubled or skipped; a saved state that is stale or used twice |
//! | `OneOwner`       | I2    | a group running on two nodes, unless its LUNs refuse the older one, or are out   |
//! |                  |       | of its reach                                                                     |
//! | `Entitled`       | I2    | a start by a node to which no committed change, known to it, gives the group      |
//! | `Evidence`       | I2    | a proof, committed, that a group or a node is harmless, while it is not;           |
//! |                  |       | a node admitted that still runs something                                        |
//! | `OneCoordinator` | I3    | two nodes that coordinate in one epoch                                           |
//! | `OneHistory`     | I3, I4 | two nodes that hold different things committed at one place                      |
//! | `Promise`        | I3, I4 | a vote or an acknowledgement sent that is not on its voter's disk; one that is     |
//! |                  |       | forgotten later; two votes in one epoch                                          |
//! | `NothingLost`    | I4    | something taken for committed that is not on the disks of a majority of voters   |
//! | `Lease`          | I5    | a group running longer than its node's lease allows: with the grace, if its LUNs |
//! |                  |       | protect it, else without                                                         |
//! | `Bystander`      | I6    | a guest ended, a lease lost, a node declared down, where nothing has happened;   |
//! |                  |       | one declared down for a silence that was none                                    |
//! | `Liveness`       | I6    | a group that can run and is not online in time, after the faults have stopped     |
//! | `Possible`       | I6    | a new owner on which the group may never run                                     |
//! | `Apart`          | I6    | a new owner that has a group from which the new one must be apart, on its node or
//! |                  |       | in its rack or site                                                              |
//! | `Together`       | I6    | a new owner while one that must be with it runs, and stays, elsewhere             |
//! | `Near`           | I6    | a new owner elsewhere than the one by which it must be, or where it must never be |
//! | `Failovers`      | I6    | more groups that fail over, or start on one node, at once than may                |
//! | `Room`           | I6    | a new owner that has not the room                                                |
//! | `Ordered`        | I6    | a new owner while nothing runs that has to before                                |
//! | `Frozen`         | I6    | a new owner while the cluster is disarmed                                        |
//! | `Quarantined`    | I6    | a new owner that is in quarantine                                                |
//! | `Limits`         | I6    | a new owner for a group that has failed too often, before it may be tried again; |
//! |                  |       | or for what a node ran that was lost after more others than may be               |
//! | `Failures`       | I6    | a new owner where the group has failed too often; or while too many of its kind   |
//! |                  |       | have failed, or before it has rested since it has failed everywhere              |
//! | `Steady`         | I6    | a group that rules move back and forth while nothing happens                     |
//! | `Caused`         | I7    | a change of owner whose cause is not true, or that its node cannot explain       |

mod bystander;
mod caused;
mod counter;
mod entitled;
mod evidence;
mod failures;
mod lease;
mod limits;
mod liveness;
mod nothing_lost;
mod one_coordinator;
mod one_history;
mod one_owner;
mod one_writer;
mod promise;
mod ruled;
mod waivers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use quorate_core::Notice;
use quorate_core::config::ClusterConfig;
use quorate_core::durable::Record;
use quorate_core::id::{Epoch, GroupId, LunId, NodeId, ResourceId, SaveToken};
use quorate_core::message::{Command, ConsensusMessage};

use crate::clock::Moment;
use crate::hosts::Hosts;
use crate::storage::Storage;
use crate::timeline::{Entry, Kind};
use crate::unrest::Unrest;

pub use waivers::Waivers;

/// The world as it is, not as any engine believes it to be.
pub struct View<'a> {
    /// The time.
    pub now: Moment,
    /// The newest configuration that any node has for committed.
    pub config: &'a ClusterConfig,
    /// Those that it came in place of not long ago, newest last: a node that lags decides by them.
    pub superseded: &'a [(Moment, ClusterConfig)],
    /// The hosts.
    pub hosts: &'a Hosts,
    /// The storage.
    pub storage: &'a Storage,
    /// Who voted before the change of voters that has just been committed; none: none has.
    pub voting_before: Option<&'a [NodeId]>,
    /// What is not promised at present.
    pub waivers: &'a Waivers,
    /// What the faults have touched.
    pub unrest: &'a Unrest,
}

impl View<'_> {
    /// The configurations by which a node may have decided what is told: the newest first.
    pub fn configs(&self) -> impl Iterator<Item = &ClusterConfig> {
        let late = self.config.timing().detect * 2;
        let counts = move |(until, _): &&(Moment, ClusterConfig)| *until + late > self.now;
        let past = self.superseded.iter().rev().filter(counts).map(|(_, config)| config);
        std::iter::once(self.config).chain(past)
    }

    /// The group on which a command acts so that what it has failed is forgiven, once that is committed; it may have
    /// that name by one of the configurations alone.
    pub fn forgiven(&self, command: &Command) -> BTreeSet<GroupId> {
        let name = match command {
            Command::Online { group }
            | Command::Offline { group }
            | Command::Disable { group }
            | Command::Unmanage { group }
            | Command::RemoveGroup { group } => group,
            _ => return BTreeSet::new(),
        };
        self.configs().filter_map(|config| Some(config.group_named(name)?.id)).collect()
    }

    /// Those, and older ones: by which something may have begun that ends only now.
    pub fn configs_of_old(&self) -> impl Iterator<Item = &ClusterConfig> {
        let past = self.superseded.iter().rev().map(|(_, config)| config);
        std::iter::once(self.config).chain(past)
    }

    /// Whether something is right by one of them.
    ///
    /// # Errors
    /// What is wrong by the last one.
    pub fn try_any(
        &self,
        mut judge: impl FnMut(&ClusterConfig) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut found = Ok(());
        for config in self.configs() {
            found = judge(config);
            if found.is_ok() {
                break;
            }
        }
        found
    }
}

/// Something that has come about.
#[derive(Debug)]
pub enum Fact<'a> {
    /// A process has started, with what it remembers.
    Started {
        /// The node.
        node: NodeId,
        /// What it remembers, as records.
        records: &'a [Record],
        /// It goes on for an engine that has ended.
        goes_on: bool,
    },
    /// An engine has said something.
    Told {
        /// The node.
        node: NodeId,
        /// What.
        notice: &'a Notice,
    },
    /// An engine asks to persist something.
    Persists {
        /// The node.
        node: NodeId,
        /// What.
        records: &'a [Record],
    },
    /// A voter says something that it must never forget.
    Promises {
        /// The node.
        node: NodeId,
        /// A vote, a request for votes, or that entries stand in its log.
        message: &'a ConsensusMessage,
    },
    /// A driver sets about starting or loading a guest.
    Starts {
        /// The node.
        node: NodeId,
        /// The group.
        group: GroupId,
        /// The epoch in which it does.
        epoch: Epoch,
    },
    /// A guest counts as running from here on.
    Began {
        /// The node.
        node: NodeId,
        /// The group.
        group: GroupId,
        /// The resource.
        resource: ResourceId,
    },
    /// It has ended.
    Ended {
        /// The node.
        node: NodeId,
        /// The resource.
        resource: ResourceId,
    },
    /// A guest goes on from a saved state.
    Resumed {
        /// The node.
        node: NodeId,
        /// The saved state.
        token: SaveToken,
        /// Its counters.
        records: &'a BTreeMap<LunId, u64>,
    },
    /// A LUN has taken a write.
    Wrote {
        /// The LUN.
        lun: LunId,
        /// Whose session brought it.
        node: NodeId,
        /// The epoch of the guest.
        epoch: Epoch,
        /// The record.
        value: u64,
        /// The newest record before it.
        before: u64,
    },
    /// Who may write to a LUN may have changed.
    Access {
        /// The LUN.
        lun: LunId,
    },
    /// A node holds the log for committed up to a place, and has applied it.
    Applied {
        /// The node.
        node: NodeId,
        /// The place.
        index: u64,
    },
    /// A host gives its engine a command.
    Asked {
        /// What it wants.
        command: &'a Command,
    },
    /// A host asks its engine to leave.
    Leaves {
        /// The node.
        node: NodeId,
    },
    /// Time has passed.
    Passed,
    /// The faults have stopped long ago, and this is still missing.
    Unconverged {
        /// What is missing.
        missing: &'a str,
    },
}

/// A judge of one promise.
pub trait Checker: Send {
    /// Its name, as in the table.
    fn name(&self) -> &'static str;

    /// Looks at a fact, in the world in which it has come about.
    ///
    /// # Errors
    /// What has been seen that must never be.
    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String>;

    /// From when on it must be shown [`Fact::Passed`]; what it is shown before that changes nothing for it.
    fn look_at(&self) -> Moment {
        Moment::NEVER
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Moment,
    /// Which checker saw it; `Engine` for a panic of an engine.
    pub checker: &'static str,
    /// What it saw.
    pub what: String,
}

impl Violation {
    /// Its place in the timeline.
    pub fn entry(&self) -> Entry {
        let (subject, detail) = (self.checker.to_owned(), self.what.clone());
        Entry { at: self.at, kind: Kind::Violation, subject, node: None, detail }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}: {}", self.at, self.checker, self.what)
    }
}

/// A fresh set of every checker.
pub fn table() -> Vec<Box<dyn Checker>> {
    let mut all: Vec<Box<dyn Checker>> = vec![
        Box::new(one_writer::OneWriter::default()),
        Box::new(counter::Counter::default()),
        Box::new(one_owner::OneOwner),
        Box::new(entitled::Entitled::default()),
        Box::new(evidence::Evidence::default()),
        Box::new(one_coordinator::OneCoordinator::default()),
        Box::new(one_history::OneHistory::default()),
        Box::new(promise::Promise::default()),
        Box::new(nothing_lost::NothingLost::default()),
        Box::new(lease::Lease::default()),
        Box::new(bystander::Bystander::default()),
        Box::new(caused::Caused::default()),
        Box::new(liveness::Liveness),
        Box::new(ruled::Steady::default()),
        Box::new(limits::Limits::default()),
        Box::new(failures::Failures::default()),
    ];
    all.extend(ruled::all());
    all
}
