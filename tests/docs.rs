//! What the documents say in figures is what the code computes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use quorate_cli::arguments::Arguments;
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

/// Keys, derived values, calls of Rust and commands: each of ours that the page of other clusters names is there.
#[test]
fn the_page_of_other_clusters_names_nothing_that_we_do_not_have() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |file: &str| fs::read_to_string(root.join(file)).expect("the file is there");
    let known = ["docs/CONFIGURATION.md", "docs/TIMING.md", "crates/quorate/src/node/mod.rs"]
        .map(read)
        .concat();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let known: BTreeSet<&str> = known.split(|c| !is_word(c)).collect();
    let commands = Arguments::command();
    let page = read("docs/FROM_OTHER_CLUSTERS.md");
    let mut missing = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| there")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        // What is decided otherwise there is told in words.
        if cells.len() == 2 {
            continue;
        }
        assert_eq!(cells.len(), 5, "{row}");
        let ours = cells[2].split('`').skip(1).step_by(2);
        for word in ours {
            let (first, rest) = word.split_once(' ').unwrap_or((word, ""));
            let is_there = match first {
                "quorate" => {
                    let name = rest.split(' ').next().expect("split gives at least one part");
                    commands.find_subcommand(name).is_some()
                }
                key => key.trim_matches('"').split(['.', '-']).all(|part| known.contains(part)),
            };
            if !is_there {
                missing.push(word.to_owned());
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
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
