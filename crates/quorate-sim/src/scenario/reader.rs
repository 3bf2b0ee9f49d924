//! Strict reading: every value has a place, every key is known, and stands once.

use std::collections::BTreeSet;
use std::time::Duration;

use super::tree::Tree;
use super::{ScenarioError, Score};

/// The longest name or free text.
const TEXT_MAX: usize = 64 * 1024;
/// The longest name.
const NAME_MAX: usize = 255;
/// The longest list.
const LIST_MAX: usize = 10_000;
/// The longest time: some thirty years.
const SECONDS_MAX: f64 = 1e9;
/// The latest step of a story: some eleven days.
const STEP_MAX: f64 = 1e6;
/// The largest amount of anything.
const AMOUNT_MAX: f64 = 1e15;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    pub(super) tree: &'a Tree,
    pub(super) place: String,
}

impl<'a> Item<'a> {
    /// The whole file.
    pub(super) fn root(tree: &'a Tree) -> Self {
        Self { tree, place: String::new() }
    }

    /// An error here.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> ScenarioError {
        let place = if self.place.is_empty() { "the file" } else { &self.place };
        ScenarioError::new(place, problem)
    }

    fn instead_of(&self, wanted: &str) -> ScenarioError {
        self.wrong(format!("it must be {wanted}, not {}", self.tree.what()))
    }

    /// Keys and values.
    pub(super) fn table(&self) -> Result<Table<'a>, ScenarioError> {
        let Tree::Table(entries) = self.tree else { return Err(self.instead_of("an object")) };
        let mut seen = BTreeSet::new();
        if let Some((twice, _)) = entries.iter().find(|(key, _)| !seen.insert(key)) {
            return Err(self.wrong(format!("the key {twice:?} stands twice")));
        }
        let left = entries.iter().map(|(key, value)| (key.as_str(), value)).collect();
        Ok(Table { place: self.place.clone(), left, known: Vec::new() })
    }

    /// Names and a value for each: no key is known beforehand.
    pub(super) fn entries(&self) -> Result<Vec<(&'a str, Item<'a>)>, ScenarioError> {
        let table = self.table()?;
        if table.left.len() > LIST_MAX {
            return Err(
                self.wrong(format!("{} keys are too many: at most {LIST_MAX}", table.left.len()))
            );
        }
        let item = |(key, tree)| (key, Item { tree, place: under(&self.place, key) });
        Ok(table.left.into_iter().map(item).collect())
    }

    /// The items of a list.
    pub(super) fn list(&self) -> Result<Vec<Item<'a>>, ScenarioError> {
        let Tree::List(items) = self.tree else { return Err(self.instead_of("a list")) };
        if items.len() > LIST_MAX {
            return Err(
                self.wrong(format!("{} items are too many: at most {LIST_MAX}", items.len()))
            );
        }
        let item = |(at, tree)| Item { tree, place: format!("{}[{at}]", self.place) };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// Any text.
    pub(super) fn text(&self) -> Result<&'a str, ScenarioError> {
        match self.tree {
            Tree::Text(text) if text.len() <= TEXT_MAX => Ok(text),
            Tree::Text(text) => {
                Err(self.wrong(format!("{} bytes are too many: at most {TEXT_MAX}", text.len())))
            }
            _ => Err(self.instead_of("a text")),
        }
    }

    /// A name.
    pub(super) fn name(&self) -> Result<String, ScenarioError> {
        let text = self.text()?;
        if text.is_empty() || text.len() > NAME_MAX || text.chars().any(char::is_control) {
            return Err(self.wrong(format!(
                "{:?} is no name: use 1 to {NAME_MAX} bytes without control characters",
                short(text)
            )));
        }
        Ok(text.to_owned())
    }

    /// A name that must be one of these.
    pub(super) fn known(
        &self,
        what: &str,
        names: &BTreeSet<String>,
    ) -> Result<String, ScenarioError> {
        let name = self.name()?;
        if names.contains(&name) {
            return Ok(name);
        }
        let mut some: Vec<&str> = names.iter().take(12).map(String::as_str).collect();
        if names.len() > some.len() {
            some.push("…");
        }
        Err(self.wrong(format!(
            "there is no {what} {:?}; there are: {}",
            short(&name),
            some.join(", ")
        )))
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, ScenarioError> {
        let text = self.text()?;
        words.iter().find(|(word, _)| *word == text).map(|&(_, meaning)| meaning).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|&(word, _)| word).collect();
            self.wrong(format!("{:?} is none of: {}", short(text), words.join(", ")))
        })
    }

    /// True or false.
    pub(super) fn bool(&self) -> Result<bool, ScenarioError> {
        match self.tree {
            Tree::Bool(value) => Ok(*value),
            _ => Err(self.instead_of("true or false")),
        }
    }

    /// A whole number within bounds.
    pub(super) fn integer(&self, least: i64, most: i64) -> Result<i64, ScenarioError> {
        let value = match self.tree {
            Tree::Integer(value) => *value,
            Tree::Number(value) if value.fract() == 0.0 && value.abs() < 1e15 => *value as i64,
            Tree::Number(value) => {
                return Err(
                    self.wrong(format!("{value} must be a whole number, {least} to {most}"))
                );
            }
            _ => return Err(self.instead_of("a whole number")),
        };
        if (least..=most).contains(&value) {
            Ok(value)
        } else {
            Err(self.wrong(format!("{value} must be between {least} and {most}")))
        }
    }

    /// A count.
    pub(super) fn count(&self, most: u32) -> Result<u32, ScenarioError> {
        Ok(self.integer(0, i64::from(most))? as u32)
    }

    /// A finite number that is not negative.
    pub(super) fn amount(&self) -> Result<f64, ScenarioError> {
        self.number_up_to(AMOUNT_MAX)
    }

    /// A length of time, written in seconds.
    pub(super) fn seconds(&self) -> Result<Duration, ScenarioError> {
        self.number_up_to(SECONDS_MAX).map(Duration::from_secs_f64)
    }

    /// When a step comes, in seconds since the beginning.
    pub(super) fn step_time(&self) -> Result<Duration, ScenarioError> {
        self.number_up_to(STEP_MAX).map(Duration::from_secs_f64)
    }

    fn number_up_to(&self, most: f64) -> Result<f64, ScenarioError> {
        let value = match self.tree {
            Tree::Integer(value) => *value as f64,
            Tree::Number(value) => *value,
            _ => return Err(self.instead_of("a number")),
        };
        if value.is_finite() && (0.0..=most).contains(&value) {
            Ok(value)
        } else {
            Err(self.wrong(format!("{value} must be between 0 and {most}")))
        }
    }

    /// A score: a whole number, `inf` or `-inf`.
    pub(super) fn score(&self) -> Result<Score, ScenarioError> {
        match self.tree {
            Tree::Text(text) if text == "inf" || text == "+inf" => Ok(Score::MUST),
            Tree::Text(text) if text == "-inf" => Ok(Score::NEVER),
            Tree::Text(text) => Err(self.wrong(format!(
                "{:?} is no score: use a whole number, \"inf\" or \"-inf\"",
                short(text)
            ))),
            _ => Ok(Score::of(self.integer(-AMOUNT_MAX as i64, AMOUNT_MAX as i64)?)),
        }
    }
}

/// Keys and values of which each is taken once.
#[derive(Debug)]
pub(super) struct Table<'a> {
    place: String,
    left: Vec<(&'a str, &'a Tree)>,
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    fn take(&mut self, key: &str) -> Option<Item<'a>> {
        let at = self.left.iter().position(|(left, _)| *left == key)?;
        let (key, tree) = self.left.remove(at);
        let place = under(&self.place, key);
        Some(Item { tree, place })
    }

    /// The value of a key that may be left out.
    pub(super) fn may(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.known.push(key);
        self.take(key)
    }

    /// The value of a key that must be there.
    pub(super) fn must(&mut self, key: &'static str) -> Result<Item<'a>, ScenarioError> {
        let place = if self.place.is_empty() { "the file" } else { &self.place }.to_owned();
        self.may(key)
            .ok_or_else(|| ScenarioError::new(place, format!("the key {key:?} is missing")))
    }

    /// Reads a key that may be left out.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        otherwise: T,
        read: impl FnOnce(&Item<'a>) -> Result<T, ScenarioError>,
    ) -> Result<T, ScenarioError> {
        self.may(key).map_or(Ok(otherwise), |item| read(&item))
    }

    /// Everything must have been asked for.
    pub(super) fn finish(self) -> Result<(), ScenarioError> {
        let Some((key, _)) = self.left.first() else { return Ok(()) };
        let place = under(&self.place, key);
        Err(ScenarioError::new(
            place,
            format!("the key is unknown here; known are: {}", self.known.join(", ")),
        ))
    }

    /// Takes whatever is left, unread.
    pub(super) fn leave(mut self) {
        self.left.clear();
    }
}

/// The place of what stands under a key; a key that is no plain word is quoted.
fn under(place: &str, key: &str) -> String {
    let plain =
        !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    let key = if plain { short(key) } else { format!("{:?}", short(key)) };
    if place.is_empty() { key } else { format!("{place}.{key}") }
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
