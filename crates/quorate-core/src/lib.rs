//! The pure engine of quorate: an event and a time in, actions out.
//!
//! One [`Engine`] is one node's share of the cluster: membership, quorum, the replicated database,
//! LUN locks, groups and every failover decision. The host (the `quorate` crate, or the simulator)
//! calls [`Engine::step`] with what happened and when, carries out the [`Action`]s it returns, and
//! reports each outcome as another [`Event`].
//!
//! *Architecture Invariant*: nothing here reads a clock, draws randomness from the system, opens a
//! file or a socket, or spawns a thread. The same events at the same times give the same actions.

#![forbid(unsafe_code)]

pub mod action;
pub mod change;
pub mod codec;
pub mod config;
pub mod event;
pub mod id;
pub mod message;
pub mod notice;
pub mod output;
pub mod plant;
pub mod random;
mod secrets;
pub mod time;
pub mod timer;

pub mod placement;
pub mod quorum;

pub mod consensus;
pub mod database;
pub mod fence;
pub mod group;
pub mod heartbeat;
pub mod lease;
pub mod lock;

pub mod durable;
pub mod engine;
pub mod recording;
pub mod status;

pub use action::Action;
pub use engine::Engine;
pub use event::Event;
pub use notice::Notice;
