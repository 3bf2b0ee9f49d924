//! The facts as a table: what a screen reader, a printer and a search can use.

use super::page::{Html, escaped, percent};
use super::{Picture, words};
use crate::clock::Moment;
use crate::timeline::{Entry, Kind};

/// At most so many rows.
const ROWS_MAX: usize = 4_000;
/// So many of them are the first ones; the rest are the last.
const FIRST_ROWS: usize = 1_500;

/// Writes the table.
pub(super) fn write(html: &mut Html, picture: &Picture<'_>, until: Moment) {
    let entries = picture.entries;
    let omitted = omitted(entries);
    html.line("<section id=\"facts\">");
    html.line(&format!("<h2>Facts <small>{}</small></h2>", entries.len()));
    if !omitted.is_empty() {
        html.line(&format!(
            "<p class=\"note\">{} facts in the middle, from {} to {}, are left out here, except violations.</p>",
            entries[omitted.clone()].iter().filter(|entry| entry.kind != Kind::Violation).count(),
            words::time(entries[omitted.start].at),
            words::time(entries[omitted.end - 1].at),
        ));
    }
    html.line("<table><thead><tr><th scope=\"col\">Time<th scope=\"col\">What");
    html.line("<th scope=\"col\">Kind</thead><tbody>");
    for (at, entry) in entries.iter().enumerate() {
        if !omitted.contains(&at) || entry.kind == Kind::Violation {
            row(html, entry, until);
        }
    }
    html.line("</tbody></table></section>");
}

fn omitted(entries: &[Entry]) -> std::ops::Range<usize> {
    match entries.len() {
        all if all > ROWS_MAX => FIRST_ROWS..all - (ROWS_MAX - FIRST_ROWS),
        _ => 0..0,
    }
}

fn row(html: &mut Html, entry: &Entry, until: Moment) {
    let class = match entry.kind {
        Kind::Violation => " class=\"bad\"",
        Kind::FaultBegins | Kind::FaultEnds => " class=\"fault\"",
        _ => "",
    };
    html.line(&format!(
        "<tr{class}><td><button data-p=\"{}\">{}</button><td>{}<td>{}",
        percent(entry.at, until),
        words::time(entry.at),
        escaped(&words::sentence(entry)),
        entry.kind.name(),
    ));
}
