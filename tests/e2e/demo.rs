//! The demo as a user runs it: what it says, how it ends, and that nothing of it is left.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stage::program;

/// How long the demo may take, on a machine that does other things too.
const DEMO_MAX: Duration = Duration::from_secs(60);

/// The demo in a temporary directory of its own, killed when dropped.
struct Demo {
    child: Child,
    home: tempfile::TempDir,
}

impl Demo {
    fn start(words: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let child = Command::new(program())
            .arg("demo")
            .args(words)
            .arg("--summary")
            .arg(home.path().join("out/summary.json"))
            .env("TMPDIR", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the command was just asked for its version");
        Self { child, home }
    }

    /// Reads what it prints up to a line with `word`.
    fn wait_for_line(&mut self, word: &str) {
        let output = self.child.stdout.as_mut().expect("it was piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(word)), "the demo ended before it said {word:?}");
    }

    fn wait_for_end(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        if let Some(output) = &mut self.child.stdout {
            output.read_to_string(&mut said).expect("it prints text");
        }
        let end = Instant::now() + DEMO_MAX;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return (status.code(), said);
            }
            std::thread::yield_now();
        }
        panic!("the demo does not end: {said}");
    }

    fn summary(&self) -> Value {
        let path = self.home.path().join("out/summary.json");
        let text = std::fs::read_to_string(path).expect("the demo wrote its figures");
        serde_json::from_str(&text).expect("in JSON")
    }

    /// Waits until no process names the directory; then nothing but the figures may be in it.
    fn wait_until_nothing_is_left(&self) {
        let home = self.home.path().to_str().expect("a plain name");
        let end = Instant::now() + Duration::from_secs(10);
        while let Some(left) = process_with(home) {
            assert!(Instant::now() < end, "still there: {left}");
            std::thread::yield_now();
        }
    }

    fn has_only_figures(&self) -> bool {
        let entries = std::fs::read_dir(self.home.path()).expect("it is ours");
        entries.flatten().all(|entry| entry.file_name() == "out")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command line of a process that has `word` in it.
fn process_with(word: &str) -> Option<String> {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").expect("this is Linux");
    entries.flatten().filter(|entry| entry.file_name() != own.as_str()).find_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(word).then_some(line)
    })
}

#[track_caller]
fn assert_figures(summary: &Value, kinds: &[&str]) {
    let moves = summary["moves"].as_array().expect("a list");
    let found: Vec<&str> = moves.iter().filter_map(|found| found["kind"].as_str()).collect();
    assert_eq!(found, kinds, "{summary}");
    for found in moves {
        assert!(found["outage_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{found}");
    }
    assert!(summary["acked_writes"].as_u64() > Some(10), "{summary}");
    assert_eq!((&summary["lost_writes"], &summary["doubled_writes"]), (&0.into(), &0.into()));
}

#[test]
fn the_demo_shows_every_move_and_leaves_only_its_figures() {
    let mut demo = Demo::start(&[]);
    let (code, said) = demo.wait_for_end();
    assert_eq!(code, Some(0), "{said}");
    for words in ["(a) a planned move", "(b) kill -9", "(c) the owner's", "(d) the cut", "0 lost"] {
        assert!(said.contains(words), "no {words:?} in: {said}");
    }
    assert_figures(&demo.summary(), &["quick", "kill", "isolate"]);
    demo.wait_until_nothing_is_left();
    assert!(demo.has_only_figures());
}

#[test]
fn without_namespaces_the_demo_shows_what_it_can_and_says_so() {
    let mut demo = Demo::start(&["--plain", "--loopback"]);
    let (code, said) = demo.wait_for_end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("(c) and (d) are left out"), "{said}");
    assert_figures(&demo.summary(), &["quick", "kill"]);
    demo.wait_until_nothing_is_left();
    assert!(demo.has_only_figures());
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    for (signal, words) in [("INT", &[][..]), ("TERM", &["--plain", "--loopback"])] {
        let mut demo = Demo::start(words);
        demo.wait_for_line("record 1");
        let id = demo.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.expect("kill is there").success());
        assert_eq!(demo.wait_for_end().0, Some(130));
        demo.wait_until_nothing_is_left();
        assert!(demo.has_only_figures() && !Path::new(demo.home.path()).join("out").exists());
    }
}

#[test]
fn a_killed_demo_leaves_no_process_behind() {
    let mut demo = Demo::start(&[]);
    demo.wait_for_line("record 1");
    demo.child.kill().expect("it runs");
    demo.wait_until_nothing_is_left();
}
