//! Upstream's loads for schedulers, each at the smallest size that is still one: every pod finds a node.

use std::time::Duration;

use tests::scheduling::{Share, all, in_turn, run, scheduler};
use tokio::task::JoinSet;

/// Twenty nodes where there are five thousand.
const SHARE: f64 = 1.0 / 250.0;
/// How long the pods of a load may take.
const WITHIN: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_load_is_carried() {
    let share = Share::new(SHARE).expect("it is a share");
    let mut loads = JoinSet::new();
    for load in all() {
        loads.spawn(async move { (load.name, run(&load, share, scheduler, WITHIN).await) });
    }
    for (name, outcome) in loads.join_all().await {
        assert!(outcome.took.is_some(), "{name}: of {} pods, {} have a node", outcome.pods, outcome.bound);
        assert_eq!(outcome.bound, outcome.pods, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_for_a_scheduler_binds_pods() {
    let share = Share::new(SHARE).expect("it is a share");
    let load = all().into_iter().find(|load| load.name.contains("Gated")).expect("there is such a load");
    let outcome = run(&load, share, in_turn, WITHIN).await;
    assert_eq!(outcome.bound, outcome.pods);
}
