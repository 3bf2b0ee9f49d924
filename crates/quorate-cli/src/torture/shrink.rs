//! Makes a failing seed small: as few of its faults as still break the same promise, and as little time.
//!
//! Source: Zeller, Hildebrandt: Simplifying and Isolating Failure-Inducing Input, 2002 (ddmin).

use std::time::Duration;

use quorate_sim::{Options, Outcome, run_while};

/// After so many runs the smallest that was found is given.
const RUNS_MAX: u32 = 2_000;

/// A seed, made small.
pub(super) struct Small {
    /// The faults that are left, by number.
    pub(super) faults: Vec<usize>,
    /// How long faults happen.
    pub(super) time: Duration,
    /// What still happens.
    pub(super) outcome: Outcome,
    /// How many runs that took.
    pub(super) runs: u32,
}

/// Shrinks a failing run. `goes_on` is asked before each run, with what is left and how many runs there were.
pub(super) fn shrink(
    failing: Outcome,
    options: &Options,
    goes_on: &mut dyn FnMut(usize, u32) -> bool,
) -> Small {
    let all = (0..failing.faults.len()).collect();
    let faults = options.chosen.clone().unwrap_or(all);
    let detect = failing.config.timing().detect;
    let time = options.time.unwrap_or(detect * options.duration);
    let broken = failing.violations.first().map_or("", |violation| violation.checker);
    let mut shrinking = Shrinking {
        options: options.clone(),
        broken,
        small: Small { faults, time, outcome: failing, runs: 0 },
        goes_on,
        is_stopped: false,
    };
    shrinking.fewer_faults();
    shrinking.less_time();
    shrinking.fewer_faults();
    shrinking.small
}

struct Shrinking<'a> {
    options: Options,
    /// The checker that must still find something.
    broken: &'static str,
    small: Small,
    goes_on: &'a mut dyn FnMut(usize, u32) -> bool,
    is_stopped: bool,
}

impl Shrinking<'_> {
    /// Takes out halves, quarters, eighths … of the faults for as long as the promise stays broken.
    fn fewer_faults(&mut self) {
        if self.still_fails(Vec::new(), self.small.time) {
            return;
        }
        let mut parts = 2;
        while self.small.faults.len() > 1 && !self.is_stopped {
            let faults = self.small.faults.clone();
            let size = faults.len().div_ceil(parts);
            let without = |part: usize| {
                let (from, to) = (part * size, ((part + 1) * size).min(faults.len()));
                [&faults[..from.min(to)], &faults[to..]].concat()
            };
            let count = faults.len().div_ceil(size);
            let found = (0..count).any(|part| self.still_fails(without(part), self.small.time));
            if found {
                parts = (parts - 1).max(2);
            } else if size == 1 {
                return;
            } else {
                parts = (parts * 2).min(faults.len());
            }
        }
    }

    /// Lets the faults end earlier.
    fn less_time(&mut self) {
        let whole = self.small.time;
        for part in 1..8 {
            let time = whole * part / 8;
            let millis = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            if self.is_stopped || self.still_fails(self.small.faults.clone(), millis) {
                return;
            }
        }
    }

    fn still_fails(&mut self, faults: Vec<usize>, time: Duration) -> bool {
        if self.is_stopped || self.small.runs >= RUNS_MAX {
            self.is_stopped = true;
            return false;
        }
        self.is_stopped = !(self.goes_on)(self.small.faults.len(), self.small.runs);
        self.small.runs += 1;
        self.options.chosen = Some(faults.clone());
        self.options.time = Some(time);
        let Some(outcome) = run_while(self.small.outcome.seed, &self.options, &mut |_| true) else {
            return false;
        };
        let fails = outcome.violations.first().is_some_and(|found| found.checker == self.broken);
        if fails {
            self.small = Small { faults, time, outcome, runs: self.small.runs };
        }
        fails
    }
}

#[cfg(test)]
mod tests {
    use quorate_sim::{Plant, run};

    use super::*;

    /// A network that stays cut: one cut is enough, whatever else happened.
    #[test]
    fn what_is_left_still_breaks_the_same_promise_and_nothing_of_it_is_needless() {
        let options =
            Options { plant: Some(Plant::NeverHeals), nodes: Some(3), ..Options::default() };
        let failing = (0..200).map(|seed| run(seed, &options)).find(|outcome| {
            outcome.faults.len() > 8
                && outcome.violations.iter().any(|one| one.checker == "Liveness")
        });
        let failing = failing.expect("some seed cuts a network");
        let (checker, time) = (failing.violations[0].checker, failing.simulated);
        let small = shrink(failing, &options, &mut |_, _| true);
        assert_eq!(small.outcome.violations[0].checker, checker);
        assert!(small.faults.len() <= 3 && small.time <= time, "{:?}", small.faults);
        for left_out in 0..small.faults.len() {
            let mut chosen = small.faults.clone();
            chosen.remove(left_out);
            let fewer = Options { chosen: Some(chosen), time: Some(small.time), ..options.clone() };
            let outcome = run(small.outcome.seed, &fewer);
            assert!(outcome.violations.first().is_none_or(|one| one.checker != checker));
        }
    }

    #[test]
    fn shrinking_stops_when_it_is_told_to() {
        let options = Options { plant: Some(Plant::NeverHeals), ..Options::default() };
        let mut outcomes = (0..200).map(|seed| run(seed, &options));
        let failing = outcomes.find(|outcome| !outcome.is_clean()).expect("some seed fails");
        let all = failing.faults.len();
        let small = shrink(failing, &options, &mut |_, runs| runs < 1);
        assert!(small.runs <= 2 && (small.faults.is_empty() || small.faults.len() <= all));
    }
}
