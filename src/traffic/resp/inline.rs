//! Splits an inline request, a line typed by hand, into arguments and writes them as RESP.
//!
//! `request::Scanner` finds the line -> here -> the same RESP array that a client library would have sent, which then
//! goes the way of every other request. The rules are those of Redis's sdssplitargs:
//!
//! ```text
//! Between --blank--> Between     Bare --blank--> Between     Double --'"'--> Between, a blank or the end must follow
//! Between --other--> Bare        Bare --'"'----> Double      Double --'\'--> one escaped byte: \n \r \t \b \a \xhh
//! (quotes may open inside a word)Bare --'''----> Single      Single --'''--> like Double; only \' is an escape
//! ```
//! Bounded by the scanner's `max_inline`; the array has at most 7 bytes per byte of the line. Pure; not the hot path.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::request::ProtocolError;

/// Writes the arguments of `line` as a RESP array into `out`, which is cleared first, and returns how many there are.
/// With none, `out` stays empty.
pub fn split(line: &[u8], out: &mut Vec<u8>) -> Result<usize, ProtocolError> {
    out.clear();
    let mut rest = skip_blanks(line);
    let mut count = 0;
    while !rest.is_empty() {
        let payload = out.len();
        rest = skip_blanks(word(rest, out)?);
        end_bulk(out, payload);
        count += 1;
    }
    if count > 0 {
        insert_header(out, 0, b'*', count);
    }
    Ok(count)
}

/// Appends the word at the start of `rest`, unescaped, and returns what follows it.
fn word<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    while let [byte, tail @ ..] = rest {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => return Ok(rest),
            b'"' => return closed(double_quoted(tail, out)?),
            b'\'' => return closed(single_quoted(tail, out)?),
            other => out.push(*other),
        }
        rest = tail;
    }
    Ok(rest)
}

/// Up to and with the closing `"`.
fn double_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                out.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                tail
            }
            [b'"', tail @ ..] => return Ok(tail),
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
            [] => return Err(ProtocolError::UnbalancedQuotes),
        };
    }
}

/// Up to and with the closing `'`.
fn single_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [b'\\', b'\'', tail @ ..] => {
                out.push(b'\'');
                tail
            }
            [b'\'', tail @ ..] => return Ok(tail),
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
            [] => return Err(ProtocolError::UnbalancedQuotes),
        };
    }
}

/// Behind a closing quote stands a blank or nothing.
fn closed(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest.first() {
        Some(byte) if !is_blank(*byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(rest),
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// C's isspace. More than ends a bare word: a vertical tab inside a word belongs to it (as in Redis).
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Makes a bulk of the payload that ends `out`. Its length is known only now; only this payload is moved.
fn end_bulk(out: &mut Vec<u8>, payload: usize) {
    let len = out.len() - payload;
    insert_header(out, payload, b'$', len);
    out.extend_from_slice(b"\r\n");
}

fn insert_header(out: &mut Vec<u8>, at: usize, kind: u8, number: usize) {
    let mut digits = itoa::Buffer::new();
    let header = [&[kind], digits.format(number).as_bytes(), b"\r\n"];
    out.splice(at..at, header.into_iter().flatten().copied());
}

fn skip_blanks(rest: &[u8]) -> &[u8] {
    let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
    &rest[blanks..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arguments, between bars.
    fn words(line: &[u8]) -> Result<String, ProtocolError> {
        let mut out = Vec::new();
        let count = split(line, &mut out)?;
        let frames = crate::traffic::resp::Elements::of(&out);
        let words: Vec<String> = frames
            .into_iter()
            .flatten()
            .map(|bulk| {
                let start = bulk.iter().position(|byte| *byte == b'\n').unwrap() + 1;
                bulk[start..bulk.len() - 2].escape_ascii().to_string()
            })
            .collect();
        assert_eq!(words.len(), count);
        Ok(words.join("|"))
    }

    #[test]
    fn a_line_becomes_the_array_a_library_would_send() {
        let mut out = b"old".to_vec();
        assert_eq!(split(b"  SET key  \"a b\"\t", &mut out), Ok(3));
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$3\r\na b\r\n");
        assert_eq!(split(b" \t ", &mut out), Ok(0));
        assert!(out.is_empty());
    }

    #[test]
    fn words_are_split_as_redis_splits_them() {
        for (line, expected) in [
            (&b"PING a\"b c\""[..], "PING|ab c"),
            (b"PI\"NG\" x", "PING|x"),
            (b"PING a\x0bb", "PING|a\\x0bb"),
            (b"PING \x0bab", "PING|ab"),
            (b"PING \"a\"\x0bb", "PING|a|b"),
            (b"PING \"\\x4a\\n\\q\\x4\"", "PING|J\\nqx4"),
            (b"PING 'a\\'b\\n'", "PING|a\\'b\\\\n"),
            (b"PING \"\\r\\t\\b\\a\\\"\\\\\"", "PING|\\r\\t\\x08\\x07\\\"\\\\"),
            (b"PING a\rb", "PING|a|b"),
            (b"PING ''", "PING|"),
            (b"\"\"", ""),
        ] {
            assert_eq!(words(line).as_deref(), Ok(expected), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn quotes_must_be_closed_and_followed_by_a_blank() {
        for line in
            [&b"PING \"a"[..], b"PING 'a", b"PING \"a\"b", b"PING 'a'b", b"\"", b"'", b"\"\\", b"'\\'", b"\"a\\\""]
        {
            assert_eq!(words(line), Err(ProtocolError::UnbalancedQuotes), "{}", line.escape_ascii());
        }
    }
}
