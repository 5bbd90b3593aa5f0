//! Nodes that join and leave: what is opened and closed, who is asked, and that nothing under way is lost.

use super::{
    pubsub::{confirmed, message},
    tracking::NULL,
    *,
};
use crate::traffic::{
    pipe::Holder,
    pubsub::Kind,
    route::{Change, Phase},
};

/// One node more than at the beginning.
const FOUR: [(&str, f64); 4] = [("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 1.0)];
/// The second of them has left.
const WITHOUT_B: [(&str, f64); 3] = [("a", 1.0), ("b", 0.0), ("c", 1.0)];

impl World {
    /// Publishes the next topology: these slots; who has no weight is no member.
    fn publish(&mut self, slots: &[(&str, f64)]) {
        let address = |at: usize| Address::Tcp { host: "127.0.0.1".into(), port: 7001 + at as u16 };
        let node = |(at, (name, weight)): (usize, &(&str, f64))| Node {
            member: *weight > 0.0,
            ..Node::new(*name, address(at))
        };
        let epoch = Epoch(self.core.snapshot.topology.epoch.0 + 1);
        let nodes = slots.iter().enumerate().map(node).collect();
        let topology = Arc::new(Topology::new(nodes, Ring::build(slots, 512).unwrap(), epoch));
        self.core.publish(Snapshot { topology, ..self.core.snapshot.clone() });
    }

    /// Lets time pass, and what is due happen.
    fn pass(&mut self, us: u64) {
        self.core.set_now(self.core.now_us + us);
        self.core.tick();
    }

    /// The states of all connections to `node`.
    fn open(&self, node: usize) -> usize {
        let open = |pipe: &&Pipe| pipe.node.index() == node && matches!(pipe.state, State::Ready | State::Connecting);
        self.core.pipes.iter().filter(open).count()
    }
}

fn is_connect(todo: &Todo) -> bool {
    matches!(todo, Todo::Connect(..))
}

#[test]
fn a_node_that_joins_is_connected_at_once_and_asked_for_its_keys_and_with_all() {
    let mut world = World::new(settings());
    let client = world.client();
    world.publish(&FOUR);
    let todo = world.core.take_todo();
    let id = world.pipe(3);
    assert!(todo.iter().any(|todo| matches!(todo, Todo::Connect(pipe, _) if *pipe == id)), "{todo:?}");
    assert!(todo.contains(&Todo::Acknowledge(Epoch(2))));
    assert!(world.core.pipe_connected(id, world.core.pipes[id.index()].attempt));
    let get = command(&["GET", &world.key(3, 0)]);
    world.say(client, &get);
    assert_eq!(world.asked(3), get);
    world.node_says(3, "$1\r\nd\r\n");
    assert_eq!(world.heard(client), "$1\r\nd\r\n");
    world.say(client, &command(&["DBSIZE"]));
    for node in 0..4 {
        assert_eq!(world.asked(node), command(&["DBSIZE"]), "node {node}");
        world.node_says(node, &format!(":{node}\r\n"));
    }
    assert_eq!(world.heard(client), ":6\r\n");
    assert_eq!((world.core.counters.nodes.len(), world.core.counters.nodes[3].requests), (4, 2));
    world.publish(&FOUR);
    assert!(!world.core.take_todo().iter().any(is_connect), "who was there before is not connected again");
}

#[test]
fn an_idle_connection_of_a_node_that_leaves_is_closed_at_once_and_stays_closed() {
    let mut world = World::new(settings());
    let client = world.client();
    world.publish(&WITHOUT_B);
    let (id, todo) = (world.pipe(1), world.core.take_todo());
    assert!(todo.contains(&Todo::Disconnect(id)) && !todo.iter().any(is_connect), "{todo:?}");
    assert_eq!((world.open(1), world.core.counters.nodes[1].connections), (0, 0));
    for _ in 0..100 {
        world.pass(1_000_000);
        world.core.sweep();
        // The others are asked whether they live, at most.
        assert!(!world.core.take_todo().iter().any(is_connect));
    }
    world.say(client, &command(&["DBSIZE"]));
    assert_eq!(
        [world.asked(0), world.asked(1), world.asked(2)],
        [command(&["DBSIZE"]), String::new(), command(&["DBSIZE"])]
    );
    world.node_says(2, ":2\r\n");
    world.node_says(0, ":1\r\n");
    assert_eq!(world.heard(client), ":3\r\n");
}

#[test]
fn what_is_in_flight_when_a_node_leaves_is_answered() {
    let mut world = World::new(settings());
    let (client, key) = (world.client(), world.key(1, 0));
    world.say(client, &command(&["SET", &key, "v"]));
    world.say(client, &command(&["DBSIZE"]));
    world.publish(&WITHOUT_B);
    world.pass(100_000);
    assert_eq!(world.open(1), 1, "it is still waited for");
    // What comes behind goes where the key is now.
    let get = command(&["GET", &key]);
    world.say(client, &get);
    let now = world.owner(&key);
    assert!(now != 1 && world.asked(now).ends_with(&get));
    assert_eq!(world.asked(1), command(&["SET", &key, "v"]) + &command(&["DBSIZE"]));
    world.node_says(1, "+OK\r\n:1\r\n");
    for node in [0, 2] {
        world.node_says(node, ":1\r\n");
    }
    world.node_says(now, "$1\r\nw\r\n");
    assert_eq!(world.heard(client), "+OK\r\n:3\r\n$1\r\nw\r\n");
    world.core.take_todo();
    world.pass(100_000);
    assert_eq!(world.core.take_todo(), [Todo::Disconnect(world.pipe(1))]);
    assert_eq!(world.open(1), 0);
    assert!(world.core.leaving.is_empty());
}

#[test]
fn a_read_that_was_lost_with_a_node_that_has_left_is_sent_once_more() {
    let mut world = World::new(settings());
    let (client, key) = (world.client(), world.key(1, 0));
    let get = command(&["GET", &key]);
    world.say(client, &get);
    world.publish(&WITHOUT_B);
    world.asked(1);
    world.core.take_todo();
    world.lose(1, &Lost::Broken("gone".into()));
    world.connect_all();
    assert_eq!(world.asked(1), get);
    world.node_says(1, "$1\r\nv\r\n");
    assert_eq!(world.heard(client), "$1\r\nv\r\n");
    world.pass(100_000);
    assert_eq!(world.open(1), 0);
    // Also one that never comes back is given up.
    let mut world = World::new(settings());
    let client = world.client();
    world.say(client, &get);
    world.publish(&WITHOUT_B);
    world.core.take_todo();
    world.lose(1, &Lost::Broken("gone".into()));
    let id = world.pipe(1);
    world.core.pipe_failed(id, world.core.pipes[id.index()].attempt, Fault::Node, "connection refused");
    assert_eq!(world.heard(client), "-NODEDOWN node b (127.0.0.1:7002): connection refused\r\n");
    world.core.take_todo();
    world.pass(100_000_000);
    assert!(!world.core.take_todo().iter().any(is_connect));
}

#[test]
fn a_connection_that_is_being_made_when_its_node_leaves_is_given_up() {
    let mut world = World::new(settings());
    world.publish(&FOUR);
    let (id, attempt) = (world.pipe(3), world.core.pipes[world.pipe(3).index()].attempt);
    world.publish(&[("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 0.0)]);
    assert!(!world.core.pipe_connected(id, attempt));
    assert_eq!(world.open(3), 0);
    // The slot is filled again, by the same node.
    world.core.take_todo();
    world.publish(&FOUR);
    world.connect_all();
    let (client, get) = (world.client(), command(&["GET", &world.key(3, 0)]));
    world.say(client, &get);
    assert_eq!(world.asked(3), get);
}

#[test]
fn patterns_are_heard_from_a_node_that_joins_and_no_more_from_one_that_leaves() {
    let mut world = World::new(settings());
    let client = world.subscriber("PSUBSCRIBE", "news.*");
    world.publish(&FOUR);
    assert!(!world.core.hears_everything());
    world.connect_all();
    assert_eq!(world.ordered(3), ["psubscribe news.*"]);
    world.ear_says(3, &confirmed("psubscribe", "news.*", 1)).unwrap();
    assert!(world.core.hears_everything());
    let message = command(&["pmessage", "news.*", "news.1", "hello"]);
    world.ear_says(3, &message).unwrap();
    assert_eq!(world.heard(client), message);
    world.publish(&[("a", 1.0), ("b", 0.0), ("c", 1.0), ("d", 1.0)]);
    // What it sent before it hears of that still counts as said; nobody listens to it, though the others are heard.
    assert_eq!(world.ordered(1), ["punsubscribe news.*"]);
    assert_eq!(world.core.pipes[world.ear(1).index()].state, State::Ready);
    world.ear_says(1, &confirmed("punsubscribe", "news.*", 0)).unwrap();
    world.core.take_todo();
    world.pass(100_000);
    assert_eq!(world.core.take_todo(), [Todo::Disconnect(world.ear(1))], "and nobody is told that anything is missed");
    assert!(world.core.hears_everything());
    world.say(client, &command(&["PUNSUBSCRIBE", "news.*"]));
    for node in [0, 2, 3] {
        world.confirm_all(node);
    }
    world.resume(client);
    for node in [0, 2, 3] {
        assert_eq!(world.ordered(node), ["punsubscribe news.*"], "node {node}");
        world.ear_says(node, &confirmed("punsubscribe", "news.*", 0)).unwrap();
    }
    assert_eq!(world.heard(client), confirmed("punsubscribe", "news.*", 0));
    assert_eq!(world.core.topics.counts(), [0; Kind::COUNT]);
    for _ in 0..20 {
        world.pass(1_000_000);
        world.core.take_todo();
        assert_eq!(world.open(1), 0);
    }
}

#[test]
fn a_channel_follows_the_ring() {
    let mut world = World::new(settings());
    let channel = world.key(1, 0);
    let client = world.subscriber("SUBSCRIBE", &channel);
    world.publish(&WITHOUT_B);
    let now = world.owner(&channel);
    world.connect_all();
    assert_eq!(world.ordered(now), [format!("subscribe {channel}")]);
    assert_eq!(world.ordered(1), [format!("unsubscribe {channel}")]);
    // What the old node had sent before is no less a message.
    world.ear_says(1, &message(&channel, "one")).unwrap();
    world.ear_says(1, &confirmed("unsubscribe", &channel, 0)).unwrap();
    world.ear_says(now, &confirmed("subscribe", &channel, 1)).unwrap();
    world.ear_says(now, &message(&channel, "two")).unwrap();
    assert_eq!(world.heard(client), message(&channel, "one") + &message(&channel, "two"));
}

#[test]
fn while_nodes_change_a_channel_is_heard_at_both_places_before_the_topology_is_acknowledged() {
    let mut world = World::new(settings());
    let next = Arc::new(Ring::build(&FOUR, 512).unwrap());
    let channel = (0..).map(|n| format!("news{n}")).find(|name| next.owner_of(name.as_bytes()) == NodeId(3)).unwrap();
    let before = world.owner(&channel);
    let client = world.subscriber("SUBSCRIBE", &channel);
    let old = Arc::clone(&world.core.snapshot.topology);
    let mut nodes = old.nodes.clone();
    nodes.push(Node::new("d", Address::Tcp { host: "127.0.0.1".into(), port: 7004 }));
    let ring = |slots: [f64; 4]| Ring::build(&[0, 1, 2, 3].map(|at| (FOUR[at].0, slots[at])), 512).unwrap();
    let change = |phase| Change {
        id: 1,
        next: Arc::clone(&next),
        done: [false].into(),
        part: 0,
        phase,
        loses: [true; 4].into(),
        arrived: Arc::default(),
    };
    let publish = |world: &mut World, phase, epoch| {
        let topology = Topology::new(nodes.clone(), ring([1.0, 1.0, 1.0, 0.0]), Epoch(epoch)).changing(change(phase));
        world.core.publish(Snapshot { topology: Arc::new(topology), ..world.core.snapshot.clone() });
    };
    publish(&mut world, Phase::Prepare, 2);
    world.connect_all();
    world.pass(100_000);
    assert!(!world.core.take_todo().contains(&Todo::Acknowledge(Epoch(2))), "it is not heard there");
    assert_eq!(world.ordered(3), [format!("subscribe {channel}")]);
    world.ear_says(3, &confirmed("subscribe", &channel, 1)).unwrap();
    world.pass(100_000);
    assert!(world.core.take_todo().contains(&Todo::Acknowledge(Epoch(2))));
    for (at, epoch, phase) in [(before, 3, Phase::Fence), (3, 4, Phase::Moving)] {
        publish(&mut world, phase, epoch);
        assert!(world.core.take_todo().contains(&Todo::Acknowledge(Epoch(epoch))));
        world.ear_says(at, &message(&channel, "hello")).unwrap();
        assert_eq!(world.heard(client), message(&channel, "hello"));
    }
    assert!(world.ordered(before).iter().all(|order| order == "PING"));
    world.publish(&FOUR);
    assert_eq!(world.ordered(before), [format!("unsubscribe {channel}")]);
    assert!(world.ordered(3).iter().all(|order| order == "PING"));
}

#[test]
fn whoever_waits_for_a_subscription_at_a_node_that_leaves_gets_it_at_the_next() {
    let mut world = World::new(settings());
    let (client, channel) = (world.client(), world.key(1, 0));
    world.say(client, &command(&["SUBSCRIBE", &channel]));
    world.publish(&WITHOUT_B);
    let now = world.owner(&channel);
    // The connection to the one that has left is made too late.
    for todo in world.core.take_todo() {
        if let Todo::Connect(id, attempt) = todo {
            let left = world.core.pipes[id.index()].node == NodeId(1);
            assert_eq!(world.core.pipe_connected(id, attempt), !left);
        }
    }
    assert_eq!(world.heard(client), "");
    world.ear_says(now, &confirmed("subscribe", &channel, 1)).unwrap();
    assert_eq!(world.heard(client), confirmed("subscribe", &channel, 1));
    world.pass(100_000);
    assert_eq!(world.open(1), 0);
}

#[test]
fn sessions_that_track_prefixes_listen_to_a_node_that_joins() {
    let mut world = World::new(settings());
    let client = world.client3();
    world.say(client, &command(&["CLIENT", "TRACKING", "ON", "BCAST"]));
    world.greet_all();
    assert_eq!(world.heard(client), "+OK\r\n");
    world.publish(&FOUR);
    world.greet_all();
    let links = world.tracked(client);
    assert_eq!(links.iter().map(|link| link.node.index()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(world.heard(client), NULL, "what it may have missed there");
    world.publish(&[("a", 1.0), ("b", 0.0), ("c", 1.0), ("d", 1.0)]);
    assert_eq!(world.tracked(client).len(), 3);
    assert_eq!(world.heard(client), NULL, "what was tracked at a node that has left is not known any more");
    assert_eq!(world.open(1), 0);
}

#[test]
fn what_is_watched_at_a_node_that_leaves_is_watched_no_more() {
    let mut world = World::new(settings());
    let (client, key) = (world.client(), world.key(1, 0));
    world.say(client, &command(&["WATCH", &key]));
    let lease = world.leases(client)[0];
    world.greet_all();
    world.says_on(lease, "+OK\r\n");
    assert_eq!(world.heard(client), "+OK\r\n");
    world.publish(&WITHOUT_B);
    assert!(world.leases(client).is_empty() && world.open(1) == 0);
    assert!(world.core.client(client).unwrap().special.as_ref().unwrap().watch.as_ref().unwrap().lost);
}

#[test]
fn a_blocking_command_keeps_its_connection_until_it_is_answered() {
    let mut world = World::new(settings());
    let (client, key) = (world.client(), world.key(1, 0));
    world.say(client, &command(&["BLPOP", &key, "0"]));
    let lease = world.leases(client)[0];
    world.greet_all();
    world.publish(&WITHOUT_B);
    world.pass(100_000);
    assert_eq!(world.core.pipes[lease.index()].state, State::Ready);
    let popped = command(&[&key, "x"]);
    world.says_on(lease, &popped);
    assert_eq!(world.heard(client), popped);
    world.pass(100_000);
    assert_eq!((world.open(1), world.core.leased()), (0, 0));
    assert!(world.core.pipes.iter().all(|pipe| pipe.holder != Holder::Session(client)));
}

#[test]
fn what_is_shown_of_nodes_are_those_that_take_part() {
    let mut world = World::new(settings());
    let client = world.client();
    world.publish(&[("a", 1.0), ("b", 0.0), ("c", 1.0), ("d", 1.0)]);
    world.connect_all();
    let info = world.core.circlet_info();
    assert!(info.contains("circlet_nodes:3\r\ncirclet_nodes_up:3\r\n"), "{info}");
    assert!(info.contains("node0:name=a,") && info.contains("node3:name=d,") && !info.contains("name=b"), "{info}");
    for sub in ["NODES", "RING"] {
        world.say(client, &command(&["CIRCLET", sub]));
        let told = world.heard(client);
        assert!(told.contains("*3\r\n*") && told.contains("$1\r\nd\r\n") && !told.contains("$1\r\nb\r\n"), "{told}");
    }
}

#[test]
fn a_node_that_is_left_out_is_asked_nothing_and_still_listed() {
    let mut world = World::new(settings());
    let client = world.client();
    world.publish(&WITHOUT_B);
    let present = Arc::clone(&world.core.snapshot.topology);
    let mut nodes = present.nodes.clone();
    nodes[1].out = true;
    let topology = Arc::new(Topology::new(nodes, Arc::clone(&present.ring), Epoch(present.epoch.0 + 1)));
    world.core.publish(Snapshot { topology, ..world.core.snapshot.clone() });
    world.say(client, &command(&["DBSIZE"]));
    assert_eq!(world.asked(1), "");
    world.node_says(0, ":1\r\n");
    world.node_says(2, ":2\r\n");
    assert_eq!(world.heard(client), ":3\r\n");
    let info = world.core.circlet_info();
    assert!(info.contains("circlet_nodes:3\r\ncirclet_nodes_up:2\r\ncirclet_nodes_out:1\r\n"), "{info}");
    assert!(info.contains("node1:name=b,") && info.contains(",state=out\r\n"), "{info}");
    world.say(client, &command(&["CIRCLET", "NODES"]));
    let nodes = world.heard(client);
    assert!(nodes.starts_with("*3\r\n") && nodes.contains("\r\nout\r\n"), "{nodes}");
    // It is back: connected at once.
    world.publish(&[("a", 1.0), ("b", 1.0), ("c", 1.0)]);
    assert!(world.core.take_todo().iter().any(is_connect));
}
