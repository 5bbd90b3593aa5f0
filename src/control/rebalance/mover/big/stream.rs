//! A stream in pieces: entries by id, then what it knows of itself, its groups, their consumers, what is pending.
//!
//! ```text
//!  Entries ─ XRANGE ─► XADD with ids    Head ─ XINFO ─► XSETID, XGROUP CREATE, CREATECONSUMER    Pending ─ XPENDING ─► XCLAIM
//! ```
//! What is pending although its entry was deleted is not carried along: a claim would throw it away as well, and no command
//! can make it. When a consumer was last seen is not carried along either. Io.

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;

use super::{
    End,
    read::{eval, fitting},
};
use crate::control::rebalance::mover::{
    fault::MoveError,
    request::{bulks, command},
    script::{ADD_ENTRIES, CLAIM},
};

/// Words of an entry that a script can pass on; a wider one is sent by itself.
const WIDEST: usize = 4_000;

/// Where reading a stream stands.
#[derive(Debug)]
pub(super) struct StreamReader {
    length: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// From this id on.
    Entries(Bytes),
    Head,
    /// Of these groups, the last one from this id on.
    Pending(Vec<Bytes>, Bytes),
}

impl StreamReader {
    pub(super) fn new(length: u64) -> Self {
        Self { length, phase: Phase::Entries(first()) }
    }

    /// What is to be written next; `None`: that was all.
    pub(super) async fn next(
        &mut self,
        source: &End<'_>,
        key: &Bytes,
        name: &str,
        count: &mut usize,
    ) -> Result<Option<Vec<Bytes>>, MoveError> {
        loop {
            match &mut self.phase {
                Phase::Entries(from) => match entries(source, key, name, from, count).await? {
                    Some(requests) => return Ok(Some(requests)),
                    None => self.phase = Phase::Head,
                },
                Phase::Head => {
                    let (requests, groups) = head(source, key, name, self.length == 0).await?;
                    self.phase = Phase::Pending(groups, first());
                    return Ok(Some(requests));
                }
                Phase::Pending(groups, from) => {
                    let Some(group) = groups.last() else { return Ok(None) };
                    match pending(source, key, name, group, from).await? {
                        Some(request) => return Ok(Some(vec![request])),
                        None => {
                            groups.pop();
                            *from = first();
                        }
                    }
                }
            }
        }
    }
}

fn first() -> Bytes {
    Bytes::from_static(b"0-0")
}

/// The id behind `id`.
fn behind(id: &[u8]) -> Option<Bytes> {
    let (ms, seq) = std::str::from_utf8(id).ok()?.split_once('-')?;
    let (ms, seq): (u64, u64) = (ms.parse().ok()?, seq.parse().ok()?);
    let (ms, seq) = seq.checked_add(1).map_or((ms.saturating_add(1), 0), |seq| (ms, seq));
    Some(format!("{ms}-{seq}").into())
}

async fn entries(
    source: &End<'_>,
    key: &Bytes,
    name: &str,
    from: &mut Bytes,
    count: &mut usize,
) -> Result<Option<Vec<Bytes>>, MoveError> {
    let words = [&b"XRANGE"[..], key, from, b"+", b"COUNT", &count.to_string().into_bytes()];
    let garbage = || source.garbage("XRANGE");
    let BytesFrame::Array(entries) = source.ask(&words).await? else { return Err(garbage()) };
    let read = entries.into_iter().map(entry).collect::<Option<Vec<_>>>().ok_or_else(garbage)?;
    let Some((last, _)) = read.last() else { return Ok(None) };
    *from = behind(last).ok_or_else(garbage)?;
    let mut requests = Vec::new();
    let (mut args, mut all) = (Vec::new(), Vec::new());
    let elements = read.len();
    let keys = [name.as_bytes()];
    for (id, fields) in read {
        all.extend(fields.iter().cloned());
        if fields.len() > WIDEST {
            if !args.is_empty() {
                requests.push(eval(&ADD_ENTRIES, &keys, &std::mem::take(&mut args)));
            }
            let mut words: Vec<&[u8]> = vec![b"XADD", name.as_bytes(), &id];
            words.extend(fields.iter().map(|field| &field[..]));
            requests.push(command(&words));
        } else {
            args.extend([id, fields.len().to_string().into()]);
            args.extend(fields);
        }
    }
    if !args.is_empty() {
        requests.push(eval(&ADD_ENTRIES, &keys, &args));
    }
    *count = fitting(*count, elements, &all);
    Ok(Some(requests))
}

/// Id, and fields and values.
fn entry(frame: BytesFrame) -> Option<(Bytes, Vec<Bytes>)> {
    let BytesFrame::Array(parts) = frame else { return None };
    match <[BytesFrame; 2]>::try_from(parts) {
        Ok([BytesFrame::BulkString(id), BytesFrame::Array(fields)]) => Some((id, bulks(fields)?)),
        _ => None,
    }
}

/// Everything but entries and what is pending; and the names of groups in which something is.
async fn head(source: &End<'_>, key: &Bytes, name: &str, empty: bool) -> Result<(Vec<Bytes>, Vec<Bytes>), MoveError> {
    let info = source.ask(&[&b"XINFO"[..], b"STREAM", key]).await?;
    let last = text_of(&info, "last-generated-id").ok_or_else(|| source.garbage("XINFO STREAM"))?;
    let name = name.as_bytes();
    let mut requests = Vec::new();
    if empty {
        // A stream without entries is made by a group, which goes again.
        requests.push(command(&[&b"XGROUP"[..], b"CREATE", name, b"circlet", b"0-0", b"MKSTREAM"]));
        requests.push(command(&[&b"XGROUP"[..], b"DESTROY", name, b"circlet"]));
    }
    let mut set_id = vec![Bytes::from_static(b"XSETID"), Bytes::copy_from_slice(name), last];
    // Redis 7.0 and later.
    if let (Some(added), Some(deleted)) = (text_of(&info, "entries-added"), text_of(&info, "max-deleted-entry-id")) {
        set_id.extend([Bytes::from_static(b"ENTRIESADDED"), added, Bytes::from_static(b"MAXDELETEDID"), deleted]);
    }
    requests.push(command(&set_id));
    let BytesFrame::Array(groups) = source.ask(&[&b"XINFO"[..], b"GROUPS", key]).await? else {
        return Err(source.garbage("XINFO GROUPS"));
    };
    let mut busy = Vec::new();
    for group in groups {
        let garbage = || source.garbage("XINFO GROUPS");
        let title = text_of(&group, "name").ok_or_else(garbage)?;
        let delivered = text_of(&group, "last-delivered-id").ok_or_else(garbage)?;
        let mut words = vec![&b"XGROUP"[..], b"CREATE", name, &title, &delivered];
        let read = text_of(&group, "entries-read");
        if let Some(read) = &read {
            words.extend([&b"ENTRIESREAD"[..], read]);
        }
        requests.push(command(&words));
        requests.extend(consumers(source, key, name, &title).await?);
        if text_of(&group, "pending").is_none_or(|count| &count[..] != b"0") {
            busy.push(title);
        }
    }
    Ok((requests, busy))
}

async fn consumers(source: &End<'_>, key: &Bytes, name: &[u8], group: &Bytes) -> Result<Vec<Bytes>, MoveError> {
    let garbage = || source.garbage("XINFO CONSUMERS");
    let BytesFrame::Array(consumers) = source.ask(&[&b"XINFO"[..], b"CONSUMERS", key, group]).await? else {
        return Err(garbage());
    };
    let one = |consumer: &BytesFrame| {
        let consumer = text_of(consumer, "name").ok_or_else(garbage)?;
        Ok(command(&[&b"XGROUP"[..], b"CREATECONSUMER", name, group, &consumer]))
    };
    consumers.iter().map(one).collect()
}

/// What is pending in `group` from `from` on.
async fn pending(
    source: &End<'_>,
    key: &Bytes,
    name: &str,
    group: &Bytes,
    from: &mut Bytes,
) -> Result<Option<Bytes>, MoveError> {
    let garbage = || source.garbage("XPENDING");
    let most = super::read::MOST.to_string();
    let words = [&b"XPENDING"[..], key, group, from, b"+", most.as_bytes()];
    let BytesFrame::Array(items) = source.ask(&words).await? else { return Err(garbage()) };
    let mut args = vec![group.clone()];
    for item in items {
        let BytesFrame::Array(parts) = item else { return Err(garbage()) };
        let texts = parts.iter().map(text).collect::<Option<Vec<_>>>();
        let Some([id, consumer, idle, times]) = texts.and_then(|texts| <[Bytes; 4]>::try_from(texts).ok()) else {
            return Err(garbage());
        };
        *from = behind(&id).ok_or_else(garbage)?;
        args.extend([id, consumer, idle, times]);
    }
    Ok((args.len() > 1).then(|| eval(&CLAIM, &[name.as_bytes()], &args)))
}

/// The value of `field` in a flat list, if it is there and not nil.
fn text_of(frame: &BytesFrame, field: &str) -> Option<Bytes> {
    let BytesFrame::Array(items) = frame else { return None };
    let (_, value) = items.chunks_exact(2).find_map(|pair| match pair {
        [name, value] if text(name).is_some_and(|name| &name[..] == field.as_bytes()) => Some((name, value)),
        _ => None,
    })?;
    text(value)
}

fn text(frame: &BytesFrame) -> Option<Bytes> {
    match frame {
        BytesFrame::BulkString(bytes) | BytesFrame::SimpleString(bytes) => Some(bytes.clone()),
        BytesFrame::Integer(number) => Some(number.to_string().into()),
        BytesFrame::Array(_) | BytesFrame::Error(_) | BytesFrame::Null => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_behind_an_id_is_the_next_possible_one() {
        assert_eq!(behind(b"5-1").unwrap(), "5-2");
        assert_eq!(behind(b"5-18446744073709551615").unwrap(), "6-0");
        assert_eq!(behind(b"5"), None);
        assert_eq!(behind(b"a-b"), None);
    }
}
