//! `quorate simulate`: stories that the engine lives through, an outcome a line.

use std::fs;
use std::io::{Read as _, Write, stdout};
use std::path::{Path, PathBuf};

use quorate_sim::picture::{Cast, Picture};
use quorate_sim::scenario::{Answer, FILE_MAX, Format, Ran, Scenario, judge};

use crate::arguments::Simulate;
use crate::failure::{Exit, Failure};

/// Runs every file, whatever becomes of the others.
pub(crate) fn simulate(words: &Simulate) -> Result<(), Failure> {
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
        let ran = scenario.run(words.seed, trace.is_some());
        say(&ran.answer)?;
        if let Some((path, out)) = &mut trace {
            write_trace(out, &scenario.id, &ran).map_err(|error| unwritable(path, &error))?;
        }
        if let Some(path) = &words.html {
            fs::write(path, picture(&scenario, words, &ran)).map_err(|e| unwritable(path, &e))?;
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
    let file = fs::File::open(path).map_err(|error| format!("{place}: {error}"))?;
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
    let file = fs::File::create(path).map_err(|error| unwritable(path, &error))?;
    Ok((path.to_owned(), std::io::BufWriter::new(file)))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{} cannot be written: {error}", path.display()))
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
    let picture = Picture {
        title: scenario.id.clone(),
        remarks: vec![scenario.description.clone(), seed, verdict],
        cast: ran.config.as_ref().map(Cast::of).unwrap_or_default(),
        entries: &ran.timeline,
        until: ran.timeline.last().map(|entry| entry.at).unwrap_or_default(),
    };
    picture.html()
}
