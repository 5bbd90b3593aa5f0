//! What `circlet ring` tells, as text and as JSON. Pure.

use serde_json::{Value, json};

use super::plan::Plan;
use crate::{
    cli::bars,
    config::{Config, Distribution},
    traffic::route::{Node, Ring, Way, way::Step},
};

/// Everything that is to be told.
pub(super) struct Report<'a> {
    config: &'a Config,
    shares: Vec<f64>,
    ways: Vec<Way>,
    plan: Option<Plan>,
    /// Nodes that are left out for now, since they are down.
    out: Vec<String>,
}

impl<'a> Report<'a> {
    /// Looks up the keys and thinks the plan through; an `Err` is what is wrong in the plan.
    pub(super) fn of(config: &'a Config, keys: &[&[u8]], plan: Option<&str>) -> Result<Self, String> {
        let ring = config.ring().map_err(|error| error.to_string())?;
        let ways = keys.iter().map(|key| Way::of(&ring, &config.nodes, key)).collect();
        Self::told(config, &ring, ways, plan)
    }

    /// The ways are known; only the plan is thought through.
    pub(super) fn told(config: &'a Config, ring: &Ring, ways: Vec<Way>, plan: Option<&str>) -> Result<Self, String> {
        let plan = plan.map(|changes| Plan::of(config, ring, changes)).transpose()?;
        Ok(Self { config, shares: ring.shares().to_vec(), ways, plan, out: Vec::new() })
    }

    /// The same, of a Circlet that leaves these nodes out for now.
    pub(super) fn without(self, out: Vec<String>) -> Self {
        Self { out, ..self }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.config.scheme().title());
        for line in bars::shares(&self.config.nodes, &self.shares).lines() {
            text += &format!("  {line}\n");
        }
        if !self.out.is_empty() {
            text += &format!("\n  left out since they are down: {}\n", self.out.join(", "));
        }
        for way in &self.ways {
            text += &format!("\n{}", told(way));
        }
        if let Some(plan) = &self.plan {
            text += "\n";
            text += &self.planned(plan);
        }
        text
    }

    fn planned(&self, plan: &Plan) -> String {
        let mut text = "After the change\n\n".to_owned();
        for line in bars::shares(&plan.nodes, &plan.shares).lines() {
            text += &format!("  {line}\n");
        }
        if self.config.distribution == Distribution::Random {
            return text + "\nWith random nobody owns a key, so none changes hands.\n";
        }
        text += &format!("\n{:.2} % of the keys change hands\n\n", plan.moved() * 100.0);
        let width = |name: fn(&(String, String, f64)) -> &String| {
            plan.moves.iter().map(|row| name(row).chars().count()).max().unwrap_or(0)
        };
        let (from_width, to_width) = (width(|row| &row.0), width(|row| &row.1));
        for (from, to, part) in &plan.moves {
            text += &format!("  {from:from_width$} -> {to:to_width$}  {:>6.2} %\n", part * 100.0);
        }
        text + "\nNothing is moved by this. circlet node moves them, in front of a Circlet that runs.\n"
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let nodes = |nodes: &[Node], shares: &[f64]| -> Vec<Value> {
            let row = |(node, share): (&Node, &f64)| json!({ "name": node.name, "address": node.address.to_string(), "weight": node.weight, "share": share });
            nodes.iter().zip(shares).map(row).collect()
        };
        let mut report = json!({
            "distribution": self.config.scheme().name(),
            "nodes": nodes(&self.config.nodes, &self.shares),
        });
        if !self.out.is_empty() {
            report["out"] = self.out.clone().into();
        }
        if !self.ways.is_empty() {
            report["keys"] = self.ways.iter().map(key_json).collect();
        }
        if let Some(plan) = &self.plan {
            let moves: Vec<Value> =
                plan.moves.iter().map(|(from, to, part)| json!({ "from": from, "to": to, "share": part })).collect();
            report["plan"] =
                json!({ "nodes": nodes(&plan.nodes, &plan.shares), "moved": plan.moved(), "moves": moves });
        }
        format!("{report:#}")
    }
}

/// The way of one key, line by line.
fn told(way: &Way) -> String {
    let mut text = format!("{}\n", way.key.escape_ascii());
    let mut line = |name: &str, value: &str| text += &format!("  {name:<7} {value}\n");
    let Some((name, address)) = &way.node else {
        line("node", &way.why());
        return text;
    };
    line("hashed", &way.hashed_part());
    line("hash", &way.hash);
    match way.step {
        Step::Point { at, first, last } => {
            line("point", &format!("0x{at:08x}, in the arc from 0x{first:08x} to 0x{last:08x}"));
        }
        Step::Slot { slot, of } => line("slot", &format!("{slot}, the remainder by {of}")),
        Step::Any => {}
    }
    line("node", &format!("{name}  {address}"));
    text
}

/// Bytes that are no text are escaped as in the text for people.
fn key_json(way: &Way) -> Value {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    };
    let (name, address) = way.node.clone().unzip();
    let mut row = json!({ "key": text(&way.key), "node": name, "address": address, "why": way.why() });
    if way.step != Step::Any {
        row["hashed"] = text(&way.hashed).into();
        row["hash"] = way.hash.clone().into();
    }
    match way.step {
        Step::Point { at, first, last } => {
            row["point"] = at.into();
            row["arc"] = json!({ "first": first, "last": last });
        }
        Step::Slot { slot, of } => row["slot"] = json!({ "number": slot, "of": of }),
        Step::Any => {}
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load};

    fn config(set: &[&str]) -> Config {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let nodes = owned(&["a=127.0.0.1:1", "b=127.0.0.1:2"]);
        load(None, &Overrides { nodes, set: owned(set), ..Overrides::default() }).unwrap()
    }

    #[test]
    fn the_text_tells_shares_ways_and_plan() {
        let config = config(&[]);
        let report = Report::of(&config, &[b"user:{42}:name", b"plain\xFF"], Some("add c=127.0.0.1:3")).unwrap();
        let text = report.text();
        let owner = if config.ring().unwrap().owner_of(b"42").0 == 0 { "a  127.0.0.1:1" } else { "b  127.0.0.1:2" };
        for part in [
            "xxh3, 8192 points for a weight of 1\n\n  a  127.0.0.1:1  weight 1 ",
            "\nuser:{42}:name\n  hashed  42 (its hash tag)\n  hash    xxh3 0x",
            "in the arc from 0x",
            owner,
            "\nplain\\xff\n  hashed  the whole key",
            "After the change\n\n  a  127.0.0.1:1  weight 1 ",
            "% of the keys change hands\n\n  ",
            " -> c  ",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn the_json_tells_the_same() {
        for (set, field) in
            [(&[][..], "arc"), (&["ring.distribution=modula"], "slot"), (&["ring.distribution=random"], "node")]
        {
            let config = config(set);
            let report = Report::of(&config, &[b"k"], Some("remove a")).unwrap();
            let value: Value = serde_json::from_str(&report.json()).unwrap();
            assert_eq!(value["nodes"][1]["address"], "127.0.0.1:2");
            assert!(value["keys"][0].get(field).is_some(), "{value}");
            assert_eq!(value["plan"]["nodes"][0]["name"], "b");
            let moved = value["plan"]["moved"].as_f64().unwrap();
            assert!(if field == "node" { moved == 0.0 } else { (0.3..0.7).contains(&moved) }, "{value}");
            assert!(report.text().contains(if field == "node" { "any node, and another" } else { "  hash" }));
        }
    }
}
