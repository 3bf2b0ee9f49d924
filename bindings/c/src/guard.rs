//! The guard at every entry: no panic leaves, and each error leaves its text behind.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::status::quorate_status;

/// Why a call is refused: the number and the text.
#[derive(Debug)]
pub(crate) struct Fault {
    status: quorate_status,
    text: String,
}

impl Fault {
    pub(crate) fn new(status: quorate_status, text: impl Into<String>) -> Fault {
        Fault { status, text: text.into() }
    }

    pub(crate) fn null(name: &str) -> Fault {
        Fault::new(quorate_status::QUORATE_NULL_POINTER, format!("{name} is NULL"))
    }
}

impl From<quorate::Error> for Fault {
    fn from(error: quorate::Error) -> Fault {
        Fault::new(quorate_status::of_code(error.code()), error.to_string())
    }
}

impl From<quorate::ConfigError> for Fault {
    fn from(error: quorate::ConfigError) -> Fault {
        quorate::Error::from(error).into()
    }
}

impl From<quorate::key::KeyError> for Fault {
    fn from(error: quorate::key::KeyError) -> Fault {
        quorate::Error::from(error).into()
    }
}

impl From<quorate::testing::Error> for Fault {
    fn from(error: quorate::testing::Error) -> Fault {
        quorate::Error::from(error).into()
    }
}

impl From<quorate::what_if::Error> for Fault {
    fn from(error: quorate::what_if::Error) -> Fault {
        quorate::Error::from(error).into()
    }
}

thread_local! {
    static LAST_ERROR: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs a call that can fail. A panic is [`quorate_status::QUORATE_BUG`].
pub(crate) fn guard(call: impl FnOnce() -> Result<(), Fault>) -> quorate_status {
    let outcome = catch_unwind(AssertUnwindSafe(call));
    let outcome = outcome
        .unwrap_or_else(|panic| Err(Fault::new(quorate_status::QUORATE_BUG, panic_text(&*panic))));
    match outcome {
        Ok(()) => quorate_status::QUORATE_OK,
        Err(Fault { status, text }) => {
            // A thread that is ending has no place for it any more.
            let _ = LAST_ERROR.try_with(|last| *last.borrow_mut() = text);
            status
        }
    }
}

/// Runs a call that answers with a value, and with `fallback` when it panics.
pub(crate) fn value<T>(fallback: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(fallback)
}

/// What was passed as a handle, or the error that it is NULL.
pub(crate) fn given<'a, T>(handle: Option<&'a T>, name: &str) -> Result<&'a T, Fault> {
    handle.ok_or_else(|| Fault::null(name))
}

/// Where a result goes, or the error that it has no place to go.
pub(crate) fn output<'a, T>(
    place: Option<&'a mut MaybeUninit<T>>,
    name: &str,
) -> Result<&'a mut MaybeUninit<T>, Fault> {
    place.ok_or_else(|| Fault::null(name))
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a fault of quorate: {}", text.unwrap_or_else(|| "a panic without a text".to_owned()))
}

/// Copies the text of this thread's last error: one line that names what, where and the remedy.
///
/// The text stays until the next call of this thread that fails, so a call that succeeds in between
/// does no harm; before the first error it is empty.
///
/// Parameters: `buf`, `buf_len`: where it goes and how many bytes fit, the NUL at its end included;
/// a longer text is cut between two characters. `buf` may be NULL: then nothing is copied.
///
/// Returns: the length of the whole text in bytes, without the NUL.
///
/// Memory and lifetimes: `buf` is the caller's; nothing of it is kept.
///
/// Threads: any; each sees its own errors only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_error_copy(buf: *mut c_char, buf_len: usize) -> usize {
    value(0, || {
        let text = LAST_ERROR.try_with(|last| last.borrow().clone()).unwrap_or_default();
        if buf.is_null() || buf_len == 0 {
            return text.len();
        }
        let cut = cut_within(&text, buf_len - 1);
        let target = buf.cast::<u8>();
        // SAFETY: the caller promised `buf_len` bytes at `buf`; `cut` is less than that, and the
        // text is a string of ours elsewhere.
        unsafe { target.copy_from_nonoverlapping(text.as_ptr(), cut) };
        // SAFETY: `cut` is less than the `buf_len` bytes that the caller promised.
        let end = unsafe { target.add(cut) };
        // SAFETY: as above: one more byte is there.
        unsafe { end.write(0) };
        text.len()
    })
}

/// The end of the last whole character within `limit` bytes.
fn cut_within(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(len: usize) -> (usize, Vec<u8>) {
        let mut buffer = vec![0xff_u8; len];
        // SAFETY: the vector has `len` bytes.
        let whole = unsafe { quorate_error_copy(buffer.as_mut_ptr().cast(), len) };
        (whole, buffer)
    }

    #[test]
    fn a_panic_becomes_a_status_and_its_text_can_be_copied() {
        assert_eq!(guard(|| panic!("num {}", 7)), quorate_status::QUORATE_BUG);
        let (whole, text) = copied(64);
        assert_eq!(&text[..=whole], b"a fault of quorate: num 7\0");
        assert_eq!(value(5, || panic!("no")), 5);
    }

    #[test]
    fn an_error_text_is_cut_between_characters_and_always_ends() {
        guard(|| Err(Fault::new(quorate_status::QUORATE_CONFIG, "a\u{e9}z")));
        assert_eq!(copied(5), (4, b"a\xc3\xa9z\0".to_vec()));
        assert_eq!(copied(4), (4, b"a\xc3\xa9\0".to_vec()));
        assert_eq!(copied(3), (4, b"a\0\xff".to_vec()));
        assert_eq!(copied(1), (4, b"\0".to_vec()));
        assert_eq!(copied(0), (4, b"".to_vec()));
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { quorate_error_copy(std::ptr::null_mut(), 9) }, 4);
    }

    #[test]
    fn an_error_stays_until_the_next_one_and_in_its_thread() {
        guard(|| Err(Fault::null("node")));
        guard(|| Ok(()));
        assert_eq!(copied(0).0, "node is NULL".len());
        std::thread::spawn(|| assert_eq!(copied(0).0, 0)).join().unwrap();
    }
}
