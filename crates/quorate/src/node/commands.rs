//! Commands for whole nodes, for the whole cluster, and for groups that are looked at by hand.

use std::time::Duration;

use quorate_core::message::Command;

use super::Node;
use crate::Error;
use crate::config::Amounts;
use crate::item::Ticket;

pub use quorate_core::change::{Disarm, Failback};

/// How long the end of a maintenance waits for the coordinator's answer.
const RESUME_WAIT: Duration = Duration::from_secs(10);

impl Node {
    /// Moves a group as [`Node::move_group`] does, but stops it here and starts it afresh there, though it could be
    /// handed over as it runs.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn restart_group(&self, group: &str, to: Option<&str>) -> Result<Ticket, Error> {
        let to = to.map(str::to_owned);
        self.inner.command(Command::Move { group: group.to_owned(), to, restart: true })
    }

    /// Takes a group offline, and leaves it with its node whatever becomes of that.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn disable(&self, group: &str) -> Result<Ticket, Error> {
        self.inner.command(Command::Disable { group: group.to_owned() })
    }

    /// Leaves a group alone, running or not, until [`Node::manage`], or until it is commanded to be online or offline.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn unmanage(&self, group: &str) -> Result<Ticket, Error> {
        self.inner.command(Command::Unmanage { group: group.to_owned() })
    }

    /// Looks after a group again, as it is found; it is to be online.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn manage(&self, group: &str) -> Result<Ticket, Error> {
        self.online(group)
    }

    /// Moves everything off a node, stops there what nowhere else can run, and lets nothing start there.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn empty(&self, node: &str) -> Result<Ticket, Error> {
        self.inner.command(Command::Empty { node: node.to_owned() })
    }

    /// Ends a pause, a drain or a quarantine, and says what returns to the node.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn resume_with(&self, node: &str, failback: Failback) -> Result<Ticket, Error> {
        self.inner.command(Command::Resume { node: node.to_owned(), failback })
    }

    /// Ends a pause or a drain of a node, and brings back what was drained; a quarantine goes on.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn end_drain(&self, node: &str) -> Result<Ticket, Error> {
        self.inner.command(Command::EndDrain { node: node.to_owned() })
    }

    /// Drains a node until the guard is dropped; then it is as it was before: it may run groups again, and what was
    /// drained returns; or it is paused or drained, if somebody had wanted that. A quarantine goes on. Waits for at
    /// most `timeout` until nothing is left on it.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Busy`], or [`Error::TimedOut`]: the node is as it was before then.
    pub fn maintenance(&self, node: &str, timeout: Duration) -> Result<Maintenance<'_>, Error> {
        let status = self.status()?;
        let found = status.node(node);
        let before = match found {
            Some(one) if one.draining => Before::Drained,
            Some(one) if one.paused => Before::Paused,
            Some(_) | None => Before::Open,
        };
        let guard = Maintenance { by: self, node: node.to_owned(), before };
        if before != Before::Drained {
            let ticket = self.drain(node)?;
            self.command_wait(ticket, timeout)?;
        }
        self.wait_until(timeout, |status| {
            let is_drained = status.node(node).is_some_and(|one| one.draining);
            is_drained && !status.groups.iter().any(|group| group.owner.as_deref() == Some(node))
        })?;
        Ok(guard)
    }

    /// Starts, stops and moves nothing until [`Node::arm`], or until `ttl` is over. Nodes are still fenced.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn disarm(&self, mode: Disarm, ttl: Option<Duration>) -> Result<Ticket, Error> {
        self.inner.command(Command::Disarm { mode, ttl })
    }

    /// Manages everything again, as it is found.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn arm(&self) -> Result<Ticket, Error> {
        self.inner.command(Command::Arm)
    }

    /// Lets no group move by itself for the sake of a rule or a preference; or, with `false`, lets them again.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn hold_moves(&self, held: bool) -> Result<Ticket, Error> {
        self.inner.command(Command::HoldMoves { held })
    }

    /// Lets a node coordinate no more, until its next boot; or, with `true`, lets it again.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn let_coordinate(&self, node: &str, may: bool) -> Result<Ticket, Error> {
        self.inner.command(Command::LetCoordinate { node: node.to_owned(), may })
    }

    /// Fences a node, though it is heard: it gets nothing more, and what it runs starts elsewhere once it is proven
    /// harmless. `reason` says who wants it, and why; the recording keeps it.
    ///
    /// # Errors
    /// [`Error::Misuse`] without a reason, or [`Error::Busy`].
    pub fn fence(&self, node: &str, reason: &str) -> Result<Ticket, Error> {
        if reason.trim().is_empty() {
            let text = "a fence needs a reason: say who wants it, and why";
            return Err(Error::Misuse(text.to_owned()));
        }
        let (node, reason) = (node.to_owned(), reason.to_owned());
        self.inner.command(Command::Fence { node, reason })
    }

    /// Says how often a group has failed on a node, in place of what was counted.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn count_failures(&self, group: &str, node: &str, count: u32) -> Result<Ticket, Error> {
        let (group, node) = (group.to_owned(), node.to_owned());
        self.inner.command(Command::CountFailures { group, node, count })
    }

    /// Forgets that a group has failed on a node: it may run there again.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn clean_up(&self, group: &str, node: &str) -> Result<Ticket, Error> {
        self.count_failures(group, node, 0)
    }

    /// Reports how much a group loads its node, as measured: placement uses it in place of what is configured.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn report_load(&self, group: &str, load: Amounts) -> Result<Ticket, Error> {
        self.inner.command(Command::Load { group: group.to_owned(), load })
    }
}

/// How a node was before its maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Open,
    Paused,
    Drained,
}

/// A node that is drained as long as this lives. Dropped, it is as it was before, also when the program unwinds.
#[derive(Debug)]
pub struct Maintenance<'a> {
    by: &'a Node,
    node: String,
    before: Before,
}

impl Maintenance<'_> {
    /// The node.
    pub fn node(&self) -> &str {
        &self.node
    }
}

impl Drop for Maintenance<'_> {
    fn drop(&mut self) {
        let resumed = match self.before {
            Before::Open => self.by.end_drain(&self.node),
            Before::Paused => self.by.pause(&self.node),
            Before::Drained => return,
        };
        let resumed = resumed.and_then(|ticket| self.by.command_wait(ticket, RESUME_WAIT));
        if let Err(error) = resumed {
            tracing::warn!(node = self.node, %error, "the end of a maintenance was not heard: resume it by hand");
        }
    }
}
