//! Datagrams and streams between processes.

use quorate_core::Event;
use quorate_core::event::StreamEnd;
use quorate_core::id::{NodeId, PathId};
use quorate_core::message::{Beat, Message};

use super::World;
use super::processes::Death;
use crate::chance;
use crate::clock::Moment;
use crate::network::End;
use crate::schedule::Happening;

impl World {
    /// A datagram arrives, unless the link was cut behind it or nobody listens.
    pub(super) fn datagram(&mut self, from: NodeId, to: NodeId, path: PathId, beat: Beat) {
        if self.links.is_mute(from, to, path) {
            return;
        }
        if self.links.corrupts(&mut self.random) {
            self.stats.corrupted += 1;
            return;
        }
        if let Some(life) = self.host(to).process.as_ref().map(|process| process.life) {
            self.deliver(to, life, Event::Beat { from, path, beat });
        }
    }

    /// Puts a message on the stream, if there is one.
    pub(super) fn send_message(&mut self, from: NodeId, to: NodeId, message: Message) {
        let delay = self.links.delay(&mut self.random);
        if let Some((end, at)) = self.streams.send((from, to), message, self.now, delay) {
            self.schedule.at(at, Happening::Arrival(end));
        }
    }

    /// Lets a pair try to get a stream, again and again until it has one.
    pub(super) fn begin_attempts(&mut self, one: NodeId, other: NodeId) {
        if self.streams.begin_attempts(one, other) {
            let delay = chance::micros(&mut self.random, 200, 20_000);
            self.after(delay, Happening::Attempt(one, other));
        }
    }

    /// One attempt.
    pub(super) fn attempt(&mut self, one: NodeId, other: NodeId) {
        if self.streams.between(one, other).is_some_and(|stream| stream.is_whole()) {
            self.streams.end_attempts(one, other);
            return;
        }
        if self.members.is_outside(one) || self.members.is_outside(other) {
            self.streams.end_attempts(one, other);
            return;
        }
        let awake = [one, other].map(|node| self.hosts[&node].is_awake());
        let path = self.links.paths().find(|&path| self.links.is_open(one, other, path));
        match (path, awake) {
            (Some(_), [true, true]) if self.are_linked(one, other) => {
                let serial = self.streams.next_serial();
                let delay = chance::micros(&mut self.random, 200, 4_000);
                self.after(delay, Happening::Handshake(one, other, serial));
                return;
            }
            (Some(_), [true, false]) => self.refuse(one, other),
            (Some(_), [false, true]) => self.refuse(other, one),
            (Some(_), [true, true] | [false, false]) | (None, _) => {}
        }
        self.attempt_again(one, other);
    }

    fn attempt_again(&mut self, one: NodeId, other: NodeId) {
        let delay = chance::millis(&mut self.random, 10, 100);
        self.after(delay, Happening::Attempt(one, other));
    }

    /// The host of `absent` answers that nothing listens there, if it does and nothing does.
    fn refuse(&mut self, asking: NodeId, absent: NodeId) {
        let host = &self.hosts[&absent];
        if host.up && host.process.is_none() && host.handover.is_none() {
            let life = self.hosts[&asking].lives;
            self.deliver(asking, life, Event::StreamRefused { node: absent });
        }
    }

    /// A handshake is through: the stream stands, and an older one of the pair is gone.
    pub(super) fn handshake(&mut self, one: NodeId, other: NodeId, serial: u64) {
        let awake = [one, other].iter().all(|node| self.hosts[node].is_awake());
        let path = self.links.paths().find(|&path| self.links.is_open(one, other, path));
        let Some(path) = path.filter(|_| awake && self.are_linked(one, other)) else {
            self.attempt_again(one, other);
            return;
        };
        for (node, peer) in [(one, other), (other, one)] {
            let serial = self.streams.between(node, peer).map(|stream| stream.serial);
            if let Some(serial) = serial {
                self.close_end(End { node, peer, serial }, StreamEnd::TimedOut);
            }
        }
        let ends = [(one, other), (other, one)].map(|(node, peer)| {
            let at = self.now + chance::micros(&mut self.random, 1, 500);
            let peer_boot = self.hosts[&peer].boot;
            let host = &self.hosts[&node];
            let event = Event::StreamOpened { node: peer, boot: peer_boot };
            self.schedule.at(at, Happening::Event(node, host.lives, Box::new(event)));
            (node, host.lives, host.boot, at)
        });
        self.streams.open(serial, path, ends);
        self.streams.end_attempts(one, other);
    }

    /// Messages that have arrived are read.
    pub(super) fn arrival(&mut self, end: End) {
        let life = self.hosts[&end.node].lives;
        let now = self.now;
        for message in self.streams.arrived(end, now) {
            if self.links.corrupts(&mut self.random) {
                return self.stream_corrupt(end);
            }
            self.deliver(end.node, life, Event::Message { from: end.peer, message });
        }
    }

    /// A message that is not what its sender sealed: whoever reads it closes the stream, and the other end hears of
    /// it from this one's kernel.
    fn stream_corrupt(&mut self, end: End) {
        self.stats.corrupted += 1;
        let delay = chance::micros(&mut self.random, 50, 2_000);
        self.after(delay, Happening::Closed(end.other(), StreamEnd::Reset));
        self.close_end(end, StreamEnd::TimedOut);
    }

    /// An end has heard nothing for too long.
    pub(super) fn silence(&mut self, end: End, silence: u64) {
        if self.streams.of(end).is_some_and(|stream| stream.silence == silence) {
            self.close_end(end, StreamEnd::TimedOut);
        }
    }

    /// The other end is closed, and its kernel says so, if the way is open.
    pub(super) fn closed(&mut self, end: End, how: StreamEnd) {
        let Some(stream) = self.streams.of(end) else { return };
        if stream.is_silent {
            return;
        }
        self.arrival(end);
        self.close_end(end, how);
    }

    /// Closes one end and tells its process; the pair tries again.
    fn close_end(&mut self, end: End, how: StreamEnd) {
        let Some(stream) = self.streams.of(end) else { return };
        let boot = stream.side(end.peer, end.node).boot;
        let side = stream.side(end.node, end.peer);
        if !side.open {
            return;
        }
        side.open = false;
        side.drop_inbound();
        let life = side.life;
        self.stats.broken_streams += 1;
        self.deliver(end.node, life, Event::StreamClosed { node: end.peer, boot, how });
        self.begin_attempts(end.node, end.peer);
    }

    /// The ends that a process held are closed by its kernel, or fall silent with its host.
    pub(super) fn close_streams(&mut self, node: NodeId, life: u64, death: Death) {
        let mut ends: Vec<(End, Moment)> = Vec::new();
        for ((one, other), stream) in self.streams.all() {
            if one != node && other != node {
                continue;
            }
            let peer = if one == node { other } else { one };
            let serial = stream.serial;
            let own = stream.side(node, peer);
            if own.life != life || !own.open {
                continue;
            }
            own.open = false;
            own.drop_inbound();
            let last = stream.side(peer, node).last_arrival();
            ends.push((End { node: peer, peer: node, serial }, last));
        }
        for (end, last) in ends {
            match death.stream_end() {
                Some(how) => {
                    let delay = chance::micros(&mut self.random, 50, 2_000);
                    let at = (self.now + delay).max(last);
                    self.schedule.at(at, Happening::Closed(end, how));
                }
                None => self.begin_silence(end.node, end.peer),
            }
        }
    }

    /// Breaks the stream of a pair though both live.
    pub(super) fn reset_stream(&mut self, one: NodeId, other: NodeId) {
        let Some(serial) = self.streams.between(one, other).map(|stream| stream.serial) else {
            return;
        };
        let end = End { node: one, peer: other, serial };
        self.close_end(end, StreamEnd::Reset);
        self.close_end(end.other(), StreamEnd::Reset);
    }

    /// An end has nothing more to say to the other, and says so.
    pub(super) fn part(&mut self, node: NodeId, peer: NodeId) {
        let Some(serial) = self.streams.between(node, peer).map(|stream| stream.serial) else {
            return;
        };
        let end = End { node, peer, serial };
        let delay = chance::micros(&mut self.random, 50, 2_000);
        self.after(delay, Happening::Closed(end.other(), StreamEnd::Goodbye));
        self.close_end(end, StreamEnd::Goodbye);
    }

    fn begin_silence(&mut self, one: NodeId, other: NodeId) {
        let timing = self.config.timing();
        let (least, most) = (timing.interval * 4, timing.detect * 2);
        let Some(stream) = self.streams.between(one, other).filter(|stream| !stream.is_silent)
        else {
            return;
        };
        stream.is_silent = true;
        stream.silence += 1;
        let (serial, silence) = (stream.serial, stream.silence);
        for (node, peer) in [(one, other), (other, one)] {
            let span = most.saturating_sub(least);
            let wait = least + chance::percent_of(&mut self.random, span, 0, 100);
            self.after(wait, Happening::Silence(End { node, peer, serial }, silence));
        }
    }

    fn end_silence(&mut self, one: NodeId, other: NodeId) {
        let Some(stream) = self.streams.between(one, other) else { return };
        stream.is_silent = false;
        stream.silence += 1;
        let serial = stream.serial;
        for (node, peer) in [(one, other), (other, one)] {
            let end = End { node, peer, serial };
            let delay = chance::micros(&mut self.random, 500, 20_000);
            // An end whose other end is closed learns it now, after what was on its way.
            let lost = self.streams.of(end).is_some_and(|s| !s.side(peer, node).open);
            let next = if lost {
                Happening::Closed(end, StreamEnd::Reset)
            } else {
                Happening::Arrival(end)
            };
            self.after(delay, next);
        }
    }

    /// Links were cut or mended: streams on them fall silent or go on.
    pub(super) fn links_changed(&mut self) {
        let mut changed = Vec::new();
        for ((one, other), stream) in self.streams.all() {
            let powered = self.hosts[&one].up && self.hosts[&other].up;
            let open = powered && self.links.is_open(one, other, stream.path);
            if open == stream.is_silent {
                changed.push((one, other, open));
            }
        }
        for (one, other, open) in changed {
            if open { self.end_silence(one, other) } else { self.begin_silence(one, other) }
        }
    }
}
