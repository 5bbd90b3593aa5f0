//! Runs the commands that ask the nodes several times: sends a round, hands its replies to the command's
//! [`Steps`], sends the next.
//!
//! ```text
//!  begin: room everywhere? ─► slot ─► round: an aggregate ─► complete ─► Steps::next ─┬─► round …
//!                                                                                     └─► the slot is filled
//! ```
//! Only the first round asks whether the pipes have room; the others are few and small. A session takes no more requests
//! until a command that changes nodes is over, or what it sends behind could overtake the later rounds. Pure.

use super::{
    Core,
    dispatch::NoPipe,
    request::{Request, Taken},
};
use crate::traffic::{
    client::{ClientKey, Modes, Pause, Reply},
    merge::{
        Context, Kind, State as PartState, info,
        steps::{Course, Next, Question, Steps},
    },
    observe::tally::NO_ROW,
    pipe::{Entry, Owner},
    refusal::Refusal,
};

impl Core {
    /// Sends the first round of a command; `holds`: the session waits for its end.
    pub(super) fn begin_steps(&mut self, key: ClientKey, begun: (Steps, Vec<Question>), holds: bool) -> Taken {
        let (steps, questions) = begun;
        let Some(client) = self.client(key) else { return Taken::Yes };
        let (db, proto) = (client.db, client.proto);
        if holds && client.modes.has(Modes::TRACKING) && !client.slots.is_empty() {
            // What it sent before went over connections of its own, and must not be overtaken.
            return Taken::Later;
        }
        for question in &questions {
            if let Err(NoPipe::Full(pipe)) = self.pipe_for(question.node, db, proto) {
                return Taken::Full(pipe);
            }
        }
        let Some(client) = self.client_mut(key) else { return Taken::Yes };
        let (seq, row) = (client.open_slot(), client.command_row());
        if holds && client.pause == Pause::No {
            client.pause = Pause::Order;
        }
        let (id, _) = self.new_aggregate(key, seq, Kind::Round, proto, true);
        self.aggregates[id].course = Some(Box::new(Course { steps, db, row, held: 0 }));
        self.send_round(id, questions);
        Taken::Yes
    }

    fn send_round(&mut self, id: usize, questions: Vec<Question>) {
        let (generation, proto) = (self.aggregates[id].generation, self.aggregates[id].proto);
        let Some(course) = self.aggregates[id].course.as_deref() else { return };
        let (reads, db) = (course.steps.only_reads(), course.db);
        let row = if course.steps.acts() { course.row } else { NO_ROW };
        self.aggregates[id].reads = reads;
        let sent_us = self.now_us as u32;
        for Question { node, request } in questions {
            let part = self.aggregates[id].add_part(node);
            match self.pipe_for(node, db, proto) {
                Ok(pipe) | Err(NoPipe::Full(pipe)) => {
                    let entry = Entry {
                        index: id as u32,
                        generation,
                        seq: part,
                        owner: Owner::Part,
                        reads,
                        retried: !reads,
                        row,
                        ..Entry::unwanted(sent_us)
                    };
                    self.put(pipe, entry, Request { bytes: &request, args: &[], blob: None });
                }
                // A shared pipe needs no lease.
                Err(NoPipe::NoLease(_)) => {
                    self.aggregates[id].note(part, PartState::Failed, |out| Refusal::NoNode.write(out));
                }
                Err(NoPipe::Down(why)) => {
                    let topology = std::sync::Arc::clone(&self.snapshot.topology);
                    let refusal = Refusal::NodeDown(topology.node(node), &why);
                    self.counters.refusals[refusal.kind() as usize] += 1;
                    self.aggregates[id].note(part, PartState::Failed, |out| refusal.write(out));
                }
            }
        }
        if self.aggregates[id].missing == 0 {
            self.round_over(id);
        }
    }

    /// All parts of a round are there.
    pub(super) fn round_over(&mut self, id: usize) {
        let Some(mut course) = self.aggregates[id].course.take() else { return };
        let key = self.aggregates[id].client;
        let replied = self.aggregates[id].replied();
        if let Some(client) = self.client_mut(key) {
            client.gathered = client.gathered.saturating_sub(replied);
            self.gathered = self.gathered.saturating_sub(replied);
        } else if !course.steps.outlives_client() {
            let aggregate = self.aggregates.remove(id);
            return self.keep_aggregate(aggregate);
        }
        match self.decide(id, &mut course) {
            Next::Ask(questions) => {
                let held = course.steps.held();
                self.count_held(key, &mut course, held);
                self.aggregates[id].recycle();
                self.aggregates[id].course = Some(course);
                self.send_round(id, questions);
            }
            Next::Answer(text) => {
                self.count_held(key, &mut course, 0);
                let aggregate = self.aggregates.remove(id);
                self.fill(key, aggregate.seq, Reply::Bytes(&text));
                self.keep_aggregate(aggregate);
                self.look_at_fence();
            }
            // Decided upon at once.
            Next::Change(_) => debug_assert!(false, "a change is no end"),
        }
    }

    /// What a command keeps until its next round counts as held for its client, like the replies of a round.
    fn count_held(&mut self, key: ClientKey, course: &mut Course, held: usize) {
        let before = std::mem::replace(&mut course.held, held);
        // What was held for a client that has gone is counted no more.
        let Some(client) = self.client_mut(key) else { return };
        client.gathered = (client.gathered + held).saturating_sub(before);
        client.largest = client.largest.max(held);
        self.gathered = (self.gathered + held).saturating_sub(before);
    }

    /// What the command wants done after its round.
    fn decide(&mut self, id: usize, course: &mut Course) -> Next {
        let Course { steps, db, .. } = course;
        let aggregate = &self.aggregates[id];
        let cx = Context {
            topology: &self.snapshot.topology,
            partial_reads: self.settings.partial_reads,
            limits: &self.settings.limits,
            random: 0,
            audience: &self.registry.audience,
            surplus: 0,
            own: &info::Own::default(),
            run: 0,
        };
        let next = steps.next(aggregate, &cx, &|node| self.run_of(node, *db, aggregate.proto));
        match next {
            Next::Change(changes) => {
                let result = self.change_options(&changes);
                steps.changed(result)
            }
            other => other,
        }
    }
}
