//! How often probes succeeded and failed, for `/metrics/probes`.

use std::time::Duration;

use super::probe::Kind;

/// The upper bounds of the buckets in which the durations of probes are counted, in seconds (Prometheus' own).
pub const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What became of a probe of a container: `prober_probe_total` and `prober_probe_duration_seconds`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// Which probe (label `probe_type`, by [`Kind::as_str`]).
    pub kind: Kind,
    /// The container.
    pub container: String,
    /// The pod.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// How it went.
    pub counts: Counts,
}

/// How a probe went since the agent attends to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Looks that were good (`result="successful"`).
    pub successful: u32,
    /// Looks that were not (`result="failed"`).
    pub failed: u32,
    /// How many of the good ones took at most as long as each of [`BUCKETS`] says, each bucket for itself.
    pub buckets: [u32; BUCKETS.len()],
    /// How long the good ones took in all, in seconds.
    pub seconds: f64,
}

impl Counts {
    /// Counts one look. Upstream keeps the durations of good ones alone.
    pub(super) fn add(&mut self, good: bool, took: Duration) {
        if !good {
            self.failed = self.failed.saturating_add(1);
            return;
        }
        self.successful = self.successful.saturating_add(1);
        let seconds = took.as_secs_f64();
        self.seconds += seconds;
        if let Some(at) = BUCKETS.iter().position(|most| seconds <= *most) {
            self.buckets[at] = self.buckets[at].saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_look_is_in_one_bucket_at_most() {
        let mut counts = Counts::default();
        for (good, milliseconds) in [(true, 5), (true, 6), (true, 60_000), (false, 7)] {
            counts.add(good, Duration::from_millis(milliseconds));
        }
        assert_eq!((counts.successful, counts.failed), (3, 1));
        assert_eq!(counts.buckets[..3], [1, 1, 0]);
        assert_eq!(counts.buckets.iter().sum::<u32>(), 2);
        assert!((counts.seconds - 60.011).abs() < 1e-9);
    }
}
