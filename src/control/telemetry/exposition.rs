//! The metrics that the recorder cannot hold, in Prometheus's text format 0.0.4: histograms from ready buckets, and counters
//! with a fraction. Pure.

use std::{
    fmt::{self, Write as _},
    sync::atomic::Ordering::Relaxed,
};

use super::{
    View,
    process::Process,
    rows::{
        COMMAND_DURATION, COMMAND_NODE, COMMAND_OWN, FENCE, LOCK_HOLD, LOCK_WAIT, NODE_LATENCY, POOL, PROCESS_CPU,
        WORKER_BUSY, WORKER_CPU, WORKER_WAIT, row,
    },
    scrape::sum,
    threads::Thread,
};
use crate::{
    control::lock,
    traffic::{
        counters::{LATENCY_BUCKETS, latency_bound_us},
        observe::{Histogram, Tally},
    },
};

/// Appends the nodes' latency histograms.
pub(super) fn latency(pools: &[View<'_>], out: &mut String) {
    head(out, NODE_LATENCY, "histogram");
    for view in pools {
        for id in view.topology.members() {
            let (index, node) = (id.index(), view.topology.node(*id));
            let bucket = |bucket: usize| sum(view.parts_of(index), |part| part.latency[bucket].load(Relaxed));
            let sum_us = sum(view.parts_of(index), |part| part.latency_sum_us.load(Relaxed));
            let labels = Labels { name: "node", value: &node.name, pool: view.pool };
            histogram(out, NODE_LATENCY, labels, &std::array::from_fn(bucket), sum_us);
        }
    }
    out.push('\n');
}

/// Appends how long fences took.
pub(super) fn fences(pools: &[View<'_>], out: &mut String) {
    head(out, FENCE, "histogram");
    for view in pools {
        for (way, Histogram { buckets, sum_us }) in ["forth", "back"].into_iter().zip(&view.moves.totals.fences) {
            histogram(out, FENCE, Labels { name: "way", value: way, pool: view.pool }, buckets, *sum_us);
        }
    }
    out.push('\n');
}

/// Appends how long locks were waited for, and held.
pub(super) fn locks(pools: &[View<'_>], out: &mut String) {
    let part: [fn(&lock::Totals) -> &Histogram; 2] = [|totals| &totals.wait, |totals| &totals.hold];
    for (metric, of) in [LOCK_WAIT, LOCK_HOLD].into_iter().zip(part) {
        head(out, metric, "histogram");
        for view in pools {
            let Histogram { buckets, sum_us } = of(&view.locks);
            histogram(out, metric, Labels { name: "", value: "", pool: view.pool }, buckets, *sum_us);
        }
        out.push('\n');
    }
}

/// Appends each command's histograms.
pub(super) fn commands(pools: &[View<'_>], out: &mut String) {
    let part: [fn(&Tally) -> &Histogram; 3] = [|tally| &tally.total, |tally| &tally.node, |tally| &tally.own];
    for (metric, of) in [COMMAND_DURATION, COMMAND_NODE, COMMAND_OWN].into_iter().zip(part) {
        head(out, metric, "histogram");
        for view in pools {
            for (name, tally) in view.commands.iter().filter(|(_, tally)| tally.total.count() > 0) {
                let Histogram { buckets, sum_us } = of(tally);
                histogram(out, metric, Labels { name: "command", value: name, pool: view.pool }, buckets, *sum_us);
            }
        }
        out.push('\n');
    }
}

/// Appends how busy each worker is.
pub(super) fn workers(pools: &[View<'_>], threads: &[Thread], out: &mut String) {
    let busy = |view: &View<'_>| -> Vec<(usize, u64)> {
        view.workers.iter().map(|published| published.busy_us.load(Relaxed)).enumerate().collect()
    };
    let of_threads = |of: fn(&Thread) -> u64| {
        move |view: &View<'_>| -> Vec<(usize, u64)> {
            let own = |thread: &Thread| thread.number.checked_sub(view.first_thread);
            let times = threads.iter().filter_map(|thread| Some((own(thread)?, of(thread))));
            times.filter(|(worker, _)| *worker < view.workers.len()).collect()
        }
    };
    by_worker(pools, out, WORKER_BUSY, busy);
    if !threads.is_empty() {
        by_worker(pools, out, WORKER_CPU, of_threads(|thread| thread.cpu_us));
        by_worker(pools, out, WORKER_WAIT, of_threads(|thread| thread.wait_us));
    }
}

fn by_worker(pools: &[View<'_>], out: &mut String, metric: &str, times: impl Fn(&View<'_>) -> Vec<(usize, u64)>) {
    head(out, metric, "counter");
    for view in pools {
        for (worker, us) in times(view) {
            let labels = Labels { name: "worker", value: &worker.to_string(), pool: view.pool };
            line(out, format_args!("{metric}{{{labels}}} {}", Seconds(us)));
        }
    }
    out.push('\n');
}

/// Appends one histogram of `metric`.
fn histogram(out: &mut String, metric: &str, labels: Labels<'_>, buckets: &[u64; LATENCY_BUCKETS], sum_us: u64) {
    let labels = labels.to_string();
    let (inner, all) = match labels.as_str() {
        "" => (String::new(), String::new()),
        labels => (format!("{labels},"), format!("{{{labels}}}")),
    };
    // Buckets are cumulative, and the count is the last of them: read once, they agree.
    let mut count = 0;
    for (bucket, here) in buckets.iter().enumerate() {
        count += here;
        match latency_bound_us(bucket) {
            Some(us) => {
                line(out, format_args!("{metric}_bucket{{{inner}le=\"{}\"}} {count}", Seconds(us)));
            }
            None => line(out, format_args!("{metric}_bucket{{{inner}le=\"+Inf\"}} {count}")),
        }
    }
    line(out, format_args!("{metric}_sum{all} {}", Seconds(sum_us)));
    line(out, format_args!("{metric}_count{all} {count}"));
}

/// Appends the processor time.
pub(super) fn cpu(process: &Process, out: &mut String) {
    head(out, PROCESS_CPU, "counter");
    line(out, format_args!("{PROCESS_CPU} {}", process.cpu_seconds));
    out.push('\n');
}

fn head(out: &mut String, name: &str, kind: &str) {
    if let Some(row) = row(name) {
        line(out, format_args!("# HELP {name} {}", row.help));
    }
    line(out, format_args!("# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}

/// Microseconds, shown as seconds without rounding.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A metric's own label, unless its name is empty, and its pool's where there are several.
#[derive(Clone, Copy)]
struct Labels<'a> {
    name: &'static str,
    value: &'a str,
    pool: Option<&'a str>,
}

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = (!self.name.is_empty()).then_some((self.name, self.value));
        let labels = own.into_iter().chain(self.pool.map(|pool| (POOL, pool)));
        for (index, (name, value)) in labels.enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{name}=\"{}\"", Label(value))?;
        }
        Ok(())
    }
}

/// A label's value, escaped.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_keep_every_microsecond() {
        assert_eq!(Seconds(16).to_string(), "0.000016");
        assert_eq!(Seconds(1 << 23).to_string(), "8.388608");
        assert_eq!(Seconds(u64::MAX).to_string(), "18446744073709.551615");
    }

    #[test]
    fn a_label_is_escaped() {
        assert_eq!(Label("a\"b\\c\nd").to_string(), "a\\\"b\\\\c\\nd");
    }
}
