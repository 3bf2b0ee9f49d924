//! The witness's register as engines reach it, or do not.

use quorate_core::Event;
use quorate_core::action::WitnessVerb;
use quorate_core::event::WitnessReply;
use quorate_core::id::{NodeId, OpId, VoterId};

use super::World;
use crate::chance;
use crate::checker::Fact;
use crate::fault::Fault;
use crate::schedule::Happening;
use crate::spoken::words;
use crate::storage::Swapped;

impl World {
    /// An engine asks the register for something.
    pub(super) fn ask_witness(&mut self, node: NodeId, life: u64, op: OpId, verb: WitnessVerb) {
        let begun = self.hosts[&node].clock.local(self.now).0;
        self.storage.register.asked.insert((node, life, op), (begun, false));
        self.stats.witness_requests += 1;
        let delay = self.witness_delay();
        self.after(delay, Happening::WitnessArrival(node, life, op, Box::new(verb)));
    }

    /// How long a request is on its way, or its answer.
    fn witness_delay(&mut self) -> std::time::Duration {
        let most = if self.random.chance(1, 100) { 30_000 } else { 1_500 };
        let delay = chance::micros(&mut self.random, 100, most);
        if self.storage.register.slow == 0 {
            return delay;
        }
        let most = if self.random.chance(1, 5) { 150 } else { 8 };
        delay + chance::percent_of(&mut self.random, self.config.timing().io_bound, 0, most)
    }

    /// A request arrives: whoever asked may be dead by now.
    pub(super) fn witness_arrival(&mut self, node: NodeId, life: u64, op: OpId, verb: WitnessVerb) {
        let losing = self.storage.register.losing > 0;
        let lost = losing && self.random.chance(1, 4);
        if lost || !self.storage.register.is_reached_by(node) {
            self.stats.witness_failures += 1;
            if self.random.chance(1, 2) {
                self.answer_witness(node, life, op, Err("unreachable".to_owned()));
            }
            return;
        }
        let (reply, swapped) = self.storage.register.take(node, verb);
        self.tell(|| match &swapped {
            None => format!("{node}: {op} at the witness: {}", words(&reply)),
            Some(Swapped { after, .. }) => {
                let (term, last) = after.last();
                let (epoch, vote, follows) = (after.term, after.vote.node(), after.follows.map(VoterId::node));
                format!(
                    "{node}: {op} at the witness: it is in epoch {epoch}, has voted for {vote}, follows {}, has {last} \
                     of epoch {term}, {} beats",
                    words(&follows),
                    after.beats
                )
            }
        });
        if reply == WitnessReply::Changed {
            self.stats.witness_races += 1;
        }
        if let Some(swapped) = swapped {
            if let Some(asked) = self.storage.register.asked.get_mut(&(node, life, op)) {
                asked.1 = swapped.keeps(node);
            }
            let records = swapped.after.durable().records();
            self.fact(&Fact::Persists { node: NodeId::WITNESS, records: &records });
        }
        let lost = losing && self.random.chance(1, 4);
        match lost {
            false => self.answer_witness(node, life, op, Ok(reply)),
            true if self.random.chance(1, 2) => {
                self.answer_witness(node, life, op, Err("no answer".to_owned()));
            }
            true => self.stats.witness_failures += 1,
        }
    }

    fn answer_witness(
        &mut self,
        node: NodeId,
        life: u64,
        op: OpId,
        result: Result<WitnessReply, String>,
    ) {
        let delay = self.witness_delay();
        let answer = Event::Witness { op, result };
        self.after(delay, Happening::Event(node, life, Box::new(answer)));
    }

    /// An engine hears that its swap is done: if the witness follows it by that, its heartbeats are acknowledged.
    pub(super) fn note_witness(&mut self, node: NodeId, event: &Event) {
        let Event::Witness { op, result } = event else { return };
        let Some(host) = self.hosts.of_mut(&node) else { return };
        let Some(life) = host.process.as_ref().map(|process| process.life) else { return };
        let asked = self.storage.register.asked.remove(&(node, life, *op));
        if let (Some((begun, true)), Ok(WitnessReply::Swapped)) = (asked, result) {
            host.acknowledged(NodeId::WITNESS, begun, &self.config, self.now);
        }
    }

    /// A fault of the witness begins or ends.
    pub(super) fn witness_fault(&mut self, fault: &Fault, begins: bool) {
        let register = &mut self.storage.register;
        let count = match fault {
            Fault::WitnessOff(None) => &mut register.off,
            Fault::WitnessOff(Some(node)) => register.off_for.entry(*node).or_default(),
            Fault::WitnessSlow => &mut register.slow,
            Fault::WitnessLoses => &mut register.losing,
            Fault::WitnessUnmounted(node) => register.unmounted.entry(*node).or_default(),
            _ => return,
        };
        *count = if begins { *count + 1 } else { count.saturating_sub(1) };
    }
}
