//! What both subcommands share: the control plane's runtime, and the way to the end.
//!
//! The first signal drains; a second one, or the drain's time limit, cuts off. Io.

use std::{future::Future, time::Duration};

use tokio::runtime;

use super::{Exit, complain};
use crate::control::{Running, Signals, notify};

/// Time for name look-ups that nobody waits for any more.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// Runs `work` on the control plane's own thread, the present one.
pub(super) fn block_on(work: impl Future<Output = Exit>) -> Exit {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("the event loop cannot be started: {error}"));
            return Exit::NotStarted;
        }
    };
    let exit = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_MOMENT);
    exit
}

/// Drains `running` because of `signal`.
pub(super) async fn drain(mut running: Running, signals: &mut Signals, signal: &str, limit: Duration) -> Exit {
    let sessions = running.sessions();
    tracing::info!(%signal, clients = sessions, ?limit, "stopping: no new clients, what is in flight is answered");
    notify::stopping(sessions, limit);
    // Not cancel-safe, and need not be: whoever loses is followed by the end of the process.
    tokio::select! {
        cut = running.drain(limit) => {
            if cut == 0 {
                tracing::info!("stopped: every request was answered");
                return Exit::Ended;
            }
            tracing::warn!(clients = cut, ?limit, "stopped: clients were cut off before their requests were answered");
        }
        second = signals.next() => {
            tracing::warn!(signal = %second, at_most = sessions, "stopped at once: clients were cut off");
        }
    }
    Exit::CutOff
}
