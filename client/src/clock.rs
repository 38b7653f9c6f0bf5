//! What time it is: of the machine, or of a simulation that runs on tokio's paused clock.

use jiff::Timestamp;
use tokio::time::{Duration, Instant};

/// Tells the time of day. How much time passes is tokio's to say ([`tokio::time`]), everywhere.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's clock, which its administrator may set.
    Machine,
    /// A clock that showed `at` when tokio's showed `began`, and goes as that one does.
    Simulated {
        /// The time of day at the beginning.
        at: Timestamp,
        /// The beginning.
        began: Instant,
    },
}

impl Clock {
    /// A clock that shows `at` now and goes as tokio's does. To be called where tokio's clock is there.
    #[must_use]
    pub fn simulated(at: Timestamp) -> Clock {
        Clock::Simulated { at, began: Instant::now() }
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::Machine => Timestamp::now(),
            // No simulation comes to the end of time.
            Clock::Simulated { at, began } => at.checked_add(elapsed(began)).unwrap_or(*at),
        }
    }
}

fn elapsed(began: &Instant) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(began.elapsed()).unwrap_or_default()
}

/// A duration as the API states it, in whole seconds.
#[must_use]
pub fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_goes_with_tokios() {
        let begin = Timestamp::from_second(1_772_366_400).unwrap();
        let clock = Clock::simulated(begin);
        assert_eq!(clock.now(), begin);
        tokio::time::advance(Duration::from_millis(1_500)).await;
        assert_eq!(clock.now().duration_since(begin).as_millis(), 1_500);
    }
}
