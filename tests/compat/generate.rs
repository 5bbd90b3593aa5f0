//! Instances of a command, made from its grammar: fitting ones, and such as a client gets wrong.

use fastrand::Rng;

use super::{
    grammar::{Argument, Command, Kind},
    scene,
};

/// A request to send.
#[derive(Clone, Debug)]
pub struct Instance {
    pub args: Vec<String>,
    /// Its arguments may be wrong: made so on purpose.
    pub spoilt: bool,
}

struct Maker<'a> {
    rng: &'a mut Rng,
    group: &'a str,
    tagged: bool,
    keys: usize,
    /// How many keys the next list of keys must have, as `numkeys` said.
    wanted: Option<usize>,
    /// How many keys stood in the last list: as many ids follow in XREAD.
    listed: Option<usize>,
}

/// One instance. `tagged`: all keys on one node; without, `None` is given when it has several keys.
pub fn instance(command: &Command, rng: &mut Rng, tagged: bool) -> Option<Instance> {
    let mut maker = Maker { rng, group: &command.group, tagged, keys: 0, wanted: None, listed: None };
    let mut args = command.words.clone();
    if maker.rng.u8(..4) == 0 {
        args.iter_mut().for_each(|word| *word = word.to_lowercase());
    }
    let name_words = args.len();
    for argument in &command.arguments {
        maker.add(argument, &mut args);
    }
    let keys = maker.keys;
    if !tagged && keys != 1 {
        return None;
    }
    // Without a tag the one key stays: anything else could make it two.
    let spoilt = tagged && rng.u8(..3) == 0;
    if spoilt {
        spoil(&mut args, name_words, rng);
    }
    Some(Instance { args, spoilt })
}

/// Makes something wrong behind the command's name.
fn spoil(args: &mut Vec<String>, name_words: usize, rng: &mut Rng) {
    let places = name_words..args.len();
    match rng.u8(..5) {
        0 if !places.is_empty() => drop(args.remove(rng.usize(places))),
        1 => args.push(rng.choice(["x", "", "1", "NX", "{t}set"]).unwrap().to_owned()),
        2 if !places.is_empty() => {
            let at = rng.usize(places);
            args[at] = rng
                .choice(["x", "", "-1", "0", "99999999999999999999", "1.5", "nan", "{t}list", " 1"])
                .unwrap()
                .to_owned();
        }
        3 if places.len() > 1 => {
            let (one, other) = (rng.usize(places.clone()), rng.usize(places));
            args.swap(one, other);
        }
        _ => args.truncate(name_words + rng.usize(..=args.len() - name_words)),
    }
}

impl Maker<'_> {
    fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(..100) < percent
    }

    fn pick<'b>(&mut self, words: &[&'b str]) -> &'b str {
        words[self.rng.usize(..words.len())]
    }

    fn add(&mut self, argument: &Argument, out: &mut Vec<String>) {
        if argument.optional && !self.chance(35) {
            return;
        }
        let times = if !argument.multiple {
            1
        } else if matches!(argument.kind, Kind::Key) && self.wanted.is_some() {
            self.wanted.take().unwrap()
        } else if argument.name == "id" && self.listed.is_some() {
            self.listed.take().unwrap()
        } else {
            self.rng.usize(1..=3)
        };
        if argument.multiple && matches!(argument.kind, Kind::Key) {
            self.listed = Some(times);
        }
        for time in 0..times {
            if let Some(token) = &argument.token
                && (time == 0 || argument.multiple_token)
            {
                // An empty token stands for a word that is the value itself.
                out.push(token.trim_matches('"').to_owned());
            }
            self.value(argument, out);
        }
    }

    fn value(&mut self, argument: &Argument, out: &mut Vec<String>) {
        let word = match &argument.kind {
            Kind::Token => return,
            Kind::OneOf(choices) => {
                let choice = &choices[self.rng.usize(..choices.len())];
                return self.add(&Argument { optional: false, ..choice.clone() }, out);
            }
            Kind::Block(parts) => {
                for part in parts {
                    self.add(part, out);
                }
                return;
            }
            Kind::Key => self.key(),
            Kind::Integer if argument.name == "numkeys" => {
                let count = self.rng.usize(1..=2);
                let count = if self.tagged { count } else { 1 };
                self.wanted = Some(count);
                if self.tagged && self.chance(5) {
                    self.pick(&["0", "-1", "9", "x"]).to_owned()
                } else {
                    count.to_string()
                }
            }
            Kind::Integer => self.integer(&argument.name),
            Kind::Double => self.pick(&["1", "0", "-1.5", "2.25", "inf", "-inf", "1e3", "13.5", "38"]).to_owned(),
            Kind::Pattern => self.pick(&["*", "f*", "?", "[a-c]*", "nosuch", "v"]).to_owned(),
            Kind::Time => self.pick(&["1", "4000000000", "4000000000000", "0", "-1", "x"]).to_owned(),
            Kind::Text => self.text(&argument.name),
        };
        out.push(word);
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        let fitting = scene::fitting(self.group);
        let kind = match self.rng.u8(..100) {
            0..70 => self.pick(fitting),
            70..85 => self.pick(&scene::KINDS),
            _ => "missing",
        };
        scene::key(kind, self.tagged)
    }

    fn integer(&mut self, name: &str) -> String {
        match name {
            "cursor" => "0".to_owned(),
            "seconds" | "milliseconds" => self.pick(&["1000", "100000", "0", "-1", "x"]).to_owned(),
            "index" if self.group == "connection" => self.pick(&["0", "99", "x"]).to_owned(),
            // Nobody is to wait for these.
            "timeout" => "0".to_owned(),
            _ => self
                .pick(&["0", "1", "2", "3", "-1", "-2", "5", "10", "100", "x", "1.5", "9223372036854775807"])
                .to_owned(),
        }
    }

    fn text(&mut self, name: &str) -> String {
        let words: &[&str] = match (self.group, name) {
            ("stream", "id" | "start" | "end" | "min-idle-time" | "lastid" | "threshold") => {
                &["1-1", "2-1", "3-0", "0", "0-0", "5-1", "9-9", "2", "x", "-", "+", "(1-1"]
            }
            ("stream", "min" | "max") => &["-", "+", "1-1", "2", "(2-1"],
            ("stream", "group") => &["group", "group", "nosuch"],
            ("stream", "consumer") => &["alice", "bob"],
            ("sorted-set", "min" | "max") => {
                &["-inf", "+inf", "1", "(1", "2.5", "3", "[one", "[three", "-", "+", "(one", "x"]
            }
            ("sorted-set", "start" | "stop") => &["0", "-1", "1", "2", "[one", "(2", "x"],
            ("hash", "field") => &["f1", "f2", "f3", "f4"],
            ("set" | "sorted-set", "member") => &["one", "two", "five", "1", "10"],
            ("geo", "member") => &["Palermo", "Catania", "Nowhere"],
            (_, "script") => &[
                "return 1",
                "return KEYS[1]",
                "return {1,2,'x',false,{3}}",
                "return redis.error_reply('MY error')",
                "x y",
            ],
            (_, "sha1") => {
                &["e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0000000000000000000000000000000000000000", "x"]
            }
            (_, "arg") => &["a", "1"],
            (_, "function") => &["nosuch", "f"],
            (_, "encoding") => &["u8", "i16", "u64", "u63", "x"],
            (_, "offset") => &["0", "#1", "5", "-1", "x"],
            (_, "increment") => &["1", "-2.5", "x"],
            (_, "type") => &["string", "list", "set", "zset", "hash", "stream", "nosuch"],
            (_, "serialized-value") => &["nonsense"],
            _ => &["a", "b", "v", "7", "-3", "hello", "", "3.5", "one"],
        };
        self.pick(words).to_owned()
    }
}

/// Instances whose number of words is wrong: refused before anything is done, by every command.
pub fn wrong_arity(command: &Command) -> Vec<Instance> {
    let least = usize::try_from(command.arity.unsigned_abs()).unwrap();
    let mut all = Vec::new();
    let mut add = |count: usize| {
        if count < command.words.len() {
            return;
        }
        let mut args = command.words.clone();
        args.resize(count, "{t}string".to_owned());
        all.push(Instance { args, spoilt: true });
    };
    add(least - 1);
    if command.arity > 0 {
        add(least + 1);
    }
    all
}
