//! How two nodes prove to each other who they are. Pure: bytes in, bytes out.
//!
//! ```text
//! caller:  preamble = "QRTE" version:u8 purpose:u8 cluster_tag:u32    then, for a stream, length:u16 noise message 1
//! called:  status:u8 (0, or why not)                                  then, after 0,     length:u16 noise message 2
//! caller:  its first frame
//! ```
//!
//! Noise NNpsk0 with a key derived from the cluster key and the cluster id; the preamble is its
//! prologue, and each message carries a [`Hello`]. A recorded first message opens nothing: the
//! called side takes the stream for open only after the caller's first frame, which needs the
//! answer. The status is not authenticated; it only helps a person to find a wrong key.

use snow::params::NoiseParams;
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use super::datagram::cluster_tag;
use super::event::DropReason;
use super::frame::{Input, Session};
use crate::key::ClusterKey;

const NOISE: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
const MAGIC: [u8; 4] = *b"QRTE";
const VERSION: u8 = 2;
const PREAMBLE: usize = 10;
const HELLO: usize = 29;
/// Above what either Noise message of a handshake takes.
const MESSAGE_MAX: usize = 256;
const PURPOSE_STREAM: u8 = 1;
const PURPOSE_PROBE: u8 = 2;
const STATUS_WELCOME: u8 = 0;

/// What this node says of itself.
pub(super) struct Identity {
    me: u16,
    incarnation: u64,
    cluster_id: u64,
    psk: Zeroizing<[u8; 32]>,
    params: NoiseParams,
}

/// What a node says of itself and of the one it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) from: u16,
    pub(super) incarnation: u64,
    /// The sequence that its next datagram to the other will have, or a later one.
    pub(super) next: u64,
}

/// A stream that was proved, and by whom.
pub(super) struct Proved {
    pub(super) hello: Hello,
    pub(super) session: Session,
}

/// What a called side has read so far.
pub(super) enum Greeting {
    /// Not yet all.
    Incomplete,
    /// Somebody asks whether anybody listens.
    Probe,
    /// A peer that holds the key asks for a stream.
    Stream(Hello, Box<Answering>),
}

/// The caller's state while it waits for the answer.
pub(super) struct Calling {
    noise: HandshakeState,
    to: u16,
}

/// The called side's state before it answers.
pub(super) struct Answering(HandshakeState);

impl Identity {
    pub(super) fn new(key: &ClusterKey, cluster_id: u64, me: u16, incarnation: u64) -> Identity {
        let psk = key.derive("stream", &[&cluster_id.to_be_bytes()]);
        let params = NOISE.parse().expect("the name of the protocol is a constant");
        Identity { me, incarnation, cluster_id, psk, params }
    }

    /// The first bytes of a caller whose datagrams to `to` have come to `next`, and its state.
    pub(super) fn call(&self, to: u16, next: u64) -> (Vec<u8>, Calling) {
        let mut bytes = self.preamble(PURPOSE_STREAM).to_vec();
        let mut noise = self
            .builder(&bytes)
            .build_initiator()
            .expect("the pattern needs the shared key alone, and it is set");
        write_message(&mut noise, &self.hello(to, next), &mut bytes);
        (bytes, Calling { noise, to })
    }

    /// What a probe sends.
    pub(super) fn probe(&self) -> [u8; PREAMBLE] {
        self.preamble(PURPOSE_PROBE)
    }

    /// Reads what a caller sent; anything but `Incomplete` uses up the input.
    pub(super) fn read_greeting(&self, unread: &mut Input) -> Result<Greeting, DropReason> {
        let input = unread.unread();
        let known = input.len().min(MAGIC.len());
        if input[..known] != MAGIC[..known] {
            return Err(DropReason::Malformed);
        }
        let Some(preamble) = input.first_chunk::<PREAMBLE>() else {
            return Ok(Greeting::Incomplete);
        };
        if preamble[4] != VERSION {
            return Err(DropReason::WrongVersion);
        }
        if preamble[6..] != cluster_tag(self.cluster_id).to_be_bytes() {
            return Err(DropReason::WrongCluster);
        }
        match preamble[5] {
            PURPOSE_PROBE => return Ok(Greeting::Probe),
            PURPOSE_STREAM => {}
            _ => return Err(DropReason::Malformed),
        }
        let Some(message) = message_at(input, PREAMBLE)? else { return Ok(Greeting::Incomplete) };
        if input.len() > PREAMBLE + 2 + message.len() {
            // The caller has nothing to say before our answer.
            return Err(DropReason::Malformed);
        }
        let mut noise = self
            .builder(preamble)
            .build_responder()
            .expect("the pattern needs the shared key alone, and it is set");
        let hello = self.read_hello(&mut noise, message)?;
        let length = input.len();
        unread.consume(length);
        Ok(Greeting::Stream(hello, Box::new(Answering(noise))))
    }

    /// Says yes to a caller.
    pub(super) fn welcome(
        &self,
        hello: Hello,
        answering: Answering,
        next: u64,
    ) -> (Vec<u8>, Proved) {
        let Answering(mut noise) = answering;
        let mut bytes = vec![STATUS_WELCOME];
        write_message(&mut noise, &self.hello(hello.from, next), &mut bytes);
        (bytes, Proved { hello, session: session(noise) })
    }

    /// Is the called side's answer there, or its refusal?
    pub(super) fn has_answer(input: &Input) -> Result<bool, DropReason> {
        let input = input.unread();
        match input.first() {
            None => Ok(false),
            Some(&STATUS_WELCOME) => Ok(message_at(input, 1)?.is_some()),
            Some(&code) => Err(DropReason::from_code(code).unwrap_or(DropReason::Malformed)),
        }
    }

    /// Reads the answer, once [`Identity::has_answer`]; what follows it stays in the input.
    pub(super) fn read_answer(
        &self,
        calling: Calling,
        input: &mut Input,
    ) -> Result<Proved, DropReason> {
        let Calling { mut noise, to } = calling;
        let message = message_at(input.unread(), 1)?.ok_or(DropReason::Malformed)?;
        let end = 1 + 2 + message.len();
        let hello = self.read_hello(&mut noise, message)?;
        if hello.from != to {
            return Err(DropReason::UnknownPeer);
        }
        input.consume(end);
        Ok(Proved { hello, session: session(noise) })
    }

    fn builder<'a>(&'a self, prologue: &'a [u8]) -> Builder<'a> {
        Builder::new(self.params.clone())
            .psk(0, &self.psk)
            .and_then(|builder| builder.prologue(prologue))
            .expect("both are set once, at a place that the pattern has")
    }

    fn preamble(&self, purpose: u8) -> [u8; PREAMBLE] {
        let mut bytes = [0; PREAMBLE];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = purpose;
        bytes[6..].copy_from_slice(&cluster_tag(self.cluster_id).to_be_bytes());
        bytes
    }

    fn hello(&self, to: u16, next: u64) -> [u8; HELLO] {
        let mut bytes = [0; HELLO];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&self.cluster_id.to_be_bytes());
        bytes[9..11].copy_from_slice(&self.me.to_be_bytes());
        bytes[11..13].copy_from_slice(&to.to_be_bytes());
        bytes[13..21].copy_from_slice(&self.incarnation.to_be_bytes());
        bytes[21..29].copy_from_slice(&next.to_be_bytes());
        bytes
    }

    fn read_hello(&self, noise: &mut HandshakeState, message: &[u8]) -> Result<Hello, DropReason> {
        let mut text = [0; MESSAGE_MAX];
        let length = noise.read_message(message, &mut text).map_err(|_| DropReason::WrongKey)?;
        let text: &[u8; HELLO] = text[..length].try_into().map_err(|_| DropReason::Malformed)?;
        let eight = |at: usize| {
            u64::from_be_bytes(text[at..at + 8].try_into().expect("the range is eight bytes long"))
        };
        if text[0] != VERSION {
            return Err(DropReason::WrongVersion);
        }
        if eight(1) != self.cluster_id {
            return Err(DropReason::WrongCluster);
        }
        if u16::from_be_bytes([text[11], text[12]]) != self.me {
            return Err(DropReason::NotForMe);
        }
        let from = u16::from_be_bytes([text[9], text[10]]);
        Ok(Hello { from, incarnation: eight(13), next: eight(21) })
    }
}

fn session(noise: HandshakeState) -> Session {
    Session::new(noise.into_transport_mode().expect("both messages of the handshake are done"))
}

fn write_message(noise: &mut HandshakeState, text: &[u8], out: &mut Vec<u8>) {
    let mut message = [0; MESSAGE_MAX];
    let length =
        noise.write_message(text, &mut message).expect("it is our turn and the message has room");
    out.extend_from_slice(&(length as u16).to_be_bytes());
    out.extend_from_slice(&message[..length]);
}

/// The length-prefixed Noise message at a place in the input, when it is all there.
fn message_at(input: &[u8], at: usize) -> Result<Option<&[u8]>, DropReason> {
    let Some(length) = input.get(at..at + 2) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    if length > MESSAGE_MAX {
        return Err(DropReason::Malformed);
    }
    Ok(input.get(at + 2..at + 2 + length))
}

#[cfg(test)]
mod tests {
    use super::super::frame::Frame;
    use super::*;
    use proptest::prelude::*;

    fn identity(me: u16) -> Identity {
        Identity::new(&ClusterKey::from_bytes([3; 32]), 77, me, u64::from(me) * 10)
    }

    fn refusal(caller: &Identity, called: &Identity) -> DropReason {
        let (bytes, _) = caller.call(2, 7);
        match called.read_greeting(&mut Input::from(bytes)) {
            Err(reason) => reason,
            Ok(_) => panic!("the greeting was taken"),
        }
    }

    #[test]
    fn two_nodes_prove_themselves_and_exchange_frames() {
        let (one, two) = (identity(1), identity(2));
        let (bytes, calling) = one.call(2, 7);
        let greeting = two.read_greeting(&mut Input::from(bytes));
        let Ok(Greeting::Stream(hello, answering)) = greeting else {
            panic!("the greeting was not taken")
        };
        assert_eq!(hello, Hello { from: 1, incarnation: 10, next: 7 });
        let (answer, mut at_two) = two.welcome(hello, *answering, 9);
        let mut answer = Input::from(answer);
        assert!(Identity::has_answer(&answer).unwrap());
        let mut at_one = one.read_answer(calling, &mut answer).ok().unwrap();
        assert_eq!(at_one.hello, Hello { from: 2, incarnation: 20, next: 9 });
        let mut wire = Vec::new();
        at_one.session.seal_ping(&mut wire);
        assert_eq!(at_two.session.open_next(&mut Input::from(wire)), Ok(Some(Frame::Ping)));
    }

    #[test]
    fn each_reason_is_told() {
        let other_key = Identity::new(&ClusterKey::from_bytes([4; 32]), 77, 1, 10);
        let other_cluster = Identity::new(&ClusterKey::from_bytes([3; 32]), 78, 1, 10);
        assert_eq!(refusal(&other_key, &identity(2)), DropReason::WrongKey);
        assert_eq!(refusal(&other_cluster, &identity(2)), DropReason::WrongCluster);
        assert_eq!(refusal(&identity(1), &identity(3)), DropReason::NotForMe);
        assert!(matches!(Identity::has_answer(&Input::from(vec![5])), Err(DropReason::WrongKey)));
        assert!(matches!(
            Identity::has_answer(&Input::from(b"HTTP".to_vec())),
            Err(DropReason::Malformed)
        ));
    }

    #[test]
    fn a_probe_is_told_from_a_call() {
        let mut bytes = Input::from(identity(1).probe().to_vec());
        assert!(matches!(identity(2).read_greeting(&mut bytes), Ok(Greeting::Probe)));
    }

    proptest! {
        #[test]
        fn a_greeting_with_any_bit_flipped_is_never_taken(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let (mut bytes, _) = identity(1).call(2, 7);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let mut bytes = Input::from(bytes);
            prop_assert!(!matches!(identity(2).read_greeting(&mut bytes), Ok(Greeting::Stream(..))));
        }

        #[test]
        fn random_bytes_are_never_taken(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
            let two = identity(2);
            prop_assert!(!matches!(two.read_greeting(&mut Input::from(tail.clone())), Ok(Greeting::Stream(..))));
            let (mut bytes, calling) = identity(1).call(2, 7);
            bytes.truncate(PREAMBLE);
            bytes.extend(&tail);
            prop_assert!(!matches!(two.read_greeting(&mut Input::from(bytes)), Ok(Greeting::Stream(..))));
            let mut answer = vec![STATUS_WELCOME];
            answer.extend(&tail);
            let mut answer = Input::from(answer);
            if Identity::has_answer(&answer) == Ok(true) {
                prop_assert!(identity(1).read_answer(calling, &mut answer).is_err());
            }
        }
    }
}
