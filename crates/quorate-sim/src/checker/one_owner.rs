//! I2: a group runs on one node; on two only while all its LUNs refuse every one but the newest, or are out of its
//! reach.

use quorate_core::config::GroupConfig;
use quorate_core::id::{Epoch, LunId, NodeId};

use super::{Checker, Fact, View};
use crate::spoken::words;

pub(super) struct OneOwner;

impl Checker for OneOwner {
    fn name(&self) -> &'static str {
        "OneOwner"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Began { group, .. } => {
                view.config.group(group).map_or(Ok(()), |group| one_owner(view, group))
            }
            Fact::Access { lun } => view
                .config
                .groups()
                .iter()
                .filter(|group| group.luns.contains(&lun))
                .try_for_each(|group| one_owner(view, group)),
            Fact::Started { .. }
            | Fact::Told { .. }
            | Fact::Persists { .. }
            | Fact::Promises { .. }
            | Fact::Starts { .. }
            | Fact::Ended { .. }
            | Fact::Resumed { .. }
            | Fact::Wrote { .. }
            | Fact::Passed
            | Fact::Applied { .. }
            | Fact::Asked { .. }
            | Fact::Leaves { .. }
            | Fact::Unconverged { .. } => Ok(()),
        }
    }
}

fn one_owner(view: &View<'_>, group: &GroupConfig) -> Result<(), String> {
    let running: Vec<(Epoch, NodeId)> = view
        .hosts
        .values()
        .filter_map(|host| {
            let guests = host.slots.values().filter_map(|slot| slot.guest.as_ref());
            // What somebody has started by hand is his.
            let guests = guests.filter(|guest| !guest.is_found);
            let of_group = guests.filter(|guest| guest.group == group.id && guest.runs());
            of_group.map(|guest| (guest.epoch, host.id)).max()
        })
        .collect();
    if running.len() < 2 || !view.is_sound_for(group) {
        return Ok(());
    }
    let newest = running.iter().max().copied();
    for &(epoch, node) in running.iter().filter(|&&older| Some(older) != newest) {
        let open =
            |&lun: &LunId| view.is_reachable(node, lun) && view.storage.takes_writes_of(node, lun);
        let refused = !group.luns.iter().any(open);
        if !view.config.is_enforced(group) || !refused {
            return Err(format!(
                "{} runs on {}, and nothing refuses {node} in {epoch}",
                group.name,
                words(&running)
            ));
        }
    }
    Ok(())
}
