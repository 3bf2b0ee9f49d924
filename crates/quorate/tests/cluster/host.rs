//! Resources that the host runs itself: by the poll interface, and as trait objects.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quorate::config::{Group, Resource as ResourceText, Settings};
use quorate::{Item, Node, OpId, Request, Resource, Verb};
use rustix::event::{PollFd, PollFlags};

use super::trio::{PATIENCE, Trio, wait_for};

fn own_group(save_on_move: bool) -> Group {
    let colour = toml::Table::from_iter([("colour".to_owned(), "blue".into())]);
    let settings = Settings::from([("settings".to_owned(), toml::Value::Table(colour))]);
    let resource = ResourceText {
        save_on_move: Some(save_on_move),
        pending_timeout_s: 10,
        ..ResourceText::new("own", "host", settings)
    };
    Group::new("group", &["disk1"], vec![resource])
}

/// Takes requests until one with this verb comes, and completes those before.
fn next_request(node: &Node, verb: Verb) -> Request {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match node.take().unwrap() {
            Some(Item::Request(request)) if request.verb == verb => return request,
            Some(Item::Request(request)) => node.complete(request.op, Ok(())).unwrap(),
            Some(_) => {}
            None => {
                let mut polled = [PollFd::new(node, PollFlags::IN)];
                let timeout = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
                let _ = rustix::event::poll(&mut polled, Some(&timeout));
            }
        }
    }
    panic!("no {} on {}", verb.as_str(), node.name());
}

/// The node that is asked to start the group, and the request.
fn asked_to_start(trio: &Trio) -> (usize, Request) {
    let found = Mutex::new(None);
    wait_for("a request", || {
        for number in 1..=3 {
            while let Some(item) = trio.node(number).take().unwrap() {
                if let Item::Request(request) = item {
                    *found.lock() = Some((number, request));
                    return true;
                }
            }
        }
        false
    });
    found.into_inner().unwrap()
}

#[test]
fn a_host_answers_for_its_own_resource_by_polling() {
    let trio = Trio::with_groups(|_| vec![own_group(false)]).started();
    let (owner, request) = asked_to_start(&trio);
    assert_eq!((request.verb, request.resource.as_str()), (Verb::Start, "own"));
    assert_eq!(request.group, "group");
    assert_eq!(request.settings, r#"{"colour":"blue"}"#);
    assert_eq!(request.luns[0].path, trio.shared());
    assert!(!request.luns[0].is_nbd && request.timeout == Duration::from_secs(10));
    let node = trio.node(owner);
    let early = node.wait_until(Duration::from_millis(300), |s| s.online_on("group").is_some());
    assert_eq!(early.unwrap_err().code(), "timed_out", "not online before the completion");
    node.complete(request.op, Ok(())).unwrap();
    assert_eq!(trio.wait_online("group", None), owner);

    node.report("own", request.epoch, "it is not well").unwrap();
    let again = next_request(node, Verb::Start);
    node.complete(again.op, Ok(())).unwrap();
    assert_eq!(trio.wait_online("group", None), owner);
    assert_eq!(node.complete(OpId(u64::MAX), Ok(())).unwrap_err().code(), "misuse");
    assert_eq!(node.report("x", 1, "").unwrap_err().code(), "unknown");
}

#[test]
fn a_start_that_the_host_refuses_goes_on_elsewhere() {
    let trio = Trio::with_groups(|_| {
        let mut group = own_group(false);
        group.resources[0].restart_threshold = 0;
        vec![group]
    })
    .started();
    let (first, request) = asked_to_start(&trio);
    trio.node(first).complete(request.op, Err("no room".to_owned())).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (trio, done) = (&trio, &done);
        for number in 1..=3 {
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let _ = trio.node(number).wait(Duration::from_millis(50));
                    while let Ok(Some(item)) = trio.node(number).take() {
                        let Item::Request(request) = item else { continue };
                        let refuses = number == first && request.verb == Verb::Start;
                        let result = if refuses { Err("no room".to_owned()) } else { Ok(()) };
                        trio.node(number).complete(request.op, result).unwrap();
                    }
                }
            });
        }
        trio.wait_online("group", Some(first));
        done.store(true, Ordering::Relaxed);
    });
}

/// Counts in memory; its state is the count.
struct Counter {
    name: &'static str,
    seen: Arc<Mutex<Vec<String>>>,
    count: Mutex<Option<u64>>,
}

impl Counter {
    fn see(&self, request: &Request) {
        self.seen.lock().push(format!("{} {}", self.name, request.verb.as_str()));
    }

    fn state(request: &Request) -> PathBuf {
        request.state.clone().expect("a save and a load name a file")
    }
}

impl Resource for Counter {
    fn start(&self, request: &Request) -> Result<(), String> {
        self.see(request);
        *self.count.lock() = Some(41);
        Ok(())
    }

    fn stop(&self, request: &Request) -> Result<(), String> {
        self.see(request);
        *self.count.lock() = None;
        Ok(())
    }

    fn kill(&self, request: &Request) -> Result<(), String> {
        self.see(request);
        *self.count.lock() = None;
        Ok(())
    }

    fn save(&self, request: &Request) -> Result<(), String> {
        self.see(request);
        let count = self.count.lock().take().ok_or("not running")?;
        std::fs::write(Self::state(request), count.to_string()).map_err(|e| e.to_string())
    }

    fn load(&self, request: &Request) -> Result<(), String> {
        self.see(request);
        let text = std::fs::read_to_string(Self::state(request)).map_err(|e| e.to_string())?;
        *self.count.lock() = Some(text.parse::<u64>().map_err(|e| e.to_string())? + 1);
        Ok(())
    }

    fn run(&self, request: &Request) -> Result<(), String> {
        self.see(request);
        Ok(())
    }
}

fn serve_all(trio: &Trio) -> (Arc<Mutex<Vec<String>>>, Vec<Arc<Counter>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let counters: Vec<Arc<Counter>> = ["n1", "n2", "n3"]
        .map(|name| Arc::new(Counter { name, seen: Arc::clone(&seen), count: Mutex::new(None) }))
        .to_vec();
    for (node, counter) in trio.nodes().zip(&counters) {
        node.serve("own", Box::new(Shared(Arc::clone(counter)))).unwrap();
    }
    (seen, counters)
}

struct Shared(Arc<Counter>);

impl Resource for Shared {
    fn start(&self, request: &Request) -> Result<(), String> {
        self.0.start(request)
    }
    fn stop(&self, request: &Request) -> Result<(), String> {
        self.0.stop(request)
    }
    fn kill(&self, request: &Request) -> Result<(), String> {
        self.0.kill(request)
    }
    fn save(&self, request: &Request) -> Result<(), String> {
        self.0.save(request)
    }
    fn load(&self, request: &Request) -> Result<(), String> {
        self.0.load(request)
    }
    fn run(&self, request: &Request) -> Result<(), String> {
        self.0.run(request)
    }
}

#[test]
fn a_served_resource_is_saved_and_resumed_by_a_move() {
    let trio = Trio::with_groups(|_| vec![own_group(true)]).started();
    let (seen, counters) = serve_all(&trio);
    let from = trio.wait_online("group", None);
    let to = from % 3 + 1;
    let ticket = trio.node(1).move_group("group", Some(&format!("n{to}"))).unwrap();
    trio.node(1).command_wait(ticket, PATIENCE).unwrap();
    assert_eq!(trio.wait_online("group", Some(from)), to);
    let expected = [
        format!("n{from} start"),
        format!("n{from} save"),
        format!("n{to} load"),
        format!("n{to} run"),
    ];
    assert_eq!(*seen.lock(), expected);
    assert_eq!(*counters[from - 1].count.lock(), None);
    assert_eq!(*counters[to - 1].count.lock(), Some(42));
}

#[test]
fn a_served_resource_is_started_afresh_after_a_crash() {
    let mut trio = Trio::with_groups(|_| vec![own_group(true)]).started();
    let (seen, counters) = serve_all(&trio);
    let first = trio.wait_online("group", None);
    trio.kill(first);
    assert!(seen.lock().contains(&format!("n{first} kill")), "{:?}", seen.lock());
    assert_eq!(*counters[first - 1].count.lock(), None);
    let second = trio.wait_online("group", Some(first));
    assert_eq!(*counters[second - 1].count.lock(), Some(41));
}

#[test]
fn a_node_that_answers_nothing_does_not_keep_the_group() {
    let mut trio = Trio::with_groups(|_| {
        let mut group = own_group(false);
        group.preferred_owners = vec!["n1".to_owned()];
        group.resources[0].restart_threshold = 0;
        group.resources[0].pending_timeout_s = 1;
        vec![group]
    });
    (1..=3).for_each(|number| trio.start(number));
    let seen = Arc::new(Mutex::new(Vec::new()));
    for (number, name) in [(2, "n2"), (3, "n3")] {
        let counter = Counter { name, seen: Arc::clone(&seen), count: Mutex::new(None) };
        trio.node(number).serve("own", Box::new(Shared(Arc::new(counter)))).unwrap();
    }
    assert_ne!(trio.wait_online("group", Some(1)), 1);
}

#[test]
fn only_resources_of_the_host_can_be_served() {
    let trio = Trio::with_counter();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let counter =
        || Box::new(Counter { name: "n1", seen: Arc::clone(&seen), count: Mutex::new(None) });
    assert_eq!(trio.node(1).serve("counter", counter()).unwrap_err().code(), "misuse");
    assert_eq!(trio.node(1).serve("nothing", counter()).unwrap_err().code(), "unknown");
}
