//! Bugs on purpose, one at a time: what catches each, and how soon.

use quorate_core::plant::Plant as Mistake;

use crate::fault::Faults;
use crate::options::{Options, Plant};
use crate::run::run;

/// A bug, in the engines or in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// In every engine.
    Engine(Mistake),
    /// In the world.
    World(Plant),
}

/// Who has caught a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// The checker; `Engine`: an engine's own assertion.
    pub checker: &'static str,
    /// How many seeds it took.
    pub seeds: u64,
    /// What it saw.
    pub what: String,
}

impl Bug {
    /// Every bug.
    pub fn all() -> impl Iterator<Item = Self> {
        let engine = Mistake::ALL.iter().map(|&mistake| Self::Engine(mistake));
        engine.chain(Plant::ALL.iter().map(|&plant| Self::World(plant)))
    }

    /// Its name.
    pub fn name(self) -> String {
        match self {
            Self::Engine(mistake) => format!("{mistake:?}"),
            Self::World(plant) => format!("{plant:?}"),
        }
    }

    /// What is wrong with it.
    pub fn what(self) -> &'static str {
        match self {
            Self::Engine(mistake) => mistake.what(),
            Self::World(plant) => plant.what(),
        }
    }

    /// The runs in which it is looked for: the seeds turn by turn through all faults and through the sets of them that
    /// bring out one class of bugs each. Nothing here is made for one bug.
    pub fn options(self, seed: u64) -> Options {
        let options = Options { faults: Faults::turn(seed), ..Options::default() };
        match self {
            Self::Engine(mistake) => Options { mistake: Some(mistake), ..options },
            Self::World(plant) => Options { plant: Some(plant), ..options },
        }
    }

    /// Looks for it in the seeds from 0 on, as long as `more` says so.
    pub fn hunt(self, mut more: impl FnMut(u64) -> bool) -> Option<Caught> {
        (0..).take_while(|&seed| more(seed)).find_map(|seed| {
            let first = run(seed, &self.options(seed)).violations.into_iter().next()?;
            let sound = Options { mistake: None, plant: None, ..self.options(seed) };
            assert!(run(seed, &sound).is_clean(), "seed {seed} is broken without any bug");
            Some(Caught { checker: first.checker, seeds: seed + 1, what: first.what })
        })
    }
}
