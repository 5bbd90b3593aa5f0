//! How many listen to what in the whole process, so that PUBLISH and PUBSUB can tell subscribers and not ears.
//!
//! A node counts one receiver per ear, however many sessions listen behind it:
//!
//! ```text
//!  receivers of PUBLISH  =  what the node says  −  ears of this process at that node  +  its sessions
//! ```
//! once for the channel and once for each pattern that matches, as Redis counts. Subscribers that other programs have
//! at the node itself stay in the sum; another Circlet's ears do, too, one for each of its workers.
//!
//! The one state of publish/subscribe that workers share: a dashmap, changed when a session or an ear begins or ends to
//! listen, read by PUBLISH and PUBSUB. A count is right for everybody whose SUBSCRIBE or UNSUBSCRIBE was confirmed
//! before. Bounded by the sessions' subscriptions. Pure, but for the lock of a dashmap's part.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use dashmap::DashMap;

use super::{Kind, Name};
use crate::traffic::{command::glob, route::NodeId};

/// Who listens to one topic.
#[derive(Debug, Default)]
struct Listeners {
    /// Sessions by worker; those with none are left out.
    sessions: Vec<(usize, i64)>,
    /// The workers whose ears hear it, by node, in their order.
    ears: Vec<(NodeId, usize)>,
}

impl Listeners {
    fn sessions_of(&self, worker: usize) -> i64 {
        self.sessions.iter().find(|(of, _)| *of == worker).map_or(0, |(_, sessions)| *sessions)
    }

    /// What is to be added to the number that `node` tells: of each ear there its sessions, instead of itself.
    fn correction(&self, node: NodeId) -> i64 {
        let first = self.ears.partition_point(|(of, _)| *of < node);
        let ears = self.ears[first..].iter().take_while(|(of, _)| *of == node);
        ears.map(|(_, worker)| self.sessions_of(*worker) - 1).sum()
    }

    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.ears.is_empty()
    }
}

/// Everybody who listens, as numbers.
#[derive(Debug, Default)]
pub struct Audience {
    kinds: [DashMap<Name, Listeners>; Kind::COUNT],
    /// Sessions and ears of all patterns together, so that none is looked for when there is none.
    patterns: AtomicI64,
}

impl Audience {
    /// One session of `worker` more (1) or less (-1) listens.
    pub fn count_session(&self, kind: Kind, name: &Name, worker: usize, by: i64) {
        self.change(kind, name, by, |listeners| {
            match listeners.sessions.iter_mut().find(|(of, _)| *of == worker) {
                Some((_, sessions)) => *sessions += by,
                None => listeners.sessions.push((worker, by)),
            }
            listeners.sessions.retain(|(_, sessions)| *sessions != 0);
        });
    }

    /// The ear of `worker` at `node` begins (1) or ends (-1) to hear it.
    pub fn count_ear(&self, kind: Kind, name: &Name, node: NodeId, worker: usize, by: i64) {
        self.change(kind, name, by, |listeners| match (listeners.ears.binary_search(&(node, worker)), by > 0) {
            (Err(at), true) => listeners.ears.insert(at, (node, worker)),
            (Ok(at), false) => drop(listeners.ears.remove(at)),
            _ => {}
        });
    }

    fn change(&self, kind: Kind, name: &Name, by: i64, change: impl FnOnce(&mut Listeners)) {
        if kind == Kind::Pattern {
            self.patterns.fetch_add(by, Relaxed);
        }
        let mut entry = self.kinds[kind as usize].entry(name.clone()).or_default();
        change(entry.value_mut());
        let nobody = entry.is_empty();
        drop(entry);
        if nobody {
            self.kinds[kind as usize].remove_if(name, |_, listeners| listeners.is_empty());
        }
    }

    /// What is to be added to the number of receivers that `node` tells of a message to this channel.
    #[must_use]
    pub fn correction(&self, kind: Kind, channel: &[u8], node: NodeId) -> i64 {
        let direct = self.kinds[kind as usize].get(channel).map_or(0, |listeners| listeners.correction(node));
        if kind != Kind::Channel || self.patterns.load(Relaxed) == 0 {
            return direct;
        }
        let patterns = self.kinds[Kind::Pattern as usize].iter();
        let matching = patterns.filter(|listeners| glob::matches_exactly(listeners.key(), channel));
        direct + matching.map(|listeners| listeners.correction(node)).sum::<i64>()
    }

    /// What is to be added to the number of subscribers that all nodes together tell of this channel.
    #[must_use]
    pub fn correction_of_all(&self, kind: Kind, channel: &[u8]) -> i64 {
        self.kinds[kind as usize].get(channel).map_or(0, |listeners| {
            listeners.sessions.iter().map(|(_, sessions)| sessions).sum::<i64>() - listeners.ears.len() as i64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);

    fn name(text: &'static str) -> Name {
        Name::from_static(text.as_bytes())
    }

    #[test]
    fn each_ear_is_replaced_by_its_sessions() {
        let audience = Audience::default();
        let news = name("news");
        for worker in [0, 1, 1, 2] {
            audience.count_session(Kind::Channel, &news, worker, 1);
        }
        for worker in [1, 0] {
            audience.count_ear(Kind::Channel, &news, B, worker, 1);
        }
        assert_eq!(audience.correction(Kind::Channel, b"news", B), 1, "the third worker hears nothing");
        assert_eq!(audience.correction(Kind::Channel, b"news", A), 0, "nobody hears anything there");
        assert_eq!(audience.correction(Kind::Shard, b"news", B), 0);
        assert_eq!(audience.correction_of_all(Kind::Channel, b"news"), 2);
        audience.count_ear(Kind::Channel, &news, B, 2, 1);
        assert_eq!(audience.correction(Kind::Channel, b"news", B), 1);
    }

    #[test]
    fn each_matching_pattern_counts() {
        let audience = Audience::default();
        for pattern in ["n*", "*s", "x*", "N*"] {
            audience.count_ear(Kind::Pattern, &name(pattern), A, 0, 1);
            (0..3).for_each(|_| audience.count_session(Kind::Pattern, &name(pattern), 0, 1));
        }
        assert_eq!(audience.correction(Kind::Channel, b"news", A), 4);
        assert_eq!(audience.correction(Kind::Shard, b"news", A), 0, "patterns do not match shard channels");
    }

    #[test]
    fn nothing_is_left_of_whoever_is_gone() {
        let audience = Audience::default();
        audience.count_session(Kind::Pattern, &name("a"), 3, 1);
        audience.count_ear(Kind::Pattern, &name("a"), B, 3, 1);
        audience.count_session(Kind::Pattern, &name("a"), 3, -1);
        assert_eq!(audience.patterns.load(Relaxed), 1);
        audience.count_ear(Kind::Pattern, &name("a"), B, 3, -1);
        assert_eq!(audience.patterns.load(Relaxed), 0);
        assert!(audience.kinds.iter().all(DashMap::is_empty));
    }
}
