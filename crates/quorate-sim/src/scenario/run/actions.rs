//! What is done in a step: to the world at once, to the cluster through commands.

use quorate_core::change::{Disarm, Failback};
use quorate_core::id::NodeId;
use quorate_core::message::Command;

use super::super::model::{self, Act, Desired, Group, GroupAct, NodeAct, Placement};
use super::super::plan::amounts;
use super::Stage;
use super::departures::Then;
use crate::host::Pause;
use crate::world::Direction;

impl Stage<'_> {
    /// Carries out one action.
    pub(super) fn act(&mut self, act: &Act) {
        match act {
            Act::Node(act, node) => {
                // A fault without a node is one of whoever coordinates.
                let node = match node.is_empty() {
                    true => self.coordinator(),
                    false => Some(self.plan.names.id_of(node)),
                };
                node.into_iter().for_each(|node| self.act_on_node(*act, node));
            }
            Act::Group(act, group) => self.act_on_group(act, group),
            Act::Add(group) => self.add_group(group),
            Act::Disarm(mode) => {
                self.drop_moves();
                let mode = match mode {
                    model::Disarm::Freeze => Disarm::Freeze,
                    model::Disarm::Ignore => Disarm::Ignore,
                };
                // A drain that has not begun moves nothing either.
                self.wish_first(Command::Disarm { mode, ttl: None });
            }
            Act::Arm => self.wish(Command::Arm),
        }
    }

    fn act_on_node(&mut self, act: NodeAct, node: NodeId) {
        let runs = self.world.host_of(node).process.is_some();
        match act {
            NodeAct::PowerOn => {
                self.network_on(node);
                if !runs {
                    self.switch_on(node);
                }
            }
            NodeAct::PowerOff => {
                self.is_gone_already(node);
                self.world.power_off(node);
            }
            NodeAct::NetworkOn => self.network_on(node),
            NodeAct::NetworkOff => self.network_off(node),
            NodeAct::Shutdown => self.send_away(node, Then::Off),
            NodeAct::Reboot => self.send_away(node, Then::Back),
            NodeAct::MaintenanceOn if runs && !self.cut.contains(&node) => {
                self.maintained.insert(node);
                self.draining.insert(node);
                self.wish(Command::Drain { node: self.name_of(node) });
            }
            NodeAct::MaintenanceOff if self.maintained.remove(&node) => {
                self.draining.remove(&node);
                self.wish(Command::Resume { node: self.name_of(node), failback: Failback::Now });
            }
            NodeAct::AgentRestart if runs => self.world.replace_engine(node),
            NodeAct::ManagerStop | NodeAct::ManagerStart => {
                let may = act == NodeAct::ManagerStart;
                self.wish(Command::LetCoordinate { node: self.name_of(node), may });
            }
            // For shorter than anybody waits before he holds it against the node.
            NodeAct::PauseRounds => {
                let length = self.world.config().timing().lease / 2;
                self.world.stand_still(node, Pause::Engine, length);
            }
            NodeAct::ConfigStoreFault => {
                let length = self.world.config().timing().detect * 2;
                self.world.slow_disk(node, length);
            }
            // Refused, or without effect.
            NodeAct::MaintenanceOn
            | NodeAct::MaintenanceOff
            | NodeAct::AgentRestart
            | NodeAct::SetVersion => {}
        }
    }

    /// Who coordinates, by the word of whoever may act.
    fn coordinator(&self) -> Option<NodeId> {
        let host = self.world.hosts().find(|host| self.may_act(host))?;
        host.process.as_ref()?.engine.coordinator().0
    }

    fn network_off(&mut self, node: NodeId) {
        if self.cut.insert(node) {
            let links = self.world.links_of(node, Direction::Both, None);
            self.world.cut(&format!("{} loses its network", self.name_of(node)), links);
        }
    }

    /// What is between two nodes is there when both have their network.
    fn network_on(&mut self, node: NodeId) {
        if !self.cut.remove(&node) {
            return;
        }
        let all = self.plan.config.nodes().iter().map(|peer| peer.id);
        let peers: Vec<NodeId> =
            all.filter(|peer| *peer != node && !self.cut.contains(peer)).collect();
        let links = peers
            .into_iter()
            .flat_map(|peer| self.world.links_between(node, peer, Direction::Both, None))
            .collect::<Vec<_>>();
        self.world.mend(links);
    }

    fn act_on_group(&mut self, act: &GroupAct, name: &str) {
        let Some(planned) = self.plan.groups.iter().find(|one| one.name == name) else { return };
        let (group, id) = (planned.configured.clone(), planned.id);
        match act {
            GroupAct::SetDesired(desired) => self.desire(group, *desired),
            GroupAct::Stop { .. } => self.desire(group, Desired::Stopped),
            GroupAct::Move { target, live } => {
                let to = Some(self.name_of(self.plan.names.id_of(target)));
                self.wish(Command::Move { group, to, restart: !live });
            }
            GroupAct::Remove => {
                self.removed.insert(name.to_owned());
                // The guest stays as it is.
                self.wish(Command::Unmanage { group: group.clone() });
                self.wish(Command::RemoveGroup { group });
            }
            GroupAct::Lock => self.world.lock(id),
            GroupAct::Unlock => self.world.unlock(id),
            GroupAct::MovedOutOfBand { target } => {
                let to = self.plan.names.id_of(target);
                // What does not run is moved where it is written down.
                if !self.world.move_by_hand(id, to) {
                    let to = Some(self.name_of(to));
                    self.wish(Command::Move { group, to, restart: false });
                }
            }
            GroupAct::SetLoad { load_static, load_dynamic } => {
                let dynamic = self.scenario.cluster.placement == Placement::LeastDynamicLoad;
                let load = amounts(if dynamic { load_dynamic } else { load_static });
                self.wish(Command::Load { group, load });
            }
        }
    }

    /// A group that the cluster gets to know now.
    fn add_group(&mut self, group: &Group) {
        let Some((new, planned)) = self.plan.next_group(&self.removed) else { return };
        let (configured, desired) = (planned.configured.clone(), planned.desired);
        self.plan.groups.retain(|one| one.name != group.name);
        self.plan.groups.push(planned);
        self.removed.remove(&group.name);
        self.prepare_faults(group);
        self.wish(Command::AddGroup(Box::new(new)));
        self.desire(configured, desired);
    }

    /// Wants something of a group, by its name in the configuration.
    pub(super) fn desire(&mut self, group: String, desired: Desired) {
        let command = match desired {
            Desired::Running => Command::Online { group },
            Desired::Stopped => Command::Offline { group },
            Desired::Disabled => Command::Disable { group },
            Desired::Unmanaged => Command::Unmanage { group },
        };
        self.wish(command);
    }
}
