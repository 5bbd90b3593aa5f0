//! The beginning of a part's move: its nonce is set and kept, then a fence, then its keys move.
//!
//! ```text
//!  fresh:  open ─ saved ─ fence ─ Moving            after a restart:  open with the recorded nonce (it moves already)
//!  home:   fence ─ open ─ saved ─ Moving            lost, flushed:    new nonce ─ open ─ saved ─ fence ─ Moving
//! ```
//! Going home the gates are closed first, because the opening ends the way forth. Nodes that are away are waited for with open
//! gates: what cannot be brought is refused with the reason. Io.

use std::{sync::Arc, time::Instant};

use super::{
    AGAIN, Change, Course, Doing, Driver, NodeId, Opened, Saved, held,
    leg::{Leg, Way, phased},
};
use crate::{
    control::rebalance::mover::{self, Busy, MoveError, Stage},
    traffic::route::{Node, Phase},
};

impl Driver {
    /// Opens the part that `leg` says, from wherever that stands; false: it is not to begin.
    pub(super) async fn open(&self, heading: &Course, leg: Leg) -> bool {
        let Some(change) = self.change() else { return false };
        if change.sets.contains(&leg.id(&change)) {
            self.reopen(heading, leg).await
        } else if leg.way == Way::Home {
            self.open_home(heading, leg).await
        } else {
            self.open_fresh(heading, leg).await
        }
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
            let Some(change) = &mut state.change else { return };
            change.nonce.clone_from(&stage.nonce);
            (change.part, change.phase) = (leg.part, Saved::Moving);
            let id = leg.id(change);
            if !change.sets.contains(&id) {
                change.sets.push(id);
            }
        })
        .await;
    }

    /// Fence, barrier, and the keys move.
    pub(super) async fn let_move(&self, heading: &Course) {
        let Some(change) = self.change() else { return };
        let begin = Instant::now();
        self.fence(heading, &change).await;
        self.end_fence(heading, begin).await;
    }

    /// Behind a fence that was begun then, the keys of the part move.
    async fn end_fence(&self, heading: &Course, begin: Instant) {
        let Some(change) = self.change() else { return };
        self.publish(|_, epoch| phased(heading, &change, epoch, Phase::Moving)).await;
        held(&self.totals).fenced(change.back, begin.elapsed().as_micros() as u64);
        self.doing(Doing::Moving);
    }

    /// Requests for the part's keys wait; returns when nothing is under way for them any more.
    pub(super) async fn fence(&self, heading: &Course, change: &Change) {
        if self.tools.safety.fence {
            self.publish(|_, epoch| phased(heading, change, epoch, Phase::Fence)).await;
        }
    }

    /// The way home: nothing of the way forth is under way any more when it is opened. False: it is not to begin.
    async fn open_home(&self, heading: &Course, leg: Leg) -> bool {
        self.doing(Doing::Fence);
        let Some(change) = self.change() else { return false };
        let begin = Instant::now();
        self.fence(heading, &change).await;
        let stage = leg.stage(heading, &change, Busy::Stop);
        if let Ok(opened) = self.tools.mover.open(Arc::clone(&stage), None).await {
            self.keep_opened(heading, leg, &stage, &opened).await;
            self.end_fence(heading, begin).await;
            return true;
        }
        // What cannot be opened at once is not waited for with closed gates.
        self.end_fence(heading, begin).await;
        let Some((opened, stage)) = self.open_patiently(&stage, None).await else { return false };
        self.keep_opened(heading, leg, &stage, &opened).await;
        self.let_move(heading).await;
        true
    }

    /// After a restart of Circlet: the part moves already.
    async fn reopen(&self, heading: &Course, leg: Leg) -> bool {
        let Some(change) = self.change() else { return false };
        let runs = {
            let kept = self.kept();
            let run = |(index, node): (usize, &Node)| {
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
    async fn anew(&self, stage: &Stage) -> Arc<Stage> {
        let nonce = nonce();
        self.save_change(|change| change.nonce.clone_from(&nonce)).await;
        let kind = match &stage.kind {
            mover::Kind::Forward { .. } => mover::Kind::Forward { busy: Busy::Keep },
            back @ mover::Kind::Back { .. } => back.clone(),
        };
        Arc::new(Stage { nonce, replaces: Some(stage.nonce.clone()), kind, ..stage.clone() })
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
}

/// What no restore of before knows.
fn nonce() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}
