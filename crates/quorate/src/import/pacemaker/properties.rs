//! Options of the whole cluster.

use quorate_core::config::Balance;

use super::Importer;
use super::options::Options;
use super::rule::Subject;
use super::values::Pair;
use crate::config::ConfigError;
use crate::import::report::FindingKind::{Approximated, Needed, NoCounterpart, NotNeeded};
use crate::import::xml::Element;

/// What the options of the cluster mean for every resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switches {
    /// Resources run only where a constraint says so.
    pub(super) opt_in: bool,
    /// Everything is to be stopped.
    pub(super) stop_all: bool,
    /// A failed start takes a resource from its node.
    pub(super) fatal_starts: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self { opt_in: false, stop_all: false, fatal_starts: true }
    }
}

impl<'a> Importer<'a> {
    pub(super) fn properties(&mut self, section: Element<'a>) -> Result<(), ConfigError> {
        let options = Options::of(section, "cluster_property_set", &Subject::default());
        for (&name, &pair) in &options.all() {
            match name {
                "cluster-name" => self.cluster = Some(pair.value()),
                "no-quorum-policy" => self.without_quorum(pair),
                "placement-strategy" => self.strategy(pair)?,
                "symmetric-cluster" => self.switches.opt_in = !pair.flag()?,
                "stop-all-resources" => {
                    self.switches.stop_all = pair.flag()?;
                    if self.switches.stop_all {
                        let text = "no group is started by itself";
                        pair.note(Approximated, text, "bring each online when it is time");
                    }
                }
                "maintenance-mode" if pair.flag()? => {
                    let text = "leaving everything alone is a command here, not configuration";
                    pair.note(Needed, text, "run `quorate disarm` once the cluster runs");
                }
                "stonith-enabled" | "fencing-enabled" if !pair.flag()? => {
                    let text = "nothing starts elsewhere here before it is proven that the old owner \
                                cannot run or write it; that cannot be switched off";
                    pair.note(NotNeeded, text, "");
                }
                "stonith-timeout" | "fencing-timeout" | "stonith-action" | "fencing-action" => {
                    self.fencing_option(name, pair)?;
                }
                "start-failure-is-fatal" => self.switches.fatal_starts = pair.flag()?,
                "maintenance-mode" | "stonith-enabled" | "fencing-enabled" => {}
                _ => continue,
            }
        }
        Ok(())
    }

    fn without_quorum(&mut self, pair: Pair<'a>) {
        let text = match pair.value() {
            "stop" => return,
            "freeze" => {
                self.draft.policy.keep_without_quorum = true;
                return;
            }
            "ignore" => "a side without a quorum never decides here",
            "demote" => "there are no roles to be demoted to",
            "fence" | "suicide" => {
                "a node without a quorum stops its groups; it is not switched off"
            }
            _ => "this policy is not known",
        };
        pair.note(NoCounterpart, text, "the default stands: what runs without a quorum is stopped");
    }

    fn strategy(&mut self, pair: Pair<'a>) -> Result<(), ConfigError> {
        let (balance, limited) = match pair.value() {
            "default" => (Balance::Groups, false),
            "utilization" => (Balance::Groups, true),
            "minimal" => (Balance::Few, true),
            "balanced" => (Balance::Room, true),
            other => {
                let problem = format!("placement-strategy {other:?} is not known");
                let remedy = "use default, utilization, minimal or balanced";
                return Err(pair.at.place().wrong(problem, remedy));
            }
        };
        (self.draft.policy.balance, self.draft.policy.limited) = (balance, limited);
        Ok(())
    }
}
