use std::collections::BTreeMap;

use proptest::prelude::*;

use super::frame::{Beats, Frame};
use super::*;
use crate::engine::tests::{SECRET_URL, recorded_story};
use crate::id::{Incarnation, PathId};
use crate::message::{Ages, Beat};
use crate::random::Random;

/// Makes every step again.
fn replayed(file: &[u8]) -> Result<Replay<'_>, RecordingError> {
    let mut replay = Replay::begin(file)?;
    while replay.step()?.is_some() {}
    Ok(replay)
}

fn story() -> Vec<Vec<u8>> {
    recorded_story().into_values().collect()
}

/// The longest recording of the story.
fn longest() -> Vec<u8> {
    story().into_iter().max_by_key(Vec::len).expect("somebody was recorded")
}

/// Where each chunk begins, and the end.
fn chunks(file: &[u8]) -> Vec<usize> {
    let mut found = vec![HEADER];
    let mut at = HEADER;
    while at < file.len() {
        at += CHUNK_HEADER + u32_at(file, at + 12) as usize;
        found.push(at);
    }
    found
}

/// Makes all checksums right again, as one would who knows the format.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let boot = u64_at(&file, 24);
    let places = chunks(&file);
    for pair in places.windows(2) {
        let body = checksum(boot, &file[pair[0] + CHUNK_HEADER..pair[1]]);
        file[pair[0] + 16..pair[0] + 20].copy_from_slice(&body.to_le_bytes());
        let header = checksum(boot, &file[pair[0]..pair[0] + 20]);
        file[pair[0] + 20..pair[0] + 24].copy_from_slice(&header.to_le_bytes());
    }
    file
}

#[test]
fn every_node_of_a_failover_is_reproduced_step_by_step() {
    let recordings = recorded_story();
    assert_eq!(recordings.len(), 4, "one of them was started twice");
    for ((node, boot), file) in recordings {
        let replay = replayed(&file).expect("it is whole");
        assert_eq!(replay.verdict(), &Verdict::Reproduced, "{node} {boot}");
        let torn_or_closed = replay.ending() == Some(Ending::Closed) || replay.torn().is_some();
        assert!(torn_or_closed && replay.steps() > 10, "{node}: {} steps", replay.steps());
        assert_eq!(replay.opening().header, Header { cluster: ClusterId(7), node, boot });
    }
}

#[test]
fn no_recording_holds_a_password() {
    let holds =
        |file: &[u8], text: &str| file.windows(text.len()).any(|part| part == text.as_bytes());
    let stars = SECRET_URL.replace("open-sesame", "***********");
    for file in story() {
        assert!(!holds(&file, "open-sesame"));
        assert!(holds(&file, &stars));
    }
}

#[test]
fn a_step_that_goes_otherwise_is_named() {
    let file = longest();
    let mut replay = Replay::begin(&file).expect("it is whole");
    let mut before_31 = None;
    while let Some(stepped) = replay.step().expect("it is whole") {
        if stepped.number == 31 {
            before_31 = Some(stepped.offset as usize - 1);
        }
    }
    let mut other = file.clone();
    // The byte before a step's frame is the digest of the step before, unless a chunk ends there.
    other[before_31.expect("it has more steps")] ^= 1;
    let replay = replayed(&sealed(other)).map(|replay| replay.verdict().clone());
    let Ok(Verdict::Differs { step, offset }) = replay else { panic!("{replay:?}") };
    assert_eq!(step, 30);
    assert!(offset > 0);
}

#[test]
fn a_torn_recording_is_good_up_to_its_last_whole_chunk() {
    let file = longest();
    let whole = chunks(&file);
    for cut in (0..file.len()).step_by(7) {
        match replayed(&file[..cut]) {
            Ok(replay) => {
                let last =
                    whole.iter().rev().find(|&&end| end <= cut).expect("the header is whole");
                assert_eq!(replay.torn(), Some(*last as u64), "cut at {cut}");
                assert_eq!(replay.verdict(), &Verdict::Reproduced);
            }
            Err(RecordingError::Foreign { offset, .. }) => assert!(offset as usize <= cut),
            Err(RecordingError::Damaged { offset, .. }) => assert_eq!(offset as usize, HEADER),
            Err(error) => panic!("cut at {cut}: {error}"),
        }
    }
}

#[test]
fn a_flipped_bit_is_seen_and_its_place_told() {
    let file = longest();
    let whole = chunks(&file);
    let mut random = Random::new(11);
    for _ in 0..2_000 {
        let at = random.below(file.len() as u64) as usize;
        let mut other = file.clone();
        other[at] ^= 1 << random.below(8);
        match replayed(&other) {
            Ok(replay) => {
                let last = whole[whole.len() - 2];
                assert!(at >= last && replay.torn() == Some(last as u64), "at {at}");
            }
            Err(RecordingError::Damaged { offset, .. }) => {
                let chunk = whole.iter().rev().find(|&&start| start <= at);
                assert_eq!(Some(offset as usize), chunk.copied(), "at {at}");
            }
            Err(_) => assert!(at < HEADER, "at {at}"),
        }
    }
}

/// What a fuzzer starts from; the fuzzer itself is in fuzz/.
const CORPUS: [(&str, &[u8]); 5] = [
    ("empty", include_bytes!("../../../../fuzz/corpus/recording/empty.qrec")),
    ("foreign", include_bytes!("../../../../fuzz/corpus/recording/foreign.qrec")),
    ("header-alone", include_bytes!("../../../../fuzz/corpus/recording/header-alone.qrec")),
    ("left-in-order", include_bytes!("../../../../fuzz/corpus/recording/left-in-order.qrec")),
    ("torn", include_bytes!("../../../../fuzz/corpus/recording/torn.qrec")),
];

/// A corpus of another format would be refused at the header, and exercise nothing. With `UPDATE` set, it is written.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test writes the files that it checks")]
fn the_corpus_is_of_the_format_of_this_build() {
    if std::env::var_os("UPDATE").is_some() {
        let whole = longest();
        let made = [
            ("header-alone", &whole[..HEADER]),
            ("left-in-order", &whole[..]),
            ("torn", &whole[..whole.len() * 2 / 3]),
        ];
        for (name, bytes) in made {
            let place = env!("CARGO_MANIFEST_DIR").to_owned() + "/../../fuzz/corpus/recording/";
            std::fs::write(place + name + ".qrec", bytes).expect("the corpus can be written");
        }
        return;
    }
    for name in ["left-in-order", "torn"] {
        let (_, file) = CORPUS.iter().find(|(other, _)| *other == name).expect("it is there");
        let replay = replayed(file).expect("the corpus is of another format: UPDATE=1");
        assert!(replay.steps() > 10, "{name}: {} steps", replay.steps());
    }
}

/// Old recordings need not be reproduced by newer code; but nothing in them may be more than an error or a verdict.
#[test]
fn the_corpus_and_what_can_be_made_of_it_never_panics_and_names_the_place() {
    let mut random = Random::new(3);
    for (name, file) in CORPUS {
        for round in 0..200 {
            let mut other = file.to_vec();
            for _ in 0..round.min(4) {
                match random.below(4) {
                    _ if other.is_empty() => {}
                    0 => other.truncate(random.below(other.len() as u64 + 1) as usize),
                    1 => {
                        other.insert(random.below(other.len() as u64) as usize, random.draw() as u8)
                    }
                    2 => drop(other.remove(random.below(other.len() as u64) as usize)),
                    _ => {
                        let at = random.below(other.len() as u64) as usize;
                        other[at] = random.draw() as u8;
                    }
                }
            }
            if let Err(error) = replayed(&other) {
                assert!(error.to_string().starts_with("byte "), "{name}: {error}");
            }
        }
    }
}

/// Whoever knows the format can make checksums right: the engine itself then meets what never happened.
#[test]
fn a_forged_recording_gives_an_error_or_a_verdict_but_never_a_panic() {
    let files = story();
    let mut random = Random::new(5);
    let mut verdicts: BTreeMap<&str, u32> = BTreeMap::new();
    for round in 0..1_500 {
        let mut file = files[round % files.len()].clone();
        let places = chunks(&file);
        for _ in 0..=random.below(3) {
            let chunk = random.below(places.len() as u64 - 1) as usize;
            let body = places[chunk] + CHUNK_HEADER..places[chunk + 1];
            let at = body.start + random.below(body.len().max(1) as u64) as usize;
            if at < file.len() {
                file[at] = random.draw() as u8;
            }
        }
        let word = match replayed(&sealed(file)) {
            Ok(replay) => match replay.verdict() {
                Verdict::Reproduced => "reproduced",
                Verdict::Differs { .. } => "differs",
                Verdict::Panicked { .. } => "the engine panicked",
            },
            Err(RecordingError::Damaged { .. }) => "damaged",
            Err(error) => panic!("{error}"),
        };
        *verdicts.entry(word).or_default() += 1;
    }
    assert!(verdicts["damaged"] > 50 && verdicts["differs"] > 50, "{verdicts:?}");
}

#[test]
fn an_engine_that_panicked_is_told_from_one_that_does_so_only_here() {
    let file = longest();
    let (opening, _) = Reader::open(&file).expect("it is whole");
    let (mut recorder, mut bytes) =
        Recorder::begin(&opening.setup, opening.start, Origin::default());
    recorder.event(&crate::Event::Tick, opening.start);
    bytes.extend(recorder.end(Ending::Panicked));
    let (_, mut reader) = Reader::open(&bytes).expect("it is whole");
    let step = reader.next_piece().expect("it is whole");
    assert!(matches!(step, Some(Piece::Step { check: None, .. })), "{step:?}");
    assert_eq!(reader.next_piece(), Ok(Some(Piece::End(Ending::Panicked))));
    assert_eq!(reader.next_piece(), Ok(None));
}

#[test]
fn what_is_no_recording_is_refused_with_the_place() {
    let error = |bytes: &[u8]| Replay::begin(bytes).err().expect("it is refused").to_string();
    assert_eq!(error(b"#!/bin/sh"), "byte 0: this is not the beginning of a recording");
    assert_eq!(error(b""), "byte 0: the file ends inside the header of a recording");
    let mut file = longest();
    file[8] = 0;
    let refused = format!("byte 8: the recording has format 0, this build reads format {VERSION}");
    assert_eq!(error(&file), refused);
    file[8..12].copy_from_slice(&VERSION.to_le_bytes());
    file[30] ^= 1;
    assert_eq!(error(&file), "byte 0: the header does not match its checksum");
}

fn beats() -> impl Strategy<Value = Vec<(u16, Beat)>> {
    let number = prop_oneof![Just(0), 0..9u64, any::<u64>()];
    let pairs = proptest::collection::vec((0..4u16, any::<u64>()), 0..3);
    let pairs = pairs.prop_map(|all| all.into_iter().map(|(id, at)| (NodeId(id), at)).collect());
    let beat = (
        (number.clone(), 0..3u32, number.clone(), number.clone()),
        (proptest::option::of((0..3u64, number.clone())), number),
        (any::<bool>(), any::<bool>(), pairs),
    )
        .prop_map(|((boot, session, sequence, sent), (acknowledged, applied), rest)| {
            let (lease, probe, heard): (bool, bool, Vec<(NodeId, u64)>) = rest;
            let incarnation = Incarnation { boot, session };
            let heard: Ages = heard.into_iter().collect();
            let withheld = heard.clone();
            Beat {
                incarnation,
                sequence,
                sent,
                acknowledged,
                witnessed: acknowledged,
                applied,
                lease,
                heard,
                withheld,
                probe,
            }
        });
    proptest::collection::vec((0..3u16, beat), 0..20)
}

proptest! {
    #[test]
    fn a_heartbeat_is_read_as_it_was_written(beats in beats()) {
        let (mut writer, mut reader) = (Beats::default(), Beats::default());
        for (from, beat) in beats {
            let from = NodeId(from);
            let change = writer.change(from, &beat);
            let frame = Frame::Beat { later: 1, from, path: PathId(0), change };
            let bytes = postcard::to_stdvec(&frame).expect("it encodes");
            let Ok(Frame::Beat { change, .. }) = postcard::from_bytes(&bytes) else {
                panic!("{frame:?}")
            };
            prop_assert_eq!(reader.beat(from, change), beat);
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Reader::open(&bytes);
        let header = Header { cluster: ClusterId(1), node: NodeId(1), boot: 1 };
        let file = [&header.encode()[..], &chunk(1, 0, &bytes)].concat();
        prop_assert!(Reader::open(&file).is_err());
    }
}
