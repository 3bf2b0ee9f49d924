//! One fault of each kind, drawn.

use quorate_core::change::{Disarm, Failback};
use quorate_core::config::{Amounts, ClusterConfig, GroupConfig};
use quorate_core::id::{LunId, NodeId, PathId};
use quorate_core::message::Command;
use quorate_core::random::Random;

use super::{Fault, FaultKind, Shape, bridge, edit, links, ring};
use crate::chance;
use crate::cluster;
use crate::host::Pause;
use crate::network::{Links, Noise};

/// Draws a fault of this kind.
pub(super) fn draw(random: &mut Random, kind: FaultKind, config: &ClusterConfig) -> Fault {
    let node = node(random, config);
    match kind {
        FaultKind::Crash => Fault::Crash(node, false),
        FaultKind::CrashMidway => Fault::Crash(node, true),
        FaultKind::PowerLoss => Fault::Power(vec![node]),
        FaultKind::Blackout => Fault::Power(nodes(config)),
        FaultKind::TornWrite => Fault::Torn(node),
        FaultKind::Wipe => Fault::Wipe(node),
        FaultKind::BitRot => Fault::BitRot(node),
        FaultKind::DiskFull => Fault::DiskFull(node),
        FaultKind::DiskSlow => Fault::DiskSlow(node),
        FaultKind::PauseEngine => Fault::Pause(node, Pause::Engine),
        FaultKind::PauseProcess => Fault::Pause(node, Pause::Whole),
        FaultKind::CutNode
        | FaultKind::CutOneWay
        | FaultKind::CutNetwork
        | FaultKind::Split
        | FaultKind::PartialMesh
        | FaultKind::Ring
        | FaultKind::Bridge => cut(random, kind, config),
        FaultKind::Loss
        | FaultKind::Delay
        | FaultKind::Duplication
        | FaultKind::Reordering
        | FaultKind::Corruption => Fault::Noise(noise(random, kind, config)),
        FaultKind::StreamReset => {
            let others: Vec<NodeId> =
                nodes(config).into_iter().filter(|&other| other != node).collect();
            Fault::Reset(node, chance::pick(random, &others).unwrap_or(node))
        }
        FaultKind::ClockDrift => Fault::Drift(node, cluster::draw_ppm(random, config)),
        FaultKind::ClockStep => Fault::Step(node, step(random, config)),
        FaultKind::ClockJump => Fault::Step(node, jump(random)),
        FaultKind::WallStep => Fault::WallStep(node, random.below(7_200) as i64 - 3_600),
        FaultKind::LunPath
        | FaultKind::LunSlow
        | FaultKind::LunLost
        | FaultKind::LunReset
        | FaultKind::TargetPower
        | FaultKind::ReservationLoss
        | FaultKind::Stranger => storage(random, kind, node, config),
        FaultKind::WitnessPath => Fault::WitnessOff(Some(node)),
        FaultKind::WitnessOff => Fault::WitnessOff(None),
        FaultKind::WitnessSlow => Fault::WitnessSlow,
        FaultKind::WitnessLoses => Fault::WitnessLoses,
        FaultKind::WitnessUnmounted => Fault::WitnessUnmounted(node),
        FaultKind::GuestDies
        | FaultKind::StartFails
        | FaultKind::KillFails
        | FaultKind::GuestHangs => guest(random, kind, node, config),
        FaultKind::HostLate => Fault::HostLate(node),
        FaultKind::HostNever => Fault::HostNever(node),
        FaultKind::HostTwice => Fault::HostTwice(node),
        FaultKind::Command => Fault::Command(node, command(random, config)),
        FaultKind::Leave => Fault::Leave(node),
        FaultKind::Policy => Fault::Command(node, policy(random, config)),
        FaultKind::Busy => Fault::Busy(group(random, config).id),
        FaultKind::Handover => Fault::Handover(node),
        FaultKind::AddNode => Fault::AddNode(random.chance(3, 4)),
        FaultKind::EvictNode => Fault::EvictNode(node),
        FaultKind::MovedByHand => Fault::MovedByHand(group(random, config).id, node),
        FaultKind::AddGroup => Fault::Command(node, edit::add(random, config)),
        FaultKind::RemoveGroup => Fault::RemoveGroup(node, edit::any_group(random, config)),
        FaultKind::Configure => Fault::Configure(node, edit::draw(random, config)),
    }
}

fn nodes(config: &ClusterConfig) -> Vec<NodeId> {
    config.nodes().iter().map(|node| node.id).collect()
}

fn node(random: &mut Random, config: &ClusterConfig) -> NodeId {
    config.nodes()[random.below(config.nodes().len() as u64) as usize].id
}

fn group<'a>(random: &mut Random, config: &'a ClusterConfig) -> &'a GroupConfig {
    &config.groups()[random.below(config.groups().len() as u64) as usize]
}

fn cut(random: &mut Random, kind: FaultKind, config: &ClusterConfig) -> Fault {
    let mut all = nodes(config);
    chance::shuffle(random, &mut all);
    let paths: Vec<PathId> = Links::new(cluster::PATHS).paths().collect();
    let whole = paths.iter().copied();
    let one = all[0];
    let of_one = |from, to| from == one || to == one;
    match kind {
        FaultKind::CutOneWay => {
            let says = random.chance(1, 2);
            let links = links(&all, whole, |from, to| if says { from == one } else { to == one });
            Fault::Cut(Shape::OneWay, links)
        }
        FaultKind::CutNetwork => {
            let path = chance::pick(random, &paths).unwrap_or_default();
            let everywhere = random.chance(1, 2);
            let gone = |from, to| everywhere || of_one(from, to);
            Fault::Cut(Shape::Network, links(&all, [path].into_iter(), gone))
        }
        FaultKind::Split => {
            let sides: Vec<NodeId> = all.iter().copied().filter(|_| random.chance(1, 2)).collect();
            let side = |node| sides.contains(&node);
            Fault::Cut(Shape::Split, links(&all, whole, |from, to| side(from) != side(to)))
        }
        FaultKind::PartialMesh => {
            // Each pair by itself, so that some nodes reach others only by way of a third.
            let mut gone = Vec::new();
            for (at, &from) in all.iter().enumerate() {
                for &to in &all[at + 1..] {
                    if random.chance(2, 5) {
                        let whole = random.chance(2, 3);
                        gone.push((from, to));
                        gone.extend(whole.then_some((to, from)));
                    }
                }
            }
            Fault::Cut(Shape::Mesh, links(&all, whole, |from, to| gone.contains(&(from, to))))
        }
        FaultKind::Ring => Fault::Cut(Shape::Ring, ring(&all, whole)),
        FaultKind::Bridge => Fault::Cut(Shape::Bridge, bridge(&all, whole)),
        _ => Fault::Cut(Shape::Node, links(&all, whole, of_one)),
    }
}

fn noise(random: &mut Random, kind: FaultKind, config: &ClusterConfig) -> Noise {
    let interval = config.timing().interval.as_micros() as u64;
    let (worse, much) = (100 + random.below(300), 2_000 + random.below(interval));
    match kind {
        FaultKind::Loss => Noise { loss: worse, ..Noise::NONE },
        FaultKind::Delay => Noise { delay: much, ..Noise::NONE },
        FaultKind::Duplication => Noise { doubled: worse, ..Noise::NONE },
        FaultKind::Reordering => Noise { late: worse, ..Noise::NONE },
        _ => Noise { corrupt: worse / 4, ..Noise::NONE },
    }
}

/// As far as a clock may step beside its drift: together they are within what two nodes may be apart.
fn step(random: &mut Random, config: &ClusterConfig) -> i64 {
    let most = cluster::step_max(config).as_nanos() as i64;
    most - random.below(2 * most as u64 + 1) as i64
}

/// Forward by one second to some minutes. Back is nowhere: the clock that leases are measured on never goes back, and
/// an engine that sees it do so lets it stand still.
fn jump(random: &mut Random) -> i64 {
    1_000_000_000 << random.below(8)
}

fn storage(random: &mut Random, kind: FaultKind, node: NodeId, config: &ClusterConfig) -> Fault {
    let all: Vec<LunId> = config.luns().iter().map(|lun| lun.id).collect();
    let one = chance::pick(random, &all);
    let luns: Vec<LunId> = match random.below(3) {
        0 => all,
        _ => all.into_iter().filter(|_| random.chance(1, 2)).collect(),
    };
    match (kind, one) {
        (FaultKind::LunSlow, _) => Fault::LunSlow(node, luns),
        (FaultKind::LunLost, _) => Fault::LunLoses(node, luns),
        (FaultKind::LunReset, Some(lun)) => Fault::LunReset(lun),
        (FaultKind::TargetPower, Some(lun)) => Fault::TargetPower(lun, true),
        (FaultKind::ReservationLoss, Some(lun)) => Fault::TargetPower(lun, false),
        (FaultKind::Stranger, Some(lun)) => Fault::Stranger(lun),
        _ => Fault::Storage(node, luns),
    }
}

fn guest(random: &mut Random, kind: FaultKind, node: NodeId, config: &ClusterConfig) -> Fault {
    let group = group(random, config);
    let resource = group.resources[random.below(group.resources.len() as u64) as usize].id;
    let count = 1 + random.below(4) as u32;
    match kind {
        FaultKind::StartFails => Fault::StartsFail(node, resource, count),
        FaultKind::KillFails => Fault::KillsFail(node, resource, count),
        FaultKind::GuestHangs => Fault::Hangs(node, resource),
        _ => Fault::GuestDies(group.id),
    }
}

fn command(random: &mut Random, config: &ClusterConfig) -> Command {
    let group = group(random, config).name.clone();
    let target = node(random, config);
    let name = config.node(target).map_or_else(String::new, |node| node.name.clone());
    let reason = "seen by the operator".to_owned();
    match random.below(12) {
        0..=3 => Command::Move { group, to: Some(name), restart: false },
        4 => Command::Move { group, to: None, restart: false },
        5 => Command::Offline { group },
        6 => Command::Online { group },
        7 => Command::Drain { node: name },
        8 => Command::Pause { node: name },
        9 | 10 => Command::Resume { node: name, failback: Failback::ByPolicy },
        _ => Command::ConfirmFenced { node: name, reason },
    }
}

/// Half of them end what others have begun.
fn policy(random: &mut Random, config: &ClusterConfig) -> Command {
    let group = group(random, config).name.clone();
    let target = node(random, config);
    let node = config.node(target).map_or_else(String::new, |node| node.name.clone());
    match random.below(12) {
        0 | 1 => Command::Disarm { mode: Disarm::Freeze, ttl: None },
        2 => Command::Disarm { mode: Disarm::Ignore, ttl: None },
        3 | 4 => Command::Arm,
        5 => Command::Unmanage { group },
        6 | 7 => Command::Online { group },
        8 => Command::Disable { group },
        9 => Command::LetCoordinate { node, may: random.chance(1, 2) },
        _ => {
            let load = Amounts::from([("mem".to_owned(), random.below(4))]);
            Command::Load { group, load }
        }
    }
}
