//! A running node: the engine with its threads, and what a host can do with it.

mod addresses;
mod commands;
mod configuring;
mod explain;
mod fencing;
mod guard;
mod host;
mod incoming;
mod input;
mod items;
mod lun;
mod membership;
mod peers;
mod persist;
mod pill;
mod pump;
mod recorder;
mod resources;
mod start;
pub(crate) mod tell;
mod view;
mod witness;

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use quorate_core::config::ResourceConfig;
use quorate_core::event::Event;
use quorate_core::id::{Epoch, RequestId};
use quorate_core::message::Command;

pub use self::commands::{Disarm, Failback, Maintenance};
pub use self::configuring::{InForce, Version};
pub use self::explain::Explanation;
use self::guard::Guard;
use self::host::Host;
use self::input::{Inbox, Input};
use self::items::{End, Items};
use self::tell::{Fields, notice};
use self::view::Snapshot;
use crate::Error;
use crate::clock;
use crate::config::Config;
use crate::item::{Item, OpId, Ticket};
use crate::key::ClusterKey;
use crate::notice::NoticeKind;
use crate::resource::Resource;
use crate::status::Status;

/// How long a killed node may take to end before its guests are killed behind its back.
const KILL_PATIENCE: Duration = Duration::from_secs(1);
/// How long a killed node is waited for in all: a storage that does not answer must not hold up the
/// host.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// How long a reader of the status sleeps at most before it looks again.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The cluster's configuration.
    pub config: Config,
    /// Which of its nodes this is.
    pub node: String,
    /// Where this node, and no other, keeps its log. Made if it is missing.
    pub state_dir: PathBuf,
    /// The secret of the cluster.
    pub key: ClusterKey,
    /// Where sockets and logs of guests go, an absolute and short path; none: `run` in `state_dir`.
    pub work_dir: Option<PathBuf>,
    /// Sees every write of this node's guests that goes through us.
    pub write_hook: Option<WriteHook>,
    /// Where what the engine is told is recorded, for [`crate::replay()`]; none: it is not. What the configuration
    /// says, unless it is changed here.
    pub record: Option<RecordOptions>,
}

/// Where a node records what its engine is told, and how much.
///
/// A recording holds the configuration and all messages, but no key; passwords in addresses and under keys of that
/// name are overwritten. Only its owner may read it. The newest two are kept: this boot's and the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordOptions {
    /// A directory of this node's own; none: `recordings` in the state directory.
    pub dir: Option<PathBuf>,
    /// How long one recording may become, in bytes. It is of one boot, from its beginning; it ends there.
    ///
    /// Default 64 MiB.
    pub bytes_max: u64,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self { dir: None, bytes_max: 64 << 20 }
    }
}

impl NodeOptions {
    /// Options with the default places.
    pub fn new(
        config: Config,
        node: impl Into<String>,
        state_dir: impl Into<PathBuf>,
        key: ClusterKey,
    ) -> Self {
        let (node, state_dir) = (node.into(), state_dir.into());
        let record = config.recording(&node);
        Self { config, node, state_dir, key, work_dir: None, write_hook: None, record }
    }
}

/// A guest's write to a LUN that this node serves to it, after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LunWrite<'a> {
    /// The LUN's name.
    pub lun: &'a str,
    /// The epoch of the group's ownership.
    pub epoch: u64,
    /// Where, in bytes.
    pub offset: u64,
    /// What was to be written.
    pub data: &'a [u8],
    /// Whether it was written.
    pub written: bool,
    /// Whether the LUN refused it: another node has taken the LUN.
    pub refused: bool,
}

/// What sees writes. Called from several threads, between a write and its answer: keep it short.
#[derive(Clone)]
pub struct WriteHook(Arc<dyn Fn(&LunWrite<'_>) + Send + Sync>);

impl WriteHook {
    /// A hook that calls `see`.
    pub fn new(see: impl Fn(&LunWrite<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(see))
    }

    pub(crate) fn call(&self, write: &LunWrite<'_>) {
        (self.0)(write);
    }
}

impl fmt::Debug for WriteHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteHook")
    }
}

/// A node of a cluster, in this process.
///
/// All calls may be made from any thread. Only [`Node::wait`], [`Node::wait_until`],
/// [`Node::command_wait`], [`Node::leave`] and [`Node::kill`] wait, each for a bounded time.
/// Dropping a node ends it as [`Node::kill`] does.
///
/// # Errors
/// Every call can end in [`Error::Ended`] and [`Error::Poisoned`]; what else, each says itself.
pub struct Node {
    inner: Arc<Inner>,
    /// Closed when the node's last thread ends.
    gone: Receiver<Infallible>,
}

/// What the host's threads share with the node's.
pub(crate) struct Inner {
    config: Config,
    name: String,
    items: Arc<Items>,
    inbox: Inbox,
    snapshot: Arc<Snapshot>,
    host: Arc<Host>,
    guard: Arc<Guard>,
    tickets: AtomicU64,
    #[cfg(feature = "test-switches")]
    is_cut: Arc<std::sync::atomic::AtomicBool>,
}

impl Node {
    /// Starts a node: reads its log, opens its network, and looks for its cluster.
    ///
    /// # Errors
    /// What is wrong with the configuration, the log, the addresses, the ports or the directories.
    /// Nothing is left running then.
    pub fn start(options: NodeOptions) -> Result<Node, Error> {
        let start::Running { inner, gone } = start::start(options)?;
        Ok(Node { inner, gone })
    }

    /// This node's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The configuration that it was started with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Readable while an item waits, and for ever once the node has ended. For `poll` and `epoll`;
    /// read nothing from it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inner.items.fd()
    }

    /// Takes the oldest item; `None` when nothing waits.
    ///
    /// # Errors
    /// The end of the node, once its last item was taken.
    pub fn take(&self) -> Result<Option<Item>, Error> {
        self.inner.items.take()
    }

    /// Waits until an item can be taken; `false` when the time is over.
    ///
    /// # Errors
    /// The end of the node, once its last item was taken.
    pub fn wait(&self, timeout: Duration) -> Result<bool, Error> {
        self.inner.items.wait(timeout)
    }

    /// Completes a request: done, or why not.
    ///
    /// A request that a kill has cut short may be completed or not.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a request that was never made.
    pub fn complete(&self, op: OpId, result: Result<(), String>) -> Result<(), Error> {
        self.inner.items.check()?;
        self.inner.host.complete(op, result)
    }

    /// Says that a resource with `driver = "host"` has failed by itself; `epoch` is that of the
    /// request that started it.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Misuse`] for another driver's resource, or [`Error::Busy`].
    pub fn report(&self, resource: &str, epoch: u64, detail: &str) -> Result<(), Error> {
        self.inner.items.check()?;
        self.inner.check_host_resource(resource)?;
        let (resource, detail) = (resource.to_owned(), detail.to_owned());
        self.inner.inbox.offer(Input::Report { resource, epoch: Epoch(epoch), detail })
    }

    /// Lets `served` answer the requests for a resource with `driver = "host"`, on threads of its
    /// own.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Misuse`] for another driver's resource, [`Error::System`].
    pub fn serve(&self, resource: &str, served: Box<dyn Resource>) -> Result<(), Error> {
        self.inner.items.check()?;
        self.inner.check_host_resource(resource)?;
        self.inner.host.serve(resource, served)
    }

    /// Moves a group: saved, handed over and resumed where it can be, else stopped and started.
    /// Without `to` placement chooses.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn move_group(&self, group: &str, to: Option<&str>) -> Result<Ticket, Error> {
        let to = to.map(str::to_owned);
        self.inner.command(Command::Move { group: group.to_owned(), to, restart: false })
    }

    /// Brings a group online.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn online(&self, group: &str) -> Result<Ticket, Error> {
        self.inner.command(Command::Online { group: group.to_owned() })
    }

    /// Takes a group offline, and keeps it there.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn offline(&self, group: &str) -> Result<Ticket, Error> {
        self.inner.command(Command::Offline { group: group.to_owned() })
    }

    /// Moves everything off a node, and lets nothing start there.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn drain(&self, node: &str) -> Result<Ticket, Error> {
        self.inner.command(Command::Drain { node: node.to_owned() })
    }

    /// Lets nothing new start on a node; what runs there stays.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn pause(&self, node: &str) -> Result<Ticket, Error> {
        self.inner.command(Command::Pause { node: node.to_owned() })
    }

    /// Ends a pause or a drain.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn resume(&self, node: &str) -> Result<Ticket, Error> {
        self.inner.command(Command::Resume { node: node.to_owned(), failback: Failback::ByPolicy })
    }

    /// A human's word, with a reason, that a node which is down runs nothing and writes nothing.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn confirm_fenced(&self, node: &str, reason: &str) -> Result<Ticket, Error> {
        let (node, reason) = (node.to_owned(), reason.to_owned());
        self.inner.command(Command::ConfirmFenced { node, reason })
    }

    /// Waits for the answer to a command; it is then no longer among the items.
    ///
    /// `Ok` says that the command was accepted and committed, not that it is carried out: for that
    /// see [`Node::wait_until`].
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::TimedOut`].
    pub fn command_wait(&self, ticket: Ticket, timeout: Duration) -> Result<(), Error> {
        self.inner.items.wait_answer(ticket, timeout)
    }

    /// What this node knows of its cluster, at most 0.1 s old.
    ///
    /// # Errors
    /// The end of the node.
    pub fn status(&self) -> Result<Status, Error> {
        self.inner.items.check()?;
        Ok(self.inner.snapshot.status(&self.inner.items))
    }

    /// Waits until the status is as wanted, and returns it.
    ///
    /// # Errors
    /// [`Error::TimedOut`].
    pub fn wait_until(
        &self,
        timeout: Duration,
        mut condition: impl FnMut(&Status) -> bool,
    ) -> Result<Status, Error> {
        let deadline = clock::after(timeout);
        loop {
            let status = self.status()?;
            if condition(&status) {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                let what = "what was waited for".to_owned();
                return Err(Error::TimedOut { what, after: timeout });
            }
            self.inner.items.wait_change(deadline.min(Instant::now() + LOOK_INTERVAL));
        }
    }

    /// Leaves in good order: the groups here move away, then the node ends.
    ///
    /// # Errors
    /// [`Error::TimedOut`]: it is still leaving; [`Node::kill`] ends it at once.
    pub fn leave(&self, timeout: Duration) -> Result<(), Error> {
        self.leave_as(false, timeout)
    }

    /// Leaves in good order for a short while: the groups here are stopped and kept for its return, given to nobody
    /// else.
    ///
    /// # Errors
    /// As [`Node::leave`].
    pub fn leave_and_keep(&self, timeout: Duration) -> Result<(), Error> {
        self.leave_as(true, timeout)
    }

    /// Whether what this node runs is kept for its return when its host shuts down, as `policy.on_shutdown` says in the
    /// configuration in force: then [`Node::leave_and_keep`], else [`Node::leave`]. `reboots`: the host boots again by
    /// itself.
    pub fn keeps_on_shutdown(&self, reboots: bool) -> bool {
        self.inner.snapshot.config().policy().on_shutdown.keeps(reboots)
    }

    fn leave_as(&self, keep: bool, timeout: Duration) -> Result<(), Error> {
        self.inner.items.check()?;
        self.inner.inbox.offer(Input::Event(Event::Leave { keep }))?;
        match self.inner.items.wait_end(timeout) {
            Some(End::Ended) => {
                self.join();
                Ok(())
            }
            Some(End::Poisoned(why)) => Err(Error::Poisoned { why }),
            None => Err(Error::TimedOut { what: "leaving".to_owned(), after: timeout }),
        }
    }

    /// Ends the node at once: its guests are killed, and its peers see it die as in a crash.
    ///
    /// Returns when nothing of it runs, or after 10 s when its storage does not answer; its guests
    /// are dead in any case. Calling it again does nothing.
    pub fn kill(&self) {
        let inner = &self.inner;
        if inner.items.wait_end(Duration::ZERO).is_none() {
            inner.inbox.force(Input::Kill, KILL_PATIENCE);
            if inner.items.wait_end(KILL_PATIENCE).is_none() {
                inner.guard.kill_all();
            }
            if inner.items.wait_end(KILL_WAIT).is_none() {
                let text = "this node was ended, though not all of it has answered";
                inner.items.end(End::Ended, notice(NoticeKind::Ended, text, Fields::default()));
                return;
            }
        }
        self.join();
    }

    /// Cuts this node off the network, both ways, without closing anything: for tests only.
    #[cfg(feature = "test-switches")]
    pub fn cut_network(&self, is_cut: bool) {
        self.inner.is_cut.store(is_cut, Ordering::Relaxed);
    }

    /// Lets the engine's thread panic: for tests only.
    ///
    /// # Errors
    /// [`Error::Busy`].
    #[cfg(feature = "test-switches")]
    pub fn panic_engine(&self) -> Result<(), Error> {
        self.inner.inbox.offer(Input::Panic)
    }

    /// Lets the engine's thread hang for this long: for tests only.
    ///
    /// # Errors
    /// [`Error::Busy`].
    #[cfg(feature = "test-switches")]
    pub fn hang_engine(&self, length: Duration) -> Result<(), Error> {
        self.inner.inbox.offer(Input::Hang(length))
    }

    /// Waits until what is left of a node that has ended is gone: one that has fenced itself says so
    /// before its guests' LUNs and its recording are closed.
    fn join(&self) {
        let _ = self.gone.recv_timeout(KILL_WAIT);
    }
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl Inner {
    fn command(&self, command: Command) -> Result<Ticket, Error> {
        self.items.check()?;
        let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
        let request = RequestId(ticket.0);
        self.inbox.offer(Input::Event(Event::Command { request, command }))?;
        Ok(ticket)
    }

    fn check_host_resource(&self, name: &str) -> Result<(), Error> {
        let cluster = self.snapshot.config();
        let mut all = cluster.groups().iter().flat_map(|group| &group.resources);
        match all.clone().find(|resource| resource.name == name) {
            Some(found) if found.driver == "host" => Ok(()),
            Some(found) => Err(Error::Misuse(format!(
                "resource {name} has the driver {}: only one with driver = \"host\" is the host's",
                found.driver
            ))),
            None => {
                let is_host = |resource: &&ResourceConfig| resource.driver == "host";
                let known: Vec<&str> =
                    all.by_ref().filter(is_host).map(|resource| resource.name.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(Error::Unknown { kind: "resource", name: name.to_owned(), known })
            }
        }
    }
}

/// The text of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}
