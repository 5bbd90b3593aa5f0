//! Commands about locks: what is asked of the control plane, when, and what becomes of the session meanwhile.

use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::traffic::{
    client::Record,
    control::Ask,
    lock::{Form, LockAsk, LockName, Proof, Want},
};

mod prefix;

/// A control plane that only listens.
#[derive(Debug, Default)]
struct Desk(Mutex<Vec<Ask>>);

impl Control for Desk {
    fn ask(&self, ask: Ask) {
        self.0.lock().unwrap().push(ask);
    }

    fn surplus(&self, _: u32) -> u64 {
        0
    }
}

/// A world with a control plane that is asked for locks.
struct Locks {
    world: World,
    desk: Arc<Desk>,
}

impl Locks {
    fn new(settings: Settings) -> Self {
        let mut world = World::new(settings);
        let desk = Arc::new(Desk::default());
        world.core.answer_to(Arc::clone(&desk) as Arc<dyn Control>);
        Self { world, desk }
    }

    /// What was asked of the control plane since the last call.
    fn asked(&self) -> Vec<Ask> {
        std::mem::take(&mut self.desk.0.lock().unwrap())
    }

    /// The only thing that was asked: for a lock.
    fn wish(&self) -> LockAsk {
        match self.asked().as_slice() {
            [Ask::Lock(ask)] => ask.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn say(&mut self, key: ClientKey, words: &[&str]) {
        self.world.say(key, &command(words));
    }

    /// What a client hears of this at once; nothing is asked.
    fn refused(&mut self, key: ClientKey, words: &[&str]) -> String {
        self.say(key, words);
        assert_eq!(self.asked(), [], "{words:?}");
        self.world.heard(key)
    }

    fn answer(&mut self, to: &LockAsk, text: &str) {
        self.world.core.receive(Message::Answer { to: to.asker, text: text.into() });
    }

    /// Lets sessions go on whose turn it is.
    fn go_on(&mut self) {
        for todo in self.world.core.take_todo() {
            if let Todo::Resume(key) = todo {
                self.world.core.resume_client(key);
            }
        }
    }

    fn is_blocked(&self, key: ClientKey) -> bool {
        self.world.core.client(key).unwrap().record.is_marked(Record::BLOCKED)
    }
}

fn name(db: u32, name: &'static str) -> LockName {
    LockName { db, name: Bytes::from_static(name.as_bytes()) }
}

fn acquire(ttl_ms: u64, wait_ms: u64, value: &'static str, session: bool) -> Want {
    Want::Acquire { ttl_ms, wait_ms, value: Bytes::from_static(value.as_bytes()), session, again: false }
}

const TOKEN: &str = "0123456789abcdef0123456789ABCDEF";

#[test]
fn commands_say_what_is_wanted_with_options_in_any_order() {
    let token = || Proof::Token(Bytes::from_static(TOKEN.as_bytes()));
    let rows: Vec<(Vec<&str>, Want)> = vec![
        (vec!["LOCK.ACQUIRE", "a b", "30000"], acquire(30_000, 0, "", false)),
        (vec!["lock.acquire", "a b", "1", "wait", "5000"], acquire(1, 5_000, "", false)),
        (vec!["LOCK.ACQUIRE", "a b", "60000", "SESSION", "OWNER", "me", "WAIT", "7"], acquire(60_000, 7, "me", true)),
        (vec!["LOCK.ACQUIRE", "a b", "9", "owner", "SESSION"], acquire(9, 0, "SESSION", false)),
        (vec!["LOCK.EXTEND", "a b", TOKEN, "500"], Want::Extend { proof: token(), ttl_ms: 500, more: false }),
        (vec!["LOCK.RELEASE", "a b", TOKEN], Want::Release { proof: Some(token()), once: false }),
        (vec!["LOCK.RELEASE", "a b", "force"], Want::Release { proof: None, once: false }),
        (vec!["LOCK.INFO", "a b"], Want::Info),
    ];
    let mut locks = Locks::new(settings());
    let client = locks.world.client();
    for (words, want) in rows {
        locks.say(client, &words);
        let ask = locks.wish();
        assert_eq!((ask.want.clone(), ask.lock.clone()), (want, name(0, "a b")), "{words:?}");
        assert_eq!((ask.form.clone(), ask.resp3, ask.session), (Form::Lock, false, 1));
        locks.answer(&ask, ":1\r\n");
        assert_eq!(locks.world.heard(client), ":1\r\n");
        locks.go_on();
    }
    for (words, pattern) in [(vec!["LOCK.LIST"], "*"), (vec!["LOCK.LIST", "o*"], "o*")] {
        locks.say(client, &words);
        let ask = locks.wish();
        assert_eq!(ask.want, Want::List { pattern: Bytes::from(pattern) });
        locks.answer(&ask, "*0\r\n");
        locks.world.heard(client);
        locks.go_on();
    }
}

#[test]
fn wrong_arguments_are_told_as_redis_tells_them_and_nothing_is_asked() {
    let mut locks = Locks::new(settings());
    let client = locks.world.client();
    let long = "n".repeat(1_025);
    let not_an_integer = "-ERR value is not an integer or out of range\r\n";
    let rows: &[(&[&str], &str)] = &[
        (&["LOCK.ACQUIRE", "a"], "-ERR wrong number of arguments for 'lock.acquire' command\r\n"),
        (&["LOCK.ACQUIRE", "a", "1s"], not_an_integer),
        (&["LOCK.ACQUIRE", "a", "+1"], not_an_integer),
        (&["LOCK.ACQUIRE", "a", "9223372036854775808"], not_an_integer),
        (&["LOCK.ACQUIRE", "a", "0"], "-ERR invalid expire time in 'lock.acquire' command\r\n"),
        (&["LOCK.ACQUIRE", "a", "-5"], "-ERR invalid expire time in 'lock.acquire' command\r\n"),
        (&["LOCK.ACQUIRE", "a", "1", "WAIT"], "-ERR syntax error\r\n"),
        (&["LOCK.ACQUIRE", "a", "1", "WAIT", "1", "WAIT", "1"], "-ERR syntax error\r\n"),
        (&["LOCK.ACQUIRE", "a", "1", "NX"], "-ERR syntax error\r\n"),
        (&["LOCK.ACQUIRE", "a", "1", "WAIT", "x"], "-ERR timeout is not an integer or out of range\r\n"),
        (&["LOCK.ACQUIRE", "a", "1", "WAIT", "-1"], "-ERR timeout is negative\r\n"),
        (&["LOCK.ACQUIRE", "", "1"], "-ERR a lock needs a name that is not empty\r\n"),
        (&["LOCK.INFO", &long], "-ERR the name of a lock may have 1024 bytes, and this one has 1025\r\n"),
        (&["LOCK.EXTEND", "a", TOKEN, "0"], "-ERR invalid expire time in 'lock.extend' command\r\n"),
        (&["LOCK.LIST", "a", "b"], "-ERR syntax error\r\n"),
    ];
    for (words, expected) in rows {
        assert_eq!(locks.refused(client, words), *expected, "{words:?}");
    }
    let told = locks.refused(client, &["LOCK.ACQUIRE", "a", "60001"]);
    assert!(told.contains("60001 ms is more than lock.max_ttl allows (60000 ms)"), "{told}");
    let told = locks.refused(client, &["LOCK.RELEASE", "a", "token"]);
    assert!(told.contains("32 hexadecimal digits"), "{told}");
    assert!(locks.refused(client, &["LOCK.HELP"]).contains("+LOCK.EXTEND <name> <token> <ttl-ms>\r\n"));
}

#[test]
fn force_is_for_administrators() {
    let mut locks = Locks::new(settings());
    let record = Record::new(9, "192.0.2.1:5000".to_owned(), "l".into(), 0, 0);
    let far = locks.world.core.add_client(Arc::new(record));
    assert!(locks.refused(far, &["LOCK.RELEASE", "a", "FORCE"]).starts_with("-NOPERM only administrators"));
    locks.say(far, &["LOCK.RELEASE", "a", TOKEN]);
    locks.wish();
}

#[test]
fn a_lock_is_asked_for_behind_earlier_replies_and_before_later_requests() {
    let mut locks = Locks::new(settings());
    let (client, key) = (locks.world.client(), locks.world.key(1, 0));
    let get = command(&["GET", &key]);
    let wanted = command(&["LOCK.ACQUIRE", "a", "1000"]);
    locks.world.say(client, &format!("{get}{wanted}{get}"));
    assert_eq!(locks.asked(), [], "a reply is missing");
    assert_eq!(locks.world.asked(1), get);
    locks.world.node_says(1, "$1\r\nv\r\n");
    assert_eq!(locks.world.heard(client), "$1\r\nv\r\n");
    locks.go_on();
    let ask = locks.wish();
    assert_eq!(locks.world.asked(1), "", "nothing overtakes the lock");
    locks.answer(&ask, "*-1\r\n");
    assert_eq!(locks.world.heard(client), "*-1\r\n");
    locks.go_on();
    assert_eq!(locks.world.asked(1), get);
}

#[test]
fn who_waits_is_blocked_and_read_and_who_does_not_is_neither() {
    let mut locks = Locks::new(settings());
    let client = locks.world.client();
    locks.say(client, &["LOCK.ACQUIRE", "a", "1000"]);
    let ask = locks.wish();
    assert!(!locks.is_blocked(client) && !locks.world.core.wants_input(client));
    locks.answer(&ask, "*-1\r\n");
    locks.world.heard(client);
    locks.go_on();
    locks.say(client, &["LOCK.ACQUIRE", "a", "1000", "WAIT", "100"]);
    let ask = locks.wish();
    assert!(locks.is_blocked(client) && locks.world.core.wants_input(client));
    assert_eq!(locks.world.core.counters().blocked, 1);
    let key = locks.world.key(0, 0);
    locks.say(client, &["GET", &key]);
    assert_eq!(locks.world.asked(0), "", "it takes nothing meanwhile");
    locks.answer(&ask, "*-1\r\n");
    assert_eq!(locks.world.heard(client), "*-1\r\n");
    locks.go_on();
    assert!(!locks.is_blocked(client));
    assert_eq!(locks.world.core.counters().blocked, 0);
    assert_eq!(locks.world.asked(0), command(&["GET", &key]));
}

#[test]
fn the_end_of_a_session_and_reset_are_told_once_it_has_asked_for_a_lock() {
    let mut locks = Locks::new(settings());
    let other = locks.world.client();
    locks.world.core.drop_client(other, Closed::ByClient);
    assert_eq!(locks.asked(), [], "it never asked");
    let client = locks.world.client();
    locks.say(client, &["LOCK.ACQUIRE", "a", "1000", "WAIT", "9", "SESSION"]);
    let ask = locks.wish();
    locks.world.core.client_ended(client);
    assert_eq!(locks.asked(), [Ask::LockGone(2)], "who has hung up waits no more");
    locks.answer(&ask, "*-1\r\n");
    assert_eq!(locks.world.core.counters().blocked, 0);
    let client = locks.world.client();
    locks.say(client, &["LOCK.ACQUIRE", "a", "1000", "SESSION"]);
    let ask = locks.wish();
    locks.answer(&ask, "*-1\r\n");
    locks.world.heard(client);
    locks.go_on();
    locks.say(client, &["RESET"]);
    assert_eq!((locks.asked(), locks.world.heard(client)), (vec![Ask::LockGone(3)], "+RESET\r\n".to_owned()));
    locks.world.core.drop_client(client, Closed::ByClient);
    assert_eq!(locks.asked(), [], "nothing is left to be told");
}

#[test]
fn client_unblock_asks_for_an_end_of_the_waiting() {
    let mut locks = Locks::new(settings());
    let (client, other) = (locks.world.client(), locks.world.client());
    locks.say(client, &["LOCK.ACQUIRE", "a", "1000", "WAIT", "9000"]);
    let ask = locks.wish();
    locks.say(other, &["CLIENT", "UNBLOCK", "1"]);
    assert_eq!(locks.asked(), [Ask::LockUnblock { session: 1, error: false }]);
    assert_eq!(locks.world.heard(other), ":1\r\n");
    locks.say(other, &["CLIENT", "UNBLOCK", "1", "ERROR"]);
    assert_eq!(locks.asked(), [Ask::LockUnblock { session: 1, error: true }]);
    locks.world.heard(other);
    locks.answer(&ask, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    locks.world.heard(client);
    locks.go_on();
    locks.say(other, &["CLIENT", "UNBLOCK", "1"]);
    assert_eq!((locks.asked(), locks.world.heard(other)), (vec![], ":0\r\n".to_owned()));
}

#[test]
fn a_transaction_takes_no_lock_and_says_what_to_do() {
    let mut locks = Locks::new(settings());
    let client = locks.world.client();
    locks.say(client, &["MULTI"]);
    locks.world.heard(client);
    let told = locks.refused(client, &["LOCK.ACQUIRE", "a", "1000"]);
    assert!(told.starts_with("-ERR 'lock.acquire' asks a majority") && told.contains("before MULTI"), "{told}");
    assert!(locks.refused(client, &["EXEC"]).starts_with("-EXECABORT"));
}

#[test]
fn the_db_and_the_protocol_are_those_of_the_session() {
    let mut locks = Locks::new(settings());
    let client = locks.world.client();
    locks.say(client, &["HELLO", "3"]);
    locks.say(client, &["SELECT", "5"]);
    locks.world.heard(client);
    locks.say(client, &["LOCK.INFO", "a"]);
    let ask = locks.wish();
    assert_eq!((ask.lock, ask.resp3), (name(5, "a"), true));
}
