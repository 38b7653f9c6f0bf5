//! When a node counts as running out of something: as it is written on the command line, and compared with what there is.
//! Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use api::quantity::{Format, Quantity};

use super::{Observation, Signal};

/// How much of something.
#[derive(Clone, Debug, PartialEq)]
pub enum Amount {
    /// So much.
    Quantity(Quantity),
    /// Such a part of all there is; 1 is all of it.
    Part(f32),
}

/// That the node runs out of something when less is left than so much.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Of what.
    pub signal: Signal,
    /// Less than how much.
    pub less_than: Amount,
    /// For how long it must have been so until pods go; at once if that is zero (a hard threshold).
    pub grace: Duration,
    /// How much more than `less_than` must be left until enough was reclaimed.
    pub reclaim: Option<Amount>,
}

/// Thresholds as they are written on the command line: `memory.available<100Mi,nodefs.available<10%`, and with `=` for
/// times and for the least to be reclaimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written<'a> {
    /// `--eviction-hard`; upstream's defaults if it is not said.
    pub hard: Option<&'a str>,
    /// `--eviction-soft`.
    pub soft: &'a str,
    /// `--eviction-soft-grace-period`: one for each soft threshold.
    pub grace_periods: &'a str,
    /// `--eviction-minimum-reclaim`.
    pub minimum_reclaim: &'a str,
}

/// What is wrong with thresholds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// It is not written as it should be.
    #[error("--{option}: {text:?} is not written as {form}")]
    Form {
        /// The option.
        option: &'static str,
        /// What is written.
        text: String,
        /// How it should be.
        form: &'static str,
    },
    /// There is nothing of that name.
    #[error(
        "--{option}: {name:?} is nothing that a node can run out of: memory.available, nodefs.available, \
             nodefs.inodesFree, imagefs.available, imagefs.inodesFree and pid.available are"
    )]
    Signal {
        /// The option.
        option: &'static str,
        /// What is written.
        name: String,
    },
    /// The amount is none.
    #[error("--{option}: {text:?} is no amount: write a positive quantity, such as 100Mi, or a percentage up to 100%")]
    Amount {
        /// The option.
        option: &'static str,
        /// What is written.
        text: String,
    },
    /// A soft threshold has no time.
    #[error("--eviction-soft: {0} needs a time in --eviction-soft-grace-period")]
    NoGrace(&'static str),
}

/// Upstream's hard thresholds on Linux.
#[must_use]
pub fn defaults() -> Vec<Threshold> {
    let hard = |signal, less_than| Threshold { signal, less_than, grace: Duration::ZERO, reclaim: None };
    vec![
        hard(Signal::Memory, Amount::Quantity(Quantity::new(100 << 20, Format::BinarySi))),
        hard(Signal::NodeBytes, Amount::Part(0.1)),
        hard(Signal::NodeInodes, Amount::Part(0.05)),
        hard(Signal::ImageBytes, Amount::Part(0.15)),
        hard(Signal::ImageInodes, Amount::Part(0.05)),
    ]
}

/// Reads thresholds.
pub fn parse(written: &Written<'_>) -> Result<Vec<Threshold>, ThresholdError> {
    const HARD: &str = "eviction-hard";
    const SOFT: &str = "eviction-soft";
    const GRACE: &str = "eviction-soft-grace-period";
    const RECLAIM: &str = "eviction-minimum-reclaim";
    let mut thresholds = match written.hard {
        None => defaults(),
        Some(text) => amounts(HARD, text, '<')?
            .into_iter()
            .map(|(signal, less_than)| Threshold { signal, less_than, grace: Duration::ZERO, reclaim: None })
            .collect(),
    };
    let mut graces = BTreeMap::new();
    for (signal, text) in pairs(GRACE, written.grace_periods, '=')? {
        let form = "memory.available=1m30s, with a positive time";
        let wrong = || ThresholdError::Form { option: GRACE, text: text.to_owned(), form };
        let grace = duration(text).filter(|grace| !grace.is_zero()).ok_or_else(wrong)?;
        graces.insert(signal, grace);
    }
    for (signal, less_than) in amounts(SOFT, written.soft, '<')? {
        let grace = *graces.get(&signal).ok_or(ThresholdError::NoGrace(signal.name()))?;
        thresholds.push(Threshold { signal, less_than, grace, reclaim: None });
    }
    let reclaims: BTreeMap<_, _> = amounts(RECLAIM, written.minimum_reclaim, '=')?.into_iter().collect();
    for threshold in &mut thresholds {
        threshold.reclaim = reclaims.get(&threshold.signal).cloned();
    }
    Ok(thresholds)
}

/// What is written of each signal.
fn pairs<'a>(option: &'static str, text: &'a str, separator: char) -> Result<Vec<(Signal, &'a str)>, ThresholdError> {
    let form = if separator == '<' { "memory.available<100Mi" } else { "memory.available=100Mi" };
    let written = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let read = written.map(|part| {
        let wrong = || ThresholdError::Form { option, text: part.to_owned(), form };
        let (name, value) = part.split_once(separator).ok_or_else(wrong)?;
        let signal = Signal::ALL.into_iter().find(|signal| signal.name() == name.trim());
        let signal = signal.ok_or_else(|| ThresholdError::Signal { option, name: name.trim().to_owned() })?;
        Ok((signal, value.trim()))
    });
    read.collect()
}

/// The amounts that are written of each signal. None of it and all of it turn a threshold off.
fn amounts(option: &'static str, text: &str, separator: char) -> Result<Vec<(Signal, Amount)>, ThresholdError> {
    let mut amounts = Vec::new();
    for (signal, text) in pairs(option, text, separator)? {
        if text != "0%" && text != "100%" {
            let amount = amount(text).ok_or_else(|| ThresholdError::Amount { option, text: text.to_owned() })?;
            amounts.push((signal, amount));
        }
    }
    Ok(amounts)
}

fn amount(text: &str) -> Option<Amount> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f32 = percent.parse().ok()?;
        return (0.0..=100.0).contains(&percent).then_some(Amount::Part(percent / 100.0));
    }
    let quantity = Quantity::parse(text).ok().filter(|quantity| quantity.signum() > 0)?;
    Some(Amount::Quantity(quantity))
}

/// A time as it is written: `1h`, `1m30s`, `90s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit =
            rest[digits..].find(|character: char| character.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let milliseconds: u64 = match &rest[digits..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        sum = sum.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(sum)
}

impl Amount {
    /// How much that is, of so much in all.
    pub(super) fn of(&self, capacity: i64) -> Quantity {
        match self {
            Amount::Quantity(quantity) => quantity.clone(),
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "as upstream rounds")]
            Amount::Part(part) => Quantity::new((capacity as f64 * f64::from(*part)) as i64, Format::BinarySi),
        }
    }
}

/// The thresholds that are crossed, however long; with `reclaiming`, also those of which not enough was reclaimed yet.
pub(super) fn met(
    thresholds: &[Threshold],
    observed: &BTreeMap<Signal, Observation>,
    reclaiming: bool,
) -> Vec<Threshold> {
    let is_met = |threshold: &&Threshold| {
        let Some(observation) = observed.get(&threshold.signal) else { return false };
        let mut least = threshold.less_than.of(observation.capacity);
        if reclaiming && let Some(reclaim) = &threshold.reclaim {
            least.add(&reclaim.of(observation.capacity));
        }
        observation.available < least
    };
    thresholds.iter().filter(is_met).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, seconds) in [("90s", 90), ("1m30s", 90), ("1h", 3600), ("1h1m1s", 3661), ("1000ms", 1)] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "1", "s", "1d", "-1s", "1m 30s", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn thresholds_are_read() {
        let written = Written {
            hard: Some("memory.available<5%, pid.available<100,nodefs.available<0%"),
            soft: "memory.available<1Gi",
            grace_periods: "memory.available=1m30s",
            minimum_reclaim: "memory.available=50Mi,imagefs.available=1%",
        };
        let read = parse(&written).unwrap();
        let reclaim = Some(Amount::Quantity(Quantity::parse("50Mi").unwrap()));
        let expected = [
            (Signal::Memory, Amount::Part(0.05), 0, reclaim.clone()),
            (Signal::Processes, Amount::Quantity(Quantity::parse("100").unwrap()), 0, None),
            (Signal::Memory, Amount::Quantity(Quantity::parse("1Gi").unwrap()), 90, reclaim),
        ];
        let expected = expected.map(|(signal, less_than, grace, reclaim)| Threshold {
            signal,
            less_than,
            grace: Duration::from_secs(grace),
            reclaim,
        });
        assert_eq!(read, expected);
        assert_eq!(parse(&Written::default()).unwrap(), defaults());
        assert_eq!(parse(&Written { hard: Some(""), ..Written::default() }).unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let soft = |soft, grace_periods| Written { soft, grace_periods, ..Written::default() };
        let hard = |hard| Written { hard: Some(hard), ..Written::default() };
        for (written, said) in [
            (hard("memory.available>1Gi"), "--eviction-hard: \"memory.available>1Gi\" is not written as"),
            (hard("cpu.available<1"), "--eviction-hard: \"cpu.available\" is nothing"),
            (hard("memory.available<-1Gi"), "--eviction-hard: \"-1Gi\" is no amount"),
            (hard("memory.available<0"), "--eviction-hard: \"0\" is no amount"),
            (hard("memory.available<101%"), "--eviction-hard: \"101%\" is no amount"),
            (soft("memory.available<1Gi", ""), "--eviction-soft: memory.available needs a time"),
            (soft("", "memory.available=0s"), "--eviction-soft-grace-period: \"0s\" is not written as"),
            (
                Written { minimum_reclaim: "memory.available=x", ..Written::default() },
                "--eviction-minimum-reclaim: \"x\" is no amount",
            ),
        ] {
            let error = parse(&written).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
