//! Frames of every type, and what is none.

use super::*;

fn end(bytes: &[u8]) -> Result<Option<usize>, FramingError> {
    ReplyScanner::new().scan(bytes, &Limits::default())
}

/// A frame of each type, with the type that counts.
const FRAMES: &[(&[u8], u8)] = &[
    (b"+OK\r\n", b'+'),
    (b"+\r\n", b'+'),
    (b"+lone \r and \n belong to it\r\n", b'+'),
    (b"-ERR no\r\n", b'-'),
    (b":0\r\n", b':'),
    (b":-9223372036854775808\r\n", b':'),
    (b":+5\r\n", b':'),
    (b"$0\r\n\r\n", b'$'),
    (b"$5\r\na\r\nbc\r\n", b'$'),
    (b"$-1\r\n", b'$'),
    (b"*-1\r\n", b'*'),
    (b"*0\r\n", b'*'),
    (b"*3\r\n*0\r\n*1\r\n*1\r\n:1\r\n$-1\r\n", b'*'),
    (b"_\r\n", b'_'),
    (b"#t\r\n", b'#'),
    (b"#f\r\n", b'#'),
    (b",1.5e+300\r\n", b','),
    (b",inf\r\n", b','),
    (b"(3492890328409238509324850943850943825024385\r\n", b'('),
    (b"!5\r\nERR x\r\n", b'!'),
    (b"=7\r\ntxt:abc\r\n", b'='),
    (b"%0\r\n", b'%'),
    (b"%2\r\n+a\r\n*1\r\n:1\r\n+b\r\n_\r\n", b'%'),
    (b"~2\r\n:1\r\n:2\r\n", b'~'),
    (b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n", b'>'),
    (b"|1\r\n+ttl\r\n:3600\r\n$1\r\nv\r\n", b'$'),
    (b"|0\r\n+OK\r\n", b'+'),
    (b"|1\r\n|1\r\n+a\r\n+b\r\n+c\r\n+d\r\n|1\r\n+e\r\n+f\r\n:1\r\n", b':'),
    (b"*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n", b'*'),
];

#[test]
fn every_type_ends_where_it_should_in_every_cut() {
    let limits = Limits::default();
    for &(frame, kind) in FRAMES {
        let bytes = [frame, b"+next\r\n"].concat();
        for cut in 0..frame.len() {
            let mut scanner = ReplyScanner::new();
            assert!(scanner.idle());
            assert_eq!(scanner.scan(&bytes[..cut], &limits), Ok(None), "{} at {cut}", frame.escape_ascii());
            assert_eq!(scanner.idle(), cut == 0);
            assert!(scanner.kind() == 0 || scanner.kind() == kind);
            assert_eq!(scanner.scan(b"", &limits), Ok(None));
            assert_eq!(
                scanner.scan(&bytes[cut..], &limits),
                Ok(Some(frame.len() - cut)),
                "{} at {cut}",
                frame.escape_ascii()
            );
            assert_eq!(scanner.kind(), kind);
            assert!(scanner.idle());
            assert_eq!(scanner.scan(b"+next\r\n", &limits), Ok(Some(7)));
            assert_eq!(scanner.kind(), b'+');
        }
    }
}

#[test]
fn what_is_no_resp_is_said_to_be_none() {
    use FramingError::{BadHeader, MissingCrLf, Streamed, TooLong, UnknownType};
    for (bytes, error) in [
        (&b"HTTP/1.1 400\r\n"[..], UnknownType(b'H')),
        (b"\r\n", UnknownType(b'\r')),
        (b";4\r\n", UnknownType(b';')),
        (b".\r\n", UnknownType(b'.')),
        (b"*2\r\n>1\r\n+a\r\n+b\r\n", UnknownType(b'>')),
        (b"*2\r\n>0\r\n+b\r\n", UnknownType(b'>')),
        (b"$-2\r\n", BadHeader(b'$')),
        (b"$01\r\n", BadHeader(b'$')),
        (b"$\r\n", BadHeader(b'$')),
        (b"$3\nabc\r\n", BadHeader(b'$')),
        (b"$3\rabc\r\n", BadHeader(b'$')),
        (b"$12345678901234567890123", BadHeader(b'$')),
        (b"*-2\r\n", BadHeader(b'*')),
        (b"*4294967296\r\n", BadHeader(b'*')),
        (b"%-1\r\n", BadHeader(b'%')),
        (b"!-1\r\n", BadHeader(b'!')),
        (b"=3\r\ntxt\r\n", BadHeader(b'=')),
        (b":1x\r\n", BadHeader(b':')),
        (b":\r\n", BadHeader(b':')),
        (b":9223372036854775808\r\n", BadHeader(b':')),
        (b"_x\r\n", BadHeader(b'_')),
        (b"#x\r\n", BadHeader(b'#')),
        (b"$?\r\n", Streamed),
        (b"*?\r\n", Streamed),
        (b"$3\r\nabcde", MissingCrLf),
        (b"$3\r\nabc\rx", MissingCrLf),
        (b"$4294967297\r\n", TooLong),
        (b"=99999999999\r\n", TooLong),
    ] {
        assert_eq!(end(bytes), Err(error), "{}", bytes.escape_ascii());
        let mut scanner = ReplyScanner::new();
        let one_by_one = bytes.chunks(1).find_map(|byte| scanner.scan(byte, &Limits::default()).err());
        assert_eq!(one_by_one, Some(error), "{} byte by byte", bytes.escape_ascii());
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn nesting_is_bounded_and_needs_no_stack() {
    let nested = |levels: usize| [b"*1\r\n".repeat(levels), b":1\r\n".to_vec()].concat();
    assert_eq!(end(&nested(128)), Ok(Some(nested(128).len())));
    assert_eq!(end(&nested(129)), Err(FramingError::TooDeep));
    assert_eq!(end(&b"|1\r\n".repeat(129)), Err(FramingError::TooDeep));
    let deep = nested(1_000_000);
    let limits = Limits { max_nesting: 2_000_000, ..Limits::default() };
    assert_eq!(ReplyScanner::new().scan(&deep, &limits), Ok(Some(deep.len())));
    assert_eq!(element_end(&deep, 0, &limits), Some(deep.len()));
}

#[test]
fn a_bulk_in_passing_says_how_much_is_left() {
    let mut scanner = ReplyScanner::new();
    let limits = Limits::default();
    assert_eq!(scanner.scan(b"*2\r\n$1000000\r\nabc", &limits), Ok(None));
    assert_eq!((scanner.kind(), scanner.bulk_left(), scanner.idle()), (b'*', 999_999, false));
    assert_eq!(scanner.scan(&[b'x'; 999_997], &limits), Ok(None));
    assert_eq!(scanner.bulk_left(), 2);
    assert_eq!(scanner.scan(b"\r\n", &limits), Ok(None));
    assert_eq!((scanner.bulk_left(), scanner.idle()), (0, false));
    assert_eq!(scanner.scan(b":1\r\n", &limits), Ok(Some(4)));
    assert!(scanner.idle());
}

#[test]
fn a_count_alone_takes_no_memory() {
    let mut scanner = ReplyScanner::new();
    assert_eq!(scanner.scan(b"*4294967295\r\n%2147483647\r\n", &Limits::default()), Ok(None));
    assert!(scanner.outer.capacity() <= 8);
}
