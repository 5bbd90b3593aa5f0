//! Where the state of locks lies: `locks.json` in the state directory, beside the ring's, one per pool. Io.
//!
//! ```text
//!  start:  locks.json? ─► Store::open ─► Found ─► begin ─► keeper
//!  later:  keeper ─ Save ─► Store::save ─► locks.json.new ─ write ─ fsync ─ rename ─ fsync of the directory ─► Saved
//! ```
//! It is framed and digested as the ring's is: damaged, or of a newer Circlet, it is refused with the cure and stays as it is. It
//! also says what the options were on which its promises stand. Whoever has it holds the lock of the state directory. Bounded
//! by [`MAX_FILE`].

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    keeper::Member,
    state::{Known, State, Window},
};
use crate::control::sealed::{self, Fault};

/// The format that is written.
const FORMAT: u64 = 1;
/// Longest file: a thousand nodes take less than 1 MB.
const MAX_FILE: u64 = 16 << 20;

/// Why Circlet does not start, or could not write. Its Display is one line with the cure.
#[derive(Debug)]
pub struct StoreError(Fault);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Fault::Io { path, doing, error } => write!(
                f,
                "{} cannot be {doing}: {error}; let this user read and write it, with room on the disk",
                path.display()
            ),
            Fault::Damaged { path, what } => write!(
                f,
                "{} is damaged ({what}); put back a copy of it, or move it away: then every node is in quarantine first, and \
                 the fences of locks may begin anew where a node has lost its memory as well",
                path.display()
            ),
            Fault::Newer { path, format } => write!(
                f,
                "{} is of a newer Circlet (format {format}, this one knows {FORMAT}); start that version",
                path.display()
            ),
        }
    }
}

impl std::error::Error for StoreError {}

/// What the promises of a state stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// `lock.nodes`.
    pub nodes: usize,
    /// The longest ttl that a lock may have been taken for.
    pub max_ttl_ms: u64,
}

/// What a process of before has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// On what.
    pub basis: Basis,
    /// What it knew.
    pub state: State,
}

/// The file of one pool.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    name: String,
}

impl Store {
    /// Opens the file of `pool` in `dir`, and reads it if it is there.
    ///
    /// # Errors
    /// The file cannot be read, is damaged or of a newer Circlet; it is left as it is.
    pub fn open(dir: &Path, pool: Option<&str>) -> Result<(Self, Option<Found>), StoreError> {
        let store = Self { dir: dir.to_path_buf(), name: sealed::name("locks", pool) };
        let path = store.path();
        let Some(bytes) = sealed::read(&path, MAX_FILE).map_err(StoreError)? else { return Ok((store, None)) };
        let body = sealed::open(&path, FORMAT, &bytes).map_err(StoreError)?;
        let kept: Kept =
            serde_json::from_str(body).map_err(|error| StoreError(Fault::Damaged { path, what: error.to_string() }))?;
        Ok((store, Some(kept.into())))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// Writes a state; when it returns, the state is on the disk.
    ///
    /// # Errors
    /// It could not be written; the state of before holds.
    pub fn save(&self, basis: Basis, state: &State) -> Result<(), StoreError> {
        self.save_through(basis, state, &mut |_| Ok(()))
    }

    fn save_through(&self, basis: Basis, state: &State, gate: &mut sealed::Gate<'_>) -> Result<(), StoreError> {
        let failed = |error| StoreError(Fault::Io { path: self.path(), doing: "written", error });
        let body = serde_json::to_string(&Kept::of(basis, state)).map_err(|error| failed(io::Error::other(error)))?;
        sealed::replace(&self.dir, &self.name, &sealed::seal(FORMAT, &body), gate).map_err(failed)
    }
}

/// A state as JSON: the names and shapes on the disk, which change only together with the format.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    basis: Basis,
    boot: String,
    epoch: u64,
    set: Vec<KeptMember>,
    window: Option<KeptWindow>,
    nodes: Vec<KeptNode>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptMember {
    name: String,
    place: String,
    address: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptWindow {
    next: Vec<KeptMember>,
    until_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptNode {
    member: KeptMember,
    run_id: String,
    quarantine: Option<KeptQuarantine>,
    marked: bool,
    evicted: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptQuarantine {
    until_ms: u64,
    why: String,
}

impl Kept {
    fn of(basis: Basis, state: &State) -> Self {
        let list = |members: &[Member]| members.iter().map(KeptMember::of).collect::<Vec<_>>();
        let node = |known: &Known| KeptNode {
            member: KeptMember::of(&known.member),
            run_id: known.run_id.clone(),
            quarantine: known.quarantine.clone().map(|(until_ms, why)| KeptQuarantine { until_ms, why }),
            marked: known.marked,
            evicted: known.evicted,
        };
        let window = |window: &Window| KeptWindow { next: list(&window.next), until_ms: window.until_ms };
        Self {
            basis,
            boot: state.boot.clone(),
            epoch: state.epoch,
            set: list(&state.set),
            window: state.window.as_ref().map(window),
            nodes: state.nodes.iter().map(node).collect(),
        }
    }
}

impl KeptMember {
    fn of(member: &Member) -> Self {
        let Member { name, place, address } = member.clone();
        Self { name, place, address }
    }
}

impl From<KeptMember> for Member {
    fn from(KeptMember { name, place, address }: KeptMember) -> Self {
        Self { name, place, address }
    }
}

impl From<Kept> for Found {
    fn from(kept: Kept) -> Self {
        let list = |members: Vec<KeptMember>| members.into_iter().map(Member::from).collect::<Vec<_>>();
        let node = |node: KeptNode| Known {
            member: node.member.into(),
            run_id: node.run_id,
            quarantine: node.quarantine.map(|quarantine| (quarantine.until_ms, quarantine.why)),
            marked: node.marked,
            evicted: node.evicted,
        };
        let state = State {
            boot: kept.boot,
            epoch: kept.epoch,
            set: list(kept.set),
            window: kept.window.map(|window| Window { next: list(window.next), until_ms: window.until_ms }),
            nodes: kept.nodes.into_iter().map(node).collect(),
        };
        Self { basis: kept.basis, state }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{control::sealed::Step, scratch::Scratch};

    const BASIS: Basis = Basis { nodes: 3, max_ttl_ms: 60_000 };

    /// A state with something in every field.
    fn full(epoch: u64) -> State {
        let member =
            |name: &str| Member { name: name.into(), place: format!("{name}-place"), address: format!("{name}:1") };
        let known = |name: &str, quarantine| Known {
            member: member(name),
            run_id: format!("run-{name}"),
            quarantine,
            marked: name == "a",
            evicted: 7,
        };
        State {
            boot: "boot \"1\"".into(),
            epoch,
            set: vec![member("a"), member("b")],
            window: Some(Window { next: vec![member("b"), member("ü")], until_ms: u64::MAX }),
            nodes: vec![known("a", None), known("b", Some((12, "after a restart".into())))],
        }
    }

    #[test]
    fn a_state_comes_back_as_it_was_and_pools_have_their_own() {
        let dir = Scratch::new("locks-back");
        let (store, none) = Store::open(dir.path(), None).unwrap();
        assert_eq!(none, None);
        store.save(BASIS, &full(3)).unwrap();
        let (other, none) = Store::open(dir.path(), Some("al/pha")).unwrap();
        assert_eq!((none, other.path()), (None, dir.path().join("locks-al%2Fpha.json")));
        let (_, found) = Store::open(dir.path(), None).unwrap();
        assert_eq!(found, Some(Found { basis: BASIS, state: full(3) }));
    }

    #[test]
    fn wherever_a_write_is_cut_off_there_is_the_old_state_or_the_new_one() {
        let dir = Scratch::new("locks-cut");
        let (store, _) = Store::open(dir.path(), None).unwrap();
        store.save(BASIS, &full(1)).unwrap();
        for (epoch, cut) in
            [Step::Create, Step::Write, Step::Sync, Step::Rename, Step::SyncDirectory].into_iter().enumerate()
        {
            let epoch = epoch as u64 + 2;
            let mut gate = |step| if step == cut { Err(io::Error::other("the machine stops")) } else { Ok(()) };
            assert!(store.save_through(BASIS, &full(epoch), &mut gate).is_err());
            let found = Store::open(dir.path(), None).unwrap().1.unwrap().state;
            let kept = if cut == Step::SyncDirectory { epoch } else { 1 };
            assert_eq!(found, full(kept), "cut before {cut:?}");
        }
    }

    #[test]
    fn what_is_damaged_or_newer_is_refused_with_the_cure_and_stays() {
        let dir = Scratch::new("locks-damaged");
        let (store, _) = Store::open(dir.path(), None).unwrap();
        store.save(BASIS, &full(1)).unwrap();
        let whole = fs::read(store.path()).unwrap();
        let refused = |bytes: &[u8]| {
            fs::write(store.path(), bytes).unwrap();
            let error = Store::open(dir.path(), None).unwrap_err().to_string();
            assert_eq!(fs::read(store.path()).unwrap(), bytes, "it stays as it is");
            error
        };
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let error = refused(&bytes);
            assert!(error.contains("is damaged") || error.contains("is of a newer Circlet"), "byte {at}: {error}");
            let error = refused(&whole[..at]);
            assert!(error.contains("is damaged") && error.contains("move it away"), "{at} bytes: {error}");
        }
        let newer = String::from_utf8(whole).unwrap().replacen("{\"format\":1,", "{\"format\":2,", 1);
        assert!(
            refused(newer.as_bytes())
                .ends_with("is of a newer Circlet (format 2, this one knows 1); start that version")
        );
        let strange = sealed::seal(FORMAT, "{\"epoch\":1,\"era\":2}");
        assert!(refused(&strange).contains("is damaged"));
    }
}
