//! Keys that nobody works on: so many that a move takes its time, and each must be found again where it belongs.

use super::keys::{DBS, large};
use crate::support::{
    Client,
    resp::{self, Value},
};

/// How many of them, and how many fields in the large hash.
#[derive(Clone, Copy, Debug)]
pub struct Ballast {
    pub keys: usize,
    pub fields: usize,
}

/// Requests that are sent at a time.
const BATCH: usize = 500;

impl Ballast {
    /// Writes them, for `era`.
    pub fn load(&self, client: &mut Client, era: u16) {
        for db in DBS {
            client.expect(&format!("SELECT {db}"), "+OK\r\n");
            let keys: Vec<usize> = (0..self.keys).filter(|&at| db_of(at) == db).collect();
            for batch in keys.chunks(BATCH) {
                let mut bytes = Vec::new();
                batch
                    .iter()
                    .for_each(|&at| resp::request(&mut bytes, &["SET".to_owned(), key(era, at), content(era, at)]));
                for reply in client.pipeline(&bytes, batch.len()) {
                    assert_eq!(reply, b"+OK\r\n");
                }
            }
            let fields: Vec<usize> = (0..self.fields).collect();
            for batch in fields.chunks(BATCH) {
                let mut words = vec!["HSET".to_owned(), large(era)];
                batch.iter().for_each(|&at| words.extend([format!("ballast:{at}"), content(era, at)]));
                assert_eq!(client.call(&words), format!(":{}\r\n", batch.len()).into_bytes());
            }
        }
    }

    /// Every key, with its db.
    pub fn all(&self, era: u16) -> impl Iterator<Item = (u8, String, String)> {
        (0..self.keys).map(move |at| (db_of(at), key(era, at), content(era, at)))
    }

    /// Checks the large hash as the node `client` leads to has it.
    pub fn check_fields(&self, client: &mut Client, era: u16) {
        for db in DBS {
            client.expect(&format!("SELECT {db}"), "+OK\r\n");
            let mut words = vec!["HMGET".to_owned(), large(era)];
            words.extend((0..self.fields).map(|at| format!("ballast:{at}")));
            let reply = Value::of(&client.call(&words));
            for (at, value) in reply.list().into_iter().enumerate() {
                assert_eq!(
                    *value,
                    Value::Bulk(content(era, at).into_bytes()),
                    "field {at} of {} in db {db}",
                    large(era)
                );
            }
        }
    }
}

fn db_of(at: usize) -> u8 {
    if at % 4 == 3 { DBS[1] } else { DBS[0] }
}

fn key(era: u16, at: usize) -> String {
    format!("ballast:{era}:{at}")
}

fn content(era: u16, at: usize) -> String {
    format!("what ballast {at} of era {era} holds, and {}", "nothing else ".repeat(at % 8))
}
