//! What a session wants: checked against the limits, and given to whoever does it. Pure.

use super::{
    Now,
    acquire::{Attempt, outcome_of},
    extend::Reason,
    look::Look,
    machine::Keeper,
    work::{Deed, Work},
};
use crate::{
    control::lock::{note::Why, outcome::Outcome},
    traffic::lock::{LockAsk, LockName, Want},
};

/// Longest name and longest value, bytes: a million of them are held.
const LONGEST: usize = 4_096;

impl Keeper {
    /// A session wants something.
    pub(super) fn on_ask(&mut self, ask: LockAsk, now: Now) {
        if let Some(text) = unfit(&ask) {
            self.refuse(ask, Why::Limit, Outcome::Refused(text));
            return;
        }
        match ask.want.clone() {
            Want::Acquire { ttl_ms, wait_ms, value, again, .. } => {
                self.on_acquire(ask, ttl_ms, wait_ms, (again, &value), now);
            }
            Want::Extend { proof, ttl_ms, more } => self.on_extend(ask, &proof, ttl_ms, more, now),
            Want::Release { proof, once } => self.on_release(ask, proof.as_ref(), once, now),
            Want::Read => self.on_look(ask, Look::Read, now),
            Want::Info => self.on_look(ask, Look::Info, now),
            Want::List { pattern } => {
                let listed = self.list(ask.lock.db, &pattern, now);
                self.answer(ask, Outcome::List(listed));
            }
        }
    }

    fn on_acquire(&mut self, ask: LockAsk, ttl_ms: u64, wait_ms: u64, (again, value): (bool, &[u8]), now: Now) {
        if let Some(text) = self.unfit_ttl(&ask.lock, ttl_ms).or_else(|| self.too_many(&ask.lock)) {
            self.refuse(ask, Why::Limit, Outcome::Refused(text));
            return;
        }
        let own = |held: &super::held::Held| again && held.value == value;
        if self.held.get(&ask.lock, now).is_some_and(own) {
            let lock = ask.lock.clone();
            self.extend(&lock, Some(ask), ttl_ms, Reason::Again, now);
            return;
        }
        if wait_ms > 0 {
            self.wait(ask, wait_ms, now);
            return;
        }
        if self.others_wait(&ask, now) {
            let (why, outcome) = outcome_of(self.why_they_wait(&ask.lock, now));
            self.refuse(ask, why, outcome);
            return;
        }
        let token = self.dice.token();
        let Some(attempt) = Attempt::new(&ask, token, None) else { return };
        let electorate = self.electorate(&ask.lock);
        let id = self.number();
        self.begin(id, Work::new(ask.lock.clone(), Some(ask), now, electorate, Deed::Acquire(attempt)), now);
    }

    fn too_many(&self, lock: &LockName) -> Option<String> {
        (self.held.len() >= self.rules.limits.max_held).then(|| {
            format!(
                "lock '{}': {} locks are held by way of this Circlet already; raise lock.max_held, or release some",
                String::from_utf8_lossy(&lock.name),
                self.held.len()
            )
        })
    }
}

/// What is wrong with its name or value; `None`: nothing.
fn unfit(ask: &LockAsk) -> Option<String> {
    let named = !matches!(ask.want, Want::List { .. });
    if named && ask.lock.name.is_empty() {
        return Some("a lock needs a name".to_owned());
    }
    let value = match &ask.want {
        Want::Acquire { value, .. } => value.len(),
        _ => 0,
    };
    let (what, length) = if value > LONGEST { ("value", value) } else { ("name", ask.lock.name.len()) };
    (length > LONGEST).then(|| format!("the {what} of a lock has {length} bytes; use at most {LONGEST}"))
}
