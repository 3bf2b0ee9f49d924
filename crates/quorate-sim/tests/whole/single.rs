//! One fault at a time: nothing happens by itself, and a node's end costs what the timing budget says.

use std::time::Duration;

use quorate_core::config::{Timing, TimingInputs};
use quorate_core::id::{NodeId, PathId};
use quorate_sim::fault::Shape;
use quorate_sim::timeline::Kind;
use quorate_sim::{Fault, Faults, Options, Outcome, Scripted, run};

const INPUTS: TimingInputs = TimingInputs::DEFAULT;

fn timing() -> Timing {
    Timing::derive(&INPUTS).unwrap()
}

/// Runs seeds in which the script is all that happens.
fn outcomes(script: &[Scripted]) -> impl Iterator<Item = Outcome> {
    outcomes_of(script, false)
}

/// The same, with their timelines.
fn outcomes_told(script: &[Scripted]) -> impl Iterator<Item = Outcome> {
    outcomes_of(script, true)
}

fn outcomes_of(script: &[Scripted], timeline: bool) -> impl Iterator<Item = Outcome> {
    let options = Options {
        nodes: Some(3),
        timing: Some(INPUTS),
        faults: Faults::NONE,
        script: script.to_vec(),
        timeline,
        ..Options::default()
    };
    (0..40).map(move |seed| {
        let outcome = run(seed, &options);
        assert!(outcome.is_clean(), "seed {seed}: {:?}", outcome.violations);
        outcome
    })
}

/// Every node in turn, five detection times apart, for two.
fn each_node(fault: impl Fn(NodeId) -> Fault) -> Vec<Scripted> {
    let detect = INPUTS.detect;
    let at = |node: u16| detect * (5 * u32::from(node) - 2);
    let nodes = (1..=3u16).map(|node| (at(node), NodeId(node)));
    nodes.map(|(after, node)| Scripted { after, length: detect * 3, fault: fault(node) }).collect()
}

/// How long a simulated guest may take to start, and then to write.
fn start_and_write() -> Duration {
    INPUTS.detect / 4 + timing().lease / 5 * 2 + Duration::from_millis(100)
}

/// The longest time without a write on any LUN of any seed: on enforced ones, and on the others.
fn worst_gaps(outcomes: impl Iterator<Item = Outcome>) -> (Duration, Duration) {
    let mut worst = (Duration::ZERO, Duration::ZERO);
    for outcome in outcomes {
        for (lun, gap) in outcome.gaps {
            let group = outcome.config.group_of_lun(lun).and_then(|id| outcome.config.group(id));
            // What waits for an agent waits for as long as that takes.
            if group.is_some_and(|group| group.wishes.fence_agent_required) {
                continue;
            }
            let enforced = outcome.config.lun(lun).is_some_and(|lun| lun.enforced);
            let slot = if enforced { &mut worst.0 } else { &mut worst.1 };
            *slot = gap.max(*slot);
        }
    }
    worst
}

#[test]
fn nothing_happens_by_itself() {
    for outcome in outcomes(&[]) {
        let stats = &outcome.stats;
        assert_eq!(
            (stats.downs, stats.leases_lost, stats.failovers),
            (0, 0, 0),
            "{}",
            outcome.seed
        );
    }
}

#[test]
fn the_power_loss_of_any_node_costs_at_most_the_budget_and_a_start() {
    let worst = worst_gaps(outcomes(&each_node(|node| Fault::Power(vec![node]))));
    let budget = timing().outage_worst() + start_and_write();
    assert!(worst.0.max(worst.1) <= budget, "{worst:?} > {budget:?}");
}

/// What the LUN protects is taken over as soon as the kernel tells of the death; what time protects waits for it.
#[test]
fn the_death_of_any_process_is_known_at_once() {
    let worst = worst_gaps(outcomes(&each_node(|node| Fault::Crash(node, false))));
    let budget = timing().outage_worst() + start_and_write();
    assert!(worst.1 <= budget, "{worst:?} > {budget:?}");
    let budget = timing().reset_grace + start_and_write();
    assert!(worst.0 <= budget, "{worst:?} > {budget:?}");
}

/// The first in line asks for the vote of one who does not know of the death yet, and is not answered: it asks again,
/// so that the next in line need not wait for its turn.
#[test]
fn a_coordinator_that_dies_is_replaced_within_a_fraction_of_a_heartbeat() {
    let script = each_node(|node| Fault::Crash(node, false));
    let mut waits = Vec::new();
    for mut outcome in outcomes_told(&script) {
        let timeline = std::mem::take(&mut outcome.timeline);
        let mut coordinator = None;
        for (at, entry) in timeline.iter().enumerate() {
            match entry.kind {
                Kind::Coordinator => coordinator = Some(entry.subject.as_str()),
                Kind::NodeDown if coordinator == Some(&entry.subject) => {
                    let next = timeline[at..].iter().find(|later| later.kind == Kind::Coordinator);
                    waits.push(next.expect("somebody coordinates again").at.since(entry.at));
                }
                _ => {}
            }
        }
    }
    waits.sort();
    let usual = waits[waits.len() * 9 / 10];
    assert!(waits.len() >= 20 && usual < INPUTS.interval / 4, "{usual:?} of {}", waits.len());
}

#[test]
fn the_isolation_of_any_node_costs_at_most_the_budget_and_a_start() {
    let cut = |node| {
        let peers = (1..=3).map(NodeId).filter(move |&peer| peer != node);
        let links = peers.flat_map(|peer| [(node, peer), (peer, node)]);
        let paths = |(from, to)| [(from, to, PathId(0)), (from, to, PathId(1))];
        Fault::Cut(Shape::Node, links.flat_map(paths).collect())
    };
    let worst = worst_gaps(outcomes(&each_node(cut)));
    let budget = timing().outage_worst() + start_and_write();
    assert!(worst.0.max(worst.1) <= budget, "{worst:?} > {budget:?}");
}
