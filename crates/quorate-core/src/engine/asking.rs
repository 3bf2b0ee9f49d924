//! Numbers in commands: what nobody can mean is refused, with what would do.

use std::time::Duration;

use crate::config::{Amounts, ClusterConfig, FAILURES_MAX, LENGTH_MAX};
use crate::message::Refusal;
use crate::time::millis;

fn refused<T>(text: String) -> Result<T, Refusal> {
    Err(Refusal::NotPossible(text))
}

/// How long a disarm lasts; none: until it is ended.
pub(super) fn time_to_live(ttl: Option<Duration>) -> Result<Option<u64>, Refusal> {
    let most = LENGTH_MAX.as_secs();
    match ttl {
        Some(ttl) if ttl.is_zero() => {
            refused("a disarm for 0 s would do nothing: give it a time, or none at all".to_owned())
        }
        Some(ttl) if ttl > LENGTH_MAX => refused(format!(
            "a disarm for {} s would outlive everybody: use at most {most} s, or give it no time",
            ttl.as_secs()
        )),
        _ => Ok(ttl.map(millis)),
    }
}

pub(super) fn count_of_failures(count: u32) -> Result<u32, Refusal> {
    match count <= FAILURES_MAX {
        true => Ok(count),
        false => {
            refused(format!("{count} failures are more than {FAILURES_MAX}: use at most that"))
        }
    }
}

/// Whether nodes have any of what a group is said to load them with.
pub(super) fn check_load(config: &ClusterConfig, load: &Amounts) -> Result<(), Refusal> {
    let has = |kind: &String| config.nodes().iter().any(|node| node.capacity.contains_key(kind));
    let Some(kind) = load.keys().find(|kind| !has(kind)) else { return Ok(()) };
    let mut known: Vec<&str> =
        config.nodes().iter().flat_map(|node| node.capacity.keys().map(String::as_str)).collect();
    known.sort_unstable();
    known.dedup();
    // Where no node says what it has of anything, nothing can be held against it.
    match known.is_empty() {
        true => Ok(()),
        false => refused(format!("no node has any {kind}; what there is: {}", known.join(", "))),
    }
}
