//! A TCP wire between an initiator and a target that a test can cut, hold and heal.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Whole,
    /// Bytes wait; nothing is lost, nobody is told: as a port that is down for a while.
    Held,
    /// Connections are reset, and so are new ones.
    Cut,
    /// The proxy is at its end.
    Ended,
}

#[derive(Debug)]
struct State {
    wire: Wire,
    /// Whoever says this is cut off.
    outcast: Vec<u8>,
    streams: Vec<TcpStream>,
    pumps: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Listens on 127.0.0.1 and passes everything on to one address.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a whole wire to `target`.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = State {
            wire: Wire::Whole,
            outcast: Vec::new(),
            streams: Vec::new(),
            pumps: Vec::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let accept = std::thread::spawn(move || accept(&listener, target, &theirs));
        Ok(Self { address, shared, accept: Some(accept) })
    }

    /// What to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection, now and until `heal`.
    pub fn cut(&self) {
        self.set(Wire::Cut);
    }

    /// Resets every connection; whoever says `word` when he comes again, as in the name of an initiator, is turned away
    /// until `heal`.
    pub fn cut_off(&self, word: &str) {
        self.shared.state.lock().outcast = word.as_bytes().to_vec();
        self.set(Wire::Cut);
        self.set(Wire::Whole);
    }

    /// Holds every byte back until `heal`; connections stay.
    pub fn hold(&self) {
        self.set(Wire::Held);
    }

    /// Makes the wire whole; what was held goes on.
    pub fn heal(&self) {
        self.shared.state.lock().outcast.clear();
        self.set(Wire::Whole);
    }

    fn set(&self, wire: Wire) {
        let mut state = self.shared.state.lock();
        state.wire = wire;
        if matches!(wire, Wire::Cut | Wire::Ended) {
            for stream in state.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Wire::Ended);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(accept) = self.accept.take() {
            let _ = accept.join();
        }
        let pumps = std::mem::take(&mut self.shared.state.lock().pumps);
        for pump in pumps {
            let _ = pump.join();
        }
    }
}

fn accept(listener: &TcpListener, target: SocketAddr, shared: &Arc<Shared>) {
    while let Ok((client, _)) = listener.accept() {
        let wire = shared.state.lock().wire;
        match wire {
            Wire::Ended => return,
            Wire::Cut => continue,
            Wire::Whole | Wire::Held => {}
        }
        let Ok(server) = TcpStream::connect_timeout(&target, Duration::from_secs(1)) else {
            continue;
        };
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
            let _ = from.set_nodelay(true);
            let theirs = Arc::clone(shared);
            let mut state = shared.state.lock();
            if let Ok(stream) = from.try_clone() {
                state.streams.push(stream);
            }
            state.pumps.push(std::thread::spawn(move || pump(from, to, &theirs)));
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut state = shared.state.lock();
        while state.wire == Wire::Held {
            shared.changed.wait(&mut state);
        }
        let is_outcast = !state.outcast.is_empty()
            && buffer[..count].windows(state.outcast.len()).any(|part| part == state.outcast);
        let passes = state.wire == Wire::Whole && !is_outcast;
        drop(state);
        if !passes || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
