//! `quorate import` as a user meets it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const CIB: &str = "<cib><configuration><crm_config/><nodes>
<node id='1' uname='a'/><node id='2' uname='b'/><node id='3' uname='c'/></nodes>
<resources><primitive id='web' class='systemd' type='web'/></resources>
<constraints><rsc_location id='l' rsc='web' node='a' score='10'/>
<rsc_ticket id='t' rsc='web' ticket='x'/></constraints></configuration></cib>";

fn quorate(home: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quorate")).args(words).current_dir(home).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_cib_becomes_a_file_that_check_finds_in_order_and_the_rest_is_told() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("cib.xml"), CIB).unwrap();
    let words = ["import", "pacemaker", "cib.xml", "--output", "cluster.toml"];
    let output = quorate(home.path(), &words);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", told(&output));
    assert!(told(&output).contains("cib.xml:5: no-counterpart: rsc_ticket t"), "{}", told(&output));
    let checked = quorate(home.path(), &["check"]);
    assert!(checked.status.success(), "{}", told(&checked));

    let again = quorate(home.path(), &words);
    assert_eq!(again.status.code(), Some(1));
    assert!(told(&again).contains("cluster.toml"), "it overwrites nothing");
}

#[test]
fn configuration_and_report_come_as_data_too() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("cib.xml"), CIB).unwrap();
    let words = ["import", "pacemaker", "cib.xml", "--json", "--report", "json"];
    let output = quorate(home.path(), &words);
    let config: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(config["groups"][0]["scores"]["a"], 10);
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let ticket = findings.iter().find(|one| one["kind"] == "no-counterpart").unwrap();
    assert_eq!((&ticket["line"], &ticket["item"]), (&5.into(), &"rsc_ticket t".into()));
    let settings = serde_json::json!([
        {"name": "rsc", "value": "web"},
        {"name": "ticket", "value": "x"}
    ]);
    assert_eq!(ticket["settings"], settings);
}

#[test]
fn what_would_become_of_a_cluster_is_tried_out_in_the_simulator() {
    let home = tempfile::tempdir().unwrap();
    let rich = include_str!("../../../quorate/src/import/tests/rich.xml");
    fs::write(home.path().join("cib.xml"), rich).unwrap();
    let words = ["import", "pacemaker", "cib.xml", "--scenario", "--output", "found.json"];
    let output = quorate(home.path(), &words);
    assert!(output.status.success(), "{}", told(&output));
    let simulated = quorate(home.path(), &["simulate", "found.json"]);
    assert!(simulated.status.success(), "{}", told(&simulated));
    let outcome: serde_json::Value = serde_json::from_slice(&simulated.stdout).unwrap();
    let groups = &outcome["final"]["groups"];
    assert_eq!(groups["crane"]["running_on"], serde_json::json!(["hall1"]), "{outcome}");
    assert_eq!(
        (&groups["store"]["status"], &groups["ferry"]["status"]),
        (&"online".into(), &"offline".into())
    );
    assert_eq!(outcome["violations"], serde_json::json!([]));
}

#[test]
fn what_cannot_be_imported_is_refused_with_file_and_line() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("bad.xml"), "<cib>\n<configuration>").unwrap();
    fs::write(home.path().join("bytes.xml"), b"<cib>\n\xff</cib>").unwrap();
    for (words, said) in [
        (["import", "pacemaker", "bad.xml"], "bad.xml:1:1: not well-formed"),
        (["import", "pacemaker", "bytes.xml"], "bytes.xml:2: byte 6 is not UTF-8"),
        (["import", "pacemaker", "none.xml"], "none.xml"),
        (["import", "proxmox", "."], "resources.cfg"),
    ] {
        let output = quorate(home.path(), &words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(told(&output).contains(said), "{}", told(&output));
    }
}
