//! This node's hold on one LUN in one epoch: from registration to reservation to the proof, and
//! back.
//!
//! ```text
//! Unregistered -> Registering -> Reading -> Taking -> Reading … -> Attaching -> Held
//!        Held -> Detaching -> Released
//!        any  -> Lost (taken by another, or its path is gone) -> Detaching …
//! ```
//!
//! Given back means detached, and no more: our reservation stays on the LUN and refuses every older
//! owner, until the next one preempts it. A LUN without a reservation would take a write that a
//! stopped process held back for an hour.
//!
//! A new owner, entitled by a committed ownership, preempts the old keys; no timed challenge is
//! needed. A key with a larger epoch than ours, or of another cluster, is never preempted: then it
//! is we who must go.
//!
//! *A part of a LUN*: several groups may each have a part of one LUN, and each owner comes by a nexus of its own. The
//! key then names the part. The keys of other parts are none of our business, whoever holds the reservation: it lets
//! every registrant write, and each part's owner is one. What is preempted is the former owner of the same part, alone.
//!
//! Source: SPC-4, 5.13 (persistent reservations); type write exclusive, registrants only.

use serde::{Deserialize, Serialize};

use crate::action::{Action, LunVerb};
use crate::event::{LunFailure, LunReply};
use crate::id::{ClusterId, Epoch, Incarnation, LunId, NodeId, OpId, ReservationKey};
use crate::output::Output;
use crate::plant::{self, Plant};

/// How often the keys are read before the attempt is given up: others keep changing them.
const READS_MAX: u32 = 8;

/// This node alone may write the LUN in this epoch, as far as its device can promise it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockProof {
    lun: LunId,
    epoch: Epoch,
}

impl LockProof {
    /// Of which LUN.
    pub fn lun(&self) -> LunId {
        self.lun
    }

    /// In which epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// Why a LUN could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockFailure {
    /// A node with a later ownership holds it: ours is over.
    Overtaken,
    /// Another cluster is registered there.
    ForeignCluster,
    /// The device does not answer.
    Unreachable,
    /// The device cannot reserve.
    Unsupported,
    /// Others keep changing the keys.
    Contended,
}

/// How far a hold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockState {
    /// Nothing done yet.
    Unregistered,
    /// Our key is being registered.
    Registering,
    /// The keys are being read.
    Reading,
    /// The reservation, or another's key, is being taken.
    Taking,
    /// The LUN is being made reachable for the group.
    Attaching,
    /// Held.
    Held,
    /// It is ours no more, or never was; nothing has been given back yet.
    Lost(LockFailure),
    /// No further write goes out once this is answered.
    Detaching,
    /// Given back: nothing of ours writes it any more. It stays reserved until the next owner takes
    /// it.
    Released,
}

/// The hold.
#[derive(Debug)]
pub struct Lock {
    lun: LunId,
    cluster: ClusterId,
    node: NodeId,
    epoch: Epoch,
    incarnation: Incarnation,
    state: LockState,
    waiting: Option<OpId>,
    reads: u32,
    enforced: bool,
    part: bool,
}

impl Lock {
    /// Nothing is asked yet.
    pub fn new(
        lun: LunId,
        cluster: ClusterId,
        node: NodeId,
        epoch: Epoch,
        incarnation: Incarnation,
    ) -> Self {
        Self {
            lun,
            cluster,
            node,
            epoch,
            incarnation,
            state: LockState::Unregistered,
            waiting: None,
            reads: 0,
            enforced: true,
            part: false,
        }
    }

    /// Whether the device itself refuses a stale writer; otherwise a detachment that is not
    /// confirmed is none.
    #[must_use]
    pub fn enforced(self, enforced: bool) -> Self {
        Self { enforced, ..self }
    }

    /// Whether it is a part of a LUN on which others have parts too.
    #[must_use]
    pub fn part(self, part: bool) -> Self {
        Self { part, ..self }
    }

    /// How far it is.
    pub fn state(&self) -> LockState {
        self.state
    }

    /// The request that it waits for.
    pub fn waits_for(&self) -> Option<OpId> {
        self.waiting
    }

    /// The proof, while it is held.
    pub fn proof(&self) -> Option<LockProof> {
        match self.state {
            LockState::Held => Some(LockProof { lun: self.lun, epoch: self.epoch }),
            _ => None,
        }
    }

    fn key(&self) -> ReservationKey {
        match self.part {
            true => ReservationKey::of_part(self.cluster, self.lun, self.epoch),
            false => ReservationKey::new(self.cluster, self.node, self.epoch),
        }
    }

    /// Whether a key is of another part of the same LUN.
    fn is_of_other_part(&self, key: ReservationKey) -> bool {
        let other = |part: LunId| part != self.lun && !plant::is(Plant::OtherPartPreempted);
        self.part && key.is_of(self.cluster) && key.part().is_some_and(other)
    }

    /// Begins to take it.
    pub fn acquire(&mut self, out: &mut Output) {
        if self.state == LockState::Unregistered {
            self.ask(LockState::Registering, LunVerb::Register(self.key()), out);
        }
    }

    /// Begins to give it back, whatever is under way.
    pub fn release(&mut self, out: &mut Output) {
        match self.state {
            LockState::Unregistered => self.state = LockState::Released,
            LockState::Registering
            | LockState::Reading
            | LockState::Taking
            | LockState::Attaching
            | LockState::Held
            | LockState::Lost(_) => {
                self.ask(LockState::Detaching, LunVerb::Detach, out);
                if plant::is(Plant::DetachNotAwaited) {
                    self.state = LockState::Released;
                }
            }
            LockState::Detaching | LockState::Released => {}
        }
    }

    /// Asks again for a detachment that failed.
    pub fn detach_again(&mut self, out: &mut Output) {
        if self.state == LockState::Detaching && self.waiting.is_none() {
            self.ask(LockState::Detaching, LunVerb::Detach, out);
        }
    }

    /// Another has taken it, or its path is gone.
    pub fn lose(&mut self, why: LockFailure) {
        match self.state {
            LockState::Registering
            | LockState::Reading
            | LockState::Taking
            | LockState::Attaching
            | LockState::Held => {
                self.state = LockState::Lost(why);
                self.waiting = None;
                if plant::is(Plant::LaterOwnerPreempted) {
                    self.state = LockState::Unregistered;
                }
            }
            LockState::Unregistered
            | LockState::Lost(_)
            | LockState::Detaching
            | LockState::Released => {}
        }
    }

    /// The device's answer to `op`. False: it no longer matters.
    pub fn on_answer(
        &mut self,
        op: OpId,
        result: &Result<LunReply, LunFailure>,
        out: &mut Output,
    ) -> bool {
        if self.waiting != Some(op) {
            return false;
        }
        self.waiting = None;
        match self.state {
            LockState::Registering => self.on_registered(result, out),
            LockState::Reading => self.on_keys(result, out),
            LockState::Taking => self.on_taken(result, out),
            LockState::Attaching => match result {
                Ok(_) => self.state = LockState::Held,
                Err(failure) => self.fail(*failure),
            },
            LockState::Detaching if result.is_ok() || self.enforced => {
                self.state = LockState::Released;
            }
            LockState::Detaching => {}
            LockState::Unregistered
            | LockState::Held
            | LockState::Lost(_)
            | LockState::Released => {}
        }
        true
    }

    fn on_registered(&mut self, result: &Result<LunReply, LunFailure>, out: &mut Output) {
        match result {
            Ok(_) => self.read(out),
            Err(failure) => self.fail(*failure),
        }
    }

    /// A conflict here means that the keys have changed since they were read: read again.
    fn on_taken(&mut self, result: &Result<LunReply, LunFailure>, out: &mut Output) {
        match result {
            Ok(_) | Err(LunFailure::Conflict) => self.read(out),
            Err(failure) => self.fail(*failure),
        }
    }

    fn read(&mut self, out: &mut Output) {
        self.reads += 1;
        if self.reads > READS_MAX {
            self.state = LockState::Lost(LockFailure::Contended);
        } else {
            self.ask(LockState::Reading, LunVerb::ReadKeys, out);
        }
    }

    fn on_keys(&mut self, result: &Result<LunReply, LunFailure>, out: &mut Output) {
        let (keys, holder) = match result {
            Ok(LunReply::Keys { keys, holder }) => (keys, *holder),
            Ok(LunReply::Done | LunReply::Beat { .. }) => {
                return self.fail(LunFailure::Unsupported);
            }
            Err(failure) => return self.fail(*failure),
        };
        let own = self.key();
        let of_others: Vec<ReservationKey> =
            keys.iter().copied().filter(|&key| !self.is_of_other_part(key)).collect();
        let keys = of_others.as_slice();
        let held_beside_us = holder.filter(|&key| self.is_of_other_part(key));
        let holder = holder.filter(|_| held_beside_us.is_none());
        if let Some(why) = self.forbidden(keys, holder) {
            self.state = LockState::Lost(why);
        } else if !keys.contains(&own) && plant::is(Plant::LaterOwnerPreempted) {
            self.ask(LockState::Registering, LunVerb::Register(own), out);
        } else if !keys.contains(&own) {
            self.state = LockState::Lost(LockFailure::Overtaken);
        } else if plant::is(Plant::HolderNotPreempted) && holder.is_some() {
            self.attach(out);
        } else if let Some(victim) = holder.filter(|&key| key != own) {
            self.ask(LockState::Taking, LunVerb::Preempt { own, victim }, out);
        } else if holder.or(held_beside_us).is_none() && !plant::is(Plant::ReserveForgotten) {
            self.ask(LockState::Taking, LunVerb::Reserve(own), out);
        } else if let Some(&victim) =
            keys.iter().find(|&&key| key != own).filter(|_| !plant::is(Plant::OthersStayRegistered))
        {
            self.ask(LockState::Taking, LunVerb::Preempt { own, victim }, out);
        } else {
            self.attach(out);
        }
    }

    fn attach(&mut self, out: &mut Output) {
        let (epoch, incarnation) = (self.epoch, self.incarnation);
        self.ask(LockState::Attaching, LunVerb::Attach { epoch, incarnation }, out);
    }

    /// Whether a key stands there that we must not take away.
    fn forbidden(
        &self,
        keys: &[ReservationKey],
        holder: Option<ReservationKey>,
    ) -> Option<LockFailure> {
        let own = self.key();
        keys.iter().copied().chain(holder).filter(|&key| key != own).find_map(|key| {
            if !key.is_of(self.cluster) {
                Some(LockFailure::ForeignCluster)
            } else if key.epoch() >= own.epoch() && !plant::is(Plant::LaterOwnerPreempted) {
                Some(LockFailure::Overtaken)
            } else {
                None
            }
        })
    }

    fn fail(&mut self, failure: LunFailure) {
        self.state = LockState::Lost(match failure {
            LunFailure::Conflict => LockFailure::Overtaken,
            LunFailure::Unreachable => LockFailure::Unreachable,
            LunFailure::Unsupported => LockFailure::Unsupported,
        });
    }

    fn ask(&mut self, state: LockState, verb: LunVerb, out: &mut Output) {
        let op = out.op();
        self.state = state;
        self.waiting = Some(op);
        out.act(Action::Lun { op, lun: self.lun, verb });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: ClusterId = ClusterId(5);

    struct Bench {
        lock: Lock,
        out: Output,
    }

    impl Bench {
        fn new(node: u16, epoch: u64) -> Self {
            let incarnation = Incarnation::of_boot(1);
            let lock = Lock::new(LunId(1), CLUSTER, NodeId(node), Epoch(epoch), incarnation);
            let mut bench = Self { lock, out: Output::default() };
            bench.lock.acquire(&mut bench.out);
            bench
        }

        fn asked(&mut self) -> LunVerb {
            match self.out.take_actions().as_slice() {
                [Action::Lun { verb, .. }] => *verb,
                other => panic!("one request to the LUN, not {other:?}"),
            }
        }

        fn answer(&mut self, result: Result<LunReply, LunFailure>) {
            let op = self.lock.waits_for().expect("it waits");
            assert!(self.lock.on_answer(op, &result, &mut self.out));
        }

        fn keys(&mut self, keys: &[ReservationKey], holder: Option<ReservationKey>) {
            self.answer(Ok(LunReply::Keys { keys: keys.to_vec(), holder }));
        }
    }

    fn key(node: u16, epoch: u64) -> ReservationKey {
        ReservationKey::new(CLUSTER, NodeId(node), Epoch(epoch))
    }

    #[test]
    fn a_free_lun_is_registered_reserved_verified_and_attached() {
        let mut t = Bench::new(1, 3);
        assert_eq!(t.asked(), LunVerb::Register(key(1, 3)));
        t.answer(Ok(LunReply::Done));
        assert_eq!(t.asked(), LunVerb::ReadKeys);
        t.keys(&[key(1, 3)], None);
        assert_eq!(t.asked(), LunVerb::Reserve(key(1, 3)));
        t.answer(Ok(LunReply::Done));
        assert_eq!(t.asked(), LunVerb::ReadKeys);
        t.keys(&[key(1, 3)], Some(key(1, 3)));
        assert!(matches!(t.asked(), LunVerb::Attach { .. }));
        assert!(t.lock.proof().is_none(), "not before the answer");
        t.answer(Ok(LunReply::Done));
        assert_eq!(t.lock.proof().unwrap().epoch(), Epoch(3));
    }

    #[test]
    fn the_old_owner_and_every_other_old_key_are_preempted() {
        let mut t = Bench::new(2, 4);
        t.asked();
        t.answer(Ok(LunReply::Done));
        t.asked();
        t.keys(&[key(1, 3), key(1, 1), key(2, 4)], Some(key(1, 3)));
        assert_eq!(t.asked(), LunVerb::Preempt { own: key(2, 4), victim: key(1, 3) });
        t.answer(Ok(LunReply::Done));
        t.asked();
        t.keys(&[key(1, 1), key(2, 4)], Some(key(2, 4)));
        assert_eq!(t.asked(), LunVerb::Preempt { own: key(2, 4), victim: key(1, 1) });
    }

    #[test]
    fn a_later_owner_is_never_preempted() {
        let mut t = Bench::new(1, 3);
        t.asked();
        t.answer(Ok(LunReply::Done));
        t.asked();
        t.keys(&[key(1, 3), key(2, 4)], Some(key(2, 4)));
        assert_eq!(t.lock.state(), LockState::Lost(LockFailure::Overtaken));
    }

    #[test]
    fn a_lun_of_another_cluster_is_left_alone() {
        let mut t = Bench::new(1, 3);
        let foreign = ReservationKey::new(ClusterId(6), NodeId(9), Epoch(1));
        t.asked();
        t.answer(Ok(LunReply::Done));
        t.asked();
        t.keys(&[key(1, 3), foreign], None);
        assert_eq!(t.lock.state(), LockState::Lost(LockFailure::ForeignCluster));
    }

    #[test]
    fn who_takes_a_part_leaves_the_owners_of_the_others_alone() {
        let mut t = Bench::new(2, 4);
        t.lock =
            Lock::new(LunId(1), CLUSTER, NodeId(2), Epoch(4), Incarnation::of_boot(1)).part(true);
        t.out.take_actions();
        t.lock.acquire(&mut t.out);
        let part = |lun, epoch| ReservationKey::of_part(CLUSTER, LunId(lun), Epoch(epoch));
        let (own, former, other) = (part(1, 4), part(1, 3), part(2, 9));
        assert_eq!(t.asked(), LunVerb::Register(own));
        t.answer(Ok(LunReply::Done));
        t.asked();
        t.keys(&[former, other, own], Some(other));
        assert_eq!(t.asked(), LunVerb::Preempt { own, victim: former });
        t.answer(Ok(LunReply::Done));
        t.asked();
        t.keys(&[other, own], Some(other));
        assert!(matches!(t.asked(), LunVerb::Attach { .. }), "the other part's owner stays");
        assert_eq!((own.part(), key(2, 4).part()), (Some(LunId(1)), None));
    }

    #[test]
    fn whoever_was_preempted_while_taking_it_gives_up() {
        let mut t = Bench::new(1, 3);
        t.asked();
        t.answer(Ok(LunReply::Done));
        t.asked();
        t.keys(&[key(1, 3)], None);
        t.asked();
        t.answer(Err(LunFailure::Conflict));
        t.asked();
        t.keys(&[key(2, 4)], Some(key(2, 4)));
        assert_eq!(t.lock.state(), LockState::Lost(LockFailure::Overtaken));
    }

    #[test]
    fn a_cooperative_lun_is_given_back_only_when_its_last_write_is_known_to_be_over() {
        let mut t = Bench::new(1, 3);
        t.asked();
        t.lock.enforced = false;
        t.lock.state = LockState::Held;
        t.lock.release(&mut t.out);
        t.asked();
        t.answer(Err(LunFailure::Unreachable));
        assert_eq!(t.lock.state(), LockState::Detaching);
        t.lock.detach_again(&mut t.out);
        assert_eq!(t.asked(), LunVerb::Detach);
        t.answer(Ok(LunReply::Done));
        assert_eq!(t.lock.state(), LockState::Released);
    }

    #[test]
    fn a_lun_is_given_back_after_the_last_write_and_stays_reserved() {
        let mut t = Bench::new(1, 3);
        t.asked();
        t.lock.state = LockState::Held;
        t.lock.release(&mut t.out);
        assert_eq!(t.asked(), LunVerb::Detach);
        assert_ne!(t.lock.state(), LockState::Released, "not before the answer");
        t.answer(Err(LunFailure::Unreachable));
        assert_eq!(t.lock.state(), LockState::Released);
        assert_eq!(t.out.take_actions(), []);
    }
}
