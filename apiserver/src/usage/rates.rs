//! How fast CPU time is used, from readings of how much was used.

use k8s_openapi::jiff::Timestamp;

/// Readings further apart than this say what was, and little of what is; then what the kubelet itself says is better.
const FAR_APART: i128 = 120 * SECOND;
/// Over what a kubelet says how fast CPU time is used: the interval in which upstream's look at containers.
const KUBELETS_WINDOW: i128 = 10 * SECOND;
const SECOND: i128 = 1_000_000_000;

/// What a kubelet said once of a node or a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// When it was read.
    pub(super) at: Timestamp,
    /// When what it is about began.
    pub(super) started: Timestamp,
    /// Nanoseconds of CPU time since then.
    pub(super) total: u64,
    /// Nanoseconds of CPU time in a second, as the kubelet sees it.
    pub(super) rate: Option<u64>,
    /// Bytes of memory that cannot be taken back at once.
    pub(super) memory: u64,
}

/// The last readings of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Track {
    before: Option<Reading>,
    last: Reading,
}

/// What is used, and over which time that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used {
    /// When it was read.
    pub(super) at: Timestamp,
    /// Nanoseconds.
    pub(super) window: i128,
    /// Nanoseconds of CPU time in a second.
    pub(super) cpu: u64,
    /// Bytes.
    pub(super) memory: u64,
}

impl Track {
    pub(super) fn new(reading: Reading) -> Track {
        Track { before: None, last: reading }
    }

    /// With one reading more. One that is no newer than the last is the same again.
    pub(super) fn with(self, reading: Reading) -> Track {
        if reading.at <= self.last.at {
            return self;
        }
        // What began anew, or was set back, has no past.
        let goes_on = reading.started == self.last.started && reading.total >= self.last.total;
        Track { before: goes_on.then_some(self.last), last: reading }
    }

    /// By the last two readings; without, by what the kubelet says; without that, by all that was used since the beginning.
    pub(super) fn used(&self) -> Option<Used> {
        let last = self.last;
        let since = |from: Timestamp| last.at.as_nanosecond() - from.as_nanosecond();
        let before = self.before.filter(|before| since(before.at) <= FAR_APART || last.rate.is_none());
        let (window, cpu) = match (before, last.rate) {
            (Some(before), _) => {
                let window = since(before.at);
                (window, per_second(last.total - before.total, window)?)
            }
            (None, Some(rate)) => (KUBELETS_WINDOW, rate),
            (None, None) => {
                let window = since(last.started);
                (window, per_second(last.total, window)?)
            }
        };
        Some(Used { at: last.at, window, cpu, memory: last.memory })
    }
}

fn per_second(used: u64, window: i128) -> Option<u64> {
    (window > 0).then(|| u64::try_from(i128::from(used) * SECOND / window).ok()).flatten()
}

/// A time as Go writes durations: `10.062s`, `1m30s`, `1h0m0s`, `500ms`.
pub(super) fn go_duration(nanoseconds: i128) -> String {
    let nanoseconds = nanoseconds.max(0).unsigned_abs();
    let fraction = |value: u128, unit: u128, digits: usize| {
        let rest = format!("{:0digits$}", value % unit);
        let rest = rest.trim_end_matches('0');
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{}{dot}{rest}", value / unit)
    };
    match nanoseconds {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => format!("{}\u{b5}s", fraction(nanoseconds, 1_000, 3)),
        1_000_000..1_000_000_000 => format!("{}ms", fraction(nanoseconds, 1_000_000, 6)),
        _ => {
            let minute = 60 * SECOND.unsigned_abs();
            let (hours, minutes) = (nanoseconds / (60 * minute), nanoseconds / minute % 60);
            let seconds = fraction(nanoseconds % minute, SECOND.unsigned_abs(), 9);
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, _) => format!("{minutes}m{seconds}s"),
                _ => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// Read at a second, of what began at another, with this many milliseconds of CPU time.
    fn reading(seconds: i64, started: i64, total: u64, rate: Option<u64>) -> Reading {
        Reading { at: at(seconds), started: at(started), total: total * 1_000_000, rate, memory: 7 }
    }

    #[test]
    fn rates_follow_from_readings() {
        // Each with the seconds of its window and thousandths of a CPU.
        let check = |readings: &[Reading], expected: Option<(i128, u64)>| {
            let (first, others) = readings.split_first().unwrap();
            let track = others.iter().fold(Track::new(*first), |track, reading| track.with(*reading));
            let used = track.used().map(|used| (used.window / SECOND, used.cpu / 1_000_000));
            assert_eq!(used, expected, "{readings:?}");
        };
        let plain = |seconds, total| reading(seconds, 100, total, None);
        check(&[plain(200, 5_000)], Some((100, 50)));
        check(&[plain(100, 0)], None);
        check(&[reading(200, 100, 5_000, Some(7_000_000))], Some((10, 7)));
        check(&[plain(200, 5_000), plain(210, 6_000)], Some((10, 100)));
        check(&[plain(200, 5_000), plain(200, 5_000)], Some((100, 50)));
        check(&[plain(200, 5_000), plain(210, 6_000), plain(210, 6_000)], Some((10, 100)));
        check(&[plain(200, 5_000), plain(210, 6_000), plain(220, 6_000)], Some((10, 0)));
        // It was restarted, or its figures were set back.
        check(&[plain(200, 5_000), reading(210, 205, 1_000, None)], Some((5, 200)));
        check(&[plain(200, 5_000), plain(210, 1_100)], Some((110, 10)));
        // Nobody asked for long.
        check(&[plain(200, 5_000), reading(1200, 100, 6_000, Some(30_000_000))], Some((10, 30)));
        check(&[plain(200, 5_000), plain(1200, 6_000)], Some((1000, 1)));
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let check = |nanoseconds: i128, expected: &str| assert_eq!(go_duration(nanoseconds), expected);
        check(0, "0s");
        check(7, "7ns");
        check(1_500, "1.5\u{b5}s");
        check(500_000_000, "500ms");
        check(10 * SECOND, "10s");
        check(10_062_000_000, "10.062s");
        check(90 * SECOND, "1m30s");
        check(60 * SECOND, "1m0s");
        check(3_600 * SECOND, "1h0m0s");
        check(3_661 * SECOND + 5, "1h1m1.000000005s");
    }
}
