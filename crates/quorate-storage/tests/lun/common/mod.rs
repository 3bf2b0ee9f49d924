//! What several of these tests share.
#![allow(dead_code)]

pub(crate) mod model;
pub(crate) mod nbd;

/// One block of a LUN in bytes.
pub(crate) const BLOCK: usize = 512;

/// Numbers from a seed: a test that fails once fails again.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 0 to `end - 1`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}
