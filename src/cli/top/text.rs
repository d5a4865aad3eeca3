//! Text of others on a terminal: what could move the cursor, colour, hide or turn around is shown by its number, and what is wide
//! takes its two places.

use std::fmt::Write as _;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::shown::is_odd;

/// What stands for what was cut off.
const CUT: char = '…';

/// The text without anything that acts: control characters, marks of direction, and what takes no place.
pub(super) fn plain(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_odd(c) || c.width().unwrap_or(0) == 0 {
            // Writing to a string cannot fail.
            let _written = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// The places that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text in exactly so many places: cut or filled up, at its right or at its left.
pub(super) fn fit(text: &str, places: usize, right: bool) -> String {
    let text = cut(text, places);
    let blank = " ".repeat(places.saturating_sub(width(&text)));
    if right { blank + &text } else { text + &blank }
}

/// The text in so many places at most.
pub(super) fn cut(text: &str, places: usize) -> String {
    if width(text) <= places {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut taken = 0;
    for c in text.chars() {
        let more = c.width().unwrap_or(0);
        if taken + more + 1 > places {
            break;
        }
        taken += more;
        out.push(c);
    }
    if places > 0 {
        out.push(CUT);
    }
    out
}

/// A number with its thousands apart: `12,345`.
pub(super) fn grouped(number: u64) -> String {
    apart(&number.to_string())
}

fn apart(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate: with one figure behind the point where it is small.
pub(super) fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate <= 0.0 => "0".to_owned(),
        Some(rate) if rate < 10.0 => format!("{rate:.1}"),
        Some(rate) => apart(&format!("{rate:.0}")),
    }
}

/// Bytes with their unit.
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{size:.1} {}", units[unit]) }
}

/// A time in microseconds, with its unit.
pub(super) fn time_us(us: Option<u64>) -> String {
    match us {
        None => "-".to_owned(),
        Some(us) if us < 1_000 => format!("{:.1} ms", us as f64 / 1_000.0),
        Some(us) if us < 1_000_000 => format!("{} ms", us / 1_000),
        Some(us) => format!("{:.0} s", us as f64 / 1_000_000.0),
    }
}

/// Seconds, with their unit: `7 s`, `4 min`, `3 h`, `12 d`.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The seconds between two times of RFC 3339.
pub(super) fn seconds_between(since: &str, now: &str) -> Option<u64> {
    let read = |text| chrono::DateTime::parse_from_rfc3339(text).ok();
    u64::try_from((read(now)? - read(since)?).num_seconds()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("plain text", "plain text")]
    #[case("<b>bold</b>", "<b>bold</b>")]
    #[case("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}")]
    #[case("a\u{202e}b\u{2066}c", "a\\u{202e}b\\u{2066}c")]
    #[case("a\nb\tc\r", "a\\u{a}b\\u{9}c\\u{d}")]
    #[case("\u{9b}31m", "\\u{9b}31m")]
    #[case("e\u{301}\u{200d}", "e\\u{301}\\u{200d}")]
    #[case("日本 é", "日本 é")]
    #[case("\u{e0041}", "\\u{e0041}")]
    fn nothing_acts(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(plain(text), shown);
    }

    #[rstest]
    #[case("abc", 5, false, "abc  ")]
    #[case("abc", 5, true, "  abc")]
    #[case("abcdef", 4, false, "abc…")]
    #[case("日本語", 4, false, "日… ")]
    #[case("日本語", 6, false, "日本語")]
    #[case("abc", 0, false, "")]
    #[case("abc", 1, false, "…")]
    fn a_cell_has_its_places(#[case] text: &str, #[case] places: usize, #[case] right: bool, #[case] shown: &str) {
        let cell = fit(text, places, right);
        assert_eq!(cell, shown);
        assert_eq!(width(&cell), places);
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([None, Some(0.0), Some(3.12), Some(1_234.6)].map(rate), ["-", "0", "3.1", "1,235"]);
        assert_eq!([7, 2_048, 5 << 30].map(bytes), ["7 B", "2.0 KiB", "5.0 GiB"]);
        assert_eq!([None, Some(500), Some(8_000), Some(32_768_000)].map(time_us), ["-", "0.5 ms", "8 ms", "33 s"]);
        assert_eq!([5, 300, 10_800, 1_000_000].map(age), ["5 s", "5 min", "3 h", "11 d"]);
        assert_eq!(seconds_between("2026-03-01T10:00:00.500Z", "2026-03-01T10:01:01Z"), Some(60));
        assert_eq!(seconds_between("then", "2026-03-01T10:01:01Z"), None);
    }
}
