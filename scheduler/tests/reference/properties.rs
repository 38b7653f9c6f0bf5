//! Whatever the cluster, and however it came about, the scheduler decides as the reference does, pod after pod.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::events::{Change, Object};
use crate::pair::Pair;
use crate::steps::{self, Action, Case, Step};

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

#[test]
fn what_chance_seldom_brings_about() {
    let node = |name: &str| {
        let status = json!({"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "2"}});
        let meta = json!({"name": name, "labels": {"kubernetes.io/hostname": name}});
        Step(Action::Change(Change::SetNode(Object::new(
            serde_json::from_value(json!({"metadata": meta, "status": status})).unwrap(),
        ))))
    };
    let pod = |app: &str, spec: Value| {
        let mut pod = json!({
            "metadata": {"namespace": "blue", "labels": {"app": app}},
            "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "3"}}}]},
        });
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        Object::new(serde_json::from_value(pod).unwrap())
    };
    let far = json!([{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}]);
    let far = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": far}});
    let idle = json!([{"name": "main"}]);
    let pods = [
        pod("db", json!({"priority": 5, "affinity": far, "containers": idle})),
        pod("web", json!({"containers": idle})),
        pod("db", json!({"priority": 5})),
        pod("web", json!({})),
    ];
    let nominate = |template| Step(Action::Change(Change::Nominate { number: 1, template, node: "n1" }));
    let remove = || Step(Action::Change(Change::RemoveNode("n1")));
    let decide = |template| {
        let (watch, named, nominated, preempt) = (false, None, None, false);
        Step(Action::Decide { template, times: 3, watch, named, nominated, preempt })
    };
    let check = |steps: &[Step]| Pair::run(pods.to_vec(), steps, 0).unwrap();
    // Only a pod for which room is being made wants others far.
    check(&[node("n1"), node("n2"), nominate(0), decide(1)]);
    // Room is not kept on a node that only has the name of one that is gone, or its place.
    check(&[node("n1"), nominate(2), remove(), node("n1"), decide(3)]);
    check(&[node("n1"), nominate(2), remove(), node("n2"), decide(3)]);
}
