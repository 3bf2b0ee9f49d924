//! LUNs looked at from outside a cluster.

use pyo3::prelude::*;
use quorate::lun::{Lun, devices};
use serde::Serialize;

use crate::config::Config;
use crate::convert;
use crate::error::Failure;

/// The devices of this machine that can be LUNs, as data.
#[pyfunction]
pub(crate) fn lun_devices(py: Python<'_>) -> Result<Bound<'_, PyAny>, Failure> {
    given(py, &py.detach(devices))
}

/// What a LUN is and who holds it, as data and as a table.
#[pyfunction]
pub(crate) fn lun_show<'py>(
    py: Python<'py>,
    place: &str,
    config: Option<&Config>,
    initiator: Option<&str>,
) -> Result<(Bound<'py, PyAny>, String), Failure> {
    let lun = which(place, config, initiator)?;
    let found = py.detach(|| lun.show())?;
    Ok((given(py, &found)?, found.to_string()))
}

/// Takes every registration away; gives how many there were.
#[pyfunction]
pub(crate) fn lun_clear(
    py: Python<'_>,
    place: &str,
    config: Option<&Config>,
    initiator: Option<&str>,
) -> Result<usize, Failure> {
    let lun = which(place, config, initiator)?;
    Ok(py.detach(|| lun.clear())?)
}

/// Makes leases at the end of a disk without reservations.
#[pyfunction]
pub(crate) fn lun_init(
    py: Python<'_>,
    place: &str,
    config: Option<&Config>,
    over_other_bytes: bool,
) -> Result<bool, Failure> {
    let lun = which(place, config, None)?;
    Ok(py.detach(|| lun.init(over_other_bytes))?)
}

/// Tries a LUN out: as data and as a table.
#[pyfunction]
pub(crate) fn lun_doctor<'py>(
    py: Python<'py>,
    place: &str,
    config: Option<&Config>,
    initiator: Option<&str>,
) -> Result<(Bound<'py, PyAny>, String), Failure> {
    let lun = which(place, config, initiator)?;
    let found = py.detach(|| lun.doctor())?;
    Ok((given(py, &found)?, found.to_string()))
}

fn which(
    place: &str,
    config: Option<&Config>,
    initiator: Option<&str>,
) -> Result<Lun, quorate::Error> {
    let lun = Lun::named(place, config.map(|config| &config.0))?;
    Ok(match initiator {
        Some(name) => lun.initiator(name),
        None => lun,
    })
}

pub(crate) fn given<'py>(
    py: Python<'py>,
    found: &impl Serialize,
) -> Result<Bound<'py, PyAny>, Failure> {
    let data = serde_json::to_value(found).expect("reports have text keys only");
    convert::value(py, &data).map_err(Failure::Python)
}
