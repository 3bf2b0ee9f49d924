//! One running QEMU: its process, its monitor, the watch over it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::arguments::{Beginning, Files};
use super::monitor::{Pulse, Watch, beats};
use super::pulse;
use super::settings::{Heartbeat, QemuSettings};
use crate::drivers::child::{KillSwitch, Supervised};
use crate::drivers::command::{new_command, open_log, quote_log, work_error};
use crate::drivers::logs::keep_short;
use crate::drivers::qmp::{Qmp, QmpError};
use crate::drivers::{DriverError, DriverEvent, ExitCause, Reporter, Run, StartContext};

/// How long a process that broke its connection may take to be seen as ended.
const DEATH_TIMEOUT: Duration = Duration::from_secs(1);

/// A QEMU that answers. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Instance {
    child: Arc<Supervised>,
    switch: Arc<KillSwitch>,
    qmp: Qmp,
    watch: Arc<Watch>,
    files: Files,
    log_start: u64,
    beginning: Beginning,
}

/// What an instance is made from.
pub(super) struct Plan<'a> {
    pub(super) settings: &'a QemuSettings,
    pub(super) context: &'a StartContext,
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<OsString>,
    pub(super) files: Files,
    pub(super) beginning: Beginning,
    pub(super) reporter: &'a Reporter,
    pub(super) switch: &'a Arc<KillSwitch>,
    pub(super) run: Run,
}

impl Instance {
    /// Starts QEMU and waits until its monitor answers; the guest's processors stand still.
    pub(super) fn launch(plan: Plan<'_>, deadline: Instant) -> Result<Self, DriverError> {
        let Plan { settings, files, .. } = &plan;
        let monitor = bind(&files.monitor)?;
        let serial = bind(&files.serial)?;
        let has_agent = settings.heartbeat == Heartbeat::GuestAgent;
        let agent = if has_agent { Some(bind(&files.agent)?) } else { None };

        let watch = Watch::new();
        let (child, log_start) = spawn(&plan, &watch)?;
        let born = Born { child: &child, switch: plan.switch, log: &files.log, log_start };
        let launched = || -> Result<Qmp, DriverError> {
            let stream = accept(&monitor, &child, deadline, "QEMU's monitor")?;
            let (qmp, events) = Qmp::negotiate(stream, deadline).map_err(hypervisor)?;
            let pulse = connect_pulse(&plan, &serial, agent.as_ref(), &child, deadline)?;
            watch
                .begin(events, pulse, plan.reporter.clone(), plan.run)
                .map_err(|error| hypervisor(QmpError::Closed { reason: error.to_string() }))?;
            let capabilities =
                json!({ "capabilities": [{ "capability": "events", "state": true }] });
            qmp.execute("migrate-set-capabilities", capabilities, deadline).map_err(hypervisor)?;
            Ok(qmp)
        };
        match launched() {
            Ok(qmp) => {
                let (files, beginning) = (plan.files, plan.beginning);
                let switch = Arc::clone(plan.switch);
                Ok(Self { child, switch, qmp, watch, files, log_start, beginning })
            }
            Err(error) => {
                let death = born.death();
                child.kill();
                Err(death.unwrap_or(error))
            }
        }
    }

    pub(super) fn child(&self) -> &Supervised {
        &self.child
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// Whether it was started to load a guest.
    pub(super) fn is_loaded(&self) -> bool {
        self.beginning == Beginning::Load
    }

    /// Whether a kill is under way.
    pub(super) fn is_cancelled(&self) -> bool {
        self.switch.is_engaged()
    }

    /// Executes a QMP command. When QEMU has died of it, the error says how.
    pub(super) fn execute(
        &self,
        command: &str,
        arguments: Value,
        deadline: Instant,
    ) -> Result<Value, DriverError> {
        self.qmp.execute(command, arguments, deadline).map_err(|error| match error {
            QmpError::Closed { .. } => self.death().unwrap_or_else(|| hypervisor(error)),
            QmpError::Refused { .. } | QmpError::Timeout { .. } => hypervisor(error),
        })
    }

    /// Lets the guest's processors go, and waits until the watch has seen it.
    pub(super) fn cont(&self, deadline: Instant) -> Result<(), DriverError> {
        let before = self.watch.resumes();
        self.execute("cont", json!({}), deadline)?;
        self.watch.wait_resumed(before, deadline)
    }

    /// How it died, if it did, or does so at this moment.
    pub(super) fn death(&self) -> Option<DriverError> {
        let (child, switch) = (&self.child, &self.switch);
        Born { child, switch, log: &self.files.log, log_start: self.log_start }.death()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.child.request_end();
        self.child.signal_group(Signal::KILL);
    }
}

/// A QEMU that has been spawned, and may be dying already.
struct Born<'a> {
    child: &'a Supervised,
    switch: &'a KillSwitch,
    log: &'a Path,
    log_start: u64,
}

impl Born<'_> {
    fn death(&self) -> Option<DriverError> {
        if self.switch.is_engaged() {
            return Some(DriverError::Cancelled);
        }
        let exit = self.child.wait_gone(Some(Instant::now() + DEATH_TIMEOUT))?;
        let output = quote_log(self.log, self.log_start);
        Some(DriverError::ExitedEarly { program: "QEMU".to_owned(), exit, output })
    }
}

fn spawn(plan: &Plan<'_>, watch: &Arc<Watch>) -> Result<(Arc<Supervised>, u64), DriverError> {
    let mut command = new_command(plan.program, plan.context, &Default::default())?;
    // Error texts are read, so they must be in one language.
    command.env("LC_ALL", "C").args(&plan.arguments);
    let log = open_log(&plan.files.log)?;
    let failed = |error: io::Error| work_error(&plan.files.log, &error);
    let log_start = log.metadata().map_err(failed)?.len();
    command.stdout(log.try_clone().map_err(failed)?).stderr(log);
    let (reporter, run, watch) = (plan.reporter.clone(), plan.run, Arc::clone(watch));
    // What keeps its logs short ends when this end of the channel is dropped.
    let (alive, ended) = crossbeam_channel::bounded::<()>(0);
    let child = plan.switch.spawn(&mut command, move |exit, requested| {
        drop(alive);
        // What QEMU said before it ended is reported before its end.
        let shut_down = watch.was_shut_down_by_guest(Instant::now() + DEATH_TIMEOUT);
        let cause = match (requested, shut_down) {
            (true, _) => ExitCause::Requested,
            (false, true) => ExitCause::GuestShutdown,
            (false, false) => ExitCause::Unexpected,
        };
        reporter.report(run, DriverEvent::Exited { exit, cause });
    })?;
    let files = &plan.files;
    let logs = [&files.log, &files.serial_log, &files.serial_stamped].map(Clone::clone);
    if let Err(error) = keep_short(logs.to_vec(), ended) {
        child.kill();
        return Err(error);
    }
    Ok((child, log_start))
}

fn connect_pulse(
    plan: &Plan<'_>,
    serial: &UnixListener,
    agent: Option<&UnixListener>,
    child: &Supervised,
    deadline: Instant,
) -> Result<Pulse, DriverError> {
    let settings = plan.settings;
    let timeout = Duration::from_millis(settings.heartbeat_timeout_ms);
    let boot_timeout = Duration::from_millis(settings.heartbeat_boot_timeout_ms);
    let failed = |error: io::Error| work_error(&plan.context.work_directory, &error);
    let (sender, receiver) = beats();
    let stamped = settings.serial_stamps.then_some(plan.files.serial_stamped.as_path());
    let stream = accept(serial, child, deadline, "QEMU's serial port")?;
    let prefix = settings.heartbeat_prefix.clone();
    let (port, others) = beats();
    let (port, others) = match settings.heartbeat {
        Heartbeat::Serial => (sender.clone(), None),
        // The port is read all the same, or the guest would stall on it.
        Heartbeat::None | Heartbeat::GuestAgent => (port, Some(others)),
    };
    drop(others);
    pulse::follow_serial(stream, prefix, port, stamped).map_err(failed)?;
    if let Some(agent) = agent {
        let stream = accept(agent, child, deadline, "QEMU's guest agent port")?;
        pulse::ping_agent(stream, timeout, sender).map_err(failed)?;
    }
    let beats = (settings.heartbeat != Heartbeat::None).then_some(receiver);
    let booted = plan.beginning == Beginning::Load;
    let luns = plan.context.luns.iter().map(|lun| lun.reach.clone()).collect();
    Ok(Pulse { beats, timeout, boot_timeout, booted, luns })
}

/// A listening socket at `path`; what an earlier run left there is removed.
pub(super) fn bind(path: &Path) -> Result<UnixListener, DriverError> {
    let failed = |error: io::Error| work_error(path, &error);
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    UnixListener::bind(path).map_err(failed)
}

/// The connection that `child` makes to `listener`; an error at once when it ends instead.
pub(super) fn accept(
    listener: &UnixListener,
    child: &Supervised,
    deadline: Instant,
    what: &str,
) -> Result<UnixStream, DriverError> {
    let started = Instant::now();
    let failed = |error: io::Error| DriverError::Hypervisor { reason: format!("{what}: {error}") };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = || DriverError::Timeout { what: what.to_owned(), allowed: started.elapsed() };
        let limit = Timespec::try_from(left).map_err(|_| timeout())?;
        let process = child.pidfd();
        let mut sources = [
            PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(process, PollFlags::IN),
        ];
        match poll(&mut sources, Some(&limit)) {
            Ok(0) => return Err(timeout()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(failed(error.into())),
        }
        if !sources[1].revents().is_empty() {
            let reason = format!("{what}: the process ended");
            return Err(DriverError::Hypervisor { reason });
        }
        if !sources[0].revents().is_empty() {
            return listener.accept().map(|(stream, _)| stream).map_err(failed);
        }
    }
}

fn hypervisor(error: QmpError) -> DriverError {
    DriverError::Hypervisor { reason: error.to_string() }
}
