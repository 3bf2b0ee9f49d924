//! Resources that the host runs itself: requests out, completions in.
//!
//! Served resources (Rust trait objects) have a thread each; the others go through the queue of
//! items. Saved states pass through a file of ours, copied to and from the LUN on threads of their
//! own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use quorate_core::event::Event;
use quorate_core::id::{Epoch, OpId, ResourceId};

use super::input::Facts;
use super::items::Items;
use crate::Error;
use crate::drivers::{SaveSink, SaveSource};
use crate::item::{Item, Request, Verb};
use crate::resource::Resource;

/// Requests that a node makes for itself, when it ends, carry this; nobody waits for their
/// completion.
const UNASKED: OpId = OpId(0);
/// Why a request that a kill has overtaken did not end well.
const CUT_SHORT: &str = "cut short by a kill";

/// What comes or goes with a request, beside what the host sees.
pub(crate) enum Freight {
    Nothing,
    /// Where the state goes, once the host has written it.
    Sink(Box<dyn SaveSink + Send>),
    /// Where the state comes from, before the host is asked.
    Source(Box<dyn SaveSource + Send>),
}

/// The desk between the engine and the host. *Architecture invariant*: no call waits, neither for
/// the host nor for the engine, and no thread has to be started for a kill.
pub(crate) struct Host {
    items: Arc<Items>,
    facts: Facts,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: BTreeMap<OpId, Open>,
    newest: OpId,
    served: BTreeMap<String, Server>,
    running: BTreeMap<ResourceId, Running>,
    /// How many saved states of a resource are on their way to its LUN. Until they have come to
    /// an end, the resource counts as able to write.
    keeping: BTreeMap<ResourceId, usize>,
}

/// What may run, with the request that started it.
struct Running {
    request: Request,
    enforced: bool,
}

struct Open {
    resource: ResourceId,
    request: Request,
    sink: Option<Box<dyn SaveSink + Send>>,
    is_cut: Cut,
    /// What the host said of a kill, while a saved state is still on its way.
    said: Option<Result<(), String>>,
    /// Files of saved states that requests which were cut short have left.
    litter: Vec<PathBuf>,
}

/// Whether a kill has overtaken a request: it must not begin any more, and what is copied for it
/// comes to no good end.
#[derive(Clone, Default)]
struct Cut(Arc<AtomicBool>);

impl Cut {
    fn make(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_made(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A saved state that can be read as long as no kill has overtaken its request.
struct Uncut<R> {
    state: R,
    is_cut: Cut,
}

impl<R: Read> Read for Uncut<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_cut.is_made() {
            return Err(io::Error::other(CUT_SHORT));
        }
        let count = self.state.read(buffer)?;
        // Its end makes it valid, so look once more.
        if self.is_cut.is_made() { Err(io::Error::other(CUT_SHORT)) } else { Ok(count) }
    }
}

struct Server {
    requests: Sender<Request>,
    kills: Sender<Request>,
}

/// What the two threads of a served resource share.
#[derive(Default)]
struct Calls {
    /// A call is under way that is no kill.
    is_busy: bool,
    /// Kills that came meanwhile: what was under way may have started it just then, so they are
    /// made once more when it is over.
    kills: Vec<Request>,
}

impl Host {
    pub(crate) fn new(items: Arc<Items>, facts: Facts) -> Arc<Self> {
        Arc::new(Self { items, facts, state: Mutex::default() })
    }

    /// Hands a request to whoever runs the resource. Never waits.
    pub(crate) fn ask(
        self: &Arc<Self>,
        resource: ResourceId,
        enforced: bool,
        request: Request,
        freight: Freight,
    ) {
        let op = request.op;
        let (sink, source) = match freight {
            Freight::Nothing => (None, None),
            Freight::Sink(sink) => (Some(sink), None),
            Freight::Source(source) => (None, Some(source)),
        };
        let is_cut = Cut::default();
        {
            let mut state = self.state.lock();
            state.newest = state.newest.max(op);
            let litter = if request.verb == Verb::Kill { state.cut(resource) } else { Vec::new() };
            if matches!(request.verb, Verb::Start | Verb::Load) {
                let running = Running { request: request.clone(), enforced };
                state.running.insert(resource, running);
            }
            let (request, is_cut) = (request.clone(), is_cut.clone());
            let open = Open { resource, request, sink, is_cut, said: None, litter };
            state.open.insert(op, open);
        }
        match source {
            None => self.issue(request),
            Some(source) => self.fetch(request, source, is_cut),
        }
    }

    /// Brings the state to where the host finds it, then asks the host.
    fn fetch(
        self: &Arc<Self>,
        request: Request,
        mut source: Box<dyn SaveSource + Send>,
        is_cut: Cut,
    ) {
        let (host, op) = (Arc::clone(self), request.op);
        let copy = move || {
            let path = request.state.clone().unwrap_or_default();
            let fetched = source.open().and_then(|state| {
                let mut state = Uncut { state, is_cut };
                File::create(&path).and_then(|mut file| io::copy(&mut state, &mut file))
            });
            match fetched {
                Ok(_) => host.issue(request),
                Err(error) => host.close(op, Err(format!("the saved state: {error}"))),
            }
            if !host.state.lock().open.contains_key(&op) {
                // Overtaken meanwhile, or failed: nobody reads it.
                let _ = std::fs::remove_file(&path);
            }
        };
        if std::thread::Builder::new().name("fetch".to_owned()).spawn(copy).is_err() {
            self.close(op, Err("no thread to fetch the saved state".to_owned()));
        }
    }

    /// Hands a request on, unless a kill has overtaken it.
    fn issue(&self, request: Request) {
        let op = request.op;
        let state = self.state.lock();
        if state.may_begin(op) {
            match state.served.get(&request.resource) {
                Some(server) => return server.take(request),
                None if request.verb != Verb::Kill => {
                    return self.items.push(Item::Request(request));
                }
                None => {}
            }
            // A start that the host has never seen has started nothing, and need not be seen now.
            let unseen = self.items.take_requests(&request.resource);
            if !unseen.iter().any(|one| matches!(one.verb, Verb::Start | Verb::Load)) {
                let all = unseen.into_iter().chain([request]);
                return all.for_each(|request| self.items.push(Item::Request(request)));
            }
            drop(state);
            return self.close(op, Ok(()));
        }
        drop(state);
        self.close(op, Err(CUT_SHORT.to_owned()));
    }

    /// The host's word on a request. Never waits.
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
        let kept = {
            let mut state = self.state.lock();
            if op > state.newest {
                return Err(Error::Misuse(format!("request {} was never made", op.0)));
            }
            // A request that a kill cut short is open no more; that is nobody's mistake.
            let Some(open) = state.open.get_mut(&op) else { return Ok(()) };
            let freight = open.sink.take().zip(open.request.state.clone());
            let (resource, is_cut) = (open.resource, open.is_cut.clone());
            let kept = freight.filter(|_| result.is_ok());
            if kept.is_some() {
                *state.keeping.entry(resource).or_default() += 1;
            }
            kept.map(|(sink, path)| Kept { op, resource, sink, path, is_cut })
        };
        match kept {
            Some(kept) => self.keep(kept),
            None => self.close(op, result),
        }
        Ok(())
    }

    /// Takes the state that the host wrote to where the next owner finds it.
    fn keep(self: &Arc<Self>, kept: Kept) {
        let Kept { op, resource, mut sink, path, is_cut } = kept;
        let host = Arc::clone(self);
        let copy = move || {
            let stored =
                File::open(&path).and_then(|state| sink.store(&mut Uncut { state, is_cut }));
            let _ = std::fs::remove_file(&path);
            drop(sink);
            host.close(op, stored.map_err(|error| format!("the saved state: {error}")));
            host.on_kept(resource);
        };
        if std::thread::Builder::new().name("keep".to_owned()).spawn(copy).is_err() {
            self.close(op, Err("no thread to keep the saved state".to_owned()));
            self.on_kept(resource);
        }
    }

    /// A saved state is on its way no more: kills that waited for that are over too.
    fn on_kept(&self, resource: ResourceId) {
        let said: Vec<(OpId, Result<(), String>)> = {
            let mut state = self.state.lock();
            let left = state.keeping.get(&resource).map_or(0, |count| count.saturating_sub(1));
            if left > 0 {
                state.keeping.insert(resource, left);
                return;
            }
            state.keeping.remove(&resource);
            let of_it = state.open.iter_mut().filter(|(_, open)| open.resource == resource);
            of_it.filter_map(|(&op, open)| Some((op, open.said.take()?))).collect()
        };
        said.into_iter().for_each(|(op, result)| self.close(op, result));
    }

    fn close(&self, op: OpId, result: Result<(), String>) {
        let open = {
            let mut state = self.state.lock();
            let Some(open) = state.open.get_mut(&op) else { return };
            let (verb, resource) = (open.request.verb, open.resource);
            if verb == Verb::Kill && state.keeping.contains_key(&resource) {
                if let Some(open) = state.open.get_mut(&op) {
                    open.said = Some(result);
                }
                return;
            }
            let Some(open) = state.open.remove(&op) else { return };
            let ended = matches!(verb, Verb::Stop | Verb::Kill | Verb::Save) && result.is_ok();
            let never_ran = matches!(verb, Verb::Start | Verb::Load | Verb::Run) && result.is_err();
            if ended || never_ran {
                state.running.remove(&resource);
            }
            open
        };
        let own = open.request.state.as_ref().filter(|_| open.request.verb == Verb::Load);
        for path in open.litter.iter().chain(own) {
            let _ = std::fs::remove_file::<&Path>(path);
        }
        self.facts.tell(Event::Resource { op, resource: open.resource, result });
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
        let calls: Arc<Mutex<Calls>> = Arc::default();
        let (requests, queue) = unbounded();
        let (kills, kill_queue) = unbounded();
        let start = |what: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(format!("{what}-{name}"))
                .spawn(body)
                .map_err(Error::system(format!("start a thread for resource {name}")))
        };
        let served = Served { host: Arc::downgrade(self), resource, calls };
        let killer = served.clone();
        start("serve", Box::new(move || served.serve(&queue)))?;
        start("kill", Box::new(move || killer.kill(&kill_queue)))?;
        let server = Server { requests, kills };
        let mut state = self.state.lock();
        for request in self.items.take_requests(name) {
            server.take(request);
        }
        state.served.insert(name.to_owned(), server);
        Ok(())
    }

    fn may_begin(&self, op: OpId) -> bool {
        self.state.lock().may_begin(op)
    }

    /// Whether anything may run, or write, that nothing but time protects.
    pub(crate) fn runs_by_time(&self) -> bool {
        self.state.lock().running.values().any(|running| !running.enforced)
    }

    /// Whether anything may run, or write.
    pub(crate) fn runs_any(&self) -> bool {
        !self.state.lock().running.is_empty()
    }

    /// Ends what the host runs and `which` picks, by whether its LUNs refuse a stale writer, as far
    /// as it is ours to end: served resources are killed, for the others the host finds a last
    /// request. Returns what it was. Never waits.
    pub(crate) fn kill_all(&self, which: impl Fn(bool) -> bool) -> Vec<(ResourceId, Epoch)> {
        let state = self.state.lock();
        let mut killed = Vec::new();
        for (&resource, running) in &state.running {
            if !which(running.enforced) {
                continue;
            }
            let of_it = state.open.values().filter(|open| open.resource == resource);
            of_it.for_each(|open| open.is_cut.make());
            let request = running.request.clone();
            killed.push((resource, Epoch(request.epoch)));
            let kill = Request { op: UNASKED, verb: Verb::Kill, state: None, ..request };
            match state.served.get(&kill.resource) {
                Some(server) => server.take(kill),
                None => self.items.push(Item::Request(kill)),
            }
        }
        killed
    }

    /// Ends the threads of served resources, once they have done what they are at.
    pub(crate) fn dismiss(&self) {
        self.state.lock().served.clear();
    }
}

impl State {
    fn may_begin(&self, op: OpId) -> bool {
        self.open.get(&op).is_some_and(|open| !open.is_cut.is_made())
    }

    /// What is under way for a resource is cut short; its completion no longer matters. Returns the
    /// files that it leaves.
    fn cut(&mut self, resource: ResourceId) -> Vec<PathBuf> {
        let mut litter = Vec::new();
        self.open.retain(|_, open| {
            if open.resource == resource {
                open.is_cut.make();
                litter.append(&mut open.litter);
                litter.extend(open.request.state.take());
            }
            open.resource != resource
        });
        litter
    }
}

/// A saved state that the host has written, and where it goes.
struct Kept {
    op: OpId,
    resource: ResourceId,
    sink: Box<dyn SaveSink + Send>,
    path: PathBuf,
    is_cut: Cut,
}

impl Server {
    /// Both threads live as long as their queues.
    fn take(&self, request: Request) {
        let queue = if request.verb == Verb::Kill { &self.kills } else { &self.requests };
        let _ = queue.send(request);
    }
}

/// A resource that is served, as its two threads see it.
#[derive(Clone)]
struct Served {
    host: Weak<Host>,
    resource: Arc<dyn Resource>,
    calls: Arc<Mutex<Calls>>,
}

impl Served {
    /// One request after the other; kills overtake them.
    fn serve(&self, queue: &Receiver<Request>) {
        for request in queue {
            let Some(host) = self.host.upgrade() else { return };
            self.calls.lock().is_busy = true;
            // What a kill has overtaken must not begin after it.
            let result = if host.may_begin(request.op) {
                call(&*self.resource, &request)
            } else {
                Err(CUT_SHORT.to_owned())
            };
            let kills = {
                let mut calls = self.calls.lock();
                calls.is_busy = false;
                std::mem::take(&mut calls.kills)
            };
            let _ = host.complete(request.op, result);
            for kill in kills {
                let result = call(&*self.resource, &kill);
                let _ = host.complete(kill.op, result);
            }
        }
    }

    fn kill(&self, queue: &Receiver<Request>) {
        for request in queue {
            let is_busy = {
                let mut calls = self.calls.lock();
                if calls.is_busy {
                    calls.kills.push(request.clone());
                }
                calls.is_busy
            };
            let result = call(&*self.resource, &request);
            // The last kills are made though the node has gone.
            if let (false, Some(host)) = (is_busy, self.host.upgrade()) {
                let _ = host.complete(request.op, result);
            }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam_channel::bounded;

    use super::*;

    /// The bound of every wait: far above what is expected.
    const BOUND: Duration = Duration::from_secs(20);
    const RESOURCE: ResourceId = ResourceId(1);

    fn desk() -> (Arc<Host>, Arc<Items>, Receiver<Event>) {
        let items = Arc::new(Items::new().unwrap());
        let (facts, told) = Facts::new();
        (Host::new(Arc::clone(&items), facts), items, told)
    }

    fn request(op: u64, verb: Verb, state: Option<PathBuf>) -> Request {
        Request {
            op: OpId(op),
            resource: "own".to_owned(),
            group: "group".to_owned(),
            verb,
            epoch: 3,
            timeout: BOUND,
            state,
            luns: Vec::new(),
            settings: "{}".to_owned(),
        }
    }

    fn asked(items: &Items) -> Vec<(u64, Verb)> {
        let taken = std::iter::from_fn(|| items.take().unwrap());
        let request = |item| match item {
            Item::Request(request) => Some((request.op.0, request.verb)),
            Item::Answer(_) | Item::Notice(_) => None,
        };
        taken.filter_map(request).collect()
    }

    fn ok(op: u64) -> Event {
        Event::Resource { op: OpId(op), resource: RESOURCE, result: Ok(()) }
    }

    /// A saved state that comes when the test lets it; whoever waits for `gone` knows that nobody
    /// reads it any more.
    struct Slow {
        go: Receiver<()>,
        _gone: Sender<()>,
    }

    impl SaveSource for Slow {
        fn open(&mut self) -> io::Result<Box<dyn Read + '_>> {
            let _ = self.go.recv_timeout(BOUND);
            Ok(Box::new(&b"state"[..]))
        }
    }

    #[test]
    fn a_load_that_a_kill_has_overtaken_never_reaches_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own.1.state");
        let (host, items, told) = desk();
        let ((let_go, go), (kept, gone)) = (bounded(1), bounded::<()>(0));
        let source = Freight::Source(Box::new(Slow { go, _gone: kept }));
        host.ask(RESOURCE, true, request(1, Verb::Load, Some(path.clone())), source);
        host.ask(RESOURCE, true, request(2, Verb::Kill, None), Freight::Nothing);
        host.complete(OpId(2), Ok(())).unwrap();
        assert_eq!(told.recv_timeout(BOUND).unwrap(), ok(2));
        let_go.send(()).unwrap();
        assert!(gone.recv_timeout(BOUND).is_err(), "it says nothing, it only goes");
        assert_eq!(asked(&items), [(2, Verb::Kill)]);
        assert!(!path.exists());
    }

    #[test]
    fn a_kill_is_over_only_when_no_saved_state_is_on_its_way_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own.1.state");
        std::fs::write(&path, [7_u8; 64]).unwrap();
        let (host, items, told) = desk();
        let (begun, has_begun) = bounded(1);
        let (let_go, go) = bounded::<()>(1);
        let (ended, how) = bounded(1);
        let sink = move |state: &mut dyn Read| {
            state.read_exact(&mut [0])?;
            begun.send(()).unwrap();
            let _ = go.recv_timeout(BOUND);
            let rest = state.read_to_end(&mut Vec::new());
            ended.send(rest.as_ref().map_err(ToString::to_string).copied()).unwrap();
            rest.map(|_| ())
        };
        let freight = Freight::Sink(Box::new(sink));
        host.ask(RESOURCE, true, request(1, Verb::Save, Some(path.clone())), freight);
        host.complete(OpId(1), Ok(())).unwrap();
        has_begun.recv_timeout(BOUND).unwrap();
        host.ask(RESOURCE, true, request(2, Verb::Kill, None), Freight::Nothing);
        host.complete(OpId(2), Ok(())).unwrap();
        assert!(told.is_empty(), "confirmed while the copy can still write");
        let_go.send(()).unwrap();
        assert_eq!(how.recv_timeout(BOUND).unwrap(), Err(CUT_SHORT.to_owned()));
        assert_eq!(told.recv_timeout(BOUND).unwrap(), ok(2));
        assert!(told.is_empty() && !path.exists());
        assert_eq!(asked(&items), [(1, Verb::Save), (2, Verb::Kill)]);
    }

    #[test]
    fn what_the_luns_protect_is_left_alone_until_its_own_time_is_over() {
        let (host, items, _told) = desk();
        host.ask(RESOURCE, true, request(1, Verb::Start, None), Freight::Nothing);
        host.ask(ResourceId(2), false, request(2, Verb::Start, None), Freight::Nothing);
        assert_eq!(asked(&items).len(), 2);
        assert_eq!(host.kill_all(|enforced| !enforced), [(ResourceId(2), Epoch(3))]);
        assert_eq!(asked(&items), [(0, Verb::Kill)]);
        assert!(host.may_begin(OpId(1)) && !host.may_begin(OpId(2)));
        assert_eq!(host.kill_all(|_| true).len(), 2);
    }

    #[test]
    fn completions_do_not_wait_for_an_engine_that_takes_none() {
        let (host, _items, told) = desk();
        for op in 1..=5_000 {
            host.ask(RESOURCE, true, request(op, Verb::Run, None), Freight::Nothing);
            host.complete(OpId(op), Ok(())).unwrap();
        }
        assert_eq!(told.len(), 5_000);
    }

    /// Its start hangs until it is told to go on; it counts its kills.
    struct Hanging {
        begun: Sender<()>,
        go: Receiver<()>,
        killed: Sender<()>,
    }

    impl Resource for Hanging {
        fn start(&self, _: &Request) -> Result<(), String> {
            self.begun.send(()).unwrap();
            let _ = self.go.recv_timeout(BOUND);
            Ok(())
        }

        fn stop(&self, _: &Request) -> Result<(), String> {
            Ok(())
        }

        fn kill(&self, _: &Request) -> Result<(), String> {
            self.killed.send(()).unwrap();
            Ok(())
        }
    }

    #[test]
    fn a_kill_reaches_a_served_resource_at_once_and_again_after_what_it_cut_short() {
        let (host, _items, told) = desk();
        let ((begun, has_begun), (let_go, go), (killed, kills)) =
            (bounded(1), bounded(1), unbounded());
        host.serve("own", Box::new(Hanging { begun, go, killed })).unwrap();
        host.ask(RESOURCE, true, request(1, Verb::Start, None), Freight::Nothing);
        has_begun.recv_timeout(BOUND).unwrap();
        host.ask(RESOURCE, true, request(2, Verb::Kill, None), Freight::Nothing);
        kills.recv_timeout(BOUND).unwrap();
        assert!(told.is_empty(), "the start may still succeed");
        let_go.send(()).unwrap();
        kills.recv_timeout(BOUND).unwrap();
        assert_eq!(told.recv_timeout(BOUND).unwrap(), ok(2));
        drop(host);
    }
}
