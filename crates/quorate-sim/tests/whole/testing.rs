//! The test cluster does what the tests of its users rest on.

#![allow(clippy::disallowed_types, reason = "a test shares what its resource has heard")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_sim::testing::{Cluster, Disk, Error, HostState, Kind, Reply, Request, Served, Verb};

const MINUTE: Duration = Duration::from_secs(60);

/// Three nodes at rest, and the owner of vm1.
fn settled() -> (Cluster, String) {
    let mut cluster = Cluster::new(3, 7).unwrap();
    cluster.settle().unwrap();
    let owner = cluster.owner_of("vm1").unwrap().expect("it runs");
    (cluster, owner)
}

/// Lets time pass until vm1 runs elsewhere, and gives its owner.
fn moved_from(cluster: &mut Cluster, old: &str) -> String {
    let new = |cluster: &Cluster| cluster.owner_of("vm1").unwrap().filter(|owner| owner != old);
    cluster.run_until(MINUTE, |cluster| new(cluster).is_some()).unwrap();
    new(cluster).expect("it was just seen")
}

#[test]
fn the_same_seed_gives_the_same_timeline() {
    let run = |seed| {
        let mut cluster = Cluster::new(3, seed).unwrap();
        cluster.settle().unwrap();
        cluster.crash("n1").unwrap();
        cluster.settle().unwrap();
        cluster.timeline().to_vec()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn each_fault_moves_the_group_and_nothing_comes_back_by_itself() {
    type Fault = fn(&mut Cluster, &str) -> Result<(), Error>;
    let faults: [(Fault, HostState); 6] = [
        (|cluster, node| cluster.crash(node), HostState::Ended),
        (|cluster, node| cluster.power_off(node), HostState::Off),
        (|cluster, node| cluster.cut(node), HostState::Runs),
        (|cluster, node| cluster.leave(node), HostState::Ended),
        (|cluster, node| cluster.pause(node, MINUTE * 60), HostState::Paused),
        (|cluster, node| cluster.cut_storage(node, None), HostState::Runs),
    ];
    for (number, (fault, state)) in faults.into_iter().enumerate() {
        let (mut cluster, old) = settled();
        fault(&mut cluster, &old).unwrap();
        let new = moved_from(&mut cluster, &old);
        cluster.run(MINUTE).unwrap();
        assert_eq!(cluster.host_state(&old).unwrap(), state, "fault {number}");
        assert_eq!(cluster.owner_of("vm1").unwrap(), Some(new), "fault {number}");
        cluster.heal();
        cluster.settle().unwrap();
        let status = cluster.status().unwrap();
        assert!(status.nodes.iter().all(|node| node.state == "up"), "fault {number}: {status:?}");
        assert_eq!(cluster.running_on("vm1").unwrap().len(), 1);
        assert_eq!(cluster.violations(), []);
    }
}

#[test]
fn what_is_healed_while_it_leaves_comes_back() {
    let (mut cluster, owner) = settled();
    cluster.leave(&owner).unwrap();
    cluster.heal();
    cluster.settle().unwrap();
    assert_eq!(cluster.host_state(&owner).unwrap(), HostState::Runs);
    assert!(cluster.status().unwrap().nodes.iter().all(|node| node.state == "up"));
}

#[test]
fn without_a_majority_nothing_runs() {
    let (mut cluster, owner) = settled();
    for node in ["n1", "n2", "n3"].into_iter().filter(|node| *node != owner) {
        cluster.power_off(node).unwrap();
    }
    cluster.settle().unwrap();
    assert_eq!(cluster.owner_of("vm1").unwrap(), None);
    let before = cluster.outage_of("vm1").unwrap();
    cluster.run(MINUTE).unwrap();
    assert_eq!(cluster.outage_of("vm1").unwrap(), before + MINUTE);
    cluster.heal();
    cluster.settle().unwrap();
    assert!(cluster.owner_of("vm1").unwrap().is_some());
}

#[test]
fn a_cluster_of_one_runs_until_it_is_off() {
    let mut cluster = Cluster::new(1, 1).unwrap();
    cluster.settle().unwrap();
    cluster.crash("n1").unwrap();
    cluster.settle().unwrap();
    assert_eq!(cluster.owner_of("vm1").unwrap(), None);
    cluster.start("n1").unwrap();
    cluster.settle().unwrap();
    assert_eq!(cluster.owner_of("vm1").unwrap().as_deref(), Some("n1"));
}

#[test]
fn a_split_leaves_the_majority_and_one_network_of_two_is_no_loss() {
    let (mut cluster, owner) = settled();
    cluster.cut_network(&owner, 0).unwrap();
    cluster.lose_network(1).unwrap();
    cluster.mend(&owner).unwrap();
    cluster.settle().unwrap();
    assert_eq!(cluster.owner_of("vm1").unwrap(), Some(owner.clone()));
    cluster.split(&[owner.as_str()]).unwrap();
    assert_ne!(moved_from(&mut cluster, &owner), owner);
}

#[test]
fn commands_are_answered_and_refused_with_a_reason() {
    let (mut cluster, owner) = settled();
    let other = if owner == "n1" { "n2" } else { "n1" };
    cluster.move_group("vm1", Some(other)).unwrap();
    assert_eq!(moved_from(&mut cluster, &owner), other);
    cluster.offline("vm1").unwrap();
    cluster.settle().unwrap();
    assert_eq!(cluster.owner_of("vm1").unwrap(), None);
    let refused = cluster.move_group("vm2", None).unwrap_err();
    assert!(
        matches!(refused, Error::Refused(_)) && refused.to_string().contains("vm1"),
        "{refused}"
    );
    let untrue = cluster.confirm_fenced("n1", "I think so").unwrap_err();
    assert!(untrue.to_string().contains("n1 still runs"), "{untrue}");
}

#[test]
fn a_wrong_name_is_refused_with_the_right_ones() {
    let (mut cluster, _) = settled();
    let texts = [
        cluster.crash("n9").unwrap_err(),
        cluster.owner_of("vm9").unwrap_err(),
        cluster.cut_storage("n1", Some("disk9")).unwrap_err(),
        cluster.cut_network("n1", 2).unwrap_err(),
        cluster.answer_for("r9").unwrap_err(),
    ]
    .map(|error| error.to_string());
    assert_eq!(
        texts,
        [
            "node n9 is not known; known are: n1, n2, n3",
            "group vm9 is not known; known are: vm1",
            "lun disk9 is not known; known are: disk-vm1",
            "network 2 is not known; known are: 0, 1",
            "resource r9 is not known; known are: vm1",
        ]
    );
}

/// What was asked, by node and verb.
#[derive(Default)]
struct Asked(Vec<String>);

/// Takes 3 s to start, refuses to stop, and remembers what it was asked.
struct Stubborn(Arc<Mutex<Asked>>);

impl Served for Stubborn {
    fn carry_out(&mut self, request: &Request) -> Reply {
        self.0.lock().unwrap().0.push(format!("{} {}", request.verb, request.node));
        match request.verb {
            Verb::Start => Reply::done().after(Duration::from_secs(3)),
            Verb::Stop => Reply::failed("I will not"),
            Verb::Load | Verb::Run | Verb::Save | Verb::Kill => Reply::done(),
        }
    }

    fn gone(&mut self, node: &str) {
        self.0.lock().unwrap().0.push(format!("gone {node}"));
    }
}

#[test]
fn a_served_resource_is_asked_in_virtual_time() {
    let mut cluster = Cluster::builder().seed(5).group("db", Disk::None).build().unwrap();
    let asked = Arc::new(Mutex::new(Asked::default()));
    cluster.serve("db", Stubborn(asked.clone())).unwrap();
    cluster.settle().unwrap();
    let first = cluster.owner_of("db").unwrap().expect("it runs");
    let other = if first == "n1" { "n2" } else { "n1" };
    cluster.move_group("db", Some(other)).unwrap();
    cluster.settle().unwrap();
    assert_eq!(cluster.owner_of("db").unwrap().as_deref(), Some(other));
    let outage = cluster.outage_of("db").unwrap();
    assert!((Duration::from_secs(3)..Duration::from_secs(5)).contains(&outage), "{outage:?}");
    cluster.crash(other).unwrap();
    cluster.settle().unwrap();
    let third = cluster.owner_of("db").unwrap().expect("it runs");
    assert_eq!(
        asked.lock().unwrap().0,
        [
            format!("start {first}"),
            format!("stop {first}"),
            format!("kill {first}"),
            format!("start {other}"),
            format!("gone {other}"),
            format!("start {third}"),
        ]
    );
}

#[test]
fn a_start_that_hangs_is_killed_and_tried_elsewhere() {
    let mut cluster = Cluster::new(3, 1).unwrap();
    let mut hung: Option<String> = None;
    let hangs = move |request: &Request| match request.verb {
        Verb::Start if *hung.get_or_insert(request.node.clone()) == request.node => Reply::never(),
        _ => Reply::done(),
    };
    cluster.serve("vm1", hangs).unwrap();
    cluster.run_until(MINUTE * 60, |cluster| cluster.owner_of("vm1").unwrap().is_some()).unwrap();
    let failed = cluster.timeline().iter().filter(|entry| entry.kind == Kind::GroupAssigned);
    assert!(failed.count() > 1, "{:#?}", cluster.timeline());
}

#[test]
fn requests_are_taken_and_completed_by_hand() {
    let mut cluster = Cluster::new(3, 2).unwrap();
    cluster.answer_for("vm1").unwrap();
    let start = cluster.next_request(MINUTE).unwrap();
    assert_eq!((start.verb, start.luns.as_slice()), (Verb::Start, &["disk-vm1".to_owned()][..]));
    assert_eq!(cluster.now(), start.at);
    cluster.run(Duration::from_secs(2)).unwrap();
    assert_eq!(cluster.owner_of("vm1").unwrap(), None);
    cluster.complete(start.id, Ok(())).unwrap();
    cluster.settle().unwrap();
    assert_eq!(cluster.owner_of("vm1").unwrap(), Some(start.node.clone()));
    let again = cluster.complete(start.id, Ok(())).unwrap_err();
    assert!(matches!(again, Error::Misuse(_)), "{again}");
    cluster.report("vm1", &start.node, "it answers no more").unwrap();
    let kill = cluster.next_request(MINUTE).unwrap();
    assert_eq!((kill.verb, kill.epoch), (Verb::Kill, start.epoch));
    cluster.crash(&kill.node).unwrap();
    let next = cluster.next_request(MINUTE).unwrap();
    assert_eq!(next.verb, Verb::Start);
    assert_ne!(next.node, start.node);
    cluster.complete(kill.id, Ok(())).unwrap_err();
}

#[test]
fn a_run_can_be_seen() {
    let (mut cluster, owner) = settled();
    cluster.power_off(&owner).unwrap();
    moved_from(&mut cluster, &owner);
    let page = cluster.html();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("disk-vm1"), "{page}");
}

#[test]
fn what_was_waited_for_in_vain_is_told_with_what_happened_last() {
    let (mut cluster, _) = settled();
    let error = cluster.run_until(MINUTE, |_| false).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("60 s of virtual time") && text.contains("group_started vm1"), "{text}");
}

#[test]
fn a_node_comes_and_another_goes_and_the_new_one_counts() {
    let (mut cluster, owner) = settled();
    let voting = |cluster: &Cluster| cluster.config().voters().count();
    let taken = cluster.add_node("n2", true).unwrap_err();
    assert!(matches!(taken, Error::Refused(_)), "{taken}");
    cluster.add_node("new", true).unwrap();
    cluster.settle().unwrap();
    assert_eq!((voting(&cluster), cluster.host_state("new").unwrap()), (4, HostState::Runs));
    let busy = cluster.evict_node(&owner).unwrap_err().to_string();
    assert!(busy.contains("drain it first"), "{busy}");
    cluster.drain(&owner).unwrap();
    cluster.settle().unwrap();
    cluster.evict_node(&owner).unwrap();
    cluster.settle().unwrap();
    assert_eq!(voting(&cluster), 3);
    assert!(matches!(cluster.host_state(&owner), Err(Error::Unknown { .. })));
    // Of three that vote one may be lost, whoever they are.
    cluster.crash("new").unwrap();
    cluster.settle().unwrap();
    assert!(cluster.owner_of("vm1").unwrap().is_some_and(|owner| owner != "new"));
}
