//! Requests as Redis 7.0.15 took or refused them; the texts are those it sent.

use super::*;

fn scan(bytes: &[u8]) -> Result<Scan, ProtocolError> {
    Scanner::new().scan(bytes, &Limits::default(), true)
}

fn refusal(bytes: &[u8], authenticated: bool) -> String {
    Scanner::new().scan(bytes, &Limits::default(), authenticated).unwrap_err().to_string()
}

/// A header line of 70,000 characters without an end.
fn endless(start: &str) -> Vec<u8> {
    [start.as_bytes(), &[b'1'; 70_000]].concat()
}

#[test]
fn arguments_lie_where_they_are_said_to_be() {
    let request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nv\r\n\x00456789ab\r\n*1\r\n";
    let mut scanner = Scanner::new();
    assert_eq!(scanner.scan(request, &Limits::default(), true), Ok(Scan::Command { len: request.len() - 4 }));
    let args: Vec<&[u8]> = scanner.args().iter().map(|arg| arg.of(request)).collect();
    assert_eq!(args, [b"SET", &b"k"[..], b"v\r\n\x00456789ab"]);
    assert_eq!(scanner.args()[1], Arg { head: 13, start: 17, end: 18 });
    assert_eq!(scanner.args()[1].raw(request), b"$1\r\nk\r\n");
}

#[test]
fn requests_without_arguments_are_commands_without_arguments() {
    for request in [&b"*0\r\n"[..], b"*-1\r\n", b"*-5\r\n"] {
        let mut scanner = Scanner::new();
        assert_eq!(scanner.scan(request, &Limits::default(), true), Ok(Scan::Command { len: request.len() }));
        assert_eq!(scanner.args(), []);
    }
}

#[test]
fn one_scanner_takes_request_after_request() {
    let (first, second) = (b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*1\r\n$1\r\nc\r\n");
    let mut scanner = Scanner::new();
    for _ in 0..2 {
        assert_eq!(scanner.scan(first, &Limits::default(), true), Ok(Scan::Command { len: 18 }));
        assert_eq!(scanner.args().len(), 2);
        assert_eq!(scanner.scan(second, &Limits::default(), true), Ok(Scan::Command { len: 11 }));
        assert_eq!(scanner.args().len(), 1);
        assert_eq!(scanner.scan(b"", &Limits::default(), true), Ok(Scan::Incomplete));
        assert_eq!(scanner.args().len(), 0);
        assert_eq!(scanner.scan(b"x\n", &Limits::default(), true), Ok(Scan::Inline { len: 2, line: 0..1 }));
    }
}

#[test]
fn other_first_bytes_begin_a_line() {
    assert_eq!(scan(b"PING a\r\nPING"), Ok(Scan::Inline { len: 8, line: 0..6 }));
    assert_eq!(scan(b"PING\rx\n"), Ok(Scan::Inline { len: 7, line: 0..6 }));
    assert_eq!(scan(b"\r\n"), Ok(Scan::Inline { len: 2, line: 0..0 }));
    assert_eq!(scan(b"\n"), Ok(Scan::Inline { len: 1, line: 0..0 }));
    assert_eq!(scan(b"PING"), Ok(Scan::Incomplete));
    let longest = [&[b'x'; 65_536][..], b"\n"].concat();
    assert_eq!(scan(&longest), Ok(Scan::Inline { len: 65_537, line: 0..65_536 }));
}

#[test]
fn refusals_have_the_texts_of_redis() {
    for (request, text) in [
        (&b"*abc\r\n"[..], "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*1a\r\n", "invalid multibulk length"),
        (b"*-0\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\n$4\r\nPING\r\n", "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$01\r\n", "invalid bulk length"),
        (b"*1\r\n$abc\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (b"*1\r\nx4\r\n", "expected '$', got 'x'"),
        (b"*1\r\n\r\n", "expected '$', got ' '"),
        (b"*1\r\n\n\r\n", "expected '$', got ' '"),
        (&endless("*"), "too big mbulk count string"),
        (&endless("*1\r\n$"), "too big bulk count string"),
        (&endless("*1\r\nx"), "too big bulk count string"),
        (&endless("x"), "too big inline request"),
    ] {
        assert_eq!(
            refusal(request, true),
            format!("Protocol error: {text}"),
            "{}",
            request[..20.min(request.len())].escape_ascii()
        );
    }
    assert_eq!(ProtocolError::UnbalancedQuotes.to_string(), "Protocol error: unbalanced quotes in request");
}

#[test]
fn refusals_beyond_redis_are_for_what_it_would_skip_unseen() {
    assert_eq!(refusal(b"*1\r\n$4\r\nPINGxx", true), "Protocol error: expected CRLF after bulk");
    assert_eq!(refusal(b"*1\rx$4\r\nPING\r\n", true), "Protocol error: invalid multibulk length");
    assert_eq!(refusal(b"*1\r\n$4\rxPING\r\n", true), "Protocol error: invalid bulk length");
    assert_eq!(refusal(b"*1\r\n\xff4\r\n", true), "Protocol error: expected '$', got '\\xff'");
}

#[test]
fn clients_that_have_not_authenticated_may_send_little() {
    assert_eq!(refusal(b"*11\r\n", false), "Protocol error: unauthenticated multibulk length");
    assert_eq!(refusal(b"*11a\r\n", false), "Protocol error: invalid multibulk length");
    assert_eq!(refusal(b"*1\r\n$16385\r\n", false), "Protocol error: unauthenticated bulk length");
    assert_eq!(refusal(b"*1\r\n$600000000\r\n", false), "Protocol error: invalid bulk length");
    for request in [&b"*10\r\n"[..], b"*1\r\n$16384\r\n"] {
        assert_eq!(Scanner::new().scan(request, &Limits::default(), false), Ok(Scan::Incomplete));
    }
    assert_eq!(scan(b"*11\r\n"), Ok(Scan::Incomplete));
}

#[test]
fn the_limits_bound_arguments_and_requests() {
    let limits = Limits { max_bulk: 100, max_args: 5, max_request: 60, ..Limits::default() };
    let refusal = |request: &[u8]| Scanner::new().scan(request, &limits, true).map_err(|error| error.to_string());
    assert_eq!(refusal(b"*5\r\n"), Ok(Scan::Incomplete));
    assert_eq!(refusal(b"*6\r\n"), Err("Protocol error: invalid multibulk length".to_owned()));
    assert_eq!(refusal(b"*1\r\n$101\r\n"), Err("Protocol error: invalid bulk length".to_owned()));
    // 4 bytes, then 5 + 49 + 2 make 60; one more is too much, and so is one more argument.
    assert_eq!(refusal(b"*1\r\n$49\r\n"), Ok(Scan::Incomplete));
    assert_eq!(refusal(b"*1\r\n$50\r\n"), Err("Protocol error: too big request".to_owned()));
    assert_eq!(refusal(b"*2\r\n$49\r\n"), Err("Protocol error: too big request".to_owned()));
}

#[test]
fn what_is_missing_is_never_overstated() {
    let request = b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n";
    let mut scanner = Scanner::new();
    for end in 0..request.len() {
        assert_eq!(scanner.scan(&request[..end], &Limits::default(), true), Ok(Scan::Incomplete));
        assert!((1..=request.len() - end).contains(&scanner.missing()), "{} at {end}", scanner.missing());
    }
    assert_eq!(Scanner::new().missing(), 1);
    scanner.reset();
    let large = b"*2\r\n$3\r\nSET\r\n$1000000\r\n";
    assert_eq!(scanner.scan(large, &Limits::default(), true), Ok(Scan::Incomplete));
    assert_eq!(scanner.missing(), 1_000_002);
}

#[test]
fn a_count_alone_takes_no_memory() {
    let mut scanner = Scanner::new();
    assert_eq!(scanner.scan(b"*1048576\r\n$1\r\nx\r\n", &Limits::default(), true), Ok(Scan::Incomplete));
    assert!(scanner.args.capacity() <= 4);
}

#[test]
fn reset_forgets_a_request_and_its_memory() {
    let mut scanner = Scanner::new();
    let request = [&b"*1000\r\n"[..], &b"$1\r\nx\r\n".repeat(999)].concat();
    assert_eq!(scanner.scan(&request, &Limits::default(), true), Ok(Scan::Incomplete));
    scanner.reset();
    assert!(scanner.args.capacity() <= KEPT_ARGS);
    assert_eq!(scanner.scan(b"*1\r\n$1\r\nx\r\n", &Limits::default(), true), Ok(Scan::Command { len: 11 }));
}

#[test]
fn a_narrow_line_limit_judges_numbers_alike_in_every_cut() {
    let limits = Limits { max_inline: 8, ..Limits::default() };
    let mut scanner = Scanner::new();
    let request = b"*222223311\r\n";
    let cut = (0..=request.len()).find_map(|end| scanner.scan(&request[..end], &limits, true).err());
    assert_eq!(cut, Some(ProtocolError::InvalidMultibulkLength));
    assert_eq!(Scanner::new().scan(request, &limits, true), Err(ProtocolError::InvalidMultibulkLength));
}

/// It is right for whole requests, and nothing else makes it fall.
#[test]
fn the_second_argument_is_seen_ahead() {
    assert_eq!(peek_second(b"*2\r\n$3\r\nGET\r\n$4\r\nname\r\n*1\r\n"), Some(&b"name"[..]));
    assert_eq!(peek_second(b"*2\r\n$3\r\nGET\r\n$4\r\nname"), Some(&b"name"[..]));
    for text in [
        "",
        "*",
        "PING\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "*2\r\n$3\r\nGET\r\n$4\r\nna",
        "*2\r\n$9999999999\r\nx",
        "*2\r\n$0\r\n\r\n$9999999999\r\nx",
    ] {
        assert_eq!(peek_second(text.as_bytes()), None, "{text}");
    }
    let whole = b"*3\r\n$3\r\nSET\r\n$10\r\n0123456789\r\n$1\r\nv\r\n";
    assert!((0..whole.len()).all(|end| peek_second(&whole[..end]).is_none_or(|key| key == b"0123456789")));
}
