//! The words of cluster.toml for what groups are to each other, `[[rules]]`,
//! and how much a group wants something.

use std::fmt;

pub use quorate_core::config::{By, OrderAct, OrderKind};
use quorate_core::config::{SCORE_MUST, SCORE_NEVER};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `[[rules]]`: a name, and one of the others.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, which stands in every explanation that it leads to.
    pub name: String,
    /// These groups run on one node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<Members>,
    /// No two of these groups run on one node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<Members>,
    /// One group wants to be where another is, or not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<Near>,
    /// One group comes after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

impl Rule {
    /// These groups run on one node, or not at all.
    pub fn together(name: impl Into<String>, groups: &[&str]) -> Self {
        Self { name: name.into(), together: Some(Members::new(groups)), ..Self::default() }
    }

    /// No two of these groups run on one node.
    pub fn apart(name: impl Into<String>, groups: &[&str]) -> Self {
        Self { name: name.into(), apart: Some(Members::new(groups)), ..Self::default() }
    }

    /// `group` wants to be where `with` is.
    pub fn near(name: impl Into<String>, group: &str, with: &str, score: Score) -> Self {
        let (group, with) = (group.to_owned(), with.to_owned());
        let near = Near { group, with, score, influence: true };
        Self { name: name.into(), near: Some(near), ..Self::default() }
    }

    /// `then` starts only while `first` runs.
    pub fn order(name: impl Into<String>, first: &str, then: &str) -> Self {
        let order = Order {
            first: Some(first.to_owned()),
            first_any: Vec::new(),
            then: then.to_owned(),
            kind: OrderKind::Mandatory,
            symmetrical: None,
            first_act: OrderAct::Start,
            then_act: OrderAct::Start,
        };
        Self { name: name.into(), order: Some(order), ..Self::default() }
    }
}

/// A set of groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// Their names, at least two.
    pub groups: Vec<String>,
    /// Whether they rather do not run at all than otherwise.
    #[serde(default = "yes")]
    pub strict: bool,
    /// What is one place.
    #[serde(default, with = "ByWords", skip_serializing_if = "is_node")]
    pub by: By,
}

impl Members {
    fn new(groups: &[&str]) -> Self {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Self { groups, strict: true, by: By::Node }
    }
}

/// `near = { … }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Near {
    /// Who wants.
    pub group: String,
    /// Where: with this group.
    pub with: String,
    /// How much.
    #[serde(default = "must")]
    pub score: Score,
    /// Whether `group` has a say in where `with` goes.
    #[serde(default = "yes")]
    pub influence: bool,
}

/// `order = { … }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// Any one of these comes first, in place of `first`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_any: Vec<String>,
    /// What comes after.
    pub then: String,
    /// How strict.
    #[serde(default = "mandatory", with = "OrderKindWords")]
    pub kind: OrderKind,
    /// Whether `then` stops before `first`; if left out, yes, unless the kind is `serialize`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symmetrical: Option<bool>,
    /// What `first` does before.
    #[serde(default = "start", with = "OrderActWords")]
    pub first_act: OrderAct,
    /// What `then` does after.
    #[serde(default = "start", with = "OrderActWords")]
    pub then_act: OrderAct,
}

/// How well a node suits a group, or one group another: points, `must` or `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(i32);

impl Score {
    /// As strong as can be said.
    pub const MUST: Score = Score(SCORE_MUST);
    /// Not at all.
    pub const NEVER: Score = Score(SCORE_NEVER);

    /// So many points; none: more than `must`, or less than `never`.
    pub fn new(points: i32) -> Option<Score> {
        (SCORE_NEVER..=SCORE_MUST).contains(&points).then_some(Score(points))
    }

    /// How many points.
    pub fn points(self) -> i32 {
        self.0
    }
}

/// Who goes first, and wins when not all can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// The higher before the lower. The words `high`, `medium` and `low` are 3000, 2000 and 1000.
    ///
    /// Source: Windows clustering, Priority.
    Points(i32),
    /// 0, and not started by itself when the cluster is founded.
    NoAutoStart,
}

impl Priority {
    const WORDS: [(&'static str, Priority); 4] = [
        ("high", Priority::Points(3000)),
        ("medium", Priority::Points(2000)),
        ("low", Priority::Points(1000)),
        ("no-auto-start", Priority::NoAutoStart),
    ];

    /// How many points.
    pub fn points(self) -> i32 {
        match self {
            Priority::Points(points) => points,
            Priority::NoAutoStart => 0,
        }
    }
}

/// Medium, so that "low" is below whoever says nothing.
///
/// Source: Windows clustering.
impl Default for Priority {
    fn default() -> Self {
        Priority::Points(2_000)
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Score::MUST => serializer.serialize_str("must"),
            Score::NEVER => serializer.serialize_str("never"),
            Score(points) => serializer.serialize_i32(points),
        }
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a number from -1000000 to 1000000, \"must\" or \"never\"";
        deserializer.deserialize_any(WordOrNumber {
            expected,
            word: |word| match word {
                "must" => Some(Score::MUST),
                "never" => Some(Score::NEVER),
                _ => None,
            },
            number: |number| Score::new(i32::try_from(number).ok()?),
        })
    }
}

impl Serialize for Priority {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match Priority::WORDS.iter().find(|(_, priority)| priority == self) {
            Some((word, _)) => serializer.serialize_str(word),
            None => serializer.serialize_i32(self.points()),
        }
    }
}

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a number, \"high\", \"medium\", \"low\" or \"no-auto-start\"";
        deserializer.deserialize_any(WordOrNumber {
            expected,
            word: |word| {
                let mut words = Priority::WORDS.iter();
                words.find(|(known, _)| *known == word).map(|&(_, priority)| priority)
            },
            number: |number| i32::try_from(number).ok().map(Priority::Points),
        })
    }
}

/// Reads what is either one of a few words or a number.
pub(super) struct WordOrNumber<T> {
    pub(super) expected: &'static str,
    pub(super) word: fn(&str) -> Option<T>,
    pub(super) number: fn(i64) -> Option<T>,
}

impl<T> Visitor<'_> for WordOrNumber<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        (self.number)(number).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        let found = i64::try_from(number).ok().and_then(self.number);
        found.ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
        (self.word)(word).ok_or_else(|| E::invalid_value(de::Unexpected::Str(word), &self))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "OrderKind", rename_all = "lowercase")]
enum OrderKindWords {
    Mandatory,
    Optional,
    Serialize,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "OrderAct", rename_all = "lowercase")]
enum OrderActWords {
    Start,
    Stop,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "By", rename_all = "lowercase")]
enum ByWords {
    Node,
    Rack,
    Site,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_node(by: &By) -> bool {
    *by == By::Node
}

fn yes() -> bool {
    true
}

fn must() -> Score {
    Score::MUST
}

fn mandatory() -> OrderKind {
    OrderKind::Mandatory
}

fn start() -> OrderAct {
    OrderAct::Start
}
