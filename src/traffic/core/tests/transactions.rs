//! Transactions: queued here, sent as one block, and a reply put together from the node's and Circlet's own.

use super::*;

const MULTI: &str = "*1\r\n$5\r\nMULTI\r\n";
const EXEC: &str = "*1\r\n$4\r\nEXEC\r\n";

impl World {
    /// A client that has said `lines`, whose replies to them are taken.
    fn queueing(&mut self, lines: &[&[&str]]) -> ClientKey {
        let client = self.client();
        self.say(client, MULTI);
        for line in lines {
            self.say(client, &command(line));
        }
        assert_eq!(self.heard(client), format!("+OK\r\n{}", "+QUEUED\r\n".repeat(lines.len())));
        client
    }

    /// A client that watches a key of `node`, on the connection that is given.
    fn watching(&mut self, node: usize) -> (ClientKey, PipeId) {
        let client = self.client();
        let watch = command(&["WATCH", &self.key(node, 0)]);
        self.say(client, &watch);
        let id = self.leases(client)[0];
        self.greet_all();
        assert_eq!(self.asked_on(id), watch);
        self.says_on(id, "+OK\r\n");
        assert_eq!(self.heard(client), "+OK\r\n");
        self.resume(client);
        (client, id)
    }

    /// Does what the shell does with a session that may go on.
    pub(super) fn resume(&mut self, client: ClientKey) {
        self.core.settle_client(client);
        while self.core.take_todo().contains(&Todo::Resume(client)) {
            self.core.resume_client(client);
            self.core.settle_client(client);
        }
    }
}

#[test]
fn a_block_leaves_in_one_piece_at_exec_and_not_before() {
    let mut world = World::new(settings());
    let (a, b) = (world.key(1, 0), world.key(1, 1));
    let client = world.queueing(&[&["SET", &a, "1"], &["INCR", &b]]);
    assert_eq!(world.asked(1), "");
    assert!(world.core.client(client).unwrap().record.is_marked(Record::MULTI));
    let (set, incr) = (command(&["SET", &a, "1"]), command(&["INCR", &b]));
    world.say(client, &format!("{EXEC}{incr}"));
    assert_eq!(world.asked(1), format!("{MULTI}{set}{incr}{EXEC}{incr}"));
    assert!(!world.core.client(client).unwrap().record.is_marked(Record::MULTI));
    world.node_says(1, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n:2\r\n");
    assert_eq!(world.heard(client), "*2\r\n+OK\r\n:1\r\n:2\r\n");
    assert!(world.leases(client).is_empty(), "the shared pipe is enough");
}

#[test]
fn any_split_of_the_bytes_gives_the_same_transaction() {
    let mut world = World::new(settings());
    let (get, id) = (command(&["GET", &world.key(2, 0)]), command(&["CLIENT", "GETNAME"]));
    let whole = format!("{MULTI}{get}{id}{get}{EXEC}{}", command(&["PING"]));
    let replies = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\nx\r\n*1\r\n:1\r\n";
    let expected = "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n$1\r\nx\r\n$-1\r\n*1\r\n:1\r\n+PONG\r\n";
    for cut in 0..whole.len() {
        let client = world.client();
        world.say(client, &whole[..cut]);
        world.say(client, &whole[cut..]);
        assert_eq!(world.asked(2), format!("{MULTI}{get}{get}{EXEC}"), "cut at {cut}");
        let cut = cut % replies.len();
        world.node_says(2, &replies[..cut]);
        world.node_says(2, &replies[cut..]);
        world.resume(client);
        assert_eq!(world.heard(client), expected, "cut at {cut}");
    }
}

#[test]
fn keys_of_another_node_are_refused_and_nothing_runs() {
    let mut world = World::new(settings());
    let (a, b) = (world.key(0, 0), world.key(1, 0));
    let client = world.queueing(&[&["SET", &a, "1"]]);
    for line in [&["GET", &b][..], &["MGET", &a, &b], &["EVAL", "return 1", "1", &b]] {
        world.say(client, &command(line));
        let heard = world.heard(client);
        assert!(heard.starts_with("-CROSSSLOT ") && heard.contains(&a) && heard.contains(&b), "{heard}");
        assert!(heard.contains("node a") && heard.contains("node b"), "{heard}");
    }
    world.say(client, &format!("{}{EXEC}{EXEC}", command(&["GET", &a])));
    let aborted =
        "+QUEUED\r\n-EXECABORT Transaction discarded because of previous errors.\r\n-ERR EXEC without MULTI\r\n";
    assert_eq!(world.heard(client), aborted);
    assert_eq!((world.asked(0), world.asked(1)), (String::new(), String::new()));
}

#[test]
fn what_concerns_every_node_is_refused_in_a_transaction() {
    let mut world = World::new(settings());
    for name in ["DBSIZE", "FLUSHALL", "RANDOMKEY"] {
        let client = world.queueing(&[]);
        world.say(client, &format!("{name}\r\n{EXEC}"));
        let heard = world.heard(client);
        assert!(heard.contains("concerns every node") && heard.contains("-EXECABORT "), "{heard}");
    }
}

#[test]
fn own_commands_alone_need_no_node() {
    let mut world = World::new(settings());
    world.core.node_down(NodeId(0), "x");
    world.core.node_down(NodeId(1), "x");
    world.core.node_down(NodeId(2), "x");
    let client = world.queueing(&[&["ECHO", "a"], &["CLIENT", "SETNAME", "me"], &["CLIENT", "GETNAME"]]);
    world.say(client, &format!("{EXEC}{MULTI}{EXEC}PING\r\n"));
    assert_eq!(world.heard(client), "*3\r\n$1\r\na\r\n+OK\r\n$2\r\nme\r\n+OK\r\n*0\r\n+PONG\r\n");
    let needs = world.queueing(&[&["LOLWUT"]]);
    world.say(needs, EXEC);
    assert!(world.heard(needs).starts_with("-NODEDOWN no node can be reached"));
}

#[test]
fn own_commands_are_carried_out_only_if_the_block_ran() {
    for (reply, name) in [("*1\r\n:1\r\n", "me"), ("-EXECABORT no\r\n", ""), ("*-1\r\n", "")] {
        let mut world = World::new(settings());
        let key = world.key(0, 0);
        let client = world.queueing(&[&["CLIENT", "SETNAME", "me"], &["INCR", &key]]);
        world.say(client, &format!("{EXEC}PING\r\n"));
        assert_eq!(world.heard(client), "");
        world.node_says(0, &format!("+OK\r\n+QUEUED\r\n{reply}"));
        world.resume(client);
        let expected = if name.is_empty() { reply } else { "*2\r\n+OK\r\n:1\r\n" };
        assert_eq!(world.heard(client), format!("{expected}+PONG\r\n"));
        assert_eq!(world.core.client(client).unwrap().record.names().name, name);
    }
}

#[test]
fn a_select_inside_runs_on_a_connection_that_nobody_uses_again() {
    let mut world = World::new(settings());
    let key = world.key(1, 0);
    let set = command(&["SET", &key, "v"]);
    let client = world.queueing(&[&["SELECT", "3"], &["SET", &key, "v"]]);
    world.say(client, EXEC);
    let id = world.leases(client)[0];
    world.greet_all();
    let select = command(&["SELECT", "3"]);
    let back = command(&["HELLO", "2"]) + &command(&["SELECT", "0"]);
    assert_eq!(world.asked_on(id), format!("{MULTI}{select}{set}{EXEC}{back}"));
    assert_eq!(world.core.client(client).unwrap().db, 0);
    world.says_on(id, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n*0\r\n+OK\r\n");
    assert_eq!(world.heard(client), "*2\r\n+OK\r\n+OK\r\n");
    assert_eq!(world.core.client(client).unwrap().db, 3);
    assert!(world.core.take_todo().contains(&Todo::Disconnect(id)));
}

#[test]
fn watch_takes_a_connection_at_once_and_exec_gives_it_back() {
    let mut world = World::new(settings());
    let (client, id) = world.watching(1);
    let incr = command(&["INCR", &world.key(1, 0)]);
    world.say(client, &format!("{MULTI}{incr}{EXEC}{incr}"));
    assert_eq!(world.asked_on(id), format!("{MULTI}{incr}{EXEC}"));
    assert_eq!(world.asked(1), "", "what comes behind must not be there first");
    world.says_on(id, "+OK\r\n+QUEUED\r\n*-1\r\n");
    assert_eq!(world.heard(client), "+OK\r\n+QUEUED\r\n*-1\r\n");
    world.resume(client);
    assert_eq!(world.asked(1), incr);
    assert!(world.leases(client).is_empty());
    let (_, again) = world.watching(1);
    assert_eq!(again, id, "it was clean");
}

#[test]
fn a_read_behind_watch_is_sent_when_watch_is_answered() {
    let mut world = World::new(settings());
    let client = world.client();
    let (watch, get) = (command(&["WATCH", &world.key(0, 0)]), command(&["GET", &world.key(0, 0)]));
    world.say(client, &(watch + &get));
    let id = world.leases(client)[0];
    world.greet_all();
    assert_eq!(world.asked(0), "");
    world.says_on(id, "+OK\r\n");
    world.heard(client);
    world.resume(client);
    assert_eq!(world.asked(0), get);
}

#[test]
fn watched_keys_bind_the_transaction_to_their_node() {
    let mut world = World::new(settings());
    let (client, id) = world.watching(0);
    let other = world.key(2, 0);
    world.say(client, &command(&["WATCH", &other]));
    assert!(world.heard(client).starts_with("-CROSSSLOT "));
    world.say(client, &format!("{MULTI}{}", command(&["GET", &other])));
    assert!(world.heard(client).starts_with("+OK\r\n-CROSSSLOT "));
    world.say(client, &format!("{EXEC}{}", command(&["GET", &other])));
    assert!(world.heard(client).starts_with("-EXECABORT "));
    assert_eq!(world.asked_on(id), command(&["UNWATCH"]));
    assert!(world.asked(2).contains("GET"));
}

#[test]
fn unwatch_discard_and_reset_give_the_connection_back_clean() {
    for way in ["UNWATCH\r\n", "MULTI\r\nDISCARD\r\n", "MULTI\r\nRESET\r\n"] {
        let mut world = World::new(settings());
        let (client, id) = world.watching(2);
        world.say(client, way);
        assert_eq!(world.asked_on(id), command(&["UNWATCH"]), "{way}");
        world.says_on(id, "+OK\r\n");
        assert!(world.leases(client).is_empty());
        assert!(!world.core.client(client).unwrap().modes.has(crate::traffic::client::Modes::QUEUEING));
        let (_, again) = world.watching(2);
        assert_eq!(again, id, "{way}");
    }
}

#[test]
fn a_client_that_leaves_watching_or_queueing_leaves_nothing_behind() {
    let mut world = World::new(settings());
    let (client, id) = world.watching(0);
    world.say(client, MULTI);
    world.core.drop_client(client, Closed::ByClient);
    assert!(world.core.take_todo().contains(&Todo::Disconnect(id)));
    let next = world.client();
    world.say(next, &format!("PING\r\n{EXEC}"));
    assert_eq!(world.heard(next), "+PONG\r\n-ERR EXEC without MULTI\r\n");
}

#[test]
fn a_lost_watch_runs_nothing_and_says_so() {
    let mut world = World::new(settings());
    let (client, id) = world.watching(1);
    let attempt = world.core.pipes[id.index()].attempt;
    world.core.pipe_lost(id, attempt, &Lost::Broken("the node closed the connection".into()));
    let incr = command(&["INCR", &world.key(1, 0)]);
    world.say(client, &format!("{}{MULTI}{incr}{EXEC}{MULTI}{EXEC}", command(&["WATCH", &world.key(1, 1)])));
    let heard = world.heard(client);
    assert_eq!(heard.matches("-NODEDOWN node b").count(), 2, "WATCH and EXEC: {heard}");
    assert!(heard.contains("nothing was executed, watch them again"), "{heard}");
    assert!(heard.ends_with("\r\n+OK\r\n*0\r\n"), "it is over then: {heard}");
    assert_eq!(world.asked(1), "");
}

#[test]
fn a_watch_that_failed_watches_nothing() {
    let mut world = World::new(settings());
    let client = world.client();
    let watch = command(&["WATCH", &world.key(1, 0)]);
    world.say(client, &watch);
    let id = world.leases(client)[0];
    let attempt = world.core.pipes[id.index()].attempt;
    world.core.pipe_failed(id, attempt, Fault::Pipe, "no");
    assert!(world.heard(client).starts_with("-NODEDOWN node b"));
    world.resume(client);
    world.say(client, &format!("{MULTI}{EXEC}"));
    assert_eq!(world.heard(client), "+OK\r\n*0\r\n");
    assert_eq!(world.core.leased(), 0);
}

#[test]
fn watch_follows_its_session_to_another_db() {
    let mut world = World::new(settings());
    let (client, id) = world.watching(1);
    let (incr, select) = (command(&["INCR", &world.key(1, 0)]), command(&["SELECT", "4"]));
    let back = command(&["SELECT", "0"]);
    world.say(client, &format!("SELECT 4\r\n{MULTI}{incr}{EXEC}"));
    assert_eq!(world.asked_on(id), format!("{select}{MULTI}{incr}{EXEC}{back}"));
    world.says_on(id, "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:1\r\n+OK\r\n");
    assert_eq!(world.heard(client), "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
    let (_, again) = world.watching(1);
    assert_eq!(again, id, "its db is the old one again");
}

#[test]
fn a_connection_lost_under_exec_leaves_the_outcome_open_and_before_it_runs_nothing() {
    let mut world = World::new(settings());
    let key = world.key(0, 0);
    let client = world.queueing(&[&["INCR", &key], &["CLIENT", "SETNAME", "me"]]);
    world.say(client, EXEC);
    world.asked(0);
    world.node_says(0, "+OK\r\n+QUEUED\r\n");
    world.lose(0, &Lost::Broken("the node closed the connection".into()));
    let heard = world.heard(client);
    assert!(heard.starts_with("-OUTCOMEUNKNOWN node a") && heard.matches("\r\n").count() == 1, "{heard}");
    assert_eq!(
        world.core.counters.refusals[crate::traffic::refusal::Kind::Lost as usize],
        1,
        "one error, however long"
    );
    world.resume(client);
    world.connect_all();
    assert_eq!(world.asked(0), "", "it is not sent twice");
    world.core.node_down(NodeId(0), "connection refused");
    world.say(client, &format!("{MULTI}{}{EXEC}PING\r\n", command(&["INCR", &key])));
    let heard = world.heard(client);
    assert!(heard.starts_with("+OK\r\n+QUEUED\r\n-NODEDOWN node a") && heard.ends_with("+PONG\r\n"), "{heard}");
    assert_eq!(world.core.client(client).unwrap().record.names().name, "");
}

#[test]
fn a_full_pipe_takes_the_block_later_and_whole() {
    let mut settings = settings();
    settings.pipe.max_in_flight = 4;
    let mut world = World::new(settings);
    let (other, key) = (world.client(), world.key(0, 0));
    let get = command(&["GET", &key]);
    world.say(other, &get.repeat(4));
    world.asked(0);
    let client = world.queueing(&[&["GET", &key][..]; 6]);
    world.say(client, EXEC);
    assert_eq!(world.asked(0), "");
    world.node_says(0, &"$-1\r\n".repeat(4));
    world.resume(client);
    assert_eq!(world.asked(0), format!("{MULTI}{}{EXEC}", get.repeat(6)));
}

#[test]
fn what_may_be_queued_is_bounded() {
    let mut settings = settings();
    settings.session.max_queued = 2;
    settings.session.max_queued_bytes = 100_000;
    let mut world = World::new(settings);
    let key = world.key(0, 0);
    let client = world.queueing(&[&["GET", &key], &["ECHO", "x"]]);
    world.say(client, &format!("PING\r\n{EXEC}"));
    let heard = world.heard(client);
    assert!(heard.starts_with("-ERR the transaction is larger than session.max_queued allows"), "{heard}");
    assert!(heard.contains("-EXECABORT "), "{heard}");
    let value = "v".repeat(60_000);
    let client = world.queueing(&[&["SET", &key, &value]]);
    assert!(world.core.client(client).unwrap().held() >= 60_000, "it counts");
    world.say(client, &command(&["SET", &key, &value]));
    assert!(world.heard(client).contains("larger than session.max_queued_bytes"));
    assert!(world.core.client(client).unwrap().held() < 60_000, "nothing is kept of it");
}

#[test]
fn client_reply_off_leaves_no_byte_of_a_transaction() {
    let mut world = World::new(settings());
    let client = world.client();
    let get = command(&["GET", &world.key(0, 0)]);
    world.say(client, &format!("CLIENT REPLY OFF\r\n{MULTI}{get}ECHO x\r\n{get}{EXEC}"));
    world.node_says(0, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$-1\r\n$-1\r\n");
    world.resume(client);
    world.say(client, "CLIENT REPLY ON\r\nPING\r\n");
    assert_eq!(world.heard(client), "+OK\r\n+PONG\r\n");
    // As in Redis, where it breaks the array, too.
    world.say(client, &format!("{MULTI}CLIENT REPLY SKIP\r\nPING\r\n{EXEC}PING\r\nPING\r\n"));
    assert_eq!(world.heard(client), "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+PONG\r\n+PONG\r\n");
}

#[test]
fn a_session_that_is_told_to_end_still_gets_the_whole_reply() {
    let mut world = World::new(settings());
    let key = world.key(0, 0);
    let client = world.queueing(&[&["INCR", &key], &["ECHO", "x"]]);
    world.say(client, EXEC);
    world.core.client_ended(client);
    world.node_says(0, "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
    assert_eq!(world.heard(client), "*2\r\n:1\r\n$1\r\nx\r\n");
    assert!(world.core.client(client).is_none());
}
