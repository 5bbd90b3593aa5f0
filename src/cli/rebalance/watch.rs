//! A change of nodes while it goes on: a bar at a terminal, a line for each step elsewhere, JSON for programs.
//!
//! It only looks: whoever stops it (Ctrl-C) stops nothing else. Io.

use std::{io::IsTerminal as _, thread, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use redis_protocol::resp2::types::OwnedFrame;
use serde_json::Value;

use crate::cli::{
    Exit,
    operator::{bytes, count, json, time},
    remote::{Fields, Remote},
    say,
};

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(500);

/// Fields that are texts whatever they look like.
const TEXTS: [&str; 4] = ["what", "last-error", "node", "out"];

/// How it stands, as far as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
struct Status {
    state: String,
    moved: u64,
    left: u64,
    bytes: Option<u64>,
    speed: Option<u64>,
    seconds: Option<u64>,
    /// The change that is under way, 0 for none; and how many wait.
    change: u64,
    queued: u64,
    error: String,
}

impl Status {
    fn of(frame: OwnedFrame) -> Option<Self> {
        let fields = Fields::of(frame);
        Some(Self {
            state: fields.text("state")?.to_owned(),
            moved: fields.number("keys-moved").unwrap_or(0),
            left: fields.number("keys-left").unwrap_or(0),
            bytes: fields.number("bytes-moved"),
            speed: fields.number("speed"),
            seconds: fields.number("seconds-left"),
            change: fields.number("change").unwrap_or(0),
            queued: fields.number("queued").unwrap_or(0),
            error: fields.text("last-error").unwrap_or_default().to_owned(),
        })
    }

    fn is_over(&self) -> bool {
        self.state == "idle" && self.change == 0 && self.queued == 0
    }

    /// In hundredths; what is left may be an estimate.
    fn part(&self) -> u64 {
        let all = self.moved.saturating_add(self.left);
        self.moved.saturating_mul(100).checked_div(all).unwrap_or(0)
    }

    fn line(&self) -> String {
        let mut line =
            format!("{}: {} keys moved, {} left", self.state, count(Some(self.moved)), count(Some(self.left)));
        if let Some(moved) = self.bytes {
            line += &format!(", {}", bytes(Some(moved)));
        }
        if self.speed.is_some() && !self.is_over() {
            line += &format!(", {} keys/s", count(self.speed));
        }
        if self.seconds.is_some() && !self.is_over() {
            line += &format!(", {} left", time(self.seconds));
        }
        if !self.error.is_empty() {
            line += &format!(" ({})", self.error);
        }
        line
    }
}

/// Shows how far the change is until none is under way.
pub(in crate::cli) fn watch(remote: &mut Remote, programs: bool) -> Result<Exit, String> {
    let bar = bar(programs);
    let mut last = Status::default();
    loop {
        let frame = remote.ask(&[b"CIRCLET", b"REBALANCE", b"STATUS"])?;
        let told = numbered(json(&frame));
        let status = Status::of(frame).ok_or("its answer is not understood; is it another version?")?;
        if programs {
            say(&told);
        } else if let Some(bar) = &bar {
            bar.set_length(status.moved.saturating_add(status.left).max(1));
            bar.set_position(status.moved);
            bar.set_message(status.line());
        } else if (status.state.as_str(), status.part(), &status.error)
            != (last.state.as_str(), last.part(), &last.error)
        {
            say(status.line());
        }
        if status.is_over() {
            if let Some(bar) = bar {
                bar.finish_and_clear();
                say(status.line());
            }
            return Ok(Exit::Ended);
        }
        last = status;
        thread::sleep(EVERY);
    }
}

/// The reply with its numbers as numbers: they come as texts, as in Redis's INFO.
pub(super) fn numbered(reply: Value) -> Value {
    let fields = match reply {
        Value::Object(fields) => fields,
        Value::Array(items) => return Value::Array(items.into_iter().map(numbered).collect()),
        _ => return reply,
    };
    let number = |(name, value): (String, Value)| match value.as_str().and_then(|text| text.parse::<i64>().ok()) {
        Some(number) if !TEXTS.contains(&name.as_str()) => (name, number.into()),
        _ => (name, value),
    };
    Value::Object(fields.into_iter().map(number).collect())
}

/// The bar, if there is a terminal to draw it on.
fn bar(programs: bool) -> Option<ProgressBar> {
    if programs || !std::io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {wide_msg}").ok()?;
    bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    Some(bar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_is_known() {
        let bulk = |text: &str| OwnedFrame::BulkString(text.into());
        let status = |pairs: &[(&str, OwnedFrame)]| {
            let flat = pairs.iter().flat_map(|(name, value)| [bulk(name), value.clone()]).collect();
            Status::of(OwnedFrame::Array(flat))
        };
        assert_eq!(status(&[]), None);
        let idle = status(&[("state", bulk("idle"))]).unwrap();
        assert_eq!((idle.line().as_str(), idle.part(), idle.is_over()), ("idle: 0 keys moved, 0 left", 0, true));
        let moving = status(&[
            ("state", bulk("moving")),
            ("keys-moved", OwnedFrame::Integer(250_000)),
            ("keys-left", OwnedFrame::Integer(750_000)),
            ("bytes-moved", bulk("26214400")),
            ("speed", OwnedFrame::Integer(20_000)),
            ("rate", OwnedFrame::Integer(0)),
            ("seconds-left", OwnedFrame::Integer(38)),
            ("last-error", bulk("n3 is full")),
        ]);
        let moving = moving.unwrap();
        assert_eq!(
            moving.line(),
            "moving: 250,000 keys moved, 750,000 left, 25.0 MB, 20,000 keys/s, 38 s left (n3 is full)"
        );
        assert_eq!((moving.part(), moving.is_over()), (25, false));
        let waits = status(&[("state", bulk("idle")), ("queued", bulk("1")), ("seconds-left", bulk("-1"))]).unwrap();
        assert_eq!((waits.is_over(), waits.seconds), (false, None));
        let told =
            numbered(serde_json::json!({ "keys-left": "7", "seconds-left": "-1", "what": "7", "state": "idle" }));
        assert_eq!(told.to_string(), r#"{"keys-left":7,"seconds-left":-1,"state":"idle","what":"7"}"#);
    }
}
