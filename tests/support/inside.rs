//! Circlet in this process, through the library: for faults that can be planted there only.

use std::{path::Path, thread, time::Duration};

use circlet::{
    config::{self, Overrides},
    control::{self, Doors, Pool, Source},
};
use tokio::{runtime, sync::oneshot};

/// Time for clients that are still there in the end.
const DRAIN: Duration = Duration::from_secs(3);

/// A running Circlet. Stopped when dropped.
#[derive(Debug)]
pub struct Inside {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Inside {
    /// Starts it; `rules` switches some of a pool's off perhaps.
    pub fn start(overrides: &Overrides, rules: impl Fn(&mut Pool) + Send + 'static) -> Self {
        let config = config::load(None, overrides).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let overrides = overrides.clone();
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let mut pools = [Pool::only(config)];
                pools.iter_mut().for_each(rules);
                let doors = Doors::open(&pools).unwrap_or_else(|errors| panic!("{errors:?}"));
                let mut running = control::start(&pools, doors, Source::flags(overrides)).unwrap();
                ready.send(()).unwrap();
                // Ends too if the sender is dropped.
                let _ = stopped.await;
                running.drain(DRAIN).await;
            });
        });
        started.recv().expect("it starts");
        Self { stop: Some(stop), thread: Some(thread) }
    }

    /// What `circlet serve` would be told.
    pub fn overrides(listen: &str, nodes: &[String], settings: &[String], state: &Path) -> Overrides {
        Overrides {
            listen: vec![listen.to_owned()],
            nodes: nodes.to_vec(),
            set: settings.to_vec(),
            state: Some(state.to_path_buf()),
            admin: Some("off".to_owned()),
            workers: Some("2".to_owned()),
            ..Overrides::default()
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}
