//! What all seeds together have shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use quorate_sim::coverage::Table;
use quorate_sim::digest::Digest;
use quorate_sim::{Coverage, Outcome};
use serde_json::{Value, json};

use super::length;

/// The sum of many seeds.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) seeds: u64,
    pub(super) violations: u64,
    pub(super) failing: BTreeSet<u64>,
    pub(super) simulated: Duration,
    events: u64,
    coverage: Coverage,
    hashes: BTreeMap<u64, u64>,
}

impl Summary {
    /// Adds a seed.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.violations += outcome.violations.len() as u64;
        if !outcome.is_clean() {
            self.failing.insert(outcome.seed);
        }
        self.simulated += outcome.simulated;
        self.events += outcome.stats.steps;
        self.coverage += &outcome.coverage;
        self.hashes.insert(outcome.seed, outcome.trace_hash);
    }

    /// Adds a seed on which the simulator itself broke.
    pub(super) fn add_broken(&mut self, seed: u64) {
        self.seeds += 1;
        self.violations += 1;
        self.failing.insert(seed);
    }

    /// One hash over the traces of all seeds, in their order.
    pub(super) fn trace_hash(&self) -> String {
        let mut digest = Digest::new(0);
        for (&seed, &hash) in &self.hashes {
            digest.word(seed);
            digest.word(hash);
        }
        format!("{:016x}", digest.value())
    }

    /// How many seeds there were, and how many of them fail.
    pub(super) fn verdict(&self) -> String {
        match (self.seeds, self.failing.len()) {
            (1, 0) => "1, and it passes".to_owned(),
            (1, _) => "1, and it fails".to_owned(),
            (seeds, 1) => format!("{seeds}, 1 of them fails"),
            (seeds, failing) => format!("{seeds}, {failing} of them fail"),
        }
    }

    fn factor(&self, real: Duration) -> f64 {
        self.simulated.as_secs_f64() / real.as_secs_f64().max(1e-9)
    }

    fn faults(&self) -> Vec<(String, u64)> {
        let all = self.coverage.all().into_iter();
        let faults = all.filter(|met| met.table == Table::Fault.name());
        faults.map(|met| (met.name, met.count)).collect()
    }

    /// For machines.
    pub(super) fn json(&self, real: Duration, with_hash: bool) -> Value {
        let faults: BTreeMap<String, u64> = self.faults().into_iter().collect();
        let mut coverage: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
        for met in self.coverage.all() {
            coverage.entry(met.table).or_default().insert(met.name, met.count);
        }
        let never = self.coverage.never().into_iter();
        let never: Vec<String> = never.map(|met| format!("{}: {}", met.table, met.name)).collect();
        let mut json = json!({
            "violations": self.violations,
            "failing_seeds": self.failing,
            "simulated_s": self.simulated.as_secs_f64(),
            "real_s": real.as_secs_f64(),
            "real_time_factor": self.factor(real),
            "events": self.events,
            "faults": faults,
            "coverage": { "counts": coverage, "never_hit": never },
        });
        if with_hash {
            json["trace_hash"] = self.trace_hash().into();
        }
        json
    }

    /// For people. `never_met`: with the list of what was never met, which is long for few seeds.
    pub(super) fn text(&self, real: Duration, never_met: bool) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<18} {value}");
        };
        let faults = self.faults();
        let all: u64 = faults.iter().map(|(_, count)| count).sum();
        let kinds = faults.iter().filter(|(_, count)| *count > 0).count();
        let simulated = Duration::from_secs(self.simulated.as_secs());
        let factor = self.factor(real);
        line("seeds", self.verdict());
        line("violations", self.violations.to_string());
        line("simulated", length::told(simulated));
        line(
            "real",
            format!("{:.1} s, {factor:.0} times as fast as real time", real.as_secs_f64()),
        );
        line("events", self.events.to_string());
        line("faults", format!("{all}, of {kinds} kind{}", plural(kinds as u64)));
        for (name, count) in faults.iter().filter(|(_, count)| *count > 0) {
            line("", format!("{count:>8}  {name}"));
        }
        let mut never: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for met in self.coverage.never().into_iter().filter(|_| never_met) {
            never.entry(met.table).or_default().push(met.name);
        }
        for (table, names) in never {
            line("never met", format!("{table}: {}", names.join(", ")));
        }
        text
    }
}

/// What stands behind a word of which there are so many.
pub(super) fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}
