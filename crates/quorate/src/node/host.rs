//! Resources that the host runs itself: requests out, completions in.
//!
//! Served resources (Rust trait objects) have a thread each; the others go through the queue of
//! items. Saved states pass through a file of ours, copied to and from the LUN on threads of their
//! own.

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use quorate_core::event::Event;
use quorate_core::id::{OpId, ResourceId};

use super::input::{Inbox, Input};
use super::items::Items;
use crate::Error;
use crate::drivers::{SaveSink, SaveSource};
use crate::item::{Item, Request, Verb};
use crate::resource::Resource;

/// Requests that a node makes for itself, when it ends, carry this; nobody waits for their
/// completion.
const UNASKED: OpId = OpId(0);

/// What comes or goes with a request, beside what the host sees.
pub(crate) enum Freight {
    Nothing,
    /// Where the state goes, once the host has written it.
    Sink(Box<dyn SaveSink + Send>),
    /// Where the state comes from, before the host is asked.
    Source(Box<dyn SaveSource + Send>),
}

/// The desk between the engine and the host.
pub(crate) struct Host {
    items: Arc<Items>,
    inbox: Inbox,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: BTreeMap<OpId, Open>,
    newest: OpId,
    /// Everything was killed when this was the newest request: what was asked for up to then must
    /// not begin any more.
    killed_until: OpId,
    served: BTreeMap<String, Server>,
    /// What may run, with the request that started it.
    running: BTreeMap<ResourceId, Request>,
}

struct Open {
    resource: ResourceId,
    request: Request,
    sink: Option<Box<dyn SaveSink + Send>>,
}

struct Server {
    resource: Arc<dyn Resource>,
    queue: Sender<Request>,
    /// Held while a call is under way that is no kill.
    calling: Arc<Mutex<()>>,
}

impl Host {
    pub(crate) fn new(items: Arc<Items>, inbox: Inbox) -> Arc<Self> {
        Arc::new(Self { items, inbox, state: Mutex::default() })
    }

    /// Hands a request to whoever runs the resource. Never waits.
    pub(crate) fn ask(self: &Arc<Self>, resource: ResourceId, request: Request, freight: Freight) {
        let op = request.op;
        let (sink, source) = match freight {
            Freight::Nothing => (None, None),
            Freight::Sink(sink) => (Some(sink), None),
            Freight::Source(source) => (None, Some(source)),
        };
        {
            let mut state = self.state.lock();
            state.newest = state.newest.max(op);
            if request.verb == Verb::Kill {
                // What is under way is cut short; its completion no longer matters.
                state.open.retain(|_, open| open.resource != resource);
            }
            if matches!(request.verb, Verb::Start | Verb::Load) {
                state.running.insert(resource, request.clone());
            }
            state.open.insert(op, Open { resource, request: request.clone(), sink });
        }
        let Some(mut source) = source else {
            self.issue(request);
            return;
        };
        let host = Arc::clone(self);
        let copy = move || {
            let path = request.state.clone().unwrap_or_default();
            let fetched = source.open().and_then(|mut state| {
                File::create(&path).and_then(|mut file| std::io::copy(&mut state, &mut file))
            });
            match fetched {
                Ok(_) => host.issue(request),
                Err(error) => host.close(request.op, Err(format!("the saved state: {error}"))),
            }
        };
        if std::thread::Builder::new().name("fetch".to_owned()).spawn(copy).is_err() {
            self.close(op, Err("no thread to fetch the saved state".to_owned()));
        }
    }

    fn issue(self: &Arc<Self>, request: Request) {
        let state = self.state.lock();
        match state.served.get(&request.resource) {
            Some(server) => server.take(self, request),
            None => self.items.push(Item::Request(request)),
        }
    }

    /// The host's word on a request.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a request that was never made.
    pub(crate) fn complete(
        self: &Arc<Self>,
        op: OpId,
        result: Result<(), String>,
    ) -> Result<(), Error> {
        if op == UNASKED {
            return Ok(());
        }
        let open = {
            let mut state = self.state.lock();
            if op > state.newest {
                return Err(Error::Misuse(format!("request {} was never made", op.0)));
            }
            // A request that a kill cut short is open no more; that is nobody's mistake.
            let Some(open) = state.open.get_mut(&op) else { return Ok(()) };
            (open.sink.take(), open.request.state.clone())
        };
        match (open, &result) {
            ((Some(sink), Some(path)), Ok(())) => self.keep(op, sink, path),
            _ => self.close(op, result),
        }
        Ok(())
    }

    /// Takes the state that the host wrote to where the next owner finds it.
    fn keep(
        self: &Arc<Self>,
        op: OpId,
        mut sink: Box<dyn SaveSink + Send>,
        path: std::path::PathBuf,
    ) {
        let host = Arc::clone(self);
        let copy = move || {
            let stored = File::open(&path).and_then(|mut file| sink.store(&mut file));
            let _ = std::fs::remove_file(&path);
            host.close(op, stored.map_err(|error| format!("the saved state: {error}")));
        };
        if std::thread::Builder::new().name("keep".to_owned()).spawn(copy).is_err() {
            self.close(op, Err("no thread to keep the saved state".to_owned()));
        }
    }

    fn close(&self, op: OpId, result: Result<(), String>) {
        let open = {
            let mut state = self.state.lock();
            let Some(open) = state.open.remove(&op) else { return };
            let verb = open.request.verb;
            let ended = matches!(verb, Verb::Stop | Verb::Kill | Verb::Save) && result.is_ok();
            let never_ran = matches!(verb, Verb::Start | Verb::Load | Verb::Run) && result.is_err();
            if ended || never_ran {
                state.running.remove(&open.resource);
            }
            open
        };
        if let (Verb::Load, Some(path)) = (open.request.verb, &open.request.state) {
            let _ = std::fs::remove_file::<&Path>(path);
        }
        self.inbox.deliver(Input::Event(Event::Resource { op, resource: open.resource, result }));
    }

    /// From here on the resource's requests go to `served`, those that wait already included.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn serve(
        self: &Arc<Self>,
        name: &str,
        served: Box<dyn Resource>,
    ) -> Result<(), Error> {
        let resource: Arc<dyn Resource> = served.into();
        let (queue, requests) = unbounded();
        let (host, worker) = (Arc::downgrade(self), Arc::clone(&resource));
        let calling: Arc<Mutex<()>> = Arc::default();
        let under_way = Arc::clone(&calling);
        let body = move || {
            for request in &requests as &Receiver<Request> {
                let Some(host) = host.upgrade() else { return };
                let under_way = under_way.lock();
                // What a kill has overtaken must not begin after it.
                let result = if host.may_begin(request.op) {
                    call(&*worker, &request)
                } else {
                    Err("cut short by a kill".to_owned())
                };
                drop(under_way);
                let _ = host.complete(request.op, result);
            }
        };
        std::thread::Builder::new()
            .name(format!("serve-{name}"))
            .spawn(body)
            .map_err(Error::system(format!("start a thread for resource {name}")))?;
        let server = Server { resource, queue, calling };
        let mut state = self.state.lock();
        for request in self.items.take_requests(name) {
            server.take(self, request);
        }
        state.served.insert(name.to_owned(), server);
        Ok(())
    }

    fn may_begin(&self, op: OpId) -> bool {
        let state = self.state.lock();
        op > state.killed_until && state.open.contains_key(&op)
    }

    /// Ends what the host runs, as far as it is ours to end: served resources are killed, for the
    /// others the host finds a last request.
    pub(crate) fn kill_all(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.killed_until = state.newest;
        for request in state.running.values() {
            let kill = Request { op: UNASKED, verb: Verb::Kill, state: None, ..request.clone() };
            match state.served.get(&kill.resource) {
                Some(server) => server.take(self, kill),
                None => self.items.push(Item::Request(kill)),
            }
        }
    }

    /// Ends the threads of served resources, once they have done what they are at.
    pub(crate) fn dismiss(&self) {
        self.state.lock().served.clear();
    }
}

impl Server {
    fn take(&self, host: &Arc<Host>, request: Request) {
        if request.verb != Verb::Kill {
            // The thread lives as long as its queue.
            let _ = self.queue.send(request);
            return;
        }
        // It overtakes what is under way.
        let (host, resource) = (Arc::clone(host), Arc::clone(&self.resource));
        let op = request.op;
        let (again, calling) = (Arc::clone(&host), Arc::clone(&self.calling));
        let kill = move || {
            let busy = calling.try_lock().is_none();
            let mut result = call(&*resource, &request);
            if busy {
                // What was under way may have started it just then: once more, when that is over.
                let _over = calling.lock();
                result = call(&*resource, &request);
            }
            let _ = host.complete(request.op, result);
        };
        if std::thread::Builder::new().name("kill".to_owned()).spawn(kill).is_err() {
            again.close(op, Err("no thread to kill it".to_owned()));
        }
    }
}

fn call(resource: &dyn Resource, request: &Request) -> Result<(), String> {
    let call = || match request.verb {
        Verb::Start => resource.start(request),
        Verb::Load => resource.load(request),
        Verb::Run => resource.run(request),
        Verb::Save => resource.save(request),
        Verb::Stop => resource.stop(request),
        Verb::Kill => resource.kill(request),
    };
    let outcome = catch_unwind(AssertUnwindSafe(call));
    outcome.unwrap_or_else(|panic| Err(format!("it panicked: {}", super::panic_text(&*panic))))
}
