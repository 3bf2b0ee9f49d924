//! Resources of the test's own: what they are asked, and what they answer.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use quorate_core::action::ResourceVerb;
use quorate_core::id::ResourceId;

use super::{Cluster, Error};
use crate::clock::Moment;
use crate::world::{Asked, Hosted, World};

/// What a resource is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Start it afresh.
    Start,
    /// Load what was saved, but let it not run yet.
    Load,
    /// Let what was loaded run.
    Run,
    /// Halt it, save its state, and end it here.
    Save,
    /// Stop it in order.
    Stop,
    /// End it now, whatever else is under way.
    Kill,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Verb; 6] =
        [Verb::Start, Verb::Load, Verb::Run, Verb::Save, Verb::Stop, Verb::Kill];

    /// The verb in lower case, the same in all languages.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Load => "load",
            Verb::Run => "run",
            Verb::Save => "save",
            Verb::Stop => "stop",
            Verb::Kill => "kill",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<ResourceVerb> for Verb {
    fn from(verb: ResourceVerb) -> Self {
        match verb {
            ResourceVerb::Start { .. } => Verb::Start,
            ResourceVerb::Load { .. } => Verb::Load,
            ResourceVerb::Run => Verb::Run,
            // The simulator's own guest is handed over: nobody outside is asked to.
            ResourceVerb::Save { .. } | ResourceVerb::Send { .. } => Verb::Save,
            ResourceVerb::Stop { .. } => Verb::Stop,
            ResourceVerb::Kill => Verb::Kill,
        }
    }
}

/// Names one request of a test cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One request for a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The completion names it.
    pub id: RequestId,
    /// The node whose resource is meant: each has its own.
    pub node: String,
    /// The resource.
    pub resource: String,
    /// Its group.
    pub group: String,
    /// What to do.
    pub verb: Verb,
    /// The epoch of the group's ownership.
    pub epoch: u64,
    /// How long it may take before the resource is killed and counts as failed.
    pub timeout: Duration,
    /// The name of the saved state, with `Save` and `Load` only: the same for both.
    pub state: Option<String>,
    /// The names of the group's LUNs.
    pub luns: Vec<String>,
    /// The resource's own settings, a JSON object.
    pub settings: String,
    /// When it came, since the cluster's beginning.
    pub at: Duration,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    outcome: Option<Result<(), String>>,
    after: Option<Duration>,
}

impl Reply {
    /// It is done.
    pub fn done() -> Self {
        Self { outcome: Some(Ok(())), after: None }
    }

    /// It could not be done, for this reason.
    pub fn failed(why: impl Into<String>) -> Self {
        Self { outcome: Some(Err(why.into())), after: None }
    }

    /// It hangs: no answer ever comes.
    pub fn never() -> Self {
        Self { outcome: None, after: None }
    }

    /// The same, but it takes so long, in virtual time.
    #[must_use]
    pub fn after(self, length: Duration) -> Self {
        Self { after: Some(length), ..self }
    }
}

impl From<Result<(), String>> for Reply {
    fn from(result: Result<(), String>) -> Self {
        Self { outcome: Some(result), after: None }
    }
}

/// A resource of a test's own, on every node of the cluster. A closure over requests is one.
pub trait Served: Send {
    /// Answers a request. Called in virtual time: it returns at once, and says in its reply how long it took.
    fn carry_out(&mut self, request: &Request) -> Reply;

    /// The process of this node has ended, by itself or with its host, and with it what there was of the resource.
    fn gone(&mut self, node: &str) {
        let _ = node;
    }
}

impl<F: FnMut(&Request) -> Reply + Send> Served for F {
    fn carry_out(&mut self, request: &Request) -> Reply {
        self(request)
    }
}

/// Who answers for which resource, and what is under way.
#[derive(Default)]
pub(super) struct Serving {
    served: BTreeMap<ResourceId, Box<dyn Served>>,
    takes: BTreeMap<(ResourceId, Verb), Duration>,
    due: BTreeMap<(Moment, RequestId), (Asked, Result<(), String>)>,
    by_hand: BTreeMap<RequestId, Asked>,
    untaken: VecDeque<Request>,
    count: u64,
}

impl Serving {
    /// Whether an answer is to come by itself.
    pub(super) fn is_busy(&self, world: &World) -> bool {
        self.due.values().any(|(asked, _)| world.is_open(asked))
    }
}

impl Cluster {
    /// Lets `served` answer for a resource, on every node. Call it before time passes: what runs already, `served`
    /// has not started.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn serve(&mut self, resource: &str, served: impl Served + 'static) -> Result<(), Error> {
        let id = self.resource(resource)?;
        self.world.host_resource(id);
        self.serving.served.insert(id, Box::new(served));
        Ok(())
    }

    /// Lets the requests for a resource wait for the test, which takes and completes them by hand.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn answer_for(&mut self, resource: &str) -> Result<(), Error> {
        let id = self.resource(resource)?;
        self.world.host_resource(id);
        self.serving.served.remove(&id);
        Ok(())
    }

    /// How long the requests of one kind take for a served resource whose reply does not say. Default: no time.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn takes(&mut self, resource: &str, verb: Verb, length: Duration) -> Result<(), Error> {
        let id = self.resource(resource)?;
        self.serving.takes.insert((id, verb), length);
        Ok(())
    }

    /// Takes the oldest request that waits for the test; those that something has overtaken are passed over.
    pub fn take_request(&mut self) -> Option<Request> {
        while let Some(request) = self.serving.untaken.pop_front() {
            let asked = self.serving.by_hand.get(&request.id);
            if asked.is_some_and(|asked| self.world.is_open(asked)) {
                return Some(request);
            }
        }
        None
    }

    /// Lets time pass until a request waits for the test, and takes it.
    ///
    /// # Errors
    /// [`Error::TimedOut`] or [`Error::Violation`].
    pub fn next_request(&mut self, timeout: Duration) -> Result<Request, Error> {
        let deadline = self.world.now() + timeout;
        loop {
            if let Some(request) = self.take_request() {
                return Ok(request);
            }
            if self.world.now() >= deadline {
                return Err(self.timed_out("a request", timeout));
            }
            self.step_to(deadline)?;
        }
    }

    /// Completes a request that was taken: done, or why not. One that something has overtaken may be completed or not.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a request that was never made, or was completed.
    pub fn complete(
        &mut self,
        request: RequestId,
        result: Result<(), String>,
    ) -> Result<(), Error> {
        let asked = self.serving.by_hand.remove(&request).ok_or_else(|| {
            Error::Misuse(format!("request {} was never made, or is completed", request.0))
        })?;
        self.world.complete(&asked, result);
        Ok(())
    }

    /// Says that what runs of a resource on a node has failed by itself.
    ///
    /// # Errors
    /// [`Error::Unknown`], or [`Error::Misuse`] when nothing of it runs there.
    pub fn report(&mut self, resource: &str, node: &str, detail: &str) -> Result<(), Error> {
        let (id, on) = (self.resource(resource)?, self.node(node)?);
        let slot = self.world.host_of(on).slots.get(&id);
        let guest = slot.and_then(|slot| slot.guest.as_ref());
        let epoch = guest.map(|guest| guest.epoch).ok_or_else(|| {
            Error::Misuse(format!("{resource} does not run on {node}, so it cannot fail there"))
        })?;
        self.world.report(on, id, epoch, detail);
        Ok(())
    }

    /// Lets time pass until `until`.
    pub(super) fn advance(&mut self, until: Moment) -> Result<(), Error> {
        while !self.step_to(until)? {}
        Ok(())
    }

    /// Lets time pass until `until`, or until something waits for the test; whether it is `until`.
    fn step_to(&mut self, until: Moment) -> Result<bool, Error> {
        loop {
            let mut is_asked = false;
            while let Some(hosted) = self.world.take_hosted() {
                is_asked |= self.hear(hosted);
            }
            self.check()?;
            if is_asked {
                return Ok(false);
            }
            let due = self.serving.due.keys().next().map(|&(at, _)| at);
            let next = due.map_or(until, |due| due.min(until));
            if self.world.now() >= next {
                match self.serving.due.first_entry().filter(|entry| entry.key().0 <= next) {
                    Some(entry) => {
                        let (asked, result) = entry.remove();
                        self.world.complete(&asked, result);
                    }
                    None => return Ok(true),
                }
            } else {
                self.world.run_until(next);
            }
        }
    }

    /// Passes something on to whoever answers for the resource; whether that is the test, by hand.
    fn hear(&mut self, hosted: Hosted) -> bool {
        let asked = match hosted {
            Hosted::Asked(asked) => asked,
            Hosted::Gone(node, resource) => {
                let name = self.node_name(node);
                if let Some(served) = self.serving.served.get_mut(&resource) {
                    served.gone(&name);
                }
                return false;
            }
        };
        let Some(request) = self.request(&asked) else { return false };
        let Serving { served, takes, due, by_hand, untaken, .. } = &mut self.serving;
        let Some(served) = served.get_mut(&asked.resource) else {
            by_hand.retain(|_, other| self.world.is_open(other));
            by_hand.insert(request.id, asked);
            untaken.push_back(request);
            return true;
        };
        let Reply { outcome, after } = served.carry_out(&request);
        if let Some(result) = outcome {
            let usual = takes.get(&(asked.resource, request.verb)).copied();
            let at = self.world.now() + after.or(usual).unwrap_or_default();
            due.insert((at, request.id), (asked, result));
        }
        false
    }

    fn request(&mut self, asked: &Asked) -> Option<Request> {
        self.serving.count += 1;
        let config = self.config();
        let (group, resource) = config.resource(asked.resource)?;
        let lun = |id: &_| config.lun(*id).map(|lun| lun.name.clone());
        let (timeout, state) = match asked.verb {
            ResourceVerb::Stop { timeout } => (timeout, None),
            ResourceVerb::Kill => (config.timing().stop_time, None),
            ResourceVerb::Load { token, .. }
            | ResourceVerb::Save { token }
            | ResourceVerb::Send { token, .. } => {
                (resource.pending_timeout, Some(format!("{:016x}", token.0)))
            }
            ResourceVerb::Start { .. } | ResourceVerb::Run => (resource.pending_timeout, None),
        };
        Some(Request {
            id: RequestId(self.serving.count),
            node: self.node_name(asked.node),
            resource: resource.name.clone(),
            group: group.name.clone(),
            verb: asked.verb.into(),
            epoch: asked.epoch.0,
            timeout,
            state,
            luns: group.luns.iter().filter_map(lun).collect(),
            settings: resource.settings.clone(),
            at: self.now(),
        })
    }
}
