//! A child process that is known to be gone when it is said to be gone.
//!
//! Each child leads a process group of its own. A waiter thread sees its exit at once, without
//! reaping it: while the leader is a zombie its number cannot be given to another process, so
//! signals to the group reach nobody else. The waiter kills what is left of the group, reaps the
//! leader, and waits until the group is empty; only then the child counts as gone.
//!
//! What a child moves out of its group (`setsid`) escapes; a daemon that does so is not a resource
//! for the process driver.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use quorate_storage::child::die_with_parent;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open,
    test_kill_process_group, waitid,
};

use super::record::{self, Stat, all_processes};
use super::{DriverError, Exit};

/// How long the waiter rests between two looks for survivors of a killed group.
const SURVIVOR_LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// An exit is reported after this time even if parts of the group are still dying.
const REPORT_DELAY_MAX: Duration = Duration::from_millis(10);

/// Kills a resource from any thread, and keeps it from being started behind the killer's back.
///
/// [`KillSwitch::engage`] returns at once; the process is gone when [`super::Driver::kill`]
/// returns, which releases the switch too.
///
/// *Architecture Invariant*: its lock is never held while a program is being started. An `exec`
/// from a file system that does not answer may take for ever, and whoever kills must not wait for
/// it: the process is then killed as soon as it exists.
#[derive(Debug, Default)]
pub struct KillSwitch {
    state: Mutex<Switch>,
    /// Where what is started is recorded, so that it can be ended after a crash of ours.
    record: OnceLock<PathBuf>,
}

#[derive(Debug, Default)]
struct Switch {
    engaged: bool,
    /// How often it was engaged: a start compares it to see a kill that came and went meanwhile.
    kills: u64,
    child: Option<Arc<Supervised>>,
}

impl KillSwitch {
    /// A switch that is not engaged and has nothing to kill.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// From here on each start is recorded in this file; said once, before the first.
    pub(crate) fn record_in(&self, path: PathBuf) {
        let _ = self.record.set(path);
    }

    /// Sends the kill, and refuses further starts until [`KillSwitch::release`]. Never blocks.
    pub fn engage(&self) {
        let mut state = self.state.lock();
        state.engaged = true;
        state.kills += 1;
        if let Some(child) = &state.child {
            child.request_end();
            child.signal_group(Signal::KILL);
        }
    }

    /// Permits starts again.
    pub fn release(&self) {
        self.state.lock().engaged = false;
    }

    /// Whether a kill is under way.
    pub fn is_engaged(&self) -> bool {
        self.state.lock().engaged
    }

    /// Spawns `command` under this switch, which then knows it as the process to kill. A kill that
    /// comes while it is being spawned ends it as soon as it is there.
    pub(super) fn spawn(
        &self,
        command: &mut Command,
        on_exit: impl FnOnce(Exit, bool) + Send + 'static,
    ) -> Result<Arc<Supervised>, DriverError> {
        self.start(|| {
            die_with_parent(command);
            let Some(path) = self.record.get() else {
                return Supervised::spawn_prepared(command, on_exit);
            };
            record::write_at_start(path, command)
                .map_err(|error| super::command::work_error(path, &error))?;
            Supervised::spawn_prepared(command, on_exit).map_err(|error| {
                match record::take_draft_away(path) {
                    true => super::command::work_error(path, &error),
                    false => error,
                }
            })
        })
    }

    fn start(
        &self,
        spawn: impl FnOnce() -> Result<Supervised, DriverError>,
    ) -> Result<Arc<Supervised>, DriverError> {
        let before = {
            let state = self.state.lock();
            if state.engaged {
                return Err(DriverError::Cancelled);
            }
            state.kills
        };
        let child = Arc::new(spawn()?);
        let is_overtaken = {
            let mut state = self.state.lock();
            state.child = Some(Arc::clone(&child));
            state.kills != before
        };
        if is_overtaken {
            child.kill();
            return Err(DriverError::Cancelled);
        }
        Ok(child)
    }

    /// The process that was spawned last, if it is not gone.
    pub(super) fn running(&self) -> Option<Arc<Supervised>> {
        let state = self.state.lock();
        state.child.as_ref().filter(|child| !child.is_gone()).cloned()
    }

    /// Kills what runs, waits until it is gone, and releases the switch.
    pub(super) fn kill_and_wait(&self) {
        self.engage();
        let child = self.state.lock().child.take();
        if let Some(child) = child {
            child.wait_gone(None);
        }
        self.release();
    }
}

/// A child process with a waiter.
#[derive(Debug)]
pub(super) struct Supervised {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    leader: Pid,
    pidfd: OwnedFd,
    life: Mutex<Life>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Life {
    /// The driver wants it to end.
    end_requested: bool,
    exit: Option<Exit>,
    /// The leader is reaped: its number may be a stranger's, and must not be signalled any more.
    reaped: bool,
    /// The leader is reaped and its group is empty.
    gone: bool,
}

impl Supervised {
    /// Spawns `command`, once, as the leader of a new process group. `on_exit` is called by the
    /// waiter when the leader has ended (at once, unless parts of its group are hard to kill), with
    /// whether the driver had asked for it. It may block without holding up a kill.
    pub(super) fn spawn(
        command: &mut Command,
        on_exit: impl FnOnce(Exit, bool) + Send + 'static,
    ) -> Result<Self, DriverError> {
        die_with_parent(command);
        Self::spawn_prepared(command, on_exit)
    }

    /// The same of a command that is told already to die with its parent.
    fn spawn_prepared(
        command: &mut Command,
        on_exit: impl FnOnce(Exit, bool) + Send + 'static,
    ) -> Result<Self, DriverError> {
        let program = PathBuf::from(command.get_program());
        let failed = |error: io::Error| DriverError::Spawn {
            program: program.clone(),
            reason: error.to_string(),
        };
        let mut child = command.spawn().map_err(failed)?;
        let leader = Pid::from_child(&child);
        let pidfd = match pidfd_open(leader, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _ = kill_process_group(leader, Signal::KILL);
                let _ = child.wait();
                return Err(failed(error.into()));
            }
        };
        let shared = Arc::new(Shared {
            leader,
            pidfd,
            life: Mutex::new(Life::default()),
            changed: Condvar::new(),
        });
        let waiter = Arc::clone(&shared);
        let supervised = Self { shared };
        let name = format!("wait-{}", leader.as_raw_nonzero());
        thread::Builder::new()
            .name(name)
            .spawn(move || waiter.wait_for_end(child, on_exit))
            .map_err(failed)?;
        Ok(supervised)
    }

    /// The process id of the leader.
    pub(super) fn id(&self) -> i32 {
        self.shared.leader.as_raw_nonzero().get()
    }

    /// Readable when the leader has ended.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.shared.pidfd.as_fd()
    }

    /// Notes that the end to come is wanted.
    pub(super) fn request_end(&self) {
        self.shared.life.lock().end_requested = true;
    }

    /// Signals every process of the group; none if it is gone.
    pub(super) fn signal_group(&self, signal: Signal) {
        let life = self.shared.life.lock();
        if !life.reaped {
            // The only possible error is that nobody is left.
            let _ = kill_process_group(self.shared.leader, signal);
        }
    }

    /// How the leader ended, if it has.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.shared.life.lock().exit
    }

    /// Whether the leader is reaped and its group is empty.
    pub(super) fn is_gone(&self) -> bool {
        self.shared.life.lock().gone
    }

    /// Waits until leader and group are gone; `None` at the deadline. Without one it waits for
    /// ever.
    pub(super) fn wait_gone(&self, deadline: Option<Instant>) -> Option<Exit> {
        let mut life = self.shared.life.lock();
        while !life.gone {
            match deadline {
                None => self.shared.changed.wait(&mut life),
                Some(deadline) => {
                    if self.shared.changed.wait_until(&mut life, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        if life.gone { life.exit } else { None }
    }

    /// Asks for the end with `signal`, and kills what is left at the deadline. `true`: had to kill.
    pub(super) fn end(&self, signal: Signal, deadline: Instant) -> bool {
        self.request_end();
        self.signal_group(signal);
        if self.wait_gone(Some(deadline)).is_some() {
            return false;
        }
        self.kill();
        true
    }

    /// Kills the group and waits until it is gone.
    pub(super) fn kill(&self) {
        self.request_end();
        self.signal_group(Signal::KILL);
        self.wait_gone(None);
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Nobody could stop it any more.
        self.request_end();
        self.signal_group(Signal::KILL);
    }
}

impl Shared {
    fn wait_for_end(&self, mut child: Child, on_exit: impl FnOnce(Exit, bool)) {
        let exit = self.wait_unreaped();
        let requested = {
            let mut life = self.life.lock();
            life.exit = Some(exit);
            life.end_requested
        };
        let _ = kill_process_group(self.leader, Signal::KILL);
        {
            let mut life = self.life.lock();
            let _ = child.wait();
            life.reaped = true;
        }
        let report_by = Instant::now() + REPORT_DELAY_MAX;
        let mut on_exit = Some(on_exit);
        while group_has_survivors(self.leader) {
            if let Some(on_exit) = on_exit.take_if(|_| Instant::now() >= report_by) {
                on_exit(exit, requested);
            }
            thread::sleep(SURVIVOR_LOOK_INTERVAL);
        }
        {
            let mut life = self.life.lock();
            life.gone = true;
            self.changed.notify_all();
        }
        if let Some(on_exit) = on_exit {
            on_exit(exit, requested);
        }
    }

    /// Waits for the leader's end and leaves it unreaped.
    fn wait_unreaped(&self) -> Exit {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                Ok(Some(status)) => {
                    if let Some(code) = status.exit_status() {
                        return Exit::Code(code);
                    }
                    if let Some(signal) = status.terminating_signal() {
                        return Exit::Signal(signal);
                    }
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                // Someone else reaped it (a host that ignores SIGCHLD): it is gone, its code is
                // lost.
                Err(_) => return Exit::Code(-1),
            }
        }
    }
}

/// Whether any process of a killed group, whose leader is reaped, is neither a zombie nor dead.
///
/// No system call tells zombies from the living, so it may have to read /proc; the first question
/// answers for nearly every resource, as most are one process.
fn group_has_survivors(leader: Pid) -> bool {
    if test_kill_process_group(leader) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let number = leader.as_raw_nonzero().get();
    if fs::exists(format!("/proc/{number}")).unwrap_or(false) {
        // A stranger has the leader's number, which the kernel gives away only after the last
        // member.
        return false;
    }
    let is_member = |stat: Stat| stat.group == number && stat.is_live;
    all_processes().any(|process| Stat::of(process).is_some_and(is_member))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bound of every wait: far above what is expected.
    const BOUND: Duration = Duration::from_secs(20);

    fn sleeper() -> Result<Supervised, DriverError> {
        let mut command = Command::new("sleep");
        Supervised::spawn(command.arg("1000").stdin(std::process::Stdio::null()), |_, _| ())
    }

    #[test]
    fn a_kill_does_not_wait_for_a_start_that_hangs_and_ends_what_comes_of_it() {
        let switch = KillSwitch::new();
        let (killed, seen) = crossbeam_channel::bounded(1);
        let killer = Arc::clone(&switch);
        let outcome = switch.start(move || {
            // As when exec hangs: the kill comes, and has to return, before the process is there.
            thread::spawn(move || {
                killer.engage();
                killed.send(()).unwrap();
            });
            assert_eq!(seen.recv_timeout(BOUND), Ok(()), "the kill waits for the start");
            sleeper()
        });
        assert!(matches!(outcome, Err(DriverError::Cancelled)));
        assert!(switch.running().is_none(), "what was started lives on");
    }

    #[test]
    fn a_kill_that_came_and_was_released_during_a_start_counts_all_the_same() {
        let switch = KillSwitch::new();
        let outcome = switch.start(|| {
            switch.engage();
            switch.release();
            sleeper()
        });
        assert!(matches!(outcome, Err(DriverError::Cancelled)));
        assert!(switch.running().is_none());
        assert!(switch.start(sleeper).is_ok(), "it stays refused");
    }
}
