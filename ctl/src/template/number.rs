//! Numbers as templates write them, and their types.

/// A number, with how it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) written: String,
    pub(super) value: Constant,
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Constant {
    Int(i64),
    /// A whole number that is too large for an `int`.
    Huge,
    Float(f64),
}

impl Number {
    /// Reads a number.
    pub(super) fn parse(written: &str) -> Result<Number, String> {
        let number = |value| Ok(Number { written: written.to_owned(), value });
        if let Some(inner) = written.strip_prefix('\'') {
            let malformed = || format!("malformed character constant: {written}");
            let inner = inner.strip_suffix('\'').ok_or_else(malformed)?;
            let (character, rest) = super::lex::unescaped(inner, '\'').ok_or_else(|| "invalid syntax".to_owned())?;
            return if rest.is_empty() {
                number(Constant::Int(i64::from(u32::from(character))))
            } else {
                Err(malformed())
            };
        }
        if let Some(whole) = integer(written) {
            return whole.map_or_else(|| number(Constant::Huge), |whole| number(Constant::Int(whole)));
        }
        let digits: String = written.chars().filter(|it| *it != '_').collect();
        let is_decimal = digits.chars().all(|it| it.is_ascii_digit() || matches!(it, '+' | '-' | '.' | 'e' | 'E'));
        match digits.parse::<f64>() {
            Ok(_) if is_decimal && !digits.contains(['.', 'e', 'E']) => Err(format!("integer overflow: {written:?}")),
            Ok(value) if is_decimal && value.is_finite() => number(Constant::Float(value)),
            _ => Err(format!("illegal number syntax: {written:?}")),
        }
    }
}

/// A whole number, in any base; none inside if only a `uint64` has room for it. Nothing if it is no whole number, or larger.
fn integer(written: &str) -> Option<Option<i64>> {
    let (sign, unsigned) = match written.as_bytes().first()? {
        b'-' => (-1_i128, &written[1..]),
        b'+' => (1, &written[1..]),
        _ => (1, written),
    };
    let bases = [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)];
    let based = bases.iter().find_map(|(prefix, base)| Some((unsigned.strip_prefix(prefix)?, *base)));
    let (digits, base) = based.unwrap_or_else(|| match unsigned.strip_prefix('0') {
        Some(rest) if !rest.is_empty() => (rest, 8),
        _ => (unsigned, 10),
    });
    let digits: String = digits.chars().filter(|it| *it != '_').collect();
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    let value = sign * i128::from_str_radix(&digits, base).ok()?;
    let fits = i64::try_from(value).ok();
    (fits.is_some() || u64::try_from(value).is_ok()).then_some(fits)
}
