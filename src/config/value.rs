//! How sizes, durations and permission bits are written: text to value and back.
//!
//! An `Err` is the cure alone, the words after `ring.points is 0; `. Pure.

use std::{ops::RangeInclusive, time::Duration};

use crate::traffic::route::hash_tag::Tag;

/// Units of sizes, largest first: 1 KB is 1024 bytes, as in redis.conf.
const SIZE_UNITS: [(&str, u64); 4] = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];

/// Units of durations in milliseconds, largest first.
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of short durations in microseconds, largest first.
const FINE_UNITS: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Reads a whole number in `range`.
pub(super) fn count(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("use {} to {}", range.start(), range.end())),
    }
}

/// Reads `65536`, `64KB`, `512MB` or `1GB` (any case, a space is allowed) in `range` of bytes.
pub(super) fn size(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let bytes = match text.parse::<u64>() {
        Ok(bytes) => Some(bytes),
        Err(_) => with_unit(text, &SIZE_UNITS),
    };
    match bytes {
        Some(bytes) if range.contains(&bytes) => Ok(bytes),
        Some(_) => Err(format!("use {} to {}", show_size(*range.start()), show_size(*range.end()))),
        None => Err("use bytes or a whole number with KB, MB or GB, such as \"64KB\"".to_owned()),
    }
}

/// Reads `250ms`, `5s`, `2m` or `1h` (a space is allowed) in `range` of milliseconds.
pub(super) fn time(text: &str, range: &RangeInclusive<u64>) -> Result<Duration, String> {
    match with_unit(text, &TIME_UNITS) {
        Some(millis) if range.contains(&millis) => Ok(Duration::from_millis(millis)),
        Some(_) => Err(format!("use \"{}\" to \"{}\"", show_millis(*range.start()), show_millis(*range.end()))),
        None => Err("use a whole number with ms, s, m or h, such as \"250ms\" or \"5s\"".to_owned()),
    }
}

/// Reads `500us`, `10ms`, `1s` … (a space is allowed) in `range` of microseconds.
pub(super) fn fine_time(text: &str, range: &RangeInclusive<u64>) -> Result<Duration, String> {
    match with_unit(text, &FINE_UNITS) {
        Some(micros) if range.contains(&micros) => Ok(Duration::from_micros(micros)),
        Some(_) => Err(format!("use \"{}\" to \"{}\"", show_micros(*range.start()), show_micros(*range.end()))),
        None => Err("use a whole number with us, ms, s, m or h, such as \"500us\" or \"10ms\"".to_owned()),
    }
}

/// Reads permission bits as `chmod` does: `660`.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && text.len() <= 4 && !text.starts_with('+') => Ok(mode),
        _ => Err("use octal permission bits such as \"660\" (owner and group may connect)".to_owned()),
    }
}

/// Reads a hash tag: two characters of one byte each, such as `{}`; empty for none.
pub(super) fn hash_tag(text: &str) -> Result<Option<Tag>, String> {
    match *text.as_bytes() {
        [] => Ok(None),
        [open, close] => Ok(Some(Tag { open, close })),
        _ => Err("use two characters such as \"{}\", or \"\" for none".to_owned()),
    }
}

/// A hash tag as [`hash_tag`] reads it.
pub(super) fn show_hash_tag(tag: Option<Tag>) -> String {
    tag.map_or_else(String::new, |tag| String::from_utf8_lossy(&[tag.open, tag.close]).into_owned())
}

/// A size in the largest unit that divides it.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZE_UNITS).unwrap_or_else(|| "0B".to_owned())
}

/// A duration in the largest unit that divides it.
pub(super) fn show_time(time: Duration) -> String {
    show_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// A short duration in the largest unit that divides it.
pub(super) fn show_fine_time(time: Duration) -> String {
    show_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

fn show_micros(micros: u64) -> String {
    show(micros, &FINE_UNITS).unwrap_or_else(|| "0us".to_owned())
}

fn show_millis(millis: u64) -> String {
    show(millis, &TIME_UNITS).unwrap_or_else(|| "0s".to_owned())
}

fn show(number: u64, units: &[(&str, u64)]) -> Option<String> {
    let (unit, factor) = units.iter().find(|(_, factor)| number > 0 && number.is_multiple_of(*factor))?;
    Some(format!("{}{unit}", number / factor))
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: RangeInclusive<u64> = 0..=u64::MAX;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes, shown) in [
            ("0", 0, "0B"),
            ("100", 100, "100B"),
            ("64KB", 65_536, "64KB"),
            ("64 kb", 65_536, "64KB"),
            ("65536", 65_536, "64KB"),
            ("512MB", 512 << 20, "512MB"),
            ("1024MB", 1 << 30, "1GB"),
            ("1500B", 1_500, "1500B"),
        ] {
            assert_eq!(size(text, &ALL), Ok(bytes), "{text}");
            assert_eq!(show_size(bytes), shown);
        }
        for text in ["", "KB", "-1", "-1KB", "1.5GB", "64K", "1 GB GB", "99999999999999GB", "٣KB"] {
            assert!(size(text, &ALL).unwrap_err().contains("\"64KB\""), "{text}");
        }
        assert_eq!(size("1GB", &(1..=2_048)).unwrap_err(), "use 1B to 2KB");
    }

    #[test]
    fn durations_are_read_and_shown() {
        for (text, millis, shown) in [
            ("0s", 0, "0s"),
            ("250ms", 250, "250ms"),
            ("5s", 5_000, "5s"),
            ("5000ms", 5_000, "5s"),
            ("90s", 90_000, "90s"),
            ("2m", 120_000, "2m"),
            ("1 h", 3_600_000, "1h"),
        ] {
            assert_eq!(time(text, &ALL), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(show_time(Duration::from_millis(millis)), shown);
        }
        for text in ["", "5", "s", "-5s", "1.5s", "5 minutes", "18446744073709551615h"] {
            assert!(time(text, &ALL).unwrap_err().contains("\"250ms\""), "{text}");
        }
        assert_eq!(time("1ms", &(10..=60_000)).unwrap_err(), "use \"10ms\" to \"1m\"");
    }

    #[test]
    fn hash_tags_are_two_bytes_or_none() {
        for text in ["", "{}", "$$", "<>", "\"\\", "é"] {
            assert_eq!(show_hash_tag(hash_tag(text).unwrap()), text);
        }
        for text in ["{", "{{}}", "éé"] {
            assert!(hash_tag(text).unwrap_err().contains("\"{}\""), "{text}");
        }
    }

    #[test]
    fn short_durations_are_read_and_shown() {
        for (text, micros, shown) in
            [("0us", 0, "0us"), ("500us", 500, "500us"), ("10 ms", 10_000, "10ms"), ("1s", 1_000_000, "1s")]
        {
            assert_eq!(fine_time(text, &ALL), Ok(Duration::from_micros(micros)), "{text}");
            assert_eq!(show_fine_time(Duration::from_micros(micros)), shown);
        }
        for text in ["", "5", "-5us", "1.5ms", "5µs"] {
            assert!(fine_time(text, &ALL).unwrap_err().contains("\"500us\""), "{text}");
        }
        assert_eq!(fine_time("2us", &(10..=1_000)).unwrap_err(), "use \"10us\" to \"1ms\"");
    }

    #[test]
    fn counts_and_modes_are_read() {
        assert_eq!(count("7", &(1..=9)), Ok(7));
        for text in ["0", "10", "-1", "1.5", "seven", ""] {
            assert_eq!(count(text, &(1..=9)).unwrap_err(), "use 1 to 9", "{text}");
        }
        assert_eq!(mode("660"), Ok(0o660));
        assert_eq!(mode("0777"), Ok(0o777));
        for text in ["", "888", "1777", "+660", "rw-rw----", "-660", "0000660"] {
            assert!(mode(text).unwrap_err().contains("\"660\""), "{text}");
        }
    }
}
