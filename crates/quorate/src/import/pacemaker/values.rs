//! Values in the words of Pacemaker: scores, lengths of time, yes and no.

use std::time::Duration;

use quorate_core::config::{SCORE_MUST, SCORE_NEVER};

use crate::config::ConfigError;
use crate::import::report::FindingKind;
use crate::import::xml::Element;

/// Longer than this is as long: a hundred years.
const LENGTH_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A name with a value, as an `nvpair` says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub(super) name: &'a str,
    pub(super) at: Element<'a>,
}

impl<'a> Pair<'a> {
    /// Its value, which counts as read from here on.
    pub(super) fn value(self) -> &'a str {
        self.at.read("value").unwrap_or_default()
    }

    /// Whose it is: what its set belongs to.
    pub(super) fn owner(self) -> Element<'a> {
        let set = self.at.parent().unwrap_or(self.at);
        match set.tag() {
            "cluster_property_set" => set,
            _ => set.parent().unwrap_or(set),
        }
    }

    /// Adds a finding about it.
    pub(super) fn note(self, kind: FindingKind, text: &str, remedy: &str) {
        let settings = [(self.name, self.value())];
        self.at.note_as(self.owner(), kind, &settings, text, remedy);
    }

    fn refused(self, what: &str) -> ConfigError {
        let problem = format!("{} = {:?} is not {what}", self.name, self.value());
        self.at.place().wrong(problem, "correct it, or take it out")
    }

    pub(super) fn score(self) -> Result<i32, ConfigError> {
        score(self.value()).ok_or_else(|| self.refused("a score"))
    }

    pub(super) fn length(self) -> Result<Duration, ConfigError> {
        length(self.value()).ok_or_else(|| self.refused("a length of time"))
    }

    pub(super) fn flag(self) -> Result<bool, ConfigError> {
        flag(self.value()).ok_or_else(|| self.refused("true or false"))
    }

    pub(super) fn count(self) -> Result<u32, ConfigError> {
        self.value().trim().parse().map_err(|_| self.refused("a whole number"))
    }

    /// An amount of room; below 0 is none.
    pub(super) fn amount(self) -> Result<u64, ConfigError> {
        let number: i64 = self.value().trim().parse().map_err(|_| self.refused("a number"))?;
        Ok(u64::try_from(number).unwrap_or_default())
    }
}

/// An attribute as a score.
pub(super) fn score_of(element: Element<'_>, name: &str) -> Result<Option<i32>, ConfigError> {
    typed(element, name, "a score", score)
}

/// An attribute as yes or no.
pub(super) fn flag_of(element: Element<'_>, name: &str) -> Result<Option<bool>, ConfigError> {
    typed(element, name, "true or false", flag)
}

fn typed<T>(
    element: Element<'_>,
    name: &str,
    what: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ConfigError> {
    let Some(value) = element.read(name) else { return Ok(None) };
    let wrong = || {
        let problem = format!("{name} = {value:?} is not {what}");
        element.place().wrong(problem, "correct it, or take it out")
    };
    read(value).map(Some).ok_or_else(wrong)
}

/// `INFINITY` is a million; what is beyond is as much.
pub(super) fn score(text: &str) -> Option<i32> {
    match text.trim() {
        "INFINITY" | "+INFINITY" | "infinity" | "+infinity" => Some(SCORE_MUST),
        "-INFINITY" | "-infinity" => Some(SCORE_NEVER),
        number => {
            let digits = number.strip_prefix(['-', '+']).unwrap_or(number);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let beyond = if number.starts_with('-') { i64::MIN } else { i64::MAX };
            let number = number.parse().unwrap_or(beyond);
            let within = number.clamp(i64::from(SCORE_NEVER), i64::from(SCORE_MUST));
            i32::try_from(within).ok()
        }
    }
}

/// Two scores together; never wins over must.
pub(super) fn sum(one: i32, other: i32) -> i32 {
    if one == SCORE_NEVER || other == SCORE_NEVER {
        return SCORE_NEVER;
    }
    one.saturating_add(other).clamp(SCORE_NEVER, SCORE_MUST)
}

pub(super) fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "y" | "1" => Some(true),
        "false" | "off" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// `30`, `30s`, `500ms`, `2min`, `1h`, or an ISO 8601 length as `PT1M30S`.
pub(super) fn length(text: &str) -> Option<Duration> {
    let text = text.trim();
    let length = match text.strip_prefix('P') {
        Some(iso) => iso_length(iso),
        None => plain_length(text),
    };
    length.map(|length| length.min(LENGTH_MAX))
}

fn plain_length(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    let micros = match unit.trim() {
        "us" | "usec" => 1,
        "ms" | "msec" => 1_000,
        "" | "s" | "sec" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" | "hr" => 3_600_000_000,
        _ => return None,
    };
    Some(Duration::from_micros(number.checked_mul(micros)?))
}

fn iso_length(text: &str) -> Option<Duration> {
    let (mut seconds, mut number, mut of_day, mut any) = (0_u64, String::new(), false, false);
    for c in text.chars() {
        let unit = match (c, of_day) {
            ('T', false) if number.is_empty() => {
                of_day = true;
                continue;
            }
            ('0'..='9', _) => {
                number.push(c);
                continue;
            }
            ('W', false) => 604_800,
            ('D', false) => 86_400,
            ('H', true) => 3_600,
            ('M', true) => 60,
            ('S', true) => 1,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(unit)?;
        seconds = seconds.checked_add(part)?;
        (number, any) = (String::new(), true);
    }
    (any && number.is_empty()).then_some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_end_at_a_million() {
        assert_eq!(score("INFINITY"), Some(SCORE_MUST));
        assert_eq!(score("-INFINITY"), Some(SCORE_NEVER));
        assert_eq!(score("99999999999999999999999"), Some(SCORE_MUST));
        assert_eq!(score("-99999999999999999999999"), Some(SCORE_NEVER));
        assert_eq!(score("+50"), Some(50));
        for wrong in ["", "-", "ten", "1.5", "0x10"] {
            assert_eq!(score(wrong), None, "{wrong}");
        }
        assert_eq!(sum(SCORE_MUST, SCORE_NEVER), SCORE_NEVER);
        assert_eq!(sum(SCORE_MUST, 5), SCORE_MUST);
    }

    #[test]
    fn lengths_have_units() {
        let seconds = |text| length(text).map(|length| length.as_secs_f64());
        assert_eq!(seconds("30"), Some(30.0));
        assert_eq!(seconds("500ms"), Some(0.5));
        assert_eq!(seconds("2min"), Some(120.0));
        assert_eq!(seconds("1h"), Some(3600.0));
        assert_eq!(seconds("P1DT1M30S"), Some(86_490.0));
        for wrong in
            ["", "s", "1 fortnight", "-1s", "99999999999999999999s", "P", "PT", "P1", "P1S"]
        {
            assert_eq!(length(wrong), None, "{wrong}");
        }
    }
}
