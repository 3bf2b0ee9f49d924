//! How much faster than real time a simulated cluster is, on one core, and what the events are that cost it.
//!
//! Prints simulated time by time of the processor, which other work on the machine disturbs least, for a small cluster
//! and for a large one, quiet and with every kind of fault. It fails below a floor far under what was seen.

use std::process::ExitCode;
use std::time::Duration;

use quorate_benches::processor_time;
use quorate_sim::options::{Faults, Options, TimingInputs};
use quorate_sim::{Coverage, run};

/// A cluster and how it is run.
struct Case {
    name: &'static str,
    nodes: u16,
    groups: u32,
    faults: Faults,
    time: Duration,
    seeds: u64,
    /// Simulated by processor time: below that, something is wrong.
    floor: f64,
}

fn main() -> ExitCode {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let seconds = Duration::from_secs;
    let case = |name, nodes, groups, faults, time, seeds, floor| Case {
        name,
        nodes,
        groups,
        faults,
        time,
        seeds,
        floor,
    };
    let cases = [
        case("quiet", 5, 20, Faults::NONE, minutes(60), 1, 500.0),
        case("every fault", 5, 20, Faults::ALL, minutes(5), 8, 200.0),
        case("quiet", 64, 1_000, Faults::NONE, seconds(120), 1, 3.0),
        case("every fault", 64, 1_000, Faults::ALL, seconds(30), 1, 0.5),
    ];
    let fine = cases.iter().filter(|case| measure(case)).count();
    if fine == cases.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a case and prints its figures. False: it is slower than its floor, or something broke.
fn measure(case: &Case) -> bool {
    let options = Options {
        nodes: Some(case.nodes),
        groups: Some(case.groups),
        timing: Some(TimingInputs::DEFAULT),
        time: Some(case.time),
        faults: case.faults,
        ..Options::default()
    };
    let (mut simulated, mut events, mut broken) = (Duration::ZERO, 0, 0);
    let mut coverage = Coverage::default();
    let began = processor_time();
    for seed in 0..case.seeds {
        let outcome = run(seed, &options);
        simulated += outcome.simulated;
        events += outcome.stats.steps;
        coverage += &outcome.coverage;
        broken += outcome.violations.len();
    }
    let real = (processor_time() - began).as_secs_f64();
    let factor = simulated.as_secs_f64() / real;
    println!(
        "{} nodes, {} groups, {}: real_time_factor {factor:.0}, {:.0} events a simulated second, {:.2} µs an event",
        case.nodes,
        case.groups,
        case.name,
        events as f64 / simulated.as_secs_f64(),
        real * 1e6 / events as f64,
    );
    let mut met = coverage.all();
    met.retain(|met| met.table == "event" && met.count * 100 >= events);
    met.sort_by_key(|met| std::cmp::Reverse(met.count));
    for one in met {
        println!("    {:>3} %  {}", one.count * 100 / events, one.name);
    }
    broken == 0 && factor >= case.floor
}
