//! Publish/subscribe: messages, confirmations and counts as of one Redis, over several nodes and workers.

use crate::support::{
    Client, Cluster, Redis, http,
    resp::{self, Value},
    wait::until_true,
};

fn text(frame: &[u8]) -> String {
    String::from_utf8_lossy(frame).into_owned()
}

/// Sends `line` and gives the one frame that confirms it.
fn subscribe(client: &mut Client, line: &str) -> String {
    client.ask(line)
}

/// A RESP2 array of bulks, as messages are.
fn array(words: &[&str]) -> String {
    let mut out = Vec::new();
    resp::request(&mut out, words);
    text(&out)
}

/// The same as a push of RESP3.
fn push(words: &[&str]) -> String {
    array(words).replacen('*', ">", 1)
}

/// All frames that `line` is answered with, in order: those before the answer to a PING behind it.
fn answers(client: &mut Client, line: &str) -> Vec<String> {
    let mut bytes = resp::words(line);
    bytes.extend(resp::words("PING the-end"));
    client.send(&bytes);
    let mut frames = Vec::new();
    loop {
        let frame = text(&client.frame());
        if frame.contains("the-end") {
            return frames;
        }
        frames.push(frame);
    }
}

/// Sends each line to both; the frames must be the same.
fn same(plain: &mut Client, through: &mut Client, lines: &[&str]) {
    for line in lines {
        assert_eq!(answers(through, line), answers(plain, line), "{line}");
    }
}

const SCRIPT: &[&str] = &[
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE x y",
    "SUNSUBSCRIBE",
    "SUBSCRIBE a b a",
    "UNSUBSCRIBE zz",
    "SSUBSCRIBE s t",
    "PSUBSCRIBE p* a* p*",
    "GET k",
    "config get x",
    "PING",
    "PING a b",
    "GET",
    "NOSUCH",
    "SUBSCRIBE",
    "UNSUBSCRIBE a",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SUBSCRIBE last",
    "SUNSUBSCRIBE s",
    "SUNSUBSCRIBE t",
    "UNSUBSCRIBE",
    "UNSUBSCRIBE",
    "SET k v",
    "SSUBSCRIBE s",
    "GET k",
    "RESET",
    "GET k",
    "PUBLISH a",
    "PUBLISH a m",
    "SPUBLISH s m",
    "PUBSUB NUMSUB",
    "PUBSUB NUMSUB a b",
    "PUBSUB SHARDNUMSUB s",
    "PUBSUB NUMPAT",
    "PUBSUB CHANNELS",
    "PUBSUB CHANNELS a b",
    "PUBSUB SHARDCHANNELS",
];

#[test]
fn every_confirmation_and_refusal_is_that_of_redis() {
    let cluster = Cluster::start();
    let plain = Redis::start();
    same(&mut plain.client(), &mut cluster.client(), SCRIPT);
    let (mut plain, mut through) = (plain.client(), cluster.client3());
    plain.ask("HELLO 3");
    same(&mut plain, &mut through, SCRIPT);
    for client in [&mut plain, &mut through] {
        assert!(client.ask("HELLO 3").starts_with('%'));
    }
    same(
        &mut plain,
        &mut through,
        &["SUBSCRIBE a", "PSUBSCRIBE *", "PUBSUB NUMPAT", "PUBSUB NUMSUB a b", "PUBSUB CHANNELS a*"],
    );
    // Whether the reply or the message comes first is nobody's business.
    let sorted = |client: &mut Client| {
        client.send(&resp::words("PUBLISH a hello"));
        let mut frames: Vec<String> = (0..3).map(|_| text(&client.frame())).collect();
        frames.sort();
        frames
    };
    assert_eq!(sorted(&mut through), sorted(&mut plain));
    for client in [&mut plain, &mut through] {
        assert!(client.ask("HELLO 2").starts_with("*14"));
    }
    same(&mut plain, &mut through, &["GET k", "PING", "UNSUBSCRIBE a", "PUNSUBSCRIBE", "GET k"]);
}

#[test]
fn inside_a_transaction_it_is_as_in_redis() {
    let cluster = Cluster::start();
    let plain = Redis::start();
    let (mut plain, mut through) = (plain.client(), cluster.client());
    for client in [&mut plain, &mut through] {
        for line in ["MULTI", "SET {t}k v", "SUBSCRIBE a b", "PING", "GET {t}k", "UNSUBSCRIBE b", "PUBLISH c m"] {
            client.expect(line, if line == "MULTI" { "+OK\r\n" } else { "+QUEUED\r\n" });
        }
    }
    same(&mut plain, &mut through, &["EXEC", "GET k", "PING", "UNSUBSCRIBE a", "GET {t}k"]);
    // A message does not stand inside EXEC's reply, wherever its PUBLISH stood.
    let mut three = cluster.client3();
    subscribe(&mut three, "SUBSCRIBE c");
    three.expect("MULTI", "+OK\r\n");
    for line in ["PUBLISH c 1", "GET {t}k", "PUBLISH c 2", "PING"] {
        three.expect(line, "+QUEUED\r\n");
    }
    three.send(&resp::words("EXEC"));
    let frames: Vec<String> = (0..3).map(|_| text(&three.frame())).collect();
    assert_eq!(
        frames,
        [
            "*4\r\n:1\r\n$1\r\nv\r\n:1\r\n+PONG\r\n".to_owned(),
            push(&["message", "c", "1"]),
            push(&["message", "c", "2"])
        ]
    );
}

#[test]
fn confirmations_and_messages_pass_client_reply_off() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.send(b"CLIENT REPLY OFF\r\nPING\r\nSUBSCRIBE a\r\nPING\r\n");
    assert_eq!(text(&client.frame()), "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    cluster.client().expect("PUBLISH a m", ":1\r\n");
    assert_eq!(text(&client.frame()), array(&["message", "a", "m"]));
}

#[test]
fn subscribers_of_all_workers_hear_each_message_once() {
    let cluster = Cluster::start();
    let mut subscribers: Vec<Client> =
        (0..40).map(|at| if at % 2 == 0 { cluster.client() } else { cluster.client3() }).collect();
    let channels: Vec<String> = (0..3).map(|node| cluster.key_on(node, 0)).collect();
    for client in &mut subscribers {
        for channel in &channels {
            assert!(subscribe(client, &format!("SUBSCRIBE {channel}")).contains(channel.as_str()));
        }
    }
    let mut publisher = cluster.client();
    for round in 0..20 {
        for channel in &channels {
            publisher.expect(&format!("PUBLISH {channel} {round}"), ":40\r\n");
        }
    }
    for (at, client) in subscribers.iter_mut().enumerate() {
        // In order on each channel; channels of different nodes are not ordered with each other.
        let mut heard: Vec<Vec<Value>> = vec![Vec::new(); 3];
        for _ in 0..60 {
            let frame = client.frame();
            assert_eq!(frame[0], if at % 2 == 0 { b'*' } else { b'>' });
            let value = Value::of(&frame);
            let channel = channels.iter().position(|channel| *channel == value.list()[1].text()).unwrap();
            heard[channel].push(value);
        }
        for messages in heard {
            let rounds: Vec<i64> = messages.iter().map(|message| message.list()[2].number()).collect();
            assert_eq!(rounds, (0..20).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_pattern_hears_channels_of_all_nodes_once_each() {
    let cluster = Cluster::start();
    let plain = Redis::start();
    let mut clients = [(plain.client(), plain.client()), (cluster.client(), cluster.client())];
    for (subscriber, _) in &mut clients {
        for line in ["PSUBSCRIBE key:*", "PSUBSCRIBE k*", "PSUBSCRIBE [a-j]*", "SUBSCRIBE key:0"] {
            subscribe(subscriber, line);
        }
    }
    for number in 0..12 {
        let [plain, through] = &mut clients;
        let line = format!("PUBLISH key:{number} m");
        let count = plain.1.ask(&line);
        assert_eq!(through.1.ask(&line), count, "{line}");
        assert_eq!(count, if number == 0 { ":3\r\n" } else { ":2\r\n" });
        let messages = |subscriber: &mut Client| {
            let mut frames: Vec<String> =
                (0..if number == 0 { 3 } else { 2 }).map(|_| text(&subscriber.frame())).collect();
            frames.sort();
            frames
        };
        // One too many would be met in the next round.
        assert_eq!(messages(&mut through.0), messages(&mut plain.0));
    }
}

#[test]
fn keyspace_notifications_come_from_all_nodes() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("CONFIG SET notify-keyspace-events KEA", "+OK\r\n");
    let mut events = cluster.client();
    let mut one_key = cluster.client3();
    let mut all = cluster.client();
    let key = cluster.key_on(1, 0);
    subscribe(&mut events, "SUBSCRIBE __keyevent@0__:set");
    subscribe(&mut one_key, &format!("SUBSCRIBE __keyspace@0__:{key}"));
    subscribe(&mut all, "PSUBSCRIBE __key*__:*");
    for node in 0..3 {
        let key = cluster.key_on(node, 0);
        client.expect(&format!("SET {key} v"), "+OK\r\n");
        assert_eq!(text(&events.frame()), array(&["message", "__keyevent@0__:set", &key]));
        let mut heard: Vec<String> = (0..2).map(|_| text(&all.frame())).collect();
        heard.sort();
        let pattern = "__key*__:*";
        let mut expected = vec![
            array(&["pmessage", pattern, &format!("__keyspace@0__:{key}"), "set"]),
            array(&["pmessage", pattern, "__keyevent@0__:set", &key]),
        ];
        expected.sort();
        assert_eq!(heard, expected);
    }
    assert_eq!(text(&one_key.frame()), push(&["message", &format!("__keyspace@0__:{key}"), "set"]));
    // What a client itself publishes on such a channel comes once.
    for payload in ["mine", "another"] {
        client.expect(&format!("PUBLISH __keyevent@0__:set {payload}"), ":2\r\n");
        assert_eq!(text(&events.frame()), array(&["message", "__keyevent@0__:set", payload]));
    }
}

#[test]
fn shard_channels_are_a_world_of_their_own() {
    let cluster = Cluster::start();
    let (mut shard, mut plain) = (cluster.client(), cluster.client3());
    subscribe(&mut shard, "SSUBSCRIBE c");
    subscribe(&mut plain, "SUBSCRIBE c");
    let mut client = cluster.client();
    client.expect("PUBLISH c plain", ":1\r\n");
    client.expect("SPUBLISH c shard", ":1\r\n");
    assert_eq!(text(&shard.frame()), array(&["smessage", "c", "shard"]));
    assert_eq!(text(&plain.frame()), push(&["message", "c", "plain"]));
    client.expect("PUBSUB SHARDCHANNELS", "*1\r\n$1\r\nc\r\n");
    client.expect("PUBSUB SHARDNUMSUB c d", "*4\r\n$1\r\nc\r\n:1\r\n$1\r\nd\r\n:0\r\n");
}

#[test]
fn scripts_reach_subscribers_of_channels_with_their_keys_tag() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for tag in 0..6 {
        let mut subscriber = cluster.client();
        subscribe(&mut subscriber, &format!("SUBSCRIBE done:{{{tag}}}"));
        let mut script = Vec::new();
        let body = "redis.call('SET', KEYS[1], 'v') redis.call('PUBLISH', ARGV[1], 'ready')";
        resp::request(&mut script, &["EVAL", body, "1", &format!("job:{{{tag}}}"), &format!("done:{{{tag}}}")]);
        client.send(&script);
        assert_eq!(text(&client.frame()), "$-1\r\n");
        assert_eq!(text(&subscriber.frame()), array(&["message", &format!("done:{{{tag}}}"), "ready"]));
    }
}

#[test]
fn one_command_may_name_many_channels() {
    const COUNT: usize = 5_000;
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let names: Vec<String> = (0..COUNT).map(|number| format!("channel:{number}")).collect();
    let mut words = vec!["SUBSCRIBE"];
    words.extend(names.iter().map(String::as_str));
    let mut bytes = Vec::new();
    resp::request(&mut bytes, &words);
    for (number, frame) in client.pipeline(&bytes, COUNT).iter().enumerate() {
        let name = &names[number];
        assert_eq!(text(frame), format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{name}\r\n:{}\r\n", name.len(), number + 1));
    }
    let mut publisher = cluster.client();
    for number in (0..COUNT).step_by(97) {
        publisher.expect(&format!("PUBLISH channel:{number} {number}"), ":1\r\n");
        assert_eq!(text(&client.frame()), array(&["message", &names[number], &number.to_string()]));
    }
    words[0] = "UNSUBSCRIBE";
    bytes.clear();
    resp::request(&mut bytes, &words);
    let last = client.pipeline(&bytes, COUNT).pop().unwrap();
    assert!(text(&last).ends_with(":0\r\n"));
    assert_eq!(publisher.value("PUBSUB CHANNELS").list().len(), 0, "the nodes have confirmed it before");
}

#[test]
fn large_messages_arrive_whole() {
    let cluster = Cluster::start();
    let (mut two, mut three) = (cluster.client(), cluster.client3());
    subscribe(&mut two, "SUBSCRIBE c");
    subscribe(&mut three, "PSUBSCRIBE c*");
    let payload = "x\r\n".repeat(1_000_000);
    let mut publisher = cluster.client();
    for _ in 0..3 {
        let mut bytes = Vec::new();
        resp::request(&mut bytes, &["PUBLISH", "c", &payload]);
        assert_eq!(text(&publisher.pipeline(&bytes, 1)[0]), ":2\r\n");
        assert!(text(&two.frame()) == array(&["message", "c", &payload]));
        assert!(text(&three.frame()) == push(&["pmessage", "c*", "c", &payload]));
    }
}

#[test]
fn a_resp3_subscriber_may_ask_and_publish_and_no_message_stands_inside_a_reply() {
    const ROUNDS: usize = 300;
    let cluster = Cluster::start();
    let mut client = cluster.client3();
    subscribe(&mut client, "SUBSCRIBE c");
    let mut bytes = Vec::new();
    let keys: Vec<String> = (0..3).map(|node| cluster.key_on(node, 0)).collect();
    for (node, key) in keys.iter().enumerate() {
        cluster.client().expect(&format!("SET {key} {}", node.to_string().repeat(70_000)), "+OK\r\n");
    }
    for round in 0..ROUNDS {
        bytes.extend(resp::words(&format!("PUBLISH c {round}")));
        bytes.extend(resp::words(&format!("MGET {} {} {}", keys[0], keys[1], keys[2])));
        bytes.extend(resp::words(&format!("ECHO {round}")));
    }
    let frames = client.pipeline(&bytes, 4 * ROUNDS);
    let (pushes, replies): (Vec<_>, Vec<_>) = frames.iter().partition(|frame| frame[0] == b'>');
    assert_eq!((pushes.len(), replies.len()), (ROUNDS, 3 * ROUNDS));
    for (round, frame) in pushes.into_iter().enumerate() {
        assert_eq!(text(frame), push(&["message", "c", &round.to_string()]));
    }
    for (round, part) in replies.chunks(3).enumerate() {
        assert_eq!(text(part[0]), ":1\r\n");
        assert_eq!(Value::of(part[1]).list().len(), 3);
        assert_eq!(Value::of(part[2]).number(), round as i64);
    }
}

#[test]
fn who_listens_is_told_with_subscribers_of_the_nodes_themselves() {
    let cluster = Cluster::start();
    let channel = cluster.key_on(2, 0);
    let mut direct = cluster.nodes[2].client();
    subscribe(&mut direct, &format!("SUBSCRIBE {channel}"));
    let mut subscribers: Vec<Client> = (0..5).map(|_| cluster.client()).collect();
    subscribers.iter_mut().for_each(|client| drop(subscribe(client, &format!("SUBSCRIBE {channel}"))));
    subscribe(&mut subscribers[0], "PSUBSCRIBE key*");
    subscribe(&mut subscribers[1], "PSUBSCRIBE key*");
    subscribe(&mut subscribers[1], "PSUBSCRIBE other*");
    let mut client = cluster.client();
    let size = channel.len();
    client.expect(
        &format!("PUBSUB NUMSUB {channel} none"),
        &format!("*4\r\n${size}\r\n{channel}\r\n:6\r\n$4\r\nnone\r\n:0\r\n"),
    );
    client.expect("PUBSUB CHANNELS", &format!("*1\r\n${size}\r\n{channel}\r\n"));
    client.expect("PUBSUB CHANNELS x*", "*0\r\n");
    client.expect("PUBSUB NUMPAT", ":2\r\n");
    client.expect(&format!("PUBLISH {channel} m"), ":8\r\n");
    assert_eq!(text(&direct.frame()), array(&["message", &channel, "m"]));
    let info = client.value("INFO stats").text();
    assert!(info.contains("pubsub_channels:1\r\n") && info.contains("pubsub_patterns:2\r\n"), "{info}");
    let list = client.value("CLIENT LIST").text();
    let line = |sub: &str| list.lines().filter(|line| line.contains(" flags=P ") && line.contains(sub)).count();
    assert_eq!((line(" sub=1 psub=1 ssub=0 "), line(" sub=1 psub=2 ssub=0 "), line(" sub=1 ")), (1, 1, 5), "{list}");
    for (metric, value) in [("circlet_subscribers", 5.0), ("circlet_messages_total{direction=\"out\"}", 7.0)] {
        until_true(metric, || cluster.circlet.metric(metric) == Some(value));
    }
    // Gone one by one, in all the ways of going.
    assert_eq!(text(&subscribers[2].frame()), array(&["message", &channel, "m"]));
    subscribers[2].expect("RESET", "+RESET\r\n");
    let id = list.lines().find(|line| line.contains("psub=2")).and_then(|line| line.split(['=', ' ']).nth(1)).unwrap();
    client.expect(&format!("CLIENT KILL ID {id}"), ":1\r\n");
    drop(subscribers);
    drop(direct);
    until_true("nobody to listen", || {
        client.ask(&format!("PUBLISH {channel} m")) == ":0\r\n" && client.ask("PUBSUB NUMPAT") == ":0\r\n"
    });
    for node in &cluster.nodes {
        until_true("the nodes to have forgotten it", || node.client().ask("PUBSUB CHANNELS") == "*0\r\n");
    }
}

#[test]
fn invalidations_and_messages_reach_one_subscriber() {
    let cluster = Cluster::start();
    let mut listener = cluster.client();
    let id = listener.value("CLIENT ID").number();
    subscribe(&mut listener, "SUBSCRIBE __redis__:invalidate");
    let mut client = cluster.client();
    client.expect(&format!("CLIENT TRACKING ON REDIRECT {id}"), "+OK\r\n");
    let mut other = cluster.client();
    for node in 0..3 {
        let key = cluster.key_on(node, 0);
        client.expect(&format!("GET {key}"), "$-1\r\n");
        other.expect(&format!("SET {key} v"), "+OK\r\n");
        let invalidation =
            format!("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n${}\r\n{key}\r\n", key.len());
        assert_eq!(text(&listener.frame()), invalidation);
    }
    other.expect("PUBLISH __redis__:invalidate mine", ":1\r\n");
    assert_eq!(text(&listener.frame()), array(&["message", "__redis__:invalidate", "mine"]));
}

#[test]
fn limits_are_told_and_leave_the_client_as_it_was() {
    let cluster = Cluster::with(|plan| plan.set("session.max_subscriptions=3"));
    let mut client = cluster.client();
    let refusal = "-ERR 'subscribe' would go beyond what one client may listen to (session.max_subscriptions is 3); spread \
                   the channels over several connections, use a pattern, or raise session.max_subscriptions\r\n";
    client.expect("SUBSCRIBE a b c d", refusal);
    client.expect("GET k", "$-1\r\n");
    assert_eq!(answers(&mut client, "SUBSCRIBE a b c").len(), 3);
    client.expect("SUBSCRIBE d", refusal);
    client.expect("PSUBSCRIBE d", &refusal.replace("'subscribe'", "'psubscribe'"));
    assert_eq!(answers(&mut client, "SUBSCRIBE a b").len(), 2);
    client.expect("UNSUBSCRIBE a", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n");
    client.expect("SUBSCRIBE d", "*3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:3\r\n");
}

#[test]
fn one_connection_per_worker_and_node_serves_all_subscribers() {
    let cluster = Cluster::start();
    let mut subscribers: Vec<Client> = (0..30).map(|_| cluster.client()).collect();
    for (number, client) in subscribers.iter_mut().enumerate() {
        subscribe(client, &format!("PSUBSCRIBE pattern{}*", number % 5));
    }
    for node in &cluster.nodes {
        let list = node.client().value("CLIENT LIST TYPE pubsub").text();
        assert_eq!(list.lines().count(), 2, "one for each of 2 workers: {list}");
    }
    let (status, metrics) = http::get(&cluster.circlet.admin(), "/metrics").unwrap();
    assert_eq!(status, 200);
    assert!(metrics.contains("circlet_subscriptions{kind=\"pattern\"}"), "{metrics}");
}

#[test]
fn who_listened_when_it_was_published_hears_it_and_nobody_else() {
    let cluster = Cluster::start();
    let mut keepers: Vec<Client> = (0..2).map(|_| cluster.client()).collect();
    keepers.iter_mut().for_each(|keeper| drop(subscribe(keeper, "SUBSCRIBE c")));
    // One after the other on one worker, and now and then on the other one.
    let mut clients: Vec<Client> = (0..3).map(|_| cluster.client()).collect();
    for round in 0..120 {
        let client = &mut clients[round % 3];
        let lines = [
            "HELLO 3",
            "PUBLISH c too-early",
            "SUBSCRIBE c",
            "PUBLISH c one",
            "UNSUBSCRIBE c",
            "PUBLISH c too-late",
            "PSUBSCRIBE c*",
            "PUBLISH c two",
            "HELLO 2",
            "RESET",
            "PUBLISH c three",
        ];
        lines.iter().for_each(|line| client.send(&resp::words(line)));
        let frames: Vec<String> = (0..lines.len() + 2).map(|_| text(&client.frame())).collect();
        let messages: Vec<&String> = frames.iter().filter(|frame| frame.contains("message\r\n")).collect();
        assert_eq!(
            messages,
            [&push(&["message", "c", "one"]), &push(&["pmessage", "c*", "c", "two"])],
            "round {round}: {frames:?}"
        );
        let counts: Vec<&String> = frames.iter().filter(|frame| frame.starts_with(':')).collect();
        assert_eq!(counts, [":2\r\n", ":3\r\n", ":2\r\n", ":3\r\n", ":2\r\n"], "round {round}");
    }
}
