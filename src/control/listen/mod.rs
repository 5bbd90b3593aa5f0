//! Doors for clients: bound sockets, and the loop that accepts from them.
//!
//! An address of the configuration becomes one or more [`Door`]s ([`bind()`]); each has one [`accept`] loop, which hands
//! accepted sockets on and touches none of their bytes. There is one accepting thread and no SO_REUSEPORT: the fleet gives
//! a new client to the worker with the fewest, which the kernel's own spreading does not. Io.
//!
//! The loop survives every error: when the process is out of descriptors or memory, the clients wait in the kernel's
//! backlog and the loop tries again after [`PAUSE`]. It logs when such trouble begins and ends, not every time.
//! Dropping the loop's future closes the door and removes its unix socket. Bounded: by the backlog, and by the fleet's
//! limit of sessions.

mod bind;
mod socket_file;

use std::{
    io,
    net::TcpListener,
    os::unix::net::UnixListener,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::traffic::worker::Stream;
pub use bind::{BindError, Reason, bind, bind_tcp};
use socket_file::SocketFile;

/// How long accepting rests when the system cannot give another socket.
const PAUSE: Duration = Duration::from_millis(100);

/// After this long without a failure, trouble with accepting is over: one descriptor that becomes free is not its end.
const CALM: Duration = Duration::from_secs(1);

/// A bound, listening socket.
#[derive(Debug)]
pub struct Door {
    socket: Socket,
    /// The address as people write it, and as `laddr` of CLIENT LIST.
    name: String,
    /// Bound to all addresses of the machine: each accepted socket has its own local address.
    wildcard: bool,
    /// Removes the unix socket's file; after `socket` in drop order.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    /// The address it is bound to.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A [`Socket`] registered with the event loop.
enum Accepting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Accepting {
    fn from(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(listener) => Self::Tcp(tokio::net::TcpListener::from_std(listener)?),
            Socket::Unix(listener) => Self::Unix(tokio::net::UnixListener::from_std(listener)?),
        })
    }

    /// The next client, non-blocking and registered with no event loop. Cancel-safe, as tokio's `accept` is.
    async fn next(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await?.0.into_std().map(Stream::Tcp),
            Self::Unix(listener) => listener.accept().await?.0.into_std().map(Stream::Unix),
        }
    }
}

/// Accepts from `door` until dropped; each socket goes to `take`, non-blocking, with the local address it came to. Tries
/// that the system refused are counted in `failures`.
///
/// # Errors
/// Only if the socket cannot be registered with the event loop at all.
pub async fn accept(door: Door, failures: &AtomicU64, take: impl Fn(Stream, String)) -> io::Result<()> {
    let Door { socket, name, wildcard, _file } = door;
    let accepting = Accepting::from(socket)?;
    let mut trouble = Trouble::default();
    loop {
        match accepting.next().await {
            Ok(stream) => {
                trouble.over(&name);
                let local = if wildcard { local_address(&stream) } else { None };
                take(stream, local.unwrap_or_else(|| name.clone()));
            }
            // The client has gone again, or a signal came: no state of ours.
            Err(error) if is_about_one_client(&error) => {}
            Err(error) => {
                failures.fetch_add(1, Relaxed);
                trouble.met(&name, &error);
                sleep(PAUSE).await;
            }
        }
    }
}

/// Whether `accept(2)` failed for the client at the head of the queue only.
fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable,
        PermissionDenied,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
    )
}

fn local_address(stream: &Stream) -> Option<String> {
    match stream {
        Stream::Tcp(stream) => stream.local_addr().ok().map(|address| address.to_string()),
        Stream::Unix(_) => None,
    }
}

/// One log line when accepting begins to fail and one when it has worked again for [`CALM`].
#[derive(Default)]
struct Trouble {
    last: Option<Instant>,
}

impl Trouble {
    fn met(&mut self, name: &str, error: &io::Error) {
        if self.last.is_none() {
            tracing::warn!(address = %name, why = %error, "cannot accept clients; they wait, and it is tried again");
        }
        self.last = Some(Instant::now());
    }

    fn over(&mut self, name: &str) {
        if self.last.is_some_and(|last| last.elapsed() > CALM) {
            tracing::info!(address = %name, "accepting clients again");
            self.last = None;
        }
    }
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
