//! The `qemu` driver: a guest in QEMU, driven over QMP.
//!
//! The guest's disks are the group's LUNs, through NBD sockets of ours: the session behind the
//! socket holds the registration, QEMU's own would be a stranger to the target. A disk error stops
//! the guest (`werror=stop,rerror=stop`) and is reported; a refused write means that the LUN is
//! someone else's, and the guest has to be killed. QEMU's own image lock is a lock within one node:
//! it protects nothing.
//!
//! A saved state is good for the one move it was made for; after a crash only a cold start is
//! right. Known to work with QEMU 7.2 and 10.0.

mod arguments;
mod instance;
mod migration;
mod monitor;
mod probe;
mod pulse;
mod settings;

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use self::arguments::{Beginning, Files, arguments};
use self::instance::{Instance, Plan};
pub use self::settings::{Accelerator, DiskInterface, Heartbeat, QemuSettings, StopMethod};
use super::child::KillSwitch;
use super::command::{find_program, make_work_directory};
use super::{
    AfterSave, Driver, DriverError, Health, Reporter, Run, SaveSink, StartContext, Stopped,
};

/// How long a saved QEMU, which has nothing left to do, may take to end before it is killed.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long it may take to let a guest go on whose save failed.
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs one guest.
#[derive(Debug)]
pub struct QemuDriver {
    settings: QemuSettings,
    reporter: Reporter,
    switch: Arc<KillSwitch>,
    run: Run,
    instance: Option<Instance>,
}

impl QemuDriver {
    /// A driver that has started nothing.
    pub fn new(settings: QemuSettings, reporter: Reporter) -> Self {
        let switch = KillSwitch::new();
        Self { settings, reporter, switch, run: Run::default(), instance: None }
    }

    fn program(&self) -> Result<PathBuf, DriverError> {
        find_program(&self.settings.binary).ok_or_else(|| DriverError::ProgramMissing {
            program: self.settings.binary.clone(),
            remedy: "install qemu-system-x86 on this node or correct binary".to_owned(),
        })
    }

    fn check_firmware(&self) -> Result<(), DriverError> {
        let Some(path) = &self.settings.firmware else { return Ok(()) };
        settings::check_firmware(path).map_err(|reason| DriverError::File {
            what: "firmware",
            path: path.clone(),
            reason,
        })
    }

    fn accelerator(&self, program: &std::path::Path) -> Result<&'static str, DriverError> {
        match self.settings.accel {
            Accelerator::Tcg => Ok("tcg"),
            Accelerator::Kvm => match probe::kvm_works(program) {
                Ok(()) => Ok("kvm"),
                Err(reason) => Err(DriverError::Accelerator { accel: "kvm", reason }),
            },
            Accelerator::Auto => Ok(if probe::kvm_works(program).is_ok() { "kvm" } else { "tcg" }),
        }
    }

    /// A QEMU with the guest's processors standing still.
    fn launch(
        &mut self,
        context: &StartContext,
        beginning: Beginning,
        deadline: Instant,
    ) -> Result<Instance, DriverError> {
        if let Some(child) = self.switch.running() {
            return Err(DriverError::AlreadyRunning { process_id: child.id() });
        }
        self.instance = None;
        let program = self.program()?;
        self.check_firmware()?;
        let accelerator = self.accelerator(&program)?;
        let files = Files::in_directory(&context.work_directory)?;
        make_work_directory(&context.work_directory)?;
        let arguments = arguments(&self.settings, accelerator, context, &files, beginning)?;
        self.run = self.run.next(context.epoch);
        let plan = Plan {
            settings: &self.settings,
            context,
            program: &program,
            arguments,
            files,
            beginning,
            reporter: &self.reporter,
            switch: &self.switch,
            run: self.run,
        };
        Instance::launch(plan, deadline)
    }

    /// Lets the guest's processors go; kills it when that fails.
    fn let_go(&mut self, instance: Instance, deadline: Instant) -> Result<(), DriverError> {
        match instance.cont(deadline) {
            Ok(()) => {
                self.instance = Some(instance);
                Ok(())
            }
            Err(error) => {
                instance.child().kill();
                Err(error)
            }
        }
    }

    /// The instance, if its process has not ended.
    fn living(&self) -> Result<&Instance, DriverError> {
        let ended = || DriverError::NotRunning { state: "no process".to_owned() };
        if self.switch.running().is_none_or(|child| child.exit().is_some()) {
            return Err(ended());
        }
        self.instance.as_ref().ok_or_else(ended)
    }

    /// What becomes of a guest whose save failed: it goes on, or it is killed.
    fn go_on(instance: &Instance) -> AfterSave {
        migration::give_up(instance);
        let deadline = Instant::now() + CONTINUE_TIMEOUT;
        instance.watch().expect_stop(false);
        match instance.cont(deadline) {
            Ok(()) => AfterSave::RunsHere,
            Err(_) => {
                instance.child().kill();
                AfterSave::Gone
            }
        }
    }
}

impl Driver for QemuDriver {
    fn prepare(&mut self) -> Result<(), DriverError> {
        let program = self.program()?;
        self.check_firmware()?;
        self.accelerator(&program).map(|_| ())
    }

    fn start(&mut self, context: &StartContext, deadline: Instant) -> Result<(), DriverError> {
        let instance = self.launch(context, Beginning::Boot, deadline)?;
        self.let_go(instance, deadline)
    }

    fn save(&mut self, sink: &mut dyn SaveSink, deadline: Instant) -> Result<(), DriverError> {
        let instance = self.living()?;
        let status = instance.execute("query-status", json!({}), deadline)?;
        if status["running"] != json!(true) {
            let state = status["status"].as_str().unwrap_or("unknown").to_owned();
            return Err(DriverError::NotRunning { state });
        }
        instance.watch().expect_stop(true);
        if let Err(error) = migration::save(instance, sink, deadline) {
            if self.switch.is_engaged() {
                return Err(DriverError::Cancelled);
            }
            let after = Self::go_on(instance);
            return Err(DriverError::SaveFailed { reason: error.to_string(), after });
        }
        // From here on the guest lives in its saved state alone.
        instance.child().request_end();
        let quit_by = Instant::now() + QUIT_TIMEOUT;
        let _ = instance.execute("quit", json!({}), quit_by);
        if instance.child().wait_gone(Some(quit_by)).is_none() {
            instance.child().kill();
        }
        self.instance = None;
        Ok(())
    }

    fn load(
        &mut self,
        context: &StartContext,
        source: &mut dyn Read,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        let instance = self.launch(context, Beginning::Load, deadline)?;
        match migration::load(&instance, source, deadline) {
            Ok(()) => {
                self.instance = Some(instance);
                Ok(())
            }
            Err(error) => {
                instance.child().kill();
                let cancelled = self.switch.is_engaged();
                Err(if cancelled { DriverError::Cancelled } else { error })
            }
        }
    }

    fn run(&mut self, deadline: Instant) -> Result<(), DriverError> {
        let instance = self.living()?;
        if !instance.is_loaded() || instance.watch().is_running() {
            let state = "nothing was loaded that waits to run".to_owned();
            return Err(DriverError::NotRunning { state });
        }
        match self.instance.take() {
            Some(instance) => self.let_go(instance, deadline),
            None => Err(DriverError::NotRunning { state: "no process".to_owned() }),
        }
    }

    fn stop(&mut self, deadline: Instant) -> Result<Stopped, DriverError> {
        let Some(child) = self.switch.running() else { return Ok(Stopped::Orderly) };
        child.request_end();
        let command = match (self.settings.stop, &self.instance) {
            // What stands still, after a disk error or before its run, cannot shut down.
            (StopMethod::Powerdown, Some(instance)) if instance.watch().is_running() => {
                Some("system_powerdown")
            }
            (StopMethod::Quit, Some(instance)) if instance.watch().is_running() => Some("quit"),
            (StopMethod::Powerdown | StopMethod::Quit, _) => None,
        };
        let asked = match (command, &self.instance) {
            (Some(command), Some(instance)) => {
                instance.execute(command, json!({}), deadline).is_ok()
            }
            (None, _) | (_, None) => false,
        };
        let killed = match asked {
            true => child.wait_gone(Some(deadline)).is_none(),
            false => child.wait_gone(Some(Instant::now())).is_none(),
        };
        if killed {
            child.kill();
        }
        self.instance = None;
        Ok(if killed { Stopped::Killed } else { Stopped::Orderly })
    }

    fn kill(&mut self) -> Result<(), DriverError> {
        self.switch.kill_and_wait();
        self.instance = None;
        Ok(())
    }

    fn looks_alive(&mut self) -> Health {
        match self.living() {
            Ok(instance) => instance.watch().health(),
            Err(error) => Health::Failed(error.to_string()),
        }
    }

    fn is_alive(&mut self, deadline: Instant) -> Health {
        let status = self.living().and_then(|instance| {
            let status = instance.execute("query-status", json!({}), deadline)?;
            Ok((status, instance.watch().health()))
        });
        match status {
            Err(error) => Health::Failed(error.to_string()),
            Ok((_, failed @ Health::Failed(_))) => failed,
            Ok((status, Health::Alive)) if status["running"] == json!(true) => Health::Alive,
            Ok((status, Health::Alive)) => {
                Health::Failed(format!("the guest is {}", status["status"]))
            }
        }
    }

    fn kill_switch(&self) -> Arc<KillSwitch> {
        Arc::clone(&self.switch)
    }
}

impl Drop for QemuDriver {
    /// What it started ends with it, and is gone then.
    fn drop(&mut self) {
        self.switch.kill_and_wait();
    }
}
