//! `quorate config`: the configuration as a value.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use quorate::config::diff;
use quorate::{Config, Error, Node, Plan};
use serde_json::{Value, json};

use crate::arguments::Ask;
use crate::ask::{self, connect};
use crate::control::Request;
use crate::failure::{Exit, Failure};
use crate::run::note;

/// What to do with the configuration of a running cluster.
#[derive(Debug, Subcommand)]
pub enum Configure {
    /// Show the configuration in force, as a cluster.toml
    Show {
        /// As JSON, with its version
        #[arg(long)]
        json: bool,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Show what is different in a file
    Diff {
        /// The file: a cluster.toml, or the same as .json
        file: PathBuf,
        /// Against this file, in place of the configuration in force
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Say which groups would move, start or stop if a file came into force; nothing is done
    Plan {
        /// The file: a cluster.toml, or the same as .json
        file: PathBuf,
        /// Of a saved situation, as `quorate status --json` wrote it, and the configuration of --config
        #[arg(long, value_name = "FILE")]
        status: Option<PathBuf>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Bring a file into force
    Apply {
        /// The file: a cluster.toml, or the same as .json
        file: PathBuf,
        /// Why, for the history
        #[arg(long, default_value = "")]
        reason: String,
        /// Only if this version is still in force
        #[arg(long, value_name = "VERSION")]
        only_if: Option<u64>,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Bring an earlier version back
    Rollback {
        /// Which one [default: the one before]
        version: Option<u64>,
        /// Why, for the history
        #[arg(long, default_value = "")]
        reason: String,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
    /// Show the versions: when they came, and why
    History {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
        /// Which node to ask
        #[command(flatten)]
        ask: Ask,
    },
}

/// Carries it out. Gives what to print.
///
/// # Errors
/// What is wrong with a file; that no node runs here; why it was refused.
pub(crate) fn configure(command: &Configure) -> Result<String, Failure> {
    match command {
        Configure::Show { json, ask } => {
            let answer = connect(ask)?.ask(&Request::Config)?;
            Ok(if *json { answer.to_string() } else { in_force(&answer)?.to_toml() })
        }
        Configure::Diff { file, from, json, ask } => {
            let before = match from {
                Some(from) => Config::from_file(from)?,
                None => in_force(&connect(ask)?.ask(&Request::Config)?)?,
            };
            let after = Config::from_file(file)?.following(&before)?;
            let found = diff(&before, &after)?;
            let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
            Ok(match (json, lines.is_empty()) {
                (true, _) => json!(found).to_string(),
                (false, true) => "nothing is different".to_owned(),
                (false, false) => lines.join("\n"),
            })
        }
        Configure::Plan { file, status, json, ask } => {
            let next = to_come(file)?;
            let (data, text) = match status {
                Some(status) => {
                    let current = Config::from_file(&ask.config)?;
                    let plan = Plan::of_status(&current, &read(status)?, &next)?;
                    (json!(plan), plan.to_string())
                }
                None => {
                    return ask::plan(ask, &Request::Plan { config: next.to_json() }, *json);
                }
            };
            ask::planned(&data, text, *json)
        }
        Configure::Apply { file, reason, only_if, ask } => {
            let config = to_come(file)?.to_json();
            let (reason, only_if) = (reason.clone(), *only_if);
            ask::command(ask, &Request::Apply { config, reason, only_if }, None)
        }
        Configure::Rollback { version, reason, ask } => {
            ask::command(ask, &Request::RollBack { to: *version, reason: reason.clone() }, None)
        }
        Configure::History { json, ask } => {
            let answer = connect(ask)?.ask(&Request::History)?;
            Ok(if *json { answer.to_string() } else { history(&answer) })
        }
    }
}

/// What is to come into force; says if nodes could not be started with it.
fn to_come(file: &Path) -> Result<Config, Failure> {
    let config = Config::from_file(file)?;
    if let Some(error) = config.missing_watchdog() {
        note(&format!("warning: {}: {error}", file.display()));
    }
    Ok(config)
}

fn in_force(answer: &Value) -> Result<Config, Failure> {
    Ok(Config::from_json_str(&answer["config"].to_string(), "the configuration in force")?)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        Failure::new(Exit::Configuration, format!("{}: {error}; name a file", path.display()))
    })
}

fn history(versions: &Value) -> String {
    let line = |version: &Value| {
        let mark = match (&version["in_force"], &version["kept"]) {
            (Value::Bool(true), _) => "  in force",
            (_, Value::Bool(true)) => "  kept",
            _ => "",
        };
        let when = version["unix_ms"].as_u64().map_or_else(|| "-".to_owned(), utc);
        let reason = version["reason"].as_str().unwrap_or_default();
        let number = version["number"].as_u64().unwrap_or_default();
        format!("{number:>4}  {when:<20}  {reason}{mark}")
    };
    let versions = versions.as_array().map(Vec::as_slice).unwrap_or_default();
    versions.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A moment as people write it, in UTC.
fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March, so that the leap day is the last one. Source: H. Hinnant, date algorithms.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// The node's part of a question; none: it is no such request.
pub(crate) fn answer(node: &Node, request: &Request) -> Option<Result<Value, Error>> {
    Some(match request {
        Request::Config => node
            .configuration()
            .map(|one| json!({ "version": one.version, "config": one.config.document() })),
        Request::Plan { config } => read_config(config)
            .and_then(|next| node.plan(&next))
            .map(|plan| json!({ "plan": plan, "text": plan.to_string() })),
        Request::PlanDrain { node: name } => {
            node.plan_drain(name).map(|plan| json!({ "plan": plan, "text": plan.to_string() }))
        }
        Request::PlanMove { group, to } => node
            .plan_move(group, to.as_deref())
            .map(|plan| json!({ "plan": plan, "text": plan.to_string() })),
        Request::History => node.history().map(|versions| json!(versions)),
        _ => return None,
    })
}

/// The node's part of a command; none: it is no such request.
pub(crate) fn carry_out(node: &Node, request: &Request) -> Option<Result<quorate::Ticket, Error>> {
    Some(match request {
        Request::Apply { config, reason, only_if } => {
            read_config(config).and_then(|next| node.apply(&next, reason, *only_if))
        }
        Request::RollBack { to, reason } => node.roll_back(*to, reason),
        _ => return None,
    })
}

fn read_config(json: &str) -> Result<Config, Error> {
    Ok(Config::from_json_str(json, "the configuration")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_people_write_it() {
        assert_eq!(utc(0), "1970-01-01 00:00:00Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00Z");
        assert_eq!(utc(1_795_953_661_999), "2026-11-29 12:01:01Z");
    }

    #[test]
    fn the_history_shows_what_is_in_force_and_what_can_come_back() {
        let versions = json!([
            { "number": 1, "unix_ms": null, "reason": "founded", "in_force": false, "kept": true },
            { "number": 2, "unix_ms": 0, "reason": "why", "in_force": true, "kept": true },
        ]);
        let text = history(&versions);
        assert_eq!(
            text,
            "   1  -                     founded  kept\n   \
             2  1970-01-01 00:00:00Z  why  in force"
        );
    }
}
