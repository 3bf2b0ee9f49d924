//! Placement beside Pacemaker's scheduler, in one run on one machine, on the same cluster expressed in both: every
//! group runs, prefers its home and one other node, and one node has just been lost.
//!
//! `crm_simulate -R -Q` reads a CIB and decides, as Pacemaker's scheduler does for each decision; a running quorate has
//! its database at hand and calls a pure function. Only processor time is compared, since other work disturbs it least.
//! `cpu_ratio` is theirs over that of the function; `process_ratio` is theirs over a whole process of ours, which reads
//! the same cluster as JSON and checks it before.
//!
//! It fails if one of the groups of the lost node goes to another node here than there, or if ours is the slower one.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use quorate_benches::{
    LOST, STICKINESS, all_open, at_home, cluster, home, memory_mib, processor_time, second,
};
use quorate_core::config::{ClusterConfig, ClusterParts};
use quorate_core::id::NodeId;
use quorate_core::placement::plan;

const SIZES: [(usize, usize); 3] = [(16, 1_000), (32, 3_000), (64, 8_000)];
const RUNS: usize = 3;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    if let Some(file) = arguments.next() {
        println!("{}", decide(Path::new(&file)));
        return ExitCode::SUCCESS;
    }
    if Command::new("crm_simulate").arg("--version").output().is_err() {
        eprintln!(
            "crm_simulate is not here: `make bench-placement` installs it (pacemaker-cli-utils)"
        );
        return ExitCode::FAILURE;
    }
    let fine = SIZES.into_iter().filter(|&(nodes, groups)| compare(nodes, groups)).count();
    if fine == SIZES.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a whole run took: seconds of the processor, MiB at most.
#[derive(Clone, Copy)]
struct Cost {
    cpu: f64,
    memory: f64,
}

fn compare(nodes: usize, groups: usize) -> bool {
    let room = Room::new();
    let (cib, ours) = (room.file("cib.xml"), room.file("cluster.json"));
    fs::write(&cib, write_cib(nodes, groups)).expect("a file can be written");
    let file = BufWriter::new(File::create(&ours).expect("a file can be written"));
    serde_json::to_writer(file, &cluster(nodes, groups)).expect("it encodes");
    let theirs = median(|| run_scheduler(&cib));
    let mut decision = f64::MAX;
    let mut differ = 0;
    let own = median(|| {
        let (cost, decided, wrong) = run_ours(&ours);
        decision = decision.min(decided);
        differ = wrong;
        cost
    });
    let moved = theirs_differ(&cib, nodes, groups);
    println!(
        "{nodes} nodes, {groups} groups, one node lost: crm_simulate {:.3} s and {:.0} MiB, quorate {:.4} s and \
         {:.0} MiB, {:.6} s of it to decide; {} of {} moved groups elsewhere than there; memory_ratio {:.1} \
         process_ratio {:.0} cpu_ratio {:.0}",
        theirs.cpu,
        theirs.memory,
        own.cpu,
        own.memory,
        decision,
        moved.wrong + differ,
        moved.groups,
        theirs.memory / own.memory,
        theirs.cpu / own.cpu,
        theirs.cpu / decision
    );
    moved.wrong + differ == 0 && moved.groups > 0 && own.cpu < theirs.cpu
}

fn median(mut run: impl FnMut() -> Cost) -> Cost {
    let mut costs: Vec<Cost> = (0..RUNS).map(|_| run()).collect();
    costs.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
    costs[RUNS / 2]
}

/// Where a group of the lost node, the last one, goes: its second choice.
fn due(nodes: usize, group: usize) -> NodeId {
    NodeId(u16::try_from(second(nodes, group) + 1).expect("a small number"))
}

/// Our side, as a process of its own: `cpu memory decision wrong`.
fn decide(file: &Path) -> String {
    let file = BufReader::new(File::open(file).expect("the file is there"));
    let parts: ClusterParts = serde_json::from_reader(file).expect("it decodes");
    let config = ClusterConfig::new(parts).expect("it is valid");
    let nodes = config.nodes().len();
    let mut candidates = all_open(&config);
    let mut now = at_home(&config);
    candidates.insert(config.nodes()[nodes - 1].id, LOST);
    for (group, now) in now.iter_mut().enumerate() {
        now.runs = home(nodes, group) != nodes - 1;
    }
    let begun = processor_time();
    let plan = plan(&config, &candidates, now);
    let decided = (processor_time() - begun).as_secs_f64();
    let lost = (0..config.groups().len()).filter(|&group| home(nodes, group) == nodes - 1);
    let wrong = lost.filter(|&group| plan.node(group) != Some(due(nodes, group))).count();
    format!("{} {} {decided} {wrong}", processor_time().as_secs_f64(), memory_mib())
}

fn run_ours(file: &Path) -> (Cost, f64, usize) {
    let own = std::env::current_exe().expect("this program");
    let run = Command::new(own).arg(file).output().expect("it runs");
    let text = String::from_utf8(run.stdout).expect("figures");
    let figures: Vec<f64> =
        text.split_whitespace().map(|figure| figure.parse().expect("a figure")).collect();
    let [cpu, memory, decided, wrong] = figures[..] else { panic!("four figures: {text}") };
    (Cost { cpu, memory }, decided, wrong as usize)
}

/// Debian's `time` tells the processor time and memory of a child.
fn run_scheduler(cib: &Path) -> Cost {
    let run = Command::new("/usr/bin/time")
        .args(["-f", "%U %S %M", "crm_simulate", "-R", "-Q", "-x"])
        .arg(cib)
        .output()
        .expect("`time` is here");
    let text = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "crm_simulate failed: {text}");
    let last = text.lines().last().unwrap_or_default();
    let figures: Vec<f64> = last.split(' ').filter_map(|figure| figure.parse().ok()).collect();
    let [user, system, kib] = figures[..] else { panic!("three figures: {text}") };
    Cost { cpu: user + system, memory: kib / 1024.0 }
}

struct Moved {
    groups: usize,
    wrong: usize,
}

/// Where the scheduler sends the groups of the lost node: lines like `* Recover g3 ( n3 -> n1 )`.
fn theirs_differ(cib: &Path, nodes: usize, groups: usize) -> Moved {
    let run = Command::new("crm_simulate").args(["-R", "-x"]).arg(cib).output().expect("it runs");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let target = |group: usize| {
        let name = format!("g{}", group + 1);
        let line = text.lines().find(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(2) == Some(&name.as_str()) && line.contains("->")
        })?;
        line.split("->").nth(1)?.split_whitespace().next().map(str::to_owned)
    };
    let lost: Vec<usize> = (0..groups).filter(|&group| home(nodes, group) == nodes - 1).collect();
    let right = |group: &usize| target(*group) == Some(format!("n{}", due(nodes, *group).0));
    let wrong = lost.iter().filter(|group| !right(group)).count();
    Moved { groups: lost.len(), wrong }
}

/// A directory that goes when it is dropped.
struct Room(PathBuf);

impl Room {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("quorate-bench-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory can be made");
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // It is only scratch.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The same cluster as a CIB: the last node is lost, and a watchdog sees to it that it is fenced.
fn write_cib(nodes: usize, groups: usize) -> String {
    let mut out = String::from(
        "<cib crm_feature_set=\"3.16.1\" validate-with=\"pacemaker-3.9\" epoch=\"1\" num_updates=\"0\" \
         admin_epoch=\"0\" have-quorum=\"1\" dc-uuid=\"1\"><configuration><crm_config>\
         <cluster_property_set id=\"opts\">",
    );
    for (name, value) in [
        ("stonith-enabled", "true"),
        ("have-watchdog", "true"),
        ("stonith-watchdog-timeout", "10"),
        ("enable-startup-probes", "false"),
    ] {
        let _ = write!(out, "<nvpair id=\"o-{name}\" name=\"{name}\" value=\"{value}\"/>");
    }
    out += "</cluster_property_set></crm_config><nodes>";
    for node in 1..=nodes {
        let _ = write!(out, "<node id=\"{node}\" uname=\"n{node}\"/>");
    }
    out += "</nodes><resources>";
    for group in 1..=groups {
        let _ = write!(
            out,
            "<primitive id=\"g{group}\" class=\"ocf\" provider=\"pacemaker\" type=\"Dummy\"><operations>\
             <op id=\"m{group}\" name=\"monitor\" interval=\"10s\" timeout=\"20s\"/></operations></primitive>"
        );
    }
    out += "</resources><constraints>";
    for group in 0..groups {
        for (rank, node, score) in [(1, home(nodes, group), 100), (2, second(nodes, group), 50)] {
            let _ = write!(
                out,
                "<rsc_location id=\"l{group}-{rank}\" rsc=\"g{}\" node=\"n{}\" score=\"{score}\"/>",
                group + 1,
                node + 1
            );
        }
    }
    let _ = write!(
        out,
        "</constraints><rsc_defaults><meta_attributes id=\"d\"><nvpair id=\"d-s\" name=\"resource-stickiness\" \
         value=\"{STICKINESS}\"/></meta_attributes></rsc_defaults></configuration><status>"
    );
    for node in 0..nodes {
        write_state(&mut out, node, nodes, groups);
    }
    out += "</status></cib>";
    out
}

fn write_state(out: &mut String, node: usize, nodes: usize, groups: usize) {
    let lost = node == nodes - 1;
    let flags = if lost {
        "in_ccm=\"false\" crmd=\"offline\" join=\"down\" expected=\"member\""
    } else {
        "in_ccm=\"true\" crmd=\"online\" join=\"member\" expected=\"member\""
    };
    let number = node + 1;
    let _ = write!(
        out,
        "<node_state id=\"{number}\" uname=\"n{number}\" {flags}><lrm id=\"{number}\"><lrm_resources>"
    );
    for group in (0..groups).filter(|&group| home(nodes, group) == node) {
        let name = group + 1;
        let _ = write!(
            out,
            "<lrm_resource id=\"g{name}\" type=\"Dummy\" class=\"ocf\" provider=\"pacemaker\">"
        );
        for (id, task, interval) in [("last_0", "start", 0), ("monitor_10000", "monitor", 10_000)] {
            let _ = write!(
                out,
                "<lrm_rsc_op id=\"g{name}_{id}\" operation_key=\"g{name}_{task}_{interval}\" operation=\"{task}\" \
                 crm_feature_set=\"3.16.1\" transition-key=\"1:1:0:00000000-0000-0000-0000-000000000001\" \
                 transition-magic=\"0:0;1:1:0:00000000-0000-0000-0000-000000000001\" on_node=\"n{number}\" \
                 call-id=\"1\" rc-code=\"0\" op-status=\"0\" interval=\"{interval}\" last-rc-change=\"1700000000\"/>"
            );
        }
        *out += "</lrm_resource>";
    }
    *out += "</lrm_resources></lrm></node_state>";
}
