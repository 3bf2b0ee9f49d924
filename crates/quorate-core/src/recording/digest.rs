//! What an engine did, as one number.

use serde::Serialize;

/// A digest of all actions of an engine so far. It is the same in every build, on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest(u64);

impl Digest {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes in what one step has encoded.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        // Two steps are not one: their border counts.
        self.0 = (self.0 ^ bytes.len() as u64).wrapping_mul(0x0100_0000_01b3);
    }

    /// All of it.
    pub(super) fn value(self) -> u64 {
        self.0
    }

    /// The part that stands behind every step.
    pub(super) fn part(self) -> u8 {
        (self.0 >> 56) as u8 ^ self.0 as u8
    }
}

/// Encodes a value to the end of `bytes`.
pub(super) fn append<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) {
    let taken = std::mem::take(bytes);
    *bytes = postcard::to_extend(value, taken).expect("our own types always encode");
}
