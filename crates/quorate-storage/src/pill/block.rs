//! What stands in the blocks of the area, and its form: one sector each, which a disk writes as a whole or not at all.
//!
//! ```text
//! header    | magic | crc32 | 0    | cluster |
//! listener  | magic | crc32 | node | standing | host boot | start | watchdog | patience | taken |
//! pill      | magic | crc32 | node | by | host boot | number | length | reason ... |
//!           0       8       12     13   14          30
//! ```
//!
//! Numbers are little-endian. The checksum covers everything behind it, to the end of the sector.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use crate::LunError;

/// Bytes of a block that are used; the rest is padding.
pub(super) const BLOCK_BYTES: usize = 512;
/// The most of a reason that is kept, in bytes.
pub const PILL_REASON_MAX: usize = 400;

pub(crate) const HEADER: [u8; 8] = *b"qrpillh1";
const LISTENER: [u8; 8] = *b"qrpilll1";
const PILL: [u8; 8] = *b"qrpillp1";
const REASON_AT: usize = 40;

pub(super) type Bytes = [u8; BLOCK_BYTES];

/// One boot of a host's kernel, drawn at random by it.
///
/// Source: `/proc/sys/kernel/random/boot_id`, random(4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostBoot(pub [u8; 16]);

impl HostBoot {
    /// The present one of this host. Containers of one host have it in common: a watchdog resets them all.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidData` for what is no identity.
    pub fn here() -> io::Result<Self> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        text.parse().map_err(|why: String| io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

impl FromStr for HostBoot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        let number = (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
        number
            .map(|number| Self(number.to_be_bytes()))
            .ok_or(format!("{text:?} is no boot's identity"))
    }
}

impl fmt::Display for HostBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", u128::from_be_bytes(self.0));
        let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        f.write_str(&parts.join("-"))
    }
}

/// Whether a node obeys pills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listening {
    /// It does, or it is dead, and its watchdog ends its host.
    Armed,
    /// It has ended in order: when this was written nothing of it ran any more.
    Left,
    /// It runs and does not obey them any more, since its configuration names it no longer.
    Off,
}

/// What a node says of itself. It alone writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Whether it obeys pills.
    pub standing: Listening,
    /// The boot of its host.
    pub boot: HostBoot,
    /// The start of its process: later ones have greater numbers.
    pub start: u64,
    /// How long its watchdog waits for food, to the millisecond.
    pub watchdog: Duration,
    /// For how long it feeds that by its last look at its pill, without a lease, to the millisecond.
    pub patience: Duration,
    /// The number of the pill that it has taken: it has fed its watchdog for the last time.
    pub taken: Option<u64>,
}

/// What ends a node. Others write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pill {
    /// Greater than that of the one before; not 0.
    pub number: u64,
    /// The boot of the host that is to end; to every other it means nothing.
    pub boot: HostBoot,
    /// The node that wrote it.
    pub by: u8,
    /// For people; cut off after [`PILL_REASON_MAX`] bytes.
    pub reason: String,
}

fn seal(mut bytes: Bytes, magic: [u8; 8], node: u8) -> Bytes {
    bytes[..8].copy_from_slice(&magic);
    bytes[12] = node;
    let sum = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// What `seal` was given; false: nobody ever wrote it.
fn open(bytes: &Bytes, magic: [u8; 8], node: u8) -> Result<bool, LunError> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(false);
    }
    if bytes[..8] != magic {
        return Err(corrupt(node, "it holds something else than ours"));
    }
    if bytes[8..12] != crc32fast::hash(&bytes[12..]).to_le_bytes() {
        return Err(corrupt(node, "it is torn: the checksum is wrong"));
    }
    if bytes[12] != node {
        return Err(corrupt(node, "it is another's"));
    }
    Ok(true)
}

fn corrupt(node: u8, why: &str) -> LunError {
    let whose = if node == 0 { "the header".to_owned() } else { format!("block of node {node}") };
    LunError::Corrupt { what: format!("{whose}: {why}") }
}

fn part<const N: usize>(bytes: &Bytes, at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}

fn number(bytes: &Bytes, at: usize) -> u64 {
    u64::from_le_bytes(part(bytes, at))
}

fn length(bytes: &Bytes, at: usize) -> Duration {
    Duration::from_millis(u32::from_le_bytes(part(bytes, at)).into())
}

fn millis(length: Duration) -> [u8; 4] {
    u32::try_from(length.as_millis()).unwrap_or(u32::MAX).to_le_bytes()
}

/// Of which cluster the area is.
pub(super) fn encode_header(cluster: u64) -> Bytes {
    let mut bytes = [0; BLOCK_BYTES];
    bytes[13..21].copy_from_slice(&cluster.to_le_bytes());
    seal(bytes, HEADER, 0)
}

/// `None`: nobody ever made one here.
pub(super) fn decode_header(bytes: &Bytes) -> Result<Option<u64>, LunError> {
    Ok(open(bytes, HEADER, 0)?.then(|| number(bytes, 13)))
}

impl Listener {
    pub(super) fn encode(&self, node: u8) -> Bytes {
        let mut bytes = [0; BLOCK_BYTES];
        bytes[13] = match self.standing {
            Listening::Armed => 1,
            Listening::Left => 2,
            Listening::Off => 3,
        };
        bytes[14..30].copy_from_slice(&self.boot.0);
        bytes[30..38].copy_from_slice(&self.start.to_le_bytes());
        bytes[38..42].copy_from_slice(&millis(self.watchdog));
        bytes[42..46].copy_from_slice(&millis(self.patience));
        bytes[46..54].copy_from_slice(&self.taken.unwrap_or(0).to_le_bytes());
        seal(bytes, LISTENER, node)
    }

    /// What `encode` wrote; `None` where nobody ever did. `Err` says what is wrong.
    pub(super) fn decode(bytes: &Bytes, node: u8) -> Result<Option<Self>, LunError> {
        if !open(bytes, LISTENER, node)? {
            return Ok(None);
        }
        let standing = match bytes[13] {
            1 => Listening::Armed,
            2 => Listening::Left,
            3 => Listening::Off,
            _ => return Err(corrupt(node, "whether it is armed makes no sense")),
        };
        let listener = Self {
            standing,
            boot: HostBoot(part(bytes, 14)),
            start: number(bytes, 30),
            watchdog: length(bytes, 38),
            patience: length(bytes, 42),
            taken: Some(number(bytes, 46)).filter(|taken| *taken > 0),
        };
        match listener.watchdog.is_zero() || listener.patience.is_zero() {
            true => Err(corrupt(node, "its times make no sense")),
            false => Ok(Some(listener)),
        }
    }
}

impl Pill {
    pub(super) fn encode(&self, node: u8) -> Bytes {
        let mut bytes = [0; BLOCK_BYTES];
        let longest = self.reason.len().min(PILL_REASON_MAX);
        let end = (0..=longest).rev().find(|end| self.reason.is_char_boundary(*end));
        let reason = &self.reason.as_bytes()[..end.unwrap_or(0)];
        bytes[13] = self.by;
        bytes[14..30].copy_from_slice(&self.boot.0);
        bytes[30..38].copy_from_slice(&self.number.to_le_bytes());
        bytes[38..40].copy_from_slice(&(reason.len() as u16).to_le_bytes());
        bytes[REASON_AT..REASON_AT + reason.len()].copy_from_slice(reason);
        seal(bytes, PILL, node)
    }

    /// What `encode` wrote; `None` where nobody ever did. `Err` says what is wrong.
    pub(super) fn decode(bytes: &Bytes, node: u8) -> Result<Option<Self>, LunError> {
        if !open(bytes, PILL, node)? {
            return Ok(None);
        }
        let length = usize::from(u16::from_le_bytes(part(bytes, 38)));
        let reason = (length <= PILL_REASON_MAX)
            .then(|| String::from_utf8(bytes[REASON_AT..REASON_AT + length].to_vec()).ok())
            .flatten()
            .ok_or_else(|| corrupt(node, "its reason makes no sense"))?;
        let number = number(bytes, 30);
        match number {
            0 => Err(corrupt(node, "its pill has no number")),
            _ => Ok(Some(Self { number, boot: HostBoot(part(bytes, 14)), by: bytes[13], reason })),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listeners() -> impl Strategy<Value = Listener> {
        let standing =
            prop_oneof![Just(Listening::Armed), Just(Listening::Left), Just(Listening::Off)];
        (standing, any::<[u8; 16]>(), any::<u64>(), 1..=u32::MAX, 1..=u32::MAX, any::<u64>())
            .prop_map(|(standing, boot, start, watchdog, patience, taken)| Listener {
                standing,
                boot: HostBoot(boot),
                start,
                watchdog: Duration::from_millis(watchdog.into()),
                patience: Duration::from_millis(patience.into()),
                taken: (taken > 0).then_some(taken),
            })
    }

    proptest! {
        #[test]
        fn blocks_survive_their_form_and_any_flipped_bit_is_seen(
            listener in listeners(),
            (boot, number, by, reason) in (any::<[u8; 16]>(), 1..=u64::MAX, any::<u8>(), "\\PC{0,100}"),
            (node, bit) in (1..=250_u8, 0..BLOCK_BYTES * 8),
        ) {
            let pill = Pill { number, boot: HostBoot(boot), by, reason };
            let (mut one, mut other) = (listener.encode(node), pill.encode(node));
            prop_assert_eq!(Listener::decode(&one, node).unwrap(), Some(listener));
            prop_assert_eq!(Pill::decode(&other, node).unwrap(), Some(pill));
            prop_assert!(Listener::decode(&other, node).is_err() && Pill::decode(&one, node).is_err());
            for bytes in [&mut one, &mut other] {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            prop_assert!(Listener::decode(&one, node).is_err() && Pill::decode(&other, node).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), BLOCK_BYTES), kind in 0..3_u8) {
            let bytes: Bytes = bytes.try_into().unwrap();
            let node = bytes[12];
            match kind {
                0 => drop(decode_header(&seal(bytes, HEADER, 0)).unwrap()),
                1 => if let Ok(Some(one)) = Listener::decode(&seal(bytes, LISTENER, node), node) {
                    prop_assert_eq!(Listener::decode(&one.encode(node), node).unwrap(), Some(one));
                },
                _ => if let Ok(Some(one)) = Pill::decode(&seal(bytes, PILL, node), node) {
                    prop_assert_eq!(Pill::decode(&one.encode(node), node).unwrap(), Some(one));
                },
            }
        }
    }

    #[test]
    fn what_nobody_wrote_is_empty_and_what_another_wrote_is_refused() {
        let listener = Listener::decode(&[0; BLOCK_BYTES], 3).unwrap();
        assert_eq!((listener, decode_header(&[0; BLOCK_BYTES]).unwrap()), (None, None));
        let pill = Pill { number: 1, boot: HostBoot([7; 16]), by: 2, reason: "ä".repeat(300) };
        let kept = Pill::decode(&pill.encode(3), 3).unwrap().unwrap();
        assert_eq!(kept.reason, "ä".repeat(PILL_REASON_MAX / 2), "cut off between two letters");
        assert!(Pill::decode(&pill.encode(3), 4).unwrap_err().to_string().contains("another's"));
        let error = Pill::decode(&[7; BLOCK_BYTES], 3).unwrap_err().to_string();
        assert!(error.contains("something else"), "{error}");
    }

    #[test]
    fn a_boot_is_read_as_the_kernel_writes_it() {
        let text = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
        assert_eq!(text.parse::<HostBoot>().unwrap().to_string(), text);
        assert!("0f1e".parse::<HostBoot>().is_err() && "".parse::<HostBoot>().is_err());
        assert_eq!(HostBoot::here().unwrap(), HostBoot::here().unwrap());
    }
}
