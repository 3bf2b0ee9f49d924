//! Any configuration reads and writes as TOML, as JSON, and out of what the engine holds.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;

const NODES: usize = 3;
const GROUPS: usize = 4;
const KINDS: [&str; 4] = ["cpus", "memory", "gpu_a", "x"];

fn amounts() -> impl Strategy<Value = Amounts> {
    let kinds = prop::sample::select(KINDS.to_vec()).prop_map(str::to_owned);
    btree_map(kinds, 0..1_000_000_u64, 0..3)
}

fn score() -> impl Strategy<Value = Score> {
    let points = (-1_000_000..=1_000_000).prop_map(|points| Score::new(points).unwrap());
    prop_oneof![Just(Score::MUST), Just(Score::NEVER), points]
}

fn priority() -> impl Strategy<Value = Priority> {
    let words = prop_oneof![Just(3000), Just(2000), Just(1000), any::<i32>()];
    prop_oneof![words.prop_map(Priority::Points), Just(Priority::NoAutoStart)]
}

fn node(at: usize) -> impl Strategy<Value = Node> {
    (amounts(), any::<bool>(), "[ab]").prop_map(move |(capacity, voter, site)| Node {
        // The first one names everything.
        capacity: if at == 0 { KINDS.map(|kind| (kind.to_owned(), 9)).into() } else { capacity },
        rack: format!("{site}1"),
        site,
        voter: voter || at == 0,
        ..Node::new(format!("n{at}"), &[&format!("127.0.0.1:{}", 7000 + at)])
    })
}

fn resource(name: String) -> impl Strategy<Value = Resource> {
    let setting = prop_oneof![
        any::<i64>().prop_map(toml::Value::Integer),
        any::<bool>().prop_map(toml::Value::Boolean),
        "[ -~äß\"\\\\\n]{0,8}".prop_map(toml::Value::String),
    ];
    let settings = btree_map("[a-zA-Z0-9 ä.]{1,6}", setting, 0..4);
    let actions = [RestartAction::DoNotRestart, RestartAction::RestartThenFailOver];
    let policy = (prop::sample::select(actions.to_vec()), any::<bool>());
    (settings, any::<(bool, u32, u16)>(), policy).prop_map(move |(settings, numbers, policy)| {
        let (live, restarts, length) = numbers;
        let (restart_action, patient) = policy;
        let table = toml::Value::Table(settings.into_iter().collect());
        let settings = Settings::from([("settings".to_owned(), table)]);
        Resource {
            live_on_move: live,
            restart_threshold: restarts,
            restart_period_s: u64::from(length) % 3_000,
            restart_action,
            retry_period_s: if patient { Seconds::Never } else { Seconds::Of(4_000) },
            start_failure_is_fatal: live,
            on_deadlock: if patient { OnDeadlock::FenceNode } else { OnDeadlock::TellPeople },
            ..Resource::new(name.clone(), "host", settings)
        }
    })
}

fn group(at: usize) -> impl Strategy<Value = Group> {
    let scores = btree_map((0..NODES).prop_map(|node| format!("n{node}")), score(), 0..NODES);
    let room = (amounts(), amounts(), 0..=1_000_000_i32, any::<[bool; 4]>());
    let failures = (prop::option::of(1..u32::MAX), prop::option::of(0..1_000_000_u64), 0..=NODES);
    (scores, priority(), room, failures, resource(format!("r{at}"))).prop_map(
        move |(scores, priority, (uses, load, stickiness, flags), failures, resource)| {
            let (node_failures_max, failures_expire_s, owner) = failures;
            Group {
                scores,
                priority,
                uses,
                load,
                stickiness,
                failback: flags[0],
                awaits_fences: flags[1],
                found_twice: FoundTwice::Stop,
                auto_start: flags[2],
                persistent: flags[3],
                failback_hours: flags[3].then_some(Hours { from: 22, to: 4 }),
                node_failures_max,
                failures_expire_s,
                initial_owner: (owner < NODES).then(|| format!("n{owner}")),
                ..Group::new(format!("g{at}"), &[], vec![resource])
            }
        },
    )
}

fn rule(at: usize) -> impl Strategy<Value = Rule> {
    let name = format!("r{at}");
    let groups = prop::sample::subsequence((0..GROUPS).collect::<Vec<_>>(), 2..=GROUPS);
    let kind = prop_oneof![Just(OrderKind::Optional), Just(OrderKind::Serialize)];
    let by = prop::sample::select(vec![By::Node, By::Rack, By::Site]);
    (groups, any::<[bool; 3]>(), score(), kind, (0..4, by)).prop_map(
        move |(groups, [strict, stop, symmetrical], score, kind, (what, by))| {
            let groups: Vec<String> = groups.into_iter().map(|group| format!("g{group}")).collect();
            let members = Some(Members { groups: groups.clone(), strict, by });
            let said = Rule { name: name.clone(), ..Rule::default() };
            match what {
                0 => Rule { together: members, ..said },
                1 => Rule { apart: members, ..said },
                2 => {
                    Rule { near: Some(Near { influence: strict, ..near(&groups, score) }), ..said }
                }
                _ => Rule {
                    order: Some(Order {
                        first: (groups.len() == 2).then(|| groups[1].clone()),
                        first_any: if groups.len() == 2 {
                            Vec::new()
                        } else {
                            groups[1..].to_vec()
                        },
                        then: groups[0].clone(),
                        kind,
                        symmetrical: strict.then_some(symmetrical),
                        first_act: if stop { OrderAct::Stop } else { OrderAct::Start },
                        then_act: OrderAct::Start,
                    }),
                    ..said
                },
            }
        },
    )
}

fn near(groups: &[String], score: Score) -> Near {
    Near { group: groups[0].clone(), with: groups[1].clone(), score, influence: true }
}

fn policy() -> impl Strategy<Value = Policy> {
    let balances = [Balance::Groups, Balance::Load, Balance::Room, Balance::Few];
    let most = prop::option::of(1..9_u32);
    let quarantine = prop_oneof![
        Just(None),
        (1..9_u32).prop_map(|threshold| Some(Quarantine { threshold, ..Quarantine::default() })),
    ];
    (prop::sample::select(balances.to_vec()), any::<[bool; 4]>(), most, quarantine).prop_map(
        |(balance, flags, most, quarantine)| {
            let [limited, balance_on_start, rebalance, keep_without_quorum] = flags;
            let everywhere_pause = most.map(|most| Duration::from_secs(u64::from(most)));
            Policy {
                balance,
                limited,
                balance_on_start,
                rebalance,
                keep_without_quorum,
                fence_lost_nodes: false,
                survives: None,
                limits: Limits { losses_max: most, everywhere_pause, ..Limits::default() },
                quarantine,
                on_shutdown: OnShutdown::Conditional,
                utc_offset_minutes: 60,
            }
        },
    )
}

fn document() -> impl Strategy<Value = Document> {
    let nodes: Vec<_> = (0..NODES).map(node).collect();
    let groups: Vec<_> = (0..GROUPS).map(group).collect();
    let rules = (0..5_usize).prop_flat_map(|count| (0..count).map(rule).collect::<Vec<_>>());
    let detect = vec(1_000..5_000_u64, 0..2);
    (nodes, groups, rules, policy(), detect).prop_map(|(nodes, groups, rules, policy, detect)| {
        let cluster = Cluster { name: "c".to_owned(), id: "00000000000000ab".to_owned() };
        let timing = Timing { detect_ms: detect.first().copied(), ..Timing::default() };
        Document { cluster, timing, nodes, groups, rules, policy, ..Document::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_configuration_survives_toml_json_and_the_engine(document in document()) {
        let Ok(config) = Config::new(document) else { return Ok(()) };
        let toml = config.to_toml();
        prop_assert_eq!(&Config::from_toml_str(&toml, "x").unwrap(), &config, "{}", toml);
        let json = config.to_json();
        prop_assert_eq!(&Config::from_json_str(&json, "x").unwrap(), &config, "{}", json);
        let held = Config::from_cluster(config.cluster()).unwrap();
        prop_assert_eq!(held.cluster(), config.cluster());
    }
}

#[test]
fn hardly_any_configuration_of_that_test_is_passed_over() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut valid = BTreeMap::new();
    for _ in 0..100 {
        let document = document().new_tree(&mut runner).unwrap().current();
        let error = Config::new(document).err().map(|error| error.to_string());
        *valid.entry(error).or_insert(0) += 1;
    }
    assert!(valid[&None] > 90, "{valid:?}");
}
