//! A worker's topics: everything that its sessions listen to, and how well it is heard.
//!
//! ```text
//!             first subscriber                 every station is heard          last one gone
//!  (nothing) ──────────────────► waiting ─────────────────────────► members ──────────────────► (nothing)
//!                                    │ a station cannot be reached: the waiting ones are refused
//!  station:  Deaf ─► Asked ─► Heard | Refused        and back to Deaf when its ear is lost
//! ```
//! A session stands in `waiting` while its SUBSCRIBE is unanswered and in `members` afterwards; only members are sent
//! messages, so none comes before its confirmation. A topic without either is removed at once. Each topic has a number
//! of its own, so that a late confirmation is not taken for that of a later topic of the same name. Bounded by its
//! sessions' subscriptions. Pure.

use std::collections::HashMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Kind, Name};
use crate::traffic::{client::ClientKey, route::NodeId};

/// Whether a node sends us the messages of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// The node does not know of it: its ear is not open.
    Deaf,
    /// The node has been asked.
    Asked,
    /// The node has confirmed it.
    Heard,
    /// The node has refused it.
    Refused,
}

/// A node at which a topic must be heard.
#[derive(Clone, Copy, Debug)]
pub struct Station {
    /// The node.
    pub node: NodeId,
    /// Whether it is.
    pub hearing: Hearing,
}

/// One topic.
#[derive(Debug)]
pub struct Topic {
    /// Its number.
    pub id: u32,
    /// Sessions that are sent its messages.
    pub members: FxHashSet<ClientKey>,
    /// Sessions whose SUBSCRIBE is unanswered; true: it waits for this topic, too.
    pub waiting: FxHashMap<ClientKey, bool>,
    /// The nodes at which it must be heard.
    pub stations: Vec<Station>,
}

impl Topic {
    /// Its station at `node`.
    pub fn station(&mut self, node: NodeId) -> Option<&mut Station> {
        self.stations.iter_mut().find(|station| station.node == node)
    }

    /// Whether nobody is interested.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.members.is_empty() && self.waiting.is_empty()
    }

    /// Whether some session waits for it.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.waiting.values().any(|due| *due)
    }

    /// The sessions that waited for it, which wait for it no more.
    pub fn take_awaiting(&mut self) -> Vec<ClientKey> {
        let due = self.waiting.iter_mut().filter(|(_, due)| **due);
        due.map(|(key, due)| {
            *due = false;
            *key
        })
        .collect()
    }
}

/// All topics of a worker.
#[derive(Debug, Default)]
pub struct Topics {
    kinds: [HashMap<Name, Topic>; Kind::COUNT],
    next_id: u32,
}

impl Topics {
    /// A topic by its name.
    #[must_use]
    pub fn get(&self, kind: Kind, name: &[u8]) -> Option<&Topic> {
        self.kinds[kind as usize].get(name)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, kind: Kind, name: &[u8]) -> Option<&mut Topic> {
        self.kinds[kind as usize].get_mut(name)
    }

    /// Adds a topic that is to be heard at `nodes`.
    pub fn insert(&mut self, kind: Kind, name: &Name, nodes: impl Iterator<Item = NodeId>) {
        self.next_id = self.next_id.wrapping_add(1);
        let topic = Topic {
            id: self.next_id,
            members: FxHashSet::default(),
            waiting: FxHashMap::default(),
            stations: nodes.map(|node| Station { node, hearing: Hearing::Deaf }).collect(),
        };
        self.kinds[kind as usize].insert(name.clone(), topic);
    }

    /// Removes a topic.
    pub fn remove(&mut self, kind: Kind, name: &[u8]) -> Option<Topic> {
        self.kinds[kind as usize].remove(name)
    }

    /// All topics.
    pub fn all(&self) -> impl Iterator<Item = (Kind, &Name, &Topic)> {
        let kinds = Kind::ALL.into_iter().zip(&self.kinds);
        kinds.flat_map(|(kind, topics)| topics.iter().map(move |(name, topic)| (kind, name, topic)))
    }

    /// All topics, to be changed.
    pub fn all_mut(&mut self) -> impl Iterator<Item = (Kind, &Name, &mut Topic)> {
        let kinds = Kind::ALL.into_iter().zip(&mut self.kinds);
        kinds.flat_map(|(kind, topics)| topics.iter_mut().map(move |(name, topic)| (kind, name, topic)))
    }

    /// Number of topics of each kind.
    #[must_use]
    pub fn counts(&self) -> [u64; Kind::COUNT] {
        self.kinds.each_ref().map(|topics| topics.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_topic_of_the_same_name_is_another_one() {
        let mut topics = Topics::default();
        let name = Name::from_static(b"a");
        topics.insert(Kind::Channel, &name, [NodeId(1)].into_iter());
        let first = topics.remove(Kind::Channel, b"a").unwrap();
        topics.insert(Kind::Channel, &name, [NodeId(1)].into_iter());
        assert_ne!(topics.get(Kind::Channel, b"a").unwrap().id, first.id);
        assert!(first.is_idle() && topics.get(Kind::Pattern, b"a").is_none());
        assert_eq!(topics.counts(), [1, 0, 0]);
    }

    #[test]
    fn whoever_waited_is_named_once_and_still_keeps_the_topic() {
        let mut topics = Topics::default();
        topics.insert(Kind::Shard, &Name::from_static(b"a"), [NodeId(0), NodeId(1)].into_iter());
        let topic = topics.get_mut(Kind::Shard, b"a").unwrap();
        let (one, other) = (ClientKey { index: 1, generation: 1 }, ClientKey { index: 2, generation: 1 });
        topic.waiting.extend([(one, true), (other, false)]);
        assert!(topic.is_awaited());
        assert_eq!(topic.take_awaiting(), [one]);
        assert!(topic.take_awaiting().is_empty() && !topic.is_awaited() && !topic.is_idle());
        topic.station(NodeId(1)).unwrap().hearing = Hearing::Heard;
        assert_eq!(topic.stations[0].hearing, Hearing::Deaf);
    }
}
