//! LATENCY: latency events and histograms that Circlet measured, in Redis's shapes.
//!
//! Histograms are those of the metrics: what the nodes took, in buckets that double; the numbers of other workers are at
//! most one tick old.

use crate::traffic::{
    client::ClientKey,
    command::Local,
    core::{Core, request::Request},
    counters::latency_bound_us,
    observe::{
        Tally,
        doctor::{self, Patient},
    },
    refusal::Refusal,
    resp::{Proto, encode},
};

impl Core {
    pub(super) fn local_latency(&mut self, key: ClientKey, request: Request<'_>, which: Local) {
        let journal = std::sync::Arc::clone(&self.journal);
        let names: Vec<&[u8]> = (2..request.args.len()).map(|index| request.arg(index)).collect();
        match which {
            Local::LatencyLatest => self.answer(key, |out| {
                let events = journal.events();
                encode::array_header(out, events.all().len());
                for (name, event) in events.all() {
                    let Some(last) = event.samples.back() else { continue };
                    encode::array_header(out, 4);
                    encode::bulk(out, name.as_bytes());
                    encode::integer(out, last.at_s as i64);
                    encode::integer(out, last.ms as i64);
                    encode::integer(out, event.worst_ms as i64);
                }
            }),
            Local::LatencyHistory => self.answer(key, |out| {
                let events = journal.events();
                let samples = events.get(request.arg(2)).map(|(_, event)| &event.samples);
                encode::array_header(out, samples.map_or(0, std::collections::VecDeque::len));
                for sample in samples.into_iter().flatten() {
                    encode::array_header(out, 2);
                    encode::integer(out, sample.at_s as i64);
                    encode::integer(out, sample.ms as i64);
                }
            }),
            Local::LatencyReset => {
                let count = journal.events().reset(&names);
                self.answer(key, |out| encode::integer(out, count as i64));
            }
            Local::LatencyGraph => self.latency_graph(key, request.arg(2)),
            Local::LatencyHistogram => self.latency_histogram(key, &names),
            _ => self.latency_doctor(key),
        }
    }

    fn latency_graph(&mut self, key: ClientKey, name: &[u8]) {
        let now_s = self.unix_s();
        let drawn = self.journal.events().get(name).map(|(name, event)| doctor::graph(name, event, now_s));
        match drawn {
            Some(text) => {
                let proto = self.proto(key);
                self.answer(key, |out| encode::verbatim_text(out, &text, proto));
            }
            None => {
                let text = format!("ERR No samples available for event '{}'", String::from_utf8_lossy(name));
                self.refuse(key, &Refusal::Redis(&text));
            }
        }
    }

    fn latency_doctor(&mut self, key: ClientKey) {
        let mut patient = Patient {
            threshold_ms: self.settings.slow.monitor_threshold.map(|time| time.as_millis() as u64),
            parts_us: (0, 0),
            slowest: None,
        };
        let mut nodes: Vec<(String, usize)> = Vec::new();
        for (_, slow) in self.journal.slow().newest(usize::MAX) {
            patient.parts_us.0 += slow.node_us;
            patient.parts_us.1 += slow.us.saturating_sub(slow.node_us);
            match nodes.iter_mut().find(|(name, _)| *name == slow.node) {
                Some((_, count)) => *count += 1,
                None => nodes.push((slow.node.clone(), 1)),
            }
        }
        let total: usize = nodes.iter().map(|(_, count)| count).sum();
        // One node of one is no news.
        let worst = nodes.into_iter().max_by_key(|(_, count)| *count);
        patient.slowest = worst.filter(|(_, count)| self.nodes().len() > 1 && count * 2 > total).map(|(name, _)| name);
        let text = doctor::report(&self.journal.events(), &patient);
        let proto = self.proto(key);
        self.answer(key, |out| encode::verbatim_text(out, &text, proto));
    }

    /// `LATENCY HISTOGRAM [command …]`: of a container all its sub-commands; unknown names are left out.
    fn latency_histogram(&mut self, key: ClientKey, names: &[&[u8]]) {
        self.publish_commands();
        let wanted = |command: &str| {
            let container = command.split('|').next().unwrap_or(command);
            let is = |name: &&[u8]| {
                name.eq_ignore_ascii_case(command.as_bytes()) || name.eq_ignore_ascii_case(container.as_bytes())
            };
            names.is_empty() || names.iter().any(is)
        };
        let mut commands = self.journal.commands();
        commands.retain(|(name, tally)| tally.node.count() > 0 && wanted(name));
        let proto = self.proto(key);
        self.answer(key, |out| {
            encode::map_header(out, commands.len(), proto);
            for (name, tally) in &commands {
                encode::bulk(out, name.as_bytes());
                histogram(out, tally, proto);
            }
        });
    }
}

/// One command's histogram: only the buckets in which something lies, cumulative.
fn histogram(out: &mut Vec<u8>, tally: &Tally, proto: Proto) {
    encode::map_header(out, 2, proto);
    encode::bulk(out, b"calls");
    encode::integer(out, tally.node.count() as i64);
    encode::bulk(out, b"histogram_usec");
    let filled: Vec<(usize, u64)> =
        tally.node.buckets.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
    encode::map_header(out, filled.len(), proto);
    let mut sum = 0;
    for (bucket, count) in filled {
        sum += count;
        // Times are counted in 32 bits.
        encode::integer(out, latency_bound_us(bucket).unwrap_or(1 << 32) as i64);
        encode::integer(out, sum as i64);
    }
}
