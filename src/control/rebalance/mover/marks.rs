//! Where the mover marks what has arrived: in the table of the topology by which the keys of its stage move. Shared.
//!
//! A batch marks in the table that held when it began, and only if its stage was the open one then; so what is answered late
//! marks nothing that another fence has made uncertain. A node that has restarted, or does not know the nonce any more, makes
//! its table void at once, before the driver has heard of it.

use std::sync::{Arc, Mutex};

use super::lines::held;
use crate::traffic::route::Arrived;

/// The table of now.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<Arc<Arrived>>);

impl Marks {
    /// From now on this one.
    pub(super) fn set(&self, arrived: Arc<Arrived>) {
        *held(&self.0) = arrived;
    }

    pub(super) fn now(&self) -> Arc<Arrived> {
        Arc::clone(&held(&self.0))
    }
}
