//! The LUN of the lab: a real iSCSI target in user space (`tgtd`), on the storage host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use super::error::{LabError, command, require, run};
use super::network::{Network, STORAGE};
use super::wait::until;

const NAME: &str = "iqn.2026-01.org.quorate:lab";
const READY_MAX: Duration = Duration::from_secs(10);

/// A running target with one LUN, number 1. Dies when dropped, and with the thread that started it.
#[derive(Debug)]
pub(super) struct Target {
    child: Child,
    directory: PathBuf,
    portal: String,
}

impl Target {
    /// Starts the target with a LUN of `size_bytes` zeros, kept in a file of `directory`.
    ///
    /// # Errors
    /// What is missing, or what `tgtd` said.
    pub(super) fn start(
        network: &Network,
        directory: &Path,
        size_bytes: u64,
    ) -> Result<Self, LabError> {
        require("tgtd")?;
        let failed = |error| LabError::system(format!("{}", directory.display()), error);
        fs::create_dir_all(directory).map_err(failed)?;
        let lun = directory.join("lun");
        fs::File::create(&lun).and_then(|file| file.set_len(size_bytes)).map_err(failed)?;
        let log = fs::File::create(directory.join("log")).map_err(failed)?;
        let portal = network.listens_at(STORAGE);
        let mut tgtd = network.command(STORAGE, "tgtd");
        tgtd.args(["-f", "-C", "1", "-t", "2", "--iscsi", &format!("portal={portal}")])
            .env("TGT_IPC_SOCKET", directory.join("tgt.sock"))
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log);
        let child = tgtd.spawn().map_err(|error| LabError::system("cannot start tgtd", error))?;
        let mut target = Self { child, directory: directory.to_owned(), portal };
        target.configure(&lun)?;
        Ok(target)
    }

    /// The LUN's address for the `iscsi` driver.
    #[must_use]
    pub(super) fn url(&self) -> String {
        format!("iscsi://{}/{NAME}/1", self.portal)
    }

    /// The file behind the LUN: what really stands there, whoever wrote it.
    #[must_use]
    pub(super) fn bytes(&self) -> PathBuf {
        self.directory.join("lun")
    }

    fn configure(&mut self, lun: &Path) -> Result<(), LabError> {
        let waited = until("tgtd's readiness", READY_MAX, || {
            let ready = self.admin(&["--op", "show", "--mode", "sys"]).is_ok();
            let ended = matches!(self.child.try_wait(), Ok(Some(_)) | Err(_));
            (ready || ended).then_some(ready)
        })?;
        if !waited {
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            return Err(LabError::Failed { what: "tgtd".into(), said: log.trim().to_owned() });
        }
        let file = lun.display().to_string();
        self.admin(&["--op", "new", "--mode", "target", "-t", "1", "-T", NAME])?;
        let unit = ["--op", "new", "--mode", "logicalunit", "-t", "1", "-l", "1"];
        self.admin(&[&unit[..], &["-b", &file, "--bstype", "rdwr"]].concat())?;
        self.admin(&["--op", "bind", "--mode", "target", "-t", "1", "-I", "ALL"])?;
        Ok(())
    }

    fn admin(&self, arguments: &[&str]) -> Result<String, LabError> {
        run(command("tgtadm")
            .env("TGT_IPC_SOCKET", self.directory.join("tgt.sock"))
            .args(["-C", "1", "--lld", "iscsi"])
            .args(arguments))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It ignores SIGTERM while it has targets. Fails only if it is dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::ground::Ground;

    #[test]
    fn a_target_on_the_storage_host_serves_its_lun_and_dies_with_its_owner() {
        let name = "lab::target::tests::\
                    a_target_on_the_storage_host_serves_its_lun_and_dies_with_its_owner";
        if super::super::error::find("tgtd").is_none() || !crate::lab::testing::in_namespaces(name)
        {
            return;
        }
        let network = Network::build(Ground::here("").unwrap(), &["n1".into()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let target = Target::start(&network, directory.path(), 1 << 20).unwrap();
        assert_eq!(target.url(), "iscsi://10.77.2.2:3260/iqn.2026-01.org.quorate:lab/1");
        assert_eq!(std::fs::metadata(target.bytes()).unwrap().len(), 1 << 20);
        let id = target.child.id();
        let mut probe = network.command("n1", "bash");
        probe.args(["-c", "exec 3<>/dev/tcp/10.77.2.2/3260"]);
        assert!(probe.status().unwrap().success());
        drop(target);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
        assert!(!probe.status().unwrap().success());
    }
}
