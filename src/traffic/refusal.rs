//! Every error line that Circlet itself gives, in one place.
//!
//! A [`Refusal`] says what failed, on what and with which value; [`Refusal::write`] is the only code that turns it into
//! bytes. Texts that Redis has too are Redis's, to the letter, because clients look at them. No code reads them back:
//! whether a part failed is a type, not a text. Pure.

use std::time::Duration;

use super::command::Reason;
use super::resp::encode;
use super::route::Node;

/// An error reply of Circlet.
#[derive(Debug)]
pub enum Refusal<'a> {
    /// The bytes are no RESP; the session is closed behind this line.
    Protocol(&'a str),
    /// No such command, neither in the table nor on a node.
    UnknownCommand(&'a [u8], &'a str),
    /// No such subcommand of a command that Circlet answers itself.
    UnknownSubcommand(&'a [u8], &'a str),
    /// Wrong arguments of a subcommand: the subcommand as given, the command.
    SubcommandSyntax(&'a [u8], &'a str),
    /// Redis's arity error; the name as Redis prints it (`client|kill`).
    Arity(&'a str),
    /// A plain text error of Redis, without `-` and line end.
    Redis(&'a str),
    /// A command that needs a node connection of its own.
    Pinned(&'a str),
    /// A command that would act on one node only.
    OneNode(&'a str),
    /// A command that is not for Circlet, for a reason of its own.
    NotHere(&'a str, Reason),
    /// A command between servers.
    Internal(&'a str),
    /// Cluster commands, while Circlet presents itself as one plain Redis.
    NoCluster,
    /// Where Circlet is, asked through a unix socket, while it announces no address.
    NoAnnouncement,
    /// SORT with BY or GET patterns: they read keys of other nodes.
    ForeignPattern(&'a str),
    /// Keys of several nodes in a command that cannot be split: key and node, key and node.
    CrossSlot(&'a [u8], &'a str, &'a [u8], &'a str),
    /// A key of Circlet's own is not to be written.
    OwnKey(&'a [u8]),
    /// The client did not authenticate.
    NoAuth,
    /// Wrong password or user.
    WrongPass,
    /// The node cannot be used; the reason.
    NodeDown(&'a Node, &'a str),
    /// No node at all can be used.
    NoNode,
    /// The node gave no reply in time; whether the command may have run.
    Timeout(&'a Node, Duration, Outcome),
    /// The connection was lost after the command was sent; whether the command may have run.
    Lost(&'a Node, &'a str, Outcome),
    /// A command that concerns every node, in a transaction, which runs on one.
    InTransaction(&'a str),
    /// More queued than may be: the option that bounds it, and its value.
    TooMuchQueued(&'a str, String),
    /// EXEC of a transaction in which a command was refused.
    ExecAborted,
    /// EXEC that is refused itself, or whose node refused a queued command: why.
    ExecAbort(&'a str),
    /// The connection that watched keys is gone.
    WatchLost(&'a Node),
    /// The node refused MULTI itself: why.
    MultiRefused(&'a Node, &'a str),
    /// No connection for this command alone: the option that bounds them, and its value.
    LeaseLimit(&'a str, &'a str, usize),
    /// More subscriptions than a session may have: the command, the option that bounds them, and its value.
    SubscriptionLimit(&'a str, &'a str, usize),
    /// Too many sessions.
    MaxClients,
    /// Too few nodes count for a lock; which, and why.
    NoQuorum(&'a str),
    /// A lock is not the client's (any more); why.
    LockLost(&'a str),
    /// A lock cannot be asked for like that; why, with the cure.
    LockRefused(&'a str),
    /// A command about locks, in a transaction.
    LockInTransaction(&'a str),
    /// This Circlet keeps no locks, for it could not remember what makes them safe.
    NoLocks,
}

/// Whether a request that got no reply may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It only reads: asking again is safe.
    Harmless,
    /// It writes, and may or may not have run.
    Unknown,
}

/// Kinds of refusals, as a metric label and an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not RESP.
    Protocol,
    /// Unknown command, wrong arguments, not supported.
    Command,
    /// Keys of several nodes.
    CrossSlot,
    /// Not or wrongly authenticated.
    Auth,
    /// A node that is down.
    NodeDown,
    /// A node that did not answer in time.
    Timeout,
    /// A connection lost under way.
    Lost,
    /// Refused by a limit.
    Limit,
}

impl Kind {
    /// Number of kinds.
    pub const COUNT: usize = 8;
    /// All kinds, in the order of their index.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Protocol,
        Self::Command,
        Self::CrossSlot,
        Self::Auth,
        Self::NodeDown,
        Self::Timeout,
        Self::Lost,
        Self::Limit,
    ];

    /// The kind as a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Command => "command",
            Self::CrossSlot => "crossslot",
            Self::Auth => "auth",
            Self::NodeDown => "nodedown",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Limit => "limit",
        }
    }
}

impl Refusal<'_> {
    /// What kind of refusal this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Protocol(_) => Kind::Protocol,
            Self::UnknownCommand(..)
            | Self::UnknownSubcommand(..)
            | Self::SubcommandSyntax(..)
            | Self::Arity(_)
            | Self::Redis(_)
            | Self::Pinned(_)
            | Self::OneNode(_)
            | Self::NotHere(..)
            | Self::Internal(_)
            | Self::NoCluster
            | Self::NoAnnouncement
            | Self::ForeignPattern(_)
            | Self::InTransaction(_)
            | Self::ExecAborted
            | Self::ExecAbort(_)
            | Self::OwnKey(_)
            | Self::LockLost(_)
            | Self::LockRefused(_)
            | Self::LockInTransaction(_)
            | Self::NoLocks
            | Self::MultiRefused(..) => Kind::Command,
            Self::CrossSlot(..) => Kind::CrossSlot,
            Self::NoAuth | Self::WrongPass => Kind::Auth,
            Self::NodeDown(..) | Self::NoNode | Self::NoQuorum(_) => Kind::NodeDown,
            Self::Timeout(..) => Kind::Timeout,
            Self::Lost(..) | Self::WatchLost(_) => Kind::Lost,
            Self::LeaseLimit(..) | Self::SubscriptionLimit(..) | Self::TooMuchQueued(..) | Self::MaxClients => {
                Kind::Limit
            }
        }
    }

    /// Appends the refusal as a RESP error line.
    pub fn write(&self, out: &mut Vec<u8>) {
        encode::error(out, &self.text());
    }

    /// The whole error line.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        self.write(&mut line);
        line
    }

    /// The line without `-` and line end.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Protocol(text) => format!("ERR {text}"),
            Self::UnknownCommand(name, args) => {
                format!("ERR unknown command '{}', with args beginning with: {args}", shown(name))
            }
            Self::UnknownSubcommand(sub, command) => {
                format!("ERR unknown subcommand '{}'. Try {command} HELP.", shown(sub))
            }
            Self::SubcommandSyntax(sub, command) => {
                format!("ERR unknown subcommand or wrong number of arguments for '{}'. Try {command} HELP.", shown(sub))
            }
            Self::Arity(name) => format!("ERR wrong number of arguments for '{name}' command"),
            Self::Redis(text) => (*text).to_owned(),
            Self::Pinned(name) => format!(
                "ERR '{name}' needs a node connection of its own, which Circlet does not lease for it; \
                 send it to the key's node directly (INFO circlet lists the nodes)"
            ),
            Self::OneNode(name) => format!(
                "ERR '{name}' acts on one server and Circlet stands for several; \
                 send it to the node itself (INFO circlet lists the nodes)"
            ),
            Self::NotHere(name, reason) => format!("ERR '{name}' {}", why_not(*reason)),
            Self::Internal(name) => format!("ERR '{name}' is spoken between servers only and is not passed on"),
            Self::NoCluster => "ERR This instance has cluster support disabled".to_owned(),
            Self::NoAnnouncement => "ERR Circlet does not know where clients of a cluster reach it: this is a unix \
                                     socket; set cluster_facade to their host:port"
                .to_owned(),
            Self::ForeignPattern(name) => format!(
                "ERR '{name}' with BY or GET patterns reads keys that may lie on other nodes; give the key and the \
                 patterns one hash tag before the '*', as in {{tag}}weight_*, or read the keys with MGET"
            ),
            Self::CrossSlot(key, node, other_key, other_node) => format!(
                "CROSSSLOT Keys in request don't hash to the same slot: '{}' lies on node {node}, '{}' on node \
                 {other_node}; give both the same hash tag, as in {{tag}}name",
                shown(key),
                shown(other_key)
            ),
            Self::OwnKey(key) => format!(
                "ERR '{}' is a name that Circlet keeps for its own keys; take one that does not begin with circlet:",
                shown(key)
            ),
            Self::NoAuth => "NOAUTH Authentication required.".to_owned(),
            Self::WrongPass => "WRONGPASS invalid username-password pair or user is disabled.".to_owned(),
            Self::NodeDown(node, why) => format!("NODEDOWN node {}: {why}", named(node)),
            Self::NoNode => "NODEDOWN no node can be reached; INFO circlet tells why".to_owned(),
            Self::Timeout(node, after, outcome) => {
                format!("TIMEOUT node {}: no reply within {} ms; {}", named(node), after.as_millis(), outcome.text())
            }
            Self::Lost(node, why, Outcome::Harmless) => {
                format!("NODEDOWN node {}: {why}; {}", named(node), Outcome::Harmless.text())
            }
            Self::Lost(node, why, outcome @ Outcome::Unknown) => {
                format!("OUTCOMEUNKNOWN node {}: {why}; {}", named(node), outcome.text())
            }
            Self::InTransaction(name) => format!(
                "ERR '{name}' concerns every node and a transaction runs on one of them; send it before MULTI or after \
                 EXEC"
            ),
            Self::TooMuchQueued(option, limit) => {
                format!("ERR the transaction is larger than {option} allows ({limit}); divide it, or raise {option}")
            }
            Self::ExecAborted => "EXECABORT Transaction discarded because of previous errors.".to_owned(),
            Self::ExecAbort(why) => format!("EXECABORT Transaction discarded because of: {why}"),
            Self::WatchLost(node) => format!(
                "NODEDOWN node {}: the connection that watched the keys is lost, they may have changed; nothing was \
                 executed, watch them again",
                named(node)
            ),
            Self::MultiRefused(node, why) => format!(
                "ERR node {} refuses MULTI, so the queued commands may have been executed one by one ({why}); allow its \
                 user MULTI and EXEC",
                named(node)
            ),
            Self::LeaseLimit(name, option, limit) => format!(
                "ERR '{name}' needs a node connection of its own and all {limit} are taken by clients that block, watch \
                 keys or track them; try again later, or raise {option}"
            ),
            Self::SubscriptionLimit(name, option, limit) => format!(
                "ERR '{name}' would go beyond what one client may listen to ({option} is {limit}); spread the channels over \
                 several connections, use a pattern, or raise {option}"
            ),
            Self::MaxClients => "ERR max number of clients reached".to_owned(),
            Self::NoQuorum(words) => format!("NOQUORUM {words}"),
            Self::LockLost(why) => format!("LOCKLOST {why}"),
            Self::LockRefused(why) => format!("ERR {why}"),
            Self::LockInTransaction(name) => format!(
                "ERR '{name}' asks a majority of nodes and cannot be part of a transaction; take the lock before MULTI, and \
                 release it after EXEC"
            ),
            Self::NoLocks => {
                "ERR locks need a state directory, so that a restart of Circlet forgets no node's: start Circlet \
                              with --state DIR, or set state in its configuration"
                    .to_owned()
            }
        }
    }
}

impl Outcome {
    fn text(self) -> &'static str {
        match self {
            Self::Harmless => "the command only reads, it is safe to send it again",
            Self::Unknown => "the command may or may not have been executed",
        }
    }
}

/// Why a command is not for Circlet, and what does instead; goes on after the command's name.
fn why_not(reason: Reason) -> &'static str {
    match reason {
        Reason::Users => {
            "is refused: Circlet has one user, 'default', whose password is requirepass in Circlet's configuration; \
             make users of the nodes at each node (INFO circlet lists them)"
        }
        Reason::UsersFile => {
            "is refused: Circlet has one user, 'default', whose password is requirepass in Circlet's configuration, and \
             no file of users; load or save the users of a node at the node"
        }
        Reason::Save => {
            "is refused: each node saves its own data when it is configured to; CONFIG SET save reaches all nodes, or \
             send BGSAVE to each node (INFO circlet lists them)"
        }
        Reason::Rewrite => {
            "is refused: each node rewrites its own append-only file; CONFIG SET auto-aof-rewrite-percentage reaches all \
             nodes, or send it to each node (INFO circlet lists them)"
        }
        Reason::Shutdown => {
            "is refused: it would stop nodes under Circlet; stop a node at the node itself, and Circlet by SIGTERM"
        }
        Reason::Replication => {
            "is refused: who replicates a node is set up at the node (INFO circlet lists them); to serve keys from \
             another server, give the node's name its address in Circlet's configuration"
        }
        Reason::Migrate => {
            "is refused: a key that leaves its node is not found any more; copy it with DUMP here and RESTORE there, \
             then DEL it"
        }
        Reason::Module => {
            "is refused: modules are files on each node's machine; load them there (loadmodule in the node's \
             configuration), Circlet learns their commands by itself"
        }
        Reason::Cluster => {
            "is refused: Circlet presents itself as a cluster of one member that has all slots for good; add, remove and \
             weigh the nodes behind it in Circlet's configuration, and set up their replicas at each node"
        }
        Reason::SlotStats => {
            "is refused: the nodes keep no statistics of slots; CLUSTER COUNTKEYSINSLOT counts the keys of one"
        }
        // These have refusals of their own.
        Reason::Pinned | Reason::OneNode | Reason::Internal => "is refused",
    }
}

/// `name (address)`, or only the name where it is the address.
fn named(node: &Node) -> String {
    let address = node.address.to_string();
    if node.name == address { address } else { format!("{} ({address})", node.name) }
}

/// At most 128 bytes of what a client sent, as Redis's `%.128s` prints them.
fn shown(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(128)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::route::Address;

    fn line(refusal: &Refusal<'_>) -> String {
        let mut out = Vec::new();
        refusal.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_refusal_names_the_node_and_what_became_of_the_command() {
        let node = Node::new("cache-b", Address::Tcp { host: "127.0.0.1".into(), port: 7002 });
        assert_eq!(
            line(&Refusal::NodeDown(&node, "connection refused")),
            "-NODEDOWN node cache-b (127.0.0.1:7002): connection refused\r\n"
        );
        assert_eq!(
            line(&Refusal::Timeout(&node, Duration::from_secs(1), Outcome::Unknown)),
            "-TIMEOUT node cache-b (127.0.0.1:7002): no reply within 1000 ms; the command may or may not have been executed\r\n"
        );
        assert!(
            line(&Refusal::Lost(&node, "connection lost", Outcome::Unknown))
                .starts_with("-OUTCOMEUNKNOWN node cache-b")
        );
    }

    #[test]
    fn kinds_are_in_the_order_of_their_index() {
        for (index, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
    }
}
