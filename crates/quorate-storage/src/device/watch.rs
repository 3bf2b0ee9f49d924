//! Keeps the registration right on every path while this host is registered, and sees at once when it is gone.
//!
//! Who holds the LUN tells whether we have been preempted. While we hold it, our key stands in the list once for each
//! path; fewer: a path has come, or comes by another nexus than before, and is registered.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::path::{Verb, count};
use super::{Inner, is_path_trouble};
use crate::standing::Standing;
use crate::{LunError, LunEvent, ReservationKey};

/// How often a registration is taken back that should not be there.
const UNDO_TRIES: u32 = 3;

pub(super) fn run(inner: &Inner, interval: Duration) {
    let mut is_lost = false;
    while !inner.stop.load(Ordering::Acquire) {
        std::thread::park_timeout(interval);
        if inner.stop.load(Ordering::Acquire) {
            return;
        }
        match look(inner) {
            Ok(Seen::Well) => {
                if std::mem::replace(&mut is_lost, false) {
                    inner.events.push(LunEvent::PathBack { registered: true });
                }
            }
            Ok(Seen::Told) => is_lost = false,
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

/// What came of a look.
enum Seen {
    /// Nothing to tell.
    Well,
    /// The registration is gone, and that was told.
    Told,
}

/// Sees whether this host is registered as it should be. Until it was seen to hold the LUN it is about to take it, and
/// whoever held it before may still do.
fn look(inner: &Inner) -> Result<Seen, LunError> {
    let _ = inner.look_for_paths();
    let is_registered = matches!(*inner.standing.lock(), Standing::Registered(_));
    if !is_registered {
        return inner.read_keys().map(|_| Seen::Well);
    }
    let mut standing = inner.standing.lock();
    let Standing::Registered(key) = *standing else { return Ok(Seen::Well) };
    let found = inner.read_keys()?;
    let is_held = found.is_held_by(key);
    if is_held {
        inner.has_held.store(true, Ordering::Release);
    } else if inner.has_held.load(Ordering::Acquire) || count(&found, key) == 0 {
        // Whatever stands there under our key: who does not hold what it held has been preempted.
        let event = match found.holder {
            Some(_) => LunEvent::ReservationRefused,
            None => LunEvent::PathBack { registered: false },
        };
        *standing = match found.holder {
            Some(_) => standing.on_refused(),
            None => standing.on_path_lost(),
        };
        inner.events.push(event);
        return Ok(Seen::Told);
    }
    if is_held && count(&found, key) < inner.open_paths().len() {
        return register_where_missing(inner, key, &mut standing)
            .map(|known| if known { Seen::Well } else { Seen::Told });
    }
    Ok(Seen::Well)
}

/// Registers paths that the device does not know, if it knows another of ours. Whether it is worth trying again.
pub(super) fn mend(inner: &Inner) -> Result<bool, LunError> {
    let mut standing = inner.standing.lock();
    let Standing::Registered(key) = *standing else { return Ok(false) };
    if !inner.read_keys()?.is_held_by(key) {
        return Ok(false);
    }
    register_where_missing(inner, key, &mut standing)
}

/// *Invariant*: a path is registered only while the LUN is held under our key, and if that is not certain any more
/// afterwards, this handle gives up: it takes the path off again as often as it can, and says that it was refused. So a
/// host that is preempted between two of its own commands may hold a registration for that long, and never goes on with
/// it. False: it gave up.
fn register_where_missing(
    inner: &Inner,
    key: ReservationKey,
    standing: &mut Standing,
) -> Result<bool, LunError> {
    for path in inner.open_paths() {
        match path.carry_out(Verb::Confirm(key.0), inner.capabilities.aptpl) {
            Err(LunError::ReservationConflict) => {}
            Err(error) if !is_path_trouble(&error) => return Err(error),
            Ok(()) | Err(_) => continue,
        }
        if path.identity()? != inner.identity {
            continue;
        }
        let done = path.carry_out(Verb::Register(key.0), inner.capabilities.aptpl);
        let is_ours = done.is_ok() && inner.read_keys().is_ok_and(|found| found.is_held_by(key));
        if !is_ours {
            for _ in 0..UNDO_TRIES {
                if path.carry_out(Verb::Unregister, inner.capabilities.aptpl).is_ok() {
                    break;
                }
            }
            *standing = standing.on_refused();
            inner.events.push(LunEvent::ReservationRefused);
            return Ok(false);
        }
        tracing::info!(device = %inner.block.name, path = %path.name, "path registered");
    }
    Ok(true)
}
