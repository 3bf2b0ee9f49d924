//! Whatever a scenario file holds, it is read or refused with its place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate_sim::scenario::{Format, Scenario};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for format in [Format::Json, Format::Toml] {
        if let Err(error) = Scenario::parse(&text, format) {
            assert!(!error.place.is_empty() && !error.problem.is_empty());
        }
    }
});
