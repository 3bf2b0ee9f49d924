//! The thread that reaches the witness's register: a directory on a share, which may hang for as long as it likes.
//!
//! *Architecture invariant*: the engine never waits for it. While one request hangs, every other one is answered at
//! once, with that.

mod directory;

use std::path::PathBuf;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use quorate_core::Event;
use quorate_core::action::WitnessVerb;
use quorate_core::config::{ClusterConfig, NodeConfig};
use quorate_core::event::WitnessReply;
use quorate_core::id::OpId;

use super::input::Facts;
use crate::Error;
use directory::Directory;

/// One request of the engine.
type Job = (OpId, WitnessVerb);

/// The way to the register. Its thread ends once this is dropped, or when the share lets it.
pub(crate) struct Witness {
    /// None: there is no witness, or it does not vote.
    jobs: Option<Sender<Job>>,
}

impl Witness {
    /// Starts the thread, where a witness votes.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn start(
        config: &ClusterConfig,
        me: &NodeConfig,
        boot: u64,
        facts: Facts,
    ) -> Result<Self, Error> {
        let votes = config.witness().filter(|_| config.witness_votes() && me.voter);
        let Some(witness) = votes else { return Ok(Self { jobs: None }) };
        let (jobs, queue) = bounded(1);
        let directory = Directory::new(PathBuf::from(&witness.path), me.id, boot);
        std::thread::Builder::new()
            .name("quorate-witness".to_owned())
            .spawn(move || run(&directory, &queue, &facts))
            .map_err(Error::system("start the thread of the witness"))?;
        Ok(Self { jobs: Some(jobs) })
    }

    /// Hands a request on. Gives the answer, if it cannot.
    pub(crate) fn carry_out(&self, op: OpId, verb: WitnessVerb) -> Option<Event> {
        let failed = |why: &str| Some(Event::Witness { op, result: Err(why.to_owned()) });
        let Some(jobs) = &self.jobs else {
            return failed("this node was started without a witness");
        };
        match jobs.try_send((op, verb)) {
            Ok(()) => None,
            Err(TrySendError::Full(_)) => failed("the requests before this one hang"),
            Err(TrySendError::Disconnected(_)) => failed("its thread has ended"),
        }
    }
}

fn run(directory: &Directory, queue: &Receiver<Job>, facts: &Facts) {
    while let Ok((op, verb)) = queue.recv() {
        let result = match verb {
            WitnessVerb::Read => {
                directory.read().map(|(version, bytes)| WitnessReply::State { version, bytes })
            }
            WitnessVerb::Swap { expected, bytes } => {
                directory.swap(expected, &bytes).map(|done| match done {
                    true => WitnessReply::Swapped,
                    false => WitnessReply::Changed,
                })
            }
        };
        facts.tell(Event::Witness { op, result: result.map_err(|error| error.to_string()) });
    }
}
