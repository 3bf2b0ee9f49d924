//! Actions: those that the engine and the world cannot carry out yet.

use super::super::model::{Act, Desired, GroupAct, Step};
use super::Missing;

pub(super) fn check(steps: &[Step]) -> Result<(), Missing> {
    steps.iter().flat_map(|step| &step.actions).try_for_each(check_act)
}

fn check_act(act: &Act) -> Result<(), Missing> {
    let what = match act {
        Act::Disarm(_) | Act::Arm => "cluster_disarm",
        Act::Group(GroupAct::MovedOutOfBand { .. }, _) => "groups that somebody else moves",
        Act::Group(GroupAct::SetDesired(Desired::Unmanaged), _) => "unmanaged groups",
        // No decision depends on a node's version, nor, with the placements there are, on a load.
        Act::Node(..) | Act::Group(..) | Act::Add(_) => return Ok(()),
    };
    Err(Missing::new(what))
}
