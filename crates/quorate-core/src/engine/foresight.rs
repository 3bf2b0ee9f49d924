//! What a drain or a move would come to, without doing it: who moves, who is displaced, who stays behind.

use super::{Engine, standing};
use crate::change::{Change, ReleaseKind};
use crate::database::{GroupRecord, OwnedState};
use crate::id::{GroupId, NodeId};
use crate::message::Refusal;
use crate::placement::{self, Effect, Keeps, NotHere, Outlook};

/// Of so many groups that stay on a node which is drained it is said why.
const STAYS_MAX: usize = 20;

/// What a command would come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Foresight {
    /// The cluster as it stands.
    pub outlook: Outlook,
    /// What becomes of groups; those that are not named stay as they are. What would stay on a node that is to be
    /// empty goes from there to there.
    pub effects: Vec<Effect>,
    /// Why it would be refused as things are; none: it would not.
    pub refusal: Option<Refusal>,
}

impl Engine {
    /// What the drain of a node would come to, as this node sees the cluster.
    ///
    /// # Errors
    /// [`Refusal::Unknown`]; [`Refusal::NoQuorum`], if this node has no database yet.
    pub fn foresee_drain(&self, node: &str) -> Result<Foresight, Refusal> {
        let outlook = self.outlook().ok_or(Refusal::NoQuorum)?;
        let node = self.node_named(node)?;
        let mut after = outlook.clone();
        if let Some(candidate) = after.nodes.get_mut(&node) {
            candidate.paused = true;
            if candidate.keeps == Keeps::All {
                candidate.keeps = Keeps::Stranded;
            }
        }
        let effects = outlook.effects_until(&after, Some(node));
        Ok(Foresight { outlook, effects, refusal: None })
    }

    /// What the move of a group would come to, as this node sees the cluster. `to`: none: placement chooses.
    ///
    /// # Errors
    /// As [`Engine::foresee_drain`].
    pub fn foresee_move(&self, group: &str, to: Option<&str>) -> Result<Foresight, Refusal> {
        let outlook = self.outlook().ok_or(Refusal::NoQuorum)?;
        let mut after = outlook.clone();
        let refusal = match self.move_changes(group, to, ReleaseKind::Move) {
            Ok(changes) => {
                changes.iter().for_each(|change| move_in(&mut after, change));
                None
            }
            Err(unknown @ Refusal::Unknown { .. }) => return Err(unknown),
            Err(other) => Some(other),
        };
        let effects = outlook.effects_until(&after, None);
        Ok(Foresight { outlook, effects, refusal })
    }

    /// Which groups stay on a node that is being drained, and why: nothing of it is under way.
    pub(super) fn stays_on(&self, node: NodeId) -> Vec<String> {
        let Some(database) = &self.database else { return Vec::new() };
        let drains = database.node(node).is_some_and(|one| one.draining && !one.leaving);
        let here = |(_, record): &(&GroupId, &GroupRecord)| {
            record.owner().is_some_and(|(owner, _)| owner == node)
        };
        let here = || database.groups().iter().filter(here);
        let moves = |record: &GroupRecord| {
            matches!(record.owned_state(), Some(OwnedState::Releasing { .. }))
        };
        if !drains || here().next().is_none() || here().any(|(_, record)| moves(record)) {
            return Vec::new();
        }
        let (config, candidates) = (database.config(), self.candidates(database));
        let now = standing::of(database, &[], self.times());
        let plan = placement::plan(config, &candidates, now.clone());
        let stays = here().take(STAYS_MAX).filter_map(|(&id, record)| {
            let place = config.place_of(id)?;
            let name = &config.groups()[place].name;
            if record.owned_state() == Some(OwnedState::StopFailed) {
                return Some(format!("{name}: it could not be stopped, and may still run"));
            }
            if !record.is_managed() {
                return Some(format!("{name}: it is left alone; manage it, or end it"));
            }
            if plan.node(place) != Some(node) {
                return None;
            }
            let others = placement::place(config, &candidates, now.clone(), place).others;
            let why = |(&other, &why): (&NodeId, &NotHere)| {
                let other = config.node(other)?;
                let rule = why.rule().and_then(|rule| config.rules().get(rule));
                let rule = rule.map_or_else(String::new, |rule| format!(" (rule {})", rule.name));
                Some(format!("not {}: {}{rule}", other.name, database.why_closed(other.id, why)))
            };
            let why: Vec<String> = others.iter().filter_map(why).collect();
            Some(format!("{name}: no other node can run it ({})", why.join("; ")))
        });
        stays.collect()
    }
}

/// A group is where the change brings it.
fn move_in(after: &mut Outlook, change: &Change) {
    let (group, to) = match change {
        Change::Release { group, to: Some(to), .. } => (group, to),
        Change::Seat { group, node } => (group, node),
        _ => return,
    };
    if let Some(now) = after.groups.get_mut(group) {
        (now.at, now.fixed) = (Some(*to), now.runs);
    }
}
