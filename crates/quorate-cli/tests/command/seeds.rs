//! Every seed that ever failed: nothing is broken in any.

use clap::Parser as _;
use quorate_cli::arguments::{Arguments, Command};
use quorate_cli::torture::Torture;
use quorate_sim::{Faults, Options, run};

/// Every seed that ever failed, as the command that `quorate torture` printed.
fn failed() -> impl Iterator<Item = (&'static str, Torture)> {
    let lines = include_str!("seeds.txt").lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| match Arguments::try_parse_from(line.split_whitespace()) {
        Ok(Arguments { command: Command::Torture(torture) }) => (line, torture),
        Ok(_) => panic!("{line}: another command"),
        Err(error) => panic!("{line}: {error}"),
    })
}

/// Nothing but a seed is given.
fn is_plain(line: &str) -> bool {
    line.split_whitespace().count() == "quorate torture --seed 1 --story".split(' ').count()
}

/// Runs the seeds and demands that all are clean.
fn clean(seeds: impl Iterator<Item = (String, u64, Options)>) {
    let broken: Vec<String> = seeds
        .filter_map(|(line, seed, options)| {
            let violations = run(seed, &options).violations;
            let found: Vec<String> = violations.iter().map(ToString::to_string).collect();
            (!found.is_empty()).then(|| format!("{line}: {found:?}"))
        })
        .collect();
    assert!(broken.is_empty(), "{} seeds are broken:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn each_is_kept_as_it_was_printed() {
    for (line, torture) in failed() {
        assert_eq!(torture.again(torture.seeds().start, None, None), line);
    }
}

#[test]
fn every_seed_that_ever_failed_is_clean() {
    clean(failed().map(|(line, torture)| {
        let options = torture.options().expect("it was run once");
        (line.to_owned(), torture.seeds().start, Options { story: false, ..options })
    }));
}

#[test]
fn each_is_clean_in_turn_through_the_faults_too() {
    clean(failed().filter(|(line, _)| is_plain(line)).map(|(_, torture)| {
        let seed = torture.seeds().start;
        let options = Options { faults: Faults::turn(seed), ..Options::default() };
        (format!("cargo run -p quorate-sim --example replay -- {seed} turn"), seed, options)
    }));
}
