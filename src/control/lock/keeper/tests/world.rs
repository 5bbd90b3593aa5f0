//! Keepers, nodes and clients in one simulated time: lines that are slow, break with requests queued and come back, nodes that
//! forget, clocks that are set, processes that pause and die. Every choice comes from one seed.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;

use super::{
    super::{
        Input, Keeper, Limits, LineNo, Member, Now, Output, Rules, Safety, Script, Ticket, Token, Voter, validity,
    },
    judge::{Judge, Property},
    node::{Node, Oddity},
};
use crate::{
    control::lock::{outcome::Outcome, state::State},
    traffic::{
        client::ClientKey,
        core::Asker,
        lock::{Form, LockAsk, LockName, Proof, Want},
    },
};

/// What a world is made of.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) nodes: usize,
    /// More that may join.
    pub(super) spare: usize,
    pub(super) each: usize,
    pub(super) keepers: usize,
    pub(super) sessions: usize,
    pub(super) names: usize,
    pub(super) safety: Safety,
    /// CLIENT KILL ID before a line is used.
    pub(super) kill: bool,
    /// Parts of ten thousand, per step.
    pub(super) breaks: u32,
    pub(super) restarts: u32,
    pub(super) flushes: u32,
    pub(super) jumps: u32,
    pub(super) pauses: u32,
    pub(super) deaths: u32,
    pub(super) changes: u32,
    pub(super) drift: bool,
    /// How long a round waits, ms.
    pub(super) node_time: u64,
    pub(super) fences: bool,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            nodes: 3,
            spare: 0,
            each: 3,
            keepers: 1,
            sessions: 5,
            names: 2,
            safety: Safety::default(),
            kill: true,
            breaks: 0,
            restarts: 0,
            flushes: 0,
            jumps: 0,
            pauses: 0,
            deaths: 0,
            changes: 0,
            drift: true,
            node_time: 60,
            fences: true,
        }
    }
}

pub(super) const MAX_TTL: Duration = Duration::from_millis(1_000);

/// What travels on a line.
#[derive(Clone, Debug)]
enum Cargo {
    Script { ticket: Ticket, script: Script, take: u64 },
    Look,
}

/// A connection.
#[derive(Debug)]
struct Line {
    no: LineNo,
    requests: VecDeque<(Cargo, Now)>,
    answers: VecDeque<Input>,
}

/// A keeper's way to a node.
#[derive(Debug)]
struct Way {
    node: usize,
    line: Option<Line>,
}

/// A Circlet.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) keeper: Keeper,
    ways: BTreeMap<Voter, Way>,
    inbox: VecDeque<Input>,
    pub(super) disk: Option<State>,
    saving: VecDeque<(u64, State)>,
    paused: Duration,
    lines: u64,
    pub(super) sessions: Vec<Client>,
    wanted: Vec<Member>,
    listening: Vec<LockName>,
}

/// A client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) asking: Option<LockAsk>,
    held: Vec<(LockName, Token)>,
    /// Also those that it does nothing about any more.
    believed: Vec<(LockName, Token)>,
}

/// What a broken line had queued: of which proxy in which of its lives, and on which node.
type Zombie = (usize, u64, usize, VecDeque<(Cargo, Now)>);

/// All of it.
pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) now: Duration,
    pub(super) random: fastrand::Rng,
    pub(super) nodes: Vec<Node>,
    pub(super) proxies: Vec<Proxy>,
    pub(super) judge: Judge,
    zombies: Vec<Zombie>,
    /// Lives of the proxies.
    lives: Vec<u64>,
    numbers: u64,
    /// How often each token was sent to take.
    takes: HashMap<(Token, usize), u64>,
    pub(super) commands: u64,
    pub(super) log: Vec<String>,
    loud: bool,
    pub(super) answers: Vec<(u64, Outcome)>,
}

pub(super) fn member(index: usize) -> Member {
    Member { name: format!("n{index}"), place: format!("n{index}"), address: format!("host{index}:6379") }
}

pub(super) fn name(index: usize) -> LockName {
    LockName { db: 0, name: Bytes::from(format!("lock{index}")) }
}

impl World {
    pub(super) fn new(scene: Scene, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let nodes = (0..scene.nodes + scene.spare).map(|index| Node::new(member(index), scene.safety.marker)).collect();
        let judge = Judge::new(scene.fences);
        let mut world = Self {
            now: Duration::from_secs(100),
            random,
            nodes,
            proxies: Vec::new(),
            judge,
            zombies: Vec::new(),
            lives: vec![0; scene.keepers],
            numbers: 0,
            takes: HashMap::new(),
            commands: 0,
            log: Vec::new(),
            loud: std::env::var("SEED").is_ok(),
            answers: Vec::new(),
            scene,
        };
        if world.scene.drift {
            for node in &mut world.nodes {
                node.drift = world.random.i64(-9_000..9_000);
            }
        }
        let wanted: Vec<_> = (0..world.scene.nodes).map(member).collect();
        for index in 0..world.scene.keepers {
            let proxy = world.birth(None, wanted.clone());
            world.proxies.push(proxy);
            world.feed(index, Input::Wanted(wanted.clone()));
        }
        world
    }

    fn rules(&self) -> Rules {
        Rules {
            nodes: self.scene.each,
            max_ttl: MAX_TTL,
            bootstrap: true,
            limits: Limits {
                node_time: Duration::from_millis(self.scene.node_time),
                max_waiters: 1_000_000,
                max_held: 1_000_000,
            },
            safety: self.scene.safety,
        }
    }

    fn birth(&mut self, disk: Option<State>, wanted: Vec<Member>) -> Proxy {
        let mut secret = [0; 32];
        self.random.fill(&mut secret);
        let keeper = Keeper::new(self.rules(), disk.clone(), "boot".into(), secret, self.now);
        let clients = (0..self.scene.sessions).map(|_| {
            self.numbers += 1;
            Client::new(self.numbers)
        });
        let sessions = clients.collect();
        Proxy {
            keeper,
            ways: BTreeMap::new(),
            inbox: VecDeque::new(),
            disk,
            saving: VecDeque::new(),
            paused: Duration::ZERO,
            lines: 0,
            sessions,
            wanted,
            listening: Vec::new(),
        }
    }

    pub(super) fn say(&mut self, text: impl FnOnce() -> String) {
        if self.loud {
            let text = format!("{:?} {}", self.now, text());
            self.log.push(text);
        }
    }

    /// Gives a keeper an input, and carries its outputs out.
    pub(super) fn feed(&mut self, proxy: usize, input: Input) {
        self.say(|| format!("P{proxy} <- {input:?}"));
        let now = self.now;
        self.proxies[proxy].keeper.handle(input, now);
        self.carry_out(proxy);
    }

    fn carry_out(&mut self, proxy: usize) {
        while let Some(output) = self.proxies[proxy].keeper.poll_output() {
            self.say(|| format!("P{proxy} -> {output:?}"));
            match output {
                Output::Send { voter, line, ticket, script } => self.carry(proxy, voter, line, ticket, script),
                Output::Answer { to, outcome } => self.answered(proxy, &to, outcome),
                Output::Lapsed { .. } | Output::Note(_) => {}
                Output::Voter(voter, Some(member)) => {
                    let node = self.nodes.iter().position(|node| node.member == member).unwrap();
                    self.proxies[proxy].ways.insert(voter, Way { node, line: None });
                }
                Output::Voter(voter, None) => {
                    self.break_line(proxy, voter, false);
                    self.proxies[proxy].ways.remove(&voter);
                }
                Output::Save(number, state) => self.proxies[proxy].saving.push_back((number, state)),
                Output::Listen(lock, true) => self.proxies[proxy].listening.push(lock),
                Output::Listen(lock, false) => self.proxies[proxy].listening.retain(|known| *known != lock),
            }
        }
    }

    fn carry(&mut self, proxy: usize, voter: Voter, line: LineNo, ticket: Ticket, script: Script) {
        let now = self.now;
        self.commands += 1;
        let Some(way) = self.proxies[proxy].ways.get_mut(&voter) else { return };
        let node = way.node;
        let take = match &script {
            Script::Take { token, .. } => {
                let count = self.takes.entry((*token, node)).or_default();
                *count += 1;
                *count
            }
            Script::Release { proof: Some(super::super::Mine::Token(token)), .. }
            | Script::Extend { proof: super::super::Mine::Token(token), .. } => {
                self.takes.get(&(*token, node)).copied().unwrap_or(0)
            }
            _ => u64::MAX,
        };
        if let Some(open) = way.line.as_mut().filter(|open| open.no == line) {
            open.requests.push_back((Cargo::Script { ticket, script, take }, now));
        }
    }

    fn answered(&mut self, proxy: usize, to: &LockAsk, outcome: Outcome) {
        let now = self.now;
        let client = self.proxies[proxy].sessions.iter_mut().find(|client| client.id == to.session);
        match &outcome {
            Outcome::Granted { token, fence, validity_ms, .. } => {
                self.judge.granted(&to.lock, *token, *fence, Duration::from_millis(*validity_ms), now);
                if let Some(client) = client {
                    client.held.push((to.lock.clone(), *token));
                    client.believed.push((to.lock.clone(), *token));
                    client.asking = None;
                }
            }
            other => {
                if let (Outcome::Extended { validity_ms, .. }, Want::Extend { proof: Proof::Token(text), .. }) =
                    (other, &to.want)
                {
                    let token = Token::from_hex(text).unwrap();
                    self.judge.extended(&to.lock, token, Duration::from_millis(*validity_ms), now);
                }
                if let Outcome::Info(info) = other
                    && let Some(holder) = info.holder.as_ref().filter(|holder| holder.validity_ms.is_some())
                {
                    // A SESSION lock that its keeper renews: what it shows is what may be believed.
                    let validity = Duration::from_millis(holder.validity_ms.unwrap_or(0));
                    self.judge.extended(&to.lock, holder.token, validity, now);
                }
                if let Some(client) = client {
                    client.asking = None;
                }
            }
        }
        if self.answers.len() < 100_000 {
            self.answers.push((to.session, outcome));
        }
    }

    /// A client asks.
    pub(super) fn ask(&mut self, proxy: usize, client: usize, lock: LockName, want: Want) -> u64 {
        let (now, session) = (self.now, self.proxies[proxy].sessions[client].id);
        match &want {
            Want::Release { proof: Some(Proof::Token(text)), .. } => {
                let token = Token::from_hex(text).unwrap();
                self.judge.at_most(token, now);
                self.proxies[proxy].sessions[client].held.retain(|(_, known)| *known != token);
            }
            Want::Extend { proof: Proof::Token(text), ttl_ms, more: false } => {
                let token = Token::from_hex(text).unwrap();
                self.judge.at_most(token, validity::until(now, *ttl_ms));
            }
            _ => {}
        }
        let asker = Asker { worker: 0, key: ClientKey { index: 0, generation: 0 }, seq: 0 };
        let ask = LockAsk { lock, want, form: Form::Lock, resp3: true, session, asker };
        self.proxies[proxy].sessions[client].asking = Some(ask.clone());
        self.feed(proxy, Input::Ask(ask));
        session
    }

    pub(super) fn break_line(&mut self, proxy: usize, voter: Voter, told: bool) {
        let life = self.lives[proxy];
        let Some(way) = self.proxies[proxy].ways.get_mut(&voter) else { return };
        let Some(line) = way.line.take() else { return };
        let node = way.node;
        self.say(|| format!("P{proxy}: its line to n{node} breaks with {} requests queued", line.requests.len()));
        if !line.requests.is_empty() {
            self.zombies.push((proxy, life, node, line.requests));
        }
        if told {
            let why = "connection reset".to_owned();
            self.proxies[proxy].inbox.push_back(Input::Lost { voter, line: line.no, why });
        }
    }

    /// Connects, as far as the node is there: its handshake, the last thing of which is to end what is left of the line before.
    pub(super) fn connect(&mut self, proxy: usize, voter: Voter) {
        let now = self.now;
        let Some(way) = self.proxies[proxy].ways.get(&voter).filter(|way| way.line.is_none()) else { return };
        let node = way.node;
        self.proxies[proxy].lines += 1;
        let line = LineNo(self.proxies[proxy].lines);
        if !self.nodes[node].up {
            let why = "connection refused".to_owned();
            self.proxies[proxy].inbox.push_back(Input::Lost { voter, line, why });
            return;
        }
        if self.scene.kill {
            let life = self.lives[proxy];
            self.zombies.retain(|(of, its, on, _)| (*of, *its, *on) != (proxy, life, node));
        }
        let facts = self.nodes[node].facts(now);
        self.say(|| format!("P{proxy} meets n{node}: {facts:?}"));
        if let Some(way) = self.proxies[proxy].ways.get_mut(&voter) {
            way.line = Some(Line { no: line, requests: VecDeque::new(), answers: VecDeque::new() });
        }
        self.proxies[proxy].inbox.push_back(Input::Met { voter, line, facts, sent: now });
    }

    /// A node executes what is next on one line.
    pub(super) fn execute(&mut self, proxy: usize, voter: Voter) {
        let now = self.now;
        let Some(way) = self.proxies[proxy].ways.get_mut(&voter) else { return };
        let node = way.node;
        let Some(line) = &mut way.line else { return };
        let Some((cargo, sent)) = line.requests.pop_front() else { return };
        let no = line.no;
        let input = match cargo {
            Cargo::Look => Input::Looked { voter, line: no, facts: self.nodes[node].facts(now), sent },
            Cargo::Script { ticket, script, take } => {
                let (said, oddity) = self.nodes[node].execute(&script, take, now);
                self.say(|| format!("n{node}: {script:?} -> {said:?}"));
                self.judge_oddity(oddity.as_ref(), &script);
                if said == super::super::Said::Released(true)
                    && let Script::Release { lock, .. } = &script
                {
                    self.publish(lock);
                }
                let clock_us = Some(self.nodes[node].wall(now) as u64);
                Input::Answered { voter, line: no, ticket, said, clock_us, sent }
            }
        };
        if let Some(line) = self.proxies[proxy].ways.get_mut(&voter).and_then(|way| way.line.as_mut()) {
            line.answers.push_back(input);
        }
    }

    fn publish(&mut self, lock: &LockName) {
        for proxy in &mut self.proxies {
            if proxy.listening.contains(lock) {
                proxy.inbox.push_back(Input::Freed { lock: lock.clone() });
            }
        }
    }

    fn judge_oddity(&mut self, oddity: Option<&Oddity>, script: &Script) {
        match oddity {
            Some(Oddity::WrongDelete) => self.judge.fail(Property::P3, format!("{script:?}")),
            Some(Oddity::Residue) => self.judge.fail(Property::P4, format!("{script:?}")),
            None => {}
        }
    }

    /// A request of a line that is no more is executed.
    pub(super) fn haunt(&mut self) {
        if self.zombies.is_empty() {
            return;
        }
        let (now, index) = (self.now, self.random.usize(0..self.zombies.len()));
        let (_, _, node, queue) = &mut self.zombies[index];
        let node = *node;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.zombies.remove(index);
        }
        if let Some((Cargo::Script { script, take, .. }, _)) = next {
            let (said, oddity) = self.nodes[node].execute(&script, take, now);
            self.say(|| format!("n{node}, late, of a broken line: {script:?} -> {said:?}"));
            self.judge_oddity(oddity.as_ref(), &script);
        }
    }

    fn paused(&self, proxy: usize) -> bool {
        self.proxies[proxy].paused > self.now
    }

    /// The keeper hears what is next.
    pub(super) fn deliver(&mut self, proxy: usize, voter: Voter) {
        if self.paused(proxy) {
            return;
        }
        let line = self.proxies[proxy].ways.get_mut(&voter).and_then(|way| way.line.as_mut());
        let Some(input) = line.and_then(|line| line.answers.pop_front()) else { return };
        self.feed(proxy, input);
    }

    pub(super) fn read_inbox(&mut self, proxy: usize) {
        if self.paused(proxy) {
            return;
        }
        if let Some(input) = self.proxies[proxy].inbox.pop_front() {
            self.feed(proxy, input);
        }
    }

    pub(super) fn wake(&mut self, proxy: usize) {
        let due = self.proxies[proxy].keeper.next_deadline().is_some_and(|due| due <= self.now);
        if due && !self.paused(proxy) {
            self.feed(proxy, Input::Wake);
        }
    }

    pub(super) fn save(&mut self, proxy: usize, fails: bool) {
        if self.paused(proxy) {
            return;
        }
        let Some((number, state)) = self.proxies[proxy].saving.pop_front() else { return };
        if fails {
            self.feed(proxy, Input::NotSaved(number, "no space left".into()));
        } else {
            self.proxies[proxy].disk = Some(state);
            self.feed(proxy, Input::Saved(number));
        }
    }

    pub(super) fn look(&mut self, proxy: usize, voter: Voter) {
        let now = self.now;
        if let Some(line) = self.proxies[proxy].ways.get_mut(&voter).and_then(|way| way.line.as_mut()) {
            line.requests.push_back((Cargo::Look, now));
        }
    }

    pub(super) fn voters(&self, proxy: usize) -> Vec<Voter> {
        self.proxies[proxy].ways.keys().copied().collect()
    }

    pub(super) fn voter_of(&self, proxy: usize, node: usize) -> Voter {
        self.proxies[proxy].ways.iter().find(|(_, way)| way.node == node).map(|(voter, _)| *voter).unwrap()
    }

    pub(super) fn crash_node(&mut self, node: usize) {
        self.say(|| format!("n{node} crashes and comes back empty"));
        self.nodes[node].restart();
        self.zombies.retain(|(_, _, on, _)| *on != node);
        for proxy in 0..self.proxies.len() {
            for voter in self.voters(proxy) {
                let way = &mut self.proxies[proxy].ways.get_mut(&voter).unwrap();
                if way.node == node
                    && let Some(line) = way.line.take()
                {
                    let why = "connection reset".to_owned();
                    // Answers that were on their way arrive first.
                    let inbox = &mut self.proxies[proxy].inbox;
                    if self.random.bool() {
                        inbox.extend(line.answers);
                    }
                    inbox.push_back(Input::Lost { voter, line: line.no, why });
                }
            }
        }
    }

    /// A node forgets everything and keeps its connections.
    pub(super) fn flush(&mut self, node: usize) {
        // The limit that quarantine.rs names: a marker that some keeper has not seen yet.
        let unseen = self.proxies.len() > 1
            && self.proxies.iter().any(|proxy| {
                proxy.keeper.seats.iter().any(|seat| seat.member == self.nodes[node].member && !seat.known.marked)
            });
        if !unseen {
            self.say(|| format!("n{node}: FLUSHALL"));
            self.nodes[node].forget();
        }
    }

    pub(super) fn jump(&mut self, node: usize, us: i64) {
        // A keeper that knows nothing of the node's clock cannot see that it jumps.
        let member = &self.nodes[node].member;
        let knows =
            |proxy: &Proxy| proxy.keeper.seats.iter().any(|seat| seat.member == *member && seat.clock.is_known());
        if self.proxies.iter().all(knows) {
            self.say(|| format!("n{node}: its clock is set by {us} us"));
            self.nodes[node].ahead += us;
        }
    }

    pub(super) fn pause(&mut self, proxy: usize, time: Duration) {
        self.say(|| format!("P{proxy} pauses for {time:?}"));
        self.proxies[proxy].paused = self.now + time;
    }

    /// The process dies and is started anew.
    pub(super) fn die(&mut self, proxy: usize) {
        self.say(|| format!("P{proxy} dies"));
        for voter in self.voters(proxy) {
            self.break_line(proxy, voter, false);
        }
        self.lives[proxy] += 1;
        let mut disk = self.proxies[proxy].disk.clone();
        if self.random.bool()
            && let Some((_, state)) = self.proxies[proxy].saving.pop_front()
        {
            disk = Some(state);
        }
        let wanted = self.proxies[proxy].wanted.clone();
        self.proxies[proxy] = self.birth(disk, wanted.clone());
        self.carry_out(proxy);
        self.feed(proxy, Input::Wanted(wanted));
    }

    pub(super) fn want(&mut self, proxy: usize, nodes: &[usize]) {
        let wanted: Vec<_> = nodes.iter().map(|node| member(*node)).collect();
        self.proxies[proxy].wanted.clone_from(&wanted);
        self.feed(proxy, Input::Wanted(wanted));
    }

    /// Everybody does what he can, in order, until nothing is left to do at this time.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            let before = self.commands + self.numbers;
            let mut busy = false;
            for proxy in 0..self.proxies.len() {
                while !self.proxies[proxy].inbox.is_empty() && !self.paused(proxy) {
                    self.read_inbox(proxy);
                    busy = true;
                }
                while !self.proxies[proxy].saving.is_empty() && !self.paused(proxy) {
                    self.save(proxy, false);
                    busy = true;
                }
                for voter in self.voters(proxy) {
                    let way = &self.proxies[proxy].ways[&voter];
                    match &way.line {
                        None => {
                            if self.nodes[way.node].up {
                                self.connect(proxy, voter);
                                busy = true;
                            }
                        }
                        Some(line) => {
                            busy |= !line.requests.is_empty() || !line.answers.is_empty() && !self.paused(proxy);
                        }
                    }
                    self.execute(proxy, voter);
                    self.deliver(proxy, voter);
                }
                let due = self.proxies[proxy].keeper.next_deadline().is_some_and(|due| due <= self.now);
                busy |= due && !self.paused(proxy);
                self.wake(proxy);
            }
            if !busy && before == self.commands + self.numbers {
                return;
            }
        }
        let due: Vec<_> = self.proxies.iter().map(|proxy| proxy.keeper.next_deadline()).collect();
        let text = format!("it never comes to rest: {:?}, due {due:?}", self.now);
        self.judge.fail(Property::Stuck, text);
    }

    fn look_everywhere(&mut self) {
        for proxy in 0..self.proxies.len() {
            self.voters(proxy).into_iter().for_each(|voter| self.look(proxy, voter));
        }
    }

    /// Time passes, everybody doing what is to be done.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.proxies.iter_mut().for_each(|proxy| proxy.paused = Duration::ZERO);
        let mut looked = Duration::ZERO;
        self.settle();
        while self.now < end && self.judge.verdict.is_none() {
            let due = self.proxies.iter().filter_map(|proxy| proxy.keeper.next_deadline()).min();
            let next = due.unwrap_or(end).min(end).min(self.now + Duration::from_secs(1));
            self.now = next.max(self.now + Duration::from_micros(50));
            if self.now >= looked + Duration::from_millis(500) {
                looked = self.now;
                self.look_everywhere();
            }
            self.settle();
        }
    }
}

impl Client {
    pub(super) fn new(id: u64) -> Self {
        Self { id, asking: None, held: Vec::new(), believed: Vec::new() }
    }

    pub(super) fn believed(&self) -> &[(LockName, Token)] {
        &self.believed
    }

    pub(super) fn held_last(&self) -> Option<(LockName, Token)> {
        self.held.last().cloned()
    }

    /// It goes on without what it holds.
    pub(super) fn forget(&mut self, token: Token) {
        self.held.retain(|(_, known)| *known != token);
    }
}
