//! The `quorate` command, and the laboratory in which its demo and the end-to-end tests run.

pub mod control;
pub mod counter;
pub mod demo;
pub mod lab;
pub mod writes;
