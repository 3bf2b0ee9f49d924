//! The log thread: the one place where a node waits for its own disk.
//!
//! What waits together is made durable together: one fdatasync for all requests that have come
//! while the last one was under way. *Architecture invariant*: requests are carried out in order,
//! and after a failure none is.

use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use quorate_core::codec;
use quorate_core::durable::{Durable, Record};
use quorate_core::id::OpId;

use super::input::{Inbox, Input};
use crate::Error;
use crate::log::{self, Log, Recovered};

/// A record of the engine, encoded by its own codec.
const KIND_ENGINE: u8 = 1;
/// The number of a boot, 8 bytes, written at each start.
const KIND_BOOT: u8 = 2;

/// One request of the engine.
#[derive(Debug)]
pub(crate) struct Persist {
    pub(crate) op: OpId,
    pub(crate) records: Vec<Record>,
    pub(crate) rewrite: bool,
}

/// What the log of the last run says.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) durable: Durable,
    /// The number of the last boot; 0 without one.
    pub(crate) boot: u64,
}

/// Reads what was remembered.
///
/// # Errors
/// A record that this version cannot read: the log as a whole is refused.
pub(crate) fn remembered(recovered: Recovered, dir: PathBuf) -> Result<Remembered, Error> {
    let mut boot = 0;
    let mut records = Vec::new();
    for (at, record) in recovered.records.into_iter().enumerate() {
        let refused = |why: String| Error::LogRecord { dir: dir.clone(), record: at + 1, why };
        match record.kind {
            KIND_ENGINE => records
                .push(codec::decode::<Record>(&record.bytes).map_err(|e| refused(e.to_string()))?),
            KIND_BOOT => {
                let bytes = <[u8; 8]>::try_from(record.bytes.as_slice())
                    .map_err(|_| refused("a boot number of the wrong length".to_owned()))?;
                boot = boot.max(u64::from_be_bytes(bytes));
            }
            kind => return Err(refused(format!("of unknown kind {kind}"))),
        }
    }
    Ok(Remembered { durable: Durable::replay(records), boot })
}

/// Makes this boot's number durable: no later one is as low, even if the clock went back.
///
/// # Errors
/// The log's own.
pub(crate) fn begin_boot(log: &mut Log, boot: u64) -> Result<(), Error> {
    Ok(log.append(&[boot_record(boot)])?)
}

fn boot_record(boot: u64) -> log::Record {
    log::Record { kind: KIND_BOOT, bytes: boot.to_be_bytes().to_vec() }
}

/// The log thread of one node. It ends when its sender is dropped.
pub(crate) struct LogThread {
    pub(crate) requests: Sender<Persist>,
    pub(crate) thread: JoinHandle<()>,
}

/// Starts the thread that owns the log.
///
/// # Errors
/// The operating system gives no thread.
pub(crate) fn spawn(log: Log, boot: u64, inbox: Inbox) -> Result<LogThread, Error> {
    // Unbounded, yet not without bound: the engine has few requests under way, and a disk that does
    // not answer ends its lease.
    let (requests, queue) = crossbeam_channel::unbounded();
    let thread = std::thread::Builder::new()
        .name("quorate-log".to_owned())
        .spawn(move || run(log, boot, &queue, &inbox))
        .map_err(Error::system("start the log thread"))?;
    Ok(LogThread { requests, thread })
}

fn run(mut log: Log, boot: u64, queue: &Receiver<Persist>, inbox: &Inbox) {
    let mut failed: Option<String> = None;
    while let Ok(first) = queue.recv() {
        let batch: Vec<Persist> = std::iter::once(first).chain(queue.try_iter()).collect();
        let mut rest = batch.as_slice();
        while let Some(next) = rest.first() {
            let count = if next.rewrite {
                1
            } else {
                rest.iter().take_while(|request| !request.rewrite).count()
            };
            let (together, later) = rest.split_at(count);
            rest = later;
            let result = match &failed {
                Some(error) => Err(error.clone()),
                None => write(&mut log, boot, together).map_err(|error| error.to_string()),
            };
            if let Err(error) = &result {
                failed.get_or_insert_with(|| error.clone());
            }
            let ops = together.iter().map(|request| request.op).collect();
            inbox.deliver(Input::Persisted { ops, result });
        }
    }
}

fn write(log: &mut Log, boot: u64, together: &[Persist]) -> Result<(), log::LogError> {
    let mut records: Vec<log::Record> = Vec::new();
    let rewrite = together.iter().any(|request| request.rewrite);
    if rewrite {
        records.push(boot_record(boot));
    }
    for record in together.iter().flat_map(|request| &request.records) {
        records.push(log::Record { kind: KIND_ENGINE, bytes: codec::encode(record) });
    }
    if rewrite { log.compact(&records) } else { log.append(&records) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use crossbeam_channel::bounded;
    use quorate_core::id::VoterId;

    use super::*;
    use crate::node::input::Full;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn hard_state(term: u64) -> Record {
        Record::HardState { term, vote: VoterId(7), commit: term }
    }

    fn reopened(dir: &std::path::Path) -> (Log, Remembered) {
        let (log, recovered) = Log::open(dir, 0xc0ffee, 1).unwrap();
        (log, remembered(recovered, dir.into()).unwrap())
    }

    #[test]
    fn what_was_answered_is_remembered_with_the_boot_also_after_a_rewrite() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, fresh) = reopened(dir.path());
        assert_eq!((fresh.boot, fresh.durable), (0, Durable::default()));
        begin_boot(&mut log, 41).unwrap();
        let (sender, answers) = bounded(16);
        let inbox = Inbox::new(sender, Arc::new(Full::default()));
        let LogThread { requests, thread } = spawn(log, 41, inbox).unwrap();
        let identity = Record::Identity(VoterId(7));
        let rewritten = vec![identity.clone(), hard_state(3)];
        for (op, records, rewrite) in [
            (1, vec![identity], false),
            (2, vec![hard_state(1)], false),
            (3, rewritten, true),
            (4, vec![hard_state(4)], false),
        ] {
            requests.send(Persist { op: OpId(op), records, rewrite }).unwrap();
        }
        let mut done = Vec::new();
        while done.len() < 4 {
            match answers.recv_timeout(PATIENCE).unwrap() {
                Input::Persisted { ops, result: Ok(()) } => done.extend(ops),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(done, [1, 2, 3, 4].map(OpId));
        drop(requests);
        thread.join().unwrap();
        let (_log, again) = reopened(dir.path());
        assert_eq!(again.boot, 41);
        assert_eq!(again.durable.identity, Some(VoterId(7)));
        assert_eq!(again.durable.hard_state, Some((4, VoterId(7), 4)));
    }

    #[test]
    fn a_record_of_another_kind_or_version_is_refused_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(dir.path(), 0xc0ffee, 1).unwrap();
        log.append(&[boot_record(1), log::Record { kind: 9, bytes: vec![] }]).unwrap();
        drop(log);
        let (_log, recovered) = Log::open(dir.path(), 0xc0ffee, 1).unwrap();
        let error = remembered(recovered, dir.path().into()).unwrap_err().to_string();
        assert!(error.contains("record 2") && error.contains("unknown kind 9"), "{error}");
        let foreign = Recovered {
            records: vec![log::Record { kind: KIND_ENGINE, bytes: vec![99, 0] }],
            created: false,
            cut: None,
        };
        let error = remembered(foreign, dir.path().into()).unwrap_err().to_string();
        assert!(error.contains("record 1") && error.contains("version 99"), "{error}");
    }

    #[test]
    #[ignore = "measures, and asserts nothing"]
    fn the_cost_of_a_thread_of_its_own() {
        const ROUNDS: u64 = 1_000;
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = reopened(dir.path());
        let began = Instant::now();
        for term in 0..ROUNDS {
            let bytes = codec::encode(&hard_state(term));
            log.append(&[log::Record { kind: KIND_ENGINE, bytes }]).unwrap();
        }
        println!("inline: {:?} each", began.elapsed() / ROUNDS as u32);
        let (sender, answers) = bounded(16);
        let inbox = Inbox::new(sender, Arc::new(Full::default()));
        let LogThread { requests, .. } = spawn(log, 41, inbox).unwrap();
        let began = Instant::now();
        for term in 0..ROUNDS {
            let records = vec![hard_state(term)];
            requests.send(Persist { op: OpId(term), records, rewrite: false }).unwrap();
            answers.recv().unwrap();
        }
        println!("thread: {:?} each", began.elapsed() / ROUNDS as u32);
    }
}
