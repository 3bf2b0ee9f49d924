//! The thread of one LUN: connects, sends, waits, connects again. Owns the session; nobody else
//! touches libiscsi.
//!
//! It serves its socket when idle, too: a target drops an initiator that does not answer NOP-In.
//!
//! Architecture invariants:
//! - a command of PERSISTENT RESERVE OUT is sent on one nexus at most: if that is lost, it fails;
//! - a write is sent again on another nexus only while its registration stands (`Standing`);
//! - nothing is sent after its deadline. A command that the device has not answered by then ends
//!   the session, so that it cannot be queued behind our back.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::request::{Class, Request, Shared};
use super::session::{Command, Done, FIRST_COMMAND, Session};
use super::url::Url;
use crate::scsi::{Failure, Outcome};
use crate::standing::{Effect, Gate, Standing};
use crate::{LunError, LunEvent};

/// Delay before the first attempt to connect again; doubles up to `BACKOFF_MAX`.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Longest sleep, so that libiscsi is serviced when idle.
const SLEEP_MAX: Duration = Duration::from_millis(500);
/// How soon a command is sent again to a device that was busy.
const BUSY_DELAY: Duration = Duration::from_millis(5);
/// Unit attentions (and aborts for another initiator's sake) taken before the caller hears of one.
/// Several wait for a handle that was idle: one of each kind on LIO, one of each event on tgt.
pub(super) const ATTENTIONS_MAX: u8 = 16;
/// So often in a row a target may send us elsewhere.
const MOVES_MAX: u32 = 4;
/// How long a reset may take before it is sent once more.
const RESET_PATIENCE: Duration = Duration::from_millis(200);

pub(super) struct Worker {
    pub(super) url: Url,
    pub(super) initiator: CString,
    pub(super) isid: u64,
    pub(super) timeout: Duration,
    pub(super) shared: Arc<Shared>,
    pub(super) state: State,
}

/// What changes while the worker runs.
pub(super) struct State {
    link: Link,
    pending: VecDeque<Request>,
    flights: BTreeMap<usize, Request>,
    next_id: usize,
    standing: Standing,
    era: u64,
    backoff: Duration,
    /// Where the target has sent us to, for this login alone, and how often in a row it has.
    moved: (Option<String>, u32),
    was_up: bool,
    /// Why there is no session, if there is none.
    why: LunError,
}

enum Link {
    Down { next: Instant },
    Opening { session: Session, deadline: Instant },
    Up { session: Session, since: Instant, heard: Instant, pinged: Option<Instant> },
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            link: Link::Down { next: Instant::now() },
            pending: VecDeque::new(),
            flights: BTreeMap::new(),
            next_id: FIRST_COMMAND,
            standing: Standing::Never,
            era: 0,
            backoff: BACKOFF_MIN,
            moved: (None, 0),
            was_up: false,
            why: LunError::PathLost { why: "not connected yet".to_owned() },
        }
    }
}

impl Worker {
    pub(super) fn run(mut self) {
        super::session::block_sigpipe();
        loop {
            {
                let mut inbox = self.shared.inbox.lock();
                self.state.pending.append(&mut inbox.requests);
                if inbox.stop {
                    break;
                }
            }
            let now = Instant::now();
            self.expire(now);
            self.keep_link(now);
            self.send(now);
            self.wait();
            self.collect();
        }
        let all = std::mem::take(&mut self.state.flights).into_values();
        for request in all.chain(std::mem::take(&mut self.state.pending)) {
            let why = "the handle was closed".to_owned();
            request.answer(Err(Failure::Error(LunError::PathLost { why })));
        }
    }

    /// Answers what is past its deadline. If the device owes an answer, the session is at its end.
    fn expire(&mut self, now: Instant) {
        let timeout = self.timeout;
        let (late, pending) = std::mem::take(&mut self.state.pending)
            .into_iter()
            .partition::<VecDeque<_>, _>(|request| request.deadline <= now);
        self.state.pending = pending;
        for request in late {
            let error = match (&self.state.link, request.class, self.state.standing.gate()) {
                (Link::Down { .. } | Link::Opening { .. }, _, _) => self.state.why.clone(),
                (Link::Up { .. }, Class::Write, Gate::Wait) => LunError::NotRegistered,
                (Link::Up { .. }, _, _) => {
                    LunError::TimedOut { what: request.what.to_owned(), after: timeout }
                }
            };
            request.answer(Err(Failure::Error(error)));
        }
        if self.state.flights.values().any(|request| request.deadline <= now) {
            let overdue: Vec<usize> = self
                .state
                .flights
                .iter()
                .filter(|(_, r)| r.deadline <= now)
                .map(|(id, _)| *id)
                .collect();
            for id in overdue {
                let Some(request) = self.state.flights.remove(&id) else { continue };
                let what = request.what.to_owned();
                request.answer(Err(Failure::Error(LunError::TimedOut { what, after: timeout })));
            }
            self.lose(LunError::PathLost {
                why: format!("the target did not answer for {timeout:?}"),
            });
        }
        self.reset_again(now);
        self.check_silence(now);
    }

    /// Sends resets once more that have no answer yet. Seen: of two that come to tgt at once, from two sessions, one is
    /// never answered.
    fn reset_again(&mut self, now: Instant) {
        let Link::Up { session, .. } = &mut self.state.link else { return };
        let due = |request: &Request| request.resend_at.is_some_and(|at| at <= now);
        let late = self.state.flights.iter().filter(|(_, one)| due(one)).map(|(id, _)| *id);
        let late: Vec<usize> = late.collect();
        for id in late {
            let next = self.state.next_id;
            self.state.next_id += 1;
            let Ok(()) = session.submit(next, Command::Reset) else { continue };
            // The answer to the first is nobody's any more, should it come.
            if let Some(mut request) = self.state.flights.remove(&id) {
                request.resend_at = Some(now + RESET_PATIENCE);
                self.state.flights.insert(next, request);
            }
        }
    }

    /// Asks an idle target for a sign of life, and gives it up if there is none.
    fn check_silence(&mut self, now: Instant) {
        let timeout = self.timeout;
        let Link::Up { session, heard, pinged, .. } = &mut self.state.link else { return };
        match *pinged {
            Some(at) if *heard >= at => *pinged = None,
            Some(at) if now >= at + timeout => {
                self.lose(LunError::PathLost {
                    why: format!("the target was silent for {timeout:?}"),
                });
            }
            Some(_) => {}
            None if now >= *heard + timeout / 3 => {
                session.ping();
                *pinged = Some(now);
            }
            None => {}
        }
    }

    /// Opens the session when it is time to, and gives up an attempt that takes too long.
    fn keep_link(&mut self, now: Instant) {
        match &self.state.link {
            Link::Down { next } if *next <= now => {
                let portal = self.state.moved.0.take().unwrap_or(self.url.portal.clone());
                let opened =
                    Session::new(&self.initiator, &self.url, self.isid).and_then(|mut session| {
                        session.connect(&portal).map_err(|why| LunError::PathLost { why })?;
                        Ok(session)
                    });
                match opened {
                    Ok(session) => {
                        self.state.link = Link::Opening { session, deadline: now + self.timeout }
                    }
                    Err(error) => self.lose(error),
                }
            }
            Link::Opening { deadline, .. } if *deadline <= now => {
                let why = format!("no connection to {} within {:?}", self.url.portal, self.timeout);
                self.lose(LunError::PathLost { why });
            }
            Link::Down { .. } | Link::Opening { .. } | Link::Up { .. } => {}
        }
    }

    /// Sends what may be sent, in order.
    fn send(&mut self, now: Instant) {
        let state = &mut self.state;
        let gate = state.standing.gate();
        let Link::Up { session, .. } = &mut state.link else {
            if gate == Gate::Refuse {
                refuse_waiting(state);
            }
            return;
        };
        // It cancels what is under way, when it is sent and when it is sent again.
        if state.flights.values().any(|flight| flight.resend_at.is_some()) {
            return;
        }
        let mut kept = VecDeque::new();
        while let Some(mut request) = state.pending.pop_front() {
            let is_reset = matches!(request.command, Some(Command::Reset));
            if is_reset && !state.flights.is_empty() {
                // A reset ends what is under way, libiscsi's own bookkeeping included: let that
                // finish first.
                kept.push_back(request);
                break;
            }
            match (request.class, gate) {
                (Class::Write, Gate::Wait) => kept.push_back(request),
                (Class::Write, Gate::Refuse) => {
                    let error = state.standing.refusal();
                    request.answer(Err(Failure::Error(error)));
                }
                (_, _) if request.not_before.is_some_and(|at| at > now) => kept.push_back(request),
                (_, _) => {
                    let Some(command) = request.command.take() else { continue };
                    let id = state.next_id;
                    state.next_id += 1;
                    request.era = state.era;
                    request.resend_at = is_reset.then_some(now + RESET_PATIENCE);
                    match session.submit(id, command) {
                        Ok(()) => {
                            state.flights.insert(id, request);
                        }
                        Err(command) => {
                            request.command = Some(command);
                            kept.push_back(request);
                            break;
                        }
                    }
                    if is_reset {
                        break;
                    }
                }
            }
        }
        kept.append(&mut state.pending);
        state.pending = kept;
    }

    /// Sleeps until the socket, a caller or a deadline wants something.
    fn wait(&mut self) {
        let sleep = self.sleep(Instant::now());
        let wanted = match &self.state.link {
            Link::Down { .. } => 0,
            Link::Opening { session, .. } | Link::Up { session, .. } => session.wanted(),
        };
        let mut ready = 0_i16;
        {
            let socket = match &self.state.link {
                Link::Down { .. } => None,
                Link::Opening { session, .. } | Link::Up { session, .. } => session.socket(),
            };
            let mut polled = vec![PollFd::new(&self.shared.wake, PollFlags::IN)];
            if let (Some(socket), true) = (&socket, wanted != 0) {
                polled.push(PollFd::new(socket, PollFlags::from_bits_truncate(wanted as u16)));
            }
            if rustix::event::poll(&mut polled, Some(&crate::time::timespec(sleep))).is_ok() {
                ready = polled.get(1).map_or(0, |polled| polled.revents().bits() as i16);
                if !polled[0].revents().is_empty() {
                    // Nothing to read is fine: it is only a bell.
                    let _ = rustix::io::read(&self.shared.wake, &mut [0_u8; 8]);
                }
            }
        }
        let serviced = match &mut self.state.link {
            Link::Down { .. } => Ok(()),
            Link::Opening { session, .. } | Link::Up { session, .. } => session.service(ready),
        };
        if let Err(why) = serviced {
            // A refused login is reported by its own completion, with the better words.
            self.collect();
            if !matches!(self.state.link, Link::Down { .. }) {
                self.lose(LunError::PathLost { why });
            }
        }
    }

    fn sleep(&self, now: Instant) -> Duration {
        let requests = self.state.pending.iter().chain(self.state.flights.values());
        let mut until = now + SLEEP_MAX.min(self.timeout / 3);
        for request in requests {
            until = until.min(request.deadline);
            until = request.resend_at.map_or(until, |at| until.min(at));
            // One whose time has come waits for something else, which rings by itself.
            until = request.not_before.filter(|at| *at > now).map_or(until, |at| until.min(at));
        }
        match &self.state.link {
            Link::Down { next } => until = until.min(*next),
            Link::Opening { deadline, .. } => until = until.min(*deadline),
            Link::Up { .. } => {}
        }
        until.saturating_duration_since(now)
    }

    /// Takes what has ended on the session.
    fn collect(&mut self) {
        let done = match &mut self.state.link {
            Link::Down { .. } => return,
            Link::Opening { session, .. } | Link::Up { session, .. } => session.take_done(),
        };
        let mut lost = Vec::new();
        for done in done {
            match done {
                // A reset that was sent once more: the second has cancelled the first.
                Done::Command { id, .. } if !self.state.flights.contains_key(&id) => {}
                Done::Command { id, outcome: Outcome::Lost, command } => lost.push((id, command)),
                Done::Connected(Ok(())) => {
                    if let Link::Opening { session, .. } = &mut self.state.link
                        && let Err(why) = session.login()
                    {
                        self.lose(LunError::PathLost { why });
                    }
                }
                Done::Connected(Err(why)) => {
                    let why = format!("cannot connect to {}: {why}", self.url.portal);
                    self.lose(LunError::PathLost { why });
                }
                Done::LoggedIn(Ok(())) => self.on_up(),
                Done::LoggedIn(Err(error)) => self.lose(error),
                Done::Moved(portal) => self.follow(portal),
                Done::Pinged => self.on_heard(),
                Done::Command { id, outcome, command } => self.on_done(id, outcome, command),
            }
        }
        if lost.is_empty() {
            return;
        }
        for (id, command) in lost.into_iter().rev() {
            if let Some(request) = self.state.flights.remove(&id) {
                self.put_back(request, command);
            }
        }
        if !matches!(self.state.link, Link::Down { .. }) {
            self.lose(LunError::PathLost { why: "the session ended".to_owned() });
        }
    }

    /// Logs in where the target says, unless it sends us about without end.
    fn follow(&mut self, portal: String) {
        let times = self.state.moved.1 + 1;
        if times > MOVES_MAX {
            let what = format!("the target moves on and on, last to {portal}");
            return self.lose(LunError::Unsupported { what });
        }
        tracing::debug!(lun = ?self.url, portal, "the target has moved");
        self.state.moved = (Some(portal), times);
        self.state.link = Link::Down { next: Instant::now() };
    }

    fn on_heard(&mut self) {
        if let Link::Up { heard, .. } = &mut self.state.link {
            *heard = Instant::now();
        }
    }

    fn on_up(&mut self) {
        self.state.moved = (None, 0);
        let link = std::mem::replace(&mut self.state.link, Link::Down { next: Instant::now() });
        self.state.link = match link {
            Link::Opening { session, .. } => {
                let now = Instant::now();
                Link::Up { session, since: now, heard: now, pinged: None }
            }
            Link::Down { .. } | Link::Up { .. } => link,
        };
        tracing::debug!(lun = ?self.url, "logged in");
        if !std::mem::replace(&mut self.state.was_up, true) {
            return;
        }
        match self.state.standing {
            // A device that knows a nexus by its name still has the registration; one that knows it
            // by its session has not. Registering our own key over our own key tells: it succeeds
            // for a registrant only.
            Standing::Lost(key) if !self.shared.is_in_doubt.load(Ordering::Acquire) => {
                self.state.pending.push_front(Request::question(key, self.timeout));
            }
            Standing::Lost(_)
            | Standing::Never
            | Standing::Registered(_)
            | Standing::Gone { .. } => {
                self.shared.events.push(LunEvent::PathBack { registered: false });
            }
        }
    }

    fn on_done(&mut self, id: usize, outcome: Outcome, command: Command) {
        let Some(mut request) = self.state.flights.remove(&id) else { return };
        match outcome {
            Outcome::Lost => self.put_back(request, command),
            Outcome::Check(sense)
                if sense.is_unit_attention() && request.attentions < ATTENTIONS_MAX =>
            {
                request.attentions += 1;
                self.send_again(request, command, None);
            }
            Outcome::Aborted if request.attentions < ATTENTIONS_MAX => {
                request.attentions += 1;
                self.send_again(request, command, None);
            }
            Outcome::Busy => self.send_again(request, command, Some(Instant::now() + BUSY_DELAY)),
            Outcome::Good => self.on_good(request, command),
            Outcome::Conflict => self.on_conflict(request),
            Outcome::Check(sense) => self.fail(request, Failure::Check(sense)),
            Outcome::Aborted => self.fail(request, Failure::Aborted),
            Outcome::Failed(status) => {
                let error = LunError::device(format!("{}: status {status:#x}", request.what));
                self.fail(request, Failure::Error(error));
            }
        }
        self.on_heard();
    }

    fn send_again(&mut self, mut request: Request, command: Command, not_before: Option<Instant>) {
        request.command = Some(command);
        request.not_before = not_before;
        self.state.pending.push_front(request);
    }

    fn on_good(&mut self, request: Request, command: Command) {
        if request.reply.is_none() {
            self.on_answered(true);
            return;
        }
        let state = &mut self.state;
        let was_waiting = matches!(state.standing, Standing::Lost(_));
        state.standing = state.standing.on_effect(request.effect);
        if request.effect != Effect::None {
            self.shared.is_in_doubt.store(false, Ordering::Release);
        }
        match request.effect {
            // What waits belongs to the former registration.
            Effect::Registered(_) if was_waiting => fail_writes(state, &LunError::NotRegistered),
            Effect::None | Effect::Registered(_) | Effect::Reclaimed(_) | Effect::Unregistered => {}
        }
        if request.effect != Effect::None {
            state.era += 1;
        }
        request.answer(Ok(command));
    }

    fn on_conflict(&mut self, request: Request) {
        if request.reply.is_none() {
            self.on_answered(false);
            return;
        }
        if request.class == Class::Write && request.era == self.state.era {
            self.state.standing = self.state.standing.on_refused();
            self.shared.events.push(LunEvent::ReservationRefused);
        }
        request.answer(Err(Failure::Error(LunError::ReservationConflict)));
    }

    fn fail(&mut self, request: Request, failure: Failure) {
        if request.reply.is_none() {
            self.on_answered(false);
            return;
        }
        request.answer(Err(failure));
    }

    /// The device has said whether it still knows this nexus.
    fn on_answered(&mut self, registered: bool) {
        if let (Standing::Lost(key), true) = (self.state.standing, registered) {
            self.state.standing = Standing::Registered(key);
        }
        self.shared.events.push(LunEvent::PathBack { registered });
    }

    /// The session is gone: what can be sent again waits for the next one, the rest fails.
    fn lose(&mut self, why: LunError) {
        let now = Instant::now();
        // A session that lasted is a fresh start; two that throw each other out are not.
        if matches!(self.state.link, Link::Up { since, .. } if now >= since + BACKOFF_MAX) {
            self.state.backoff = BACKOFF_MIN;
        }
        let next = now + self.state.backoff;
        self.state.moved = (None, 0);
        self.state.backoff = (self.state.backoff * 2).min(BACKOFF_MAX);
        // A target that knows nobody, or nothing, for a while is one that is just starting.
        let why = if self.state.was_up { why.into_path_lost() } else { why };
        let link = std::mem::replace(&mut self.state.link, Link::Down { next });
        self.state.why = why.clone();
        if matches!(link, Link::Up { .. }) {
            tracing::warn!(lun = ?self.url, %why, "path to the LUN lost");
            self.state.standing = self.state.standing.on_path_lost();
            self.shared.events.push(LunEvent::PathLost { why: why.to_string() });
        }
        if let Link::Opening { session, .. } | Link::Up { session, .. } = link {
            for (id, command) in session.close().into_iter().rev() {
                if let Some(request) = self.state.flights.remove(&id) {
                    self.put_back(request, command);
                }
            }
        }
        self.state.pending.retain(|request| request.reply.is_some());
        if !self.state.was_up {
            // The first connection: whoever opens the LUN wants to know at once.
            for request in std::mem::take(&mut self.state.pending) {
                request.answer(Err(Failure::Error(why.clone())));
            }
        }
    }

    /// A command whose outcome is open because its session is gone.
    fn put_back(&mut self, mut request: Request, command: Command) {
        match request.class {
            Class::Query | Class::Write => {
                request.command = Some(command);
                self.state.pending.push_front(request);
            }
            Class::Reserve => {
                let why = format!(
                    "{} was under way when the session ended; its outcome is open",
                    request.what
                );
                request.answer(Err(Failure::Error(LunError::PathLost { why })));
            }
        }
    }
}

fn refuse_waiting(state: &mut State) {
    let error = state.standing.refusal();
    fail_writes(state, &error);
}

fn fail_writes(state: &mut State, error: &LunError) {
    for request in std::mem::take(&mut state.pending) {
        if request.class == Class::Write {
            request.answer(Err(Failure::Error(error.clone())));
        } else {
            state.pending.push_back(request);
        }
    }
}
