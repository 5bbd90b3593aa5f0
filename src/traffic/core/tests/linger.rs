//! When replies leave: those of a batch together, within bounds.

use super::*;

const LIMIT_US: u64 = 1_000;

impl World {
    /// What the flusher writes to `key` now; nothing of any session stays marked.
    fn written(&mut self, key: ClientKey) -> String {
        let mut text = String::new();
        while let Some(dirty) = self.core.next_dirty_client() {
            let heard = self.heard(dirty);
            if dirty == key {
                text.push_str(&heard);
            }
        }
        text
    }

    /// A client that has asked for a key of each of these nodes, all in one read.
    fn batch(&mut self, nodes: &[usize]) -> ClientKey {
        let client = self.client();
        let gets: String = nodes.iter().map(|node| command(&["GET", &self.key(*node, 0)])).collect();
        self.say(client, &gets);
        assert_eq!(self.written(client), "");
        client
    }

    fn lingered(&self) -> (u64, u64) {
        (self.core.counters.lingered_whole, self.core.counters.lingered_late)
    }
}

#[test]
fn replies_of_what_was_read_together_leave_together() {
    let mut world = World::new(settings());
    let client = world.batch(&[0, 1, 2]);
    world.node_says(0, "$1\r\n0\r\n");
    assert_eq!(world.written(client), "");
    world.node_says(1, "$1\r\n1\r\n");
    assert_eq!(world.written(client), "");
    assert_eq!(world.core.lingers_until(), Some(LIMIT_US));
    world.node_says(2, "$1\r\n2\r\n");
    assert_eq!(world.written(client), "$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n");
    assert_eq!((world.core.lingers_until(), world.lingered()), (None, (1, 0)));
}

#[test]
fn no_reply_lingers_for_longer_than_it_may() {
    let mut world = World::new(settings());
    let client = world.batch(&[0, 1]);
    world.core.set_now(500);
    let other = world.batch(&[2, 1]);
    world.core.set_now(700);
    world.node_says(0, "$1\r\n0\r\n");
    world.written(client);
    world.core.set_now(900);
    world.node_says(2, "$1\r\n2\r\n");
    world.written(other);
    assert_eq!(world.core.lingers_until(), Some(700 + LIMIT_US));
    world.core.set_now(700 + LIMIT_US - 1);
    world.core.end_lingering();
    assert_eq!(world.written(client), "");
    world.core.set_now(700 + LIMIT_US);
    world.core.end_lingering();
    assert_eq!(world.written(client), "$1\r\n0\r\n");
    assert_eq!(world.core.lingers_until(), Some(900 + LIMIT_US), "the other's time is not over");
    assert_eq!(world.lingered(), (0, 1));
    // The rest of a batch that was late is no reason to wait for, when it comes.
    world.node_says(1, "$1\r\n1\r\n$1\r\n1\r\n");
    assert_eq!(world.written(client), "$1\r\n1\r\n");
    assert_eq!((world.core.lingers_until(), world.lingered()), (None, (1, 1)));
}

#[test]
fn what_is_read_while_replies_are_missing_is_the_next_batch() {
    let mut world = World::new(settings());
    let client = world.batch(&[0, 1]);
    world.node_says(0, "$1\r\n0\r\n");
    assert_eq!(world.written(client), "");
    let more: String = [2, 0].map(|node| command(&["GET", &world.key(node, 0)])).concat();
    world.say(client, &more);
    world.node_says(1, "$1\r\n1\r\n");
    assert_eq!(world.written(client), "$1\r\n0\r\n$1\r\n1\r\n", "the first batch is whole");
    world.node_says(2, "$1\r\n2\r\n");
    assert_eq!(world.written(client), "", "the second is not");
    world.node_says(0, "$1\r\n3\r\n");
    assert_eq!(world.written(client), "$1\r\n2\r\n$1\r\n3\r\n");
    assert_eq!(world.lingered(), (2, 0));
}

#[test]
fn a_request_alone_and_many_bytes_leave_at_once() {
    let mut world = World::new(settings());
    let client = world.batch(&[0]);
    world.node_says(0, "$1\r\n0\r\n");
    assert_eq!(world.written(client), "$1\r\n0\r\n");
    let large = format!("${}\r\n{}\r\n", 20_000, "x".repeat(20_000));
    let client = world.batch(&[0, 1]);
    world.node_says(0, &large);
    assert_eq!(world.written(client), large);
    assert_eq!((world.core.lingers_until(), world.lingered()), (None, (0, 0)));
}

#[test]
fn part_of_a_reply_leaves_at_once() {
    let mut world = World::new(settings());
    let client = world.batch(&[0, 1]);
    world.node_says(0, &format!("${}\r\n{}", 1_000_000, "x".repeat(300_000)));
    world.written(client);
    world.node_says(0, "some more");
    assert!(world.core.client(client).unwrap().slots.is_cut());
    assert_eq!(world.core.lingers_until(), None);
}

#[test]
fn who_waits_for_what_may_take_its_time_or_ends_has_the_rest_at_once() {
    let mut world = World::new(settings());
    let client = world.client();
    world.say(client, &(command(&["GET", &world.key(0, 0)]) + &command(&["BLPOP", &world.key(1, 0), "0"])));
    world.connect_all();
    world.node_says(0, "$1\r\n0\r\n");
    assert_eq!(world.written(client), "$1\r\n0\r\n", "BLPOP may wait for ever");
    let ends = world.batch(&[0, 1]);
    world.node_says(0, "$1\r\n0\r\n");
    assert_eq!(world.written(ends), "");
    world.core.client_ended(ends);
    assert_eq!(world.written(ends), "$1\r\n0\r\n");
    world.node_says(1, "$1\r\n1\r\n");
    assert_eq!(world.written(ends), "$1\r\n1\r\n");
    assert!(world.core.client(ends).is_none());
}

#[test]
fn it_can_be_switched_off() {
    let mut settings = settings();
    settings.session.linger = None;
    let mut world = World::new(settings);
    let client = world.batch(&[0, 1]);
    world.node_says(0, "$1\r\n0\r\n");
    assert_eq!(world.written(client), "$1\r\n0\r\n");
}

#[test]
fn sessions_that_are_gone_are_waited_for_by_nobody() {
    let mut world = World::new(settings());
    let gone = world.batch(&[0, 1]);
    world.node_says(0, "$1\r\n0\r\n");
    world.written(gone);
    world.core.drop_client(gone, Closed::ByClient);
    let next = world.batch(&[0, 2]);
    assert_eq!(gone.index, next.index, "the place is used again");
    assert_eq!(world.core.lingers_until(), None);
    world.core.set_now(LIMIT_US);
    world.core.end_lingering();
    assert_eq!(world.core.next_dirty_client(), None);
}

#[test]
fn what_lingers_is_owed_all_the_same() {
    let mut settings = settings();
    settings.session.hard_output = 100_000;
    settings.session.soft_output = 100_000;
    let mut world = World::new(settings);
    let client = world.client();
    // The second reply comes last; what waits for it grows past what may be owed.
    let words = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (2, 3)];
    let gets: String = words.map(|(node, n)| command(&["GET", &world.key(node, n)])).concat();
    world.say(client, &gets);
    world.node_says(0, "$1\r\n0\r\n");
    assert_eq!(world.written(client), "");
    let large = format!("${}\r\n{}\r\n", 60_000, "x".repeat(60_000));
    world.node_says(2, &large.repeat(4));
    world.written(client);
    assert!(world.core.client(client).is_none(), "closed: it is owed 240,000 bytes");
}
