//! The picture of the demo: a lane for each node and one for the LUN, drawn as it happens.
//!
//! In a terminal: lanes, colours, and a last line that lives. Elsewhere: one plain line for each
//! thing.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::Duration;

use super::tell::{Lane, Tone, Words, forgets, words};
use crate::lab::{Fault, Moment, NoticeLine, Seen, Sighting};

/// How often the living line is drawn anew.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
/// Columns of the time.
const TIME_WIDTH: usize = 10;
/// The width where it cannot be told.
const WIDTH: usize = 100;
/// In less a lane would cut off words: there a plain line is drawn for each thing.
const WIDTH_MIN: usize = 98;

/// How a node's lane looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Column {
    runs: bool,
    is_cut: bool,
    has_guest: bool,
}

/// The picture.
#[derive(Debug)]
pub(crate) struct Picture {
    names: Vec<String>,
    start: Moment,
    /// Columns of the terminal; none: plain lines.
    width: Option<usize>,
    has_colours: bool,
    columns: Vec<Column>,
    holder: Option<usize>,
    told: BTreeSet<String>,
    newest: Option<(Moment, usize, u32)>,
    drawn: Moment,
    is_line_alive: bool,
    is_over: bool,
}

impl Picture {
    /// An empty picture for these nodes.
    pub(crate) fn new(names: Vec<String>) -> Self {
        let width = stdout().is_terminal().then(terminal_width).flatten();
        let width = width.filter(|&width| width >= WIDTH_MIN);
        let columns = vec![Column::default(); names.len()];
        Self {
            names,
            start: Moment::now(),
            width,
            has_colours: width.is_some() && std::env::var_os("NO_COLOR").is_none(),
            columns,
            holder: None,
            told: BTreeSet::new(),
            newest: None,
            drawn: Moment(0),
            is_line_alive: false,
            is_over: false,
        }
    }

    /// Whether bars may be drawn with block characters.
    pub(crate) fn is_terminal(&self) -> bool {
        self.width.is_some()
    }

    /// A line of text across all lanes.
    pub(crate) fn say(&mut self, text: &str) {
        self.end_live_line();
        put(text);
    }

    /// A heading, with the names of the lanes below it while there are any.
    pub(crate) fn head(&mut self, text: &str) {
        self.end_live_line();
        let bold = self.paint("1", text);
        put(&format!("\n{bold}"));
        if self.width.is_some() && !self.is_over {
            let mut line = " ".repeat(TIME_WIDTH);
            for name in self.names.iter().map(String::as_str).chain(["LUN"]) {
                line += &format!("  {name:<width$}", width = self.lane_width());
            }
            let line = self.paint("1", line.trim_end());
            put(&line);
        }
    }

    /// Draws what was seen; with none, keeps the living line fresh.
    pub(crate) fn see(&mut self, sighting: Option<&Sighting>) {
        if self.is_over {
            return;
        }
        let Some(sighting) = sighting else { return self.draw_live_line() };
        self.told.retain(|key| !forgets(sighting, key, &self.names));
        let first_tick = self.follow(sighting);
        let words = words(sighting, &self.names).or(first_tick);
        if let Some(words) = words
            && words.key.as_ref().is_none_or(|key| self.told.insert(key.clone()))
        {
            self.draw(sighting.at, &words);
        }
        self.draw_live_line();
    }

    /// Follows the state of the lanes. Gives words for a tick on another node than the last.
    fn follow(&mut self, sighting: &Sighting) -> Option<Words> {
        let node = sighting.node;
        let column = &mut self.columns[node];
        match &sighting.what {
            Seen::Fault(Fault::Started) => *column = Column { runs: true, ..Column::default() },
            Seen::Fault(Fault::Killed) => *column = Column::default(),
            Seen::Fault(Fault::GuestKilled) => column.has_guest = false,
            Seen::Fault(Fault::Cut(_)) => column.is_cut = true,
            Seen::Fault(Fault::Healed(_)) => column.is_cut = false,
            Seen::Notice(notice) => self.follow_notice(node, notice),
            Seen::Fault(Fault::AskedToLeave | Fault::MoveAsked | Fault::Paused | Fault::Woken)
            | Seen::Said(_)
            | Seen::Guest(_) => {}
        }
        let (record, _) = sighting.tick()?;
        self.columns[node].has_guest = true;
        let before = self.newest.replace((sighting.at, node, record));
        let text = match before {
            Some((at, last, _)) if last != node => {
                let gap = sighting.at.since(at).as_millis();
                format!("record {record}, after {gap} ms")
            }
            None => format!("record {record}"),
            Some(_) => return None,
        };
        Some(Words { lane: Lane::Node(node), text, tone: Tone::Good, key: None })
    }

    fn follow_notice(&mut self, node: usize, notice: &NoticeLine) {
        let verb = notice.field("verb").unwrap_or_default();
        match notice.kind.as_str() {
            "lun_held" => self.holder = Some(node),
            "lun_lost" if self.holder == Some(node) => self.holder = None,
            "completed" if matches!(verb, "kill" | "stop" | "save") => {
                self.columns[node].has_guest = false;
            }
            _ => {}
        }
    }

    fn draw(&mut self, at: Moment, words: &Words) {
        self.end_live_line();
        let seconds = at.since(self.start).as_secs_f64();
        if self.width.is_none() {
            let place = match words.lane {
                Lane::Node(node) => self.names[node].as_str(),
                Lane::Lun => "LUN",
            };
            put(&format!("{seconds:>8.3} s  {place:<4} {}", words.text));
            return;
        }
        let width = self.lane_width();
        let mut line = self.paint("2", &format!("{seconds:>8.3} s"));
        for node in 0..self.columns.len() {
            line += "  ";
            line += &self.cell(words, Lane::Node(node), self.bar(node), width);
        }
        let bar = self.holder.map_or(String::new(), |node| self.paint("36", &self.names[node]));
        let plain_width = self.holder.map_or(0, |node| self.names[node].chars().count());
        line += "  ";
        line += &self.cell(words, Lane::Lun, (bar, plain_width), width);
        put(line.trim_end());
    }

    fn cell(&self, words: &Words, lane: Lane, bar: (String, usize), width: usize) -> String {
        if words.lane != lane {
            let (bar, bar_width) = bar;
            return bar + &" ".repeat(width.saturating_sub(bar_width));
        }
        let text: String = words.text.chars().take(width).collect();
        let text = format!("{text:<width$}");
        match words.tone {
            Tone::Plain => text,
            Tone::Good => self.paint("32", &text),
            Tone::Bad => self.paint("1;31", &text),
            Tone::Decision => self.paint("33", &text),
        }
    }

    /// What stands in a node's lane while nothing happens there, and its width.
    fn bar(&self, node: usize) -> (String, usize) {
        let Column { runs, is_cut, has_guest } = self.columns[node];
        let bar = match (runs, is_cut, has_guest) {
            (false, _, _) => return (String::new(), 0),
            (true, true, true) => self.paint("31", "╏"),
            (true, true, false) => self.paint("31", "┆"),
            (true, false, true) => self.paint("32", "┃"),
            (true, false, false) => self.paint("2", "│"),
        };
        (bar, 1)
    }

    fn draw_live_line(&mut self) {
        let now = Moment::now();
        if self.width.is_none() || now.since(self.drawn) < REDRAW_INTERVAL {
            return;
        }
        let Some((at, node, record)) = self.newest else { return };
        self.drawn = now;
        let silence = now.since(at).as_millis();
        let beads = usize::try_from(record % 10).unwrap_or_default();
        let beads = format!("{}{}", "●".repeat(beads + 1), "○".repeat(9 - beads));
        let text = if silence < 250 {
            let text = format!("{beads}  record {record}, written on {}", self.names[node]);
            self.paint("32", &text)
        } else {
            self.paint("31", &format!("{beads}  record {record}, and nothing for {silence} ms"))
        };
        // A failure to draw is no failure of the demo.
        let _ = write!(stdout(), "\r\x1b[K{:TIME_WIDTH$}  {text}", "");
        let _ = stdout().flush();
        self.is_line_alive = true;
    }

    /// The story is over: what is seen now is its stage being taken down.
    pub(crate) fn end(&mut self) {
        self.end_live_line();
        self.is_over = true;
    }

    /// Takes the living line away, so that the next line stands in its place.
    fn end_live_line(&mut self) {
        if std::mem::take(&mut self.is_line_alive) {
            let _ = write!(stdout(), "\r\x1b[K");
        }
    }

    fn lane_width(&self) -> usize {
        let lanes = self.columns.len() + 1;
        let room = self.width.unwrap_or(WIDTH).saturating_sub(TIME_WIDTH);
        (room / lanes).saturating_sub(2).clamp(12, 32)
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.has_colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Prints a line; who has closed our output has no wish to read it.
fn put(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}

fn terminal_width() -> Option<usize> {
    if std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdout()).ok()?;
    Some(if size.ws_col == 0 { WIDTH } else { usize::from(size.ws_col) })
}
