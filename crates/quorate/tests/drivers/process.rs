//! The process driver, and the worker, on real processes.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use quorate::drivers::{
    Answer, Done, DriverError, DriverEvent, DriverSettings, Exit, ExitCause, Health, Request,
    Stopped, Worker,
};
use quorate_core::id::{OpId, ResourceId};
use rustix::process::Signal;
use serde_json::json;

use super::support::{BOUND, Bench, kill, runs, soon, wait_for};

fn shell(script: &str) -> Bench {
    Bench::new("process", json!({ "command": ["/bin/sh", "-c", script] }))
}

fn number_in(bench: &Bench, name: &str) -> i32 {
    wait_for("a number in a file", || bench.read(name).trim().parse().ok())
}

#[test]
fn a_process_is_told_its_cluster_and_its_exit_is_reported_at_once() {
    let mut bench =
        shell("echo $QUORATE_GROUP $QUORATE_NODE $QUORATE_EPOCH $QUORATE_LUN_DISK; exit 3")
            .with_file_lun("/data/lun".as_ref());
    bench.driver.prepare().unwrap();
    bench.driver.start(&bench.context.clone(), soon()).unwrap();
    let expected = DriverEvent::Exited { exit: Exit::Code(3), cause: ExitCause::Unexpected };
    assert_eq!(bench.report(), expected);
    assert_eq!(bench.read("output.log"), "group node1 3 /data/lun\n");
    assert!(matches!(bench.driver.looks_alive(), Health::Failed(_)));
}

#[test]
fn the_cluster_key_in_our_environment_does_not_reach_a_process() {
    let mut bench = shell("env");
    bench.driver.start(&bench.context.clone(), soon()).unwrap();
    bench.report();
    // Set by cargo for this test program; a stand-in for any secret beside it.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert!(!bench.read("output.log").contains("CARGO_MANIFEST_DIR"));
}

#[test]
fn a_stop_is_orderly_when_the_process_ends_in_time_and_a_kill_when_not() {
    let mut bench =
        shell("trap 'echo bye; exit 0' TERM; echo $$ > ready; while :; do sleep 0.01; done");
    bench.driver.start(&bench.context.clone(), soon()).unwrap();
    number_in(&bench, "ready");
    assert_eq!(bench.driver.looks_alive(), Health::Alive);
    assert_eq!(bench.driver.stop(soon()), Ok(Stopped::Orderly));
    assert!(bench.read("output.log").ends_with("bye\n"));
    let expected = DriverEvent::Exited { exit: Exit::Code(0), cause: ExitCause::Requested };
    assert_eq!(bench.report(), expected);
    assert_eq!(bench.driver.stop(soon()), Ok(Stopped::Orderly), "it has stopped already");

    let mut bench = shell("trap '' TERM; echo $$ > ready; while :; do sleep 0.01; done");
    bench.driver.start(&bench.context.clone(), soon()).unwrap();
    let process = number_in(&bench, "ready");
    let stopped = bench.driver.stop(Instant::now() + Duration::from_millis(50));
    assert_eq!(stopped, Ok(Stopped::Killed));
    assert!(!runs(process));
}

#[test]
fn a_kill_takes_the_whole_process_group_and_returns_when_it_is_gone() {
    let mut bench = shell("sh -c 'trap \"\" TERM HUP; echo $$ > child; sleep 1000' & wait");
    bench.driver.start(&bench.context.clone(), soon()).unwrap();
    let child = number_in(&bench, "child");
    let started = Instant::now();
    bench.driver.kill().unwrap();
    println!("figure: kill of a process group of 3: {:?}", started.elapsed());
    assert!(!runs(child), "a member of the group lives on");
    bench.driver.kill().unwrap();
}

#[test]
fn what_a_dead_process_left_behind_is_gone_before_it_can_be_started_again() {
    let mut bench =
        shell("sh -c 'echo $$ > child; exec sleep 1000' & while [ ! -s child ]; do :; done");
    bench.driver.start(&bench.context.clone(), soon()).unwrap();
    bench.report();
    let child = number_in(&bench, "child");
    bench.driver.kill().unwrap();
    assert!(!runs(child));
    bench.driver.start(&bench.context.clone(), soon()).unwrap();
}

#[test]
fn a_second_start_is_refused_and_harms_nothing() {
    let mut bench = shell("exec sleep 1000");
    bench.driver.start(&bench.context.clone(), soon()).unwrap();
    let error = bench.driver.start(&bench.context.clone(), soon());
    assert!(matches!(error, Err(DriverError::AlreadyRunning { .. })));
    assert_eq!(bench.driver.looks_alive(), Health::Alive);
}

#[test]
fn a_health_command_that_fails_is_reported_with_its_words() {
    let mut bench = Bench::new(
        "process",
        json!({
            "command": ["/bin/sleep", "1000"],
            "health": {
                "command": ["/bin/sh", "-c", "test ! -e sick || { echo it is sick >&2; exit 4; }"],
                "interval_ms": 20
            }
        }),
    );
    bench.driver.start(&bench.context.clone(), soon()).unwrap();
    assert_eq!(bench.driver.is_alive(soon()), Health::Alive);
    fs::write(bench.work("sick"), "").unwrap();
    let DriverEvent::HealthFailed { reason } = bench.report() else { panic!("wrong report") };
    assert_eq!(reason, "health command ended with exit code 4: it is sick");
    assert!(matches!(bench.driver.looks_alive(), Health::Failed(_)));
}

#[test]
fn a_health_command_that_hangs_is_killed_and_counts_as_failed() {
    let mut bench = Bench::new(
        "process",
        json!({
            "command": ["/bin/sleep", "1000"],
            "health": { "command": ["/bin/sh", "-c", "echo $$ > asker; exec sleep 1000"],
                        "interval_ms": 60_000, "timeout_ms": 50 }
        }),
    );
    bench.driver.start(&bench.context.clone(), soon()).unwrap();
    let Health::Failed(reason) = bench.driver.is_alive(soon()) else { panic!("it hangs") };
    assert!(reason.contains("did not end within"), "{reason}");
    assert!(!runs(number_in(&bench, "asker")));
}

#[test]
fn what_cannot_work_is_refused_with_the_remedy() {
    let mut bench = Bench::new("process", json!({ "command": ["/nowhere/program"] }));
    let error = bench.driver.prepare().unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/program not found or not executable"), "{error}");
    let refusal = |value| DriverSettings::from_json("process", value).unwrap_err().to_string();
    assert!(refusal(json!({ "command": [] })).contains("command is empty"));
    assert!(
        refusal(json!({ "command": ["a"], "stop_signal": "STOP" })).contains("unknown variant")
    );
    let error = refusal(json!({ "command": ["a"], "environment": { "QUORATE_NODE": "x" } }));
    assert!(error.contains("QUORATE_NODE"), "{error}");
    let error = bench.driver.save(&mut |_: &mut dyn Read| Ok(()), soon()).unwrap_err();
    assert_eq!(error, DriverError::SaveUnsupported { driver: "process" });
}

#[test]
fn a_worker_answers_each_request_and_a_kill_overtakes_what_hangs() {
    let bench = shell("trap '' TERM; echo $$ > ready; while :; do sleep 0.01; done");
    let context = Box::new(bench.context.clone());
    let Bench { driver, directory, reports, .. } = bench;
    let (sender, answers) = unbounded();
    let worker = Worker::spawn(ResourceId(1), driver, sender).unwrap();
    let answer = || -> Answer { answers.recv_timeout(BOUND).unwrap() };
    let start = || Request::Start { context: context.clone(), deadline: soon() };

    worker.request(OpId(1), start()).unwrap();
    assert_eq!(answer().result, Ok(Done::Started));
    wait_for("the process", || fs::read(directory.path().join("work/ready")).ok());
    worker.request(OpId(2), Request::Stop { deadline: soon() }).unwrap();
    worker.request(OpId(3), start()).unwrap();
    let killed = Instant::now();
    worker.kill(OpId(4)).unwrap();
    assert_eq!(answer().op, OpId(2));
    assert_eq!(
        answer(),
        Answer { resource: ResourceId(1), op: OpId(3), result: Err(DriverError::Cancelled) }
    );
    assert_eq!(answer(), Answer { resource: ResourceId(1), op: OpId(4), result: Ok(Done::Killed) });
    assert!(killed.elapsed() < BOUND / 4, "it did not wait for the stop's own time-out");
    assert!(matches!(reports.recv_timeout(BOUND).unwrap().event, DriverEvent::Exited { .. }));

    worker.request(OpId(5), start()).unwrap();
    assert_eq!(answer().result, Ok(Done::Started), "after a kill it can be started again");
    let process = wait_for("the process", || {
        fs::read_to_string(directory.path().join("work/ready")).ok()?.trim().parse().ok()
    });
    drop(worker);
    assert!(!runs(process), "nothing outlives its worker");
}

/// Not a test: the body of the program that the next test kills.
#[test]
#[ignore = "the helper of another test"]
fn helper_that_starts_a_process_and_waits() {
    let Some(name) = std::env::var_os("QUORATE_TEST_PID_FILE") else { return };
    let mut bench = shell(&format!("echo $$ > {}; exec sleep 1000", name.to_str().unwrap()));
    bench.driver.start(&bench.context.clone(), soon()).unwrap();
    bench.reports.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_process_dies_with_the_program_that_embeds_us() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let mut helper = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "process::helper_that_starts_a_process_and_waits"])
        .env("QUORATE_TEST_PID_FILE", &file)
        .env("TMPDIR", directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let child: i32 = wait_for("the child", || fs::read_to_string(&file).ok()?.trim().parse().ok());
    assert!(runs(child));
    let killed = Instant::now();
    kill(i32::try_from(helper.id()).unwrap(), Signal::KILL);
    wait_for("the child's end", || (!runs(child)).then_some(()));
    println!("figure: kill -9 of the embedding program to the child's end: {:?}", killed.elapsed());
    helper.wait().unwrap();
}
