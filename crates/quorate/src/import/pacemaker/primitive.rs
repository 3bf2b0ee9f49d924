//! One primitive: its agent, its operations, and what its meta attributes come to.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::config::SCORE_MUST;
use toml::{Table, Value};

use super::Importer;
use super::options::Options;
use super::rule::Subject;
use super::values;
use crate::config::{
    Amounts, ConfigError, FoundTwice, OnDeadlock, Resource, RestartAction, Seconds, Settings,
};
use crate::import::report::FindingKind::{Approximated, Needed, NoCounterpart, NotNeeded};
use crate::import::xml::Element;

/// How long a start or a stop may take, if nothing says so.
///
/// Source: Pacemaker Explained, operation defaults: 20 s.
const TIMEOUT: Duration = Duration::from_secs(20);
/// For how long failures in place count, if they never expire.
const FOREVER_S: u64 = 86_400;

/// A primitive, ready to be put into a group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) resource: Resource,
    pub(super) priority: i32,
    pub(super) stickiness: i32,
    pub(super) failures_max: Option<u32>,
    pub(super) failures_expire: Option<Duration>,
    pub(super) stopped: bool,
    pub(super) unmanaged: bool,
    pub(super) critical: bool,
    pub(super) awaits_fences: bool,
    pub(super) found_twice: Option<FoundTwice>,
    pub(super) uses: Amounts,
}

/// What its operations say.
#[derive(Debug, Default)]
struct Operations {
    tables: Vec<Value>,
    pending: Duration,
    /// A failure ends it, in place of starting it again.
    gives_up: bool,
    /// What cannot be stopped costs its node.
    fences: bool,
}

/// Class, provider and type.
pub(super) fn agent<'a>(element: Element<'a>, template: Option<Element<'a>>) -> [&'a str; 3] {
    ["class", "provider", "type"].map(|name| {
        let own = element.read(name);
        own.or_else(|| template.and_then(|one| one.read(name))).unwrap_or_default()
    })
}

pub(super) fn spelt([class, provider, kind]: [&str; 3]) -> String {
    let parts = [class, provider, kind].into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(":")
}

impl<'a> Importer<'a> {
    /// Reads a primitive; `outer` are the group and the clone that it is in, innermost first.
    pub(super) fn member(
        &mut self,
        element: Element<'a>,
        outer: &[Element<'a>],
        name: String,
    ) -> Result<Member, ConfigError> {
        let template = self.template_of(element);
        let agent = agent(element, template);
        let subject = Subject { agent: Some(agent), cluster: self.cluster, ..Subject::default() };
        let homes: Vec<Element<'a>> =
            [element].into_iter().chain(template).chain(outer.iter().copied()).collect();
        let options = |tag: &str| {
            let mut options = Options::default();
            homes.iter().for_each(|home| options.add(*home, tag, &subject));
            options
        };
        let parameters = options("instance_attributes").all();
        let mut meta = options("meta_attributes");
        if let Some(defaults) = self.defaults {
            meta.add(defaults, "meta_attributes", &subject);
        }
        let operations = self.operations(element, template, agent)?;
        let text = |(name, pair): (&&str, &values::Pair<'a>)| {
            ((*name).to_owned(), Value::String(pair.value().to_owned()))
        };
        let parameters: Table = parameters.iter().map(text).collect();
        let mut inner = Table::from_iter([("agent".to_owned(), Value::String(spelt(agent)))]);
        if !parameters.is_empty() {
            inner.insert("parameters".to_owned(), Value::Table(parameters));
        }
        if !operations.tables.is_empty() {
            inner.insert("operations".to_owned(), Value::Array(operations.tables));
        }
        let settings = Settings::from([("settings".to_owned(), Value::Table(inner))]);
        self.tell_driver(element, agent);
        let mut words = Resource::new(name, "host", settings);
        words.pending_timeout_s = whole_seconds(operations.pending);
        words.start_failure_is_fatal = self.switches.fatal_starts;
        let mut uses = Amounts::new();
        for (&what, pair) in &options("utilization").all() {
            uses.insert(what.to_owned(), pair.amount()?);
        }
        if operations.gives_up {
            words.restart_action = RestartAction::DoNotRestart;
            words.retry_period_s = Seconds::Never;
        }
        if operations.fences {
            words.on_deadlock = OnDeadlock::FenceNode;
        }
        self.with_meta(words, &meta, uses)
    }

    fn template_of(&self, element: Element<'a>) -> Option<Element<'a>> {
        let template = self.xml.element(element.look("template")?)?;
        if template.tag() != "template" {
            return None;
        }
        element.read("template");
        template.id();
        Some(template)
    }

    fn with_meta(
        &mut self,
        mut words: Resource,
        meta: &Options<'a>,
        uses: Amounts,
    ) -> Result<Member, ConfigError> {
        let score = |name: &str| meta.find(name).map_or(Ok(0), |pair| pair.score());
        let flag =
            |name: &str, otherwise| meta.find(name).map_or(Ok(otherwise), |pair| pair.flag());
        let most = meta.find("migration-threshold").map_or(Ok(SCORE_MUST), |pair| pair.score())?;
        let failures_max = u32::try_from(most).ok().filter(|&most| most > 0 && most < 1_000_000);
        let expire = meta.find("failure-timeout").map(|pair| pair.length()).transpose()?;
        let failures_expire = expire.filter(|length| !length.is_zero());
        match failures_max {
            Some(most) => {
                words.restart_threshold = most - 1;
                words.restart_period_s = failures_expire.map_or(FOREVER_S, whole_seconds);
            }
            None => self.without_threshold = true,
        }
        let awaits_fences = match meta.find("requires") {
            Some(pair) => matches!(pair.value(), "fencing" | "unfencing"),
            None => false,
        };
        let role = meta.find("target-role").map(|pair| pair.value()).unwrap_or("Started");
        let found_twice = meta.find("multiple-active").map(|pair| match pair.value() {
            "stop_only" => FoundTwice::Stop,
            "block" => FoundTwice::Leave,
            "stop_unexpected" => FoundTwice::KeepOwner,
            _ => FoundTwice::Restart,
        });
        words.live_on_move = flag("allow-migrate", false)?;
        Ok(Member {
            resource: words,
            priority: score("priority")?,
            stickiness: score("resource-stickiness")?,
            failures_max,
            failures_expire,
            stopped: role.eq_ignore_ascii_case("stopped"),
            unmanaged: !flag("is-managed", true)? || flag("maintenance", false)?,
            critical: flag("critical", true)?,
            awaits_fences,
            found_twice,
            uses,
        })
    }

    fn operations(
        &self,
        element: Element<'a>,
        template: Option<Element<'a>>,
        agent: [&'a str; 3],
    ) -> Result<Operations, ConfigError> {
        let home = [Some(element), template].into_iter().flatten();
        let home = home.filter_map(|one| one.first("operations")).next().map(Element::resolved);
        let mut found = Operations::default();
        let mut timeouts: BTreeMap<&'a str, Duration> = BTreeMap::new();
        for op in home.into_iter().flat_map(|home| home.all("op")).map(Element::resolved) {
            self.operation(op, agent, &mut found, &mut timeouts)?;
        }
        home.map(Element::id);
        for name in ["start", "stop"] {
            if !timeouts.contains_key(name) {
                let subject = Subject {
                    agent: Some(agent),
                    operation: Some([name, "0"]),
                    ..Subject::default()
                };
                let mut defaults = Options::default();
                if let Some(section) = self.op_defaults {
                    defaults.add(section, "meta_attributes", &subject);
                }
                let given = defaults.find("timeout").map(|pair| pair.length()).transpose()?;
                timeouts.insert(name, given.unwrap_or(TIMEOUT));
            }
        }
        found.pending = timeouts.values().max().copied().unwrap_or(TIMEOUT);
        if timeouts["start"] != timeouts["stop"] {
            let shown: Vec<(String, String)> = timeouts
                .iter()
                .map(|(name, length)| (format!("{name} timeout"), format!("{length:?}")))
                .collect();
            let shown: Vec<(&str, &str)> =
                shown.iter().map(|(name, length)| (name.as_str(), length.as_str())).collect();
            let text = "there is one time for a start and a stop here; the longer one stands";
            element.note(Approximated, &shown, text, "");
        }
        Ok(found)
    }

    fn operation(
        &self,
        op: Element<'a>,
        agent: [&'a str; 3],
        found: &mut Operations,
        timeouts: &mut BTreeMap<&'a str, Duration>,
    ) -> Result<(), ConfigError> {
        op.id();
        let mut table: BTreeMap<&'a str, &'a str> = BTreeMap::new();
        let interval = op.look("interval").unwrap_or("0");
        let name = op.look("name").unwrap_or_default();
        let subject =
            Subject { agent: Some(agent), operation: Some([name, interval]), ..Subject::default() };
        let mut options = Options::of(op, "meta_attributes", &subject);
        options.add(op, "instance_attributes", &subject);
        if let Some(section) = self.op_defaults {
            options.add(section, "meta_attributes", &subject);
        }
        table.extend(options.all().iter().map(|(&name, pair)| (name, pair.value())));
        for known in [
            "name",
            "interval",
            "timeout",
            "on-fail",
            "enabled",
            "role",
            "start-delay",
            "record-pending",
            "interval-origin",
            "description",
            "requires",
        ] {
            table.extend(op.read(known).map(|value| (known, value)));
        }
        if let Some(timeout) = table.get("timeout")
            && matches!(name, "start" | "stop" | "migrate_to" | "migrate_from")
        {
            let length = values::length(timeout).ok_or_else(|| {
                let problem = format!("timeout = {timeout:?} is not a length of time");
                op.place().wrong(problem, "correct it, or take it out")
            })?;
            timeouts.insert(name, length);
        }
        if let Some(&on_fail) = table.get("on-fail") {
            on_failure(op, name, on_fail, found);
        }
        let text = |(name, value): (&str, &str)| (name.to_owned(), Value::String(value.to_owned()));
        found.tables.push(Value::Table(table.into_iter().map(text).collect()));
        Ok(())
    }

    fn tell_driver(&self, element: Element<'a>, agent: [&str; 3]) {
        let shown = spelt(agent);
        let remedy = match agent[2] {
            "VirtualDomain" | "Xen" | "KVM" => {
                "serve it there, or write driver = \"qemu\" with its memory and its LUN"
            }
            "Filesystem" | "LVM" | "LVM-activate" | "iscsi" | "iSCSILogicalUnit" | "drbd"
            | "ZFS" => {
                "name its disk under [[luns]] if that passes with the group, and take the resource out"
            }
            _ => "serve it there, or write driver = \"process\" with its command",
        };
        let text = "driver = \"host\" hands agent, parameters and operations to your program: quorate does \
                    not run agents";
        element.note(Needed, &[("agent", &shown)], text, remedy);
    }
}

/// What a failure of this operation leads to; what it should lead to and does not is told.
fn on_failure(op: Element<'_>, name: &str, on_fail: &str, found: &mut Operations) {
    let (kind, text) = match (on_fail, name) {
        ("restart", _) => return,
        ("block", "stop") => (NotNeeded, "what cannot be stopped is left as it is here, too"),
        ("fence", "stop") => {
            found.fences = true;
            (Approximated, "its node is fenced when it has not ended within deadlock_timeout_s")
        }
        ("stop", _) => {
            found.gives_up = true;
            (
                Approximated,
                "any failure leaves it failed on its node: restart_action = \"do-not-restart\"",
            )
        }
        ("fence" | "standby", _) => {
            (NoCounterpart, "a failed resource costs its node nothing here")
        }
        ("block", _) => (NoCounterpart, "a failed resource is started again, here or elsewhere"),
        ("ignore", _) => (NoCounterpart, "a failure counts if the driver reports it"),
        _ => (NoCounterpart, "there is no such answer to a failure"),
    };
    op.note(kind, &[("on-fail", on_fail)], text, "");
}

pub(super) fn whole_seconds(length: Duration) -> u64 {
    (length.as_secs() + u64::from(length.subsec_nanos() > 0)).max(1)
}
