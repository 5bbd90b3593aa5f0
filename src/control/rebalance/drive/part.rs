//! One part after the other: which is next, in which direction, and all its steps.
//!
//! A change goes forth part by part. Aborted, the part under way goes back first ([`Kind::Back`](mover::Kind)): what had
//! arrived returns, the rest has never left; then every part that had arrived before, as a move of its own in the other
//! direction. `done` of the saved change always counts what has arrived at the new nodes.

use std::{sync::Arc, time::Instant};

use std::sync::atomic::{AtomicU64, Ordering};

use super::{AGAIN, Change, Course, Doing, Driver, Kept, Kind, Member, NodeId, Opened, Purge, Saved, State};
use crate::{
    control::rebalance::{
        mover::{self, Busy, Doomed, MoveError, Stage},
        totals::Result,
    },
    traffic::route::{Epoch, Phase, Topology},
};

/// What ends the move of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All its keys have arrived.
    Arrived,
    /// The operator wants it back.
    Aborted,
}

/// A part on its way, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    part: u32,
    way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To the new nodes.
    Forth,
    /// It was moving when the change was aborted.
    Home,
    /// It had arrived when the change was aborted.
    Again,
}

impl Leg {
    /// What is next; `None`: nothing, the change is over.
    pub(super) fn of(change: &Change) -> Option<Self> {
        let leg = |part, way| Some(Self { part, way });
        let moves = change.phase == Saved::Moving;
        match (change.back, moves) {
            (false, true) => leg(change.part, Way::Forth),
            (true, true) if !change.done.contains(&change.part) => leg(change.part, Way::Home),
            (true, true) => leg(change.part, Way::Again),
            (false, false) => {
                (0..change.parts).find(|part| !change.done.contains(part)).and_then(|part| leg(part, Way::Forth))
            }
            (true, false) => change.done.last().and_then(|part| leg(*part, Way::Again)),
        }
    }

    /// Names the set of tombstones.
    fn id(self, change: &Change) -> String {
        let Self { part, way } = self;
        let mark = match way {
            Way::Forth => "",
            Way::Home => "h",
            Way::Again => "a",
        };
        format!("{}-{part}{mark}", change.id)
    }

    pub(super) fn stage(self, course: &Course, change: &Change, busy: Busy) -> Arc<Stage> {
        let kind = match self.way {
            Way::Forth | Way::Again => mover::Kind::Forward { busy },
            Way::Home => {
                let forward = Self { way: Way::Forth, ..self }.id(change);
                mover::Kind::Back { forward }
            }
        };
        Arc::new(Stage {
            id: self.id(change),
            nonce: change.nonce.clone(),
            replaces: None,
            nodes: Arc::clone(course.nodes()),
            pairs: course.pairs.clone(),
            place: course.place(change.parts as usize, self.part as usize),
            kind,
        })
    }
}

/// Whether every key of a change is where it is to stay.
pub(super) fn is_over(change: &Change) -> bool {
    let arrived = if change.back { change.done.is_empty() } else { change.done.len() as u32 == change.parts };
    change.phase == Saved::Committed && arrived
}

/// The nodes of a change in the direction in which it goes.
pub(super) fn heading(course: &Course, change: &Change) -> Course {
    if change.back { course.reversed() } else { course.clone() }
}

/// The topology of a change as it was saved.
pub(super) fn topology(course: &Course, change: &Change, epoch: Epoch) -> Topology {
    let phase = if change.phase == Saved::Moving { Phase::Moving } else { Phase::Prepare };
    phased(&heading(course, change), change, epoch, phase)
}

/// The topology of a change while its part under way is in `phase`; `heading`: the nodes in its direction.
pub(super) fn phased(heading: &Course, change: &Change, epoch: Epoch, phase: Phase) -> Topology {
    let under_way = change.phase == Saved::Moving || phase != Phase::Prepare;
    let part = if under_way { change.part } else { u32::MAX };
    let arrived = |part: u32| change.done.contains(&part) != change.back;
    let done: Vec<bool> = (0..change.parts).map(|of| of != part && arrived(of)).collect();
    heading.topology(epoch, change.id, &done, part as usize, phase)
}

/// What a client is told whose key cannot be brought.
pub(super) fn line(error: &MoveError) -> String {
    match error {
        MoveError::Down { .. } => format!("NODEDOWN {error}"),
        MoveError::Refused { line, .. } => line.clone(),
        MoveError::Conflict { .. } => format!("CONFLICT {error}"),
        MoveError::Lost { .. } | MoveError::Unfit(_) | MoveError::NotOpen | MoveError::Stopped => {
            format!("TRYAGAIN {error}")
        }
    }
}

/// The first part of a change, as the nodes are to be looked at beforehand.
pub(super) fn first_stage(course: &Course, change: &Change) -> Arc<Stage> {
    Leg { part: 0, way: Way::Forth }.stage(course, change, Busy::Stop)
}

impl Driver {
    /// Does what is left of the change that is saved.
    pub(super) async fn carry_out(&self) {
        self.forget_lost().await;
        let Some((course, change)) = self.course() else { return };
        super::held(&self.report).batches = course.pairs.len() as u64 * u64::from(change.parts);
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
                self.turn_back(&course).await;
                continue;
            }
            match Leg::of(&change) {
                Some(_) if !change.copies => self.hand_over(&heading).await,
                Some(leg) => self.go(&heading, &course, leg).await,
                // Aborted before anything had moved.
                None => {
                    self.save(|state| change_of(state, |change| change.phase = Saved::Committed)).await;
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
        match seats.course(&state.members, &change.next, &state.scheme) {
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
    async fn turn_back(&self, course: &Course) {
        self.note(Kind::Change, "", "aborted: keys go back to where they were");
        tracing::warn!("change aborted: keys go back to where they were");
        let Some(before) = self.change() else { return };
        let moves = before.phase == Saved::Moving;
        let back = Change { back: true, aborted: false, paused: false, ..before.clone() };
        self.tools.mover.pace().pause(false);
        if moves {
            // Nothing of the way forth may be under way when the way back begins.
            self.fence(&heading(course, &before), &before).await;
        }
        self.save(|state| state.change = Some(back)).await;
    }

    /// One part, from its opening until it has arrived or is wanted back.
    async fn go(&self, heading: &Course, course: &Course, leg: Leg) {
        let Some(change) = self.change() else { return };
        let is_open = change.sets.contains(&leg.id(&change));
        let ready = if is_open {
            self.reopen(heading, leg).await
        } else if leg.way == Way::Home {
            self.open_home(heading, leg).await
        } else {
            self.open_fresh(heading, leg).await
        };
        if !ready {
            return;
        }
        *super::held(&self.begun) = Instant::now();
        if self.move_all(heading, leg).await == End::Aborted {
            return self.turn_back(course).await;
        }
        self.save(|state| {
            change_of(state, |change| {
                match leg.way {
                    Way::Forth => change.done.push(leg.part),
                    Way::Again => change.done.retain(|part| *part != leg.part),
                    Way::Home => {}
                }
                change.phase = Saved::Committed;
            });
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
            let members = if change.back { state.members.clone() } else { change.next.clone() };
            let last = seats.topology(&members, &state.scheme, epoch);
            last.unwrap_or_else(|_| phased(heading, &change, epoch, Phase::Prepare))
        })
        .await;
    }

    /// Sets the nonce, keeps that, then fences: from then on the part moves. False: it is not to begin.
    async fn open_fresh(&self, heading: &Course, leg: Leg) -> bool {
        self.doing(Doing::Fence);
        let Some(mut change) = self.change() else { return false };
        change.nonce = nonce();
        change.part = leg.part;
        let stage = leg.stage(heading, &change, Busy::Stop);
        let Some((opened, stage)) = self.open_patiently(&stage, None).await else {
            // What was set is taken away again.
            if let Err(error) = self.tools.mover.close(stage).await {
                self.trouble(&error.to_string());
            }
            return false;
        };
        self.keep_opened(heading, leg, &stage, &opened).await;
        self.let_move(heading).await;
        true
    }

    /// Keeps that a part moves.
    async fn keep_opened(&self, heading: &Course, leg: Leg, stage: &Stage, opened: &Opened) {
        let nodes = Arc::clone(heading.nodes());
        self.save(|state| {
            for (node, run) in &opened.runs {
                state.run_ids.insert(nodes[node.index()].name.clone(), run.clone());
            }
            change_of(state, |change| {
                change.nonce.clone_from(&stage.nonce);
                (change.part, change.phase) = (leg.part, Saved::Moving);
                let id = leg.id(change);
                if !change.sets.contains(&id) {
                    change.sets.push(id);
                }
            });
        })
        .await;
    }

    /// Fence, barrier, and the keys move.
    async fn let_move(&self, heading: &Course) {
        let Some(change) = self.change() else { return };
        let begin = Instant::now();
        self.fence(heading, &change).await;
        self.publish(|_, epoch| phased(heading, &change, epoch, Phase::Moving)).await;
        super::held(&self.totals).fenced(change.back, begin.elapsed().as_micros() as u64);
        self.doing(Doing::Moving);
    }

    /// Requests for the part's keys wait; returns when nothing is under way for them any more.
    pub(super) async fn fence(&self, heading: &Course, change: &Change) {
        if self.tools.safety.fence {
            self.publish(|_, epoch| phased(heading, change, epoch, Phase::Fence)).await;
        }
    }

    /// The way home: the fence stands already, or nothing was under way. False: it is not to begin.
    async fn open_home(&self, heading: &Course, leg: Leg) -> bool {
        self.doing(Doing::Fence);
        let Some(change) = self.change() else { return false };
        self.fence(heading, &change).await;
        let stage = leg.stage(heading, &change, Busy::Stop);
        // What cannot be opened at once is not waited for with closed gates.
        let opened = self.tools.mover.open(Arc::clone(&stage), None).await;
        let waits = opened.is_err();
        if waits {
            self.publish(|_, epoch| phased(heading, &change, epoch, Phase::Moving)).await;
        }
        let opened = match opened {
            Ok(opened) => Some((opened, stage)),
            Err(_) => self.open_patiently(&stage, None).await,
        };
        let Some((opened, stage)) = opened else { return false };
        self.keep_opened(heading, leg, &stage, &opened).await;
        self.let_move(heading).await;
        true
    }

    /// After a restart of Circlet: the part moves already.
    async fn reopen(&self, heading: &Course, leg: Leg) -> bool {
        let Some(change) = self.change() else { return false };
        let runs = {
            let kept = self.kept();
            let run = |(index, node): (usize, &crate::traffic::route::Node)| {
                kept.state.run_ids.get(&node.name).map(|run| (NodeId(index as u16), run.clone()))
            };
            heading.nodes().iter().enumerate().filter_map(run).collect()
        };
        let stage = leg.stage(heading, &change, Busy::Stop);
        self.doing(Doing::Moving);
        let Some((opened, stage)) = self.open_patiently(&stage, Some(Opened { runs })).await else { return false };
        if stage.nonce != change.nonce {
            self.keep_opened(heading, leg, &stage, &opened).await;
        }
        true
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.abort.load(Ordering::SeqCst)
    }

    /// Opens a stage, however long its nodes are away; `None`: the operator does not want it any more.
    async fn open_patiently(&self, stage: &Arc<Stage>, recorded: Option<Opened>) -> Option<(Opened, Arc<Stage>)> {
        let (mut stage, mut recorded) = (Arc::clone(stage), recorded);
        loop {
            match self.tools.mover.open(Arc::clone(&stage), recorded.clone()).await {
                Ok(opened) => {
                    self.trouble("");
                    return Some((opened, stage));
                }
                Err(error) => {
                    self.trouble(&error.to_string());
                    if recorded.is_none() && self.change().is_none_or(|change| change.phase != Saved::Moving) {
                        self.flush_now().await;
                    }
                    if error.is_down() {
                        self.rest(AGAIN).await;
                    } else if !self.wait_for_word().await {
                        return None;
                    }
                    if matches!(error, MoveError::Lost { .. }) {
                        (stage, recorded) = (self.anew(&stage).await, None);
                    }
                }
            }
            if self.is_aborted() {
                return None;
            }
        }
    }

    /// The stage with a new nonce, kept.
    pub(super) async fn anew(&self, stage: &Stage) -> Arc<Stage> {
        let nonce = nonce();
        self.save(|state| change_of(state, |change| change.nonce.clone_from(&nonce))).await;
        let kind = match &stage.kind {
            mover::Kind::Forward { .. } => mover::Kind::Forward { busy: Busy::Keep },
            back @ mover::Kind::Back { .. } => back.clone(),
        };
        Arc::new(Stage { nonce, replaces: Some(stage.nonce.clone()), kind, ..stage.clone() })
    }

    /// Waits until the operator has spoken; true: it goes on.
    async fn wait_for_word(&self) -> bool {
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
    pub(super) async fn rest(&self, pause: std::time::Duration) {
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

    /// Opens the part with a new nonce, and lets its keys move again.
    pub(super) async fn open_anew(&self, heading: &Course, leg: Leg) {
        let Some(change) = self.change() else { return };
        let stage = self.anew(&leg.stage(heading, &change, Busy::Keep)).await;
        if let Some((opened, stage)) = self.open_patiently(&stage, None).await {
            self.keep_opened(heading, leg, &stage, &opened).await;
            self.let_move(heading).await;
        }
    }

    /// Behind the barrier of a part that has arrived: nothing of it may come late, and the old copies go.
    async fn settle(&self, heading: &Course, change: &Change) {
        let arrived = Leg { part: change.part, way: settled_way(change) };
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
            let mut totals = super::held(&self.totals);
            (totals.keys, totals.bytes, totals.purged) =
                (totals.keys + keys, totals.bytes + bytes, totals.purged + purged);
            let mut kept = self.kept();
            (kept.keys, kept.bytes, kept.purged) = (kept.keys + keys, kept.bytes + bytes, kept.purged + purged);
        }
        self.trouble("");
        if !is_over(change) {
            self.save(|state| {
                change_of(state, |change| {
                    change.sets.clear();
                    change.phase = Saved::Prepare;
                });
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
                ended = self.tools.mover.purge(nodes, at.clone(), Arc::clone(&doomed)) => Some(ended),
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
        let members = if change.back { None } else { Some(change.next.clone()) };
        self.save(|state| {
            state.change = None;
            if let Some(members) = members {
                state.members = members;
            }
            let stays = |purge: &Purge| state.members.iter().any(|member| member.address == purge.node.address);
            state.purges.retain(stays);
        })
        .await;
        self.follow_members();
        super::held(&self.totals).ended(if change.back { Result::TakenBack } else { Result::Done });
        let text = if change.back { "was taken back" } else { "is done" };
        self.note(Kind::Change, "", &format!("change {}: {} {text}", change.id, change.text));
        tracing::info!(change = change.id, what = %change.text, "change {text}");
        self.tools.mover.rest();
        self.trouble("");
        super::held(&self.report).batches = 0;
        self.doing(Doing::Idle);
    }

    /// Nodes that are given up: what they have is nobody's from now on, and nothing of it is waited for.
    async fn forget_lost(&self) {
        let Some(change) = self.change().filter(|change| !change.lost.is_empty()) else { return };
        let left = |members: &[Member]| -> Vec<Member> {
            members.iter().filter(|member| !change.lost.contains(&member.name)).cloned().collect()
        };
        let (between, course) = {
            let mut kept = self.kept();
            let Kept { state, seats, .. } = &mut *kept;
            let between = left(&state.members);
            let Ok(course) = seats.course(&state.members, &between, &state.scheme) else { return };
            (between, course)
        };
        self.fence(&course, &Change { parts: 1, done: Vec::new(), part: 0, back: false, ..change.clone() }).await;
        for name in &change.lost {
            let text = "DATA_LOSS: its keys are given up by FORGET --lost; they are empty at their new nodes";
            self.note(Kind::DataLoss, name, text);
            tracing::error!(node = %name, "DATA_LOSS: keys of this node are given up");
        }
        self.save(|state| {
            state.members.clone_from(&between);
            change_of(state, |change| change.lost.clear());
        })
        .await;
        self.publish(|kept, epoch| {
            let Kept { state, seats, .. } = kept;
            let next = seats.topology(&state.members, &state.scheme, epoch);
            next.unwrap_or_else(|_| course.topology(epoch, change.id, &[true], 0, Phase::Prepare))
        })
        .await;
    }
}

/// The direction in which the part that has just arrived went.
fn settled_way(change: &Change) -> Way {
    match (change.back, change.sets.last().map(String::as_bytes)) {
        (false, _) => Way::Forth,
        (true, Some([.., b'h'])) => Way::Home,
        (true, _) => Way::Again,
    }
}

pub(super) fn change_of(state: &mut State, change: impl FnOnce(&mut Change)) {
    if let Some(under_way) = &mut state.change {
        change(under_way);
    }
}

/// What no restore of before knows.
fn nonce() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}
