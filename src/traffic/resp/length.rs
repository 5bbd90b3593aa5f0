//! The number in a RESP header: the digits between the type byte and CR LF.
//!
//! Both scanners read it in place. `read` is the fast path: it knows only a whole, plain, non-negative number and
//! says `None` to everything else, for which the callers have a slow path. `strict` is the slow path's full grammar,
//! the one of Redis's string2ll: no sign but '-', no leading zeros, no blanks. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// More digits are left to the slow path; ten hold every length that any limit allows.
const MOST_DIGITS: usize = 10;

/// The number that begins at `at` and the offset behind its CR LF, if it is whole and plain.
#[inline(always)]
pub(super) fn read(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    // Nearly all headers have one or two digits: two compares beat a loop.
    match *rest {
        [a @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(a), at + 3)),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(a) * 10 + digit(b), at + 4)),
        [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9', ..] => read_long(rest, at),
        _ => None,
    }
}

/// Three digits and more; the caller has seen that the first three are digits and the first is not zero.
fn read_long(rest: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, &byte) in rest.iter().take(MOST_DIGITS + 1).enumerate() {
        if !byte.is_ascii_digit() {
            return (byte == b'\r' && rest.get(index + 1) == Some(&b'\n')).then_some((value, at + index + 2));
        }
        value = value * 10 + digit(byte);
    }
    None
}

fn digit(byte: u8) -> usize {
    usize::from(byte - b'0')
}

/// The whole of `text` as a number, by Redis's strict rules.
pub(super) fn strict(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'0'] => return Some(0),
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    digits.iter().try_fold(0i64, |value, byte| {
        let digit = i64::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
        let shifted = value.checked_mul(10)?;
        // Counting downwards for negatives reaches i64::MIN.
        if negative { shifted.checked_sub(digit) } else { shifted.checked_add(digit) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_are_read_in_place() {
        assert_eq!(read(b"$0\r\n", 1), Some((0, 4)));
        assert_eq!(read(b"$7\r\nxx", 1), Some((7, 4)));
        assert_eq!(read(b"*42\r\n", 1), Some((42, 5)));
        assert_eq!(read(b"*536870912\r\n", 1), Some((536_870_912, 12)));
        assert_eq!(read(b"*9999999999\r\n", 1), Some((9_999_999_999, 13)));
    }

    #[test]
    fn everything_else_is_left_to_the_slow_path() {
        for header in [
            "$",
            "$1",
            "$1\r",
            "$12",
            "$123",
            "$123\r",
            "$\r\n",
            "$-1\r\n",
            "$01\r\n",
            "$001\r\n",
            "$+1\r\n",
            "$1\n",
            "$1\rx",
            "$1x\r\n",
            "$12x\r\n",
            "$123x\r\n",
            "$12345678901\r\n",
            "$ 1\r\n",
        ] {
            assert_eq!(read(header.as_bytes(), 1), None, "{header:?}");
        }
        assert_eq!(read(b"$", 7), None);
    }

    #[test]
    fn strict_numbers_are_those_of_string2ll() {
        for value in [0, 1, -1, 10, -10, 1_234_567, i64::MAX, i64::MIN] {
            assert_eq!(strict(value.to_string().as_bytes()), Some(value));
        }
        for text in
            ["", "-", "-0", "00", "01", "-01", "+1", " 1", "1 ", "1a", "9223372036854775808", "-9223372036854775809"]
        {
            assert_eq!(strict(text.as_bytes()), None, "{text:?}");
        }
    }
}
