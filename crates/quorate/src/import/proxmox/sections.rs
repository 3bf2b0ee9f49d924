//! The forms of Proxmox VE's files: sections of settings, and lists of settings in one value.

use std::cell::Cell;

use crate::config::ConfigError;
use crate::import::Place;
use crate::import::ledger::Ledger;
use crate::import::report::FindingKind;

/// A setting, with its line.
#[derive(Debug)]
pub(super) struct Property<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    pub(super) place: Place,
    read: Cell<bool>,
}

/// A section: `type: id`, and indented settings.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    pub(super) place: Place,
    pub(super) properties: Vec<Property<'a>>,
}

impl<'a> Property<'a> {
    pub(super) fn new(key: &'a str, value: &'a str, place: Place) -> Self {
        Self { key, value, place, read: Cell::new(false) }
    }

    pub(super) fn flag(&self) -> Result<bool, ConfigError> {
        match self.value.to_ascii_lowercase().as_str() {
            "" | "1" | "yes" | "on" | "true" => Ok(true),
            "0" | "no" | "off" | "false" => Ok(false),
            _ => Err(self.wrong("is not 0 or 1")),
        }
    }

    pub(super) fn count(&self) -> Result<u32, ConfigError> {
        self.value.parse().map_err(|_| self.wrong("is not a whole number"))
    }

    pub(super) fn wrong(&self, what: &str) -> ConfigError {
        let problem = format!("{} = {:?} {what}", self.key, self.value);
        self.place.wrong(problem, "correct it, or take it out")
    }

    /// Adds a finding about it.
    pub(super) fn note(&self, ledger: &Ledger, kind: FindingKind, text: &str, remedy: &str) {
        ledger.note(kind, self.place.clone(), &[(self.key, self.value)], text, remedy);
    }

    /// The items of a value as `a=1,b=2`; one without a name is called `first`.
    pub(super) fn list(&self, first: &'a str) -> Vec<Property<'a>> {
        let items = self.value.split(',').map(str::trim).filter(|item| !item.is_empty());
        let pair = |item: &'a str| match item.split_once('=') {
            Some((key, value)) => Property::new(key.trim(), value.trim(), self.place.clone()),
            None => Property::new(first, item, self.place.clone()),
        };
        items.map(pair).collect()
    }
}

impl<'a> Section<'a> {
    /// A setting, which counts as read from here on; of several the last one stands.
    pub(super) fn read(&self, key: &str) -> Option<&Property<'a>> {
        let mut found = None;
        for property in self.properties.iter().filter(|property| property.key == key) {
            property.read.set(true);
            found = Some(property);
        }
        found
    }

    pub(super) fn flag(&self, key: &str, otherwise: bool) -> Result<bool, ConfigError> {
        self.read(key).map_or(Ok(otherwise), Property::flag)
    }

    pub(super) fn count(&self, key: &str, otherwise: u32) -> Result<u32, ConfigError> {
        self.read(key).map_or(Ok(otherwise), Property::count)
    }

    /// Tells of what nobody has read.
    pub(super) fn tell_rest(&self, ledger: &Ledger) {
        for property in self.properties.iter().filter(|property| !property.read.get()) {
            let (kind, text) = match property.key {
                "comment" | "digest" => (FindingKind::NotNeeded, "for people"),
                _ => (FindingKind::NoCounterpart, "there is nothing like it, or it is not known"),
            };
            property.note(ledger, kind, text, "");
        }
    }

    /// Tells that all of it is left out.
    pub(super) fn leave_out(&self, ledger: &Ledger, kind: FindingKind, text: &str, remedy: &str) {
        let settings: Vec<(&str, &str)> =
            self.properties.iter().map(|property| (property.key, property.value)).collect();
        self.properties.iter().for_each(|property| property.read.set(true));
        ledger.note(kind, self.place.clone(), &settings, text, remedy);
    }
}

/// Reads sections.
pub(super) fn sections<'a>(file: &str, text: &'a str) -> Result<Vec<Section<'a>>, ConfigError> {
    let mut sections: Vec<Section<'a>> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let place =
            |item: &str| Place { file: file.to_owned(), line: at + 1, item: item.to_owned() };
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            let Some(section) = sections.last_mut() else {
                return Err(
                    place("").wrong("a setting before any section", "begin with `type: id`")
                );
            };
            let (key, value) = bare.split_once([' ', '\t']).unwrap_or((bare, ""));
            let place = Place { line: at + 1, ..section.place.clone() };
            section.properties.push(Property::new(key, value.trim(), place));
            continue;
        }
        match bare.split_once(':') {
            Some((kind, id)) if !kind.is_empty() && !id.trim().is_empty() => {
                let id = id.trim();
                let place = place(&format!("{kind}:{id}"));
                sections.push(Section { kind, id, place, properties: Vec::new() });
            }
            _ => {
                let problem = format!("{bare:?} is no section");
                return Err(place("").wrong(problem, "write `type: id`, and indent its settings"));
            }
        }
    }
    Ok(sections)
}

/// Reads lines of `key: value`.
pub(super) fn flat<'a>(file: &str, text: &'a str) -> Result<Vec<Property<'a>>, ConfigError> {
    let mut properties = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        let place = Place { file: file.to_owned(), line: at + 1, item: String::new() };
        let Some((key, value)) = bare.split_once(':') else {
            let problem = format!("{bare:?} is no setting");
            return Err(place.wrong(problem, "write `key: value`"));
        };
        let place = Place { item: key.trim().to_owned(), ..place };
        properties.push(Property::new(key.trim(), value.trim(), place));
    }
    Ok(properties)
}
