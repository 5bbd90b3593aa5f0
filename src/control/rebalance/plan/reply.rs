//! A plan as the reply of `CIRCLET PLAN`: a flat list of field and value for the whole, then one for each pair of nodes.
//!
//! What is not known is nil. In RESP3 the lists are maps. [`Plan::from_frame`] reads it back, as `circlet plan` does. Pure.

use redis_protocol::resp2::types::OwnedFrame;

use super::{Pair, Plan, Seat};
use crate::traffic::resp::{Proto, encode};

impl Plan {
    /// The reply.
    #[must_use]
    pub fn reply(&self, proto: Proto) -> Vec<u8> {
        let mut out = Vec::new();
        encode::array_header(&mut out, 1 + self.pairs.len());
        self.summary(&mut out, proto);
        for pair in &self.pairs {
            let mut map = Map { out: &mut out, proto };
            map.begin(8);
            map.text("from", &pair.from);
            map.text("to", &pair.to);
            map.double("share", pair.share);
            map.number("arcs", pair.arcs);
            map.maybe("keys", pair.keys);
            map.maybe("bytes", pair.bytes);
            map.maybe("seconds", pair.seconds);
            map.signed("head-room", pair.head_room);
        }
        out
    }

    fn summary(&self, out: &mut Vec<u8>, proto: Proto) {
        let mut map = Map { out, proto };
        map.begin(10);
        map.double("share", self.share);
        map.double("least", self.least);
        map.double("lost", self.lost);
        map.number("arcs", self.arcs);
        map.maybe("keys", self.keys);
        map.maybe("bytes", self.bytes);
        map.maybe("seconds", self.seconds);
        map.number("parts", self.parts);
        map.list("warnings", self.warnings.len());
        self.warnings.iter().for_each(|warning| encode::bulk(map.out, warning.as_bytes()));
        map.list("nodes", self.nodes.len());
        for seat in &self.nodes {
            map.begin(6);
            map.text("name", &seat.name);
            map.text("address", &seat.address);
            map.double("before", seat.before);
            map.double("after", seat.after);
            map.maybe("keys", seat.keys);
            map.signed("head-room", seat.head_room);
        }
    }

    /// Reads the reply in RESP2; fields that are not known are passed over. `None`: it is no plan.
    #[must_use]
    pub fn from_frame(frame: OwnedFrame) -> Option<Self> {
        let OwnedFrame::Array(lists) = frame else { return None };
        let mut lists = lists.into_iter().map(Fields::of);
        let whole = lists.next()??;
        let mut plan = Self {
            share: whole.read("share")?,
            least: whole.read("least")?,
            lost: whole.read("lost")?,
            arcs: whole.read("arcs")?,
            keys: whole.read("keys"),
            bytes: whole.read("bytes"),
            seconds: whole.read("seconds"),
            parts: whole.read("parts")?,
            warnings: whole.list("warnings").iter().filter_map(text).map(str::to_owned).collect(),
            ..Self::default()
        };
        for seat in whole.list("nodes") {
            plan.nodes.push(Seat::read(&Fields::of(seat.clone())?)?);
        }
        for pair in lists {
            plan.pairs.push(Pair::read(&pair?)?);
        }
        Some(plan)
    }
}

impl Seat {
    fn read(fields: &Fields) -> Option<Self> {
        Some(Self {
            name: fields.read("name")?,
            address: fields.read("address")?,
            before: fields.read("before")?,
            after: fields.read("after")?,
            keys: fields.read("keys"),
            head_room: fields.read("head-room"),
        })
    }
}

impl Pair {
    fn read(fields: &Fields) -> Option<Self> {
        Some(Self {
            from: fields.read("from")?,
            to: fields.read("to")?,
            share: fields.read("share")?,
            arcs: fields.read("arcs")?,
            keys: fields.read("keys"),
            bytes: fields.read("bytes"),
            seconds: fields.read("seconds"),
            head_room: fields.read("head-room"),
        })
    }
}

/// A map that is written.
struct Map<'o> {
    out: &'o mut Vec<u8>,
    proto: Proto,
}

impl Map<'_> {
    fn begin(&mut self, fields: usize) {
        encode::map_header(self.out, fields, self.proto);
    }

    fn name(&mut self, name: &str) {
        encode::bulk(self.out, name.as_bytes());
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        encode::bulk(self.out, value.as_bytes());
    }

    fn double(&mut self, name: &str, value: f64) {
        self.name(name);
        encode::double(self.out, value, self.proto);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.maybe(name, Some(value));
    }

    fn maybe(&mut self, name: &str, value: Option<u64>) {
        self.signed(name, value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn signed(&mut self, name: &str, value: Option<i64>) {
        self.name(name);
        match value {
            Some(value) => encode::integer(self.out, value),
            None => encode::null(self.out, self.proto),
        }
    }

    fn list(&mut self, name: &str, len: usize) {
        self.name(name);
        encode::array_header(self.out, len);
    }
}

/// A map that is read: names and values in turn.
struct Fields(Vec<OwnedFrame>);

impl Fields {
    fn of(frame: OwnedFrame) -> Option<Self> {
        match frame {
            OwnedFrame::Array(items) => Some(Self(items)),
            _ => None,
        }
    }

    fn get(&self, name: &str) -> Option<&OwnedFrame> {
        let (pairs, _) = self.0.as_chunks::<2>();
        pairs.iter().find(|[key, _]| text(key) == Some(name)).map(|[_, value]| value)
    }

    /// `None` also for nil.
    fn read<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        match self.get(name)? {
            OwnedFrame::Integer(number) => number.to_string().parse().ok(),
            frame => text(frame)?.parse().ok(),
        }
    }

    fn list(&self, name: &str) -> &[OwnedFrame] {
        match self.get(name) {
            Some(OwnedFrame::Array(items)) => items,
            _ => &[],
        }
    }
}

fn text(frame: &OwnedFrame) -> Option<&str> {
    match frame {
        OwnedFrame::BulkString(bytes) | OwnedFrame::SimpleString(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}
