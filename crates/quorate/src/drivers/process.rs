//! The `process` driver: any command, as a resource.
//!
//! It runs while its process runs. Its exit is reported at once, also a good one: whether an ended
//! process is started again is the engine's business. What it forks belongs to it and dies with it,
//! as long as it stays in its process group. If this program itself is killed, the kernel kills the
//! process started here and nothing else: what that one has started lives on until the node is
//! started again, which ends it first. So a script should `exec` what it starts.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::Mutex;
use rustix::process::Signal;
use serde::Deserialize;

use super::child::{KillSwitch, Supervised};
use super::command::{find_program, make_work_directory, new_command, open_log, quote_log};
use super::logs::keep_short;
use super::{
    Driver, DriverError, DriverEvent, Exit, ExitCause, Health, Reporter, Run, SaveSink,
    StartContext, Stopped,
};

/// Settings of the `process` driver.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSettings {
    /// The program and its arguments; no shell reads it. A program without a slash is looked up
    /// along PATH.
    ///
    /// A script must `exec` what it runs for long: if the program that embeds quorate is killed,
    /// the kernel kills the process started here at once, but what it has started in turn only dies
    /// when the node is started again. Nothing of it may leave the session (`setsid`, a daemon).
    pub command: Vec<String>,
    /// Environment variables, added to the few that are inherited (PATH, HOME, LANG and the like).
    /// Names that begin with QUORATE_ are ours.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The directory it is started in; by default the resource's work directory.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// What asks it, and all of its process group, to end.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// How long it may take to end before it is killed. Default 10,000 ms; a stop that is given
    /// less time kills earlier.
    #[serde(default = "default_stop_timeout_ms")]
    pub stop_timeout_ms: u64,
    /// Where its output goes.
    #[serde(default)]
    pub output: Output,
    /// A command that tells whether it is well.
    #[serde(default)]
    pub health: Option<HealthSettings>,
}

/// A command that tells, by its exit code 0, that the resource is well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthSettings {
    /// The program and its arguments; it has the resource's own environment.
    pub command: Vec<String>,
    /// From one run's end to the next run. Default 5,000 ms.
    #[serde(default = "default_health_interval_ms")]
    pub interval_ms: u64,
    /// How long it may run before it is killed and counts as failed. Default 2,000 ms.
    #[serde(default = "default_health_timeout_ms")]
    pub timeout_ms: u64,
}

/// A signal that asks a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum StopSignal {
    /// SIGTERM, the default.
    #[default]
    #[serde(rename = "TERM")]
    Term,
    /// SIGINT.
    #[serde(rename = "INT")]
    Int,
    /// SIGQUIT.
    #[serde(rename = "QUIT")]
    Quit,
    /// SIGHUP.
    #[serde(rename = "HUP")]
    Hup,
    /// SIGUSR1.
    #[serde(rename = "USR1")]
    Usr1,
    /// SIGUSR2.
    #[serde(rename = "USR2")]
    Usr2,
    /// SIGKILL: it needs no orderly end.
    #[serde(rename = "KILL")]
    Kill,
}

/// Where a process's standard output and error go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Appended to `output.log` in the work directory; the default. About 16 MiB of it are kept,
    /// and as much before in `output.log.old`.
    #[default]
    Log,
    /// To this program's own.
    Inherit,
    /// Nowhere.
    Discard,
}

/// Runs one process.
#[derive(Debug)]
pub struct ProcessDriver {
    settings: ProcessSettings,
    reporter: Reporter,
    switch: Arc<KillSwitch>,
    run: Run,
    checker: Option<Arc<Checker>>,
}

impl ProcessSettings {
    /// A command of these words, in the resource's directory and environment.
    fn command(&self, words: &[String], context: &StartContext) -> Result<Command, DriverError> {
        let program = program_of(words)?;
        let mut command = new_command(&program, context, &self.environment)?;
        command.args(&words[1..]);
        command.current_dir(self.directory.as_ref().unwrap_or(&context.work_directory));
        Ok(command)
    }

    /// The first rule that the settings break.
    pub(super) fn check(&self) -> Result<(), String> {
        check_command("command", &self.command)?;
        for name in self.environment.keys() {
            if name.starts_with("QUORATE_") || name.is_empty() || name.contains(['=', '\0']) {
                return Err(format!(
                    "environment name {name:?} is not possible; QUORATE_ names are set by quorate"
                ));
            }
        }
        if let Some(health) = &self.health {
            check_command("health.command", &health.command)?;
            if health.interval_ms == 0 || health.timeout_ms == 0 {
                return Err("health.interval_ms and health.timeout_ms must be above 0".to_owned());
            }
        }
        Ok(())
    }
}

impl ProcessDriver {
    /// A driver that has started nothing.
    pub fn new(settings: ProcessSettings, reporter: Reporter) -> Self {
        Self { settings, reporter, switch: KillSwitch::new(), run: Run::default(), checker: None }
    }

    fn command(&self, context: &StartContext) -> Result<Command, DriverError> {
        let mut command = self.settings.command(&self.settings.command, context)?;
        match self.settings.output {
            Output::Log => {
                let log = open_log(&context.work_directory.join("output.log"))?;
                let path = &context.work_directory;
                let both = log.try_clone().map_err(|e| super::command::work_error(path, &e))?;
                command.stdout(both).stderr(log);
            }
            Output::Inherit => {
                command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
            }
            Output::Discard => {
                command.stdout(Stdio::null()).stderr(Stdio::null());
            }
        }
        Ok(command)
    }

    /// Starts the threads beside the process.
    fn watch(&self, context: &StartContext, ended: &Receiver<()>) -> Result<(), DriverError> {
        let directory = &context.work_directory;
        let logs = ["output.log", "health.log"].map(|name| directory.join(name));
        keep_short(logs.to_vec(), ended.clone())?;
        match (&self.checker, &self.settings.health) {
            (Some(checker), Some(health)) => {
                let interval = Duration::from_millis(health.interval_ms);
                checker.watch(interval, ended, self.reporter.clone(), self.run)
            }
            _ => Ok(()),
        }
    }

    fn make_checker(&mut self, context: &StartContext) {
        let Some(health) = &self.settings.health else { return };
        let log = context.work_directory.join("health.log");
        let checker = Arc::new(Checker {
            settings: self.settings.clone(),
            words: health.command.clone(),
            context: context.clone(),
            turn: Mutex::new(()),
            log,
            timeout: Duration::from_millis(health.timeout_ms),
            verdict: Mutex::new(Health::Alive),
        });
        self.checker = Some(checker);
    }
}

impl Driver for ProcessDriver {
    fn prepare(&mut self) -> Result<(), DriverError> {
        program_of(&self.settings.command)?;
        if let Some(health) = &self.settings.health {
            program_of(&health.command)?;
        }
        Ok(())
    }

    fn start(&mut self, context: &StartContext, _deadline: Instant) -> Result<(), DriverError> {
        if let Some(child) = self.switch.running() {
            return Err(DriverError::AlreadyRunning { process_id: child.id() });
        }
        make_work_directory(&context.work_directory)?;
        self.checker = None;
        let mut command = self.command(context)?;
        self.make_checker(context);
        self.run = self.run.next(context.epoch);
        let (run, reporter) = (self.run, self.reporter.clone());
        // The threads beside it end when this end of their channel is dropped.
        let (alive, ended) = bounded::<()>(0);
        let on_exit = move |exit: Exit, requested: bool| {
            drop(alive);
            let cause = if requested { ExitCause::Requested } else { ExitCause::Unexpected };
            reporter.report(run, DriverEvent::Exited { exit, cause });
        };
        let child = self.switch.spawn(&mut command, on_exit)?;
        let outcome = self.watch(context, &ended);
        if outcome.is_err() {
            child.kill();
        }
        outcome
    }

    fn save(&mut self, _sink: &mut dyn SaveSink, _deadline: Instant) -> Result<(), DriverError> {
        Err(DriverError::SaveUnsupported { driver: "process" })
    }

    fn load(
        &mut self,
        _context: &StartContext,
        _source: &mut dyn Read,
        _deadline: Instant,
    ) -> Result<(), DriverError> {
        Err(DriverError::SaveUnsupported { driver: "process" })
    }

    fn run(&mut self, _deadline: Instant) -> Result<(), DriverError> {
        Err(DriverError::SaveUnsupported { driver: "process" })
    }

    fn stop(&mut self, deadline: Instant) -> Result<Stopped, DriverError> {
        let Some(child) = self.switch.running() else { return Ok(Stopped::Orderly) };
        let own = Instant::now() + Duration::from_millis(self.settings.stop_timeout_ms);
        let killed = child.end(self.settings.stop_signal.signal(), deadline.min(own));
        Ok(if killed { Stopped::Killed } else { Stopped::Orderly })
    }

    fn kill(&mut self) -> Result<(), DriverError> {
        self.switch.kill_and_wait();
        Ok(())
    }

    fn looks_alive(&mut self) -> Health {
        match self.switch.running() {
            None => Health::Failed("no process".to_owned()),
            Some(child) if child.exit().is_some() => Health::Failed("it has ended".to_owned()),
            Some(_) => match &self.checker {
                None => Health::Alive,
                Some(checker) => checker.verdict.lock().clone(),
            },
        }
    }

    fn is_alive(&mut self, deadline: Instant) -> Health {
        match (self.looks_alive(), &self.checker) {
            (failed @ Health::Failed(_), None) => failed,
            (Health::Failed(_), Some(_)) if self.switch.running().is_none() => {
                Health::Failed("no process".to_owned())
            }
            (Health::Alive, None) => Health::Alive,
            (_, Some(checker)) => checker.check(deadline),
        }
    }

    fn kill_switch(&self) -> Arc<KillSwitch> {
        Arc::clone(&self.switch)
    }
}

impl Drop for ProcessDriver {
    /// What it started ends with it, and is gone then.
    fn drop(&mut self) {
        self.switch.kill_and_wait();
    }
}

impl StopSignal {
    fn signal(self) -> Signal {
        match self {
            StopSignal::Term => Signal::TERM,
            StopSignal::Int => Signal::INT,
            StopSignal::Quit => Signal::QUIT,
            StopSignal::Hup => Signal::HUP,
            StopSignal::Usr1 => Signal::USR1,
            StopSignal::Usr2 => Signal::USR2,
            StopSignal::Kill => Signal::KILL,
        }
    }
}

/// Runs the health command, now and then by itself and when asked.
#[derive(Debug)]
struct Checker {
    settings: ProcessSettings,
    words: Vec<String>,
    context: StartContext,
    /// Held while the command runs: one at a time.
    turn: Mutex<()>,
    log: PathBuf,
    timeout: Duration,
    verdict: Mutex<Health>,
}

impl Checker {
    fn watch(
        self: &Arc<Self>,
        interval: Duration,
        ended: &Receiver<()>,
        reporter: Reporter,
        run: Run,
    ) -> Result<(), DriverError> {
        let (checker, ended) = (Arc::clone(self), ended.clone());
        let body = move || {
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let verdict = checker.check(Instant::now() + checker.timeout);
                let still_runs = ended.try_recv() == Err(crossbeam_channel::TryRecvError::Empty);
                if let (Health::Failed(reason), true) = (verdict, still_runs) {
                    reporter.report(run, DriverEvent::HealthFailed { reason });
                }
            }
        };
        let spawned = thread::Builder::new().name("health".to_owned()).spawn(body);
        spawned.map(|_| ()).map_err(|error| DriverError::Spawn {
            program: PathBuf::from("health thread"),
            reason: error.to_string(),
        })
    }

    fn check(&self, deadline: Instant) -> Health {
        let verdict = self.run_once(deadline.min(Instant::now() + self.timeout));
        *self.verdict.lock() = verdict.clone();
        verdict
    }

    fn run_once(&self, deadline: Instant) -> Health {
        let _turn = self.turn.lock();
        let started = Instant::now();
        let quoted_from = std::fs::metadata(&self.log).map_or(0, |metadata| metadata.len());
        let spawn = || {
            let mut command = self.settings.command(&self.words, &self.context)?;
            command.stdout(Stdio::null()).stderr(open_log(&self.log)?);
            Supervised::spawn(&mut command, |_, _| ())
        };
        let child = match spawn() {
            Ok(child) => child,
            Err(error) => return Health::Failed(error.to_string()),
        };
        match child.wait_gone(Some(deadline)) {
            Some(Exit::Code(0)) => Health::Alive,
            Some(exit) => {
                let said = quote_log(&self.log, quoted_from);
                Health::Failed(format!("health command ended with {exit}: {said}"))
            }
            None => {
                child.kill();
                let ran = started.elapsed().as_millis();
                Health::Failed(format!("health command did not end within {ran} ms"))
            }
        }
    }
}

fn check_command(key: &str, words: &[String]) -> Result<(), String> {
    match words.first() {
        None => Err(format!("{key} is empty; write {key} = [\"/path/to/program\", \"argument\"]")),
        Some(program) if program.is_empty() => Err(format!("{key} names no program")),
        Some(_) if words.iter().any(|word| word.contains('\0')) => {
            Err(format!("{key} has a zero byte in it"))
        }
        Some(_) => Ok(()),
    }
}

fn program_of(words: &[String]) -> Result<PathBuf, DriverError> {
    let name = Path::new(words.first().map_or("", String::as_str));
    find_program(name).ok_or_else(|| DriverError::ProgramMissing {
        program: name.to_owned(),
        remedy: "install it on this node or correct command".to_owned(),
    })
}

fn default_stop_timeout_ms() -> u64 {
    10_000
}

fn default_health_interval_ms() -> u64 {
    5_000
}

fn default_health_timeout_ms() -> u64 {
    2_000
}
