//! What a driver call can fail with.

use std::path::PathBuf;
use std::time::Duration;

use super::Exit;

/// Why a driver call failed. What runs afterwards is said by the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// A program that the resource needs is not on this node.
    #[error("{} not found or not executable: {remedy}", program.display())]
    ProgramMissing {
        /// The path or name as configured.
        program: PathBuf,
        /// What to do about it.
        remedy: String,
    },
    /// A file that the resource needs is missing, unreadable or of the wrong form.
    #[error("{what} {}: {reason}", path.display())]
    File {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// The accelerator that was demanded does not work on this node.
    #[error("accel {accel} does not work here: {reason}")]
    Accelerator {
        /// Its name.
        accel: &'static str,
        /// What the probe saw.
        reason: String,
    },
    /// The start context does not suit this resource.
    #[error("{reason}")]
    Context {
        /// What does not.
        reason: String,
    },
    /// A start or resume while the resource runs. What runs goes on.
    #[error("already running as process {process_id}")]
    AlreadyRunning {
        /// Its process.
        process_id: i32,
    },
    /// The call needs a running resource.
    #[error("not running: {state}")]
    NotRunning {
        /// What it is doing instead.
        state: String,
    },
    /// The operating system did not start the program.
    #[error("cannot start {}: {reason}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// The program ended before it was ready, or in the middle of the call.
    #[error("{program} ended with {exit}{}", said(output))]
    ExitedEarly {
        /// The program.
        program: String,
        /// How it ended.
        exit: Exit,
        /// The last of what it wrote to its error output.
        output: String,
    },
    /// The deadline came first.
    #[error("{what} took longer than {} ms", allowed.as_millis())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long it was given.
        allowed: Duration,
    },
    /// The hypervisor refused a command or broke the connection.
    #[error("hypervisor: {reason}")]
    Hypervisor {
        /// Its words.
        reason: String,
    },
    /// This kind of resource cannot be saved: it moves by stop and start.
    #[error("a {driver} resource cannot be saved; move it by stop and start")]
    SaveUnsupported {
        /// The driver.
        driver: &'static str,
    },
    /// The save did not come about; nothing was committed.
    #[error("not saved: {reason}")]
    SaveFailed {
        /// Why.
        reason: String,
        /// Whether the resource still runs here.
        after: AfterSave,
    },
    /// The saved state cannot be used: torn, foreign, used before, or of another machine.
    #[error("saved state rejected: {reason}")]
    SaveRejected {
        /// Why.
        reason: String,
    },
    /// The call was cut short by a kill, or came after one.
    #[error("cancelled by a kill")]
    Cancelled,
    /// A defect of ours: the driver panicked. Its thread has ended, and with it what it had
    /// started.
    #[error("defect in the driver: {message}")]
    Defect {
        /// The panic's message.
        message: String,
    },
}

/// What became of a resource whose save failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterSave {
    /// It runs here as before.
    RunsHere,
    /// It ended here, and nothing was saved: it has to be started cold.
    Gone,
}

fn said(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(": {output}") }
}
