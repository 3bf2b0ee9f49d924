//! What a script does by hand has its consequences, and nothing else has.

use std::time::Duration;

use quorate_core::action::ResourceVerb;
use quorate_core::change::Failback;
use quorate_core::config::TimingInputs;
use quorate_core::id::{GroupId, NodeId, ResourceId};
use quorate_core::message::Command;
use quorate_sim::guest::Stage;
use quorate_sim::host::Pause;
use quorate_sim::timeline::Kind;
use quorate_sim::world::{Asked, Direction, Hosted, World};
use quorate_sim::{Faults, Options};

const GROUP: GroupId = GroupId(1);
const RESOURCE: ResourceId = ResourceId(10);
const DETECT: Duration = TimingInputs::DEFAULT.detect;

/// Three nodes and one group of one resource, as the script's own.
fn world() -> World {
    world_from(0)
}

fn world_from(seed: u64) -> World {
    let options = |seed| {
        let options = Options {
            nodes: Some(3),
            groups: Some(1),
            timing: Some(TimingInputs::DEFAULT),
            faults: Faults::NONE,
            timeline: true,
            ..Options::default()
        };
        World::new(seed, &options)
    };
    let is_plain = |world: &World| {
        let group = &world.config().groups()[0];
        let free = group.possible_owners.is_empty() && !group.failback;
        free && group.resources.len() == 1 && world.config().is_enforced(group)
    };
    let mut world =
        (seed..seed + 100).map(options).find(is_plain).expect("one in a hundred is plain");
    world.take_over();
    world
}

/// Lets the world run until the group runs on one node only, and gives it.
fn owner(world: &mut World) -> NodeId {
    let deadline = world.now() + DETECT * 20;
    let online = world.run_until_true(deadline, |world| {
        world.runs_on(GROUP).len() == 1 && world.places(GROUP).len() == 1
    });
    assert!(online, "{GROUP} runs on {:?}: {:#?}", world.runs_on(GROUP), world.timeline());
    world.runs_on(GROUP)[0]
}

/// Lets the world run until the group runs elsewhere.
fn moves_from(world: &mut World, old: NodeId) -> NodeId {
    let deadline = world.now() + DETECT * 20;
    world.run_until_true(deadline, |world| !world.runs_on(GROUP).contains(&old));
    let new = owner(world);
    assert_ne!(new, old);
    assert!(world.violations().is_empty(), "{:?}", world.violations());
    new
}

#[test]
fn what_is_off_stays_off_until_it_is_switched_on() {
    let mut world = world();
    let first = owner(&mut world);
    world.power_off(first);
    let second = moves_from(&mut world, first);
    world.run_for(DETECT * 30);
    assert!(!world.host_of(first).up && world.status_of(first).is_none());
    world.switch_on(first);
    world.crash(second);
    let third = moves_from(&mut world, second);
    world.switch_on(second);
    world.run_for(DETECT * 10);
    assert_eq!(owner(&mut world), third);
    let states: Vec<String> =
        world.newest_status().unwrap().nodes.into_iter().map(|node| node.state).collect();
    assert_eq!(states, ["up", "up", "up"]);
}

#[test]
fn a_node_that_leaves_stays_away() {
    let mut world = world();
    let first = owner(&mut world);
    world.ask_to_leave(first);
    moves_from(&mut world, first);
    world.run_for(DETECT * 10);
    assert!(world.host_of(first).process.is_none() && world.host_of(first).up);
}

/// The node that coordinates, as far as any knows.
fn coordinator(world: &World) -> Option<NodeId> {
    let known = world.config().nodes().iter().filter_map(|node| world.status_of(node.id));
    let name = known.filter(|status| status.coordinator.is_some()).max_by_key(|one| one.epoch);
    world.config().node_named(&name?.coordinator?).map(|node| node.id)
}

#[test]
fn a_coordinator_whose_datagrams_are_lost_while_its_streams_stand_takes_nobody_along() {
    for direction in [Direction::In, Direction::Out] {
        let mut world = world();
        owner(&mut world);
        let first = coordinator(&world).expect("a group runs by its word");
        let to = world.config().node(first).map(|node| node.name.clone());
        let group = world.config().groups()[0].name.clone();
        let command = Command::Move { group, to, restart: false };
        world.give_command(first, command);
        let deadline = world.now() + DETECT * 20;
        assert!(world.run_until_true(deadline, |world| world.runs_on(GROUP) == [first]));
        let links = world.links_of(first, direction, None);
        world.lose_datagrams(links);
        let second = moves_from(&mut world, first);
        assert_ne!(coordinator(&world), Some(first), "{direction:?}");
        world.run_for(DETECT * 30);
        assert_eq!(owner(&mut world), second, "{direction:?}: it has moved on");
        world.lose_datagrams([]);
        world.run_for(DETECT * 20);
        assert!(world.newest_status().unwrap().nodes.iter().all(|node| node.state == "up"));
        assert!(world.violations().is_empty(), "{:?}", world.violations());
    }
}

#[test]
fn a_cut_holds_until_it_is_mended_and_twice_is_once() {
    let mut world = world();
    let first = owner(&mut world);
    let links = world.links_of(first, Direction::Both, None);
    world.cut("alone", links.clone());
    world.cut("alone again", links.clone());
    assert!(world.is_isolated(first));
    moves_from(&mut world, first);
    world.mend(links);
    assert!(!world.is_isolated(first));
    world.run_for(DETECT * 10);
    assert!(world.newest_status().unwrap().nodes.iter().all(|node| node.state == "up"));
    let told = |kind| {
        let entries = world.timeline().unwrap().entries();
        entries.iter().filter(|entry| entry.kind == kind).count()
    };
    assert_eq!((told(Kind::FaultBegins), told(Kind::FaultEnds)), (1, 1));
}

#[test]
fn a_pause_ends_by_itself_and_a_lost_way_to_storage_moves_what_needs_it() {
    let mut world = world();
    let first = owner(&mut world);
    world.stand_still(first, Pause::Whole, DETECT * 5);
    let second = moves_from(&mut world, first);
    world.switch_on(first);
    world.run_for(DETECT * 10);
    let luns: Vec<_> = world.config().luns().iter().map(|lun| lun.id).collect();
    world.storage_off(second, &luns);
    moves_from(&mut world, second);
    world.storage_on(second, &luns);
}

#[test]
fn what_every_node_has_lost_is_ended_nowhere_and_goes_on_when_it_is_back() {
    let mut stood = 0;
    for seed in 0..20 {
        let mut world = world_from(seed * 100);
        let first = owner(&mut world);
        let luns: Vec<_> = world.config().luns().iter().map(|lun| lun.id).collect();
        let nodes: Vec<NodeId> = world.config().nodes().iter().map(|node| node.id).collect();
        let epoch = |world: &World| world.newest_status().unwrap().groups[0].epoch;
        let before = epoch(&world);
        nodes.iter().for_each(|&node| world.storage_off(node, &luns));
        world.run_for(DETECT * 20);
        let stands = world.runs_on(GROUP) == [first] && epoch(&world) == before;
        nodes.iter().for_each(|&node| world.storage_on(node, &luns));
        world.run_for(DETECT * 20);
        assert!(!stands || owner(&mut world) == first && epoch(&world) == before, "{seed}");
        assert_eq!(world.violations(), [], "{seed}");
        stood += u32::from(stands);
    }
    // In the others its session broke, and with it what was under way.
    assert!(stood > 5, "{stood}");
}

#[test]
fn a_command_is_answered() {
    let mut world = world();
    let first = owner(&mut world);
    let name = world.config().node(first).unwrap().name.clone();
    let request = world.give_command(first, Command::Drain { node: name }).expect("it hears");
    let deadline = world.now() + DETECT * 5;
    assert!(world.run_until_true(deadline, |world| world.answer(request).is_some()));
    assert_eq!(world.answer(request), Some(&Ok(())));
    moves_from(&mut world, first);
    world.crash(first);
    let unheard = Command::Resume { node: "n1".into(), failback: Failback::ByPolicy };
    assert_eq!(world.give_command(first, unheard), None);
}

/// The next request for the resource, and whatever is lost meanwhile.
fn asked(world: &mut World) -> Asked {
    for _ in 0..10_000 {
        world.run_for(Duration::from_millis(100));
        if let Some(Hosted::Asked(asked)) = world.take_hosted() {
            return asked;
        }
    }
    panic!("nothing is asked: {:#?}", world.timeline());
}

#[test]
fn a_hosted_resource_is_started_and_stopped_by_the_outside() {
    let mut world = world();
    world.host_resource(RESOURCE);
    let start = asked(&mut world);
    assert!(matches!(start.verb, ResourceVerb::Start { .. }), "{start:?}");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.runs_on(GROUP), []);
    world.complete(&start, Ok(()));
    assert_eq!(owner(&mut world), start.node);
    world.report(start.node, RESOURCE, start.epoch, "it feels unwell");
    let kill = asked(&mut world);
    assert_eq!((kill.verb, kill.node), (ResourceVerb::Kill, start.node));
    world.complete(&kill, Ok(()));
    assert_eq!(world.places(GROUP), []);
    let again = asked(&mut world);
    world.complete(&again, Err("there is no room".into()));
    assert_eq!(world.runs_on(GROUP), []);
    assert!(!world.is_open(&again));
    assert!(world.violations().is_empty(), "{:?}", world.violations());
}

/// As a hypervisor does it: what a guest has under way when it is halted stays under way, and is not begun again.
#[test]
fn a_refused_live_move_leaves_the_write_that_was_under_way_to_itself() {
    let group = GroupId(2);
    let resource = ResourceId(20);
    let mut refused = 0;
    for seed in 0..100 {
        let options = Options {
            nodes: Some(3),
            groups: Some(2),
            timing: Some(TimingInputs::DEFAULT),
            faults: Faults::NONE,
            ..Options::default()
        };
        let mut world = World::new(seed, &options);
        let config = world.config().group(group).unwrap().clone();
        let free = config.possible_owners.is_empty() && config.preferred_owners.is_empty();
        if !(free && config.moves_live() && world.config().is_enforced(&config)) {
            continue;
        }
        world.take_over();
        let stage = |world: &World, node, stage| world.stage(node, resource) == Some(stage);
        world.run_for(DETECT * 5);
        let [from] = world.runs_on(group)[..] else { panic!("seed {seed}: {group} is not online") };
        let to = NodeId(from.0 % 3 + 1);
        let name = Some(world.config().node(to).unwrap().name.clone());
        let group = config.name.clone();
        world.give_command(to, Command::Move { group, to: name, restart: false });
        world.storage_off(from, &config.luns);
        let soon = world.now() + DETECT;
        // Of some the state takes longer, and then the LUN is given up.
        if !world.run_until_true(soon, |world| stage(world, from, Stage::Halted)) {
            continue;
        }
        let links = world.links_between(from, to, Direction::Out, None);
        world.cut("the other side is out of reach", links.clone());
        let soon = world.now() + DETECT / 10;
        assert!(world.run_until_true(soon, |world| stage(world, from, Stage::Running)), "{seed}");
        world.run_for(world.config().timing().lease / 5);
        world.storage_on(from, &config.luns);
        world.mend(links);
        world.run_for(DETECT * 5);
        assert_eq!(world.violations(), [], "seed {seed}");
        refused += 1;
    }
    assert!(refused > 5, "{refused}");
}
