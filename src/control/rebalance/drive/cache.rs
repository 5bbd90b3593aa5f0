//! A change of the nodes of a cache: no key is copied, and no old value is ever served.
//!
//! ```text
//!  Prepare: new nodes connected ── debts paid ── saved ── Fence ── barrier ── new ring ── barrier ── purge ── over
//!                                    ▲                                                                │
//!                                    └──────────────── owed: a node that is down now ◄────────────────┘
//! ```
//! What was saved is the new ring ([`Saved::Committed`]): killed behind that, Circlet begins with it and purges. The fence is
//! what keeps a request that was sent to the old node from being answered after one that the new node has answered.
//!
//! A key that went elsewhere is deleted where it was, because a later change may give it back, and then its old value would
//! be served. A node that cannot be purged, since it is down, owes that ([`Purge`]): it is purged as soon as it answers,
//! and no further ring is published before, unless the node has no place on that ring. Who has left owes nothing: nobody joins
//! who has keys. Io.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{AGAIN, Change, Course, Doing, Driver, Kind, Member, NodeId, Purge, Saved, held};
use crate::{
    config::Profile,
    control::{probe::Conversation, rebalance::mover::Doomed},
    traffic::route::Node,
};

impl Driver {
    /// Keys change hands without being copied.
    pub(super) async fn hand_over(&self, heading: &Course) {
        let Some(after) = self.change().map(|change| change.next) else { return };
        while !self.pay(&after).await {
            if self.is_aborted() {
                return;
            }
            self.flush_now().await;
            self.rest(AGAIN).await;
        }
        if self.is_aborted() {
            return;
        }
        self.doing(Doing::Fence);
        let Some(before) = self.change() else { return };
        self.save_change(|change| {
            change.done = (0..change.parts).collect();
            change.phase = Saved::Committed;
        })
        .await;
        let begin = Instant::now();
        self.fence(heading, &before).await;
        self.publish_arrived(heading).await;
        held(&self.totals).fenced(false, begin.elapsed().as_micros() as u64);
        self.doing(Doing::Committed);
    }

    /// Deletes at their old nodes the keys that have other nodes now.
    pub(super) async fn purge_after(&self, heading: &Course, change: &Change) {
        self.doing(Doing::Purging);
        if self.abort.swap(false, Ordering::SeqCst) {
            self.note(Kind::Change, "", "the abort came too late: the new nodes have the keys");
        }
        let place = heading.place(change.parts as usize, 0);
        let doomed: Doomed = Arc::new(move |node, key: &[u8]| place(key).is_some_and(|(from, _)| from == node));
        let sources: BTreeSet<NodeId> = heading.pairs.iter().map(|(from, _)| *from).collect();
        for at in sources {
            if let Err(why) = self.purge_while_up(heading.nodes(), at, &doomed).await {
                let node = &heading.nodes()[at.index()];
                let owes = change.next.iter().any(|member| is_at(member, node));
                let text = if owes {
                    format!("{why}; the keys that it no longer has are deleted when it answers")
                } else {
                    format!("{why}; it has left with its keys, and may join again when it is empty")
                };
                tracing::warn!(node = %node.name, %why, "node is not purged");
                self.note(Kind::Change, &node.name, &text);
                self.owe(heading.nodes(), &[at]).await;
            }
        }
    }

    /// Keeps that these nodes have keys that they do not own any more.
    pub(super) async fn owe(&self, nodes: &[Node], at: &[NodeId]) {
        self.save(|state| {
            let Some(change) = &state.change else { return };
            for node in at.iter().map(|at| &nodes[at.index()]) {
                let known = |purge: &Purge| is_at(&purge.node, node);
                if let Some(member) = change.next.iter().find(|member| is_at(member, node))
                    && !state.purges.iter().any(known)
                {
                    state.purges.push(Purge { change: change.id, node: member.clone() });
                }
            }
        })
        .await;
    }

    /// Waits until there is something to do, and meanwhile has those purged who owe it.
    pub(super) async fn pay_idly(&self) {
        let members = {
            let kept = self.kept();
            if kept.state.purges.is_empty() { Vec::new() } else { kept.state.members.clone() }
        };
        // What an operator gave up where keys are moved is deleted when nobody may meet it again: before a cache's next change.
        let is_cache = self.tools.live.see(|config| config.profile == Profile::Cache);
        if members.is_empty() || !is_cache {
            return self.called.notified().await;
        }
        tokio::select! {
            paid = self.pay(&members) => match paid {
                true => self.tools.mover.rest(),
                false => self.rest(AGAIN * 5).await,
            },
            () = self.called.notified() => {}
        }
        self.doing(Doing::Idle);
    }

    /// Has those purged who owe it and are in `after`, the nodes that are to have keys next; false: one of them is down.
    async fn pay(&self, after: &[Member]) -> bool {
        let debts = self.kept().state.purges.clone();
        let topology = self.tools.fleet.topology();
        let nodes: Arc<[Node]> = topology.nodes.clone().into();
        let doomed: Doomed = Arc::new(move |node, key: &[u8]| topology.owner(key) != node);
        for debt in debts.iter().filter(|debt| after.iter().any(|member| member.address == debt.node.address)) {
            let seat = nodes.iter().position(|node| node.member && is_at(&debt.node, node));
            if let Some(seat) = seat {
                self.doing(Doing::Purging);
                if let Err(why) = self.purge_while_up(&nodes, NodeId(seat as u16), &doomed).await {
                    self.trouble(&format!(
                        "node {} must delete keys that it no longer owns before nodes change again, and is down: {why}; start it, \
                         or give it up: NODE FORGET {} --lost",
                        debt.node.name, debt.node.name
                    ));
                    return false;
                }
            }
            self.save(|state| state.purges.retain(|other| other != debt)).await;
            self.trouble("");
        }
        true
    }

    /// Purges one node, however long that takes; an error: it is down, and why. FLUSHALL is carried out meanwhile.
    async fn purge_while_up(&self, nodes: &Arc<[Node]>, at: NodeId, doomed: &Doomed) -> Result<(), String> {
        let mut down = pin!(self.until_down(&nodes[at.index()]));
        loop {
            let mut purge = pin!(self.tools.mover.purge(Arc::clone(nodes), vec![at], Arc::clone(doomed)));
            let ended = loop {
                tokio::select! {
                    ended = &mut purge => break ended,
                    why = &mut down => {
                        // It waits no more.
                        self.tools.mover.progress().set_trouble(None);
                        return Err(why);
                    }
                    () = self.called.notified() => self.flush_now().await,
                }
            };
            match ended {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.trouble(&error.to_string());
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Ends when a node does not answer, with the reason.
    async fn until_down(&self, node: &Node) -> String {
        loop {
            let pipe = self.tools.live.pipe();
            let answer = match Conversation::open(node, pipe.connect_timeout, pipe.request_timeout).await {
                Ok(mut conversation) => conversation.ask(&["PING"]).await.map(drop),
                Err(trouble) => Err(trouble),
            };
            if let Err(trouble) = answer {
                return trouble.to_string();
            }
            tokio::time::sleep(AGAIN * 5).await;
        }
    }
}

/// Whether a member is the server in this slot.
fn is_at(member: &Member, node: &Node) -> bool {
    member.address == node.address && member.place == node.ring_name()
}
