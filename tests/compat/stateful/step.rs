//! What happens in a play: requests of one connection, or its leaving; the same for every side but for the ids.

use std::fmt;

use crate::support::resp;

/// A timeout that is waited for, in seconds and in milliseconds.
pub const BRIEF: [&str; 2] = ["0.01", "10"];

/// A word of a request.
#[derive(Clone, Debug)]
pub enum Word {
    Text(String),
    /// The id that the side has given to a connection.
    Id(usize),
}

/// One request.
pub type Request = Vec<Word>;

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// The requests go out at once, but for `cuts`: places, in 256ths of the whole, between two writes.
    Send { connection: usize, requests: Vec<Request>, inline: bool, cuts: Vec<u8> },
    /// The connection is closed, and another one takes its place.
    Leave { connection: usize, proto: u8 },
}

/// A request of the words of `line`; `#1` is the id of connection 1.
pub fn request(line: &str) -> Request {
    line.split(' ')
        .map(|word| match word.strip_prefix('#').and_then(|number| number.parse().ok()) {
            Some(number) => Word::Id(number),
            None => Word::Text(word.replace('\u{a0}', " ")),
        })
        .collect()
}

/// Shows a request as `request` reads it.
pub fn line(request: &Request) -> String {
    let word = |word: &Word| match word {
        Word::Text(text) => text.replace(' ', "\u{a0}"),
        Word::Id(number) => format!("#{number}"),
    };
    request.iter().map(word).collect::<Vec<_>>().join(" ")
}

impl Step {
    /// The connection that does something.
    pub const fn connection(&self) -> usize {
        match self {
            Self::Send { connection, .. } | Self::Leave { connection, .. } => *connection,
        }
    }

    /// The requests; none when it leaves.
    pub fn requests(&self) -> &[Request] {
        match self {
            Self::Send { requests, .. } => requests,
            Self::Leave { .. } => &[],
        }
    }

    /// Whether the connection waits for a short while only.
    pub fn is_brief(&self) -> bool {
        self.requests().iter().flatten().any(|word| matches!(word, Word::Text(text) if BRIEF.contains(&text.as_str())))
    }

    /// What is written, in the pieces in which it is written; `ids` are those of the side's connections.
    pub fn pieces(&self, ids: &[String]) -> Vec<Vec<u8>> {
        let Self::Send { requests, inline, cuts, .. } = self else { return Vec::new() };
        let mut bytes = Vec::new();
        for request in requests {
            let words: Vec<String> = request
                .iter()
                .map(|word| match word {
                    Word::Text(text) => text.clone(),
                    Word::Id(number) => ids[*number].clone(),
                })
                .collect();
            if *inline && words.iter().all(|word| is_plain(word)) {
                bytes.extend_from_slice(words.join(" ").as_bytes());
                bytes.extend_from_slice(b"\r\n");
            } else {
                resp::request(&mut bytes, &words);
            }
        }
        let mut places: Vec<usize> = cuts.iter().map(|&cut| bytes.len() * usize::from(cut) / 256).collect();
        places.sort_unstable();
        let mut pieces = Vec::new();
        for place in places.into_iter().rev() {
            pieces.push(bytes.split_off(place));
        }
        pieces.push(bytes);
        pieces.reverse();
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }
}

/// Whether an inline request can hold the word as it is.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\''))
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leave { connection, proto } => write!(out, "{connection}: leaves, and comes again with RESP{proto}"),
            Self::Send { connection, requests, inline, cuts } => {
                let lines: Vec<String> = requests.iter().map(line).collect();
                write!(out, "{connection}: {}", lines.join(" | "))?;
                if *inline {
                    write!(out, "   (inline)")?;
                }
                if !cuts.is_empty() {
                    write!(out, "   (cut at {cuts:?})")?;
                }
                Ok(())
            }
        }
    }
}
