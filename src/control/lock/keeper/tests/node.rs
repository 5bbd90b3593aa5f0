//! A node as the scripts see it: keys that expire by its own clock, fences, the marker, and what it has forgotten.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;

use super::super::{Facts, Held, Member, Mine, Said, Script, Token, slot};
use crate::traffic::lock::LockName;

/// A key of a lock.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) token: Token,
    value: Bytes,
    fence: u64,
    holds: u32,
    /// By the node's clock, ms.
    expires: i64,
    /// Which Take of this token it was.
    pub(super) take: u64,
}

/// A redis-server.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) member: Member,
    pub(super) up: bool,
    pub(super) run: u64,
    pub(super) keys: HashMap<LockName, Key>,
    fences: HashMap<u16, u64>,
    pub(super) marker: Option<String>,
    /// Parts of a million that its clock is fast.
    pub(super) drift: i64,
    /// What it was set forward, µs.
    pub(super) ahead: i64,
    pub(super) primary: bool,
    pub(super) evicts: bool,
    pub(super) evicted: u64,
    /// Whether scripts look at the marker: a planted fault.
    pub(super) marker_counts: bool,
    /// The last Take of each token whose compare-and-delete was executed.
    dead: HashMap<Token, u64>,
}

/// What the judge is told of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// A release removed the key of a later attempt.
    WrongDelete,
    /// A Take came behind its own release.
    Residue,
}

impl Node {
    pub(super) fn new(member: Member, marker_counts: bool) -> Self {
        Self {
            member,
            up: true,
            run: 1,
            keys: HashMap::new(),
            fences: HashMap::new(),
            marker: None,
            drift: 0,
            ahead: 0,
            primary: true,
            evicts: false,
            evicted: 0,
            marker_counts,
            dead: HashMap::new(),
        }
    }

    pub(super) fn run_id(&self) -> String {
        format!("{}-{}", self.member.name, self.run)
    }

    /// Its TIME, µs.
    pub(super) fn wall(&self, now: Duration) -> i64 {
        let us = now.as_micros() as i64;
        1_700_000_000_000_000 + us + us * self.drift / 1_000_000 + self.ahead
    }

    pub(super) fn forget(&mut self) {
        self.keys.clear();
        self.fences.clear();
        self.marker = None;
        self.dead.clear();
    }

    pub(super) fn restart(&mut self) {
        self.forget();
        self.run += 1;
    }

    pub(super) fn facts(&self, now: Duration) -> Facts {
        Facts {
            run_id: self.run_id(),
            version: "7.0.15".into(),
            primary: self.primary,
            evicts: self.evicts.then(|| "allkeys-lru".into()),
            evicted: self.evicted,
            admit: self.marker.clone(),
            clock_us: Some(self.wall(now) as u64),
        }
    }

    fn expire(&mut self, now: Duration) {
        let ms = self.wall(now) / 1_000;
        self.keys.retain(|_, key| ms <= key.expires);
    }

    /// Executes a script; `take`: which Take of its token it belongs to.
    pub(super) fn execute(&mut self, script: &Script, take: u64, now: Duration) -> (Said, Option<Oddity>) {
        self.expire(now);
        let ms = self.wall(now) / 1_000;
        match script {
            Script::Take { run_id, .. }
            | Script::Fence { run_id, .. }
            | Script::Extend { run_id, .. }
            | Script::Read { run_id, .. }
                if self.marker_counts && self.marker.as_ref() != Some(run_id) =>
            {
                (Said::NotAdmitted, None)
            }
            Script::Take { lock, token, value, ttl_ms, .. } => {
                let late = self.dead.get(token).is_some_and(|dead| *dead >= take);
                let oddity = late.then_some(Oddity::Residue);
                let fence = self.fence(lock);
                if let Some(key) = self.keys.get(lock) {
                    let held = Some(held(key, ms));
                    return (Said::Key { mine: false, held, fence }, oddity);
                }
                let expires = ms + *ttl_ms as i64;
                let key = Key { token: *token, value: value.clone(), fence: 0, holds: 1, expires, take };
                self.keys.insert(lock.clone(), key);
                (Said::Key { mine: true, held: None, fence }, oddity)
            }
            Script::Fence { lock, token, fence, .. } => {
                let stored = self.fence(lock);
                if *fence <= stored {
                    return (Said::Fence { accepted: false, stored }, None);
                }
                self.fences.insert(slot(lock), *fence);
                if let Some(key) = self.keys.get_mut(lock).filter(|key| key.token == *token) {
                    key.fence = *fence;
                }
                (Said::Fence { accepted: true, stored: *fence }, None)
            }
            Script::Extend { lock, proof, ttl_ms, or_take, holds, .. } => {
                let mut mine = false;
                let expires = ms + *ttl_ms as i64;
                if let Some(key) = self.keys.get_mut(lock) {
                    mine = is_mine(key, proof);
                    if mine {
                        key.expires = expires;
                        key.holds = holds.unwrap_or(key.holds);
                    }
                } else if let (Some((value, fence)), Mine::Token(token)) = (or_take, proof) {
                    let key = Key {
                        token: *token,
                        value: value.clone(),
                        fence: *fence,
                        holds: holds.unwrap_or(1),
                        expires,
                        take,
                    };
                    self.keys.insert(lock.clone(), key);
                    let stored = self.fence(lock).max(*fence);
                    self.fences.insert(slot(lock), stored);
                    mine = true;
                }
                let fence = self.fence(lock);
                (Said::Key { mine, held: self.keys.get(lock).map(|key| held(key, ms)), fence }, None)
            }
            Script::Release { lock, proof } => self.release(lock, proof.as_ref(), take),
            Script::Read { lock, .. } => {
                let fence = self.fence(lock);
                (Said::Key { mine: false, held: self.keys.get(lock).map(|key| held(key, ms)), fence }, None)
            }
            Script::Admit { run_id } => {
                self.marker = Some(run_id.clone());
                (Said::Done, None)
            }
        }
    }

    fn release(&mut self, lock: &LockName, proof: Option<&Mine>, take: u64) -> (Said, Option<Oddity>) {
        if let Some(Mine::Token(token)) = proof {
            let dead = self.dead.entry(*token).or_default();
            *dead = take.max(*dead);
        }
        let Some(key) = self.keys.get(lock) else { return (Said::Released(false), None) };
        if !proof.is_none_or(|proof| is_mine(key, proof)) {
            return (Said::Released(false), None);
        }
        let oddity = (key.take > take).then_some(Oddity::WrongDelete);
        self.keys.remove(lock);
        (Said::Released(true), oddity)
    }

    fn fence(&self, lock: &LockName) -> u64 {
        self.fences.get(&slot(lock)).copied().unwrap_or(0)
    }
}

fn is_mine(key: &Key, proof: &Mine) -> bool {
    match proof {
        Mine::Token(token) => *token == key.token,
        Mine::Value(value) => *value == key.value,
    }
}

fn held(key: &Key, ms: i64) -> Held {
    let pttl_ms = (key.expires - ms).max(0) as u64;
    Held { token: key.token, value: key.value.clone(), pttl_ms, fence: key.fence, holds: key.holds }
}
