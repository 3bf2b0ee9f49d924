//! Nodes that come into a running cluster, and go.

use quorate::config::{NewNode, Node as NodeText};
use quorate::{Error, Node, NoticeKind, Status, Ticket};

use super::trio::{PATIENCE, Trio, fourth_address, wait, wait_notice};

fn accept(node: &Node, ticket: Result<Ticket, Error>) {
    node.command_wait(ticket.unwrap(), PATIENCE).unwrap();
}

fn refusal(node: &Node, ticket: Result<Ticket, Error>) -> String {
    node.command_wait(ticket.unwrap(), PATIENCE).unwrap_err().to_string()
}

fn names(status: &Status) -> Vec<&str> {
    status.nodes.iter().map(|node| node.name.as_str()).collect()
}

#[test]
fn a_node_is_added_and_takes_over_and_others_are_evicted_running_or_dead() {
    let mut trio = Trio::with_counter();
    let first = trio.wait_online("counter", None);
    let new = NewNode::new(NodeText::new("n4", &[&fourth_address()]));
    accept(trio.node(1), trio.node(1).add_node(&new));
    trio.config = trio.node(1).configuration().unwrap().config;
    trio.start(4);
    trio.wait_all("four votes", |status| status.votes == 4);

    accept(trio.node(1), trio.node(1).move_group("counter", Some("n4")));
    assert_eq!(trio.wait_online("counter", Some(first)), 4);
    trio.wait_ticks(4);
    let refused = refusal(trio.node(1), trio.node(1).evict_node("n4"));
    assert!(refused.contains("n4 has counter") && refused.contains("drain it first"), "{refused}");

    let gone = format!("n{first}");
    accept(trio.node(first), trio.node(first).evict_node(&gone));
    let last = wait_notice(trio.node(first), NoticeKind::Ended, |_| true);
    assert!(last.to_string().contains("was evicted"), "{last}");
    trio.kill(first);
    trio.wait_all("three nodes", |status| status.votes == 3 && !names(status).contains(&&*gone));
    let id = u16::try_from(first).ok();
    let again = NodeText { id, ..NodeText::new("n5", &["127.0.0.1:9"]) };
    let refused = refusal(trio.node(4), trio.node(4).add_node(&NewNode::new(again)));
    assert!(refused.contains("no node ever had"), "{refused}");

    let killed = (1..=3).find(|&number| number != first).unwrap();
    trio.kill(killed);
    let dead = format!("n{killed}");
    let is_fenced = |status: &Status| {
        status.nodes.iter().any(|node| node.name == dead && node.state == "fenced")
    };
    wait(trio.node(4), "the fence", &mut |status| is_fenced(status));
    accept(trio.node(4), trio.node(4).evict_node(&dead));
    trio.wait_all("two nodes", |status| status.votes == 2 && names(status).len() == 2);
    trio.wait_ticks(4);
    trio.check_one_writer();
}
