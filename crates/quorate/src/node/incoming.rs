//! From what the network delivers to what the engine understands; the rest is dropped and counted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use quorate_core::codec::{self, CodecError};
use quorate_core::event::{Event, StreamEnd};
use quorate_core::id::{NodeId, PathId};
use quorate_core::message::{Beat, Message};
use serde::de::DeserializeOwned;

use super::tell::{Fields, Names, notice};
use crate::net::{Closed, DropReason, NetEvent};
use crate::notice::{Notice, NoticeKind};

/// What an event of the network is.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// For the engine.
    Event(Event),
    /// For the host.
    Notice(Notice),
    /// Counted.
    Nothing,
    /// The network thread is gone: this node cannot go on.
    Failed(String),
}

/// How soon the same refusal of a connection is told again.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(60);
/// Most refusals that are remembered.
const REFUSALS_MAX: usize = 256;

/// What was dropped here, by reason. The network counts its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drops(pub(crate) BTreeMap<&'static str, u64>);

impl Drops {
    pub(crate) fn count(&mut self, reason: &'static str) {
        *self.0.entry(reason).or_default() += 1;
    }
}

/// Which refusals of connections were told, and when: a peer with a wrong key calls every second.
#[derive(Debug, Default)]
pub(crate) struct Refusals(BTreeMap<(Option<u16>, IpAddr, DropReason), Instant>);

impl Refusals {
    fn is_new(&mut self, peer: Option<u16>, address: IpAddr, reason: DropReason) -> bool {
        let now = Instant::now();
        self.0.retain(|_, told| now.duration_since(*told) < REFUSAL_INTERVAL);
        let key = (peer, address, reason);
        let is_new = !self.0.contains_key(&key) && self.0.len() < REFUSALS_MAX;
        if is_new {
            self.0.insert(key, now);
        }
        is_new
    }
}

pub(crate) fn incoming(
    event: NetEvent,
    names: &Names<'_>,
    drops: &mut Drops,
    refusals: &mut Refusals,
) -> Incoming {
    let event = match event {
        NetEvent::Datagram { from, path, incarnation, bytes, .. } => {
            let Some(beat) = decoded::<Beat>(&bytes, drops) else { return Incoming::Nothing };
            if beat.incarnation.boot != incarnation {
                drops.count("beat_of_another_boot");
                return Incoming::Nothing;
            }
            Event::Beat { from: NodeId(from), path: PathId(path), beat }
        }
        NetEvent::StreamMessage { peer, bytes, .. } => {
            let Some(message) = decoded::<Message>(&bytes, drops) else { return Incoming::Nothing };
            Event::Message { from: NodeId(peer), message }
        }
        NetEvent::StreamOpened { peer, incarnation, .. } => {
            Event::StreamOpened { node: NodeId(peer), boot: incarnation }
        }
        NetEvent::StreamClosed { peer, incarnation, how } => {
            Event::StreamClosed { node: NodeId(peer), boot: incarnation, how: ended(how) }
        }
        NetEvent::StreamRefused { peer, .. } => Event::StreamRefused { node: NodeId(peer) },
        NetEvent::HandshakeFailed { address, peer, reason } => {
            if !refusals.is_new(peer, address.ip(), reason) {
                return Incoming::Nothing;
            }
            let peer = peer.map(|peer| names.node(NodeId(peer)));
            return Incoming::Notice(refused(&address.to_string(), peer, reason));
        }
        NetEvent::Failed { why } => return Incoming::Failed(why),
        // The network's own counts are read with the status.
        _ => return Incoming::Nothing,
    };
    Incoming::Event(event)
}

fn decoded<T: DeserializeOwned>(bytes: &[u8], drops: &mut Drops) -> Option<T> {
    codec::decode(bytes)
        .map_err(|error| {
            drops.count(match error {
                CodecError::Version(_) => "body_of_another_version",
                CodecError::Empty | CodecError::Malformed | CodecError::Trailing(_) => {
                    "body_malformed"
                }
            });
        })
        .ok()
}

fn ended(how: Closed) -> StreamEnd {
    match how {
        Closed::Goodbye(_) => StreamEnd::Goodbye,
        Closed::Reset | Closed::Eof => StreamEnd::Reset,
        // None of these says that the process has died.
        Closed::TimedOut | Closed::Lost | Closed::Superseded | Closed::Corrupt => {
            StreamEnd::TimedOut
        }
    }
}

fn refused(address: &str, peer: Option<String>, reason: DropReason) -> Notice {
    let who =
        peer.as_ref().map_or_else(|| address.to_owned(), |peer| format!("{peer} at {address}"));
    let (word, why) = match reason {
        DropReason::WrongKey => {
            ("wrong_key", "it has another cluster key: give both nodes the same key file")
        }
        DropReason::WrongCluster => {
            ("wrong_cluster", "it belongs to another cluster: compare cluster.id and the addresses")
        }
        DropReason::WrongVersion => {
            ("wrong_version", "it speaks another version of the protocol: update one of them")
        }
        DropReason::NotForMe => {
            ("not_for_me", "it takes us for another node: compare the addresses of the nodes")
        }
        DropReason::UnknownPeer => {
            ("unknown_peer", "one of us is not in the other's cluster.toml: compare the files")
        }
        DropReason::OldIncarnation => {
            ("old_incarnation", "a newer run of that node is connected: is it started twice?")
        }
        other => return other_refusal(&who, peer, address, other),
    };
    connection_refused(&who, peer, address, word, why)
}

fn other_refusal(who: &str, peer: Option<String>, address: &str, reason: DropReason) -> Notice {
    connection_refused(who, peer, address, drop_word(reason), "the connection did not come about")
}

fn connection_refused(
    who: &str,
    peer: Option<String>,
    address: &str,
    word: &str,
    why: &str,
) -> Notice {
    let fields = Fields::default().with("address", address).with("node", peer).with("reason", word);
    notice(NoticeKind::ConnectionRefused, format!("no connection with {who}: {why}"), fields)
}

/// A reason as one word.
pub(crate) fn drop_word(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Malformed => "malformed",
        DropReason::TooLong => "too_long",
        DropReason::WrongVersion => "wrong_version",
        DropReason::WrongCluster => "wrong_cluster",
        DropReason::WrongKey => "wrong_key",
        DropReason::NotForMe => "not_for_me",
        DropReason::UnknownPeer => "unknown_peer",
        DropReason::WrongPath => "wrong_path",
        DropReason::OldIncarnation => "old_incarnation",
        DropReason::Replayed => "replayed",
        DropReason::WrongRole => "wrong_role",
        DropReason::HandshakeTimedOut => "handshake_timed_out",
        DropReason::TooManyHalfOpen => "too_many_half_open",
        DropReason::ReaderBusy => "reader_busy",
        DropReason::QueueFull => "queue_full",
        DropReason::NotConnected => "not_connected",
        DropReason::SendFailed => "send_failed",
        DropReason::NotProved => "not_proved",
    }
}

/// A reason of the engine as one word.
pub(crate) fn engine_drop_word(reason: quorate_core::notice::DropReason) -> &'static str {
    use quorate_core::notice::DropReason as Engine;
    match reason {
        Engine::StaleIncarnation => "engine_stale_incarnation",
        Engine::StaleAnswer => "engine_stale_answer",
        Engine::UnknownVoter => "engine_unknown_voter",
        Engine::Misrouted => "engine_misrouted",
        Engine::Malformed => "engine_malformed",
    }
}
