//! Gives a node a pill, and waits until that proves its end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded as channel};
use quorate_storage::{HostBoot, Listener, Listening, LunError, Pill, PillArea};

use super::Place;
use crate::clock;

/// At most so many requests may hang in the kernel at once.
const HANGING_MAX: usize = 128;
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// Whom to end.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) place: Place,
    /// The node's name, for texts.
    pub(crate) name: String,
    /// The start of the node's process that is to end, or the number of an earlier one.
    pub(crate) least: u64,
    /// Which node gives the pill.
    pub(crate) by: u8,
    pub(crate) reason: String,
    pub(crate) times: Times,
}

/// How long what is waited for takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// From the order to the end of any lease of the node.
    pub(crate) lease: Duration,
    pub(crate) margin: Duration,
    /// Between two looks at what became of the pill.
    pub(crate) look: Duration,
    /// How far the node's clock may drift from ours.
    pub(crate) drift_ppm: u32,
}

impl Times {
    fn stretched(&self, length: Duration) -> Duration {
        length + length * self.drift_ppm / 1_000_000 + self.margin
    }

    /// From the moment at which a pill was read back to the end of a node that does not read it.
    pub(super) fn by_time(&self, patience: Duration, watchdog: Duration) -> Duration {
        // The lease was stretched where it was derived; twice does no harm.
        self.stretched(patience.max(self.lease) + watchdog * 2)
    }

    /// From its own word that it feeds its watchdog no more.
    fn by_word(&self, watchdog: Duration) -> Duration {
        self.stretched(watchdog)
    }
}

/// By what the end of a node is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Its host has booted since, and the node has started there.
    Booted,
    /// It has left in order, and said that nothing of it ran any more.
    Left,
    /// It has taken the pill, and its watchdog's time is over since.
    Taken,
    /// Whatever it was at, its watchdog's time is over.
    Time,
}

/// What is read and written; in tests, what stands for it.
pub(super) trait Blocks {
    fn listener(&self) -> Result<Option<Listener>, LunError>;
    fn pill(&self) -> Result<Option<Pill>, LunError>;
    fn write_pill(&self, pill: &Pill) -> Result<(), LunError>;
}

struct OnDisk {
    area: PillArea,
    block: u8,
}

impl Blocks for OnDisk {
    fn listener(&self) -> Result<Option<Listener>, LunError> {
        self.area.listener(self.block)
    }

    fn pill(&self) -> Result<Option<Pill>, LunError> {
        self.area.pill(self.block)
    }

    fn write_pill(&self, pill: &Pill) -> Result<(), LunError> {
        self.area.write_pill(self.block, pill)
    }
}

/// Gives the pill on a thread of its own, which may hang in the kernel, and waits for it no longer than `timeout`.
///
/// A pill that lands later ends its node all the same, if that has not booted since.
pub(crate) fn bounded(order: Order, timeout: Duration) -> Result<Proof, String> {
    let (say, said) = channel(1);
    let end = Instant::now() + timeout;
    let path = order.place.path.display().to_string();
    let work = move || {
        let area = PillArea::open(&order.place.path, order.place.cluster);
        let given = area
            .map_err(|error| error.to_string())
            .and_then(|area| give(&order, &OnDisk { area, block: order.place.block }, end));
        // Nobody may wait for it any more.
        let _ = say.send(given);
    };
    apart(work)?;
    match said.recv_timeout(timeout) {
        Ok(given) => given,
        Err(RecvTimeoutError::Timeout) => {
            Err(format!("{path} has not answered within {timeout:?}"))
        }
        Err(RecvTimeoutError::Disconnected) => Err("it failed by a defect of its own".to_owned()),
    }
}

/// Does what may hang in the kernel on a thread of its own.
pub(super) fn apart(work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    if AT_WORK.fetch_add(1, Ordering::Relaxed) >= HANGING_MAX {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
        return Err(format!("{HANGING_MAX} requests are on their way to disks that do not answer"));
    }
    let counted = move || {
        work();
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
    };
    let thread = std::thread::Builder::new().name("quorate-pill".to_owned()).spawn(counted);
    thread.map(drop).map_err(|error| {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
        format!("no thread for it: {error}")
    })
}

/// Writes the pill and waits for a proof.
///
/// What is proven is the end of everything that any process of the node has started up to the one that stands in its
/// block, so that one must be no earlier than the one that is to end. *Whichever comes first*:
///
/// - **Its block shows a later start on another boot of its host.** The boot for which it was armed is over, and with
///   it all that ran there: a node belongs to one host. An earlier start proves nothing: it is a write that landed
///   late.
/// - **Its block says that it has left.** It writes that as the last of all, when nothing of it runs.
/// - **It has taken a pill for this boot.** From before it said so it feeds its watchdog no more, and what was fed last
///   fires within the watchdog's time-out.
/// - **Time.** Be T the moment at which the pill was read back. A look at the pill that begins after T finds it, and a
///   node counts a look from when it begins; so it feeds its watchdog by a look that found none until T + patience at
///   the latest. By its lease it feeds it until that is over: a majority has acknowledged no heartbeat of it since it
///   learned that the node is down, which it had when this was asked, or has within an election; so until T + 2
///   `election_max` + `lease_over`. The last feeding may come later than it was decided, by a node that was frozen in
///   between, but not by more than the time-out of its watchdog, that would have fired else. With one more time-out
///   its host is reset, by the pace of its clock, hence the drift; and the margin is for watchdogs that count in whole
///   seconds.
///
/// The pill must have lain there all the while: it is looked at until the end, and where another for another boot was
/// written over it (by somebody whose write landed late) nothing is proven.
pub(super) fn give(order: &Order, blocks: &impl Blocks, end: Instant) -> Result<Proof, String> {
    let text = |error: LunError| error.to_string();
    let found = found(order, blocks.listener().map_err(text)?)?;
    if found.standing == Listening::Left {
        return Ok(Proof::Left);
    }
    // What cannot be read is written over.
    let before = blocks.pill().ok().flatten().map_or(0, |pill| pill.number);
    let pill = Pill {
        number: clock::unix_us().max(before.saturating_add(1)),
        boot: found.boot,
        by: order.by,
        reason: order.reason.clone(),
    };
    // Nobody waits for it any more, and the node may be back.
    if Instant::now() >= end {
        return Err("the disk has answered too late".to_owned());
    }
    blocks.write_pill(&pill).map_err(text)?;
    let number = pill.number;
    if blocks.pill().map_err(text)? != Some(pill) {
        return Err("the pill was written, and something else is read back".to_owned());
    }
    let at = Instant::now();
    let given = Given { order, found, number, at, taken_at: None }.wait(blocks, end)?;
    if given == Proof::Left {
        // It would keep the node from starting again on this boot of its host.
        let none = Pill {
            number: number + 1,
            boot: HostBoot([0; 16]),
            by: order.by,
            reason: String::new(),
        };
        let _ = blocks.write_pill(&none);
    }
    Ok(given)
}

/// What the node says of itself, if that is enough to end it.
fn found(order: &Order, listener: Option<Listener>) -> Result<Listener, String> {
    let name = &order.name;
    let Some(found) = listener else {
        return Err(format!("{name} has never listened to pills: nothing would take this one"));
    };
    if found.start < order.least {
        return Err(format!(
            "{name} was last armed before the start that is to end: nothing proves that it would take a pill"
        ));
    }
    match found.standing {
        Listening::Armed | Listening::Left => Ok(found),
        Listening::Off => Err(format!("{name} obeys no pills any more")),
    }
}

/// A pill that lies there.
struct Given<'a> {
    order: &'a Order,
    /// What the node says of itself, with the longest times that it has said.
    found: Listener,
    /// The number of the pill that lay there when it was looked at last.
    number: u64,
    /// Since when a pill for that boot has lain there, as far as that was seen.
    at: Instant,
    /// When it was first seen that the node has taken one.
    taken_at: Option<Instant>,
}

impl Given<'_> {
    fn wait(mut self, blocks: &impl Blocks, end: Instant) -> Result<Proof, String> {
        loop {
            let begun = Instant::now();
            let listener = blocks.listener();
            if let Ok(Some(listener)) = listener
                && let Some(proof) = self.hear(listener)?
            {
                return Ok(proof);
            }
            let lies = match blocks.pill() {
                Ok(Some(pill)) if pill.boot == self.found.boot => {
                    // Another may have lain there between this look and the last.
                    if pill.number != self.number || begun.elapsed() > self.order.times.margin {
                        (self.number, self.at) = (pill.number, Instant::now());
                    }
                    None
                }
                Ok(_) => {
                    return Err("another pill was written over it: nothing is proven".to_owned());
                }
                Err(error) => {
                    self.at = Instant::now();
                    Some(error)
                }
            };
            match (self.proven(begun), lies) {
                (Some(proof), None) => return Ok(proof),
                (_, Some(error)) if Instant::now() >= end => {
                    return Err(format!("the pill cannot be read any more: {error}"));
                }
                (None, None) if Instant::now() >= end => {
                    let name = &self.order.name;
                    let needed = self.order.times.by_time(self.found.patience, self.found.watchdog);
                    return Err(format!("{name} takes up to {needed:?} to end by its own figures"));
                }
                (_, _) => std::thread::sleep(self.order.times.look),
            }
        }
    }

    /// What the node says of itself meanwhile.
    fn hear(&mut self, now: Listener) -> Result<Option<Proof>, String> {
        if now.start < self.found.start {
            return Ok(None);
        }
        if now.boot != self.found.boot {
            return Ok((now.start > self.found.start).then_some(Proof::Booted));
        }
        match now.standing {
            Listening::Left => return Ok(Some(Proof::Left)),
            Listening::Off => return Err(format!("{} obeys no pills any more", self.order.name)),
            Listening::Armed => {}
        }
        self.found.watchdog = self.found.watchdog.max(now.watchdog);
        self.found.patience = self.found.patience.max(now.patience);
        if now.taken.is_some() {
            self.taken_at.get_or_insert_with(Instant::now);
        }
        Ok(None)
    }

    /// What a look at the pill proves that began then.
    fn proven(&self, begun: Instant) -> Option<Proof> {
        let Listener { watchdog, patience, .. } = self.found;
        let times = &self.order.times;
        if self.taken_at.is_some_and(|at| begun >= at + times.by_word(watchdog)) {
            return Some(Proof::Taken);
        }
        (begun >= self.at + times.by_time(patience, watchdog)).then_some(Proof::Time)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
