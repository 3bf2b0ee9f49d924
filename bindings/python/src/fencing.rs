//! Fence agents looked at from outside a cluster.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::config::Config;
use crate::error::Failure;
use crate::lun::given;

/// Whether the fence agents of a configuration can do their work, as data and as a table.
#[pyfunction]
pub(crate) fn check_fence_agents<'py>(
    py: Python<'py>,
    config: &Config,
) -> Result<(Bound<'py, PyAny>, String), Failure> {
    let found = py.detach(|| quorate::fence_agents::check(&config.0));
    Ok((given(py, &found)?, found.to_string()))
}

/// Makes the disks of a configuration's poison pills ready: each path, and whether it was made.
#[pyfunction]
pub(crate) fn init_fence_agents(
    py: Python<'_>,
    config: &Config,
    over_other_bytes: bool,
) -> Result<Vec<(PathBuf, bool)>, Failure> {
    Ok(py.detach(|| quorate::fence_agents::init(&config.0, over_other_bytes))?)
}
