//! The page: its head, its lanes as drawings, its legend.

use std::fmt::Write as _;

use super::lanes::{Drawing, Lane, Look, Mark, Section, Sign, Span};
use super::{Picture, table, words};
use crate::clock::Moment;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// Only the page's own script may run, only its own style applies, and nothing is fetched.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-quorate'; base-uri 'none'; \
                      form-action 'none'";
/// Hues that people tell apart, none of them red; nodes beyond these share the circle out.
const HUES: [u32; 10] = [212, 32, 150, 280, 188, 52, 322, 100, 250, 170];
/// Ticks of the axis where no script draws it.
const TICKS: u64 = 8;

/// Each sign: its class, what it means, and its outline around the origin.
const SIGNS: [(Sign, &str, &str, &str); 11] = [
    (Sign::Violation, "violation", "broken promise", "M0-7 7 6H-7ZM-1-2V2H1V-2Z"),
    (
        Sign::Suspect,
        "suspect",
        "silent",
        "M0-4.5A4.5 4.5 0 1 1 0 4.5 4.5 4.5 0 1 1 0-4.5ZM0-2A2 2 0 1 0 0 2 2 2 0 1 0 0-2Z",
    ),
    (Sign::Down, "down", "believed down", "M-5-5H5L0 5Z"),
    (Sign::FenceAsked, "asked", "fence asked for", "M0-6 6 0 0 6-6 0ZM0-3.2-3.2 0 0 3.2 3.2 0Z"),
    (Sign::Fenced, "fenced", "fenced", "M0-6 6 0 0 6-6 0Z"),
    (Sign::Moved, "moved", "given to a node", "M-5-2H0V-5L6 0 0 5V2H-5Z"),
    (
        Sign::Coordinator,
        "coordinator",
        "coordinates",
        "M0-6 1.8-1.9 6-1.9 2.7 .9 3.9 5.2 0 2.6-3.9 5.2-2.7 .9-6-1.9-1.8-1.9Z",
    ),
    (Sign::Refused, "refused", "write refused", "M-1.6-6H1.6V6H-1.6Z"),
    (
        Sign::Failed,
        "failed",
        "did not start or stop",
        "M-5-3-3-5 0-2 3-5 5-3 2 0 5 3 3 5 0 2-3 5-5 3-2 0Z",
    ),
    (Sign::Healed, "healed", "all faults over", "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z"),
    (Sign::Note, "other", "something else", "M-2.5-2.5H2.5V2.5H-2.5Z"),
];

/// A page that is being written.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Adds a line that is already safe.
    pub(super) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}

/// Text that is only text, wherever it stands on a page. What could turn the direction of writing, or is no letter at
/// all, is replaced.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            '\n' | '\t' => safe.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                safe.push('\u{fffd}');
            }
            letter if letter.is_control() => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
}

/// How far along the axis a moment stands.
pub(super) fn percent(at: Moment, until: Moment) -> String {
    let parts = u128::from(at.0.min(until.0)) * 100_000_000 / u128::from(until.0.max(1));
    format!("{}.{:06}", parts / 1_000_000, parts % 1_000_000)
}

/// Writes the whole page.
pub(super) fn write(picture: &Picture<'_>, drawing: &Drawing) -> String {
    let mut html = Html::default();
    head(&mut html, picture);
    controls(&mut html);
    let seconds = drawing.until.0 as f64 / 1e9;
    html.line(&format!(
        "<div id=\"view\" tabindex=\"0\" role=\"group\" aria-label=\"Timeline; the table below holds the same facts\" \
         data-seconds=\"{seconds}\"><div id=\"sheet\">"
    ));
    axis(&mut html, drawing);
    for section in &drawing.sections {
        write_section(&mut html, section, drawing.until);
    }
    lines(&mut html, drawing);
    html.line("</div></div><p id=\"said\" role=\"status\"></p>");
    for note in &drawing.notes {
        html.line(&format!("<p class=\"note\">{}</p>", escaped(note)));
    }
    legend(&mut html, picture);
    table::write(&mut html, picture, drawing.until);
    html.line("<div id=\"tip\" hidden></div>");
    html.line(&format!("<script nonce=\"quorate\">{SCRIPT}</script></body></html>"));
    html.0
}

fn head(html: &mut Html, picture: &Picture<'_>) {
    let title = escaped(&picture.title);
    html.line("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.line(&format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">"));
    html.line("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    html.line("<meta name=\"color-scheme\" content=\"light dark\">");
    html.line(&format!("<title>{title}</title><style>{STYLE}"));
    for place in 0..picture.cast.nodes.len() {
        html.line(&format!(".n{place}{{--h:{}}}", hue(place)));
    }
    html.line("</style></head><body>");
    html.line(&format!("<header><h1>{title}</h1>"));
    for remark in &picture.remarks {
        html.line(&format!("<p>{}</p>", escaped(remark)));
    }
    html.line("</header>");
    html.line("<svg class=\"defs\" aria-hidden=\"true\"><defs>");
    for (_, class, _, path) in SIGNS {
        html.line(&format!("<path id=\"s-{class}\" fill-rule=\"evenodd\" d=\"{path}\"/>"));
    }
    html.line(
        "<pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect class=\"hatch-ground\" width=\"6\" height=\"6\"/>\
         <rect class=\"hatch-line\" width=\"2.5\" height=\"6\"/></pattern></defs></svg>",
    );
}

fn controls(html: &mut Html) {
    html.line(
        "<nav><label>Filter <input id=\"filter\" type=\"search\" placeholder=\"name of a lane, or a word\"></label>\
         <span class=\"buttons\"><button id=\"out\" title=\"Zoom out (-)\">&#8722;</button>\
         <button id=\"in\" title=\"Zoom in (+)\">+</button>\
         <button id=\"all\" title=\"The whole run (0)\">whole run</button></span>\
         <span id=\"range\"></span>\
         <span class=\"help\">In the picture: + and &#8722; zoom, arrows pan, n and p go from fact to fact; \
         Ctrl and wheel zoom, dragging pans.</span></nav>",
    );
}

fn axis(html: &mut Html, drawing: &Drawing) {
    html.line(
        "<div class=\"lane axis\"><div class=\"name\">time</div><div class=\"plot\" id=\"axis\">",
    );
    for tick in 0..=TICKS {
        let at =
            Moment((u128::from(drawing.until.0) * u128::from(tick) / u128::from(TICKS)) as u64);
        let place = percent(at, drawing.until);
        html.line(&format!("<span style=\"left:{place}%\">{}</span>", words::time(at)));
    }
    html.line("</div></div>");
}

fn write_section(html: &mut Html, section: &Section, until: Moment) {
    let count = section.lanes.len();
    html.line(&format!(
        "<details open><summary>{} <small>{count}</small></summary>",
        section.title
    ));
    for lane in &section.lanes {
        write_lane(html, lane, until);
    }
    html.line("</details>");
}

fn write_lane(html: &mut Html, lane: &Lane, until: Moment) {
    let name = escaped(&lane.name);
    html.line(&format!(
        "<div class=\"lane\"><div class=\"name\" title=\"{name}\">{name}</div>\
         <svg class=\"plot\" role=\"img\" aria-label=\"{name}: {} spans, {} marks\">",
        lane.spans.len(),
        lane.marks.len()
    ));
    let mut spans: Vec<&Span> = lane.spans.iter().collect();
    spans.sort_by_key(|span| matches!(span.look, Look::MayAct | Look::Twice));
    for span in spans {
        write_span(html, span, until);
    }
    for mark in &lane.marks {
        write_mark(html, mark, until);
    }
    html.line("</svg></div>");
}

fn write_span(html: &mut Html, span: &Span, until: Moment) {
    let (class, y, height) = shape(span.look);
    let x = percent(span.from, until);
    let length = Moment(span.until.0.saturating_sub(span.from.0));
    let width = percent(length, until);
    let text = format!("{} to {}: {}", words::time(span.from), words::time(span.until), span.text);
    let mut line = format!(
        "<svg x=\"{x}%\" y=\"{y}\" width=\"{width}%\" height=\"{height}\" class=\"span {class}\" data-t=\"{}\">\
         <rect width=\"100%\" height=\"100%\"/>",
        escaped(&text)
    );
    if !span.label.is_empty() {
        let _ = write!(line, "<text x=\"4\" y=\"11.5\">{}</text>", escaped(&span.label));
    }
    html.line(&(line + "</svg>"));
}

/// The class of a span, and where in its lane it stands.
fn shape(look: Look) -> (String, u32, u32) {
    let (class, y, height) = match look {
        Look::Up => ("up", 3, 15),
        Look::Off => ("off", 3, 15),
        Look::Paused => ("paused", 3, 15),
        Look::MayAct => ("act", 3, 3),
        Look::Suspect => ("suspect", 20, 4),
        Look::Isolated => ("isolated", 20, 4),
        Look::Down => ("down", 20, 4),
        Look::Fenced => ("fenced", 20, 4),
        Look::Twice => ("twice", 3, 15),
        Look::On(place) => return (format!("on n{place}"), 3, 15),
        Look::Pause => ("pause", 3, 15),
        Look::Outage => ("outage", 3, 15),
        Look::Fault => ("fault", 3, 15),
        Look::Many => ("many", 3, 15),
    };
    (class.to_owned(), y, height)
}

fn write_mark(html: &mut Html, mark: &Mark, until: Moment) {
    let class = class_of(mark.sign);
    let x = percent(mark.at, until);
    let y = if mark.sign == Sign::Moved { 22 } else { 11 };
    let text = escaped(&format!("{}: {}", words::time(mark.at), mark.text));
    html.line(&format!(
        "<svg x=\"{x}%\" y=\"{y}\" class=\"mark {class}\" data-t=\"{text}\"><use href=\"#s-{class}\"/></svg>"
    ));
}

fn lines(html: &mut Html, drawing: &Drawing) {
    html.line("<div id=\"lines\">");
    for mark in &drawing.lines {
        let class = class_of(mark.sign);
        let text = escaped(&format!("{}: {}", words::time(mark.at), mark.text));
        let place = percent(mark.at, drawing.until);
        html.line(&format!(
            "<div class=\"line {class}\" style=\"left:{place}%\" data-t=\"{text}\">\
             <svg class=\"mark {class}\" data-t=\"{text}\"><use href=\"#s-{class}\"/></svg></div>"
        ));
    }
    html.line("<div id=\"cursor\" hidden></div></div>");
}

fn legend(html: &mut Html, picture: &Picture<'_>) {
    html.line("<details id=\"legend\" open><summary>What it shows</summary><ul>");
    let spans = [
        ("up", "node up"),
        ("off", "node off"),
        ("paused", "node stands still"),
        ("act", "node may act"),
        ("suspect", "believed silent"),
        ("isolated", "believed cut off"),
        ("down", "believed down"),
        ("fenced", "fenced"),
        ("pause", "group stopped as asked"),
        ("outage", "unplanned outage"),
        ("twice", "on two nodes at once"),
        ("fault", "fault"),
        ("many", "several, joined"),
    ];
    let box_of = |class: &str| {
        format!("<svg class=\"span {class}\"><rect width=\"100%\" height=\"100%\"/></svg>")
    };
    for (class, words) in spans {
        key(html, &box_of(class), words);
    }
    for (_, class, words, _) in SIGNS {
        let mark = format!("<use href=\"#s-{class}\"/>");
        let mark = format!("<svg x=\"50%\" y=\"8\" class=\"mark {class}\">{mark}</svg>");
        key(html, &mark, words);
    }
    for (place, name) in picture.cast.nodes.iter().enumerate().take(64) {
        key(html, &box_of(&format!("on n{place}")), &format!("on {}", escaped(name)));
    }
    html.line("</ul></details>");
}

/// One line of the legend.
fn key(html: &mut Html, drawing: &str, words: &str) {
    html.line(&format!("<li><svg class=\"key\">{drawing}</svg>{words}"));
}

fn class_of(sign: Sign) -> &'static str {
    let found = SIGNS.iter().find(|(other, ..)| *other == sign);
    found.map_or("other", |(_, class, ..)| class)
}

/// Beyond the chosen hues: the golden angle keeps neighbours apart.
fn hue(place: usize) -> u32 {
    HUES.get(place).copied().unwrap_or_else(|| (20 + place as u32 * 137) % 360)
}
