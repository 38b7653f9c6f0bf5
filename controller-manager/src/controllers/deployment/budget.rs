//! How many pods a rolling update may have and has to keep, and the sizes that this leaves for ReplicaSets.
//!
//! No size that is given here lets the ReplicaSets want more pods than [`Budget::most`] in sum if they did not before, and
//! none takes away a pod that is available unless [`Budget::least`] others stay. The available pods of a ReplicaSet are
//! never counted as more than it wants, since its status may be from before it was made smaller. A ReplicaSet that is made
//! smaller removes the pods first that are not available.

use api::int_or_string::{Round, scaled_value};
use k8s_openapi::api::apps::v1::{DeploymentSpec, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What a Deployment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// How many pods there should be.
    pub(super) replicas: i64,
    /// How many more there may be for a while; none unless it is a rolling update.
    pub(super) surge: i64,
    /// How many of them may be unavailable; none unless it is a rolling update.
    pub(super) unavailable: i64,
}

/// How many pods a ReplicaSet wants, and how many of these are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) replicas: i64,
    pub(super) available: i64,
    /// Whether the available ones may be fewer by now, since the ReplicaSet was changed after it had counted them: it may
    /// have been smaller in between.
    pub(super) is_uncertain: bool,
}

/// Whether old and new pods may run at the same time.
pub(super) fn is_rolling(spec: &DeploymentSpec) -> bool {
    let strategy = spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
    strategy != Some("Recreate")
}

impl Budget {
    /// Percentages of `maxSurge` are rounded up and those of `maxUnavailable` down. If both come to nothing, one pod may be
    /// unavailable, or else nothing could be replaced.
    pub(super) fn of(spec: &DeploymentSpec) -> Budget {
        let replicas = i64::from(spec.replicas.unwrap_or(1).max(0));
        if !is_rolling(spec) {
            return Budget { replicas, surge: 0, unavailable: 0 };
        }
        let rolling = spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let count = |value: Option<&IntOrString>, round| {
            scaled_value(value, replicas, round).unwrap_or(0).clamp(0, i64::from(i32::MAX))
        };
        let surge = count(rolling.and_then(|rolling| rolling.max_surge.as_ref()), Round::Up);
        let unavailable = count(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), Round::Down);
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Budget { replicas, surge, unavailable: unavailable.min(replicas) }
    }

    /// How many pods there may be.
    pub(super) fn most(self) -> i64 {
        self.replicas + self.surge
    }

    /// How many available pods there have to be.
    pub(super) fn least(self) -> i64 {
        self.replicas - self.unavailable
    }

    /// The size of the new ReplicaSet, which has `size`, while all together want `total` pods.
    pub(super) fn grown(self, size: i64, total: i64) -> i64 {
        if size >= self.replicas {
            return self.replicas;
        }
        let room = (self.most() - total).max(0);
        size + room.min(self.replicas - size)
    }

    /// The sizes of the old ReplicaSets, which are given from the oldest to the newest.
    ///
    /// Pods that are not available go first, as many as could go if the pods of the new ReplicaSet that are not available
    /// never were: else they would hold the rollout up. Then those go that are no longer needed, once it is certain how
    /// many there are.
    pub(super) fn shrunk(self, new: Size, old: &[Size]) -> Vec<i64> {
        let mut sizes: Vec<i64> = old.iter().map(|size| size.replicas).collect();
        let mut spare = sizes.iter().sum::<i64>() + new.available - self.least();
        if spare <= 0 {
            return sizes;
        }
        for (size, old) in sizes.iter_mut().zip(old) {
            let gone = spare.min(old.replicas - old.available);
            *size -= gone;
            spare -= gone;
        }
        if new.is_uncertain || old.iter().any(|size| size.is_uncertain) {
            return sizes;
        }
        let available = new.available + old.iter().map(|size| size.available).sum::<i64>();
        let mut spare = (available - self.least()).max(0);
        for size in &mut sizes {
            let gone = spare.min(*size);
            *size -= gone;
            spare -= gone;
        }
        sizes
    }
}

impl Size {
    pub(super) fn of(set: &ReplicaSet) -> Size {
        let replicas = wanted(set);
        let status = set.status.as_ref();
        let available = i64::from(status.and_then(|status| status.available_replicas).unwrap_or(0)).clamp(0, replicas);
        let counted = status.and_then(|status| status.observed_generation).unwrap_or(0);
        let is_uncertain = available > 0 && set.metadata.generation.unwrap_or(0) > counted;
        Size { replicas, available, is_uncertain }
    }
}

/// How many pods a ReplicaSet wants.
pub(super) fn wanted(set: &ReplicaSet) -> i64 {
    i64::from(set.spec.replicas.unwrap_or(1).max(0))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentStrategy, RollingUpdateDeployment};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn size((replicas, available): (i64, i64)) -> Size {
        Size { replicas, available, is_uncertain: false }
    }

    fn value(text: &str) -> IntOrString {
        text.parse().map_or_else(|_| IntOrString::String(text.to_owned()), IntOrString::Int)
    }

    fn spec(kind: &str, replicas: i32, surge: &str, unavailable: &str) -> DeploymentSpec {
        let rolling =
            RollingUpdateDeployment { max_surge: Some(value(surge)), max_unavailable: Some(value(unavailable)) };
        DeploymentSpec {
            replicas: Some(replicas),
            strategy: Some(DeploymentStrategy { type_: Some(kind.to_owned()), rolling_update: Some(rolling) }),
            ..DeploymentSpec::default()
        }
    }

    #[test]
    fn budgets() {
        let check = |replicas, surge: &str, unavailable: &str, expected: (i64, i64)| {
            let budget = Budget::of(&spec("RollingUpdate", replicas, surge, unavailable));
            assert_eq!((budget.surge, budget.unavailable), expected, "{replicas} {surge} {unavailable}");
        };
        check(10, "25%", "25%", (3, 2));
        check(1, "25%", "25%", (1, 0));
        check(2, "0%", "1%", (0, 1));
        check(1, "0", "0", (0, 1));
        check(0, "0", "0", (0, 0));
        check(0, "2", "2", (2, 0));
        check(3, "150%", "150%", (5, 3));
        check(3, "nonsense", "-4", (0, 1));
        check(i32::MAX, "999999999999999999%", "100%", (i64::from(i32::MAX), i64::from(i32::MAX)));
        let recreate = Budget::of(&spec("Recreate", 4, "2", "2"));
        assert_eq!((recreate.most(), recreate.least()), (4, 4));
        assert_eq!(Budget::of(&DeploymentSpec::default()), Budget { replicas: 1, surge: 0, unavailable: 1 });
    }

    #[test]
    fn new_replica_sets_grow() {
        let check = |(replicas, surge), size, total, expected| {
            assert_eq!(Budget { replicas, surge, unavailable: 1 }.grown(size, total), expected);
        };
        check((10, 3), 0, 0, 10);
        check((10, 3), 0, 10, 3);
        check((10, 3), 3, 13, 3);
        check((10, 3), 5, 11, 7);
        check((10, 3), 9, 9, 10);
        check((10, 3), 12, 12, 10);
        check((10, 0), 2, 14, 2);
    }

    #[test]
    fn old_replica_sets_shrink() {
        let check = |(replicas, surge, unavailable), new, old: &[(i64, i64)], expected: &[i64]| {
            let budget = Budget { replicas, surge, unavailable };
            let old: Vec<Size> = old.iter().map(|old| size(*old)).collect();
            assert_eq!(budget.shrunk(size(new), &old), expected, "{new:?} {old:?}");
        };
        check((10, 0, 2), (0, 0), &[(10, 10)], &[8]);
        check((10, 2, 0), (2, 0), &[(10, 10)], &[10]);
        check((10, 2, 0), (2, 1), &[(10, 10)], &[9]);
        // What is not available goes first, whichever ReplicaSet it is of.
        check((10, 0, 2), (0, 0), &[(4, 4), (6, 0)], &[4, 4]);
        check((10, 0, 2), (0, 0), &[(4, 4), (6, 5)], &[3, 5]);
        // Rolled back while new pods crash: they go, and the good ones stay.
        check((10, 3, 2), (8, 7), &[(5, 0)], &[1]);
        // Rolled over to a third template: what crashes goes, as far as all would have gone well.
        check((10, 3, 2), (0, 0), &[(8, 8), (5, 0)], &[8, 0]);
        check((3, 1, 0), (3, 3), &[(1, 1), (1, 0)], &[0, 0]);
        // What was counted before a change is not relied upon.
        let budget = Budget { replicas: 3, surge: 1, unavailable: 0 };
        let uncertain = Size { is_uncertain: true, ..size((3, 3)) };
        assert_eq!(budget.shrunk(uncertain, &[size((2, 1))]), [1]);
        assert_eq!(budget.shrunk(size((3, 3)), &[uncertain]), [3]);
    }

    #[test]
    fn sizes_are_no_more_than_is_known() {
        let check = |wanted: i32, generation: i64, (available, counted): (i32, i64), expected: (i64, i64, bool)| {
            let set = json!({
                "metadata": {"generation": generation}, "spec": {"replicas": wanted, "selector": {}},
                "status": {"replicas": 0, "availableReplicas": available, "observedGeneration": counted},
            });
            let (replicas, available, is_uncertain) = expected;
            let size = Size::of(&serde_json::from_value(set).unwrap());
            assert_eq!(size, Size { replicas, available, is_uncertain });
        };
        check(3, 2, (2, 2), (3, 2, false));
        check(3, 2, (5, 2), (3, 3, false));
        check(3, 2, (5, 1), (3, 3, true));
        check(3, 2, (0, 1), (3, 0, false));
        check(-3, 2, (-5, 2), (0, 0, false));
    }

    proptest! {
        #[test]
        fn enough_stay_available(
            replicas in 0i64..20, surge in 0i64..5, unavailable in 0i64..5,
            sizes in prop::collection::vec((0i64..15, 0i64..15), 1..5),
        ) {
            let budget = Budget { replicas, surge, unavailable: unavailable.min(replicas) };
            let sizes: Vec<Size> =
                sizes.iter().map(|&(replicas, lost)| size((replicas, (replicas - lost).max(0)))).collect();
            let (new, old) = sizes.split_first().unwrap();
            let shrunk = budget.shrunk(*new, old);
            let kept = new.available + old.iter().zip(&shrunk).map(|(old, size)| old.available.min(*size)).sum::<i64>();
            let before = sizes.iter().map(|size| size.available).sum::<i64>();
            prop_assert!(kept >= before.min(budget.least()));
            prop_assert!(old.iter().zip(&shrunk).all(|(old, size)| (0..=old.replicas).contains(size)));
            let total = sizes.iter().map(|size| size.replicas).sum::<i64>();
            let grown = budget.grown(new.replicas, total);
            prop_assert!(grown <= new.replicas || total - new.replicas + grown <= budget.most());
        }
    }
}
