//! The numbers of INFO: exact decimals with up to six places, as Redis prints them.
//!
//! Sums of counters must not lose their last digits, as they would in an `f64`. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;

/// One millionth is the unit: `used_cpu_user:0.013115`.
const PLACES: usize = 6;

/// Longest whole part: all 64-bit numbers; sums of very many such values stay far inside an `i128`.
const DIGITS: usize = 20;

/// A number and how many places it is printed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    millionths: i128,
    places: usize,
}

impl Decimal {
    /// Reads `-12`, `0.05`; nothing else.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let dot = digits.iter().position(|&byte| byte == b'.');
        let (whole, part) = match dot {
            Some(at) => (&digits[..at], &digits[at + 1..]),
            None => (digits, &b""[..]),
        };
        let bad_part = part.len() > PLACES || (dot.is_some() && part.is_empty());
        if whole.is_empty() || whole.len() > DIGITS || bad_part {
            return None;
        }
        let zeros = [b'0'; PLACES];
        let mut millionths = 0_i128;
        for &byte in whole.iter().chain(part).chain(&zeros[part.len()..]) {
            if !byte.is_ascii_digit() {
                return None;
            }
            millionths = millionths * 10 + i128::from(byte - b'0');
        }
        Some(Self { millionths: if negative { -millionths } else { millionths }, places: part.len() })
    }

    /// All of `values`, when every one is a number.
    pub(super) fn parse_all(values: &[&[u8]]) -> Option<Vec<Self>> {
        values.iter().map(|value| Self::parse(value)).collect()
    }

    /// The sum, with the places of the most exact value.
    pub(super) fn sum(values: &[Self]) -> Self {
        values.iter().fold(Self { millionths: 0, places: 0 }, |sum, value| Self {
            millionths: sum.millionths.saturating_add(value.millionths),
            places: sum.places.max(value.places),
        })
    }

    /// Whether it is 0.
    pub(super) const fn is_zero(self) -> bool {
        self.millionths == 0
    }

    /// For ratios and for people.
    pub(super) fn approximate(self) -> f64 {
        self.millionths as f64 / 1e6
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.millionths, self.places).cmp(&(other.millionths, other.places))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.millionths < 0 { "-" } else { "" };
        let (whole, part) = (self.millionths.unsigned_abs() / 1_000_000, self.millionths.unsigned_abs() % 1_000_000);
        let part = format!("{part:06}");
        if self.places == 0 { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{}", &part[..self.places]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were() {
        for text in ["0", "7", "-1", "0.00", "0.013115", "3.007", "-0.5", "18446744073709551615"] {
            assert_eq!(Decimal::parse(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "1.", ".5", "1.2.3", "7.0.15", "1K", "12%", "+1", " 1", "1e5", "0.1234567", "nan"] {
            assert_eq!(Decimal::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Decimal::parse(&[b'9'; 21]), None);
    }

    #[test]
    fn sums_are_exact() {
        let values: Vec<&[u8]> = vec![b"18446744073709551615", b"18446744073709551615", b"0.01"];
        let sum = Decimal::sum(&Decimal::parse_all(&values).unwrap());
        assert_eq!(sum.to_string(), "36893488147419103230.01");
    }
}
