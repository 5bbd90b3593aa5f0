//! The first word of a node's error reply, of those that tell something about the node; all others are one kind.
//!
//! Nodes can be taught any word (modules, scripts), so only known ones become a metric's label. Pure.

/// What a node's error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// `-ERR`: wrong arguments, most of all.
    Err,
    /// The key holds another type.
    WrongType,
    /// `maxmemory` is reached and nothing may be evicted.
    Oom,
    /// It reads its data in after a start.
    Loading,
    /// It cannot save, and takes no writes meanwhile.
    MisConf,
    /// It is a replica.
    ReadOnly,
    /// It is a replica without its master.
    MasterDown,
    /// Too few replicas for a write.
    NoReplicas,
    /// A script runs too long.
    Busy,
    /// The script is not known.
    NoScript,
    /// A password is wanted.
    NoAuth,
    /// The user may not do this.
    NoPerm,
    /// The transaction was not run.
    ExecAbort,
    /// It is part of a cluster, and the key is elsewhere.
    Moved,
    /// Any other word.
    Other,
}

impl ErrorCode {
    /// Number of codes.
    pub const COUNT: usize = 15;
    /// All codes, in the order of their index.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Err,
        Self::WrongType,
        Self::Oom,
        Self::Loading,
        Self::MisConf,
        Self::ReadOnly,
        Self::MasterDown,
        Self::NoReplicas,
        Self::Busy,
        Self::NoScript,
        Self::NoAuth,
        Self::NoPerm,
        Self::ExecAbort,
        Self::Moved,
        Self::Other,
    ];

    /// The code as a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Err => "err",
            Self::WrongType => "wrongtype",
            Self::Oom => "oom",
            Self::Loading => "loading",
            Self::MisConf => "misconf",
            Self::ReadOnly => "readonly",
            Self::MasterDown => "masterdown",
            Self::NoReplicas => "noreplicas",
            Self::Busy => "busy",
            Self::NoScript => "noscript",
            Self::NoAuth => "noauth",
            Self::NoPerm => "noperm",
            Self::ExecAbort => "execabort",
            Self::Moved => "moved",
            Self::Other => "other",
        }
    }

    /// The code of an error reply, of which `frame` is the whole or the beginning.
    #[must_use]
    pub fn of(frame: &[u8]) -> Self {
        let text = match frame {
            [b'-', text @ ..] => text,
            // RESP3's long errors have their length first.
            [b'!', rest @ ..] => rest.iter().position(|byte| *byte == b'\n').map_or(&[][..], |end| &rest[end + 1..]),
            _ => &[],
        };
        let end = text.iter().position(|byte| matches!(byte, b' ' | b'\r' | b'\n')).unwrap_or(text.len());
        let word = &text[..end];
        let known = Self::ALL[..Self::COUNT - 1].iter().find(|code| word.eq_ignore_ascii_case(code.label().as_bytes()));
        known.copied().unwrap_or(Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_tells_and_unknown_words_are_one() {
        for (frame, code) in [
            (&b"-ERR syntax error\r\n"[..], ErrorCode::Err),
            (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", ErrorCode::Oom),
            (b"!21\r\nSYNTAX invalid syntax\r\n", ErrorCode::Other),
            (b"!11\r\nLOADING x y\r\n", ErrorCode::Loading),
            (b"-LOADING\r\n", ErrorCode::Loading),
            (b"-MYMODULE x\r\n", ErrorCode::Other),
            (b"-other\r\n", ErrorCode::Other),
            (b"-", ErrorCode::Other),
            (b"!5", ErrorCode::Other),
            (b"", ErrorCode::Other),
        ] {
            assert_eq!(ErrorCode::of(frame), code, "{}", String::from_utf8_lossy(frame));
        }
    }

    #[test]
    fn every_code_stands_at_its_index() {
        for (index, code) in ErrorCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, index);
        }
    }
}
