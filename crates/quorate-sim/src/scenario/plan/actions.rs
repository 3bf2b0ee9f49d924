//! Actions: those that the engine and the world cannot carry out yet.

use super::super::model::{Act, GroupAct, NodeAct, Step};
use super::Missing;

pub(super) fn check(steps: &[Step]) -> Result<(), Missing> {
    steps.iter().flat_map(|step| &step.actions).try_for_each(check_act)
}

fn check_act(act: &Act) -> Result<(), Missing> {
    let what = match act {
        Act::Node(NodeAct::ManagerStop | NodeAct::ManagerStart, _) => {
            "nodes that may not coordinate (manager_stop)"
        }
        Act::Node(NodeAct::ConfigStoreFault, _) => "config_store_fault",
        Act::Node(NodeAct::PauseRounds, _) => "pause_rounds",
        Act::Group(GroupAct::Lock | GroupAct::Unlock, _) => "locked groups",
        Act::Group(GroupAct::MovedOutOfBand { .. }, _) => "groups that somebody else moves",
        // No decision depends on a node's version.
        Act::Node(..) | Act::Group(..) | Act::Add(_) | Act::Disarm(_) | Act::Arm => return Ok(()),
    };
    Err(Missing::new(what))
}
