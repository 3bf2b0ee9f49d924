//! What has come of every case: as data, and as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What comes of every case of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The cluster's name.
    pub cluster: String,
    /// How long a resource was taken to need for a start, in milliseconds; part of every outage.
    pub start_time_ms: u64,
    /// In what the simulated cluster differed from the given situation before the loss; empty: in nothing.
    pub differs: Vec<String>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// What comes of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What is lost.
    pub lost: Vec<String>,
    /// Whether some nodes keep a quorum.
    pub quorum: bool,
    /// The nodes that may act afterwards.
    pub acting: Vec<String>,
    /// The nodes that run and may not.
    pub without_quorum: Vec<String>,
    /// Every group.
    pub groups: Vec<GroupOutcome>,
    /// Whether the cluster came to rest.
    pub at_rest: bool,
    /// Promises of quorate that were broken: a fault of quorate. Empty, or please report it.
    pub violations: Vec<String>,
}

/// What comes of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOutcome {
    /// Its name.
    pub name: String,
    /// What comes of it.
    pub fate: Fate,
    /// Where it ran before.
    pub before: Option<String>,
    /// Where it runs afterwards.
    pub after: Option<String>,
    /// For how long it ran nowhere, in milliseconds of virtual time; none: it stays down, or was down.
    pub outage_ms: Option<u64>,
    /// Why it runs nowhere afterwards.
    pub why: Option<String>,
}

/// What comes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is not disturbed.
    Stays,
    /// It was down, and starts.
    Starts,
    /// It was down, and stays so.
    WasDown,
    /// It is interrupted, and goes on where it was.
    Restarts,
    /// It goes on elsewhere.
    Moves,
    /// It goes down.
    Down,
}

impl Fate {
    /// The word for it, the same in all languages.
    pub fn as_str(self) -> &'static str {
        match self {
            Fate::Stays => "stays",
            Fate::Starts => "starts",
            Fate::WasDown => "was_down",
            Fate::Restarts => "restarts",
            Fate::Moves => "moves",
            Fate::Down => "down",
        }
    }
}

impl GroupOutcome {
    fn badness(&self) -> (Fate, u64) {
        (self.fate, self.outage_ms.unwrap_or(0))
    }
}

impl Case {
    /// How many groups fare so.
    pub fn count(&self, fate: Fate) -> usize {
        self.groups.iter().filter(|group| group.fate == fate).count()
    }

    /// The longest outage of a group that comes back, in milliseconds.
    pub fn worst_outage_ms(&self) -> Option<u64> {
        self.groups.iter().filter_map(|group| group.outage_ms).filter(|&outage| outage > 0).max()
    }

    /// Of two runs of one case, the worse of each thing.
    pub(super) fn worse(self, other: Case) -> Case {
        let groups = self.groups.into_iter().zip(other.groups);
        let groups = groups.map(|(a, b)| if b.badness() > a.badness() { b } else { a });
        let groups = groups.collect();
        let is_worse = self.quorum && !other.quorum;
        let (acting, without_quorum) = match is_worse {
            true => (other.acting, other.without_quorum),
            false => (self.acting, self.without_quorum),
        };
        Case {
            lost: self.lost,
            quorum: self.quorum && other.quorum,
            acting,
            without_quorum,
            groups,
            at_rest: self.at_rest && other.at_rest,
            violations: self.violations.into_iter().chain(other.violations).collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.differs {
            writeln!(f, "note: {line}")?;
        }
        match &self.cases[..] {
            [case] => one(f, case)?,
            cases => many(f, cases)?,
        }
        if self.cases.iter().any(|case| case.worst_outage_ms().is_some()) {
            let seconds = seconds(self.start_time_ms);
            writeln!(f, "\nOutages are virtual, and count {seconds} for the start of a resource.")?;
        }
        Ok(())
    }
}

/// One case: every group.
fn one(f: &mut fmt::Formatter<'_>, case: &Case) -> fmt::Result {
    writeln!(f, "lost: {}", case.lost.join(", "))?;
    writeln!(f, "{}", quorum_words(case))?;
    odd(f, case)?;
    let rows = case.groups.iter().map(|group| {
        let place = |node: &Option<String>| node.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            group.name.clone(),
            group.fate.as_str().replace('_', " "),
            place(&group.before),
            place(&group.after),
            group.outage_ms.map_or_else(|| "-".to_owned(), seconds),
            group.why.clone().unwrap_or_default(),
        ]
    });
    table(f, &["GROUP", "FATE", "BEFORE", "AFTER", "OUTAGE", "WHY"], rows)
}

/// Many cases: a line each, and then what goes down and why.
fn many(f: &mut fmt::Formatter<'_>, cases: &[Case]) -> fmt::Result {
    let rows = cases.iter().map(|case| {
        vec![
            case.lost.join(", "),
            if case.quorum { "kept" } else { "LOST" }.to_owned(),
            case.count(Fate::Stays).to_string(),
            case.count(Fate::Moves).to_string(),
            case.count(Fate::Restarts).to_string(),
            case.count(Fate::Down).to_string(),
            case.worst_outage_ms().map_or_else(|| "-".to_owned(), seconds),
        ]
    });
    let heads = ["LOST", "QUORUM", "STAY", "MOVE", "RESTART", "DOWN", "LONGEST OUTAGE"];
    table(f, &heads, rows)?;
    for case in cases {
        odd(f, case)?;
        let down = case.groups.iter().filter(|group| group.fate == Fate::Down);
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for group in down {
            let why = group.why.as_deref().unwrap_or_default();
            by_reason.entry(why).or_default().push(&group.name);
        }
        for (why, groups) in by_reason {
            let lost = case.lost.join(", ");
            writeln!(f, "without {lost}: {} down: {why}", groups.join(", "))?;
        }
    }
    Ok(())
}

fn quorum_words(case: &Case) -> String {
    let mut words = match case.quorum {
        true => format!("quorum: kept by {}", case.acting.join(", ")),
        false => "quorum: LOST".to_owned(),
    };
    if !case.without_quorum.is_empty() {
        words += &format!("; without it: {}", case.without_quorum.join(", "));
    }
    words
}

/// What should never be.
fn odd(f: &mut fmt::Formatter<'_>, case: &Case) -> fmt::Result {
    let lost = case.lost.join(", ");
    if !case.at_rest && case.violations.is_empty() {
        writeln!(f, "without {lost}: the cluster does not come to rest")?;
    }
    for violation in &case.violations {
        writeln!(f, "without {lost}: A PROMISE IS BROKEN, please report it: {violation}")?;
    }
    Ok(())
}

fn table(
    f: &mut fmt::Formatter<'_>,
    heads: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    let mut all = vec![heads.iter().map(|&head| head.to_owned()).collect::<Vec<_>>()];
    all.extend(rows);
    let width =
        |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}

pub(super) fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
