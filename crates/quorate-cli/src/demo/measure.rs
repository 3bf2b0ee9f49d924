//! What a move took, from what was seen: the outage from the guest's own ticks, the steps from the
//! notices.

use std::time::Duration;

use serde::Serialize;

use crate::lab::{Moment, RESOURCE, Sighting, tenths_ms};

/// The kind of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Planned: saved, the LUN handed over, resumed (or stopped and started, if it cannot be
    /// saved).
    Quick,
    /// Everything on the owner's host was killed.
    Kill,
    /// The owner's heartbeats were cut.
    Isolate,
}

/// One step of a move.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Its beginning.
    pub from: Moment,
    /// Its end.
    pub to: Moment,
    /// More, for people.
    pub note: String,
}

impl Step {
    /// How long it took.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to.since(self.from)
    }
}

/// One move, measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// Its kind.
    pub kind: Kind,
    /// The old owner's name.
    pub from: String,
    /// The new owner's name.
    pub to: String,
    /// From the last tick of the old owner's guest to the first of the new one's.
    pub outage: Duration,
    /// From the fault, or the request, to the first order that lets the guest run on the new owner.
    pub until_start_order: Duration,
    /// From the verdict that the old owner is down (and harmless, where the LUN cannot see to that)
    /// to that order, without what the LUN took; none for a planned move.
    pub engine_share: Option<Duration>,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// A move as it stands in `summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MoveSummary {
    kind: Kind,
    from: String,
    to: String,
    detect_ms: f64,
    agree_ms: f64,
    fence_ms: f64,
    start_ms: f64,
    outage_ms: f64,
    first_tick_ms: f64,
    until_start_order_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_share_ms: Option<f64>,
}

impl Move {
    /// Its figures.
    #[must_use]
    pub fn summary(&self) -> MoveSummary {
        let length = |names: &[&str]| {
            let steps = self.steps.iter().filter(|step| names.contains(&step.name));
            tenths_ms(steps.map(Step::length).sum())
        };
        MoveSummary {
            kind: self.kind,
            from: self.from.clone(),
            to: self.to.clone(),
            detect_ms: length(&["detect"]),
            agree_ms: length(&["agree"]),
            fence_ms: length(&["prove", "fence", "save", "hand over"]),
            start_ms: length(&["start", "resume"]),
            outage_ms: tenths_ms(self.outage),
            first_tick_ms: length(&["first tick"]),
            until_start_order_ms: tenths_ms(self.until_start_order),
            engine_share_ms: self.engine_share.map(tenths_ms),
        }
    }
}

/// What happened in one move: everything that was seen since a little before it.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// What was seen.
    pub seen: &'a [Sighting],
    /// The nodes' names.
    pub names: &'a [String],
    /// The old owner.
    pub from: usize,
    /// The fault, or the request.
    pub at: Moment,
}

impl Scene<'_> {
    /// The new owner: the node of the first tick after the fault that is not the old owner's.
    #[must_use]
    pub fn new_owner(&self) -> Option<usize> {
        self.first_tick().map(|tick| tick.node)
    }

    fn first_tick(&self) -> Option<&Sighting> {
        self.seen.iter().find(|it| it.tick().is_some() && it.node != self.from && it.at > self.at)
    }

    /// The first notice after the fault of this kind with these fields, on `node` or anywhere.
    fn notice(
        &self,
        node: Option<usize>,
        kind: &str,
        fields: &[(&str, &str)],
    ) -> Option<&Sighting> {
        let after = self.seen.iter().filter(|it| it.at >= self.at);
        let mine = after.filter(|it| node.is_none_or(|node| it.node == node));
        let found = mine.filter(|it| it.notice().is_some_and(|notice| notice.is(kind, fields)));
        found.min_by_key(|it| it.at)
    }

    /// Measures a failover; none: it is not complete.
    #[must_use]
    pub fn failover(&self, kind: Kind) -> Option<Move> {
        let tick = self.first_tick()?;
        let to = tick.node;
        let (old, new) = (self.names[self.from].as_str(), self.names[to].as_str());
        let down = self.notice(None, "down", &[("node", old)])?;
        let assigned = self.notice(Some(to), "assigned", &[("node", new)])?;
        let held = self.notice(Some(to), "lun_held", &[])?;
        let verb = [("resource", RESOURCE), ("verb", "start")];
        let ordered = self.notice(Some(to), "requested", &verb)?;
        let started = self.notice(Some(to), "completed", &verb)?;
        let cause = down.notice().and_then(|notice| notice.field("cause")).unwrap_or_default();
        // Where the LUN cannot refuse the old owner, its successor waits for another proof.
        let proof = self.notice(None, "fenced", &[("node", old)]);
        let proof = proof.filter(|proof| proof.at <= assigned.at);
        let cause = cause.replace('_', " ");
        let mut ends = vec![("detect", down.at, cause.as_str())];
        ends.extend(proof.map(|proof| ("prove", proof.at, "the old owner's lease is over")));
        ends.extend([
            ("agree", assigned.at, "its successor is committed"),
            ("fence", held.at, "the LUN is the successor's"),
            ("start", started.at, "the guest's machine runs"),
            ("first tick", tick.at, "its first write is on the LUN"),
        ]);
        let verdict = proof.map_or(down.at, |proof| proof.at);
        Some(Move {
            kind,
            from: old.to_owned(),
            to: new.to_owned(),
            outage: self.outage(tick),
            until_start_order: ordered.at.since(self.at),
            engine_share: Some(assigned.at.since(verdict) + ordered.at.since(held.at)),
            steps: chain(self.at, &ends),
        })
    }

    /// Measures a planned move; none: it is not complete.
    #[must_use]
    pub fn planned(&self) -> Option<Move> {
        let tick = self.first_tick()?;
        let to = tick.node;
        let releasing = self.notice(Some(self.from), "releasing", &[])?;
        let vacated = self.notice(Some(self.from), "vacated", &[])?;
        let held = self.notice(Some(to), "lun_held", &[])?;
        let order = |verb| {
            let order =
                self.notice(Some(to), "requested", &[("resource", RESOURCE), ("verb", verb)]);
            let done =
                self.notice(Some(to), "completed", &[("resource", RESOURCE), ("verb", verb)]);
            order.zip(done)
        };
        let (saved, (ordered, done)) = match order("run") {
            Some(resumed) => (true, resumed),
            None => (false, order("start")?),
        };
        let save = if saved { "it stands still, its state is saved" } else { "it is stopped" };
        let start = if saved { "resume" } else { "start" };
        let steps = chain(
            self.at,
            &[
                ("agree", releasing.at, "the move is committed"),
                ("save", vacated.at, save),
                ("hand over", held.at, "the LUN has passed"),
                (start, done.at, "the guest goes on"),
                ("first tick", tick.at, "its first write is on the LUN"),
            ],
        );
        Some(Move {
            kind: Kind::Quick,
            from: self.names[self.from].clone(),
            to: self.names[to].clone(),
            outage: self.outage(tick),
            until_start_order: ordered.at.since(self.at),
            engine_share: None,
            steps,
        })
    }

    /// From the last tick of the old owner before the new one's first.
    fn outage(&self, first: &Sighting) -> Duration {
        let before = self.seen.iter().filter(|it| it.tick().is_some() && it.node == self.from);
        let last = before.map(|it| it.at).filter(|at| *at <= first.at).max();
        first.at.since(last.unwrap_or(self.at))
    }
}

/// Steps that begin where the one before ends.
fn chain(start: Moment, ends: &[(&'static str, Moment, &str)]) -> Vec<Step> {
    let mut from = start;
    let step = |&(name, end, note): &(&'static str, Moment, &str)| {
        let to = end.max(from);
        let step = Step { name, from, to, note: note.to_owned() };
        from = to;
        step
    };
    ends.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{GuestLine, Seen};

    fn ms(at: u64) -> Moment {
        Moment(at * 1_000_000)
    }

    fn tick(at: u64, node: usize, record: u32) -> Sighting {
        let what = Seen::Guest(GuestLine::Tick { record, nonce: 1 });
        Sighting { at: ms(at), node, what }
    }

    fn notice(at: u64, node: usize, kind: &str, fields: &str) -> Sighting {
        let stamp = format!(r#""at":{{"boottime_ns":{},"unix_us":0}}"#, at * 1_000_000);
        let json = format!(r#"{{{stamp},"kind":"{kind}","text":"","fields":{{{fields}}}}}"#);
        Sighting { at: ms(at), node, what: Seen::Notice(serde_json::from_str(&json).unwrap()) }
    }

    #[test]
    fn a_failover_is_a_chain_of_steps_and_its_outage_is_between_two_ticks() {
        let names = ["n1".into(), "n2".into(), "n3".into()];
        let start = r#""resource":"guest","verb":"start""#;
        let seen = [
            tick(900, 0, 1),
            tick(1_000, 0, 2),
            notice(1_100, 1, "down", r#""node":"n1","cause":"connection_reset""#),
            notice(1_101, 2, "down", r#""node":"n1","cause":"connection_reset""#),
            notice(1_104, 2, "assigned", r#""node":"n2""#),
            notice(1_105, 1, "assigned", r#""node":"n2""#),
            notice(1_110, 1, "lun_held", ""),
            notice(1_111, 1, "requested", start),
            notice(1_150, 1, "completed", start),
            tick(1_190, 1, 3),
        ];
        let scene = Scene { seen: &seen, names: &names, from: 0, at: ms(1_050) };
        let found = scene.failover(Kind::Kill).unwrap();
        let lengths: Vec<_> =
            found.steps.iter().map(|step| (step.name, step.length().as_millis())).collect();
        assert_eq!(
            lengths,
            [("detect", 50), ("agree", 5), ("fence", 5), ("start", 40), ("first tick", 40)]
        );
        assert_eq!(found.outage, Duration::from_millis(190));
        assert_eq!(found.engine_share, Some(Duration::from_millis(6)));
        assert_eq!(found.until_start_order, Duration::from_millis(61));
        assert_eq!((found.from.as_str(), found.to.as_str()), ("n1", "n2"));
        assert_eq!(found.steps[0].note, "connection reset");
        assert_eq!(Scene { seen: &seen[..9], ..scene }.failover(Kind::Kill), None);
    }
}
