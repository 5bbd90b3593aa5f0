//! Every metric, one row each: name, kind, labels and help; conf/metrics.md shows them. Pure.
//!
//! The code that sets a metric names it by the constants here, so a metric without help cannot be.

use metrics::{describe_counter, describe_gauge};

/// What a metric's values do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size; written by `exposition`, unknown to the recorder.
    Histogram,
    /// A counter with a fraction; written by `exposition`, since the recorder's counters are whole.
    Seconds,
}

impl Kind {
    /// The kind in Prometheus's words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter | Self::Seconds => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels, `le` of histograms aside.
    pub labels: &'static [&'static str],
    /// What it tells, and its labels' meaning.
    pub help: &'static str,
}

macro_rules! rows {
    ($($constant:ident = $name:literal, $kind:ident, $labels:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: &str = $name;
        )*
        /// All rows, in the order in which the documentation shows them.
        pub const ROWS: &[Row] = &[$(Row { name: $name, kind: Kind::$kind, labels: &$labels, help: $help }),*];
    };
}

/// The label that tells pools apart: on every metric that is not the whole process's, where a process has several.
pub const POOL: &str = "pool";

rows! {
    BUILD_INFO = "circlet_build_info", Gauge, ["version", "os", "arch"], "Always 1; the labels tell the version that runs, and on what.";
    EPOCH = "circlet_topology_epoch", Gauge, [], "Number of the list of nodes and the ring that are served.";
    REBALANCE_STATE = "circlet_rebalance_state", Gauge, ["state"], "1 for what is being done about a change of the nodes, 0 for the others: idle, fence, moving, paused, committed, purging.";
    NODES_OUT = "circlet_nodes_out", Gauge, [], "Nodes that are left out since they were down (on_node_down).";
    EJECTIONS = "circlet_ejections_total", Counter, [], "How often a node was left out since it was down.";
    READMISSIONS = "circlet_readmissions_total", Counter, [], "How often a node that was left out was taken back.";
    REBALANCE_LEFT = "circlet_rebalance_keys_left", Gauge, [], "Keys that are still to be moved, estimated.";
    REBALANCE_KEYS = "circlet_rebalance_keys_moved_total", Counter, [], "Keys moved to their new nodes.";
    REBALANCE_BYTES = "circlet_rebalance_bytes_moved_total", Counter, [], "Bytes of the keys moved to their new nodes, as the nodes dump them.";
    REBALANCE_PURGED = "circlet_rebalance_keys_purged_total", Counter, [], "Keys deleted at their old nodes.";
    REBALANCE_CHANGES = "circlet_rebalance_changes_total", Counter, ["result"], "Changes of the nodes that are over; done, taken-back: aborted, refused: not begun because it could not be done.";
    FENCE = "circlet_fence_seconds", Histogram, ["way"], "How long requests for keys that begin to move, forth or back, had to wait at most until nothing was under way at the old nodes.";
    LOCK_ACQUIRED = "circlet_lock_acquired_total", Counter, [], "Locks granted.";
    LOCK_REFUSED = "circlet_lock_refused_total", Counter, ["reason"], "Locks not granted; taken: somebody has it, quorum: too few of its nodes answered or count, late: it took so long that too little of it was left, limit: lock.max_waiters or lock.max_held.";
    LOCK_EXTENDED = "circlet_lock_extended_total", Counter, [], "Locks extended.";
    LOCK_RELEASED = "circlet_lock_released_total", Counter, [], "Locks released by those who held them.";
    LOCK_LOST = "circlet_lock_lost_total", Counter, [], "Locks that ended otherwise: their time was over, or their nodes forgot them.";
    LOCK_HELD = "circlet_lock_held", Gauge, [], "Locks held by clients of this Circlet.";
    LOCK_WAITERS = "circlet_lock_waiters", Gauge, [], "Clients that wait for a lock.";
    LOCK_QUARANTINED = "circlet_lock_node_quarantined", Gauge, ["node"], "1 if the node does not count for locks: it may have forgotten one (a restart, FLUSHALL, eviction, a set clock), or cannot be trusted as it is (a replica, an eviction policy).";
    LOCK_WAIT = "circlet_lock_wait_seconds", Histogram, [], "How long clients waited for the locks that they were granted.";
    LOCK_HOLD = "circlet_lock_hold_seconds", Histogram, [], "How long locks were held that were released.";
    WORKERS = "circlet_workers", Gauge, [], "Worker threads.";
    WORKER_CPU = "circlet_worker_cpu_seconds_total", Seconds, ["worker"], "Processor time of the worker's thread; at 1 per second it can do no more.";
    WORKER_BUSY = "circlet_worker_busy_seconds_total", Seconds, ["worker"], "Time that the worker spent between two sleeps, on a processor or waiting for one.";
    WORKER_WAIT = "circlet_worker_wait_seconds_total", Seconds, ["worker"], "Time that the worker's thread was ready to run while others had the processor.";
    WORKER_SESSIONS = "circlet_worker_sessions", Gauge, ["worker"], "Clients that the worker serves.";
    WORKER_REQUESTS = "circlet_worker_requests_total", Counter, ["worker"], "Requests that the worker read from clients.";
    REQUESTS = "circlet_requests_total", Counter, [], "Requests read from clients.";
    ERRORS = "circlet_errors_total", Counter, ["kind"], "Error replies to clients by kind; kind node: passed on from a node, all others: given by Circlet itself.";
    COMMAND_CALLS = "circlet_command_calls_total", Counter, ["command"], "Times that clients gave the command; sub-commands as container|sub.";
    COMMAND_ERRORS = "circlet_command_errors_total", Counter, ["command", "kind"], "Error replies to the command by kind, as in circlet_errors_total.";
    COMMAND_DURATION = "circlet_command_duration_seconds", Histogram, ["command"], "From reading the command to writing its reply. Commands that wait at a node, such as BLPOP, and those that Circlet answers itself are left out.";
    COMMAND_NODE = "circlet_command_node_seconds", Histogram, ["command"], "The nodes' part of circlet_command_duration_seconds: from sending the command to its whole reply; of what was split, to the last one.";
    COMMAND_OWN = "circlet_command_own_seconds", Histogram, ["command"], "Circlet's own part of circlet_command_duration_seconds: what the command was held back before it was sent, and from its reply's arrival until it was written. Less than 1 ms of holding back is in the sum only.";
    SLOW = "circlet_slow_requests_total", Counter, [], "Requests that took slowlog.slower_than or longer.";
    BIG_REPLIES = "circlet_big_replies_total", Counter, [], "Replies of 256 KiB or more, those put together from several nodes included.";
    LINGERED = "circlet_replies_lingered_total", Counter, ["end"], "Times that replies to a pipeline waited for its other replies, to leave in one write; whole: they came in time, late: session.linger was over.";
    KEY_SAMPLES = "circlet_key_samples_total", Counter, [], "Requests whose keys were looked at for CIRCLET HOTKEYS.";
    BIG_VALUES = "circlet_big_values_total", Counter, [], "Values written, and replies, of keys.big or more.";
    SESSIONS = "circlet_sessions", Gauge, [], "Clients connected now.";
    SESSIONS_LIMIT = "circlet_sessions_limit", Gauge, [], "Clients that may be connected: session.max_sessions.";
    SESSIONS_KIND = "circlet_sessions_by_kind", Gauge, ["kind"], "Clients by what they are doing; each counts once, as the first of monitor, blocked, paused, transaction, pubsub, tracking, normal that fits.";
    SESSIONS_OPENED = "circlet_sessions_opened_total", Counter, [], "Clients accepted.";
    SESSIONS_CLOSED = "circlet_sessions_closed_total", Counter, ["reason"], "Clients gone, by reason.";
    SESSIONS_REFUSED = "circlet_sessions_refused_total", Counter, ["reason"], "Clients refused, by reason; max_sessions: there were as many as may be, busy: more came at once than can wait.";
    ACCEPT_FAILURES = "circlet_accept_failures_total", Counter, [], "Tries to accept a client that failed for want of files or memory; the client waits meanwhile.";
    CLIENT_BYTES = "circlet_client_bytes_total", Counter, ["direction"], "Bytes exchanged with clients; in: read from them, out: written to them.";
    BUFFERED = "circlet_buffered_bytes", Gauge, [], "Bytes held for clients and nodes.";
    BUFFERED_LIMIT = "circlet_buffered_bytes_limit", Gauge, [], "Bytes that may be held: limits.max_buffered; past it the clients that hold most are closed.";
    BLOCKED = "circlet_sessions_blocked", Gauge, [], "Clients with a blocking command that waits at a node.";
    TRACKING = "circlet_sessions_tracking", Gauge, [], "Clients with CLIENT TRACKING on.";
    INVALIDATIONS = "circlet_invalidations_total", Counter, [], "Invalidations of cached keys handed to clients.";
    SCRIPT_LOADS = "circlet_script_loads_total", Counter, [], "Scripts that Circlet loaded into a node because an EVALSHA needed them.";
    LEASED = "circlet_leased_connections", Gauge, [], "Open node connections lent to single clients, or kept for the next one.";
    SUBSCRIBERS = "circlet_subscribers", Gauge, [], "Clients that listen to channels or patterns.";
    TOPICS = "circlet_subscriptions", Gauge, ["kind"], "Channels, patterns and shard channels listened to at nodes; one that several workers listen to counts for each.";
    MESSAGES = "circlet_messages_total", Counter, ["direction"], "Messages of publish/subscribe; in: received from nodes, out: handed to subscribers.";
    NODE_INFO = "circlet_node_info", Gauge, ["node", "address", "weight"], "Always 1; the labels tell the node's address and weight.";
    NODE_UP = "circlet_node_up", Gauge, ["node"], "1 if at least one worker can use the node.";
    NODE_STATE = "circlet_node_state", Gauge, ["node", "state"], "Workers that see the node in this state; connecting: not reached yet, up: can be used, down: refused until it answers.";
    NODE_JUDGED = "circlet_node_judged", Gauge, ["node", "state"], "1 for what the failure detector thinks of the node, 0 for the others; up: up for writes, suspect: answers are missing, down: judged down, loading its data, or a read-only replica.";
    NODE_OUT = "circlet_node_out", Gauge, ["node"], "1 while the node is left out since it was down (on_node_down), and the other nodes have its keys.";
    NODE_SHARE = "circlet_node_share", Gauge, ["node"], "The node's part of the ring, 0 to 1.";
    NODE_IN_FLIGHT = "circlet_node_in_flight", Gauge, ["node"], "Requests sent to the node and not yet answered.";
    NODE_UNSENT = "circlet_node_unsent_bytes", Gauge, ["node"], "Bytes that wait to be written to the node.";
    NODE_CONNECTIONS = "circlet_node_connections", Gauge, ["node"], "Open connections to the node.";
    NODE_OPENED = "circlet_node_connections_opened_total", Counter, ["node"], "Connections opened to the node.";
    NODE_RECONNECTS = "circlet_node_reconnects_total", Counter, ["node"], "Connections opened to the node again after one was lost or a try had failed.";
    NODE_FAILURES = "circlet_node_failures_total", Counter, ["node"], "Connections to the node that were lost or could not be opened.";
    NODE_REQUESTS = "circlet_node_requests_total", Counter, ["node"], "Requests sent to the node.";
    NODE_ERRORS = "circlet_node_errors_total", Counter, ["node", "code"], "Error replies of the node by their first word, other: any word that is not in the list.";
    NODE_TIMEOUTS = "circlet_node_timeouts_total", Counter, ["node"], "Requests that the node did not answer in time.";
    NODE_RETRIES = "circlet_node_retries_total", Counter, ["node"], "Reads sent to the node a second time after their connection was lost.";
    NODE_BYTES = "circlet_node_bytes_total", Counter, ["node", "direction"], "Bytes exchanged with the node; in: read from it, out: written to it.";
    NODE_LATENCY = "circlet_node_latency_seconds", Histogram, ["node"], "Time from sending a request to the node to its whole reply.";
    PROCESS_CPU = "process_cpu_seconds_total", Seconds, [], "Processor time of this process, user and system.";
    PROCESS_START = "process_start_time_seconds", Gauge, [], "When this process started, in seconds since 1970.";
    PROCESS_MEMORY = "process_resident_memory_bytes", Gauge, [], "Resident memory of this process.";
    PROCESS_VIRTUAL = "process_virtual_memory_bytes", Gauge, [], "Address space of this process.";
    PROCESS_FILES = "process_open_fds", Gauge, [], "Open file descriptors of this process.";
    PROCESS_MAX_FILES = "process_max_fds", Gauge, [], "File descriptors that this process may open.";
    PROCESS_THREADS = "process_threads", Gauge, [], "Threads of this process.";
}

/// The row of `name`.
#[must_use]
pub fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// All rows as a table in Markdown.
#[must_use]
pub fn table() -> String {
    let mut text = "| metric | type | labels | what it tells |\n|---|---|---|---|\n".to_owned();
    for row in ROWS {
        let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        let help = row.help.replace('|', "\\|");
        text.push_str(&format!("| `{}` | {} | {} | {help} |\n", row.name, row.kind.word(), labels.join(" ")));
    }
    text
}

/// Gives the current recorder every row's help.
pub fn describe() {
    for row in ROWS {
        match row.kind {
            Kind::Counter => describe_counter!(row.name, row.help),
            Kind::Gauge => describe_gauge!(row.name, row.help),
            Kind::Histogram | Kind::Seconds => {}
        }
    }
}
