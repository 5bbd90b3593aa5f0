//! A TCP relay in front of a node, that can hold what flows through it, or cut it.
//!
//! ```text
//!  Circlet ──► Relay ──► node          requests always pass
//!          ◄──  [hold] ◄──             replies stop here while held
//! ```

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use super::port::Port;

#[derive(Debug, Default)]
struct Valve {
    held: Mutex<bool>,
    opened: Condvar,
    ended: AtomicBool,
    refusing: AtomicBool,
    /// Bytes of replies that wait behind the valve.
    waiting: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
}

/// The relay. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: Port,
    valve: Arc<Valve>,
}

impl Relay {
    /// Relays to `target`.
    pub fn to(target: &str) -> Self {
        let port = Port::lease();
        let listener = TcpListener::bind(("127.0.0.1", port.number())).unwrap();
        let valve = Arc::new(Valve::default());
        let (shared, target) = (Arc::clone(&valve), target.to_owned());
        thread::spawn(move || {
            for near in listener.incoming() {
                if shared.ended.load(SeqCst) {
                    return;
                }
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(&target)) else { continue };
                if shared.refusing.load(SeqCst) {
                    continue;
                }
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let handles = [near.try_clone().unwrap(), far.try_clone().unwrap()];
                shared.streams.lock().unwrap().extend(handles);
                let (near2, far2, valve) = (near.try_clone().unwrap(), far.try_clone().unwrap(), Arc::clone(&shared));
                thread::spawn(move || copy(near, far, None));
                thread::spawn(move || copy(far2, near2, Some(&valve)));
            }
        });
        Self { port, valve }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// Holds replies back from now on.
    pub fn hold(&self) {
        *self.valve.held.lock().unwrap() = true;
    }

    /// Lets held replies pass.
    pub fn release(&self) {
        *self.valve.held.lock().unwrap() = false;
        self.valve.opened.notify_all();
    }

    /// Whether a reply waits behind the valve: the node has done its part.
    pub fn holds_a_reply(&self) -> bool {
        self.valve.waiting.load(SeqCst) > 0
    }

    /// Cuts every connection; what is held is lost. New ones may come, and are not held.
    pub fn cut(&self) {
        for stream in self.valve.streams.lock().unwrap().drain(..) {
            // Fails only if that end has gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.release();
    }

    /// Whether connections are closed at once from now on.
    pub fn refuse(&self, refusing: bool) {
        self.valve.refusing.store(refusing, SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.valve.ended.store(true, SeqCst);
        self.cut();
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address());
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, valve: Option<&Valve>) {
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if let Some(valve) = valve {
            valve.waiting.fetch_add(count, SeqCst);
            let held = valve.held.lock().unwrap();
            drop(valve.opened.wait_while(held, |held| *held).unwrap());
            valve.waiting.fetch_sub(count, SeqCst);
        }
        if to.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
