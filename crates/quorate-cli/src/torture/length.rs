//! Lengths of simulated time as a user writes them: in days at most, since a year of them is no whole number of months.

use std::time::Duration;

const UNITS: [(&str, u128); 7] = [
    ("day", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A number with more digits than this is no easier to read than several units.
const PLAIN_MAX: u128 = 9_999;

/// A length as it is given on the command line: `30days`, `90s`, `1h30m20s`.
pub(super) fn written(length: Duration) -> String {
    let nanos = length.as_nanos();
    let whole = UNITS.iter().find(|(_, unit)| nanos.is_multiple_of(*unit));
    match whole {
        Some((name, unit)) if nanos / unit <= PLAIN_MAX => one(nanos / unit, name),
        _ => told(length).replace(' ', ""),
    }
}

/// A length for people: `92days 5h 20s`.
pub(super) fn told(length: Duration) -> String {
    let mut left = length.as_nanos();
    let mut parts = Vec::new();
    for (name, unit) in UNITS {
        if left >= unit {
            parts.push(one(left / unit, name));
            left %= unit;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

fn one(count: u128, name: &str) -> String {
    let plural = if name == "day" && count != 1 { "s" } else { "" };
    format!("{count}{name}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_written_as_a_user_would_and_read_as_the_same() {
        let lengths = [
            ("365days", 365 * 86_400_000),
            ("1day", 86_400_000),
            ("90s", 90_000),
            ("250ms", 250),
            ("12h", 12 * 3_600_000),
            ("2h5ms", 7_200_005),
            ("1day1s1ms", 86_401_001),
        ];
        for (text, millis) in lengths {
            let length = Duration::from_millis(millis);
            assert_eq!(written(length), text);
            assert_eq!(humantime::parse_duration(text), Ok(length), "{text}");
        }
        assert_eq!(told(Duration::from_secs(92 * 86_400 + 20)), "92days 20s");
        assert_eq!(told(Duration::ZERO), "0s");
    }
}
