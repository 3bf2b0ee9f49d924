//! Sees soon that somebody has taken the LUN, and that the disk does not answer.
//!
//! Two threads: one asks the disk and may hang in the kernel, the other looks at when it last answered.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Inner;
use super::ballot::Change;
use crate::standing::Standing;
use crate::{LunError, LunEvent};

/// A bell that was not rung is believed for so many looks: who decides a change and dies may not have rung.
const BELIEVED: u32 = 10;

pub(super) fn start(inner: &Arc<Inner>, interval: Duration) -> io::Result<Vec<JoinHandle<()>>> {
    let spawn = |run: fn(&Inner, Duration)| {
        let inner = Arc::clone(inner);
        let name = "quorate-disk".to_owned();
        std::thread::Builder::new().name(name).spawn(move || run(&inner, interval))
    };
    Ok(vec![spawn(ask)?, spawn(judge)?])
}

fn ask(inner: &Inner, interval: Duration) {
    let mut looks = 0;
    while waits(inner, interval) {
        looks += 1;
        match look(inner, looks % BELIEVED == 0) {
            // A verb is at work, and answers for the disk.
            Ok(Seen::Nothing) => {}
            Ok(Seen::Answer) => *inner.answered.lock() = Instant::now(),
            // Leases that make no sense, or are another's, keep nobody out.
            Err(LunError::Corrupt { .. } | LunError::Denied { .. }) => {
                *inner.answered.lock() = Instant::now();
                inner.refuse(&mut inner.state.lock());
            }
            // It has not answered, or others hold each other up.
            Err(_) => {}
        }
    }
}

/// A disk that has not answered for as long as a call may take is away, whatever the kernel is at.
fn judge(inner: &Inner, interval: Duration) {
    let mut is_lost = false;
    while waits(inner, interval) {
        let silence = inner.answered.lock().elapsed();
        let is_away = silence > inner.timeout + interval;
        if is_away != std::mem::replace(&mut is_lost, is_away) {
            inner.events.push(match is_away {
                true => LunEvent::PathLost { why: format!("no answer for {silence:.1?}") },
                false => LunEvent::PathBack { registered: true },
            });
        }
    }
}

/// Whether to go on after the interval.
fn waits(inner: &Inner, interval: Duration) -> bool {
    let goes_on = || !inner.stop.load(Ordering::Acquire);
    if goes_on() {
        std::thread::park_timeout(interval);
    }
    goes_on()
}

enum Seen {
    Answer,
    Nothing,
}

fn look(inner: &Inner, even_if_quiet: bool) -> Result<Seen, LunError> {
    let bell = inner.area.bell(inner.who.slot)?;
    *inner.answered.lock() = Instant::now();
    let Some(mut state) = inner.state.try_lock() else { return Ok(Seen::Nothing) };
    let Standing::Registered(_) = state.standing else { return Ok(Seen::Answer) };
    if bell == state.heard && !even_if_quiet {
        return Ok(Seen::Answer);
    }
    let table = inner.propose(&mut state, Change::Look)?.table;
    state.heard = bell;
    if !inner.stands(state.standing, &table) {
        inner.refuse(&mut state);
    }
    Ok(Seen::Answer)
}
