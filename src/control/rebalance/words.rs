//! The words of `CIRCLET NODE` and `CIRCLET PLAN`: to wishes, and back.
//!
//! ```text
//!  change  = one *( AND one )
//!  one     = ADD name addr [WEIGHT w] [USER u] [PASSWORD p]      REMOVE name
//!          | REPLACE name addr [USER u] [PASSWORD p]             WEIGHT name w
//!          | FORGET name --lost
//! ```
//! Keywords may be in any case; a name or value is taken as it comes, also if it reads like a keyword. Whether the nodes
//! exist is the business of [`Members`](super::members::Members). Bounded by [`MAX_WISHES`]. An error is one line without
//! a password, as it follows `ERR `. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt::Write as _;

use super::members::{Member, Wish};
use crate::config::{self, Credentials};

/// Most nodes that one change is about.
pub const MAX_WISHES: usize = 1_000;

/// What each word of a change takes.
const USAGE: [(&str, &str); 5] = [
    ("ADD", "ADD name addr [WEIGHT w] [USER u] [PASSWORD p]"),
    ("REMOVE", "REMOVE name"),
    ("WEIGHT", "WEIGHT name w"),
    ("REPLACE", "REPLACE name addr [USER u] [PASSWORD p]"),
    ("FORGET", "FORGET name --lost"),
];

/// Reads what follows `CIRCLET NODE`.
///
/// # Errors
/// What is wrong and the cure.
pub fn read(words: &[&[u8]]) -> Result<Vec<Wish>, String> {
    let mut reader = Reader { words: words.iter() };
    let mut wishes = Vec::new();
    loop {
        wishes.push(reader.wish()?);
        if wishes.len() > MAX_WISHES {
            return Err(format!("a change of more than {MAX_WISHES} nodes is too large; give it in parts"));
        }
        if reader.words.as_slice().is_empty() {
            return Ok(wishes);
        }
        reader.and()?;
    }
}

/// The words that [`read`] reads the wishes from; passwords are among them.
#[must_use]
pub fn write(wishes: &[Wish]) -> Vec<String> {
    let mut words = Vec::new();
    for wish in wishes {
        if !words.is_empty() {
            words.push("AND".to_owned());
        }
        words.extend(written(wish, true));
    }
    words
}

/// The wishes as a line for people, without passwords.
#[must_use]
pub fn text(wishes: &[Wish]) -> String {
    let mut text = String::new();
    for wish in wishes {
        let and = if text.is_empty() { "" } else { " AND " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{and}{}", written(wish, false).join(" "));
    }
    text
}

fn written(wish: &Wish, secrets: bool) -> Vec<String> {
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let mut words = match wish {
        Wish::Add(member) => owned(&["ADD", &member.name, &member.address.to_string()]),
        Wish::Remove(name) => owned(&["REMOVE", name]),
        Wish::Weight(name, weight) => owned(&["WEIGHT", name, &weight.to_string()]),
        Wish::Replace { name, address, .. } => owned(&["REPLACE", name, &address.to_string()]),
        Wish::Forget(name) => owned(&["FORGET", name, "--lost"]),
    };
    if let Wish::Add(member) = wish
        && member.weight != 1.0
    {
        words.extend(["WEIGHT".to_owned(), member.weight.to_string()]);
    }
    if let Wish::Add(Member { credentials, .. }) | Wish::Replace { credentials: Some(credentials), .. } = wish {
        if let Some(user) = &credentials.username {
            words.extend(["USER".to_owned(), user.clone()]);
        }
        if let Some(password) = credentials.password.as_ref().filter(|_| secrets) {
            words.extend(["PASSWORD".to_owned(), password.to_string()]);
        }
    }
    words
}

struct Reader<'w> {
    words: std::slice::Iter<'w, &'w [u8]>,
}

impl<'w> Reader<'w> {
    fn wish(&mut self) -> Result<Wish, String> {
        let Some(word) = self.words.next() else {
            return Err(format!("a change is missing; write {}", forms()));
        };
        let Some((verb, usage)) = USAGE.iter().find(|(verb, _)| word.eq_ignore_ascii_case(verb.as_bytes())) else {
            return Err(format!("unknown change '{}'; write {}", shown(word), forms()));
        };
        let name = self.text(usage)?;
        match *verb {
            "ADD" => {
                let name =
                    config::node_name(name).map_err(|cure| format!("'{}' is no name; {cure}", name.escape_debug()))?;
                let address = config::node_address(self.text(usage)?)?;
                let mut options = self.options(usage, true)?;
                let weight = options.weight.take().unwrap_or(1.0);
                Ok(Wish::Add(Member::new(&name, address, weight, options.credentials()?.unwrap_or_default())))
            }
            "REPLACE" => {
                let address = config::node_address(self.text(usage)?)?;
                let credentials = self.options(usage, false)?.credentials()?;
                Ok(Wish::Replace { name: name.to_owned(), address, credentials })
            }
            "WEIGHT" => Ok(Wish::Weight(name.to_owned(), weight(self.text(usage)?)?)),
            "REMOVE" => Ok(Wish::Remove(name.to_owned())),
            _ => match self.words.next() {
                Some(word) if word.eq_ignore_ascii_case(b"--lost") => Ok(Wish::Forget(name.to_owned())),
                _ => Err(format!(
                    "FORGET {name} gives up the keys of this node for good; write FORGET {name} --lost if that is meant, or \
                     REMOVE {name} to move them first"
                )),
            },
        }
    }

    /// `AND`, between two wishes.
    fn and(&mut self) -> Result<(), String> {
        match self.words.next() {
            Some(word) if word.eq_ignore_ascii_case(b"AND") => Ok(()),
            word => {
                Err(format!("'{}' is not understood; write AND between two changes", shown(word.unwrap_or(&&b""[..]))))
            }
        }
    }

    /// The next word, which `usage` asks for.
    fn text(&mut self, usage: &str) -> Result<&'w str, String> {
        let word = self.words.next().ok_or_else(|| format!("something is missing; write {usage}"))?;
        std::str::from_utf8(word).map_err(|_| format!("'{}' is no text; write {usage} in UTF-8", shown(word)))
    }

    /// Options until the wish ends.
    fn options(&mut self, usage: &str, weighed: bool) -> Result<Options<'w>, String> {
        let mut options = Options::default();
        while let Some(word) = self.words.as_slice().first() {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            let twice = if weighed && is("WEIGHT") {
                self.words.next();
                options.weight.replace(weight(self.text(usage)?)?).is_some()
            } else if is("USER") {
                self.words.next();
                options.user.replace(self.text(usage)?).is_some()
            } else if is("PASSWORD") {
                self.words.next();
                options.password.replace(self.text(usage)?).is_some()
            } else {
                break;
            };
            if twice {
                return Err(format!("{} is given twice; write {usage}", shown(word).to_uppercase()));
            }
        }
        Ok(options)
    }
}

/// What may stand behind a name and an address.
#[derive(Default)]
struct Options<'w> {
    weight: Option<f64>,
    user: Option<&'w str>,
    password: Option<&'w str>,
}

impl Options<'_> {
    /// `None`: nothing was said of them.
    fn credentials(&self) -> Result<Option<Credentials>, String> {
        if self.user.is_none() && self.password.is_none() {
            return Ok(None);
        }
        config::node_credentials(self.user, self.password).map(Some)
    }
}

fn weight(text: &str) -> Result<f64, String> {
    config::node_weight(text).map_err(|cure| format!("the weight is '{}'; {cure}", text.escape_debug()))
}

/// All that a change may be.
fn forms() -> String {
    let forms: Vec<&str> = USAGE.iter().map(|(_, form)| *form).collect();
    forms.join(" | ")
}

/// The first letters of a word, fit for an error line.
fn shown(word: &[u8]) -> String {
    word.get(..word.len().min(64)).unwrap_or(word).escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<Wish>, String> {
        read(&line.split(' ').filter(|word| !word.is_empty()).map(str::as_bytes).collect::<Vec<_>>())
    }

    #[test]
    fn wishes_are_read_and_written_back() {
        for line in [
            "ADD d 127.0.0.1:7004",
            "ADD d 127.0.0.1:7004 WEIGHT 2.5 USER me PASSWORD secret",
            "ADD and unix:/run/d.sock PASSWORD PASSWORD AND REMOVE AND AND WEIGHT weight 3",
            "REPLACE b [::1]:7009 AND WEIGHT b 2",
            "REPLACE b h:7009 USER u PASSWORD p AND FORGET c --lost",
        ] {
            let wishes = words(line).unwrap();
            assert_eq!(write(&wishes).join(" "), line);
        }
        assert_eq!(words("add d h:1 password p user u weight 2 and forget x --LOST").unwrap().len(), 2);
        assert_eq!(
            words("replace b h:1").unwrap(),
            [Wish::Replace { name: "b".into(), address: "h:1".parse().unwrap(), credentials: None }]
        );
    }

    #[test]
    fn a_line_for_people_has_no_password() {
        let wishes = words("ADD d h:1 USER u PASSWORD hush AND REMOVE a AND REPLACE b h:2 PASSWORD hush").unwrap();
        assert_eq!(text(&wishes), "ADD d h:1 USER u AND REMOVE a AND REPLACE b h:2");
        assert!(!format!("{wishes:?}").contains("hush"));
    }

    #[test]
    fn every_mistake_names_its_cure() {
        for (line, cure) in [
            ("", "a change is missing; write ADD name addr"),
            ("DROP a", "unknown change 'DROP'; write ADD name addr [WEIGHT w] [USER u] [PASSWORD p] | REMOVE name |"),
            ("ADD", "something is missing; write ADD name addr"),
            ("ADD d", "something is missing; write ADD name addr"),
            ("ADD d nowhere", "'nowhere' has no port; write host:port"),
            ("ADD d h:1 WEIGHT", "something is missing; write ADD name addr"),
            ("ADD d h:1 WEIGHT much", "the weight is 'much'; use a number above 0"),
            ("ADD d h:1 WEIGHT -1", "the weight is '-1'; use a number above 0"),
            ("ADD d h:1 WEIGHT 1 weight 2", "WEIGHT is given twice; write ADD"),
            ("ADD d h:1 USER u", "a user is given without a password; give both"),
            ("ADD d h:1 REMOVE a", "'REMOVE' is not understood; write AND between two changes"),
            ("ADD d h:1 AND", "a change is missing; write ADD"),
            ("REMOVE", "something is missing; write REMOVE name"),
            ("REMOVE a b", "'b' is not understood; write AND between two changes"),
            ("WEIGHT a", "something is missing; write WEIGHT name w"),
            ("WEIGHT a inf", "the weight is 'inf'; use a number above 0"),
            ("REPLACE a h:1 WEIGHT 2", "'WEIGHT' is not understood; write AND between two changes"),
            ("FORGET a", "write FORGET a --lost if that is meant, or REMOVE a to move them first"),
            ("FORGET a now", "write FORGET a --lost if that is meant"),
        ] {
            let found = words(line).unwrap_err();
            assert!(found.contains(cure) && !found.contains('\n'), "{line}: {found}");
        }
        let found = read(&[b"REMOVE", b"\xff\r\n"]).unwrap_err();
        assert!(found.contains("is no text") && !found.contains('\r'), "{found}");
        let found = read(&[b"ADD", b"a b", b"h:1"]).unwrap_err();
        assert!(found.contains("'a b' is no name; use a name of 1 to 255 bytes"), "{found}");
        let found = read(&[b"ADD", b"d", b"h:1", b"PASSWORD", b"hush\nhush"]).unwrap_err();
        assert!(!found.contains("hush") && found.contains("one line"), "{found}");
        let many = vec!["REMOVE a"; MAX_WISHES + 1].join(" AND ");
        assert!(words(&many).unwrap_err().contains("give it in parts"));
    }

    #[test]
    fn any_words_at_all_give_wishes_or_an_error() {
        let known: [&[u8]; 14] = [
            b"ADD",
            b"remove",
            b"Weight",
            b"REPLACE",
            b"forget",
            b"AND",
            b"--lost",
            b"USER",
            b"PASSWORD",
            b"a",
            b"h:1",
            b"2",
            b"",
            b"\xff\n",
        ];
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let words: Vec<&[u8]> = (0..random.usize(..12)).map(|_| known[random.usize(..known.len())]).collect();
            match read(&words) {
                Ok(wishes) => {
                    let again = write(&wishes);
                    assert_eq!(read(&again.iter().map(String::as_bytes).collect::<Vec<_>>()).unwrap(), wishes);
                }
                Err(text) => assert!(!text.contains(['\n', '\r']), "{text:?}"),
            }
        }
    }
}
