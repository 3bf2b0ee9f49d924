//! Text across the border: a pointer and a length.

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::slice;

use crate::guard::{Fault, value};
use crate::status::quorate_status;

/// A text that belongs to somebody else: a pointer and a length in bytes, in UTF-8 (paths may hold
/// any bytes).
///
/// To quorate it needs no NUL at its end. From quorate it always has one, which `len` does not
/// count, so that `data` can be printed as it is. `data` is NULL where there is no text.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct quorate_text {
    /// The first byte; NULL: no text.
    pub data: *const c_char,
    /// How many bytes.
    pub len: usize,
}

impl quorate_text {
    /// No text.
    pub(crate) const NONE: quorate_text = quorate_text { data: std::ptr::null(), len: 0 };

    pub(crate) fn of_static(text: &'static CStr) -> quorate_text {
        quorate_text { data: text.as_ptr(), len: text.count_bytes() }
    }

    /// The bytes, or none.
    ///
    /// # Safety
    /// `data` is NULL, or `len` bytes can be read there for as long as `'a`.
    unsafe fn bytes<'a>(self, name: &str) -> Result<Option<&'a [u8]>, Fault> {
        if self.data.is_null() {
            return if self.len == 0 { Ok(None) } else { Err(Fault::null(name)) };
        }
        if isize::try_from(self.len).is_err() {
            let text = format!("{name} has {} bytes, which cannot be", self.len);
            return Err(Fault::new(quorate_status::QUORATE_MISUSE, text));
        }
        // SAFETY: our caller promises `len` readable bytes; no object is larger than `isize::MAX`.
        Ok(Some(unsafe { slice::from_raw_parts(self.data.cast(), self.len) }))
    }

    /// The text, or none.
    ///
    /// # Safety
    /// As for `bytes`.
    pub(crate) unsafe fn optional<'a>(self, name: &str) -> Result<Option<&'a str>, Fault> {
        // SAFETY: our caller promises what `bytes` asks for.
        let Some(bytes) = (unsafe { self.bytes(name) })? else { return Ok(None) };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Fault::new(quorate_status::QUORATE_NOT_UTF8, format!("{name} is not UTF-8: {error}"))
        })?;
        Ok(Some(text))
    }

    /// The text, which must be there.
    ///
    /// # Safety
    /// As for `bytes`.
    pub(crate) unsafe fn required<'a>(self, name: &str) -> Result<&'a str, Fault> {
        // SAFETY: our caller promises what `bytes` asks for.
        unsafe { self.optional(name) }?.ok_or_else(|| Fault::null(name))
    }

    /// A path, or none.
    ///
    /// # Safety
    /// As for `bytes`.
    pub(crate) unsafe fn optional_path<'a>(self, name: &str) -> Result<Option<&'a Path>, Fault> {
        // SAFETY: our caller promises what `bytes` asks for.
        let bytes = unsafe { self.bytes(name) }?;
        Ok(bytes.map(|bytes| Path::new(OsStr::from_bytes(bytes))))
    }

    /// A path, which must be there.
    ///
    /// # Safety
    /// As for `bytes`.
    pub(crate) unsafe fn path<'a>(self, name: &str) -> Result<&'a Path, Fault> {
        // SAFETY: our caller promises what `bytes` asks for.
        unsafe { self.optional_path(name) }?.ok_or_else(|| Fault::null(name))
    }
}

/// A text that a handle keeps for C, with a NUL behind it. It stays in its place when moved.
#[derive(Clone, Debug)]
pub(crate) struct Kept(Box<[u8]>);

impl Kept {
    pub(crate) fn new(text: impl Into<Vec<u8>>) -> Kept {
        let mut bytes = text.into();
        bytes.push(0);
        Kept(bytes.into_boxed_slice())
    }

    /// What is kept; valid as long as this.
    pub(crate) fn text(&self) -> quorate_text {
        quorate_text { data: self.0.as_ptr().cast(), len: self.0.len() - 1 }
    }
}

/// Makes a text of a C string, which stays the caller's. NULL gives no text.
///
/// Parameters: `c_string`: bytes with a NUL at the end, or NULL.
///
/// Returns: the text.
///
/// Memory and lifetimes: it points to `c_string`, and is valid as long as that.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_text_borrow(c_string: *const c_char) -> quorate_text {
    value(quorate_text::NONE, || {
        if c_string.is_null() {
            return quorate_text::NONE;
        }
        // SAFETY: the caller promised a NUL at the end.
        let len = unsafe { CStr::from_ptr(c_string) }.count_bytes();
        quorate_text { data: c_string, len }
    })
}

/// A text that belongs to the caller. Free it with `quorate_string_free`.
#[derive(Debug)]
pub struct quorate_string(Kept);

impl quorate_string {
    pub(crate) fn boxed(text: impl Into<Vec<u8>>) -> Box<quorate_string> {
        Box::new(quorate_string(Kept::new(text)))
    }
}

/// What a string holds.
///
/// Parameters: `string`: a string, or NULL.
///
/// Returns: its text, with a NUL behind it; no text for NULL.
///
/// Memory and lifetimes: valid until the string is freed.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_string_text(string: Option<&quorate_string>) -> quorate_text {
    value(quorate_text::NONE, || string.map_or(quorate_text::NONE, |string| string.0.text()))
}

/// Frees a string. NULL is fine.
///
/// Parameters: `string`: a string, or NULL.
///
/// Memory and lifetimes: the string and its text end here.
///
/// Threads: any, while no other uses the string.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_string_free(string: Option<Box<quorate_string>>) {
    value((), || drop(string));
}

/// The version of the library that runs, as in `QUORATE_VERSION` of the header that was compiled.
///
/// Returns: three numbers, as in `0.1.0`.
///
/// Memory and lifetimes: the text lives for ever.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_version() -> quorate_text {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a version has no NUL inside"),
        };
    value(quorate_text::NONE, || quorate_text::of_static(VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> quorate_text {
        quorate_text { data: bytes.as_ptr().cast(), len: bytes.len() }
    }

    #[test]
    fn text_comes_in_by_its_length_and_bad_text_is_refused_by_name() {
        // SAFETY: each text borrows bytes that outlive the call.
        let read = |given: quorate_text| unsafe { given.required("group") };
        assert_eq!(read(text(b"vm1 and more").cut_to(3)).unwrap(), "vm1");
        assert_eq!(read(text(b"")).unwrap(), "");
        let wrong = |given: quorate_text| format!("{:?}", read(given).unwrap_err());
        assert!(wrong(quorate_text::NONE).contains("group is NULL"));
        assert!(wrong(quorate_text { len: 3, ..quorate_text::NONE }).contains("QUORATE_NULL"));
        assert!(wrong(text(b"a\xff")).contains("group is not UTF-8"));
        assert!(wrong(text(b"a").cut_to(usize::MAX)).contains("QUORATE_MISUSE"));
    }

    #[test]
    fn text_that_goes_out_ends_with_a_nul_that_is_not_counted() {
        let string = quorate_string::boxed("so");
        let out = quorate_string_text(Some(&string));
        // SAFETY: the string lives, and is followed by a NUL.
        let again = unsafe { quorate_text_borrow(out.data) };
        assert_eq!((out.len, again.len), (2, 2));
        quorate_string_free(Some(string));
        quorate_string_free(None);
        assert!(quorate_string_text(None).data.is_null());
    }

    impl quorate_text {
        fn cut_to(self, len: usize) -> quorate_text {
            quorate_text { len, ..self }
        }
    }
}
