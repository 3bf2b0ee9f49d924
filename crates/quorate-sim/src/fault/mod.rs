//! The faults of a run, drawn from its seed before it begins.
//!
//! Each seed leaves out some kinds and draws its own pace, so that seeds differ in character and not only in detail.

mod drawing;
mod edit;
mod kind;
mod shape;
mod words;

use std::time::Duration;

use quorate_core::config::ClusterConfig;
use quorate_core::id::{GroupId, LunId, NodeId, PathId, ResourceId};
use quorate_core::message::Command;
use quorate_core::random::Random;

use crate::chance;
use crate::clock::Moment;
use crate::host::Pause;
use crate::network::Noise;
use crate::options::{Options, Scripted};

pub use edit::Edit;
pub use kind::{FaultKind, Faults};
pub use shape::{Shape, bridge, links, ring};

/// A direction of a network between two nodes.
pub type Link = (NodeId, NodeId, PathId);

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process of a node dies; at once, or in the midst of carrying out its next actions.
    Crash(NodeId, bool),
    /// Hosts lose power.
    Power(Vec<NodeId>),
    /// A host loses power in the midst of its next write to its log, of which a part stays.
    Torn(NodeId),
    /// A host loses power and its disk.
    Wipe(NodeId),
    /// A record in the midst of a node's log is damaged. Its next start refuses the log.
    BitRot(NodeId),
    /// The disk of a node is full.
    DiskFull(NodeId),
    /// The disk of a node takes up to half of the bound for I/O.
    DiskSlow(NodeId),
    /// A process is paused.
    Pause(NodeId, Pause),
    /// Links are cut.
    Cut(Shape, Vec<Link>),
    /// The networks get worse.
    Noise(Noise),
    /// The stream of a pair breaks.
    Reset(NodeId, NodeId),
    /// A host's clock runs too fast or too slow by so many microseconds a second.
    Drift(NodeId, i64),
    /// A host's clock steps by so many nanoseconds. One that goes beyond the bound of the configuration voids what
    /// time alone protects: see [`crate::checker::Waivers`].
    Step(NodeId, i64),
    /// A host's wall clock is set by so many seconds: it numbers the boots of its node.
    WallStep(NodeId, i64),
    /// The way to LUNs is cut.
    Storage(NodeId, Vec<LunId>),
    /// Commands to LUNs take long; some longer than the bound for I/O.
    LunSlow(NodeId, Vec<LunId>),
    /// Some commands to LUNs get lost, or their answers do.
    LunLoses(NodeId, Vec<LunId>),
    /// LOGICAL UNIT RESET: commands under way are aborted, reservations stay.
    LunReset(LunId),
    /// The target of a LUN loses power; true: it remembers its reservations (APTPL).
    TargetPower(LunId, bool),
    /// A stranger registers, preempts whoever holds the LUN, and goes when the fault ends.
    Stranger(LunId),
    /// A node does not reach the witness; none: nobody does.
    WitnessOff(Option<NodeId>),
    /// Requests to the witness take long; some longer than the bound for I/O.
    WitnessSlow,
    /// Some requests to the witness get lost, or their answers do, once they are carried out.
    WitnessLoses,
    /// A node has lost the share with the witness, and finds an empty directory in its place.
    WitnessUnmounted(NodeId),
    /// The guests of a group die where they run.
    GuestDies(GroupId),
    /// The next starts of a resource on a node fail.
    StartsFail(NodeId, ResourceId, u32),
    /// The guest of a resource on a node falls silent, and the next kills of it fail.
    KillsFail(NodeId, ResourceId, u32),
    /// The next guest of a resource on a node hangs when asked to stop.
    Hangs(NodeId, ResourceId),
    /// The host of a node takes long over requests; now and then longer than anybody waits.
    HostLate(NodeId),
    /// The host of a node carries out requests, and answers some of them never.
    HostNever(NodeId),
    /// The host of a node answers requests twice.
    HostTwice(NodeId),
    /// The host of a node gives a command.
    Command(NodeId, Command),
    /// A node leaves in order and comes back.
    Leave(NodeId),
    /// Somebody holds a group.
    Busy(GroupId),
    /// The engine of a node is replaced.
    Handover(NodeId),
    /// Somebody moves a group to a node; only one that needs no LUN.
    MovedByHand(GroupId, NodeId),
    /// A group is taken offline by the host of a node, which then takes it out of the configuration; tried at once,
    /// too, while it may run.
    RemoveGroup(NodeId, GroupId),
    /// The host of a node changes the configuration in force, and takes back what it has changed when the fault ends.
    Configure(NodeId, Edit),
    /// A node that was never there is added and started; whether it is to vote.
    AddNode(bool),
    /// A node is drained, and evicted when the fault ends.
    EvictNode(NodeId),
}

impl Fault {
    /// Its kind.
    pub fn kind(&self) -> FaultKind {
        match self {
            Fault::Crash(_, false) => FaultKind::Crash,
            Fault::Crash(_, true) => FaultKind::CrashMidway,
            Fault::Power(nodes) if nodes.len() > 1 => FaultKind::Blackout,
            Fault::Power(_) => FaultKind::PowerLoss,
            Fault::Torn(_) => FaultKind::TornWrite,
            Fault::Wipe(_) => FaultKind::Wipe,
            Fault::BitRot(_) => FaultKind::BitRot,
            Fault::DiskFull(_) => FaultKind::DiskFull,
            Fault::DiskSlow(_) => FaultKind::DiskSlow,
            Fault::Pause(_, Pause::Engine) => FaultKind::PauseEngine,
            Fault::Pause(_, Pause::Whole) => FaultKind::PauseProcess,
            Fault::Cut(shape, _) => shape.kind(),
            Fault::Noise(noise) => noise.kind(),
            Fault::Reset(..) => FaultKind::StreamReset,
            Fault::Drift(..) => FaultKind::ClockDrift,
            // The smallest jump that is drawn is far beyond the largest step that may be.
            Fault::Step(_, nanos) if nanos.unsigned_abs() < 100_000_000 => FaultKind::ClockStep,
            Fault::Step(..) => FaultKind::ClockJump,
            Fault::WallStep(..) => FaultKind::WallStep,
            Fault::Storage(..) => FaultKind::LunPath,
            Fault::LunSlow(..) => FaultKind::LunSlow,
            Fault::LunLoses(..) => FaultKind::LunLost,
            Fault::LunReset(_) => FaultKind::LunReset,
            Fault::TargetPower(_, true) => FaultKind::TargetPower,
            Fault::TargetPower(_, false) => FaultKind::ReservationLoss,
            Fault::Stranger(_) => FaultKind::Stranger,
            Fault::WitnessOff(Some(_)) => FaultKind::WitnessPath,
            Fault::WitnessOff(None) => FaultKind::WitnessOff,
            Fault::WitnessSlow => FaultKind::WitnessSlow,
            Fault::WitnessLoses => FaultKind::WitnessLoses,
            Fault::WitnessUnmounted(_) => FaultKind::WitnessUnmounted,
            Fault::GuestDies(_) => FaultKind::GuestDies,
            Fault::StartsFail(..) => FaultKind::StartFails,
            Fault::KillsFail(..) => FaultKind::KillFails,
            Fault::Hangs(..) => FaultKind::GuestHangs,
            Fault::HostLate(_) => FaultKind::HostLate,
            Fault::HostNever(_) => FaultKind::HostNever,
            Fault::HostTwice(_) => FaultKind::HostTwice,
            Fault::Command(_, command) if is_policy(command) => FaultKind::Policy,
            Fault::Command(_, Command::AddGroup(_)) => FaultKind::AddGroup,
            Fault::Command(..) => FaultKind::Command,
            Fault::Leave(_) => FaultKind::Leave,
            Fault::Busy(_) => FaultKind::Busy,
            Fault::Handover(_) => FaultKind::Handover,
            Fault::MovedByHand(..) => FaultKind::MovedByHand,
            Fault::RemoveGroup(..) => FaultKind::RemoveGroup,
            Fault::Configure(..) => FaultKind::Configure,
            Fault::AddNode(_) => FaultKind::AddNode,
            Fault::EvictNode(_) => FaultKind::EvictNode,
        }
    }
}

fn is_policy(command: &Command) -> bool {
    matches!(
        command,
        Command::Disarm { .. }
            | Command::Arm
            | Command::Unmanage { .. }
            | Command::Load { .. }
            | Command::Disable { .. }
            | Command::LetCoordinate { .. }
    )
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

/// How long faults happen in this run.
pub fn duration(options: &Options, config: &ClusterConfig) -> Duration {
    options.time.unwrap_or(config.timing().detect * options.duration)
}

/// Draws the faults of a run.
pub fn draw(random: &mut Random, options: &Options, config: &ClusterConfig) -> Vec<Planned> {
    let mut faults: Vec<Planned> = options.script.iter().map(planned).collect();
    let fits = |kind: &FaultKind| config.witness_votes() || !kind.is_of_witness();
    let mut kinds: Vec<FaultKind> = options.faults.kinds().filter(fits).collect();
    chance::shuffle(random, &mut kinds);
    let half = kinds.len().div_ceil(2) as u64;
    kinds.truncate((half + random.below(half.max(1))) as usize);
    let total: u64 = kinds.iter().map(|&kind| u64::from(options.faults.weight(kind))).sum();
    if total == 0 {
        return faults;
    }
    let end = Moment::default() + duration(options, config);
    let detect = config.timing().detect;
    let drawn = detect * (30 + random.below(270) as u32) / 100;
    let pace = options.pace.unwrap_or(drawn);
    let mut at = Moment::default() + chance::percent_of(random, detect, 0, 500);
    while at < end {
        let kind = weighted(random, &kinds, options, total);
        let fault = drawing::draw(random, kind, config);
        let length = length(random, kind, detect);
        faults.push(Planned { at, until: (at + length).min(end), fault });
        at = at + chance::percent_of(random, pace, 1, 200);
    }
    faults
}

fn weighted(random: &mut Random, kinds: &[FaultKind], options: &Options, total: u64) -> FaultKind {
    let mut left = random.below(total);
    for &kind in kinds {
        let weight = u64::from(options.faults.weight(kind));
        if left < weight {
            return kind;
        }
        left -= weight;
    }
    kinds[0]
}

fn planned(scripted: &Scripted) -> Planned {
    let at = Moment::default() + scripted.after;
    Planned { at, until: at + scripted.length, fault: scripted.fault.clone() }
}

/// From a twentieth of the detection time to some ten of it, each doubling as likely as the next; a pause from a
/// tenth of a second to a minute.
fn length(random: &mut Random, kind: FaultKind, detect: Duration) -> Duration {
    if matches!(kind, FaultKind::PauseEngine | FaultKind::PauseProcess) && random.chance(1, 2) {
        let base = Duration::from_millis(100) * (1 << random.below(10));
        return chance::percent_of(random, base, 100, 117);
    }
    let base = detect / 20 * (1 << random.below(8));
    chance::percent_of(random, base, 70, 140)
}
