//! Log lines on standard error: for people, or one JSON object each.
//!
//! There is a line per change of state and none per request, so nothing here is on a request's way. Io.

use std::{io, io::IsTerminal};

use tracing_subscriber::{EnvFilter, util::SubscriberInitExt};

use crate::config::{Log, LogFormat};

/// Installs the log of this process. A second call changes nothing.
pub fn start(log: &Log) {
    // The configuration has checked the filter already.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Human => lines.with_ansi(io::stderr().is_terminal()).with_target(false).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    if let Err(error) = started {
        tracing::debug!("the log is started already: {error}");
    }
}
