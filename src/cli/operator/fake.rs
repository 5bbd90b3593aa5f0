//! A Circlet for tests that has one reply ready for each command, and remembers what it was asked. Io: a port on 127.0.0.1.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use redis_protocol::resp2::{decode, types::OwnedFrame};

use super::text;

/// The fake.
pub(in crate::cli) struct Fake {
    address: String,
    thread: JoinHandle<Vec<String>>,
}

impl Fake {
    /// Answers the commands of one client, in their order, with `replies`; then it closes.
    pub(in crate::cli) fn with(replies: &[&[u8]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let replies: Vec<Vec<u8>> = replies.iter().map(|reply| reply.to_vec()).collect();
        let thread = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let (mut buffer, mut asked, mut replies) = (Vec::new(), Vec::new(), replies.into_iter());
            let mut chunk = [0; 4_096];
            loop {
                while let Ok(Some((OwnedFrame::Array(words), used))) = decode::decode(&buffer) {
                    buffer.drain(..used);
                    asked.push(words.iter().map(text).collect::<Vec<_>>().join(" "));
                    match replies.next() {
                        Some(reply) => socket.write_all(&reply).unwrap(),
                        None => return asked,
                    }
                }
                match socket.read(&mut chunk) {
                    Ok(0) | Err(_) => return asked,
                    Ok(count) => buffer.extend_from_slice(&chunk[..count]),
                }
            }
        });
        Self { address, thread }
    }

    /// Where it is.
    pub(in crate::cli) fn address(&self) -> &str {
        &self.address
    }

    /// What it was asked, once its client is gone.
    pub(in crate::cli) fn asked(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}
