//! How long images wait that could not be pulled. Pure: the time comes in.
//!
//! Upstream's rules: each failure doubles the wait up to a bound, and what has not failed for twice the bound is forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How many failures are remembered. Of more the oldest is forgotten, and tried early.
const REMEMBERED: usize = 4096;

/// What failed, by a key of the caller's.
#[derive(Debug)]
pub(super) struct BackOff {
    first: Duration,
    longest: Duration,
    failures: BTreeMap<String, Failure>,
}

#[derive(Debug)]
struct Failure {
    wait: Duration,
    last: Instant,
    why: String,
}

impl BackOff {
    pub(super) fn new(first: Duration, longest: Duration) -> BackOff {
        BackOff { first, longest, failures: BTreeMap::new() }
    }

    /// How long `key` has to wait from now, and why; nothing if it need not.
    pub(super) fn waiting(&self, key: &str, now: Instant) -> Option<(Duration, String)> {
        let failure = self.failures.get(key)?;
        let left = failure.wait.saturating_sub(now.duration_since(failure.last));
        (!left.is_zero()).then(|| (left, failure.why.clone()))
    }

    /// Remembers that `key` failed now, and says how long it has to wait.
    pub(super) fn failed(&mut self, key: &str, why: String, now: Instant) -> Duration {
        let forgotten = self.longest * 2;
        self.failures.retain(|_, failure| now.duration_since(failure.last) <= forgotten);
        let wait = match self.failures.get(key) {
            Some(failure) => (failure.wait * 2).min(self.longest),
            None => self.first,
        };
        if self.failures.len() >= REMEMBERED
            && !self.failures.contains_key(key)
            && let Some(oldest) = self.failures.iter().min_by_key(|(_, failure)| failure.last)
        {
            let oldest = oldest.0.clone();
            self.failures.remove(&oldest);
        }
        self.failures.insert(key.to_owned(), Failure { wait, last: now, why });
        wait
    }

    /// Forgets that `key` ever failed.
    pub(super) fn succeeded(&mut self, key: &str) {
        self.failures.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_their_bound_and_are_forgotten() {
        let mut back_off = BackOff::new(10 * SECOND, 300 * SECOND);
        let mut now = Instant::now();
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            let wait = back_off.failed("a", "why".to_owned(), now);
            assert_eq!(wait, expected * SECOND);
            assert_eq!(back_off.waiting("a", now), Some((wait, "why".to_owned())));
            assert_eq!(back_off.waiting("a", now + wait - SECOND), Some((SECOND, "why".to_owned())));
            assert_eq!(back_off.waiting("a", now + wait), None);
            assert_eq!(back_off.waiting("b", now), None);
            now += wait;
        }
        now += 601 * SECOND;
        assert_eq!(back_off.failed("a", String::new(), now), 10 * SECOND);
        back_off.succeeded("a");
        assert_eq!(back_off.waiting("a", now), None);
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let mut back_off = BackOff::new(SECOND, 300 * SECOND);
        let now = Instant::now();
        for number in 0..REMEMBERED + 10 {
            back_off.failed(&number.to_string(), String::new(), now + Duration::from_millis(number as u64));
        }
        assert_eq!(back_off.failures.len(), REMEMBERED);
        assert!(back_off.failures.contains_key(&(REMEMBERED + 9).to_string()));
        assert!(!back_off.failures.contains_key("9"));
    }
}
