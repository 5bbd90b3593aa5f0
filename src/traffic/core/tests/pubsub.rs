//! Publish/subscribe: who hears what, when it is confirmed, and what becomes of it when a node is lost.

use super::*;
use crate::traffic::{pipe::Holder, pubsub::Kind};

impl World {
    pub(super) fn ear(&self, node: usize) -> PipeId {
        let is_ear = |pipe: &Pipe| pipe.holder == Holder::Ear && pipe.node.index() == node;
        PipeId(self.core.pipes.iter().position(is_ear).unwrap() as u32)
    }

    /// What the ear at `node` is told; its words, one line each.
    pub(super) fn ordered(&mut self, node: usize) -> Vec<String> {
        let id = self.ear(node);
        let (pipe, pool) = self.core.pipe_out(id);
        let mut text = Vec::new();
        pipe.out.copy_to(&mut text);
        pipe.out.clear(pool);
        let text = String::from_utf8(text).unwrap();
        let mut lines = text.split("\r\n");
        std::iter::from_fn(|| {
            let words = lines.next()?.strip_prefix('*')?.parse::<usize>().unwrap();
            let words: Vec<&str> = lines.by_ref().take(2 * words).skip(1).step_by(2).collect();
            Some(words.join(" "))
        })
        .collect()
    }

    pub(super) fn ear_says(&mut self, node: usize, bytes: &str) -> Result<(), reply::Nonsense> {
        let id = self.ear(node);
        for part in bytes.as_bytes().chunks(CHUNK) {
            let mut chunk = self.core.pool().take();
            Rc::get_mut(&mut chunk).unwrap()[..part.len()].copy_from_slice(part);
            let result = self.core.feed_node(id, &chunk, part.len());
            self.core.pool().give(chunk);
            result?;
        }
        Ok(())
    }

    /// The node confirms everything that it was told.
    pub(super) fn confirm_all(&mut self, node: usize) {
        for order in self.ordered(node) {
            match order.split_once(' ') {
                Some((word, name)) => self.ear_says(node, &confirmed(word, name, 1)).unwrap(),
                None => self.ear_says(node, PONG).unwrap(),
            }
        }
    }

    /// The nodes tell all that they have to, and the session goes on as often as it can.
    fn catch_up(&mut self, client: ClientKey) {
        for _ in 0..3 {
            for node in 0..3 {
                if self.core.ears.get(node).is_some_and(Option::is_some) {
                    self.confirm_all(node);
                }
            }
            self.resume(client);
        }
    }

    /// A session that listens, at once and confirmed.
    pub(super) fn subscriber(&mut self, word: &str, name: &str) -> ClientKey {
        let client = self.client();
        self.say(client, &command(&[word, name]));
        self.connect_all();
        for node in 0..3 {
            if self.core.ears.get(node).is_some_and(Option::is_some) {
                self.confirm_all(node);
            }
        }
        self.catch_up(client);
        assert!(self.heard(client).contains(name), "{name} is confirmed");
        self.goes_on(client);
        client
    }

    fn goes_on(&mut self, client: ClientKey) {
        self.core.take_todo();
        self.core.resume_client(client);
    }

    fn lose_ear(&mut self, node: usize, how: &Lost) {
        let id = self.ear(node);
        let attempt = self.core.pipes[id.index()].attempt;
        self.core.pipe_lost(id, attempt, how);
    }
}

/// What a listening connection answers to PING.
const PONG: &str = "*2\r\n$4\r\npong\r\n$0\r\n\r\n";

/// A confirmation in RESP2.
pub(super) fn confirmed(word: &str, name: &str, count: i64) -> String {
    format!("*3\r\n${}\r\n{word}\r\n${}\r\n{name}\r\n:{count}\r\n", word.len(), name.len())
}

pub(super) fn message(channel: &str, payload: &str) -> String {
    command(&["message", channel, payload])
}

#[test]
fn a_subscription_is_confirmed_when_the_node_has_and_messages_follow() {
    let mut world = World::new(settings());
    let client = world.client();
    let (a, b) = (world.key(0, 0), world.key(1, 0));
    world.say(client, &format!("{}PING\r\n", command(&["SUBSCRIBE", &a, &b, &a])));
    world.connect_all();
    assert_eq!(world.ordered(0), [format!("subscribe {a}")]);
    assert_eq!(world.ordered(1), [format!("subscribe {b}")]);
    world.ear_says(0, &confirmed("subscribe", &a, 1)).unwrap();
    world.ear_says(0, &message(&a, "early")).unwrap();
    assert_eq!(world.heard(client), "", "no message before its confirmation, and not half of the confirmations");
    world.ear_says(1, &confirmed("subscribe", &b, 1)).unwrap();
    world.ear_says(1, &message(&b, "hello")).unwrap();
    let all = confirmed("subscribe", &a, 1) + &confirmed("subscribe", &b, 2) + &confirmed("subscribe", &a, 2);
    assert_eq!(world.heard(client), all + &message(&b, "hello"));
    world.goes_on(client);
    assert_eq!(world.heard(client), "*2\r\n$4\r\npong\r\n$0\r\n\r\n", "what was sent behind it is answered behind it");
}

#[test]
fn any_split_of_what_an_ear_hears_gives_the_same_messages() {
    let mut world = World::new(settings());
    let a = world.key(0, 0);
    let client = world.subscriber("SUBSCRIBE", &a);
    let whole =
        message(&a, "one") + &message(&a, "") + &message(&world.key(0, 1), "for nobody") + &message(&a, "a\r\nb");
    let expected = message(&a, "one") + &message(&a, "") + &message(&a, "a\r\nb");
    for cut in 0..whole.len() {
        world.ear_says(0, &whole[..cut]).unwrap();
        world.ear_says(0, &whole[cut..]).unwrap();
        assert_eq!(world.heard(client), expected, "cut at {cut}");
    }
}

#[test]
fn one_upstream_subscription_serves_all_and_ends_with_the_last() {
    let mut world = World::new(settings());
    let a = world.key(2, 0);
    let (one, other) = (world.subscriber("SUBSCRIBE", &a), world.client());
    world.say(other, &format!("HELLO 3\r\n{}", command(&["SUBSCRIBE", &a])));
    assert_eq!(world.ordered(2), ["PING"], "it is heard already");
    world.ear_says(2, &(message(&a, "before") + PONG)).unwrap();
    world.resume(other);
    assert_eq!(world.heard(one), message(&a, "before"), "it was sent before the other listened");
    assert!(world.heard(other).ends_with(&confirmed("subscribe", &a, 1).replacen('*', ">", 1)));
    world.ear_says(2, &message(&a, "m")).unwrap();
    assert_eq!((world.heard(one), world.heard(other)), (message(&a, "m"), message(&a, "m").replacen('*', ">", 1)));
    world.say(one, "UNSUBSCRIBE\r\nGET x\r\n");
    world.catch_up(one);
    assert!(world.heard(one).starts_with(&confirmed("unsubscribe", &a, 0)), "another one still listens");
    world.core.drop_client(other, Closed::ByClient);
    assert_eq!(world.ordered(2), [format!("unsubscribe {a}")]);
    assert_eq!(world.core.topics.counts(), [0; 3]);
    assert_eq!(world.core.counters.subscribers, 0);
}

#[test]
fn the_last_unsubscribe_is_confirmed_when_the_node_has_confirmed_it() {
    let mut world = World::new(settings());
    let a = world.key(0, 0);
    let client = world.subscriber("SUBSCRIBE", &a);
    world.say(client, &command(&["UNSUBSCRIBE", &a]));
    assert_eq!(world.ordered(0), ["PING"], "a message may be under way");
    world.ear_says(0, &(message(&a, "sent before") + PONG)).unwrap();
    assert_eq!(world.heard(client), message(&a, "sent before"));
    world.resume(client);
    world.ear_says(0, &message(&a, "late")).unwrap();
    assert_eq!(world.heard(client), "");
    assert_eq!(world.core.registry.audience.correction(Kind::Channel, a.as_bytes(), NodeId(0)), 0);
    world.confirm_all(0);
    assert_eq!(world.heard(client), confirmed("unsubscribe", &a, 0));
}

#[test]
fn a_topic_left_and_joined_again_does_not_take_the_old_confirmation_for_its_own() {
    let mut world = World::new(settings());
    let a = world.key(0, 0);
    let (first, second) = (world.client(), world.client());
    world.say(first, &command(&["SUBSCRIBE", &a]));
    world.connect_all();
    world.core.drop_client(first, Closed::ByClient);
    world.say(second, &command(&["SUBSCRIBE", &a]));
    let orders = world.ordered(0);
    assert_eq!(orders, [format!("subscribe {a}"), format!("unsubscribe {a}"), format!("subscribe {a}")]);
    world.ear_says(0, &confirmed("subscribe", &a, 1)).unwrap();
    world.ear_says(0, &confirmed("unsubscribe", &a, 0)).unwrap();
    assert_eq!(world.heard(second), "");
    world.ear_says(0, &confirmed("subscribe", &a, 1)).unwrap();
    assert_eq!(world.heard(second), confirmed("subscribe", &a, 1));
}

#[test]
fn patterns_and_notifications_are_heard_at_every_node() {
    for (word, upstream, name) in [("PSUBSCRIBE", "psubscribe", "n*"), ("SUBSCRIBE", "subscribe", "__keyevent@0__:del")]
    {
        let mut world = World::new(settings());
        let client = world.client();
        world.say(client, &command(&[word, name]));
        world.connect_all();
        for node in 0..3 {
            assert_eq!(world.heard(client), "");
            assert_eq!(world.ordered(node), [format!("{upstream} {name}")]);
            world.ear_says(node, &confirmed(upstream, name, 1)).unwrap();
        }
        assert_eq!(world.heard(client), confirmed(upstream, name, 1));
    }
}

#[test]
fn a_subscription_to_a_node_that_is_down_is_refused_as_a_whole() {
    let mut world = World::new(settings());
    world.core.node_down(NodeId(1), "connection refused");
    let client = world.client();
    let (a, b) = (world.key(0, 0), world.key(1, 0));
    world.say(client, &command(&["SUBSCRIBE", &a, &b]));
    let refusal = "-NODEDOWN node b (127.0.0.1:7002): connection refused\r\n";
    assert_eq!(world.heard(client), refusal);
    assert_eq!(world.core.topics.counts(), [0; 3]);
    world.say(client, &command(&["PSUBSCRIBE", "*"]));
    assert_eq!(world.heard(client), refusal);
    world.say(client, &command(&["SUBSCRIBE", &a]));
    world.connect_all();
    world.confirm_all(0);
    assert_eq!(world.heard(client), confirmed("subscribe", &a, 1));
}

#[test]
fn partial_reads_nil_lets_patterns_be_heard_where_they_can() {
    let mut world = World::new(Settings { partial_reads: PartialReads::Nil, ..settings() });
    world.core.node_down(NodeId(1), "connection refused");
    let client = world.client();
    world.say(client, &command(&["PSUBSCRIBE", "*"]));
    world.connect_all();
    world.confirm_all(0);
    assert_eq!(world.heard(client), "");
    world.confirm_all(2);
    assert_eq!(world.heard(client), confirmed("psubscribe", "*", 1));
    world.core.node_up(NodeId(1));
    world.core.tick();
    world.connect_all();
    assert_eq!(world.ordered(1), ["psubscribe *"], "the other follows");
}

#[test]
fn a_connection_that_cannot_be_made_refuses_whoever_waits_for_it() {
    let mut world = World::new(settings());
    let client = world.client();
    let a = world.key(0, 0);
    world.say(client, &command(&["SUBSCRIBE", &a]));
    let id = world.ear(0);
    let attempt = world.core.pipes[id.index()].attempt;
    world.core.pipe_failed(id, attempt, Fault::Node, "connection refused");
    assert_eq!(world.heard(client), "-NODEDOWN node a (127.0.0.1:7001): connection refused\r\n");
    assert!(!world.core.ears[0].as_ref().is_some_and(|_| world.core.is_wanted(&world.core.pipes[id.index()])));
}

#[test]
fn whoever_waits_for_an_ear_is_told_when_its_node_turns_out_to_be_down() {
    let mut world = World::new(settings());
    let (a, a2) = (world.key(0, 0), world.key(0, 1));
    world.subscriber("SUBSCRIBE", &a);
    let client = world.client();
    world.say(client, &command(&["SUBSCRIBE", &a2]));
    world.core.set_now(5_000_000);
    world.lose_ear(0, &Lost::Broken("the node closed the connection".into()));
    assert_eq!(world.heard(client), "", "the connection may have been the only thing that was lost");
    world.core.node_down(NodeId(0), "connection refused");
    world.core.tick();
    assert_eq!(world.heard(client), "-NODEDOWN node a (127.0.0.1:7001): connection refused\r\n");
}

#[test]
fn a_lost_node_is_listened_to_again_and_its_subscribers_stay() {
    let mut world = World::new(settings());
    let (a, a2) = (world.key(0, 0), world.key(0, 1));
    let client = world.subscriber("SUBSCRIBE", &a);
    let second = world.subscriber("SUBSCRIBE", &a2);
    world.core.set_now(5_000_000);
    world.lose_ear(0, &Lost::Broken("the node closed the connection".into()));
    let todo = world.core.take_todo();
    assert!(todo.contains(&Todo::Deaf(NodeId(0), "the node closed the connection".into())), "{todo:?}");
    assert_eq!(world.core.registry.audience.correction(Kind::Channel, a.as_bytes(), NodeId(0)), 0);
    world.core.tick();
    let todo = world.core.take_todo();
    let [Todo::Connect(id, attempt)] = todo[..] else { panic!("{todo:?}") };
    assert!(world.core.pipe_connected(id, attempt));
    assert!(world.core.take_todo().contains(&Todo::Hears(NodeId(0), 2)));
    let orders = world.ordered(0);
    assert_eq!(orders.len(), 2);
    for name in [&a, &a2] {
        assert!(orders.contains(&format!("subscribe {name}")), "{orders:?}");
    }
    for order in orders {
        world.ear_says(0, &confirmed("subscribe", order.split_once(' ').unwrap().1, 1)).unwrap();
    }
    world.ear_says(0, &message(&a, "again")).unwrap();
    assert_eq!((world.heard(client), world.heard(second)), (message(&a, "again"), String::new()));
}

#[test]
fn an_ear_that_breaks_at_once_again_and_again_is_not_hammered_and_says_nothing_of_the_node() {
    let mut world = World::new(settings());
    let a = world.key(0, 0);
    world.subscriber("SUBSCRIBE", &a);
    let mut connects = 0;
    for tick in 0..100 {
        world.core.set_now(tick * 100_000);
        world.core.tick();
        for todo in world.core.take_todo() {
            if let Todo::Connect(id, attempt) = todo {
                connects += 1;
                assert!(world.core.pipe_connected(id, attempt));
                world.core.pipe_lost(id, attempt, &Lost::Broken("the node closed the connection".into()));
            }
        }
        if tick == 0 {
            world.lose_ear(0, &Lost::Broken("the node closed the connection".into()));
        }
    }
    assert!((3..20).contains(&connects), "{connects} in 10 s");
    assert!(world.core.links[0].down.is_none());
}

#[test]
fn a_silent_ear_is_asked_and_given_up() {
    let mut world = World::new(settings());
    let a = world.key(0, 0);
    let client = world.subscriber("SUBSCRIBE", &a);
    world.core.set_now(2_000_000);
    world.core.tick();
    assert_eq!(world.ordered(0), ["PING"]);
    world.ear_says(0, "*2\r\n$4\r\npong\r\n$0\r\n\r\n").unwrap();
    world.core.set_now(4_000_000);
    world.core.tick();
    assert_eq!(world.ordered(0), ["PING"]);
    world.core.set_now(10_000_000);
    world.core.tick();
    let todo = world.core.take_todo();
    assert!(todo.contains(&Todo::Disconnect(world.ear(0))), "{todo:?}");
    assert!(world.core.links[0].down.is_some());
    assert!(world.core.client(client).is_some());
    world.core.set_now(16_000_000);
    world.core.tick();
    world.connect_all();
    world.core.tick();
    world.connect_all();
    assert_eq!(world.ordered(0), [format!("subscribe {a}")], "the node answers again");
}

#[test]
fn a_node_that_refuses_is_quoted_and_asked_again_for_whoever_listens_already() {
    let mut world = World::new(settings());
    let (mine, theirs) = (world.key(0, 0), world.key(0, 1));
    let client = world.subscriber("SUBSCRIBE", &mine);
    let other = world.client();
    world.say(other, &command(&["SUBSCRIBE", &theirs]));
    world.ordered(0);
    world.ear_says(0, "-NOPERM no such channel\r\n").unwrap();
    assert_eq!(world.heard(other), "-NOPERM no such channel\r\n");
    world.lose_ear(0, &Lost::Broken("gone".into()));
    world.core.set_now(1_000_000);
    world.core.tick();
    world.connect_all();
    assert_eq!(world.ordered(0), [format!("subscribe {mine}")]);
    world.ear_says(0, "-NOPERM no such channel\r\n").unwrap();
    assert_eq!(world.heard(client), "");
    world.core.sweep();
    assert_eq!(world.ordered(0), [format!("subscribe {mine}")]);
    world.ear_says(0, &confirmed("subscribe", &mine, 1)).unwrap();
    world.ear_says(0, &message(&mine, "m")).unwrap();
    assert_eq!(world.heard(client), message(&mine, "m"));
}

#[test]
fn nonsense_on_an_ear_gives_the_connection_up() {
    for nonsense in
        ["$2\r\nhi\r\n", ":1\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n", "+PONG\r\n", "-ERR\r\n", "?"]
    {
        let mut world = World::new(settings());
        let a = world.key(0, 0);
        world.subscriber("SUBSCRIBE", &a);
        assert!(world.ear_says(0, nonsense).is_err(), "{nonsense:?}");
    }
}

#[test]
fn resp2_subscribers_may_say_little_and_resp3_subscribers_everything() {
    let mut world = World::new(settings());
    let a = world.key(0, 0);
    let client = world.subscriber("SUBSCRIBE", &a);
    world.say(client, "get x\r\nCONFIG GET x\r\nPING hi\r\nPING a b\r\nGET\r\nNOSUCH\r\n");
    let not = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context\r\n"
        )
    };
    let expected = not("get")
        + &not("config|get")
        + "*2\r\n$4\r\npong\r\n$2\r\nhi\r\n-ERR wrong number of arguments for 'ping' command\r\n"
        + "-ERR wrong number of arguments for 'get' command\r\n"
        + "-ERR unknown command 'NOSUCH', with args beginning with: \r\n";
    assert_eq!(world.heard(client), expected);
    world.say(client, "RESET\r\nHELLO 3\r\n");
    assert_eq!(world.ordered(0), ["PING"]);
    world.ear_says(0, PONG).unwrap();
    world.resume(client);
    assert_eq!(world.ordered(0), [format!("unsubscribe {a}")], "RESET ends it without a word");
    assert_eq!(world.heard(client), "", "as long as the node counts it");
    world.ear_says(0, &confirmed("unsubscribe", &a, 0)).unwrap();
    world.resume(client);
    assert!(world.heard(client).starts_with("+RESET\r\n%7\r\n"));
    world.say(client, &command(&["SUBSCRIBE", &a]));
    world.confirm_all(0);
    world.heard(client);
    world.goes_on(client);
    world.say(client, "PING\r\nHELLO 2\r\nPING\r\n");
    assert_eq!(world.heard(client), "+PONG\r\n");
    assert_eq!(world.ordered(0), ["PING"]);
    world.ear_says(0, &(message(&a, "m") + PONG)).unwrap();
    world.resume(client);
    let sent_before = message(&a, "m").replacen('*', ">", 1);
    let heard = world.heard(client);
    assert!(heard.starts_with(&(sent_before + "*14\r\n")) && heard.ends_with(PONG), "{heard}");
}

#[test]
fn unsubscribing_counts_as_redis_does() {
    let mut world = World::new(settings());
    let client = world.client();
    world.say(client, "UNSUBSCRIBE\r\nPUNSUBSCRIBE x y\r\nSUNSUBSCRIBE\r\n");
    let nothing = |word: &str| format!("*3\r\n${}\r\n{word}\r\n$-1\r\n:0\r\n", word.len());
    let expected = nothing("unsubscribe")
        + &confirmed("punsubscribe", "x", 0)
        + &confirmed("punsubscribe", "y", 0)
        + &nothing("sunsubscribe");
    assert_eq!(world.heard(client), expected);
    let (a, b) = (world.key(0, 0), world.key(0, 1));
    for (words, node_count) in
        [(vec!["SUBSCRIBE", &a, &b], 1), (vec!["SSUBSCRIBE", &a], 1), (vec!["PSUBSCRIBE", "p*"], 3)]
    {
        world.say(client, &command(&words));
        world.connect_all();
        (0..node_count).for_each(|node| world.confirm_all(node));
        world.heard(client);
        world.goes_on(client);
    }
    world.say(client, "UNSUBSCRIBE zz\r\n");
    assert_eq!(world.heard(client), confirmed("unsubscribe", "zz", 3));
    world.say(client, "UNSUBSCRIBE\r\n");
    world.catch_up(client);
    assert_eq!(world.heard(client), confirmed("unsubscribe", &a, 2) + &confirmed("unsubscribe", &b, 1));
    world.goes_on(client);
    world.say(client, "SUNSUBSCRIBE\r\n");
    world.catch_up(client);
    assert_eq!(world.heard(client), confirmed("sunsubscribe", &a, 0));
}

#[test]
fn client_reply_off_silences_neither_confirmations_nor_messages() {
    let mut world = World::new(settings());
    let client = world.client();
    let (a, down) = (world.key(0, 0), world.key(1, 0));
    world.say(client, &format!("CLIENT REPLY OFF\r\nPING\r\n{}", command(&["SUBSCRIBE", &a])));
    world.connect_all();
    world.confirm_all(0);
    world.ear_says(0, &message(&a, "m")).unwrap();
    assert_eq!(world.heard(client), confirmed("subscribe", &a, 1) + &message(&a, "m"));
    world.goes_on(client);
    world.core.node_down(NodeId(1), "connection refused");
    world.say(client, &format!("PING\r\n{}UNSUBSCRIBE zz\r\n", command(&["SUBSCRIBE", &down])));
    assert_eq!(world.heard(client), confirmed("unsubscribe", "zz", 1), "errors are replies");
}

#[test]
fn what_a_client_may_listen_to_is_bounded() {
    let mut settings = settings();
    settings.session.max_subscriptions = 2;
    let mut world = World::new(settings.clone());
    let client = world.client();
    let names: Vec<String> = (0..3).map(|n| world.key(0, n)).collect();
    world.say(client, &command(&["SUBSCRIBE", &names[0], &names[1], &names[2]]));
    let heard = world.heard(client);
    assert!(
        heard.starts_with("-ERR 'subscribe' would go beyond") && heard.contains("session.max_subscriptions is 2"),
        "{heard}"
    );
    world.say(client, &command(&["SUBSCRIBE", &names[0], &names[1]]));
    world.connect_all();
    world.confirm_all(0);
    world.heard(client);
    world.goes_on(client);
    world.say(client, &command(&["SUBSCRIBE", &names[1], &names[0]]));
    world.catch_up(client);
    assert_eq!(world.heard(client), confirmed("subscribe", &names[1], 2) + &confirmed("subscribe", &names[0], 2));
    world.say(client, &command(&["SSUBSCRIBE", &names[0]]));
    assert!(
        world.heard(client).contains("'ssubscribe' would go beyond"),
        "the same name of another kind is another one"
    );
    let other = world.client();
    world.say(other, &command(&["SUBSCRIBE", &names[0], &names[0], &names[0]]));
    world.catch_up(other);
    assert_eq!(world.heard(other).matches("subscribe").count(), 3, "one name, however often");
    settings.session.max_subscription_bytes = 4 << 10;
    let mut world = World::new(settings);
    let client = world.client();
    world.say(client, &command(&["SSUBSCRIBE", &"x".repeat(4_000)]));
    assert!(world.heard(client).contains("session.max_subscription_bytes is 4096"));
}

#[test]
fn a_subscriber_that_does_not_read_is_dropped_and_nobody_else() {
    let mut settings = settings();
    settings.session.hard_pushes = 100_000;
    let mut world = World::new(settings);
    let a = world.key(0, 0);
    let slow = world.subscriber("SUBSCRIBE", &a);
    let quick = world.subscriber("SUBSCRIBE", &a);
    for _ in 0..30 {
        world.ear_says(0, &message(&a, &"x".repeat(5_000))).unwrap();
        world.core.settle_client(slow);
        assert_eq!(world.heard(quick).len(), message(&a, &"x".repeat(5_000)).len());
    }
    assert!(world.core.client(slow).is_none() && world.core.client(quick).is_some());
    assert_eq!(world.core.counters.closed[Closed::Pushes as usize], 1);
    let what_became = world.core.take_todo();
    assert!(what_became.iter().any(|todo| matches!(todo, Todo::Dropped(_, _, Closed::Pushes))), "{what_became:?}");
}

#[test]
fn a_message_that_nobody_may_be_owed_drops_its_subscribers_and_is_not_kept() {
    let mut settings = settings();
    settings.session.hard_pushes = 100_000;
    let mut world = World::new(settings);
    let (a, b) = (world.key(0, 0), world.key(0, 1));
    let (greedy, other) = (world.subscriber("SUBSCRIBE", &a), world.subscriber("SUBSCRIBE", &b));
    let large = message(&a, &"x".repeat(1_000_000));
    world.ear_says(0, &large[..900_000]).unwrap();
    assert!(world.core.ears[0].as_ref().unwrap().held() < 400_000);
    world.ear_says(0, &large[900_000..]).unwrap();
    assert!(world.core.client(greedy).is_none());
    world.ear_says(0, &message(&b, "m")).unwrap();
    assert_eq!(world.heard(other), message(&b, "m"));
}

#[test]
fn publish_tells_subscribers_and_not_ears() {
    let mut world = World::new(settings());
    let a = world.key(0, 0);
    let publisher = world.client();
    let publish = command(&["PUBLISH", &a, "m"]);
    world.say(publisher, &publish);
    assert_eq!(world.asked(0), publish);
    world.node_says(0, ":0\r\n");
    assert_eq!(world.heard(publisher), ":0\r\n");
    for _ in 0..3 {
        world.subscriber("SUBSCRIBE", &a);
    }
    world.subscriber("PSUBSCRIBE", "k*");
    world.subscriber("PSUBSCRIBE", "x*");
    world.say(publisher, &publish);
    assert_eq!(world.asked(0), publish);
    world.node_says(0, ":3\r\n");
    assert_eq!(
        world.heard(publisher),
        ":5\r\n",
        "an ear for the channel, one for the pattern, and a foreign subscriber"
    );
    world.say(publisher, &command(&["SPUBLISH", &a, "m"]));
    world.node_says(0, ":1\r\n");
    assert_eq!(world.heard(publisher), ":1\r\n");
    world.say(publisher, &command(&["PUBSUB", "NUMSUB", &a]));
    for (node, count) in [(0, 2), (1, 0), (2, 0)] {
        world.node_says(node, &format!("*2\r\n${}\r\n{a}\r\n:{count}\r\n", a.len()));
    }
    assert_eq!(world.heard(publisher), format!("*2\r\n${}\r\n{a}\r\n:4\r\n", a.len()));
}

#[test]
fn a_session_that_ends_while_it_waits_leaves_nothing_behind() {
    let mut world = World::new(settings());
    let a = world.key(0, 0);
    let (waits, quits) = (world.client(), world.subscriber("PSUBSCRIBE", "k*"));
    world.say(waits, &command(&["SUBSCRIBE", &a]));
    world.core.drop_client(waits, Closed::Killed);
    world.say(quits, "QUIT\r\n");
    (0..3).for_each(|node| {
        world.ordered(node);
    });
    assert_eq!(world.heard(quits), "+OK\r\n");
    assert!(world.core.client(quits).is_none());
    assert_eq!(world.core.topics.counts(), [0; 3]);
    let ears: Vec<PipeId> = (0..3).map(|node| world.ear(node)).collect();
    assert!(ears.iter().all(|id| !world.core.is_wanted(&world.core.pipes[id.index()])));
    for node in 0..3 {
        let asked = world.core.pipes[world.ear(node).index()].inflight.len();
        for (word, name) in [("subscribe", a.as_str()), ("unsubscribe", &a), ("punsubscribe", "k*")] {
            if word == "punsubscribe" || node == 0 {
                world
                    .ear_says(node, &confirmed(word, name, 0))
                    .unwrap_or_else(|error| panic!("{node} {word}: {error}"));
            }
        }
        assert!(asked > 0);
    }
    world.core.set_now(400_000_000);
    world.core.sweep();
    assert!(ears.iter().all(|id| world.core.pipes[id.index()].state == State::Idle), "closed when nobody needs it");
}

#[test]
fn draining_ends_subscribers_and_those_that_wait() {
    let mut world = World::new(settings());
    let a = world.key(0, 0);
    world.subscriber("SUBSCRIBE", &a);
    let waits = world.client();
    world.say(waits, &command(&["SUBSCRIBE", &world.key(0, 1)]));
    world.core.drain();
    let dirty: Vec<ClientKey> = std::iter::from_fn(|| world.core.next_dirty_client()).collect();
    dirty.into_iter().for_each(|key| world.core.settle_client(key));
    assert!(!world.core.is_drained());
    world.confirm_all(0);
    world.heard(waits);
    assert!(world.core.is_drained());
}

#[test]
fn a_thousand_subscribers_share_what_is_made_for_them() {
    let mut world = World::new(settings());
    let a = world.key(0, 0);
    world.subscriber("SUBSCRIBE", &a);
    let clients: Vec<ClientKey> = (0..999).map(|_| world.client()).collect();
    clients.iter().for_each(|client| world.say(*client, &command(&["SUBSCRIBE", &a])));
    world.confirm_all(0);
    clients.iter().for_each(|client| world.resume(*client));
    flush(&mut world.core);
    let frame = message(&a, &"m".repeat(100));
    let mut chunk = world.core.pool().take();
    Rc::get_mut(&mut chunk).unwrap()[..frame.len()].copy_from_slice(frame.as_bytes());
    let id = world.ear(0);
    let mut round = |_| {
        world.core.feed_node(id, &chunk, frame.len()).unwrap();
        flush(&mut world.core);
    };
    (0..4).for_each(&mut round);
    let counted = allocation_counter::measure(|| (0..10).for_each(&mut round));
    assert!(counted.count_total <= 20, "{} allocations for 10 messages to 1000", counted.count_total);
    assert_eq!(world.core.counters.messages_out, 14_000);
}
