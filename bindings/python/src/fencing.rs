//! Fence agents looked at from outside a cluster.

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
