//! A TCP relay in front of a node, that can hold what flows through it, slow it down, or cut it.
//!
//! ```text
//!  Circlet ──► [requests] ──► node          replies stop at their valve while held, those of new connections too;
//!          ◄── [replies]  ◄──               requests stop at theirs only on connections that were there when it closed
//! ```

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use super::port::Port;

/// Lets bytes of one direction pass, or holds them.
#[derive(Debug, Default)]
struct Valve {
    /// Connections with a smaller number are held.
    below: Mutex<usize>,
    opened: Condvar,
    /// Bytes that wait behind the valve.
    waiting: AtomicUsize,
}

impl Valve {
    fn close(&self, below: usize) {
        *self.below.lock().unwrap() = below;
    }

    fn open(&self) {
        self.close(0);
        self.opened.notify_all();
    }

    /// Waits while `connection` is held.
    fn pass(&self, connection: usize, bytes: usize) {
        self.waiting.fetch_add(bytes, SeqCst);
        let below = self.below.lock().unwrap();
        drop(self.opened.wait_while(below, |below| connection < *below).unwrap());
        self.waiting.fetch_sub(bytes, SeqCst);
    }
}

#[derive(Debug, Default)]
struct Shared {
    requests: Valve,
    replies: Valve,
    ended: AtomicBool,
    refusing: AtomicBool,
    /// What every read is delivered later, in microseconds.
    delay: AtomicU64,
    /// Connections so far.
    count: AtomicUsize,
    /// Circlet's end and the node's.
    streams: Mutex<Vec<[TcpStream; 2]>>,
}

/// The relay. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: Port,
    shared: Arc<Shared>,
}

impl Relay {
    /// Relays to `target`.
    pub fn to(target: &str) -> Self {
        let port = Port::lease();
        let listener = TcpListener::bind(("127.0.0.1", port.number())).unwrap();
        let relay = Self { port, shared: Arc::default() };
        let (shared, target) = (Arc::clone(&relay.shared), target.to_owned());
        thread::spawn(move || {
            for near in listener.incoming() {
                if shared.ended.load(SeqCst) {
                    return;
                }
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(&target)) else { continue };
                if !shared.refusing.load(SeqCst) {
                    serve(&shared, near, far);
                }
            }
        });
        relay
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// Holds replies back from now on.
    pub fn hold(&self) {
        self.shared.replies.close(usize::MAX);
    }

    /// Holds requests back, those of the connections that there are.
    pub fn hold_requests(&self) {
        self.shared.requests.close(self.shared.count.load(SeqCst));
    }

    /// Lets what is held pass.
    pub fn release(&self) {
        self.shared.requests.open();
        self.shared.replies.open();
    }

    /// Lets requests pass, and holds replies still.
    pub fn release_requests(&self) {
        self.shared.requests.open();
    }

    /// Lets replies pass, and holds requests still.
    pub fn release_replies(&self) {
        self.shared.replies.open();
    }

    /// Whether a reply waits behind the valve: the node has done its part.
    pub fn holds_a_reply(&self) -> bool {
        self.shared.replies.waiting.load(SeqCst) > 0
    }

    /// Whether a request waits behind the valve.
    pub fn holds_a_request(&self) -> bool {
        self.shared.requests.waiting.load(SeqCst) > 0
    }

    /// Cuts every connection; what is held is lost. New ones may come, and are not held.
    pub fn cut(&self) {
        for stream in self.shared.streams.lock().unwrap().drain(..).flatten() {
            // Fails only if that end has gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.release();
    }

    /// Cuts every connection on Circlet's side only: the node gets what is held, when it is released.
    pub fn strand(&self) {
        for [near, _] in &*self.shared.streams.lock().unwrap() {
            let _ = near.shutdown(Shutdown::Both);
        }
    }

    /// Whether connections are closed at once from now on.
    pub fn refuse(&self, refusing: bool) {
        self.shared.refusing.store(refusing, SeqCst);
    }

    /// Lets everything arrive so much later.
    pub fn delay(&self, by: Duration) {
        self.shared.delay.store(u64::try_from(by.as_micros()).unwrap(), SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        self.cut();
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address());
    }
}

fn serve(shared: &Arc<Shared>, near: TcpStream, far: TcpStream) {
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let number = shared.count.fetch_add(1, SeqCst);
    let handle = |stream: &TcpStream| stream.try_clone().unwrap();
    shared.streams.lock().unwrap().push([handle(&near), handle(&far)]);
    let (near2, far2) = (handle(&near), handle(&far));
    let (one, other) = (Arc::clone(shared), Arc::clone(shared));
    thread::spawn(move || copy(near, far, &one.requests, &one.delay, number, false));
    thread::spawn(move || copy(far2, near2, &other.replies, &other.delay, number, true));
}

fn copy(mut from: TcpStream, mut to: TcpStream, valve: &Valve, delay: &AtomicU64, number: usize, drains: bool) {
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        match delay.load(SeqCst) {
            0 => {}
            // The fault itself, not a way to wait for something.
            micros => thread::sleep(Duration::from_micros(micros)),
        }
        valve.pass(number, count);
        if to.write_all(&chunk[..count]).is_err() {
            // A node whose replies nobody wants goes on with what it was asked for.
            while drains && from.read(&mut chunk).is_ok_and(|count| count > 0) {}
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
