//! The configuration and the key.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::convert;
use crate::error::Failure;

/// A cluster's configuration: read, checked whole, and never changed.
#[pyclass(frozen, module = "quorate")]
pub(crate) struct Config(pub(crate) quorate::Config);

#[pymethods]
impl Config {
    #[staticmethod]
    fn from_file(path: PathBuf) -> Result<Config, Failure> {
        Ok(Config(quorate::Config::from_file(&path)?))
    }

    #[staticmethod]
    #[pyo3(signature = (text, file = "cluster.toml"))]
    fn from_toml(text: &str, file: &str) -> Result<Config, Failure> {
        Ok(Config(quorate::Config::from_toml_str(text, file)?))
    }

    #[staticmethod]
    #[pyo3(signature = (text, file = "cluster.json"))]
    fn from_json(text: &str, file: &str) -> Result<Config, Failure> {
        Ok(Config(quorate::Config::from_json_str(text, file)?))
    }

    #[staticmethod]
    fn template(name: &str, id: u64, nodes: Vec<(String, String)>, shared_dir: &str) -> String {
        quorate::config::template(name, id, &nodes, shared_dir)
    }

    fn to_toml(&self) -> String {
        self.0.to_toml()
    }

    fn to_json(&self) -> String {
        self.0.to_json()
    }

    fn following(&self, before: &Config) -> Result<Config, Failure> {
        Ok(Config(self.0.following(&before.0)?))
    }

    /// What is allowed, but hardly meant.
    fn warnings(&self) -> Vec<String> {
        self.0.warnings()
    }

    #[pyo3(name = "_conflict")]
    fn conflict<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>, Failure> {
        convert::plain(py, &self.0.conflict()).map_err(Failure::Python)
    }

    #[pyo3(name = "_survival")]
    fn survival<'py>(&self, py: Python<'py>, losses: u32) -> Result<Bound<'py, PyAny>, Failure> {
        let survival = py.detach(|| self.0.survival(losses));
        convert::plain(py, &survival).map_err(Failure::Python)
    }

    fn timing_derivation(&self) -> String {
        self.0.timing_derivation()
    }

    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    #[getter]
    fn id(&self) -> u64 {
        self.0.id()
    }

    #[getter]
    fn node_names(&self) -> Vec<&str> {
        self.0.node_names().collect()
    }

    #[getter]
    fn group_names(&self) -> Vec<&str> {
        self.0.group_names().collect()
    }

    fn __repr__(&self) -> String {
        format!("<quorate.Config {}>", self.0.name())
    }
}

/// Where two configurations differ.
#[pyfunction]
pub(crate) fn diff<'py>(
    py: Python<'py>,
    before: &Config,
    after: &Config,
) -> Result<Bound<'py, PyAny>, Failure> {
    let after = after.0.following(&before.0)?;
    let found = quorate::config::diff(&before.0, &after)?;
    convert::differences(py, &found).map_err(Failure::Python)
}

/// What a change would do to a cluster of which a status was saved.
#[pyfunction]
pub(crate) fn plan_of_status<'py>(
    py: Python<'py>,
    current: &Config,
    status: &str,
    next: &Config,
) -> Result<Bound<'py, PyAny>, Failure> {
    let plan = quorate::Plan::of_status(&current.0, status, &next.0)?;
    convert::plan(py, &plan).map_err(Failure::Python)
}

/// A cluster identity drawn at random.
#[pyfunction]
pub(crate) fn random_id() -> Result<u64, Failure> {
    Ok(quorate::config::random_id()?)
}

/// The secret that every node of a cluster shares. It is never shown.
#[pyclass(frozen, module = "quorate")]
pub(crate) struct ClusterKey(pub(crate) quorate::ClusterKey);

#[pymethods]
impl ClusterKey {
    #[staticmethod]
    fn generate() -> Result<ClusterKey, Failure> {
        Ok(ClusterKey(quorate::ClusterKey::generate()?))
    }

    #[staticmethod]
    fn from_bytes(key: [u8; quorate::key::KEY_BYTES]) -> ClusterKey {
        ClusterKey(quorate::ClusterKey::from_bytes(key))
    }

    #[staticmethod]
    fn from_environment() -> Result<Option<ClusterKey>, Failure> {
        Ok(quorate::ClusterKey::from_environment()?.map(ClusterKey))
    }

    #[staticmethod]
    fn from_file(path: PathBuf) -> Result<ClusterKey, Failure> {
        Ok(ClusterKey(quorate::ClusterKey::from_file(&path)?))
    }

    fn write_new_file(&self, path: PathBuf) -> Result<(), Failure> {
        Ok(self.0.write_new_file(&path)?)
    }

    fn to_hex(&self) -> String {
        self.0.to_hex().to_string()
    }

    fn __repr__(&self) -> &'static str {
        "<quorate.ClusterKey, not shown>"
    }
}
