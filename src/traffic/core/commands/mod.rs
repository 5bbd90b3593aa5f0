//! Commands that Circlet does more about than pass them on: one file per family.
//!
//! ```text
//!  request ─► Route::Local ──► connection · client · acl · circlet …     answered here, in order, at once
//!          └► Route::Session ► transaction · blocking · pubsub …    changes what the session is, or takes a lease
//! ```
//! Arguments that no node will see are checked as Redis checks them, with its texts. Pure.

mod acl;
mod blocking;
mod circlet;
mod client;
mod cluster;
mod config;
mod connection;
mod exec;
mod filter;
mod info;
mod latency;
mod lock;
mod moved;
mod prefix;
mod publish;
mod scan;
mod script;
mod server;
mod slowlog;
mod subscribe;
mod tracking;
mod transaction;
mod watch;

use super::{
    Core,
    request::{Request, Taken},
};
use crate::traffic::{
    client::ClientKey,
    command::{Gather, Local, Row, Session, Stepwise, Table, describe},
    counters::Closed,
    merge,
    resp::{Proto, encode},
};

pub(super) use blocking::Word;
pub use filter::Filter;
pub(super) use prefix::Programs;

/// Redis's text for a number that is none.
const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";

/// Redis's text for arguments that make no sense.
const SYNTAX: &str = "ERR syntax error";

impl Core {
    /// Answers a command that needs no node.
    pub(super) fn local(&mut self, key: ClientKey, request: Request<'_>, row: &Row, which: Local, table: &Table) {
        match which {
            Local::Ping => self.ping(key, request, row),
            Local::Echo => self.answer(key, |out| encode::bulk(out, request.arg(1))),
            Local::Time => self.time(key),
            Local::Hello => self.hello(key, request),
            Local::Auth => self.auth(key, request, row),
            Local::Select => self.select(key, request),
            Local::Quit => {
                self.end_monitor(key);
                self.answer(key, |out| encode::simple(out, "OK"));
                self.close_when_done(key, Closed::ByClient);
            }
            Local::Reset => self.reset(key),
            Local::Cluster => self.cluster(key, request),
            Local::ClusterMode => self.cluster_mode(key, request),
            Local::AclDryrun
            | Local::AclGetUser
            | Local::AclList
            | Local::AclLog
            | Local::AclUsers
            | Local::AclWhoAmI => self.acl(key, request, which, table),
            Local::CircletAuth
            | Local::CircletBigkeys
            | Local::CircletEvents
            | Local::CircletHelp
            | Local::CircletHotkeys
            | Local::CircletNodes
            | Local::CircletOrder
            | Local::CircletRing
            | Local::CircletWhere => {
                self.local_circlet(key, request, which);
            }
            Local::Command
            | Local::CommandCount
            | Local::CommandDocs
            | Local::CommandGetKeys
            | Local::CommandGetKeysAndFlags
            | Local::CommandHelp
            | Local::CommandInfo
            | Local::CommandList => {
                let proto = self.proto(key);
                let args: Vec<&[u8]> = (0..request.args.len()).map(|index| request.arg(index)).collect();
                self.answer(key, |out| describe::answer(table, which, &args, proto, out));
            }
            Local::ClientCapa
            | Local::ClientGetName
            | Local::ClientId
            | Local::ClientInfo
            | Local::ClientKill
            | Local::ClientList
            | Local::ClientNoEvict
            | Local::ClientNoTouch
            | Local::ClientPause
            | Local::ClientReply
            | Local::ClientSetInfo
            | Local::ClientSetName
            | Local::ClientUnblock
            | Local::ClientUnpause => self.local_client(key, request, which),
            Local::SlowlogGet => self.slowlog_get(key, request),
            Local::SlowlogLen => {
                let len = self.journal.slow().len();
                self.answer(key, |out| encode::integer(out, len as i64));
            }
            Local::SlowlogReset => {
                self.journal.slow().reset();
                self.ok(key);
            }
            Local::LatencyDoctor
            | Local::LatencyGraph
            | Local::LatencyHistogram
            | Local::LatencyHistory
            | Local::LatencyLatest
            | Local::LatencyReset => self.local_latency(key, request, which),
        }
    }

    /// `COMMAND DOCS`: of a node, which knows more of its commands; of the table, what is asked of our own, or if no node can
    /// be asked.
    pub(super) fn command_docs(&mut self, key: ClientKey, request: Request<'_>, row: &Row, table: &Table) -> Taken {
        let names: Vec<&[u8]> = (2..request.args.len()).map(|index| request.arg(index)).collect();
        match self.any_live_node() {
            Some(node) if names.is_empty() => {
                self.send_to(key, merge::Kind::Docs, true, node, |out| out.extend_from_slice(request.bytes))
            }
            Some(_) if !describe::names_own(table, &names) => self.any(key, request, row),
            _ => {
                self.local(key, request, row, Local::CommandDocs, table);
                Taken::Yes
            }
        }
    }

    pub(super) fn proto(&self, key: ClientKey) -> Proto {
        self.client(key).map_or(Proto::Resp2, |client| client.proto)
    }

    /// A command that changes what the session is, or takes a connection for it alone.
    pub(super) fn session(&mut self, key: ClientKey, request: Request<'_>, row: &Row, which: Session) -> Taken {
        match which {
            Session::Monitor => return self.monitor(key),
            Session::Multi => self.multi(key),
            Session::Exec => return self.exec(key, request),
            Session::Discard => self.discard(key),
            Session::Watch => return self.watch(key, request, row),
            Session::Unwatch => self.unwatch(key),
            Session::Wait => return self.wait(key, request, row, Gather::Min),
            Session::Waitaof => return self.wait(key, request, row, Gather::MinEach),
            Session::Publish(kind) => return self.publish_message(key, request, row, kind),
            Session::Numsub(kind) => return self.numsub(key, request, kind),
            Session::Subscribe(kind) => return self.subscribe(key, request, row, kind),
            Session::Unsubscribe(kind) => return self.unsubscribe(key, request, kind),
            Session::Tracking | Session::Caching | Session::TrackingInfo | Session::GetRedir => {
                return self.client_tracking(key, request, which);
            }
        }
        Taken::Yes
    }

    /// A command that asks the nodes several times.
    pub(super) fn stepwise(&mut self, key: ClientKey, request: Request<'_>, row: &Row, which: Stepwise) -> Taken {
        match which {
            Stepwise::ClusterCountKeysInSlot => self.cluster_keys_in_slot(key, request, false),
            Stepwise::ClusterGetKeysInSlot => self.cluster_keys_in_slot(key, request, true),
            Stepwise::ConfigGet => self.config_get(key, request, row),
            Stepwise::ConfigSet => self.config_set(key, request, row),
            Stepwise::ConfigResetStat => self.config_reset_stat(key, request, row),
            Stepwise::Debug => self.debug(key, request),
            Stepwise::SwapDb => self.swap_db(key, request),
        }
    }

    pub(super) fn ok(&mut self, key: ClientKey) {
        self.answer(key, |out| encode::simple(out, "OK"));
    }
}

/// An integer as Redis reads it: decimal, no blanks, no plus sign, no leading zeros.
fn integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: i64 = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}
