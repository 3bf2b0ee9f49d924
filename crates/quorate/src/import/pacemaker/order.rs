//! Order constraints: one after the other.

use quorate_core::config::{OrderAct, OrderKind};
use quorate_core::id::GroupId;

use super::Importer;
use super::resources::Meant;
use super::values;
use crate::config::ConfigError;
use crate::import::draft::OrderTie;
use crate::import::report::FindingKind::{Approximated, NoCounterpart, NotNeeded};
use crate::import::xml::Element;

/// A set of an order.
#[derive(Debug)]
struct Set {
    members: Vec<Meant>,
    sequential: bool,
    require_all: bool,
    act: OrderAct,
}

impl<'a> Importer<'a> {
    pub(super) fn order(&mut self, element: Element<'a>) -> Result<(), ConfigError> {
        let id = element.id();
        let kind = kind(element)?;
        let symmetrical = values::flag_of(element, "symmetrical")?;
        let symmetrical = symmetrical.unwrap_or(kind != OrderKind::Serialize);
        let first_act = act(element, "first-action", OrderAct::Start);
        let then_act = first_act.and_then(|first| act(element, "then-action", first));
        let (Some(first_act), Some(then_act)) = (first_act, then_act) else { return Ok(()) };
        let tie = OrderTie { kind, symmetrical, first_act, then_act };
        if let (Some(first), Some(then)) = (element.read("first"), element.read("then")) {
            let require_all = values::flag_of(element, "require-all")?.unwrap_or(true);
            let Some(first) = self.meaning(element, first) else { return Ok(()) };
            let Some(then) = self.meaning(element, then) else { return Ok(()) };
            self.after(element, id, &[first], &then, (tie, require_all));
            return Ok(());
        }
        self.ordered_sets(element, id, tie)
    }

    fn ordered_sets(
        &mut self,
        element: Element<'a>,
        id: &str,
        tie: OrderTie,
    ) -> Result<(), ConfigError> {
        let mut before: Option<Set> = None;
        for at in element.all("resource_set").map(Element::resolved) {
            at.id();
            let Some(act) = act(at, "action", tie.first_act) else {
                before = None;
                continue;
            };
            let own_kind = at.look("kind").map(|_| kind(at)).transpose()?.unwrap_or(tie.kind);
            let tie = OrderTie { kind: own_kind, first_act: act, then_act: act, ..tie };
            let set = Set {
                members: at
                    .all("resource_ref")
                    .filter_map(|one| self.meaning(one, one.id()))
                    .collect(),
                sequential: values::flag_of(at, "sequential")?.unwrap_or(true),
                require_all: values::flag_of(at, "require-all")?.unwrap_or(true),
                act,
            };
            if set.sequential {
                for pair in set.members.windows(2) {
                    self.after(element, id, &pair[..1], &pair[1], (tie, true));
                }
            }
            if let Some(earlier) = &before {
                let tie = OrderTie { first_act: earlier.act, ..tie };
                self.between(element, id, earlier, &set, tie);
            }
            before = Some(set);
        }
        Ok(())
    }

    fn between(
        &mut self,
        element: Element<'a>,
        id: &str,
        earlier: &Set,
        later: &Set,
        tie: OrderTie,
    ) {
        let thens = if later.sequential {
            &later.members[..later.members.len().min(1)]
        } else {
            &later.members
        };
        let firsts = match earlier.sequential {
            true => &earlier.members[earlier.members.len().saturating_sub(1)..],
            false => &earlier.members[..],
        };
        for then in thens {
            if !earlier.require_all {
                self.after(element, id, firsts, then, (tie, false));
                continue;
            }
            for first in firsts {
                if !self.after(element, id, std::slice::from_ref(first), then, (tie, true)) {
                    return;
                }
            }
        }
    }

    /// Adds an order; with several firsts, or where not all are required, any of them suffices. False: there is room
    /// for no more.
    fn after(
        &mut self,
        element: Element<'a>,
        id: &str,
        firsts: &[Meant],
        then: &Meant,
        (tie, require_all): (OrderTie, bool),
    ) -> bool {
        if firsts.iter().chain([then]).any(|meant| meant.is_member) {
            let text = "it names one resource of a group; the whole group is meant here";
            element.note(Approximated, &[], text, "");
        }
        let whole = |meant: &Meant| match (meant.ordered, tie.first_act) {
            (true, OrderAct::Start) => meant.last(),
            (true, OrderAct::Stop) => meant.first(),
            (false, _) => meant.parts.clone(),
        };
        let is_any = !require_all || firsts.iter().any(|first| first.is_clone);
        if require_all && is_any {
            let text = "after a clone means after any of its instances here";
            element.note(Approximated, &[], text, "");
        }
        let named: Vec<GroupId> = firsts.iter().flat_map(whole).collect();
        let sets: Vec<Vec<GroupId>> =
            if is_any { vec![named] } else { named.into_iter().map(|one| vec![one]).collect() };
        let thens = match (then.ordered, tie.then_act) {
            (true, OrderAct::Start) => then.first(),
            (true, OrderAct::Stop) => then.last(),
            (false, _) => then.parts.clone(),
        };
        for then in thens {
            for set in &sets {
                let first: Vec<GroupId> = set.iter().copied().filter(|&one| one != then).collect();
                if first.is_empty() {
                    let text = "both are in one group, whose resources have their own order";
                    element.note(NotNeeded, &[], text, "see depends_on of its resources");
                    continue;
                }
                if !self.draft.add_order(id, &first, then, tie) {
                    return false;
                }
            }
        }
        true
    }
}

fn kind(element: Element<'_>) -> Result<OrderKind, ConfigError> {
    let kind = element.read("kind").map(str::to_ascii_lowercase);
    match kind.as_deref() {
        Some("mandatory") => Ok(OrderKind::Mandatory),
        Some("optional") => Ok(OrderKind::Optional),
        Some("serialize") => Ok(OrderKind::Serialize),
        Some(other) => {
            let problem = format!("kind {other:?} is not known");
            Err(element.place().wrong(problem, "use Mandatory, Optional or Serialize"))
        }
        None => Ok(match values::score_of(element, "score")? {
            Some(score) if score <= 0 => OrderKind::Optional,
            _ => OrderKind::Mandatory,
        }),
    }
}

/// What is done; none: it is about roles, and was left out.
fn act(element: Element<'_>, name: &str, otherwise: OrderAct) -> Option<OrderAct> {
    match element.read(name) {
        None => Some(otherwise),
        Some("start") => Some(OrderAct::Start),
        Some("stop") => Some(OrderAct::Stop),
        Some(_) => {
            element.leave_out(NoCounterpart, "there are no roles of instances", "");
            None
        }
    }
}
