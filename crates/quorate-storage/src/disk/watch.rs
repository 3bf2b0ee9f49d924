//! Sees soon that somebody has taken the LUN, and that the disk does not answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Inner;
use super::ballot::Change;
use crate::standing::Standing;
use crate::{LunError, LunEvent};

/// A bell that was not rung is believed for so many looks: who decides a change and dies may not have rung.
const BELIEVED: u32 = 10;

pub(super) fn run(inner: &Inner, interval: Duration) {
    let (mut is_lost, mut looks) = (false, 0);
    while !inner.stop.load(Ordering::Acquire) {
        std::thread::park_timeout(interval);
        if inner.stop.load(Ordering::Acquire) {
            return;
        }
        looks += 1;
        match look(inner, looks % BELIEVED == 0) {
            Ok(()) => {
                if std::mem::replace(&mut is_lost, false) {
                    inner.events.push(LunEvent::PathBack { registered: true });
                }
            }
            Err(error @ (LunError::PathLost { .. } | LunError::Io { .. })) => {
                if !std::mem::replace(&mut is_lost, true) {
                    inner.events.push(LunEvent::PathLost { why: error.to_string() });
                }
            }
            // What a verb would say too, to one who can do something about it.
            Err(_) => {}
        }
    }
}

fn look(inner: &Inner, even_if_quiet: bool) -> Result<(), LunError> {
    let mut state = inner.state.lock();
    let Standing::Registered(_) = state.standing else { return Ok(()) };
    let bell = inner.area.bell(inner.slot)?;
    if bell == state.heard && !even_if_quiet {
        return Ok(());
    }
    let table = inner.propose(&mut state, Change::Look)?;
    state.heard = bell;
    if !inner.is_registered(&table) {
        inner.refuse(&mut state);
    }
    Ok(())
}
