//! Where the workers' questions to the control plane arrive. Bounded by the sessions: each has one under way. Pure, but for
//! the queue.

use tokio::sync::mpsc;

use crate::traffic::control::{Ask, Control};

/// The workers' side.
#[derive(Debug)]
pub struct Desk(mpsc::UnboundedSender<Ask>);

/// The control plane's side.
pub type Inbox = mpsc::UnboundedReceiver<Ask>;

impl Desk {
    /// A desk and its inbox.
    #[must_use]
    pub fn new() -> (Self, Inbox) {
        let (sender, inbox) = mpsc::unbounded_channel();
        (Self(sender), inbox)
    }
}

impl Control for Desk {
    fn ask(&self, ask: Ask) {
        // Nobody answers any more: the process ends.
        drop(self.0.send(ask));
    }
}
