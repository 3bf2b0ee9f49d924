//! What runs here though another node has it: somebody has started it by hand. The cluster hears of it, and what is
//! not to stay is ended.

use super::Engine;
use crate::change::{Change, GroupReport};
use crate::database::Vacancy;
use crate::group::{Entitlement, LocalGroup};
use crate::id::{GroupId, ResourceId};
use crate::timer::Timer;

impl Engine {
    pub(super) fn on_resource_found(&mut self, resource: ResourceId) {
        let Some(id) = self.config.resource(resource).map(|(group, _)| group.id) else { return };
        let Some(record) = self.database.as_ref().and_then(|database| database.group(id)) else {
            return;
        };
        let me = (self.me, self.incarnation);
        self.touched.insert(id);
        let is_known = record.strays.contains_key(&self.me);
        if record.owner() != Some(me) && !self.groups.contains_key(&id) && !is_known {
            self.say_of_stray(id, GroupReport::Stray);
        }
    }

    /// What is to end here, though it was never asked for; none: nothing.
    pub(super) fn stray_to_end(&self, id: GroupId) -> Option<LocalGroup> {
        let database = self.database.as_ref()?;
        let (record, config) = (database.group(id)?, database.config().group(id)?);
        let here = record.strays.get(&self.me) == Some(&self.incarnation);
        // What is to be left alone is, until somebody wants the group looked after again.
        if !here || !record.is_managed() || database.disarmed().is_some() {
            return None;
        }
        let mut group = LocalGroup::inherited(
            config,
            Entitlement {
                cluster: database.config().id(),
                node: self.me,
                incarnation: self.incarnation,
                epoch: record.epoch,
                vacancy: Vacancy::NeverOwned,
                enforced: database.config().is_enforced(config),
            },
            |lun| database.config().is_part(lun),
        );
        group.abandon();
        Some(group)
    }

    /// Nothing of a group runs here: if the cluster believes otherwise, it hears so.
    pub(super) fn say_stray_ended(&mut self, id: GroupId) -> bool {
        let record = self.database.as_ref().and_then(|database| database.group(id));
        let here = record.is_some_and(|one| one.strays.get(&self.me) == Some(&self.incarnation));
        if here {
            self.say_of_stray(id, GroupReport::StrayEnded);
        }
        here
    }

    fn say_of_stray(&mut self, group: GroupId, report: GroupReport) {
        let record = self.database.as_ref().and_then(|database| database.group(group));
        let epoch = record.map(|record| record.epoch).unwrap_or_default();
        let coordinator = self.consensus.as_ref().and_then(|one| one.coordinator());
        let (node, incarnation) = (self.me, self.incarnation);
        self.timers.set_sooner(Timer::Repeat, self.now + self.timing().interval * 4);
        if let Some(to) = coordinator {
            let change = Change::Report { group, epoch, node, incarnation, report };
            self.hand_in(to.node(), vec![change]);
        }
    }
}
