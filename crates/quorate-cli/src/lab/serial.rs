//! The words of the test guest: its firmware, and the lines it prints.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{LabError, command, run};

/// The guest's own source: assembled where the lab runs.
const SOURCE: &str = include_str!("../../../../tests/guest/guest.s");

/// Assembles the guest's firmware into `directory`.
///
/// # Errors
/// What `as` or `ld` said.
pub(super) fn build_firmware(directory: &Path) -> Result<PathBuf, LabError> {
    let source = directory.join("guest.s");
    let (object, rom) = (directory.join("guest.o"), directory.join("guest.rom"));
    fs::write(&source, SOURCE)
        .map_err(|error| LabError::system(format!("cannot write {}", source.display()), error))?;
    run(command("as").arg("--32").arg("-o").arg(&object).arg(&source))?;
    run(command("ld")
        .args(["-m", "elf_i386", "--oformat", "binary", "-e", "0", "-Ttext", "0", "-o"])
        .arg(&rom)
        .arg(&object))?;
    Ok(rom)
}

/// One line of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestLine {
    /// It booted; the counter on its disk stands at `counter`.
    Boot {
        /// This boot's nonce.
        nonce: u64,
        /// The counter.
        counter: u32,
    },
    /// A record is written and flushed.
    Tick {
        /// Its number.
        record: u32,
        /// The nonce of the boot that wrote it.
        nonce: u64,
    },
    /// The disk refused a command of this record.
    Refused {
        /// Its number.
        record: u32,
        /// The nonce.
        nonce: u64,
    },
    /// The disk is missing, or not the guest's.
    Broken,
}

impl GuestLine {
    /// Reads a line; none: it is not a whole line of the guest.
    ///
    /// A guest that was killed in the middle of a line is followed on it by the next one's boot.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let boot = line.rfind("boot ").filter(|&place| place > 0);
        Self::parse_whole(boot.map_or(line, |place| &line[place..]))
    }

    fn parse_whole(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let kind = words.next()?;
        let mut next = || words.next();
        let nonce = |word: Option<&str>| {
            let word = word.filter(|word| word.len() == 16)?;
            u64::from_str_radix(word, 16).ok()
        };
        let number = |word: Option<&str>| word?.parse().ok();
        match kind {
            "boot" => Some(Self::Boot { nonce: nonce(next())?, counter: number(next())? }),
            "tick" => Some(Self::Tick { record: number(next())?, nonce: nonce(next())? }),
            "ioerr" => Some(Self::Refused { record: number(next())?, nonce: nonce(next())? }),
            "nodisk" | "corrupt" => Some(Self::Broken),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_guest_is_understood_and_a_torn_one_is_not() {
        let nonce = 0x0123_4567_89ab_cdef;
        let read = GuestLine::parse;
        assert_eq!(read("boot 0123456789abcdef 7"), Some(GuestLine::Boot { nonce, counter: 7 }));
        assert_eq!(read("tick 8 0123456789abcdef"), Some(GuestLine::Tick { record: 8, nonce }));
        assert_eq!(
            read("ioerr 9 0123456789abcdef 41 04"),
            Some(GuestLine::Refused { record: 9, nonce })
        );
        assert_eq!(read("corrupt"), Some(GuestLine::Broken));
        let after_a_kill = read("tick 8 0123boot 0123456789abcdef 7");
        assert_eq!(after_a_kill, Some(GuestLine::Boot { nonce, counter: 7 }));
        for torn in ["", "tick", "tick 8", "tick 8 0123", "tick x 0123456789abcdef", "ck 8"] {
            assert_eq!(read(torn), None, "{torn:?}");
        }
    }
}
