//! Items and status as the classes of quorate.items and quorate.status.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFunction, PyList, PyType};
use serde::Serialize;
use serde_json::Value;

use quorate::config::Difference;
use quorate::{Answer, Disarm, Failback, Item, Notice, Plan, Request, Stamp, Status};

use crate::error::Failure;

/// Seconds, as Python gives them, as a length of time.
pub(crate) fn length(timeout: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(timeout).map_err(|_| {
        let text = format!("timeout {timeout} must be a number of seconds, 0 or more");
        Failure::Python(PyValueError::new_err(text))
    })
}

pub(crate) fn item(py: Python<'_>, item: Item) -> PyResult<Bound<'_, PyAny>> {
    match item {
        Item::Request(request) => self::request(py, &request),
        Item::Notice(notice) => self::notice(py, notice),
        Item::Answer(answer) => self::answer(py, answer),
    }
}

pub(crate) fn request<'py>(py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyAny>> {
    static REQUEST: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static LUN_ACCESS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let lun_access = LUN_ACCESS.import(py, "quorate.items", "LunAccess")?;
    let luns = request
        .luns
        .iter()
        .map(|lun| lun_access.call1((&lun.name, &lun.path, lun.is_nbd, lun.size_bytes)));
    let luns = pyo3::types::PyTuple::new(py, luns.collect::<PyResult<Vec<_>>>()?)?;
    let settings: Value = serde_json::from_str(&request.settings).unwrap_or_default();
    REQUEST.import(py, "quorate.items", "Request")?.call1((
        request.op.0,
        &request.resource,
        &request.group,
        request.verb.as_str(),
        request.epoch,
        request.timeout.as_secs_f64(),
        request.state.as_deref(),
        luns,
        value(py, &settings)?,
    ))
}

fn notice(py: Python<'_>, notice: Notice) -> PyResult<Bound<'_, PyAny>> {
    static NOTICE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let shown = notice.to_string();
    let fields = value(py, &Value::Object(notice.fields))?;
    let (kind, text, past_ms) = (notice.kind.as_str(), notice.text, notice.past_ms);
    let facts = (stamp(py, notice.at)?, kind, text, fields, past_ms, shown);
    NOTICE.import(py, "quorate.items", "Notice")?.call1(facts)
}

fn answer(py: Python<'_>, answer: Answer) -> PyResult<Bound<'_, PyAny>> {
    static ANSWER: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let refusal = answer.result.err().map(|refusal| refusal.to_string());
    ANSWER.import(py, "quorate.items", "Answer")?.call1((answer.ticket.0, refusal))
}

fn stamp(py: Python<'_>, at: Stamp) -> PyResult<Bound<'_, PyAny>> {
    static STAMP: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    STAMP.import(py, "quorate.items", "Stamp")?.call1((at.boottime_ns, at.unix_us))
}

pub(crate) fn status<'py>(py: Python<'py>, status: &Status) -> PyResult<Bound<'py, PyAny>> {
    static MAKE: PyOnceLock<Py<PyFunction>> = PyOnceLock::new();
    let fields = serde_json::to_value(status).expect("a status holds names and numbers only");
    MAKE.import(py, "quorate.status", "status_from")?.call1((value(py, &fields)?,))
}

/// Plain data as Python's own.
pub(crate) fn plain<'py>(py: Python<'py>, from: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    value(py, &serde_json::to_value(from).expect("it holds names and numbers only"))
}

/// A plan, each part with its text.
pub(crate) fn plan<'py>(py: Python<'py>, plan: &Plan) -> PyResult<Bound<'py, PyAny>> {
    let mut whole = with_text(plan);
    let effects = plan.effects.iter().map(with_text).collect();
    let differences = plan.differences.iter().map(with_text).collect();
    whole["effects"] = Value::Array(effects);
    whole["differences"] = Value::Array(differences);
    value(py, &whole)
}

/// Plain data with its text beside its fields.
fn with_text<T: Serialize + ToString>(from: &T) -> Value {
    let mut fields = serde_json::to_value(from).expect("it holds names and numbers only");
    fields["text"] = Value::String(from.to_string());
    fields
}

/// Differences, each with its text.
pub(crate) fn differences<'py>(
    py: Python<'py>,
    from: &[Difference],
) -> PyResult<Bound<'py, PyAny>> {
    let all = from.iter().map(with_text).collect();
    value(py, &Value::Array(all))
}

/// A JSON value as Python's own.
pub(crate) fn value<'py>(py: Python<'py>, from: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match from {
        Value::Null => py.None().into_bound(py),
        Value::Bool(is_so) => is_so.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => whole.into_pyobject(py)?.into_any(),
            (None, Some(whole)) => whole.into_pyobject(py)?.into_any(),
            (None, None) => number.as_f64().into_pyobject(py)?.into_any(),
        },
        Value::String(text) => text.into_pyobject(py)?.into_any(),
        Value::Array(items) => {
            let items = items.iter().map(|item| value(py, item)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_any()
        }
        Value::Object(fields) => {
            let dict = PyDict::new(py);
            for (name, field) in fields {
                dict.set_item(name, value(py, field)?)?;
            }
            dict.into_any()
        }
    })
}

/// What returns to a node.
pub(crate) fn failback(word: &str) -> Result<Failback, Failure> {
    match word {
        "now" => Ok(Failback::Now),
        "policy" => Ok(Failback::ByPolicy),
        "never" => Ok(Failback::Never),
        other => Err(unknown_word("failback", other, "now, policy, never")),
    }
}

/// What is said of the groups of a cluster that is disarmed.
pub(crate) fn disarm(word: &str) -> Result<Disarm, Failure> {
    match word {
        "freeze" => Ok(Disarm::Freeze),
        "ignore" => Ok(Disarm::Ignore),
        other => Err(unknown_word("mode", other, "freeze, ignore")),
    }
}

fn unknown_word(what: &str, word: &str, known: &str) -> Failure {
    let text = format!("{what} {word:?} is not known; known are: {known}");
    Failure::Python(PyValueError::new_err(text))
}
