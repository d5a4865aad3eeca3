//! Timestamps: exactly the ISO 8601 forms Ceilometer accepts, and the form it writes (Ceilometer reference §4.2).

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

/// Reads `YYYY[-MM[-DD]]`, optionally followed by `T` or one space and `HH[[:]MM[[:]SS[.,fraction]]]` and `Z`,
/// `±HH[:MM]` or `±HHMM`. Without a zone it is UTC; a fraction is cut to microseconds; anything else is `None`.
pub fn parse(text: &str) -> Option<DateTime<FixedOffset>> {
    let mut at = Scan(text);
    let year = at.number(4)?;
    let (mut month, mut day) = (1, 1);
    let dashed = at.take("-");
    if let Some(m) = at.number(2) {
        month = m;
        // "YYYYMM" alone would be ambiguous; the compact form needs its day.
        if dashed {
            if at.take("-") {
                day = at.number(2)?;
            }
        } else {
            day = at.number(2)?;
        }
    } else if dashed {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok().filter(|y| *y > 0)?, month, day)?;
    let mut time = NaiveTime::MIN;
    let mut offset = FixedOffset::east_opt(0)?;
    if !at.0.is_empty() {
        if !(at.take("T") || at.take(" ")) {
            return None;
        }
        time = at.time()?;
        offset = at.zone()?;
    }
    if !at.0.is_empty() {
        return None;
    }
    NaiveDateTime::new(date, time).and_local_timezone(offset).single()
}

/// Python's `datetime.isoformat()` of an aware datetime: `2020-01-01T00:00:00+00:00`.
pub fn isoformat(time: &DateTime<FixedOffset>) -> String {
    let mut out = isoformat_naive(&time.naive_local());
    let minutes = time.offset().local_minus_utc() / 60;
    out.push(if minutes < 0 { '-' } else { '+' });
    push_number(minutes.unsigned_abs() / 60, 2, &mut out);
    out.push(':');
    push_number(minutes.unsigned_abs() % 60, 2, &mut out);
    out
}

/// Python's `datetime.isoformat()` of a naive datetime; the fraction is left out when it is zero.
pub fn isoformat_naive(time: &NaiveDateTime) -> String {
    let mut out = String::with_capacity("2020-01-01T00:00:00.000000+00:00".len());
    push_number(time.year().unsigned_abs(), 4, &mut out);
    for (before, number) in
        [('-', time.month()), ('-', time.day()), ('T', time.hour()), (':', time.minute()), (':', time.second())]
    {
        out.push(before);
        push_number(number, 2, &mut out);
    }
    let micros = time.nanosecond() / 1_000;
    if micros > 0 {
        out.push('.');
        push_number(micros, 6, &mut out);
    }
    out
}

/// Decimal digits, with zeros up to a width: several times faster than a format string, and every sample has a time.
fn push_number(number: u32, width: u32, out: &mut String) {
    for place in (0..width).rev() {
        // The first place takes whatever is more.
        let digits = number / 10_u32.pow(place);
        let digit = if place + 1 == width { digits } else { digits % 10 };
        match char::from_digit(digit, 10) {
            Some(c) => out.push(c),
            None => out.push_str(&digit.to_string()),
        }
    }
}

/// What is left to read.
struct Scan<'a>(&'a str);

impl Scan<'_> {
    fn take(&mut self, word: &str) -> bool {
        let rest = self.0.strip_prefix(word);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Exactly `width` ASCII digits, or nothing is read.
    fn number(&mut self, width: usize) -> Option<u32> {
        let digits = self.0.get(..width).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
        self.0 = &self.0[width..];
        digits.parse().ok()
    }

    fn time(&mut self) -> Option<NaiveTime> {
        let hour = self.number(2)?;
        let (mut minute, mut second, mut micros) = (0, 0, 0);
        let colon = self.take(":");
        if let Some(m) = self.number(2) {
            minute = m;
            let colon = self.take(":");
            if let Some(s) = self.number(2) {
                second = s;
                if self.take(".") || self.take(",") {
                    micros = self.fraction()?;
                }
            } else if colon {
                return None;
            }
        } else if colon {
            return None;
        }
        NaiveTime::from_hms_micro_opt(hour, minute, second, micros)
    }

    fn fraction(&mut self) -> Option<u32> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let text = &self.0[..digits];
        self.0 = &self.0[digits..];
        let padded: String = text.chars().chain(std::iter::repeat('0')).take(6).collect();
        if digits == 0 { None } else { padded.parse().ok() }
    }

    fn zone(&mut self) -> Option<FixedOffset> {
        let sign = match () {
            () if self.0.is_empty() || self.take("Z") => return FixedOffset::east_opt(0),
            () if self.take("+") => 1,
            () if self.take("-") => -1,
            () => return None,
        };
        let hours = self.number(2)?;
        let colon = self.take(":");
        let minutes = match self.number(2) {
            Some(minutes) => minutes,
            None if colon => return None,
            None => 0,
        };
        FixedOffset::east_opt(sign * i32::try_from(hours * 3600 + minutes * 60).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("2020-01-02T03:04:05Z", "2020-01-02T03:04:05+00:00")]
    #[case("2020-01-02 03:04:05.123456789", "2020-01-02T03:04:05.123456+00:00")]
    #[case("2020-01-02T03:04:05,5+0230", "2020-01-02T03:04:05.500000+02:30")]
    #[case("2020-01-02T030405-08", "2020-01-02T03:04:05-08:00")]
    #[case("2020-01-02T03:04:05.000007-00:30", "2020-01-02T03:04:05.000007-00:30")]
    #[case("0001-01-01T00:00:00", "0001-01-01T00:00:00+00:00")]
    #[case("20200102", "2020-01-02T00:00:00+00:00")]
    #[case("2020-01", "2020-01-01T00:00:00+00:00")]
    #[case("2020", "2020-01-01T00:00:00+00:00")]
    fn accepted(#[case] text: &str, #[case] iso: &str) {
        assert_eq!(parse(text).map(|t| isoformat(&t)).as_deref(), Some(iso));
    }

    #[rstest]
    #[case("")]
    #[case(" 2020-01-02")]
    #[case("2020-01-02t03:04:05")]
    #[case("2020-01-02T03:04:05z")]
    #[case("2020-01-02T3:04")]
    #[case("2020-W01")]
    #[case("2020-13-01")]
    #[case("0000-01-01")]
    #[case("2020-01-02T24:00:00")]
    #[case("2020-01-02T03:04:60")]
    #[case("1577934245")]
    #[case("2020-01-02  03:04")]
    fn rejected(#[case] text: &str) {
        assert_eq!(parse(text), None);
    }
}
