//! `Time` and `MicroTime`: RFC 3339 text ↔ seconds and nanoseconds since 1970.

/// 0001-01-01T00:00:00Z, Go's zero time: `null` in JSON and an empty message in protobuf.
const GO_ZERO: i64 = -62_135_596_800;
/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what RFC 3339 can write. (jiff's `Timestamp` ends a day earlier, and
/// 9999-12-31T23:59:59Z is how certificates say "never".)
const WRITABLE: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

const DAY: i64 = 86_400;
/// Days of 400 years, after which the calendar repeats.
const CYCLE: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Seconds and nanoseconds of an RFC 3339 text; `None` when it is not one, `Some(None)` for the zero time.
#[allow(clippy::option_option, reason = "malformed and zero are different answers")]
pub(super) fn parse(text: &str) -> Option<Option<(i64, i32)>> {
    let text = text.as_bytes();
    let (date, rest) = text.split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, separator)| date[at] != separator) {
        return None;
    }
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..10])?);
    let (hour, minute, second) = (number(&date[11..13])?, number(&date[14..16])?, number(&date[17..])?);
    let in_range = (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day);
    if !in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = fraction(rest)?;
    let offset = match zone {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'+' { 60 } else { -60 }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
    Some((seconds != GO_ZERO || nanos != 0).then_some((seconds, nanos)))
}

/// RFC 3339 text to the second, or to the microsecond; `None` for a time that RFC 3339 cannot write,
/// `Some(None)` for the zero time.
#[allow(clippy::option_option, reason = "unwritable and zero are different answers")]
pub(super) fn format(seconds: i64, nanos: i32, micro: bool) -> Option<Option<String>> {
    if !WRITABLE.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return None;
    }
    let micros = if micro { nanos / 1000 } else { 0 };
    if seconds == GO_ZERO && micros == 0 {
        return Some(None);
    }
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let time = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    let fraction = if micro { format!(".{micros:06}") } else { String::new() };
    Some(Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

/// Nanoseconds of an optional fraction (further digits are cut), and what follows it.
fn fraction(text: &[u8]) -> Option<(i32, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    let nanos = (0..9).fold(0, |nanos, at| nanos * 10 + digits.get(at).map_or(0, |digit| i32::from(digit - b'0')));
    (length > 0).then_some((nanos, rest))
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. A year begins in March here, so that the leap day is its last; months 31, 30, 31, 30, 31
/// repeat, which `(153 m + 2) / 5` counts.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    cycle * CYCLE + year * 365 + year / 4 - year / 100 + day - EPOCH
}

/// The year, month and day that [`days`] counts.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH;
    let (cycle, day) = (days.div_euclid(CYCLE), days.rem_euclid(CYCLE));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (cycle * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{format, parse};

    #[test]
    fn text_and_numbers_agree() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2026-11-22T10:20:30Z", 1_795_342_830, 0),
            ("1969-12-31T23:59:59.500000Z", -1, 500_000_000),
            ("0000-01-01T00:00:00Z", -62_167_219_200, 0),
            ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
            ("2000-02-29T00:00:00Z", 951_782_400, 0),
            ("1900-03-01T00:00:00Z", -2_203_891_200, 0),
            ("2024-02-29T12:00:00.000001Z", 1_709_208_000, 1000),
        ];
        for (text, seconds, nanos) in cases {
            assert_eq!(parse(text), Some(Some((seconds, nanos))), "{text}");
            assert_eq!(format(seconds, nanos, nanos != 0), Some(Some(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn every_day_of_the_calendar_comes_back() {
        let mut expected = (0, 1, 1);
        for day in -719_528..=2_932_896 {
            assert_eq!(super::date(day), expected);
            let (year, month, date) = expected;
            assert_eq!(super::days(year, month, date), day);
            expected = match (month, date) {
                (12, 31) => (year + 1, 1, 1),
                (month, last) if last == super::month_length(year, month) => (year, month + 1, 1),
                _ => (year, month, date + 1),
            };
        }
        assert_eq!(expected, (10_000, 1, 1));
    }

    #[test]
    fn precision_is_cut_not_rounded() {
        assert_eq!(format(0, 999_999_999, false), Some(Some("1970-01-01T00:00:00Z".to_owned())));
        assert_eq!(format(0, 999_999_999, true), Some(Some("1970-01-01T00:00:00.999999Z".to_owned())));
    }

    #[test]
    fn offsets_are_read_and_the_zero_time_is_nothing() {
        assert_eq!(parse("2026-11-22T12:20:30+02:00"), Some(Some((1_795_342_830, 0))));
        assert_eq!(parse("0001-01-01T00:00:00Z"), Some(None));
        assert_eq!(format(-62_135_596_800, 0, false), Some(None));
        let malformed = [
            "",
            "yesterday",
            "2026-11-22",
            "2026-11-22 10:20:30Z",
            "2026-11-22T10:20:30",
            "2026-11-22T10:20:30.Z",
            "2026-11-22T10:20:30z",
            "2026-11-22T10:20:30+0200",
            "2026-11-22T10:20:30+24:00",
            "2026-13-22T10:20:30Z",
            "2026-02-29T10:20:30Z",
            "1900-02-29T10:20:30Z",
            "2026-11-00T10:20:30Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:20:60Z",
            "2026-11-22T1\u{661}:20:30Z",
            "+026-11-22T10:20:30Z",
        ];
        for text in malformed {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(format(i64::MAX, 0, false), None);
        assert_eq!(format(0, -1, true), None);
    }
}
