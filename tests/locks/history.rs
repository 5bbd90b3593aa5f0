//! What clients believed about their locks, and what they wrote while they did; nanoseconds since the round began.

/// A lock that a client was granted, by its own reckoning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub lock: u8,
    pub client: u16,
    /// 0: it was taken in a way that tells none.
    pub fence: u64,
    /// Before this it was not granted: when it was asked for, and the waiting that was told.
    pub since: u64,
    /// When the client knew: from here on it believes.
    pub got: u64,
    /// Until here: its sending time + waited + validity, or when it began to release it.
    pub end: u64,
}

/// Something written to the resource that a lock guards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub lock: u8,
    pub client: u16,
    pub fence: u64,
    /// When the resource decided.
    pub at: u64,
    /// Whether it took it: it had seen no larger fence.
    pub taken: bool,
}

/// All of a round.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub grants: Vec<Grant>,
    pub writes: Vec<Write>,
}

impl Grant {
    /// Whether the client believed in it then.
    pub fn covers(&self, at: u64) -> bool {
        self.got <= at && at < self.end
    }

    /// For people.
    pub fn told(&self) -> String {
        let Self { client, fence, since, got, end, .. } = self;
        let [since, got, end] = [since, got, end].map(|&at| seconds(at));
        format!("client {client}, fence {fence}: granted between {since} s and {got} s, believed until {end} s")
    }
}

impl Write {
    /// For people.
    pub fn told(&self) -> String {
        let Self { client, fence, at, taken, .. } = self;
        format!(
            "client {client} writes with fence {fence} at {} s: {}",
            seconds(*at),
            if *taken { "taken" } else { "refused" }
        )
    }
}

/// Nanoseconds as seconds.
pub fn seconds(ns: u64) -> String {
    format!("{:.4}", ns as f64 / 1e9)
}
