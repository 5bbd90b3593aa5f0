//! What is counted: the parts of a command's time, sessions by what they do, nodes by their state, errors, big replies.

use super::*;
use crate::traffic::{
    client::Doing,
    counters::{NodeState, latency_bucket},
    observe::{ErrorCode, Tally},
};

impl World {
    fn tally(&self, name: &str) -> Tally {
        let row = self.core.snapshot.table.rows().find(|row| row.name == name).unwrap().id;
        self.core.counters.commands.iter().find(|(known, _)| *known == row).unwrap().1.clone()
    }

    fn doing(&mut self, doing: Doing) -> u64 {
        self.core.tick();
        self.core.counters.doing[doing as usize]
    }
}

#[test]
fn a_commands_time_has_a_nodes_part_and_circlets_own() {
    let mut world = World::new(settings());
    let client = world.client();
    let get = command(&["GET", &world.key(0, 0)]);
    world.core.set_now(1_000);
    world.say(client, &get.repeat(3));
    world.core.set_now(1_050);
    world.node_says(0, &"$1\r\nx\r\n".repeat(3));
    assert!(world.core.measures_flush());
    world.core.set_now(1_060);
    world.core.flushed();
    let tally = world.tally("get");
    assert_eq!((tally.calls, tally.total.count(), tally.node.count(), tally.own.count()), (3, 3, 3, 3));
    assert_eq!((tally.total.sum_us, tally.node.sum_us, tally.own.sum_us), (180, 150, 30));
}

#[test]
fn what_was_split_counts_once_with_its_slowest_part() {
    let mut world = World::new(settings());
    let client = world.client();
    world.say(client, &command(&["MGET", &world.key(0, 0), &world.key(1, 0)]));
    world.core.set_now(100);
    world.node_says(1, "*1\r\n$-1\r\n");
    world.core.set_now(300);
    world.node_says(0, "*1\r\n$-1\r\n");
    world.core.flushed();
    let tally = world.tally("mget");
    assert_eq!((tally.node.count(), tally.node.sum_us), (1, 300));
}

#[test]
fn a_request_that_a_full_pipe_held_back_falls_into_the_bucket_of_its_whole_time() {
    let mut settings = settings();
    settings.pipe.max_in_flight = 1;
    let mut world = World::new(settings);
    let (first, second) = (world.client(), world.client());
    let get = command(&["GET", &world.key(0, 0)]);
    world.core.set_now(1_000_000);
    world.say(first, &get);
    world.say(second, &get);
    world.core.set_now(1_008_000);
    world.node_says(0, "$-1\r\n");
    world.core.flushed();
    world.core.resume_client(second);
    world.core.set_now(1_011_000);
    world.node_says(0, "$-1\r\n");
    world.core.flushed();
    let tally = world.tally("get");
    let in_bucket = |us: u32| tally.total.buckets[latency_bucket(us)];
    assert_eq!((in_bucket(8_000), in_bucket(11_000)), (1, 1));
    assert_eq!(tally.own.buckets[latency_bucket(8_000)], 1);
    assert_eq!((tally.total.sum_us, tally.own.sum_us), (19_000, 8_000));
}

#[test]
fn sessions_are_counted_by_what_they_do_each_once() {
    let mut world = World::new(settings());
    let clients: Vec<ClientKey> = (0..5).map(|_| world.client()).collect();
    assert_eq!(world.doing(Doing::Normal), 5);
    world.say(clients[0], "MULTI\r\n");
    world.say(clients[1], &format!("BLPOP {} 0\r\n", world.key(0, 0)));
    world.say(clients[2], &format!("WATCH {}\r\n", world.key(0, 0)));
    world.say(clients[3], "MONITOR\r\n");
    assert_eq!(world.doing(Doing::Transaction), 2);
    assert_eq!((world.doing(Doing::Blocked), world.doing(Doing::Normal)), (1, 1));
    assert_eq!(world.core.counters.doing.iter().sum::<u64>(), 5);
    world.say(clients[0], "DISCARD\r\n");
    assert_eq!(world.doing(Doing::Transaction), 1);
}

#[test]
fn a_nodes_state_and_its_connections_are_told() {
    let mut world = World::new(settings());
    world.core.tick();
    let counters = |world: &World| world.core.counters.nodes[0].clone();
    assert_eq!((counters(&world).state, counters(&world).opened, counters(&world).reconnects), (NodeState::Up, 1, 0));
    world.core.set_now(2_000_000);
    world.lose(0, &Lost::Broken("reset".into()));
    world.connect_all();
    assert_eq!((counters(&world).opened, counters(&world).reconnects), (2, 1));
    world.lose(0, &Lost::Silent);
    world.core.tick();
    assert_eq!((counters(&world).state, counters(&world).connections), (NodeState::Down, 0));
    world.core.set_now(60_000_000);
    world.core.tick();
    world.connect_all();
    world.core.tick();
    assert_eq!((counters(&world).state, counters(&world).reconnects), (NodeState::Up, 2));
    let client = world.client();
    world.say(client, &command(&["GET", &world.key(0, 0)]));
    world.core.tick();
    assert!(counters(&world).unsent > 20);
}

#[test]
fn a_connection_closed_for_want_of_use_is_no_reconnect() {
    let mut world = World::new(settings());
    world.lose(0, &Lost::Idle);
    let client = world.client();
    world.say(client, &command(&["GET", &world.key(0, 0)]));
    world.connect_all();
    let counters = &world.core.counters.nodes[0];
    assert_eq!((counters.opened, counters.reconnects), (2, 0));
}

#[test]
fn a_nodes_errors_are_counted_by_their_first_word_in_any_split() {
    let mut world = World::new(settings());
    let client = world.client();
    let set = command(&["SET", &world.key(1, 0), "v"]);
    world.say(client, &set.repeat(3));
    world.node_says(1, "-OOM command not allowed\r\n-LOAD");
    world.node_says(1, "ING Redis is loading\r\n-STRANGE x\r\n");
    let errors = world.core.counters.nodes[1].errors;
    // Of a reply that came in parts the first part is looked at.
    assert_eq!((errors[ErrorCode::Oom as usize], errors[ErrorCode::Other as usize]), (1, 2));
    assert_eq!((errors.iter().sum::<u64>(), world.core.counters.node_errors), (3, 3));
}

#[test]
fn big_replies_are_counted_once_however_they_come() {
    let mut world = World::new(settings());
    let client = world.client();
    let (one, other) = (world.key(0, 0), world.key(1, 0));
    let bulk = |len: usize| format!("${len}\r\n{}\r\n", "x".repeat(len));
    world.say(client, &command(&["GET", &one]).repeat(3));
    world.node_says(0, &format!("{}{}{}", bulk(1_000_000), bulk(100), bulk(270_000)));
    assert_eq!(world.core.counters.big_replies, 2);
    world.heard(client);
    world.say(client, &command(&["MGET", &one, &other]));
    world.node_says(0, &format!("*1\r\n{}", bulk(150_000)));
    world.node_says(1, &format!("*1\r\n{}", bulk(150_000)));
    assert_eq!(world.core.counters.big_replies, 3, "the whole is big");
}

#[test]
fn what_was_held_between_two_ticks_is_told_once() {
    let mut world = World::new(settings());
    let clients: Vec<ClientKey> = (0..50).map(|_| world.client()).collect();
    let get = command(&["GET", &world.key(0, 0)]);
    let large = format!("${}\r\n{}\r\n", 200_000, "x".repeat(200_000));
    clients.iter().for_each(|client| world.say(*client, &get));
    world.node_says(0, &large.repeat(50));
    clients.iter().for_each(|client| assert_eq!(world.heard(*client).len(), large.len()));
    world.core.tick();
    let told = |world: &World| (world.core.counters.buffered_peak, world.core.counters.buffered);
    let (peak, now) = told(&world);
    assert!(peak > 8_000_000 && now < 1_000_000, "{peak} at most, {now} now");
    world.core.tick();
    let (peak, _) = told(&world);
    assert!(peak < 1_000_000, "{peak}");
}
