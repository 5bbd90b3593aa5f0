//! What is done with a command: the vocabulary of the `route` column of `commands.txt`.
//!
//! The words of the file and the variants here are the same; [`Route::parse`] reads them. The plan turns a route and a
//! request's keys into the nodes to ask. Pure: values only.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::traffic::pubsub;

/// What is done with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// To the owner of its keys. Keys of several nodes: CROSSSLOT. No key (`EVAL … 0`): any live node.
    Keys,
    /// Cut into one sub-command per node, the replies put together again.
    Split(Split),
    /// The same command to every node, the replies put together.
    All(Gather),
    /// To any one live node: every node answers the same, or the node's own error is wanted.
    Any,
    /// `SCAN`: node after node behind one cursor.
    Scan,
    /// `HSCAN`, `SSCAN`, `ZSCAN`: to the owner of the key, with a cursor that knows of the node's restarts.
    ScanKey,
    /// `INFO`: of every node, merged to one document.
    Info,
    /// Scripts, whose texts Circlet remembers.
    Script(Script),
    /// Asks the nodes several times.
    Steps(Stepwise),
    /// Answered by Circlet itself.
    Local(Local),
    /// Changes what the session is, or takes a node connection for it alone.
    Session(Session),
    /// Asked of the control plane, which keeps locks.
    Lock(Lock),
    /// Answered with an error that says why.
    Refuse(Reason),
}

/// How a multi-key command is cut and put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// `MGET`: one array, each value at its key's place.
    Values,
    /// `MSET`: keys and values alternate; one status.
    Pairs,
    /// `DEL`, `UNLINK`, `EXISTS`, `TOUCH`: one number, the sum.
    Sum,
}

/// How the replies of all nodes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gather {
    /// All succeed: the first reply; else the first error.
    Ok,
    /// Sum of integers.
    Sum,
    /// `DBSIZE`: the sum, without Circlet's own keys and the second copies of keys that move.
    DbSize,
    /// Smallest integer.
    Min,
    /// Largest integer.
    Max,
    /// Arrays of integers, the smallest of each place (`WAITAOF`).
    MinEach,
    /// Arrays of 0 and 1, element by element: 1 where every node says 1.
    And,
    /// All must succeed; the first reply stands for all (`SCRIPT LOAD`: each node answers the same digest).
    First,
    /// Arrays, joined.
    Join,
    /// Arrays, joined, each element once.
    Union,
    /// `KEYS`: arrays of keys, joined; each key from its owner only.
    Keys,
    /// `RANDOMKEY`: one of the keys that the nodes named.
    RandomKey,
    /// `MEMORY STATS`: a map of numbers; sums, and ratios of sums.
    MemoryStats,
    /// Texts for people (`MEMORY DOCTOR`): one behind the other, each under its node's name.
    Texts,
    /// `FUNCTION STATS`: of the node that runs a function, if one does.
    Running,
    /// `FUNCTION LIST`: the libraries of all nodes, each once.
    Libraries,
    /// `FUNCTION DUMP`: of the node that has most.
    Longest,
    /// One success is enough (`SCRIPT KILL`: only one node may be running one).
    AnyOk,
}

impl Gather {
    /// Whether the nodes answer when they like, perhaps never: WAIT and WAITAOF.
    #[must_use]
    pub fn waits(self) -> bool {
        matches!(self, Self::Min | Self::MinEach)
    }

    /// Whether whatever is gathered so changes nothing, so that it may be sent again.
    #[must_use]
    pub fn only_asks(self) -> bool {
        matches!(
            self,
            Self::Keys
                | Self::RandomKey
                | Self::Sum
                | Self::DbSize
                | Self::Min
                | Self::MemoryStats
                | Self::Texts
                | Self::Running
                | Self::Libraries
                | Self::Longest
        )
    }
}

/// A command that Circlet answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the command it is named after")]
pub enum Local {
    Ping,
    Echo,
    Time,
    Hello,
    Auth,
    Select,
    Quit,
    Reset,
    AclDryrun,
    /// `CLUSTER` and its subcommands, as far as one node that owns everything has an answer.
    Cluster,
    /// `READONLY`, `READWRITE`, `ASKING`.
    ClusterMode,
    AclGetUser,
    AclList,
    AclLog,
    AclUsers,
    /// `ACL WHOAMI`: the client's user as Circlet knows it, not the user Circlet is at the nodes.
    AclWhoAmI,
    CircletBigkeys,
    CircletEvents,
    CircletHelp,
    CircletHotkeys,
    CircletNodes,
    CircletRing,
    CircletAuth,
    CircletOrder,
    CircletWhere,
    Command,
    CommandCount,
    /// Of a live node, which describes arguments too; of the table when there is none.
    CommandDocs,
    CommandGetKeys,
    CommandGetKeysAndFlags,
    CommandHelp,
    CommandInfo,
    CommandList,
    ClientCapa,
    ClientGetName,
    ClientId,
    ClientInfo,
    ClientKill,
    ClientList,
    ClientNoEvict,
    ClientNoTouch,
    ClientPause,
    ClientReply,
    ClientSetInfo,
    ClientSetName,
    ClientUnblock,
    ClientUnpause,
    LatencyDoctor,
    LatencyGraph,
    LatencyHistogram,
    LatencyHistory,
    LatencyLatest,
    LatencyReset,
    SlowlogGet,
    SlowlogLen,
    SlowlogReset,
}

impl Local {
    /// Whether it changes or tells what earlier requests are about, so that it is answered only when they are.
    #[must_use]
    pub fn follows(self) -> bool {
        matches!(
            self,
            Self::Select
                | Self::Hello
                | Self::Reset
                | Self::LatencyDoctor
                | Self::LatencyGraph
                | Self::LatencyHistogram
                | Self::LatencyHistory
                | Self::LatencyLatest
                | Self::LatencyReset
                | Self::SlowlogGet
                | Self::SlowlogLen
                | Self::SlowlogReset
        )
    }
}

/// A command about Lua scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Script {
    /// `EVAL`: to the owner of its keys; its text is remembered.
    Eval,
    /// `EVALSHA`: to the owner of its keys, who is told the text first if it may not know it.
    EvalSha,
    /// `SCRIPT LOAD`: every node; the text is remembered.
    Load,
    /// `SCRIPT EXISTS`: what every node has, and what one has and Circlet remembers.
    Exists,
    /// `SCRIPT FLUSH`: every node, and Circlet, forget.
    Flush,
}

/// A command that changes what the session is, or takes a node connection for it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the command it is named after")]
pub enum Session {
    Monitor,
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    Wait,
    Waitaof,
    Tracking,
    Caching,
    TrackingInfo,
    GetRedir,
    Publish(pubsub::Kind),
    /// `PUBSUB NUMSUB` and `SHARDNUMSUB`.
    Numsub(pubsub::Kind),
    Subscribe(pubsub::Kind),
    Unsubscribe(pubsub::Kind),
}

/// A command about locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the command it is named after")]
pub enum Lock {
    Acquire,
    Extend,
    Help,
    Info,
    List,
    Release,
}

/// A command that asks the nodes several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the command it is named after")]
pub enum Stepwise {
    ClusterCountKeysInSlot,
    ClusterGetKeysInSlot,
    ConfigGet,
    ConfigSet,
    ConfigResetStat,
    Debug,
    SwapDb,
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Needs a connection of its own to a node: transactions, blocking, subscriptions, `MONITOR`, tracking, `WAIT`.
    Pinned,
    /// Would act on, or tell about, one node only; to be sent to the node itself.
    OneNode,
    /// Users: Circlet has one, and the nodes' are the nodes'.
    Users,
    /// The file of the users, which Circlet has not.
    UsersFile,
    /// `SAVE`, `BGSAVE`: each node saves its own data.
    Save,
    /// `BGREWRITEAOF`: each node has its own append-only file.
    Rewrite,
    /// Would stop the nodes under Circlet.
    Shutdown,
    /// Would change who replicates whom behind the ring.
    Replication,
    /// Would take keys away from their owner.
    Migrate,
    /// Modules are loaded from files of each node's machine.
    Module,
    /// Would change a Redis Cluster, which Circlet is not, or one of a single member that stays as it is.
    Cluster,
    /// Statistics of slots, which the nodes do not keep.
    SlotStats,
    /// Between servers, or for Redis's own tests.
    Internal,
}

/// Words of the `route` column after `local:`.
const LOCALS: &[(&str, Local)] = &[
    ("ping", Local::Ping),
    ("echo", Local::Echo),
    ("time", Local::Time),
    ("hello", Local::Hello),
    ("auth", Local::Auth),
    ("select", Local::Select),
    ("quit", Local::Quit),
    ("reset", Local::Reset),
    ("acl-dryrun", Local::AclDryrun),
    ("cluster", Local::Cluster),
    ("cluster-mode", Local::ClusterMode),
    ("acl-getuser", Local::AclGetUser),
    ("acl-list", Local::AclList),
    ("acl-log", Local::AclLog),
    ("acl-users", Local::AclUsers),
    ("acl-whoami", Local::AclWhoAmI),
    ("circlet-bigkeys", Local::CircletBigkeys),
    ("circlet-events", Local::CircletEvents),
    ("circlet-help", Local::CircletHelp),
    ("circlet-hotkeys", Local::CircletHotkeys),
    ("circlet-nodes", Local::CircletNodes),
    ("circlet-ring", Local::CircletRing),
    ("circlet-auth", Local::CircletAuth),
    ("circlet-order", Local::CircletOrder),
    ("circlet-where", Local::CircletWhere),
    ("command", Local::Command),
    ("command-count", Local::CommandCount),
    ("command-docs", Local::CommandDocs),
    ("command-getkeys", Local::CommandGetKeys),
    ("command-getkeysandflags", Local::CommandGetKeysAndFlags),
    ("command-help", Local::CommandHelp),
    ("command-info", Local::CommandInfo),
    ("command-list", Local::CommandList),
    ("client-capa", Local::ClientCapa),
    ("client-getname", Local::ClientGetName),
    ("client-id", Local::ClientId),
    ("client-info", Local::ClientInfo),
    ("client-kill", Local::ClientKill),
    ("client-list", Local::ClientList),
    ("client-no-evict", Local::ClientNoEvict),
    ("client-no-touch", Local::ClientNoTouch),
    ("client-pause", Local::ClientPause),
    ("client-reply", Local::ClientReply),
    ("client-setinfo", Local::ClientSetInfo),
    ("client-setname", Local::ClientSetName),
    ("client-unblock", Local::ClientUnblock),
    ("client-unpause", Local::ClientUnpause),
    ("latency-doctor", Local::LatencyDoctor),
    ("latency-graph", Local::LatencyGraph),
    ("latency-histogram", Local::LatencyHistogram),
    ("latency-history", Local::LatencyHistory),
    ("latency-latest", Local::LatencyLatest),
    ("latency-reset", Local::LatencyReset),
    ("slowlog-get", Local::SlowlogGet),
    ("slowlog-len", Local::SlowlogLen),
    ("slowlog-reset", Local::SlowlogReset),
];

/// Words of the `route` column after `session:`.
const SESSIONS: &[(&str, Session)] = &[
    ("monitor", Session::Monitor),
    ("multi", Session::Multi),
    ("exec", Session::Exec),
    ("discard", Session::Discard),
    ("watch", Session::Watch),
    ("unwatch", Session::Unwatch),
    ("wait", Session::Wait),
    ("waitaof", Session::Waitaof),
    ("tracking", Session::Tracking),
    ("caching", Session::Caching),
    ("trackinginfo", Session::TrackingInfo),
    ("getredir", Session::GetRedir),
    ("publish", Session::Publish(pubsub::Kind::Channel)),
    ("spublish", Session::Publish(pubsub::Kind::Shard)),
    ("numsub", Session::Numsub(pubsub::Kind::Channel)),
    ("shardnumsub", Session::Numsub(pubsub::Kind::Shard)),
    ("subscribe", Session::Subscribe(pubsub::Kind::Channel)),
    ("psubscribe", Session::Subscribe(pubsub::Kind::Pattern)),
    ("ssubscribe", Session::Subscribe(pubsub::Kind::Shard)),
    ("unsubscribe", Session::Unsubscribe(pubsub::Kind::Channel)),
    ("punsubscribe", Session::Unsubscribe(pubsub::Kind::Pattern)),
    ("sunsubscribe", Session::Unsubscribe(pubsub::Kind::Shard)),
];

/// Words of the `route` column after `script:`.
const SCRIPTS: &[(&str, Script)] = &[
    ("eval", Script::Eval),
    ("evalsha", Script::EvalSha),
    ("load", Script::Load),
    ("exists", Script::Exists),
    ("flush", Script::Flush),
];

/// Words of the `route` column after `lock:`.
const LOCKS: &[(&str, Lock)] = &[
    ("acquire", Lock::Acquire),
    ("extend", Lock::Extend),
    ("help", Lock::Help),
    ("info", Lock::Info),
    ("list", Lock::List),
    ("release", Lock::Release),
];

/// Words of the `route` column after `steps:`.
const STEPWISE: &[(&str, Stepwise)] = &[
    ("cluster-countkeysinslot", Stepwise::ClusterCountKeysInSlot),
    ("cluster-getkeysinslot", Stepwise::ClusterGetKeysInSlot),
    ("config-get", Stepwise::ConfigGet),
    ("config-set", Stepwise::ConfigSet),
    ("config-resetstat", Stepwise::ConfigResetStat),
    ("debug", Stepwise::Debug),
    ("swapdb", Stepwise::SwapDb),
];

/// Words of the `route` column after `refuse:`.
const REASONS: &[(&str, Reason)] = &[
    ("pinned", Reason::Pinned),
    ("one-node", Reason::OneNode),
    ("users", Reason::Users),
    ("users-file", Reason::UsersFile),
    ("save", Reason::Save),
    ("rewrite", Reason::Rewrite),
    ("shutdown", Reason::Shutdown),
    ("replication", Reason::Replication),
    ("migrate", Reason::Migrate),
    ("module", Reason::Module),
    ("cluster", Reason::Cluster),
    ("slot-stats", Reason::SlotStats),
    ("internal", Reason::Internal),
];

impl Route {
    /// Reads a word of the `route` column.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        if let Some(local) = word.strip_prefix("local:") {
            return LOCALS.iter().find(|(name, _)| *name == local).map(|(_, local)| Self::Local(*local));
        }
        if let Some(script) = word.strip_prefix("script:") {
            return SCRIPTS.iter().find(|(name, _)| *name == script).map(|(_, script)| Self::Script(*script));
        }
        if let Some(session) = word.strip_prefix("session:") {
            return SESSIONS.iter().find(|(name, _)| *name == session).map(|(_, session)| Self::Session(*session));
        }
        if let Some(steps) = word.strip_prefix("steps:") {
            return STEPWISE.iter().find(|(name, _)| *name == steps).map(|(_, steps)| Self::Steps(*steps));
        }
        if let Some(lock) = word.strip_prefix("lock:") {
            return LOCKS.iter().find(|(name, _)| *name == lock).map(|(_, lock)| Self::Lock(*lock));
        }
        if let Some(reason) = word.strip_prefix("refuse:") {
            return REASONS.iter().find(|(name, _)| *name == reason).map(|(_, reason)| Self::Refuse(*reason));
        }
        Some(match word {
            "keys" => Self::Keys,
            "split:values" => Self::Split(Split::Values),
            "split:pairs" => Self::Split(Split::Pairs),
            "split:sum" => Self::Split(Split::Sum),
            "all:ok" => Self::All(Gather::Ok),
            "all:sum" => Self::All(Gather::Sum),
            "all:db-size" => Self::All(Gather::DbSize),
            "all:min" => Self::All(Gather::Min),
            "all:max" => Self::All(Gather::Max),
            "all:min-each" => Self::All(Gather::MinEach),
            "all:and" => Self::All(Gather::And),
            "all:first" => Self::All(Gather::First),
            "all:join" => Self::All(Gather::Join),
            "all:union" => Self::All(Gather::Union),
            "all:keys" => Self::All(Gather::Keys),
            "all:random-key" => Self::All(Gather::RandomKey),
            "all:memory-stats" => Self::All(Gather::MemoryStats),
            "all:texts" => Self::All(Gather::Texts),
            "all:running" => Self::All(Gather::Running),
            "all:libraries" => Self::All(Gather::Libraries),
            "all:longest" => Self::All(Gather::Longest),
            "all:any-ok" => Self::All(Gather::AnyOk),
            "any" => Self::Any,
            "scan" => Self::Scan,
            "scan-key" => Self::ScanKey,
            "info" => Self::Info,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_others_are_not() {
        assert_eq!(Route::parse("keys"), Some(Route::Keys));
        assert_eq!(Route::parse("all:min"), Some(Route::All(Gather::Min)));
        assert_eq!(Route::parse("local:client-no-evict"), Some(Route::Local(Local::ClientNoEvict)));
        assert_eq!(Route::parse("refuse:one-node"), Some(Route::Refuse(Reason::OneNode)));
        for word in ["", "key", "local:", "local:get", "all:", "refuse"] {
            assert_eq!(Route::parse(word), None, "{word}");
        }
    }

    #[test]
    fn each_local_command_has_one_word() {
        for (at, (word, local)) in LOCALS.iter().enumerate() {
            for (other_word, other) in &LOCALS[at + 1..] {
                assert!(word != other_word && local != other, "{word} and {other_word}");
            }
        }
    }
}
