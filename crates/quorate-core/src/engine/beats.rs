//! Heartbeats out and in, and what follows from them: liveness and this node's lease.

use std::time::Duration;

use super::Engine;
use super::calm::Stir;
use crate::action::Action;
use crate::database::{Database, NodeState};
use crate::event::Trouble;
use crate::heartbeat::{Liveness, Peer};
use crate::id::{NodeId, PathId};
use crate::message::Beat;
use crate::notice::{DropReason, Notice};
use crate::plant::{self, Plant};
use crate::status::Happened;
use crate::time::Instant;
use crate::timer::Timer;

impl Engine {
    /// One beat to every node that should hear it, on every path.
    pub(super) fn send_beats(&mut self) {
        let next = self.now + self.timing().interval;
        self.timers.set(Timer::Beat, next);
        self.beat_now(false);
    }

    pub(super) fn beat_now(&mut self, probe: bool) {
        self.beat_sequence += 1;
        // Who votes may change: whoever is about to is counted from that moment on.
        self.lease.on_acknowledged(self.me, self.now);
        let here = self.is_voter(self.me) || self.is_to_vote();
        let others: Vec<NodeId> =
            self.peers.keys().copied().filter(|&node| here || self.is_voter(node)).collect();
        let word = self.word();
        self.out.expect(others.len() * self.config.nodes()[0].addresses.len());
        for to in others {
            self.beat_to(to, &word, probe);
        }
    }

    fn beat_to(&mut self, to: NodeId, word: &Beat, probe: bool) {
        let acknowledged = self.peers.get(&to).and_then(Peer::acknowledgement);
        let witnessed = self.vouches_for(to);
        let beat = Beat { acknowledged, witnessed, probe, ..word.clone() };
        let paths = self.config.node(to).map_or(0, |node| node.addresses.len());
        let Some(last) = u8::try_from(paths).unwrap_or(u8::MAX).checked_sub(1) else { return };
        for path in 0..last {
            self.out.act(Action::SendBeat { to, path: PathId(path), beat: beat.clone() });
        }
        self.out.act(Action::SendBeat { to, path: PathId(last), beat });
    }

    /// What this node says of itself and of all others, to nobody yet. Each hears what is said of itself too, and
    /// asks nothing of it: so one list serves all.
    fn word(&self) -> Beat {
        let age = |at: Instant| u64::try_from(self.now.since(at).as_micros()).unwrap_or(u64::MAX);
        let peers = || self.peers.iter();
        // Nobody else is told to take a node for alive that has long had no lease.
        let long = self.timing().detect * 2;
        let well = peers().filter(|(_, peer)| !peer.is_powerless_for(long, self.now));
        let heard = well.filter_map(|(&node, peer)| Some((node, age(peer.heard()?))));
        let nodes = self.database.iter().flat_map(|database| database.nodes());
        let down = nodes.filter(|(_, record)| {
            matches!(record.state, NodeState::Down(_) | NodeState::Fenced(_))
        });
        let withheld =
            down.filter_map(|(&node, _)| Some((node, age(self.peers.get(&node)?.accepted()))));
        Beat {
            incarnation: self.incarnation,
            sequence: self.beat_sequence,
            sent: self.now.0,
            acknowledged: None,
            witnessed: None,
            applied: self.known(),
            lease: self.may_act(),
            heard: heard.collect(),
            withheld: withheld.collect(),
            probe: false,
        }
    }

    pub(super) fn is_voter(&self, node: NodeId) -> bool {
        self.config.voting().binary_search(&node).is_ok()
    }

    pub(super) fn voters(&self) -> &[NodeId] {
        self.config.voting()
    }

    /// Both this node and the sender take part: its heartbeat may be acknowledged.
    fn is_willing(&self, from: NodeId, beat: &Beat) -> bool {
        self.database.as_ref().is_some_and(|database| {
            database.is_up_as(self.me, self.incarnation)
                && database.is_up_as(from, beat.incarnation)
        })
    }

    pub(super) fn on_beat(&mut self, from: NodeId, path: PathId, beat: Beat) {
        if !self.is_plain(from, path, &beat) {
            self.stir = Stir::WHOLE;
        }
        let willing = self.is_willing(from, &beat);
        let (interval, now) = (self.timing().interval, self.now);
        let (acknowledged, witnessed, probe) = (beat.acknowledged, beat.witnessed, beat.probe);
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if peer.on_beat(path, beat, willing, interval, now).is_err() {
            return self.drop_from(from, DropReason::StaleIncarnation);
        }
        for (voter, said) in [(from, acknowledged), (NodeId::WITNESS, witnessed)] {
            let Some((boot, sent)) = said else { continue };
            let sent = Instant(sent);
            let ours = boot == self.incarnation.boot && sent <= now && sent >= self.session_since;
            if ours && (voter != NodeId::WITNESS || self.is_voter(voter)) {
                let sent = if plant::is(Plant::LeaseFromReceipt) { now } else { sent };
                self.lease.on_acknowledged(voter, sent);
            }
        }
        if probe {
            let word = self.word();
            self.beat_to(from, &word, false);
        }
    }

    /// What this node thought of another when it looked at them last. Whoever decides has just looked: see
    /// [`Engine::watch_peers`].
    pub(super) fn seen(&self, node: NodeId) -> Liveness {
        self.peers.get(&node).map_or(Liveness::Alive, |peer| peer.liveness)
    }

    /// What this node thinks of each of these others, in order, and when another has heard it, where that matters.
    fn judge(&self, nodes: &[NodeId]) -> Vec<(NodeId, Liveness, Option<Instant>)> {
        let mut by_others: Option<Vec<Option<Instant>>> = None;
        let judged = nodes.iter().enumerate().filter_map(|(place, &node)| {
            let peer = self.peers.get(&node)?;
            let judged = |others| peer.judge(others, self.deaf_until, self.timing(), self.now);
            Some(match judged(None) {
                Liveness::Alive => (node, Liveness::Alive, None),
                Liveness::Suspect | Liveness::Silent(_) => {
                    let others =
                        by_others.get_or_insert_with(|| self.heard_by_others(nodes))[place];
                    (node, judged(others), others)
                }
            })
        });
        judged.collect()
    }

    /// The latest moment at which anyone else, by its own word, heard each of these nodes, which are in order.
    fn heard_by_others(&self, nodes: &[NodeId]) -> Vec<Option<Instant>> {
        let limit = self.timing().detect;
        let mut newest = vec![None; nodes.len()];
        if plant::is(Plant::OthersNotAsked) {
            return newest;
        }
        for (&id, peer) in self.peers.iter().filter(|(_, peer)| peer.is_fresh(limit, self.now)) {
            for (node, heard) in peer.all_said_heard().filter(|&(node, _)| node != id) {
                if let Ok(place) = nodes.binary_search(&node) {
                    newest[place] = newest[place].max(Some(heard));
                }
            }
        }
        newest
    }

    /// Tells what has changed about the others, and sets when to look again.
    pub(super) fn watch_peers(&mut self) {
        let mut next: Option<Instant> = None;
        let mut suspects = false;
        let mut doubted = Vec::new();
        let mut doubtful = Vec::new();
        for (&node, peer) in &self.peers {
            match peer.undoubted_until(self.config.timing(), self.now) {
                Some(until) => next = Some(next.map_or(until, |next| next.min(until))),
                None => doubtful.push(node),
            }
        }
        (self.leans, self.mutes) = (false, false);
        for (node, liveness, others) in self.judge(&doubtful) {
            let (now, timing) = (self.now, self.config.timing());
            let Some(peer) = self.peers.get_mut(&node) else { continue };
            for (path, up) in peer.path_changes(timing, now) {
                self.out.tell(Notice::Path { node, path, up });
            }
            let was = std::mem::replace(&mut peer.liveness, liveness);
            let muted = peer.is_muted(self.deaf_until, timing, now);
            if liveness == Liveness::Alive || liveness == Liveness::Suspect {
                let at = peer.judged_again(others, self.deaf_until, timing, now);
                next = Some(next.map_or(at, |next| next.min(at)));
            } else if let Some(heard) = peer.heard().filter(|_| muted) {
                let at = (heard + timing.suspect).max(now + Duration::from_nanos(1));
                next = Some(next.map_or(at, |next| next.min(at)));
            }
            self.mutes |= muted;
            self.leans |= match liveness {
                Liveness::Alive => others.is_some(),
                Liveness::Suspect | Liveness::Silent(_) => peer.heard().is_none(),
            };
            if was != liveness {
                self.reconsider = true;
                self.stir = Stir::WHOLE;
            }
            let is_admitted =
                || self.database.as_ref().is_some_and(|database| database.is_up(node));
            match (was == Liveness::Alive, liveness == Liveness::Alive) {
                (true, false) => {
                    doubted.push((node, liveness));
                    if is_admitted() {
                        suspects = true;
                        self.out.tell(Notice::Suspect { node });
                    }
                }
                (false, true) if is_admitted() => self.out.tell(Notice::Unsuspect { node }),
                (false, _) | (true, true) => {}
            }
        }
        if suspects {
            self.beat_now(true);
        }
        doubted.into_iter().for_each(|(node, liveness)| self.doubt(node, liveness));
        match next {
            Some(at) if at > self.now => self.timers.set(Timer::Detection, at),
            _ => self.timers.clear(Timer::Detection),
        }
        self.watch_coordinator_node();
        self.probe_storage();
    }

    /// The coordinator's process is dead, its kernel says: whoever is next in line stands for
    /// election at once.
    fn watch_coordinator_node(&mut self) {
        let last = if self.is_reluctant(self.me) { self.voters().len() } else { 0 };
        let Some(consensus) = &mut self.consensus else { return };
        let Some(voter) = consensus.coordinator() else { return };
        let reset = Liveness::Silent(crate::change::DownCause::ConnectionReset);
        let dead = self.peers.get(&voter.node()).is_some_and(|peer| peer.liveness == reset);
        let standing = Some((voter, consensus.epoch()));
        if !dead || self.stood_against == standing {
            return;
        }
        self.stood_against = standing;
        let alive = |peer: &Peer| peer.liveness == Liveness::Alive;
        let before = self
            .config
            .voters()
            .filter(|&node| node < self.me && self.peers.get(&node).is_some_and(alive));
        let place = u32::try_from(before.count() + last).unwrap_or(u32::MAX);
        let delay = self.config.timing().interval / 2 * place;
        consensus.stand_after(delay, self.now);
    }

    /// Whether the database says that this very session of this node takes part.
    pub(super) fn takes_part(&self) -> bool {
        self.database.as_ref().is_some_and(|one| one.is_up_as(self.me, self.incarnation))
    }

    /// Until when this node may act.
    pub(super) fn lease_until(&self) -> Option<Instant> {
        let length = match () {
            () if plant::is(Plant::LeaseWithoutStopTime) => self.timing().detect,
            () => self.timing().lease,
        };
        if self.takes_part() { self.lease.until(self.voters(), length) } else { None }
    }

    /// Whether this node may act now.
    pub(super) fn may_act(&self) -> bool {
        self.lease_until().is_some_and(|until| self.now < until)
    }

    /// Whether the lease may be over by now. Beats of voters move its end further away than the deadline that stands;
    /// whatever brings it nearer stirs everything, and the deadline is set anew in the same step.
    pub(super) fn lease_may_be_over(&self) -> bool {
        let stands = self.timers.at(Timer::Lease).is_some_and(|at| self.now < at);
        !(self.lease_held && stands)
    }

    /// Ends what may not run any longer: at the lease's end, or `isolation_grace` later where the
    /// LUNs refuse us.
    pub(super) fn watch_lease(&mut self) {
        let until = self.lease_until();
        let held = until.is_some_and(|until| self.now < until);
        if held != self.lease_held {
            self.lease_held = held;
            self.stir = Stir::WHOLE;
            if !held {
                self.note_lease_lost();
            }
            self.out.tell(if held { Notice::LeaseGained } else { Notice::LeaseLost });
        }
        let grace = self.timing().isolation_grace;
        match until {
            Some(until) if self.now < until => {
                self.timers.set(Timer::Lease, until);
                self.timers.clear(Timer::Isolation);
            }
            Some(_) if self.config.policy().keep_without_quorum => self.timers.clear(Timer::Lease),
            Some(until) => {
                self.timers.clear(Timer::Lease);
                if plant::is(Plant::NoSelfStop) {
                    return;
                }
                let spared = plant::is(Plant::GraceForAll);
                self.abandon_groups(|enforced| !enforced && !spared);
                if self.now < until + grace {
                    self.timers.set(Timer::Isolation, until + grace);
                } else {
                    self.timers.clear(Timer::Isolation);
                    let endless = plant::is(Plant::GraceNeverEnds);
                    self.abandon_groups(|enforced| !enforced || !endless);
                }
            }
            None => self.abandon_groups(|_| true),
        }
    }

    /// What has been done is done: the trouble of a resource, for the host.
    pub(super) fn tell_trouble(
        &mut self,
        resource: crate::id::ResourceId,
        trouble: Trouble,
        detail: String,
    ) {
        let told = Notice::ResourceTrouble { resource, trouble, detail };
        if let Some(group) = self.config.resource(resource).map(|(group, _)| group.id) {
            let (at_ms, seen) = (self.cluster_ms(), Some(self.now));
            self.note(group, Happened { at_ms, seen, told: told.clone() });
        }
        self.out.tell(told);
    }

    /// What this node has applied and will not forget: who votes may change again once all know who does, even after a
    /// restart.
    fn known(&self) -> u64 {
        let applied = self.database.as_ref().map_or(0, Database::applied);
        self.turnover.unsaved.map_or(applied, |(_, first)| applied.min(first.saturating_sub(1)))
    }

    /// After every applied change: a voter that withholds its acknowledgement says so at once.
    pub(super) fn on_applied(&mut self) {
        self.reconsider = true;
        self.stir = Stir::WHOLE;
        let reluctant = self.is_reluctant(self.me);
        if let Some(consensus) = &mut self.consensus {
            consensus.set_reluctant(reluctant);
        }
        let Some(database) = &self.database else { return };
        let waits = database.nodes().values().any(|record| {
            matches!(record.state, NodeState::Down(_)) && record.since == database.applied()
        });
        if waits {
            self.beat_now(false);
        }
    }
}
