//! The rules of reservations as a person would tell them, and drivers beside them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;
use quorate_storage::{Lun, LunError, ReservationKey};

/// The rules as a person would tell them: three nodes, a list of (node, key), a holder.
#[derive(Default)]
pub(crate) struct Model {
    registered: Vec<(usize, u64)>,
    holder: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Verb {
    Register,
    Unregister,
    Reserve,
    Release,
    Preempt,
    Clear,
}

impl Model {
    /// Whether the verb succeeds; carries it out if so.
    fn apply(&mut self, node: usize, verb: Verb, own: u64, other: u64) -> bool {
        let mine = self.registered.iter().find(|(who, _)| *who == node).map(|(_, key)| *key);
        match verb {
            Verb::Register => {
                self.registered.retain(|(who, _)| *who != node);
                self.registered.push((node, own));
                true
            }
            Verb::Unregister => {
                self.registered.retain(|(who, _)| *who != node);
                if self.holder == Some(node) {
                    self.holder = None;
                }
                true
            }
            _ if mine != Some(own) => false,
            Verb::Reserve => {
                let free = self.holder.is_none() || self.holder == Some(node);
                if free {
                    self.holder = Some(node);
                }
                free
            }
            Verb::Release => {
                if self.holder == Some(node) {
                    self.holder = None;
                }
                true
            }
            Verb::Preempt => {
                let victims: Vec<usize> = self
                    .registered
                    .iter()
                    .filter(|(_, key)| *key == other)
                    .map(|(who, _)| *who)
                    .collect();
                if self.holder.is_some_and(|holder| victims.contains(&holder)) {
                    self.holder = Some(node);
                }
                self.registered.retain(|(who, _)| *who == node || !victims.contains(who));
                !victims.is_empty()
            }
            Verb::Clear => {
                *self = Self::default();
                true
            }
        }
    }

    fn keys(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = self.registered.iter().map(|(_, key)| *key).collect();
        keys.sort_unstable();
        keys
    }

    fn holder_key(&self) -> Option<u64> {
        self.registered.iter().find(|(who, _)| Some(*who) == self.holder).map(|(_, key)| *key)
    }

    fn is_registered(&self, node: usize) -> bool {
        self.registered.iter().any(|(who, _)| *who == node)
    }
}

fn verbs() -> impl Strategy<Value = Verb> {
    prop_oneof![
        3 => Just(Verb::Register),
        1 => Just(Verb::Unregister),
        3 => Just(Verb::Reserve),
        1 => Just(Verb::Release),
        2 => Just(Verb::Preempt),
        1 => Just(Verb::Clear),
    ]
}

/// What three nodes do: who, what, under which key, to whom.
pub(crate) type Steps = Vec<(usize, Verb, u64, u64)>;

pub(crate) fn steps() -> impl Strategy<Value = Steps> {
    prop::collection::vec((0..3_usize, verbs(), 1..3_u64, 1..3_u64), 1..60)
}

/// Each answer, and the table after it, is the model's.
pub(crate) fn agree(luns: &[Box<dyn Lun>], steps: Steps) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let mut generation = 0;
    for (node, verb, own, other) in steps {
        let (lun, own_key, victim) = (&luns[node], ReservationKey(own), ReservationKey(other));
        let result = match verb {
            Verb::Register => lun.register(own_key),
            Verb::Unregister => lun.unregister(),
            Verb::Reserve => lun.reserve(own_key),
            Verb::Release => lun.release(own_key),
            Verb::Preempt => lun.preempt(own_key, victim),
            Verb::Clear => lun.clear(own_key),
        };
        let expected = model.apply(node, verb, own, other);
        match result {
            Ok(()) => prop_assert!(expected),
            Err(LunError::ReservationConflict) => prop_assert!(!expected),
            Err(other) => prop_assert!(false, "{other}"),
        }
        let found = luns[(node + 1) % 3].read_keys().unwrap();
        prop_assert_eq!(found.keys.iter().map(|key| key.0).collect::<Vec<_>>(), model.keys());
        prop_assert_eq!(found.holder.map(|(key, _)| key.0), model.holder_key());
        prop_assert!(found.generation >= generation);
        generation = found.generation;
        // Who is not registered never writes while somebody holds the LUN; a registrant always does.
        for (writer, lun) in luns.iter().enumerate() {
            let written =
                lun.write_at(0, &vec![node as u8; lun.capabilities().block_bytes as usize]);
            if model.is_registered(writer) {
                prop_assert!(written.is_ok());
            } else if model.holder.is_some() {
                prop_assert!(written.unwrap_err().is_refusal());
            }
        }
    }
    Ok(())
}

/// Four streams of writes go on while their owner is preempted; what stands on the LUN when that has returned.
pub(crate) fn bytes_when_preempted(
    owner: &dyn Lun,
    preempt: impl Fn(),
    read: impl Fn() -> Vec<u8>,
) -> Vec<u8> {
    let (written, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (written, stop) = (&written, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mark = 1 + written.load(Ordering::Relaxed) % 250;
                    match owner.write_at(thread * (256 << 10), &vec![mark as u8; 256 << 10]) {
                        Ok(()) => written.fetch_add(1, Ordering::Relaxed),
                        Err(LunError::ReservationConflict) => return,
                        Err(other) => panic!("{other}"),
                    };
                }
            });
        }
        while written.load(Ordering::Relaxed) < 20 {
            std::thread::yield_now();
        }
        preempt();
        let bytes = read();
        stop.store(true, Ordering::Relaxed);
        bytes
    })
}
