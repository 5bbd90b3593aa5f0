//! RESP2 and RESP3 for tests: where a reply ends, what it holds, and how a request is written.

/// Where the reply that starts at `at` ends; `None` while bytes are missing.
pub fn frame_end(buf: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    let mut wanted = 1_usize;
    while wanted > 0 {
        wanted -= 1;
        let line = at + buf.get(at..)?.iter().position(|&byte| byte == b'\n')? + 1;
        let number = || -> Option<i64> { std::str::from_utf8(&buf[at + 1..line - 2]).ok()?.parse().ok() };
        match buf[at] {
            b'$' | b'=' | b'!' => {
                let length = number().expect("a length");
                at = if length < 0 { line } else { line + usize::try_from(length).unwrap() + 2 };
                if at > buf.len() {
                    return None;
                }
            }
            b'*' | b'~' | b'>' => {
                wanted += usize::try_from(number().expect("a count").max(0)).unwrap();
                at = line;
            }
            b'%' => {
                wanted += 2 * usize::try_from(number().expect("a count")).unwrap();
                at = line;
            }
            // An attribute belongs to the reply behind it.
            b'|' => {
                wanted += 2 * usize::try_from(number().expect("a count")).unwrap() + 1;
                at = line;
            }
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => at = line,
            other => panic!("no RESP: byte {other:#04x} in {:?}", String::from_utf8_lossy(&buf[at..line])),
        }
    }
    Some(at)
}

/// A reply's content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `+`, `:`, `,`, `#`, `(`: type byte and text.
    Scalar(u8, String),
    /// `-` and `!`.
    Error(String),
    /// `$` and `=`.
    Bulk(Vec<u8>),
    /// `*`, `~`, `>`: type byte and elements.
    List(u8, Vec<Self>),
    /// `%`.
    Map(Vec<(Self, Self)>),
    /// `$-1`, `*-1` and `_`.
    Null,
}

impl Value {
    /// The content of one whole frame.
    pub fn of(frame: &[u8]) -> Self {
        let mut at = 0;
        let value = read(frame, &mut at);
        assert_eq!(at, frame.len(), "one frame and nothing behind it");
        value
    }

    /// Its elements; a map's are keys and values in turn, as in RESP2.
    pub fn list(&self) -> Vec<&Self> {
        match self {
            Self::List(_, items) => items.iter().collect(),
            Self::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
            _ => panic!("no list: {self:?}"),
        }
    }

    /// The value behind `name` in a map or flat array.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.list().chunks(2).find(|pair| pair[0].text() == name).map(|pair| pair[1])
    }

    /// Its text.
    pub fn text(&self) -> String {
        match self {
            Self::Scalar(_, text) | Self::Error(text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => panic!("no text: {self:?}"),
        }
    }

    /// Its number.
    pub fn number(&self) -> i64 {
        self.text().parse().unwrap_or_else(|_| panic!("no number: {self:?}"))
    }
}

fn read(buf: &[u8], at: &mut usize) -> Value {
    let kind = buf[*at];
    let line = *at + buf[*at..].iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let text = String::from_utf8_lossy(&buf[*at + 1..line - 2]).into_owned();
    *at = line;
    let count = || text.parse::<i64>().unwrap();
    match kind {
        b'-' => Value::Error(text),
        b'_' => Value::Null,
        b'$' | b'=' | b'!' | b'*' if count() < 0 => Value::Null,
        b'$' | b'=' | b'!' => {
            let end = line + usize::try_from(count()).unwrap();
            *at = end + 2;
            let bytes = buf[line..end].to_vec();
            if kind == b'!' { Value::Error(String::from_utf8_lossy(&bytes).into_owned()) } else { Value::Bulk(bytes) }
        }
        b'*' | b'~' | b'>' => Value::List(kind, (0..count()).map(|_| read(buf, at)).collect()),
        b'%' => Value::Map((0..count()).map(|_| (read(buf, at), read(buf, at))).collect()),
        _ => Value::Scalar(kind, text),
    }
}

/// Appends a request.
pub fn request(out: &mut Vec<u8>, args: &[impl AsRef<[u8]>]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        bulk(out, arg.as_ref());
    }
}

/// Appends a bulk string.
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The request that `line` writes, words separated by single spaces.
pub fn words(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    request(&mut out, &line.split(' ').collect::<Vec<_>>());
    out
}
