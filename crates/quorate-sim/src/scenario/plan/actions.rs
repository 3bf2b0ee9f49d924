//! Actions: those that the engine and the world cannot carry out yet.

use super::super::model::{Act, GroupAct, Step};
use super::Missing;

pub(super) fn check(steps: &[Step]) -> Result<(), Missing> {
    steps.iter().flat_map(|step| &step.actions).try_for_each(check_act)
}

fn check_act(act: &Act) -> Result<(), Missing> {
    let what = match act {
        Act::Group(GroupAct::MovedOutOfBand { .. }, _) => "groups that somebody else moves",
        // No decision depends on a node's version.
        Act::Node(..) | Act::Group(..) | Act::Add(_) | Act::Disarm(_) | Act::Arm => return Ok(()),
    };
    Err(Missing::new(what))
}
