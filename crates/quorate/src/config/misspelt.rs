//! What somebody may have meant.

/// At most so many names stand in an error.
const NAMES_MAX: usize = 10;

/// The known word that is closest to `word`, if any is close.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = (word.chars().count() / 3).clamp(1, 3);
    let distances = known.into_iter().map(|other| (distance(word, other), other));
    distances.filter(|(distance, _)| *distance <= far).min().map(|(_, other)| other)
}

/// What to do about a name that is not known: the closest one, and `otherwise`.
pub(super) fn remedy<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    match closest(word, known) {
        Some(meant) => format!("did you mean {meant}? Else {otherwise}"),
        None => otherwise.to_owned(),
    }
}

/// What to do about a message that names, in backticks, an unknown word and then those that are expected.
pub(super) fn remedy_of(message: &str, otherwise: &str) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    let Some(word) = words.next().filter(|_| message.contains("unknown")) else {
        return otherwise.to_owned();
    };
    remedy(word, words, otherwise)
}

/// Some names, for an error.
pub(super) fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let shown: Vec<&str> = names.take(NAMES_MAX).collect();
    match count {
        0 => "none".to_owned(),
        _ if count > NAMES_MAX => format!("{}, … ({count} in all)", shown.join(", ")),
        _ => shown.join(", "),
    }
}

/// How many letters must be put in, taken out, replaced, or swapped with the next.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = [Vec::new(), Vec::new(), (0..=other.len()).collect::<Vec<usize>>()];
    for (i, &a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &b) in other.iter().enumerate() {
            let replaced = rows[2][j] + usize::from(a != b);
            let turned = i > 0 && j > 0 && a == other[j - 1] && one[i - 1] == b;
            let swapped = if turned { rows[1][j - 1] + 1 } else { usize::MAX };
            row.push(replaced.min(rows[2][j + 1] + 1).min(row[j] + 1).min(swapped));
        }
        rows.rotate_left(1);
        rows[2] = row;
    }
    rows[2][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_close_to_a_known_one_is_recognised_and_another_is_not() {
        let known = ["together", "apart", "near", "order"];
        for (word, meant) in [
            ("togehter", Some("together")),
            ("apar", Some("apart")),
            ("neer", Some("near")),
            ("colocation", None),
        ] {
            assert_eq!(closest(word, known), meant, "{word}");
        }
        let text = remedy_of("unknown field `nane`, expected `name` or `id`", "take it out");
        assert_eq!(text, "did you mean name? Else take it out");
    }

    #[test]
    fn many_names_are_cut_short() {
        let names: Vec<String> = (0..12).map(|n| format!("g{n}")).collect();
        let text = list(names.iter().map(String::as_str));
        assert!(text.ends_with("g9, … (12 in all)"), "{text}");
    }
}
