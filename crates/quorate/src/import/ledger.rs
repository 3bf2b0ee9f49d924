//! The findings of one import, as they are made.

use std::cell::RefCell;

use super::report::{Finding, FindingKind, Report, Setting};
use crate::config::ConfigError;

/// Where something stands, and whose it is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) item: String,
}

impl Place {
    /// The source as a whole.
    pub(super) fn whole(item: impl Into<String>) -> Self {
        Self { file: String::new(), line: 0, item: item.into() }
    }

    /// What is malformed here.
    pub(super) fn wrong(&self, problem: impl Into<String>, remedy: &str) -> ConfigError {
        ConfigError {
            file: Some(self.file.clone()),
            position: Some((self.line, 1)),
            place: self.item.clone(),
            problem: problem.into(),
            remedy: remedy.to_owned(),
        }
    }
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    report: RefCell<Report>,
}

impl Ledger {
    /// Adds a finding.
    pub(super) fn note(
        &self,
        kind: FindingKind,
        place: Place,
        settings: &[(&str, &str)],
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let setting = |&(name, value): &(&str, &str)| Setting {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        self.report.borrow_mut().findings.push(Finding {
            kind,
            file: place.file,
            line: place.line,
            item: place.item,
            settings: settings.iter().map(setting).collect(),
            text: text.into(),
            remedy: remedy.into(),
        });
    }

    pub(super) fn into_report(self) -> Report {
        let mut report = self.report.into_inner();
        report.sort();
        report
    }
}
