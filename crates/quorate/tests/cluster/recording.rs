//! What nodes have recorded is lived again, and comes to the same. Every other test here checks that too, at its end.

use std::path::Path;
use std::time::Duration;

use quorate::{
    Error, Item, Node, NoticeKind, RecordOptions, ReplayOptions, ReplayReport, ReplayStep, replay,
};

use super::trio::{PATIENCE, Trio, notices, wait_for, wait_notice};

fn replayed(path: &Path) -> (ReplayReport, Vec<ReplayStep>) {
    replay(path, &ReplayOptions::default()).unwrap()
}

/// What the engine told while it ran; the rest is told by the node around it.
fn told_by_engine(kind: NoticeKind) -> bool {
    use NoticeKind::{Completed, ConnectionRefused, Ended, LunTrouble, Requested, Started};
    ![Completed, ConnectionRefused, Ended, LunTrouble, Requested, Started].contains(&kind)
}

#[test]
fn a_failover_is_lived_again_and_told_with_its_causes() {
    let mut trio = Trio::with_counter();
    let owner = trio.wait_online("counter", None);
    trio.kill(owner);
    let next = trio.wait_online("counter", Some(owner));
    let live = notices(trio.node(next));
    trio.node(next).kill();
    let (report, steps) = replayed(&trio.recordings(next)[0]);
    assert!(report.reproduced, "{report:?}");
    assert_eq!((report.ending, report.node), (Some("closed"), format!("n{next}")));

    let again: Vec<String> =
        steps.iter().flat_map(|s| &s.notices).map(|n| n.text.clone()).collect();
    let live: Vec<String> =
        live.into_iter().filter(|n| told_by_engine(n.kind)).map(|n| n.text).collect();
    assert!(again.starts_with(&live), "live {live:#?}\nagain {again:#?}");

    let down = format!("n{owner} is down");
    let fact = |step: &&ReplayStep| step.notices.iter().any(|n| n.text.starts_with(&down));
    let found = steps.iter().find(fact).unwrap_or_else(|| panic!("no {down} in {again:#?}"));
    assert!(!found.because.is_empty() && found.step > 0);
    let start = steps.iter().flat_map(|s| &s.actions).find(|a| a.starts_with("start counter"));
    assert!(start.is_some(), "{steps:#?}");
}

#[test]
fn a_replay_stops_where_it_is_told_and_shows_what_the_node_knew() {
    let mut trio = Trio::with_counter();
    let owner = trio.wait_online("counter", None);
    trio.kill(owner);
    trio.wait_online("counter", Some(owner));
    let path = trio.recordings(owner)[0].clone();
    let stop_at = Some(NoticeKind::Joined);
    let (report, steps) = replay(&path, &ReplayOptions { stop_at, ..Default::default() }).unwrap();
    let joined = steps.last().unwrap();
    assert!(joined.notices.iter().any(|notice| notice.kind == NoticeKind::Joined));
    assert_eq!((report.ending, report.steps), (None, joined.step));

    let options = ReplayOptions { stop_at_step: Some(7), all: true, ..Default::default() };
    let (report, steps) = replay(&path, &options).unwrap();
    assert_eq!((report.steps, steps.len()), (7, 7));
    let until = Some(Duration::from_nanos(steps[4].at_ns));
    let (report, _) = replay(&path, &ReplayOptions { until, ..Default::default() }).unwrap();
    assert_eq!(report.steps, 5);
}

#[test]
fn two_recordings_are_kept_and_nobody_else_may_read_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut trio = Trio::with_groups(|_| vec![]);
    for _ in 0..4 {
        trio.start(1);
        trio.kill(1);
    }
    let kept = trio.recordings(1);
    assert_eq!(kept.len(), 2);
    for path in kept {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let mut options = trio.options(1);
    options.record = None;
    trio.run(1, options);
    trio.kill(1);
    assert_eq!(trio.recordings(1).len(), 2, "without a recorder nothing is written");
}

#[test]
fn a_full_recording_ends_with_a_notice_and_the_node_runs_on() {
    let mut trio = Trio::with_groups(|_| vec![]);
    let mut options = trio.options(1);
    options.record = Some(RecordOptions { bytes_max: 1_000, ..Default::default() });
    trio.run(1, options);
    let ended = wait_notice(trio.node(1), NoticeKind::RecordingEnded, |_| true);
    assert!(ended.text.contains("reached 1000 bytes"), "{}", ended.text);
    assert!(trio.node(1).status().is_ok());
    trio.kill(1);
    let (report, _) = replayed(&trio.recordings(1)[0]);
    assert_eq!((report.reproduced, report.ending), (true, Some("full")));
}

#[test]
fn a_node_whose_recording_cannot_be_written_says_so_and_runs() {
    let mut trio = Trio::with_groups(|_| vec![]);
    let file = trio.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut options = trio.options(1);
    options.record = Some(RecordOptions { dir: Some(file.clone()), ..Default::default() });
    trio.run(1, options);
    let ended = wait_notice(trio.node(1), NoticeKind::RecordingEnded, |_| true);
    assert!(ended.text.contains(file.to_str().unwrap()), "{}", ended.text);
    assert!(trio.node(1).status().is_ok());
}

#[test]
fn an_engine_that_panicked_leaves_a_recording_that_says_so() {
    let mut trio = Trio::with_groups(|_| vec![]);
    trio.start(1);
    trio.node(1).panic_engine().unwrap();
    wait_for("the end", || ended(trio.node(1)));
    trio.kill(1);
    let (report, _) = replayed(&trio.recordings(1)[0]);
    assert_eq!((report.reproduced, report.ending), (true, Some("panicked")));
}

fn ended(node: &Node) -> bool {
    loop {
        match node.take() {
            Ok(Some(Item::Notice(_) | Item::Request(_) | Item::Answer(_))) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

#[test]
fn what_is_no_recording_is_refused_with_its_path_and_place() {
    let mut trio = Trio::with_groups(|_| vec![]);
    trio.start(1);
    let log = trio.state_dir(1).join("quorate.log");
    let options = ReplayOptions::default();
    let error = replay(&log, &options).unwrap_err();
    assert_eq!(error.code(), "recording");
    let text = error.to_string();
    assert!(text.contains("quorate.log: byte 0: this is not the beginning"), "{text}");
    let error = replay(trio.dir.path(), &options).unwrap_err().to_string();
    assert!(error.ends_with("this is no file"), "{error}");
    assert!(matches!(replay("/nowhere".as_ref(), &options), Err(Error::Recording { .. })));
    trio.node(1).leave(PATIENCE).unwrap_or_else(|error| assert_eq!(error.code(), "ended"));
}
