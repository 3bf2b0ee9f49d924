//! The command as a user meets it: what it writes, what it says, how it exits.

use std::fs;
use std::process::Command;

use super::home::{assert_fails, quorate, said};

fn new_cluster() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let output = quorate(home.path(), &["init"]);
    assert!(output.status.success(), "{}", said(&output));
    home
}

#[test]
fn init_writes_a_configuration_that_check_finds_in_order_and_overwrites_nothing() {
    let home = new_cluster();
    let config = fs::read_to_string(home.path().join("cluster.toml")).unwrap();
    let key = fs::read(home.path().join("cluster.key")).unwrap();
    let checked = quorate(home.path(), &["check"]);
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(said(&checked).contains("lease"), "{}", said(&checked));

    assert_fails(&quorate(home.path(), &["init"]), 3, &["cluster.toml exists already", "--dir"]);
    fs::remove_file(home.path().join("cluster.toml")).unwrap();
    assert_fails(&quorate(home.path(), &["init"]), 3, &["cluster.key exists already", "--dir"]);
    assert!(!home.path().join("cluster.toml").exists());
    assert_eq!(fs::read(home.path().join("cluster.key")).unwrap(), key);
    assert!(config.contains("# "), "it has comments");
}

#[test]
fn init_takes_nodes_and_makes_its_directory() {
    let home = tempfile::tempdir().unwrap();
    let words = [
        "init",
        "--dir",
        "a/b",
        "--name",
        "c1",
        "--node",
        "x=10.0.0.1:7400",
        "--node",
        "y=10.0.0.2:7400",
    ];
    assert!(quorate(home.path(), &words).status.success());
    let checked = quorate(home.path(), &["check", "--json", "a/b/cluster.toml"]);
    let json: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&json["cluster"], &json["ok"]), (&"c1".into(), &true.into()));
    assert_eq!(json["nodes"], serde_json::json!(["x", "y"]));
    let warning = json["warnings"][0].as_str().unwrap();
    assert!(warning.contains("two voters survive no loss"), "{warning}");
    assert!(json["timing_ms"]["lease"].as_u64() < json["timing_ms"]["detect"].as_u64());
    assert_fails(&quorate(home.path(), &["init", "--node", "x"]), 2, &["NAME=HOST:PORT"]);
}

#[test]
fn check_ends_with_its_own_code_where_a_group_can_never_run() {
    let home = new_cluster();
    let path = home.path().join("cluster.toml");
    let good = fs::read_to_string(&path).unwrap();
    let more = "\n[[groups]]\nname = \"other\"\nscores = { n1 = \"never\", n2 = \"never\", n3 = \"never\" }\n\
                [[groups.resources]]\nname = \"idle\"\ndriver = \"process\"\ncommand = [\"sleep\", \"9\"]\n";
    fs::write(&path, good + more).unwrap();
    let checked = quorate(home.path(), &["check"]);
    assert_fails(&checked, 7, &["valid, but not everything can run", "other"]);
    assert!(!said(&checked).contains("in order"), "{}", said(&checked));
    let checked = quorate(home.path(), &["check", "--json"]);
    assert_eq!(checked.status.code(), Some(7));
    let json: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(json["ok"], false);
    assert!(!json["conflict"].is_null(), "{json}");
}

#[test]
fn check_names_file_line_place_and_remedy() {
    let home = new_cluster();
    let path = home.path().join("cluster.toml");
    let good = fs::read_to_string(&path).unwrap();
    let with = |from: &str, to: &str| {
        let (from, to) = (format!("\n{from}\n"), format!("\n{to}\n"));
        assert!(good.contains(&from), "{from}");
        fs::write(&path, good.replacen(&from, &to, 1)).unwrap();
        quorate(home.path(), &["check"])
    };
    assert_fails(&with("[timing]", "[timing]\nstop_time_ms = 1900"), 3, &["cluster.toml", "lease"]);
    assert_fails(&with("[timing]", "[timing]\nlaese = 3"), 3, &["cluster.toml:", "laese"]);
    assert_fails(
        &with("[[groups]]", "[[groups]]\npossible_owners = [\"n9\"]"),
        3,
        &["cluster.toml:", "possible_owners", "n9"],
    );
    for address in ["127.0.0.1", "127.0.0.1:99999", "127.0.0.1:0", "0.0.0.0:7400", ":7400"] {
        fs::write(&path, good.replacen("127.0.0.1:7401", address, 1)).unwrap();
        let words = ["cluster.toml:", "nodes.n1.addresses", address, "10.0.0.1:7400"];
        assert_fails(&quorate(home.path(), &["check"]), 3, &words);
    }
    let missing = quorate(home.path(), &["check", "nowhere.toml"]);
    assert_fails(&missing, 3, &["nowhere.toml", "quorate init"]);
    fs::write(&path, good.replacen("\n[timing]", "\n[timing]\nlaese = 3", 1)).unwrap();
    let json = quorate(home.path(), &["check", "--json"]);
    let error: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(error["ok"], false);
    assert!(error["error"]["line"].is_number(), "{error}");
}

#[test]
fn run_says_what_is_wrong_before_it_starts_anything() {
    let home = new_cluster();
    let run = |more: &[&str]| quorate(home.path(), &[&["run", "--node"], more].concat());
    assert_fails(&run(&["n9"]), 3, &["n9", "n1, n2, n3"]);
    assert_fails(&run(&["n1", "--config", "none.toml"]), 3, &["none.toml"]);
    assert_fails(&run(&["n1", "--key", "none.key"]), 3, &["none.key", "quorate init"]);
    let path = home.path().join("cluster.toml");
    let good = fs::read_to_string(&path).unwrap();
    let host =
        "\n[[groups]]\nname = \"own\"\n[[groups.resources]]\nname = \"mine\"\ndriver = \"host\"\n";
    fs::write(&path, good.clone() + host).unwrap();
    assert_fails(&run(&["n1"]), 3, &["groups.own.mine", "embeds quorate", "possible_owners"]);
    fs::write(&path, good).unwrap();
    let key = home.path().join("cluster.key");
    Command::new("chmod").arg("644").arg(&key).status().unwrap();
    assert_fails(&run(&["n1"]), 3, &["0644", "chmod 600"]);
}

#[test]
fn without_a_running_node_every_question_says_how_to_start_one() {
    let home = new_cluster();
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["move", "counter", "n2"],
        &["drain", "n1"],
        &["explain", "counter"],
        &["events"],
        &["config", "show"],
        &["config", "history"],
        &["config", "rollback"],
        &["disarm"],
        &["fence", "n1", "--reason", "me: it smokes"],
        &["maintenance", "n1", "--", "true"],
        &["what-if", "--lose", "n1"],
        &["confirm-fenced", "n1", "--reason", "me: its plug is out"],
    ] {
        assert_fails(&quorate(home.path(), words), 4, &["no node answers", "quorate run"]);
    }
}

#[test]
fn what_if_answers_from_the_configuration_alone_and_from_a_saved_status() {
    let home = new_cluster();
    let all_up = ["what-if", "--all-up", "--lose", "nodes:1"];
    let table = said(&quorate(home.path(), &all_up));
    assert!(table.starts_with("LOST  QUORUM") && table.contains("\nn3    kept"), "{table}");

    let status = r#"{"nodes": [{"name": "n3", "state": "down"}],
                     "groups": [{"name": "counter", "owner": "n2", "online_wanted": true}]}"#;
    fs::write(home.path().join("saved.json"), status).unwrap();
    let saved = ["what-if", "--status", "saved.json", "--json", "--lose", "n2"];
    let output = quorate(home.path(), &saved);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let case = &report["cases"][0];
    assert_eq!((&case["lost"][0], &case["quorum"]), (&"n2".into(), &false.into()), "{report}");
    assert_eq!(case["groups"][0]["before"], "n2", "{report}");
    assert_eq!(case["groups"][0]["why"], "no quorum is left", "{report}");

    let fails = |words: &[&str], code, said: &[&str]| {
        assert_fails(&quorate(home.path(), words), code, said);
    };
    fails(&["what-if", "--all-up", "--lose", "n9"], 2, &["n9 is no node", "n1, n2, n3"]);
    fails(&["what-if", "--all-up", "--lose", "nodes:9"], 2, &["9"]);
    fails(&["what-if", "--all-up", "--lose", "nodes:x"], 2, &["nodes:K"]);
    fails(
        &["what-if", "--status", "none.json", "--lose", "n1"],
        3,
        &["none.json", "status --json"],
    );
    fs::write(home.path().join("saved.json"), status.replace("n3", "n7")).unwrap();
    fails(&saved, 3, &["nodes[0].name: node n7 is not in the configuration"]);
}

#[test]
fn a_change_is_compared_and_planned_from_files_alone() {
    let home = tempfile::tempdir().unwrap();
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/plan");
    let file = |name: &str| format!("{examples}/{name}");
    let (current, next, status) = (file("cluster.toml"), file("next.toml"), file("status.json"));
    let diff = quorate(home.path(), &["config", "diff", &next, "--from", &current]);
    assert!(said(&diff).starts_with("rules.databases-apart: "), "{}", said(&diff));
    let words = ["config", "plan", &next, "--status", &status, "--config", &current];
    let plan = said(&quorate(home.path(), &words));
    assert!(plan.starts_with("this change moves 1 group\ndb2 moves from n1 to n2"), "{plan}");
    let output = quorate(home.path(), &[&words[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["effects"][0]["why"]["rule"], "databases-apart");
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let home = tempfile::tempdir().unwrap();
    let help = said(&quorate(home.path(), &["--help"]));
    for word in [
        "init",
        "check",
        "run",
        "status",
        "move",
        "online",
        "offline",
        "drain",
        "pause",
        "resume",
        "confirm-fenced",
        "explain",
        "events",
        "config",
        "maintenance",
        "fence",
        "disarm",
        "unmanage",
        "cleanup",
        "add-group",
        "add-node",
        "evict-node",
        "what-if",
        "demo",
        "Exit codes",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn a_disk_without_reservations_is_checked_named_and_tried_out() {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let image = home.path().join("image");
    fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
    let place = format!("disk:{}", image.display());
    assert!(quorate(home.path(), &["init", "--shared", "/srv/shared"]).status.success());
    let path = home.path().join("cluster.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replacen("driver = \"file\"", "driver = \"disk\"\nsave_area_mib = 0", 1);
    fs::write(&path, text.replacen("/srv/shared", image.to_str().unwrap(), 1)).unwrap();
    let checked = quorate(home.path(), &["check"]);
    assert!(
        said(&checked).contains("late_write         3000 ms   lun disk1"),
        "{}",
        said(&checked)
    );
    let late = fs::read_to_string(&path).unwrap().replacen(
        "save_area_mib",
        "late_write_ms = 9000\nsave_area_mib",
        1,
    );
    fs::write(home.path().join("late.toml"), late).unwrap();
    assert_fails(
        &quorate(home.path(), &["check", "late.toml"]),
        3,
        &["late_write_ms 9000", "io_bound_ms"],
    );
    assert_fails(&quorate(home.path(), &["lun", "show", &place]), 1, &["quorate lun init"]);
    assert!(quorate(home.path(), &["lun", "init", "disk1"]).status.success());
    for lun in ["disk1", place.as_str()] {
        let found = quorate(home.path(), &["lun", "doctor", lun]);
        assert!(said(&found).contains("fit for failover"), "{}", said(&found));
    }
    // The save area that a LUN has if nothing is said is larger than all of it.
    let text = fs::read_to_string(&path).unwrap().replacen("save_area_mib = 0\n", "", 1);
    fs::write(&path, text).unwrap();
    let found = quorate(home.path(), &["lun", "doctor", "disk1"]);
    assert_fails(&found, 6, &["too small with its 4194304 bytes", "must have 69279744 at least"]);
    let missing = quorate(home.path(), &["lun", "init", "disk:/srv/of-nobody/image"]);
    assert_fails(&missing, 1, &["there is no /srv/of-nobody/image", "truncate -s"]);
}

#[test]
fn a_lun_is_shown_tried_out_and_cleared_by_its_place_or_its_name() {
    let home = tempfile::tempdir().unwrap();
    let disk = home.path().join("disk");
    fs::create_dir(&disk).unwrap();
    fs::write(disk.join("data"), vec![7; 1 << 20]).unwrap();
    let place = disk.to_str().unwrap();
    assert_fails(&quorate(home.path(), &["lun", "show", "disk1"]), 3, &["cluster.toml"]);
    assert_fails(&quorate(home.path(), &["lun", "show", "/etc"]), 1, &["is no LUN"]);
    assert!(quorate(home.path(), &["init", "--shared", place]).status.success());
    assert_fails(&quorate(home.path(), &["lun", "show", "none"]), 1, &["disk1"]);
    let named = quorate(home.path(), &["lun", "show", "disk1"]);
    assert!(said(&named).contains("cooperative"), "{}", said(&named));
    let shown = quorate(home.path(), &["lun", "show", place]);
    assert!(said(&shown).contains("reservation  none"), "{}", said(&shown));
    let found = quorate(home.path(), &["lun", "doctor", place, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert!(found.status.success() && json["trials"].as_array().unwrap().len() > 8, "{json}");
    let cleared = quorate(home.path(), &["lun", "clear", place]);
    assert!(said(&cleared).contains("nobody is registered"), "{}", said(&cleared));
    assert!(quorate(home.path(), &["lun", "list"]).status.success());
}
