//! Where the workers' questions to the control plane arrive. Bounded by the sessions: each has one under way. Pure, but for
//! the queue.

use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::mpsc;

use super::drive::Driver;
use crate::traffic::control::{Ask, Control};

/// Whoever knows how many keys are there beyond the clients'.
type Surplus = Arc<OnceLock<Weak<Driver>>>;

/// The workers' side.
#[derive(Debug)]
pub struct Desk {
    asks: mpsc::UnboundedSender<Ask>,
    driver: Surplus,
}

/// The control plane's side.
pub type Inbox = mpsc::UnboundedReceiver<Ask>;

impl Desk {
    /// A desk and its inbox; `driver` is to be set before it is asked anything but questions.
    #[must_use]
    pub fn new(driver: Surplus) -> (Self, Inbox) {
        let (asks, inbox) = mpsc::unbounded_channel();
        (Self { asks, driver }, inbox)
    }
}

impl Control for Desk {
    fn ask(&self, ask: Ask) {
        // Nobody answers any more: the process ends.
        drop(self.asks.send(ask));
    }

    fn surplus(&self, db: u32) -> u64 {
        self.driver.get().and_then(Weak::upgrade).map_or(0, |driver| driver.surplus(db))
    }
}
