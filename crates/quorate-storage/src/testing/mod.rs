//! Real parts for tests and demos: an iSCSI target in user space (`tgtd`), the kernel's own in a
//! small guest, and a wire that can be cut. No root, no kernel module.

pub mod hostile;
mod lio;
mod proxy;
mod raw;
mod target;

pub use lio::LioTarget;
pub use proxy::Proxy;
pub use raw::{RawCommand, RawFailure};
pub use target::Target;
