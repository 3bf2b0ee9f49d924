//! What nobody has read: each setting with the reason why it is not carried over.

use super::values::Pair;
use crate::import::report::FindingKind::{NoCounterpart, NotNeeded};
use crate::import::xml::{Element, Xml};

const UNKNOWN: &str = "there is nothing like it, or it is not known";

/// Attributes that a cluster writes for itself.
const BOOKKEEPING: &str = "admin_epoch epoch num_updates validate-with crm_feature_set have-quorum dc-uuid \
                           cib-last-written update-origin update-client update-user execution-date no-quorum-panic \
                           remote-tls-port remote-clear-port";

/// Options that a cluster writes for itself, or that mean something to itself only.
const OWN_OPTIONS: &str = "have-watchdog dc-version cluster-infrastructure last-lrm-refresh cluster-ipc-limit \
                           pe-error-series-max pe-warn-series-max pe-input-series-max remove-after-stop \
                           stop-orphan-resources stop-orphan-actions stop-removed-resources stop-removed-actions \
                           enable-startup-probes cluster-recheck-interval election-timeout \
                           join-integration-timeout join-finalization-timeout dc-deadtime default-resource-stickiness";

/// What is said of all that tells how to fence.
const FENCING: &str = "there is nothing like it; see [[fence_agents]] and policy.fence_lost_nodes";

/// Options of a cluster with no counterpart, and why.
const OPTIONS: [(&str, &str); 9] = [
    ("stonith-", FENCING),
    ("fencing-", FENCING),
    ("concurrent-fencing", "agents that end several nodes run at once"),
    ("priority-fencing-delay", "nodes do not race to fence one another: the quorum decides"),
    ("fence-reaction", "a node that may not act stops its groups"),
    ("startup-fencing", "a node that was never seen owns nothing here"),
    ("node-health-", "there is no health of nodes; drain a node that is not well"),
    ("shutdown-lock", "a leaving node keeps its groups only where its program says so"),
    ("batch-limit", "what may happen at once is limited by [policy.limits], in other words"),
];

/// Meta attributes with no counterpart, and why.
const META: [(&str, &str); 8] = [
    ("remote-", "a guest is no node of the cluster"),
    ("container", "a guest is no node of the cluster"),
    ("allow-unhealthy-nodes", "there is no health of nodes"),
    ("clone-node-max", "each instance is on a node of its own"),
    ("globally-unique", "instances are groups with names of their own"),
    ("notify", "resources are not told what becomes of others"),
    ("interleave", "instances are groups of their own, after any of which others start"),
    ("promoted-", "there are no roles of instances"),
];

pub(super) fn tell(xml: &Xml<'_>) {
    for (element, rest) in xml.unread() {
        if element.tag() == "nvpair" {
            pair(element);
            continue;
        }
        let own: Vec<(&str, &str)> =
            rest.iter().copied().filter(|(name, _)| is_own(element, name)).collect();
        let other: Vec<(&str, &str)> = rest.into_iter().filter(|one| !own.contains(one)).collect();
        if !own.is_empty() {
            element.note(NotNeeded, &own, "for people, or for Pacemaker itself", "");
        }
        if !other.is_empty() {
            element.note(NoCounterpart, &other, UNKNOWN, "");
        }
    }
}

fn is_own(element: Element<'_>, name: &str) -> bool {
    matches!(name, "id" | "description") || (element.tag() == "cib" && has_word(BOOKKEEPING, name))
}

fn has_word(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|one| one == word)
}

fn pair(element: Element<'_>) {
    element.id();
    let name = element.read("name").unwrap_or_default();
    let pair = Pair { name, at: element };
    let set = element.parent().unwrap_or(element);
    let (kind, text) = match set.tag() {
        "cluster_property_set" if has_word(OWN_OPTIONS, name) => {
            (NotNeeded, "it matters to Pacemaker itself only")
        }
        "cluster_property_set" => (NoCounterpart, reason(&OPTIONS, name)),
        "meta_attributes" if has_word(KNOWN_META, name) => {
            (NotNeeded, "it stands for nothing here: more specific settings say otherwise")
        }
        "meta_attributes" => (NoCounterpart, reason(&META, name)),
        "instance_attributes" if pair.owner().tag() == "node" => {
            (NotNeeded, "no rule that was carried over asks for this attribute of the node")
        }
        _ => (NoCounterpart, UNKNOWN),
    };
    pair.note(kind, text, "");
}

/// Meta attributes that are carried over where they count.
const KNOWN_META: &str = "priority critical target-role is-managed maintenance resource-stickiness requires \
                          migration-threshold failure-timeout multiple-active allow-migrate clone-max promotable \
                          ordered collocated timeout";

fn reason(reasons: &'static [(&'static str, &'static str)], name: &str) -> &'static str {
    let fits = |key: &str| if key.ends_with('-') { name.starts_with(key) } else { name == key };
    let found = reasons.iter().find(|(key, _)| fits(key) || name.starts_with(key));
    found.map_or(UNKNOWN, |(_, reason)| reason)
}
