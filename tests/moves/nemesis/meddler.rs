//! Somebody who does to a node what a careless move would do: it must be found out.

use fastrand::Rng;

use super::{Nemesis, anyone};
use crate::{
    moves::{play::Play, scene::Scene},
    support::resp::Value,
};

/// Copies what a node holds, and puts it back over what clients have written since, or deleted.
#[derive(Debug)]
pub struct Meddler;

impl Nemesis for Meddler {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let member = &scene.members[anyone(scene, rng)];
        let mut node = member.redis.client();
        let keys: Vec<String> = node.value("KEYS [rs]e[gt]*").list().into_iter().map(Value::text).collect();
        play.note(&format!("somebody copies {} keys of {}", keys.len(), member.label));
        let copies: Vec<Value> = keys.iter().map(|key| Value::of(&node.call(&["DUMP", key]))).collect();
        play.wait_for(600);
        for (key, copy) in keys.iter().zip(copies) {
            if let Value::Bulk(bytes) = copy {
                node.call(&[b"RESTORE", key.as_bytes(), b"0", &bytes, b"REPLACE"]);
            }
        }
        play.note("and puts them back");
    }
}
