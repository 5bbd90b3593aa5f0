//! From lists of nodes to topologies: every server that was ever a node has a slot of its own for the life of the process.
//!
//! ```text
//!  members before ─┐                 ┌─ slots: a, b, c.old, c, d …
//!                  ├─► seats ─► Course ── two rings over the same slots ── pairs (from, to) ── topology of any phase
//!  members after ──┘
//! ```
//! A server is known by its place on the ring and its address: whoever leaves and comes back has its old slot. A node that is
//! replaced has two slots of one place; the old one is shown as `NAME.old`. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;

use super::{members::Member, mover::PlaceOf};
use crate::traffic::route::{
    Change, Epoch, Node, NodeId, Phase, Ring, Scheme, Topology, change::part_of, ring::RingError,
};

/// The nodes, and the names of those among them that are left out for now.
#[derive(Clone, Copy, Debug)]
pub struct Cast<'m> {
    /// All of them.
    pub members: &'m [Member],
    /// Those that have no keys, since they are down.
    pub out: &'m [String],
}

/// All slots.
#[derive(Clone, Debug, Default)]
pub struct Seats {
    slots: Vec<Node>,
}

/// A change of the nodes, by slots.
#[derive(Clone, Debug)]
pub struct Course {
    nodes: Arc<[Node]>,
    before: Arc<Ring>,
    after: Arc<Ring>,
    /// Who gives keys to whom.
    pub pairs: Vec<(NodeId, NodeId)>,
}

impl Cast<'_> {
    /// Whether this node is left out.
    #[must_use]
    pub fn is_out(&self, member: &Member) -> bool {
        self.out.contains(&member.name)
    }

    /// Those that are left out.
    #[must_use]
    pub fn out(&self) -> Vec<Member> {
        self.members.iter().filter(|member| self.is_out(member)).cloned().collect()
    }

    /// The nodes that have keys.
    #[must_use]
    pub fn present(&self) -> Vec<Member> {
        self.members.iter().filter(|member| !self.is_out(member)).cloned().collect()
    }
}

impl Seats {
    /// The topology while nothing changes.
    ///
    /// # Errors
    /// They make no ring.
    pub fn topology(&mut self, cast: Cast<'_>, scheme: &Scheme, epoch: Epoch) -> Result<Topology, RingError> {
        let seats = self.seat(cast.members);
        let ring = self.ring(cast, &seats, scheme)?;
        self.take_part(&[(cast, &seats)]);
        self.name(cast.members, &seats);
        Ok(Topology::new(self.slots.clone(), ring, epoch))
    }

    /// The way from `before` to `after`.
    ///
    /// # Errors
    /// One of them makes no ring.
    pub fn course(&mut self, before: Cast<'_>, after: Cast<'_>, scheme: &Scheme) -> Result<Course, RingError> {
        let (old, new) = (self.seat(before.members), self.seat(after.members));
        let rings = (self.ring(before, &old, scheme)?, self.ring(after, &new, scheme)?);
        self.take_part(&[(before, &old), (after, &new)]);
        self.name(before.members, &old);
        self.name(after.members, &new);
        // Who is replaced gives its name away.
        for (member, seat) in before.members.iter().zip(&old) {
            if !new.contains(seat) && after.members.iter().any(|other| other.name == member.name) {
                let slot = &mut self.slots[seat.index()];
                slot.name = format!("{}.old", member.name);
                slot.place = Some(member.place.clone());
            }
        }
        let pairs = rings.0.parted(&rings.1).into_keys().filter(|(from, to)| from != to).collect();
        Ok(Course { nodes: self.slots.clone().into(), before: Arc::new(rings.0), after: Arc::new(rings.1), pairs })
    }

    /// The slots of `members`, in their order.
    fn seat(&mut self, members: &[Member]) -> Vec<NodeId> {
        members.iter().map(|member| self.seat_of(member)).collect()
    }

    /// Who is left out here and takes part there takes part.
    fn take_part(&mut self, casts: &[(Cast<'_>, &[NodeId])]) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            (slot.member, slot.out) = (false, false);
            for (cast, seats) in casts {
                let Some(at) = seats.iter().position(|seat| seat.index() == index) else { continue };
                let out = cast.is_out(&cast.members[at]);
                slot.member |= !out;
                slot.out |= out;
            }
            slot.out &= !slot.member;
        }
    }

    fn seat_of(&mut self, member: &Member) -> NodeId {
        let same = |slot: &Node| slot.ring_name() == member.place && slot.address == member.address;
        let index = self.slots.iter().position(same).unwrap_or_else(|| {
            let mut node = Node::new(&member.name, member.address.clone());
            node.place = (member.place != member.name).then(|| member.place.clone());
            node.username.clone_from(&member.credentials.username);
            node.password.clone_from(&member.credentials.password);
            self.slots.push(node);
            self.slots.len() - 1
        });
        NodeId(index as u16)
    }

    fn name(&mut self, members: &[Member], seats: &[NodeId]) {
        for (member, seat) in members.iter().zip(seats) {
            let slot = &mut self.slots[seat.index()];
            slot.name.clone_from(&member.name);
            slot.place = (member.place != member.name).then(|| member.place.clone());
            slot.weight = member.weight;
        }
    }

    fn ring(&self, cast: Cast<'_>, seats: &[NodeId], scheme: &Scheme) -> Result<Ring, RingError> {
        let mut weights = vec![("", 0.0); self.slots.len()];
        for (member, seat) in cast.members.iter().zip(seats).filter(|(member, _)| !cast.is_out(member)) {
            weights[seat.index()] = (member.place.as_str(), member.weight);
        }
        Ring::of(&weights, scheme)
    }
}

impl Course {
    /// The same way back.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let pairs = self.pairs.iter().map(|(from, to)| (*to, *from)).collect();
        let (before, after) = (Arc::clone(&self.after), Arc::clone(&self.before));
        Self { nodes: Arc::clone(&self.nodes), before, after, pairs }
    }

    /// Nodes that have no keys before.
    pub fn joining(&self) -> impl Iterator<Item = NodeId> + '_ {
        let fresh = |(_, (before, after)): &(u16, (&f64, &f64))| **before == 0.0 && **after > 0.0;
        (0..).zip(self.before.shares().iter().zip(self.after.shares())).filter(fresh).map(|(index, _)| NodeId(index))
    }

    /// All slots.
    #[must_use]
    pub fn nodes(&self) -> &Arc<[Node]> {
        &self.nodes
    }

    /// The topology while part `part` is in `phase`; of the others those in `done` have arrived.
    #[must_use]
    pub fn topology(&self, epoch: Epoch, id: u64, done: &[bool], part: usize, phase: Phase) -> Topology {
        let mut loses = vec![false; self.nodes.len()];
        for (from, _) in &self.pairs {
            loses[from.index()] = true;
        }
        let (next, arrived) = (Arc::clone(&self.after), Arc::default());
        let change = Change { id, next, done: done.into(), part, phase, loses: loses.into(), arrived };
        Topology::new(self.nodes.to_vec(), Arc::clone(&self.before), epoch).changing(change)
    }

    /// From and to of the keys of a part.
    #[must_use]
    pub fn place(&self, parts: usize, part: usize) -> PlaceOf {
        let (before, after) = (Arc::clone(&self.before), Arc::clone(&self.after));
        Arc::new(move |key| {
            let (from, to) = (before.owner_of(key), after.owner_of(key));
            (from != to && part_of(&after, parts, key) == part).then_some((from, to))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Credentials, traffic::route::Address};

    const SCHEME: Scheme = Scheme::Xxh3 { points_per_weight: 256 };

    fn member(name: &str, port: u16, weight: f64) -> Member {
        let address = Address::Tcp { host: "127.0.0.1".to_owned(), port };
        Member::new(name, address, weight, Credentials::default())
    }

    fn all(members: &[Member]) -> Cast<'_> {
        Cast { members, out: &[] }
    }

    fn names(topology: &Topology) -> Vec<&str> {
        topology.members().iter().map(|id| topology.node(*id).name.as_str()).collect()
    }

    #[test]
    fn who_joins_gets_a_new_slot_and_who_comes_back_its_old_one() {
        let mut seats = Seats::default();
        let (two, three) = ([member("a", 1, 1.0), member("b", 2, 1.0)], [member("a", 1, 1.0), member("c", 3, 2.0)]);
        let first = seats.topology(all(&two), &SCHEME, Epoch(1)).unwrap();
        let course = seats.course(all(&two), all(&three), &SCHEME).unwrap();
        let moving = course.topology(Epoch(2), 1, &[false], 0, Phase::Prepare);
        assert_eq!(names(&moving), ["a", "b", "c"]);
        assert!(course.pairs.contains(&(NodeId(1), NodeId(2))) && !course.pairs.iter().any(|(_, to)| to.0 == 1));
        let last = seats.topology(all(&three), &SCHEME, Epoch(3)).unwrap();
        assert_eq!((names(&last), last.nodes.len()), (vec!["a", "c"], 3));
        let again = seats.topology(all(&two), &SCHEME, Epoch(4)).unwrap();
        assert_eq!((names(&again), again.nodes.len()), (vec!["a", "b"], 3));
        for key in (0..500).map(|n| format!("k{n}")) {
            assert_eq!(first.owner(key.as_bytes()), again.owner(key.as_bytes()));
            let place = course.place(1, 0)(key.as_bytes());
            assert_eq!(place.is_some(), first.owner(key.as_bytes()) != last.owner(key.as_bytes()));
            let back = course.reversed().place(1, 0)(key.as_bytes());
            assert_eq!(back, place.map(|(from, to)| (to, from)));
        }
    }

    #[test]
    fn a_replaced_node_gives_all_its_keys_to_its_successor_and_no_other_key_moves() {
        let mut seats = Seats::default();
        let (before, after) = ([member("a", 1, 1.0), member("b", 2, 1.0)], [member("a", 1, 1.0), member("b", 9, 1.0)]);
        seats.topology(all(&before), &SCHEME, Epoch(1)).unwrap();
        let course = seats.course(all(&before), all(&after), &SCHEME).unwrap();
        assert_eq!(course.pairs, [(NodeId(1), NodeId(2))]);
        let moving = course.topology(Epoch(2), 1, &[false], 0, Phase::Moving);
        assert_eq!(names(&moving), ["a", "b.old", "b"]);
        let last = seats.topology(all(&after), &SCHEME, Epoch(3)).unwrap();
        assert_eq!(names(&last), ["a", "b"]);
        assert_eq!(last.by_name(b"b"), Some(NodeId(2)));
        // And once more, back to the first server.
        let course = seats.course(all(&after), all(&before), &SCHEME).unwrap();
        assert_eq!(names(&course.topology(Epoch(4), 2, &[false], 0, Phase::Moving)), ["a", "b", "b.old"]);
    }

    #[test]
    fn who_is_left_out_keeps_its_slot_and_only_its_keys_change_hands() {
        let mut seats = Seats::default();
        let members = [member("a", 1, 1.0), member("b", 2, 1.0), member("c", 3, 2.0)];
        let out = ["b".to_owned()];
        let without = Cast { members: &members, out: &out };
        let first = seats.topology(all(&members), &SCHEME, Epoch(1)).unwrap();
        let course = seats.course(all(&members), without, &SCHEME).unwrap();
        assert!(course.pairs.iter().all(|(from, to)| from.0 == 1 && to.0 != 1) && course.pairs.len() == 2);
        let moving = course.topology(Epoch(2), 1, &[false], 0, Phase::Prepare);
        assert!(names(&moving) == ["a", "b", "c"] && moving.nodes.iter().all(|node| !node.out));
        let last = seats.topology(without, &SCHEME, Epoch(3)).unwrap();
        assert_eq!((names(&last), last.listed().count(), last.nodes[1].out), (vec!["a", "c"], 3, true));
        for key in (0..500).map(|n| format!("k{n}")) {
            let (before, after) = (first.owner(key.as_bytes()), last.owner(key.as_bytes()));
            assert!(after.0 != 1 && (before.0 == 1 || before == after));
        }
        // A process that begins with it left out gives it a slot as well.
        let mut fresh = Seats::default();
        let begun = fresh.topology(without, &SCHEME, Epoch(4)).unwrap();
        assert_eq!((names(&begun), begun.nodes[1].out, begun.ring.shares()[1]), (vec!["a", "c"], true, 0.0));
        let back = fresh.course(without, all(&members), &SCHEME).unwrap();
        assert_eq!(back.joining().collect::<Vec<_>>(), [NodeId(1)]);
        assert!(back.pairs.iter().all(|(_, to)| to.0 == 1));
    }
}
