//! Where a thread of the host's takes the requests for one served resource.

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;
use pyo3::prelude::*;

use quorate::{Request, Resource};

use crate::convert;

/// The requests for one resource, taken one by one until its node has ended.
#[pyclass(frozen, module = "quorate._quorate")]
pub(crate) struct Desk(Receiver<Work>);

#[pymethods]
impl Desk {
    /// Waits for the next request; `None` when there will be none: the node has ended.
    fn take(&self, py: Python<'_>) -> Option<Work> {
        py.detach(|| self.0.recv().ok())
    }
}

/// One request, to be done once. Dropped undone, it has failed.
#[pyclass(frozen, module = "quorate._quorate")]
pub(crate) struct Work {
    request: Request,
    done: Mutex<Option<Sender<Result<(), String>>>>,
}

#[pymethods]
impl Work {
    #[getter]
    fn request<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::request(py, &self.request)
    }

    /// Done, or why not.
    #[pyo3(signature = (error = None))]
    fn complete(&self, error: Option<String>) {
        if let Some(done) = self.done.lock().take() {
            // A full or closed channel means that nobody asks any more.
            let _ = done.try_send(error.map_or(Ok(()), Err));
        }
    }
}

/// Passes a node's requests on to two desks. A kill has its own: it overtakes what is under way.
pub(crate) struct Relay {
    orders: Sender<Work>,
    kills: Sender<Work>,
}

impl Relay {
    /// The relay, the desk for kills, and the desk for all else.
    pub(crate) fn new() -> (Relay, Desk, Desk) {
        let ((orders, order_desk), (kills, kill_desk)) = (unbounded(), unbounded());
        (Relay { orders, kills }, Desk(kill_desk), Desk(order_desk))
    }
}

impl Resource for Relay {
    fn start(&self, request: &Request) -> Result<(), String> {
        ask(&self.orders, request)
    }

    fn stop(&self, request: &Request) -> Result<(), String> {
        ask(&self.orders, request)
    }

    fn kill(&self, request: &Request) -> Result<(), String> {
        ask(&self.kills, request)
    }

    fn save(&self, request: &Request) -> Result<(), String> {
        ask(&self.orders, request)
    }

    fn load(&self, request: &Request) -> Result<(), String> {
        ask(&self.orders, request)
    }

    fn run(&self, request: &Request) -> Result<(), String> {
        ask(&self.orders, request)
    }
}

fn ask(desk: &Sender<Work>, request: &Request) -> Result<(), String> {
    let (done, result) = bounded(1);
    let work = Work { request: request.clone(), done: Mutex::new(Some(done)) };
    let nobody = || format!("nobody serves {} any more", request.resource);
    desk.send(work).map_err(|_| nobody())?;
    result.recv().unwrap_or_else(|_| Err(nobody()))
}
