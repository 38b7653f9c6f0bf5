//! `resource.Quantity`: an exact decimal number with the unit in which its author wrote it.
//!
//! Arithmetic is exact at every size, and no floating point is involved. Parsing rounds away from zero to whole nanos
//! and caps binary quantities at 2^63-1, as upstream does. Every quantity has one canonical text, in the family of
//! units of its source: `1.5` is `1500m`, `1024Ki` is `1Mi`, `100e3` stays `100e3`.

mod amount;
mod parse;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use amount::Amount;
pub use parse::{MAX_EXPONENT, MAX_TEXT_BYTES, ParseError};

/// The family of units in which a quantity is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Powers of ten as exponents: `12e6`.
    DecimalExponent,
    /// Powers of two: `12Mi`.
    BinarySi,
    /// Powers of ten as letters: `12M`, `100m`.
    #[default]
    DecimalSi,
}

/// A quantity.
///
/// Compares by value: `1`, `1000m` and `1e0` are equal. Displays, and serialises, as upstream does: a text that
/// upstream takes for canonical already is kept as it was written (`+1`, `1.500`), and all others are written
/// canonically.
#[derive(Clone, Debug, Default)]
pub struct Quantity {
    amount: Amount,
    format: Format,
    /// The text as it was written, where upstream keeps it and it differs from the canonical one.
    text: Option<Box<str>>,
}

impl Quantity {
    /// `value` units.
    pub fn new(value: i64, format: Format) -> Self {
        Self::scaled(value, 0, format)
    }

    /// `value` thousandths.
    pub fn from_milli(value: i64, format: Format) -> Self {
        Self::scaled(value, -3, format)
    }

    /// `value` times ten to the power of `scale`.
    pub fn scaled(value: i64, scale: i8, format: Format) -> Self {
        Self { amount: Amount::new(value.into(), scale.into()), format, text: None }
    }

    /// Reads a quantity such as `100m`, `1.5Gi` or `2e3`.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::parse(text)
    }

    /// The family of units.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The same in another family of units.
    #[must_use]
    pub fn with_format(self, format: Format) -> Self {
        Self { amount: self.amount, format, text: None }
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.signum() == 0
    }

    /// -1, 0 or 1.
    pub fn signum(&self) -> i32 {
        self.amount.signum()
    }

    /// In whole units, rounded away from zero. Saturates.
    pub fn value(&self) -> i64 {
        self.scaled_value(0)
    }

    /// In thousandths, rounded away from zero. Saturates.
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(-3)
    }

    /// In units of ten to the power of `scale`, rounded away from zero. Saturates.
    pub fn scaled_value(&self, scale: i8) -> i64 {
        self.amount.saturating_i64_at(scale.into())
    }

    /// In units, where that is a whole number of 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        self.amount.exact_i64()
    }

    /// The nearest floating-point number. For metrics, never for decisions.
    pub fn to_f64(&self) -> f64 {
        self.amount.to_f64()
    }

    /// Rounds away from zero to a multiple of ten to the power of `scale`; tells whether nothing was lost.
    pub fn round_up(&mut self, scale: i8) -> bool {
        let (rounded, exact) = self.amount.round_up(scale.into());
        if !exact {
            *self = Self { amount: rounded, format: self.format, text: None };
        }
        exact
    }

    /// Adds `other`. Zero takes the other's family of units.
    pub fn add(&mut self, other: &Self) {
        let format = if self.is_zero() { other.format } else { self.format };
        *self = Self { amount: self.amount.add(&other.amount), format, text: None };
    }

    /// Subtracts `other`. Zero takes the other's family of units.
    pub fn sub(&mut self, other: &Self) {
        let format = if self.is_zero() { other.format } else { self.format };
        *self = Self { amount: self.amount.add(&other.amount.neg()), format, text: None };
    }

    /// Multiplies by `factor`.
    pub fn mul(&mut self, factor: i64) {
        *self = Self { amount: self.amount.mul(factor), format: self.format, text: None };
    }

    /// The same with the other sign.
    #[must_use]
    pub fn neg(&self) -> Self {
        Self { amount: self.amount.neg(), format: self.format, text: None }
    }

    /// The canonical text: no fraction, no sign but a minus, the greatest unit that loses nothing. Binary quantities
    /// below 1Ki, and those that are not whole, are written in decimal.
    pub fn canonical(&self) -> String {
        if self.is_zero() {
            return "0".to_owned();
        }
        let mut format = self.format;
        if format == Format::BinarySi {
            match self.amount.whole_in_1024s().filter(|_| self.reaches_1024()) {
                Some((number, 0)) => return number,
                Some((number, power @ 1..=6)) => {
                    return format!("{number}{}i", ["K", "M", "G", "T", "P", "E"][power as usize - 1]);
                }
                // No unit is that great: an exponent says it exactly.
                Some(_) => format = Format::DecimalExponent,
                None => format = Format::DecimalSi,
            }
        }
        let (number, exponent) = self.amount.in_1000s();
        match parse::decimal_suffix(exponent) {
            Some(suffix) if format == Format::DecimalSi => format!("{number}{suffix}"),
            _ if exponent == 0 => number,
            _ => format!("{number}e{exponent}"),
        }
    }

    fn reaches_1024(&self) -> bool {
        let bound = Amount::new(1024, 0);
        self.amount.cmp(&bound).is_ge() || self.amount.neg().cmp(&bound).is_ge()
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.pad(text),
            None => f.pad(&self.canonical()),
        }
    }
}

impl FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<&ApiQuantity> for Quantity {
    type Error = ParseError;

    /// Reads the text that a `k8s-openapi` quantity holds.
    fn try_from(quantity: &ApiQuantity) -> Result<Self, Self::Error> {
        Self::parse(quantity.0.trim())
    }
}

impl From<&Quantity> for ApiQuantity {
    fn from(quantity: &Quantity) -> Self {
        Self(quantity.to_string())
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.amount.cmp(&other.amount)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a string, or a number, as people write `cpu: 2`; `null` is zero.
impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Number(serde_json::Number),
            Null(()),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Number(number) => number.to_string(),
            Written::Null(()) => return Ok(Self::default()),
        };
        Self::parse(text.trim()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
