//! Upstream's own cases (`quantity_test.go`) as data, and the algebra.

use num_bigint::BigInt;
use proptest::prelude::*;

use super::Format::{BinarySi, DecimalExponent, DecimalSi};
use super::*;

fn q(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// Text, value as an integer and a power of ten, and format.
const PARSED: &[(&str, i64, i8, Format)] = &[
    ("0", 0, 0, DecimalSi),
    ("0n", 0, 0, DecimalSi),
    ("0u", 0, 0, DecimalSi),
    ("0m", 0, 0, DecimalSi),
    ("0Ki", 0, 0, BinarySi),
    ("0k", 0, 0, DecimalSi),
    ("0Mi", 0, 0, BinarySi),
    ("0Ti", 0, 0, BinarySi),
    ("0T", 0, 0, DecimalSi),
    ("1", 1, 0, DecimalSi),
    ("1Ki", 1 << 10, 0, BinarySi),
    ("8Ki", 8 << 10, 0, BinarySi),
    ("7Mi", 7 << 20, 0, BinarySi),
    ("6Gi", 6 << 30, 0, BinarySi),
    ("5Ti", 5 << 40, 0, BinarySi),
    ("4Pi", 4 << 50, 0, BinarySi),
    ("3Ei", 3 << 60, 0, BinarySi),
    ("10Ti", 10 << 40, 0, BinarySi),
    ("100Ti", 100 << 40, 0, BinarySi),
    ("5n", 5, -9, DecimalSi),
    ("4u", 4, -6, DecimalSi),
    ("3m", 3, -3, DecimalSi),
    ("9", 9, 0, DecimalSi),
    ("8k", 8, 3, DecimalSi),
    ("50k", 5, 4, DecimalSi),
    ("7M", 7, 6, DecimalSi),
    ("6G", 6, 9, DecimalSi),
    ("5T", 5, 12, DecimalSi),
    ("40T", 4, 13, DecimalSi),
    ("300T", 3, 14, DecimalSi),
    ("2P", 2, 15, DecimalSi),
    ("1E", 1, 18, DecimalSi),
    ("1E-3", 1, -3, DecimalExponent),
    ("1e3", 1, 3, DecimalExponent),
    ("1E6", 1, 6, DecimalExponent),
    ("1e9", 1, 9, DecimalExponent),
    ("1E18", 1, 18, DecimalExponent),
    ("1e14", 1, 14, DecimalExponent),
    ("1e13", 1, 13, DecimalExponent),
    ("100.035k", 100_035, 0, DecimalSi),
    ("0.001", 1, -3, DecimalSi),
    ("0.0005k", 5, -1, DecimalSi),
    ("0.005", 5, -3, DecimalSi),
    ("0.5", 5, -1, DecimalSi),
    ("0.00050k", 5, -1, DecimalSi),
    ("0.05000", 5, -2, DecimalSi),
    ("0.5e0", 5, -1, DecimalExponent),
    ("0.5e-1", 5, -2, DecimalExponent),
    ("0.5e-2", 5, -3, DecimalExponent),
    ("10.035M", 10_035, 3, DecimalSi),
    ("1.2e3", 12, 2, DecimalExponent),
    ("1.3E+6", 13, 5, DecimalExponent),
    ("1.40e9", 14, 8, DecimalExponent),
    ("1.53E12", 153, 10, DecimalExponent),
    ("1.6e15", 16, 14, DecimalExponent),
    ("1.7E18", 17, 17, DecimalExponent),
    ("9.01", 901, -2, DecimalSi),
    ("8.1k", 81, 2, DecimalSi),
    ("7.123456M", 7_123_456, 0, DecimalSi),
    ("6.987654321G", 6_987_654_321, 0, DecimalSi),
    ("5.444T", 5444, 9, DecimalSi),
    ("40.1T", 401, 11, DecimalSi),
    ("2.5P", 25, 14, DecimalSi),
    ("1.01E", 101, 16, DecimalSi),
    // Rounded and capped.
    ("3.001n", 4, -9, DecimalSi),
    ("1.1E-9", 2, -9, DecimalExponent),
    ("0.0000000001", 1, -9, DecimalSi),
    ("0.0000000005", 1, -9, DecimalSi),
    ("0.00000000050", 1, -9, DecimalSi),
    ("0.5e-9", 1, -9, DecimalExponent),
    ("1e-2147483647", 1, -9, DecimalExponent),
    ("0.9n", 1, -9, DecimalSi),
    ("0.00000012345", 124, -9, DecimalSi),
    ("0.00000012354", 124, -9, DecimalSi),
    ("9Ei", i64::MAX, 0, BinarySi),
    ("8Ei", i64::MAX, 0, BinarySi),
    ("9223372036854775807Ki", i64::MAX, 0, BinarySi),
    ("12E", 12, 18, DecimalSi),
    // Fractions of binary units.
    ("100.035Ki", 10_243_584, -2, BinarySi),
    ("0.5Mi", 1 << 19, 0, BinarySi),
    ("0.05Gi", 536_870_912, -1, BinarySi),
    ("0.025Ti", 274_877_906_944, -1, BinarySi),
    ("0.000000000001Ki", 2, -9, DecimalSi),
    // Written by trolls.
    (".001", 1, -3, DecimalSi),
    (".0001k", 100, -3, DecimalSi),
    ("1.", 1, 0, DecimalSi),
    ("1.G", 1, 9, DecimalSi),
    (".", 0, 0, DecimalSi),
    ("m", 0, 0, DecimalSi),
    ("Ti", 0, 0, BinarySi),
    ("", 0, 0, DecimalSi),
];

#[test]
fn parses_as_upstream() {
    for (text, integer, scale, format) in PARSED {
        for (sign, factor) in [("", 1), ("+", 1), ("-", -1)] {
            let text = format!("{sign}{text}");
            if text.is_empty() {
                continue;
            }
            let quantity = q(&text);
            assert_eq!(quantity, Quantity::scaled(integer * factor, *scale, *format), "{text:?}");
            assert_eq!(quantity.format(), *format, "{text:?}");
        }
    }
}

#[test]
fn refuses_as_upstream() {
    let check = |text: &str, expected| assert_eq!(Quantity::parse(text).err(), Some(expected), "{text:?}");
    for text in ["", "1.1.M", "1+1.0M", "0.1am", "aoeu", " 1", "1 ", "1e3m", "1_000", "１", &"1".repeat(1025)] {
        check(text, ParseError::Format);
    }
    for text in ["0.1mi", ".5i", "1i", "-3.01i", "-3.01e-", "1e", "1ee3", "1KiB", "1e4294967297", "1e2147483648"] {
        let expected = if text == "1KiB" { ParseError::Format } else { ParseError::Suffix };
        check(text, expected);
    }
    check("1e-2147483648", ParseError::Suffix);
    check("1e9223372036854775808", ParseError::Suffix);
    check("1e1025", ParseError::Suffix);
    for text in ["Pi", "Ei", ".Ei", "e-10"] {
        check(text, ParseError::Numeric);
    }
    assert_eq!(
        ParseError::Format.to_string(),
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    );
}

#[test]
fn canonical_as_upstream() {
    let cases = [
        (1 << 30, 0, BinarySi, "1Gi"),
        (300 << 20, 0, BinarySi, "300Mi"),
        (6 << 10, 0, BinarySi, "6Ki"),
        (1001 << 30, 0, BinarySi, "1001Gi"),
        (1 << 40, 0, BinarySi, "1Ti"),
        (5, 0, BinarySi, "5"),
        (500, -3, BinarySi, "500m"),
        (2000, 0, BinarySi, "2000"),
        (1_234_567, -3, BinarySi, "1234567m"),
        (1025, 0, BinarySi, "1025"),
        (1, 70, BinarySi, "10e69"),
        (2, 70, BinarySi, "20e69"),
        (1, 72, BinarySi, "1e72"),
        (1, 9, DecimalSi, "1G"),
        (1000, 6, DecimalSi, "1G"),
        (1_000_000_000, 0, DecimalSi, "1G"),
        (1, -3, DecimalSi, "1m"),
        (80, -3, DecimalSi, "80m"),
        (108, -2, DecimalSi, "1080m"),
        (10800, -4, DecimalSi, "1080m"),
        (300, 6, DecimalSi, "300M"),
        (1, 12, DecimalSi, "1T"),
        (1_234_567, 6, DecimalSi, "1234567M"),
        (3, 3, DecimalSi, "3k"),
        (1, 18, DecimalSi, "1E"),
        (1, 21, DecimalSi, "1e21"),
        (5, 21, DecimalSi, "5e21"),
        (1, 24, DecimalSi, "1e24"),
        (1, -9, DecimalSi, "1n"),
        (108, -8, DecimalSi, "1080n"),
        (1080, -6, DecimalSi, "1080u"),
        (1, -12, DecimalSi, "1e-12"),
        (1, -10, DecimalSi, "100e-12"),
        (1, 9, DecimalExponent, "1e9"),
        (1, -3, DecimalExponent, "1e-3"),
        (1, -9, DecimalExponent, "1e-9"),
        (80, -3, DecimalExponent, "80e-3"),
        (300, 6, DecimalExponent, "300e6"),
        (3, 3, DecimalExponent, "3e3"),
        (7, 0, DecimalExponent, "7"),
    ];
    for (integer, scale, format, expected) in cases {
        let quantity = Quantity::scaled(integer, scale, format);
        assert_eq!(quantity.to_string(), expected);
        assert_eq!(quantity.neg().to_string(), format!("-{expected}"));
    }
    for format in [BinarySi, DecimalSi, DecimalExponent] {
        assert_eq!(Quantity::new(0, format).to_string(), "0");
    }
}

#[test]
fn emits_as_upstream() {
    let cases = [
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("1024Mi", "1Gi"),
        ("1025024Mi", "1001Gi"),
        ("307200Ki", "300Mi"),
        ("0.5Gi", "512Mi"),
        ("1.5Gi", "1536Mi"),
        ("1000M", "1G"),
        ("0.001T", "1G"),
        ("1.5", "1500m"),
        ("0.5", "500m"),
        ("1.08", "1080m"),
        ("1080000000n", "1080m"),
        ("5000m", "5"),
        ("1000E", "1e21"),
        ("100e3", "100e3"),
        (".001e12", "1e9"),
        ("0.001e0", "1e-3"),
        ("1000e-12", "1e-9"),
        ("00", "0"),
        (".001Ki", "1024m"),
        (".000001Ki", "1024u"),
        (".000000001Ki", "1024n"),
        (".000000000001Ki", "2n"),
        ("0Ki", "0"),
        // Upstream takes these for canonical and hands them back as they are.
        ("+1", "+1"),
        ("+1Ki", "+1Ki"),
        ("05", "05"),
        ("1.500", "1.500"),
        ("1.G", "1.G"),
        ("1E3", "1E3"),
        ("1e0", "1e0"),
        // And these not.
        ("+8Ki", "8Ki"),
        ("1.000", "1"),
        ("0.500", "500m"),
        ("1e4", "10e3"),
        ("-0", "0"),
    ];
    for (text, expected) in cases {
        assert_eq!(q(text).to_string(), expected, "{text}");
    }
}

#[test]
fn compares_as_upstream() {
    use Ordering::{Equal, Greater, Less};
    let cases = [
        ("0", "0", Equal),
        ("100m", "50m", Greater),
        ("50m", "100m", Less),
        ("10000T", "100Gi", Greater),
        ("9.01", "9010m", Equal),
        ("90e-1", "901e-2", Less),
        ("800m", "1", Less),
        ("1e20", "100E", Equal),
        ("1e1024", "1e1023", Greater),
        ("-1e1024", "1n", Less),
        ("-1", "-2", Greater),
        ("9223372036854775807e1", "1", Greater),
        ("10", "1000000000000000001e-17", Less),
    ];
    for (a, b, expected) in cases {
        assert_eq!(q(a).cmp(&q(b)), expected, "{a} {b}");
        assert_eq!(q(b).cmp(&q(a)), expected.reverse(), "{a} {b}");
    }
}

#[test]
fn rounds_as_upstream() {
    let cases = [("9.01", -3, 9_010, true), ("9.01", -2, 9_010, true), ("9.01", -1, 9_100, false)];
    let more = [("9.01", 0, 10_000, false), ("9.01", 1, 10_000, false), ("9.01", 2, 100_000, false)];
    for (text, scale, milli, exact) in cases.into_iter().chain(more) {
        for (sign, factor) in [("", 1), ("-", -1)] {
            let mut quantity = q(&format!("{sign}{text}"));
            assert_eq!(quantity.round_up(scale), exact, "{text} {scale}");
            assert_eq!(quantity.milli_value(), factor * milli, "{text} {scale}");
        }
    }
}

#[test]
fn scaled_values() {
    let check = |text: &str, value, milli, exact| {
        let quantity = q(text);
        assert_eq!((quantity.value(), quantity.milli_value(), quantity.as_i64()), (value, milli, exact), "{text}");
    };
    check("1", 1, 1000, Some(1));
    check("1m", 1, 1, None);
    check("1001m", 2, 1001, None);
    check("-1m", -1, -1, None);
    check("1n", 1, 1, None);
    check("2Gi", 2 << 30, 2000 << 30, Some(2 << 30));
    check("1000m", 1, 1000, Some(1));
    check("9e18", 9_000_000_000_000_000_000, i64::MAX, Some(9_000_000_000_000_000_000));
    check("1e19", i64::MAX, i64::MAX, None);
    check("-1e19", i64::MIN, i64::MIN, None);
    check("1e1000", i64::MAX, i64::MAX, None);
    assert_eq!(q("1Ki").scaled_value(3), 2);
    assert_eq!(q("123456789012345678901234567890123456789012345").to_f64(), 1.234_567_890_123_456_7e44);
    assert_eq!(q("1500m").to_f64(), 1.5);
}

#[test]
fn arithmetic_keeps_units() {
    let sum = |a: &str, b: &str| {
        let mut sum = q(a);
        sum.add(&q(b));
        sum.to_string()
    };
    let difference = |a: &str, b: &str| {
        let mut difference = q(a);
        difference.sub(&q(b));
        difference.to_string()
    };
    assert_eq!((sum("100m", "0"), sum("0", "100m")), ("100m".into(), "100m".into()));
    assert_eq!((sum("1Gi", "0"), sum("0", "1Gi")), ("1Gi".into(), "1Gi".into()));
    assert_eq!((difference("1Gi", "0"), difference("0", "1Gi")), ("1Gi".into(), "-1Gi".into()));
    assert_eq!(sum("1Gi", "512Mi"), "1536Mi");
    assert_eq!(sum("9223372036854775807", "1"), "9223372036854775808");
    assert_eq!(difference("1", "900m"), "100m");
    assert_eq!(difference("1000m", "1"), "0");
    let mut large = q("1Ei");
    large.mul(1024);
    assert_eq!(large.to_string(), "1180591620717411303424");
    assert_eq!(q(&large.to_string()), large);
}

#[test]
fn json() {
    let read = |json: &str| serde_json::from_str::<Quantity>(json).map(|q| q.to_string()).ok();
    assert_eq!(read("\"100m\"").as_deref(), Some("100m"));
    assert_eq!(read("\" 1 \"").as_deref(), Some("1"));
    assert_eq!(read("2").as_deref(), Some("2"));
    assert_eq!(read("0.5").as_deref(), Some("500m"));
    assert_eq!(read("null").as_deref(), Some("0"));
    assert_eq!(read("\"x\""), None);
    assert_eq!(read("true"), None);
    assert_eq!(serde_json::to_string(&q("1.5")).unwrap(), "\"1500m\"");
    assert_eq!(Quantity::try_from(&ApiQuantity("1024Ki".into())).map(|q| ApiQuantity::from(&q).0), Ok("1Mi".into()));
}

/// The exact value in units of 10^-9, by other means: what the text says, without rounding of binary fractions below
/// that.
fn exact_nanos(digits: u64, fraction: u32, unit: &str) -> BigInt {
    let nano = BigInt::from(10).pow(9);
    let factor = match unit {
        "n" => BigInt::from(1),
        "u" => BigInt::from(1000),
        "m" => BigInt::from(1_000_000),
        "" => nano,
        "k" | "e3" => nano * 1000,
        "E" => nano * BigInt::from(10).pow(18),
        "Ki" => nano * 1024,
        "Gi" => nano * BigInt::from(1_u64 << 30),
        other => panic!("{other}"),
    };
    let product = factor * digits;
    let divisor = BigInt::from(10).pow(fraction);
    let rounded: BigInt = (product + &divisor - 1) / divisor;
    let capped = BigInt::from(i64::MAX) * BigInt::from(10).pow(9);
    if unit.ends_with('i') { rounded.min(capped) } else { rounded }
}

/// A text, and its exact value in nanos.
fn written() -> impl Strategy<Value = (String, BigInt)> {
    let unit = prop_oneof!["n", "u", "m", "", "k", "E", "Ki", "Gi", "e3"];
    let digits = prop_oneof![0u64..3000, any::<u64>()];
    (any::<bool>(), digits, 0u32..12, unit).prop_map(|(negative, digits, fraction, unit)| {
        let padded = format!("{digits:0>width$}", width = fraction as usize + 1);
        let (whole, part) = padded.split_at(padded.len() - fraction as usize);
        let point = if fraction > 0 { "." } else { "" };
        let sign = if negative { "-" } else { "" };
        let nanos = exact_nanos(digits, fraction, &unit);
        (format!("{sign}{whole}{point}{part}{unit}"), if negative { -nanos } else { nanos })
    })
}

proptest! {
    #[test]
    fn canonical_is_a_fixed_point((text, _) in written()) {
        let quantity = q(&text);
        let canonical = quantity.canonical();
        let again = q(&canonical);
        prop_assert_eq!(&again, &quantity);
        prop_assert_eq!(again.canonical(), canonical.clone());
        prop_assert_eq!(again.to_string(), canonical);
    }

    #[test]
    fn comparison_agrees_with_exact_numbers((a, exact_a) in written(), (b, exact_b) in written()) {
        prop_assert_eq!(q(&a).cmp(&q(&b)), exact_a.cmp(&exact_b), "{} {}", a, b);
    }

    #[test]
    fn addition_agrees_with_exact_numbers((a, exact_a) in written(), (b, exact_b) in written()) {
        let mut sum = q(&a);
        sum.add(&q(&b));
        let expected = q(&format!("{}n", exact_a + exact_b));
        prop_assert_eq!(sum, expected);
    }

    #[test]
    fn subtraction_inverts_addition((a, _) in written(), (b, _) in written()) {
        let (a, b) = (q(&a), q(&b));
        let mut there_and_back = a.clone();
        there_and_back.add(&b);
        there_and_back.sub(&b);
        prop_assert_eq!(there_and_back, a);
    }

    #[test]
    fn multiplication_is_repeated_addition((a, _) in written(), factor in -5i64..6) {
        let mut product = q(&a);
        product.mul(factor);
        let mut sum = Quantity::default();
        for _ in 0..factor.abs() {
            sum.add(&q(&a));
        }
        prop_assert_eq!(product, if factor < 0 { sum.neg() } else { sum });
    }

    #[test]
    fn any_text_is_answered(text in "[+-]?[0-9.]{0,24}[eEinumkKMGTP]{0,2}[+-]?[0-9]{0,4}") {
        if let Ok(quantity) = Quantity::parse(&text) {
            prop_assert_eq!(q(&quantity.to_string()), quantity);
        }
    }
}
