//! What the documents say in figures is what the code computes.

use std::fs;
use std::path::Path;

use quorate_core::config::{Timing, TimingInputs};

/// Writes the documents where `UPDATE` is set; fails on a difference otherwise.
#[test]
fn the_timing_page_shows_what_the_code_derives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/TIMING.md");
    let text = fs::read_to_string(&path).expect("docs/TIMING.md is there");
    let mut fresh = text.clone();
    for (name, inputs) in [("default", TimingInputs::DEFAULT), ("fast", TimingInputs::FAST)] {
        let timing = Timing::derive(&inputs).expect("the profile is safe");
        fresh = with_table(&fresh, name, &timing.derivation());
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, fresh).expect("docs/TIMING.md can be written");
    } else {
        assert!(text == fresh, "docs/TIMING.md is out of date: run `make fix`");
    }
}

/// The text with the indented table after `<!-- name -->` replaced.
fn with_table(text: &str, name: &str, table: &str) -> String {
    let mark = format!("<!-- {name} -->\n");
    let (before, after) = text.split_once(&mark).expect("the mark is there");
    let is_table = |line: &&str| line.is_empty() || line.starts_with("    ");
    let rest: Vec<&str> = after.lines().skip_while(is_table).collect();
    let table: String = table.lines().map(|line| format!("    {line}\n")).collect();
    let rest = if rest.is_empty() { String::new() } else { format!("\n{}\n", rest.join("\n")) };
    format!("{before}{mark}\n{table}{rest}")
}
