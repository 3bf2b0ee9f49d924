//! A node's recording, lived again.

use std::ops::ControlFlow;
use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::json;

use quorate::{NoticeKind, ReplayOptions, ReplayReport, ReplayStep};

use crate::convert;
use crate::error::Failure;

/// How many steps Ctrl-C may go unheard.
const SIGNALS_STEPS: u64 = 4_096;

/// What a replay has shown.
#[pyclass(frozen, module = "quorate._quorate")]
pub(crate) struct Replayed {
    report: ReplayReport,
    steps: Vec<ReplayStep>,
}

#[pymethods]
impl Replayed {
    /// The report and the steps, as dictionaries.
    fn facts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::value(py, &json!({ "report": self.report, "steps": self.steps }))
    }

    fn html(&self, py: Python<'_>) -> String {
        py.detach(|| self.report.html(&self.steps))
    }
}

#[pyfunction]
#[pyo3(signature = (path, until, stop_at, stop_at_step, all))]
pub(crate) fn replay(
    py: Python<'_>,
    path: PathBuf,
    until: Option<f64>,
    stop_at: Option<&str>,
    stop_at_step: Option<u64>,
    all: bool,
) -> Result<Replayed, Failure> {
    let until = until.map(convert::length).transpose()?;
    let stop_at = stop_at.map(kind_named).transpose()?;
    let options = ReplayOptions { until, stop_at_step, stop_at, all };
    py.detach(|| run(&path, &options))
}

fn run(path: &std::path::Path, options: &ReplayOptions) -> Result<Replayed, Failure> {
    let mut steps = Vec::new();
    let mut raised = None;
    let report = quorate::replay_with(path, options, |step, progress| {
        steps.extend(step);
        if progress.steps % SIGNALS_STEPS == 0 {
            raised = Python::attach(|py| py.check_signals()).err();
        }
        if raised.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    match raised {
        Some(error) => Err(Failure::Python(error)),
        None => Ok(Replayed { report, steps }),
    }
}

fn kind_named(word: &str) -> Result<NoticeKind, Failure> {
    let found = NoticeKind::ALL.iter().copied().find(|kind| kind.as_str() == word);
    found.ok_or_else(|| {
        let text = format!("stop_at {word:?} is no kind of notice; see quorate.NoticeKind");
        Failure::Python(PyValueError::new_err(text))
    })
}
