//! How many seats each priority level has: what its shares give it, and what it lends and borrows by what it needed lately.
//!
//! As upstream's design of API priority and fairness has it. What always holds: a level never has less than what it does not
//! lend, nor more than what it may have with what it may borrow; and who needs no more than its shares give has that.

use std::time::Duration;

/// How much of the smoothed demand is kept in each period (upstream's coefficient, which halves it in five minutes).
const KEPT: f64 = 0.977;
/// The least that a level can aim at, so that none divides by zero.
const LEAST_TARGET: f64 = 0.001;

/// What a level wants of the server's seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) shares: usize,
    /// How much of what that gives is lent, in percent.
    pub(super) lends: usize,
    /// How much may be borrowed, in percent of it; `None` for whatever there is.
    pub(super) borrows: Option<usize>,
}

/// Between what a level's seats vary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// What its shares give.
    pub(super) nominal: usize,
    pub(super) least: usize,
    pub(super) most: usize,
}

/// What the shares give of `total` seats.
pub(super) fn bounds(total: usize, levels: &[Shares]) -> Vec<Bounds> {
    let sum: usize = levels.iter().map(|level| level.shares).sum::<usize>().max(1);
    let percent = |nominal: usize, percent: usize| (nominal * percent + 50) / 100;
    let of_level = |level: &Shares| {
        let nominal = (total * level.shares).div_ceil(sum);
        let borrows = level.borrows.map_or(total, |borrows| percent(nominal, borrows));
        Bounds { nominal, least: nominal - percent(nominal, level.lends.min(100)), most: nominal + borrows }
    };
    levels.iter().map(of_level).collect()
}

/// What a level needed over time, in seats.
#[derive(Clone, Debug, Default)]
pub(super) struct Demand {
    now: f64,
    since: Duration,
    began: Duration,
    area: f64,
    area_of_squares: f64,
    highest: f64,
    smoothed: f64,
}

impl Demand {
    /// From `now` on it is this.
    pub(super) fn set(&mut self, now: Duration, seats: usize) {
        self.pass(now);
        self.now = seats as f64;
        self.highest = self.highest.max(self.now);
    }

    fn pass(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.since).as_secs_f64();
        self.since = self.since.max(now);
        self.area += self.now * passed;
        self.area_of_squares += self.now * self.now * passed;
    }

    /// Ends a period: the most that was needed in it, and what is taken to be needed from now on.
    pub(super) fn end_period(&mut self, now: Duration) -> (f64, f64) {
        self.pass(now);
        let passed = now.saturating_sub(self.began).as_secs_f64();
        if passed > 0.0 {
            let average = self.area / passed;
            let deviation = (self.area_of_squares / passed - average * average).max(0.0).sqrt();
            let envelope = average + deviation;
            self.smoothed = envelope.max(KEPT * self.smoothed + (1.0 - KEPT) * envelope);
        }
        let highest = self.highest;
        let (now_needed, since, smoothed) = (self.now, self.since, self.smoothed);
        *self = Demand { now: now_needed, since, began: now, highest: now_needed, smoothed, ..Demand::default() };
        (highest, smoothed)
    }
}

/// What a level is to have.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wish {
    target: f64,
    least: f64,
    most: f64,
}

/// How many seats each level has for the next period, given the most that it needed in the last one, and what it is taken to
/// need.
pub(super) fn allocate(bounds: &[Bounds], needs: &[(f64, f64)]) -> Vec<usize> {
    let wish = |(bounds, (highest, smoothed)): (&Bounds, &(f64, f64))| {
        let least = (bounds.least as f64).max(highest.min(bounds.nominal as f64));
        Wish { target: least.max(*smoothed).max(LEAST_TARGET), least, most: (bounds.most as f64).max(least) }
    };
    let wishes: Vec<Wish> = bounds.iter().zip(needs).map(wish).collect();
    let total: usize = bounds.iter().map(|bounds| bounds.nominal).sum();
    fairly(total as f64, &wishes).into_iter().map(|seats| seats.round() as usize).collect()
}

/// Gives everybody the same multiple of what they aim at, within their bounds, so that it comes to `total` if it can.
fn fairly(total: f64, wishes: &[Wish]) -> Vec<f64> {
    let given = |factor: f64| wishes.iter().map(move |wish| (factor * wish.target).clamp(wish.least, wish.most));
    // What is given grows with the factor; at the largest of these everybody has the most that they may.
    let (mut low, mut high) = (0.0, wishes.iter().map(|wish| wish.most / wish.target).fold(0.0, f64::max));
    // Halved so often, nothing is left between the two.
    for _ in 0..128 {
        let middle = f64::midpoint(low, high);
        if given(middle).sum::<f64>() < total { low = middle } else { high = middle }
    }
    given(high).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn shares_are_as_upstream_gives_them() {
        let level = |shares, lends| Shares { shares, lends, borrows: None };
        // The levels of a new cluster: exempt, catch-all, system, node-high, leader-election, workload-high, workload-low,
        // global-default.
        let levels = [(0, 0), (5, 0), (30, 33), (40, 25), (10, 0), (40, 50), (100, 90), (20, 50)];
        let found = bounds(600, &levels.map(|(shares, lends)| level(shares, lends)));
        let shown: Vec<_> = found.iter().map(|bounds| (bounds.nominal, bounds.least)).collect();
        assert_eq!(shown, [(0, 0), (13, 13), (74, 50), (98, 73), (25, 25), (98, 49), (245, 24), (49, 24)]);
        assert!(found.iter().all(|bounds| bounds.most == bounds.nominal + 600));
        let found = bounds(100, &[Shares { shares: 1, lends: 0, borrows: Some(50) }, level(1, 100)]);
        assert_eq!((found[0].most, found[1].least), (75, 0));
    }

    #[test]
    fn demand_is_what_was_needed_and_is_forgotten_slowly() {
        let mut demand = Demand::default();
        demand.set(seconds(0), 4);
        demand.set(seconds(5), 0);
        // On average 2, and always 2 away from it.
        assert_eq!(demand.end_period(seconds(10)), (4.0, 4.0));
        let (highest, smoothed) = demand.end_period(seconds(20));
        assert_eq!(highest, 0.0);
        assert!((smoothed - 4.0 * KEPT).abs() < 1e-9, "{smoothed}");
        demand.set(seconds(20), 7);
        assert_eq!(demand.end_period(seconds(30)), (7.0, 7.0));
    }

    #[test]
    fn who_needs_more_borrows_from_who_lends() {
        let all = bounds(
            100,
            &[Shares { shares: 50, lends: 80, borrows: None }, Shares { shares: 50, lends: 0, borrows: None }],
        );
        // Nobody needs anything: everybody has at least what they do not lend, and all is given.
        let idle = allocate(&all, &[(0.0, 0.0), (0.0, 0.0)]);
        assert_eq!(idle.iter().sum::<usize>(), 100);
        assert!(idle[0] >= 10 && idle[1] >= 50);
        assert_eq!(allocate(&all, &[(0.0, 0.0), (500.0, 500.0)]), [10, 90]);
        assert_eq!(allocate(&all, &[(500.0, 500.0), (500.0, 500.0)]), [50, 50]);
        assert_eq!(allocate(&all, &[(500.0, 500.0), (0.0, 0.0)]), [50, 50], "who lends nothing keeps it");
    }

    proptest! {
        #[test]
        fn bounds_hold_and_seats_are_given_out(
            levels in prop::collection::vec((0..50_usize, 0..=100_usize, prop::option::of(0..200_usize)), 1..9),
            needs in prop::collection::vec((0.0..500_f64, 0.0..500_f64), 9),
            total in 1..1000_usize,
        ) {
            let shares = |(shares, lends, borrows): (usize, usize, Option<usize>)| Shares { shares, lends, borrows };
            let all = bounds(total, &levels.into_iter().map(shares).collect::<Vec<_>>());
            let given = allocate(&all, &needs[..all.len()]);
            for ((bounds, given), (highest, _)) in all.iter().zip(&given).zip(&needs) {
                prop_assert!((bounds.least..=bounds.most).contains(given), "{bounds:?} {given}");
                prop_assert!(*given as f64 >= highest.min(bounds.nominal as f64).floor(), "{bounds:?} {given} {highest}");
            }
            let nominal: usize = all.iter().map(|bounds| bounds.nominal).sum();
            // Each is rounded.
            prop_assert!(given.iter().sum::<usize>().abs_diff(nominal) <= all.len(), "{given:?} {nominal}");
        }
    }
}
