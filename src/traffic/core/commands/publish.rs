//! PUBLISH, SPUBLISH and PUBSUB: messages on their way to the nodes, and who would receive them.
//!
//! A message goes to the owner of its channel's name, where the ears of all workers, and subscribers past Circlet, hear
//! it. The number that the node answers counts ears; it is corrected to sessions ([`Audience`]), and so are those of
//! PUBSUB NUMSUB. PUBSUB CHANNELS and NUMPAT need no correction: the nodes know exactly the channels and patterns that
//! somebody listens to. Pure.
//!
//! [`Audience`]: crate::traffic::pubsub::Audience

use crate::traffic::{
    client::ClientKey,
    command::Row,
    core::{
        Core,
        request::{Request, Taken},
    },
    merge,
    pubsub::Kind,
};

impl Core {
    /// `PUBLISH channel message`
    pub(super) fn publish_message(&mut self, key: ClientKey, request: Request<'_>, row: &Row, kind: Kind) -> Taken {
        let channel = request.arg(1);
        let node = self.snapshot.topology.speaker(channel);
        match self.registry.audience.correction(kind, channel, node) {
            0 => self.send_one(key, request, row, node),
            by => {
                let kind = merge::Kind::Published(by);
                self.send_to(key, kind, false, node, |out| out.extend_from_slice(request.bytes))
            }
        }
    }

    /// `PUBSUB NUMSUB [channel …]`, `PUBSUB SHARDNUMSUB [channel …]`
    pub(super) fn numsub(&mut self, key: ClientKey, request: Request<'_>, kind: Kind) -> Taken {
        self.send_all(key, merge::Kind::Subscribers(kind), true, |out| out.extend_from_slice(request.bytes))
    }
}
