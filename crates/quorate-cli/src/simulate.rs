//! `quorate simulate`: stories that the engine lives through, an outcome a line.

use std::fs;
use std::io::{Read as _, Write, stdout};
use std::path::{Path, PathBuf};

use quorate_sim::clock::Moment;
use quorate_sim::picture::{Cast, Picture};
use quorate_sim::scenario::{Answer, FILE_MAX, Fact, Format, Ran, Scenario, judge};
use quorate_sim::timeline::Entry;

use crate::arguments::Simulate;
use crate::failure::{Exit, Failure};
use crate::page;

/// Runs every file, whatever becomes of the others.
pub(crate) fn simulate(words: &Simulate) -> Result<(), Failure> {
    page::check(words.html.as_deref())?;
    let mut trace = words.trace.as_deref().map(create).transpose()?;
    let (mut wrong, mut broken): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for file in &words.files {
        let scenario = match read(file) {
            Ok(scenario) => scenario,
            Err(error) => {
                wrong.push(error);
                continue;
            }
        };
        if words.check
            && let Err(error) = scenario.check_expectation()
        {
            wrong.push(format!("{}: {error}", file.display()));
            continue;
        }
        let ran = scenario.run(words.seed, trace.is_some());
        say(&ran.answer)?;
        if let Some((path, out)) = &mut trace {
            write_trace(out, &scenario.id, &ran)
                .map_err(|error| page::refused(Exit::Failed, path, &error))?;
        }
        let drawn = words.html.as_ref().filter(|_| words.files.last() == Some(file));
        if let Some(path) = drawn {
            page::write(path, &picture(&scenario, words, &ran))?;
        }
        broken.extend(findings(&scenario, &ran.answer, words.check, file));
    }
    let (exit, lines) = match (wrong.is_empty(), broken.is_empty()) {
        (true, true) => return Ok(()),
        (false, _) => (Exit::Usage, [wrong, broken].concat()),
        (true, false) => (Exit::Failed, broken),
    };
    Err(Failure::new(exit, lines.join("\nquorate: ")))
}

fn read(path: &Path) -> Result<Scenario, String> {
    let place = path.display();
    let file = fs::File::open(path)
        .map_err(|error| format!("{place}: {error}; name a scenario, as JSON or TOML"))?;
    let mut bytes = Vec::new();
    let most = FILE_MAX as u64 + 1;
    file.take(most).read_to_end(&mut bytes).map_err(|error| format!("{place}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        format!("{place}: byte {} is not UTF-8", error.utf8_error().valid_up_to())
    })?;
    let format = Format::of_name(&place.to_string());
    Scenario::parse(&text, format).map_err(|error| format!("{place}: {error}"))
}

fn say(answer: &Answer) -> Result<(), Failure> {
    let line = serde_json::to_string(answer)
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    // Who has closed our output has no wish to read it.
    let _ = writeln!(stdout(), "{line}");
    let _ = stdout().flush();
    Ok(())
}

/// What is wrong with an outcome, a line each.
fn findings(scenario: &Scenario, answer: &Answer, check: bool, file: &Path) -> Vec<String> {
    let outcome = match answer {
        Answer::Ran(outcome) => outcome,
        Answer::Skipped { skipped, .. } if check => {
            return vec![format!("{}: skipped: {skipped}", file.display())];
        }
        Answer::Skipped { .. } => return Vec::new(),
    };
    let expect = scenario.expect.as_ref().filter(|_| check);
    let lines = judge(outcome, expect).into_iter();
    lines.map(|line| format!("{}: {line}", file.display())).collect()
}

type Out = (PathBuf, std::io::BufWriter<fs::File>);

fn create(path: &Path) -> Result<Out, Failure> {
    let file = fs::File::create(path).map_err(|error| page::refused(Exit::Usage, path, &error))?;
    Ok((path.to_owned(), std::io::BufWriter::new(file)))
}

fn write_trace(out: &mut impl Write, id: &str, ran: &Ran) -> std::io::Result<()> {
    writeln!(out, "== {id}")?;
    ran.trace.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    out.flush()
}

fn picture(scenario: &Scenario, words: &Simulate, ran: &Ran) -> String {
    let verdict = match &ran.answer {
        Answer::Ran(outcome) if outcome.violations.is_empty() => "nothing was broken".to_owned(),
        Answer::Ran(outcome) => format!("{} promises were broken", outcome.violations.len()),
        Answer::Skipped { skipped, .. } => format!("skipped: {skipped}"),
    };
    let seed = format!("seed {}", words.seed);
    let entries = since_the_facts_began(ran);
    let picture = Picture {
        title: scenario.id.clone(),
        remarks: vec![scenario.description.clone(), seed, verdict],
        cast: ran.config.as_ref().map(Cast::of).unwrap_or_default(),
        until: entries.last().map(|entry| entry.at).unwrap_or_default(),
        entries: &entries,
    };
    picture.html()
}

/// The timeline with the times of the outcome's facts: a scenario begins in a world that is some time old.
fn since_the_facts_began(ran: &Ran) -> Vec<Entry> {
    let zero = match &ran.answer {
        Answer::Ran(outcome) => beginning(&outcome.facts, &ran.timeline),
        Answer::Skipped { .. } => 0,
    };
    let moved =
        |entry: &Entry| Entry { at: Moment(entry.at.0.saturating_sub(zero)), ..entry.clone() };
    ran.timeline.iter().map(moved).collect()
}

/// When the facts began, in nanoseconds of the world: the moment from which each fact has its entry.
fn beginning(facts: &[Fact], timeline: &[Entry]) -> u64 {
    /// A fact's time is told in microseconds.
    const EXACT: u64 = 2_000;
    let nanos = |fact: &Fact| (fact.at * 1e6).round() as u64 * 1_000;
    let Some(first) = facts.first() else {
        return timeline.first().map_or(0, |entry| entry.at.0);
    };
    let fits = |zero: u64| {
        facts.iter().all(|fact| {
            let at = zero + nanos(fact);
            let next = timeline.partition_point(|entry| entry.at.0 + EXACT < at);
            timeline.get(next).is_some_and(|entry| entry.at.0 <= at + EXACT)
        })
    };
    let candidates = timeline.iter().filter_map(|entry| entry.at.0.checked_sub(nanos(first)));
    candidates.into_iter().find(|&zero| fits(zero)).unwrap_or(0)
}
