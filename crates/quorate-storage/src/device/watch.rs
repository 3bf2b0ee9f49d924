//! Keeps the registration right on every path while this host is registered, and sees at once when it is gone.
//!
//! The list of keys tells it all: our key stands there once for each path. Fewer: a path has come, or comes by another
//! nexus than before, and is registered, but only while another path proves that nobody has preempted us. None: we
//! were preempted, or the device has lost its reservations.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::path::{Verb, count};
use super::{Inner, is_path_trouble};
use crate::standing::Standing;
use crate::{LunError, LunEvent, ReservationKey};

pub(super) fn run(inner: &Inner, interval: Duration) {
    let mut is_lost = false;
    while !inner.stop.load(Ordering::Acquire) {
        std::thread::park_timeout(interval);
        if inner.stop.load(Ordering::Acquire) {
            return;
        }
        match look(inner) {
            Ok(registered) => {
                if std::mem::replace(&mut is_lost, false) {
                    inner.events.push(LunEvent::PathBack { registered });
                }
            }
            Err(error) if is_path_trouble(&error) => {
                if !std::mem::replace(&mut is_lost, true) {
                    inner.events.push(LunEvent::PathLost { why: error.to_string() });
                }
            }
            // What a reservation verb would say too, to one who can do something about it.
            Err(_) => {}
        }
    }
}

/// Whether this host is registered, as far as it should be.
fn look(inner: &Inner) -> Result<bool, LunError> {
    let _ = inner.look_for_paths();
    let mut standing = inner.standing.lock();
    let Standing::Registered(key) = *standing else { return Ok(true) };
    let found = inner.read_keys()?;
    let registered = count(&found, key);
    if registered == 0 {
        let is_taken = found.holder.is_some();
        *standing = if is_taken { standing.on_refused() } else { standing.on_path_lost() };
        let event = match is_taken {
            true => LunEvent::ReservationRefused,
            false => LunEvent::PathBack { registered: false },
        };
        inner.events.push(event);
        return Ok(false);
    }
    if registered < inner.open_paths().len() {
        register_where_missing(inner, key)?;
    }
    Ok(true)
}

/// Registers paths that the device does not know, if it knows another of ours. Whether it is worth trying again.
pub(super) fn mend(inner: &Inner) -> Result<bool, LunError> {
    let standing = inner.standing.lock();
    let Standing::Registered(key) = *standing else { return Ok(false) };
    register_where_missing(inner, key)
}

/// *Invariant*: after this a path of ours is registered only if one that was registered before still is. In between,
/// for as long as two commands take, a host that is being preempted may hold a registration that nobody has taken yet;
/// its guests are stopped by its lease.
fn register_where_missing(inner: &Inner, key: ReservationKey) -> Result<bool, LunError> {
    let (mut known, mut missing) = (Vec::new(), Vec::new());
    for path in inner.open_paths() {
        match path.carry_out(Verb::Confirm(key.0), inner.capabilities.aptpl) {
            Ok(()) => known.push(path),
            Err(LunError::ReservationConflict) => missing.push(path),
            Err(error) if is_path_trouble(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let mut has_mended = false;
    for path in missing {
        if known.is_empty() || path.identity()? != inner.identity {
            continue;
        }
        path.carry_out(Verb::Register(key.0), inner.capabilities.aptpl)?;
        let is_entitled = known
            .iter()
            .any(|other| other.carry_out(Verb::Confirm(key.0), inner.capabilities.aptpl).is_ok());
        if !is_entitled {
            path.carry_out(Verb::Unregister, inner.capabilities.aptpl)?;
            return Ok(false);
        }
        tracing::info!(device = %inner.block.name, path = %path.name, "path registered");
        has_mended = true;
    }
    Ok(has_mended)
}
