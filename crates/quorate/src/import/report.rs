//! What an import could not carry over as it was, and what is left to do.

use std::fmt;

use serde::Serialize;

/// Everything that the new configuration does not say as the old one did, in the order of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One entry a thing.
    pub findings: Vec<Finding>,
}

/// One thing that was not carried over as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub kind: FindingKind,
    /// The file in which it stands; empty where it stands in none.
    pub file: String,
    /// The line in it, from 1; 0 where it stands in none.
    pub line: usize,
    /// Whose setting it is, in the words of the source, as in `primitive web`.
    pub item: String,
    /// The settings that this is about, with their values.
    pub settings: Vec<Setting>,
    /// What became of it.
    pub text: String,
    /// What to do; empty where there is nothing to do.
    pub remedy: String,
}

/// A setting of the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// Only you know the value, or have to act.
    Needed,
    /// It is not in the new configuration.
    NoCounterpart,
    /// It means something a little different.
    Approximated,
    /// Nothing is lost by its absence.
    NotNeeded,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [FindingKind; 4] =
        [Self::Needed, Self::NoCounterpart, Self::Approximated, Self::NotNeeded];

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Needed => "needed",
            Self::NoCounterpart => "no-counterpart",
            Self::Approximated => "approximated",
            Self::NotNeeded => "not-needed",
        }
    }
}

impl Report {
    /// The findings of one kind.
    pub fn of_kind(&self, kind: FindingKind) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.kind == kind)
    }

    /// How many of each kind, as in `2 needed, 1 approximated`.
    pub fn summary(&self) -> String {
        let counts = FindingKind::ALL.map(|kind| (self.of_kind(kind).count(), kind.as_str()));
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, kind)| format!("{count} {kind}")).collect();
        if counts.is_empty() { "nothing to report".to_owned() } else { counts.join(", ") }
    }

    pub(super) fn sort(&mut self) {
        self.findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        self.findings.dedup();
    }
}

/// One line a finding.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:{}: ", self.file, self.line)?;
        }
        write!(f, "{}: {}", self.kind.as_str(), self.item)?;
        let shown = |setting: &Setting| format!("{} = {}", setting.name, setting.value);
        let settings: Vec<String> = self.settings.iter().map(shown).collect();
        if !settings.is_empty() {
            write!(f, " ({})", settings.join(", "))?;
        }
        write!(f, ": {}", self.text)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}
