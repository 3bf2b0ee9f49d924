//! The resources of one node: verbs of the engine to drivers' workers or to the host.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use quorate_core::action::ResourceVerb;
use quorate_core::config::{ClusterConfig, GroupConfig};
use quorate_core::event::Event;
use quorate_core::id::{Epoch, LunId, NodeId, OpId, ResourceId, SaveToken};

use super::guard::{Guard, Running};
use super::host::{Freight, Host};
use super::input::Facts;
use super::lun::{Luns, lun_access};
use crate::ConfigError;
use crate::config::ResourceSettings;
use crate::drivers::{
    Answer, Done, DriverReport, DriverSettings, KillSwitch, Lun, Reporter, Request, SaveSink,
    SaveSource, StartContext, Worker, record_path,
};
use crate::item::{self, Verb};

/// What a driver answers that is asked to hand over what runs: it runs on.
/// Why nothing starts that the watchdog would not stop in time.
const FED_TOO_LATE: &str = "the lease is nearly over, and the watchdog would stop it too late";
const NOT_LIVE: &str = "this driver cannot hand over what runs";

/// How the names of files end in which saved states pass through.
pub(crate) const STATE_FILE_END: &str = ".state";

/// Every resource of the configuration, and the workers of those that were ever asked for.
pub(crate) struct Resources {
    node: String,
    places: Places,
    entries: BTreeMap<ResourceId, Entry>,
    answers: Sender<Answer>,
    reports: Sender<DriverReport>,
    guard: Arc<Guard>,
    host: Arc<Host>,
    facts: Facts,
}

struct Entry {
    group: String,
    name: String,
    luns: Vec<LunId>,
    enforced: bool,
    pending_timeout: Duration,
    settings: ResourceSettings,
    /// The ownership in which it was last started.
    epoch: Epoch,
    worker: Option<(Worker, Arc<KillSwitch>)>,
    /// A worker that hung was let go, and is not known to have ended: what it ran may still run.
    retired: Option<Arc<Mutex<Retired>>>,
}

/// What waits for the end of a worker that was let go.
#[derive(Debug)]
struct Retired {
    /// The newest kill; earlier ones nobody waits for any more.
    op: OpId,
    is_over: bool,
}

/// The directories of resources.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// For sockets, logs and states that pass through.
    pub(crate) work_dir: PathBuf,
    /// For what tells the next run what this one started.
    pub(crate) records: PathBuf,
}

/// Where answers and reports go.
#[derive(Clone)]
pub(crate) struct Ways {
    pub(crate) answers: Sender<Answer>,
    pub(crate) reports: Sender<DriverReport>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) host: Arc<Host>,
    pub(crate) facts: Facts,
}

impl Resources {
    /// # Errors
    /// Settings that this build does not understand: another one wrote the configuration.
    pub(crate) fn new(
        config: &ClusterConfig,
        node: String,
        places: Places,
        ways: Ways,
    ) -> Result<Self, ConfigError> {
        let Ways { answers, reports, guard, host, facts } = ways;
        let entries = entries(config)?;
        Ok(Self { node, places, entries, answers, reports, guard, host, facts })
    }

    /// Goes on with another configuration. What is in use stays as it is: the engine sees to it that nothing else is
    /// meant by it. Gives the workers that nobody needs.
    ///
    /// # Errors
    /// Settings that this build does not understand; what there was goes on then.
    pub(crate) fn follow(&mut self, config: &ClusterConfig) -> Result<Vec<Worker>, ConfigError> {
        let mut unneeded = Vec::new();
        let mut before = std::mem::take(&mut self.entries);
        let mut next = match entries(config) {
            Ok(next) => next,
            Err(error) => {
                self.entries = before;
                return Err(error);
            }
        };
        for (id, entry) in &mut next {
            let Some(old) = before.remove(id) else { continue };
            (entry.epoch, entry.retired) = (old.epoch, old.retired);
            let same = (&old.name, &old.settings) == (&entry.name, &entry.settings);
            match old.worker {
                Some(worker) if same || self.guard.is_running(*id) => entry.worker = Some(worker),
                Some((worker, _)) => unneeded.push(worker),
                None => {}
            }
        }
        for (id, old) in before {
            let is_used = self.guard.is_running(id) || old.retired.is_some();
            match old.worker {
                Some((worker, _)) if !is_used => unneeded.push(worker),
                worker => {
                    next.insert(id, Entry { worker, ..old });
                }
            }
        }
        self.entries = next;
        Ok(unneeded)
    }

    /// Hands a verb on. Never waits; what cannot be handed on is answered at once.
    pub(crate) fn carry_out(
        &mut self,
        op: OpId,
        resource: ResourceId,
        verb: ResourceVerb,
        luns: &Luns,
    ) -> Option<Event> {
        let failed = |why: String| Some(Event::Resource { op, resource, result: Err(why) });
        let Some(entry) = self.entries.get_mut(&resource) else {
            return failed(format!("{resource} is not in this node's configuration"));
        };
        if let ResourceVerb::Start { epoch } | ResourceVerb::Load { epoch, .. } = verb {
            entry.epoch = epoch;
        }
        let enforced = entry.enforced;
        if let ResourceSettings::Host(_) = entry.settings {
            let (request, freight) = match self.host_request(op, resource, verb, luns) {
                Ok(request) => request,
                Err(why) => return failed(why),
            };
            self.host.ask(resource, enforced, request, freight);
            return None;
        }
        if entry.waits_for_retired(op, verb) {
            return match verb {
                // Answered when what hung has ended.
                ResourceVerb::Kill => None,
                _ => failed("what ran before it has not ended yet".to_owned()),
            };
        }
        match (verb, &entry.worker) {
            (ResourceVerb::Kill | ResourceVerb::Stop { .. }, None) => {
                // It never ran in this boot.
                Some(Event::Resource { op, resource, result: Ok(()) })
            }
            (ResourceVerb::Kill, Some(_)) => self.kill(op, resource).err().and_then(failed),
            (_, _) => self.driver_request(op, resource, verb, luns).err().and_then(failed),
        }
    }

    /// What an answer of a worker means to the engine. `verb`: what it was asked for, if that
    /// counts.
    pub(crate) fn on_answer(&self, answer: Answer, verb: Option<ResourceVerb>) -> Event {
        let Answer { resource, op, result } = answer;
        let has_ended = matches!(result, Ok(Done::Killed | Done::Stopped(_) | Done::Saved));
        let starts = matches!(verb, Some(ResourceVerb::Start { .. } | ResourceVerb::Load { .. }));
        // What fails to start leaves nothing running.
        if has_ended || (starts && result.is_err()) {
            self.guard.remove(resource);
        }
        let result = result.map(|_| ()).map_err(|error| error.to_string());
        Event::Resource { op, resource, result }
    }

    fn driver_request(
        &mut self,
        op: OpId,
        resource: ResourceId,
        verb: ResourceVerb,
        luns: &Luns,
    ) -> Result<(), String> {
        let context = self.context(resource, luns);
        let entry = self.entries.get_mut(&resource).expect("the caller has found it");
        let deadline = Instant::now() + entry.pending_timeout;
        let request = match verb {
            ResourceVerb::Kill => Request::Kill,
            ResourceVerb::Start { .. } => Request::Start { context: Box::new(context?), deadline },
            ResourceVerb::Load { token, .. } => {
                let source = source_of(entry, luns, token)?;
                Request::Load { context: Box::new(context?), source, deadline }
            }
            ResourceVerb::Run => Request::Run { deadline },
            ResourceVerb::Save { token } => {
                Request::Save { sink: sink_of(entry, luns, token)?, deadline }
            }
            ResourceVerb::Send { .. } => return Err(NOT_LIVE.to_owned()),
            ResourceVerb::Stop { timeout } => Request::Stop { deadline: Instant::now() + timeout },
        };
        let (enforced, epoch) = (entry.enforced, entry.epoch);
        let guard = Arc::clone(&self.guard);
        let (worker, switch) = self.worker(resource)?;
        if matches!(request, Request::Start { .. } | Request::Load { .. }) {
            if !guard.covers(enforced) {
                return Err(FED_TOO_LATE.to_owned());
            }
            guard.add(resource, Running { switch: Arc::clone(switch), enforced, epoch });
        }
        worker.request(op, request).map_err(|gone| gone.to_string())
    }

    fn kill(&mut self, op: OpId, resource: ResourceId) -> Result<(), String> {
        let entry = self.entries.get_mut(&resource).ok_or("it is not configured")?;
        let Some((worker, _)) = &entry.worker else { return Ok(()) };
        if worker.kill(op).is_ok() {
            return Ok(());
        }
        // The worker hangs, or has ended after a defect. It kills on its way out; until it has, the
        // resource counts as running, and only then another worker takes its place.
        let Some((worker, _)) = entry.worker.take() else { return Ok(()) };
        let retired = Arc::new(Mutex::new(Retired { op, is_over: false }));
        entry.retired = Some(Arc::clone(&retired));
        let (facts, guard) = (self.facts.clone(), Arc::clone(&self.guard));
        worker.retire(move |last| {
            guard.remove(resource);
            let op = {
                let mut retired = retired.lock();
                retired.is_over = last.is_ok();
                retired.op
            };
            let result = last.map_err(|error| error.to_string());
            facts.tell(Event::Resource { op, resource, result });
        });
        Ok(())
    }

    /// The worker of a resource, started if need be: it lives as long as the node.
    fn worker(&mut self, resource: ResourceId) -> Result<&mut (Worker, Arc<KillSwitch>), String> {
        let entry = self.entries.get_mut(&resource).ok_or("it is not configured")?;
        if entry.worker.is_none() {
            let ResourceSettings::BuiltIn(settings) = &entry.settings else {
                return Err("the host runs it".to_owned());
            };
            let reporter = Reporter::new(resource, self.reports.clone());
            let driver = settings.clone().into_driver(reporter);
            let switch = driver.kill_switch();
            switch.record_in(record_path(&self.places.records, &entry.name));
            let worker = Worker::spawn(resource, driver, self.answers.clone())
                .map_err(|error| format!("no thread for it: {error}"))?;
            entry.worker = Some((worker, switch));
        }
        entry.worker.as_mut().ok_or_else(|| "it has no worker".to_owned())
    }

    fn context(&self, resource: ResourceId, luns: &Luns) -> Result<StartContext, String> {
        let entry = &self.entries[&resource];
        Ok(StartContext {
            group: entry.group.clone(),
            resource: entry.name.clone(),
            node: self.node.clone(),
            epoch: entry.epoch,
            work_directory: self.places.work_dir.join(&entry.name),
            luns: disks(entry, luns)?,
            environment: BTreeMap::new(),
        })
    }

    fn host_request(
        &self,
        op: OpId,
        resource: ResourceId,
        verb: ResourceVerb,
        luns: &Luns,
    ) -> Result<(item::Request, Freight), String> {
        let entry = &self.entries[&resource];
        let mut timeout = entry.pending_timeout;
        let mut freight = Freight::Nothing;
        let verb = match verb {
            ResourceVerb::Start { .. } => Verb::Start,
            ResourceVerb::Load { token, .. } => {
                freight = Freight::Source(source_of(entry, luns, token)?);
                Verb::Load
            }
            ResourceVerb::Run => Verb::Run,
            ResourceVerb::Save { token } => {
                freight = Freight::Sink(sink_of(entry, luns, token)?);
                Verb::Save
            }
            ResourceVerb::Send { .. } => return Err(NOT_LIVE.to_owned()),
            ResourceVerb::Stop { timeout: given } => {
                timeout = given;
                Verb::Stop
            }
            ResourceVerb::Kill => Verb::Kill,
        };
        // Of this request alone: another one may still be under way for a while after a kill.
        let file = || self.places.work_dir.join(format!("{}.{}{STATE_FILE_END}", entry.name, op.0));
        let state = match freight {
            Freight::Nothing => None,
            Freight::Sink(_) | Freight::Source(_) => Some(file()),
        };
        let settings = match &entry.settings {
            ResourceSettings::Host(host) => serde_json::Value::Object(host.settings.clone()),
            ResourceSettings::BuiltIn(_) => serde_json::Value::Null,
        };
        let disks = disks(entry, luns)?;
        let request = item::Request {
            op,
            resource: entry.name.clone(),
            group: entry.group.clone(),
            verb,
            epoch: entry.epoch.0,
            timeout,
            state,
            luns: disks.iter().map(lun_access).collect(),
            settings: settings.to_string(),
        };
        Ok((request, freight))
    }

    /// The name of a resource and of its group.
    pub(crate) fn names(&self, resource: ResourceId) -> Option<(&str, &str, Epoch)> {
        let entry = self.entries.get(&resource)?;
        Some((&entry.name, &entry.group, entry.epoch))
    }
}

impl Entry {
    /// Whether a worker that was let go has not ended. The newest kill is then the one to answer.
    fn waits_for_retired(&mut self, op: OpId, verb: ResourceVerb) -> bool {
        let Some(retired) = &self.retired else { return false };
        let mut retired = retired.lock();
        if verb == ResourceVerb::Kill {
            retired.op = op;
        }
        !retired.is_over
    }
}

/// One entry for each resource, that nobody has asked for yet.
fn entries(config: &ClusterConfig) -> Result<BTreeMap<ResourceId, Entry>, ConfigError> {
    let mut entries = BTreeMap::new();
    for group in config.groups() {
        for resource in &group.resources {
            let settings = serde_json::from_str(&resource.settings)
                .map_err(|error| error.to_string())
                .and_then(|json| ResourceSettings::read(&resource.driver, &json))
                .map_err(|reason| {
                    let place = format!("groups.{}.{}", group.name, resource.name);
                    ConfigError::new(place, reason, "correct the settings of the driver")
                })?;
            let entry = Entry {
                group: group.name.clone(),
                name: resource.name.clone(),
                luns: group.luns.clone(),
                enforced: config.is_enforced(group),
                pending_timeout: resource.pending_timeout,
                settings,
                epoch: Epoch(0),
                worker: None,
                retired: None,
            };
            entries.insert(resource.id, entry);
        }
    }
    Ok(entries)
}

/// The built-in resources that may run on `node`, for a look at what they need there.
pub(crate) fn checks(
    config: &ClusterConfig,
    node: NodeId,
) -> Vec<(ResourceId, String, DriverSettings)> {
    let mut found = Vec::new();
    let is_possible = |group: &&GroupConfig| {
        group.possible_owners.is_empty() || group.possible_owners.contains(&node)
    };
    for resource in config.groups().iter().filter(is_possible).flat_map(|group| &group.resources) {
        let json = serde_json::from_str(&resource.settings).unwrap_or_default();
        let settings = ResourceSettings::read(&resource.driver, &json);
        if let Ok(ResourceSettings::BuiltIn(settings)) = settings {
            found.push((resource.id, resource.name.clone(), settings));
        }
    }
    found
}

fn disks(entry: &Entry, luns: &Luns) -> Result<Vec<Lun>, String> {
    let find = |id: &LunId| luns.access(*id).ok_or_else(|| format!("{id} is not configured"));
    entry.luns.iter().map(find).collect()
}

fn save_lun(entry: &Entry) -> Result<LunId, String> {
    let first = entry.luns.first().copied();
    first.ok_or_else(|| format!("group {} has no lun to keep a saved state on", entry.group))
}

fn sink_of(
    entry: &Entry,
    luns: &Luns,
    token: SaveToken,
) -> Result<Box<dyn SaveSink + Send>, String> {
    let lun = save_lun(entry)?;
    luns.save_sink(lun, &entry.name, token).ok_or_else(|| format!("{lun} is not configured"))
}

fn source_of(
    entry: &Entry,
    luns: &Luns,
    token: SaveToken,
) -> Result<Box<dyn SaveSource + Send>, String> {
    let lun = save_lun(entry)?;
    luns.save_source(lun, &entry.name, token).ok_or_else(|| format!("{lun} is not configured"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use crossbeam_channel::{Receiver, bounded, unbounded};
    use quorate_core::config::ClusterParts;

    use super::*;
    use crate::drivers::{Driver, DriverError, Health, Stopped};

    /// The bound of every wait: far above what is expected.
    const BOUND: Duration = Duration::from_secs(20);
    const RESOURCE: ResourceId = ResourceId(1);

    /// Its process cannot be killed until the test allows it.
    struct Unkillable {
        switch: Arc<KillSwitch>,
        may_end: Receiver<()>,
    }

    impl Driver for Unkillable {
        fn start(&mut self, _: &StartContext, _: Instant) -> Result<(), DriverError> {
            Ok(())
        }

        fn save(&mut self, _: &mut dyn SaveSink, _: Instant) -> Result<(), DriverError> {
            Ok(())
        }

        fn load(
            &mut self,
            _: &StartContext,
            _: &mut dyn Read,
            _: Instant,
        ) -> Result<(), DriverError> {
            Ok(())
        }

        fn run(&mut self, _: Instant) -> Result<(), DriverError> {
            Ok(())
        }

        fn stop(&mut self, _: Instant) -> Result<Stopped, DriverError> {
            Ok(Stopped::Orderly)
        }

        fn kill(&mut self) -> Result<(), DriverError> {
            let _ = self.may_end.recv();
            Ok(())
        }

        fn looks_alive(&mut self) -> Health {
            Health::Alive
        }

        fn is_alive(&mut self, _: Instant) -> Health {
            Health::Alive
        }

        fn kill_switch(&self) -> Arc<KillSwitch> {
            Arc::clone(&self.switch)
        }
    }

    fn config() -> ClusterConfig {
        let nodes = [("n1".to_owned(), "127.0.0.1:1".to_owned())];
        let text = crate::config::template("test", 1, &nodes, "/nowhere");
        crate::Config::from_toml_str(&text, "cluster.toml").unwrap().cluster().clone()
    }

    fn places() -> Places {
        Places { work_dir: PathBuf::new(), records: PathBuf::new() }
    }

    fn ways() -> (Ways, Receiver<Event>) {
        let (facts, told) = Facts::new();
        let host = Host::new(Arc::new(super::super::items::Items::new().unwrap()), facts.clone());
        let guard = Guard::new(Arc::clone(&host), facts.clone(), config().timing(), None);
        let (answers, reports) = (bounded(1024).0, unbounded().0);
        (Ways { answers, reports, guard, host, facts }, told)
    }

    fn desk() -> (Resources, Luns, Receiver<Event>) {
        let (ways, told) = ways();
        let resources = Resources::new(&config(), "n1".to_owned(), places(), ways).unwrap();
        let inbox = super::super::input::Inbox::new(unbounded().0, Arc::default());
        let pulse = super::super::lun::Pulse::new(BOUND);
        (resources, Luns::start(Vec::new(), &inbox, &pulse).unwrap(), told)
    }

    #[test]
    fn a_kill_is_confirmed_only_when_the_process_is_gone_however_often_it_is_repeated() {
        let (mut resources, luns, told) = desk();
        let (end, may_end) = bounded::<()>(0);
        let switch = KillSwitch::new();
        let driver = Box::new(Unkillable { switch: Arc::clone(&switch), may_end });
        let worker = Worker::spawn(RESOURCE, driver, resources.answers.clone()).unwrap();
        resources.entries.get_mut(&RESOURCE).unwrap().worker = Some((worker, switch));
        // More than its queue holds: the worker is let go on the way.
        for op in 1..=100 {
            let answer = resources.carry_out(OpId(op), RESOURCE, ResourceVerb::Kill, &luns);
            assert_eq!(answer, None, "kill {op} is answered while the process runs");
        }
        let start = ResourceVerb::Start { epoch: Epoch(2) };
        let refused = resources.carry_out(OpId(101), RESOURCE, start, &luns);
        let Some(Event::Resource { result: Err(why), .. }) = refused else {
            panic!("started beside what runs: {refused:?}");
        };
        assert_eq!(why, "what ran before it has not ended yet");
        drop(end);
        let confirmed = told.recv_timeout(BOUND).unwrap();
        assert_eq!(
            confirmed,
            Event::Resource { op: OpId(100), resource: RESOURCE, result: Ok(()) }
        );
        let again = resources.carry_out(OpId(102), RESOURCE, ResourceVerb::Kill, &luns);
        assert!(matches!(again, Some(Event::Resource { result: Ok(()), .. })), "{again:?}");
    }

    #[test]
    fn a_driver_that_this_build_does_not_know_is_an_error_and_no_panic() {
        let mut parts = ClusterParts::from(config());
        parts.groups[0].resources[0].driver = "teleport".to_owned();
        let config = ClusterConfig::new(parts).unwrap();
        let made = Resources::new(&config, "n1".to_owned(), places(), ways().0);
        let error = made.map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("groups.counter.count: "), "{error}");
        assert!(error.contains("\"teleport\" is not known"), "{error}");
    }
}
