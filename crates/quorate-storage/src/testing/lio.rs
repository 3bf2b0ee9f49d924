//! The Linux kernel's own iSCSI target (LIO) in a small guest as a child process: it does all that
//! SPC-4 says of persistent reservations, and needs neither root nor a module of this machine.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::target::NAME;
use crate::child::spawn_dying_with_parent;

/// Where tests find what guests boot from: a directory with one for each kind of guest in it.
const DIRECTORY: &str = "QUORATE_KERNEL_DIR";
const REMEDY: &str = "make test-kernel builds it and runs what needs it";
/// It is up in a few seconds; a busy machine takes several times as long.
const READY_MAX: Duration = Duration::from_secs(120);

/// A running guest with one LUN (number 1) of 16 MiB in its memory.
///
/// Dies with the thread that started it; `Drop` kills it.
#[derive(Debug)]
pub struct LioTarget {
    child: Child,
    address: SocketAddr,
    image: PathBuf,
    keeps: bool,
    scratch: tempfile::TempDir,
}

impl LioTarget {
    /// Size of its LUN in bytes.
    pub const SIZE: u64 = 16 << 20;

    /// Boots the guest of which `target` in the directory `QUORATE_KERNEL_DIR` (a whole path: tests
    /// run in the folder of their crate) holds kernel and initial file system, and waits until it
    /// serves.
    ///
    /// # Errors
    ///
    /// `NotFound` with the remedy when the variable, the files or QEMU are missing; what the guest
    /// said on its console when it ended or was not ready in two minutes.
    pub fn start() -> io::Result<Self> {
        let directory = std::env::var_os(DIRECTORY)
            .ok_or_else(|| not_found(format!("{DIRECTORY} is not set; {REMEDY}")))?;
        Self::start_from(&Path::new(&directory).join("target"), true)
    }

    /// Boots what stands in `image` as `vmlinuz` and `initramfs`. `keeps`: it has a place to keep
    /// reservations in, and so can do what is asked with APTPL.
    ///
    /// # Errors
    ///
    /// As `start`.
    pub fn start_from(image: &Path, keeps: bool) -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let scratch = tempfile::Builder::new().prefix("quorate-lio").tempdir()?;
        let image = image.to_owned();
        let child = launch(&image, scratch.path(), address, keeps)?;
        let mut target = Self { child, address, image, keeps, scratch };
        target.wait_until_ready()?;
        Ok(target)
    }

    /// The address of the LUN for `IscsiOptions::url`.
    pub fn url(&self) -> String {
        self.url_through(self.address)
    }

    /// The same LUN through another portal, for instance a proxy that a test can cut.
    pub fn url_through(&self, portal: SocketAddr) -> String {
        format!("iscsi://{portal}/{NAME}/1")
    }

    /// Where the target listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the guest as a loss of power does. Bytes and reservations are gone.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Boots the guest again after `kill`, at the same address.
    ///
    /// # Errors
    ///
    /// As `start`.
    pub fn restart(&mut self) -> io::Result<()> {
        self.child = launch(&self.image, self.scratch.path(), self.address, self.keeps)?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let end = Instant::now() + READY_MAX;
        loop {
            let console = std::fs::read(self.scratch.path().join("console"))?;
            let console = String::from_utf8_lossy(&console);
            if console.contains("target: ready") {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let text = format!("the target's guest ended ({status}): {}", console.trim());
                return Err(io::Error::other(text));
            }
            if Instant::now() > end {
                let text = format!("the target's guest is not ready: {}", console.trim());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for LioTarget {
    fn drop(&mut self) {
        // Fails only if it is dead already.
        let _ = self.kill();
    }
}

fn launch(image: &Path, scratch: &Path, address: SocketAddr, keeps: bool) -> io::Result<Child> {
    let (kernel, files) = (image.join("vmlinuz"), image.join("initramfs"));
    for file in [&kernel, &files] {
        if !file.exists() {
            return Err(not_found(format!("{} is missing; {REMEDY}", file.display())));
        }
    }
    let console = File::create(scratch.join("console"))?;
    let aptpl = if keeps { "" } else { " aptpl=no" };
    let mut command = Command::new("qemu-system-x86_64");
    command
        // A KVM device may be there and not work.
        .args(["-accel", "tcg", "-m", "256", "-display", "none", "-nodefaults", "-no-reboot"])
        .args(["-serial", "stdio", "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(files)
        .args(["-append", &format!("console=ttyS0 quiet panic=-1{aptpl}")])
        .args(["-netdev", &format!("user,id=net,hostfwd=tcp:{address}-:3260")])
        // It boots from what it is given: no ROM on its network card is needed.
        .args(["-device", "virtio-net-pci,netdev=net,romfile="])
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console);
    spawn_dying_with_parent(&mut command).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let install = "apt-get install --no-install-recommends qemu-system-x86";
            not_found(format!("qemu-system-x86_64 is not installed: {install}"))
        }
        _ => error,
    })
}

fn not_found(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, text)
}
