//! Every story in `scenarios/`: the engine lives through it, and comes to what the story expects.

use std::fs;
use std::path::{Path, PathBuf};

use quorate_sim::scenario::{Answer, Format, Scenario, judge};

/// What each story is run with.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;

fn stories() -> Vec<(PathBuf, Scenario)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = fs::read_dir(&folder).expect("tests/scenarios is there");
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let story = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("it can be read");
        let format = Format::of_name(&path.to_string_lossy());
        let scenario = Scenario::parse(&text, format);
        let scenario = scenario.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, scenario)
    };
    paths.into_iter().map(story).collect()
}

#[test]
fn every_story_comes_to_what_it_expects_with_every_seed() {
    let mut complaints = Vec::new();
    for (path, scenario) in stories() {
        let file = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        assert_eq!(scenario.id, file, "a story has the name of its file");
        assert!(scenario.expect.is_some(), "{file} expects nothing");
        for seed in SEEDS {
            match scenario.run(seed, false).answer {
                Answer::Ran(outcome) => {
                    let lines = judge(&outcome, scenario.expect.as_ref());
                    complaints
                        .extend(lines.iter().map(|line| format!("{file}, seed {seed}: {line}")));
                }
                Answer::Skipped { skipped, .. } => panic!("{file} is skipped: {skipped}"),
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_outcome_and_another_does_not() {
    let (_, scenario) =
        stories().into_iter().find(|(_, one)| one.id == "double-fault").expect("it is there");
    let outcome =
        |seed| serde_json::to_string(&scenario.run(seed, false).answer).expect("it is data");
    assert_eq!(outcome(3), outcome(3));
    assert_ne!(outcome(3), outcome(4));
}

/// A judge that never complains proves nothing.
#[test]
fn an_expectation_that_does_not_come_true_is_seen() {
    let text = include_str!("scenarios/lost-node.json");
    let wrong = [
        (r#""running_on": ["alder"]"#, r#""running_on": ["birch"]"#),
        (r#""owner": "birch""#, r#""owner": "cedar""#),
        (r#"[["group_killed", "ledger", "birch"]"#, r#"[["group_killed", "atlas", "birch"]"#),
        (r#"["group_started", "archive"]"#, r#"["group_started", "ledger"]"#),
        (r#""nodes": {"alder": "online""#, r#""nodes": {"alder": "paused""#),
    ];
    for (from, to) in wrong {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let scenario = Scenario::parse(&changed, Format::Json).expect("it is still a scenario");
        let Answer::Ran(outcome) = scenario.run(1, false).answer else { panic!("it is skipped") };
        assert!(!judge(&outcome, scenario.expect.as_ref()).is_empty(), "{from} -> {to}");
    }
}
