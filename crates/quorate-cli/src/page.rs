//! What a command writes at its end to a file that is named on its command line.

use std::fs;
use std::io;
use std::path::Path;

use crate::failure::{Exit, Failure};

/// Finds out whether it can be written, before the work of which it is to tell.
///
/// # Errors
/// It cannot.
pub(crate) fn check(path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let is_new = !path.exists();
    fs::File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| refused(Exit::Usage, path, &error))?;
    if is_new {
        // Nothing is there until there is something to read.
        let _ = fs::remove_file(path);
    }
    Ok(())
}

/// Writes it.
///
/// # Errors
/// The disk has become full, or the like.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| refused(Exit::Failed, path, &error))
}

/// Says that it cannot be written.
pub(crate) fn refused(exit: Exit, path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::new(exit, format!("cannot write {path}: {error}; name a file that can be written"))
}
