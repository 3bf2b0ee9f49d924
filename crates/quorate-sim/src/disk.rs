//! A node's stable storage for its log: what is written is safe only once its completion has come.

use std::collections::VecDeque;

use quorate_core::durable::{Durable, Record};
use quorate_core::id::{OpId, VoterId};
use quorate_core::random::Random;

use crate::clock::Moment;

/// A disk.
#[derive(Debug, Default)]
pub struct Disk {
    /// No write becomes stable.
    pub is_full: bool,
    /// Writes take their time.
    pub is_slow: bool,
    /// Until then they do, too.
    pub slow_until: Moment,
    /// A record in its midst is damaged: nobody can know before the log is read again.
    pub is_rotten: bool,
    /// A bug: the end of a rewrite is not stable before the next write is.
    pub tears_rewrites: bool,
    is_rewritten: bool,
    records: Vec<Record>,
    last_entry: u64,
    under_way: VecDeque<Write>,
    last: Moment,
}

#[derive(Debug)]
struct Write {
    op: OpId,
    records: Vec<Record>,
    rewrite: bool,
}

impl Disk {
    /// Queues a write that will take until `done`; gives when it is through, never before those in front of it.
    pub fn write(&mut self, op: OpId, records: Vec<Record>, rewrite: bool, done: Moment) -> Moment {
        self.under_way.push_back(Write { op, records, rewrite });
        self.last = self.last.max(done);
        self.last
    }

    /// The oldest write is through: which request that was.
    pub fn done(&mut self) -> Option<OpId> {
        let Write { op, records, rewrite } = self.under_way.pop_front()?;
        if rewrite {
            self.records.clear();
            self.last_entry = 0;
        }
        self.is_rewritten = rewrite;
        self.keep(records);
        Some(op)
    }

    fn keep(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            match &record {
                Record::Entry(entry) => self.last_entry = entry.index,
                Record::Snapshot(snapshot) => self.last_entry = snapshot.index,
                Record::Identity(_) | Record::HardState { .. } | Record::Electorate(..) => {}
            }
            self.records.push(record);
        }
    }

    /// The last entry of the log that is stable here.
    pub fn last_entry(&self) -> u64 {
        self.last_entry
    }

    /// The epoch of consensus that is stable here, and the vote in it.
    pub fn vote(&self) -> Option<(u64, VoterId)> {
        self.records.iter().rev().find_map(|record| match record {
            Record::HardState { term, vote, .. } => Some((*term, *vote)),
            Record::Identity(_)
            | Record::Entry(_)
            | Record::Snapshot(_)
            | Record::Electorate(..) => None,
        })
    }

    /// The process or the host is gone: of the writes under way any number has become stable, oldest first, the
    /// newest of them perhaps in part; a rewrite is stable as a whole or not at all.
    pub fn crash(&mut self, random: &mut Random) {
        let survivors = random.below(self.under_way.len() as u64 + 1);
        for _ in 0..survivors {
            self.done();
        }
        if self.is_rewritten && self.tears_rewrites {
            let kept = random.below(self.records.len() as u64 + 1) as usize;
            self.truncate(kept);
        }
        if let Some(Write { records, .. }) =
            self.under_way.pop_front().filter(|write| !write.rewrite)
        {
            let part = random.below(records.len() as u64 + 1) as usize;
            self.keep(records.into_iter().take(part));
        }
        self.under_way.clear();
        self.last = Moment::default();
    }

    /// Power fails in the midst of the newest write: those before it are stable, of itself a part. True: there was one.
    pub fn tear(&mut self, random: &mut Random) -> bool {
        while self.under_way.len() > 1 {
            self.done();
        }
        let torn = !self.under_way.is_empty();
        self.crash(random);
        torn
    }

    /// Everything from some place on is gone.
    pub fn cut_off(&mut self, random: &mut Random) {
        let kept = random.below(self.records.len() as u64 + 1) as usize;
        self.truncate(kept.max(1));
    }

    fn truncate(&mut self, kept: usize) {
        let records: Vec<Record> = self.records.drain(..).take(kept).collect();
        self.last_entry = 0;
        self.keep(records);
    }

    /// Whether anything stands on it.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Nothing under way becomes stable, though it was said to be: what a disk that lies does in a crash.
    pub fn crash_losing_all(&mut self) {
        self.under_way.clear();
        self.last = Moment::default();
    }

    /// The disk is replaced by an empty one.
    pub fn wipe(&mut self) {
        *self = Self { tears_rewrites: self.tears_rewrites, ..Self::default() };
    }

    /// What a node that starts here remembers.
    pub fn durable(&self) -> Durable {
        Durable::replay(self.records.iter().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_core::id::NodeId;

    fn identity(boot: u64) -> Record {
        Record::Identity(VoterId::new(NodeId(1), boot))
    }

    #[test]
    fn what_was_acknowledged_survives_every_crash_and_the_rest_only_from_its_front() {
        for seed in 0..200 {
            let mut disk = Disk::default();
            for boot in 1..=4 {
                disk.write(OpId(boot), vec![identity(boot)], false, Moment(boot));
            }
            assert_eq!((disk.done(), disk.done()), (Some(OpId(1)), Some(OpId(2))));
            disk.crash(&mut Random::new(seed));
            let kept = disk.records.len();
            assert!((2..=4).contains(&kept));
            assert_eq!(disk.records, (1..=kept as u64).map(identity).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_rewrite_is_stable_as_a_whole_or_not_at_all() {
        for seed in 0..50 {
            let mut disk = Disk::default();
            disk.write(OpId(1), vec![identity(1), identity(2)], false, Moment(1));
            disk.done();
            disk.write(OpId(2), vec![identity(3), identity(4), identity(5)], true, Moment(2));
            disk.crash(&mut Random::new(seed));
            let whole = vec![identity(3), identity(4), identity(5)];
            assert!(disk.records == whole || disk.records == [identity(1), identity(2)]);
        }
    }
}
