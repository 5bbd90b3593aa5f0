//! What `circlet ring` tells, as text and as JSON. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::plan::Plan;
use crate::{
    cli::bars,
    config::{Config, Distribution},
    traffic::route::{
        Ring,
        ring::{Place, Trace},
    },
};

/// Everything that is to be told.
pub(super) struct Report<'a> {
    config: &'a Config,
    shares: Vec<f64>,
    keys: Vec<(&'a [u8], Trace<'a>)>,
    plan: Option<Plan>,
}

impl<'a> Report<'a> {
    /// Looks up the keys and thinks the plan through; an `Err` is what is wrong in the plan.
    pub(super) fn of(config: &'a Config, keys: &[&'a [u8]], plan: Option<&str>) -> Result<Self, String> {
        let ring: Ring = config.ring().map_err(|error| error.to_string())?;
        let plan = plan.map(|changes| Plan::of(config, &ring, changes)).transpose()?;
        let keys = keys.iter().map(|&key| (key, ring.trace(key))).collect();
        Ok(Self { config, shares: ring.shares().to_vec(), keys, plan })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title());
        for line in bars::shares(&self.config.nodes, &self.shares).lines() {
            text += &format!("  {line}\n");
        }
        for (key, trace) in &self.keys {
            text += "\n";
            text += &self.way(key, trace);
        }
        if let Some(plan) = &self.plan {
            text += "\n";
            text += &self.planned(plan);
        }
        text
    }

    fn title(&self) -> String {
        let hash = self.config.key_hash.name();
        match self.config.distribution {
            Distribution::Xxh3 => format!("xxh3, {} points for a weight of 1", self.config.points_per_weight),
            Distribution::Ketama => format!("ketama over {hash}, as twemproxy"),
            Distribution::Modula => format!("modula over {hash}, as twemproxy"),
            Distribution::Random => "random: each key of each request goes to any node".to_owned(),
        }
    }

    /// The name of the hash, and the hash in its width.
    fn hash(&self, hash: u64) -> String {
        match self.config.distribution {
            Distribution::Xxh3 => format!("xxh3 0x{hash:016x}"),
            _ => format!("{} 0x{hash:08x}", self.config.key_hash.name()),
        }
    }

    /// The way of one key, line by line.
    fn way(&self, key: &[u8], trace: &Trace<'_>) -> String {
        let mut text = format!("{}\n", key.escape_ascii());
        let mut line = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {name:<7} {value}");
        };
        if trace.place == Place::Any {
            line("node", "any, and another one next time".to_owned());
            return text;
        }
        if trace.hashed == key {
            line("hashed", "the whole key, for it has no hash tag".to_owned());
        } else {
            line("hashed", format!("{} (its hash tag)", trace.hashed.escape_ascii()));
        }
        line("hash", self.hash(trace.hash));
        match trace.place {
            Place::Arc(arc) => {
                let at = if self.config.distribution == Distribution::Xxh3 { trace.hash >> 32 } else { trace.hash };
                line("point", format!("0x{at:08x}, in the arc from 0x{:08x} to 0x{:08x}", arc.first, arc.last));
            }
            Place::Slot { slot, of, .. } => line("slot", format!("{slot}, the remainder by {of}")),
            Place::Any => {}
        }
        if let Some(node) = self.owner(trace) {
            line("node", format!("{}  {}", node.name, node.address));
        }
        text
    }

    fn owner(&self, trace: &Trace<'_>) -> Option<&crate::traffic::route::Node> {
        let owner = match trace.place {
            Place::Arc(arc) => arc.owner,
            Place::Slot { owner, .. } => owner,
            Place::Any => return None,
        };
        self.config.nodes.get(owner.index())
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
        text + "\nThey are not moved by this: under the new nodes they are missing until they are written again.\n"
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let nodes = |nodes: &[crate::traffic::route::Node], shares: &[f64]| -> Vec<Value> {
            let row = |(node, share): (&crate::traffic::route::Node, &f64)| json!({ "name": node.name, "address": node.address.to_string(), "weight": node.weight, "share": share });
            nodes.iter().zip(shares).map(row).collect()
        };
        let mut report = json!({
            "distribution": match self.config.distribution {
                Distribution::Xxh3 => "xxh3",
                Distribution::Ketama => "ketama",
                Distribution::Modula => "modula",
                Distribution::Random => "random",
            },
            "nodes": nodes(&self.config.nodes, &self.shares),
        });
        if !self.keys.is_empty() {
            report["keys"] = self.keys.iter().map(|(key, trace)| self.key_json(key, trace)).collect();
        }
        if let Some(plan) = &self.plan {
            let moves: Vec<Value> =
                plan.moves.iter().map(|(from, to, part)| json!({ "from": from, "to": to, "share": part })).collect();
            report["plan"] =
                json!({ "nodes": nodes(&plan.nodes, &plan.shares), "moved": plan.moved(), "moves": moves });
        }
        format!("{report:#}")
    }

    /// Bytes that are no text are escaped as in the text for people.
    fn key_json(&self, key: &[u8], trace: &Trace<'_>) -> Value {
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.escape_ascii().to_string(),
        };
        let mut row = json!({ "key": text(key), "node": self.owner(trace).map(|node| &node.name) });
        if trace.place != Place::Any {
            row["hashed"] = text(trace.hashed).into();
            row["hash"] = self.hash(trace.hash).into();
        }
        match trace.place {
            Place::Arc(arc) => row["arc"] = json!({ "first": arc.first, "last": arc.last }),
            Place::Slot { slot, of, .. } => row["slot"] = json!({ "number": slot, "of": of }),
            Place::Any => {}
        }
        row
    }
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
            assert!(report.text().contains(if field == "node" { "any, and another one" } else { "  hash" }));
        }
    }
}
