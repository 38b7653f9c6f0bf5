//! How fast CPU time is used, from two readings of how much was used.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Cpu;

/// Two readings closer together than this say little; the rate before is told again.
const LEAST_NANOSECONDS: i128 = 100_000_000;

/// The readings before, by what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates(BTreeMap<String, Reading>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    at: Timestamp,
    total: u64,
    rate: Option<u64>,
}

impl Rates {
    /// `cpu` with its rate, and what is to be remembered of it in `next`.
    pub(super) fn rated(&self, key: &str, cpu: Cpu, next: &mut Rates) -> Cpu {
        let before = self.0.get(key).copied();
        let (rate, reading) = match before {
            Some(before) => {
                let passed = cpu.at.as_nanosecond() - before.at.as_nanosecond();
                if cpu.total_nanoseconds < before.total {
                    // It began anew, or the clock was set.
                    (None, Reading { at: cpu.at, total: cpu.total_nanoseconds, rate: None })
                } else if passed < LEAST_NANOSECONDS {
                    (before.rate, before)
                } else {
                    let used = u128::from(cpu.total_nanoseconds - before.total) * 1_000_000_000;
                    let rate = u64::try_from(used / passed.unsigned_abs()).ok();
                    (rate, Reading { at: cpu.at, total: cpu.total_nanoseconds, rate })
                }
            }
            None => (None, Reading { at: cpu.at, total: cpu.total_nanoseconds, rate: None }),
        };
        next.0.insert(key.to_owned(), reading);
        Cpu { rate: rate.or(cpu.rate), ..cpu }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_two_readings() {
        let cpu = |millis, total_nanoseconds| Cpu {
            at: Timestamp::from_millisecond(millis).unwrap(),
            total_nanoseconds,
            rate: None,
        };
        let mut rates = Rates::default();
        let mut read = |millis, total| {
            let mut next = Rates::default();
            let rate = rates.rated("a", cpu(millis, total), &mut next).rate;
            rates = next;
            rate
        };
        assert_eq!(read(10_000, 5_000_000_000), None);
        assert_eq!(read(12_000, 6_000_000_000), Some(500_000_000), "a second in two");
        assert_eq!(read(12_050, 6_050_000_000), Some(500_000_000), "too soon to say");
        assert_eq!(read(13_000, 8_000_000_000), Some(2_000_000_000), "since the last reading that counted");
        assert_eq!(read(14_000, 1_000_000_000), None, "it began anew");
        assert_eq!(read(15_000, 1_500_000_000), Some(500_000_000));
    }

    #[test]
    fn a_rate_that_somebody_else_knows_will_do_at_first() {
        let cpu = Cpu { at: Timestamp::UNIX_EPOCH, total_nanoseconds: 1, rate: Some(7) };
        assert_eq!(Rates::default().rated("a", cpu, &mut Rates::default()).rate, Some(7));
    }
}
