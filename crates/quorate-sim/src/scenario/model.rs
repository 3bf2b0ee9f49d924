//! What a scenario says, checked: every name in it is known, every word and every number is one that can be.

use std::collections::BTreeMap;
use std::time::Duration;

use super::tree::Tree;

/// One case.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name, repeated in the outcome.
    pub id: String,
    /// What it shows.
    pub description: String,
    /// Quorum, fencing, policies.
    pub cluster: Cluster,
    /// The nodes' names, with what each can carry.
    pub nodes: Vec<Node>,
    /// Rules about placement and order.
    pub rules: Vec<Rule>,
    /// What happens.
    pub story: Story,
    /// What must come of it, for whoever judges; not read by a run.
    pub expect: Option<Tree>,
}

/// The two kinds of cases.
#[derive(Clone, Debug, PartialEq)]
pub enum Story {
    /// Events over time.
    Timeline {
        /// Whether each node boots at the beginning.
        up: BTreeMap<String, bool>,
        /// The groups.
        groups: Vec<Group>,
        /// A persisted record to start from.
        initial_state: Option<InitialState>,
        /// What is done, and when.
        steps: Vec<Step>,
    },
    /// A given state that is left to itself.
    Snapshot {
        /// What is given about each node.
        given: BTreeMap<String, Given>,
        /// The groups.
        groups: Vec<Collection>,
    },
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// How much of what it has.
    pub capacity: BTreeMap<String, f64>,
}

/// What is given about a node of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its state.
    pub state: GivenState,
    /// It is to be emptied and to go.
    pub shutting_down: bool,
}

/// The state of a node of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenState {
    /// It takes part.
    Online,
    /// It left in order.
    Offline,
    /// It is gone, and nothing proves its death.
    Lost,
    /// It is seen, but must be fenced.
    Unclean,
    /// It runs nothing.
    Standby,
    /// What runs there is left alone.
    Maintenance,
}

/// Quorum, fencing, policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Whether a snapshot has a quorum.
    pub have_quorum: bool,
    /// What becomes of what runs without one.
    pub on_loss: OnLoss,
    /// Whether nodes are fenced.
    pub fencing: bool,
    /// A lost node is fenced even if nothing is known to run there.
    pub startup_fencing: bool,
    /// What a node's orderly end means for what it runs.
    pub node_shutdown_policy: ShutdownPolicy,
    /// How a timeline chooses among nodes.
    pub placement: Placement,
    /// How a snapshot does.
    pub placement_strategy: Strategy,
    /// A group may be placed anew when it starts.
    pub rebalance_on_start: bool,
    /// Groups move to even out the load.
    pub auto_rebalance: bool,
    /// Groups run only where a rule says so.
    pub opt_in_placement: bool,
    /// Nothing is managed.
    pub maintenance: bool,
    /// Everything is to be stopped.
    pub stop_all: bool,
    /// One failed start bans the node.
    pub start_failure_is_fatal: bool,
}

/// What becomes of what runs when the quorum is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLoss {
    /// The node switches itself off.
    SelfFence,
    /// What runs stops.
    Stop,
    /// What runs stays, nothing starts.
    Freeze,
    /// As if nothing had happened.
    Ignore,
}

/// What a node's orderly end means for what it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownPolicy {
    /// A shutdown as `Failover`, a reboot as `Freeze`.
    Conditional,
    /// Stopped, and recovered elsewhere.
    Failover,
    /// Stopped, and kept for the node's return.
    Freeze,
    /// Drained first, and back when the node is back.
    Migrate,
}

/// How a timeline chooses among allowed nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The one that runs the fewest groups.
    LeastGroups,
    /// The one that is used least, as configured.
    LeastStaticLoad,
    /// The one that is used least, as measured.
    LeastDynamicLoad,
}

/// How a snapshot chooses among equally good nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// By number, capacities ignored.
    Default,
    /// By number, within capacities.
    Utilization,
    /// On as few nodes as can be.
    Minimal,
    /// By free capacity.
    Balanced,
}

/// What is wanted of a group or a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// It runs.
    Running,
    /// It is kept stopped, and has another owner when its own dies.
    Stopped,
    /// It is kept stopped, and never recovered.
    Disabled,
    /// It is left alone.
    Unmanaged,
}

/// A group of a timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// It can move without an interruption.
    pub live_movable: bool,
    /// Where it is.
    pub owner: Option<String>,
    /// What is wanted of it.
    pub desired: Desired,
    /// Further start attempts on the same node.
    pub restarts: u32,
    /// Moves to other nodes after that.
    pub moves: u32,
    /// It returns to the best node by itself.
    pub failback: bool,
    /// What it uses, as configured.
    pub load_static: BTreeMap<String, f64>,
    /// What it uses, as measured.
    pub load_dynamic: BTreeMap<String, f64>,
    /// What goes wrong with it.
    pub faults: Faults,
}

/// What goes wrong with a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// So many starts fail.
    pub start_fails_first: u32,
    /// Only on this node.
    pub only_on_node: Option<String>,
    /// So many moves fail.
    pub move_fails_first: u32,
    /// It cannot be stopped.
    pub stop_always_fails: bool,
}

/// A group of a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// Its name.
    pub name: String,
    /// It is its only member.
    pub single: bool,
    /// Its members start one after the other.
    pub ordered: bool,
    /// Its members run on one node.
    pub collocated: bool,
    /// What is in it.
    pub members: Vec<Member>,
}

/// A member of a group of a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What is wanted of it.
    pub desired: Desired,
    /// Whether anything is done with it.
    pub managed: bool,
    /// Who wins when not all can run.
    pub priority: Score,
    /// How much it wants to stay.
    pub stickiness: Score,
    /// After so many failures on a node it is banned there.
    pub migration_threshold: Option<u32>,
    /// Older failures do not count.
    pub failure_timeout: Option<Duration>,
    /// What it uses.
    pub utilization: BTreeMap<String, f64>,
    /// It can move without an interruption.
    pub live_movable: bool,
    /// What a failure of each operation leads to.
    pub on_fail: BTreeMap<String, OnFail>,
    /// What its start waits for.
    pub requires: Requires,
    /// What is done when it is found running twice.
    pub multiple_active: MultipleActive,
    /// How it is found.
    pub initial: Initial,
}

/// What a failed operation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFail {
    /// It is stopped and started again.
    Restart,
    /// It is stopped.
    Stop,
    /// It is left as it is.
    Block,
    /// Its node is fenced.
    Fence,
    /// Nothing.
    Ignore,
}

/// What a start waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requires {
    /// For every fence that is due.
    Fencing,
    /// For that of its own node alone.
    Quorum,
}

/// What is done with a member that runs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultipleActive {
    /// All are stopped, one is started.
    StopStart,
    /// Those that should not run are stopped.
    StopUnexpected,
    /// All are stopped.
    StopOnly,
    /// It is left as it is.
    Block,
}

/// How a member is found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Initial {
    /// Where it runs.
    pub running_on: Vec<String>,
    /// It must be recovered.
    pub failed: bool,
    /// How often it has failed on each node.
    pub fail_count: BTreeMap<String, u32>,
    /// It is to be left as it is.
    pub blocked: bool,
    /// Something is under way with it.
    pub in_progress: bool,
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Where groups may run, or should.
    Owners {
        /// Only there.
        only: bool,
        /// Which groups.
        groups: Vec<String>,
        /// The nodes, higher first.
        nodes: BTreeMap<String, i64>,
    },
    /// Groups on one node, or on different ones.
    Affinity {
        /// On one.
        together: bool,
        /// Which groups.
        groups: Vec<String>,
        /// It holds or they do not run.
        strict: bool,
    },
    /// How well a node suits a group.
    Location {
        /// The group.
        group: String,
        /// The node.
        node: String,
        /// How well.
        score: Score,
    },
    /// Where one group is, another wants to be, or not to be.
    Colocation {
        /// Who wants.
        group: String,
        /// Where.
        with: String,
        /// How much.
        score: Score,
        /// It has a say in where `with` goes.
        influence: bool,
    },
    /// One after the other.
    Order {
        /// Any of these first; one alone is the plain rule.
        first: Vec<String>,
        /// Then this.
        then: String,
        /// How strict.
        kind: OrderKind,
        /// The other way round when stopping.
        symmetrical: bool,
        /// What is done first.
        first_action: OrderAction,
        /// What is done then.
        then_action: OrderAction,
    },
}

/// How strict an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKind {
    /// The second only while the first runs.
    Mandatory,
    /// Only if both act.
    Optional,
    /// Never both at once.
    Serialize,
}

/// What an order is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderAction {
    /// Starting.
    Start,
    /// Stopping.
    Stop,
}

/// A whole number, or one beyond all: must, must not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(i64);

impl Score {
    /// Must.
    pub const MUST: Score = Score(1_000_000);
    /// Must not.
    pub const NEVER: Score = Score(-1_000_000);

    /// A number; a million and more is "must".
    pub fn of(value: i64) -> Self {
        Self(value.clamp(Self::NEVER.0, Self::MUST.0))
    }

    /// The number.
    pub fn value(self) -> i64 {
        self.0
    }

    /// Both together; "must not" wins, then "must".
    #[must_use]
    pub fn and(self, other: Score) -> Score {
        if self == Self::NEVER || other == Self::NEVER {
            Self::NEVER
        } else if self == Self::MUST || other == Self::MUST {
            Self::MUST
        } else {
            Self::of(self.0 + other.0)
        }
    }
}

/// A persisted record of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialState {
    /// Who coordinated.
    pub coordinator: Option<String>,
    /// How each node was known.
    pub nodes: BTreeMap<String, RecordedNode>,
    /// How each group was known.
    pub groups: BTreeMap<String, RecordedGroup>,
}

/// How a node was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedNode {
    /// It took part.
    Online,
    /// Nothing was known.
    Unknown,
    /// It was to be fenced.
    Fence,
}

/// How a group was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedGroup {
    /// Its state.
    pub state: RecordedState,
    /// Its owner.
    pub owner: Option<String>,
    /// Where it was to go.
    pub target: Option<String>,
}

/// The state of a recorded group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedState {
    /// It ran.
    Started,
    /// It was stopped.
    Stopped,
    /// It had failed.
    Error,
    /// It waited for a node.
    Recovery,
    /// It waited for its owner's fence.
    Fence,
    /// It was on its way to `target`.
    Migrate,
}

/// Something done at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Not before this, since the beginning.
    pub at: Duration,
    /// What, in order.
    pub actions: Vec<Act>,
}

/// One thing done, to a node, a group or the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// To a node.
    Node(NodeAct, String),
    /// To a group.
    Group(GroupAct, String),
    /// A new group.
    Add(Box<Group>),
    /// Nothing is started, stopped or moved until `Arm`.
    Disarm(Disarm),
    /// Everything is taken as it is found.
    Arm,
}

/// What is done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeAct {
    /// Power and network.
    PowerOn,
    /// No power, at once.
    PowerOff,
    /// The network is there.
    NetworkOn,
    /// It is not.
    NetworkOff,
    /// It leaves in order and is switched off.
    Shutdown,
    /// It leaves in order and comes back.
    Reboot,
    /// It is emptied and kept empty.
    MaintenanceOn,
    /// That ends.
    MaintenanceOff,
    /// Its engine ends and starts again.
    AgentRestart,
    /// It may not coordinate.
    ManagerStop,
    /// It may.
    ManagerStart,
    /// Where the cluster's configuration is kept fails.
    ConfigStoreFault,
    /// Its engine stands still for some time.
    PauseRounds,
    /// It runs another version.
    SetVersion,
}

/// What is done to a group.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupAct {
    /// Something else is wanted of it.
    SetDesired(Desired),
    /// It is to move.
    Move {
        /// Where to.
        target: String,
        /// Without an interruption, if it can.
        live: bool,
    },
    /// It is to stop, in this time.
    Stop {
        /// How long it may take.
        timeout: Option<Duration>,
    },
    /// It is forgotten; the guest stays as it is.
    Remove,
    /// It is locked.
    Lock,
    /// That ends.
    Unlock,
    /// Somebody else has moved it.
    MovedOutOfBand {
        /// Where to.
        target: String,
    },
    /// It uses more or less.
    SetLoad {
        /// As configured.
        load_static: BTreeMap<String, f64>,
        /// As measured.
        load_dynamic: BTreeMap<String, f64>,
    },
}

/// What a disarmed cluster reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disarm {
    /// Frozen.
    Freeze,
    /// As found.
    Ignore,
}
