//! Circlet's options while it runs: the one place that knows which hold, and changes them.
//!
//! ```text
//!  CONFIG SET circlet.… ─► worker ─► Live::change ─► Config::with (checked) ─► new Settings, next revision ─► every worker
//!  another configuration ─► reload ─► Live::follow ──────┘                 └─► log filter, limit of open files
//! ```
//! Held under a lock that only CONFIG and a reload take, never a request for data: two changes at once come one after the other, and
//! a worker that hears of them in another order keeps the higher revision. The file is not written. Io: the log and the
//! process's limit of open files.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::{admin::digest, file_limit, logging, now_ms};
use crate::{
    config::{Config, Differences, Unchangeable},
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

    /// The options that hold, and the nodes of the start.
    #[must_use]
    pub fn config(&self) -> Config {
        self.see(Config::clone)
    }

    /// Has every pool of the process follow another configuration, `wanted` in their order: all that can be changed while
    /// Circlet runs, or nothing.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn follow(&self, wanted: &[Config]) -> Result<Vec<Followed>, String> {
        let mut configs = self.configs();
        let (mut after, mut followed) = (configs.clone(), Vec::new());
        for (config, wanted) in after.iter_mut().zip(wanted) {
            let Differences { live, at_start } = config.differences(wanted);
            *config = config.with(&live).map_err(|error| match told(error) {
                OptionError::Wrong(_, why) => why,
                OptionError::Unknown(name) | OptionError::NeedsRestart(name) => format!("{name} cannot be changed"),
            })?;
            config.traffic.revision += u64::from(!live.is_empty());
            followed.push(Followed { settings: Arc::new(config.traffic.clone()), changed: live, at_start });
        }
        let before = std::mem::replace(&mut *configs, after);
        take_effect(&before, &mut configs).map_err(|(name, why)| {
            configs.clone_from(&before);
            if why.starts_with(name) { why } else { format!("{name}: {why}") }
        })?;
        Ok(followed)
    }

    fn configs(&self) -> MutexGuard<'_, Vec<Config>> {
        // A change is whole or not there, whoever panicked.
        self.configs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `of` takes of the options that hold.
    pub(in crate::control) fn see<T>(&self, of: impl FnOnce(&Config) -> T) -> T {
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

    fn is_admin_token(&self, token: &[u8]) -> bool {
        // Of the digests, so that the time it takes tells nothing of the token.
        self.see(|config| config.admin_token.as_ref().is_some_and(|known| digest(known.as_bytes()) == digest(token)))
    }

    fn change(&self, changes: &[(String, String)]) -> Result<Arc<Settings>, OptionError> {
        let mut configs = self.configs();
        let mut after = configs.clone();
        let (before, changed) = (&configs[self.pool], &mut after[self.pool]);
        *changed = before.with(changes).map_err(told)?;
        changed.traffic.revision += 1;
        take_effect(&configs, &mut after).map_err(|(name, why)| OptionError::Wrong(name.to_owned(), why))?;
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

/// What came of another configuration for one pool.
#[derive(Clone, Debug)]
pub struct Followed {
    /// What the workers go by from now on.
    pub settings: Arc<Settings>,
    /// Options that were changed, and their values.
    pub changed: Vec<(String, String)>,
    /// Options that differ, and are read at the start only.
    pub at_start: Vec<String>,
}

/// Carries out what of `after` concerns the process: it must have files enough, and its log is one. An error is the option that
/// cannot be, and why.
fn take_effect(before: &[Config], after: &mut [Config]) -> Result<(), (&'static str, String)> {
    let mut pairs = before.iter().zip(&*after);
    let sessions = |config: &Config| config.traffic.session.max_sessions;
    if pairs.clone().any(|(before, after)| sessions(after) > sessions(before))
        && let Some(why) = file_limit::shortage_of(after)
    {
        return Err(("session.max_sessions", why));
    }
    let filter = pairs.find(|(before, after)| before.log.filter != after.log.filter);
    if let Some(filter) = filter.map(|(_, after)| after.log.filter.clone()) {
        logging::filter(&filter).map_err(|why| ("log.filter", why))?;
        after.iter_mut().for_each(|config| config.log.filter.clone_from(&filter));
    }
    Ok(())
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
    fn another_configuration_is_followed_as_far_as_it_goes_or_not_at_all() {
        let lives = Live::of(vec![Config::default(), Config::default()]);
        let mut wanted = vec![Config::default(), Config::default()];
        wanted[1].traffic.session.max_pending = 7;
        wanted[1].traffic.workers += 1;
        let followed = lives[0].follow(&wanted).unwrap();
        assert_eq!((followed[0].changed.len(), followed[0].settings.revision), (0, 0));
        assert_eq!(followed[1].changed, [("session.max_pending".to_owned(), "7".to_owned())]);
        assert_eq!((followed[1].settings.session.max_pending, followed[1].settings.revision), (7, 1));
        assert_eq!(followed[1].at_start, ["workers"]);
        assert_eq!(lives[1].config().traffic.session.max_pending, 7);
        // What was not followed still differs the next time.
        let again = lives[0].follow(&wanted).unwrap();
        assert_eq!((again[1].changed.len(), again[1].at_start.len()), (0, 1));
        // More clients than the system has files for: nothing of it holds.
        wanted[0].traffic.session.max_pending = 9;
        wanted[1].traffic.session.max_sessions = usize::MAX;
        assert!(file_limit::shortage_of(&wanted).is_none() || lives[0].follow(&wanted).is_err());
        wanted[1].traffic.session.max_sessions = 10_000;
        wanted[1].traffic.session.soft_output = usize::MAX;
        assert!(lives[0].follow(&wanted).is_err());
        assert_eq!(lives[0].config().traffic.session.max_pending, 1_024);
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
