//! Where in the text something stands: from a path as in `groups.vm1.luns` to line and column.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Line and column, from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// The position of a byte of the text.
pub(super) fn position_of(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    Position {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

/// The position of the deepest part of `place` that stands in the text.
pub(super) fn find(text: &str, place: &str) -> Option<Position> {
    let table = DeTable::parse(text).ok()?;
    let parts: Vec<&str> = place.split('.').collect();
    let span = descend_table(table.get_ref(), &parts)?;
    Some(position_of(text, span.start))
}

fn descend_table(table: &DeTable<'_>, parts: &[&str]) -> Option<Range<usize>> {
    let first = parts.first()?;
    if let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == first) {
        return Some(descend(value, &parts[1..]).unwrap_or_else(|| key.span()));
    }
    // `groups.vm1.guest` means the resource `guest` of the group.
    let (_, resources) = table.iter().find(|(key, _)| key.get_ref() == "resources")?;
    descend(resources, parts)
}

fn descend(value: &Spanned<DeValue<'_>>, parts: &[&str]) -> Option<Range<usize>> {
    match value.get_ref() {
        DeValue::Table(table) => descend_table(table, parts),
        DeValue::Array(items) => items.iter().find_map(|item| {
            let DeValue::Table(table) = item.get_ref() else { return None };
            let name = table.iter().find(|(key, _)| key.get_ref() == "name")?.1;
            // A name may hold dots itself.
            let length = parts.len();
            let used = (1..=length)
                .find(|&n| name.get_ref().as_str() == Some(parts[..n].join(".").as_str()))?;
            Some(descend_table(table, &parts[used..]).unwrap_or_else(|| name.span()))
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
[cluster]
name = \"c\"

[[groups]]
name = \"a.b\"
[[groups.resources]]
name = \"guest\"
  depends_on = [\"x\"]
";

    fn at(place: &str) -> Option<(usize, usize)> {
        find(TEXT, place).map(|position| (position.line, position.column))
    }

    #[test]
    fn a_path_leads_to_its_line_by_keys_and_names() {
        assert_eq!(at("cluster.name"), Some((2, 1)));
        assert_eq!(at("groups.a.b.guest.depends_on"), Some((8, 3)));
    }

    #[test]
    fn a_path_that_ends_early_leads_to_its_last_part_that_stands_there() {
        assert_eq!(at("groups.a.b.luns"), Some((5, 8)));
        assert_eq!(at("cluster.id"), Some((1, 2)));
        assert_eq!(at("nodes"), None);
    }

    #[test]
    fn a_column_counts_characters_not_bytes() {
        assert_eq!(position_of("ä = 1\nöö x", 12), Position { line: 2, column: 4 });
    }
}
