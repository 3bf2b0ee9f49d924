//! Where a device does otherwise than the simulator's LUN, by name and with the reason.

use quorate_sim::storage::ReserveOut::{Clear, Preempt, PreemptAndAbort, Release, Reserve};

use crate::differential::{Act, Step};
use crate::real::Make::{self, Lio, Tgt};
use crate::real::{Answer, INVALID_IN_COMMAND, INVALID_IN_LIST, INVALID_RELEASE};

/// What a real LUN did otherwise in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// It answered this.
    Answer(Answer),
    /// It told of a unit attention that was not due.
    Told(u16),
    /// It did not tell of this one, which was due; how many it did tell of before that answer.
    Untold(u16, usize),
    /// It told of the second where the first was due.
    Instead(u16, u16),
    /// It has these keys afterwards.
    Keys(Vec<u64>),
    /// And this holder.
    Holder(Option<(u64, u8)>),
    /// What it says of its reservation makes no sense.
    Unreadable(String),
    /// Other bytes stand there.
    Bytes,
    /// Nothing was seen; but what it does from here on depends on what it should have forgotten.
    Haunted,
}

/// One known deviation.
pub(crate) struct Deviation {
    pub(crate) make: Make,
    pub(crate) name: &'static str,
    pub(crate) why: &'static str,
    fits: fn(&Step, &Difference) -> bool,
}

pub(crate) fn of(make: Make) -> impl Iterator<Item = &'static Deviation> {
    TABLE.iter().filter(move |deviation| deviation.make == make)
}

/// The deviation that a difference is; none: it is one that nobody knows.
pub(crate) fn find(make: Make, step: &Step, difference: &Difference) -> Option<&'static Deviation> {
    of(make).find(|deviation| (deviation.fits)(step, difference))
}

const PREEMPTED: u16 = 0x2a03;
const RELEASED: u16 = 0x2a04;
const UNREGISTERED: u16 = 0x2a05;
const COMMUNICATION_FAILURE: Answer = Answer::Check(2, 0x0800);

fn is_state(difference: &Difference) -> bool {
    matches!(difference, Difference::Keys(_) | Difference::Holder(_))
}

fn answers(difference: &Difference, answer: Answer) -> bool {
    *difference == Difference::Answer(answer)
}

/// The key that a command wants gone, if it wants any.
fn victim(step: &Step) -> Option<u64> {
    match step.act {
        Act::Out(Preempt(_, victim, _) | PreemptAndAbort(_, victim, _)) => Some(victim.0),
        _ => None,
    }
}

/// Whether everybody who is registered holds the reservation.
fn is_held_by_all(step: &Step) -> bool {
    step.before.holder.is_some_and(|(_, kind)| kind >= 7)
}

/// A nexus names its own key and does not take the reservation by that.
fn names_itself(step: &Step) -> bool {
    let takes = step.before.holder.is_some_and(|(key, _)| key == step.own);
    step.own != 0 && victim(step) == Some(step.own) && !takes
}

/// Where a device is known to be of no use afterwards, though nothing shows yet.
pub(crate) fn haunts(make: Make, step: &Step) -> bool {
    let removes = victim(step).is_some_and(|victim| victim != 0) && step.answer == Answer::Good;
    make == Tgt && removes && is_held_by_all(step)
}

const TABLE: &[Deviation] = &[
    Deviation {
        make: Tgt,
        name: "no PREEMPT AND ABORT",
        why: "it lists the command and has no code for it; the driver sends PREEMPT and a reset",
        fits: |step, difference| {
            let wants = matches!(step.act, Act::Out(PreemptAndAbort(..)));
            wants && (answers(difference, INVALID_IN_COMMAND) || is_state(difference))
        },
    },
    Deviation {
        make: Tgt,
        name: "a registration dies with its session",
        why: "it tells nexus apart by session: who comes again is another, and the key an orphan",
        fits: |step, difference| {
            step.act == Act::Reopen && step.own != 0 && answers(difference, Answer::Conflict)
        },
    },
    Deviation {
        make: Tgt,
        name: "RESERVE does not look at the key",
        why: "it looks only whether the nexus is registered",
        fits: |step, difference| {
            let wrong = matches!(step.act, Act::Out(Reserve(key, _)) if key.0 != step.own);
            let passes = answers(difference, Answer::Good);
            step.own != 0 && wrong && (passes || matches!(difference, Difference::Holder(_)))
        },
    },
    Deviation {
        make: Tgt,
        name: "RELEASE by one who holds nothing does not look at the key",
        why: "it answers such a RELEASE before it compares keys",
        fits: release_without_holding,
    },
    Deviation {
        make: Tgt,
        name: "PREEMPT of its own key leaves the own registration",
        why: "it passes over the nexus that asks, also where SPC says the registration is removed",
        fits: |step, difference| names_itself(step) && is_state(difference),
    },
    Deviation {
        make: Tgt,
        name: "PREEMPT of no key is taken while nothing is reserved",
        why: "it looks for a victim's key of 0 only where there is a reservation",
        fits: |step, difference| {
            let nothing = victim(step) == Some(0) && step.before.holder.is_none();
            nothing && answers(difference, Answer::Good)
        },
    },
    Deviation {
        make: Tgt,
        name: "a bad field of the list is said to be one of the command",
        why: "INVALID FIELD IN CDB is the one sense that it has for both",
        fits: |step, difference| {
            step.answer == INVALID_IN_LIST && answers(difference, INVALID_IN_COMMAND)
        },
    },
    Deviation {
        make: Tgt,
        name: "who is preempted hears of RESERVATIONS PREEMPTED",
        why: "SPC has REGISTRATIONS PREEMPTED for it",
        fits: |_, difference| *difference == Difference::Instead(UNREGISTERED, PREEMPTED),
    },
    Deviation {
        make: Tgt,
        name: "RESERVATIONS RELEASED goes to the wrong nexus",
        why: "for each registrant whom it means it tells all others, registered or not",
        fits: |_, difference| {
            matches!(difference, Difference::Told(RELEASED) | Difference::Untold(RELEASED, _))
        },
    },
    Deviation {
        make: Tgt,
        name: "where all registrants hold, a preempted one may stay the holder",
        why: "it keeps a pointer to the registration that reserved, and reads it when it is freed",
        fits: |_, difference| *difference == Difference::Haunted,
    },
    Deviation {
        make: Lio,
        name: "a nexus without registration hears of a communication failure",
        why: "so it answers RESERVE, RELEASE and CLEAR; the driver makes a conflict of it",
        fits: |step, difference| {
            let one_of_them = matches!(step.act, Act::Out(Reserve(..) | Release(..) | Clear(..)));
            step.own == 0 && one_of_them && answers(difference, COMMUNICATION_FAILURE)
        },
    },
    Deviation {
        make: Lio,
        name: "RELEASE by one who holds nothing does not look at the key",
        why: "it answers such a RELEASE before it compares keys",
        fits: release_without_holding,
    },
    Deviation {
        make: Lio,
        name: "RELEASE of another type is a conflict",
        why: "SPC has INVALID RELEASE OF PERSISTENT RESERVATION for it",
        fits: |step, difference| {
            step.answer == INVALID_RELEASE && answers(difference, Answer::Conflict)
        },
    },
    Deviation {
        make: Lio,
        name: "PREEMPT where all registrants hold leaves the own registration",
        why: "there it passes over the nexus that asks, whatever key is named",
        fits: |step, difference| {
            let itself = is_held_by_all(step) && names_itself(step);
            itself && is_state(difference)
        },
    },
    Deviation {
        make: Lio,
        name: "PREEMPT of a key where all registrants hold replaces the reservation",
        why: "SPC takes registrations only, and passes over the type, unless the key is 0",
        fits: |step, difference| {
            let names = victim(step).is_some_and(|victim| victim != 0);
            names && is_held_by_all(step) && matches!(difference, Difference::Holder(_))
        },
    },
    Deviation {
        make: Lio,
        name: "of several unit attentions only one is told",
        why: "it tells of the first and forgets the others",
        fits: |_, difference| matches!(difference, Difference::Untold(_, 1)),
    },
];

fn release_without_holding(step: &Step, difference: &Difference) -> bool {
    let wrong = matches!(step.act, Act::Out(Release(key, _)) if key.0 != step.own);
    step.own != 0 && !step.held && wrong && answers(difference, Answer::Good)
}
