//! CLIENT TRACKING, byte by byte: which connections there are, what comes over them, and in which order.

use super::*;
use crate::traffic::{client::Tracked, pipe::connect::Greeting};

impl World {
    /// A session that speaks RESP3.
    pub(super) fn client3(&mut self) -> ClientKey {
        let client = self.client();
        self.say(client, &command(&["HELLO", "3"]));
        assert!(self.heard(client).starts_with('%'));
        client
    }

    fn ask(&mut self, client: ClientKey, line: &str) -> String {
        self.say(client, &command(&line.split(' ').collect::<Vec<_>>()));
        self.heard(client)
    }

    fn number(&self, client: ClientKey) -> u64 {
        self.core.client(client).unwrap().record.id
    }

    pub(super) fn tracked(&self, client: ClientKey) -> Vec<Tracked> {
        let mut links =
            self.core.client(client).unwrap().tracking().map_or(Vec::new(), |tracking| tracking.links.clone());
        links.sort_by_key(|link| (link.node.index(), link.db));
        links
    }

    /// The request that a connection begins with, as words.
    fn opening(&self, id: PipeId) -> String {
        let text = String::from_utf8(self.core.pipes[id.index()].opening.clone().unwrap().to_vec()).unwrap();
        text.split("\r\n")
            .filter(|word| !word.starts_with(['*', '$']))
            .collect::<Vec<_>>()
            .join(" ")
            .trim_end()
            .to_owned()
    }

    /// The connections that are to be opened.
    fn connects(&mut self) -> Vec<(PipeId, u32)> {
        let todo = self.core.take_todo().into_iter();
        todo.filter_map(|todo| if let Todo::Connect(id, attempt) = todo { Some((id, attempt)) } else { None }).collect()
    }

    fn lose_pipe(&mut self, id: PipeId) {
        let attempt = self.core.pipes[id.index()].attempt;
        self.core.pipe_lost(id, attempt, &Lost::Broken("the node closed the connection".to_owned()));
    }
}

pub(super) const NULL: &str = ">2\r\n$10\r\ninvalidate\r\n_\r\n";

fn invalidation(key: &str) -> String {
    format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{key}\r\n", key.len())
}

#[test]
fn the_commands_of_a_session_that_tracks_go_over_connections_that_track() {
    let mut world = World::new(settings());
    let client = world.client3();
    assert_eq!(world.ask(client, "CLIENT TRACKING ON NOLOOP"), "+OK\r\n");
    assert!(world.tracked(client).is_empty(), "opened before it was needed");
    let key = world.key(1, 0);
    let get = command(&["GET", &key]);
    world.say(client, &get);
    let link = world.tracked(client)[0];
    assert_eq!(world.opening(link.data), "CLIENT TRACKING ON NOLOOP");
    world.greet_all();
    assert_eq!(world.asked_on(link.data), get);
    world.says_on(link.data, "$1\r\nv\r\n");
    assert_eq!(world.heard(client), "$1\r\nv\r\n");
    // Cut anywhere, between replies or in front of one.
    let push = invalidation(&key);
    for cut in 0..push.len() {
        world.says_on(link.data, &push[..cut]);
        world.says_on(link.data, &push[cut..]);
        assert_eq!(world.heard(client), push, "cut at {cut}");
    }
    world.say(client, &get);
    assert_eq!(world.asked_on(link.data), get, "the same connection");
    world.says_on(link.data, &(push.clone() + "$1\r\nw\r\n"));
    assert_eq!(world.heard(client), push + "$1\r\nw\r\n");
    let cuts = invalidation(&key).len() as u64;
    assert_eq!((world.core.counters.tracking, world.core.counters.invalidations), (1, cuts + 1));
}

#[test]
fn nothing_is_left_when_tracking_ends_or_its_session() {
    for end in ["CLIENT TRACKING OFF", "RESET", "QUIT"] {
        let mut world = World::new(settings());
        let client = world.client3();
        world.ask(client, "CLIENT TRACKING ON");
        let get = command(&["GET", &world.key(0, 0)]);
        world.say(client, &get);
        let id = world.tracked(client)[0].data;
        world.greet_all();
        world.says_on(id, "_\r\n");
        world.heard(client);
        assert!(world.ask(client, end).starts_with('+'), "{end}");
        assert!(world.core.take_todo().contains(&Todo::Disconnect(id)), "{end}: kept open");
        assert!(world.leases(client).is_empty());
        assert_eq!(world.core.counters.tracking, 0, "{end}");
        if end != "QUIT" {
            let number = world.number(client);
            assert!(!world.core.registry.get(number).unwrap().is_marked(Record::TRACKING));
            world.say(client, &command(&["GET", &world.key(1, 0)]));
            assert!(world.connects().iter().all(|(pipe, _)| !world.core.pipes[pipe.index()].tracks), "{end}");
        }
    }
}

#[test]
fn an_invalidation_never_overtakes_the_value_that_it_invalidates() {
    let mut world = World::new(settings());
    let client = world.client3();
    world.ask(client, "CLIENT TRACKING ON");
    let (slow, fast) = (world.key(0, 0), world.key(1, 0));
    world.say(client, &(command(&["GET", &slow]) + &command(&["GET", &fast])));
    let links = world.tracked(client);
    world.greet_all();
    world.says_on(links[1].data, &("$3\r\nold\r\n".to_owned() + &invalidation(&fast)));
    assert_eq!(world.heard(client), "");
    world.says_on(links[0].data, "$4\r\nslow\r\n");
    assert_eq!(world.heard(client), "$4\r\nslow\r\n$3\r\nold\r\n".to_owned() + &invalidation(&fast));
    // The same where the value is a part of a split request.
    world.say(client, &command(&["MGET", &slow, &fast]));
    world.says_on(links[1].data, &("*1\r\n$3\r\nold\r\n".to_owned() + &invalidation(&fast)));
    assert_eq!(world.heard(client), "");
    world.says_on(links[0].data, "*1\r\n$4\r\nslow\r\n");
    assert_eq!(world.heard(client), "*2\r\n$4\r\nslow\r\n$3\r\nold\r\n".to_owned() + &invalidation(&fast));
}

#[test]
fn caching_stands_in_front_of_the_next_command_and_of_each_part_of_it() {
    let mut world = World::new(settings());
    let client = world.client3();
    let (one, other) = (world.key(0, 0), world.key(1, 0));
    let caching = |word| command(&["CLIENT", "CACHING", word]);
    for (mode, word) in [("OPTIN", "YES"), ("OPTOUT", "NO")] {
        world.ask(client, "CLIENT TRACKING OFF");
        world.ask(client, &format!("CLIENT TRACKING ON {mode}"));
        world.say(client, &command(&["MGET", &one, &other]));
        let links = world.tracked(client);
        world.greet_all();
        assert_eq!(world.ask(client, &format!("CLIENT CACHING {word}")), "");
        // Other CLIENT commands may stand between, and everything else uses it up.
        world.say(client, &command(&["CLIENT", "ID"]));
        world.say(client, &command(&["MGET", &one, &other]));
        world.say(client, &command(&["GET", &one]));
        let get = |key: &str| command(&["MGET", key]);
        assert_eq!(world.asked_on(links[0].data), get(&one) + &caching(word) + &get(&one) + &command(&["GET", &one]));
        assert_eq!(world.asked_on(links[1].data), get(&other) + &caching(word) + &get(&other));
        world.says_on(links[0].data, "*1\r\n_\r\n+OK\r\n*1\r\n_\r\n_\r\n");
        world.says_on(links[1].data, "*1\r\n_\r\n+OK\r\n*1\r\n_\r\n");
        let number = world.number(client);
        assert_eq!(world.heard(client), format!("*2\r\n_\r\n_\r\n+OK\r\n:{number}\r\n*2\r\n_\r\n_\r\n_\r\n"));
        for between in ["PING", "NOSUCH", "GET", "ECHO x"] {
            world.ask(client, &format!("CLIENT CACHING {word}"));
            world.ask(client, between);
            world.say(client, &command(&["GET", &one]));
            assert_eq!(world.asked_on(links[0].data), command(&["GET", &one]), "behind {between}");
            world.says_on(links[0].data, "_\r\n");
            world.heard(client);
        }
    }
}

#[test]
fn a_lost_connection_makes_everything_unknown_and_the_next_command_opens_a_new_one() {
    let mut world = World::new(settings());
    let client = world.client3();
    world.ask(client, "CLIENT TRACKING ON");
    let get = command(&["GET", &world.key(0, 0)]);
    world.say(client, &get);
    let id = world.tracked(client)[0].data;
    world.greet_all();
    world.lose_pipe(id);
    let text = world.heard(client);
    assert!(text.starts_with("-NODEDOWN node a") && text.ends_with(NULL), "{text}");
    world.say(client, &get);
    let again = world.tracked(client)[0].data;
    assert_eq!(world.opening(again), "CLIENT TRACKING ON");
    world.greet_all();
    world.says_on(again, "$1\r\nv\r\n");
    assert_eq!(world.heard(client), "$1\r\nv\r\n");
}

#[test]
fn a_node_that_refuses_to_track_gives_no_value_away() {
    let mut world = World::new(settings());
    let client = world.client3();
    world.ask(client, "CLIENT TRACKING ON");
    let get = command(&["GET", &world.key(0, 0)]);
    world.say(client, &get);
    let (id, attempt) = world.connects()[0];
    world.core.pipe_failed(id, attempt, Fault::Pipe, "it refuses CLIENT TRACKING (NOPERM)");
    assert!(world.heard(client).starts_with("-NODEDOWN node a (127.0.0.1:7001): it refuses CLIENT TRACKING (NOPERM)"));
    // It is not hammered, and tried again after a while.
    world.say(client, &get);
    assert!(world.heard(client).contains("it refuses CLIENT TRACKING"));
    assert!(world.connects().is_empty());
    world.core.set_now(1_000_000);
    world.say(client, &get);
    assert_eq!(world.connects().len(), 1);
}

#[test]
fn broadcast_listens_to_every_node_before_it_is_answered() {
    let mut world = World::new(settings());
    let client = world.client3();
    assert_eq!(world.ask(client, "CLIENT TRACKING ON BCAST PREFIX a PREFIX b"), "");
    world.say(client, &command(&["PING"]));
    let connects = world.connects();
    assert_eq!(connects.len(), 3);
    for (at, (id, attempt)) in connects.iter().enumerate() {
        assert_eq!(world.heard(client), "", "after {at} of 3");
        assert_eq!(world.opening(*id), "CLIENT TRACKING ON BCAST PREFIX a PREFIX b");
        assert!(world.core.pipe_connected(*id, *attempt));
    }
    assert_eq!(world.heard(client), "+OK\r\n");
    world.core.resume_client(client);
    assert_eq!(world.heard(client), "+PONG\r\n");
    // A lost one is opened again by itself, and what was missed meanwhile is made good.
    world.lose_pipe(connects[1].0);
    assert_eq!(world.heard(client), NULL);
    world.core.set_now(1_000_000);
    world.core.tick();
    let again: Vec<_> = world.connects().into_iter().filter(|(id, _)| world.core.pipes[id.index()].tracks).collect();
    assert_eq!(again.len(), 1);
    assert_eq!(world.opening(again[0].0), "CLIENT TRACKING ON BCAST PREFIX a PREFIX b");
    assert!(world.core.pipe_connected(again[0].0, again[0].1));
    assert_eq!(world.heard(client), NULL);
    world.core.tick();
    assert!(world.connects().is_empty());
}

#[test]
fn broadcast_with_a_node_that_refuses_is_refused_and_with_one_that_is_down_goes_on() {
    for (fault, down) in [(Fault::Pipe, false), (Fault::Node, true)] {
        let mut world = World::new(settings());
        if down {
            world.lose(2, &Lost::Silent);
            world.core.take_todo();
        }
        let client = world.client3();
        world.say(client, &command(&["CLIENT", "TRACKING", "ON", "BCAST"]));
        for (at, (id, attempt)) in world.connects().into_iter().enumerate() {
            if at == 1 {
                world.core.pipe_failed(id, attempt, fault, "it refuses CLIENT TRACKING (NOPERM)");
            } else {
                world.core.pipe_connected(id, attempt);
            }
        }
        if down {
            // Node b works otherwise: that it cannot be listened to must be told, whatever the reason.
            assert!(world.heard(client).starts_with("-NODEDOWN node b"));
            assert_eq!(world.ask(client, "CLIENT TRACKING ON BCAST"), "");
            for (id, attempt) in world.connects() {
                world.core.pipe_connected(id, attempt);
            }
            assert_eq!(world.heard(client), "+OK\r\n");
            assert_eq!(world.tracked(client).len(), 2);
        } else {
            assert!(world.heard(client).starts_with("-NODEDOWN node b (127.0.0.1:7002): it refuses"));
            assert!(world.leases(client).is_empty());
            assert!(world.ask(client, "CLIENT TRACKINGINFO").contains("off"));
        }
    }
}

#[test]
fn with_resp2_the_invalidations_come_over_a_connection_beside_and_go_to_another_session() {
    let mut world = World::new(settings());
    let (client, target) = (world.client(), world.client3());
    let number = world.number(target);
    assert_eq!(world.ask(client, &format!("CLIENT TRACKING ON REDIRECT {number}")), "+OK\r\n");
    let key = world.key(2, 0);
    let get = command(&["GET", &key]);
    world.say(client, &get);
    let Tracked { data, ear: Some(ear), .. } = world.tracked(client)[0] else { panic!("no ear") };
    // The one that hears comes first, for the other names it.
    let connects = world.connects();
    assert_eq!(connects.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ear]);
    assert!(world.core.pipe_connected(ear, connects[0].1));
    world.core.pipe_greeted(ear, &Greeting { client: 77, ..Greeting::default() });
    assert_eq!(world.opening(data), "CLIENT TRACKING ON REDIRECT 77");
    world.greet_all();
    assert_eq!(world.asked_on(data), get);
    world.says_on(data, "$1\r\nv\r\n");
    assert_eq!(world.heard(client), "$1\r\nv\r\n");
    world.says_on(ear, &invalidation(&key));
    assert_eq!((world.heard(client), world.heard(target)), (String::new(), invalidation(&key)));
    // FLUSHALL on a RESP2 connection says null as RESP2 does.
    world.says_on(ear, ">2\r\n$10\r\ninvalidate\r\n$-1\r\n");
    assert_eq!(world.heard(target), NULL);
    // Either of them is nothing without the other.
    world.lose_pipe(ear);
    assert_eq!(world.heard(target), NULL);
    assert!(world.tracked(client).is_empty() && world.leases(client).is_empty());
}

#[test]
fn a_resp2_target_hears_messages_while_it_is_subscribed_and_a_lost_one_is_told_of() {
    let mut world = World::new(settings());
    let (client, target) = (world.client3(), world.client());
    let number = world.number(target);
    world.ask(client, &format!("CLIENT TRACKING ON REDIRECT {number}"));
    let key = world.key(0, 0);
    world.say(client, &command(&["GET", &key]));
    let id = world.tracked(client)[0].data;
    assert_eq!(world.opening(id), "CLIENT TRACKING ON");
    world.greet_all();
    world.says_on(id, "_\r\n");
    world.heard(client);
    world.says_on(id, &invalidation(&key));
    assert_eq!((world.heard(client), world.heard(target)), (String::new(), String::new()));
    world.core.client(target).unwrap().record.mark(Record::PUBSUB, true);
    world.says_on(id, &invalidation(&key));
    let message = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";
    assert_eq!(world.heard(target), format!("{message}*1\r\n${}\r\n{key}\r\n", key.len()));
    world.says_on(id, NULL);
    assert_eq!(world.heard(target), format!("{message}$-1\r\n"));
    world.core.client(target).unwrap().record.mark(Record::PUBSUB, false);
    world.core.drop_client(target, Closed::ByClient);
    world.says_on(id, &invalidation(&key));
    assert_eq!(world.heard(client), format!(">2\r\n$21\r\ntracking-redir-broken\r\n:{number}\r\n"));
    assert!(world.ask(client, "CLIENT TRACKINGINFO").contains("broken_redirect"));
    assert!(world.ask(client, "CLIENT INFO").contains(" flags=tR db=0 "));
    assert!(world.ask(client, "CLIENT INFO").contains(&format!(" redir={number} ")));
}

#[test]
fn what_nobody_could_hear_with_resp2_is_made_good_with_resp3() {
    let mut world = World::new(settings());
    let client = world.client();
    assert_eq!(world.ask(client, "CLIENT TRACKING ON"), "+OK\r\n");
    let get = command(&["GET", &world.key(0, 0)]);
    world.say(client, &get);
    assert_eq!(world.asked(0), get, "over the shared connection");
    world.node_says(0, "$1\r\nv\r\n");
    world.heard(client);
    let reply = world.ask(client, "HELLO 3");
    assert!(reply.starts_with('%') && reply.ends_with(NULL), "{reply}");
    world.say(client, &get);
    assert_eq!(world.tracked(client).len(), 1);
}

#[test]
fn another_db_has_connections_beside_and_other_options_have_new_ones() {
    let mut world = World::new(settings());
    let client = world.client3();
    world.ask(client, "CLIENT TRACKING ON");
    let key = world.key(0, 0);
    let get = command(&["GET", &key]);
    let read = |world: &mut World| {
        world.say(client, &get);
        world.greet_all();
        let link = world.tracked(client).into_iter().find(|l| !world.core.pipes[l.data.index()].inflight.is_empty());
        world.says_on(link.unwrap().data, "_\r\n");
        assert_eq!(world.heard(client), "_\r\n");
    };
    read(&mut world);
    assert_eq!(world.ask(client, "SELECT 3"), "+OK\r\n");
    read(&mut world);
    let links = world.tracked(client);
    assert_eq!(links.iter().map(|link| link.db).collect::<Vec<_>>(), [0, 3]);
    // What was read in the first one is still told.
    world.says_on(links[0].data, &invalidation(&key));
    assert_eq!(world.heard(client), invalidation(&key));
    assert_eq!(world.ask(client, "CLIENT TRACKING ON"), "+OK\r\n");
    assert_eq!(world.tracked(client), links, "nothing has changed");
    assert_eq!(world.ask(client, "CLIENT TRACKING ON NOLOOP"), format!("{NULL}+OK\r\n"));
    assert!(world.tracked(client).is_empty());
    read(&mut world);
    assert_eq!(world.opening(world.tracked(client)[0].data), "CLIENT TRACKING ON NOLOOP");
}

#[test]
fn a_blocking_command_waits_on_the_connection_that_tracks() {
    let mut world = World::new(settings());
    let client = world.client3();
    world.ask(client, "CLIENT TRACKING ON");
    let key = world.key(1, 0);
    world.say(client, &command(&["BLPOP", &key, "0"]));
    let id = world.tracked(client)[0].data;
    world.greet_all();
    assert_eq!(world.asked_on(id), command(&["BLPOP", &key, "0"]));
    world.says_on(id, "*2\r\n$1\r\nq\r\n$1\r\nx\r\n");
    world.heard(client);
    world.core.resume_client(client);
    assert_eq!(world.tracked(client)[0].data, id, "it was given away");
    // Who was unblocked may not use it again: the word might meet the next command.
    world.say(client, &command(&["BLPOP", &key, "0"]));
    world.asked_on(id);
    let other = world.client();
    let number = world.number(client);
    assert_eq!(world.ask(other, &format!("CLIENT UNBLOCK {number}")), "");
    world.node_says(1, ":1\r\n");
    assert_eq!(world.heard(other), ":1\r\n");
    world.says_on(id, "_\r\n");
    assert_eq!(world.heard(client), format!("_\r\n{NULL}"));
    assert!(world.tracked(client).is_empty());
}

#[test]
fn limits_refuse_before_anything_is_sent() {
    let mut settings = settings();
    settings.session.max_leases = 2;
    let mut world = World::new(settings);
    let client = world.client3();
    let refused = "-ERR 'client|tracking' needs a node connection of its own and all 2 are taken";
    assert!(world.ask(client, "CLIENT TRACKING ON BCAST").starts_with(refused));
    assert!(world.leases(client).is_empty() && world.core.counters.tracking == 0);
    world.core.take_todo();
    world.ask(client, "CLIENT TRACKING ON");
    let keys: Vec<String> = (0..3).map(|node| world.key(node, 0)).collect();
    let text = world.ask(client, &format!("MGET {} {} {}", keys[0], keys[1], keys[2]));
    assert!(text.starts_with(refused) && text.contains("raise session.max_leases"), "{text}");
    assert!(world.tracked(client).iter().all(|link| world.core.pipes[link.data.index()].inflight.is_empty()));
}

#[test]
fn who_does_not_take_invalidations_is_disconnected_at_the_limit() {
    let mut settings = settings();
    settings.session.hard_pushes = 4 << 10;
    let mut world = World::new(settings);
    let client = world.client3();
    world.ask(client, "CLIENT TRACKING ON");
    world.say(client, &command(&["GET", &world.key(0, 0)]));
    let id = world.tracked(client)[0].data;
    world.greet_all();
    // Replies alone do not count.
    world.says_on(id, &format!("$20000\r\n{}\r\n", "x".repeat(20_000)));
    world.core.settle_client(client);
    assert!(world.core.client(client).is_some());
    let push = invalidation(&"k".repeat(1_000));
    for _ in 0..3 {
        world.says_on(id, &push);
        world.core.settle_client(client);
    }
    assert!(world.core.client(client).is_some());
    world.says_on(id, &push);
    world.core.settle_client(client);
    assert!(world.core.client(client).is_none());
    assert!(world.core.take_todo().iter().any(|todo| matches!(todo, Todo::Dropped(_, _, Closed::Pushes))));
}

#[test]
fn a_push_larger_than_may_wait_is_not_collected() {
    let mut settings = settings();
    settings.session.hard_pushes = 4 << 10;
    let mut world = World::new(settings);
    let client = world.client3();
    world.ask(client, "CLIENT TRACKING ON");
    world.say(client, &command(&["GET", &world.key(0, 0)]));
    let id = world.tracked(client)[0].data;
    world.greet_all();
    world.says_on(id, "_\r\n");
    world.heard(client);
    let mut chunk = world.core.pool().take();
    let text = format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n$9000\r\n{}", "x".repeat(8_000));
    Rc::get_mut(&mut chunk).unwrap()[..text.len()].copy_from_slice(text.as_bytes());
    let error = world.core.feed_node(id, &chunk, text.len()).unwrap_err();
    world.lose_pipe(id);
    assert!(error.to_string().contains("session.hard_pushes"));
    assert_eq!(world.heard(client), NULL);
}

#[test]
fn who_only_listens_notices_that_its_node_was_started_anew() {
    let mut world = World::new(settings());
    let client = world.client3();
    world.say(client, &command(&["CLIENT", "TRACKING", "ON", "BCAST"]));
    world.greet_all();
    assert_eq!(world.heard(client), "+OK\r\n");
    let id = world.tracked(client)[1].data;
    // Nothing passes: the node is asked over the shared connection, once for all who listen.
    world.core.set_now(5_000_000);
    world.core.tick();
    assert_eq!((0..3).map(|node| world.asked(node)).collect::<Vec<_>>(), vec![command(&["PING"]); 3]);
    (0..3).for_each(|node| world.node_says(node, "+PONG\r\n"));
    assert_eq!(world.asked_on(id), "");
    // That breaks: does the one that listens?
    world.lose(1, &Lost::Broken("connection reset by the node".to_owned()));
    assert_eq!(world.asked_on(id), command(&["PING"]));
    world.says_on(id, "+PONG\r\n");
    assert_eq!(world.heard(client), "");
    // Without an answer the node is silent, and what it knew is lost.
    world.connect_all();
    world.lose(1, &Lost::Broken("connection reset by the node".to_owned()));
    world.core.set_now(20_000_000);
    world.core.tick();
    assert_eq!(world.heard(client), NULL);
}
