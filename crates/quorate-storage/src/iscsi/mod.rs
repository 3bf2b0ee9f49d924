//! A LUN behind iSCSI, through libiscsi: one session, hence one nexus, for the reservation verbs
//! and the guest's I/O.
//!
//! QEMU's own initiator would be another nexus, which cannot write; it reaches this one through
//! `nbd`.
//!
//! ```text
//! callers --requests--> worker thread --libiscsi--> target
//!   ^                        |
//!   +------ answers ---------+---- events (refused, path lost, path back)
//! ```
//!
//! Without libiscsi at build time the same names exist and `IscsiLun::open` says what to install.

use std::time::Duration;

pub use url::{iscsi_address, without_password};

#[cfg(quorate_libiscsi)]
mod driver;
#[cfg(quorate_libiscsi)]
mod ffi;
#[cfg(quorate_libiscsi)]
mod request;
#[cfg(quorate_libiscsi)]
mod session;
#[cfg_attr(not(quorate_libiscsi), expect(dead_code, reason = "no session needs all of it"))]
mod url;
#[cfg(quorate_libiscsi)]
mod worker;
#[cfg(quorate_libiscsi)]
pub use driver::IscsiLun;

#[cfg(not(quorate_libiscsi))]
mod absent;
#[cfg(not(quorate_libiscsi))]
pub use absent::IscsiLun;

/// How to reach a LUN over iSCSI.
#[derive(Clone)]
pub struct IscsiOptions {
    /// `iscsi://[user%password@]host[:port]/iqn/lun`; port 3260 if left out.
    pub url: String,
    /// Our initiator name, as the target's access lists know it: `iqn.2026-01.org.example:node1`.
    pub initiator: String,
    /// What makes the nexus this one and stable over restarts: cluster, node and LUN name put
    /// together.
    ///
    /// Two handles with the same initiator and nexus throw each other's session out.
    pub nexus: String,
    /// Bound of each call, of connecting, and of the target's silence. At least 100 ms; 5 s is a
    /// good start.
    pub timeout: Duration,
}

impl std::fmt::Debug for IscsiOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.debug_struct("IscsiOptions")
            .field("initiator", &self.initiator)
            .field("nexus", &self.nexus)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
