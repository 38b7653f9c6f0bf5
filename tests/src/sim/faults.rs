//! What goes wrong, and when: drawn from one generator, in the order in which it is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// The source of everything random in a run. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Faults {
    generator: Arc<Mutex<SmallRng>>,
    healed: Arc<AtomicBool>,
    injected: Arc<AtomicU64>,
}

impl Faults {
    /// What follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Faults {
        let generator = Arc::new(Mutex::new(SmallRng::seed_from_u64(seed)));
        Faults { generator, healed: Arc::default(), injected: Arc::default() }
    }

    /// Whether something that goes wrong once in `often` times goes wrong now.
    #[must_use]
    pub fn strikes(&self, often: u32) -> bool {
        let strikes = self.generator.lock().random_ratio(1, often) && !self.healed.load(Ordering::Relaxed);
        if strikes {
            self.injected.fetch_add(1, Ordering::Relaxed);
        }
        strikes
    }

    /// A number below `bound`.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        self.generator.lock().random_range(0..bound.max(1))
    }

    /// 64 random bits.
    #[must_use]
    pub fn bits(&self) -> u64 {
        self.generator.lock().random()
    }

    /// A time up to `longest`.
    #[must_use]
    pub fn up_to(&self, longest: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(longest.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Lets nothing go wrong any more.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
    }

    /// Whether nothing goes wrong any more.
    #[must_use]
    pub fn healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    /// How often something went wrong.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.injected.load(Ordering::Relaxed)
    }
}
