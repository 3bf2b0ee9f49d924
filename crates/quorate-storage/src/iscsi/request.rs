//! What a caller hands to the worker, and where.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::session::{Command, Transfer};
use crate::scsi::{self, Failure, ReserveOut};
use crate::standing::Effect;
use crate::{EventQueue, ReservationKey};

/// How a command may be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Harmless on any nexus.
    Query,
    /// Changes bytes: needs the registration.
    Write,
    /// Changes reservations: never sent twice on different nexus. Resets, too.
    Reserve,
}

/// A command on its way, with the one who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) what: &'static str,
    pub(super) command: Option<Command>,
    pub(super) class: Class,
    pub(super) effect: Effect,
    pub(super) deadline: Instant,
    /// `None`: the worker's own question whether the device still knows this nexus.
    pub(super) reply: Option<Sender<Result<Command, Failure>>>,
    pub(super) attentions: u8,
    pub(super) not_before: Option<Instant>,
    /// When it is sent once more though it is under way: a reset alone, which may be done twice.
    pub(super) resend_at: Option<Instant>,
    /// How often this handle had registered when the command was sent.
    pub(super) era: u64,
}

/// What the callers and the worker share.
pub(super) struct Shared {
    pub(super) inbox: Mutex<Inbox>,
    pub(super) wake: OwnedFd,
    pub(super) events: Arc<EventQueue>,
    /// This nexus may be registered though it is not known whether it still has the right to be: it was about to take
    /// its registration back.
    pub(super) is_in_doubt: AtomicBool,
}

#[derive(Default)]
pub(super) struct Inbox {
    pub(super) requests: VecDeque<Request>,
    pub(super) stop: bool,
}

impl Request {
    /// Whether this nexus is still registered: our own key over our own key, which only a registrant may.
    pub(super) fn question(key: ReservationKey, timeout: Duration) -> Self {
        let list = scsi::reserve_out_parameters(key.0, key.0, false);
        let cdb = scsi::reserve_out(ReserveOut::Register);
        Self {
            what: "the question whether this nexus is still registered",
            command: Some(Command::Scsi(cdb, Transfer::Out(list))),
            class: Class::Reserve,
            effect: Effect::None,
            deadline: Instant::now() + timeout,
            reply: None,
            attentions: 0,
            not_before: None,
            resend_at: None,
            era: 0,
        }
    }

    /// The one who asked may have given up; then nobody listens.
    pub(super) fn answer(self, result: Result<Command, Failure>) {
        if let Some(reply) = self.reply {
            let _ = reply.send(result);
        }
    }
}
