//! Log lines on standard error: for people, or one JSON object each.
//!
//! There is a line per change of state and none per request, so nothing here is on a request's way. Io.

use std::{
    io::{self, IsTerminal},
    sync::OnceLock,
};

use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _};

use crate::config::{Log, LogFormat};

/// Changes the filter of the log that was started.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Installs the log of this process. A second call changes nothing.
pub fn start(log: &Log) {
    // The configuration has checked the filter already.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let log_of = tracing_subscriber::registry().with(filter);
    let started = match log.format {
        LogFormat::Human => log_of.with(lines.with_ansi(io::stderr().is_terminal()).with_target(false)).try_init(),
        LogFormat::Json => log_of.with(lines.json().flatten_event(true)).try_init(),
    };
    match started {
        Ok(()) => drop(FILTER.set(handle)),
        Err(error) => tracing::debug!("the log is started already: {error}"),
    }
}

/// Logs from now on what `filter` says.
///
/// # Errors
/// It is no filter.
pub fn filter(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    match FILTER.get() {
        Some(handle) => handle.reload(filter).map_err(|error| error.to_string()),
        // Without a log, as in tests, there is nothing to be changed.
        None => Ok(()),
    }
}
