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

/// The options that hold for a pool.
#[derive(Debug)]
pub struct Live {
    /// Those of every pool of this process, each at its place.
    configs: Arc<Mutex<Vec<Config>>>,
    pool: usize,
    /// Where changes are noted; it comes with the workers, which need the options to start.
    journal: OnceLock<Arc<Journal>>,
}

impl Live {
    /// Those of the start, for each pool of this process. What concerns the process, its log and its limit of open files, they
    /// have in common.
    #[must_use]
    pub fn of(configs: Vec<Config>) -> Vec<Self> {
        let pools = configs.len();
        let configs = Arc::new(Mutex::new(configs));
        (0..pools).map(|pool| Self { configs: Arc::clone(&configs), pool, journal: OnceLock::new() }).collect()
    }

    /// Notes changes in `journal` from now on.
    pub fn note_in(&self, journal: Arc<Journal>) {
        // The first one stays: there is one per pool.
        let _ = self.journal.set(journal);
    }

    /// Where clients connect.
    #[must_use]
    pub fn listen(&self) -> Vec<String> {
        self.see(|config| config.listen.iter().map(ToString::to_string).collect())
    }

    /// How connections to nodes behave, for whoever is no worker.
    #[must_use]
    pub fn pipe(&self) -> crate::traffic::settings::PipeSettings {
        self.see(|config| config.traffic.pipe.clone())
    }

    /// Bytes that all sessions and pipes may hold together.
    #[must_use]
    pub fn max_buffered(&self) -> usize {
        self.see(|config| config.traffic.max_buffered)
    }

    fn configs(&self) -> MutexGuard<'_, Vec<Config>> {
        // A change is whole or not there, whoever panicked.
        self.configs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see<T>(&self, of: impl FnOnce(&Config) -> T) -> T {
        of(&self.configs()[self.pool])
    }
}

impl Options for Live {
    fn rows(&self) -> Vec<(String, String)> {
        self.see(Config::rows).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn check(&self, changes: &[(String, String)]) -> Result<(), OptionError> {
        self.see(|config| config.with(changes).map(drop).map_err(told))
    }

    fn change(&self, changes: &[(String, String)]) -> Result<Arc<Settings>, OptionError> {
        let mut configs = self.configs();
        let mut after = configs.clone();
        let (before, changed) = (&configs[self.pool], &mut after[self.pool]);
        *changed = before.with(changes).map_err(told)?;
        changed.traffic.revision += 1;
        let more_sessions = changed.traffic.session.max_sessions > before.traffic.session.max_sessions;
        let filter = (changed.log.filter != before.log.filter).then(|| changed.log.filter.clone());
        if more_sessions && let Some(why) = file_limit::shortage_of(&after) {
            return Err(OptionError::Wrong("session.max_sessions".to_owned(), why));
        }
        if let Some(filter) = filter {
            logging::filter(&filter).map_err(|why| OptionError::Wrong("log.filter".to_owned(), why))?;
            after.iter_mut().for_each(|config| config.log.filter.clone_from(&filter));
        }
        let settings = Arc::new(after[self.pool].traffic.clone());
        *configs = after;
        for (name, value) in changes {
            tracing::info!(option = %name, %value, "changed by CONFIG SET");
            if let Some(journal) = self.journal.get() {
                journal.chronicle().note(now_ms(), Kind::Option, "", &format!("{name} = {value} (CONFIG SET)"));
            }
        }
        Ok(settings)
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
        let live = Live::of(vec![Config::default()]).remove(0);
        let changes = |value: &str| vec![("session.max_pending".to_owned(), value.to_owned())];
        assert_eq!(live.change(&changes("7")).unwrap().revision, 1);
        let settings = live.change(&changes("8")).unwrap();
        assert_eq!((settings.revision, settings.session.max_pending), (2, 8));
        assert!(live.rows().contains(&("session.max_pending".to_owned(), "8".to_owned())));
        assert!(live.change(&changes("0")).is_err());
        assert!(live.rows().contains(&("session.max_pending".to_owned(), "8".to_owned())));
        assert_eq!(live.check(&[("workers".into(), "2".into())]), Err(OptionError::NeedsRestart("workers".into())));
    }

    #[test]
    fn pools_have_their_own_options_and_one_log() {
        let lives = Live::of(vec![Config::default(), Config::default()]);
        let change = |name: &str, value: &str| lives[0].change(&[(name.to_owned(), value.to_owned())]).unwrap();
        let shows = |live: &Live, name: &str, value: &str| live.rows().contains(&(name.to_owned(), value.to_owned()));
        change("session.max_pending", "7");
        change("log.filter", "warn");
        assert!(shows(&lives[0], "session.max_pending", "7") && shows(&lives[1], "session.max_pending", "1024"));
        assert!(shows(&lives[0], "log.filter", "warn") && shows(&lives[1], "log.filter", "warn"));
    }
}
