//! Why a group is where it is, as data and in sentences: how it is, what has led to it, why it is not elsewhere.

use quorate_core::Notice as Told;
use quorate_core::config::ClusterConfig;
use quorate_core::engine::Engine;
use quorate_core::notice::Hold;
use quorate_core::placement::{NotHere, Outlook};
use quorate_core::status::{Because, Explanation as Whole, Happened, Status, Why as Chain};
use quorate_core::time::Instant;
use serde::Serialize;

use super::Node;
use super::tell::Names;
use crate::Error;
use crate::clock;
use crate::item::{OpId, Refusal};
use crate::notice::{Stamp, time_of_day};
use crate::why::{Link, Survival, Why, WhyNot};

/// Why a group is where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The group.
    pub group: String,
    /// How it is, as in a status.
    pub state: String,
    /// The node that owns it.
    pub owner: Option<String>,
    /// Whether it should be online.
    pub online_wanted: bool,
    /// Why it waits though it could run.
    pub held: Option<String>,
    /// How long until it is tried again, in milliseconds, if it is left failed or held for a time.
    pub retry_in_ms: Option<u64>,
    /// Where it would be placed now if it ran nowhere.
    pub placement: Option<String>,
    /// For each other node, why not there: while it runs, why it is not moved there; else why it would not start there.
    pub not_there: Vec<WhyNot>,
    /// All of that, and what has led to it, oldest first, for people.
    pub sentences: Vec<String>,
}

impl Node {
    /// Why a group is where it is, in sentences, and why it is not elsewhere.
    ///
    /// # Errors
    /// As [`Node::explanation`].
    pub fn explain(&self, group: &str) -> Result<Vec<String>, Error> {
        self.explanation(group).map(|explanation| explanation.sentences)
    }

    /// Why a group is where it is, and why it is not elsewhere, as data.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Busy`], [`Error::TimedOut`], or [`Error::Refused`] before this node belongs to a
    /// cluster.
    pub fn explanation(&self, group: &str) -> Result<Explanation, Error> {
        let group = group.to_owned();
        self.inner.look("the explanation", move |engine| Some(explain(engine, &group)))?
    }

    /// Why a group is not on a node; none: it is, or would be placed there.
    ///
    /// # Errors
    /// As [`Node::explanation`].
    pub fn why_not(&self, group: &str, node: &str) -> Result<Option<WhyNot>, Error> {
        super::addresses::find_node(&self.inner.snapshot.config(), node)?;
        let not_there = self.explanation(group)?.not_there;
        let Some(mut why) = not_there.into_iter().find(|why| why.node == node) else {
            return Ok(None);
        };
        // It is worked out here: the engine has better things to do.
        let outlook = self.outlook()?;
        let ids = outlook.config.group_named(group).zip(outlook.config.node_named(node));
        let needed = ids.and_then(|(group, node)| outlook.counterfactual(group.id, node.id));
        why.would_need = needed.iter().flatten().map(ToString::to_string).collect();
        Ok(Some(why))
    }

    /// Why this node asked a driver, or its host, for something, from the request back to what came in from outside.
    /// Requests and the notices `requested` and `completed` carry its number. None: it is none of the newest 512
    /// requests to resources and LUNs.
    ///
    /// # Errors
    /// As [`Node::explanation`].
    pub fn explain_action(&self, op: OpId) -> Result<Option<Why>, Error> {
        let look = move |engine: &Engine| {
            Some(engine.explain_action(op).map(|why| causes(&why, &Names(engine.config()))))
        };
        self.inner.look("the causes", look)
    }

    /// What would have no place after each loss of `losses` nodes, 4 at most, as the cluster stands.
    ///
    /// # Errors
    /// As [`Node::explanation`].
    pub fn survival(&self, losses: u32) -> Result<Survival, Error> {
        let outlook = self.outlook()?;
        Ok(Survival::new(&outlook.config, &outlook.survival(losses)))
    }

    fn outlook(&self) -> Result<Outlook, Error> {
        self.inner.look("the outlook", Engine::outlook)
    }
}

fn causes(why: &Chain, names: &Names<'_>) -> Why {
    let link = |link: &quorate_core::status::Link| {
        let (code, is_input, text) = match &link.what {
            Because::Told(told) => match names.told(told) {
                Some(notice) => (notice.kind.as_str().to_owned(), false, notice.text),
                None => ("dropped".to_owned(), false, format!("{told:?}")),
            },
            Because::Input(input) => {
                let what = input.what();
                let text = input
                    .node()
                    .map_or_else(|| what.to_owned(), |node| format!("{} {what}", names.node(node)));
                (input.code().to_owned(), true, text)
            }
        };
        Link { code, is_input, at_ms: link.at_ms, text }
    };
    let chain = why.chain.iter().map(link).collect();
    Why { group: names.group(why.group), at_ms: why.at_ms, chain }
}

fn explain(engine: &Engine, group: &str) -> Result<Explanation, Error> {
    let config = engine.config();
    let id = config.group_named(group).map(|group| group.id).ok_or_else(|| {
        let known: Vec<&str> = config.groups().iter().map(|group| group.name.as_str()).collect();
        Error::Unknown { kind: "group", name: group.to_owned(), known: known.join(", ") }
    })?;
    let explanation = engine.explain(id).ok_or_else(|| {
        Refusal::NotPossible(format!(
            "nothing is known of group {group} yet: this node does not belong to a cluster yet"
        ))
    })?;
    let (now, at) = (clock::now(), clock::stamp());
    let status = engine.status(now);
    let not_there = not_there(config, &explanation, &status);
    let sentences = sentences(&explanation, &status, &not_there, &Names(config), (now, at));
    let Whole { group, retry_in_ms, placement, .. } = explanation;
    Ok(Explanation {
        group: group.name,
        state: group.state,
        owner: group.owner,
        online_wanted: group.online_wanted,
        held: group.held.map(|hold| held(&hold, config)),
        retry_in_ms,
        placement,
        not_there,
        sentences,
    })
}

fn not_there(config: &ClusterConfig, explanation: &Whole, status: &Status) -> Vec<WhyNot> {
    let group = config.group_named(&explanation.group.name);
    let luns = || group.into_iter().flat_map(|group| &group.luns).filter_map(|id| config.lun(*id));
    let others = explanation.not_there.iter().map(|(node, why)| {
        let mut told = WhyNot::new(config, node.clone(), *why);
        let known = status.nodes.iter().find(|one| one.name == *node);
        let away = known.filter(|_| *why == NotHere::Unreached).map(|one| &one.luns_away);
        let away = away.into_iter().flatten().filter(|name| luns().any(|lun| lun.name == **name));
        let names: Vec<&str> = away.map(String::as_str).collect();
        if !names.is_empty() {
            told.text += &format!(" ({})", names.join(", "));
        }
        told
    });
    others.collect()
}

/// `now` is the present, on both clocks.
fn sentences(
    explanation: &Whole,
    status: &Status,
    not_there: &[WhyNot],
    names: &Names<'_>,
    now: (Instant, Stamp),
) -> Vec<String> {
    let mut lines = Vec::new();
    if !status.quorum {
        lines.push(format!(
            "no quorum ({} of {} votes heard): nothing can be decided, and this is what was known last",
            status.votes_heard(),
            status.votes
        ));
    }
    let group = &explanation.group.name;
    let known = if status.quorum { "is" } else { "was last known to be" };
    lines.push(format!("{group} {known} {}", state(explanation, names.0)));
    lines.extend(explanation.history.iter().map(|one| happened(one, names, now)));
    lines.push(match &explanation.placement {
        Some(node) => format!("if {group} ran nowhere, it would be placed on {node}"),
        None => format!("if {group} ran nowhere, no node could run it"),
    });
    lines.extend(not_there.iter().map(ToString::to_string));
    lines
}

/// How the group is, as the end of a sentence.
fn state(explanation: &Whole, config: &ClusterConfig) -> String {
    let group = &explanation.group;
    let owner = group.owner.as_deref().unwrap_or("no node");
    match group.state.as_str() {
        "offline" => format!(
            "offline, and kept so: by command, or since it has auto_start = false; `quorate online {}` starts it",
            group.name
        ),
        "waiting" => waiting(explanation, config),
        "failed" => failed(explanation, config),
        "stop-failed" => {
            format!("stuck on {owner}: it could not be stopped there, and may still run")
        }
        "lost" => format!("lost with {owner}, which is down and not yet proven harmless"),
        "moving" => format!("leaving {owner}"),
        other if !group.luns_away.is_empty() => format!(
            "{other} on {owner}, which does not reach {}: it goes to a node that does and may run it; while there is \
             none it stands still, and goes on when that is back",
            group.luns_away.join(", ")
        ),
        other => format!("{other} on {owner}"),
    }
}

/// For what it waits, by name.
fn held(hold: &Hold, config: &ClusterConfig) -> String {
    match hold {
        Hold::Group { group } => {
            let name = config.group(*group).map_or("another group", |one| one.name.as_str());
            format!("{name} comes first, by a rule or for its place")
        }
        Hold::Stray { node } => {
            // One that was taken out is known by its number.
            let name =
                config.node(*node).map_or_else(|| node.0.to_string(), |one| one.name.clone());
            format!(
                "it was found running on {name} unasked, and is not known to have ended there: end it, or if {name} is \
                 off, `quorate confirm-fenced {name}`"
            )
        }
        Hold::Luns { lun } => {
            let name = config.lun(*lun).map_or_else(|| lun.to_string(), |one| one.name.clone());
            format!(
                "no node that may run it has reached lun {name}, and it starts when one says that it does"
            )
        }
        other => other.to_string(),
    }
}

fn waiting(explanation: &Whole, config: &ClusterConfig) -> String {
    let again = explanation.retry_in_ms.map_or_else(String::new, |left| {
        format!("; it is tried again in {} s at the latest", left.div_ceil(1000))
    });
    match &explanation.group.held {
        Some(why) => format!("waiting: {}{again}", held(why, config)),
        None => format!("waiting for a node that may run it{again}"),
    }
}

fn failed(explanation: &Whole, config: &ClusterConfig) -> String {
    let trouble = explanation.history.iter().rev().find_map(|one| match &one.told {
        Told::ResourceTrouble { detail, .. } => {
            Some(format!("here the last trouble was: {detail}"))
        }
        Told::Lun { lun, held: false, .. } => {
            let name = config.lun(*lun).map_or_else(|| lun.to_string(), |one| one.name.clone());
            Some(format!("here the last trouble was: {name} was lost"))
        }
        _ => None,
    });
    let trouble = trouble.unwrap_or_else(|| {
        "no trouble of it is known to this node: ask a node where it failed".to_owned()
    });
    let left = explanation.retry_in_ms.unwrap_or_default().div_ceil(1000);
    format!(
        "left failed, since it failed too often ({trouble}); it is tried again in {left} s, or at once by \
         `quorate online {}`",
        explanation.group.name
    )
}

fn happened(one: &Happened, names: &Names<'_>, (now, at): (Instant, Stamp)) -> String {
    let text =
        names.told(&one.told).map_or_else(|| format!("{:?}", one.told), |notice| notice.text);
    match one.seen {
        Some(seen) => {
            let ago = u64::try_from(now.since(seen).as_micros()).unwrap_or(u64::MAX);
            format!("{} {text}", time_of_day(at.unix_us.saturating_sub(ago)))
        }
        None => format!("before this node took part: {text}"),
    }
}
