//! After the faults: everything is mended, and the world looks whether all that should run runs.

use quorate_core::change::Failback;
use quorate_core::id::{NodeId, RequestId};
use quorate_core::message::{Command, Refusal};
use quorate_core::status::NodeStatus;

use super::World;
use crate::checker::Fact;
use crate::clock::Moment;
use crate::guest::Stage;
use crate::host::Host;
use crate::spoken::words;
use crate::timeline::Kind;

/// What an operator wants after the faults: said again until it is so.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish(Command);

impl World {
    /// The faults are over: every host is on, every process goes on.
    pub fn heal(&mut self) {
        self.tell(|| "HEALED".into());
        self.mark(Kind::Healed, String::new(), None, String::new());
        self.is_healed = true;
        self.links.end_all_noise();
        self.unlock_all();
        self.switch_off_departed();
        let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
        for &node in &nodes {
            if let Some(process) = &mut self.host(node).process {
                process.dies_next = false;
                let life = process.life;
                self.wakes(node, life);
            }
            self.restart(node);
        }
    }

    /// What an operator sees to be otherwise than wanted: commands given before may take effect late.
    fn wishes(&self) -> Vec<Wish> {
        let Some(status) = self.newest_status() else { return Vec::new() };
        let closed = self.closed_nodes().into_iter();
        let resumes =
            closed.map(|node| Wish(Command::Resume { node, failback: Failback::ByPolicy }));
        let unwanted = status.groups.iter().filter(|group| !group.online_wanted);
        let onlines = unwanted.map(|group| Wish(Command::Online { group: group.name.clone() }));
        let disarmed = self.newest_disarmed().then_some(Wish(Command::Arm));
        let rules = self.founders_wish().map(Wish);
        let added =
            self.missing_nodes().into_iter().map(|new| Wish(Command::AddNode(Box::new(new))));
        let others = rules.into_iter().chain(resumes).chain(onlines).chain(added);
        disarmed.into_iter().chain(others).collect()
    }

    /// Says what is wanted and not so, each to some node.
    pub fn press_wishes(&mut self) {
        let awake: Vec<NodeId> =
            self.hosts.values().filter(|host| host.is_awake()).map(|host| host.id).collect();
        for wish in self.wishes() {
            let Some(node) = crate::chance::pick(&mut self.random, &awake) else { return };
            self.command(node, wish.0);
        }
    }

    /// An engine has answered a command.
    pub(super) fn on_answer(
        &mut self,
        node: NodeId,
        request: RequestId,
        result: Result<(), Refusal>,
    ) {
        self.tell(|| format!("{node}: {request} is answered: {}", words(&result)));
        self.script.on_answer(request, &result);
        match &result {
            Ok(()) => self.stats.commands_accepted += 1,
            Err(_) => self.stats.commands_refused += 1,
        }
    }

    /// The first thing that is not as it should be in a healed cluster; none: it has converged.
    pub fn missing(&self) -> Option<String> {
        let is_in = |host: &&Host| self.config.node(host.id).is_some();
        if let Some(host) = self.hosts.values().filter(is_in).find(|host| !host.is_awake()) {
            return Some(format!("{} does not run", host.id));
        }
        let Some(status) = self.newest_status() else { return Some("nobody is a member".into()) };
        if let Some(missing) = self.missing_members() {
            return Some(missing);
        }
        let closed = |node: &&NodeStatus| node.paused || node.quarantine_left_ms.is_some();
        if let Some(node) = status.nodes.iter().find(|one| one.state != "up" || closed(one)) {
            return Some(format!("{} is {}, paused: {}", node.name, node.state, node.paused));
        }
        if let Some(group) = status.groups.iter().find(|group| group.state != "online") {
            return Some(format!("{} is {}", group.name, group.state));
        }
        self.config.groups().iter().find_map(|group| self.missing_of_group(group))
    }

    fn missing_of_group(&self, group: &quorate_core::config::GroupConfig) -> Option<String> {
        let mut places = Vec::new();
        for host in self.hosts.values() {
            let stages: Vec<Stage> = group
                .resources
                .iter()
                .filter_map(|resource| host.slots.get(&resource.id)?.guest.as_ref())
                .map(|guest| guest.stage)
                .collect();
            if !stages.is_empty() {
                places.push((host.id, stages));
            }
        }
        let online = |stages: &[Stage]| {
            stages.len() == group.resources.len() && stages.iter().all(|&s| s == Stage::Running)
        };
        match &places[..] {
            [(_, stages)] if online(stages) => None,
            [] => Some(format!("{} runs nowhere", group.name)),
            _ => Some(format!("{} is not online on one node: {}", group.name, words(&places))),
        }
    }

    /// Tells the checkers that the cluster has not converged in time.
    pub fn give_up(&mut self, missing: &str) {
        self.fact(&Fact::Unconverged { missing });
    }

    /// The end of the faults' time, when [`World::heal`] is due.
    pub fn faults_end(&self) -> Moment {
        self.faults.iter().map(|planned| planned.until).max().unwrap_or_default()
    }
}
