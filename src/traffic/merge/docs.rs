//! COMMAND DOCS: what a node says of its commands, and what Circlet says of its own.
//!
//! redis-cli asks for it when it starts, and hints while one types. The two maps become one: its head is written anew, the
//! node's entries follow as they came. Pure.

use super::{Aggregate, Context, gather};
use crate::traffic::{
    command::{Table, describe},
    resp::encode,
};

/// The reply of the only part, with the entries of Circlet's own commands behind its own.
pub(super) fn finish(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    let joined = aggregate.parts.first().filter(|part| !aggregate.is_error(part)).and_then(|part| {
        let frame = aggregate.bytes(part);
        let end = frame.iter().position(|byte| *byte == b'\n')? + 1;
        let count: usize = std::str::from_utf8(frame.get(1..end)?).ok()?.trim_end().parse().ok()?;
        // RESP2 counts names and values.
        let entries = match frame.first()? {
            b'%' => count,
            b'*' => count / 2,
            _ => return None,
        };
        let mut own = Vec::new();
        let ours = describe::own_docs(&Table::builtin(), aggregate.proto, &mut own);
        encode::map_header(out, entries + ours, aggregate.proto);
        out.extend_from_slice(frame.get(end..)?);
        out.extend_from_slice(&own);
        Some(())
    });
    if joined.is_none() {
        gather::all_succeed(aggregate, cx, out);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Kind, fixture},
        *,
    };
    use crate::traffic::{resp::Proto, settings::PartialReads};

    #[test]
    fn a_node_s_docs_and_our_own_are_one_map() {
        let node = "*4\r\n$3\r\nget\r\n*0\r\n$3\r\nset\r\n*0\r\n";
        let aggregate = fixture::aggregate(Kind::Docs, &[], &[Ok(node)]);
        let text = fixture::finished(&aggregate, PartialReads::Error);
        let mut own = Vec::new();
        let ours = describe::own_docs(&Table::builtin(), Proto::Resp2, &mut own);
        assert!(ours >= 7, "CIRCLET and the LOCK commands");
        assert!(text.starts_with(&format!("*{}\r\n$3\r\nget\r\n", 2 * (2 + ours))), "{text}");
        assert!(text.ends_with(&String::from_utf8(own).unwrap()));
        for refused in ["-ERR no\r\n", "$1\r\nx\r\n"] {
            let aggregate = fixture::aggregate(Kind::Docs, &[], &[Ok(refused)]);
            assert_eq!(fixture::finished(&aggregate, PartialReads::Error), refused);
        }
    }
}
