//! Whether what a command asked for has come about: a command is accepted first, and carried out then.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::arguments::Ask;
use crate::ask::{connect, group_state};
use crate::control::Request;
use crate::failure::{Exit, Failure};

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How far it is.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// It has come about.
    Done(String),
    /// It has not yet.
    Under(String),
    /// It will not by itself.
    Stuck(String),
}

/// Where a group runs: its owner, if it is online there.
pub(crate) fn online_on<'s>(status: &'s Value, group: &str) -> Option<&'s str> {
    let group = find(status, "groups", group)?;
    group["owner"].as_str().filter(|_| group["state"] == "online")
}

/// Waits until it has come about. `before` is the status before the command. Gives what to print.
///
/// # Errors
/// That it cannot come about, or has not within `limit`.
pub(crate) fn wait(
    ask: &Ask,
    request: &Request,
    before: &Value,
    limit: Duration,
) -> Result<String, Failure> {
    let end = Instant::now().checked_add(limit);
    loop {
        let status = connect(ask)?.ask(&Request::Status)?;
        match progress(request, before, &status) {
            Progress::Done(text) => return Ok(text),
            Progress::Stuck(text) => return Err(Failure::new(Exit::Failed, text)),
            Progress::Under(text) if end.is_some_and(|end| Instant::now() >= end) => {
                let text =
                    format!("not done after {} s, and may still be: {text}", limit.as_secs());
                return Err(Failure::new(Exit::TimedOut, text));
            }
            Progress::Under(_) => thread::sleep(LOOK_INTERVAL),
        }
    }
}

fn progress(request: &Request, before: &Value, status: &Value) -> Progress {
    match request {
        Request::Move { group, to } => {
            let was = online_on(before, group);
            group_progress(status, group, |owner| match to {
                Some(to) => owner == Some(to.as_str()),
                None => owner.is_some() && owner != was,
            })
        }
        Request::Online { group } => group_progress(status, group, |owner| owner.is_some()),
        Request::Offline { group } => match find(status, "groups", group) {
            Some(found) if found["state"] == "offline" => {
                Progress::Done(format!("{group} is offline"))
            }
            Some(found) => of_state(group, found),
            None => Progress::Stuck(format!("group {group} is not known")),
        },
        Request::Drain { node } => {
            let groups = status["groups"].as_array().into_iter().flatten();
            let left: Vec<&str> = groups
                .filter(|group| group["owner"].as_str() == Some(node))
                .filter_map(|group| group["name"].as_str())
                .collect();
            match left.is_empty() {
                true => Progress::Done(format!("nothing runs on {node}")),
                false => Progress::Under(format!("still on {node}: {}", left.join(", "))),
            }
        }
        _ => Progress::Done(String::new()),
    }
}

fn group_progress(status: &Value, group: &str, done: impl Fn(Option<&str>) -> bool) -> Progress {
    let owner = online_on(status, group);
    match find(status, "groups", group) {
        Some(_) if done(owner) => {
            Progress::Done(format!("{group} is online on {}", owner.unwrap_or("a node")))
        }
        Some(found) => of_state(group, found),
        None => Progress::Stuck(format!("group {group} is not known")),
    }
}

fn of_state(group: &str, found: &Value) -> Progress {
    let state = found["state"].as_str().unwrap_or("?");
    let owner = found["owner"].as_str().map_or(String::new(), |owner| format!(" on {owner}"));
    let text = format!("{group} is {}{owner}", group_state(found));
    match state {
        "failed" | "stop-failed" | "degraded" => {
            Progress::Stuck(format!("{text}: `quorate explain {group}` says why"))
        }
        _ => Progress::Under(text),
    }
}

fn find<'s>(status: &'s Value, kind: &str, name: &str) -> Option<&'s Value> {
    status[kind].as_array()?.iter().find(|one| one["name"] == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(state: &str, owner: Option<&str>) -> Value {
        json!({ "groups": [{ "name": "vm1", "state": state, "owner": owner }] })
    }

    #[test]
    fn a_move_is_done_when_the_group_is_online_elsewhere() {
        let before = status("online", Some("n1"));
        let request =
            |to: Option<&str>| Request::Move { group: "vm1".into(), to: to.map(str::to_owned) };
        let step = |to, state, owner| progress(&request(to), &before, &status(state, owner));
        let under = Progress::Under("vm1 is moving on n1".into());
        assert_eq!(step(Some("n2"), "moving", Some("n1")), under);
        let done = Progress::Done("vm1 is online on n2".into());
        assert_eq!(step(Some("n2"), "online", Some("n2")), done);
        assert_eq!(step(None, "online", Some("n2")), done);
        assert_eq!(step(None, "online", Some("n1")), Progress::Under("vm1 is online on n1".into()));
        assert!(matches!(step(None, "failed", None), Progress::Stuck(_)));
        let mut waits = status("waiting", None);
        waits["groups"][0]["luns_away"] = json!(["disk1"]);
        let online = Request::Online { group: "vm1".into() };
        let under = Progress::Under("vm1 is waiting, disk1 away".into());
        assert_eq!(progress(&online, &before, &waits), under);
    }

    #[test]
    fn a_drain_is_done_when_nothing_runs_there() {
        let drain = Request::Drain { node: "n1".into() };
        let step = |owner| progress(&drain, &Value::Null, &status("online", Some(owner)));
        assert_eq!(step("n1"), Progress::Under("still on n1: vm1".into()));
        assert_eq!(step("n2"), Progress::Done("nothing runs on n1".into()));
    }
}
