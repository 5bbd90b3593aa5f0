//! A state as JSON, and back. Pure.
//!
//! These are the names and shapes on the disk; they change only together with the format. A field that is not known is an
//! error: nothing of a state is passed over. Weights stand as text, since a JSON reader may round numbers.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{Change, Listed, Member, Phase, Purge, State, StateError};
use crate::{
    config::{self, Credentials},
    control::rebalance::words,
    traffic::{
        route::{Address, KeyHash, Scheme, hash_tag::Tag, ring::Hashing},
        settings::Password,
    },
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptState {
    epoch: u64,
    next_id: u64,
    ring: KeptScheme,
    baseline: Vec<KeptListed>,
    members: Vec<KeptMember>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    out: Vec<String>,
    change: Option<KeptChange>,
    queue: Vec<Vec<String>>,
    purges: Vec<KeptPurge>,
    run_ids: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptScheme {
    distribution: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    points: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash_tag: Option<[u8; 2]>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptListed {
    name: String,
    address: String,
    weight: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptMember {
    name: String,
    place: String,
    address: String,
    weight: String,
    credentials: KeptCredentials,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum KeptCredentials {
    /// None so far; the configuration may give some to the node of this name.
    None,
    /// Those that the configuration gives to the node of this name.
    Configured,
    Own {
        username: Option<String>,
        password: Option<String>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptChange {
    id: u64,
    text: String,
    next: Vec<KeptMember>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    out: Vec<String>,
    lost: Vec<String>,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    copies: bool,
    parts: u32,
    done: Vec<u32>,
    part: u32,
    phase: KeptPhase,
    nonce: String,
    sets: Vec<String>,
    back: bool,
    #[serde(default)]
    aborted: bool,
    paused: bool,
    rate: Option<u64>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field")]
fn is_yes(said: &bool) -> bool {
    *said
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeptPhase {
    Prepare,
    Moving,
    Committed,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptPurge {
    change: u64,
    node: KeptMember,
}

/// Why a body is no state.
#[derive(Debug)]
pub(super) enum Why {
    /// It is not what was written.
    Damaged(String),
    /// The configuration does not say what a node of this name is told.
    Credentials(String),
}

impl Why {
    /// As an error about the file at `path`.
    pub(super) fn at(self, path: &Path) -> StateError {
        let path = path.to_path_buf();
        match self {
            Self::Damaged(what) => StateError::Damaged { path, what },
            Self::Credentials(name) => StateError::Credentials { path, name },
        }
    }
}

type Configured = HashMap<String, Credentials>;

/// The state as JSON; credentials that equal those in `configured` are left out.
pub(super) fn write(state: &State, configured: &Configured) -> String {
    let members = |list: &[Member]| list.iter().map(|member| kept(member, configured)).collect::<Vec<_>>();
    let kept = KeptState {
        epoch: state.epoch,
        next_id: state.next_id,
        ring: kept_scheme(&state.scheme),
        baseline: state.baseline.iter().map(kept_listed).collect(),
        members: members(&state.members),
        out: state.out.clone(),
        change: state.change.as_ref().map(|change| kept_change(change, members(&change.next))),
        queue: state.queue.iter().map(|wishes| words::write(wishes)).collect(),
        purges: state
            .purges
            .iter()
            .map(|purge| KeptPurge { change: purge.change, node: kept(&purge.node, configured) })
            .collect(),
        run_ids: state.run_ids.clone(),
    };
    // Only texts, numbers and lists: nothing of it cannot be JSON.
    serde_json::to_string_pretty(&kept).unwrap_or_default()
}

/// The state of what [`write()`] gave.
pub(super) fn read(body: &str, configured: &Configured) -> Result<State, Why> {
    let kept: KeptState = serde_json::from_str(body).map_err(|error| Why::Damaged(error.to_string()))?;
    let members = |list: Vec<KeptMember>| -> Result<Vec<Member>, Why> {
        list.into_iter().map(|one| member(one, configured)).collect()
    };
    let words =
        |line: Vec<String>| words::read(&line.iter().map(String::as_bytes).collect::<Vec<_>>()).map_err(Why::Damaged);
    Ok(State {
        epoch: kept.epoch,
        next_id: kept.next_id,
        scheme: scheme(&kept.ring).ok_or_else(|| Why::Damaged("its ring is none".to_owned()))?,
        baseline: kept.baseline.into_iter().map(listed).collect::<Result<_, _>>()?,
        members: members(kept.members)?,
        out: kept.out,
        change: match kept.change {
            Some(mut one) => {
                let next = members(std::mem::take(&mut one.next))?;
                Some(change(one, next))
            }
            None => None,
        },
        queue: kept.queue.into_iter().map(words).collect::<Result<_, _>>()?,
        purges: kept
            .purges
            .into_iter()
            .map(|purge| Ok(Purge { change: purge.change, node: member(purge.node, configured)? }))
            .collect::<Result<_, Why>>()?,
        run_ids: kept.run_ids,
    })
}

fn kept(member: &Member, configured: &Configured) -> KeptMember {
    let Credentials { username, password } = &member.credentials;
    let credentials = if member.credentials == Credentials::default() {
        KeptCredentials::None
    } else if configured.get(&member.name) == Some(&member.credentials) {
        KeptCredentials::Configured
    } else {
        KeptCredentials::Own { username: username.clone(), password: password.as_ref().map(|text| text.to_string()) }
    };
    KeptMember {
        name: member.name.clone(),
        place: member.place.clone(),
        address: member.address.to_string(),
        weight: member.weight.to_string(),
        credentials,
    }
}

fn member(kept: KeptMember, configured: &Configured) -> Result<Member, Why> {
    let credentials = match kept.credentials {
        KeptCredentials::Own { username, password } => {
            Credentials { username, password: password.as_deref().map(Password::from) }
        }
        KeptCredentials::None => configured.get(&kept.name).cloned().unwrap_or_default(),
        KeptCredentials::Configured => match configured.get(&kept.name) {
            Some(credentials) => credentials.clone(),
            None => return Err(Why::Credentials(kept.name)),
        },
    };
    let (address, weight) = (address(&kept.address)?, weight(&kept.weight)?);
    Ok(Member { name: kept.name, place: kept.place, address, weight, credentials })
}

fn kept_listed(listed: &Listed) -> KeptListed {
    KeptListed { name: listed.name.clone(), address: listed.address.to_string(), weight: listed.weight.to_string() }
}

fn listed(kept: KeptListed) -> Result<Listed, Why> {
    let (address, weight) = (address(&kept.address)?, weight(&kept.weight)?);
    Ok(Listed { name: kept.name, address, weight })
}

fn address(text: &str) -> Result<Address, Why> {
    text.parse().map_err(|_| Why::Damaged(format!("'{text}' is no address")))
}

fn weight(text: &str) -> Result<f64, Why> {
    config::node_weight(text).map_err(|_| Why::Damaged(format!("'{text}' is no weight")))
}

fn kept_change(change: &Change, next: Vec<KeptMember>) -> KeptChange {
    KeptChange {
        id: change.id,
        text: change.text.clone(),
        next,
        out: change.out.clone(),
        lost: change.lost.clone(),
        copies: change.copies,
        parts: change.parts,
        done: change.done.clone(),
        part: change.part,
        phase: match change.phase {
            Phase::Prepare => KeptPhase::Prepare,
            Phase::Moving => KeptPhase::Moving,
            Phase::Committed => KeptPhase::Committed,
        },
        nonce: change.nonce.clone(),
        sets: change.sets.clone(),
        back: change.back,
        aborted: change.aborted,
        paused: change.paused,
        rate: change.rate,
    }
}

fn change(kept: KeptChange, next: Vec<Member>) -> Change {
    Change {
        id: kept.id,
        text: kept.text,
        next,
        out: kept.out,
        lost: kept.lost,
        copies: kept.copies,
        parts: kept.parts,
        done: kept.done,
        part: kept.part,
        phase: match kept.phase {
            KeptPhase::Prepare => Phase::Prepare,
            KeptPhase::Moving => Phase::Moving,
            KeptPhase::Committed => Phase::Committed,
        },
        nonce: kept.nonce,
        sets: kept.sets,
        back: kept.back,
        aborted: kept.aborted,
        paused: kept.paused,
        rate: kept.rate,
    }
}

fn kept_scheme(scheme: &Scheme) -> KeptScheme {
    let (points, hashing) = match scheme {
        Scheme::Xxh3 { points_per_weight } => (Some(*points_per_weight), None),
        Scheme::Ketama(hashing) | Scheme::Modula(hashing) => (None, Some(hashing)),
        Scheme::Random => (None, None),
    };
    KeptScheme {
        distribution: scheme.name().to_owned(),
        points,
        hash: hashing.map(|hashing| hashing.hash.name().to_owned()),
        hash_tag: hashing.and_then(|hashing| hashing.tag).map(|tag| [tag.open, tag.close]),
    }
}

fn scheme(kept: &KeptScheme) -> Option<Scheme> {
    let hashing = || {
        let name = kept.hash.as_deref()?;
        let (_, hash) = KeyHash::NAMES.iter().find(|(known, _)| *known == name)?;
        Some(Hashing { hash: *hash, tag: kept.hash_tag.map(|[open, close]| Tag { open, close }) })
    };
    match kept.distribution.as_str() {
        "xxh3" => Some(Scheme::Xxh3 { points_per_weight: kept.points? }),
        "ketama" => hashing().map(Scheme::Ketama),
        "modula" => hashing().map(Scheme::Modula),
        "random" => Some(Scheme::Random),
        _ => None,
    }
}
