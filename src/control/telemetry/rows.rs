//! Every metric, one row each: name, kind and help. Pure.
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
    /// Count and sum; written by `exposition`.
    Summary,
    /// A counter with a fraction; written by `exposition`, since the recorder's counters are whole.
    Seconds,
}

/// One metric.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What it tells, and its labels' meaning.
    pub help: &'static str,
}

macro_rules! rows {
    ($($constant:ident = $name:literal, $kind:ident, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: &str = $name;
        )*
        /// All rows, in the order in which the documentation shows them.
        pub const ROWS: &[Row] = &[$(Row { name: $name, kind: Kind::$kind, help: $help }),*];
    };
}

rows! {
    BUILD_INFO = "circlet_build_info", Gauge, "Always 1; the label tells the version that runs.";
    START_TIME = "circlet_start_time_seconds", Gauge, "When this process started, in seconds since 1970.";
    WORKERS = "circlet_workers", Gauge, "Worker threads.";
    REQUESTS = "circlet_requests_total", Counter, "Requests read from clients.";
    ERRORS = "circlet_errors_total", Counter, "Error replies to clients by kind; kind node: passed on from a node, all others: given by Circlet itself.";
    COMMAND_CALLS = "circlet_command_calls_total", Counter, "Times that clients gave the command; sub-commands as container|sub.";
    COMMAND_ERRORS = "circlet_command_errors_total", Counter, "Error replies to the command by kind, as in circlet_errors_total.";
    COMMAND_DURATION = "circlet_command_duration_seconds", Histogram, "The nodes' part of the command: from sending it to the whole reply, of what was split to the last one. Commands that wait at a node, such as BLPOP, are left out.";
    COMMAND_OWN = "circlet_command_own_seconds", Summary, "Circlet's own part of the command: what it was held back before it was sent, and from the reply's arrival until it was written.";
    SESSIONS = "circlet_sessions", Gauge, "Clients connected now.";
    SESSIONS_OPENED = "circlet_sessions_opened_total", Counter, "Clients accepted.";
    SESSIONS_CLOSED = "circlet_sessions_closed_total", Counter, "Clients gone, by reason.";
    SESSIONS_REFUSED = "circlet_sessions_refused_total", Counter, "Clients refused because max_sessions was reached.";
    CLIENT_BYTES = "circlet_client_bytes_total", Counter, "Bytes exchanged with clients; in: read from them, out: written to them.";
    BUFFERED = "circlet_buffered_bytes", Gauge, "Bytes held for clients and nodes.";
    BLOCKED = "circlet_sessions_blocked", Gauge, "Clients with a blocking command that waits at a node.";
    TRACKING = "circlet_sessions_tracking", Gauge, "Clients with CLIENT TRACKING on.";
    INVALIDATIONS = "circlet_invalidations_total", Counter, "Invalidations of cached keys handed to clients.";
    SCRIPT_LOADS = "circlet_script_loads_total", Counter, "Scripts that Circlet loaded into a node because an EVALSHA needed them.";
    LEASED = "circlet_leased_connections", Gauge, "Open node connections lent to single clients, or kept for the next one.";
    SUBSCRIBERS = "circlet_subscribers", Gauge, "Clients that listen to channels or patterns.";
    TOPICS = "circlet_subscriptions", Gauge, "Channels, patterns and shard channels listened to at nodes; one that several workers listen to counts for each.";
    MESSAGES = "circlet_messages_total", Counter, "Messages of publish/subscribe; in: received from nodes, out: handed to subscribers.";
    NODE_UP = "circlet_node_up", Gauge, "1 if at least one worker can use the node.";
    NODE_SHARE = "circlet_node_share", Gauge, "The node's part of the ring, 0 to 1.";
    NODE_IN_FLIGHT = "circlet_node_in_flight", Gauge, "Requests sent to the node and not yet answered.";
    NODE_CONNECTIONS = "circlet_node_connections", Gauge, "Open connections to the node.";
    NODE_REQUESTS = "circlet_node_requests_total", Counter, "Requests sent to the node.";
    NODE_TIMEOUTS = "circlet_node_timeouts_total", Counter, "Requests that the node did not answer in time.";
    NODE_RETRIES = "circlet_node_retries_total", Counter, "Reads sent to the node a second time after their connection was lost.";
    NODE_FAILURES = "circlet_node_failures_total", Counter, "Connections to the node that were lost or could not be opened.";
    NODE_BYTES = "circlet_node_bytes_total", Counter, "Bytes exchanged with the node; in: read from it, out: written to it.";
    NODE_LATENCY = "circlet_node_latency_seconds", Histogram, "Time from sending a request to the node to its whole reply.";
    PROCESS_CPU = "process_cpu_seconds_total", Seconds, "Processor time of this process, user and system.";
    PROCESS_MEMORY = "process_resident_memory_bytes", Gauge, "Resident memory of this process.";
    PROCESS_FILES = "process_open_fds", Gauge, "Open file descriptors of this process.";
}

/// The row of `name`.
#[must_use]
pub fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// Gives the current recorder every row's help.
pub fn describe() {
    for row in ROWS {
        match row.kind {
            Kind::Counter => describe_counter!(row.name, row.help),
            Kind::Gauge => describe_gauge!(row.name, row.help),
            Kind::Histogram | Kind::Summary | Kind::Seconds => {}
        }
    }
}
