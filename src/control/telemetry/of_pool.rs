//! A recorder that gives every metric the label `pool`, where a process has several pools. Pure.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit};

use super::rows::POOL;

/// Hands on to another recorder, with the pool's name.
pub(super) struct OfPool<'a, R> {
    to: &'a R,
    pool: Option<&'a str>,
}

impl<'a, R: Recorder> OfPool<'a, R> {
    /// Without a name nothing is added.
    pub(super) fn new(to: &'a R, pool: Option<&'a str>) -> Self {
        Self { to, pool }
    }

    fn labelled(&self, key: &Key) -> Key {
        match self.pool {
            Some(pool) => key.with_extra_labels(vec![Label::new(POOL, pool.to_owned())]),
            None => key.clone(),
        }
    }
}

impl<R: Recorder> Recorder for OfPool<'_, R> {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.to.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.to.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.to.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.to.register_counter(&self.labelled(key), metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.to.register_gauge(&self.labelled(key), metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.to.register_histogram(&self.labelled(key), metadata)
    }
}
