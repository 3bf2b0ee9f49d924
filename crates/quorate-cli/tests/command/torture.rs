//! `quorate torture` as a user meets it: what it prints, what it writes, how it exits.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn torture(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.arg("torture").args(words).output().unwrap()
}

fn json(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_summary_has_its_figures_and_counts_all_that_was_met() {
    let output = torture(&["--seeds", "0..30", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let json = json(&output);
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    let all = [
        "coverage",
        "events",
        "failing_seeds",
        "faults",
        "real_s",
        "real_time_factor",
        "simulated_s",
        "violations",
    ];
    assert_eq!(keys, all);
    assert_eq!((&json["violations"], &json["failing_seeds"]), (&0.into(), &Value::Array(vec![])));
    assert!(json["simulated_s"].as_f64() > Some(30.0) && json["events"].as_u64() > Some(1_000));
    let count = |table: &str, name: &str| json["coverage"]["counts"][table][name].as_u64();
    assert!(count("action", "send_beat") > Some(1_000), "{json:#}");
    assert!(count("node_transition", "absent to up") > Some(0), "{json:#}");
    assert!(count("lun_verb", "attach") > Some(0) && count("fault", "crash").is_some());
    let never = json["coverage"]["never_hit"].as_array().unwrap();
    assert!(never.iter().any(|one| one == "lun_failure: unsupported"), "{never:?}");
}

#[test]
fn the_trace_hash_is_the_same_however_many_seeds_run_at_once() {
    let hash = |jobs| {
        let output = torture(&["--seeds", "7..19", "--trace-hash", "--json", "--jobs", jobs]);
        json(&output)["trace_hash"].as_str().unwrap().to_owned()
    };
    assert_eq!(hash("1"), hash("3"));
    let other = torture(&["--seeds", "7..20", "--trace-hash", "--json"]);
    assert_ne!(hash("1"), json(&other)["trace_hash"].as_str().unwrap());
}

#[test]
fn a_wrong_command_line_says_what_would_be_right() {
    let wrong: [(&[&str], &str); 15] = [
        (&["--seeds", "5..3"], "A below B"),
        (&["--seeds", "x"], "A..B"),
        (&["--nodes", "65"], "2..=64"),
        (&["--kinds", "meteor"], "clock_step"),
        (&["--time", "5"], "time unit"),
        (&["--time", "3650days", "--pace", "1s"], "--time 3650days at a fault every 1s makes"),
        (&["--seed", "1", "--seeds", "1..2"], "cannot be used with"),
        (&["--kinds", "crash", "--without", "crash"], "no fault is left"),
        (&["--story"], "--story is about one seed, and 100 are to be run"),
        (&["--seeds", "3..5", "--html", "page.html"], "--html is about one seed, and 2 are"),
        (&["--seeds", "3..5", "--faults", "1"], "--faults is about one seed, and 2 are"),
        (&["--seed", "3", "--faults", "1,9999"], "--faults 9999: seed 3 has the faults 0 to "),
        (&["--seed", "3", "--faults", "1,x"], "as in 0,3,12"),
        (&["--seed", "3", "--story", "--json"], "cannot be used with"),
        (&["--jobs", "0"], "1..=1024"),
    ];
    for (words, hint) in wrong {
        let output = torture(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", said(&output));
        assert!(said(&output).contains(hint), "{words:?}: no {hint:?} in {}", said(&output));
    }
}

#[test]
fn one_seed_is_told_and_drawn_with_some_of_its_faults() {
    let home = tempfile::tempdir().unwrap();
    let page = home.path().join("seed.html");
    let page = page.to_str().unwrap();
    let output = torture(&["--seed", "3", "--faults", "1", "--story", "--html", page]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told = said(&output);
    assert!(told.contains("FAULT 1 ") && !told.contains("FAULT 0 "), "{told}");
    assert!(told.contains("faults             1, of 1 kind"), "{told}");
    assert!(std::fs::read_to_string(page).unwrap().contains("Seed 3"));

    let nowhere = Path::new("/nowhere/seed.html").to_str().unwrap();
    let output = torture(&["--seed", "3", "--html", nowhere]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(!said(&output).contains("faults "), "nothing is run in vain: {}", said(&output));
    assert!(said(&output).contains("cannot write /nowhere/seed.html"), "{}", said(&output));
}

#[test]
fn one_seed_that_passes_is_told_in_few_words() {
    let output = torture(&["--seed", "3", "--shrink"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told = said(&output);
    for line in ["1 seed\n", "seed 3 passes: there is nothing to shrink\n", "1, and it passes"] {
        assert!(told.contains(line), "no {line:?} in {told}");
    }
    assert!(!told.contains("never met"), "{told}");
    assert!(said(&torture(&["--seed", "3", "--never-met"])).contains("never met"));
    assert!(said(&torture(&["--seeds", "3..5"])).contains("never met"));
}

#[test]
fn an_interruption_sums_up_what_is_through() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(["torture", "--seeds", "0..100000000", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    stderr.read_line(&mut first).unwrap();
    assert!(first.contains("100000000 seeds"), "{first}");
    let pid = rustix::process::Pid::from_child(&child);
    // Twice, as `timeout` does: to the process, and to its group.
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(output.status.code(), Some(130), "{rest}");
    assert!(rest.contains("of 100000000 seeds are through"), "{rest}");
    assert_eq!(json(&output)["violations"], 0);
}
