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
//! and no further ring is published before, unless the node has no place on that ring. Who is left out (`out.rs`) owes all that
//! it has. Who has left owes nothing: nobody joins who has keys.
//!
//! Until the fence a change takes in who is to be left out, so that a node that goes down meanwhile holds nothing up; a purge
//! behind it gives way to that and is owed. Io.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{AGAIN, Change, Course, Doing, Driver, Kind, Member, NodeId, Purge, Saved, held};
use crate::{
    config::Profile,
    control::{
        probe::Conversation,
        rebalance::mover::{Doomed, Haste},
    },
    traffic::route::Node,
};

/// Why a node was not purged.
#[derive(Debug)]
pub(super) enum Unpaid {
    /// It is down, and why.
    Down(String),
    /// Something else must not wait for it.
    Hurried,
}

impl Driver {
    /// Keys change hands without being copied. False: it is another change now.
    pub(super) async fn hand_over(&self, heading: &Course) -> bool {
        loop {
            if self.is_aborted() {
                return true;
            }
            if !self.absorb().await {
                return self.change().is_some_and(|change| change.back);
            }
            let Some(change) = self.change() else { return false };
            if self.pay_before(&change).await {
                break;
            }
            self.flush_now().await;
            self.rest(AGAIN).await;
        }
        if self.is_aborted() {
            return true;
        }
        self.doing(Doing::Fence);
        let Some(before) = self.change() else { return false };
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
        self.tell_of_out(&before);
        true
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
            let node = &heading.nodes()[at.index()];
            let member = change.next.iter().find(|member| is_at(member, node));
            // Whoever is left out must prove itself, and have nothing, before it may serve again.
            if member.is_some_and(|member| change.cast().is_out(member)) {
                self.owe(heading.nodes(), &[at]).await;
                continue;
            }
            if !self.tools.safety.purge {
                continue;
            }
            match self.purge_while_up(heading.nodes(), at, &doomed, Haste::Paced).await {
                Ok(()) => {}
                Err(Unpaid::Hurried) => self.owe(heading.nodes(), &[at]).await,
                Err(Unpaid::Down(why)) => {
                    let text = if member.is_some() {
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
        // What an operator gave up where keys are moved is deleted when nobody may meet it again: before a cache's next change.
        if !self.tools.live.see(|config| config.profile == Profile::Cache) {
            return self.called.notified().await;
        }
        tokio::select! {
            () = self.pay_all() => {
                self.doing(Doing::Idle);
                // Verdicts on nodes call; an option that was changed does not.
                self.rest(AGAIN * 5).await;
            }
            () = self.called.notified() => {}
        }
        self.doing(Doing::Idle);
    }

    /// Has everybody purged who owes it and answers, those who are left out last.
    async fn pay_all(&self) {
        let (debts, out) = {
            let kept = self.kept();
            let debts: Vec<Member> = kept.state.purges.iter().map(|purge| purge.node.clone()).collect();
            (
                debts.into_iter().filter(|node| !kept.state.cast().is_out(node)).collect::<Vec<_>>(),
                kept.state.cast().out(),
            )
        };
        for debtor in &debts {
            match self.purge_debtor(debtor).await {
                Ok(()) => self.has_paid(debtor).await,
                Err(Unpaid::Down(why)) => self.must_pay(debtor, &why),
                Err(Unpaid::Hurried) => return,
            }
        }
        for member in out {
            if self.take_in(&member).await {
                return;
            }
        }
        if !debts.is_empty() {
            self.tools.mover.rest();
        }
    }

    /// Has those purged who owe it and are to have keys behind `change`, and those who come back; false: not all of them could
    /// be.
    async fn pay_before(&self, change: &Change) -> bool {
        let after = change.cast().present();
        let debtors: Vec<Member> = {
            let kept = self.kept();
            let same = |member: &Member, other: &Member| other.name == member.name && other.address == member.address;
            let returns = |member: &&Member| kept.state.cast().out().iter().any(|other| same(member, other));
            let owes = |member: &&Member| kept.state.purges.iter().any(|debt| debt.node.address == member.address);
            after.iter().filter(|member| owes(member) || returns(member)).cloned().collect()
        };
        for debtor in &debtors {
            if let Err(unpaid) = self.purge_debtor(debtor).await {
                if let Unpaid::Down(why) = unpaid {
                    self.must_pay(debtor, &why);
                }
                return false;
            }
            self.has_paid(debtor).await;
        }
        true
    }

    async fn has_paid(&self, debtor: &Member) {
        self.save(|state| state.purges.retain(|debt| debt.node.address != debtor.address)).await;
        self.trouble("");
    }

    fn must_pay(&self, debtor: &Member, why: &str) {
        let name = &debtor.name;
        self.trouble(&format!(
            "node {name} must delete keys that it no longer owns before nodes change again, and is down: {why}; start it, or give it \
             up: NODE FORGET {name} --lost"
        ));
    }

    /// Has a node delete what is not its own by the present ring; if it is left out, that is everything.
    async fn purge_debtor(&self, debtor: &Member) -> Result<(), Unpaid> {
        let topology = self.tools.fleet.topology();
        let nodes: Arc<[Node]> = topology.nodes.clone().into();
        let Some(seat) = nodes.iter().position(|node| (node.member || node.out) && is_at(debtor, node)) else {
            return Ok(());
        };
        let (returns, falls) = {
            let state = &self.kept().state;
            let falls = |change: &Change| change.out.iter().any(|name| !state.out.contains(name));
            (state.cast().is_out(debtor), state.change.as_ref().is_some_and(falls))
        };
        if returns && !self.tools.safety.cleanse {
            return Ok(());
        }
        self.doing(Doing::Purging);
        let doomed: Doomed = Arc::new(move |node, key: &[u8]| topology.owner(key) != node);
        // While somebody is down whose keys wait for it, they are answered -NODEDOWN.
        let haste = if returns || falls { Haste::Full } else { Haste::Paced };
        self.purge_while_up(&nodes, NodeId(seat as u16), &doomed, haste).await
    }

    /// Purges one node, however long that takes. FLUSHALL is carried out meanwhile.
    pub(super) async fn purge_while_up(
        &self,
        nodes: &Arc<[Node]>,
        at: NodeId,
        doomed: &Doomed,
        haste: Haste,
    ) -> Result<(), Unpaid> {
        let mut down = pin!(self.until_down(&nodes[at.index()]));
        loop {
            let mut purge = pin!(self.tools.mover.purge(Arc::clone(nodes), vec![at], Arc::clone(doomed), haste));
            let ended = loop {
                tokio::select! {
                    ended = &mut purge => break ended,
                    why = &mut down => return Err(Unpaid::Down(why)),
                    () = self.called.notified() => {
                        self.flush_now().await;
                        if self.is_hurried() {
                            return Err(Unpaid::Hurried);
                        }
                    }
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
pub(super) fn is_at(member: &Member, node: &Node) -> bool {
    member.address == node.address && member.place == node.ring_name()
}
