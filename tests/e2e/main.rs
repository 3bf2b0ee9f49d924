//! The whole path on real parts: three hosts in namespaces, an iSCSI target, QEMU, and faults.
//!
//! `run.sh` builds the command first.

mod demo;
mod stage;
mod stories;
