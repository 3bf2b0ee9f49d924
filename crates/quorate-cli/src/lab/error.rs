//! What keeps the lab from doing what it was asked.

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Why the lab could not do something, with the remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program is not installed.
    #[error("{program} is not installed: run `apt-get install --no-install-recommends {package}`")]
    Missing {
        /// The program.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The operating system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program failed.
    #[error("{what} failed: {said}")]
    Failed {
        /// What was run.
        what: String,
        /// What it said.
        said: String,
    },
    /// Something did not come about in time.
    #[error("{what} did not come about within {} ms{said}", waited.as_millis())]
    TooLate {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// What was seen instead: empty, or a text that starts with a colon.
        said: String,
    },
    /// The user or the system asked us to stop.
    #[error("interrupted")]
    Interrupted,
}

impl LabError {
    /// The system's refusal of `what`.
    pub fn system(what: impl Into<String>, source: io::Error) -> Self {
        Self::System { what: what.into(), source }
    }
}

/// Packages of the programs that the lab runs.
const PACKAGES: [(&str, &str); 10] = [
    ("as", "binutils"),
    ("ip", "iproute2"),
    ("ld", "binutils"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("setpriv", "util-linux"),
    ("tgtadm", "tgt"),
    ("tgtd", "tgt"),
    ("unshare", "util-linux"),
];

/// A command for `program`, found also where an ordinary user's PATH does not look.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
    command.stdin(Stdio::null());
    command
}

/// Where a program is.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into))
        .map(|folder| folder.join(program))
        .find(|file| is_program(file))
}

/// Whether a program is there.
///
/// # Errors
/// [`LabError::Missing`] with its package.
pub fn require(program: &str) -> Result<(), LabError> {
    if find(program).is_some() { Ok(()) } else { Err(missing(program)) }
}

/// Runs a command to its end and gives what it printed.
///
/// # Errors
/// What it, or the system, said.
pub fn run(command: &mut Command) -> Result<String, LabError> {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let output = command.output().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => missing(&name),
        _ => LabError::system(format!("cannot run {name}"), source),
    })?;
    succeeded(command, output)
}

/// What the finished command printed.
///
/// # Errors
/// [`LabError::Failed`] when it did not succeed.
pub fn succeeded(command: &Command, output: Output) -> Result<String, LabError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let said = if said.is_empty() { output.status.to_string() } else { said };
    Err(LabError::Failed { what: words.join(" "), said })
}

fn missing(program: &str) -> LabError {
    let package = PACKAGES.iter().find(|(name, _)| *name == program);
    LabError::Missing { program: program.into(), package: package.map_or("coreutils", |p| p.1) }
}

fn is_program(file: &Path) -> bool {
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
}
