//! Writes DER, as far as certificates need it.

use jiff::Timestamp;
use jiff::tz::Offset;

/// The tags that are written. Those of a context are made by [`context`] and [`inner`].
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const SEQUENCE: u8 = 0x30;
const GENERALIZED_TIME: u8 = 0x18;
const UTC_TIME: u8 = 0x17;

/// The tag of an implicit field: its number, in place of the tag of its type, for types that hold no others.
pub(super) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// The tag of an explicit field, which goes around its value.
pub(super) const fn inner(number: u8) -> u8 {
    0xa0 | number
}

/// A value of a tag.
pub(super) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut written = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => written.push(length),
        _ => {
            let bytes = content.len().to_be_bytes();
            let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            // A length takes a few bytes at most.
            written.push(0x80 | u8::try_from(significant.len()).unwrap_or(0x7f));
            written.extend_from_slice(significant);
        }
    }
    written.extend_from_slice(content);
    written
}

/// Values one after the other.
pub(super) fn sequence(values: &[Vec<u8>]) -> Vec<u8> {
    value(SEQUENCE, &values.concat())
}

/// A positive number, in big-endian bytes.
pub(super) fn positive(bytes: &[u8]) -> Vec<u8> {
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    // A first bit that is set would make it negative.
    let sign: &[u8] = if significant.first().is_none_or(|byte| *byte >= 0x80) { &[0] } else { &[] };
    value(INTEGER, &[sign, significant].concat())
}

/// Bits, the first of which is the highest of the first byte; those that are not set at the end are left out.
pub(super) fn flags(bits: u16) -> Vec<u8> {
    let bytes = bits.to_be_bytes();
    let length = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let unused = if length == 0 { 0 } else { bytes[length - 1].trailing_zeros() };
    // It is less than eight.
    let unused = u8::try_from(unused).unwrap_or(0);
    value(BIT_STRING, &[&[unused], &bytes[..length]].concat())
}

/// A time to the second, in the form that RFC 5280 wants: with two digits for years before 2050.
pub(super) fn time(time: Timestamp) -> Vec<u8> {
    if (1950..2050).contains(&Offset::UTC.to_datetime(time).year()) {
        value(UTC_TIME, time.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
    } else {
        value(GENERALIZED_TIME, time.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_short_as_they_can_be() {
        let check = |length: usize, head: &[u8]| {
            let written = value(OCTET_STRING, &vec![7; length]);
            assert_eq!(&written[..head.len()], head);
            assert_eq!(written.len(), head.len() + length);
        };
        check(0, &[4, 0]);
        check(127, &[4, 127]);
        check(128, &[4, 0x81, 128]);
        check(256, &[4, 0x82, 1, 0]);
        check(70_000, &[4, 0x83, 1, 0x11, 0x70]);
    }

    #[test]
    fn numbers_are_positive() {
        assert_eq!(positive(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(positive(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(positive(&[0x7f, 0xff]), [2, 2, 0x7f, 0xff]);
        assert_eq!(positive(&[0]), [2, 1, 0]);
    }

    #[test]
    fn flags_end_with_the_last_that_is_set() {
        assert_eq!(flags(0x8000), [3, 2, 7, 0x80]);
        assert_eq!(flags(0xa000), [3, 2, 5, 0xa0]);
        assert_eq!(flags(0x8080), [3, 3, 7, 0x80, 0x80]);
        assert_eq!(flags(0), [3, 1, 0]);
    }

    #[test]
    fn times_have_the_form_of_their_year() {
        let check = |text: &str, expected: &str| {
            assert_eq!(&time(text.parse().unwrap())[2..], expected.as_bytes(), "{text}");
        };
        check("2026-03-01T12:00:00.9Z", "260301120000Z");
        check("2049-12-31T23:59:59Z", "491231235959Z");
        check("2050-01-01T00:00:00Z", "20500101000000Z");
    }
}
