//! nutcracker.yml as YAML: text to pools, each directive with its line and its value as text.
//!
//! ```text
//!  alpha:                        a pool's name
//!    listen: 127.0.0.1:22121     a directive: key and text
//!    servers:
//!     - 127.0.0.1:6379:1 name    a directive: key and list
//! ```
//! nutcracker knows no other shape and takes every value as text, so that here `007` is not 7 and `yes` is not true.
//! What has another shape is a fault with its line, and reading goes on behind it; a text that is no YAML ends it there.
//! Bounded by the file: nothing is read recursively. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

/// A text and the line where it begins, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) line: usize,
}

/// What stands behind a directive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(Text),
    List(Vec<Text>),
}

/// A directive of a pool.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) key: Text,
    pub(super) value: Value,
}

/// A pool as written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: Text,
    pub(super) directives: Vec<Directive>,
}

/// Everything that could be read.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) sections: Vec<Section>,
    /// What is no YAML, or YAML of another shape: line and what to do.
    pub(super) faults: Vec<(usize, String)>,
    /// Something was not read: what seems to be missing may stand there.
    pub(super) incomplete: bool,
}

/// Reads `text`.
pub(super) fn read(text: &str) -> Document {
    let mut reader = Reader { parser: Parser::new_from_str(text), document: Document::default() };
    reader.document();
    reader.document
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    document: Document,
}

/// What the reader tells apart.
enum Token {
    Text(Text),
    List(usize),
    Table(usize),
    /// `*name`, which stands for what is elsewhere.
    Alias(usize),
    /// The end of a list or table.
    End,
    /// A document begins.
    Begin(usize),
    /// Nothing of interest.
    Other,
}

impl Reader<'_> {
    /// The next token; `None` at the end, and when the text is no YAML, which is told.
    fn next(&mut self) -> Option<Token> {
        match self.parser.next()? {
            Ok((event, span)) => {
                let line = span.start.line();
                Some(match event {
                    // What is left empty comes as a "~" that nobody wrote.
                    Event::Scalar(text, ScalarStyle::Plain, ..) if text == "~" => {
                        Token::Text(Text { text: String::new(), line })
                    }
                    Event::Scalar(text, ..) => Token::Text(Text { text: text.into_owned(), line }),
                    Event::SequenceStart(..) => Token::List(line),
                    Event::MappingStart(..) => Token::Table(line),
                    Event::Alias(_) => Token::Alias(line),
                    Event::SequenceEnd | Event::MappingEnd => Token::End,
                    Event::DocumentStart(_) => Token::Begin(line),
                    Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => Token::Other,
                })
            }
            Err(error) => {
                let cure = "indent with spaces, put a space behind each colon, and close what is opened";
                self.fault(error.marker().line(), format!("this is not YAML ({}); {cure}", error.info()));
                None
            }
        }
    }

    fn fault(&mut self, line: usize, text: String) {
        self.document.incomplete = true;
        self.document.faults.push((line, text));
    }

    /// Leaves out what has just begun with `token`.
    fn skip(&mut self, token: &Token) {
        let mut depth = usize::from(matches!(token, Token::List(_) | Token::Table(_)));
        while depth > 0 {
            match self.next() {
                Some(Token::List(_) | Token::Table(_)) => depth += 1,
                Some(Token::End) => depth -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }

    fn document(&mut self) {
        let mut documents = 0;
        while let Some(token) = self.next() {
            match token {
                Token::Begin(line) => {
                    documents += 1;
                    if documents > 1 {
                        self.fault(
                            line,
                            "a second document begins here; nutcracker reads one, remove the ---".to_owned(),
                        );
                        return;
                    }
                }
                Token::Table(_) => self.sections(),
                Token::Text(Text { text, line }) if text.is_empty() => self.fault(line, NO_POOL.to_owned()),
                Token::Text(Text { line, .. }) | Token::List(line) | Token::Alias(line) => {
                    self.skip(&token);
                    self.fault(line, NO_POOL.to_owned());
                }
                Token::End | Token::Other => {}
            }
        }
    }

    fn sections(&mut self) {
        while let Some(token) = self.next() {
            let name = match token {
                Token::End => return,
                Token::Text(name) => name,
                other => {
                    self.odd_key(&other);
                    continue;
                }
            };
            let Some(value) = self.next() else { return };
            match value {
                Token::Table(_) => {
                    self.document.sections.push(Section { name, directives: Vec::new() });
                    self.directives();
                }
                value => {
                    self.skip(&value);
                    let text =
                        format!("{} has no directives; write listen, servers and so on indented below it", name.text);
                    self.fault(name.line, text);
                }
            }
        }
    }

    fn directives(&mut self) {
        while let Some(token) = self.next() {
            let key = match token {
                Token::End => return,
                Token::Text(key) => key,
                other => {
                    self.odd_key(&other);
                    continue;
                }
            };
            let Some(value) = self.next() else { return };
            let value = match value {
                Token::Text(text) => Value::Text(text),
                Token::List(_) => Value::List(self.list()),
                value => {
                    self.skip(&value);
                    self.fault(
                        key.line,
                        format!("{} is a table or an alias; nutcracker takes text or a list", key.text),
                    );
                    continue;
                }
            };
            if let Some(section) = self.document.sections.last_mut() {
                section.directives.push(Directive { key, value });
            }
        }
    }

    fn list(&mut self) -> Vec<Text> {
        let mut items = Vec::new();
        while let Some(token) = self.next() {
            match token {
                Token::End => break,
                Token::Text(item) => items.push(item),
                Token::List(line) | Token::Table(line) | Token::Alias(line) => {
                    self.skip(&token);
                    self.fault(line, "this item is no text; nutcracker wants \"host:port:weight name\"".to_owned());
                }
                Token::Begin(_) | Token::Other => {}
            }
        }
        items
    }

    /// A key that is no text, and its value.
    fn odd_key(&mut self, token: &Token) {
        if let Token::List(line) | Token::Table(line) | Token::Alias(line) = *token {
            self.skip(token);
            self.fault(line, "a list, a table or an alias is no key; write key: value".to_owned());
            if let Some(value) = self.next() {
                self.skip(&value);
            }
        }
    }
}

const NO_POOL: &str = "there is no pool here; write a name with a colon, and its directives indented below it";

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> String {
        let faults: Vec<String> = read(text).faults.iter().map(|(line, text)| format!("{line}: {text}")).collect();
        faults.join("\n")
    }

    #[test]
    fn values_are_texts_with_their_lines() {
        let document = read(
            "# a file\nalpha:\n  timeout: 007\n  redis: yes # so\n  hash_tag: \"{}\"\n  servers:\n   - a:1:1\n   - 'b:2:1 n'\n\nbeta:\n  listen:\n",
        );
        assert!(document.faults.is_empty() && !document.incomplete, "{:?}", document.faults);
        let mut told = Vec::new();
        for section in &document.sections {
            told.push(format!("{}@{}", section.name.text, section.name.line));
            for directive in &section.directives {
                let items = match &directive.value {
                    Value::Text(text) => std::slice::from_ref(text),
                    Value::List(items) => items,
                };
                let items: Vec<String> = items.iter().map(|item| format!("{}@{}", item.text, item.line)).collect();
                told.push(format!("{}@{}={}", directive.key.text, directive.key.line, items.join(",")));
            }
        }
        assert_eq!(
            told.join(" "),
            "alpha@2 timeout@3=007@3 redis@4=yes@4 hash_tag@5={}@5 servers@6=a:1:1@7,b:2:1 n@8 beta@10 listen@11=@11"
        );
    }

    #[test]
    fn another_shape_is_told_with_its_line_and_reading_goes_on() {
        let text = "alpha: 3\nbeta:\n - x\ngamma:\n  listen: {a: 1}\n  servers:\n   - [a]\n   - b:1:1\n  ? [k]\n  : v\n  redis: true\n";
        let found = faults(text);
        let lines: Vec<&str> = found.lines().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(lines, ["1", "2", "5", "7", "9"], "{found}");
        let document = read(text);
        assert_eq!(document.sections.len(), 1);
        assert_eq!(document.sections[0].directives.len(), 2);
    }

    #[test]
    fn what_is_no_yaml_is_told_and_what_stood_before_it_is_kept() {
        let document = read("alpha:\n  listen: a:1\n  hash: \"x\nbeta: y\n");
        assert!(document.incomplete);
        assert_eq!(document.sections[0].directives.len(), 1);
        assert!(
            faults("alpha:\n\tlisten: a:1\n").contains("this is not YAML"),
            "{}",
            faults("alpha:\n\tlisten: a:1\n")
        );
        assert!(faults("").is_empty() || faults("").contains("no pool"));
        for text in ["- a", "x", "~"] {
            assert!(faults(text).contains("no pool"), "{text}: {}", faults(text));
        }
        assert!(faults("a:\n  b: c\n---\nd:\n  e: f\n").contains("3: a second document"));
    }

    #[test]
    fn any_text_at_all_is_read_or_told() {
        let sample = "alpha:\n  listen: 127.0.0.1:22121\n  hash_tag: \"{}\"\n  servers:\n   - 127.0.0.1:6379:1 server1\n  timeout: 400\n";
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..5_000 {
            let mut text: Vec<char> = sample.chars().collect();
            for _ in 0..random.usize(1..8) {
                let at = random.usize(..text.len());
                text[at] = *random
                    .choice(&['"', '[', ']', ':', '\n', ' ', '-', 'é', '{', '#', '&', '*', '?', '|', '\t'])
                    .unwrap();
            }
            let _ = read(&text.into_iter().collect::<String>());
        }
        let deep = "[".repeat(20_000);
        let _ = read(&deep);
        let _ = read(&format!("a:\n  b: {deep}"));
    }
}
