//! How much faster than real time a simulated cluster is, on one core, and what the events are that cost it.
//!
//! Prints simulated time by time of the processor, which other work on the machine disturbs least, for a small cluster
//! and for a large one, quiet and with every kind of fault. It fails below a floor far under what was seen.

use std::process::ExitCode;
use std::time::Duration;

use quorate_benches::processor_time;
use quorate_sim::options::{Faults, Options, TimingInputs};
use quorate_sim::{Coverage, run};

/// The default of Windows clustering since 2016, SameSubnetDelay and SameSubnetThreshold: a heartbeat every second, ten
/// of which may be missed. Ours is five times as fast, and has five times as many events.
const WINDOWS: TimingInputs = TimingInputs {
    detect: Duration::from_secs(10),
    interval: Duration::from_secs(1),
    ..TimingInputs::DEFAULT
};

/// A cluster and how it is run.
#[derive(Clone, Copy)]
struct Case {
    nodes: u16,
    groups: u32,
    timing: TimingInputs,
    faults: Faults,
    /// How far apart faults are on the average; none: a dense storm.
    pace: Option<Duration>,
    time: Duration,
    seeds: u64,
    /// Simulated by processor time: below that, something is wrong.
    floor: f64,
}

impl Case {
    fn name(&self) -> String {
        let how = match (self.faults == Faults::NONE, self.pace) {
            (true, _) => "quiet".to_owned(),
            (false, Some(pace)) => {
                format!("every fault, on the average every {} min", pace.as_secs() / 60)
            }
            (false, None) => "every fault, in a dense storm".to_owned(),
        };
        let minutes = self.time.as_secs_f64() / 60.0;
        let (nodes, groups, detect) = (self.nodes, self.groups, self.timing.detect.as_secs());
        format!("{nodes} nodes, {groups} groups, detection in {detect} s, {how}, for {minutes} min")
    }
}

fn main() -> ExitCode {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let small = Case {
        nodes: 5,
        groups: 20,
        timing: TimingInputs::DEFAULT,
        faults: Faults::NONE,
        pace: None,
        time: minutes(60),
        seeds: 1,
        floor: 500.0,
    };
    let large = Case { nodes: 64, groups: 1_000, time: minutes(10), floor: 3.0, ..small };
    let all = Faults::ALL;
    let cases = [
        Case { faults: all, pace: Some(minutes(10)), time: minutes(240), ..small },
        Case { faults: all, time: minutes(5), seeds: 8, floor: 100.0, ..small },
        small,
        Case { timing: WINDOWS, faults: all, pace: Some(minutes(10)), time: minutes(240), ..small },
        Case { timing: WINDOWS, ..small },
        Case { timing: WINDOWS, time: minutes(60), ..large },
        Case { faults: all, pace: Some(minutes(10)), time: minutes(10), ..large },
        Case { faults: all, time: Duration::from_secs(30), floor: 0.5, ..large },
        Case { time: minutes(60), ..large },
        large,
    ];
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let wanted = |case: &&Case| words.iter().all(|word| case.name().contains(word.as_str()));
    let slow = cases.iter().filter(wanted).filter(|case| !measure(case)).count();
    if slow == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a case and prints its figures. False: it is slower than its floor, or something broke.
fn measure(case: &Case) -> bool {
    let options = Options {
        nodes: Some(case.nodes),
        groups: Some(case.groups),
        timing: Some(case.timing),
        time: Some(case.time),
        faults: case.faults,
        pace: case.pace,
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
        "{}: real_time_factor {factor:.0}, {:.0} events a simulated second, {:.2} µs an event",
        case.name(),
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
