//! Durations as Go writes them, such as `1h30m` or `1.5s`.

use crate::field::go_quote;

const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The duration in nanoseconds.
///
/// # Errors
/// What Go's `time.ParseDuration` says.
pub fn parse(text: &str) -> Result<i64, String> {
    let quoted = go_quote(text);
    let invalid = || format!("time: invalid duration {quoted}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {quoted}"));
        }
        let Some((_, nanoseconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {} in duration {quoted}", go_quote(unit)));
        };
        // Longer numbers overflow anyway, and what is below a nanosecond is not kept.
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let fraction = &fraction[..fraction.len().min(18)];
        let scale = fraction.bytes().fold(1_i128, |scale, _| scale * 10);
        let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| invalid())? };
        total += i128::from(whole) * nanoseconds + fraction * nanoseconds / scale;
        if total > 1 << 63 {
            return Err(invalid());
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go() {
        let check = |text: &str, expected: Result<i64, &str>| {
            assert_eq!(parse(text), expected.map_err(str::to_owned), "{text:?}");
        };
        check("0", Ok(0));
        check("5s", Ok(5_000_000_000));
        check("1h30m", Ok(5_400_000_000_000));
        check("-1.5h", Ok(-5_400_000_000_000));
        check(".5m", Ok(30_000_000_000));
        check("10\u{b5}s", Ok(10_000));
        check("", Err("time: invalid duration \"\""));
        check(".", Err("time: invalid duration \".\""));
        check("x", Err("time: invalid duration \"x\""));
        check("5", Err("time: missing unit in duration \"5\""));
        check("1d", Err("time: unknown unit \"d\" in duration \"1d\""));
        check("9999999h", Err("time: invalid duration \"9999999h\""));
        check("99999999999999999999s", Err("time: invalid duration \"99999999999999999999s\""));
    }
}
