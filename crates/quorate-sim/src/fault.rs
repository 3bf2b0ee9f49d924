//! The faults of a run, drawn from its seed before it begins.
//!
//! Each seed leaves out some kinds and draws its own pace, so that seeds differ in character and not only in detail.

use std::time::Duration;

use quorate_core::config::ClusterConfig;
use quorate_core::id::{GroupId, LunId, NodeId, PathId, ResourceId};
use quorate_core::message::Command;
use quorate_core::random::Random;

use crate::chance;
use crate::clock::Moment;
use crate::host::Pause;
use crate::network::{Links, Noise};
use crate::options::{Faults, Options, Scripted};

/// A direction of a network between two nodes.
pub type Link = (NodeId, NodeId, PathId);

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process of a node dies; at once, or in the midst of carrying out its next actions.
    Crash(NodeId, bool),
    /// Hosts lose power.
    Power(Vec<NodeId>),
    /// A host loses power and its disk.
    Wipe(NodeId),
    /// The disk of a node is full.
    DiskFull(NodeId),
    /// A process is paused.
    Pause(NodeId, Pause),
    /// Links are cut.
    Cut(Vec<Link>),
    /// The networks get worse.
    Noise(Noise),
    /// The stream of a pair breaks.
    Reset(NodeId, NodeId),
    /// The way to LUNs is cut.
    Storage(NodeId, Vec<LunId>),
    /// The guests of a group die where they run.
    GuestDies(GroupId),
    /// The next starts of a resource on a node fail.
    StartsFail(NodeId, ResourceId, u32),
    /// The next guest of a resource on a node hangs when asked to stop.
    Hangs(NodeId, ResourceId),
    /// The host of a node gives a command.
    Command(NodeId, Command),
    /// A node leaves in order and comes back.
    Leave(NodeId),
}

/// A fault and its time.
#[derive(Clone, Debug)]
pub struct Planned {
    /// When it begins.
    pub at: Moment,
    /// When it ends.
    pub until: Moment,
    /// What it is.
    pub fault: Fault,
}

/// A kind of fault, and how one of it is drawn.
type Kind = fn(&mut Random, &ClusterConfig) -> Fault;

/// How long faults happen in this run.
pub fn duration(options: &Options, config: &ClusterConfig) -> Duration {
    config.timing().detect * options.duration
}

/// Draws the faults of a run.
pub fn draw(random: &mut Random, options: &Options, config: &ClusterConfig) -> Vec<Planned> {
    let mut faults: Vec<Planned> = options.script.iter().map(planned).collect();
    let mut kinds = kinds(&options.faults);
    chance::shuffle(random, &mut kinds);
    kinds.truncate(kinds.len().div_ceil(2) + random.below(3) as usize);
    if kinds.is_empty() {
        return faults;
    }
    let end = Moment::default() + duration(options, config);
    let detect = config.timing().detect;
    let pace = detect * (30 + random.below(270) as u32) / 100;
    let mut at = Moment::default() + chance::percent_of(random, detect, 0, 500);
    while at < end {
        let kind = kinds[random.below(kinds.len() as u64) as usize];
        let fault = kind(random, config);
        let length = length(random, detect);
        faults.push(Planned { at, until: (at + length).min(end), fault });
        at = at + chance::percent_of(random, pace, 1, 200);
    }
    faults
}

fn planned(scripted: &Scripted) -> Planned {
    let at = Moment::default() + scripted.after;
    Planned { at, until: at + scripted.length, fault: scripted.fault.clone() }
}

/// From a twentieth of the detection time to some ten of it, each doubling as likely as the next.
fn length(random: &mut Random, detect: Duration) -> Duration {
    let base = detect / 20 * (1 << random.below(8));
    chance::percent_of(random, base, 70, 140)
}

fn kinds(faults: &Faults) -> Vec<Kind> {
    let table: [(bool, &[Kind]); 11] = [
        (faults.crashes, &[crash]),
        (faults.power, &[power]),
        (faults.wipes, &[wipe]),
        (faults.disks, &[disk_full]),
        (faults.pauses, &[pause]),
        (faults.cuts, &[cut_node, cut_some, split]),
        (faults.noise, &[noise]),
        (faults.resets, &[reset]),
        (faults.storage, &[storage]),
        (faults.guests, &[guest]),
        (faults.commands, &[command, leave]),
    ];
    table
        .iter()
        .filter(|(wanted, _)| *wanted)
        .flat_map(|(_, kinds)| kinds.iter().copied())
        .collect()
}

fn node(random: &mut Random, config: &ClusterConfig) -> NodeId {
    config.nodes()[random.below(config.nodes().len() as u64) as usize].id
}

fn group<'a>(
    random: &mut Random,
    config: &'a ClusterConfig,
) -> &'a quorate_core::config::GroupConfig {
    &config.groups()[random.below(config.groups().len() as u64) as usize]
}

fn crash(random: &mut Random, config: &ClusterConfig) -> Fault {
    Fault::Crash(node(random, config), random.chance(1, 2))
}

fn power(random: &mut Random, config: &ClusterConfig) -> Fault {
    if random.chance(1, 4) {
        return Fault::Power(config.nodes().iter().map(|node| node.id).collect());
    }
    Fault::Power(vec![node(random, config)])
}

fn wipe(random: &mut Random, config: &ClusterConfig) -> Fault {
    Fault::Wipe(node(random, config))
}

fn disk_full(random: &mut Random, config: &ClusterConfig) -> Fault {
    Fault::DiskFull(node(random, config))
}

fn pause(random: &mut Random, config: &ClusterConfig) -> Fault {
    let pause = if random.chance(1, 2) { Pause::Whole } else { Pause::Engine };
    Fault::Pause(node(random, config), pause)
}

fn paths() -> impl Iterator<Item = PathId> {
    Links::new(crate::cluster::PATHS).paths()
}

/// One node from all others: wholly, only what it says, only what it hears; on all paths or on one.
fn cut_node(random: &mut Random, config: &ClusterConfig) -> Fault {
    let node = node(random, config);
    let (says, hears) = [(true, true), (true, false), (false, true)][random.below(3) as usize];
    let one_path = random.chance(1, 3).then(|| PathId(random.below(2) as u8));
    let mut links = Vec::new();
    for peer in config.nodes().iter().map(|peer| peer.id).filter(|&peer| peer != node) {
        for path in paths().filter(|&path| one_path.is_none_or(|only| only == path)) {
            if says {
                links.push((node, peer, path));
            }
            if hears {
                links.push((peer, node, path));
            }
        }
    }
    Fault::Cut(links)
}

/// Each pair by itself, so that some nodes reach others only by way of a third.
fn cut_some(random: &mut Random, config: &ClusterConfig) -> Fault {
    let mut links = Vec::new();
    for one in config.nodes() {
        for other in config.nodes().iter().filter(|other| other.id != one.id) {
            if random.chance(1, 4) {
                links.extend(paths().map(|path| (one.id, other.id, path)));
                if random.chance(2, 3) {
                    links.extend(paths().map(|path| (other.id, one.id, path)));
                }
            }
        }
    }
    Fault::Cut(links)
}

/// Two sides that do not hear each other.
fn split(random: &mut Random, config: &ClusterConfig) -> Fault {
    let sides: Vec<(NodeId, bool)> =
        config.nodes().iter().map(|node| (node.id, random.chance(1, 2))).collect();
    let mut links = Vec::new();
    for &(one, side) in &sides {
        for &(other, _) in sides.iter().filter(|&&(_, far)| far != side) {
            links.extend(paths().map(|path| (one, other, path)));
        }
    }
    Fault::Cut(links)
}

fn noise(random: &mut Random, config: &ClusterConfig) -> Fault {
    let interval = config.timing().interval.as_micros() as u64;
    Fault::Noise(Noise {
        loss: random.below(400),
        doubled: random.below(300),
        late: random.below(300),
        delay: 400 + random.below(interval),
    })
}

fn reset(random: &mut Random, config: &ClusterConfig) -> Fault {
    let one = node(random, config);
    let others: Vec<NodeId> =
        config.nodes().iter().map(|node| node.id).filter(|&other| other != one).collect();
    Fault::Reset(one, chance::pick(random, &others).unwrap_or(one))
}

fn storage(random: &mut Random, config: &ClusterConfig) -> Fault {
    let luns = config.luns().iter().map(|lun| lun.id);
    let luns: Vec<LunId> = match random.below(3) {
        0 => luns.collect(),
        _ => luns.filter(|_| random.chance(1, 2)).collect(),
    };
    Fault::Storage(node(random, config), luns)
}

fn guest(random: &mut Random, config: &ClusterConfig) -> Fault {
    let group = group(random, config);
    let resource = group.resources[random.below(group.resources.len() as u64) as usize].id;
    match random.below(4) {
        0 | 1 => Fault::GuestDies(group.id),
        2 => Fault::StartsFail(node(random, config), resource, 1 + random.below(4) as u32),
        _ => Fault::Hangs(node(random, config), resource),
    }
}

fn command(random: &mut Random, config: &ClusterConfig) -> Fault {
    let group = group(random, config).name.clone();
    let target = node(random, config);
    let name = config.node(target).map(|node| node.name.clone()).unwrap_or_default();
    let reason = "seen by the operator".to_owned();
    let command = match random.below(12) {
        0..=3 => Command::Move { group, to: Some(name) },
        4 => Command::Move { group, to: None },
        5 => Command::Offline { group },
        6 => Command::Online { group },
        7 => Command::Drain { node: name },
        8 => Command::Pause { node: name },
        9 | 10 => Command::Resume { node: name },
        _ => Command::ConfirmFenced { node: name, reason },
    };
    Fault::Command(node(random, config), command)
}

fn leave(random: &mut Random, config: &ClusterConfig) -> Fault {
    Fault::Leave(node(random, config))
}
