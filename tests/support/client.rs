//! A blocking client that sends the bytes it is told and gives the bytes that come back.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use super::{
    resp::{self, Value, frame_end},
    wait::LONG,
};

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    /// Read and not yet given away.
    buf: Vec<u8>,
    at: usize,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    /// Connects to `host:port` or `unix:/path`.
    pub fn connect(address: &str) -> Self {
        Self::try_connect(address, LONG).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// Connects, or says why not.
    pub fn try_connect(address: &str, limit: Duration) -> io::Result<Self> {
        let stream = match address.strip_prefix("unix:") {
            Some(path) => Stream::Unix(UnixStream::connect(path)?),
            None => {
                let resolved = address.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
                let stream = TcpStream::connect_timeout(&resolved, limit)?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
        };
        Ok(Self { stream, buf: Vec::new(), at: 0 })
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("sending {}: {error}", shown(bytes)));
    }

    /// Sends bytes, or says why not.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// The next reply's bytes.
    pub fn frame(&mut self) -> Vec<u8> {
        self.try_frame(LONG).unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// The next reply's bytes, or why there is none; `limit` is for the whole of it.
    pub fn try_frame(&mut self, limit: Duration) -> io::Result<Vec<u8>> {
        let end = Instant::now() + limit;
        let mut looked_at = 0;
        loop {
            let unread = self.buf.len() - self.at;
            // A long array is not looked at again for every packet.
            if self.is_bulk() || unread >= looked_at + looked_at / 2 {
                if let Some(frame) = frame_end(&self.buf, self.at) {
                    let bytes = self.buf[self.at..frame].to_vec();
                    self.give_away(frame);
                    return Ok(bytes);
                }
                looked_at = unread;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.fill(left.clamp(Duration::from_millis(1), Duration::from_millis(20))) {
                Ok(()) => {}
                // Silence: whatever is there is looked at now.
                Err(error) if is_timeout(&error) && !left.is_zero() => looked_at = 0,
                Err(error) => {
                    let partial = shown(&self.buf[self.at..]);
                    return Err(io::Error::new(error.kind(), format!("{error}; there is {partial}")));
                }
            }
        }
    }

    fn give_away(&mut self, until: usize) {
        self.at = until;
        if self.at == self.buf.len() {
            self.buf = Vec::new();
            self.at = 0;
        } else if self.at > 1 << 20 {
            self.buf.drain(..self.at);
            self.at = 0;
        }
    }

    fn is_bulk(&self) -> bool {
        self.buf.get(self.at).is_some_and(|kind| !matches!(kind, b'*' | b'%' | b'~' | b'>' | b'|'))
    }

    fn fill(&mut self, limit: Duration) -> io::Result<()> {
        let mut chunk = [0; 64 << 10];
        let count = match &mut self.stream {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(limit))?;
                stream.read(&mut chunk)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(limit))?;
                stream.read(&mut chunk)
            }
        }?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.buf.extend_from_slice(&chunk[..count]);
        Ok(())
    }

    /// Sends a request of separate arguments; gives the reply's bytes.
    pub fn call(&mut self, args: &[impl AsRef<[u8]>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        resp::request(&mut bytes, args);
        self.pipeline(&bytes, 1).remove(0)
    }

    /// Sends the words of `line`; gives the reply's bytes as text.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(&resp::words(line));
        String::from_utf8_lossy(&self.frame()).into_owned()
    }

    /// Sends the words of `line`; gives the reply's content.
    pub fn value(&mut self, line: &str) -> Value {
        self.send(&resp::words(line));
        Value::of(&self.frame())
    }

    /// Fails the test unless `line` is answered exactly `reply`.
    #[track_caller]
    pub fn expect(&mut self, line: &str, reply: &str) {
        let got = self.ask(line);
        assert_eq!(got, reply, "the reply to {line}");
    }

    /// Sends `bytes` and reads `count` replies at the same time, so that neither side waits for the other.
    pub fn pipeline(&mut self, bytes: &[u8], count: usize) -> Vec<Vec<u8>> {
        let mut writer = self.writer();
        thread::scope(|scope| {
            scope.spawn(move || writer.write_all(bytes));
            (0..count).map(|_| self.frame()).collect()
        })
    }

    /// A second handle on the connection, to write from another thread.
    pub fn writer(&self) -> Box<dyn Write + Send> {
        match &self.stream {
            Stream::Tcp(stream) => Box::new(stream.try_clone().unwrap()),
            Stream::Unix(stream) => Box::new(stream.try_clone().unwrap()),
        }
    }

    /// Everything until the other side closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let end = Instant::now() + LONG;
        loop {
            match self.fill(end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))) {
                Ok(()) => {}
                Err(error)
                    if error.kind() == ErrorKind::UnexpectedEof || error.kind() == ErrorKind::ConnectionReset =>
                {
                    let rest = self.buf.split_off(self.at);
                    self.buf.clear();
                    self.at = 0;
                    return rest;
                }
                Err(error) => panic!("not closed: {error}; there is {}", shown(&self.buf[self.at..])),
            }
        }
    }

    /// Bytes that are there within `limit`, without waiting for more.
    pub fn whatever_comes(&mut self, limit: Duration) -> Vec<u8> {
        if self.at == self.buf.len() {
            let _ = self.fill(limit);
        }
        self.buf[self.at..].to_vec()
    }

    /// Throws away what has come.
    pub fn forget(&mut self) {
        self.buf.clear();
        self.at = 0;
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        // Fails only if the other side has closed already.
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// The bare connection; nothing may have come that was not taken.
    pub fn into_stream(self) -> TcpStream {
        assert!(self.buf.is_empty(), "unread: {}", shown(&self.buf));
        match self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Unix(_) => panic!("a unix socket is no TCP connection"),
        }
    }

    /// The address of this end, as CLIENT LIST shows it.
    pub fn local_address(&self) -> String {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().unwrap().to_string(),
            Stream::Unix(_) => panic!("a unix socket has no address"),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The first bytes of something, to be printed.
pub fn shown(bytes: &[u8]) -> String {
    let part = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    format!("{} bytes: {part:?}", bytes.len())
}
