//! How requests to nodes are written, and their replies read. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;

use super::script::Script;
use crate::traffic::resp::encode;

/// Names that begin so are Circlet's own; such keys never move.
pub(super) const OURS: &[u8] = b"circlet:";
/// What a key that is copied in chunks is called until it is whole.
pub(super) const COPY: &str = "circlet:copy:";

/// How the copies of one stage begin.
pub(super) fn copies_of(id: &str) -> String {
    format!("{COPY}{id}:")
}

/// A request of these words.
pub(super) fn command(words: &[impl AsRef<[u8]>]) -> Bytes {
    let mut out = Vec::new();
    encode::array_header(&mut out, words.len());
    for word in words {
        encode::bulk(&mut out, word.as_ref());
    }
    out.into()
}

/// An EVALSHA.
pub(super) fn evalsha<'a>(
    script: &Script,
    keys: impl ExactSizeIterator<Item = &'a [u8]>,
    args: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Bytes {
    let mut out = Vec::with_capacity(64 * (2 + keys.len() + args.len()));
    encode::array_header(&mut out, 3 + keys.len() + args.len());
    encode::bulk(&mut out, b"EVALSHA");
    encode::bulk(&mut out, script.sha().as_bytes());
    encode::bulk(&mut out, keys.len().to_string().as_bytes());
    for word in keys {
        encode::bulk(&mut out, word);
    }
    for word in args {
        encode::bulk(&mut out, word);
    }
    out.into()
}

/// The cursor and the elements of a SCAN, SSCAN, HSCAN or ZSCAN.
pub(super) fn scanned(frame: BytesFrame) -> Option<(Bytes, Vec<Bytes>)> {
    let BytesFrame::Array(parts) = frame else { return None };
    let Ok([BytesFrame::BulkString(cursor), BytesFrame::Array(items)]) = <[BytesFrame; 2]>::try_from(parts) else {
        return None;
    };
    Some((cursor, bulks(items)?))
}

/// Bulk strings and nothing else.
pub(super) fn bulks(items: Vec<BytesFrame>) -> Option<Vec<Bytes>> {
    let each = |item| if let BytesFrame::BulkString(bytes) = item { Some(bytes) } else { None };
    items.into_iter().map(each).collect()
}

/// The dbs in use by an INFO keyspace, each with its number of keys.
pub(super) fn dbs(info: &[u8]) -> Vec<(u32, u64)> {
    let text = String::from_utf8_lossy(info);
    let db = |line: &str| {
        let (db, rest) = line.strip_prefix("db")?.split_once(":keys=")?;
        Some((db.parse().ok()?, rest.split(',').next()?.trim().parse().ok()?))
    };
    text.lines().filter_map(db).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dbs_in_use_are_read_from_info() {
        let info = b"# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\ndb11:keys=20,expires=1,avg_ttl=5\r\n";
        assert_eq!(dbs(info), [(0, 3), (11, 20)]);
        assert_eq!(dbs(b"# Keyspace\r\n"), []);
    }

    #[test]
    fn a_scan_is_a_cursor_and_elements() {
        let bulk = |text: &'static str| BytesFrame::BulkString(Bytes::from_static(text.as_bytes()));
        let frame = BytesFrame::Array(vec![bulk("17"), BytesFrame::Array(vec![bulk("a"), bulk("b")])]);
        let (cursor, keys) = scanned(frame).unwrap();
        assert_eq!((&cursor[..], keys.len()), (&b"17"[..], 2));
        assert!(scanned(BytesFrame::Null).is_none());
        assert!(scanned(BytesFrame::Array(vec![bulk("17")])).is_none());
        assert!(scanned(BytesFrame::Array(vec![bulk("17"), BytesFrame::Array(vec![BytesFrame::Null])])).is_none());
    }
}
