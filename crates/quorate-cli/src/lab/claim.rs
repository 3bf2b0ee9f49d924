//! The directory of a lab belongs to a process that lives. What a killed one has left behind, with its key, goes.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// How the directory of every lab begins.
pub(super) const PREFIX: &str = "quorate-lab-";
/// The file in it that is locked as long as its process lives.
const CLAIM: &str = "claim";

/// Claims a lab's directory, until what this gives is dropped or its process ends.
pub(super) fn claim(directory: &Path) -> io::Result<File> {
    let file = File::create_new(directory.join(CLAIM))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Gives the claim up for good: the directory is to stay.
pub(super) fn keep(directory: &Path) {
    // Without it nobody takes the directory for a lab's any more.
    let _ = fs::remove_file(directory.join(CLAIM));
}

/// Removes every lab's directory in `home` whose process has ended.
pub(super) fn sweep(home: &Path) {
    let entries = fs::read_dir(home).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let Ok(file) = File::options().write(true).open(entry.path().join(CLAIM)) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // What cannot be removed is another user's, or goes next time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_claims_any_more_is_swept_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let lab = |name: &str| {
            let directory = home.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&directory).unwrap();
            let claimed = claim(&directory).unwrap();
            (directory, claimed)
        };
        let (dead, dropped) = lab("dead");
        let (alive, _claimed) = lab("alive");
        let (kept, _) = lab("kept");
        drop(dropped);
        keep(&kept);
        fs::create_dir(home.path().join("other")).unwrap();
        sweep(home.path());
        assert!(!dead.exists());
        assert!(alive.exists() && kept.exists() && home.path().join("other").exists());
    }
}
