//! Fence agents, as they answer engines: now and then one fails, or does its work and says that it failed, or says
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::Event;
use quorate_core::action::FenceVerb;
use quorate_core::id::{NodeId, OpId};

use super::World;
use super::processes::Death;
use crate::chance;
use crate::schedule::Happening;
use crate::spoken::words;

/// What an agent is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its name.
    pub agent: String,
    /// About whom.
    pub victim: NodeId,
    /// For what.
    pub verb: FenceVerb,
}

/// Which of a host's power supplies are off, by the agents that have switched them off.
#[derive(Debug, Default)]
pub(crate) struct Supplies(BTreeMap<NodeId, BTreeSet<String>>);

/// How an agent does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Luck {
    Done,
    /// It does it, and says that it failed; or nothing.
    DoneUnsaid(bool),
    /// It does nothing, and says so; or nothing.
    Failed(bool),
}

impl World {
    /// An engine asks an agent.
    pub(super) fn ask_agent(&mut self, node: NodeId, life: u64, op: OpId, asked: Asked) {
        self.stats.agent_requests += 1;
        let delay = chance::percent_of(&mut self.random, self.config.timing().detect, 5, 120);
        self.after(delay, Happening::Agent(node, life, op, Box::new(asked)));
    }

    /// An agent does what it was asked, or not.
    pub(super) fn agent_acts(&mut self, node: NodeId, life: u64, op: OpId, asked: Asked) {
        let luck = match self.random.below(10) {
            _ if self.is_healed => Luck::Done,
            0 => Luck::Failed(true),
            1 => Luck::Failed(false),
            2 => Luck::DoneUnsaid(true),
            3 => Luck::DoneUnsaid(false),
            _ => Luck::Done,
        };
        if !matches!(luck, Luck::Failed(_)) {
            self.carry_out_fence(&asked);
        }
        let result = match luck {
            Luck::Done => Ok(()),
            Luck::DoneUnsaid(true) | Luck::Failed(true) => Err("it does not answer".to_owned()),
            Luck::DoneUnsaid(false) | Luck::Failed(false) => return,
        };
        let delay = chance::percent_of(&mut self.random, self.config.timing().detect, 1, 30);
        let answer = Event::Fence { op, result };
        self.after(delay, Happening::Event(node, life, Box::new(answer)));
    }

    fn carry_out_fence(&mut self, asked: &Asked) {
        let Asked { agent, victim, verb } = asked;
        self.tell(|| format!("{agent} of {victim}: {}", words(verb)));
        if *verb == FenceVerb::On {
            self.supplies.0.remove(victim);
            return self.after(self.config.timing().detect, Happening::Restart(*victim));
        }
        let off = self.supplies.0.entry(*victim).or_default();
        off.insert(agent.clone());
        let levels = self.config.fence_levels(*victim);
        let of_it = levels.iter().find(|level| level.iter().any(|one| one.name == *agent));
        let cut_off = of_it.is_none_or(|level| level.iter().all(|one| off.contains(&one.name)));
        if !cut_off || self.hosts.of(victim).is_none() {
            return;
        }
        self.supplies.0.remove(victim);
        self.stats.agent_fences += 1;
        self.unrest.on_node(*victim, self.now);
        self.end_process(*victim, Death::Power);
        // Nobody may be left who remembers to switch it on: sooner or later an operator does.
        let soon = *verb == FenceVerb::Reboot || self.is_healed;
        let back = self.config.timing().detect * if soon { 1 } else { 20 };
        self.after(back, Happening::Restart(*victim));
    }
}
