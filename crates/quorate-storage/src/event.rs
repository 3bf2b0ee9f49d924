//! What a LUN reports by itself. Owns a small queue with a descriptor to wait on; never blocks the
//! reporter.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags};

/// Most events kept for a reader that does not come; the oldest goes first.
const QUEUE_MAX: usize = 256;

/// What happened to a LUN without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LunEvent {
    /// A write or a flush was refused because this handle has no right to the LUN: it has been
    /// fenced. Or a driver that looks by itself saw that another has taken the LUN.
    ///
    /// Reported before the writer gets its answer, and again after each `register` that is lost.
    ReservationRefused,
    /// The connection to the storage broke; calls wait for it up to their time-out.
    PathLost {
        /// What was seen.
        why: String,
    },
    /// The connection is back.
    PathBack {
        /// Whether the device itself says that this handle is still registered. If not, writes wait
        /// for `Lun::reclaim`.
        registered: bool,
    },
}

/// The events of one LUN, in order, each delivered once. Equal neighbours are merged.
pub struct EventQueue {
    events: Mutex<VecDeque<LunEvent>>,
    ready: OwnedFd,
}

impl EventQueue {
    /// An empty queue, for a driver of one's own.
    ///
    /// # Errors
    ///
    /// The system has no descriptor to give.
    pub fn new() -> io::Result<Self> {
        let ready = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { events: Mutex::new(VecDeque::new()), ready })
    }

    /// Takes the oldest event, without waiting.
    pub fn pop(&self) -> Option<LunEvent> {
        let mut events = self.events.lock();
        let event = events.pop_front();
        if events.is_empty() {
            // Level-triggered: the descriptor is readable exactly while events wait. Nothing to
            // read is fine.
            let _ = rustix::io::read(&self.ready, &mut [0_u8; 8]);
        }
        event
    }

    /// Takes the oldest event, waiting up to `timeout` for one.
    pub fn wait(&self, timeout: Duration) -> Option<LunEvent> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(event) = self.pop() {
                return Some(event);
            }
            let left = end.checked_duration_since(Instant::now())?;
            let mut polled = [PollFd::new(&self.ready, PollFlags::IN)];
            let _ = rustix::event::poll(&mut polled, Some(&crate::time::timespec(left)));
        }
    }

    pub(crate) fn push(&self, event: LunEvent) {
        let mut events = self.events.lock();
        if events.back() == Some(&event) {
            return;
        }
        if events.len() == QUEUE_MAX {
            events.pop_front();
        }
        events.push_back(event);
        // Cannot fail short of 2^64 events; the counter is reset by the reader.
        let _ = rustix::io::write(&self.ready, &1_u64.to_ne_bytes());
    }
}

impl AsFd for EventQueue {
    /// Readable while events wait; for `poll` and `epoll`.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue").field("events", &*self.events.lock()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_and_equal_neighbours_are_merged() {
        let queue = EventQueue::new().unwrap();
        queue.push(LunEvent::ReservationRefused);
        queue.push(LunEvent::ReservationRefused);
        queue.push(LunEvent::PathBack { registered: false });
        assert_eq!(queue.wait(Duration::from_secs(1)), Some(LunEvent::ReservationRefused));
        assert_eq!(queue.pop(), Some(LunEvent::PathBack { registered: false }));
        assert_eq!(queue.wait(Duration::ZERO), None);
    }

    #[test]
    fn a_reader_that_never_comes_costs_bounded_memory() {
        let queue = EventQueue::new().unwrap();
        for step in 0..QUEUE_MAX * 2 {
            queue.push(LunEvent::PathLost { why: step.to_string() });
        }
        let first = queue.pop();
        assert_eq!(first, Some(LunEvent::PathLost { why: QUEUE_MAX.to_string() }));
    }
}
