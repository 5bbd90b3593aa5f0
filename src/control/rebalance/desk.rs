//! Where the workers' questions to the control plane arrive: keys that clients wait for in a queue of their own, which is
//! served on the mover's thread, what concerns locks with the thread that keeps them, everything else in another. Bounded by
//! the sessions: each has one under way. Pure, but for the queues.

use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::mpsc;

use super::drive::Driver;
use crate::{
    control::lock::Front,
    traffic::control::{Ask, Control, Wanted},
};

/// Whoever knows how many keys are there beyond the clients'.
type Surplus = Arc<OnceLock<Weak<Driver>>>;

/// The workers' side.
#[derive(Debug)]
pub struct Desk {
    wanted: mpsc::UnboundedSender<Wanted>,
    asks: mpsc::UnboundedSender<Ask>,
    locks: Front,
    driver: Surplus,
}

/// The control plane's side.
#[derive(Debug)]
pub struct Inbox {
    /// Keys to be brought.
    pub wanted: mpsc::UnboundedReceiver<Wanted>,
    /// Everything else.
    pub asks: mpsc::UnboundedReceiver<Ask>,
}

impl Desk {
    /// A desk and its inbox; what concerns locks goes to `locks`. `driver` is to be set before it is asked anything but questions.
    #[must_use]
    pub fn new(driver: Surplus, locks: Front) -> (Self, Inbox) {
        let (wanted, to_bring) = mpsc::unbounded_channel();
        let (asks, asked) = mpsc::unbounded_channel();
        (Self { wanted, asks, locks, driver }, Inbox { wanted: to_bring, asks: asked })
    }
}

impl Control for Desk {
    fn ask(&self, ask: Ask) {
        match ask {
            Ask::Lock(ask) => self.locks.ask(ask),
            Ask::LockUnblock { session, error } => self.locks.unblock(session, error),
            Ask::LockGone(session) => self.locks.gone(session),
            // Nobody answers any more: the process ends.
            Ask::Bring(wanted) => drop(self.wanted.send(wanted)),
            ask => drop(self.asks.send(ask)),
        }
    }

    fn surplus(&self, db: u32) -> u64 {
        let moving = self.driver.get().and_then(Weak::upgrade).map_or(0, |driver| driver.surplus(db));
        moving + self.locks.surplus(db)
    }
}
