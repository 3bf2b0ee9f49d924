//! The thread of one resource: requests in, an answer for each.
//!
//! Requests are carried out one after the other. A kill overtakes them: it reaches the process at
//! once, the call that is under way fails because its process is gone, what waits is answered as
//! cancelled, and the kill is answered when the process is gone.

use std::any::Any;
use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use quorate_core::id::{OpId, ResourceId};

use super::{Driver, DriverError, Health, KillSwitch, SaveSink, SaveSource, StartContext, Stopped};

/// The most requests that wait for one resource. The engine has one or two under way.
const REQUESTS_MAX: usize = 16;

/// What a resource is asked to do.
pub enum Request {
    /// [`Driver::prepare`].
    Prepare,
    /// [`Driver::start`].
    Start {
        /// What it is started with.
        context: Box<StartContext>,
        /// When it must be up.
        deadline: Instant,
    },
    /// [`Driver::save`].
    Save {
        /// Where its state goes.
        sink: Box<dyn SaveSink + Send>,
        /// When it must have ended.
        deadline: Instant,
    },
    /// [`Driver::load`].
    Load {
        /// What it is started with.
        context: Box<StartContext>,
        /// Where its state comes from.
        source: Box<dyn SaveSource + Send>,
        /// When it must be loaded.
        deadline: Instant,
    },
    /// [`Driver::run`].
    Run {
        /// When it must run.
        deadline: Instant,
    },
    /// [`Driver::stop`].
    Stop {
        /// When it is killed.
        deadline: Instant,
    },
    /// [`Driver::kill`] in its turn; [`Worker::kill`] makes one that does not wait for it.
    Kill,
    /// [`Driver::looks_alive`].
    LooksAlive,
    /// [`Driver::is_alive`].
    IsAlive {
        /// When the answer is due.
        deadline: Instant,
    },
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The resource.
    pub resource: ResourceId,
    /// The request.
    pub op: OpId,
    /// What came of it.
    pub result: Result<Done, DriverError>,
}

/// A request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It can run on this node.
    Prepared,
    /// It runs.
    Started,
    /// It was saved, and runs no more.
    Saved,
    /// It is loaded, and does not run yet.
    Loaded,
    /// What was loaded runs again.
    Running,
    /// It has stopped.
    Stopped(Stopped),
    /// It was killed, and no process of it is left.
    Killed,
    /// What a look at it found.
    Looked(Health),
}

/// The thread that carries out the requests of one resource.
///
/// Dropping it kills the resource and waits until it is gone.
pub struct Worker {
    requests: Option<Sender<(OpId, Request)>>,
    switch: Arc<KillSwitch>,
    /// Kills that were asked for and not carried out yet.
    kills: Arc<AtomicUsize>,
    end: Arc<Mutex<End>>,
    thread: Option<JoinHandle<()>>,
}

/// How far a worker is with its end.
enum End {
    NotYet,
    /// It is on its way; this is called at its end.
    Awaited(Box<dyn FnOnce(Result<(), DriverError>) + Send>),
    /// It has ended; with this its last kill.
    Over(Result<(), DriverError>),
}

/// The worker takes no request: its queue is full (the resource hangs in a call), or its thread has
/// ended after a defect. A kill is taken even with a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the resource's worker takes no request")]
pub struct WorkerGone;

impl Worker {
    /// Starts the thread of a resource. Answers go to `answers`; while that channel is full the
    /// resource waits, and nothing else.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn spawn(
        resource: ResourceId,
        driver: Box<dyn Driver>,
        answers: Sender<Answer>,
    ) -> io::Result<Self> {
        let switch = driver.kill_switch();
        let (requests, queue) = bounded(REQUESTS_MAX);
        let kills = Arc::new(AtomicUsize::new(0));
        let end = Arc::new(Mutex::new(End::NotYet));
        let (of_body, counted, ending) =
            (Arc::clone(&switch), Arc::clone(&kills), Arc::clone(&end));
        let body = Body { resource, switch: of_body, kills: counted, end: ending, driver, answers };
        let name = format!("resource-{}", resource.0);
        let thread = thread::Builder::new().name(name).spawn(move || body.run(&queue))?;
        Ok(Self { requests: Some(requests), switch, kills, end, thread: Some(thread) })
    }

    /// Queues a request under the caller's `op`, which the answer carries.
    ///
    /// # Errors
    /// [`WorkerGone`]: it was not taken, and there will be no answer.
    pub fn request(&self, op: OpId, request: Request) -> Result<(), WorkerGone> {
        let queue = self.requests.as_ref().ok_or(WorkerGone)?;
        queue.try_send((op, request)).map_err(|_| WorkerGone)
    }

    /// Kills the resource now, ahead of every queued request. Never blocks; the answer to `op`
    /// comes when the resource is gone.
    ///
    /// # Errors
    /// [`WorkerGone`]: the kill was sent, but there will be no answer to `op`; ask again.
    pub fn kill(&self, op: OpId) -> Result<(), WorkerGone> {
        self.kills.fetch_add(1, Ordering::SeqCst);
        self.switch.engage();
        let taken = self.request(op, Request::Kill);
        if taken.is_err() {
            self.kills.fetch_sub(1, Ordering::SeqCst);
        }
        taken
    }

    /// Kills the resource and lets the worker go, without waiting for either. `on_end` is called
    /// once, with what the last kill came to: by the worker's thread when nothing of the resource
    /// is left, or at once if that thread has ended before.
    pub fn retire(mut self, on_end: impl FnOnce(Result<(), DriverError>) + Send + 'static) {
        self.switch.engage();
        self.requests = None;
        // It ends by itself; whoever waits for it is `on_end`.
        self.thread = None;
        let mut end = self.end.lock();
        if let End::Over(last) = &*end {
            let last = last.clone();
            drop(end);
            return on_end(last);
        }
        *end = End::Awaited(Box::new(on_end));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.switch.engage();
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // It caught its own panics.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Request::Prepare => "Prepare",
            Request::Start { .. } => "Start",
            Request::Save { .. } => "Save",
            Request::Load { .. } => "Load",
            Request::Run { .. } => "Run",
            Request::Stop { .. } => "Stop",
            Request::Kill => "Kill",
            Request::LooksAlive => "LooksAlive",
            Request::IsAlive { .. } => "IsAlive",
        })
    }
}

struct Body {
    resource: ResourceId,
    switch: Arc<KillSwitch>,
    kills: Arc<AtomicUsize>,
    end: Arc<Mutex<End>>,
    driver: Box<dyn Driver>,
    answers: Sender<Answer>,
}

impl Body {
    fn run(mut self, queue: &Receiver<(OpId, Request)>) {
        for (op, request) in queue {
            let caught = catch_unwind(AssertUnwindSafe(|| self.carry_out(request)));
            let (result, defect) = match caught {
                Ok(result) => (result, false),
                Err(panic) => (Err(DriverError::Defect { message: message_of(&*panic) }), true),
            };
            // Nobody listens any more: the queue's end follows.
            let _ = self.answers.send(Answer { resource: self.resource, op, result });
            if defect {
                break;
            }
        }
        // Whatever happened, nothing is left behind.
        self.switch.engage();
        let last = catch_unwind(AssertUnwindSafe(|| self.driver.kill())).unwrap_or_else(|panic| {
            let message = message_of(&*panic);
            tracing::error!(resource = self.resource.0, panic = message, "kill panicked");
            Err(DriverError::Defect { message })
        });
        let awaited = mem::replace(&mut *self.end.lock(), End::Over(last.clone()));
        if let End::Awaited(on_end) = awaited {
            on_end(last);
        }
    }

    fn carry_out(&mut self, request: Request) -> Result<Done, DriverError> {
        if self.switch.is_engaged() && !matches!(request, Request::Kill) {
            return Err(DriverError::Cancelled);
        }
        let driver = &mut self.driver;
        match request {
            Request::Prepare => driver.prepare().map(|()| Done::Prepared),
            Request::Start { context, deadline } => {
                driver.start(&context, deadline).map(|()| Done::Started)
            }
            Request::Save { mut sink, deadline } => {
                driver.save(&mut *sink, deadline).map(|()| Done::Saved)
            }
            Request::Load { context, mut source, deadline } => {
                let rejected =
                    |error: io::Error| DriverError::SaveRejected { reason: error.to_string() };
                let mut state = source.open().map_err(rejected)?;
                driver.load(&context, &mut *state, deadline).map(|()| Done::Loaded)
            }
            Request::Run { deadline } => driver.run(deadline).map(|()| Done::Running),
            Request::Stop { deadline } => driver.stop(deadline).map(Done::Stopped),
            Request::Kill => {
                let killed = driver.kill();
                self.on_killed();
                killed.map(|()| Done::Killed)
            }
            Request::LooksAlive => Ok(Done::Looked(driver.looks_alive())),
            Request::IsAlive { deadline } => Ok(Done::Looked(driver.is_alive(deadline))),
        }
    }
}

impl Body {
    /// A kill has released the switch. If another one was asked for meanwhile, what was queued
    /// between the two must not start first.
    fn on_killed(&self) {
        let less = |kills: usize| Some(kills.saturating_sub(1));
        let before = self.kills.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        if before.is_ok_and(|kills| kills > 1) {
            self.switch.engage();
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}
