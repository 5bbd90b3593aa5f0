//! A request's arguments as the slow log shows them: Redis's cuts, and nothing secret.
//!
//! What is kept of a request may end anywhere (see `pipe/replay.rs`); what is missing is counted as if it were cut. Pure.

/// Most arguments that are shown, as in Redis (`SLOWLOG_ENTRY_MAX_ARGC`).
pub const MAX_ARGS: usize = 32;

/// Most bytes of one argument that are shown, as in Redis (`SLOWLOG_ENTRY_MAX_STRING`).
const MAX_BYTES: usize = 128;

/// What stands for a secret, as in Redis.
pub const REDACTED: &[u8] = b"(redacted)";

/// The arguments of the request that `kept` holds or begins, at most `room` of them.
#[must_use]
pub fn arguments(kept: &[u8], room: usize) -> Vec<Vec<u8>> {
    let mut cursor = Cursor { bytes: kept, at: 0 };
    let count = cursor.number(b'*').unwrap_or(0);
    let mut all: Vec<&[u8]> = Vec::new();
    let mut lengths = Vec::new();
    while all.len() < count.min(room) {
        let Some(len) = cursor.number(b'$') else { break };
        all.push(cursor.take(len));
        lengths.push(len);
    }
    let secret = Secrets::of(&all);
    let mut shown: Vec<Vec<u8>> = Vec::with_capacity(all.len());
    for (index, (arg, len)) in all.iter().zip(&lengths).enumerate() {
        shown.push(if secret.hides(index) { REDACTED.to_vec() } else { cut(arg, *len) });
    }
    if count > shown.len() {
        // The last place is for how many more there are.
        shown.truncate(room.saturating_sub(1));
        shown.push(format!("... ({} more arguments)", count - shown.len()).into_bytes());
    }
    shown
}

/// The beginning of an argument of `len` bytes.
fn cut(arg: &[u8], len: usize) -> Vec<u8> {
    let mut shown = arg[..arg.len().min(MAX_BYTES)].to_vec();
    if shown.len() < len {
        shown.extend_from_slice(format!("... ({} more bytes)", len - shown.len()).as_bytes());
    }
    shown
}

/// Which arguments of a command are secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// The first one.
    from: usize,
    /// Behind the last one.
    until: usize,
}

impl Secrets {
    /// Those of the command with these arguments: passwords, as Redis redacts them.
    #[must_use]
    pub fn of(args: &[&[u8]]) -> Self {
        let is = |at: usize, word: &str| args.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        let find = |word: &str| (1..args.len()).find(|at| is(*at, word));
        let (from, until) = if is(0, "auth") {
            (1, usize::MAX)
        } else if is(0, "acl") && is(1, "setuser") {
            (3, usize::MAX)
        } else if is(0, "hello")
            && let Some(at) = find("auth")
        {
            (at + 1, at + 3)
        } else if is(0, "migrate")
            && let Some(at) = find("auth").or_else(|| find("auth2"))
        {
            (at + 1, at + 1 + if is(at, "auth2") { 2 } else { 1 })
        } else if is(0, "config")
            && is(1, "set")
            && let Some(at) = (2..args.len()).step_by(2).find(|at| names_a_secret(args[*at]))
        {
            (at + 1, usize::MAX)
        } else {
            (0, 0)
        };
        Self { from, until }
    }

    /// Whether argument `index` is one.
    #[must_use]
    pub fn hides(self, index: usize) -> bool {
        (self.from..self.until).contains(&index)
    }
}

/// Whether an option of Redis is sensitive: `requirepass`, `masterauth`, `tls-key-file-pass` …
fn names_a_secret(option: &[u8]) -> bool {
    let option = option.to_ascii_lowercase();
    [&b"requirepass"[..], b"masterauth", b"masteruser", b"primaryauth"].contains(&option.as_slice())
        || option.ends_with(b"file-pass")
}

/// Reads a request that may end anywhere.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The number of a header line.
    fn number(&mut self, kind: u8) -> Option<usize> {
        let line = self.bytes.get(self.at..)?;
        let end = line.iter().position(|byte| *byte == b'\r')?;
        let number = std::str::from_utf8(line[..end].strip_prefix(&[kind])?).ok()?.parse().ok()?;
        self.at += end + 2;
        Some(number)
    }

    /// The next `len` bytes, or what there is of them.
    fn take(&mut self, len: usize) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = self.at.saturating_add(len).saturating_add(2);
        &rest[..rest.len().min(len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::resp::encode;

    fn request(words: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode::array_header(&mut bytes, words.len());
        words.iter().for_each(|word| encode::bulk(&mut bytes, word));
        bytes
    }

    fn shown(bytes: &[u8]) -> Vec<String> {
        arguments(bytes, MAX_ARGS).into_iter().map(|arg| String::from_utf8(arg).unwrap()).collect()
    }

    #[test]
    fn arguments_are_cut_as_redis_cuts_them() {
        assert_eq!(shown(&request(&[b"GET", b"k"])), ["GET", "k"]);
        let long = [b'x'; 200];
        assert_eq!(shown(&request(&[b"SET", b"k", &long]))[2], format!("{}... (72 more bytes)", "x".repeat(128)));
        let many = vec![&b"a"[..]; 40];
        let cut = shown(&request(&many));
        assert_eq!((cut.len(), cut[31].as_str()), (32, "... (9 more arguments)"));
        assert_eq!(shown(&request(&many[..32])).len(), 32);
    }

    #[test]
    fn a_request_that_ends_anywhere_is_shown_as_far_as_it_goes() {
        let whole = request(&[b"MSET", b"key", b"value", b"other", &[b'y'; 300]]);
        for end in 0..=whole.len() {
            let words = shown(&whole[..end]);
            assert!(words.len() <= 5, "{words:?}");
        }
        assert_eq!(shown(&whole[..whole.len() - 290])[4], format!("{}... (288 more bytes)", "y".repeat(12)));
        assert_eq!(shown(&whole[..20]), ["MSET", "ke... (1 more bytes)", "... (3 more arguments)"]);
        assert_eq!(shown(b"*3\r\n$99999999999999999999\r\n"), ["... (3 more arguments)"]);
        assert!(shown(b"PING\r\n").is_empty());
    }

    #[test]
    fn passwords_are_not_shown() {
        for (words, hidden) in [
            (&["AUTH", "u", "p"][..], &[1, 2][..]),
            (&["hello", "3", "AUTH", "u", "p", "SETNAME", "n"], &[3, 4]),
            (&["ACL", "SETUSER", "u", "on", ">p"], &[3, 4]),
            (&["MIGRATE", "h", "1", "k", "0", "9", "AUTH2", "u", "p", "COPY"], &[7, 8]),
            (&["CONFIG", "SET", "maxmemory", "1", "RequirePass", "p"], &[5]),
            (&["CONFIG", "SET", "maxmemory", "1"], &[]),
            (&["SET", "auth", "p"], &[]),
        ] {
            let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let secrets = Secrets::of(&args);
            let found: Vec<usize> = (0..args.len()).filter(|index| secrets.hides(*index)).collect();
            assert_eq!(found, hidden, "{words:?}");
        }
    }
}
