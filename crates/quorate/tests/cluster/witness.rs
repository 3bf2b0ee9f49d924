//! Two nodes and a witness in a directory: what each loss comes to.

use quorate::{NoticeKind, Status};

use super::trio::{Trio, wait, wait_notice};

/// The witness takes part: it is made, and both nodes have seen it.
fn takes_part(status: &Status) -> bool {
    status.witness.as_ref().is_some_and(|one| one.votes && one.made && one.reachable == Some(true))
}

fn pair() -> Trio {
    let pair = Trio::pair_with_witness();
    pair.wait_all("the witness", takes_part);
    pair
}

#[test]
fn of_two_nodes_one_goes_on_with_the_group_when_the_other_dies() {
    let mut pair = pair();
    assert_eq!(pair.node(1).status().unwrap().votes, 3);
    for _ in 0..2 {
        let first = pair.wait_online("counter", None);
        pair.wait_ticks(first);
        pair.kill(first);
        let second = pair.wait_online("counter", Some(first));
        assert_ne!(first, second);
        pair.wait_ticks(second);
        pair.start(first);
        pair.wait_all("the return", |status| status.nodes.iter().all(|node| node.state == "up"));
    }
    pair.check_one_writer();
}

#[test]
fn both_nodes_go_on_without_the_witness_and_say_that_it_is_gone() {
    let pair = pair();
    let owner = pair.wait_online("counter", None);
    let away = pair.dir.path().join("away");
    std::fs::rename(pair.witness_dir(), &away).unwrap();
    for number in [1, 2] {
        let told = wait_notice(pair.node(number), NoticeKind::Witness, |told| {
            told.text.contains("cannot be used")
        });
        assert!(told.field("detail").is_some(), "{told:?}");
    }
    pair.wait_ticks(owner);
    std::fs::rename(&away, pair.witness_dir()).unwrap();
    pair.wait_all("the witness's return", takes_part);
    assert_eq!(pair.wait_online("counter", None), owner);
    pair.check_one_writer();
}

#[test]
fn of_two_nodes_that_are_cut_off_each_other_exactly_one_goes_on() {
    let pair = pair();
    let first = pair.wait_online("counter", None);
    pair.wait_ticks(first);
    pair.node(1).cut_network(true);
    pair.node(2).cut_network(true);
    let acts = |number: usize| pair.node(number).status().unwrap().lease_left_ms.is_some();
    let name = |number: usize| format!("n{number}");
    let goes_on = |number: usize, status: &Status| {
        let mut peers = status.nodes.iter().filter(|node| node.name != name(number));
        let alone = peers.all(|node| node.state == "fenced");
        alone && status.online_on("counter") == Some(name(number).as_str())
    };
    let mut kept = None;
    super::trio::wait_for("one side that goes on", || {
        let of = |&number: &usize| goes_on(number, &pair.node(number).status().unwrap());
        [1, 2].iter().any(of)
    });
    for number in [1, 2] {
        if goes_on(number, &pair.node(number).status().unwrap()) {
            assert!(kept.replace(number).is_none(), "both go on");
        }
    }
    let kept = kept.unwrap();
    assert!(acts(kept) && !acts(3 - kept));
    pair.wait_ticks(kept);
    pair.node(1).cut_network(false);
    pair.node(2).cut_network(false);
    pair.wait_all("the return", |status| status.nodes.iter().all(|node| node.state == "up"));
    assert_eq!(pair.wait_online("counter", None), kept);
    pair.check_one_writer();
}

#[test]
fn a_witness_whose_place_is_empty_is_not_made_anew() {
    let mut pair = pair();
    let away = pair.dir.path().join("away");
    std::fs::rename(pair.witness_dir(), &away).unwrap();
    std::fs::create_dir(pair.witness_dir()).unwrap();
    let told = wait_notice(pair.node(1), NoticeKind::Witness, |told| told.text.contains("empty"));
    assert!(told.text.contains("mounted"), "{told}");
    let first = pair.wait_online("counter", None);
    pair.kill(first);
    let left = pair.node(3 - first);
    wait_notice(left, NoticeKind::LeaseLost, |_| true);
    assert_eq!(std::fs::read_dir(pair.witness_dir()).unwrap().count(), 0);
    std::fs::remove_dir(pair.witness_dir()).unwrap();
    std::fs::rename(&away, pair.witness_dir()).unwrap();
    wait(left, "the failover", &mut |status| {
        status.online_on("counter") == Some(format!("n{}", 3 - first).as_str())
    });
    pair.check_one_writer();
}
