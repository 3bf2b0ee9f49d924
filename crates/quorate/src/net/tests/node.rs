//! A node, and what is waited for of it.

use super::*;

pub(super) struct Node {
    pub(super) id: u16,
    pub(super) net: Net,
    pub(super) events: Receiver<NetEvent>,
}

impl Node {
    pub(super) fn start(config: NetConfig) -> Node {
        Node::start_with_queue(config, 100_000)
    }

    pub(super) fn start_with_queue(config: NetConfig, room: usize) -> Node {
        let (sender, events) = crossbeam_channel::bounded(room);
        let id = config.me;
        Node { id, net: Net::start(config, sender).unwrap(), events }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.net.handle().addresses()[0].address
    }

    pub(super) fn as_peer(&self) -> PeerConfig {
        PeerConfig { id: self.id, addresses: self.net.handle().addresses() }
    }

    pub(super) fn knows(&self, peers: &[&Node]) {
        let peers = peers.iter().map(|peer| peer.as_peer()).collect();
        self.net.handle().update_peers(peers).unwrap();
    }

    /// The first event that the function takes, and what it makes of it.
    pub(super) fn until<T>(&self, mut take: impl FnMut(&NetEvent) -> Option<T>) -> T {
        let limit = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        loop {
            match self.events.recv_deadline(limit) {
                Ok(event) => match take(&event) {
                    Some(taken) => return taken,
                    None => others.push(format!("{event:.200?}")),
                },
                Err(_) => panic!("node {} waited in vain; it saw {others:#?}", self.id),
            }
        }
    }

    pub(super) fn until_open(&self, with: u16) -> u64 {
        self.until(|event| match event {
            NetEvent::StreamOpened { peer, incarnation, .. } if *peer == with => Some(*incarnation),
            _ => None,
        })
    }

    pub(super) fn until_closed(&self, with: u16) -> Closed {
        self.until(|event| match event {
            NetEvent::StreamClosed { peer, how, .. } if *peer == with => Some(*how),
            _ => None,
        })
    }

    pub(super) fn until_refused(&self, by: u16) {
        self.until(|event| {
            matches!(event, NetEvent::StreamRefused { peer, .. } if *peer == by).then_some(())
        });
    }

    pub(super) fn until_failed(&self, why: DropReason) -> Option<u16> {
        self.until(|event| match event {
            NetEvent::HandshakeFailed { peer, reason, .. } if *reason == why => Some(*peer),
            _ => None,
        })
    }

    pub(super) fn until_dropped(&self, why: DropReason) {
        self.until(|event| {
            matches!(event, NetEvent::Dropped { reason, .. } if *reason == why).then_some(())
        });
    }

    pub(super) fn until_message(&self, from: u16) -> Vec<u8> {
        self.until(|event| match event {
            NetEvent::StreamMessage { peer, bytes, .. } if *peer == from => Some(bytes.clone()),
            _ => None,
        })
    }

    pub(super) fn until_datagram(&self, sender: u16) -> Vec<u8> {
        self.until(|event| match event {
            NetEvent::Datagram { from, bytes, .. } if *from == sender => Some(bytes.clone()),
            _ => None,
        })
    }

    pub(super) fn say(&self, to: u16, text: &str) {
        self.net.handle().send_stream(to, text.into()).unwrap();
    }
}

pub(super) fn pair_of(one: NetConfig, two: NetConfig) -> (Node, Node) {
    let (one, two) = (Node::start(one), Node::start(two));
    two.knows(&[&one]);
    one.knows(&[&two]);
    (one, two)
}

pub(super) fn open_pair() -> (Node, Node) {
    let (one, two) = pair_of(config(1, 10), config(2, 20));
    assert_eq!(one.until_open(2), 20);
    assert_eq!(two.until_open(1), 10);
    (one, two)
}
