//! A CIB.

use std::collections::BTreeMap;

use super::*;
use crate::config::{
    Balance, Config, FenceAction, FencedNodes, Group, OnDeadlock, OrderAct, OrderKind, Priority,
    RestartAction, Rule, Score, Seconds,
};
use crate::import::FindingKind::*;

fn group(imported: &Imported, name: &str) -> Group {
    let groups = &imported.document.groups;
    groups.iter().find(|group| group.name == name).unwrap_or_else(|| panic!("no {name}")).clone()
}

fn rules(imported: &Imported, name: &str) -> Vec<Rule> {
    let fits = |rule: &&Rule| {
        let numbered = rule.name.rsplit_once('-').filter(|(_, end)| end.parse::<u32>().is_ok());
        rule.name == name || numbered.is_some_and(|(front, _)| front == name)
    };
    imported.document.rules.iter().filter(fits).cloned().collect()
}

/// A small CIB with these resources and constraints.
fn small(resources: &str, constraints: &str) -> String {
    let node = |id: u32| format!("<node id='{id}' uname='n{id}'/>");
    let nodes: String = (1..=3).map(node).collect();
    format!(
        "<cib><configuration><crm_config/><nodes>{nodes}</nodes><resources>{resources}</resources>\
         <constraints>{constraints}</constraints></configuration></cib>"
    )
}

fn primitives(names: &[&str]) -> String {
    let one = |name: &&str| format!("<primitive id='{name}' class='systemd' type='{name}'/>");
    names.iter().map(one).collect()
}

/// An attribute that may be changed without a trace: the name of a set or of a score, which only people see.
fn is_a_name_only(tag: &str, attribute: &str) -> bool {
    attribute == "id"
        && matches!(
            tag,
            "nvpair"
                | "cluster_property_set"
                | "meta_attributes"
                | "instance_attributes"
                | "utilization"
                | "op"
                | "fencing-level"
                | "resource_set"
                | "rule"
                | "expression"
                | "rsc_expression"
                | "date_expression"
                | "date_spec"
                | "node"
                | "port-mapping"
                | "storage-mapping"
                | "acl_permission"
                | "recipient"
                | "rsc_location"
        )
}

#[test]
fn every_attribute_is_used_or_told_of() {
    let before = rich();
    let tree = roxmltree::Document::parse(RICH).unwrap();
    let mut silent = Vec::new();
    for node in tree.descendants().filter(roxmltree::Node::is_element) {
        if node.ancestors().any(|one| one.has_tag_name("status")) {
            continue;
        }
        for attribute in node.attributes() {
            if is_a_name_only(node.tag_name().name(), attribute.name()) {
                continue;
            }
            let same = |after: Imported| {
                after.report == before.report
                    && after.document.nodes == before.document.nodes
                    && after.document.groups == before.document.groups
                    && after.document.rules == before.document.rules
                    && after.document.policy == before.document.policy
                    && after.document.fence_agents == before.document.fence_agents
                    && after.document.cluster.name == before.document.cluster.name
            };
            let is_silent = |value: &&str| {
                let mut changed = RICH.to_owned();
                changed.replace_range(attribute.range_value(), value);
                import_pacemaker(&changed, "cib.xml").is_ok_and(same)
            };
            if ["other", "east"].iter().all(is_silent) {
                let line = tree.text_pos_at(node.range().start).row;
                silent.push(format!(
                    "line {line}: {} of {}",
                    attribute.name(),
                    node.tag_name().name()
                ));
            }
        }
    }
    assert!(silent.is_empty(), "changed without a trace:\n{}", silent.join("\n"));
}

#[test]
fn a_rich_cib_becomes_a_configuration_that_holds_together() {
    let imported = rich();
    let config = imported.config().unwrap_or_else(|error| panic!("{error}\n{}", imported.report));
    assert_eq!(config.name(), "harbour");
    let text = imported.to_toml();
    let again = Config::from_toml_str(&text, "cluster.toml").unwrap();
    assert_eq!(again.document(), &imported.document);
    assert!(text.starts_with("# Imported. Left to do"), "{text}");
}

#[test]
fn nodes_keep_their_room_and_remote_ones_have_no_vote() {
    let imported = rich();
    let nodes: Vec<(&str, bool)> =
        imported.document.nodes.iter().map(|node| (node.name.as_str(), node.voter)).collect();
    assert_eq!(nodes, [("hall1", true), ("hall2", true), ("quay", true), ("pier", false)]);
    assert_eq!(
        imported.document.nodes[0].capacity,
        BTreeMap::from([("cpu".into(), 32), ("memory".into(), 64_000)])
    );
    is_told(&imported, Needed, &["node hall2", "standby = on", "quorate drain hall2"]);
    is_told(&imported, Needed, &["hall1:7400 is a guess", "nodes.hall1.addresses"]);
}

#[test]
fn what_a_resource_says_is_found_in_its_group() {
    let imported = rich();
    let crane = group(&imported, "crane");
    assert_eq!(crane.priority, Priority::Points(20));
    assert_eq!((crane.failback, crane.stickiness), (true, 200));
    assert_eq!((crane.node_failures_max, crane.failures_expire_s), (Some(3), Some(600)));
    assert_eq!(crane.uses, BTreeMap::from([("memory".into(), 4096)]));
    assert!(crane.awaits_fences && crane.auto_start);
    let resource = &crane.resources[0];
    assert!(resource.live_on_move, "the template says so");
    assert_eq!(resource.on_deadlock, OnDeadlock::FenceNode, "its stop says so");
    assert_eq!((resource.restart_threshold, resource.restart_period_s), (2, 600));
    assert_eq!(resource.pending_timeout_s, 180, "the longer of start and stop");
    let settings = resource.settings["settings"].as_table().unwrap();
    assert_eq!(settings["agent"].as_str(), Some("ocf:heartbeat:VirtualDomain"));
    assert_eq!(settings["parameters"]["config"].as_str(), Some("/etc/libvirt/qemu/crane.xml"));
    assert_eq!(settings["operations"].as_array().unwrap().len(), 3);

    assert_eq!(crane.initial_owner.as_deref(), Some("hall1"), "it runs there");
    assert_eq!(group(&imported, "store").initial_owner, None, "it was stopped there");
    assert_eq!(imported.drained, ["hall2"]);
    assert!(!group(&imported, "ferry").auto_start);
    let tug = group(&imported, "tug");
    let policy = (tug.resources[0].restart_action, tug.resources[0].retry_period_s);
    assert_eq!(policy, (RestartAction::DoNotRestart, Seconds::Never));
    assert_eq!(tug.stickiness, 60, "the default for systemd comes before the one for all");
    is_told(&imported, Needed, &["primitive tug", "is-managed"]);
    is_told(&imported, NoCounterpart, &["op tug-start", "on-fail = fence"]);
    is_told(&imported, NotNeeded, &["op tug-stop", "on-fail = block"]);
}

#[test]
fn a_group_is_one_of_ours_whose_resources_need_the_ones_before() {
    let imported = rich();
    let store = group(&imported, "store");
    let needs: Vec<(&str, &[String])> =
        store.resources.iter().map(|one| (one.name.as_str(), one.depends_on.as_slice())).collect();
    assert_eq!(needs, [("store-disk", &[][..]), ("store-address", &["store-disk".to_owned()][..])]);
    assert_eq!((store.priority, store.stickiness), (Priority::Points(50), 180));
    assert_eq!(store.resources[0].pending_timeout_s, 45, "from op_defaults");
    assert_eq!(rules(&imported, "loose").len(), 1, "apart, one after the other");
}

#[test]
fn a_clone_is_a_group_for_each_instance_and_roles_are_left_out() {
    let imported = rich();
    let apart = rules(&imported, "lamp-everywhere").pop().unwrap().apart.unwrap();
    assert_eq!((apart.groups, apart.strict), (vec!["lamp-1".into(), "lamp-2".into()], true));
    is_told(&imported, NoCounterpart, &["clone chart-copies", "promoted"]);
    is_told(&imported, NoCounterpart, &["bundle kiosk", "podman.image = harbour/kiosk:4"]);
}

#[test]
fn locations_become_scores_as_far_as_they_can_be_told() {
    let imported = rich();
    let scores = |name: &str| {
        let group = group(&imported, name);
        let one = |(node, score): (String, Score)| (node, score.points());
        group.scores.into_iter().map(one).collect::<Vec<_>>()
    };
    let named = |list: &[(&str, i32)]| {
        list.iter().map(|&(node, score)| (node.to_owned(), score)).collect::<Vec<_>>()
    };
    const NEVER: i32 = -1_000_000;
    assert_eq!(scores("crane"), named(&[("hall1", 100), ("hall2", 12)]));
    assert_eq!(scores("ferry"), named(&[("hall1", 3), ("hall2", 12), ("quay", NEVER)]));
    assert_eq!(scores("store"), named(&[("pier", NEVER), ("quay", NEVER)]));
    assert_eq!(scores("loose-a"), named(&[("hall2", 7)]));
    let tug = [("hall1", 158), ("hall2", NEVER), ("pier", NEVER), ("quay", 4)];
    assert_eq!(scores("tug"), named(&tug), "weight, two exclusive nodes, a tag");
    is_told(&imported, NoCounterpart, &["rule crane-rule", "pingd"]);
    is_told(&imported, NoCounterpart, &["rule night-rule", "hours = 22-23"]);
    is_told(&imported, NoCounterpart, &["power-not-at-home", "was not imported"]);
}

#[test]
fn an_opt_in_cluster_closes_every_node_that_is_not_named() {
    let text = small(&primitives(&["a"]), "<rsc_location id='l' rsc='a' node='n2' score='0'/>");
    let set = "<cluster_property_set id='o'><nvpair id='s' name='symmetric-cluster' value='false'/>\
               </cluster_property_set>";
    let text = text.replace("<crm_config/>", &format!("<crm_config>{set}</crm_config>"));
    let imported = import_pacemaker(&text, "cib.xml").unwrap();
    let scores = group(&imported, "a").scores;
    let scores: Vec<i32> = scores.values().map(|score| score.points()).collect();
    assert_eq!(scores, [-1_000_000, 0, -1_000_000]);
}

#[test]
fn colocations_and_orders_become_rules() {
    let imported = rich();
    let near = |name: &str| -> Vec<(String, String, i32, bool)> {
        let near = rules(&imported, name).into_iter().filter_map(|rule| rule.near);
        near.map(|one| (one.group, one.with, one.score.points(), one.influence)).collect()
    };
    let says = |group: &str, with: &str, score, influence| {
        (group.to_owned(), with.to_owned(), score, influence)
    };
    assert_eq!(near("crane-by-store"), [says("crane", "store", 500, false)]);
    assert_eq!(near("ferry-without-tug"), [says("ferry", "tug", -1_000_000, true)]);
    assert_eq!(
        near("crowd"),
        [
            says("ferry", "crane", -40, true),
            says("tug", "crane", -40, true),
            says("tug", "ferry", -40, true)
        ]
    );
    assert_eq!(
        near("shared-ground"),
        [says("crane", "store", 35, true), says("ferry", "store", 35, true)]
    );
    let order = |name: &str| rules(&imported, name).pop().unwrap().order.unwrap();
    let first = order("store-first");
    assert_eq!((first.first.as_deref(), first.then.as_str()), (Some("store"), "crane"));
    assert_eq!(order("not-together").kind, OrderKind::Serialize);
    let leaves = order("tug-leaves");
    assert_eq!((leaves.kind, leaves.first_act), (OrderKind::Optional, OrderAct::Stop));
    let either = order("either-way");
    assert_eq!(either.first_any, ["loose-a", "tug"]);
    assert_eq!(order("lamps-first").first_any, ["lamp-1", "lamp-2"]);
    is_told(&imported, Approximated, &["lamps-first", "any of its instances"]);
    is_told(&imported, NoCounterpart, &["chart-first", "roles"]);
    is_told(&imported, NoCounterpart, &["east-ticket", "tickets"]);
    is_told(&imported, NoCounterpart, &["site-bound", "attribute of nodes"]);
}

#[test]
fn options_of_the_cluster_become_its_policy() {
    let imported = rich();
    let policy = &imported.document.policy;
    assert_eq!((policy.balance, policy.limited), (Balance::Room, true));
    assert!(policy.keep_without_quorum);
    is_told(&imported, NoCounterpart, &["a-word-of-tomorrow = 42"]);
    is_told(&imported, NotNeeded, &["dc-version = 2.1.9-1"]);
}

#[test]
fn fence_devices_become_agents_with_their_plugs_and_levels() {
    let imported = rich();
    let [hall1] = imported.document.fence_agents.as_slice() else { panic!() };
    assert_eq!((hall1.name.as_str(), hall1.level, hall1.timeout_s), ("power-hall1", 1, 90));
    assert_eq!(hall1.nodes, FencedNodes::Named(vec!["hall1".to_owned()]));
    assert_eq!(hall1.parameters["ip"].as_str(), Some("192.0.2.101"));
    let device = |id: &str, kind: &str, pairs: &[(&str, &str)]| {
        let pairs: String = pairs
            .iter()
            .map(|(name, value)| {
                format!("<nvpair id='{id}-{name}' name='{name}' value='{value}'/>")
            })
            .collect();
        format!(
            "<primitive id='{id}' class='stonith' type='{kind}'><instance_attributes id='{id}-i'>{pairs}\
                 </instance_attributes></primitive>"
        )
    };
    let devices = [
        device(
            "pdu",
            "fence_apc",
            &[("pcmk_host_map", "n1:1;n2:2,3"), ("ip", "192.0.2.1"), ("pcmk_delay_base", "5s")],
        ),
        device(
            "boards",
            "fence_ipmilan",
            &[("pcmk_host_list", "n1,n2,lost"), ("pcmk_reboot_action", "off")],
        ),
        device("old", "external/ssh", &[("hostlist", "n1")]),
        device("asked", "fence_virsh", &[("ip", "192.0.2.2")]),
    ]
    .concat();
    let topology = "</constraints><fencing-topology><fencing-level id='l1' target='n1' index='1' devices='boards'/>\
                    <fencing-level id='l2' target='n1' index='2' devices='pdu'/></fencing-topology><constraints>";
    let imported = import_pacemaker(&small(&devices, topology), "cib.xml").unwrap();
    let found: Vec<(String, u8, FencedNodes)> = imported
        .document
        .fence_agents
        .iter()
        .map(|agent| (agent.name.clone(), agent.level, agent.nodes.clone()))
        .collect();
    let plugs = |pairs: &[(&str, &str)]| {
        FencedNodes::Plugs(
            pairs.iter().map(|(node, plug)| ((*node).to_owned(), (*plug).to_owned())).collect(),
        )
    };
    assert_eq!(
        found,
        [
            ("pdu".to_owned(), 1, plugs(&[("n2", "2,3")])),
            ("pdu-2".to_owned(), 2, plugs(&[("n1", "1")])),
            ("boards".to_owned(), 1, plugs(&[("n1", "n1"), ("n2", "n2")])),
        ]
    );
    assert_eq!(imported.document.fence_agents[2].action, FenceAction::Off);
    is_told(&imported, NoCounterpart, &["boards", "lost"]);
    is_told(&imported, Approximated, &["boards", "a guess"]);
    is_told(&imported, NotNeeded, &["pcmk_delay_base = 5s", "race"]);
    is_told(&imported, NoCounterpart, &["old", "fence_..."]);
    is_told(&imported, Needed, &["asked", "with its nodes"]);
    imported.config().unwrap();
}

#[test]
fn names_that_cannot_be_ours_are_changed_and_told() {
    let text = small(&primitives(&["café", "caf-"]), "");
    let imported = import_pacemaker(&text, "cib.xml").unwrap();
    let names: Vec<&str> =
        imported.document.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["caf-", "caf--2"]);
    is_told(&imported, Approximated, &["café", "\"caf-\""]);
    imported.config().unwrap();
}

#[test]
fn what_cannot_hold_together_is_told() {
    let circle = "<rsc_order id='o1' first='a' then='b'/><rsc_order id='o2' first='b' then='a'/>";
    let text = small(&primitives(&["a", "b"]), circle);
    let imported = import_pacemaker(&text, "cib.xml").unwrap();
    assert!(imported.config().is_err());
    is_told(&imported, Needed, &["rules.o", "lead back to their start"]);

    let empty = import_pacemaker("<cib><configuration/></cib>", "cib.xml").unwrap();
    is_told(&empty, Needed, &["nodes", "there is no node"]);
}

#[test]
fn a_failed_start_is_fatal_on_its_node_unless_it_is_said_not_to_be() {
    let fatal = |imported: &Imported| {
        let resources = imported.document.groups.iter().flat_map(|group| &group.resources);
        resources.map(|one| one.start_failure_is_fatal).collect::<Vec<bool>>()
    };
    let cib = small(&primitives(&["a", "b"]), "");
    let imported = import_pacemaker(&cib, "cib.xml").unwrap();
    assert_eq!(fatal(&imported), [true, true]);
    let said = "<crm_config><cluster_property_set id='o'><nvpair id='f' name='start-failure-is-fatal' \
                value='false'/></cluster_property_set></crm_config>";
    let imported = import_pacemaker(&cib.replace("<crm_config/>", said), "cib.xml").unwrap();
    assert_eq!(fatal(&imported), [false, false]);
    assert_eq!(findings(&imported, "start-failure-is-fatal"), Vec::<String>::new());
}

#[test]
fn a_set_alone_whose_members_mean_nothing_for_each_other_is_told_of() {
    let colocation = "<rsc_colocation id='side' score='INFINITY'><resource_set id='s' sequential='false'>\
                      <resource_ref id='a'/><resource_ref id='b'/></resource_set></rsc_colocation>";
    let imported =
        import_pacemaker(&small(&primitives(&["a", "b"]), colocation), "cib.xml").unwrap();
    is_told(&imported, NotNeeded, &["side", "sequential"]);
    assert!(imported.document.rules.is_empty());
}
