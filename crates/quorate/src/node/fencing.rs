//! Carries out what the engine asks of fence agents: a thread for each request, since each may take a minute.
//!
//! *Architecture invariant*: the engine never waits for an agent. Every request is answered, at the latest when the
//! agent's timeout is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quorate_core::Event;
use quorate_core::action::FenceVerb;
use quorate_core::config::ClusterConfig;
use quorate_core::id::{NodeId, OpId};

use super::input::Facts;
use crate::fence_agents::agent;

/// At most so many agents run at once on one node: a whole cluster of nodes, twice.
const RUNNING_MAX: usize = 128;

/// The fence agents that this node has running.
pub(crate) struct FenceAgents {
    facts: Facts,
    running: Arc<AtomicUsize>,
}

/// One agent that runs, counted for as long as it does.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl FenceAgents {
    pub(crate) fn new(facts: Facts) -> Self {
        Self { facts, running: Arc::default() }
    }

    /// Starts an agent. Gives the answer, if it cannot.
    pub(crate) fn carry_out(
        &self,
        config: &ClusterConfig,
        op: OpId,
        (name, node, verb): (&str, NodeId, FenceVerb),
    ) -> Option<Event> {
        let failed = |why: String| Some(Event::Fence { op, result: Err(why) });
        let Some(agent) = config.fence_agent(name).cloned() else {
            return failed("it is not in the configuration any more".to_owned());
        };
        let Some(plug) = agent.plugs.get(&node).cloned() else {
            return failed("it does not know this node any more".to_owned());
        };
        if self.running.fetch_add(1, Ordering::Relaxed) >= RUNNING_MAX {
            self.running.fetch_sub(1, Ordering::Relaxed);
            return failed(format!("{RUNNING_MAX} agents run already"));
        }
        let (running, facts) = (Running(Arc::clone(&self.running)), self.facts.clone());
        let run = move || {
            let result = agent::act(&agent, &plug, verb);
            drop(running);
            facts.tell(Event::Fence { op, result });
        };
        let thread = std::thread::Builder::new().name("quorate-fence".to_owned()).spawn(run);
        thread.err().and_then(|error| failed(format!("no thread for it: {error}")))
    }
}
