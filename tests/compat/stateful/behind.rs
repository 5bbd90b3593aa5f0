//! What keeps a play deterministic while connections wait: only one of them has requests behind the one it waits in, and as
//! long as it has, the others send one request at a time. Whether the rest of a pipeline is done before what another
//! connection goes on with is chance in Redis too.

use super::{
    play::{PROTOS, View},
    step::Step,
};

/// Who has requests behind the one that waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behind {
    has: [bool; PROTOS.len()],
    /// Who sent the last step, and whether requests may be left of it.
    last: Option<usize>,
}

impl Behind {
    /// Whether `connection` is bound by another one that has.
    pub fn binds(&mut self, connection: usize, view: &View) -> bool {
        for (at, has) in self.has.iter_mut().enumerate() {
            *has = view.states[at].blocked && (*has || self.last == Some(at));
        }
        (0..PROTOS.len()).any(|at| at != connection && self.has[at])
    }

    /// Whether `step` may come now; if so, it does.
    pub fn allows(&mut self, step: &Step, view: &View) -> bool {
        let connection = step.connection();
        let blocked = view.states[connection].blocked;
        let bound = self.binds(connection, view);
        let several = step.requests().len() > 1;
        self.last = (blocked || several).then_some(connection);
        match step {
            Step::Leave { .. } => true,
            // A short timeout behind one that does not end is none.
            Step::Send { cuts, .. } => {
                !(blocked && (bound || step.is_brief()) || bound && (several || !cuts.is_empty()))
            }
        }
    }
}
