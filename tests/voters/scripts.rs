//! Each script of the protocol against a real node: what it answers, and what it leaves there.

use bytes::Bytes;
use circlet::{
    control::lock::{
        keeper::{Held, Mine, Said, Script, Token, slot},
        script,
    },
    traffic::lock::LockName,
};
use redis_protocol::resp2::decode::decode_bytes;

use crate::support::{Client, Redis};

const ONE: Token = Token([1; 16]);
const TWO: Token = Token([0xfe; 16]);
const RUN: &str = "run-1";

/// A node that has its marker, and whoever asks it.
struct Node {
    redis: Redis,
    client: Client,
}

fn lock(name: &'static [u8]) -> LockName {
    LockName { db: 0, name: Bytes::from_static(name) }
}

fn take(lock: &LockName, token: Token, ttl_ms: u64) -> Script {
    let value = Bytes::from_static(b"\0va\r\nlue");
    Script::Take { lock: lock.clone(), run_id: RUN.into(), token, value, ttl_ms }
}

fn fence(lock: &LockName, token: Token, fence: u64) -> Script {
    Script::Fence { lock: lock.clone(), run_id: RUN.into(), token, fence }
}

fn extend(lock: &LockName, proof: Mine, or_take: Option<(Bytes, u64)>, holds: Option<u32>) -> Script {
    Script::Extend { lock: lock.clone(), run_id: RUN.into(), proof, ttl_ms: 50_000, or_take, holds }
}

fn release(lock: &LockName, proof: Option<Mine>) -> Script {
    Script::Release { lock: lock.clone(), proof }
}

fn read(lock: &LockName) -> Script {
    Script::Read { lock: lock.clone(), run_id: RUN.into() }
}

impl Node {
    fn start() -> Self {
        let redis = Redis::start();
        let mut node = Self { client: redis.client(), redis };
        for lua in script::texts() {
            assert_eq!(node.client.call(&["SCRIPT", "LOAD", lua]).first(), Some(&b'$'));
        }
        assert_eq!(node.ask(&Script::Admit { run_id: RUN.into() }), Said::Done);
        node
    }

    /// Asks for a script; its clock must be the node's.
    fn ask(&mut self, asked: &Script) -> Said {
        let mut out = Vec::new();
        script::write(asked, &mut out);
        self.client.send(&out);
        let frame = Bytes::from(self.client.frame());
        let (frame, _) = decode_bytes(&frame).unwrap().unwrap();
        let (said, clock) = script::read(asked, frame).expect("an answer that makes sense");
        if let Some(clock) = clock {
            let now = self.client.value("TIME");
            let now = now.list()[0].number() as u64 * 1_000_000 + now.list()[1].number() as u64;
            assert!(clock <= now && now - clock < 60_000_000, "{clock} is the node's time, {now}");
        }
        said
    }

    /// A lock as it is there.
    #[track_caller]
    fn held(&mut self, lock: &LockName) -> Option<Held> {
        match self.ask(&read(lock)) {
            Said::Key { mine: false, held, .. } => held,
            said => panic!("{said:?}"),
        }
    }
}

#[test]
fn a_lock_is_taken_once_and_whoever_comes_later_is_told_whose_it_is() {
    let (mut node, lock) = (Node::start(), lock(b"or\r\nders"));
    assert_eq!(node.held(&lock), None);
    let Said::Key { mine: true, held: Some(own), fence: 0 } = node.ask(&take(&lock, ONE, 30_000)) else { panic!() };
    assert_eq!((own.token, own.pttl_ms, own.holds), (ONE, 30_000, 1));
    let Said::Key { mine: false, held: Some(held), fence: 0 } = node.ask(&take(&lock, TWO, 1_000)) else { panic!() };
    assert_eq!((held.token, &held.value[..], held.fence, held.holds), (ONE, &b"\0va\r\nlue"[..], 0, 1));
    assert!(held.pttl_ms > 20_000 && held.pttl_ms <= 30_000, "{held:?}");
    // A lock of another db is another one, and db 0 has all of them.
    let other = LockName { db: 7, ..lock.clone() };
    assert!(matches!(node.ask(&take(&other, TWO, 1_000)), Said::Key { mine: true, .. }));
    let keys = node.client.value("KEYS circlet:lock*");
    let mut keys: Vec<String> = keys.list().iter().map(|key| key.text()).collect();
    keys.sort();
    assert_eq!(keys, ["circlet:lock:or\r\nders", "circlet:lock@7:or\r\nders"]);
}

#[test]
fn a_fence_is_accepted_only_if_it_is_larger_up_to_2_to_the_53() {
    let (mut node, lock) = (Node::start(), lock(b"a"));
    node.ask(&take(&lock, ONE, 30_000));
    let large = (1 << 53) - 1;
    for (asked, accepted, stored) in [
        (5, true, 5),
        (5, false, 5),
        (4, false, 5),
        (large - 1, true, large - 1),
        (large, true, large),
        (large, false, large),
    ] {
        assert_eq!(node.ask(&fence(&lock, ONE, asked)), Said::Fence { accepted, stored }, "{asked}");
    }
    assert_eq!(node.held(&lock).unwrap().fence, large);
    // The counter of the lock's slot, whoever has the lock; its key keeps its own.
    assert_eq!(node.ask(&fence(&lock, TWO, large + 1)), Said::Fence { accepted: true, stored: large + 1 });
    assert_eq!(node.held(&lock).unwrap().fence, large);
    let stored = node.client.value(&format!("HGET circlet:fences {}", slot(&lock)));
    assert_eq!(stored.text(), (large + 1).to_string());
    // It outlives the lock.
    assert_eq!(node.ask(&release(&lock, Some(Mine::Token(ONE)))), Said::Released(true));
    assert!(matches!(node.ask(&take(&lock, TWO, 1_000)), Said::Key { mine: true, fence, .. } if fence == large + 1));
}

#[test]
fn an_extension_is_of_ones_own_key_or_of_none() {
    let (mut node, lock) = (Node::start(), lock(b"a"));
    let mine = |said: Said| match said {
        Said::Key { mine, .. } => mine,
        said => panic!("{said:?}"),
    };
    let value = |value: &'static [u8]| Mine::Value(Bytes::from_static(value));
    assert!(!mine(node.ask(&extend(&lock, Mine::Token(ONE), None, None))), "nothing is there");
    assert_eq!(node.held(&lock), None);
    node.ask(&take(&lock, ONE, 1_000));
    assert!(!mine(node.ask(&extend(&lock, Mine::Token(TWO), Some((Bytes::new(), 9)), Some(2)))), "another's");
    assert!(!mine(node.ask(&extend(&lock, value(b"value"), None, None))), "another value");
    assert!(node.held(&lock).unwrap().pttl_ms <= 1_000);
    assert!(mine(node.ask(&extend(&lock, value(b"\0va\r\nlue"), None, None))));
    assert!(mine(node.ask(&extend(&lock, Mine::Token(ONE), None, Some(3)))));
    let held = node.held(&lock).unwrap();
    assert!(held.pttl_ms > 40_000 && held.holds == 3, "{held:?}");
    // In a window: where there is none it is taken, with its fence, and the counter goes with it.
    node.ask(&release(&lock, None));
    let taken = extend(&lock, Mine::Token(ONE), Some((Bytes::from_static(b"v"), 77)), Some(2));
    assert!(mine(node.ask(&taken)));
    let held = node.held(&lock).unwrap();
    assert_eq!((held.token, &held.value[..], held.fence, held.holds), (ONE, &b"v"[..], 77, 2));
    assert_eq!(node.ask(&fence(&lock, ONE, 77)), Said::Fence { accepted: false, stored: 77 });
    // A larger counter stays.
    node.ask(&fence(&lock, TWO, 90));
    node.ask(&release(&lock, None));
    assert!(matches!(node.ask(&taken), Said::Key { mine: true, fence: 90, .. }));
}

#[test]
fn a_release_compares_and_tells_those_that_wait() {
    let (mut node, lock) = (Node::start(), lock(b"a"));
    let mut ear = node.redis.client();
    ear.ask("SUBSCRIBE circlet:free:0:a");
    node.ask(&take(&lock, ONE, 30_000));
    assert_eq!(node.ask(&release(&lock, Some(Mine::Token(TWO)))), Said::Released(false));
    assert_eq!(node.ask(&release(&lock, Some(Mine::Value(Bytes::new())))), Said::Released(false));
    assert!(node.held(&lock).is_some());
    assert_eq!(node.ask(&release(&lock, Some(Mine::Token(ONE)))), Said::Released(true));
    assert_eq!(ear.frame(), b"*3\r\n$7\r\nmessage\r\n$16\r\ncirclet:free:0:a\r\n$0\r\n\r\n");
    for proof in [Some(Mine::Token(ONE)), Some(Mine::Value(Bytes::from_static(b"\0va\r\nlue"))), None] {
        assert_eq!(node.ask(&release(&lock, proof)), Said::Released(false), "nothing is there");
    }
    node.ask(&take(&lock, TWO, 30_000));
    assert_eq!(node.ask(&release(&lock, Some(Mine::Value(Bytes::from_static(b"\0va\r\nlue"))))), Said::Released(true));
    node.ask(&take(&lock, TWO, 30_000));
    assert_eq!(node.ask(&release(&lock, None)), Said::Released(true), "whoever's it is");
}

#[test]
fn without_the_marker_of_this_process_nothing_is_done() {
    let (mut node, lock) = (Node::start(), lock(b"a"));
    node.ask(&take(&lock, ONE, 30_000));
    let all = [
        take(&lock, TWO, 1_000),
        fence(&lock, ONE, 5),
        extend(&lock, Mine::Token(ONE), Some((Bytes::new(), 9)), Some(2)),
        read(&lock),
    ];
    for marker in ["SET circlet:admit run-2", "DEL circlet:admit", "FLUSHALL"] {
        node.client.ask(marker);
        for script in &all {
            assert_eq!(node.ask(script), Said::NotAdmitted, "{marker}: {script:?}");
        }
    }
    node.client.expect("DBSIZE", ":0\r\n");
    // A release is a release, whatever the node has forgotten.
    node.client.ask("HSET circlet:lock:a t 01010101010101010101010101010101");
    assert_eq!(node.ask(&release(&lock, Some(Mine::Token(ONE)))), Said::Released(true));
}

#[test]
fn what_somebody_else_has_written_is_no_lock_and_no_other_ones_answer() {
    let (mut node, lock) = (Node::start(), lock(b"a"));
    for (write, word) in [("SET circlet:lock:a 1", "WRONGTYPE"), ("HSET circlet:lock:a f 1", "delete it there")] {
        node.client.ask("DEL circlet:lock:a");
        node.client.ask(write);
        for script in [take(&lock, ONE, 1_000), read(&lock), extend(&lock, Mine::Token(ONE), None, None)] {
            let said = node.ask(&script);
            assert!(matches!(&said, Said::Error(line) if line.contains(word)), "{write}: {said:?}");
        }
    }
    // One that somebody made last for ever is held, for long.
    node.client.ask("DEL circlet:lock:a");
    node.ask(&take(&lock, ONE, 1_000));
    node.client.expect("PERSIST circlet:lock:a", ":1\r\n");
    assert!(node.held(&lock).unwrap().pttl_ms > 1_000_000);
}
