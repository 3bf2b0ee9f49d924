//! Makes a recording, as bytes for somebody to keep.

use super::digest::{Digest, append};
use super::frame::{Beats, Ending, Frame, OpeningFrame};
use super::{Header, chunk};
use crate::action::Action;
use crate::engine::Setup;
use crate::event::Event;
use crate::secrets::hide;
use crate::time::Instant;

/// What a driver knows of a recording's beginning, and the engine does not.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The time in microseconds since 1970.
    pub unix_us: u64,
    /// The version of quorate.
    pub version: String,
}

/// Records one engine. Call [`Recorder::event`] before each step and [`Recorder::actions`] after it.
#[derive(Debug)]
pub struct Recorder {
    boot: u64,
    last: Instant,
    beats: Beats,
    digest: Digest,
    steps: u64,
    sequence: u64,
    /// A step's digest is still to come.
    is_open: bool,
    body: Vec<u8>,
    scratch: Vec<u8>,
}

impl Recorder {
    /// A recorder of an engine that is made of `setup` at `now`, and the first bytes of its file.
    pub fn begin(setup: &Setup, now: Instant, origin: Origin) -> (Self, Vec<u8>) {
        let mut recorder = Self {
            boot: setup.boot,
            last: now,
            beats: Beats::default(),
            digest: Digest::new(),
            steps: 0,
            sequence: 0,
            is_open: false,
            body: Vec::new(),
            scratch: Vec::new(),
        };
        let opening = OpeningFrame {
            config: setup.config.clone(),
            digest: setup.config.digest(),
            node: setup.node,
            boot: setup.boot,
            seed: setup.seed,
            records: setup.durable.records(),
            inherits: setup.inherits.clone(),
            start: now,
            unix_us: origin.unix_us,
            version: origin.version,
        };
        recorder.append_hidden(&opening);
        let header =
            Header { cluster: setup.config.id(), node: setup.node, boot: setup.boot }.encode();
        let bytes = [&header[..], &recorder.take_body()].concat();
        (recorder, bytes)
    }

    /// What comes in.
    pub fn event(&mut self, event: &Event, now: Instant) {
        let later = now.0.wrapping_sub(self.last.0);
        self.last = now;
        match event {
            Event::Tick => append(&Frame::Tick { later }, &mut self.body),
            Event::Beat { from, path, beat } => {
                let change = self.beats.change(*from, beat);
                let frame = Frame::Beat { later, from: *from, path: *path, change };
                append(&frame, &mut self.body);
            }
            event => self.append_hidden(&Frame::Event { later, event: event.clone() }),
        }
        self.is_open = true;
    }

    /// What the engine made of it.
    pub fn actions(&mut self, actions: &[Action]) {
        self.scratch.clear();
        actions.iter().for_each(|action| append(action, &mut self.scratch));
        hide(&mut self.scratch);
        self.digest.take(&self.scratch);
        self.steps += 1;
        self.body.push(self.digest.part());
        self.is_open = false;
    }

    /// How many bytes wait to be taken.
    pub fn waiting(&self) -> usize {
        self.body.len()
    }

    /// The bytes that wait, with a proof of all steps so far.
    pub fn take(&mut self) -> Vec<u8> {
        let proof = Frame::Proof { steps: self.steps, digest: self.digest.value() };
        append(&proof, &mut self.body);
        self.take_body()
    }

    /// The last bytes.
    pub fn end(mut self, how: Ending) -> Vec<u8> {
        if self.is_open {
            self.body.push(0);
        }
        append(&Frame::End { how, open: self.is_open }, &mut self.body);
        self.take_body()
    }

    fn append_hidden<T: serde::Serialize>(&mut self, value: &T) {
        let start = self.body.len();
        append(value, &mut self.body);
        hide(&mut self.body[start..]);
    }

    fn take_body(&mut self) -> Vec<u8> {
        let bytes = chunk(self.boot, self.sequence, &self.body);
        self.body.clear();
        self.sequence += 1;
        bytes
    }
}
