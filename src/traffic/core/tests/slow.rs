//! Slow requests: which are logged, how their time is shared out, and what becomes of them when everything is slow.

use super::*;

/// What SLOWLOG GET shows: of each entry its time and its arguments, oldest first.
fn slow_log(world: &World) -> Vec<(u64, String)> {
    let log = world.core.journal.slow();
    let entry = |(_, slow): &(u64, crate::traffic::observe::Slow)| {
        let args: Vec<_> = slow.args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
        (slow.us, format!("{} {}", args.join(" "), slow.parts()))
    };
    let mut all: Vec<_> = log.newest(usize::MAX).map(entry).collect();
    all.reverse();
    all
}

#[test]
fn a_slow_request_is_logged_with_the_nodes_part_and_circlets_own() {
    let mut world = World::new(settings());
    let key = world.client();
    let name = world.key(1, 0);
    world.core.set_now(1_000_000);
    world.say(key, &format!("SET {name} v\r\nGET {name}\r\n"));
    world.core.set_now(1_009_999);
    world.node_says(1, "+OK\r\n");
    world.core.set_now(1_010_000);
    world.node_says(1, "$1\r\nv\r\n");
    assert!(world.core.has_slow());
    world.core.set_now(1_010_050);
    world.core.log_slow();
    assert_eq!(slow_log(&world), [(10_050, format!("GET {name} ... (node b: 10000 us, circlet: 50 us)"))]);
    assert_eq!(world.heard(key), "+OK\r\n$1\r\nv\r\n");
}

#[test]
fn what_a_full_pipe_held_back_counts_as_circlets_own_part() {
    let mut settings = settings();
    settings.pipe.max_in_flight = 1;
    let mut world = World::new(settings);
    let (first, second) = (world.client(), world.client());
    let name = world.key(0, 0);
    world.core.set_now(1_000_000);
    world.say(first, &format!("GET {name}\r\n"));
    world.say(second, &format!("GET {name}\r\n"));
    world.core.set_now(1_008_000);
    world.node_says(0, "$-1\r\n");
    assert!(world.core.take_todo().contains(&Todo::Resume(second)));
    world.core.resume_client(second);
    world.core.set_now(1_011_000);
    world.node_says(0, "$-1\r\n");
    world.core.log_slow();
    assert_eq!(slow_log(&world), [(11_000, format!("GET {name} ... (node a: 3000 us, circlet: 8000 us)"))]);
    // Remembered no more: the next quick one is not looked at.
    world.say(second, &format!("GET {name}\r\n"));
    world.node_says(0, "$-1\r\n");
    world.core.log_slow();
    assert_eq!(slow_log(&world).len(), 1);
}

#[test]
fn a_split_request_is_slow_once_as_its_last_part() {
    let mut world = World::new(settings());
    let key = world.client();
    let names = [world.key(0, 0), world.key(1, 0)];
    world.say(key, &format!("MGET {} {}\r\n", names[0], names[1]));
    world.core.set_now(20_000);
    world.node_says(1, "*1\r\n$-1\r\n");
    world.core.set_now(30_000);
    world.node_says(0, "*1\r\n$-1\r\n");
    world.core.log_slow();
    assert_eq!(slow_log(&world), [(30_000, format!("MGET {} ... (node a: 30000 us, circlet: 0 us)", names[0]))]);
}

#[test]
fn when_everything_is_slow_some_are_written_down_and_all_are_counted() {
    let mut world = World::new(settings());
    let key = world.client();
    let mut now_us = 0;
    let mut all_slow = |world: &mut World, count: usize| {
        world.say(key, &"GET k\r\n".repeat(count));
        now_us += 10_000;
        world.core.set_now(now_us);
        let node = world.owner("k");
        world.node_says(node, &"$-1\r\n".repeat(count));
        world.core.log_slow();
    };
    all_slow(&mut world, 300);
    // Of the first 256, which are written down, the newest 128 are kept.
    let ids = |world: &World| world.core.journal.slow().newest(usize::MAX).map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!(ids(&world), (128..256).rev().collect::<Vec<_>>());
    world.core.tick();
    assert_eq!(world.core.journal.slow().seen(), 300);
    // Their numbers go on behind those that were only counted.
    all_slow(&mut world, 1);
    assert_eq!(ids(&world)[..2], [300, 255]);
}

#[test]
fn who_keeps_many_slow_requests_gets_them_all() {
    let mut settings = settings();
    settings.slow.max_len = 1_000;
    let mut world = World::new(settings);
    let key = world.client();
    world.say(key, &"GET k\r\n".repeat(1_000));
    world.core.set_now(10_000);
    let node = world.owner("k");
    world.node_says(node, &"$-1\r\n".repeat(1_000));
    world.core.log_slow();
    world.core.tick();
    assert_eq!(slow_log(&world).len(), 1_000);
    assert_eq!(world.core.journal.slow().seen(), 1_000);
}

#[test]
fn clients_that_are_gone_take_no_room_from_the_others() {
    let mut world = World::new(settings());
    let (gone, there) = (world.client(), world.client());
    world.say(gone, &"GET k\r\n".repeat(1_000));
    world.say(there, "GET k\r\n");
    world.core.drop_client(gone, Closed::ByClient);
    world.core.set_now(10_000);
    let node = world.owner("k");
    world.node_says(node, &"$-1\r\n".repeat(1_001));
    world.core.log_slow();
    world.core.tick();
    assert_eq!((slow_log(&world).len(), world.core.journal.slow().seen()), (1, 1));
}
