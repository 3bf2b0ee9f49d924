//! `quorate init` and `quorate check`: a configuration before anything runs.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate::config::{random_id, template};
use quorate::key::ClusterKey;
use quorate::{Config, ConfigError};
use serde_json::{Value, json};

use crate::arguments::{Check, Init};
use crate::failure::{Exit, Failure};

/// The configuration's name in its directory.
pub(crate) const CONFIG_FILE: &str = "cluster.toml";
/// The key's name beside it.
pub(crate) const KEY_FILE: &str = "cluster.key";

/// Writes a new configuration and its key; nothing is overwritten.
///
/// # Errors
/// What is there already, or cannot be written.
pub(crate) fn init(arguments: &Init) -> Result<String, Failure> {
    let refuse = |text: String| Failure::new(Exit::Configuration, text);
    let unwritable = |path: &Path, error: io::Error| {
        refuse(format!("{}: {error}; name a directory you may write to with --dir", path.display()))
    };
    fs::create_dir_all(&arguments.dir).map_err(|error| unwritable(&arguments.dir, error))?;
    let home = arguments.dir.canonicalize().map_err(|error| unwritable(&arguments.dir, error))?;
    let (config, key) = (home.join(CONFIG_FILE), home.join(KEY_FILE));
    for path in [&config, &key] {
        if path.symlink_metadata().is_ok() {
            let path = path.display();
            return Err(refuse(format!(
                "{path} exists already: name another directory with --dir"
            )));
        }
    }
    let shared = arguments.shared.clone().unwrap_or_else(|| home.join("shared"));
    let shared = std::path::absolute(&shared).map_err(|error| unwritable(&shared, error))?;
    let nodes = if arguments.nodes.is_empty() { nodes_here() } else { arguments.nodes.clone() };
    let text = template(&arguments.name, random_id()?, &nodes, &shared.to_string_lossy());
    let warnings = warnings(&Config::from_toml_str(&text, &config.to_string_lossy())?);

    ClusterKey::generate()?.write_new_file(&key)?;
    fs::create_dir_all(&shared).map_err(|error| unwritable(&shared, error))?;
    let written = File::create_new(&config).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| unwritable(&config, error))?;
    let first = &nodes[0].0;
    let option = |name: &str, path: &Path| match arguments.dir.as_os_str() == "." {
        true => String::new(),
        false => format!(" {name}{}", path.display()),
    };
    Ok(format!(
        "wrote {}\nwrote {} (keep it secret; every node needs it)\n\
         {warnings}next: `quorate check{}`, then on each node `quorate run --node {first}{}`",
        config.display(),
        key.display(),
        option("", &config),
        option("--config ", &config)
    ))
}

fn nodes_here() -> Vec<(String, String)> {
    (1..=3).map(|number| (format!("n{number}"), format!("127.0.0.1:740{number}"))).collect()
}

/// Checks a configuration. Gives what to print.
///
/// # Errors
/// What is wrong with it, where, and the remedy.
pub(crate) fn check(arguments: &Check) -> Result<String, Failure> {
    let config = match Config::from_file(&arguments.file) {
        Ok(config) => config,
        Err(error) if arguments.json => {
            println!("{}", json!({ "ok": false, "error": error_json(&error) }));
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    };
    let nodes: Vec<&str> = config.node_names().collect();
    let groups: Vec<&str> = config.group_names().collect();
    let survival = arguments.losses.map(|losses| config.survival(losses));
    let conflict = config.conflict();
    let unplaced = conflict.as_ref().map(|conflict| {
        Failure::new(Exit::Unplaced, format!("{}: {conflict}", arguments.file.display()))
    });
    let unstarted = config.missing_watchdog().map(|_| {
        let text =
            format!("{}: not every node would start: see the warning", arguments.file.display());
        Failure::new(Exit::Configuration, text)
    });
    let head = match (&unstarted, &unplaced) {
        (Some(_), _) => "valid, but not every node would start",
        (None, Some(_)) => "valid, but not everything can run",
        (None, None) => "in order",
    };
    let failure = unstarted.or(unplaced);
    if arguments.json {
        let text = json!({
            "ok": failure.is_none(), "cluster": config.name(), "id": format!("{:016x}", config.id()),
            "nodes": nodes, "groups": groups, "timing_ms": timing_json(&config),
            "warnings": config.warnings(), "conflict": conflict, "survival": survival,
        });
        return done_or(text.to_string(), failure);
    }
    let text = format!(
        "{}: {}; {} ({}), {} ({})\n{}{}\n{}",
        arguments.file.display(),
        head,
        count(nodes.len(), "node"),
        nodes.join(", "),
        count(groups.len(), "group"),
        groups.join(", "),
        warnings(&config),
        survival.map_or_else(String::new, |survival| format!("{survival}\n")),
        config.timing_derivation().trim_end()
    );
    done_or(text, failure)
}

/// What to print, or, once it is printed, the failure.
fn done_or(text: String, failure: Option<Failure>) -> Result<String, Failure> {
    match failure {
        None => Ok(text),
        Some(failure) => {
            println!("{text}");
            Err(failure)
        }
    }
}

/// A line for each warning.
fn warnings(config: &Config) -> String {
    config.warnings().into_iter().map(|text| format!("warning: {text}\n")).collect()
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn error_json(error: &ConfigError) -> Value {
    json!({
        "file": error.file, "line": error.position.map(|it| it.0),
        "column": error.position.map(|it| it.1), "place": error.place,
        "problem": error.problem, "remedy": error.remedy,
    })
}

fn timing_json(config: &Config) -> Value {
    let timing = config.cluster().timing();
    let ms = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    json!({
        "interval": ms(timing.interval), "suspect": ms(timing.suspect),
        "detect": ms(timing.detect), "lease": ms(timing.lease),
        "lease_over": ms(timing.lease_over), "isolation_grace": ms(timing.isolation_grace),
        "election_min": ms(timing.election_min), "election_max": ms(timing.election_max),
        "reset_grace": ms(timing.reset_grace), "io_bound": ms(timing.io_bound),
        "stop_time": ms(timing.stop_time), "outage_worst": ms(timing.outage_worst()),
    })
}

/// What stands beside the configuration.
#[must_use]
pub(crate) fn beside(config: &Path, name: &str) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(name)
}
