//! `CONFIG GET`: the parameters of one node, and Circlet's own options under `circlet.`.
//!
//! The nodes are taken to be set alike, as CONFIG SET leaves them; where they differ it is the first node that is up whose
//! values are shown; where Circlet does itself what a parameter is about (SLOWLOG, LATENCY, CLUSTER), Circlet's value.
//! Passwords of nodes are shown to nobody: they are what Circlet logs in with. Pure.

use super::{Next, error_of, first_failed, pairs};
use crate::traffic::{
    merge::{Aggregate, Context},
    resp::encode,
};

/// Parameters of a node whose values are secret.
const SECRETS: [&str; 4] = ["requirepass", "masterauth", "tls-key-file-pass", "tls-client-key-file-pass"];

/// `CONFIG GET` under way.
#[derive(Debug)]
pub struct ConfigGet {
    /// Circlet's own options that were asked for, and their values.
    pub own: Vec<(String, String)>,
    /// Parameters that Circlet follows itself, and its values: shown instead of the node's.
    pub followed: Vec<(&'static str, String)>,
}

impl ConfigGet {
    pub(super) fn next(&mut self, round: &Aggregate, cx: &Context<'_>) -> Next {
        if let Some(part) = first_failed(round) {
            return Next::Answer(error_of(round, part, cx, ""));
        }
        let mut rows: Vec<(&[u8], &[u8])> = round.parts.iter().flat_map(|part| pairs(round.bytes(part))).collect();
        for (name, value) in &mut rows {
            if SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes())) {
                *value = b"";
            }
            if let Some((_, own)) = self.followed.iter().find(|(other, _)| name.eq_ignore_ascii_case(other.as_bytes()))
            {
                *value = own.as_bytes();
            }
        }
        rows.extend(self.own.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let mut out = Vec::new();
        encode::map_header(&mut out, rows.len(), round.proto);
        for (name, value) in rows {
            encode::bulk(&mut out, name);
            encode::bulk(&mut out, value);
        }
        Next::Answer(out)
    }
}
