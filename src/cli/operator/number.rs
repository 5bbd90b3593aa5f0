//! Numbers for people. Pure.

/// `1234567` as `1,234,567`; `?` where it is not known.
pub(in crate::cli) fn count(number: Option<u64>) -> String {
    let Some(number) = number else { return "?".to_owned() };
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest unit of which there is at least one; `?` where they are not known.
pub(in crate::cli) fn bytes(number: Option<u64>) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let Some(number) = number else { return "?".to_owned() };
    let (mut value, mut unit) = (number as f64, 0);
    while value >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// Seconds in the two largest units; `?` where they are not known.
pub(in crate::cli) fn time(seconds: Option<u64>) -> String {
    match seconds {
        None => "?".to_owned(),
        Some(seconds @ ..60) => format!("{seconds} s"),
        Some(seconds @ ..3_600) => format!("{} min {} s", seconds / 60, seconds % 60),
        Some(seconds) => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// A part of the whole.
pub(in crate::cli) fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_their_unit() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(|n| count(Some(n))), ["0", "999", "1,000", "1,234,567"]);
        let sizes = [0, 1_023, 1_536, 150 << 20, 3 << 40, u64::MAX].map(|n| bytes(Some(n)));
        assert_eq!(sizes, ["0 B", "1023 B", "1.5 KB", "150 MB", "3.0 TB", "16777216 TB"]);
        let times = [0, 59, 61, 3_600, 90_061].map(|n| time(Some(n)));
        assert_eq!(times, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "25 h 1 min"]);
        assert_eq!((percent(0.24998), count(None)), ("25.00 %".to_owned(), "?".to_owned()));
    }
}
