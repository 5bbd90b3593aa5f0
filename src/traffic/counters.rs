//! What a worker counts, and how others read it.
//!
//! The worker owns plain numbers ([`Counters`]) and touches no atomic per request. Once per tick it copies them into
//! [`Published`], a block of relaxed atomics that the metrics scrape and `INFO` of any worker read. The numbers of a node stay
//! where they are when it leaves; nobody shows them then. All counters only
//! grow (Prometheus counters); gauges are marked so.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
};

use super::{
    client::Doing,
    observe::{ErrorCode, Tallies},
    pubsub::Kind as Topic,
    refusal::Kind,
};

/// Number of latency buckets: bucket `i` holds latencies below `2^(i+4)` µs, the last one everything above.
pub const LATENCY_BUCKETS: usize = 21;

/// Upper bound of latency bucket `i`, in µs; `None` for the last one.
#[must_use]
pub fn latency_bound_us(bucket: usize) -> Option<u64> {
    (bucket + 1 < LATENCY_BUCKETS).then(|| 1 << (bucket + 4))
}

/// The latency bucket of `us` µs.
#[must_use]
#[inline]
pub fn latency_bucket(us: u32) -> usize {
    ((32 - (us >> 4).leading_zeros()) as usize).min(LATENCY_BUCKETS - 1)
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The client closed it, or said QUIT.
    ByClient,
    /// It broke the protocol.
    Protocol,
    /// It did not read its replies: the hard output limit was passed.
    Output,
    /// It did not read its messages: the limit of what may wait of them was passed.
    Pushes,
    /// The process holds more bytes than it may, and this session held the most.
    Memory,
    /// No request for the idle timeout.
    Idle,
    /// `CLIENT KILL`.
    Killed,
    /// A reply broke off half-way because its node's connection was lost.
    CutReply,
    /// Circlet is shutting down.
    Shutdown,
}

impl Closed {
    /// All reasons, in the order of their index.
    pub const ALL: [Self; 9] = [
        Self::ByClient,
        Self::Protocol,
        Self::Output,
        Self::Pushes,
        Self::Memory,
        Self::Idle,
        Self::Killed,
        Self::CutReply,
        Self::Shutdown,
    ];

    /// The reason as a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ByClient => "client",
            Self::Protocol => "protocol",
            Self::Output => "output_limit",
            Self::Pushes => "push_limit",
            Self::Memory => "memory_limit",
            Self::Idle => "idle",
            Self::Killed => "killed",
            Self::CutReply => "cut_reply",
            Self::Shutdown => "shutdown",
        }
    }
}

/// A node as one worker sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeState {
    /// It was not reached yet, and is being tried; requests wait.
    #[default]
    Connecting,
    /// It can be used.
    Up,
    /// It cannot be used: requests are refused until it answers.
    Down,
}

impl NodeState {
    /// All states, in the order of their index.
    pub const ALL: [Self; 3] = [Self::Connecting, Self::Up, Self::Down];

    /// The state as a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// One worker's own numbers.
#[derive(Debug)]
pub struct Counters {
    /// Requests read from clients.
    pub requests: u64,
    /// Error replies that Circlet itself gave, by [`Kind`].
    pub refusals: [u64; Kind::COUNT],
    /// Error replies passed on from nodes.
    pub node_errors: u64,
    /// Replies larger than 256 KiB, which are handed on as they come.
    pub big_replies: u64,
    /// Times that replies stayed for the rest of their batch, which came in time.
    pub lingered_whole: u64,
    /// Times that replies stayed for the rest of their batch for as long as they might, and left without it.
    pub lingered_late: u64,
    /// Bytes read from clients.
    pub client_in: u64,
    /// Bytes written to clients.
    pub client_out: u64,
    /// Sessions accepted.
    pub opened: u64,
    /// Sessions ended, by [`Closed`].
    pub closed: [u64; Closed::ALL.len()],
    /// Gauge: sessions by what they are doing.
    pub doing: [u64; Doing::COUNT],
    /// Gauge: bytes held for clients and nodes.
    pub buffered: u64,
    /// Gauge: the most bytes held for clients and nodes since the tick before.
    pub buffered_peak: u64,
    /// Gauge: open node connections that are leased to single sessions, or wait for the next one.
    pub leased: u64,
    /// Gauge: sessions with a blocking command that waits at a node.
    pub blocked: u64,
    /// Gauge: sessions with CLIENT TRACKING.
    pub tracking: u64,
    /// Invalidations handed to sessions.
    pub invalidations: u64,
    /// Gauge: sessions that listen to channels or patterns.
    pub subscribers: u64,
    /// Gauge: channels, patterns and shard channels that this worker listens to.
    pub topics: [u64; Topic::COUNT],
    /// Messages that nodes sent.
    pub messages_in: u64,
    /// Messages handed to sessions.
    pub messages_out: u64,
    /// Scripts that nodes were told because of an EVALSHA.
    pub script_loads: u64,
    /// Per node.
    pub nodes: Vec<NodeCounters>,
    /// Per command; published through the [`super::observe::Journal`].
    pub commands: Tallies,
}

/// What a worker counts per node.
#[derive(Clone, Debug, Default)]
pub struct NodeCounters {
    /// Gauge: whether this worker can use the node.
    pub up: bool,
    /// Gauge: how this worker sees the node.
    pub state: NodeState,
    /// Gauge: requests sent and not yet answered.
    pub in_flight: u64,
    /// Gauge: bytes that wait to be written to the node.
    pub unsent: u64,
    /// Gauge: open connections.
    pub connections: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections opened anew after one was lost, or a try had failed.
    pub reconnects: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests that got no reply in time.
    pub timeouts: u64,
    /// Reads sent a second time after their connection was lost.
    pub retries: u64,
    /// Connections that were lost or could not be opened.
    pub failures: u64,
    /// Error replies, by [`ErrorCode`].
    pub errors: [u64; ErrorCode::COUNT],
    /// Bytes read from the node.
    pub bytes_in: u64,
    /// Bytes written to the node.
    pub bytes_out: u64,
    /// Replies by latency, see [`latency_bound_us`].
    pub latency: [u64; LATENCY_BUCKETS],
    /// Sum of all latencies, µs.
    pub latency_sum_us: u64,
}

impl NodeCounters {
    /// Counts one reply that took `us` µs.
    pub fn observe(&mut self, us: u32) {
        self.latency[latency_bucket(us)] += 1;
        self.latency_sum_us += u64::from(us);
    }
}

impl Counters {
    /// Counters of a worker over `nodes` nodes.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self {
            requests: 0,
            refusals: [0; Kind::COUNT],
            node_errors: 0,
            big_replies: 0,
            lingered_whole: 0,
            lingered_late: 0,
            client_in: 0,
            client_out: 0,
            opened: 0,
            closed: [0; Closed::ALL.len()],
            doing: [0; Doing::COUNT],
            buffered: 0,
            buffered_peak: 0,
            leased: 0,
            blocked: 0,
            tracking: 0,
            invalidations: 0,
            subscribers: 0,
            topics: [0; Topic::COUNT],
            messages_in: 0,
            messages_out: 0,
            script_loads: 0,
            nodes: vec![NodeCounters::default(); nodes],
            commands: Tallies::default(),
        }
    }
}

/// One worker's numbers as others see them, at most one tick old.
#[derive(Debug, Default)]
pub struct Published {
    /// See [`Counters::requests`].
    pub requests: AtomicU64,
    /// See [`Counters::refusals`].
    pub refusals: [AtomicU64; Kind::COUNT],
    /// See [`Counters::node_errors`].
    pub node_errors: AtomicU64,
    /// See [`Counters::big_replies`].
    pub big_replies: AtomicU64,
    /// See [`Counters::lingered_whole`].
    pub lingered_whole: AtomicU64,
    /// See [`Counters::lingered_late`].
    pub lingered_late: AtomicU64,
    /// See [`Counters::client_in`].
    pub client_in: AtomicU64,
    /// See [`Counters::client_out`].
    pub client_out: AtomicU64,
    /// See [`Counters::opened`].
    pub opened: AtomicU64,
    /// See [`Counters::closed`].
    pub closed: [AtomicU64; Closed::ALL.len()],
    /// See [`Counters::doing`].
    pub doing: [AtomicU64; Doing::COUNT],
    /// See [`Counters::buffered`].
    pub buffered: AtomicU64,
    /// The highest [`Counters::buffered_peak`] since somebody has set this to 0.
    pub buffered_peak: AtomicU64,
    /// See [`Counters::leased`].
    pub leased: AtomicU64,
    /// See [`Counters::blocked`].
    pub blocked: AtomicU64,
    /// See [`Counters::tracking`].
    pub tracking: AtomicU64,
    /// See [`Counters::invalidations`].
    pub invalidations: AtomicU64,
    /// See [`Counters::subscribers`].
    pub subscribers: AtomicU64,
    /// See [`Counters::topics`].
    pub topics: [AtomicU64; Topic::COUNT],
    /// See [`Counters::messages_in`].
    pub messages_in: AtomicU64,
    /// See [`Counters::messages_out`].
    pub messages_out: AtomicU64,
    /// See [`Counters::script_loads`].
    pub script_loads: AtomicU64,
    /// Time that the worker was not idle, µs; its shell says.
    pub busy_us: AtomicU64,
    /// By slot; grows when there are more. Locked by its worker once per tick, and by whoever looks.
    nodes: RwLock<Vec<Arc<PublishedNode>>>,
}

/// One worker's numbers about one node.
#[derive(Debug, Default)]
pub struct PublishedNode {
    /// See [`NodeCounters::up`].
    pub up: AtomicBool,
    /// See [`NodeCounters::state`]; its index.
    pub state: AtomicU8,
    /// See [`NodeCounters::in_flight`].
    pub in_flight: AtomicU64,
    /// See [`NodeCounters::unsent`].
    pub unsent: AtomicU64,
    /// See [`NodeCounters::connections`].
    pub connections: AtomicU64,
    /// See [`NodeCounters::opened`].
    pub opened: AtomicU64,
    /// See [`NodeCounters::reconnects`].
    pub reconnects: AtomicU64,
    /// See [`NodeCounters::requests`].
    pub requests: AtomicU64,
    /// See [`NodeCounters::timeouts`].
    pub timeouts: AtomicU64,
    /// See [`NodeCounters::retries`].
    pub retries: AtomicU64,
    /// See [`NodeCounters::failures`].
    pub failures: AtomicU64,
    /// See [`NodeCounters::errors`].
    pub errors: [AtomicU64; ErrorCode::COUNT],
    /// See [`NodeCounters::bytes_in`].
    pub bytes_in: AtomicU64,
    /// See [`NodeCounters::bytes_out`].
    pub bytes_out: AtomicU64,
    /// See [`NodeCounters::latency`].
    pub latency: [AtomicU64; LATENCY_BUCKETS],
    /// See [`NodeCounters::latency_sum_us`].
    pub latency_sum_us: AtomicU64,
}

impl Published {
    /// An all-zero block over `nodes` nodes.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        let nodes = (0..nodes).map(|_| Arc::default()).collect();
        Self { nodes: RwLock::new(nodes), ..Self::default() }
    }

    /// The numbers about the node in slot `index`; `None`: this worker does not know the slot yet.
    #[must_use]
    pub fn node(&self, index: usize) -> Option<Arc<PublishedNode>> {
        // A list that only grows is whole, whoever panicked.
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).get(index).map(Arc::clone)
    }

    fn grow_to(&self, nodes: usize) {
        if self.nodes.read().unwrap_or_else(PoisonError::into_inner).len() < nodes {
            self.nodes.write().unwrap_or_else(PoisonError::into_inner).resize_with(nodes, Arc::default);
        }
    }

    /// Copies `counters` in; called by the owning worker once per tick.
    pub fn store(&self, counters: &Counters) {
        self.requests.store(counters.requests, Relaxed);
        store_all(&self.refusals, &counters.refusals);
        self.node_errors.store(counters.node_errors, Relaxed);
        self.big_replies.store(counters.big_replies, Relaxed);
        self.lingered_whole.store(counters.lingered_whole, Relaxed);
        self.lingered_late.store(counters.lingered_late, Relaxed);
        self.client_in.store(counters.client_in, Relaxed);
        self.client_out.store(counters.client_out, Relaxed);
        self.opened.store(counters.opened, Relaxed);
        store_all(&self.closed, &counters.closed);
        store_all(&self.doing, &counters.doing);
        self.buffered.store(counters.buffered, Relaxed);
        self.buffered_peak.fetch_max(counters.buffered_peak, Relaxed);
        self.leased.store(counters.leased, Relaxed);
        self.blocked.store(counters.blocked, Relaxed);
        self.tracking.store(counters.tracking, Relaxed);
        self.invalidations.store(counters.invalidations, Relaxed);
        self.subscribers.store(counters.subscribers, Relaxed);
        store_all(&self.topics, &counters.topics);
        self.messages_in.store(counters.messages_in, Relaxed);
        self.messages_out.store(counters.messages_out, Relaxed);
        self.script_loads.store(counters.script_loads, Relaxed);
        self.grow_to(counters.nodes.len());
        for (shared, own) in self.nodes.read().unwrap_or_else(PoisonError::into_inner).iter().zip(&counters.nodes) {
            shared.up.store(own.up, Relaxed);
            shared.state.store(own.state as u8, Relaxed);
            shared.in_flight.store(own.in_flight, Relaxed);
            shared.unsent.store(own.unsent, Relaxed);
            shared.connections.store(own.connections, Relaxed);
            shared.opened.store(own.opened, Relaxed);
            shared.reconnects.store(own.reconnects, Relaxed);
            shared.requests.store(own.requests, Relaxed);
            shared.timeouts.store(own.timeouts, Relaxed);
            shared.retries.store(own.retries, Relaxed);
            shared.failures.store(own.failures, Relaxed);
            store_all(&shared.errors, &own.errors);
            shared.bytes_in.store(own.bytes_in, Relaxed);
            shared.bytes_out.store(own.bytes_out, Relaxed);
            store_all(&shared.latency, &own.latency);
            shared.latency_sum_us.store(own.latency_sum_us, Relaxed);
        }
    }
}

fn store_all(shared: &[AtomicU64], own: &[u64]) {
    for (shared, own) in shared.iter().zip(own) {
        shared.store(*own, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_more_is_published_with_the_next_tick() {
        let (mut counters, published) = (Counters::new(1), Published::new(1));
        counters.nodes[0].requests = 7;
        published.store(&counters);
        let first = published.node(0).unwrap();
        assert!(published.node(1).is_none());
        counters.nodes.resize_with(3, NodeCounters::default);
        (counters.nodes[0].requests, counters.nodes[2].requests) = (8, 9);
        published.store(&counters);
        let requests = |node: &PublishedNode| node.requests.load(Relaxed);
        assert_eq!((requests(&first), published.node(2).map(|node| requests(&node))), (8, Some(9)));
    }

    #[test]
    fn a_latency_falls_into_the_bucket_below_whose_bound_it_lies() {
        for us in [0, 1, 15, 16, 17, 31, 32, 1_000, 65_535, 1 << 23, u32::MAX] {
            let mut node = NodeCounters::default();
            node.observe(us);
            let bucket = node.latency.iter().position(|n| *n == 1).unwrap();
            assert!(latency_bound_us(bucket).is_none_or(|bound| u64::from(us) < bound), "{us} in {bucket}");
            assert!(bucket == 0 || latency_bound_us(bucket - 1).unwrap() <= u64::from(us), "{us} in {bucket}");
        }
    }
}
