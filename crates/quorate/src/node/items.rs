//! The queue between a node and its host: items in, taken one by one, with a descriptor to wait on.
//!
//! *Architecture invariant*: whoever puts something in never waits. Requests and answers are
//! bounded by what is under way; of the notices the oldest give way, counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use quorate_core::message::Refusal;
use rustix::event::EventfdFlags;

use crate::Error;
use crate::clock;
use crate::item::{Answer, Item, Request, Ticket};
use crate::notice::Notice;

/// Most notices that wait for a host that does not take them.
const NOTICES_MAX: usize = 4096;

/// Why a node answers no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It left, or was killed.
    Ended,
    /// It fenced itself.
    Poisoned(String),
}

impl End {
    fn error(&self) -> Error {
        match self {
            End::Ended => Error::Ended,
            End::Poisoned(why) => Error::Poisoned { why: why.clone() },
        }
    }
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Items {
    state: Mutex<State>,
    changed: Condvar,
    ready: OwnedFd,
}

/// How many answers are remembered after they were taken.
const ANSWERS_KEPT: usize = 256;

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Item>,
    notices: usize,
    notices_lost: u64,
    /// Tickets that somebody waits for in [`Items::wait_answer`]; their answers do not join the
    /// queue.
    awaited: BTreeSet<Ticket>,
    answers: BTreeMap<Ticket, Result<(), Refusal>>,
    /// The newest answers that were taken: whoever waits for one may come a moment late.
    taken: VecDeque<Answer>,
    end: Option<End>,
}

impl State {
    fn add(&mut self, item: Item) {
        match &item {
            Item::Notice(_) if self.notices == NOTICES_MAX => {
                self.notices_lost += 1;
                let oldest = self.queue.iter().position(|item| matches!(item, Item::Notice(_)));
                oldest.and_then(|at| self.queue.remove(at));
            }
            Item::Notice(_) => self.notices += 1,
            Item::Answer(answer) if self.awaited.contains(&answer.ticket) => {
                self.answers.insert(answer.ticket, answer.result.clone());
                return;
            }
            Item::Answer(_) | Item::Request(_) => {}
        }
        self.queue.push_back(item);
    }
}

impl Items {
    pub(crate) fn new() -> Result<Self, Error> {
        let ready = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| Error::system("make an event descriptor")(errno.into()))?;
        Ok(Self { state: Mutex::default(), changed: Condvar::new(), ready })
    }

    /// Readable while something waits, and for ever after the end.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    /// Adds an item. After the end nothing is added: nobody could answer it.
    pub(crate) fn push(&self, item: Item) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return;
        }
        state.add(item);
        if state.queue.is_empty() {
            self.changed.notify_all();
        } else {
            self.ring();
        }
    }

    /// Adds the last notice and ends the queue. The first end counts.
    pub(crate) fn end(&self, end: End, last: Notice) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            state.add(Item::Notice(last));
            state.end = Some(end);
            self.ring();
        }
    }

    /// Takes the oldest item.
    ///
    /// # Errors
    /// The end, once the last item was taken.
    pub(crate) fn take(&self) -> Result<Option<Item>, Error> {
        let mut state = self.state.lock();
        let item = state.queue.pop_front();
        match &item {
            Some(Item::Notice(_)) => state.notices -= 1,
            Some(Item::Answer(answer)) => {
                if state.taken.len() == ANSWERS_KEPT {
                    state.taken.pop_front();
                }
                state.taken.push_back(answer.clone());
            }
            Some(Item::Request(_)) | None => {}
        }
        match (item, &state.end) {
            (None, Some(end)) => Err(end.error()),
            (item, _) => {
                self.hush(&state);
                Ok(item)
            }
        }
    }

    /// Takes the requests for one resource out of the queue.
    pub(crate) fn take_requests(&self, resource: &str) -> Vec<Request> {
        let mut state = self.state.lock();
        let (mut taken, mut kept) = (Vec::new(), VecDeque::new());
        for item in state.queue.drain(..) {
            match item {
                Item::Request(request) if request.resource == resource => taken.push(request),
                other => kept.push_back(other),
            }
        }
        state.queue = kept;
        self.hush(&state);
        taken
    }

    /// Waits until an item can be taken; `false` at the end of the time.
    ///
    /// # Errors
    /// The end, once the last item was taken.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<bool, Error> {
        let deadline = clock::after(timeout);
        let mut state = self.state.lock();
        while state.queue.is_empty() {
            if let Some(end) = &state.end {
                return Err(end.error());
            }
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return Ok(!state.queue.is_empty());
            }
        }
        Ok(true)
    }

    /// Waits for the answer to a command, and takes it out of the queue.
    ///
    /// # Errors
    /// The refusal; the end; or the time is over.
    pub(crate) fn wait_answer(&self, ticket: Ticket, timeout: Duration) -> Result<(), Error> {
        let deadline = clock::after(timeout);
        let mut state = self.state.lock();
        let is_it = |item: &Item| matches!(item, Item::Answer(answer) if answer.ticket == ticket);
        if let Some(at) = state.queue.iter().position(is_it)
            && let Some(Item::Answer(Answer { result, .. })) = state.queue.remove(at)
        {
            self.hush(&state);
            return result.map_err(Error::Refused);
        }
        if let Some(answer) = state.taken.iter().find(|answer| answer.ticket == ticket) {
            return answer.result.clone().map_err(Error::Refused);
        }
        state.awaited.insert(ticket);
        let outcome = loop {
            if let Some(result) = state.answers.remove(&ticket) {
                break result.map_err(Error::Refused);
            }
            if let Some(end) = &state.end {
                break Err(end.error());
            }
            if self.changed.wait_until(&mut state, deadline).timed_out()
                && !state.answers.contains_key(&ticket)
            {
                break Err(Error::TimedOut { what: "the answer".to_owned(), after: timeout });
            }
        };
        state.awaited.remove(&ticket);
        outcome
    }

    /// Waits for the end itself.
    pub(crate) fn wait_end(&self, timeout: Duration) -> Option<End> {
        let deadline = clock::after(timeout);
        let mut state = self.state.lock();
        while state.end.is_none() {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.end.clone()
    }

    /// Waits until anything is added or `deadline` comes. For readers of the status.
    pub(crate) fn wait_change(&self, deadline: Instant) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            self.changed.wait_until(&mut state, deadline);
        }
    }

    /// Wakes those who wait for a change of the status.
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
    }

    /// Fails once the node has ended, whatever still waits in the queue.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.state.lock().end.as_ref().map_or(Ok(()), |end| Err(end.error()))
    }

    /// How many notices gave way.
    pub(crate) fn notices_lost(&self) -> u64 {
        self.state.lock().notices_lost
    }

    /// Whatever emptied the queue: the descriptor is readable no more, unless this is the end.
    fn hush(&self, state: &State) {
        if state.queue.is_empty() && state.end.is_none() {
            // Level-triggered. Nothing to read is fine.
            let _ = rustix::io::read(&self.ready, &mut [0_u8; 8]);
        }
    }

    fn ring(&self) {
        // Cannot fail short of 2^64 items; the counter is reset by the taker.
        let _ = rustix::io::write(&self.ready, &1_u64.to_ne_bytes());
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::{NoticeKind, Stamp};
    use rustix::event::{PollFd, PollFlags};

    fn notice(count: u64) -> Notice {
        let at = Stamp { boottime_ns: count, unix_us: 0 };
        let fields = serde_json::Map::new();
        Notice { at, past_ms: None, kind: NoticeKind::Joined, text: String::new(), fields }
    }

    fn is_readable(items: &Items) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(items.fd(), PollFlags::IN)];
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut polled, Some(&at_once)).unwrap() == 1
    }

    fn request(resource: &str) -> Request {
        Request {
            op: crate::item::OpId(1),
            resource: resource.to_owned(),
            group: "group".to_owned(),
            verb: crate::item::Verb::Start,
            epoch: 1,
            timeout: Duration::ZERO,
            state: None,
            luns: Vec::new(),
            settings: "{}".to_owned(),
        }
    }

    fn answer(ticket: u64) -> Item {
        Item::Answer(Answer { ticket: Ticket(ticket), result: Ok(()) })
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_an_item_waits() {
        let items = Items::new().unwrap();
        assert!(!is_readable(&items));
        items.push(answer(1));
        items.push(answer(2));
        assert!(items.take().unwrap().is_some() && is_readable(&items));
        assert!(items.take().unwrap().is_some() && !is_readable(&items));
        assert_eq!(items.take().unwrap(), None);
    }

    #[test]
    fn whatever_empties_the_queue_the_descriptor_is_readable_no_more() {
        let items = Items::new().unwrap();
        items.push(answer(1));
        items.wait_answer(Ticket(1), Duration::ZERO).unwrap();
        assert!(!is_readable(&items));
        items.push(Item::Request(request("own")));
        assert_eq!(items.take_requests("own").len(), 1);
        assert!(!is_readable(&items));
    }

    #[test]
    fn the_longest_timeout_is_no_panic() {
        let items = Items::new().unwrap();
        items.push(answer(1));
        assert!(items.wait(Duration::MAX).unwrap());
        items.wait_answer(Ticket(1), Duration::MAX).unwrap();
        items.end(End::Ended, notice(1));
        assert_eq!(items.wait_end(Duration::MAX), Some(End::Ended));
    }

    #[test]
    fn a_host_that_takes_nothing_loses_the_oldest_notices_and_no_answer() {
        let items = Items::new().unwrap();
        items.push(answer(1));
        for count in 0..NOTICES_MAX as u64 + 3 {
            items.push(Item::Notice(notice(count)));
        }
        assert_eq!(items.notices_lost(), 3);
        assert_eq!(items.take().unwrap(), Some(answer(1)));
        assert_eq!(items.take().unwrap(), Some(Item::Notice(notice(3))));
    }

    #[test]
    fn after_the_end_what_waits_can_be_taken_and_then_every_call_says_why() {
        let items = Items::new().unwrap();
        items.push(answer(1));
        items.end(End::Poisoned("boom".to_owned()), notice(9));
        items.push(answer(2));
        assert!(items.check().is_err());
        assert_eq!(items.take().unwrap(), Some(answer(1)));
        assert_eq!(items.take().unwrap(), Some(Item::Notice(notice(9))));
        assert!(matches!(items.take(), Err(Error::Poisoned { why }) if why == "boom"));
        assert!(matches!(items.wait(Duration::ZERO), Err(Error::Poisoned { .. })));
        assert!(is_readable(&items));
    }

    #[test]
    fn an_answer_that_is_waited_for_does_not_join_the_queue() {
        let items = Items::new().unwrap();
        let missing = items.wait_answer(Ticket(1), Duration::from_millis(1));
        assert!(matches!(missing, Err(Error::TimedOut { .. })));
        items.push(answer(1));
        items.wait_answer(Ticket(1), Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| items.wait_answer(Ticket(2), Duration::from_secs(10)));
            let end = Instant::now() + Duration::from_secs(10);
            while !items.state.lock().awaited.contains(&Ticket(2)) && Instant::now() < end {
                std::thread::yield_now();
            }
            items.push(answer(2));
            waiter.join().unwrap().unwrap();
        });
        assert_eq!(items.take().unwrap(), None);
    }
}
