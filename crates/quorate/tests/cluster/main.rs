//! Whole nodes in one process: real sockets on loopback, real logs, a directory as LUN, real
//! processes.

mod bad_input;
mod configuring;
mod disk;
mod failover;
mod guest;
mod host;
mod measure;
mod membership;
mod parts;
mod recording;
mod safety;
mod trio;
mod witness;
