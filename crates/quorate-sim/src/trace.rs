//! What happened: a hash over every event and action, and, when wanted, the story in words.

use serde::Serialize;

use quorate_core::codec;
use quorate_core::id::NodeId;

use crate::clock::Moment;

/// The record of one run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    story: Option<Vec<String>>,
}

impl Trace {
    /// An empty record, with the story kept if `story`.
    pub fn new(story: bool) -> Self {
        Self { hash: 0x51ed_270b_9f60_2d4f, story: story.then(Vec::new) }
    }

    /// Takes an event or an action into the hash.
    pub fn mix<T: Serialize>(&mut self, at: Moment, node: NodeId, what: &T) {
        self.word(at.0);
        self.word(u64::from(node.0));
        let digest = digest_bytes(&codec::encode(what));
        self.word(digest);
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
        self.hash
    }

    /// The story so far, a line an entry.
    pub fn into_story(self) -> Vec<String> {
        self.story.unwrap_or_default()
    }

    fn word(&mut self, word: u64) {
        self.hash = mixed(self.hash, word);
    }
}

/// A number that is equal for equal values.
pub fn digest<T: Serialize>(value: &T) -> u64 {
    digest_bytes(&codec::encode(value))
}

fn digest_bytes(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mixed(hash, u64::from_le_bytes(word));
    }
    hash
}

fn mixed(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
