//! Circlet's options while it runs: the one place that knows which hold, and changes them.
//!
//! ```text
//!  CONFIG SET circlet.… ─► worker ─► Live::change ─► Config::with (checked) ─► new Settings, next revision ─► every worker
//!                                                                          └─► log filter, limit of open files
//! ```
//! Held under a lock that only CONFIG takes, never a request for data: two changes at once come one after the other, and
//! a worker that hears of them in another order keeps the higher revision. The file is not written. Io: the log and the
//! process's limit of open files.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::{file_limit, logging, now_ms};
use crate::{
    config::{Config, Unchangeable},
    traffic::{
        Settings,
        observe::{Journal, chronicle::Kind},
        options::{OptionError, Options},
    },
};

/// The options that hold.
#[derive(Debug)]
pub struct Live {
    config: Mutex<Config>,
    /// Where changes are noted; it comes with the workers, which need the options to start.
    journal: OnceLock<Arc<Journal>>,
}

impl Live {
    /// Those of the start.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config: Mutex::new(config), journal: OnceLock::new() }
    }

    /// Notes changes in `journal` from now on.
    pub fn note_in(&self, journal: Arc<Journal>) {
        // The first one stays: there is one per process.
        let _ = self.journal.set(journal);
    }

    /// Where clients connect.
    #[must_use]
    pub fn listen(&self) -> Vec<String> {
        self.config().listen.iter().map(ToString::to_string).collect()
    }

    /// How connections to nodes behave, for whoever is no worker.
    #[must_use]
    pub fn pipe(&self) -> crate::traffic::settings::PipeSettings {
        self.config().traffic.pipe.clone()
    }

    /// Bytes that all sessions and pipes may hold together.
    #[must_use]
    pub fn max_buffered(&self) -> usize {
        self.config().traffic.max_buffered
    }

    fn config(&self) -> MutexGuard<'_, Config> {
        // A change is whole or not there, whoever panicked.
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Options for Live {
    fn rows(&self) -> Vec<(String, String)> {
        self.config().rows().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn check(&self, changes: &[(String, String)]) -> Result<(), OptionError> {
        self.config().with(changes).map(drop).map_err(told)
    }

    fn change(&self, changes: &[(String, String)]) -> Result<Arc<Settings>, OptionError> {
        let mut config = self.config();
        let mut changed = config.with(changes).map_err(told)?;
        if changed.traffic.session.max_sessions > config.traffic.session.max_sessions
            && let Some(why) = file_limit::shortage_of(&changed)
        {
            return Err(OptionError::Wrong("session.max_sessions".to_owned(), why));
        }
        if changed.log.filter != config.log.filter {
            logging::filter(&changed.log.filter).map_err(|why| OptionError::Wrong("log.filter".to_owned(), why))?;
        }
        changed.traffic.revision = config.traffic.revision + 1;
        *config = changed;
        for (name, value) in changes {
            tracing::info!(option = %name, %value, "changed by CONFIG SET");
            if let Some(journal) = self.journal.get() {
                journal.chronicle().note(now_ms(), Kind::Option, "", &format!("{name} = {value} (CONFIG SET)"));
            }
        }
        Ok(Arc::new(config.traffic.clone()))
    }
}

fn told(error: Unchangeable) -> OptionError {
    match error {
        Unchangeable::Unknown(name) => OptionError::Unknown(name),
        Unchangeable::AtStartOnly(name) => OptionError::NeedsRestart(name),
        Unchangeable::Wrong(name, cure) => OptionError::Wrong(name, cure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_the_next_revision_and_is_seen() {
        let live = Live::new(Config::default());
        let changes = |value: &str| vec![("session.max_pending".to_owned(), value.to_owned())];
        assert_eq!(live.change(&changes("7")).unwrap().revision, 1);
        let settings = live.change(&changes("8")).unwrap();
        assert_eq!((settings.revision, settings.session.max_pending), (2, 8));
        assert!(live.rows().contains(&("session.max_pending".to_owned(), "8".to_owned())));
        assert!(live.change(&changes("0")).is_err());
        assert!(live.rows().contains(&("session.max_pending".to_owned(), "8".to_owned())));
        assert_eq!(live.check(&[("workers".into(), "2".into())]), Err(OptionError::NeedsRestart("workers".into())));
    }
}
