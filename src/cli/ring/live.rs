//! The ring of a Circlet that runs, as its CIRCLET RING and CIRCLET WHERE tell it.
//!
//! The ring is built here once more from what it says, for `--plan`, and compared with the shares that it says: two
//! versions that spread keys differently are found out. The ways of keys are its own word. Io: asks it.

use std::path::Path;

use redis_protocol::resp2::types::OwnedFrame;

use crate::{
    cli::remote::{Fields, Remote, items},
    config::{Config, Distribution},
    traffic::route::{KeyHash, Node, Ring, Way, hash_tag::Tag, way::Step},
};

/// Keys that are asked for at once.
const KEYS: usize = 500;

/// What it said.
pub(super) struct Live {
    /// Its nodes and how keys are spread over them; everything else is the default.
    pub(super) config: Config,
    /// Their ring.
    pub(super) ring: Ring,
    /// The ways of the keys.
    pub(super) ways: Vec<Way>,
    /// Nodes that are left out for now, since they are down.
    pub(super) out: Vec<String>,
}

/// Asks the Circlet at `address`.
pub(super) fn ask(address: &str, password_file: Option<&Path>, keys: &[&[u8]]) -> Result<Live, String> {
    let strange = || format!("--at {address}: its answer is not understood; is it a newer version?");
    let mut remote = Remote::connect(address, password_file)?;
    let told = Fields::of(remote.ask(&[b"CIRCLET", b"RING"])?);
    let (config, shares) = read_ring(&told).ok_or_else(strange)?;
    let ring = config.ring().map_err(|error| format!("--at {address}: {error}"))?;
    if ring.shares().iter().zip(&shares).any(|(own, told)| (own - told).abs() > 1e-6) {
        return Err(format!("--at {address}: it spreads keys differently from this version; use its own circlet ring"));
    }
    let mut ways = Vec::new();
    for part in keys.chunks(KEYS) {
        let words: Vec<&[u8]> = [&b"CIRCLET"[..], b"WHERE"].into_iter().chain(part.iter().copied()).collect();
        for way in items(remote.ask(&words)?) {
            ways.push(read_way(&Fields::of(way)).ok_or_else(strange)?);
        }
    }
    let out = told.list("out").iter().filter_map(text).collect();
    Ok(Live { config, ring, ways, out })
}

/// Nodes and scheme of CIRCLET RING, and the nodes' shares.
fn read_ring(told: &Fields) -> Option<(Config, Vec<f64>)> {
    let mut config = Config::default();
    match told.text("distribution")? {
        "xxh3" => config.points_per_weight = told.number("points")?,
        "random" => config.distribution = Distribution::Random,
        other => {
            config.distribution = match other {
                "ketama" => Distribution::Ketama,
                "modula" => Distribution::Modula,
                _ => return None,
            };
            let name = told.text("hash")?;
            config.key_hash = KeyHash::NAMES.iter().find(|(known, _)| *known == name)?.1;
            config.hash_tag = match *told.bytes("hash_tag")? {
                [open, close] => Some(Tag { open, close }),
                _ => None,
            };
        }
    }
    let mut shares = Vec::new();
    for node in told.list("nodes") {
        let (node, share) = read_node(node)?;
        config.nodes.push(node);
        shares.push(share);
    }
    Some((config, shares))
}

fn text(frame: &OwnedFrame) -> Option<String> {
    match frame {
        OwnedFrame::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

fn read_node(frame: OwnedFrame) -> Option<(Node, f64)> {
    let node = Fields::of(frame);
    let read = Node {
        place: node.text("place").map(str::to_owned),
        weight: node.number("weight")?,
        ..Node::new(node.text("name")?, node.text("address")?.parse().ok()?)
    };
    Some((read, node.number("share")?))
}

/// One key of CIRCLET WHERE.
fn read_way(told: &Fields) -> Option<Way> {
    let key = told.bytes("key")?.to_vec();
    let step = if let Some(slot) = told.text("slot") {
        let (slot, of) = slot.split_once(" of ")?;
        Step::Slot { slot: slot.parse().ok()?, of: of.parse().ok()? }
    } else if let Some(arc) = told.text("arc") {
        let (first, last) = arc.split_once('-')?;
        Step::Point { at: hexadecimal(told.text("point")?)?, first: hexadecimal(first)?, last: hexadecimal(last)? }
    } else {
        Step::Any
    };
    let node = told.text("node").map(|name| (name.to_owned(), told.text("address").unwrap_or_default().to_owned()));
    let hashed = told.bytes("hash_tag").map_or_else(|| key.clone(), <[u8]>::to_vec);
    Some(Way { key, hashed, hash: told.text("hash").unwrap_or_default().to_owned(), step, node })
}

fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}
