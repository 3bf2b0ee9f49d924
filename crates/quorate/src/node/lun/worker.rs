//! The verbs of one LUN, one after the other, on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use quorate_core::action::LunVerb;
use quorate_core::event::LunReply;
use quorate_core::id::{NodeId, ReservationKey};
use quorate_storage::{LunError, ReservationKey as Key, Strength, read_beat};

use super::attach::Attachment;
use super::open::{Handle, Place, handle};
use super::{Job, Shared};

/// Carries out verbs.
pub(super) struct Worker {
    shared: Arc<Shared>,
    attachment: Option<Attachment>,
    /// What the device would say if it were asked; see the feature `test-switches`.
    pretended: Option<(Option<ReservationKey>, Option<ReservationKey>)>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let pretended = shared.spec.ignore_reservations.then_some((None, None));
        Self { shared, attachment: None, pretended }
    }

    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        self.look();
        loop {
            match queue.recv_timeout(self.shared.spec.io_bound) {
                Ok(job) => {
                    let result = self.carry_out(job.verb);
                    if result.is_ok() {
                        self.shared.is_well();
                    }
                    self.shared.answer(job.op, result);
                }
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // The node ends: the attachment first, then the session.
        self.attachment = None;
        let handle = self.shared.handle.lock().take();
        drop(handle);
    }

    /// Opens what is not open, so that it is known whether it is reached before it is needed.
    fn look(&self) {
        if self.shared.spec.is_watched
            && let Err(error) = handle(&self.shared)
        {
            self.shared.tell_trouble(&error);
        }
    }

    fn carry_out(&mut self, verb: LunVerb) -> Result<LunReply, LunError> {
        if let LunVerb::Detach = verb {
            return self.detach();
        }
        let open = handle(&self.shared)?;
        if let LunVerb::Attach { epoch, incarnation } = verb {
            self.attachment = None;
            self.attachment = Some(Attachment::new(&self.shared, &open, epoch, incarnation)?);
            return Ok(LunReply::Done);
        }
        match self.pretended {
            Some(_) => Ok(self.pretend(verb)),
            None => self.ask(&open, verb),
        }
    }

    fn detach(&mut self) -> Result<LunReply, LunError> {
        if let (Some(attachment), Ok(open)) = (&mut self.attachment, handle(&self.shared)) {
            // Nobody refuses a beat that is late there.
            if open.lun.capabilities().strength == Strength::Cooperative {
                attachment.end()?;
            }
            if let key @ 1.. = self.shared.key() {
                let _ = open.lun.give_back(Key(key));
            }
        }
        self.attachment = None;
        Ok(LunReply::Done)
    }

    fn ask(&self, open: &Handle, verb: LunVerb) -> Result<LunReply, LunError> {
        let lun = &open.lun;
        match verb {
            LunVerb::Register(key) => {
                lun.register(Key(key.0))?;
                self.shared.key.store(key.0, Ordering::Release);
            }
            LunVerb::Reserve(key) => lun.reserve(Key(key.0))?,
            LunVerb::Preempt { own, victim } => lun.preempt_and_abort(Key(own.0), Key(victim.0))?,
            LunVerb::ReadKeys => {
                let found = lun.read_keys()?;
                return Ok(LunReply::Keys {
                    keys: found.keys.iter().map(|key| ReservationKey(key.0)).collect(),
                    holder: found.holder.map(|(key, _)| ReservationKey(key.0)),
                });
            }
            LunVerb::ReadBeat(node) => return beat_of(open, node),
            LunVerb::Attach { .. } | LunVerb::Detach => {}
        }
        Ok(LunReply::Done)
    }

    /// Answers as if the device had agreed, and leaves it alone: with this a test shows that it
    /// would see two writers.
    fn pretend(&mut self, verb: LunVerb) -> LunReply {
        let (registered, holder) = self.pretended.take().unwrap_or_default();
        let next = match verb {
            LunVerb::Register(key) => (Some(key), holder),
            LunVerb::Reserve(key) => (registered, Some(key)),
            LunVerb::Preempt { own, .. } => (Some(own), Some(own)),
            LunVerb::ReadKeys | LunVerb::ReadBeat(_) | LunVerb::Attach { .. } | LunVerb::Detach => {
                (registered, holder)
            }
        };
        self.pretended = Some(next);
        match verb {
            LunVerb::ReadKeys => {
                LunReply::Keys { keys: next.0.into_iter().collect(), holder: next.1 }
            }
            _ => LunReply::Done,
        }
    }
}

/// Reads others' beats, apart from the verbs: a suspect is looked at without delay.
pub(super) fn read_beats(shared: &Arc<Shared>, queue: &Receiver<Job>) {
    for job in queue {
        let LunVerb::ReadBeat(node) = job.verb else { continue };
        let result = handle(shared).and_then(|open| beat_of(&open, node));
        shared.answer(job.op, result);
    }
}

fn beat_of(open: &Handle, node: NodeId) -> Result<LunReply, LunError> {
    let found = match &open.place {
        Place::Tail(layout) => read_beat(&*open.lun, layout.beat_offset(0)?)?,
        Place::Directory(beats) => beats.read(u64::from(node.0))?,
    };
    // On a device the beat is the owner's, whoever that is.
    let beat = found.filter(|beat| beat.node == u64::from(node.0));
    Ok(LunReply::Beat { counter: beat.map(|beat| beat.counter) })
}
