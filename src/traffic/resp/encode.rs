//! Writes the RESP that Circlet sends itself: its own replies, and requests to nodes.
//!
//! Every function appends to a buffer and cannot fail. Those that take a [`Proto`] write what Redis writes to a
//! client of that version: RESP2 has no maps, sets, doubles, so they become arrays and bulks. Lines cannot be broken:
//! CR and LF in their text become blanks. Pure; allocates only what the buffer grows by.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Proto;

/// Head of an array of `n` values.
pub fn array_header(out: &mut Vec<u8>, n: usize) {
    header(out, b'*', n);
}

/// Head of a map of `n` pairs; an array of `2 n` in RESP2.
pub fn map_header(out: &mut Vec<u8>, n: usize, proto: Proto) {
    match proto {
        Proto::Resp2 => header(out, b'*', 2 * n),
        Proto::Resp3 => header(out, b'%', n),
    }
}

/// Head of a set of `n` values; an array in RESP2.
pub fn set_header(out: &mut Vec<u8>, n: usize, proto: Proto) {
    header(out, if proto == Proto::Resp3 { b'~' } else { b'*' }, n);
}

/// Head of an out-of-band message of `n` values; an array in RESP2.
pub fn push_header(out: &mut Vec<u8>, n: usize, proto: Proto) {
    header(out, if proto == Proto::Resp3 { b'>' } else { b'*' }, n);
}

/// A bulk string.
pub fn bulk(out: &mut Vec<u8>, payload: &[u8]) {
    header(out, b'$', payload.len());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// A simple string such as `OK`.
pub fn simple(out: &mut Vec<u8>, text: &str) {
    line(out, b'+', text);
}

/// An error; `text` begins with its code (`ERR …`).
pub fn error(out: &mut Vec<u8>, text: &str) {
    line(out, b'-', text);
}

/// An integer.
pub fn integer(out: &mut Vec<u8>, value: i64) {
    out.push(b':');
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// "No such value": a null bulk in RESP2.
pub fn null(out: &mut Vec<u8>, proto: Proto) {
    out.extend_from_slice(if proto == Proto::Resp3 { b"_\r\n" } else { b"$-1\r\n" });
}

/// "No such value" where an array would stand.
pub fn null_array(out: &mut Vec<u8>, proto: Proto) {
    out.extend_from_slice(if proto == Proto::Resp3 { b"_\r\n" } else { b"*-1\r\n" });
}

/// A double; a bulk with its digits in RESP2. The digits are the fewest that read back as the same number.
pub fn double(out: &mut Vec<u8>, value: f64, proto: Proto) {
    let size = value.abs();
    let text = if value.is_nan() {
        "nan".to_owned()
    } else if size.is_infinite() || size == 0.0 || (1e-4..1e17).contains(&size) {
        value.to_string()
    } else {
        let text = format!("{value:e}");
        if text.contains("e-") { text } else { text.replace('e', "e+") }
    };
    match proto {
        Proto::Resp2 => bulk(out, text.as_bytes()),
        Proto::Resp3 => line(out, b',', &text),
    }
}

/// A boolean; the integer 1 or 0 in RESP2.
pub fn boolean(out: &mut Vec<u8>, value: bool, proto: Proto) {
    match proto {
        Proto::Resp2 => integer(out, i64::from(value)),
        Proto::Resp3 => out.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" }),
    }
}

/// Text for people, such as INFO; a bulk in RESP2.
pub fn verbatim_text(out: &mut Vec<u8>, text: &str, proto: Proto) {
    match proto {
        Proto::Resp2 => bulk(out, text.as_bytes()),
        Proto::Resp3 => {
            header(out, b'=', text.len() + 4);
            out.extend_from_slice(b"txt:");
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn header(out: &mut Vec<u8>, kind: u8, n: usize) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both versions of what `write` appends.
    fn both(write: impl Fn(&mut Vec<u8>, Proto)) -> (String, String) {
        let text = |proto| {
            let mut out = Vec::new();
            write(&mut out, proto);
            String::from_utf8(out).unwrap()
        };
        (text(Proto::Resp2), text(Proto::Resp3))
    }

    fn pair(resp2: &str, resp3: &str) -> (String, String) {
        (resp2.to_owned(), resp3.to_owned())
    }

    #[test]
    fn aggregates_have_the_head_of_their_version() {
        assert_eq!(both(|out, _| array_header(out, 3)), pair("*3\r\n", "*3\r\n"));
        assert_eq!(both(|out, proto| map_header(out, 3, proto)), pair("*6\r\n", "%3\r\n"));
        assert_eq!(both(|out, proto| set_header(out, 3, proto)), pair("*3\r\n", "~3\r\n"));
        assert_eq!(both(|out, proto| push_header(out, 3, proto)), pair("*3\r\n", ">3\r\n"));
    }

    #[test]
    fn scalars_have_the_form_of_their_version() {
        assert_eq!(both(|out, _| bulk(out, b"a\r\nb")), pair("$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"));
        assert_eq!(both(|out, _| bulk(out, b"")), pair("$0\r\n\r\n", "$0\r\n\r\n"));
        assert_eq!(both(|out, _| integer(out, i64::MIN)).0, ":-9223372036854775808\r\n");
        assert_eq!(both(null), pair("$-1\r\n", "_\r\n"));
        assert_eq!(both(null_array), pair("*-1\r\n", "_\r\n"));
        assert_eq!(both(|out, proto| boolean(out, true, proto)), pair(":1\r\n", "#t\r\n"));
        assert_eq!(both(|out, proto| boolean(out, false, proto)), pair(":0\r\n", "#f\r\n"));
        assert_eq!(both(|out, proto| verbatim_text(out, "a\nb", proto)), pair("$3\r\na\nb\r\n", "=7\r\ntxt:a\nb\r\n"));
    }

    #[test]
    fn lines_cannot_be_broken_by_their_text() {
        assert_eq!(both(|out, _| simple(out, "OK")).0, "+OK\r\n");
        assert_eq!(both(|out, _| error(out, "ERR a\r\n+OK\r\n")).0, "-ERR a  +OK  \r\n");
    }

    #[test]
    fn doubles_are_short_and_exact() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e300, "1e+300"),
            (-2.5e-9, "-2.5e-9"),
            (1e16, "10000000000000000"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            let expected = pair(&format!("${}\r\n{text}\r\n", text.len()), &format!(",{text}\r\n"));
            assert_eq!(both(|out, proto| double(out, value, proto)), expected);
        }
    }
}
