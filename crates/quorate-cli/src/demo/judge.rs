//! The judge: from three independent records, whether a write was lost or doubled.
//!
//! What the guest said is written (its ticks), the log of each write at the node, and the bytes on
//! the LUN. No clock is needed: a life of the guest begins with the counter that it reads from the
//! LUN, so whatever an earlier life writes behind that number was written beside the later one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::lab::{Lab, LabError};
use crate::writes::{self, Outcome, Record, Write};

const SECTOR: u64 = 512;
/// How many records an error names.
const NAMED_MAX: usize = 8;

/// What the judge found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Records that the guest said are written.
    pub acknowledged: u64,
    /// Of these, how many are not on the LUN as they were acknowledged.
    pub lost: u64,
    /// Records written by two lives of the guest at once.
    pub doubled: u64,
    /// Writes that the LUN refused.
    pub refused: u64,
    /// Records that were acknowledged though no write of them is on record: the records contradict
    /// each other.
    pub unlogged: u64,
    /// The first of the records that are in one of these.
    pub named: Vec<u32>,
}

impl Judgement {
    /// What is wrong, for people; none: nothing.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        if self.acknowledged == 0 {
            return Some("the guest wrote nothing: nothing is proven".into());
        }
        (self.lost + self.doubled + self.unlogged > 0).then(|| {
            format!(
                "of {} acknowledged writes {} are lost, {} doubled, {} not in the log of writes; \
                 the first of them: {:?}",
                self.acknowledged, self.lost, self.doubled, self.unlogged, self.named
            )
        })
    }
}

/// A record that the guest said is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The node on which it said so.
    pub node: String,
    /// The record.
    pub record: Record,
}

/// Judges what happened in a lab. Its nodes should have ended, so that nothing is under way.
///
/// # Errors
/// When a record cannot be read.
pub fn judge(lab: &Lab) -> Result<Judgement, LabError> {
    let acknowledged: Vec<Acknowledged> = lab
        .sightings()
        .iter()
        .filter_map(|it| {
            let (number, nonce) = it.tick()?;
            let node = lab.name(it.node).to_owned();
            Some(Acknowledged { node, record: Record { number, nonce } })
        })
        .collect();
    let mut logs = Vec::new();
    for path in lab.write_logs() {
        let failed = |error| LabError::system(format!("write log {}", path.display()), error);
        logs.push(writes::read(&path).map_err(failed)?);
    }
    let bytes = lab.lun_bytes();
    let failed = |error| LabError::system(format!("LUN {}", bytes.display()), error);
    let lun = Lun::open(&bytes).map_err(failed)?;
    check(&acknowledged, &logs, |number| lun.record(number)).map_err(failed)
}

/// Compares the three records: acknowledgements, logs of writes (one for each node, each in order),
/// and what stands on the LUN in the place of a record's number.
///
/// # Errors
/// When the LUN cannot be read.
pub fn check(
    acknowledged: &[Acknowledged],
    logs: &[Vec<Write>],
    on_lun: impl Fn(u32) -> io::Result<Option<Record>>,
) -> io::Result<Judgement> {
    let lives = Lives::new(logs);
    let mut last: BTreeMap<u32, &Acknowledged> = BTreeMap::new();
    let mut acknowledging: BTreeMap<u32, BTreeSet<Life>> = BTreeMap::new();
    let (mut lost, mut unlogged) = (BTreeSet::new(), BTreeSet::new());
    for it in acknowledged {
        last.insert(it.record.number, it);
        match lives.that_wrote(it) {
            Some(life) => {
                acknowledging.entry(it.record.number).or_default().insert(life);
            }
            None => {
                unlogged.insert(it.record.number);
            }
        }
    }
    for (&number, it) in &last {
        let found = on_lun(number)?;
        // In a ring the place of a number may hold a later one.
        let is_there = found.is_some_and(|found| found == it.record || found.number > number);
        if !is_there {
            lost.insert(number);
        }
    }
    let doubled = lives.doubled(&acknowledging);
    let refused = logs.iter().flatten().filter(|write| write.outcome == Outcome::Refused).count();
    let bad: BTreeSet<u32> = lost.iter().chain(&doubled).chain(&unlogged).copied().collect();
    Ok(Judgement {
        acknowledged: last.len() as u64,
        lost: lost.len() as u64,
        doubled: doubled.len() as u64,
        refused: refused as u64,
        unlogged: unlogged.len() as u64,
        named: bad.into_iter().take(NAMED_MAX).collect(),
    })
}

/// A life of the guest: one boot in one ownership. Later lives are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Life {
    epoch: u64,
    /// The place of its first write in its node's log.
    place: usize,
}

/// What each life wrote.
struct Lives {
    /// By node, record and epoch.
    by_record: BTreeMap<(String, Record, u64), Life>,
    /// The lives whose write of a number is on record.
    writers: BTreeMap<u32, BTreeSet<Life>>,
    /// The first number that a life tried.
    first: BTreeMap<Life, u32>,
}

impl Lives {
    fn new(logs: &[Vec<Write>]) -> Self {
        let mut lives: BTreeMap<(u64, u64), Life> = BTreeMap::new();
        let mut all =
            Self { by_record: BTreeMap::new(), writers: BTreeMap::new(), first: BTreeMap::new() };
        for (place, write) in logs.iter().flat_map(|log| log.iter().enumerate()) {
            let (epoch, Some(record)) = (write.epoch, write.record) else { continue };
            let new = Life { epoch, place };
            let life = *lives.entry((epoch, record.nonce)).or_insert(new);
            let first = all.first.entry(life).or_insert(record.number);
            *first = record.number.min(*first);
            if write.outcome == Outcome::Written {
                all.writers.entry(record.number).or_default().insert(life);
                all.by_record.insert((write.node.clone(), record, epoch), life);
            }
        }
        all
    }

    /// The life that wrote what was acknowledged; the latest, should there be two on its node. A guest that was saved
    /// between the two says on another node what it wrote before, under the same nonce: of several such the earliest,
    /// so that none that wrote it again goes unseen; and only before what it wrote there itself.
    fn that_wrote(&self, it: &Acknowledged) -> Option<Life> {
        let key = |epoch| (it.node.clone(), it.record, epoch);
        let here = self.by_record.range(key(0)..=key(u64::MAX)).next_back();
        if let Some((_, &life)) = here {
            return Some(life);
        }
        let same = |record: &Record| record.nonce == it.record.nonce;
        let goes_on = self.by_record.iter().filter(|((node, record, _), _)| {
            *node == it.node && same(record) && record.number > it.record.number
        });
        let goes_on = goes_on.map(|(_, &life)| life).min();
        let before = |life: &Life| goes_on.is_none_or(|later| *life < later);
        let elsewhere = self.by_record.iter().filter(|((_, record, _), _)| *record == it.record);
        elsewhere.map(|(_, &life)| life).filter(before).min()
    }

    /// The numbers that two lives wrote at once.
    ///
    /// That two lives wrote a number is right in one case: the later one began with it, and the
    /// earlier one was cut off before it could say that it is written.
    fn doubled(&self, acknowledging: &BTreeMap<u32, BTreeSet<Life>>) -> BTreeSet<u32> {
        let none = BTreeSet::new();
        let is_doubled = |(number, writers): &(&u32, &BTreeSet<Life>)| {
            let acknowledged = acknowledging.get(number).unwrap_or(&none);
            let is_right = |earlier: &Life, later: &Life| {
                self.first.get(later) == Some(*number) && !acknowledged.contains(earlier)
            };
            writers
                .iter()
                .any(|later| writers.range(..*later).any(|earlier| !is_right(earlier, later)))
        };
        let found = self.writers.iter().filter(is_doubled);
        found.map(|(&number, _)| number).collect()
    }
}

/// The bytes of the test guest's disk.
struct Lun {
    file: File,
    capacity: u32,
}

impl Lun {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut counter = [0; SECTOR as usize];
        file.read_exact_at(&mut counter, 0)?;
        let capacity = u32::from_le_bytes([counter[24], counter[25], counter[26], counter[27]]);
        if !is_whole(&counter) || capacity == 0 {
            return Err(io::Error::other("its first sector is not the guest's counter"));
        }
        Ok(Self { file, capacity })
    }

    /// What stands in the place of record `number`; none: no whole record.
    fn record(&self, number: u32) -> io::Result<Option<Record>> {
        let place = 1 + u64::from(number.saturating_sub(1) % self.capacity);
        let mut sector = [0; SECTOR as usize];
        self.file.read_exact_at(&mut sector, place * SECTOR)?;
        Ok(if is_whole(&sector) { Record::parse(&sector) } else { None })
    }
}

fn is_whole(sector: &[u8; SECTOR as usize]) -> bool {
    crc32fast::hash(&sector[..508]).to_le_bytes() == sector[508..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A story in which every write that is not refused is on the LUN, the last one winning.
    #[derive(Default)]
    struct Story {
        logs: [Vec<Write>; 2],
        acknowledged: Vec<Acknowledged>,
        lun: BTreeMap<u32, Record>,
    }

    impl Story {
        fn write(&mut self, node: usize, epoch: u64, nonce: u64, number: u32, outcome: Outcome) {
            let record = Record { number, nonce };
            let name = format!("n{node}");
            self.logs[node].push(Write {
                at_ns: 0,
                node: name,
                epoch,
                offset: u64::from(number) * SECTOR,
                length: SECTOR,
                outcome,
                record: Some(record),
            });
            if outcome == Outcome::Written {
                self.lun.insert(number, record);
            }
        }

        fn tick(&mut self, node: usize, epoch: u64, nonce: u64, numbers: std::ops::Range<u32>) {
            for number in numbers {
                self.write(node, epoch, nonce, number, Outcome::Written);
                let record = Record { number, nonce };
                self.acknowledged.push(Acknowledged { node: format!("n{node}"), record });
            }
        }

        fn judged(&self) -> Judgement {
            check(&self.acknowledged, &self.logs, |number| Ok(self.lun.get(&number).copied()))
                .unwrap()
        }
    }

    #[test]
    fn a_crash_between_record_and_counter_is_no_doubled_write() {
        let mut story = Story::default();
        story.tick(0, 1, 10, 1..5);
        story.write(0, 1, 10, 5, Outcome::Written);
        story.tick(1, 2, 20, 5..9);
        story.write(0, 1, 10, 6, Outcome::Refused);
        let judged = story.judged();
        assert_eq!((judged.lost, judged.doubled, judged.refused), (0, 0, 1));
        assert_eq!(judged.acknowledged, 8);
        assert_eq!(judged.complaint(), None);
    }

    #[test]
    fn a_resumed_guest_keeps_its_nonce_and_doubles_nothing() {
        let mut story = Story::default();
        story.tick(0, 1, 10, 1..5);
        story.tick(1, 2, 10, 5..9);
        story.tick(0, 3, 10, 9..12);
        assert_eq!(story.judged().complaint(), None);
    }

    #[test]
    fn a_guest_that_is_moved_between_a_write_and_its_word_has_written() {
        let mut story = Story::default();
        story.tick(0, 1, 10, 1..5);
        story.write(0, 1, 10, 5, Outcome::Written);
        let record = Record { number: 5, nonce: 10 };
        story.acknowledged.push(Acknowledged { node: "n1".into(), record });
        story.tick(1, 2, 10, 6..9);
        assert_eq!(story.judged().complaint(), None);
        // A stale save of it that writes the same once more is no excuse.
        story.write(0, 3, 10, 5, Outcome::Written);
        assert_eq!(story.judged().doubled, 1);
    }

    #[test]
    fn a_restart_in_the_same_epoch_is_another_life() {
        let mut story = Story::default();
        story.tick(0, 1, 30, 1..5);
        story.write(0, 1, 30, 5, Outcome::Written);
        story.tick(0, 1, 20, 5..9);
        assert_eq!(story.judged().complaint(), None);
        story.write(0, 1, 30, 6, Outcome::Written);
        assert_eq!(story.judged().doubled, 1);
    }

    #[test]
    fn two_lives_at_once_are_seen_even_if_the_earlier_one_is_never_told() {
        let mut story = Story::default();
        story.tick(0, 1, 10, 1..5);
        story.tick(1, 2, 20, 5..9);
        story.write(0, 1, 10, 6, Outcome::Written);
        let judged = story.judged();
        assert_eq!(judged.doubled, 1);
        // The late write stands where an acknowledged one stood.
        assert_eq!(judged.lost, 1);
        assert!(judged.complaint().unwrap().contains("[6]"));
    }

    #[test]
    fn a_number_that_two_lives_acknowledge_is_doubled() {
        let mut story = Story::default();
        story.tick(0, 1, 10, 1..6);
        story.tick(1, 2, 20, 5..9);
        assert_eq!(story.judged().doubled, 1);
    }

    #[test]
    fn an_acknowledged_record_that_is_not_on_the_lun_is_lost() {
        let mut story = Story::default();
        story.tick(0, 1, 10, 1..5);
        story.lun.remove(&3);
        let judged = story.judged();
        assert_eq!((judged.lost, judged.named.as_slice()), (1, &[3][..]));
    }

    #[test]
    fn an_acknowledgement_without_a_write_on_record_is_a_contradiction() {
        let mut story = Story::default();
        story.tick(0, 1, 10, 1..5);
        story.logs[0].pop();
        assert_eq!(story.judged().unlogged, 1);
        assert!(Judgement::default().complaint().is_some());
    }
}
