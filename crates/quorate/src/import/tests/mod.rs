//! What other clusters say is carried over, or told.

mod hostile;
mod pacemaker;
mod proxmox;

use super::{FindingKind, Imported, import_pacemaker};

const RICH: &str = include_str!("rich.xml");

fn rich() -> Imported {
    import_pacemaker(RICH, "cib.xml").unwrap()
}

/// The findings with this word, one line each.
fn findings(imported: &Imported, word: &str) -> Vec<String> {
    let all = imported.report.findings.iter().map(ToString::to_string);
    all.filter(|line| line.contains(word)).collect()
}

#[track_caller]
fn is_told(imported: &Imported, kind: FindingKind, words: &[&str]) {
    let found = imported.report.of_kind(kind).map(ToString::to_string);
    let found: Vec<String> = found.collect();
    let fits = |line: &String| words.iter().all(|word| line.contains(word));
    assert!(found.iter().any(fits), "no {words:?} in:\n{}", imported.report);
}
