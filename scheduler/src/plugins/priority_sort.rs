//! PrioritySort: the more important pod is tried first, and of equally important pods the one that waits for longer.

use std::cmp::Ordering;

use crate::config::ExtensionPoint;
use crate::cycle::Plugin;
use crate::snapshot::PodInfo;

/// See the module.
pub struct PrioritySort;

impl Plugin for PrioritySort {
    fn name(&self) -> &'static str {
        "PrioritySort"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::QueueSort]
    }
}

/// Which of two waiting pods is tried first: `Less` for the first. `since` is when a pod began to wait.
pub fn compare<T: Ord>((a, a_since): (&PodInfo, T), (b, b_since): (&PodInfo, T)) -> Ordering {
    b.priority.cmp(&a.priority).then_with(|| a_since.cmp(&b_since))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[test]
    fn importance_counts_before_time() {
        let check = |(a, a_since): (i32, u8), (b, b_since): (i32, u8), expected| {
            let pod = |priority: i32| PodInfo::new(&testing::pod("a", json!({"priority": priority})));
            assert_eq!(compare((&pod(a), a_since), (&pod(b), b_since)), expected);
        };
        check((1, 5), (0, 4), Ordering::Less);
        check((-1, 4), (0, 5), Ordering::Greater);
        check((0, 4), (0, 5), Ordering::Less);
        check((0, 4), (0, 4), Ordering::Equal);
    }
}
