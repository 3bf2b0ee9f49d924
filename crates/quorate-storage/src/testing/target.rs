//! `tgtd` as a child process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::child::spawn_dying_with_parent;

pub(super) const NAME: &str = "iqn.2026-01.org.quorate:target";
const READY_MAX: Duration = Duration::from_secs(10);
const INSTALL: &str = "apt-get install --no-install-recommends tgt";

/// A running target with one LUN (number 1; number 0 is tgt's own controller), backed by a file.
///
/// Dies with the thread that started it; `Drop` kills it and removes its files.
#[derive(Debug)]
pub struct Target {
    child: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Target {
    /// Starts a target on a free port of 127.0.0.1 with a LUN of `size_bytes`.
    ///
    /// # Errors
    ///
    /// `NotFound` with the package to install when `tgtd` is missing; what `tgtd` or `tgtadm` said
    /// otherwise.
    pub fn start(size_bytes: u64) -> io::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), None, size_bytes)
    }

    /// As `start`, on another address of this machine, and on a given port if there is one.
    ///
    /// # Errors
    ///
    /// As `start`.
    pub fn start_at(
        address: std::net::IpAddr,
        port: Option<u16>,
        size_bytes: u64,
    ) -> io::Result<Self> {
        let port = match port {
            Some(port) => port,
            None => TcpListener::bind((address, 0))?.local_addr()?.port(),
        };
        let directory = tempfile::Builder::new().prefix("quorate-tgt").tempdir()?;
        std::fs::File::create(directory.path().join("lun"))?.set_len(size_bytes)?;
        let address = SocketAddr::new(address, port);
        let child = launch(directory.path(), address)?;
        let mut target = Self { child, address, directory };
        target.configure()?;
        Ok(target)
    }

    /// The address of the LUN for `IscsiOptions::url`.
    pub fn url(&self) -> String {
        self.url_of(1)
    }

    /// The address of any LUN of this target, existing or not.
    pub fn url_of(&self, lun: u32) -> String {
        format!("iscsi://{}/{NAME}/{lun}", self.address)
    }

    /// The same LUN through another portal, for instance a proxy that a test can cut.
    pub fn url_through(&self, portal: SocketAddr) -> String {
        format!("iscsi://{portal}/{NAME}/1")
    }

    /// Where the target listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file behind the LUN: what really stands there, whoever wrote it.
    pub fn backing_file(&self) -> PathBuf {
        self.directory.path().join("lun")
    }

    /// The process id of `tgtd`.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the target (SIGKILL), as a crash of the storage. The bytes stay, reservations are
    /// gone.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Starts the target again after `kill`, on the same port and bytes.
    ///
    /// # Errors
    ///
    /// As `start`.
    pub fn restart(&mut self) -> io::Result<()> {
        self.child = launch(self.directory.path(), self.address)?;
        self.configure()
    }

    /// Runs `tgtadm --lld iscsi` with these arguments on this target.
    ///
    /// # Errors
    ///
    /// What `tgtadm` said, if it failed.
    pub fn admin(&self, arguments: &[&str]) -> io::Result<String> {
        let output = Command::new("tgtadm")
            .env("TGT_IPC_SOCKET", self.directory.path().join("tgt.sock"))
            .args(["-C", "1", "--lld", "iscsi"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| missing("tgtadm", error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(io::Error::other(format!(
            "tgtadm {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )))
    }

    fn configure(&mut self) -> io::Result<()> {
        let end = Instant::now() + READY_MAX;
        // It answers on its control socket a few milliseconds after its start.
        while let Err(error) = self.admin(&["--op", "show", "--mode", "sys"]) {
            if error.kind() == io::ErrorKind::NotFound {
                return Err(error);
            }
            if let Some(status) = self.child.try_wait()? {
                let log =
                    std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                return Err(io::Error::other(format!(
                    "tgtd ended at once ({status}): {}",
                    log.trim()
                )));
            }
            if Instant::now() > end {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("tgtd is not ready: {error}"),
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let file = self.backing_file().display().to_string();
        self.admin(&["--op", "new", "--mode", "target", "-t", "1", "-T", NAME])?;
        self.admin(&[
            "--op",
            "new",
            "--mode",
            "logicalunit",
            "-t",
            "1",
            "-l",
            "1",
            "-b",
            &file,
            "--bstype",
            "rdwr",
        ])?;
        self.admin(&["--op", "bind", "--mode", "target", "-t", "1", "-I", "ALL"])?;
        while TcpStream::connect_timeout(&self.address, READY_MAX).is_err() {
            if Instant::now() > end {
                let text = format!("nothing listens on {}", self.address);
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Fails only if it is dead already.
        let _ = self.kill();
    }
}

fn launch(directory: &Path, address: SocketAddr) -> io::Result<Child> {
    let log = std::fs::File::create(directory.join("log"))?;
    let mut command = Command::new("tgtd");
    command
        .env("TGT_IPC_SOCKET", directory.join("tgt.sock"))
        .args(["-f", "-C", "1", "-t", "2", "--iscsi", &format!("portal={address}")])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    spawn_dying_with_parent(&mut command).map_err(|error| missing("tgtd", error))
}

fn missing(program: &str, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            io::ErrorKind::NotFound,
            format!("{program} is not installed: {INSTALL}"),
        ),
        _ => error,
    }
}
