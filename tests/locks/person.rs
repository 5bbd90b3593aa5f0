//! A client: it takes locks, writes to what they guard, and is at times slow, careless or gone.

use std::{sync::atomic::Ordering::SeqCst, thread, time::Duration};

use fastrand::Rng;

use super::{
    history::Grant,
    play::Play,
    wire::{Failure, Granted, Locks, Wish},
};

/// Locks that everybody wants.
pub const LOCKS: u8 = 3;

/// The longest ttl in ms: `lock.max_ttl` of the Circlets.
pub const MAX_TTL: u64 = 1_000;

/// Time between two tries where nothing works, as a fault may last.
const REST: Duration = Duration::from_millis(20);

/// What a lock is called.
pub fn name(lock: u8) -> String {
    format!("lock:{lock}")
}

/// A client.
#[derive(Debug)]
pub struct Person<'a, L> {
    play: &'a Play,
    number: u16,
    locks: L,
    rng: Rng,
}

/// What it does with a lock that it has.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// A word, and release.
    Brief,
    /// Words and extensions, and release.
    Busy,
    /// It stops until the lock is over, then goes on as if nothing had been.
    Stalled,
    /// It forgets to release.
    Forgetful,
    /// It is gone.
    Dead,
}

impl<'a, L: Locks> Person<'a, L> {
    pub fn new(number: u16, play: &'a Play, locks: L, seed: u64) -> Self {
        Self { play, number, locks, rng: Rng::with_seed(seed.wrapping_add(u64::from(number))) }
    }

    /// Goes on until it is told to stop.
    pub fn run(mut self) {
        while !self.play.stop.load(SeqCst) {
            self.turn();
        }
    }

    fn turn(&mut self) {
        let lock = self.rng.u8(..LOCKS);
        let habit = match self.rng.u8(..10) {
            0..4 => Habit::Brief,
            4..7 => Habit::Busy,
            7 => Habit::Stalled,
            8 => Habit::Forgetful,
            _ => Habit::Dead,
        };
        // Who leaves a lock behind is not the rule, and does it for short.
        let longest = if matches!(habit, Habit::Brief | Habit::Busy) { MAX_TTL } else { MAX_TTL / 4 };
        // A session's lock that is forgotten is had for as long as the session is there.
        let session = matches!(habit, Habit::Dead) || !matches!(habit, Habit::Forgetful) && self.rng.u8(..4) == 0;
        let wish = Wish { name: &name(lock), ttl: self.rng.u64(100..=longest), wait: self.rng.u64(0..1_500), session };
        let asked = self.play.now();
        let answer = self.locks.acquire(wish);
        if let Some(Some(granted)) = self.told(answer) {
            self.hold(lock, asked, &granted, habit);
        } else {
            thread::sleep(REST);
        }
    }

    /// Counts a reply; `None` if it is none.
    fn told<T>(&self, answer: Result<T, Failure>) -> Option<T> {
        match answer {
            Ok(value) => {
                self.play.replied();
                Some(value)
            }
            Err(Failure::Refused(line)) => {
                self.play.replied();
                self.play.error(line.split(' ').next().unwrap_or_default());
                None
            }
            Err(Failure::Broken) => {
                self.play.error("(broken)");
                None
            }
        }
    }

    fn hold(&mut self, lock: u8, asked: u64, granted: &Granted, habit: Habit) {
        let since = asked + ms(granted.waited);
        let end = since + ms(granted.validity);
        let mut grant = Grant { lock, client: self.number, fence: granted.fence, since, got: self.play.now(), end };
        match habit {
            Habit::Brief => self.write(&grant),
            Habit::Busy => self.work(&mut grant, granted),
            Habit::Stalled => self.stall(&mut grant, granted),
            Habit::Forgetful => {
                self.write(&grant);
                return self.play.had(grant);
            }
            Habit::Dead => {
                self.write(&grant);
                grant.end = grant.end.min(self.play.now());
                self.locks.vanish();
                return self.play.had(grant);
            }
        }
        // From here on others may have it.
        grant.end = grant.end.min(self.play.now());
        self.play.had(grant);
        let answer = self.locks.release(&name(lock), &granted.token);
        if self.told(answer).is_none() {
            // Else a session's lock that could not be released would be renewed for ever.
            self.locks.vanish();
        }
    }

    /// Writes and extends, as long as it believes.
    fn work(&mut self, grant: &mut Grant, granted: &Granted) {
        for _ in 0..self.rng.u8(1..6) {
            self.write(grant);
            thread::sleep(Duration::from_millis(self.rng.u64(1..20)));
            if self.rng.u8(..3) == 0 && !self.extend(grant, granted) {
                return;
            }
        }
        self.write(grant);
    }

    /// Does nothing until the lock is over, then writes nevertheless, and asks whether it has it still.
    fn stall(&mut self, grant: &mut Grant, granted: &Granted) {
        self.write(grant);
        let left = grant.end.saturating_sub(self.play.now());
        thread::sleep(Duration::from_nanos(left) + Duration::from_millis(self.rng.u64(0..100)));
        if grant.fence != 0 {
            self.play.resource.append(self.play.start, grant.lock, self.number, grant.fence);
        }
        self.extend(grant, granted);
    }

    /// Whether it has it still. If so, nobody else had it in between. It may be for shorter than before, also where the
    /// answer is an error.
    fn extend(&mut self, grant: &mut Grant, granted: &Granted) -> bool {
        let (asked, ttl) = (self.play.now(), self.rng.u64(100..=MAX_TTL));
        let answer = self.locks.extend(&name(grant.lock), &granted.token, ttl);
        let extended = self.told(answer).flatten();
        match extended {
            Some(validity) => grant.end = asked + ms(validity),
            None => grant.end = grant.end.min(asked + ms(ttl - ttl / 50 - 2)),
        }
        extended.is_some()
    }

    /// A line in the log of the lock, if it believes.
    fn write(&self, grant: &Grant) {
        if grant.fence != 0 && self.play.now() < grant.end {
            self.play.resource.append(self.play.start, grant.lock, self.number, grant.fence);
        }
    }
}

fn ms(ms: u64) -> u64 {
    ms * 1_000_000
}
