//! Bad scenarios: each is refused with the place, and nothing that is thrown at the reader breaks it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate_core::random::Random;
use quorate_sim::scenario::{FILE_MAX, Format, Scenario, ScenarioError, Story};

/// Mutants of each file.
const MUTANTS: u64 = 250;
/// So many mutants that are still scenarios are run, too.
const RUNS: usize = 40;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for name in ["scenarios", "hostile"] {
        let entries = fs::read_dir(folder(name)).expect("the folder is there");
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
            files.push((name, fs::read(&path).expect("it can be read")));
        }
    }
    files.sort();
    files
}

/// An error names its place, in bounds.
fn assert_named(error: &ScenarioError, file: &str) {
    assert!(!error.place.is_empty() && !error.problem.is_empty(), "{file}: {error}");
    assert!(error.to_string().len() < 20_000, "{file}: the error is itself a flood");
}

#[test]
fn every_bad_file_is_refused_with_its_place_and_the_reason() {
    let table = fs::read_to_string(folder("hostile/expected.tsv")).expect("the table is there");
    let listed: Vec<&str> = table.lines().filter_map(|line| line.split('\t').next()).collect();
    for entry in fs::read_dir(folder("hostile")).expect("the folder is there") {
        let name = entry.expect("it can be read").file_name().to_string_lossy().into_owned();
        assert!(name == "expected.tsv" || listed.contains(&name.as_str()), "{name} is not listed");
    }
    for line in table.lines() {
        let [name, place, words] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line:?} is not a line of the table");
        };
        let text = fs::read_to_string(folder("hostile").join(name)).expect("it can be read");
        let Err(error) = Scenario::parse(&text, Format::of_name(name)) else {
            panic!("{name} is accepted");
        };
        assert_named(&error, name);
        assert!(error.place.starts_with(place), "{name}: {place} expected: {error}");
        assert!(error.to_string().contains(words), "{name}: {words} expected: {error}");
    }
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let text = " ".repeat(FILE_MAX + 1);
    let error = Scenario::parse(&text, Format::Json).unwrap_err();
    assert!(error.to_string().contains("too many"), "{error}");
    let nodes: Vec<String> = (0..20_000).map(|at| format!("{{\"name\": \"n{at}\"}}")).collect();
    let text = format!(
        r#"{{"format": "failover-scenario/1", "id": "x", "kind": "timeline", "nodes": [{}]}}"#,
        nodes.join(",")
    );
    let error = Scenario::parse(&text, Format::Json).unwrap_err();
    assert_eq!(error.place, "nodes");
}

#[test]
fn no_mutant_breaks_the_reader_or_the_run() {
    let files = files();
    let mut random = Random::new(20);
    let mut runs = 0;
    for (name, bytes) in &files {
        for _ in 0..MUTANTS {
            let mutant = mutate(&mut random, bytes, &files);
            let text = String::from_utf8_lossy(&mutant);
            match Scenario::parse(&text, Format::of_name(name)) {
                Err(error) => assert_named(&error, name),
                Ok(scenario) if runs < RUNS && is_short(&scenario) && random.chance(1, 25) => {
                    runs += 1;
                    scenario.run(1, false);
                }
                Ok(_) => {}
            }
        }
    }
    assert!(runs > RUNS / 2, "only {runs} mutants were scenarios");
}

/// Days of virtual time cost seconds of ours.
fn is_short(scenario: &Scenario) -> bool {
    match &scenario.story {
        Story::Timeline { steps, .. } => {
            steps.last().is_none_or(|step| step.at < Duration::from_secs(2_000))
        }
        Story::Snapshot { .. } => true,
    }
}

/// Words that stand in scenarios, in the wrong place more often than not.
const WORDS: [&str; 12] = [
    "null", "-1", "1e308", "\"inf\"", "[]", "{}", "\"n1\"", "true", ",", "\"", "\\u0000",
    "\"-inf\"",
];

fn mutate(random: &mut Random, bytes: &[u8], files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut mutant = bytes.to_vec();
    for _ in 0..1 + random.below(3) {
        let at = random.below(mutant.len() as u64 + 1) as usize;
        let end = (at + random.below(40) as usize).min(mutant.len());
        match random.below(6) {
            0 if at < mutant.len() => mutant[at] ^= 1 << random.below(8),
            1 => drop(mutant.drain(at..end)),
            2 => {
                let piece = mutant[at..end].to_vec();
                mutant.splice(at..at, piece);
            }
            3 => {
                let word = WORDS[random.below(WORDS.len() as u64) as usize];
                mutant.splice(at..end, word.bytes());
            }
            4 => {
                let other = &files[random.below(files.len() as u64) as usize].1;
                let from = random.below(other.len() as u64 + 1) as usize;
                let piece = other[from..(from + 60).min(other.len())].to_vec();
                mutant.splice(at..end, piece);
            }
            _ => swap_digit(random, &mut mutant),
        }
    }
    mutant
}

/// One digit becomes another: the file mostly stays a scenario.
fn swap_digit(random: &mut Random, mutant: &mut [u8]) {
    let digits: Vec<usize> = (0..mutant.len()).filter(|&at| mutant[at].is_ascii_digit()).collect();
    if !digits.is_empty() {
        let at = digits[random.below(digits.len() as u64) as usize];
        mutant[at] = b'0' + random.below(10) as u8;
    }
}
