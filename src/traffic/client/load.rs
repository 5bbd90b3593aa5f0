//! What a session holds at the moment, as CLIENT LIST shows it. Pure.

use std::fmt;

use super::Client;

/// The fields of CLIENT LIST that only the session's own worker knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes read and not yet understood.
    pub qbuf: usize,
    /// Room for more of them.
    pub qbuf_free: usize,
    /// Bytes that the unfinished request's arguments take.
    pub argv_mem: usize,
    /// Size of the buffer for replies.
    pub rbs: usize,
    /// Bytes of replies that wait for the socket.
    pub obl: usize,
    /// Large replies and pushes among what waits.
    pub oll: usize,
    /// Bytes of replies and pushes that wait for earlier replies.
    pub omem: usize,
    /// All memory that it takes.
    pub tot_mem: usize,
    /// Its socket is read.
    pub reads: bool,
}

impl Load {
    /// What `client` holds; `reads`: its socket is read.
    #[must_use]
    pub fn of(client: &Client, reads: bool) -> Self {
        let input = client.partial.as_ref();
        let qbuf = input.map_or(0, |partial| partial.input.len());
        let waits = client.owed() - client.out.len();
        Self {
            qbuf,
            qbuf_free: input.map_or(0, |partial| partial.input.capacity()) - qbuf,
            argv_mem: input.map_or(0, |partial| partial.scanner.held()),
            rbs: client.out.held(),
            obl: client.out.len(),
            oll: client.out.pieces(),
            omem: waits,
            tot_mem: client.held() + size_of::<Client>() + size_of::<super::Record>(),
            reads,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = match (self.reads, self.obl > 0) {
            (true, true) => "rw",
            (true, false) => "r",
            (false, true) => "w",
            (false, false) => "",
        };
        write!(
            f,
            "qbuf={} qbuf-free={} argv-mem={} multi-mem=0 rbs={} rbp={} obl={} oll={} omem={} tot-mem={} events={events}",
            self.qbuf, self.qbuf_free, self.argv_mem, self.rbs, self.rbs, self.obl, self.oll, self.omem, self.tot_mem
        )
    }
}
