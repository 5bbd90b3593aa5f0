//! A pipe's socket: opened, read into the core, written by the flusher.
//!
//! One task per connection. A connection that the core gives up is closed at once; its task finds its attempt gone and
//! ends. Io.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead as _, ReadBuf};

use super::{
    client_io::poll_write,
    shell::{Shell, State},
    socket::Socket,
};
use crate::traffic::{
    core::{Core, Fault, Lost},
    pipe::{
        PipeId,
        chunk::CHUNK,
        connect::{self, describe},
    },
};

/// Reads of one pipe before the others have their turn.
const READS_PER_POLL: usize = 4;

/// A pipe's socket.
#[derive(Debug)]
pub(super) struct PipeIo {
    attempt: u32,
    socket: Socket,
    /// Wakes its task.
    pub(super) waker: Option<Waker>,
    /// The socket takes no more bytes at the moment.
    blocked: bool,
}

/// Opens a pipe's connection and serves it until it is lost.
pub(super) async fn run(shell: Rc<Shell>, id: PipeId, attempt: u32) {
    let (node, db, proto, opening, limit) = {
        let mut state = shell.state.borrow_mut();
        let topology = std::sync::Arc::clone(&state.core.snapshot().topology);
        let limit = state.core.settings().pipe.connect_timeout;
        let (pipe, _) = state.core.pipe_out(id);
        (topology.node(pipe.node).clone(), pipe.db, pipe.proto, pipe.opening.clone(), limit)
    };
    let opened = tokio::time::timeout(limit, connect::open(&node, db, proto, opening.as_deref())).await;
    {
        let mut state = shell.state.borrow_mut();
        shell.set_now(&mut state);
        let connected = match opened {
            Ok(Ok((socket, greeting))) => {
                let connected = state.core.pipe_connected(id, attempt);
                if connected {
                    state.core.pipe_greeted(id, &greeting);
                    if state.pipes.len() <= id.index() {
                        state.pipes.resize_with(id.index() + 1, || None);
                    }
                    state.pipes[id.index()] = Some(PipeIo { attempt, socket, waker: None, blocked: false });
                    feed_early(&mut state.core, id, attempt, &greeting.early);
                }
                connected
            }
            Ok(Err(failure)) => {
                state.core.pipe_failed(id, attempt, failure.fault, &failure.why);
                false
            }
            Err(_) => {
                let why = format!("no answer to the connection attempt within {} ms", limit.as_millis());
                state.core.pipe_failed(id, attempt, Fault::Node, &why);
                false
            }
        };
        shell.settle(&mut state);
        if !connected {
            return;
        }
    }
    poll_fn(|cx| shell.poll_pipe(id, attempt, cx)).await;
}

/// Gives the core what came right behind the handshake.
fn feed_early(core: &mut Core, id: PipeId, attempt: u32, early: &[u8]) {
    for part in early.chunks(CHUNK) {
        let mut chunk = core.pool().take();
        if let Some(bytes) = Rc::get_mut(&mut chunk) {
            bytes[..part.len()].copy_from_slice(part);
        }
        let fed = core.feed_node(id, &chunk, part.len());
        core.pool().give(chunk);
        if let Err(nonsense) = fed {
            core.pipe_lost(id, attempt, &Lost::Broken(nonsense.to_string()));
        }
    }
}

impl Shell {
    /// Reads what a node sent; ready when the connection is over.
    fn poll_pipe(self: &Rc<Self>, id: PipeId, attempt: u32, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        self.set_now(state);
        let Some(io) = state.pipe_io(id).filter(|io| io.attempt == attempt) else { return Poll::Ready(()) };
        if io.waker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
            io.waker = Some(cx.waker().clone());
        }
        if io.blocked {
            Self::write_pipe(state, id);
        }
        // Writing may have failed, and the core given the connection up: not one more byte may be read from it.
        if state.core.pipe_out(id).0.attempt != attempt {
            self.settle(state);
            return Poll::Ready(());
        }
        let lost = Self::read_pipe(state, id, cx);
        if let Some(why) = &lost {
            state.core.pipe_lost(id, attempt, &Lost::Broken(why.clone()));
        }
        self.settle(state);
        if lost.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Reads as much as is there; says why, if the connection is over.
    fn read_pipe(state: &mut State, id: PipeId, cx: &mut Context<'_>) -> Option<String> {
        for _ in 0..READS_PER_POLL {
            let mut chunk = match state.chunk.take() {
                Some(chunk) => chunk,
                None => state.core.pool().take(),
            };
            // Only a chunk without references is ever kept, so this always succeeds.
            let Some(bytes) = Rc::get_mut(&mut chunk) else {
                state.core.pool().give(chunk);
                continue;
            };
            let Some(io) = state.pipes.get_mut(id.index()).and_then(Option::as_mut) else {
                state.chunk = Some(chunk);
                return None;
            };
            if state.core.pipe_out(id).0.attempt != io.attempt {
                // What was read last made the core give this connection up.
                state.chunk = Some(chunk);
                return None;
            }
            let mut buf = ReadBuf::new(bytes);
            let polled = Pin::new(&mut io.socket).poll_read(cx, &mut buf);
            let read = buf.filled().len();
            let over = match polled {
                Poll::Pending => {
                    state.chunk = Some(chunk);
                    return None;
                }
                Poll::Ready(Err(error)) => Some(describe(&error)),
                Poll::Ready(Ok(())) if read == 0 => Some("the node closed the connection".to_owned()),
                Poll::Ready(Ok(())) => {
                    state.core.feed_node(id, &chunk, read).err().map(|nonsense| nonsense.to_string())
                }
            };
            if Rc::strong_count(&chunk) == 1 {
                state.chunk = Some(chunk);
            } else {
                state.core.pool().give(chunk);
            }
            if over.is_some() {
                return over;
            }
        }
        cx.waker().wake_by_ref();
        None
    }

    /// Writes a pipe's requests as far as its socket takes them.
    pub(super) fn write_pipe(state: &mut State, id: PipeId) {
        let Some(io) = state.pipes.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let waker = io.waker.as_ref().unwrap_or(Waker::noop());
        let mut cx = Context::from_waker(waker);
        let (pipe, pool) = state.core.pipe_out(id);
        let mut wrote = 0;
        let mut failure = None;
        io.blocked = false;
        while !pipe.out.is_empty() {
            match poll_write(&mut io.socket, &pipe.out, &mut cx) {
                Poll::Ready(Ok(sent)) if sent > 0 => {
                    pipe.out.advance(sent, pool);
                    wrote += sent;
                }
                Poll::Ready(Ok(_)) => break,
                Poll::Ready(Err(error)) => {
                    failure = Some(describe(&error));
                    break;
                }
                Poll::Pending => {
                    io.blocked = true;
                    break;
                }
            }
        }
        let attempt = io.attempt;
        state.core.pipe_wrote(id, wrote);
        if let Some(why) = failure {
            state.core.pipe_lost(id, attempt, &Lost::Broken(why));
        }
    }
}

impl State {
    fn pipe_io(&mut self, id: PipeId) -> Option<&mut PipeIo> {
        self.pipes.get_mut(id.index())?.as_mut()
    }
}
