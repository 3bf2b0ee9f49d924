//! What a cluster.toml may say, and what is said about one that is wrong.

use super::*;

mod whole;

const GOOD: &str = r#"
[cluster]
name = "demo"
id = "00000000000000ab"

[timing]
profile = "fast"
detect_ms = 800

[[nodes]]
name = "n1"
addresses = ["127.0.0.1:7401"]
[[nodes]]
name = "n2"
addresses = ["127.0.0.1:7402"]
[[nodes]]
name = "n3"
addresses = ["127.0.0.1:7403"]
voter = false

[[luns]]
name = "disk1"
driver = "file"
path = "/shared/disk1"

[[groups]]
name = "web"
luns = ["disk1"]
possible_owners = ["n1", "n2"]
preferred_owners = ["n2"]

[[groups.resources]]
name = "database"
driver = "process"
command = ["/bin/true"]

[[groups.resources]]
name = "server"
driver = "host"
depends_on = ["database"]
settings = { colour = "blue" }
"#;

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::from_toml_str(text, "cluster.toml")
}

/// The error of a good text in which one part was replaced.
fn error(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    read(&GOOD.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn a_good_file_becomes_what_the_engine_checks() {
    let config = read(GOOD).unwrap();
    let cluster = config.cluster();
    assert_eq!((config.name(), config.id()), ("demo", 0xab));
    assert_eq!(config.node_names().collect::<Vec<_>>(), ["n1", "n2", "n3"]);
    assert_eq!(cluster.timing().detect.as_millis(), 800);
    let group = cluster.group_named("web").unwrap();
    assert_eq!(group.failover_threshold, 2);
    assert_eq!(group.possible_owners.len(), 2);
    assert_eq!(group.resources[1].depends_on, [group.resources[0].id]);
    assert!(!cluster.luns()[0].enforced);
}

#[test]
fn a_group_on_a_disk_is_told_apart_from_one_that_a_watchdog_or_an_agent_guards() {
    let disk = GOOD.replacen("driver = \"file\"", "driver = \"disk\"", 1);
    let warned = |text: &str| {
        let warnings = read(text).unwrap().warnings();
        warnings.iter().any(|one| one.contains("time alone protects the LUNs of"))
    };
    assert!(!warned(GOOD) && warned(&disk));
    let slow = disk.replacen("detect_ms = 800", "detect_ms = 2000", 1);
    assert!(!warned(&format!("{slow}\n[watchdog]\ndevice = \"/dev/watchdog\"\n")));
}

#[test]
fn a_configuration_survives_its_own_text() {
    let config = read(GOOD).unwrap();
    let again = read(&config.to_toml()).unwrap();
    assert_eq!(config, again);
    assert_eq!(config.cluster().digest(), again.cluster().digest());
}

#[test]
fn the_order_of_keys_does_not_make_another_configuration() {
    let from = "driver = \"host\"\ndepends_on = [\"database\"]\nsettings = { colour = \"blue\" }";
    let to = "settings = { colour = \"blue\" }\ndepends_on = [\"database\"]\ndriver = \"host\"";
    let other = read(&GOOD.replace(from, to)).unwrap();
    assert_eq!(read(GOOD).unwrap().cluster().digest(), other.cluster().digest());
}

#[test]
fn the_template_is_valid_as_it_stands() {
    let nodes: Vec<(String, String)> =
        (1..=3).map(|n| (format!("n{n}"), format!("10.0.0.{n}:7400"))).collect();
    let text = template("demo", 0x1234_5678_9abc_def0, &nodes, "/shared/disk1");
    let config = read(&text).unwrap();
    assert_eq!(config.id(), 0x1234_5678_9abc_def0);
    assert_eq!(config.node_names().count(), 3);
    let all: String =
        text.lines().map(|line| format!("{}\n", uncommented(line))).collect::<String>();
    let text = all.replace("[\"n1\", \"n2\"]", "[\"n1\"]");
    assert!(read(&text).is_ok(), "{}", read(&text).unwrap_err());
}

/// The line as it would be if a reader took the comment sign of an example away.
fn uncommented(line: &str) -> &str {
    let Some(example) = line.strip_prefix("# ") else { return line };
    let is_setting = example.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    if is_setting || example.starts_with('[') { example } else { line }
}

#[test]
fn an_unknown_key_is_refused_where_it_stands() {
    for (from, to, at) in [
        ("name = \"demo\"", "name = \"demo\"\nnane = 1", "cluster.toml:4:1: "),
        ("profile = \"fast\"", "profile = \"fast\"\nspeed = 1", "cluster.toml:8:1: "),
        ("voter = false", "vote = false", "cluster.toml:19:1: "),
        ("possible_owners", "owners", "cluster.toml:29:1: "),
        (
            "path = \"/shared/disk1\"",
            "path = \"/a\"\nsize = 1",
            "cluster.toml:25:1: luns.disk1.size",
        ),
        ("command =", "comand =", "cluster.toml:35:1: groups.web.database.comand"),
        ("settings =", "setting =", "cluster.toml:41:1: groups.web.server.setting"),
    ] {
        let text = error(from, to);
        assert!(text.starts_with(at), "{to}: {text}");
        assert!(text.contains("unknown field") && text.contains("expected"), "{to}: {text}");
    }
}

#[test]
fn what_does_not_hold_together_names_its_place_and_the_remedy() {
    for (from, to, parts) in [
        (
            "possible_owners = [\"n1\", \"n2\"]",
            "possible_owners = [\"n1\", \"n9\"]",
            &["cluster.toml:29:1: groups.web.possible_owners", "\"n9\"", "n1, n2, n3", "[[nodes]]"]
                [..],
        ),
        ("luns = [\"disk1\"]", "luns = [\"disk2\"]", &["groups.web.luns", "disk1", "[[luns]]"]),
        ("[\"database\"]", "[\"databse\"]", &["groups.web.server.depends_on", "database, server"]),
        ("detect_ms = 800", "detect_ms = 100", &["cluster.toml:6:2: timing", "detect 100 ms"]),
        ("00000000000000ab", "ab", &["cluster.toml:4:1: cluster.id", "16 hex digits"]),
        ("00000000000000ab", "0000000000000000", &["cluster.id"]),
        ("127.0.0.1:7402", "127.0.0.1:7401", &["nodes", "127.0.0.1:7401", "twice"]),
        ("driver = \"file\"", "driver = \"nfs\"", &["luns.disk1", "iscsi, device, disk and file"]),
        (
            "driver = \"process\"",
            "driver = \"ocf\"",
            &["groups.web.database", "process, qemu and host"],
        ),
        ("/shared/disk1", "disk1", &["cluster.toml:24:1: luns.disk1.path", "begin with /"]),
        ("[\"/bin/true\"]", "[]", &["groups.web.database.command", "empty"]),
    ] {
        let text = error(from, to);
        for part in parts {
            assert!(text.contains(part), "{to}: {text} lacks {part}");
        }
    }
}

#[test]
fn a_syntax_error_names_its_line_and_column() {
    let text = error("name = \"demo\"", "name = \"demo");
    assert!(text.starts_with("cluster.toml:3:"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let text = Config::from_file("/nowhere/cluster.toml".as_ref()).unwrap_err().to_string();
    assert!(text.contains("/nowhere/cluster.toml") && text.contains("cannot be read"), "{text}");
}

#[test]
fn a_guest_alone_in_its_group_is_saved_on_a_move_and_a_process_is_not() {
    let text = r#"
[cluster]
name = "demo"
id = "00000000000000ab"
[[nodes]]
name = "n1"
addresses = ["127.0.0.1:7401"]
[[luns]]
name = "disk1"
driver = "iscsi"
url = "iscsi://127.0.0.1:3260/iqn.2026-01.org.example:d/1"
[[groups]]
name = "vm"
luns = ["disk1"]
[[groups.resources]]
name = "guest"
driver = "qemu"
memory_mib = 64
"#;
    let config = read(text).unwrap();
    assert!(config.cluster().groups()[0].resources[0].save_on_move);
    assert!(config.cluster().luns()[0].enforced);
    assert!(!read(GOOD).unwrap().cluster().groups()[0].resources[0].save_on_move);
}

#[test]
fn a_configuration_can_be_made_without_a_text() {
    let command = toml::Value::Array(vec![toml::Value::String("/bin/true".to_owned())]);
    let settings = Settings::from([("command".to_owned(), command)]);
    let document = Document {
        cluster: Cluster { name: "c".to_owned(), id: "00000000000000ab".to_owned() },
        nodes: vec![Node::new("n1", &["127.0.0.1:7401"])],
        luns: vec![Lun::file("d", "/shared/d")],
        groups: vec![Group::new("g", &["d"], vec![Resource::new("r", "process", settings)])],
        ..Document::default()
    };
    let config = Config::new(document).unwrap();
    assert_eq!(config.group_names().collect::<Vec<_>>(), ["g"]);
}

#[test]
fn what_is_recorded_can_be_set_and_is_checked() {
    let text =
        |recording: &str| GOOD.replace("[timing]", &format!("[recording]\n{recording}\n[timing]"));
    assert!(GOOD.contains("[timing]"));
    let default = read(GOOD).unwrap().recording("n1").unwrap();
    assert_eq!((default.dir, default.bytes_max), (None, 64 << 20));
    let config = read(&text("max_mib = 5\ndir = \"/var/q\"")).unwrap();
    let set = config.recording("n1").unwrap();
    assert_eq!((set.dir, set.bytes_max), (Some("/var/q/n1".into()), 5 << 20));
    assert_eq!(config.cluster().digest(), read(GOOD).unwrap().cluster().digest());
    assert_eq!(read(&text("enabled = false")).unwrap().recording("n1"), None);
    for (wrong, place) in [
        ("max_mib = 0", "recording.max_mib: 0 must be from 1 to 1000"),
        ("dir = \"x\"", "recording.dir: x must begin with /"),
        ("size = 1", "unknown field `size`"),
    ] {
        let error = read(&text(wrong)).unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
    }
}

#[test]
fn what_is_misspelt_gets_a_suggestion() {
    for (from, to, meant) in [
        ("profile = \"fast\"", "profil = \"fast\"", "did you mean profile?"),
        ("[\"database\"]", "[\"databse\"]", "did you mean database?"),
        ("possible_owners", "posible_owners", "did you mean possible_owners?"),
        ("command =", "comand =", "did you mean command?"),
        ("profile = \"fast\"", "profile = \"fats\"", "did you mean fast?"),
        ("luns = [\"disk1\"]", "luns = [\"dsik1\"]", "did you mean disk1?"),
    ] {
        let text = error(from, to);
        assert!(text.contains(meant), "{to}: {text}");
    }
}

#[test]
fn scores_priorities_and_rules_that_make_no_sense_are_refused_at_their_place() {
    let more = |words: &str| format!("{words}\nluns = [\"disk1\"]");
    let rules = |words: &str| format!("[[rules]]\nname = \"r\"\n{words}\n[[groups]]\n");
    for (from, to, parts) in [
        (
            "luns = [\"disk1\"]",
            more("scores = { n1 = \"mus\" }"),
            ["cluster.toml:28:", "\"must\" or"],
        ),
        ("luns = [\"disk1\"]", more("scores = { n1 = 2000000 }"), ["2000000", "1000000"]),
        ("luns = [\"disk1\"]", more("scores = { n7 = 1 }"), ["groups.web.scores.n7", "n1, n2"]),
        ("luns = [\"disk1\"]", more("priority = \"hihg\""), ["cluster.toml:28:", "no-auto-start"]),
        ("luns = [\"disk1\"]", more("uses = { memory = -1 }"), ["cluster.toml:28:", "-1"]),
        ("[[groups]]\n", rules(""), ["rules.r: it says 0 things", "together, apart"]),
        (
            "[[groups]]\n",
            rules("apart = { groups = [\"web\", \"wbe\"] }"),
            ["cluster.toml:28:", "rules.r.apart.groups"],
        ),
        (
            "[[groups]]\n",
            rules("apart = { groups = [\"web\"] }"),
            ["rules.r.apart", "at least two"],
        ),
        ("[[groups]]\n", rules("order = { then = \"web\" }"), ["rules.r.order", "first_any"]),
        ("[[groups]]\n", rules("near = { group = \"web\" }"), ["cluster.toml:28:", "`with`"]),
    ] {
        let text = error(from, &to);
        for part in parts {
            assert!(text.contains(part), "{to}: {text} lacks {part}");
        }
    }
}

#[test]
fn the_words_of_windows_for_priorities_are_numbers() {
    let with = |word: &str| {
        let text =
            GOOD.replace("luns = [\"disk1\"]", &format!("luns = [\"disk1\"]\npriority = {word}"));
        let config = read(&text).unwrap();
        let group = config.cluster().group_named("web").unwrap();
        (group.wishes.priority, group.auto_start)
    };
    assert_eq!(with("\"high\""), (3000, true));
    assert_eq!(with("\"medium\""), with("2000"));
    assert_eq!(with("\"no-auto-start\""), (0, false));
}

#[test]
fn an_error_in_json_has_a_line_and_a_remedy() {
    let json = read(GOOD).unwrap().to_json();
    assert_eq!(Config::from_json_str(&json, "c.json").unwrap(), read(GOOD).unwrap());
    let wrong = json.replacen("\"voter\"", "\"votre\"", 1);
    let text = Config::from_json_str(&wrong, "c.json").unwrap_err().to_string();
    assert!(text.starts_with("c.json:") && text.contains("did you mean voter?"), "{text}");
    assert!(!text.contains(" line "), "{text}");
}

#[test]
fn a_quarantine_is_on_until_it_is_turned_off() {
    let policy = |words: &str| {
        let text = GOOD.replace("[timing]", &format!("[policy.quarantine]\n{words}\n[timing]"));
        read(&text).map(|config| config.cluster().policy().quarantine)
    };
    assert_eq!(policy(""), Ok(Some(Quarantine::default())));
    assert_eq!(policy("enabled = false"), Ok(None));
    let set = policy("threshold = 5").unwrap().unwrap();
    assert_eq!((set.threshold, set.hold), (5, Quarantine::default().hold));
    let both = policy("enabled = true\nthreshold = 5").unwrap().unwrap();
    assert_eq!(both.threshold, 5, "what stands beside it counts too");
    assert_eq!(policy("enabled = false\nthreshold = 5"), Ok(None));
    for (wrong, parts) in [
        ("treshold = 5", ["cluster.toml:", "did you mean threshold?"]),
        ("enabled = true\ntreshold = 5", ["cluster.toml:", "did you mean threshold?"]),
        ("threshold = 0", ["policy.quarantine.threshold", "use 1 or more"]),
        ("period_s = 0", ["policy.quarantine.period_s", "use 1 or more"]),
        ("hold_s = 90000", ["policy.quarantine.hold_max_s", "is below hold_s"]),
        ("hold_s = 18446744073709551615", ["cluster.toml:", ""]),
    ] {
        let text = policy(wrong).unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{wrong}: {text}");
    }
}

#[test]
fn every_key_stands_on_the_page_about_the_configuration() {
    let page = include_str!("../../../../docs/CONFIGURATION.md");
    let words = include_str!("document.rs").lines().chain(include_str!("relations.rs").lines());
    let words = words.chain(include_str!("policies.rs").lines());
    let words = words.chain(include_str!("fencing.rs").lines());
    let keys = words.filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    let keys: Vec<&str> = keys.map(|(key, _)| key).filter(|key| !key.contains(' ')).collect();
    assert!(keys.len() > 60, "{keys:?}");
    let inline = [
        "settings",
        "cluster",
        "timing",
        "recording",
        "watchdog",
        "fence_agents",
        "nodes",
        "luns",
        "groups",
        "rules",
        "policy",
    ];
    let inline = [&inline[..], &["resources", "from", "to", "enabled", "max_mib", "dir"]].concat();
    for key in keys.into_iter().filter(|key| !inline.contains(key)) {
        assert!(page.contains(&format!("`{key}`")), "{key} is not on docs/CONFIGURATION.md");
    }
}
