//! What is carried out as planned comes to rest: no plan sends back what the one before it has sent there.

use super::mended::{any_group, any_policy, any_rule};
use super::*;

const NODES: u16 = 5;
const GROUPS: u32 = 6;
/// Rounds until all are where they belong: each of them has to stop and to start, and may have to wait for all others.
const ROUNDS_MAX: usize = 40;
const DOWN: Candidate = Candidate { up: false, heard: false, paused: false, keeps: Keeps::All };

/// A round: what is not where it belongs stops, or starts, unless it is not quick enough for this round. False: all are
/// there, as far as they do not wait for others.
fn carry_out(config: &ClusterConfig, plan: &Plan, now: &mut [Now], quick: u8) -> bool {
    let before = now.to_vec();
    let mut differs = false;
    for (group, one) in now.iter_mut().enumerate() {
        let to = plan.node(group);
        if to == one.at.filter(|_| one.runs) || !one.runs && waits(config, &before, group) {
            continue;
        }
        differs = true;
        if quick >> group & 1 == 1 {
            let runs = !one.runs;
            *one = Now { at: to.or(one.at), runs, under_way: true, ..one.clone() };
        }
    }
    differs
}

/// Whether something that does not run has to run before a group.
fn waits(config: &ClusterConfig, now: &[Now], group: usize) -> bool {
    let id = config.groups()[group].id;
    let runs = |one: &GroupId| config.place_of(*one).is_some_and(|place| now[place].runs);
    config.rules().iter().any(|rule| match &rule.says {
        Says::Order { first, then, .. } => *then == id && !first.iter().any(runs),
        _ => false,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_done_as_planned_comes_to_rest(
        all in (1..=GROUPS).map(any_group).collect::<Vec<_>>(),
        says in proptest::collection::vec(any_rule(GROUPS), 0..4),
        policy in any_policy(),
        at in proptest::collection::vec(0..=NODES, GROUPS as usize),
        open in 2..=NODES,
        quick in proptest::collection::vec(any::<u8>(), 0..5),
    ) {
        let config = cluster(NODES, all, says, policy);
        let mut nodes = all_open(NODES);
        nodes.extend((open + 1..=NODES).map(|closed| (NodeId(closed), DOWN)));
        let begin = |&at: &u16| match at {
            0 => new(),
            _ if at > open => Now { recovers: true, ..new() },
            _ => on(at),
        };
        let mut now: Vec<Now> = at.iter().map(begin).collect();
        let mut tale: Vec<Plan> = Vec::new();
        let all = || [0xff; ROUNDS_MAX];
        for quick in quick.into_iter().chain(all()) {
            let plan = plan(&config, &nodes, now.clone());
            if !carry_out(&config, &plan, &mut now, quick) {
                return Ok(());
            }
            tale.push(plan);
        }
        prop_assert!(false, "no rest: {:?}", &tale[ROUNDS_MAX - 4..]);
    }
}
