//! A plan as the reply of `CIRCLET PLAN`: a flat list of field and value for the whole, then one for each pair of nodes.
//!
//! What is not known is nil. In RESP3 the lists are maps. [`Plan::from_frame`] reads it back, as `circlet plan` does. Pure.

use redis_protocol::resp2::types::OwnedFrame;

use super::{Pair, Plan, Seat};
use crate::traffic::resp::{Fields, Proto, encode};

impl Plan {
    /// The reply.
    #[must_use]
    pub fn reply(&self, proto: Proto) -> Vec<u8> {
        let mut out = Vec::new();
        encode::array_header(&mut out, 1 + self.pairs.len());
        self.summary(&mut out, proto);
        self.pairs.iter().for_each(|pair| pair.write(&mut out, proto));
        out
    }

    fn summary(&self, out: &mut Vec<u8>, proto: Proto) {
        let mut map = Fields::new(proto);
        map.double("share", self.share);
        map.double("least", self.least);
        map.double("lost", self.lost);
        map.number("arcs", self.arcs);
        map.maybe_number("keys", signed(self.keys));
        map.maybe_number("bytes", signed(self.bytes));
        map.maybe_number("seconds", signed(self.seconds));
        map.number("parts", self.parts);
        map.list("warnings", self.warnings.len(), |out| {
            self.warnings.iter().for_each(|warning| encode::bulk(out, warning.as_bytes()));
        });
        map.list("nodes", self.nodes.len(), |out| self.nodes.iter().for_each(|seat| seat.write(out, proto)));
        map.end(out);
    }

    /// Reads the reply in RESP2; fields that are not known are passed over. `None`: it is no plan.
    #[must_use]
    pub fn from_frame(frame: OwnedFrame) -> Option<Self> {
        let OwnedFrame::Array(lists) = frame else { return None };
        let mut lists = lists.into_iter().map(Map::of);
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
            plan.nodes.push(Seat::read(&Map::of(seat.clone())?)?);
        }
        for pair in lists {
            plan.pairs.push(Pair::read(&pair?)?);
        }
        Some(plan)
    }
}

impl Seat {
    fn write(&self, out: &mut Vec<u8>, proto: Proto) {
        let mut map = Fields::new(proto);
        map.text("name", &self.name);
        map.text("address", &self.address);
        map.double("before", self.before);
        map.double("after", self.after);
        map.maybe_number("keys", signed(self.keys));
        map.maybe_number("head-room", self.head_room);
        map.end(out);
    }

    fn read(fields: &Map) -> Option<Self> {
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
    fn write(&self, out: &mut Vec<u8>, proto: Proto) {
        let mut map = Fields::new(proto);
        map.text("from", &self.from);
        map.text("to", &self.to);
        map.double("share", self.share);
        map.number("arcs", self.arcs);
        map.maybe_number("keys", signed(self.keys));
        map.maybe_number("bytes", signed(self.bytes));
        map.maybe_number("seconds", signed(self.seconds));
        map.maybe_number("head-room", self.head_room);
        map.end(out);
    }

    fn read(fields: &Map) -> Option<Self> {
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

fn signed(value: Option<u64>) -> Option<i64> {
    value.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
}

/// A map that is read: names and values in turn.
struct Map(Vec<OwnedFrame>);

impl Map {
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
