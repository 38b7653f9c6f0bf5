//! The text form of quantities, exactly as lenient as upstream's.

use super::amount::Amount;
use super::{Format, Quantity};

/// Longest text that is read. Upstream has no bound.
pub const MAX_TEXT_BYTES: usize = 1024;
/// Greatest decimal exponent that is read. Upstream reads up to 2^31-1, and then writes out as many digits when it
/// adds; a bound keeps hostile input cheap.
pub const MAX_EXPONENT: i32 = 1024;

/// Finest unit: one billionth.
const NANO: i32 = -9;
/// Digits that always fit 64 bits. What upstream keeps as written depends on its fast path, which this bounds.
const FAST_DIGITS: usize = 18;

/// Why a text is no quantity. Displays in upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a number followed by letters and an exponent.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// No digits where there must be some.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// No such unit, or an exponent out of range.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// A text taken apart. Leading zeros are gone, and each part may be empty.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
    has_digits: bool,
}

/// What a suffix multiplies by.
enum Unit {
    Decimal(i32),
    Binary(u32),
}

pub(super) fn parse(text: &str) -> Result<Quantity, ParseError> {
    if text.is_empty() || text.len() > MAX_TEXT_BYTES {
        return Err(ParseError::Format);
    }
    let parts = split(text)?;
    let (unit, format) = interpret(parts.suffix)?;
    let digits = [parts.whole, parts.fraction].concat();
    if !parts.has_digits && needs_digits(&unit) {
        return Err(ParseError::Numeric);
    }
    let fraction = i32::try_from(parts.fraction.len()).map_err(|_| ParseError::Format)?;
    let unscaled = Amount::from_digits(&digits);
    let exact = match unit {
        Unit::Decimal(exponent) if exponent > MAX_EXPONENT && unscaled.signum() != 0 => return Err(ParseError::Suffix),
        Unit::Decimal(exponent) => unscaled.shift(exponent.saturating_sub(fraction)),
        Unit::Binary(exponent) => unscaled.shift(-fraction).mul(1 << exponent),
    };
    let (mut amount, _) = exact.round_up(NANO);
    let mut shown = format;
    if format == Format::BinarySi {
        let cap = Amount::new(i64::MAX.into(), 0);
        if amount.cmp(&cap).is_gt() {
            amount = cap;
        }
        if amount.signum() > 0 && amount.cmp(&Amount::new(1, 0)).is_lt() {
            shown = Format::DecimalSi;
        }
    }
    if parts.negative {
        amount = amount.neg();
    }
    let mut quantity = Quantity { amount, format: shown, text: None };
    if is_kept(text, &parts, &unit, format) && quantity.canonical() != text {
        quantity.text = Some(text.into());
    }
    Ok(quantity)
}

/// The letter for ten to the power of `exponent`.
pub(super) const fn decimal_suffix(exponent: i32) -> Option<&'static str> {
    Some(match exponent {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        0 => "",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => return None,
    })
}

fn split(text: &str) -> Result<Parts<'_>, ParseError> {
    let (negative, rest) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let unpadded = rest.trim_start_matches('0');
    let (whole, tail) = take_digits(unpadded);
    let (fraction, suffix) = match tail.strip_prefix('.') {
        Some(tail) => take_digits(tail),
        None => ("", tail),
    };
    let after_letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let after_sign = after_letters.strip_prefix(['-', '+']).unwrap_or(after_letters);
    if !take_digits(after_sign).1.is_empty() {
        return Err(ParseError::Format);
    }
    let has_digits = unpadded.len() < rest.len() || !whole.is_empty() || !fraction.is_empty();
    Ok(Parts { negative, whole, fraction, suffix, has_digits })
}

fn take_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn interpret(suffix: &str) -> Result<(Unit, Format), ParseError> {
    for exponent in (-9..=18).step_by(3) {
        if decimal_suffix(exponent) == Some(suffix) {
            return Ok((Unit::Decimal(exponent), Format::DecimalSi));
        }
    }
    for (i, letter) in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].into_iter().zip(1..) {
        if i == suffix {
            return Ok((Unit::Binary(10 * letter), Format::BinarySi));
        }
    }
    let exponent: i64 = suffix.strip_prefix(['e', 'E']).and_then(|e| e.parse().ok()).ok_or(ParseError::Suffix)?;
    let exponent = i32::try_from(exponent).map_err(|_| ParseError::Suffix)?;
    if exponent == i32::MIN {
        return Err(ParseError::Suffix);
    }
    Ok((Unit::Decimal(exponent), Format::DecimalExponent))
}

/// Upstream takes a missing number for zero, except where its fast path does not reach.
fn needs_digits(unit: &Unit) -> bool {
    match unit {
        Unit::Decimal(exponent) => *exponent < NANO,
        Unit::Binary(exponent) => *exponent >= 50,
    }
}

/// Whether upstream takes the text for canonical and keeps it. That it does not always look closely is visible to
/// clients, in what they read back.
fn is_kept(text: &str, parts: &Parts<'_>, unit: &Unit, format: Format) -> bool {
    // Without these marks, what upstream keeps is canonical.
    let unsigned = text.trim_start_matches('-');
    let marked = unsigned.starts_with(['+', '0']) || unsigned.contains('.') || format == Format::DecimalExponent;
    if !marked {
        return false;
    }
    let whole = if parts.whole.is_empty() { "0" } else { parts.whole };
    match unit {
        Unit::Decimal(exponent) => {
            let digits = whole.len() + parts.fraction.len();
            let scale = i64::from(*exponent) - parts.fraction.len() as i64;
            let last = if parts.fraction.is_empty() { whole } else { parts.fraction };
            let ends_with_zeros = match last.len() {
                0..3 => [whole, parts.fraction].concat().ends_with("000"),
                _ => last.ends_with("000"),
            };
            digits <= FAST_DIGITS
                && scale >= i64::from(NANO)
                && scale % 3 == 0
                && !ends_with_zeros
                && !whole.starts_with('0')
        }
        Unit::Binary(exponent) => {
            let fast_digits = 14_i64 - i64::from(exponent * 3 / 10);
            let value: u64 = whole.parse().unwrap_or(0);
            parts.fraction.is_empty() && whole.len() as i64 <= fast_digits && value & 7 != 0
        }
    }
}
