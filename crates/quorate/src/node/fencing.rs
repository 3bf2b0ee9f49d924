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
use crate::fence_agents::{agent, pill};

/// At most so many agents run at once on one node: a whole cluster of nodes, twice.
const RUNNING_MAX: usize = 128;

/// The fence agents that this node has running.
pub(crate) struct FenceAgents {
    me: NodeId,
    facts: Facts,
    running: Arc<AtomicUsize>,
}

/// What the engine asks of one.
pub(crate) struct Request<'a> {
    pub(crate) agent: &'a str,
    pub(crate) node: NodeId,
    pub(crate) verb: FenceVerb,
    /// The start of the node that is to end.
    pub(crate) least: Option<u64>,
}

/// One agent that runs, counted for as long as it does.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl FenceAgents {
    pub(crate) fn new(me: NodeId, facts: Facts) -> Self {
        Self { me, facts, running: Arc::default() }
    }

    /// Starts an agent. Gives the answer, if it cannot.
    pub(crate) fn carry_out(
        &self,
        config: &ClusterConfig,
        op: OpId,
        request: &Request<'_>,
    ) -> Option<Event> {
        let Request { agent: name, node, verb, least } = *request;
        let failed = |why: String| Some(Event::Fence { op, result: Err(why) });
        let Some(agent) = config.fence_agent(name).cloned() else {
            return failed("it is not in the configuration any more".to_owned());
        };
        let Some(plug) = agent.plugs.get(&node).cloned() else {
            return failed("it does not know this node any more".to_owned());
        };
        // Without the start that is to end no pill proves anything.
        let order = pill::order(config, &agent, (node, least.unwrap_or(u64::MAX)), self.me);
        if self.running.fetch_add(1, Ordering::Relaxed) >= RUNNING_MAX {
            self.running.fetch_sub(1, Ordering::Relaxed);
            return failed(format!("{RUNNING_MAX} agents run already"));
        }
        let (running, facts) = (Running(Arc::clone(&self.running)), self.facts.clone());
        let run = move || {
            let result = match order {
                Some(order) => pill::act(order, verb, agent.timeout),
                None => agent::act(&agent, &plug, verb),
            };
            drop(running);
            facts.tell(Event::Fence { op, result });
        };
        let thread = std::thread::Builder::new().name("quorate-fence".to_owned()).spawn(run);
        thread.err().and_then(|error| failed(format!("no thread for it: {error}")))
    }
}
