//! LATENCY GRAPH and LATENCY DOCTOR: an event's samples as a drawing, all events as a report. Pure.

use std::fmt::Write as _;

use super::events::{Event, Events, Sample};

/// Columns of a graph, as in Redis (`LATENCY_GRAPH_COLS`).
const COLUMNS: usize = 80;

/// Rows of a graph.
const ROWS: u64 = 4;

/// What fills a column's top, from low to high.
const TOPS: [char; 3] = ['_', 'o', '#'];

/// LATENCY GRAPH of `event` at `now_s` since 1970.
#[must_use]
pub fn graph(name: &str, event: &Event, now_s: u64) -> String {
    let samples: Vec<Sample> = event.samples.iter().copied().collect();
    let high = samples.iter().map(|sample| sample.ms).max().unwrap_or(0);
    let low = samples.iter().map(|sample| sample.ms).min().unwrap_or(0);
    let mut text =
        format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n{:-<COLUMNS$}\n", event.worst_ms, "");
    for columns in samples.chunks(COLUMNS) {
        draw(columns, high - low, low, now_s, &mut text);
    }
    text
}

/// Draws some samples, the age of each below it from top to bottom.
fn draw(samples: &[Sample], range: u64, low: u64, now_s: u64, text: &mut String) {
    // Each row has as many steps as there are characters for a column's top.
    let steps = ROWS * TOPS.len() as u64;
    let height = |sample: &Sample| ((sample.ms - low) * steps / range.max(1)).min(steps - 1);
    for row in (0..ROWS).rev() {
        for sample in samples {
            let (top, step) = (height(sample) / TOPS.len() as u64, height(sample) as usize % TOPS.len());
            text.push(match top.cmp(&row) {
                std::cmp::Ordering::Greater => '|',
                std::cmp::Ordering::Equal => TOPS[step],
                std::cmp::Ordering::Less => ' ',
            });
        }
        text.push('\n');
    }
    let ages: Vec<String> = samples.iter().map(|sample| age(now_s.saturating_sub(sample.at_s))).collect();
    let longest = ages.iter().map(String::len).max().unwrap_or(0);
    text.push('\n');
    for line in 0..longest {
        text.extend(ages.iter().map(|age| age.chars().nth(line).unwrap_or(' ')));
        text.push('\n');
    }
}

/// A time span in its largest unit, as `25s`, `3m`, `2h`, `1d`.
fn age(s: u64) -> String {
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m", s / 60),
        3_600..86_400 => format!("{}h", s / 3_600),
        _ => format!("{}d", s / 86_400),
    }
}

/// What LATENCY DOCTOR looks at beside the events.
#[derive(Debug)]
pub struct Patient {
    /// `latency.monitor_threshold` in ms, if it is not off.
    pub threshold_ms: Option<u64>,
    /// Where most of the time of the slow requests that are logged passed: nodes' part and Circlet's own, µs.
    pub parts_us: (u64, u64),
    /// The node that most of them waited for.
    pub slowest: Option<String>,
}

/// LATENCY DOCTOR.
#[must_use]
pub fn report(events: &Events, patient: &Patient) -> String {
    let Some(threshold) = patient.threshold_ms else {
        return "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Circlet. Set \
                latency.monitor_threshold (such as \"100ms\") in its configuration to enable it.\n"
            .to_owned();
    };
    if events.all().len() == 0 {
        return format!(
            "Dave, no request took {threshold} ms or longer since this Circlet started or LATENCY RESET was given. \
             There is nothing to worry about.\n"
        );
    }
    let mut text = "Dave, I have observed latency spikes in this Circlet. You don't mind talking about it, do you \
                    Dave?\n\n"
        .to_owned();
    for (number, (name, event)) in events.all().enumerate() {
        let _ = writeln!(text, "{}. {name}: {}", number + 1, summary(event));
    }
    text.push_str("\nI have a few advices for you:\n\n");
    let (node_us, own_us) = patient.parts_us;
    if let Some(slowest) = &patient.slowest {
        let _ = writeln!(
            text,
            "- Most of the slow requests that SLOWLOG holds waited for node {slowest}; look at that one first."
        );
    }
    if own_us > node_us {
        text.push_str(
            "- They spent more time inside Circlet than at nodes: requests wait for full connections (see pipe.max_in_flight) \
             or for processor time. More workers, or fewer requests per client at a time, may help.\n",
        );
    } else {
        text.push_str(
            "- They spent most of their time at the nodes: SLOWLOG GET names the commands and the node of each, the node's \
             own SLOWLOG and LATENCY DOCTOR (connect to it directly) tell why.\n",
        );
    }
    text.push_str(
        "- Commands over many elements (KEYS, SMEMBERS, HGETALL, LRANGE 0 -1, large DEL) hold up everybody at their node; \
         SCAN and its kin, UNLINK and smaller values do not.\n",
    );
    text
}

/// One event in a line.
fn summary(event: &Event) -> String {
    let count = event.samples.len() as u64;
    let sum: u64 = event.samples.iter().map(|sample| sample.ms).sum();
    let average = sum / count.max(1);
    let deviation: u64 = event.samples.iter().map(|sample| sample.ms.abs_diff(average)).sum::<u64>() / count.max(1);
    let span = match (event.samples.front(), event.samples.back()) {
        (Some(first), Some(last)) => last.at_s - first.at_s,
        _ => 0,
    };
    let period = span as f64 / (count.max(2) - 1) as f64;
    format!(
        "{count} latency spikes (average {average}ms, mean deviation {deviation}ms, period {period:.2} sec). \
         Worst all time event {}ms.",
        event.worst_ms
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Events {
        let mut events = Events::default();
        for (at_s, ms) in [(97, 150), (98, 50), (99, 500)] {
            events.note("command", at_s, ms);
        }
        events
    }

    #[test]
    fn a_graph_shows_the_highest_highest() {
        let events = events();
        let drawn = graph("command", events.get(b"command").unwrap().1, 100);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "command - high 500 ms, low 50 ms (all time high 500 ms)");
        assert_eq!(lines[1], "-".repeat(80));
        assert_eq!(&lines[2..], ["  #", "  |", "  |", "#_|", "", "321", "sss"]);
    }

    #[test]
    fn the_report_counts_and_says_where_the_time_went() {
        let patient = |own| Patient { threshold_ms: Some(20), parts_us: (1_000, own), slowest: Some("cache-b".into()) };
        let text = report(&events(), &patient(10));
        assert!(text.contains("1. command: 3 latency spikes (average 233ms, mean deviation 177ms, period 1.00 sec)."));
        assert!(text.contains("waited for node cache-b") && text.contains("at the nodes"), "{text}");
        assert!(report(&events(), &patient(2_000)).contains("inside Circlet"));
        assert!(report(&Events::default(), &patient(0)).contains("nothing to worry about"));
        let off = Patient { threshold_ms: None, parts_us: (0, 0), slowest: None };
        assert!(report(&events(), &off).contains("disabled"));
    }
}
