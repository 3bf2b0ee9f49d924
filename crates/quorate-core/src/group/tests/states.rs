//! The transition tables of docs/STATES.md, made from the code: every state and every event.

use std::time::Duration;

use super::{Bench, CLUSTER, DISK, EPOCH, NODE, resource};
use crate::action::{Action, ResourceVerb};
use crate::change::{
    Cause, Change, ChangeSet, Desire, DownCause, FenceKind, GroupReport, ReleaseKind,
};
use crate::config::{
    ClusterConfig, ClusterParts, Domain, GroupConfig, NodeConfig, Policy, ResourceConfig,
    RestartAction, TimingInputs,
};
use crate::database::{Database, OwnedState, Ownership, Vacancy};
use crate::group::{Goal, ResourceState};
use crate::id::{Epoch, GroupId, Incarnation, NodeId, SaveToken, VoterId};

const PAGE: &str = include_str!("../../../../../docs/STATES.md");
const STATES: [ResourceState; 11] = [
    ResourceState::Offline,
    ResourceState::Starting,
    ResourceState::Loading,
    ResourceState::Loaded,
    ResourceState::Running,
    ResourceState::Online,
    ResourceState::Saving,
    ResourceState::Stopping,
    ResourceState::Killing,
    ResourceState::StopFailed,
    ResourceState::Failed,
];
const GROUP: GroupId = GroupId(1);
const OTHER: NodeId = NodeId(2);

/// The page holds this table after its mark. With `UPDATE` set, it is written there.
#[allow(clippy::disallowed_methods, reason = "a test writes the page that it checks")]
fn is_on_the_page(mark: &str, table: &str) {
    let mark = format!("<!-- {mark} -->\n");
    let page = match std::env::var_os("UPDATE") {
        None => PAGE.to_owned(),
        Some(_) => {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/STATES.md");
            let old = std::fs::read_to_string(path).expect("the page is there");
            let (before, after) = old.split_once(&mark).expect("the mark is there");
            let rest = after.lines().skip_while(|line| line.is_empty() || line.starts_with('|'));
            let rest: Vec<&str> = rest.collect();
            let fresh = format!("{before}{mark}\n{table}\n{}\n", rest.join("\n"));
            std::fs::write(path, &fresh).expect("the page can be written");
            fresh
        }
    };
    let (_, after) = page.split_once(&mark).expect("the mark is there");
    assert!(
        after.trim_start().starts_with(table),
        "docs/STATES.md is out of date: UPDATE=1\n{table}"
    );
}

fn table(corner: &str, columns: &[String], rows: &[(String, Vec<String>)]) -> String {
    let line = |head: &str, cells: &[String]| format!("| {head} | {} |\n", cells.join(" | "));
    let rule: Vec<String> = columns.iter().map(|_| "---".to_owned()).collect();
    let rows: String = rows.iter().map(|(head, cells)| line(head, cells)).collect();
    line(corner, columns) + &line("---", &rule) + &rows
}

/// A group of one resource in this state, reached by the ways that there are.
fn at(state: ResourceState) -> Bench {
    let mut one = resource(DISK, &[]);
    one.policy.restart_action = match state {
        ResourceState::Failed => RestartAction::DoNotRestart,
        _ => RestartAction::RestartThenFailOver,
    };
    one.restart_delay = Duration::ZERO;
    let loads =
        [ResourceState::Loading, ResourceState::Loaded, ResourceState::Running].contains(&state);
    let saved = loads.then(|| SaveToken::new(GROUP, Epoch(3)));
    let mut t = Bench::start(&[], vec![one], Vacancy::NeverOwned, saved);
    let kill = |t: &mut Bench| {
        t.group.on_trouble(DISK, t.now, &mut t.out);
        t.advance();
    };
    match state {
        ResourceState::Starting | ResourceState::Loading => {}
        ResourceState::Loaded => t.answer(DISK, Ok(())),
        ResourceState::Running => {
            t.answer(DISK, Ok(()));
            t.leave.saved = None;
            t.advance();
        }
        ResourceState::Online => t.answer(DISK, Ok(())),
        ResourceState::Saving | ResourceState::Stopping => {
            t.answer(DISK, Ok(()));
            let moves = state == ResourceState::Saving;
            t.group.give_up(if moves { ReleaseKind::Move } else { ReleaseKind::Stop }, None);
            t.advance();
        }
        ResourceState::Killing => kill(&mut t),
        ResourceState::StopFailed => {
            kill(&mut t);
            let op = t.op_of(DISK);
            t.group.on_resource(DISK, op, &Err("it lives".into()), t.now, &mut t.out);
        }
        ResourceState::Offline => {
            kill(&mut t);
            let op = t.op_of(DISK);
            t.group.on_resource(DISK, op, &Ok(()), t.now, &mut t.out);
        }
        ResourceState::Failed => {
            kill(&mut t);
            t.answer(DISK, Ok(()));
        }
    }
    assert_eq!(t.state(DISK), state);
    t.asked.clear();
    t
}

/// The last request, whatever it was; none was made: a number that nobody gave.
fn open(t: &Bench) -> crate::id::OpId {
    t.group.waits_for().first().copied().unwrap_or_default()
}

fn word(before: ResourceState, after: ResourceState) -> String {
    if before == after { "·".into() } else { format!("{after:?}") }
}

#[test]
fn every_state_of_a_resource_answers_every_event_as_the_page_says() {
    type Happens = fn(&mut Bench);
    let events: [(&str, Happens); 6] = [
        ("done", |t| {
            let op = open(t);
            t.group.on_resource(DISK, op, &Ok(()), t.now, &mut t.out);
        }),
        ("it failed", |t| {
            let op = open(t);
            t.group.on_resource(DISK, op, &Err("no".into()), t.now, &mut t.out);
        }),
        ("no answer in time", |t| {
            let op = open(t);
            t.group.on_overdue(op, t.now, &mut t.out);
        }),
        ("held outside", |t| {
            let op = open(t);
            t.group.on_busy(DISK, op, t.now, &mut t.out);
        }),
        ("trouble is reported", |t| t.group.on_trouble(DISK, t.now, &mut t.out)),
        ("moved by hand", |t| t.group.on_moved(DISK, OTHER, t.now, &mut t.out)),
    ];
    let columns: Vec<String> = events.iter().map(|(name, _)| (*name).to_owned()).collect();
    let row = |&state: &ResourceState| {
        let cell = |&(_, happens): &(&str, Happens)| {
            let mut t = at(state);
            happens(&mut t);
            word(state, t.state(DISK))
        };
        (format!("{state:?}"), events.iter().map(cell).collect())
    };
    let rows: Vec<(String, Vec<String>)> = STATES.iter().map(row).collect();
    is_on_the_page("resource-events", &table("state", &columns, &rows));
}

#[test]
fn every_state_of_a_resource_is_asked_for_what_the_page_says() {
    let goals = [
        ("run", Goal::Run, ReleaseKind::Move),
        ("be handed over", Goal::GiveUp, ReleaseKind::Move),
        ("stop", Goal::GiveUp, ReleaseKind::Stop),
        ("end at once", Goal::Abandon, ReleaseKind::Stop),
    ];
    let columns: Vec<String> = goals.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let row = |&state: &ResourceState| {
        let cell = |&(_, goal, kind): &(&str, Goal, ReleaseKind)| {
            let mut t = at(state);
            (t.group.goal, t.group.save) = (goal, kind == ReleaseKind::Move);
            t.advance();
            let verb = t.asked.iter().find_map(|action| match action {
                Action::Resource { verb, .. } => Some(verb_word(*verb)),
                _ => None,
            });
            let after = t.state(DISK);
            match verb {
                Some(verb) => format!("{verb}: {after:?}"),
                None => word(state, after),
            }
        };
        (format!("{state:?}"), goals.iter().map(cell).collect())
    };
    let rows: Vec<(String, Vec<String>)> = STATES.iter().map(row).collect();
    is_on_the_page("resource-goals", &table("state", &columns, &rows));
}

fn verb_word(verb: ResourceVerb) -> &'static str {
    match verb {
        ResourceVerb::Start { .. } => "start",
        ResourceVerb::Load { .. } => "load",
        ResourceVerb::Run => "run",
        ResourceVerb::Save { .. } => "save",
        ResourceVerb::Send { .. } => "send",
        ResourceVerb::Stop { .. } => "stop",
        ResourceVerb::Kill => "kill",
    }
}

/// The database with one group on three nodes, and how its log goes on.
struct Ledger {
    database: Database,
    index: u64,
}

impl Ledger {
    fn new() -> Self {
        let node = |id: u16| NodeConfig {
            id: NodeId(id),
            name: format!("n{id}"),
            addresses: vec![format!("10.0.0.{id}:7000")],
            voter: true,
            capacity: Default::default(),
            domain: Domain::default(),
        };
        let disk = ResourceConfig { name: "disk".into(), ..resource(DISK, &[]) };
        let group = GroupConfig { failover_threshold: 9, ..super::config(&[], vec![disk]) };
        let config = ClusterConfig::new(ClusterParts {
            name: "three".into(),
            id: CLUSTER,
            timing: TimingInputs::FAST,
            nodes: vec![node(1), node(2), node(3)],
            luns: Vec::new(),
            groups: vec![group],
            rules: Vec::new(),
            policy: Policy::default(),
            witness: None,
            fence_agents: Vec::new(),
        });
        let founders = (1..=3).map(|id| VoterId::new(NodeId(id), 1)).collect();
        let config = config.expect("it is valid");
        let mut ledger = Self { database: Database::genesis(config, founders), index: 1 };
        for id in 1..=3 {
            let incarnation = Incarnation::of_boot(1);
            ledger.apply(Change::Admit { node: NodeId(id), incarnation });
        }
        ledger
    }

    fn apply(&mut self, change: Change) {
        self.index += 1;
        let set = ChangeSet { at_ms: self.index, changes: vec![change] };
        self.database.apply(self.index, &set, &mut Vec::new());
    }

    fn epoch(&self) -> Epoch {
        self.database.group(GROUP).expect("it is there").epoch
    }

    fn assign(&mut self, owner: NodeId) {
        let (epoch, cause) = (Epoch(self.epoch().0 + 1), Cause::Start);
        let incarnation = Incarnation::of_boot(1);
        self.apply(Change::Assign { group: GROUP, epoch, owner, incarnation, cause });
    }

    fn release(&mut self, to: Option<NodeId>) {
        let (epoch, cause) = (self.epoch(), Cause::Move);
        let kind = if to.is_some() { ReleaseKind::Move } else { ReleaseKind::Stop };
        self.apply(Change::Release { group: GROUP, epoch, to, kind, cause });
    }

    fn report(&mut self, report: GroupReport) {
        let (epoch, incarnation) = (self.epoch(), Incarnation::of_boot(1));
        self.apply(Change::Report { group: GROUP, epoch, node: NODE, incarnation, report });
    }

    fn down(&mut self) {
        let (incarnation, cause) = (Incarnation::of_boot(1), DownCause::Silence);
        self.apply(Change::Down { node: NODE, incarnation, cause });
    }

    fn fenced(&mut self, kind: FenceKind) {
        self.down();
        let (incarnation, reason) = (Incarnation::of_boot(1), String::new());
        self.apply(Change::Fenced { node: NODE, incarnation, kind, reason });
    }

    fn state(&self) -> String {
        let record = self.database.group(GROUP).expect("it is there");
        let vacant = |why: &str| format!("vacant ({why})");
        let state = match record.ownership {
            Ownership::Vacant(Vacancy::NeverOwned) => vacant("never owned"),
            Ownership::Vacant(Vacancy::Stopped { .. }) => vacant("stopped"),
            Ownership::Vacant(Vacancy::Found { .. }) => vacant("found"),
            Ownership::Vacant(Vacancy::Fenced { .. }) => vacant("fenced"),
            Ownership::Vacant(Vacancy::StorageFence { .. }) => vacant("storage fence"),
            Ownership::Owned { state, .. } => match state {
                OwnedState::Starting => "starting".to_owned(),
                OwnedState::Online if record.degraded => "degraded".to_owned(),
                OwnedState::Online => "online".to_owned(),
                OwnedState::Releasing { to: Some(_), .. } => "moving".to_owned(),
                OwnedState::Releasing { to: None, .. } => "stopping".to_owned(),
                OwnedState::StopFailed => "stop-failed".to_owned(),
            },
        };
        match record.owner() {
            Some((node, _)) if node != NODE => format!("{state} there"),
            _ => state,
        }
    }
}

fn ledger_at(state: &str) -> Ledger {
    let mut t = Ledger::new();
    if state != "vacant (never owned)" {
        t.assign(NODE);
    }
    match state {
        "vacant (stopped)" => {
            t.report(GroupReport::Vacated { saved: None, failures: 0, luns_away: false })
        }
        "vacant (fenced)" => t.fenced(FenceKind::LeaseOver),
        "online" => t.report(GroupReport::Online),
        "degraded" => t.report(GroupReport::Degraded),
        "moving" => t.release(Some(OTHER)),
        "stopping" => t.release(None),
        "stop-failed" => t.report(GroupReport::StopFailed),
        _ => {}
    }
    assert_eq!(t.state(), state);
    t
}

#[test]
fn every_state_of_a_group_takes_every_change_as_the_page_says() {
    type Comes = fn(&mut Ledger);
    let states = [
        "vacant (never owned)",
        "vacant (stopped)",
        "vacant (fenced)",
        "starting",
        "online",
        "degraded",
        "moving",
        "stopping",
        "stop-failed",
    ];
    let changes: [(&str, Comes); 19] = [
        ("it is given to another node", |t| t.assign(OTHER)),
        ("it is to move", |t| t.release(Some(OTHER))),
        ("it is to stop", |t| t.release(None)),
        ("its owner: online", |t| t.report(GroupReport::Online)),
        ("its owner: degraded", |t| t.report(GroupReport::Degraded)),
        ("its owner: restarting", |t| t.report(GroupReport::Restarting)),
        ("its owner: gone in order", |t| {
            t.report(GroupReport::Vacated { saved: None, failures: 0, luns_away: false });
        }),
        ("its owner: failed and gone", |t| {
            t.report(GroupReport::Vacated { saved: None, failures: 1, luns_away: false });
        }),
        ("its owner: could not be handed over", |t| t.report(GroupReport::Kept)),
        ("its owner: cannot be stopped", |t| t.report(GroupReport::StopFailed)),
        ("its owner: deadlocked", |t| t.report(GroupReport::Deadlocked)),
        ("its owner: moved by hand", |t| t.report(GroupReport::Gone { to: OTHER })),
        ("its owner: the saved state is resumed", |t| t.report(GroupReport::Consumed)),
        ("its node is down", Ledger::down),
        ("its node is fenced: its lease is over", |t| t.fenced(FenceKind::LeaseOver)),
        ("its node is fenced: a human's word", |t| t.fenced(FenceKind::Human)),
        ("its node is fenced: its fence agents", |t| t.fenced(FenceKind::Agent)),
        ("its node comes back", |t| {
            let incarnation = Incarnation::of_boot(2);
            t.apply(Change::Admit { node: NODE, incarnation });
        }),
        ("it is to be offline", |t| {
            t.apply(Change::Desire { group: GROUP, desire: Desire::Offline });
        }),
    ];
    let columns: Vec<String> = states.iter().map(|&state| state.to_owned()).collect();
    let row = |&(name, comes): &(&str, Comes)| {
        let cell = |state: &&str| {
            let mut t = ledger_at(state);
            comes(&mut t);
            let after = t.state();
            if after == *state { "·".to_owned() } else { after }
        };
        (name.to_owned(), states.iter().map(cell).collect())
    };
    let rows: Vec<(String, Vec<String>)> = changes.iter().map(row).collect();
    is_on_the_page("group-changes", &table("what is committed", &columns, &rows));
    assert_eq!(ledger_at("starting").epoch().0, Ledger::new().epoch().0 + 1);
    assert_ne!(EPOCH, Epoch(0));
}
