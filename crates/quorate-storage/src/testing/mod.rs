//! Real parts for tests and demos: an iSCSI target in user space (`tgtd`), and a wire that can be
//! cut. No root, no kernel module.

mod proxy;
mod target;

pub use proxy::Proxy;
pub use target::Target;
