//! What tells the next run of a node which processes this one started.
//!
//! The kernel kills the leader of a resource's processes when the engine's process dies, but not
//! what the leader has started: a shell dies, its child lives on. So each start leaves a record in
//! the node's state directory, and a node that starts ends what is left of every recorded session
//! before it lets anybody take its start for proof that nothing runs here.
//!
//! A record names the session: its leader's number and start time, and which boot and which
//! namespace of processes these numbers belong to. A process leaves its session by `setsid` alone.
//! As long as one member lives, the kernel gives the number to no other process; so whoever has the
//! leader's number and another start time shows that the session is gone.
//!
//! The name of the file says of which boot it is, too: a host that loses its power keeps the name, and maybe not what
//! was written. Then nothing of it runs, whatever the file says.
//!
//! The process writes its own record before it becomes the program: so nothing ever runs without one, whenever the
//! engine's process dies.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How the name of a record ends.
const RECORD_END: &str = ".process";
/// How the name of one ends that is not whole yet.
const DRAFT: &str = "draft";
/// How long is rested between two looks for survivors.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// One started session: in the file a line for its world, and what /proc said of its leader.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    /// The leader, which gives the session its number.
    leader: i32,
    /// When the leader started, in clock ticks since the machine did.
    started: u64,
    /// The machine's boot and the namespace of its process numbers.
    world: String,
}

/// Something that an earlier run started and that cannot be ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeftoverError {
    /// Processes that do not die.
    #[error(
        "{resource} of an earlier run still runs as process {process} and does not die within {} s; \
         see what it waits for (a dead disk?), or restart this machine",
        after.as_secs()
    )]
    Undying {
        /// Whose they are.
        resource: String,
        /// One of them.
        process: i32,
        /// How long they were waited for.
        after: Duration,
    },
    /// A record that cannot be read: what it names may run.
    #[error("{}: {error}; make sure that nothing of it runs, then remove it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: io::Error,
    },
}

/// The file of a resource's record in this boot.
pub(crate) fn record_path(directory: &Path, resource: &str) -> PathBuf {
    record_path_in(directory, resource, &boot())
}

fn record_path_in(directory: &Path, resource: &str, boot: &str) -> PathBuf {
    directory.join(format!("{resource}.{boot}{RECORD_END}"))
}

/// What tells this boot of the machine from others, shortened; empty where the kernel does not say.
fn boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.chars().take_while(char::is_ascii_hexdigit).collect()
}

/// Lets the process that `command` starts record the session that it leads, before it becomes the program; the command
/// is told before to lead one, and to die with its parent. The record is whole or not there at all. `path` is absolute:
/// the process may have gone elsewhere by then.
///
/// A process that dies with its parent may do so a moment later. Until then it holds the lock of the node's log, and
/// the next run does not begin.
pub(super) fn write_at_start(path: &Path, command: &mut Command) -> io::Result<()> {
    let draft = draft_of(path);
    // Where that cannot be, the program need not be tried.
    fs::File::create(&draft)?;
    quorate_storage::child::leave_stat(command, format!("{}\n", world()?), &draft, path)
}

/// After a start that failed: whether it did so before the record was written. Takes away what is left of that.
pub(super) fn take_draft_away(path: &Path) -> bool {
    fs::remove_file(draft_of(path)).is_ok()
}

fn draft_of(path: &Path) -> PathBuf {
    path.with_extension(DRAFT)
}

/// Ends what is left of every session that is recorded in `directory`, and waits until it is gone.
///
/// # Errors
/// Something still runs after `patience`, or a record cannot be read.
pub(crate) fn end_leftovers(directory: &Path, patience: Duration) -> Result<(), LeftoverError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |error| LeftoverError::Unreadable { path, error }
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(unreadable(directory))?,
    };
    for entry in entries {
        let path = entry.map_err(unreadable(directory))?.path();
        if path.extension().is_some_and(|end| end == DRAFT) {
            fs::remove_file(&path).map_err(unreadable(&path))?;
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let named = name.and_then(|name| name.strip_suffix(RECORD_END)?.rsplit_once('.'));
        let Some((resource, boot_then)) = named else { continue };
        if boot_then == boot() {
            let text = fs::read(&path).map_err(unreadable(&path))?;
            let what = || unreadable(&path)(io::Error::other("it is no record of a process"));
            let record = Record::parse(&text).ok_or_else(what)?;
            if record.world == world().map_err(unreadable(&path))? {
                record.end(resource, patience)?;
            }
        }
        fs::remove_file(&path).map_err(unreadable(&path))?;
    }
    Ok(())
}

impl Record {
    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().position(|&byte| byte == b'\n')?;
        let (world, stat) = (str::from_utf8(&text[..end]).ok()?, &text[end + 1..]);
        let number = stat.split(|&byte| byte == b' ').next()?;
        let leader = str::from_utf8(number).ok()?.parse().ok()?;
        Some(Self { leader, started: Stat::parse(stat)?.started, world: world.to_owned() })
    }

    fn end(&self, resource: &str, patience: Duration) -> Result<(), LeftoverError> {
        let deadline = Instant::now() + patience;
        loop {
            let members = self.members();
            let Some(&process) = members.first() else { return Ok(()) };
            if Instant::now() >= deadline {
                let resource = resource.to_owned();
                return Err(LeftoverError::Undying { resource, process, after: patience });
            }
            tracing::warn!(resource, process, "killing what an earlier run has left");
            for &member in &members {
                // Whoever is gone already needs no signal; whoever forks meanwhile is met in the
                // next round.
                let Some(process) = Pid::from_raw(member) else { continue };
                let _ = kill_process(process, Signal::KILL);
            }
            if let Some(group) = Pid::from_raw(self.leader) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// The living members of the session.
    fn members(&self) -> Vec<i32> {
        if Stat::of(self.leader).is_some_and(|leader| leader.started != self.started) {
            return Vec::new();
        }
        let is_member = |number: &i32| {
            Stat::of(*number).is_some_and(|stat| stat.session == self.leader && stat.is_live)
        };
        all_processes().filter(is_member).collect()
    }
}

/// The numbers of all processes.
pub(super) fn all_processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What /proc says of a process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// It is neither a zombie nor dead.
    pub(super) is_live: bool,
    /// Its process group.
    pub(super) group: i32,
    session: i32,
    started: u64,
}

impl Stat {
    pub(super) fn of(process: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{process}/stat")).ok()?)
    }

    /// Reads one line of /proc/PID/stat: `pid (name) state parent group session ...`, the start time as the 22nd word;
    /// a name may hold any bytes.
    fn parse(stat: &[u8]) -> Option<Self> {
        let end = stat.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
        let mut words = rest.split_ascii_whitespace();
        let is_live = !matches!(words.next()?, "Z" | "X" | "x");
        let group = words.nth(1)?.parse().ok()?;
        let session = words.next()?.parse().ok()?;
        let started = words.nth(15)?.parse().ok()?;
        Some(Self { is_live, group, session, started })
    }
}

/// Where process numbers mean what they mean here.
fn world() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = fs::read_link("/proc/self/ns/pid")?;
    Ok(format!("{} {}", boot.trim(), namespace.display()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Stdio};

    use quorate_storage::child::die_with_parent;

    use super::super::child::KillSwitch;
    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    /// A shell that leads a session and has a child, and the child's number; recorded there.
    fn session(path: &Path) -> (Child, i32) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 1000 & echo $!; wait"]);
        die_with_parent(&mut command);
        write_at_start(path, &mut command).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut leader = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(leader.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (leader, line.trim().parse().unwrap())
    }

    fn is_live(process: i32) -> bool {
        Stat::of(process).is_some_and(|stat| stat.is_live)
    }

    /// Or an engine that is killed just then would leave what nobody ends.
    #[test]
    fn a_program_finds_its_own_record_when_it_begins() {
        let directory = tempfile::tempdir().unwrap();
        let path = record_path(directory.path(), "guest");
        for _ in 0..20 {
            let mut command = Command::new("/bin/cat");
            command.arg(&path).stdin(Stdio::null()).stdout(Stdio::piped());
            write_at_start(&path, die_with_parent(&mut command)).unwrap();
            let child = command.spawn().unwrap();
            let leader = Pid::from_child(&child).as_raw_nonzero().get();
            let output = child.wait_with_output().unwrap();
            let record = Record::parse(&output.stdout).unwrap();
            assert_eq!((record.leader, record.world), (leader, world().unwrap()));
        }
    }

    #[test]
    fn what_cannot_be_recorded_does_not_start() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/true");
        let error = write_at_start(&directory.path().join("gone/guest"), &mut command);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
        // A directory stands where the record should: it is written, and cannot be put there.
        let path = directory.path().join("guest.process");
        fs::create_dir_all(path.join("something")).unwrap();
        let switch = KillSwitch::new();
        switch.record_in(path);
        let error = switch.spawn(&mut command, |_, _| ()).unwrap_err().to_string();
        assert!(error.contains("guest.process") && error.contains("/bin/true"), "{error}");
        let mut missing = Command::new("/bin/nothing-of-that-name");
        let switch = KillSwitch::new();
        switch.record_in(directory.path().join("other.process"));
        let error = switch.spawn(&mut missing, |_, _| ()).unwrap_err().to_string();
        assert!(error.starts_with("cannot start /bin/nothing-of-that-name"), "{error}");
        let is_draft = |path: &Path| path.extension().is_some_and(|end| end == DRAFT);
        let mut left = fs::read_dir(directory.path()).unwrap().flatten().map(|entry| entry.path());
        assert!(!left.any(|path| is_draft(&path)));
    }

    #[test]
    fn what_a_dead_leader_has_left_is_ended_before_the_next_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = record_path(directory.path(), "guest");
        let (mut leader, child) = session(&path);
        // As when the engine's process dies: the kernel kills the leader alone.
        leader.kill().unwrap();
        leader.wait().unwrap();
        assert!(is_live(child), "the test needs an orphan");
        end_leftovers(directory.path(), BOUND).unwrap();
        assert!(!is_live(child));
        assert!(!path.exists());
    }

    #[test]
    fn a_stranger_with_the_leaders_number_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (mut leader, child) = session(&record_path(directory.path(), "guest"));
        let number = Pid::from_child(&leader).as_raw_nonzero().get();
        let started = Stat::of(number).unwrap().started;
        let records = [
            Record { leader: number, started: started + 1, world: world().unwrap() },
            Record { leader: number, started, world: "another machine".to_owned() },
        ];
        for record in records {
            let tail = format!("S 1 {number} {number}{} {} 0", " 0".repeat(15), record.started);
            let text = format!("{}\n{number} (sh) {tail}", record.world);
            assert_eq!(Record::parse(text.as_bytes()), Some(record.clone()));
            fs::write(record_path(directory.path(), "guest"), text).unwrap();
            end_leftovers(directory.path(), BOUND).unwrap();
            assert!(is_live(number) && is_live(child), "{record:?}");
        }
        let group = Pid::from_child(&leader);
        kill_process_group(group, Signal::KILL).unwrap();
        leader.wait().unwrap();
    }

    #[test]
    fn a_torn_record_stops_the_start_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(record_path(directory.path(), "guest"), "a world\n4711 (a pr").unwrap();
        let error = end_leftovers(directory.path(), BOUND).unwrap_err().to_string();
        assert!(
            error.contains("guest.")
                && error.contains(".process")
                && error.contains("then remove it"),
            "{error}"
        );
        end_leftovers(&directory.path().join("nowhere"), BOUND).unwrap();
    }

    /// A host that lost its power can have the name of a file without its bytes.
    #[test]
    fn a_torn_record_of_an_earlier_boot_is_taken_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = record_path_in(directory.path(), "guest", "0badb007");
        fs::write(&path, "").unwrap();
        end_leftovers(directory.path(), BOUND).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_process_may_have_any_name() {
        let tail = b"S 1 42 43 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0";
        for name in [&b"7 (a) Z 1 2) "[..], &b"7 (\xff) "[..], &b"7 ()) "[..]] {
            let found = Stat::parse(&[name, tail].concat()).unwrap();
            assert_eq!(found, Stat { is_live: true, group: 42, session: 43, started: 777 });
        }
        assert_eq!(Stat::parse(b"7"), None);
        assert!(!Stat::parse(&[b"7 (a) Z", &tail[1..]].concat()).unwrap().is_live);
    }
}
