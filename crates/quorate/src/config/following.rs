//! One configuration after another: the same numbers for the same names, and what is different.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use quorate_core::id::GroupId;
use serde::Serialize;
use serde_json::Value;

use super::document::{Document, Group, Lun, Node, Resource};
use super::{Config, ConfigError};

impl Config {
    /// The same configuration, with the numbers that things of the same names have in `before`, and unused ones for
    /// what is new. Numbers that are written down stay.
    ///
    /// # Errors
    /// A number that is written down belongs to something else, or there are no numbers left.
    pub fn following(&self, before: &Config) -> Result<Config, ConfigError> {
        self.following_after(before, GroupId(0))
    }

    /// As [`Config::following`], with numbers after `passed` for groups that are new: a running cluster gives none
    /// twice.
    pub(crate) fn following_after(
        &self,
        before: &Config,
        passed: GroupId,
    ) -> Result<Config, ConfigError> {
        let (mut document, base) = (self.document.clone(), &before.document);
        number("nodes", &mut document.nodes, &base.nodes, 0)?;
        number("luns", &mut document.luns, &base.luns, 0)?;
        number("groups", &mut document.groups, &base.groups, passed.0)?;
        let resources = |document: &Document| -> Vec<Resource> {
            document.groups.iter().flat_map(|group| group.resources.clone()).collect()
        };
        let mut all = resources(&document);
        number("resources", &mut all, &resources(base), 0)?;
        let of = document.groups.iter_mut().flat_map(|group| &mut group.resources);
        of.zip(all).for_each(|(one, numbered)| one.id = numbered.id);
        Config::new(document)
    }
}

/// What has a name and a number.
trait Numbered {
    fn name(&self) -> &str;
    fn number(&self) -> Option<u32>;
    fn set(&mut self, number: u32) -> bool;
}

macro_rules! numbered {
    ($($kind:ty),*) => {$(
        impl Numbered for $kind {
            fn name(&self) -> &str {
                &self.name
            }

            fn number(&self) -> Option<u32> {
                self.id.map(Into::into)
            }

            fn set(&mut self, number: u32) -> bool {
                self.id = number.try_into().ok();
                self.id.is_some()
            }
        }
    )*};
}

numbered!(Node, Lun, Group, Resource);

/// New ones get numbers after `passed`, and after all that are taken.
fn number<T: Numbered>(
    kind: &str,
    items: &mut [T],
    base: &[T],
    passed: u32,
) -> Result<(), ConfigError> {
    let known: BTreeMap<&str, u32> =
        (1..).zip(base).map(|(place, one)| (one.name(), one.number().unwrap_or(place))).collect();
    let mut taken: BTreeSet<u32> = known.values().copied().collect();
    taken.extend(items.iter().filter_map(Numbered::number));
    for one in items.iter_mut().filter(|one| one.number().is_none()) {
        let next = taken.last().copied().unwrap_or(0).max(passed).saturating_add(1);
        let chosen = known.get(one.name()).copied().unwrap_or(next);
        taken.insert(chosen);
        if !one.set(chosen) {
            let place = format!("{kind}.{}", one.name());
            let problem = format!("there is no number left after {}", chosen.saturating_sub(1));
            return Err(ConfigError::new(place, problem, "give it an unused id"));
        }
    }
    Ok(())
}

/// One difference between two configurations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Where, as in `groups.vm1.scores.n1`.
    pub place: String,
    /// What stood there; none: nothing, or what counts by default.
    pub before: Option<Value>,
    /// What stands there; none: nothing, or what counts by default.
    pub after: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "{place}: {before} -> {after}"),
            (Some(before), None) => write!(f, "{place}: {before} is taken out"),
            (None, Some(after)) => write!(f, "{place}: {after} is put in"),
            (None, None) => write!(f, "{place}"),
        }
    }
}

/// Where `after` differs from `before`: in what nodes agree on, not in what each records for itself. Both should have
/// the same numbers for the same names: see [`Config::following`].
///
/// # Errors
/// A driver does not know its settings.
pub fn diff(before: &Config, after: &Config) -> Result<Vec<Difference>, ConfigError> {
    let value = |config: &Config| -> Result<Value, ConfigError> {
        let document = Config::from_cluster(config.cluster())?.document;
        Ok(serde_json::to_value(document).expect("what is valid can be written as JSON"))
    };
    let mut found = Vec::new();
    compare("", Some(&value(before)?), Some(&value(after)?), &mut found);
    Ok(found)
}

fn compare(
    place: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    if before == after {
        return;
    }
    let inside = |name: &str| match place {
        "" => name.to_owned(),
        place => format!("{place}.{name}"),
    };
    // A list that is not there is one without anything in it.
    let is_list = |value: Option<&Value>| value.is_none_or(Value::is_array);
    let both = before.is_some() && after.is_some() || is_list(before) && is_list(after);
    let pairs = parts_of(before).zip(parts_of(after)).filter(|_| both);
    let Some((before, after)) = pairs else {
        let (before, after) = (before.cloned(), after.cloned());
        return found.push(Difference { place: place.to_owned(), before, after });
    };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        compare(&inside(name), before.get(name).copied(), after.get(name).copied(), found);
    }
}

/// As [`parts`]; what is not there has none.
fn parts_of(value: Option<&Value>) -> Option<BTreeMap<String, &Value>> {
    value.map_or_else(|| Some(BTreeMap::new()), parts)
}

/// The fields of a table, or the tables of a list by their names; none: it has no parts.
fn parts(value: &Value) -> Option<BTreeMap<String, &Value>> {
    match value {
        Value::Object(fields) => {
            Some(fields.iter().map(|(name, field)| (name.clone(), field)).collect())
        }
        Value::Array(items) => {
            items.iter().map(|item| Some((item.get("name")?.as_str()?.to_owned(), item))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
