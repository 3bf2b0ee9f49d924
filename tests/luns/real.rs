//! A real target with several nexus on its LUN, told raw commands.

use std::time::Duration;

use quorate_sim::storage::{ReservationType, ReserveOut};
use quorate_storage::testing::{LioTarget, RawCommand, RawFailure, Target};
use quorate_storage::{IscsiLun, IscsiOptions, Lun, ReservationKey};

pub(crate) const BLOCK: usize = 512;
const SIZE: u64 = 16 << 20;
const TIMEOUT: Duration = Duration::from_secs(20);
/// Nobody else's key.
const OBSERVER: ReservationKey = ReservationKey(0x0b5e);
/// More unit attentions than this in a row are a fault of their own.
const ATTENTIONS_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Tgt,
    Lio,
}

/// The process behind it; killed when dropped.
#[derive(Debug)]
enum Process {
    Tgt(Target),
    Lio(LioTarget),
}

/// How a command ended, once its unit attentions were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    Good,
    Conflict,
    /// CHECK CONDITION: sense key, code and qualifier.
    Check(u8, u16),
}

pub(crate) const INVALID_IN_COMMAND: Answer = Answer::Check(5, 0x2400);
pub(crate) const INVALID_IN_LIST: Answer = Answer::Check(5, 0x2600);
pub(crate) const INVALID_RELEASE: Answer = Answer::Check(5, 0x2604);

/// A target, its observer, who never stays registered, and the nexus that play.
#[derive(Debug)]
pub(crate) struct Real {
    make: Make,
    process: Process,
    pub(crate) observer: IscsiLun,
    pub(crate) nexus: Vec<IscsiLun>,
}

impl Real {
    pub(crate) fn start(make: Make, nexus: usize) -> Self {
        let process = match make {
            Make::Tgt => Process::Tgt(Target::start(SIZE).expect("tgt starts")),
            Make::Lio => Process::Lio(LioTarget::start().expect("LIO starts")),
        };
        let observer = open(&process, "observer");
        let nexus = (0..nexus).map(|index| open(&process, &index.to_string())).collect();
        Self { make, process, observer, nexus }
    }

    pub(crate) fn make(&self) -> Make {
        self.make
    }

    /// The nexus loses its session and comes again under the same names.
    pub(crate) fn reopen(&mut self, nexus: usize) {
        drop(self.nexus.remove(nexus));
        self.nexus.insert(nexus, open(&self.process, &nexus.to_string()));
        drain(&self.nexus[nexus]);
    }

    /// Takes every registration and reservation away, and everybody's unit attentions.
    pub(crate) fn clear(&self) {
        self.observer.register(OBSERVER).expect("the observer may register");
        self.observer.clear(OBSERVER).expect("a registrant may clear");
        self.nexus.iter().chain([&self.observer]).for_each(drain);
    }

    /// What really stands at a block, by way of a nexus that may read it.
    pub(crate) fn bytes(&self, block: u64, reader: Option<usize>) -> Option<Vec<u8>> {
        match (&self.process, reader) {
            (Process::Tgt(target), _) => {
                use std::os::unix::fs::FileExt;
                let file = std::fs::File::open(target.backing_file()).expect("the LUN is a file");
                let mut bytes = vec![0; BLOCK];
                file.read_exact_at(&mut bytes, block * BLOCK as u64).expect("the block is there");
                Some(bytes)
            }
            (Process::Lio(_), Some(reader)) => {
                let (told, answer) = tell(&self.nexus[reader], &RawCommand::Read { block });
                assert!(told.is_empty(), "a reader has no unit attention left: {told:x?}");
                Some(answer.unwrap_or_else(|answer| panic!("a reader is refused: {answer:?}")))
            }
            (Process::Lio(_), None) => None,
        }
    }
}

fn open(process: &Process, node: &str) -> IscsiLun {
    let url = match process {
        Process::Tgt(target) => target.url(),
        Process::Lio(target) => target.url(),
    };
    let initiator = format!("iqn.2026-01.org.quorate:{node}");
    let options = IscsiOptions { url, initiator, nexus: format!("test/{node}"), timeout: TIMEOUT };
    IscsiLun::open(options).expect("the target lets everybody in")
}

/// Gives a command until it is not answered by a unit attention: those, and the answer.
pub(crate) fn tell(lun: &IscsiLun, command: &RawCommand) -> (Vec<u16>, Result<Vec<u8>, Answer>) {
    let mut told = vec![];
    loop {
        match lun.tell(command.clone()) {
            Ok(bytes) => return (told, Ok(bytes)),
            Err(RawFailure::Conflict) => return (told, Err(Answer::Conflict)),
            Err(RawFailure::Check { key: 6, code }) => told.push(code),
            Err(RawFailure::Check { key, code }) => return (told, Err(Answer::Check(key, code))),
            Err(RawFailure::Aborted) => panic!("{command:x?}: aborted, with nobody else about"),
            Err(RawFailure::Other(error)) => panic!("{command:x?}: {error}"),
        }
        assert!(told.len() < ATTENTIONS_MAX, "unit attentions without end: {told:x?}");
    }
}

/// Takes the unit attentions that wait.
fn drain(lun: &IscsiLun) {
    // Who is told of them and is then refused has none left either.
    let _ = tell(lun, &RawCommand::Read { block: 0 });
}

/// A command of the simulator's in a device's words.
pub(crate) fn raw(command: ReserveOut) -> RawCommand {
    const NONE: u64 = 0;
    let no_type = ReservationType::WriteExclusiveRegistrantsOnly;
    let (action, kind, key, action_key) = match command {
        ReserveOut::Register(existing, new) => (0, no_type, existing.0, new.0),
        ReserveOut::Reserve(key, kind) => (1, kind, key.0, NONE),
        ReserveOut::Release(key, kind) => (2, kind, key.0, NONE),
        ReserveOut::Clear(key) => (3, no_type, key.0, NONE),
        ReserveOut::Preempt(key, victim, kind) => (4, kind, key.0, victim.0),
        ReserveOut::PreemptAndAbort(key, victim, kind) => (5, kind, key.0, victim.0),
        ReserveOut::RegisterAndIgnore(new) => (6, no_type, NONE, new.0),
    };
    RawCommand::ReserveOut { action, kind: kind as u8, key, action_key }
}
