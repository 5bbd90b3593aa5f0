//! Text to statements: words first, then Lua's grammar by recursive descent. Pure.

use super::{Expr, MAX_DEPTH, NotUnderstood, One, Stmt, Two};

type Read<T> = Result<T, NotUnderstood>;

/// A word of the text.
#[derive(Clone, Debug, PartialEq)]
enum Word {
    /// Names and keywords.
    Name(String),
    Number(f64),
    Text(String),
    Sign(&'static str),
}

/// Signs, the longer ones first.
const SIGNS: &[&str] = &[
    "..", "==", "~=", "<=", ">=", "<", ">", "=", "+", "-", "*", "/", "#", "(", ")", "{", "}", "[", "]", ",", ";", ".",
];

const KEYWORDS: &[&str] = &[
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
    "not", "or", "repeat", "return", "then", "true", "until", "while",
];

/// All statements of a script.
pub(super) fn program(text: &str) -> Read<Vec<Stmt>> {
    // `#!lua flags=…` says nothing of what it does.
    let text = if text.starts_with("#!") { text.split_once('\n').map_or("", |(_, rest)| rest) } else { text };
    let mut reader = Reader { words: words(text)?, at: 0, depth: 0 };
    let block = reader.block()?;
    if reader.at == reader.words.len() { Ok(block) } else { Err(NotUnderstood) }
}

fn words(text: &str) -> Read<Vec<Word>> {
    let mut words = Vec::new();
    let mut left = text;
    loop {
        left = left.trim_start();
        let Some(first) = left.chars().next() else { return Ok(words) };
        if let Some(comment) = left.strip_prefix("--") {
            left = match comment.strip_prefix("[[") {
                Some(long) => long.split_once("]]").ok_or(NotUnderstood)?.1,
                None => comment.split_once('\n').map_or("", |(_, rest)| rest),
            };
        } else if first.is_ascii_alphabetic() || first == '_' {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = left.find(|c| !is_part(c)).unwrap_or(left.len());
            words.push(Word::Name(left[..end].to_owned()));
            left = &left[end..];
        } else if first.is_ascii_digit() {
            let end = left.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(left.len());
            words.push(Word::Number(left[..end].parse().map_err(|_| NotUnderstood)?));
            left = &left[end..];
        } else if first == '"' || first == '\'' {
            let (text, rest) = quoted(&left[1..], first)?;
            words.push(Word::Text(text));
            left = rest;
        } else {
            let sign = SIGNS.iter().find(|sign| left.starts_with(**sign)).ok_or(NotUnderstood)?;
            words.push(Word::Sign(sign));
            left = &left[sign.len()..];
        }
    }
}

/// The text up to the quote that ends it, and what follows.
fn quoted(text: &str, quote: char) -> Read<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => return Ok((out, &text[at + c.len_utf8()..])),
            '\n' => return Err(NotUnderstood),
            '\\' => out.push(match chars.next().map(|(_, c)| c) {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(c @ ('\\' | '"' | '\'')) => c,
                _ => return Err(NotUnderstood),
            }),
            _ => out.push(c),
        }
    }
    Err(NotUnderstood)
}

struct Reader {
    words: Vec<Word>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn is(&self, word: &str) -> bool {
        match self.words.get(self.at) {
            Some(Word::Name(name)) => name == word,
            Some(Word::Sign(sign)) => *sign == word,
            _ => false,
        }
    }

    /// Passes this word, if it is next.
    fn takes(&mut self, word: &str) -> bool {
        let is = self.is(word);
        self.at += usize::from(is);
        is
    }

    fn must(&mut self, word: &str) -> Read<()> {
        if self.takes(word) { Ok(()) } else { Err(NotUnderstood) }
    }

    /// A name that is no keyword.
    fn name(&mut self) -> Read<String> {
        match self.words.get(self.at) {
            Some(Word::Name(name)) if !KEYWORDS.contains(&name.as_str()) => {
                self.at += 1;
                Ok(name.clone())
            }
            _ => Err(NotUnderstood),
        }
    }

    /// One level deeper, if that may be.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= MAX_DEPTH {
            return Err(NotUnderstood);
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// Statements up to the word that ends their block.
    fn block(&mut self) -> Read<Vec<Stmt>> {
        let mut stmts = Vec::new();
        loop {
            while self.takes(";") {}
            if self.at == self.words.len() || ["end", "else", "elseif"].iter().any(|word| self.is(word)) {
                return Ok(stmts);
            }
            let returns = self.is("return");
            stmts.push(self.deeper(Self::stmt)?);
            if returns {
                while self.takes(";") {}
                return Ok(stmts);
            }
        }
    }

    /// A block and its `end`.
    fn block_to_end(&mut self) -> Read<Vec<Stmt>> {
        let block = self.block()?;
        self.must("end")?;
        Ok(block)
    }

    fn stmt(&mut self) -> Read<Stmt> {
        if self.takes("local") {
            let mut names = vec![self.name()?];
            while self.takes(",") {
                names.push(self.name()?);
            }
            let values = if self.takes("=") { self.exprs()? } else { Vec::new() };
            return Ok(Stmt::Local(names, values));
        }
        if self.takes("if") {
            return self.conditions();
        }
        if self.takes("for") {
            return self.for_loop();
        }
        if self.takes("do") {
            return Ok(Stmt::Block(self.block_to_end()?));
        }
        if self.takes("return") {
            let none = self.at == self.words.len() || [";", "end", "else", "elseif"].iter().any(|word| self.is(word));
            return Ok(Stmt::Return(if none { Expr::Nil } else { self.expr(0)? }));
        }
        let target = self.suffixed()?;
        match target {
            Expr::Call(..) => Ok(Stmt::Call(target)),
            Expr::Name(name) => {
                self.must("=")?;
                Ok(Stmt::Set(name, self.expr(0)?))
            }
            _ => Err(NotUnderstood),
        }
    }

    /// What follows `if`.
    fn conditions(&mut self) -> Read<Stmt> {
        let mut branches = Vec::new();
        loop {
            let condition = self.expr(0)?;
            self.must("then")?;
            branches.push((condition, self.block()?));
            if self.takes("elseif") {
                continue;
            }
            let other = if self.takes("else") { self.block()? } else { Vec::new() };
            self.must("end")?;
            return Ok(Stmt::If(branches, other));
        }
    }

    /// What follows `for`.
    fn for_loop(&mut self) -> Read<Stmt> {
        let first = self.name()?;
        if self.takes("=") {
            let from = self.expr(0)?;
            self.must(",")?;
            let to = self.expr(0)?;
            let step = if self.takes(",") { self.expr(0)? } else { Expr::Number(1.0) };
            self.must("do")?;
            return Ok(Stmt::Count(first, [from, to, step], self.block_to_end()?));
        }
        self.must(",")?;
        let second = self.name()?;
        self.must("in")?;
        let Expr::Call(function, mut args) = self.expr(0)? else { return Err(NotUnderstood) };
        let list = args.pop().ok_or(NotUnderstood)?;
        if !matches!(function.as_str(), "ipairs" | "pairs") || !args.is_empty() {
            return Err(NotUnderstood);
        }
        self.must("do")?;
        Ok(Stmt::Each(first, second, list, self.block_to_end()?))
    }

    fn exprs(&mut self) -> Read<Vec<Expr>> {
        let mut exprs = vec![self.expr(0)?];
        while self.takes(",") {
            exprs.push(self.expr(0)?);
        }
        Ok(exprs)
    }

    /// An expression of operators that bind more than `least`.
    fn expr(&mut self, least: u8) -> Read<Expr> {
        self.deeper(|reader| {
            let mut left = reader.unary()?;
            while let Some((two, _, right_binds)) = reader.operator().filter(|(_, binds, _)| *binds > least) {
                reader.at += 1;
                let right = reader.expr(right_binds)?;
                left = Expr::Two(two, Box::new(left), Box::new(right));
            }
            Ok(left)
        })
    }

    /// The operator that is next, how it binds to its left, and to its right.
    fn operator(&self) -> Option<(Two, u8, u8)> {
        let word = match self.words.get(self.at)? {
            Word::Name(name) => name.as_str(),
            Word::Sign(sign) => sign,
            _ => return None,
        };
        Some(match word {
            "or" => (Two::Or, 1, 1),
            "and" => (Two::And, 2, 2),
            "<" => (Two::Less, 3, 3),
            ">" => (Two::Greater, 3, 3),
            "<=" => (Two::AtMost, 3, 3),
            ">=" => (Two::AtLeast, 3, 3),
            "~=" => (Two::Unequal, 3, 3),
            "==" => (Two::Equal, 3, 3),
            ".." => (Two::Join, 5, 4),
            "+" => (Two::Plus, 6, 6),
            "-" => (Two::Minus, 6, 6),
            "*" => (Two::Times, 7, 7),
            "/" => (Two::By, 7, 7),
            _ => return None,
        })
    }

    fn unary(&mut self) -> Read<Expr> {
        for (word, one) in [("not", One::Not), ("-", One::Minus), ("#", One::Length)] {
            if self.takes(word) {
                return Ok(Expr::One(one, Box::new(self.expr(8)?)));
            }
        }
        self.simple()
    }

    fn simple(&mut self) -> Read<Expr> {
        if self.takes("{") {
            let items = if self.is("}") { Vec::new() } else { self.exprs()? };
            self.must("}")?;
            return Ok(Expr::List(items));
        }
        let value = match self.words.get(self.at).ok_or(NotUnderstood)? {
            Word::Number(number) => Expr::Number(*number),
            Word::Text(text) => Expr::Text(text.clone()),
            Word::Name(name) if name == "nil" => Expr::Nil,
            Word::Name(name) if name == "true" => Expr::Bool(true),
            Word::Name(name) if name == "false" => Expr::Bool(false),
            _ => return self.suffixed(),
        };
        self.at += 1;
        Ok(value)
    }

    /// A name or an expression in brackets, with what stands behind it: `.name`, `[x]`, `(x)`.
    fn suffixed(&mut self) -> Read<Expr> {
        let mut value = if self.takes("(") {
            let value = self.expr(0)?;
            self.must(")")?;
            value
        } else {
            Expr::Name(self.name()?)
        };
        loop {
            if self.takes(".") {
                let Expr::Name(name) = value else { return Err(NotUnderstood) };
                value = Expr::Name(format!("{name}.{}", self.name()?));
            } else if self.takes("[") {
                let index = self.expr(0)?;
                self.must("]")?;
                value = Expr::At(Box::new(value), Box::new(index));
            } else if self.takes("(") {
                let Expr::Name(function) = value else { return Err(NotUnderstood) };
                let args = if self.is(")") { Vec::new() } else { self.exprs()? };
                self.must(")")?;
                value = Expr::Call(function, args);
            } else {
                return Ok(value);
            }
        }
    }
}
