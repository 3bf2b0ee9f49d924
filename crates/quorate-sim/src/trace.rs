//! What happened: a hash over every event and action, and, when wanted, the story in words.

use serde::Serialize;

use quorate_core::id::{NodeId, PathId};
use quorate_core::message::{Ages, Beat};

use crate::clock::Moment;
use crate::digest::{Digest, digest};

/// The record of one run.
#[derive(Debug)]
pub struct Trace {
    hash: Digest,
    /// The lists of the newest heartbeat, and their digest: all that were sent at once have the same.
    lists: (Ages, Ages, u64),
    story: Option<Vec<String>>,
}

impl Trace {
    /// An empty record, with the story kept if `story`.
    pub fn new(story: bool) -> Self {
        let (heard, withheld) = (Ages::default(), Ages::default());
        let digest = digest(&(&heard, &withheld));
        let lists = (heard, withheld, digest);
        Self { hash: Digest::new(0x51ed_270b_9f60_2d4f), lists, story: story.then(Vec::new) }
    }

    /// Takes an event or an action into the hash.
    pub fn mix<T: Serialize>(&mut self, at: Moment, node: NodeId, what: &T) {
        self.hash.word(at.0);
        self.hash.word(u64::from(node.0));
        self.hash.take(what);
    }

    /// Takes a heartbeat that is sent into the hash: all of it.
    pub fn mix_beat(&mut self, at: Moment, node: NodeId, way: (NodeId, PathId), beat: &Beat) {
        let (heard, withheld, _) = &self.lists;
        if !(heard.is_same(&beat.heard) && withheld.is_same(&beat.withheld)) {
            let digest = digest(&(&beat.heard, &beat.withheld));
            self.lists = (beat.heard.clone(), beat.withheld.clone(), digest);
        }
        let Beat {
            incarnation,
            sequence,
            sent,
            acknowledged,
            witnessed,
            applied,
            lease,
            probe,
            heard: _,
            withheld: _,
        } = beat;
        let own = (incarnation, sequence, sent, acknowledged, witnessed, applied, lease, probe);
        self.mix(at, node, &(way, own, self.lists.2));
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
