//! Drivers and the guests they run: start, write record after record, stop, save, hang, die.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::Event;
use quorate_core::action::ResourceVerb;
use quorate_core::event::Trouble;
use quorate_core::id::{Epoch, GroupId, LunId, NodeId, OpId, ResourceId, SaveToken};

use super::World;
use crate::chance;
use crate::checker::Fact;
use crate::guest::{Guest, Slot, Stage, Work};
use crate::options::Plant;
use crate::schedule::Happening;
use crate::spoken::words;
use crate::timeline::{Beginning, Ending, Kind};

impl World {
    /// An engine asks a driver for something. A kill overtakes everything.
    pub(super) fn ask_resource(
        &mut self,
        node: NodeId,
        op: OpId,
        resource: ResourceId,
        verb: ResourceVerb,
    ) {
        self.tell(|| format!("{node}: {resource} {}", words(&verb)));
        let slot = self.slot(node, resource);
        slot.queue.push_back((op, verb));
        if verb == ResourceVerb::Kill {
            let overtaken: Vec<OpId> = slot
                .work
                .take()
                .map(|work| work.op)
                .into_iter()
                .chain(slot.queue.drain(..).map(|(other, _)| other))
                .filter(|&other| other != op)
                .collect();
            slot.queue.push_back((op, verb));
            for other in overtaken {
                if self.random.chance(1, 2) {
                    self.answer_resource(node, other, resource, Err("killed".into()));
                }
            }
        }
        self.work(node, resource);
    }

    /// Begins the next request of a driver, if it has none under way.
    pub(super) fn work(&mut self, node: NodeId, resource: ResourceId) {
        // A driver begins nothing while its engine hangs.
        if !self.hosts[&node].is_awake() {
            return;
        }
        let serial = self.next_serial();
        let slot = self.slot(node, resource);
        if slot.work.is_some() {
            return;
        }
        let Some((op, verb)) = slot.queue.pop_front() else { return };
        if self.is_busy(resource, verb) {
            let delay = chance::micros(&mut self.random, 20, 1_000);
            let event = Box::new(Event::ResourceBusy { op, resource });
            let life = self.hosts[&node].lives;
            self.after(delay, Happening::Event(node, life, event));
            return self.work(node, resource);
        }
        if let ResourceVerb::Start { epoch } = verb
            && self.takes_as_found(node, resource, epoch)
        {
            self.answer_resource(node, op, resource, Ok(()));
            return self.work(node, resource);
        }
        let work = Work { op, verb, serial };
        self.slot(node, resource).work = Some(work);
        let refused = self.begin(node, resource, verb);
        if refused.is_none() && self.is_asked_outside(node, resource, verb) {
            return self.ask_host(node, resource, work);
        }
        let delay = self.pace(node, resource, verb, refused.is_some());
        match refused {
            Some(error) => self.end_work(node, resource, Err(error)),
            None => self.after(delay, Happening::GuestStage(node, resource, serial)),
        }
    }

    /// What a request does at once; an error if it cannot be done here.
    fn begin(&mut self, node: NodeId, resource: ResourceId, verb: ResourceVerb) -> Option<String> {
        match verb {
            ResourceVerb::Start { epoch } => self.begin_start(node, resource, epoch, None),
            ResourceVerb::Load { epoch, token } => {
                self.begin_start(node, resource, epoch, Some(token))
            }
            ResourceVerb::Run => match self.guest(node, resource) {
                Some(guest) if guest.stage == Stage::Loaded => None,
                Some(_) | None => Some("nothing is loaded".into()),
            },
            ResourceVerb::Save { .. } => match self.guest(node, resource) {
                Some(guest) if guest.stage == Stage::Running => {
                    guest.stage = Stage::Halted;
                    None
                }
                Some(_) | None => Some("nothing runs".into()),
            },
            ResourceVerb::Send { .. } => match self.guest(node, resource) {
                Some(guest) if guest.stage == Stage::Running => None,
                Some(_) | None => Some("nothing runs".into()),
            },
            ResourceVerb::Stop { .. } | ResourceVerb::Kill => None,
        }
    }

    fn begin_start(
        &mut self,
        node: NodeId,
        resource: ResourceId,
        mut epoch: Epoch,
        token: Option<SaveToken>,
    ) -> Option<String> {
        if self.is_planted(Plant::DriverStartsUnasked) && epoch.0 > 1 {
            epoch.0 += 1;
        }
        let (group, luns) = self.group_of(resource);
        self.fact(&Fact::Starts { node, group, epoch });
        if self.guest(node, resource).is_some() {
            return Some("it runs already".into());
        }
        let enforced: Vec<LunId> =
            luns.iter().copied().filter(|&lun| self.is_enforced(lun)).collect();
        let open = |lun: &LunId| self.storage.nexuses[&(node, *lun)].attached.is_some();
        if !enforced.iter().all(open) {
            return Some("its LUN is not attached here".into());
        }
        let records = match token {
            Some(token) if self.is_elsewhere(node, token) => {
                return Some(format!("the state {} is not here", token.0));
            }
            Some(token) => match self.storage.saves.get(&token) {
                Some(records) => records.clone(),
                None => return Some(format!("there is no state {}", token.0)),
            },
            None => luns.iter().map(|&lun| (lun, 0)).collect(),
        };
        let serial = self.next_serial();
        let slot = self.slot(node, resource);
        slot.guest = Some(Guest {
            serial,
            group,
            epoch,
            stage: if token.is_some() { Stage::Loaded } else { Stage::Starting },
            records,
            writing: BTreeSet::new(),
            next_writes: BTreeMap::new(),
            reading: BTreeSet::new(),
            token,
            hangs: std::mem::take(&mut slot.hanging),
            is_found: false,
        });
        if token.is_none() {
            self.guest_begins(node, resource);
        }
        None
    }

    /// How long a request takes.
    fn pace(
        &mut self,
        node: NodeId,
        resource: ResourceId,
        verb: ResourceVerb,
        refused: bool,
    ) -> std::time::Duration {
        let stop_time = self.config.timing().stop_time;
        let detect = self.config.timing().detect;
        if refused || self.guest(node, resource).is_none() {
            return chance::micros(&mut self.random, 20, 500);
        }
        match verb {
            ResourceVerb::Kill => chance::percent_of(&mut self.random, stop_time, 1, 40),
            ResourceVerb::Run => chance::millis(&mut self.random, 1, 10),
            ResourceVerb::Start { .. }
            | ResourceVerb::Load { .. }
            | ResourceVerb::Save { .. }
            | ResourceVerb::Send { .. }
            | ResourceVerb::Stop { .. } => {
                // Now and then longer than anybody waits.
                let late = self.hosts[&node].manners.late > 0;
                let most = match (late, self.random.chance(1, 4)) {
                    (true, true) => 500,
                    (true, false) => 150,
                    (false, _) => 25,
                };
                chance::percent_of(&mut self.random, detect, 1, most)
            }
        }
    }

    /// A driver has got on with its work.
    pub(super) fn guest_stage(&mut self, node: NodeId, resource: ResourceId, serial: u64) {
        let slot = self.slot(node, resource);
        let Some(work) = slot.work.filter(|work| work.serial == serial) else { return };
        match work.verb {
            ResourceVerb::Start { .. } => self.started(node, resource),
            ResourceVerb::Load { .. } => self.loaded(node, resource),
            ResourceVerb::Run => self.resumes(node, resource),
            ResourceVerb::Save { token } => self.saves(node, resource, token, serial),
            ResourceVerb::Send { token, to } => self.sends(node, resource, (token, to), serial),
            ResourceVerb::Stop { .. } => self.stops(node, resource, serial),
            ResourceVerb::Kill if slot.failing_kills > 0 => {
                slot.failing_kills -= 1;
                slot.unkilled = true;
                self.stats.failed_kills += 1;
                self.arm_watchdog(node);
                self.end_work(node, resource, Err("it cannot be killed".into()));
            }
            ResourceVerb::Kill if self.is_stuck(node, resource) => {
                self.end_work(node, resource, Err("it does not end".into()));
            }
            ResourceVerb::Kill => {
                if !self.is_planted(Plant::KillLeavesRunning) {
                    self.end_guest(node, resource, Ending::Stopped);
                }
                self.end_work(node, resource, Ok(()));
            }
        }
    }

    fn started(&mut self, node: NodeId, resource: ResourceId) {
        if self.start_fails(node, resource) {
            self.end_guest(node, resource, Ending::Died);
            self.start_failed(node, resource, "it does not start");
            self.end_work(node, resource, Err("it does not start".into()));
            return;
        }
        let Some(guest) = self.guest(node, resource) else {
            self.end_work(node, resource, Err("it died".into()));
            return;
        };
        guest.stage = Stage::Reading;
        guest.reading = guest.records.keys().copied().collect();
        let serial = guest.serial;
        let luns: Vec<LunId> = guest.records.keys().copied().collect();
        for lun in luns {
            let life = self.hosts[&node].lives;
            let body = crate::storage::Body::Read { resource, guest: serial };
            self.guest_io(node, life, lun, body);
        }
        self.guest_is_ready(node, resource);
    }

    /// A LUN has told a guest its newest record.
    pub(super) fn guest_read(
        &mut self,
        node: NodeId,
        lun: LunId,
        resource: ResourceId,
        serial: u64,
    ) {
        let newest = self.storage.lun(lun).counter;
        let Some(guest) = self.guest(node, resource).filter(|guest| guest.serial == serial) else {
            return;
        };
        guest.records.insert(lun, newest);
        guest.reading.remove(&lun);
        self.guest_is_ready(node, resource);
    }

    fn guest_is_ready(&mut self, node: NodeId, resource: ResourceId) {
        let ready = |guest: &&mut Guest| guest.stage == Stage::Reading && guest.reading.is_empty();
        if self.guest(node, resource).filter(ready).is_some() {
            self.guest_runs(node, resource);
            self.mark_begin(node, resource, Beginning::Fresh);
            self.end_start(node, resource, Ok(()));
        }
    }

    /// Answers a start, unless something has overtaken it.
    fn end_start(&mut self, node: NodeId, resource: ResourceId, result: Result<(), String>) {
        let work = self.slot(node, resource).work;
        if work.is_some_and(|work| matches!(work.verb, ResourceVerb::Start { .. })) {
            self.end_work(node, resource, result);
        }
    }

    fn loaded(&mut self, node: NodeId, resource: ResourceId) {
        let result = if self.start_fails(node, resource) {
            self.slot(node, resource).guest = None;
            self.start_failed(node, resource, "it cannot be loaded");
            Err("it cannot be loaded".into())
        } else if self.guest(node, resource).is_some() {
            Ok(())
        } else {
            Err("it died".into())
        };
        self.end_work(node, resource, result);
    }

    fn resumes(&mut self, node: NodeId, resource: ResourceId) {
        let Some(guest) = self.guest(node, resource) else {
            self.end_work(node, resource, Err("it died".into()));
            return;
        };
        let (token, records) = (guest.token, guest.records.clone());
        if let Some(token) = token {
            self.stats.resumes += 1;
            self.fact(&Fact::Resumed { node, token, records: &records });
        }
        self.guest_runs(node, resource);
        let beginning = match token {
            Some(token) if self.was_sent(token) => Beginning::MovedLive,
            Some(_) => Beginning::Resumed,
            None => Beginning::Fresh,
        };
        self.mark_begin(node, resource, beginning);
        self.guest_begins(node, resource);
        self.end_work(node, resource, Ok(()));
    }

    fn saves(&mut self, node: NodeId, resource: ResourceId, token: SaveToken, serial: u64) {
        let Some(guest) = self.guest(node, resource) else {
            self.end_work(node, resource, Err("it died".into()));
            return;
        };
        if !guest.writing.is_empty() {
            self.stage_again(node, resource, serial);
            return;
        }
        let mut records = guest.records.clone();
        if self.is_planted(Plant::StaleSave) {
            records.values_mut().for_each(|record| *record = record.saturating_sub(1));
        }
        self.storage.saves.insert(token, records);
        self.end_guest(node, resource, Ending::Saved);
        self.end_work(node, resource, Ok(()));
    }

    fn stops(&mut self, node: NodeId, resource: ResourceId, serial: u64) {
        if self.is_stuck(node, resource) {
            return self.end_work(node, resource, Err("it does not stop".into()));
        }
        if let Some(guest) = self.guest(node, resource) {
            if guest.hangs {
                // Until it is killed.
                let group = guest.group;
                self.mark_group(Kind::GroupStopFailed, group, node, "it hangs");
                return;
            }
            guest.stage = Stage::Halted;
            if !guest.writing.is_empty() {
                self.stage_again(node, resource, serial);
                return;
            }
        }
        self.end_guest(node, resource, Ending::Stopped);
        self.end_work(node, resource, Ok(()));
    }

    pub(super) fn stage_again(&mut self, node: NodeId, resource: ResourceId, serial: u64) {
        let delay = chance::millis(&mut self.random, 1, 10);
        self.after(delay, Happening::GuestStage(node, resource, serial));
    }

    /// A guest dies by itself.
    pub(super) fn guest_dies(&mut self, node: NodeId, resource: ResourceId) {
        let Some(guest) = self.guest(node, resource) else { return };
        let epoch = guest.epoch;
        self.end_guest(node, resource, Ending::Died);
        self.report_trouble(node, resource, epoch, Trouble::Exited);
    }

    /// A guest runs on and says nothing more.
    pub(super) fn guest_falls_silent(&mut self, node: NodeId, resource: ResourceId) {
        if let Some(epoch) = self.guest(node, resource).map(|guest| guest.epoch) {
            self.report_trouble(node, resource, epoch, Trouble::HeartbeatLost);
        }
    }

    /// A guest whose I/O has failed stands still for good: `werror=stop`.
    pub(super) fn guest_stands(&mut self, node: NodeId, resource: ResourceId, serial: u64) {
        if let Some(guest) = self.guest(node, resource).filter(|guest| guest.serial == serial) {
            guest.stage = Stage::Failed;
            guest.writing.clear();
        }
    }

    /// Every guest on this LUN has lost it.
    pub(super) fn guests_lose_lun(&mut self, node: NodeId, lun: LunId, trouble: Trouble) {
        let uses = |slot: &Slot| {
            slot.guest.as_ref().filter(|guest| guest.records.contains_key(&lun)).is_some()
        };
        let slots = &self.hosts[&node].slots;
        let losers: Vec<ResourceId> =
            slots.iter().filter(|(_, slot)| uses(slot)).map(|(&id, _)| id).collect();
        for resource in losers {
            let Some(guest) = self.guest(node, resource) else { continue };
            let (serial, epoch, reads) = (guest.serial, guest.epoch, guest.stage == Stage::Reading);
            self.guest_stands(node, resource, serial);
            if reads {
                self.end_guest(node, resource, Ending::Died);
                self.end_start(node, resource, Err("its LUN is lost".into()));
            } else if self.random.chance(1, 2) {
                self.report_trouble(node, resource, epoch, trouble);
            }
        }
    }

    /// Ends every guest of a host at once.
    pub(super) fn end_all_guests(&mut self, node: NodeId) {
        let resources: Vec<ResourceId> = self.hosts[&node].slots.keys().copied().collect();
        for resource in resources {
            self.end_guest(node, resource, Ending::Killed);
        }
    }

    pub(super) fn start_failed(&mut self, node: NodeId, resource: ResourceId, why: &str) {
        let (group, _) = self.group_of(resource);
        self.mark_group(Kind::GroupStartFailed, group, node, why);
        self.mark_member(Kind::MemberStartFailed, node, resource);
    }

    pub(super) fn end_guest(&mut self, node: NodeId, resource: ResourceId, ending: Ending) {
        self.slot(node, resource).unkilled = false;
        let Some(guest) = self.slot(node, resource).guest.take() else { return };
        // What it had under way to a shared file ends with it; a session to an enforced LUN carries it on.
        let luns: Vec<LunId> = guest.records.keys().copied().collect();
        for lun in luns.into_iter().filter(|&lun| !self.is_enforced(lun)).collect::<Vec<_>>() {
            self.storage
                .nexus(node, lun)
                .drop_commands(|command| command.body.is_of_guest(guest.serial));
        }
        if guest.runs() {
            self.stats.guests_ended += 1;
            self.tell(|| {
                format!("{node}: {resource} has ended; records: {}", words(&guest.records))
            });
            self.mark_end(node, resource, ending);
            self.fact(&Fact::Ended { node, resource });
        }
    }

    fn guest_begins(&mut self, node: NodeId, resource: ResourceId) {
        let (group, luns) = self.group_of(resource);
        let epoch = self.guest(node, resource).map(|guest| guest.epoch).unwrap_or_default();
        luns.into_iter().for_each(|lun| self.waivers.started(lun, epoch));
        self.stats.guests_begun += 1;
        self.tell(|| format!("{node}: {resource} runs"));
        self.fact(&Fact::Began { node, group, resource });
    }

    fn report_trouble(
        &mut self,
        node: NodeId,
        resource: ResourceId,
        epoch: Epoch,
        trouble: Trouble,
    ) {
        let delay = chance::micros(&mut self.random, 50, 5_000);
        let life = self.hosts[&node].lives;
        let detail = String::new();
        let event = Event::ResourceFailed { resource, epoch, trouble, detail };
        self.after(delay, Happening::Event(node, life, Box::new(event)));
    }

    pub(super) fn end_work(
        &mut self,
        node: NodeId,
        resource: ResourceId,
        result: Result<(), String>,
    ) {
        if let Some(work) = self.slot(node, resource).work.take() {
            self.answer_resource(node, work.op, resource, result);
        }
        self.work(node, resource);
    }

    fn answer_resource(
        &mut self,
        node: NodeId,
        op: OpId,
        resource: ResourceId,
        result: Result<(), String>,
    ) {
        let manners = self.hosts[&node].manners;
        if manners.never > 0 && self.random.chance(1, 2) {
            self.stats.lost_answers += 1;
            self.unrest.on_lost_answer(node, &self.config, self.now);
            return;
        }
        let life = self.hosts[&node].lives;
        let event = Box::new(Event::Resource { op, resource, result });
        if manners.twice > 0 {
            let delay = chance::micros(&mut self.random, 20, 500_000);
            self.after(delay, Happening::Event(node, life, event.clone()));
        }
        let delay = chance::micros(&mut self.random, 20, 1_000);
        self.after(delay, Happening::Event(node, life, event));
    }

    /// The group of a resource, and the LUNs on which the resource writes: its group's first writes on all.
    pub(super) fn group_of(&self, resource: ResourceId) -> (GroupId, Vec<LunId>) {
        let (group, _) =
            self.known_resource(resource).expect("engines ask for resources that exist");
        let writes = group.resources[0].id == resource;
        (group.id, if writes { group.luns.clone() } else { Vec::new() })
    }

    pub(super) fn slot(&mut self, node: NodeId, resource: ResourceId) -> &mut Slot {
        self.host(node).slots.entry(resource).or_default()
    }

    pub(super) fn guest(&mut self, node: NodeId, resource: ResourceId) -> Option<&mut Guest> {
        self.slot(node, resource).guest.as_mut()
    }
}
