//! Who is where while groups are being placed.

use std::collections::BTreeMap;

use super::board::{Board, Load};
use super::{Candidate, Now};
use crate::config::ClusterConfig;
use crate::id::NodeId;

/// How far a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    Not,
    /// Those on which it depends are being placed.
    Begun,
    /// There, by the place of the node; or nowhere.
    Done(Option<usize>),
}

/// The nodes, the groups, and where those are and go.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) board: Board,
    pub(super) now: Vec<Now>,
    pub(super) loads: Vec<Load>,
    pub(super) placed: Vec<Placed>,
}

impl Table {
    /// Nothing is placed yet.
    pub(super) fn new(
        config: &ClusterConfig,
        nodes: &BTreeMap<NodeId, Candidate>,
        now: Vec<Now>,
    ) -> Self {
        let loads = now.iter().enumerate().map(|(group, now)| Load::of(config, group, now));
        let mut table = Self {
            board: Board::new(config, nodes),
            loads: loads.collect(),
            placed: vec![Placed::Not; now.len()],
            now,
        };
        for group in 0..table.now.len() {
            if let Some(at) = table.is_at(group) {
                table.board.enter_first(at, &table.loads[group]);
            }
        }
        table.board.sort();
        table
    }

    /// The place of the node that runs it.
    pub(super) fn is_at(&self, group: usize) -> Option<usize> {
        let now = &self.now[group];
        let at = now.at.filter(|_| now.runs)?;
        self.board.place_of(at)
    }

    /// Where it goes; none: nowhere, or it is not placed yet.
    pub(super) fn goes_to(&self, group: usize) -> Option<usize> {
        match self.placed[group] {
            Placed::Done(at) => at,
            Placed::Not | Placed::Begun => None,
        }
    }

    pub(super) fn finish(&mut self, group: usize, at: Option<usize>) {
        let (before, load) = (self.is_at(group), &self.loads[group]);
        if before != at {
            before.into_iter().for_each(|before| self.board.quit(before, load));
            at.into_iter().for_each(|at| self.board.enter(at, load));
        }
        at.into_iter().for_each(|at| self.board.settle(at, load));
        self.placed[group] = Placed::Done(at);
    }

    /// It runs nowhere after all.
    pub(super) fn withdraw(&mut self, group: usize) {
        if let Some(at) = self.goes_to(group) {
            self.board.quit(at, &self.loads[group]);
            self.board.unsettle(at, &self.loads[group]);
            self.placed[group] = Placed::Done(None);
        }
    }

    /// It is as if it had not been placed.
    pub(super) fn take_back(&mut self, group: usize) {
        let Placed::Done(at) = self.placed[group] else { return };
        let (before, load) = (self.is_at(group), &self.loads[group]);
        at.into_iter().for_each(|at| self.board.unsettle(at, load));
        if before != at {
            at.into_iter().for_each(|at| self.board.quit(at, load));
            before.into_iter().for_each(|before| self.board.enter(before, load));
        }
        self.placed[group] = Placed::Not;
    }

    /// A group that is not placed is another way than before.
    pub(super) fn set(&mut self, config: &ClusterConfig, group: usize, now: Now) {
        if let Some(at) = self.is_at(group) {
            self.board.quit(at, &self.loads[group]);
        }
        self.loads[group] = Load::of(config, group, &now);
        self.now[group] = now;
        if let Some(at) = self.is_at(group) {
            self.board.enter(at, &self.loads[group]);
        }
    }
}
