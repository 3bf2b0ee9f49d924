//! The configuration: cluster.toml, or the same as JSON, checked whole before anything starts.
//!
//! [`Config`] is always valid: its [`ClusterConfig`] was built by the engine's own checks, and
//! every driver has read its settings. Errors name the file, the line, the place and the remedy.

mod address;
mod convert;
mod document;
mod drivers;
mod fencing;
mod following;
mod misspelt;
mod new_group;
mod new_node;
mod place;
mod policies;
mod relations;
mod template;
mod words;

use std::fmt;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use quorate_core::config::{ClusterConfig, RUNNING_NODES_MAX, Timing as TimesInForce, Turn};
use quorate_core::id::LunId;
use quorate_core::placement;
use serde::de::DeserializeOwned;

use crate::fence_agents::pill;
use crate::node::RecordOptions;
use crate::why::{Conflict, Survival};

pub use document::{
    Amounts, Cluster, Document, Group, Lun, Mode, Node, Profile, Recording, Resource, Settings,
    Timing, Witness,
};
pub(crate) use drivers::{
    DeviceSettings, DiskSettings, LunSettings, ResourceSettings, save_area_mib,
};
pub use fencing::{FenceAction, FenceAgent, FencedNodes};
pub use following::{Difference, diff};
pub(crate) use misspelt::closest;
pub use new_group::NewGroup;
pub use new_node::NewNode;
pub use policies::{
    Balance, FoundTwice, Hours, Limits, OnDeadlock, OnShutdown, Policy, Quarantine, RestartAction,
    Seconds,
};
pub use relations::{By, Members, Near, Order, OrderAct, OrderKind, Priority, Rule, Score};
pub use template::{random_id, template};

/// A configuration that holds together, with the text it was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    document: Document,
    cluster: ClusterConfig,
}

impl Config {
    /// Reads and checks a cluster.toml; or, where the file's name ends in `.json`, the same as JSON.
    ///
    /// # Errors
    /// What is wrong, where, and the remedy.
    pub fn from_file(path: &Path) -> Result<Config, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            file: Some(name.clone()),
            position: None,
            place: String::new(),
            problem: format!("cannot be read: {error}"),
            remedy: "name a file that `quorate init` wrote".to_owned(),
        })?;
        if path.extension().is_some_and(|end| end == "json") {
            return Config::from_json_str(&text, &name);
        }
        Config::from_toml_str(&text, &name)
    }

    /// Reads and checks the text of a cluster.toml; `file` names it in errors.
    ///
    /// # Errors
    /// What is wrong, where, and the remedy.
    pub fn from_toml_str(text: &str, file: &str) -> Result<Config, ConfigError> {
        let document: Document = read_toml(text, file)?;
        Config::new(document).map_err(|mut error| {
            error.file = Some(file.to_owned());
            error.position =
                place::find(text, &error.place).map(|position| (position.line, position.column));
            error
        })
    }

    /// Reads and checks a configuration as JSON, with the words of a cluster.toml; `file` names it in errors.
    ///
    /// # Errors
    /// What is wrong, where, and the remedy.
    pub fn from_json_str(text: &str, file: &str) -> Result<Config, ConfigError> {
        let document: Document = serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            let message = message.rsplit_once(" at line ").map_or(&*message, |(front, _)| front);
            unread(file, Some((error.line(), error.column())), message)
        })?;
        Config::new(document).map_err(|mut error| {
            error.file = Some(file.to_owned());
            error
        })
    }

    /// The configuration that the engine holds, in words. Nothing is recorded but by default.
    ///
    /// # Errors
    /// A driver does not know its settings.
    pub fn from_cluster(cluster: &ClusterConfig) -> Result<Config, ConfigError> {
        Config::admitted(words::document(cluster)?)
    }

    /// Checks a configuration given as data.
    ///
    /// # Errors
    /// What is wrong, the place and the remedy.
    pub fn new(document: Document) -> Result<Config, ConfigError> {
        let config = Config::admitted(document)?;
        placement::admit(&config.cluster)?;
        Ok(config)
    }

    /// Of which it was judged before whether it survives the losses that it wants to survive.
    fn admitted(document: Document) -> Result<Config, ConfigError> {
        let cluster = ClusterConfig::new(convert::parts(&document)?)?;
        let nodes = cluster.nodes().len();
        if nodes > RUNNING_NODES_MAX {
            let remedy = format!("use at most {RUNNING_NODES_MAX}");
            return Err(ConfigError::new("nodes", format!("{nodes} are too many"), remedy));
        }
        check_recording(&document.recording)?;
        check_watchdog(&document, cluster.timing())?;
        pill::check(&cluster)?;
        Ok(Config { document, cluster })
    }

    /// The words of the configuration.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The configuration as a cluster.toml, without comments.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.document).expect("what was read from TOML can be written as TOML")
    }

    /// The configuration as JSON, with the words of a cluster.toml.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.document).expect("what is valid can be written as JSON")
    }

    /// The configuration as the engine sees it.
    pub fn cluster(&self) -> &ClusterConfig {
        &self.cluster
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        self.cluster.name()
    }

    /// The cluster's identity.
    pub fn id(&self) -> u64 {
        self.cluster.id().0
    }

    /// The nodes' names, by number.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.cluster.nodes().iter().map(|node| node.name.as_str())
    }

    /// The groups' names, in the order of the configuration.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.cluster.groups().iter().map(|group| group.name.as_str())
    }

    /// Where and how much the node `node` records; none: not at all.
    pub fn recording(&self, node: &str) -> Option<RecordOptions> {
        let wanted = &self.document.recording;
        wanted.enabled.then(|| RecordOptions {
            dir: wanted.dir.as_ref().map(|dir| dir.join(node)),
            bytes_max: wanted.max_mib << 20,
        })
    }

    /// The watchdog that each node arms while it runs; none: none.
    pub fn watchdog(&self) -> Option<&Path> {
        self.document.watchdog.as_ref().map(|watchdog| watchdog.device.as_path())
    }

    /// What is allowed, but hardly meant.
    pub fn warnings(&self) -> Vec<String> {
        let text = match self.cluster.voters().count() {
            1 => "one voter survives no loss: use three",
            2 | 4 | 6 if self.cluster.witness_votes() => "",
            2 => {
                "two voters survive no loss, since either alone is no majority: use three, or add a [witness]"
            }
            4 => "four voters survive the loss of one, as three do: use three or five",
            6 => "six voters survive the loss of two, as five do: use five or seven",
            _ => "",
        };
        let rules = self.cluster.bonds().turns();
        let turned = rules.map(|(place, turn)| {
            let name = &self.cluster.rules()[place].name;
            match turn {
                Turn::Void => {
                    format!("rule {name} leads back to its start with others: nobody waits for it")
                }
                Turn::Reversed => {
                    format!("rule {name} leads back to its start with others: `then` goes first")
                }
            }
        });
        let votes = Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
        let without_watchdog = self.missing_watchdog().map(|error| error.to_string());
        votes.into_iter().chain(turned).chain(self.unwatched()).chain(without_watchdog).collect()
    }

    /// That there is no `[watchdog]` where poison pills want one; none: all is well. Nodes that are named there do not
    /// start by this, though it can be brought into force: what each node has for a watchdog is its own affair.
    #[doc(hidden)]
    pub fn missing_watchdog(&self) -> Option<ConfigError> {
        if self.watchdog().is_some() { None } else { pill::without_watchdog(&self.cluster) }
    }

    /// Groups on disks where a host that is frozen whole could go on writing beside its successor.
    fn unwatched(&self) -> Option<String> {
        let is_disk = |id: &LunId| {
            self.cluster.luns().iter().any(|lun| lun.id == *id && lun.driver == "disk")
        };
        let groups = self.cluster.groups().iter();
        let mut names = groups
            .filter(|group| !group.wishes.fence_agent_required && group.luns.iter().any(is_disk))
            .map(|group| group.name.as_str())
            .peekable();
        if self.watchdog().is_some() || names.peek().is_none() {
            return None;
        }
        let names = names.collect::<Vec<_>>().join(", ");
        Some(format!(
            "time alone protects the LUNs of {names}: give the hosts a [watchdog], or the groups \
             fence_agent_required, for a host that is frozen as a whole"
        ))
    }

    /// Rules, owners or room that leave a group without a place though every node is open: the fewest that suffice;
    /// none: everything can run.
    pub fn conflict(&self) -> Option<Conflict> {
        placement::conflict(&self.cluster).map(|found| Conflict::new(&self.cluster, &found))
    }

    /// What has no place after each loss of `losses` nodes, 4 at most, when everything that is started by itself runs
    /// and every node is open before.
    pub fn survival(&self, losses: u32) -> Survival {
        Survival::new(&self.cluster, &placement::survival_of(&self.cluster, losses))
    }

    /// How every timeout follows from the inputs, one line a value.
    pub fn timing_derivation(&self) -> String {
        let timing = self.cluster.timing();
        let mut text = timing.derivation();
        for lun in self.cluster.luns() {
            let settings = serde_json::from_str(&lun.settings).unwrap_or_default();
            let Ok(LunSettings::Disk(disk)) = LunSettings::read(&lun.driver, &settings) else {
                continue;
            };
            let late_write = disk.late_write(timing.io_bound);
            let taken = timing.outage_usual() + late_write;
            for (what, length, why) in [
                ("late_write", late_write, "what a dead host has sent has landed"),
                ("taken_over", taken, "outage_usual + late_write: silence to start order"),
            ] {
                let millis = length.as_millis();
                let _ = writeln!(text, "{what:<16} {millis:>6} ms   lun {}: {why}", lun.name);
            }
        }
        for agent in self.cluster.fence_agents().iter().filter(|agent| pill::is_pill(agent)) {
            let millis = pill::by_time(timing).as_millis();
            let why = "max(patience, lease's end) + 2 x watchdog + 1 s: a pill that nobody takes";
            let (what, name) = ("pill_proves", &agent.name);
            let _ = writeln!(text, "{what:<16} {millis:>6} ms   fence agent {name}: {why}");
        }
        text
    }
}

/// Reads TOML; `file` names it in errors.
fn read_toml<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map(|span| place::position_of(text, span.start));
        unread(file, at.map(|at| (at.line, at.column)), error.message())
    })
}

/// A text that could not be read.
fn unread(file: &str, position: Option<(usize, usize)>, message: &str) -> ConfigError {
    let problem = message.trim().replace('\n', ", ");
    let remedy = misspelt::remedy_of(&problem, "correct it, or take it out");
    ConfigError { file: Some(file.to_owned()), position, place: String::new(), problem, remedy }
}

fn check_recording(recording: &Recording) -> Result<(), ConfigError> {
    const MIB_MAX: u64 = 1_000;
    let max_mib = recording.max_mib;
    if !(1..=MIB_MAX).contains(&max_mib) {
        let problem = format!("{max_mib} must be from 1 to {MIB_MAX}");
        let remedy = "correct it, or write `enabled = false`";
        return Err(ConfigError::new("recording.max_mib", problem, remedy));
    }
    if let Some(dir) = recording.dir.as_ref().filter(|dir| !dir.is_absolute()) {
        let problem = format!("{} must begin with /", dir.display());
        return Err(ConfigError::new("recording.dir", problem, "write the whole path"));
    }
    Ok(())
}

/// A watchdog must have reset the host by the time at which the others may count on it that all is stopped.
fn check_watchdog(document: &Document, timing: &TimesInForce) -> Result<(), ConfigError> {
    const LEAST: Duration = Duration::from_secs(1);
    let Some(watchdog) = &document.watchdog else { return Ok(()) };
    let device = watchdog.device.display();
    if !watchdog.device.is_absolute() {
        let problem = format!("{device} must begin with /");
        return Err(ConfigError::new("watchdog.device", problem, "write /dev/watchdog"));
    }
    let limit = timing.lease + timing.stop_time;
    if limit < LEAST {
        let problem = format!(
            "lease and stop_time come to {} ms, and no watchdog of Linux waits for less than 1000 ms",
            limit.as_millis()
        );
        let remedy = "take a slower timing, or take [watchdog] out";
        return Err(ConfigError::new("watchdog", problem, remedy));
    }
    Ok(())
}

/// What is wrong with a configuration. Nothing of it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, when it came from one.
    pub file: Option<String>,
    /// Line and column in it, from 1, where that can be told.
    pub position: Option<(usize, usize)>,
    /// The path inside the configuration, as in `groups.vm1.luns`; empty for the text as a whole.
    pub place: String,
    /// What is wrong, with the value and the limit.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl ConfigError {
    pub(crate) fn new(
        place: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            file: None,
            position: None,
            place: place.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

impl From<quorate_core::config::ConfigError> for ConfigError {
    fn from(error: quorate_core::config::ConfigError) -> ConfigError {
        ConfigError::new(error.place, error.problem, error.remedy)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some((line, column)) = self.position {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
