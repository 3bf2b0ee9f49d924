//! A node's session to a LUN: its commands reach the device one after another, late, or never.

use std::collections::VecDeque;

use quorate_core::action::LunVerb;
use quorate_core::id::{Epoch, Incarnation, OpId, ResourceId};

use crate::clock::Moment;

/// What goes over a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// A request of the engine.
    Verb(OpId, LunVerb),
    /// A guest writes its next record.
    Write {
        /// The resource.
        resource: ResourceId,
        /// Which of its guests.
        guest: u64,
        /// The epoch in which it was started.
        epoch: Epoch,
        /// The record.
        value: u64,
    },
    /// A guest reads the newest record.
    Read {
        /// The resource.
        resource: ResourceId,
        /// Which of its guests.
        guest: u64,
    },
    /// The node's heartbeat.
    Beat,
}

impl Body {
    /// Whether this guest waits for it.
    pub fn is_of_guest(&self, serial: u64) -> bool {
        match self {
            Body::Write { guest, .. } | Body::Read { guest, .. } => *guest == serial,
            Body::Verb(..) | Body::Beat => false,
        }
    }
}

/// A command on its way.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its number on this session.
    pub serial: u64,
    /// The life of the process that sent it.
    pub life: u64,
    /// When it was sent.
    pub sent: Moment,
    /// When it reaches the device, if the way is open.
    pub arrives: Moment,
    /// What it says.
    pub body: Body,
}

/// The LUN is open to the resources of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Since which epoch.
    pub epoch: Epoch,
    /// For which incarnation.
    pub incarnation: Incarnation,
    /// Which attachment of this session.
    pub serial: u64,
    /// The life of the process that holds it.
    pub life: u64,
}

/// A session.
#[derive(Debug, Default)]
pub struct Nexus {
    /// Whether the LUN is open to the resources of this node.
    pub attached: Option<Attached>,
    /// When the newest answer comes back.
    pub last_answer: Moment,
    queue: VecDeque<Command>,
    last_arrival: Moment,
    serial: u64,
    cuts: u32,
    /// Whether somebody looks in time whether a guest's command is too late.
    pub is_watched: bool,
    /// When the node's next heartbeat here is due: what was planned for another moment is void.
    pub next_beat: Moment,
    /// Commands take long here.
    pub slow: u32,
    /// Commands get lost here, or their answers do.
    pub losing: u32,
}

impl Nexus {
    /// A number never given before on this session.
    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Puts a command on its way. What an earlier life of the process left there is dropped: a session that is
    /// taken up again begins empty.
    pub fn send(&mut self, life: u64, body: Body, sent: Moment, arrives: Moment) -> Command {
        self.queue.retain(|command| command.life == life);
        self.last_arrival = self.last_arrival.max(arrives);
        let command =
            Command { serial: self.next_serial(), life, sent, arrives: self.last_arrival, body };
        self.queue.push_back(command);
        command
    }

    /// Takes the oldest command if it has arrived.
    pub fn arrived(&mut self, now: Moment) -> Option<Command> {
        if self.is_cut() || self.queue.front()?.arrives > now {
            return None;
        }
        self.queue.pop_front()
    }

    /// Whatever is on its way arrives at `at` or later.
    pub fn delay(&mut self, at: Moment) {
        self.queue.iter_mut().for_each(|command| command.arrives = command.arrives.max(at));
        self.last_arrival = self.last_arrival.max(at);
    }

    /// Puts a command back in front of those on their way: it will be sent again.
    pub fn put_back(&mut self, command: Command) {
        self.last_arrival = self.last_arrival.max(command.arrives);
        self.queue.push_front(command);
    }

    /// Whether such a command is still on its way.
    pub fn has(&self, such: impl Fn(&Command) -> bool) -> bool {
        self.queue.iter().any(such)
    }

    /// When the oldest command of a guest was sent that is still on its way.
    pub fn oldest_of_guests(&self) -> Option<Moment> {
        let guests = |body: &Body| matches!(body, Body::Write { .. } | Body::Read { .. });
        let waiting = self.queue.iter().filter(|command| guests(&command.body));
        waiting.map(|command| command.sent).min()
    }

    /// Drops the commands for which `gone` says so.
    pub fn drop_commands(&mut self, gone: impl Fn(&Command) -> bool) {
        self.queue.retain(|command| !gone(command));
    }

    /// Whether nothing reaches the device.
    pub fn is_cut(&self) -> bool {
        self.cuts > 0
    }

    /// Lays one more cut on the way.
    pub fn cut(&mut self) {
        self.cuts += 1;
    }

    /// Takes one cut off.
    pub fn mend(&mut self) {
        self.cuts = self.cuts.saturating_sub(1);
    }
}
