//! A node as a user runs it, alone on this machine: signals, questions, and what it refuses.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::home::{assert_fails, command, quorate, said};

const SOON: Duration = Duration::from_secs(20);

/// A cluster of one node, which runs, and its port.
struct Alone {
    home: tempfile::TempDir,
    child: Child,
    port: u16,
}

impl Alone {
    fn start() -> Self {
        Self::start_with("")
    }

    /// With so much more in its configuration.
    fn start_with(more: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let node = format!("n1=127.0.0.1:{port}");
        let made = quorate(home.path(), &["init", "--node", &node]);
        assert!(made.status.success(), "{}", said(&made));
        let file = home.path().join("cluster.toml");
        let config = fs::read_to_string(&file).unwrap() + more;
        fs::write(&file, config).unwrap();
        let output = fs::File::create(home.path().join("n1.out")).unwrap();
        let child = command(home.path(), &["run", "--node", "n1"])
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let alone = Self { home, child, port };
        alone.wait_for_status("online");
        alone
    }

    fn ask(&self, words: &[&str]) -> Output {
        quorate(self.home.path(), words)
    }

    fn said(&self) -> String {
        fs::read_to_string(self.home.path().join("n1.out")).unwrap()
    }

    fn wait_for_status(&self, word: &str) {
        let end = Instant::now() + SOON;
        loop {
            let status = self.ask(&["status"]);
            let group =
                said(&status).lines().find(|line| line.starts_with("counter")).map(str::to_owned);
            if group.is_some_and(|line| line.split_whitespace().nth(1) == Some(word)) {
                return;
            }
            assert!(Instant::now() < end, "no {word}: {}\n{}", said(&status), self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    fn wait_for_end(&mut self) -> Option<i32> {
        let end = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_running_node_answers_questions_and_obeys() {
    let alone = Alone::start();
    let status = alone.ask(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&json["node"], &json["member"]), (&"n1".into(), &true.into()));
    assert!(said(&alone.ask(&["status", "--at", "n1"])).contains("coordinator n1"));
    assert!(said(&alone.ask(&["explain", "counter"])).contains("n1"));
    let lost = said(&alone.ask(&["what-if", "--lose", "n1"]));
    assert!(lost.contains("quorum: LOST") && lost.contains("counter  down"), "{lost}");

    let events = alone.ask(&["events", "--json"]);
    let first = events.stdout.split(|&byte| byte == b'\n').next().unwrap();
    let first: serde_json::Value = serde_json::from_slice(first).unwrap();
    assert_eq!(first["kind"], "started");
    assert!(said(&alone.ask(&["events"])).contains("counter is online on n1"));
    assert!(alone.said().contains("counter is online on n1"), "{}", alone.said());

    assert!(alone.ask(&["offline", "counter"]).status.success());
    alone.wait_for_status("offline");
    assert!(alone.ask(&["online", "counter"]).status.success());
    alone.wait_for_status("online");
    assert_fails(&alone.ask(&["move", "counter", "n7"]), 1, &["n7", "n1"]);
    assert_fails(&alone.ask(&["move", "nothing"]), 1, &["nothing", "counter"]);
    assert_fails(&alone.ask(&["explain", "nothing"]), 1, &["nothing", "counter"]);
    assert_fails(&alone.ask(&["drain", "n7"]), 1, &["n7", "n1"]);
}

#[test]
fn a_running_cluster_takes_another_configuration_and_gives_it_back() {
    let alone = Alone::start();
    let does = |words: &[&str]| {
        let output = alone.ask(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        said(&output).trim_end().to_owned()
    };
    let text = does(&["config", "show"]);
    let next = text.replace("[[groups]]\n", "[[groups]]\npriority = \"high\"\n");
    assert_ne!(text, next);
    fs::write(alone.home.path().join("next.toml"), &next).unwrap();
    assert_eq!(
        does(&["config", "diff", "next.toml"]),
        "groups.counter.priority: \"high\" is put in"
    );
    assert_eq!(does(&["config", "plan", "next.toml"]), "this change moves nothing");
    let apply = ["config", "apply", "next.toml", "--only-if", "1", "--reason", "more room"];
    does(&apply);
    assert_fails(&alone.ask(&apply[..5]), 1, &["2 is in force by now, not 1"]);
    does(&["config", "rollback", "--reason", "not so"]);
    assert_eq!(does(&["config", "show"]), text);
    let history = does(&["config", "history"]);
    assert!(
        history.contains("more room  kept") && history.contains("not so  in force"),
        "{history}"
    );

    let text = next.replace("high", "hihg");
    fs::write(alone.home.path().join("next.toml"), text).unwrap();
    assert_fails(&alone.ask(&apply[..3]), 3, &["next.toml:", "\"hihg\"", "\"high\""]);
}

#[test]
fn operators_are_obeyed_and_told_why() {
    let alone = Alone::start();
    let does = |words: &[&str]| {
        let output = alone.ask(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        said(&output)
    };
    let json: serde_json::Value =
        serde_json::from_str(&does(&["explain", "counter", "--json"])).unwrap();
    assert_eq!((&json["owner"], &json["state"]), (&"n1".into(), &"online".into()));
    assert!(does(&["explain", "counter", "--not-on", "n1"]).contains("it is on n1"));
    assert_fails(&alone.ask(&["explain", "counter", "--not-on", "n7"]), 1, &["n7"]);
    assert!(does(&["disarm", "--for", "600"]).contains("for 600 s"));
    does(&["arm"]);
    does(&["unmanage", "counter"]);
    does(&["manage", "counter"]);
    does(&["hold-moves"]);
    does(&["hold-moves", "--off"]);
    does(&["count-failures", "counter", "n1", "3"]);
    does(&["cleanup", "counter", "n1"]);
    does(&["load", "counter", "cpus=2"]);
    let group = "[[groups]]\nname = \"new\"\n[[groups.resources]]\nname = \"idle\"\n\
                 driver = \"process\"\ncommand = [\"sleep\", \"100\"]\n";
    fs::write(alone.home.path().join("new.toml"), group).unwrap();
    does(&["add-group", "new.toml"]);
    assert!(does(&["status"]).contains("new "));
    does(&["online", "new", "--wait"]);
    assert_fails(
        &alone.ask(&["remove-group", "new"]),
        1,
        &["groups.new", "runs on n1", "offline first"],
    );
    does(&["offline", "new", "--wait"]);
    does(&["remove-group", "new"]);
    let node = "[[nodes]]\nname = \"n2\"\nvoter = false\naddresses = [\"127.0.0.2:9\"]\n";
    fs::write(alone.home.path().join("node.toml"), node).unwrap();
    assert!(does(&["add-node", "node.toml"]).contains("config show"));
    assert!(does(&["status"]).contains("n2 "));
    assert_fails(&alone.ask(&["evict-node", "n1"]), 1, &["n1 has counter", "drain it first"]);
    does(&["evict-node", "n2"]);
    assert!(!does(&["config", "show"]).contains("\"n2\""));
    let failed = alone.ask(&["maintenance", "n1", "--timeout", "1", "--", "true"]);
    assert_fails(&failed, 5, &["still on n1: counter"]);
    assert!(!does(&["status"]).contains("paused"));
    does(&["disable", "counter"]);
    alone.wait_for_status("offline");
    let said = does(&["maintenance", "n1", "--", "sh", "-c", "echo in it"]);
    assert!(said.starts_with("in it\n") && said.contains("n1 is as it was before"), "{said}");
    assert_fails(
        &alone.ask(&["maintenance", "n1", "--", "false"]),
        1,
        &["false", "exit status: 1"],
    );
}

#[test]
fn the_control_socket_is_closed_to_others_and_gone_after_the_end() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut alone = Alone::start();
    let socket = alone.home.path().join("state/n1/control.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    alone.signal("TERM");
    assert_eq!(alone.wait_for_end(), Some(0), "{}", alone.said());
    assert!(!socket.exists());
    assert_fails(&alone.ask(&["status"]), 4, &["quorate run"]);
}

#[test]
fn a_second_signal_ends_the_node_at_once() {
    let mut alone = Alone::start();
    alone.signal("INT");
    alone.signal("INT");
    let code = alone.wait_for_end();
    assert!(code == Some(0), "{code:?}: {}", alone.said());
}

#[test]
fn a_second_node_under_the_same_name_is_refused() {
    let alone = Alone::start();
    let same = alone.ask(&["run", "--node", "n1"]);
    assert_fails(&same, 3, &["state/n1"]);
    let elsewhere = alone.ask(&["run", "--node", "n1", "--state", "other"]);
    assert_fails(&elsewhere, 3, &[&alone.port.to_string()]);
    alone.wait_for_status("online");
}

#[test]
fn what_a_drain_or_a_move_would_do_is_said_and_not_done() {
    let alone = Alone::start();
    let plan = said(&alone.ask(&["drain", "n1", "--plan"]));
    assert!(plan.contains("counter stays on n1: no other node can run it"), "{plan}");
    let plan = said(&alone.ask(&["move", "counter", "--to", "n1", "--plan", "--json"]));
    assert!(plan.contains("\"effects\":[]") && plan.contains("\"refusal\":null"), "{plan}");
    assert_fails(&alone.ask(&["drain", "n9", "--plan"]), 1, &["n9", "n1"]);
    alone.wait_for_status("online");
    assert!(!said(&alone.ask(&["status"])).contains("draining"));
}

#[test]
fn at_a_shutdown_what_runs_is_kept_where_the_policy_says_so_and_never_at_ctrl_c() {
    for (signal, how) in [("TERM", "is kept for its return"), ("INT", "moves away")] {
        let mut alone = Alone::start_with("\n[policy]\non_shutdown = \"keep\"\n");
        alone.signal(signal);
        assert_eq!(alone.wait_for_end(), Some(0), "{}", alone.said());
        assert!(alone.said().contains(how), "{}", alone.said());
    }
}
