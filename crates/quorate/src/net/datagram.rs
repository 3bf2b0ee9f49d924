//! Sealing and opening of heartbeats. Pure: bytes in, bytes out, no panic on any input.
//!
//! ```text
//! version:u8 cluster_tag:u32 from:u16 to:u16 path:u8 incarnation:u64 sequence:u64 salt[5] | sealed bytes | tag[16]
//! ```
//!
//! Numbers are big-endian. Everything before the bar is authenticated. The nonce is incarnation,
//! sequence, path, receiver and salt under a key of the sender alone; the sequence counts up for
//! each receiver and path. The salt is drawn at each start: should an incarnation ever be used
//! twice (a state directory from a backup), the nonce still differs.
//!
//! A receiver that was restarted has forgotten what it saw. So the datagrams of a run of a peer
//! count only once that run has proved itself on a stream to this run of ours, where it also says
//! which sequence it comes to next: whatever was recorded before stays outside.

use std::collections::BTreeMap;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

use super::event::DropReason;
use crate::key::ClusterKey;

/// Bytes that sealing adds.
pub const DATAGRAM_OVERHEAD: usize = HEADER + TAG;

const VERSION: u8 = 1;
const HEADER: usize = 31;
const TAG: usize = 16;
const SALT: usize = 5;

/// A number that tells clusters apart at a glance; it proves nothing.
pub(super) fn cluster_tag(cluster_id: u64) -> u32 {
    let digest =
        Sha256::new_with_prefix(b"quorate cluster tag").chain_update(cluster_id.to_be_bytes());
    let digest = digest.finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn cipher(key: &ClusterKey, cluster_id: u64, sender: u16) -> XChaCha20Poly1305 {
    let key = key.derive("beat", &[&cluster_id.to_be_bytes(), &sender.to_be_bytes()]);
    XChaCha20Poly1305::new((&*key).into())
}

/// The part of a datagram that everybody can read.
#[derive(Debug, Clone, Copy)]
struct Header {
    tag: u32,
    from: u16,
    to: u16,
    path: u8,
    incarnation: u64,
    sequence: u64,
    salt: [u8; SALT],
}

impl Header {
    fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = VERSION;
        bytes[1..5].copy_from_slice(&self.tag.to_be_bytes());
        bytes[5..7].copy_from_slice(&self.from.to_be_bytes());
        bytes[7..9].copy_from_slice(&self.to.to_be_bytes());
        bytes[9] = self.path;
        bytes[10..18].copy_from_slice(&self.incarnation.to_be_bytes());
        bytes[18..26].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[26..].copy_from_slice(&self.salt);
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> Result<Header, DropReason> {
        let eight = |at: usize| {
            u64::from_be_bytes(bytes[at..at + 8].try_into().expect("the range is eight bytes long"))
        };
        if bytes[0] != VERSION {
            return Err(DropReason::WrongVersion);
        }
        Ok(Header {
            tag: u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]),
            from: u16::from_be_bytes([bytes[5], bytes[6]]),
            to: u16::from_be_bytes([bytes[7], bytes[8]]),
            path: bytes[9],
            incarnation: eight(10),
            sequence: eight(18),
            salt: bytes[26..].try_into().expect("the salt is the rest of the header"),
        })
    }

    fn nonce(&self) -> XNonce {
        let mut nonce = XNonce::default();
        nonce[..8].copy_from_slice(&self.incarnation.to_be_bytes());
        nonce[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        nonce[16] = self.path;
        nonce[17..19].copy_from_slice(&self.to.to_be_bytes());
        nonce[19..].copy_from_slice(&self.salt);
        nonce
    }
}

/// Where a datagram goes. The sequence is used once for each receiver and path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) to: u16,
    pub(super) path: u8,
    pub(super) sequence: u64,
}

/// Seals the datagrams of one node.
pub(super) struct Sealer {
    cipher: XChaCha20Poly1305,
    tag: u32,
    me: u16,
    incarnation: u64,
    salt: [u8; SALT],
    bytes_max: usize,
}

impl Sealer {
    pub(super) fn new(
        key: &ClusterKey,
        cluster_id: u64,
        sender: (u16, u64),
        salt: [u8; SALT],
        bytes_max: usize,
    ) -> Sealer {
        let (me, incarnation) = sender;
        let cipher = cipher(key, cluster_id, me);
        Sealer { cipher, tag: cluster_tag(cluster_id), me, incarnation, salt, bytes_max }
    }

    /// Most bytes that fit in one datagram.
    pub(super) fn room(&self) -> usize {
        self.bytes_max.saturating_sub(DATAGRAM_OVERHEAD)
    }

    /// The sealed datagram, or nothing when the bytes are more than [`Sealer::room`].
    pub(super) fn seal(&self, route: Route, bytes: &[u8]) -> Option<Vec<u8>> {
        if bytes.len() > self.room() {
            return None;
        }
        let Route { to, path, sequence } = route;
        let header = Header {
            tag: self.tag,
            from: self.me,
            to,
            path,
            incarnation: self.incarnation,
            sequence,
            salt: self.salt,
        };
        let head = header.encode();
        let mut datagram = Vec::with_capacity(DATAGRAM_OVERHEAD + bytes.len());
        datagram.extend_from_slice(&head);
        datagram.extend_from_slice(bytes);
        let tag = self
            .cipher
            .encrypt_in_place_detached(&header.nonce(), &head, &mut datagram[HEADER..])
            .expect("a datagram is far below the limit of the cipher");
        datagram.extend_from_slice(&tag);
        Some(datagram)
    }
}

/// An authentic datagram that was not seen before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) from: u16,
    pub(super) incarnation: u64,
    /// Its run has proved itself. If not it may be a recording, and tells no more than that it may
    /// be worth calling the peer.
    pub(super) is_proved: bool,
    pub(super) bytes: Vec<u8>,
}

/// Opens the datagrams that come to one node.
pub(super) struct Opener {
    key: ClusterKey,
    cluster_id: u64,
    tag: u32,
    me: u16,
    bytes_max: usize,
    /// A peer that was removed is kept: its old datagrams stay old if it comes back.
    peers: BTreeMap<u16, Sender>,
}

struct Sender {
    is_member: bool,
    cipher: XChaCha20Poly1305,
    /// The newest run that proved itself; 0: none has.
    incarnation: u64,
    /// What that run had come to when it did. Below it nothing passes.
    floor: u64,
    windows: BTreeMap<u8, Window>,
}

impl Opener {
    pub(super) fn new(key: ClusterKey, cluster_id: u64, me: u16, bytes_max: usize) -> Opener {
        let peers = BTreeMap::new();
        Opener { key, cluster_id, tag: cluster_tag(cluster_id), me, bytes_max, peers }
    }

    /// From here on, datagrams of these nodes and of no others pass.
    pub(super) fn set_peers(&mut self, ids: impl IntoIterator<Item = u16>) {
        for sender in self.peers.values_mut() {
            sender.is_member = false;
        }
        for id in ids {
            let (key, cluster_id) = (&self.key, self.cluster_id);
            let sender = self.peers.entry(id).or_insert_with(|| Sender {
                is_member: false,
                cipher: cipher(key, cluster_id, id),
                incarnation: 0,
                floor: 0,
                windows: BTreeMap::new(),
            });
            sender.is_member = true;
        }
    }

    /// A run of the peer has proved itself, and comes to the sequence `next`: from here on its
    /// datagrams pass, and those of earlier runs do not.
    pub(super) fn on_proved(&mut self, peer: u16, incarnation: u64, next: u64) {
        if let Some(sender) = self.peers.get_mut(&peer)
            && incarnation > sender.incarnation
        {
            sender.incarnation = incarnation;
            sender.floor = next;
            sender.windows.clear();
        }
    }

    /// Opens what came by `path`. The buffer is used up.
    pub(super) fn open(&mut self, datagram: &mut [u8], path: u8) -> Result<Opened, DropReason> {
        if datagram.len() > self.bytes_max {
            return Err(DropReason::TooLong);
        }
        let (head, sealed) =
            datagram.split_first_chunk_mut::<HEADER>().ok_or(DropReason::Malformed)?;
        let text_end = sealed.len().checked_sub(TAG).ok_or(DropReason::Malformed)?;
        let header = Header::decode(head)?;
        let sender = self.expected_sender(&header, path)?;
        let (text, tag) = sealed.split_at_mut(text_end);
        sender
            .cipher
            .decrypt_in_place_detached(&header.nonce(), head, text, (&*tag).into())
            .map_err(|_| DropReason::WrongKey)?;
        let is_proved = header.incarnation == sender.incarnation;
        if is_proved {
            sender.windows.entry(path).or_default().mark(header.sequence);
        }
        let Header { from, incarnation, .. } = header;
        Ok(Opened { from, incarnation, is_proved, bytes: text.to_vec() })
    }

    /// What can be told without the key. A forger learns nothing by it and changes nothing.
    fn expected_sender(&mut self, header: &Header, path: u8) -> Result<&mut Sender, DropReason> {
        if header.tag != self.tag {
            return Err(DropReason::WrongCluster);
        }
        if header.to != self.me {
            return Err(DropReason::NotForMe);
        }
        let sender = self.peers.get_mut(&header.from).filter(|sender| sender.is_member);
        let sender = sender.ok_or(DropReason::UnknownPeer)?;
        if header.path != path {
            return Err(DropReason::WrongPath);
        }
        if header.incarnation < sender.incarnation {
            return Err(DropReason::OldIncarnation);
        }
        let same_run = header.incarnation == sender.incarnation;
        let window = sender.windows.get(&path).copied().unwrap_or_default();
        if same_run && (header.sequence < sender.floor || !window.is_unseen(header.sequence)) {
            return Err(DropReason::Replayed);
        }
        Ok(sender)
    }
}

/// Which of the newest 64 sequence numbers were seen.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    highest: u64,
    /// Bit n: `highest - n` was seen.
    seen: u64,
}

impl Window {
    /// Sequence numbers begin at 1.
    fn is_unseen(&self, sequence: u64) -> bool {
        match self.highest.checked_sub(sequence) {
            None => true,
            Some(behind) => sequence > 0 && behind < 64 && self.seen & (1 << behind) == 0,
        }
    }

    fn mark(&mut self, sequence: u64) {
        if let Some(ahead) = sequence.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.seen = if ahead < 64 { self.seen << ahead } else { 0 };
            self.seen |= 1;
            self.highest = sequence;
        } else {
            self.seen |= 1 << (self.highest - sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLUSTER: u64 = 77;
    const MAX: usize = 1400;

    fn key() -> ClusterKey {
        ClusterKey::from_bytes([3; 32])
    }

    fn sealer(me: u16, incarnation: u64) -> Sealer {
        Sealer::new(&key(), CLUSTER, (me, incarnation), [9; 5], MAX)
    }

    /// Node 2, with peers 1 and 3.
    fn opener() -> Opener {
        let mut opener = Opener::new(key(), CLUSTER, 2, MAX);
        opener.set_peers([1, 3]);
        opener.on_proved(1, 5, 0);
        opener
    }

    fn seal(incarnation: u64, sequence: u64) -> Vec<u8> {
        sealer(1, incarnation).seal(Route { to: 2, path: 0, sequence }, b"beat").unwrap()
    }

    fn open(opener: &mut Opener, datagram: &[u8]) -> Result<Opened, DropReason> {
        opener.open(&mut datagram.to_vec(), 0)
    }

    #[test]
    fn a_datagram_passes_once() {
        let mut opener = opener();
        let datagram = seal(5, 1);
        let opened = open(&mut opener, &datagram).unwrap();
        let bytes = b"beat".to_vec();
        assert_eq!(opened, Opened { from: 1, incarnation: 5, is_proved: true, bytes });
        assert_eq!(open(&mut opener, &datagram), Err(DropReason::Replayed));
    }

    #[test]
    fn late_datagrams_pass_within_the_window_and_each_once() {
        let mut opener = opener();
        for sequence in [100, 98, 99, 37, 101] {
            open(&mut opener, &seal(5, sequence)).unwrap();
        }
        for sequence in [98, 99, 37, 100, 101, 36, 1, 0] {
            assert_eq!(
                open(&mut opener, &seal(5, sequence)),
                Err(DropReason::Replayed),
                "{sequence}"
            );
        }
        open(&mut opener, &seal(5, u64::MAX)).unwrap();
        assert_eq!(open(&mut opener, &seal(5, u64::MAX)), Err(DropReason::Replayed));
    }

    #[test]
    fn an_earlier_run_is_dropped_once_a_later_one_has_proved_itself() {
        let mut opener = opener();
        open(&mut opener, &seal(5, 9)).unwrap();
        opener.on_proved(1, 8, 0);
        assert_eq!(open(&mut opener, &seal(7, 1)), Err(DropReason::OldIncarnation));
        opener.on_proved(1, 6, 0);
        open(&mut opener, &seal(8, 1)).unwrap();
    }

    #[test]
    fn what_was_recorded_before_a_restart_of_ours_proves_no_life() {
        // Of a run that is over, or of one that has not called yet: authentic, and no more.
        let mut restarted = Opener::new(key(), CLUSTER, 2, MAX);
        restarted.set_peers([1]);
        for sequence in [7, 7, 8] {
            assert!(!open(&mut restarted, &seal(5, sequence)).unwrap().is_proved);
        }
        // Of a run that goes on: what it sent before it called us is over.
        restarted.on_proved(1, 5, 100);
        assert_eq!(open(&mut restarted, &seal(5, 99)), Err(DropReason::Replayed));
        assert!(open(&mut restarted, &seal(5, 100)).unwrap().is_proved);
        // A recording of a later run than the one that proved itself changes nothing for that one.
        assert!(!open(&mut restarted, &seal(6, 1)).unwrap().is_proved);
        assert!(open(&mut restarted, &seal(5, 101)).unwrap().is_proved);
    }

    #[test]
    fn a_removed_peer_is_unknown_and_its_old_datagrams_stay_old() {
        let mut opener = opener();
        open(&mut opener, &seal(5, 1)).unwrap();
        opener.set_peers([3]);
        assert_eq!(open(&mut opener, &seal(5, 2)), Err(DropReason::UnknownPeer));
        opener.set_peers([1, 3]);
        assert_eq!(open(&mut opener, &seal(5, 1)), Err(DropReason::Replayed));
        open(&mut opener, &seal(5, 2)).unwrap();
    }

    #[test]
    fn each_reason_is_told() {
        let route = Route { to: 2, path: 0, sequence: 1 };
        let wrong_key = Sealer::new(&ClusterKey::from_bytes([4; 32]), CLUSTER, (1, 5), [9; 5], MAX);
        let wrong_cluster = Sealer::new(&key(), 78, (1, 5), [9; 5], MAX);
        let mut other_version = seal(5, 1);
        other_version[0] = 2;
        let mut other_sender = seal(5, 1);
        other_sender[6] = 3;
        let table = [
            (wrong_key.seal(route, b"x").unwrap(), DropReason::WrongKey),
            (wrong_cluster.seal(route, b"x").unwrap(), DropReason::WrongCluster),
            (sealer(4, 5).seal(route, b"x").unwrap(), DropReason::UnknownPeer),
            (sealer(1, 5).seal(Route { to: 3, ..route }, b"x").unwrap(), DropReason::NotForMe),
            (sealer(1, 5).seal(Route { path: 1, ..route }, b"x").unwrap(), DropReason::WrongPath),
            (other_version, DropReason::WrongVersion),
            (other_sender, DropReason::WrongKey),
            (seal(5, 1)[..40].to_vec(), DropReason::Malformed),
            (vec![], DropReason::Malformed),
            (vec![1; MAX + 1], DropReason::TooLong),
        ];
        for (datagram, reason) in table {
            assert_eq!(open(&mut opener(), &datagram), Err(reason));
        }
    }

    #[test]
    fn the_largest_datagram_passes_and_a_larger_one_is_not_sealed() {
        let (sealer, route) = (sealer(1, 5), Route { to: 2, path: 0, sequence: 1 });
        let datagram = sealer.seal(route, &vec![1; sealer.room()]).unwrap();
        assert_eq!(datagram.len(), MAX);
        open(&mut opener(), &datagram).unwrap();
        assert!(sealer.seal(route, &vec![1; sealer.room() + 1]).is_none());
    }

    proptest! {
        #[test]
        fn random_bytes_never_pass(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
            prop_assert!(open(&mut opener(), &bytes).is_err());
        }

        #[test]
        fn a_datagram_with_any_bit_flipped_never_passes(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let mut datagram =
                sealer(1, 5).seal(Route { to: 2, path: 0, sequence: 1 }, &bytes).unwrap();
            let at = at.index(datagram.len());
            datagram[at] ^= 1 << bit;
            prop_assert!(open(&mut opener(), &datagram).is_err());
        }

        #[test]
        fn the_window_agrees_with_a_list_of_all_that_was_seen(
            sequences in proptest::collection::vec(1u64..200, 0..200),
        ) {
            let mut window = Window::default();
            let mut seen = std::collections::BTreeSet::new();
            for sequence in sequences {
                let highest = seen.last().copied().unwrap_or(0);
                let expected = !seen.contains(&sequence) && sequence + 64 > highest;
                prop_assert_eq!(window.is_unseen(sequence), expected);
                if expected {
                    window.mark(sequence);
                    seen.insert(sequence);
                }
            }
        }
    }
}
