//! What the connections do: random steps that fit what they are in, and such as do not.
//!
//! Two connections never wait for good, `behind` says what may be sent while others do, and nothing depends on the clock.

use fastrand::Rng;

use super::{
    behind::Behind,
    known::Known,
    play::{PROTOS, View},
    step::{BRIEF, Request, Step, line, request},
};

/// The steps of one play.
#[derive(Debug)]
pub struct Script<'a> {
    words: Words<'a>,
    known: Known,
    behind: Behind,
}

impl<'a> Script<'a> {
    /// `several`: over several nodes, too.
    pub fn new(rng: &'a mut Rng, several: bool) -> Self {
        let words = Words { rng, entry: 0, timeouts: Timeouts::None };
        Self { words, known: Known::load(several), behind: Behind::default() }
    }

    /// The next step.
    pub fn next(&mut self, view: &View) -> Step {
        let step = self.make(view);
        assert!(self.behind.allows(&step, view), "{step}");
        step
    }

    fn make(&mut self, view: &View) -> Step {
        let rng = &mut *self.words.rng;
        if let Some(connection) = view.closed.iter().position(|&closed| closed) {
            return Step::Leave { connection, proto: rng.u8(2..=3) };
        }
        let connection = rng.usize(..PROTOS.len());
        let bound = self.behind.binds(connection, view);
        let state = &view.states[connection];
        let blocked = view.states.iter().filter(|state| state.blocked).count();
        if rng.u8(..100) < if state.blocked { 15 } else { 2 } || state.blocked && bound {
            return Step::Leave { connection, proto: rng.u8(2..=3) };
        }
        self.words.timeouts = match blocked + 2 < PROTOS.len() {
            _ if state.blocked => Timeouts::None,
            true if rng.u8(..3) > 0 => Timeouts::Endless,
            _ => Timeouts::Brief,
        };
        let mut requests = self.requests(state.queueing, state.subscribed && state.proto == 2);
        // What waits behind a blocking request may begin a transaction.
        self.known.keep(connection, &mut requests, state.queueing || state.blocked, &view.states);
        let closes = |request: &Request| {
            ["QUIT", "CLIENT KILL", "CLIENT UNBLOCK"].iter().any(|name| line(request).starts_with(name))
        };
        if requests.len() == 1 && closes(&requests[0]) && !state.blocked && !state.queueing && !bound {
            // Redis closes behind a reply, and forgets to where there is none.
            requests.insert(0, request("CLIENT REPLY ON"));
        } else {
            // Whether the killed one has its last reply is chance, if it brings what the killer waits for.
            requests.retain(|request| !closes(request));
        }
        if requests.is_empty() {
            requests.push(request("PING"));
        }
        if bound {
            requests.truncate(1);
        }
        let rng = &mut *self.words.rng;
        let cuts = if rng.u8(..6) == 0 && !bound { rng.usize(1..=3) } else { 0 };
        let cuts = (0..cuts).map(|_| rng.u8(..)).collect();
        Step::Send { connection, requests, inline: rng.u8(..5) == 0, cuts }
    }

    fn requests(&mut self, queueing: bool, listening: bool) -> Vec<Request> {
        let words = &mut self.words;
        let lines: Vec<String> = match words.rng.u8(..100) {
            // What ends the state that the connection is in.
            0..15 if queueing => vec!["EXEC".to_owned()],
            0..30 if listening => vec![words.ending()],
            0..12 => words.block(),
            12..40 => (0..words.rng.usize(2..=6)).map(|_| words.any()).collect(),
            _ => vec![words.any()],
        };
        lines.iter().map(|line| request(line)).collect()
    }
}

/// Which timeouts a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timeouts {
    /// It must not wait.
    None,
    Brief,
    Endless,
}

/// Makes the words of requests.
#[derive(Debug)]
struct Words<'a> {
    rng: &'a mut Rng,
    /// The last entry's number: the ids of a stream's entries only grow.
    entry: u32,
    timeouts: Timeouts,
}

impl Words<'_> {
    fn pick<'b>(&mut self, words: &[&'b str]) -> &'b str {
        words[self.rng.usize(..words.len())]
    }

    fn any(&mut self) -> String {
        let line = match self.rng.u8(..100) {
            0..30 => self.data(),
            30..52 => self.transaction(),
            52..68 => self.blocking(),
            68..84 => self.subscription(),
            84..91 => self.script(),
            91..97 => self.client(),
            _ => self.session(),
        };
        if self.rng.u8(..40) == 0 { self.spoilt(&line) } else { line }
    }

    /// The line with a word missing, or one too many.
    fn spoilt(&mut self, line: &str) -> String {
        // With one more, a timeout would be a key, and lie on another node.
        let may_grow = !["BLPOP", "BRPOP ", "BZPOP"].iter().any(|name| line.starts_with(name));
        match line.rsplit_once(' ') {
            None => format!("{line} {{t}}a"),
            Some(_) if may_grow && self.rng.bool() => format!("{line} {}", "{t}a"),
            Some((rest, _)) => rest.to_owned(),
        }
    }

    fn block(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.rng.u8(..3) == 0 {
            lines.push(format!("WATCH {}", self.key()));
        }
        lines.push("MULTI".to_owned());
        lines.extend((0..self.rng.usize(..5)).map(|_| self.any()));
        lines.push(self.pick(&["EXEC", "EXEC", "EXEC", "EXEC", "DISCARD", "GET {t}a"]).to_owned());
        lines
    }

    fn key(&mut self) -> &'static str {
        self.pick(&["{t}a", "{t}b", "{t}l", "{t}m", "{t}z", "{t}s", "{t}h"])
    }

    fn list(&mut self) -> &'static str {
        self.pick(&["{t}l", "{t}l", "{t}m", "{t}m", "{t}l", "{t}m", "{t}l", "{t}a"])
    }

    fn value(&mut self) -> &'static str {
        self.pick(&["1", "2", "x", "why", "12.5"])
    }

    fn data(&mut self) -> String {
        let (key, list, value) = (self.key(), self.list(), self.value());
        self.entry += 1;
        let entry = self.entry;
        match self.rng.u8(..30) {
            0..3 => format!("SET {} {value}", self.pick(&["{t}a", "{t}b"])),
            3..5 => format!("GET {}", self.pick(&["{t}a", "{t}b", "{t}l"])),
            5 => format!("INCR {}", self.pick(&["{t}a", "{t}b"])),
            6 => format!("MGET {{t}}a {{t}}b {key}"),
            7 => format!("MSET {{t}}a {value} {{t}}b {value}"),
            8 => format!("DEL {key} {list}"),
            9..12 => format!("LPUSH {list} {value}"),
            12..14 => format!("RPUSH {list} {value} x y"),
            14 => format!("LPOP {list}"),
            15 => format!("LRANGE {list} 0 -1"),
            16..18 => format!("ZADD {{t}}z 1 {value} 2 b"),
            18 => "ZRANGE {t}z 0 -1 WITHSCORES".to_owned(),
            19..21 => format!("XADD {{t}}s {entry}-1 f {value}"),
            21 => "XRANGE {t}s - +".to_owned(),
            22 => "HSET {t}h f 1 g 2".to_owned(),
            23 => "HGETALL {t}h".to_owned(),
            24 => format!("EXISTS {key} {list}"),
            25 => format!("EXPIRE {key} 1000"),
            26 => format!("TYPE {key}"),
            27 => self.pick(&["PING", "PING hello", "ECHO hello", "DBSIZE", "nosuchcommand x"]).to_owned(),
            28 => format!("RENAME {key} {{t}}b"),
            _ => self.pick(&["FLUSHDB", "XGROUP CREATE {t}s g 0 MKSTREAM", "XACK {t}s g 1-1"]).to_owned(),
        }
    }

    fn transaction(&mut self) -> String {
        match self.rng.u8(..20) {
            0..5 => "MULTI".to_owned(),
            5..10 => "EXEC".to_owned(),
            10..12 => "DISCARD".to_owned(),
            12..14 => format!("WATCH {}", self.key()),
            14..16 => format!("WATCH {} {}", self.key(), self.key()),
            16..18 => "UNWATCH".to_owned(),
            _ => {
                self.pick(&["EXEC x", "MULTI x", "WATCH", "SET {t}a", "nosuchcommand", "exec", "INCR {t}l"]).to_owned()
            }
        }
    }

    fn blocking(&mut self) -> String {
        let (seconds, millis) = match self.timeouts {
            Timeouts::None => return self.data(),
            Timeouts::Brief => (BRIEF[0], BRIEF[1]),
            Timeouts::Endless => ("0", "0"),
        };
        let seconds = if self.rng.u8(..15) == 0 { self.pick(&["-1", "x", "1e400"]) } else { seconds };
        let (one, other) = (self.list(), self.list());
        let entry = self.entry;
        match self.rng.u8(..20) {
            0..4 => format!("BLPOP {one} {other} {seconds}"),
            4..6 => format!("BRPOP {one} {seconds}"),
            6..8 => format!("BLMOVE {one} {other} {} {seconds}", self.pick(&["LEFT RIGHT", "RIGHT LEFT", "LEFT x"])),
            8 => format!("BRPOPLPUSH {one} {other} {seconds}"),
            9..11 => format!("BLMPOP {seconds} 2 {one} {other} {}", self.pick(&["LEFT", "RIGHT COUNT 2", "x"])),
            11 => format!("BZPOPMIN {{t}}z {seconds}"),
            12 => format!("BZPOPMAX {{t}}y {{t}}z {seconds}"),
            13 => format!("BZMPOP {seconds} 1 {{t}}z MIN COUNT 2"),
            14..16 => format!("XREAD BLOCK {millis} STREAMS {{t}}s {}", self.pick(&["$", "0", "1-1"])),
            16 => format!("XREAD COUNT 1 BLOCK {millis} STREAMS {{t}}s {entry}-1"),
            17..19 => format!("XREADGROUP GROUP g c BLOCK {millis} STREAMS {{t}}s {}", self.pick(&[">", ">", "0"])),
            _ if self.timeouts == Timeouts::Brief => format!("WAIT 1 {millis}"),
            _ => "WAIT 0 0".to_owned(),
        }
    }

    fn subscription(&mut self) -> String {
        let channel = self.pick(&["{t}c", "{t}d", "{t}e", "{t}c {t}d", "{t}d {t}c {t}d"]);
        let pattern = self.pick(&["{t}*", "{t}c*", "{t}?", "__keyspace@0__:{t}*", "__keyevent@?__:*", "{t}* {t}c*"]);
        let one = self.pick(&["{t}c", "{t}d", "{t}e"]);
        match self.rng.u8(..30) {
            0..4 => format!("SUBSCRIBE {channel}"),
            4..7 => format!("PSUBSCRIBE {pattern}"),
            7..9 => format!("SSUBSCRIBE {channel}"),
            9..12 => self.ending(),
            12..21 => format!("PUBLISH {one} {}", self.value()),
            21..24 => format!("SPUBLISH {one} {}", self.value()),
            24 => "PUBSUB CHANNELS".to_owned(),
            25 => format!("PUBSUB CHANNELS {}", self.pick(&["{t}*", "x*", "{t}c"])),
            26 => format!("PUBSUB NUMSUB {channel}"),
            27 => "PUBSUB NUMPAT".to_owned(),
            28 => "PUBSUB SHARDCHANNELS".to_owned(),
            _ => format!("PUBSUB SHARDNUMSUB {channel}"),
        }
    }

    /// What leaves subscriptions, or asks in subscribed mode.
    fn ending(&mut self) -> String {
        let channel = self.pick(&["{t}c", "{t}d", "{t}c {t}e"]);
        match self.rng.u8(..12) {
            0..3 => format!("UNSUBSCRIBE {channel}"),
            3 => "UNSUBSCRIBE".to_owned(),
            4 => format!("PUNSUBSCRIBE {}", self.pick(&["{t}*", "{t}c*", "__keyspace@0__:{t}*"])),
            5..7 => "PUNSUBSCRIBE".to_owned(),
            7 => format!("SUNSUBSCRIBE {channel}"),
            8..10 => "SUNSUBSCRIBE".to_owned(),
            _ => self.pick(&["PING", "PING x", "RESET", "GET {t}a"]).to_owned(),
        }
    }

    fn script(&mut self) -> String {
        let (key, value) = (self.key(), self.value());
        let text = self.pick(&[
            "return\u{a0}redis.call('INCR',KEYS[1])",
            "return\u{a0}{KEYS[1],ARGV[1],redis.call('TYPE',KEYS[1])}",
            "return\u{a0}redis.call('LPUSH',KEYS[1],ARGV[1])",
            "redis.call('PUBLISH','{t}c',ARGV[1])\u{a0}return\u{a0}1",
            "return\u{a0}redis.error_reply('MY\u{a0}error')",
            "return\u{a0}redis.pcall('INCR',KEYS[1])",
            "not\u{a0}a\u{a0}script",
        ]);
        // Of the first two texts, and of none.
        let sha = self.pick(&[
            "da8455f0535fd532821b3713a4eccd80fc4b8457",
            "a908bc14c6f8ad6a9b309fdc9948519963fad7d3",
            "0000000000000000000000000000000000000000",
            "x",
        ]);
        match self.rng.u8(..20) {
            0..6 => format!("EVAL {text} 1 {key} {value}"),
            6 => format!("EVAL_RO {text} 1 {key} {value}"),
            7..12 => format!("EVALSHA {sha} 1 {key} {value}"),
            12 => format!("EVALSHA_RO {sha} 1 {key} {value}"),
            13..15 => format!("SCRIPT LOAD {text}"),
            15 => format!("SCRIPT EXISTS {sha} {sha}"),
            16 => self.pick(&["SCRIPT FLUSH", "FUNCTION FLUSH", "FUNCTION DELETE lib", "FUNCTION LIST"]).to_owned(),
            17 => "FUNCTION LOAD REPLACE #!lua\u{a0}name=lib\nredis.register_function('f',function(k,a)\u{a0}\
                   return\u{a0}redis.call('APPEND',k[1],a[1])\u{a0}end)"
                .to_owned(),
            18 => format!("FCALL f 1 {key} {value}"),
            _ => format!("FCALL_RO {} 1 {key} {value}", self.pick(&["f", "nosuch"])),
        }
    }

    fn client(&mut self) -> String {
        let other = self.rng.usize(..PROTOS.len());
        match self.rng.u8(..40) {
            0..4 => "CLIENT TRACKING ON".to_owned(),
            4..6 => format!("CLIENT TRACKING ON BCAST PREFIX {}", self.pick(&["{t}", "{t}a", "{t}a PREFIX {t}l"])),
            6 => "CLIENT TRACKING ON OPTIN".to_owned(),
            7 => "CLIENT TRACKING ON OPTOUT".to_owned(),
            8 => "CLIENT TRACKING ON NOLOOP".to_owned(),
            9 => format!("CLIENT TRACKING ON REDIRECT #{other}"),
            10..13 => "CLIENT TRACKING OFF".to_owned(),
            13 => format!("CLIENT TRACKING {}", self.pick(&["x", "ON BCAST OPTIN", "ON PREFIX x", "OFF OPTIN"])),
            14..16 => format!("CLIENT CACHING {}", self.pick(&["YES", "NO", "x"])),
            16..18 => "CLIENT TRACKINGINFO".to_owned(),
            18..20 => "CLIENT GETREDIR".to_owned(),
            20..22 => "CLIENT REPLY SKIP".to_owned(),
            22 => "CLIENT REPLY OFF".to_owned(),
            23..26 => "CLIENT REPLY ON".to_owned(),
            26..31 => format!("CLIENT UNBLOCK #{other} {}", self.pick(&["TIMEOUT", "ERROR", "x"])),
            31 => format!("CLIENT KILL ID #{other}"),
            32 => "CLIENT UNBLOCK 9999999".to_owned(),
            33 => "SUBSCRIBE __redis__:invalidate".to_owned(),
            34 => format!("CLIENT SETNAME {}", self.pick(&["me", "you"])),
            35 => "CLIENT GETNAME".to_owned(),
            36 => format!("CLIENT NO-EVICT {}", self.pick(&["on", "off", "x"])),
            _ => "CLIENT ID".to_owned(),
        }
    }

    fn session(&mut self) -> String {
        match self.rng.u8(..20) {
            0..5 => format!("SELECT {}", self.pick(&["0", "0", "1", "2", "99", "x"])),
            5..8 => "SELECT 0".to_owned(),
            8..12 => "RESET".to_owned(),
            12..14 => "HELLO 3".to_owned(),
            14..16 => "HELLO 2".to_owned(),
            16 => self.pick(&["HELLO", "HELLO 4", "HELLO x", "HELLO 3 SETNAME me", "HELLO 2 SETNAME"]).to_owned(),
            17 => "QUIT".to_owned(),
            18 => "AUTH x".to_owned(),
            _ => "SWAPDB 0 1".to_owned(),
        }
    }
}
