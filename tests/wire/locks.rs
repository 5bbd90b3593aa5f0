//! LOCK.*: what a client sees, while nothing goes wrong, and what becomes of its locks and waiting when it ends.

use crate::support::{
    Client, Cluster,
    dir::Dir,
    resp::{self, Value},
    voters::wait_all_count,
    wait::until_true,
};

/// Three nodes and a Circlet of two workers whose locks are usable at once.
fn cluster() -> (Cluster, Dir) {
    let state = Dir::new();
    let cluster = Cluster::with(|plan| {
        plan.set("workers=2").set(&format!("state={}", state.path().display())).set("lock.bootstrap=true")
    });
    wait_all_count(&mut cluster.client());
    (cluster, state)
}

fn send(client: &mut Client, line: &str) {
    client.send(&resp::words(line));
}

/// Takes a lock; its token.
#[track_caller]
fn acquire(client: &mut Client, line: &str) -> String {
    let reply = client.value(line);
    let fields = reply.list();
    assert_eq!(fields.len(), 4, "{line}: {reply:?}");
    fields[0].text()
}

fn info(client: &mut Client, name: &str, field: &str) -> String {
    let info: Value = client.value(&format!("LOCK.INFO {name}"));
    info.get(field).map_or_else(String::new, Value::text)
}

/// Whether so many clients wait for this lock.
fn waiters(cluster: &Cluster, name: &str, count: i64) -> bool {
    cluster.client().value(&format!("LOCK.INFO {name}")).get("waiters").is_some_and(|waiters| waiters.number() == count)
}

#[test]
fn a_lock_is_taken_shown_extended_and_freed() {
    let (cluster, _state) = cluster();
    let (mut one, mut other) = (cluster.client(), cluster.client3());
    let reply = one.value("LOCK.ACQUIRE orders 30000 OWNER host-7");
    let [token, fence, validity, waited] = reply.list()[..] else { panic!("{reply:?}") };
    let (token, fence) = (token.text(), fence.number());
    assert_eq!(token.len(), 32);
    assert!((20_000..30_000).contains(&validity.number()) && waited.number() < 10_000);
    other.expect("LOCK.ACQUIRE orders 30000", "_\r\n");
    assert_eq!(
        (info(&mut one, "orders", "state"), info(&mut one, "orders", "owner")),
        ("held".into(), "host-7".into())
    );
    assert!(other.ask("LOCK.LIST ord*").contains("host-7"));
    assert_eq!(other.ask("LOCK.LIST nothing*"), "*0\r\n");
    let longer = one.value(&format!("LOCK.EXTEND orders {token} 50000"));
    assert_eq!(longer.list()[0].number(), fence);
    assert!(longer.list()[1].number() > 40_000);
    let wrong = "0".repeat(32);
    assert!(other.ask(&format!("LOCK.EXTEND orders {wrong} 50000")).starts_with("-LOCKLOST "));
    other.expect(&format!("LOCK.RELEASE orders {wrong}"), ":0\r\n");
    other.expect(&format!("LOCK.RELEASE orders {token}"), ":1\r\n");
    other.expect(&format!("LOCK.RELEASE orders {token}"), ":0\r\n");
    let again = other.value("LOCK.ACQUIRE orders 30000");
    assert!(again.list()[1].number() > fence, "fences grow");
    one.expect("LOCK.RELEASE orders FORCE", ":1\r\n");
    assert_eq!(info(&mut one, "orders", "state"), "free");
    // Locks of another db are others, and none is a key.
    other.ask("SELECT 3");
    acquire(&mut other, "LOCK.ACQUIRE orders 30000");
    assert_eq!(info(&mut one, "orders", "state"), "free");
    assert_eq!(one.ask("DBSIZE") + &other.ask("DBSIZE"), ":0\r\n:0\r\n");
}

#[test]
fn who_waits_gets_the_lock_in_turn() {
    let (cluster, _state) = cluster();
    let mut holder = cluster.client();
    let token = acquire(&mut holder, "LOCK.ACQUIRE orders 30000");
    let (mut first, mut second) = (cluster.client(), cluster.client());
    send(&mut first, "LOCK.ACQUIRE orders 30000 WAIT 20000");
    until_true("the first to wait", || waiters(&cluster, "orders", 1));
    send(&mut second, "LOCK.ACQUIRE orders 30000 WAIT 20000");
    until_true("the second to wait", || waiters(&cluster, "orders", 2));
    let list = holder.ask("CLIENT LIST");
    assert_eq!(list.lines().filter(|line| line.contains(" flags=b ")).count(), 2, "{list}");
    holder.expect(&format!("LOCK.RELEASE orders {token}"), ":1\r\n");
    let got = Value::of(&first.frame());
    let token = got.list()[0].text();
    assert!(waiters(&cluster, "orders", 1));
    first.expect(&format!("LOCK.RELEASE orders {token}"), ":1\r\n");
    assert_eq!(Value::of(&second.frame()).list().len(), 4);
    holder.expect("LOCK.ACQUIRE orders 30000 WAIT 50", "*-1\r\n");
}

#[test]
fn waiting_ends_by_unblock_and_with_the_client() {
    let (cluster, _state) = cluster();
    let mut holder = cluster.client();
    let token = acquire(&mut holder, "LOCK.ACQUIRE orders 30000");
    let mut waits = cluster.client();
    let id = Value::of(&waits.call(&["CLIENT", "ID"])).number();
    for (how, reply) in [("TIMEOUT", "*-1\r\n"), ("ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")] {
        send(&mut waits, "LOCK.ACQUIRE orders 30000 WAIT 60000");
        until_true("it to wait", || waiters(&cluster, "orders", 1));
        holder.expect(&format!("CLIENT UNBLOCK {id} {how}"), ":1\r\n");
        assert_eq!(String::from_utf8(waits.frame()).unwrap(), reply);
    }
    holder.expect(&format!("CLIENT UNBLOCK {id}"), ":0\r\n");
    send(&mut waits, "LOCK.ACQUIRE orders 30000 WAIT 60000");
    until_true("it to wait", || waiters(&cluster, "orders", 1));
    drop(waits);
    until_true("nobody to wait", || waiters(&cluster, "orders", 0));
    holder.expect(&format!("LOCK.RELEASE orders {token}"), ":1\r\n");
    assert_eq!(info(&mut holder, "orders", "state"), "free", "nobody got it who is gone");
}

#[test]
fn a_lock_of_a_session_is_free_when_it_ends_is_killed_or_says_reset() {
    let (cluster, _state) = cluster();
    let mut other = cluster.client();
    let free = |other: &mut Client| info(other, "orders", "state") == "free";
    let mut one = cluster.client();
    acquire(&mut one, "LOCK.ACQUIRE orders 2000 SESSION");
    assert!(!info(&mut other, "orders", "session").is_empty());
    one.expect("RESET", "+RESET\r\n");
    until_true("RESET to free it", || free(&mut other));
    acquire(&mut one, "LOCK.ACQUIRE orders 2000 SESSION");
    drop(one);
    until_true("its end to free it", || free(&mut other));
    let mut one = cluster.client();
    let id = Value::of(&one.call(&["CLIENT", "ID"])).number();
    acquire(&mut one, "LOCK.ACQUIRE orders 2000 SESSION");
    other.expect(&format!("CLIENT KILL ID {id}"), ":1\r\n");
    until_true("CLIENT KILL to free it", || free(&mut other));
    // One that is not of a session stays.
    let mut one = cluster.client();
    acquire(&mut one, "LOCK.ACQUIRE orders 30000");
    drop(one);
    other.expect("LOCK.ACQUIRE orders 30000 WAIT 100", "*-1\r\n");
}

#[test]
fn pipelined_commands_keep_their_order_and_a_half_closed_client_is_answered() {
    let (cluster, _state) = cluster();
    let mut one = cluster.client();
    let mut bytes = resp::words("SET k 1");
    for line in
        ["LOCK.ACQUIRE orders 30000", "INCR k", "LOCK.ACQUIRE orders 30000", "INCR k", "LOCK.RELEASE orders FORCE"]
    {
        bytes.extend(resp::words(line));
    }
    one.send(&bytes);
    one.finish_sending();
    let replies: Vec<String> = (0..6).map(|_| String::from_utf8(one.frame()).unwrap()).collect();
    assert!(replies[1].starts_with("*4\r\n$32\r\n"), "{replies:?}");
    assert_eq!(
        [&replies[0], &replies[2], &replies[3], &replies[4], &replies[5]],
        ["+OK\r\n", ":2\r\n", "*-1\r\n", ":3\r\n", ":1\r\n"]
    );
}

#[test]
fn without_a_state_directory_a_lock_is_refused_with_the_cure() {
    let cluster = Cluster::start();
    let told = cluster.client().ask("LOCK.ACQUIRE orders 30000");
    assert!(told.starts_with("-ERR locks need a state directory") && told.contains("--state DIR"), "{told}");
}

#[test]
fn waiting_for_a_lock_is_not_slow() {
    let (cluster, _state) = cluster();
    let mut client = cluster.client();
    client.expect("CONFIG SET circlet.slowlog.slower_than 1ms", "+OK\r\n");
    client.expect("SLOWLOG RESET", "+OK\r\n");
    acquire(&mut client, "LOCK.ACQUIRE orders 30000");
    client.expect("LOCK.ACQUIRE orders 30000 WAIT 100", "*-1\r\n");
    assert!(!client.ask("SLOWLOG GET 100").contains("LOCK.ACQUIRE"));
}

#[test]
fn limits_change_while_locks_are_held() {
    let (cluster, _state) = cluster();
    let mut client = cluster.client();
    let token = acquire(&mut client, "LOCK.ACQUIRE orders 30000");
    client.expect("CONFIG SET circlet.lock.max_held 1 circlet.lock.max_waiters 0", "+OK\r\n");
    let full = client.ask("LOCK.ACQUIRE other 30000");
    assert!(full.starts_with("-ERR lock 'other': 1 locks are held") && full.contains("raise lock.max_held"), "{full}");
    // What is held goes on.
    assert!(client.ask(&format!("LOCK.EXTEND orders {token} 30000")).starts_with("*2\r\n"));
    client.expect("CONFIG SET circlet.lock.max_held 2", "+OK\r\n");
    let nobody = cluster.client().ask("LOCK.ACQUIRE orders 30000 WAIT 1000");
    assert!(nobody.starts_with("-ERR lock 'orders': ") && nobody.contains("lock.max_waiters"), "{nobody}");
    acquire(&mut client, "LOCK.ACQUIRE other 30000");
    let restart = client.ask("CONFIG SET circlet.lock.max_ttl 2m");
    assert!(restart.contains("it needs a restart"), "{restart}");
}
