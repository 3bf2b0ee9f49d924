//! Collects what one step gives out.

use crate::action::Action;
use crate::id::OpId;
use crate::notice::Notice;

/// Actions and notices of one step, and the counter of requests.
#[derive(Debug, Default)]
pub struct Output {
    actions: Vec<Action>,
    notices: Vec<Notice>,
    ops: u64,
}

impl Output {
    /// So many actions will come at once.
    pub fn expect(&mut self, actions: usize) {
        self.actions.reserve(actions);
    }

    /// Asks the driver for something.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Tells the host something.
    pub fn tell(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// A request number that was never given before.
    pub fn op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }

    /// How many actions and notices wait to be taken.
    #[cfg(test)]
    pub fn counts(&self) -> (usize, usize) {
        (self.actions.len(), self.notices.len())
    }

    /// Takes back what was asked last. For a mistake on purpose.
    pub(crate) fn take_back(&mut self) {
        self.actions.pop();
    }

    /// Takes the actions.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Takes the notices.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}
