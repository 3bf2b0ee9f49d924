//! A node: what quorate.Node, written in Python, stands on.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use quorate::config::{NewGroup, NewNode};
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

    #[pyo3(signature = (node, failback = "policy", *, timeout = None))]
    fn resume(
        &self,
        py: Python<'_>,
        node: &str,
        failback: &str,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        let failback = convert::failback(failback)?;
        self.command(py, timeout, || self.inner.resume_with(node, failback))
    }

    #[pyo3(signature = (node, *, timeout = None))]
    fn end_drain(&self, py: Python<'_>, node: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.end_drain(node))
    }

    #[pyo3(signature = (group, to = None, *, timeout = None))]
    fn restart_group(
        &self,
        py: Python<'_>,
        group: &str,
        to: Option<&str>,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.restart_group(group, to))
    }

    #[pyo3(signature = (group, *, timeout = None))]
    fn disable(&self, py: Python<'_>, group: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.disable(group))
    }

    #[pyo3(signature = (group, *, timeout = None))]
    fn unmanage(&self, py: Python<'_>, group: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.unmanage(group))
    }

    #[pyo3(signature = (group, *, timeout = None))]
    fn manage(&self, py: Python<'_>, group: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.manage(group))
    }

    #[pyo3(signature = (node, *, timeout = None))]
    fn empty(&self, py: Python<'_>, node: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.empty(node))
    }

    #[pyo3(signature = (*, timeout = None))]
    fn arm(&self, py: Python<'_>, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.arm())
    }

    #[pyo3(signature = (held = true, *, timeout = None))]
    fn hold_moves(&self, py: Python<'_>, held: bool, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.hold_moves(held))
    }

    #[pyo3(signature = (node, may, *, timeout = None))]
    fn let_coordinate(
        &self,
        py: Python<'_>,
        node: &str,
        may: bool,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.let_coordinate(node, may))
    }

    #[pyo3(signature = (node, reason, *, timeout = None))]
    fn fence(
        &self,
        py: Python<'_>,
        node: &str,
        reason: &str,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.fence(node, reason))
    }

    #[pyo3(signature = (group, node, count, *, timeout = None))]
    fn count_failures(
        &self,
        py: Python<'_>,
        group: &str,
        node: &str,
        count: u32,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.count_failures(group, node, count))
    }

    #[pyo3(signature = (group, node, *, timeout = None))]
    fn clean_up(
        &self,
        py: Python<'_>,
        group: &str,
        node: &str,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.clean_up(group, node))
    }

    #[pyo3(signature = (group, load, *, timeout = None))]
    fn report_load(
        &self,
        py: Python<'_>,
        group: &str,
        load: BTreeMap<String, u64>,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.report_load(group, load))
    }

    #[pyo3(signature = (group, *, timeout = None))]
    fn remove_group(
        &self,
        py: Python<'_>,
        group: &str,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.remove_group(group))
    }

    #[pyo3(signature = (name, *, timeout = None))]
    fn evict_node(&self, py: Python<'_>, name: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.evict_node(name))
    }

    #[pyo3(signature = (to = None, reason = "", *, timeout = None))]
    fn roll_back(
        &self,
        py: Python<'_>,
        to: Option<u64>,
        reason: &str,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.roll_back(to, reason))
    }

    #[pyo3(signature = (mode = "freeze", ttl = None, *, timeout = None))]
    fn disarm(
        &self,
        py: Python<'_>,
        mode: &str,
        ttl: Option<f64>,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        let mode = convert::disarm(mode)?;
        let ttl = ttl.map(convert::length).transpose()?;
        self.command(py, timeout, || self.inner.disarm(mode, ttl))
    }

    #[pyo3(signature = (config, reason = "", only_if = None, *, timeout = None))]
    fn apply(
        &self,
        py: Python<'_>,
        config: &Config,
        reason: &str,
        only_if: Option<u64>,
        timeout: Option<f64>,
    ) -> Result<u64, Failure> {
        self.command(py, timeout, || self.inner.apply(&config.0, reason, only_if))
    }

    #[pyo3(signature = (toml, *, timeout = None))]
    fn add_group(&self, py: Python<'_>, toml: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        let new = NewGroup::from_toml_str(toml, "the group")?;
        self.command(py, timeout, || self.inner.add_group(&new))
    }

    #[pyo3(signature = (toml, *, timeout = None))]
    fn add_node(&self, py: Python<'_>, toml: &str, timeout: Option<f64>) -> Result<u64, Failure> {
        let new = NewNode::from_toml_str(toml, "the node")?;
        self.command(py, timeout, || self.inner.add_node(&new))
    }

    #[pyo3(name = "_configuration")]
    fn configuration(&self, py: Python<'_>) -> Result<(u64, Config), Failure> {
        let found = py.detach(|| self.inner.configuration())?;
        Ok((found.version, Config(found.config)))
    }

    #[pyo3(name = "_plan")]
    fn plan<'py>(&self, py: Python<'py>, config: &Config) -> Result<Bound<'py, PyAny>, Failure> {
        let plan = py.detach(|| self.inner.plan(&config.0))?;
        convert::plan(py, &plan).map_err(Failure::Python)
    }

    #[pyo3(name = "_plan_drain")]
    fn plan_drain<'py>(&self, py: Python<'py>, node: &str) -> Result<Bound<'py, PyAny>, Failure> {
        let plan = py.detach(|| self.inner.plan_drain(node))?;
        convert::plan(py, &plan).map_err(Failure::Python)
    }

    #[pyo3(name = "_plan_move")]
    fn plan_move<'py>(
        &self,
        py: Python<'py>,
        group: &str,
        to: Option<&str>,
    ) -> Result<Bound<'py, PyAny>, Failure> {
        let plan = py.detach(|| self.inner.plan_move(group, to))?;
        convert::plan(py, &plan).map_err(Failure::Python)
    }

    fn keeps_on_shutdown(&self, reboots: bool) -> bool {
        self.inner.keeps_on_shutdown(reboots)
    }

    #[pyo3(name = "_history")]
    fn history<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>, Failure> {
        let versions = py.detach(|| self.inner.history())?;
        convert::plain(py, &versions).map_err(Failure::Python)
    }

    #[pyo3(name = "_explanation")]
    fn explanation<'py>(&self, py: Python<'py>, group: &str) -> Result<Bound<'py, PyAny>, Failure> {
        let explanation = py.detach(|| self.inner.explanation(group))?;
        convert::plain(py, &explanation).map_err(Failure::Python)
    }

    #[pyo3(name = "_why_not")]
    fn why_not<'py>(
        &self,
        py: Python<'py>,
        group: &str,
        node: &str,
    ) -> Result<Bound<'py, PyAny>, Failure> {
        let why = py.detach(|| self.inner.why_not(group, node))?;
        convert::plain(py, &why).map_err(Failure::Python)
    }

    #[pyo3(name = "_explain_action")]
    fn explain_action<'py>(&self, py: Python<'py>, op: u64) -> Result<Bound<'py, PyAny>, Failure> {
        let why = py.detach(|| self.inner.explain_action(quorate::OpId(op)))?;
        convert::plain(py, &why).map_err(Failure::Python)
    }

    #[pyo3(name = "_survival")]
    fn survival<'py>(&self, py: Python<'py>, losses: u32) -> Result<Bound<'py, PyAny>, Failure> {
        let survival = py.detach(|| self.inner.survival(losses))?;
        convert::plain(py, &survival).map_err(Failure::Python)
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

    #[pyo3(signature = (timeout, *, keep = false))]
    fn leave(&self, py: Python<'_>, timeout: f64, keep: bool) -> Result<(), Failure> {
        let timeout = convert::length(timeout)?;
        let deadline = deadline_after(timeout);
        let (mut slice, mut is_last) = slice_until(deadline);
        let mut outcome = py.detach(|| match keep {
            true => self.inner.leave_and_keep(slice),
            false => self.inner.leave(slice),
        });
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
