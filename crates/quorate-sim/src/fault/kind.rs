//! The kinds of faults, and how often a run draws each.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $weight:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FaultKind { $($(#[$doc])* $name),* }

        impl FaultKind {
            /// Every kind.
            pub const ALL: [Self; COUNT] = [$(Self::$name),*];

            /// Its name, as tools print it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }

        const COUNT: usize = [$($word),*].len();
        const WEIGHTS: [u16; COUNT] = [$($weight),*];
    };
}

kinds! {
    /// A process dies between two actions.
    Crash = "crash", 8;
    /// A process dies in the midst of carrying out its actions.
    CrashMidway = "crash_midway", 8;
    /// A host loses power.
    PowerLoss = "power_loss", 6;
    /// Every host loses power.
    Blackout = "blackout", 2;
    /// A host loses power in the midst of a write to its log.
    TornWrite = "torn_write", 5;
    /// A host loses power and its disk.
    Wipe = "wipe", 3;
    /// A log is damaged where nobody looks before the next start.
    BitRot = "bit_rot", 3;
    /// A disk is full.
    DiskFull = "disk_full", 4;
    /// A disk takes its time.
    DiskSlow = "disk_slow", 5;
    /// The engine's thread hangs, the rest of its process goes on.
    PauseEngine = "pause_engine", 6;
    /// A process is stopped as a whole; its guests go on.
    PauseProcess = "pause_process", 6;
    /// A node hears nobody and nobody hears it.
    CutNode = "cut_node", 6;
    /// A node is heard and hears nobody, or the other way round.
    CutOneWay = "cut_one_way", 6;
    /// One network of two is down for one node or for all.
    CutNetwork = "cut_network", 4;
    /// Two sides that do not hear each other.
    Split = "split", 6;
    /// Each link by itself.
    PartialMesh = "partial_mesh", 6;
    /// Everybody hears its two neighbours only.
    Ring = "ring", 4;
    /// Two sides that one node connects.
    Bridge = "bridge", 4;
    /// Datagrams are lost.
    Loss = "loss", 4;
    /// Everything takes longer.
    Delay = "delay", 4;
    /// Datagrams arrive twice.
    Duplication = "duplication", 3;
    /// Datagrams overtake each other.
    Reordering = "reordering", 3;
    /// What arrives is damaged: no datagram counts, no stream survives it.
    Corruption = "corruption", 4;
    /// A stream breaks though both ends live.
    StreamReset = "stream_reset", 5;
    /// A clock runs at another rate, within the bound.
    ClockDrift = "clock_drift", 3;
    /// A clock steps, within the bound.
    ClockStep = "clock_step", 3;
    /// A clock jumps far beyond what the configuration says of clocks.
    ClockJump = "clock_jump", 1;
    /// The people's clock is set.
    WallStep = "wall_step", 2;
    /// A node's way to LUNs is cut.
    LunPath = "lun_path", 6;
    /// Commands to LUNs take long, some too long.
    LunSlow = "lun_slow", 4;
    /// Commands to LUNs are lost, or their answers are.
    LunLost = "lun_lost", 4;
    /// A LUN is reset: what is under way is aborted.
    LunReset = "lun_reset", 3;
    /// A target loses power and remembers its reservations.
    TargetPower = "target_power", 3;
    /// A target loses power and forgets its reservations.
    ReservationLoss = "reservation_loss", 2;
    /// Somebody who is no part of the cluster takes a LUN.
    Stranger = "stranger", 1;
    /// A node does not reach the witness.
    WitnessPath = "witness_path", 6;
    /// Nobody reaches the witness.
    WitnessOff = "witness_off", 5;
    /// Requests to the witness take long, some too long.
    WitnessSlow = "witness_slow", 3;
    /// Requests to the witness get lost, or their answers do.
    WitnessLoses = "witness_loses", 5;
    /// A node finds an empty directory where the witness was.
    WitnessUnmounted = "witness_unmounted", 3;
    /// Guests die.
    GuestDies = "guest_dies", 5;
    /// Guests do not start.
    StartFails = "start_fails", 4;
    /// Guests cannot be killed for a while.
    KillFails = "kill_fails", 8;
    /// A guest does not stop when asked.
    GuestHangs = "guest_hangs", 4;
    /// A host answers late.
    HostLate = "host_late", 4;
    /// A host does not answer.
    HostNever = "host_never", 10;
    /// A host answers twice.
    HostTwice = "host_twice", 3;
    /// A host gives a command.
    Command = "command", 12;
    /// A node leaves in order and comes back.
    Leave = "leave", 4;
    /// A host gives a command about policies: disarm, arm, leave a group alone, a load, hold moves.
    Policy = "policy", 10;
    /// Somebody holds a group: nobody else may do anything with it.
    Busy = "busy", 6;
    /// An engine is replaced, and what it has started runs on.
    Handover = "handover", 6;
    /// Somebody moves a group, and asks nobody.
    MovedByHand = "moved_by_hand", 4;
    /// A group comes into the configuration, with LUNs of its own.
    AddGroup = "add_group", 8;
    /// A group is to go: it is taken offline, and out of the configuration.
    RemoveGroup = "remove_group", 6;
    /// Another configuration comes in place of the one in force, and is taken back.
    Configure = "configure", 16;
    /// A node is added, and started.
    AddNode = "add_node", 10;
    /// A node is drained, and evicted later.
    EvictNode = "evict_node", 10;
}

/// From this on a kind is drawn only where it is asked for, as for a cluster with rules.
const FIRST_OF_RULED: FaultKind = FaultKind::Policy;
/// From this on only where configurations are to change.
const FIRST_OF_CONFIGURED: FaultKind = FaultKind::AddGroup;

/// From this on a kind is drawn only where nodes are to come and go.
const FIRST_OF_MEMBERS: FaultKind = FaultKind::AddNode;

const fn before(first: FaultKind) -> [u16; COUNT] {
    let mut weights = WEIGHTS;
    let mut at = first as usize;
    while at < COUNT {
        weights[at] = 0;
        at += 1;
    }
    weights
}

const fn configured() -> [u16; COUNT] {
    let mut weights = before(FIRST_OF_RULED);
    let mut at = FIRST_OF_CONFIGURED as usize;
    while at < FIRST_OF_MEMBERS as usize {
        weights[at] = WEIGHTS[at];
        at += 1;
    }
    weights
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FaultKind {
    /// Whether it is about the witness: drawn only where one votes.
    pub fn is_of_witness(self) -> bool {
        use FaultKind::*;
        matches!(self, WitnessPath | WitnessOff | WitnessSlow | WitnessLoses | WitnessUnmounted)
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How often each kind is drawn, in relation to the others; 0: never. Each seed draws its own subset of the kinds
/// that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    weights: [u16; COUNT],
}

impl Faults {
    /// Everything may happen, but for what people do with policies and with their own hands.
    pub const ALL: Self = Self { weights: before(FIRST_OF_RULED) };

    /// That may happen too.
    pub const RULED: Self = Self { weights: before(FIRST_OF_CONFIGURED) };

    /// All of it may happen but what people do with their own hands; and configurations change.
    pub const CONFIGURED: Self = Self { weights: configured() };

    /// Nothing happens by itself.
    pub const NONE: Self = Self { weights: [0; COUNT] };

    /// These kinds alone, each as often as usual in relation to the others.
    pub fn only(kinds: &[FaultKind]) -> Self {
        kinds.iter().fold(Self::NONE, |faults, &kind| faults.with(kind, WEIGHTS[kind as usize]))
    }

    /// The same but for one kind.
    #[must_use]
    pub fn with(mut self, kind: FaultKind, weight: u16) -> Self {
        self.weights[kind as usize] = weight;
        self
    }

    /// How often a kind is drawn.
    pub fn weight(&self, kind: FaultKind) -> u16 {
        self.weights[kind as usize]
    }

    /// The kinds that may happen.
    pub fn kinds(&self) -> impl Iterator<Item = FaultKind> + '_ {
        FaultKind::ALL.into_iter().filter(|&kind| self.weight(kind) > 0)
    }

    /// Seeds turn by turn through all faults, and those of processes and disks, of networks, of storage, of guests and
    /// hosts: what has few kinds to draw from brings them together more often.
    pub fn turn(seed: u64) -> Self {
        match seed % 5 {
            0 => Self::ALL,
            turn => Self::only(kinds_of(turn)),
        }
    }
}

/// The kinds of a turn.
fn kinds_of(turn: u64) -> &'static [FaultKind] {
    use FaultKind::*;
    match turn {
        1 => &[
            Crash,
            CrashMidway,
            PowerLoss,
            Blackout,
            TornWrite,
            Wipe,
            BitRot,
            DiskFull,
            DiskSlow,
            Command,
            WitnessPath,
            WitnessLoses,
        ],
        2 => &[
            PauseEngine,
            PauseProcess,
            CutNode,
            CutOneWay,
            CutNetwork,
            Split,
            PartialMesh,
            Ring,
            Bridge,
            StreamReset,
            Loss,
            Command,
            WitnessPath,
            WitnessOff,
            WitnessLoses,
            WitnessUnmounted,
        ],
        3 => &[
            Crash,
            PowerLoss,
            PauseProcess,
            CutNode,
            LunPath,
            LunSlow,
            LunLost,
            LunReset,
            TargetPower,
            ReservationLoss,
            Stranger,
            Command,
            WitnessPath,
            WitnessSlow,
            WitnessOff,
            WitnessUnmounted,
        ],
        _ => &[
            Crash,
            PauseProcess,
            CutNode,
            GuestDies,
            StartFails,
            KillFails,
            GuestHangs,
            HostLate,
            HostNever,
            HostTwice,
            Command,
            Leave,
        ],
    }
}
