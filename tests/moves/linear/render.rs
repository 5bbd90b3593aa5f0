//! A break, drawn for people: who did what when, what was certain before, and which operation cannot be.
//!
//! ```text
//!    certain at 1.202 s: 17
//!    possible at the end of >: 17 · 21
//!     client  begin s  end s
//!          5    1.199  1.202  [-]          SET 17 = OK
//!     --- 17 ---
//!          3    1.204  1.205  [--]         SET 21 = OK
//!          7    1.205  1.206    [---]      GET = 21
//!  >       4    1.207  1.208        [-]    GET = 17
//! ```
//! The bars are drawn to the order of events, not to their time.

use std::fmt::{self, Write};

use super::{
    history::{Op, seconds},
    object::State,
    search::Break,
};

/// Columns of the bars.
const WIDTH: usize = 48;

/// Operations that are shown.
const LINES: usize = 60;

/// The break, in lines.
pub fn render(found: &Break) -> String {
    let mut out = String::new();
    let (certain_at, certain) = &found.certain;
    let possible: Vec<String> = found.possible.iter().take(12).map(State::to_string).collect();
    let _ = writeln!(out, "   certain at {:.4} s: {certain}", seconds(*certain_at));
    let _ = writeln!(out, "   possible before the end of >: {}", possible.join(" · "));
    if let Some(origin) = &found.origin {
        let _ =
            writeln!(out, "   what > shows was written by client {} at {:.4} s", origin.client, seconds(origin.begin));
    }
    let _ = writeln!(out, "    client   begin s     end s");
    let times = times(&found.window);
    let skipped = found.window.len().saturating_sub(LINES);
    let mut told = false;
    for (at, op) in found.window.iter().enumerate() {
        // The one that cannot be, what has no end, and what came last.
        if at < skipped && at != found.op && op.end.is_some() {
            continue;
        }
        if op.begin > *certain_at && !std::mem::replace(&mut told, true) {
            let _ = writeln!(out, "   --- {certain} ---");
        }
        let _ = writeln!(out, " {} {}", if at == found.op { '>' } else { ' ' }, line(op, &times));
    }
    out
}

fn line(op: &Op, times: &[u64]) -> String {
    let end = op.end.map_or_else(|| "-".to_owned(), |end| format!("{:.4}", seconds(end)));
    let reply = op.reply.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let (begin, bar) = (seconds(op.begin), bar(op, times));
    format!("{:>6} {begin:>9.4} {end:>9}  {bar}  {} = {reply}", op.client, op.call)
}

/// The times of all events, in order.
fn times(window: &[Op]) -> Vec<u64> {
    let mut times: Vec<u64> = window.iter().flat_map(|op| [Some(op.begin), op.end]).flatten().collect();
    times.sort_unstable();
    times
}

fn bar(op: &Op, times: &[u64]) -> String {
    let column = |time| times.partition_point(|&other| other < time) * (WIDTH - 2) / times.len().max(1);
    let from = column(op.begin);
    let to = op.end.map_or(WIDTH - 1, |end| column(end).max(from + 1));
    let last = if op.end.is_some() { ']' } else { '>' };
    let drawn = (0..WIDTH).map(|at| match at {
        _ if at == from => '[',
        _ if at == to => last,
        _ if at > from && at < to => '-',
        _ => ' ',
    });
    drawn.collect()
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Value(id) => write!(f, "{id}"),
            Self::Until(id, end) => write!(f, "{id} until {:.3}s", seconds(*end)),
            Self::Number(number) => write!(f, "({number})"),
            Self::Members(bits) => write!(f, "{}", super::Reply::Members(*bits)),
            Self::Items(ids) => write!(f, "{ids:?}"),
        }
    }
}
