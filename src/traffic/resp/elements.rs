//! The values inside a whole reply, for those who merge or rewrite one.
//!
//! A frame that `reply` found whole -> here -> the elements as frames of their own, in place. Where only ends matter,
//! one count for all levels is enough: no stack, no recursion, nothing is allocated. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::head::{Head, head, line_end};
use super::limits::Limits;

/// End of the value that starts at `at` in a complete frame, its attributes included. `None` if it is not whole.
pub fn element_end(buf: &[u8], at: usize, limits: &Limits) -> Option<usize> {
    values_end(buf, at, 1, limits.reply_bulk())
}

/// End of `due` values, whatever their levels.
fn values_end(buf: &[u8], mut at: usize, mut due: usize, longest: usize) -> Option<usize> {
    while due > 0 {
        if at >= buf.len() {
            return None;
        }
        at = match head(buf, at, longest).ok()? {
            Head::Partial => return None,
            Head::Line => at + 1 + line_end(&buf[at + 1..])?,
            Head::Value { next } => next,
            Head::Bulk { len, next } => {
                let end = next.checked_add(len)?;
                (buf.get(end..end.checked_add(2)?)? == b"\r\n").then_some(end + 2)?
            }
            Head::Items { count, next } => {
                due = due.checked_add(count)?;
                next
            }
            Head::Attribute { count, next } => {
                due = due.checked_add(count)?.checked_add(1)?;
                next
            }
        };
        due -= 1;
    }
    Some(at)
}

/// The values directly inside a complete aggregate, each as its own frame; of a map its keys and values in turn.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    frame: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Elements<'a> {
    /// Those of `frame`, which a scanner has found to be whole. `None` if it is no aggregate (or a null one).
    pub fn of(frame: &'a [u8]) -> Option<Self> {
        let mut at = 0;
        while at < frame.len() {
            match head(frame, at, usize::MAX).ok()? {
                Head::Attribute { count, next } => at = values_end(frame, next, count, usize::MAX)?,
                Head::Items { count, next } => return Some(Self { frame, at: next, left: count }),
                Head::Partial | Head::Line | Head::Value { .. } | Head::Bulk { .. } => return None,
            }
        }
        None
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return None;
        }
        let end = values_end(self.frame, self.at, 1, usize::MAX)?;
        let element = self.frame.get(self.at..end)?;
        self.at = end;
        self.left -= 1;
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Elements<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(frame: &'static str) -> Option<Vec<&'static str>> {
        let elements = Elements::of(frame.as_bytes())?;
        let expected = elements.len();
        let found: Vec<&str> = elements.map(|element| std::str::from_utf8(element).unwrap()).collect();
        assert_eq!(found.len(), expected);
        Some(found)
    }

    #[test]
    fn elements_are_frames_in_place() {
        let expected = vec!["$2\r\nab\r\n", "*1\r\n:1\r\n", "$-1\r\n"];
        assert_eq!(elements("*3\r\n$2\r\nab\r\n*1\r\n:1\r\n$-1\r\n"), Some(expected));
        assert_eq!(elements("*0\r\n"), Some(vec![]));
        assert_eq!(elements("~1\r\n_\r\n"), Some(vec!["_\r\n"]));
    }

    #[test]
    fn a_map_gives_keys_and_values_in_turn() {
        assert_eq!(elements("%1\r\n+a\r\n%0\r\n"), Some(vec!["+a\r\n", "%0\r\n"]));
    }

    #[test]
    fn attributes_go_with_what_they_describe() {
        assert_eq!(
            elements("|1\r\n+a\r\n+b\r\n*1\r\n|1\r\n+c\r\n+d\r\n:1\r\n"),
            Some(vec!["|1\r\n+c\r\n+d\r\n:1\r\n"])
        );
    }

    #[test]
    fn scalars_have_no_elements() {
        for frame in ["+OK\r\n", "$2\r\nab\r\n", "*-1\r\n", "_\r\n", ":1\r\n", ""] {
            assert_eq!(elements(frame), None, "{frame:?}");
        }
    }

    #[test]
    fn the_end_of_a_value_is_found_from_its_beginning() {
        let frame = b"*2\r\n*1\r\n+a\r\n$1\r\nb\r\n";
        let limits = Limits::default();
        assert_eq!(element_end(frame, 0, &limits), Some(19));
        assert_eq!(element_end(frame, 4, &limits), Some(12));
        assert_eq!(element_end(frame, 12, &limits), Some(19));
        assert_eq!(element_end(frame, 19, &limits), None);
        assert_eq!(element_end(&frame[..15], 0, &limits), None);
    }
}
