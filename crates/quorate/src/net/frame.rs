//! Frames of a proved stream. Pure: bytes in, messages out.
//!
//! ```text
//! frame = length:u16 sealed( kind:u8 bytes )
//! ```
//!
//! A message goes in as many frames as it needs, the last one marked. Noise numbers the frames, so
//! none can be left out, repeated or moved.

use snow::TransportState;

use super::config::MESSAGE_BYTES_MAX;
use super::event::Goodbye;

const KIND_PING: u8 = 0;
const KIND_PART: u8 = 1;
const KIND_LAST: u8 = 2;
const KIND_GOODBYE: u8 = 3;

/// The longest Noise message.
const SEALED_MAX: usize = 65_535;
const TAG: usize = 16;
/// Most bytes of a message in one frame.
const PART_MAX: usize = SEALED_MAX - TAG - 1;

/// What a peer sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Nothing but a sign of life.
    Ping,
    /// A whole message.
    Message(Vec<u8>),
    /// The peer's last word.
    Goodbye(Goodbye),
}

/// What came was not sealed by the peer, or not what a peer sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Corrupt;

/// Bytes that came in and are not used up.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    used: usize,
}

impl Input {
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    pub(super) fn consume(&mut self, length: usize) {
        self.used += length;
        assert!(self.used <= self.bytes.len(), "nothing is used up that did not come in");
        if self.used == self.bytes.len() {
            self.bytes.clear();
            self.used = 0;
        }
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        // Once for each read of the socket, not for each frame.
        self.bytes.drain(..self.used);
        self.used = 0;
        self.bytes.extend_from_slice(bytes);
    }
}

impl From<Vec<u8>> for Input {
    fn from(bytes: Vec<u8>) -> Input {
        Input { bytes, used: 0 }
    }
}

/// Seals and opens the frames of one stream.
pub(super) struct Session {
    noise: TransportState,
    /// The message that is coming in, in parts.
    partial: Vec<u8>,
    scratch: Vec<u8>,
}

impl Session {
    pub(super) fn new(noise: TransportState) -> Session {
        Session { noise, partial: Vec::new(), scratch: Vec::new() }
    }

    pub(super) fn seal_ping(&mut self, out: &mut Vec<u8>) {
        self.seal(KIND_PING, &[], out);
    }

    pub(super) fn seal_goodbye(&mut self, reason: Goodbye, out: &mut Vec<u8>) {
        self.seal(KIND_GOODBYE, &[reason as u8], out);
    }

    /// Seals the next part of a message and says how much of it that was: all, when it is the last.
    pub(super) fn seal_part(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let length = rest.len().min(PART_MAX);
        let kind = if length == rest.len() { KIND_LAST } else { KIND_PART };
        self.seal(kind, &rest[..length], out);
        length
    }

    /// Takes frames off the input until one of them is of interest.
    pub(super) fn open_next(&mut self, input: &mut Input) -> Result<Option<Frame>, Corrupt> {
        while let Some((length, found)) = self.open_one(input.unread())? {
            input.consume(length);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn open_one(&mut self, input: &[u8]) -> Result<Option<(usize, Option<Frame>)>, Corrupt> {
        let Some((prefix, rest)) = input.split_first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*prefix));
        let Some(sealed) = rest.get(..length) else { return Ok(None) };
        self.scratch.resize(length, 0);
        let text_length =
            self.noise.read_message(sealed, &mut self.scratch).map_err(|_| Corrupt)?;
        let (kind, bytes) = self.scratch[..text_length].split_first().ok_or(Corrupt)?;
        let frame = match (*kind, bytes) {
            (KIND_PING, []) => Some(Frame::Ping),
            (KIND_GOODBYE, [code]) => {
                Some(Frame::Goodbye(Goodbye::from_code(*code).ok_or(Corrupt)?))
            }
            (KIND_PART | KIND_LAST, bytes) => {
                if self.partial.len() + bytes.len() > MESSAGE_BYTES_MAX {
                    return Err(Corrupt);
                }
                self.partial.extend_from_slice(bytes);
                let whole = *kind == KIND_LAST;
                whole.then(|| Frame::Message(std::mem::take(&mut self.partial)))
            }
            _ => return Err(Corrupt),
        };
        Ok(Some((2 + length, frame)))
    }

    fn seal(&mut self, kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
        self.scratch.clear();
        self.scratch.push(kind);
        self.scratch.extend_from_slice(bytes);
        let sealed = self.scratch.len() + TAG;
        let start = out.len();
        out.extend_from_slice(&(sealed as u16).to_be_bytes());
        out.resize(start + 2 + sealed, 0);
        let written = self
            .noise
            .write_message(&self.scratch, &mut out[start + 2..])
            .expect("a part fits a frame, and 2^64 frames are not sent in a lifetime");
        debug_assert_eq!(written, sealed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::handshake::{Greeting, Identity};
    use super::*;
    use crate::key::ClusterKey;
    use proptest::prelude::*;

    /// The two ends of one stream.
    fn pair() -> (Session, Session) {
        let [one, two] =
            [1, 2].map(|me| Identity::new(&ClusterKey::from_bytes([3; 32]), 77, me, 1));
        let (bytes, calling) = one.call(2, 1);
        let Ok(Greeting::Stream(hello, answering)) = two.read_greeting(&mut Input::from(bytes))
        else {
            panic!("the greeting was not taken")
        };
        let (answer, at_two) = two.welcome(hello, *answering, 1);
        let Ok(at_one) = one.read_answer(calling, &mut Input::from(answer)) else {
            panic!("the answer was not taken")
        };
        (at_one.session, at_two.session)
    }

    fn seal_message(session: &mut Session, message: &[u8], out: &mut Vec<u8>) {
        let mut sealed = 0;
        loop {
            sealed += session.seal_part(&message[sealed..], out);
            if sealed == message.len() {
                return;
            }
        }
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_receiver() {
        let (mut one, mut two) = pair();
        let part = vec![0; PART_MAX];
        let mut wire = Vec::new();
        for _ in 0..=MESSAGE_BYTES_MAX / PART_MAX {
            wire.clear();
            one.seal(KIND_PART, &part, &mut wire);
            if two.open_next(&mut Input::from(wire.clone())) == Err(Corrupt) {
                return;
            }
        }
        panic!("the message grew without end");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn messages_survive_any_splitting_of_the_bytes(
            sizes in proptest::collection::vec(0usize..200_000, 0..4),
            step in 1usize..70_000,
        ) {
            let (mut one, mut two) = pair();
            let messages: Vec<Vec<u8>> = sizes.iter().map(|size| vec![*size as u8; *size]).collect();
            let mut wire = Vec::new();
            for message in &messages {
                seal_message(&mut one, message, &mut wire);
                one.seal_ping(&mut wire);
            }
            let (mut input, mut found) = (Input::default(), Vec::new());
            for chunk in wire.chunks(step) {
                input.extend(chunk);
                while let Some(frame) = two.open_next(&mut input).unwrap() {
                    if let Frame::Message(message) = frame {
                        found.push(message);
                    }
                }
            }
            prop_assert!(found == messages);
            prop_assert!(input.unread().is_empty());
        }

        #[test]
        fn a_frame_with_any_bit_flipped_gives_nothing(
            message in proptest::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let (mut one, mut two) = pair();
            let mut wire = Vec::new();
            seal_message(&mut one, &message, &mut wire);
            let at = at.index(wire.len());
            wire[at] ^= 1 << bit;
            prop_assert!(matches!(two.open_next(&mut Input::from(wire)), Ok(None) | Err(Corrupt)));
        }
    }
}
