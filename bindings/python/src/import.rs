//! Configurations of other clusters.

use std::path::PathBuf;

use pyo3::prelude::*;
use quorate::import::Imported;

use crate::convert;
use crate::error::Failure;

/// The configuration as text, and the findings as data.
#[pyfunction]
pub(crate) fn import_pacemaker<'py>(
    py: Python<'py>,
    text: &str,
    file: &str,
) -> Result<(String, Bound<'py, PyAny>), Failure> {
    let imported = py.detach(|| quorate::import::import_pacemaker(text, file))?;
    given(py, &imported)
}

/// The configuration as text, and the findings as data.
#[pyfunction]
pub(crate) fn import_proxmox(
    py: Python<'_>,
    dir: PathBuf,
) -> Result<(String, Bound<'_, PyAny>), Failure> {
    let imported = py.detach(|| quorate::import::import_proxmox(&dir))?;
    given(py, &imported)
}

fn given<'py>(
    py: Python<'py>,
    imported: &Imported,
) -> Result<(String, Bound<'py, PyAny>), Failure> {
    let findings =
        serde_json::to_value(&imported.report.findings).expect("a report has text keys only");
    Ok((imported.to_toml(), convert::value(py, &findings).map_err(Failure::Python)?))
}
