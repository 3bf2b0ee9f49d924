//! Seeds run side by side, each in a thread of its own; the simulator itself has none.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use quorate_sim::{Options, Outcome, run_while};

/// What comes from the workers.
pub(super) enum Word {
    /// So much simulated time has passed in some seed.
    Passed(Duration),
    /// A seed is through.
    Done(Box<Outcome>),
    /// The simulator itself broke on a seed.
    Broken(u64, String),
}

/// Runs seeds until all are through or `stop` says so, and hands what comes to `take`.
pub(super) fn run(
    seeds: Range<u64>,
    options: &Options,
    jobs: usize,
    stop: &AtomicBool,
    take: impl FnOnce(Receiver<Word>),
) {
    let next = AtomicU64::new(seeds.start);
    let (words, taken) = sync_channel(jobs * 4);
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (words, next) = (words.clone(), &next);
            scope.spawn(move || work(seeds.end, next, options, stop, &words));
        }
        drop(words);
        take(taken);
    });
}

fn work(
    end: u64,
    next: &AtomicU64,
    options: &Options,
    stop: &AtomicBool,
    words: &SyncSender<Word>,
) {
    while !stop.load(Ordering::Relaxed) {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let mut told = Duration::ZERO;
        let mut goes_on = |passed: Duration| {
            // Told now and then: who reads it draws a bar.
            if passed - told > Duration::from_secs(600) {
                let _ = words.try_send(Word::Passed(passed - told));
                told = passed;
            }
            !stop.load(Ordering::Relaxed)
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| run_while(seed, options, &mut goes_on)));
        let word = match outcome {
            Ok(Some(outcome)) => Word::Done(Box::new(outcome)),
            Ok(None) => return,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into()));
                Word::Broken(seed, text.unwrap_or_default())
            }
        };
        if words.send(word).is_err() {
            return;
        }
    }
}
