//! A test cluster: what quorate.testing.Cluster, written in Python, stands on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;

use quorate::Error;
use quorate::testing::{
    Builder, Cluster, Disk, Reply, Request, Served, TimingInputs, Verb, apply, real_request,
    real_status,
};

use crate::config::Config;
use crate::convert;
use crate::error::Failure;

/// How much virtual time may pass before Ctrl-C is looked for.
const SIGNALS_INTERVAL: Duration = Duration::from_secs(10);

/// What a resource written in Python has raised that is meant for the test.
type Raised = Arc<Mutex<Option<PyErr>>>;

/// An entry of the timeline: at, kind, subject, node, detail, and all of it in a line.
type Entry = (f64, &'static str, String, Option<String>, String, String);

/// What a resource written in Python answers: why it failed, how long it took, whether it hangs.
type Answer = (Option<String>, Option<f64>, bool);

/// A cluster in virtual time.
#[pyclass(frozen, subclass, module = "quorate._quorate")]
pub(crate) struct TestCluster {
    cluster: Mutex<Cluster>,
    now_ns: Arc<AtomicU64>,
    raised: Raised,
}

#[pymethods]
impl TestCluster {
    #[new]
    #[pyo3(signature = (nodes = 3, seed = 0, *, config = None, groups = None, networks = 2,
        profile = "default", witness = false))]
    fn new(
        nodes: u16,
        seed: u64,
        config: Option<&Config>,
        groups: Option<Vec<(String, String)>>,
        networks: u8,
        profile: &str,
        witness: bool,
    ) -> Result<TestCluster, Failure> {
        let cluster = match config {
            Some(config) => Cluster::of(config.0.cluster().clone(), seed),
            None => {
                let builder = Cluster::builder().nodes(nodes).seed(seed).networks(networks);
                let builder = builder.timing(timing(profile)?).witness(witness);
                with_groups(builder, groups.unwrap_or_default())?.build()?
            }
        };
        let (now_ns, raised) = (Arc::default(), Arc::default());
        Ok(TestCluster { cluster: Mutex::new(cluster), now_ns, raised })
    }

    #[getter]
    fn now(&self) -> f64 {
        Duration::from_nanos(self.now_ns.load(Ordering::Relaxed)).as_secs_f64()
    }

    #[getter]
    fn node_names(&self, py: Python<'_>) -> Result<Vec<String>, Failure> {
        let names = |cluster: &mut Cluster| {
            cluster.config().nodes().iter().map(|node| node.name.clone()).collect()
        };
        self.with(py, |cluster| Ok(names(cluster)))
    }

    #[getter]
    fn group_names(&self, py: Python<'_>) -> Result<Vec<String>, Failure> {
        let names = |cluster: &mut Cluster| {
            cluster.config().groups().iter().map(|group| group.name.clone()).collect()
        };
        self.with(py, |cluster| Ok(names(cluster)))
    }

    #[getter]
    fn lun_names(&self, py: Python<'_>) -> Result<Vec<String>, Failure> {
        let names = |cluster: &mut Cluster| {
            cluster.config().luns().iter().map(|lun| lun.name.clone()).collect()
        };
        self.with(py, |cluster| Ok(names(cluster)))
    }

    fn run(&self, py: Python<'_>, seconds: f64) -> Result<(), Failure> {
        let mut left = convert::length(seconds)?;
        loop {
            let slice = left.min(SIGNALS_INTERVAL);
            self.with(py, |cluster| cluster.run(slice))?;
            left -= slice;
            if left.is_zero() {
                return Ok(());
            }
            py.check_signals().map_err(Failure::Python)?;
        }
    }

    fn settle(&self, py: Python<'_>) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.settle())
    }

    fn owner_of(&self, py: Python<'_>, group: &str) -> Result<Option<String>, Failure> {
        self.with(py, |cluster| cluster.owner_of(group))
    }

    fn running_on(&self, py: Python<'_>, group: &str) -> Result<Vec<String>, Failure> {
        self.with(py, |cluster| cluster.running_on(group))
    }

    fn outage_of(&self, py: Python<'_>, group: &str) -> Result<f64, Failure> {
        self.with(py, |cluster| Ok(cluster.outage_of(group)?.as_secs_f64()))
    }

    fn host_state(&self, py: Python<'_>, node: &str) -> Result<&'static str, Failure> {
        self.with(py, |cluster| Ok(cluster.host_state(node)?.as_str()))
    }

    #[pyo3(signature = (node = None))]
    fn status<'py>(
        &self,
        py: Python<'py>,
        node: Option<&str>,
    ) -> Result<Option<Bound<'py, PyAny>>, Failure> {
        let status = self.with(py, |cluster| {
            let status = match node {
                Some(node) => cluster.status_of(node)?,
                None => cluster.status(),
            };
            Ok(status.map(|status| real_status(status, cluster.now())))
        })?;
        status.map(|status| convert::status(py, &status)).transpose().map_err(Failure::Python)
    }

    #[pyo3(name = "_timeline")]
    fn timeline(&self, py: Python<'_>) -> Result<Vec<Entry>, Failure> {
        self.with(py, |cluster| {
            let entries = cluster.timeline().iter().map(|entry| {
                let shown = entry.to_string();
                let (subject, node) = (entry.subject.clone(), entry.node.clone());
                let at = Duration::from_nanos(entry.at.0).as_secs_f64();
                (at, entry.kind.name(), subject, node, entry.detail.clone(), shown)
            });
            Ok(entries.collect())
        })
    }

    fn violations(&self, py: Python<'_>) -> Result<Vec<String>, Failure> {
        self.with(py, |cluster| Ok(cluster.violations().iter().map(ToString::to_string).collect()))
    }

    fn html(&self, py: Python<'_>) -> Result<String, Failure> {
        self.with(py, |cluster| Ok(cluster.html()))
    }

    fn crash(&self, py: Python<'_>, node: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.crash(node))
    }

    fn power_off(&self, py: Python<'_>, node: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.power_off(node))
    }

    fn start(&self, py: Python<'_>, node: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.start(node))
    }

    fn leave(&self, py: Python<'_>, node: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.leave(node))
    }

    fn pause(&self, py: Python<'_>, node: &str, seconds: f64) -> Result<(), Failure> {
        let length = convert::length(seconds)?;
        self.with(py, |cluster| cluster.pause(node, length))
    }

    fn hang_engine(&self, py: Python<'_>, node: &str, seconds: f64) -> Result<(), Failure> {
        let length = convert::length(seconds)?;
        self.with(py, |cluster| cluster.hang_engine(node, length))
    }

    #[pyo3(signature = (node, *, network = None))]
    fn cut(&self, py: Python<'_>, node: &str, network: Option<u8>) -> Result<(), Failure> {
        self.with(py, |cluster| match network {
            Some(network) => cluster.cut_network(node, network),
            None => cluster.cut(node),
        })
    }

    fn mute(&self, py: Python<'_>, node: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.mute(node))
    }

    fn deafen(&self, py: Python<'_>, node: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.deafen(node))
    }

    fn lose_network(&self, py: Python<'_>, network: u8) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.lose_network(network))
    }

    fn cut_between(&self, py: Python<'_>, one: &str, other: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.cut_between(one, other))
    }

    fn split(&self, py: Python<'_>, side: Vec<String>) -> Result<(), Failure> {
        let side: Vec<&str> = side.iter().map(String::as_str).collect();
        self.with(py, |cluster| cluster.split(&side))
    }

    fn mend(&self, py: Python<'_>, node: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.mend(node))
    }

    #[pyo3(signature = (node, lun = None))]
    fn cut_storage(&self, py: Python<'_>, node: &str, lun: Option<&str>) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.cut_storage(node, lun))
    }

    #[pyo3(signature = (node, lun = None))]
    fn mend_storage(&self, py: Python<'_>, node: &str, lun: Option<&str>) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.mend_storage(node, lun))
    }

    #[pyo3(signature = (node = None))]
    fn cut_witness(&self, py: Python<'_>, node: Option<&str>) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.cut_witness(node))
    }

    #[pyo3(signature = (node = None))]
    fn mend_witness(&self, py: Python<'_>, node: Option<&str>) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.mend_witness(node))
    }

    fn kill_guest(&self, py: Python<'_>, group: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.kill_guest(group))
    }

    #[pyo3(signature = (resource, count, *, node = None))]
    fn fail_starts(
        &self,
        py: Python<'_>,
        resource: &str,
        count: u32,
        node: Option<&str>,
    ) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.fail_starts(resource, node, count))
    }

    fn hang_at_stop(&self, py: Python<'_>, resource: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.hang_at_stop(resource))
    }

    fn heal(&self, py: Python<'_>) -> Result<(), Failure> {
        self.with(py, |cluster| {
            cluster.heal();
            Ok(())
        })
    }

    #[pyo3(signature = (group, to = None))]
    fn move_group(&self, py: Python<'_>, group: &str, to: Option<&str>) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.move_group(group, to))
    }

    fn online(&self, py: Python<'_>, group: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.online(group))
    }

    fn offline(&self, py: Python<'_>, group: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.offline(group))
    }

    #[pyo3(signature = (node, *, votes = true))]
    fn add_node(&self, py: Python<'_>, node: &str, votes: bool) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.add_node(node, votes))
    }

    fn evict_node(&self, py: Python<'_>, node: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.evict_node(node))
    }

    fn drain(&self, py: Python<'_>, node: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.drain(node))
    }

    fn pause_node(&self, py: Python<'_>, node: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.pause_node(node))
    }

    #[pyo3(signature = (node, failback = "policy"))]
    fn resume_node(&self, py: Python<'_>, node: &str, failback: &str) -> Result<(), Failure> {
        let failback = convert::failback(failback)?;
        self.with(py, |cluster| cluster.resume_node_with(node, failback))
    }

    fn end_drain(&self, py: Python<'_>, node: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.end_drain(node))
    }

    fn empty(&self, py: Python<'_>, node: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.empty(node))
    }

    fn fence(&self, py: Python<'_>, node: &str, reason: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.fence(node, reason))
    }

    fn disable(&self, py: Python<'_>, group: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.disable(group))
    }

    fn unmanage(&self, py: Python<'_>, group: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.unmanage(group))
    }

    #[pyo3(signature = (mode = "freeze", ttl = None))]
    fn disarm(&self, py: Python<'_>, mode: &str, ttl: Option<f64>) -> Result<(), Failure> {
        let (mode, ttl) = (convert::disarm(mode)?, ttl.map(convert::length).transpose()?);
        self.with(py, |cluster| cluster.disarm(mode, ttl))
    }

    fn arm(&self, py: Python<'_>) -> Result<(), Failure> {
        self.with(py, Cluster::arm)
    }

    #[pyo3(signature = (held = true))]
    fn hold_moves(&self, py: Python<'_>, held: bool) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.hold_moves(held))
    }

    fn count_failures(
        &self,
        py: Python<'_>,
        group: &str,
        node: &str,
        count: u32,
    ) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.count_failures(group, node, count))
    }

    fn report_load(
        &self,
        py: Python<'_>,
        group: &str,
        load: BTreeMap<String, u64>,
    ) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.report_load(group, load))
    }

    #[pyo3(signature = (config, reason = "", only_if = None))]
    fn apply(
        &self,
        py: Python<'_>,
        config: &Config,
        reason: &str,
        only_if: Option<u64>,
    ) -> Result<(), Failure> {
        self.with(py, |cluster| apply(cluster, &config.0, reason, only_if))
    }

    fn confirm_fenced(&self, py: Python<'_>, node: &str, reason: &str) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.confirm_fenced(node, reason))
    }

    fn report(
        &self,
        py: Python<'_>,
        resource: &str,
        node: &str,
        detail: &str,
    ) -> Result<(), Failure> {
        self.with(py, |cluster| cluster.report(resource, node, detail))
    }

    fn takes(
        &self,
        py: Python<'_>,
        resource: &str,
        verb: &str,
        seconds: f64,
    ) -> Result<(), Failure> {
        let length = convert::length(seconds)?;
        let verb = Verb::ALL.into_iter().find(|known| known.as_str() == verb).ok_or_else(|| {
            let known = Verb::ALL.map(Verb::as_str).join(", ");
            Error::Unknown { kind: "verb", name: verb.to_owned(), known }
        })?;
        self.with(py, |cluster| cluster.takes(resource, verb, length))
    }

    /// Lets Python answer for a resource: `carry_out(node, request)` and `gone(node)`.
    #[pyo3(name = "_play")]
    fn play(
        &self,
        py: Python<'_>,
        resource: &str,
        carry_out: Py<PyAny>,
        gone: Py<PyAny>,
        dir: PathBuf,
    ) -> Result<(), Failure> {
        let (now_ns, raised) = (self.now_ns.clone(), self.raised.clone());
        let played = Played { carry_out, gone, dir, now_ns, raised };
        self.with(py, |cluster| cluster.serve(resource, played))
    }
}

impl TestCluster {
    /// Runs a call with the interpreter let go. What a resource has raised for the test goes before
    /// what the call gives.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&mut Cluster) -> Result<T, quorate::testing::Error> + Send,
    ) -> Result<T, Failure> {
        let result = py.detach(|| {
            let mut cluster = self.cluster.try_lock().ok_or_else(|| {
                let why = "the test cluster is in a call: a resource in it cannot call it, nor can \
                           another thread at the same time";
                Error::Misuse(why.to_owned())
            })?;
            let result = call(&mut cluster).map_err(Error::from);
            self.now_ns.store(nanos(cluster.now()), Ordering::Relaxed);
            result
        });
        match self.raised.lock().take() {
            Some(raised) => Err(Failure::Python(raised)),
            None => Ok(result?),
        }
    }
}

/// A resource written in Python.
struct Played {
    carry_out: Py<PyAny>,
    gone: Py<PyAny>,
    dir: PathBuf,
    now_ns: Arc<AtomicU64>,
    raised: Raised,
}

impl Played {
    fn ask(&self, request: &Request) -> PyResult<Answer> {
        Python::attach(|py| {
            let asked = convert::request(py, &real_request(request, &self.dir))?;
            self.carry_out.call1(py, (request.node.as_str(), asked))?.extract(py)
        })
    }

    fn keep(&self, raised: PyErr) {
        self.raised.lock().get_or_insert(raised);
    }
}

impl Served for Played {
    fn carry_out(&mut self, request: &Request) -> Reply {
        self.now_ns.store(nanos(request.at), Ordering::Relaxed);
        let (error, seconds, hangs) = match self.ask(request) {
            Ok(answer) => answer,
            Err(raised) => {
                let why = raised.to_string();
                self.keep(raised);
                (Some(why), None, false)
            }
        };
        let reply = match error {
            _ if hangs => Reply::never(),
            Some(why) => Reply::failed(why),
            None => Reply::done(),
        };
        let length = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        length.map_or(reply.clone(), |length| reply.after(length))
    }

    fn gone(&mut self, node: &str) {
        if let Err(raised) = Python::attach(|py| self.gone.call1(py, (node,)).map(drop)) {
            self.keep(raised);
        }
    }
}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

fn timing(profile: &str) -> Result<TimingInputs, Failure> {
    match profile {
        "default" => Ok(TimingInputs::DEFAULT),
        "fast" => Ok(TimingInputs::FAST),
        _ => Err(unknown("profile", profile, "default, fast")),
    }
}

fn with_groups(builder: Builder, groups: Vec<(String, String)>) -> Result<Builder, Failure> {
    groups.into_iter().try_fold(builder, |builder, (name, disk)| {
        let disk = match disk.as_str() {
            "enforced" => Disk::Enforced,
            "cooperative" => Disk::Cooperative,
            "none" => Disk::None,
            _ => return Err(unknown("disk", &disk, "enforced, cooperative, none")),
        };
        Ok(builder.group(&name, disk))
    })
}

fn unknown(kind: &'static str, name: &str, known: &str) -> Failure {
    let (name, known) = (name.to_owned(), known.to_owned());
    Error::Unknown { kind, name, known }.into()
}
