//! Bytes that claim to be a recording: an error with a place, or pieces; never a panic, never unbounded memory.
//!
//! The engine itself is not stepped here: libFuzzer ends at the first panic, also at one that a replay catches.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate_core::recording::Reader;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((_, mut reader)) = Reader::open(bytes) {
        while let Ok(Some(_)) = reader.next_piece() {}
    }
});
