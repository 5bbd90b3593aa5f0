//! Whether a stage can work at all, found out before anything is frozen.
//!
//! Each pair is tried with a key of its own, by the same scripts that move keys later: versions that do not understand each
//! other, forbidden commands and renamed ones show here. What a pair needs is made: a joining node gets the libraries of
//! functions that the others have. Whatever is wrong is told with its cure; what is only doubtful, as a note. Io.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;

use super::{
    fault::MoveError,
    lane::{Given, give},
    line::field,
    lines::{Role, To},
    request::{OURS, bulks, evalsha, scanned},
    run::Shared,
    script::{TAKE, taken},
    stage::Stage,
};
use crate::traffic::route::NodeId;

/// Bytes that a tombstone takes at its target, roughly.
const TOMBSTONE: u64 = 100;
/// How long the key of the probe lives, should nobody delete it.
const PROBE_MS: &str = "60000";

/// What a target is to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Keys.
    pub keys: u64,
    /// Bytes of memory that they take now.
    pub bytes: u64,
}

/// What is known of a stage beforehand.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Nodes that have no keys yet by the ring: they must be empty.
    pub joining: BTreeSet<NodeId>,
    /// Estimates, by target.
    pub needs: BTreeMap<NodeId, Need>,
    /// Whether keys are copied; else only who joins must be able to serve.
    pub copies: bool,
}

/// Looks at everything; gives notes for the operator.
pub(super) async fn preflight(shared: Arc<Shared>, stage: Arc<Stage>, plan: Plan) -> Result<Vec<String>, MoveError> {
    shared.lines.learn(&stage.nodes);
    let preflight = Preflight { shared: &shared, stage: &stage, notes: Vec::new() };
    preflight.whole(&plan).await
}

struct Preflight<'a> {
    shared: &'a Shared,
    stage: &'a Stage,
    notes: Vec<String>,
}

impl Preflight<'_> {
    async fn whole(mut self, plan: &Plan) -> Result<Vec<String>, MoveError> {
        if !plan.copies {
            return self.joining(plan).await;
        }
        for node in self.stage.sources().union(&self.stage.targets()) {
            self.role(*node).await?;
        }
        for node in self.stage.targets() {
            self.room(node, plan.needs.get(&node).copied().unwrap_or_default()).await?;
        }
        for node in &plan.joining {
            self.empty(*node).await?;
        }
        for (from, to) in &self.stage.pairs {
            self.databases(*from, *to).await?;
            self.probe(*from, *to).await?;
        }
        for node in &plan.joining {
            self.functions(*node).await?;
        }
        Ok(self.notes)
    }

    /// Without copies, the others may even be down.
    async fn joining(mut self, plan: &Plan) -> Result<Vec<String>, MoveError> {
        for node in &plan.joining {
            self.role(*node).await?;
            self.empty(*node).await?;
            if let Err(error) = self.functions(*node).await {
                let name = self.name(*node);
                self.notes.push(format!("node {name} has not got the functions of the others: {error}"));
            }
        }
        Ok(self.notes)
    }

    fn name(&self, node: NodeId) -> String {
        self.shared.lines.name(node)
    }

    /// A replica takes no writes.
    async fn role(&self, node: NodeId) -> Result<(), MoveError> {
        let info = self.shared.info(node, "replication").await?;
        if field(&info, "role").is_some_and(|role| role != "master") {
            let name = self.name(node);
            return Err(MoveError::Unfit(format!(
                "node {name} is a replica; give its primary's address, or REPLICAOF NO ONE"
            )));
        }
        Ok(())
    }

    /// The target has memory for what it is to take.
    async fn room(&mut self, node: NodeId, need: Need) -> Result<(), MoveError> {
        let info = self.shared.info(node, "memory").await?;
        let number = |name| field(&info, name).and_then(|text| text.parse::<u64>().ok());
        let (used, most) = (number("used_memory").unwrap_or(0), number("maxmemory").unwrap_or(0));
        let (name, policy) = (self.name(node), field(&info, "maxmemory_policy").unwrap_or_default());
        if most == 0 {
            return Ok(());
        }
        let needed = used + need.bytes + need.keys * TOMBSTONE;
        if needed > most {
            return Err(MoveError::Unfit(format!(
                "node {name} has maxmemory {most} and uses {used}; with what is to be moved there it needs about {needed}: \
                 raise maxmemory, lower its weight, or add another node"
            )));
        }
        if policy != "noeviction" {
            self.notes.push(format!(
                "node {name} evicts keys when it is full (maxmemory-policy {policy}): it may drop keys that were moved to it"
            ));
        }
        Ok(())
    }

    /// A joining node has no keys.
    async fn empty(&self, node: NodeId) -> Result<(), MoveError> {
        for (db, _) in self.shared.dbs(node).await? {
            let to = To { node, db, role: Role::Pass };
            let mut cursor = Bytes::from_static(b"0");
            loop {
                let frame = self.shared.lines.words(to, &[&b"SCAN"[..], &cursor, b"COUNT", b"1000"]).await?;
                let (next, keys) = scanned(frame).ok_or_else(|| self.shared.lines.garbage(node, "SCAN"))?;
                if let Some(key) = keys.iter().find(|key| !key.starts_with(OURS)) {
                    let name = self.name(node);
                    return Err(MoveError::Unfit(format!(
                        "node {name} is to join but has keys ('{}' in db {db}); if nobody needs them, FLUSHALL it",
                        key.escape_ascii()
                    )));
                }
                if &next[..] == b"0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(())
    }

    /// The target has every db that the source uses.
    async fn databases(&self, from: NodeId, to: NodeId) -> Result<(), MoveError> {
        let Some(highest) = self.shared.dbs(from).await?.iter().map(|(db, _)| *db).max() else { return Ok(()) };
        let line = To { node: to, db: 0, role: Role::Pass };
        // A node that does not tell is tried.
        let Ok(BytesFrame::Array(items)) = self.shared.lines.words(line, &["CONFIG", "GET", "databases"]).await else {
            return Ok(());
        };
        let count = bulks(items).and_then(|texts| String::from_utf8_lossy(texts.get(1)?).parse::<u32>().ok());
        if count.is_some_and(|count| highest >= count) {
            let (from, to) = (self.name(from), self.name(to));
            let message = format!(
                "node {from} has keys in db {highest}, which node {to} does not have; start {to} with `databases {}`",
                highest + 1
            );
            return Err(MoveError::Unfit(message));
        }
        Ok(())
    }

    /// Moves a key that is made for it, and deletes it at both.
    async fn probe(&mut self, from: NodeId, to: NodeId) -> Result<(), MoveError> {
        let source = To { node: from, db: 0, role: Role::Pass };
        let target = To { node: to, db: 0, role: Role::Pass };
        let (key, set) = (format!("circlet:probe:{}", self.stage.id), format!("circlet:probe:{}:set", self.stage.id));
        let lines = &self.shared.lines;
        let made = lines.words(source, &["SET", &key, "circlet", "PX", PROBE_MS]).await;
        let outcome = match made {
            Ok(_) => {
                lines.words(target, &["UNLINK", &key]).await?;
                lines.words(target, &["SADD", &set, "!probe"]).await?;
                lines.words(target, &["PEXPIRE", &set, PROBE_MS]).await?;
                self.carry(source, target, &key, &set).await
            }
            // A full node is a reason to add one: it may still be read.
            Err(MoveError::Refused { line, .. }) if line.starts_with("OOM") => {
                let name = self.name(from);
                self.notes.push(format!("node {name} is out of memory and was not tried with a key"));
                Ok(())
            }
            Err(error) => Err(error),
        };
        // They expire, or are told by the first error.
        let _ = lines.words(source, &["UNLINK", &key]).await;
        let _ = lines.words(target, &["UNLINK", &key, &set]).await;
        outcome
    }

    async fn carry(&self, source: To, target: To, key: &str, set: &str) -> Result<(), MoveError> {
        let (shared, name) = (self.shared, Bytes::copy_from_slice(key.as_bytes()));
        let (given, _) = give(shared, source, set, false, std::slice::from_ref(&name), 1 << 20).await?;
        let Some(Given::Payload { bytes, .. }) = given.into_iter().next() else {
            return Err(shared.lines.garbage(source.node, "a request for a key"));
        };
        let args = [&b"!probe"[..], b"stop", b"1", PROBE_MS.as_bytes(), &bytes];
        let request = evalsha(&TAKE, [set.as_bytes(), key.as_bytes()].into_iter(), args.into_iter());
        let BytesFrame::Array(answers) = shared.lines.run_script(target, &TAKE, &request).await? else {
            return Err(shared.lines.garbage(target.node, "a restore"));
        };
        match answers.first() {
            Some(BytesFrame::Integer(taken::RESTORED)) => Ok(()),
            Some(BytesFrame::BulkString(line)) => Err(self.foreign(source.node, target.node, line).await),
            _ => Err(shared.lines.garbage(target.node, "a restore")),
        }
    }

    /// Why the target does not take what the source dumps.
    async fn foreign(&self, from: NodeId, to: NodeId, line: &[u8]) -> MoveError {
        let line = String::from_utf8_lossy(line).into_owned();
        let error = MoveError::of_line(to, &self.name(to), &line);
        if !line.contains("payload") && !line.contains("data format") {
            return error;
        }
        let (old, new) = (self.version(from).await, self.version(to).await);
        let (from, to) = (self.name(from), self.name(to));
        MoveError::Unfit(format!(
            "node {to} ({new}) cannot load what node {from} ({old}) dumps: {line}; let {to} run a version that is not older \
             (Valkey loads dumps of Redis up to 7.2)"
        ))
    }

    async fn version(&self, node: NodeId) -> String {
        let info = self.shared.info(node, "server").await.unwrap_or_default();
        let valkey = field(&info, "valkey_version").map(|version| format!("Valkey {version}"));
        let redis = || field(&info, "redis_version").map(|version| format!("Redis {version}"));
        valkey.or_else(redis).unwrap_or_else(|| "of unknown version".to_owned())
    }

    /// Gives a joining node the libraries of functions that a source has and it has not.
    async fn functions(&mut self, node: NodeId) -> Result<(), MoveError> {
        let joins = |(_, to): &&(NodeId, NodeId)| *to == node;
        let Some((from, _)) = self.stage.pairs.iter().find(joins) else { return Ok(()) };
        let (Some(theirs), Some(its)) = (self.libraries(*from).await?, self.libraries(node).await?) else {
            return Ok(());
        };
        let missing: Vec<&str> = theirs.difference(&its).map(String::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let line = |node| To { node, db: 0, role: Role::Pass };
        let dump = self.shared.lines.words(line(*from), &["FUNCTION", "DUMP"]).await?;
        let BytesFrame::BulkString(dump) = dump else { return Err(self.shared.lines.garbage(*from, "FUNCTION DUMP")) };
        self.shared.lines.words(line(node), &[&b"FUNCTION"[..], b"RESTORE", &dump, b"REPLACE"]).await?;
        let (name, from) = (self.name(node), self.name(*from));
        self.notes.push(format!("node {name} got the functions of node {from}: {}", missing.join(", ")));
        Ok(())
    }

    /// The names of a node's libraries; `None` if it has no functions, or does not tell.
    async fn libraries(&self, node: NodeId) -> Result<Option<BTreeSet<String>>, MoveError> {
        let to = To { node, db: 0, role: Role::Pass };
        let list = match self.shared.lines.words(to, &["FUNCTION", "LIST"]).await {
            Ok(BytesFrame::Array(list)) => list,
            Err(error) if error.is_down() => return Err(error),
            _ => return Ok(None),
        };
        let name = |library| {
            let BytesFrame::Array(fields) = library else { return None };
            match fields.get(1) {
                Some(BytesFrame::BulkString(name)) => Some(String::from_utf8_lossy(name).into_owned()),
                _ => None,
            }
        };
        Ok(Some(list.into_iter().filter_map(name).collect()))
    }
}
