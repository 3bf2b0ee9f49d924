//! The C interface of quorate: `include/quorate.h` is made from this crate.
//!
//! Owns how a call from C becomes a call of `quorate`, and nothing else: no policy, no state but
//! the text of each thread's last error.
//!
//! *Architecture invariants*
//! - Handles and outputs come in as `Option<&T>`, `Option<Box<T>>` and `Option<&mut
//!   MaybeUninit<T>>`: for C these are pointers that may be NULL. The header makes the caller
//!   promise that such a pointer is NULL or valid for the call. Only text and arrays come in as raw
//!   pointers.
//! - Every entry runs inside one of the guards of `guard`; no panic leaves this crate.
//! - An output is written last, and only on success.
//! - The numbers of statuses and verbs are written out and never used again.

// The names are those of C, so that code, header and error texts say the same.
#![allow(non_camel_case_types)]
// What a caller must keep to is told in the words of the header: `Memory and lifetimes`, `Threads`.
#![allow(clippy::missing_safety_doc)]

// In the order of the header, which rustfmt would sort.
mod status;

mod text;

mod guard;

mod config;

mod key;

mod node;

mod command;

mod import;

mod operate;

mod configuring;

mod item;

mod replay;

mod test_cluster;

mod test_fault;

mod test_command;

mod what_if;

mod fencing;

mod lun;

pub use command::*;
pub use config::*;
pub use configuring::*;
pub use fencing::*;
pub use guard::quorate_error_copy;
pub use import::*;
pub use item::*;
pub use key::*;
pub use lun::*;
pub use node::*;
pub use operate::*;
pub use replay::quorate_replay;
pub use status::{quorate_status, quorate_status_name};
pub use test_cluster::*;
pub use test_command::*;
pub use test_fault::*;
pub use text::{
    quorate_string, quorate_string_free, quorate_string_text, quorate_text, quorate_text_borrow,
    quorate_version,
};
pub use what_if::*;
