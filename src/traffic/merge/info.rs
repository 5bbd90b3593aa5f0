//! One INFO document of all nodes' INFO documents.
//!
//! texts of the nodes -> sections of fields -> one value per field by its [`rules`] -> text. The document keeps Redis's
//! own form, so that every tool that reads INFO reads this one:
//!
//! ```text
//! # Clients                  # Clients                    # Clients
//! connected_clients:3   +    connected_clients:4    =     connected_clients:7
//! maxclients:10000           maxclients:10000             maxclients:20000
//! ```
//!
//! What is about clients (how many there are, connect, wait) is Circlet's own and stands in the place of the nodes' values
//! ([`Own`]): at a node it would be about Circlet's connections. Sections and fields come in the order of the first node that has them; what only one node tells is kept as it is;
//! what has no rule, or is no number where the rule wants one, keeps the first node's value. Bounded by the texts.
//! Pure. Redis docs: INFO.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod decimal;
mod pairs;
mod rules;

use std::{borrow::Cow, collections::BTreeMap};

use self::rules::Rule;

/// What Circlet itself says in INFO.
#[derive(Debug, Default)]
pub struct Own {
    /// The finished text of the `# Circlet` section, which comes first; empty when it was not asked for.
    pub section: String,
    /// Fields whose values take the place of the nodes'.
    pub fields: Vec<(&'static str, String)>,
}

/// Merges `parts`, the nodes' names and INFO texts, into one text, which is appended to `out`.
pub fn merge(parts: &[(&str, &[u8])], own: &Own, out: &mut Vec<u8>) {
    let begin = out.len();
    if !own.section.is_empty() {
        out.extend_from_slice(own.section.trim_end().as_bytes());
        // Whose figures follow: a node may be up and yet not have answered. The first is the one that wins.
        let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
        out.extend_from_slice(format!("\r\ncirclet_merged_nodes:{}\r\n", names.join(",")).as_bytes());
    }
    for section in sections(parts) {
        if out.len() > begin {
            out.extend_from_slice(b"\r\n");
        }
        section.write(&own.fields, out);
    }
}

/// One section of all nodes.
struct Section<'a> {
    /// The header line, `# Name`; empty for fields in front of the first header.
    header: &'a [u8],
    fields: Vec<Field<'a>>,
    /// Where in `fields` a field stands, by what tells it from the others.
    places: BTreeMap<&'a [u8], usize>,
}

/// One field and the values that the nodes give it, in their order.
struct Field<'a> {
    name: &'a [u8],
    values: Vec<&'a [u8]>,
}

/// Sorts the lines of all texts into sections and fields.
fn sections<'a>(parts: &[(&str, &'a [u8])]) -> Vec<Section<'a>> {
    let mut sections: Vec<Section<'a>> = Vec::new();
    for (_, text) in parts {
        let mut header: &[u8] = b"";
        let mut here = None; // the section that the lines belong to; made when there is a header or a line
        for line in text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty()) {
            if line.starts_with(b"#") {
                header = line;
                here = None;
            }
            let at = *here.get_or_insert_with(|| {
                sections.iter().position(|section| section.header == header).unwrap_or_else(|| {
                    sections.push(Section { header, fields: Vec::new(), places: BTreeMap::new() });
                    sections.len() - 1
                })
            });
            if !line.starts_with(b"#") {
                sections[at].add(line);
            }
        }
    }
    sections
}

impl<'a> Section<'a> {
    /// Notes a node's line.
    fn add(&mut self, line: &'a [u8]) {
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        // Every loaded module has a line of its own under the same name, and each node counts its replicas from 0.
        let identity = if name == b"module" || is_replica(name) { line } else { name };
        let place = *self.places.entry(identity).or_insert_with(|| {
            self.fields.push(Field { name, values: Vec::new() });
            self.fields.len() - 1
        });
        self.fields[place].values.push(value);
    }

    /// Appends the merged section.
    fn write(mut self, own: &[(&str, String)], out: &mut Vec<u8>) {
        if self.header.eq_ignore_ascii_case(b"# Keyspace") {
            // Each node lists only the databases it has.
            self.fields.sort_by_key(|field| (field.name.len(), field.name));
        }
        let rules: Vec<Rule> = self.fields.iter().map(|field| rules::rule_of(field.name)).collect();
        let mut merged: BTreeMap<&[u8], Cow<'_, [u8]>> = BTreeMap::new();
        for (field, rule) in self.fields.iter().zip(&rules) {
            merged.insert(field.name, rule.merge(&field.values));
        }
        if !self.header.is_empty() {
            out.extend_from_slice(self.header);
            out.extend_from_slice(b"\r\n");
        }
        let mut replicas = 0;
        for (field, rule) in self.fields.iter().zip(&rules) {
            let derived = if field.values.len() > 1 { rule.derive(field.name, &merged) } else { None };
            if is_replica(field.name) {
                out.extend_from_slice(format!("slave{replicas}").as_bytes());
                replicas += 1;
            } else {
                out.extend_from_slice(field.name);
            }
            out.push(b':');
            let own = own.iter().find(|(name, _)| name.as_bytes() == field.name);
            out.extend_from_slice(match (own, &derived) {
                (Some((_, value)), _) => value.as_bytes(),
                (None, Some(text)) => text.as_bytes(),
                (None, None) if field.name == b"module" || is_replica(field.name) => field.values[0],
                (None, None) => &merged[field.name],
            });
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// `slave0`, `slave1` …: a replica's line.
fn is_replica(name: &[u8]) -> bool {
    name.strip_prefix(b"slave").is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests;
