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
        COMMAND_DURATION, COMMAND_NODE, COMMAND_OWN, NODE_LATENCY, PROCESS_CPU, WORKER_BUSY, WORKER_CPU, WORKER_WAIT,
        row,
    },
    scrape::sum,
    threads::Thread,
};
use crate::traffic::{
    counters::{LATENCY_BUCKETS, latency_bound_us},
    observe::{Histogram, Tally},
};

/// Appends the nodes' latency histograms.
pub(super) fn latency(view: &View<'_>, out: &mut String) {
    head(out, NODE_LATENCY, "histogram");
    for (index, node) in view.topology.nodes.iter().enumerate() {
        let bucket = |bucket: usize| sum(view.parts_of(index), |part| part.latency[bucket].load(Relaxed));
        let sum_us = sum(view.parts_of(index), |part| part.latency_sum_us.load(Relaxed));
        histogram(out, NODE_LATENCY, "node", &node.name, &std::array::from_fn(bucket), sum_us);
    }
    out.push('\n');
}

/// Appends each command's histograms.
pub(super) fn commands(view: &View<'_>, out: &mut String) {
    let part: [fn(&Tally) -> &Histogram; 3] = [|tally| &tally.total, |tally| &tally.node, |tally| &tally.own];
    for (metric, of) in [COMMAND_DURATION, COMMAND_NODE, COMMAND_OWN].into_iter().zip(part) {
        head(out, metric, "histogram");
        for (name, tally) in view.commands.iter().filter(|(_, tally)| tally.total.count() > 0) {
            let Histogram { buckets, sum_us } = of(tally);
            histogram(out, metric, "command", name, buckets, *sum_us);
        }
        out.push('\n');
    }
}

/// Appends how busy each worker is.
pub(super) fn workers(view: &View<'_>, threads: &[Thread], out: &mut String) {
    let busy = view.workers.iter().enumerate().map(|(worker, published)| (worker, published.busy_us.load(Relaxed)));
    by_worker(out, WORKER_BUSY, busy);
    if !threads.is_empty() {
        by_worker(out, WORKER_CPU, threads.iter().map(|thread| (thread.worker, thread.cpu_us)));
        by_worker(out, WORKER_WAIT, threads.iter().map(|thread| (thread.worker, thread.wait_us)));
    }
}

fn by_worker(out: &mut String, metric: &str, times: impl Iterator<Item = (usize, u64)>) {
    head(out, metric, "counter");
    for (worker, us) in times {
        line(out, format_args!("{metric}{{worker=\"{worker}\"}} {}", Seconds(us)));
    }
    out.push('\n');
}

/// Appends one histogram of `metric`, for one value of its only label.
fn histogram(out: &mut String, metric: &str, label: &str, value: &str, buckets: &[u64; LATENCY_BUCKETS], sum_us: u64) {
    let value = Label(value);
    // Buckets are cumulative, and the count is the last of them: read once, they agree.
    let mut count = 0;
    for (bucket, here) in buckets.iter().enumerate() {
        count += here;
        match latency_bound_us(bucket) {
            Some(us) => {
                line(out, format_args!("{metric}_bucket{{{label}=\"{value}\",le=\"{}\"}} {count}", Seconds(us)));
            }
            None => line(out, format_args!("{metric}_bucket{{{label}=\"{value}\",le=\"+Inf\"}} {count}")),
        }
    }
    line(out, format_args!("{metric}_sum{{{label}=\"{value}\"}} {}", Seconds(sum_us)));
    line(out, format_args!("{metric}_count{{{label}=\"{value}\"}} {count}"));
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
