//! From an address of the configuration to listening sockets.
//!
//! A host name gives one socket per address that it resolves to; those the machine does not have are left out as long as
//! one remains (`localhost` on a machine without IPv6). IPv6 sockets take IPv6 only, so that `0.0.0.0` and `[::]` can
//! stand side by side and mean the same everywhere. Every error names the address and the cure. Io.

use std::{
    fmt, io,
    net::{SocketAddr, ToSocketAddrs},
};

use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};

use super::{Door, Socket, SocketFile};
use crate::traffic::route::Address;

/// Connections that the kernel keeps for us until they are accepted; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

/// An address that cannot be listened on. Its Display is one line with the cure.
#[derive(Debug)]
pub struct BindError {
    /// The address as it was configured.
    pub address: String,
    /// Why.
    pub reason: Reason,
}

/// Why an address cannot be listened on.
#[derive(Debug)]
pub enum Reason {
    /// Somebody else listens there.
    Taken,
    /// The host name has no address.
    Unresolved(io::Error),
    /// The machine has no such address.
    NotOurs,
    /// A port below 1024, or a directory, that this user may not use.
    Forbidden,
    /// The path exists and is no socket.
    NoSocket,
    /// Anything else that the system said.
    Other(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.address)?;
        match &self.reason {
            Reason::Taken => f.write_str("it is taken by another process; stop that process or choose another address"),
            Reason::Unresolved(error) => write!(f, "the name does not resolve ({error}); use an IP address"),
            Reason::NotOurs => f.write_str("this machine has no such address; use 0.0.0.0, [::] or one of its own"),
            Reason::Forbidden => {
                f.write_str("this user may not; choose a port above 1023, or a directory that it may write")
            }
            Reason::NoSocket => f.write_str("the file exists and is no socket; remove it or choose another path"),
            Reason::Other(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for BindError {}

impl Reason {
    /// What the system meant.
    pub(super) fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::Taken,
            io::ErrorKind::AddrNotAvailable => Self::NotOurs,
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ => Self::Other(error),
        }
    }
}

/// Binds `address` and listens on it; `socket_mode` are the permission bits of a unix socket.
///
/// # Errors
/// If no socket can be bound; nothing is left behind then.
pub fn bind(address: &Address, socket_mode: u32) -> Result<Vec<Door>, BindError> {
    let at = |reason| BindError { address: address.to_string(), reason };
    match address {
        Address::Unix(path) => {
            let (listener, file) = SocketFile::bind(path, socket_mode, BACKLOG).map_err(at)?;
            let name = format!("{}:0", path.display());
            Ok(vec![Door { socket: Socket::Unix(listener), name, wildcard: false, _file: Some(file) }])
        }
        Address::Tcp { host, port } => tcp_doors(host, *port).map_err(at),
    }
}

/// Binds the first address that `host` resolves to and that can be bound, for a single listener such as the admin's.
///
/// # Errors
/// If none can be bound.
pub fn bind_tcp(host: &str, port: u16) -> Result<std::net::TcpListener, BindError> {
    let address = || Address::Tcp { host: host.to_owned(), port }.to_string();
    let doors = tcp_doors(host, port).map_err(|reason| BindError { address: address(), reason })?;
    doors
        .into_iter()
        .find_map(|door| match door.socket {
            Socket::Tcp(listener) => Some(listener),
            Socket::Unix(_) => None,
        })
        .ok_or_else(|| BindError { address: address(), reason: Reason::NotOurs })
}

fn tcp_doors(host: &str, port: u16) -> Result<Vec<Door>, Reason> {
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(Reason::Unresolved)?.collect();
    addresses.sort();
    addresses.dedup();
    let mut doors = Vec::with_capacity(addresses.len());
    let mut missing = None;
    for address in addresses {
        match listen(address) {
            Ok(door) => doors.push(door),
            Err(error) if is_missing(&error) => missing = Some(error),
            Err(error) => return Err(Reason::of(error)),
        }
    }
    if doors.is_empty() { Err(missing.map_or(Reason::NotOurs, Reason::of)) } else { Ok(doors) }
}

/// Whether the machine lacks the address, or its whole family.
fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn listen(address: SocketAddr) -> io::Result<Door> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the old connections' TIME_WAIT; a socket that listens is refused all the same.
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = std::net::TcpListener::from(socket);
    let bound = listener.local_addr()?;
    let wildcard = bound.ip().is_unspecified();
    Ok(Door { socket: Socket::Tcp(listener), name: bound.to_string(), wildcard, _file: None })
}
