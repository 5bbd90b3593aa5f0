//! What the status page and `/api/…` show: Circlet as a whole, the ring, the nodes.
//!
//! ```text
//!  workers' counters ──every STEP──► history (rates, lines, commands) ─┐
//!  probe ──► journal: census (what nodes say), chronicle (events) ─────┼──► json ──► /api/status, /api/ring, /api/nodes
//!  topology, board, options ───────────────────────────────────────────┘
//! ```
//! Nobody who looks makes anything happen on a request's way or at a node: the answers are made of what is there. Io only in
//! [`run`], which sleeps and reads clocks.

mod history;
mod json;
mod totals;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use self::history::{Grown, History, STEP};
use super::{live::Live, now_ms, probe::Board, rebalance::drive::Driver};
use crate::traffic::{
    counters::Closed,
    observe::chronicle::Kind,
    options::Options as _,
    route::{NodeId, Topology},
    worker::Fleet,
};

/// Where everything that is shown comes from.
pub struct Status {
    fleet: Arc<Fleet>,
    board: Arc<Board>,
    live: Arc<Live>,
    driver: Arc<Driver>,
    draining: Arc<AtomicBool>,
    /// The monotonic clock's zero, and the wall clock then.
    started: (Instant, u64),
    history: Mutex<History>,
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status").field("started", &self.started).finish_non_exhaustive()
    }
}

/// Whether a node can be used, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A worker uses it, or its probe is answered.
    Up,
    /// Neither.
    Down,
    /// Neither yet.
    Connecting,
    /// It is left out for now.
    Out,
}

impl Status {
    /// Of a Circlet that starts now.
    #[must_use]
    pub fn new(
        fleet: Arc<Fleet>,
        board: Arc<Board>,
        live: Arc<Live>,
        driver: Arc<Driver>,
        draining: Arc<AtomicBool>,
    ) -> Self {
        let started = (Instant::now(), now_ms());
        let text = format!("Circlet {} has started", env!("CARGO_PKG_VERSION"));
        fleet.journal().chronicle().note(started.1, Kind::Started, "", &text);
        Self { fleet, board, live, driver, draining, started, history: Mutex::default() }
    }

    /// Whether clients should be sent here: what `/readyz` says, `Err` with the reason if not.
    ///
    /// # Errors
    /// While Circlet drains, and while no node is up.
    pub fn ready(&self) -> Result<String, String> {
        if self.draining.load(Relaxed) {
            return Err("draining".to_owned());
        }
        let nodes = self.fleet.topology().listed().count();
        match self.nodes_up() {
            0 => Err(format!("none of {nodes} nodes is up")),
            up => Ok(format!("ready, {up} of {nodes} nodes up")),
        }
    }

    /// The text of `/api/status` of the pool `pool` among `pools`; without names, where there is one only.
    #[must_use]
    pub fn status(&self, pool: Option<&str>, pools: &[&str]) -> String {
        json::status(self, pool, pools).to_string()
    }

    /// The text of `/api/ring`.
    #[must_use]
    pub fn ring(&self) -> String {
        json::ring(&self.fleet.topology()).to_string()
    }

    /// The text of `/api/nodes`.
    #[must_use]
    pub fn nodes(&self) -> String {
        json::nodes(self).to_string()
    }

    fn topology(&self) -> Arc<Topology> {
        self.fleet.topology()
    }

    /// Nodes that can be used.
    #[must_use]
    pub fn nodes_up(&self) -> usize {
        self.topology().members().iter().filter(|id| self.state(**id) == State::Up).count()
    }

    /// Whether a worker can use the node, or would find it: pipes are opened on first use.
    fn state(&self, id: NodeId) -> State {
        if self.topology().node(id).out {
            return State::Out;
        }
        if self.board.answers(id) || totals::parts(&self.fleet, id.index()).any(|part| part.up.load(Relaxed)) {
            return State::Up;
        }
        match self.fleet.journal().census().of(id).answers {
            None => State::Connecting,
            Some(_) => State::Down,
        }
    }

    /// µs since the start.
    fn now_us(&self) -> u64 {
        self.started.0.elapsed().as_micros() as u64
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the counters, once per [`STEP`].
    fn look(&self) {
        let now_us = self.now_us();
        let totals = totals::of(&self.fleet, now_us, now_ms());
        let mut history = self.history();
        let grown = history.push(totals);
        if history.wants_commands(now_us) {
            history.push_commands(now_us, totals::commands(&self.fleet));
        }
        drop(history);
        self.tell(&grown);
    }

    /// Notes what clients suffered.
    fn tell(&self, grown: &Grown) {
        let journal = self.fleet.journal();
        if grown.refused > 0 {
            let text = "clients were refused: there were too many (session.max_sessions)";
            journal.chronicle().count(now_ms(), Kind::Refused, text, grown.refused);
        }
        for (why, count) in Closed::ALL.into_iter().zip(grown.closed).filter(|(_, count)| *count > 0) {
            if let Some(text) = why_closed(why) {
                journal.chronicle().count(now_ms(), Kind::Closed, text, count);
            }
        }
    }

    /// An option's present value.
    fn option(&self, name: &str) -> Value {
        let found = self.live.rows().into_iter().find(|(known, _)| known == name);
        found.map_or(Value::Null, |(_, value)| value.parse::<u64>().map_or(Value::String(value), Value::from))
    }
}

/// What is said of sessions that ended so; nothing of what is usual.
fn why_closed(why: Closed) -> Option<&'static str> {
    Some(match why {
        Closed::Protocol => "sessions were closed: what they sent was no RESP",
        Closed::Output => "sessions were closed: they did not read their replies (session.hard_output)",
        Closed::Pushes => "sessions were closed: they did not read their messages (session.hard_pushes)",
        Closed::Memory => "sessions were closed: all together held too much (limits.max_buffered)",
        Closed::CutReply => "sessions were closed: a node's connection was lost in the middle of their reply",
        Closed::ByClient | Closed::Idle | Closed::Killed | Closed::Shutdown => return None,
    })
}

/// Looks at the counters again and again, until dropped.
pub async fn run(status: Arc<Status>) {
    let mut step = interval(STEP);
    step.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        step.tick().await;
        status.look();
    }
}
