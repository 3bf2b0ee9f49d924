//! What would come of a loss.

use pyo3::prelude::*;

use quorate::Error;
use quorate::what_if::{Lose, Situation, WhatIf};

use crate::config::Config;
use crate::convert;
use crate::error::Failure;

/// The report, as data and as a table.
#[pyfunction]
pub(crate) fn what_if<'py>(
    py: Python<'py>,
    config: &Config,
    situation: Option<&str>,
    lose: Vec<String>,
    start_time: f64,
) -> Result<(Bound<'py, PyAny>, String), Failure> {
    let situation: Option<Situation> =
        situation.map(serde_json::from_str).transpose().map_err(|error| {
            Error::Misuse(format!("status: {error}; give what a node's status gave"))
        })?;
    let lose = lose.iter().map(|word| word.parse()).collect::<Result<Vec<Lose>, _>>()?;
    let question = WhatIf::new(config.0.cluster().clone(), situation)?
        .start_time(convert::length(start_time)?);
    let mut cases = Vec::new();
    for loss in question.losses(&lose)? {
        cases.push(py.detach(|| question.case(&loss))?);
        py.check_signals().map_err(Failure::Python)?;
    }
    let report = py.detach(|| question.report_of(cases))?;
    let data = serde_json::to_value(&report).expect("a report has text keys only");
    Ok((convert::value(py, &data).map_err(Failure::Python)?, report.to_string()))
}
