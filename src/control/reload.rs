//! The configuration, read again while Circlet serves: SIGHUP.
//!
//! ```text
//!  SIGHUP ─► Source::load ─► mistakes? nothing changes, all are told
//!                        └─► Live::follow ─► new Settings ─► every worker     Summary ─► log, events
//! ```
//! What the file says holds afterwards, also where CONFIG SET had said something else. All that can be changed while Circlet
//! runs is changed at once, or nothing is; what is read at the start only is named, and stays as it was. Sessions do not
//! notice. Io: reads the file.

use std::{fmt, sync::Arc};

use super::{Pool, live::Live, now_ms, plane::Plane, source::Source};
use crate::{
    config::{Config, Mistakes},
    traffic::{observe::chronicle::Kind, worker::Fleet},
};

/// What reads the configuration again.
#[derive(Debug)]
pub struct Reload {
    source: Source,
    served: Vec<Served>,
}

/// A pool, as far as it can follow another configuration.
#[derive(Debug)]
struct Served {
    name: Option<String>,
    live: Arc<Live>,
    fleet: Arc<Fleet>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Options that were changed, as `name = value`; in front of it the pool, where there are several.
    pub changed: Vec<String>,
    /// What differs from what is served, and needs a restart.
    pub restart: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.changed.as_slice() {
            [] => f.write_str("nothing was changed")?,
            changed => write!(f, "changed: {}", changed.join(", "))?,
        }
        if !self.restart.is_empty() {
            write!(f, "; these differ and need a restart: {}", self.restart.join(", "))?;
        }
        Ok(())
    }
}

/// Why nothing was changed. Its Display is one line for each reason.
#[derive(Debug)]
pub enum NotReloaded {
    /// There is no file to be read.
    NoFile,
    /// The file is wrong.
    Wrong(Mistakes),
    /// It is right, but this process cannot follow it.
    Impossible(String),
}

impl fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str(
                "there is no configuration file to be read again; start with --config FILE, or use CONFIG SET circlet.…",
            ),
            Self::Wrong(mistakes) => mistakes.fmt(f),
            Self::Impossible(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for NotReloaded {}

impl Reload {
    /// For the pools that `source` gave.
    #[must_use]
    pub fn new(source: Source, planes: &[Plane]) -> Self {
        let served = |plane: &Plane| Served {
            name: plane.name().map(str::to_owned),
            live: Arc::clone(plane.live()),
            fleet: Arc::clone(plane.fleet()),
        };
        Self { source, served: planes.iter().map(served).collect() }
    }

    /// Reads the configuration again and follows it. Must be called in a runtime.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn reload(&self) -> Result<Summary, NotReloaded> {
        let result = self.follow();
        match &result {
            Ok(summary) => {
                tracing::info!("the configuration was read again: {summary}");
                self.note(&format!("the configuration was read again: {summary}"));
            }
            Err(why) => {
                for line in why.to_string().lines() {
                    tracing::error!("the configuration was not read again: {line}");
                }
                let first = why.to_string().lines().next().unwrap_or_default().to_owned();
                self.note(&format!("the configuration was not read again, what was before holds: {first}"));
            }
        }
        result
    }

    fn follow(&self) -> Result<Summary, NotReloaded> {
        if self.source.file().is_none() {
            return Err(NotReloaded::NoFile);
        }
        let (wanted, _) = self.source.load().map_err(NotReloaded::Wrong)?;
        let Some(first) = self.served.first() else { return Ok(Summary::default()) };
        let mut summary = Summary::default();
        let wanted = self.in_order(&wanted, &mut summary);
        let followed = first.live.follow(&wanted).map_err(NotReloaded::Impossible)?;
        for ((served, followed), wanted) in self.served.iter().zip(followed).zip(&wanted) {
            served.fleet.set_settings(&followed.settings);
            for (name, value) in &followed.changed {
                let text = format!("{name} = {value} (reload)");
                served.fleet.journal().chronicle().note(now_ms(), Kind::Option, "", &text);
            }
            let changed = followed.changed.iter().map(|(name, value)| served.told(&format!("{name} = {value}")));
            summary.changed.extend(changed);
            summary.restart.extend(followed.at_start.iter().map(|name| served.told(name)));
            if served.live.config().nodes != wanted.nodes {
                summary.restart.push(served.told("nodes"));
            }
        }
        Ok(summary)
    }

    /// The configuration of each pool that is served; which pools there are is settled at the start.
    fn in_order(&self, wanted: &[Pool], summary: &mut Summary) -> Vec<Config> {
        let known = |pool: &&Pool| self.served.iter().any(|served| served.name == pool.name);
        for new in wanted.iter().filter(|pool| !known(pool)) {
            summary.restart.push(format!("pool {} is new", new.name.as_deref().unwrap_or("without a name")));
        }
        let of = |served: &Served| match wanted.iter().find(|pool| pool.name == served.name) {
            Some(pool) => pool.config.clone(),
            None => {
                let name = served.name.as_deref().unwrap_or("without a name");
                summary.restart.push(format!("pool {name} is not there any more"));
                served.live.config()
            }
        };
        self.served.iter().map(of).collect()
    }

    /// Notes an event, at every pool.
    fn note(&self, text: &str) {
        for served in &self.served {
            served.fleet.journal().chronicle().note(now_ms(), Kind::Reload, "", text);
        }
    }
}

impl Served {
    /// A text about this pool.
    fn told(&self, text: &str) -> String {
        match &self.name {
            Some(name) => format!("pool {name}: {text}"),
            None => text.to_owned(),
        }
    }
}
