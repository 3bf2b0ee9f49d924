//! The words of cluster.toml for policies: `[policy]`, and what is done about failures.

use std::time::Duration;

use quorate_core::config::Hours as CoreHours;
pub use quorate_core::config::{
    Balance, FoundTwice, Limits, OnDeadlock, OnShutdown, Policy, Quarantine, RestartAction,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::relations::WordOrNumber;

/// Hours of a day, from the beginning of one to the beginning of the other; over midnight where `to` is the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The first hour, 0 to 23.
    pub from: u8,
    /// The hour with which it ends, 0 to 23.
    pub to: u8,
}

impl From<Hours> for CoreHours {
    fn from(Hours { from, to }: Hours) -> Self {
        Self { from, to }
    }
}

impl From<CoreHours> for Hours {
    fn from(CoreHours { from, to }: CoreHours) -> Self {
        Self { from, to }
    }
}

/// A length of time, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seconds {
    /// So many seconds.
    Of(u64),
    /// It never ends.
    Never,
}

impl Seconds {
    /// As a length; none: never.
    pub fn length(self) -> Option<Duration> {
        match self {
            Seconds::Of(seconds) => Some(Duration::from_secs(seconds)),
            Seconds::Never => None,
        }
    }
}

impl From<Option<Duration>> for Seconds {
    fn from(length: Option<Duration>) -> Self {
        length.map_or(Seconds::Never, |length| Seconds::Of(length.as_secs()))
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Seconds::Of(seconds) => serializer.serialize_u64(seconds),
            Seconds::Never => serializer.serialize_str("never"),
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrNumber {
            expected: "a number of seconds, or \"never\"",
            word: |word| (word == "never").then_some(Seconds::Never),
            number: |number| u64::try_from(number).ok().map(Seconds::Of),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RestartAction", rename_all = "kebab-case")]
pub(super) enum RestartActionWords {
    DoNotRestart,
    Restart,
    RestartThenFailOver,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "OnDeadlock", rename_all = "kebab-case")]
pub(super) enum OnDeadlockWords {
    TellPeople,
    FenceNode,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "FoundTwice", rename_all = "kebab-case")]
pub(super) enum FoundTwiceWords {
    KeepOwner,
    Restart,
    Stop,
    Leave,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Balance", rename_all = "lowercase")]
enum BalanceWords {
    Groups,
    Load,
    Room,
    Few,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "OnShutdown", rename_all = "lowercase")]
enum OnShutdownWords {
    Move,
    Keep,
    Conditional,
}

/// The words of `[policy]`.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Policy", deny_unknown_fields, default)]
pub(super) struct PolicyWords {
    #[serde(with = "BalanceWords")]
    balance: Balance,
    limited: bool,
    balance_on_start: bool,
    rebalance: bool,
    keep_without_quorum: bool,
    #[serde(skip_serializing_if = "super::document::is_off")]
    fence_lost_nodes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    survives: Option<u32>,
    #[serde(with = "OnShutdownWords")]
    on_shutdown: OnShutdown,
    utc_offset_minutes: i16,
    #[serde(with = "LimitsWords", skip_serializing_if = "LimitsWords::is_default")]
    limits: Limits,
    #[serde(with = "quarantine", skip_serializing_if = "quarantine::is_default")]
    quarantine: Option<Quarantine>,
}

impl Default for PolicyWords {
    fn default() -> Self {
        let Policy {
            balance,
            limited,
            balance_on_start,
            rebalance,
            keep_without_quorum,
            fence_lost_nodes,
            survives,
            on_shutdown,
            utc_offset_minutes,
            limits,
            quarantine,
        } = Policy::default();
        Self {
            balance,
            limited,
            balance_on_start,
            rebalance,
            keep_without_quorum,
            fence_lost_nodes,
            survives,
            on_shutdown,
            utc_offset_minutes,
            limits,
            quarantine,
        }
    }
}

impl PolicyWords {
    pub(super) fn is_default(policy: &Policy) -> bool {
        *policy == Policy::default()
    }
}

/// The words of `[policy.limits]`.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Limits", deny_unknown_fields, default)]
struct LimitsWords {
    #[serde(skip_serializing_if = "Option::is_none")]
    failovers_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_per_node_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    losses_max: Option<u32>,
    #[serde(rename = "losses_period_s", with = "seconds")]
    losses_period: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    alike_max: Option<u32>,
    #[serde(rename = "alike_period_s", with = "seconds")]
    alike_period: Duration,
    #[serde(
        rename = "everywhere_pause_s",
        with = "optional_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    everywhere_pause: Option<Duration>,
}

impl Default for LimitsWords {
    fn default() -> Self {
        let Limits {
            failovers_max,
            starts_per_node_max,
            losses_max,
            losses_period,
            alike_max,
            alike_period,
            everywhere_pause,
        } = Limits::default();
        Self {
            failovers_max,
            starts_per_node_max,
            losses_max,
            losses_period,
            alike_max,
            alike_period,
            everywhere_pause,
        }
    }
}

impl LimitsWords {
    fn is_default(limits: &Limits) -> bool {
        *limits == Limits::default()
    }
}

/// The words of `[policy.quarantine]`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QuarantineWords {
    #[serde(skip_serializing_if = "is_on")]
    enabled: bool,
    threshold: u32,
    #[serde(rename = "period_s", with = "seconds")]
    period: Duration,
    #[serde(rename = "hold_s", with = "seconds")]
    hold: Duration,
    #[serde(rename = "hold_max_s", with = "seconds")]
    hold_max: Duration,
}

impl Default for QuarantineWords {
    fn default() -> Self {
        let Quarantine { threshold, period, hold, hold_max } = Quarantine::default();
        Self { enabled: true, threshold, period, hold, hold_max }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_on(enabled: &bool) -> bool {
    *enabled
}

/// A table; with `enabled = false` in it there is no quarantine, whatever else it says.
mod quarantine {
    use super::{Quarantine, QuarantineWords};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Quarantine>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let enabled = value.is_some();
        let Quarantine { threshold, period, hold, hold_max } = value.unwrap_or_default();
        QuarantineWords { enabled, threshold, period, hold, hold_max }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Quarantine>, D::Error> {
        let words = QuarantineWords::deserialize(deserializer)?;
        let QuarantineWords { enabled, threshold, period, hold, hold_max } = words;
        Ok(enabled.then_some(Quarantine { threshold, period, hold, hold_max }))
    }

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn is_default(value: &Option<Quarantine>) -> bool {
        *value == Some(Quarantine::default())
    }
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        length: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(length.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(
        length: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        length.map(|length| length.as_secs()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
    }
}
