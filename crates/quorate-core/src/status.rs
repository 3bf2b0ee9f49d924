//! A read-only view of one engine, for people and tools. Names, not numbers.

use serde::{Deserialize, Serialize};

use crate::group::ResourceState;
use crate::id::{GroupId, NodeId};
use crate::lock::LockState;
use crate::notice::{Hold, Notice};
use crate::placement::NotHere;
use crate::time::Instant;

/// What a node knows of its cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The cluster's name.
    pub cluster: String,
    /// This node's name.
    pub node: String,
    /// This node's boot.
    pub boot: u64,
    /// This node's session in that boot.
    pub session: u32,
    /// Whether the cluster has been founded and this node belongs to it.
    pub member: bool,
    /// The coordinator this node follows.
    pub coordinator: Option<String>,
    /// The coordinator's epoch.
    pub epoch: u64,
    /// Whether a coordinator is followed: a majority of votes stands behind it.
    pub quorum: bool,
    /// How many votes there are, that of the witness included.
    pub votes: u32,
    /// The witness, if there is one.
    pub witness: Option<WitnessStatus>,
    /// How long this node may still act, in milliseconds; none: it may not.
    pub lease_left_ms: Option<u64>,
    /// How much of the log is applied here.
    pub applied: u64,
    /// The cluster's time in milliseconds.
    pub cluster_ms: u64,
    /// Whether nothing is started, stopped or moved, and what is said of the groups meanwhile: `freeze`, `ignore`.
    pub disarmed: Option<String>,
    /// How long until it arms itself, in milliseconds; none: not by itself.
    pub disarm_left_ms: Option<u64>,
    /// The number of the configuration in force: 1 is what the cluster was founded with; 0: this node knows of none.
    pub config_version: u64,
    /// Where the configuration that this node was started with differs from the one in force, which stands; nothing,
    /// if it was in force before that was applied.
    pub config_differs: Vec<String>,
    /// Every node.
    pub nodes: Vec<NodeStatus>,
    /// Every group.
    pub groups: Vec<GroupStatus>,
}

/// The witness, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessStatus {
    /// Where it lives.
    pub path: String,
    /// Whether it votes: where the nodes that vote are even in number.
    pub votes: bool,
    /// Whether it takes part: it is made, and two nodes at least have seen it.
    pub made: bool,
    /// Whether it could be reached when it was last looked at; none: nobody has looked yet, or it does not vote.
    pub reachable: Option<bool>,
    /// What is wrong with it, for people; empty: nothing.
    pub trouble: String,
    /// How long ago this node asked it for anything, in milliseconds; none: it has not.
    pub asked_ms_ago: Option<u64>,
    /// How long ago it answered this node last, in milliseconds; none: it has not.
    pub answered_ms_ago: Option<u64>,
}

/// What [`NodeStatus::state`] may say.
pub const NODE_STATES: [&str; 5] = ["absent", "up", "down", "left", "fenced"];

/// A node, as this one sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its committed state: `absent`, `up`, `down`, `left`, `fenced`.
    pub state: String,
    /// What is heard of it: `alive`, `suspect`, `isolated`, `silent`; `self` for this node.
    pub heard: String,
    /// It gets no new groups.
    pub paused: bool,
    /// What it runs moves away.
    pub draining: bool,
    /// Of a node that is being drained and cannot be emptied: which groups stay there, each with the reason.
    pub stays: Vec<String>,
    /// Its newest admitted boot.
    pub boot: u64,
    /// Its session in that boot.
    pub session: u32,
    /// Whether it votes.
    pub voter: bool,
    /// How long it is in quarantine yet, in milliseconds; none: it is not.
    pub quarantine_left_ms: Option<u64>,
    /// How often it went down lately.
    pub recent_failures: u32,
    /// For each network, whether its heartbeats arrive.
    pub paths: Vec<bool>,
    /// LUNs that it does not reach, by its own word.
    pub luns_away: Vec<String>,
    /// What fence agents are at with it; none: nothing, or this node does not coordinate and cannot know.
    pub fencing: Option<FencingStatus>,
}

/// What fence agents are at with a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FencingStatus {
    /// The level that is tried.
    pub level: u8,
    /// Agents that have been asked and have not answered yet.
    pub asked: Vec<String>,
    /// Agents of this level that have done it.
    pub done: Vec<String>,
    /// How long until agents are asked again, in milliseconds, when every level has failed; none: they are at work.
    pub retry_in_ms: Option<u64>,
    /// What was said last by one that has failed, for people; empty: none has.
    pub trouble: String,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// Its committed state: `offline`, `waiting` (for a node, or for its LUNs), `kept` (for its node's return),
    /// `failed`, `starting`, `online`, `degraded` (online, but for a resource that is left failed), `moving`,
    /// `stop-failed`, `lost` (its owner is down and not yet proven harmless).
    pub state: String,
    /// Its owner.
    pub owner: Option<String>,
    /// How often its ownership has been given.
    pub epoch: u64,
    /// Whether it should be online.
    pub online_wanted: bool,
    /// What is wanted of it: `online`, `offline`, `disabled`, or `unmanaged`: it is left alone.
    pub wanted: String,
    /// Whether it has a saved state that its next start resumes.
    pub saved: bool,
    /// Why it waits though it could run.
    pub held: Option<Hold>,
    /// How long until it is tried again at the latest, in milliseconds, if it is left failed or held for a time.
    pub retry_in_ms: Option<u64>,
    /// Its resources, where they run on this node.
    pub resources: Vec<(String, ResourceState)>,
    /// Its LUNs, where this node holds or takes them.
    pub luns: Vec<(String, LockState)>,
    /// LUNs of it that its owner does not reach, by its own word: it goes where they are reached, and stands still
    /// while that is nowhere; without an owner, those for which it waits.
    pub luns_away: Vec<String>,
}

impl Status {
    /// How many of the votes this node hears, its own and that of a witness which it reaches included.
    pub fn votes_heard(&self) -> u32 {
        let heard = |node: &&NodeStatus| node.voter && matches!(&*node.heard, "self" | "alive");
        let witness = self.witness.as_ref().is_some_and(|one| one.reachable == Some(true));
        let count = self.nodes.iter().filter(heard).count() + usize::from(witness);
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// Something that has led to where a group is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When, in the cluster's time in milliseconds.
    pub at_ms: u64,
    /// When this node saw it; none: it did not take part then.
    pub seen: Option<Instant>,
    /// What.
    pub told: Notice,
}

/// Why a group is where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// How it is.
    pub group: GroupStatus,
    /// Of a group that is left failed or held for a time: how long until it is tried again, in milliseconds.
    pub retry_in_ms: Option<u64>,
    /// What has led to it, oldest first.
    pub history: Vec<Happened>,
    /// Where it would be placed now if it ran nowhere.
    pub placement: Option<String>,
    /// For each other node, why not there: while it runs, why it is not moved there; else why it would not start there.
    pub not_there: Vec<(String, NotHere)>,
}

/// Why something was asked of the driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The group about which it was.
    pub group: GroupId,
    /// When it was asked, in the cluster's time in milliseconds.
    pub at_ms: u64,
    /// What led to it, the nearest first. The last one came in from outside.
    pub chain: Vec<Link>,
}

/// One link of a chain of causes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// When, in the cluster's time in milliseconds; none: it is not known.
    pub at_ms: Option<u64>,
    /// What.
    pub what: Because,
}

/// What led to something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Because {
    /// Something that was told.
    Told(Notice),
    /// Something that came in from outside.
    Input(Input),
}

/// Where every chain of causes ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Somebody has commanded it.
    Command,
    /// The configuration wants it: an automatic start, a preferred owner, a rule.
    Configuration,
    /// Nobody heard a node.
    Silence {
        /// The node.
        node: NodeId,
    },
    /// The host of a node closed its connections: its engine's process has ended.
    Connection {
        /// The node.
        node: NodeId,
    },
    /// A node came back.
    Returned {
        /// The node.
        node: NodeId,
    },
    /// A driver on a node reported trouble with a resource, or did not answer.
    Resource {
        /// The node.
        node: NodeId,
    },
    /// A LUN of a node was lost, or refused it.
    Lun {
        /// The node.
        node: NodeId,
    },
    /// Fence agents have ended a node.
    Agent {
        /// The node.
        node: NodeId,
    },
    /// No majority of the voters acknowledged a node, so that it might not act any more.
    Unacknowledged {
        /// The node.
        node: NodeId,
    },
    /// It began before what this node remembers.
    Earlier,
}
