//! A change from its beginning to its end, one part after the other: which is next says `leg`, how it begins `open`. Io.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    AGAIN, Change, Course, Doing, Driver, Kept, Kind, Member, NodeId, Purge, Saved, held,
    leg::{Leg, Way, heading, is_over, phased, topology},
};
use crate::{
    control::rebalance::{
        mover::{Busy, Doomed, Haste, MoveError, Stage},
        seats::Cast,
        totals::Result,
    },
    traffic::route::Phase,
};

/// What ends the move of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All its keys have arrived.
    Arrived,
    /// The operator wants it back.
    Aborted,
}

impl Driver {
    /// Does what is left of the change that is saved.
    pub(super) async fn carry_out(&self) {
        self.forget_lost().await;
        let Some((course, change)) = self.course() else { return };
        held(&self.report).batches = course.pairs.len() as u64 * u64::from(change.parts);
        if change.phase == Saved::Prepare && change.done.is_empty() && !change.back {
            self.doing(Doing::Fence);
            self.publish(|_, epoch| topology(&course, &change, epoch)).await;
        }
        self.tools.mover.pace().pause(change.paused);
        while let Some(change) = self.change() {
            let heading = heading(&course, &change);
            if change.phase == Saved::Committed {
                self.settle(&heading, &change).await;
                if is_over(&change) {
                    return self.finish(&change).await;
                }
                continue;
            }
            if self.abort.swap(false, Ordering::SeqCst) && !change.back {
                self.turn_back().await;
                continue;
            }
            match Leg::of(&change) {
                Some(_) if !change.copies => {
                    if !self.hand_over(&heading).await {
                        return;
                    }
                }
                Some(leg) => self.go(&heading, leg).await,
                // Aborted before anything had moved.
                None => {
                    self.save_change(|change| change.phase = Saved::Committed).await;
                    self.publish_arrived(&heading).await;
                }
            }
        }
    }

    pub(super) fn change(&self) -> Option<Change> {
        self.kept().state.change.clone()
    }

    /// The nodes of the change, forth.
    fn course(&self) -> Option<(Course, Change)> {
        let mut kept = self.kept();
        let Kept { state, seats, .. } = &mut *kept;
        let change = state.change.clone()?;
        match seats.course(state.cast(), change.cast(), &state.scheme) {
            Ok(course) => Some((course, change)),
            Err(error) => {
                // It was checked when it was taken.
                tracing::error!(why = %error, "the change makes no ring, and is given up");
                state.change = None;
                None
            }
        }
    }

    /// From now on the change goes back.
    async fn turn_back(&self) {
        self.note(Kind::Change, "", "aborted: keys go back to where they were");
        tracing::warn!("change aborted: keys go back to where they were");
        self.tools.mover.pace().pause(false);
        self.save_change(|change| (change.back, change.aborted, change.paused) = (true, false, false)).await;
    }

    /// One part, from its opening until it has arrived or is wanted back.
    async fn go(&self, heading: &Course, leg: Leg) {
        if !self.open(heading, leg).await {
            return;
        }
        *held(&self.begun) = Instant::now();
        if self.move_all(heading, leg).await == End::Aborted {
            return self.turn_back().await;
        }
        self.save_change(|change| {
            match leg.way {
                Way::Forth => change.done.push(leg.part),
                Way::Again => change.done.retain(|part| *part != leg.part),
                Way::Home => {}
            }
            change.phase = Saved::Committed;
        })
        .await;
        self.doing(Doing::Committed);
        self.publish_arrived(heading).await;
    }

    pub(super) async fn publish_arrived(&self, heading: &Course) {
        let Some(change) = self.change() else { return };
        self.publish(|kept, epoch| {
            if !is_over(&change) {
                return phased(heading, &change, epoch, Phase::Prepare);
            }
            let Kept { state, seats, .. } = kept;
            let cast = if change.back { state.cast() } else { change.cast() };
            let last = seats.topology(cast, &state.scheme, epoch);
            last.unwrap_or_else(|_| phased(heading, &change, epoch, Phase::Prepare))
        })
        .await;
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.abort.load(Ordering::SeqCst)
    }

    /// Waits until the operator has spoken; true: it goes on.
    pub(super) async fn wait_for_word(&self) -> bool {
        self.doing(Doing::Paused);
        self.resume.store(false, Ordering::SeqCst);
        loop {
            if self.is_aborted() {
                return false;
            }
            if self.resume.swap(false, Ordering::SeqCst) {
                self.trouble("");
                self.doing(Doing::Moving);
                return true;
            }
            self.flush_now().await;
            self.called.notified().await;
        }
    }

    /// Waits a moment, or until somebody calls.
    pub(super) async fn rest(&self, pause: Duration) {
        // Either way it is looked again.
        let _ = tokio::time::timeout(pause, self.called.notified()).await;
    }

    /// Moves all keys of the open part.
    async fn move_all(&self, heading: &Course, leg: Leg) -> End {
        loop {
            let ended = tokio::select! {
                ended = self.tools.mover.pass() => Some(ended),
                () = self.called.notified() => None,
            };
            if self.is_aborted() && leg.way == Way::Forth {
                self.abort.store(false, Ordering::SeqCst);
                return End::Aborted;
            }
            if self.restarted.swap(false, Ordering::SeqCst) {
                self.let_move(heading).await;
                continue;
            }
            if self.has_flush() {
                self.flush_moving(heading, leg).await;
                continue;
            }
            match ended {
                None => {}
                Some(Ok(())) => return End::Arrived,
                Some(Err(error)) if error.is_down() => {
                    self.trouble(&error.to_string());
                    self.rest(AGAIN).await;
                }
                Some(Err(error)) => self.stuck(heading, leg, &error).await,
            }
        }
    }

    /// The pass can do nothing without the operator.
    async fn stuck(&self, heading: &Course, leg: Leg, error: &MoveError) {
        self.trouble(&error.to_string());
        let lost = matches!(error, MoveError::Lost { .. });
        if lost {
            // What workers know of brought keys is void.
            self.let_move(heading).await;
        }
        if self.wait_for_word().await && lost {
            self.open_anew(heading, leg).await;
        }
    }

    /// Behind the barrier of a part that has arrived: nothing of it may come late, and the old copies go.
    async fn settle(&self, heading: &Course, change: &Change) {
        let arrived = Leg::arrived(change);
        let stage = arrived.stage(heading, change, Busy::Stop);
        if !change.copies && !change.back {
            self.purge_after(heading, change).await;
        }
        if !change.sets.is_empty() {
            while let Err(error) = self.tools.mover.close(Arc::clone(&stage)).await {
                self.trouble(&error.to_string());
                self.rest(AGAIN).await;
                if is_over(change) && self.abort.swap(false, Ordering::SeqCst) {
                    break;
                }
            }
            if arrived.way != Way::Home {
                self.purge(heading, &stage, is_over(change)).await;
            }
        }
        {
            let progress = self.tools.mover.progress();
            progress.forget_copies(None);
            let swap = |counter: &AtomicU64| counter.swap(0, Ordering::SeqCst);
            let (keys, bytes, purged) = (swap(&progress.keys), swap(&progress.bytes), swap(&progress.purged));
            let mut totals = held(&self.totals);
            (totals.keys, totals.bytes, totals.purged) =
                (totals.keys + keys, totals.bytes + bytes, totals.purged + purged);
        }
        self.trouble("");
        if !is_over(change) {
            self.save_change(|change| {
                change.sets.clear();
                change.phase = Saved::Prepare;
            })
            .await;
        }
    }

    /// Deletes at their old nodes what has moved. At the end of a change, `last`, the operator may give that up; between two
    /// parts the way back needs it.
    async fn purge(&self, heading: &Course, stage: &Stage, last: bool) {
        self.doing(Doing::Purging);
        let place = Arc::clone(&stage.place);
        let doomed: Doomed = Arc::new(move |node, key: &[u8]| place(key).is_some_and(|(from, _)| from == node));
        let at: Vec<NodeId> = stage.sources().into_iter().collect();
        loop {
            let nodes = Arc::clone(heading.nodes());
            let ended = tokio::select! {
                ended = self.tools.mover.purge(nodes, at.clone(), Arc::clone(&doomed), Haste::Paced) => Some(ended),
                () = self.called.notified() => None,
            };
            self.flush_now().await;
            if last && self.abort.swap(false, Ordering::SeqCst) {
                let text = "the purge was given up: copies of keys that have moved are left at their old nodes";
                self.note(Kind::Change, "", text);
                tracing::warn!("{text}");
                self.owe(heading.nodes(), &at).await;
                return;
            }
            match ended {
                None => {}
                Some(Ok(())) => return,
                Some(Err(error)) => {
                    self.trouble(&error.to_string());
                    self.rest(AGAIN).await;
                }
            }
        }
    }

    /// The change is over.
    async fn finish(&self, change: &Change) {
        self.save(|state| {
            state.change = None;
            if !change.back {
                state.members.clone_from(&change.next);
                state.out.clone_from(&change.out);
            }
            let stays = |purge: &Purge| state.members.iter().any(|member| member.address == purge.node.address);
            state.purges.retain(stays);
        })
        .await;
        held(&self.totals).ended(if change.back { Result::TakenBack } else { Result::Done });
        let text = if change.back { "was taken back" } else { "is done" };
        self.note(Kind::Change, "", &format!("change {}: {} {text}", change.id, change.text));
        tracing::info!(change = change.id, what = %change.text, "change {text}");
        self.tools.mover.rest();
        self.trouble("");
        held(&self.report).batches = 0;
        self.doing(Doing::Idle);
    }

    /// Nodes that are given up: what they have is nobody's from now on, and nothing of it is waited for.
    async fn forget_lost(&self) {
        let Some(change) = self.change().filter(|change| !change.lost.is_empty()) else { return };
        let stays = |name: &String| !change.lost.contains(name);
        let (between, out, course) = {
            let mut kept = self.kept();
            let Kept { state, seats, .. } = &mut *kept;
            let between: Vec<Member> = state.members.iter().filter(|member| stays(&member.name)).cloned().collect();
            let out: Vec<String> = state.out.iter().filter(|name| stays(name)).cloned().collect();
            let cast = Cast { members: &between, out: &out };
            let Ok(course) = seats.course(state.cast(), cast, &state.scheme) else { return };
            (between, out, course)
        };
        self.fence(&course, &Change { parts: 1, done: Vec::new(), part: 0, back: false, ..change.clone() }).await;
        for name in &change.lost {
            let text = "DATA_LOSS: its keys are given up by FORGET --lost; they are empty at their new nodes";
            self.note(Kind::DataLoss, name, text);
            tracing::error!(node = %name, "DATA_LOSS: keys of this node are given up");
        }
        self.save(|state| {
            state.members.clone_from(&between);
            state.out.clone_from(&out);
            if let Some(change) = &mut state.change {
                change.lost.clear();
            }
        })
        .await;
        self.publish(|kept, epoch| {
            let Kept { state, seats, .. } = kept;
            let next = seats.topology(state.cast(), &state.scheme, epoch);
            next.unwrap_or_else(|_| course.topology(epoch, change.id, &[true], 0, Phase::Prepare))
        })
        .await;
    }
}
