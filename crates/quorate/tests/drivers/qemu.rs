//! The qemu driver on a real QEMU with the test guest.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use quorate::drivers::{
    AfterSave, Disk, Done, DriverError, DriverEvent, Exit, ExitCause, Health, Lun, LunReach,
    Request, SaveSink, Stopped, Worker,
};
use quorate_core::id::{OpId, ResourceId};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::{BOUND, Bench, guest_rom, kill, runs, soon, wait_for};

fn settings() -> Value {
    let binary = std::env::var("QUORATE_TEST_QEMU").unwrap_or("qemu-system-x86_64".to_owned());
    json!({
        "binary": binary, "memory_mib": 2, "cpu": "qemu64", "accel": "tcg", "disk": "ide",
        "firmware": guest_rom(), "heartbeat": "serial", "heartbeat_prefix": "tick",
        "heartbeat_timeout_ms": 5000, "stop": "quit"
    })
}

fn guest_with(change: impl FnOnce(&mut Value)) -> Bench {
    let mut settings = settings();
    change(&mut settings);
    Bench::new("qemu", settings)
}

/// A guest on a blank disk of its own.
fn guest() -> Bench {
    let bench = guest_with(|_| ());
    let disk = blank_disk(bench.directory.path());
    bench.with_file_lun(&disk)
}

fn blank_disk(directory: &Path) -> PathBuf {
    let path = directory.join("disk");
    File::create(&path).unwrap().set_len(1 << 20).unwrap();
    path
}

impl Bench {
    fn boot(&mut self) {
        self.driver.start(&self.context.clone(), soon()).unwrap();
    }

    /// What the guest has said: number and nonce of each tick.
    fn ticks(&self) -> Vec<(u32, String)> {
        let log = self.read("serial.log");
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().filter_map(tick).collect()
    }

    fn wait_tick(&self, number: u32) -> String {
        wait_for(&format!("tick {number}"), || {
            self.ticks().into_iter().find(|(n, _)| *n == number).map(|(_, nonce)| nonce)
        })
    }

    fn process_id(&self) -> i32 {
        wait_for("QEMU's number", || self.read("qemu.pid").trim().parse().ok())
    }

    fn saved(&mut self) -> Vec<u8> {
        let mut state = Vec::new();
        self.driver.save(&mut into(&mut state), soon()).unwrap();
        state
    }
}

fn tick(line: &str) -> Option<(u32, String)> {
    let mut words = line.strip_prefix("tick ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
}

fn into(state: &mut Vec<u8>) -> impl SaveSink + '_ {
    |source: &mut dyn Read| source.read_to_end(state).map(|_| ())
}

#[test]
fn a_guest_counts_within_a_second_of_its_start_and_its_ticks_are_on_the_disk() {
    let mut bench = guest();
    bench.driver.prepare().unwrap();
    let started = Instant::now();
    bench.boot();
    let up = started.elapsed();
    let nonce = bench.wait_tick(1);
    let first = started.elapsed();
    println!("figure: start answered after {up:?}, first tick {first:?} after the request");
    assert!(first < Duration::from_secs(1), "{first:?}");
    assert_eq!(bench.driver.is_alive(soon()), Health::Alive);
    let disk = fs::read(bench.directory.path().join("disk")).unwrap();
    assert_eq!(&disk[512..520], b"QRECORD1");
    let on_disk = u64::from_le_bytes(disk[528..536].try_into().unwrap());
    assert_eq!(format!("{on_disk:016x}"), nonce);
}

#[test]
fn a_killed_guest_boots_again_with_the_next_number_and_another_nonce() {
    let mut bench = guest();
    bench.boot();
    let first = bench.wait_tick(2);
    let started = Instant::now();
    bench.driver.kill().unwrap();
    println!("figure: kill took {:?}", started.elapsed());
    let expected = DriverEvent::Exited { exit: Exit::Signal(9), cause: ExitCause::Requested };
    assert_eq!(bench.report(), expected);
    let said = bench.ticks();
    let last = said.last().unwrap().0;
    bench.boot();
    let second = wait_for("a tick of the second boot", || {
        bench.ticks().into_iter().find(|(_, nonce)| *nonce != first)
    });
    // The kill may fall between a record's counter and its tick.
    assert!(second.0 == last + 1 || second.0 == last + 2, "{} after {last}", second.0);
}

#[test]
fn a_saved_guest_goes_on_elsewhere_without_a_gap_or_a_double() {
    let mut source = guest();
    let disk = source.directory.path().join("disk");
    source.boot();
    source.wait_tick(3);
    let process = source.process_id();
    let started = Instant::now();
    let state = source.saved();
    let saved = started.elapsed();
    assert!(!runs(process), "a saved guest has ended here");
    let expected = DriverEvent::Exited { exit: Exit::Code(0), cause: ExitCause::Requested };
    assert_eq!(source.report(), expected);

    let mut target = guest_with(|_| ()).with_file_lun(&disk);
    let context = target.context.clone();
    let started = Instant::now();
    target.driver.load(&context, &mut state.as_slice(), soon()).unwrap();
    let loaded = started.elapsed();
    let mut before = source.ticks();
    let last = before.last().unwrap().0;
    assert_eq!(target.ticks(), [], "what is loaded does not run yet");
    target.driver.run(soon()).unwrap();
    let ran = started.elapsed();
    target.wait_tick(last + 1);
    println!(
        "figure: save {saved:?} ({} bytes), load {loaded:?}, run {:?}, next tick after {:?} in all",
        state.len(),
        ran - loaded,
        started.elapsed()
    );
    target.wait_tick(last + 3);
    before.extend(target.ticks());
    let nonce = before[0].1.clone();
    for (index, (number, of)) in before.iter().enumerate() {
        assert_eq!((*number as usize, of), (index + 1, &nonce), "ticks {before:?}");
    }
    assert_eq!(target.driver.looks_alive(), Health::Alive);
    let error = target.driver.run(soon());
    assert!(matches!(error, Err(DriverError::NotRunning { .. })), "it runs already: {error:?}");
}

#[test]
fn a_guest_whose_save_fails_goes_on_where_it_is() {
    let mut bench = guest();
    bench.boot();
    let nonce = bench.wait_tick(1);
    let mut full = |source: &mut dyn Read| {
        source.read_exact(&mut [0; 1000])?;
        Err(io::Error::other("no space for it"))
    };
    let error = bench.driver.save(&mut full, soon()).unwrap_err();
    let DriverError::SaveFailed { reason, after } = error else { panic!("{error}") };
    assert!(reason.contains("no space for it"), "{reason}");
    assert_eq!(after, AfterSave::RunsHere);

    // A sink that fails after it has everything is the harder case: the transfer was complete.
    let mut torn = |source: &mut dyn Read| {
        io::copy(source, &mut io::sink())?;
        Err(io::Error::other("the flush failed"))
    };
    let error = bench.driver.save(&mut torn, soon()).unwrap_err();
    assert!(matches!(error, DriverError::SaveFailed { after: AfterSave::RunsHere, .. }), "{error}");

    let last = bench.ticks().last().unwrap().0;
    assert_eq!(bench.wait_tick(last + 2), nonce);
    assert_eq!(bench.driver.is_alive(soon()), Health::Alive);
    assert!(bench.reports.is_empty(), "a stop of our own is no report");
    assert!(!bench.saved().is_empty(), "the next save succeeds");
}

#[test]
fn a_torn_or_foreign_state_is_rejected_and_leaves_nothing_running() {
    let mut bench = guest();
    bench.boot();
    bench.wait_tick(1);
    let state = bench.saved();
    let context = bench.context.clone();
    let (torn, cut) = (&state[..state.len() / 2], &state[..state.len() - 1]);
    for mut bad in [torn, cut, b"not a guest at all".as_slice(), b"".as_slice()] {
        let length = bad.len();
        let error = bench.driver.load(&context, &mut bad, soon());
        let error = error.expect_err(&format!("{length} of {} bytes", state.len()));
        assert!(matches!(error, DriverError::SaveRejected { .. }), "{error}");
        // QEMU removes its file when it ends by itself, not when it is killed.
        let left = bench.read("qemu.pid").trim().parse().is_ok_and(runs);
        assert!(!left, "it still runs");
    }
    bench.driver.load(&context, &mut state.as_slice(), soon()).unwrap();
    bench.driver.run(soon()).unwrap();
}

#[test]
fn a_kill_from_outside_is_reported_at_once() {
    let mut bench = guest();
    bench.boot();
    bench.wait_tick(1);
    let killed = Instant::now();
    kill(bench.process_id(), Signal::KILL);
    let report = bench.report();
    println!("figure: kill -9 of QEMU reported after {:?}", killed.elapsed());
    let expected = DriverEvent::Exited { exit: Exit::Signal(9), cause: ExitCause::Unexpected };
    assert_eq!(report, expected);
    assert!(killed.elapsed() < Duration::from_secs(1));
    assert!(matches!(bench.driver.looks_alive(), Health::Failed(_)));
    assert_eq!(bench.driver.stop(soon()), Ok(Stopped::Orderly));
}

#[test]
fn a_silent_guest_is_reported_as_having_lost_its_heartbeat() {
    let bench = guest_with(|settings| settings["heartbeat_timeout_ms"] = json!(1000));
    let disk = blank_disk(bench.directory.path());
    let mut bench = bench.with_file_lun(&disk);
    bench.boot();
    bench.wait_tick(1);
    assert!(bench.reports.is_empty());
    kill(bench.process_id(), Signal::STOP);
    let DriverEvent::HeartbeatLost { silent_for } = bench.report() else { panic!("wrong report") };
    assert!(silent_for >= Duration::from_secs(1));
    assert!(matches!(bench.driver.looks_alive(), Health::Failed(_)));
    bench.driver.kill().unwrap();
}

/// An NBD server that refuses writes to one sector with the given error number.
struct NbdServer(Child);

impl NbdServer {
    fn start(socket: &Path, disk: &Path, sector: u32, errno: u32) -> Self {
        let image = format!(
            "driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename={},\
             file.inject-error.0.event=none,file.inject-error.0.iotype=write,\
             file.inject-error.0.sector={sector},file.inject-error.0.errno={errno}",
            disk.display()
        );
        let child = Command::new("qemu-nbd")
            .args(["--persistent", "--image-opts", &image, "--socket"])
            .arg(socket)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the NBD server", || socket.exists().then_some(()));
        Self(child)
    }
}

impl Drop for NbdServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_refused_write_stops_the_guest_and_is_told_from_a_broken_disk() {
    for (errno, expected) in [(1, true), (5, false)] {
        let mut bench = guest_with(|_| ());
        let disk = blank_disk(bench.directory.path());
        let socket = bench.directory.path().join("nbd.sock");
        let _server = NbdServer::start(&socket, &disk, 4, errno);
        let disk = Disk::Nbd { socket, export: String::new() };
        bench.context.luns.push(Lun { name: "disk".to_owned(), disk, reach: LunReach::default() });
        bench.boot();
        let DriverEvent::IoError { refused, reason, device } = bench.report() else {
            panic!("wrong report")
        };
        println!("figure: errno {errno}: {device:?} {reason:?}");
        assert_eq!(refused, expected, "{reason}");
        assert_eq!(bench.ticks().len(), 3, "record 4 was never acknowledged");
        assert!(matches!(bench.driver.is_alive(soon()), Health::Failed(_)));
        let error = bench.driver.save(&mut into(&mut Vec::new()), soon());
        assert!(matches!(error, Err(DriverError::NotRunning { .. })), "{error:?}");
        bench.driver.kill().unwrap();
        assert_eq!(bench.ticks().len(), 3);
    }
}

#[test]
fn a_kill_overtakes_a_save_that_hangs() {
    let mut bench = guest();
    bench.boot();
    bench.wait_tick(1);
    let process = bench.process_id();
    let Bench { driver, directory: _directory, reports: _reports, .. } = bench;
    let (sender, answers) = unbounded();
    let worker = Worker::spawn(ResourceId(1), driver, sender).unwrap();
    let (reached, hangs) = unbounded();
    let sink = Box::new(move |source: &mut dyn Read| {
        source.read_exact(&mut [0; 100])?;
        reached.send(()).unwrap();
        // Reads on slowly for ever: the state is never whole.
        loop {
            source.read_exact(&mut [0; 1])?;
            std::thread::park_timeout(Duration::from_millis(1));
        }
    });
    worker.request(OpId(1), Request::Save { sink, deadline: soon() }).unwrap();
    hangs.recv_timeout(BOUND).unwrap();
    worker.kill(OpId(2)).unwrap();
    wait_for("QEMU's end", || (!runs(process)).then_some(()));
    let answer = answers.recv_timeout(BOUND).unwrap();
    assert_eq!((answer.op, answer.result), (OpId(1), Err(DriverError::Cancelled)));
    let answer = answers.recv_timeout(BOUND).unwrap();
    assert_eq!((answer.op, answer.result), (OpId(2), Ok(Done::Killed)));
}

#[test]
fn what_is_missing_or_wrong_is_said_with_its_name() {
    let mut bench = guest_with(|settings| settings["binary"] = json!("qemu-system-vax"));
    let error = bench.driver.prepare().unwrap_err().to_string();
    assert_eq!(
        error,
        "qemu-system-vax not found or not executable: install qemu-system-x86 on this node or \
         correct binary"
    );
    let mut bench = guest_with(|settings| settings["firmware"] = json!("/nowhere/guest.rom"));
    let error = bench.driver.prepare().unwrap_err().to_string();
    assert!(error.starts_with("firmware /nowhere/guest.rom: No such file"), "{error}");
    let mut bench = guest_with(|settings| settings["firmware"] = json!("/etc/hostname"));
    let error = bench.driver.prepare().unwrap_err().to_string();
    assert!(error.contains("whole multiples of 65536 bytes"), "{error}");

    let mut bench = guest_with(|settings| settings["machine"] = json!("no-such-machine"));
    let error = bench.driver.start(&bench.context.clone(), soon()).unwrap_err();
    let DriverError::ExitedEarly { exit, output, .. } = error else { panic!("{error}") };
    assert_eq!(exit, Exit::Code(1));
    assert!(output.contains("unsupported machine type"), "{output}");
    assert!(matches!(bench.report(), DriverEvent::Exited { .. }));

    let mut bench = guest().with_file_lun("/nowhere/disk".as_ref());
    let error = bench.driver.start(&bench.context.clone(), soon()).unwrap_err().to_string();
    assert!(error.starts_with("lun /nowhere/disk: No such file"), "{error}");
}

#[test]
fn a_guest_without_a_disk_or_on_a_foreign_one_writes_nothing() {
    let mut bench = guest_with(|_| ());
    bench.boot();
    wait_for("the guest's word", || bench.read("serial.log").contains("nodisk").then_some(()));

    let bench = guest_with(|_| ());
    let disk = blank_disk(bench.directory.path());
    fs::write(&disk, vec![7; 1 << 20]).unwrap();
    let mut bench = bench.with_file_lun(&disk);
    bench.boot();
    wait_for("the guest's word", || bench.read("serial.log").contains("corrupt").then_some(()));
    assert_eq!(fs::read(&disk).unwrap(), vec![7; 1 << 20]);
}

#[test]
fn a_stop_ends_the_guest_in_order_and_kills_one_that_does_not_listen() {
    let mut bench = guest();
    bench.boot();
    bench.wait_tick(1);
    assert_eq!(bench.driver.stop(soon()), Ok(Stopped::Orderly));
    let expected = DriverEvent::Exited { exit: Exit::Code(0), cause: ExitCause::Requested };
    assert_eq!(bench.report(), expected);

    let bench = guest_with(|settings| settings["stop"] = json!("powerdown"));
    let disk = blank_disk(bench.directory.path());
    let mut bench = bench.with_file_lun(&disk);
    bench.boot();
    bench.wait_tick(1);
    let process = bench.process_id();
    let stopped = bench.driver.stop(Instant::now() + Duration::from_millis(100));
    assert_eq!(stopped, Ok(Stopped::Killed), "the guest knows no ACPI");
    assert!(!runs(process));
}

#[test]
fn a_guest_with_virtio_disks_and_an_agent_starts_and_its_silence_is_reported() {
    let mut bench = guest_with(|settings| {
        *settings = json!({
            "binary": settings["binary"], "memory_mib": 32, "accel": "tcg",
            "heartbeat": "guest-agent", "heartbeat_timeout_ms": 100,
            "heartbeat_boot_timeout_ms": 200, "args": ["-vga", "none"]
        });
    });
    for name in ["one", "two"] {
        let path = bench.directory.path().join(name);
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        bench = bench.with_file_lun(&path);
        bench.context.luns.last_mut().unwrap().name = name.to_owned();
    }
    bench.boot();
    assert!(matches!(bench.report(), DriverEvent::HeartbeatLost { .. }), "no agent is in it");
    assert!(matches!(bench.driver.is_alive(soon()), Health::Failed(_)));
}

#[test]
fn an_accelerator_is_used_only_where_it_is_seen_to_work() {
    let bench = guest_with(|settings| settings["accel"] = json!("auto"));
    let disk = blank_disk(bench.directory.path());
    let mut bench = bench.with_file_lun(&disk);
    let started = Instant::now();
    bench.driver.prepare().unwrap();
    println!("figure: prepare with the probe of KVM: {:?}", started.elapsed());
    bench.boot();
    bench.wait_tick(1);
}
