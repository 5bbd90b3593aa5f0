//! Messages that are under way when a session changes what it hears, or how.
//!
//! ```text
//!  PUBLISH ─► pipe ─► node ─► reply ───────────────────► session ─ SUBSCRIBE │ UNSUBSCRIBE │ HELLO │ RESET: not yet
//!                      └────► message ─┐                    ▲
//!              PING ─► ear ─► node ────┴─► ear: message, pong ┘  now
//! ```
//! A reply and a message come over different connections, so that a message may be there later than the reply of the
//! PUBLISH, or the write, that made it. In Redis whoever has that reply knows that the message has been sent. So before a
//! session begins or ends to listen, or changes its protocol, each ear that this concerns is asked for a sign of life: what
//! the node sent before has come when that has come. The request is then looked at again ([`Taken::Later`]). One word per
//! ear and request, and none where nobody listens. An ear that does not answer is given up, so the wait ends. Pure.
//!
//! [`Taken::Later`]: super::request::Taken::Later

use super::Core;
use crate::traffic::{
    client::{Client, ClientKey},
    pubsub::{Hearing, Kind, Name},
    route::NodeId,
};

impl Core {
    /// Whether all messages have come that were sent to us before the session's next request, as far as they are of these
    /// topics; else the session is to be asked again.
    pub(super) fn caught_up<'a>(&mut self, key: ClientKey, topics: impl Iterator<Item = (Kind, &'a Name)>) -> bool {
        if let Some(left) = self.missing_signs(key) {
            if *left > 0 {
                return false;
            }
            self.forget_signs(key);
            return true;
        }
        let nodes = self.heard_from(topics);
        if nodes.is_empty() {
            return true;
        }
        let Some(client) = self.client_mut(key) else { return true };
        client.special_mut().catching_up = Some(nodes.len());
        nodes.into_iter().for_each(|node| self.order_sign(node, key));
        false
    }

    /// As [`Core::caught_up`], for everything that the session listens to.
    pub(super) fn caught_up_with_all(&mut self, key: ClientKey) -> bool {
        let special = self.client(key).and_then(|client| client.special.as_deref());
        let Some(special) = special.filter(|special| !special.subscriptions.is_empty()) else { return true };
        let names: Vec<(Kind, Vec<Name>)> = Kind::ALL.map(|kind| (kind, special.subscriptions.all(kind))).into();
        self.caught_up(key, names.iter().flat_map(|(kind, names)| names.iter().map(move |name| (*kind, name))))
    }

    /// The nodes from which messages of these topics may be under way.
    fn heard_from<'a>(&self, topics: impl Iterator<Item = (Kind, &'a Name)>) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = Vec::new();
        for (kind, name) in topics {
            let stations = self.topics.get(kind, name).map_or(&[][..], |topic| &topic.stations);
            for station in stations.iter().filter(|station| station.hearing == Hearing::Heard) {
                if !nodes.contains(&station.node) && self.ear_is_open(station.node) {
                    nodes.push(station.node);
                }
            }
            if nodes.len() == self.links.len() {
                break;
            }
        }
        nodes
    }

    fn missing_signs(&mut self, key: ClientKey) -> Option<&mut usize> {
        self.client_mut(key)?.special.as_deref_mut()?.catching_up.as_mut()
    }

    fn forget_signs(&mut self, key: ClientKey) {
        if let Some(special) = self.client_mut(key).and_then(|client: &mut Client| client.special.as_deref_mut()) {
            special.catching_up = None;
        }
    }

    /// An ear has given its sign of life, or is lost, and what was under way on it, too.
    pub(super) fn one_sign_less(&mut self, key: ClientKey) {
        let Some(left) = self.missing_signs(key) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.mark_client(key);
        }
    }
}
