//! The words of `quorate torture`.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use quorate_sim::fault::{FaultKind, Faults};
use quorate_sim::options::{SLOW, TimingInputs};
use quorate_sim::world::World;
use quorate_sim::{Options, Outcome};

use super::length;

/// `quorate torture`.
#[derive(Clone, Debug, Args)]
pub struct Torture {
    /// The seeds to run, the last one not among them
    #[arg(long, value_name = "A..B", default_value = "0..100", value_parser = seeds)]
    pub seeds: Range<u64>,
    /// One seed alone
    #[arg(long, conflicts_with = "seeds")]
    pub seed: Option<u64>,
    /// How many nodes; at most 7 of them vote [default: drawn, 3 to 5]
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=64))]
    pub nodes: Option<u16>,
    /// How many groups [default: drawn, 2 to 4]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub groups: Option<u32>,
    /// How long faults happen in each seed, in simulated time, as 90s, 2h or 30days; then it must recover
    /// [default: 15 detection times]
    #[arg(long, value_parser = parsed)]
    pub time: Option<Duration>,
    /// How far faults are apart, on the average [default: drawn, about one detection time]
    #[arg(long, value_parser = parsed)]
    pub pace: Option<Duration>,
    /// The timing profile
    #[arg(long, default_value = "drawn")]
    pub profile: Profile,
    /// The kinds of faults that may happen, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_parser = kind, value_name = "KINDS")]
    pub kinds: Vec<FaultKind>,
    /// The kinds of faults that may not happen
    #[arg(long, value_delimiter = ',', value_parser = kind, value_name = "KINDS")]
    pub without: Vec<FaultKind>,
    /// Of the faults of one seed, those with these numbers alone
    #[arg(long, value_delimiter = ',', value_parser = number, value_name = "NUMBERS")]
    pub faults: Option<Vec<usize>>,
    /// How many seeds run at once [default: as many as there are cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Reduce each failing seed to few faults
    #[arg(long)]
    pub shrink: bool,
    /// Tell the whole story of the seed
    #[arg(long, conflicts_with = "json")]
    pub story: bool,
    /// Draw the run of the seed, as one HTML page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// List what was never met, also of one seed
    #[arg(long)]
    pub never_met: bool,
    /// One hash over all that every engine was told and asked for, in every seed
    #[arg(long)]
    pub trace_hash: bool,
    /// The summary as JSON
    #[arg(long)]
    pub json: bool,
}

/// Which timing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Each seed draws one, now and then with clocks as bad as may be configured.
    Drawn,
    /// Detection in 0.5 s.
    Fast,
    /// Detection in 2 s.
    Default,
    /// Detection in 300 s: for long runs, a year goes by in less than a minute.
    Slow,
}

/// More faults than this are not planned for one seed: they are drawn before it begins.
const FAULTS_MAX: u128 = 5_000_000;

impl Torture {
    /// The seeds.
    pub fn seeds(&self) -> Range<u64> {
        self.seed.map_or(self.seeds.clone(), |seed| seed..seed.saturating_add(1))
    }

    /// What each run is made of.
    ///
    /// # Errors
    /// More than can be planned; no fault is left; several seeds, and something that is of one.
    pub fn options(&self) -> Result<Options, String> {
        self.check_that_one_seed_is_meant()?;
        let timing = match self.profile {
            Profile::Drawn => None,
            Profile::Fast => Some(TimingInputs::FAST),
            Profile::Default => Some(TimingInputs::DEFAULT),
            Profile::Slow => Some(SLOW),
        };
        self.check_that_it_can_be_planned(timing.unwrap_or(TimingInputs::FAST).detect)?;
        let all = if self.kinds.is_empty() { Faults::ALL } else { Faults::only(&self.kinds) };
        let faults = self.without.iter().fold(all, |faults, &kind| faults.with(kind, 0));
        if faults.kinds().next().is_none() {
            return Err(
                "--without takes every kind away that --kinds names: no fault is left".to_owned()
            );
        }
        let options = Options {
            nodes: self.nodes,
            groups: self.groups,
            timing,
            time: self.time,
            pace: self.pace,
            faults,
            chosen: self.faults.clone(),
            story: self.story,
            timeline: self.html.is_some(),
            ..Options::default()
        };
        self.check_the_chosen_faults(&options)?;
        Ok(options)
    }

    /// What tells, draws or picks from a seed means one.
    fn check_that_one_seed_is_meant(&self) -> Result<(), String> {
        let seeds = self.seeds();
        let asked = [
            ("--faults", self.faults.is_some()),
            ("--story", self.story),
            ("--html", self.html.is_some()),
        ];
        match asked.iter().find(|(_, is_asked)| *is_asked) {
            Some((name, _)) if seeds.end - seeds.start > 1 => Err(format!(
                "{name} is about one seed, and {} are to be run: give the one as --seed S",
                seeds.end - seeds.start
            )),
            _ => Ok(()),
        }
    }

    fn check_that_it_can_be_planned(&self, fastest: Duration) -> Result<(), String> {
        let Some(time) = self.time else { return Ok(()) };
        let pace = self.pace.unwrap_or(fastest);
        let count = time.as_nanos() / pace.as_nanos().max(1);
        if count <= FAULTS_MAX {
            return Ok(());
        }
        Err(format!(
            "--time {} at a fault every {} makes {count} faults a seed, and {FAULTS_MAX} is the most: give a longer \
             --pace, or a shorter --time and more seeds",
            length::written(time),
            length::written(pace),
        ))
    }

    /// Each number that is picked has a fault.
    fn check_the_chosen_faults(&self, options: &Options) -> Result<(), String> {
        let Some(most) = self.faults.iter().flatten().max() else { return Ok(()) };
        let seed = self.seeds().start;
        let planned = World::new(seed, options).faults().len();
        match planned.checked_sub(1) {
            Some(last) if *most > last => {
                Err(format!("--faults {most}: seed {seed} has the faults 0 to {last}"))
            }
            None => Err(format!("--faults {most}: seed {seed} has no faults")),
            Some(_) => Ok(()),
        }
    }

    /// The command that runs a seed again, with `time` and `faults` in place of those given.
    pub fn again(&self, seed: u64, time: Option<Duration>, faults: Option<&[usize]>) -> String {
        let mut text = format!("quorate torture --seed {seed}");
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = write!(text, " --{name} {value}");
            }
        };
        let names = |kinds: &[FaultKind]| {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            (!names.is_empty()).then(|| names.join(","))
        };
        add("nodes", self.nodes.map(|nodes| nodes.to_string()));
        add("groups", self.groups.map(|groups| groups.to_string()));
        add("time", time.or(self.time).map(length::written));
        add("pace", self.pace.map(length::written));
        let profile = self.profile.to_possible_value();
        let profile = profile.filter(|_| self.profile != Profile::Drawn);
        add("profile", profile.map(|value| value.get_name().to_owned()));
        add("kinds", names(&self.kinds));
        add("without", names(&self.without));
        let chosen = faults.or(self.faults.as_deref());
        let numbers = |faults: &[usize]| {
            let words: Vec<String> = faults.iter().map(usize::to_string).collect();
            words.join(",")
        };
        add("faults", chosen.map(numbers));
        text + " --story"
    }

    /// One line for a seed that failed, and the command that runs it again.
    pub fn line(&self, outcome: &Outcome) -> String {
        let what = outcome.violations.first().map(ToString::to_string).unwrap_or_default();
        let again = self.again(outcome.seed, None, None);
        format!("seed {} fails: {}; again: {again}", outcome.seed, what.trim_start())
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || "write A..B with A below B, as in 0..1000".to_owned();
    let (first, end) = text.split_once("..").ok_or_else(wrong)?;
    let (first, end) = (first.parse().map_err(|_| wrong())?, end.parse().map_err(|_| wrong())?);
    if first < end { Ok(first..end) } else { Err(wrong()) }
}

fn parsed(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let most = Duration::from_secs(100 * 366 * 86_400);
    if length < Duration::from_millis(1) || length > most {
        return Err("it must be between 1ms and 100years".to_owned());
    }
    Ok(length)
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write the numbers that --story tells, as in 0,3,12".to_owned())
}

fn kind(text: &str) -> Result<FaultKind, String> {
    FaultKind::named(text).ok_or_else(|| {
        let known: Vec<&str> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("there is no such kind; there are: {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_seeds_is_not_empty() {
        assert_eq!(seeds("3..5"), Ok(3..5));
        for wrong in ["", "3", "5..3", "3..3", "a..b", "..3", "3.."] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_length_has_a_unit_and_a_bound() {
        assert_eq!(parsed("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parsed("2h 5ms"), Ok(Duration::from_millis(7_200_005)));
        for wrong in ["", "90", "-1s", "0s", "200years"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
