//! What this node has heard of each other node, on every path, and what that means.
//!
//! ```text
//! Alive --3 intervals--> Suspect --detect, or a reset without a sign of life--> Silent
//!   \--heard, but without a lease for 2 x detect: it hears nobody--------------------^
//!   ^----------------------/  (heard again)
//! ```
//!
//! *Architecture Invariant*: judges by the time of receipt after the socket has been drained; never
//! decides that a node is down, since that is the coordinator's, and committed.

use std::time::Duration;

use crate::change::DownCause;
use crate::config::timing::{DetectionMode, Timing};
use crate::id::{Incarnation, NodeId, PathId};
use crate::message::{Ages, Beat};
use crate::plant::{self, Plant};
use crate::time::{Instant, nanos};

/// How much weight one more arrival has in the mean of a path: one in this many.
const WINDOW: i64 = 16;

/// What is thought of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Heard lately.
    Alive,
    /// Not heard for a while.
    Suspect,
    /// To be declared down, if this node coordinates.
    Silent(DownCause),
}

/// A heartbeat did not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeatIgnored {
    /// It comes from an earlier boot or session.
    StaleIncarnation,
}

/// What was heard of one node.
#[derive(Debug)]
pub struct Peer {
    incarnation: Option<Incarnation>,
    /// In the order of their numbers; few.
    paths: Vec<(PathId, Path)>,
    observed_since: Instant,
    heard: Option<Instant>,
    accepted: Option<Instant>,
    acknowledged: Option<(u64, u64)>,
    newest_sent: u64,
    applied: u64,
    powerless_since: Option<Instant>,
    report_received: Instant,
    /// By its own word, the age in microseconds of what it heard, and of what it withholds.
    heard_by_it: Ages,
    withheld_by_it: Ages,
    reset_at: Option<Instant>,
    refused: bool,
    /// What was told last: a change is a notice.
    pub liveness: Liveness,
}

/// One path to it: when a beat was heard there, and when the next is expected.
#[derive(Debug, Default)]
struct Path {
    heard: Option<Instant>,
    sequence: u64,
    /// Mean of (arrival - sequence x interval), in nanoseconds: Chen's estimate of the clock offset.
    mean: i64,
    samples: i64,
    up: bool,
}

impl Peer {
    /// Nothing heard yet.
    pub fn new(now: Instant) -> Self {
        Self {
            incarnation: None,
            paths: Vec::new(),
            observed_since: now,
            heard: None,
            accepted: None,
            acknowledged: None,
            newest_sent: 0,
            applied: 0,
            powerless_since: None,
            report_received: now,
            heard_by_it: Ages::default(),
            withheld_by_it: Ages::default(),
            reset_at: None,
            refused: false,
            liveness: Liveness::Alive,
        }
    }

    /// A beat on `path`. `willing`: this node acknowledges it.
    ///
    /// # Errors
    /// It is stale and counts for nothing.
    pub fn on_beat(
        &mut self,
        path: PathId,
        beat: Beat,
        willing: bool,
        interval: Duration,
        now: Instant,
    ) -> Result<(), BeatIgnored> {
        match self.incarnation {
            Some(known) if beat.incarnation < known => return Err(BeatIgnored::StaleIncarnation),
            Some(known) if beat.incarnation.boot == known.boot => {}
            _ => self.forget_boot(),
        }
        self.incarnation = Some(beat.incarnation);
        self.path_of(path).on_beat(beat.sequence, interval, now);
        self.heard = Some(now);
        self.reset_at = None;
        self.refused = false;
        if beat.sent < self.newest_sent {
            return Ok(());
        }
        self.newest_sent = beat.sent;
        if willing || plant::is(Plant::AcknowledgesTheDown) {
            self.acknowledged = Some((beat.incarnation.boot, beat.sent));
        }
        if willing {
            self.accepted = Some(now);
        }
        self.applied = self.applied.max(beat.applied);
        self.powerless_since = match beat.lease {
            true => None,
            false => self.powerless_since.or(Some(now)),
        };
        self.report_received = now;
        self.heard_by_it = beat.heard;
        self.withheld_by_it = beat.withheld;
        Ok(())
    }

    fn path_of(&mut self, id: PathId) -> &mut Path {
        let place = self.paths.iter().position(|&(other, _)| other >= id);
        let place = place.unwrap_or(self.paths.len());
        if self.paths.get(place).is_none_or(|&(other, _)| other != id) {
            self.paths.insert(place, (id, Path::default()));
        }
        &mut self.paths[place].1
    }

    fn forget_boot(&mut self) {
        for (_, path) in &mut self.paths {
            *path = Path { up: path.up, ..Path::default() };
        }
        self.newest_sent = 0;
        self.applied = 0;
        self.heard_by_it = Ages::default();
        self.withheld_by_it = Ages::default();
    }

    /// Its kernel closed the stream to it.
    pub fn on_reset(&mut self, now: Instant) {
        self.reset_at.get_or_insert(now);
    }

    /// Its host answers that nothing listens there.
    pub fn on_refused(&mut self, now: Instant) {
        self.reset_at.get_or_insert(now);
        self.refused = true;
    }

    /// A stream to it stands: its process lives.
    pub fn on_stream(&mut self) {
        self.reset_at = None;
        self.refused = false;
    }

    /// Its newest incarnation heard.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.incarnation
    }

    /// How much of the log it has applied, as it said last.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// It has just been admitted: from now on it should get a lease.
    pub fn on_admitted(&mut self) {
        self.powerless_since = None;
    }

    /// When it was last heard on any path.
    pub fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// When this node last heard a beat that it was willing to acknowledge; the start of this
    /// node's observation, if it cannot know.
    pub fn accepted(&self) -> Instant {
        self.accepted.unwrap_or(self.observed_since)
    }

    /// What is to be acknowledged to it: its boot and the sending of its newest accepted beat.
    pub fn acknowledgement(&self) -> Option<(u64, u64)> {
        self.acknowledged
    }

    /// The latest moment, on this node's clock, at which this peer can have heard `node`, by its
    /// own word.
    pub fn says_heard(&self, node: NodeId) -> Option<Instant> {
        age_in(&self.heard_by_it, node).map(|age| self.report_received - age)
    }

    /// [`Peer::says_heard`] of every node of which it says so.
    pub fn all_said_heard(&self) -> impl Iterator<Item = (NodeId, Instant)> {
        let at = |age| self.report_received - Duration::from_micros(age);
        self.heard_by_it.iter().map(move |&(node, age)| (node, at(age)))
    }

    /// For how long at least, by its own word, it has acknowledged nothing of `node`.
    pub fn says_withheld(&self, node: NodeId, now: Instant) -> Option<Duration> {
        age_in(&self.withheld_by_it, node).map(|age| age + now.since(self.report_received))
    }

    /// Whether it said last that it may act.
    pub fn is_powered(&self) -> bool {
        self.powerless_since.is_none()
    }

    /// Whether it has said for so long that it may not act.
    pub fn is_powerless_for(&self, length: Duration, now: Instant) -> bool {
        self.powerless_since.is_some_and(|since| now >= since + length)
    }

    /// Whether it counts as silent though it is heard, for having said so long that it may not act, and will as long as
    /// it goes on saying so.
    pub fn is_muted(&self, deaf_until: Instant, timing: &Timing, now: Instant) -> bool {
        self.liveness == Liveness::Silent(DownCause::Silence)
            && now >= deaf_until
            && self.reset_at.is_none()
            && self.is_powerless_for(timing.detect * 2, now)
            && self.is_fresh(timing.suspect, now)
    }

    /// Whether its last word is at most `limit` old.
    pub fn is_fresh(&self, limit: Duration, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now.since(heard) <= limit)
    }

    /// Whether a beat arrives on the path.
    pub fn is_path_up(&self, path: PathId) -> bool {
        self.paths.iter().any(|&(id, ref one)| id == path && one.up)
    }

    /// Paths whose state has changed since it was asked last.
    pub fn path_changes(&mut self, timing: &Timing, now: Instant) -> Vec<(PathId, bool)> {
        let mut changes = Vec::new();
        for (id, path) in &mut self.paths {
            let up = path.heard.is_some_and(|heard| now.since(heard) < timing.suspect);
            if up != path.up {
                path.up = up;
                changes.push((*id, up));
            }
        }
        changes
    }

    /// What to think of it. `others`: the latest moment at which another node of the cluster heard
    /// it. `deaf_until`: this node was late itself and may have missed something until then.
    pub fn judge(
        &self,
        others: Option<Instant>,
        deaf_until: Instant,
        timing: &Timing,
        now: Instant,
    ) -> Liveness {
        let heard = self.heard.unwrap_or(self.observed_since);
        let last = others.map_or(heard, |other| other.max(heard));
        if self.is_dead_by_reset(others, timing, now) {
            return Liveness::Silent(DownCause::ConnectionReset);
        }
        let limit = self.limit(last, timing);
        // What it said last counts only while it goes on saying it.
        let powerless =
            self.is_powerless_for(timing.detect * 2, now) && self.is_fresh(timing.suspect, now);
        if plant::is(Plant::SuspectIsDown) && now.since(last) >= timing.suspect {
            return Liveness::Silent(DownCause::Silence);
        }
        if (now >= limit || powerless) && now >= deaf_until {
            Liveness::Silent(DownCause::Silence)
        } else if now.since(last) >= timing.suspect {
            Liveness::Suspect
        } else {
            Liveness::Alive
        }
    }

    /// Until when there is nothing to judge, if nothing is heard until then: it is alive, says that it may act, and was
    /// heard lately on each of its paths. None: it is to be judged.
    pub fn undoubted_until(&self, timing: &Timing, now: Instant) -> Option<Instant> {
        let well = self.liveness == Liveness::Alive
            && self.is_powered()
            && self.reset_at.is_none()
            && self.is_fresh(timing.suspect, now);
        let paths = self.paths.iter();
        let mut until = paths.map(|(_, path)| path.heard.filter(|_| path.up));
        let first = until.next().filter(|_| well)??;
        let until = until.try_fold(first, |least, heard| Some(least.min(heard?)))? + timing.suspect;
        (until > now).then_some(until)
    }

    /// When [`Peer::judge`] may think otherwise, or a path may go down, if nothing is heard until then.
    pub fn judged_again(
        &self,
        others: Option<Instant>,
        deaf_until: Instant,
        timing: &Timing,
        now: Instant,
    ) -> Instant {
        let heard = self.heard.unwrap_or(self.observed_since);
        let last = others.map_or(heard, |other| other.max(heard));
        let mut next = self.limit(last, timing).max(deaf_until);
        if last + timing.suspect > now {
            next = next.min(last + timing.suspect);
        }
        let reset = self.reset_at.map(|reset| reset + timing.reset_grace);
        let powerless =
            self.powerless_since.map(|since| (since + timing.detect * 2).max(deaf_until));
        let up = self.paths.iter().map(|(_, path)| path).filter(|path| path.up);
        let paths = up.filter_map(|path| path.heard).map(|heard| heard + timing.suspect);
        let others = reset.into_iter().chain(powerless).chain(paths);
        others.filter(|&at| at > now).fold(next, Instant::min)
    }

    /// A closed connection proves little alone, since a middlebox can close one: the port must be
    /// refused too, or no datagram may come for `reset_grace`, to this node or any other.
    fn is_dead_by_reset(&self, others: Option<Instant>, timing: &Timing, now: Instant) -> bool {
        let Some(reset) = self.reset_at else { return false };
        let heard_since = others.is_some_and(|other| other > reset + timing.interval);
        !heard_since
            && (self.refused || plant::is(Plant::ResetIsDeath) || now >= reset + timing.reset_grace)
    }

    /// When silence since `last` is long enough: after `detect`; in adaptive mode not before the
    /// freshness point of the best path, but at most twice `detect`.
    fn limit(&self, last: Instant, timing: &Timing) -> Instant {
        let fixed = last + timing.detect;
        match timing.inputs().mode {
            DetectionMode::Fixed => fixed,
            DetectionMode::Adaptive => {
                let slack = timing.detect.saturating_sub(timing.interval);
                let paths = self.paths.iter();
                let fresh = paths.filter_map(|(_, path)| path.expected(timing.interval));
                let freshness = fresh.max().map_or(fixed, |expected| expected + slack);
                freshness.clamp(fixed, last + timing.detect * 2)
            }
        }
    }
}

/// The age that a list has for a node: its last word.
fn age_in(list: &[(NodeId, u64)], node: NodeId) -> Option<Duration> {
    let found = list.iter().rev().find(|&&(other, _)| other == node);
    found.map(|&(_, age)| Duration::from_micros(age))
}

/// How long so many intervals are, in nanoseconds. What a peer counts may be anything.
fn span(count: u64, interval: Duration) -> i64 {
    signed(count).saturating_mul(signed(nanos(interval)))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Path {
    fn on_beat(&mut self, sequence: u64, interval: Duration, now: Instant) {
        self.heard = Some(now);
        if sequence <= self.sequence && self.samples > 0 {
            return;
        }
        let offset = signed(now.0).saturating_sub(span(sequence, interval));
        self.samples = (self.samples + 1).min(WINDOW);
        let change = offset.saturating_sub(self.mean) / self.samples;
        self.mean = self.mean.saturating_add(change);
        self.sequence = sequence;
    }

    /// When the beat after the newest is expected.
    fn expected(&self, interval: Duration) -> Option<Instant> {
        self.heard?;
        let next = span(self.sequence.saturating_add(1), interval).saturating_add(self.mean);
        u64::try_from(next).ok().map(Instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::timing::TimingInputs;

    fn timing(mode: DetectionMode) -> Timing {
        Timing::derive(&TimingInputs { mode, ..TimingInputs::FAST }).unwrap()
    }

    fn ms(count: u64) -> Instant {
        Instant(count * 1_000_000)
    }

    fn beat(sequence: u64) -> Beat {
        Beat {
            incarnation: Incarnation::of_boot(7),
            sequence,
            sent: sequence,
            acknowledged: None,
            witnessed: None,
            applied: 0,
            lease: true,
            heard: Ages::default(),
            withheld: Ages::default(),
            probe: false,
        }
    }

    fn hear(peer: &mut Peer, sequence: u64, at: Instant) {
        let interval = Duration::from_millis(50);
        peer.on_beat(PathId(0), beat(sequence), true, interval, at).unwrap();
    }

    #[test]
    fn a_silent_node_is_first_suspect_then_down() {
        let timing = timing(DetectionMode::Fixed);
        let mut peer = Peer::new(ms(0));
        hear(&mut peer, 1, ms(1_000));
        let judge = |at| peer.judge(None, ms(0), &timing, ms(at));
        assert_eq!(judge(1_149), Liveness::Alive);
        assert_eq!(judge(1_150), Liveness::Suspect);
        assert_eq!(judge(1_499), Liveness::Suspect);
        assert_eq!(judge(1_500), Liveness::Silent(DownCause::Silence));
    }

    #[test]
    fn a_node_that_another_hears_is_not_down() {
        let timing = timing(DetectionMode::Fixed);
        let peer = Peer::new(ms(0));
        assert_eq!(peer.judge(Some(ms(900)), ms(0), &timing, ms(1_000)), Liveness::Alive);
    }

    #[test]
    fn ones_own_lateness_is_not_held_against_others() {
        let timing = timing(DetectionMode::Fixed);
        let peer = Peer::new(ms(0));
        assert_eq!(peer.judge(None, ms(1_100), &timing, ms(1_050)), Liveness::Suspect);
    }

    #[test]
    fn a_refused_port_after_a_reset_is_death_at_once() {
        let timing = timing(DetectionMode::Fixed);
        let mut peer = Peer::new(ms(0));
        hear(&mut peer, 1, ms(1_000));
        peer.on_reset(ms(1_001));
        assert_eq!(peer.judge(None, ms(0), &timing, ms(1_002)), Liveness::Alive);
        peer.on_refused(ms(1_002));
        let dead = Liveness::Silent(DownCause::ConnectionReset);
        assert_eq!(peer.judge(None, ms(0), &timing, ms(1_002)), dead);
    }

    #[test]
    fn a_node_that_is_heard_but_hears_nobody_is_down_in_the_end() {
        let timing = timing(DetectionMode::Fixed);
        let mut peer = Peer::new(ms(0));
        for sequence in 1..40 {
            let deaf = Beat { lease: false, ..beat(sequence) };
            let at = ms(1_000 + 50 * sequence);
            peer.on_beat(PathId(0), deaf, true, timing.interval, at).unwrap();
        }
        assert_eq!(peer.judge(None, ms(0), &timing, ms(2_049)), Liveness::Alive);
        let silent = Liveness::Silent(DownCause::Silence);
        assert_eq!(peer.judge(Some(ms(3_049)), ms(0), &timing, ms(3_050)), silent);
        peer.on_admitted();
        assert_eq!(peer.judge(Some(ms(3_049)), ms(0), &timing, ms(3_050)), Liveness::Alive);
    }

    #[test]
    fn a_node_that_had_no_lease_when_it_was_heard_last_may_have_one_by_now() {
        let timing = timing(DetectionMode::Fixed);
        let mut peer = Peer::new(ms(0));
        let deaf = Beat { lease: false, ..beat(1) };
        peer.on_beat(PathId(0), deaf, true, timing.interval, ms(1_000)).unwrap();
        assert_eq!(peer.judge(Some(ms(2_490)), ms(0), &timing, ms(2_500)), Liveness::Alive);
    }

    #[test]
    fn a_reset_followed_by_a_heartbeat_is_forgotten() {
        let timing = timing(DetectionMode::Fixed);
        let mut peer = Peer::new(ms(0));
        peer.on_reset(ms(1_000));
        hear(&mut peer, 1, ms(1_010));
        assert_eq!(peer.judge(None, ms(0), &timing, ms(1_120)), Liveness::Alive);
    }

    #[test]
    fn the_adaptive_detector_waits_longer_on_a_path_that_is_often_late() {
        let adaptive = timing(DetectionMode::Adaptive);
        let mut steady = Peer::new(ms(0));
        let mut late = Peer::new(ms(0));
        for sequence in 1..40 {
            hear(&mut steady, sequence, ms(50 * sequence));
            let lateness = if sequence % 2 == 0 { 40 } else { 0 };
            hear(&mut late, sequence, ms(50 * sequence + lateness));
        }
        let last = ms(50 * 39);
        assert_eq!(steady.limit(last, &adaptive), last + adaptive.detect);
        assert!(late.limit(last, &adaptive) > last + adaptive.detect);
        assert!(late.limit(last, &adaptive) <= last + adaptive.detect * 2);
    }

    #[test]
    fn a_beat_of_an_earlier_incarnation_counts_for_nothing() {
        let mut peer = Peer::new(ms(0));
        hear(&mut peer, 1, ms(1_000));
        let stale = Beat { incarnation: Incarnation::of_boot(6), ..beat(9) };
        let result = peer.on_beat(PathId(0), stale, true, Duration::from_millis(50), ms(2_000));
        assert_eq!(result, Err(BeatIgnored::StaleIncarnation));
        assert_eq!(peer.heard(), Some(ms(1_000)));
    }
}
