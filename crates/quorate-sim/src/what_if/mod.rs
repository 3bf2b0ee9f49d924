//! What if these were lost? The real engine is brought into a given situation in the simulator, loses what is asked
//! about at one instant, and is watched until it is at rest again.
//!
//! ```
//! use quorate_sim::testing::Cluster;
//! use quorate_sim::what_if::{Lose, WhatIf};
//!
//! # fn main() -> Result<(), quorate_sim::what_if::Error> {
//! let config = Cluster::new(3, 0)?.config().clone();
//! let report = WhatIf::new(config, None)?.report(&["nodes:1".parse::<Lose>()?])?;
//! assert_eq!(report.cases.len(), 3);
//! assert!(report.cases.iter().all(|case| case.quorum));
//! println!("{report}");
//! # Ok(())
//! # }
//! ```

mod case;
mod error;
mod loss;
mod report;
mod situation;

use std::time::Duration;

use quorate_core::config::ClusterConfig;

pub use error::Error;
pub use loss::{CASES_MAX, Lose, Loss};
pub use report::{Case, Fate, GroupOutcome, Report};
pub use situation::{GroupSituation, NodeSituation, Situation};

use crate::testing::Cluster;

/// How many seeds each case is run with; the worst counts.
const SEEDS: u64 = 3;

/// A question to the engine: a configuration and a situation.
#[derive(Clone, Debug)]
pub struct WhatIf {
    config: ClusterConfig,
    situation: Situation,
    start_time: Duration,
}

impl WhatIf {
    /// Asks about a situation; without one, about that in which every node runs and everything is online where
    /// placement puts it.
    ///
    /// # Errors
    /// [`Error::Situation`]: it names what the configuration does not hold.
    pub fn new(config: ClusterConfig, situation: Option<Situation>) -> Result<Self, Error> {
        let situation = match situation {
            Some(situation) => situation.checked(&config)?,
            None => Situation::of(&config),
        };
        Ok(Self { config, situation, start_time: Duration::ZERO })
    }

    /// How long a resource takes to start, which is part of each outage. Default: no time.
    #[must_use]
    pub fn start_time(self, start_time: Duration) -> Self {
        Self { start_time, ..self }
    }

    /// Every case that a question stands for.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::TooFew`] or [`Error::TooMany`].
    pub fn losses(&self, lose: &[Lose]) -> Result<Vec<Loss>, Error> {
        loss::cases(&self.config, &self.situation, lose)
    }

    /// What comes of one case.
    ///
    /// # Errors
    /// [`Error::Situation`]: the situation cannot be reached; or [`Error::Cluster`].
    pub fn case(&self, loss: &Loss) -> Result<Case, Error> {
        let mut worst: Option<Case> = None;
        for seed in 0..SEEDS {
            let mut cluster = self.prepared(seed)?;
            let case = case::run(&mut cluster, loss)?;
            worst = Some(match worst {
                Some(worst) => worst.worse(case),
                None => case,
            });
        }
        Ok(worst.expect("there is a seed"))
    }

    /// What comes of every case.
    ///
    /// # Errors
    /// As [`WhatIf::losses`] and [`WhatIf::case`].
    pub fn report(&self, lose: &[Lose]) -> Result<Report, Error> {
        let cases = self.losses(lose)?;
        let cases = cases.iter().map(|loss| self.case(loss)).collect::<Result<_, _>>()?;
        self.report_of(cases)
    }

    /// The report of cases that were run one by one.
    ///
    /// # Errors
    /// As [`WhatIf::case`].
    pub fn report_of(&self, cases: Vec<Case>) -> Result<Report, Error> {
        let cluster = self.prepared(0)?;
        Ok(Report {
            cluster: self.config.name().to_owned(),
            start_time_ms: report::ms(self.start_time),
            differs: self.situation.differs(&cluster)?,
            cases,
        })
    }

    /// The cluster, in the situation.
    fn prepared(&self, seed: u64) -> Result<Cluster, Error> {
        let mut cluster = Cluster::of(self.config.clone(), seed);
        situation::play_resources(&mut cluster, self.start_time)?;
        self.situation.reach(&mut cluster)?;
        Ok(cluster)
    }
}
