//! Files that are broken, or mean harm.

use proptest::prelude::*;

use super::*;
use crate::import::ProxmoxFiles;

#[track_caller]
fn is_refused(text: &str, words: &[&str]) {
    let error = import_pacemaker(text, "cib.xml").unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
}

#[test]
fn what_is_no_cib_is_refused_with_its_line() {
    is_refused("", &["cib.xml:1:1", "not well-formed"]);
    is_refused("<cib>\n<configuration>\n</cib>", &["cib.xml:3:", "not well-formed"]);
    is_refused("<html/>", &["cib.xml:1:1", "no cib"]);
    is_refused("\u{0}\u{1}", &["cib.xml:1"]);
}

#[test]
fn values_that_cannot_be_are_refused_with_their_line() {
    let rich = |from: &str, to: &str| RICH.replacen(from, to, 1);
    is_refused(
        &rich("score=\"100\"", "score=\"1e9\""),
        &["cib.xml:171", "score = \"1e9\"", "crane-likes-hall1"],
    );
    is_refused(&rich("value=\"10min\"", "value=\"soon\""), &["failure-timeout", "soon"]);
    is_refused(&rich("rsc-pattern=\"^loose-(.)$\"", "rsc-pattern=\"(\""), &["rsc-pattern"]);
    is_refused(&rich("kind=\"Serialize\"", "kind=\"Sometimes\""), &["sometimes", "Mandatory"]);
    is_refused(&rich("uname=\"quay\"", "uname=\"\""), &["no uname"]);
}

#[test]
fn entities_do_not_grow_and_name_no_file() {
    let bomb = "<!DOCTYPE cib [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>\
                <cib><configuration>&b;</configuration></cib>";
    is_refused(bomb, &["not well-formed", "DTD"]);
    let file = "<!DOCTYPE cib SYSTEM \"file:///etc/passwd\"><cib><configuration/></cib>";
    is_refused(file, &["not well-formed"]);
}

#[test]
fn what_stands_too_deep_is_refused() {
    for (depth, is_fine) in [(50, true), (100, false), (100_000, false)] {
        let rules = "<rule id='r' score='1'>".repeat(depth) + &"</rule>".repeat(depth);
        let text = format!(
            "<cib><configuration><nodes><node id='1' uname='a'/></nodes><resources><primitive id='p' \
             class='systemd' type='p'/></resources><constraints><rsc_location id='l' rsc='p'>{rules}\
             </rsc_location></constraints></configuration></cib>"
        );
        match is_fine {
            true => assert!(import_pacemaker(&text, "cib.xml").is_ok()),
            false => is_refused(&text, &["cib.xml:1:", "64 deep"]),
        }
    }
}

#[test]
fn large_numbers_stay_within_bounds() {
    let huge = "99999999999999999999999999";
    for (from, to) in [
        ("name=\"priority\" value=\"20\"", format!("name=\"priority\" value=\"{huge}\"")),
        ("value=\"10min\"", "value=\"18446744073709551615s\"".to_owned()),
        ("value=\"10min\"", "value=\"P99999999999999W\"".to_owned()),
        ("timeout=\"120s\"", "timeout=\"1000000000000h\"".to_owned()),
        ("name=\"clone-max\" value=\"2\"", "name=\"clone-max\" value=\"4294967295\"".to_owned()),
        ("value=\"64000\"", "value=\"9223372036854775807\"".to_owned()),
        ("value=\"4096\"", "value=\"9223372036854775807\"".to_owned()),
    ] {
        let text = RICH.replacen(from, &to, 1);
        assert_ne!(text, RICH, "{from}");
        if let Ok(imported) = import_pacemaker(&text, "cib.xml") {
            assert!(imported.to_toml().contains("[[groups]]"));
            imported.config().unwrap_or_else(|error| panic!("{to}: {error}"));
        }
    }
}

#[test]
fn broken_files_of_proxmox_are_refused_with_their_line() {
    let with = |pick: fn(&mut ProxmoxFiles, (String, String)), text: &str| {
        let resources = Some(("resources.cfg".into(), "vm: 1\n".into()));
        let mut files = ProxmoxFiles { resources, ..ProxmoxFiles::default() };
        pick(&mut files, ("it.cfg".into(), text.into()));
        files.import().unwrap_err().to_string()
    };
    let resources = |text| with(|files, file| files.resources = Some(file), text);
    assert!(resources("\tstate started").starts_with("it.cfg:1:1:"));
    assert!(resources("vm: 1\nvm").starts_with("it.cfg:2:1:"));
    assert!(resources("vm: 1\n\tmax_restart many").starts_with("it.cfg:2:1:"));
    assert!(resources("vm: 1\n\tstate asleep").contains("asleep"));
    assert!(resources("vm: 1\n\nvm: 1\n").starts_with("it.cfg:3:1:"));
    let rules = |text| with(|files, file| files.rules = Some(file), text);
    assert!(rules("node-affinity: r\n\tresources vm:1\n").contains("no nodes"));
    assert!(rules("node-affinity: r\n\tresources vm:1\n\tnodes a:x").starts_with("it.cfg:3:1:"));
    let corosync = |text| with(|files, file| files.corosync = Some(file), text);
    assert!(corosync("totem {\n version: 2\n").contains("not closed"));
    assert!(corosync("}\n").contains("not opened"));
    assert!(corosync(&"a {\n".repeat(100_000)).contains("too deep"));
    let status = |text| with(|files, file| files.manager_status = Some(file), text);
    assert!(status("{\n\"node_status\": ").starts_with("it.cfg:2:1:"));
    assert!(status(&"[".repeat(100_000)).contains("it.cfg"));
}

/// Cut and changed in places.
fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (prop::collection::vec(change, 0..6), any::<prop::sample::Index>(), any::<bool>()).prop_map(
        move |(changes, end, cut)| {
            let mut bytes = text.as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            String::from_utf8_lossy(&bytes).into_owned()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_file_gives_an_error_or_an_import_whose_report_says_what_it_lacks(
        cib in damaged(RICH),
        resources in damaged(include_str!("pve/ha/resources.cfg")),
        rules in damaged(include_str!("pve/ha/rules.cfg")),
        corosync in damaged(include_str!("pve/corosync.conf")),
        status in damaged(include_str!("pve/ha/manager_status")),
    ) {
        let files = ProxmoxFiles {
            resources: Some(("resources.cfg".into(), resources)),
            rules: Some(("rules.cfg".into(), rules)),
            corosync: Some(("corosync.conf".into(), corosync)),
            manager_status: Some(("manager_status".into(), status)),
            ..ProxmoxFiles::default()
        };
        for imported in [import_pacemaker(&cib, "cib.xml"), files.import()].into_iter().flatten() {
            if let Err(error) = imported.config() {
                prop_assert!(!findings(&imported, &error.problem).is_empty(), "{error}");
            }
            prop_assert!(!imported.to_toml().is_empty());
        }
    }
}
