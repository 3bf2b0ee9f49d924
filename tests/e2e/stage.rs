//! What every story needs: namespaces, a lab, the command to run, and the judge at the end.

use std::path::{Path, PathBuf};
use std::process::Command;

use quorate_cli::demo::{Judgement, Story, judge};
use quorate_cli::lab::{Ground, GuestLine, Lab, LabError, Parts, Plan, Seen, Sighting};
use quorate_cli::writes::{self, Write};

/// Names the command under test; by default what `cargo build -p quorate-cli` leaves.
const PROGRAM: &str = "QUORATE_PROGRAM";
/// Names the same command with the feature `test-switches`, for the negative control.
const SWITCHED_PROGRAM: &str = "QUORATE_SWITCHED_PROGRAM";

/// A story under way.
pub(crate) struct Stage {
    pub(crate) story: Story,
}

impl Stage {
    /// The nonces of the guest's boots, in order.
    pub(crate) fn boots(&mut self) -> Vec<u64> {
        let boot = |it: &Sighting| match it.what {
            Seen::Guest(GuestLine::Boot { nonce, .. }) => Some(nonce),
            _ => None,
        };
        self.story.lab().sightings().iter().filter_map(boot).collect()
    }

    /// Whether a node has told something of this kind.
    pub(crate) fn has_told(&mut self, node: usize, kind: &str) -> bool {
        let mut mine = self.story.lab().sightings().iter().filter(|it| it.node == node);
        mine.any(|it| it.notice().is_some_and(|notice| notice.kind == kind))
    }

    /// Every write so far, node by node.
    pub(crate) fn writes(&mut self) -> Result<Vec<Write>, LabError> {
        let read = |path: PathBuf| {
            writes::read(&path)
                .map_err(|error| LabError::system(format!("{}", path.display()), error))
        };
        let logs: Result<Vec<_>, _> = self.story.lab().write_logs().into_iter().map(read).collect();
        Ok(logs?.into_iter().flatten().collect())
    }

    /// Ends every node and judges what happened.
    pub(crate) fn judge(&mut self) -> Result<Judgement, LabError> {
        let lab = self.story.lab();
        lab.end()?;
        judge(lab)
    }

    /// Demands that no write was lost or doubled.
    pub(crate) fn is_clean(&mut self) -> Result<(), LabError> {
        let judgement = self.judge()?;
        println!("{judgement:?}");
        for found in self.story.moves() {
            println!("{}", serde_json::to_string(&found.summary()).expect("figures encode"));
        }
        assert_eq!(judgement.complaint(), None);
        Ok(())
    }
}

/// Plays a story in namespaces of its own, in this very test started again inside of them.
#[track_caller]
pub(crate) fn on_stage(parts: Parts, act: impl FnOnce(&mut Stage) -> Result<(), LabError>) {
    play(program, parts, vec![], act);
}

/// As [`on_stage`], on real parts whose reservations nobody heeds.
#[track_caller]
pub(crate) fn on_lawless_stage(act: impl FnOnce(&mut Stage) -> Result<(), LabError>) {
    let switch = ("QUORATE_TEST_IGNORE_RESERVATIONS".to_owned(), "1".to_owned());
    play(|| find(SWITCHED_PROGRAM, "quorate-switched"), Parts::Real, vec![switch], act);
}

#[track_caller]
fn play<A: FnOnce(&mut Stage) -> Result<(), LabError>>(
    program: impl FnOnce() -> PathBuf,
    parts: Parts,
    environment: Vec<(String, String)>,
    act: A,
) {
    if !Ground::is_inside() {
        // A closure is named after the test that it stands in.
        let name = std::any::type_name::<A>().trim_end_matches("::{{closure}}");
        return play_inside(name.split_once("::").map_or(name, |(_crate, test)| test));
    }
    let ground = Ground::here("").expect("these are our own namespaces");
    let told = |sighting: Option<&Sighting>| {
        let Some(Sighting { at, node, what }) = sighting else { return };
        let text = match what {
            Seen::Guest(GuestLine::Tick { .. }) => return,
            Seen::Notice(notice) => notice.text.clone(),
            Seen::Said(text) => text.clone(),
            Seen::Guest(line) => format!("guest: {line:?}"),
            Seen::Fault(fault) => format!("FAULT: {fault:?}"),
        };
        println!("{:.3} n{}: {text}", at.0 as f64 / 1e9, node + 1);
    };
    let plan = Plan { program: program(), parts, profile: "fast".into(), environment };
    let played = Lab::build(plan, ground, Box::new(told))
        .and_then(Story::begin)
        .and_then(|story| act(&mut Stage { story }));
    if let Err(error) = played {
        panic!("{error}");
    }
}

/// Starts this test again in namespaces; it passes or fails as that one does.
#[track_caller]
fn play_inside(test: &str) {
    let this = std::env::current_exe().expect("a test knows its program");
    let mut inside = match Ground::command("setpriv") {
        Ok(inside) => inside,
        Err(why) => panic!("these stories need namespaces, which are not to be had here: {why}"),
    };
    inside.args(["--pdeathsig", "KILL"]).arg(this).args(["--exact", test, "--nocapture"]);
    let status = inside.status().expect("unshare is there, the probe ran it");
    assert!(status.success(), "{test} failed in its namespaces");
}

/// The command under test.
#[track_caller]
pub(crate) fn program() -> PathBuf {
    find(PROGRAM, "quorate")
}

#[track_caller]
fn find(variable: &str, name: &str) -> PathBuf {
    let built = || {
        let this = std::env::current_exe().expect("a test knows its program");
        // target/debug/deps/e2e-…, beside which cargo puts the command.
        this.ancestors().nth(2).unwrap_or(Path::new("")).join(name)
    };
    let program = std::env::var_os(variable).map_or_else(built, PathBuf::from);
    let answers = Command::new(&program).arg("--version").output();
    assert!(
        answers.is_ok_and(|output| output.status.success()),
        "{} is missing: run tests/e2e/run.sh, which builds it",
        program.display()
    );
    program
}
