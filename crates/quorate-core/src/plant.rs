//! Mistakes made on purpose, one at a time, so that the simulator's checkers can be seen to find them.
//!
//! Without the feature `plants` none can be made: [`is`] is a constant, and what stands behind it is not compiled in.
//! No build of a node has the feature; the crate `quorate` refuses to compile with it.

macro_rules! plants {
    ($($name:ident: $what:literal,)*) => {
        /// A classic mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Plant { $(#[doc = $what] $name),* }

        impl Plant {
            /// Every mistake.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What is wrong with it, for people.
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what),* }
            }
        }
    };
}

plants! {
    AcknowledgeBeforeSync: "A voter promises before its disk has the promise.",
    SyncErrorIgnored: "A write that failed counts as done.",
    VoteForgotten: "A voter forgets at a restart for whom it voted, and votes twice.",
    ElectorateForgotten: "A restarted node goes by those who voted as of its snapshot.",
    EpochForgotten: "A voter forgets its epoch at a restart.",
    LogTailForgotten: "A voter forgets the newest entry of its log at a restart.",
    RewriteDropsVote: "A rewritten log lacks the vote.",
    RewriteDropsEntries: "A rewritten log lacks the entries after the snapshot.",
    IdentityReused: "A node that has lost its disk comes back under its old identity.",
    FoundedByMajority: "A cluster is founded though a voter has not been heard.",
    ActsBeforeCommit: "The coordinator acts on what it has only proposed.",
    QuorumOffByOne: "Half of the votes are a majority.",
    LeaseFromReceipt: "A lease counts from the receipt of an acknowledgement.",
    LeaseOfOne: "One acknowledgement is enough for a lease.",
    LeaseWithoutStopTime: "A lease leaves no time to stop.",
    NoSelfStop: "Nothing stops when the lease is over.",
    GraceForAll: "What only time protects runs on for the grace of what LUNs protect.",
    GraceNeverEnds: "What LUNs protect is never stopped without a lease.",
    StartWithoutLease: "A group starts on a node that may not act.",
    FenceOnBelief: "A node that is believed down counts as fenced at once.",
    FenceByStaleWord: "What voters said before they knew that a node is down is proof; of a second time, any word is.",
    FenceByMinority: "One word is proof enough.",
    AcknowledgesTheDown: "Whoever is heard is acknowledged, also one that is down and said to be withheld.",
    StartBeforeFence: "A group whose owner is down gets another one, though nothing has fenced the first.",
    StuckCountsAsFenced: "What could not be ended is free for another owner, at once or when the lease is over.",
    LocksNotAwaited: "A group starts before its LUNs are held.",
    ReserveForgotten: "A LUN is registered on, and never reserved.",
    OthersStayRegistered: "Old registrations stay when a LUN is taken.",
    OtherPartPreempted: "Who takes a part of a LUN takes it from the owners of the other parts too.",
    HolderNotPreempted: "A LUN that another holds counts as held, since we are registered.",
    LaterOwnerPreempted: "An old owner takes a LUN back from a later one that has preempted it.",
    KeyReused: "Every node has the same reservation key for ever.",
    KeyWithoutEpoch: "A reservation key does not name its epoch.",
    DetachNotAwaited: "A LUN counts as given back before the answer.",
    StoppingCountsAsStopped: "A group is vacated while its last resource is being killed.",
    KillNotAwaited: "A killed resource counts as ended at once.",
    FailedKillCountsAsDone: "A kill that failed, or was not answered, counts as done.",
    StaleAnswerTaken: "An answer to an earlier request is taken for the one that is awaited.",
    RunsBeforeConsumed: "A saved state runs before it is committed that nobody else may use it.",
    SaveStaysUsable: "A saved state that was consumed stays usable.",
    ReadmittedWithoutStopping: "A node that was declared down comes back without stopping anything.",
    SameIncarnationReadmitted: "A node is admitted again as what was declared down: `>=` for `>`.",
    EpochNotRaised: "A new owner gets the epoch of the old one.",
    StaleReportTaken: "A report about an earlier epoch is taken for one about this.",
    LunLossIgnored: "A group runs on, for its coordinator, though its LUN has refused it.",
    ReportSaidOnce: "An owner says how its group is once, and not again when that was lost.",
    SuspectIsDown: "A suspect is declared down.",
    OthersNotAsked: "A node that one cannot hear is declared down, though others hear it.",
    ResetIsDeath: "A connection that was closed is taken for a death at once.",
    LatenessIgnored: "Whoever was late itself declares the others down.",
    PeerDownStopsAll: "When a node goes down, the others stop what they run.",
    BetterPlaceTaken: "A group moves whenever a better place is free, though it must not fail back.",
    CauseLost: "Every new owner is told to be a first start.",
    HistoryLost: "Nobody remembers why a group moved.",
    OwnersIgnored: "A group is placed where it may never run.",
    ApartIgnored: "Groups that must be apart are placed as if nobody had said so.",
    RoomIgnored: "A node is given more than it has room for.",
    OrderIgnored: "A group starts before what must run before it.",
    TogetherIgnored: "Groups that must be together are placed as if nobody had said so.",
    NearIgnored: "A group that must be where another is starts anywhere.",
    LimitsIgnored: "More groups fail over, and start on one node, at once than may.",
    LossesIgnored: "Groups of a lost node start elsewhere though more nodes are lost than may be.",
    AlikeIgnored: "A group is tried again at once though too many of its kind have failed.",
    EverywhereIgnored: "A group that has failed on every node does not rest before it is tried again.",
    BanIgnored: "A group is placed on a node where it has failed too often.",
    ThresholdIgnored: "A group that has failed too often is tried again at once.",
    QuarantineIgnored: "A node in quarantine is given groups.",
    BackAndForth: "A group that may fail back never rests.",
    WitnessAnswersFromMemory: "The witness is answered for as it was when it was seen last, and nothing is written.",
    WitnessVoteBeforeSwap: "What the witness says counts before it stands in its register.",
    WitnessLeaseOfOldTerm: "The witness acknowledges a coordinator though it follows a later one.",
    WitnessWordTooEarly: "The witness's word about a node is as old as the coordinator's own.",
    WitnessMadeAnew: "An empty register is made anew, though the witness has voted.",
    WitnessForOne: "The witness speaks only where the coordinator needs it for itself, whoever else does.",
    FailedAgentCountsAsDone: "A fence agent that failed counts as having ended its node.",
    OneAgentIsEnough: "Of agents that have to cut a node off together, one is enough.",
    AgentNotAwaited: "What takes an agent's word is free when the lease is over.",
    DisarmIgnored: "A disarmed cluster goes on placing groups.",
    VoteBeforeCaughtUp: "A node that is added counts as a voter before its log follows.",
    EvictedStillVotes: "A node that was evicted keeps its vote in consensus.",
}

/// Whether mistakes can be made in this build at all.
pub const IS_POSSIBLE: bool = cfg!(feature = "plants");

#[cfg(not(feature = "plants"))]
mod soil {
    use crate::plant::Plant;

    /// Whether this mistake is made: never.
    #[inline(always)]
    pub const fn is(_: Plant) -> bool {
        false
    }
}

#[cfg(feature = "plants")]
mod soil {
    use std::cell::Cell;

    use crate::plant::Plant;

    std::thread_local! {
        static SOWN: Cell<Option<Plant>> = const { Cell::new(None) };
    }

    /// Whether this mistake is made.
    pub fn is(plant: Plant) -> bool {
        SOWN.get() == Some(plant)
    }

    /// Lets engines of this thread make a mistake, until the guard is dropped.
    #[must_use]
    pub fn sow(plant: Option<Plant>) -> Sown {
        SOWN.set(plant);
        Sown(())
    }

    /// While it lives, the mistake is made.
    #[derive(Debug)]
    pub struct Sown(());

    impl Drop for Sown {
        fn drop(&mut self) {
            SOWN.set(None);
        }
    }
}

pub use soil::*;
