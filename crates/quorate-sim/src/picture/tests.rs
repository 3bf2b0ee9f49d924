use super::*;
use crate::timeline::Kind;

fn entry(millis: u64, kind: Kind, subject: &str, node: Option<&str>, detail: &str) -> Entry {
    Entry {
        at: Moment(millis * 1_000_000),
        kind,
        subject: subject.into(),
        node: node.map(Into::into),
        detail: detail.into(),
    }
}

fn cast() -> Cast {
    let names = |prefix: &str, count: usize| (1..=count).map(|n| format!("{prefix}{n}")).collect();
    Cast { nodes: names("n", 3), groups: names("g", 2), luns: names("lun-", 2) }
}

fn page(entries: &[Entry]) -> String {
    Picture { title: "a run".into(), cast: cast(), entries, ..Picture::default() }.html()
}

#[test]
fn a_failover_shows_both_runs_and_the_outage_between_them() {
    let html = page(&[
        entry(0, Kind::NodeUp, "n1", None, ""),
        entry(1_000, Kind::GroupStarted, "g1", Some("n1"), ""),
        entry(5_000, Kind::NodeDown, "n1", None, "power"),
        entry(5_000, Kind::GroupKilled, "g1", Some("n1"), ""),
        entry(9_250, Kind::GroupStarted, "g1", Some("n2"), ""),
        entry(12_000, Kind::NodeUp, "n1", None, ""),
    ]);
    assert!(html.contains("1.000 to 5.000: runs on n1, for 4.00 s"));
    assert!(html.contains("5.000 to 9.250: not running for 4.25 s (unplanned)"));
    assert!(html.contains("9.250 to 12.000: runs on n2, for 2.75 s"));
    assert!(html.contains("n1 is off: power"));
}

#[test]
fn two_owners_at_once_are_seen() {
    let html = page(&[
        entry(1_000, Kind::GroupStarted, "g1", Some("n1"), ""),
        entry(2_000, Kind::GroupStarted, "g1", Some("n2"), ""),
        entry(3_000, Kind::Violation, "OneOwner", None, "g1 runs twice"),
        entry(4_000, Kind::GroupStopped, "g1", Some("n1"), ""),
    ]);
    assert!(html.contains("class=\"span twice\""));
    assert!(html.contains("2.000 to 4.000: on n1 and on n2 at once, for 2.00 s"));
    assert!(html.contains("3.000: BROKEN: OneOwner: g1 runs twice"));
}

#[test]
fn hostile_names_stay_text() {
    let evil = "</title><script>alert(1)</script>\" onload='x' &\u{202e}\u{0}";
    let cast =
        Cast { nodes: vec![evil.into()], groups: vec![evil.into()], luns: vec![evil.into()] };
    let entries: Vec<Entry> = Kind::ALL
        .iter()
        .enumerate()
        .map(|(at, &kind)| entry(at as u64, kind, evil, Some(evil), evil))
        .chain([entry(100, Kind::NodeUp, evil, None, evil)])
        .collect();
    let remarks = vec![evil.to_owned()];
    let until = Moment::default();
    let html = Picture { title: evil.into(), remarks, cast, entries: &entries, until }.html();
    assert_eq!(html.matches("<script").count(), 1);
    assert!(!html.contains("' onload") && !html.contains("\" onload"));
    assert!(!html.contains('\u{202e}') && !html.contains('\u{0}'));
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload=&#39;x&#39; &amp;"));
}

#[test]
fn every_kind_of_entry_is_drawn_or_at_least_told() {
    for &kind in Kind::ALL {
        let html = page(&[entry(1, kind, "n1", None, ""), entry(2, kind, "g1", Some("n1"), "why")]);
        assert!(html.contains(&format!("<td>{}", kind.name())), "{kind}");
    }
}

#[test]
fn a_huge_run_is_drawn_more_coarsely_and_says_so() {
    let mut entries = Vec::new();
    for at in 0..60_000 {
        let (group, node) = (format!("g{}", at % 900), format!("n{}", at % 3 + 1));
        let kind = if at % 1_800 < 900 { Kind::GroupStarted } else { Kind::GroupKilled };
        entries.push(entry(at, kind, &group, Some(&node), &"long ".repeat(100)));
    }
    let groups = (0..900).map(|n| format!("g{n}")).collect();
    let cast = Cast { groups, ..cast() };
    let html =
        Picture { title: "huge".into(), cast, entries: &entries, ..Picture::default() }.html();
    assert!(html.len() < 8_000_000, "{} bytes", html.len());
    assert!(html.contains("lanes are left out") && html.contains("facts in the middle"));
    assert!(html.contains("too large to be drawn one by one"));
}

#[test]
fn an_empty_run_is_a_page_too() {
    let html = Picture::default().html();
    assert!(html.contains("<h1></h1>") && html.ends_with("</html>\n"));
}

#[test]
fn the_page_fetches_nothing() {
    let html = page(&[entry(1, Kind::NodeUp, "n1", None, "")]);
    for word in ["http:", "https:", "src=", "@import", "url(h", "url(/"] {
        assert!(!html.contains(word), "{word}");
    }
}
