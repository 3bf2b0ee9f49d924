//! `quorate run`: one node, in the foreground.

use std::io::{Write as _, stderr, stdout};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use quorate::key::{ClusterKey, KeyError};
use quorate::{Config, Error, Item, LunWrite, Node, NodeOptions, Notice, Request, Verb, WriteHook};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::arguments::Run;
use crate::failure::{Exit, Failure};
use crate::init::{KEY_FILE, beside};
use crate::lab::Moment;
use crate::serve::{Desk, serve};
use crate::writes::{Outcome, Record, Write, WriteLog};
use crate::{shutdown, signals};

/// Names a file in which each write of a guest is noted; for demos and tests.
const WRITE_LOG: &str = "QUORATE_WRITE_LOG";

/// Most lines that wait for whoever reads them.
const LINES_MAX: usize = 4096;
/// How long the last lines wait for their reader.
const PRINT_PATIENCE: Duration = Duration::from_secs(1);

/// Runs the node until it has left, was ended, or fenced itself.
///
/// # Errors
/// Why it did not start, or how it ended.
pub(crate) fn run(arguments: &Run) -> Result<(), Failure> {
    let config = Config::from_file(&arguments.config)?;
    check_place(&config, &arguments.node)?;
    config.warnings().iter().for_each(|warning| note(&format!("warning: {warning}")));
    let key = find_key(arguments)?;
    let state = state_directory(arguments)?;
    let mut options = NodeOptions::new(config, &arguments.node, &state, key);
    options.write_hook = write_hook(&arguments.node)?;

    // Before the node runs, so that a signal from now on ends it in order.
    let signals = signals::hear(&[SIGINT, SIGTERM, SIGHUP])?;
    let desk = Desk::new(Node::start(options)?);
    let server = serve(&desk, &state)?;
    let is_late = obey(signals, &desk, Duration::from_secs(arguments.leave_timeout));

    let printer = Printer::start()?;
    let ended = tell(&desk, &printer, arguments.json);
    printer.end();
    desk.journal.end();
    drop(server);
    match ended {
        Error::Ended if is_late.load(Ordering::SeqCst) => {
            Err(Failure::new(Exit::TimedOut, "leaving took too long: the node was ended"))
        }
        Error::Ended => Ok(()),
        error => Err(error.into()),
    }
}

/// Refuses a node that is not in the configuration, and one that would own what only another program can run.
fn check_place(config: &Config, node: &str) -> Result<(), Failure> {
    if config.cluster().node_named(node).is_none() {
        let known: Vec<&str> = config.node_names().collect();
        let text = format!("node {node} is not known; known are: {}", known.join(", "));
        return Err(Failure::new(Exit::Configuration, text));
    }
    for group in &config.document().groups {
        let owners = &group.possible_owners;
        let is_owner = owners.is_empty() || owners.iter().any(|owner| owner == node);
        let host = group.resources.iter().find(|resource| resource.driver == "host");
        if let (true, Some(resource)) = (is_owner, host) {
            return Err(Failure::new(
                Exit::Configuration,
                format!(
                    "groups.{}.{}: a resource with driver = \"host\" is run by the program that embeds quorate, which \
                     `quorate run` is not; start that program on {node}, or leave {node} out of the group's \
                     possible_owners",
                    group.name, resource.name
                ),
            ));
        }
    }
    Ok(())
}

/// Prints what the node tells until it ends; gives how it ended.
fn tell(desk: &Desk, printer: &Printer, as_json: bool) -> Error {
    let node = &desk.node;
    loop {
        match node.take() {
            Ok(Some(Item::Notice(notice))) => {
                desk.journal.add(&notice);
                printer.print(line(&notice, as_json));
            }
            Ok(Some(Item::Request(request))) => {
                // The engine takes the answer, or has ended: the next take says so.
                let _ = node.complete(request.op, answer(&request));
            }
            Ok(Some(Item::Answer(answer))) => desk.answers.add(answer),
            Ok(None) => {
                if let Err(error) = node.wait(Duration::from_secs(60)) {
                    return error;
                }
            }
            Err(error) => return error,
        }
    }
}

/// What is said to a request for a resource that this program cannot run: it does not start, and never ran here.
fn answer(request: &Request) -> Result<(), String> {
    match request.verb {
        Verb::Stop | Verb::Kill => Ok(()),
        Verb::Start | Verb::Load | Verb::Run | Verb::Save => Err(format!(
            "{} has driver = \"host\": only the program that embeds quorate can {} it",
            request.resource,
            request.verb.as_str()
        )),
    }
}

fn line(notice: &Notice, as_json: bool) -> String {
    match as_json {
        true => serde_json::to_string(notice).expect("a notice is plain data"),
        false => notice.to_string(),
    }
}

/// Prints lines on a thread of its own: whoever reads them may stand still, the node may not.
struct Printer {
    lines: SyncSender<String>,
    lost: Arc<AtomicU64>,
    done: Receiver<()>,
}

impl Printer {
    fn start() -> Result<Self, Failure> {
        Self::to(|line| {
            // Whoever read us has gone; the node has not.
            let _ = writeln!(stdout(), "{line}");
            let _ = stdout().flush();
        })
    }

    fn to(write: impl Fn(&str) + Send + 'static) -> Result<Self, Failure> {
        let (lines, queue) = sync_channel::<String>(LINES_MAX);
        let (ended, done) = sync_channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        let body = move || {
            for line in queue {
                write(&line);
                match counted.swap(0, Ordering::Relaxed) {
                    0 => {}
                    count => note(&format!("{count} notices were not printed: nobody read them")),
                }
            }
            let _ = ended.send(());
        };
        let spawned = thread::Builder::new().name("print".into()).spawn(body);
        spawned.map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot start a thread to print on: {error}"))
        })?;
        Ok(Self { lines, lost, done })
    }

    /// Never waits. The line is lost, and counted, when too many wait already.
    fn print(&self, line: String) {
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives what waits a moment to be read.
    fn end(self) {
        let Self { lines, done, .. } = self;
        drop(lines);
        let _ = done.recv_timeout(PRINT_PATIENCE);
    }
}

/// The first signal lets the node leave in order, the second ends it. Gives whether leaving took
/// too long.
fn obey(mut signals: Signals, desk: &Arc<Desk>, patience: Duration) -> Arc<AtomicBool> {
    let is_late = Arc::new(AtomicBool::new(false));
    let (desk, late) = (Arc::clone(desk), Arc::clone(&is_late));
    thread::spawn(move || {
        let mut is_leaving = false;
        for signal in signals::each(&mut signals) {
            if std::mem::replace(&mut is_leaving, true) {
                note("ending at once");
                desk.node.kill();
                return;
            }
            // Who presses Ctrl-C ends this program, and no host.
            let is_shutdown = signal == SIGTERM;
            let keeps = is_shutdown && desk.node.keeps_on_shutdown(shutdown::reboots());
            let how = if keeps { "is kept for its return" } else { "moves away" };
            note(&format!("leaving: what runs here {how}; a second signal ends it at once"));
            let (desk, late) = (Arc::clone(&desk), Arc::clone(&late));
            thread::spawn(move || {
                let left = match keeps {
                    true => desk.node.leave_and_keep(patience),
                    false => desk.node.leave(patience),
                };
                if let Err(Error::TimedOut { .. }) = left {
                    late.store(true, Ordering::SeqCst);
                    desk.node.kill();
                }
            });
        }
    });
    is_late
}

pub(crate) fn note(text: &str) {
    let _ = writeln!(stderr(), "quorate: {text}");
}

fn find_key(arguments: &Run) -> Result<ClusterKey, KeyError> {
    match &arguments.key {
        Some(path) => ClusterKey::from_file(path),
        None => match ClusterKey::from_environment()? {
            Some(key) => Ok(key),
            None => ClusterKey::from_file(&beside(&arguments.config, KEY_FILE)),
        },
    }
}

/// The state directory, as an absolute path; its parents are made.
fn state_directory(arguments: &Run) -> Result<PathBuf, Failure> {
    let state = match &arguments.state {
        Some(state) => state.clone(),
        None => default_state(&arguments.config, &arguments.node),
    };
    let failed = |error: std::io::Error| {
        let text =
            format!("state directory {}: {error}; name another with --state", state.display());
        Failure::new(Exit::Configuration, text)
    };
    let whole = std::path::absolute(&state).map_err(failed)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&whole).map_err(failed)?;
    Ok(whole)
}

/// Where a node keeps its state unless it is told otherwise.
#[must_use]
pub(crate) fn default_state(config: &Path, node: &str) -> PathBuf {
    beside(config, "state").join(node)
}

fn write_hook(node: &str) -> Result<Option<WriteHook>, Failure> {
    let Some(path) = std::env::var_os(WRITE_LOG).map(PathBuf::from) else { return Ok(None) };
    let log = WriteLog::open(&path).map_err(|error| {
        let text = format!(
            "{WRITE_LOG} {}: {error}; name a file in a directory you may write to",
            path.display()
        );
        Failure::new(Exit::Configuration, text)
    })?;
    let node = node.to_owned();
    Ok(Some(WriteHook::new(move |write: &LunWrite<'_>| {
        let outcome = match (write.written, write.refused) {
            (true, _) => Outcome::Written,
            (false, true) => Outcome::Refused,
            (false, false) => Outcome::Failed,
        };
        log.add(&Write {
            at_ns: Moment::now().0,
            node: node.clone(),
            epoch: write.epoch,
            offset: write.offset,
            length: write.data.len() as u64,
            outcome,
            record: Record::parse(write.data),
        });
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_not_the_node() {
        let (let_go, go) = sync_channel::<()>(0);
        let (written, seen) = std::sync::mpsc::channel();
        let printer = Printer::to(move |line| {
            let _ = go.recv();
            written.send(line.to_owned()).unwrap();
        })
        .unwrap();
        // One may be with the writer already.
        for number in 0..LINES_MAX + 10 {
            printer.print(number.to_string());
        }
        let lost = printer.lost.load(Ordering::Relaxed);
        assert!((9..=10).contains(&lost), "{lost} were lost");
        drop(let_go);
        printer.end();
        assert_eq!(seen.iter().count() as u64, LINES_MAX as u64 + 10 - lost);
    }
}
