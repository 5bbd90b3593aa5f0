//! Maps of named values, as Circlet's own commands answer: in RESP2 flat lists of name and value. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Proto, encode};

/// A map that is being written.
#[derive(Debug)]
pub struct Fields {
    proto: Proto,
    count: usize,
    body: Vec<u8>,
}

impl Fields {
    /// Without a field.
    #[must_use]
    pub fn new(proto: Proto) -> Self {
        Self { proto, count: 0, body: Vec::new() }
    }

    /// A field for each of these, all texts.
    #[must_use]
    pub fn of(rows: &[(&str, String)], proto: Proto) -> Self {
        let mut fields = Self::new(proto);
        rows.iter().for_each(|(name, value)| fields.text(name, value));
        fields
    }

    fn name(&mut self, name: &str) {
        self.count += 1;
        encode::bulk(&mut self.body, name.as_bytes());
    }

    /// A field of these bytes.
    pub fn bulk(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        encode::bulk(&mut self.body, value);
    }

    /// A field of this text.
    pub fn text(&mut self, name: &str, value: &str) {
        self.bulk(name, value.as_bytes());
    }

    /// A field of this text, or nil.
    pub fn maybe(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.null(name),
        }
    }

    /// A field of this number; past an i64 the largest one.
    pub fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        encode::integer(&mut self.body, i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// A field of this number.
    pub fn double(&mut self, name: &str, value: f64) {
        self.name(name);
        encode::double(&mut self.body, value, self.proto);
    }

    /// A field of this number, or nil.
    pub fn maybe_number(&mut self, name: &str, value: Option<i64>) {
        self.name(name);
        match value {
            Some(value) => encode::integer(&mut self.body, value),
            None => encode::null(&mut self.body, self.proto),
        }
    }

    /// A field that is nil.
    pub fn null(&mut self, name: &str) {
        self.name(name);
        encode::null(&mut self.body, self.proto);
    }

    /// A list of `len` values, which `write` writes.
    pub fn list(&mut self, name: &str, len: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        encode::array_header(&mut self.body, len);
        write(&mut self.body);
    }

    /// Appends the whole.
    pub fn end(self, out: &mut Vec<u8>) {
        encode::map_header(out, self.count, self.proto);
        out.extend_from_slice(&self.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_as_they_are_written() {
        let mut fields = Fields::of(&[("a", "b".to_owned())], Proto::Resp2);
        fields.maybe_number("n", None);
        fields.maybe_number("i", Some(-1));
        fields.list("l", 1, |out| encode::bulk(out, b"x"));
        let mut out = Vec::new();
        fields.end(&mut out);
        let expected = "*8\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nn\r\n$-1\r\n$1\r\ni\r\n:-1\r\n$1\r\nl\r\n*1\r\n$1\r\nx\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        Fields::new(Proto::Resp3).end(&mut out);
        assert_eq!(out, b"%0\r\n");
    }
}
