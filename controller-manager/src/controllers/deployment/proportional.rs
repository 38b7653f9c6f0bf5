//! How a change of scale is shared among the ReplicaSets of a rollout that is under way: each gets its proportion, so that
//! whichever template is bad, not all pods are.
//!
//! The sizes are upstream's, except where those would leave fewer pods available than the Deployment demands: then
//! ReplicaSets give way whose pods are not available.

use std::cmp::Reverse;

use super::budget::{Budget, Size};

/// A ReplicaSet that wants pods.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) size: Size,
    /// How many pods all ReplicaSets together could want when it got its size; 0 if that is not known.
    pub(super) most_then: i64,
}

/// The new sizes of `parts`, which are given from the oldest to the newest. `now` is how many pods the Deployment has.
pub(super) fn sizes(budget: Budget, parts: &[Part], now: i64) -> Vec<i64> {
    let mut sizes: Vec<i64> = parts.iter().map(|part| part.size.replicas).collect();
    let allowed = if budget.replicas > 0 { budget.most() } else { 0 };
    let to_add = allowed - sizes.iter().sum::<i64>();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    // The largest first; of equals the newest if there is something to gain, and the oldest if there is something to lose.
    if to_add > 0 {
        order.reverse();
    }
    order.sort_by_key(|&i| Reverse(sizes[i]));
    let mut left = to_add;
    for &i in order.iter().filter(|_| to_add != 0) {
        if left == 0 {
            break;
        }
        let share = share(budget, parts[i], now);
        let share = if to_add > 0 { share.min(left) } else { share.max(left) };
        sizes[i] += share;
        left -= share;
    }
    // What rounding leaves over is the largest one's, as far as it has it.
    for i in order {
        let rest = left.max(-sizes[i]);
        sizes[i] += rest;
        left -= rest;
    }
    keep_available(budget, parts, &mut sizes);
    sizes
}

/// By how much a ReplicaSet would grow or shrink if it were alone.
fn share(budget: Budget, part: Part, now: i64) -> i64 {
    let size = part.size.replicas;
    if budget.replicas == 0 {
        return -size;
    }
    let most_then = if part.most_then > 0 { part.most_then } else { now };
    if most_then <= 0 {
        return 0;
    }
    // Rounded to the nearest, and halves up.
    (2 * size * budget.most() + most_then).div_euclid(2 * most_then) - size
}

/// Moves replicas from where they are not available to where pods that are would go, as far as they are needed.
fn keep_available(budget: Budget, parts: &[Part], sizes: &mut [i64]) {
    let available: i64 = parts.iter().map(|part| part.size.available).sum();
    let kept: i64 = parts.iter().zip(&*sizes).map(|(part, size)| part.size.available.min(*size)).sum();
    let lacking = (available.min(budget.least()) - kept).max(0);
    let mut moved = 0;
    for (part, size) in parts.iter().zip(&mut *sizes) {
        let taken = (*size - part.size.available).clamp(0, lacking - moved);
        *size -= taken;
        moved += taken;
    }
    for (part, size) in parts.iter().zip(sizes) {
        let given = (part.size.available - *size).clamp(0, moved);
        *size += given;
        moved -= given;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(parts: &[(i64, i64, i64)]) -> Vec<Part> {
        let size = |replicas, available| Size { replicas, available, is_uncertain: false };
        parts
            .iter()
            .map(|&(replicas, available, most_then)| Part { size: size(replicas, available), most_then })
            .collect()
    }

    #[test]
    fn scales_are_shared() {
        let check = |(replicas, surge, unavailable), all: &[(i64, i64, i64)], expected: &[i64]| {
            let budget = Budget { replicas, surge, unavailable };
            let now = all.iter().map(|(replicas, ..)| replicas).sum();
            assert_eq!(sizes(budget, &parts(all), now), expected, "{budget:?} {all:?}");
        };
        // The example of the conformance tests: ten replicas with a surge of three, become thirty.
        check((30, 3, 2), &[(8, 8, 13), (5, 0, 13)], &[20, 13]);
        check((15, 0, 0), &[(5, 0, 10), (5, 0, 10)], &[7, 8]);
        check((5, 0, 0), &[(5, 0, 10), (5, 0, 10)], &[2, 3]);
        check((12, 0, 0), &[(5, 0, 10), (3, 0, 10), (2, 0, 10)], &[6, 4, 2]);
        check((0, 0, 0), &[(5, 5, 10), (5, 5, 10)], &[0, 0]);
        // Nothing is known of how it was.
        check((20, 0, 0), &[(5, 0, 0), (5, 0, 0)], &[10, 10]);
        // There is room already.
        check((10, 2, 1), &[(7, 7, 12), (5, 0, 12)], &[7, 5]);
        check((10, 2, 1), &[(5, 5, 12), (5, 0, 12)], &[5, 7]);
        // The old pods are all that is available, and five are to stay.
        check((5, 0, 0), &[(10, 10, 15), (5, 0, 15)], &[5, 0]);
        check((5, 0, 3), &[(10, 10, 15), (5, 0, 15)], &[3, 2]);
    }

    proptest! {
        #[test]
        fn the_sum_is_what_is_allowed_and_enough_stay_available(
            replicas in 0i64..30, surge in 0i64..5, unavailable in 0i64..5,
            all in prop::collection::vec((1i64..15, 0i64..15, 0i64..40), 2..5),
        ) {
            let budget = Budget { replicas, surge, unavailable: unavailable.min(replicas) };
            let all: Vec<Part> = parts(&all).into_iter().map(|mut part| {
                part.size.available = part.size.available.min(part.size.replicas);
                part
            }).collect();
            let before: i64 = all.iter().map(|part| part.size.replicas).sum();
            let sizes = sizes(budget, &all, before);
            let sum: i64 = sizes.iter().sum();
            prop_assert!(sizes.iter().all(|size| *size >= 0));
            prop_assert!(sum <= before.max(budget.most()));
            prop_assert!(replicas == 0 || sum >= budget.most());
            let kept: i64 = all.iter().zip(&sizes).map(|(part, size)| part.size.available.min(*size)).sum();
            let available: i64 = all.iter().map(|part| part.size.available).sum();
            prop_assert!(kept >= available.min(budget.least()));
        }
    }
}
