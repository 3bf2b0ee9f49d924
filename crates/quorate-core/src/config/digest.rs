//! What configurations are known by, without being carried about.

use super::ClusterConfig;
use crate::secrets;

impl ClusterConfig {
    /// A number that is equal for equal configurations: nodes compare it before they found a
    /// cluster together.
    pub fn digest(&self) -> u64 {
        fnv(&self.encoded())
    }

    /// The same of what is left when passwords are overwritten: it is equal in a recording, which has none.
    pub fn public_digest(&self) -> u64 {
        let mut bytes = self.encoded();
        secrets::hide(&mut bytes);
        fnv(&bytes)
    }

    fn encoded(&self) -> Vec<u8> {
        postcard::to_stdvec(&self.parts).expect("a configuration always encodes")
    }
}

/// FNV-1a: it finds mistakes, not attacks.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
