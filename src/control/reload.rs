//! The configuration, read again while Circlet serves: SIGHUP, CIRCLET RELOAD.
//!
//! ```text
//!  SIGHUP ─► Source::load ─► mistakes? nothing changes, all are told
//!                        └─► Live::follow ─► new Settings ─► every worker     Summary ─► log, events, reply
//!                        └─► Driver::follow ─► a change of the nodes, which moves keys
//! ```
//! What the file says holds afterwards, also where CONFIG SET had said something else. All that can be changed while Circlet
//! runs is changed at once, or nothing is; nodes that joined, left or changed in the file are one change; what is read at the start only is named, and stays as it was. Sessions do not
//! notice. Io: reads the file.

use std::{fmt, sync::Arc};

use super::{Pool, live::Live, now_ms, plane::Plane, rebalance::drive::Driver, source::Source};
use crate::{
    config::{Config, Mistakes},
    traffic::{
        observe::chronicle::Kind,
        resp::{Fields, Proto, encode},
        route::Node,
        worker::Fleet,
    },
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
    driver: Arc<Driver>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Options that were changed, as `name = value`; in front of it the pool, where there are several.
    pub changed: Vec<String>,
    /// What differs from what is served, and needs a restart.
    pub restart: Vec<String>,
    /// What becomes of nodes that the file lists otherwise than before.
    pub nodes: Vec<String>,
}

impl Summary {
    /// The reply of CIRCLET RELOAD.
    #[must_use]
    pub fn reply(&self, proto: Proto) -> Vec<u8> {
        let (mut out, mut fields) = (Vec::new(), Fields::new(proto));
        for (name, texts) in [("changed", &self.changed), ("restart", &self.restart), ("nodes", &self.nodes)] {
            fields.list(name, texts.len(), |out| texts.iter().for_each(|text| encode::bulk(out, text.as_bytes())));
        }
        fields.end(&mut out);
        out
    }
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
        if !self.nodes.is_empty() {
            write!(f, "; nodes: {}", self.nodes.join(", "))?;
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
            driver: Arc::clone(plane.driver()),
        };
        Self { source, served: planes.iter().map(served).collect() }
    }

    /// Reads the configuration again and follows it. Must be called in a runtime.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub async fn reload(&self) -> Result<Summary, NotReloaded> {
        let result = self.follow().await;
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

    async fn follow(&self) -> Result<Summary, NotReloaded> {
        if self.source.file().is_none() {
            return Err(NotReloaded::NoFile);
        }
        let (wanted, _) = self.source.load().map_err(NotReloaded::Wrong)?;
        let Some(first) = self.served.first() else { return Ok(Summary::default()) };
        let mut summary = Summary::default();
        let wanted = self.in_order(&wanted, &mut summary);
        for (served, wanted) in self.served.iter().zip(&wanted) {
            served.driver.may_follow(wanted).map_err(|why| NotReloaded::Impossible(served.told(&why)))?;
        }
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
            let present = served.live.config();
            let other = credentials(&present.nodes, &wanted.nodes);
            summary.restart.extend(other.map(|name| served.told(&format!("credentials of node {name}"))));
            match served.driver.follow(wanted).await {
                Ok(None) => {}
                Ok(Some(taken)) => summary.nodes.push(served.told(taken.trim_start_matches("OK "))),
                Err(why) => summary.nodes.push(served.told(&why)),
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

/// Nodes that are told something else at each connection than before.
fn credentials<'n>(before: &'n [Node], after: &'n [Node]) -> impl Iterator<Item = &'n str> {
    let said = |node: &Node| (node.username.clone(), node.password.clone());
    let other = move |node: &&Node| after.iter().any(|new| new.name == node.name && said(new) != said(node));
    before.iter().filter(other).map(|node| node.name.as_str())
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
