//! One seed, from the beginning to the verdict.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::config::ClusterConfig;
use quorate_core::id::LunId;

use crate::checker::Violation;
use crate::clock::Moment;
use crate::cluster;
use crate::coverage::Coverage;
use crate::fault::{self, Planned};
use crate::options::Options;
use crate::stats::Stats;
use crate::timeline::{Entry, Timeline};
use crate::world::World;

/// What a run has shown.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What was broken; empty: nothing.
    pub violations: Vec<Violation>,
    /// A hash over every event and action of every engine.
    pub trace_hash: u64,
    /// What was counted.
    pub stats: Stats,
    /// What was met.
    pub coverage: Coverage,
    /// How long it took in the world.
    pub simulated: Duration,
    /// The faults of the seed, by number, whether chosen or not.
    pub faults: Vec<Planned>,
    /// The longest time without a write on each LUN, after its first.
    pub gaps: BTreeMap<LunId, Duration>,
    /// What the nodes were started with.
    pub config: ClusterConfig,
    /// The cluster, in a line.
    pub cluster: String,
    /// How long the healed cluster took until everything was online.
    pub converged_after: Option<Duration>,
    /// The story, if it was wanted, a line an entry.
    pub story: Vec<String>,
    /// What happened, if it was wanted.
    pub timeline: Vec<Entry>,
}

impl Outcome {
    /// Whether nothing was broken.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Runs a seed: faults first, then a healed cluster that must come online and stay so.
pub fn run(seed: u64, options: &Options) -> Outcome {
    run_while(seed, options, &mut |_| true).expect("nobody stops it")
}

/// Runs a seed for as long as `goes_on`, asked from time to time with what has passed in the world, says so.
/// None: it was stopped.
pub fn run_while(
    seed: u64,
    options: &Options,
    goes_on: &mut dyn FnMut(Duration) -> bool,
) -> Option<Outcome> {
    #[cfg(feature = "plants")]
    let _sown = quorate_core::plant::sow(options.mistake);
    let mut world = World::new(seed, options);
    let cluster = describe(world.config());
    let faults = Moment::default() + fault::duration(options, world.config());
    let slice = world.config().timing().detect * 8;
    while world.violations().is_empty() && world.now() < faults {
        if !goes_on(world.now().since(Moment::default())) {
            return None;
        }
        world.run_until((world.now() + slice).min(faults));
    }
    let converged_after = if world.violations().is_empty() { converge(&mut world) } else { None };
    let (violations, stats) = world.take_findings();
    let gaps = std::mem::take(&mut world.gaps);
    let coverage = std::mem::take(&mut world.coverage);
    let simulated = world.now().since(Moment::default());
    let faults = world.faults().to_vec();
    let config = world.config().clone();
    let (trace, timeline) = world.into_trace();
    let timeline = timeline.map(Timeline::into_entries).unwrap_or_default();
    let trace_hash = trace.hash();
    let story = trace.into_story();
    Some(Outcome {
        seed,
        violations,
        trace_hash,
        stats,
        coverage,
        simulated,
        faults,
        gaps,
        config,
        cluster,
        converged_after,
        story,
        timeline,
    })
}

/// Heals the world and waits until everything is online and has been for a detection time.
fn converge(world: &mut World) -> Option<Duration> {
    world.heal();
    let healed = world.now();
    let timing = world.config().timing().clone();
    let pending = cluster::pending_timeout(timing.inputs());
    let deadline = healed + timing.convergence_worst(pending);
    let mut since: Option<Moment> = None;
    let mut pressed: Option<Moment> = None;
    loop {
        if pressed.is_none_or(|at| world.now().since(at) > timing.detect * 2) {
            world.press_wishes();
            pressed = Some(world.now());
        }
        world.run_until(world.now() + timing.interval * 2);
        if !world.violations().is_empty() {
            return None;
        }
        let missing = world.missing();
        match (missing, since) {
            (None, Some(at)) if world.now().since(at) >= timing.detect => {
                return Some(at.since(healed));
            }
            (None, Some(_)) => {}
            (None, None) => since = Some(world.now()),
            (Some(missing), _) => {
                since = None;
                if world.now() > deadline {
                    world.give_up(&missing);
                    return None;
                }
            }
        }
    }
}

fn describe(config: &ClusterConfig) -> String {
    let voters = config.voters().count();
    let groups: Vec<String> = config
        .groups()
        .iter()
        .map(|group| {
            let kind = match (group.luns.len(), config.is_enforced(group)) {
                (0, _) => "no LUN",
                (_, true) => "enforced",
                (_, false) => "cooperative",
            };
            format!("{} {kind} x{}", group.name, group.resources.len())
        })
        .collect();
    let detect = config.timing().detect;
    let witness = if config.witness_votes() { " and a witness" } else { "" };
    format!(
        "{} nodes, {voters} vote{witness}, detect {detect:?}, {}",
        config.nodes().len(),
        groups.join(", ")
    )
}
