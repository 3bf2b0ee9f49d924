//! Reads a recording, from bytes that nobody vouches for.

use super::frame::{Beats, Ending, Frame, OpeningFrame};
use super::{CHUNK_HEADER, HEADER, Header, MARKER, RecordingError, checksum, u32_at, u64_at};
use crate::durable::Durable;
use crate::engine::Setup;
use crate::event::Event;
use crate::time::Instant;

/// A clock that counts nanoseconds since a host's start reaches this after 146 years.
const TIME_MAX: u64 = 1 << 62;

/// What a recording begins with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Whose it is.
    pub header: Header,
    /// What the engine was made of. Its configuration holds stars for secrets.
    pub setup: Setup,
    /// The digest of the configuration with its secrets.
    pub digest: u64,
    /// When, on the engine's clock.
    pub start: Instant,
    /// When, in microseconds since 1970.
    pub unix_us: u64,
    /// The version of quorate that wrote it.
    pub version: String,
}

/// One thing that a recording holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A step of the engine.
    Step {
        /// Its time.
        now: Instant,
        /// What came in.
        event: Event,
        /// Part of the digest after it; none: the engine never came back from it.
        check: Option<u8>,
        /// Where it stands.
        offset: u64,
    },
    /// The digest after so many steps.
    Proof {
        /// How many.
        steps: u64,
        /// The digest.
        digest: u64,
        /// Where it stands.
        offset: u64,
    },
    /// The end, as it was written.
    End(Ending),
    /// The file ends here without one: the process was killed, or it still records.
    Torn {
        /// From here on nothing is whole.
        offset: u64,
    },
}

/// Reads piece by piece.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    file: &'a [u8],
    boot: u64,
    /// The next byte.
    at: usize,
    /// The end of the chunk that is being read.
    until: usize,
    sequence: u64,
    now: Instant,
    beats: Beats,
    is_over: bool,
}

impl<'a> Reader<'a> {
    /// Reads the opening.
    ///
    /// # Errors
    /// This is no recording, or its opening is not whole.
    pub fn open(file: &'a [u8]) -> Result<(Opening, Self), RecordingError> {
        let header = Header::decode(file)?;
        let mut reader = Self {
            file,
            boot: header.boot,
            at: HEADER,
            until: HEADER,
            sequence: 0,
            now: Instant(0),
            beats: Beats::default(),
            is_over: false,
        };
        if !reader.next_chunk()? {
            let what = "the file ends inside its opening: nothing was recorded yet";
            return Err(RecordingError::damaged(HEADER, what));
        }
        let start = reader.at;
        let frame: OpeningFrame = reader.take("an opening")?;
        if reader.at != reader.until {
            return Err(RecordingError::damaged(reader.at, "something stands behind the opening"));
        }
        let named = (frame.config.id(), frame.node, frame.boot);
        if named != (header.cluster, header.node, header.boot) {
            let what = "the opening is of another node than the header";
            return Err(RecordingError::damaged(start, what));
        }
        if frame.config.node(frame.node).is_none() {
            let what = format!("{} is not in the configuration", frame.node);
            return Err(RecordingError::damaged(start, what));
        }
        if frame.start.0 > TIME_MAX {
            return Err(RecordingError::damaged(start, "no clock shows the time of its beginning"));
        }
        reader.now = frame.start;
        let OpeningFrame {
            config,
            digest,
            node,
            boot,
            seed,
            records,
            inherits,
            start,
            unix_us,
            version,
        } = frame;
        let durable = Durable::replay(records);
        let setup = Setup { config, node, boot, durable, seed, inherits };
        Ok((Opening { header, setup, digest, start, unix_us, version }, reader))
    }

    /// The next piece; none behind the end.
    ///
    /// # Errors
    /// Something in the midst of it is damaged.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, RecordingError> {
        if self.is_over {
            return Ok(None);
        }
        while self.at == self.until {
            if !self.next_chunk()? {
                self.is_over = true;
                return Ok(Some(Piece::Torn { offset: self.at as u64 }));
            }
        }
        let offset = self.at as u64;
        let (later, event) = match self.take("a frame")? {
            Frame::Tick { later } => (later, Event::Tick),
            Frame::Beat { later, from, path, change } => {
                let beat = self.beats.beat(from, change);
                (later, Event::Beat { from, path, beat })
            }
            Frame::Event { later, event } => (later, event),
            Frame::Proof { steps, digest } => {
                return Ok(Some(Piece::Proof { steps, digest, offset }));
            }
            Frame::End { how, .. } => {
                self.is_over = true;
                return Ok(Some(Piece::End(how)));
            }
        };
        let check = self.take("the check of a step")?;
        self.now = Instant(self.now.0.wrapping_add(later));
        if self.now.0 > TIME_MAX {
            return Err(RecordingError::damaged(offset as usize, "no clock shows this time"));
        }
        let check = (!self.stands_at_open_end()).then_some(check);
        Ok(Some(Piece::Step { now: self.now, event, check, offset }))
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> u64 {
        self.at as u64
    }

    /// Whether what follows says that the step before it was never answered.
    fn stands_at_open_end(&self) -> bool {
        let rest = &self.file[self.at..self.until];
        matches!(postcard::take_from_bytes(rest), Ok((Frame::End { open: true, .. }, _)))
    }

    fn take<T: serde::de::DeserializeOwned>(&mut self, what: &str) -> Result<T, RecordingError> {
        let body = &self.file[self.at..self.until];
        let found = postcard::take_from_bytes(body);
        let (value, rest) =
            found.map_err(|_| RecordingError::damaged(self.at, format!("this is not {what}")))?;
        self.at = self.until - rest.len();
        Ok(value)
    }

    /// Goes to the next chunk; false: the file ends here.
    fn next_chunk(&mut self) -> Result<bool, RecordingError> {
        let start = self.at;
        let whole = header_at(self.file, start, self.boot).and_then(|(sequence, length, crc)| {
            let end = start.checked_add(CHUNK_HEADER)?.checked_add(length)?;
            let body = self.file.get(start + CHUNK_HEADER..end)?;
            (sequence == self.sequence && checksum(self.boot, body) == crc).then_some(end)
        });
        if let Some(end) = whole {
            self.at = start + CHUNK_HEADER;
            self.until = end;
            self.sequence += 1;
            return Ok(true);
        }
        let later = self.file.len().min(start + 1)..self.file.len();
        let follows = marks(&self.file[later.clone()]).any(|at| {
            let found = header_at(self.file, later.start + at, self.boot);
            found.is_some_and(|(sequence, ..)| sequence > self.sequence)
        });
        if follows {
            let what = "a damaged chunk is followed by a good one";
            return Err(RecordingError::damaged(start, what));
        }
        Ok(false)
    }
}

/// The sequence, length and body checksum of a chunk, if a whole and right header stands there.
fn header_at(file: &[u8], at: usize, boot: u64) -> Option<(u64, usize, u32)> {
    let header = file.get(at..)?.get(..CHUNK_HEADER)?;
    let right = u32_at(header, 0) == MARKER && u32_at(header, 20) == checksum(boot, &header[..20]);
    right.then(|| (u64_at(header, 4), u32_at(header, 12) as usize, u32_at(header, 16)))
}

/// Where the marker of a chunk stands.
fn marks(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let marker = MARKER.to_le_bytes();
    bytes.windows(4).enumerate().filter(move |(_, part)| *part == marker).map(|(at, _)| at)
}
