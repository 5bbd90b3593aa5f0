//! The configuration of a running Circlet: shown option by option, changed where that needs no restart.
//!
//! The same rows, ranges and contradictions as in the file hold ([`super::load`]); what comes out is again a proof that
//! every option is in its range and none contradicts another. Pure.

use std::path::Path;

use super::{
    Config, check,
    draft::{Draft, Raw},
    mistake::Place,
    option,
};

/// Why a running Circlet's option is not changed; each names the option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unchangeable {
    /// There is no such option.
    Unknown(String),
    /// It is read once, at the start.
    AtStartOnly(String),
    /// Its value is wrong, or contradicts another option's; the cure.
    Wrong(String, String),
}

/// What another configuration has otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Options that can be changed while Circlet runs, with their other values, as [`Config::with`] takes them.
    pub live: Vec<(String, String)>,
    /// Options that are read at the start only.
    pub at_start: Vec<String>,
}

impl Config {
    /// The options that `other` has otherwise; nodes are none.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Differences {
        let (mut one, mut two) = (self.clone(), other.clone());
        let mut differences = Differences::default();
        for row in option::ROWS {
            let (is, wanted) = (row.text(&mut one), row.text(&mut two));
            match wanted {
                Some(wanted) if row.is_live() && is.as_ref() != Some(&wanted) => {
                    differences.live.push((row.key.to_owned(), wanted));
                }
                wanted if is != wanted => differences.at_start.push(row.key.to_owned()),
                _ => {}
            }
        }
        // Rows do not show these.
        for (key, is, wanted) in [
            ("requirepass", &self.traffic.requirepass, &other.traffic.requirepass),
            ("admin_token", &self.admin_token, &other.admin_token),
        ] {
            if is != wanted {
                differences.at_start.push(key.to_owned());
            }
        }
        differences
    }

    /// Every option that may be shown, and its value as text.
    #[must_use]
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut copy = self.clone();
        option::ROWS.iter().filter_map(|row| Some((row.key, row.text(&mut copy)?))).collect()
    }

    /// This configuration with `changes`, names and values.
    ///
    /// # Errors
    /// The first change that cannot be made, or the contradiction that they make together.
    pub fn with(&self, changes: &[(String, String)]) -> Result<Self, Unchangeable> {
        let mut draft = Draft::new();
        draft.config = self.clone();
        for (name, value) in changes {
            let row = option::row(name).ok_or_else(|| Unchangeable::Unknown(name.clone()))?;
            if !row.is_live() {
                return Err(Unchangeable::AtStartOnly(name.clone()));
            }
            row.set(&mut draft, &Raw::text(value), Place::Flag(name.clone()), Path::new(""));
        }
        check::order(&mut draft);
        check::facade(&mut draft);
        check::ejection(&mut draft);
        draft.finish().map_err(|mistakes| {
            let first = mistakes.first();
            let name = match first.map(|mistake| &mistake.place) {
                Some(Place::Flag(name)) => name.clone(),
                _ => changes.first().map_or_else(String::new, |(name, _)| name.clone()),
            };
            Unchangeable::Wrong(name, first.map_or_else(String::new, |mistake| mistake.text.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(changes: &[(&str, &str)]) -> Result<Config, Unchangeable> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Config::default().with(&changes.iter().map(owned).collect::<Vec<_>>())
    }

    fn value(config: &Config, name: &str) -> String {
        config.rows().into_iter().find(|(row, _)| *row == name).unwrap().1
    }

    #[test]
    fn values_are_shown_without_quotes_and_passwords_not_at_all() {
        let mut config = Config::default();
        config.traffic.requirepass = Some("geheim".into());
        assert_eq!(value(&config, "session.soft_output"), "1MB");
        assert_eq!(value(&config, "session.max_pending"), "1024");
        assert_eq!(value(&config, "pipe.request_timeout"), "5s");
        assert_eq!(value(&config, "log.filter"), "info");
        assert!(config.rows().iter().all(|(name, value)| !name.contains("pass") && !value.contains("geheim")));
    }

    #[test]
    fn changes_are_read_as_in_the_file() {
        let config = with(&[("session.max_pending", "7"), ("pipe.request_timeout", "250ms"), ("partial_reads", "nil")]);
        let config = config.unwrap();
        assert_eq!(value(&config, "session.max_pending"), "7");
        assert_eq!(value(&config, "pipe.request_timeout"), "250ms");
        assert_eq!(value(&config, "partial_reads"), "nil");
    }

    #[test]
    fn what_cannot_be_changed_says_why() {
        let wrong = |changes: &[(&str, &str)]| match with(changes) {
            Err(Unchangeable::Wrong(name, cure)) => (name, cure),
            other => panic!("{other:?}"),
        };
        let (name, cure) = wrong(&[("session.max_pending", "7"), ("pipe.backoff_min", "soon")]);
        assert_eq!(name, "pipe.backoff_min");
        assert!(cure.contains("such as \"250ms\""), "{cure}");
        let (name, cure) = wrong(&[("session.soft_output", "512MB")]);
        assert_eq!(name, "session.soft_output");
        assert!(cure.contains("above session.hard_output"), "{cure}");
        assert!(with(&[("session.soft_output", "512MB"), ("session.hard_output", "1GB")]).is_ok(), "together they fit");
        assert_eq!(with(&[("workers", "3")]).unwrap_err(), Unchangeable::AtStartOnly("workers".into()));
        assert_eq!(with(&[("requirepass", "x")]).unwrap_err(), Unchangeable::AtStartOnly("requirepass".into()));
        let listen = vec![crate::traffic::route::Address::Unix("/run/c".into())];
        let behind = Config { listen, ..Config::default() };
        let facade = |value: &str| behind.with(&[("cluster_facade".to_owned(), value.to_owned())]);
        assert!(matches!(facade("on"), Err(Unchangeable::Wrong(name, _)) if name == "cluster_facade"));
        assert!(facade("h:1").is_ok());
        assert_eq!(with(&[("nosuch", "3")]).unwrap_err(), Unchangeable::Unknown("nosuch".into()));
    }

    #[test]
    fn another_configuration_differs_where_it_says_something_else() {
        let one = Config::default();
        assert_eq!(one.differences(&one), Differences::default());
        let mut other = with(&[("session.max_pending", "7"), ("slowlog.slower_than", "off")]).unwrap();
        other.traffic.workers += 1;
        other.traffic.requirepass = Some("geheim".into());
        let differences = one.differences(&other);
        let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(differences.live, [owned("session.max_pending", "7"), owned("slowlog.slower_than", "off")]);
        assert_eq!(differences.at_start, ["workers", "requirepass"]);
        assert!(!format!("{differences:?}").contains("geheim"));
        // What can be changed, changed: the rest is still another.
        let followed = one.with(&differences.live).unwrap();
        let rest = Differences { live: Vec::new(), ..differences };
        assert_eq!(followed.differences(&other), rest);
    }

    #[test]
    fn every_live_option_is_an_option_and_can_be_set_to_what_it_is() {
        let config = Config::default();
        let live: Vec<_> = option::ROWS.iter().filter(|row| row.is_live()).collect();
        assert_eq!(live.len(), option::live_count());
        for row in live {
            let value = value(&config, row.key);
            assert!(with(&[(row.key, &value)]).is_ok(), "{} {value}", row.key);
        }
    }
}
