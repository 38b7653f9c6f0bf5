//! Durations as configuration files write them: in the notation of Go, such as `1m30s`.

use std::fmt;
use std::time::Duration;

use api::cron::duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration, which may be negative until it has been validated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(i64);

impl GoDuration {
    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: i32) -> GoDuration {
        GoDuration(seconds as i64 * 1_000_000_000)
    }

    /// It as the standard library's, which is zero if it is negative.
    #[must_use]
    pub fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let decimal = |value: u64, unit: u64| {
            let digits = format!("{}.{:0width$}", value / unit, value % unit, width = unit.ilog10() as usize);
            digits.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        match total {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{sign}{total}ns"),
            1_000..1_000_000 => write!(f, "{sign}{}µs", decimal(total, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{sign}{}ms", decimal(total, 1_000_000)),
            _ => {
                let (minutes, rest) = (total / 60_000_000_000, total % 60_000_000_000);
                let seconds = if rest == 0 { "0".to_owned() } else { decimal(rest, 1_000_000_000) };
                match (minutes / 60, minutes % 60) {
                    (0, 0) => write!(f, "{sign}{seconds}s"),
                    (0, minutes) => write!(f, "{sign}{minutes}m{seconds}s"),
                    (hours, minutes) => write!(f, "{sign}{hours}h{minutes}m{seconds}s"),
                }
            }
        }
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GoDuration, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration::parse(&text).map(GoDuration).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        let check = |text: &str, expected: &str| {
            let read: GoDuration = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), expected, "{text}");
        };
        check("0", "0s");
        check("15s", "15s");
        check("1m30s", "1m30s");
        check("90m", "1h30m0s");
        check("-2s", "-2s");
        check("1ms500us", "1.5ms");
        check("3ns", "3ns");
        check("1500ns", "1.5µs");
        check("1.000000001s", "1.000000001s");
        assert!(serde_json::from_value::<GoDuration>("15".into()).is_err());
    }
}
