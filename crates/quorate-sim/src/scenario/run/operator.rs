//! Whoever gives commands in a story: one after the other, and again while nobody can take them.

use std::collections::VecDeque;
use std::time::Duration;

use quorate_core::id::{NodeId, RequestId};
use quorate_core::message::{Command, Refusal};

use super::Stage;
use crate::clock::Moment;

/// After this the same command is given again.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is still to be said.
#[derive(Debug, Default)]
pub(super) struct Operator {
    wishes: VecDeque<Command>,
    asked: Option<(RequestId, Moment)>,
}

impl Stage<'_> {
    /// Wants something of the cluster.
    pub(super) fn wish(&mut self, command: Command) {
        self.operator.wishes.push_back(command);
    }

    /// Wants something before all that has not been asked for yet.
    pub(super) fn wish_first(&mut self, command: Command) {
        let asked = usize::from(self.operator.asked.is_some());
        self.operator.wishes.insert(asked, command);
    }

    /// Moves that have not been asked for yet are not asked for.
    pub(super) fn drop_moves(&mut self) {
        let asked = usize::from(self.operator.asked.is_some());
        let mut place = 0;
        self.operator.wishes.retain(|wish| {
            place += 1;
            place <= asked || !matches!(wish, Command::Move { .. })
        });
    }

    /// Whether something is still to be said, and there is somebody to hear it.
    pub(super) fn is_asking(&self) -> bool {
        !self.operator.wishes.is_empty() && self.somebody().is_some()
    }

    /// Says what is next, once the one before has been answered. A refusal is an answer.
    pub(super) fn press(&mut self) {
        if let Some((request, until)) = self.operator.asked {
            match self.world.answer(request) {
                Some(Err(Refusal::NoQuorum)) => self.operator.asked = None,
                Some(Ok(()) | Err(Refusal::NotPossible(_) | Refusal::Unknown { .. })) => {
                    self.operator.asked = None;
                    self.operator.wishes.pop_front();
                }
                None if self.world.now() >= until => self.operator.asked = None,
                None => return,
            }
        }
        let Some(command) = self.operator.wishes.front().cloned() else { return };
        let Some(node) = self.somebody() else { return };
        let until = self.world.now() + PATIENCE;
        self.operator.asked =
            self.world.give_command(node, command).map(|request| (request, until));
    }

    /// A node that could carry a command on.
    pub(super) fn somebody(&self) -> Option<NodeId> {
        self.world.hosts().find(|host| self.may_act(host)).map(|host| host.id)
    }
}
