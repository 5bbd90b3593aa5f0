//! A client: asks at random, writes down what it asked and what it was told, reconnects when it is cut off.

use std::{
    io::{self, ErrorKind},
    sync::atomic::Ordering::SeqCst,
    thread,
    time::Duration,
};

use fastrand::Rng;

use super::{
    keys::{Class, DBS, NUMBERS, Object},
    linear::{Call, Op, Reply},
    play::Play,
    wire::{Ask, Told},
};
use crate::support::{
    Client,
    resp::{self, Value},
    wait::{LONG, until_true},
};

/// Longest pause between two requests.
const THINK: Duration = Duration::from_micros(1_500);

/// One client.
#[derive(Debug)]
pub struct Person<'a> {
    number: u16,
    play: &'a Play,
    rng: Rng,
    client: Option<Client>,
    db: u8,
    /// Values written so far.
    written: u64,
    /// What it saw.
    pub seen: Vec<(Object, Op)>,
}

impl<'a> Person<'a> {
    pub fn new(number: u16, play: &'a Play, seed: u64) -> Self {
        let rng = Rng::with_seed(seed.wrapping_add(u64::from(number)));
        Self { number, play, rng, client: None, db: DBS[usize::from(number) % DBS.len()], written: 0, seen: Vec::new() }
    }

    /// Goes on until told to stop; gives what it saw.
    pub fn run(mut self) -> Vec<(Object, Op)> {
        while !self.play.stop.load(SeqCst) {
            self.turn();
            thread::sleep(THINK.mul_f64(self.rng.f64()));
        }
        self.seen
    }

    fn turn(&mut self) {
        match self.rng.u8(..20) {
            0 => self.other_db(),
            1 | 2 => {
                let asks = (0..self.rng.usize(2..7)).map(|_| self.any(false)).collect();
                self.exchange(asks);
            }
            3 => {
                let asks = vec![self.several()];
                self.exchange(asks);
            }
            4 => self.compare_and_set(),
            _ => {
                let asks = vec![self.any(true)];
                self.exchange(asks);
            }
        }
    }

    /// Goes on in another db, on the same connection or a new one.
    fn other_db(&mut self) {
        self.db = self.rng.choice(DBS).unwrap();
        let select = resp::words(&format!("SELECT {}", self.db));
        let stays = self.rng.bool()
            && self.client.as_mut().is_some_and(|client| {
                client.try_send(&select).is_ok() && client.try_frame(LONG).is_ok_and(|reply| reply == b"+OK\r\n")
            });
        if !stays {
            self.cut();
        }
    }

    /// A call on an object, most often on one that others want too.
    fn any(&mut self, may_block: bool) -> Ask {
        let class = self.rng.choice(Class::ALL).unwrap();
        let object = self.object(class);
        let (end, unix_ms) = self.play.later(Duration::from_millis(self.rng.u64(300..6_000)));
        let call = self.call(class, end);
        let variant = self.rng.u8(..) & if may_block { 0xff } else { 0xfe };
        Ask::one(object, call, variant, unix_ms)
    }

    fn object(&mut self, class: Class) -> Object {
        let number =
            if self.rng.u8(..4) == 0 { self.rng.u8(..NUMBERS) } else { self.play.fashion() + self.rng.u8(..2) };
        self.play.object(class, self.db, number)
    }

    fn call(&mut self, class: Class, end: u64) -> Call {
        let member = self.rng.u8(..6);
        match (class, self.rng.u8(..10)) {
            (Class::Queue, 0..4) => Call::Push((0..self.rng.usize(1..4)).map(|_| self.id()).collect()),
            (Class::Queue, 4..8) => Call::Pop,
            (Class::Queue, 8) => Call::Len,
            (Class::Queue, _) => Call::Items,
            (Class::Set, 0..3) => Call::SAdd(member),
            (Class::Set, 3..5) => Call::SRem(member),
            (Class::Set, 5) => Call::IsMember(member),
            (Class::Set, 6..8) => Call::Members,
            (Class::Counter, 0..5) => Call::Add(self.rng.i64(1..4)),
            (Class::Expiring, 0..3) => Call::SetUntil(self.id(), end),
            (Class::Expiring, 3) => Call::ExpireAt(end),
            (Class::Register | Class::Pair | Class::Field, 0..3) => Call::Set(self.id()),
            (Class::Register | Class::Pair, 3) => Call::Swap(self.id()),
            (Class::Register, 4) => Call::Take,
            (Class::Register | Class::Field, 5) => Call::SetNx(self.id()),
            (Class::Set | Class::Counter | Class::Register | Class::Pair | Class::Field, 8) => Call::Del,
            (Class::Pair, _) => Call::Get,
            (_, 9) => Call::Exists,
            _ => Call::Get,
        }
    }

    /// MSET or MGET of some registers.
    fn several(&mut self) -> Ask {
        let sets = self.rng.bool();
        let mut objects: Vec<Object> = (0..self.rng.u8(2..6))
            .map(|_| self.play.object(Class::Register, self.db, self.rng.u8(..NUMBERS)))
            .collect();
        objects.sort_unstable();
        objects.dedup();
        Ask::several(
            objects.into_iter().map(|object| (object, if sets { Call::Set(self.id()) } else { Call::Get })).collect(),
        )
    }

    /// WATCH, GET, and EXEC that writes only if nothing changed.
    fn compare_and_set(&mut self) {
        let object = self.object(Class::Pair);
        let Some(client) = self.client() else { return };
        client.try_send(&resp::words(&format!("WATCH {}", object.key()))).ok();
        match client.try_frame(LONG).map(|frame| Value::of(&frame)) {
            Ok(Value::Scalar(b'+', _)) => {}
            Ok(Value::Error(text)) => return self.play.error(&text),
            _ => return self.cut(),
        }
        let before = self.seen.len();
        self.exchange(vec![Ask::one(object, Call::Get, 0, 0)]);
        let old = match self.seen.get(before).and_then(|(_, op)| op.reply.as_ref()) {
            Some(Reply::Value(id)) => Some(*id),
            Some(Reply::Nil) => None,
            _ => return self.cut(),
        };
        if self.client.is_none() {
            return;
        }
        let new = self.id();
        self.exchange(vec![Ask::one(object, Call::Cas { old, new }, 1, 0)]);
    }

    /// Sends all, reads all, and writes it down.
    pub fn exchange(&mut self, asks: Vec<Ask>) {
        if self.client().is_none() {
            return;
        }
        let begin = self.play.now();
        let bytes: Vec<u8> = asks.iter().flat_map(|ask| ask.bytes.iter().copied()).collect();
        let mut whole = self.client.as_mut().is_some_and(|client| client.try_send(&bytes).is_ok());
        for ask in asks {
            let replies = if whole { self.replies(ask.replies) } else { Err(ErrorKind::BrokenPipe.into()) };
            whole = replies.is_ok();
            let told = match replies {
                Ok(replies) => ask.told(&replies),
                Err(_) => vec![Told::Unknown],
            };
            self.write_down(ask, begin, &told);
        }
        if !whole {
            self.cut();
        }
    }

    fn replies(&mut self, count: usize) -> io::Result<Vec<Value>> {
        let client = self.client.as_mut().ok_or(ErrorKind::NotConnected)?;
        let replies: io::Result<Vec<Value>> =
            (0..count).map(|_| client.try_frame(LONG).map(|frame| Value::of(&frame))).collect();
        match &replies {
            Ok(replies) => {
                if let Some(Value::Error(text)) = replies.last() {
                    self.play.error(text);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.play.error("SILENCE")
            }
            Err(_) => {}
        }
        replies
    }

    /// Reads all of `objects`, each until it is told what it holds.
    pub fn read(&mut self, objects: &[Object]) {
        for object in objects {
            if self.db != object.db {
                self.db = object.db;
                self.cut();
            }
            let call = match object.class {
                Class::Set => Call::Members,
                Class::Queue => Call::Items,
                _ => Call::Get,
            };
            let before = self.seen.len();
            until_true("an object to be read", || {
                self.exchange(vec![Ask::one(*object, call.clone(), 0, 0)]);
                self.seen.len() > before
            });
        }
    }

    fn write_down(&mut self, ask: Ask, begin: u64, told: &[Told]) {
        let now = self.play.now();
        if told.iter().any(|told| matches!(told, Told::Reply(_))) {
            self.play.over(now - begin, ask.blocks);
        }
        for (at, (object, call)) in ask.parts.into_iter().enumerate() {
            let (end, reply) = match told.get(at).unwrap_or(&told[0]) {
                Told::Nothing => continue,
                Told::Unknown if call.only_reads() => continue,
                Told::Unknown => {
                    self.play.unknown(&object);
                    (None, None)
                }
                Told::Reply(reply) => (Some(now), Some(reply.clone())),
            };
            self.seen.push((object, Op { client: self.number, begin, end, call, reply }));
        }
    }

    fn cut(&mut self) {
        self.client = None;
    }

    /// The connection; a new one if the last was cut. `None` if the round is over before there is one.
    fn client(&mut self) -> Option<&mut Client> {
        while self.client.is_none() {
            if let Ok(mut client) = Client::try_connect(&self.play.address, LONG)
                && client.try_send(&resp::words(&format!("SELECT {}", self.db))).is_ok()
                && client.try_frame(LONG).is_ok_and(|reply| reply == b"+OK\r\n")
            {
                self.client = Some(client);
                break;
            }
            if self.play.stop.load(SeqCst) {
                return None;
            }
            thread::sleep(THINK);
        }
        self.client.as_mut()
    }

    fn id(&mut self) -> u64 {
        self.written += 1;
        u64::from(self.number) * 1_000_000 + self.written
    }
}
