//! How a node comes up, part by part, and how it goes down again.

use std::convert::Infallible;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use quorate_core::config::{ClusterConfig, NodeConfig};
use quorate_core::durable::Durable;
use quorate_core::engine::{Engine, Setup};
use quorate_core::id::NodeId;
use quorate_core::placement;
use quorate_core::recording::Ending;

use super::addresses::{addresses, find_node};
use super::fencing::FenceAgents;
use super::guard::{self, Guard, GuardThread};
use super::host::Host;
use super::incoming::{Drops, Refusals};
use super::input::{Facts, Full, INBOX_MAX, Inbox, Input, NET_MAX, NetQueue};
use super::items::{End, Items};
use super::lun::{LunSpec, Luns, Pulse};
use super::peers::Peers;
use super::persist::{self, Remembered};
use super::pill::{self, Pills};
use super::pump::{Outcome, Pump, Queues};
use super::recorder::{self, Recording};
use super::resources::{Places, Resources, STATE_FILE_END, Ways, checks};
use super::tell::{Fields, Names, notice};
use super::view::Snapshot;
use super::witness::Witness;
use super::{Inner, NodeOptions, WriteHook, panic_text};
use crate::Error;
use crate::clock;
use crate::config::LunSettings;
use crate::drivers::{self, Answer, DriverReport, LeftoverError, Reporter, Worker};
use crate::item::Item;
use crate::log::{Cut, Log};
use crate::net::{Net, NetConfig, NetEvent, PathAddress, PeerConfig};
use crate::notice::NoticeKind;

/// The longest path of a socket, or of a directory with sockets in it, in bytes.
const SOCKET_PATH_MAX: usize = 100;
/// How long processes of an earlier run may take to die.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(10);
/// Most answers and reports of drivers that wait.
const DRIVERS_MAX: usize = 1024;

/// A node that runs.
pub(super) struct Running {
    pub(super) inner: Arc<Inner>,
    /// Closed when the node's last thread ends.
    pub(super) gone: Receiver<Infallible>,
}

/// Starts everything; on an error nothing is left running.
pub(super) fn start(mut options: NodeOptions) -> Result<Running, Error> {
    options.state_dir = make_state_dir(&options.state_dir)?;
    let ground = Ground::find(&options)?;
    let lines = Lines::lay()?;
    let net = Net::start(ground.net_config(&options), lines.net_queue())?;
    let Ground { config, me, peers, durable, log, boot, work_dir, cut, .. } = ground;
    let now = clock::now();
    let setup =
        Setup { config: config.clone(), node: me.id, boot, durable, seed: boot, inherits: None };
    let recording = begin_recording(&options, &setup, now, &lines);
    let engine = Engine::new(setup, now);
    let host = Host::new(Arc::clone(&lines.items), lines.facts.clone());
    let (guard, guard_thread, pills) = guarded(&engine, (&me, boot), &options, &host, &lines)?;
    let desks = Desks {
        inbox: lines.inbox.clone(),
        pulse: Pulse::new(config.timing().detect),
        ways: lines.ways(&guard, &host),
        work_dir,
        records: records_dir(&options.state_dir),
        write_hook: options.write_hook.clone(),
    };
    let (luns, resources) = desks.open(&config, me.id)?;
    let log_thread = persist::spawn(log, boot, lines.inbox.clone())?;
    check_resources(&config, me.id, &lines.inbox, lines.reports.clone());
    let snapshot = first_look(&engine, now, &lines, &net);
    let is_cut = Arc::new(AtomicBool::new(false));
    lines.items.push(Item::Notice(started(&me.name, boot, cut, recording.as_ref())));
    let inner = Inner {
        config: options.config,
        name: options.node,
        items: Arc::clone(&lines.items),
        inbox: lines.inbox,
        snapshot: Arc::clone(&snapshot),
        host,
        guard: Arc::clone(&guard),
        // Tickets of another boot are never given again.
        tickets: AtomicU64::new(boot),
        #[cfg(feature = "test-switches")]
        is_cut: Arc::clone(&is_cut),
    };
    let pump = Pump {
        engine,
        node: me.id,
        peers: Peers::new(net.handle().clone(), peers),
        net: net.handle().clone(),
        queues: lines.queues,
        log: log_thread.requests,
        luns,
        fence_agents: FenceAgents::new(me.id, lines.facts.clone()),
        pills,
        witness: Witness::start(&config, &me, boot, lines.facts.clone())?,
        resources,
        digest: config.digest(),
        pulse: desks.pulse.clone(),
        desks,
        guard,
        items: lines.items,
        snapshot,
        drops: Drops::default(),
        refusals: Refusals::default(),
        day_told: None,
        seen_at: Instant::now(),
        log_failed: None,
        is_cut,
        requested: Default::default(),
        recording,
    };
    let whole = Whole { pump, net, guard_thread, log_thread: log_thread.thread };
    Ok(Running { inner: Arc::new(inner), gone: whole.spawn()? })
}

/// The guard of what will run here, and what it goes by. A node for which a poison pill lies there has no watchdog
/// armed. By the configuration in force, whatever stands in its file.
fn guarded(
    engine: &Engine,
    (me, boot): (&NodeConfig, u64),
    options: &NodeOptions,
    host: &Arc<Host>,
    lines: &Lines,
) -> Result<(Arc<Guard>, GuardThread, Pills), Error> {
    let (config, device) = (engine.config(), options.config.watchdog());
    let cleared = pill::before(config, me, boot, device.is_some())?;
    let guard = guard::watched(host, &lines.facts, config.timing(), device)?;
    if let Some(cleared) = &cleared {
        guard.listen(&cleared.sight);
    }
    let thread = GuardThread::start(Arc::clone(&guard))?;
    let pills = Pills::start(me.clone(), boot, cleared, Arc::clone(&guard), lines.inbox.clone())?;
    Ok((guard, thread, pills))
}

/// What readers see before the first step.
fn first_look(
    engine: &Engine,
    now: quorate_core::time::Instant,
    lines: &Lines,
    net: &Net,
) -> Arc<Snapshot> {
    let (view, full) = (engine.status(now), Arc::clone(&lines.full));
    let config = engine.config().clone();
    Arc::new(Snapshot::new(view, clock::stamp(), config, full, net.handle().clone()))
}

/// A node whose recording cannot be begun says so, and runs.
fn begin_recording(
    options: &NodeOptions,
    setup: &Setup,
    now: quorate_core::time::Instant,
    lines: &Lines,
) -> Option<Recording> {
    let wanted = options.record.as_ref()?;
    match Recording::begin(wanted, &options.state_dir, setup, now, lines.inbox.clone()) {
        Ok(recording) => Some(recording),
        Err(why) => {
            let told = recorder::ended(&options.state_dir, &why);
            lines.items.push(Item::Notice(told));
            None
        }
    }
}

/// What a node stands on: its place in the configuration, its directories, its log.
struct Ground {
    config: ClusterConfig,
    me: NodeConfig,
    paths: Vec<PathAddress>,
    peers: Vec<PeerConfig>,
    work_dir: PathBuf,
    log: Log,
    durable: Durable,
    boot: u64,
    cut: Option<Cut>,
}

impl Ground {
    fn find(options: &NodeOptions) -> Result<Self, Error> {
        let config = options.config.cluster().clone();
        let me = find_node(&config, &options.node)?.clone();
        let (paths, peers) = addresses(&config, me.id)?;
        let work_dir = options.work_dir.clone().unwrap_or_else(|| options.state_dir.join("run"));
        let (mut log, recovered) = Log::open(&options.state_dir, config.id().0, me.id.0)?;
        let cut = recovered.cut;
        let Remembered { durable, boot } =
            persist::remembered(recovered, options.state_dir.clone())?;
        make_work_dir(&work_dir, &config)?;
        end_leftovers(&options.state_dir)?;
        let boot = clock::unix_us().max(boot + 1);
        persist::begin_boot(&mut log, boot)?;
        Ok(Self { config, me, paths, peers, work_dir, log, durable, boot, cut })
    }

    fn net_config(&self, options: &NodeOptions) -> NetConfig {
        NetConfig {
            me: self.me.id.0,
            incarnation: self.boot,
            cluster_id: self.config.id().0,
            key: options.key.clone(),
            paths: self.paths.clone(),
            peers: self.peers.clone(),
            limits: Default::default(),
        }
    }
}

/// The queues between the threads of a node.
struct Lines {
    items: Arc<Items>,
    full: Arc<Full>,
    inbox: Inbox,
    net: Sender<NetEvent>,
    answers: Sender<Answer>,
    reports: Sender<DriverReport>,
    facts: Facts,
    queues: Queues,
}

impl Lines {
    fn lay() -> Result<Self, Error> {
        let full = Arc::new(Full::default());
        let (inbox, inbox_queue) = bounded(INBOX_MAX);
        let (net, net_queue) = bounded(NET_MAX);
        let (answers, answer_queue) = bounded(DRIVERS_MAX);
        let (reports, report_queue) = bounded(DRIVERS_MAX);
        let (facts, fact_queue) = Facts::new();
        Ok(Self {
            items: Arc::new(Items::new()?),
            inbox: Inbox::new(inbox, Arc::clone(&full)),
            full,
            net,
            answers,
            reports,
            facts,
            queues: Queues {
                net: net_queue,
                inbox: inbox_queue,
                answers: answer_queue,
                reports: report_queue,
                facts: fact_queue,
            },
        })
    }

    fn ways(&self, guard: &Arc<Guard>, host: &Arc<Host>) -> Ways {
        Ways {
            answers: self.answers.clone(),
            reports: self.reports.clone(),
            guard: Arc::clone(guard),
            host: Arc::clone(host),
            facts: self.facts.clone(),
        }
    }

    fn net_queue(&self) -> NetQueue {
        NetQueue { sender: self.net.clone(), full: Arc::clone(&self.full) }
    }
}

/// A node with all its threads.
struct Whole {
    pump: Pump,
    net: Net,
    guard_thread: GuardThread,
    log_thread: JoinHandle<()>,
}

impl Whole {
    /// Runs the node on a thread of its own. What is given back is closed when that has ended.
    fn spawn(self) -> Result<Receiver<Infallible>, Error> {
        let (lives, gone) = bounded(0);
        let body = move || {
            let _lives = lives;
            self.run();
        };
        std::thread::Builder::new()
            .name("quorate-engine".to_owned())
            .spawn(body)
            .map_err(Error::system("start the engine's thread"))?;
        Ok(gone)
    }

    fn run(mut self) {
        let items = Arc::clone(&self.pump.items);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.pump.run()));
        let outcome = outcome.unwrap_or_else(|panic| {
            if let Some(recording) = &mut self.pump.recording {
                recording.ending = Ending::Panicked;
            }
            Outcome::Failed(format!("the engine panicked: {}", panic_text(&*panic)))
        });
        let (end, last) = last_word(&outcome);
        if matches!(outcome, Outcome::Left | Outcome::Evicted) {
            self.net.leave();
        } else {
            // First of all nothing may run or claim to live.
            self.pump.guard.kill_all();
            self.pump.pulse.end();
            drop(self.net);
        }
        if let End::Poisoned(_) = end {
            items.end(end.clone(), last.clone());
        }
        // Whatever breaks in what follows, the guests have been killed.
        let rest = (self.pump, self.guard_thread, self.log_thread);
        let closed = catch_unwind(AssertUnwindSafe(move || close(rest)));
        if closed.is_err() {
            tracing::error!("a thread of the node panicked while it ended");
        }
        items.end(end, last);
    }
}

/// Waits until nothing of the node is left: guests first, then the LUNs, then the log.
fn close((pump, guard_thread, log_thread): (Pump, GuardThread, JoinHandle<()>)) {
    let Pump { luns, resources, desks, log, queues, recording, pills, .. } = pump;
    // Drivers' threads may be about to report; nobody listens any more.
    drop(queues);
    drop(resources);
    desks.ways.host.dismiss();
    drop(desks);
    drop(luns);
    pills.leave();
    drop(guard_thread);
    drop(pills);
    drop(log);
    let _ = log_thread.join();
    drop(recording);
}

fn last_word(outcome: &Outcome) -> (End, crate::Notice) {
    match outcome {
        Outcome::Left => {
            (End::Ended, notice(NoticeKind::Ended, "this node has left", Fields::default()))
        }
        Outcome::Evicted => {
            let text = "this node was evicted: it belongs to the cluster no more, and is not to be started again";
            (End::Ended, notice(NoticeKind::Ended, text, Fields::default().with("evicted", true)))
        }
        Outcome::Killed => {
            (End::Ended, notice(NoticeKind::Ended, "this node was ended", Fields::default()))
        }
        Outcome::Failed(why) => {
            let text = format!("this node has fenced itself: {why}");
            let fields = Fields::default().with("detail", why.as_str());
            (End::Poisoned(why.clone()), notice(NoticeKind::Poisoned, text, fields))
        }
    }
}

fn started(
    node: &str,
    boot: u64,
    cut: Option<Cut>,
    recording: Option<&Recording>,
) -> crate::Notice {
    let recording = recording.map(|recording| recording.path().display().to_string());
    let fields = Fields::default().with("node", node).with("boot", boot);
    let fields = fields.with("recording", recording);
    match cut {
        None => notice(NoticeKind::Started, format!("{node} runs"), fields),
        Some(cut) => {
            let text = format!(
                "{node} runs; the last crash had torn its log, {} bytes were cut off at {}",
                cut.bytes, cut.offset
            );
            notice(NoticeKind::Started, text, fields.with("cut_bytes", cut.bytes))
        }
    }
}

/// What the desks for LUNs and resources are opened with.
pub(crate) struct Desks {
    pub(crate) inbox: Inbox,
    pub(crate) pulse: Pulse,
    pub(crate) ways: Ways,
    pub(crate) work_dir: PathBuf,
    pub(crate) records: PathBuf,
    pub(crate) write_hook: Option<WriteHook>,
}

impl Desks {
    /// Desks for what `config` defines.
    pub(crate) fn open(
        &self,
        config: &ClusterConfig,
        node: NodeId,
    ) -> Result<(Luns, Resources), Error> {
        let specs = self.specs(config, node)?;
        let places = Places { work_dir: self.work_dir.clone(), records: self.records.clone() };
        let name = Names(config).node(node);
        let resources = Resources::new(config, name, places, self.ways.clone())?;
        Ok((Luns::start(specs, &self.inbox, &self.pulse)?, resources))
    }

    /// Lets the desks follow another configuration: what is the same in both, and what is in use, stays as it is.
    /// Gives what is to be closed.
    pub(crate) fn follow(
        &self,
        config: &ClusterConfig,
        node: NodeId,
        luns: &mut Luns,
        resources: &mut Resources,
    ) -> Result<(Luns, Vec<Worker>), Error> {
        let specs = self.specs(config, node)?;
        let workers = resources.follow(config)?;
        Ok((luns.follow(specs, &self.inbox, &self.pulse)?, workers))
    }

    fn specs(&self, config: &ClusterConfig, node: NodeId) -> Result<Vec<LunSpec>, Error> {
        let name = Names(config).node(node);
        let specs = config.luns().iter().map(|lun| {
            let settings = serde_json::from_str(&lun.settings).unwrap_or_default();
            let settings = LunSettings::read(&lun.driver, &settings).map_err(|reason| {
                let place = format!("luns.{}", lun.name);
                crate::ConfigError::new(place, reason, "correct the settings of the driver")
            })?;
            let group = config.group_of_lun(lun.id).and_then(|id| config.group(id));
            Ok(LunSpec {
                id: lun.id,
                is_watched: group.is_some_and(|group| placement::is_possible(group, node)),
                name: lun.name.clone(),
                path_wait: settings.path_loss_wait(config.timing().io_bound),
                initiator: settings.initiator(&name),
                settings,
                node,
                owner: crate::node::lun::owner(config.id(), lun.id),
                nexus: format!("{:016x}-{name}-{}", config.id().0, lun.name),
                socket: socket_path(&self.work_dir, &lun.name),
                io_bound: config.timing().io_bound,
                beat_interval: config.timing().interval,
                write_hook: self.write_hook.clone(),
                ignore_reservations: ignores_reservations(),
            })
        });
        specs.collect()
    }
}

/// The negative control of the tests: with it two nodes can write one LUN, and a test that does not
/// see that proves nothing. Not in any build without the feature `test-switches`.
fn ignores_reservations() -> bool {
    cfg!(feature = "test-switches")
        && std::env::var_os("QUORATE_TEST_IGNORE_RESERVATIONS").is_some_and(|value| value == "1")
}

fn socket_path(work_dir: &Path, lun: &str) -> PathBuf {
    work_dir.join(format!("lun-{lun}.sock"))
}

/// The state directory as an absolute path, made with what is missing above it.
fn make_state_dir(given: &Path) -> Result<PathBuf, Error> {
    let failed = || Error::system(format!("make the state directory {}", given.display()));
    let whole = std::path::absolute(given).map_err(failed())?;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&whole).map_err(failed())?;
    Ok(whole)
}

fn make_work_dir(work_dir: &Path, config: &ClusterConfig) -> Result<(), Error> {
    let wrong = |why: String| Error::WorkDirectory { path: work_dir.to_owned(), why };
    if !work_dir.is_absolute() {
        return Err(wrong("it must begin with /".to_owned()));
    }
    let luns = config.luns().iter().map(|lun| socket_path(work_dir, &lun.name));
    let resources = config.groups().iter().flat_map(|group| &group.resources);
    let resources = resources.map(|resource| work_dir.join(&resource.name).join("qmp.sock"));
    if let Some(long) = luns.chain(resources).find(|path| path.as_os_str().len() > SOCKET_PATH_MAX)
    {
        let (path, length) = (long.display(), long.as_os_str().len());
        return Err(wrong(format!(
            "the socket {path} in it would have a path of {length} bytes, the most is \
             {SOCKET_PATH_MAX}; name a directory with a shorter path"
        )));
    }
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(work_dir);
    made.map_err(|error| wrong(error.to_string()))?;
    remove_litter(work_dir).map_err(|error| wrong(error.to_string()))
}

/// Where it is recorded what was started: beside the log, which no other node uses and nobody
/// clears.
fn records_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("processes")
}

/// Ends what an earlier run of this node has left. Until that is done nobody may hear of this run:
/// it is taken for proof that nothing runs here.
fn end_leftovers(state_dir: &Path) -> Result<(), Error> {
    let directory = records_dir(state_dir);
    drivers::end_leftovers(&directory, LEFTOVER_PATIENCE).map_err(|error: LeftoverError| {
        Error::System {
            doing: "end what an earlier run has left".to_owned(),
            source: std::io::Error::other(error),
        }
    })?;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.map_err(Error::system(format!("make {}", directory.display())))
}

/// Takes away saved states that were passing through when the last run ended.
fn remove_litter(work_dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(work_dir)? {
        let entry = entry?;
        let is_state =
            entry.file_name().to_str().is_some_and(|name| name.ends_with(STATE_FILE_END));
        if is_state && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Looks, in the background, whether what the resources need is on this node.
fn check_resources(
    config: &ClusterConfig,
    me: NodeId,
    inbox: &Inbox,
    reports: Sender<DriverReport>,
) {
    let found = checks(config, me);
    let inbox = inbox.clone();
    let body = move || {
        for (resource, name, settings) in found {
            let mut driver = settings.into_driver(Reporter::new(resource, reports.clone()));
            if let Err(error) = driver.prepare() {
                let text = format!("{name} cannot run on this node: {error}");
                let fields = Fields::default()
                    .with("resource", name)
                    .with("trouble", "not_possible_here")
                    .with("detail", error.to_string());
                inbox.deliver(Input::Notice(notice(NoticeKind::ResourceTrouble, text, fields)));
            }
        }
    };
    // Without this thread a start says the same.
    let _ = std::thread::Builder::new().name("check".to_owned()).spawn(body);
}
