//! What one session asks about, or does to, all: CLIENT LIST and KILL, CLIENT PAUSE, MONITOR.

use super::*;

/// Two workers' cores of one Circlet, and the letters between them.
struct Pair {
    worlds: [World; 2],
}

impl Pair {
    fn new() -> Self {
        let mut settings = settings();
        settings.workers = 2;
        let [mut one, mut other] = [World::new(settings.clone()), World::new(settings)];
        other.core.index = 1;
        (one.next_id, other.next_id) = (100, 200);
        Self { worlds: [one, other] }
    }

    /// Carries messages until nobody has one.
    fn carry(&mut self) {
        loop {
            let mut moved = false;
            for from in 0..2 {
                for todo in self.worlds[from].core.take_todo() {
                    match todo {
                        Todo::Tell(to, message) => {
                            moved = true;
                            self.worlds[to].core.receive(message);
                        }
                        Todo::Resume(key) => self.worlds[from].core.resume_client(key),
                        _ => {}
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }
}

#[test]
fn the_sessions_of_all_workers_are_listed_in_order_with_what_they_hold() {
    let mut pair = Pair::new();
    let other = pair.worlds[1].client();
    let first = pair.worlds[0].client();
    pair.worlds[1].say(other, "*2\r\n$3\r\nGET\r\n$100\r\nhalf");
    pair.worlds[0].say(first, "CLIENT LIST\r\nPING\r\n");
    assert_eq!(pair.worlds[0].heard(first), "", "the other worker has not answered");
    pair.carry();
    let heard = pair.worlds[0].heard(first);
    assert!(heard.ends_with("+PONG\r\n"), "in order: {heard}");
    let lines: Vec<&str> = heard.lines().filter(|line| line.starts_with("id=")).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("id=101 ") && lines[0].contains(" cmd=client|list "), "{heard}");
    assert!(lines[1].starts_with("id=201 ") && lines[1].contains(" qbuf=23 "), "{heard}");
}

#[test]
fn sessions_of_other_workers_are_killed_and_counted_and_ones_own_reply_still_leaves() {
    let mut pair = Pair::new();
    let (first, second, other) = (pair.worlds[0].client(), pair.worlds[0].client(), pair.worlds[1].client());
    pair.worlds[0].say(first, "CLIENT KILL TYPE normal SKIPME no\r\n");
    pair.carry();
    assert_eq!(pair.worlds[0].heard(first), ":3\r\n");
    assert!(pair.worlds[0].core.client(first).is_none() && pair.worlds[0].core.client(second).is_none());
    assert!(pair.worlds[1].core.client(other).is_none());
}

#[test]
fn a_pause_is_answered_when_nothing_that_it_pauses_runs_any_more() {
    let mut pair = Pair::new();
    let (first, other) = (pair.worlds[0].client(), pair.worlds[1].client());
    let name = pair.worlds[1].key(0, 0);
    pair.worlds[1].say(other, &format!("SET {name} a\r\n"));
    pair.worlds[0].say(first, "CLIENT PAUSE 1000 WRITE\r\n");
    pair.carry();
    assert_eq!(pair.worlds[0].heard(first), "", "a write is in flight");
    pair.worlds[1].say(other, &format!("GET {name}\r\nSET {name} b\r\nGET {name}\r\n"));
    pair.worlds[1].asked(0);
    pair.worlds[1].node_says(0, "+OK\r\n");
    pair.carry();
    assert_eq!(pair.worlds[0].heard(first), "+OK\r\n");
    pair.worlds[1].node_says(0, "$1\r\na\r\n");
    assert_eq!(pair.worlds[1].heard(other), "+OK\r\n$1\r\na\r\n");
    assert_eq!(pair.worlds[1].asked(0), "", "the write is held, and what is behind it");
    pair.worlds[0].say(first, "CLIENT UNPAUSE\r\n");
    pair.carry();
    assert_eq!(pair.worlds[0].heard(first), "+OK\r\n");
    assert!(pair.worlds[1].asked(0).contains(&format!("SET\r\n${}\r\n{name}", name.len())));
}

#[test]
fn a_pause_ends_with_its_time_and_the_longer_and_stronger_one_wins() {
    let mut world = World::new(settings());
    let (first, second) = (world.client(), world.client());
    world.say(first, "CLIENT PAUSE 1000 ALL\r\nCLIENT PAUSE 5 WRITE\r\n");
    assert_eq!(world.heard(first), "+OK\r\n+OK\r\n");
    world.say(second, "PING\r\n");
    assert!(!world.core.wants_input(second), "not read, so that nothing grows");
    world.core.set_now(999_000);
    world.core.tick();
    assert_eq!(world.heard(second), "");
    world.core.set_now(1_000_000);
    world.core.tick();
    assert!(world.core.take_todo().contains(&Todo::Resume(second)));
    world.core.resume_client(second);
    assert_eq!(world.heard(second), "+PONG\r\n");
    assert!(!world.core.watch.any(), "nothing is watched any more");
}

#[test]
fn a_session_that_is_held_can_be_killed() {
    let mut world = World::new(settings());
    let (first, second) = (world.client(), world.client());
    world.say(first, "CLIENT PAUSE 1000 WRITE\r\n");
    world.say(second, "SET k v\r\n");
    world.say(first, "CLIENT KILL FLAGS b\r\nCLIENT UNPAUSE\r\n");
    assert_eq!(world.heard(first), "+OK\r\n:1\r\n+OK\r\n");
    assert!(world.core.client(second).is_none());
}

#[test]
fn a_monitor_sees_the_commands_of_all_workers_until_it_ends() {
    let mut pair = Pair::new();
    let (monitor, other) = (pair.worlds[0].client(), pair.worlds[1].client());
    pair.worlds[0].say(monitor, "MONITOR\r\n");
    pair.carry();
    assert_eq!(pair.worlds[0].heard(monitor), "+OK\r\n");
    let name = pair.worlds[1].key(2, 0);
    pair.worlds[1].say(other, &format!("GET {name}\r\nCONFIG GET x\r\nNOSUCH\r\nGET\r\nAUTH secret\r\n"));
    pair.carry();
    let addr = pair.worlds[1].core.client(other).unwrap().record.addr.clone();
    let expected =
        format!("+0.000000 [0 {addr}] \"GET\" \"{name}\"\r\n+0.000000 [0 {addr}] \"AUTH\" \"(redacted)\"\r\n");
    assert_eq!(pair.worlds[0].heard(monitor), expected);
    pair.worlds[0].say(monitor, "GET k\r\nRESET\r\n");
    pair.carry();
    let heard = pair.worlds[0].heard(monitor);
    assert!(heard.starts_with("-ERR Replica can't interact with the keyspace\r\n+RESET\r\n"), "{heard}");
    assert!(!pair.worlds[0].core.watch.any() && !pair.worlds[1].core.watch.any());
    pair.worlds[1].say(other, "PING\r\n");
    pair.carry();
    assert_eq!(pair.worlds[0].heard(monitor), "");
}

#[test]
fn above_the_rate_a_monitor_is_told_how_much_it_does_not_see() {
    let mut world = World::new(settings());
    let (monitor, other) = (world.client(), world.client());
    world.say(monitor, "MONITOR\r\n");
    world.core.set_now(200_000);
    world.say(other, &"PING\r\n".repeat(3_000));
    assert_eq!(world.heard(monitor).matches("\"PING\"").count(), 1_000);
    world.core.set_now(300_000);
    world.core.tick();
    let heard = world.heard(monitor);
    assert!(heard.contains("\"CIRCLET\" \"MONITOR\" \"2000 of 3000 commands left out"), "{heard}");
    world.say(other, &"PING\r\n".repeat(3_000));
    assert_eq!(world.heard(monitor).matches("\"PING\"").count(), 1_000, "every third");
}

#[test]
fn a_monitor_that_is_gone_costs_nothing_any_more() {
    let mut world = World::new(settings());
    let monitor = world.client();
    world.say(monitor, "MONITOR\r\n");
    assert!(world.core.watch.any());
    world.core.drop_client(monitor, Closed::ByClient);
    assert!(!world.core.watch.any());
}
