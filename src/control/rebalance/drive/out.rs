//! Nodes of a cache that are down are left out, and come back when they have proved themselves and have nothing old any more.
//!
//! ```text
//!  probe: Down ─► decide ─► change: the same nodes, one fewer on the ring ─► its keys begin as misses at their stand-ins
//!  probe: Up ──► ousted ─► purged ─► clean ─► decide ─► change: purged again ─► it serves ─► its stand-ins are purged
//! ```
//! It is a change like any other that a cache makes (`cache.rs`): saved before its fence, so that a restart goes on with
//! it. No old value is ever served:
//! 1. *Of the node.* What it had when it was left out, it has to delete before it may serve again, however it comes back: with
//!    its memory, because it only hung, or with what it had on disk. It is purged while nobody uses it, which may take long, and
//!    once more, which then is quick, right before it is given its keys. Requests that were sent to it before it was
//!    left out and that it had not read yet would be carried out late: their connections are ended first.
//! 2. *Of its stand-ins.* The keys that they lose when it comes back they delete; until they have, that is owed
//!    ([`Purge`](super::Purge)), and they may get no keys before.
//!
//! The fence ends although a node is dead: what is in flight there ends with its connection, or with pipe.request_timeout.
//! Io; who goes and comes is decided in [`eject`].

use std::{sync::Arc, time::Duration};

use super::{
    Change, Doing, Driver, Kept, Kind, Member, NodeId,
    cache::{Unpaid, is_at},
    held,
    leg::Leg,
};
use crate::{
    config::{OnNodeDown, Profile},
    control::{
        probe::Conversation,
        rebalance::{
            eject::{self, Decision, Known},
            mover::{self, Busy, Doomed, Haste},
            seats::Cast,
        },
    },
    traffic::{observe::census::Standing, route::Node},
};

/// What workers call their connections to nodes.
const NAME: &str = "circlet";

/// How long a node that does not let its connections be ended is left alone, so that it reads what they have brought.
const GRACE: Duration = Duration::from_secs(2);

impl Driver {
    /// Looks at the nodes again: one was judged. For any thread.
    pub fn look(&self) {
        self.called.notify_one();
    }

    /// Who is to be left out behind what is under way.
    fn decide(&self) -> Decision {
        let topology = self.tools.fleet.topology();
        let standings = self.tools.fleet.journal().census().standings();
        let may_eject = self.tools.store.is_some()
            && self
                .tools
                .live
                .see(|config| config.profile == Profile::Cache && config.on_node_down == OnNodeDown::Eject);
        let mut kept = self.kept();
        let Kept { state, clean, .. } = &mut *kept;
        let cast = state.change.as_ref().map_or_else(|| state.cast(), Change::cast);
        let standing = |member: &Member| {
            let listed = |node: &Node| (node.member || node.out) && is_at(member, node);
            let seat = topology.nodes.iter().position(listed)?;
            standings.get(seat).copied().flatten()
        };
        // Whoever falls again has to prove itself again.
        clean.retain(|name| {
            let member = state.members.iter().find(|member| member.name == *name);
            member.is_some_and(|member| standing(member) == Some(Standing::Up))
        });
        eject::decide(cast, may_eject, |at| {
            let member = &cast.members[at];
            Known { standing: standing(member), clean: clean.contains(&member.name) }
        })
    }

    /// Whether somebody is to be left out, or comes back, as soon as what is under way is over.
    pub(super) fn is_hurried(&self) -> bool {
        let out = self.decide().out;
        let kept = self.kept();
        out != *kept.state.change.as_ref().map_or(&kept.state.out, |change| &change.out)
    }

    /// Begins to leave out or take back whoever is to be; false: nobody is.
    pub(super) async fn begin_out(&self) -> bool {
        let Decision { out, spared } = self.decide();
        self.tell_of_spared(&spared);
        let change = {
            let kept = self.kept();
            let state = &kept.state;
            if out == state.out {
                return false;
            }
            Change::new(state.next_id, eject::text(&state.out, &out), state.members.clone(), out)
        };
        let begins = format!("change {}: {}", change.id, change.text);
        self.note(Kind::Change, "", &begins);
        tracing::warn!(change = change.id, what = %change.text, "nodes are left out or taken back");
        self.abort.store(false, std::sync::atomic::Ordering::SeqCst);
        self.kept().before = self.totals();
        self.save(|state| {
            state.next_id += 1;
            state.change = Some(change);
        })
        .await;
        true
    }

    /// Nothing of the change has changed hands yet: it takes in who is to be left out. False: it is another one now, or goes
    /// back.
    pub(super) async fn absorb(&self) -> bool {
        let Decision { out, spared } = self.decide();
        self.tell_of_spared(&spared);
        let Some(change) = self.change() else { return false };
        if out == change.out {
            return true;
        }
        let (only, nothing) = {
            let state = &self.kept().state;
            let only = change.is_of_out_only(&state.members);
            (only, only && out == state.out)
        };
        if nothing {
            // Whoever was to go is up again, or who was to return is down again.
            self.save_change(|change| change.back = true).await;
            return false;
        }
        self.save(|state| {
            let before = state.out.clone();
            if let Some(change) = &mut state.change {
                if only {
                    change.text = eject::text(&before, &out);
                }
                change.out = out;
            }
        })
        .await;
        false
    }

    /// The ring behind `change` holds: tells who is left out by it, and who is back.
    pub(super) fn tell_of_out(&self, change: &Change) {
        let before = self.kept().state.out.clone();
        for name in change.out.iter().filter(|name| !before.contains(name)) {
            let text =
                "it is left out: the other nodes have its keys, which begin as misses, until it is up again and purged";
            self.note(Kind::NodeOut, name, text);
            tracing::warn!(node = %name, "node is left out");
            held(&self.totals).ejections += 1;
        }
        for name in before.iter().filter(|name| !change.out.contains(name)) {
            if change.next.iter().any(|member| member.name == **name) {
                self.note(Kind::NodeBack, name, "it is back, empty, and has its keys again");
                tracing::info!(node = %name, "node is back among the nodes");
                held(&self.totals).readmissions += 1;
            }
        }
        self.kept().clean.retain(|name| change.out.contains(name));
    }

    /// Once for each of them.
    fn tell_of_spared(&self, spared: &[String]) {
        let before = std::mem::replace(&mut self.kept().spared, spared.to_vec());
        for name in spared.iter().filter(|name| !before.contains(name)) {
            let text =
                "it is down and not left out: fewer than half of the nodes would be left; its keys answer -NODEDOWN";
            self.note(Kind::NodeDown, name, text);
            tracing::error!(node = %name, "node is down and not left out: fewer than half of the nodes would be left");
        }
    }

    /// A node that is left out and up again gets rid of all that it had, and is looked at; true: it may come back.
    pub(super) async fn take_in(&self, member: &Member) -> bool {
        let topology = self.tools.fleet.topology();
        let nodes: Arc<[Node]> = topology.nodes.clone().into();
        let Some(seat) = nodes.iter().position(|node| node.out && is_at(member, node)) else { return false };
        let standing = self.tools.fleet.journal().census().of(NodeId(seat as u16)).standing;
        if standing != Some(Standing::Up) || self.kept().clean.contains(&member.name) {
            return false;
        }
        if self.tools.safety.cleanse {
            self.doing(Doing::Purging);
            self.oust(&nodes[seat]).await;
            let all: Doomed = Arc::new(|_, _| true);
            match self.purge_while_up(&nodes, NodeId(seat as u16), &all, Haste::Full).await {
                Ok(()) => {}
                // The probe sees it, too.
                Err(Unpaid::Down(_) | Unpaid::Hurried) => return false,
            }
            if let Err(why) = self.look_at(member, NodeId(seat as u16)).await {
                self.trouble(&format!("node {} cannot come back: {why}", member.name));
                return false;
            }
        }
        self.tools.mover.rest();
        self.trouble("");
        self.kept().clean.insert(member.name.clone());
        true
    }

    /// Whether it can serve; it gets the functions of the others.
    async fn look_at(&self, member: &Member, seat: NodeId) -> Result<(), String> {
        let (stage, ahead) = {
            let mut kept = self.kept();
            let out: Vec<String> = kept.state.out.iter().filter(|name| **name != member.name).cloned().collect();
            // Of the seats that hold, the copy is asked: nothing is published.
            let mut seats = kept.seats.clone();
            let state = &mut kept.state;
            let then = Cast { members: &state.members, out: &out };
            let course = seats.course(state.cast(), then, &state.scheme).map_err(|error| error.to_string())?;
            let change = Change::new(state.next_id, String::new(), state.members.clone(), out.clone());
            let ahead = mover::Plan { joining: [seat].into(), ..mover::Plan::default() };
            (Leg::first().stage(&course, &change, Busy::Stop), ahead)
        };
        let notes = self.tools.mover.preflight(stage, ahead).await.map_err(|error| error.to_string())?;
        for note in notes {
            tracing::warn!(node = %member.name, %note, "node comes back");
            self.note(Kind::Change, &member.name, &note);
        }
        Ok(())
    }

    /// Ends the connections that workers had to a node when it was left out: nothing of what was sent over them is carried out
    /// any more. None of this Circlet's is in use.
    async fn oust(&self, node: &Node) {
        if let Err(why) = self.end_connections(node).await {
            let text = format!(
                "{why}: what it was sent before may still be carried out; it is given {} s for that (allow its user CLIENT LIST and \
                 CLIENT KILL)",
                GRACE.as_secs()
            );
            tracing::warn!(node = %node.name, %why, "old connections to a node cannot be ended");
            self.note(Kind::Change, &node.name, &text);
            tokio::time::sleep(GRACE).await;
        }
    }

    async fn end_connections(&self, node: &Node) -> Result<(), String> {
        let pipe = self.tools.live.pipe();
        let open = Conversation::open(node, pipe.connect_timeout, pipe.request_timeout).await;
        let mut conversation = open.map_err(|trouble| trouble.to_string())?;
        let list = conversation.text_of(&["CLIENT", "LIST"], 0).await.map_err(|trouble| trouble.to_string())??;
        for id in connections(&list) {
            // One that has ended meanwhile is no error of ours.
            let ended = conversation.text_of(&["CLIENT", "KILL", "ID", id], 0).await;
            match ended.map_err(|trouble| trouble.to_string())? {
                Err(why) if why.starts_with("NOPERM ") => return Err(why),
                // Any other error: it has ended meanwhile.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// The numbers of the workers' connections in the text of a CLIENT LIST.
fn connections(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter_map(|line| {
        let of = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name));
        if of("name=") == Some(NAME) { of("id=") } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_workers_connections_are_ended() {
        let list = "id=3 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=8 name=circlet age=5 cmd=get\n\
                    id=4 addr=127.0.0.1:3 fd=9 name= age=5 cmd=client|list\n\
                    id=12 addr=127.0.0.1:4 fd=9 name=circlet-exporter age=5\nid=77 name=circlet\n";
        assert_eq!(connections(list).collect::<Vec<_>>(), ["3", "77"]);
        assert_eq!(connections("").count(), 0);
    }
}
