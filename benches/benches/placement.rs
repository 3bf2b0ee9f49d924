//! What it costs to decide where every group belongs: from scratch, after the loss of a node, and whether every loss of
//! one node can be placed; how that grows; and that a plan which is mended a million times stays the one from scratch.
//!
//! Times are of the processor, the best of several runs in one process per size, so that its memory is its own. It
//! fails where cost grows faster than the cluster by more than a factor, or where two plans differ.

use std::process::{Command, ExitCode};
use std::time::Duration;

use quorate_benches::{LOST, OPEN, all_open, at_home, cluster, memory_mib, processor_time};
use quorate_core::config::ClusterConfig;
use quorate_core::id::NodeId;
use quorate_core::placement::{Candidate, Keeps, Now, Planner, plan};

/// Nodes, groups, and how long a plan from scratch may take, in milliseconds.
const SIZES: [(usize, usize, f64); 5] = [
    (16, 1_000, 1.0),
    (32, 3_000, 3.0),
    (64, 8_000, 5.0),
    (1_000, 24_000, 25.0),
    (10_000, 100_000, 100.0),
];
const RUNS: usize = 9;
/// Microseconds for each group, the largest cluster over the smallest.
const GROWTH_MAX: f64 = 12.0;
const CHANGES: u32 = 1_000_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    if let (Some(nodes), Some(groups)) = (arguments.next(), arguments.next()) {
        let number = |text: String| text.parse().expect("a number");
        println!("{}", one_size(number(nodes), number(groups)));
        return ExitCode::SUCCESS;
    }
    let mut per_group = Vec::new();
    println!(
        "nodes  groups  from scratch ms (goal)  a node lost us  every node once ms  memory MiB"
    );
    for (nodes, groups, goal) in SIZES {
        let figures = in_a_process_of_its_own(nodes, groups);
        let [scratch, anew, lost, survives, memory] = figures;
        let over = if scratch.max(anew) > goal { "  over its goal" } else { "" };
        println!(
            "{nodes:>5}  {groups:>6}  {scratch:>15.2} ({goal:>4.0})  {anew:>19.2}  {lost:>14.1}  \
             {survives:>18.2}  {memory:>10.1}{over}"
        );
        per_group.push(anew * 1_000.0 / groups as f64);
    }
    let growth = per_group.last().unwrap_or(&0.0) / per_group[0];
    println!("a group costs {per_group:.2?} us by size: growth_ratio {growth:.1}");
    let differences = differ();
    println!("{CHANGES} changes, mended against from scratch: {differences} differ");
    if growth <= GROWTH_MAX && differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn in_a_process_of_its_own(nodes: usize, groups: usize) -> [f64; 5] {
    let own = std::env::current_exe().expect("this program");
    let run = Command::new(own).args([nodes.to_string(), groups.to_string()]).output();
    let text = String::from_utf8(run.expect("it runs").stdout).expect("figures");
    let figures: Vec<f64> =
        text.split_whitespace().map(|figure| figure.parse().expect("a figure")).collect();
    figures.try_into().expect("five figures")
}

fn best(mut run: impl FnMut() -> Duration) -> Duration {
    (0..RUNS).map(|_| run()).min().unwrap_or_default()
}

/// From scratch in ms, while all run and while nothing does; the loss of a node in us; every node lost once in ms;
/// memory in MiB.
fn one_size(nodes: usize, groups: usize) -> String {
    let config = ClusterConfig::new(cluster(nodes, groups)).expect("it is valid");
    let (candidates, now) = (all_open(&config), at_home(&config));
    let plan_of = |now: &Vec<Now>| {
        best(|| {
            let now = now.clone();
            let begun = processor_time();
            let plan = plan(&config, &candidates, now);
            let took = processor_time() - begun;
            assert!((0..groups).all(|group| plan.node(group).is_some()), "all have a place");
            took
        })
    };
    let scratch = plan_of(&now);
    let anew = plan_of(&vec![Now { wanted: true, ..Now::default() }; groups]);
    let mut planner = Planner::new(&config, &candidates, now);
    let ids: Vec<NodeId> = config.nodes().iter().map(|node| node.id).collect();
    let mut turn = ids.iter().cycle();
    let lost = best(|| {
        let node = *turn.next().expect("an endless list");
        let begun = processor_time();
        planner.set_node(node, LOST);
        planner.mend(&config);
        let took = processor_time() - begun;
        assert!(planner.unplaced().next().is_none(), "all have a place");
        planner.set_node(node, OPEN);
        planner.mend(&config);
        took
    });
    let begun = processor_time();
    for &node in &ids {
        planner.set_node(node, LOST);
        planner.mend(&config);
        assert!(planner.unplaced().next().is_none(), "all have a place");
        planner.set_node(node, OPEN);
        planner.mend(&config);
    }
    let survives = processor_time() - begun;
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    format!("{} {} {} {} {}", ms(scratch), ms(anew), ms(lost) * 1_000.0, ms(survives), memory_mib())
}

/// How often a plan that is mended differs from one from scratch.
fn differ() -> u32 {
    const NODES: usize = 6;
    const GROUPS: usize = 24;
    let config = ClusterConfig::new(cluster(NODES, GROUPS)).expect("it is valid");
    let (mut candidates, mut now) = (all_open(&config), at_home(&config));
    let mut planner = Planner::new(&config, &candidates, now.clone());
    // Knuth's generator: any would do.
    let mut state: u64 = 7;
    let mut draw = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut differences = 0;
    for _ in 0..CHANGES {
        if draw(3) == 0 {
            let node = NodeId(u16::try_from(draw(NODES as u64)).unwrap_or_default() + 1);
            let keeps = [Keeps::All, Keeps::All, Keeps::Stranded, Keeps::Nothing][draw(4) as usize];
            let candidate =
                Candidate { up: draw(4) > 0, heard: draw(8) > 0, paused: draw(8) == 0, keeps };
            candidates.insert(node, candidate);
            planner.set_node(node, candidate);
        } else {
            let group = draw(GROUPS as u64) as usize;
            let node = || NodeId(1);
            let mut some = |of: u64| (draw(of) == 0).then(|| NodeId(draw(NODES as u64) as u16 + 1));
            let (home, avoids, banned) = (some(8), some(8), some(8));
            let at = some(1).unwrap_or_else(node);
            let one = Now {
                unreached: Vec::new(),
                wanted: draw(10) > 0,
                at: Some(at),
                runs: draw(4) > 0,
                under_way: draw(8) == 0,
                recovers: draw(8) == 0,
                fixed: draw(20) == 0,
                home,
                stays: draw(8) == 0,
                avoids: avoids.into_iter().collect(),
                banned: banned.into_iter().collect(),
                load: None,
            };
            now[group] = one.clone();
            planner.set_group(&config, group, one);
        }
        planner.mend(&config);
        differences += u32::from(planner.plan() != plan(&config, &candidates, now.clone()));
    }
    differences
}
