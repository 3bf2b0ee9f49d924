//! The secret of a cluster.

use std::mem::MaybeUninit;

use quorate::ClusterKey;

use crate::guard::{Fault, given, guard, output, value};
use crate::status::quorate_status::{self, QUORATE_KEY};
use crate::text::quorate_text;

/// The secret that every node of a cluster shares. Free it with `quorate_key_free`.
#[derive(Debug)]
pub struct quorate_key(pub(crate) ClusterKey);

/// Draws a fresh key.
///
/// Parameters: `key`: the key, on success.
///
/// Returns: `QUORATE_KEY` when the system has no random numbers.
///
/// Memory and lifetimes: free the key with `quorate_key_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_key_generate(
    key: Option<&mut MaybeUninit<Box<quorate_key>>>,
) -> quorate_status {
    make(key, || Ok(ClusterKey::generate()?))
}

/// Reads a key from a file: one line of 64 hex digits, closed to group and others.
///
/// Parameters: `path`: the file. `key`: the key, on success.
///
/// Returns: `QUORATE_KEY` when the file is missing, open to others, another user's, or not a key;
/// the error text says what to do.
///
/// Memory and lifetimes: free the key with `quorate_key_free`.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_key_from_file(
    path: quorate_text,
    key: Option<&mut MaybeUninit<Box<quorate_key>>>,
) -> quorate_status {
    make(key, || {
        // SAFETY: the caller promised readable text.
        let path = unsafe { path.path("path") }?;
        Ok(ClusterKey::from_file(path)?)
    })
}

/// Reads a key from the environment variable `QUORATE_KEY`: 64 hex digits.
///
/// Parameters: `key`: the key, on success.
///
/// Returns: `QUORATE_KEY` when it is not set, or set to anything else.
///
/// Memory and lifetimes: free the key with `quorate_key_free`.
///
/// Threads: any, while no other changes the environment.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_key_from_environment(
    key: Option<&mut MaybeUninit<Box<quorate_key>>>,
) -> quorate_status {
    make(key, || {
        let missing = "the environment variable QUORATE_KEY is not set: set it to 64 hex digits";
        ClusterKey::from_environment()?.ok_or_else(|| Fault::new(QUORATE_KEY, missing))
    })
}

/// Writes a key to a new file that only its owner can read. An existing file is left alone.
///
/// Parameters: `key`: the key. `path`: the new file.
///
/// Returns: `QUORATE_KEY` when there is a file already, or it cannot be written.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_key_write_new_file(
    key: Option<&quorate_key>,
    path: quorate_text,
) -> quorate_status {
    guard(|| {
        // SAFETY: the caller promised readable text.
        let path = unsafe { path.path("path") }?;
        Ok(given(key, "key")?.0.write_new_file(path)?)
    })
}

/// Frees a key, and overwrites it. NULL is fine.
///
/// Parameters: `key`: a key, or NULL.
///
/// Memory and lifetimes: the key ends here; nodes that were started with it keep their own copy.
///
/// Threads: any, while no other uses the key.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_key_free(key: Option<Box<quorate_key>>) {
    value((), || drop(key));
}

fn make(
    place: Option<&mut MaybeUninit<Box<quorate_key>>>,
    make: impl FnOnce() -> Result<ClusterKey, Fault>,
) -> quorate_status {
    guard(|| {
        let place = output(place, "key")?;
        place.write(Box::new(quorate_key(make()?)));
        Ok(())
    })
}
