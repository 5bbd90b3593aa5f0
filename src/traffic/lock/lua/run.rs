//! Runs a script in a world that holds one lock, as Redis would with that one key. Pure.

use std::{cell::RefCell, rc::Rc};

use bytes::Bytes;

use super::{Expr, MAX_STEPS, NotUnderstood, One, Program, Stmt, Two};

type Run<T> = Result<T, NotUnderstood>;

/// What an expression has become.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `nil`
    Nil,
    /// `true`, `false`; "no such key" is false.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(Bytes),
    /// The value of who holds the lock: it may be compared and returned, and nothing else, so that all that a script makes
    /// of it is known from what it was compared with.
    Holder(Bytes),
    /// A list.
    List(Rc<RefCell<Vec<Self>>>),
    /// A status, such as `OK`.
    Status(String),
    /// An error.
    Error(String),
}

/// The lock's key as somebody holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The value, or the field of the hash.
    pub value: Bytes,
    /// In a hash: how often.
    pub holds: Option<i64>,
    /// ms; `None`: for ever.
    pub pttl: Option<i64>,
}

/// In what a script runs.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// `KEYS`
    pub keys: &'a [&'a [u8]],
    /// `ARGV`
    pub args: &'a [&'a [u8]],
    /// The key that is the lock.
    pub lock: &'a [u8],
    /// Who holds it.
    pub held: Option<Held>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// What it returned.
    pub returned: Value,
    /// Who holds the lock now.
    pub held: Option<Held>,
    /// Whether its time was set anew.
    pub timed: bool,
    /// What it did beside the lock: messages, and other keys.
    pub commands: Vec<Vec<Bytes>>,
    /// Values that it has compared the holder's with.
    pub compared: Vec<Bytes>,
}

/// Commands on other keys whose answers nobody needs.
const ASIDE: &[&[u8]] =
    &[b"del", b"unlink", b"lpush", b"rpush", b"ltrim", b"set", b"setex", b"psetex", b"expire", b"pexpire"];

/// Redisson notes under such a key for a while that an unlock was done, for one that is sent twice.
const LATCH: &[u8] = b"redisson_unlock_latch:";

/// Runs `program` in `world`.
///
/// # Errors
/// If it does something that is not known here, or that is an error in Redis.
pub fn run(program: &Program, world: &World<'_>) -> Result<Ran, NotUnderstood> {
    let mut runner = Runner {
        world,
        held: world.held.clone(),
        timed: false,
        commands: Vec::new(),
        compared: Vec::new(),
        locals: Vec::new(),
        steps: 0,
    };
    let returned = runner.block(&program.0)?.unwrap_or(Value::Nil);
    let Runner { held, timed, commands, compared, .. } = runner;
    Ok(Ran { returned, held, timed, commands, compared })
}

struct Runner<'a> {
    world: &'a World<'a>,
    held: Option<Held>,
    timed: bool,
    commands: Vec<Vec<Bytes>>,
    compared: Vec<Bytes>,
    /// Variables, the innermost last.
    locals: Vec<(String, Value)>,
    steps: usize,
}

impl Value {
    fn is_true(&self) -> bool {
        !matches!(self, Self::Nil | Self::Bool(false))
    }

    /// As a number, if it is one or reads as one.
    fn number(&self) -> Run<f64> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Text(text) => {
                let text = std::str::from_utf8(text).map_err(|_| NotUnderstood)?.trim();
                // What Rust and C read alike: no "inf", no hexadecimal digits.
                let plain = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c));
                if plain { text.parse().map_err(|_| NotUnderstood) } else { Err(NotUnderstood) }
            }
            _ => Err(NotUnderstood),
        }
    }

    /// As a word of a command, or in a text.
    fn text(&self) -> Run<Bytes> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 1e14 => {
                Ok(Bytes::from(format!("{number:.0}")))
            }
            _ => Err(NotUnderstood),
        }
    }
}

fn text(text: &str) -> Value {
    Value::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn integer(text: &[u8]) -> Run<i64> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(NotUnderstood)
}

impl Runner<'_> {
    fn step(&mut self) -> Run<()> {
        self.steps += 1;
        if self.steps > MAX_STEPS { Err(NotUnderstood) } else { Ok(()) }
    }

    /// Runs a block; `Some`: it has returned.
    fn block(&mut self, stmts: &[Stmt]) -> Run<Option<Value>> {
        let outer = self.locals.len();
        for stmt in stmts {
            self.step()?;
            if let Some(returned) = self.stmt(stmt)? {
                return Ok(Some(returned));
            }
        }
        self.locals.truncate(outer);
        Ok(None)
    }

    fn stmt(&mut self, stmt: &Stmt) -> Run<Option<Value>> {
        match stmt {
            Stmt::Local(names, values) => {
                let values = values.iter().map(|value| self.expr(value)).collect::<Run<Vec<_>>>()?;
                for (at, name) in names.iter().enumerate() {
                    self.locals.push((name.clone(), values.get(at).cloned().unwrap_or(Value::Nil)));
                }
            }
            Stmt::Set(name, value) => {
                let value = self.expr(value)?;
                // Redis refuses globals.
                let local = self.locals.iter_mut().rev().find(|(local, _)| local == name).ok_or(NotUnderstood)?;
                local.1 = value;
            }
            Stmt::Call(Expr::Call(function, args)) => {
                self.call(function, args, true)?;
            }
            Stmt::Call(_) => return Err(NotUnderstood),
            Stmt::If(branches, other) => {
                for (condition, block) in branches {
                    if self.expr(condition)?.is_true() {
                        return self.block(block);
                    }
                }
                return self.block(other);
            }
            Stmt::Count(name, range, block) => return self.count(name, range, block),
            Stmt::Each(index, name, list, block) => {
                let Value::List(list) = self.expr(list)? else { return Err(NotUnderstood) };
                let items = list.borrow().clone();
                for (at, item) in items.into_iter().enumerate() {
                    self.locals.push((index.clone(), Value::Number((at + 1) as f64)));
                    self.locals.push((name.clone(), item));
                    let returned = self.block(block)?;
                    self.locals.truncate(self.locals.len() - 2);
                    if returned.is_some() {
                        return Ok(returned);
                    }
                }
            }
            Stmt::Block(block) => return self.block(block),
            Stmt::Return(value) => return self.expr(value).map(Some),
        }
        Ok(None)
    }

    fn count(&mut self, name: &str, [from, to, step]: &[Expr; 3], block: &[Stmt]) -> Run<Option<Value>> {
        let (mut at, to, step) = (self.expr(from)?.number()?, self.expr(to)?.number()?, self.expr(step)?.number()?);
        if step <= 0.0 {
            return Err(NotUnderstood);
        }
        while at <= to {
            self.step()?;
            self.locals.push((name.to_owned(), Value::Number(at)));
            let returned = self.block(block)?;
            self.locals.pop();
            if returned.is_some() {
                return Ok(returned);
            }
            at += step;
        }
        Ok(None)
    }

    fn expr(&mut self, expr: &Expr) -> Run<Value> {
        self.step()?;
        Ok(match expr {
            Expr::Nil => Value::Nil,
            Expr::Bool(value) => Value::Bool(*value),
            Expr::Number(number) => Value::Number(*number),
            Expr::Text(words) => text(words),
            Expr::Name(name) => self.variable(name)?,
            Expr::At(list, index) => {
                let (Value::List(list), index) = (self.expr(list)?, self.expr(index)?.number()?) else {
                    return Err(NotUnderstood);
                };
                let list = list.borrow();
                let at = if index >= 1.0 && index.fract() == 0.0 { list.get(index as usize - 1) } else { None };
                at.cloned().unwrap_or(Value::Nil)
            }
            Expr::List(items) => {
                let items = items.iter().map(|item| self.expr(item)).collect::<Run<Vec<_>>>()?;
                Value::List(Rc::new(RefCell::new(items)))
            }
            Expr::Call(function, args) => self.call(function, args, false)?,
            Expr::One(one, value) => {
                let value = self.expr(value)?;
                match (one, &value) {
                    (One::Not, _) => Value::Bool(!value.is_true()),
                    (One::Minus, _) => Value::Number(-value.number()?),
                    (One::Length, Value::List(list)) => Value::Number(list.borrow().len() as f64),
                    (One::Length, Value::Text(text)) => Value::Number(text.len() as f64),
                    (One::Length, _) => return Err(NotUnderstood),
                }
            }
            Expr::Two(Two::Or, left, right) => {
                let left = self.expr(left)?;
                if left.is_true() { left } else { self.expr(right)? }
            }
            Expr::Two(Two::And, left, right) => {
                let left = self.expr(left)?;
                if left.is_true() { self.expr(right)? } else { left }
            }
            Expr::Two(two, left, right) => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                match two {
                    Two::Equal => Value::Bool(self.equal(&left, &right)),
                    Two::Unequal => Value::Bool(!self.equal(&left, &right)),
                    _ => binary(*two, &left, &right)?,
                }
            }
        })
    }

    /// Whether two values are equal; what the holder's is compared with is noted.
    fn equal(&mut self, left: &Value, right: &Value) -> bool {
        match (left, right) {
            (Value::Holder(holder), Value::Text(text)) | (Value::Text(text), Value::Holder(holder)) => {
                self.compared.push(text.clone());
                holder == text
            }
            _ => left == right,
        }
    }

    fn variable(&self, name: &str) -> Run<Value> {
        if let Some((_, value)) = self.locals.iter().rev().find(|(local, _)| local == name) {
            return Ok(value.clone());
        }
        let words = match name {
            "KEYS" => self.world.keys,
            "ARGV" => self.world.args,
            _ => return Err(NotUnderstood),
        };
        let words = words.iter().map(|word| Value::Text(Bytes::copy_from_slice(word))).collect();
        Ok(Value::List(Rc::new(RefCell::new(words))))
    }

    /// A call; `aside`: its result is not looked at.
    fn call(&mut self, function: &str, args: &[Expr], aside: bool) -> Run<Value> {
        let mut args = args.iter().map(|arg| self.expr(arg)).collect::<Run<Vec<_>>>()?;
        match (function, args.as_mut_slice()) {
            ("redis.call" | "redis.pcall", words) => {
                let words = words.iter().map(Value::text).collect::<Run<Vec<_>>>()?;
                self.command(words, aside)
            }
            // What it is depends on who holds the lock.
            ("tonumber", [Value::Holder(_)]) => Err(NotUnderstood),
            ("tostring", [value @ Value::Holder(_)]) => Ok(value.clone()),
            // What is no number is nil.
            ("tonumber", [value]) => Ok(value.number().map_or(Value::Nil, Value::Number)),
            ("tostring", [value @ (Value::Text(_) | Value::Number(_))]) => value.text().map(Value::Text),
            ("redis.status_reply", [Value::Text(words)]) => Ok(Value::Status(String::from_utf8_lossy(words).into())),
            ("redis.error_reply", [Value::Text(words)]) => Ok(Value::Error(String::from_utf8_lossy(words).into())),
            ("table.insert", [Value::List(list), item]) => {
                list.borrow_mut().push(item.clone());
                Ok(Value::Nil)
            }
            _ => Err(NotUnderstood),
        }
    }

    fn command(&mut self, words: Vec<Bytes>, aside: bool) -> Run<Value> {
        let [name, key, ..] = words.as_slice() else { return Err(NotUnderstood) };
        let name = name.to_ascii_lowercase();
        if matches!(name.as_slice(), b"publish" | b"spublish") {
            // How many hear it nobody knows before.
            self.commands.push(words);
            return if aside { Ok(Value::Nil) } else { Ok(Value::Number(0.0)) };
        }
        if key == self.world.lock {
            let words: Vec<&[u8]> = words.iter().skip(2).map(|word| &word[..]).collect();
            return self.on_lock(&name, &words);
        }
        if name == b"get" && words.len() == 2 && key.starts_with(LATCH) {
            return Ok(Value::Bool(false));
        }
        // Only one key, and not the lock's.
        let several = matches!(name.as_slice(), b"del" | b"unlink") && words.len() != 2;
        if aside && ASIDE.contains(&name.as_slice()) && !several && self.world.keys.contains(&&key[..]) {
            self.commands.push(words);
            return Ok(Value::Nil);
        }
        Err(NotUnderstood)
    }

    /// A command on the lock's key; `args` are those behind the key.
    fn on_lock(&mut self, name: &[u8], args: &[&[u8]]) -> Run<Value> {
        let count = |yes: bool| Value::Number(f64::from(u8::from(yes)));
        let holds = self.held.as_ref().map(|held| held.holds.is_some());
        match (name, args) {
            (b"get", []) => match &self.held {
                None => Ok(Value::Bool(false)),
                Some(Held { value, holds: None, .. }) => Ok(Value::Holder(value.clone())),
                Some(_) => Err(NotUnderstood),
            },
            (b"exists", []) => Ok(count(self.held.is_some())),
            (b"pttl" | b"ttl", []) => Ok(Value::Number(self.time_left(name == b"ttl"))),
            (b"del" | b"unlink", []) => Ok(count(self.held.take().is_some())),
            (b"set", [value, options @ ..]) => self.set(value, options),
            (b"setnx", [value]) => {
                let free = self.held.is_none();
                if free {
                    self.put(value, None, None);
                }
                Ok(count(free))
            }
            (b"setex", [time, value]) => self.set(value, &[b"ex", time]),
            (b"psetex", [time, value]) => self.set(value, &[b"px", time]),
            (b"expire" | b"pexpire", [time]) => {
                let ms = integer(time)?.checked_mul(if name == b"expire" { 1_000 } else { 1 }).ok_or(NotUnderstood)?;
                let Some(held) = &mut self.held else { return Ok(count(false)) };
                held.pttl = Some(ms);
                self.timed = true;
                Ok(count(true))
            }
            // Of a text these are errors.
            _ if holds == Some(false) => Err(NotUnderstood),
            (_, [field, ..]) => {
                self.compared.push(Bytes::copy_from_slice(field));
                self.on_hash(name, args)
            }
            _ => Err(NotUnderstood),
        }
    }

    /// A command on the lock's key that makes it a hash, or takes it for one.
    fn on_hash(&mut self, name: &[u8], args: &[&[u8]]) -> Run<Value> {
        let count = |yes: bool| Value::Number(f64::from(u8::from(yes)));
        match (name, args) {
            (b"hexists", [field]) => Ok(count(self.held.as_ref().is_some_and(|held| held.value == *field))),
            (b"hget", [field]) => Ok(match self.held.as_ref().filter(|held| held.value == *field) {
                Some(held) => text(&held.holds.unwrap_or(1).to_string()),
                None => Value::Bool(false),
            }),
            (b"hset", [field, holds]) => {
                let new = self.held.is_none();
                self.hold(field, |_| integer(holds))?;
                Ok(count(new))
            }
            (b"hincrby", [field, by]) => {
                let by = integer(by)?;
                let holds = self.hold(field, |holds| holds.checked_add(by).ok_or(NotUnderstood))?;
                Ok(Value::Number(holds as f64))
            }
            (b"hdel", [field]) => {
                let mine = self.held.take_if(|held| held.value == *field).is_some();
                Ok(count(mine))
            }
            _ => Err(NotUnderstood),
        }
    }

    /// What is left of the lock's time, as PTTL and TTL tell it.
    fn time_left(&self, seconds: bool) -> f64 {
        match self.held.as_ref().map(|held| held.pttl) {
            None => -2.0,
            Some(None) => -1.0,
            Some(Some(ms)) if seconds => ((ms + 500) / 1_000) as f64,
            Some(Some(ms)) => ms as f64,
        }
    }

    fn put(&mut self, value: &[u8], holds: Option<i64>, pttl: Option<i64>) {
        self.held = Some(Held { value: Bytes::copy_from_slice(value), holds, pttl });
        self.timed = true;
    }

    fn set(&mut self, value: &[u8], options: &[&[u8]]) -> Run<Value> {
        let (mut pttl, mut if_held) = (None, None);
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match option.to_ascii_lowercase().as_slice() {
                b"nx" => if_held = Some(false),
                b"xx" => if_held = Some(true),
                b"px" => pttl = Some(integer(options.next().ok_or(NotUnderstood)?)?),
                b"ex" => {
                    let seconds = integer(options.next().ok_or(NotUnderstood)?)?;
                    pttl = Some(seconds.checked_mul(1_000).ok_or(NotUnderstood)?);
                }
                _ => return Err(NotUnderstood),
            }
        }
        if if_held.is_some_and(|wanted| wanted != self.held.is_some()) {
            return Ok(Value::Bool(false));
        }
        self.put(value, None, pttl);
        Ok(Value::Status("OK".to_owned()))
    }

    /// Changes how often the lock is held with this field.
    fn hold(&mut self, field: &[u8], change: impl FnOnce(i64) -> Run<i64>) -> Run<i64> {
        let (before, pttl) = match &self.held {
            None => (0, None),
            Some(held) if held.value == field => (held.holds.unwrap_or(0), held.pttl),
            // Two holders of one lock.
            Some(_) => return Err(NotUnderstood),
        };
        let holds = change(before)?;
        let timed = self.timed;
        self.put(field, Some(holds), pttl);
        self.timed = timed;
        Ok(holds)
    }
}

/// Everything but `and`, `or` and equality.
fn binary(two: Two, left: &Value, right: &Value) -> Run<Value> {
    let order = || match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.partial_cmp(right).ok_or(NotUnderstood),
        // Of texts it is an order of the alphabet, and of others an error.
        _ => Err(NotUnderstood),
    };
    Ok(match two {
        Two::Less => Value::Bool(order()?.is_lt()),
        Two::Greater => Value::Bool(order()?.is_gt()),
        Two::AtMost => Value::Bool(order()?.is_le()),
        Two::AtLeast => Value::Bool(order()?.is_ge()),
        Two::Join => Value::Text(Bytes::from([left.text()?, right.text()?].concat())),
        Two::Plus => Value::Number(left.number()? + right.number()?),
        Two::Minus => Value::Number(left.number()? - right.number()?),
        Two::Times => Value::Number(left.number()? * right.number()?),
        Two::By => Value::Number(left.number()? / right.number()?),
        Two::Or | Two::And | Two::Equal | Two::Unequal => return Err(NotUnderstood),
    })
}
