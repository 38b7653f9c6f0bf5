//! Numbers that may be given as a percentage of something, such as a rollout's `maxUnavailable`.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::field::go_quote;

/// Which way a percentage that is no whole number goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Toward more.
    Up,
    /// Toward less.
    Down,
}

/// Why a value is neither a number nor a percentage. Displays in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// There is no value.
    #[error("nil value for IntOrString")]
    Missing,
    /// A string without a percent sign at its end.
    #[error("invalid value for IntOrString: invalid type: string is not a percentage")]
    NotAPercentage,
    /// A string whose part before the percent sign is no integer.
    #[error("invalid value for IntOrString: invalid value {}: strconv.Atoi: parsing {}: \
     {reason}", go_quote(.value), go_quote(.number))]
    NotANumber {
        /// The whole string.
        value: String,
        /// The part before the percent sign.
        number: String,
        /// What Go has to say of it.
        reason: &'static str,
    },
}

/// The number that `value` stands for: itself, or that percentage of `total`.
///
/// # Errors
/// See [`ScaleError`].
pub fn scaled_value(value: Option<&IntOrString>, total: i64, round: Round) -> Result<i64, ScaleError> {
    let text = match value.ok_or(ScaleError::Missing)? {
        IntOrString::Int(number) => return Ok(i64::from(*number)),
        IntOrString::String(text) => text,
    };
    let percent = parse_percent(text)?;
    let product = i128::from(percent) * i128::from(total);
    let (quotient, remainder) = (product.div_euclid(100), product.rem_euclid(100));
    let rounded = quotient + i128::from(round == Round::Up && remainder != 0);
    Ok(i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX }))
}

/// The number before the percent sign of a string.
///
/// # Errors
/// `NotAPercentage` and `NotANumber`.
pub fn parse_percent(text: &str) -> Result<i64, ScaleError> {
    let number = text.strip_suffix('%').ok_or(ScaleError::NotAPercentage)?;
    number.parse().map_err(|error: std::num::ParseIntError| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let overflow = matches!(error.kind(), PosOverflow | NegOverflow);
        let reason = if overflow { "value out of range" } else { "invalid syntax" };
        ScaleError::NotANumber { value: text.to_owned(), number: number.to_owned(), reason }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: &str) -> IntOrString {
        IntOrString::String(value.to_owned())
    }

    #[test]
    fn values_as_upstream() {
        let cases = [
            (IntOrString::Int(123), 100, Ok(123), Ok(123)),
            (IntOrString::Int(-3), 100, Ok(-3), Ok(-3)),
            (text("90%"), 100, Ok(90), Ok(90)),
            (text("90%"), 95, Ok(86), Ok(85)),
            (text("0%"), 5, Ok(0), Ok(0)),
            (text("1%"), 5, Ok(1), Ok(0)),
            (text("25%"), 10, Ok(3), Ok(2)),
            (text("150%"), 3, Ok(5), Ok(4)),
            (text("-10%"), 5, Ok(0), Ok(-1)),
            (text("10%"), 0, Ok(0), Ok(0)),
        ];
        for (value, total, up, down) in cases {
            assert_eq!(scaled_value(Some(&value), total, Round::Up), up, "{value:?}");
            assert_eq!(scaled_value(Some(&value), total, Round::Down), down, "{value:?}");
        }
    }

    #[test]
    fn refusals_in_upstreams_words() {
        let check = |value: Option<IntOrString>, expected: &str| {
            assert_eq!(scaled_value(value.as_ref(), 10, Round::Up).unwrap_err().to_string(), expected);
        };
        let head = "invalid value for IntOrString: ";
        check(None, "nil value for IntOrString");
        check(Some(text("10")), &format!("{head}invalid type: string is not a percentage"));
        check(Some(text("")), &format!("{head}invalid type: string is not a percentage"));
        check(Some(text("a%")), &format!("{head}invalid value \"a%\": strconv.Atoi: parsing \"a\": invalid syntax"));
        check(Some(text("%")), &format!("{head}invalid value \"%\": strconv.Atoi: parsing \"\": invalid syntax"));
        check(
            Some(text("99999999999999999999%")),
            &format!(
                "{head}invalid value \"99999999999999999999%\": strconv.Atoi: parsing \"99999999999999999999\": value \
                 out of range"
            ),
        );
    }

    proptest! {
        #[test]
        fn up_and_down_enclose_the_exact_value(percent in -200i64..300, total in 0i64..1_000_000) {
            let value = text(&format!("{percent}%"));
            let up = scaled_value(Some(&value), total, Round::Up).unwrap();
            let down = scaled_value(Some(&value), total, Round::Down).unwrap();
            prop_assert!(down * 100 <= percent * total && percent * total <= up * 100);
            prop_assert!(up - down <= 1);
            prop_assert_eq!(up == down, percent * total % 100 == 0);
        }
    }
}
