//! A whole cluster in the simulator. One program: each more has to be linked.

mod configured;
mod manual;
mod members;
mod planted;
mod policies;
mod seeds;
mod single;
mod testing;
mod timeline;
mod what_if;
mod witness;
