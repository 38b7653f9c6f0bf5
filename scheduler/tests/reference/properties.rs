//! Whatever the cluster, and however it came about, the scheduler decides as the reference does, pod after pod.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::pair::Pair;
use crate::steps::{self, Case};

/// Tries as many cases as `PROPTEST_CASES` says, or this many.
fn check(cases: BoxedStrategy<Case>, count: u32) {
    let told = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(told.unwrap_or(count)) };
    let result =
        TestRunner::new(config).run(&(cases, any::<u64>()), |((pods, steps), seed)| Pair::run(pods, &steps, seed));
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn decisions_are_upstreams() {
    check(steps::anything(), 60);
}

#[test]
fn pods_near_and_far_are_counted_right() {
    check(steps::company(), 60);
}

#[test]
fn important_pods_displace_those_that_upstream_would_displace() {
    check(steps::crowds(), 50);
}

#[test]
fn pods_that_are_alike_are_decided_on_one_by_one() {
    check(steps::runs(), 24);
}
