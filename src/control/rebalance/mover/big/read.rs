//! A big key in pieces: what a type is read with, and what is written of it.
//!
//! | type | read | written |
//! |---|---|---|
//! | string | GETRANGE, from its end | SETRANGE: the first one makes the whole length, no later one moves it |
//! | list | LRANGE by index | RPUSH |
//! | set | SSCAN | SADD |
//! | sorted set | ZRANGE by index, WITHSCORES | ZADD |
//! | hash | HSCAN; HPTTL where the node knows it | HSET, HPEXPIRE |
//! | stream | `stream` | |
//!
//! The number of elements follows the size of those that came last, so that a chunk has about [`CHUNK`] bytes. Io.

use std::time::Instant;

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;

use super::{End, stream::StreamReader};
use crate::control::rebalance::mover::{
    fault::MoveError,
    request::{bulks, command, scanned},
    script::{EXPIRE_FIELDS, Script},
};

/// Bytes of a chunk, as far as elements allow.
pub(super) const CHUNK: usize = 256 << 10;
/// Most elements of a chunk.
pub(super) const MOST: usize = 1_000;

/// What a big key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text(u64),
    List(u64),
    Set(u64),
    Sorted(u64),
    Hash(u64),
    Stream(u64),
}

impl Shape {
    /// `None`: it is absent, or its type is a module's.
    pub(super) async fn ask(source: &mut End<'_>, key: &Bytes) -> Result<Option<Self>, MoveError> {
        let kind = source.ask(&[&b"TYPE"[..], key]).await?;
        let BytesFrame::SimpleString(kind) = kind else { return Err(source.garbage("TYPE")) };
        let (word, shape): (_, fn(u64) -> Self) = match &kind[..] {
            b"string" => ("STRLEN", Self::Text),
            b"list" => ("LLEN", Self::List),
            b"set" => ("SCARD", Self::Set),
            b"zset" => ("ZCARD", Self::Sorted),
            b"hash" => ("HLEN", Self::Hash),
            b"stream" => ("XLEN", Self::Stream),
            b"none" => return Ok(None),
            other => {
                let (key, kind) = (key.escape_ascii(), other.escape_ascii());
                tracing::warn!(%key, %kind, "a big key of a module's type is moved in one piece; its nodes stand still meanwhile");
                return Ok(None);
            }
        };
        match source.ask(&[word.as_bytes(), key]).await? {
            BytesFrame::Integer(length) => Ok(Some(shape(u64::try_from(length).unwrap_or(0)))),
            _ => Err(source.garbage(word)),
        }
    }

    /// By which command the copy's length is asked, and how long it must be. Fields of a hash may expire meanwhile.
    pub(super) fn length(self) -> Option<(&'static str, u64)> {
        match self {
            Self::Text(length) => Some(("STRLEN", length)),
            Self::List(length) => Some(("LLEN", length)),
            Self::Set(length) => Some(("SCARD", length)),
            Self::Sorted(length) => Some(("ZCARD", length)),
            Self::Stream(length) => Some(("XLEN", length)),
            Self::Hash(_) => None,
        }
    }
}

/// Where reading stands.
#[derive(Debug)]
enum At {
    /// Bytes before it are still to be read.
    Text(u64),
    /// The next index, of lists and sorted sets.
    Index(u64),
    /// The next cursor; `None`: that was all.
    Cursor(Option<Bytes>),
    Stream(StreamReader),
}

/// Reads a key chunk by chunk.
pub(super) struct Reader<'a> {
    source: End<'a>,
    key: &'a Bytes,
    name: &'a str,
    shape: Shape,
    at: At,
    /// Elements to ask for next.
    count: usize,
    /// Whether the source knows TTLs of fields.
    field_ttls: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: End<'a>, key: &'a Bytes, name: &'a str, shape: Shape) -> Self {
        let at = match shape {
            Shape::Text(length) => At::Text(length),
            Shape::List(_) | Shape::Sorted(_) => At::Index(0),
            Shape::Set(_) | Shape::Hash(_) => At::Cursor(Some(Bytes::from_static(b"0"))),
            Shape::Stream(length) => At::Stream(StreamReader::new(length)),
        };
        // Begins small: an element may be large.
        Self { source, key, name, shape, at, count: 16, field_ttls: true }
    }

    /// Its PTTL now.
    pub(super) async fn pttl(&self) -> Result<i64, MoveError> {
        match self.source.ask(&[&b"PTTL"[..], self.key]).await? {
            BytesFrame::Integer(pttl) => Ok(pttl),
            _ => Err(self.source.garbage("PTTL")),
        }
    }

    /// What is to be written next; `None`: that was all.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Bytes>>, MoveError> {
        match &mut self.at {
            At::Text(0) => Ok(None),
            At::Text(end) => {
                let (begin, last) = (end.saturating_sub(CHUNK as u64), *end - 1);
                *end = begin;
                self.text(begin, last).await.map(Some)
            }
            At::Index(begin) => {
                let begin = *begin;
                self.range(begin).await
            }
            At::Cursor(None) => Ok(None),
            At::Cursor(Some(cursor)) => {
                let cursor = cursor.clone();
                self.scan(&cursor).await.map(Some)
            }
            At::Stream(reader) => reader.next(&self.source, self.key, self.name, &mut self.count).await,
        }
    }

    async fn text(&self, begin: u64, last: u64) -> Result<Vec<Bytes>, MoveError> {
        let (from, to) = (begin.to_string(), last.to_string());
        match self.source.ask(&[&b"GETRANGE"[..], self.key, from.as_bytes(), to.as_bytes()]).await? {
            BytesFrame::BulkString(bytes) => {
                Ok(vec![command(&[&b"SETRANGE"[..], self.name.as_bytes(), from.as_bytes(), &bytes])])
            }
            _ => Err(self.source.garbage("GETRANGE")),
        }
    }

    /// Elements of a list or a sorted set from index `begin` on.
    async fn range(&mut self, begin: u64) -> Result<Option<Vec<Bytes>>, MoveError> {
        let sorted = matches!(self.shape, Shape::Sorted(_));
        let (from, to) = (begin.to_string(), (begin + self.count as u64 - 1).to_string());
        let word: &[u8] = if sorted { b"ZRANGE" } else { b"LRANGE" };
        let mut words = vec![word, self.key, from.as_bytes(), to.as_bytes()];
        words.extend(sorted.then_some(&b"WITHSCORES"[..]));
        let mut items = match self.source.ask(&words).await? {
            BytesFrame::Array(items) => bulks(items),
            _ => None,
        }
        .ok_or_else(|| self.source.garbage("a range"))?;
        if items.is_empty() {
            return Ok(None);
        }
        if sorted {
            // ZRANGE gives the member first, ZADD takes the score first.
            items.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        }
        let elements = if sorted { items.len() / 2 } else { items.len() };
        self.at = At::Index(begin + elements as u64);
        self.count = fitting(self.count, elements, &items);
        Ok(Some(vec![self.write(if sorted { "ZADD" } else { "RPUSH" }, &items)]))
    }

    /// Elements of a set or a hash from `cursor` on.
    async fn scan(&mut self, cursor: &Bytes) -> Result<Vec<Bytes>, MoveError> {
        let hash = matches!(self.shape, Shape::Hash(_));
        let word: &[u8] = if hash { b"HSCAN" } else { b"SSCAN" };
        let count = self.count.to_string();
        let frame = self.source.ask(&[word, self.key, cursor, b"COUNT", count.as_bytes()]).await?;
        let (next, items) = scanned(frame).ok_or_else(|| self.source.garbage("a scan"))?;
        self.at = At::Cursor((&next[..] != b"0").then_some(next));
        let elements = if hash { items.len() / 2 } else { items.len() };
        self.count = fitting(self.count, elements, &items);
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let mut requests: Vec<Bytes> = pieces(&items, if hash { 2 } else { 1 })
            .map(|piece| self.write(if hash { "HSET" } else { "SADD" }, piece))
            .collect();
        if hash {
            requests.extend(self.field_ttls(&items).await?);
        }
        Ok(requests)
    }

    /// TTLs of the fields of `items` that have one; Redis 7.4 and later.
    async fn field_ttls(&mut self, items: &[Bytes]) -> Result<Option<Bytes>, MoveError> {
        if !self.field_ttls {
            return Ok(None);
        }
        let asked = Instant::now();
        let fields: Vec<&Bytes> = items.iter().step_by(2).collect();
        let count = fields.len().to_string();
        let mut words: Vec<&[u8]> = vec![b"HPTTL", self.key, b"FIELDS", count.as_bytes()];
        words.extend(fields.iter().map(|field| &field[..]));
        let ttls = match self.source.ask(&words).await {
            Ok(BytesFrame::Array(ttls)) if ttls.len() == fields.len() => ttls,
            // It does not know the command; then there are no such TTLs.
            Err(MoveError::Refused { line, .. }) if line.starts_with("ERR ") => {
                self.field_ttls = false;
                return Ok(None);
            }
            Err(error) => return Err(error),
            Ok(_) => return Err(self.source.garbage("HPTTL")),
        };
        let elapsed = i64::try_from(asked.elapsed().as_millis()).unwrap_or(i64::MAX);
        let args = field_ttls(&fields, &ttls, elapsed).ok_or_else(|| self.source.garbage("HPTTL"))?;
        Ok((!args.is_empty()).then(|| eval(&EXPIRE_FIELDS, &[self.name.as_bytes()], &args)))
    }

    fn write(&self, word: &str, items: &[Bytes]) -> Bytes {
        let mut words: Vec<&[u8]> = vec![word.as_bytes(), self.name.as_bytes()];
        words.extend(items.iter().map(|item| &item[..]));
        command(&words)
    }
}

/// How many elements to ask for after `elements` with the bytes of `items` came: about [`CHUNK`], growing slowly.
pub(super) fn fitting(count: usize, elements: usize, items: &[Bytes]) -> usize {
    let bytes: usize = items.iter().map(Bytes::len).sum();
    let fit = CHUNK / (bytes / elements.max(1)).max(1);
    fit.clamp(1, MOST).min(count * 4)
}

/// What [`EXPIRE_FIELDS`] is to be told, `elapsed` ms after the TTLs were asked for; -1: the field has none, -2: it is over.
fn field_ttls(fields: &[&Bytes], ttls: &[BytesFrame], elapsed: i64) -> Option<Vec<Bytes>> {
    let mut args = Vec::new();
    for (field, ttl) in fields.iter().zip(ttls) {
        let BytesFrame::Integer(ttl) = ttl else { return None };
        if *ttl != -1 {
            args.extend([Bytes::from(ttl.saturating_sub(elapsed).max(1).to_string()), Bytes::clone(field)]);
        }
    }
    Some(args)
}

/// `items` in pieces of at most [`MOST`] elements and about [`CHUNK`] bytes; `step` items are one element. A small encoding
/// is scanned all at once, whatever COUNT says.
fn pieces(items: &[Bytes], step: usize) -> impl Iterator<Item = &[Bytes]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |element: &&[Bytes]| {
            let before = bytes;
            bytes += element.iter().map(Bytes::len).sum::<usize>();
            before < CHUNK
        };
        let elements = rest.chunks(step).take(MOST).take_while(fits).count();
        let (piece, left) = rest.split_at((elements * step).min(rest.len()));
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

/// A script by its text: those of chunks are short, and a node may have forgotten any.
pub(super) fn eval(script: &Script, keys: &[&[u8]], args: &[impl AsRef<[u8]>]) -> Bytes {
    let count = keys.len().to_string();
    let mut words: Vec<&[u8]> = vec![b"EVAL", script.text().as_bytes(), count.as_bytes()];
    words.extend(keys);
    words.extend(args.iter().map(AsRef::as_ref));
    command(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(sizes: &[usize]) -> Vec<Bytes> {
        sizes.iter().map(|size| Bytes::from(vec![b'x'; *size])).collect()
    }

    #[test]
    fn the_count_follows_the_size_of_elements() {
        assert_eq!(fitting(16, 2, &items(&[10, 10])), 64);
        assert_eq!(fitting(800, 2, &items(&[10, 10])), MOST);
        assert_eq!(fitting(64, 1, &items(&[CHUNK / 8])), 8);
        assert_eq!(fitting(64, 1, &items(&[2 * CHUNK])), 1);
        assert_eq!(fitting(1, 0, &[]), 4);
    }

    #[test]
    fn fields_keep_their_ttls_and_one_that_is_over_ends_at_once() {
        let fields = ["a", "b", "c", "d"].map(Bytes::from);
        let asked: Vec<&Bytes> = fields.iter().collect();
        let ttls = [-1, 500, 20, -2].map(BytesFrame::Integer);
        assert_eq!(field_ttls(&asked, &ttls, 30).unwrap(), ["470", "b", "1", "c", "1", "d"]);
        assert_eq!(field_ttls(&asked, &[BytesFrame::Null], 0), None);
    }

    #[test]
    fn a_long_answer_is_written_in_pieces() {
        let sizes = |items: &[Bytes], step| pieces(items, step).map(<[Bytes]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(&items(&[1; 2_500]), 1), [1_000, 1_000, 500]);
        assert_eq!(sizes(&items(&[1; 2_500]), 2), [2_000, 500]);
        assert_eq!(sizes(&items(&[CHUNK, 1, CHUNK - 1, 1]), 1), [1, 2, 1]);
        assert_eq!(sizes(&[], 1), [0_usize; 0]);
    }
}
