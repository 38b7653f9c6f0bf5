//! Exact decimal numbers: an integer of any size times a power of ten.
//!
//! Nearly all quantities fit 128 bits and never allocate; what does not fit moves on to a big integer, and back when it
//! fits again. Scales stay within a few thousand, since parsing and construction bound them.

use std::cmp::Ordering;
use std::fmt;

use num_bigint::{BigInt, Sign};

/// `integer * 10^scale`; zero has scale 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Amount {
    integer: Integer,
    scale: i32,
}

impl Amount {
    pub(super) fn new(integer: i128, scale: i32) -> Self {
        Self::of(Integer::Small(integer), scale)
    }

    /// The number that decimal digits spell; none spell zero.
    pub(super) fn from_digits(digits: &str) -> Self {
        if digits.is_empty() {
            return Self::default();
        }
        match digits.parse::<i128>() {
            Ok(small) => Self::new(small, 0),
            Err(_) => Self::of(BigInt::parse_bytes(digits.as_bytes(), 10).unwrap_or_default().into(), 0),
        }
    }

    /// Times ten to the power of `by`.
    pub(super) fn shift(self, by: i32) -> Self {
        Self::of(self.integer, self.scale.saturating_add(by))
    }

    pub(super) fn signum(&self) -> i32 {
        self.integer.signum()
    }

    pub(super) fn neg(&self) -> Self {
        Self { integer: self.integer.mul(&Integer::Small(-1)), scale: self.scale }
    }

    pub(super) fn mul(&self, factor: i64) -> Self {
        Self::of(self.integer.mul(&Integer::Small(factor.into())), self.scale)
    }

    pub(super) fn add(&self, other: &Self) -> Self {
        if self.signum() == 0 {
            return other.clone();
        }
        if other.signum() == 0 {
            return self.clone();
        }
        let (a, b, scale) = self.aligned(other);
        Self::of(a.add(&b), scale)
    }

    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        if self.scale == other.scale || self.signum() != other.signum() {
            // Of different signs, the integers alone decide.
            return self.integer.cmp(&other.integer);
        }
        let (a, b, _) = self.aligned(other);
        a.cmp(&b)
    }

    /// Rounded away from zero to a multiple of ten to the power of `scale`, and whether nothing was lost.
    pub(super) fn round_up(&self, scale: i32) -> (Self, bool) {
        if self.scale >= scale || self.signum() == 0 {
            return (self.clone(), true);
        }
        let drop = scale.abs_diff(self.scale);
        if drop > self.integer.max_digits() {
            return (Self::new(self.signum().into(), scale), false);
        }
        let (quotient, exact) = self.integer.div_rem(&Integer::power_of_ten(drop));
        let away = if exact { Integer::Small(0) } else { Integer::Small(self.signum().into()) };
        (Self::of(quotient.add(&away), scale), exact)
    }

    /// In units of ten to the power of `scale`, rounded away from zero and saturating.
    pub(super) fn saturating_i64_at(&self, scale: i32) -> i64 {
        let (rounded, _) = self.round_up(scale);
        let limit = if self.signum() < 0 { i64::MIN } else { i64::MAX };
        match rounded.scale.saturating_sub(scale) {
            up if up <= 0 || rounded.signum() == 0 => rounded.integer.to_i64().unwrap_or(limit),
            // More zeros than 64 bits can hold.
            19.. => limit,
            up => rounded.integer.mul(&Integer::power_of_ten(up.unsigned_abs())).to_i64().unwrap_or(limit),
        }
    }

    /// In units, where that is a whole number of 64 bits.
    pub(super) fn exact_i64(&self) -> Option<i64> {
        let (rounded, exact) = self.round_up(0);
        match rounded.scale {
            0 if exact => rounded.integer.to_i64(),
            1..19 if exact => rounded.integer.mul(&Integer::power_of_ten(rounded.scale.unsigned_abs())).to_i64(),
            _ => None,
        }
    }

    pub(super) fn to_f64(&self) -> f64 {
        // The standard library rounds decimal text correctly, and the text is well-formed.
        format!("{}e{}", self.integer, self.scale).parse().unwrap_or(f64::NAN)
    }

    /// The integer and the greatest power of ten divisible by three that lose nothing.
    pub(super) fn in_1000s(&self) -> (String, i32) {
        let (stripped, tens) = self.integer.strip_factor(10);
        let exponent = self.scale.saturating_add_unsigned(tens);
        let rest = exponent.rem_euclid(3);
        let integer = stripped.mul(&Integer::power_of_ten(rest.unsigned_abs()));
        (integer.to_string(), exponent - rest)
    }

    /// The integer and the greatest power of 1024 that lose nothing; none for what is not whole.
    pub(super) fn whole_in_1024s(&self) -> Option<(String, u32)> {
        let (whole, exact) = self.round_up(0);
        if !exact {
            return None;
        }
        let whole = whole.integer.mul(&Integer::power_of_ten(whole.scale.max(0).unsigned_abs()));
        let (integer, power) = whole.strip_factor(1024);
        Some((integer.to_string(), power))
    }

    fn of(integer: Integer, scale: i32) -> Self {
        let scale = if integer.signum() == 0 { 0 } else { scale };
        Self { integer, scale }
    }

    /// Both integers at the lesser of the two scales.
    fn aligned(&self, other: &Self) -> (Integer, Integer, i32) {
        let scale = self.scale.min(other.scale);
        let at = |amount: &Self| match amount.scale.abs_diff(scale) {
            0 => amount.integer.clone(),
            up => amount.integer.mul(&Integer::power_of_ten(up)),
        };
        (at(self), at(other), scale)
    }
}

/// An integer that is small whenever it fits.
#[derive(Clone, Debug)]
enum Integer {
    Small(i128),
    Big(BigInt),
}

impl Integer {
    fn power_of_ten(exponent: u32) -> Self {
        match 10_i128.checked_pow(exponent) {
            Some(power) => Self::Small(power),
            None => Self::Big(BigInt::from(10).pow(exponent)),
        }
    }

    fn signum(&self) -> i32 {
        match self {
            Self::Small(small) => small.signum() as i32,
            Self::Big(big) => match big.sign() {
                Sign::Minus => -1,
                Sign::NoSign => 0,
                Sign::Plus => 1,
            },
        }
    }

    /// At least the number of decimal digits.
    fn max_digits(&self) -> u32 {
        match self {
            Self::Small(_) => 39,
            Self::Big(big) => u32::try_from(big.bits() / 3 + 1).unwrap_or(u32::MAX),
        }
    }

    fn mul(&self, other: &Self) -> Self {
        if let (Self::Small(a), Self::Small(b)) = (self, other)
            && let Some(product) = a.checked_mul(*b)
        {
            return Self::Small(product);
        }
        (self.to_big() * other.to_big()).into()
    }

    fn add(&self, other: &Self) -> Self {
        if let (Self::Small(a), Self::Small(b)) = (self, other)
            && let Some(sum) = a.checked_add(*b)
        {
            return Self::Small(sum);
        }
        (self.to_big() + other.to_big()).into()
    }

    /// The quotient, cut toward zero, and whether nothing remains. The divisor is positive.
    fn div_rem(&self, divisor: &Self) -> (Self, bool) {
        if let (Self::Small(a), Self::Small(b)) = (self, divisor) {
            return (Self::Small(a / b), a % b == 0);
        }
        let (a, b) = (self.to_big(), divisor.to_big());
        let quotient = &a / &b;
        let exact = &quotient * b == a;
        (quotient.into(), exact)
    }

    /// Without its factors `factor`, and how many there were. Zero has none.
    fn strip_factor(&self, factor: i128) -> (Self, u32) {
        let (mut integer, mut count) = (self.clone(), 0);
        while integer.signum() != 0 {
            match integer.div_rem(&Self::Small(factor)) {
                (quotient, true) => integer = quotient,
                _ => break,
            }
            count += 1;
        }
        (integer, count)
    }

    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Small(a), Self::Small(b)) => a.cmp(b),
            _ => self.to_big().cmp(&other.to_big()),
        }
    }

    fn to_i64(&self) -> Option<i64> {
        match self {
            Self::Small(small) => i64::try_from(*small).ok(),
            Self::Big(_) => None,
        }
    }

    fn to_big(&self) -> BigInt {
        match self {
            Self::Small(small) => BigInt::from(*small),
            Self::Big(big) => big.clone(),
        }
    }
}

impl Default for Integer {
    fn default() -> Self {
        Self::Small(0)
    }
}

impl From<BigInt> for Integer {
    fn from(big: BigInt) -> Self {
        i128::try_from(&big).map_or(Self::Big(big), Self::Small)
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small(small) => write!(f, "{small}"),
            Self::Big(big) => write!(f, "{big}"),
        }
    }
}
