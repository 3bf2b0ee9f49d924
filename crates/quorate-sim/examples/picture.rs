//! Writes the picture of a seed.
//!
//!     cargo run -p quorate-sim --example picture -- SEED FILE [NODES GROUPS [DURATION]]
//!
//! `DURATION` is how long faults happen, in detection times.

#![expect(
    clippy::disallowed_methods,
    reason = "an example is called with arguments and writes a file"
)]

use std::process::ExitCode;

use quorate_sim::picture::{Cast, Picture};
use quorate_sim::{Options, run};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u32>().ok());
    let (Some(seed), Some(file)) = (number(0), words.get(1)) else {
        eprintln!("usage: picture SEED FILE [NODES GROUPS [DURATION]]");
        return ExitCode::FAILURE;
    };
    let mut options = Options { timeline: true, groups: number(3), ..Options::default() };
    options.nodes = number(2).and_then(|nodes| u16::try_from(nodes).ok());
    options.duration = number(4).unwrap_or(options.duration);
    let outcome = run(u64::from(seed), &options);
    let verdict = if outcome.is_clean() { "nothing was broken" } else { "BROKEN" };
    let picture = Picture {
        title: format!("Seed {seed}: {verdict}"),
        remarks: vec![outcome.cluster.clone()],
        cast: Cast::of(&outcome.config),
        entries: &outcome.timeline,
        ..Picture::default()
    };
    match std::fs::write(file, picture.html()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{file}: {error}");
            ExitCode::FAILURE
        }
    }
}
