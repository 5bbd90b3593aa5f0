//! A session's socket: read into the core, written by the flusher.
//!
//! One task per session; it polls its socket and keeps nothing. Reads per poll are bounded, so that one busy client does
//! not keep the others waiting. Io.

use std::{
    io::IoSlice,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::{
    mailbox::Stream,
    shell::{Shell, State},
    socket::Socket,
};
use crate::traffic::{
    client::{ClientKey, Record},
    counters::Closed,
    outbox::{MAX_SLICES, Outbox},
};

/// Reads of one session before the others have their turn.
const READS_PER_POLL: usize = 4;

/// A session's socket.
#[derive(Debug)]
pub(super) struct ClientIo {
    generation: u32,
    socket: Socket,
    /// Wakes its task.
    pub(super) waker: Option<Waker>,
    /// The core lets it go on after a pause.
    pub(super) resume: bool,
    /// The socket takes no more bytes at the moment.
    blocked: bool,
}

impl State {
    /// The socket of `key`.
    #[inline]
    pub(super) fn client_io(&mut self, key: ClientKey) -> Option<&mut ClientIo> {
        self.clients.get_mut(key.index as usize)?.as_mut().filter(|io| io.generation == key.generation)
    }
}

impl Shell {
    /// Takes a new connection in.
    pub(super) fn add_client(self: &Rc<Self>, state: &mut State, stream: Stream, local: String) {
        let (socket, addr) = match adopt(stream, &local) {
            Ok(adopted) => adopted,
            Err(error) => {
                self.shared.sessions[self.index].fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
                return tracing::debug!(%error, "a connection was gone before it was served");
            }
        };
        let now_us = self.shared.zero.elapsed().as_micros() as u64;
        let id = self.shared.registry.next_id();
        let mut record = Record::new(id, addr, local.into(), self.index, now_us);
        record.fd = socket.descriptor();
        let key = state.core.add_client(Arc::new(record));
        let index = key.index as usize;
        if state.clients.len() <= index {
            state.clients.resize_with(index + 1, || None);
        }
        state.clients[index] =
            Some(ClientIo { generation: key.generation, socket, waker: None, resume: false, blocked: false });
        let shell = Rc::clone(self);
        tokio::task::spawn_local(std::future::poll_fn(move |cx| shell.poll_client(key, cx)));
    }

    /// Reads what a session's client sent; ready when the session is over.
    fn poll_client(self: &Rc<Self>, key: ClientKey, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        self.set_now(state);
        let Some(io) = state.client_io(key) else { return Poll::Ready(()) };
        if io.waker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
            io.waker = Some(cx.waker().clone());
        }
        let (resume, blocked) = (std::mem::take(&mut io.resume), io.blocked);
        if blocked {
            Self::write_client(state, key);
        }
        if resume {
            state.core.resume_client(key);
        }
        Self::read_client(state, key, cx);
        self.settle(state);
        if state.client_io(key).is_some() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn read_client(state: &mut State, key: ClientKey, cx: &mut Context<'_>) {
        for _ in 0..READS_PER_POLL {
            if !state.core.wants_input(key) {
                return;
            }
            let Some(io) = state.clients.get_mut(key.index as usize).and_then(Option::as_mut) else { return };
            let mut buf = ReadBuf::new(&mut state.buffer);
            match Pin::new(&mut io.socket).poll_read(cx, &mut buf) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return state.core.client_ended(key),
                Poll::Ready(Ok(())) => {
                    let read = buf.filled().len();
                    state.core.feed_client(key, &state.buffer[..read]);
                }
                Poll::Ready(Err(_)) => return state.core.drop_client(key, Closed::ByClient),
            }
        }
        // More may be there; the others first.
        cx.waker().wake_by_ref();
    }

    /// Writes a session's replies as far as its socket takes them.
    pub(super) fn write_client(state: &mut State, key: ClientKey) {
        let Some(io) = state.clients.get_mut(key.index as usize).and_then(Option::as_mut) else { return };
        if io.generation != key.generation {
            return;
        }
        let waker = io.waker.as_ref().unwrap_or(Waker::noop());
        let mut cx = Context::from_waker(waker);
        let Some((client, pool)) = state.core.client_out(key) else { return };
        let mut wrote = 0;
        let mut failed = false;
        io.blocked = false;
        while !client.out.is_empty() {
            match poll_write(&mut io.socket, &client.out, &mut cx) {
                Poll::Ready(Ok(sent)) if sent > 0 => {
                    client.out.advance(sent, pool);
                    wrote += sent;
                }
                Poll::Ready(_) => {
                    failed = true;
                    break;
                }
                Poll::Pending => {
                    io.blocked = true;
                    break;
                }
            }
        }
        state.core.client_wrote(wrote);
        if failed {
            state.core.drop_client(key, Closed::ByClient);
        } else {
            state.core.settle_client(key);
        }
    }
}

/// Writes the front of `out` in one system call.
#[inline]
pub(super) fn poll_write(socket: &mut Socket, out: &Outbox, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
    if let Some(bytes) = out.plain() {
        return Pin::new(socket).poll_write(cx, bytes);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let used = out.slices(&mut slices);
    Pin::new(socket).poll_write_vectored(cx, &slices[..used])
}

/// Makes a connection the worker's own; also the client's address as CLIENT LIST shows it.
fn adopt(stream: Stream, local: &str) -> std::io::Result<(Socket, String)> {
    match stream {
        Stream::Tcp(stream) => {
            let addr = stream.peer_addr()?.to_string();
            Ok((Socket::tcp(tokio::net::TcpStream::from_std(stream)?), addr))
        }
        // Clients of a unix socket have no address; Redis shows the socket's.
        Stream::Unix(stream) => Ok((Socket::Unix(tokio::net::UnixStream::from_std(stream)?), local.to_owned())),
    }
}
