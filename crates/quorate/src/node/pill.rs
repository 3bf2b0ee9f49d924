//! The listening side of poison pills: a node looks at its block on the shared disk, and ends by what it finds there.
//!
//! ```text
//! before the watchdog is armed: a pill for this boot? --yes--> the node does not start
//!   | no
//! armed --looks every second--> none: the guard may feed the watchdog for `patience` from when the look began
//!   |                           a pill for this boot --> taken: all is killed, and the watchdog is fed no more
//!   +--everything has ended--> left
//! ```
//!
//! The thread here may hang in the kernel for as long as the disk does; who judges is the guard, by the time of the
//! last good look. What follows for those who give pills: [`crate::fence_agents::pill`].
//!
//! *Architecture invariant*: nothing waits for this thread, but a node that starts, for one look.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use quorate_core::config::{ClusterConfig, NodeConfig};
use quorate_storage::{HostBoot, Listener, Listening, Pill, PillArea};

use super::guard::{Guard, nanos};
use super::input::{Inbox, Input};
use super::tell::{Fields, Names, notice};
use crate::Error;
use crate::config::ConfigError;
use crate::fence_agents::pill::{self, Place, READ_INTERVAL};
use crate::net::boottime_ns;
use crate::notice::NoticeKind;

/// What follows where a node that is armed cannot see its pills.
const ARMED: &str = "if that stays so and it loses its lease, its watchdog resets its host";
/// And where it is not armed yet.
const NEVER_ARMED: &str = "until it can, no pill ends it";

/// When a node saw last that no pill lies there for it, and how long it goes by that.
#[derive(Debug)]
pub(crate) struct Sight {
    patience: Duration,
    /// When the look began, in nanoseconds: what it shows is no older.
    clean_at: AtomicU64,
    /// It stands there that the node obeys no pills any more.
    is_over: AtomicBool,
}

impl Sight {
    pub(crate) fn new(patience: Duration, clean_at: u64) -> Arc<Self> {
        let clean_at = AtomicU64::new(clean_at);
        Arc::new(Self { patience, clean_at, is_over: AtomicBool::new(false) })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    pub(crate) fn saw_none(&self, begun: u64) {
        self.clean_at.fetch_max(begun, Ordering::AcqRel);
    }

    /// Whether a node may go on by it.
    pub(crate) fn is_fresh(&self, now: u64) -> bool {
        self.is_over()
            || now <= self.clean_at.load(Ordering::Acquire).saturating_add(nanos(self.patience))
    }
}

/// What a node says of itself, and where.
#[derive(Clone, Debug)]
struct Voice {
    place: Place,
    boot: HostBoot,
    start: u64,
    watchdog: Duration,
    patience: Duration,
}

impl Voice {
    fn says(&self, standing: Listening, taken: Option<u64>) -> Listener {
        let Self { boot, start, watchdog, patience, .. } = *self;
        Listener { standing, boot, start, watchdog, patience, taken }
    }

    fn open(&self) -> Result<PillArea, String> {
        PillArea::open(&self.place.path, self.place.cluster).map_err(|error| error.to_string())
    }

    fn pill(&self, area: &PillArea) -> Result<Option<Pill>, String> {
        let pill = area.pill(self.place.block).map_err(|error| error.to_string())?;
        Ok(pill.filter(|pill| pill.boot == self.boot))
    }
}

/// A node that has seen, before it armed its watchdog, that no pill lies there for it.
pub(crate) struct Cleared {
    voice: Voice,
    pub(crate) sight: Arc<Sight>,
}

/// Looks for a pill before anything feeds the watchdog; none: this node is to obey none.
///
/// # Errors
/// Without a watchdog; when a pill lies there for this boot; when the disk does not answer, or no pills can lie there.
pub(crate) fn before(
    config: &ClusterConfig,
    me: &NodeConfig,
    start: u64,
    has_watchdog: bool,
) -> Result<Option<Cleared>, Error> {
    let Some(place) = Place::of(config, me.id) else { return Ok(None) };
    if !has_watchdog {
        let problem = format!(
            "{} is to obey the pills of fence_agents.{}, and has no watchdog that would reset its host",
            me.name, place.agent
        );
        let remedy = "add [watchdog] with device = \"/dev/watchdog\", or take the node out of that agent's nodes";
        return Err(ConfigError::new("watchdog", problem, remedy).into());
    }
    let patience = pill::patience(config.timing());
    let boot = HostBoot::here().map_err(Error::system("read the identity of this boot"))?;
    let voice = Voice { place, boot, start, watchdog: Duration::ZERO, patience };
    let begun = boottime_ns();
    let (say, said) = bounded(1);
    let asking = voice.clone();
    let look = move || {
        let found = asking.open().and_then(|area| asking.pill(&area));
        // Nobody may wait for it any more.
        let _ = say.send(found);
    };
    spawn("quorate-pill", look)?;
    let path = voice.place.path.display().to_string();
    match said.recv_timeout(patience) {
        Ok(Ok(None)) => Ok(Some(Cleared { sight: Sight::new(patience, begun), voice })),
        Ok(Ok(Some(pill))) => {
            let why = format!(
                "a poison pill lies there for this boot of {}'s host ({}): reset the host, then start the node",
                me.name, pill.reason
            );
            Err(Error::Lun { lun: path, why })
        }
        Ok(Err(why)) => Err(Error::Lun { lun: path, why }),
        Err(_) => {
            Err(Error::TimedOut { what: format!("a look for pills on {path}"), after: patience })
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.map(drop).map_err(Error::system("start the thread that looks for pills"))
}

/// Listens for the pills of this node, as the configuration in force wants it. Dropped when all has ended, it says so.
pub(crate) struct Pills {
    me: NodeConfig,
    start: u64,
    guard: Arc<Guard>,
    inbox: Inbox,
    thread: Option<Thread>,
    /// Those that are about to say that they look no more, each until it stands there.
    leaving: Vec<Thread>,
    /// Whether it was said that the pills are out of sight, and not yet that they are back.
    told: Arc<AtomicBool>,
}

/// The thread that looks, and where.
struct Thread {
    place: Place,
    /// How the node is to be called when it stops looking.
    stop: Sender<Listening>,
    gone: Receiver<()>,
    sight: Arc<Sight>,
}

impl Pills {
    fn new(me: NodeConfig, start: u64, guard: Arc<Guard>, inbox: Inbox) -> Self {
        Self { me, start, guard, inbox, thread: None, leaving: Vec::new(), told: Arc::default() }
    }

    /// Starts to listen, and waits until it does.
    ///
    /// # Errors
    /// The disk cannot be written, or does not answer.
    pub(crate) fn start(
        me: NodeConfig,
        start: u64,
        cleared: Option<Cleared>,
        guard: Arc<Guard>,
        inbox: Inbox,
    ) -> Result<Self, Error> {
        let mut pills = Self::new(me, start, guard, inbox);
        let Some(cleared) = cleared else { return Ok(pills) };
        let path = cleared.voice.place.path.display().to_string();
        let patience = cleared.voice.patience;
        let (first, armed) = bounded(1);
        pills.listen(cleared, READ_INTERVAL, Some(first))?;
        let error = match armed.recv_timeout(patience) {
            Ok(Ok(())) => return Ok(pills),
            Ok(Err(why)) => Error::Lun { lun: path, why },
            Err(_) => {
                let what = format!("listening for pills on {path}");
                Error::TimedOut { what, after: patience }
            }
        };
        // Nothing runs yet: the watchdog is to be disarmed at once, whatever the thread waits for.
        pills.thread = None;
        Err(error)
    }

    /// What came of the first look is told to whoever waits for it; else a look that fails is told as a notice.
    fn listen(
        &mut self,
        cleared: Cleared,
        interval: Duration,
        first: Option<Sender<Result<(), String>>>,
    ) -> Result<(), Error> {
        let Cleared { mut voice, sight } = cleared;
        voice.watchdog = self.guard.watchdog_timeout().unwrap_or_default();
        let place = voice.place.clone();
        let (stop, stopped) = bounded(1);
        let (lives, gone) = bounded(0);
        let ear = Ear {
            voice,
            sight: Arc::clone(&sight),
            guard: Arc::clone(&self.guard),
            inbox: self.inbox.clone(),
            node: self.me.name.clone(),
            interval,
            told: Arc::clone(&self.told),
        };
        spawn("quorate-pill", move || {
            let _lives: Sender<()> = lives;
            ear.run(&stopped, first);
        })?;
        self.thread = Some(Thread { place, stop, gone, sight });
        Ok(())
    }

    /// Another configuration is in force: pills may lie elsewhere by it, or nowhere. Never waits.
    pub(crate) fn follow(&mut self, config: &ClusterConfig) {
        let place = Place::of(config, self.me.id);
        let same =
            |thread: &Thread| place.as_ref().is_some_and(|place| place.path == thread.place.path);
        if self.thread.as_ref().is_some_and(same) {
            return;
        }
        self.leaving.retain(|thread| !thread.sight.is_over());
        if let Some(thread) = self.thread.take() {
            // It goes by that disk until it stands there that it does not.
            let _ = thread.stop.try_send(Listening::Off);
            self.leaving.push(thread);
        }
        let Some(place) = place else {
            return self.told.store(false, Ordering::Release);
        };
        let begun = HostBoot::here().map_err(|error| error.to_string()).and_then(|boot| {
            if self.guard.watchdog_timeout().is_none() {
                return Err(
                    "this node has no watchdog; add [watchdog], and start it again".to_owned()
                );
            }
            let patience = pill::patience(config.timing());
            let voice = Voice {
                place: place.clone(),
                boot,
                start: self.start,
                watchdog: patience,
                patience,
            };
            let sight = Sight::new(patience, boottime_ns());
            self.listen(Cleared { voice, sight }, READ_INTERVAL, None)
                .map_err(|error| error.to_string())
        });
        if let Err(why) = begun {
            let node = Names(config).node(self.me.id);
            self.told.store(true, Ordering::Release);
            self.inbox.tell(unseen(&place.agent, &node, &why, NEVER_ARMED));
        }
    }
}

impl Pills {
    /// All has ended: says so, if it is so. Waits for nothing: the watchdog is to be disarmed before anybody waits for
    /// a disk.
    pub(crate) fn leave(&self) {
        if let Some(thread) = self.thread.as_ref().filter(|_| !self.guard.runs_any()) {
            let _ = thread.stop.try_send(Listening::Left);
        }
    }
}

impl Drop for Pills {
    fn drop(&mut self) {
        self.leave();
        let Some(thread) = self.thread.take() else { return };
        drop(thread.stop);
        // It may hang; whoever reads its block then waits for nothing worse.
        let _ = thread.gone.recv_timeout(thread.sight.patience);
    }
}

fn unseen(agent: &str, node: &str, why: &str, follows: &str) -> Input {
    let text = format!("{node} cannot see the pills of fence agent {agent}: {why}; {follows}");
    let fields = Fields::default().with("node", node).with("agent", agent);
    let fields = fields.with("up", false).with("detail", why);
    Input::Notice(notice(NoticeKind::Pills, text, fields))
}

fn seen_again(agent: &str, node: &str) -> Input {
    let text = format!("{node} sees the pills of fence agent {agent} again");
    let fields = Fields::default().with("node", node).with("agent", agent).with("up", true);
    Input::Notice(notice(NoticeKind::Pills, text, fields))
}

/// What the thread works with.
struct Ear {
    voice: Voice,
    sight: Arc<Sight>,
    guard: Arc<Guard>,
    inbox: Inbox,
    node: String,
    interval: Duration,
    told: Arc<AtomicBool>,
}

impl Ear {
    fn run(self, stopped: &Receiver<Listening>, mut first: Option<Sender<Result<(), String>>>) {
        let mut area = None;
        // What follows from it that they are out of sight.
        let mut follows = NEVER_ARMED;
        let last = loop {
            match self.look(&mut area) {
                Ok(Some(pill)) => return self.take(&mut area, &pill, stopped),
                Ok(None) => {
                    if let Some(first) = first.take() {
                        let _ = first.send(Ok(()));
                    }
                    follows = ARMED;
                    if self.told.swap(false, Ordering::AcqRel) {
                        self.inbox.tell(seen_again(&self.voice.place.agent, &self.node));
                    }
                }
                Err(why) => {
                    if let Some(first) = first.take() {
                        let _ = first.send(Err(why));
                    } else if !self.told.swap(true, Ordering::AcqRel) {
                        let agent = &self.voice.place.agent;
                        self.inbox.tell(unseen(agent, &self.node, &why, follows));
                    }
                }
            }
            match stopped.recv_timeout(self.interval) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(last) => break Some(last),
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        if last == Some(Listening::Off) {
            return self.give_up(&mut area, stopped);
        }
        if let (Some(last), Some(area)) = (last, area)
            && let Err(error) =
                area.write_listener(self.voice.place.block, &self.voice.says(last, None))
        {
            // Whoever reads the block waits for longer than it would have to.
            tracing::warn!(%error, "it cannot be said that this node listens to no pills any more");
        }
    }

    /// Looks until it stands there that this node looks no more: only then nobody takes it for one that does.
    fn give_up(&self, area: &mut Option<PillArea>, stopped: &Receiver<Listening>) {
        let off = self.voice.says(Listening::Off, None);
        loop {
            match self.look(area) {
                Ok(Some(pill)) => return self.take(area, &pill, stopped),
                Ok(None) => {
                    let written =
                        area.as_ref().map(|area| area.write_listener(self.voice.place.block, &off));
                    if matches!(written, Some(Ok(()))) {
                        return self.sight.end();
                    }
                }
                // Where no pill can be read nothing is written either: it may be anything by now.
                Err(_) => {}
            }
            if stopped.recv_timeout(self.interval) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// One look. After one that failed the disk is opened anew: it may be another one by then.
    fn look(&self, area: &mut Option<PillArea>) -> Result<Option<Pill>, String> {
        let seen = self.look_at(area);
        if seen.is_err() {
            *area = None;
        }
        seen
    }

    /// One look, and what this node says of itself, where that does not stand there.
    fn look_at(&self, area: &mut Option<PillArea>) -> Result<Option<Pill>, String> {
        let area = match area {
            Some(area) => area,
            None => area.insert(self.voice.open()?),
        };
        let begun = boottime_ns();
        if let Some(pill) = self.voice.pill(area)? {
            return Ok(Some(pill));
        }
        self.sight.saw_none(begun);
        // From before it says that it is armed it goes by what it sees.
        self.guard.listen(&self.sight);
        let own = self.voice.says(Listening::Armed, None);
        // A write of an earlier boot may have landed late.
        if area.listener(self.voice.place.block).ok().flatten() != Some(own) {
            area.write_listener(self.voice.place.block, &own).map_err(|error| error.to_string())?;
        }
        Ok(None)
    }

    /// Ends everything here for good.
    fn take(&self, area: &mut Option<PillArea>, pill: &Pill, stopped: &Receiver<Listening>) {
        self.guard.take_pill();
        let why = format!("it has taken a poison pill: {}", pill.reason);
        tracing::error!(by = pill.by, "{why}; the watchdog is fed no more and resets this host");
        // An engine that hangs cannot hear it, and what it ran is dead.
        let _ = self.inbox.offer(Input::FenceItself(why));
        let taken = self.voice.says(Listening::Armed, Some(pill.number));
        while let Some(area) = area
            && area.write_listener(self.voice.place.block, &taken).is_err()
            && stopped.recv_timeout(self.interval) == Err(RecvTimeoutError::Timeout)
        {}
    }
}

#[cfg(test)]
mod tests;
