//! The configuration as a value: which one is in force, what another one would do, and how it comes into force.

use std::time::Duration;

use quorate_core::config::{ClusterConfig, NewConfig};
use quorate_core::database::Database;
use quorate_core::engine::{Engine, Foresight};
use quorate_core::id::GroupId;
use quorate_core::message::Command;
use serde::Serialize;

use super::Node;
use super::input::{Input, Look};
use crate::Error;
use crate::config::{Config, NewGroup};
use crate::item::{Refusal, Ticket};
use crate::plan::Plan;

/// How long a look at the engine may take.
const LOOK_WAIT: Duration = Duration::from_secs(2);

/// The configuration in force.
#[derive(Clone, Debug, PartialEq)]
pub struct InForce {
    /// Its number: 1 is what the cluster was founded with.
    pub version: u64,
    /// The configuration. It holds what nodes agree on, not what each records for itself.
    pub config: Config,
}

/// A version of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Its number: 1 is what the cluster was founded with.
    pub number: u64,
    /// When it was given, in milliseconds since 1970, by the clock of the node that was asked; none: nobody said.
    pub unix_ms: Option<u64>,
    /// When it came into force, in the cluster's time in milliseconds.
    pub cluster_ms: u64,
    /// Why.
    pub reason: String,
    /// Whether it is in force.
    pub in_force: bool,
    /// Whether it is kept, so that it can come back.
    pub kept: bool,
}

impl Node {
    /// The configuration in force, as far as this node has heard; its own file counts for nothing any more.
    ///
    /// # Errors
    /// [`Error::Refused`] before this node belongs to a cluster, [`Error::Busy`], [`Error::TimedOut`].
    pub fn configuration(&self) -> Result<InForce, Error> {
        let (version, cluster) = self.inner.look("the configuration", |engine| {
            let database = engine.database()?;
            Some((database.version(), database.config().clone()))
        })?;
        Ok(InForce { version, config: Config::from_cluster(&cluster)? })
    }

    /// What would become of the cluster, as it stands, if `next` were in force.
    ///
    /// # Errors
    /// [`Error::Config`], or as [`Node::configuration`].
    pub fn plan(&self, next: &Config) -> Result<Plan, Error> {
        let next = self.numbered(next)?;
        let new = new_config(next.cluster(), None, "");
        let (outlook, refusal) = self.inner.look("the plan", move |engine| {
            let refusal = engine.database()?.successor(&new).err();
            Some((engine.outlook()?, refusal.map(|error| error.to_string())))
        })?;
        let current = Config::from_cluster(&outlook.config)?;
        Ok(Plan::new(&outlook, &current, &next, refusal)?)
    }

    /// What the drain of a node would do, without doing it: what moves, what that displaces, and what would stay there,
    /// since no other node can run it.
    ///
    /// # Errors
    /// [`Error::Refused`] for a node that is not known, or as [`Node::configuration`].
    pub fn plan_drain(&self, node: &str) -> Result<Plan, Error> {
        let node = node.to_owned();
        self.foresee(move |engine| engine.foresee_drain(&node))
    }

    /// What the move of a group would do, without doing it; to `None`: to the node that placement chooses.
    ///
    /// # Errors
    /// As [`Node::plan_drain`]. A move that would be refused is no error: the plan says why.
    pub fn plan_move(&self, group: &str, to: Option<&str>) -> Result<Plan, Error> {
        let (group, to) = (group.to_owned(), to.map(str::to_owned));
        self.foresee(move |engine| engine.foresee_move(&group, to.as_deref()))
    }

    fn foresee(
        &self,
        look: impl FnOnce(&Engine) -> Result<Foresight, Refusal> + Send + 'static,
    ) -> Result<Plan, Error> {
        let found = self.inner.look("the plan", move |engine| {
            engine.database()?;
            Some(look(engine))
        })?;
        match found {
            Ok(foresight) => Ok(Plan::of_foresight(&foresight)),
            Err(refusal) => Err(Error::Refused(refusal)),
        }
    }

    /// A configuration with the numbers that it has, or would have, in the running cluster.
    fn numbered(&self, next: &Config) -> Result<Config, Error> {
        let current = self.configuration()?.config;
        Ok(next.following_after(&current, self.groups_passed()?)?)
    }

    fn groups_passed(&self) -> Result<GroupId, Error> {
        self.inner.look("the configuration", |engine| Some(engine.database()?.groups_passed()))
    }

    /// Brings `next` into force, in place of version `only_if`, or of whichever is in force. What has no number in it
    /// keeps the one that it has. `reason` stands in the history.
    ///
    /// # Errors
    /// [`Error::Config`], or as [`Node::configuration`]; the answer may be a refusal that names the place and the
    /// remedy.
    pub fn apply(
        &self,
        next: &Config,
        reason: &str,
        only_if: Option<u64>,
    ) -> Result<Ticket, Error> {
        let next = self.numbered(next)?;
        let new = new_config(next.cluster(), only_if, reason);
        self.inner.command(Command::Configure(Box::new(new)))
    }

    /// Brings back version `to` of the configuration, or the one before that in force, as a version of its own.
    ///
    /// # Errors
    /// [`Error::Refused`] for a version that is not kept, or as [`Node::configuration`].
    pub fn roll_back(&self, to: Option<u64>, reason: &str) -> Result<Ticket, Error> {
        let (now, found, kept) = self.inner.look("the history", move |engine| {
            let database = engine.database()?;
            let mut kept = database.versions().iter().filter(|version| version.parts.is_some());
            let all: Vec<String> = kept.clone().map(|one| one.number.to_string()).collect();
            let found = match to {
                Some(number) => kept.find(|one| one.number == number),
                None => kept.next_back(),
            };
            Some((database.version(), found.cloned(), all.join(", ")))
        })?;
        let Some((number, parts)) = found.and_then(|one| Some((one.number, one.parts?))) else {
            let kept = if kept.is_empty() { "none".to_owned() } else { kept };
            let what =
                to.map_or_else(|| "an earlier version".to_owned(), |to| format!("version {to}"));
            let text = format!("{what} is not kept; kept are: {kept}");
            return Err(Error::Refused(Refusal::NotPossible(text)));
        };
        let reason = if reason.is_empty() {
            format!("back to version {number}")
        } else {
            format!("back to version {number}: {reason}")
        };
        let unix_ms = crate::clock::unix_us() / 1000;
        let new = NewConfig { parts, only_if: Some(now), reason, unix_ms };
        self.inner.command(Command::Configure(Box::new(new)))
    }

    /// The versions of the configuration that are remembered, oldest first; the last one is in force.
    ///
    /// # Errors
    /// As [`Node::configuration`].
    pub fn history(&self) -> Result<Vec<Version>, Error> {
        let versions = |database: &Database| {
            let in_force = database.version();
            let versions = database.versions().iter().map(|one| Version {
                number: one.number,
                unix_ms: (one.unix_ms > 0).then_some(one.unix_ms),
                cluster_ms: one.at_ms,
                reason: one.reason.clone(),
                in_force: one.number == in_force,
                kept: one.parts.is_some() || one.number == in_force,
            });
            versions.collect()
        };
        self.inner.look("the history", move |engine| engine.database().map(versions))
    }

    /// Takes a group into the configuration. It is offline, or on its way if it is to start by itself. Where the
    /// configuration wants losses to be survived, no other change may come in between.
    ///
    /// # Errors
    /// [`Error::Config`], or as [`Node::configuration`].
    pub fn add_group(&self, new: &NewGroup) -> Result<Ticket, Error> {
        let InForce { version, config } = self.configuration()?;
        let passed = self.groups_passed()?;
        let survives = config.cluster().policy().survives.is_some();
        let only_if = survives.then_some(version);
        let new = quorate_core::config::NewGroup { only_if, ..new.numbered(&config, passed)? };
        self.inner.command(Command::AddGroup(Box::new(new)))
    }

    /// Takes a group out of the configuration. Refused while it runs: take it offline before, or unmanage it, if it is
    /// to run on with nobody to look after it.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn remove_group(&self, group: &str) -> Result<Ticket, Error> {
        self.inner.command(Command::RemoveGroup { group: group.to_owned() })
    }
}

impl super::Inner {
    /// Looks at the engine, on its thread; none: this node has no database yet.
    pub(super) fn look<T: Send + 'static>(
        &self,
        what: &str,
        look: impl FnOnce(&Engine) -> Option<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.items.check()?;
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.inbox.offer(Input::Look(Look::new(move |engine| {
            // Who asked has gone: nobody misses it.
            let _ = reply.try_send(look(engine));
        })))?;
        let answer = answer
            .recv_timeout(LOOK_WAIT)
            .map_err(|_| Error::TimedOut { what: what.to_owned(), after: LOOK_WAIT })?;
        answer.ok_or_else(|| {
            let text = "this node does not belong to a cluster yet".to_owned();
            Error::Refused(Refusal::NotPossible(text))
        })
    }
}

fn new_config(next: &ClusterConfig, only_if: Option<u64>, reason: &str) -> NewConfig {
    let unix_ms = crate::clock::unix_us() / 1000;
    NewConfig { parts: next.parts().clone(), only_if, reason: reason.to_owned(), unix_ms }
}
