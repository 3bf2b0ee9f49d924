//! How far it has come: a bar on a terminal, a line now and then elsewhere. On stderr, so that the summary stays alone.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::length;
use super::summary::plural;

/// A line that often, where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// The bar, or what stands for it.
pub(super) struct Progress {
    bar: ProgressBar,
    is_terminal: bool,
    said: Instant,
    simulated: Duration,
}

impl Progress {
    /// None of `seeds` is through.
    pub(super) fn new(seeds: u64) -> Self {
        let is_terminal = stderr().is_terminal();
        let target =
            if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        if !is_terminal {
            eprintln!("{seeds} seed{}", plural(seeds));
        }
        let bar = ProgressBar::with_draw_target(Some(seeds), target);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds  {elapsed}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, is_terminal, said: Instant::now(), simulated: Duration::ZERO }
    }

    /// One more seed is through.
    pub(super) fn one_more(&mut self, simulated: Duration) {
        self.simulated = simulated;
        self.bar.inc(1);
        self.show();
    }

    /// Time has passed within a seed.
    pub(super) fn passed(&mut self, simulated: Duration) {
        self.simulated += simulated;
        self.show();
    }

    /// Says something beside it.
    pub(super) fn say(&self, line: &str) {
        if self.is_terminal {
            self.bar.suspend(|| eprintln!("{line}"))
        } else {
            eprintln!("{line}")
        }
    }

    /// Takes it away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&mut self) {
        let simulated = Duration::from_secs(self.simulated.as_secs());
        let passed = length::told(simulated);
        if self.is_terminal {
            self.bar.set_message(format!("{passed} simulated"));
        } else if self.said.elapsed() > EVERY {
            self.said = Instant::now();
            let (through, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            eprintln!("{through} of {all} seeds, {passed} simulated");
        }
    }
}
