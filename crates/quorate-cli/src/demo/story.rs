//! The acts of the demo, also played by the end-to-end tests.

use std::time::Duration;

use serde_json::Value;

use super::measure::{Kind, Move, Scene};
use crate::control::Request;
use crate::lab::{Lab, LabError, Moment, PATIENCE, Wire};

/// How many ticks show that a guest goes on.
const GOES_ON: usize = 5;
/// Ticks from this long before an act belong to its scene: the outage begins with the last of them.
const BEFORE: Duration = Duration::from_secs(2);

/// A lab with a guest that ticks, and what happened to it.
#[derive(Debug)]
pub struct Story {
    lab: Lab,
    owner: usize,
    moves: Vec<Move>,
}

impl Story {
    /// Starts all nodes of the lab and waits until the guest goes on and every node takes part.
    ///
    /// # Errors
    /// [`LabError::TooLate`] when that does not come about.
    pub fn begin(mut lab: Lab) -> Result<Self, LabError> {
        let owner = lab.start_all()?;
        let mut story = Self { lab, owner, moves: Vec::new() };
        story.settle()?;
        Ok(story)
    }

    /// The lab.
    pub fn lab(&mut self) -> &mut Lab {
        &mut self.lab
    }

    /// Where the guest runs.
    #[must_use]
    pub fn owner(&self) -> usize {
        self.owner
    }

    /// The moves so far.
    #[must_use]
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// The lab, and the moves.
    #[must_use]
    pub fn end(self) -> (Lab, Vec<Move>) {
        (self.lab, self.moves)
    }

    /// A planned move to the next node.
    ///
    /// # Errors
    /// When it is refused or does not come about.
    pub fn planned_move(&mut self) -> Result<&Move, LabError> {
        let to = (self.owner + 1) % self.lab.nodes();
        let mark = self.lab.watch().mark();
        let at = self.lab.move_to(to)?;
        self.wait_for_successor(mark, at)?;
        self.finish(Kind::Quick, at)
    }

    /// Everything on the owner's host is killed at once. The node stays dead: see
    /// [`Story::rejoin`].
    ///
    /// # Errors
    /// When nobody takes over.
    pub fn kill_owner(&mut self) -> Result<&Move, LabError> {
        let mark = self.lab.watch().mark();
        let at = self.lab.kill_node(self.owner)?;
        self.wait_for_successor(mark, at)?;
        self.finish(Kind::Kill, at)
    }

    /// The owner's heartbeats are cut; its storage and its guest live. The cut stays: see
    /// [`Story::heal`].
    ///
    /// # Errors
    /// When nobody takes over, or the old guest lives on.
    pub fn isolate_owner(&mut self) -> Result<&Move, LabError> {
        let (mark, from) = (self.lab.watch().mark(), self.owner);
        let at = self.lab.cut(from, Wire::Heartbeat)?;
        self.wait_for_successor(mark, at)?;
        self.wait_for_kill(mark, from)?;
        self.finish(Kind::Isolate, at)
    }

    /// Starts a dead node again and waits until every node takes part.
    ///
    /// # Errors
    /// When it does not.
    pub fn rejoin(&mut self, node: usize) -> Result<(), LabError> {
        self.lab.start_node(node)?;
        self.settle()
    }

    /// Heals the cut of a node's heartbeats and waits until every node takes part.
    ///
    /// # Errors
    /// When it does not.
    pub fn heal(&mut self, node: usize) -> Result<(), LabError> {
        self.lab.heal(node, Wire::Heartbeat)?;
        self.settle()
    }

    /// Waits until the guest ticks on another node than the owner.
    ///
    /// # Errors
    /// [`LabError::TooLate`] when it does not.
    pub fn wait_for_successor(&mut self, mark: usize, at: Moment) -> Result<usize, LabError> {
        let from = self.owner;
        self.lab.watch().until("the guest's tick on another node", mark, PATIENCE, |seen| {
            let mut ticks = seen.iter().filter(|it| it.tick().is_some() && it.at > at);
            ticks.find(|tick| tick.node != from).map(|tick| tick.node)
        })
    }

    /// Takes the node of the newest tick for the owner.
    pub fn take_note_of_successor(&mut self) {
        let ticks = self.lab.sightings().iter().rev().find(|it| it.tick().is_some());
        self.owner = ticks.map_or(self.owner, |tick| tick.node);
    }

    /// Waits until a node has killed its guest.
    ///
    /// # Errors
    /// [`LabError::TooLate`] when it does not.
    pub fn wait_for_kill(&mut self, mark: usize, node: usize) -> Result<(), LabError> {
        self.lab.watch().until("the end of the old guest", mark, PATIENCE, |seen| {
            let mine = seen.iter().filter(|it| it.node == node).filter_map(|it| it.notice());
            let mut kills = mine.filter(|notice| notice.is("completed", &[("verb", "kill")]));
            kills.next().map(drop)
        })
    }

    /// Waits until every node takes part, and the guest goes on.
    ///
    /// # Errors
    /// [`LabError::TooLate`] when that does not come about.
    pub fn settle(&mut self) -> Result<(), LabError> {
        let end = Moment::now() + PATIENCE;
        loop {
            let unsettled = self.unsettled();
            let Some(said) = unsettled else { break };
            if Moment::now() > end {
                let what = "a cluster in which every node takes part".into();
                return Err(LabError::TooLate {
                    what,
                    waited: PATIENCE,
                    said: format!(": {said}"),
                });
            }
            self.lab.watch().linger(Duration::from_millis(20))?;
        }
        self.wait_for_ticks()
    }

    /// Waits until the guest has ticked a few times more on its owner.
    ///
    /// # Errors
    /// [`LabError::TooLate`] when it does not.
    pub fn wait_for_ticks(&mut self) -> Result<(), LabError> {
        let (mark, owner) = (self.lab.watch().mark(), self.owner);
        self.lab.watch().until("further ticks of the guest", mark, PATIENCE, |seen| {
            let ticks = seen.iter().filter(|it| it.tick().is_some() && it.node == owner).count();
            (ticks >= GOES_ON).then_some(())
        })
    }

    /// What keeps the cluster from being whole; none: it is.
    fn unsettled(&self) -> Option<String> {
        for node in 0..self.lab.nodes() {
            let status = match self.lab.ask(node, &Request::Status) {
                Ok(status) => status,
                Err(error) => return Some(error.to_string()),
            };
            let name = self.lab.name(node);
            if status["member"] != true || status["lease_left_ms"].is_null() {
                return Some(format!("{name} may not act"));
            }
            let list = |key: &str| status[key].as_array().cloned().unwrap_or_default();
            let state = |it: &Value| it["state"].as_str().unwrap_or_default().to_owned();
            if let Some(other) = list("nodes").iter().find(|other| state(other) != "up") {
                return Some(format!("{name} holds {} for {}", other["name"], state(other)));
            }
            if let Some(group) = list("groups").iter().find(|group| state(group) != "online") {
                return Some(format!("{name} holds {} for {}", group["name"], state(group)));
            }
        }
        None
    }

    /// Measures the move that just came about, once all its notices are in.
    fn finish(&mut self, kind: Kind, at: Moment) -> Result<&Move, LabError> {
        let from = self.owner;
        let names: Vec<String> =
            (0..self.lab.nodes()).map(|node| self.lab.name(node).to_owned()).collect();
        let mark = self.lab.sightings().iter().position(|it| it.at + BEFORE > at).unwrap_or(0);
        let (found, owner) =
            self.lab.watch().until("every notice of the move", mark, PATIENCE, |seen| {
                let scene = Scene { seen, names: &names, from, at };
                let found = match kind {
                    Kind::Quick => scene.planned()?,
                    Kind::Kill | Kind::Isolate => scene.failover(kind)?,
                };
                Some((found, scene.new_owner()?))
            })?;
        self.owner = owner;
        self.moves.push(found);
        self.wait_for_ticks()?;
        Ok(self.moves.last().expect("it was just pushed"))
    }
}
