//! A staged node: for what a real redis-server never does.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use super::{
    port::Port,
    resp::{Value, frame_end},
};

/// Answers each request with the bytes that a function makes of its words; ends when dropped.
#[derive(Debug)]
pub struct Fake {
    port: Port,
    ended: Arc<AtomicBool>,
}

impl Fake {
    /// `answer` gets the words of a request, the first in lower case; `None` closes the connection.
    pub fn start(answer: impl Fn(&[String]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let port = Port::lease();
        let listener = TcpListener::bind(("127.0.0.1", port.number())).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (stop, answer) = (Arc::clone(&ended), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(SeqCst) {
                    return;
                }
                let answer = Arc::clone(&answer);
                thread::spawn(move || serve(stream.unwrap(), &*answer));
            }
        });
        Self { port, ended }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.ended.store(true, SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address());
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&[String]) -> Option<Vec<u8>>) {
    let (mut buf, mut chunk) = (Vec::new(), [0; 4 << 10]);
    loop {
        while !buf.is_empty()
            && let Some(end) = frame_end(&buf, 0)
        {
            let request = Value::of(&buf[..end]);
            buf.drain(..end);
            let mut words: Vec<String> = request.list().iter().map(|word| word.text()).collect();
            words[0].make_ascii_lowercase();
            match answer(&words) {
                Some(bytes) if stream.write_all(&bytes).is_ok() => {}
                _ => return,
            }
        }
        match stream.read(&mut chunk) {
            Ok(count) if count > 0 => buf.extend_from_slice(&chunk[..count]),
            _ => return,
        }
    }
}

/// What a node answers to everything that Circlet itself may ask of it.
pub fn polite(words: &[String]) -> Vec<u8> {
    match words[0].as_str() {
        "info" => b"$20\r\nredis_version:7.0.15\r\n".to_vec(),
        "hello" => b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n".to_vec(),
        "config" => b"*2\r\n$9\r\ndatabases\r\n$2\r\n16\r\n".to_vec(),
        "command" => b"*0\r\n".to_vec(),
        "ping" => b"+PONG\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    }
}
