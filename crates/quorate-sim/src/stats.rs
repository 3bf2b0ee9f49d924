//! What a run is counted by: enough to see that the seeds do not all miss the point.

use std::ops::AddAssign;

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counts of one run, or of many.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Stats { $($(#[$doc])* pub $name: u64),* }

        impl AddAssign<&Stats> for Stats {
            fn add_assign(&mut self, other: &Stats) { $(self.$name += other.$name;)* }
        }

        impl Stats {
            /// Every count with its name.
            pub fn table(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

stats! {
    /// Events given to engines.
    steps,
    /// Actions carried out.
    actions,
    /// Processes that died.
    deaths,
    /// Hosts that lost power.
    power_losses,
    /// Hosts reset by their watchdog.
    watchdog_resets,
    /// Processes paused.
    pauses,
    /// Links cut.
    cuts,
    /// Streams that broke.
    broken_streams,
    /// Disks replaced.
    wipes,
    /// Writes torn by a loss of power.
    torn_writes,
    /// Logs refused at a start because they were damaged.
    refused_logs,
    /// Datagrams and messages that no authentication would let pass.
    corrupted,
    /// Steps and jumps of clocks.
    clock_steps,
    /// Unit attentions told to nodes.
    attentions,
    /// Kills that failed.
    failed_kills,
    /// Answers of hosts that were never given.
    lost_answers,
    /// Writes of logs that failed.
    failed_writes,
    /// Ownerships given because a node was down.
    failovers,
    /// Ownerships given for other reasons.
    assignments,
    /// Guests that began to run.
    guests_begun,
    /// Guests that went on from a saved state.
    resumes,
    /// Guests that ended.
    guests_ended,
    /// Writes taken by LUNs.
    writes_taken,
    /// Writes refused by LUNs.
    writes_refused,
    /// Reservations taken from another.
    preempts,
    /// LUN requests that were not answered in time.
    lun_timeouts,
    /// Sessions to LUNs lost under a guest.
    luns_lost,
    /// Requests to the witness.
    witness_requests,
    /// Those that failed or were never answered.
    witness_failures,
    /// Swaps that found the witness changed.
    witness_races,
    /// Requests to fence agents.
    agent_requests,
    /// Hosts that they have cut off.
    agent_fences,
    /// Leases lost.
    leases_lost,
    /// Nodes declared down.
    downs,
    /// Nodes added.
    nodes_added,
    /// Nodes evicted.
    nodes_evicted,
    /// Changes of who votes.
    votes_changed,
    /// Commands of hosts accepted.
    commands_accepted,
    /// Commands refused.
    commands_refused,
}
