//! What a call answers, as a number.

use std::ffi::CStr;

use crate::guard::value;
use crate::text::quorate_text;

/// What a call answers. The text of the last error says more: see `quorate_error_copy`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum quorate_status {
    /// Done.
    QUORATE_OK = 0,
    /// A pointer is NULL that may not be. Nothing was done.
    QUORATE_NULL_POINTER = 1,
    /// A text is not UTF-8. Nothing was done.
    QUORATE_NOT_UTF8 = 2,
    /// A fault of quorate itself in a call that has no node. Please report it.
    QUORATE_BUG = 3,
    /// The configuration is wrong; the text says where, and the remedy. Nothing was started.
    QUORATE_CONFIG = 4,
    /// There is no usable cluster key. Nothing was started.
    QUORATE_KEY = 5,
    /// The node's log cannot be opened or written: damaged, foreign, in use, or the disk is full.
    QUORATE_LOG = 6,
    /// The network did not start: a port in use, an address that is not ours. Nothing was started.
    QUORATE_NET = 7,
    /// An address of the configuration cannot be resolved. Nothing was started.
    QUORATE_ADDRESS = 8,
    /// The directory for sockets and logs cannot be used. Nothing was started.
    QUORATE_WORK_DIRECTORY = 9,
    /// A name that the configuration does not hold.
    QUORATE_UNKNOWN = 10,
    /// The call does not suit what it names, as a completion of a request that was never made.
    QUORATE_MISUSE = 11,
    /// The coordinator refused the command; the cluster is as it was.
    QUORATE_REFUSED = 12,
    /// What was waited for has not come yet. It may still come.
    QUORATE_TIMED_OUT = 13,
    /// The engine's queue is full. Nothing was queued: take what waits, then try again.
    QUORATE_BUSY = 14,
    /// The node has left or was killed: its guests are stopped, and it answers no more.
    QUORATE_ENDED = 15,
    /// The node failed by a fault of its own or of its disk, and has fenced itself: its guests are
    /// killed. Free it, and start it again.
    QUORATE_POISONED = 16,
    /// The operating system refused.
    QUORATE_SYSTEM = 17,
    /// In a test cluster a promise of quorate was broken: by a fault of quorate, or by a resource
    /// that did not do what it said.
    QUORATE_VIOLATION = 18,
    /// A recording cannot be read, is none, or is damaged; the text names the byte.
    QUORATE_RECORDING = 19,
    /// A LUN cannot be reached, cannot do what was asked, or refuses it.
    QUORATE_LUN = 20,
}

use quorate_status::*;

/// Every status with its word; the words of errors are those of `quorate::Error::code`.
const WORDS: [(quorate_status, &CStr); 21] = [
    (QUORATE_OK, c"ok"),
    (QUORATE_NULL_POINTER, c"null_pointer"),
    (QUORATE_NOT_UTF8, c"not_utf8"),
    (QUORATE_BUG, c"bug"),
    (QUORATE_CONFIG, c"config"),
    (QUORATE_KEY, c"key"),
    (QUORATE_LOG, c"log"),
    (QUORATE_NET, c"net"),
    (QUORATE_ADDRESS, c"address"),
    (QUORATE_WORK_DIRECTORY, c"work_directory"),
    (QUORATE_UNKNOWN, c"unknown"),
    (QUORATE_MISUSE, c"misuse"),
    (QUORATE_REFUSED, c"refused"),
    (QUORATE_TIMED_OUT, c"timed_out"),
    (QUORATE_BUSY, c"busy"),
    (QUORATE_ENDED, c"ended"),
    (QUORATE_POISONED, c"poisoned"),
    (QUORATE_SYSTEM, c"system"),
    (QUORATE_VIOLATION, c"violation"),
    (QUORATE_RECORDING, c"recording"),
    (QUORATE_LUN, c"lun"),
];

impl quorate_status {
    /// The status for a word of `quorate::Error::code`.
    pub(crate) fn of_code(code: &str) -> quorate_status {
        let is_it = |(_, word): &&(quorate_status, &CStr)| word.to_bytes() == code.as_bytes();
        WORDS.iter().find(is_it).map_or(QUORATE_BUG, |(status, _)| *status)
    }
}

/// The word of a status, the same in all languages: `ok`, `config`, `timed_out` and so on.
///
/// Parameters: `status`: any number.
///
/// Returns: the word; `unlisted` for a number that this version does not know.
///
/// Memory and lifetimes: the text lives for ever.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_status_name(status: u32) -> quorate_text {
    value(quorate_text::NONE, || {
        let is_it = |(listed, _): &&(quorate_status, &CStr)| *listed as u32 == status;
        let word = WORDS.iter().find(is_it).map_or(c"unlisted", |(_, word)| *word);
        quorate_text::of_static(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate::Error;

    #[test]
    fn every_error_has_a_status_of_its_own() {
        let source = || std::io::Error::other("x");
        for (error, status) in [
            (Error::Misuse(String::new()), QUORATE_MISUSE),
            (Error::Busy, QUORATE_BUSY),
            (Error::Ended, QUORATE_ENDED),
            (Error::Poisoned { why: String::new() }, QUORATE_POISONED),
            (Error::System { doing: String::new(), source: source() }, QUORATE_SYSTEM),
        ] {
            assert_eq!(quorate_status::of_code(error.code()), status);
        }
        let codes = "config key log net address work_directory unknown misuse refused timed_out \
                     busy ended poisoned system recording";
        for code in codes.split_whitespace() {
            assert_ne!(quorate_status::of_code(code), QUORATE_BUG, "{code}");
        }
    }

    #[test]
    fn the_numbers_of_statuses_have_no_gap_and_no_double() {
        for (place, (status, _)) in WORDS.iter().enumerate() {
            assert_eq!(*status as usize, place);
        }
    }
}
