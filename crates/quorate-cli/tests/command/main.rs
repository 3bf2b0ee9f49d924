//! The command as a user meets it. One program: each more has to be linked.

mod cli;
mod fencing;
mod home;
mod import;
mod run;
mod seeds;
mod simulate;
mod torture;
