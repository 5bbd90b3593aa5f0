//! A lock service in this process, right or wrong on purpose: the checker must know which.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::wire::{Failure, Granted, Locks, Wish};

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    /// At times it forgets who has a lock.
    Forgets,
    /// It tells a validity of twice the ttl.
    Generous,
    /// Every fence is 7.
    SameFence,
    /// Fences fall.
    FallingFence,
    /// Whoever has ever had a lock may extend it.
    Revives,
    /// It releases whoever's lock it is.
    ReleasesAll,
}

#[derive(Debug, Default)]
struct State {
    /// Who has a lock, with which fence, and until when.
    held: BTreeMap<String, (String, u64, Instant)>,
    fence: u64,
}

/// One client's connection to it.
#[derive(Clone, Debug)]
pub struct Fake {
    fault: Fault,
    state: Arc<Mutex<State>>,
    /// Locks that end with the session.
    session: Vec<(String, String)>,
}

impl Fake {
    pub fn new(fault: Fault) -> Self {
        Self { fault, state: Arc::default(), session: Vec::new() }
    }

    fn try_acquire(&mut self, wish: Wish<'_>) -> Option<Granted> {
        let mut state = self.state.lock().unwrap();
        state.fence += 1;
        let (number, now) = (state.fence, Instant::now());
        let forgotten = self.fault == Fault::Forgets && number.is_multiple_of(8);
        if state.held.get(wish.name).is_some_and(|held| held.2 > now) && !forgotten {
            return None;
        }
        let fence = match self.fault {
            Fault::SameFence => 7,
            Fault::FallingFence => 1_000_000_000 - number,
            _ => number,
        };
        let token = number.to_string();
        state.held.insert(wish.name.to_owned(), (token.clone(), fence, now + Duration::from_millis(wish.ttl)));
        self.session.extend(wish.session.then(|| (wish.name.to_owned(), token.clone())));
        let validity = if self.fault == Fault::Generous { 2 * wish.ttl } else { wish.ttl };
        Some(Granted { token, fence, validity, waited: 0 })
    }
}

impl Locks for Fake {
    fn acquire(&mut self, wish: Wish<'_>) -> Result<Option<Granted>, Failure> {
        let begin = Instant::now();
        loop {
            let waited = u64::try_from(begin.elapsed().as_millis()).unwrap();
            let granted = self.try_acquire(wish).map(|granted| Granted { waited, ..granted });
            if granted.is_some() || waited >= wish.wait {
                return Ok(granted);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn extend(&mut self, name: &str, token: &str, ttl: u64) -> Result<Option<u64>, Failure> {
        let mut state = self.state.lock().unwrap();
        let now = Instant::now();
        let revives = self.fault == Fault::Revives;
        let held = state.held.get_mut(name).filter(|held| revives || held.0 == token && held.2 > now);
        Ok(held.map(|held| {
            held.2 = now + Duration::from_millis(ttl);
            ttl
        }))
    }

    fn release(&mut self, name: &str, token: &str) -> Result<bool, Failure> {
        let mut state = self.state.lock().unwrap();
        let all = self.fault == Fault::ReleasesAll;
        let own = state.held.get(name).is_some_and(|held| all || held.0 == token);
        if own {
            state.held.remove(name);
        }
        Ok(own)
    }

    fn vanish(&mut self) {
        for (name, token) in std::mem::take(&mut self.session) {
            // Never fails here.
            let _ = self.release(&name, &token);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;
    use crate::{
        locks::{
            judge::{Order, judge},
            person::Person,
            play::Play,
        },
        support::seed,
    };

    /// What the checker finds in the service after so many replies.
    fn found(test: &str, fault: Fault) -> Vec<String> {
        let seed = seed::number(test);
        let (play, fake) = (Play::new(), Fake::new(fault));
        thread::scope(|scope| {
            for number in 1..=6 {
                let (play, fake) = (&play, fake.clone());
                scope.spawn(move || Person::new(number, play, fake, seed).run());
            }
            play.wait_for(300);
            play.stop.store(true, SeqCst);
        });
        assert!(play.history().grants.len() > 20, "{}", play.history().grants.len());
        judge(&play.history(), Order::Fences)
    }

    #[test]
    fn a_right_service_is_found_right() {
        assert_eq!(found("a_right_service_is_found_right", Fault::Nothing), [""; 0]);
    }

    #[test]
    fn each_wrong_one_is_found_wrong() {
        let faults = [
            Fault::Forgets,
            Fault::Generous,
            Fault::SameFence,
            Fault::FallingFence,
            Fault::Revives,
            Fault::ReleasesAll,
        ];
        thread::scope(|scope| {
            for fault in faults {
                scope.spawn(move || {
                    let found = found("each_wrong_one_is_found_wrong", fault);
                    eprintln!("{fault:?}: {}", found.first().unwrap_or_else(|| panic!("{fault:?} is not found out")));
                });
            }
        });
    }
}
