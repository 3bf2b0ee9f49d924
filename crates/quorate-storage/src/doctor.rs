//! Tries a LUN out: whether it keeps the promises that failover rests on. Owns what is tried and what each outcome
//! means.
//!
//! It needs a LUN that nobody uses, and leaves it as it was: nobody registered, and the one block that it writes, the
//! last of our reserved tail, with its former bytes.

use std::fmt;
use std::time::{Duration, Instant};

use crate::layout::ALIGNMENT;
use crate::{Capabilities, Lun, LunError, ReservationKey, Strength};

/// Writes, flushes and questions whose time is taken.
const SAMPLES: usize = 32;

/// How a trial came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As failover needs it.
    Good,
    /// Worth knowing: quorate works with it, at some price.
    Note,
    /// Not to be trusted.
    Bad,
    /// It could not be tried.
    Untried,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Bad => "BAD",
            Self::Untried => "untried",
        })
    }
}

/// One trial and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was tried; the same words in every run.
    pub trial: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was seen, and where it matters what it means.
    pub says: String,
}

/// Opens the LUN anew as one of two initiators, 0 or 1: the same number gives the same nexus each time.
pub type Open<'a> = dyn Fn(usize) -> Result<Box<dyn Lun>, LunError> + 'a;

/// Tries a LUN out. `initiators` is 2 where the LUN can be reached as two initiators, else 1; then nothing that takes
/// two is tried. `keys` are two that nobody else uses.
///
/// # Errors
///
/// `Misuse` when somebody is registered there: nothing was changed. Else what kept it from going on; the LUN is left
/// as it was found, as far as it can be reached.
pub fn examine(
    open: &Open<'_>,
    initiators: usize,
    keys: [ReservationKey; 2],
) -> Result<Vec<Finding>, LunError> {
    let first = open(0)?;
    let found = first.read_keys()?;
    if let Some(key) = found.keys.first() {
        return Err(LunError::misuse(format!(
            "the LUN is in use: {} registered, the first under {key}; look with show, and clear it \
             only if no node of it is alive",
            found.keys.len()
        )));
    }
    let capabilities = first.capabilities();
    let mut trials = Trials { open, keys, capabilities, canary: Vec::new(), findings: Vec::new() };
    trials.look();
    let block = trials.canary_offset().ok_or_else(|| {
        LunError::misuse(format!("{} bytes are too few to try", capabilities.size_bytes))
    })?;
    let mut canary = vec![0; ALIGNMENT as usize];
    first.read_at(block, &mut canary)?;
    trials.canary = canary;
    first.register(keys[0])?;
    // Somebody may have come meanwhile.
    if let Some(other) = first.read_keys()?.keys.iter().find(|key| **key != keys[0]) {
        first.unregister()?;
        return Err(LunError::misuse(format!(
            "the LUN is in use: {other} has just been registered"
        )));
    }
    // Whoever goes on takes the handle along: two of one nexus would throw each other's session out.
    let result = match (trials.alone(&*first), initiators) {
        (Ok(()), 0 | 1) => {
            trials.untried(
                "a stranger is refused",
                "one way to the LUN alone: two initiators are needed",
            );
            drop(first);
            Ok(())
        }
        (Ok(()), _) => trials.against_each_other(first),
        (Err(error), _) => {
            drop(first);
            Err(error)
        }
    };
    let cleaned = trials.clean_up();
    result.and(cleaned)?;
    Ok(trials.findings)
}

struct Trials<'a> {
    open: &'a Open<'a>,
    keys: [ReservationKey; 2],
    capabilities: Capabilities,
    canary: Vec<u8>,
    findings: Vec<Finding>,
}

impl Trials<'_> {
    fn say(&mut self, trial: &'static str, verdict: Verdict, says: impl Into<String>) {
        self.findings.push(Finding { trial, verdict, says: says.into() });
    }

    fn untried(&mut self, trial: &'static str, why: &str) {
        self.say(trial, Verdict::Untried, why);
    }

    /// The last whole block of our reserved tail.
    fn canary_offset(&self) -> Option<u64> {
        let size = self.capabilities.size_bytes;
        (size - size % ALIGNMENT).checked_sub(ALIGNMENT)
    }

    fn at(&self) -> u64 {
        self.canary_offset().unwrap_or_default()
    }

    /// What the device says of itself.
    fn look(&mut self) {
        let found = self.capabilities;
        match found.strength {
            Strength::Enforced => self.say("strength", Verdict::Good, "enforced by the device"),
            Strength::Cooperative => self.say(
                "strength",
                Verdict::Note,
                "cooperative: only what goes through quorate is kept out; time protects the rest",
            ),
        }
        match found.preempt_and_abort {
            true => self.say("preempt and abort", Verdict::Good, "the device knows it"),
            false => self.say(
                "preempt and abort",
                Verdict::Note,
                "the device does not know it: preempt and a reset of the LUN take its place",
            ),
        }
        match found.aptpl {
            true => self.say("reservations outlive a loss of power", Verdict::Good, "yes (APTPL)"),
            false => self.say(
                "reservations outlive a loss of power",
                Verdict::Note,
                "no: after one the owner takes the LUN again, if it is still entitled",
            ),
        }
    }

    /// What one initiator can find out.
    fn alone(&mut self, first: &dyn Lun) -> Result<(), LunError> {
        let [key, _] = self.keys;
        let found = first.read_keys()?;
        let ways = found.keys.iter().filter(|one| **one == key).count();
        let strangers = found.keys.len() - ways;
        match (ways, strangers) {
            (1.., 0) => {
                let ways = if ways == 1 { "once".to_owned() } else { format!("on {ways} paths") };
                self.say("register", Verdict::Good, format!("registered {ways}"));
            }
            _ => {
                let says =
                    format!("the key stands there {ways} times, among {} keys", found.keys.len());
                self.say("register", Verdict::Bad, says);
            }
        }
        first.reserve(key)?;
        let holds = first.read_keys()?.is_held_by(key);
        let verdict = if holds { Verdict::Good } else { Verdict::Bad };
        self.say(
            "reserve",
            verdict,
            if holds { "held" } else { "good was answered, and it is not held" },
        );
        let pattern: Vec<u8> = (0..self.canary.len()).map(|at| (at % 253) as u8).collect();
        first.write_at(self.at(), &pattern)?;
        first.flush()?;
        let mut back = vec![0; pattern.len()];
        first.read_at(self.at(), &mut back)?;
        let same = back == pattern;
        let says = if same {
            "bytes come back as written"
        } else {
            "other bytes came back than were written"
        };
        self.say("write and read", if same { Verdict::Good } else { Verdict::Bad }, says);
        self.latency(first)
    }

    fn latency(&mut self, first: &dyn Lun) -> Result<(), LunError> {
        let canary = self.canary.clone();
        let write = sample(|| first.write_at(self.at(), &canary).and_then(|()| first.flush()))?;
        let ask = sample(|| first.read_keys().map(drop))?;
        self.say("time of a write with flush", Verdict::Good, write);
        self.say("time of reading the reservation", Verdict::Good, ask);
        Ok(())
    }

    /// What takes two: the first holds the LUN.
    fn against_each_other(&mut self, first: Box<dyn Lun>) -> Result<(), LunError> {
        let [ours, theirs] = self.keys;
        let second = (self.open)(1)?;
        let canary = self.canary.clone();
        self.must_refuse("a stranger is refused", second.write_at(self.at(), &canary))?;
        self.write_same("a stranger's write same is refused", &*second)?;
        second.register(theirs)?;
        let keys = second.read_keys()?.keys;
        let told_apart = keys.contains(&ours) && keys.contains(&theirs);
        let says = match told_apart {
            true => "each initiator has a registration of its own",
            false => {
                "two initiators are one to the device: one's registration replaced the other's"
            }
        };
        self.say(
            "initiators are told apart",
            if told_apart { Verdict::Good } else { Verdict::Bad },
            says,
        );
        let mut reserved = second.reserve(theirs);
        if reserved.is_ok() && second.read_keys()?.is_held_by(ours) {
            reserved = Err(LunError::ReservationConflict);
        }
        self.must_refuse("who does not hold cannot reserve", reserved)?;
        let begun = Instant::now();
        second.preempt(theirs, ours)?;
        let took = begun.elapsed();
        let found = second.read_keys()?;
        let done = found.is_held_by(theirs) && !found.keys.contains(&ours);
        let says = match done {
            true => format!("the LUN passed in {}", length(took)),
            false => "good was answered, and the former owner is still there".to_owned(),
        };
        self.say("preempt", if done { Verdict::Good } else { Verdict::Bad }, says);
        self.must_refuse("a preempted owner is refused", first.write_at(self.at(), &canary))?;
        drop((first, second));
        self.reconnect()
    }

    /// The same initiator once more, as after a reconnect or a restart.
    fn reconnect(&mut self) -> Result<(), LunError> {
        let [_, theirs] = self.keys;
        let (trial, canary) = ("a registration survives a reconnect", self.canary.clone());
        let first = (self.open)(0)?;
        self.must_refuse("it stays refused after a reconnect", first.write_at(self.at(), &canary))?;
        drop(first);
        let second = (self.open)(1)?;
        match second.write_at(self.at(), &canary) {
            Ok(()) => self.say(trial, Verdict::Good, "the device knows the initiator again"),
            Err(error) if error.is_refusal() => {
                let keys = second.read_keys()?.keys;
                let orphan =
                    if keys.contains(&theirs) { "; its key stays as an orphan" } else { "" };
                let says = format!("it dies with its session{orphan}: quorate takes the LUN back");
                self.say(trial, Verdict::Note, says);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn write_same(&mut self, trial: &'static str, stranger: &dyn Lun) -> Result<(), LunError> {
        let result = stranger.write_same(self.at(), ALIGNMENT);
        match result {
            Err(LunError::Unsupported { .. }) => {
                self.untried(trial, "the device, or its driver here, has no write same");
                Ok(())
            }
            Ok(()) => {
                let says = "it was carried out: do not offer discard or write-zeroes to a guest";
                self.say(trial, Verdict::Note, says);
                Ok(())
            }
            result => self.must_refuse(trial, result),
        }
    }

    fn must_refuse(
        &mut self,
        trial: &'static str,
        result: Result<(), LunError>,
    ) -> Result<(), LunError> {
        match result {
            Err(error) if error.is_refusal() => self.say(trial, Verdict::Good, "refused"),
            Ok(()) => {
                self.say(trial, Verdict::Bad, "it was carried out: two hosts can write this LUN")
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The former bytes back, and nobody registered.
    fn clean_up(&mut self) -> Result<(), LunError> {
        let [key, _] = self.keys;
        let lun = (self.open)(0)?;
        lun.register(key)?;
        // Registered, it may write whoever holds.
        let restored = lun.write_at(self.at(), &self.canary).and_then(|()| lun.flush());
        let strangers = lun.read_keys()?.keys.iter().any(|one| !self.keys.contains(one));
        match strangers {
            true => lun.unregister()?,
            false => lun.clear(key)?,
        }
        restored
    }
}

fn sample(mut act: impl FnMut() -> Result<(), LunError>) -> Result<String, LunError> {
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        act()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let (median, most) = (times[SAMPLES / 2], times[SAMPLES - 1]);
    Ok(format!("{} in the middle, {} at most, of {SAMPLES}", length(median), length(most)))
}

fn length(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1000 => format!("{micros} us"),
        micros => format!("{:.1} ms", micros as f64 / 1000.0),
    }
}
