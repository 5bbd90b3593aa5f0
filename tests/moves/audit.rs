//! The nodes themselves, when all is over: every key on one node, its owner, and nothing that nobody wrote.

use std::collections::{BTreeMap, HashMap};

use super::{
    ballast::Ballast,
    keys::{Class, DBS, Object},
    scene::Scene,
};
use crate::support::{
    Client,
    resp::{self, Value},
};

/// Requests that are sent at a time.
const BATCH: usize = 500;

/// What is expected.
#[derive(Debug)]
pub struct Expected<'a> {
    pub ballast: Ballast,
    /// The era of which all ballast must be there.
    pub era: u16,
    /// Whether it was flushed away.
    pub wiped: bool,
    /// The objects that were read last, through Circlet.
    pub objects: &'a [Object],
}

/// Fails unless the nodes hold what is expected.
pub fn nodes(scene: &Scene, expected: &Expected<'_>) {
    let (members, ring) = scene.ring();
    let mut found: HashMap<(u8, String), Vec<&str>> = HashMap::new();
    for member in &scene.members {
        let mut client = member.redis.client();
        for (db, key) in keys(&mut client) {
            if key.starts_with("circlet:") {
                // What a probe has left where it was cut off ends by itself.
                client.expect(&format!("SELECT {db}"), "+OK\r\n");
                let ends = client.value(&format!("PTTL {key}")).number() != -1;
                assert!(ends, "{key} is left on {} in db {db}", member.label);
                continue;
            }
            found.entry((db, key)).or_default().push(&member.label);
        }
    }
    let mut misplaced = BTreeMap::new();
    for ((db, key), places) in &found {
        let owner = members[ring.owner_of(key.as_bytes()).index()].label.as_str();
        if *places != [owner] && !(scene.copies_left && places.contains(&owner)) {
            misplaced.insert((*db, key), (places, owner));
        }
    }
    let few: Vec<_> = misplaced.iter().take(10).collect();
    assert!(misplaced.is_empty(), "{} of {} keys are not on just their owner: {few:#?}", misplaced.len(), found.len());
    if !expected.wiped {
        ballast(scene, expected);
    }
    objects(scene, expected.objects);
}

/// Every key of a node, with its db.
fn keys(client: &mut Client) -> Vec<(u8, String)> {
    let mut keys = Vec::new();
    for db in 0..16 {
        client.expect(&format!("SELECT {db}"), "+OK\r\n");
        let reply = client.value("KEYS *");
        keys.extend(reply.list().into_iter().map(|key| (db, key.text())));
    }
    keys
}

/// Every key of the ballast, with its content, at its owner.
fn ballast(scene: &Scene, expected: &Expected<'_>) {
    let (members, ring) = scene.ring();
    let mut parts: HashMap<(usize, u8), Vec<(String, String)>> = HashMap::new();
    for (db, key, content) in expected.ballast.all(expected.era) {
        parts.entry((ring.owner_of(key.as_bytes()).index(), db)).or_default().push((key, content));
    }
    for ((at, db), keys) in parts {
        let mut client = members[at].redis.client();
        client.expect(&format!("SELECT {db}"), "+OK\r\n");
        for batch in keys.chunks(BATCH) {
            let mut bytes = Vec::new();
            batch.iter().for_each(|(key, _)| resp::request(&mut bytes, &["GET", key]));
            for ((key, content), reply) in batch.iter().zip(client.pipeline(&bytes, batch.len())) {
                assert_eq!(Value::of(&reply), Value::Bulk(content.clone().into()), "{key} in db {db}");
            }
        }
    }
    let mut client = scene.client();
    expected.ballast.check_fields(&mut client, expected.era);
}

/// What Circlet says of every object is what its owner holds.
fn objects(scene: &Scene, objects: &[Object]) {
    let (members, ring) = scene.ring();
    let mut through = scene.client();
    let mut at_nodes: Vec<Client> = members.iter().map(|member| member.redis.client()).collect();
    for db in DBS {
        for client in at_nodes.iter_mut().chain([&mut through]) {
            client.expect(&format!("SELECT {db}"), "+OK\r\n");
        }
        for object in objects.iter().filter(|object| object.db == db && object.class != Class::Expiring) {
            let (key, second) = (object.key(), object.second());
            let line = match object.class {
                Class::Set => format!("SMEMBERS {key}"),
                Class::Queue => format!("LRANGE {key} 0 -1"),
                Class::Field => format!("HGET {key} {}", object.name()),
                Class::Pair => format!("MGET {key} {second}"),
                _ => format!("GET {key}"),
            };
            let at_node = at_nodes[ring.owner_of(key.as_bytes()).index()].ask(&line);
            assert_eq!(at_node, through.ask(&line), "{line} in db {db}: at its owner, and through Circlet");
        }
    }
}
