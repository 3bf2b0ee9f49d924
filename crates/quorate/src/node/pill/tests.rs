use std::path::Path;
use std::time::Instant;

use quorate_core::config::Timing;
use quorate_core::event::Event;
use quorate_core::id::{Epoch, ResourceId};

use super::super::guard::testing::{DISARMED, Double};
use super::super::guard::{AtTheEnd, Running};
use super::super::host::Host;
use super::super::input::{Facts, Full};
use super::super::items::Items;
use super::*;
use crate::Config;
use crate::drivers::KillSwitch;
use crate::fence_agents::init;
use crate::fence_agents::pill::give::{Order, Proof, Times, bounded as give};

const SOON: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(5);
const MS: Duration = Duration::from_millis(1);

fn config(nodes: &str, path: &Path) -> Config {
    let text = format!(
        "[cluster]\nname = \"c\"\nid = \"00000000000000ab\"\n[watchdog]\ndevice = \"/dev/watchdog\"\n\
         [[nodes]]\nname = \"n1\"\naddresses = [\"127.0.0.1:1\"]\n\
         [[nodes]]\nname = \"n2\"\naddresses = [\"127.0.0.1:2\"]\n\
         [[fence_agents]]\nname = \"pill\"\nprogram = \"poison-pill\"\nnodes = [{nodes}]\n\
         parameters = {{ path = \"{}\" }}\n",
        path.display()
    );
    Config::from_toml_str(&text, "x").unwrap()
}

/// A node n1 that listens on a disk of its own, with a watchdog that is none.
struct World {
    disk: tempfile::NamedTempFile,
    config: Config,
    watchdog: Double,
    guard: Arc<Guard>,
    inbox: Inbox,
    inputs: Receiver<Input>,
    killed: Receiver<Event>,
}

impl World {
    fn new() -> Self {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(2 << 20).unwrap();
        let config = config("\"n1\", \"n2\"", disk.path());
        assert!(init(&config, false).unwrap()[0].1);
        let (facts, killed) = Facts::new();
        let host = Host::new(Arc::new(Items::new().unwrap()), facts.clone());
        let watchdog = Double::new(50 * MS);
        let guard = Guard::new(host, facts, config.cluster().timing(), Some(watchdog.boxed()));
        let (sender, inputs) = bounded(100);
        let inbox = Inbox::new(sender, Arc::new(Full::default()));
        Self { disk, config, watchdog, guard, inbox, inputs, killed }
    }

    fn me(&self) -> &NodeConfig {
        self.config.cluster().node_named("n1").unwrap()
    }

    fn before(&self, start: u64, has_watchdog: bool) -> Result<Option<Cleared>, Error> {
        before(self.config.cluster(), self.me(), start, has_watchdog)
    }

    /// Listens as its start `start` would.
    fn listen(&self, start: u64) -> Pills {
        let cleared = self.before(start, true).unwrap().unwrap();
        self.guard.listen(&cleared.sight);
        let (guard, inbox) = (Arc::clone(&self.guard), self.inbox.clone());
        let me = self.me().clone();
        let mut pills = Pills::new(me, start, guard, inbox);
        let (first, armed) = bounded(1);
        pills.listen(cleared, INTERVAL, Some(first)).unwrap();
        assert_eq!(armed.recv_timeout(SOON), Ok(Ok(())));
        pills
    }

    fn listener(&self) -> Listener {
        let area = PillArea::open(self.disk.path(), 0xab).unwrap();
        area.listener(1).unwrap().unwrap()
    }

    fn run_something(&self, enforced: bool) -> Arc<KillSwitch> {
        let switch = KillSwitch::new();
        let running = Running { switch: Arc::clone(&switch), enforced, epoch: Epoch(1) };
        self.guard.add(ResourceId(1), running);
        switch
    }

    fn order(&self, least: u64) -> Order {
        Order {
            place: Place::of(self.config.cluster(), self.me().id).unwrap(),
            name: "n1".to_owned(),
            least,
            by: 2,
            reason: "n1 is down".to_owned(),
            times: Times { lease: 20 * MS, margin: 10 * MS, look: INTERVAL, drift_ppm: 0 },
        }
    }

    fn is_fed(&self) -> bool {
        let before = self.watchdog.count();
        self.guard.feed(boottime_ns());
        self.watchdog.count() > before
    }
}

#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "it does not come true");
        std::thread::sleep(MS);
    }
}

#[test]
fn who_is_given_a_pill_takes_it_kills_what_it_runs_and_feeds_its_watchdog_no_more() {
    let world = World::new();
    let pills = world.listen(7);
    assert_eq!(world.listener().watchdog, 50 * MS);
    let switch = world.run_something(true);
    let timing = world.config.cluster().timing();
    let policy = AtTheEnd { keeps: false, stop_time: timing.stop_time };
    let far = boottime_ns() + 3_600_000_000_000;
    world.guard.on_turn(Some(far), far, policy);
    assert!(world.is_fed() && world.guard.covers(true));

    assert_eq!(give(world.order(7), SOON), Ok(Proof::Taken));
    assert!(switch.is_engaged(), "it was killed before it was proven");
    assert!(matches!(world.killed.try_recv(), Ok(Event::ResourceFailed { .. })));
    assert!(!world.is_fed() && !world.guard.covers(true), "with a lease, too");
    let Ok(Input::FenceItself(why)) = world.inputs.try_recv() else { panic!("it is not told") };
    assert!(why.contains("n1 is down"), "{why}");

    world.guard.remove(ResourceId(1));
    drop(pills);
    world.guard.disarm();
    assert!(world.watchdog.count() < DISARMED, "it stays armed though nothing runs any more");
    assert!(world.listener().taken.is_some() && world.listener().standing == Listening::Armed);
    let error = world.before(8, true).err().unwrap().to_string();
    assert!(error.contains("reset the host, then start the node"), "{error}");
    assert_eq!(give(world.order(7), SOON), Ok(Proof::Taken), "who asks again hears the same");
}

#[test]
fn who_leaves_says_so_and_who_leaves_something_behind_does_not() {
    let world = World::new();
    drop(world.listen(7));
    assert_eq!(world.listener().standing, Listening::Left);
    assert_eq!(give(world.order(7), SOON), Ok(Proof::Left));
    let later = give(world.order(8), SOON).unwrap_err();
    assert!(later.contains("before the start that is to end"), "{later}");
    let pills = world.listen(8);
    world.run_something(true);
    drop(pills);
    assert_eq!(world.listener().standing, Listening::Armed);
    world.guard.disarm();
    assert!(
        world.watchdog.count() < DISARMED,
        "its host is reset, as whoever gives a pill counts on"
    );
}

#[test]
fn what_another_boot_wrote_late_is_written_over() {
    let world = World::new();
    let _pills = world.listen(7);
    let own = world.listener();
    let late = Listener { boot: HostBoot([9; 16]), start: 3, ..own };
    PillArea::open(world.disk.path(), 0xab).unwrap().write_listener(1, &late).unwrap();
    wait_until(|| world.listener() == own);
}

#[test]
fn a_node_follows_a_configuration_by_which_its_pills_lie_elsewhere_or_nowhere() {
    let world = World::new();
    let mut pills = world.listen(7);
    let without = config("\"n2\"", world.disk.path());
    pills.follow(without.cluster());
    wait_until(|| world.listener().standing == Listening::Off);
    assert!(give(world.order(7), SOON).unwrap_err().contains("obeys no pills any more"));
    assert!(world.is_fed(), "nothing is to be seen any more");

    let other = tempfile::NamedTempFile::new().unwrap();
    other.as_file().set_len(2 << 20).unwrap();
    let elsewhere = config("\"n1\"", other.path());
    pills.follow(elsewhere.cluster());
    let told = world.inputs.recv_timeout(SOON);
    let Ok(Input::Notice(notice)) = told else { panic!("{told:?}") };
    assert_eq!((notice.kind, notice.field("node")), (NoticeKind::Pills, Some("n1")));
    assert!(notice.text.contains("quorate fence-agents --init"), "{}", notice.text);
    assert!(notice.text.ends_with("until it can, no pill ends it"), "{}", notice.text);
    init(&elsewhere, false).unwrap();
    let area = PillArea::open(other.path(), 0xab).unwrap();
    wait_until(|| area.listener(1).unwrap().is_some_and(|one| one.standing == Listening::Armed));
}

#[test]
fn a_node_says_in_words_for_people_that_it_cannot_see_its_pills_and_when_it_can_again() {
    let world = World::new();
    let _pills = world.listen(7);
    let bytes = std::fs::read(world.disk.path()).unwrap();
    let told = || match world.inputs.recv_timeout(SOON) {
        Ok(Input::Notice(notice)) => notice,
        other => panic!("{other:?}"),
    };
    world.disk.as_file().set_len(0).unwrap();
    let notice = told();
    assert_eq!((notice.kind, notice.field("agent")), (NoticeKind::Pills, Some("pill")));
    let text = &notice.text;
    assert!(text.starts_with("n1 cannot see the pills of fence agent pill: "), "{text}");
    assert!(text.contains("if that stays so and it loses its lease"), "{text}");
    std::fs::write(world.disk.path(), bytes).unwrap();
    let notice = told();
    assert_eq!(notice.text, "n1 sees the pills of fence agent pill again");
    assert_eq!((notice.kind, &notice.fields["up"]), (NoticeKind::Pills, &true.into()));
}

#[test]
fn a_node_whose_disk_was_lost_says_that_it_sees_its_pills_again_on_another_one() {
    let world = World::new();
    let mut pills = world.listen(7);
    world.disk.as_file().set_len(0).unwrap();
    let told = |up: bool| match world.inputs.recv_timeout(SOON) {
        Ok(Input::Notice(notice)) => {
            assert_eq!(notice.fields["up"].as_bool(), Some(up), "{}", notice.text)
        }
        other => panic!("{other:?}"),
    };
    told(false);
    let other = tempfile::NamedTempFile::new().unwrap();
    other.as_file().set_len(2 << 20).unwrap();
    let elsewhere = config("\"n1\"", other.path());
    init(&elsewhere, false).unwrap();
    pills.follow(elsewhere.cluster());
    told(true);
}

#[test]
fn a_disk_that_was_lost_and_is_there_again_as_another_one_is_looked_at_again() {
    let world = World::new();
    let _pills = world.listen(7);
    let (path, aside) = (world.disk.path(), world.disk.path().with_extension("new"));
    std::fs::copy(path, &aside).unwrap();
    world.disk.as_file().set_len(0).unwrap();
    assert!(matches!(world.inputs.recv_timeout(SOON), Ok(Input::Notice(_))));
    std::fs::rename(&aside, path).unwrap();
    assert!(matches!(world.inputs.recv_timeout(SOON), Ok(Input::Notice(_))), "it is seen again");
    assert_eq!(give(world.order(7), SOON), Ok(Proof::Taken), "and obeyed");
}

#[test]
fn a_node_goes_by_its_disk_until_it_stands_there_that_it_does_not() {
    let world = World::new();
    let mut pills = world.listen(7);
    let bytes = std::fs::read(world.disk.path()).unwrap();
    world.disk.as_file().set_len(0).unwrap();
    let told = world.inputs.recv_timeout(SOON);
    assert!(matches!(told, Ok(Input::Notice(_))), "{told:?}");
    pills.follow(config("\"n2\"", world.disk.path()).cluster());
    let sight = Arc::clone(&pills.leaving[0].sight);
    wait_until(|| pills.leaving[0].stop.is_empty());
    let mut looks = 0..20;
    wait_until(|| {
        assert!(!sight.is_over() && !sight.is_fresh(u64::MAX), "whoever gives a pill counts on it");
        looks.next().is_none()
    });
    assert_eq!(world.disk.as_file().metadata().unwrap().len(), 0, "nothing is written there");
    std::fs::write(world.disk.path(), bytes).unwrap();
    wait_until(|| sight.is_over());
    assert_eq!(world.listener().standing, Listening::Off);
}

#[test]
fn a_node_that_cannot_obey_does_not_start() {
    let world = World::new();
    let error = world.before(7, false).err().unwrap().to_string();
    assert!(error.contains("has no watchdog that would reset its host"), "{error}");
    world.disk.as_file().set_len(0).unwrap();
    let error = world.before(7, true).err().unwrap().to_string();
    assert!(error.contains(world.disk.path().to_str().unwrap()), "{error}");
    let timing = Timing::derive(world.config.cluster().timing().inputs()).unwrap();
    assert_eq!(pill::patience(&timing), Duration::from_secs(5));
}
