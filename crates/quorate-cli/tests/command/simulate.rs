//! `quorate simulate` as a user meets it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const STORY: &str = include_str!("../../../../tests/scenarios/lost-node.json");

fn simulate(home: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.arg("simulate").args(words).current_dir(home).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("story.json"), STORY).unwrap();
    home
}

#[test]
fn a_story_is_answered_with_one_line_that_its_seed_alone_decides() {
    let home = home();
    let first = simulate(home.path(), &["story.json", "--seed", "7", "--check"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let line = stdout(&first);
    assert_eq!(line.lines().count(), 1);
    let outcome: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(outcome["id"], "lost-node");
    assert_eq!(outcome["final"]["groups"]["ledger"]["running_on"][0], "cedar");
    assert_eq!(outcome["violations"], serde_json::json!([]));
    assert_eq!(line, stdout(&simulate(home.path(), &["story.json", "--seed", "7"])));
    assert_ne!(line, stdout(&simulate(home.path(), &["story.json", "--seed", "8"])));
}

#[test]
fn a_trace_and_a_picture_are_written_on_demand() {
    let home = home();
    let words = ["story.json", "--trace", "trace.txt", "--html", "run.html"];
    let output = simulate(home.path(), &words);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let trace = fs::read_to_string(home.path().join("trace.txt")).unwrap();
    assert!(trace.starts_with("== lost-node\n") && trace.contains("fenced"), "{trace}");
    assert!(fs::read_to_string(home.path().join("run.html")).unwrap().contains("birch"));

    fs::remove_file(home.path().join("run.html")).unwrap();
    let output = simulate(home.path(), &["story.json", "none.json", "--html", "run.html"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("none.json") && stderr(&output).contains("name a scenario"));
    assert!(!home.path().join("run.html").exists(), "it would not be that of the last one");

    for option in ["--html", "--trace"] {
        let output = simulate(home.path(), &["story.json", option, "/nowhere/run"]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("cannot write /nowhere/run"), "{}", stderr(&output));
        assert!(output.stdout.is_empty(), "nothing is run in vain");
    }
}

#[test]
fn a_bad_file_is_named_with_the_place_inside_and_does_not_keep_the_others_from_running() {
    let home = home();
    let bad = STORY.replace("\"disabled\"", "\"dis-abled\"");
    fs::write(home.path().join("bad.json"), bad).unwrap();
    let output = simulate(home.path(), &["bad.json", "story.json", "none.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output).lines().count(), 1);
    let said = stderr(&output);
    assert!(said.contains("bad.json: groups[2].desired: \"dis-abled\" is none of"), "{said}");
    assert!(said.contains("none.json: "), "{said}");
    fs::write(home.path().join("binary.json"), [0xff, 0xfe, 0]).unwrap();
    let output = simulate(home.path(), &["binary.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("byte 0 is not UTF-8"), "{}", stderr(&output));
}

#[test]
fn what_is_not_as_expected_fails_a_check_and_nothing_else() {
    let home = home();
    let wrong = STORY.replace("\"running_on\": [\"cedar\"]", "\"running_on\": [\"alder\"]");
    fs::write(home.path().join("wrong.json"), wrong).unwrap();
    assert_eq!(simulate(home.path(), &["wrong.json"]).status.code(), Some(0));
    let output = simulate(home.path(), &["wrong.json", "--check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("wrong.json: final: group ledger"), "{}", stderr(&output));
}

#[test]
fn an_expectation_that_cannot_be_is_refused_by_a_check_alone() {
    let home = home();
    let wrong = STORY.replace("\"status\": \"online\"", "\"status\": \"alive\"");
    assert_ne!(wrong, STORY);
    fs::write(home.path().join("wrong.json"), wrong).unwrap();
    assert_eq!(simulate(home.path(), &["wrong.json"]).status.code(), Some(0));
    let output = simulate(home.path(), &["wrong.json", "--check"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("wrong.json: expect.final.groups.atlas.status: \"alive\""), "{said}");
}

/// A story in `more.json` that asks for what the engine lacks.
fn tell_of_what_is_lacking(home: &Path) {
    let name = |number: u32| format!("{{\"name\": \"more-{number}\"}}, ");
    let nodes: String = (0..64).map(name).collect();
    let more = STORY.replacen("\"nodes\": [", &format!("\"nodes\": [{nodes}"), 1);
    assert_ne!(more, STORY);
    fs::write(home.join("more.json"), more).unwrap();
}

#[test]
fn a_skipped_story_is_no_checked_one() {
    let home = home();
    tell_of_what_is_lacking(home.path());
    let output = simulate(home.path(), &["more.json", "--check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("skipped: "), "{}", stderr(&output));
}

#[test]
fn a_picture_has_the_times_of_the_facts() {
    let home = home();
    let output = simulate(home.path(), &["story.json", "--html", "run.html"]);
    let outcome: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let page = fs::read_to_string(home.path().join("run.html")).unwrap();
    for fact in outcome["facts"].as_array().unwrap() {
        let (at, name) = (fact[0].as_f64().unwrap(), fact[1].as_str().unwrap());
        let millis = (at * 1_000.0) as u64;
        let (minutes, seconds, part) = (millis / 60_000, millis / 1_000 % 60, millis % 1_000);
        let at = match minutes {
            0 => format!(">{seconds}.{part:03}</button>"),
            _ => format!(">{minutes}:{seconds:02}.{part:03}</button>"),
        };
        assert!(page.contains(&at), "no {name} at {at}");
    }
}

#[test]
fn what_the_engine_lacks_is_skipped_with_its_name() {
    let home = home();
    tell_of_what_is_lacking(home.path());
    let output = simulate(home.path(), &["more.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let outcome: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(outcome["skipped"], "more than 64 nodes");
    assert_eq!(outcome["id"], "lost-node");
}
