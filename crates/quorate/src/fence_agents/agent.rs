//! One fence agent as a program: what it is given, how long it may take, what its end means.
//!
//! Source: fence-agents, "Fence Agent API": options as `name=value` lines on standard input, the outcome by the exit
//! status.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use quorate_core::action::FenceVerb;
use quorate_core::config::FenceAgentConfig;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use super::pill;
use crate::drivers::{INHERITED, find_program};

/// Where agents live that a service's PATH may leave out.
const DIRECTORIES: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
/// The most that is kept of what an agent says, in bytes.
const OUTPUT_MAX: u64 = 1 << 20;
/// How much of it an error quotes.
const QUOTE_MAX: usize = 400;
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How long the rest of the output is awaited when an agent has ended.
const OUTPUT_WAIT: Duration = Duration::from_secs(1);
/// What all parameters may have together, in bytes.
const INPUT_MAX: usize = 32 << 10;
/// What is written by us alone.
pub(super) const RESERVED: [&str; 4] = ["action", "plug", "port", "nodename"];
/// The exit status that says "off" to the action `status`.
const STATUS_OFF: i32 = 2;

/// What stands in the settings of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentSettings {
    /// A path, or a name along PATH and in `/usr/sbin`.
    pub(crate) program: PathBuf,
    /// What it is given beside what is asked of it.
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, String>,
}

impl AgentSettings {
    /// Checks what an agent could misread.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.program.as_os_str().is_empty() {
            return Err("program is empty: name one, as fence_ipmilan".to_owned());
        }
        let length: usize =
            self.parameters.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        if length > INPUT_MAX {
            return Err(format!("parameters have {length} bytes, more than {INPUT_MAX}"));
        }
        for (name, value) in &self.parameters {
            if RESERVED.contains(&name.as_str()) {
                return Err(format!(
                    "parameters.{name} is written by quorate: give plugs in nodes"
                ));
            }
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(plain) {
                return Err(format!("parameters.{name:?} is no name of an option"));
            }
            if value.contains(['\n', '\r', '\0']) {
                return Err(format!("parameters.{name} has more than one line"));
            }
        }
        match pill::is_program(&self.program) {
            true => pill::check_settings(self),
            false => pill::check_is_not_meant(&self.program),
        }
    }

    /// Those of an agent of the engine's configuration.
    pub(crate) fn read(agent: &FenceAgentConfig) -> Result<Self, String> {
        serde_json::from_str(&agent.settings).map_err(|error| error.to_string())
    }
}

/// Whether a node has power, as an agent sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    On,
    Off,
}

/// How an agent ended.
struct Ended {
    status: ExitStatus,
    output: String,
}

/// Has an agent do something about a node. Blocks until it has, at most for the agent's timeout.
pub(crate) fn act(agent: &FenceAgentConfig, plug: &str, verb: FenceVerb) -> Result<(), String> {
    succeed(ask(agent, action_word(verb), Some(plug))?)
}

/// Whether an agent can do its work at all: it reaches its device.
pub(crate) fn monitor(agent: &FenceAgentConfig) -> Result<(), String> {
    succeed(ask(agent, "monitor", None)?)
}

/// Whether a node has power.
pub(crate) fn power(agent: &FenceAgentConfig, plug: &str) -> Result<Power, String> {
    let ended = ask(agent, "status", Some(plug))?;
    match ended.status.code() {
        Some(STATUS_OFF) => Ok(Power::Off),
        _ => succeed(ended).map(|()| Power::On),
    }
}

/// What an agent says of itself, as XML.
pub(crate) fn metadata(agent: &FenceAgentConfig) -> Result<String, String> {
    let ended = ask(agent, "metadata", None)?;
    match ended.status.success() {
        true => Ok(ended.output),
        false => Err(explain(&ended)),
    }
}

/// Where a program is.
pub(crate) fn locate(program: &Path) -> Option<PathBuf> {
    let beside = || {
        DIRECTORIES.iter().find_map(|directory| find_program(&Path::new(directory).join(program)))
    };
    find_program(program).or_else(|| (program.components().count() == 1).then(beside).flatten())
}

pub(crate) fn action_word(verb: FenceVerb) -> &'static str {
    match verb {
        FenceVerb::Off => "off",
        FenceVerb::On => "on",
        FenceVerb::Reboot => "reboot",
    }
}

fn succeed(ended: Ended) -> Result<(), String> {
    match ended.status.success() {
        true => Ok(()),
        false => Err(explain(&ended)),
    }
}

fn explain(ended: &Ended) -> String {
    let said = ended.output.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = said.len() - said.len().min(QUOTE_MAX);
    let from = (end..=said.len()).find(|&at| said.is_char_boundary(at)).unwrap_or_default();
    match said.is_empty() {
        true => ended.status.to_string(),
        false => format!("{}: {}", ended.status, &said[from..]),
    }
}

fn ask(agent: &FenceAgentConfig, action: &str, plug: Option<&str>) -> Result<Ended, String> {
    let settings = AgentSettings::read(agent)?;
    let name = settings.program.display();
    let program = locate(&settings.program)
        .ok_or_else(|| format!("there is no program {name} (Debian: apt install fence-agents)"))?;
    let mut input = format!("action={action}\n");
    for (name, value) in &settings.parameters {
        input.push_str(&format!("{name}={value}\n"));
    }
    if let Some(plug) = plug.filter(|plug| !plug.is_empty()) {
        input.push_str(&format!("plug={plug}\n"));
    }
    let mut command = Command::new(&program);
    command.env_clear().process_group(0);
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.stdin(as_file(&input)?).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
    finish(child, agent.timeout)
}

/// What an agent is given, as a file in memory: whoever does not read it harms nobody, where a pipe would end a process
/// that has left SIGPIPE alone.
fn as_file(input: &str) -> Result<File, String> {
    let made = memfd_create("fence-agent", MemfdFlags::CLOEXEC).map(File::from);
    let filled = made.map_err(std::io::Error::from).and_then(|mut file| {
        file.write_all(input.as_bytes())?;
        file.rewind()?;
        Ok(file)
    });
    filled.map_err(|error| format!("no memory for its input: {error}"))
}

/// Gathers what a child says, and ends it with all that it has started when its time is over.
fn finish(mut child: Child, timeout: Duration) -> Result<Ended, String> {
    let deadline = Instant::now() + timeout;
    let gather = |from: Option<Box<dyn Read + Send>>| {
        let (said, heard) = bounded(1);
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(from) = from {
                // What an agent said until it ended is what there is.
                let _ = from.take(OUTPUT_MAX).read_to_end(&mut bytes);
            }
            // Nobody may wait for it any more.
            let _ = said.send(String::from_utf8_lossy(&bytes).into_owned());
        });
        heard
    };
    let out = gather(child.stdout.take().map(|one| Box::new(one) as Box<dyn Read + Send>));
    let err = gather(child.stderr.take().map(|one| Box::new(one) as Box<dyn Read + Send>));
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK_INTERVAL),
            Ok(None) => break Err(format!("no answer within {timeout:?}: it was ended")),
            Err(error) => break Err(error.to_string()),
        }
    };
    // What it has started holds the pipes open.
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    if status.is_err() {
        let _ = child.wait();
    }
    // What has left the agent's process group may hold them open for as long as it likes.
    let gathered = [out, err].map(|heard| heard.recv_timeout(OUTPUT_WAIT).unwrap_or_default());
    status.map(|status| Ended { status, output: gathered.join("\n") })
}
