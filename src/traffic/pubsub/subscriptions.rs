//! What one session listens to.
//!
//! Sets that keep the order in which the session subscribed, so that UNSUBSCRIBE without names goes through them in
//! it. Bounded by `max_subscriptions` and `max_subscription_bytes`. Hashed by the standard library's keyed hash: the
//! names are the clients' choice. Pure.

use std::collections::HashMap;

use super::{Kind, Name};

/// Bytes that a name takes beside its text, roughly: places in three tables.
const OVERHEAD: usize = 128;

/// The subscriptions of one session.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// By kind: each name with the number of its turn.
    kinds: [HashMap<Name, u64>; Kind::COUNT],
    next: u64,
    bytes: usize,
}

impl Subscriptions {
    /// Adds one; false: it was there.
    pub fn add(&mut self, kind: Kind, name: &Name) -> bool {
        let names = &mut self.kinds[kind as usize];
        if names.contains_key(name) {
            return false;
        }
        names.insert(name.clone(), self.next);
        self.next += 1;
        self.bytes += name.len() + OVERHEAD;
        true
    }

    /// Removes one; false: it was not there.
    pub fn remove(&mut self, kind: Kind, name: &[u8]) -> bool {
        if self.kinds[kind as usize].remove(name).is_none() {
            return false;
        }
        self.bytes -= name.len() + OVERHEAD;
        true
    }

    /// Whether it listens to this.
    #[must_use]
    pub fn has(&self, kind: Kind, name: &[u8]) -> bool {
        self.kinds[kind as usize].contains_key(name)
    }

    /// All of a kind, in their order.
    #[must_use]
    pub fn all(&self, kind: Kind) -> Vec<Name> {
        let mut all: Vec<(&Name, &u64)> = self.kinds[kind as usize].iter().collect();
        all.sort_unstable_by_key(|(_, turn)| **turn);
        all.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// Number of one kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.kinds[kind as usize].len()
    }

    /// The number that confirmations of this kind tell: channels and patterns together, shard channels alone.
    #[must_use]
    pub fn told(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.count(Kind::Channel) + self.count(Kind::Pattern),
            Kind::Shard => self.count(Kind::Shard),
        }
    }

    /// Number of all kinds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kinds.iter().map(HashMap::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory held, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that these names would add, if none is there already.
    #[must_use]
    pub fn would_add<'a>(names: impl IntoIterator<Item = &'a Name>) -> usize {
        names.into_iter().map(|name| name.len() + OVERHEAD).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_counts_follow_redis() {
        let mut all = Subscriptions::default();
        let name = |text: &'static str| Name::from_static(text.as_bytes());
        for (text, fresh) in [("c", true), ("a", true), ("b", true), ("a", false)] {
            assert_eq!(all.add(Kind::Channel, &name(text)), fresh, "{text}");
        }
        assert!(all.add(Kind::Pattern, &name("a")) && all.add(Kind::Shard, &name("a")));
        assert_eq!((all.told(Kind::Channel), all.told(Kind::Pattern), all.told(Kind::Shard)), (4, 4, 1));
        assert_eq!(all.len(), 5);
        assert!(all.remove(Kind::Channel, b"a") && !all.remove(Kind::Channel, b"a"));
        assert_eq!(all.all(Kind::Channel), [name("c"), name("b")]);
        for kind in Kind::ALL {
            all.all(kind).iter().for_each(|name| assert!(all.remove(kind, name)));
        }
        assert!(all.is_empty() && all.bytes() == 0);
    }
}
