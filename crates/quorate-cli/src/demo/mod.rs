//! `quorate demo`: a guest survives what happens to its hosts, before one's eyes.

mod judge;
mod measure;
mod picture;
mod show;
mod story;
mod summary;
mod tell;
mod waterfall;

pub use judge::{Acknowledged, Judgement, check, judge};
pub use measure::{Kind, Move, MoveSummary, Scene, Step};
pub(crate) use show::demo;
pub use story::Story;
pub use summary::{Spread, Summary};
