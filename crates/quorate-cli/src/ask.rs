//! The commands that ask a running node: status, moves, drains, explanations, events.

use std::fmt::Write as _;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::arguments::{Ask, Status};
use crate::control::{Client, ControlError, Request, SOCKET};
use crate::failure::{Exit, Failure};
use crate::init::beside;
use crate::run::default_state;
use crate::{operate, outcome};

/// Between two looks of `status --watch`.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Asks for a command of the cluster. Gives what to print.
///
/// # Errors
/// That no node runs here, or why it was refused.
pub(crate) fn command(
    ask: &Ask,
    request: &Request,
    patience: Option<Duration>,
) -> Result<String, Failure> {
    let before = connect(ask)?.ask(&Request::Status)?;
    if let Request::Move { group, to: Some(to) } = request
        && outcome::online_on(&before, group) == Some(to)
    {
        return Ok(format!("{group} is on {to} already"));
    }
    connect(ask)?.ask(request)?;
    let warning = match request {
        Request::Drain { node } if !has_room_beside(&before, node) => {
            "; but no other node may take its groups: the others are down, paused or drained"
        }
        _ => "",
    };
    if let Some(limit) = patience {
        return outcome::wait(ask, request, &before, limit)
            .map_err(|failure| Failure { text: failure.text + warning, ..failure });
    }
    Ok(match request {
        Request::Move { group, to: Some(to) } => format!("{group} moves to {to}"),
        Request::Move { group, to: None } => format!("{group} moves"),
        Request::Online { group } => format!("{group} is to be online"),
        Request::Offline { group } => format!("{group} is to be offline"),
        Request::Drain { node } => {
            format!("{node} is drained: everything moves away{warning}")
        }
        Request::Pause { node } => format!("{node} is paused: nothing new starts there"),
        Request::Resume { node, .. } => format!("{node} may run groups again"),
        Request::ConfirmFenced { node, .. } => format!("{node} counts as fenced, on your word"),
        Request::Apply { .. } => "the configuration is in force".to_owned(),
        Request::RollBack { .. } => "the earlier configuration is in force again".to_owned(),
        other => operate::said(other),
    })
}

/// Asks what something would do. Gives what to print.
///
/// # Errors
/// As [`command`]; or that it would be refused, after the plan was printed.
pub(crate) fn plan(ask: &Ask, question: &Request, as_json: bool) -> Result<String, Failure> {
    let answer = connect(ask)?.ask(question)?;
    let text = answer["text"].as_str().unwrap_or_default().to_owned();
    planned(&answer["plan"], text, as_json)
}

/// A plan as text, or as data.
///
/// # Errors
/// As [`plan`].
pub(crate) fn planned(plan: &Value, text: String, as_json: bool) -> Result<String, Failure> {
    let text = if as_json { plan.to_string() } else { text };
    match plan["refusal"].as_str() {
        None => Ok(text),
        Some(refusal) => {
            // Who has closed our output has no wish to read it.
            let _ = writeln!(stdout(), "{text}");
            Err(Failure::new(Exit::Failed, format!("it would be refused: {refusal}")))
        }
    }
}

/// Whether another node takes part and may get groups.
fn has_room_beside(status: &Value, node: &str) -> bool {
    rows(status, "nodes")
        .iter()
        .any(|other| other["name"] != node && other["state"] == "up" && other["paused"] != true)
}

/// Asks why a group is where it is, or is not elsewhere, or why something was asked of a driver.
///
/// # Errors
/// As [`command`]; or that there is no such node.
pub(crate) fn explain(ask: &Ask, question: &Request, as_json: bool) -> Result<String, Failure> {
    let answer = connect(ask)?.ask(question)?;
    Ok(match question {
        _ if as_json => answer.to_string(),
        Request::WhyNot { node, .. } => why_not(&answer, node),
        Request::ExplainAction { op } => causes(&answer, *op),
        _ => {
            let lines = answer["sentences"].as_array().cloned().unwrap_or_default();
            lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
        }
    })
}

/// Why a group is not on a node, and what would have to change.
fn why_not(why: &Value, node: &str) -> String {
    if why.is_null() {
        return format!("it is on {node}, or would be placed there");
    }
    let mut text = format!("not {node}: {}", why["text"].as_str().unwrap_or("?"));
    for needed in rows(why, "would_need").iter().filter_map(Value::as_str) {
        text.push_str(&format!("\nit would be there if {needed}"));
    }
    text
}

/// What led to a request to a driver.
fn causes(why: &Value, op: u64) -> String {
    if why.is_null() {
        return format!(
            "{op} is none of the newest requests that this node made of a resource or a LUN"
        );
    }
    let mut text = format!("this was asked for {}", why["group"].as_str().unwrap_or("?"));
    for link in rows(why, "chain").iter().filter_map(|link| link["text"].as_str()) {
        text.push_str(&format!("\nbecause {link}"));
    }
    text
}

/// Prints what a node has told.
///
/// # Errors
/// As [`command`].
pub(crate) fn events(ask: &Ask, as_json: bool, follow: bool) -> Result<(), Failure> {
    let print = |notice: Value| {
        let line = if as_json { notice.to_string() } else { event_line(&notice) };
        writeln!(stdout(), "{line}").and_then(|()| stdout().flush()).is_ok()
    };
    match connect(ask)?.ask_each(&Request::Events { follow }, print) {
        // To follow a node to its end is what was asked for.
        Err(ControlError::NoAnswer) if follow => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Shows the cluster as a node sees it.
///
/// # Errors
/// As [`command`].
pub(crate) fn status(arguments: &Status) -> Result<(), Failure> {
    loop {
        let status = connect(&arguments.ask).and_then(|client| client.ask(&Request::Status));
        let text = match (&status, arguments.json) {
            (Ok(status), true) => format!("{status}\n"),
            (Ok(status), false) => table(status),
            (Err(error), _) if arguments.watch => format!("{error}\n"),
            (Err(_), _) => return Err(status.expect_err("it was just seen").into()),
        };
        // In a watch each picture replaces the one before.
        let before = if arguments.watch { "\x1b[H\x1b[J" } else { "" };
        let is_read = write!(stdout(), "{before}{text}").and_then(|()| stdout().flush()).is_ok();
        if !arguments.watch || !is_read {
            return Ok(());
        }
        thread::sleep(WATCH_INTERVAL);
    }
}

/// Connects to the node that is meant, or to any that runs here.
///
/// # Errors
/// That no node runs there.
pub(crate) fn connect(ask: &Ask) -> Result<Client, ControlError> {
    if let Some(state) = &ask.state {
        return Client::reach(state);
    }
    if !ask.config.exists() {
        return Err(ControlError::NoConfig { config: ask.config.clone() });
    }
    if let Some(node) = &ask.at {
        return Client::reach(&default_state(&ask.config, node));
    }
    let home = beside(&ask.config, "state");
    let mut states: Vec<PathBuf> =
        fs::read_dir(&home).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    states.retain(|state| state.join(SOCKET).exists());
    states.sort();
    let mut last = ControlError::NotRunning { state: home.join("*") };
    for state in states {
        match Client::reach(&state) {
            Ok(client) => return Ok(client),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A notice as `quorate run` prints it.
fn event_line(notice: &Value) -> String {
    let ms = notice["at"]["unix_us"].as_u64().unwrap_or_default() / 1_000 % 86_400_000;
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let (seconds, ms) = (ms / 1_000 % 60, ms % 1_000);
    let past = if notice["past_ms"].is_null() { "" } else { "(earlier) " };
    let text = notice["text"].as_str().unwrap_or_default();
    format!("{hours:02}:{minutes:02}:{seconds:02}.{ms:03} {past}{text}")
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// What fence agents are at with a node, after its state.
fn fencing(agents: &Value) -> String {
    if agents.is_null() {
        return String::new();
    }
    let mut told = format!(", fence level {}", text(&agents["level"]));
    let asked = strings(&agents["asked"]);
    match agents["retry_in_ms"].as_u64() {
        Some(left) => {
            let _ = write!(told, " again in {} s", left.div_ceil(1_000));
        }
        None if asked.is_empty() => {}
        None => {
            let _ = write!(told, ": {} asked", asked.join(", "));
        }
    }
    match text(&agents["trouble"]) {
        trouble if trouble.is_empty() => told,
        trouble => format!("{told} (failed: {trouble})"),
    }
}

/// The state of a group, and which of its LUNs are away.
pub(crate) fn group_state(group: &Value) -> String {
    let (state, away) = (text(&group["state"]), strings(&group["luns_away"]));
    if away.is_empty() { state } else { format!("{state}, {} away", away.join(", ")) }
}

/// A status as text.
fn table(status: &Value) -> String {
    let is_known = status["quorum"] == true || status["member"] != true;
    // Without a quorum nobody knows how things are now.
    let last = if is_known { "" } else { ", last known" };
    let nodes = rows(status, "nodes").into_iter().map(|node| {
        let mut state = text(&node["state"]);
        for (key, word) in [("draining", "draining"), ("paused", "paused")] {
            if node[key] == true {
                let _ = write!(state, ", {word}");
            }
        }
        if let Some(left) = node["quarantine_left_ms"].as_u64() {
            let _ = write!(state, ", in quarantine for {} s more", left.div_ceil(1000));
        }
        let away = strings(&node["luns_away"]);
        if !away.is_empty() {
            let _ = write!(state, ", does not reach {}", away.join(", "));
        }
        state += &fencing(&node["fencing"]);
        vec![text(&node["name"]), state + last, text(&node["voter"]), text(&node["heard"])]
    });
    // Pairs of a name and what this node holds of it.
    let pairs = |value: &Value| {
        let pairs = value.as_array().cloned().unwrap_or_default();
        let pair = |it: &Value| format!("{} {}", text(&it[0]), words(&it[1]));
        pairs.iter().map(pair).collect::<Vec<_>>().join(", ")
    };
    let groups = rows(status, "groups").into_iter().map(|group| {
        vec![
            text(&group["name"]),
            group_state(&group) + last,
            text(&group["owner"]),
            text(&group["wanted"]),
            pairs(&group["luns"]),
            pairs(&group["resources"]),
        ]
    });
    let heads = ["GROUP", "STATE", "OWNER", "WANTED", "LUNS HERE", "RESOURCES HERE"];
    headline(status)
        + &witness(&status["witness"])
        + &stays(status)
        + &columns(&["NODE", "STATE", "VOTER", "HEARD"], nodes)
        + &columns(&heads, groups)
}

/// What stands above the columns.
fn headline(status: &Value) -> String {
    let node = text(&status["node"]);
    let mut out = format!("cluster {}, seen by {node}; ", text(&status["cluster"]));
    out += &match (status["member"].as_bool(), &status["coordinator"]) {
        (Some(true), Value::String(name)) if status["quorum"] == true => {
            format!("coordinator {name}; ")
        }
        (Some(true), _) => {
            let is_heard = |node: &&Value| {
                node["voter"] == true && (node["heard"] == "self" || node["heard"] == "alive")
            };
            let heard = rows(status, "nodes").iter().filter(is_heard).count();
            format!("no quorum ({heard} of {} votes heard); ", text(&status["votes"]))
        }
        _ => "not part of a cluster yet; ".to_owned(),
    };
    out += &match status["lease_left_ms"].as_u64() {
        Some(left) => format!("{node} may act for {left} ms more\n"),
        None => format!("{node} may NOT act\n"),
    };
    if let Some(mode) = status["disarmed"].as_str() {
        let until = status["disarm_left_ms"].as_u64().map_or_else(
            || "until `quorate arm`".to_owned(),
            |left| format!("for {} s more", left.div_ceil(1000)),
        );
        out += &format!("DISARMED ({mode}) {until}: nothing is started, stopped or moved\n");
    }
    let differs: Vec<String> = rows(status, "config_differs").iter().map(text).collect();
    if !differs.is_empty() {
        out += &format!(
            "the cluster.toml of {node} differs from the configuration in force: {}\n",
            differs.join(", ")
        );
    }
    out
}

/// The line of the witness; nothing, if there is none.
fn witness(witness: &Value) -> String {
    let Some(path) = witness["path"].as_str() else { return String::new() };
    let vote = match (&witness["votes"], &witness["made"]) {
        (Value::Bool(true), Value::Bool(true)) => "votes",
        (Value::Bool(true), _) => "is not made yet",
        _ => "has no vote: the nodes that vote are odd in number",
    };
    let ago = |key: &str, what: &str| match witness[key].as_u64() {
        Some(ms) => format!(", {what} {}.{} s ago", ms / 1000, ms % 1000 / 100),
        None => format!(", {what} never"),
    };
    let times = match witness["votes"] == true {
        true => ago("asked_ms_ago", "asked") + &ago("answered_ms_ago", "answered"),
        false => String::new(),
    };
    let trouble = match witness["trouble"].as_str().unwrap_or_default() {
        "" => String::new(),
        trouble => format!("; TROUBLE: {trouble}"),
    };
    format!("witness {path} {vote}{times}{trouble}\n")
}

/// What keeps nodes from being empty that are to be.
fn stays(status: &Value) -> String {
    let mut out = String::new();
    for node in rows(status, "nodes") {
        for line in rows(&node, "stays").iter().filter_map(Value::as_str) {
            let _ = writeln!(out, "{} is drained, and keeps {line}", text(&node["name"]));
        }
    }
    out
}

fn rows(status: &Value, key: &str) -> Vec<Value> {
    status[key].as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Bool(yes) => (if *yes { "yes" } else { "no" }).to_owned(),
        other => other.to_string(),
    }
}

/// A state as words: `StopFailed` is `stop-failed`, and `{"Lost": "Overtaken"}` is `lost: overtaken`.
fn words(state: &Value) -> String {
    if let Some((key, value)) = state.as_object().and_then(|pairs| pairs.iter().next()) {
        return format!("{}: {}", words(&key.as_str().into()), words(value));
    }
    let mut out = String::new();
    for letter in text(state).chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Rows under their heads, each column as wide as its widest cell; nothing without rows.
fn columns(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut all = vec![heads.iter().map(|&head| head.to_owned()).collect::<Vec<_>>()];
    all.extend(rows);
    if all.len() == 1 {
        return String::new();
    }
    let width =
        |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut text = String::from("\n");
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_is_a_page_of_columns() {
        let node = |name: &str, state: &str, paused: bool, heard: &str| {
            json!({
                "name": name, "state": state, "voter": true, "paused": paused,
                "draining": false, "heard": heard,
            })
        };
        let group = json!({
            "name": "vm1", "state": "online", "owner": "n1", "wanted": "online",
            "luns": [["disk1", "Held"]], "resources": [["guest", "StopFailed"]],
        });
        let mut status = json!({
            "cluster": "c", "node": "n1", "member": true, "coordinator": "n2", "quorum": true, "votes": 2,
            "lease_left_ms": null, "groups": [group],
            "nodes": [node("n1", "up", true, "self"), node("node2", "down", false, "down")],
        });
        assert_eq!(
            table(&status),
            "cluster c, seen by n1; coordinator n2; n1 may NOT act\n\n\
             NODE   STATE       VOTER  HEARD\n\
             n1     up, paused  yes    self\n\
             node2  down        yes    down\n\n\
             GROUP  STATE   OWNER  WANTED  LUNS HERE   RESOURCES HERE\n\
             vm1    online  n1     online  disk1 held  guest stop-failed\n"
        );
        (status["coordinator"], status["quorum"]) = (Value::Null, false.into());
        status["config_differs"] = json!(["groups.two (only in this node's file)"]);
        let lost = table(&status);
        for words in ["no quorum (1 of 2 votes heard)", "online, last known", "groups.two"] {
            assert!(lost.contains(words), "no {words:?} in: {lost}");
        }
        status["nodes"][0]["stays"] = json!(["vm1: no other node can run it (not node2: no)"]);
        status["witness"] = json!({
            "path": "/srv/w", "votes": true, "made": true, "reachable": false, "trouble": "it is gone",
            "asked_ms_ago": 1250, "answered_ms_ago": null,
        });
        status["nodes"][0]["luns_away"] = json!(["disk1", "disk2"]);
        status["groups"][0]["luns_away"] = json!(["disk1"]);
        status["nodes"][1]["fencing"] = json!({
            "level": 2, "asked": ["board"], "done": [], "retry_in_ms": null, "trouble": "login refused",
        });
        let told = table(&status);
        let witness =
            "\nwitness /srv/w votes, asked 1.2 s ago, answered never; TROUBLE: it is gone\n";
        let stays = "\nn1 is drained, and keeps vm1: no other node can run it (not node2: no)\n";
        assert!(told.contains(witness) && told.contains(stays), "{told}");
        assert!(told.contains("n1     up, paused, does not reach disk1, disk2"), "{told}");
        assert!(told.contains("vm1    online, disk1 away, last known"), "{told}");
        assert!(
            told.contains("down, fence level 2: board asked (failed: login refused), last known"),
            "{told}"
        );
    }

    #[test]
    fn a_drain_with_nobody_left_to_take_the_groups_is_known() {
        let node = |name: &str, state: &str, paused: bool| json!({ "name": name, "state": state, "paused": paused });
        let cases = [
            ([node("n1", "up", false), node("n2", "up", false)], true),
            ([node("n1", "up", false), node("n2", "up", true)], false),
            ([node("n1", "up", false), node("n2", "fenced", false)], false),
        ];
        for (nodes, room) in cases {
            assert_eq!(has_room_beside(&json!({ "nodes": nodes }), "n1"), room);
        }
    }

    #[test]
    fn without_a_running_node_the_answer_names_the_place_and_the_remedy() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("cluster.toml");
        let any = Ask { config: config.clone(), at: None, state: None };
        let text = connect(&any).unwrap_err().to_string();
        assert!(text.contains("cluster.toml is not there") && text.contains("--config"), "{text}");
        fs::write(&config, "").unwrap();
        let text = connect(&any).unwrap_err().to_string();
        assert!(text.contains("state/*") && text.contains("quorate run"), "{text}");
        let one = Ask { config, at: Some("n2".into()), state: None };
        assert!(connect(&one).unwrap_err().to_string().contains("state/n2"));
    }
}
