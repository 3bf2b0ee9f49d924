//! `quorate torture`: the simulator with every fault it knows, over many seeds.

mod arguments;
mod length;
mod progress;
mod shrink;
mod summary;
mod workers;

use std::io::{Write as _, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::available_parallelism;
use std::time::Instant;

use quorate_sim::picture::{Cast, Picture};
use quorate_sim::{Options, Outcome};

use crate::failure::{Exit, Failure};
use crate::{page, signals};
pub use arguments::{Profile, Torture};
use progress::Progress;
use summary::Summary;
use workers::Word;

/// Runs the seeds, says which fail and how to run them again, and sums up.
///
/// # Errors
/// A promise was broken; it was interrupted; the page could not be written.
pub fn torture(torture: &Torture) -> Result<(), Failure> {
    let options = torture.options().map_err(|text| Failure::new(Exit::Usage, text))?;
    page::check(torture.html.as_deref())?;
    let stop = signals::interruption()?;
    let seeds = torture.seeds();
    let cores = available_parallelism().map_or(1, usize::from);
    let wanted = seeds.end - seeds.start;
    let jobs = torture.jobs.map_or(cores, usize::from);
    let jobs = jobs.min(usize::try_from(wanted).unwrap_or(jobs));
    let mut progress = Progress::new(wanted);
    let mut summary = Summary::default();
    let mut failing = Vec::new();
    let mut written = Ok(());
    let began = Instant::now();
    workers::run(seeds, &options, jobs, &stop, |words: Receiver<Word>| {
        for word in words {
            match word {
                Word::Passed(length) => progress.passed(length),
                Word::Broken(seed, text) => {
                    let again = torture.again(seed, None, None);
                    progress
                        .say(&format!("seed {seed} breaks the simulator: {text}; again: {again}"));
                    summary.add_broken(seed);
                }
                Word::Done(outcome) => {
                    summary.add(&outcome);
                    progress.one_more(summary.simulated);
                    written = tell(torture, &outcome);
                    if !outcome.is_clean() {
                        progress.say(&torture.line(&outcome));
                        failing.extend(torture.shrink.then_some(*outcome));
                    } else if wanted == 1 && torture.shrink {
                        let seed = outcome.seed;
                        progress.say(&format!("seed {seed} passes: there is nothing to shrink"));
                    }
                }
            }
        }
    });
    let real = began.elapsed();
    for outcome in failing {
        shrink_and_tell(torture, &options, outcome, &stop, &progress);
    }
    progress.end();
    // Who has closed our output has no wish to read it.
    let _ = if torture.json {
        writeln!(stdout(), "{:#}", summary.json(real, torture.trace_hash))
    } else {
        let never_met = torture.never_met || summary.seeds > 1;
        write!(stdout(), "{}", summary.text(real, never_met))
    };
    if torture.trace_hash && !torture.json {
        let _ = writeln!(stdout(), "{:<18} {}", "trace hash", summary.trace_hash());
    }
    verdict(&summary, wanted, &stop).and(written)
}

fn verdict(summary: &Summary, wanted: u64, stop: &AtomicBool) -> Result<(), Failure> {
    if stop.load(Ordering::Relaxed) {
        let through = format!("interrupted; {} of {wanted} seeds are through", summary.seeds);
        return Err(Failure::new(Exit::Interrupted, through));
    }
    if summary.violations > 0 {
        return Err(Failure::new(Exit::Failed, format!("seeds: {}", summary.verdict())));
    }
    Ok(())
}

/// The story and the picture of a seed, if they were asked for.
fn tell(torture: &Torture, outcome: &Outcome) -> Result<(), Failure> {
    if torture.story {
        let _ = writeln!(stdout(), "{}", outcome.cluster);
        for line in &outcome.story {
            let _ = writeln!(stdout(), "{line}");
        }
    }
    let Some(file) = &torture.html else { return Ok(()) };
    let verdict = match outcome.violations.first() {
        Some(violation) => violation.to_string(),
        None => "nothing was broken".to_owned(),
    };
    let picture = Picture {
        title: format!("Seed {}", outcome.seed),
        remarks: vec![outcome.cluster.clone(), verdict, torture.again(outcome.seed, None, None)],
        cast: Cast::of(&outcome.config),
        entries: &outcome.timeline,
        until: quorate_sim::clock::Moment::default() + outcome.simulated,
    };
    page::write(file, &picture.html())
}

fn shrink_and_tell(
    torture: &Torture,
    options: &Options,
    failing: Outcome,
    stop: &AtomicBool,
    progress: &Progress,
) {
    let seed = failing.seed;
    let from = failing.faults.len();
    let mut told = Instant::now();
    let small = shrink::shrink(failing, options, &mut |left, runs| {
        if told.elapsed().as_secs() >= 5 {
            told = Instant::now();
            progress
                .say(&format!("seed {seed}: {left} of {from} faults are left after {runs} runs"));
        }
        !stop.load(Ordering::Relaxed)
    });
    let what = small.outcome.violations.first().map(ToString::to_string).unwrap_or_default();
    let again = torture.again(seed, Some(small.time), Some(&small.faults));
    progress.say(&format!(
        "seed {seed} shrinks from {from} faults to {} in {} runs: {}; again: {again}",
        small.faults.len(),
        small.runs,
        what.trim_start(),
    ));
    for &number in &small.faults {
        if let Some(planned) = small.outcome.faults.get(number) {
            progress.say(&format!(
                "  {number:>5} {} to {}  {:?}",
                planned.at, planned.until, planned.fault
            ));
        }
    }
}
