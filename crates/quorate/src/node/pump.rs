//! The engine's thread: takes what came, asks the engine, carries out what it wants.
//!
//! Owns the engine and the desks. *Architecture invariant*: nothing on this thread waits for a
//! disk, a LUN, a guest, a peer or the host; each has a thread of its own and a queue between.

use std::collections::{BTreeMap, VecDeque};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};
use quorate_core::action::{Action, ResourceVerb};
use quorate_core::codec;
use quorate_core::durable::Record;
use quorate_core::engine::Engine;
use quorate_core::event::{Event, Trouble};
use quorate_core::id::{Epoch, NodeId, OpId, ResourceId};
use quorate_core::notice::Notice as Told;

use super::fencing::{FenceAgents, Request};
use super::guard::{AtTheEnd, Guard};
use super::incoming::{Drops, Incoming, Refusals, engine_drop_word, incoming};
use super::input::Input;
use super::items::Items;
use super::lun::{Job, Luns, Pulse};
use super::peers::Peers;
use super::persist::Persist;
use super::pill::Pills;
use super::recorder::Recording;
use super::resources::Resources;
use super::start::Desks;
use super::tell::{Fields, Names, notice};
use super::view::Snapshot;
use super::witness::Witness;
use crate::clock;
use crate::drivers::{Answer as DriverAnswer, DriverReport};
use crate::item::{Answer, Item, Ticket};
use crate::net::{NetEvent, NetHandle};
use crate::notice::{Notice, NoticeKind};

/// The most inputs that are taken before the view is renewed.
const BATCH_MAX: usize = 256;
/// How old the view for readers may be while nothing happens.
const VIEW_AGE_MAX: Duration = Duration::from_millis(100);
/// How long ago the engine may have been told the time of day: the people's clock may be set.
const DAY_AGE_MAX: Duration = Duration::from_secs(600);

/// How the engine's thread came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything here is stopped, and the cluster knows.
    Left,
    /// It was taken out of the cluster; everything here is stopped.
    Evicted,
    /// The host wants it so.
    Killed,
    /// This node can promise nothing more.
    Failed(String),
}

/// What the engine's thread works with.
pub(crate) struct Pump {
    pub(crate) engine: Engine,
    pub(crate) node: NodeId,
    pub(crate) net: NetHandle,
    pub(crate) peers: Peers,
    pub(crate) queues: Queues,
    pub(crate) log: Sender<Persist>,
    pub(crate) luns: Luns,
    pub(crate) fence_agents: FenceAgents,
    pub(crate) pills: Pills,
    pub(crate) witness: Witness,
    pub(crate) resources: Resources,
    /// The digest of the configuration that the desks were made for.
    pub(crate) digest: u64,
    pub(crate) desks: Desks,
    pub(crate) guard: Arc<Guard>,
    pub(crate) pulse: Pulse,
    pub(crate) items: Arc<Items>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) drops: Drops,
    pub(crate) refusals: Refusals,
    pub(crate) seen_at: Instant,
    /// When the engine was last told the time of day.
    pub(crate) day_told: Option<Instant>,
    /// Why the engine has ended, when its log has failed.
    pub(crate) log_failed: Option<String>,
    /// See the feature `test-switches`.
    pub(crate) is_cut: Arc<AtomicBool>,
    /// When each request to a resource went out, for the notices.
    pub(crate) requested: BTreeMap<OpId, (ResourceId, ResourceVerb, Instant)>,
    /// None: the host wants none, or it could not be begun.
    pub(crate) recording: Option<Recording>,
}

/// What comes in, by kind.
pub(crate) struct Queues {
    pub(crate) net: Receiver<NetEvent>,
    pub(crate) inbox: Receiver<Input>,
    pub(crate) answers: Receiver<DriverAnswer>,
    pub(crate) reports: Receiver<DriverReport>,
    pub(crate) facts: Receiver<Event>,
}

enum Got {
    Net(NetEvent),
    Input(Input),
    Answer(DriverAnswer),
    Report(DriverReport),
    Fact(Event),
    Nothing,
}

impl Pump {
    /// Runs until the end.
    pub(crate) fn run(&mut self) -> Outcome {
        let mut outcome = self.step(Event::Tick);
        while outcome.is_none() {
            let mut got = self.wait();
            let mut count = 0;
            loop {
                let was_nothing = matches!(got, Got::Nothing);
                outcome = self.on(got);
                count += 1;
                if outcome.is_some() || was_nothing || count == BATCH_MAX {
                    break;
                }
                got = self.poll();
            }
            if outcome.is_none() && self.is_due() {
                outcome = self.step(Event::Tick);
            }
            if outcome.is_none()
                && let Some(event) = self.time_of_day()
            {
                outcome = self.step(event);
            }
            if self.seen_at.elapsed() >= VIEW_AGE_MAX {
                self.renew_view();
            }
        }
        self.renew_view();
        outcome.unwrap_or(Outcome::Killed)
    }

    /// What time of day it is, where the configuration has hours in it and it was not said lately.
    fn time_of_day(&mut self) -> Option<Event> {
        if self.day_told.is_some_and(|told| told.elapsed() < DAY_AGE_MAX) {
            return None;
        }
        self.day_told = Some(Instant::now());
        let mut groups = self.engine.config().groups().iter();
        let timed = groups.any(|group| group.wishes.failback_hours.is_some());
        timed.then(|| Event::TimeOfDay { seconds: clock::seconds_of_day() })
    }

    fn is_due(&self) -> bool {
        self.engine.deadline().is_some_and(|deadline| deadline <= clock::now())
    }

    fn wait(&self) -> Got {
        let rest = self.engine.deadline().map_or(VIEW_AGE_MAX, |at| at.since(clock::now()));
        let queues = &self.queues;
        // A closed queue has nothing to say; the end comes by the inbox.
        select! {
            recv(queues.net) -> event => event.map_or(Got::Nothing, Got::Net),
            recv(queues.inbox) -> input => input.map_or(Got::Nothing, Got::Input),
            recv(queues.answers) -> answer => answer.map_or(Got::Nothing, Got::Answer),
            recv(queues.reports) -> report => report.map_or(Got::Nothing, Got::Report),
            recv(queues.facts) -> fact => fact.map_or(Got::Nothing, Got::Fact),
            default(rest.min(VIEW_AGE_MAX)) => Got::Nothing,
        }
    }

    fn poll(&self) -> Got {
        let queues = &self.queues;
        select! {
            recv(queues.net) -> event => event.map_or(Got::Nothing, Got::Net),
            recv(queues.inbox) -> input => input.map_or(Got::Nothing, Got::Input),
            recv(queues.answers) -> answer => answer.map_or(Got::Nothing, Got::Answer),
            recv(queues.reports) -> report => report.map_or(Got::Nothing, Got::Report),
            recv(queues.facts) -> fact => fact.map_or(Got::Nothing, Got::Fact),
            default => Got::Nothing,
        }
    }

    fn on(&mut self, got: Got) -> Option<Outcome> {
        match got {
            Got::Nothing => None,
            Got::Net(event) => self.on_net(event),
            Got::Input(input) => self.on_input(input),
            Got::Answer(answer) => {
                let verb = self.requested.get(&answer.op).map(|(_, verb, _)| *verb);
                let event = self.resources.on_answer(answer, verb);
                self.step(event)
            }
            Got::Report(report) => self.on_report(&report),
            Got::Fact(event) => self.step(event),
        }
    }

    fn on_net(&mut self, event: NetEvent) -> Option<Outcome> {
        if self.is_cut.load(Ordering::Relaxed) && !matches!(event, NetEvent::Failed { .. }) {
            return None;
        }
        let names = Names(self.engine.config());
        match incoming(event, &names, &mut self.drops, &mut self.refusals) {
            Incoming::Event(event) => self.step(event),
            Incoming::Notice(notice) => {
                self.items.push(Item::Notice(notice));
                None
            }
            Incoming::Nothing => None,
            Incoming::Failed(why) => Some(Outcome::Failed(why)),
        }
    }

    fn on_input(&mut self, input: Input) -> Option<Outcome> {
        match input {
            Input::Event(event) => self.step(event),
            Input::Persisted { ops, result: Ok(()) } => {
                ops.into_iter().find_map(|op| self.step(Event::Persisted { op }))
            }
            Input::Persisted { ops, result: Err(error) } => {
                for op in ops {
                    let end = self.step(Event::PersistFailed { op, error: error.clone() });
                    if end.is_some() {
                        return end;
                    }
                }
                Some(Outcome::Failed(format!("the local log cannot be written: {error}")))
            }
            Input::Notice(notice) => {
                self.items.push(Item::Notice(notice));
                None
            }
            Input::Report { resource, epoch, detail } => {
                self.on_host_report(&resource, epoch, detail)
            }
            Input::Look(look) => {
                look.at(&self.engine);
                None
            }
            Input::Kill => Some(Outcome::Killed),
            Input::FenceItself(why) => Some(Outcome::Failed(why)),
            #[cfg(feature = "test-switches")]
            Input::Panic => panic!("a test wants the engine to panic"),
            #[cfg(feature = "test-switches")]
            Input::Hang(length) => {
                std::thread::sleep(length);
                None
            }
        }
    }

    fn on_report(&mut self, report: &DriverReport) -> Option<Outcome> {
        let DriverReport { resource, epoch, event, .. } = report;
        let trouble = event.trouble()?;
        self.step(Event::ResourceFailed {
            resource: *resource,
            epoch: *epoch,
            trouble,
            detail: event.to_string(),
        })
    }

    fn on_host_report(&mut self, name: &str, epoch: Epoch, detail: String) -> Option<Outcome> {
        let groups = self.engine.config().groups();
        let mut all = groups.iter().flat_map(|group| &group.resources);
        let resource = all.find(|resource| resource.name == name)?.id;
        let trouble = Trouble::Reported;
        self.step(Event::ResourceFailed { resource, epoch, trouble, detail })
    }

    /// One event to the engine, and what follows from it at once.
    fn step(&mut self, event: Event) -> Option<Outcome> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if let Event::Resource { op, resource, result } = &event {
                self.tell_completed(*op, *resource, result);
            }
            let now = clock::now();
            if let Some(recording) = &mut self.recording {
                recording.event(&event, now);
            }
            let actions = self.engine.step(event, now);
            if let Some(recording) = &mut self.recording
                && let Some(ended) = recording.actions(&actions, now)
            {
                self.items.push(Item::Notice(ended));
            }
            if let Some(outcome) = self.tell() {
                return Some(outcome);
            }
            for action in actions {
                match self.carry_out(action) {
                    Carried::On => {}
                    Carried::Answered(answer) => events.push_back(answer),
                    Carried::Ended(outcome) => return Some(outcome),
                }
            }
            // Only what was carried out counts as done.
            let config = self.engine.config();
            let policy = AtTheEnd {
                keeps: config.policy().keep_without_quorum,
                stop_time: config.timing().stop_time,
            };
            self.guard.on_turn(self.engine.lease().map(|until| until.0), now.0, policy);
            self.pulse.beat();
        }
        // What was promised before holds; nothing more can be.
        self.engine.has_ended().then(|| {
            let why = self.log_failed.take().unwrap_or_else(|| "for an unknown reason".to_owned());
            Outcome::Failed(format!("the local log cannot be written: {why}"))
        })
    }

    fn carry_out(&mut self, action: Action) -> Carried {
        match action {
            Action::SendBeat { to, path, beat } => {
                if !self.is_cut.load(Ordering::Relaxed) {
                    // Lost is lost; the network counts it.
                    let _ = self.net.send_datagram(to.0, path.0, &codec::encode(&beat));
                }
            }
            Action::Send { to, message } => {
                if !self.is_cut.load(Ordering::Relaxed) {
                    let _ = self.net.send_stream(to.0, codec::encode(&message));
                }
            }
            Action::Persist { op, records, rewrite } => return self.persist(op, records, rewrite),
            Action::Lun { op, lun, verb } => {
                return Carried::of(self.luns.carry_out(lun, Job { op, verb }));
            }
            Action::Resource { op, resource, verb } => {
                self.tell_requested(op, resource, verb);
                return Carried::of(self.resources.carry_out(op, resource, verb, &self.luns));
            }
            Action::Answer { request, result } => {
                self.items.push(Item::Answer(Answer { ticket: Ticket(request.0), result }));
            }
            Action::Witness { op, verb } => return Carried::of(self.witness.carry_out(op, verb)),
            Action::Fence { op, agent, node, verb } => {
                let (config, least) = (self.engine.config(), self.engine.incarnation_of(node));
                let least = least.map(|incarnation| incarnation.boot);
                let request = Request { agent: &agent, node, verb, least };
                return Carried::of(self.fence_agents.carry_out(config, op, &request));
            }
            Action::Reincarnated { .. } => {}
            Action::Left => return Carried::Ended(Outcome::Left),
            Action::Evicted => return Carried::Ended(Outcome::Evicted),
        }
        Carried::On
    }

    fn persist(&mut self, op: OpId, records: Vec<Record>, rewrite: bool) -> Carried {
        match self.log.send(Persist { op, records, rewrite }) {
            Ok(()) => Carried::On,
            Err(_) => Carried::Ended(Outcome::Failed("the log's thread has ended".to_owned())),
        }
    }

    /// Tells the host what the engine found worth telling.
    fn tell(&mut self) -> Option<Outcome> {
        let told = self.engine.notices();
        if told.is_empty() {
            return None;
        }
        let (mut is_other_config, mut are_other_peers) = (false, false);
        for one in &told {
            if let Told::Dropped { reason, .. } = one {
                self.drops.count(engine_drop_word(*reason));
            }
            if let Told::StorageFailed { error } = one {
                self.log_failed.get_or_insert_with(|| error.clone());
            }
            is_other_config |= matches!(
                one,
                Told::Joined | Told::ConfigurationDiffers { .. } | Told::Configured { .. }
            );
            are_other_peers |= is_other_config || matches!(one, Told::Parted { .. });
            if let Some(notice) = Names(self.engine.config()).told(one) {
                self.items.push(Item::Notice(notice));
            }
        }
        if are_other_peers {
            self.peers.follow(&self.engine, self.node);
        }
        let outcome = if is_other_config { self.adopt_configuration() } else { None };
        self.renew_view();
        outcome
    }

    /// The committed configuration may differ from this node's file, and may change: what runs here follows it. A
    /// node that cannot follow must not go on: its file's numbers may mean other LUNs.
    fn adopt_configuration(&mut self) -> Option<Outcome> {
        let config = self.engine.config();
        if config.digest() == self.digest {
            return None;
        }
        match self.desks.follow(config, self.node, &mut self.luns, &mut self.resources) {
            Ok(old) => {
                self.digest = config.digest();
                self.snapshot.follow(config.clone());
                self.pills.follow(config);
                close_elsewhere(old);
                None
            }
            Err(error) => Some(Outcome::Failed(format!(
                "the cluster's configuration cannot be followed here: {error}"
            ))),
        }
    }

    fn tell_requested(&mut self, op: OpId, resource: ResourceId, verb: ResourceVerb) {
        if verb == ResourceVerb::Kill {
            // What it cuts short may never be answered.
            self.requested.retain(|_, (other, _, _)| *other != resource);
        }
        self.requested.insert(op, (resource, verb, Instant::now()));
        let told = self.resource_notice(NoticeKind::Requested, resource, verb, |name, verb| {
            (format!("{name}: {verb} requested"), Fields::default().with("op", op.0))
        });
        self.items.push(Item::Notice(told));
    }

    fn tell_completed(&mut self, op: OpId, resource: ResourceId, result: &Result<(), String>) {
        let Some((_, verb, since)) = self.requested.remove(&op) else { return };
        let took = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let told = self.resource_notice(NoticeKind::Completed, resource, verb, |name, verb| {
            let ms = format!("{}.{} ms", took / 1000, took / 100 % 10);
            let fields = Fields::default().with("op", op.0).with("took_us", took);
            match result {
                Ok(()) => (format!("{name}: {verb} done in {ms}"), fields),
                Err(error) => (
                    format!("{name}: {verb} failed after {ms}: {error}"),
                    fields.with("error", error.as_str()),
                ),
            }
        });
        self.items.push(Item::Notice(told));
    }

    fn resource_notice(
        &self,
        kind: NoticeKind,
        resource: ResourceId,
        verb: ResourceVerb,
        say: impl FnOnce(&str, &str) -> (String, Fields),
    ) -> Notice {
        let word = match verb {
            ResourceVerb::Start { .. } => "start",
            ResourceVerb::Load { .. } => "load",
            ResourceVerb::Run => "run",
            ResourceVerb::Save { .. } => "save",
            ResourceVerb::Send { .. } => "send",
            ResourceVerb::Stop { .. } => "stop",
            ResourceVerb::Kill => "kill",
        };
        let (name, group, epoch) = match self.resources.names(resource) {
            Some((name, group, epoch)) => (name.to_owned(), group.to_owned(), epoch.0),
            None => (resource.to_string(), String::new(), 0),
        };
        let epoch = match verb {
            ResourceVerb::Start { epoch } | ResourceVerb::Load { epoch, .. } => epoch.0,
            _ => epoch,
        };
        let (text, fields) = say(&name, word);
        let fields = fields
            .with("resource", name)
            .with("group", group)
            .with("verb", word)
            .with("epoch", epoch);
        notice(kind, text, fields)
    }

    fn renew_view(&mut self) {
        self.seen_at = Instant::now();
        let view = self.engine.status(clock::now());
        self.snapshot.renew(view, clock::stamp(), &self.drops);
        self.items.wake();
    }
}

/// Closes on a thread of its own what may wait for a storage that does not answer. Nothing of it
/// runs. If there is no thread to be had it stays open: to wait here would end this node.
fn close_elsewhere<T: Send + 'static>(old: T) {
    let old = ManuallyDrop::new(old);
    let close = move || drop(ManuallyDrop::into_inner(old));
    if let Err(error) = std::thread::Builder::new().name("close".to_owned()).spawn(close) {
        tracing::warn!(%error, "what the file of this node defines is not closed");
    }
}

/// What came of carrying out an action.
enum Carried {
    On,
    Answered(Event),
    Ended(Outcome),
}

impl Carried {
    fn of(answer: Option<Event>) -> Self {
        answer.map_or(Carried::On, Carried::Answered)
    }
}
