//! A node: what quorate.Node, written in Python, stands on.

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use quorate::{Error, NodeOptions, OpId, Ticket};

use crate::config::{ClusterKey, Config};
use crate::convert;
use crate::desk::{Desk, Relay};
use crate::error::Failure;

/// How long Ctrl-C may go unheard in a call that waits.
const SIGNALS_INTERVAL: Duration = Duration::from_millis(100);

/// A node of a cluster, in this process.
#[pyclass(frozen, subclass, module = "quorate._quorate")]
pub(crate) struct Node {
    inner: quorate::Node,
    config: Py<Config>,
}

#[pymethods]
impl Node {
    #[new]
    #[pyo3(signature = (config, name, state_dir, key, *, work_dir = None))]
    fn new(
        py: Python<'_>,
        config: Py<Config>,
        name: &str,
        state_dir: PathBuf,
        key: &ClusterKey,
        work_dir: Option<PathBuf>,
    ) -> Result<Node, Failure> {
        let mut options = NodeOptions::new(config.get().0.clone(), name, state_dir, key.0.clone());
        options.work_dir = work_dir;
        let inner = py.detach(|| quorate::Node::start(options))?;
        Ok(Node { inner, config })
    }

    #[getter]
    fn name(&self) -> &str {
        self.inner.name()
    }

    #[getter]
    fn config(&self, py: Python<'_>) -> Py<Config> {
        self.config.clone_ref(py)
    }

    fn fileno(&self) -> i32 {
        self.inner.fd().as_raw_fd()
    }

    fn take<'py>(&self, py: Python<'py>) -> Result<Option<Bound<'py, PyAny>>, Failure> {
        let item = self.inner.take()?;
        item.map(|item| convert::item(py, item)).transpose().map_err(Failure::Python)
    }

    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> Result<bool, Failure> {
        let deadline = timeout.map(convert::length).transpose()?.and_then(deadline_after);
        loop {
            let (slice, is_last) = slice_until(deadline);
            if py.detach(|| self.inner.wait(slice))? {
                return Ok(true);
            }
            if is_last {
                return Ok(false);
            }
            py.check_signals().map_err(Failure::Python)?;
        }
    }

    #[pyo3(signature = (op, error = None))]
    fn complete(&self, py: Python<'_>, op: u64, error: Option<String>) -> Result<(), Failure> {
        Ok(py.detach(|| self.inner.complete(OpId(op), error.map_or(Ok(()), Err)))?)
    }

    fn report(&self, resource: &str, epoch: u64, detail: &str) -> Result<(), Failure> {
        Ok(self.inner.report(resource, epoch, detail)?)
    }

    /// From here on a resource's requests go to two desks: that for kills, and that for all else.
    #[pyo3(name = "_open_desks")]
    fn open_desks(&self, resource: &str) -> Result<(Desk, Desk), Failure> {
        let (relay, kills, orders) = Relay::new();
        self.inner.serve(resource, Box::new(relay))?;
        Ok((kills, orders))
    }

    #[pyo3(signature = (group, to = None, *, timeout = None))]
    fn move_group(
        &self,
        py: Python<'_>,
        group: &str,
        to: Option<&str>,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.move_group(group, to))
    }

    #[pyo3(signature = (group, *, timeout = None))]
    fn online(&self, py: Python<'_>, group: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.online(group))
    }

    #[pyo3(signature = (group, *, timeout = None))]
    fn offline(&self, py: Python<'_>, group: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.offline(group))
    }

    #[pyo3(signature = (node, *, timeout = None))]
    fn drain(&self, py: Python<'_>, node: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.drain(node))
    }

    #[pyo3(signature = (node, *, timeout = None))]
    fn pause(&self, py: Python<'_>, node: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.pause(node))
    }

    #[pyo3(signature = (node, *, timeout = None))]
    fn resume(&self, py: Python<'_>, node: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.resume(node))
    }

    #[pyo3(signature = (node, reason, *, timeout = None))]
    fn confirm_fenced(
        &self,
        py: Python<'_>,
        node: &str,
        reason: &str,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.confirm_fenced(node, reason))
    }

    fn command_wait(&self, py: Python<'_>, ticket: u64, timeout: f64) -> Result<(), Failure> {
        let timeout = convert::length(timeout)?;
        Ok(py.detach(|| self.inner.command_wait(Ticket(ticket), timeout))?)
    }

    fn status<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>, Failure> {
        convert::status(py, &self.inner.status()?).map_err(Failure::Python)
    }

    fn explain(&self, py: Python<'_>, group: &str) -> Result<Vec<String>, Failure> {
        Ok(py.detach(|| self.inner.explain(group))?)
    }

    fn wait_until<'py>(
        &self,
        py: Python<'py>,
        condition: &Bound<'py, PyAny>,
        timeout: f64,
    ) -> Result<Bound<'py, PyAny>, Failure> {
        let timeout = convert::length(timeout)?;
        let condition = condition.clone().unbind();
        // What Python said of the status last seen: whether it is the one, or that it raised.
        let mut said = Ok(None);
        let waited = py.detach(|| {
            self.inner.wait_until(timeout, |status| {
                said = Python::attach(|py| {
                    py.check_signals()?;
                    let status = convert::status(py, status)?;
                    let is_it = condition.call1(py, (&status,))?.is_truthy(py)?;
                    Ok(is_it.then(|| status.unbind()))
                });
                !matches!(said, Ok(None))
            })
        });
        match said.map_err(Failure::Python)? {
            Some(status) => Ok(status.into_bound(py)),
            None => Err(waited.expect_err("it ends without a status only when it fails").into()),
        }
    }

    fn leave(&self, py: Python<'_>, timeout: f64) -> Result<(), Failure> {
        let timeout = convert::length(timeout)?;
        let deadline = deadline_after(timeout);
        let (mut slice, mut is_last) = slice_until(deadline);
        let mut outcome = py.detach(|| self.inner.leave(slice));
        loop {
            match outcome {
                Err(Error::TimedOut { .. }) if !is_last => {
                    py.check_signals().map_err(Failure::Python)?
                }
                Err(Error::TimedOut { .. }) => {
                    let what = "leaving".to_owned();
                    return Err(Error::TimedOut { what, after: timeout }.into());
                }
                Ok(()) | Err(Error::Ended) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            (slice, is_last) = slice_until(deadline);
            // It ends by the end of the node, or by the time.
            outcome = py.detach(|| self.inner.wait_until(slice, |_| false)).map(drop);
        }
    }

    fn kill(&self, py: Python<'_>) {
        py.detach(|| self.inner.kill());
    }

    fn __repr__(&self) -> String {
        format!("<quorate.Node {}>", self.inner.name())
    }
}

impl Node {
    fn command(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        give: impl FnOnce() -> Result<Ticket, Error>,
    ) -> Result<u64, Failure> {
        let timeout = timeout.map(convert::length).transpose()?;
        let ticket = give()?;
        if let Some(timeout) = timeout {
            py.detach(|| self.inner.command_wait(ticket, timeout))?;
        }
        Ok(ticket.0)
    }
}

impl Drop for Node {
    /// The end of a node waits, and resources written in Python must be able to run meanwhile.
    fn drop(&mut self) {
        Python::try_attach(|py| self.kill(py));
    }
}

/// None: so far away that it is never.
fn deadline_after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

/// How long to wait before signals are looked for, and whether that is all the time there is.
fn slice_until(deadline: Option<Instant>) -> (Duration, bool) {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    match left {
        Some(left) if left <= SIGNALS_INTERVAL => (left, true),
        _ => (SIGNALS_INTERVAL, false),
    }
}
