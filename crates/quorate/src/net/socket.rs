//! The sockets of a node: made here, non-blocking, closed to child processes.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::config::{NetError, PathAddress};

/// So many connections may wait to be accepted.
const BACKLOG: i32 = 256;
/// Room for the heartbeats that come in while this thread is held up.
const DATAGRAM_BUFFER: usize = 4 * 1024 * 1024;
/// How often a free port is looked for that both protocols can have.
const PORT_TRIES: usize = 32;

/// The sockets of one network.
pub(super) struct PathSockets {
    pub(super) path: u8,
    /// The port is the one that was taken, where any was asked for.
    pub(super) address: SocketAddr,
    pub(super) datagrams: UdpSocket,
    pub(super) listener: TcpListener,
}

/// Binds one port number for both protocols.
pub(super) fn bind(path: &PathAddress) -> Result<PathSockets, NetError> {
    let mut tries = if path.address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let listener = listen(path.address)?;
        let address = listener.local_addr().map_err(|source| NetError::Io {
            doing: format!("read the port of {}", path.address),
            source,
        })?;
        match bind_datagrams(address) {
            Ok(datagrams) => {
                return Ok(PathSockets { path: path.path, address, datagrams, listener });
            }
            Err(NetError::PortInUse { .. }) if tries > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

/// Begins to connect to a peer, from our own address on that network.
pub(super) fn connect(from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if !from.ip().is_unspecified() && from.is_ipv4() == to.is_ipv4() {
        socket.bind(&SockAddr::from(SocketAddr::new(from.ip(), 0)))?;
    }
    match socket.connect(&SockAddr::from(to)) {
        Ok(()) => {}
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

/// No waiting to fill a packet; an end when the peer acknowledges nothing for `timeout`.
pub(super) fn prepare_stream(stream: &mio::net::TcpStream, timeout: Duration) -> io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(timeout))
}

fn listen(address: SocketAddr) -> Result<TcpListener, NetError> {
    let make = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Connections of an earlier run may linger; a listener of another process still refuses us.
        socket.set_reuse_address(true)?;
        prepare(&socket, address)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    make().map_err(|source| refused(address, "TCP", source))
}

fn bind_datagrams(address: SocketAddr) -> Result<UdpSocket, NetError> {
    let make = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        prepare(&socket, address)?;
        // The kernel grants less where its own limit is lower.
        let _ = socket.set_recv_buffer_size(DATAGRAM_BUFFER);
        Ok(socket.into())
    };
    make().map_err(|source| refused(address, "UDP", source))
}

fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(address))
}

fn refused(address: SocketAddr, protocol: &'static str, source: io::Error) -> NetError {
    match source.kind() {
        io::ErrorKind::AddrInUse => NetError::PortInUse { address, protocol },
        io::ErrorKind::AddrNotAvailable => NetError::NoSuchAddress { address },
        io::ErrorKind::PermissionDenied => NetError::NotPermitted { address, protocol },
        _ => NetError::Io { doing: format!("bind {protocol} {address}"), source },
    }
}
