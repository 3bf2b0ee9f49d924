//! The demo as a command: the acts one after the other, the waterfalls, the judgement, the figures.

use std::cell::RefCell;
use std::os::unix::process::CommandExt as _;
use std::rc::Rc;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::judge::{Judgement, judge};
use super::measure::{Kind, Move};
use super::picture::Picture;
use super::story::Story;
use super::summary::{Summary, spreads};
use super::waterfall::waterfall;
use crate::arguments::Demo;
use crate::failure::{Exit, Failure};
use crate::lab::wait::interrupt;
use crate::lab::{Ground, Lab, LabError, Parts, Plan, Sighting};

/// Shows the demo. In namespaces if they are permitted: then this process becomes the one inside.
///
/// # Errors
/// What is missing, what did not come about, or that a write was lost or doubled.
pub(crate) fn demo(arguments: &Demo) -> Result<(), Failure> {
    let ground = find_ground(arguments.loopback)?;
    listen()?;
    let picture = (!arguments.json).then(|| Rc::new(RefCell::new(Picture::new(names()))));
    let (moves, judgement) = perform(arguments, &ground, picture.as_ref())?;
    let summary = Summary {
        moves: moves.iter().map(Move::summary).collect(),
        by_kind: spreads(&moves),
        acked_writes: judgement.acknowledged,
        lost_writes: judgement.lost,
        doubled_writes: judgement.doubled,
        refused_writes: judgement.refused,
        parts: parts_text(arguments.plain).into(),
        ground: match &ground {
            Ground::Namespaces => "namespaces".into(),
            Ground::Loopback { why } => format!("loopback: {why}"),
        },
    };
    let written = arguments.summary.as_ref().map(|path| summary.write(path));
    match &picture {
        Some(picture) => sum_up(&mut picture.borrow_mut(), &moves, &summary, arguments),
        None => {
            println!("{}", serde_json::to_string(&summary).expect("figures always encode"));
        }
    }
    // The verdict comes first: figures that cannot be kept are no reason to be silent about it.
    match (judgement.complaint(), written) {
        (Some(text), _) => Err(Failure::new(Exit::Unsafe, text)),
        (None, Some(Err(text))) => Err(Failure::new(
            Exit::Failed,
            format!("no write was lost or doubled, but the figures could not be kept: {text}"),
        )),
        (None, _) => Ok(()),
    }
}

/// Becomes the same program in namespaces of its own; where they are not permitted, says why.
fn find_ground(is_loopback_wanted: bool) -> Result<Ground, Failure> {
    if is_loopback_wanted {
        return Ok(Ground::Loopback { why: "as you wished".into() });
    }
    let system = |error| LabError::system("cannot start this program again", error);
    if Ground::is_inside() {
        return Ok(Ground::here("")?);
    }
    let program = std::env::current_exe().map_err(system)?;
    let why_not = match Ground::command(program) {
        // Gives back only an error: this process is the other program then, under the same id.
        Ok(mut inside) => {
            return Err(system(inside.args(std::env::args_os().skip(1)).exec()).into());
        }
        Err(why) => why,
    };
    Ok(Ground::here(&why_not)?)
}

/// Ctrl-C and its kin end whatever the lab waits for; what it built goes with it.
fn listen() -> Result<(), LabError> {
    let failed = |error| LabError::system("cannot hear signals", error);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    thread::spawn(move || {
        for _ in signals.forever() {
            interrupt();
        }
    });
    Ok(())
}

fn names() -> Vec<String> {
    (1..=3).map(|number| format!("n{number}")).collect()
}

fn parts_text(is_plain: bool) -> &'static str {
    if is_plain {
        "a process that counts in a shared directory"
    } else {
        "a QEMU guest that counts on an iSCSI LUN"
    }
}

fn perform(
    arguments: &Demo,
    ground: &Ground,
    picture: Option<&Rc<RefCell<Picture>>>,
) -> Result<(Vec<Move>, Judgement), Failure> {
    let program = std::env::current_exe()
        .map_err(|error| LabError::system("cannot find this program", error))?;
    let parts = if arguments.plain { Parts::Plain } else { Parts::Real };
    let profile = arguments.profile.clone();
    let plan = Plan { program, parts, profile, environment: vec![] };
    let head = |text: &str| {
        if let Some(picture) = picture {
            picture.borrow_mut().head(text);
        }
    };
    let say = |text: &str| {
        if let Some(picture) = picture {
            picture.borrow_mut().say(text);
        }
    };
    say(&format!("three hosts, one LUN, {}, ten times a second", parts_text(arguments.plain)));
    match ground {
        Ground::Namespaces => say("in namespaces of its own: nothing of this machine is touched"),
        Ground::Loopback { why } => say(&format!(
            "on loopback addresses, for namespaces are not to be had here ({why}): \
             no network can be cut, so (c) and (d) are left out"
        )),
    }
    let watched = picture.map(Rc::clone);
    let observer = move |sighting: Option<&Sighting>| {
        if let Some(picture) = &watched {
            picture.borrow_mut().see(sighting);
        }
    };
    head("the cluster forms, the guest starts");
    let lab = Lab::build(plan, ground.clone(), Box::new(observer)).map_err(with_way_out)?;
    let mut story = Story::begin(lab)?;
    for run in 1..=arguments.runs {
        let turn = if arguments.runs > 1 {
            format!(", {run} of {}", arguments.runs)
        } else {
            String::new()
        };
        head(&format!("(a) a planned move{turn}"));
        story.planned_move()?;
        head(&format!("(b) kill -9 of everything on the owner's host{turn}; then it returns"));
        let killed = story.owner();
        story.kill_owner()?;
        story.rejoin(killed)?;
        if ground == &Ground::Namespaces {
            head(&format!("(c) the owner's heartbeats are cut, its storage and guest live{turn}"));
            let isolated = story.owner();
            story.isolate_owner()?;
            head(&format!("(d) the cut is healed, it rejoins{turn}"));
            story.heal(isolated)?;
        }
    }
    let (mut lab, moves) = story.end();
    if let Some(picture) = picture {
        picture.borrow_mut().end();
    }
    lab.end()?;
    Ok((moves, judge(&lab)?))
}

/// What is missing for real parts is not missing for plain ones.
fn with_way_out(error: LabError) -> Failure {
    let is_missing = matches!(error, LabError::Missing { .. });
    let mut failure = Failure::from(error);
    if is_missing {
        failure.text += "; or run `quorate demo --plain`, which needs no package";
    }
    failure
}

fn sum_up(picture: &mut Picture, moves: &[Move], summary: &Summary, arguments: &Demo) {
    picture.head("what each move took");
    // Of many runs the last; the figures of all follow.
    let shown = [Kind::Quick, Kind::Kill, Kind::Isolate].into_iter();
    let shown = shown.filter_map(|kind| moves.iter().rev().find(|found| found.kind == kind));
    for found in shown {
        picture.say(&waterfall(found, picture.is_terminal()));
    }
    if arguments.runs > 1 {
        for (kind, spread) in &summary.by_kind {
            let name = match kind {
                Kind::Quick => "planned move",
                Kind::Kill => "kill -9",
                Kind::Isolate => "isolation",
            };
            picture.say(&format!(
                "{name:<13} {:>3} runs: outage median {:.1} ms, worst {:.1} ms",
                spread.runs, spread.outage_median_ms, spread.outage_worst_ms
            ));
        }
        picture.say("");
    }
    picture.say(&format!(
        "the guest was told of {} writes: {} lost, {} doubled; refused by the LUN: {}",
        summary.acked_writes, summary.lost_writes, summary.doubled_writes, summary.refused_writes
    ));
    if let Some(path) = &arguments.summary {
        picture.say(&format!("figures: {}", path.display()));
    }
}
