//! Keeps a huge picture small: what lies closer together than can be seen is drawn as one.

use std::collections::BTreeMap;

use super::lanes::{Drawing, Lane, Look, Mark, Section, Sign, Span};
use super::words;
use crate::clock::Moment;

/// At most about so many spans and marks are drawn.
const SHAPES_MAX: usize = 12_000;
/// At most so many lanes are drawn.
const LANES_MAX: usize = 600;
/// At most so many lines go through all lanes.
const LINES_MAX: usize = 200;

/// The same picture, no larger than a browser can bear.
pub(super) fn bound(mut drawing: Drawing) -> Drawing {
    bound_lanes(&mut drawing);
    bound_lines(&mut drawing);
    let mut grain = drawing.until.0 / 8_192;
    let mut merged = false;
    while count(&drawing.sections) > SHAPES_MAX && grain < drawing.until.0 * 2 {
        grain = grain.max(1) * 2;
        merged = true;
        let lanes = drawing.sections.iter_mut().flat_map(|section| &mut section.lanes);
        lanes.for_each(|lane| merge(lane, grain));
    }
    if merged {
        let grain = words::length(Moment(0), Moment(grain));
        drawing.notes.push(format!(
            "This run is too large to be drawn one by one: what lies closer together than {grain} in one lane is \
             drawn as one, and says how many things it stands for."
        ));
    }
    drawing
}

fn count(sections: &[Section]) -> usize {
    let lanes = sections.iter().flat_map(|section| &section.lanes);
    lanes.map(|lane| lane.spans.len() + lane.marks.len()).sum()
}

/// Leaves out the lanes in which the least happens.
fn bound_lanes(drawing: &mut Drawing) {
    let all: usize = drawing.sections.iter().map(|section| section.lanes.len()).sum();
    if all <= LANES_MAX {
        return;
    }
    let lanes = drawing.sections.iter().flat_map(|section| &section.lanes);
    let mut sizes: Vec<usize> = lanes.map(|lane| lane.spans.len() + lane.marks.len()).collect();
    sizes.sort_unstable_by(|one, other| other.cmp(one));
    let least = sizes[LANES_MAX - 1];
    let above = sizes.iter().filter(|&&size| size > least).count();
    let mut equals = LANES_MAX - above;
    for section in &mut drawing.sections {
        section.lanes.retain(|lane| {
            let size = lane.spans.len() + lane.marks.len();
            let is_equal = size == least && equals > 0;
            equals -= usize::from(is_equal);
            size > least || is_equal
        });
    }
    drawing.sections.retain(|section| !section.lanes.is_empty());
    drawing.notes.push(format!(
        "{} of {all} lanes are left out: those in which the least happens.",
        all - LANES_MAX
    ));
}

/// Keeps every violation that there is room for, then the rest.
fn bound_lines(drawing: &mut Drawing) {
    let all = drawing.lines.len();
    if all > LINES_MAX {
        drawing.lines.sort_by_key(|line| (line.sign != Sign::Violation, line.at));
        drawing.lines.truncate(LINES_MAX);
        drawing.notes.push(format!("{} of {all} lines are left out.", all - LINES_MAX));
    }
}

/// Joins neighbours that are too short to be seen.
fn merge(lane: &mut Lane, grain: u64) {
    let mut rows: BTreeMap<u8, Vec<Span>> = BTreeMap::new();
    for span in std::mem::take(&mut lane.spans) {
        let row = rows.entry(row_of(span.look)).or_default();
        let is_short = |span: &Span| span.until.0.saturating_sub(span.from.0) < grain;
        match row.last_mut() {
            Some(last)
                if (last.look == Look::Many || is_short(last))
                    && is_short(&span)
                    && span.from.0.saturating_sub(last.until.0) < grain =>
            {
                let number = stands_for(&last.text) + stands_for(&span.text);
                let until = last.until.max(span.until);
                let text = format!("{number} things");
                let (from, label) = (last.from, String::new());
                *last = Span { from, until, look: Look::Many, label, text };
            }
            _ => row.push(span),
        }
    }
    lane.spans = rows.into_values().flatten().collect();
    lane.marks.sort_by_key(|mark| (mark.sign, mark.at));
    let mut marks: Vec<Mark> = Vec::new();
    for mark in std::mem::take(&mut lane.marks) {
        match marks.last_mut() {
            Some(last) if last.sign == mark.sign && mark.at.0 - last.at.0 < grain => {
                let number = stands_for(&last.text) + stands_for(&mark.text);
                last.text = format!("{number} things");
            }
            _ => marks.push(mark),
        }
    }
    lane.marks = marks;
}

/// A joined shape's text begins with its number.
fn stands_for(text: &str) -> usize {
    text.strip_suffix(" things").and_then(|number| number.parse().ok()).unwrap_or(1)
}

/// Spans of one row of a lane do not overlap; those of different rows may.
fn row_of(look: Look) -> u8 {
    match look {
        Look::Twice => 3,
        Look::MayAct => 2,
        Look::Suspect | Look::Isolated | Look::Down | Look::Fenced => 1,
        _ => 0,
    }
}
