//! Nodes as processes, one of which hangs while its guest runs on: its fence agent ends it, and then the guest starts
//! elsewhere.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::home::{command, quorate, said};

const SOON: Duration = Duration::from_secs(40);

/// Ends a node by killing its engine, whose guests die with it, and waits until none is left. The first time it fails.
const AGENT: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
while IFS= read -r line; do
    case $line in action=*) action=${line#*=} ;; plug=*) plug=${line#*=} ;; esac
done
case $action in
metadata)
    echo "<?xml version='1.0'?><resource-agent name='fence_test'><parameters/><actions>"
    echo "<action name='off'/><action name='reboot'/></actions></resource-agent>" ;;
monitor) exit 0 ;;
status) kill -0 "$(cat "$plug.pid")" 2>/dev/null || exit 2 ;;
off | reboot)
    echo "$action $plug" >> asked
    [ -e tried ] || { touch tried; echo "the board does not answer" >&2; exit 1; }
    kill -KILL "$(cat "$plug.pid")"
    while pgrep -f "guest-of-$plug" > /dev/null; do sleep 0.01; done ;;
esac
"#;

struct Cluster {
    home: tempfile::TempDir,
    nodes: Vec<Child>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // They have ended, unless the test failed.
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

fn config(home: &Path) -> String {
    let free: Vec<TcpListener> =
        (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let nodes = free.iter().enumerate().map(|(at, port)| {
        let address = port.local_addr().unwrap();
        format!("[[nodes]]\nname = \"n{}\"\naddresses = [\"{address}\"]\n", at + 1)
    });
    let nodes: String = nodes.collect();
    let (agent, shared) = (home.join("fence_test"), home.join("shared"));
    // The guest names its node, so that the agent can see it gone.
    let guest = "exec -a guest-of-$QUORATE_NODE bash -c 'while :; do echo $QUORATE_NODE >> $QUORATE_LUN_DISK/ticks; \
                 sleep 0.02; done'";
    format!(
        "[cluster]\nname = \"c\"\nid = \"00000000000000ab\"\n[timing]\nprofile = \"fast\"\n{nodes}\
         [[fence_agents]]\nname = \"board\"\nprogram = \"{}\"\nnodes = {{ n1 = \"n1\", n2 = \"n2\", n3 = \"n3\" }}\n\
         [[luns]]\nname = \"disk\"\ndriver = \"file\"\npath = \"{}\"\n\
         [[groups]]\nname = \"counter\"\nluns = [\"disk\"]\npreferred_owners = [\"n1\"]\nfence_agent_required = true\n\
         [[groups.resources]]\nname = \"guest\"\ndriver = \"process\"\ncommand = [\"bash\", \"-c\", \"{guest}\"]\n",
        agent.display(),
        shared.display(),
    )
}

impl Cluster {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let agent = home.path().join("fence_test");
        fs::write(&agent, AGENT).unwrap();
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(home.path().join("shared")).unwrap();
        let made = quorate(home.path(), &["init", "--node", "n1=127.0.0.1:9"]);
        assert!(made.status.success(), "{}", said(&made));
        fs::write(home.path().join("cluster.toml"), config(home.path())).unwrap();
        let mut cluster = Self { home, nodes: Vec::new() };
        for node in ["n1", "n2", "n3"] {
            let output = fs::File::create(cluster.home.path().join(format!("{node}.out"))).unwrap();
            let child = command(cluster.home.path(), &["run", "--node", node])
                .stdout(output.try_clone().unwrap())
                .stderr(output)
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            let pid = cluster.home.path().join(format!("{node}.pid"));
            fs::write(pid, child.id().to_string()).unwrap();
            cluster.nodes.push(child);
        }
        cluster
    }

    fn ticks(&self) -> Vec<String> {
        let text = fs::read_to_string(self.home.path().join("shared/ticks")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + SOON;
        while !is_so(self) {
            let out = fs::read_to_string(self.home.path().join("n2.out")).unwrap();
            assert!(Instant::now() < end, "no {what}:\n{out}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_guest_that_outlives_its_hung_engine_starts_elsewhere_once_the_agent_has_ended_its_node() {
    let cluster = Cluster::start();
    cluster.wait_for("first tick", |cluster| cluster.ticks().len() > 5);
    assert_eq!(cluster.ticks()[0], "n1");
    let checked = quorate(cluster.home.path(), &["fence-agents"]);
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(said(&checked).contains("board: status of n1: it is on"), "{}", said(&checked));

    let n1 = cluster.nodes[0].id().to_string();
    assert!(Command::new("kill").args(["-s", "STOP", &n1]).status().unwrap().success());
    let stopped = cluster.ticks().len();
    cluster.wait_for("other owner", |cluster| cluster.ticks().iter().any(|node| node != "n1"));
    let ticks = cluster.ticks();
    let taken = ticks.iter().position(|node| node != "n1").unwrap();
    assert!(taken > stopped + 5, "the guest has run on without its engine: {taken} of {stopped}");
    cluster.wait_for("more ticks", |cluster| cluster.ticks().len() > taken + 20);
    let later = cluster.ticks().split_off(taken);
    assert!(!later.iter().any(|node| node == "n1"), "two have written: {later:?}");
    // The first level's one agent failed once, and was asked again.
    let asked = fs::read_to_string(cluster.home.path().join("asked")).unwrap();
    assert_eq!(asked, "reboot n1\nreboot n1\n");
    let told = ["n2", "n3"]
        .map(|node| fs::read_to_string(cluster.home.path().join(format!("{node}.out"))).unwrap());
    let told = told.join("\n");
    assert!(
        told.contains("board has failed to end n1") && told.contains("the board does not answer"),
        "{told}"
    );
    assert!(told.contains("n1 is proven harmless: its fence agents have ended it"), "{told}");
}

#[test]
fn check_and_plan_say_that_no_node_would_start_with_poison_pills_and_without_a_watchdog() {
    let home = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plan");
    for name in ["cluster.toml", "status.json"] {
        fs::copy(examples.join(name), home.path().join(name)).unwrap();
    }
    let text = fs::read_to_string(examples.join("next.toml")).unwrap();
    let pill = "[[fence_agents]]\nname = \"pill\"\nprogram = \"poison-pill\"\nnodes = [\"n1\", \"n2\"]\n\
                parameters = { path = \"/dev/pills\" }\n";
    let watchdog = "[watchdog]\ndevice = \"/dev/watchdog\"\n";
    let plan = ["config", "plan", "next.toml", "--status", "status.json"];
    let warning = "n1, n2 would not start by this, since fence_agents.pill gives them poison pills";

    fs::write(home.path().join("next.toml"), format!("{text}\n{pill}")).unwrap();
    let checked = quorate(home.path(), &["check", "next.toml"]);
    assert_eq!(checked.status.code(), Some(3), "{}", said(&checked));
    for says in ["not every node would start", warning, "add [watchdog] with device"] {
        assert!(said(&checked).contains(says), "{says}: {}", said(&checked));
    }
    let checked = quorate(home.path(), &["check", "next.toml", "--json"]);
    assert!(!checked.status.success());
    let json: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(json["ok"] == false && json["warnings"].to_string().contains(warning), "{json}");
    let planned = quorate(home.path(), &plan);
    assert!(planned.status.success() && said(&planned).contains(warning), "{}", said(&planned));

    fs::write(home.path().join("next.toml"), format!("{text}\n{pill}{watchdog}")).unwrap();
    for words in [&["check", "next.toml"][..], &plan] {
        let done = quorate(home.path(), words);
        assert!(done.status.success() && !said(&done).contains("would not"), "{}", said(&done));
    }
}

#[test]
fn a_disk_for_poison_pills_is_made_ready_once_and_never_over_what_stands_there() {
    let home = tempfile::tempdir().unwrap();
    let disk = home.path().join("disk");
    fs::write(&disk, b"data").unwrap();
    fs::File::options().write(true).open(&disk).unwrap().set_len(2 << 20).unwrap();
    let text = format!(
        "[cluster]\nname = \"c\"\nid = \"00000000000000ab\"\n[watchdog]\ndevice = \"/dev/watchdog\"\n\
         [[nodes]]\nname = \"n1\"\naddresses = [\"127.0.0.1:1\"]\n\
         [[fence_agents]]\nname = \"pill\"\nprogram = \"poison-pill\"\nnodes = [\"n1\"]\n\
         parameters = {{ path = \"{}\" }}\n",
        disk.display()
    );
    fs::write(home.path().join("cluster.toml"), text).unwrap();
    let refused = quorate(home.path(), &["fence-agents", "--init"]);
    assert!(!refused.status.success() && said(&refused).contains("something stands at byte 0"));
    assert!(fs::read(&disk).unwrap().starts_with(b"data"));
    let checked = quorate(home.path(), &["fence-agents"]);
    assert_eq!(checked.status.code(), Some(6), "{}", said(&checked));
    for (words, says) in [
        (&["fence-agents", "--init", "--force"][..], "disk: pills can lie there\n"),
        (&["fence-agents", "--init"], "already; nothing was changed"),
        (&["fence-agents"], "pill: status of n1: it was never armed"),
    ] {
        let done = quorate(home.path(), words);
        assert!(done.status.success() && said(&done).contains(says), "{}", said(&done));
    }
}
