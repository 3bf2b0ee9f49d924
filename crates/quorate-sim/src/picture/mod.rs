//! A run as one HTML page: lanes for the cluster, its nodes, groups and LUNs, and below them every fact as a table.
//!
//! The page needs nothing but itself: no network, no file beside it. Names in it are somebody else's words: all of
//! them are escaped, and the page's policy lets no script run but its own. A huge run is drawn more coarsely, and the
//! page says so; it never grows beyond a few megabytes.
//!
//! *Architecture Invariant*: a pure function of what it is given; it judges nothing and leaves out nothing silently.

mod coarse;
mod lanes;
mod page;
mod table;
mod words;

#[cfg(test)]
mod tests;

use quorate_core::config::ClusterConfig;

use crate::clock::Moment;
use crate::timeline::Entry;

/// What a picture is made of.
#[derive(Clone, Debug, Default)]
pub struct Picture<'a> {
    /// The heading.
    pub title: String,
    /// What else stands at the top: the seed, the verdict, the command that repeats it.
    pub remarks: Vec<String>,
    /// Who and what has a lane, in this order.
    pub cast: Cast,
    /// What happened, in order.
    pub entries: &'a [Entry],
    /// The end of the run, where it is later than the last entry.
    pub until: Moment,
}

/// The names of all that has a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cast {
    /// The nodes.
    pub nodes: Vec<String>,
    /// The groups.
    pub groups: Vec<String>,
    /// The LUNs.
    pub luns: Vec<String>,
}

impl Cast {
    /// All that a configuration names.
    pub fn of(config: &ClusterConfig) -> Self {
        Self {
            nodes: config.nodes().iter().map(|node| node.name.clone()).collect(),
            groups: config.groups().iter().map(|group| group.name.clone()).collect(),
            luns: config.luns().iter().map(|lun| lun.name.clone()).collect(),
        }
    }
}

impl Picture<'_> {
    /// The page.
    pub fn html(&self) -> String {
        page::write(self, &coarse::bound(lanes::draw(self)))
    }
}

/// What an entry says, in a sentence for people, without its time.
pub fn sentence(entry: &Entry) -> String {
    words::sentence(entry)
}
