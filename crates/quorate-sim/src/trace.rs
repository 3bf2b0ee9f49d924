//! What happened: a hash over every event and action, and, when wanted, the story in words.

use serde::Serialize;

use quorate_core::id::NodeId;

use crate::clock::Moment;
use crate::digest::Digest;

/// The record of one run.
#[derive(Debug)]
pub struct Trace {
    hash: Digest,
    story: Option<Vec<String>>,
}

impl Trace {
    /// An empty record, with the story kept if `story`.
    pub fn new(story: bool) -> Self {
        Self { hash: Digest::new(0x51ed_270b_9f60_2d4f), story: story.then(Vec::new) }
    }

    /// Takes an event or an action into the hash.
    pub fn mix<T: Serialize>(&mut self, at: Moment, node: NodeId, what: &T) {
        self.hash.word(at.0);
        self.hash.word(u64::from(node.0));
        self.hash.take(what);
    }

    /// Adds a line to the story. `line` is not called when there is none.
    pub fn tell(&mut self, at: Moment, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{at}  {}", line()));
        }
    }

    /// Whether a story is kept.
    pub fn is_told(&self) -> bool {
        self.story.is_some()
    }

    /// The hash so far.
    pub fn hash(&self) -> u64 {
        self.hash.value()
    }

    /// The story so far, a line an entry.
    pub fn into_story(self) -> Vec<String> {
        self.story.unwrap_or_default()
    }
}
