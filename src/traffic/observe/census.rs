//! What the nodes were found to be when they were last asked: whether they answer, and what they say of themselves.
//!
//! The control plane's probe writes it, `CIRCLET NODES` and the admin address read it; no request does. One [`Report`] per
//! node, by its [`NodeId`]. Pure: time comes in, ms since 1970.

use crate::traffic::route::NodeId;

/// What the failure detector thinks of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is up for writes.
    Up,
    /// Answers are missing; it may be down.
    Suspect,
    /// It is not up for writes.
    Down,
}

impl Standing {
    /// All, in the order of their index.
    pub const ALL: [Self; 3] = [Self::Up, Self::Suspect, Self::Down];

    /// Its name.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
        }
    }
}

/// One node's report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What is thought of it; `None`: nothing yet.
    pub standing: Option<Standing>,
    /// Whether it answers its control connection; `None`: it was not tried yet.
    pub answers: Option<bool>,
    /// Since when that is so.
    pub since_ms: u64,
    /// Why it does not; empty while it does.
    pub why: String,
    /// The time that it took for a trivial answer, µs; 0 while it was not measured.
    pub answer_us: u64,
    /// What it said of itself last; kept when it is gone.
    pub said: Option<Said>,
}

/// What a node says of itself in INFO.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// When.
    pub at_ms: u64,
    /// `redis_version`.
    pub version: String,
    /// `role`.
    pub role: String,
    /// `uptime_in_seconds`.
    pub uptime_s: u64,
    /// `used_memory`.
    pub memory: u64,
    /// `maxmemory`; 0: no limit.
    pub max_memory: u64,
    /// Keys of all databases.
    pub keys: u64,
    /// `connected_clients`.
    pub clients: u64,
    /// `instantaneous_ops_per_sec`.
    pub ops_per_s: u64,
    /// `evicted_keys`.
    pub evicted: u64,
    /// Processor time so far, µs.
    pub cpu_us: u64,
    /// Processor time per time since it was asked before, 1.0 for a whole core; `None`: it was not.
    pub cpu: Option<f64>,
}

/// All nodes' reports.
#[derive(Clone, Debug, Default)]
pub struct Census(Vec<Report>);

impl Census {
    /// The report on `node`; an empty one if there is none yet.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Report {
        self.0.get(node.index()).cloned().unwrap_or_default()
    }

    /// Whether `node` answered its control connection when it was last tried.
    #[must_use]
    pub fn answers(&self, node: NodeId) -> bool {
        self.0.get(node.index()).is_some_and(|report| report.answers == Some(true))
    }

    /// What is thought of each node, by its slot.
    #[must_use]
    pub fn standings(&self) -> Vec<Option<Standing>> {
        self.0.iter().map(|report| report.standing).collect()
    }

    /// The report on `node`, to be written.
    pub fn entry(&mut self, node: NodeId) -> &mut Report {
        if self.0.len() <= node.index() {
            self.0.resize_with(node.index() + 1, Report::default);
        }
        &mut self.0[node.index()]
    }
}

impl Report {
    /// It answers, or does not because of `why`; since `at_ms`, if that is news.
    pub fn set_answers(&mut self, answers: bool, why: &str, at_ms: u64) {
        if self.answers != Some(answers) {
            self.since_ms = at_ms;
        }
        self.answers = Some(answers);
        why.clone_into(&mut self.why);
    }

    /// Takes in what it says of itself.
    pub fn set_said(&mut self, mut said: Said) {
        if let Some(before) = &self.said
            && said.uptime_s >= before.uptime_s
            && let (Some(us), Some(ms)) =
                (said.cpu_us.checked_sub(before.cpu_us), said.at_ms.checked_sub(before.at_ms).filter(|ms| *ms > 0))
        {
            said.cpu = Some(us as f64 / 1_000.0 / ms as f64);
        }
        self.said = Some(said);
    }
}

impl Said {
    /// Reads an INFO text; what is missing is 0 or empty.
    #[must_use]
    pub fn read(info: &str, at_ms: u64) -> Self {
        let mut said = Self { at_ms, ..Self::default() };
        for (name, value) in info.lines().filter_map(|line| line.trim_end().split_once(':')) {
            let number = || value.parse().unwrap_or(0);
            let micros = || (value.parse::<f64>().unwrap_or(0.0).max(0.0) * 1e6) as u64;
            match name {
                "redis_version" => said.version = value.chars().take(40).collect(),
                "role" => said.role = value.chars().take(20).collect(),
                "uptime_in_seconds" => said.uptime_s = number(),
                "used_memory" => said.memory = number(),
                "maxmemory" => said.max_memory = number(),
                "connected_clients" => said.clients = number(),
                "instantaneous_ops_per_sec" => said.ops_per_s = number(),
                "evicted_keys" => said.evicted = number(),
                "used_cpu_sys" | "used_cpu_user" => said.cpu_us = said.cpu_us.saturating_add(micros()),
                _ if name.strip_prefix("db").is_some_and(|number| number.parse::<u32>().is_ok()) => {
                    said.keys = said.keys.saturating_add(keys(value));
                }
                _ => {}
            }
        }
        said
    }
}

/// The keys of a line such as `keys=3,expires=0,avg_ttl=0`.
fn keys(line: &str) -> u64 {
    line.split(',').find_map(|field| field.strip_prefix("keys=")?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:90\r\n# Memory\r\nused_memory:1048576\r\n\
                        maxmemory:0\r\nrole:master\r\nconnected_clients:4\r\ninstantaneous_ops_per_sec:12\r\n\
                        used_cpu_sys:1.500000\r\nused_cpu_user:0.250000\r\nused_cpu_sys_children:9.0\r\n\
                        db0:keys=3,expires=0,avg_ttl=0\r\ndb11:keys=4,expires=1,avg_ttl=7\r\ndbx:keys=9\r\n";

    #[test]
    fn an_info_is_read_and_its_load_is_of_two() {
        let said = Said::read(INFO, 5_000);
        assert_eq!(
            (said.version.as_str(), said.role.as_str(), said.keys, said.memory),
            ("7.0.15", "master", 7, 1 << 20)
        );
        assert_eq!((said.clients, said.ops_per_s, said.cpu_us, said.cpu), (4, 12, 1_750_000, None));
        let mut census = Census::default();
        let report = census.entry(NodeId(3));
        report.set_said(said.clone());
        report.set_said(Said { at_ms: 7_000, cpu_us: 2_750_000, ..said.clone() });
        assert_eq!(report.said.as_ref().unwrap().cpu, Some(0.5));
        // A server that has restarted counts anew.
        report.set_said(Said { at_ms: 8_000, cpu_us: 3_000_000, uptime_s: 1, ..said });
        assert_eq!(report.said.as_ref().unwrap().cpu, None);
        assert_eq!((census.of(NodeId(0)), census.of(NodeId(99))), (Report::default(), Report::default()));
    }

    #[test]
    fn nonsense_is_nothing() {
        for info in
            ["", "redis_version", ":::", "used_memory:x\r\nused_cpu_sys:-1\r\nused_cpu_user:NaN", "db0:\r\ndb1:keys=-"]
        {
            assert_eq!(Said::read(info, 0), Said::default(), "{info}");
        }
    }

    #[test]
    fn since_is_when_it_changed() {
        let mut report = Report::default();
        report.set_answers(false, "connection refused", 1);
        report.set_answers(false, "timeout", 2);
        assert_eq!((report.since_ms, report.why.as_str()), (1, "timeout"));
        report.set_answers(true, "", 3);
        assert_eq!((report.since_ms, report.why.as_str(), report.answers), (3, "", Some(true)));
    }
}
