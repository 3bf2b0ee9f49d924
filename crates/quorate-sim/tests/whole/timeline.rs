//! The timeline tells the world's facts in order.

use std::time::Duration;

use quorate_core::id::NodeId;
use quorate_sim::options::{Faults, Options, Scripted};
use quorate_sim::timeline::Kind;
use quorate_sim::{Fault, run};

#[test]
fn a_power_loss_is_told_from_the_fault_to_the_start_elsewhere() {
    let script = vec![Scripted {
        after: Duration::from_secs(20),
        length: Duration::from_secs(60),
        fault: Fault::Power(vec![NodeId(1)]),
    }];
    let clean = (0..50).find_map(|seed| {
        let options = Options {
            nodes: Some(3),
            faults: Faults::NONE,
            script: script.clone(),
            duration: 30,
            timeline: true,
            ..Options::default()
        };
        let outcome = run(seed, &options);
        assert!(outcome.is_clean(), "seed {seed}: {:?}", outcome.violations);
        let killed = outcome
            .timeline
            .iter()
            .any(|entry| entry.kind == Kind::GroupKilled && entry.node.as_deref() == Some("n1"));
        killed.then_some(outcome.timeline)
    });
    let timeline = clean.expect("in one of the seeds n1 runs a group when it loses its power");
    let first = |kind: Kind| {
        let found = timeline.iter().find(|e| e.kind == kind && e.at.0 >= 20_000_000_000);
        found.unwrap_or_else(|| panic!("no {kind} in {timeline:#?}")).clone()
    };
    let story = [Kind::FaultBegins, Kind::NodeDown, Kind::NodeBelievedDown, Kind::FenceConfirmed]
        .map(first);
    assert!(story.windows(2).all(|pair| pair[0].at <= pair[1].at), "{story:#?}");
    let killed = first(Kind::GroupKilled);
    let again = timeline.iter().find(|entry| {
        entry.kind == Kind::GroupStarted && entry.subject == killed.subject && entry.at > killed.at
    });
    assert_ne!(again.expect("it starts again").node.as_deref(), Some("n1"));
}
