//! What a node tells its host: for people and for programs, with the time.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// Stands before the text of a notice of the past.
const PAST: &str = "(earlier) ";

/// A point in time, on both clocks of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Stamp {
    /// Nanoseconds on the clock that the engine runs on (`CLOCK_BOOTTIME`): for lengths, on one
    /// host.
    pub boottime_ns: u64,
    /// Microseconds since 1970: for people, and to compare hosts as well as their clocks agree.
    pub unix_us: u64,
}

/// One thing worth telling.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notice {
    /// When this node learned or did it.
    pub at: Stamp,
    /// Of what was committed while this node did not take part, and is learned of only now: when that was, in the
    /// cluster's time in milliseconds.
    pub past_ms: Option<u64>,
    /// What kind of thing it is; names the `fields`.
    pub kind: NoticeKind,
    /// For people: one sentence with names, no time.
    pub text: String,
    /// For programs: `node`, `group`, `resource`, `lun`, `epoch`, `cause` and so on, by kind.
    pub fields: Map<String, Value>,
}

impl Notice {
    /// A text field, as `group` or `node`.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }
}

impl fmt::Display for Notice {
    /// The text with the time of day in UTC, to the millisecond; marked if it is of the past.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let past = if self.past_ms.is_some() { PAST } else { "" };
        write!(f, "{} {past}{}", time_of_day(self.at.unix_us), self.text)
    }
}

/// The time of day in UTC, to the millisecond.
pub(crate) fn time_of_day(unix_us: u64) -> String {
    let ms = unix_us / 1_000 % 86_400_000;
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let (seconds, ms) = (ms / 1_000 % 60, ms % 1_000);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{ms:03}")
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The kinds of notices. The word of each is the same in all languages.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum NoticeKind {
            $($(#[$doc])* $name,)*
        }

        impl NoticeKind {
            /// Every kind.
            pub const ALL: &[NoticeKind] = &[$(NoticeKind::$name,)*];

            /// The kind as one word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(NoticeKind::$name => $text,)*
                }
            }
        }
    };
}

kinds! {
    /// The node's engine runs; `boot`, and the path of its `recording`. Of a log that a crash had torn also
    /// `cut_bytes`.
    Started = "started",
    /// The cluster is not founded yet; `missing` and `differing` voters.
    FoundingWaits = "founding_waits",
    /// The cluster was founded, or this node has joined it.
    Joined = "joined",
    /// A `node` was started with a configuration that is not in force and never was; `places`.
    ConfigurationDiffers = "configuration_differs",
    /// Another configuration is in force; its `version`. Committed.
    Configured = "configured",
    /// This node follows the coordinator `node`, or none; `epoch`.
    Coordinator = "coordinator",
    /// The witness cannot be used from this node, for a reason in `detail`, or can again; `up`.
    Witness = "witness",
    /// The witness has newer data than this node, and does not let it coordinate; `node` has them too.
    WitnessAhead = "witness_ahead",
    /// This node may act.
    LeaseGained = "lease_gained",
    /// It may not; its guests stop.
    LeaseLost = "lease_lost",
    /// The `path` to `node` is `up` or not.
    Path = "path",
    /// A `node` is silent; not yet down.
    Suspect = "suspect",
    /// A suspect `node` was heard again.
    Unsuspect = "unsuspect",
    /// A `node` is cut off the network but beats on storage.
    Isolated = "isolated",
    /// A `node` is believed down, by `cause`. Committed.
    Down = "down",
    /// A `node` is proven harmless, by `proof`. Committed.
    Fenced = "fenced",
    /// The fence `agent` is asked to end a `node`, or to let it boot; `action`.
    FenceAsked = "fence_asked",
    /// The fence `agent` of a `node` has failed; `detail`.
    FenceFailed = "fence_failed",
    /// Every fence agent of a `node` has failed; `detail`, and `retry_in_ms`, after which they are asked again.
    FenceGivenUp = "fence_given_up",
    /// A `node` cannot see the poison pills that the fence `agent` would give it, for a reason in `detail`, or can
    /// again; `up`.
    Pills = "pills",
    /// No node reaches the LUNs of a `group`: it waits, and is tried again after `retry_in_ms`. Committed.
    LunsAway = "luns_away",
    /// A `node` reaches a `lun`, or does not any more; `up`. Committed.
    LunPath = "lun_path",
    /// A `group` of this node stands still: its `lun` is away, and no other node reaches its LUNs.
    StandsStill = "stands_still",
    /// A `node` takes part. Committed.
    Up = "up",
    /// A `node` is `paused` or resumed. Committed.
    Paused = "paused",
    /// A `node` belongs to the cluster no more. Committed; a node that hears it of itself ends.
    Evicted = "evicted",
    /// A `group` has the new owner `node` in `epoch`, by `cause`. Committed.
    Assigned = "assigned",
    /// A `group` is asked to let go of its node; `epoch`, `cause`. Committed.
    Releasing = "releasing",
    /// A `group` is online on `node` in `epoch`. Committed.
    Online = "online",
    /// A `group` is online on `node` but for a resource that is left failed. Committed.
    Degraded = "degraded",
    /// A `group` without which others cannot run has failed on `node` and is started again there. Committed.
    Restarting = "restarting",
    /// Nothing of a `group` runs on `node`; `saved`, `failed`, `luns_away` (it did not reach its LUNs). Committed.
    Vacated = "vacated",
    /// The saved state of a `group` is about to be resumed on `node`. Committed.
    Consumed = "consumed",
    /// A `group` could not be stopped on `node`.
    StopFailed = "stop_failed",
    /// No node may run a `group` at present.
    Unplaced = "unplaced",
    /// A `group` failed too often and is left failed.
    GroupFailed = "group_failed",
    /// A `group` could run and waits for the sake of the whole: `detail`; `retry_in_ms`.
    Held = "held",
    /// A `resource` on this node is left failed; `retry_in_ms`.
    LeftFailed = "left_failed",
    /// A `resource` on this node can be ended by nobody; whether that `fences` the node.
    Deadlocked = "deadlocked",
    /// A `node` comes and goes too often and is given nothing for `hold_ms`; `failures`. Committed.
    Quarantined = "quarantined",
    /// A `node` is given groups again. Committed.
    QuarantineEnded = "quarantine_ended",
    /// Nothing is started, stopped or moved, for `ttl_ms`. Committed.
    Disarmed = "disarmed",
    /// Everything is managed again. Committed.
    Armed = "armed",
    /// A `resource` on this node is in `trouble`; `detail`.
    ResourceTrouble = "resource_trouble",
    /// A request for a `resource` has gone to its driver: `op`, `verb`, `group`, `epoch`.
    Requested = "requested",
    /// It was carried out, or not: `op`, `verb`, `error`, `took_us`.
    Completed = "completed",
    /// A `lun` of this node is held for `epoch`: writes are ours.
    LunHeld = "lun_held",
    /// A `lun` of this node is lost.
    LunLost = "lun_lost",
    /// A `lun` cannot be used as configured; `detail` with the remedy.
    LunTrouble = "lun_trouble",
    /// A connection was refused, as for a wrong key or another cluster; `address`, `reason`.
    ConnectionRefused = "connection_refused",
    /// Nothing more is recorded, though the node runs on: `path`, `detail`.
    RecordingEnded = "recording_ended",
    /// Stable storage failed: the node ends its part; `detail`.
    StorageFailed = "storage_failed",
    /// The node fenced itself, by a fault of its own or a poison pill; `detail`. The last notice.
    Poisoned = "poisoned",
    /// The node has left in good order, or was killed. The last notice.
    Ended = "ended",
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_kind_is_what_serde_writes() {
        for kind in NoticeKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn a_notice_shows_the_time_of_day_to_the_millisecond() {
        let at = Stamp { boottime_ns: 0, unix_us: 86_400_000_000 * 3 + 3_723_004_999 };
        let kind = NoticeKind::Joined;
        let notice =
            Notice { at, past_ms: None, kind, text: "joined".to_owned(), fields: Map::new() };
        assert_eq!(notice.to_string(), "01:02:03.004 joined");
        let past = Notice { past_ms: Some(7), ..notice };
        assert_eq!(past.to_string(), "01:02:03.004 (earlier) joined");
    }
}
