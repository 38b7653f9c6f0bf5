//! Values that their Go types read from text themselves: quantities, times and bytes, with Go's error messages.

use std::fmt::Write as _;

use crate::quantity::Quantity;

const TIME_LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
const MICRO_TIME_LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";

/// The quantity as it is written, without space around it. Its canonical form is [`super::normalize`]'s business.
pub(super) fn quantity(text: &str) -> Result<String, String> {
    let text = text.trim();
    Quantity::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// A time to the second, in UTC.
pub(super) fn time(text: &str) -> Result<String, String> {
    let (seconds, _) = Clock { layout: TIME_LAYOUT, text, rest: text }.read(false)?;
    Ok(format!("{}Z", civil(seconds)))
}

/// A time with exactly six decimals, in UTC.
pub(super) fn micro_time(text: &str) -> Result<String, String> {
    let (seconds, decimals) = Clock { layout: MICRO_TIME_LAYOUT, text, rest: text }.read(true)?;
    Ok(format!("{}.{decimals}Z", civil(seconds)))
}

/// Standard base64 with padding, without the line breaks that Go skips.
pub(super) fn base64(text: &str) -> Result<String, String> {
    let corrupt = |at: usize| Err(format!("illegal base64 data at input byte {at}"));
    let line_break = |byte: u8| byte == b'\r' || byte == b'\n';
    let bytes = text.as_bytes();
    let (mut at, mut place) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => place = (place + 1) % 4,
            _ if line_break(byte) => {}
            b'=' if place >= 2 => {
                let rest = |at: usize| at + bytes[at..].iter().take_while(|byte| line_break(**byte)).count();
                if place == 2 {
                    at = rest(at);
                    match bytes.get(at) {
                        None => return corrupt(bytes.len()),
                        Some(b'=') => at += 1,
                        Some(_) => return corrupt(at - 1),
                    }
                }
                at = rest(at);
                if at < bytes.len() {
                    return corrupt(at);
                }
                place = 0;
            }
            _ => return corrupt(at - 1),
        }
    }
    if place > 0 {
        return corrupt(at - place);
    }
    Ok(text.replace(['\r', '\n'], ""))
}

/// The text in double quotes, as Go's `%q` writes it.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\0'..' ' | '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            '\u{80}'..='\u{a0}' | '\u{ad}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Reads a time the way Go does, element by element of its layout.
struct Clock<'a> {
    layout: &'static str,
    text: &'a str,
    rest: &'a str,
}

impl Clock<'_> {
    /// Seconds since 1970 in UTC, and six decimals when the layout has them.
    fn read(mut self, micro: bool) -> Result<(i64, String), String> {
        let year = self.number("2006", 4, 4)?;
        self.literal("-")?;
        let month = self.number("01", 2, 2)?;
        self.within(1..=12, month, "month")?;
        self.literal("-")?;
        let day = self.number("02", 2, 2)?;
        self.literal("T")?;
        let hour = self.number("15", 1, 2)?;
        self.within(0..=23, hour, "hour")?;
        self.literal(":")?;
        let minute = self.number("04", 2, 2)?;
        self.within(0..=59, minute, "minute")?;
        self.literal(":")?;
        let second = self.number("05", 2, 2)?;
        self.within(0..=59, second, "second")?;
        let decimals = self.decimals(micro)?;
        let offset = self.zone()?;
        if !self.rest.is_empty() {
            return Err(format!("parsing time {}: extra text: {}", quote(self.text), quote(self.rest)));
        }
        self.within(1..=days_in(year, month), day, "day")?;
        let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
        Ok((seconds, decimals))
    }

    fn number(&mut self, element: &str, least: usize, most: usize) -> Result<i64, String> {
        let digits = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if digits < least {
            return Err(self.cannot_parse(element));
        }
        let (number, rest) = self.rest.split_at(digits);
        let number = number.parse().map_err(|_| self.cannot_parse(element))?;
        self.rest = rest;
        Ok(number)
    }

    fn literal(&mut self, literal: &str) -> Result<(), String> {
        self.rest = self.rest.strip_prefix(literal).ok_or_else(|| self.cannot_parse(literal))?;
        Ok(())
    }

    fn decimals(&mut self, micro: bool) -> Result<String, String> {
        let fraction = self.rest.strip_prefix(['.', ',']);
        let digits = fraction.map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
        let wanted = if micro { 6 } else { digits };
        let (Some(fraction), true) = (fraction, digits > 0 && digits >= wanted) else {
            return if micro { Err(self.cannot_parse(".000000")) } else { Ok(String::new()) };
        };
        let (decimals, rest) = fraction.split_at(wanted);
        self.rest = rest;
        Ok(decimals.to_owned())
    }

    /// The offset from UTC in seconds.
    fn zone(&mut self) -> Result<i64, String> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let bytes = self.rest.as_bytes();
        let sign = match bytes.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(self.cannot_parse("Z07:00")),
        };
        let digits = [1, 2, 4, 5].map(|at| bytes.get(at).filter(|digit| digit.is_ascii_digit()));
        let ([Some(a), Some(b), Some(c), Some(d)], Some(b':')) = (digits, bytes.get(3)) else {
            return Err(self.cannot_parse("Z07:00"));
        };
        let pair = |tens: &u8, ones: &u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
        let (hours, minutes) = (pair(a, b), pair(c, d));
        self.within(0..=24, hours, "time zone offset hour")?;
        self.within(0..=60, minutes, "time zone offset minute")?;
        self.rest = &self.rest[6..];
        Ok(sign * (hours * 3_600 + minutes * 60))
    }

    fn within(&self, range: std::ops::RangeInclusive<i64>, number: i64, what: &str) -> Result<(), String> {
        if range.contains(&number) {
            return Ok(());
        }
        Err(format!("parsing time {}: {what} out of range", quote(self.text)))
    }

    fn cannot_parse(&self, element: &str) -> String {
        let (text, layout, rest) = (quote(self.text), self.layout, quote(self.rest));
        format!("parsing time {text} as \"{layout}\": cannot parse {rest} as \"{element}\"")
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, counting years from March, so that a leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Seconds since 1970 as `2006-01-02T15:04:05`.
fn civil(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}
