//! What becomes of a wish, as the reply that its session is waiting for.
//!
//! ```text
//!  keeper ── Outcome ──► write(outcome, form) ──► Message::Answer ──► the session's slot
//! ```
//! The same outcome is another reply in each [`Form`]: that of a LOCK command, or that of the command or script that was
//! sent for a key under `lock.prefix`, to the letter as Redis would give it, because libraries look at it. Two rules stand
//! above the forms: too few nodes is always an error, never a "no" that a library would take for somebody else's lock, and
//! nothing but a grant is ever written as what the client takes for one. Pure.

use super::outcome::{Holder, Info, Listed, NodeInfo, Outcome, Read};
use crate::traffic::{
    lock::{
        Form,
        script::{Word, Words},
    },
    refusal::Refusal,
    resp::{Fields, Proto, encode},
};

/// Who holds a lock cannot be told.
const SPLIT: &str = "somebody has a part of the lock, and nobody a majority; try again";

/// Appends the reply to `out`.
pub fn write(outcome: &Outcome, form: &Form, resp3: bool, out: &mut Vec<u8>) {
    let proto = if resp3 { Proto::Resp3 } else { Proto::Resp2 };
    match outcome {
        Outcome::NoQuorum(words) => Refusal::NoQuorum(words).write(out),
        Outcome::Refused(words) => Refusal::LockRefused(words).write(out),
        Outcome::Unblocked => Refusal::Redis("UNBLOCKED client unblocked via CLIENT UNBLOCK").write(out),
        Outcome::Info(info) => write_info(info, proto, out),
        Outcome::List(listed) => {
            encode::array_header(out, listed.len());
            listed.iter().for_each(|lock| write_listed(lock, proto, out));
        }
        _ if *form == Form::Lock => write_lock(outcome, proto, out),
        _ => write_as(outcome, form, proto, out),
    }
}

/// As LOCK.ACQUIRE, LOCK.EXTEND and LOCK.RELEASE answer.
fn write_lock(outcome: &Outcome, proto: Proto, out: &mut Vec<u8>) {
    match outcome {
        Outcome::Granted { token, fence, validity_ms, waited_ms, .. } => {
            encode::array_header(out, 4);
            encode::bulk(out, token.hex().as_bytes());
            number(out, *fence);
            number(out, *validity_ms);
            number(out, *waited_ms);
        }
        Outcome::Extended { fence, validity_ms } => {
            encode::array_header(out, 2);
            number(out, *fence);
            number(out, *validity_ms);
        }
        Outcome::Lost(why) => Refusal::LockLost(why).write(out),
        Outcome::Released { .. } => encode::integer(out, 1),
        Outcome::NotHeld => encode::integer(out, 0),
        _ => encode::null_array(out, proto),
    }
}

/// As the command or script on the prefix answers.
fn write_as(outcome: &Outcome, form: &Form, proto: Proto, out: &mut Vec<u8>) {
    match form {
        Form::Set => {
            if succeeded(outcome) {
                encode::simple(out, "OK");
            } else {
                encode::null(out, proto);
            }
        }
        Form::SetGet => match outcome {
            // Nil says that it is the client's now: only a grant may say so.
            Outcome::Granted { .. } => encode::null(out, proto),
            Outcome::Taken { value: Some(value), .. } => encode::bulk(out, value),
            _ => Refusal::NoQuorum(SPLIT).write(out),
        },
        Form::Script(words) => write_word(outcome, words, out),
        Form::Number | Form::Lock => encode::integer(out, i64::from(succeeded(outcome))),
        Form::Value | Form::Pttl | Form::Ttl | Form::Is(_) | Form::HeldBy(_) => {
            let read = if let Outcome::Read(read) = outcome { read.as_ref() } else { None };
            write_read(read, form, proto, out);
        }
    }
}

/// What a script says at this outcome.
fn write_word(outcome: &Outcome, words: &Words, out: &mut Vec<u8>) {
    let (word, value, pttl_ms) = match outcome {
        Outcome::Granted { holds: 0..=1, .. } | Outcome::Extended { .. } | Outcome::Released { holds: 0 } => {
            (&words.done, None, None)
        }
        Outcome::Granted { .. } | Outcome::Released { .. } => (&words.again, None, None),
        Outcome::Taken { value, pttl_ms } => (&words.other, value.as_ref(), *pttl_ms),
        Outcome::Read(Some(read)) => {
            let word = if read.value == words.value { &words.done } else { &words.other };
            (word, Some(&read.value), Some(read.pttl_ms))
        }
        _ => (&words.gone, None, None),
    };
    match (word, value) {
        (Word::Text(text), _) => out.extend_from_slice(text),
        // It may be free at any time: a client that is to come back must be told some time.
        (Word::Pttl, _) => number(out, pttl_ms.unwrap_or(0)),
        (Word::Ttl, _) => number(out, (pttl_ms.unwrap_or(0) + 500) / 1_000),
        (Word::Value, Some(value)) => encode::bulk(out, value),
        (Word::Value, None) => Refusal::NoQuorum(SPLIT).write(out),
    }
}

/// What a majority has, as a command that reads.
fn write_read(read: Option<&Read>, form: &Form, proto: Proto, out: &mut Vec<u8>) {
    match (form, read) {
        (Form::Value, Some(read)) => encode::bulk(out, &read.value),
        (Form::Pttl, Some(read)) => number(out, read.pttl_ms),
        // Rounded as Redis rounds it.
        (Form::Ttl, Some(read)) => number(out, (read.pttl_ms + 500) / 1_000),
        (Form::Pttl | Form::Ttl, None) => encode::integer(out, -2),
        (Form::Is(value), read) => encode::integer(out, i64::from(read.is_some_and(|read| read.value == *value))),
        (Form::HeldBy(value), Some(read)) if read.value == *value => {
            encode::bulk(out, read.holds.to_string().as_bytes());
        }
        _ => encode::null(out, proto),
    }
}

/// Whether what was wanted was done, or is there.
fn succeeded(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Granted { .. } | Outcome::Extended { .. } | Outcome::Released { .. } | Outcome::Read(Some(_))
    )
}

/// LOCK.INFO: first what one wants to know, then each node's word.
fn write_info(info: &Info, proto: Proto, out: &mut Vec<u8>) {
    let mut fields = Fields::new(proto);
    fields.bulk("name", &info.lock.name);
    fields.number("db", u64::from(info.lock.db));
    fields.text("state", info.state);
    if let Some(holder) = &info.holder {
        write_holder(holder, &mut fields);
    }
    fields.number("waiters", info.waiters);
    let (nodes, majority) = info.quorum;
    fields.text("quorum", &format!("{majority} of {nodes}"));
    fields.text("acquire-now", info.obstacle.as_deref().unwrap_or("would succeed"));
    if let Some((before, after, left_ms)) = info.window {
        let text = format!("nodes change: majorities of the {before} before and of the {after} after count");
        fields.text("window", &text);
        fields.number("window-left-ms", left_ms);
    }
    if let Some(advice) = &info.advice {
        fields.text("advice", advice);
    }
    fields.list("nodes", info.nodes.len(), |out| info.nodes.iter().for_each(|node| write_node(node, proto, out)));
    fields.end(out);
}

fn write_holder(holder: &Holder, fields: &mut Fields) {
    fields.bulk("owner", &holder.value);
    fields.text("token", &holder.token.hex());
    fields.maybe_number("fence", holder.fence.map(signed));
    // Nil: it was granted by another process, or before a restart.
    fields.maybe_number("validity-ms", holder.validity_ms.map(signed));
    if let Some(session) = holder.session {
        fields.number("session", session);
    }
}

fn write_node(node: &NodeInfo, proto: Proto, out: &mut Vec<u8>) {
    let mut fields = Fields::new(proto);
    fields.text("name", &node.name);
    fields.text("state", node.state);
    fields.text("why", &node.why);
    fields.maybe_number("left-ms", node.left_ms.map(signed));
    fields.maybe_number("fence", node.fence.map(signed));
    fields.end(out);
}

fn write_listed(lock: &Listed, proto: Proto, out: &mut Vec<u8>) {
    let mut fields = Fields::new(proto);
    fields.bulk("name", &lock.lock.name);
    fields.number("db", u64::from(lock.lock.db));
    fields.text("state", if lock.validity_ms > 0 { "held" } else { "waited for" });
    fields.bulk("owner", &lock.value);
    fields.number("fence", lock.fence);
    fields.number("validity-ms", lock.validity_ms);
    fields.number("waiters", lock.waiters);
    fields.maybe_number("session", lock.session.map(signed));
    fields.end(out);
}

fn number(out: &mut Vec<u8>, value: u64) {
    encode::integer(out, signed(value));
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
