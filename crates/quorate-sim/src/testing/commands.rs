//! What a test asks of the cluster itself.

use std::time::Duration;

use quorate_core::change::{Disarm, Failback};
use quorate_core::config::{Amounts, NewConfig};
use quorate_core::id::NodeId;

use super::{Cluster, Command, Error};

/// How long an answer may take, in virtual time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

impl Cluster {
    /// Gives a command to a node that runs, and lets time pass until it is answered. That it is accepted does not say
    /// that it is carried out.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::NobodyRuns`], [`Error::TimedOut`] or [`Error::Violation`].
    pub fn command(&mut self, command: Command) -> Result<(), Error> {
        self.check()?;
        let hears = |node: &NodeId| self.world.host_of(*node).is_awake();
        let all = || self.config().nodes().iter().map(|node| node.id).filter(hears);
        let may_act = |node: &NodeId| {
            self.world.status_of(*node).is_some_and(|status| status.lease_left_ms.is_some())
        };
        let node = all().find(may_act).or_else(|| all().next()).ok_or(Error::NobodyRuns)?;
        let request = self.world.give_command(node, command).ok_or(Error::NobodyRuns)?;
        let deadline = self.world.now() + ANSWER_TIMEOUT;
        loop {
            if let Some(result) = self.world.answer(request) {
                return result.clone().map_err(Error::Refused);
            }
            if self.world.now() >= deadline {
                return Err(self.timed_out("the answer", ANSWER_TIMEOUT));
            }
            self.advance(deadline.min(self.world.now() + super::LOOK_INTERVAL))?;
        }
    }

    /// Moves a group; without `to` placement chooses.
    ///
    /// # Errors
    /// As [`Cluster::command`], as for all of these.
    pub fn move_group(&mut self, group: &str, to: Option<&str>) -> Result<(), Error> {
        let to = to.map(str::to_owned);
        self.command(Command::Move { group: group.to_owned(), to, restart: false })
    }

    /// Brings a group online.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn online(&mut self, group: &str) -> Result<(), Error> {
        self.command(Command::Online { group: group.to_owned() })
    }

    /// Takes a group offline, and keeps it there.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn offline(&mut self, group: &str) -> Result<(), Error> {
        self.command(Command::Offline { group: group.to_owned() })
    }

    /// Moves everything off a node, and lets nothing start there.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn drain(&mut self, node: &str) -> Result<(), Error> {
        self.command(Command::Drain { node: node.to_owned() })
    }

    /// Adds a node, on one more host that is started at once, with or without a vote. That it takes part, and then
    /// votes, takes its time: see [`Cluster::settle`].
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn add_node(&mut self, node: &str, votes: bool) -> Result<(), Error> {
        let new = self.world.put_up(node, votes);
        self.command(Command::AddNode(Box::new(new.clone())))?;
        self.world.start_added(new);
        Ok(())
    }

    /// Takes a node out of the cluster for ever. Its vote goes first, then its place, then its host ends.
    ///
    /// # Errors
    /// [`Error::Refused`] where it still has a group, among others; else as [`Cluster::command`].
    pub fn evict_node(&mut self, node: &str) -> Result<(), Error> {
        self.command(Command::EvictNode { node: node.to_owned() })
    }

    /// Lets nothing new start on a node; what runs there stays.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn pause_node(&mut self, node: &str) -> Result<(), Error> {
        self.command(Command::Pause { node: node.to_owned() })
    }

    /// Ends a drain or a pause of a node.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn resume_node(&mut self, node: &str) -> Result<(), Error> {
        self.resume_node_with(node, Failback::ByPolicy)
    }

    /// Ends a pause, a drain or a quarantine, and says what returns to the node.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn resume_node_with(&mut self, node: &str, failback: Failback) -> Result<(), Error> {
        self.command(Command::Resume { node: node.to_owned(), failback })
    }

    /// Ends a pause or a drain of a node, and brings back what was drained; a quarantine goes on.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn end_drain(&mut self, node: &str) -> Result<(), Error> {
        self.command(Command::EndDrain { node: node.to_owned() })
    }

    /// Moves everything off a node, stops there what nowhere else can run, and lets nothing start there.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn empty(&mut self, node: &str) -> Result<(), Error> {
        self.command(Command::Empty { node: node.to_owned() })
    }

    /// Fences a node, though it is heard. `reason` says who wants it, and why.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn fence(&mut self, node: &str, reason: &str) -> Result<(), Error> {
        self.command(Command::Fence { node: node.to_owned(), reason: reason.to_owned() })
    }

    /// Takes a group offline, and leaves it with its node whatever becomes of that.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn disable(&mut self, group: &str) -> Result<(), Error> {
        self.command(Command::Disable { group: group.to_owned() })
    }

    /// Leaves a group alone, running or not, until it is commanded to be online or offline.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn unmanage(&mut self, group: &str) -> Result<(), Error> {
        self.command(Command::Unmanage { group: group.to_owned() })
    }

    /// Starts, stops and moves nothing until [`Cluster::arm`], or until `ttl` is over.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn disarm(&mut self, mode: Disarm, ttl: Option<Duration>) -> Result<(), Error> {
        self.command(Command::Disarm { mode, ttl })
    }

    /// Manages everything again, as it is found.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn arm(&mut self) -> Result<(), Error> {
        self.command(Command::Arm)
    }

    /// Lets no group move by itself for the sake of a rule or a preference; or, with `false`, lets them again.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn hold_moves(&mut self, held: bool) -> Result<(), Error> {
        self.command(Command::HoldMoves { held })
    }

    /// Says how often a group has failed on a node, in place of what was counted.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn count_failures(&mut self, group: &str, node: &str, count: u32) -> Result<(), Error> {
        let (group, node) = (group.to_owned(), node.to_owned());
        self.command(Command::CountFailures { group, node, count })
    }

    /// Reports how much a group loads its node, as measured.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn report_load(&mut self, group: &str, load: Amounts) -> Result<(), Error> {
        self.command(Command::Load { group: group.to_owned(), load })
    }

    /// Brings a configuration into force.
    ///
    /// # Errors
    /// As [`Cluster::command`].
    pub fn configure(&mut self, new: NewConfig) -> Result<(), Error> {
        self.command(Command::Configure(Box::new(new)))
    }

    /// A human's word that a node which is down runs nothing and writes nothing. It must be true: a word that is not
    /// is not given, since what follows would be no fault of quorate.
    ///
    /// # Errors
    /// [`Error::Misuse`] when it is not true, else as [`Cluster::command`].
    pub fn confirm_fenced(&mut self, node: &str, reason: &str) -> Result<(), Error> {
        let host = self.world.host_of(self.node(node)?);
        if host.process.is_some() || host.slots.values().any(|slot| slot.guest.is_some()) {
            return Err(Error::Misuse(format!("{node} still runs: that it is fenced is not true")));
        }
        let (node, reason) = (node.to_owned(), reason.to_owned());
        self.command(Command::ConfirmFenced { node, reason })
    }
}
