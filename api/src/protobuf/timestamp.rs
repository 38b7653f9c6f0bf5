//! `Time` and `MicroTime`: RFC 3339 text ↔ seconds and nanoseconds since 1970.

use jiff::Timestamp;

/// 0001-01-01T00:00:00Z, Go's zero time: `null` in JSON and an empty message in protobuf.
const GO_ZERO: i64 = -62_135_596_800;
/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what RFC 3339 can write.
const WRITABLE: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// Seconds and nanoseconds of an RFC 3339 text; `None` when it is not one, `Some(None)` for the zero time.
#[allow(clippy::option_option, reason = "malformed and zero are different answers")]
pub(super) fn parse(text: &str) -> Option<Option<(i64, i32)>> {
    let time: Timestamp = text.parse().ok()?;
    let nanoseconds = time.as_nanosecond();
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?;
    let nanos = i32::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?;
    Some((seconds != GO_ZERO || nanos != 0).then_some((seconds, nanos)))
}

/// RFC 3339 text to the second, or to the microsecond; `None` for a time that RFC 3339 cannot write,
/// `Some(None)` for the zero time.
#[allow(clippy::option_option, reason = "unwritable and zero are different answers")]
pub(super) fn format(seconds: i64, nanos: i32, micro: bool) -> Option<Option<String>> {
    if !WRITABLE.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return None;
    }
    let nanos = if micro { nanos / 1000 * 1000 } else { 0 };
    if seconds == GO_ZERO && nanos == 0 {
        return Some(None);
    }
    let time = Timestamp::new(seconds, nanos).ok()?;
    Some(Some(if micro { format!("{time:.6}") } else { format!("{time:.0}") }))
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
            ("9999-12-30T21:59:59Z", 253_402_207_199, 0),
            ("2024-02-29T12:00:00.000001Z", 1_709_208_000, 1000),
        ];
        for (text, seconds, nanos) in cases {
            assert_eq!(parse(text), Some(Some((seconds, nanos))), "{text}");
            assert_eq!(format(seconds, nanos, nanos != 0), Some(Some(text.to_owned())), "{text}");
        }
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
        assert_eq!(parse("yesterday"), None);
        assert_eq!(format(i64::MAX, 0, false), None);
        assert_eq!(format(0, -1, true), None);
    }
}
