//! The cluster key: the one secret that every node of a cluster shares.
//!
//! Owns how the key is read, written and turned into keys for single purposes. *Architecture
//! invariant*: the key itself never protects a message; only keys derived under a label do. It is
//! never printed and is overwritten in memory when dropped.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// The environment variable that may hold the key, as 64 hex digits.
pub const KEY_VARIABLE: &str = "QUORATE_KEY";

/// Bytes in a cluster key.
pub const KEY_BYTES: usize = 32;

/// Longest key file that is read: the digits, a line end and little more.
const FILE_BYTES_MAX: u64 = 256;

/// The secret that every node of a cluster shares: 32 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; KEY_BYTES]);

impl ClusterKey {
    /// A fresh key from the system's random numbers.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] when the system has none to give.
    pub fn generate() -> Result<ClusterKey, KeyError> {
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes)
            .map_err(|error| KeyError::NoRandomness { why: error.to_string() })?;
        Ok(ClusterKey(bytes))
    }

    /// A key from its 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> ClusterKey {
        ClusterKey(bytes)
    }

    /// The key in the environment variable `QUORATE_KEY`, when that is set.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when it is set to anything but 64 hex digits.
    pub fn from_environment() -> Result<Option<ClusterKey>, KeyError> {
        let Some(text) = std::env::var_os(KEY_VARIABLE) else { return Ok(None) };
        let text = Zeroizing::new(text.into_encoded_bytes());
        let place = || format!("the environment variable {KEY_VARIABLE}");
        parse_line(&text).map(Some).map_err(|found| KeyError::Malformed { place: place(), found })
    }

    /// Reads the key from a file: one line of 64 hex digits.
    ///
    /// The file must be a regular file of the user we run as, closed to group and others.
    ///
    /// # Errors
    /// Each [`KeyError`] but `NoRandomness` and `Exists`; all name the file and the remedy.
    pub fn from_file(path: &Path) -> Result<ClusterKey, KeyError> {
        let file = std::fs::OpenOptions::new()
            .read(true)
            // A named pipe in place of the file must not hold us up.
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
            .open(path)
            .map_err(|source| KeyError::Unreadable { path: path.into(), source })?;
        check_closed_to_others(path, &file)?;
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize));
        file.take(FILE_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(|source| KeyError::Unreadable { path: path.into(), source })?;
        parse_line(&text).map_err(|found| KeyError::Malformed {
            place: format!("key file {}", path.display()),
            found,
        })
    }

    /// Writes the key to a new file that only its owner can read, and syncs it.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there is a file already (it is left alone), else `Unwritable`.
    pub fn write_new_file(&self, path: &Path) -> Result<(), KeyError> {
        let opened =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(KeyError::Exists { path: path.into() });
            }
            Err(source) => return Err(KeyError::Unwritable { path: path.into(), source }),
        };
        let mut line = self.to_hex();
        line.push('\n');
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|source| {
            // Half a key file would only mislead the next reader.
            let _ = std::fs::remove_file(path);
            KeyError::Unwritable { path: path.into(), source }
        })
    }

    /// The key as 64 lower-case hex digits, overwritten in memory when dropped.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
        for byte in self.0 {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).expect("four bits are a digit"));
            }
        }
        text
    }

    /// A key for one purpose: HKDF-SHA256 under a label and the facts that it is bound to.
    ///
    /// `facts` are of fixed length for each label, so no two lists give the same input.
    pub(crate) fn derive(&self, label: &str, facts: &[&[u8]]) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut info: Vec<&[u8]> = vec![b"quorate 1 ", label.as_bytes(), b"\0"];
        info.extend_from_slice(facts);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Hkdf::<Sha256>::new(None, &self.0)
            .expand_multi_info(&info, key.as_mut())
            .expect("32 bytes are within the limit of HKDF-SHA256");
        key
    }
}

impl Drop for ClusterKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(secret)")
    }
}

/// Why there is no cluster key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file is missing or cannot be read.
    #[error(
        "key file {}: {source}: name the file that `quorate init` wrote, the same on \
         every node",
        path.display(),
    )]
    Unreadable {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory, device or pipe stands where the file should be.
    #[error(
        "key file {} is not a regular file: name a file that holds one line of 64 hex \
         digits",
        path.display(),
    )]
    NotAFile {
        /// The file asked for.
        path: PathBuf,
    },
    /// The file belongs to another user, who could change it.
    #[error(
        "key file {} belongs to user {owner}, we run as user {us}: run `chown {us} {}`",
        path.display(),
        path.display(),
    )]
    ForeignOwner {
        /// The file asked for.
        path: PathBuf,
        /// The user id that owns it.
        owner: u32,
        /// The user id that we run as.
        us: u32,
    },
    /// Group or others may read or write the file.
    #[error(
        "key file {} has mode {mode:04o}, so others can read or change it: run `chmod \
         600 {}`",
        path.display(),
        path.display(),
    )]
    OpenToOthers {
        /// The file asked for.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The text is not a key. It is never shown.
    #[error("{place} holds {found}, a key is one line of 64 hex digits")]
    Malformed {
        /// The file or variable.
        place: String,
        /// What is wrong with it, without the text itself.
        found: String,
    },
    /// There is a file already; it was left as it is.
    #[error(
        "key file {} exists already and was left as it is: remove it, or name another \
         file",
        path.display(),
    )]
    Exists {
        /// The file asked for.
        path: PathBuf,
    },
    /// The new file could not be written; nothing is left of it.
    #[error("key file {} cannot be written: {source}", path.display())]
    Unwritable {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no random numbers.
    #[error("no random numbers from the system: {why}")]
    NoRandomness {
        /// What the system said.
        why: String,
    },
}

fn check_closed_to_others(path: &Path, file: &File) -> Result<(), KeyError> {
    let metadata =
        file.metadata().map_err(|source| KeyError::Unreadable { path: path.into(), source })?;
    let us = rustix::process::geteuid().as_raw();
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_file() {
        return Err(KeyError::NotAFile { path: path.into() });
    }
    if metadata.uid() != us {
        return Err(KeyError::ForeignOwner { path: path.into(), owner: metadata.uid(), us });
    }
    if mode & 0o077 != 0 {
        return Err(KeyError::OpenToOthers { path: path.into(), mode });
    }
    Ok(())
}

fn parse_line(text: &[u8]) -> Result<ClusterKey, String> {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() != 2 * KEY_BYTES {
        return Err(format!("{} characters", line.len()));
    }
    let mut bytes = [0; KEY_BYTES];
    for (place, digits) in line.chunks_exact(2).enumerate() {
        let digit = |at: usize| {
            char::from(digits[at]).to_digit(16).ok_or_else(|| {
                format!("a character that is no hex digit at place {}", 2 * place + at + 1)
            })
        };
        bytes[place] = (digit(0)? * 16 + digit(1)?) as u8;
    }
    let key = ClusterKey(bytes);
    bytes.zeroize();
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn key_in_file() -> (tempfile::TempDir, PathBuf, ClusterKey) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.key");
        let key = ClusterKey::generate().unwrap();
        key.write_new_file(&path).unwrap();
        (dir, path, key)
    }

    #[test]
    fn a_written_key_is_read_back_and_is_closed_to_others() {
        let (_dir, path, key) = key_in_file();
        assert!(ClusterKey::from_file(&path).unwrap() == key);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), 65);
    }

    #[test]
    fn an_existing_key_file_is_never_overwritten() {
        let (_dir, path, key) = key_in_file();
        let other = ClusterKey::generate().unwrap();
        assert!(matches!(other.write_new_file(&path), Err(KeyError::Exists { .. })));
        assert!(ClusterKey::from_file(&path).unwrap() == key);
    }

    #[test]
    fn a_key_file_open_to_others_is_refused_with_the_remedy() {
        let (_dir, path, _) = key_in_file();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let text = ClusterKey::from_file(&path).unwrap_err().to_string();
            assert!(text.contains(&format!("{mode:04o}")), "{text}");
            assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        ClusterKey::from_file(&path).unwrap();
    }

    #[test]
    fn what_is_no_key_file_is_refused_at_once() {
        let (dir, path, key) = key_in_file();
        assert!(matches!(ClusterKey::from_file(dir.path()), Err(KeyError::NotAFile { .. })));
        let missing = dir.path().join("missing");
        assert!(matches!(ClusterKey::from_file(&missing), Err(KeyError::Unreadable { .. })));
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        assert!(matches!(ClusterKey::from_file(&pipe), Err(KeyError::NotAFile { .. })));
        for wrong in ["", "\n", "12", &"g".repeat(64), &"a".repeat(65), &"a".repeat(1000)] {
            std::fs::write(&path, wrong).unwrap();
            let error = ClusterKey::from_file(&path).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }), "{wrong:?}: {error}");
        }
        std::fs::write(&path, key.to_hex().to_uppercase() + "\n").unwrap();
        assert!(ClusterKey::from_file(&path).unwrap() == key);
    }

    #[test]
    fn debug_output_and_errors_do_not_show_the_key() {
        let key = ClusterKey::from_bytes([0xab; 32]);
        assert_eq!(format!("{key:?}"), "ClusterKey(secret)");
        let almost = format!("{}x", &key.to_hex()[..63]);
        assert!(!parse_line(almost.as_bytes()).unwrap_err().contains("abab"));
    }

    #[test]
    fn derived_keys_differ_by_label_and_by_fact() {
        let key = ClusterKey::from_bytes([7; 32]);
        let keys = [
            key.derive("beat", &[&[1]]),
            key.derive("beat", &[&[2]]),
            key.derive("stream", &[&[1]]),
            ClusterKey::from_bytes([8; 32]).derive("beat", &[&[1]]),
        ];
        for (i, one) in keys.iter().enumerate() {
            assert!(keys.iter().skip(i + 1).all(|other| **other != **one));
        }
        assert!(*keys[0] == *key.derive("beat", &[&[1]]));
    }
}
