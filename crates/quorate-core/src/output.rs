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

    /// Takes what has been collected.
    pub fn take(&mut self) -> (Vec<Action>, Vec<Notice>) {
        (std::mem::take(&mut self.actions), std::mem::take(&mut self.notices))
    }
}
