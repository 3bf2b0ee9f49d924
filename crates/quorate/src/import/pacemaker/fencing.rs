//! Fence devices and their levels: the same executables, asked here where a lease proves too little.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use toml::Value;

use super::Importer;
use super::options::Options;
use super::rule::Subject;
use super::values::Pair;
use crate::config::{ConfigError, FenceAction, FenceAgent, FencedNodes, Settings};
use crate::import::draft::Names;
use crate::import::report::FindingKind::{Approximated, Needed, NoCounterpart, NotNeeded};
use crate::import::xml::Element;

/// How long a request may take, and how often it is made, if nothing says so.
///
/// Source: pacemaker-fenced(7): pcmk_reboot_timeout 60 s, pcmk_reboot_retries 2.
const TIMEOUT: Duration = Duration::from_secs(60);
const TRIES: u32 = 2;

/// What the options of the cluster say of all devices.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fencing {
    pub(super) timeout: Option<Duration>,
    pub(super) off: bool,
}

/// A device, before its levels are known.
#[derive(Debug)]
pub(super) struct Device<'a> {
    at: Element<'a>,
    id: &'a str,
    agent: FenceAgent,
    /// Theirs names of nodes, with their plugs.
    plugs: Vec<(String, String)>,
    /// The node is known by its name there, because nothing says otherwise.
    guessed: bool,
}

/// A level of one node: which devices it takes.
#[derive(Debug)]
struct Level<'a> {
    node: &'a str,
    index: u8,
    devices: Vec<&'a str>,
}

/// What the options of a device say beside its parameters.
#[derive(Default)]
struct Told<'a> {
    plugs: Option<Vec<(String, String)>>,
    guessed: bool,
    timeout: Option<Duration>,
    /// The one that its parameters name.
    plug_of_all: Option<Pair<'a>>,
}

impl<'a> Told<'a> {
    fn read(
        &mut self,
        agent: &mut FenceAgent,
        name: &str,
        pair: Pair<'a>,
        has_map: bool,
    ) -> Result<(), ConfigError> {
        match name {
            "pcmk_host_map" => self.plugs = Some(map_of(pair.value())),
            "pcmk_host_list" if !has_map => {
                let nodes = pair.value().split([',', ' ', ';']).filter(|name| !name.is_empty());
                self.plugs = Some(nodes.map(|node| (node.to_owned(), node.to_owned())).collect());
                self.guessed = true;
            }
            "pcmk_host_list" | "pcmk_host_check" => {
                pair.note(NotNeeded, "the nodes stand in pcmk_host_map, or in nodes here", "");
            }
            "pcmk_reboot_timeout" | "pcmk_off_timeout" => self.timeout = Some(pair.length()?),
            "pcmk_reboot_retries" | "pcmk_off_retries" => agent.tries = pair.count()?.max(1),
            "pcmk_reboot_action" => match pair.value() {
                "off" => agent.action = FenceAction::Off,
                "reboot" => {}
                _ => pair.note(NoCounterpart, "an agent is asked to reboot, or for off", ""),
            },
            "port" | "plug" | "nodename" => self.plug_of_all = Some(pair),
            "action" => pair.note(NotNeeded, "quorate says what is asked", ""),
            _ if name.starts_with("pcmk_delay") => {
                let text = "nodes do not race to fence one another: the quorum decides";
                pair.note(NotNeeded, text, "");
            }
            _ if name.starts_with("pcmk_") => {
                pair.note(NoCounterpart, "there is nothing like it", "");
            }
            _ => {
                let value = Value::String(pair.value().to_owned());
                agent.parameters.insert(name.to_owned(), value);
            }
        }
        Ok(())
    }
}

impl<'a> Importer<'a> {
    pub(super) fn fence_device(
        &mut self,
        element: Element<'a>,
        kind: &'a str,
    ) -> Result<(), ConfigError> {
        if matches!(kind, "fence_sbd" | "external/sbd") {
            let text =
                "poison pills lie on a disk of their own here, and each host needs a [watchdog]";
            let remedy = "write [[fence_agents]] with program = \"poison-pill\", see The poison pill in \
                          docs/CONFIGURATION.md";
            element.leave_out(NoCounterpart, text, remedy);
            return Ok(());
        }
        if !kind.starts_with("fence_") {
            let text = "only the executables of fence-agents (fence_...) can be asked here";
            element.leave_out(
                NoCounterpart,
                text,
                "write [[fence_agents]] with one that does the same",
            );
            return Ok(());
        }
        let id = element.id();
        let options = Options::of(element, "instance_attributes", &Subject::default()).all();
        let mut agent = FenceAgent {
            name: id.to_owned(),
            program: kind.into(),
            parameters: Settings::new(),
            nodes: FencedNodes::Named(Vec::new()),
            level: 1,
            action: FenceAction::default(),
            timeout_s: 0,
            tries: TRIES,
        };
        let mut told = Told::default();
        let has_map = options.contains_key("pcmk_host_map");
        for (&name, &pair) in &options {
            told.read(&mut agent, name, pair, has_map)?;
        }
        let Told { mut plugs, mut guessed, timeout, plug_of_all } = told;
        // What it is told is its one node's.
        match (plug_of_all, plugs.as_deref_mut()) {
            (Some(pair), Some([(_, plug)])) => {
                (*plug, guessed) = (pair.value().to_owned(), false);
            }
            (Some(pair), _) => pair.note(NoCounterpart, "each node has a plug of its own here", ""),
            (None, _) => {}
        }
        if self.fencing.off {
            agent.action = FenceAction::Off;
        }
        agent.timeout_s = timeout.or(self.fencing.timeout).unwrap_or(TIMEOUT).as_secs().max(1);
        match plugs {
            Some(plugs) => {
                self.devices.push(Device { at: element, id, agent, plugs, guessed });
            }
            None => {
                let text = "which nodes it ends is asked of the device, and not in the file";
                element.leave_out(Needed, text, "write [[fence_agents]] for it, with its nodes");
            }
        }
        Ok(())
    }

    /// Once all devices, levels and nodes are known.
    pub(super) fn fencing(&mut self, sections: &[Element<'a>]) {
        let mut levels = Vec::new();
        for at in sections.iter().flat_map(|section| section.all("fencing-level")) {
            at.id();
            let index = at
                .read("index")
                .and_then(|text| text.parse().ok())
                .filter(|one| (1..=9).contains(one));
            let devices = at.read("devices").unwrap_or_default();
            let (Some(node), Some(index)) = (at.read("target"), index) else {
                let text = "a level is of one node here, from 1 to 9";
                at.leave_out(
                    NoCounterpart,
                    text,
                    "give the level of each agent in [[fence_agents]]",
                );
                continue;
            };
            let devices: Vec<&str> = devices.split(',').map(str::trim).collect();
            let is_known = |id: &&str| self.devices.iter().any(|device| device.id == *id);
            if !self.node_names.contains_key(node) || !devices.iter().all(is_known) {
                let text = "its node, or a device of it, was not carried over";
                at.leave_out(NoCounterpart, text, "see the levels in [[fence_agents]]");
                continue;
            }
            levels.push(Level { node, index, devices });
        }
        let mut names = Names::default();
        for device in std::mem::take(&mut self.devices) {
            self.add_agents(device, &levels, &mut names);
        }
    }

    /// One agent for each level at which the device stands.
    fn add_agents(&mut self, device: Device<'a>, levels: &[Level<'a>], names: &mut Names) {
        let mut by_level: BTreeMap<u8, BTreeMap<String, String>> = BTreeMap::new();
        let mut strangers = BTreeSet::new();
        for (node, plug) in &device.plugs {
            let Some(ours) = self.node_names.get(node.as_str()) else {
                strangers.insert(node.as_str());
                continue;
            };
            let of_node = levels.iter().filter(|level| level.node == node);
            let indices: Vec<u8> = of_node
                .clone()
                .filter(|one| one.devices.contains(&device.id))
                .map(|one| one.index)
                .collect();
            let indices = if of_node.count() == 0 { vec![1] } else { indices };
            for index in indices {
                by_level.entry(index).or_default().insert(ours.clone(), plug.clone());
            }
        }
        if !strangers.is_empty() {
            let strangers: Vec<&str> = strangers.into_iter().collect();
            let text = format!("it names nodes that are not there: {}", strangers.join(", "));
            device.at.note(NoCounterpart, &[], text, "");
        }
        if by_level.is_empty() {
            let text = "it ends no node of this cluster";
            device.at.note(NoCounterpart, &[], text, "");
        }
        let text = |count: usize| match count {
            1 => "which node it ends is up to its parameters",
            _ => "each node is called there as it is called here: a guess",
        };
        for (level, plugs) in by_level {
            let count = plugs.len();
            if device.guessed && count > 1 {
                let name = device.agent.name.as_str();
                device.at.note(
                    Approximated,
                    &[],
                    text(count),
                    format!("see fence_agents.{name}.nodes"),
                );
            }
            let nodes = match device.guessed && count == 1 {
                true => FencedNodes::Named(plugs.into_keys().collect()),
                false => FencedNodes::Plugs(plugs),
            };
            let agent =
                FenceAgent { name: names.take(device.id), level, nodes, ..device.agent.clone() };
            self.draft.fence_agents.push(agent);
        }
    }

    pub(super) fn fencing_option(&mut self, name: &str, pair: Pair<'a>) -> Result<(), ConfigError> {
        match name {
            "stonith-timeout" | "fencing-timeout" => self.fencing.timeout = Some(pair.length()?),
            _ => self.fencing.off = pair.value() == "off",
        }
        Ok(())
    }
}

/// `node:plug;node:plug,plug`: also with blanks between, and `=`.
fn map_of(text: &str) -> Vec<(String, String)> {
    let entries = text.split([';', ' ', '\t', '\n']).filter(|entry| !entry.is_empty());
    let pair = |entry: &str| {
        let (node, plug) = entry.split_once([':', '='])?;
        Some((node.to_owned(), plug.to_owned()))
    };
    entries.filter_map(pair).collect()
}
