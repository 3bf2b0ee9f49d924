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
