//! Lives a recording again.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::RecordingError;
use super::digest::{Digest, append};
use super::frame::Ending;
use super::read::{Opening, Piece, Reader};
use crate::action::Action;
use crate::engine::Engine;
use crate::event::Event;
use crate::notice::Notice;
use crate::time::Instant;

/// One step, made again.
#[derive(Clone, Debug)]
pub struct Stepped {
    /// Which, from 1.
    pub number: u64,
    /// When, on the engine's clock.
    pub now: Instant,
    /// What came in.
    pub event: Event,
    /// What the engine wanted.
    pub actions: Vec<Action>,
    /// What it found worth telling.
    pub notices: Vec<Notice>,
    /// Where it stands in the recording.
    pub offset: u64,
}

/// What a replay has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything so far was as it had been.
    Reproduced,
    /// From this step on the engine did something else.
    Differs {
        /// The first step that differs, from 1.
        step: u64,
        /// Where it stands.
        offset: u64,
    },
    /// The engine panics in this step.
    Panicked {
        /// The step, from 1; 0: it was never made.
        step: u64,
        /// Where it stands.
        offset: u64,
        /// Its words.
        text: String,
        /// Whether it did so when it was recorded.
        as_recorded: bool,
    },
}

/// An engine that lives a recording again.
pub struct Replay<'a> {
    reader: Reader<'a>,
    opening: Opening,
    engine: Option<Engine>,
    digest: Digest,
    scratch: Vec<u8>,
    steps: u64,
    now: Instant,
    verdict: Verdict,
    ending: Option<Ending>,
    torn: Option<u64>,
}

impl<'a> Replay<'a> {
    /// The engine of a recording, at its beginning.
    ///
    /// # Errors
    /// This is no recording.
    pub fn begin(file: &'a [u8]) -> Result<Self, RecordingError> {
        let (opening, reader) = Reader::open(file)?;
        let (setup, digest, start) = (opening.setup.clone(), opening.digest, opening.start);
        let made = catch_unwind(AssertUnwindSafe(|| Engine::again(setup, digest, start)));
        let mut verdict = Verdict::Reproduced;
        let engine = made.map_err(|panic| {
            let (text, offset) = (words_of(&*panic), reader.offset());
            verdict = Verdict::Panicked { step: 0, offset, text, as_recorded: false };
        });
        Ok(Self {
            reader,
            engine: engine.ok(),
            digest: Digest::new(),
            scratch: Vec::new(),
            steps: 0,
            now: start,
            verdict,
            ending: None,
            torn: None,
            opening,
        })
    }

    /// The next step; none at the end, or when the engine did something else.
    ///
    /// # Errors
    /// The recording is damaged there.
    pub fn step(&mut self) -> Result<Option<Stepped>, RecordingError> {
        self.step_until(Instant(u64::MAX))
    }

    /// The next step, unless it is later than `last`.
    ///
    /// # Errors
    /// The recording is damaged there.
    pub fn step_until(&mut self, last: Instant) -> Result<Option<Stepped>, RecordingError> {
        while self.verdict == Verdict::Reproduced && self.ending.is_none() {
            match self.reader.next_piece()? {
                None => break,
                Some(Piece::Step { now, .. }) if now > last => break,
                Some(Piece::Step { now, event, check, offset }) => {
                    return Ok(self.make(now, event, check, offset));
                }
                Some(Piece::Proof { steps, digest, offset }) => {
                    if steps != self.steps || digest != self.digest.value() {
                        self.verdict = Verdict::Differs { step: self.steps, offset };
                    }
                }
                Some(Piece::End(how)) => self.ending = Some(how),
                Some(Piece::Torn { offset }) => self.torn = Some(offset),
            }
        }
        Ok(None)
    }

    fn make(
        &mut self,
        now: Instant,
        event: Event,
        check: Option<u8>,
        offset: u64,
    ) -> Option<Stepped> {
        let engine = self.engine.as_mut()?;
        self.steps += 1;
        self.now = self.now.max(now);
        let number = self.steps;
        let made = catch_unwind(AssertUnwindSafe(|| {
            let actions = engine.step(event.clone(), now);
            (actions, engine.notices())
        }));
        let (actions, notices) = match made {
            Ok(made) => made,
            Err(panic) => {
                let (text, as_recorded) = (words_of(&*panic), check.is_none());
                self.verdict = Verdict::Panicked { step: number, offset, text, as_recorded };
                self.engine = None;
                return None;
            }
        };
        self.scratch.clear();
        actions.iter().for_each(|action| append(action, &mut self.scratch));
        self.digest.take(&self.scratch);
        if check != Some(self.digest.part()) {
            self.verdict = Verdict::Differs { step: number, offset };
        }
        Some(Stepped { number, now, event, actions, notices, offset })
    }

    /// What was recorded.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// The engine as it is after the last step; none: it has panicked.
    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// The time of the last step, on the engine's clock.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How many steps have been made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What the replay has shown so far.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// How the recording ends; none before its end, and if it was torn.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Where a recording without an end breaks off.
    pub fn torn(&self) -> Option<u64> {
        self.torn
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> u64 {
        self.reader.offset()
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
