//! A cluster of three nodes, and a guest that counts on the shared directory.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quorate::config::{
    Cluster, Document, Group, Lun, Node as NodeText, Resource, Settings, Timing,
    Witness as WitnessText,
};
use quorate::{
    ClusterKey, Config, Error, Item, Node, NodeOptions, Notice, NoticeKind, ReplayOptions, Status,
};
use tempfile::TempDir;

/// Nothing here takes so long, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Counts into `ticks` on the LUN: node, epoch, number.
const COUNTER: &str = "n=0; while :; do n=$((n+1)); \
    echo \"$QUORATE_NODE $QUORATE_EPOCH $n\" >> \"$QUORATE_LUN_DISK1/ticks\"; sleep 0.02; done";

/// Three nodes, some of which may run.
pub(crate) struct Trio {
    pub(crate) dir: TempDir,
    pub(crate) config: Config,
    pub(crate) key: ClusterKey,
    nodes: Vec<Option<Node>>,
}

/// At the end of every test, what was recorded is lived again.
impl Drop for Trio {
    fn drop(&mut self) {
        self.nodes.clear();
        if std::thread::panicking() {
            return;
        }
        for path in (1..=4).flat_map(|number| self.recordings(number)) {
            match quorate::replay(&path, &ReplayOptions::default()) {
                Ok((report, _)) => assert!(report.reproduced, "{}: {report:?}", path.display()),
                // Where the disk is full.
                Err(quorate::Error::Recording { why, .. })
                    if why.contains("nothing was recorded yet") => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// One line of the counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) node: String,
    pub(crate) epoch: u64,
}

impl Trio {
    /// A cluster with one group `counter` of one process, all its nodes started.
    pub(crate) fn with_counter() -> Self {
        let trio = Self::with_groups(|_| vec![counter("counter", COUNTER)]);
        trio.started()
    }

    /// A cluster with the groups that `groups` makes for its shared directory; no node is started.
    pub(crate) fn with_groups(groups: impl FnOnce(&Path) -> Vec<Group>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shared = dir.path().join("shared");
        let config = Config::new(document(&free_addresses(), &shared, groups(&shared))).unwrap();
        let key = ClusterKey::generate().unwrap();
        Self { dir, config, key, nodes: vec![None, None, None] }
    }

    /// Two nodes and a witness, with the counter, all started.
    pub(crate) fn pair_with_witness() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (shared, witness) = (dir.path().join("shared"), dir.path().join("witness"));
        std::fs::create_dir(&witness).unwrap();
        let groups = vec![counter("counter", COUNTER)];
        let two = document(&free_addresses()[..2], &shared, groups);
        let witness = Some(WitnessText { path: witness.to_str().unwrap().to_owned() });
        let config = Config::new(Document { witness, ..two }).unwrap();
        let key = ClusterKey::generate().unwrap();
        let mut pair = Self { dir, config, key, nodes: vec![None, None] };
        (1..=2).for_each(|number| pair.start(number));
        pair
    }

    pub(crate) fn witness_dir(&self) -> PathBuf {
        self.dir.path().join("witness")
    }

    pub(crate) fn started(mut self) -> Self {
        (1..=3).for_each(|number| self.start(number));
        self
    }

    pub(crate) fn shared(&self) -> PathBuf {
        self.dir.path().join("shared")
    }

    pub(crate) fn state_dir(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("n{number}"))
    }

    /// What a node has recorded, the newest first.
    pub(crate) fn recordings(&self, number: usize) -> Vec<PathBuf> {
        let Ok(found) = std::fs::read_dir(self.state_dir(number).join("recordings")) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
        paths.sort_unstable();
        paths.reverse();
        paths
    }

    pub(crate) fn options(&self, number: usize) -> NodeOptions {
        let name = format!("n{number}");
        NodeOptions::new(self.config.clone(), name, self.state_dir(number), self.key.clone())
    }

    pub(crate) fn start(&mut self, number: usize) {
        let options = self.options(number);
        self.run(number, options);
    }

    pub(crate) fn run(&mut self, number: usize, options: NodeOptions) {
        let places = self.nodes.len().max(number);
        self.nodes.resize_with(places, || None);
        self.nodes[number - 1] = Some(Node::start(options).unwrap());
    }

    /// Ends a node as a crash would.
    pub(crate) fn kill(&mut self, number: usize) {
        self.nodes[number - 1] = None;
    }

    pub(crate) fn node(&self, number: usize) -> &Node {
        self.nodes[number - 1].as_ref().expect("the node runs")
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().flatten()
    }

    /// Waits until every running node sees what is wanted.
    pub(crate) fn wait_all(&self, what: &str, condition: impl Fn(&Status) -> bool) {
        for node in self.nodes() {
            wait(node, what, &mut |status| condition(status));
        }
    }

    /// Waits until all running nodes agree where a group is online, and it is not on `not`.
    ///
    /// A node that has just come back knows at first what its log says.
    pub(crate) fn wait_online(&self, group: &str, not: Option<usize>) -> usize {
        let not = not.map(|number| format!("n{number}"));
        let place = |status: &Status| {
            let found = status.online_on(group).filter(|_| status.lease_left_ms.is_some());
            found.filter(|node| Some(*node) != not.as_deref()).map(str::to_owned)
        };
        let mut owner = None;
        wait(self.nodes().next().unwrap(), &format!("{group} online"), &mut |status| {
            owner = place(status);
            let agrees = |node: &Node| place(&node.status().unwrap()) == owner;
            owner.is_some() && self.nodes().all(agrees)
        });
        owner.unwrap()[1..].parse().unwrap()
    }

    pub(crate) fn ticks(&self) -> Vec<Tick> {
        let text = std::fs::read_to_string(self.shared().join("ticks")).unwrap_or_default();
        // The last line may be under way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parse = |line: &str| {
            let mut words = line.split(' ');
            let node = words.next()?.to_owned();
            let epoch = words.next()?.parse().ok()?;
            Some(Tick { node, epoch })
        };
        whole.lines().map(|line| parse(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
    }

    /// Waits for ticks of this node that are newer than those before.
    pub(crate) fn wait_ticks(&self, number: usize) {
        let before = self.ticks().len();
        let name = format!("n{number}");
        wait_for(&format!("a tick of {name}"), || {
            self.ticks().iter().skip(before).any(|tick| tick.node == name)
        });
    }

    /// Panics unless each epoch's ticks came from one node and after all of the epochs before.
    pub(crate) fn check_one_writer(&self) {
        let ticks = self.ticks();
        for pair in ticks.windows(2) {
            assert!(pair[0].epoch <= pair[1].epoch, "a late write: {pair:?}");
            assert!(
                pair[0].epoch < pair[1].epoch || pair[0].node == pair[1].node,
                "two writers: {pair:?}"
            );
        }
    }
}

pub(crate) fn counter(name: &str, script: &str) -> Group {
    Group::new(name, &["disk1"], vec![process(name, script)])
}

/// A shell script as resource.
pub(crate) fn process(name: &str, script: &str) -> Resource {
    let words = ["/bin/sh", "-c", script].map(|word| toml::Value::String(word.to_owned()));
    let command = toml::Value::Array(words.to_vec());
    let settings = Settings::from([("command".to_owned(), command)]);
    Resource { pending_timeout_s: 10, ..Resource::new(name, "process", settings) }
}

pub(crate) fn document(addresses: &[String], shared: &Path, groups: Vec<Group>) -> Document {
    let named = (1..).zip(addresses);
    Document {
        cluster: Cluster { name: "test".to_owned(), id: "00c0ffee00c0ffee".to_owned() },
        // Between the two profiles: quick, and still calm on a machine that is busy with other
        // tests.
        timing: Timing {
            detect_ms: Some(1_500),
            interval_ms: Some(100),
            stop_time_ms: Some(300),
            ..Timing::default()
        },
        nodes: named.map(|(n, address)| NodeText::new(format!("n{n}"), &[address])).collect(),
        luns: vec![Lun::file("disk1", shared.to_str().unwrap())],
        groups,
        ..Document::default()
    }
}

/// Three addresses whose ports were free a moment ago, by TCP and UDP. They are on loopback hosts
/// of this process alone, so that no other test can take the ports meanwhile.
pub(crate) fn free_addresses() -> Vec<String> {
    (1..=3).map(|number| free_address(own_host(number))).collect()
}

/// An address for a fourth node.
pub(crate) fn fourth_address() -> String {
    free_address(own_host(0))
}

/// One of four loopback hosts of this process; process numbers have at most 22 bits.
fn own_host(number: u32) -> Ipv4Addr {
    assert!((0..=3).contains(&number));
    Ipv4Addr::from((127 << 24) | (std::process::id() << 2) | number)
}

fn free_address(host: Ipv4Addr) -> String {
    loop {
        let stream = TcpListener::bind((host, 0)).unwrap();
        let address = stream.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address.to_string();
        }
    }
}

pub(crate) fn wait(node: &Node, what: &str, condition: &mut dyn FnMut(&Status) -> bool) -> Status {
    match node.wait_until(PATIENCE, condition) {
        Ok(status) => status,
        Err(Error::TimedOut { .. }) => {
            let told: Vec<String> = notices(node).iter().map(Notice::to_string).collect();
            let status = serde_json::to_string_pretty(&node.status().unwrap()).unwrap();
            panic!("{}: no {what}\n{}\n{status}", node.name(), told.join("\n"));
        }
        Err(error) => panic!("{}: {error} instead of {what}", node.name()),
    }
}

pub(crate) fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "no {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The notices that wait, everything else left out.
pub(crate) fn notices(node: &Node) -> Vec<Notice> {
    let mut found = Vec::new();
    while let Ok(Some(item)) = node.take() {
        if let Item::Notice(notice) = item {
            found.push(notice);
        }
    }
    found
}

/// Takes items until a notice of this kind comes for which `which` holds.
pub(crate) fn wait_notice(
    node: &Node,
    kind: NoticeKind,
    which: impl Fn(&Notice) -> bool,
) -> Notice {
    let end = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while Instant::now() < end {
        match node.take() {
            Ok(Some(Item::Notice(notice))) if notice.kind == kind && which(&notice) => {
                return notice;
            }
            Ok(Some(Item::Notice(notice))) => seen.push(notice.to_string()),
            Ok(Some(_)) => {}
            Ok(None) => {
                let _ = node.wait(Duration::from_millis(100));
            }
            Err(error) => panic!("{error}, no {kind} among\n{}", seen.join("\n")),
        }
    }
    panic!("no {kind} among\n{}", seen.join("\n"));
}
