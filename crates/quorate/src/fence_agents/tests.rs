use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use quorate_storage::{HostBoot, Listener, Listening, Pill, PillArea};

use super::*;

/// An agent that knows two options, and takes this long for `status`.
fn write_agent(path: &Path, body: &str) {
    let metadata = "<?xml version='1.0'?><resource-agent name='x'><parameters>\
        <parameter name='ip' required='1'/><parameter name='slow' required='0'/></parameters><actions>\
        <action name='off'/><action name='reboot'/></actions></resource-agent>";
    let text = format!(
        "#!/bin/sh\nwhile IFS= read -r line; do\n\
         case $line in action=*) action=${{line#*=}} ;; plug=*) plug=${{line#*=}} ;; esac; \
         done\ncase $action in\nmetadata) echo \"{metadata}\" ;;\n{body}\nesac\n"
    );
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn read(agent: &str) -> Result<Config, crate::ConfigError> {
    let text = format!(
        "[cluster]\nname = \"c\"\nid = \"00000000000000ab\"\n\
         [[nodes]]\nname = \"n1\"\naddresses = [\"127.0.0.1:1\"]\n\
         [[nodes]]\nname = \"n2\"\naddresses = [\"127.0.0.1:2\"]\n\
         [[nodes]]\nname = \"n3\"\naddresses = [\"127.0.0.1:3\"]\n[[fence_agents]]\nname = \"board\"\n{agent}"
    );
    Config::from_toml_str(&text, "x")
}

fn config(agent: &str) -> Config {
    read(agent).unwrap()
}

#[test]
fn an_agent_that_could_end_the_wrong_node_is_refused() {
    for (nodes, words) in [
        ("[\"n1\", \"n2\"]", "not told what each is called there"),
        ("{ n1 = \"7\", n2 = \"\" }", "not told what each is called there"),
        ("{ n1 = \"7\", n2 = \"7\" }", "two nodes have the same plug"),
    ] {
        let error = read(&format!("program = \"p\"\nnodes = {nodes}\n")).unwrap_err().to_string();
        assert!(error.contains("fence_agents.board.nodes") && error.contains(words), "{error}");
    }
}

fn bad(report: &Report) -> Vec<(&str, &str)> {
    let bad = report.findings.iter().filter(|one| !one.good);
    bad.map(|one| (one.trial, one.says.as_str())).collect()
}

#[test]
fn an_agent_that_reaches_its_nodes_is_fit_and_one_that_does_not_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("agent");
    write_agent(
        &program,
        "monitor) exit 0 ;;\nstatus) [ \"$plug\" = 7 ] && exit 2; echo no such plug >&2; exit 1 ;;",
    );
    let program = program.display();
    let found = check(&config(&format!(
        "program = \"{program}\"\nparameters = {{ ip = \"x\" }}\nnodes = {{ n1 = \"7\", n2 = \"8\" }}\n"
    )));
    assert_eq!(bad(&found), [("status", "exit status: 1: no such plug")], "{found}");
    assert_eq!(found.unguarded, ["n3"]);
    assert!(found.to_string().contains("good  board: status of n1: it is off"), "{found}");
    let found = check(&config(&format!(
        "program = \"{program}\"\nparameters = {{ IP = \"x\" }}\nnodes = [\"n1\"]\naction = \"off\"\n"
    )));
    assert_eq!(bad(&found)[0], ("options", "it knows no option IP"));
    let found = check(&config(&format!("program = \"{program}\"\nnodes = [\"n1\"]\n")));
    assert_eq!(bad(&found)[0], ("options", "it requires the option ip"));
    let found = check(&config("program = \"fence_of_nobody\"\nnodes = [\"n1\"]\n"));
    assert_eq!(bad(&found)[0].0, "program");
}

/// As long as what was started would need to show that it goes on, five times.
fn wait_for_more() {
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn an_agent_that_hangs_is_ended_with_all_that_it_has_started() {
    let dir = tempfile::tempdir().unwrap();
    let (program, alive) = (dir.path().join("agent"), dir.path().join("alive"));
    let body =
        format!("off) (while :; do touch {}; sleep 0.01; done) & sleep 100 ;;", alive.display());
    write_agent(&program, &body);
    let text = format!("program = \"{}\"\nnodes = [\"n1\"]\ntimeout_s = 1\n", program.display());
    let config = config(&text);
    let begun = Instant::now();
    let error = agent::act(&config.cluster().fence_agents()[0], "", FenceVerb::Off).unwrap_err();
    assert!(error.contains("no answer within 1s"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    std::fs::remove_file(&alive).unwrap();
    wait_for_more();
    assert!(!alive.exists(), "what it has started is ended too");
}

#[test]
fn what_an_agent_would_misread_is_refused_with_its_place() {
    let refused = |agent: &str| {
        let text = format!(
            "[cluster]\nname = \"c\"\nid = \"00000000000000ab\"\n\
             [[nodes]]\nname = \"n1\"\naddresses = [\"127.0.0.1:1\"]\n\
             [[fence_agents]]\nname = \"board\"\nprogram = \"p\"\n{agent}"
        );
        Config::from_toml_str(&text, "x").unwrap_err().to_string()
    };
    for (agent, words) in [
        ("nodes = [\"n9\"]", "n9"),
        ("nodes = []", "it can end no node"),
        ("nodes = [\"n1\"]\nlevel = 0", "0 is not from 1 to 9"),
        ("nodes = [\"n1\"]\ntries = 0", "0 is not from 1 to 100"),
        ("nodes = [\"n1\"]\ntimeout_s = 0", "timeout_s"),
        (
            "nodes = [\"n1\"]\nparameters = { action = \"off\" }",
            "parameters.action is written by quorate",
        ),
        ("nodes = [\"n1\"]\nparameters = { ip = \"a\\nb\" }", "more than one line"),
        ("nodes = [\"n1\"]\nparameters = { ip = [1] }", "no single value"),
        ("nodes = { n1 = \"a\\nb\" }", "more than one line"),
        ("nodes = [\"n1\"]\nlevle = 2", "levle"),
    ] {
        let error = refused(agent);
        assert!(error.contains(words), "{agent}: {error}");
    }
}

const PILL: &str = "program = \"poison-pill\"\nparameters = { path = \"/dev/pill\" }\n";

#[test]
fn a_pill_that_could_not_be_relied_on_is_refused_with_its_place_and_what_is_needed() {
    let named = format!("{PILL}nodes = [\"n1\", \"n2\"]\n");
    for (agent, words) in [
        ("program = \"poison-pill\"\nnodes = [\"n1\"]".to_owned(), "must be told where pills lie"),
        (named.replace("/dev/pill", "pill"), "pill must begin with /"),
        (named.replace("path =", "timeout = 5, path ="), "knows no option timeout, only path"),
        (format!("{PILL}nodes = {{ n1 = \"7\" }}"), "fence_agents.board.nodes: a pill lies in"),
        (format!("{named}action = \"off\""), "fence_agents.board.action: a pill lets"),
        (format!("{named}timeout_s = 23"), "23 s is shorter than a pill takes to prove anything"),
        (format!("{named}timeout_s = 23"), "by these timings: 24 s"),
        (
            format!("{named}[[fence_agents]]\nname = \"b\"\nprogram = \"p\"\nnodes = [\"n2\"]\n"),
            "fence_agents.board.level: another agent of level 1 is to switch n2 off together",
        ),
        (
            format!("{named}[[fence_agents]]\nname = \"b\"\nlevel = 2\n{PILL}nodes = [\"n2\"]\n"),
            "fence_agents.b.nodes: n2 is to obey the pills of two agents",
        ),
        (
            format!(
                "{named}[[luns]]\nname = \"disk1\"\ndriver = \"disk\"\npath = \"/dev/pill\"\n\
                 [[groups]]\nname = \"g\"\nluns = [\"disk1\"]\n[[groups.resources]]\nname = \"r\"\n\
                 driver = \"host\"\n"
            ),
            "luns.disk1: the poison pills of fence_agents.board lie there",
        ),
        (format!("{named}[timing]\nprofile = \"fast\"\n"), "less than the 1000 ms that one can do"),
    ] {
        let error = read(&agent).unwrap_err().to_string();
        assert!(error.contains(words), "{agent}: {error}");
    }
    let good = config(&format!(
        "{named}timeout_s = 24\n[[fence_agents]]\nname = \"b\"\nlevel = 2\nprogram = \"p\"\nnodes = [\"n2\"]\n"
    ));
    let told = good.timing_derivation();
    assert!(told.contains("pill_proves        8007 ms   fence agent board: max("), "{told}");
    assert_eq!(good, Config::from_toml_str(&good.to_toml(), "x").unwrap());
    let again = Config::from_cluster(good.cluster()).unwrap();
    assert_eq!(good.document().fence_agents, again.document().fence_agents, "by names alone");
}

#[test]
fn who_misspells_the_poison_pill_is_asked_whether_it_is_meant() {
    for written in ["poison_pill", "poisonpill", "Poison-Pill", "poison-pil", "poison pill"] {
        let agent = format!("{}nodes = [\"n1\"]", PILL.replace("poison-pill", written));
        let error = read(&agent).unwrap_err().to_string();
        assert!(error.contains("did you mean \"poison-pill\"?"), "{written}: {error}");
    }
    for other in ["/opt/poison_pill", "fence_sbd", "pill"] {
        assert!(read(&format!("program = \"{other}\"\nnodes = [\"n1\"]")).is_ok(), "{other}");
    }
}

#[test]
fn pills_without_a_watchdog_are_found_by_every_look_at_the_configuration_with_the_remedy() {
    let text = format!("{PILL}nodes = [\"n1\", \"n2\"]\n");
    let without = config(&text);
    let error = without.missing_watchdog().unwrap();
    assert!(error.problem.starts_with("n1, n2 would not start"), "{error}");
    assert!(error.problem.contains("fence_agents.board"), "{error}");
    assert!(error.remedy.contains("add [watchdog] with device"), "{error}");
    assert_eq!(without.warnings(), [error.to_string()]);
    let found = check(&without);
    let bad = bad(&found);
    assert_eq!(bad[0].0, "options", "{found}");
    assert!(found.to_string().contains("add [watchdog] with device"), "{found}");
    let with = config(&format!("{text}[watchdog]\ndevice = \"/dev/watchdog\"\n"));
    assert_eq!((with.missing_watchdog(), with.warnings()), (None, Vec::new()));
    let again = Config::from_cluster(with.cluster());
    assert!(again.is_ok(), "what is in force says nothing of a watchdog, and is valid: {again:?}");
}

/// Pills for n1 and n2 on an empty disk.
fn on_a_disk() -> (tempfile::NamedTempFile, Config) {
    let disk = tempfile::NamedTempFile::new().unwrap();
    disk.as_file().set_len(2 << 20).unwrap();
    let agent = PILL.replace("/dev/pill", disk.path().to_str().unwrap());
    let watchdog = "[watchdog]\ndevice = \"/dev/watchdog\"\n";
    let config = config(&format!("{agent}nodes = [\"n1\", \"n2\"]\n{watchdog}"));
    (disk, config)
}

#[test]
fn a_node_for_which_a_pill_lies_there_is_not_called_good() {
    let (disk, config) = on_a_disk();
    init(&config, false).unwrap();
    let area = PillArea::open(disk.path(), 0xab).unwrap();
    let (boot, earlier) = (HostBoot([1; 16]), HostBoot([2; 16]));
    let (watchdog, patience) = (Duration::from_secs(1), Duration::from_secs(5));
    let standing = Listening::Armed;
    let listener = Listener { standing, boot, start: 1, watchdog, patience, taken: None };
    for (node, boot) in [(1, boot), (2, earlier)] {
        area.write_listener(node, &listener).unwrap();
        let reason = "n1 is down".to_owned();
        area.write_pill(node, &Pill { number: 1, boot, by: 2, reason }).unwrap();
    }
    let found = check(&config);
    assert!(!found.is_sound(), "{found}");
    let bad: Vec<_> = found.findings.iter().filter(|one| !one.good).collect();
    assert_eq!(bad.len(), 1, "that of an earlier boot has done its work: {found}");
    assert_eq!((bad[0].trial, bad[0].node.as_deref()), ("status", Some("n1")));
    assert!(bad[0].says.contains("a pill lies there for it (n1 is down): reset its host"));
}

#[test]
fn the_disk_of_pills_is_looked_at_and_of_each_node_whether_it_is_armed() {
    let (disk, config) = on_a_disk();
    let found = check(&config);
    assert_eq!(bad(&found)[0].0, "device", "{found}");
    assert!(found.to_string().contains("quorate fence-agents --init"), "{found}");
    assert_eq!(init(&config, false).unwrap(), [(disk.path().to_owned(), true)]);
    assert_eq!(init(&config, false).unwrap(), [(disk.path().to_owned(), false)]);
    let found = check(&config);
    assert!(found.is_sound(), "{found}");
    assert!(found.to_string().contains("status of n2: it was never armed"), "{found}");
    assert_eq!(found.unguarded, ["n3"]);
    let none = read("program = \"p\"\nnodes = [\"n1\"]\n").unwrap();
    assert!(init(&none, false).unwrap_err().to_string().contains("poison-pill"));
}
