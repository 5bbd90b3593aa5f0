//! Flags and arguments to wishes, and wishes to the words of `CIRCLET NODE`. An `Err` is one line with the cure. Io only through
//! password files.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    config::{self, Credentials},
    control::rebalance::{
        members::{Member, Wish},
        words,
    },
};

/// Changes of several nodes as flags.
#[derive(Args, Debug, Default)]
#[group(required = true, multiple = true)]
pub(in crate::cli) struct Changes {
    /// A node joins: address, with name= before it and *weight behind it if wanted (may be repeated).
    #[arg(long, value_name = "NAME=ADDRESS[*WEIGHT]")]
    pub(in crate::cli) add: Vec<String>,
    /// A node leaves; its keys are moved to the others (may be repeated).
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) remove: Vec<String>,
    /// A node has another weight (may be repeated).
    #[arg(long, value_name = "NAME=WEIGHT")]
    pub(in crate::cli) weight: Vec<String>,
    /// Another server takes a node's name, its place on the ring and its keys (may be repeated).
    #[arg(long, value_name = "NAME=ADDRESS")]
    pub(in crate::cli) replace: Vec<String>,
    /// A node is dead; its keys are given up. Wants --lost, too (may be repeated).
    #[arg(long, value_name = "NAME", requires = "lost")]
    pub(in crate::cli) forget: Vec<String>,
}

impl Changes {
    /// What is wished.
    pub(in crate::cli) fn wishes(&self) -> Result<Vec<Wish>, String> {
        let mut wishes = Vec::new();
        for text in &self.add {
            let node = config::node(text).map_err(|cure| format!("--add {text}: {cure}"))?;
            wishes.push(Wish::Add(Member::new(&node.name, node.address, node.weight, Credentials::default())));
        }
        wishes.extend(self.remove.iter().map(|name| Wish::Remove(name.clone())));
        for text in &self.weight {
            let wrong = |cure: String| format!("--weight {text}: {cure}");
            let (name, weight) = text.rsplit_once('=').ok_or_else(|| wrong("write NAME=WEIGHT".to_owned()))?;
            wishes.push(Wish::Weight(name.to_owned(), config::node_weight(weight).map_err(wrong)?));
        }
        for text in &self.replace {
            let wrong = |cure: String| format!("--replace {text}: {cure}");
            let (name, address) = text.split_once('=').ok_or_else(|| wrong("write NAME=ADDRESS".to_owned()))?;
            let address = config::node_address(address).map_err(wrong)?;
            wishes.push(Wish::Replace { name: name.to_owned(), address, credentials: None });
        }
        wishes.extend(self.forget.iter().map(|name| Wish::Forget(name.clone())));
        Ok(wishes)
    }
}

/// What Circlet tells a node that joins.
#[derive(Args, Debug)]
pub(super) struct Login {
    /// ACL user of the node.
    #[arg(long, value_name = "NAME", requires = "node_password_file")]
    user: Option<String>,
    /// File with the node's password in its only line.
    #[arg(long, value_name = "FILE")]
    node_password_file: Option<PathBuf>,
}

impl Login {
    /// `None`: nothing was said of it.
    pub(super) fn credentials(&self) -> Result<Option<Credentials>, String> {
        let Some(file) = &self.node_password_file else { return Ok(None) };
        let password = config::password_of(&file.display().to_string(), Path::new(""))
            .map_err(|cure| format!("--node-password-file: {cure}"))?;
        config::node_credentials(self.user.as_deref(), password.as_deref()).map(Some)
    }
}

/// The words that follow `CIRCLET` and `verb`.
pub(in crate::cli) fn command(verb: &str, wishes: &[Wish]) -> Vec<Vec<u8>> {
    let words = words::write(wishes).into_iter().map(String::into_bytes);
    [b"CIRCLET".to_vec(), verb.as_bytes().to_vec()].into_iter().chain(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_wishes() {
        let owned = |text: &str| vec![text.to_owned()];
        let changes = Changes {
            add: owned("d=127.0.0.1:7004*2"),
            remove: owned("a"),
            weight: owned("b=2.5"),
            replace: owned("c=[::1]:7009"),
            forget: owned("e"),
        };
        assert_eq!(
            words::text(&changes.wishes().unwrap()),
            "ADD d 127.0.0.1:7004 WEIGHT 2 AND REMOVE a AND WEIGHT b 2.5 AND REPLACE c [::1]:7009 AND FORGET e --lost"
        );
        let line = command("PLAN", &changes.wishes().unwrap());
        assert_eq!((line[1].as_slice(), line[2].as_slice(), line.len()), (&b"PLAN"[..], &b"ADD"[..], 22));
        for (changes, cure) in [
            (Changes { add: owned("d"), ..Changes::default() }, "--add d: 'd' has no port"),
            (Changes { weight: owned("b"), ..Changes::default() }, "--weight b: write NAME=WEIGHT"),
            (Changes { weight: owned("b=0"), ..Changes::default() }, "--weight b=0: use a number above 0"),
            (Changes { replace: owned("h:1"), ..Changes::default() }, "--replace h:1: write NAME=ADDRESS"),
            (Changes { replace: owned("b=h"), ..Changes::default() }, "--replace b=h: 'h' has no port"),
        ] {
            let found = changes.wishes().unwrap_err();
            assert!(found.starts_with(cure), "{found}");
        }
    }
}
