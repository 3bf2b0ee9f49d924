//! Failures as Python exceptions; the classes are those of quorate.errors.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use quorate::{ConfigError, Error};

/// What a call of ours fails with.
pub(crate) enum Failure {
    /// quorate refused, or failed.
    Quorate(Error),
    /// Python did, as when Ctrl-C was pressed.
    Python(PyErr),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Quorate(error.into())
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        match failure {
            Failure::Quorate(error) => Python::attach(|py| exception(py, &error)),
            Failure::Python(error) => error,
        }
    }
}

fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let made = match error {
        Error::Config(config) => config_error(py, config),
        other => class(py, other.code()).and_then(|class| class.call1((other.to_string(),))),
    };
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

fn config_error<'py>(py: Python<'py>, error: &ConfigError) -> PyResult<Bound<'py, PyAny>> {
    let (line, column) = error.position.unzip();
    let facts = (
        error.to_string(),
        error.file.as_deref(),
        line,
        column,
        error.place.as_str(),
        error.problem.as_str(),
        error.remedy.as_str(),
    );
    class(py, "config")?.call1(facts)
}

/// The class for a kind of error; `Error` itself for one that it does not know.
fn class<'py>(py: Python<'py>, code: &str) -> PyResult<Bound<'py, PyAny>> {
    static CLASSES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    static BASE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match CLASSES.import(py, "quorate.errors", "BY_CODE")?.get_item(code)? {
        Some(class) => Ok(class),
        None => Ok(BASE.import(py, "quorate.errors", "Error")?.clone().into_any()),
    }
}
